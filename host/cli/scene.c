// fastscnn scene: writes frames of generated streets, with the class of every pixel.
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "host/cli/cli.h"
#include "host/cli/progress.h"
#include "host/image/scene.h"

// The options' limits keep seeds within 64 bits and frame numbers within an int: 1e9 + 1e6 * 1000 < 2^31.
typedef struct job {
    const char *folder;
    fs_size size;
    int frames, first, every, seed, seeds;
    bool no_labels, color, quiet;
} job;

// Writes one picture as FOLDER/KIND/NNNN.png. Numbers begin with --first, so that a drive can be gone on with.
static bool put(const job *self, const char *kind, uint64_t number, const fs_image *image) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s/%04llu.png", self->folder, kind, (unsigned long long)self->first + number);
    if (fs_image_write(path, image) == FS_OK) return true;
    fs_complain("%s", fs_error_text());
    return false;
}

static bool write_frame(const job *self, uint64_t number) {
    fs_image image = {0}, labels = {0}, color = {0};
    const uint64_t seed = (uint64_t)self->seed + number / (uint64_t)self->frames;
    const int frame = self->first + (int)(number % (uint64_t)self->frames) * self->every;
    bool fine = fs_scene_draw(&image, &labels, self->size.width, self->size.height, seed, frame) == FS_OK;
    if (fine && self->color)
        fine = fs_image_color(labels.pixels, labels.width, labels.height, fs_scene_palette, FS_SCENE_CLASSES, &color) ==
               FS_OK;
    if (!fine)
        fs_complain("%s", fs_error_text());
    else
        fine = put(self, "images", number, &image) && (self->no_labels || put(self, "labels", number, &labels)) &&
               (!self->color || put(self, "color", number, &color));
    fs_image_free(&image);
    fs_image_free(&labels);
    fs_image_free(&color);
    return fine;
}

static bool make_folder(const job *self, const char *kind) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", self->folder, kind);
    return fs_folder_make(path);
}

static int run(const job *self) {
    if (!make_folder(self, "images") || (!self->no_labels && !make_folder(self, "labels")) ||
        (self->color && !make_folder(self, "color")))
        return FS_EXIT_FAILED;
    const uint64_t total = (uint64_t)self->frames * (uint64_t)self->seeds;
    fs_progress progress;
    fs_progress_start(&progress, "drawing", total, self->quiet);
    uint64_t done = 0;
    while (done < total) {
        fs_progress_update(&progress, done);
        if (!write_frame(self, done)) break;
        done++;
    }
    fs_progress_clear(&progress);
    if (done == total) return FS_EXIT_OK;
    fs_complain("'%s' is incomplete: %llu of %llu frames were written", self->folder, (unsigned long long)done,
                (unsigned long long)total);
    return FS_EXIT_FAILED;
}

int fs_verb_scene(int argc, char **argv) {
    job self = {.size = {1024, 2048}, .frames = 1, .every = 1, .seed = 1, .seeds = 1};
    const fs_option options[] = {
        {.name = "output",
         .letter = 'o',
         .kind = FS_OPTION_TEXT,
         .value = &self.folder,
         .placeholder = "DIR",
         .help = "folder for images/NNNN.png and labels/NNNN.png, made when it is not there;\n"
                 "files are numbered from --first on, those of the same names replaced"},
        {.name = "size",
         .kind = FS_OPTION_SIZE,
         .value = &self.size,
         .placeholder = "HxW",
         .low = 1,
         .high = FS_IMAGE_MAX_SIDE,
         .help = "size of the pictures (default: 1024x2048)"},
        {.name = "frames",
         .kind = FS_OPTION_WHOLE,
         .value = &self.frames,
         .placeholder = "N",
         .low = 1,
         .high = 1000000,
         .help = "frames of each street (default: 1)"},
        {.name = "first",
         .kind = FS_OPTION_WHOLE,
         .value = &self.first,
         .placeholder = "N",
         .low = 0,
         .high = 1000000000,
         .help = "number of the first frame, and of its files (default: 0)"},
        {.name = "every",
         .kind = FS_OPTION_WHOLE,
         .value = &self.every,
         .placeholder = "N",
         .low = 1,
         .high = 1000,
         .help = "frames to drive on from one picture to the next (default: 1, 45 cm)"},
        {.name = "seed",
         .kind = FS_OPTION_WHOLE,
         .value = &self.seed,
         .placeholder = "S",
         .low = 0,
         .high = INT_MAX,
         .help = "which street (default: 1)"},
        {.name = "seeds",
         .kind = FS_OPTION_WHOLE,
         .value = &self.seeds,
         .placeholder = "N",
         .low = 1,
         .high = 1000000,
         .help = "number of streets: seeds S, S+1 and so on, one after the other (default: 1)"},
        {.name = "no-labels", .kind = FS_OPTION_FLAG, .value = &self.no_labels, .help = "write the pictures alone"},
        {.name = "color",
         .kind = FS_OPTION_FLAG,
         .value = &self.color,
         .help = "also write color/NNNN.png, the labels in CamVid's colours"},
        {.name = "quiet", .letter = 'q', .kind = FS_OPTION_FLAG, .value = &self.quiet, .help = "no progress bar"},
    };
    const fs_command command = {
        .name = "scene",
        .synopsis = "-o DIR [OPTION]...",
        .about = "Draws a camera's drive along generated streets, with exact labels in the classes of CamVid: 0 sky, "
                 "1 building,\n"
                 "2 pole, 3 road, 4 pavement, 5 tree, 6 sign, 7 fence, 8 car, 9 pedestrian, 10 bicyclist, 11 none. The "
                 "same options\n"
                 "give the same pixels on every machine.",
        .examples = "  fastscnn scene -o street --frames 30 --size 512x1024\n"
                    "  fastscnn scene -o train --seed 1000 --seeds 500 --size 360x480\n"
                    "  fastscnn scene -o look --color",
        .options = options,
        .count = sizeof options / sizeof *options,
    };
    int operand, code;
    if (!fs_cli_parse(&command, argc, argv, &operand, &code)) return code;
    if (self.folder == NULL) return fs_usage("scene", "option '-o DIR' is needed: where the pictures go");
    if (strlen(self.folder) > 3000) return fs_usage("scene", "option '-o': the name of the folder is too long");
    return run(&self);
}
