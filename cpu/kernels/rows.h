// Element-wise rows: conversions, ReLU, add, bilinear mixes, sums.

static void to_f32(const uint16_t *in, float *out, size_t count) {
    size_t i = 0;
    for (; i + FS_LANES <= count; i += FS_LANES) vf_store(out + i, vf_load_bf16(in + i));
    for (; i < count; i++) {
        uint32_t u = (uint32_t)in[i] << 16;
        memcpy(out + i, &u, 4);
    }
}

static void to_bf16(const float *in, uint16_t *out, size_t count) {
    size_t i = 0;
    for (; i + FS_LANES <= count; i += FS_LANES) vf_store_bf16(out + i, vf_load(in + i));
    if (i < count) {
        float tail[FS_LANES] = {0};
        uint16_t half[FS_LANES];
        memcpy(tail, in + i, (count - i) * sizeof *in);
        vf_store_bf16(half, vf_load(tail));
        memcpy(out + i, half, (count - i) * sizeof *out);
    }
}

static void relu_f32(const float *in, float *out, size_t count) {
    size_t i = 0;
    for (; i + FS_LANES <= count; i += FS_LANES) vf_store(out + i, vf_max(vf_load(in + i), vf_zero()));
    for (; i < count; i++) out[i] = in[i] > 0 ? in[i] : 0;
}

static void add_f32(const float *a, const float *b, float *out, size_t count) {
    size_t i = 0;
    for (; i + FS_LANES <= count; i += FS_LANES) vf_store(out + i, vf_add(vf_load(a + i), vf_load(b + i)));
    for (; i < count; i++) out[i] = a[i] + b[i];
}

static void lerp_f32(const float *a, const float *b, float t, float *out, size_t count) {
    const vf vt = vf_set1(t);
    for (size_t i = 0; i < count; i += FS_LANES) vf_store(out + i, vf_lerp(vf_load(a + i), vf_load(b + i), vt));
}

static void lerp_bf16(const uint16_t *a, const uint16_t *b, float t, float *out, size_t count) {
    const vf vt = vf_set1(t);
    for (size_t i = 0; i < count; i += FS_LANES)
        vf_store(out + i, vf_lerp(vf_load_bf16(a + i), vf_load_bf16(b + i), vt));
}

static void stretch_f32(const float *in, int begin, const fs_tap *taps, int count, int channels, ptrdiff_t in_stride,
                        float *out, ptrdiff_t out_stride, ptrdiff_t out_panel, bool accumulate) {
    for (int x = 0; x < count; x++) {
        const float *a = in + (taps[x].lower - begin) * in_stride, *b = in + (taps[x].upper - begin) * in_stride;
        const vf t = vf_set1(taps[x].fraction);
        for (int n = 0; n < channels; n += 16) {
            float *o = out + x * out_stride + n / 16 * out_panel;
#pragma GCC unroll 4
            for (int c = 0; c < 16; c += FS_LANES) {
                vf v = vf_lerp(vf_load(a + n + c), vf_load(b + n + c), t);
                vf_store(o + c, accumulate ? vf_add(vf_load(o + c), v) : v);
            }
        }
    }
}

static void stretch_bf16(const float *in, int begin, const fs_tap *taps, int count, int channels, ptrdiff_t in_stride,
                         uint16_t *out, ptrdiff_t out_stride) {
    for (int x = 0; x < count; x++) {
        const float *a = in + (taps[x].lower - begin) * in_stride, *b = in + (taps[x].upper - begin) * in_stride;
        const vf t = vf_set1(taps[x].fraction);
        for (int c = 0; c < channels; c += FS_LANES)
            vf_store_bf16(out + x * out_stride + c, vf_lerp(vf_load(a + c), vf_load(b + c), t));
    }
}

// 3 (or 4) vectors hold a whole number of pixels, so scale and shift repeat with that period. Raw values (scale 1,
// shift 0), which the fused stem takes, need neither.
static void input_f32(const uint8_t *in, float *out, size_t pixels, int channels, const float *scale,
                      const float *shift) {
    float s[4 * FS_LANES], o[4 * FS_LANES];
    const size_t period = (size_t)channels * FS_LANES, count = pixels * (size_t)channels;
    bool raw = true;
    for (int c = 0; c < channels; c++) raw &= scale[c] == 1.0f && shift[c] == 0.0f;
    for (size_t i = 0; i < period && !raw; i++) s[i] = scale[i % (size_t)channels], o[i] = shift[i % (size_t)channels];
    size_t phase = 0, i = 0;
    for (; i + FS_LANES <= count; i += FS_LANES) {
        vf v = vf_load_u8(in + i);
        if (!raw) v = vf_fma(v, vf_load(s + phase), vf_load(o + phase));
        vf_store(out + i, v);
        phase = phase + FS_LANES == period ? 0 : phase + FS_LANES;
    }
    if (i == count) return;
    uint8_t rest[FS_LANES] = {0}; // a vector must not read past the row
    float last[FS_LANES];
    memcpy(rest, in + i, count - i);
    vf v = vf_load_u8(rest);
    if (!raw) v = vf_fma(v, vf_load(s + phase), vf_load(o + phase));
    vf_store(last, v);
    memcpy(out + i, last, (count - i) * sizeof *out);
}

static void sum_f32(const float *in, ptrdiff_t stride, int count, int channels, float *sums) {
    for (int c = 0; c < channels; c += FS_LANES) {
        vf acc = vf_load(sums + c);
        for (int p = 0; p < count; p++) acc = vf_add(acc, vf_load(in + p * stride + c));
        vf_store(sums + c, acc);
    }
}

static void sum_bf16(const uint16_t *in, ptrdiff_t stride, int count, int channels, float *sums) {
    for (int c = 0; c < channels; c += FS_LANES) {
        vf acc = vf_load(sums + c);
        for (int p = 0; p < count; p++) acc = vf_add(acc, vf_load_bf16(in + p * stride + c));
        vf_store(sums + c, acc);
    }
}
