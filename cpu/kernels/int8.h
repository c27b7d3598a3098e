// Products of bytes: pixel rows of u8 with packed weights of s8, and the rows that become u8 for them. The tiling is
// that of gemm.h.
//
// Sums are integers, so their order is free; what follows is rounded after each operation and never fused, so that
// every instruction set and cpu/reference/int8.c give the same bits.

// `m` pixels by `v` vectors (constants after inlining), channels n.. of the panels that `b_tile` begins.
FS_INLINE void u8_tile(const fs_gemm_u8 *g, const char *b_tile, ptrdiff_t panel_bytes, int m0, int n, const int m,
                       const int v) {
    vi acc[FS_TILE_M][FS_TILE_V];
#pragma GCC unroll 2
    for (int j = 0; j < v; j++) {
        const vi start = vi_load(g->start + n + j * FS_LANES);
#pragma GCC unroll 12
        for (int i = 0; i < m; i++) acc[i][j] = start;
    }
    const char *b[FS_TILE_V];
#pragma GCC unroll 2
    for (int j = 0; j < v; j++) b[j] = b_tile + (j * FS_LANES / FS_PANEL) * panel_bytes + (j * FS_LANES % FS_PANEL) * 4;
    for (int p = 0; p < g->segments; p++) {
        if (p && p == g->coarse)
#pragma GCC unroll 12
            for (int i = 0; i < m; i++)
#pragma GCC unroll 2
                for (int j = 0; j < v; j++) acc[i][j] = vi_times128(acc[i][j]);
        const ptrdiff_t step = g->segment[p].stride;
        const uint8_t *row[(FS_TILE_M + 2) / 3];
#pragma GCC unroll 4
        for (int i = 0; i < m; i += 3) row[i / 3] = g->segment[p].a + (m0 + i) * step;
        for (int k = g->segment[p].k; k > 0; k -= 4) {
            vi w[FS_TILE_V];
#pragma GCC unroll 2
            for (int j = 0; j < v; j++) w[j] = vi_load(b[j]);
#pragma GCC unroll 12
            for (int i = 0; i < m; i++) {
                const uint8_t *a = row[i / 3] + i % 3 * step;
#pragma GCC unroll 2
                for (int j = 0; j < v; j++) acc[i][j] = vi_dot_u8(acc[i][j], a, w[j]);
            }
#pragma GCC unroll 4
            for (int i = 0; i < m; i += 3) {
                row[i / 3] += 4;
                __asm__("" : "+r"(row[i / 3]));
            }
#pragma GCC unroll 2
            for (int j = 0; j < v; j++) b[j] += FS_PANEL * 4;
        }
    }
    const tile_end end = {.scale = g->scale,
                          .bias = g->bias,
                          .c = g->c,
                          .c_stride = g->c_stride,
                          .c_panel = g->c_panel,
                          .add = g->add,
                          .add_stride = g->add_stride,
                          .relu = g->relu,
                          .c_float = g->c_float};
    tile_finish(&end, NULL, acc, m0, n, m, v);
}

#define FS_U8_CASE(M)                                                                                                  \
    case M: u8_tile(g, b, panel_bytes, m0, n, M, v); break;

// Fewer rows than a tile has.
FS_INLINE void u8_rows_rest(const fs_gemm_u8 *g, const char *b, ptrdiff_t panel_bytes, int m0, int rows, int n,
                            const int v) {
    switch (rows) {
        FS_U8_CASE(1)
        FS_U8_CASE(2)
        FS_U8_CASE(3)
        FS_U8_CASE(4)
        FS_U8_CASE(5)
#if FS_TILE_M == 12
        FS_U8_CASE(6)
        FS_U8_CASE(7)
        FS_U8_CASE(8)
        FS_U8_CASE(9)
        FS_U8_CASE(10)
        FS_U8_CASE(11)
#endif
    default: break;
    }
}

FS_INLINE void u8_rows(const fs_gemm_u8 *g, const char *b, ptrdiff_t panel_bytes, int m0, int m_end, int n,
                       const int v) {
    for (; m_end - m0 >= FS_TILE_M + 4 || m_end - m0 == FS_TILE_M; m0 += FS_TILE_M)
        u8_tile(g, b, panel_bytes, m0, n, FS_TILE_M, v);
    if (m_end - m0 > FS_TILE_M) {
        u8_rows_rest(g, b, panel_bytes, m0, (m_end - m0 + 1) / 2, n, v);
        m0 += (m_end - m0 + 1) / 2;
    }
    u8_rows_rest(g, b, panel_bytes, m0, m_end - m0, n, v);
}

static void gemm_u8(const fs_gemm_u8 *g) {
    int k = 0;
    for (int p = 0; p < g->segments; p++) k += g->segment[p].k;
    const ptrdiff_t panel_bytes = (ptrdiff_t)k * FS_PANEL;
    const char *b = (const char *)g->b;
    // Pixels whose inputs stay in half an L1 cache while all panels pass by.
    int block = 16384 / k / FS_TILE_M * FS_TILE_M;
    if (block < 2 * FS_TILE_M) block = 2 * FS_TILE_M;
    const int blocks = (g->m + block - 1) / block;
    block = ((g->m + blocks - 1) / blocks + FS_TILE_M - 1) / FS_TILE_M * FS_TILE_M;
    const int wide = FS_TILE_V * FS_LANES;
    for (int m0 = 0; m0 < g->m; m0 += block) {
        const int m_end = m0 + block < g->m ? m0 + block : g->m;
        int n = 0;
        for (; n + wide <= g->n; n += wide)
            u8_rows(g, b + n / FS_PANEL * panel_bytes + n % FS_PANEL * 4, panel_bytes, m0, m_end, n, FS_TILE_V);
        if (n < g->n) // only where a tile spans two panels and their number is odd
            u8_rows(g, b + n / FS_PANEL * panel_bytes, panel_bytes, m0, m_end, n, 1);
    }
}

static void u8_from_f32(const float *in, fs_to_u8 how, uint8_t *out, size_t count) {
    const quantiser q = quantiser_make(how.inverse, how.zero, false);
    for (size_t i = 0; i < count; i += FS_LANES) quantiser_store(&q, out + i, vf_load(in + i));
}

static void u8_from_bf16(const uint16_t *in, fs_to_u8 how, uint8_t *out, size_t count) {
    const quantiser q = quantiser_make(how.inverse, how.zero, false);
    for (size_t i = 0; i < count; i += FS_LANES) quantiser_store(&q, out + i, vf_load_bf16(in + i));
}
