// What the parts of the generated street share: the canvas, its projection, colours and random bits.
#ifndef FS_HOST_IMAGE_SCENE_WORLD_H
#define FS_HOST_IMAGE_SCENE_WORLD_H

#include <stdbool.h>

#include "host/image/scene.h"

// World lengths are centimetres: x to the right, z ahead, heights above the ground; screen lengths are pixels.
enum {
    FS_SCENE_FRACTION = 13, // bits of fixed-point scales
    FS_SCENE_NEAR = 260,    // range of standing things
    FS_SCENE_FAR = 14000,
    FS_SCENE_STEP = 45, // forward motion per frame
};

typedef struct rgb {
    uint8_t r, g, b;
} rgb;

typedef enum kind { TREE, POLE, SIGN, LIGHT, PERSON, CYCLIST, CAR_AHEAD, CAR_ONCOMING, FENCE, BIN } kind;

typedef struct thing {
    kind kind;
    int x, z;
    uint64_t look; // random bits
} thing;

typedef struct canvas {
    fs_image image;
    uint8_t *labels;            // [height][width]
    int focal, centre, horizon; // pixels
    int eye;                    // camera height
    int road_left, road_right, lane_line, wall_left, wall_right;
    int curve; // sideways centimetres at 100 m
    int sun;   // sideways shadow, percent of the height; 0: overcast
    int dusk;  // 0 noon .. 255
    rgb haze, zenith;
    uint64_t seed;
    int64_t travelled; // cm
} canvas;

// Where a thing stands, and what it counts as.
typedef struct brush {
    canvas *scene;
    int x, z; // foot point
    fs_scene_class class;
} brush;

// splitmix64's finaliser
static inline uint64_t mix64(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline uint32_t grain_of(int64_t a, int64_t b) {
    uint32_t bits = (uint32_t)a * 73856093u ^ (uint32_t)b * 19349663u;
    bits = (bits ^ bits >> 13) * 0x5bd1e995u;
    return bits ^ bits >> 15;
}

static inline uint64_t look_of(const canvas *scene, uint64_t group, int64_t index) {
    return mix64(mix64(scene->seed ^ group << 56) ^ (uint64_t)index);
}

static inline int64_t floor_div(int64_t a, int64_t b) {
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}

static inline int clamp(int64_t v, int low, int high) {
    return v < low ? low : v > high ? high : (int)v;
}

// a to b by share / 256
static inline rgb blend(rgb a, rgb b, int share) {
    return (rgb){(uint8_t)((a.r * (256 - share) + b.r * share) >> 8),
                 (uint8_t)((a.g * (256 - share) + b.g * share) >> 8),
                 (uint8_t)((a.b * (256 - share) + b.b * share) >> 8)};
}

static inline rgb shade(rgb a, int percent) {
    return (rgb){(uint8_t)clamp(a.r * percent / 100, 0, 255), (uint8_t)clamp(a.g * percent / 100, 0, 255),
                 (uint8_t)clamp(a.b * percent / 100, 0, 255)};
}

static inline rgb hazed(const canvas *scene, rgb a, int64_t depth) {
    return blend(a, scene->haze, clamp(depth * 256 / 20000, 0, 215));
}

// How far the street has turned aside at a depth.
static inline int64_t bend(const canvas *scene, int64_t z) {
    if (z > 30000) z = 30000;
    return scene->curve * z / 10000 * z / 10000;
}

// ---- scene_paint.c: shapes around a brush's foot point --------------------------------------------------------------

int fs_scene_x(const brush *at, int x);
// From height `low` with half-width `half_low` to height `high` with `half_high`, centred on `x`.
void fs_scene_trapezoid(const brush *at, int x, int low, int half_low, int high, int half_high, rgb color);
void fs_scene_box(const brush *at, int x, int half, int low, int high, rgb color);
// `leafy` eats the rim away at random.
void fs_scene_ellipse(const brush *at, int x, int height, int half_x, int half_y, rgb color, bool leafy);
// Darkens the ground between the foot and the place where the shadow of `height` ends; labels stay.
void fs_scene_shadow(const brush *at, int half, int height);

// ---- scene_things.c, scene_ground.c ---------------------------------------------------------------------------------

void fs_scene_thing(canvas *scene, const thing *it, int64_t frame);
void fs_scene_thing_shadow(canvas *scene, const thing *it);
// Sky, facades and ground, one ray a pixel.
fs_status fs_scene_background(canvas *scene);

#endif
