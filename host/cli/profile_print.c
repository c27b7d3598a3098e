// Prints a profile as a text table, as JSON and as a Chrome trace.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "host/cli/profile.h"

static double per(double amount, double us) { // per second, in units of 1e9
    return us > 0 ? amount / us * 1e-3 : 0;
}

static double percent(double part, double whole) {
    return whole > 0 ? 100 * part / whole : 0;
}

// ---- Text -----------------------------------------------------------------------------------------------------------

static void row(fs_text *text, int width, const char *name, double us, double share, double flops, double bytes,
                double roofline_us) {
    fs_text_add(text, "%-*s %10.1f %6.1f%% %9.1f %9.1f %9.1f %8.1f %9.1f %7.1f%%", width, name, us, share, flops * 1e-6,
                bytes * 1e-3, per(flops, us), per(bytes, us), roofline_us, percent(roofline_us, us));
}

static void heading(fs_text *text, int width, const char *first, const char *last) {
    fs_text_add(text, "%-*s %10s %7s %9s %9s %9s %8s %9s %8s%s\n", width, first, "median us", "share", "MFLOP", "kB",
                "GFLOP/s", "GB/s", "roofl. us", "reached", last);
}

void fs_profile_text(const fs_profile *p, fs_text *text) {
    const fscnn_engine_info *model = &p->model->info;
    fs_text_add(text, "fastscnn %s (commit %s)\n", fscnn_version_string(), FS_COMMIT);
    fs_text_add(text, "device     %s: %s\n", fs_backend_names[model->backend], model->device);
    fs_text_add(text, "model      %s: %s, %d classes\n", p->model->weights, model->variant, model->classes);
    fs_text_add(text, "input      %s\n", p->input);
    fs_text_add(text, "settings   %dx%d (height x width), %s, %s kernels, %s, %s memory, %d threads\n", p->size.height,
                p->size.width, fs_precision_names[model->precision], model->kernels, p->task, p->io,
                p->session.threads);
    fs_text_add(text, "roofline   %s: %s\n", p->step[0].info.roofline, p->step[0].info.roofline_about);
    fs_text_add(text, "frames     %zu, one at a time, after %g s of warm-up%s\n\n", p->frames, p->warmup,
                p->interrupted ? " (interrupted)" : "");

    int width = 10;
    for (int i = 0; i < p->session.steps; i++)
        if ((int)strlen(p->step[i].info.name) > width) width = (int)strlen(p->step[i].info.name);
    heading(text, width, "step", " bound");
    double flops = 0, bytes = 0, roofline = 0;
    for (int i = 0; i < p->session.steps; i++) {
        const fs_profile_step *s = &p->step[i];
        row(text, width, s->info.name, s->median_us, percent(s->median_us, p->steps_us), (double)s->info.flops,
            fs_step_bytes(&s->info), s->info.roofline_us);
        fs_text_add(text, " %s\n", s->info.bound);
        flops += (double)s->info.flops, bytes += fs_step_bytes(&s->info), roofline += s->info.roofline_us;
    }
    row(text, width, "steps", p->steps_us, 100, flops, bytes, roofline);
    fs_text_add(text, "\n%-*s %10.1f   hand-over, transfers, waking up\n", width, "outside", p->outside_us);
    fs_text_add(text, "%-*s %10.1f   from submit to the end of wait, %.1f frames/s\n\n", width, "frame",
                p->frame_median_us, 1e6 / p->frame_median_us);
    heading(text, width, "module", " steps");
    for (int i = 0; i < p->modules; i++) {
        const fs_profile_module *m = &p->module[i];
        row(text, width, m->name, m->median_us, percent(m->median_us, p->steps_us), m->flops, m->bytes, m->roofline_us);
        fs_text_add(text, " %5d\n", m->steps);
    }
    fs_text_add(text, "\nkB: maps and weights that a step reads or writes, what stays inside a fused step left out. "
                      "reached: share of the\ntime that the roofline allows; above 100%% where the machine is better "
                      "than the figures named above.\n");
    if (p->frames < 30) fs_text_add(text, "Only %zu frames: a longer --duration gives steadier medians.\n", p->frames);
}

// ---- JSON -----------------------------------------------------------------------------------------------------------

static void json_rates(fs_text *json, double us, double whole, double flops, double bytes, double roofline_us) {
    fs_json_number(json, "median_us", us);
    fs_json_number(json, "share", whole > 0 ? us / whole : 0);
    fs_json_number(json, "flops", flops);
    fs_json_number(json, "bytes", bytes);
    fs_json_number(json, "gflops_per_s", per(flops, us));
    fs_json_number(json, "gbytes_per_s", per(bytes, us));
    fs_json_number(json, "roofline_us", roofline_us);
    fs_json_number(json, "roofline_reached", us > 0 ? roofline_us / us : 0);
}

static void json_step(const fs_profile *p, int index, fs_text *json) {
    const fs_profile_step *s = &p->step[index];
    fs_json_open(json, NULL, '{');
    fs_json_integer(json, "step", index);
    fs_json_string(json, "name", s->info.name);
    fs_json_string(json, "module", s->module);
    fs_json_string(json, "kind", s->info.kind);
    fs_json_string(json, "tactic", s->info.tactic);
    fs_json_integer(json, "launches", s->info.launches);
    fs_json_open(json, "shape", '[');
    fs_json_integer(json, NULL, s->info.height);
    fs_json_integer(json, NULL, s->info.width);
    fs_json_integer(json, NULL, s->info.channels);
    fs_json_close(json, ']');
    fs_json_number(json, "min_us", s->min_us);
    fs_json_number(json, "p90_us", s->p90_us);
    json_rates(json, s->median_us, p->steps_us, (double)s->info.flops, fs_step_bytes(&s->info), s->info.roofline_us);
    fs_json_integer(json, "read_bytes", (int64_t)s->info.read_bytes);
    fs_json_integer(json, "written_bytes", (int64_t)s->info.written_bytes);
    fs_json_integer(json, "weight_bytes", (int64_t)s->info.weight_bytes);
    fs_json_string(json, "bound", s->info.bound);
    fs_json_close(json, '}');
    fs_text_add(json, "\n");
}

void fs_profile_json(const fs_profile *p, fs_text *json) {
    const fscnn_engine_info *model = &p->model->info;
    const fscnn_step_info *first = &p->step[0].info;
    char size[32];
    snprintf(size, sizeof size, "%dx%d", p->size.height, p->size.width);
    fs_json_open(json, NULL, '{');
    fs_json_string(json, "kind", "profile");
    fs_json_string(json, "version", fscnn_version_string());
    fs_json_string(json, "commit", FS_COMMIT);
    fs_json_string(json, "backend", fs_backend_names[model->backend]);
    fs_json_string(json, "device", model->device);
    fs_json_string(json, "precision", fs_precision_names[model->precision]);
    fs_json_string(json, "kernels", model->kernels);
    fs_json_string(json, "weights", p->model->weights);
    fs_json_string(json, "input", p->input);
    fs_json_string(json, "size", size);
    fs_json_string(json, "task", p->task);
    fs_json_string(json, "io", p->io);
    fs_json_integer(json, "threads", p->session.threads);
    fs_json_integer(json, "frames", (int64_t)p->frames);
    fs_json_bool(json, "interrupted", p->interrupted);
    fs_json_number(json, "warmup_s", p->warmup);
    fs_json_number(json, "others_processors", p->others >= 0 ? p->others : NAN);
    fs_json_number(json, "frame_us", p->frame_median_us);
    fs_json_number(json, "steps_us", p->steps_us);
    fs_json_number(json, "outside_us", p->outside_us);
    fs_json_open(json, "roofline", '{');
    fs_json_string(json, "name", first->roofline);
    fs_json_string(json, "description", first->roofline_about);
    fs_json_number(json, "peak_flops", first->peak_flops);
    fs_json_number(json, "peak_bandwidth", first->peak_bandwidth);
    fs_json_close(json, '}');
    fs_json_open(json, "modules", '[');
    fs_text_add(json, "\n");
    for (int i = 0; i < p->modules; i++) {
        const fs_profile_module *m = &p->module[i];
        fs_json_open(json, NULL, '{');
        fs_json_string(json, "name", m->name);
        fs_json_integer(json, "steps", m->steps);
        json_rates(json, m->median_us, p->steps_us, m->flops, m->bytes, m->roofline_us);
        fs_json_close(json, '}');
        fs_text_add(json, "\n");
    }
    fs_json_close(json, ']');
    fs_json_open(json, "steps", '[');
    fs_text_add(json, "\n");
    for (int i = 0; i < p->session.steps; i++) json_step(p, i, json);
    fs_json_close(json, ']');
    fs_json_close(json, '}');
    fs_text_add(json, "\n");
}

// ---- Chrome trace ---------------------------------------------------------------------------------------------------

enum { PROCESS = 1, TRACK_FRAMES = 1, TRACK_STEPS = 2, TRACED_MAX = 200 };

static void json_event(fs_text *json, const char *name, const char *category, const char *phase, int track, double us) {
    fs_json_open(json, NULL, '{');
    fs_json_string(json, "name", name);
    fs_json_string(json, "cat", category);
    fs_json_string(json, "ph", phase);
    fs_json_integer(json, "pid", PROCESS);
    fs_json_integer(json, "tid", track);
    fs_json_number(json, "ts", us);
}

static void json_name(fs_text *json, const char *what, int track, const char *name) {
    fs_json_open(json, NULL, '{');
    fs_json_string(json, "name", what);
    fs_json_string(json, "ph", "M");
    fs_json_integer(json, "pid", PROCESS);
    fs_json_integer(json, "tid", track);
    fs_json_open(json, "args", '{');
    fs_json_string(json, "name", name);
    fs_json_close(json, '}');
    fs_json_close(json, '}');
    fs_text_add(json, "\n");
}

static void json_end(fs_text *json) {
    fs_json_close(json, '}');
    fs_text_add(json, "\n");
}

static void trace_frame(const fs_profile *p, size_t frame, fs_text *json) {
    const double start = 1e6 * p->began[frame];
    char name[64];
    snprintf(name, sizeof name, "frame %zu", frame + 1);
    json_event(json, name, "frame", "B", TRACK_FRAMES, start);
    json_end(json);
    double last = start; // clocks of host and device tick apart: keep the events in order
    for (int i = 0; i < p->session.steps; i++) {
        const fs_profile_step *s = &p->step[i];
        const fscnn_step_time *t = &p->times[frame * (size_t)p->session.steps + (size_t)i];
        const double begin = start + t->begin_us > last ? start + t->begin_us : last;
        last = start + t->end_us > begin ? start + t->end_us : begin;
        json_event(json, s->info.name, s->module, "B", TRACK_STEPS, begin);
        fs_json_open(json, "args", '{');
        fs_json_integer(json, "frame", (int64_t)frame + 1);
        fs_json_string(json, "kind", s->info.kind);
        fs_json_string(json, "tactic", s->info.tactic);
        fs_json_integer(json, "flops", (int64_t)s->info.flops);
        fs_json_number(json, "bytes", fs_step_bytes(&s->info));
        fs_json_number(json, "roofline_us", s->info.roofline_us);
        fs_json_close(json, '}');
        json_end(json);
        json_event(json, s->info.name, s->module, "E", TRACK_STEPS, last);
        json_end(json);
    }
    json_event(json, name, "frame", "E", TRACK_FRAMES, start + p->frame_us[frame]);
    json_end(json);
}

void fs_profile_trace(const fs_profile *p, fs_text *json) {
    const fscnn_engine_info *model = &p->model->info;
    char process[256];
    snprintf(process, sizeof process, "fastscnn %dx%d %s on %s", p->size.height, p->size.width,
             fs_precision_names[model->precision], model->device);
    fs_json_open(json, NULL, '{');
    fs_json_string(json, "displayTimeUnit", "ms");
    fs_json_open(json, "traceEvents", '[');
    fs_text_add(json, "\n");
    json_name(json, "process_name", TRACK_FRAMES, process);
    json_name(json, "thread_name", TRACK_FRAMES, "frames, submit to wait");
    json_name(json, "thread_name", TRACK_STEPS,
              model->backend == FSCNN_BACKEND_CUDA ? "steps, by events on the stream"
                                                   : "steps, to the last worker's end");
    // The last ones, which are the warmest.
    const size_t first = p->frames > TRACED_MAX ? p->frames - TRACED_MAX : 0;
    for (size_t i = first; i < p->frames; i++) trace_frame(p, i, json);
    fs_json_close(json, ']');
    fs_json_close(json, '}');
    fs_text_add(json, "\n");
}
