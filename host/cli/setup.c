// The options that every verb with a model has, and what they open: weights, engine, session.
#include "host/cli/cli.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BUNDLED_NAME "street11.safetensors"
enum { THREADS_MAX = 256 }; // as the library takes

const char *const fs_backend_names[] = {"auto", "cpu", "cuda", NULL};
const char *const fs_precision_names[] = {"auto", "fp32", "bf16", "fp16", "int8", NULL};
const char *const fs_kernels_names[] = {"auto", "own", "onednn", NULL};

void fs_setup_options(fs_setup *setup, fs_option options[FS_SETUP_OPTIONS]) {
    const fs_option table[FS_SETUP_OPTIONS] = {
        {.name = "weights",
         .kind = FS_OPTION_TEXT,
         .value = &setup->weights,
         .placeholder = "FILE",
         .help = "safetensors weights, or random:SEED for deterministic random ones\n"
                 "(default: the bundled model)"},
        {.name = "backend",
         .kind = FS_OPTION_CHOICE,
         .value = &setup->backend,
         .placeholder = "auto|cpu|cuda",
         .choices = fs_backend_names,
         .help = "where to compute (default: auto)"},
        {.name = "precision",
         .kind = FS_OPTION_CHOICE,
         .value = &setup->precision,
         .placeholder = "auto|fp32|bf16|fp16|int8",
         .choices = fs_precision_names,
         .help = "arithmetic (default: auto, the fastest that the machine has natively)"},
        {.name = "kernels",
         .kind = FS_OPTION_CHOICE,
         .value = &setup->kernels,
         .placeholder = "auto|own|onednn",
         .choices = fs_kernels_names,
         .help = "CPU: our own kernels (default), or oneDNN's convolutions, to compare with"},
        {.name = "threads",
         .kind = FS_OPTION_WHOLE,
         .value = &setup->threads,
         .placeholder = "N",
         .low = 0,
         .high = THREADS_MAX,
         .help = "CPU worker threads, at most 256 (default: 0, one per available core)"},
        {.name = "disable-fusion",
         .kind = FS_OPTION_TEXT,
         .value = &setup->disable_fusion,
         .placeholder = "NAMES",
         .help = "comma-separated fusion rewrites to leave out, or all"},
    };
    memcpy(options, table, sizeof table);
}

const char *fs_bundled_weights(void) {
    static char path[PATH_MAX + sizeof "/../share/fastscnn/" BUNDLED_NAME];
    char program[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length > 0) {
        program[length] = '\0';
        char *slash = strrchr(program, '/');
        if (slash != NULL) {
            *slash = '\0';
            snprintf(path, sizeof path, "%s/../share/fastscnn/%s", program, BUNDLED_NAME);
            if (access(path, R_OK) == 0) return path;
        }
    }
#ifdef FS_MODEL_DIR
    snprintf(path, sizeof path, "%s/%s", FS_MODEL_DIR, BUNDLED_NAME);
    if (access(path, R_OK) == 0) return path;
#endif
    return NULL;
}

static void print_log(void *user, fscnn_log_level level, const char *message) {
    (void)user;
    fs_complain("%s%s", level <= FSCNN_LOG_ERROR ? "error: " : "warning: ", message);
}

int fs_setup_open(const fs_setup *setup, const char *verb, bool random, fs_model_open *model) {
    const char *weights = setup->weights != NULL ? setup->weights : fs_bundled_weights();
    if (weights == NULL && !random) {
        fs_complain(
            "no weights: no model is bundled; pass --weights FILE (weights/convert.py makes one from a published "
            "checkpoint)");
        return FS_EXIT_FAILED;
    }
    if (weights == NULL) {
        weights = "random:1";
        fs_complain(
            "no weights given and none bundled: deterministic random weights (random:1); speed is the same, labels "
            "mean nothing");
    }
    fscnn_set_log(print_log, NULL, FSCNN_LOG_WARNING);
    fscnn_engine_options options;
    fscnn_engine_options_init(&options);
    options.backend = (fscnn_backend)setup->backend;
    options.precision = (fscnn_precision)setup->precision;
    options.disable_fusion = setup->disable_fusion;
    options.kernels = fs_kernels_names[setup->kernels];
    *model = (fs_model_open){.engine = NULL};
    snprintf(model->weights, sizeof model->weights, "%s", weights);
    fscnn_status status = fscnn_engine_open(weights, &options, &model->engine);
    if (status == FSCNN_OK) {
        fscnn_engine_info_init(&model->info);
        status = fscnn_engine_get_info(model->engine, &model->info);
        if (status == FSCNN_OK) return FS_EXIT_OK;
        fscnn_engine_close(&model->engine);
    }
    // Only these two values are judged by the library without looking at a file or the machine.
    bool from_line = setup->disable_fusion != NULL || strncmp(weights, "random:", 7) == 0;
    if (status == FSCNN_ERR_ARGUMENT && from_line) return fs_usage(verb, "%s", fscnn_error());
    fs_complain("%s", fscnn_error());
    return FS_EXIT_FAILED;
}

int fs_setup_session(const fs_setup *setup, fscnn_engine *engine, int height, int width, int in_flight, int tune,
                     fscnn_session **session, fscnn_session_info *info) {
    fscnn_session_options options;
    fscnn_session_options_init(&options);
    options.height = height;
    options.width = width;
    options.threads = setup->threads;
    options.in_flight = in_flight;
    options.tune = tune;
    fscnn_session *opened = NULL;
    fscnn_status status = fscnn_session_open(engine, &options, &opened);
    fscnn_session_info_init(info);
    if (status == FSCNN_OK) status = fscnn_session_get_info(opened, info);
    if (status != FSCNN_OK) {
        fs_complain("cannot set up %dx%d: %s", height, width, fscnn_error());
        fscnn_session_close(&opened);
        return FS_EXIT_FAILED;
    }
    *session = opened;
    return FS_EXIT_OK;
}
