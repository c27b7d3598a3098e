// Whole networks on the CUDA backend, for its tests: any model, size and option, and what the reference says.
#ifndef FS_TESTS_CUDA_BACKEND_NETWORK_H
#define FS_TESTS_CUDA_BACKEND_NETWORK_H

#include <cstdint>
#include <string>
#include <vector>

extern "C" {
#include "cuda/backend.h"
#include "cuda/session.h"
#include "runtime/base/mem.h"
#include "tests/golden/golden.h"
#include "weights/weights.h"
}

namespace network {

struct Options {
    fs_precision precision = FS_FP16;
    unsigned rewrites_off = 0;
    int in_flight = 1;
    int tune = -1;
    bool eager = false;
    bool no_reuse = false;
    void *stream = nullptr;
    fs_provider provider = FS_PROVIDER_OWN;
    fs_done_fn done = nullptr;
    void *done_user = nullptr;
};

// Weights of a model; freed at the end.
struct Weights {
    fs_weights weights;
    Weights(const fs_model &model, uint64_t seed);
    ~Weights();
    Weights(const Weights &) = delete;
};

// An engine and a session; status says how opening went.
struct Run {
    void *engine = nullptr;
    void *session = nullptr;
    fs_plan *plan = nullptr;
    fs_status status;
    Run(const fs_weights &weights, int height, int width, const Options &options = {});
    ~Run();
    Run(const Run &) = delete;
    const fs_graph &graph() const { return plan->program.graph; }
};

struct Result {
    std::vector<uint8_t> labels;
    std::vector<float> logits; // [classes][height][width]
};

fs_model model_of(fs_variant variant, int classes, int channels);
// A frame of formula pixels, [height][width][channels].
std::vector<uint8_t> picture(int height, int width, int channels, uint32_t seed);
fs_frame frame_of(const std::vector<uint8_t> &pixels, int height, int width, fs_format format);
// Runs one host frame with labels and logits; CHECKs that it succeeds.
Result compute(Run &run, const fs_frame &frame);
// What the scalar reference says of RGB(A) pixels of the network's size.
Result reference(const fs_graph &graph, const fs_weights &weights, const uint8_t *pixels);
// Relative L2 error of logits; share of labels that agree.
double l2(const Result &have, const Result &want);
double agreement(const std::vector<uint8_t> &have, const std::vector<uint8_t> &want);

} // namespace network

#endif
