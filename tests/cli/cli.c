// Tests of the built command as scripts use it: exit codes, messages, files, JSON. Random weights, small pictures.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <ctype.h>
#include <fcntl.h>
#include <ftw.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "host/image/image.h"

#define COMMAND FS_BINARY_DIR "/bin/fastscnn"
#define MODEL " --weights random:1 --threads 1"
#define SHORT MODEL " --size 64x96 --warmup 0 --duration 0.05"

extern char **environ;

static char folder[64];
static char *out_text, *err_text; // of the last run

// ---- Running
// ---------------------------------------------------------------------------------------------------------

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *ftw) {
    (void)status, (void)type, (void)ftw;
    return remove(path);
}

static void put_picture(const char *name, int height, int width, int channels) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    fs_image image = {.width = width, .height = height, .channels = channels};
    image.pixels = malloc((size_t)height * (size_t)width * (size_t)channels);
    uint32_t state = 12345;
    for (int i = 0; i < height * width * channels; i++) {
        state = state * 1664525u + 1013904223u;
        int x = i / channels % width;
        image.pixels[i] = (uint8_t)(x * 2 + (int)(state >> 27));
    }
    cr_assert_eq(fs_image_write(path, &image), FS_OK, "%s", fs_error_text());
    free(image.pixels);
}

static void put_text(const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
}

static void set_up(void) {
    snprintf(folder, sizeof folder, "/tmp/fastscnn-cli-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    char path[256];
    const char *folders[] = {"empty", "set", "twins"};
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, folders[i]);
        mkdir(path, 0777);
    }
    put_picture("street.png", 64, 96, 3);
    put_picture("odd.ppm", 67, 101, 3);
    put_picture("alpha.png", 64, 96, 4);
    put_picture("tiny.png", 40, 80, 3);
    put_picture("set/b.png", 64, 96, 3);
    put_picture("set/a.ppm", 70, 90, 3);
    put_picture("set/c.jpg", 64, 96, 3);
    put_text("set/notes.txt", "no picture");
    put_picture("twins/x.png", 64, 96, 3);
    put_picture("twins/x.ppm", 64, 96, 3);
    put_text("broken.png", "\x89PNG\r\n\x1a\n and then nothing");
    put_text("broken.safetensors", "not a model");
}

static void tear_down(void) {
    free(out_text);
    free(err_text);
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

TestSuite(cli, .init = set_up, .fini = tear_down, .timeout = 120);

static char *read_all(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) return NULL;
    char *text = NULL;
    size_t length = 0, capacity = 0;
    for (;;) {
        if (length + 4097 > capacity) text = realloc(text, capacity = 2 * capacity + 8192);
        size_t read = fread(text + length, 1, 4096, file);
        if (read == 0) break;
        length += read;
    }
    fclose(file);
    text[length] = '\0';
    return text;
}

// Starts the command with `line` split at blanks, '@' standing for the test's folder, in that folder.
static pid_t start(const char *line) {
    static char words[4096];
    char *arguments[64] = {COMMAND};
    int count = 1;
    size_t used = 0;
    for (const char *at = line; *at != '\0';) {
        while (*at == ' ') at++;
        if (*at == '\0') break;
        arguments[count++] = words + used;
        for (; *at != '\0' && *at != ' '; at++) {
            if (*at == '@')
                used += (size_t)snprintf(words + used, sizeof words - used, "%s", folder);
            else
                words[used++] = *at;
        }
        words[used++] = '\0';
    }
    char out[128], err[128];
    snprintf(out, sizeof out, "%s/.stdout", folder);
    snprintf(err, sizeof err, "%s/.stderr", folder);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, err, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_addchdir_np(&actions, folder);
    pid_t child;
    int error = posix_spawn(&child, COMMAND, &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    cr_assert_eq(error, 0, "cannot start " COMMAND ": %s", strerror(error));
    return child;
}

static int finish(pid_t child) {
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    free(out_text);
    free(err_text);
    char path[128];
    snprintf(path, sizeof path, "%s/.stdout", folder);
    out_text = read_all(path);
    snprintf(path, sizeof path, "%s/.stderr", folder);
    err_text = read_all(path);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int run(const char *line) {
    return finish(start(line));
}

#define assert_run(line, code)                                                                                         \
    do {                                                                                                               \
        int code_ = run(line);                                                                                         \
        cr_assert_eq(code_, code, "'%s' gave %d: %s", line, code_, err_text);                                          \
    } while (0)
#define assert_has(text, part) cr_assert_not_null(strstr(text, part), "no '%s' in: %s", part, text)

static bool exists(const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

static char *content(const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    char *text = read_all(path);
    cr_assert_not_null(text, "no file %s", name);
    return text;
}

static fs_image picture(const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    fs_image image = {0};
    cr_assert_eq(fs_image_read(path, 3, &image), FS_OK, "%s", fs_error_text());
    return image;
}

// Width, height, bit depth and colour type of a PNG: the fields of its header.
static void assert_png(const char *name, int height, int width, int color_type) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    cr_assert_not_null(file, "no file %s", name);
    unsigned char h[26];
    cr_assert_eq(fread(h, 1, sizeof h, file), sizeof h);
    fclose(file);
    cr_assert_eq(memcmp(h, "\x89PNG", 4), 0);
    cr_assert_eq(h[16] << 24 | h[17] << 16 | h[18] << 8 | h[19], width);
    cr_assert_eq(h[20] << 24 | h[21] << 16 | h[22] << 8 | h[23], height);
    cr_assert_eq(h[24], 8);
    cr_assert_eq(h[25], color_type);
}

// ---- A JSON checker: whether a text is one well-formed value
// -----------------------------------------------------------

static const char *json_value(const char *at);

static const char *json_blank(const char *at) {
    while (*at != '\0' && isspace((unsigned char)*at)) at++;
    return at;
}

static const char *json_string(const char *at) {
    if (*at != '"') return NULL;
    for (at++; *at != '"'; at++) {
        if ((unsigned char)*at < 0x20) return NULL;
        if (*at == '\\' && *++at == '\0') return NULL;
    }
    return at + 1;
}

static const char *json_list(const char *at, char end) {
    at = json_blank(at + 1);
    if (*at == end) return at + 1;
    for (;;) {
        if (end == '}') {
            at = json_string(at);
            if (at == NULL || *(at = json_blank(at)) != ':') return NULL;
            at++;
        }
        at = json_value(at);
        if (at == NULL) return NULL;
        at = json_blank(at);
        if (*at == end) return at + 1;
        if (*at != ',') return NULL;
        at = json_blank(at + 1);
    }
}

static const char *json_value(const char *at) {
    at = json_blank(at);
    if (*at == '{') return json_list(at, '}');
    if (*at == '[') return json_list(at, ']');
    if (*at == '"') return json_string(at);
    if (strncmp(at, "true", 4) == 0 || strncmp(at, "null", 4) == 0) return at + 4;
    if (strncmp(at, "false", 5) == 0) return at + 5;
    char *end;
    strtod(at, &end);
    return end != at && (isdigit((unsigned char)*at) || *at == '-') ? end : NULL;
}

static bool is_json(const char *text) {
    const char *end = json_value(text);
    return end != NULL && *json_blank(end) == '\0';
}

static double json_number(const char *text, const char *key) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *at = strstr(text, quoted);
    cr_assert_not_null(at, "no key %s in %s", key, text);
    return strtod(at + strlen(quoted), NULL);
}

static void assert_json_text(const char *text, const char *key, const char *value) {
    char tight[128], spaced[128];
    snprintf(tight, sizeof tight, "\"%s\":\"%s\"", key, value);
    snprintf(spaced, sizeof spaced, "\"%s\": \"%s\"", key, value);
    cr_assert(strstr(text, tight) != NULL || strstr(text, spaced) != NULL, "%s is not %s in %s", key, value, text);
}

// ---- What must fail, and how
// ---------------------------------------------------------------------------------------------

typedef struct bad_case {
    char line[192];
    int code;
    char error[160];
} bad_case;

ParameterizedTestParameters(cli, refuses) {
    static bad_case cases[] = {
        {"", 2, "Usage: fastscnn VERB"},
        {"frobnicate", 2,
         "unknown verb 'frobnicate'; the verbs are: segment, eval, bench, calibrate, profile, plan, scene, info, "
         "doctor"},
        {"--frobnicate", 2, "unknown option '--frobnicate'"},
        {"bench --foo", 2, "unknown option '--foo' for 'bench'; see 'fastscnn bench --help'"},
        {"segment -x", 2, "unknown option '-x' for 'segment'; see 'fastscnn segment --help'"},
        {"bench stray", 2, "unexpected argument 'stray' for 'bench'"},
        {"scene", 2, "option '-o DIR' is needed"},
        {"scene -o @/s --size 0x9", 2, "not '0x9'"},
        {"scene -o @/s --size 9x16385", 2, "1 to 16384 a side"},
        {"scene -o @/s --frames 0", 2, "option '--frames' wants a whole number"},
        {"scene -o @/s --seed -1", 2, "option '--seed' wants a whole number"},
        {"scene -o @/street.png --size 9x9", 1, "street.png"},
        {"doctor --size 64x64", 2, "unknown option '--size' for 'doctor'"},
        {"bench --size 1024", 2, "option '--size' wants HxW"},
        {"bench --size 63x96", 2, "not '63x96'"},
        {"bench --size 64x16385", 2, "64 to 16384 a side"},
        {"bench --size native", 2, "needs --input FILE"},
        {"bench --threads -1", 2, "option '--threads' wants a whole number"},
        {"bench --threads 2x", 2, "not '2x'"},
        {"bench --duration nan", 2, "option '--duration' wants a number"},
        {"bench --duration 1s", 2, "not '1s'"},
        {"bench --warmup -1", 2, "option '--warmup'"},
        {"bench --mode fast", 2, "option '--mode' wants latency, throughput or paced, not 'fast'"},
        {"bench --backend gpu", 2, "option '--backend' wants auto, cpu or cuda, not 'gpu'"},
        {"bench --precision fp8", 2, "auto, fp32, bf16, fp16 or int8"},
        {"bench --task masks", 2, "labels or scores"},
        {"bench --in-flight 0 --mode throughput", 2, "option '--in-flight' wants a whole number from 1 to 16"},
        {"bench --in-flight 4", 2, "needs --mode throughput"},
        {"bench --json", 2, "option '--json' needs a value"},
        {"bench --json @/a --plot @/a", 2, "name the same file"},
        {"bench --weights random:x", 2, "random:"},
        {"plan --json --dot", 2, "exclude each other"},
        {"plan --weights random:1 --size 64x96 --roofline abacus", 2, "option '--roofline': "},
        {"plan --weights random:1 --size 64x96 --disable-fusion nonsense", 2, "nonsense"},
        {"help nonsense", 2, "unknown verb 'nonsense'"},
        {"help --help", 2, "unknown verb 'help'"},
        {"help bench --json", 2, "unknown verb 'help'"},
        {"bench --fail-slower", 2, "option '--fail-slower' needs --compare"},
        {"bench --threads 257", 2, "option '--threads' wants a whole number from 0 to 256"},
        {"segment", 2, "segment needs a picture or a folder"},
        {"segment @/street.png --labels @/x.jpg", 2, "'--labels' writes PNG"},
        {"segment @/street.png --logits @/x.bin", 2, "'--logits' writes NumPy"},
        {"segment @/street.png --overlay @/x.gif", 2, "'--overlay' writes .png, .jpg or .ppm"},
        {"segment @/street.png --color @/x", 2, "'--color' writes .png, .jpg or .ppm"},
        {"segment @/street.png @/odd.ppm --labels @/x.png", 2, "use -o DIR"},
        {"segment @/set --overlay @/x.png", 2, "use -o DIR"},
        {"segment @/street.png --overlay @/x.png --alpha 0", 2, "'--alpha' wants a number from 0.01 to 1"},
        {"segment @/street.png --label-ids cityscapes", 2, "add --labels"},
        {"segment @/street.png --labels @/x.png --label-ids coco", 2, "trainid or cityscapes"},
        {"segment @/street.png -o @/out --labels=x.png", 2, "option '--labels' takes no value here"},
        {"segment @/street.png --overlay @/street.png", 2, "is one of the input pictures"},
        {"segment @/street.png --overlay @/x.png --color @/x.png", 2, "would be written twice"},
        {"segment @/twins -o @/out", 2, "would be written twice"},
        {"bench --io device", 1, "needs the CUDA backend"},
        {"bench --backend cpu -q --profile-window" SHORT, 1, "belong to the CUDA backend"},
        {"bench --json @/none/r.json", 1, "there is no folder"},
        {"bench --plot @/empty", 1, "it is a folder"},
        {"bench --weights @/none.safetensors", 1, "none.safetensors"},
        {"bench --weights @/broken.safetensors", 1, "broken.safetensors"},
        {"info --weights @/broken.safetensors", 1, "broken.safetensors"},
        {"bench --size 64x96 --weights random:1 --input @/none.png", 1, "none.png"},
        {"bench --size 64x96 --weights random:1 --input @/broken.png", 1, "broken.png"},
        {"segment --weights random:1 @/none.png", 1, "none.png"},
        {"segment --weights random:1 @/broken.png", 1, "broken.png"},
        {"segment --weights random:1 @/broken.safetensors", 1, "broken.safetensors"},
        {"segment --weights random:1 @/tiny.png", 1,
         "40x80 pixels (height x width), but the network takes 64 to 16384"},
        {"segment --weights random:1 @/empty", 1, "has no picture"},
        {"segment --weights random:1 @/street.png --labels @/none/x.png", 1, "there is no folder"},
        {"segment --weights random:1 @/street.png -o @/street.png", 1, "a file has that name"},
        {"segment --weights @/none.safetensors @/street.png", 1, "none.safetensors"},
    };
    return cr_make_param_array(bad_case, cases, sizeof cases / sizeof *cases);
}

ParameterizedTest(bad_case *c, cli, refuses) {
    assert_run(c->line, c->code);
    assert_has(err_text, c->error);
    cr_assert_str_empty(out_text, "'%s' wrote to stdout: %s", c->line, out_text);
}

// ---- Help
// ------------------------------------------------------------------------------------------------------------------

ParameterizedTestParameters(cli, helps) {
    static bad_case cases[] = {
        {"--help", 0, "Usage: fastscnn VERB"},
        {"-h", 0, "Exit codes: 0 fine, 1 failed, 2 bad usage"},
        {"segment --help", 0, "--label-ids trainid|cityscapes"},
        {"bench --help", 0, "--mode latency|throughput|paced"},
        {"plan -h", 0, "--roofline DEVICE"},
        {"info --help", 0, "--disable-fusion NAMES"},
        {"scene --help", 0, "--seeds N"},
        {"doctor --help", 0, "Usage: fastscnn doctor"},
        {"help", 0, "Usage: fastscnn VERB"},
        {"help bench", 0, "Usage: fastscnn bench [OPTION]"},
        {"plan --help", 0, "h100, h200, a100, rtx4090, t4, orin, cpu"},
        {"--version", 0, "fastscnn 0."},
        {"-V", 0, "fastscnn 0."},
    };
    return cr_make_param_array(bad_case, cases, sizeof cases / sizeof *cases);
}

ParameterizedTest(bad_case *c, cli, helps) {
    assert_run(c->line, 0);
    assert_has(out_text, c->error);
    cr_assert_str_empty(err_text);
    if (strstr(c->line, " ") != NULL) assert_has(out_text, "Examples:\n  fastscnn ");
}

// ---- segment
// ---------------------------------------------------------------------------------------------------------------

Test(cli, segment_writes_an_overlay_by_default) {
    assert_run("segment @/street.png" MODEL, 0);
    assert_png("street_overlay.png", 64, 96, 2);
    assert_has(out_text, "wrote street_overlay.png");
    assert_has(out_text, " %\n");
    cr_assert_str_empty(err_text);
}

Test(cli, segment_writes_every_kind) {
    assert_run("segment @/odd.ppm --labels @/l.png --overlay @/o.png --color @/c.png --logits @/s.npy" MODEL, 0);
    assert_png("l.png", 67, 101, 0);
    assert_png("o.png", 67, 101, 2);
    assert_png("c.png", 67, 101, 2);
    char *npy = content("s.npy");
    cr_assert_eq(memcmp(npy, "\x93NUMPY", 6), 0);
    assert_has(npy + 10, "'<f4'");
    assert_has(npy + 10, "(19, 67, 101)");
    free(npy);
}

Test(cli, labels_are_the_best_of_the_logits) {
    assert_run("segment @/street.png --labels @/l.png --logits @/s.npy --precision fp32" MODEL, 0);
    fs_image labels = picture("l.png");
    char path[256];
    snprintf(path, sizeof path, "%s/s.npy", folder);
    FILE *file = fopen(path, "rb");
    enum { PIXELS = 64 * 96 };
    static float scores[19][PIXELS];
    fseek(file, -(long)sizeof scores, SEEK_END);
    cr_assert_eq(fread(scores, sizeof(float), 19 * PIXELS, file), 19 * PIXELS);
    fclose(file);
    int differ = 0;
    for (int i = 0; i < PIXELS; i++) {
        int best = 0;
        for (int c = 1; c < 19; c++)
            if (scores[c][i] > scores[best][i]) best = c;
        differ += labels.pixels[3 * i] != best;
    }
    cr_assert_leq(differ, PIXELS / 1000);
    fs_image_free(&labels);
}

Test(cli, cityscapes_ids_replace_train_ids) {
    static const uint8_t ids[19] = {7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33};
    assert_run("segment @/street.png --labels @/t.png --label-ids trainid" MODEL, 0);
    assert_run("segment @/street.png --labels @/i.png --label-ids cityscapes" MODEL, 0);
    fs_image train = picture("t.png"), city = picture("i.png");
    for (int i = 0; i < 64 * 96; i++) {
        cr_assert_lt(train.pixels[3 * i], 19);
        cr_assert_eq(city.pixels[3 * i], ids[train.pixels[3 * i]]);
    }
    fs_image_free(&train);
    fs_image_free(&city);
}

Test(cli, label_ids_leave_the_overlay_alone) {
    assert_run("segment @/street.png --color @/a.png --labels @/l.png" MODEL, 0);
    assert_run("segment @/street.png --color @/b.png --labels @/l.png --label-ids cityscapes" MODEL, 0);
    fs_image a = picture("a.png"), b = picture("b.png");
    cr_assert_eq(memcmp(a.pixels, b.pixels, 3 * 64 * 96), 0);
    fs_image_free(&a);
    fs_image_free(&b);
}

// By the formula of fscnn_outputs, from the picture, the labels and their colours; also where the network's size is
// another one. share: of the colours, of 256.
static void assert_overlay(const char *options, int share) {
    enum { H = 67, W = 101 };
    char line[256];
    snprintf(line, sizeof line,
             "segment @/odd.ppm --size 64x96 --labels @/l.png --overlay @/o.png --color @/c.png %s" MODEL, options);
    assert_run(line, 0);
    fs_image in = picture("odd.ppm"), labels = picture("l.png"), color = picture("c.png"), overlay = picture("o.png");
    int borders = 0;
    for (int i = 0; i < H * W; i++) {
        const uint8_t *label = labels.pixels + (size_t)3 * i;
        const bool border = (i % W + 1 < W && label[3] != *label) || (i + W < H * W && label[3 * W] != *label);
        borders += border;
        for (int k = 3 * i; k < 3 * i + 3; k++) {
            const int value = (in.pixels[k] * (256 - share) + color.pixels[k] * share + 128) / 256;
            cr_assert_eq(overlay.pixels[k], border ? value / 2 : value, "%s: byte %d", options, k);
        }
    }
    cr_assert_gt(borders, 0);
    fs_image_free(&in), fs_image_free(&labels), fs_image_free(&color), fs_image_free(&overlay);
}

Test(cli, the_overlay_is_picture_and_colours_in_the_shares_asked_for) {
    assert_overlay("", 128);
    assert_overlay("--alpha 0.25", 64);
    assert_overlay("--alpha 1", 256);
}

Test(cli, a_given_size_still_gives_outputs_of_the_pictures_size) {
    assert_run("segment @/tiny.png --size 64x96 --labels @/l.png --overlay @/o.png --logits @/s.npy" MODEL, 0);
    assert_png("l.png", 40, 80, 0);
    assert_png("o.png", 40, 80, 2);
    char *npy = content("s.npy");
    assert_has(npy + 10, "(19, 40, 80)");
    free(npy);
}

Test(cli, resized_labels_are_the_same_with_and_without_logits) {
    assert_run("segment @/odd.ppm --size 64x96 --labels @/a.png --logits @/s.npy" MODEL, 0);
    assert_run("segment @/odd.ppm --size 64x96 --labels @/b.png" MODEL, 0);
    fs_image a = picture("a.png"), b = picture("b.png");
    cr_assert_eq(memcmp(a.pixels, b.pixels, 3 * 67 * 101), 0);
    fs_image_free(&a);
    fs_image_free(&b);
}

Test(cli, the_pictures_own_size_given_by_hand_changes_nothing) {
    assert_run("segment @/odd.ppm --labels @/a.png" MODEL, 0);
    assert_run("segment @/odd.ppm --labels @/b.png --size 67x101" MODEL, 0);
    fs_image a = picture("a.png"), b = picture("b.png");
    cr_assert_eq(memcmp(a.pixels, b.pixels, 3 * 67 * 101), 0);
    fs_image_free(&a);
    fs_image_free(&b);
}

Test(cli, a_picture_with_alpha_is_taken_by_an_rgb_model) {
    assert_run("segment @/alpha.png --labels @/l.png" MODEL, 0);
    assert_png("l.png", 64, 96, 0);
}

Test(cli, a_folder_is_segmented_into_a_folder) {
    assert_run("segment @/set -o @/new/out" MODEL, 0);
    const char *stems[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        char name[64];
        snprintf(name, sizeof name, "new/out/%s_labels.png", stems[i]);
        cr_assert(exists(name), "%s", name);
        snprintf(name, sizeof name, "new/out/%s_overlay.png", stems[i]);
        cr_assert(exists(name), "%s", name);
        snprintf(name, sizeof name, "new/out/%s_color.png", stems[i]);
        cr_assert_not(exists(name), "%s", name);
    }
    assert_png("new/out/a_labels.png", 70, 90, 0);
    assert_has(out_text, "3 pictures segmented");
    cr_assert_null(strstr(out_text, " %\n")); // no table for many
    cr_assert_str_empty(err_text);            // and no progress bar on a file
}

Test(cli, kinds_choose_what_goes_into_the_folder) {
    assert_run("segment @/street.png -o @/out --color --logits" MODEL, 0);
    cr_assert(exists("out/street_color.png"));
    cr_assert(exists("out/street_logits.npy"));
    cr_assert_not(exists("out/street_labels.png"));
    cr_assert_not(exists("out/street_overlay.png"));
}

Test(cli, many_pictures_without_options_give_overlays_here) {
    assert_run("segment @/street.png @/odd.ppm" MODEL, 0);
    cr_assert(exists("street_overlay.png"));
    cr_assert(exists("odd_overlay.png"));
    assert_has(out_text, "2 pictures segmented");
    assert_has(out_text, "written to the current folder");
}

Test(cli, one_bad_picture_does_not_stop_the_others) {
    assert_run("segment @/broken.png @/street.png @/tiny.png @/empty -o @/out" MODEL, 1);
    cr_assert(exists("out/street_labels.png"));
    cr_assert_not(exists("out/broken_labels.png"));
    assert_has(err_text, "broken.png");
    assert_has(err_text, "tiny.png");
    assert_has(err_text, "3 of 4 pictures failed");
    assert_has(out_text, "1 picture segmented");
}

Test(cli, a_failure_leaves_the_old_output) {
    put_text("old.png", "old content");
    assert_run("segment @/broken.png --labels @/old.png" MODEL, 1);
    char *text = content("old.png");
    cr_assert_str_eq(text, "old content");
    free(text);
    assert_run("segment @/street.png --labels @/old.png" MODEL, 0);
    assert_png("old.png", 64, 96, 0);
}

Test(cli, nothing_temporary_stays_behind) {
    assert_run("segment @/street.png -o @/out --labels --overlay --color --logits" MODEL, 0);
    assert_run("bench --json @/out/r.json --plot @/out/r.svg" SHORT, 0);
    cr_assert(exists("out/r.json") && exists("out/r.svg"));
    char path[256], entry[256];
    snprintf(path, sizeof path, "ls -A %s/out | wc -l", folder);
    FILE *pipe = popen(path, "r");
    cr_assert_not_null(fgets(entry, sizeof entry, pipe));
    pclose(pipe);
    cr_assert_eq(atoi(entry), 6);
}

Test(cli, quiet_says_nothing) {
    assert_run("segment @/street.png --labels @/l.png --quiet" MODEL, 0);
    cr_assert_str_empty(out_text);
    cr_assert_str_empty(err_text);
    assert_run("segment -q @/set -o @/out" MODEL, 0);
    cr_assert_str_empty(out_text);
}

Test(cli, two_runs_give_the_same_labels) {
    assert_run("segment @/street.png --labels @/a.png --threads 1 --weights random:3", 0);
    assert_run("segment @/street.png --labels @/b.png --threads 2 --weights random:3", 0);
    fs_image a = picture("a.png"), b = picture("b.png");
    cr_assert_eq(memcmp(a.pixels, b.pixels, 3 * 64 * 96), 0);
    fs_image_free(&a);
    fs_image_free(&b);
}

Test(cli, segment_without_weights_uses_the_bundled_model_or_says_what_to_do) {
    bool bundled = access(FS_SOURCE_DIR "/weights/models/street11.safetensors", R_OK) == 0;
    assert_run("segment @/street.png --labels @/l.png", bundled ? 0 : 1);
    cr_assert_eq(exists("l.png"), bundled);
    if (!bundled) assert_has(err_text, "pass --weights FILE (weights/convert.py makes one");
}

// ---- bench
// -----------------------------------------------------------------------------------------------------------------

Test(cli, bench_prints_settings_and_table) {
    assert_run("bench" SHORT, 0);
    const char *parts[] = {
        "device     ",     "settings   64x96", "frames     ", "fps        ",  "p99",
        "set-up",          "memory",           "1 thread,",   "latency mode", "generated street scene",
        "paper: 123.5 fps"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) assert_has(out_text, parts[i]);
    cr_assert_str_empty(err_text);
}

Test(cli, bench_json_has_the_contracts_keys) {
    assert_run("bench --json @/r.json" SHORT, 0);
    char *json = content("r.json");
    cr_assert(is_json(json), "%s", json);
    const char *numbers[] = {"fps",    "mean",     "p50",     "max",        "min",
                             "frames", "setup_ms", "threads", "host_bytes", "peak_rss_bytes"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        cr_assert_gt(json_number(json, numbers[i]), 0, "%s in %s", numbers[i], json);
    cr_assert_geq(json_number(json, "device_bytes"), 0);
    assert_json_text(json, "size", "64x96");
    assert_json_text(json, "mode", "latency");
    assert_json_text(json, "io", "host");
    assert_json_text(json, "task", "labels");
    assert_json_text(json, "weights", "random:1");
    assert_json_text(json, "input", "scene");
    assert_has(json, "\"latency_ms\"");
    assert_has(json, "\"commit\"");
    assert_has(json, "\"backend\"");
    assert_has(json, "\"device\"");
    assert_has(json, "\"precision\"");
    assert_has(json, "\"version\"");
    cr_assert_leq(json_number(json, "min"), json_number(json, "p50"));
    cr_assert_leq(json_number(json, "p50"), json_number(json, "max"));
    const char *percentiles[] = {"\"p90\": ", "\"p95\": ", "\"p99\": ", "\"p999\": "}; // null with few frames
    for (size_t i = 0; i < sizeof percentiles / sizeof *percentiles; i++) assert_has(json, percentiles[i]);
    free(json);
}

Test(cli, bench_json_on_stdout_is_only_json) {
    assert_run("bench --json -" SHORT, 0);
    cr_assert(is_json(out_text), "%s", out_text);
    assert_has(err_text, "fps        ");
    assert_run("bench --json - --quiet" SHORT, 0);
    cr_assert(is_json(out_text), "%s", out_text);
    cr_assert_str_empty(err_text);
}

Test(cli, bench_takes_the_asked_precision_and_threads) {
    assert_run("bench --json - -q --precision fp32 --weights random:2 --threads 2 --size 64x64 --warmup 0 --duration 0",
               0);
    assert_json_text(out_text, "precision", "fp32");
    cr_assert_eq(json_number(out_text, "threads"), 2);
    cr_assert_eq(json_number(out_text, "frames"), 1); // a duration of 0 is one frame
}

Test(cli, bench_keeps_frames_in_flight) {
    assert_run("bench --mode throughput --in-flight 3 --json - -q" SHORT, 0);
    assert_json_text(out_text, "mode", "throughput");
    cr_assert_eq(json_number(out_text, "in_flight"), 3);
    cr_assert_geq(json_number(out_text, "frames"), 1);
}

Test(cli, bench_scores) {
    assert_run("bench --task scores --json - -q" SHORT, 0);
    assert_json_text(out_text, "task", "scores");
}

Test(cli, bench_takes_a_picture) {
    assert_run("bench --input @/odd.ppm --json - -q" SHORT, 0);
    assert_json_text(out_text, "size", "64x96");
    assert_run("bench --input @/odd.ppm --json - -q" SHORT " --size native", 0);
    assert_json_text(out_text, "size", "67x101");
}

Test(cli, bench_warms_up_without_counting) {
    assert_run("bench --json - -q --size 64x96 --warmup 0.2 --duration 0" MODEL, 0);
    cr_assert_eq(json_number(out_text, "frames"), 1);
}

Test(cli, bench_prints_no_percentile_that_lacks_frames) {
    assert_run("bench --size 64x96 --warmup 0 --duration 0" MODEL, 0);
    const char *parts[] = {"needs 100 ", "needs 200 ", "needs 1000 ", "needs 10000 ", "a percentile needs N frames"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) assert_has(out_text, parts[i]);
}

Test(cli, bench_plots_an_svg) {
    assert_run("bench --plot @/p.svg" SHORT, 0);
    char *svg = content("p.svg");
    cr_assert_eq(strncmp(svg, "<svg ", 5), 0);
    assert_has(svg, "latency, ms");
    assert_has(svg, "time, s");
    assert_has(svg, "</svg>");
    free(svg);
}

Test(cli, bench_says_when_weights_are_random) {
    bool bundled = access(FS_SOURCE_DIR "/weights/models/street11.safetensors", R_OK) == 0;
    assert_run("bench --json - -q --size 64x96 --warmup 0 --duration 0 --threads 1", 0);
    if (bundled)
        cr_assert_str_empty(err_text);
    else
        assert_has(err_text, "deterministic random weights (random:1); speed is the same, labels mean nothing");
}

Test(cli, bench_ends_early_on_interrupt_with_results) {
    pid_t child = start("bench --json @/r.json --size 64x96 --warmup 0 --duration 60" MODEL);
    // The head of the table is printed just before the measurement begins.
    char path[128];
    snprintf(path, sizeof path, "%s/.stdout", folder);
    struct timespec pause = {0, 20 * 1000 * 1000};
    for (int i = 0; i < 3000; i++) {
        char *text = read_all(path);
        bool started = text != NULL && strstr(text, "measured") != NULL;
        free(text);
        if (started) break;
        nanosleep(&pause, NULL);
    }
    for (int i = 0; i < 10; i++) nanosleep(&pause, NULL);
    kill(child, SIGINT);
    cr_assert_eq(finish(child), 0, "%s", err_text);
    assert_has(out_text, "(interrupted)");
    char *json = content("r.json");
    cr_assert(is_json(json));
    cr_assert_lt(json_number(json, "seconds"), 30);
    free(json);
}

Test(cli, an_unwritable_stdout_is_a_failure) {
    if (access("/dev/full", W_OK) != 0) cr_skip_test("no /dev/full");
    char line[512];
    snprintf(line, sizeof line, "%s --help >/dev/full 2>%s/.stderr", COMMAND, folder);
    int status = system(line);
    cr_assert_eq(WEXITSTATUS(status), 1);
    snprintf(line, sizeof line, "%s/.stderr", folder);
    err_text = read_all(line);
    assert_has(err_text, "cannot write to standard output");
    // Once, whoever noticed it first.
    static const char *const verbs[] = {"profile", "bench --json -", "profile --json -"};
    for (int i = 0; i < 3; i++) {
        snprintf(line, sizeof line, "%s %s --frames 1 --warmup 0 --size 64x96" MODEL " >/dev/full 2>%s/.stderr",
                 COMMAND, verbs[i], folder);
        status = system(line);
        snprintf(line, sizeof line, "%s/.stderr", folder);
        free(err_text);
        err_text = read_all(line);
        const char *first = strstr(err_text, "standard output");
        cr_assert(WEXITSTATUS(status) == 1 && first != NULL, "%s: %d: %s", verbs[i], status, err_text);
        cr_assert_null(strstr(first + 1, "standard output"), "%s complains twice: %s", verbs[i], err_text);
    }
}

Test(cli, json_goes_through_a_device_not_over_it) {
    assert_run("bench --json /dev/null" SHORT, 0);
    struct stat status;
    cr_assert_eq(stat("/dev/null", &status), 0);
    cr_assert(S_ISCHR(status.st_mode));
}

// ---- scene
// -----------------------------------------------------------------------------------------------------------------

Test(cli, scene_writes_pictures_and_labels_of_one_name) {
    assert_run("scene -o @/drive --size 40x70 --frames 2 --seed 5 --seeds 2 --color", 0);
    cr_assert_str_empty(out_text);
    cr_assert_str_empty(err_text);
    for (int i = 0; i < 4; i++) {
        char name[64];
        snprintf(name, sizeof name, "drive/images/%04d.png", i);
        assert_png(name, 40, 70, 2);
        snprintf(name, sizeof name, "drive/labels/%04d.png", i);
        assert_png(name, 40, 70, 0);
        snprintf(name, sizeof name, "drive/color/%04d.png", i);
        assert_png(name, 40, 70, 2);
    }
    cr_assert_not(exists("drive/images/0004.png"));
}

// The third picture of two streets is the first of the second street.
Test(cli, scene_goes_from_seed_to_seed_and_on_by_frames) {
    assert_run("scene -o @/both --size 40x70 --frames 2 --seed 5 --seeds 2 --every 7", 0);
    assert_run("scene -o @/second --size 40x70 --seed 6", 0);
    assert_run("scene -o @/later --size 40x70 --seed 5 --first 7 --no-labels", 0);
    const char *pairs[][2] = {{"both/images/0002.png", "second/images/0000.png"},
                              {"both/images/0001.png", "later/images/0007.png"}};
    for (int i = 0; i < 2; i++) {
        fs_image a = picture(pairs[i][0]), b = picture(pairs[i][1]);
        cr_assert_arr_eq(a.pixels, b.pixels, 40 * 70 * 3, "%s", pairs[i][0]);
        fs_image_free(&a);
        fs_image_free(&b);
    }
    cr_assert_not(exists("later/labels"));
    cr_assert_not(exists("later/images/0000.png"), "the files are numbered from --first on");
}

// ---- plan, info, doctor
// ------------------------------------------------------------------------------------------------------

Test(cli, plan_prints_text) {
    assert_run("plan --size 64x96" MODEL, 0);
    cr_assert_gt(strlen(out_text), 0);
    cr_assert_eq(out_text[strlen(out_text) - 1], '\n');
}

Test(cli, plan_prints_json) {
    assert_run("plan --size 64x96 --json" MODEL, 0);
    cr_assert(is_json(out_text), "%s", out_text);
}

Test(cli, plan_prints_a_graph) {
    assert_run("plan --size 64x96 --dot --roofline h100" MODEL, 0);
    assert_has(out_text, "digraph");
}

// Whose steps they are is said, in every form; a GPU's roofline beside the CPU's steps is no forecast for that GPU.
Test(cli, plan_says_whose_it_is) {
    assert_run("plan --size 64x96 --backend cpu --roofline h100" MODEL, 0);
    assert_has(out_text, " on cpu: ");
    cr_assert_str_empty(err_text);
    assert_run("plan --size 64x96 --backend cpu --json" MODEL, 0);
    assert_has(out_text, "\"backend\": \"cpu\"");
    assert_run("plan --size 64x96 --backend cpu --dot" MODEL, 0);
    assert_has(out_text, " on cpu");
    const bool built = run("plan --size 64x96 --backend cuda" MODEL) == 0;
    assert_run("plan --size 64x96 --roofline h100" MODEL, 0);
    assert_has(out_text, built ? " on cuda: " : " on cpu: ");
    if (!built) assert_has(err_text, "the CPU backend's steps, not a GPU's, beside the roofline of h100: ");
}

Test(cli, plan_changes_with_disabled_fusion) {
    assert_run("plan --size 64x96" MODEL, 0);
    char *fused = strdup(out_text);
    assert_run("plan --size 64x96 --disable-fusion all" MODEL, 0);
    cr_assert_str_neq(fused, out_text);
    free(fused);
}

Test(cli, info_describes_the_model) {
    assert_run("info --size 64x96" MODEL, 0);
    const char *parts[] = {"variant    paper",
                           "channels   3",
                           "precision  ",
                           "memory     weights",
                           "a session at 64x96",
                           "classes    19",
                           "road",
                           "bicycle",
                           "  #"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) assert_has(out_text, parts[i]);
}

Test(cli, info_prints_json) {
    assert_run("info --json --size 64x96" MODEL, 0);
    cr_assert(is_json(out_text), "%s", out_text);
    const char *parts[] = {"\"variant\": \"paper\"", "\"size\": \"64x96\"", "\"admitted_for\": \"\"",
                           "\"name\": \"road\"", "\"color\": \"#"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) assert_has(out_text, parts[i]);
    cr_assert_eq(json_number(out_text, "channels"), 3);
    cr_assert_eq(json_number(out_text, "layers"), 0);
    cr_assert_gt(json_number(out_text, "weights_bytes"), 1e6);
}

Test(cli, info_says_what_int8_has) {
    assert_run("info --size 64x96" MODEL, 0);
    assert_has(out_text, "int8       no scales in the file");
    assert_run("info --size 64x96 --weights " FS_SOURCE_DIR "/weights/models/street11.safetensors", 0);
    assert_has(out_text, "int8       scales for 24 layers; admitted for ");
    assert_has(out_text, "int8 here\n");
}

// A misspelt limit must not let a comparison run without one.
Test(cli, an_unknown_instruction_set_is_an_error) {
    static const char *const wrong[] = {"foo", "AVX2", "avx", "avx2,avx512", "sse, avx2", ",", " "};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        setenv("FASTSCNN_CPU_ISA", wrong[i], 1);
        assert_run("info --backend cpu --size 64x96" MODEL, 1);
        assert_has(err_text, "names no instruction set: take sse, avx2, avx512, avx512vnni, avx512bf16");
        run("doctor");
        assert_has(out_text, "cpu       not usable");
    }
    static const char *const right[] = {"", "sse", "avx2", "avx512", "avx512vnni", "avx512bf16"};
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        setenv("FASTSCNN_CPU_ISA", right[i], 1);
        assert_run("info --backend cpu --size 64x96" MODEL, 0);
    }
    setenv("FASTSCNN_CPU_ISA", "sse", 1);
    assert_run("info --backend cpu --precision int8 --size 64x96" MODEL, 1);
    assert_has(err_text, "AVX-512 VNNI");
    unsetenv("FASTSCNN_CPU_ISA");
}

Test(cli, doctor_judges_every_backend) {
    int code = run("doctor");
    assert_has(out_text, "cpu       ");
    assert_has(out_text, "cuda      ");
    assert_has(out_text, "cores     ");
    assert_has(out_text, "model     ");
    cr_assert_eq(code, 0, "%s", out_text); // the CPU backend is always there
    assert_has(out_text, "ready");
}

Test(cli, an_absent_backend_says_why) {
    run("doctor");
    if (strstr(out_text, "cuda      not usable") == NULL) cr_skip_test("this machine has a usable GPU");
    assert_run("bench --backend cuda" SHORT, 1);
    cr_assert_gt(strlen(err_text), 20);
}
