// Pins the emulated matrix instructions to the PTX ISA, element by element. The functions that say where an element
// lives are the ISA's formulas, written from its text and not from the emulation: an error of one cannot hide in the
// other, and two errors in ldmatrix and mma cannot cancel.
#include <cmath>
#include <vector>

#include "cuda/kernels/ptx.cuh"
#include "tests/simt/expect.h"

namespace {

struct Element {
    int row, column;
};

// PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type". groupID = %laneid >> 2, threadID_in_group =
// %laneid % 4. Multiplicand A, .f16: four .f16x2 registers with a0 .. a7 (low to high):
// row = groupID for ai where 0 <= i < 2 || 4 <= i < 6, groupID + 8 otherwise;
// col = (threadID_in_group * 2) + (i & 0x1) for ai where i < 4, the same + 8 for i >= 4.
Element of_a(int lane, int i) {
    const int group = lane >> 2, thread = lane % 4;
    const bool upper = (0 <= i && i < 2) || (4 <= i && i < 6);
    return {upper ? group : group + 8, i < 4 ? thread * 2 + (i & 1) : thread * 2 + (i & 1) + 8};
}
// Multiplicand B, .f16: two .f16x2 registers with b0 .. b3:
// row = (threadID_in_group * 2) + (i & 0x1) for bi where i < 2, the same + 8 for i >= 2; col = groupID.
Element of_b(int lane, int i) {
    const int group = lane >> 2, thread = lane % 4;
    return {i < 2 ? thread * 2 + (i & 1) : thread * 2 + (i & 1) + 8, group};
}
// Accumulators C and D, .f32: c0 .. c3: row = groupID for ci where i < 2, groupID + 8 for i >= 2;
// col = (threadID_in_group * 2) + (i & 0x1).
Element of_c(int lane, int i) {
    const int group = lane >> 2, thread = lane % 4;
    return {i < 2 ? group : group + 8, thread * 2 + (i & 1)};
}

// ---- mma
// ---------------------------------------------------------------------------------------------------------------

struct mma_params {
    const uint32_t *a, *b; // [32][4], [32][2]: registers by lane
    float *d;              // [32][4], in and out
};
FS_KERNEL(32, 1) multiply(const FS_PARAM mma_params p) {
    float d[4];
    for (int i = 0; i < 4; i++) d[i] = p.d[threadIdx.x * 4 + i];
    fs_mma_m16n8k16(d, p.a + threadIdx.x * 4, p.b + threadIdx.x * 2);
    for (int i = 0; i < 4; i++) p.d[threadIdx.x * 4 + i] = d[i];
}

struct Matrices {
    uint16_t a[16][16] = {}, b[16][8] = {}; // bits of halves
    float d[16][8] = {};

    void multiply_add() {
        uint16_t a_registers[32][8], b_registers[32][4];
        float d_registers[32][4];
        for (int lane = 0; lane < 32; lane++) {
            for (int i = 0; i < 8; i++) a_registers[lane][i] = a[of_a(lane, i).row][of_a(lane, i).column];
            for (int i = 0; i < 4; i++) b_registers[lane][i] = b[of_b(lane, i).row][of_b(lane, i).column];
            for (int i = 0; i < 4; i++) d_registers[lane][i] = d[of_c(lane, i).row][of_c(lane, i).column];
        }
        uint32_t a_words[32][4], b_words[32][2];
        memcpy(a_words, a_registers, sizeof a_words); // the lower element in the lower half
        memcpy(b_words, b_registers, sizeof b_words);
        expect_launch(FS_ENTRY((multiply)), 1, 32, 0, mma_params{a_words[0], b_words[0], d_registers[0]});
        for (int lane = 0; lane < 32; lane++)
            for (int i = 0; i < 4; i++) d[of_c(lane, i).row][of_c(lane, i).column] = d_registers[lane][i];
    }
};

uint16_t half_bits(float x) {
    return __half_as_ushort(__float2half_rn(x));
}

// Every product of one element of A and one of B must land in its element of D and nowhere else.
void one_element_at_a_time() {
    for (int row = 0; row < 16; row++)
        for (int k = 0; k < 16; k++) {
            Matrices m;
            m.a[row][k] = half_bits(1);
            for (int i = 0; i < 16; i++)
                for (int column = 0; column < 8; column++)
                    m.b[i][column] = half_bits(static_cast<float>(1 + i * 8 + column)), m.d[i][column] = 0.5f;
            m.multiply_add();
            for (int i = 0; i < 16; i++)
                for (int column = 0; column < 8; column++) {
                    const float expected = 0.5f + (i == row ? static_cast<float>(1 + k * 8 + column) : 0.0f);
                    EXPECT(m.d[i][column] == expected, "a[%d][%d]: d[%d][%d] is %g, not %g", row, k, i, column,
                           static_cast<double>(m.d[i][column]), static_cast<double>(expected));
                }
        }
    for (int k = 0; k < 16; k++)
        for (int column = 0; column < 8; column++) {
            Matrices m;
            m.b[k][column] = half_bits(1);
            for (int row = 0; row < 16; row++)
                for (int i = 0; i < 16; i++) m.a[row][i] = half_bits(static_cast<float>(1 + row * 16 + i));
            m.multiply_add();
            for (int row = 0; row < 16; row++)
                for (int i = 0; i < 8; i++) {
                    const float expected = i == column ? static_cast<float>(1 + row * 16 + k) : 0.0f;
                    EXPECT(m.d[row][i] == expected, "b[%d][%d]: d[%d][%d] is %g, not %g", k, column, row, i,
                           static_cast<double>(m.d[row][i]), static_cast<double>(expected));
                }
        }
}

// Every half, subnormals, infinities and NaNs among them, goes through a multiplication by one.
void every_half() {
    for (uint32_t first = 0; first < 0x10000; first += 16) {
        Matrices m;
        m.b[0][3] = half_bits(1);
        for (uint32_t row = 0; row < 16; row++) m.a[row][0] = static_cast<uint16_t>(first + row);
        m.multiply_add();
        for (uint32_t row = 0; row < 16; row++) {
            const float expected = __half2float(__ushort_as_half(static_cast<uint16_t>(first + row)));
            const float got = m.d[row][3];
            EXPECT(got == expected || (std::isnan(got) && std::isnan(expected)), "0x%04x gives %g, not %g", first + row,
                   static_cast<double>(got), static_cast<double>(expected));
        }
    }
}

// ---- ldmatrix
// ------------------------------------------------------------------------------------------------------------

struct ldmatrix_params {
    const uint16_t *from; // [64][8]: 16-byte rows
    const int *row;       // [32]: the row whose address a lane gives
    uint32_t *r;          // [32][4]
};
template <int matrices> FS_KERNEL(32, 1) load(const FS_PARAM ldmatrix_params p) {
    FS_SHARED(uint16_t, rows, [64][8]);
    for (int i = static_cast<int>(threadIdx.x); i < 64 * 8; i += 32) rows[i / 8][i % 8] = p.from[i];
    __syncthreads();
    if (matrices == 4)
        fs_ldmatrix_x4(p.r + threadIdx.x * 4, rows[p.row[threadIdx.x]]);
    else
        fs_ldmatrix_x2(p.r + threadIdx.x * 4, rows[p.row[threadIdx.x]]);
}

// PTX ISA, "Warp-level matrix load instruction: ldmatrix". Addresses: .x2: threads 0-7 give the rows of the first
// matrix, 8-15 of the second; .x4: 16-23 of the third, 24-31 of the fourth. Fragments of m8n8.b16: thread 0 receives
// the first two elements of row 0 in each register, thread 1 the next two, ... thread 4 those of row 1, ... thread 31
// the last two of row 7.
template <int matrices> void loads() {
    std::vector<uint16_t> rows(64 * 8);
    for (size_t i = 0; i < rows.size(); i++) rows[i] = static_cast<uint16_t>(i * 37 + 5); // all distinct
    for (int stride = 1; stride < 64; stride += 2) {
        int row[32];
        uint32_t r[32][4] = {};
        for (int lane = 0; lane < 32; lane++) row[lane] = (lane * stride + 11) % 64;
        expect_launch(FS_ENTRY((load<matrices>)), 1, 32, 0, ldmatrix_params{rows.data(), row, r[0]});
        for (int lane = 0; lane < 32; lane++)
            for (int matrix = 0; matrix < matrices; matrix++) {
                const int address_from = matrix * 8 + lane / 4, element = lane % 4 * 2;
                const uint16_t *source = &rows[static_cast<size_t>(row[address_from] * 8 + element)];
                const uint32_t expected = source[0] | static_cast<uint32_t>(source[1]) << 16;
                EXPECT(r[lane][matrix] == expected, "x%d, lane %d, register %d: 0x%08x, not 0x%08x", matrices, lane,
                       matrix, r[lane][matrix], expected);
            }
    }
}

} // namespace

int main() {
    one_element_at_a_time();
    every_half();
    loads<4>();
    loads<2>();
    printf("fragments: %d failures\n", expect_failures);
    return expect_failures != 0;
}
