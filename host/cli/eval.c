// fastscnn eval: pictures and their truth in, predictions and their truth, or generated streets; mIoU and IoU of each
// class out.
#include "host/cli/eval.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "host/cli/labeller.h"
#include "host/cli/pairs.h"
#include "host/cli/progress.h"
#include "host/image/image.h"
#include "host/image/scene.h"
#include "runtime/base/mem.h"

enum { NO_IGNORE_GIVEN = -1, DEFAULT_IGNORE = 255, NO_SCENES = -1, DEFAULT_SEED = 100000 };
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
    int scenes, seed;               // generated streets: how many, 0 for as many as come before an interrupt
    bool keep_going, quiet;
    fs_progress progress;
} fs_eval;

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number) {
    (void)signal_number;
    interrupted = 1;
}

// The first interrupt ends the run with the result of what is done, the second ends the program.
static void watch_interrupts(struct sigaction *before) {
    const struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
    interrupted = 0;
    sigaction(SIGINT, &action, before);
}

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

// Labels of a picture by the network, at the picture's size. `path` stands in messages.
static bool label(fs_eval *self, const char *path, const fs_image *picture, fs_image *prediction) {
    *prediction = (fs_image){.width = picture->width, .height = picture->height, .channels = 1};
    prediction->pixels = fs_malloc((size_t)picture->width * (size_t)picture->height, 1);
    double seconds;
    if (prediction->pixels != NULL)
        return fs_labeller_run(&self->labeller, path, picture, prediction->pixels, NULL, NULL, &seconds);
    fs_complain("%s: out of memory", path);
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
    if (fine && network) fine = label(self, pair->in, &picture, prediction);
    fs_image_free(&picture);
    return fine;
}

// Adds a picture to the matrix, whole or not at all. The paths stand in messages.
static bool count(fs_eval *self, const char *in, const char *truth_path, const fs_image *truth,
                  const fs_image *prediction) {
    size_t at;
    bool in_truth;
    const size_t pixels = (size_t)truth->width * (size_t)truth->height;
    if (fs_confusion_add(&self->evaluation.matrix, truth->pixels, prediction->pixels, pixels, &at, &in_truth))
        return true;
    return bad_value(self, in_truth ? truth_path : in, in_truth ? truth : prediction, at, in_truth);
}

static bool evaluate_pair(fs_eval *self, const fs_pair *pair) {
    if (pair->in == NULL || pair->truth == NULL) return false; // complained about when it was listed
    fs_image truth = {0}, prediction = {0};
    bool fine = read_labels(self, pair->truth, &truth) && predict(self, pair, &truth, &prediction);
    fine = fine && count(self, pair->in, pair->truth, &truth, &prediction);
    fs_image_free(&truth);
    fs_image_free(&prediction);
    return fine;
}

// A street of the seed that follows: the same pixels and truth on every machine.
static bool evaluate_scene(fs_eval *self, size_t index) {
    char name[64];
    const uint64_t seed = (uint64_t)self->seed + index;
    snprintf(name, sizeof name, "the street of seed %llu", (unsigned long long)seed);
    fs_image picture = {0}, truth = {0}, prediction = {0};
    const fs_size size = self->labeller.size;
    bool fine = fs_scene_draw(&picture, &truth, size.width, size.height, seed, 0) == FS_OK;
    if (!fine) fs_complain("%s: %s", name, fs_error_text());
    fine = fine && label(self, name, &picture, &prediction) && count(self, name, name, &truth, &prediction);
    fs_image_free(&picture);
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
static bool evaluate_pairs(fs_eval *self) {
    fs_evaluation *evaluation = &self->evaluation;
    const fs_pairs *pairs = &self->pairs;
    evaluation->failed = fs_calloc(pairs->count, sizeof *evaluation->failed);
    if (evaluation->failed == NULL) {
        fs_complain("out of memory for a list of %zu pictures", pairs->count);
        return false;
    }
    struct sigaction before;
    watch_interrupts(&before);
    size_t tried = 0, failed = 0;
    fs_progress_start(&self->progress, "evaluating", pairs->count, self->quiet);
    for (; !interrupted && tried < pairs->count && (failed == 0 || self->keep_going); tried++) {
        fs_progress_update(&self->progress, tried);
        const fs_pair *pair = &pairs->list[tried];
        if (evaluate_pair(self, pair)) continue;
        evaluation->failed[failed++] = pair->in != NULL ? pair->in : pair->truth;
    }
    fs_progress_clear(&self->progress);
    sigaction(SIGINT, &before, NULL);
    evaluation->found = pairs->count;
    evaluation->evaluated = tried - failed;
    evaluation->failures = failed;
    evaluation->interrupted = interrupted && tried < pairs->count;
    if (failed > 0 && !self->keep_going) {
        fs_complain("nothing was evaluated or written; --keep-going leaves out what fails");
        return false;
    }
    if (evaluation->evaluated == 0 && evaluation->interrupted) {
        fs_complain("interrupted before the first picture was done; nothing was written");
        return false;
    }
    if (evaluation->evaluated == 0) {
        fs_complain("none of %zu pictures could be evaluated; nothing was written", pairs->count);
        return false;
    }
    if (fs_confusion_counted(&evaluation->matrix) == 0) {
        fs_complain("every pixel of the truth in '%s' %sis ignored, so there is nothing to measure; see --ignore and "
                    "--truth-ids",
                    evaluation->truth, evaluation->interrupted ? "up to the interrupt " : "");
        return false;
    }
    evaluation->unused = pairs->unused;
    return true;
}

// Until all are done, or endlessly: an interrupt ends it with the result of those that are done.
static bool evaluate_scenes(fs_eval *self) {
    fs_evaluation *evaluation = &self->evaluation;
    struct sigaction before;
    watch_interrupts(&before);
    const size_t wanted = (size_t)self->scenes;
    fs_progress_start(&self->progress, "evaluating", wanted, self->quiet);
    size_t done = 0;
    bool fine = true;
    while (fine && !interrupted && (wanted == 0 || done < wanted)) {
        fs_progress_update(&self->progress, done);
        fine = evaluate_scene(self, done);
        if (fine) done++;
    }
    fs_progress_clear(&self->progress);
    sigaction(SIGINT, &before, NULL);
    evaluation->scene_seed = self->seed;
    evaluation->evaluated = done;
    evaluation->found = wanted > 0 ? wanted : done;
    evaluation->interrupted = interrupted && done < evaluation->found;
    if (fine && done == 0) fs_complain("interrupted before the first street was done; nothing was written");
    return fine && done > 0;
}

static int open_pairs(fs_eval *self) {
    const fs_evaluation *evaluation = &self->evaluation;
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
    return open_model(self);
}

static int open_scenes(fs_eval *self) {
    if (self->labeller.size.height == 0) self->labeller.size = (fs_size){.height = 1024, .width = 2048};
    self->labeller.tune = self->scenes == 0 || (size_t)self->scenes >= TUNE_FROM;
    const int code = open_model(self);
    if (code != FS_EXIT_OK) return code;
    const fscnn_engine_info *info = &self->labeller.model.info;
    if (info->classes == FS_SCENE_VOID && info->channels == 3) return FS_EXIT_OK;
    fs_complain("--scenes needs a model of CamVid's %d classes and 3 channels; '%s' has %d and %d", FS_SCENE_VOID,
                self->labeller.model.weights, info->classes, info->channels);
    return FS_EXIT_FAILED;
}

static int evaluate(fs_eval *self) {
    fs_evaluation *evaluation = &self->evaluation;
    const bool network = evaluation->predictions == NULL;
    const int code = evaluation->scenes ? open_scenes(self) : open_pairs(self);
    if (code != FS_EXIT_OK) return code;
    const double start = fs_seconds();
    if (!set_labels(self) || !(evaluation->scenes ? evaluate_scenes(self) : evaluate_pairs(self)))
        return FS_EXIT_FAILED;
    evaluation->seconds = fs_seconds() - start;
    if (network) {
        evaluation->model = &self->labeller.model;
        evaluation->size = self->labeller.size;
        evaluation->threads = self->labeller.session_info.threads;
    }
    fs_evaluation_score(evaluation);
    if (!self->quiet)
        fs_evaluation_print(evaluation, self->json != NULL && strcmp(self->json, "-") == 0 ? stderr : stdout);
    if (evaluation->unused > 0 && !self->quiet)
        fs_complain("note: %zu %s had no partner and were left out", evaluation->unused,
                    network ? "label maps of the truth" : "predictions");
    if (self->json != NULL && !fs_evaluation_write(evaluation, self->json)) return FS_EXIT_FAILED;
    if (evaluation->evaluated == evaluation->found) return FS_EXIT_OK;
    fs_complain("partial: %zu of %zu pictures were evaluated%s", evaluation->evaluated, evaluation->found,
                evaluation->interrupted ? " before the interrupt" : "");
    return FS_EXIT_FAILED;
}

static int check_request(const fs_eval *self) {
    const fs_evaluation *evaluation = &self->evaluation;
    if (evaluation->scenes) {
        if (evaluation->images != NULL || evaluation->predictions != NULL || evaluation->truth != NULL)
            return fs_usage("eval", "--scenes draws pictures and truth; leave out --images, --predictions and --truth");
        if (evaluation->cityscapes || self->classes > 0)
            return fs_usage("eval", "--scenes has CamVid's 11 classes; leave out --truth-ids and --classes");
        return FS_EXIT_OK;
    }
    if (self->seed != DEFAULT_SEED) return fs_usage("eval", "--seed is for --scenes");
    if (evaluation->truth == NULL) return fs_usage("eval", "eval needs --truth DIR, or --scenes N");
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
    self = (fs_eval){.ignore = NO_IGNORE_GIVEN, .scenes = NO_SCENES, .seed = DEFAULT_SEED};
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
        {.name = "scenes",
         .kind = FS_OPTION_WHOLE,
         .value = &self.scenes,
         .placeholder = "N",
         .low = 0,
         .high = 1000000,
         .help = "in place of pictures, N generated streets with their exact truth, as 'fastscnn\n"
                 "scene' draws them; 0: on and on, Ctrl-C ends with the result so far"},
        {.name = "seed",
         .kind = FS_OPTION_WHOLE,
         .value = &self.seed,
         .placeholder = "S",
         .low = 0,
         .high = 1000000000,
         .help = "of the first street (default: 100000, which no training has used)"},
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
         .help = "network size; pictures are resized to it, scores back (default: native; with\n"
                 "--scenes the size of the streets, 1024x2048)"},
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
        .synopsis = "--images DIR --truth DIR | --scenes N [OPTION]...",
        .about = "Measures accuracy: mean IoU, IoU of each class and pixel accuracy over all pixels of all pictures.\n"
                 "Pictures and truth must have the same size. Ctrl-C ends it with the result so far, which says that "
                 "it is\npartial, and exit code 1; a second one ends it at once.",
        .examples = "  fastscnn eval --images test/images --truth test/labels --weights model.safetensors\n"
                    "  fastscnn eval --images leftImg8bit/val --truth gtFine/val --truth-ids cityscapes --json r.json\n"
                    "  fastscnn eval --scenes 200\n"
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
    evaluation->scenes = self.scenes != NO_SCENES;
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
