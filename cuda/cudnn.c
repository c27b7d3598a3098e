// Plans over cuDNN's graph API: writes a convolution down, chooses engines for it, runs them.
//
// A plan is plain data first: an engine's number and its knobs. cuDNN's heuristics only propose such choices, a plan's
// name spells one out, and one function builds a plan from a choice, whoever made it.
#ifdef FS_HAVE_CUDNN

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/cudnn_library.h"
#include "runtime/base/log.h"
#include "runtime/base/mem.h"

enum {
    DESCRIBED_SINCE = 90800, // planning for a described device
    ALIGNMENT = 16,          // bytes, of every pointer
    KNOBS = 16,              // of an engine, at most; up to 8 were seen
    NAME = 40,
};

// ---- Descriptors ----------------------------------------------------------------------------------------------------

typedef cudnnBackendDescriptor_t desc;

// Descriptors that live and die together. The first call that fails is remembered and makes the later ones do nothing,
// so that a graph is written down without a test after every line.
typedef struct scope {
    const fs_cudnn *cudnn;
    desc *item;
    int items, capacity;
    cudnnStatus_t error;
} scope;

static bool fine(const scope *s) {
    return s->error == CUDNN_STATUS_SUCCESS;
}

static void scope_end(scope *s) {
    while (s->items > 0) s->cudnn->cudnnBackendDestroyDescriptor(s->item[--s->items]);
    fs_free(s->item);
    s->item = NULL, s->capacity = 0;
}

static bool room(scope *s) {
    if (s->items < s->capacity) return true;
    const int capacity = s->capacity > 0 ? 2 * s->capacity : 32;
    desc *item = fs_grow(s->item, (size_t)s->capacity * sizeof *item, (size_t)capacity, sizeof *item);
    if (item == NULL) return false;
    s->item = item, s->capacity = capacity;
    return true;
}

static desc create(scope *s, cudnnBackendDescriptorType_t type) {
    desc d = NULL;
    if (fine(s) && !room(s)) s->error = CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
    if (fine(s)) s->error = s->cudnn->cudnnBackendCreateDescriptor(type, &d);
    if (fine(s)) s->item[s->items++] = d;
    return d;
}

static void set(scope *s, desc d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                const void *value) {
    if (fine(s)) s->error = s->cudnn->cudnnBackendSetAttribute(d, name, type, count, value);
}

static void set_integer(scope *s, desc d, cudnnBackendAttributeName_t name, int64_t value) {
    set(s, d, name, CUDNN_TYPE_INT64, 1, &value);
}

static void set_type(scope *s, desc d, cudnnBackendAttributeName_t name, cudnnDataType_t value) {
    set(s, d, name, CUDNN_TYPE_DATA_TYPE, 1, &value);
}

static void set_desc(scope *s, desc d, cudnnBackendAttributeName_t name, desc value) {
    set(s, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static desc finish(scope *s, desc d) {
    if (fine(s)) s->error = s->cudnn->cudnnBackendFinalize(d);
    return d;
}

// How many elements there are, up to `max` of which are read; 0 on failure.
static int get(scope *s, desc d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int max,
               void *value) {
    int64_t count = 0;
    if (fine(s)) s->error = s->cudnn->cudnnBackendGetAttribute(d, name, type, max, &count, value);
    return fine(s) && count > 0 && count <= INT32_MAX ? (int)count : 0;
}

static int64_t get_integer(scope *s, desc d, cudnnBackendAttributeName_t name) {
    int64_t value = 0;
    get(s, d, name, CUDNN_TYPE_INT64, 1, &value);
    return value;
}

// ---- The graph ------------------------------------------------------------------------------------------------------

enum { X = 1, W, BIAS, Z, Y, CONVOLVED, SUMMED, BIASED }; // ids of tensors; a variant pack names the first five

// What is planned: a convolution on a device.
typedef struct problem {
    const fs_cudnn *cudnn;
    const char *device; // its description; NULL: the current one
    const fs_cudnn_conv *conv;
    size_t workspace_limit;
} problem;

// The description of the device; NULL for the current one.
static desc describe_device(scope *s, const problem *p) {
    if (p->device == NULL) return NULL;
    desc d = create(s, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
    set(s, d, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, (int64_t)strlen(p->device), p->device);
    return finish(s, d);
}

// n maps [h][w][c]; dimensions go in the order n, c, h, w whatever the layout, which the strides tell.
static desc tensor(scope *s, int id, cudnnDataType_t type, int64_t n, int64_t h, int64_t w, int64_t c, int64_t pitch) {
    const int64_t dims[4] = {n, c, h, w}, strides[4] = {h * w * pitch, 1, w * pitch, pitch};
    const bool is_virtual = id >= CONVOLVED; // lives in registers only
    desc d = create(s, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    set_type(s, d, CUDNN_ATTR_TENSOR_DATA_TYPE, type);
    set(s, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims);
    set(s, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
    set_integer(s, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, id);
    set_integer(s, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, ALIGNMENT);
    set(s, d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
    return finish(s, d);
}

// A map of the output's size: float between operations, half in memory.
static desc output_map(scope *s, int id, const fs_cudnn_conv *c) {
    if (id >= CONVOLVED) return tensor(s, id, CUDNN_DATA_FLOAT, 1, c->oh, c->ow, c->n, c->n);
    return tensor(s, id, CUDNN_DATA_HALF, 1, c->oh, c->ow, c->n, c->n_pitch);
}

static desc convolution(scope *s, const fs_cudnn_conv *c, desc y) {
    const int64_t stride[2] = {c->stride, c->stride}, dilation[2] = {c->dilation, c->dilation};
    const int64_t before[2] = {c->pad_top, c->pad_left}, behind[2] = {c->pad_bottom, c->pad_right};
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    desc d = create(s, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    set_integer(s, d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 2);
    set(s, d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, stride);
    set(s, d, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilation);
    set(s, d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, before);
    set(s, d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, behind);
    set_type(s, d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT);
    set(s, d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    finish(s, d);
    desc x = tensor(s, X, CUDNN_DATA_HALF, 1, c->h, c->w, c->c, c->c_pitch);
    desc w = tensor(s, W, CUDNN_DATA_HALF, c->n, c->kernel, c->kernel, c->c, c->c);
    desc op = create(s, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
    set_desc(s, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, d);
    set_desc(s, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x);
    set_desc(s, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, w);
    set_desc(s, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, y);
    return finish(s, op);
}

// y = mode(x), or mode(x, b) with a `b`.
static desc pointwise(scope *s, cudnnPointwiseMode_t mode, desc x, desc b, desc y) {
    desc d = create(s, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    set(s, d, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    set_type(s, d, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT);
    finish(s, d);
    desc op = create(s, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    set_desc(s, op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, d);
    set_desc(s, op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    if (b != NULL) set_desc(s, op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
    set_desc(s, op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    return finish(s, op);
}

// Convolution, (+ z), + bias, (ReLU): cuDNN has precompiled engines for this order, with half bias and float between
// the operations. Any other form is compiled at run time.
static desc build_graph(scope *s, const fs_cudnn_conv *c) {
    desc op[4];
    int ops = 0;
    desc y = output_map(s, Y, c), value = output_map(s, CONVOLVED, c);
    op[ops++] = convolution(s, c, value);
    if (c->residual) {
        desc sum = output_map(s, SUMMED, c);
        op[ops++] = pointwise(s, CUDNN_POINTWISE_ADD, value, output_map(s, Z, c), sum);
        value = sum;
    }
    desc bias = tensor(s, BIAS, CUDNN_DATA_HALF, 1, 1, 1, c->n, c->n);
    desc biased = c->relu ? output_map(s, BIASED, c) : y;
    op[ops++] = pointwise(s, CUDNN_POINTWISE_ADD, value, bias, biased);
    if (c->relu) op[ops++] = pointwise(s, CUDNN_POINTWISE_RELU_FWD, biased, NULL, y);
    desc graph = create(s, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    set(s, graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, ops, op);
    return finish(s, graph);
}

static bool axis_fits(int in, int out, int before, int behind, const fs_cudnn_conv *c) {
    const int64_t room_left = (int64_t)in + before + behind - (int64_t)c->dilation * (c->kernel - 1) - 1;
    return in > 0 && before >= 0 && behind >= 0 && room_left >= 0 && out == room_left / c->stride + 1;
}

// cuDNN checks little: a wrong channel count would be read past the end of a buffer.
static fs_status check(const fs_cudnn *cudnn, const fs_cudnn_target *target, const fs_cudnn_conv *c) {
    const bool sound = c->c > 0 && c->n > 0 && c->c_pitch >= c->c && c->n_pitch >= c->n && c->kernel > 0 &&
                       c->stride > 0 && c->dilation > 0 && axis_fits(c->h, c->oh, c->pad_top, c->pad_bottom, c) &&
                       axis_fits(c->w, c->ow, c->pad_left, c->pad_right, c);
    if (!sound)
        return fs_fail(FS_ERR_ARGUMENT, "no convolution: %dx%dx%d to %dx%dx%d, kernel %d, stride %d, dilation %d", c->h,
                       c->w, c->c, c->oh, c->ow, c->n, c->kernel, c->stride, c->dilation);
    if (target != NULL && target->json != NULL && cudnn->version < DESCRIBED_SINCE)
        return fs_fail(FS_ERR_UNSUPPORTED, "cuDNN %d cannot plan for a described device; 9.8 and later can",
                       cudnn->version);
    return FS_OK;
}

// ---- Choices --------------------------------------------------------------------------------------------------------

typedef struct choice {
    int64_t engine;
    int knobs;
    struct knob {
        int64_t type, value;
    } knob[KNOBS];
} choice;

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"; // types of knobs 0 to 51

// "cudnn 32:C2G3N1": engine, then each knob's type as a letter and its value. False when it does not fit.
static bool name_of(const choice *c, char name[NAME]) {
    int length = snprintf(name, NAME, "cudnn %lld", (long long)c->engine);
    bool fits = c->engine >= 0 && c->engine <= INT32_MAX;
    for (int i = 0; i < c->knobs && length < NAME && fits; i++) {
        const struct knob *k = &c->knob[i];
        // cuDNN cuts values to 32 bits.
        fits = k->type >= 0 && k->type < (int64_t)sizeof letters - 1 && k->value == (int32_t)k->value;
        if (!fits) break;
        length += snprintf(name + length, (size_t)(NAME - length), "%s%c%lld", i ? "" : ":", letters[k->type],
                           (long long)k->value);
    }
    return fits && length < NAME;
}

// The choice of this name; false when name_of makes no such name.
static bool choice_of(const char *name, choice *c) {
    char again[NAME];
    char *at;
    if (strncmp(name, "cudnn ", 6) != 0) return false;
    *c = (choice){.engine = strtoll(name + 6, &at, 10)};
    if (*at == ':') at++;
    while (*at != '\0' && c->knobs < KNOBS) {
        const char *letter = strchr(letters, *at);
        if (letter == NULL) return false;
        c->knob[c->knobs++] = (struct knob){letter - letters, strtoll(at + 1, &at, 10)};
    }
    return name_of(c, again) && strcmp(name, again) == 0;
}

// Reads a configuration that the heuristics propose; false for one that no name can hold.
static bool read_choice(scope *s, desc config, choice *c) {
    scope own = {.cudnn = s->cudnn, .error = s->error};
    desc engine = create(&own, CUDNN_BACKEND_ENGINE_DESCRIPTOR), knob[KNOBS];
    for (int i = 0; i < KNOBS; i++) knob[i] = create(&own, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
    get(&own, config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &engine);
    const int knobs = get(&own, config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR, KNOBS, knob);
    *c = (choice){.engine = get_integer(&own, engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX), .knobs = knobs};
    for (int i = 0; i < knobs && i < KNOBS; i++) {
        cudnnBackendKnobType_t type = CUDNN_KNOB_TYPE_COUNTS;
        get(&own, knob[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &type);
        c->knob[i] = (struct knob){type, get_integer(&own, knob[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE)};
    }
    s->error = own.error;
    scope_end(&own);
    char name[NAME];
    return fine(s) && knobs <= KNOBS && name_of(c, name);
}

typedef struct choices {
    choice *item;
    int count;
} choices;

static bool listed(const choices *list, const choice *c) {
    char name[NAME], other[NAME];
    name_of(c, name);
    for (int i = 0; i < list->count; i++)
        if (name_of(&list->item[i], other) && strcmp(name, other) == 0) return true;
    return false;
}

// Adds what one heuristic mode proposes, best first.
static void propose(scope *s, desc graph, desc device, cudnnBackendHeurMode_t mode, choices *list) {
    desc heuristics = create(s, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    set_desc(s, heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
    set(s, heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    if (device != NULL) set_desc(s, heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device);
    finish(s, heuristics);
    const int candidates = get(s, heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, NULL);
    if (candidates == 0) return;
    desc *config = fs_calloc((size_t)candidates, sizeof *config);
    choice *grown =
        fs_grow(list->item, (size_t)list->count * sizeof *grown, (size_t)(list->count + candidates), sizeof *grown);
    if (grown != NULL) list->item = grown;
    if (config == NULL || grown == NULL) s->error = CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
    for (int i = 0; fine(s) && i < candidates; i++) config[i] = create(s, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    // The number before was of candidates; fewer come.
    const int results =
        get(s, heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, candidates, config);
    for (int i = 0; fine(s) && i < results && i < candidates; i++) {
        choice *c = &list->item[list->count];
        if (read_choice(s, config[i], c) && !listed(list, c)) list->count++;
    }
    fs_free(config);
}

static fs_status list_choices(const problem *p, choices *list) {
    scope s = {.cudnn = p->cudnn};
    desc device = describe_device(&s, p), graph = build_graph(&s, p->conv);
    propose(&s, graph, device, CUDNN_HEUR_MODE_A, list);
    propose(&s, graph, device, CUDNN_HEUR_MODE_FALLBACK, list);
    const fs_status status = fine(&s) ? FS_OK : fs_cudnn_failed(p->cudnn, s.error, "list engines for a convolution");
    scope_end(&s);
    return status;
}

// ---- Plans ----------------------------------------------------------------------------------------------------------

struct fs_cudnn_plan {
    scope descriptors; // all that the plan is made of: cuDNN does not say what it copies
    scope bound;       // the variant pack of fs_cudnn_bind
    desc plan, pack;
    bool residual;
    size_t workspace;
    char name[NAME];
};

// Precompiled engines only: start-up stays short and NVRTC is not needed. And only such as add in float and give the
// same bits each time.
static bool wanted(scope *s, desc engine) {
    cudnnBackendBehaviorNote_t behavior[CUDNN_BEHAVIOR_NOTE_TYPE_COUNT];
    cudnnBackendNumericalNote_t number[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    const int behaviors = get(s, engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE,
                              CUDNN_BEHAVIOR_NOTE_TYPE_COUNT, behavior);
    const int numbers = get(s, engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                            CUDNN_NUMERICAL_NOTE_TYPE_COUNT, number);
    for (int i = 0; i < behaviors && i < CUDNN_BEHAVIOR_NOTE_TYPE_COUNT; i++)
        if (behavior[i] == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION) return false;
    for (int i = 0; i < numbers && i < CUDNN_NUMERICAL_NOTE_TYPE_COUNT; i++)
        if (number[i] != CUDNN_NUMERICAL_NOTE_TENSOR_CORE && number[i] != CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP)
            return false;
    return fine(s);
}

static desc configure(scope *s, desc engine, const choice *c) {
    desc knob[KNOBS];
    for (int i = 0; i < c->knobs; i++) {
        const cudnnBackendKnobType_t type = (cudnnBackendKnobType_t)c->knob[i].type;
        knob[i] = create(s, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
        set(s, knob[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &type);
        set_integer(s, knob[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, c->knob[i].value);
        finish(s, knob[i]);
    }
    desc config = create(s, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    set_desc(s, config, CUDNN_ATTR_ENGINECFG_ENGINE, engine);
    if (c->knobs > 0) set(s, config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR, c->knobs, knob);
    return finish(s, config);
}

// True when the plan stands; false when it is not wanted, or s->error says what cuDNN has against it.
static bool construct(fs_cudnn_plan *plan, const problem *p, const choice *c) {
    scope *s = &plan->descriptors;
    desc device = describe_device(s, p), graph = build_graph(s, p->conv);
    desc engine = create(s, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    set_desc(s, engine, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph);
    set_integer(s, engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, c->engine);
    if (device != NULL) set_desc(s, engine, CUDNN_ATTR_ENGINE_DEVICEPROP, device);
    finish(s, engine);
    if (!wanted(s, engine)) return false;
    desc config = configure(s, engine, c);
    if (!fine(s)) return false; // a plan of an unfinished configuration crashes
    plan->plan = create(s, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    set_desc(s, plan->plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
    if (device != NULL) set_desc(s, plan->plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, device);
    finish(s, plan->plan);
    const int64_t workspace = get_integer(s, plan->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
    plan->workspace = (size_t)workspace;
    return fine(s) && workspace >= 0 && (uint64_t)workspace <= p->workspace_limit;
}

// *out = NULL, and FS_OK, when cuDNN cannot do it so or we do not want it: one engine's failure is no reason to fail.
static fs_status build(const problem *p, const choice *c, fs_cudnn_plan **out) {
    fs_cudnn_plan *plan = fs_calloc(1, sizeof *plan);
    if (plan == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for a convolution's plan");
    plan->descriptors.cudnn = plan->bound.cudnn = p->cudnn;
    plan->residual = p->conv->residual;
    name_of(c, plan->name);
    if (construct(plan, p, c)) {
        *out = plan;
        return FS_OK;
    }
    fs_status status = FS_OK;
    const cudnnStatus_t error = plan->descriptors.error;
    if (fs_cudnn_out_of_memory(error)) {
        status = fs_cudnn_failed(p->cudnn, error, "build a convolution's plan");
    } else if (error != CUDNN_STATUS_SUCCESS) {
        char detail[512];
        fs_cudnn_last_error(p->cudnn, detail, sizeof detail);
        fs_log(FS_LOG_DEBUG, "%s: %s: %s", plan->name, p->cudnn->cudnnGetErrorString(error), detail);
    }
    fs_cudnn_plan_free(plan);
    if (status == FS_OK) *out = NULL;
    return status;
}

fs_status fs_cudnn_plans(fs_cudnn *cudnn, const fs_cudnn_target *target, const fs_cudnn_conv *conv,
                         size_t workspace_limit, fs_cudnn_plan **plans, int max, int *count) {
    FS_TRY(check(cudnn, target, conv));
    const problem p = {cudnn, target != NULL ? target->json : NULL, conv, workspace_limit};
    choices list = {0};
    int built = 0;
    fs_status status = list_choices(&p, &list);
    for (int i = 0; status == FS_OK && i < list.count && built < max; i++) {
        fs_cudnn_plan *plan;
        status = build(&p, &list.item[i], &plan);
        if (status == FS_OK && plan != NULL) plans[built++] = plan;
    }
    fs_free(list.item);
    if (status == FS_OK) {
        *count = built;
        return FS_OK;
    }
    while (built > 0) fs_cudnn_plan_free(plans[--built]);
    return status;
}

fs_status fs_cudnn_find(fs_cudnn *cudnn, const fs_cudnn_target *target, const fs_cudnn_conv *conv,
                        size_t workspace_limit, const char *name, fs_cudnn_plan **plan) {
    FS_TRY(check(cudnn, target, conv));
    const problem p = {cudnn, target != NULL ? target->json : NULL, conv, workspace_limit};
    choice c;
    if (choice_of(name, &c)) return build(&p, &c, plan);
    *plan = NULL;
    return FS_OK;
}

void fs_cudnn_plan_free(fs_cudnn_plan *plan) {
    if (plan == NULL) return;
    scope_end(&plan->bound);
    scope_end(&plan->descriptors);
    fs_free(plan);
}

const char *fs_cudnn_plan_name(const fs_cudnn_plan *plan) {
    return plan->name;
}

size_t fs_cudnn_plan_workspace(const fs_cudnn_plan *plan) {
    return plan->workspace;
}

// ---- Running --------------------------------------------------------------------------------------------------------

fs_status fs_cudnn_bind(fs_cudnn_plan *plan, const void *x, const void *w, const void *bias, const void *z, void *y,
                        void *workspace) {
    const int64_t ids[5] = {X, W, BIAS, Y, Z};
    const void *const pointers[5] = {x, w, bias, y, z};
    const int count = plan->residual ? 5 : 4;
    for (int i = 0; i < count; i++)
        if (pointers[i] == NULL || (uintptr_t)pointers[i] % ALIGNMENT != 0)
            return fs_fail(FS_ERR_ARGUMENT, "%s: pointer %d is %p, which is not aligned to %d bytes", plan->name, i,
                           pointers[i], ALIGNMENT);
    if (plan->workspace > 0 && workspace == NULL)
        return fs_fail(FS_ERR_ARGUMENT, "%s needs a workspace of %zu bytes", plan->name, plan->workspace);
    scope s = {.cudnn = plan->bound.cudnn};
    desc pack = create(&s, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    set(&s, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, ids);
    set(&s, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, pointers);
    set(&s, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    finish(&s, pack);
    if (!fine(&s)) {
        const fs_status status = fs_cudnn_failed(s.cudnn, s.error, "take the pointers of a convolution");
        scope_end(&s);
        return status;
    }
    scope_end(&plan->bound);
    plan->bound = s, plan->pack = pack;
    return FS_OK;
}

fs_status fs_cudnn_run(fs_cudnn_handle *handle, fs_cudnn_plan *plan, cudaStream_t stream) {
    const fs_cudnn *cudnn = handle->cudnn;
    if (plan->pack == NULL) return fs_fail(FS_ERR_STATE, "%s has no pointers yet", plan->name);
    if (!handle->set || handle->stream != stream) {
        handle->set = false;
        const cudnnStatus_t status = cudnn->cudnnSetStream(handle->handle, stream);
        if (status != CUDNN_STATUS_SUCCESS) return fs_cudnn_failed(cudnn, status, "use a stream");
        handle->stream = stream, handle->set = true;
    }
    const cudnnStatus_t status = cudnn->cudnnBackendExecute(handle->handle, plan->plan, plan->pack);
    if (status == CUDNN_STATUS_SUCCESS) return FS_OK;
    char what[NAME + 16];
    snprintf(what, sizeof what, "run '%s'", plan->name);
    return fs_cudnn_failed(cudnn, status, what);
}

#endif
