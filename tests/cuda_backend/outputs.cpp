// Outputs of a frame on the CUDA backend against the CPU's: every kind alone and together, at odd sizes and strides,
// from several formats, in every kind of memory.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "tests/cuda_backend/cpu_session.h"

using namespace network;

namespace {

enum { HEIGHT = 67, WIDTH = 131, CLASSES = 7, GAP = 3 };
constexpr uint8_t UNTOUCHED = 0xEE;

struct Ask {
    bool labels, map, logits, confidence, histogram;
    fs_memory memory;
};

struct Got {
    std::vector<uint8_t> labels, confidence;
    std::vector<float> logits;
    std::vector<uint32_t> histogram;
};

// Memory of any kind, filled so that what was not written shows.
struct Memory {
    const fs_backend &backend;
    void *engine, *data = nullptr;
    fs_memory kind;
    size_t bytes;
    Memory(const fs_backend &b, void *e, fs_memory k, size_t size) : backend(b), engine(e), kind(k), bytes(size) {
        if (kind == FS_MEMORY_HOST)
            data = malloc(bytes);
        else
            CHECK(backend.buffer_alloc(engine, kind, bytes, &data) == FS_OK, "%s", fs_error_text());
        const std::vector<uint8_t> fill(bytes, UNTOUCHED);
        put(fill.data());
    }
    ~Memory() {
        if (kind == FS_MEMORY_HOST)
            free(data);
        else
            backend.buffer_free(engine, kind, data);
    }
    Memory(const Memory &) = delete;
    void put(const void *from) const {
        if (kind == FS_MEMORY_HOST)
            memcpy(data, from, bytes);
        else
            CHECK(backend.buffer_copy(engine, data, from, bytes) == FS_OK, "%s", fs_error_text());
    }
    template <class T> std::vector<T> get() const {
        std::vector<T> values(bytes / sizeof(T));
        if (kind == FS_MEMORY_HOST)
            memcpy(values.data(), data, bytes);
        else
            CHECK(backend.buffer_copy(engine, values.data(), data, bytes) == FS_OK, "%s", fs_error_text());
        return values;
    }
};

// The rows of a plane; CHECKs that what lies between them is untouched.
std::vector<uint8_t> rows_of(const Memory &memory, size_t height, size_t row, size_t stride, const char *what) {
    const auto bytes = memory.get<uint8_t>();
    std::vector<uint8_t> rows;
    size_t touched = 0;
    for (size_t n = 0; n < height * stride; n++)
        if (n % stride < row)
            rows.push_back(bytes[n]);
        else
            touched += bytes[n] != UNTOUCHED;
    CHECK(touched == 0, "%s: %zu bytes between the rows are written", what, touched);
    return rows;
}

const uint8_t *label_map() {
    static uint8_t map[256];
    for (int i = 0; i < 256; i++) map[i] = static_cast<uint8_t>(200 - 9 * i);
    return map;
}

Got run(const fs_backend &backend, void *engine, void *session, const fs_frame &frame, const Ask &ask, size_t h,
        size_t w) {
    const size_t stride = w + GAP, pixels = h * w;
    const Memory labels(backend, engine, ask.memory, h * stride), sure(backend, engine, ask.memory, h * stride);
    const Memory logits(backend, engine, ask.memory, CLASSES * pixels * 4);
    const Memory histogram(backend, engine, ask.memory, CLASSES * 4);
    fs_outputs o = {};
    o.memory = ask.memory;
    o.labels_stride = o.confidence_stride = stride;
    if (ask.labels) o.labels = static_cast<uint8_t *>(labels.data);
    if (ask.map) o.labels_map = label_map();
    if (ask.confidence) o.confidence = static_cast<uint8_t *>(sure.data);
    if (ask.logits) o.logits = static_cast<float *>(logits.data);
    if (ask.histogram) o.histogram = static_cast<uint32_t *>(histogram.data);
    uint64_t ticket;
    const bool fine =
        backend.submit(session, &frame, &o, &ticket) == FS_OK && backend.wait(session, ticket, -1) == FS_OK;
    CHECK(fine, "%s: %s", backend.name, fs_error_text());
    return {rows_of(labels, h, w, stride, "labels"), rows_of(sure, h, w, stride, "confidence"), logits.get<float>(),
            histogram.get<uint32_t>()};
}

// A picture of any format with a gap behind its rows, in host memory.
struct Picture {
    std::vector<uint8_t> bytes;
    fs_frame frame = {};
    Picture(fs_format format, int height, int width, uint32_t seed) {
        const size_t w = static_cast<size_t>(width), h = static_cast<size_t>(height), half = (w + 1) / 2;
        const size_t pixel = format == FS_RGB8 || format == FS_BGR8 ? 3 : format <= FS_BGRA8 ? 4 : 1;
        size_t row[3] = {w * pixel, 0, 0};
        if (format == FS_NV12) row[1] = 2 * half;
        if (format == FS_I420) row[1] = row[2] = half;
        const size_t gap = 16;
        bytes = picture(3 * height, width + static_cast<int>(gap), 4, seed);
        frame.format = format, frame.width = width, frame.height = height, frame.matrix = 2;
        size_t at = 0;
        for (size_t i = 0; i < 3; i++) {
            if (row[i] == 0) continue;
            frame.plane[i] = bytes.data() + at, frame.stride[i] = row[i] + gap - i;
            at += frame.stride[i] * (i == 0 ? h : (h + 1) / 2);
        }
    }
};

struct Pair {
    Weights weights;
    Run cuda;
    CpuSession cpu;
    explicit Pair(unsigned rewrites_off = 0, fs_variant variant = FS_PAPER)
        : weights(model_of(variant, CLASSES, 3), 11), cuda(weights.weights, HEIGHT, WIDTH, options_of(rewrites_off)),
          cpu(weights.weights, HEIGHT, WIDTH, rewrites_off, 3) {
        CHECK(cuda.status == FS_OK, "open: %s", fs_error_text());
    }
    static Options options_of(unsigned rewrites_off) {
        Options options;
        options.precision = FS_FP32, options.rewrites_off = rewrites_off;
        return options;
    }
    Got on_cpu(const fs_frame &frame, Ask ask, size_t h = HEIGHT, size_t w = WIDTH) const {
        ask.memory = FS_MEMORY_HOST;
        return run(fs_cpu_backend, cpu.engine, cpu.session, frame, ask, h, w);
    }
    Got on_cuda(const fs_frame &frame, const Ask &ask, size_t h = HEIGHT, size_t w = WIDTH) const {
        return run(fs_cuda_backend, cuda.engine, cuda.session, frame, ask, h, w);
    }
};

std::vector<uint32_t> counted(const std::vector<uint8_t> &classes) {
    std::vector<uint32_t> counts(CLASSES);
    for (uint8_t c : classes)
        if (c < CLASSES) counts[c]++;
    return counts;
}

const std::vector<uint32_t> NO_COUNTS(CLASSES, 0xEEEEEEEEu);

// ---- Histogram ----

// Alone, beside labels, and of the classes before the map.
void histogram() {
    for (unsigned off : {0u, ~0u}) {
        const Pair pair(off);
        const Picture picture(FS_RGB8, HEIGHT, WIDTH, 5);
        const Got plain = pair.on_cpu(picture.frame, {true, false, false, false, false, FS_MEMORY_HOST});
        const std::vector<uint32_t> want = counted(plain.labels);
        CHECK(plain.histogram == NO_COUNTS, "a histogram that nobody asked for");
        std::vector<uint8_t> mapped;
        for (uint8_t c : plain.labels) mapped.push_back(label_map()[c]);
        for (fs_memory memory : {FS_MEMORY_HOST, FS_MEMORY_PINNED, FS_MEMORY_DEVICE}) {
            const Ask asks[] = {{false, false, false, false, true, memory},
                                {true, false, false, false, true, memory},
                                {true, true, false, false, true, memory},
                                {false, true, true, true, true, memory},
                                {true, true, false, false, false, memory}};
            for (const Ask &ask : asks) {
                if (check::quick() && off && !ask.map) continue;
                const Got cuda = pair.on_cuda(picture.frame, ask), cpu = pair.on_cpu(picture.frame, ask);
                CHECK(cpu.histogram == (ask.histogram ? want : NO_COUNTS), "CPU: counts");
                CHECK(cuda.histogram == (ask.histogram ? want : NO_COUNTS), "CUDA: counts, memory %d", memory);
                const std::vector<uint8_t> none(plain.labels.size(), UNTOUCHED);
                const std::vector<uint8_t> &labels = !ask.labels ? none : ask.map ? mapped : plain.labels;
                CHECK(cpu.labels == labels, "CPU: labels, map %d", ask.map);
                CHECK(cuda.labels == labels, "CUDA: labels, map %d, memory %d", ask.map, memory);
            }
        }
    }
}

} // namespace

int main(int argc, char **argv) {
    if (!check::begin(argc, argv)) return 77;
    check::test("pixels of each class", histogram);
    return check::finish();
}
