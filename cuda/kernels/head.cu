// The head: labels from the 1/8-size logits, bilinear and argmax in one pass.
//
// Full-size logits (160 MB) never exist. A cell is the area between four neighbouring grid points; each of its pixels
// is a convex mix of its corners. Where one class wins at all four corners it wins the cell: fill it. Elsewhere a class
// is dropped only if one same class is at least as high at all four corners (a class beaten by different rivals may win
// in the middle), and the survivors are evaluated at every pixel. Rule and arithmetic are those of cpu/head.c, bit for
// bit.
//
// A block takes 32 cells of one grid row: the winner at its 2 x 33 grid points, a thread each; then every warp knows by
// one ballot which cells are mixed. The labels are put together in a tile in shared memory (words for the uniform
// cells; mixed cells by a warp each, a lane per class to choose the survivors, then two pixels per lane), so that they
// leave in 16-byte stores whatever the cell borders, which lie at 8 n + 4, or at varying distances when corners are
// aligned. At 1024x2048, 19 classes: 1024 blocks, 6.3 MB read (each grid row twice, from L2), 2.1 MB written; a mixed
// cell with three survivors takes about 150 warp instructions, the argmax of the grid points 2 MFLOP.
#include "cuda/kernels/device.cuh"
#include "cuda/kernels/ptx.cuh"

namespace {

constexpr int THREADS = 128, WARPS = THREADS / 32;
constexpr int CELLS = 32;    // of a block
constexpr int ROWS = 16;     // of the tile; taller cells take several rounds
constexpr int COLUMNS = 320; // of the tile: 32 cells of 8 pixels and the strip of 4 that belongs to the first cell
constexpr int PITCH = COLUMNS + 16; // columns are shifted so that 16-byte groups lie as they do in the frame

// A surviving class of a cell: its upper corners and what must be added to them at the bottom.
struct Candidate {
    float left, right, left_rise, right_rise;
};

// Shared memory of a warp's list: classes candidates, then classes labels, in 16-byte units.
__host__ __device__ constexpr int list_bytes(int classes) {
    return classes * static_cast<int>(sizeof(Candidate)) + (classes * 4 + 15) / 16 * 16;
}

FS_DEVICE const float *grid_point(const fs_map &map, int y, int x) {
    y = y < map.h ? y : map.h - 1;
    x = x < map.w ? x : map.w - 1;
    return static_cast<const float *>(map.data) + (static_cast<long long>(y) * map.w + x) * map.pitch;
}

// As the CPU does it: a NaN never wins, except that class 0 is not challenged when it is one.
FS_DEVICE int winner_of(const float *v, int classes) {
    float best = __ldg(v);
    int index = 0;
#pragma unroll 4
    for (int k = 0; k < classes; k += 4) {
        const float4 four = __ldg(reinterpret_cast<const float4 *>(v + k)); // padding reaches the next multiple of 8
        if (four.x > best) best = four.x, index = k;
        if (k + 1 < classes && four.y > best) best = four.y, index = k + 1;
        if (k + 2 < classes && four.z > best) best = four.z, index = k + 2;
        if (k + 3 < classes && four.w > best) best = four.w, index = k + 3;
    }
    return index;
}

FS_DEVICE Candidate candidate(float left, float right, float bottom_left, float bottom_right) {
    return {left, right, __fsub_rn(bottom_left, left), __fsub_rn(bottom_right, right)};
}

// One warp: the classes of a cell that can win somewhere in it, lowest first; returns how many.
template <bool SHORTCUT>
FS_DEVICE int choose(const fs_map &map, int i, int j, int lane, Candidate *list, int *label, const uint8_t *table) {
    const float *a = grid_point(map, i, j), *b = grid_point(map, i, j + 1);
    const float *c = grid_point(map, i + 1, j), *d = grid_point(map, i + 1, j + 1);
    int strong = 0;
    float strong_a = 0.0f, strong_b = 0.0f, strong_c = 0.0f, strong_d = 0.0f;
    if (SHORTCUT) {
        // The class with the highest lowest corner dominates most of the rest.
        float high = -3.4e38f;
        for (int k = lane; k < map.c; k += 32) {
            float low = __ldg(a + k);
            const float vb = __ldg(b + k), vc = __ldg(c + k), vd = __ldg(d + k);
            if (vb < low) low = vb;
            if (vc < low) low = vc;
            if (vd < low) low = vd;
            if (low > high) high = low, strong = k;
        }
        for (int step = 16; step > 0; step /= 2) {
            const float other = __shfl_xor_sync(0xFFFFFFFFu, high, step);
            const int k = __shfl_xor_sync(0xFFFFFFFFu, strong, step);
            if (other > high || (other == high && k < strong)) high = other, strong = k;
        }
        strong_a = __ldg(a + strong), strong_b = __ldg(b + strong);
        strong_c = __ldg(c + strong), strong_d = __ldg(d + strong);
    }
    int kept = 0;
    for (int first = 0; first < map.c; first += 32) {
        const int k = first + lane;
        bool keep = k < map.c;
        float va = 0.0f, vb = 0.0f, vc = 0.0f, vd = 0.0f;
        if (keep) {
            va = __ldg(a + k), vb = __ldg(b + k), vc = __ldg(c + k), vd = __ldg(d + k);
            if (SHORTCUT && k < strong) keep = !(va < strong_a && vb < strong_b && vc < strong_c && vd < strong_d);
            if (SHORTCUT && k > strong) keep = !(va <= strong_a && vb <= strong_b && vc <= strong_c && vd <= strong_d);
        }
        const unsigned mask = __ballot_sync(0xFFFFFFFFu, keep);
        if (keep) {
            const int at = kept + __popc(mask & ((1u << lane) - 1u));
            list[at] = candidate(va, vb, vc, vd);
            label[at] = table ? __ldg(table + k) : k;
        }
        kept += __popc(mask);
    }
    return kept;
}

// One warp: labels of rows x columns pixels of a mixed cell, from output row y and column x on, into the tile.
FS_DEVICE void fill_mixed(const fs_head_params &p, int y, int x, int rows, int columns, int lane, int kept,
                          const Candidate *list, const int *label, uint8_t *tile) {
    for (int r = lane / 4; r < rows; r += 8) {
        const float fy = __ldg(&p.tap_y[y + r].fraction);
        for (int q = lane % 4 * 2; q < columns; q += 8) {
            const bool second = q + 1 < columns;
            const float fx0 = __ldg(&p.tap_x[x + q].fraction);
            const float fx1 = second ? __ldg(&p.tap_x[x + q + 1].fraction) : 0.0f;
            float best0 = 0.0f, best1 = 0.0f;
            int index0 = label[0], index1 = index0;
            for (int n = 0; n < kept; n++) {
                const Candidate e = list[n];
                const int id = label[n];
                const float left = __fadd_rn(e.left, __fmul_rn(e.left_rise, fy));
                const float right = __fadd_rn(e.right, __fmul_rn(e.right_rise, fy));
                const float along = __fsub_rn(right, left);
                const float value0 = __fmaf_rn(along, fx0, left), value1 = __fmaf_rn(along, fx1, left);
                if (n == 0 || value0 > best0) best0 = value0, index0 = id;
                if (n == 0 || value1 > best1) best1 = value1, index1 = id;
            }
            uint8_t *out = tile + r * PITCH + q;
            out[0] = static_cast<uint8_t>(index0);
            if (second) out[1] = static_cast<uint8_t>(index1);
        }
    }
}

// One warp: columns lead .. lead + count - 1 of a tile row to out[lead] .. ; out and the tile are aligned to `unit`.
FS_DEVICE void store_row(uint8_t *out, const uint8_t *tile, int lead, int count, int unit, int lane) {
    const int end = lead + count;
    for (int q = lane * unit; q < end; q += 32 * unit) {
        if (unit == 16 && q >= lead && q + 16 <= end) {
            *reinterpret_cast<uint4 *>(out + q) = *reinterpret_cast<const uint4 *>(tile + q);
            continue;
        }
        for (int at = q; at < q + unit && at < end;) {
            if (unit >= 4 && at >= lead && at + 4 <= end) {
                *reinterpret_cast<uint32_t *>(out + at) = *reinterpret_cast<const uint32_t *>(tile + at);
                at += 4;
            } else {
                // The rest of a word that is partly outside.
                const int next = unit >= 4 ? at + 4 : at + 1;
                for (; at < next; at++)
                    if (at >= lead && at < end) out[at] = tile[at];
            }
        }
    }
}

template <bool SHORTCUT> FS_KERNEL(THREADS, 8) head_labels(const FS_PARAM fs_head_params p) {
    fs_dependency_wait();
    fs_dependency_release();
    FS_SHARED(uint8_t, tile, [ROWS * PITCH]);
    FS_SHARED(int, winner, [2 * (CELLS + 1)]);
    FS_SHARED_DYNAMIC(unsigned char, lists);
    const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
    const int i = blockIdx.y, j0 = static_cast<int>(blockIdx.x) * CELLS;
    const int cells = p.logits.w - j0 < CELLS ? p.logits.w - j0 : CELLS;
    const int top = p.first_y[i], bottom = p.first_y[i + 1];
    const int begin = p.first_x[j0], end = p.first_x[j0 + cells];
    if (top >= bottom || begin >= end) return; // the whole block

    Candidate *list = reinterpret_cast<Candidate *>(lists + warp * list_bytes(p.logits.c));
    int *label = reinterpret_cast<int *>(list + p.logits.c);
    unsigned mixed = cells == 32 ? 0xFFFFFFFFu : (1u << cells) - 1u;
    if (SHORTCUT) {
        for (int n = thread; n < 2 * (CELLS + 1); n += THREADS) {
            const int row = n / (CELLS + 1), column = n % (CELLS + 1);
            winner[n] = column <= cells ? winner_of(grid_point(p.logits, i + row, j0 + column), p.logits.c) : 0;
        }
        __syncthreads();
        const int *above = winner + lane, *below = above + CELLS + 1;
        const bool agree = above[0] == above[1] && above[0] == below[0] && above[0] == below[1];
        mixed &= ~__ballot_sync(0xFFFFFFFFu, agree);
    }

    const int unit = p.labels_stride % 16 == 0 ? 16 : p.labels_stride % 4 == 0 ? 4 : 1;
    for (int y = top; y < bottom; y += ROWS)
        for (int x = begin; x < end; x += COLUMNS) {
            const int rows = bottom - y < ROWS ? bottom - y : ROWS;
            const int columns = end - x < COLUMNS ? end - x : COLUMNS;
            uint8_t *out = p.labels + y * p.labels_stride + x;
            const int lead = static_cast<int>(reinterpret_cast<uintptr_t>(out) & static_cast<uintptr_t>(unit - 1));
            // Four columns a thread; what belongs to mixed cells is overwritten.
            if (SHORTCUT)
                for (int q = thread * 4; q < lead + columns; q += THREADS * 4) {
                    uint32_t word = 0;
#pragma unroll
                    for (int n = 0; n < 4; n++) {
                        const int column = q + n - lead;
                        if (column < 0 || column >= columns) continue;
                        const int value = winner[__ldg(&p.tap_x[x + column].lower) - j0];
                        word |= static_cast<uint32_t>(p.map ? __ldg(p.map + value) : value) << (8 * n);
                    }
                    for (int r = 0; r < rows; r++) *reinterpret_cast<uint32_t *>(tile + r * PITCH + q) = word;
                }
            __syncthreads();
            int turn = 0;
            for (unsigned left = mixed; left != 0; left &= left - 1, turn++) {
                if (turn % WARPS != warp) continue;
                const int j = j0 + __ffs(static_cast<int>(left)) - 1;
                const int from = p.first_x[j] > x ? p.first_x[j] : x;
                const int to = p.first_x[j + 1] < x + columns ? p.first_x[j + 1] : x + columns;
                if (from >= to) continue;
                const int kept = choose<SHORTCUT>(p.logits, i, j, lane, list, label, p.map);
                __syncwarp();
                fill_mixed(p, y, from, rows, to - from, lane, kept, list, label, tile + lead + from - x);
                __syncwarp();
            }
            __syncthreads();
            for (int r = warp; r < rows; r += WARPS)
                store_row(out + r * p.labels_stride - lead, tile + r * PITCH, lead, columns, unit, lane);
            __syncthreads();
        }
}

} // namespace

bool fs_launch_head_labels(const fs_head_params *p, int sm, int variant, fs_launch *launch) {
    (void)sm;
    if (variant < 0 || variant > 1) return false;
    const void *entry = variant == 0 ? FS_ENTRY((head_labels<true>)) : FS_ENTRY((head_labels<false>));
    fs_launch_fill(launch, entry, variant == 0 ? "head labels" : "head labels dense", fs_blocks(p->logits.w, CELLS),
                   static_cast<unsigned>(p->logits.h), 1, THREADS,
                   static_cast<unsigned>(WARPS * list_bytes(p->logits.c)), *p);
    return true;
}
