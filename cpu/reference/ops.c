// The scalar truth of every elementary operation: plain loops, double accumulation, one rounding to float at the end.
#include "cpu/reference/reference.h"

void fs_ref_normalise(const uint8_t *frame, int h, int w, const fs_model *model, float *out) {
    size_t pixels = (size_t)h * (size_t)w;
    int channels = model->channels;
    for (size_t p = 0; p < pixels; p++)
        for (int c = 0; c < channels; c++, frame++, out++)
            *out = (float)((*frame / 255.0 - (double)model->mean[c]) / (double)model->std[c]);
}

enum { BLOCK = 64 }; // output channels that are accumulated together

void fs_ref_conv(const float *in, int h, int w, int ci, const fs_op *op, const fs_folded *layer, int oh, int ow, int co,
                 float *out) {
    double sum[BLOCK];
    for (int y = 0; y < oh; y++)
        for (int x = 0; x < ow; x++, out += co)
            for (int first = 0; first < co; first += BLOCK) {
                int count = co - first < BLOCK ? co - first : BLOCK;
                for (int o = 0; o < count; o++) sum[o] = (double)layer->bias[first + o];
                for (int tap = 0; tap < op->kernel * op->kernel; tap++) {
                    int iy = y * op->stride - op->pad_top + tap / op->kernel * op->dilation;
                    int ix = x * op->stride - op->pad_left + tap % op->kernel * op->dilation;
                    if (iy < 0 || iy >= h || ix < 0 || ix >= w) continue;
                    const float *pixel = in + ((size_t)iy * (size_t)w + (size_t)ix) * (size_t)ci;
                    const float *weight = layer->weight + (size_t)tap * (size_t)ci * (size_t)co + first;
                    for (int i = 0; i < ci; i++, weight += co) {
                        double value = (double)pixel[i];
                        for (int o = 0; o < count; o++) sum[o] += value * (double)weight[o];
                    }
                }
                for (int o = 0; o < count; o++) out[first + o] = (float)sum[o];
            }
}

void fs_ref_dwconv(const float *in, int h, int w, int c, const fs_op *op, const fs_folded *layer, int oh, int ow,
                   float *out) {
    double sum[BLOCK];
    for (int y = 0; y < oh; y++)
        for (int x = 0; x < ow; x++, out += c)
            for (int first = 0; first < c; first += BLOCK) {
                int count = c - first < BLOCK ? c - first : BLOCK;
                for (int o = 0; o < count; o++) sum[o] = (double)layer->bias[first + o];
                for (int tap = 0; tap < op->kernel * op->kernel; tap++) {
                    int iy = y * op->stride - op->pad_top + tap / op->kernel * op->dilation;
                    int ix = x * op->stride - op->pad_left + tap % op->kernel * op->dilation;
                    if (iy < 0 || iy >= h || ix < 0 || ix >= w) continue;
                    const float *pixel = in + ((size_t)iy * (size_t)w + (size_t)ix) * (size_t)c + first;
                    const float *weight = layer->weight + (size_t)tap * (size_t)c + first;
                    for (int o = 0; o < count; o++) sum[o] += (double)pixel[o] * (double)weight[o];
                }
                for (int o = 0; o < count; o++) out[first + o] = (float)sum[o];
            }
}

void fs_ref_relu(const float *in, size_t count, float *out) {
    for (size_t i = 0; i < count; i++) out[i] = in[i] < 0 ? 0 : in[i]; // keeps a NaN visible
}

void fs_ref_add(const float *a, const float *b, size_t count, float *out) {
    for (size_t i = 0; i < count; i++) out[i] = a[i] + b[i];
}

void fs_ref_pool(const float *in, int h, int w, int c, int bins, float *out) {
    for (int by = 0; by < bins; by++)
        for (int bx = 0; bx < bins; bx++, out += c) {
            int top, bottom, left, right;
            fs_pool_bin(by, bins, h, &top, &bottom);
            fs_pool_bin(bx, bins, w, &left, &right);
            double area = (double)(bottom - top) * (right - left);
            for (int first = 0; first < c; first += BLOCK) {
                double sum[BLOCK] = {0};
                int count = c - first < BLOCK ? c - first : BLOCK;
                for (int y = top; y < bottom; y++)
                    for (int x = left; x < right; x++) {
                        const float *pixel = in + ((size_t)y * (size_t)w + (size_t)x) * (size_t)c + first;
                        for (int k = 0; k < count; k++) sum[k] += (double)pixel[k];
                    }
                for (int k = 0; k < count; k++) out[first + k] = (float)(sum[k] / area);
            }
        }
}

void fs_ref_resize(const float *in, int h, int w, int c, int oh, int ow, bool align, float *out) {
    for (int y = 0; y < oh; y++) {
        int top, left;
        float down, along;
        fs_resize_source(y, h, oh, align, &top, &down);
        int bottom = top + 1 < h ? top + 1 : top;
        for (int x = 0; x < ow; x++, out += c) {
            fs_resize_source(x, w, ow, align, &left, &along);
            int right = left + 1 < w ? left + 1 : left;
            const float *a = in + ((size_t)top * (size_t)w + (size_t)left) * (size_t)c;
            const float *b = in + ((size_t)top * (size_t)w + (size_t)right) * (size_t)c;
            const float *d = in + ((size_t)bottom * (size_t)w + (size_t)left) * (size_t)c;
            const float *e = in + ((size_t)bottom * (size_t)w + (size_t)right) * (size_t)c;
            double fy = (double)down, fx = (double)along;
            for (int k = 0; k < c; k++) {
                double upper = (1 - fx) * (double)a[k] + fx * (double)b[k];
                double lower = (1 - fx) * (double)d[k] + fx * (double)e[k];
                out[k] = (float)((1 - fy) * upper + fy * lower);
            }
        }
    }
}

void fs_ref_concat(const float *const *in, const int *channels, int inputs, size_t pixels, float *out) {
    for (size_t p = 0; p < pixels; p++)
        for (int i = 0; i < inputs; i++) {
            const float *pixel = in[i] + p * (size_t)channels[i];
            for (int c = 0; c < channels[i]; c++) *out++ = pixel[c];
        }
}

void fs_ref_argmax(const float *in, size_t pixels, int c, uint8_t *out) {
    for (size_t p = 0; p < pixels; p++, in += c) {
        int best = 0;
        for (int k = 1; k < c; k++)
            if (in[k] > in[best]) best = k;
        out[p] = (uint8_t)best;
    }
}
