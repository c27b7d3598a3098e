// The cost model: work and bytes of each step, and the roofline time that a named device could reach at best.
#include <string.h>

#include "runtime/plan.h"

void fs_plan_cost(fs_plan *plan) {
    const fs_graph *graph = &plan->program.graph;
    for (int s = 0; s < plan->program.steps; s++) {
        const fs_step *step = &plan->program.step[s];
        fs_cost cost = {0};
        for (int i = 0; i < step->ops; i++) {
            const fs_op *op = &graph->op[step->op[i]];
            cost.flops += 2 * fs_op_macs(graph, op);
            if (op->layer < 0) continue;
            const fs_layer *layer = &graph->layers[op->layer];
            cost.weights += (double)fs_layer_weight_count(layer) *
                            (double)(plan->precision == FS_INT8 ? 1 : fs_precision_bytes(plan->precision));
            cost.weights += (double)layer->out_channels * (double)sizeof(float); // bias
        }
        for (int i = 0; i < step->inputs; i++) cost.read += (double)plan->place[step->in[i]].bytes;
        cost.written = (double)plan->place[step->out].bytes;
        plan->cost[s] = cost;
    }
}

// GPUs: dense peak rates (no sparsity, fp32 accumulation) and bandwidth of the vendor's data sheets; fp32 without
// tensor cores. Launch: the gap between dependent nodes of a replayed graph, 1.3 us as published for H100; assumed for
// the others, and 3 us for the small cores of Orin. "cpu": the best rates that this network's layers reach with
// oneDNN 2.6.3 on two cores of an AVX-512 server with VNNI and BF16 (fp32 and bf16 measured, int8 extrapolated);
// bandwidth is that of two cores. "cpu-avx2": two cores with 8-wide fp32; 16-bit types are widened to fp32 there, int8
// multiplies without VNNI. CPU launch: an assumed barrier between threads. Last: compute capability, multiprocessors.
static const fs_roofline devices[] = {
    {"h100", "NVIDIA H100 SXM, nominal", 66.9e12, 989.4e12, 1978.9e12, 3.35e12, 1.3e-6, 90, 132},
    {"h200", "NVIDIA H200 SXM, nominal", 66.9e12, 989.4e12, 1978.9e12, 4.8e12, 1.3e-6, 90, 132},
    {"a100", "NVIDIA A100 SXM 80 GB, nominal", 19.5e12, 312e12, 624e12, 2.039e12, 1.3e-6, 80, 108},
    {"rtx4090", "NVIDIA GeForce RTX 4090, nominal", 82.6e12, 165.2e12, 660.6e12, 1.008e12, 1.3e-6, 89, 128},
    {"t4", "NVIDIA T4, nominal", 8.1e12, 65e12, 130e12, 0.32e12, 1.3e-6, 75, 40},
    {"orin", "NVIDIA Jetson AGX Orin 64 GB, nominal", 5.3e12, 42.5e12, 85e12, 0.2048e12, 3e-6, 87, 16},
    {"cpu", "2 AVX-512 cores with VNNI and BF16, rates reached by oneDNN", 465e9, 955e9, 1800e9, 30e9, 2e-6, 0, 0},
    {"cpu-avx2", "2 AVX2 cores, nominal", 200e9, 200e9, 400e9, 25e9, 2e-6, 0, 0},
};

const fs_roofline *fs_roofline_find(const char *name) {
    if (name == NULL) return NULL;
    for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++)
        if (strcmp(devices[i].name, name) == 0) return &devices[i];
    return NULL;
}

const char *fs_roofline_names(void) {
    return "h100, h200, a100, rtx4090, t4, orin, cpu, cpu-avx2";
}

double fs_roofline_rate(const fs_plan *plan, const fs_roofline *device) {
    if (plan->precision == FS_BF16 || plan->precision == FS_FP16) return device->half;
    return plan->precision == FS_INT8 ? device->int8 : device->fp32;
}

static void bounds(const fs_plan *plan, int step, const fs_roofline *device, double *compute, double *memory) {
    const fs_cost *cost = &plan->cost[step];
    *compute = cost->flops / fs_roofline_rate(plan, device);
    *memory = (cost->read + cost->written + cost->weights) / device->bandwidth;
}

double fs_step_roofline(const fs_plan *plan, int step, const fs_roofline *device) {
    double compute, memory;
    bounds(plan, step, device, &compute, &memory);
    return (compute > memory ? compute : memory) + plan->launches[step] * device->launch;
}

const char *fs_step_bound(const fs_plan *plan, int step, const fs_roofline *device) {
    double compute, memory;
    bounds(plan, step, device, &compute, &memory);
    const double launch = plan->launches[step] * device->launch;
    if (launch >= compute && launch >= memory) return "launch";
    return compute > memory ? "compute" : "memory";
}
