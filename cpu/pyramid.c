// Adaptive pools over overlapping bins, and the pyramid's branches on their 50 cells.
#include "cpu/pyramid.h"

#include <string.h>

#include "runtime/graph.h"

void fs_pyramid_pool(const fs_kernels *k, const void *map, bool bf16, int h, int w, int channels, int stride_c,
                     int bins, int c0, float *cells) {
    const size_t element = bf16 ? 2 : 4;
    for (int by = 0; by < bins; by++)
        for (int bx = 0; bx < bins; bx++) {
            int y0, y1, x0, x1;
            fs_pool_bin(by, bins, h, &y0, &y1);
            fs_pool_bin(bx, bins, w, &x0, &x1);
            // Rows are summed apart, so that a long float sum keeps its accuracy.
            double total[FS_PANEL] = {0};
            for (int y = y0; y < y1; y++) {
                float row[FS_PANEL] = {0};
                const char *at = (const char *)map +
                                 (((size_t)y * (size_t)w + (size_t)x0) * (size_t)stride_c + (size_t)c0) * element;
                if (bf16)
                    k->sum_bf16((const uint16_t *)at, stride_c, x1 - x0, FS_PANEL, row);
                else
                    k->sum_f32((const float *)at, stride_c, x1 - x0, FS_PANEL, row);
                for (int c = 0; c < FS_PANEL; c++) total[c] += (double)row[c];
            }
            const double area = (double)(y1 - y0) * (x1 - x0);
            float *out = cells + (size_t)(by * bins + bx) * (size_t)channels + (size_t)c0;
            for (int c = 0; c < FS_PANEL; c++) out[c] = (float)(total[c] / area);
        }
}

static void product(const fs_kernels *k, const fs_packed *w, const float *in, int pixels, bool relu, float *out) {
    fs_gemm g = {.m = pixels,
                 .n = w->n,
                 .segments = 1,
                 .b = w->panels,
                 .bias = w->bias,
                 .relu = relu,
                 .c = out,
                 .c_stride = w->n,
                 .c_panel = FS_PANEL};
    g.segment[0].a = in, g.segment[0].stride = w->k, g.segment[0].k = w->k;
    k->gemm_f32(&g);
}

void fs_pyramid_branches(const fs_cpu_engine *e, const float *cells, float *scratch, float *out) {
    static const int first[5] = {0, 1, 5, 14, 50};
    const bool slices = e->model.ppm_out_kernel == 1;
    for (int i = 0; i < 4; i++) {
        const int n = first[i + 1] - first[i];
        float *branch = (slices ? scratch : out) + first[i] * 32;
        product(e->kernels, &e->ppm_branch[i], cells + first[i] * 128, n, true, branch);
        if (slices) product(e->kernels, &e->ppm_slice[i], branch, n, false, out + first[i] * 128);
    }
}
