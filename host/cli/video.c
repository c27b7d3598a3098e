// Videos for `segment`: one thread reads and decodes, one labels, one draws and encodes, over a ring of frames. Y4M is
// read and written here; anything else by ffmpeg at the other end of a pipe.
#include "host/cli/video.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/cli/child.h"
#include "host/cli/progress.h"
#include "host/image/y4m.h"
#include "runtime/base/mem.h"

// Frames between the threads: enough that none waits for another's jitter.
enum { RING = 6 };

// ---- Names ----------------------------------------------------------------------------------------------------------

static const char *const containers[] = {".y4m",  ".mp4", ".mkv", ".mov", ".avi", ".webm",  ".m4v", ".mpg",
                                         ".mpeg", ".ts",  ".wmv", ".flv", ".ogv", ".mjpeg", NULL};

static bool ends_in(const char *path, const char *const *endings) {
    for (int i = 0; endings[i]; i++)
        if (fs_name_ends(path, endings[i])) return true;
    return false;
}

static bool is_y4m(const char *path) {
    return strcmp(path, "-") == 0 || fs_name_ends(path, ".y4m");
}

bool fs_video_is_name(const char *path) {
    return strcmp(path, "-") == 0 || ends_in(path, containers);
}

bool fs_video_check_name(fs_kind kind, const char *path) {
    static const char *const lossless[] = {".y4m", ".mkv", NULL}, *const lossy[] = {".y4m", ".mp4", ".mkv",  ".mov",
                                                                                    ".m4v", ".avi", ".webm", NULL};
    if (kind == FS_KIND_LOGITS) {
        fs_usage("segment", "option '--logits' is for pictures; a video's scores would be %s",
                 "hundreds of megabytes a frame");
        return false;
    }
    if (strcmp(path, "-") == 0 || ends_in(path, kind == FS_KIND_LABELS ? lossless : lossy)) return true;
    if (kind == FS_KIND_LABELS)
        fs_usage("segment", "labels of a video are written without loss, as .y4m or .mkv, but '%s' ends otherwise",
                 path);
    else
        fs_usage("segment",
                 "a video is written as .mp4, .mkv, .mov, .m4v, .avi, .webm or .y4m, but '%s' ends otherwise", path);
    return false;
}

char *fs_video_name(const char *in, fs_kind kind, const char *folder) {
    static const char *const kinds[FS_KINDS] = {"_labels", "_overlay", "_color", "_logits"};
    const char *slash = strrchr(in, '/'), *name = slash ? slash + 1 : in, *dot = strrchr(name, '.');
    int length = dot && dot != name ? (int)(dot - name) : (int)strlen(name);
    if (strcmp(in, "-") == 0) name = "video", length = 5;
    const char *ending = is_y4m(in) ? ".y4m" : kind == FS_KIND_LABELS ? ".mkv" : ".mp4";
    const size_t size = (folder ? strlen(folder) : 0) + (size_t)length + 32;
    char *path = fs_malloc(size, 1);
    if (path)
        snprintf(path, size, "%s%s%.*s%s%s", folder ? folder : "", folder ? "/" : "", length, name, kinds[kind],
                 ending);
    return path;
}

// ---- Where frames come from -----------------------------------------------------------------------------------------

typedef struct source {
    const char *name;
    fs_child decoder;
    int file;
    fs_y4m y4m;
    uint64_t frames; // 0: unknown
} source;

static uint64_t count_frames(const char *path) {
    const char *const words[] = {"ffprobe",
                                 "-v",
                                 "error",
                                 "-select_streams",
                                 "v:0",
                                 "-count_packets",
                                 "-show_entries",
                                 "stream=nb_read_packets",
                                 "-of",
                                 "csv=p=0",
                                 path,
                                 NULL};
    char text[64];
    return fs_child_ask(words, text, sizeof text) ? strtoull(text, NULL, 10) : 0;
}

static bool open_source(source *s, const char *path) {
    *s = (source){
        .name = strcmp(path, "-") == 0 ? "standard input" : path, .decoder = {.file = -1, .said = -1}, .file = -1};
    struct stat status;
    const bool pipe = strcmp(path, "-") == 0;
    if (!pipe && stat(path, &status) != 0) {
        fs_complain("cannot open '%s': %s", path, strerror(errno));
        return false;
    }
    if (pipe) {
        s->file = STDIN_FILENO;
    } else if (is_y4m(path)) {
        s->file = open(path, O_RDONLY | O_CLOEXEC);
        if (s->file < 0) {
            fs_complain("cannot open '%s': %s", path, strerror(errno));
            return false;
        }
    } else {
        // -xerror: a damaged stream ends there instead of being patched up.
        const char *const words[] = {"ffmpeg", "-v", "error",        "-nostdin", "-xerror", "-i", path, "-map",
                                     "0:v:0",  "-f", "yuv4mpegpipe", "-pix_fmt", "yuv420p", "-",  NULL};
        if (!fs_child_start(&s->decoder, words, false)) return false;
        s->file = s->decoder.file;
        s->frames = count_frames(path);
    }
    if (fs_y4m_read_header(s->file, s->name, &s->y4m) != FS_OK) {
        if (s->decoder.id != 0)
            fs_complain("%s: ffmpeg finds no video in it", path);
        else
            fs_complain("%s", fs_error_text());
        return false;
    }
    if (!pipe && s->decoder.id == 0 && S_ISREG(status.st_mode))
        s->frames = ((uint64_t)status.st_size - s->y4m.header_bytes) / (s->y4m.frame_bytes + 6);
    return true;
}

// Whether the stream ended well.
static bool close_source(source *s, bool stop) {
    bool fine = true;
    if (s->decoder.id != 0) {
        if (stop)
            fs_child_stop(&s->decoder);
        else
            fine = fs_child_end(&s->decoder);
    } else if (s->file > STDIN_FILENO) {
        close(s->file);
    }
    s->file = -1;
    return fine;
}

// ---- Where they go --------------------------------------------------------------------------------------------------

typedef struct sink {
    const char *path; // NULL: not wanted
    char *part;       // what is written until all is done; NULL: standard output
    fs_child encoder;
    int file;
    fs_y4m y4m;
    uint8_t *planes; // of a .y4m frame in colour
} sink;

// "folder/.part-12-name": beside the file, with its ending, which tells ffmpeg the container.
static char *part_name(const char *path) {
    const char *slash = strrchr(path, '/');
    const int folder = slash ? (int)(slash + 1 - path) : 0;
    const size_t size = strlen(path) + 40;
    char *part = fs_malloc(size, 1);
    if (part) snprintf(part, size, "%.*s.part-%ld-%s", folder, path, (long)getpid(), path + folder);
    return part;
}

static bool start_encoder(sink *s, bool gray) {
    char size[32], rate[32];
    const bool known = s->y4m.rate > 0 && s->y4m.scale > 0;
    snprintf(size, sizeof size, "%dx%d", s->y4m.width, s->y4m.height);
    snprintf(rate, sizeof rate, "%d/%d", known ? s->y4m.rate : 25, known ? s->y4m.scale : 1);
    // Players take 4:2:0 alone, and that needs even sides.
    const char *words[40] = {
        "ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "rawvideo", "-pix_fmt", gray ? "gray" : "rgb24",
        "-s",     size, "-r",    rate,       "-i", "-"};
    int n = 15;
    if (gray) {
        words[n++] = "-c:v", words[n++] = "ffv1";
    } else {
        words[n++] = "-vf", words[n++] = "pad=ceil(iw/2)*2:ceil(ih/2)*2", words[n++] = "-pix_fmt",
        words[n++] = "yuv420p";
    }
    words[n++] = s->part;
    return fs_child_start(&s->encoder, words, true);
}

static bool open_sink(sink *s, fs_kind kind, const char *path, const fs_y4m *like) {
    const bool gray = kind == FS_KIND_LABELS;
    *s = (sink){.path = path, .encoder = {.file = -1, .said = -1}, .file = -1};
    if (path == NULL) return true;
    s->y4m = fs_y4m_describe(like->width, like->height, like->rate, like->scale, gray);
    if (strcmp(path, "-") != 0) {
        s->part = part_name(path);
        if (s->part == NULL) {
            fs_complain("%s: out of memory", path);
            return false;
        }
    }
    if (!is_y4m(path)) return start_encoder(s, gray);
    s->file = s->part ? open(s->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) : STDOUT_FILENO;
    if (s->file < 0) {
        fs_complain("cannot write '%s': %s", path, strerror(errno));
        return false;
    }
    if (!gray) s->planes = fs_malloc(s->y4m.frame_bytes, 1);
    if (!gray && s->planes == NULL) {
        fs_complain("%s: out of memory", path);
        return false;
    }
    if (fs_y4m_write_header(s->file, path, &s->y4m) == FS_OK) return true;
    fs_complain("%s", fs_error_text());
    return false;
}

// pixels: RGB, or gray for labels.
static bool put_frame(sink *s, const uint8_t *pixels) {
    fs_status status;
    if (s->encoder.id != 0) {
        const size_t channels = s->y4m.chroma_x ? 3 : 1;
        status =
            fs_stream_write(s->encoder.file, s->path, pixels, (size_t)s->y4m.width * (size_t)s->y4m.height * channels);
    } else {
        if (s->planes) fs_y4m_from_rgb(&s->y4m, pixels, s->planes);
        status = fs_y4m_write_frame(s->file, s->path, &s->y4m, s->planes ? s->planes : pixels);
    }
    if (status != FS_OK) fs_complain("%s", fs_error_text());
    return status == FS_OK;
}

// keep: what was written gets its name.
static bool close_sink(sink *s, bool keep) {
    if (s->path == NULL) return true;
    bool fine = true;
    if (keep)
        fine = fs_child_end(&s->encoder);
    else
        fs_child_stop(&s->encoder);
    if (!fine) fs_complain("%s: ffmpeg could not write it", s->path);
    if (s->file > STDERR_FILENO && close(s->file) != 0) {
        fs_complain("cannot write '%s': %s", s->path, strerror(errno));
        fine = false;
    }
    if (s->part && (!keep || !fine)) remove(s->part);
    if (s->part && keep && fine && rename(s->part, s->path) != 0) {
        fs_complain("cannot write '%s': %s", s->path, strerror(errno));
        remove(s->part);
        fine = false;
    }
    fs_free(s->part);
    fs_free(s->planes);
    return fine;
}

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
    source source;
    sink sink[FS_KINDS];
    uint8_t *planes; // the decoder's
    uint8_t *ids;    // the writer's, for mapped labels
    slot slot[RING];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t decoded; // frames
    bool end;         // the stream is over; `decoded` is final
    bool broken;      // and not by its end
    bool stop;        // something failed: all leave
} pipeline;

// Waits until the slot is at a stage. False: leave instead.
static bool await(pipeline *p, uint64_t frame, stage wanted) {
    slot *s = &p->slot[frame % RING];
    pthread_mutex_lock(&p->lock);
    while (s->stage != wanted && !p->stop && !(wanted != EMPTY && p->end && frame >= p->decoded))
        pthread_cond_wait(&p->changed, &p->lock);
    const bool there = s->stage == wanted && !p->stop;
    pthread_mutex_unlock(&p->lock);
    return there;
}

static void advance(pipeline *p, uint64_t frame, stage next) {
    pthread_mutex_lock(&p->lock);
    p->slot[frame % RING].stage = next;
    if (next == DECODED) p->decoded = frame + 1;
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
        if (end) break;
        fs_y4m_to_rgb(&p->source.y4m, p->planes, p->slot[frame % RING].picture.pixels);
        advance(p, frame, DECODED);
    }
    leave(p, &p->end);
    return NULL;
}

static bool write_frame(pipeline *p, slot *s) {
    const fs_video_request *r = p->request;
    const int classes = p->labeller->model.info.classes;
    const uint8_t(*palette)[3] = (const uint8_t(*)[3])p->labeller->palette;
    if (s->overlay && !put_frame(&p->sink[FS_KIND_OVERLAY], s->overlay)) return false;
    if (p->sink[FS_KIND_COLOR].path) {
        fs_image drawn;
        if (fs_image_color(s->labels, s->picture.width, s->picture.height, palette, classes, &drawn) != FS_OK) {
            fs_complain("%s: %s", r->in, fs_error_text());
            return false;
        }
        const bool fine = put_frame(&p->sink[FS_KIND_COLOR], drawn.pixels);
        fs_image_free(&drawn);
        if (!fine) return false;
    }
    if (p->sink[FS_KIND_LABELS].path == NULL) return true;
    const size_t pixels = (size_t)s->picture.width * (size_t)s->picture.height;
    if (p->ids)
        for (size_t i = 0; i < pixels; i++) p->ids[i] = r->label_ids[s->labels[i]];
    return put_frame(&p->sink[FS_KIND_LABELS], p->ids ? p->ids : s->labels);
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
    if (p->stop) pthread_cancel(decoder);
    pthread_join(decoder, NULL);
    return !p->stop;
}

int fs_video_segment(fs_labeller *labeller, const fs_video_request *request) {
    pipeline p = {.labeller = labeller, .request = request};
    pthread_mutex_init(&p.lock, NULL);
    pthread_cond_init(&p.changed, NULL);
    // A reader that leaves is told by write(), in words.
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    sigaction(SIGPIPE, &ignore, &before);

    bool fine = open_source(&p.source, request->in) && allocate(&p);
    int opened = 0;
    for (; opened < FS_KINDS && fine; opened++)
        fine = open_sink(&p.sink[opened], (fs_kind)opened, request->out[opened], &p.source.y4m);
    uint64_t frames = 0;
    const double start = fs_seconds();
    const bool ran = fine && run(&p, &frames);
    bool whole = close_source(&p.source, !ran) && !p.broken && ran;
    if (ran && !whole && !p.broken) fs_complain("%s: the stream is damaged", request->in);
    if (ran && frames == 0) {
        if (whole) fs_complain("%s: no frame in it", request->in);
        whole = false;
    }
    for (int kind = 0; kind < opened; kind++) whole = close_sink(&p.sink[kind], frames > 0) && whole;
    const double seconds = fs_seconds() - start;

    bool piped = false;
    for (int kind = 0; kind < FS_KINDS; kind++)
        piped |= request->out[kind] != NULL && strcmp(request->out[kind], "-") == 0;
    if (ran && frames > 0 && !request->quiet)
        fprintf(piped ? stderr : stdout, "%llu frame%s of %dx%d segmented in %.1f s (%.1f frames/s)%s\n",
                (unsigned long long)frames, frames == 1 ? "" : "s", p.source.y4m.height, p.source.y4m.width, seconds,
                (double)frames / seconds, whole ? "" : "; the rest of the stream is missing");
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
    return whole ? FS_EXIT_OK : FS_EXIT_FAILED;
}
