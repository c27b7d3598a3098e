// What a profiler sees of the CUDA backend: NVTX's domain, names, ranges and streams, by a recording library.
//
// NVTX looks for a profiler once, when it is first called, so this program runs the part without one and then replaces
// itself by a copy whose environment names the recorder.
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <set>
#include <string>
#include <unistd.h>

#include "tests/cuda/check.h"
#include "tests/cuda_backend/network.h"
#include "tests/cuda_sim/sim.h"
#include "tests/trace/recorder.h"

extern "C" {
#include "runtime/base/trace.h"
}

using namespace network;
using std::string;

enum { SIZE = 64 };

static recorder_count_fn events;
static recorder_at_fn event_at;

static const Weights &weights() {
    static const Weights made(model_of(FS_PAPER, 7, 3), 11);
    return made;
}

struct Session {
    Run run;
    std::vector<uint8_t> pixels = picture(SIZE, SIZE, 3, 1), labels = std::vector<uint8_t>(SIZE * SIZE);
    explicit Session(const Options &options = {}) : run(weights().weights, SIZE, SIZE, options) {
        CHECK(run.status == FS_OK, "open: %s", fs_error_text());
    }
    fs_status submit(uint64_t *ticket) {
        const fs_frame frame = frame_of(pixels, SIZE, SIZE, FS_RGB8);
        fs_outputs outputs = {};
        outputs.labels = labels.data(), outputs.labels_stride = SIZE;
        return fs_cuda_backend.submit(run.session, &frame, &outputs, ticket);
    }
    fs_status wait(uint64_t ticket) { return fs_cuda_backend.wait(run.session, ticket, -1); }
    std::vector<string> steps() const {
        std::vector<string> names;
        for (int s = 0; s < run.plan->program.steps; s++) names.emplace_back(run.plan->program.step[s].name);
        return names;
    }
};

// Events from `first` on, as lines: "+name payload" and "-name payload" indented by depth, "!name payload" for a mark,
// "=name" for a registration,
// "#name" for a domain, "~name" for a stream.
static std::vector<string> lines_from(int first) {
    std::vector<string> lines;
    for (int i = first; i < events(); i++) {
        const recorder_event *e = event_at(i);
        const string name = e->name ? e->name : "(no name)";
        const string number = " " + std::to_string(e->payload);
        const string depth(static_cast<size_t>(e->depth), ' ');
        switch (e->kind) {
        case RECORDER_DOMAIN: lines.push_back("#" + name); break;
        case RECORDER_REGISTER: lines.push_back("=" + name); break;
        case RECORDER_PUSH: lines.push_back(depth + "+" + name + number); break;
        case RECORDER_POP: lines.push_back(depth + "-" + name + number); break;
        case RECORDER_MARK: lines.push_back(depth + "!" + name + number); break;
        case RECORDER_STREAM: lines.push_back("~" + name); break;
        }
        if (e->kind != RECORDER_DOMAIN && e->kind != RECORDER_STREAM)
            CHECK(e->domain && string(e->domain) == "fastscnn", "%s is in another domain", lines.back().c_str());
    }
    return lines;
}

static string joined(const std::vector<string> &lines) {
    string text;
    for (const string &line : lines) text += line + "\n";
    return text;
}

// Every range that opened since `first` closed again, on its own level.
static void expect_balanced(int first, const char *what, int number) {
    std::vector<const recorder_event *> open;
    for (int i = first; i < events(); i++) {
        const recorder_event *e = event_at(i);
        if (e->kind == RECORDER_MARK) continue;
        CHECK(e->kind == RECORDER_PUSH || e->kind == RECORDER_POP, "%s %d: a frame registers '%s'", what, number,
              e->name);
        if (e->kind == RECORDER_PUSH) {
            CHECK(e->depth == static_cast<int>(open.size()), "%s %d: depth %d", what, number, e->depth);
            CHECK(e->name != nullptr, "%s %d: a range without a registered name", what, number);
            open.push_back(e);
        } else {
            CHECK(!open.empty() && open.back()->name == e->name, "%s %d: '%s' closes", what, number,
                  e->name ? e->name : "nothing");
            if (!open.empty()) open.pop_back();
        }
    }
    CHECK(open.empty(), "%s %d: %zu ranges stay open", what, number, open.size());
}

// ---- The tests ----

static void without_profiler() {
    Session s;
    uint64_t ticket;
    CHECK(!fs_trace_active(), "a profiler though none was named");
    CHECK(s.submit(&ticket) == FS_OK && s.wait(ticket) == FS_OK, "%s", fs_error_text());
    CHECK(fs_trace_register("x") == 0, "a name though nobody takes it");
}

static void opening() {
    const int first = events();
    Session s;
    CHECK(fs_trace_active(), "the profiler was not found");
    const std::vector<string> lines = lines_from(first);
    std::multiset<string> have(lines.begin(), lines.end());
    CHECK(have.count("#fastscnn") == 1, "%zu domains:\n%s", have.count("#fastscnn"), joined(lines).c_str());
    for (const char *name : {"=open", "=tune", "=capture", "=submit", "=upload", "=launch", "=download", "=wait"})
        CHECK(have.count(name) == 1, "%s: %zu times", name, have.count(name));
    for (const string &step : s.steps()) CHECK(have.count("=" + step) == 1, "step %s", step.c_str());
    CHECK(lines[0] == "#fastscnn", "the first is %s", lines[0].c_str());
    std::vector<string> ranges;
    for (const string &line : lines)
        if (line.find_first_of("+-") <= 1) ranges.push_back(line);
    const string arena = " " + std::to_string(s.run.plan->arena_bytes);
    CHECK(ranges.size() == 6 && ranges[0] == "+open" + arena && ranges[1].rfind(" +tune ", 0) == 0 &&
              ranges[2].rfind(" -tune ", 0) == 0 && ranges[3] == " +capture 1" && ranges[4] == " -capture 1" &&
              ranges[5] == "-open" + arena,
          "opening:\n%s", joined(ranges).c_str());
    std::vector<string> streams;
    std::set<uint64_t> handles;
    for (int i = first; i < events(); i++)
        if (event_at(i)->kind == RECORDER_STREAM) {
            streams.emplace_back(event_at(i)->name);
            handles.insert(event_at(i)->payload);
        }
    CHECK(joined(streams) == "fastscnn upload\nfastscnn compute\nfastscnn download\n", "%s", joined(streams).c_str());
    CHECK(handles.size() == 3 && handles.count(0) == 0, "%zu streams", handles.size());
    // A second session takes names of its own, in the domain that is there.
    const int second = events();
    Session another;
    for (const string &line : lines_from(second)) CHECK(line[0] != '#', "a second domain");
}

static string submit_of(uint64_t number, const string &inside = "") {
    const string n = " " + std::to_string(number) + "\n";
    return "+submit" + n + " !bytes in " + std::to_string(SIZE * SIZE * 3) + "\n !bytes out " +
           std::to_string(SIZE * SIZE) + "\n" + " +upload" + n + " -upload" + n + " +launch" + n + inside + " -launch" +
           n + " +download" + n + " -download" + n + "-submit" + n;
}

static string wait_of(uint64_t number) {
    const string n = " " + std::to_string(number) + "\n";
    return "+wait" + n + "-wait" + n;
}

static void frames() {
    Options options;
    options.in_flight = 2;
    Session s(options);
    const int first = events();
    uint64_t ticket[4];
    for (auto &t : {&ticket[0], &ticket[1]}) CHECK(s.submit(t) == FS_OK, "%s", fs_error_text());
    CHECK(s.wait(ticket[0]) == FS_OK, "%s", fs_error_text());
    CHECK(s.submit(&ticket[2]) == FS_OK, "%s", fs_error_text());
    CHECK(s.submit(&ticket[3]) == FS_ERR_STATE, "a third frame of two"); // refused before any range
    CHECK(s.wait(ticket[2]) == FS_OK, "%s", fs_error_text());
    const string have = joined(lines_from(first));
    const string want = submit_of(1) + submit_of(2) + wait_of(1) + submit_of(3) + wait_of(3);
    CHECK(have == want, "have:\n%swant:\n%s", have.c_str(), want.c_str());
}

// Launched step by step, each launch stands in a range of its step's name.
static void eager_frames() {
    Options options;
    options.eager = true;
    Session s(options);
    for (uint64_t frame = 1; frame <= 2; frame++) {
        const int first = events();
        uint64_t ticket;
        CHECK(s.submit(&ticket) == FS_OK && s.wait(ticket) == FS_OK, "%s", fs_error_text());
        expect_balanced(first, "eager frame", static_cast<int>(frame));
        std::vector<string> steps, phases;
        int launches = 0;
        for (int i = first; i < events(); i++) {
            const recorder_event *e = event_at(i);
            if (e->kind == RECORDER_MARK) continue;
            if (e->depth < 2) phases.emplace_back(e->name);
            if (e->depth < 2 || e->kind != RECORDER_PUSH) continue;
            CHECK(e->depth == 2 && phases.back() == "launch", "'%s' on level %d, in %s", e->name, e->depth,
                  phases.back().c_str());
            if (steps.empty() || steps.back() != e->name) steps.emplace_back(e->name);
            launches++;
        }
        CHECK(joined(phases) == "submit\nupload\nupload\nlaunch\nlaunch\ndownload\ndownload\nsubmit\nwait\nwait\n",
              "%s", joined(phases).c_str());
        CHECK(joined(steps) == joined(s.steps()), "steps:\n%sof the plan:\n%s", joined(steps).c_str(),
              joined(s.steps()).c_str());
        int planned = 0;
        for (int i = 0; i < s.run.plan->program.steps; i++) planned += s.run.plan->launches[i];
        CHECK(launches == planned, "%d ranges of steps, %d launches", launches, planned);
    }
}

// Whichever call fails, every range closes, and the next frame's are right.
static void failures() {
    for (const bool eager : {false, true}) {
        Options options;
        options.eager = eager;
        Session s(options);
        uint64_t ticket, number = 1;
        int failed = 0;
        for (int n = 1; n < 300; n++) {
            const int first = events();
            sim_fail_at(static_cast<unsigned long>(n), false, cudaErrorUnknown);
            fs_status status = s.submit(&ticket);
            if (status == FS_OK) {
                number++;
                status = s.wait(ticket);
            }
            const bool fired = sim_fault_fired();
            sim_fail_at(0, false, cudaSuccess);
            expect_balanced(first, eager ? "eager, failing call" : "failing call", n);
            failed += status != FS_OK;
            if (!fired) break;
        }
        CHECK(failed >= 5, "%d frames failed", failed);
        const int first = events();
        CHECK(s.submit(&ticket) == FS_OK && s.wait(ticket) == FS_OK, "%s", fs_error_text());
        CHECK(ticket == number, "ticket %d, not %d", static_cast<int>(ticket), static_cast<int>(number));
        if (!eager) CHECK(joined(lines_from(first)) == submit_of(number) + wait_of(number), "after failures");
    }
}

int main(int argc, char **argv) {
    const bool recorded = getenv("NVTX_INJECTION64_PATH") && strcmp(getenv("NVTX_INJECTION64_PATH"), FS_RECORDER) == 0;
    if (!recorded) unsetenv("NVTX_INJECTION64_PATH");
    if (!check::begin(argc, argv)) return 77;
    if (!recorded) {
        check::test("without a profiler nothing is named", without_profiler);
        const int code = check::finish();
        if (code != 0) return code;
        setenv("NVTX_INJECTION64_PATH", FS_RECORDER, 1);
        execv("/proc/self/exe", argv);
        return 1;
    }
    void *recorder = dlopen(FS_RECORDER, RTLD_NOW);
    if (recorder) {
        events = reinterpret_cast<recorder_count_fn>(dlsym(recorder, RECORDER_COUNT));
        event_at = reinterpret_cast<recorder_at_fn>(dlsym(recorder, RECORDER_AT));
    }
    if (events == nullptr || event_at == nullptr) {
        fprintf(stderr, "%s: %s\n", FS_RECORDER, dlerror());
        return 1;
    }
    check::test("opening a session names its domain, ranges and streams", opening);
    check::test("the ranges of frames in flight", frames);
    check::test("a range per step in eager frames", eager_frames);
    check::test("ranges close when calls fail", failures);
    CHECK(sim_misuses() == 0, "%s", sim_report());
    return check::finish();
}
