// The CPU backend's table: engines and sessions behind the interface that host/ uses.
#include "cpu/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/onednn.h"
#include "cpu/session.h"
#include "runtime/base/trace.h"

#define TIERS "sse, avx2, avx512, avx512vnni, avx512bf16"

// FASTSCNN_CPU_ISA=avx2 limits the instruction set: to compare, and to test the smaller ones. NULL: no limit.
static const char *isa_limit(void) {
    const char *limit = getenv("FASTSCNN_CPU_ISA");
    return limit && limit[0] ? limit : NULL;
}

// A name that is misspelt would limit nothing, and a comparison would compare a thing with itself.
static bool is_tier(const char *name) {
    const size_t length = strlen(name);
    if (strpbrk(name, ", ")) return false;
    for (const char *at = TIERS; *at; at += strcspn(at, ","), at += strspn(at, ", "))
        if (strcspn(at, ",") == length && strncmp(at, name, length) == 0) return true;
    return false;
}

static void processor_name(char *out, size_t size) {
    snprintf(out, size, "CPU");
    FILE *f = fopen("/proc/cpuinfo", "r");
    if (f == NULL) return;
    char line[256];
    while (fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || colon == NULL) continue;
        colon[strcspn(colon, "\n")] = '\0';
        snprintf(out, size, "%s", colon + 2);
        break;
    }
    fclose(f);
}

static void probe(int device, fs_probe *p) {
    (void)device;
    const fs_kernels *k = fs_kernels_select(isa_limit());
    char name[96];
    processor_name(name, sizeof name);
    memset(p, 0, sizeof *p);
    snprintf(p->device, sizeof p->device, "%s, %d cores, %s", name, fs_team_cores(), k->name);
    if (isa_limit() && !is_tier(isa_limit())) {
        snprintf(p->detail, sizeof p->detail,
                 "the environment has FASTSCNN_CPU_ISA=%.60s, which names no instruction set: take " TIERS
                 ", or unset it",
                 isa_limit());
        return;
    }
    p->usable = true;
    const char *onednn = fs_onednn_version();
    snprintf(p->detail, sizeof p->detail, "fp32; bf16 %s; int8 %s\n%s%s\n%s",
             k->bf16_dot
                 ? "by the processor's bf16 dot product"
                 : "stored as bf16 and computed in float: this processor has no bf16 arithmetic, so fp32 is as fast",
             k->int8_dot ? "by its dot product of bytes" : "needs AVX-512 VNNI, which this processor lacks",
             onednn ? onednn : "built without oneDNN",
             onednn ? " for comparison (--kernels onednn)" : ", which --kernels onednn needs", fs_trace_about());
    p->precisions = 1u << FS_FP32 | 1u << FS_BF16 | (k->int8_dot ? 1u << FS_INT8 : 0);
    snprintf(p->kind, sizeof p->kind, "%s", k->name);
    p->best = k->bf16_dot ? FS_BF16 : FS_FP32;
}

static fs_status accepts(const fs_frame *frame, const fs_graph *g) {
    if (frame->memory != 0)
        return fs_fail(FS_ERR_UNSUPPORTED,
                       "the CPU backend takes frames in host memory; copy the frame, or use the CUDA backend");
    if (g->model.channels == 4 && frame->format != FS_RGBA8 && frame->format != FS_BGRA8 &&
        frame->format != FS_PLANAR_F32)
        return fs_fail(FS_ERR_ARGUMENT, "this model has 4 input channels: pass RGBA8 or BGRA8 with the 4th channel in "
                                        "A, or 4 planes of floats");
    return FS_OK;
}

static bool supports(void *user, const fs_program *program, const fs_step *step) {
    const fs_cpu_engine *e = user;
    if (step->kind == FS_STEP_HEAD) return true;
    // oneDNN runs single convolutions, so what would hide one inside a larger step is declined; but in bf16 the stem
    // stays ours, whose weights and inputs oneDNN would round.
    if (e && e->plain.block && !fs_onednn_takes(program, step) &&
        !(step->kind == FS_STEP_STEM && e->precision == FS_BF16))
        return false;
    return fs_chain_supports(program, step);
}

// Workers meet at a barrier after each phase; a pyramid takes three (pool, branches, output).
static int launches(const fs_program *program, const fs_step *step, fs_precision precision) {
    (void)program, (void)precision;
    return step->kind == FS_STEP_PPM ? 3 : 1;
}

static fs_status engine_open(const fs_weights *weights, const fs_engine_config *config, void **engine) {
    const bool int8 = config->precision == FS_INT8;
    if (config->precision != FS_FP32 && config->precision != FS_BF16 && !int8)
        return fs_fail(FS_ERR_UNSUPPORTED, "the CPU backend runs fp32, bf16 and int8, not %s",
                       fs_precision_name(config->precision));
    if (int8 && config->provider == FS_PROVIDER_ONEDNN)
        return fs_fail(FS_ERR_UNSUPPORTED, "kernels 'onednn' run fp32 and bf16; int8 has our own kernels only");
    fs_cpu_engine *e;
    FS_TRY(fs_cpu_engine_open(weights, int8 ? FS_BF16 : config->precision, isa_limit(), &e));
    fs_status status = FS_OK;
    if (int8) status = fs_cpu_engine_add_int8(e, weights);
    if (config->provider == FS_PROVIDER_ONEDNN) status = fs_cpu_engine_add_onednn(e, weights);
    if (status != FS_OK) {
        fs_cpu_engine_close(e);
        return status;
    }
    *engine = e;
    return FS_OK;
}

static void engine_close(void *engine) {
    fs_cpu_engine_close(engine);
}
static size_t engine_bytes(const void *engine) {
    return ((const fs_cpu_engine *)engine)->bytes;
}

static const char *engine_kernels(const void *engine) {
    return ((const fs_cpu_engine *)engine)->plain.block ? "onednn" : "own";
}

static fs_status session_open(void *engine, fs_plan *plan, const fs_session_config *config, void **session) {
    fs_cpu_session *s;
    FS_TRY(fs_cpu_session_open(engine, plan, config, &s));
    *session = s;
    return FS_OK;
}

static void session_close(void *session) {
    fs_cpu_session_close(session);
}
static void session_memory(const void *session, fs_session_memory *memory) {
    fs_cpu_session_memory(session, memory);
}
static fs_status submit(void *session, const fs_frame *frame, const fs_outputs *outputs, uint64_t *ticket) {
    return fs_cpu_session_submit(session, frame, outputs, ticket);
}
static fs_status wait_for(void *session, uint64_t ticket, int64_t timeout_ns) {
    return fs_cpu_session_wait(session, ticket, timeout_ns);
}
static void cancel(void *session) {
    fs_cpu_session_cancel(session);
}
static fs_status profile(void *session, const fs_frame *frame, const fs_outputs *outputs, fs_span *spans) {
    return fs_cpu_session_profile(session, frame, outputs, spans);
}

const fs_backend fs_cpu_backend = {
    .abi = FS_BACKEND_ABI,
    .name = "cpu",
    .channel_multiple = FS_PANEL,
    .roofline = "cpu",
    .probe = probe,
    .accepts = accepts,
    .supports = supports,
    .launches = launches,
    .engine_open = engine_open,
    .engine_close = engine_close,
    .engine_bytes = engine_bytes,
    .engine_kernels = engine_kernels,
    .session_open = session_open,
    .session_close = session_close,
    .session_memory = session_memory,
    .submit = submit,
    .wait = wait_for,
    .cancel = cancel,
    .profile = profile,
};
