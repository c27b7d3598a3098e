// fastscnn info: what a model is, and what it costs at a size.
#include <stdio.h>

#include "host/cli/cli.h"

// What calibration left in the file, and what auto makes of it here.
static void print_int8(const fscnn_engine_info *info) {
    if (info->int8_layers == 0) {
        printf("int8       no scales in the file; 'fastscnn calibrate' makes a copy with them\n");
        return;
    }
    const bool any = info->int8_passed[0] != '\0';
    printf("int8       scales for %d layers; admitted for %s, so auto %s int8 here\n", info->int8_layers,
           any ? info->int8_passed : "no kind of machine", info->int8_here ? "takes" : "does not take");
}

int fs_verb_info(int argc, char **argv) {
    fs_setup setup = {0};
    fs_size size = {1024, 2048};
    const fs_option options[] = {
        {.name = "size",
         .kind = FS_OPTION_SIZE,
         .value = &size,
         .placeholder = "HxW",
         .low = 64,
         .high = 16384,
         .help = "network size that memory and work are given for (default: 1024x2048)"},
    };
    fs_option shared[FS_SETUP_OPTIONS];
    fs_setup_options(&setup, shared);
    const fs_command command = {
        .name = "info",
        .synopsis = "[OPTION]...",
        .about = "Prints what a model is: variant, input channels, classes with their colours, precision, memory.",
        .examples = "  fastscnn info --weights model.safetensors\n"
                    "  fastscnn info --weights random:1 --precision fp32 --size 512x1024",
        .options = options,
        .count = sizeof options / sizeof *options,
        .shared = shared,
        .shared_count = FS_SETUP_OPTIONS,
    };
    int operand, code;
    if (!fs_cli_parse(&command, argc, argv, &operand, &code)) return code;

    fs_model_open model;
    code = fs_setup_open(&setup, "info", true, &model);
    if (code != FS_EXIT_OK) return code;
    fscnn_session *session = NULL;
    fscnn_session_info info;
    code = fs_setup_session(&setup, model.engine, size.height, size.width, 1, -1, &session, &info);
    if (code == FS_EXIT_OK) {
        char weights[32], arena[32], scratch[32];
        printf("weights    %s\n", model.weights);
        printf("variant    %s\n", model.info.variant);
        printf("channels   %d (%s)\n", model.info.channels, model.info.channels == 4 ? "RGB and A" : "RGB");
        printf("backend    %s: %s\n", fs_backend_names[model.info.backend], model.info.device);
        printf("precision  %s\n", fs_precision_names[model.info.precision]);
        printf("kernels    %s\n", model.info.kernels);
        print_int8(&model.info);
        printf("memory     weights %s; a session at %dx%d: activations %s, other %s\n",
               fs_bytes_text(model.info.weights_bytes, weights), size.height, size.width,
               fs_bytes_text(info.arena_bytes, arena), fs_bytes_text(info.scratch_bytes, scratch));
        printf("work       %d steps, %.2f GFLOP a frame at %dx%d\n", info.steps, (double)info.flops / 1e9, size.height,
               size.width);
        printf("classes    %d\n", model.info.classes);
        for (int i = 0; i < model.info.classes; i++) {
            uint8_t rgb[3] = {0, 0, 0};
            const char *name = fscnn_engine_class_name(model.engine, i);
            fscnn_engine_class_color(model.engine, i, rgb);
            printf("  %3d  #%02x%02x%02x  %s\n", i, rgb[0], rgb[1], rgb[2], name != NULL ? name : "");
        }
    }
    fscnn_session_close(&session);
    fscnn_engine_close(&model.engine);
    return code;
}
