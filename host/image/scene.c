// The generated street: what a seed looks like, what stands where in a frame, and the camera's noise.
#include "host/image/scene.h"

#include "host/image/codec.h"
#include "host/image/scene_world.h"
#include "runtime/base/mem.h"

enum { MAX_THINGS = 320 };

const uint8_t fs_scene_palette[FS_SCENE_CLASSES][3] = {
    {128, 128, 128}, {128, 0, 0},   {192, 192, 128}, {128, 64, 128}, {60, 40, 222}, {128, 128, 0},
    {192, 128, 128}, {64, 64, 128}, {64, 0, 128},    {64, 64, 0},    {0, 128, 192}, {0, 0, 0},
};

typedef struct crowd {
    int count;
    thing thing[MAX_THINGS];
} crowd;

// A rule places one thing of a kind about every `pitch` centimetres, `chance` times in 256.
typedef enum anchor { WALL_L, KERB_L, LANE_L, LANE_R, KERB_R, WALL_R } anchor;
typedef struct rule {
    kind kind;
    anchor anchor;
    int x, wobble; // x +- wobble, from the anchor
    int pitch, chance;
    int speed; // cm per frame along the street
} rule;

static const rule rules[] = {
    {TREE, KERB_L, -150, 40, 1100, 150, 0},        {TREE, KERB_R, 150, 30, 1300, 140, 0},
    {POLE, KERB_L, -45, 0, 2600, 256, 0},          {POLE, KERB_R, 45, 0, 2600, 256, 0},
    {SIGN, KERB_R, 60, 10, 1500, 150, 0},          {SIGN, KERB_L, -60, 10, 1900, 130, 0},
    {LIGHT, KERB_R, 62, 0, 5200, 256, 0},          {LIGHT, KERB_L, -58, 0, 5200, 256, 0},
    {PERSON, WALL_R, -190, 110, 520, 120, 4},      {PERSON, WALL_L, 200, 110, 580, 130, -5},
    {CYCLIST, KERB_R, -75, 20, 2600, 150, 20},     {CYCLIST, KERB_L, 75, 20, 3100, 130, -25},
    {CAR_ONCOMING, LANE_L, 0, 20, 2300, 120, -60}, {CAR_AHEAD, LANE_R, 0, 25, 2600, 170, FS_SCENE_STEP},
    {CAR_AHEAD, KERB_R, -105, 8, 640, 90, 0}, // parked
    {CAR_ONCOMING, KERB_L, 105, 8, 640, 90, 0},    {FENCE, WALL_L, 22, 0, 250, 60, 0},
    {FENCE, WALL_R, -22, 0, 250, 60, 0},           {FENCE, KERB_R, 28, 0, 250, 40, 0},
    {BIN, WALL_R, -70, 20, 1700, 120, 0},
};
enum { RULES = sizeof rules / sizeof rules[0] };

// Inserted far to near, so that near things cover far ones.
static void insert(crowd *all, thing it) {
    if (all->count == MAX_THINGS) return;
    int at = all->count++;
    for (; at > 0 && all->thing[at - 1].z < it.z; at--) all->thing[at] = all->thing[at - 1];
    all->thing[at] = it;
}

static void place_all(const canvas *scene, int64_t frame, crowd *all) {
    const int anchors[] = {scene->wall_left,
                           scene->road_left,
                           (scene->road_left + scene->lane_line) / 2 + 40,
                           (scene->lane_line + scene->road_right) / 2 - 30,
                           scene->road_right,
                           scene->wall_right};
    for (int i = 0; i < RULES; i++) {
        const rule *r = &rules[i];
        int64_t camera = scene->travelled - r->speed * frame; // in the frame of what moves along with the rule
        int64_t first = floor_div(camera, r->pitch), last = floor_div(camera + FS_SCENE_FAR, r->pitch);
        int density = 40 + (int)(look_of(scene, 50, i) % 160); // percent, of this street
        for (int64_t k = first; k <= last; k++) {
            // Fences come in runs: a run of eight has one fate.
            uint64_t look = look_of(scene, (uint64_t)i + 1, r->kind == FENCE ? floor_div(k, 8) : k);
            if ((int)(look >> 56) * 100 >= r->chance * density) continue;
            int64_t jitter = r->kind == FENCE ? 0 : (int64_t)(look >> 40 & 0xff) * r->pitch / 400;
            int64_t z = k * r->pitch + jitter - camera;
            if (z < FS_SCENE_NEAR || z > FS_SCENE_FAR || (r->kind == CAR_AHEAD && r->speed > 0 && z < 700)) continue;
            if ((r->kind == FENCE || r->kind == PERSON || r->kind == SIGN || r->kind == BIN) && z > 9000) continue;
            int x = anchors[r->anchor] + r->x + ((int)(look >> 48 & 0xff) - 128) * r->wobble / 128;
            insert(all, (thing){r->kind, x, (int)z, mix64(look)});
        }
    }
}

// The character of a street.
static void choose_look(canvas *scene, int width, int height, int frame) {
    const uint64_t look = scene->seed, more = mix64(look ^ 77), light = mix64(look ^ 78);
    scene->focal = (int)((int64_t)(width + 1) * (48 + (int)(more & 15)) / 100);
    if (scene->focal < 1) scene->focal = 1;
    int sway = (int)(((int64_t)frame + (int64_t)(more >> 4 & 63)) & 63);
    sway = (sway < 32 ? sway : 63 - sway) - 16; // the camera sways with the road
    scene->centre = width / 2 + (int)((int64_t)width * ((int)(look >> 8 & 63) - 32 + sway / 4) / 1024);
    scene->horizon = (int)((int64_t)height * (430 + (int)(look >> 16 & 63) + sway / 6) / 1000);
    scene->eye = 135 + (int)(more >> 12 & 31);
    scene->lane_line = -90 - (int)(more >> 20 & 31);
    scene->road_left = scene->lane_line - 400 - (int)(more >> 28 & 127);
    scene->road_right = 330 + (int)(more >> 36 & 127);
    scene->wall_left = scene->road_left - 320 - (int)(more >> 44 & 255);
    scene->wall_right = scene->road_right + 330 + (int)(more >> 52 & 255);
    scene->curve = ((int)(look >> 28 & 255) - 128) * 14;
    int weather = (int)(light & 7);
    scene->sun = weather < 2 ? 0 : ((int)(light >> 8 & 127) + 20) * ((light & 64) != 0 ? 1 : -1);
    scene->dusk = weather == 7 ? 200 : (int)(light >> 16 & 31);
    scene->haze = scene->sun == 0 ? (rgb){206, 208, 210} : (rgb){204, 213, 224};
    scene->zenith = scene->sun == 0 ? (rgb){170, 176, 184} : (rgb){92, 140, 204};
    if (scene->dusk > 100) scene->haze = (rgb){226, 190, 160}, scene->zenith = (rgb){96, 108, 152};
}

// Exposure, white balance, a lens that blurs a little, and sensor noise of up to 5 levels.
static void develop(const canvas *scene, int frame) {
    const uint64_t look = mix64(scene->seed ^ 79);
    uint8_t curve[3][256];
    int exposure = 82 + (int)(look & 31) - scene->dusk / 12, warm = (int)(look >> 8 & 15) - 7 + scene->dusk / 32;
    for (int c = 0; c < 3; c++) {
        int gain = exposure + (c == 0 ? warm : c == 2 ? -warm : 0), lift = (int)(look >> 16 & 15);
        for (int v = 0; v < 256; v++) curve[c][v] = (uint8_t)clamp(v * gain / 100 + lift, 0, 255);
    }
    uint32_t state = (uint32_t)mix64(scene->seed ^ (uint64_t)(uint32_t)frame << 32) | 1;
    const int width = scene->image.width;
    for (int y = 0; y < scene->image.height; y++) {
        uint8_t *pixel = scene->image.pixels + (size_t)y * (size_t)width * 3;
        int before[3] = {pixel[0], pixel[1], pixel[2]};
        for (int x = 0; x < width; x++, pixel += 3) {
            state ^= state << 13; // xorshift32
            state ^= state >> 17;
            state ^= state << 5;
            int grain = (int)(state & 7) - 4, tint = (int)(state >> 8 & 3) - 1;
            for (int c = 0; c < 3; c++) {
                int here = pixel[c], next = x + 1 < width ? pixel[c + 3] : here;
                int value = curve[c][(before[c] + 2 * here + next) / 4];
                before[c] = here;
                pixel[c] = (uint8_t)clamp(value + grain + (1 - c) * tint, 0, 255);
            }
        }
    }
}

static fs_status draw(canvas *scene, int frame) {
    crowd *all = fs_calloc(1, sizeof *all);
    if (all == NULL) return fs_image_no_memory("scene");
    fs_status status = fs_scene_background(scene);
    if (status == FS_OK) {
        place_all(scene, frame, all);
        for (int i = 0; i < all->count; i++) fs_scene_thing_shadow(scene, &all->thing[i]);
        for (int i = 0; i < all->count; i++) fs_scene_thing(scene, &all->thing[i], frame);
        develop(scene, frame);
    }
    fs_free(all);
    return status;
}

fs_status fs_scene_draw(fs_image *out, fs_image *labels, int width, int height, uint64_t seed, int frame) {
    if (out == NULL || !fs_image_is_side(width) || !fs_image_is_side(height))
        return fs_fail(FS_ERR_ARGUMENT, "scene: %d x %d pixels; a side is 1 to %d", width, height, FS_IMAGE_MAX_SIDE);
    canvas scene = {.seed = mix64(seed), .travelled = (int64_t)frame * FS_SCENE_STEP};
    choose_look(&scene, width, height, frame);
    fs_image classes = {0};
    FS_TRY(fs_image_alloc("scene", width, height, 3, &scene.image));
    fs_status status = fs_image_alloc("scene", width, height, 1, &classes);
    scene.labels = classes.pixels;
    if (status == FS_OK) status = draw(&scene, frame);
    if (status != FS_OK) {
        fs_image_free(&scene.image);
        fs_image_free(&classes);
        return status;
    }
    *out = scene.image;
    if (labels != NULL)
        *labels = classes;
    else
        fs_image_free(&classes);
    return FS_OK;
}
