// The services behind check.h, over the CUDA runtime API alone.
#include "tests/cuda/check.h"

#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <utility>

#include <cuda_runtime_api.h>

#include "tests/cuda_sim/sim.h"
#include "tests/simt/simt_run.h"

// Present when the simulated runtime is linked, null with the real one.
#pragma weak sim_live
#pragma weak sim_report
#pragma weak simt_frame_memory

namespace check {
namespace {

constexpr size_t GUARD = 512;               // bytes on either side
constexpr size_t DEFAULT_SHARED = 48 << 10; // dynamic shared memory that needs no cudaFuncSetAttribute
constexpr int PRINTED = 10;                 // failures shown of one test
constexpr int EARLY_SM = 90;                // the first with programmatic dependent launch

int passed, failed, failures_now;
int filters, named_tests;
bool all_but; // the filters
char **filter;

// Guards are NaN as half and as float, but each buffer's are its own, so that a kernel that reads and writes out of
// bounds does not put back what was there.
unsigned char guard_byte(uintptr_t salt, size_t i) {
    Random random(salt + i);
    return static_cast<unsigned char>(i % 2 ? 0xFF : 0x80 | random.bits());
}

bool ok(cudaError_t error, const char *what, const char *name) {
    if (error == cudaSuccess) return true;
    const char *report = simulated() ? sim_report() : "";
    fail(name, 0, "%s: %s (%s)%s%s", what, cudaGetErrorName(error), cudaGetErrorString(error), *report ? "\n" : "",
         report);
    return false;
}

} // namespace

bool begin(int argc, char **argv) {
    setvbuf(stdout, nullptr, _IOLBF, 0);
    all_but = argc > 1 && strcmp(argv[1], "--all-but") == 0;
    filters = argc - 1 - all_but, filter = argv + 1 + all_but;
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaSuccess && count > 0) {
        printf("compute capability %d, %s\n", sm(), simulated() ? "simulated" : "GPU");
        return true;
    }
    printf("skipped: no GPU (%s)\n", error == cudaSuccess ? "none found" : cudaGetErrorString(error));
    return simulated(); // there it would be a mistake of the set-up, which the tests then show
}

void test(const char *name, void (*fn)()) {
    bool named = false;
    for (int i = 0; i < filters; ++i) named = named || strcmp(filter[i], name) == 0;
    named_tests += named;
    if (filters > 0 && named == all_but) return;
    failures_now = 0;
    const clock_t began = clock();
    fn();
    if (failures_now > PRINTED) printf("    ... and %d more\n", failures_now - PRINTED);
    const double seconds = static_cast<double>(clock() - began) / CLOCKS_PER_SEC;
    printf("%s %s (%.1f s of CPU)\n", failures_now ? "[FAIL]" : "[ OK ]", name, seconds);
    ++(failures_now ? failed : passed);
}

int finish() {
    bool leaked = false;
    if (simulated() && sim_live(SIM_DEVICE_MEMORY).count > 0) {
        printf("device memory is still allocated\n%s\n", sim_report());
        leaked = true;
    }
    const bool unknown = named_tests != filters;
    if (unknown) printf("%d tests were named, %d exist\n", filters, named_tests);
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0 || passed == 0 || leaked || unknown ? 1 : 0;
}

void fail(const char *file, int line, const char *format, ...) {
    if (++failures_now > PRINTED) return;
    const char *base = strrchr(file, '/');
    printf("    %s", base ? base + 1 : file);
    if (line > 0) printf(":%d", line);
    printf(": ");
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

int failures() {
    return failures_now;
}

int sm() {
    int major = 0, minor = 0;
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
    cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0);
    return major * 10 + minor;
}

bool simulated() {
    return sim_report != nullptr;
}

bool quick() {
    const char *value = getenv("FS_TEST_QUICK");
    return value && *value && strcmp(value, "0") != 0;
}

Buffer::Buffer(size_t size) : bytes(size) {
    void *memory = nullptr;
    const size_t total = GUARD + bytes + GUARD;
    if (!ok(cudaMalloc(&memory, total), "cudaMalloc", "Buffer")) exit(1);
    block = static_cast<unsigned char *>(memory);
    data = block + GUARD;
    std::vector<unsigned char> fresh(total, 0xFF);
    for (size_t i = 0; i < GUARD; ++i) {
        fresh[i] = guard_byte(reinterpret_cast<uintptr_t>(block), i);
        fresh[GUARD + bytes + i] = guard_byte(reinterpret_cast<uintptr_t>(block), GUARD + i);
    }
    ok(cudaMemcpy(block, fresh.data(), total, cudaMemcpyHostToDevice), "cudaMemcpy", "Buffer");
}

Buffer::Buffer(Buffer &&other) noexcept
    : data(std::exchange(other.data, nullptr)), bytes(std::exchange(other.bytes, 0)),
      block(std::exchange(other.block, nullptr)) {}

Buffer::~Buffer() {
    if (!block) return;
    CHECK(guards_intact(), "something was written next to a buffer of %zu bytes", bytes);
    ok(cudaFree(block), "cudaFree", "Buffer");
}

void Buffer::upload(const void *source) {
    if (bytes) ok(cudaMemcpy(data, source, bytes, cudaMemcpyHostToDevice), "cudaMemcpy", "Buffer::upload");
}

void Buffer::download(void *target) const {
    if (bytes) ok(cudaMemcpy(target, data, bytes, cudaMemcpyDeviceToHost), "cudaMemcpy", "Buffer::download");
}

void Buffer::frame() const {
    if (bytes && simt_frame_memory) simt_frame_memory(data, bytes);
}

bool Buffer::guards_intact() const {
    unsigned char bands[2 * GUARD];
    bool good = ok(cudaMemcpy(bands, block, GUARD, cudaMemcpyDeviceToHost), "cudaMemcpy", "Buffer guards") &&
                ok(cudaMemcpy(bands + GUARD, block + GUARD + bytes, GUARD, cudaMemcpyDeviceToHost), "cudaMemcpy",
                   "Buffer guards");
    for (size_t i = 0; i < 2 * GUARD; ++i) {
        good = good && bands[i] == guard_byte(reinterpret_cast<uintptr_t>(block), i);
    }
    return good;
}

bool run(const fs_launch &launch) {
    if (launch.shared > DEFAULT_SHARED &&
        !ok(cudaFuncSetAttribute(launch.kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 static_cast<int>(launch.shared)),
            "cudaFuncSetAttribute", launch.name))
        return false;
    cudaLaunchConfig_t config = {};
    config.gridDim = {launch.grid[0], launch.grid[1], launch.grid[2]};
    config.blockDim = {launch.block, 1, 1};
    config.dynamicSmemBytes = launch.shared;
    // As in a frame: from sm_90 on a kernel may start before the one in front of it has ended, see fs_dependency_wait.
    cudaLaunchAttribute attributes[2] = {};
    config.attrs = attributes;
    if (sm() >= EARLY_SM) {
        attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
        attributes[0].val.programmaticStreamSerializationAllowed = 1;
        config.numAttrs = 1;
    }
    if (launch.cluster) {
        cudaLaunchAttribute &blocks = attributes[config.numAttrs++];
        blocks.id = cudaLaunchAttributeClusterDimension;
        blocks.val.clusterDim = {launch.cluster, 1, 1};
    }
    void *args[] = {const_cast<unsigned char *>(launch.params.bytes)};
    return ok(cudaLaunchKernelExC(&config, launch.kernel, args), "cudaLaunchKernelExC", launch.name) &&
           ok(cudaDeviceSynchronize(), "cudaDeviceSynchronize", launch.name);
}

// splitmix64
uint32_t Random::bits() {
    uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return static_cast<uint32_t>((z ^ (z >> 31)) >> 32);
}

float Random::uniform(float low, float high) {
    const float unit = static_cast<float>(bits() >> 8) * 0x1p-24f;
    return low + (high - low) * unit;
}

int Random::below(int n) {
    return static_cast<int>((static_cast<uint64_t>(bits()) * static_cast<uint64_t>(n)) >> 32);
}

uint16_t to_half(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) return static_cast<uint16_t>(sign | 0x7FFFu); // NaN
    float positive;
    memcpy(&positive, &magnitude, sizeof positive);
    if (positive >= 65520.0f)
        return static_cast<uint16_t>(sign | 0x7C00u); // halfway above the largest half, or infinity
    if (positive < 0x1p-14f) {
        // Subnormal halves are multiples of 2^-24: rint rounds to even, and 1024 of them is the least normal half.
        return static_cast<uint16_t>(sign | static_cast<uint32_t>(std::nearbyint(positive * 0x1p24f)));
    }
    const uint32_t odd = (magnitude >> 13) & 1u;
    return static_cast<uint16_t>(sign | ((magnitude - 0x38000000u + 0xFFFu + odd) >> 13)); // exponent bias 127 to 15
}

// Exponent and mantissa move into place, which makes a float 2^112 times too small, subnormals too.
float from_half(uint16_t half) {
    const uint32_t magnitude = half & 0x7FFFu, sign = (half & 0x8000u) << 16;
    uint32_t bits = magnitude << 13;
    float value;
    memcpy(&value, &bits, sizeof value);
    value = magnitude > 0x7C00u ? NAN : magnitude == 0x7C00u ? INFINITY : value * 0x1p112f;
    memcpy(&bits, &value, sizeof bits);
    bits |= sign;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float round_half(float value) {
    return from_half(to_half(value));
}

std::vector<uint16_t> to_half(const std::vector<float> &values) {
    std::vector<uint16_t> halves(values.size());
    for (size_t i = 0; i < values.size(); ++i) halves[i] = to_half(values[i]);
    return halves;
}

std::vector<float> from_half(const std::vector<uint16_t> &halves) {
    std::vector<float> values(halves.size());
    for (size_t i = 0; i < halves.size(); ++i) values[i] = from_half(halves[i]);
    return values;
}

std::vector<float> round_half(std::vector<float> values) {
    for (float &value : values) value = round_half(value);
    return values;
}

} // namespace check
