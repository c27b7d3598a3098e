// fastscnn segment: pictures in, class maps, overlays, colour images and scores out.
#include <stdio.h>
#include <string.h>

#include "host/cli/cityscapes.h"
#include "host/cli/cli.h"
#include "host/cli/jobs.h"
#include "host/cli/labeller.h"
#include "host/cli/progress.h"
#include "host/cli/video.h"
#include "host/image/image.h"
#include "runtime/base/mem.h"

// Tuning takes longer than it saves for a few pictures.
static const size_t TUNE_FROM = 16;

static const char *const label_id_names[] = {"trainid", "cityscapes", NULL};

typedef struct fs_segmenter {
    fs_labeller labeller;
    bool cityscapes;
    bool alone; // one picture: print its classes
    bool quiet;
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

static bool make_result(fs_segmenter *self, const fs_job *job, fs_segmented *result) {
    fs_image *picture = &result->picture;
    if (!fs_labeller_read(&self->labeller, job->in, picture)) return false;
    size_t pixels = (size_t)picture->height * (size_t)picture->width;
    size_t classes = (size_t)self->labeller.model.info.classes;
    result->labels = fs_malloc(pixels, 1);
    if (job->out[FS_KIND_LOGITS] != NULL) result->logits = fs_malloc(pixels, classes * sizeof *result->logits);
    if (job->out[FS_KIND_OVERLAY] != NULL)
        result->overlay = (fs_image){picture->width, picture->height, 3, fs_malloc(pixels, FS_LABELLER_OVERLAY)};
    if (result->labels == NULL || (job->out[FS_KIND_LOGITS] != NULL && result->logits == NULL) ||
        (job->out[FS_KIND_OVERLAY] != NULL && result->overlay.pixels == NULL))
        return out_of_memory(job->in);

    if (!fs_labeller_run(&self->labeller, job->in, picture, result->labels, result->logits, result->overlay.pixels,
                         &result->seconds))
        return false;

    const uint8_t(*palette)[3] = (const uint8_t(*)[3])self->labeller.palette;
    if (job->out[FS_KIND_COLOR] == NULL ||
        fs_image_color(result->labels, picture->width, picture->height, palette, (int)classes, &result->color) == FS_OK)
        return true;
    fs_complain("%s: %s", job->in, fs_error_text());
    return false;
}

static bool write_result(const fs_segmenter *self, const fs_job *job, fs_segmented *result) {
    int width = result->picture.width, height = result->picture.height;
    const size_t shape[3] = {(size_t)self->labeller.model.info.classes, (size_t)height, (size_t)width};
    if (self->cityscapes)
        for (size_t i = 0; i < shape[1] * shape[2]; i++) result->labels[i] = fs_cityscapes_ids[result->labels[i]];
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
           fs_precision_names[self->labeller.model.info.precision], 1e3 * result->seconds);
    bool shown[256] = {false};
    for (;;) {
        int most = -1;
        for (int i = 0; i < self->labeller.model.info.classes; i++)
            if (!shown[i] && counts[i] > 0 && (most < 0 || counts[i] > counts[most])) most = i;
        if (most < 0) break;
        shown[most] = true;
        const char *name = fscnn_engine_class_name(self->labeller.model.engine, most);
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

static int open_model(fs_segmenter *self) {
    const int code = fs_labeller_open(&self->labeller, "segment");
    if (code != FS_EXIT_OK) return code;
    const int classes = self->labeller.model.info.classes;
    if (!self->cityscapes || classes == FS_CITYSCAPES_CLASSES) return FS_EXIT_OK;
    fs_complain("--label-ids cityscapes needs a model with %d classes; '%s' has %d", FS_CITYSCAPES_CLASSES,
                self->labeller.model.weights, classes);
    fs_labeller_close(&self->labeller);
    return FS_EXIT_FAILED;
}

static int segment_all(fs_segmenter *self, const fs_jobs *jobs, const char *where) {
    const int code = open_model(self);
    if (code != FS_EXIT_OK) return code;
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
    fs_labeller_close(&self->labeller);

    size_t all = jobs->count + jobs->unlisted;
    if (!self->alone && !self->quiet && failed < all)
        printf("%zu picture%s segmented in %.1f s, written to %s\n", all - failed, all - failed == 1 ? "" : "s",
               seconds, where);
    if (jobs->videos > 0 && !self->quiet)
        fs_complain("note: %zu video%s in folders left out; give each by its name", jobs->videos,
                    jobs->videos == 1 ? "" : "s");
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

// One video: each output is a video too.
static int segment_video(fs_segmenter *self, const fs_request *request, const char *in) {
    uint8_t ids[256] = {0};
    memcpy(ids, fs_cityscapes_ids, sizeof fs_cityscapes_ids);
    fs_video_request video = {.in = in, .label_ids = self->cityscapes ? ids : NULL, .quiet = request->quiet};
    char *named[FS_KINDS] = {NULL};
    int code = FS_EXIT_OK, piped = 0;
    if (request->folder != NULL && !fs_folder_make(request->folder)) return FS_EXIT_FAILED;
    for (int kind = 0; kind < FS_KINDS && code == FS_EXIT_OK; kind++) {
        if (!request->wanted[kind]) continue;
        if (request->path[kind] != NULL && strcmp(request->path[kind], "-") == 0 && piped++ > 0) {
            code = fs_usage("segment", "only one output can be written to standard output");
            break;
        }
        if (request->path[kind] == NULL) named[kind] = fs_video_name(in, (fs_kind)kind, request->folder);
        video.out[kind] = request->path[kind] != NULL ? request->path[kind] : named[kind];
        if (video.out[kind] == NULL) {
            fs_complain("%s: out of memory", in);
            code = FS_EXIT_FAILED;
        } else if (!fs_video_check_name((fs_kind)kind, video.out[kind])) {
            code = FS_EXIT_USAGE;
        } else if (strcmp(video.out[kind], in) == 0 && strcmp(in, "-") != 0) {
            fs_complain("output '%s' is the input; give another name", in);
            code = FS_EXIT_USAGE;
        } else if (strcmp(video.out[kind], "-") != 0 && !fs_output_check(video.out[kind])) {
            code = FS_EXIT_FAILED;
        }
    }
    if (code == FS_EXIT_OK) code = open_model(self);
    if (code == FS_EXIT_OK) {
        code = fs_video_segment(&self->labeller, &video);
        fs_labeller_close(&self->labeller);
    }
    for (int kind = 0; kind < FS_KINDS; kind++) fs_free(named[kind]);
    return code;
}

// What only ffmpeg can open, and it only through a pipe of the user's: an address or a camera.
static bool is_elsewhere(const char *path) {
    return strstr(path, "://") != NULL || strncmp(path, "/dev/video", 10) == 0;
}

int fs_verb_segment(int argc, char **argv) {
    fs_setup setup = {0};
    fs_request request = {.folder_given = has_folder_option(argc, argv)};
    fs_segmenter self = {.labeller = {.setup = &setup}};
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
        {.name = "alpha",
         .kind = FS_OPTION_REAL,
         .value = &self.labeller.alpha,
         .placeholder = "SHARE",
         .low = 0.01, // 0 would be the library's default
         .high = 1,
         .help = "share of the class colours in the overlay, up to 1 (default: 0.5)"},
        {.name = "label-ids",
         .kind = FS_OPTION_CHOICE,
         .value = &request.label_ids,
         .placeholder = "trainid|cityscapes",
         .choices = label_id_names,
         .help = "numbers in the labels: the model's own (default), or Cityscapes label\n"
                 "ids for a model with its 19 classes"},
        {.name = "size",
         .kind = FS_OPTION_NATIVE,
         .value = &self.labeller.size,
         .placeholder = "HxW|native",
         .low = FS_LABELLER_MIN_SIDE,
         .high = FS_LABELLER_MAX_SIDE,
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
            "Labels every pixel of pictures (PNG, JPEG, PPM), of all pictures in folders, or of one video: .y4m, '-'\n"
            "(Y4M through a pipe), or a file that ffmpeg reads, where it is installed. Without an output option it\n"
            "writes <stem>_overlay.png (.mp4) into the current folder. Files are replaced only by whole new ones.\n"
            "\n"
            "A video's outputs are videos: .mp4, .mkv, .mov, .m4v, .avi, .webm or .y4m, labels .mkv or .y4m. They have "
            "a\n"
            "frame for each of the source's, at its mean rate, without sound; odd sides grow by a pixel, except in "
            ".y4m\n"
            "and labels. Ctrl-C keeps the frames done so far (exit code 1), a second one ends it at once.",
        .examples = "  fastscnn segment street.jpg --weights model.safetensors --overlay out.png\n"
                    "  fastscnn segment street.png --labels labels.png --label-ids cityscapes\n"
                    "  fastscnn segment frames/ -o out/ --labels --color --size 1024x2048\n"
                    "  fastscnn segment drive.mp4 --overlay labelled.mp4 --labels labels.mkv\n"
                    "  ffmpeg -i rtsp://camera -f yuv4mpegpipe - | fastscnn segment - --overlay - | ffplay -",
        .options = options,
        .count = sizeof options / sizeof *options,
        .shared = shared,
        .shared_count = FS_SETUP_OPTIONS,
        .operands = true,
    };
    int operand, code;
    if (!fs_cli_parse(&command, argc, argv, &operand, &code)) return code;
    if (operand == argc) return fs_usage("segment", "segment needs a picture or a folder");
    bool video = false;
    for (int i = operand; i < argc; i++) {
        if (is_elsewhere(argv[i]))
            return fs_usage("segment",
                            "'%s' is no file; let ffmpeg read it: ffmpeg -i %s -pix_fmt yuv420p -f yuv4mpegpipe - | "
                            "fastscnn segment -",
                            argv[i], argv[i]);
        video |= fs_video_is_name(argv[i]);
    }
    if (video && argc - operand > 1) return fs_usage("segment", "one video at a time, and no pictures beside it");
    if (!video && !check_names(request.path)) return FS_EXIT_USAGE;
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

    self.quiet = request.quiet;
    self.cityscapes = request.label_ids == 1;
    if (video) {
        self.labeller.tune = true;
        return segment_video(&self, &request, argv[operand]);
    }
    fs_jobs jobs = {0};
    code = plan_work(&request, argc - operand, argv + operand, &jobs, &self.alone);
    if (code == FS_EXIT_OK) {
        self.labeller.tune = jobs.count >= TUNE_FROM;
        code = segment_all(&self, &jobs, request.folder != NULL ? request.folder : "the current folder");
    }
    fs_jobs_free(&jobs);
    return code;
}
