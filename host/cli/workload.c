// Makes frames and results for bench and profile, in the memory that was asked for.
#include "host/cli/workload.h"

#include <stdio.h>
#include <string.h>

#include "host/image/scene.h"
#include "runtime/base/mem.h"

enum { FRAMES_DEFAULT = 4, TASK_SCORES = 1 };
static const size_t DEFAULT_BYTES_MAX = (size_t)64 << 20; // of all frames together, when their number is not asked for
// Rotating frames: more bytes than the last cache of a GPU or of most processors holds. Eight at least, so that large
// frames turn as well; sixty-four at most, so that small ones are not drawn for minutes.
static const size_t ROTATING_BYTES = (size_t)128 << 20;
enum { ROTATING_MIN = 8 };
static const uint64_t SCENE_SEED = 1;

const char *const fs_io_names[] = {"host", "pinned", "device", NULL};
const char *const fs_task_names[] = {"labels", "scores", NULL};

void fs_workload_options(fs_workload_choice *choice, fs_option options[FS_WORKLOAD_OPTIONS]) {
    const fs_option table[FS_WORKLOAD_OPTIONS] = {
        {.name = "io",
         .kind = FS_OPTION_CHOICE,
         .value = &choice->io,
         .placeholder = "host|pinned|device",
         .choices = fs_io_names,
         .help = "memory that frames and results live in: host (default), or, with the\n"
                 "CUDA backend, pinned host memory or the GPU's own"},
        {.name = "task",
         .kind = FS_OPTION_CHOICE,
         .value = &choice->task,
         .placeholder = "labels|scores",
         .choices = fs_task_names,
         .help = "u8 class map (default), or float32 scores of every class"},
        {.name = "input",
         .kind = FS_OPTION_TEXT,
         .value = &choice->input,
         .placeholder = "FILE",
         .help = "a picture, resized to the network size (default: a generated street scene)"},
        {.name = "inputs",
         .kind = FS_OPTION_TEXT,
         .value = &choice->inputs,
         .placeholder = "hot|rotating|N",
         .help = "hot: one frame again and again, from the cache; rotating: 128 MB of frames in\n"
                 "turn, 8 to 64; N: so many (default: up to 4 in 64 MB)"},
    };
    memcpy(options, table, sizeof table);
}

bool fs_workload_inputs(fs_workload_choice *choice, const char *verb) {
    choice->frames = FS_INPUTS_DEFAULT;
    if (choice->inputs == NULL || fs_parse_whole(choice->inputs, 1, FS_FRAMES_MAX, &choice->frames)) return true;
    if (strcmp(choice->inputs, "hot") == 0 || strcmp(choice->inputs, "rotating") == 0) {
        choice->frames = choice->inputs[0] == 'h' ? 1 : FS_INPUTS_ROTATING;
        return true;
    }
    fs_usage(verb, "option '--inputs' wants hot, rotating or a number of frames from 1 to %d, not '%s'", FS_FRAMES_MAX,
             choice->inputs);
    return false;
}

// Gives a 4-channel model its 4th channel: brightness, which is what a thermal picture looks most like.
static bool add_fourth_channel(fs_image *image) {
    size_t pixels = (size_t)image->width * (size_t)image->height;
    uint8_t *out = fs_malloc(pixels, 4);
    if (out == NULL) return false;
    for (size_t i = 0; i < pixels; i++) {
        const uint8_t *rgb = image->pixels + 3 * i;
        memcpy(out + 4 * i, rgb, 3);
        out[4 * i + 3] = (uint8_t)((rgb[0] + 2 * rgb[1] + rgb[2]) / 4);
    }
    int width = image->width, height = image->height;
    fs_image_free(image);
    *image = (fs_image){.width = width, .height = height, .channels = 4, .pixels = out};
    return true;
}

static bool copy_image(const fs_image *from, fs_image *to) {
    const size_t bytes = (size_t)from->width * (size_t)from->height * (size_t)from->channels;
    uint8_t *pixels = fs_malloc(bytes, 1);
    if (pixels == NULL) return false;
    memcpy(pixels, from->pixels, bytes);
    *to = *from;
    to->pixels = pixels;
    return true;
}

static bool out_of_memory(fs_size size) {
    fs_complain("out of memory for frames or outputs of %dx%d; use a smaller --size or fewer frames", size.height,
                size.width);
    return false;
}

static bool make_frame(fs_workload *w, int index, fs_size size, int channels, const fs_image *picture) {
    fs_image *image = &w->image[index];
    if (picture == NULL) {
        if (fs_scene_draw(image, NULL, size.width, size.height, SCENE_SEED, index) != FS_OK) {
            fs_complain("%s", fs_error_text());
            return false;
        }
        return image->channels == channels || channels != 4 || add_fourth_channel(image) || out_of_memory(size);
    }
    if (picture->height == size.height && picture->width == size.width)
        return copy_image(picture, image) || out_of_memory(size);
    if (fs_image_resize(picture, size.width, size.height, image) == FS_OK) return true;
    fs_complain("%s", fs_error_text());
    return false;
}

static bool allocate(fs_workload *w, fs_size size, int classes) {
    const size_t pixels = (size_t)size.height * (size_t)size.width;
    const size_t element = w->scores ? (size_t)classes * sizeof(float) : 1;
    for (int i = 0; i < w->outputs; i++)
        if (fscnn_buffer_alloc(w->engine, w->memory, pixels * element, &w->output[i]) != FSCNN_OK) return false;
    for (int i = 0; i < w->frames && w->memory != FSCNN_MEMORY_HOST; i++) {
        const fs_image *image = &w->image[i];
        const size_t bytes = pixels * (size_t)image->channels;
        if (fscnn_buffer_alloc(w->engine, w->memory, bytes, &w->input[i]) != FSCNN_OK ||
            fscnn_buffer_copy(w->engine, w->input[i], image->pixels, bytes) != FSCNN_OK)
            return false;
    }
    return true;
}

int fs_workload_read(const fs_model_open *model, const fs_workload_choice *choice, fs_image *picture, fs_size *size) {
    if (choice->io == FSCNN_MEMORY_DEVICE && model->info.backend != FSCNN_BACKEND_CUDA) {
        fs_complain("option '--io device' needs the CUDA backend; use --io host");
        return FS_EXIT_FAILED;
    }
    if (choice->input == NULL) return FS_EXIT_OK;
    if (fs_image_read(choice->input, model->info.channels, picture) != FS_OK) {
        fs_complain("%s", fs_error_text());
        return FS_EXIT_FAILED;
    }
    if (size->height == 0) *size = (fs_size){picture->height, picture->width};
    return FS_EXIT_OK;
}

int fs_workload_open(fs_workload *w, const fs_model_open *model, const fs_workload_choice *choice, fs_size size,
                     int outputs, const fs_image *picture) {
    const int channels = model->info.channels;
    const size_t bytes = (size_t)size.height * (size_t)size.width * (size_t)channels;
    if (choice->input == NULL) picture = NULL;
    int frames = choice->frames;
    w->engine = model->engine, w->outputs = outputs, w->source = choice->input;
    w->memory = (fscnn_memory)choice->io, w->scores = choice->task == TASK_SCORES;
    if (frames == FS_INPUTS_ROTATING) {
        const size_t fit = (ROTATING_BYTES + bytes - 1) / bytes;
        frames = fit < ROTATING_MIN ? ROTATING_MIN : fit > FS_FRAMES_MAX ? FS_FRAMES_MAX : (int)fit;
    } else if (frames == FS_INPUTS_DEFAULT) {
        const size_t fit = DEFAULT_BYTES_MAX / bytes;
        frames = picture != NULL || fit < 1 ? 1 : fit > FRAMES_DEFAULT ? FRAMES_DEFAULT : (int)fit;
    }
    for (w->frames = 0; w->frames < frames; w->frames++)
        if (!make_frame(w, w->frames, size, channels, picture)) return FS_EXIT_FAILED;
    return allocate(w, size, model->info.classes) || out_of_memory(size) ? FS_EXIT_OK : FS_EXIT_FAILED;
}

void fs_workload_close(fs_workload *w) {
    for (int i = 0; i < FS_FRAMES_MAX; i++) {
        if (w->input[i] != NULL) fscnn_buffer_free(w->engine, w->memory, &w->input[i]);
        fs_image_free(&w->image[i]);
    }
    for (int i = 0; i < FS_OUTPUTS_MAX; i++)
        if (w->output[i] != NULL) fscnn_buffer_free(w->engine, w->memory, &w->output[i]);
    w->frames = w->outputs = 0;
}

void fs_workload_bind(const fs_workload *w, uint64_t number, fscnn_frame *frame, fscnn_outputs *outputs) {
    const int at = (int)(number % (uint64_t)w->frames);
    const fs_image *image = &w->image[at];
    fscnn_frame_init(frame, image->channels == 4 ? FSCNN_RGBA8 : FSCNN_RGB8, image->width, image->height,
                     w->input[at] != NULL ? w->input[at] : image->pixels);
    fscnn_outputs_init(outputs);
    frame->memory = outputs->memory = w->memory;
    void *output = w->output[number % (uint64_t)w->outputs];
    if (w->scores)
        outputs->logits = output;
    else
        outputs->labels = output;
}

void fs_workload_describe(const fs_workload *w, char *text, size_t size) {
    char turn[64];
    if (w->frames == 1)
        snprintf(turn, sizeof turn, "1 frame (hot: the same memory every time)");
    else
        snprintf(turn, sizeof turn, "%d %s in turn", w->frames, w->source != NULL ? "copies" : "frames");
    snprintf(text, size, "%s, %s", w->source != NULL ? w->source : "generated street scene", turn);
}
