// Plans of every dense convolution of the network on described GPUs: needs cuDNN, but no GPU.
//
// What a device is described by is in devices/. No kernel runs here: engines, workspaces and names are what cuDNN
// answers for such a device.
#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "cuda/cudnn.c" // not only its interface: a plan's own JSON and notes are looked at
#include "runtime/graph.h"

enum { DEVICES = 16, LAYERS = 256, PLANS = 8, EXPECTED_DEVICES = 7 };
static const size_t workspace_limit = 8 << 20;

static int failures;

#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (condition) break;                                                                                          \
        failures++;                                                                                                    \
        printf("FAILED %s:%d: %s: ", __FILE__, __LINE__, #condition);                                                  \
        printf(__VA_ARGS__);                                                                                           \
        printf("\n");                                                                                                  \
    } while (0)

// cuDNN loads and unloads NVRTC at every query of its heuristics, where there is no driver; and NVRTC leaks 71 KB each
// time, which a leak checker cannot name afterwards. Loaded for good it leaks nothing, and queries are faster.
static void keep_nvrtc(void) {
    const char *const names[] = {"libnvrtc.so.13", "libnvrtc.so.12"};
    for (int i = 0; i < 2; i++)
        if (dlopen(names[i], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) != NULL) return;
}

// cuDNN keeps some allocations until the process ends.
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:libcudnn\n";
}

// ---- Devices --------------------------------------------------------------------------------------------------------

typedef struct device {
    char name[64]; // "sm80-a100"
    char json[4096];
} device;
static device devices[DEVICES];
static int device_count;

static int by_name(const void *a, const void *b) {
    return strverscmp(((const device *)a)->name, ((const device *)b)->name);
}

static void read_devices(const char *folder) {
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        const char *dot = strrchr(entry->d_name, '.');
        if (dot == NULL || strcmp(dot, ".json") != 0 || device_count == DEVICES) continue;
        device *d = &devices[device_count];
        char path[512];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        snprintf(d->name, sizeof d->name, "%.*s", (int)(dot - entry->d_name), entry->d_name);
        FILE *file = fopen(path, "r");
        if (file == NULL) continue;
        d->json[fread(d->json, 1, sizeof d->json - 1, file)] = '\0';
        fclose(file);
        device_count++;
    }
    if (dir != NULL) closedir(dir);
    qsort(devices, (size_t)device_count, sizeof *devices, by_name);
    CHECK(device_count >= EXPECTED_DEVICES, "%d device descriptions in %s", device_count, folder);
}

// ---- Layers ---------------------------------------------------------------------------------------------------------

typedef struct layer {
    char name[FS_NAME];
    int height, width; // of the frame that it first came from
    fs_cudnn_conv conv;
} layer;
static layer layers[LAYERS];
static int layer_count;

static int round8(int n) {
    return (n + 7) / 8 * 8;
}

static int pad_behind(int in, int out, int before, int reach, int stride) {
    const int pad = (out - 1) * stride + reach - in - before;
    return pad > 0 ? pad : 0; // negative: last rows that no window reaches
}

// Which operation reads a tensor; NULL for several readers or none.
static const fs_op *reader_of(const fs_graph *g, int tensor_index) {
    const fs_op *reader = NULL;
    int readers = 0;
    for (int i = 0; i < g->ops; i++)
        for (int k = 0; k < g->op[i].inputs; k++)
            if (g->op[i].in[k] == tensor_index) reader = &g->op[i], readers++;
    return readers == 1 ? reader : NULL;
}

// A convolution with the add and the ReLU that follow it. A sum belongs to the convolution that comes last.
static fs_cudnn_conv fused(const fs_graph *g, const fs_op *op) {
    const fs_tensor *in = &g->tensor[op->in[0]], *out = &g->tensor[op->out];
    const int reach = op->dilation * (op->kernel - 1) + 1;
    fs_cudnn_conv c = {.h = in->h, .w = in->w, .c = round8(in->c), .c_pitch = round8(in->c)};
    c.oh = out->h, c.ow = out->w, c.n = c.n_pitch = round8(out->c);
    c.kernel = op->kernel, c.stride = op->stride, c.dilation = op->dilation;
    c.pad_top = op->pad_top, c.pad_left = op->pad_left;
    c.pad_bottom = pad_behind(in->h, out->h, op->pad_top, reach, op->stride);
    c.pad_right = pad_behind(in->w, out->w, op->pad_left, reach, op->stride);
    const fs_op *next = reader_of(g, op->out);
    if (next != NULL && next->kind == FS_OP_ADD) {
        const int other = next->in[next->in[0] == op->out];
        c.residual = other < op->out;
        next = c.residual ? reader_of(g, next->out) : NULL;
    }
    c.relu = next != NULL && next->kind == FS_OP_RELU;
    return c;
}

static void add_layer(const fs_graph *g, const fs_op *op) {
    const fs_cudnn_conv c = fused(g, op);
    for (int i = 0; i < layer_count; i++)
        if (memcmp(&layers[i].conv, &c, sizeof c) == 0) return;
    layer *l = &layers[layer_count++];
    snprintf(l->name, sizeof l->name, "%s", op->name);
    l->height = g->height, l->width = g->width, l->conv = c;
}

// Every different dense convolution of two variants at three sizes.
static void collect_layers(void) {
    static const int sizes[][2] = {{1024, 2048}, {512, 1024}, {487, 813}};
    static const fs_variant variants[] = {FS_PAPER, FS_MMSEG};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
            static fs_graph g;
            fs_model model;
            fs_model_init(&model, variants[v]);
            const fs_status status = fs_graph_build(&g, &model, sizes[s][0], sizes[s][1]);
            CHECK(status == FS_OK, "%s", fs_error_text());
            for (int i = 0; status == FS_OK && i < g.ops && layer_count < LAYERS; i++)
                if (g.op[i].kind == FS_OP_CONV) add_layer(&g, &g.op[i]);
        }
    CHECK(layer_count > 50 && layer_count < LAYERS, "%d layers", layer_count);
}

static const fs_cudnn_conv *layer_of(const char *name) {
    for (int i = 0; i < layer_count; i++)
        if (strcmp(layers[i].name, name) == 0) return &layers[i].conv;
    CHECK(false, "no layer %s", name);
    return &layers[0].conv;
}

// ---- What a plan says of itself
// --------------------------------------------------------------------------------------

// The plan as cuDNN writes it down; freed by the caller.
static char *plan_json(fs_cudnn_plan *plan) {
    scope s = {.cudnn = plan->descriptors.cudnn};
    const int length = get(&s, plan->plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, 0, NULL);
    char *json = fs_calloc((size_t)length + 1, 1);
    get(&s, plan->plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, length, json);
    CHECK(fine(&s) && length > 0, "%s has no JSON: %d", plan->name, (int)s.error);
    return json;
}

static bool uses_tensor_cores(fs_cudnn_plan *plan) {
    scope s = {.cudnn = plan->descriptors.cudnn};
    desc config = create(&s, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR), engine = create(&s, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    cudnnBackendNumericalNote_t note[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    get(&s, plan->plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &config);
    get(&s, config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &engine);
    const int notes = get(&s, engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                          CUDNN_NUMERICAL_NOTE_TYPE_COUNT, note);
    CHECK(fine(&s), "%s has no notes: %d", plan->name, (int)s.error);
    bool found = false;
    for (int i = 0; i < notes; i++) found |= note[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
    scope_end(&s);
    return found;
}

// ---- Tests ----------------------------------------------------------------------------------------------------------

static fs_cudnn *library;

static int make_plans(const device *d, const fs_cudnn_conv *c, size_t limit, fs_cudnn_plan *plans[PLANS]) {
    const fs_cudnn_target target = {d->json};
    int count = 0;
    const fs_status status = fs_cudnn_plans(library, &target, c, limit, plans, PLANS, &count);
    CHECK(status == FS_OK, "%s: %s", d->name, fs_error_text());
    return count;
}

static void free_plans(fs_cudnn_plan *plans[PLANS], int count) {
    for (int i = 0; i < count; i++) fs_cudnn_plan_free(plans[i]);
}

static void check_name_finds_plan(const device *d, const layer *l, fs_cudnn_plan *plan) {
    const fs_cudnn_target target = {d->json};
    fs_cudnn_plan *found = NULL;
    const fs_status status = fs_cudnn_find(library, &target, &l->conv, SIZE_MAX, fs_cudnn_plan_name(plan), &found);
    CHECK(status == FS_OK && found != NULL, "%s, %s: '%s' is not found", d->name, l->name, plan->name);
    if (found == NULL) return;
    CHECK(strcmp(found->name, plan->name) == 0, "'%s' is not '%s'", found->name, plan->name);
    char *a = plan_json(plan), *b = plan_json(found);
    CHECK(strcmp(a, b) == 0 && found->workspace == plan->workspace, "'%s' is another plan:\n%s\n%s", plan->name, a, b);
    fs_free(a);
    fs_free(b);
    fs_cudnn_plan_free(found);
}

static void check_layer(const device *d, const layer *l) {
    fs_cudnn_plan *plans[PLANS];
    const int count = make_plans(d, &l->conv, SIZE_MAX, plans);
    const fs_cudnn_conv *c = &l->conv;
    char what[160];
    snprintf(what, sizeof what, "%.63s, %s of %dx%d", d->name, l->name, l->height, l->width);
    CHECK(count > 0, "%s: no precompiled engine", what);
    if (count == 0) return;
    CHECK(plans[0]->workspace <= workspace_limit, "%s: '%s' wants %zu bytes", what, plans[0]->name,
          plans[0]->workspace);
    bool tensor_cores = false; // of one at least: a layer bound by memory may do without
    for (int i = 0; i < count; i++) tensor_cores |= uses_tensor_cores(plans[i]);
    CHECK(tensor_cores, "%s: no plan uses tensor cores", what);
    char *json = plan_json(plans[0]);
    CHECK(strstr(json, "\"finalizeMode\":\"CONV_ADD_BIAS_ACT\"") != NULL, "%s: %.120s", what, json);
    fs_free(json);
    for (int i = 0; i < count; i++) check_name_finds_plan(d, l, plans[i]);
    if (l->height == 1024)
        printf("%-14s %-18s %4dx%-4d %3d -> %3d k%d s%d%s%s: %d plans, first %-26s %zu bytes\n", d->name, l->name,
               c->oh, c->ow, c->c, c->n, c->kernel, c->stride, c->residual ? " +z" : "", c->relu ? " relu" : "", count,
               plans[0]->name, plans[0]->workspace);
    free_plans(plans, count);
}

static void test_every_layer_has_engines(void) {
    for (int d = 0; d < device_count; d++)
        for (int l = 0; l < layer_count; l++) check_layer(&devices[d], &layers[l]);
}

static void test_workspace_limit_holds(void) {
    for (int d = 0; d < device_count; d++) {
        fs_cudnn_plan *plans[PLANS];
        const int count = make_plans(&devices[d], layer_of("gfe.b3.1.expand"), 0, plans);
        CHECK(count > 0, "%s: none without workspace", devices[d].name);
        for (int i = 0; i < count; i++) CHECK(plans[i]->workspace == 0, "'%s'", plans[i]->name);
        free_plans(plans, count);
    }
}

static void test_plans_are_different(void) {
    fs_cudnn_plan *plans[PLANS];
    const int count = make_plans(&devices[0], layer_of("cls.ds1.pw"), workspace_limit, plans);
    for (int i = 0; i < count; i++)
        for (int k = 0; k < i; k++) CHECK(strcmp(plans[i]->name, plans[k]->name) != 0, "'%s' twice", plans[i]->name);
    free_plans(plans, count);
}

static void find(const device *d, const fs_cudnn_conv *c, const char *name, bool may_exist) {
    const fs_cudnn_target target = {d->json};
    fs_cudnn_plan *plan = (fs_cudnn_plan *)&target; // must be written
    const fs_status status = fs_cudnn_find(library, &target, c, workspace_limit, name, &plan);
    CHECK(status == FS_OK, "'%s': %s", name, fs_error_text());
    if (status != FS_OK || plan == NULL) return;
    CHECK(may_exist && strcmp(plan->name, name) == 0, "'%s' gives '%s'", name, plan->name);
    CHECK(plan->workspace <= workspace_limit, "'%s': %zu", name, plan->workspace);
    fs_cudnn_plan_free(plan);
}

static void test_hostile_names_find_nothing(void) {
    static const char *const names[] = {"",
                                        "c",
                                        "cudnn",
                                        "cudnn ",
                                        "cudnn :",
                                        "cudnn x",
                                        "cudnn -1",
                                        "cudnn +10",
                                        "cudnn 010",
                                        "cudnn 10:",
                                        "cudnn 10 ",
                                        "cudnn 10:C",
                                        "cudnn 10:C-",
                                        "cudnn 10:C2C2C2C2C2C2C2C2C2C2C2C2C2",
                                        "cudnn 10:C0:N0",
                                        "cudnn 10C0",
                                        "Cudnn 10",
                                        "cudnn 99999",
                                        "cudnn 9223372036854775807",
                                        "cudnn 99999999999999999999",
                                        "cudnn -9223372036854775808",
                                        "cudnn 10:C9223372036854775807",
                                        "cudnn 10:C-9223372036854775808",
                                        "cudnn 10:z0",
                                        "cudnn 10:A0B0C0D0E0F0G0H0I0J0",
                                        "cudnn 10:C0C1",
                                        "own gemm 64x64",
                                        "\xff\xfe",
                                        "cudnn 10:\xc3\x84"
                                        "0",
                                        "cudnn 4294967306",
                                        "cudnn 10:C4294967296"};
    for (int d = 0; d < device_count; d++)
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            find(&devices[d], layer_of("gfe.b1.1.expand"), names[i], false);
    char *huge = fs_malloc(1 << 20, 1);
    memset(huge, '1', 1 << 20);
    memcpy(huge, "cudnn ", 6), huge[(1 << 20) - 1] = '\0';
    find(&devices[0], layer_of("gfe.b1.1.expand"), huge, false);
    fs_free(huge);
}

// Names that could be: every engine, and knobs that are changed at random.
static void test_changed_names_do_no_harm(void) {
    const fs_cudnn_conv *c = layer_of("gfe.b2.1.project");
    uint64_t seed = 1;
    for (int d = 0; d < device_count; d++) {
        char name[NAME];
        for (int engine = 0; engine < 100; engine++) {
            snprintf(name, sizeof name, "cudnn %d", engine);
            find(&devices[d], c, name, true);
        }
        fs_cudnn_plan *plans[PLANS];
        const int count = make_plans(&devices[d], c, workspace_limit, plans);
        for (int i = 0; i < 200 && count > 0; i++) {
            choice made;
            CHECK(choice_of(plans[i % count]->name, &made), "'%s'", plans[i % count]->name);
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            struct knob *k = &made.knob[made.knobs > 0 ? (int)(seed >> 40) % made.knobs : 0];
            if (seed >> 63) k->type = (int64_t)(seed >> 50) % 52;
            k->value = (int64_t)(seed >> 33) % 200 - 100;
            if (name_of(&made, name)) find(&devices[d], c, name, true);
        }
        free_plans(plans, count);
    }
}

static void test_mistakes_are_refused(void) {
    const fs_cudnn_conv good = *layer_of("gfe.b1.1.expand");
    fs_cudnn_conv bad[8];
    for (int i = 0; i < 8; i++) bad[i] = good;
    bad[0].c = 0, bad[1].c_pitch = bad[1].c - 8, bad[2].oh++, bad[3].stride = 0, bad[4].pad_left = -1;
    bad[5].kernel = 3, bad[6].dilation = 0, bad[7].n_pitch = 8;
    fs_cudnn_plan *plans[PLANS], *plan = NULL;
    int count = 77;
    fs_cudnn_target target = {devices[0].json};
    for (int i = 0; i < 8; i++) {
        CHECK(fs_cudnn_plans(library, &target, &bad[i], 0, plans, PLANS, &count) == FS_ERR_ARGUMENT, "case %d", i);
        CHECK(fs_cudnn_find(library, &target, &bad[i], 0, "cudnn 10", &plan) == FS_ERR_ARGUMENT, "case %d", i);
    }
    static const char *const descriptions[] = {"", "{", "{}", "null", "[]", "{\"deviceVer\": 800}", "\xff"};
    for (size_t i = 0; i < sizeof descriptions / sizeof *descriptions; i++) {
        target.json = descriptions[i];
        const fs_status status = fs_cudnn_plans(library, &target, &good, 0, plans, PLANS, &count);
        CHECK(status == FS_ERR_BACKEND, "'%s': %d", descriptions[i], (int)status);
        CHECK(strstr(fs_error_text(), "cuDNN cannot list engines") != NULL, "%s", fs_error_text());
    }
    CHECK(count == 77 && plan == NULL, "outputs of failures are written");
}

static void test_failures_have_their_text(void) {
    static const struct {
        cudnnStatus_t status;
        fs_status is;
        const char *text;
    } cases[] = {
        {CUDNN_STATUS_NOT_INITIALIZED, FS_ERR_DEVICE, "NOT_INITIALIZED (1001)"},
        {CUDNN_STATUS_BAD_PARAM, FS_ERR_BACKEND, "BAD_PARAM (2000)"},
        {CUDNN_STATUS_NOT_SUPPORTED_SHAPE, FS_ERR_BACKEND, "(3002)"},
        {CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED, FS_ERR_MEMORY, "(4003)"},
        {CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED, FS_ERR_MEMORY, "(4004)"},
        {CUDNN_STATUS_EXECUTION_FAILED, FS_ERR_BACKEND, "(5000)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK(fs_cudnn_failed(library, cases[i].status, "do it") == cases[i].is, "%d", (int)cases[i].status);
        CHECK(strstr(fs_error_text(), "cuDNN cannot do it: ") && strstr(fs_error_text(), cases[i].text), "%s",
              fs_error_text());
    }
}

// With a GPU it opens, else it says so; and without one there are no engines for "the current device".
static void test_without_device(void) {
    fs_cudnn_handle *handle = NULL;
    const fs_status status = fs_cudnn_handle_open(library, &handle);
    CHECK(status == FS_OK || status == FS_ERR_DEVICE, "%d %s", (int)status, fs_error_text());
    if (status == FS_ERR_DEVICE) {
        fs_cudnn_plan *plans[PLANS];
        int count = -1;
        const fs_status planned = fs_cudnn_plans(library, NULL, layer_of("cls.ds1.pw"), 0, plans, PLANS, &count);
        CHECK(planned != FS_OK || count == 0, "%d plans for no device", count);
        CHECK(strstr(fs_error_text(), "NOT_INITIALIZED") != NULL, "%s", fs_error_text());
    }
    fs_cudnn_handle_close(handle);
}

static void test_only_the_chosen_library_is_used(void) {
    static const struct {
        const char *path, *says;
    } cases[] = {{"/nowhere/libcudnn.so.9", "/nowhere/libcudnn.so.9"},
                 {"libm.so.6", "libm.so.6: has no cudnnGetVersion"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fs_cudnn *other = NULL;
        setenv("FASTSCNN_CUDNN", cases[i].path, 1);
        CHECK(fs_cudnn_open(&other) == FS_ERR_BACKEND && other == NULL, "%s is taken", cases[i].path);
        CHECK(strstr(fs_error_text(), cases[i].says) && strstr(fs_error_text(), "FASTSCNN_CUDNN"), "%s",
              fs_error_text());
    }
    fs_cudnn *same = NULL;
    setenv("FASTSCNN_CUDNN", fs_cudnn_path(library), 1);
    CHECK(fs_cudnn_open(&same) == FS_OK && strcmp(fs_cudnn_path(same), fs_cudnn_path(library)) == 0, "%s",
          fs_error_text());
    fs_cudnn_close(same);
    unsetenv("FASTSCNN_CUDNN");
}

static void test_allocation_failures(void) {
    const size_t before = fs_mem_live_blocks();
    const fs_cudnn_target target = {devices[0].json};
    const fs_cudnn_conv *c = layer_of("gfe.b3.1.project");
    for (uint64_t n = 1;; n++) {
        fs_cudnn *opened = NULL;
        fs_cudnn_plan *plans[PLANS], *found = NULL;
        int count = 0;
        fs_mem_fail_at(n, false);
        fs_status status = fs_cudnn_open(&opened);
        if (status == FS_OK) status = fs_cudnn_plans(opened, &target, c, workspace_limit, plans, PLANS, &count);
        if (status == FS_OK) status = fs_cudnn_find(opened, &target, c, workspace_limit, plans[0]->name, &found);
        const bool fired = fs_mem_fault_fired();
        fs_mem_fail_at(0, false);
        CHECK(status == (fired ? FS_ERR_MEMORY : FS_OK), "allocation %d: %d", (int)n, (int)status);
        fs_cudnn_plan_free(found);
        free_plans(plans, count);
        fs_cudnn_close(opened);
        CHECK(fs_mem_live_blocks() == before, "allocation %d leaks", (int)n);
        if (!fired || n > 500) break;
    }
}

static void *plan_in_thread(void *which) {
    const device *d = &devices[(intptr_t)which % device_count];
    for (int i = 0; i < 4; i++) {
        const layer *l = &layers[(i * 7 + (intptr_t)which) % layer_count];
        fs_cudnn_plan *plans[PLANS];
        const int count = make_plans(d, &l->conv, workspace_limit, plans);
        CHECK(count > 0, "%s, %s in a thread", d->name, l->name);
        free_plans(plans, count);
    }
    return NULL;
}

static void test_threads_plan_at_once(void) {
    pthread_t threads[4];
    for (intptr_t i = 0; i < 4; i++) pthread_create(&threads[i], NULL, plan_in_thread, (void *)i);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
}

int main(void) {
    if (fs_cudnn_open(&library) != FS_OK) {
        printf("SKIPPED: %s\n", fs_error_text());
        return 77;
    }
    printf("cuDNN %d, %s\n", fs_cudnn_version(library), fs_cudnn_path(library));
    if (fs_cudnn_version(library) < DESCRIBED_SINCE) {
        printf("SKIPPED: cuDNN 9.8 and later can plan without a GPU\n");
        return 77;
    }
    keep_nvrtc();
    read_devices(FS_SOURCE_DIR "/tests/cudnn/devices");
    collect_layers();
    test_every_layer_has_engines();
    test_workspace_limit_holds();
    test_plans_are_different();
    test_hostile_names_find_nothing();
    test_changed_names_do_no_harm();
    test_mistakes_are_refused();
    test_failures_have_their_text();
    test_without_device();
    test_only_the_chosen_library_is_used();
    test_allocation_failures();
    test_threads_plan_at_once();
    fs_cudnn_close(library);
    CHECK(fs_mem_live_blocks() == 0, "%zu blocks are left", fs_mem_live_blocks());
    printf("%d layers on %d devices, %d failures\n", layer_count, device_count, failures);
    return failures > 0;
}
