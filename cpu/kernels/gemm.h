// Matrix product of pixel rows with packed weights: register tiles of FS_TILE_M pixels by one or two panels of 16
// channels.
//
// Every output is one chain of multiply-adds over k in ascending order, whatever the tile: splitting rows, columns or
// bands differently never changes a bit. In float, long sums are cut into pieces of about FS_PIECE inputs, so that a
// piece of a packed panel stays in the L1 cache; partial sums wait in C, which loses nothing.

#if FS_LANES == 16
#define FS_TILE_M 12 // 12 x 2 accumulators of 32 registers
#define FS_TILE_V 2  // vectors a tile is wide
#else
#define FS_TILE_M 6 // 6 x 2 accumulators of 16 registers
#define FS_TILE_V (FS_PANEL / FS_LANES > 2 ? 2 : FS_PANEL / FS_LANES)
#endif
#define FS_PIECE 256
#define FS_MAX_PIECES 32

typedef struct gemm_piece {
    const void *a; // first pixel, at the piece's first k
    ptrdiff_t stride;
    int k;
} gemm_piece;

// Where a tile's sums go, as in fs_gemm and fs_gemm_u8.
typedef struct tile_end {
    const float *scale, *bias; // of sums of integers, else NULL
    void *c;
    ptrdiff_t c_stride, c_panel;
    const void *add;
    ptrdiff_t add_stride;
    bool relu, c_float;
} tile_end;

// The sums are `acc`, or, where the end has scales, the integers `sums`.
FS_INLINE void tile_finish_as(const tile_end *e, vf acc[FS_TILE_M][FS_TILE_V], vi sums[FS_TILE_M][FS_TILE_V], int m0,
                              int n, const int m, const int v, const bool c_float, const bool add, const bool relu) {
    const ptrdiff_t stride = e->c_stride, add_stride = e->add_stride;
#pragma GCC unroll 2
    for (int j = 0; j < v; j++) {
        const int channel = n + j * FS_LANES;
        const ptrdiff_t at = m0 * stride + channel / FS_PANEL * e->c_panel + channel % FS_PANEL;
        const ptrdiff_t from = m0 * add_stride + channel;
        const vf scale = sums ? vf_load(e->scale + channel) : vf_zero();
        const vf bias = sums ? vf_load(e->bias + channel) : vf_zero();
#pragma GCC unroll 12
        for (int i = 0; i < m; i++) {
            vf r = sums ? vf_add(vf_mul(vi_to_float(sums[i][j]), scale), bias) : acc[i][j];
            if (add)
                r = vf_add(r, c_float ? vf_load((const float *)e->add + from + i * add_stride)
                                      : vf_load_bf16((const uint16_t *)e->add + from + i * add_stride));
            if (relu) r = vf_max(r, vf_zero());
            if (c_float)
                vf_store((float *)e->c + at + i * stride, r);
            else
                vf_store_bf16((uint16_t *)e->c + at + i * stride, r);
        }
    }
}

// After few inputs this end takes as long as they do, so the kinds of layer that the network has get code of their own
// in full tiles.
FS_INLINE void tile_finish(const tile_end *e, vf acc[FS_TILE_M][FS_TILE_V], vi sums[FS_TILE_M][FS_TILE_V], int m0,
                           int n, const int m, const int v) {
    if (m != FS_TILE_M || (e->c_float && (e->add || !e->relu)) || (e->add && e->relu))
        tile_finish_as(e, acc, sums, m0, n, m, v, e->c_float, e->add != NULL, e->relu);
    else if (e->c_float)
        tile_finish_as(e, acc, sums, m0, n, m, v, true, false, true); // expansion
    else if (e->add)
        tile_finish_as(e, acc, sums, m0, n, m, v, false, true, false); // projection and residual
    else if (e->relu)
        tile_finish_as(e, acc, sums, m0, n, m, v, false, false, true); // pointwise
    else
        tile_finish_as(e, acc, sums, m0, n, m, v, false, false, false); // projection
}

// Where channel n of a pixel of C lies.
FS_INLINE ptrdiff_t gemm_column(const fs_gemm *g, int n) {
    return n / FS_PANEL * g->c_panel + n % FS_PANEL;
}

// `m` pixels (a constant after inlining) by `v` vectors, channels n.. ; pieces share this call's accumulators.
FS_INLINE void gemm_tile(const fs_gemm *g, const gemm_piece *pieces, int count, const char *b_tile,
                         ptrdiff_t panel_bytes, int m0, int n, const int m, const int v, bool bf16, bool first,
                         bool last) {
    vf acc[FS_TILE_M][FS_TILE_V];
    const int elem = bf16 ? 2 : 4;
    if (first) {
#pragma GCC unroll 2
        for (int j = 0; j < v; j++) {
            vf bias = vf_load(g->bias + n + j * FS_LANES);
#pragma GCC unroll 12
            for (int i = 0; i < m; i++) acc[i][j] = bias;
        }
    } else {
        const float *c = (const float *)g->c + m0 * g->c_stride;
#pragma GCC unroll 12
        for (int i = 0; i < m; i++)
#pragma GCC unroll 2
            for (int j = 0; j < v; j++) acc[i][j] = vf_load(c + i * g->c_stride + gemm_column(g, n + j * FS_LANES));
    }
    // Vector j of the tile lies in panel (j * LANES) / 16 of those that b_tile begins.
    const char *b[FS_TILE_V];
#pragma GCC unroll 2
    for (int j = 0; j < v; j++)
        b[j] = b_tile + (j * FS_LANES / FS_PANEL) * panel_bytes + (j * FS_LANES % FS_PANEL) * (bf16 ? 4 : elem);
    for (int p = 0; p < count; p++) {
        // A pointer for every third row, the others by index: twelve pointers would not fit the registers, and the
        // compiler, left to itself, makes twelve.
        const ptrdiff_t step = pieces[p].stride * elem;
        const char *row[(FS_TILE_M + 2) / 3];
#pragma GCC unroll 4
        for (int i = 0; i < m; i += 3) row[i / 3] = (const char *)pieces[p].a + (m0 + i) * step;
        for (int k = pieces[p].k; k > 0; k -= bf16 ? 2 : 1) {
            vf w[FS_TILE_V];
#pragma GCC unroll 2
            for (int j = 0; j < v; j++) w[j] = vf_load((const float *)b[j]);
#pragma GCC unroll 12
            for (int i = 0; i < m; i++) {
                const char *a = row[i / 3] + i % 3 * step;
#pragma GCC unroll 2
                for (int j = 0; j < v; j++)
                    acc[i][j] = bf16 ? vf_dot_bf16(acc[i][j], (const uint16_t *)a, w[j])
                                     : vf_fma(vf_set1(*(const float *)a), w[j], acc[i][j]);
            }
#pragma GCC unroll 4
            for (int i = 0; i < m; i += 3) {
                row[i / 3] += 4; // one float or one pair
                __asm__("" : "+r"(row[i / 3]));
            }
#pragma GCC unroll 2
            for (int j = 0; j < v; j++) b[j] += FS_PANEL * 4;
        }
    }
    const tile_end end = {.c = g->c,
                          .c_stride = g->c_stride,
                          .c_panel = g->c_panel,
                          .add = last ? g->add : NULL,
                          .add_stride = g->add_stride,
                          .relu = last && g->relu,
                          .c_float = !bf16 || g->c_float};
    tile_finish(&end, acc, NULL, m0, n, m, v);
}

#define FS_TILE_CASE(M)                                                                                                \
    case M: gemm_tile(g, pieces, count, b, panel_bytes, m0, n, M, v, bf16, first, last); break;

// Fewer rows than a tile has.
FS_INLINE void gemm_rows_rest(const fs_gemm *g, const gemm_piece *pieces, int count, const char *b,
                              ptrdiff_t panel_bytes, int m0, int rows, int n, const int v, bool bf16, bool first,
                              bool last) {
    switch (rows) {
        FS_TILE_CASE(1)
        FS_TILE_CASE(2)
        FS_TILE_CASE(3)
        FS_TILE_CASE(4)
        FS_TILE_CASE(5)
#if FS_TILE_M == 12
        FS_TILE_CASE(6)
        FS_TILE_CASE(7)
        FS_TILE_CASE(8)
        FS_TILE_CASE(9)
        FS_TILE_CASE(10)
        FS_TILE_CASE(11)
#endif
    default: break;
    }
}

// All rows of one tile's columns.
FS_INLINE void gemm_rows(const fs_gemm *g, const gemm_piece *pieces, int count, const char *b, ptrdiff_t panel_bytes,
                         int m0, int m_end, int n, const int v, bool bf16, bool first, bool last) {
    // A tile of one to three pixels would wait for its own sums: the last two tiles share such a rest.
    for (; m_end - m0 >= FS_TILE_M + 4 || m_end - m0 == FS_TILE_M; m0 += FS_TILE_M)
        gemm_tile(g, pieces, count, b, panel_bytes, m0, n, FS_TILE_M, v, bf16, first, last);
    if (m_end - m0 > FS_TILE_M) {
        gemm_rows_rest(g, pieces, count, b, panel_bytes, m0, (m_end - m0 + 1) / 2, n, v, bf16, first, last);
        m0 += (m_end - m0 + 1) / 2;
    }
    gemm_rows_rest(g, pieces, count, b, panel_bytes, m0, m_end - m0, n, v, bf16, first, last);
}

// One group of pieces for all pixels and channels: `b` is the group's place in panel 0.
FS_INLINE void gemm_group(const fs_gemm *g, const gemm_piece *pieces, int count, const char *b, ptrdiff_t panel_bytes,
                          bool bf16, bool first, bool last) {
    int k = 0;
    for (int p = 0; p < count; p++) k += pieces[p].k;
    // Pixels whose inputs stay in half an L1 cache while all panels pass by.
    int block = 16384 / (k * (bf16 ? 2 : 4)) / FS_TILE_M * FS_TILE_M;
    if (block < 2 * FS_TILE_M) block = 2 * FS_TILE_M;
    const int blocks = (g->m + block - 1) / block;
    block = ((g->m + blocks - 1) / blocks + FS_TILE_M - 1) / FS_TILE_M * FS_TILE_M;
    const int wide = FS_TILE_V * FS_LANES;
    for (int m0 = 0; m0 < g->m; m0 += block) {
        const int m_end = m0 + block < g->m ? m0 + block : g->m;
        int n = 0;
        for (; n + wide <= g->n; n += wide)
            gemm_rows(g, pieces, count, b + n / FS_PANEL * panel_bytes + n % FS_PANEL * 4, panel_bytes, m0, m_end, n,
                      FS_TILE_V, bf16, first, last);
        if (n < g->n) // only where a tile spans two panels and their number is odd
            gemm_rows(g, pieces, count, b + n / FS_PANEL * panel_bytes, panel_bytes, m0, m_end, n, 1, bf16, first,
                      last);
    }
}

static void gemm_f32(const fs_gemm *g) {
    gemm_piece pieces[FS_MAX_PIECES];
    int ends[FS_MAX_PIECES]; // last piece of each group, exclusive
    int count = 0, groups = 0, total = 0, in_group = 0;
    for (int s = 0; s < g->segments; s++) {
        const int k = g->segment[s].k;
        const int parts = (k + FS_PIECE - 1) / FS_PIECE;
        for (int i = 0; i < parts; i++) {
            const int begin = k * i / parts, end = k * (i + 1) / parts;
            if (in_group && in_group + end - begin > FS_PIECE + FS_PIECE / 4) ends[groups++] = count, in_group = 0;
            pieces[count++] = (gemm_piece){(const float *)g->segment[s].a + begin, g->segment[s].stride, end - begin};
            in_group += end - begin;
        }
        total += k;
    }
    ends[groups++] = count;
    const char *b = g->b;
    for (int i = 0, p = 0; i < groups; i++) {
        gemm_group(g, pieces + p, ends[i] - p, b, (ptrdiff_t)total * FS_PANEL * 4, false, i == 0, i == groups - 1);
        for (; p < ends[i]; p++) b += (ptrdiff_t)pieces[p].k * FS_PANEL * 4;
    }
}

static void gemm_bf16(const fs_gemm *g) {
    gemm_piece pieces[FS_GEMM_SEGMENTS];
    int total = 0;
    for (int s = 0; s < g->segments; s++) {
        pieces[s] = (gemm_piece){g->segment[s].a, g->segment[s].stride, g->segment[s].k};
        total += g->segment[s].k;
    }
    gemm_group(g, pieces, g->segments, g->b, (ptrdiff_t)total * FS_PANEL * 2, true, true, true);
}
