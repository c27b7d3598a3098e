// Depthwise 3x3: one output row, a vector of channels at a time, its nine weights and some output columns in registers.
//
// Every output is one chain of multiply-adds in the order of its taps (rows, then columns), on every path.

enum { FS_DW_COLUMNS = FS_LANES == 16 ? 8 : 4, FS_DW_TILE = 2 * FS_DW_COLUMNS };

FS_INLINE vf dw_load(const void *row, ptrdiff_t at, bool bf16) {
    return bf16 ? vf_load_bf16((const uint16_t *)row + at) : vf_load((const float *)row + at);
}

typedef enum dw_output { DW_TO_F32, DW_TO_BF16, DW_TO_U8 } dw_output;

FS_INLINE void dw_store(const fs_depthwise *d, const quantiser *q, ptrdiff_t at, vf v, const dw_output to_type) {
    if (d->relu && to_type != DW_TO_U8) v = vf_max(v, vf_zero());
    if (to_type == DW_TO_U8)
        quantiser_store(q, (uint8_t *)d->out + at, v);
    else if (to_type == DW_TO_BF16)
        vf_store_bf16((uint16_t *)d->out + at, v);
    else
        vf_store((float *)d->out + at, v);
}

// FS_DW_COLUMNS neighbouring outputs, all of whose taps exist. With constant stride and dilation a column that several
// of them need is loaded once.
FS_INLINE void dw_columns(const fs_depthwise *d, const quantiser *q, const vf w[9], vf bias, ptrdiff_t at, ptrdiff_t to,
                          const int stride, const int dilation, bool bf16, const dw_output to_type) {
    vf acc[FS_DW_COLUMNS];
#pragma GCC unroll 8
    for (int i = 0; i < FS_DW_COLUMNS; i++) acc[i] = bias;
    const int span = (FS_DW_COLUMNS - 1) * stride + 2 * dilation + 1;
    const void *const row[3] = {d->row[0], d->row[1], d->row[2]};
    const ptrdiff_t step = d->pixel_stride;
#pragma GCC unroll 3
    for (int ky = 0; ky < 3; ky++) {
#pragma GCC unroll 17
        for (int col = 0; col < span; col++) {
            bool used = false;
#pragma GCC unroll 8
            for (int i = 0; i < FS_DW_COLUMNS; i++)
#pragma GCC unroll 3
                for (int kx = 0; kx < 3; kx++) used |= i * stride + kx * dilation == col;
            if (!used) continue;
            const vf x = vf_in_register(dw_load(row[ky], at + col * step, bf16));
#pragma GCC unroll 8
            for (int i = 0; i < FS_DW_COLUMNS; i++)
#pragma GCC unroll 3
                for (int kx = 0; kx < 3; kx++)
                    if (i * stride + kx * dilation == col) acc[i] = vf_fma(x, w[ky * 3 + kx], acc[i]);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < FS_DW_COLUMNS; i++) dw_store(d, q, to + i * d->out_stride, acc[i], to_type);
}

// One output, testing each tap: borders and what is left over.
FS_INLINE void dw_single(const fs_depthwise *d, const quantiser *q, const vf w[9], vf bias, ptrdiff_t channel, int x,
                         ptrdiff_t to, bool bf16, const dw_output to_type) {
    vf acc = bias;
    for (int ky = 0; ky < 3; ky++)
        for (int kx = 0; kx < 3; kx++) {
            const int sx = x * d->stride - d->pad_left + kx * d->dilation;
            if (sx < d->begin || sx >= d->end) continue;
            acc = vf_fma(dw_load(d->row[ky], (sx - d->begin) * d->pixel_stride + channel, bf16), w[ky * 3 + kx], acc);
        }
    dw_store(d, q, to, acc, to_type);
}

// The last of the three rows is new, and may come from memory: asks for `count` of its columns before they are needed,
// in an order that no prefetcher of the processor foresees.
FS_INLINE void dw_fetch(const fs_depthwise *d, int column, int count, bool bf16) {
    const int end = column + count < d->end ? column + count : d->end, begin = column > d->begin ? column : d->begin;
    const ptrdiff_t pixel = d->pixel_stride * (bf16 ? 2 : 4);
    const char *at = (const char *)d->row[2] + (begin - d->begin) * pixel;
    const char *stop = (const char *)d->row[2] + (end - d->begin) * pixel;
    for (; at < stop; at += 64) __builtin_prefetch(at);
}

FS_INLINE void depthwise_as(const fs_depthwise *d, const int stride, const int dilation, bool bf16,
                            const dw_output to_type) {
    const quantiser q = quantiser_make(d->to_u8.inverse, d->to_u8.zero, d->relu);
    // Outputs whose taps all exist: inner0 .. inner1 - 1.
    int inner0 = d->x0, inner1 = d->x1;
    while (inner0 < d->x1 && inner0 * stride - d->pad_left < d->begin) inner0++;
    while (inner1 > inner0 && (inner1 - 1) * stride - d->pad_left + 2 * dilation >= d->end) inner1--;
    // Row by row of panels when each panel lies apart; pixels of all channels, a few columns at a time, when they lie
    // together: either way memory is read in the order in which it lies, and the vectors of a panel share cache lines.
    const bool apart = d->panel_stride != FS_PANEL;
    const int across = apart ? d->channels / FS_PANEL : 1, deep = apart ? FS_PANEL : d->channels;
    for (int n = 0; n < across; n++) {
        for (int x0 = d->x0; x0 < d->x1;) {
            const bool inner = x0 >= inner0 && x0 < inner1 && inner1 - inner0 >= FS_DW_COLUMNS;
            int x1 = x0 + 1;
            if (inner) x1 = x0 + FS_DW_TILE <= inner1 ? x0 + FS_DW_TILE : inner1;
            if (!apart && x1 < d->x1) dw_fetch(d, x1 * stride - d->pad_left + dilation, FS_DW_TILE * stride, bf16);
            for (int c = n * deep; c < (n + 1) * deep; c += FS_LANES) {
                vf w[9];
#pragma GCC unroll 9
                for (int t = 0; t < 9; t++) w[t] = vf_load(d->weight + (ptrdiff_t)t * d->channels + c);
                const vf bias = vf_load(d->bias + c);
                const ptrdiff_t channel = c / FS_PANEL * d->panel_stride + c % FS_PANEL;
                if (!inner) {
                    dw_single(d, &q, w, bias, channel, x0, (x0 - d->x0) * d->out_stride + c, bf16, to_type);
                    continue;
                }
                for (int x = x0; x < x1; x += FS_DW_COLUMNS) {
                    // The last ones begin earlier and make some again, to the same bits.
                    const int from = x + FS_DW_COLUMNS <= inner1 ? x : inner1 - FS_DW_COLUMNS;
                    dw_columns(d, &q, w, bias,
                               (ptrdiff_t)(from * stride - d->pad_left - d->begin) * d->pixel_stride + channel,
                               (from - d->x0) * d->out_stride + c, stride, dilation, bf16, to_type);
                }
            }
            x0 = x1;
        }
    }
}

FS_INLINE void depthwise(const fs_depthwise *d, bool bf16, const dw_output to_type) {
    if (d->stride == 1 && d->dilation == 1)
        depthwise_as(d, 1, 1, bf16, to_type);
    else if (d->stride == 2 && d->dilation == 1)
        depthwise_as(d, 2, 1, bf16, to_type);
    else if (d->stride == 1 && d->dilation == 4)
        depthwise_as(d, 1, 4, bf16, to_type);
    else
        for (int n = 0; n < d->channels; n += FS_LANES) { // no published network comes here
            const quantiser q = quantiser_make(d->to_u8.inverse, d->to_u8.zero, d->relu);
            vf w[9];
            for (int t = 0; t < 9; t++) w[t] = vf_load(d->weight + (ptrdiff_t)t * d->channels + n);
            for (int x = d->x0; x < d->x1; x++)
                dw_single(d, &q, w, vf_load(d->bias + n), n / FS_PANEL * d->panel_stride + n % FS_PANEL, x,
                          (x - d->x0) * d->out_stride + n, bf16, to_type);
        }
}

static void depthwise_f32(const fs_depthwise *d) {
    depthwise(d, false, DW_TO_F32);
}
static void depthwise_bf16(const fs_depthwise *d) {
    depthwise(d, true, DW_TO_BF16);
}
static void depthwise_f32_to_bf16(const fs_depthwise *d) {
    depthwise(d, false, DW_TO_BF16);
}
static void depthwise_f32_to_u8(const fs_depthwise *d) {
    depthwise(d, false, DW_TO_U8);
}
static void depthwise_bf16_to_u8(const fs_depthwise *d) {
    depthwise(d, true, DW_TO_U8);
}
