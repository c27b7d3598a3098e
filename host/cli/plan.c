// fastscnn plan: the steps of one frame as text, JSON or a Graphviz graph.
#include <stdio.h>
#include <string.h>

#include "host/cli/cli.h"

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
         .help =
             "time each step by the roofline of h100, a100, rtx4090, orin or cpu\n(default: the session's own device)"},
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

    fs_model_open model;
    code = fs_setup_open(&setup, "plan", true, &model);
    if (code != FS_EXIT_OK) return code;
    fscnn_session *session = NULL;
    fscnn_session_info info;
    code = fs_setup_session(&setup, model.engine, size.height, size.width, 1, 0, &session, &info);
    if (code == FS_EXIT_OK) {
        fscnn_plan_format format = json ? FSCNN_PLAN_JSON : dot ? FSCNN_PLAN_DOT : FSCNN_PLAN_TEXT;
        char *text = NULL;
        fscnn_status status = fscnn_session_plan(session, format, roofline, &text);
        if (status == FSCNN_OK) {
            size_t length = strlen(text);
            fputs(text, stdout);
            if (length == 0 || text[length - 1] != '\n') putchar('\n');
            fscnn_text_free(&text);
        } else if (status == FSCNN_ERR_ARGUMENT && roofline != NULL) {
            code = fs_usage("plan", "option '--roofline': %s", fscnn_error());
        } else {
            fs_complain("%s", fscnn_error());
            code = FS_EXIT_FAILED;
        }
    }
    fscnn_session_close(&session);
    fscnn_engine_close(&model.engine);
    return code;
}
