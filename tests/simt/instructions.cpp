// Emulated matrix instructions: lanes bring registers, the last to arrive computes for the warp.
#include "tests/simt/instructions.h"

#include <cstring>

#include "tests/simt/arena.h"
#include "tests/simt/block.h"
#include "tests/simt/observe.h"
#include "tests/simt/place.h"

namespace simt {
namespace {

// Exact, without tables or branches that would stop vectorisation: exponent and mantissa move into place, then a
// multiplication by 2^112 corrects the bias, subnormals included.
float from_half(uint16_t h) {
    const uint32_t sign = (h & 0x8000u) << 16, rest = (h & 0x7fffu) << 13;
    float x;
    memcpy(&x, &rest, sizeof x);
    x *= 0x1p112f;
    uint32_t bits;
    memcpy(&bits, &x, sizeof x);
    bits = rest >= 0x0f800000 ? rest | 0x70000000 : bits; // infinity, NaN: all ones in the exponent
    bits |= sign;
    memcpy(&x, &bits, sizeof x);
    return x;
}

struct Multiply {
    float *d;
    const uint32_t *a, *b;
};

[[gnu::always_inline]] inline void multiply(void *const all[lanes]) {
    uint16_t halves[16 * 16 + 16 * 8]; // [row][k], [k][column]
    uint16_t *const a = halves, *const b = halves + 16 * 16;
    float sum[16][8], floats[16 * 16 + 16 * 8];
    for (int lane = 0; lane < lanes; lane++) {
        const auto *regs = static_cast<const Multiply *>(all[lane]);
        const int group = lane / 4, thread = lane % 4;
        for (int i = 0; i < 4; i++) {
            memcpy(&a[(group + i % 2 * 8) * 16 + thread * 2 + i / 2 * 8], &regs->a[i], 4);
            sum[group + i / 2 * 8][thread * 2 + i % 2] = regs->d[i];
        }
        for (int i = 0; i < 2; i++)
            for (int part = 0; part < 2; part++)
                b[(thread * 2 + part + i * 8) * 8 + group] = static_cast<uint16_t>(regs->b[i] >> (16 * part));
    }
    for (int i = 0; i < 16 * 16 + 16 * 8; i++) floats[i] = from_half(halves[i]);
    for (int row = 0; row < 16; row++)
        for (int k = 0; k < 16; k++)
            for (int column = 0; column < 8; column++)
                sum[row][column] += floats[row * 16 + k] * floats[16 * 16 + k * 8 + column];
    for (int lane = 0; lane < lanes; lane++)
        for (int i = 0; i < 4; i++)
            static_cast<const Multiply *>(all[lane])->d[i] = sum[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
}

// The same operations in the same order, so the same bits.
void multiply_plain(void *const all[lanes]) {
    multiply(all);
}
[[gnu::target("avx2")]] void multiply_avx2(void *const all[lanes]) {
    multiply(all);
}

struct Load {
    const void *row;
    uint32_t *r;
};

// Matrix m has its row addresses from lanes 8 m .. 8 m + 7.
template <int matrices> void load(void *const all[lanes]) {
    for (int lane = 0; lane < lanes; lane++)
        for (int m = 0; m < matrices; m++) {
            const auto *row = static_cast<const unsigned char *>(static_cast<const Load *>(all[m * 8 + lane / 4])->row);
            memcpy(&static_cast<const Load *>(all[lane])->r[m], row + lane % 4 * 4, 4);
        }
}

void check_row(const char *name, const void *row, const Site &site) {
    if (reinterpret_cast<uintptr_t>(row) % 16)
        fault("%s at %s: address %p is not 16-byte aligned", name, site_text(site).text, row);
    if (!arena_holds(row)) fault("%s at %s: address %p is not shared memory", name, site_text(site).text, row);
    const Place place = arena_place(row, 16);
    if (!place.inside)
        fault("%s at %s: shared memory out of bounds: 16 bytes at %s + %td", name, site_text(site).text, place.array,
              place.offset);
    observe_read(row, 16, site.caller);
}

} // namespace

void mma_m16n8k16(float d[4], const uint32_t a[4], const uint32_t b[2]) {
    static const Collective what = {"mma.m16n8k16", __builtin_cpu_supports("avx2") ? multiply_avx2 : multiply_plain};
    Multiply lane = {d, a, b};
    meet(what, 0xffffffff, &lane, {nullptr, 0, __builtin_return_address(0)});
}

void ldmatrix_x4(uint32_t r[4], const void *row) {
    static const Collective what = {"ldmatrix.x4", load<4>};
    const Site site = {nullptr, 0, __builtin_return_address(0)};
    check_row(what.name, row, site);
    Load lane = {row, r};
    meet(what, 0xffffffff, &lane, site);
}

void ldmatrix_x2(uint32_t r[2], const void *row) {
    static const Collective what = {"ldmatrix.x2", load<2>};
    const Site site = {nullptr, 0, __builtin_return_address(0)};
    if (lane_index() < 16) check_row(what.name, row, site); // the addresses of the others are not used
    Load lane = {row, r};
    meet(what, 0xffffffff, &lane, site);
}

} // namespace simt
