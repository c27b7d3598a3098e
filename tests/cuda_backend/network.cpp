// Opens, runs and compares whole networks.
#include "tests/cuda_backend/network.h"

#include <cmath>
#include <cstring>

#include "tests/cuda/check.h"

extern "C" {
#include "cpu/reference/reference.h"
}

namespace network {

Weights::Weights(const fs_model &model, uint64_t seed) {
    memset(&weights, 0, sizeof weights);
    CHECK(fs_weights_random(&model, seed, &weights, nullptr) == FS_OK, "weights: %s", fs_error_text());
}

Weights::~Weights() {
    fs_weights_free(&weights);
}

static fs_status open(Run &run, const fs_weights &weights, int height, int width, const Options &o) {
    fs_engine_config engine_config = {};
    engine_config.precision = o.precision;
    engine_config.provider = o.provider;
    FS_TRY(fs_cuda_backend.engine_open(&weights, &engine_config, &run.engine));
    fs_plan_options plan_options = {};
    plan_options.precision = o.precision;
    plan_options.rewrites_off = o.rewrites_off;
    plan_options.no_reuse = o.no_reuse;
    plan_options.channel_multiple = fs_cuda_backend.channel_multiple;
    plan_options.supports = fs_cuda_backend.supports;
    plan_options.launches_on = fs_cuda_backend.launches_on;
    FS_TRY(fs_plan_build(run.plan, &weights.model, height, width, &plan_options));
    fs_session_config config = {};
    config.in_flight = o.in_flight, config.tune = o.tune, config.eager = o.eager, config.stream = o.stream;
    config.done = o.done, config.done_user = o.done_user;
    return fs_cuda_backend.session_open(run.engine, run.plan, &config, &run.session);
}

Run::Run(const fs_weights &weights, int height, int width, const Options &options) {
    // Not through the library's allocator: fault tests count its blocks and calls.
    plan = static_cast<fs_plan *>(calloc(1, sizeof *plan));
    status = open(*this, weights, height, width, options);
}

Run::~Run() {
    if (session) fs_cuda_backend.session_close(session);
    if (engine) fs_cuda_backend.engine_close(engine);
    free(plan);
}

fs_model model_of(fs_variant variant, int classes, int channels) {
    fs_model model;
    fs_model_init(&model, variant);
    model.classes = classes, model.channels = channels;
    for (int c = 3; c < channels; c++) model.mean[c] = model.std[c] = 0.4f;
    return model;
}

std::vector<uint8_t> picture(int height, int width, int channels, uint32_t seed) {
    std::vector<uint8_t> pixels(static_cast<size_t>(height) * width * channels);
    check::Random random(seed);
    size_t at = 0;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < channels; c++)
                pixels[at++] = static_cast<uint8_t>(x * (2 + c) + y * (3 - c) / 2 + random.below(64));
    return pixels;
}

fs_frame frame_of(const std::vector<uint8_t> &pixels, int height, int width, fs_format format) {
    fs_frame frame = {};
    frame.format = format, frame.width = width, frame.height = height;
    frame.plane[0] = pixels.data();
    frame.stride[0] = pixels.size() / static_cast<size_t>(height);
    return frame;
}

Result compute(Run &run, const fs_frame &frame) {
    const fs_graph &g = run.graph();
    const size_t count = static_cast<size_t>(g.height) * g.width;
    Result result;
    result.labels.assign(count, 0xEE);
    result.logits.assign(count * g.model.classes, NAN);
    fs_outputs outputs = {};
    outputs.labels = result.labels.data(), outputs.labels_stride = g.width, outputs.logits = result.logits.data();
    uint64_t ticket = 0;
    fs_status status = fs_cuda_backend.submit(run.session, &frame, &outputs, &ticket);
    CHECK(status == FS_OK, "submit: %s", fs_error_text());
    if (status == FS_OK) {
        status = fs_cuda_backend.wait(run.session, ticket, -1);
        CHECK(status == FS_OK, "wait: %s", fs_error_text());
    }
    return result;
}

Result reference(const fs_graph &graph, const fs_weights &weights, const uint8_t *pixels) {
    const size_t count = static_cast<size_t>(graph.height) * graph.width;
    Result result;
    result.labels.resize(count), result.logits.resize(count * graph.model.classes);
    CHECK(fs_ref_run(&graph, &weights, pixels, result.labels.data(), result.logits.data(), nullptr) == FS_OK,
          "reference: %s", fs_error_text());
    return result;
}

double l2(const Result &have, const Result &want) {
    double errors = 0, squares = 0;
    for (size_t i = 0; i < want.logits.size(); i++) {
        const double difference = static_cast<double>(have.logits[i]) - static_cast<double>(want.logits[i]);
        errors += difference * difference;
        squares += static_cast<double>(want.logits[i]) * static_cast<double>(want.logits[i]);
    }
    const double error = std::sqrt(errors / squares);
    return std::isnan(error) ? INFINITY : error;
}

double agreement(const std::vector<uint8_t> &have, const std::vector<uint8_t> &want) {
    size_t same = 0;
    for (size_t i = 0; i < want.size(); i++) same += have[i] == want[i];
    return static_cast<double>(same) / static_cast<double>(want.size());
}

} // namespace network
