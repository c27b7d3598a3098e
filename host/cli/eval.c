// fastscnn eval: pictures and their truth in, or predictions and their truth; mIoU and IoU of each class out.
#include "host/cli/eval.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "host/cli/labeller.h"
#include "host/cli/pairs.h"
#include "host/cli/progress.h"
#include "host/image/image.h"
#include "runtime/base/mem.h"

enum { NO_IGNORE_GIVEN = -1, DEFAULT_IGNORE = 255 };
// Tuning takes longer than it saves for a few pictures.
static const size_t TUNE_FROM = 16;
static const char *const truth_id_names[] = {"trainid", "cityscapes", NULL};

typedef struct fs_eval {
    fs_setup setup;
    fs_labeller labeller; // with predictions only its model may be open, for the names
    fs_evaluation evaluation;
    fs_pairs pairs;
    const char *json;
    int truth_ids, ignore, classes; // classes 0: the model's
    bool keep_going, quiet;
    fs_progress progress;
} fs_eval;

// ---- One pair -------------------------------------------------------------------------------------------------------

static bool read_labels(fs_eval *self, const char *path, fs_image *labels) {
    if (fs_labels_read(path, labels) == FS_OK) return true;
    fs_progress_clear(&self->progress);
    fs_complain("%s", fs_error_text());
    return false;
}

static bool bad_value(fs_eval *self, const char *path, const fs_image *map, size_t at, bool in_truth) {
    const fs_evaluation *evaluation = &self->evaluation;
    const int value = map->pixels[at], row = (int)(at / (size_t)map->width), column = (int)(at % (size_t)map->width);
    const int labels = evaluation->matrix.labels;
    char known[128], hint[96] = "";
    snprintf(known, sizeof known, "0 to %d", labels - 1);
    if (in_truth && !evaluation->cityscapes) {
        if (evaluation->ignore > labels)
            snprintf(known, sizeof known, "0 to %d, and %d and %d, which are ignored", labels - 1, labels,
                     evaluation->ignore);
        else
            snprintf(known, sizeof known, "0 to %d, and %d, which is ignored", labels - 1, labels);
        snprintf(hint, sizeof hint, "; see --ignore and --truth-ids");
    } else if (!in_truth) {
        snprintf(hint, sizeof hint, "; see %s", evaluation->cityscapes ? "--truth-ids" : "--classes and --truth-ids");
    }
    fs_progress_clear(&self->progress);
    fs_complain("%s: the value %d (row %d, column %d) is out of range; %s may hold %s%s", path, value, row, column,
                in_truth ? "the truth" : "a prediction", known, hint);
    return false;
}

// Labels of the pair's picture by the network, or of its prediction, at the picture's size.
static bool predict(fs_eval *self, const fs_pair *pair, const fs_image *truth, fs_image *prediction) {
    fs_image picture = {0};
    const bool network = self->evaluation.predictions == NULL;
    const bool read =
        network ? fs_labeller_read(&self->labeller, pair->in, &picture) : read_labels(self, pair->in, prediction);
    if (!read) return false;
    const fs_image *shown = network ? &picture : prediction;
    bool fine = shown->width == truth->width && shown->height == truth->height;
    if (!fine) {
        fs_progress_clear(&self->progress);
        fs_complain("%s: %dx%d pixels (height x width), but its truth '%s' has %dx%d; they must have one size",
                    pair->in, shown->height, shown->width, pair->truth, truth->height, truth->width);
    }
    if (fine && network) {
        *prediction = (fs_image){.width = picture.width, .height = picture.height, .channels = 1};
        prediction->pixels = fs_malloc((size_t)picture.width * (size_t)picture.height, 1);
        double seconds;
        fine = prediction->pixels != NULL;
        if (!fine)
            fs_complain("%s: out of memory", pair->in);
        else
            fine = fs_labeller_run(&self->labeller, pair->in, &picture, prediction->pixels, NULL, &seconds);
    }
    fs_image_free(&picture);
    return fine;
}

static bool evaluate_one(fs_eval *self, const fs_pair *pair) {
    if (pair->in == NULL || pair->truth == NULL) return false; // complained about when it was listed
    fs_image truth = {0}, prediction = {0};
    bool fine = read_labels(self, pair->truth, &truth) && predict(self, pair, &truth, &prediction);
    if (fine) {
        size_t at;
        bool in_truth;
        const size_t pixels = (size_t)truth.width * (size_t)truth.height;
        fine = fs_confusion_add(&self->evaluation.matrix, truth.pixels, prediction.pixels, pixels, &at, &in_truth);
        if (!fine) bad_value(self, in_truth ? pair->truth : pair->in, in_truth ? &truth : &prediction, at, in_truth);
    }
    fs_image_free(&truth);
    fs_image_free(&prediction);
    return fine;
}

// ---- The run --------------------------------------------------------------------------------------------------------

// No two labels share a name: it is their key in the JSON.
static void set_name(fs_evaluation *evaluation, int label, const char *name) {
    char *to = evaluation->names[label];
    if (name != NULL && name[0] != '\0') snprintf(to, FS_NAME_MAX, "%s", name);
    bool twice = to[0] == '\0';
    for (int i = 0; i < label && !twice; i++) twice = strcmp(evaluation->names[i], to) == 0;
    if (twice) snprintf(to, FS_NAME_MAX, "class %d", label);
}

// What the values of the maps mean.
static bool set_labels(fs_eval *self) {
    fs_evaluation *evaluation = &self->evaluation;
    fs_confusion *matrix = &evaluation->matrix;
    const fscnn_engine *engine = self->labeller.model.engine;
    const int classes = engine != NULL ? self->labeller.model.info.classes : self->classes;
    if (!fs_confusion_init(matrix, evaluation->cityscapes ? FS_CITYSCAPES_LABELS : classes)) {
        fs_complain("out of memory");
        return false;
    }
    if (evaluation->cityscapes) {
        for (int i = 0; i < FS_CITYSCAPES_LABELS; i++) {
            matrix->ignored[i] = fs_cityscapes_labels[i].train_id < 0;
            set_name(evaluation, i, fs_cityscapes_labels[i].name);
        }
        for (int value = 0; value < 256 && evaluation->predictions == NULL; value++)
            matrix->prediction[value] = value < FS_CITYSCAPES_CLASSES ? fs_cityscapes_ids[value] : FS_VALUE_UNKNOWN;
        return true;
    }
    for (int i = 0; i < classes; i++) set_name(evaluation, i, engine != NULL ? fscnn_engine_class_name(engine, i) : "");
    matrix->truth[classes] = FS_VALUE_SKIPPED;
    if (evaluation->ignore < classes)
        matrix->ignored[evaluation->ignore] = true;
    else
        matrix->truth[evaluation->ignore] = FS_VALUE_SKIPPED;
    return true;
}

static int open_model(fs_eval *self) {
    if (self->evaluation.predictions != NULL && (self->evaluation.cityscapes || self->setup.weights == NULL))
        return FS_EXIT_OK;
    const int code = fs_labeller_open(&self->labeller, "eval");
    if (code != FS_EXIT_OK) return code;
    const int classes = self->labeller.model.info.classes;
    if (self->evaluation.cityscapes && classes != FS_CITYSCAPES_CLASSES) {
        fs_complain("--truth-ids cityscapes needs a model with %d classes; '%s' has %d", FS_CITYSCAPES_CLASSES,
                    self->labeller.model.weights, classes);
        return FS_EXIT_FAILED;
    }
    return FS_EXIT_OK;
}

// Fills evaluation->failed and the matrix. False when the run ends without a result.
static bool evaluate_all(fs_eval *self) {
    fs_evaluation *evaluation = &self->evaluation;
    const fs_pairs *pairs = &self->pairs;
    evaluation->failed = fs_calloc(pairs->count, sizeof *evaluation->failed);
    if (evaluation->failed == NULL) {
        fs_complain("out of memory for a list of %zu pictures", pairs->count);
        return false;
    }
    size_t failed = 0;
    const double start = fs_seconds();
    fs_progress_start(&self->progress, "evaluating", pairs->count, self->quiet);
    for (size_t i = 0; i < pairs->count && (failed == 0 || self->keep_going); i++) {
        fs_progress_update(&self->progress, i);
        const fs_pair *pair = &pairs->list[i];
        if (evaluate_one(self, pair)) continue;
        evaluation->failed[failed++] = pair->in != NULL ? pair->in : pair->truth;
    }
    fs_progress_clear(&self->progress);
    evaluation->seconds = fs_seconds() - start;
    evaluation->found = pairs->count;
    evaluation->evaluated = pairs->count - failed;
    if (failed > 0 && !self->keep_going) {
        fs_complain("nothing was evaluated or written; --keep-going leaves out what fails");
        return false;
    }
    if (evaluation->evaluated == 0) {
        fs_complain("none of %zu pictures could be evaluated; nothing was written", pairs->count);
        return false;
    }
    if (fs_confusion_counted(&evaluation->matrix) == 0) {
        fs_complain("every pixel of the truth in '%s' is ignored, so there is nothing to measure; see --ignore and "
                    "--truth-ids",
                    evaluation->truth);
        return false;
    }
    return true;
}

static int evaluate(fs_eval *self) {
    fs_evaluation *evaluation = &self->evaluation;
    const bool network = evaluation->predictions == NULL;
    const fs_pairing pairing = {.in = network ? evaluation->images : evaluation->predictions,
                                .truth = evaluation->truth,
                                .predictions = !network,
                                .cityscapes = evaluation->cityscapes};
    if (!fs_pairs_find(&pairing, &self->pairs)) return FS_EXIT_FAILED;
    if (self->pairs.missing > 0 && !self->keep_going) {
        fs_complain("nothing was evaluated or written; --keep-going leaves out what fails");
        return FS_EXIT_FAILED;
    }
    self->labeller.tune = self->pairs.count >= TUNE_FROM;
    const int code = open_model(self);
    if (code != FS_EXIT_OK) return code;
    if (!set_labels(self) || !evaluate_all(self)) return FS_EXIT_FAILED;
    if (network) {
        evaluation->model = &self->labeller.model;
        evaluation->size = self->labeller.size;
        evaluation->threads = self->labeller.session_info.threads;
    }
    evaluation->unused = self->pairs.unused;
    fs_evaluation_score(evaluation);
    if (!self->quiet)
        fs_evaluation_print(evaluation, self->json != NULL && strcmp(self->json, "-") == 0 ? stderr : stdout);
    if (evaluation->unused > 0 && !self->quiet)
        fs_complain("note: %zu %s had no partner and were left out", evaluation->unused,
                    network ? "label maps of the truth" : "predictions");
    if (self->json != NULL && !fs_evaluation_write(evaluation, self->json)) return FS_EXIT_FAILED;
    if (evaluation->evaluated == evaluation->found) return FS_EXIT_OK;
    fs_complain("partial: %zu of %zu pictures were evaluated", evaluation->evaluated, evaluation->found);
    return FS_EXIT_FAILED;
}

static int check_request(const fs_eval *self) {
    const fs_evaluation *evaluation = &self->evaluation;
    if (evaluation->truth == NULL) return fs_usage("eval", "eval needs --truth DIR");
    if ((evaluation->images == NULL) == (evaluation->predictions == NULL))
        return fs_usage("eval", "eval needs either --images DIR, to run the network, or --predictions DIR");
    if (evaluation->cityscapes && (self->ignore != NO_IGNORE_GIVEN || self->classes > 0))
        return fs_usage("eval", "--truth-ids cityscapes has rules of its own; leave out --ignore and --classes");
    if (evaluation->predictions == NULL) {
        if (self->classes > 0) return fs_usage("eval", "--classes is for --predictions; a model has its own");
        return FS_EXIT_OK;
    }
    if (self->labeller.size.height > 0) return fs_usage("eval", "--size is for the network; --predictions runs none");
    if (self->classes > 0 && self->setup.weights != NULL)
        return fs_usage("eval", "--weights gives the classes of the predictions; leave out --classes");
    if (!evaluation->cityscapes && self->classes == 0 && self->setup.weights == NULL)
        return fs_usage("eval", "--predictions needs the number of --classes, or --weights for their names as well");
    return FS_EXIT_OK;
}

int fs_verb_eval(int argc, char **argv) {
    static fs_eval self; // too large for the stack
    self = (fs_eval){.ignore = NO_IGNORE_GIVEN};
    self.labeller.setup = &self.setup;
    fs_evaluation *evaluation = &self.evaluation;
    const fs_option options[] = {
        {.name = "images",
         .kind = FS_OPTION_TEXT,
         .value = &evaluation->images,
         .placeholder = "DIR",
         .help = "pictures to run the network on, searched recursively"},
        {.name = "truth",
         .kind = FS_OPTION_TEXT,
         .value = &evaluation->truth,
         .placeholder = "DIR",
         .help = "their label maps, searched recursively: one number a pixel in an 8-bit gray\n"
                 "or palette PNG, paired by stem (x.jpg with x.png or x_labels.png; Cityscapes'\n"
                 "x_leftImg8bit.png with x_gtFine_labelIds.png or x_gtFine_labelTrainIds.png)"},
        {.name = "predictions",
         .kind = FS_OPTION_TEXT,
         .value = &evaluation->predictions,
         .placeholder = "DIR",
         .help = "label maps to evaluate in place of running the network, in the truth's\n"
                 "numbering; each truth must have one"},
        {.name = "truth-ids",
         .kind = FS_OPTION_CHOICE,
         .value = &self.truth_ids,
         .placeholder = "trainid|cityscapes",
         .choices = truth_id_names,
         .help = "numbers in the truth: the model's classes (default), or Cityscapes label ids\n"
                 "under its rules, with categories"},
        {.name = "ignore",
         .kind = FS_OPTION_WHOLE,
         .value = &self.ignore,
         .placeholder = "N",
         .low = 0,
         .high = 255,
         .help = "value of the truth that is not evaluated (default: 255); the first one past\n"
                 "the classes never is (CamVid's 11); any other beyond them is an error"},
        {.name = "classes",
         .kind = FS_OPTION_WHOLE,
         .value = &self.classes,
         .placeholder = "N",
         .low = 2,
         .high = 255,
         .help = "with --predictions: how many classes there are, without names"},
        {.name = "size",
         .kind = FS_OPTION_NATIVE,
         .value = &self.labeller.size,
         .placeholder = "HxW|native",
         .low = FS_LABELLER_MIN_SIDE,
         .high = FS_LABELLER_MAX_SIDE,
         .help = "network size; pictures are resized to it, scores back (default: native)"},
        {.name = "json",
         .kind = FS_OPTION_TEXT,
         .value = &self.json,
         .placeholder = "FILE",
         .help = "scores, confusion matrix and settings as JSON; '-' is standard output"},
        {.name = "keep-going",
         .kind = FS_OPTION_FLAG,
         .value = &self.keep_going,
         .help = "leave out pictures that fail; the result says that it is partial, exit code 1\n"
                 "(default: the first failure ends the run, and nothing is written)"},
        {.name = "quiet",
         .letter = 'q',
         .kind = FS_OPTION_FLAG,
         .value = &self.quiet,
         .help = "no table, no progress bar"},
    };
    fs_option shared[FS_SETUP_OPTIONS];
    fs_setup_options(&self.setup, shared);
    const fs_command command = {
        .name = "eval",
        .synopsis = "--images DIR --truth DIR [OPTION]...",
        .about = "Measures accuracy: mean IoU, IoU of each class and pixel accuracy over all pixels of all pictures.\n"
                 "Pictures and truth must have the same size.",
        .examples = "  fastscnn eval --images test/images --truth test/labels --weights model.safetensors\n"
                    "  fastscnn eval --images leftImg8bit/val --truth gtFine/val --truth-ids cityscapes --json r.json\n"
                    "  fastscnn eval --predictions results --truth gtFine/val --truth-ids cityscapes\n"
                    "  fastscnn eval --predictions out --truth labels --classes 11 --json - | jq .miou\n",
        .options = options,
        .count = sizeof options / sizeof *options,
        .shared = shared,
        .shared_count = FS_SETUP_OPTIONS,
    };
    int operand, code;
    if (!fs_cli_parse(&command, argc, argv, &operand, &code)) return code;
    evaluation->cityscapes = self.truth_ids == 1;
    evaluation->ignore = evaluation->cityscapes ? -1 : self.ignore == NO_IGNORE_GIVEN ? DEFAULT_IGNORE : self.ignore;
    code = check_request(&self);
    if (code != FS_EXIT_OK) return code;
    if (self.json != NULL && strcmp(self.json, "-") != 0 && !fs_output_check(self.json)) return FS_EXIT_FAILED;
    code = evaluate(&self);
    fs_free(evaluation->failed);
    fs_confusion_free(&evaluation->matrix);
    fs_labeller_close(&self.labeller);
    fs_pairs_free(&self.pairs);
    return code;
}
