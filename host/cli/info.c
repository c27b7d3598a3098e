// fastscnn info: what a model is, and what it costs at a size.
#include <stdio.h>

#include "host/cli/cli.h"
#include "runtime/base/text.h"

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

static void print_text(const fs_model_open *model, const fscnn_session_info *info, fs_size size) {
    char weights[32], arena[32], scratch[32];
    printf("weights    %s\n", model->weights);
    printf("variant    %s\n", model->info.variant);
    printf("channels   %d (%s)\n", model->info.channels, model->info.channels == 4 ? "RGB and A" : "RGB");
    printf("backend    %s: %s\n", fs_backend_names[model->info.backend], model->info.device);
    printf("precision  %s\n", fs_precision_names[model->info.precision]);
    printf("kernels    %s\n", model->info.kernels);
    print_int8(&model->info);
    printf("memory     weights %s; a session at %dx%d: activations %s, other %s\n",
           fs_bytes_text(model->info.weights_bytes, weights), size.height, size.width,
           fs_bytes_text(info->arena_bytes, arena), fs_bytes_text(info->scratch_bytes, scratch));
    printf("work       %d steps, %.2f GFLOP a frame at %dx%d\n", info->steps, (double)info->flops / 1e9, size.height,
           size.width);
    printf("classes    %d\n", model->info.classes);
    for (int i = 0; i < model->info.classes; i++) {
        uint8_t rgb[3] = {0, 0, 0};
        const char *name = fscnn_engine_class_name(model->engine, i);
        fscnn_engine_class_color(model->engine, i, rgb);
        printf("  %3d  #%02x%02x%02x  %s\n", i, rgb[0], rgb[1], rgb[2], name != NULL ? name : "");
    }
}

static int print_json(const fs_model_open *model, const fscnn_session_info *info, fs_size size) {
    char text[32];
    fs_text json = {0};
    fs_json_open(&json, NULL, '{');
    fs_json_string(&json, "kind", "info");
    fs_json_string(&json, "version", fscnn_version_string());
    fs_json_string(&json, "commit", FS_COMMIT);
    fs_json_string(&json, "weights", model->weights);
    fs_json_string(&json, "variant", model->info.variant);
    fs_json_integer(&json, "channels", model->info.channels);
    fs_json_string(&json, "backend", fs_backend_names[model->info.backend]);
    fs_json_string(&json, "device", model->info.device);
    fs_json_string(&json, "precision", fs_precision_names[model->info.precision]);
    fs_json_string(&json, "kernels", model->info.kernels);
    fs_json_open(&json, "int8", '{');
    fs_json_integer(&json, "layers", model->info.int8_layers);
    fs_json_string(&json, "admitted_for", model->info.int8_passed);
    fs_json_bool(&json, "auto_takes_it_here", model->info.int8_here != 0);
    fs_json_close(&json, '}');
    snprintf(text, sizeof text, "%dx%d", size.height, size.width);
    fs_json_string(&json, "size", text);
    fs_json_integer(&json, "weights_bytes", (int64_t)model->info.weights_bytes);
    fs_json_integer(&json, "arena_bytes", (int64_t)info->arena_bytes);
    fs_json_integer(&json, "scratch_bytes", (int64_t)info->scratch_bytes);
    fs_json_integer(&json, "steps", info->steps);
    fs_json_number(&json, "flops", (double)info->flops);
    fs_json_open(&json, "classes", '[');
    for (int i = 0; i < model->info.classes; i++) {
        uint8_t rgb[3] = {0, 0, 0};
        fscnn_engine_class_color(model->engine, i, rgb);
        snprintf(text, sizeof text, "#%02x%02x%02x", rgb[0], rgb[1], rgb[2]);
        fs_json_open(&json, NULL, '{');
        fs_json_string(&json, "name", fscnn_engine_class_name(model->engine, i));
        fs_json_string(&json, "color", text);
        fs_json_close(&json, '}');
    }
    fs_json_close(&json, ']');
    fs_json_close(&json, '}');
    fs_text_add(&json, "\n");
    const bool whole = fs_text_status(&json) == FS_OK;
    if (!whole) fs_complain("out of memory for the JSON");
    const bool fine = whole && fs_text_write("-", json.data, json.length);
    fs_text_free(&json);
    return fine ? FS_EXIT_OK : FS_EXIT_FAILED;
}

int fs_verb_info(int argc, char **argv) {
    fs_setup setup = {0};
    fs_size size = {1024, 2048};
    bool json = false;
    const fs_option options[] = {
        {.name = "size",
         .kind = FS_OPTION_SIZE,
         .value = &size,
         .placeholder = "HxW",
         .low = 64,
         .high = 16384,
         .help = "network size that memory and work are given for (default: 1024x2048)"},
        {.name = "json", .kind = FS_OPTION_FLAG, .value = &json, .help = "print JSON"},
    };
    fs_option shared[FS_SETUP_OPTIONS];
    fs_setup_options(&setup, shared);
    const fs_command command = {
        .name = "info",
        .synopsis = "[OPTION]...",
        .about = "Prints what a model is: variant, input channels, classes with their colours, precision, memory.",
        .examples = "  fastscnn info --weights model.safetensors\n"
                    "  fastscnn info --weights random:1 --precision fp32 --size 512x1024\n"
                    "  fastscnn info --json",
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
        if (json)
            code = print_json(&model, &info, size);
        else
            print_text(&model, &info, size);
    }
    fscnn_session_close(&session);
    fscnn_engine_close(&model.engine);
    return code;
}
