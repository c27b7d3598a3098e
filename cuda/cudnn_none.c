// What stands for cuDNN in a build without its headers: it says so.
#include "cuda/cudnn.h"

#ifndef FS_HAVE_CUDNN

fs_status fs_cudnn_open(fs_cudnn **cudnn) {
    (void)cudnn;
    return fs_fail(FS_ERR_UNSUPPORTED,
                   "this build has no cuDNN: use our own kernels, or install cuDNN's headers and build again");
}

void fs_cudnn_close(fs_cudnn *cudnn) {
    (void)cudnn;
}

int fs_cudnn_version(const fs_cudnn *cudnn) {
    (void)cudnn;
    return 0;
}

const char *fs_cudnn_path(const fs_cudnn *cudnn) {
    (void)cudnn;
    return "";
}

fs_status fs_cudnn_plans(fs_cudnn *cudnn, const fs_cudnn_target *target, const fs_cudnn_conv *conv,
                         size_t workspace_limit, fs_cudnn_plan **plans, int max, int *count) {
    (void)target, (void)conv, (void)workspace_limit, (void)plans, (void)max, (void)count;
    return fs_cudnn_open(&cudnn);
}

fs_status fs_cudnn_find(fs_cudnn *cudnn, const fs_cudnn_target *target, const fs_cudnn_conv *conv,
                        size_t workspace_limit, const char *name, fs_cudnn_plan **plan) {
    (void)target, (void)conv, (void)workspace_limit, (void)name, (void)plan;
    return fs_cudnn_open(&cudnn);
}

void fs_cudnn_plan_free(fs_cudnn_plan *plan) {
    (void)plan;
}

const char *fs_cudnn_plan_name(const fs_cudnn_plan *plan) {
    (void)plan;
    return "";
}

size_t fs_cudnn_plan_workspace(const fs_cudnn_plan *plan) {
    (void)plan;
    return 0;
}

fs_status fs_cudnn_handle_open(fs_cudnn *cudnn, fs_cudnn_handle **handle) {
    (void)handle;
    return fs_cudnn_open(&cudnn);
}

void fs_cudnn_handle_close(fs_cudnn_handle *handle) {
    (void)handle;
}

fs_status fs_cudnn_bind(fs_cudnn_plan *plan, const void *x, const void *w, const void *bias, const void *z, void *y,
                        void *workspace) {
    (void)plan, (void)x, (void)w, (void)bias, (void)z, (void)y, (void)workspace;
    return fs_cudnn_open(NULL);
}

fs_status fs_cudnn_run(fs_cudnn_handle *handle, fs_cudnn_plan *plan, cudaStream_t stream) {
    (void)handle, (void)plan, (void)stream;
    return fs_cudnn_open(NULL);
}

#endif
