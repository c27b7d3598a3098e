// Frames through a session of the CUDA backend: memory kinds, formats, sizes, tickets, streams, what a frame may call.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "tests/cuda/check.h"
#include "tests/cuda_backend/cpu_session.h"
#ifndef FS_ON_GPU
#include "tests/cuda_sim/sim.h"
#endif

extern "C" {
#include "host/image/image.h"
}

using namespace network;

enum { HEIGHT = 64, WIDTH = 96 };

struct Network {
    Weights weights;
    Run run;
    explicit Network(const Options &options = {}, int channels = 3, int height = HEIGHT, int width = WIDTH)
        : weights(model_of(FS_PAPER, 7, channels), 11), run(weights.weights, height, width, options) {
        CHECK(run.status == FS_OK, "open: %s", fs_error_text());
    }
};

static fs_status submit(Run &run, const fs_frame &frame, const fs_outputs &outputs, uint64_t *ticket) {
    return fs_cuda_backend.submit(run.session, &frame, &outputs, ticket);
}
static fs_status wait(Run &run, uint64_t ticket, int64_t timeout = -1) {
    return fs_cuda_backend.wait(run.session, ticket, timeout);
}

static fs_outputs labels_to(uint8_t *labels, size_t stride = WIDTH, fs_memory memory = FS_MEMORY_HOST) {
    fs_outputs outputs = {};
    outputs.labels = labels, outputs.labels_stride = stride, outputs.memory = memory;
    return outputs;
}

static std::vector<uint8_t> labels_of(Run &run, const fs_frame &frame) {
    return compute(run, frame).labels;
}

// ---- Frames in flight ----

static void in_flight() {
    Options options;
    options.in_flight = 3;
    Network n(options);
    Network single;
    std::vector<std::vector<uint8_t>> pictures, want, have;
    for (uint32_t i = 0; i < 7; i++) {
        pictures.push_back(picture(HEIGHT, WIDTH, 3, 100 + i));
        want.push_back(labels_of(single.run, frame_of(pictures[i], HEIGHT, WIDTH, FS_RGB8)));
        have.emplace_back(HEIGHT * WIDTH, 0xEE);
    }
    uint64_t ticket[7];
    for (int i = 0; i < 7; i++) {
        if (i >= 3) CHECK(wait(n.run, ticket[i - 3]) == FS_OK, "wait: %s", fs_error_text());
        const fs_status status =
            submit(n.run, frame_of(pictures[i], HEIGHT, WIDTH, FS_RGB8), labels_to(have[i].data()), &ticket[i]);
        CHECK(status == FS_OK, "submit: %s", fs_error_text());
        CHECK(ticket[i] == static_cast<uint64_t>(i) + 1, "ticket %d", static_cast<int>(ticket[i]));
        // Host pixels may be reused at once when they are pageable: they were staged.
    }
    CHECK(wait(n.run, ticket[6]) == FS_OK, "wait: %s", fs_error_text());
    for (int i = 0; i < 7; i++) CHECK(have[i] == want[i], "frame %d of 7 differs", i);
}

static void tickets() {
    Options options;
    options.in_flight = 2;
    Network n(options);
    const std::vector<uint8_t> pixels = picture(HEIGHT, WIDTH, 3, 1);
    const fs_frame frame = frame_of(pixels, HEIGHT, WIDTH, FS_RGB8);
    std::vector<uint8_t> labels[3];
    for (auto &l : labels) l.assign(HEIGHT * WIDTH, 0xEE);
    uint64_t ticket = 99;
    CHECK(wait(n.run, 0) == FS_ERR_STATE, "ticket 0");
    CHECK(wait(n.run, 1) == FS_ERR_STATE, "a ticket of the future");
    CHECK(submit(n.run, frame, labels_to(labels[0].data()), &ticket) == FS_OK && ticket == 1, "first");
    CHECK(submit(n.run, frame, labels_to(labels[1].data()), &ticket) == FS_OK && ticket == 2, "second");
    CHECK(submit(n.run, frame, labels_to(labels[2].data()), &ticket) == FS_ERR_STATE, "a third of two");
    CHECK(ticket == 2, "the ticket was written by a call that failed");
    const fs_status polled = wait(n.run, 2, 0);
    CHECK(polled == FS_OK || polled == FS_ERR_TIMEOUT, "poll: %s", fs_error_text());
    if (polled == FS_ERR_TIMEOUT) {
#ifndef FS_ON_GPU
        CHECK(labels[0] == std::vector<uint8_t>(HEIGHT * WIDTH, 0xEE), "labels of a frame that still runs");
#endif
        CHECK(wait(n.run, 2, 60000000000) == FS_OK, "wait of a minute: %s", fs_error_text());
    }
    CHECK(labels[0] == labels[1] && labels[0] != std::vector<uint8_t>(HEIGHT * WIDTH, 0xEE), "both frames are there");
    CHECK(wait(n.run, 1) == FS_ERR_STATE, "a ticket that was released by a later one");
    CHECK(wait(n.run, 2) == FS_ERR_STATE, "a ticket twice");
}

// ---- Memory ----

static void memory_kinds() {
    Network n;
    const std::vector<uint8_t> pixels = picture(HEIGHT, WIDTH, 3, 2);
    const Result want = compute(n.run, frame_of(pixels, HEIGHT, WIDTH, FS_RGB8));
    std::vector<uint8_t> sure_want(HEIGHT * WIDTH, 0xEE);
    fs_outputs plain = {};
    plain.confidence = sure_want.data(), plain.confidence_stride = WIDTH;
    const fs_frame host = frame_of(pixels, HEIGHT, WIDTH, FS_RGB8);
    uint64_t first;
    CHECK(submit(n.run, host, plain, &first) == FS_OK && wait(n.run, first) == FS_OK, "%s", fs_error_text());
    const size_t label_bytes = HEIGHT * WIDTH, logit_bytes = want.logits.size() * sizeof(float);
    for (fs_memory kind : {FS_MEMORY_PINNED, FS_MEMORY_DEVICE}) {
        void *in, *labels, *logits, *sure;
        const size_t sure_stride = WIDTH + 3;
        CHECK(fs_cuda_backend.buffer_alloc(n.run.engine, kind, HEIGHT * sure_stride, &sure) == FS_OK, "%s",
              fs_error_text());
        CHECK(fs_cuda_backend.buffer_alloc(n.run.engine, kind, pixels.size(), &in) == FS_OK, "%s", fs_error_text());
        CHECK(fs_cuda_backend.buffer_alloc(n.run.engine, kind, label_bytes, &labels) == FS_OK, "%s", fs_error_text());
        CHECK(fs_cuda_backend.buffer_alloc(n.run.engine, kind, logit_bytes, &logits) == FS_OK, "%s", fs_error_text());
        CHECK(fs_cuda_backend.buffer_copy(n.run.engine, in, pixels.data(), pixels.size()) == FS_OK, "copy");
        fs_frame frame = frame_of(pixels, HEIGHT, WIDTH, FS_RGB8);
        frame.plane[0] = in, frame.memory = kind;
        fs_outputs outputs = labels_to(static_cast<uint8_t *>(labels), WIDTH, kind);
        outputs.logits = static_cast<float *>(logits);
        outputs.confidence = static_cast<uint8_t *>(sure), outputs.confidence_stride = sure_stride;
        uint64_t ticket;
        CHECK(submit(n.run, frame, outputs, &ticket) == FS_OK, "submit: %s", fs_error_text());
        CHECK(wait(n.run, ticket) == FS_OK, "wait: %s", fs_error_text());
        Result have = want;
        memset(have.labels.data(), 0, label_bytes);
        memset(have.logits.data(), 0, logit_bytes);
        CHECK(fs_cuda_backend.buffer_copy(n.run.engine, have.labels.data(), labels, label_bytes) == FS_OK, "copy");
        CHECK(fs_cuda_backend.buffer_copy(n.run.engine, have.logits.data(), logits, logit_bytes) == FS_OK, "copy");
        CHECK(have.labels == want.labels, "labels of memory kind %d", kind);
        std::vector<uint8_t> rows(HEIGHT * sure_stride);
        CHECK(fs_cuda_backend.buffer_copy(n.run.engine, rows.data(), sure, rows.size()) == FS_OK, "copy");
        size_t wrong = 0;
        for (size_t i = 0; i < label_bytes; i++) wrong += rows[i / WIDTH * sure_stride + i % WIDTH] != sure_want[i];
        CHECK(wrong == 0, "confidence of memory kind %d: %zu pixels differ", kind, wrong);
        fs_cuda_backend.buffer_free(n.run.engine, kind, sure);
        CHECK(memcmp(have.logits.data(), want.logits.data(), logit_bytes) == 0, "logits of memory kind %d", kind);
        fs_cuda_backend.buffer_free(n.run.engine, kind, in);
        fs_cuda_backend.buffer_free(n.run.engine, kind, labels);
        fs_cuda_backend.buffer_free(n.run.engine, kind, logits);
    }
}

// Strides on both sides, and what lies between the rows stays untouched. The label map is applied, and may change.
static void strides_and_maps() {
    Network n;
    const std::vector<uint8_t> pixels = picture(HEIGHT, WIDTH, 3, 3);
    const std::vector<uint8_t> want = labels_of(n.run, frame_of(pixels, HEIGHT, WIDTH, FS_RGB8));
    const size_t in_stride = 3 * WIDTH + 13, out_stride = WIDTH + 5;
    std::vector<uint8_t> wide(in_stride * HEIGHT, 0x55), labels(out_stride * HEIGHT, 0xEE);
    for (int y = 0; y < HEIGHT; y++)
        memcpy(&wide[y * in_stride], &pixels[static_cast<size_t>(y) * 3 * WIDTH], 3 * WIDTH);
    fs_frame frame = frame_of(pixels, HEIGHT, WIDTH, FS_RGB8);
    frame.plane[0] = wide.data(), frame.stride[0] = in_stride;
    for (int shift : {0, 100, 7}) {
        uint8_t map[256];
        for (int i = 0; i < 256; i++) map[i] = static_cast<uint8_t>(i + shift);
        fs_outputs outputs = labels_to(labels.data(), out_stride);
        outputs.labels_map = shift ? map : nullptr;
        uint64_t ticket;
        CHECK(submit(n.run, frame, outputs, &ticket) == FS_OK && wait(n.run, ticket) == FS_OK, "%s", fs_error_text());
        size_t wrong = 0;
        for (int y = 0; y < HEIGHT; y++)
            for (size_t x = 0; x < out_stride; x++) {
                const uint8_t have = labels[y * out_stride + x];
                wrong +=
                    have != (x < WIDTH ? static_cast<uint8_t>(want[static_cast<size_t>(y) * WIDTH + x] + shift) : 0xEE);
            }
        CHECK(wrong == 0, "map shift %d: %zu bytes are wrong", shift, wrong);
    }
}

// ---- Formats and sizes ----

// Another order of a pixel's bytes is another order of the stem's sum, so results may differ by its rounding.
static bool close_to(const Result &have, const Result &want) {
    return l2(have, want) <= 3e-3 && agreement(have.labels, want.labels) >= 0.99;
}

static void formats() {
    Network n;
    const std::vector<uint8_t> rgb = picture(HEIGHT, WIDTH, 3, 4);
    const Result whole = compute(n.run, frame_of(rgb, HEIGHT, WIDTH, FS_RGB8));
    const std::vector<uint8_t> want = whole.labels;
    const size_t pixels = HEIGHT * WIDTH;
    std::vector<uint8_t> bgr(3 * pixels), rgba(4 * pixels), bgra(4 * pixels), gray(pixels), gray_rgb(3 * pixels);
    for (size_t i = 0; i < pixels; i++) {
        const uint8_t *p = &rgb[3 * i];
        const uint8_t alpha = static_cast<uint8_t>(7 * i);
        for (int c = 0; c < 3; c++) {
            bgr[3 * i + c] = bgra[4 * i + c] = p[2 - c];
            rgba[4 * i + c] = p[c];
            gray_rgb[3 * i + c] = p[1];
        }
        rgba[4 * i + 3] = bgra[4 * i + 3] = alpha;
        gray[i] = p[1];
    }
    CHECK(close_to(compute(n.run, frame_of(bgr, HEIGHT, WIDTH, FS_BGR8)), whole), "BGR");
    CHECK(close_to(compute(n.run, frame_of(rgba, HEIGHT, WIDTH, FS_RGBA8)), whole), "RGBA");
    CHECK(close_to(compute(n.run, frame_of(bgra, HEIGHT, WIDTH, FS_BGRA8)), whole), "BGRA");
    const Result whole_gray = compute(n.run, frame_of(gray_rgb, HEIGHT, WIDTH, FS_RGB8));
    const std::vector<uint8_t> want_gray = whole_gray.labels;
    CHECK(close_to(compute(n.run, frame_of(gray, HEIGHT, WIDTH, FS_GRAY8)), whole_gray), "GRAY");

    // Luma alone with neutral chroma is gray; the converting route alternates with the direct one in one session.
    const size_t half = (HEIGHT / 2) * (WIDTH / 2);
    const std::vector<uint8_t> chroma(2 * half, 128);
    fs_frame yuv = frame_of(gray, HEIGHT, WIDTH, FS_NV12);
    yuv.range = 2;
    yuv.plane[1] = chroma.data(), yuv.stride[1] = WIDTH;
    CHECK(labels_of(n.run, yuv) == want_gray, "NV12");
    yuv.format = FS_I420, yuv.plane[2] = chroma.data(), yuv.stride[1] = yuv.stride[2] = WIDTH / 2;
    CHECK(labels_of(n.run, yuv) == want_gray, "I420");
    CHECK(labels_of(n.run, frame_of(rgb, HEIGHT, WIDTH, FS_RGB8)) == want, "RGB again");
}

// A frame of another size gives what the picture gives when the command resizes it, whichever side is larger.
static void sizes() {
    Network n;
    const int frames[][2] = {{HEIGHT / 2 + 3, WIDTH / 2 + 1}, {HEIGHT * 3, WIDTH * 2 + 7}, {1, 1}, {HEIGHT, WIDTH + 1}};
    for (const auto &size : frames) {
        if (check::quick() && size[0] > HEIGHT) continue;
        std::vector<uint8_t> pixels = picture(size[0], size[1], 3, 8);
        fs_image given = {}, resized = {};
        given.width = size[1], given.height = size[0], given.channels = 3, given.pixels = pixels.data();
        CHECK(fs_image_resize(&given, WIDTH, HEIGHT, &resized) == FS_OK, "resize: %s", fs_error_text());
        const std::vector<uint8_t> same_size(resized.pixels, resized.pixels + 3 * HEIGHT * WIDTH);
        fs_image_free(&resized);
        const std::vector<uint8_t> want = labels_of(n.run, frame_of(same_size, HEIGHT, WIDTH, FS_RGB8));
        CHECK(labels_of(n.run, frame_of(pixels, size[0], size[1], FS_RGB8)) == want, "frame of %dx%d", size[0],
              size[1]);
    }
}

// Every format, at the network's size and at others, gives the CPU backend's labels.
static void same_as_the_cpu() {
    static const fs_format formats[] = {FS_RGB8,  FS_BGR8, FS_RGBA8, FS_BGRA8,
                                        FS_GRAY8, FS_NV12, FS_I420,  FS_PLANAR_F32};
    Options options;
    options.precision = FS_FP32;
    Network n(options);
    CpuSession cpu(n.weights.weights, HEIGHT, WIDTH);
    const int sizes[][2] = {{HEIGHT, WIDTH}, {HEIGHT + 27, 2 * WIDTH - 1}};
    size_t same = 0, all = 0;
    for (const auto &size : sizes)
        for (fs_format format : formats) {
            if (check::quick() && format != FS_NV12 && format != FS_PLANAR_F32) continue;
            const size_t w = static_cast<size_t>(size[1]), h = static_cast<size_t>(size[0]), row = (w + 1) / 2;
            const std::vector<uint8_t> bytes = picture(size[0], size[1], 4, 60 + static_cast<uint32_t>(format));
            std::vector<float> floats;
            for (size_t i = 0; i < 3 * w * h; i++) floats.push_back(static_cast<float>(bytes[i]) / 255.0f);
            fs_frame frame = frame_of(bytes, size[0], size[1], format);
            frame.matrix = 2;
            frame.stride[0] = w * (format == FS_RGB8 || format == FS_BGR8 ? 3 : format <= FS_BGRA8 ? 4 : 1);
            if (format == FS_NV12 || format == FS_I420)
                for (int i = 1; i < (format == FS_NV12 ? 2 : 3); i++)
                    frame.plane[i] = bytes.data() + i * w * h, frame.stride[i] = format == FS_NV12 ? 2 * row : row;
            if (format == FS_PLANAR_F32)
                for (size_t i = 0; i < 3; i++) frame.plane[i] = floats.data() + i * w * h, frame.stride[i] = 4 * w;
            std::vector<uint8_t> want(HEIGHT * WIDTH, 0xEE), sure = want, have_sure = want;
            fs_outputs outputs = labels_to(want.data());
            outputs.confidence = sure.data(), outputs.confidence_stride = WIDTH;
            uint64_t ticket;
            CHECK(fs_cpu_backend.accepts(&frame, &n.run.graph()) == FS_OK, "%s", fs_error_text());
            CHECK(fs_cuda_backend.accepts(&frame, &n.run.graph()) == FS_OK, "%s", fs_error_text());
            CHECK(fs_cpu_backend.submit(cpu.session, &frame, &outputs, &ticket) == FS_OK, "%s", fs_error_text());
            CHECK(fs_cpu_backend.wait(cpu.session, ticket, -1) == FS_OK, "%s", fs_error_text());
            const double share = agreement(labels_of(n.run, frame), want);
            fs_outputs one = {};
            one.confidence = have_sure.data(), one.confidence_stride = WIDTH;
            CHECK(submit(n.run, frame, one, &ticket) == FS_OK && wait(n.run, ticket) == FS_OK, "%s", fs_error_text());
            int most = 0;
            for (size_t i = 0; i < sure.size(); i++) most = std::max(most, std::abs(sure[i] - have_sure[i]));
            CHECK(most <= 1, "format %d: confidence differs by %d", format, most);
            CHECK(share >= 0.999, "format %d %dx%d: %g of the labels are the CPU's", format, size[1], size[0], share);
            same += static_cast<size_t>(share * HEIGHT * WIDTH + 0.5), all += HEIGHT * WIDTH;
        }
    printf("CPU and CUDA in fp32: %zu of %zu labels are the same over all formats\n", same, all);
}

static void four_channels() {
    Network n({}, 4);
    const std::vector<uint8_t> rgba = picture(HEIGHT, WIDTH, 4, 5);
    const Result have = compute(n.run, frame_of(rgba, HEIGHT, WIDTH, FS_RGBA8));
    const Result want = reference(n.run.graph(), n.weights.weights, rgba.data());
    CHECK(l2(have, want) <= 0.022, "error %g", l2(have, want));
    std::vector<uint8_t> bgra = rgba;
    for (size_t i = 0; i < bgra.size(); i += 4) std::swap(bgra[i], bgra[i + 2]);
    CHECK(close_to(compute(n.run, frame_of(bgra, HEIGHT, WIDTH, FS_BGRA8)), have), "BGRA");
    const fs_frame rgb = frame_of(rgba, HEIGHT, WIDTH, FS_RGB8);
    CHECK(fs_cuda_backend.accepts(&rgb, &n.run.graph()) == FS_ERR_ARGUMENT, "RGB for a model of 4 channels");
    const std::vector<uint8_t> large = picture(2 * HEIGHT, 2 * WIDTH, 4, 6);
    CHECK(labels_of(n.run, frame_of(large, 2 * HEIGHT, 2 * WIDTH, FS_RGBA8)).size() == HEIGHT * WIDTH, "resized");
}

static void two_sizes_at_once() {
    Weights weights(model_of(FS_MMSEG, 5, 3), 2);
    Run small(weights.weights, 64, 64), large(weights.weights, 67, 131);
    CHECK(small.status == FS_OK && large.status == FS_OK, "%s", fs_error_text());
    const std::vector<uint8_t> a = picture(64, 64, 3, 1), b = picture(67, 131, 3, 2);
    const Result first = compute(small, frame_of(a, 64, 64, FS_RGB8)),
                 second = compute(large, frame_of(b, 67, 131, FS_RGB8));
    for (int i = 0; i < 2; i++) {
        CHECK(compute(small, frame_of(a, 64, 64, FS_RGB8)).labels == first.labels, "small");
        CHECK(compute(large, frame_of(b, 67, 131, FS_RGB8)).labels == second.labels, "large");
    }
}

// ---- Streams ----

// Everything on the device, in the order of the caller's stream, and nobody waits but the caller.
static void callers_stream() {
    cudaStream_t stream;
    CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess, "stream");
    {
        Options options;
        options.stream = stream, options.in_flight = 2;
        Network n(options), plain;
        void *in, *out, *pinned, *back;
        const size_t bytes = 3 * HEIGHT * WIDTH;
        fs_cuda_backend.buffer_alloc(n.run.engine, FS_MEMORY_DEVICE, bytes, &in);
        fs_cuda_backend.buffer_alloc(n.run.engine, FS_MEMORY_DEVICE, HEIGHT * WIDTH, &out);
        fs_cuda_backend.buffer_alloc(n.run.engine, FS_MEMORY_PINNED, bytes, &pinned);
        fs_cuda_backend.buffer_alloc(n.run.engine, FS_MEMORY_PINNED, HEIGHT * WIDTH, &back);
        for (uint32_t i = 0; i < (check::quick() ? 1u : 3u); i++) {
            const std::vector<uint8_t> pixels = picture(HEIGHT, WIDTH, 3, 40 + i);
            const std::vector<uint8_t> want = labels_of(plain.run, frame_of(pixels, HEIGHT, WIDTH, FS_RGB8));
            memcpy(pinned, pixels.data(), bytes);
            cudaMemcpyAsync(in, pinned, bytes, cudaMemcpyHostToDevice, stream);
            fs_frame frame = frame_of(pixels, HEIGHT, WIDTH, FS_RGB8);
            frame.plane[0] = in, frame.memory = FS_MEMORY_DEVICE;
            uint64_t ticket;
            const fs_outputs outputs = labels_to(static_cast<uint8_t *>(out), WIDTH, FS_MEMORY_DEVICE);
            CHECK(submit(n.run, frame, outputs, &ticket) == FS_OK, "submit: %s", fs_error_text());
            cudaMemcpyAsync(back, out, HEIGHT * WIDTH, cudaMemcpyDeviceToHost, stream);
            CHECK(cudaStreamSynchronize(stream) == cudaSuccess, "synchronise");
            CHECK(memcmp(back, want.data(), want.size()) == 0, "frame %d in the caller's stream", static_cast<int>(i));
            CHECK(wait(n.run, ticket) == FS_OK, "wait: %s", fs_error_text());
        }
        for (void *device : {in, out}) fs_cuda_backend.buffer_free(n.run.engine, FS_MEMORY_DEVICE, device);
        for (void *host : {pinned, back}) fs_cuda_backend.buffer_free(n.run.engine, FS_MEMORY_PINNED, host);
    }
    CHECK(cudaStreamDestroy(stream) == cudaSuccess, "destroy");
}

// ---- What a frame may call ----

#ifndef FS_ON_GPU
static unsigned long called(const char *const *names) {
    unsigned long sum = 0;
    for (; *names; names++) sum += sim_calls_named(*names);
    return sum;
}

static void quiet_frames() {
    static const char *const allocating[] = {"cudaMalloc",
                                             "cudaFree",
                                             "cudaHostAlloc",
                                             "cudaMallocHost",
                                             "cudaFreeHost",
                                             "cudaEventCreateWithFlags",
                                             "cudaStreamCreateWithFlags",
                                             "cudaGraphInstantiate",
                                             "cudaFuncSetAttribute",
                                             nullptr};
    static const char *const waiting[] = {"cudaDeviceSynchronize",
                                          "cudaStreamSynchronize",
                                          "cudaEventSynchronize",
                                          "cudaMemcpy",
                                          "cudaEventQuery",
                                          "cudaStreamQuery",
                                          nullptr};
    static const char *const launching[] = {"cudaLaunchKernelExC", "cudaGraphLaunch", nullptr};
    Options options;
    options.in_flight = 2;
    Network n(options);
    std::vector<uint8_t> labels(HEIGHT * WIDTH);
    const std::vector<uint8_t> pixels = picture(HEIGHT, WIDTH, 3, 1);
    const fs_frame frame = frame_of(pixels, HEIGHT, WIDTH, FS_RGB8);
    uint64_t ticket[2];
    for (int round = 0; round < 3; round++) {
        const unsigned long allocated = called(allocating), waited = called(waiting), launched = called(launching);
        const size_t blocks = fs_mem_live_blocks();
        for (auto &t : ticket)
            CHECK(submit(n.run, frame, labels_to(labels.data()), &t) == FS_OK, "%s", fs_error_text());
        CHECK(called(allocating) == allocated, "round %d: a frame allocates", round);
        CHECK(called(waiting) == waited, "round %d: a submit waits", round);
        CHECK(called(launching) == launched + 2, "round %d: %lu launches for two frames", round,
              called(launching) - launched);
        CHECK(fs_mem_live_blocks() == blocks, "round %d: a frame takes host memory", round);
        CHECK(wait(n.run, ticket[1]) == FS_OK, "%s", fs_error_text());
        CHECK(called(allocating) == allocated, "round %d: a wait allocates", round);
    }
}
#endif

#ifdef FS_ON_GPU
// Timed tactics, cuDNN among them where it is installed: captured like the rest, right, and the same bits either way.
static void tuned() {
    Options options;
    options.provider = FS_PROVIDER_ANY, options.tune = 0;
    Network n(options, 3, 256, 512);
    CHECK(fs_cuda_session_replays(static_cast<fs_cuda_session *>(n.run.session)), "the frame was not captured");
    options.eager = true;
    Run eager(n.weights.weights, 256, 512, options); // takes the winners from the cache file
    const std::vector<uint8_t> pixels = picture(256, 512, 3, 12);
    const fs_frame frame = frame_of(pixels, 256, 512, FS_RGB8);
    const Result have = compute(n.run, frame), want = reference(n.run.graph(), n.weights.weights, pixels.data());
    CHECK(l2(have, want) <= 0.022, "error %g", l2(have, want));
    CHECK(compute(n.run, frame).logits == have.logits, "another frame, other bits");
    if (strcmp(n.run.plan->kernels, eager.plan->kernels) == 0)
        CHECK(l2(compute(eager, frame), have) <= 3e-3, "eager differs from the replay");
    printf("       kernels: %s\n", n.run.plan->kernels);
}
#endif

int main(int argc, char **argv) {
    if (!check::begin(argc, argv)) return 77;
    check::test("frames in flight do not mix", in_flight);
    check::test("tickets", tickets);
    check::test("pinned and device memory", memory_kinds);
    check::test("strides and label maps", strides_and_maps);
    check::test("formats", formats);
    check::test("frames of other sizes", sizes);
    check::test("every format as on the CPU", same_as_the_cpu);
    check::test("four channels", four_channels);
    check::test("two sizes at once", two_sizes_at_once);
    check::test("the caller's stream", callers_stream);
#ifndef FS_ON_GPU
    check::test("a frame allocates nothing, waits for nothing and is one launch", quiet_frames);
    CHECK(sim_misuses() == 0, "%s", sim_report());
#endif
#ifdef FS_ON_GPU
    check::test("timed tactics", tuned);
#endif
    return check::finish();
}
