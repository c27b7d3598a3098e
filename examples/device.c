// A GPU pipeline: pixels that are on the device already, labels that stay there, all in the caller's CUDA stream.
//
//     device WEIGHTS WIDTH HEIGHT [TUNE] <frames.rgb >labels.gray
//
// TUNE is 0 (time the tactics on the first run, then keep them) or -1 (take the first of each).
// Where this uploads raw frames, a program would decode, debayer or render; where it downloads labels, it would use
// them in a kernel of its own. Between the three nothing waits on the host: the stream keeps the order.
#include <cuda_runtime_api.h>
#include <fastscnn/fastscnn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum { IN_FLIGHT = 2 };

// What one frame in flight has: pinned memory on the host, and its pixels and labels on the device.
typedef struct slot {
    uint8_t *host_rgb, *host_labels, *rgb, *labels;
    cudaEvent_t downloaded;
    uint64_t ticket;
} slot;

static bool cuda(cudaError_t error, const char *what) {
    if (error != cudaSuccess) fprintf(stderr, "device: %s: %s\n", what, cudaGetErrorString(error));
    return error == cudaSuccess;
}

static bool fscnn(fscnn_status status) {
    if (status != FSCNN_OK) fprintf(stderr, "device: %s: %s\n", fscnn_status_name(status), fscnn_error());
    return status == FSCNN_OK;
}

static bool allocate(slot *s, size_t pixels) {
    return cuda(cudaMallocHost((void **)&s->host_rgb, 3 * pixels), "pinned memory") &&
           cuda(cudaMallocHost((void **)&s->host_labels, pixels), "pinned memory") &&
           cuda(cudaMalloc((void **)&s->rgb, 3 * pixels), "device memory") &&
           cuda(cudaMalloc((void **)&s->labels, pixels), "device memory") &&
           cuda(cudaEventCreateWithFlags(&s->downloaded, cudaEventDisableTiming), "event");
}

static void release(slot *s) {
    if (s->downloaded) cudaEventDestroy(s->downloaded);
    cudaFree(s->labels);
    cudaFree(s->rgb);
    cudaFreeHost(s->host_labels);
    cudaFreeHost(s->host_rgb);
}

static bool start(fscnn_session *session, cudaStream_t stream, int width, int height, slot *s) {
    const size_t pixels = (size_t)width * (size_t)height;
    fscnn_frame frame;
    fscnn_frame_init(&frame, FSCNN_RGB8, width, height, s->rgb);
    frame.memory = FSCNN_MEMORY_DEVICE;
    fscnn_outputs outputs;
    fscnn_outputs_init(&outputs);
    outputs.labels = s->labels;
    outputs.memory = FSCNN_MEMORY_DEVICE;
    // In stream order: the producer, the network, the consumer.
    return cuda(cudaMemcpyAsync(s->rgb, s->host_rgb, 3 * pixels, cudaMemcpyHostToDevice, stream), "upload") &&
           fscnn(fscnn_submit(session, &frame, &outputs, &s->ticket)) &&
           cuda(cudaMemcpyAsync(s->host_labels, s->labels, pixels, cudaMemcpyDeviceToHost, stream), "download") &&
           cuda(cudaEventRecord(s->downloaded, stream), "event");
}

static bool finish(fscnn_session *session, slot *s, size_t pixels) {
    return fscnn(fscnn_wait(session, s->ticket, -1)) && // says how the frame went, and makes its slot free
           cuda(cudaEventSynchronize(s->downloaded), "waiting for the labels") &&
           fwrite(s->host_labels, 1, pixels, stdout) == pixels;
}

static bool loop(fscnn_session *session, cudaStream_t stream, int width, int height, slot *slots) {
    const size_t pixels = (size_t)width * (size_t)height;
    int submitted = 0, done = 0;
    for (bool more = true; more || done < submitted;) {
        if (submitted - done == IN_FLIGHT || !more)
            if (!finish(session, &slots[done++ % IN_FLIGHT], pixels)) return false;
        slot *s = &slots[submitted % IN_FLIGHT];
        more = more && fread(s->host_rgb, 3, pixels, stdin) == pixels;
        if (more && !start(session, stream, width, height, s)) return false;
        submitted += more;
    }
    fprintf(stderr, "device: %d frames\n", done);
    return done > 0 && fflush(stdout) == 0;
}

int main(int argc, char **argv) {
    const int width = argc > 3 ? atoi(argv[2]) : 0, height = argc > 3 ? atoi(argv[3]) : 0;
    if (width <= 0 || height <= 0) {
        fprintf(stderr, "usage: device WEIGHTS WIDTH HEIGHT [TUNE] <frames.rgb >labels.gray\n");
        return 2;
    }
    cudaStream_t stream = NULL;
    slot slots[IN_FLIGHT] = {0};
    bool fine = cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
    for (int i = 0; i < IN_FLIGHT; i++) fine = fine && allocate(&slots[i], (size_t)width * (size_t)height);

    fscnn_engine *engine = NULL;
    fscnn_session *session = NULL;
    fscnn_engine_options engine_options;
    fscnn_engine_options_init(&engine_options);
    engine_options.backend = FSCNN_BACKEND_CUDA;
    fscnn_session_options options;
    fscnn_session_options_init(&options);
    options.width = width, options.height = height, options.in_flight = IN_FLIGHT, options.stream = stream;
    options.tune = argc > 4 ? atoi(argv[4]) : 0;
    fine = fine && fscnn(fscnn_engine_open(argv[1], &engine_options, &engine)) &&
           fscnn(fscnn_session_open(engine, &options, &session)) && loop(session, stream, width, height, slots);

    fscnn_session_close(&session); // before the stream and the memory that it computes on
    fscnn_engine_close(&engine);
    if (stream) cudaStreamSynchronize(stream);
    for (int i = 0; i < IN_FLIGHT; i++) release(&slots[i]);
    if (stream) cudaStreamDestroy(stream);
    return fine ? 0 : 1;
}
