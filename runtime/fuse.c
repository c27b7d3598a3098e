// The ordered rewrites that group operations into steps; each may be switched off and the results stay the same.
#include "runtime/fuse.h"

#include <stdio.h>
#include <string.h>

const char *fs_step_kind_name(fs_step_kind kind) {
    static const char *const names[FS_STEP_KINDS] = {"op",         "conv", "stem", "dsconv",     "ltd",
                                                     "bottleneck", "ppm",  "ffm",  "classifier", "head"};
    return (unsigned)kind < FS_STEP_KINDS ? names[kind] : "?";
}

typedef struct fuser {
    fs_program *p;
    fs_supports_fn supports;
    void *user;
} fuser;

static bool step_makes(const fs_program *p, const fs_step *s, int tensor) {
    for (int i = 0; i < s->ops; i++)
        if (p->graph.op[s->op[i]].out == tensor) return true;
    return false;
}

static bool step_uses(const fs_program *p, const fs_step *s, int tensor) {
    for (int i = 0; i < s->ops; i++) {
        const fs_op *op = &p->graph.op[s->op[i]];
        for (int j = 0; j < op->inputs; j++)
            if (op->in[j] == tensor) return true;
    }
    return false;
}

// Sets in[] and out of a step from its operations. False when it would have more than one output or too many inputs.
static bool close_step(const fs_program *p, fs_step *s, int first, int last) {
    const fs_graph *g = &p->graph;
    s->inputs = 0, s->out = -1;
    for (int i = 0; i < s->ops; i++) {
        const fs_op *op = &g->op[s->op[i]];
        for (int j = 0; j < op->inputs; j++) {
            int t = op->in[j];
            bool known = step_makes(p, s, t);
            for (int k = 0; k < s->inputs; k++) known |= s->in[k] == t;
            if (known) continue;
            if (s->inputs == FS_MAX_INPUTS) return false;
            s->in[s->inputs++] = t;
        }
        bool outside = op->out == g->labels || op->out == g->logits;
        for (int k = 0; k < p->steps && !outside; k++)
            if ((k < first || k > last) && step_uses(p, &p->step[k], op->out)) outside = true;
        if (!outside) continue;
        if (s->out >= 0) return false;
        s->out = op->out;
    }
    return s->out >= 0;
}

// Merges the neighbouring steps first..last into one of `kind`, if the backend takes it.
static bool merge(fuser *f, int first, int last, fs_step_kind kind, const char *name) {
    fs_program *p = f->p;
    fs_step merged = {.kind = kind};
    snprintf(merged.name, sizeof merged.name, "%s", name);
    for (int k = first; k <= last; k++)
        for (int i = 0; i < p->step[k].ops; i++) {
            if (merged.ops == FS_MAX_STEP_OPS) return false;
            merged.op[merged.ops++] = p->step[k].op[i];
        }
    if (!close_step(p, &merged, first, last)) return false;
    if (f->supports && !f->supports(f->user, p, &merged)) return false;
    p->step[first] = merged;
    memmove(&p->step[first + 1], &p->step[last + 1], (size_t)(p->steps - last - 1) * sizeof p->step[0]);
    p->steps -= last - first;
    return true;
}

static const fs_op *first_op(const fs_program *p, int step) {
    return &p->graph.op[p->step[step].op[0]];
}
static const fs_op *last_op(const fs_program *p, int step) {
    const fs_step *s = &p->step[step];
    return &p->graph.op[s->op[s->ops - 1]];
}
static bool is_conv(const fs_op *op) {
    return op->kind == FS_OP_CONV || op->kind == FS_OP_DWCONV;
}

// Merges the longest run of neighbouring steps whose operations all lie in blocks lo..hi.
static void merge_blocks(fuser *f, fs_block lo, fs_block hi, fs_step_kind kind, const char *name) {
    fs_program *p = f->p;
    int first = -1, last = -1;
    for (int k = 0; k < p->steps; k++)
        if (first_op(p, k)->block >= lo && last_op(p, k)->block <= hi) {
            if (first < 0) first = k;
            last = k;
        }
    if (first >= 0 && last > first) merge(f, first, last, kind, name);
}

static void fuse_residual(fuser *f) {
    for (int k = 0; k + 1 < f->p->steps; k++) {
        const fs_op *conv = last_op(f->p, k), *add = first_op(f->p, k + 1);
        if (conv->kind == FS_OP_CONV && add->kind == FS_OP_ADD && (add->in[0] == conv->out || add->in[1] == conv->out))
            merge(f, k, k + 1, FS_STEP_CONV, f->p->step[k].name);
    }
}

static void fuse_conv_relu(fuser *f) {
    for (int k = 0; k + 1 < f->p->steps; k++) {
        const fs_op *op = last_op(f->p, k), *act = first_op(f->p, k + 1);
        bool conv = is_conv(op) || f->p->step[k].kind == FS_STEP_CONV;
        if (conv && act->kind == FS_OP_RELU && act->in[0] == op->out)
            merge(f, k, k + 1, FS_STEP_CONV, f->p->step[k].name);
    }
}

static void fuse_stem(fuser *f) {
    merge_blocks(f, FS_BLOCK_STEM, FS_BLOCK_STEM, FS_STEP_STEM, "stem");
}

static void fuse_dsconv(fuser *f) {
    merge_blocks(f, FS_BLOCK_LTD_DS1, FS_BLOCK_LTD_DS1, FS_STEP_DSCONV, "ltd.ds1");
    merge_blocks(f, FS_BLOCK_LTD_DS2, FS_BLOCK_LTD_DS2, FS_STEP_DSCONV, "ltd.ds2");
    merge_blocks(f, FS_BLOCK_CLS_DS1, FS_BLOCK_CLS_DS1, FS_STEP_DSCONV, "cls.ds1");
    merge_blocks(f, FS_BLOCK_CLS_DS2, FS_BLOCK_CLS_DS2, FS_STEP_DSCONV, "cls.ds2");
}

// Needs a stem that reads the frame itself, so switching that rewrite off keeps the parts apart.
static void fuse_ltd(fuser *f) {
    if (f->p->step[0].kind != FS_STEP_STEM) return;
    int before = f->p->steps;
    merge_blocks(f, FS_BLOCK_STEM, FS_BLOCK_LTD_DS2, FS_STEP_LTD, "ltd");
    if (f->p->steps == before) merge_blocks(f, FS_BLOCK_STEM, FS_BLOCK_LTD_DS1, FS_STEP_LTD, "ltd.stem+ds1");
}

static void fuse_bottleneck(fuser *f) {
    for (int i = 0; i < 9; i++) {
        char name[FS_NAME];
        snprintf(name, sizeof name, "gfe.b%d.%d", i / 3 + 1, i % 3);
        fs_block block = (fs_block)(FS_BLOCK_BOTTLENECK + i);
        merge_blocks(f, block, block, FS_STEP_BOTTLENECK, name);
    }
}

static void fuse_ppm(fuser *f) {
    merge_blocks(f, FS_BLOCK_PPM, FS_BLOCK_PPM, FS_STEP_PPM, "ppm");
}
static void fuse_ffm(fuser *f) {
    merge_blocks(f, FS_BLOCK_FFM, FS_BLOCK_FFM, FS_STEP_FFM, "ffm");
}
static void fuse_classifier(fuser *f) {
    merge_blocks(f, FS_BLOCK_CLS_DS1, FS_BLOCK_CLS_CONV, FS_STEP_CLASSIFIER, "cls");
}
static void fuse_head(fuser *f) {
    merge_blocks(f, FS_BLOCK_HEAD, FS_BLOCK_HEAD, FS_STEP_HEAD, "head");
}

const fs_rewrite fs_rewrites[] = {
    {"residual", "a convolution adds the tensor that the following add would"},
    {"conv-relu", "a convolution clamps at zero instead of a pass of its own"},
    {"stem", "normalisation folds into the first convolution, which reads the u8 frame"},
    {"dsconv", "depthwise and pointwise run as one step"},
    {"ltd", "stem and the DSConvs behind it run as one step: the 1/2-size map never exists"},
    {"bottleneck", "expand, depthwise and project run as one step: the expanded map never exists"},
    {"ppm", "pools, branches, resizes and concat fold into the output convolution"},
    {"ffm", "upsample and depthwise feed one GEMM over both branches: no add"},
    {"classifier", "both DSConvs and the final pointwise run as one step"},
    {"head", "upsample and argmax in one pass: full-size logits never exist"},
};
static void (*const apply[])(fuser *) = {fuse_residual,   fuse_conv_relu, fuse_stem, fuse_dsconv,     fuse_ltd,
                                         fuse_bottleneck, fuse_ppm,       fuse_ffm,  fuse_classifier, fuse_head};
const int fs_rewrite_count = (int)(sizeof fs_rewrites / sizeof fs_rewrites[0]);
_Static_assert(sizeof apply / sizeof apply[0] == sizeof fs_rewrites / sizeof fs_rewrites[0], "one function a rewrite");

fs_status fs_rewrites_parse(const char *names, unsigned *mask) {
    unsigned result = 0;
    const char *at = names ? names : "";
    while (*at) {
        size_t n = strcspn(at, ",");
        bool found = n == 3 && strncmp(at, "all", 3) == 0;
        if (found) result = (1u << fs_rewrite_count) - 1;
        for (int i = 0; i < fs_rewrite_count && !found; i++)
            if (strlen(fs_rewrites[i].name) == n && strncmp(at, fs_rewrites[i].name, n) == 0) {
                result |= 1u << i;
                found = true;
            }
        if (!found) {
            char known[256] = "all";
            for (int i = 0; i < fs_rewrite_count; i++) {
                strncat(known, ", ", sizeof known - strlen(known) - 1);
                strncat(known, fs_rewrites[i].name, sizeof known - strlen(known) - 1);
            }
            return fs_fail(FS_ERR_ARGUMENT, "unknown fusion '%.*s'; known: %s", (int)(n > 40 ? 40 : n), at, known);
        }
        at += n;
        if (*at == ',') at++;
    }
    *mask = result;
    return FS_OK;
}

void fs_fuse(fs_program *program, unsigned off, fs_supports_fn supports, void *user) {
    const fs_graph *g = &program->graph;
    program->steps = g->ops;
    for (int i = 0; i < g->ops; i++) {
        fs_step *s = &program->step[i];
        memset(s, 0, sizeof *s);
        s->kind = FS_STEP_OP, s->op[0] = i, s->ops = 1;
        memcpy(s->name, g->op[i].name, sizeof s->name);
    }
    for (int i = 0; i < g->ops; i++) close_step(program, &program->step[i], i, i);
    fuser f = {program, supports, user};
    for (int i = 0; i < fs_rewrite_count; i++)
        if (!(off >> i & 1)) apply[i](&f);
}
