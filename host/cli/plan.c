// fastscnn plan: the steps of one frame as text, JSON or a Graphviz graph.
#include <stdio.h>
#include <string.h>

#include "host/cli/cli.h"

static bool names_gpu(const char *roofline) {
    return roofline != NULL && strncmp(roofline, "cpu", 3) != 0;
}

static bool is_usable(fscnn_backend backend) {
    fscnn_backend_info info;
    fscnn_backend_info_init(&info);
    return fscnn_backend_query(backend, &info) == FSCNN_OK && info.usable;
}

// The plan of a backend whose device is not here: without tactics, since those are timed on the device.
static fscnn_status describe(const fs_setup *setup, fscnn_backend backend, fs_size size, fscnn_plan_format format,
                             const char *roofline, char **text) {
    fscnn_engine_options engine;
    fscnn_engine_options_init(&engine);
    engine.backend = backend;
    engine.precision = (fscnn_precision)setup->precision;
    engine.disable_fusion = setup->disable_fusion;
    engine.kernels = fs_kernels_names[setup->kernels];
    fscnn_session_options session;
    fscnn_session_options_init(&session);
    session.height = size.height, session.width = size.width;
    const char *weights = setup->weights != NULL ? setup->weights : fs_bundled_weights();
    return fscnn_plan_describe(weights != NULL ? weights : "random:1", &engine, &session, format, roofline, text);
}

static fscnn_status plan_of_session(const fs_setup *setup, fs_size size, fscnn_plan_format format, const char *roofline,
                                    char **text, int *code) {
    fs_model_open model;
    *code = fs_setup_open(setup, "plan", true, &model);
    if (*code != FS_EXIT_OK) return FSCNN_OK;
    fscnn_session *session = NULL;
    fscnn_session_info info;
    fscnn_status status = FSCNN_OK;
    *code = fs_setup_session(setup, model.engine, size.height, size.width, 1, 0, &session, &info);
    if (*code == FS_EXIT_OK) status = fscnn_session_plan(session, format, roofline, text);
    fscnn_session_close(&session);
    fscnn_engine_close(&model.engine);
    return status;
}

int fs_verb_plan(int argc, char **argv) {
    fs_setup setup = {0};
    fs_size size = {1024, 2048};
    bool json = false, dot = false;
    const char *roofline = NULL;
    const fs_option options[] = {
        {.name = "size",
         .kind = FS_OPTION_SIZE,
         .value = &size,
         .placeholder = "HxW",
         .low = 64,
         .high = 16384,
         .help = "network size (default: 1024x2048)"},
        {.name = "json", .kind = FS_OPTION_FLAG, .value = &json, .help = "print JSON"},
        {.name = "dot", .kind = FS_OPTION_FLAG, .value = &dot, .help = "print a Graphviz graph"},
        {.name = "roofline",
         .kind = FS_OPTION_TEXT,
         .value = &roofline,
         .placeholder = "DEVICE",
         .help = "time each step by the roofline of h100, h200, a100, rtx4090, t4, orin, cpu\n"
                 "or cpu-avx2 (default: the session's own device); where the CUDA backend is\n"
                 "built, a GPU's shows the plan of that backend, with or without a GPU here"},
    };
    fs_option shared[FS_SETUP_OPTIONS];
    fs_setup_options(&setup, shared);
    const fs_command command = {
        .name = "plan",
        .synopsis = "[OPTION]...",
        .about = "Prints what runs for one frame: each step with its shapes, bytes, FLOPs, tactic and roofline time.",
        .examples = "  fastscnn plan --size 512x1024\n"
                    "  fastscnn plan --roofline h100 --json\n"
                    "  fastscnn plan --dot | dot -Tsvg -o plan.svg",
        .options = options,
        .count = sizeof options / sizeof *options,
        .shared = shared,
        .shared_count = FS_SETUP_OPTIONS,
    };
    int operand, code;
    if (!fs_cli_parse(&command, argc, argv, &operand, &code)) return code;
    if (json && dot) return fs_usage("plan", "--json and --dot exclude each other");

    fscnn_plan_format format = json ? FSCNN_PLAN_JSON : dot ? FSCNN_PLAN_DOT : FSCNN_PLAN_TEXT;
    char *text = NULL;
    fscnn_status status;
    // A GPU's roofline belongs to what runs on a GPU, which can be planned without one; not by a build without the
    // backend, though.
    const bool wants_gpu = setup.backend == FSCNN_BACKEND_CUDA;
    bool described = false;
    status = FSCNN_OK;
    if ((wants_gpu || (setup.backend == FSCNN_BACKEND_AUTO && names_gpu(roofline))) && !is_usable(FSCNN_BACKEND_CUDA)) {
        status = describe(&setup, FSCNN_BACKEND_CUDA, size, format, roofline, &text);
        described = wants_gpu || status != FSCNN_ERR_DEVICE;
        if (status == FSCNN_OK)
            fs_complain("no GPU here: the plan as the CUDA backend would make it, without the tactics that are timed");
    }
    if (!described && status != FSCNN_OK) {
        fscnn_backend_info info;
        fscnn_backend_info_init(&info);
        (void)fscnn_backend_query(FSCNN_BACKEND_CUDA, &info); // says why not
        fs_complain("the CPU backend's steps, not a GPU's, beside the roofline of %s: %s", roofline, fscnn_error());
    }
    if (!described) {
        status = plan_of_session(&setup, size, format, roofline, &text, &code);
        if (code != FS_EXIT_OK) return code;
    }
    if (status != FSCNN_OK) {
        const bool about_fusion = setup.disable_fusion != NULL;
        if (status == FSCNN_ERR_ARGUMENT && (roofline != NULL || about_fusion))
            return fs_usage("plan", "%s%s", about_fusion ? "" : "option '--roofline': ", fscnn_error());
        fs_complain("%s", fscnn_error());
        return FS_EXIT_FAILED;
    }
    size_t length = strlen(text);
    fputs(text, stdout);
    if (length == 0 || text[length - 1] != '\n') putchar('\n');
    fscnn_text_free(&text);
    return FS_EXIT_OK;
}
