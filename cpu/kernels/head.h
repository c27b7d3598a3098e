// The head: argmax of bilinear logits without ever storing them, and full-size planes when someone does ask for logits.

static void argmax_rows(const float *in, ptrdiff_t stride, int count, int classes, uint8_t *out) {
    for (int p = 0; p < count; p++) {
        const float *v = in + p * stride;
        float best = v[0];
        int index = 0;
        for (int k = 1; k < classes; k++)
            if (v[k] > best) best = v[k], index = k;
        out[p] = (uint8_t)index;
    }
}

// Labels of nx x ny pixels that lie between four grid points (top left, top right, bottom left, bottom right); fx and
// fy are their positions, 0..1, fx readable up to the next multiple of 16. Every pixel is a convex mix of the corners,
// so a class that some one other class beats (or, with a lower index, equals) at all four corners can win nowhere in
// the cell: only the others are computed. A class beaten by different rivals at different corners may win in the middle
// and stays. scratch: 4 * classes floats and classes bytes behind them.
static void head_cell(const float *const corner[4], int classes, const float *fx, int nx, const float *fy, int ny,
                      uint8_t *out, ptrdiff_t out_stride, float *scratch) {
    // The class with the highest lowest corner dominates most of the rest.
    int strong = 0;
    float high = -3.4e38f;
    for (int k = 0; k < classes; k++) {
        float low = corner[0][k];
        for (int i = 1; i < 4; i++)
            if (corner[i][k] < low) low = corner[i][k];
        if (low > high) high = low, strong = k;
    }
    int kept = 0;
    uint8_t *ids = (uint8_t *)(scratch + 4 * (ptrdiff_t)classes);
    for (int k = 0; k < classes; k++) {
        bool beaten = k != strong;
        for (int i = 0; i < 4 && beaten; i++)
            beaten = k < strong ? corner[i][k] < corner[i][strong] : corner[i][k] <= corner[i][strong];
        if (beaten) continue;
        for (int i = 0; i < 4; i++) scratch[4 * kept + i] = corner[i][k];
        ids[kept++] = (uint8_t)k;
    }
    for (int y = 0; y < ny; y++) {
        const float t = fy[y];
        for (int x = 0; x < nx; x += FS_LANES) {
            const vf f = vf_load(fx + x);
            vf best = vf_zero();
            vi index = vi_set1(ids[0]);
            for (int k = 0; k < kept; k++) {
                const float *v = scratch + 4 * k;
                const float left = v[0] + (v[2] - v[0]) * t, right = v[1] + (v[3] - v[1]) * t;
                const vf value = vf_fma(vf_set1(right - left), f, vf_set1(left));
                if (k == 0)
                    best = value;
                else
                    vf_argmax(value, vi_set1(ids[k]), &best, &index);
            }
            if (nx - x >= FS_LANES) {
                uint8_t lane[FS_LANES];
                vi_store_u8(lane, index);
                memcpy(out + y * out_stride + x, lane, FS_LANES);
            } else {
                uint8_t lane[FS_LANES];
                vi_store_u8(lane, index);
                memcpy(out + y * out_stride + x, lane, (size_t)(nx - x));
            }
        }
    }
}

static void stretch_plane(const float *in, const fs_tap *taps, int count, float *out) {
    for (int x = 0; x < count; x++) {
        const float a = in[taps[x].lower], b = in[taps[x].upper];
        out[x] = a + (b - a) * taps[x].fraction;
    }
}

// Cephes' expf: exp(x) = 2^n exp(r), |r| <= log(2) / 2, exp(r) by a polynomial. The compiler makes vectors of it.
static void add_exp(float *values, const float *high, float *sum, size_t count) {
    const float to_integer = 12582912.0f; // 1.5 * 2^23: adding it rounds to the nearest integer
    for (size_t i = 0; i < count; i++) {
        const float given = values[i] - high[i], x = given > -87.0f ? given : -87.0f;
        const float n = (x * 1.44269504f + to_integer) - to_integer;
        const float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
        float p = 1.9875691500e-4f;
        p = p * r + 1.3981999507e-3f;
        p = p * r + 8.3334519073e-3f;
        p = p * r + 4.1665795894e-2f;
        p = p * r + 1.6666665459e-1f;
        p = p * r + 5.0000001201e-1f;
        const float e = p * (r * r) + r + 1.0f;
        const uint32_t bits = (uint32_t)((int32_t)n + 127) << 23;
        float power;
        memcpy(&power, &bits, sizeof power);
        const float answer = given == given ? e * power : given;
        values[i] = answer;
        sum[i] += answer;
    }
}

static void scale_f32(const float *in, const float *scale, float *out, size_t count) {
    for (size_t i = 0; i < count; i++) out[i] = in[i] * scale[i];
}

// To half, nearest even. Normal numbers: drop 13 bits of the mantissa, rounded, and move the exponent. Below 2^-14:
// a unit of 0.5 .. 1 is 2^-24, that of half's subnormals, so adding 0.5 rounds to it.
static void scale_f16(const float *in, const float *scale, uint16_t *out, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const float v = in[i] * scale[i], moved = v + 0.5f;
        uint32_t bits, small;
        memcpy(&bits, &v, sizeof bits);
        memcpy(&small, &moved, sizeof small);
        const uint32_t normal = (bits - (112u << 23) + 0xfffu + (bits >> 13 & 1u)) >> 13;
        const uint32_t half = v < 6.103515625e-05f ? small - 0x3f000000u : normal;
        out[i] = (uint16_t)(v == v ? half : 0x7e00u);
    }
}
