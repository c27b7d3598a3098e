// Prints a plan: a text table, JSON, or a Graphviz graph.
#include <stdio.h>
#include <string.h>

#include "runtime/plan.h"

static fs_cost total_cost(const fs_plan *plan) {
    fs_cost total = {0};
    for (int s = 0; s < plan->program.steps; s++) {
        total.flops += plan->cost[s].flops;
        total.read += plan->cost[s].read;
        total.written += plan->cost[s].written;
        total.weights += plan->cost[s].weights;
    }
    return total;
}

static double total_roofline(const fs_plan *plan, const fs_roofline *device) {
    double seconds = 0;
    for (int s = 0; s < plan->program.steps; s++) seconds += fs_step_roofline(plan, s, device);
    return seconds;
}

static int total_launches(const fs_plan *plan) {
    int launches = 0;
    for (int s = 0; s < plan->program.steps; s++) launches += plan->launches[s];
    return launches;
}

static const fs_tensor *output_of(const fs_plan *plan, int step) {
    return &plan->program.graph.tensor[plan->program.step[step].out];
}

// ---- Text ----

enum {
    COL_STEP,
    COL_NAME,
    COL_KIND,
    COL_OPS,
    COL_OUTPUT,
    COL_MFLOP,
    COL_IN,
    COL_OUT,
    COL_WEIGHTS,
    COL_ARENA,
    COL_TIME,
    COL_SHARE,
    COL_BOUND,
    COL_TACTIC,
    COLUMNS
};
enum { CELL = FS_NAME + 8 };

static const char *const titles[COLUMNS] = {"#",      "step",   "kind",  "ops", "output", "MFLOP", "in kB",
                                            "out kB", "wgt kB", "at kB", "us",  "share",  "bound", "tactic"};

static bool left_aligned(int column) {
    return column == COL_NAME || column == COL_KIND || column == COL_BOUND || column == COL_TACTIC;
}

typedef struct table {
    const fs_plan *plan;
    const fs_roofline *device; // or NULL
    fs_cost total;
    double seconds;
} table;

// One decimal while it says anything.
static void decimal(double value, char text[CELL]) {
    snprintf(text, CELL, value < 1e5 ? "%.1f" : "%.0f", value);
}

// The text of one cell; row -1 is the title, row `steps` the total.
static void cell(const table *t, int row, int column, char text[CELL]) {
    const fs_plan *plan = t->plan;
    int steps = plan->program.steps;
    text[0] = '\0';
    if (row < 0) {
        snprintf(text, CELL, "%s", titles[column]);
        return;
    }
    bool total = row == steps;
    const fs_step *step = total ? NULL : &plan->program.step[row];
    const fs_cost *cost = total ? &t->total : &plan->cost[row];
    switch (column) {
    case COL_STEP:
        if (!total) snprintf(text, CELL, "%d", row);
        break;
    case COL_NAME: snprintf(text, CELL, "%s", total ? "total" : step->name); break;
    case COL_KIND:
        if (!total) snprintf(text, CELL, "%s", fs_step_kind_name(step->kind));
        break;
    case COL_OPS: snprintf(text, CELL, "%d", total ? plan->program.graph.ops : step->ops); break;
    case COL_OUTPUT:
        if (!total) {
            const fs_tensor *out = output_of(plan, row);
            snprintf(text, CELL, "%dx%dx%d", out->h, out->w, out->c);
        }
        break;
    case COL_MFLOP: decimal(cost->flops * 1e-6, text); break;
    case COL_IN: snprintf(text, CELL, "%.0f", cost->read * 1e-3); break;
    case COL_OUT: snprintf(text, CELL, "%.0f", cost->written * 1e-3); break;
    case COL_WEIGHTS: snprintf(text, CELL, "%.1f", cost->weights * 1e-3); break;
    case COL_ARENA:
        if (total)
            snprintf(text, CELL, "%.0f", (double)plan->arena_bytes * 1e-3);
        else if (plan->place[step->out].used)
            snprintf(text, CELL, "%.0f", (double)plan->place[step->out].offset * 1e-3);
        break;
    case COL_TIME:
        if (t->device) decimal(1e6 * (total ? t->seconds : fs_step_roofline(plan, row, t->device)), text);
        break;
    case COL_SHARE:
        if (t->device && total)
            snprintf(text, CELL, "100%%");
        else if (t->device)
            snprintf(text, CELL, "%.1f%%", 100 * fs_step_roofline(plan, row, t->device) / t->seconds);
        break;
    case COL_BOUND:
        if (t->device && !total) snprintf(text, CELL, "%s", fs_step_bound(plan, row, t->device));
        break;
    case COL_TACTIC:
        if (!total) snprintf(text, CELL, "%s", plan->tactic[row]);
        break;
    default: break;
    }
}

void fs_plan_print_text(const fs_plan *plan, const fs_roofline *device, fs_text *text) {
    const fs_graph *graph = &plan->program.graph;
    int steps = plan->program.steps;
    table t = {plan, device, total_cost(plan), device ? total_roofline(plan, device) : 0};
    fs_text_add(text, "Fast-SCNN %s, %dx%d, %d channels, %d classes, %s%s%s: %d operations in %d steps, %d launches\n",
                fs_variant_name(graph->model.variant), graph->height, graph->width, graph->model.channels,
                graph->model.classes, fs_precision_name(plan->precision), plan->backend ? " on " : "",
                plan->backend ? plan->backend : "", graph->ops, steps, total_launches(plan));
    if (device) fs_text_add(text, "roofline of %s: %s\n", device->name, device->description);
    fs_text_add(text, "\n");

    int width[COLUMNS] = {0};
    char value[CELL];
    for (int row = 0; row <= steps; row++)
        for (int c = 0; c < COLUMNS; c++) {
            cell(&t, row, c, value);
            if ((int)strlen(value) > width[c]) width[c] = (int)strlen(value);
        }
    // Columns that are empty in every row (no device, no tactic chosen yet) are left out.
    for (int c = 0; c < COLUMNS; c++)
        if (width[c] > 0 && width[c] < (int)strlen(titles[c])) width[c] = (int)strlen(titles[c]);
    for (int row = -1; row <= steps; row++) {
        int blanks = 0; // held back until something follows: no line ends in blanks
        for (int c = 0; c < COLUMNS; c++) {
            if (width[c] == 0) continue;
            cell(&t, row, c, value);
            int length = (int)strlen(value), left = left_aligned(c) ? 0 : width[c] - length;
            if (length > 0) {
                fs_text_add(text, "%*s%s", blanks + left, "", value);
                blanks = 1 + (left_aligned(c) ? width[c] - length : 0);
            } else {
                blanks += 1 + width[c];
            }
        }
        fs_text_add(text, "\n");
    }
    fs_text_add(text, "\n%.3f GFLOP, %.2f MB of activations moved, %.2f MB of weights, arena %.2f MB",
                t.total.flops * 1e-9, (t.total.read + t.total.written) * 1e-6, t.total.weights * 1e-6,
                (double)plan->arena_bytes * 1e-6);
    if (device) fs_text_add(text, "\nat best %.3f ms a frame, %.1f frames/s", t.seconds * 1e3, 1 / t.seconds);
    fs_text_add(text, "\n");
}

// ---- JSON ----

static void json_tensor(const fs_plan *plan, int tensor, const char *key, fs_text *text) {
    const fs_tensor *t = &plan->program.graph.tensor[tensor];
    const fs_placement *place = &plan->place[tensor];
    fs_json_open(text, key, '{');
    fs_json_string(text, "tensor", t->name);
    fs_json_open(text, "shape", '[');
    fs_json_integer(text, NULL, t->h);
    fs_json_integer(text, NULL, t->w);
    fs_json_integer(text, NULL, t->c);
    fs_json_close(text, ']');
    fs_json_integer(text, "bytes", (int64_t)place->bytes);
    if (place->used) {
        fs_json_integer(text, "arena_offset", (int64_t)place->offset);
        fs_json_integer(text, "channel_stride", place->channel_stride);
        fs_json_integer(text, "first_step", place->first);
        fs_json_integer(text, "last_step", place->last);
    }
    fs_json_close(text, '}');
}

static void json_cost(const fs_cost *cost, fs_text *text) {
    fs_json_number(text, "flops", cost->flops);
    fs_json_number(text, "read_bytes", cost->read);
    fs_json_number(text, "written_bytes", cost->written);
    fs_json_number(text, "weight_bytes", cost->weights);
}

static void json_step(const fs_plan *plan, int index, const fs_roofline *device, double seconds, fs_text *text) {
    const fs_step *step = &plan->program.step[index];
    fs_json_open(text, NULL, '{');
    fs_json_integer(text, "step", index);
    fs_json_string(text, "name", step->name);
    fs_json_string(text, "kind", fs_step_kind_name(step->kind));
    fs_json_open(text, "ops", '[');
    for (int i = 0; i < step->ops; i++) fs_json_string(text, NULL, plan->program.graph.op[step->op[i]].name);
    fs_json_close(text, ']');
    fs_json_open(text, "inputs", '[');
    for (int i = 0; i < step->inputs; i++) json_tensor(plan, step->in[i], NULL, text);
    fs_json_close(text, ']');
    json_tensor(plan, step->out, "output", text);
    json_cost(&plan->cost[index], text);
    fs_json_integer(text, "launches", plan->launches[index]);
    fs_json_string(text, "tactic", plan->tactic[index][0] ? plan->tactic[index] : NULL);
    if (device) {
        double own = fs_step_roofline(plan, index, device);
        fs_json_number(text, "roofline_us", own * 1e6);
        fs_json_number(text, "roofline_share", own / seconds);
        fs_json_string(text, "bound", fs_step_bound(plan, index, device));
    }
    fs_json_close(text, '}');
    fs_text_add(text, "\n");
}

void fs_plan_print_json(const fs_plan *plan, const fs_roofline *device, fs_text *text) {
    const fs_graph *graph = &plan->program.graph;
    double seconds = device ? total_roofline(plan, device) : 0;
    fs_cost total = total_cost(plan);
    fs_json_open(text, NULL, '{');
    fs_json_string(text, "variant", fs_variant_name(graph->model.variant));
    fs_json_integer(text, "height", graph->height);
    fs_json_integer(text, "width", graph->width);
    fs_json_integer(text, "channels", graph->model.channels);
    fs_json_integer(text, "classes", graph->model.classes);
    fs_json_string(text, "precision", fs_precision_name(plan->precision));
    fs_json_string(text, "backend", plan->backend);
    fs_json_string(text, "kernels", plan->kernels[0] ? plan->kernels : NULL);
    fs_json_integer(text, "operations", graph->ops);
    fs_json_integer(text, "launches", total_launches(plan));
    fs_json_integer(text, "arena_bytes", (int64_t)plan->arena_bytes);
    if (device) {
        fs_json_open(text, "roofline", '{');
        fs_json_string(text, "name", device->name);
        fs_json_string(text, "description", device->description);
        fs_json_number(text, "fp32_flops", device->fp32);
        fs_json_number(text, "half_flops", device->half);
        fs_json_number(text, "int8_ops", device->int8);
        fs_json_number(text, "bandwidth", device->bandwidth);
        fs_json_number(text, "launch_us", device->launch * 1e6);
        fs_json_close(text, '}');
    } else {
        fs_json_string(text, "roofline", NULL);
    }
    fs_json_open(text, "total", '{');
    json_cost(&total, text);
    if (device) fs_json_number(text, "roofline_us", seconds * 1e6);
    fs_json_close(text, '}');
    fs_json_open(text, "steps", '[');
    fs_text_add(text, "\n");
    for (int s = 0; s < plan->program.steps; s++) json_step(plan, s, device, seconds, text);
    fs_json_close(text, ']');
    fs_json_close(text, '}');
    fs_text_add(text, "\n");
}

// ---- Graphviz ----

static void dot_escaped(fs_text *text, const char *value) {
    for (; *value; value++) fs_text_add(text, *value == '"' || *value == '\\' ? "\\%c" : "%c", *value);
}

// The node that makes a tensor: a step, or the frame.
static int maker(const fs_program *program, int tensor) {
    for (int s = 0; s < program->steps; s++)
        if (program->step[s].out == tensor) return s;
    return -1;
}

static void dot_edge(fs_text *text, int from, int to, const fs_tensor *t) {
    if (from < 0)
        fs_text_add(text, "  frame");
    else
        fs_text_add(text, "  s%d", from);
    if (to < 0)
        fs_text_add(text, " -> labels");
    else
        fs_text_add(text, " -> s%d", to);
    fs_text_add(text, " [label=\"%dx%dx%d\"];\n", t->h, t->w, t->c);
}

void fs_plan_print_dot(const fs_plan *plan, const fs_roofline *device, fs_text *text) {
    const fs_program *program = &plan->program;
    const fs_graph *graph = &program->graph;
    fs_text_add(text, "digraph fastscnn {\n");
    fs_text_add(text, "  label=\"Fast-SCNN %s %dx%d %s%s%s%s%s\";\n", fs_variant_name(graph->model.variant),
                graph->height, graph->width, fs_precision_name(plan->precision), plan->backend ? " on " : "",
                plan->backend ? plan->backend : "", device ? ", roofline of " : "", device ? device->name : "");
    fs_text_add(text, "  node [shape=box, style=rounded, fontname=\"Helvetica\"];\n"
                      "  edge [fontname=\"Helvetica\", fontsize=10];\n"
                      "  frame [shape=ellipse, label=\"frame (u8)\"];\n"
                      "  labels [shape=ellipse, label=\"labels (u8)\"];\n");
    for (int s = 0; s < program->steps; s++) {
        const fs_step *step = &program->step[s];
        fs_text_add(text, "  s%d [label=\"", s);
        dot_escaped(text, step->name);
        if (step->kind == FS_STEP_OP)
            fs_text_add(text, "\\n%s", fs_op_kind_name(graph->op[step->op[0]].kind));
        else
            fs_text_add(text, "\\n%s of %d operations", fs_step_kind_name(step->kind), step->ops);
        fs_text_add(text, "\\n%.1f MFLOP, %.0f kB", plan->cost[s].flops * 1e-6,
                    (plan->cost[s].read + plan->cost[s].written + plan->cost[s].weights) * 1e-3);
        if (device)
            fs_text_add(text, "\\n%.1f us, %s", 1e6 * fs_step_roofline(plan, s, device),
                        fs_step_bound(plan, s, device));
        if (plan->tactic[s][0]) {
            fs_text_add(text, "\\n");
            dot_escaped(text, plan->tactic[s]);
        }
        fs_text_add(text, "\"];\n");
    }
    for (int s = 0; s < program->steps; s++)
        for (int i = 0; i < program->step[s].inputs; i++) {
            int tensor = program->step[s].in[i];
            dot_edge(text, maker(program, tensor), s, &graph->tensor[tensor]);
        }
    dot_edge(text, maker(program, graph->labels), -1, &graph->tensor[graph->labels]);
    fs_text_add(text, "}\n");
}
