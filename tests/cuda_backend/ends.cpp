// How frames end on the CUDA backend while its calls and the device fail: who submitted a frame is told of it once,
// with what the wait says, and results are whole or untouched.
#include <algorithm>
#include <cstring>

#include "tests/cuda/check.h"
#include "tests/cuda_backend/network.h"
#include "tests/cuda_sim/sim.h"

using namespace network;

enum { SIZE = 64, PIXELS = SIZE * SIZE, CLASSES = 5, FRAMES = 3, GUARD = 0xEE };

static const Weights *weights;
static std::vector<uint8_t> pixels, want;

// What the callback said, by ticket.
struct Told {
    std::vector<fs_status> status;
    std::vector<uint64_t> ticket;
    static void take(void *user, uint64_t ticket, fs_status status) {
        Told *told = static_cast<Told *>(user);
        told->ticket.push_back(ticket), told->status.push_back(status);
    }
};

struct Scene {
    Told told;
    Run run;
    std::vector<uint8_t> labels[FRAMES];
    uint64_t submitted = 0;

    static Options options(Told *told, bool listens) {
        Options options;
        options.in_flight = FRAMES, options.eager = true;
        if (listens) options.done = Told::take, options.done_user = told;
        return options;
    }
    explicit Scene(bool listens = true) : run(weights->weights, SIZE, SIZE, options(&told, listens)) {
        CHECK(run.status == FS_OK, "%s", fs_error_text());
        for (auto &mine : labels) mine.assign(PIXELS, GUARD);
    }
    fs_status submit() {
        const fs_frame frame = frame_of(pixels, SIZE, SIZE, FS_RGB8);
        fs_outputs outputs = {};
        outputs.labels = labels[submitted].data(), outputs.labels_stride = SIZE;
        uint64_t ticket = 0;
        const fs_status status = fs_cuda_backend.submit(run.session, &frame, &outputs, &ticket);
        if (status == FS_OK) CHECK(ticket == ++submitted, "ticket %d", static_cast<int>(ticket));
        return status;
    }
    fs_status wait(uint64_t ticket) { return fs_cuda_backend.wait(run.session, ticket, -1); }
    void close() {
        if (run.session) fs_cuda_backend.session_close(run.session);
        run.session = nullptr;
    }
    bool whole(uint64_t ticket) const { return labels[ticket - 1] == want; }
    bool untouched(uint64_t ticket) const {
        return std::count(labels[ticket - 1].begin(), labels[ticket - 1].end(), GUARD) == PIXELS;
    }
    // Once for each frame that was taken, in order, and true.
    void expect_told(const char *what, unsigned long n) const {
        CHECK(told.ticket.size() == submitted, "%s %lu: told of %zu frames of %d", what, n, told.ticket.size(),
              static_cast<int>(submitted));
        for (size_t i = 0; i < told.ticket.size(); i++) {
            CHECK(told.ticket[i] == i + 1, "%s %lu: ticket %d", what, n, static_cast<int>(told.ticket[i]));
            CHECK(told.status[i] == FS_OK ? whole(i + 1) : untouched(i + 1), "%s %lu: frame %zu was told of as %s",
                  what, n, i + 1, fs_status_name(told.status[i]));
        }
    }
};

// The n-th call of submitting and waiting fails.
static void calls_of_a_frame() {
    for (unsigned long n = 1;; n++) {
        Scene scene;
        sim_fail_at(n, false, cudaErrorUnknown);
        const fs_status submitted = scene.submit();
        CHECK(scene.told.ticket.empty(), "call %lu: told before anything ran", n);
        const fs_status status = submitted == FS_OK ? scene.wait(1) : submitted;
        const bool fired = sim_fault_fired();
        sim_fail_at(0, false, cudaSuccess);
        scene.expect_told("call", n);
        if (submitted == FS_OK) {
            CHECK(scene.told.status.size() == 1 && scene.told.status[0] == status, "call %lu: the wait says %s", n,
                  fs_status_name(status));
            CHECK(scene.wait(1) == FS_ERR_STATE, "call %lu: not released", n);
        } else {
            CHECK(scene.untouched(1), "call %lu: a frame that was refused wrote", n);
        }
        CHECK(scene.submit() == FS_OK && scene.wait(scene.submitted) == FS_OK && scene.whole(scene.submitted),
              "call %lu: the next frame: %s", n, fs_error_text());
        scene.close();
        scene.expect_told("after call", n);
        if (!fired || check::failures() > 20) {
            CHECK(n > 8, "only %lu calls", n);
            break;
        }
    }
}

// The n-th call of cancelling and closing fails, with three frames in flight.
static void calls_of_closing() {
    bool cancelled = false;
    for (unsigned long n = 1;; n += check::quick() ? 5 : 2) {
        Scene scene;
        for (int i = 0; i < FRAMES; i++) CHECK(scene.submit() == FS_OK, "%s", fs_error_text());
        sim_fail_at(n, false, cudaErrorUnknown);
        scene.close();
        const bool fired = sim_fault_fired();
        sim_fail_at(0, false, cudaSuccess);
        scene.expect_told("closing, call", n);
        cancelled |= std::count(scene.told.status.begin(), scene.told.status.end(), FS_ERR_CANCELLED) > 0;
        if (!fired || check::failures() > 20) break;
    }
    CHECK(cancelled, "closing cancelled nothing");
}

// The device fails at the n-th piece of work: the frames before are told of as done, the rest as failed.
static void lost_device() {
    for (unsigned long n = 1;; n += check::quick() ? 20 : 9) {
        Scene scene;
        for (int i = 0; i < 2; i++) CHECK(scene.submit() == FS_OK, "%s", fs_error_text());
        sim_fail_work(n, cudaErrorECCUncorrectable);
        const fs_status first = scene.wait(1), second = scene.wait(2);
        const bool fired = sim_fault_fired();
        scene.expect_told("work", n);
        if (scene.told.status.size() == 2)
            CHECK(scene.told.status[0] == first && scene.told.status[1] == second, "work %lu: waits say %s and %s", n,
                  fs_status_name(first), fs_status_name(second));
        if (fired) CHECK(second == FS_ERR_BACKEND, "work %lu: %s", n, fs_status_name(second));
        scene.close();
        sim_reset(n);
        if (!fired || check::failures() > 20) break;
    }
}

// Without a callback: frames that are cancelled hand nothing over, closing hands over what had begun.
static void without_a_callback() {
    Scene scene(false);
    for (int i = 0; i < FRAMES; i++) CHECK(scene.submit() == FS_OK, "%s", fs_error_text());
    fs_cuda_backend.cancel(scene.run.session);
    CHECK(scene.wait(3) == FS_ERR_CANCELLED && strstr(fs_error_text(), "frame 3"), "%s", fs_error_text());
    CHECK(scene.whole(1) && scene.untouched(2) && scene.untouched(3), "the first frame alone was to be handed over");
    scene.close();
    Scene closing(false);
    for (int i = 0; i < FRAMES; i++) CHECK(closing.submit() == FS_OK, "%s", fs_error_text());
    closing.close();
    CHECK(closing.whole(1) && closing.untouched(2) && closing.untouched(3), "closing finishes the first frame");
}

int main(int argc, char **argv) {
    if (!check::begin(argc, argv)) return 77;
    const Weights made(model_of(FS_PAPER, CLASSES, 3), 5);
    weights = &made;
    pixels = picture(SIZE, SIZE, 3, 9);
    {
        Run run(made.weights, SIZE, SIZE);
        want = compute(run, frame_of(pixels, SIZE, SIZE, FS_RGB8)).labels;
    }
    check::test("every call of a frame fails", calls_of_a_frame);
    check::test("every call of closing fails", calls_of_closing);
    check::test("the device fails in mid-frame", lost_device);
    check::test("without a callback", without_a_callback);
    CHECK(sim_misuses() == 0, "%s", sim_report());
    return check::finish();
}
