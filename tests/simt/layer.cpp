// The layer's own semantics: launches and their limits, indices, barriers that count, shuffles, votes, atomics, and the
// device functions that the CUDA headers do not give a host compiler.
#include <atomic>
#include <cmath>
#include <numeric>
#include <thread>
#include <vector>

#include "cuda/kernels/ptx.cuh"
#include "tests/simt/expect.h"

namespace {

struct int_params {
    int *out;
    int n;
};

// ---- launches
// ------------------------------------------------------------------------------------------------------------

FS_KERNEL(96, 1) count_visits(const FS_PARAM int_params p) {
    const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    p.out[block * blockDim.x + threadIdx.x] += p.n;
}

void every_thread_once() {
    const unsigned grids[][3] = {{1, 1, 1}, {7, 1, 1}, {5, 3, 2}, {1, 64, 1}, {2, 1, 9}};
    for (const auto &grid : grids)
        for (unsigned threads : {1u, 31u, 32u, 33u, 96u}) {
            std::vector<int> visits(grid[0] * grid[1] * grid[2] * threads);
            const int_params params = {visits.data(), 3};
            EXPECT(simt_launch(FS_ENTRY((count_visits)), grid, threads, 0, &params) == 0, "%s", simt_report());
            for (int count : visits) EXPECT(count == 3, "%d visits", count / 3);
        }
}

void launches_refused() {
    const void *entry = FS_ENTRY((count_visits));
    const uint64_t nothing[4] = {};
    EXPECT(simt_params_bytes(entry) == sizeof(int_params), "%zu", simt_params_bytes(entry));
    EXPECT(simt_params_bytes(nothing) == 0, "not a kernel");
    EXPECT(simt_params_bytes(nullptr) == 0, "not a kernel");

    const int_params params = {nullptr, 0};
    const unsigned one[3] = {1, 1, 1}, none[3] = {1, 0, 1}, tall[3] = {1, 65536, 1};
    EXPECT(simt_launch(nothing, one, 32, 0, &params) && strstr(simt_report(), "entry"), "%s", simt_report());
    EXPECT(simt_launch(entry, none, 32, 0, &params) && strstr(simt_report(), "grid"), "%s", simt_report());
    EXPECT(simt_launch(entry, tall, 32, 0, &params) && strstr(simt_report(), "grid"), "%s", simt_report());
    EXPECT(simt_launch(entry, one, 0, 0, &params) && strstr(simt_report(), "block"), "%s", simt_report());
    EXPECT(simt_launch(entry, one, 1025, 0, &params) && strstr(simt_report(), "block"), "%s", simt_report());
    EXPECT(simt_launch(entry, one, 32, 240000, &params) && strstr(simt_report(), "shared"), "%s", simt_report());
}

// ---- clusters
// ------------------------------------------------------------------------------------------------------------

// Every thread adds up what all blocks of its cluster have, in static and in dynamic memory.
FS_KERNEL(40, 1) add_cluster(const FS_PARAM int_params p) {
    FS_SHARED(float4, given, [40]);
    FS_SHARED_DYNAMIC(float4, more);
    const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    const auto value = static_cast<float>(block * 40 + threadIdx.x);
    given[threadIdx.x] = make_float4(value, 1, 2, 3), more[threadIdx.x] = make_float4(0, 0, 0, 2 * value);
    fs_cluster_arrive();
    fs_cluster_wait();
    float sum = 0;
    for (int rank = 0; rank < p.n; rank++)
        sum += fs_cluster_load(given + threadIdx.x, rank).x + fs_cluster_load(more + threadIdx.x, rank).w;
    fs_cluster_arrive();
    p.out[block * 40 + threadIdx.x] = static_cast<int>(sum) * 8 + fs_cluster_rank();
    fs_cluster_wait();
}

void clusters_share_memory() {
    for (unsigned cluster = 1; cluster <= 8; cluster++) {
        const unsigned grid[3] = {3 * cluster, 2, 2}, blocks = 12 * cluster;
        std::vector<int> out(blocks * 40);
        const int_params params = {out.data(), static_cast<int>(cluster)};
        EXPECT(simt_launch_clusters(FS_ENTRY((add_cluster)), grid, 40, 640, &params, cluster, 0) == 0, "%s",
               simt_report());
        for (unsigned b = 0; b < blocks; b++) {
            unsigned sum = 0; // 3 cluster divides a row of blocks, so a cluster begins at a multiple of its size
            for (unsigned i = 0; i < cluster; i++) sum += 3 * ((b - b % cluster + i) * 40 + 39);
            EXPECT(out[b * 40 + 39] == static_cast<int>(sum * 8 + b % cluster), "cluster of %u, block %u", cluster, b);
        }
    }
    const int_params params = {nullptr, 1};
    const unsigned nine[3] = {9, 1, 1};
    for (unsigned cluster : {0u, 2u, 9u})
        EXPECT(simt_launch_clusters(FS_ENTRY((add_cluster)), nine, 40, 640, &params, cluster, 0) &&
                   strstr(simt_report(), "clusters of"),
               "%s", simt_report());
}

// ---- order
// ------------------------------------------------------------------------------------------------------------

// Blocks have no order: the seed draws one.
FS_KERNEL(1, 1) note_order(const FS_PARAM int_params p) {
    p.out[blockIdx.x] = p.out[p.n]++;
}

void order_depends_on_seed() {
    int orders[2][65] = {};
    for (int i = 0; i < 2; i++) {
        simt_configure(static_cast<uint64_t>(i) + 10, SIMT_ROUND_ROBIN);
        expect_launch(FS_ENTRY((note_order)), 64, 1, 0, int_params{orders[i], 64});
        EXPECT(orders[i][64] == 64, "%d blocks", orders[i][64]);
    }
    EXPECT(memcmp(orders[0], orders[1], sizeof orders[0]), "two seeds gave one order");
}

FS_KERNEL(32, 1) too_much_static(const FS_PARAM int_params p) {
    FS_SHARED(int, big, [12289]); // 48 KB and 4 bytes
    p.out[0] = big[0];
}

void static_shared_is_limited() {
    int out = 0;
    const int_params params = {&out, 0};
    const unsigned grid[3] = {1, 1, 1};
    EXPECT(simt_launch(FS_ENTRY((too_much_static)), grid, 32, 0, &params) && strstr(simt_report(), "shared"), "%s",
           simt_report());
}

// Launches from several threads at once take turns.
void threads_take_turns() {
    std::atomic<int> wrong(0);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; t++)
        threads.emplace_back([&wrong, t] {
            for (int i = 0; i < 20; i++) {
                std::vector<int> visits(4 * 96);
                const int_params params = {visits.data(), t + 1};
                const unsigned grid[3] = {4, 1, 1};
                wrong += simt_launch(FS_ENTRY((count_visits)), grid, 96, 0, &params) != 0;
                for (int count : visits) wrong += count != t + 1;
            }
        });
    for (std::thread &thread : threads) thread.join();
    EXPECT(wrong == 0, "%d", wrong.load());
}

// ---- barriers, warps
// -------------------------------------------------------------------------------------------------------

FS_KERNEL(80, 1) block_votes(const FS_PARAM int_params p) {
    const int t = static_cast<int>(threadIdx.x);
    p.out[t * 3] = __syncthreads_count(t < p.n);
    p.out[t * 3 + 1] = __syncthreads_or(t < p.n);
    p.out[t * 3 + 2] = __syncthreads_and(t < p.n);
}

void barriers_count() {
    for (int n : {0, 1, 79, 80}) {
        int out[80][3];
        expect_launch(FS_ENTRY((block_votes)), 1, 80, 0, int_params{out[0], n});
        for (const auto &votes : out)
            EXPECT(votes[0] == n && votes[1] == (n > 0) && votes[2] == (n == 80), "%d: %d %d %d", n, votes[0], votes[1],
                   votes[2]);
    }
}

enum { SHUFFLES = 10 };
FS_KERNEL(32, 1) shuffles(const FS_PARAM int_params p) {
    const int lane = static_cast<int>(threadIdx.x);
    const unsigned all = 0xffffffff;
    int *out = p.out + lane * SHUFFLES;
    out[0] = __shfl_sync(all, lane * 10, 5);
    out[1] = __shfl_sync(all, lane * 10, 35, 8);
    out[2] = __shfl_up_sync(all, lane * 10, 3);
    out[3] = __shfl_down_sync(all, lane * 10, 3, 16);
    out[4] = __shfl_xor_sync(all, lane * 10, 9);
    out[5] = static_cast<int>(__shfl_xor_sync(all, lane * 1e10, 1) / 1e10);
    out[6] = static_cast<int>(__ballot_sync(all, lane % 3 == 0));
    out[7] = __any_sync(all, lane == 31) * 2 + __all_sync(all, lane < 31);
    const __half2 pair = __shfl_sync(all, __floats2half2_rn(static_cast<float>(lane), 0.5f), 31 - lane);
    out[8] = static_cast<int>(__low2float(pair) + 2 * __high2float(pair));
    out[9] = 0;
    if (lane >= 16) out[9] = __shfl_down_sync(0xffff0000, lane, 1) + __popc(__ballot_sync(0xffff0000, 1));
}

void shuffles_move_registers() {
    int out[32][SHUFFLES];
    expect_launch(FS_ENTRY((shuffles)), 1, 32, 0, int_params{out[0], 0});
    for (int lane = 0; lane < 32; lane++) {
        const int expected[SHUFFLES] = {50,
                                        (lane / 8 * 8 + 3) * 10,
                                        (lane < 3 ? lane : lane - 3) * 10,
                                        (lane % 16 + 3 > 15 ? lane : lane + 3) * 10,
                                        (lane ^ 9) * 10,
                                        lane ^ 1,
                                        0x49249249,
                                        2,
                                        31 - lane + 1,
                                        lane < 16 ? 0 : (lane == 31 ? 31 : lane + 1) + 16};
        for (int i = 0; i < SHUFFLES; i++)
            EXPECT(out[lane][i] == expected[i], "lane %d, case %d: %d, not %d", lane, i, out[lane][i], expected[i]);
    }
}

FS_KERNEL(64, 1) counters(const FS_PARAM int_params p) {
    FS_SHARED(int, count, [2]);
    if (threadIdx.x < 2) count[threadIdx.x] = 0;
    __syncthreads();
    atomicAdd(&count[0], static_cast<int>(threadIdx.x));
    atomicMax(&count[1], static_cast<int>(threadIdx.x * 3));
    __syncthreads();
    if (threadIdx.x == 0) atomicAdd(&p.out[0], count[0]), atomicAdd(&p.out[1], count[1]);
}

void atomics_add_up() {
    int out[2] = {};
    expect_launch(FS_ENTRY((counters)), 5, 64, 0, int_params{out, 0});
    EXPECT(out[0] == 5 * 63 * 32 && out[1] == 5 * 189, "%d %d", out[0], out[1]);
}

// ---- device functions
// ------------------------------------------------------------------------------------------------------

// Round-to-nearest-even of an exactly known x * y + z: through long double, whose 64 bits hold every such sum near the
// range of half exactly enough to be rounded once.
void half_fma_rounds_once() {
    uint32_t state = 1;
    int special = 0;
    for (int i = 0; i < 200000; i++) {
        uint16_t bits[3];
        for (uint16_t &b : bits) state = state * 1664525 + 1013904223, b = static_cast<uint16_t>(state >> 16);
        const __half x = __ushort_as_half(bits[0]), y = __ushort_as_half(bits[1]), z = __ushort_as_half(bits[2]);
        const float got = __half2float(__hfma(x, y, z));
        const long double exact = static_cast<long double>(__half2float(x)) * __half2float(y) + __half2float(z);
        if (std::isnan(exact) || std::isinf(exact)) {
            special++;
            EXPECT(std::isnan(got) == std::isnan(exact), "fma(%04x, %04x, %04x)", bits[0], bits[1], bits[2]);
            continue;
        }
        // No half is nearer, and none as near with an even mantissa.
        const uint16_t answer = __half_as_ushort(__float2half_rn(got));
        if (std::isinf(got)) {
            EXPECT(fabsl(exact) >= 65520.0L, "fma(%04x, %04x, %04x) overflows", bits[0], bits[1], bits[2]);
            continue;
        }
        const long double error = fabsl(got - exact);
        for (int step : {-1, 1}) {
            const float next = __half2float(__ushort_as_half(static_cast<uint16_t>(answer + step)));
            if (!std::isfinite(next) || (answer & 0x7fff) == 0) continue;
            const long double other = fabsl(next - exact);
            EXPECT(error < other || (error == other && answer % 2 == 0), "fma(%04x, %04x, %04x) gives %04x", bits[0],
                   bits[1], bits[2], answer);
        }
    }
    EXPECT(special > 0 && special < 100000, "%d", special);
    const __half minus = __float2half_rn(-2.0f), one = __float2half_rn(1.0f), nan = __ushort_as_half(0x7e00);
    EXPECT(__half_as_ushort(__hfma_relu(minus, one, one)) == 0, "relu of -1");
    EXPECT(__hisnan(__low2half(__hfma2_relu(__half2half2(nan), __half2half2(one), __half2half2(one)))), "relu of NaN");
}

void integers_and_conversions() {
    EXPECT(__byte_perm(0x33221100, 0x77665544, 0x7520) == 0x77552200, "0x%08x",
           __byte_perm(0x33221100, 0x77665544, 0x7520));
    EXPECT(__byte_perm(0x00008000, 0, 0x9990) == 0xffffff00, "sign bytes");
    EXPECT(__dp4a(0x01ff0203, 0x02030405, 10) == 10 + 2 - 3 + 8 + 15, "%d", __dp4a(0x01ff0203, 0x02030405, 10));
    EXPECT(__dp4a(0x01ff0203u, 0x02030405u, 10u) == 10 + 2 + 765 + 8 + 15, "unsigned");
    EXPECT(__clz(0) == 32 && __clz(1) == 31 && __clz(-1) == 0, "clz");
    EXPECT(__ffs(0) == 0 && __ffs(8) == 4 && __popc(0xf0f0f0f0) == 16 && __brev(1) == 0x80000000, "bits");
    EXPECT(__funnelshift_r(0x11223344, 0x55667788, 8) == 0x88112233, "funnel");
    EXPECT(__funnelshift_l(0x11223344, 0x55667788, 8) == 0x66778811, "funnel");
    EXPECT(__float2int_rn(2.5f) == 2 && __float2int_rn(-3.5f) == -4 && __float2int_rz(-3.9f) == -3, "to int");
    EXPECT(__float2int_rd(-3.1f) == -4 && __float2int_ru(3.1f) == 4, "to int");
    EXPECT(__float2int_rn(1e20f) == 2147483647 && __float2int_rn(NAN) == 0, "to int saturates");
    EXPECT(__float2uint_rn(-5.0f) == 0 && __float2uint_rz(1e20f) == 4294967295u, "to unsigned saturates");
    EXPECT(__float_as_int(1.0f) == 0x3f800000 && __int_as_float(0x3f800000) == 1.0f, "bits");
    EXPECT(__saturatef(NAN) == 0 && __saturatef(7) == 1 && __saturatef(0.25f) == 0.25f, "saturate");
    EXPECT(min(3, 5) == 3 && max(3u, 5u) == 5 && min(2.0f, NAN) == 2.0f && max(1LL << 40, 1) == 1LL << 40, "min, max");
    EXPECT(rsqrtf(4.0f) == 0.5f && __expf(0.0f) == 1.0f && __fdividef(1.0f, 4.0f) == 0.25f, "floats");
    EXPECT(__half2int_rn(__float2half_rn(2.5f)) == 2 && __half2float(hrcp(__float2half_rn(4.0f))) == 0.25f, "halves");
}

} // namespace

int main() {
    for (int schedule : {SIMT_ROUND_ROBIN, SIMT_SKEWED})
        for (uint64_t seed = 1; seed <= 4; seed++) {
            simt_configure(seed, schedule);
            every_thread_once();
            barriers_count();
            shuffles_move_registers();
            atomics_add_up();
            clusters_share_memory();
        }
    launches_refused();
    order_depends_on_seed();
    static_shared_is_limited();
    threads_take_turns();
    half_fma_rounds_once();
    integers_and_conversions();
    printf("layer: %d failures\n", expect_failures);
    return expect_failures != 0;
}
