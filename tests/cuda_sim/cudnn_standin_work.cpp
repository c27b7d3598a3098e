// The convolution of the stand-in for cuDNN: half maps, sums in float, each in the order of taps, then channels.
#include "tests/cuda_sim/cudnn_standin_work.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace standin {
namespace {

const std::vector<float> &halves() {
    static const std::vector<float> table = [] {
        std::vector<float> values(65536);
        for (unsigned i = 0; i < 65536; i++) {
            __half_raw raw;
            raw.x = static_cast<unsigned short>(i);
            values[i] = __half2float(__half(raw));
        }
        return values;
    }();
    return table;
}

float value(const __half *p) {
    unsigned short bits;
    std::memcpy(&bits, p, sizeof bits);
    return halves()[bits];
}

// Weights as [ky][kx][c][n], so that the innermost loop runs over outputs and each sum keeps its order.
std::vector<float> transposed_weights(const Work &work) {
    const int64_t n = work.tw.dim[0], c = work.tw.dim[1], taps = work.tw.dim[2] * work.tw.dim[3];
    std::vector<float> out(static_cast<size_t>(n * c * taps));
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < c * taps; k++) out[static_cast<size_t>(k * n + i)] = value(work.w + i * c * taps + k);
    return out;
}

void add_pixel(const __half *x, int64_t channels, const float *w, std::vector<float> &sum) {
    const size_t n = sum.size();
    for (int64_t c = 0; c < channels; c++, w += n) {
        const float factor = value(x + c);
        for (size_t i = 0; i < n; i++) sum[i] += factor * w[i];
    }
}

void write_pixel(const Work &work, int64_t row, int64_t column, std::vector<float> &sum) {
    for (int64_t n = 0; n < work.ty.dim[1]; n++) {
        float v = sum[static_cast<size_t>(n)];
        if (work.z) v += value(work.z + row * work.tz.stride[2] + column * work.tz.stride[3] + n);
        v += value(work.bias + n);
        if (work.relu && v < 0) v = 0; // a NaN stays
        work.y[row * work.ty.stride[2] + column * work.ty.stride[3] + n] = __float2half_rn(v);
    }
}

} // namespace

void convolve(const void *params) {
    const Work &work = *static_cast<const Work *>(params);
    if (work.workspace) std::memset(work.workspace, 0xff, static_cast<size_t>(work.workspace_bytes));
    const std::vector<float> weights = transposed_weights(work);
    const int64_t channels = work.tx.dim[1], outputs = work.ty.dim[1];
    std::vector<float> sum(static_cast<size_t>(outputs));
    for (int64_t row = 0; row < work.ty.dim[2]; row++)
        for (int64_t column = 0; column < work.ty.dim[3]; column++) {
            std::fill(sum.begin(), sum.end(), 0.0f);
            for (int64_t ky = 0; ky < work.tw.dim[2]; ky++)
                for (int64_t kx = 0; kx < work.tw.dim[3]; kx++) {
                    const int64_t y = row * work.stride[0] - work.pad[0] + ky * work.dilation[0];
                    const int64_t x = column * work.stride[1] - work.pad[1] + kx * work.dilation[1];
                    if (y < 0 || x < 0 || y >= work.tx.dim[2] || x >= work.tx.dim[3]) continue;
                    add_pixel(work.x + y * work.tx.stride[2] + x * work.tx.stride[3], channels,
                              &weights[static_cast<size_t>((ky * work.tw.dim[3] + kx) * channels * outputs)], sum);
                }
            write_pixel(work, row, column, sum);
        }
}

} // namespace standin
