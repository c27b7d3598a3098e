// A node: one kernel of a frame with its parameters, which of its variants runs, or the cuDNN plan that runs instead.
#ifndef FS_CUDA_NODE_H
#define FS_CUDA_NODE_H

#include "cuda/cudnn.h"
#include "cuda/kernels/fused.h"

typedef enum fs_family {
    FS_FAMILY_FRAME,
    FS_FAMILY_STEM,
    FS_FAMILY_NORMALISE,
    FS_FAMILY_CONV,
    FS_FAMILY_DW,
    FS_FAMILY_UPDW,
    FS_FAMILY_ELTWISE,
    FS_FAMILY_RESIZE,
    FS_FAMILY_CONCAT,
    FS_FAMILY_POOL,
    FS_FAMILY_PYRAMID_POOL,
    FS_FAMILY_PYRAMID_BRANCH,
    FS_FAMILY_PYRAMID_UP,
    FS_FAMILY_LABELS,
    FS_FAMILY_PLANES,
    FS_FAMILY_ARGMAX,
    FS_FAMILY_OVERLAY,
    FS_FAMILY_TALLY,
    FS_FAMILY_STEM_DS,
    FS_FAMILY_DSCONV,
    FS_FAMILY_BOTTLENECK,
    FS_FAMILY_EXPAND_DW,
    FS_FAMILY_FUSION,
    FS_FAMILY_PYRAMID_FOLD,
    FS_FAMILY_PYRAMID_OUT,
    FS_FAMILY_BOTTLENECK_SPLIT,
    FS_FAMILY_BOTTLENECK_CLUSTER
} fs_family;

typedef struct fs_node {
    fs_family family;
    int step;  // of the plan
    int route; // of the step: which of its alternatives this node belongs to, see fs_nodes
    fs_k_type type;
    union {
        fs_frame_params frame;
        fs_stem_params stem;
        fs_normalise_params normalise;
        fs_conv_params conv;
        fs_dw_params dw;
        fs_updw_params updw;
        fs_eltwise_params eltwise;
        fs_resize_params resize;
        fs_concat_params concat;
        fs_pool_params pool;
        fs_pyramid_pool_params pyramid_pool;
        fs_pyramid_branch_params branch;
        fs_pyramid_up_params up;
        fs_head_params labels;
        fs_head_planes_params planes;
        fs_argmax_params argmax;
        fs_overlay_params overlay;
        fs_tally_params tally;
        fs_stem_ds_params stem_ds;
        fs_dsconv_params dsconv;
        fs_bottleneck_params bottleneck;
        fs_expand_dw_params expand_dw;
        fs_fusion_params fusion;
        fs_pyramid_fold_params pyramid_fold;
        fs_pyramid_out_params pyramid_out;
        fs_bottleneck_split_params bottleneck_split;
        fs_bottleneck_cluster_params bottleneck_cluster;
    } p;
    int variant;           // of our own kernels
    const void *bias_half; // CONV: what cuDNN takes beside p.conv
    fs_cudnn_plan *plan;   // not NULL: cuDNN runs this node; owned
} fs_node;

// Fills the launch of a variant; false when there is none of that number. Variant 0 always exists.
bool fs_node_launch(const fs_node *node, int sm, int variant, fs_launch *launch);
// The convolution that cuDNN could run instead; false when it cannot be asked for this node.
bool fs_node_cudnn(const fs_node *node, fs_cudnn_conv *conv);
// What decides a node's speed, in one line without blanks at its ends: the key of its tactic in the tuning cache.
void fs_node_signature(const fs_node *node, char *text, size_t size);
// Whether there is something to choose from.
bool fs_node_is_tunable(const fs_node *node);

#endif
