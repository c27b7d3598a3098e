// How tactics are chosen and kept: the tuner's choices on a device whose kernels take the time that the test says, what
// the cache makes of them, and cuDNN's engines among them, by the stand-in.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <set>

#include "tests/cuda/check.h"
#include "tests/cuda_backend/files.h"
#include "tests/cuda_backend/network.h"
#include "tests/cuda_sim/sim.h"
#ifdef FS_CUDNN_STANDIN
#include "tests/cuda_sim/cudnn_standin.h"
#endif

extern "C" {
#include "cuda/steps.h"
#include "cuda/tune.h"
}

using namespace network;
using std::string;

static const Folder *folder; // of this run

static string in_folder(const string &name) {
    return *folder / name;
}

enum { SIZE = 64 };

static const Weights &weights() {
    static const Weights made(model_of(FS_PAPER, 7, 3), 11);
    return made;
}

static Options options_of(int tune, fs_provider provider = FS_PROVIDER_OWN) {
    Options options;
    options.tune = tune, options.provider = provider;
    return options;
}

// The weights, for an opening whose timing computes only if it is the first of its provider and precision: what the
// later ones choose is the times' doing alone.
static const fs_weights &weights_to_open(const Options &options) {
    static std::set<std::pair<int, int>> opened;
    sim_compute(opened.insert({options.provider, options.precision}).second);
    return weights().weights;
}

struct Tuned {
    Run run;
    unsigned long timings; // events whose difference was asked for while it opened
    explicit Tuned(const Options &options) : Tuned(options, sim_calls_named("cudaEventElapsedTime")) {}
    Tuned(const Options &options, unsigned long before)
        : run(weights_to_open(options), SIZE, SIZE, options),
          timings(sim_calls_named("cudaEventElapsedTime") - before) {
        sim_compute(true);
        CHECK(run.status == FS_OK, "open: %s", fs_error_text());
    }
    std::vector<string> tactics() const {
        std::vector<string> names;
        for (int s = 0; s < run.plan->program.steps; s++) names.emplace_back(run.plan->tactic[s]);
        return names;
    }
};

// The nodes that the session makes of the plan, to know what it may choose from. Their pointers are never followed.
static std::unique_ptr<fs_nodes> nodes_of(const Run &run) {
    auto nodes = std::make_unique<fs_nodes>();
    const auto *engine = static_cast<const fs_cuda_engine *>(run.engine);
    char *const base = reinterpret_cast<char *>(1 << 20);
    CHECK(fs_steps_build(nodes.get(), engine, run.plan, nullptr, nullptr) == FS_OK, "%s", fs_error_text());
    std::vector<char> tables(nodes->tables);
    CHECK(fs_steps_build(nodes.get(), engine, run.plan, base, tables.data()) == FS_OK, "%s", fs_error_text());
    for (int i = 0; i < nodes->count; i++) {
        fs_node &n = nodes->node[i];
        fs_stem_params *stem = n.family == FS_FAMILY_STEM ? &n.p.stem : &n.p.stem_ds.stem;
        if (!fs_nodes_reads(&n) || n.family == FS_FAMILY_NORMALISE) continue;
        stem->frame = reinterpret_cast<const uint8_t *>(base), stem->stride = 3LL * SIZE, stem->pixel = 3;
    }
    return nodes;
}

static std::vector<fs_launch> variants(const fs_node &node) {
    std::vector<fs_launch> found;
    fs_launch launch;
    for (int v = 0; fs_node_launch(&node, check::sm(), v, &launch); v++) found.push_back(launch);
    return found;
}

// Every kernel takes a time of its own, in an order by seed.
static std::map<const void *, double> shuffle_durations(const fs_nodes &nodes, uint64_t seed) {
    std::vector<std::pair<string, const void *>> entries; // by name: addresses change from run to run
    for (int i = 0; i < nodes.count; i++)
        for (const fs_launch &l : variants(nodes.node[i])) entries.emplace_back(l.name, l.kernel);
    std::sort(entries.begin(), entries.end());
    std::map<const void *, double> durations;
    std::vector<const void *> order;
    for (const auto &entry : entries)
        if (durations.emplace(entry.second, 0).second) order.push_back(entry.second);
    check::Random random(seed);
    for (size_t i = order.size(); i > 1; i--)
        std::swap(order[i - 1], order[static_cast<size_t>(random.below(static_cast<int>(i)))]);
    sim_set_duration(nullptr, 0);
    for (size_t i = 0; i < order.size(); i++) {
        durations[order[i]] = 1 + 0.0625 * static_cast<double>(i);
        sim_set_duration(order[i], durations[order[i]]);
    }
    return durations;
}

struct Choice {
    std::vector<string> names; // any of them: they are one kernel
    double ms = 0;
};

static Choice best_variant(const fs_node &node, const std::map<const void *, double> &durations) {
    Choice best;
    for (const fs_launch &l : variants(node)) {
        const double ms = durations.at(l.kernel);
        if (best.names.empty() || ms < best.ms) best = {{}, ms};
        if (ms == best.ms) best.names.emplace_back(l.name);
        if (!fs_node_is_tunable(&node)) break;
    }
    return best;
}

// What a step's plan->tactic must be: its last kernel's name, by the quickest route over each kernel's quickest
// variant.
static std::vector<string> expected(const fs_nodes &nodes, int step, const std::map<const void *, double> &durations) {
    Choice best;
    for (int route = 0; route < nodes.routes[step]; route++) {
        Choice last;
        double sum = 0;
        for (int i = 0; i < nodes.count; i++) {
            if (nodes.node[i].step != step || nodes.node[i].route != route) continue;
            last = best_variant(nodes.node[i], durations);
            sum += last.ms;
        }
        if (best.names.empty() || sum < best.ms - 1e-6)
            best = {last.names, sum};
        else if (sum < best.ms + 1e-6)
            best.names.insert(best.names.end(), last.names.begin(), last.names.end());
    }
    return best.names;
}

static void expect_quickest(const Tuned &tuned, const fs_nodes &nodes,
                            const std::map<const void *, double> &durations) {
    const std::vector<string> tactics = tuned.tactics();
    for (int s = 0; s < tuned.run.plan->program.steps; s++) {
        const std::vector<string> want = expected(nodes, s, durations);
        CHECK(std::find(want.begin(), want.end(), tactics[s]) != want.end(), "step %s: '%s', not '%s'",
              tuned.run.plan->program.step[s].name, tactics[s].c_str(), want.empty() ? "" : want[0].c_str());
    }
}

// Other tactics sum in another order: as far from the reference as the untuned ones may be, and close to them.
static void expect_right(Run &run) {
    static const std::vector<uint8_t> pixels = picture(SIZE, SIZE, 3, 7);
    static const Result want = reference(run.graph(), weights().weights, pixels.data());
    static Result plain;
    const fs_frame frame = frame_of(pixels, SIZE, SIZE, FS_RGB8);
    if (plain.labels.empty()) {
        Run first(weights().weights, SIZE, SIZE);
        plain = compute(first, frame);
    }
    for (int i = 0; i < 2; i++) {
        const Result have = compute(run, frame);
        CHECK(l2(have, want) <= 0.022, "frame %d: relative error %g", i, l2(have, want));
        CHECK(agreement(have.labels, plain.labels) >= 0.98, "frame %d: %g of the labels agree with the untuned ones", i,
              agreement(have.labels, plain.labels));
    }
}

static string fresh_cache(const char *name) {
    const string path = in_folder(name);
    std::filesystem::remove(path);
    setenv("FASTSCNN_TUNING_CACHE", path.c_str(), 1);
    return path;
}

// A file's lines, as fields.
static std::vector<std::vector<string>> lines_of(const string &path) {
    std::vector<std::vector<string>> lines;
    std::istringstream text(read_file(path));
    for (string line; std::getline(text, line);) {
        lines.emplace_back();
        std::istringstream fields(line);
        for (string field; std::getline(fields, field, '\t');) lines.back().push_back(field);
    }
    return lines;
}

// Replaces the tactic of every entry of the file, where `tactic_for` has one.
template <class Fn> static int rewrite(const string &path, Fn tactic_for) {
    const auto lines = lines_of(path);
    CHECK(lines.size() > 3, "%s has %zu lines", path.c_str(), lines.size());
    if (lines.size() < 2) return 0;
    Cache cache(path, lines[1][0].c_str());
    int changed = 0;
    for (const auto &line : lines) {
        if (line.size() != 3) continue;
        CHECK(cache.get(line[0]) == line[1], "entry %s", line[0].c_str());
        const string tactic = tactic_for(line[0], changed);
        if (tactic.empty()) continue;
        cache.put(line[0], tactic);
        changed++;
    }
    cache.save();
    return changed;
}

static void names() {
    Run run(weights().weights, SIZE, SIZE);
    const auto nodes = nodes_of(run);
    int tunable = 0;
    for (int i = 0; i < nodes->count; i++) {
        const fs_node &node = nodes->node[i];
        char signature[400];
        fs_node_signature(&node, signature, sizeof signature);
        CHECK(strlen(signature) < 160 && strpbrk(signature, "\t\n") == nullptr, "signature '%s'", signature);
        std::vector<string> seen;
        for (const fs_launch &l : variants(node)) {
            CHECK(strpbrk(l.name, "\t\n") == nullptr && l.name[0], "name '%s'", l.name);
            CHECK(std::find(seen.begin(), seen.end(), l.name) == seen.end(), "%s: '%s' twice", signature, l.name);
            seen.emplace_back(l.name);
        }
        CHECK(!seen.empty(), "%s: no kernel", signature);
        tunable += fs_node_is_tunable(&node) && seen.size() > 1;
    }
    CHECK(tunable > 10, "%d nodes have something to choose from", tunable);
}

static void quickest() {
    for (uint64_t seed = 1; seed <= (check::quick() ? 1u : 3u); seed++) {
        const string path = fresh_cache("quickest.txt");
        Run plain(weights().weights, SIZE, SIZE);
        const auto nodes = nodes_of(plain);
        const auto durations = shuffle_durations(*nodes, seed);
        std::vector<string> chosen;
        {
            Tuned tuned(options_of(1));
            CHECK(tuned.timings > 0, "nothing was timed");
            expect_quickest(tuned, *nodes, durations);
            expect_right(tuned.run);
            chosen = tuned.tactics();
        }
        const string file = read_file(path);
        shuffle_durations(*nodes, seed + 100);
        Tuned known(options_of(0));
        CHECK(known.timings == 0, "%lu timings beside the cache", known.timings);
        CHECK(known.tactics() == chosen, "other tactics than in the cache");
        CHECK(read_file(path) == file, "the file was changed");
        if (seed == 1) expect_right(known.run);
    }
}

// What the file says is only a name to look for.
static void unknown_names() {
    static const char *const hostile[] = {
        "no such kernel", "route 99", "route -1", "route 99999999999999999999", "route",
        "%s%s%n",         "cudnn ",   "cudnn 1:", "conv f16 128x64 ",           "\x01\xff"};
    const string path = fresh_cache("unknown.txt");
    Run plain(weights().weights, SIZE, SIZE);
    const auto nodes = nodes_of(plain);
    shuffle_durations(*nodes, 1);
    { Tuned tuned(options_of(1)); }
    const int entries = rewrite(path, [](const string &, int i) { return hostile[i % 10]; });
    CHECK(entries > 10, "%d entries", entries);
    const auto durations = shuffle_durations(*nodes, 2);
    {
        Tuned tuned(options_of(1));
        CHECK(tuned.timings > 0, "nothing was timed");
        expect_quickest(tuned, *nodes, durations);
        expect_right(tuned.run);
    }
    CHECK(Tuned(options_of(1)).timings == 0, "the file was not mended");
    rewrite(path, [](const string &signature, int) {
        return signature.rfind("conv", 0) == 0 ? string("no such kernel") : string();
    });
    Tuned partly(options_of(1));
    CHECK(partly.timings > 0, "what is missing was not timed");
    expect_quickest(partly, *nodes, durations);
}

// Off, or a file that cannot be: timed each time.
static void without_file() {
    write_file(in_folder("file"), "");
    for (const string &cache : {string("off"), folder->path, in_folder("file") + "/x"}) {
        setenv("FASTSCNN_TUNING_CACHE", cache.c_str(), 1);
        for (int i = 0; i < 2; i++) CHECK(Tuned(options_of(1)).timings > 0, "%s: nothing was timed", cache.c_str());
        if (check::quick()) break;
    }
}

// Another device and another precision have entries of their own; a change of driver or device is another key.
static void keys() {
    const string home = in_folder("cache-home");
    unsetenv("FASTSCNN_TUNING_CACHE");
    setenv("XDG_CACHE_HOME", home.c_str(), 1);
    Options full = options_of(1);
    full.precision = FS_FP32;
    sim_device other = {};
    other.devices = 1, other.name = "Another GPU";
    const auto files = [&] { return std::distance(std::filesystem::directory_iterator(home + "/fastscnn"), {}); };
    CHECK(Tuned(options_of(1)).timings > 0 && files() == 1, "the first");
    CHECK(Tuned(full).timings > 0 && files() == 2, "another precision");
    sim_set_device(&other);
    CHECK(Tuned(options_of(1)).timings > 0 && files() == 3, "another device");
    other.name = "Simulated H100";
    sim_set_device(&other);
    CHECK(Tuned(options_of(1)).timings == 0 && Tuned(full).timings == 0 && files() == 3, "both are known");
    setenv("FASTSCNN_TUNING_CACHE", "off", 1);
}

// ---- cuDNN ----

#ifdef FS_CUDNN_STANDIN

static bool is_cudnn(const string &tactic) {
    return tactic.rfind("cudnn ", 0) == 0;
}

// Own convolutions take `conv` ms, fused kernels as long as nobody wants. cuDNN's engines take some microseconds.
static void slow_kernels(const fs_nodes &nodes, double conv) {
    sim_set_duration(nullptr, 0);
    for (int i = 0; i < nodes.count; i++)
        for (const fs_launch &l : variants(nodes.node[i])) {
            if (nodes.node[i].family == FS_FAMILY_CONV)
                sim_set_duration(l.kernel, conv);
            else if (nodes.node[i].family >= FS_FAMILY_STEM_DS)
                sim_set_duration(l.kernel, 1000);
        }
}

static void expect_cudnn(Tuned &tuned) {
    const std::vector<string> tactics = tuned.tactics();
    const auto count = std::count_if(tactics.begin(), tactics.end(), is_cudnn);
    CHECK(count >= 9, "%d steps end in cuDNN", static_cast<int>(count)); // the bottlenecks
    CHECK(string(tuned.run.plan->kernels) == "own, cudnn", "kernels: %s", tuned.run.plan->kernels);
    expect_right(tuned.run);
}

static void expect_clean(long live) {
    CHECK(standin_live() == live, "%ld objects of cuDNN are left", standin_live() - live);
    CHECK(standin_misuse()[0] == '\0', "%s", standin_misuse());
}

static void cudnn_wins() {
    setenv("FASTSCNN_CUDNN", FS_CUDNN_STANDIN, 1);
    const string path = fresh_cache("cudnn.txt");
    Run plain(weights().weights, SIZE, SIZE);
    const auto nodes = nodes_of(plain);
    slow_kernels(*nodes, 5);
    std::vector<string> chosen;
    {
        Options options = options_of(1, FS_PROVIDER_ANY);
        options.in_flight = 2;
        Tuned tuned(options);
        CHECK(tuned.timings > 0, "nothing was timed");
        CHECK(fs_cuda_session_replays(static_cast<fs_cuda_session *>(tuned.run.session)), "not captured");
        expect_cudnn(tuned);
        chosen = tuned.tactics();
        const unsigned long kernels = sim_calls_named("cudaLaunchKernelExC"),
                            graphs = sim_calls_named("cudaGraphLaunch");
        const long calls = standin_calls();
        expect_right(tuned.run);
        CHECK(sim_calls_named("cudaLaunchKernelExC") == kernels && sim_calls_named("cudaGraphLaunch") == graphs + 2,
              "two frames are two launches of a graph");
        CHECK(standin_calls() == calls, "a frame calls cuDNN");
    }
    expect_clean(0);
    {
        Options options = options_of(0, FS_PROVIDER_ANY);
        options.eager = true;
        Tuned eager(options);
        CHECK(eager.timings == 0, "%lu timings beside the cache", eager.timings);
        CHECK(eager.tactics() == chosen, "other tactics than in the cache");
        expect_cudnn(eager);
    }
    expect_clean(0);
    Tuned own(options_of(1));
    for (const string &tactic : own.tactics())
        CHECK(!is_cudnn(tactic), "%s, though only our own may run", tactic.c_str());
    CHECK(own.timings > 0, "cuDNN's tactics are of another key");
}

static void own_wins() {
    setenv("FASTSCNN_TUNING_CACHE", "off", 1);
    Run plain(weights().weights, SIZE, SIZE);
    slow_kernels(*nodes_of(plain), 0.0001);
    {
        Tuned tuned(options_of(1, FS_PROVIDER_ANY));
        for (const string &tactic : tuned.tactics()) CHECK(!is_cudnn(tactic), "%s", tactic.c_str());
        CHECK(string(tuned.run.plan->kernels) == "own", "kernels: %s", tuned.run.plan->kernels);
        expect_right(tuned.run);
    }
    expect_clean(0);
}

// The file may name an engine that timing did not choose: one that needs a workspace, which it leaves full of NaN.
static void engine_by_name() {
    const string path = fresh_cache("cudnn-name.txt");
    Run plain(weights().weights, SIZE, SIZE);
    const auto nodes = nodes_of(plain);
    slow_kernels(*nodes, 5);
    std::map<string, string> wanted; // by signature
    {
        Tuned tuned(options_of(1, FS_PROVIDER_ANY));
        fs_cudnn *cudnn = static_cast<const fs_cuda_engine *>(tuned.run.engine)->cudnn;
        for (int i = 0; i < nodes->count && cudnn; i++) {
            fs_cudnn_conv conv;
            fs_cudnn_plan *plans[12];
            int count = 0;
            const fs_cudnn_target here = {};
            if (!fs_node_cudnn(&nodes->node[i], &conv)) continue;
            char signature[160];
            fs_node_signature(&nodes->node[i], signature, sizeof signature);
            CHECK(fs_cudnn_plans(cudnn, &here, &conv, FS_CUDNN_WORKSPACE, plans, 12, &count) == FS_OK, "%s",
                  fs_error_text());
            for (int k = 0; k < count; k++) {
                if (fs_cudnn_plan_workspace(plans[k]) > 0) wanted[signature] = fs_cudnn_plan_name(plans[k]);
                fs_cudnn_plan_free(plans[k]);
            }
        }
    }
    CHECK(wanted.size() > 5, "%zu convolutions have an engine with a workspace", wanted.size());
    rewrite(path, [&](const string &signature, int) { return wanted[signature]; });
    {
        Tuned tuned(options_of(1, FS_PROVIDER_ANY));
        CHECK(tuned.timings == 0, "the names are not taken");
        expect_cudnn(tuned);
        for (const string &tactic : tuned.tactics())
            CHECK(!is_cudnn(tactic) ||
                      std::any_of(wanted.begin(), wanted.end(), [&](const auto &w) { return w.second == tactic; }),
                  "'%s' is not what the file says", tactic.c_str());
    }
    expect_clean(0);
    // Names that cuDNN does not have, or no longer.
    static const char *const gone[] = {"cudnn 77:", "cudnn 99999999999999999999:A1", "cudnn 1:Z9Z9Z9", "cudnn -1",
                                       "cudnn"};
    rewrite(path, [](const string &signature, int i) { return signature.rfind("conv", 0) == 0 ? gone[i % 5] : ""; });
    {
        Tuned tuned(options_of(1, FS_PROVIDER_ANY));
        CHECK(tuned.timings > 0, "nothing was timed");
        expect_cudnn(tuned);
    }
    expect_clean(0);
}

static void no_cudnn() {
    setenv("FASTSCNN_TUNING_CACHE", "off", 1);
    setenv("FASTSCNN_CUDNN", in_folder("no-such-library.so").c_str(), 1);
    Tuned tuned(options_of(-1, FS_PROVIDER_ANY));
    CHECK(string(tuned.run.plan->kernels) == "own", "kernels: %s", tuned.run.plan->kernels);
    expect_right(tuned.run);
}

#endif

int main(int argc, char **argv) {
    if (!check::begin(argc, argv)) return 77;
    const Folder made;
    folder = &made;
    check::test("signatures and names", names);
    check::test("the quickest wins and is remembered", quickest);
    check::test("names that no kernel has", unknown_names);
    check::test("without a file", without_file);
    check::test("a file per device and precision", keys);
#ifdef FS_CUDNN_STANDIN
    check::test("cuDNN where it is quickest", cudnn_wins);
    check::test("our own where they are quickest", own_wins);
    check::test("cuDNN's engines by name", engine_by_name);
    check::test("cuDNN missing", no_cudnn);
#endif
    CHECK(sim_misuses() == 0, "%s", sim_report());
    return check::finish();
}
