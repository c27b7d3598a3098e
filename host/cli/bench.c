// fastscnn bench: frames per second and latency at the boundary u8 pixels in, class map (or scores) out.
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "host/cli/cli.h"
#include "host/cli/plot.h"
#include "host/cli/progress.h"
#include "host/cli/stats.h"
#include "host/image/image.h"
#include "host/image/scene.h"
#include "runtime/base/mem.h"
#include "runtime/base/text.h"

enum {
    SLOTS_MAX = 16,
    SCENES_MAX = 4,
    LATENCY = 0,
    THROUGHPUT = 1,
    HOST = 0,
    PINNED = 1,
    DEVICE = 2,
    LABELS = 0,
    SCORES = 1
};
static const size_t SCENE_BYTES_MAX = (size_t)64 << 20; // of all rotating frames together, beyond the first
static const uint64_t SCENE_SEED = 1;

static const char *const mode_names[] = {"latency", "throughput", NULL};
static const char *const io_names[] = {"host", "pinned", "device", NULL};
static const char *const task_names[] = {"labels", "scores", NULL};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number) {
    (void)signal_number;
    interrupted = 1;
}

typedef struct fs_bench {
    fs_setup setup;
    fs_size size;
    int mode, io, task, in_flight;
    double warmup, duration; // seconds
    const char *input, *json, *plot;
    bool quiet;

    fs_model_open model;
    fscnn_session *session;
    fscnn_session_info info;
    double setup_ms;

    fs_image scene[SCENES_MAX];
    int scenes;
    void *input_buffer[SCENES_MAX]; // frames in the memory that --io names; NULL: the scenes themselves
    void *output[SLOTS_MAX];        // one per frame in flight, in that memory

    fs_sample *samples; // owned
    size_t count, capacity;
    double seconds; // measured
    fs_stats stats;
} fs_bench;

// Gives a 4-channel model its 4th channel: brightness, which is what a thermal picture looks most like.
static bool add_fourth_channel(fs_image *image) {
    size_t pixels = (size_t)image->width * (size_t)image->height;
    uint8_t *out = fs_malloc(pixels, 4);
    if (out == NULL) return false;
    for (size_t i = 0; i < pixels; i++) {
        const uint8_t *rgb = image->pixels + 3 * i;
        memcpy(out + 4 * i, rgb, 3);
        out[4 * i + 3] = (uint8_t)((rgb[0] + 2 * rgb[1] + rgb[2]) / 4);
    }
    int width = image->width, height = image->height;
    fs_image_free(image);
    *image = (fs_image){.width = width, .height = height, .channels = 4, .pixels = out};
    return true;
}

static int frames_from_file(fs_bench *self, fs_image *picture) {
    if (picture->height == self->size.height && picture->width == self->size.width) {
        self->scene[0] = *picture;
        *picture = (fs_image){0};
    } else if (fs_image_resize(picture, self->size.width, self->size.height, &self->scene[0]) != FS_OK) {
        fs_complain("%s: %s", self->input, fs_error_text());
        return FS_EXIT_FAILED;
    }
    self->scenes = 1;
    return FS_EXIT_OK;
}

// Several frames that differ, so that caches and branch predictors meet what a camera would bring.
static int frames_from_scene(fs_bench *self) {
    int channels = self->model.info.channels;
    size_t bytes = (size_t)self->size.height * (size_t)self->size.width * (size_t)channels;
    size_t fit = SCENE_BYTES_MAX / bytes;
    self->scenes = fit < 1 ? 1 : fit > SCENES_MAX ? SCENES_MAX : (int)fit;
    for (int i = 0; i < self->scenes; i++) {
        if (fs_scene_draw(&self->scene[i], NULL, self->size.width, self->size.height, SCENE_SEED, i) != FS_OK) {
            fs_complain("%s", fs_error_text());
            return FS_EXIT_FAILED;
        }
        if (channels == 4 && self->scene[i].channels == 3 && !add_fourth_channel(&self->scene[i])) {
            fs_complain("out of memory for frames of %dx%d; use a smaller --size", self->size.height, self->size.width);
            return FS_EXIT_FAILED;
        }
    }
    return FS_EXIT_OK;
}

static bool allocate(fs_bench *self) {
    size_t pixels = (size_t)self->size.height * (size_t)self->size.width;
    size_t element = self->task == SCORES ? (size_t)self->model.info.classes * sizeof(float) : 1;
    const fscnn_memory memory = (fscnn_memory)self->io;
    fscnn_engine *engine = self->model.engine;
    for (int i = 0; i < self->in_flight; i++)
        if (fscnn_buffer_alloc(engine, memory, pixels * element, &self->output[i]) != FSCNN_OK) return false;
    for (int i = 0; i < self->scenes && self->io != HOST; i++) {
        const fs_image *image = &self->scene[i];
        const size_t bytes = pixels * (size_t)image->channels;
        if (fscnn_buffer_alloc(engine, memory, bytes, &self->input_buffer[i]) != FSCNN_OK ||
            fscnn_buffer_copy(engine, self->input_buffer[i], image->pixels, bytes) != FSCNN_OK)
            return false;
    }
    self->capacity = 4096;
    self->samples = fs_malloc(self->capacity, sizeof *self->samples);
    return self->samples != NULL;
}

static bool keep_sample(fs_bench *self, fs_sample sample) {
    if (self->count == self->capacity) {
        fs_sample *grown = fs_grow(self->samples, self->count * sizeof *grown, 2 * self->capacity, sizeof *grown);
        if (grown == NULL) return false;
        self->samples = grown;
        self->capacity *= 2;
    }
    self->samples[self->count++] = sample;
    return true;
}

static bool submit(fs_bench *self, uint64_t number, uint64_t *ticket) {
    const int at = (int)(number % (uint64_t)self->scenes);
    const fs_image *image = &self->scene[at];
    fscnn_frame frame;
    fscnn_frame_init(&frame, image->channels == 4 ? FSCNN_RGBA8 : FSCNN_RGB8, image->width, image->height,
                     self->io == HOST ? image->pixels : self->input_buffer[at]);
    fscnn_outputs outputs;
    fscnn_outputs_init(&outputs);
    frame.memory = outputs.memory = (fscnn_memory)self->io;
    void *output = self->output[number % (uint64_t)self->in_flight];
    if (self->task == SCORES)
        outputs.logits = output;
    else
        outputs.labels = output;
    return fscnn_submit(self->session, &frame, &outputs, ticket) == FSCNN_OK;
}

// Keeps in_flight frames going for `seconds`, and at least one. Latency is from before submit to after wait. With one
// frame in flight this is latency mode.
static bool drive(fs_bench *self, double seconds, bool keep, fs_progress *progress) {
    uint64_t ticket[SLOTS_MAX];
    double started[SLOTS_MAX];
    uint64_t in = 0, out = 0, depth = (uint64_t)self->in_flight;
    double begin = fs_seconds(), now = begin;
    bool more = true;
    do {
        while (more && in - out < depth) {
            started[in % depth] = fs_seconds();
            if (!submit(self, in, &ticket[in % depth])) goto failed;
            in++;
            more = fs_seconds() - begin < seconds && interrupted == 0;
        }
        if (fscnn_wait(self->session, ticket[out % depth], -1) != FSCNN_OK) goto failed;
        now = fs_seconds();
        fs_sample sample = {now - begin, 1e3 * (now - started[out % depth])};
        out++;
        if (keep && !keep_sample(self, sample)) {
            fs_complain("out of memory for the samples; use a shorter --duration");
            return false;
        }
        if (progress != NULL) fs_progress_update(progress, (uint64_t)(1e3 * fmin(now - begin, seconds)));
        more = now - begin < seconds && interrupted == 0;
    } while (more || in > out);
    self->seconds = now - begin;
    return true;
failed:
    fs_complain("frame %llu: %s", (unsigned long long)(out + 1), fscnn_error());
    return false;
}

static int measure(fs_bench *self) {
    struct sigaction action = {.sa_handler = on_interrupt,
                               .sa_flags = (int)SA_RESETHAND}; // a second Ctrl-C ends at once
    struct sigaction before;
    sigemptyset(&action.sa_mask);
    interrupted = 0;
    sigaction(SIGINT, &action, &before);
    fs_progress progress;
    fs_progress_start(&progress, "warming up, ms", (uint64_t)(1e3 * self->warmup), self->quiet);
    bool fine = self->warmup <= 0 || drive(self, self->warmup, false, &progress);
    char text[64];
    snprintf(text, sizeof text, "measuring for %g s", self->duration);
    fs_progress_say(&progress, text); // redrawing would disturb what is measured
    if (fine && interrupted == 0) fine = drive(self, self->duration, true, NULL);
    fs_progress_clear(&progress);
    sigaction(SIGINT, &before, NULL);
    if (fine && self->count == 0) fs_complain("interrupted before the first measured frame");
    return fine && self->count > 0 ? FS_EXIT_OK : FS_EXIT_FAILED;
}

static uint64_t memory_bytes(const fs_bench *self, bool device) {
    bool on_device = self->model.info.backend == FSCNN_BACKEND_CUDA;
    const uint64_t main_bytes = self->model.info.weights_bytes + self->info.arena_bytes + self->info.scratch_bytes;
    return device == on_device ? main_bytes : device ? 0 : self->info.host_bytes;
}

static uint64_t peak_rss_bytes(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

static void print_head(const fs_bench *self, FILE *file) {
    const fscnn_engine_info *model = &self->model.info;
    fprintf(file, "fastscnn %s (commit %s)\n", fscnn_version_string(), FS_COMMIT);
    fprintf(file, "device     %s: %s\n", fs_backend_names[model->backend], model->device);
    fprintf(file, "model      %s: %s, %d classes\n", self->model.weights, model->variant, model->classes);
    if (self->input != NULL)
        fprintf(file, "input      %s\n", self->input);
    else
        fprintf(file, "input      generated street scene, %d frame%s in turn\n", self->scenes,
                self->scenes == 1 ? "" : "s");
    fprintf(file,
            "settings   %dx%d (height x width), %s, %s kernels, %s mode, %s, %s memory, %d thread%s, %d in flight\n",
            self->size.height, self->size.width, fs_precision_names[model->precision], model->kernels,
            mode_names[self->mode], task_names[self->task], io_names[self->io], self->info.threads,
            self->info.threads == 1 ? "" : "s", self->in_flight);
    fprintf(file, "time       warm-up %g s, then %g s measured\n\n", self->warmup, self->duration);
}

static void print_table(const fs_bench *self, FILE *file) {
    const fs_stats *stats = &self->stats;
    char host[32], device[32], peak[32];
    fprintf(file, "frames     %zu in %.2f s%s\n", self->count, self->seconds, interrupted ? " (interrupted)" : "");
    fprintf(file, "fps        %.1f\n", (double)self->count / self->seconds);
    const struct {
        const char *name;
        double value, percent; // 0: needs no minimum of frames
    } columns[] = {{"min", stats->min, 0},  {"mean", stats->mean, 0}, {"p50", stats->p50, 50}, {"p90", stats->p90, 90},
                   {"p95", stats->p95, 95}, {"p99", stats->p99, 99},  {"max", stats->max, 0}};
    enum { COLUMNS = sizeof columns / sizeof *columns };
    fprintf(file, "latency ");
    for (int i = 0; i < COLUMNS; i++) fprintf(file, " %10s ", columns[i].name);
    fprintf(file, "\n  ms    ");
    for (int i = 0; i < COLUMNS; i++) {
        bool doubtful = columns[i].percent > 50 && !fs_percentile_supported(self->count, columns[i].percent);
        fprintf(file, " %10.3f%c", columns[i].value, doubtful ? '*' : ' ');
    }
    fputc('\n', file);
    if (!fs_percentile_supported(self->count, 99))
        fprintf(file, "           * needs more frames (p90: 10, p95: 20, p99: 100); use a longer --duration\n");
    fprintf(file, "set-up     %.1f ms (engine and session)\n", self->setup_ms);
    fprintf(file, "memory     host %s, device %s; peak of the whole process %s\n",
            fs_bytes_text(memory_bytes(self, false), host), fs_bytes_text(memory_bytes(self, true), device),
            fs_bytes_text(peak_rss_bytes(), peak));
    fprintf(file, "context    paper: 123.5 fps on a Titan Xp at 1024x2048 (arXiv 1902.04502)\n");
}

static bool write_json(const fs_bench *self) {
    const fs_stats *stats = &self->stats;
    char size[32];
    snprintf(size, sizeof size, "%dx%d", self->size.height, self->size.width);
    fs_text json = {0};
    fs_json_open(&json, NULL, '{');
    fs_json_string(&json, "version", fscnn_version_string());
    fs_json_string(&json, "commit", FS_COMMIT);
    fs_json_string(&json, "backend", fs_backend_names[self->model.info.backend]);
    fs_json_string(&json, "device", self->model.info.device);
    fs_json_string(&json, "precision", fs_precision_names[self->model.info.precision]);
    fs_json_string(&json, "kernels", self->model.info.kernels);
    fs_json_string(&json, "weights", self->model.weights);
    fs_json_string(&json, "input", self->input != NULL ? self->input : "scene");
    fs_json_string(&json, "size", size);
    fs_json_string(&json, "mode", mode_names[self->mode]);
    fs_json_string(&json, "io", io_names[self->io]);
    fs_json_string(&json, "task", task_names[self->task]);
    fs_json_integer(&json, "threads", self->info.threads);
    fs_json_integer(&json, "in_flight", self->in_flight);
    fs_json_integer(&json, "frames", (int64_t)self->count);
    fs_json_number(&json, "seconds", self->seconds);
    fs_json_bool(&json, "interrupted", interrupted != 0);
    fs_json_number(&json, "fps", (double)self->count / self->seconds);
    fs_json_open(&json, "latency_ms", '{');
    fs_json_number(&json, "min", stats->min);
    fs_json_number(&json, "mean", stats->mean);
    fs_json_number(&json, "p50", stats->p50);
    fs_json_number(&json, "p90", stats->p90);
    fs_json_number(&json, "p95", stats->p95);
    fs_json_number(&json, "p99", stats->p99);
    fs_json_number(&json, "max", stats->max);
    fs_json_close(&json, '}');
    fs_json_number(&json, "setup_ms", self->setup_ms);
    fs_json_integer(&json, "device_bytes", (int64_t)memory_bytes(self, true));
    fs_json_integer(&json, "host_bytes", (int64_t)memory_bytes(self, false));
    fs_json_integer(&json, "peak_rss_bytes", (int64_t)peak_rss_bytes());
    fs_json_close(&json, '}');
    fs_text_add(&json, "\n");
    bool fine = fs_text_status(&json) == FS_OK;
    if (fine)
        fine = fs_text_write(self->json, json.data, json.length);
    else
        fs_complain("out of memory for '%s'", self->json);
    fs_text_free(&json);
    return fine;
}

static bool write_plot(const fs_bench *self) {
    char title[128], subtitle[512];
    snprintf(title, sizeof title, "Fast-SCNN %dx%d: %.1f fps, %s mode", self->size.height, self->size.width,
             (double)self->count / self->seconds, mode_names[self->mode]);
    snprintf(subtitle, sizeof subtitle, "%s, %s, %s, %d threads, %zu frames, commit %s", self->model.info.device,
             fs_precision_names[self->model.info.precision], task_names[self->task], self->info.threads, self->count,
             FS_COMMIT);
    fs_text svg = {0};
    fs_plot_latency(&svg, title, subtitle, self->samples, &self->stats);
    bool fine = fs_text_status(&svg) == FS_OK;
    if (fine)
        fine = fs_text_write(self->plot, svg.data, svg.length);
    else
        fs_complain("out of memory for '%s'", self->plot);
    fs_text_free(&svg);
    return fine;
}

static int report(fs_bench *self, FILE *file) {
    double *latencies = fs_malloc(self->count, sizeof *latencies);
    if (latencies == NULL) {
        fs_complain("out of memory for the statistics; use a shorter --duration");
        return FS_EXIT_FAILED;
    }
    for (size_t i = 0; i < self->count; i++) latencies[i] = self->samples[i].latency;
    fs_stats_take(latencies, self->count, &self->stats);
    fs_free(latencies);
    if (file != NULL) print_table(self, file);
    bool fine = self->json == NULL || write_json(self);
    if (self->plot != NULL) fine = write_plot(self) && fine;
    return fine ? FS_EXIT_OK : FS_EXIT_FAILED;
}

// Everything after the command line was understood.
static int run(fs_bench *self, fs_image *picture) {
    double start = fs_seconds();
    int code = fs_setup_open(&self->setup, "bench", true, &self->model);
    if (code != FS_EXIT_OK) return code;
    double engine_ms = 1e3 * (fs_seconds() - start);
    if (self->io == DEVICE && self->model.info.backend != FSCNN_BACKEND_CUDA) {
        fs_complain("option '--io device' needs the CUDA backend; use --io host");
        return FS_EXIT_FAILED;
    }

    if (self->input != NULL) {
        int channels = self->model.info.channels;
        if (fs_image_read(self->input, channels, picture) != FS_OK) {
            fs_complain("%s", fs_error_text());
            return FS_EXIT_FAILED;
        }
        if (self->size.height == 0) self->size = (fs_size){picture->height, picture->width};
    }
    start = fs_seconds();
    code = fs_setup_session(&self->setup, self->model.engine, self->size.height, self->size.width, self->in_flight, 0,
                            &self->session, &self->info);
    if (code != FS_EXIT_OK) return code;
    self->setup_ms = engine_ms + 1e3 * (fs_seconds() - start);

    code = self->input != NULL ? frames_from_file(self, picture) : frames_from_scene(self);
    if (code != FS_EXIT_OK) return code;
    if (!allocate(self)) {
        fs_complain("out of memory for frames or outputs of %dx%d; use a smaller --size or fewer frames in flight",
                    self->size.height, self->size.width);
        return FS_EXIT_FAILED;
    }
    bool json_on_stdout = self->json != NULL && strcmp(self->json, "-") == 0;
    FILE *file = self->quiet ? NULL : json_on_stdout ? stderr : stdout;
    if (file != NULL) {
        print_head(self, file);
        fflush(file);
    }
    code = measure(self);
    return code == FS_EXIT_OK ? report(self, file) : code;
}

int fs_verb_bench(int argc, char **argv) {
    fs_bench self = {.size = {1024, 2048}, .warmup = 1, .duration = 5};
    const fs_option options[] = {
        {.name = "size",
         .kind = FS_OPTION_NATIVE,
         .value = &self.size,
         .placeholder = "HxW|native",
         .low = 64,
         .high = 16384,
         .help = "network size (default: 1024x2048); native: that of --input"},
        {.name = "mode",
         .kind = FS_OPTION_CHOICE,
         .value = &self.mode,
         .placeholder = "latency|throughput",
         .choices = mode_names,
         .help = "latency: one frame at a time (default); throughput: frames kept in flight"},
        {.name = "io",
         .kind = FS_OPTION_CHOICE,
         .value = &self.io,
         .placeholder = "host|pinned|device",
         .choices = io_names,
         .help = "memory that frames and results live in: host (default), or, with the\n"
                 "CUDA backend, pinned host memory or the GPU's own"},
        {.name = "task",
         .kind = FS_OPTION_CHOICE,
         .value = &self.task,
         .placeholder = "labels|scores",
         .choices = task_names,
         .help = "u8 class map (default), or float32 scores of every class"},
        {.name = "in-flight",
         .kind = FS_OPTION_WHOLE,
         .value = &self.in_flight,
         .placeholder = "N",
         .low = 1,
         .high = SLOTS_MAX,
         .help = "frames in flight in throughput mode (default: 2)"},
        {.name = "warmup",
         .kind = FS_OPTION_REAL,
         .value = &self.warmup,
         .placeholder = "S",
         .low = 0,
         .high = 86400,
         .help = "seconds before the measurement (default: 1)"},
        {.name = "duration",
         .kind = FS_OPTION_REAL,
         .value = &self.duration,
         .placeholder = "S",
         .low = 0,
         .high = 86400,
         .help = "seconds measured, at least one frame (default: 5); Ctrl-C ends early"},
        {.name = "input",
         .kind = FS_OPTION_TEXT,
         .value = &self.input,
         .placeholder = "FILE",
         .help = "a picture, resized to the network size (default: a generated street scene)"},
        {.name = "json",
         .kind = FS_OPTION_TEXT,
         .value = &self.json,
         .placeholder = "FILE",
         .help = "write the results as JSON; -: to stdout, the table then goes to stderr"},
        {.name = "plot",
         .kind = FS_OPTION_TEXT,
         .value = &self.plot,
         .placeholder = "SVG",
         .help = "write a histogram and a time line of the latencies"},
        {.name = "quiet",
         .letter = 'q',
         .kind = FS_OPTION_FLAG,
         .value = &self.quiet,
         .help = "no table, no progress bar"},
    };
    fs_option shared[FS_SETUP_OPTIONS];
    fs_setup_options(&self.setup, shared);
    const fs_command command = {
        .name = "bench",
        .synopsis = "[OPTION]...",
        .about = "Measures frames per second and latency. A frame is u8 RGB pixels in, u8 class map out. Without "
                 "weights and\n"
                 "a bundled model it takes random ones: the speed is the same.",
        .examples = "  fastscnn bench\n"
                    "  fastscnn bench --size 512x1024 --precision fp32 --threads 1 --duration 10\n"
                    "  fastscnn bench --mode throughput --in-flight 4 --json - | jq .fps\n"
                    "  fastscnn bench --weights random:7 --plot latency.svg",
        .options = options,
        .count = sizeof options / sizeof *options,
        .shared = shared,
        .shared_count = FS_SETUP_OPTIONS,
    };
    int operand, code;
    if (!fs_cli_parse(&command, argc, argv, &operand, &code)) return code;
    if (self.size.height == 0 && self.input == NULL)
        return fs_usage("bench", "option '--size native' needs --input FILE");
    if (self.mode == LATENCY && self.in_flight > 1)
        return fs_usage("bench", "option '--in-flight' above 1 needs --mode throughput");
    if (self.in_flight == 0) self.in_flight = self.mode == LATENCY ? 1 : 2;
    if (self.plot != NULL && strcmp(self.plot, "-") == 0)
        return fs_usage("bench", "option '--plot' wants a file name, not '-'");
    if (self.plot != NULL && self.json != NULL && strcmp(self.plot, self.json) == 0)
        return fs_usage("bench", "options '--json' and '--plot' name the same file '%s'", self.plot);
    if (self.json != NULL && strcmp(self.json, "-") != 0 && !fs_output_check(self.json)) return FS_EXIT_FAILED;
    if (self.plot != NULL && !fs_output_check(self.plot)) return FS_EXIT_FAILED;

    fs_image picture = {0};
    code = run(&self, &picture);
    fscnn_session_close(&self.session); // waits for frames in flight, which use the buffers freed below
    for (int i = 0; i < SCENES_MAX; i++)
        fscnn_buffer_free(self.model.engine, (fscnn_memory)self.io, &self.input_buffer[i]);
    for (int i = 0; i < SLOTS_MAX; i++) fscnn_buffer_free(self.model.engine, (fscnn_memory)self.io, &self.output[i]);
    fscnn_engine_close(&self.model.engine);
    fs_image_free(&picture);
    for (int i = 0; i < SCENES_MAX; i++) fs_image_free(&self.scene[i]);
    fs_free(self.samples);
    return code;
}
