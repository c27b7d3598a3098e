// What kernel tests are written with: guarded device buffers, launches that fail the test, halves, seeded random
// numbers. The same source links with the simulated CUDA runtime (CPU) and with the real one (GPU).
#ifndef FS_TESTS_CUDA_CHECK_H
#define FS_TESTS_CUDA_CHECK_H

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cuda/kernels/launch.h"

namespace check {

// False: there is no GPU and this is not the simulator; main returns 77 (skipped). Arguments name the tests to run;
// none means all of them, and behind --all-but they name those not to run.
bool begin(int argc, char **argv);
// Runs fn unless the arguments exclude it; prints "[ OK ] name" or "[FAIL] name", and its time.
void test(const char *name, void (*fn)());
// Prints "N passed, N failed"; the exit code: 1 when a test failed, none ran, one that was named does not exist, or
// device memory is still allocated.
int finish();

// Counts a failure of the running test, prints the first ones, and goes on.
void fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));
int failures(); // of the running test: to stop a loop that prints the same over and over

int sm();         // compute capability of the device, 90 for 9.0; on the simulator FS_TEST_SM, 90 when unset
bool simulated(); // kernels run on the CPU
bool quick();     // FS_TEST_QUICK is set (slow instrumented builds): run fewer cases

// Device memory between two guard bands. It starts as 0xFF and the bands are NaN too, as half and as float.
struct Buffer {
    explicit Buffer(size_t bytes);
    Buffer(Buffer &&other) noexcept;
    Buffer(const Buffer &) = delete;
    Buffer &operator=(const Buffer &) = delete;
    ~Buffer(); // broken guards fail the test

    void *data = nullptr; // 256-byte aligned
    size_t bytes = 0;
    void upload(const void *source);   // `bytes` bytes
    void download(void *target) const; // `bytes` bytes
    bool guards_intact() const;        // nothing was written next to data
    void frame() const;                // it stands for what an earlier kernel has made, unlike weights and tables
    template <class T> T *as() const { return static_cast<T *>(data); }

  private:
    unsigned char *block = nullptr;
};

template <class T> Buffer of(const std::vector<T> &values) {
    Buffer buffer(values.size() * sizeof(T));
    buffer.upload(values.data());
    return buffer;
}

template <class T> std::vector<T> get(const Buffer &buffer, size_t count) {
    std::vector<T> values(buffer.bytes / sizeof(T));
    std::vector<unsigned char> raw(buffer.bytes);
    buffer.download(raw.data());
    const T *first = reinterpret_cast<const T *>(raw.data());
    if (count > values.size()) {
        fail(__FILE__, __LINE__, "a buffer of %zu bytes does not hold %zu values", buffer.bytes, count);
        return std::vector<T>(count);
    }
    return std::vector<T>(first, first + count);
}

// Launches, waits; any error fails the test and names the launch. True when all went well.
bool run(const fs_launch &launch);

// The same numbers on every machine for a seed.
struct Random {
    explicit Random(uint64_t seed) : state(seed) {}
    uint32_t bits();
    float uniform(float low, float high);
    int below(int n); // 0 .. n-1

  private:
    uint64_t state;
};

// IEEE binary16, round to nearest even; overflow is infinity, NaN stays NaN.
uint16_t to_half(float value);
float from_half(uint16_t half);
float round_half(float value);
std::vector<uint16_t> to_half(const std::vector<float> &values);
std::vector<float> from_half(const std::vector<uint16_t> &halves);
std::vector<float> round_half(std::vector<float> values);

} // namespace check

// CHECK(x == y, "h %d w %d: %g, expected %g", h, w, x, y)
#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) check::fail(__FILE__, __LINE__, __VA_ARGS__);                                                \
    } while (0)

#endif
