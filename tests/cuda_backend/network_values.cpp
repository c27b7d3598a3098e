// What the whole network computes on the CUDA backend: golden cases, every variant and switch, every rewrite off.
#include <cmath>
#include <cstdio>
#include <cstring>

#include "tests/cuda/check.h"
#include "tests/cuda_backend/network.h"
#include "tests/data.h"

extern "C" {
#include "host/image/image.h"
}

using namespace network;

// Bound of the relative error of fp16 logits: activations are rounded to 11 bits some 45 times along the deepest path,
// which with random weights of gain near one adds up to 0.5 to 1.5 %.
static const double F16_ERROR = 0.022;

static bool selected(const char *name, int cases) {
    // A sanitizer makes each case take a minute, so it has the smallest alone.
    return !check::quick() || strstr(name, "65x64") || cases == 0;
}

static void golden(fs_precision precision) {
    char names[FS_GOLDEN_MAX][FS_GOLDEN_NAME];
    const int count = fs_golden_names(names);
    CHECK(count > 0, "no golden cases");
    for (int i = 0; i < count; i++) {
        if (!selected(names[i], i)) continue;
        fs_golden g;
        CHECK(fs_golden_load(names[i], &g) == FS_OK, "%s: %s", names[i], fs_error_text());
        Weights weights(g.model, g.seed);
        Options options;
        options.precision = precision;
        Run run(weights.weights, g.height, g.width, options);
        CHECK(run.status == FS_OK, "%s: %s", names[i], fs_error_text());
        if (run.status == FS_OK) {
            fs_frame frame = {};
            frame.format = g.model.channels == 4 ? FS_RGBA8 : FS_RGB8;
            frame.width = g.width, frame.height = g.height;
            frame.plane[0] = g.frame, frame.stride[0] = static_cast<size_t>(g.width) * g.model.channels;
            const Result result = compute(run, frame);
            const fs_golden_score score = fs_golden_compare(&g, result.labels.data(), result.logits.data());
            printf("       %s %s: labels %.4f %%, error %.2g (deviation %.2g), L2 %.4f\n", names[i],
                   fs_precision_name(precision), 100 * score.labels, score.error, score.deviation, score.l2);
            if (precision == FS_FP32)
                CHECK(fs_golden_passes_fp32(&score), "%s: labels %.5f, error %g", names[i], score.labels, score.error);
            else
                CHECK(score.l2 <= F16_ERROR, "%s: relative error of the logits %g", names[i], score.l2);
        }
        fs_golden_free(&g);
    }
}

static void golden_fp32() {
    golden(FS_FP32);
}
static void golden_fp16() {
    golden(FS_FP16);
}

// A rewrite changes how, not what. Off one by one, and all at once.
static void rewrites_off() {
    const int height = 67, width = 93;
    const fs_variant variants[] = {FS_PAPER, FS_MMSEG, FS_TRAMAC};
    for (int v = 0; v < (check::quick() ? 1 : 3); v++) {
        Weights weights(model_of(variants[v], 11, 3), 5);
        const std::vector<uint8_t> pixels = picture(height, width, 3, 9);
        const fs_frame frame = frame_of(pixels, height, width, FS_RGB8);
        for (int precision : {FS_FP32, FS_FP16}) {
            Options options;
            options.precision = static_cast<fs_precision>(precision);
            Run plain(weights.weights, height, width, options);
            const Result want = reference(plain.graph(), weights.weights, pixels.data());
            for (int off = -1; off <= fs_rewrite_count; off++) {
                if (check::quick() && off >= 0 && off < fs_rewrite_count) continue;
                options.rewrites_off = off < 0 ? 0 : off == fs_rewrite_count ? ~0u : 1u << off;
                Run run(weights.weights, height, width, options);
                CHECK(run.status == FS_OK, "rewrites off %x: %s", options.rewrites_off, fs_error_text());
                if (run.status != FS_OK) continue;
                const double error = l2(compute(run, frame), want);
                const double bound = precision == FS_FP32 ? 2e-5 : F16_ERROR;
                CHECK(error <= bound, "variant %d, %s, rewrites off %x: error %g", variants[v],
                      fs_precision_name(options.precision), options.rewrites_off, error);
            }
        }
    }
}

// Layer by layer and fused, whichever kernels: the routes that a GPU chooses from by time all compute the network.
// Sizes put borders and tails of the tiles everywhere, and a map of one pixel at 1/32.
static void routes_agree() {
    enum { LAYERS = -2, ROUTES = 4 };
    const struct {
        fs_variant variant;
        int height, width, classes, channels;
    } cases[] = {{FS_PAPER, 65, 64, 11, 3},    {FS_MMSEG, 97, 131, 19, 3},      {FS_TRAMAC, 131, 203, 5, 4},
                 {FS_PADDLESEG, 64, 97, 2, 3}, {FS_LEFTTHOMAS, 160, 66, 12, 3}, {FS_PAPER, 192, 320, 255, 3}};
    for (int c = 0; c < (check::quick() ? 1 : 6); c++) {
        const int height = cases[c].height, width = cases[c].width, channels = cases[c].channels;
        Weights weights(model_of(cases[c].variant, cases[c].classes, channels), 21);
        const std::vector<uint8_t> pixels = picture(height, width, channels, 8);
        const fs_frame frame = frame_of(pixels, height, width, channels == 4 ? FS_RGBA8 : FS_RGB8);
        Result want;
        std::string before;
        int distinct = 0;
        for (int route = 0; route < ROUTES; route++) {
            Options options;
            options.tune = LAYERS - route;
            Run run(weights.weights, height, width, options);
            CHECK(run.status == FS_OK, "route %d: %s", route, fs_error_text());
            if (run.status != FS_OK) continue;
            if (route == 0) want = reference(run.graph(), weights.weights, pixels.data());
            std::string tactics;
            for (int s = 0; s < run.plan->program.steps; s++) tactics += std::string(run.plan->tactic[s]) + ", ";
            distinct += tactics != before;
            before = tactics;
            const double error = l2(compute(run, frame), want);
            CHECK(error <= F16_ERROR, "%d: %dx%d, route %d: error %g (%s)", c, height, width, route, error,
                  tactics.c_str());
        }
        CHECK(distinct == ROUTES, "%d ways of %d", distinct, ROUTES);
    }
}

// Replayed graph, step by step, and arena without reuse: the same kernels, so the same bits.
static void ways_agree() {
    const int height = 96, width = 128;
    Weights weights(model_of(FS_PAPER, 19, 3), 3);
    const std::vector<uint8_t> pixels = picture(height, width, 3, 4);
    const fs_frame frame = frame_of(pixels, height, width, FS_RGB8);
    Options options;
    Run replayed(weights.weights, height, width, options);
    options.eager = true;
    Run eager(weights.weights, height, width, options);
    options.no_reuse = true;
    Run apart(weights.weights, height, width, options);
    CHECK(fs_cuda_session_replays(static_cast<fs_cuda_session *>(replayed.session)), "the frame was not captured");
    CHECK(!fs_cuda_session_replays(static_cast<fs_cuda_session *>(eager.session)), "eager was captured");
    const Result first = compute(replayed, frame);
    Run *const others[3] = {&replayed, &eager, &apart};
    for (Run *run : others) {
        const Result again = compute(*run, frame);
        CHECK(again.labels == first.labels, "labels differ");
        CHECK(memcmp(again.logits.data(), first.logits.data(), first.logits.size() * sizeof(float)) == 0,
              "logits differ");
    }
}

// A trained model on street frames: what half precision costs where it counts. The pictures are not part of the
// repository.
static void trained_model() {
    const char *folder = fs_test_data();
    if (folder == nullptr) return;
    fs_weights weights;
    const std::string file = std::string(folder) + "/weights/camvid11.safetensors";
    fs_labels labels;
    CHECK(fs_weights_load(file.c_str(), &weights, &labels) == FS_OK, "%s", fs_error_text());
    const char *const frames[] = {"0001TP_008550", "0001TP_009900", "Seq05VD_f00300"};
    for (int i = 0; i < (check::quick() ? 1 : 3); i++) {
        fs_image image = {};
        const std::string path = std::string(folder) + "/data/camvid/test/images/" + frames[i] + ".jpg";
        CHECK(fs_image_read(path.c_str(), 3, &image) == FS_OK, "%s", fs_error_text());
        if (check::quick()) image.height = 120; // the upper third: a sanitizer makes a whole frame take minutes
        Run run(weights, image.height, image.width);
        CHECK(run.status == FS_OK, "%s", fs_error_text());
        fs_frame frame = {};
        frame.format = FS_RGB8, frame.width = image.width, frame.height = image.height;
        frame.plane[0] = image.pixels, frame.stride[0] = static_cast<size_t>(image.width) * 3;
        const Result have = compute(run, frame), want = reference(run.graph(), weights, image.pixels);
        const double same = agreement(have.labels, want.labels), error = l2(have, want);
        printf("       %s: labels %.4f %%, L2 %.5f\n", frames[i], 100 * same, error);
        CHECK(same >= 0.999, "%s: %.4f %% of the labels", frames[i], 100 * same);
        CHECK(error <= F16_ERROR, "%s: relative error of the logits %g", frames[i], error);
        fs_image_free(&image);
    }
    fs_weights_free(&weights);
}

int main(int argc, char **argv) {
    if (!check::begin(argc, argv)) return 77;
    check::test("golden cases in fp32", golden_fp32);
    check::test("golden cases in fp16", golden_fp16);
    check::test("rewrites switched off", rewrites_off);
    check::test("every route computes the network", routes_agree);
    check::test("replay, eager and no reuse give the same bits", ways_agree);
    check::test("a trained model in fp16", trained_model);
    return check::finish();
}
