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

// Where the columns that a vector of pixels lies between are one vector, as in enlarging, they are loaded once.
static void stretch_plane(const float *in, int columns, const int *lower, const float *fraction, int count, float *out,
                          float *high) {
    int x = 0;
#if defined(FS_HAS_PICK)
    const int last = columns - FS_LANES; // the last vector of columns
    for (; x + FS_LANES <= count && last >= 0; x += FS_LANES) {
        const int from = lower[x] < last ? lower[x] : last;
        const int to = lower[x + FS_LANES - 1] + 1 < columns ? lower[x + FS_LANES - 1] + 1 : columns - 1;
        if (to - from >= FS_LANES) break;
        const vf source = vf_load(in + from);
        const vi left = vi_add(vi_load(lower + x), vi_set1(-from));
        const vf a = vf_pick(source, left);
        const vf b = vf_pick(source, vi_min(vi_add(left, vi_set1(1)), vi_set1(columns - 1 - from)));
        const vf value = vf_add(a, vf_mul(vf_sub(b, a), vf_load(fraction + x)));
        vf_store(out + x, value);
        if (high) vf_store(high + x, vf_max(value, vf_load(high + x))); // a NaN is not higher
    }
#endif
    for (; x < count; x++) {
        const float a = in[lower[x]], b = in[lower[x] + 1 < columns ? lower[x] + 1 : columns - 1];
        out[x] = a + (b - a) * fraction[x];
        if (high) high[x] = out[x] > high[x] ? out[x] : high[x];
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
