// Proves the checks: every planted bug is noticed by the builds and schedules that must notice it, at the right lines,
// and no correct twin is accused. Compiled three times: plain, with sanitizers, and as the race build.
#include "tests/simt/planted.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <set>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "tests/simt/sanitizer.h"
#include "tests/simt/simt_run.h"

#ifdef FS_SIMT_RACE
constexpr bool race = true;
#else
constexpr bool race = false;
#endif
#ifdef SIMT_ASAN
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

namespace {

int failures;

void check(bool ok, const Planted &bug, const char *what, const std::string &report) {
    if (ok) return;
    failures++;
    printf("[FAIL] %s: %s\n       %s\n", bug.name, what, report.c_str());
}

// Runs one kernel. "" is a clean run with the right result.
std::string run(const void *kernel, bool early, unsigned cluster) {
    constexpr size_t count = planted_threads * planted_blocks, bytes = count * sizeof(float);
    auto *in = static_cast<float *>(aligned_alloc(128, bytes)), *out = static_cast<float *>(aligned_alloc(128, bytes));
    auto *middle = static_cast<float *>(aligned_alloc(128, bytes));
    auto *counter = static_cast<unsigned *>(calloc(1, sizeof(unsigned)));
    for (size_t i = 0; i < count; i++) in[i] = static_cast<float>(i + 1), out[i] = middle[i] = NAN;
    simt_register_memory(in, bytes);
    simt_register_memory(out, bytes);
    simt_register_memory(middle, bytes);
    simt_register_memory(counter, sizeof *counter);
    if (early) simt_frame_memory(in, bytes);

    const planted_params params = {in, out, planted_threads + 3, 1, middle, counter};
    const unsigned grid[3] = {planted_blocks, 1, 1};
    const bool faulty =
        simt_launch_clusters(kernel, grid, planted_threads, planted_shared, &params, cluster, early) != 0;
    bool right = true;
    for (size_t i = 0; i < count; i++)
        right &= out[i] == in[i / planted_threads * planted_threads + planted_threads - 1 - i % planted_threads];

    for (void *memory : {static_cast<void *>(in), static_cast<void *>(out), static_cast<void *>(middle),
                         static_cast<void *>(counter)}) {
        simt_unregister_memory(memory);
        free(memory);
    }
    return faulty ? simt_report() : right ? "" : planted_wrong;
}

// The same in a child process, for checks that end the process: what it wrote to stderr.
std::string run_in_child(const void *kernel, int *status) {
    int ends[2];
    if (pipe(ends)) abort();
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        run(kernel, false, 1);
        _exit(0);
    }
    close(ends[1]);
    std::string text;
    char buffer[4096];
    for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<size_t>(n));
    close(ends[0]);
    waitpid(child, status, 0);
    return text;
}

// The lines of planted.cu that are marked with the bug's name, or with its first word.
std::set<int> marked_lines(const std::string &bug) {
    std::ifstream source(FS_SOURCE_DIR "/tests/simt/planted.cu");
    std::set<int> lines;
    std::string text;
    for (int line = 1; std::getline(source, text); line++) {
        const size_t mark = text.find("// <- ");
        if (mark == std::string::npos) continue;
        const std::string name = text.substr(mark + 6);
        if (name == bug || name == bug.substr(0, bug.find('_'))) lines.insert(line);
    }
    return lines;
}

// Whether all places in planted.cu that the report names are marked, and there are as many as it should name.
bool names_lines(const std::string &report, const char *bug) {
    if (report.find("written before or behind") != std::string::npos) return true; // noticed after the block
    if (report.find("leaves without") != std::string::npos) return true;           // a thread that has left
    if (report.find("leaves between") != std::string::npos) return true;
    const bool pair = report.find("race in") == 0 || report.find("conflict") == 0 || report.find("divergent") == 0;
    const std::set<int> marked = marked_lines(bug);
    int places = 0;
    for (size_t at = 0; (at = report.find("planted.cu:", at)) != std::string::npos; places++) {
        at += strlen("planted.cu:");
        if (!marked.count(atoi(report.c_str() + at))) return false;
    }
    return places >= (pair ? 2 : 1);
}

void check_noticed(const Planted &bug, const char *expected, const char *build) {
    if (!expected) return;
    const std::string report = run(bug.bad, bug.early, bug.cluster);
    const bool noticed = !report.empty() && report.find(expected) != std::string::npos;
    check(noticed, bug, (std::string("not noticed by the ") + build + " build").c_str(), report);
    if (noticed && report != planted_wrong) check(names_lines(report, bug.name), bug, "names other lines", report);
}

} // namespace

int main() {
    for (int i = 0; i < planted_count; i++) {
        const Planted &bug = planted[i];
        const char *end = sanitized ? bug.sanitizer : bug.fatal;
        const int before = failures;
        for (uint64_t seed = 1; seed <= 8; seed++)
            for (int schedule : {SIMT_ROUND_ROBIN, SIMT_SKEWED}) {
                simt_configure(seed, schedule);
                const std::string report = run(bug.good, bug.early, bug.cluster);
                check(report.empty(), bug, "the correct twin is accused", report);
                if (end) continue;
                if (race)
                    check_noticed(bug, bug.race, "race");
                else
                    check_noticed(bug, schedule == SIMT_SKEWED ? bug.skewed : bug.round_robin,
                                  schedule == SIMT_SKEWED ? "plain, skewed" : "plain, round-robin");
            }
        if (end) {
            int status;
            const std::string report = run_in_child(bug.bad, &status);
            check(status != 0 && report.find(end) != std::string::npos, bug, "does not end the process", report);
            if (sanitized && marked_lines(bug.name).size())
                check(names_lines(report, bug.name), bug, "names other lines", report);
        }
        if (failures == before) printf("[ OK ] %s\n", bug.name);
    }
    printf("%d planted bugs, %d failures\n", planted_count, failures);
    return failures != 0;
}
