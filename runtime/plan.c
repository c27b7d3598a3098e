// Builds the plan: graph, fused steps, sizes and lifetimes of the tensors between them, memory layout, costs.
#include "runtime/plan.h"

#include <string.h>

const char *fs_precision_name(fs_precision precision) {
    switch (precision) {
    case FS_PRECISION_AUTO: return "auto";
    case FS_FP32: return "fp32";
    case FS_BF16: return "bf16";
    case FS_FP16: return "fp16";
    case FS_INT8: return "int8";
    }
    return "?";
}

size_t fs_precision_bytes(fs_precision precision) {
    switch (precision) {
    case FS_BF16:
    case FS_FP16:
    case FS_INT8: return 2; // int8 is what products read: between steps activations are bf16
    case FS_PRECISION_AUTO:
    case FS_FP32: break;
    }
    return 4;
}

// Sizes of all tensors; lifetimes of those that pass from one step to another.
static void place_tensors(fs_plan *plan, int channel_multiple) {
    const fs_program *program = &plan->program;
    const fs_graph *graph = &program->graph;
    const size_t element_bytes[] = {[FS_ELEMENT_FRAME] = 1,
                                    [FS_ELEMENT_ACTIVATION] = fs_precision_bytes(plan->precision),
                                    [FS_ELEMENT_LOGIT] = sizeof(float),
                                    [FS_ELEMENT_LABEL] = 1};
    for (int t = 0; t < graph->tensors; t++) {
        const fs_tensor *tensor = &graph->tensor[t];
        fs_placement *place = &plan->place[t];
        bool ours = tensor->element != FS_ELEMENT_FRAME && tensor->element != FS_ELEMENT_LABEL;
        // The normalised frame stays packed: a 3x3 window row of it is then one run of numbers.
        bool packed = !ours || t == graph->op[0].out;
        int multiple = packed ? 1 : channel_multiple;
        place->channel_stride = (tensor->c + multiple - 1) / multiple * multiple;
        place->bytes =
            (size_t)tensor->h * (size_t)tensor->w * (size_t)place->channel_stride * element_bytes[tensor->element];
    }
    for (int s = 0; s < program->steps; s++) {
        const fs_step *step = &program->step[s];
        // What stays inside lives and dies with its step.
        for (int i = 0; i < step->ops; i++) {
            fs_placement *inner = &plan->place[graph->op[step->op[i]].out];
            inner->first = inner->last = s;
        }
        for (int i = 0; i < step->inputs; i++) plan->place[step->in[i]].last = s;
        plan->place[step->out].used = step->out != graph->labels;
    }
    // Kept to the end: the caller may ask for them.
    plan->place[graph->logits].last = program->steps - 1;
}

static int launches_of(const fs_plan *plan, const fs_step *step, const fs_plan_options *options) {
    if (options->launches_on) return options->launches_on(&plan->program, step, plan->precision, options->machine);
    return options->launches ? options->launches(&plan->program, step, plan->precision) : 1;
}

fs_status fs_plan_build(fs_plan *plan, const fs_model *model, int height, int width, const fs_plan_options *options) {
    enum { MAX_MULTIPLE = 1024 };
    if (options->precision < FS_FP32 || options->precision > FS_INT8)
        return fs_fail(FS_ERR_ARGUMENT, "a plan needs one of the precisions fp32, bf16, fp16 and int8, not '%s'",
                       fs_precision_name(options->precision));
    if (options->channel_multiple < 0 || options->channel_multiple > MAX_MULTIPLE)
        return fs_fail(FS_ERR_ARGUMENT, "channel multiple %d of a plan is outside 0..%d", options->channel_multiple,
                       MAX_MULTIPLE);
    FS_TRY(fs_graph_build(&plan->program.graph, model, height, width));
    fs_fuse(&plan->program, options->rewrites_off, options->supports, options->supports_user);
    plan->precision = options->precision;
    memset(plan->place, 0, sizeof plan->place);
    memset(plan->cost, 0, sizeof plan->cost);
    plan->backend = NULL;
    memset(plan->kernels, 0, sizeof plan->kernels);
    memset(plan->tactic, 0, sizeof plan->tactic);
    for (int s = 0; s < plan->program.steps; s++)
        plan->launches[s] = launches_of(plan, &plan->program.step[s], options);
    place_tensors(plan, options->channel_multiple > 0 ? options->channel_multiple : 1);
    fs_memory_plan(plan, options->no_reuse);
    fs_plan_cost(plan);
    return FS_OK;
}
