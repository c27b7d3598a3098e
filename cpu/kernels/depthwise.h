// Depthwise 3x3: one output row, 16 channels at a time with their nine weights in registers.

FS_INLINE vf dw_load(const void *row, ptrdiff_t at, bool bf16) {
    return bf16 ? vf_load_bf16((const uint16_t *)row + at) : vf_load((const float *)row + at);
}

FS_INLINE void dw_store(void *out, ptrdiff_t at, vf v, bool relu, bool bf16) {
    if (relu) v = vf_max(v, vf_zero());
    if (bf16) vf_store_bf16((uint16_t *)out + at, v);
    else vf_store((float *)out + at, v);
}

FS_INLINE void depthwise(const fs_depthwise *d, bool bf16, bool to_bf16) {
    const int reach = 2 * d->dilation;
    // Output columns whose three taps all exist; the others test each tap.
    int inner0 = d->x0, inner1 = d->x1;
    while (inner0 < d->x1 && inner0 * d->stride - d->pad_left < d->begin) inner0++;
    while (inner1 > inner0 && (inner1 - 1) * d->stride - d->pad_left + reach >= d->end) inner1--;
    const ptrdiff_t ps = d->pixel_stride, hop = ps * d->stride, dil = ps * d->dilation;
    for (int c = 0; c < d->channels; c += FS_LANES) {
        vf w[9];
#pragma GCC unroll 9
        for (int t = 0; t < 9; t++) w[t] = vf_load(d->weight + (ptrdiff_t)t * d->channels + c);
        const vf bias = vf_load(d->bias + c);
        for (int edge = 0; edge < 2; edge++) {
            const int from = edge ? inner1 : d->x0, to = edge ? d->x1 : inner0;
            for (int x = from; x < to; x++) {
                vf acc = bias;
                for (int ky = 0; ky < 3; ky++)
                    for (int kx = 0; kx < 3; kx++) {
                        const int sx = x * d->stride - d->pad_left + kx * d->dilation;
                        if (sx < d->begin || sx >= d->end) continue;
                        acc = vf_fma(dw_load(d->row[ky], (sx - d->begin) * ps + c, bf16), w[ky * 3 + kx], acc);
                    }
                dw_store(d->out, (x - d->x0) * d->out_stride + c, acc, d->relu, to_bf16);
            }
        }
        ptrdiff_t at = (ptrdiff_t)(inner0 * d->stride - d->pad_left - d->begin) * ps + c;
        ptrdiff_t to = (inner0 - d->x0) * d->out_stride + c;
        for (int x = inner0; x < inner1; x++, at += hop, to += d->out_stride) {
            vf acc = bias;
#pragma GCC unroll 3
            for (int ky = 0; ky < 3; ky++) {
                acc = vf_fma(dw_load(d->row[ky], at, bf16), w[ky * 3], acc);
                acc = vf_fma(dw_load(d->row[ky], at + dil, bf16), w[ky * 3 + 1], acc);
                acc = vf_fma(dw_load(d->row[ky], at + 2 * dil, bf16), w[ky * 3 + 2], acc);
            }
            dw_store(d->out, to, acc, d->relu, to_bf16);
        }
    }
}

static void depthwise_f32(const fs_depthwise *d) { depthwise(d, false, false); }
static void depthwise_bf16(const fs_depthwise *d) { depthwise(d, true, true); }
static void depthwise_f32_to_bf16(const fs_depthwise *d) { depthwise(d, false, true); }
