// A profiled frame of the CUDA backend: times by events, the same results as a replay, faults in every call of it.
#include <cstring>

#include "tests/cuda/check.h"
#include "tests/cuda_backend/network.h"
#include "tests/cuda_sim/sim.h"

using namespace network;

enum { SIDE = 64 };

struct Session {
    Weights weights;
    Run run;
    std::vector<uint8_t> pixels = picture(SIDE, SIDE, 3, 1), labels = std::vector<uint8_t>(SIDE * SIDE, 0xEE);
    std::vector<fs_span> spans;
    explicit Session(const Options &options = {})
        : weights(model_of(FS_PAPER, 7, 3), 11), run(weights.weights, SIDE, SIDE, options) {
        CHECK(run.status == FS_OK, "open: %s", fs_error_text());
        spans.assign(static_cast<size_t>(run.plan->program.steps), fs_span{-1, -1});
    }
    fs_frame frame() const { return frame_of(pixels, SIDE, SIDE, FS_RGB8); }
    fs_outputs outputs() {
        fs_outputs o = {};
        o.labels = labels.data(), o.labels_stride = SIDE;
        return o;
    }
    fs_status profile() {
        const fs_frame f = frame();
        const fs_outputs o = outputs();
        return fs_cuda_backend.profile(run.session, &f, &o, spans.data());
    }
};

static void expect_times(const std::vector<fs_span> &spans) {
    double last = 0;
    for (size_t i = 0; i < spans.size(); i++) {
        CHECK(spans[i].begin >= last - 1e-9, "step %zu begins at %g, before %g", i, spans[i].begin, last);
        CHECK(spans[i].end >= spans[i].begin, "step %zu ends at %g", i, spans[i].end);
        last = spans[i].end;
    }
    CHECK(last > 0, "a frame of no time");
}

static void times_and_results() {
    for (const bool eager : {false, true}) {
        Options options;
        options.eager = eager, options.in_flight = 2;
        Session s(options);
        const std::vector<uint8_t> want = compute(s.run, s.frame()).labels;
        for (int i = 0; i < 3; i++) {
            CHECK(s.profile() == FS_OK, "%s", fs_error_text());
            expect_times(s.spans);
            CHECK(s.labels == want, "%s: other labels", eager ? "eager" : "replayed");
            s.labels.assign(s.labels.size(), 0xEE);
        }
        CHECK(compute(s.run, s.frame()).labels == want, "a frame behind a profiled one");
    }
}

static void not_beside_frames() {
    Options options;
    options.in_flight = 2;
    Session s(options);
    const fs_frame f = s.frame();
    const fs_outputs o = s.outputs();
    uint64_t ticket;
    CHECK(fs_cuda_backend.submit(s.run.session, &f, &o, &ticket) == FS_OK, "%s", fs_error_text());
    CHECK(s.profile() == FS_ERR_STATE, "beside a frame in flight");
    CHECK(s.spans[0].begin == -1, "times of a call that failed");
    CHECK(fs_cuda_backend.wait(s.run.session, ticket, -1) == FS_OK, "%s", fs_error_text());
    CHECK(s.profile() == FS_OK, "%s", fs_error_text());
}

// Whichever call fails, nothing is left over and the next frame is taken; every fifth computes, and is right.
static void failing_calls() {
    Session s;
    const std::vector<uint8_t> want = compute(s.run, s.frame()).labels;
    int failed = 0;
    for (unsigned long n = 1; n < 400; n++) {
        s.spans.assign(s.spans.size(), fs_span{-1, -1});
        sim_fail_at(n, false, cudaErrorUnknown);
        sim_compute(false);
        const fs_status status = s.profile();
        const bool fired = sim_fault_fired();
        sim_fail_at(0, false, cudaSuccess);
        if (status != FS_OK) {
            failed++;
            CHECK(s.spans[0].begin == -1, "call %lu: times of a frame that failed", n);
        }
        s.labels.assign(s.labels.size(), 0xEE);
        const bool computes = !fired || n % 5 == 1;
        sim_compute(computes);
        CHECK(s.profile() == FS_OK && (!computes || s.labels == want), "after failing call %lu: %s", n,
              fs_error_text());
        sim_compute(true);
        if (!fired) break;
    }
    CHECK(failed >= 50, "%d frames failed", failed);
}

static void window() {
    Session s;
    CHECK(fs_cuda_backend.profiler_window(s.run.engine, true) == FS_OK, "%s", fs_error_text());
    CHECK(fs_cuda_backend.profiler_window(s.run.engine, false) == FS_OK, "%s", fs_error_text());
    sim_fail_at(1, true, cudaErrorUnknown);
    CHECK(fs_cuda_backend.profiler_window(s.run.engine, true) != FS_OK, "the call failed");
    sim_fail_at(0, false, cudaSuccess);
}

int main(int argc, char **argv) {
    if (!check::begin(argc, argv)) return 77;
    check::test("times are in order, the results a replay's", times_and_results);
    check::test("not beside frames in flight", not_beside_frames);
    check::test("failing calls", failing_calls);
    check::test("the profiler's window", window);
    CHECK(sim_misuses() == 0, "%s", sim_report());
    return check::finish();
}
