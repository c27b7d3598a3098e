// Videos for `segment`: one thread reads and decodes, one labels, one draws and encodes, over a ring of frames; a
// fourth waits for Ctrl-C.
#include "host/cli/video.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/cli/progress.h"
#include "host/cli/video_files.h"
#include "runtime/base/mem.h"

// Frames between the threads: enough that none waits for another's jitter.
enum { RING = 6 };

// ---- The ring -------------------------------------------------------------------------------------------------------

typedef enum stage { EMPTY, DECODED, LABELLED } stage;

typedef struct slot {
    stage stage;
    fs_image picture;
    uint8_t *labels, *overlay; // overlay: NULL where it is not wanted
} slot;

typedef struct pipeline {
    fs_labeller *labeller;
    const fs_video_request *request;
    fs_video_source source;
    fs_video_sink sink[FS_KINDS];
    uint8_t *planes; // the decoder's
    uint8_t *ids;    // the writer's, for mapped labels
    slot slot[RING];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t decoded; // frames
    bool end;         // the stream is over; `decoded` is final
    bool broken;      // and not by its end
    bool stop;        // something failed: all leave
    bool interrupted; // no more frames are labelled, those that are get written
    bool cut;         // by that, before its end
    int wake[2];      // a pipe: numbers of signals, 0 at the end
} pipeline;

// Waits until the slot is at a stage. False: leave instead.
static bool await(pipeline *p, uint64_t frame, stage wanted) {
    slot *s = &p->slot[frame % RING];
    pthread_mutex_lock(&p->lock);
    for (;;) {
        const bool over = p->end && (wanted == EMPTY || frame >= p->decoded);
        if (p->stop || over || (p->interrupted && wanted != LABELLED) || s->stage == wanted) break;
        pthread_cond_wait(&p->changed, &p->lock);
    }
    const bool over = p->end && (wanted == EMPTY || frame >= p->decoded);
    const bool there = s->stage == wanted && !p->stop && !over && !(p->interrupted && wanted != LABELLED);
    pthread_mutex_unlock(&p->lock);
    return there;
}

static void advance(pipeline *p, uint64_t frame, stage next) {
    pthread_mutex_lock(&p->lock);
    p->slot[frame % RING].stage = next;
    if (next == DECODED && !p->end) p->decoded = frame + 1;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

static void leave(pipeline *p, bool *which) {
    pthread_mutex_lock(&p->lock);
    *which = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

static void *decode(void *user) {
    pipeline *p = user;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    for (uint64_t frame = 0; await(p, frame, EMPTY); frame++) {
        bool end = false;
        // A stream that gives nothing more must not hold up the end: while it is read, and only then, the thread may be
        // cancelled.
        pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
        const fs_status status =
            fs_y4m_read_frame(p->source.file, p->source.name, &p->source.y4m, frame, p->planes, &end);
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
        if (status != FS_OK) {
            fs_complain("%s", fs_error_text());
            p->broken = true;
            end = true;
        }
        if (end) {
            leave(p, &p->end);
            break;
        }
        fs_y4m_to_rgb(&p->source.y4m, p->planes, p->slot[frame % RING].picture.pixels);
        advance(p, frame, DECODED);
    }
    return NULL;
}

static bool write_frame(pipeline *p, slot *s) {
    const fs_video_request *r = p->request;
    const int classes = p->labeller->model.info.classes;
    const uint8_t(*palette)[3] = (const uint8_t(*)[3])p->labeller->palette;
    if (s->overlay && !fs_video_sink_put(&p->sink[FS_KIND_OVERLAY], s->overlay)) return false;
    if (p->sink[FS_KIND_COLOR].path) {
        fs_image drawn;
        if (fs_image_color(s->labels, s->picture.width, s->picture.height, palette, classes, &drawn) != FS_OK) {
            fs_complain("%s: %s", r->in, fs_error_text());
            return false;
        }
        const bool fine = fs_video_sink_put(&p->sink[FS_KIND_COLOR], drawn.pixels);
        fs_image_free(&drawn);
        if (!fine) return false;
    }
    if (p->sink[FS_KIND_LABELS].path == NULL) return true;
    const size_t pixels = (size_t)s->picture.width * (size_t)s->picture.height;
    if (p->ids)
        for (size_t i = 0; i < pixels; i++) p->ids[i] = r->label_ids[s->labels[i]];
    return fs_video_sink_put(&p->sink[FS_KIND_LABELS], p->ids ? p->ids : s->labels);
}

static void *encode(void *user) {
    pipeline *p = user;
    for (uint64_t frame = 0; await(p, frame, LABELLED); frame++) {
        if (!write_frame(p, &p->slot[frame % RING])) {
            leave(p, &p->stop);
            break;
        }
        advance(p, frame, EMPTY);
    }
    return NULL;
}

static bool allocate(pipeline *p) {
    const fs_y4m *y = &p->source.y4m;
    const size_t pixels = (size_t)y->width * (size_t)y->height;
    p->planes = fs_malloc(y->frame_bytes, 1);
    if (p->request->label_ids) p->ids = fs_malloc(pixels, 1);
    bool fine = p->planes != NULL && (p->ids != NULL || p->request->label_ids == NULL);
    for (int i = 0; i < RING && fine; i++) {
        slot *s = &p->slot[i];
        s->picture = (fs_image){.width = y->width, .height = y->height, .channels = 3, .pixels = fs_malloc(pixels, 3)};
        s->labels = fs_malloc(pixels, 1);
        if (p->request->out[FS_KIND_OVERLAY]) s->overlay = fs_malloc(pixels, FS_LABELLER_OVERLAY);
        fine = s->picture.pixels && s->labels && (s->overlay || p->request->out[FS_KIND_OVERLAY] == NULL);
    }
    if (!fine) fs_complain("%s: out of memory for frames of %dx%d pixels", p->request->in, y->height, y->width);
    return fine;
}

// Labels frames until the stream ends; returns how many.
static uint64_t label_frames(pipeline *p) {
    fs_progress progress;
    fs_progress_start(&progress, "segmenting", p->source.frames, p->request->quiet);
    uint64_t frame = 0;
    for (; await(p, frame, DECODED); frame++) {
        slot *s = &p->slot[frame % RING];
        double seconds;
        fs_progress_update(&progress, frame);
        if (!fs_labeller_run(p->labeller, p->request->in, &s->picture, s->labels, NULL, s->overlay, &seconds)) {
            leave(p, &p->stop);
            break;
        }
        advance(p, frame, LABELLED);
    }
    fs_progress_clear(&progress);
    pthread_mutex_lock(&p->lock);
    // Not when all was done already. `frame` is then the encoder's end.
    p->cut = p->interrupted && !(p->end && frame >= p->decoded);
    if (p->cut) p->end = true, p->decoded = frame;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    return frame;
}

static bool run(pipeline *p, uint64_t *frames) {
    pthread_t decoder, encoder;
    if (pthread_create(&decoder, NULL, decode, p) != 0) {
        fs_complain("cannot start a thread");
        return false;
    }
    if (pthread_create(&encoder, NULL, encode, p) != 0) {
        fs_complain("cannot start a thread");
        leave(p, &p->stop);
        pthread_cancel(decoder);
        pthread_join(decoder, NULL);
        return false;
    }
    *frames = label_frames(p);
    pthread_join(encoder, NULL);
    if (p->stop || p->cut) pthread_cancel(decoder);
    pthread_join(decoder, NULL);
    return !p->stop;
}

// ---- Interrupts -----------------------------------------------------------------------------------------------------

enum { SIGNALS = 3 };
static const int signals[SIGNALS] = {SIGINT, SIGTERM, SIGHUP};
static volatile sig_atomic_t wake_end; // the pipe's

static void on_signal(int number) {
    const int error = errno;
    const unsigned char byte = (unsigned char)number;
    if (write((int)wake_end, &byte, 1) != 1) errno = 0; // full: enough came before
    errno = error;
}

// Ends the program by the signal, with nothing left behind; the decoder ends when nobody reads it.
static void end_at_once(pipeline *p, int number) {
    pthread_mutex_lock(&p->lock);
    for (int kind = 0; kind < FS_KINDS; kind++) {
        fs_child_kill(&p->sink[kind].encoder);
        if (p->sink[kind].out.part[0]) unlink(p->sink[kind].out.part);
    }
    signal(number, SIG_DFL);
    raise(number);
}

// The first signal ends the work with the frames that are done, the second ends the program.
static void *watch(void *user) {
    pipeline *p = user;
    unsigned char number;
    for (;;) {
        const ssize_t got = read(p->wake[0], &number, 1);
        if (got < 0 && errno == EINTR) continue;
        if (got != 1 || number == 0) return NULL;
        if (p->interrupted) end_at_once(p, number);
        leave(p, &p->interrupted);
    }
}

typedef struct watcher {
    pthread_t thread;
    struct sigaction before[SIGNALS];
} watcher;

static bool start_watcher(watcher *w, pipeline *p) {
    if (pipe2(p->wake, O_CLOEXEC) != 0 || pthread_create(&w->thread, NULL, watch, p) != 0) {
        fs_complain("cannot start a thread");
        return false;
    }
    wake_end = p->wake[1];
    const struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    for (int i = 0; i < SIGNALS; i++) {
        sigaction(signals[i], NULL, &w->before[i]);
        if (w->before[i].sa_handler != SIG_IGN) sigaction(signals[i], &action, NULL); // nohup's stays ignored
    }
    return true;
}

static void end_watcher(watcher *w, pipeline *p) {
    for (int i = 0; i < SIGNALS; i++) sigaction(signals[i], &w->before[i], NULL);
    on_signal(0);
    pthread_join(w->thread, NULL);
    close(p->wake[0]);
    close(p->wake[1]);
}

// ---- All of it ------------------------------------------------------------------------------------------------------

// Opened aside: a FIFO waits for its reader, and must not hold up the watcher.
static bool open_sink(pipeline *p, int kind) {
    fs_video_sink sink;
    const bool fine = fs_video_sink_open(&sink, kind == FS_KIND_LABELS, p->request->out[kind], &p->source.y4m);
    pthread_mutex_lock(&p->lock);
    p->sink[kind] = sink;
    pthread_mutex_unlock(&p->lock);
    return fine;
}

static bool close_sink(pipeline *p, int kind) {
    fs_video_sink_finish(&p->sink[kind]);
    pthread_mutex_lock(&p->lock);
    const bool fine = fs_video_sink_close(&p->sink[kind]);
    pthread_mutex_unlock(&p->lock);
    return fine;
}

static void tell(const pipeline *p, uint64_t frames, double seconds, bool whole) {
    const fs_video_request *r = p->request;
    bool piped = false;
    for (int kind = 0; kind < FS_KINDS; kind++) piped |= r->out[kind] != NULL && strcmp(r->out[kind], "-") == 0;
    FILE *to = piped || !whole ? stderr : stdout;
    fprintf(to, "%llu frame%s of %dx%d segmented in %.1f s (%.1f frames/s)%s\n", (unsigned long long)frames,
            frames == 1 ? "" : "s", p->source.y4m.height, p->source.y4m.width, seconds, (double)frames / seconds,
            whole    ? ""
            : p->cut ? "; interrupted"
                     : "; the rest of the stream is missing");
    for (int kind = 0; kind < FS_KINDS; kind++) {
        const fs_video_sink *s = &p->sink[kind];
        if (!s->kept || strcmp(s->path, "-") == 0) continue;
        fprintf(to, "wrote %s", s->path);
        if (!whole) fprintf(to, ": the first %llu frame%s", (unsigned long long)s->frames, s->frames == 1 ? "" : "s");
        fputc('\n', to);
    }
}

static int segment(pipeline *p) {
    const fs_video_request *request = p->request;
    bool fine = fs_video_source_open(&p->source, request->in) && allocate(p);
    int opened = 0;
    for (; opened < FS_KINDS && fine; opened++) fine = open_sink(p, opened);
    uint64_t frames = 0;
    const double start = fs_seconds();
    const bool ran = fine && run(p, &frames);
    bool whole = fs_video_source_close(&p->source, !ran || p->cut) && !p->broken && ran && !p->cut;
    if (ran && frames == 0 && whole) {
        fs_complain("%s: no frame in it", request->in);
        whole = false;
    }
    if (p->cut && frames == 0) fs_complain("interrupted before the first frame was done; nothing was written");
    for (int kind = 0; kind < opened; kind++) whole = close_sink(p, kind) && whole;
    if (frames > 0 && !request->quiet) tell(p, frames, fs_seconds() - start, whole);
    return whole ? FS_EXIT_OK : FS_EXIT_FAILED;
}

int fs_video_segment(fs_labeller *labeller, const fs_video_request *request) {
    pipeline p = {.labeller = labeller, .request = request};
    pthread_mutex_init(&p.lock, NULL);
    pthread_cond_init(&p.changed, NULL);
    // A reader that leaves is told by write(), in words.
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    sigaction(SIGPIPE, &ignore, &before);
    watcher guard;
    int code = FS_EXIT_FAILED;
    if (start_watcher(&guard, &p)) {
        code = segment(&p);
        end_watcher(&guard, &p);
    }
    for (int i = 0; i < RING; i++) {
        fs_image_free(&p.slot[i].picture);
        fs_free(p.slot[i].labels);
        fs_free(p.slot[i].overlay);
    }
    fs_free(p.planes);
    fs_free(p.ids);
    sigaction(SIGPIPE, &before, NULL);
    pthread_cond_destroy(&p.changed);
    pthread_mutex_destroy(&p.lock);
    return code;
}
