// A stand-in for cuDNN's graph API on the simulated CUDA runtime; cudnn_standin.h tells what it does.
//
// Stricter than cuDNN where that helps: every attribute is checked for type, count and moment, every descriptor for
// being alive and finished, and only the one pattern of cuda/cudnn.c is a graph.
#include "tests/cuda_sim/cudnn_standin.h"

#include <cudnn_graph.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "tests/cuda_sim/cudnn_standin_work.h"
#include "tests/cuda_sim/sim.h"

namespace {

using standin::Tensor;
using standin::Work;

// ---- Faults and misuse ----------------------------------------------------------------------------------------------

std::mutex lock;
std::set<const void *> live;
long calls, fail_in;
int fail_status, fired;
std::string misuse;
thread_local std::string last_error;

cudnnStatus_t fail(cudnnStatus_t status, const char *why) {
    last_error = why;
    return status;
}

cudnnStatus_t misused(const char *why) {
    std::lock_guard<std::mutex> guard(lock);
    misuse = why;
    return fail(CUDNN_STATUS_BAD_PARAM, why);
}

// Counts a call; what it has to fail with.
cudnnStatus_t planned_fault() {
    std::lock_guard<std::mutex> guard(lock);
    calls++;
    if (fail_in == 0 || --fail_in > 0) return CUDNN_STATUS_SUCCESS;
    fired = 1;
    return fail(static_cast<cudnnStatus_t>(fail_status), "planned fault");
}

bool is_live(const void *object) {
    std::lock_guard<std::mutex> guard(lock);
    return live.count(object) > 0;
}

void born(const void *object) {
    std::lock_guard<std::mutex> guard(lock);
    live.insert(object);
}

bool died(const void *object) {
    std::lock_guard<std::mutex> guard(lock);
    return live.erase(object) > 0;
}

#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        const cudnnStatus_t try_status = (call);                                                                       \
        if (try_status != CUDNN_STATUS_SUCCESS) return try_status;                                                     \
    } while (0)
#define NEED(condition, status)                                                                                        \
    do {                                                                                                               \
        if (!(condition)) return fail(status, "!(" #condition ")");                                                    \
    } while (0)

// ---- What a graph comes to ------------------------------------------------------------------------------------------

struct Graph {
    Work work;
    std::vector<int64_t> ids; // that a variant pack must name
    int64_t bias_id, z_id;
};

struct Config {
    int64_t engine;
    std::vector<std::pair<cudnnBackendKnobType_t, int64_t>> knobs;
};

// ---- Descriptors ----------------------------------------------------------------------------------------------------

struct Attribute {
    cudnnBackendDescriptorType_t of;
    cudnnBackendAttributeName_t name;
    cudnnBackendAttributeType_t type;
    int64_t count; // 0: any
    bool required;
};

const Attribute settable[] = {
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, true},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, true},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, true},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, true},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, true},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, true},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, true},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, true},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, true},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, true},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, true},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, true},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, true},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, true},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, true},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, true},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, true},
    {CUDNN_BACKEND_POINTWISE_DESCRIPTOR, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, true},
    {CUDNN_BACKEND_POINTWISE_DESCRIPTOR, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, true},
    {CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR,
     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, true},
    {CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR,
     1, true},
    {CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR,
     1, false},
    {CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR,
     1, true},
    {CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, true},
    {CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
     true},
    {CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, true},
    {CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, false},
    {CUDNN_BACKEND_ENGINE_DESCRIPTOR, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, true},
    {CUDNN_BACKEND_ENGINE_DESCRIPTOR, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, true},
    {CUDNN_BACKEND_ENGINE_DESCRIPTOR, CUDNN_ATTR_ENGINE_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, false},
    {CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, true},
    {CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, true},
    {CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, true},
    {CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, false},
    {CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
     true},
    {CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
     false},
    {CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 0, true},
    {CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 0, true},
    {CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, false},
    {CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, 0, true},
};

size_t element_bytes(cudnnBackendAttributeType_t type) {
    switch (type) {
    case CUDNN_TYPE_CHAR:
    case CUDNN_TYPE_BOOLEAN: return 1;
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR: return 8;
    default: return 4; // enumerations
    }
}

struct Descriptor {
    cudnnBackendDescriptorType_t type;
    bool finished = false;
    std::map<cudnnBackendAttributeName_t, std::vector<unsigned char>> set;
    // What a finished one stands for; each kind uses its part.
    Graph graph{};
    Config config{};
    std::vector<Config> proposals;

    template <class T> std::vector<T> all(cudnnBackendAttributeName_t name) const {
        const auto found = set.find(name);
        std::vector<T> values(found == set.end() ? 0 : found->second.size() / sizeof(T));
        if (!values.empty()) std::memcpy(values.data(), found->second.data(), values.size() * sizeof(T));
        return values;
    }
    template <class T> T one(cudnnBackendAttributeName_t name) const {
        const std::vector<T> values = all<T>(name);
        return values.empty() ? T() : values[0];
    }
    const Descriptor *ref(cudnnBackendAttributeName_t name) const { return one<const Descriptor *>(name); }
};

Tensor tensor_of(const Descriptor &d) {
    Tensor t{};
    t.id = d.one<int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID);
    t.type = d.one<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE);
    t.is_virtual = d.one<unsigned char>(CUDNN_ATTR_TENSOR_IS_VIRTUAL);
    std::memcpy(t.dim, d.all<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS).data(), sizeof t.dim);
    std::memcpy(t.stride, d.all<int64_t>(CUDNN_ATTR_TENSOR_STRIDES).data(), sizeof t.stride);
    return t;
}

// Everything that is required is there, and whatever a descriptor refers to is alive and finished.
cudnnStatus_t check_complete(const Descriptor &d) {
    for (const Attribute &a : settable) {
        if (a.of != d.type) continue;
        const bool present = d.set.count(a.name) > 0;
        if (a.required && !present) {
            const bool crashes = d.type == CUDNN_BACKEND_ENGINECFG_DESCRIPTOR;
            return crashes ? misused("an engine configuration without an engine: cuDNN crashes")
                           : fail(CUDNN_STATUS_BAD_PARAM, "a required attribute is missing");
        }
        if (!present || a.type != CUDNN_TYPE_BACKEND_DESCRIPTOR) continue;
        for (const Descriptor *other : d.all<const Descriptor *>(a.name)) {
            if (!is_live(other)) return misused("a descriptor refers to one that is destroyed");
            NEED(other->finished, CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED);
        }
    }
    return CUDNN_STATUS_SUCCESS;
}

// ---- The pattern ----------------------------------------------------------------------------------------------------

cudnnPointwiseMode_t mode_of(const Descriptor &op) {
    return op.ref(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR)->one<cudnnPointwiseMode_t>(CUDNN_ATTR_POINTWISE_MODE);
}

bool is_add(const Descriptor &op) {
    return op.type == CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR && mode_of(op) == CUDNN_POINTWISE_ADD;
}

cudnnStatus_t read_convolution(const Descriptor &op, Graph &graph) {
    const Descriptor &conv = *op.ref(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC);
    Work &work = graph.work;
    work.tx = tensor_of(*op.ref(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X));
    work.tw = tensor_of(*op.ref(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W));
    const Tensor y = tensor_of(*op.ref(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y));
    const auto behind = conv.all<int64_t>(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS);
    for (size_t i = 0; i < 2; i++) {
        work.stride[i] = conv.all<int64_t>(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES)[i];
        work.dilation[i] = conv.all<int64_t>(CUDNN_ATTR_CONVOLUTION_DILATIONS)[i];
        work.pad[i] = conv.all<int64_t>(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS)[i];
        const int64_t reach = work.dilation[i] * (work.tw.dim[2 + i] - 1) + 1;
        const int64_t out = (work.tx.dim[2 + i] + work.pad[i] + behind[i] - reach) / work.stride[i] + 1;
        NEED(out == y.dim[2 + i], CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH);
    }
    NEED(conv.one<cudnnDataType_t>(CUDNN_ATTR_CONVOLUTION_COMP_TYPE) == CUDNN_DATA_FLOAT,
         CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE);
    NEED(conv.one<cudnnConvolutionMode_t>(CUDNN_ATTR_CONVOLUTION_CONV_MODE) == CUDNN_CROSS_CORRELATION,
         CUDNN_STATUS_NOT_SUPPORTED);
    NEED(work.tx.dim[1] == work.tw.dim[1] && work.tw.dim[0] == y.dim[1], CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH);
    NEED(work.tw.stride[1] == 1 && work.tw.stride[0] == work.tw.dim[1] * work.tw.dim[2] * work.tw.dim[3],
         CUDNN_STATUS_NOT_SUPPORTED_LAYOUT);
    NEED(work.tx.type == CUDNN_DATA_HALF && work.tw.type == CUDNN_DATA_HALF, CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE);
    graph.ids = {work.tx.id, work.tw.id};
    work.ty = y;
    return CUDNN_STATUS_SUCCESS;
}

// One of + z, + bias, ReLU, in this order; work.ty is the tensor before and after. Two maps are added: z, then the
// bias.
cudnnStatus_t read_pointwise(const Descriptor &op, bool adds_z, Graph &graph) {
    Work &work = graph.work;
    const Tensor x = tensor_of(*op.ref(CUDNN_ATTR_OPERATION_POINTWISE_XDESC));
    // Half between operations, or a map in memory there, is a graph for engines that compile at run time.
    NEED(x.id == work.ty.id && x.is_virtual && x.type == CUDNN_DATA_FLOAT, CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN);
    work.ty = tensor_of(*op.ref(CUDNN_ATTR_OPERATION_POINTWISE_YDESC));
    const bool has_b = op.set.count(CUDNN_ATTR_OPERATION_POINTWISE_BDESC) > 0;
    NEED(has_b == is_add(op), CUDNN_STATUS_BAD_PARAM);
    if (!has_b) {
        NEED(mode_of(op) == CUDNN_POINTWISE_RELU_FWD && graph.bias_id != 0 && !work.relu,
             CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN);
        work.relu = true;
        return CUDNN_STATUS_SUCCESS;
    }
    const Tensor b = tensor_of(*op.ref(CUDNN_ATTR_OPERATION_POINTWISE_BDESC));
    const int64_t h = adds_z ? x.dim[2] : 1, w = adds_z ? x.dim[3] : 1;
    NEED(b.type == CUDNN_DATA_HALF && !b.is_virtual && b.dim[1] == x.dim[1] && b.dim[2] == h && b.dim[3] == w,
         CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN);
    graph.ids.push_back(b.id);
    (adds_z ? graph.z_id : graph.bias_id) = b.id;
    if (adds_z) work.tz = b;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t finish_graph(Descriptor &d) {
    const auto ops = d.all<const Descriptor *>(CUDNN_ATTR_OPERATIONGRAPH_OPS);
    NEED(ops[0]->type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
         CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN);
    TRY(read_convolution(*ops[0], d.graph));
    const auto adds = std::count_if(ops.begin(), ops.end(), [](const Descriptor *op) { return is_add(*op); });
    NEED(adds == 1 || adds == 2, CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN);
    for (size_t i = 1; i < ops.size(); i++) {
        NEED(ops[i]->type == CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN);
        TRY(read_pointwise(*ops[i], i == 1 && adds == 2, d.graph));
    }
    const Tensor &y = d.graph.work.ty;
    NEED(d.graph.bias_id != 0 && !y.is_virtual && y.type == CUDNN_DATA_HALF, CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN);
    d.graph.ids.push_back(y.id);
    return CUDNN_STATUS_SUCCESS;
}

// ---- Engines --------------------------------------------------------------------------------------------------------

enum { LAST_RESORT, PLAIN, WITH_WORKSPACE, RUN_TIME_COMPILED, REFUSES, NOT_DETERMINISTIC, ENGINES };
const int64_t candidates_more_than_results = 3; // as cuDNN counts

std::vector<Config> proposals(cudnnBackendHeurMode_t mode) {
    const Config plain = {PLAIN, {{CUDNN_KNOB_TYPE_TILE_SIZE, 2}, {CUDNN_KNOB_TYPE_STAGES, 3}}};
    if (mode == CUDNN_HEUR_MODE_FALLBACK) return {plain, {LAST_RESORT, {}}};
    return {{RUN_TIME_COMPILED, {{CUDNN_KNOB_TYPE_TILE_SIZE, 0}}},
            plain,
            {WITH_WORKSPACE, {{CUDNN_KNOB_TYPE_SPLIT_K_BUF, -1}, {CUDNN_KNOB_TYPE_SPLIT_K_SLC, 16}}},
            {REFUSES, {{CUDNN_KNOB_TYPE_TILE_SIZE, 1}}},
            {NOT_DETERMINISTIC, {}},
            {PLAIN, {{CUDNN_KNOB_TYPE_TILE_SIZE, 15}, {CUDNN_KNOB_TYPE_STAGES, 2}}}};
}

int64_t workspace_of(const Descriptor &d) {
    const Tensor &y = d.graph.work.ty;
    return d.config.engine == WITH_WORKSPACE ? y.dim[1] * y.dim[2] * y.dim[3] * 4 + 131 : 0;
}

bool has_device() {
    int count = 0;
    return cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
}

cudnnStatus_t finish_engine(Descriptor &d) {
    d.config.engine = d.one<int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
    NEED(d.config.engine >= 0 && d.config.engine < ENGINES, CUDNN_STATUS_NOT_SUPPORTED);
    NEED(d.set.count(CUDNN_ATTR_ENGINE_DEVICEPROP) || has_device(), CUDNN_STATUS_NOT_INITIALIZED);
    d.graph = d.ref(CUDNN_ATTR_ENGINE_OPERATION_GRAPH)->graph;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t finish_config(Descriptor &d) {
    const Descriptor &engine = *d.ref(CUDNN_ATTR_ENGINECFG_ENGINE);
    d.graph = engine.graph, d.config = {engine.config.engine, {}};
    for (const Descriptor *knob : d.all<const Descriptor *>(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES)) {
        const auto type = knob->one<cudnnBackendKnobType_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE);
        const auto setting = knob->one<int64_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE);
        bool known = false;
        for (const Config &c : proposals(CUDNN_HEUR_MODE_A))
            for (const auto &k : c.knobs) known |= c.engine == d.config.engine && k.first == type;
        NEED(known && setting >= -1 && setting <= 64, CUDNN_STATUS_NOT_SUPPORTED);
        d.config.knobs.push_back({type, setting});
    }
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t finish_heuristics(Descriptor &d) {
    d.graph = d.ref(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH)->graph;
    if (d.set.count(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP) || has_device())
        d.proposals = proposals(d.one<cudnnBackendHeurMode_t>(CUDNN_ATTR_ENGINEHEUR_MODE));
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t finish_plan(Descriptor &d) {
    const Descriptor &config = *d.ref(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
    NEED(config.config.engine != REFUSES, CUDNN_STATUS_NOT_SUPPORTED_SHAPE);
    d.graph = config.graph, d.config = config.config;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t finish_tensor(const Descriptor &d) {
    const Tensor t = tensor_of(d);
    NEED(d.one<int64_t>(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT) % 16 == 0, CUDNN_STATUS_NOT_SUPPORTED_LAYOUT);
    NEED(t.id != 0 && t.dim[0] > 0 && t.dim[1] > 0 && t.dim[2] > 0 && t.dim[3] > 0, CUDNN_STATUS_BAD_PARAM);
    NEED(t.stride[1] == 1 && t.stride[3] >= t.dim[1] && t.stride[2] == t.dim[3] * t.stride[3],
         CUDNN_STATUS_NOT_SUPPORTED_LAYOUT);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t finish_device(const Descriptor &d) {
    const std::vector<char> json = d.all<char>(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION);
    NEED(std::string(json.begin(), json.end()).find("\"deviceVer\"") != std::string::npos, CUDNN_STATUS_BAD_PARAM);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t finish_pack(const Descriptor &d) {
    NEED(d.all<int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS).size() ==
             d.all<void *>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS).size(),
         CUDNN_STATUS_BAD_PARAM);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t finish(Descriptor &d) {
    TRY(check_complete(d));
    switch (d.type) {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR: return finish_tensor(d);
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR: return finish_graph(d);
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR: return finish_heuristics(d);
    case CUDNN_BACKEND_ENGINE_DESCRIPTOR: return finish_engine(d);
    case CUDNN_BACKEND_ENGINECFG_DESCRIPTOR: return finish_config(d);
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR: return finish_plan(d);
    case CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR: return finish_device(d);
    case CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR: return finish_pack(d);
    default: return CUDNN_STATUS_SUCCESS;
    }
}

// ---- Answers --------------------------------------------------------------------------------------------------------

// Where an answer goes, as cudnnBackendGetAttribute has it.
struct Answer {
    cudnnBackendAttributeType_t type;
    int64_t room;
    int64_t *count;
    void *out;

    template <class T> cudnnStatus_t values(cudnnBackendAttributeType_t is, const std::vector<T> &v) const {
        NEED(type == is, CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE);
        *count = static_cast<int64_t>(v.size());
        const size_t copied = std::min(v.size(), static_cast<size_t>(room));
        if (copied > 0) std::memcpy(out, v.data(), copied * sizeof(T));
        return CUDNN_STATUS_SUCCESS;
    }
    // The caller's own descriptors are filled in.
    template <class Fill>
    cudnnStatus_t descriptors(cudnnBackendDescriptorType_t kind, int64_t number, Fill fill) const {
        NEED(type == CUDNN_TYPE_BACKEND_DESCRIPTOR, CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE);
        for (int64_t i = 0; i < std::min(number, room); i++) {
            Descriptor *d = static_cast<Descriptor **>(out)[i];
            if (!is_live(d)) return misused("an answer is wanted in a descriptor that does not exist");
            NEED(d->type == kind, CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE);
            d->finished = true;
            fill(*d, static_cast<size_t>(i));
        }
        *count = number;
        return CUDNN_STATUS_SUCCESS;
    }
};

cudnnStatus_t answer_results(const Descriptor &heuristics, const Answer &answer) {
    const auto number = static_cast<int64_t>(heuristics.proposals.size());
    if (answer.room == 0) {
        *answer.count = number > 0 ? number + candidates_more_than_results : 0;
        return CUDNN_STATUS_SUCCESS;
    }
    return answer.descriptors(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, number, [&](Descriptor &d, size_t i) {
        d.graph = heuristics.graph, d.config = heuristics.proposals[i];
    });
}

cudnnStatus_t answer_knobs(const Config &config, const Answer &answer) {
    const auto number = static_cast<int64_t>(config.knobs.size());
    return answer.descriptors(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, number,
                              [&](Descriptor &d, size_t i) { d.config.knobs = {config.knobs[i]}; });
}

cudnnStatus_t answer(const Descriptor &d, cudnnBackendAttributeName_t name, const Answer &to) {
    std::vector<cudnnBackendBehaviorNote_t> behavior;
    std::vector<cudnnBackendNumericalNote_t> numbers;
    if (d.config.engine == RUN_TIME_COMPILED) behavior = {CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION};
    if (d.config.engine == NOT_DETERMINISTIC) numbers = {CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC};
    if (d.config.engine != LAST_RESORT) numbers.push_back(CUDNN_NUMERICAL_NOTE_TENSOR_CORE);
    switch (name) {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS: return answer_results(d, to);
    case CUDNN_ATTR_ENGINECFG_ENGINE:
        return to.descriptors(CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1,
                              [&](Descriptor &engine, size_t) { engine.config = d.config, engine.graph = d.graph; });
    case CUDNN_ATTR_ENGINECFG_KNOB_CHOICES: return answer_knobs(d.config, to);
    case CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE:
        return to.values(CUDNN_TYPE_KNOB_TYPE, std::vector<cudnnBackendKnobType_t>{d.config.knobs.at(0).first});
    case CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE:
        return to.values(CUDNN_TYPE_INT64, std::vector<int64_t>{d.config.knobs.at(0).second});
    case CUDNN_ATTR_ENGINE_GLOBAL_INDEX: return to.values(CUDNN_TYPE_INT64, std::vector<int64_t>{d.config.engine});
    case CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE: return to.values(CUDNN_TYPE_BEHAVIOR_NOTE, behavior);
    case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE: return to.values(CUDNN_TYPE_NUMERICAL_NOTE, numbers);
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
        return to.values(CUDNN_TYPE_INT64, std::vector<int64_t>{workspace_of(d)});
    default: return fail(CUDNN_STATUS_NOT_SUPPORTED, "no such attribute to get");
    }
}

// ---- Execution ------------------------------------------------------------------------------------------------------

struct Handle {
    cudaStream_t stream = nullptr;
    std::atomic_flag busy = ATOMIC_FLAG_INIT;
};

// The convolution with the pointers of the variant pack.
cudnnStatus_t place(const Descriptor &plan, const Descriptor &pack, Work &work) {
    const auto ids = pack.all<int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    const auto pointers = pack.all<void *>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    std::map<int64_t, void *> at;
    for (size_t i = 0; i < ids.size(); i++) at[ids[i]] = pointers[i];
    NEED(at.size() == ids.size() && at.size() == plan.graph.ids.size(), CUDNN_STATUS_BAD_PARAM);
    for (const int64_t id : plan.graph.ids) {
        NEED(at.count(id) && at[id] != nullptr, CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
        if (reinterpret_cast<uintptr_t>(at[id]) % 16 != 0) return misused("a pointer is not aligned to 16 bytes");
    }
    work = plan.graph.work;
    work.x = static_cast<__half *>(at[work.tx.id]), work.w = static_cast<__half *>(at[work.tw.id]);
    work.bias = static_cast<__half *>(at[plan.graph.bias_id]), work.y = static_cast<__half *>(at[work.ty.id]);
    if (plan.graph.z_id) work.z = static_cast<__half *>(at[plan.graph.z_id]);
    work.workspace_bytes = workspace_of(plan);
    if (work.workspace_bytes > 0) work.workspace = pack.one<unsigned char *>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
    NEED(work.workspace_bytes == 0 || work.workspace, CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t execute(Handle &handle, const Descriptor &plan, const Descriptor &pack) {
    Work work;
    TRY(place(plan, pack, work));
    if (sim_enqueue(handle.stream, "cudnn convolution", standin::convolve, &work, sizeof work) == cudaSuccess)
        return CUDNN_STATUS_SUCCESS;
    return fail(CUDNN_STATUS_EXECUTION_FAILED_CUDART, "the stream took no work");
}

} // namespace

// ---- cuDNN's functions ----------------------------------------------------------------------------------------------

size_t cudnnGetVersion() {
    return CUDNN_VERSION;
}

cudnnStatus_t cudnnGraphVersionCheck() {
    return planned_fault();
}

const char *cudnnGetErrorString(cudnnStatus_t status) {
    return CUDNN_STATUS_CATEGORY(status) == 3000 ? "STANDIN_NOT_SUPPORTED" : "STANDIN_FAILED";
}

void cudnnGetLastErrorString(char *message, size_t size) {
    if (size == 0) return;
    std::strncpy(message, last_error.c_str(), size - 1);
    message[size - 1] = '\0';
    last_error.clear();
}

cudnnStatus_t cudnnCreate(cudnnHandle_t *out) {
    TRY(planned_fault());
    NEED(has_device(), CUDNN_STATUS_NOT_INITIALIZED);
    Handle *handle = new Handle;
    born(handle);
    *out = reinterpret_cast<cudnnHandle_t>(handle);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
    if (!died(handle)) return misused("a handle is destroyed twice");
    delete reinterpret_cast<Handle *>(handle);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
    TRY(planned_fault());
    if (!is_live(handle)) return misused("a stream for a handle that is destroyed");
    reinterpret_cast<Handle *>(handle)->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *out) {
    TRY(planned_fault());
    Descriptor *d = new Descriptor;
    d->type = type;
    born(d);
    *out = d;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
    if (!died(descriptor)) return misused("a descriptor is destroyed twice");
    delete static_cast<Descriptor *>(descriptor);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count, const void *values) {
    TRY(planned_fault());
    if (!is_live(descriptor)) return misused("an attribute for a descriptor that is destroyed");
    Descriptor &d = *static_cast<Descriptor *>(descriptor);
    NEED(!d.finished, CUDNN_STATUS_BAD_PARAM);
    for (const Attribute &a : settable) {
        if (a.of != d.type || a.name != name) continue;
        NEED(a.type == type, CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE);
        NEED(count > 0 && (a.count == 0 || a.count == count), CUDNN_STATUS_BAD_PARAM);
        const unsigned char *bytes = static_cast<const unsigned char *>(values);
        d.set[name].assign(bytes, bytes + static_cast<size_t>(count) * element_bytes(type));
        return CUDNN_STATUS_SUCCESS;
    }
    return fail(CUDNN_STATUS_BAD_PARAM, "no such attribute to set");
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
    TRY(planned_fault());
    if (!is_live(descriptor)) return misused("a descriptor is finished that is destroyed");
    Descriptor &d = *static_cast<Descriptor *>(descriptor);
    NEED(!d.finished, CUDNN_STATUS_BAD_PARAM);
    TRY(finish(d));
    d.finished = true;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t room, int64_t *count, void *values) {
    TRY(planned_fault());
    if (!is_live(descriptor)) return misused("a question to a descriptor that is destroyed");
    const Descriptor &d = *static_cast<Descriptor *>(descriptor);
    NEED(d.finished, CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED);
    return answer(d, name, {type, room, count, values});
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack) {
    TRY(planned_fault());
    if (!is_live(handle) || !is_live(plan) || !is_live(pack)) return misused("execution of what is destroyed");
    const Descriptor &p = *static_cast<Descriptor *>(plan), &v = *static_cast<Descriptor *>(pack);
    NEED(p.finished && v.finished, CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED);
    NEED(p.type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR && v.type == CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR,
         CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE);
    Handle &h = *reinterpret_cast<Handle *>(handle);
    if (h.busy.test_and_set()) return misused("two threads use one handle at once");
    const cudnnStatus_t status = execute(h, p, v);
    h.busy.clear();
    return status;
}

// ---- Controls -------------------------------------------------------------------------------------------------------

long standin_live() {
    std::lock_guard<std::mutex> guard(lock);
    return static_cast<long>(live.size());
}

long standin_calls() {
    std::lock_guard<std::mutex> guard(lock);
    return calls;
}

void standin_fail_at(long n, int status) {
    std::lock_guard<std::mutex> guard(lock);
    fail_in = n, fail_status = status, fired = 0;
}

int standin_fault_fired() {
    std::lock_guard<std::mutex> guard(lock);
    return fired;
}

const char *standin_misuse() {
    std::lock_guard<std::mutex> guard(lock);
    static thread_local std::string text;
    text = misuse;
    return text.c_str();
}
