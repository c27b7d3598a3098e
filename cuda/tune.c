// Times the candidates of each tunable node back to back on the device and keeps the quickest.
#include "cuda/tune.h"

#include <stdio.h>
#include <string.h>

#include "cuda/cache.h"
#include "runtime/base/log.h"

enum { MAX_PLANS = 12, ROUNDS = 3, REPEATS = 10 };

// Bumped when kernels change in ways that their names do not show.
#define KERNELS "kernels 1"

typedef struct stopwatch {
    cudaEvent_t start, stop;
} stopwatch;

// Microseconds of one run, the least of a few rounds; negative when the candidate does not run here.
static double time_candidate(const fs_tuner *t, const stopwatch *watch, const fs_node *node, const fs_launch *launch) {
    double best = -1;
    if (node->plan == NULL && fs_run_allow(launch) != FS_OK) return -1;
    if (fs_run_node(t->runner, node, launch, t->stream) != FS_OK) return -1;
    for (int round = 0; round < ROUNDS; round++) {
        bool fine = cudaEventRecord(watch->start, t->stream) == cudaSuccess;
        for (int i = 0; i < REPEATS && fine; i++) fine = fs_run_node(t->runner, node, launch, t->stream) == FS_OK;
        fine = fine && cudaEventRecord(watch->stop, t->stream) == cudaSuccess;
        float milliseconds = 0;
        fine = cudaStreamSynchronize(t->stream) == cudaSuccess && fine;
        if (!fine || cudaEventElapsedTime(&milliseconds, watch->start, watch->stop) != cudaSuccess) {
            cudaGetLastError();
            return -1;
        }
        const double each = 1e3 * (double)milliseconds / REPEATS;
        if (best < 0 || each < best) best = each;
    }
    return best;
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
static fs_status time_node(const fs_tuner *t, const stopwatch *watch, fs_node *node, char *name, size_t size,
                           double *microseconds) {
    double best = -1;
    fs_launch launch;
    int winner = 0;
    for (int v = 0; fs_node_launch(node, t->engine->device.sm, v, &launch); v++) {
        const double us = time_candidate(t, watch, node, &launch);
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
        fs_node candidate = *node;
        candidate.plan = plans[i];
        double us = -1;
        if (bind(t, node, plans[i]) == FS_OK) us = time_candidate(t, watch, &candidate, NULL);
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

static fs_status tune_nodes(const fs_tuner *t, const stopwatch *watch, fs_cache *cache) {
    for (int i = 0; i < t->nodes->count; i++) {
        fs_node *node = &t->nodes->node[i];
        if (!fs_node_is_tunable(node) || i == t->nodes->reader) continue; // the reader's frame is not known yet
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
    if (status == FS_OK) fs_cache_save(cache);
    if (watch.start) cudaEventDestroy(watch.start);
    if (watch.stop) cudaEventDestroy(watch.stop);
    fs_cache_close(cache);
    return status;
}
