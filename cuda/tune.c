// Times the candidates of each tunable node back to back on the device and keeps the quickest.
#include "cuda/tune.h"

#include <stdio.h>
#include <string.h>

#include "cuda/cache.h"
#include "runtime/base/log.h"

enum { MAX_PLANS = 12, ROUNDS = 3 };

// Bumped when kernels change in ways that their names do not show.
#define KERNELS "kernels 4"

typedef struct stopwatch {
    cudaEvent_t start, stop;
    bool warm; // the GPU's clocks have had time to rise
} stopwatch;

typedef fs_status (*run_fn)(const fs_tuner *t, const void *what);

// The repeated runs as a graph. Launched one by one, a kernel of a few microseconds would be timed at the rate at which
// the processor can launch, and a frame is a graph as well. NULL when it cannot be captured.
static cudaGraphExec_t capture_runs(const fs_tuner *t, run_fn run, const void *what) {
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    if (cudaStreamBeginCapture(t->stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess) {
        bool fine = true;
        for (int i = 0; i < t->repeats && fine; i++) fine = run(t, what) == FS_OK;
        fine = cudaStreamEndCapture(t->stream, &graph) == cudaSuccess && fine;
        if (fine && cudaGraphInstantiate(&exec, graph, 0) != cudaSuccess) exec = NULL;
        if (graph) cudaGraphDestroy(graph);
    }
    cudaGetLastError();
    return exec;
}

static bool run_all(const fs_tuner *t, cudaGraphExec_t exec, run_fn run, const void *what) {
    if (exec) return cudaGraphLaunch(exec, t->stream) == cudaSuccess;
    for (int i = 0; i < t->repeats; i++)
        if (run(t, what) != FS_OK) return false;
    return true;
}

// Idle clocks rise within milliseconds of work; the first candidates would be timed below them.
static bool warm_up(const fs_tuner *t, stopwatch *watch, cudaGraphExec_t exec, run_fn run, const void *what) {
    const float enough = 30; // milliseconds
    float total = 0;
    for (int i = 0; i < 1000 && total < enough && !watch->warm; i++) {
        float milliseconds = 0;
        bool fine = cudaEventRecord(watch->start, t->stream) == cudaSuccess && run_all(t, exec, run, what);
        fine = fine && cudaEventRecord(watch->stop, t->stream) == cudaSuccess;
        fine = cudaStreamSynchronize(t->stream) == cudaSuccess && fine;
        if (!fine || cudaEventElapsedTime(&milliseconds, watch->start, watch->stop) != cudaSuccess) return false;
        total += milliseconds;
        if (t->repeats < FS_TUNE_REPEATS) break; // whoever asks for fewer runs has no clocks to warm
    }
    watch->warm = true;
    return true;
}

// Microseconds of one run, the least of a few rounds; negative when it does not run here. What falls far behind `best`
// (negative: nothing yet) in the first round is not worth the others.
static double time_runs(const fs_tuner *t, stopwatch *watch, run_fn run, const void *what, double best) {
    const double far = 1.5;
    double least = -1;
    if (run(t, what) != FS_OK) return -1; // a first time outside of a capture, for what is loaded then
    const cudaGraphExec_t exec = capture_runs(t, run, what);
    bool fine = warm_up(t, watch, exec, run, what);
    for (int round = 0; round < ROUNDS && fine; round++) {
        float milliseconds = 0;
        fine = cudaEventRecord(watch->start, t->stream) == cudaSuccess && run_all(t, exec, run, what);
        fine = fine && cudaEventRecord(watch->stop, t->stream) == cudaSuccess;
        fine = cudaStreamSynchronize(t->stream) == cudaSuccess && fine;
        fine = fine && cudaEventElapsedTime(&milliseconds, watch->start, watch->stop) == cudaSuccess;
        const double each = 1e3 * (double)milliseconds / t->repeats;
        if (fine && (least < 0 || each < least)) least = each;
        if (best >= 0 && least > far * best) break;
    }
    if (exec) cudaGraphExecDestroy(exec);
    cudaGetLastError();
    return fine ? least : -1;
}

typedef struct candidate {
    const fs_node *node;
    const fs_launch *launch; // NULL: cuDNN's plan in the node
} candidate;

static fs_status run_candidate(const fs_tuner *t, const void *what) {
    const candidate *c = what;
    return fs_run_node(t->runner, c->node, c->launch, false, t->stream);
}

static fs_status bind(const fs_tuner *t, const fs_node *node, fs_cudnn_plan *plan) {
    const fs_conv_params *p = &node->p.conv;
    return fs_cudnn_bind(plan, p->in.data, p->weights, node->bias_half, p->residual.data, p->out.data, t->workspace);
}

// Makes the tactic of this name the node's own. False when there is none.
static bool take_by_name(const fs_tuner *t, fs_node *node, const char *name) {
    fs_launch launch;
    for (int v = 0; fs_node_launch(node, t->engine->device.sm, v, &launch); v++)
        if (strcmp(launch.name, name) == 0) {
            node->variant = v;
            return true;
        }
    fs_cudnn_conv conv;
    fs_cudnn_plan *plan = NULL;
    if (t->runner->handle == NULL || strncmp(name, "cudnn ", 6) != 0 || !fs_node_cudnn(node, &conv)) return false;
    const fs_cudnn_target here = {0};
    if (fs_cudnn_find(t->engine->cudnn, &here, &conv, FS_CUDNN_WORKSPACE, name, &plan) != FS_OK || plan == NULL)
        return false;
    if (bind(t, node, plan) != FS_OK) {
        fs_cudnn_plan_free(plan);
        return false;
    }
    node->plan = plan;
    return true;
}

// Times all candidates of a node; leaves the winner in it and its name in `name`.
static fs_status time_node(const fs_tuner *t, stopwatch *watch, fs_node *node, char *name, size_t size,
                           double *microseconds) {
    double best = -1;
    fs_launch launch;
    int winner = 0;
    for (int v = 0; fs_node_launch(node, t->engine->device.sm, v, &launch); v++) {
        if (fs_run_allow(&launch) != FS_OK) continue;
        const double us = time_runs(t, watch, run_candidate, &(candidate){node, &launch}, best);
        if (us < 0 || (best >= 0 && us >= best)) continue;
        best = us, winner = v;
        snprintf(name, size, "%s", launch.name);
    }
    node->variant = winner;

    fs_cudnn_plan *plans[MAX_PLANS], *chosen = NULL;
    fs_cudnn_conv conv;
    int count = 0;
    const fs_cudnn_target here = {0};
    if (t->runner->handle && fs_node_cudnn(node, &conv) &&
        fs_cudnn_plans(t->engine->cudnn, &here, &conv, FS_CUDNN_WORKSPACE, plans, MAX_PLANS, &count) != FS_OK)
        fs_log(FS_LOG_INFO, "cuDNN offers nothing for a convolution: %s", fs_error_text());
    for (int i = 0; i < count; i++) {
        fs_node other = *node;
        other.plan = plans[i];
        double us = -1;
        if (bind(t, node, plans[i]) == FS_OK) us = time_runs(t, watch, run_candidate, &(candidate){&other, NULL}, best);
        if (us < 0 || (best >= 0 && us >= best)) {
            fs_cudnn_plan_free(plans[i]);
            continue;
        }
        fs_cudnn_plan_free(chosen);
        best = us, chosen = plans[i];
        snprintf(name, size, "%s", fs_cudnn_plan_name(chosen));
    }
    node->plan = chosen;
    if (best < 0) return fs_fail(FS_ERR_BACKEND, "no kernel runs step %d on this GPU: %s", node->step, fs_error_text());
    *microseconds = best;
    return FS_OK;
}

static fs_status tune_nodes(const fs_tuner *t, stopwatch *watch, fs_cache *cache) {
    for (int i = 0; i < t->nodes->count; i++) {
        fs_node *node = &t->nodes->node[i];
        if (!fs_node_is_tunable(node)) continue;
        char signature[160], name[FS_LAUNCH_NAME] = "";
        fs_node_signature(node, signature, sizeof signature);
        const char *known = fs_cache_get(cache, signature);
        if (known && take_by_name(t, node, known)) continue;
        double microseconds = 0;
        FS_TRY(time_node(t, watch, node, name, sizeof name, &microseconds));
        fs_log(FS_LOG_DEBUG, "%s: %s, %.2f us", signature, name, microseconds);
        FS_TRY(fs_cache_put(cache, signature, name, microseconds));
    }
    return FS_OK;
}

// A step by its chosen route.
static fs_status run_step(const fs_tuner *t, const void *what) {
    const int step = *(const int *)what;
    for (int i = 0; i < t->nodes->count; i++) {
        const fs_node *node = &t->nodes->node[i];
        fs_launch launch;
        if (node->step != step || node->route == FS_EVERY_ROUTE || !fs_nodes_active(t->nodes, i)) continue;
        if (node->plan == NULL) {
            fs_node_launch(node, t->engine->device.sm, node->variant, &launch);
            FS_TRY(fs_run_allow(&launch));
        }
        FS_TRY(fs_run_node(t->runner, node, &launch, false, t->stream));
    }
    return FS_OK;
}

// A fused kernel against the layers that it replaces, each with its best tactic.
static fs_status tune_routes(const fs_tuner *t, stopwatch *watch, const fs_plan *plan, fs_cache *cache) {
    for (int s = 0; s < plan->program.steps; s++) {
        const int routes = t->nodes->routes[s];
        if (routes < 2) continue;
        const fs_step *step = &plan->program.step[s];
        const fs_tensor *in = &plan->program.graph.tensor[step->in[0]], *out = &plan->program.graph.tensor[step->out];
        char signature[160], name[FS_LAUNCH_NAME];
        snprintf(signature, sizeof signature, "route %s %dx%dx%d %dx%dx%d of %d", step->name, in->h, in->w, in->c,
                 out->h, out->w, out->c, routes);
        const char *known = fs_cache_get(cache, signature);
        int route;
        if (known && sscanf(known, "route %d", &route) == 1 && route >= 0 && route < routes) {
            fs_nodes_take(t->nodes, s, route);
            continue;
        }
        double best = -1;
        int winner = 0;
        for (route = 0; route < routes; route++) {
            fs_nodes_take(t->nodes, s, route);
            const double us = time_runs(t, watch, run_step, &s, best);
            if (us >= 0 && (best < 0 || us < best)) best = us, winner = route;
        }
        if (best < 0)
            return fs_fail(FS_ERR_BACKEND, "no way runs step '%s' on this GPU: %s", step->name, fs_error_text());
        fs_nodes_take(t->nodes, s, winner);
        snprintf(name, sizeof name, "route %d", winner);
        fs_log(FS_LOG_DEBUG, "%s: %s, %.2f us", signature, name, best);
        FS_TRY(fs_cache_put(cache, signature, name, best));
    }
    return FS_OK;
}

fs_status fs_tune(const fs_tuner *t) {
    const fs_device *d = &t->engine->device;
    char key[512], path[4096];
    snprintf(key, sizeof key, "%s, %s sm_%d x%d shared %d, driver %d, cuda %d, cudnn %d, %s", KERNELS, d->name, d->sm,
             d->processors, d->shared_optin, d->driver, d->runtime,
             t->runner->handle ? fs_cudnn_version(t->engine->cudnn) : 0, fs_precision_name(t->engine->precision));
    fs_cache *cache;
    FS_TRY(fs_cache_open(fs_cache_path(key, path, sizeof path) ? path : NULL, key, &cache));
    stopwatch watch = {0};
    fs_status status = fs_cuda_status(cudaEventCreate(&watch.start), "creating an event");
    if (status == FS_OK) status = fs_cuda_status(cudaEventCreate(&watch.stop), "creating an event");
    if (status == FS_OK) status = tune_nodes(t, &watch, cache);
    if (status == FS_OK) status = tune_routes(t, &watch, t->plan, cache);
    if (status == FS_OK) fs_cache_save(cache);
    if (watch.start) cudaEventDestroy(watch.start);
    if (watch.stop) cudaEventDestroy(watch.stop);
    fs_cache_close(cache);
    return status;
}
