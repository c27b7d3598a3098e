// fastscnn segment: pictures in, class maps, overlays, colour images and scores out.
#include <stdio.h>
#include <string.h>

#include "host/cli/cli.h"
#include "host/cli/jobs.h"
#include "host/cli/progress.h"
#include "host/cli/resample.h"
#include "host/image/image.h"
#include "runtime/base/mem.h"

enum { MIN_SIDE = 64, MAX_SIDE = 16384, MAX_CLASSES = 255, CITYSCAPES_CLASSES = 19 };
static const float OVERLAY_ALPHA = 0.5f;
// Tuning takes longer than it saves for a few pictures.
static const size_t TUNE_FROM = 16;

// Cityscapes label ids of train ids 0..18.
static const uint8_t cityscapes_ids[CITYSCAPES_CLASSES] = {7,  8,  11, 12, 13, 17, 19, 20, 21, 22,
                                                           23, 24, 25, 26, 27, 28, 31, 32, 33};
static const char *const label_id_names[] = {"trainid", "cityscapes", NULL};

typedef struct fs_segmenter {
    const fs_setup *setup;
    fs_size size; // 0x0: each picture's own
    bool cityscapes;
    bool alone; // one picture: print its classes
    bool quiet;
    bool tune;
    fs_model_open model;
    fscnn_session *session;
    fscnn_session_info session_info;
    uint8_t palette[MAX_CLASSES][3];
} fs_segmenter;

// Everything that one picture becomes, made before the first file is written.
typedef struct fs_segmented {
    fs_image picture, overlay, color;
    uint8_t *labels; // [height][width] of the picture
    float *logits;   // [classes][height][width] of the picture, or NULL
    double seconds;  // of the network
} fs_segmented;

static bool out_of_memory(const char *path) {
    fs_complain("%s: out of memory; use a smaller --size or fewer outputs", path);
    return false;
}

static bool use_session(fs_segmenter *self, int height, int width) {
    if (self->session != NULL && self->session_info.height == height && self->session_info.width == width) return true;
    fscnn_session_close(&self->session);
    return fs_setup_session(self->setup, self->model.engine, height, width, 1, self->tune ? 0 : -1, &self->session,
                            &self->session_info) == FS_EXIT_OK;
}

static bool run_network(fs_segmenter *self, const char *path, const fs_image *image, uint8_t *labels, float *logits,
                        double *seconds) {
    fscnn_frame frame;
    fscnn_frame_init(&frame, image->channels == 4 ? FSCNN_RGBA8 : FSCNN_RGB8, image->width, image->height,
                     image->pixels);
    fscnn_outputs outputs;
    fscnn_outputs_init(&outputs);
    outputs.labels = labels;
    outputs.logits = logits;
    double start = fs_seconds();
    if (fscnn_run(self->session, &frame, &outputs) != FSCNN_OK) {
        fs_complain("%s: %s", path, fscnn_error());
        return false;
    }
    *seconds = fs_seconds() - start;
    return true;
}

// Brings the scores to the picture's size and takes the best class there; with `keep` the resized scores stay too.
static void labels_from_scores(const float *scores, fs_size size, int classes, int height, int width, uint8_t *labels,
                               float *best, float *row, float *keep) {
    size_t plane = (size_t)height * (size_t)width;
    for (int c = 0; c < classes; c++) {
        const float *in = scores + (size_t)c * (size_t)size.height * (size_t)size.width;
        for (int y = 0; y < height; y++) {
            size_t at = (size_t)y * (size_t)width;
            float *out = keep != NULL ? keep + (size_t)c * plane + at : row;
            fs_plane_resize_row(in, size.height, size.width, y, height, width, out);
            for (int x = 0; x < width; x++) {
                if (c > 0 && !(out[x] > best[at + (size_t)x])) continue;
                best[at + (size_t)x] = out[x];
                labels[at + (size_t)x] = (uint8_t)c;
            }
        }
    }
}

static bool label_resized(fs_segmenter *self, const char *path, fs_size size, fs_segmented *result) {
    const fs_image *picture = &result->picture;
    size_t pixels = (size_t)picture->height * (size_t)picture->width;
    size_t classes = (size_t)self->model.info.classes;
    fs_image resized = {0};
    float *scores = fs_malloc((size_t)size.height * (size_t)size.width, classes * sizeof *scores);
    float *best = fs_malloc(pixels, sizeof *best);
    float *row = fs_malloc((size_t)picture->width, sizeof *row);
    bool fine = false;
    if (scores == NULL || best == NULL || row == NULL) {
        out_of_memory(path);
    } else if (fs_image_resize(picture, size.width, size.height, &resized) != FS_OK) {
        fs_complain("%s: %s", path, fs_error_text());
    } else if (run_network(self, path, &resized, NULL, scores, &result->seconds)) {
        labels_from_scores(scores, size, (int)classes, picture->height, picture->width, result->labels, best, row,
                           result->logits);
        fine = true;
    }
    fs_image_free(&resized);
    fs_free(scores);
    fs_free(best);
    fs_free(row);
    return fine;
}

static bool read_picture(const fs_segmenter *self, const char *path, fs_image *picture) {
    int channels = self->model.info.channels;
    if (fs_image_read(path, channels == 4 ? 0 : channels, picture) != FS_OK) {
        fs_complain("%s", fs_error_text());
        return false;
    }
    if (channels == 4 && picture->channels != 4) {
        fs_complain(
            "%s: the model takes a 4th channel in the picture's alpha, which this one lacks; 255 is taken for it",
            path);
        fs_image_free(picture);
        if (fs_image_read(path, channels, picture) != FS_OK) {
            fs_complain("%s", fs_error_text());
            return false;
        }
    }
    return true;
}

static bool make_result(fs_segmenter *self, const fs_job *job, fs_segmented *result) {
    fs_image *picture = &result->picture;
    if (!read_picture(self, job->in, picture)) return false;
    fs_size size = self->size;
    if (size.height == 0) {
        size = (fs_size){picture->height, picture->width};
        if (size.height < MIN_SIDE || size.width < MIN_SIDE || size.height > MAX_SIDE || size.width > MAX_SIDE) {
            fs_complain(
                "%s: %dx%d pixels (height x width), but the network takes %d to %d a side; pass --size HxW to resize",
                job->in, size.height, size.width, MIN_SIDE, MAX_SIDE);
            return false;
        }
    }
    size_t pixels = (size_t)picture->height * (size_t)picture->width;
    size_t classes = (size_t)self->model.info.classes;
    result->labels = fs_malloc(pixels, 1);
    if (job->out[FS_KIND_LOGITS] != NULL) result->logits = fs_malloc(pixels, classes * sizeof *result->logits);
    if (result->labels == NULL || (job->out[FS_KIND_LOGITS] != NULL && result->logits == NULL))
        return out_of_memory(job->in);

    if (!use_session(self, size.height, size.width)) return false;
    bool native = size.height == picture->height && size.width == picture->width;
    bool fine = native ? run_network(self, job->in, picture, result->labels, result->logits, &result->seconds)
                       : label_resized(self, job->in, size, result);
    if (!fine) return false;

    const uint8_t(*palette)[3] = (const uint8_t(*)[3])self->palette;
    fs_status status = FS_OK;
    if (job->out[FS_KIND_OVERLAY] != NULL)
        status = fs_image_overlay(picture, result->labels, palette, (int)classes, OVERLAY_ALPHA, &result->overlay);
    if (status == FS_OK && job->out[FS_KIND_COLOR] != NULL)
        status = fs_image_color(result->labels, picture->width, picture->height, palette, (int)classes, &result->color);
    if (status != FS_OK) fs_complain("%s: %s", job->in, fs_error_text());
    return status == FS_OK;
}

static bool write_result(const fs_segmenter *self, const fs_job *job, fs_segmented *result) {
    int width = result->picture.width, height = result->picture.height;
    const size_t shape[3] = {(size_t)self->model.info.classes, (size_t)height, (size_t)width};
    if (self->cityscapes)
        for (size_t i = 0; i < shape[1] * shape[2]; i++) result->labels[i] = cityscapes_ids[result->labels[i]];
    const fs_image labels = {.width = width, .height = height, .channels = 1, .pixels = result->labels};
    const fs_image *images[FS_KINDS] = {
        [FS_KIND_LABELS] = &labels, [FS_KIND_OVERLAY] = &result->overlay, [FS_KIND_COLOR] = &result->color};
    for (int kind = 0; kind < FS_KINDS; kind++) {
        const char *path = job->out[kind];
        if (path == NULL) continue;
        fs_status status = kind == FS_KIND_LOGITS ? fs_npy_write_f32(path, result->logits, shape, 3)
                                                  : fs_image_write(path, images[kind]);
        if (status == FS_OK) continue;
        fs_complain("%s", fs_error_text());
        return false;
    }
    return true;
}

// The classes of one picture by falling share of its pixels.
static void print_shares(const fs_segmenter *self, const fs_job *job, const uint64_t counts[256],
                         const fs_segmented *result) {
    uint64_t total = (uint64_t)result->picture.width * (uint64_t)result->picture.height;
    printf("%s: %dx%d, %s, %.1f ms\n", job->in, result->picture.height, result->picture.width,
           fs_precision_names[self->model.info.precision], 1e3 * result->seconds);
    bool shown[256] = {false};
    for (;;) {
        int most = -1;
        for (int i = 0; i < self->model.info.classes; i++)
            if (!shown[i] && counts[i] > 0 && (most < 0 || counts[i] > counts[most])) most = i;
        if (most < 0) break;
        shown[most] = true;
        const char *name = fscnn_engine_class_name(self->model.engine, most);
        printf("  %-20s %6.2f %%\n", name != NULL ? name : "", 100.0 * (double)counts[most] / (double)total);
    }
    for (int kind = 0; kind < FS_KINDS; kind++)
        if (job->out[kind] != NULL) printf("wrote %s\n", job->out[kind]);
}

static bool segment_one(fs_segmenter *self, const fs_job *job) {
    fs_segmented result = {.seconds = 0};
    uint64_t counts[256] = {0};
    bool fine = make_result(self, job, &result);
    if (fine) {
        size_t pixels = (size_t)result.picture.width * (size_t)result.picture.height;
        for (size_t i = 0; i < pixels; i++) counts[result.labels[i]]++;
        fine = write_result(self, job, &result);
    }
    if (fine && self->alone && !self->quiet) print_shares(self, job, counts, &result);
    fs_image_free(&result.picture);
    fs_image_free(&result.overlay);
    fs_image_free(&result.color);
    fs_free(result.labels);
    fs_free(result.logits);
    return fine;
}

static int segment_all(fs_segmenter *self, const fs_jobs *jobs, const char *where) {
    int code = fs_setup_open(self->setup, "segment", false, &self->model);
    if (code != FS_EXIT_OK) return code;
    int classes = self->model.info.classes;
    if (self->cityscapes && classes != CITYSCAPES_CLASSES) {
        fs_complain("--label-ids cityscapes needs a model with %d classes; '%s' has %d", CITYSCAPES_CLASSES,
                    self->model.weights, classes);
        fscnn_engine_close(&self->model.engine);
        return FS_EXIT_FAILED;
    }
    for (int i = 0; i < classes && i < MAX_CLASSES; i++)
        fscnn_engine_class_color(self->model.engine, i, self->palette[i]);

    size_t failed = jobs->unlisted;
    double start = fs_seconds();
    fs_progress progress;
    fs_progress_start(&progress, "segmenting", jobs->count, self->quiet || self->alone);
    for (size_t i = 0; i < jobs->count; i++) {
        fs_progress_update(&progress, i);
        if (!segment_one(self, &jobs->list[i])) failed++;
    }
    fs_progress_clear(&progress);
    double seconds = fs_seconds() - start;
    fscnn_session_close(&self->session);
    fscnn_engine_close(&self->model.engine);

    size_t all = jobs->count + jobs->unlisted;
    if (!self->alone && !self->quiet && failed < all)
        printf("%zu picture%s segmented in %.1f s, written to %s\n", all - failed, all - failed == 1 ? "" : "s",
               seconds, where);
    if (failed > 0 && all > 1) fs_complain("%zu of %zu pictures failed", failed, all);
    return failed > 0 ? FS_EXIT_FAILED : FS_EXIT_OK;
}

// With -o, --labels and its kin only choose what is written and take no file name; this must be known before parsing.
static bool has_folder_option(int argc, char **argv) {
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        const char *word = argv[i];
        if (strcmp(word, "--output") == 0 || strncmp(word, "--output=", 9) == 0) return true;
        if (word[0] == '-' && word[1] != '-' && strchr(word, 'o') != NULL) return true;
    }
    return false;
}

static bool check_names(const char *const path[FS_KINDS]) {
    if (path[FS_KIND_LABELS] != NULL && !fs_name_ends(path[FS_KIND_LABELS], ".png")) {
        fs_usage("segment", "option '--labels' writes PNG, but '%s' does not end in .png", path[FS_KIND_LABELS]);
        return false;
    }
    if (path[FS_KIND_LOGITS] != NULL && !fs_name_ends(path[FS_KIND_LOGITS], ".npy")) {
        fs_usage("segment", "option '--logits' writes NumPy files, but '%s' does not end in .npy",
                 path[FS_KIND_LOGITS]);
        return false;
    }
    for (int kind = FS_KIND_OVERLAY; kind <= FS_KIND_COLOR; kind++) {
        if (path[kind] == NULL || (fs_image_is_name(path[kind]) && !fs_name_ends(path[kind], ".pgm"))) continue;
        fs_usage("segment", "option '--%s' writes .png, .jpg or .ppm, but '%s' ends otherwise",
                 kind == FS_KIND_OVERLAY ? "overlay" : "color", path[kind]);
        return false;
    }
    return true;
}

typedef struct fs_request {
    bool quiet, folder_given;
    int label_ids;
    const char *folder;
    const char *path[FS_KINDS];
    bool wanted[FS_KINDS];
} fs_request;

// Lists the pictures and their outputs and checks all that can be checked before the work.
static int plan_work(const fs_request *request, int count, char **operands, fs_jobs *jobs, bool *alone) {
    bool fine = true;
    for (int i = 0; fine && i < count; i++) fine = fs_jobs_add(jobs, operands[i]);
    *alone = count == 1 && jobs->unlisted == 0 && jobs->count == 1 && strcmp(jobs->list[0].in, operands[0]) == 0;
    if (fine && !*alone && !request->folder_given)
        for (int kind = 0; kind < FS_KINDS; kind++)
            if (request->path[kind] != NULL)
                return fs_usage("segment", "one file name ('%s') cannot hold several pictures; use -o DIR",
                                request->path[kind]);
    if (jobs->count == 0 && fine) return FS_EXIT_FAILED;
    if (fine && request->folder != NULL && !fs_folder_make(request->folder)) return FS_EXIT_FAILED;
    for (size_t i = 0; fine && i < jobs->count; i++)
        for (int kind = 0; fine && kind < FS_KINDS; kind++)
            if (request->wanted[kind]) fine = fs_jobs_name(&jobs->list[i], kind, request->path[kind], request->folder);
    if (!fine) {
        fs_complain("out of memory for the list of pictures");
        return FS_EXIT_FAILED;
    }
    if (!fs_jobs_distinct(jobs)) return FS_EXIT_USAGE;
    for (size_t i = 0; i < jobs->count; i++)
        for (int kind = 0; kind < FS_KINDS; kind++)
            if (jobs->list[i].out[kind] != NULL && !fs_output_check(jobs->list[i].out[kind])) return FS_EXIT_FAILED;
    return FS_EXIT_OK;
}

int fs_verb_segment(int argc, char **argv) {
    fs_setup setup = {0};
    fs_request request = {.folder_given = has_folder_option(argc, argv)};
    fs_segmenter self = {.setup = &setup};
    fs_option options[] = {
        {.name = "labels", .placeholder = "PNG", .help = "class indices, 8-bit gray, at the picture's size"},
        {.name = "overlay", .placeholder = "FILE", .help = "the picture with class colours over it (.png, .jpg, .ppm)"},
        {.name = "color", .placeholder = "FILE", .help = "class colours alone (.png, .jpg, .ppm)"},
        {.name = "logits", .placeholder = "NPY", .help = "float32 [classes, height, width] before softmax"},
        {.name = "output",
         .letter = 'o',
         .kind = FS_OPTION_TEXT,
         .value = &request.folder,
         .placeholder = "DIR",
         .help = "write into DIR (made if missing) as <stem>_labels.png, _overlay.png,\n"
                 "_color.png, _logits.npy; with it the four options above take no file name\n"
                 "and choose what is written (default: labels and overlay)"},
        {.name = "label-ids",
         .kind = FS_OPTION_CHOICE,
         .value = &request.label_ids,
         .placeholder = "trainid|cityscapes",
         .choices = label_id_names,
         .help = "numbers in the labels: the model's own (default), or Cityscapes label\n"
                 "ids for a model with its 19 classes"},
        {.name = "size",
         .kind = FS_OPTION_NATIVE,
         .value = &self.size,
         .placeholder = "HxW|native",
         .low = MIN_SIDE,
         .high = MAX_SIDE,
         .help = "network size; pictures are resized to it, outputs back (default: native)"},
        {.name = "quiet",
         .letter = 'q',
         .kind = FS_OPTION_FLAG,
         .value = &request.quiet,
         .help = "no table, no summary, no progress bar"},
    };
    for (int kind = 0; kind < FS_KINDS; kind++) {
        options[kind].kind = request.folder_given ? FS_OPTION_FLAG : FS_OPTION_TEXT;
        options[kind].value = request.folder_given ? (void *)&request.wanted[kind] : (void *)&request.path[kind];
    }
    fs_option shared[FS_SETUP_OPTIONS];
    fs_setup_options(&setup, shared);
    const fs_command command = {
        .name = "segment",
        .synopsis = "IN... [OPTION]...",
        .about =
            "Labels every pixel of pictures (PNG, JPEG, PPM) or of all pictures in folders. Without an output option\n"
            "it writes <stem>_overlay.png into the current folder. Files are replaced only by whole new ones.",
        .examples = "  fastscnn segment street.jpg --weights model.safetensors --overlay out.png\n"
                    "  fastscnn segment street.png --labels labels.png --label-ids cityscapes\n"
                    "  fastscnn segment frames/ -o out/ --labels --color --size 1024x2048",
        .options = options,
        .count = sizeof options / sizeof *options,
        .shared = shared,
        .shared_count = FS_SETUP_OPTIONS,
        .operands = true,
    };
    int operand, code;
    if (!fs_cli_parse(&command, argc, argv, &operand, &code)) return code;
    if (operand == argc) return fs_usage("segment", "segment needs a picture or a folder");
    if (!check_names(request.path)) return FS_EXIT_USAGE;
    bool any = false;
    for (int kind = 0; kind < FS_KINDS; kind++) {
        if (request.path[kind] != NULL) request.wanted[kind] = true;
        any = any || request.wanted[kind];
    }
    if (!any) {
        request.wanted[FS_KIND_OVERLAY] = true;
        request.wanted[FS_KIND_LABELS] = request.folder_given;
    }
    if (request.label_ids != 0 && !request.wanted[FS_KIND_LABELS])
        return fs_usage("segment", "option '--label-ids' is about the labels; add --labels");

    fs_jobs jobs = {0};
    code = plan_work(&request, argc - operand, argv + operand, &jobs, &self.alone);
    if (code == FS_EXIT_OK) {
        self.quiet = request.quiet;
        self.cityscapes = request.label_ids == 1;
        self.tune = jobs.count >= TUNE_FROM;
        code = segment_all(&self, &jobs, request.folder != NULL ? request.folder : "the current folder");
    }
    fs_jobs_free(&jobs);
    return code;
}
