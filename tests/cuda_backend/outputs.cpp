// Outputs of a frame on the CUDA backend against the CPU's: every kind alone and together, at odd sizes and strides,
// from several formats, in every kind of memory.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "tests/cuda_backend/cpu_session.h"

extern "C" {
#include "cpu/reference/reference.h"
#include "host/image/image.h"
}

using namespace network;

namespace {

enum { HEIGHT = 65, WIDTH = 67, CLASSES = 7, GAP = 3 };
constexpr uint8_t UNTOUCHED = 0xEE;

struct Ask {
    bool labels, map, logits, confidence, histogram;
    fs_memory memory;
    bool at_frame_size = false;
    int scores = 0;  // bytes of one
    int overlay = 0; // which palette; 0: none
};

struct Got {
    std::vector<uint8_t> labels, confidence;
    std::vector<float> logits;
    std::vector<uint32_t> histogram;
    std::vector<uint8_t> scores; // as they lie in memory
    std::vector<uint8_t> overlay;
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

const uint8_t (*palette_of(int which))[3] {
    static uint8_t palettes[3][256][3];
    for (int i = 0; i < 256; i++)
        for (int c = 0; c < 3; c++)
            palettes[which][i][c] = static_cast<uint8_t>(which == 2 ? 255 - 40 * i * c : 37 * i + 90 * c + 11);
    return palettes[which];
}

Got run(const fs_backend &backend, void *engine, void *session, const fs_frame &frame, const Ask &ask) {
    const size_t h = static_cast<size_t>(ask.at_frame_size ? frame.height : HEIGHT);
    const size_t w = static_cast<size_t>(ask.at_frame_size ? frame.width : WIDTH);
    const size_t stride = w + GAP, pixels = h * w;
    const Memory labels(backend, engine, ask.memory, h * stride), sure(backend, engine, ask.memory, h * stride);
    const Memory logits(backend, engine, ask.memory, CLASSES * pixels * 4);
    const Memory histogram(backend, engine, ask.memory, CLASSES * 4);
    const Memory scores(backend, engine, ask.memory, CLASSES * pixels * static_cast<size_t>(std::max(ask.scores, 1)));
    const size_t overlay_stride = 4 * w + GAP;
    const Memory overlay(backend, engine, ask.memory, h * overlay_stride);
    fs_outputs o = {};
    if (ask.overlay)
        o.overlay = static_cast<uint8_t *>(overlay.data), o.overlay_stride = overlay_stride,
        o.overlay_share = 60 + 60 * ask.overlay, o.palette = palette_of(ask.overlay);
    if (ask.scores) o.scores = scores.data, o.scores_f16 = ask.scores == 2;
    o.memory = ask.memory, o.at_frame_size = ask.at_frame_size;
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
    return {rows_of(labels, h, w, stride, "labels"),
            rows_of(sure, h, w, stride, "confidence"),
            logits.get<float>(),
            histogram.get<uint32_t>(),
            scores.get<uint8_t>(),
            rows_of(overlay, h, 4 * w, overlay_stride, "overlay")};
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
    explicit Pair(unsigned rewrites_off = 0, fs_variant variant = FS_PAPER, int channels = 3)
        : weights(model_of(variant, CLASSES, channels), 11),
          cuda(weights.weights, HEIGHT, WIDTH, options_of(rewrites_off)),
          cpu(weights.weights, HEIGHT, WIDTH, rewrites_off, 3) {
        CHECK(cuda.status == FS_OK, "open: %s", fs_error_text());
    }
    static Options options_of(unsigned rewrites_off) {
        Options options;
        options.precision = FS_FP32, options.rewrites_off = rewrites_off;
        return options;
    }
    Got on_cpu(const fs_frame &frame, Ask ask) const {
        ask.memory = FS_MEMORY_HOST;
        return run(fs_cpu_backend, cpu.engine, cpu.session, frame, ask);
    }
    Got on_cuda(const fs_frame &frame, const Ask &ask) const {
        return run(fs_cuda_backend, cuda.engine, cuda.session, frame, ask);
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
            const Ask asks[] = {{false, true, true, true, true, memory}, {true, true, false, false, true, memory}};
            for (const Ask &ask : asks) {
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

// ---- Sizes ----

// What the scalar reference says of a packed RGB frame: its pixels at the network's size, its logits, and those brought
// to any size.
std::vector<float> logits_at(const Pair &pair, const fs_frame &frame, int height, int width) {
    std::vector<uint8_t> packed;
    for (int y = 0; y < frame.height; y++) {
        const uint8_t *row = static_cast<const uint8_t *>(frame.plane[0]) + static_cast<size_t>(y) * frame.stride[0];
        packed.insert(packed.end(), row, row + 3 * static_cast<size_t>(frame.width));
    }
    fs_image given = {frame.width, frame.height, 3, packed.data()}, resized = {};
    CHECK(fs_image_resize(&given, WIDTH, HEIGHT, &resized) == FS_OK, "%s", fs_error_text());
    const fs_graph &g = pair.cuda.graph();
    std::vector<void *> tensors(static_cast<size_t>(g.tensors));
    CHECK(fs_ref_run(&g, &pair.weights.weights, resized.pixels, nullptr, nullptr, tensors.data()) == FS_OK, "%s",
          fs_error_text());
    const fs_tensor &small = g.tensor[g.logits];
    const size_t pixels = static_cast<size_t>(height) * static_cast<size_t>(width);
    std::vector<float> together(pixels * CLASSES), planes(pixels * CLASSES);
    fs_ref_resize(static_cast<const float *>(tensors[static_cast<size_t>(g.logits)]), small.h, small.w, CLASSES, height,
                  width, g.model.align_final, together.data());
    for (size_t i = 0; i < pixels; i++)
        for (size_t c = 0; c < CLASSES; c++) planes[c * pixels + i] = together[i * CLASSES + c];
    for (void *t : tensors) fs_free(t);
    fs_image_free(&resized);
    return planes;
}

// How far labels are from the largest of the logits; 0 where a label is none.
double behind(const std::vector<uint8_t> &labels, const std::vector<float> &logits) {
    const size_t pixels = labels.size();
    double most = 0;
    for (size_t i = 0; i < pixels; i++) {
        float high = logits[i];
        for (size_t c = 1; c < CLASSES; c++) high = std::max(high, logits[c * pixels + i]);
        if (labels[i] >= CLASSES) return INFINITY;
        most = std::max(most, static_cast<double>(high - logits[labels[i] * pixels + i]));
    }
    return most;
}

// The largest difference, as a share of the largest value.
double apart(const std::vector<float> &a, const std::vector<float> &b) {
    double most = a.size() == b.size() ? 0 : INFINITY, largest = 1e-30;
    for (size_t i = 0; i < a.size() && i < b.size(); i++) {
        most = std::max(most, std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
        largest = std::max(largest, std::fabs(static_cast<double>(a[i])));
    }
    return most / largest;
}

// Larger, smaller and narrower frames, one of a single pixel, one of the network's size; with and without fusion of the
// head, with corners aligned and not.
void sizes() {
    const int frames[][2] = {{HEIGHT + 10, 2 * WIDTH - 1}, {31, 50}, {1, 1}, {HEIGHT, WIDTH}, {200, 9}};
    for (unsigned off : {0u, ~0u}) {
        const Pair pair(off, off ? FS_TRAMAC : FS_PAPER);
        for (const auto &size : frames) {
            const Picture picture(FS_RGB8, size[0], size[1], 17);
            const fs_frame &frame = picture.frame;
            const std::vector<float> want = logits_at(pair, frame, size[0], size[1]);
            const Ask all = {true, false, true, true, true, FS_MEMORY_HOST, true};
            const Got cpu = pair.on_cpu(frame, all), cuda = pair.on_cuda(frame, all);
            CHECK(apart(cpu.logits, want) < 1e-5, "CPU %dx%d: logits %g apart", size[0], size[1],
                  apart(cpu.logits, want));
            CHECK(apart(cuda.logits, want) < 1e-5, "CUDA %dx%d: logits %g apart", size[0], size[1],
                  apart(cuda.logits, want));
            CHECK(behind(cpu.labels, cpu.logits) < 1e-3, "CPU %dx%d: labels %g behind", size[0], size[1],
                  behind(cpu.labels, cpu.logits));
            CHECK(cpu.labels == cuda.labels, "%dx%d: labels, %g the same", size[0], size[1],
                  agreement(cpu.labels, cuda.labels));
            CHECK(cpu.histogram == counted(cpu.labels), "CPU %dx%d: counts", size[0], size[1]);
            CHECK(cuda.histogram == counted(cuda.labels), "CUDA %dx%d: counts", size[0], size[1]);
            int most = 0;
            for (size_t i = 0; i < cpu.confidence.size(); i++)
                most = std::max(most, std::abs(cpu.confidence[i] - cuda.confidence[i]));
            CHECK(most <= 1, "%dx%d: confidence differs by %d", size[0], size[1], most);
            for (fs_memory memory : {FS_MEMORY_PINNED, FS_MEMORY_DEVICE}) {
                if (size[0] != 31) continue;
                Ask other = all;
                other.memory = memory, other.map = true;
                const Got again = pair.on_cuda(frame, other);
                CHECK(again.logits == cuda.logits && again.confidence == cuda.confidence &&
                          again.histogram == cuda.histogram,
                      "%dx%d: memory %d", size[0], size[1], memory);
                size_t wrong = 0;
                for (size_t i = 0; i < cuda.labels.size(); i++) wrong += again.labels[i] != label_map()[cuda.labels[i]];
                CHECK(wrong == 0, "%dx%d: memory %d, %zu labels", size[0], size[1], memory, wrong);
            }
        }
        // And back: the network's size again.
        const Picture picture(FS_NV12, HEIGHT + 5, WIDTH + 9, 3);
        const Ask plain = {true, false, true, false, false, FS_MEMORY_HOST};
        const Got cpu = pair.on_cpu(picture.frame, plain), cuda = pair.on_cuda(picture.frame, plain);
        CHECK(cpu.labels == cuda.labels && apart(cpu.logits, cuda.logits) < 1e-5,
              "the network's size again: %g of the labels, logits %g apart", agreement(cpu.labels, cuda.labels),
              apart(cpu.logits, cuda.logits));
    }
}

// ---- Scores ----

std::vector<float> values_of(const std::vector<uint8_t> &bytes, int item) {
    std::vector<float> values(bytes.size() / static_cast<size_t>(item));
    for (size_t i = 0; i < values.size(); i++) {
        uint16_t half;
        if (item == 4)
            memcpy(&values[i], &bytes[4 * i], 4);
        else
            memcpy(&half, &bytes[2 * i], 2), values[i] = check::from_half(half);
    }
    return values;
}

double difference(const std::vector<float> &a, const std::vector<float> &b) {
    double most = 0;
    for (size_t i = 0; i < a.size(); i++) most = std::max(most, std::fabs(static_cast<double>(a[i] - b[i])));
    return most;
}

// The softmax of the logits of the same frame, to which it sums up; alone and beside everything, in both types.
void scores() {
    const Pair pair;
    const Picture picture(FS_I420, HEIGHT + 6, WIDTH - 5, 23);
    for (int item : {4, 2})
        for (bool at_frame_size : {false, true}) {
            Ask all = {true, false, true, true, true, FS_MEMORY_HOST, at_frame_size, item};
            const Got cpu = pair.on_cpu(picture.frame, all), cuda = pair.on_cuda(picture.frame, all);
            const std::vector<float> want = values_of(cpu.scores, item), have = values_of(cuda.scores, item);
            // A probability moves by no more than the logits, which differ by the rounding of the whole network.
            const double given = difference(cpu.logits, cuda.logits), room = item == 4 ? 1e-5 : 1e-3;
            CHECK(difference(want, have) <= room + given, "size %d, %d bytes: %g apart, logits %g", at_frame_size, item,
                  difference(want, have), given);
            for (const Got *got : {&cpu, &cuda}) {
                const std::vector<float> &mine = got == &cpu ? want : have;
                const size_t pixels = got->labels.size();
                double off = 0;
                for (size_t i = 0; i < pixels; i++) {
                    const size_t label = got->labels[i] * pixels + i;
                    double sum = 0;
                    for (size_t c = 0; c < CLASSES; c++)
                        sum += std::exp(static_cast<double>(got->logits[c * pixels + i]) -
                                        static_cast<double>(got->logits[label]));
                    off = std::max(off, std::fabs(1 / sum - static_cast<double>(mine[label])));
                }
                CHECK(off <= room, "size %d, %d bytes: %g from the logits", at_frame_size, item, off);
            }
            for (fs_memory memory : {FS_MEMORY_PINNED, FS_MEMORY_DEVICE}) {
                if (at_frame_size != (item == 2)) continue;
                const Ask alone = {false, false, false, false, false, memory, at_frame_size, item};
                const Got again = pair.on_cuda(picture.frame, alone);
                CHECK(again.scores == cuda.scores, "size %d, %d bytes: memory %d", at_frame_size, item, memory);
            }
            if (item == 2 || at_frame_size) continue;
            const Ask alone = {false, false, false, false, false, FS_MEMORY_HOST, at_frame_size, item};
            CHECK(pair.on_cpu(picture.frame, alone).scores == cpu.scores, "CPU: scores alone");
        }
}

// ---- Overlay ----

// Beside mapped labels, which are mapped behind it, and beside the rest, in every kind of memory.
void overlay_with_others(const Pair &pair, const fs_frame &frame, Ask ask, const std::vector<uint8_t> &want) {
    Ask plain = ask;
    plain.labels = true, plain.overlay = 0;
    const Got alone = pair.on_cuda(frame, plain);
    ask.labels = ask.map = true;
    for (fs_memory memory : {FS_MEMORY_HOST, FS_MEMORY_PINNED, FS_MEMORY_DEVICE}) {
        ask.memory = memory;
        ask.histogram = ask.confidence = ask.logits = memory == FS_MEMORY_PINNED;
        const Got cuda = pair.on_cuda(frame, ask);
        CHECK(cuda.overlay == want, "size %d: memory %d", ask.at_frame_size, memory);
        size_t wrong = 0;
        for (size_t i = 0; i < alone.labels.size(); i++) wrong += cuda.labels[i] != label_map()[alone.labels[i]];
        CHECK(wrong == 0, "size %d: memory %d, %zu mapped labels", ask.at_frame_size, memory, wrong);
        CHECK(cuda.histogram == (ask.histogram ? counted(alone.labels) : NO_COUNTS), "counts");
    }
}

// The same bytes on both backends: of every format, at both sizes, of frames of the network's size and of another, with
// other palettes in turn.
void overlays() {
    const fs_format formats[] = {FS_RGB8, FS_BGR8, FS_RGBA8, FS_BGRA8, FS_GRAY8, FS_NV12, FS_I420};
    const int frames[][2] = {{HEIGHT, WIDTH}, {HEIGHT + 10, 2 * WIDTH - 1}};
    for (unsigned off : {0u, ~0u}) {
        const Pair pair(off);
        int turn = 0;
        for (fs_format format : formats)
            for (const auto &size : frames)
                for (bool at_frame_size : {false, true}) {
                    if (off && format != FS_NV12) continue;
                    const Picture picture(format, size[0], size[1], 29);
                    Ask ask = {};
                    ask.at_frame_size = at_frame_size, ask.overlay = 1 + turn++ % 2;
                    const Got cpu = pair.on_cpu(picture.frame, ask), cuda = pair.on_cuda(picture.frame, ask);
                    CHECK(cpu.overlay == cuda.overlay, "format %d, %dx%d, size %d", format, size[0], size[1],
                          at_frame_size);
                    if (format == FS_NV12 && (off || size[0] != HEIGHT))
                        overlay_with_others(pair, picture.frame, ask, cpu.overlay);
                }
    }
}

// The picture of four channels is its R, G and B.
void overlay_of_four_channels() {
    const Pair pair(0, FS_PAPER, 4);
    for (int width : {WIDTH + 0, WIDTH + 9})
        for (bool at_frame_size : {false, true}) {
            const Picture picture(FS_BGRA8, HEIGHT, width, 31);
            Ask ask = {};
            ask.at_frame_size = at_frame_size, ask.overlay = 1;
            const Got cpu = pair.on_cpu(picture.frame, ask), cuda = pair.on_cuda(picture.frame, ask);
            CHECK(cpu.overlay == cuda.overlay, "width %d, size %d", width, at_frame_size);
            size_t clear = 0;
            for (size_t i = 3; i < cpu.overlay.size(); i += 4) clear += cpu.overlay[i] != 255;
            CHECK(clear == 0, "width %d, size %d: %zu pixels with the frame's A", width, at_frame_size, clear);
        }
}

} // namespace

int main(int argc, char **argv) {
    if (!check::begin(argc, argv)) return 77;
    check::test("pixels of each class", histogram);
    check::test("outputs of the frame's size", sizes);
    check::test("softmax scores", scores);
    check::test("overlays", overlays);
    check::test("overlays of four channels", overlay_of_four_channels);
    return check::finish();
}
