// A session of the CPU backend, for tests that hold the CUDA backend against it.
#ifndef FS_TESTS_CUDA_BACKEND_CPU_SESSION_H
#define FS_TESTS_CUDA_BACKEND_CPU_SESSION_H

#include <cstdlib>

#include "tests/cuda/check.h"
#include "tests/cuda_backend/network.h"

extern "C" {
#include "cpu/backend.h"
}

// A session of the CPU backend beside the CUDA backend's, in the same precision.
struct CpuSession {
    void *engine = nullptr, *session = nullptr;
    fs_plan *plan = static_cast<fs_plan *>(calloc(1, sizeof(fs_plan)));
    CpuSession(const fs_weights &weights, int height, int width, unsigned rewrites_off = 0, int threads = 1) {
        fs_engine_config engine_config = {};
        engine_config.precision = FS_FP32;
        CHECK(fs_cpu_backend.engine_open(&weights, &engine_config, &engine) == FS_OK, "%s", fs_error_text());
        fs_plan_options options = {};
        options.precision = FS_FP32, options.rewrites_off = rewrites_off;
        options.channel_multiple = fs_cpu_backend.channel_multiple;
        options.supports = fs_cpu_backend.supports, options.launches = fs_cpu_backend.launches;
        CHECK(fs_plan_build(plan, &weights.model, height, width, &options) == FS_OK, "%s", fs_error_text());
        fs_session_config config = {};
        config.threads = threads, config.in_flight = 1, config.tune = -1;
        CHECK(fs_cpu_backend.session_open(engine, plan, &config, &session) == FS_OK, "%s", fs_error_text());
    }
    ~CpuSession() {
        fs_cpu_backend.session_close(session);
        fs_cpu_backend.engine_close(engine);
        free(plan);
    }
    CpuSession(const CpuSession &) = delete;
};

#endif
