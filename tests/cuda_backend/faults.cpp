// Every CUDA call and every allocation of the backend made to fail in turn: statuses, texts, outputs, leaks, recovery.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <sstream>

#include "tests/cuda/check.h"
#include "tests/cuda_backend/network.h"
#include "tests/cuda_sim/sim.h"

extern "C" {
#include "runtime/base/log.h"
}

using namespace network;
using std::string;

enum { SIZE = 64, PIXELS = SIZE * SIZE, CLASSES = 5, LARGER = SIZE + 16 };

static const size_t SHARED_SM80 = 163 << 10, SHARED_SM90 = 227 << 10;

static const Weights *weights; // of the one model
static std::vector<uint8_t> picture_rgb, picture_large;

// What each failure's text said was being done, to see at the end of a loop that all of it was reached.
static std::set<string> seen;

static void note(const char *text) {
    const char *start = strstr(text, " while ");
    if (start == nullptr) return;
    start += strlen(" while ");
    seen.insert(string(start, strcspn(start, ":;")));
}

static void expect_seen(std::initializer_list<const char *> all, const char *where) {
    for (const char *what : all) CHECK(check::quick() || seen.count(what), "%s: no failure while %s", where, what);
    seen.clear();
}

struct Log {
    string text;
    Log() { fs_set_log(take, this, FS_LOG_WARNING); }
    ~Log() { fs_set_log(nullptr, nullptr, 0); }
    Log(const Log &) = delete;
    static void take(void *user, int, const char *message) { static_cast<Log *>(user)->text += message; }
};

static void play(int sm, size_t shared) {
    sim_device device = {};
    device.devices = 1, device.sm = sm, device.shared_optin = shared;
    sim_set_device(&device);
}

// Nothing is left behind and nothing was misused; then a new start. Where waiting itself failed, memory is freed though
// queued work uses it, as it must be: `waited` says that it did not.
static void expect_clean(const char *what, unsigned long n, size_t blocks, bool waited = true) {
    sim_fail_at(0, false, cudaSuccess);
    CHECK(sim_live(SIM_ALL).count == 0, "%s %lu:\n%s", what, n, sim_report());
    std::istringstream lines(sim_report());
    for (string line; std::getline(lines, line);)
        CHECK(!waited && line.find("while queued work uses it") != string::npos, "%s %lu: %s", what, n, line.c_str());
    CHECK(fs_mem_live_blocks() == blocks, "%s %lu: %zu blocks of host memory stay", what, n,
          fs_mem_live_blocks() - blocks);
    sim_reset(n);
}

// Whether to go on with a loop that has no natural end when something is quite wrong.
static bool hopeless() {
    return check::failures() > 20;
}

// ---- Opening ----

static unsigned long calls_of_looking() {
    const unsigned long before = sim_calls();
    fs_device device;
    CHECK(fs_device_look(0, &device) == FS_OK, "%s", fs_error_text());
    return sim_calls() - before;
}

// Calls until an eager session stands: what fails up to there cannot be helped. Later it is the capture that fails.
static unsigned long calls_before_capture(Options options) {
    options.eager = true;
    const unsigned long before = sim_calls();
    Run run(weights->weights, SIZE, SIZE, options);
    CHECK(run.status == FS_OK, "%s", fs_error_text());
    return sim_calls() - before;
}

static bool opens(const Options &options) {
    Run run(weights->weights, SIZE, SIZE, options);
    return run.status == FS_OK;
}

static void opening_fails(const Options &options, bool sticky, cudaError_t code) {
    // With a capture only what is more than in an eager session. Where calls fail for good only every fourth is taken.
    const unsigned long in_eager = options.eager ? 0 : calls_before_capture(options) - 2;
    const unsigned long looking = calls_of_looking(), certain = calls_before_capture(options);
    const bool memory = code == cudaErrorMemoryAllocation;
    const size_t blocks = fs_mem_live_blocks();
    unsigned long n = in_eager + 1;
    const unsigned long step = check::quick() || sticky ? 4 : 1;
    for (;; n += step) {
        bool fired;
        {
            Log log;
            sim_fail_at(n, sticky, code);
            Run run(weights->weights, SIZE, SIZE, options);
            fired = sim_fault_fired();
            if (fired) {
                const fs_status want = n <= looking ? FS_ERR_DEVICE : memory ? FS_ERR_MEMORY : FS_ERR_BACKEND;
                const bool helped = run.status == FS_OK && !memory && !sticky && n > certain;
                CHECK(run.status == want || helped, "call %lu: %s, not %s: %s", n, fs_status_name(run.status),
                      fs_status_name(want), fs_error_text());
                if (helped && !fs_cuda_session_replays(static_cast<fs_cuda_session *>(run.session)))
                    CHECK(log.text.find("captured as a graph") != string::npos, "call %lu: the log says '%s'", n,
                          log.text.c_str());
                if (n > looking && run.status != FS_OK) {
                    CHECK(strstr(fs_error_text(), " while ") && strstr(fs_error_text(), memory ? "memory" : "CUDA"),
                          "call %lu: %s", n, fs_error_text());
                    note(fs_error_text());
                }
                note(log.text.c_str());
            } else {
                CHECK(run.status == FS_OK, "without a fault: %s", fs_error_text());
            }
        } // closes while calls still fail
        expect_clean("call", n, blocks, !sticky && strstr(fs_error_text(), "waiting for") == nullptr);
        if (!fired || hopeless()) break;
        if (n % 8 == 1) CHECK(opens(options), "after call %lu: %s", n, fs_error_text());
    }
    CHECK(n > certain, "only %lu calls", n);
}

static void opening() {
    for (const bool eager : {true, false}) {
        Options options;
        options.eager = eager, options.in_flight = 2;
        opening_fails(options, false, cudaErrorUnknown);
        opening_fails(options, false, cudaErrorMemoryAllocation);
        opening_fails(options, true, cudaErrorUnknown);
    }
    expect_seen({"asking for the current GPU", "allocating the weights", "uploading the weights",
                 "waiting for the upload of the weights", "allocating the session's memory",
                 "clearing the session's memory", "allocating pinned memory", "uploading the tables",
                 "waiting for the upload of the tables", "creating a stream", "creating an event", "loading a kernel",
                 "beginning the capture", "ending the capture", "instantiating the graph", "uploading the graph"},
                "opening");
}

// The device fails at the n-th copy, memset or kernel of opening.
static void opening_on_a_lost_device() {
    const size_t blocks = fs_mem_live_blocks();
    for (unsigned long n = 1; !hopeless(); n++) {
        bool fired;
        {
            Log log;
            sim_fail_at(0, false, cudaSuccess);
            sim_fail_work(n, cudaErrorECCUncorrectable);
            Run run(weights->weights, SIZE, SIZE);
            fired = sim_fault_fired();
            CHECK(run.status == (fired ? FS_ERR_BACKEND : FS_OK), "work %lu: %s", n, fs_error_text());
            if (fired) CHECK(strstr(fs_error_text(), "cudaErrorECCUncorrectable"), "work %lu: %s", n, fs_error_text());
            CHECK(fired || n > 3, "only %lu pieces of work", n);
        }
        expect_clean("work", n, blocks, !fired);
        if (!fired) break;
    }
}

// Opens with each allocation failing in turn.
static void allocations_fail(const Options &options, bool sticky) {
    const size_t blocks = fs_mem_live_blocks();
    unsigned long n = 1;
    for (bool fired = true; fired && !hopeless(); n++) {
        {
            fs_mem_fail_at(n, sticky);
            Run run(weights->weights, SIZE, SIZE, options);
            fired = fs_mem_fault_fired();
            fs_mem_fail_at(0, false);
            CHECK(run.status == (fired ? FS_ERR_MEMORY : FS_OK), "allocation %lu: %s: %s", n,
                  fs_status_name(run.status), fs_error_text());
            if (fired) CHECK(strstr(fs_error_text(), "out of memory"), "allocation %lu: %s", n, fs_error_text());
            CHECK(fired == (run.session == nullptr), "allocation %lu: a session", n);
        }
        expect_clean("allocation", n, blocks);
    }
    CHECK(n > 4, "only %lu allocations", n);
}

static void opening_without_host_memory() {
    for (const bool eager : {false, true})
        for (const bool sticky : {false, true}) {
            Options options;
            options.eager = eager;
            allocations_fail(options, sticky);
        }
}

// The same where tactics are timed: all allocations, but only a few early calls. No kernel computes: cuda_sim_tactics
// looks at what timing chooses, and computes with it.
static void opening_tuned() {
    if (check::quick()) return;
    const sim_idle idle;
    Options options;
    options.tune = 1;
    allocations_fail(options, false);
    const unsigned long certain = calls_before_capture({});
    const size_t blocks = fs_mem_live_blocks();
    for (unsigned long n = certain / 2; n < 3 * certain && !hopeless(); n += 5) {
        {
            sim_fail_at(n, true, cudaErrorUnknown);
            Run run(weights->weights, SIZE, SIZE, options);
            CHECK(sim_fault_fired() && run.status == FS_ERR_BACKEND, "call %lu: %s", n, fs_error_text());
            CHECK(strstr(fs_error_text(), " while "), "call %lu: %s", n, fs_error_text());
        }
        expect_clean("tuned, call", n, blocks, false);
    }
}

// ---- Capture ----

// Without programmatic launches (before sm_90) one failure is enough to launch step by step.
static void failed_capture() {
    play(80, SHARED_SM80);
    const fs_frame frame = frame_of(picture_rgb, SIZE, SIZE, FS_RGB8);
    Options options;
    const unsigned long certain = calls_before_capture(options);
    std::vector<uint8_t> want;
    {
        Run run(weights->weights, SIZE, SIZE, options);
        CHECK(fs_cuda_session_replays(static_cast<fs_cuda_session *>(run.session)), "not captured");
        want = compute(run, frame).labels;
    }
    std::set<string> computed;
    for (unsigned long n = certain + 1; !hopeless(); n++) {
        Log log;
        sim_fail_at(n, false, cudaErrorNotSupported);
        Run run(weights->weights, SIZE, SIZE, options);
        const bool fired = sim_fault_fired();
        sim_fail_at(0, false, cudaSuccess);
        CHECK(run.status == FS_OK, "call %lu: %s", n, fs_error_text());
        if (!fired || run.status != FS_OK) break;
        CHECK(!fs_cuda_session_replays(static_cast<fs_cuda_session *>(run.session)), "call %lu: captured", n);
        CHECK(log.text.find("captured as a graph, so it is launched step by step") != string::npos &&
                  log.text.find("cudaErrorNotSupported") != string::npos,
              "call %lu: the log says '%s'", n, log.text.c_str());
        seen.clear();
        note(log.text.c_str());
        const string what = seen.empty() ? "" : *seen.begin();
        if (what.rfind("launching '", 0) == 0 ? computed.count("launching") : computed.count(what)) continue;
        computed.insert(what.rfind("launching '", 0) == 0 ? "launching" : what);
        CHECK(compute(run, frame).labels == want, "launched step by step after a failure while %s", what.c_str());
    }
    seen = computed;
    expect_seen({"beginning the capture", "launching", "capturing the graph", "ending the capture",
                 "instantiating the graph", "uploading the graph"},
                "capture");
    play(90, SHARED_SM90);

    // From sm_90 on the second attempt does without programmatic edges.
    Run plain(weights->weights, SIZE, SIZE, options);
    want = compute(plain, frame).labels;
    Log log;
    sim_fail_at(calls_before_capture(options) + 1, false, cudaErrorNotSupported);
    Run run(weights->weights, SIZE, SIZE, options);
    CHECK(sim_fault_fired() && run.status == FS_OK, "%s", fs_error_text());
    sim_fail_at(0, false, cudaSuccess);
    CHECK(fs_cuda_session_replays(static_cast<fs_cuda_session *>(run.session)), "not captured: %s", log.text.c_str());
    CHECK(compute(run, frame).labels == want, "captured at the second attempt");
}

// ---- Frames ----

static const uint8_t GUARD = 0xEE;

enum Kind { HOST, PINNED, DEVICE, LARGE, YUV, KINDS };
static const char *const kind_name[KINDS] = {"host", "pinned", "device", "large", "YUV"};

// One frame with all that a kind of it brings, in memory of its kind, and what it must give.
struct Frame {
    const Run &run;
    Kind kind;
    fs_memory memory;
    fs_frame frame = {};
    fs_outputs outputs = {};
    std::vector<uint8_t> labels, chroma, overlay;
    uint8_t palette[256][3] = {};
    std::vector<float> logits;
    void *buffers[3] = {};
    uint8_t map[256];

    Frame(const Run &owner, Kind kind_) : run(owner), kind(kind_) {
        memory = kind == PINNED ? FS_MEMORY_PINNED : kind == DEVICE ? FS_MEMORY_DEVICE : FS_MEMORY_HOST;
        labels.assign(PIXELS, GUARD);
        logits.assign(static_cast<size_t>(PIXELS) * CLASSES, -12345.0f);
        for (int i = 0; i < 256; i++) map[i] = static_cast<uint8_t>(200 - i);
        frame = kind == LARGE ? frame_of(picture_large, LARGER, LARGER, FS_RGB8)
                              : frame_of(picture_rgb, SIZE, SIZE, FS_RGB8);
        if (kind == HOST) {
            overlay.assign(4 * PIXELS, GUARD);
            outputs.overlay = overlay.data(), outputs.overlay_stride = 4 * SIZE;
            outputs.overlay_share = FS_OVERLAY_ONE / 2, outputs.palette = palette;
        }
        if (kind == YUV) {
            chroma.assign(PIXELS / 2, 90);
            frame.format = FS_NV12, frame.stride[0] = frame.stride[1] = SIZE, frame.plane[1] = chroma.data();
        }
        outputs.labels = labels.data(), outputs.labels_stride = SIZE;
        if (kind != YUV) outputs.logits = logits.data();
        if (kind != LARGE) outputs.labels_map = map;
        outputs.memory = memory;
        if (memory == FS_MEMORY_HOST) return;
        const size_t bytes[3] = {picture_rgb.size(), labels.size(), logits.size() * sizeof(float)};
        for (int i = 0; i < 3; i++)
            CHECK(fs_cuda_backend.buffer_alloc(run.engine, memory, bytes[i], &buffers[i]) == FS_OK, "%s",
                  fs_error_text());
        CHECK(fs_cuda_backend.buffer_copy(run.engine, buffers[0], picture_rgb.data(), bytes[0]) == FS_OK, "%s",
              fs_error_text());
        frame.plane[0] = buffers[0], frame.memory = memory;
        outputs.labels = static_cast<uint8_t *>(buffers[1]), outputs.logits = static_cast<float *>(buffers[2]);
    }
    ~Frame() {
        for (void *buffer : buffers) fs_cuda_backend.buffer_free(run.engine, memory, buffer);
    }
    Frame(const Frame &) = delete;

    fs_status submit(uint64_t *ticket) const { return fs_cuda_backend.submit(run.session, &frame, &outputs, ticket); }
    fs_status wait(uint64_t ticket) const { return fs_cuda_backend.wait(run.session, ticket, -1); }
    // Submits and waits; submitted says how far it came.
    fs_status go(bool *submitted = nullptr) const {
        uint64_t ticket = 4711;
        const fs_status status = submit(&ticket);
        if (submitted) *submitted = status == FS_OK;
        CHECK(status == FS_OK || ticket == 4711, "a failed submit wrote the ticket");
        return status == FS_OK ? wait(ticket) : status;
    }
    // Host memory only: the device writes the others' by itself.
    bool untouched() const {
        return memory != FS_MEMORY_HOST ||
               (std::count(labels.begin(), labels.end(), GUARD) == PIXELS &&
                std::count(overlay.begin(), overlay.end(), GUARD) == static_cast<std::ptrdiff_t>(overlay.size()) &&
                std::count(logits.begin(), logits.end(), -12345.0f) == static_cast<std::ptrdiff_t>(logits.size()));
    }
    std::vector<uint8_t> result() {
        if (memory != FS_MEMORY_HOST)
            CHECK(fs_cuda_backend.buffer_copy(run.engine, labels.data(), buffers[1], labels.size()) == FS_OK, "%s",
                  fs_error_text());
        return labels;
    }
    void clear() {
        std::fill(labels.begin(), labels.end(), GUARD);
        std::fill(overlay.begin(), overlay.end(), GUARD);
        std::fill(logits.begin(), logits.end(), -12345.0f);
    }
};

static std::vector<uint8_t> sound(const Options &options, Kind kind) {
    Run run(weights->weights, SIZE, SIZE, options);
    Frame frame(run, kind);
    CHECK(frame.go() == FS_OK, "%s frame: %s", kind_name[kind], fs_error_text());
    return frame.result();
}

static void expect_failure(fs_status status, bool memory, Kind kind, unsigned long n) {
    const fs_status want = memory ? FS_ERR_MEMORY : FS_ERR_BACKEND;
    CHECK(status == want, "%s frame, call %lu: %s, not %s: %s", kind_name[kind], n, fs_status_name(status),
          fs_status_name(want), fs_error_text());
    CHECK(strstr(fs_error_text(), " while "), "%s frame, call %lu: %s", kind_name[kind], n, fs_error_text());
    note(fs_error_text());
}

// One call fails; `every` so many calls the same frame follows in the same session, and is right. Each call has a
// session of its own, because memory for large frames and for logits is made at the first of them. Most calls are the
// same for all kinds of frames, so that only host and large ones take each.
static void frame_fails_once(const Options &options, Kind kind, cudaError_t code, unsigned long every,
                             unsigned long last = 1000) {
    const std::vector<uint8_t> want = sound(options, kind);
    const size_t blocks = fs_mem_live_blocks();
    const bool memory = code == cudaErrorMemoryAllocation;
    const unsigned long step = check::quick() || (kind != HOST && kind != LARGE) ? 3 : 1;
    unsigned long n = step == 1 ? 1 : 1 + static_cast<unsigned long>(kind) % 3;
    for (bool fired = true; fired && n <= last && !hopeless(); n += step) {
        {
            Run run(weights->weights, SIZE, SIZE, options);
            Frame frame(run, kind);
            sim_fail_at(n, false, code);
            sim_compute(false); // only the frame behind a failure is looked at
            const fs_status status = frame.go();
            sim_compute(true);
            fired = sim_fault_fired();
            sim_fail_at(0, false, cudaSuccess);
            CHECK(cudaPeekAtLastError() == cudaSuccess, "%s frame, call %lu: an error stays recorded", kind_name[kind],
                  n);
            if (fired) {
                expect_failure(status, memory, kind, n);
                CHECK(frame.untouched(), "%s frame, call %lu: outputs were written", kind_name[kind], n);
                frame.clear();
                if (n % every == 0) {
                    CHECK(frame.go() == FS_OK, "%s frame after call %lu: %s", kind_name[kind], n, fs_error_text());
                    CHECK(frame.result() == want, "%s frame after call %lu: other labels", kind_name[kind], n);
                }
            } else {
                CHECK(status == FS_OK && frame.go() == FS_OK && frame.result() == want, "%s frame without a fault: %s",
                      kind_name[kind], fs_error_text());
            }
        }
        expect_clean(kind_name[kind], n, blocks);
    }
    CHECK(n > 5, "only %lu calls of a %s frame", n, kind_name[kind]);
}

// All calls fail from one on, until the session is closed.
static void frame_fails_for_good(const Options &options, Kind kind) {
    const sim_idle idle; // no frame has results
    const size_t blocks = fs_mem_live_blocks();
    for (unsigned long n = 1; !hopeless(); n += check::quick() ? 4 : 1) {
        bool fired;
        {
            Run run(weights->weights, SIZE, SIZE, options);
            Frame frame(run, kind);
            sim_fail_at(n, true, cudaErrorUnknown);
            const fs_status status = frame.go();
            fired = sim_fault_fired();
            if (fired) {
                expect_failure(status, false, kind, n);
                CHECK(frame.go() == FS_ERR_BACKEND, "another frame");
                CHECK(frame.untouched(), "%s frame, call %lu: outputs were written", kind_name[kind], n);
            } else {
                sim_fail_at(0, false, cudaSuccess);
                CHECK(status == FS_OK, "%s", fs_error_text());
            }
        } // closes while calls still fail
        expect_clean(kind_name[kind], n, blocks, !fired);
        if (!fired) break;
    }
}

static void frames_once() {
    for (int kind = 0; kind < KINDS; kind++) {
        if (check::quick() && kind != HOST && kind != LARGE) continue;
        frame_fails_once({}, static_cast<Kind>(kind), cudaErrorUnknown, check::quick() ? 10 : kind == HOST ? 3 : 5);
    }
    frame_fails_once({}, LARGE, cudaErrorMemoryAllocation, 4, 8); // beyond that nothing allocates
    expect_seen({"asking for the current GPU", "allocating memory for an output", "uploading the frame",
                 "uploading the label map", "uploading the palette", "recording the upload", "waiting for the upload",
                 "launching the graph", "exchanging a node of the graph", "switching a node of the graph",
                 "recording the frame", "waiting for the frame", "recording the results", "waiting for a frame",
                 "downloading the results", "allocating pinned memory for an output",
                 "allocating memory for a large frame", "allocating pinned memory for a large frame"},
                "frames");
}

// Every launch of a frame is a call; the frame after it is computed for a few only.
static void frames_step_by_step() {
    Options options;
    options.eager = true;
    frame_fails_once(options, HOST, cudaErrorUnknown, 20);
    seen.clear();
}

static void frames_for_good() {
    for (const Kind kind : {HOST, DEVICE}) frame_fails_for_good({}, kind);
    seen.clear();
}

// Two frames in flight, the wait for both fails at each of its calls: both are over, and the session goes on.
static void waits() {
    Options options;
    options.in_flight = 2;
    const std::vector<uint8_t> want = sound(options, HOST);
    Run run(weights->weights, SIZE, SIZE, options);
    Frame first(run, HOST), second(run, HOST);
    for (unsigned long n = 1; !hopeless(); n++) {
        uint64_t ticket[2];
        first.clear(), second.clear();
        CHECK(first.submit(&ticket[0]) == FS_OK && second.submit(&ticket[1]) == FS_OK, "%s", fs_error_text());
        sim_fail_at(n, false, cudaErrorUnknown);
        const fs_status status = second.wait(ticket[1]);
        const bool fired = sim_fault_fired();
        sim_fail_at(0, false, cudaSuccess);
        if (!fired) {
            CHECK(status == FS_OK && first.labels == want && second.labels == want, "%s", fs_error_text());
            CHECK(n > 3, "only %lu calls of a wait", n);
            break;
        }
        expect_failure(status, false, HOST, n);
        for (const Frame *frame : {&first, &second})
            CHECK(frame->untouched() || frame->labels == want, "call %lu: half a result", n);
        CHECK(first.wait(ticket[0]) == FS_ERR_STATE && second.wait(ticket[1]) == FS_ERR_STATE, "call %lu", n);
    }
    seen.clear();
}

static void frames_without_host_memory() {
    const sim_idle idle;
    Run run(weights->weights, SIZE, SIZE);
    for (int kind = 0; kind < KINDS; kind++) {
        Frame frame(run, static_cast<Kind>(kind));
        fs_mem_fail_at(1, true);
        CHECK(frame.go() == FS_OK, "%s frame: %s", kind_name[kind], fs_error_text());
        CHECK(!fs_mem_fault_fired(), "a %s frame takes host memory", kind_name[kind]);
        fs_mem_fail_at(0, false);
    }
}

// ---- Device faults ----

// The device fails at a copy or kernel of a frame (every other one, to save time): the wait says so, and from then on
// nothing works but closing.
static void lost_device() {
    const size_t blocks = fs_mem_live_blocks();
    const unsigned long step = check::quick() ? 12 : 2;
    unsigned long n = 1;
    for (bool fired = true; fired && !hopeless(); n += step) {
        {
            const sim_idle idle; // no frame has results
            Options options;
            options.in_flight = 2, options.eager = n % 8 == 1;
            Run run(weights->weights, SIZE, SIZE, options);
            Frame frame(run, HOST), other(run, HOST);
            uint64_t ticket = 0, next = 0;
            sim_fail_at(0, false, cudaSuccess);
            sim_fail_work(n, cudaErrorIllegalAddress);
            CHECK(frame.submit(&ticket) == FS_OK, "work %lu: %s", n, fs_error_text());
            const bool two = n % 4 == 3 && other.submit(&next) == FS_OK;
            const fs_status status = frame.wait(ticket);
            fired = sim_fault_fired();
            if (fired) {
                expect_failure(status, false, HOST, n);
                CHECK(strstr(fs_error_text(), "cudaErrorIllegalAddress"), "work %lu: %s", n, fs_error_text());
                CHECK(frame.wait(ticket) == FS_ERR_STATE, "work %lu: the frame is not over", n);
                if (two) CHECK(other.wait(next) == FS_ERR_BACKEND, "work %lu: the next frame in flight", n);
                CHECK(other.go() == FS_ERR_BACKEND && other.go() == FS_ERR_BACKEND, "work %lu: later frames", n);
                CHECK(frame.untouched() && other.untouched(), "work %lu: outputs were written", n);
                void *buffer = nullptr;
                CHECK(fs_cuda_backend.buffer_alloc(run.engine, FS_MEMORY_DEVICE, 4, &buffer) == FS_ERR_BACKEND &&
                          buffer == nullptr,
                      "work %lu: a buffer of a lost device", n);
            } else {
                CHECK(status == FS_OK, "%s", fs_error_text());
                sim_fail_work(0, cudaSuccess);
            }
        }
        expect_clean("work", n, blocks, !fired);
    }
    CHECK(n > 20, "only %lu pieces of work", n);
    seen.clear();
    CHECK(!sound({}, HOST).empty(), "a new engine");
}

int main(int argc, char **argv) {
    if (!check::begin(argc, argv)) return 77;
    setenv("FASTSCNN_TUNING_CACHE", "off", 1);
    const Weights made(model_of(FS_PAPER, CLASSES, 3), 6);
    weights = &made;
    picture_rgb = picture(SIZE, SIZE, 3, 1);
    picture_large = picture(LARGER, LARGER, 3, 2);
    play(90, SHARED_SM90);
    // Kernels are allowed their shared memory once in a process: later openings have the same number of calls.
    CHECK(opens({}), "%s", fs_error_text());
    check::test("every call of opening fails", opening);
    check::test("opening on a device that fails", opening_on_a_lost_device);
    check::test("every host allocation of opening fails", opening_without_host_memory);
    check::test("opening with timed tactics fails", opening_tuned);
    check::test("a capture that fails gives way to single launches", failed_capture);
    check::test("every call of a frame fails once", frames_once);
    check::test("every call of an eager frame fails once", frames_step_by_step);
    check::test("all calls fail from one of a frame on", frames_for_good);
    check::test("every call of a wait for two frames fails", waits);
    check::test("frames take no host memory", frames_without_host_memory);
    check::test("the device fails in mid-frame", lost_device);
    return check::finish();
}
