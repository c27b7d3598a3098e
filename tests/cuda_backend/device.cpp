// Which GPUs the backend takes and what it says of the others; every generation computes the same within its memory.
#include <cstring>

#include "tests/cuda/check.h"
#include "tests/cuda_backend/network.h"
#include "tests/cuda_sim/sim.h"

extern "C" {
#include "cuda/device.h"
#include "cuda/steps.h"
}

using namespace network;
using std::string;

enum { HEIGHT = 64, WIDTH = 96, CLASSES = 7 };

// Dynamic shared memory that a block may ask for, of CUDA's programming guide, "Technical Specifications per Compute
// Capability". The smallest come first: what a kernel was allowed on one device stays allowed on the next.
struct Generation {
    int sm;
    size_t shared;
};
static const Generation generations[] = {{75, 64 << 10},  {86, 99 << 10},   {89, 99 << 10}, {120, 99 << 10},
                                         {80, 163 << 10}, {100, 227 << 10}, {90, 227 << 10}};

static const size_t MEMORY = size_t{8} << 30;

static void play(int devices, int sm = 90, size_t shared = 227 << 10, size_t memory = MEMORY) {
    sim_device device = {};
    device.devices = devices, device.sm = sm, device.shared_optin = shared, device.memory = memory;
    sim_set_device(&device);
}

static bool says(const string &text, std::initializer_list<const char *> words) {
    for (const char *word : words)
        if (text.find(word) == string::npos) return false;
    return true;
}

// Looking, probing and opening an engine agree that this GPU cannot be used, and say so in these words.
static void refused(const Weights &weights, int ordinal, std::initializer_list<const char *> words) {
    fs_device device;
    CHECK(fs_device_look(ordinal, &device) == FS_ERR_DEVICE, "GPU %d is taken", ordinal);
    const string look = fs_error_text();
    CHECK(says(look, words), "%s", look.c_str());
    fs_probe probe;
    memset(&probe, 0x55, sizeof probe);
    fs_cuda_backend.probe(ordinal, &probe);
    CHECK(!probe.usable && look == probe.detail, "probe: %s", probe.detail);
    CHECK(probe.device[0] == '\0', "a device '%s'", probe.device);
    fs_engine_config config = {};
    config.precision = FS_FP16, config.device = ordinal, config.provider = FS_PROVIDER_OWN;
    void *engine = nullptr;
    CHECK(fs_cuda_backend.engine_open(&weights.weights, &config, &engine) == FS_ERR_DEVICE && engine == nullptr,
          "an engine on GPU %d", ordinal);
    CHECK(look == fs_error_text(), "engine: %s", fs_error_text());
    CHECK(cudaPeekAtLastError() == cudaSuccess, "the error stays recorded");
}

static void refusals() {
    const Weights weights(model_of(FS_PAPER, CLASSES, 3), 3);
    play(0);
    refused(weights, 0, {"no NVIDIA GPU is visible", "nvidia-smi", "CUDA_VISIBLE_DEVICES", "CPU backend"});
    play(-1);
    refused(weights, 0, {"driver is too old", "CUDA 11.4", "needs 13.0", "update the driver"});
    play(2, 70);
    refused(weights, 0, {"GPU 0", "compute capability 7.0", "7.5 (Turing) or newer", "another GPU", "CPU backend"});
    play(2);
    refused(weights, 2, {"no GPU 2", "shows 2", "counted from 0"});
    refused(weights, -1, {"no GPU -1"});
    play(1);
    CHECK(sim_misuses() == 0, "%s", sim_report());
}

static void usable() {
    play(2, 89, 99 << 10, size_t{24} << 30);
    fs_device device;
    CHECK(fs_device_look(1, &device) == FS_OK, "%s", fs_error_text());
    CHECK(device.ordinal == 1 && device.sm == 89 && device.shared_optin == 99 << 10 && device.processors == 132 &&
              device.memory == size_t{24} << 30 && device.driver == CUDART_VERSION && device.runtime == CUDART_VERSION,
          "sm %d, %d bytes, %d processors", device.sm, device.shared_optin, device.processors);
    fs_probe probe;
    fs_cuda_backend.probe(1, &probe);
    CHECK(probe.usable, "%s", probe.detail);
    CHECK(says(probe.device, {device.name, "sm_89", "132 SMs", "24576 MiB"}), "%s", probe.device);
    CHECK(says(probe.detail, {"fp16", "fp32", "driver for CUDA 13.0"}), "%s", probe.detail);
    CHECK(probe.precisions == (1u << FS_FP32 | 1u << FS_FP16) && probe.best == FS_FP16, "precisions %x",
          probe.precisions);
    play(1);
}

// ---- Engines ----

static fs_status engine_open(const fs_weights &weights, fs_precision precision) {
    fs_engine_config config = {};
    config.precision = precision, config.provider = FS_PROVIDER_OWN;
    void *engine = nullptr;
    const fs_status status = fs_cuda_backend.engine_open(&weights, &config, &engine);
    CHECK((status == FS_OK) == (engine != nullptr), "an engine or none");
    if (engine) fs_cuda_backend.engine_close(engine);
    CHECK(sim_live(SIM_ALL).count == 0 && sim_misuses() == 0, "%s", sim_report());
    return status;
}

static void precisions() {
    const Weights weights(model_of(FS_PAPER, CLASSES, 3), 3);
    for (const fs_precision precision : {FS_BF16, FS_INT8, FS_PRECISION_AUTO}) {
        CHECK(engine_open(weights.weights, precision) == FS_ERR_UNSUPPORTED, "precision %d", precision);
        CHECK(says(fs_error_text(), {"fp16 and fp32", fs_precision_name(precision)}), "%s", fs_error_text());
    }
    for (const fs_precision precision : {FS_FP16, FS_FP32})
        CHECK(engine_open(weights.weights, precision) == FS_OK, "%s", fs_error_text());
}

static void large_weights() {
    const struct {
        int layer;
        const char *name;
    } layers[] = {{FS_L_LTD_DS1_PW, "ltd.ds1.pw"}, {FS_L_GFE, "gfe."}, {FS_L_FFM_HIGH_PW, "ffm.high.pw"}};
    const size_t blocks = fs_mem_live_blocks();
    for (const auto &layer : layers)
        for (const float value : {65504.0f, 65536.0f, -1e6f}) {
            Weights weights(model_of(FS_PAPER, CLASSES, 3), 3);
            weights.weights.layer[layer.layer].weight[5] = value;
            const fs_status status = engine_open(weights.weights, FS_FP16);
            if (value == 65504.0f) {
                CHECK(status == FS_OK, "the largest half: %s", fs_error_text());
                continue;
            }
            CHECK(status == FS_ERR_WEIGHTS, "%s %g: %s", layer.name, static_cast<double>(value),
                  fs_status_name(status));
            CHECK(says(fs_error_text(), {layer.name, "half precision", "precision fp32"}), "%s", fs_error_text());
            CHECK(engine_open(weights.weights, FS_FP32) == FS_OK, "fp32: %s", fs_error_text());
        }
    CHECK(fs_mem_live_blocks() == blocks, "%zu blocks stay", fs_mem_live_blocks() - blocks);
}

// ---- Memory ----

static void too_little_memory() {
    const Weights weights(model_of(FS_PAPER, CLASSES, 3), 3);
    sim_reset(1);
    {
        const Run run(weights.weights, HEIGHT, WIDTH);
        CHECK(run.status == FS_OK, "%s", fs_error_text());
    }
    const size_t needed = sim_peak_bytes();
    for (const size_t memory : {size_t{1} << 10, needed - 1}) {
        play(1, 90, 227 << 10, memory);
        const Run run(weights.weights, HEIGHT, WIDTH);
        CHECK(run.status == FS_ERR_MEMORY && run.session == nullptr, "%zu bytes: %s", memory,
              fs_status_name(run.status));
        CHECK((run.engine != nullptr) == (memory == needed - 1), "%zu bytes: the engine", memory);
        CHECK(says(fs_error_text(), {"out of GPU memory", run.engine ? "session's memory" : "weights",
                                     "smaller size or fewer frames in flight"}),
              "%s", fs_error_text());
    }
    play(1, 90, 227 << 10, needed);
    {
        // Just enough for the session, not for logits on their way to the host; labels alone are still to be had.
        Run run(weights.weights, HEIGHT, WIDTH);
        CHECK(run.status == FS_OK, "%zu bytes are enough: %s", needed, fs_error_text());
        const std::vector<uint8_t> pixels = picture(HEIGHT, WIDTH, 3, 1);
        const fs_frame frame = frame_of(pixels, HEIGHT, WIDTH, FS_RGB8);
        std::vector<uint8_t> labels(HEIGHT * WIDTH, 0xEE);
        std::vector<float> logits(static_cast<size_t>(HEIGHT) * WIDTH * CLASSES);
        fs_outputs outputs = {};
        outputs.labels = labels.data(), outputs.labels_stride = WIDTH, outputs.logits = logits.data();
        uint64_t ticket = 0;
        CHECK(fs_cuda_backend.submit(run.session, &frame, &outputs, &ticket) == FS_ERR_MEMORY && ticket == 0,
              "logits without memory");
        CHECK(says(fs_error_text(), {"out of GPU memory", "an output"}), "%s", fs_error_text());
        outputs.logits = nullptr;
        CHECK(fs_cuda_backend.submit(run.session, &frame, &outputs, &ticket) == FS_OK, "%s", fs_error_text());
        CHECK(fs_cuda_backend.wait(run.session, ticket, -1) == FS_OK, "%s", fs_error_text());
        CHECK(labels != std::vector<uint8_t>(HEIGHT * WIDTH, 0xEE), "no labels");
    }
    play(1);
    CHECK(sim_live(SIM_ALL).count == 0 && sim_misuses() == 0, "%s", sim_report());
}

// ---- Generations ----

// Tactics differ from one generation to the next, and with them the order of sums: equal within that rounding. The
// simulator refuses cudaFuncSetAttribute beyond the device's shared memory, so opening fails where a kernel asks for
// more.
static void same_labels() {
    const Weights weights(model_of(FS_PAPER, CLASSES, 3), 4);
    const std::vector<uint8_t> pixels = picture(HEIGHT, WIDTH, 3, 5);
    const fs_frame frame = frame_of(pixels, HEIGHT, WIDTH, FS_RGB8);
    Result want;
    for (const Generation &g : generations) {
        if (check::quick() && g.sm != 75 && g.sm != 80) continue;
        play(1, g.sm, g.shared);
        Run run(weights.weights, HEIGHT, WIDTH);
        CHECK(run.status == FS_OK, "sm_%d: %s", g.sm, fs_error_text());
        if (run.status != FS_OK) continue;
        CHECK(fs_cuda_session_replays(static_cast<fs_cuda_session *>(run.session)), "sm_%d: not captured", g.sm);
        const Result have = compute(run, frame);
        if (want.labels.empty()) want = have;
        const double error = l2(have, want), same = agreement(have.labels, want.labels);
        CHECK(error <= 3e-3 && same >= 0.99, "sm_%d: error %g, %.2f %% of the labels", g.sm, error, 100 * same);
    }
    play(1);
    CHECK(sim_misuses() == 0, "%s", sim_report());
}

// The launches of every variant of every node, also those that only tuning would choose.
static void expect_fits(const Generation &g, fs_precision precision, fs_variant variant, int height, int width) {
    static fs_plan plan;
    static fs_nodes nodes;
    const Weights weights(model_of(variant, 19, 3), 1);
    fs_engine_config config = {};
    config.precision = precision, config.provider = FS_PROVIDER_OWN;
    void *engine = nullptr;
    CHECK(fs_cuda_backend.engine_open(&weights.weights, &config, &engine) == FS_OK, "%s", fs_error_text());
    fs_plan_options options = {};
    options.precision = precision;
    options.channel_multiple = fs_cuda_backend.channel_multiple;
    options.supports = fs_cuda_backend.supports, options.launches_on = fs_cuda_backend.launches_on;
    CHECK(fs_plan_build(&plan, &weights.weights.model, height, width, &options) == FS_OK, "%s", fs_error_text());
    CHECK(fs_steps_build(&nodes, static_cast<fs_cuda_engine *>(engine), &plan, nullptr, nullptr) == FS_OK, "%s",
          fs_error_text());
    int launches = 0;
    for (int i = 0; i < nodes.count; i++) {
        fs_node node = nodes.node[i];
        if (node.family == FS_FAMILY_FRAME) continue; // takes no shared memory of this kind, and needs a frame
        if (node.family == FS_FAMILY_STEM) node.p.stem.pixel = 3;
        if (node.family == FS_FAMILY_STEM_DS) node.p.stem_ds.stem.pixel = 3;
        fs_launch launch;
        for (int v = 0; fs_node_launch(&node, g.sm, v, &launch); v++, launches++)
            CHECK(launch.shared <= g.shared, "sm_%d, %s, %dx%d: '%s' asks for %u bytes of shared memory, not %zu", g.sm,
                  fs_precision_name(precision), height, width, launch.name, static_cast<unsigned>(launch.shared),
                  g.shared);
    }
    CHECK(launches >= nodes.count - 8, "sm_%d: %d launches of %d nodes", g.sm, launches, nodes.count);
    fs_cuda_backend.engine_close(engine);
}

static void shared_memory() {
    for (const Generation &g : generations) {
        play(1, g.sm, g.shared);
        for (const fs_precision precision : {FS_FP16, FS_FP32})
            for (const fs_variant variant : {FS_PAPER, FS_MMSEG, FS_TRAMAC}) {
                expect_fits(g, precision, variant, 64, 64);
                expect_fits(g, precision, variant, 1024, 2048);
            }
    }
    play(1);
}

// What a plan says of a machine is what a session does there, step by step; and the number of the whole frame.
static void planned_launches() {
    const Weights weights(model_of(FS_PAPER, 19, 3), 1);
    for (const Generation &g : generations) {
        play(1, g.sm, g.shared);
        const fs_roofline machine = {"this", "", 1, 1, 1, 1, 1, g.sm, 132};
        for (const fs_precision precision : {FS_FP16, FS_FP32})
            for (const int height : {64, 416, 1024}) { // one tile at 1/32, some, and maps of both kinds
                Options options;
                options.precision = precision, options.eager = true;
                Run run(weights.weights, height, 2 * height, options);
                CHECK(run.status == FS_OK, "sm_%d: %s", g.sm, fs_error_text());
                if (run.status != FS_OK) continue;
                const fs_program &program = run.plan->program;
                int total = 0;
                for (int s = 0; s < program.steps; total += run.plan->launches[s++]) {
                    const int planned = fs_steps_launches(&program, &program.step[s], precision, &machine);
                    CHECK(planned == run.plan->launches[s], "sm_%d, %s, %d: %d launches of '%s' planned, %d done", g.sm,
                          fs_precision_name(precision), height, planned, program.step[s].name, run.plan->launches[s]);
                }
                if (height == 1024 && precision == FS_FP16 && g.sm >= 80)
                    CHECK(total == 18, "sm_%d: %d launches", g.sm, total);
            }
    }
    play(1);
}

int main(int argc, char **argv) {
    if (!check::begin(argc, argv)) return 77;
    check::test("GPUs that cannot be used", refusals);
    check::test("a GPU that can", usable);
    check::test("precisions", precisions);
    check::test("weights beyond half precision", large_weights);
    check::test("too little memory", too_little_memory);
    check::test("every generation computes the same", same_labels);
    check::test("planned launches", planned_launches);
    check::test("no kernel asks for more shared memory than there is", shared_memory);
    return check::finish();
}
