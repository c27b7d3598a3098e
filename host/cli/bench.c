// fastscnn bench: frames per second and latency at the boundary u8 pixels in, class map (or scores) out.
#include "host/cli/bench.h"

#include <math.h>
#include <string.h>

#include "runtime/base/mem.h"

const char *const fs_bench_mode_names[] = {"latency", "throughput", "paced", NULL};

static const double RATE_DEFAULT = 30;

static bool write_text(const char *path, fs_text *text) {
    bool fine = fs_text_status(text) == FS_OK;
    if (fine)
        fine = fs_text_write(path, text->data, text->length);
    else
        fs_complain("out of memory for '%s'", path);
    fs_text_free(text);
    return fine;
}

static bool write_plot(const fs_bench *self) {
    const fs_bench_run *run = &self->run[0];
    char title[128], subtitle[512], pace[64] = "";
    if (self->mode == FS_BENCH_PACED) snprintf(pace, sizeof pace, " at %g Hz", self->rate);
    snprintf(title, sizeof title, "Fast-SCNN %dx%d: %.1f fps, %s mode%s", run->size.height, run->size.width,
             (double)run->count / run->seconds, fs_bench_mode_names[self->mode], pace);
    snprintf(subtitle, sizeof subtitle, "%s, %s, %s, %d thread%s, %zu frames, commit %s", self->model.info.device,
             fs_precision_names[self->model.info.precision], fs_task_names[self->choice.task], run->info.threads,
             run->info.threads == 1 ? "" : "s", run->count, FS_COMMIT);
    fs_text svg = {0};
    const bool paced = self->mode == FS_BENCH_PACED;
    const fs_plot plot = {title, subtitle, run->samples, paced ? &run->finish : &run->latency,
                          paced ? 1e3 / self->rate : 0};
    fs_plot_times(&svg, &plot);
    return write_text(self->plot, &svg);
}

// Opens, measures, prints and closes one size.
static int run_size(fs_bench *self, fs_size size, const fs_image *picture, FILE *file) {
    fs_bench_run *run = &self->run[self->runs];
    fscnn_session *session = NULL;
    fs_workload work = {.frames = 0};
    const double start = fs_seconds();
    run->size = size;
    int code = fs_setup_session(&self->setup, self->model.engine, size.height, size.width, self->in_flight, 0, &session,
                                &run->info);
    run->setup_ms = self->engine_ms + 1e3 * (fs_seconds() - start);
    if (code == FS_EXIT_OK) code = fs_workload_open(&work, &self->model, &self->choice, size, self->in_flight, picture);
    if (code == FS_EXIT_OK) {
        run->frames_in_turn = work.frames;
        fs_workload_describe(&work, run->input, sizeof run->input);
        if (file != NULL && self->runs == 0) fs_bench_print_head(self, file);
        code = fs_bench_measure(self, run, session, &work);
    }
    fscnn_session_close(&session); // waits for frames in flight, which use the buffers freed below
    fs_workload_close(&work);
    if (code != FS_EXIT_OK) return code;
    if (file != NULL) fs_bench_print_run(self, run, file);
    self->runs++;
    return FS_EXIT_OK;
}

// Everything after the command line was understood.
static int run(fs_bench *self, fs_image *picture) {
    fs_machine_read("", &self->machine);
    const double start = fs_seconds();
    int code = fs_setup_open(&self->setup, "bench", true, &self->model);
    if (code != FS_EXIT_OK) return code;
    self->engine_ms = 1e3 * (fs_seconds() - start);
    code = fs_workload_read(&self->model, &self->choice, picture, &self->sizes.item[0]);
    if (code != FS_EXIT_OK) return code;
    fscnn_backend_info_init(&self->backend);
    if (fscnn_backend_query(self->model.info.backend, &self->backend) != FSCNN_OK) {
        fs_complain("%s", fscnn_error());
        return FS_EXIT_FAILED;
    }
    const bool json_on_stdout = self->json != NULL && strcmp(self->json, "-") == 0;
    FILE *file = self->quiet ? NULL : json_on_stdout ? stderr : stdout;
    for (int i = 0; i < self->sizes.count && code == FS_EXIT_OK; i++) {
        code = run_size(self, self->sizes.item[i], picture, file);
        if (code == FS_EXIT_OK && self->run[i].interrupted) break;
    }
    if (code != FS_EXIT_OK) return code;
    if (file != NULL) fs_bench_print_foot(self, file);
    bool fine = true;
    if (self->json != NULL) {
        fs_text json = {0};
        fs_bench_json(self, &json);
        fine = write_text(self->json, &json);
    }
    if (self->plot != NULL) fine = write_plot(self) && fine;
    return fine ? FS_EXIT_OK : FS_EXIT_FAILED;
}

// The options that exclude or need each other; FS_EXIT_OK when they fit together.
static int check(fs_bench *self) {
    if (!fs_workload_inputs(&self->choice, "bench")) return FS_EXIT_USAGE;
    if (self->sizes.item[0].height == 0 && self->choice.input == NULL)
        return fs_usage("bench", "option '--size native' needs --input FILE");
    if (self->mode != FS_BENCH_THROUGHPUT && self->in_flight > 1)
        return fs_usage("bench", "option '--in-flight' above 1 needs --mode throughput");
    if (self->in_flight == 0) self->in_flight = self->mode == FS_BENCH_THROUGHPUT ? 2 : 1;
    if (self->mode != FS_BENCH_PACED && self->rate > 0) return fs_usage("bench", "option '--rate' needs --mode paced");
    if (self->rate <= 0) self->rate = RATE_DEFAULT;
    if (self->plot != NULL && strcmp(self->plot, "-") == 0)
        return fs_usage("bench", "option '--plot' wants a file name, not '-'");
    if (self->plot != NULL && self->sizes.count > 1)
        return fs_usage("bench", "option '--plot' draws one size; give one to --size");
    if (self->plot != NULL && self->json != NULL && strcmp(self->plot, self->json) == 0)
        return fs_usage("bench", "options '--json' and '--plot' name the same file '%s'", self->plot);
    if (self->samples && self->json == NULL) return fs_usage("bench", "option '--samples' needs --json FILE");
    return FS_EXIT_OK;
}

int fs_verb_bench(int argc, char **argv) {
    fs_bench self = {.sizes = {{{1024, 2048}}, 1}, .warmup = 1, .duration = 5};
    fs_compare compare = {.margin = -1};
    bool comparing = false;
    const fs_option own[] = {
        {.name = "size",
         .kind = FS_OPTION_SIZES,
         .value = &self.sizes,
         .placeholder = "HxW[,HxW]...|native",
         .low = 64,
         .high = 16384,
         .help = "network size (default: 1024x2048), or several, measured one after the other;\n"
                 "native: that of --input"},
        {.name = "mode",
         .kind = FS_OPTION_CHOICE,
         .value = &self.mode,
         .placeholder = "latency|throughput|paced",
         .choices = fs_bench_mode_names,
         .help = "latency: one frame at a time (default); throughput: frames kept in flight;\n"
                 "paced: frames come at a fixed rate, as from a camera"},
        {.name = "rate",
         .kind = FS_OPTION_REAL,
         .value = &self.rate,
         .placeholder = "HZ",
         .low = 0.01,
         .high = 100000,
         .help = "frames a second in paced mode (default: 30)"},
        {.name = "in-flight",
         .kind = FS_OPTION_WHOLE,
         .value = &self.in_flight,
         .placeholder = "N",
         .low = 1,
         .high = FS_OUTPUTS_MAX,
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
        {.name = "frames",
         .kind = FS_OPTION_WHOLE,
         .value = &self.frames,
         .placeholder = "N",
         .low = 1,
         .high = 100000000,
         .help = "measure so many frames instead: p90 needs 100, p99 1000, p99.9 10000"},
        {.name = "json",
         .kind = FS_OPTION_TEXT,
         .value = &self.json,
         .placeholder = "FILE",
         .help = "write the results as JSON; -: to stdout, the table then goes to stderr"},
        {.name = "samples",
         .kind = FS_OPTION_FLAG,
         .value = &self.samples,
         .help = "put every frame's begin and latency into the JSON, for --compare"},
        {.name = "plot",
         .kind = FS_OPTION_TEXT,
         .value = &self.plot,
         .placeholder = "SVG",
         .help = "write a histogram and a time line of the latencies"},
        {.name = "compare",
         .kind = FS_OPTION_FLAG,
         .value = &comparing,
         .help = "measure nothing: say whether the second of two JSON files with samples is\n"
                 "faster or slower than the first, or whether the difference is noise"},
        {.name = "margin",
         .kind = FS_OPTION_REAL,
         .value = &compare.margin,
         .placeholder = "PERCENT",
         .low = 0,
         .high = 1000,
         .help = "with --compare: differences below it are noise (default: 1)"},
        {.name = "anyway",
         .kind = FS_OPTION_FLAG,
         .value = &compare.anyway,
         .help = "with --compare: even if size, task, memory or mode differ"},
        {.name = "fail-slower",
         .kind = FS_OPTION_FLAG,
         .value = &compare.fail_slower,
         .help = "with --compare: exit code 1 when it is slower at any size, for scripts"},
        {.name = "profile-window",
         .kind = FS_OPTION_FLAG,
         .value = &self.profile_window,
         .help = "CUDA: bracket the measurement by cudaProfilerStart and Stop, for\n"
                 "nsys profile --capture-range=cudaProfilerApi"},
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
        .name = "bench",
        .synopsis = "[OPTION]...\n       fastscnn bench --compare BEFORE.json AFTER.json",
        .about = "Measures frames per second and latency. A frame is u8 RGB pixels in, u8 class map out. Without "
                 "weights and\n"
                 "a bundled model it takes random ones: the speed is the same.",
        .examples = "  fastscnn bench\n"
                    "  fastscnn bench --size 1024x2048,512x1024 --precision fp32 --threads 1 --duration 10\n"
                    "  fastscnn bench --mode throughput --in-flight 4 --json - | jq .fps\n"
                    "  fastscnn bench --mode paced --rate 30 --weights random:7 --plot latency.svg\n"
                    "  fastscnn bench --json before.json --samples --frames 200\n"
                    "  fastscnn bench --compare before.json after.json --fail-slower",
        .options = options,
        .count = sizeof options / sizeof *options,
        .shared = shared,
        .shared_count = FS_SETUP_OPTIONS,
        .operands = true,
    };
    int operand, code;
    if (!fs_cli_parse(&command, argc, argv, &operand, &code)) return code;
    if (comparing) {
        if (argc - operand != 2)
            return fs_usage("bench", "option '--compare' wants two JSON files, not %d", argc - operand);
        if (compare.margin < 0) compare.margin = 1;
        compare.path[0] = argv[operand], compare.path[1] = argv[operand + 1];
        compare.json = self.json, compare.quiet = self.quiet;
        return fs_bench_compare(&compare);
    }
    if (operand < argc) return fs_usage("bench", "unexpected argument '%s' for 'bench'", argv[operand]);
    if (compare.anyway || compare.margin >= 0 || compare.fail_slower)
        return fs_usage("bench", "option '--%s' needs --compare",
                        compare.anyway        ? "anyway"
                        : compare.fail_slower ? "fail-slower"
                                              : "margin");
    code = check(&self);
    if (code != FS_EXIT_OK) return code;
    if (self.json != NULL && strcmp(self.json, "-") != 0 && !fs_output_check(self.json)) return FS_EXIT_FAILED;
    if (self.plot != NULL && !fs_output_check(self.plot)) return FS_EXIT_FAILED;

    fs_image picture = {0};
    code = run(&self, &picture);
    fscnn_engine_close(&self.model.engine);
    fs_image_free(&picture);
    for (int i = 0; i < FS_SIZES_MAX; i++) fs_free(self.run[i].samples);
    return code;
}
