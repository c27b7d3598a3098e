// From a node to a launch, to cuDNN's view of it, and to the line that names it in the tuning cache.
#include "cuda/node.h"

#include <stdio.h>

bool fs_node_launch(const fs_node *n, int sm, int variant, fs_launch *launch) {
    switch (n->family) {
    case FS_FAMILY_FRAME: return fs_launch_frame(&n->p.frame, sm, variant, launch);
    case FS_FAMILY_STEM: return fs_launch_stem(&n->p.stem, n->type, sm, variant, launch);
    case FS_FAMILY_NORMALISE: return fs_launch_normalise(&n->p.normalise, n->type, sm, variant, launch);
    case FS_FAMILY_CONV: return fs_launch_conv(&n->p.conv, n->type, sm, variant, launch);
    case FS_FAMILY_DW: return fs_launch_dw(&n->p.dw, n->type, sm, variant, launch);
    case FS_FAMILY_UPDW: return fs_launch_updw(&n->p.updw, n->type, sm, variant, launch);
    case FS_FAMILY_ELTWISE: return fs_launch_eltwise(&n->p.eltwise, n->type, sm, variant, launch);
    case FS_FAMILY_RESIZE: return fs_launch_resize(&n->p.resize, n->type, sm, variant, launch);
    case FS_FAMILY_CONCAT: return fs_launch_concat(&n->p.concat, n->type, sm, variant, launch);
    case FS_FAMILY_POOL: return fs_launch_pool(&n->p.pool, n->type, sm, variant, launch);
    case FS_FAMILY_PYRAMID_POOL: return fs_launch_pyramid_pool(&n->p.pyramid_pool, n->type, sm, variant, launch);
    case FS_FAMILY_PYRAMID_BRANCH: return fs_launch_pyramid_branch(&n->p.branch, sm, variant, launch);
    case FS_FAMILY_PYRAMID_UP: return fs_launch_pyramid_up(&n->p.up, n->type, sm, variant, launch);
    case FS_FAMILY_LABELS: return fs_launch_head_labels(&n->p.labels, sm, variant, launch);
    case FS_FAMILY_PLANES: return fs_launch_head_planes(&n->p.planes, sm, variant, launch);
    case FS_FAMILY_ARGMAX: return fs_launch_argmax(&n->p.argmax, sm, variant, launch);
    case FS_FAMILY_OVERLAY: return fs_launch_overlay(&n->p.overlay, sm, variant, launch);
    case FS_FAMILY_TALLY: return fs_launch_tally(&n->p.tally, sm, variant, launch);
    case FS_FAMILY_STEM_DS: return fs_launch_stem_ds(&n->p.stem_ds, sm, variant, launch);
    case FS_FAMILY_DSCONV: return fs_launch_dsconv(&n->p.dsconv, sm, variant, launch);
    case FS_FAMILY_BOTTLENECK: return fs_launch_bottleneck(&n->p.bottleneck, sm, variant, launch);
    case FS_FAMILY_EXPAND_DW: return fs_launch_expand_dw(&n->p.expand_dw, sm, variant, launch);
    case FS_FAMILY_FUSION: return fs_launch_fusion(&n->p.fusion, sm, variant, launch);
    case FS_FAMILY_PYRAMID_FOLD: return fs_launch_pyramid_fold(&n->p.pyramid_fold, sm, variant, launch);
    case FS_FAMILY_PYRAMID_OUT: return fs_launch_pyramid_out(&n->p.pyramid_out, sm, variant, launch);
    case FS_FAMILY_BOTTLENECK_SPLIT: return fs_launch_bottleneck_split(&n->p.bottleneck_split, sm, variant, launch);
    case FS_FAMILY_BOTTLENECK_CLUSTER:
        return fs_launch_bottleneck_cluster(&n->p.bottleneck_cluster, sm, variant, launch);
    }
    return false;
}

// Zeros that the window reaches behind the last row or column.
static int pad_behind(int in, int out, int kernel, int stride, int dilation, int before) {
    const int reach = (out - 1) * stride + dilation * (kernel - 1) + 1 - in - before;
    return reach > 0 ? reach : 0;
}

bool fs_node_cudnn(const fs_node *n, fs_cudnn_conv *c) {
    if (n->family != FS_FAMILY_CONV || n->type != FS_K_F16) return false;
    const fs_conv_params *p = &n->p.conv;
    if (p->in2.data || p->out_f32 || p->in.c % 8 || p->out.c % 8) return false;
    *c = (fs_cudnn_conv){.h = p->in.h,
                         .w = p->in.w,
                         .c = p->in.c,
                         .c_pitch = p->in.pitch,
                         .oh = p->out.h,
                         .ow = p->out.w,
                         .n = p->out.c,
                         .n_pitch = p->out.pitch,
                         .kernel = p->kernel,
                         .stride = p->stride,
                         .dilation = p->dilation,
                         .pad_top = p->pad_top,
                         .pad_left = p->pad_left,
                         .pad_bottom = pad_behind(p->in.h, p->out.h, p->kernel, p->stride, p->dilation, p->pad_top),
                         .pad_right = pad_behind(p->in.w, p->out.w, p->kernel, p->stride, p->dilation, p->pad_left),
                         .residual = p->residual.data != NULL,
                         .relu = p->relu != 0};
    return !c->residual || p->residual.pitch == p->out.pitch; // one pitch for both in cuDNN's graph
}

bool fs_node_is_tunable(const fs_node *n) {
    switch (n->family) {
    case FS_FAMILY_STEM:
    case FS_FAMILY_CONV:
    case FS_FAMILY_DW:
    case FS_FAMILY_UPDW:
    case FS_FAMILY_STEM_DS:
    case FS_FAMILY_DSCONV:
    case FS_FAMILY_BOTTLENECK:
    case FS_FAMILY_BOTTLENECK_CLUSTER:
    case FS_FAMILY_EXPAND_DW:
    case FS_FAMILY_FUSION:
    case FS_FAMILY_PYRAMID_OUT: return true;
    default: return false;
    }
}

void fs_node_signature(const fs_node *n, char *text, size_t size) {
    const char *type = n->type == FS_K_F16 ? "f16" : "f32";
    switch (n->family) {
    case FS_FAMILY_CONV: {
        const fs_conv_params *p = &n->p.conv;
        snprintf(text, size, "conv %s %dx%dx%d/%d+%d %dx%dx%d/%d k%d s%d d%d p%d,%d%s%s%s", type, p->in.h, p->in.w,
                 p->in.c, p->in.pitch, p->in2.data ? p->in2.c : 0, p->out.h, p->out.w, p->out.c, p->out.pitch,
                 p->kernel, p->stride, p->dilation, p->pad_top, p->pad_left, p->residual.data ? " add" : "",
                 p->relu ? " relu" : "", p->out_f32 ? " float" : "");
        break;
    }
    case FS_FAMILY_DW: {
        const fs_dw_params *p = &n->p.dw;
        snprintf(text, size, "dw %s %dx%dx%d/%d %dx%d/%d s%d d%d p%d,%d%s", type, p->in.h, p->in.w, p->in.c,
                 p->in.pitch, p->out.h, p->out.w, p->out.pitch, p->stride, p->dilation, p->pad_top, p->pad_left,
                 p->relu ? " relu" : "");
        break;
    }
    case FS_FAMILY_UPDW: {
        const fs_updw_params *p = &n->p.updw;
        snprintf(text, size, "updw %s %dx%dx%d/%d %dx%d/%d d%d%s", type, p->in.h, p->in.w, p->in.c, p->in.pitch,
                 p->out.h, p->out.w, p->out.pitch, p->dilation, p->relu ? " relu" : "");
        break;
    }
    case FS_FAMILY_STEM: {
        const fs_stem_params *p = &n->p.stem;
        snprintf(text, size, "stem %s %dx%dx%d/%d %dx%d p%d,%d", type, p->h, p->w, p->channels, p->pixel, p->out.h,
                 p->out.w, p->pad_top, p->pad_left);
        break;
    }
    case FS_FAMILY_STEM_DS: {
        const fs_stem_ds_params *p = &n->p.stem_ds;
        snprintf(text, size, "stem+ds %dx%dx%d/%d %dx%d p%d,%d %dx%dx%d", p->stem.h, p->stem.w, p->stem.channels,
                 p->stem.pixel, p->stem.out.h, p->stem.out.w, p->stem.pad_top, p->stem.pad_left, p->out.h, p->out.w,
                 p->out.c);
        break;
    }
    case FS_FAMILY_DSCONV: {
        const fs_dsconv_params *p = &n->p.dsconv;
        snprintf(text, size, "dsconv %dx%dx%d s%d %dx%dx%d last %d", p->in.h, p->in.w, p->in.c, p->dw.stride, p->out.h,
                 p->out.w, p->pw.n, p->last.weights ? p->last.n : 0);
        break;
    }
    case FS_FAMILY_BOTTLENECK:
    case FS_FAMILY_BOTTLENECK_CLUSTER: {
        const bool clusters = n->family == FS_FAMILY_BOTTLENECK_CLUSTER;
        const fs_bottleneck_params *p = clusters ? &n->p.bottleneck_cluster.block : &n->p.bottleneck;
        snprintf(text, size, "bottleneck%s %dx%dx%d %d s%d %dx%dx%d%s", clusters ? " cluster" : "", p->in.h, p->in.w,
                 p->in.c, p->expand.n, p->dw.stride, p->out.h, p->out.w, p->out.c, p->residual.data ? " add" : "");
        break;
    }
    case FS_FAMILY_EXPAND_DW: {
        const fs_expand_dw_params *p = &n->p.expand_dw;
        snprintf(text, size, "expand+dw %dx%dx%d s%d %dx%dx%d", p->in.h, p->in.w, p->in.c, p->dw.stride, p->out.h,
                 p->out.w, p->out.c);
        break;
    }
    case FS_FAMILY_FUSION: {
        const fs_fusion_params *p = &n->p.fusion;
        snprintf(text, size, "fusion %dx%dx%d %dx%dx%d d%d", p->low.h, p->low.w, p->low.c, p->out.h, p->out.w, p->out.c,
                 p->dilation);
        break;
    }
    case FS_FAMILY_PYRAMID_OUT: {
        const fs_pyramid_out_params *p = &n->p.pyramid_out;
        snprintf(text, size, "pyramid out %dx%dx%d/%d/%d", p->in.h, p->in.w, p->in.c, p->in.pitch, p->out.pitch);
        break;
    }
    default: snprintf(text, size, "family %d", (int)n->family); break;
    }
}
