// A camera loop with frames in flight: raw RGB frames come in, a class map goes out for each, in order.
//
//     camera WEIGHTS WIDTH HEIGHT [FRAMES] <frames.rgb >labels.gray
//
// With FRAMES, that many are generated and standard input is not read. While one frame is read and another one's labels
// are written, the network works on those between. With ffmpeg on both sides:
//
//     ffmpeg -i street.mp4 -f rawvideo -pix_fmt rgb24 - | camera model.safetensors 1920 1080 >labels.gray
#include <fastscnn/fastscnn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { IN_FLIGHT = 3 };

// What belongs to one frame in flight: its memory must stay until the frame has been waited for.
typedef struct slot {
    uint8_t *rgb, *labels;
    uint64_t ticket;
} slot;

typedef struct camera {
    int width, height, generate, seen;
} camera;

static double now(void) {
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// The next frame: 1; no more: 0; cut short: -1.
static int next_frame(camera *from, uint8_t *rgb) {
    const size_t bytes = (size_t)from->width * (size_t)from->height * 3;
    if (from->generate) {
        if (from->seen == from->generate) return 0;
        for (size_t i = 0; i < bytes; i++) rgb[i] = (uint8_t)(i / 7 + (size_t)from->seen * 5);
    } else {
        const size_t got = fread(rgb, 1, bytes, stdin);
        if (got != bytes) return got == 0 ? 0 : -1;
    }
    from->seen++;
    return 1;
}

static bool finish(fscnn_session *session, const slot *s, size_t pixels) {
    if (fscnn_wait(session, s->ticket, -1) != FSCNN_OK)
        fprintf(stderr, "camera: %s\n", fscnn_error());
    else if (fwrite(s->labels, 1, pixels, stdout) == pixels)
        return true;
    else
        perror("camera: cannot write labels");
    return false;
}

static bool start(fscnn_session *session, const camera *from, slot *s) {
    fscnn_frame frame;
    fscnn_frame_init(&frame, FSCNN_RGB8, from->width, from->height, s->rgb);
    fscnn_outputs outputs;
    fscnn_outputs_init(&outputs);
    outputs.labels = s->labels;
    if (fscnn_submit(session, &frame, &outputs, &s->ticket) == FSCNN_OK) return true;
    fprintf(stderr, "camera: %s\n", fscnn_error());
    return false;
}

static int loop(fscnn_session *session, camera *from) {
    slot slots[IN_FLIGHT] = {0};
    const size_t pixels = (size_t)from->width * (size_t)from->height;
    bool fine = true;
    for (int i = 0; i < IN_FLIGHT; i++) {
        slots[i].rgb = malloc(3 * pixels), slots[i].labels = malloc(pixels);
        fine = fine && slots[i].rgb && slots[i].labels;
    }
    if (!fine) fprintf(stderr, "camera: out of memory\n");
    const double began = now();
    int submitted = 0, done = 0, more = 1;
    while (fine && (more > 0 || done < submitted)) {
        if (submitted - done == IN_FLIGHT || (more <= 0 && done < submitted)) // make room, or come to the end
            fine = finish(session, &slots[done++ % IN_FLIGHT], pixels);
        if (fine && more > 0 && (more = next_frame(from, slots[submitted % IN_FLIGHT].rgb)) > 0)
            fine = start(session, from, &slots[submitted++ % IN_FLIGHT]);
    }
    if (more < 0) fprintf(stderr, "camera: the last frame is cut short\n");
    if (done > 0) fprintf(stderr, "camera: %d frames, %.1f a second\n", done, done / (now() - began));
    fscnn_session_close(&session); // takes back or finishes what is in flight, so that the memory may go
    for (int i = 0; i < IN_FLIGHT; i++) {
        free(slots[i].rgb);
        free(slots[i].labels);
    }
    return fine && more == 0 && fflush(stdout) == 0 ? 0 : 1;
}

int main(int argc, char **argv) {
    camera from = {0};
    if (argc > 3) from.width = atoi(argv[2]), from.height = atoi(argv[3]);
    if (argc > 4) from.generate = atoi(argv[4]);
    if (from.width <= 0 || from.height <= 0 || from.generate < 0) {
        fprintf(stderr, "usage: camera WEIGHTS WIDTH HEIGHT [FRAMES] <frames.rgb >labels.gray\n");
        return 2;
    }
    fscnn_engine *engine = NULL;
    fscnn_session *session = NULL;
    fscnn_session_options options;
    fscnn_session_options_init(&options);
    options.width = from.width, options.height = from.height, options.in_flight = IN_FLIGHT;
    int status = 1;
    if (fscnn_engine_open(argv[1], NULL, &engine) || fscnn_session_open(engine, &options, &session))
        fprintf(stderr, "camera: %s\n", fscnn_error());
    else
        status = loop(session, &from);
    fscnn_engine_close(&engine);
    return status;
}
