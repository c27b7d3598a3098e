// fastscnn profile: what each step of a frame takes, beside what the roofline allows.
#include "host/cli/profile.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "host/cli/machine.h"
#include "host/cli/progress.h"
#include "host/cli/workload.h"
#include "runtime/base/mem.h"

enum { FRAMES_MAX = 10000, FRAMES_MIN = 5 };

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number) {
    (void)signal_number;
    interrupted = 1;
}

typedef struct fs_profiler {
    fs_setup setup;
    fs_size size;
    fs_workload_choice choice;
    int frames;
    double warmup, duration; // seconds
    const char *roofline, *json, *html, *trace;
    bool quiet;

    fs_model_open model;
    fscnn_session *session;
    fs_workload work;
    fs_profile profile;
    size_t capacity; // frames
} fs_profiler;

// ---- Measuring ------------------------------------------------------------------------------------------------------

static bool grow(fs_profiler *self) {
    fs_profile *p = &self->profile;
    if (p->frames < self->capacity) return true;
    const size_t more = self->capacity == 0 ? 64 : 2 * self->capacity, steps = (size_t)p->session.steps;
    fscnn_step_time *times = fs_grow(p->times, self->capacity * steps * sizeof *times, more * steps, sizeof *times);
    if (times != NULL) p->times = times;
    double *began = fs_grow(p->began, self->capacity * sizeof *began, more, sizeof *began);
    if (began != NULL) p->began = began;
    double *frame_us = fs_grow(p->frame_us, self->capacity * sizeof *frame_us, more, sizeof *frame_us);
    if (frame_us != NULL) p->frame_us = frame_us;
    if (times == NULL || began == NULL || frame_us == NULL) {
        fs_complain("out of memory for the times; use a shorter --duration");
        return false;
    }
    self->capacity = more;
    return true;
}

// Profiles frames for `seconds` and counts them when `keep` is set.
static bool drive(fs_profiler *self, double seconds, bool keep, fs_progress *progress) {
    fs_profile *p = &self->profile;
    const double start = fs_seconds();
    for (uint64_t number = 0;; number++) {
        if (!grow(self)) return false;
        fscnn_frame frame;
        fscnn_outputs outputs;
        fs_workload_bind(&self->work, number, &frame, &outputs);
        fscnn_step_time *times = p->times + p->frames * (size_t)p->session.steps;
        const double before = fs_seconds();
        if (fscnn_session_profile(self->session, &frame, &outputs, times, p->session.steps) != FSCNN_OK) {
            fs_complain("frame %llu: %s", (unsigned long long)(number + 1), fscnn_error());
            return false;
        }
        const double after = fs_seconds();
        if (keep) {
            p->began[p->frames] = before - start;
            p->frame_us[p->frames++] = 1e6 * (after - before);
        }
        if (progress != NULL) fs_progress_update(progress, (uint64_t)(1e3 * fmin(after - start, seconds)));
        if (interrupted != 0) return true;
        const bool enough = !keep || (self->frames > 0 ? p->frames >= (size_t)self->frames : p->frames >= FRAMES_MIN);
        if (keep && self->frames > 0 ? enough : enough && after - start >= seconds) return true;
        if (p->frames == FRAMES_MAX) return true;
    }
}

static int measure(fs_profiler *self) {
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
    struct sigaction before;
    sigemptyset(&action.sa_mask);
    interrupted = 0;
    sigaction(SIGINT, &action, &before);
    fs_progress progress;
    fs_progress_start(&progress, "warming up, ms", (uint64_t)(1e3 * self->warmup), self->quiet);
    bool fine = self->warmup <= 0 || drive(self, self->warmup, false, &progress);
    fs_progress_say(&progress, "profiling");
    if (fine && interrupted == 0) fine = drive(self, self->duration, true, NULL);
    fs_progress_clear(&progress);
    sigaction(SIGINT, &before, NULL);
    self->profile.interrupted = interrupted != 0;
    if (fine && self->profile.frames == 0) fs_complain("interrupted before the first measured frame");
    return fine && self->profile.frames > 0 ? FS_EXIT_OK : FS_EXIT_FAILED;
}

// ---- Sums -----------------------------------------------------------------------------------------------------------

double fs_step_bytes(const fscnn_step_info *info) {
    return (double)info->read_bytes + (double)info->written_bytes + (double)info->weight_bytes;
}

static fs_profile_module *module_of(fs_profile *p, const char *name) {
    for (int i = 0; i < p->modules; i++)
        if (strcmp(p->module[i].name, name) == 0) return &p->module[i];
    fs_profile_module *added = &p->module[p->modules++];
    *added = (fs_profile_module){.steps = 0};
    snprintf(added->name, sizeof added->name, "%s", name);
    return added;
}

bool fs_profile_sum(fs_profile *p) {
    const size_t steps = (size_t)p->session.steps;
    double *values = fs_malloc(p->frames, sizeof *values);
    p->module = fs_calloc(steps, sizeof *p->module);
    if (values == NULL || p->module == NULL) {
        fs_free(values);
        return false;
    }
    fs_stats stats;
    for (size_t s = 0; s < steps; s++) {
        for (size_t i = 0; i < p->frames; i++) {
            const fscnn_step_time *t = &p->times[i * steps + s];
            values[i] = t->end_us - t->begin_us;
        }
        fs_stats_take(values, p->frames, &stats);
        fs_profile_step *step = &p->step[s];
        step->min_us = stats.min, step->median_us = stats.p50, step->p90_us = stats.p90;
        snprintf(step->module, sizeof step->module, "%.*s", (int)strcspn(step->info.name, "."), step->info.name);
        p->steps_us += step->median_us;
        fs_profile_module *module = module_of(p, step->module);
        module->steps++;
        module->median_us += step->median_us, module->roofline_us += step->info.roofline_us;
        module->flops += (double)step->info.flops, module->bytes += fs_step_bytes(&step->info);
    }
    memcpy(values, p->frame_us, p->frames * sizeof *values);
    fs_stats_take(values, p->frames, &stats);
    p->frame_median_us = stats.p50;
    for (size_t i = 0; i < p->frames; i++) {
        values[i] = p->frame_us[i];
        for (size_t s = 0; s < steps; s++)
            values[i] -= p->times[i * steps + s].end_us - p->times[i * steps + s].begin_us;
    }
    fs_stats_take(values, p->frames, &stats);
    p->outside_us = stats.p50;
    fs_free(values);
    return true;
}

// ---- The verb -------------------------------------------------------------------------------------------------------

static bool write_one(const fs_profile *profile, const char *path, void (*print)(const fs_profile *, fs_text *)) {
    if (path == NULL) return true;
    fs_text text = {0};
    print(profile, &text);
    bool fine = fs_text_status(&text) == FS_OK;
    if (fine)
        fine = fs_text_write(path, text.data, text.length);
    else
        fs_complain("out of memory for '%s'", path);
    fs_text_free(&text);
    return fine;
}

static bool describe_steps(fs_profiler *self) {
    fs_profile *p = &self->profile;
    p->step = fs_calloc((size_t)p->session.steps, sizeof *p->step);
    if (p->step == NULL) {
        fs_complain("out of memory for the steps");
        return false;
    }
    for (int i = 0; i < p->session.steps; i++) {
        fscnn_step_info_init(&p->step[i].info);
        if (fscnn_session_get_step(self->session, i, self->roofline, &p->step[i].info) == FSCNN_OK) continue;
        fs_complain("%s%s", self->roofline != NULL ? "option '--roofline': " : "", fscnn_error());
        return false;
    }
    return true;
}

static int report(fs_profiler *self) {
    fs_profile *p = &self->profile;
    if (!fs_profile_sum(p)) {
        fs_complain("out of memory for the sums");
        return FS_EXIT_FAILED;
    }
    bool to_stdout = false;
    const char *const files[] = {self->json, self->html, self->trace};
    for (int i = 0; i < 3; i++) to_stdout = to_stdout || (files[i] != NULL && strcmp(files[i], "-") == 0);
    bool fine = self->quiet || to_stdout || write_one(p, "-", fs_profile_text);
    fine = write_one(p, self->json, fs_profile_json) && fine;
    fine = write_one(p, self->html, fs_profile_html) && fine;
    fine = write_one(p, self->trace, fs_profile_trace) && fine;
    return fine ? FS_EXIT_OK : FS_EXIT_FAILED;
}

static int run(fs_profiler *self, fs_image *picture) {
    fs_profile *p = &self->profile;
    int code = fs_setup_open(&self->setup, "profile", true, &self->model);
    if (code != FS_EXIT_OK) return code;
    code = fs_workload_read(&self->model, &self->choice, picture, &self->size);
    if (code != FS_EXIT_OK) return code;
    code = fs_setup_session(&self->setup, self->model.engine, self->size.height, self->size.width, 1, 0, &self->session,
                            &p->session);
    if (code != FS_EXIT_OK) return code;
    p->model = &self->model, p->size = self->size, p->warmup = self->warmup;
    p->task = fs_task_names[self->choice.task], p->io = fs_io_names[self->choice.io];
    if (!describe_steps(self)) {
        // Nothing else of what the call looks at comes from the command line.
        return self->roofline != NULL ? FS_EXIT_USAGE : FS_EXIT_FAILED;
    }
    code = fs_workload_open(&self->work, &self->model, &self->choice, self->size, 1, picture);
    if (code != FS_EXIT_OK) return code;
    fs_workload_describe(&self->work, p->input, sizeof p->input);
    const fs_moment start = fs_machine_moment("");
    code = measure(self);
    p->others = fs_machine_others(start, fs_machine_moment(""));
    return code == FS_EXIT_OK ? report(self) : code;
}

static bool outputs_fine(const fs_profiler *self, int *code) {
    const char *const names[] = {"json", "html", "trace"};
    const char *const files[] = {self->json, self->html, self->trace};
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < i; k++)
            if (files[i] != NULL && files[k] != NULL && strcmp(files[i], files[k]) == 0) {
                *code = fs_usage("profile", "options '--%s' and '--%s' name the same file '%s'", names[k], names[i],
                                 files[i]);
                return false;
            }
    *code = FS_EXIT_FAILED;
    for (int i = 0; i < 3; i++)
        if (files[i] != NULL && strcmp(files[i], "-") != 0 && !fs_output_check(files[i])) return false;
    return true;
}

int fs_verb_profile(int argc, char **argv) {
    fs_profiler self = {.size = {1024, 2048}, .warmup = 0.5, .duration = 2};
    const fs_option own[] = {
        {.name = "size",
         .kind = FS_OPTION_NATIVE,
         .value = &self.size,
         .placeholder = "HxW|native",
         .low = 64,
         .high = 16384,
         .help = "network size (default: 1024x2048); native: that of --input"},
        {.name = "roofline",
         .kind = FS_OPTION_TEXT,
         .value = &self.roofline,
         .placeholder = "DEVICE",
         .help = "compare with h100, h200, a100, rtx4090, t4, orin, cpu or cpu-avx2\n(default: cpu or h100)"},
        {.name = "warmup",
         .kind = FS_OPTION_REAL,
         .value = &self.warmup,
         .placeholder = "S",
         .low = 0,
         .high = 86400,
         .help = "seconds before the measurement (default: 0.5)"},
        {.name = "duration",
         .kind = FS_OPTION_REAL,
         .value = &self.duration,
         .placeholder = "S",
         .low = 0,
         .high = 86400,
         .help = "seconds measured, at least five frames (default: 2)"},
        {.name = "frames",
         .kind = FS_OPTION_WHOLE,
         .value = &self.frames,
         .placeholder = "N",
         .low = 1,
         .high = FRAMES_MAX,
         .help = "measure so many frames instead"},
        {.name = "json",
         .kind = FS_OPTION_TEXT,
         .value = &self.json,
         .placeholder = "FILE",
         .help = "write the profile as JSON; -: to stdout, in place of the table"},
        {.name = "html",
         .kind = FS_OPTION_TEXT,
         .value = &self.html,
         .placeholder = "FILE",
         .help = "write one page with tables, bars and a roofline plot"},
        {.name = "trace",
         .kind = FS_OPTION_TEXT,
         .value = &self.trace,
         .placeholder = "FILE",
         .help = "write a Chrome trace, for ui.perfetto.dev or chrome://tracing"},
        {.name = "quiet",
         .letter = 'q',
         .kind = FS_OPTION_FLAG,
         .value = &self.quiet,
         .help = "no table, no progress bar"},
    };
    fs_option options[sizeof own / sizeof *own + FS_WORKLOAD_OPTIONS], shared[FS_SETUP_OPTIONS];
    memcpy(options, own, sizeof own);
    fs_workload_options(&self.choice, options + sizeof own / sizeof *own);
    fs_setup_options(&self.setup, shared);
    const fs_command command = {
        .name = "profile",
        .synopsis = "[OPTION]...",
        .about = "Times each step of a frame: median, bytes, FLOPs and share of the roofline, by step and by module. "
                 "Steps\n"
                 "run one after the other: on a GPU launched one by one, with an event between them.",
        .examples = "  fastscnn profile\n"
                    "  fastscnn profile --html profile.html --json profile.json\n"
                    "  fastscnn profile --size 512x1024 --disable-fusion all --trace trace.json",
        .options = options,
        .count = sizeof options / sizeof *options,
        .shared = shared,
        .shared_count = FS_SETUP_OPTIONS,
    };
    int operand, code;
    if (!fs_cli_parse(&command, argc, argv, &operand, &code)) return code;
    if (!fs_workload_inputs(&self.choice, "profile")) return FS_EXIT_USAGE;
    if (self.size.height == 0 && self.choice.input == NULL)
        return fs_usage("profile", "option '--size native' needs --input FILE");
    if (!outputs_fine(&self, &code)) return code;

    fs_image picture = {0};
    code = run(&self, &picture);
    fscnn_session_close(&self.session);
    fs_workload_close(&self.work);
    fscnn_engine_close(&self.model.engine);
    fs_image_free(&picture);
    fs_free(self.profile.step);
    fs_free(self.profile.module);
    fs_free(self.profile.times);
    fs_free(self.profile.began);
    fs_free(self.profile.frame_us);
    return code;
}
