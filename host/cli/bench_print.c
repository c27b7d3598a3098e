// Prints a benchmark: settings and machine first, then a table, and the same as JSON.
#include <math.h>
#include <string.h>
#include <sys/resource.h>

#include "host/cli/bench.h"

enum { WIDTH = 11 }; // of a column

static uint64_t memory_bytes(const fs_bench *self, const fs_bench_run *run, bool device) {
    bool on_device = self->model.info.backend == FSCNN_BACKEND_CUDA;
    const uint64_t main_bytes = self->model.info.weights_bytes + run->info.arena_bytes + run->info.scratch_bytes;
    return device == on_device ? main_bytes : device ? 0 : run->info.host_bytes;
}

static uint64_t peak_rss_bytes(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

static double fps_of(const fs_bench_run *run) {
    return run->seconds > 0 ? (double)run->count / run->seconds : 0;
}

// ---- Text -----------------------------------------------------------------------------------------------------------

void fs_bench_print_head(const fs_bench *self, FILE *file) {
    const fscnn_engine_info *model = &self->model.info;
    const fs_bench_run *first = &self->run[0];
    char what[512], clocks[512];
    fs_machine_describe(&self->machine, what, clocks, sizeof what);
    fprintf(file, "fastscnn %s (commit %s)\n", fscnn_version_string(), FS_COMMIT);
    fprintf(file, "machine    %s\n", what);
    fprintf(file, "clock      %s\n", clocks);
    fprintf(file, "device     %s: %s\n", fs_backend_names[model->backend], model->device);
    for (const char *line = self->backend.detail; *line != '\0';) {
        const size_t length = strcspn(line, "\n");
        fprintf(file, "           %.*s\n", (int)length, line);
        line += length + (line[length] == '\n');
    }
    fprintf(file, "model      %s: %s, %d classes\n", self->model.weights, model->variant, model->classes);
    if (self->sizes.count == 1)
        fprintf(file, "input      %s\n", first->input);
    else
        fprintf(file, "input      %s, frames in turn: see the table\n",
                self->choice.input != NULL ? self->choice.input : "generated street scene");
    fprintf(file, "settings   ");
    for (int i = 0; i < self->sizes.count; i++) {
        // The size of a picture is known by now.
        const fs_size size = i == 0 ? first->size : self->sizes.item[i];
        fprintf(file, "%s%dx%d", i == 0 ? "" : ", ", size.height, size.width);
    }
    fprintf(file, " (height x width), %s, %s kernels, ", fs_precision_names[model->precision], model->kernels);
    fprintf(file, "%s mode", fs_bench_mode_names[self->mode]);
    if (self->mode == FS_BENCH_PACED) fprintf(file, " at %g Hz", self->rate);
    fprintf(file, ", %s, %s memory, %d thread%s, %d in flight%s%s\n", fs_task_names[self->choice.task],
            fs_io_names[self->choice.io], first->info.threads, first->info.threads == 1 ? "" : "s", self->in_flight,
            self->setup.disable_fusion != NULL ? ", without the fusions " : "",
            self->setup.disable_fusion != NULL ? self->setup.disable_fusion : "");
    fprintf(file, "time       warm-up %g s, then ", self->warmup);
    if (self->frames > 0)
        fprintf(file, "%d frames measured", self->frames);
    else
        fprintf(file, "%g s measured", self->duration);
    fprintf(file, "%s\n\n", self->sizes.count > 1 ? ", for each size" : "");
    fflush(file);
}

static void print_columns(FILE *file) {
    fprintf(file, " %*s %*s", WIDTH, "min", WIDTH, "mean");
    for (int i = 0; i < FS_PERCENTILES; i++) fprintf(file, " %*s", WIDTH, fs_percentiles[i].name);
    fprintf(file, " %*s %*s\n", WIDTH, "max", WIDTH, "deviation");
}

static void print_percentile(FILE *file, size_t count, int i, double value) {
    char text[32];
    if (fs_percentile_supported(count, fs_percentiles[i].percent))
        snprintf(text, sizeof text, "%.3f", value);
    else
        snprintf(text, sizeof text, "needs %zu", fs_percentile_needs(fs_percentiles[i].percent));
    fprintf(file, " %*s", WIDTH, text);
}

static void print_stats(FILE *file, const fs_stats *stats) {
    fprintf(file, " %*.3f %*.3f", WIDTH, stats->min, WIDTH, stats->mean);
    for (int i = 0; i < FS_PERCENTILES; i++) print_percentile(file, stats->count, i, stats->percentile[i]);
    fprintf(file, " %*.3f %*.3f\n", WIDTH, stats->max, WIDTH, stats->deviation);
}

static void print_bound(FILE *file, const char *name, size_t count, const double *bounds) {
    fprintf(file, "%-10s %*s %*s", name, WIDTH, "", WIDTH, "");
    for (int i = 0; i < FS_PERCENTILES && fs_percentile_supported(count, fs_percentiles[i].percent); i++)
        fprintf(file, " %*.3f", WIDTH, bounds[i]);
    fputc('\n', file);
}

static void print_needs(FILE *file, size_t count) {
    if (!fs_percentile_supported(count, fs_percentiles[FS_PERCENTILES - 1].percent))
        fprintf(file, "           needs N: a percentile needs N frames, so that ten lie above it; see --frames and "
                      "--duration\n");
}

static void print_paced(const fs_bench *self, const fs_bench_run *run, FILE *file) {
    const size_t due = run->count + run->dropped;
    fprintf(file, "deadline   %zu of %zu frames done before the next was due (%.3f ms): %zu late, %zu dropped\n",
            run->count - run->missed, due, 1e3 / self->rate, run->missed, run->dropped);
    fprintf(file, "jitter     start %.3f ms, from %.3f to %.3f; completion %.3f ms, from %.3f to %.3f after due\n",
            run->start.deviation, run->start.min, run->start.max, run->finish.deviation, run->finish.min,
            run->finish.max);
    if (run->wake.count > 0)
        fprintf(file,
                "wake-up    %zu sleeps until a frame was due; the timer woke %.3f ms late on average, %.3f at most\n",
                run->wake.count, run->wake.mean, run->wake.max);
    else
        fprintf(file, "wake-up    never slept: each frame was due before the one before it was done\n");
}

static void print_one(const fs_bench *self, const fs_bench_run *run, FILE *file) {
    char host[32], device[32], peak[32];
    fprintf(file, "frames     %zu in %.2f s%s\n", run->count, run->seconds, run->interrupted ? " (interrupted)" : "");
    fprintf(file, "fps        %.1f\n", fps_of(run));
    if (self->mode == FS_BENCH_PACED) print_paced(self, run, file);
    fprintf(file, "%-10s", "ms");
    print_columns(file);
    fprintf(file, "%-10s", "latency");
    print_stats(file, &run->latency);
    if (run->count > 1) {
        print_bound(file, "  95% from", run->count, run->latency.low);
        print_bound(file, "  95% to", run->count, run->latency.high);
    }
    if (self->mode == FS_BENCH_PACED) {
        const struct {
            const char *name;
            const fs_stats *stats;
        } rows[] = {{"wake-up", &run->wake}, {"start", &run->start}, {"completion", &run->finish}};
        for (int i = 0; i < 3; i++) {
            if (rows[i].stats->count == 0) continue;
            fprintf(file, "%-10s", rows[i].name);
            print_stats(file, rows[i].stats);
        }
        fprintf(file, "           wake-up, start, completion: after the moment at which the frame was due\n");
    }
    print_needs(file, run->count);
    if (run->mhz[1] > 0) fprintf(file, "clock      %.0f MHz before, %.0f MHz after\n", run->mhz[0], run->mhz[1]);
    if (run->others >= 0) fprintf(file, "others     kept %.2f processors busy meanwhile\n", run->others);
    fprintf(file, "set-up     %.1f ms (engine and session)\n", run->setup_ms);
    fprintf(file, "memory     host %s, device %s; peak of the whole process %s\n",
            fs_bytes_text(memory_bytes(self, run, false), host), fs_bytes_text(memory_bytes(self, run, true), device),
            fs_bytes_text(peak_rss_bytes(), peak));
    fprintf(file, "context    paper: 123.5 fps on a Titan Xp at 1024x2048 (arXiv 1902.04502)\n");
}

void fs_bench_print_run(const fs_bench *self, const fs_bench_run *run, FILE *file) {
    if (self->sizes.count == 1) {
        print_one(self, run, file);
        return;
    }
    if (self->runs == 0) {
        fprintf(file, "%-11s %5s %7s %8s", "size", "turn", "frames", "fps");
        if (self->mode == FS_BENCH_PACED) fprintf(file, " %7s %7s", "late", "dropped");
        print_columns(file);
    }
    char size[32];
    snprintf(size, sizeof size, "%dx%d", run->size.height, run->size.width);
    fprintf(file, "%-11s %5d %7zu %8.1f", size, run->frames_in_turn, run->count, fps_of(run));
    if (self->mode == FS_BENCH_PACED) fprintf(file, " %7zu %7zu", run->missed, run->dropped);
    print_stats(file, &run->latency);
    fflush(file);
}

void fs_bench_print_foot(const fs_bench *self, FILE *file) {
    if (self->sizes.count == 1) return;
    size_t fewest = SIZE_MAX;
    for (int i = 0; i < self->runs; i++)
        if (self->run[i].count < fewest) fewest = self->run[i].count;
    fprintf(file, "           min to deviation: latency in ms; turn: frames that take turns as the input\n");
    print_needs(file, fewest);
    if (self->run[self->runs - 1].interrupted)
        fprintf(file, "(interrupted) %d of %d sizes, the last one in part\n", self->runs, self->sizes.count);
}

// ---- JSON -----------------------------------------------------------------------------------------------------------

// A clock shows no more than nanoseconds; the rest is noise of floating point.
static double rounded(double value) {
    return round(value * 1e6) / 1e6;
}

static void stats_json(fs_text *json, const char *key, const fs_stats *stats) {
    fs_json_open(json, key, '{');
    fs_json_number(json, "min", stats->min);
    fs_json_number(json, "mean", stats->mean);
    for (int i = 0; i < FS_PERCENTILES; i++)
        fs_json_number(json, fs_percentiles[i].key,
                       fs_percentile_supported(stats->count, fs_percentiles[i].percent) ? stats->percentile[i] : NAN);
    fs_json_number(json, "max", stats->max);
    fs_json_number(json, "deviation", stats->deviation);
    fs_json_close(json, '}');
}

static void intervals_json(fs_text *json, const fs_stats *stats) {
    fs_json_open(json, "latency_interval95_ms", '{');
    for (int i = 0; i < FS_PERCENTILES; i++) {
        if (!fs_percentile_supported(stats->count, fs_percentiles[i].percent)) continue;
        fs_json_open(json, fs_percentiles[i].key, '[');
        fs_json_number(json, NULL, stats->low[i]);
        fs_json_number(json, NULL, stats->high[i]);
        fs_json_close(json, ']');
    }
    fs_json_close(json, '}');
    fs_json_open(json, "percentile_needs_frames", '{');
    for (int i = 0; i < FS_PERCENTILES; i++)
        fs_json_integer(json, fs_percentiles[i].key, (int64_t)fs_percentile_needs(fs_percentiles[i].percent));
    fs_json_close(json, '}');
}

static void paced_json(const fs_bench *self, const fs_bench_run *run, fs_text *json) {
    fs_json_open(json, "paced", '{');
    fs_json_number(json, "rate_hz", self->rate);
    fs_json_number(json, "deadline_ms", 1e3 / self->rate);
    fs_json_integer(json, "due", (int64_t)(run->count + run->dropped));
    fs_json_integer(json, "missed", (int64_t)run->missed);
    fs_json_integer(json, "dropped", (int64_t)run->dropped);
    fs_json_integer(json, "sleeps", (int64_t)run->wake.count);
    stats_json(json, "wake_ms", &run->wake);
    stats_json(json, "start_ms", &run->start);
    stats_json(json, "completion_ms", &run->finish);
    fs_json_close(json, '}');
}

static void samples_json(const fs_bench *self, const fs_bench_run *run, fs_text *json) {
    fs_json_open(json, "samples", '{');
    fs_json_open(json, "begin_s", '[');
    for (size_t i = 0; i < run->count; i++) fs_json_number(json, NULL, rounded(run->samples[i].begin));
    fs_json_close(json, ']');
    fs_json_open(json, "latency_ms", '[');
    for (size_t i = 0; i < run->count; i++) fs_json_number(json, NULL, rounded(run->samples[i].latency));
    fs_json_close(json, ']');
    if (self->mode == FS_BENCH_PACED) {
        fs_json_open(json, "start_ms", '[');
        for (size_t i = 0; i < run->count; i++) fs_json_number(json, NULL, rounded(run->samples[i].start));
        fs_json_close(json, ']');
        fs_json_open(json, "wake_ms", '['); // null: did not sleep
        for (size_t i = 0; i < run->count; i++) fs_json_number(json, NULL, rounded(run->samples[i].wake));
        fs_json_close(json, ']');
    }
    fs_json_close(json, '}');
}

static void clocks_json(const fs_bench_run *run, fs_text *json) {
    fs_json_open(json, "mhz_before_after", '[');
    for (int i = 0; i < 2; i++) fs_json_number(json, NULL, run->mhz[i] > 0 ? run->mhz[i] : NAN);
    fs_json_close(json, ']');
}

static void identity_json(const fs_bench *self, fs_text *json) {
    fs_json_string(json, "kind", "bench");
    fs_json_string(json, "version", fscnn_version_string());
    fs_json_string(json, "commit", FS_COMMIT);
    fs_machine_json(json, "machine", &self->machine);
}

static void run_json(const fs_bench *self, const fs_bench_run *run, fs_text *json) {
    const fscnn_engine_info *model = &self->model.info;
    char size[32];
    snprintf(size, sizeof size, "%dx%d", run->size.height, run->size.width);
    fs_json_string(json, "backend", fs_backend_names[model->backend]);
    fs_json_string(json, "device", model->device);
    fs_json_string(json, "device_detail", self->backend.detail);
    fs_json_string(json, "precision", fs_precision_names[model->precision]);
    fs_json_string(json, "kernels", model->kernels);
    fs_json_string(json, "weights", self->model.weights);
    fs_json_string(json, "variant", model->variant);
    fs_json_integer(json, "classes", model->classes);
    fs_json_string(json, "disable_fusion", self->setup.disable_fusion);
    fs_json_string(json, "input", self->choice.input != NULL ? self->choice.input : "scene");
    fs_json_string(json, "inputs", self->choice.inputs);
    fs_json_integer(json, "frames_in_turn", run->frames_in_turn);
    fs_json_string(json, "size", size);
    fs_json_string(json, "mode", fs_bench_mode_names[self->mode]);
    fs_json_string(json, "io", fs_io_names[self->choice.io]);
    fs_json_string(json, "task", fs_task_names[self->choice.task]);
    fs_json_integer(json, "threads", run->info.threads);
    fs_json_integer(json, "in_flight", self->in_flight);
    fs_json_number(json, "warmup_s", self->warmup);
    fs_json_number(json, "duration_s", self->frames > 0 ? NAN : self->duration); // null: a number of frames
    fs_json_integer(json, "frames", (int64_t)run->count);
    fs_json_number(json, "seconds", run->seconds);
    fs_json_bool(json, "interrupted", run->interrupted);
    fs_json_number(json, "fps", fps_of(run));
    stats_json(json, "latency_ms", &run->latency);
    intervals_json(json, &run->latency);
    if (self->mode == FS_BENCH_PACED) paced_json(self, run, json);
    clocks_json(run, json);
    fs_json_number(json, "others_processors", run->others >= 0 ? run->others : NAN);
    fs_json_number(json, "setup_ms", run->setup_ms);
    fs_json_integer(json, "device_bytes", (int64_t)memory_bytes(self, run, true));
    fs_json_integer(json, "host_bytes", (int64_t)memory_bytes(self, run, false));
    fs_json_integer(json, "peak_rss_bytes", (int64_t)peak_rss_bytes());
    if (self->samples) samples_json(self, run, json);
}

void fs_bench_json(const fs_bench *self, fs_text *json) {
    fs_json_open(json, NULL, '{');
    identity_json(self, json);
    if (self->sizes.count == 1) {
        run_json(self, &self->run[0], json);
    } else {
        fs_json_open(json, "runs", '[');
        for (int i = 0; i < self->runs; i++) {
            fs_json_open(json, NULL, '{');
            run_json(self, &self->run[i], json);
            fs_json_close(json, '}');
        }
        fs_json_close(json, ']');
    }
    fs_json_close(json, '}');
    fs_text_add(json, "\n");
}
