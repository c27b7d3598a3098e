// fastscnn calibrate: makes a copy of a model for int8, from typical pictures.
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "host/cli/cli.h"
#include "host/cli/jobs.h"
#include "host/cli/progress.h"
#include "host/image/image.h"
#include "runtime/base/text.h"

enum { LAYERS = 45 };

typedef struct calibrate_job {
    const char *images, *weights, *out, *json;
    fs_size size;
    int limit;
    double max_error;
    bool quiet;
    fs_jobs pictures;
    int used;
    fscnn_calibrator *calibrator;
} calibrate_job;

static bool add_picture(calibrate_job *self, const char *path) {
    fs_image picture = {0}, resized = {0};
    if (fs_image_read(path, fscnn_calibrator_channels(self->calibrator), &picture) != FS_OK) {
        fs_complain("%s", fs_error_text());
        return false;
    }
    bool fine = true;
    const fs_image *image = &picture;
    if (self->size.height && (self->size.height != picture.height || self->size.width != picture.width)) {
        fine = fs_image_resize(&picture, self->size.width, self->size.height, &resized) == FS_OK;
        if (!fine) fs_complain("%s: %s", path, fs_error_text());
        image = &resized;
    }
    if (fine) {
        fscnn_frame frame;
        fscnn_frame_init(&frame, image->channels == 4 ? FSCNN_RGBA8 : FSCNN_RGB8, image->width, image->height,
                         image->pixels);
        fine = fscnn_calibrator_add(self->calibrator, &frame) == FSCNN_OK;
        if (!fine) fs_complain("%s: %s", path, fscnn_error());
    }
    fs_image_free(&picture);
    fs_image_free(&resized);
    return fine;
}

static bool add_pictures(calibrate_job *self) {
    // An even choice of the folder, in the order of names: neighbours are often frames of one drive.
    const size_t count = self->pictures.count;
    const size_t take = (size_t)self->limit < count ? (size_t)self->limit : count;
    fs_progress progress;
    fs_progress_start(&progress, "calibrating", take, self->quiet);
    bool fine = true;
    for (size_t i = 0; i < take && fine; i++) {
        fs_progress_update(&progress, i);
        fine = add_picture(self, self->pictures.list[i * count / take].in);
        self->used += fine;
    }
    fs_progress_clear(&progress);
    return fine;
}

// What was chosen, as text on standard output and as JSON.
static bool report(calibrate_job *self, fs_text *json) {
    fs_json_open(json, NULL, '{');
    fs_json_string(json, "weights", self->weights);
    fs_json_string(json, "images", self->images);
    fs_json_integer(json, "pictures", self->used);
    fs_json_number(json, "max_error", self->max_error);
    fs_json_string(json, "commit", FS_COMMIT);
    fs_json_open(json, "layers", '[');
    if (!self->quiet) printf("%-18s %9s %12s %5s\n", "layer", "error", "scale", "zero");
    for (int i = 0; i < LAYERS; i++) {
        fscnn_calibrated_layer layer;
        fscnn_calibrated_layer_init(&layer);
        if (fscnn_calibrator_get_layer(self->calibrator, i, &layer) != FSCNN_OK) {
            fs_complain("%s", fscnn_error());
            return false;
        }
        if (!layer.candidate) continue;
        if (!self->quiet)
            printf("%-18s %9.5f %12.6g %5d%s\n", layer.name, layer.error, layer.scale, layer.zero,
                   layer.error > self->max_error ? "  stays precise" : "");
        fs_json_open(json, NULL, '{');
        fs_json_string(json, "name", layer.name);
        fs_json_number(json, "error", layer.error);
        fs_json_number(json, "scale", layer.scale);
        fs_json_integer(json, "zero", layer.zero);
        fs_json_bool(json, "within_max_error", layer.error <= self->max_error);
        fs_json_close(json, '}');
    }
    fs_json_close(json, ']');
    fs_json_close(json, '}');
    fs_text_add(json, "\n");
    if (fs_text_status(json) == FS_OK) return true;
    fs_complain("out of memory for the report");
    return false;
}

static int calibrate(calibrate_job *self) {
    if (!fs_jobs_add(&self->pictures, self->images)) {
        fs_complain("out of memory for the list of pictures");
        return FS_EXIT_FAILED;
    }
    if (self->pictures.count == 0) {
        if (self->pictures.unlisted == 0) fs_complain("'%s' has no pictures to calibrate on", self->images);
        return FS_EXIT_FAILED;
    }
    if (fscnn_calibrator_open(self->weights, &self->calibrator) != FSCNN_OK) {
        fs_complain("%s", fscnn_error());
        return FS_EXIT_FAILED;
    }
    if (!add_pictures(self)) return FS_EXIT_FAILED;
    fs_text json = {0};
    bool fine = report(self, &json);
    if (fine && fscnn_calibrator_save(self->calibrator, self->max_error, self->out) != FSCNN_OK) {
        fs_complain("%s", fscnn_error());
        fine = false;
    }
    if (fine && self->json != NULL) fine = fs_text_write(self->json, json.data, json.length);
    fs_text_free(&json);
    if (fine && !self->quiet)
        printf("%s: calibrated on %d picture%s\n", self->out, self->used, self->used == 1 ? "" : "s");
    return fine ? FS_EXIT_OK : FS_EXIT_FAILED;
}

static bool same_file(const char *a, const char *b) {
    struct stat of_a, of_b;
    return stat(a, &of_a) == 0 && stat(b, &of_b) == 0 && of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
}

// The copy replaces neither the model nor what else this run reads or writes, by whatever name.
static bool distinct(const calibrate_job *self) {
    if (same_file(self->out, self->weights)) {
        fs_complain("output '%s' is the model itself; give the copy another name", self->out);
        return false;
    }
    if (same_file(self->out, self->images)) {
        fs_complain("output '%s' is the input; give the copy another name", self->out);
        return false;
    }
    const bool both = self->json != NULL && (strcmp(self->json, self->out) == 0 || same_file(self->json, self->out));
    if (both) fs_complain("options '-o' and '--json' name the same file '%s'", self->out);
    return !both;
}

int fs_verb_calibrate(int argc, char **argv) {
    calibrate_job self = {.limit = 64, .max_error = 0.1};
    const fs_option options[] = {
        {.name = "images",
         .kind = FS_OPTION_TEXT,
         .value = &self.images,
         .placeholder = "DIR",
         .help = "typical pictures, or one; not those that accuracy is measured on"},
        {.name = "weights",
         .kind = FS_OPTION_TEXT,
         .value = &self.weights,
         .placeholder = "FILE",
         .help = "safetensors weights (default: the bundled model)"},
        {.name = "output",
         .letter = 'o',
         .kind = FS_OPTION_TEXT,
         .value = &self.out,
         .placeholder = "FILE",
         .help = "the copy for int8 to write"},
        {.name = "size",
         .kind = FS_OPTION_NATIVE,
         .value = &self.size,
         .placeholder = "HxW|native",
         .low = 64,
         .high = FS_IMAGE_MAX_SIDE,
         .help = "network size; pictures are resized to it (default: native)"},
        {.name = "limit",
         .kind = FS_OPTION_WHOLE,
         .value = &self.limit,
         .placeholder = "N",
         .low = 1,
         .high = 1000000,
         .help = "at most so many pictures, evenly chosen (default: 64)"},
        {.name = "max-error",
         .kind = FS_OPTION_REAL,
         .value = &self.max_error,
         .placeholder = "E",
         .low = 1e-6,
         .high = 100,
         .help = "layers with a larger error of their output, relative to how much it varies,\n"
                 "stay precise (default: 0.1)"},
        {.name = "json",
         .kind = FS_OPTION_TEXT,
         .value = &self.json,
         .placeholder = "FILE",
         .help = "scales and errors by layer as JSON; '-' is standard output"},
        {.name = "quiet",
         .letter = 'q',
         .kind = FS_OPTION_FLAG,
         .value = &self.quiet,
         .help = "no table, no progress bar"},
    };
    const fs_command command = {
        .name = "calibrate",
        .synopsis = "--images DIR -o FILE [OPTION]...",
        .about =
            "Makes a copy of a model for int8: finds the range of each layer's input over typical pictures, and what\n"
            "int8 costs there. The network runs in plain precise arithmetic, a second or more a picture.",
        .examples = "  fastscnn calibrate --images train/images -o model-int8.safetensors --weights model.safetensors\n"
                    "  fastscnn eval --weights model-int8.safetensors --precision int8 --images test/images --truth "
                    "test/labels\n",
        .options = options,
        .count = sizeof options / sizeof *options,
    };
    int operand, code;
    if (!fs_cli_parse(&command, argc, argv, &operand, &code)) return code;
    if (self.images == NULL) return fs_usage("calibrate", "option '--images DIR' is needed: pictures to calibrate on");
    if (self.out == NULL) return fs_usage("calibrate", "option '-o FILE' is needed: the copy to write");
    if (self.weights == NULL) self.weights = fs_bundled_weights();
    if (self.weights == NULL) {
        fs_complain("no weights: no model is bundled; pass --weights FILE");
        return FS_EXIT_FAILED;
    }
    if (!distinct(&self)) return FS_EXIT_USAGE;
    if (!fs_output_check(self.out)) return FS_EXIT_FAILED;
    if (self.json != NULL && strcmp(self.json, "-") != 0 && !fs_output_check(self.json)) return FS_EXIT_FAILED;
    code = calibrate(&self);
    fscnn_calibrator_close(&self.calibrator);
    fs_jobs_free(&self.pictures);
    return code;
}
