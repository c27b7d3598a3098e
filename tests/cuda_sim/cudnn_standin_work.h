// What the stand-in for cuDNN runs: one convolution with all that is fused to it.
#ifndef FS_TESTS_CUDNN_STANDIN_WORK_H
#define FS_TESTS_CUDNN_STANDIN_WORK_H

#include <cuda_fp16.h>
#include <cudnn_graph.h>

#include <cstdint>

namespace standin {

struct Tensor {
    int64_t id, dim[4], stride[4]; // n, c, h, w
    cudnnDataType_t type;
    bool is_virtual;
};

// One convolution as it runs. The pointers come first: the simulator looks for them.
struct Work {
    const __half *x, *w, *bias, *z;
    __half *y;
    unsigned char *workspace;
    int64_t workspace_bytes;
    Tensor tx, tw, tz, ty;
    int64_t stride[2], dilation[2], pad[2];
    bool relu;
};

// y = act(conv(x, w) + z + bias); `params` is a Work. Fills the workspace, if any, with NaN.
void convolve(const void *params);

} // namespace standin

#endif
