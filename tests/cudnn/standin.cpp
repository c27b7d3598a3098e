// cuda/cudnn.c run from end to end on the stand-in for cuDNN: results, capture, refusals, and a fault at each call.
#include <cuda_runtime_api.h>
#include <cudnn_graph.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "tests/cuda/check.h"
#include "tests/cuda_sim/cudnn_standin.h"
#include "tests/cuda_sim/sim.h"

extern "C" {
#include "cuda/cudnn.h"
#include "runtime/base/mem.h"
}

namespace {

constexpr int MAX = 8;
constexpr size_t ROOM = 1 << 20; // workspace limit
const char *const device = "{\"deviceVer\": 900}";

fs_cudnn *cudnn;

fs_cudnn_conv make_conv(int h, int w, int c, int n, int kernel, int stride, int dilation, bool residual, bool relu) {
    fs_cudnn_conv conv{};
    const int pad = dilation * (kernel / 2), reach = dilation * (kernel - 1) + 1;
    conv.h = h, conv.w = w, conv.c = c, conv.c_pitch = c, conv.n = n, conv.n_pitch = n;
    conv.oh = (h + 2 * pad - reach) / stride + 1, conv.ow = (w + 2 * pad - reach) / stride + 1;
    conv.kernel = kernel, conv.stride = stride, conv.dilation = dilation;
    conv.pad_top = conv.pad_left = conv.pad_bottom = conv.pad_right = pad;
    conv.residual = residual, conv.relu = relu;
    return conv;
}

// ---- Data of a convolution, and what it has to give -----------------------------------------------------------------

std::vector<uint16_t> random_halves(size_t count, check::Random &random) {
    std::vector<uint16_t> values(count);
    for (uint16_t &v : values) v = check::to_half(random.uniform(-1, 1));
    return values;
}

struct Case {
    fs_cudnn_conv conv;
    std::vector<uint16_t> x, w, bias, z;
    check::Buffer dx, dw, dbias, dz, dy, workspace;

    Case(const fs_cudnn_conv &c, check::Random random)
        : conv(c), x(random_halves(size_t(c.h) * c.w * c.c_pitch, random)),
          w(random_halves(size_t(c.n) * c.kernel * c.kernel * c.c, random)), bias(random_halves(size_t(c.n), random)),
          z(random_halves(size_t(c.oh) * c.ow * c.n_pitch, random)), dx(check::of(x)), dw(check::of(w)),
          dbias(check::of(bias)), dz(check::of(z)), dy(z.size() * 2), workspace(ROOM) {}
    Case(const fs_cudnn_conv &c, uint64_t seed) : Case(c, check::Random(seed)) {}

    fs_status bind(fs_cudnn_plan *plan, void *y) const {
        const size_t wanted = fs_cudnn_plan_workspace(plan);
        return fs_cudnn_bind(plan, dx.data, dw.data, dbias.data, conv.residual ? dz.data : nullptr, y,
                             wanted ? workspace.data : nullptr);
    }

    double expected(int row, int column, int n) const {
        double sum = 0;
        for (int ky = 0; ky < conv.kernel; ky++)
            for (int kx = 0; kx < conv.kernel; kx++) {
                const int sy = row * conv.stride - conv.pad_top + ky * conv.dilation;
                const int sx = column * conv.stride - conv.pad_left + kx * conv.dilation;
                if (sy < 0 || sx < 0 || sy >= conv.h || sx >= conv.w) continue;
                for (int c = 0; c < conv.c; c++)
                    sum += double(check::from_half(x[(size_t(sy) * conv.w + sx) * conv.c_pitch + c])) *
                           check::from_half(w[((size_t(n) * conv.kernel + ky) * conv.kernel + kx) * conv.c + c]);
            }
        if (conv.residual) sum += check::from_half(z[(size_t(row) * conv.ow + column) * conv.n_pitch + n]);
        sum += check::from_half(bias[n]);
        return conv.relu && sum < 0 ? 0 : sum;
    }

    // Float sums, and one rounding to half: 2^-11 of the value, and a little for the sums' own rounding.
    void check_output(const check::Buffer &y, const char *plan) const {
        const std::vector<uint16_t> got = check::get<uint16_t>(y, z.size());
        for (int row = 0; row < conv.oh; row++)
            for (int column = 0; column < conv.ow; column++)
                for (int n = 0; n < conv.n && check::failures() < 5; n++) {
                    const double want = expected(row, column, n);
                    const float is = check::from_half(got[(size_t(row) * conv.ow + column) * conv.n_pitch + n]);
                    CHECK(std::fabs(is - want) <= std::fabs(want) / 2048 + 1e-4,
                          "%s, k%d s%d: y[%d][%d][%d] %g, not %g", plan, conv.kernel, conv.stride, row, column, n, is,
                          want);
                }
    }
};

struct Plans {
    fs_cudnn_plan *item[MAX] = {};
    int count = 0;
    Plans(const fs_cudnn_conv &conv, size_t limit, int max = MAX) {
        const fs_cudnn_target target = {device};
        CHECK(fs_cudnn_plans(cudnn, &target, &conv, limit, item, max, &count) == FS_OK, "%s", fs_error_text());
        if (count > 0 || max == 0) return;
        printf("no plans: the tests cannot go on\n");
        exit(1);
    }
    Plans(const Plans &) = delete;
    Plans &operator=(const Plans &) = delete;
    ~Plans() {
        for (int i = 0; i < count; i++) fs_cudnn_plan_free(item[i]);
    }
    std::string names() const {
        std::string all;
        for (int i = 0; i < count; i++) all += std::string(i ? ", " : "") + fs_cudnn_plan_name(item[i]);
        return all;
    }
};

struct Handle {
    fs_cudnn_handle *handle = nullptr;
    Handle() { CHECK(fs_cudnn_handle_open(cudnn, &handle) == FS_OK, "%s", fs_error_text()); }
    Handle(const Handle &) = delete;
    Handle &operator=(const Handle &) = delete;
    ~Handle() { fs_cudnn_handle_close(handle); }
};

// ---- Tests ----------------------------------------------------------------------------------------------------------

void unwanted_engines_are_left_out() {
    const fs_cudnn_conv conv = make_conv(5, 6, 8, 16, 3, 1, 1, true, true);
    CHECK(Plans(conv, ROOM).names() == "cudnn 1:C2O3, cudnn 2:M-1R16, cudnn 1:C15O2, cudnn 0", "%s",
          Plans(conv, ROOM).names().c_str());
    CHECK(Plans(conv, 0).names() == "cudnn 1:C2O3, cudnn 1:C15O2, cudnn 0", "%s", Plans(conv, 0).names().c_str());
    CHECK(Plans(conv, ROOM, 1).names() == "cudnn 1:C2O3", "%s", Plans(conv, ROOM, 1).names().c_str());
    CHECK(Plans(conv, ROOM, 0).count == 0, "plans without room for one");
}

void names_find_their_plans() {
    const fs_cudnn_conv conv = make_conv(5, 6, 8, 16, 3, 1, 1, false, true);
    const fs_cudnn_target target = {device};
    const char *const found[] = {"cudnn 1:C2O3", "cudnn 2:M-1R16", "cudnn 0", "cudnn 1", "cudnn 1:O2C15"};
    const char *const absent[] = {"cudnn 3:C0", "cudnn 4:C1", "cudnn 5", "cudnn 6", "cudnn 1:C65", "cudnn 1:D0", ""};
    for (const char *name : found) {
        fs_cudnn_plan *plan = nullptr;
        CHECK(fs_cudnn_find(cudnn, &target, &conv, ROOM, name, &plan) == FS_OK && plan, "'%s'", name);
        CHECK(plan && strcmp(fs_cudnn_plan_name(plan), name) == 0, "'%s'", name);
        fs_cudnn_plan_free(plan);
    }
    for (const char *name : absent) {
        fs_cudnn_plan *plan = nullptr;
        CHECK(fs_cudnn_find(cudnn, &target, &conv, ROOM, name, &plan) == FS_OK && !plan, "'%s'", name);
        fs_cudnn_plan_free(plan);
    }
}

void results_are_those_of_the_formula() {
    const fs_cudnn_conv convs[] = {
        make_conv(1, 1, 8, 8, 1, 1, 1, true, true),    make_conv(1, 1, 8, 8, 1, 1, 1, false, true),
        make_conv(5, 7, 16, 24, 1, 1, 1, true, false), make_conv(9, 12, 8, 32, 3, 2, 1, false, true),
        make_conv(8, 5, 24, 8, 3, 1, 1, true, true),   make_conv(9, 9, 8, 8, 3, 1, 4, false, false),
        make_conv(3, 4, 8, 8, 1, 1, 1, false, false)};
    Handle handle;
    for (fs_cudnn_conv conv : convs)
        for (int pitched = 0; pitched < 2; pitched++) {
            conv.c_pitch = conv.c + 8 * pitched, conv.n_pitch = conv.n + 16 * pitched;
            Case data(conv, 3);
            Plans plans(conv, ROOM);
            CHECK(plans.count == 4, "%d plans", plans.count);
            for (int i = 0; i < plans.count; i++) {
                check::Buffer y(data.dy.bytes);
                CHECK(data.bind(plans.item[i], y.data) == FS_OK, "%s", fs_error_text());
                CHECK(fs_cudnn_run(handle.handle, plans.item[i], nullptr) == FS_OK, "%s", fs_error_text());
                data.check_output(y, fs_cudnn_plan_name(plans.item[i]));
            }
        }
}

void uneven_padding() { // as of a stem with padding behind only
    fs_cudnn_conv conv = make_conv(8, 10, 8, 8, 3, 2, 1, false, true);
    conv.pad_top = conv.pad_left = 0;
    Case data(conv, 4);
    Plans plans(conv, 0);
    Handle handle;
    CHECK(data.bind(plans.item[0], data.dy.data) == FS_OK, "%s", fs_error_text());
    CHECK(fs_cudnn_run(handle.handle, plans.item[0], nullptr) == FS_OK, "%s", fs_error_text());
    data.check_output(data.dy, "uneven padding");
}

void bindings_are_checked_and_replaced() {
    Case data(make_conv(4, 4, 8, 8, 1, 1, 1, true, false), 5);
    Plans plans(data.conv, ROOM);
    Handle handle;
    fs_cudnn_plan *plan = plans.item[0], *hungry = plans.item[1];
    CHECK(fs_cudnn_run(handle.handle, plan, nullptr) == FS_ERR_STATE, "runs without pointers");
    check::Buffer first(data.dy.bytes), second(data.dy.bytes);
    CHECK(data.bind(plan, first.data) == FS_OK, "%s", fs_error_text());
    const char *x = data.dx.as<char>();
    void *y = second.data;
    const auto rebind = [&](const void *px, const void *pz, void *py) {
        return fs_cudnn_bind(plan, px, data.dw.data, data.dbias.data, pz, py, nullptr);
    };
    CHECK(rebind(x + 8, data.dz.data, y) == FS_ERR_ARGUMENT, "a crooked pointer is taken");
    CHECK(rebind(nullptr, data.dz.data, y) == FS_ERR_ARGUMENT, "no x is taken");
    CHECK(rebind(x, nullptr, y) == FS_ERR_ARGUMENT, "no z is taken");
    CHECK(fs_cudnn_bind(hungry, x, data.dw.data, data.dbias.data, data.dz.data, y, nullptr) == FS_ERR_ARGUMENT,
          "no workspace is taken");
    CHECK(strstr(fs_error_text(), "workspace of"), "%s", fs_error_text());
    CHECK(fs_cudnn_run(handle.handle, plan, nullptr) == FS_OK, "%s", fs_error_text());
    data.check_output(first, "the pointers before the refused ones");
    CHECK(data.bind(plan, y) == FS_OK && fs_cudnn_run(handle.handle, plan, nullptr) == FS_OK, "%s", fs_error_text());
    data.check_output(second, "new pointers");
}

void streams_and_capture() {
    Case data(make_conv(6, 5, 8, 16, 3, 1, 1, false, true), 6);
    Plans plans(data.conv, ROOM);
    Handle handle;
    fs_cudnn_plan *plan = plans.item[1];
    CHECK(data.bind(plan, data.dy.data) == FS_OK, "%s", fs_error_text());
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t replay;
    CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess, "no stream");
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess, "no capture");
    CHECK(fs_cudnn_run(handle.handle, plan, stream) == FS_OK, "%s", fs_error_text());
    CHECK(cudaStreamEndCapture(stream, &graph) == cudaSuccess, "no graph");
    CHECK(cudaGraphInstantiate(&replay, graph, 0) == cudaSuccess, "no executable graph");
    uint16_t before;
    CHECK(cudaMemcpy(&before, data.dy.data, 2, cudaMemcpyDeviceToHost) == cudaSuccess, "no copy");
    CHECK(std::isnan(check::from_half(before)), "capture ran the convolution: %g", check::from_half(before));
    for (int round = 0; round < 2; round++) {
        check::Random random(static_cast<uint64_t>(round) + 20);
        data.x = random_halves(data.x.size(), random);
        data.dx.upload(data.x.data());
        CHECK(cudaGraphLaunch(replay, stream) == cudaSuccess && cudaStreamSynchronize(stream) == cudaSuccess, "replay");
        data.check_output(data.dy, "replay");
    }
    cudaGraphExecDestroy(replay);
    cudaGraphDestroy(graph);
    cudaStreamDestroy(stream);
}

void without_a_gpu() {
    sim_device none{};
    none.devices = 0;
    sim_set_device(&none);
    const fs_cudnn_conv conv = make_conv(4, 4, 8, 8, 1, 1, 1, false, false);
    fs_cudnn_handle *handle = nullptr;
    CHECK(fs_cudnn_handle_open(cudnn, &handle) == FS_ERR_DEVICE && !handle, "%s", fs_error_text());
    fs_cudnn_plan *plans[MAX];
    int count = -1;
    CHECK(fs_cudnn_plans(cudnn, nullptr, &conv, ROOM, plans, MAX, &count) == FS_OK && count == 0, "%d plans", count);
    CHECK(Plans(conv, ROOM).count == 4, "a described device has none");
    sim_device one{};
    one.devices = 1;
    sim_set_device(&one);
    count = -1;
    CHECK(fs_cudnn_plans(cudnn, nullptr, &conv, ROOM, plans, MAX, &count) == FS_OK && count == 4, "%d plans", count);
    for (int i = 0; i < count; i++) fs_cudnn_plan_free(plans[i]);
}

void sessions_in_two_threads() {
    const auto work = [](uint64_t seed) {
        Case data(make_conv(6, 6, 8, 8, 3, 1, 1, true, true), seed);
        Handle handle;
        for (int round = 0; round < 10; round++) {
            Plans plans(data.conv, ROOM);
            for (int i = 0; i < plans.count; i++)
                CHECK(data.bind(plans.item[i], data.dy.data) == FS_OK &&
                          fs_cudnn_run(handle.handle, plans.item[i], nullptr) == FS_OK,
                      "%s", fs_error_text());
        }
        data.check_output(data.dy, "a thread");
    };
    std::thread a(work, 7), b(work, 8);
    a.join(), b.join();
}

// Everything a session does, once. What failed is the status; `found` when a plan of the name was there.
fs_status whole_life(const Case &data, check::Buffer &y, bool *ran) {
    fs_cudnn *own = nullptr;
    fs_cudnn_handle *handle = nullptr;
    fs_cudnn_plan *plans[MAX] = {}, *found = nullptr;
    int count = 0;
    fs_status status = fs_cudnn_open(&own);
    if (status == FS_OK) status = fs_cudnn_handle_open(own, &handle);
    if (status == FS_OK) status = fs_cudnn_plans(own, nullptr, &data.conv, ROOM, plans, MAX, &count);
    if (status == FS_OK) status = fs_cudnn_find(own, nullptr, &data.conv, ROOM, "cudnn 2:M-1R16", &found);
    if (status == FS_OK && found) status = data.bind(found, y.data);
    if (status == FS_OK && found) status = fs_cudnn_run(handle, found, nullptr);
    *ran = status == FS_OK && found;
    cudaDeviceSynchronize();
    fs_cudnn_plan_free(found);
    for (int i = 0; i < count; i++) fs_cudnn_plan_free(plans[i]);
    fs_cudnn_handle_close(handle);
    if (own) fs_cudnn_close(own);
    return status;
}

// A status that says memory is handed on as such; after any other one, an engine is passed over or the call fails.
void every_call_may_fail() {
    Case data(make_conv(3, 3, 8, 8, 3, 1, 1, true, true), 9);
    const long live = standin_live();
    const size_t blocks = fs_mem_live_blocks();
    for (const int code : {CUDNN_STATUS_INTERNAL_ERROR, CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED,
                           CUDNN_STATUS_NOT_SUPPORTED, CUDNN_STATUS_EXECUTION_FAILED}) {
        int failed = 0, passed_over = 0;
        for (long n = 1;; n++) {
            check::Buffer y(data.dy.bytes);
            bool ran = false;
            standin_fail_at(n, code);
            const fs_status status = whole_life(data, y, &ran);
            const bool fired = standin_fault_fired();
            standin_fail_at(0, 0);
            const bool memory = code == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
            if (memory && fired && n > 1) // 1: the check of the library
                CHECK(status == FS_ERR_MEMORY, "call %ld: %d, %s", n, status, fs_error_text());
            else
                CHECK(status == FS_OK || (fired && status == FS_ERR_BACKEND), "call %ld: %d, %s", n, status,
                      fs_error_text());
            if (fired && status != FS_OK)
                CHECK(n == 1 || strstr(fs_error_text(), "planned fault"), "call %ld: %s", n, fs_error_text());
            failed += status != FS_OK, passed_over += fired && status == FS_OK;
            if (ran) data.check_output(y, "after a fault");
            CHECK(standin_live() == live && fs_mem_live_blocks() == blocks, "call %ld leaks %ld objects, %zu blocks", n,
                  standin_live() - live, fs_mem_live_blocks() - blocks);
            if (!fired || check::failures() > 10) break;
        }
        CHECK(failed > 100, "%d: %d faults reported", code, failed);
        CHECK((passed_over > 100) == (code != CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED), "%d: %d passed over",
              code, passed_over);
    }
}

void every_allocation_may_fail() {
    Case data(make_conv(3, 3, 8, 8, 1, 1, 1, true, true), 10);
    const long live = standin_live();
    const size_t blocks = fs_mem_live_blocks();
    bool fired = true;
    for (uint64_t n = 1; fired && check::failures() < 10; n++) {
        check::Buffer y(data.dy.bytes);
        bool ran = false;
        fs_mem_fail_at(n, false);
        const fs_status status = whole_life(data, y, &ran);
        fired = fs_mem_fault_fired();
        fs_mem_fail_at(0, false);
        CHECK(status == (fired ? FS_ERR_MEMORY : FS_OK), "allocation %d: %d, %s", int(n), status, fs_error_text());
        CHECK(standin_live() == live && fs_mem_live_blocks() == blocks, "allocation %d leaks", int(n));
    }
}

void the_stream_may_refuse_work() {
    Case data(make_conv(3, 3, 8, 8, 1, 1, 1, false, true), 11);
    Plans plans(data.conv, 0);
    Handle handle;
    CHECK(data.bind(plans.item[0], data.dy.data) == FS_OK, "%s", fs_error_text());
    sim_fail_at(1, false, cudaErrorLaunchFailure);
    CHECK(fs_cudnn_run(handle.handle, plans.item[0], nullptr) == FS_ERR_BACKEND, "%s", fs_error_text());
    CHECK(strstr(fs_error_text(), "cuDNN cannot run 'cudnn 1:C2O3'"), "%s", fs_error_text());
    sim_fail_at(0, false, cudaSuccess);
    cudaGetLastError();
    CHECK(fs_cudnn_run(handle.handle, plans.item[0], nullptr) == FS_OK, "%s", fs_error_text());
    data.check_output(data.dy, "after a refusal");
}

} // namespace

int main(int argc, char **argv) {
    if (!check::begin(argc, argv)) return 77;
    setenv("FASTSCNN_CUDNN", FS_CUDNN_STANDIN, 1);
    if (fs_cudnn_open(&cudnn) != FS_OK) {
        printf("%s\n", fs_error_text());
        return 1;
    }
    check::test("unwanted engines are left out", unwanted_engines_are_left_out);
    check::test("names find their plans", names_find_their_plans);
    check::test("results are those of the formula", results_are_those_of_the_formula);
    check::test("uneven padding", uneven_padding);
    check::test("bindings are checked and replaced", bindings_are_checked_and_replaced);
    check::test("streams and capture", streams_and_capture);
    check::test("without a GPU", without_a_gpu);
    check::test("sessions in two threads", sessions_in_two_threads);
    check::test("every call may fail", every_call_may_fail);
    check::test("every allocation may fail", every_allocation_may_fail);
    check::test("the stream may refuse work", the_stream_may_refuse_work);
    check::test("nothing is left", [] {
        fs_cudnn_close(cudnn);
        CHECK(standin_live() == 0, "%ld objects of cuDNN", standin_live());
        CHECK(standin_misuse()[0] == '\0', "%s", standin_misuse());
        CHECK(fs_mem_live_blocks() == 0, "%zu blocks", fs_mem_live_blocks());
    });
    return check::finish();
}
