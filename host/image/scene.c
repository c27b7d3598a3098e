// The generated street: a pinhole camera between two rows of facades, things standing on the ground in front of them.
// World lengths are centimetres: x to the right, z ahead, heights above the ground; screen lengths are pixels.
#include "host/image/scene.h"

#include "host/image/codec.h"
#include "runtime/base/mem.h"

enum {
    EYE = 150,        // camera height
    ROAD_LEFT = -520, // kerbs; the camera drives in the right lane
    ROAD_RIGHT = 350,
    LANE_LINE = -90,  // dashed, between the two lanes
    WALL_LEFT = -950, // facades
    WALL_RIGHT = 800,
    LOT = 1400, // length of one building
    SHOP = 360, // height of the ground floor
    STOREY = 320,
    WINDOW_PITCH = 280,
    FAR_WINDOWS = 7000, // beyond it windows are finer than pixels
    STEP = 45,          // forward motion per frame
    NEAR = 260,         // range of standing things
    FAR = 14000,
    MAX_THINGS = 160,
    FRACTION = 13, // bits of fixed-point scales
};

typedef struct rgb {
    uint8_t r, g, b;
} rgb;

static const rgb haze = {204, 211, 220};

typedef enum kind { TREE, POLE, SIGN, LIGHT, PERSON, CAR_AHEAD, CAR_ONCOMING } kind;

typedef struct thing {
    kind kind;
    int x, z;
    uint64_t look; // random bits
} thing;

// One screen column of facade.
typedef struct column {
    int64_t scale; // cm per pixel on the wall, FRACTION bits
    int roof;      // height of the building, 0 where the lot is empty
    int along;     // cm from the building's edge
    int depth;     // cm
    rgb wall, shop;
    uint64_t look;
} column;

typedef struct canvas {
    fs_image image;
    int focal, centre, horizon; // pixels
    uint64_t seed;
    int64_t travelled; // cm
} canvas;

// splitmix64's finaliser
static uint64_t mix64(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t look_of(const canvas *scene, uint64_t group, int64_t index) {
    return mix64(mix64(scene->seed ^ group << 56) ^ (uint64_t)index);
}

static int64_t floor_div(int64_t a, int64_t b) {
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}

static int clamp(int64_t v, int low, int high) {
    return v < low ? low : v > high ? high : (int)v;
}

// a to b by share / 256
static rgb blend(rgb a, rgb b, int share) {
    return (rgb){(uint8_t)((a.r * (256 - share) + b.r * share) >> 8),
                 (uint8_t)((a.g * (256 - share) + b.g * share) >> 8),
                 (uint8_t)((a.b * (256 - share) + b.b * share) >> 8)};
}

static rgb shade(rgb a, int percent) {
    return (rgb){(uint8_t)clamp(a.r * percent / 100, 0, 255), (uint8_t)clamp(a.g * percent / 100, 0, 255),
                 (uint8_t)clamp(a.b * percent / 100, 0, 255)};
}

static rgb hazed(rgb a, int64_t depth) {
    return blend(a, haze, clamp(depth * 256 / 20000, 0, 215));
}

// ---- Standing things: rectangles, trapezoids and ellipses in world units around a foot point
// --------------------------

typedef struct brush {
    canvas *scene;
    int x, z; // foot point
} brush;

// World centimetres to screen pixels at the brush's depth.
static int screen_x(const brush *at, int x) {
    return at->scene->centre + (int)floor_div((int64_t)(at->x + x) * at->scene->focal, at->z);
}

static int screen_y(const brush *at, int height) {
    return at->scene->horizon + (int)floor_div((int64_t)(EYE - height) * at->scene->focal, at->z);
}

static void span(canvas *scene, int y, int64_t x0, int64_t x1, rgb color) {
    if (y < 0 || y >= scene->image.height) return;
    int from = clamp(x0, 0, scene->image.width), to = clamp(x1, 0, scene->image.width);
    rgb *row = (rgb *)(scene->image.pixels + (size_t)y * (size_t)scene->image.width * 3);
    for (int x = from; x < to; x++) row[x] = color;
}

// From height `low` with half-width `half_low` to height `high` with `half_high`, centred on `x`.
static void trapezoid(const brush *at, int x, int low, int half_low, int high, int half_high, rgb color) {
    color = hazed(color, at->z);
    int top = screen_y(at, high), bottom = screen_y(at, low);
    if (bottom <= top) bottom = top + 1;
    int from = clamp(top, 0, at->scene->image.height), to = clamp(bottom, 0, at->scene->image.height);
    for (int y = from; y < to; y++) {
        int half = half_high + (int)((int64_t)(half_low - half_high) * (y - top) / (bottom - top));
        int left = screen_x(at, x - half), right = screen_x(at, x + half);
        span(at->scene, y, left, right > left ? right : left + 1, color);
    }
}

static void box(const brush *at, int x, int half, int low, int high, rgb color) {
    trapezoid(at, x, low, half, high, half, color);
}

// `leafy` eats the rim away at random.
static void ellipse(const brush *at, int x, int height, int half_x, int half_y, rgb color, bool leafy) {
    rgb light = hazed(shade(color, 125), at->z);
    color = hazed(color, at->z);
    int64_t cx = screen_x(at, x), cy = screen_y(at, height);
    int64_t rx = screen_x(at, x + half_x) - cx, ry = screen_y(at, height - half_y) - cy;
    if (rx < 1) rx = 1;
    if (ry < 1) ry = 1;
    int top = clamp(cy - ry, 0, at->scene->image.height), bottom = clamp(cy + ry + 1, 0, at->scene->image.height);
    int left = clamp(cx - rx, 0, at->scene->image.width), right = clamp(cx + rx + 1, 0, at->scene->image.width);
    int64_t limit = rx * rx * ry * ry;
    int grain = clamp(rx / 12, 1, at->scene->focal / 160 + 1); // pixels
    for (int y = top; y < bottom; y++) {
        rgb *row = (rgb *)(at->scene->image.pixels + (size_t)y * (size_t)at->scene->image.width * 3);
        int64_t part = (y - cy) * (y - cy) * rx * rx;
        for (int px = left; px < right; px++) {
            int64_t where = part + (px - cx) * (px - cx) * ry * ry;
            if (where > limit) continue;
            if (!leafy) {
                row[px] = color;
                continue;
            }
            uint32_t bits = (uint32_t)(px / grain) * 73856093u ^ (uint32_t)(y / grain) * 19349663u;
            bits = (bits ^ bits >> 13) * 0x5bd1e995u;
            if (where > limit / 4 * 3 && (bits >> 20 & 3) == 0) continue;
            row[px] = (bits >> 24 & 7) < 3 && y < cy + ry / 3 ? light : color;
        }
    }
}

static void shadow(const brush *at, int half) {
    ellipse(at, 0, 0, half, 9, (rgb){56, 56, 60}, false);
}

static void draw_tree(const brush *at, uint64_t look) {
    static const rgb greens[4] = {{58, 92, 44}, {74, 104, 50}, {48, 84, 52}, {92, 108, 52}};
    rgb green = greens[look & 3];
    int crown = 380 + (int)(look >> 8 & 127), spread = 130 + (int)(look >> 16 & 63);
    shadow(at, spread / 2);
    trapezoid(at, 0, 0, 20, crown, 11, (rgb){78, 62, 50});
    ellipse(at, -spread / 2, crown - 30, spread * 2 / 3, 110, shade(green, 80), true);
    ellipse(at, spread / 2, crown - 10, spread * 2 / 3, 115, shade(green, 90), true);
    ellipse(at, 0, crown + 90, spread * 3 / 4, 130, green, true);
    ellipse(at, spread / 5, crown + 10, spread * 2 / 3, 100, shade(green, 110), true);
}

static void draw_pole(const brush *at, kind what, uint64_t look) {
    const rgb metal = {96, 100, 104};
    int inward = at->x > 0 ? -1 : 1;
    if (what == POLE) { // street lamp
        box(at, 0, 7, 0, 720, metal);
        box(at, inward * 70, 75, 712, 724, metal);
        box(at, inward * 130, 28, 700, 716, (rgb){222, 220, 205});
    } else if (what == SIGN) {
        box(at, 0, 4, 0, 290, metal);
        rgb rim = (look & 1) != 0 ? (rgb){196, 36, 40} : (rgb){36, 74, 160};
        ellipse(at, 0, 260, 34, 34, rim, false);
        ellipse(at, 0, 260, 24, 24, (look & 1) != 0 ? (rgb){236, 236, 232} : (rgb){60, 110, 196}, false);
    } else { // traffic light
        box(at, 0, 8, 0, 330, metal);
        box(at, 0, 20, 230, 330, (rgb){34, 36, 36});
        int lit = (int)(look % 3);
        static const rgb lamps[3] = {{230, 50, 40}, {238, 180, 40}, {60, 214, 120}};
        for (int i = 0; i < 3; i++)
            ellipse(at, 0, 313 - 33 * i, 12, 12, i == lit ? lamps[i] : shade(lamps[i], 25), false);
    }
}

static void draw_person(const brush *at, uint64_t look, int64_t frame) {
    static const rgb clothes[6] = {{150, 44, 48},   {44, 62, 110}, {70, 74, 78},
                                   {196, 180, 150}, {44, 96, 84},  {122, 92, 140}};
    static const rgb skins[3] = {{214, 172, 142}, {168, 122, 92}, {108, 76, 58}};
    rgb coat = clothes[look % 6], trousers = shade(clothes[(look >> 8) % 6], 55);
    int tall = 158 + (int)(look >> 16 & 31);
    int stride = (int)((frame + (int64_t)(look >> 24 & 7)) & 7);
    stride = 6 + (stride < 4 ? stride : 8 - stride) * 4;
    shadow(at, 28);
    box(at, -stride, 8, 0, tall * 48 / 100, trousers);
    box(at, stride, 8, 0, tall * 48 / 100, trousers);
    trapezoid(at, 0, tall * 42 / 100, 21, tall * 82 / 100, 24, coat);
    box(at, -27, 6, tall * 46 / 100, tall * 80 / 100, shade(coat, 80));
    box(at, 27, 6, tall * 46 / 100, tall * 80 / 100, shade(coat, 80));
    ellipse(at, 0, tall - 12, 11, 14, skins[(look >> 32) % 3], false);
    ellipse(at, 0, tall - 5, 11, 8, (rgb){52, 40, 34}, false);
}

static void draw_car(const brush *at, uint64_t look, bool ahead) {
    static const rgb paints[7] = {{168, 30, 36},   {36, 60, 120}, {206, 208, 210}, {58, 60, 64},
                                  {120, 126, 130}, {30, 84, 78},  {232, 228, 216}};
    rgb paint = paints[look % 7];
    bool van = (look >> 8 & 3) == 0;
    int roof = van ? 210 : 148, waist = van ? 120 : 96;
    shadow(at, 98);
    box(at, -68, 13, 0, 42, (rgb){24, 24, 26});
    box(at, 68, 13, 0, 42, (rgb){24, 24, 26});
    trapezoid(at, 0, waist, 86, roof, van ? 78 : 60, shade(paint, 92));
    trapezoid(at, 0, waist + 4, 74, roof - 9, van ? 68 : 54, (rgb){46, 58, 70});
    trapezoid(at, 0, 26, 86, waist, 90, paint);
    box(at, 0, 86, 26, 44, shade(paint, 62));
    box(at, 0, 26, 46, 60, ahead ? (rgb){236, 232, 210} : (rgb){40, 42, 46});
    rgb lamp = ahead ? (rgb){200, 30, 34} : (rgb){246, 244, 226};
    box(at, -72, 14, 66, 84, lamp);
    box(at, 72, 14, 66, 84, lamp);
}

static void draw_thing(canvas *scene, const thing *it, int64_t frame) {
    const brush at = {scene, it->x, it->z};
    switch (it->kind) {
    case TREE: draw_tree(&at, it->look); break;
    case POLE:
    case SIGN:
    case LIGHT: draw_pole(&at, it->kind, it->look); break;
    case PERSON: draw_person(&at, it->look, frame); break;
    case CAR_AHEAD:
    case CAR_ONCOMING: draw_car(&at, it->look, it->kind == CAR_AHEAD); break;
    }
}

// ---- What stands where
// ------------------------------------------------------------------------------------------------

typedef struct crowd {
    int count;
    thing thing[MAX_THINGS];
} crowd;

// A rule places one thing of a kind about every `pitch` centimetres, `chance` times in 256.
typedef struct rule {
    kind kind;
    int x, wobble; // x +- wobble
    int pitch, chance;
    int speed; // cm per frame along the street
} rule;

static const rule rules[] = {
    {TREE, -700, 40, 1100, 190, 0},
    {TREE, 600, 30, 1300, 170, 0},
    {POLE, -560, 0, 2600, 256, 0},
    {POLE, 390, 0, 2600, 256, 0},
    {SIGN, 400, 10, 1900, 150, 0},
    {SIGN, -570, 10, 2300, 120, 0},
    {LIGHT, 410, 0, 5200, 256, 0},
    {LIGHT, -575, 0, 5200, 256, 0},
    {PERSON, 560, 110, 420, 120, 4},
    {PERSON, -760, 140, 480, 130, -5},
    {CAR_ONCOMING, -300, 20, 1900, 150, -60},
    {CAR_AHEAD, 110, 25, 2400, 200, STEP},
};

// Inserted far to near, so that near things cover far ones.
static void insert(crowd *all, thing it) {
    if (all->count == MAX_THINGS) return;
    int at = all->count++;
    for (; at > 0 && all->thing[at - 1].z < it.z; at--) all->thing[at] = all->thing[at - 1];
    all->thing[at] = it;
}

static void place_all(const canvas *scene, int64_t frame, crowd *all) {
    for (int i = 0; i < (int)(sizeof rules / sizeof rules[0]); i++) {
        const rule *r = &rules[i];
        int64_t camera = scene->travelled - r->speed * frame; // in the frame of what moves along with the rule
        int64_t first = floor_div(camera + NEAR, r->pitch), last = floor_div(camera + FAR, r->pitch);
        for (int64_t k = first; k <= last; k++) {
            uint64_t look = look_of(scene, (uint64_t)i + 1, k);
            if ((int)(look >> 56) >= r->chance) continue;
            int64_t z = k * r->pitch + (int64_t)(look >> 40 & 0xff) * r->pitch / 400 - camera;
            if (z < NEAR || z > FAR || (r->kind == CAR_AHEAD && z < 700)) continue;
            int x = r->x + ((int)(look >> 48 & 0xff) - 128) * r->wobble / 128;
            insert(all, (thing){r->kind, x, (int)z, mix64(look)});
        }
    }
}

// ---- Background: sky, facades and ground, one ray a pixel
// -----------------------------------------------------------------

static column make_column(const canvas *scene, int x) {
    static const rgb walls[8] = {{168, 140, 116}, {150, 92, 74},   {190, 180, 162}, {134, 132, 130},
                                 {176, 156, 104}, {120, 110, 112}, {198, 168, 146}, {142, 150, 156}};
    static const rgb shops[4] = {{96, 40, 44}, {44, 70, 60}, {52, 58, 84}, {110, 96, 70}};
    int64_t off = 2 * (int64_t)x + 1 - 2 * (int64_t)scene->centre; // half pixels, never zero
    bool left = off < 0;
    int64_t wall = left ? -WALL_LEFT : WALL_RIGHT, distance = left ? -off : off;
    column col = {.scale = (wall << FRACTION) * 2 / distance};
    int64_t depth = scene->focal * wall * 2 / distance;
    col.depth = clamp(depth, 1, 1 << 28);
    int64_t lot = floor_div(depth + scene->travelled, LOT);
    col.look = look_of(scene, left ? 60 : 61, lot);
    col.along = (int)(depth + scene->travelled - lot * LOT);
    col.roof = SHOP + STOREY * (2 + (int)(col.look >> 8 & 3)) + (int)(col.look >> 12 & 63);
    if ((col.look >> 20 & 7) == 0) col.roof = 0;
    col.wall = shade(walls[col.look & 7], left ? 82 : 100); // the sun stands on the left
    col.shop = shops[col.look >> 4 & 3];
    return col;
}

static rgb facade(const column *col, int height) {
    if (col->along < 12 || height > col->roof - 28) return hazed(shade(col->wall, 68), col->depth);
    if (height < SHOP) {
        int u = col->along % 470;
        if (height > SHOP - 70) return hazed(col->shop, col->depth);
        if (u > 40 && u < 380 && height > 50 && height < SHOP - 85) return hazed((rgb){54, 62, 70}, col->depth);
        if (u >= 395 && u < 465 && height < 230) return hazed(shade(col->shop, 70), col->depth);
        return hazed(shade(col->wall, 84), col->depth);
    }
    if (col->depth > FAR_WINDOWS) return hazed(shade(col->wall, 90), col->depth);
    int u = col->along % WINDOW_PITCH, v = (height - SHOP) % STOREY;
    if (u > 78 && u < 202 && v > 80 && v < 250) {
        uint64_t pane = mix64(col->look ^ (uint64_t)(col->along / WINDOW_PITCH * 64 + (height - SHOP) / STOREY));
        rgb glass = (pane & 7) == 0 ? (rgb){206, 190, 140} : (pane & 1) != 0 ? (rgb){70, 84, 98} : (rgb){96, 114, 130};
        bool frame = u < 86 || u > 194 || v > 242 || (u > 137 && u < 143);
        return hazed(frame ? (rgb){216, 212, 204} : glass, col->depth);
    }
    if (u > 70 && u < 210 && v > 68 && v <= 80) return hazed(shade(col->wall, 118), col->depth); // sill
    return hazed(col->wall, col->depth);
}

static rgb ground(const canvas *scene, int64_t x, int64_t depth) {
    int64_t along = depth + scene->travelled;
    rgb color;
    if (x > ROAD_LEFT && x < ROAD_RIGHT) {
        color = (rgb){92, 92, 96};
        bool dash = along - floor_div(along, 900) * 900 < 420;
        if (x > LANE_LINE - 7 && x < LANE_LINE + 7 && dash) color = (rgb){222, 222, 216};
        if ((x > ROAD_LEFT + 28 && x < ROAD_LEFT + 40) || (x > ROAD_RIGHT - 40 && x < ROAD_RIGHT - 28))
            color = (rgb){206, 206, 200};
    } else if (x > ROAD_LEFT - 18 && x < ROAD_RIGHT + 18) {
        color = (rgb){168, 166, 160}; // kerb
    } else if (x > WALL_LEFT && x < WALL_RIGHT) {
        bool odd = ((floor_div(x, 90) + floor_div(along, 90)) & 1) != 0;
        color = odd ? (rgb){150, 143, 138} : (rgb){142, 136, 132};
    } else {
        color = (rgb){104, 122, 74}; // grass of an empty lot
    }
    return hazed(color, depth);
}

static rgb sky(const canvas *scene, int x, int y) {
    const rgb high = {104, 150, 206};
    int share = clamp((int64_t)y * 256 / (scene->horizon > 0 ? scene->horizon : 1), 0, 256);
    rgb color = blend(high, haze, share);
    // Clouds: three triangle waves that beat against each other.
    int width = scene->image.width;
    int64_t u = (int64_t)x * 4096 / width, v = (int64_t)y * 8192 / width;
    int64_t shift = (int64_t)(scene->seed & 1023);
    int64_t wave = 0;
    static const int periods[3] = {1900, 1130, 610};
    for (int i = 0; i < 3; i++) {
        int64_t p = periods[i], at = (u + v * (i + 2) * (i == 1 ? -1 : 1) + shift * (i + 1)) % p;
        if (at < 0) at += p;
        wave += (at < p / 2 ? at : p - at) * 256 / p;
    }
    return wave > 210 ? blend(color, (rgb){244, 246, 248}, clamp((wave - 210) * 2, 0, 200)) : color;
}

static void draw_row(const canvas *scene, const column *columns, int y) {
    int64_t below = 2 * (int64_t)y + 1 - 2 * (int64_t)scene->horizon; // half pixels under the horizon, never zero
    int64_t scale = ((int64_t)EYE << FRACTION) / below, depth = (int64_t)EYE * scene->focal * 2 / below;
    rgb *row = (rgb *)(scene->image.pixels + (size_t)y * (size_t)scene->image.width * 3);
    for (int x = 0; x < scene->image.width; x++) {
        int64_t height = EYE - below * columns[x].scale / (2 << FRACTION);
        if (columns[x].roof > 0 && height >= 0 && height < columns[x].roof) {
            row[x] = facade(&columns[x], (int)height);
        } else if (below > 0) {
            row[x] = ground(scene, (2 * (int64_t)x + 1 - 2 * (int64_t)scene->centre) * scale / (1 << FRACTION), depth);
        } else if (columns[x].roof == 0 && height < 300 + (int)(columns[x].along / 40 * 37 % 90)) {
            row[x] = hazed((rgb){66, 92, 50}, columns[x].depth); // hedge of an empty lot
        } else {
            row[x] = sky(scene, x, y);
        }
    }
}

// Sensor noise of up to 5 levels, so that the picture is not made of constant areas.
static void add_noise(const canvas *scene, int frame) {
    size_t count = (size_t)scene->image.width * (size_t)scene->image.height;
    uint32_t state = (uint32_t)mix64(scene->seed ^ (uint64_t)(uint32_t)frame << 32) | 1;
    uint8_t *pixel = scene->image.pixels;
    for (size_t i = 0; i < count; i++, pixel += 3) {
        state ^= state << 13; // xorshift32
        state ^= state >> 17;
        state ^= state << 5;
        int grain = (int)(state & 7) - 4, tint = (int)(state >> 8 & 3) - 1;
        pixel[0] = (uint8_t)clamp(pixel[0] + grain + tint, 0, 255);
        pixel[1] = (uint8_t)clamp(pixel[1] + grain, 0, 255);
        pixel[2] = (uint8_t)clamp(pixel[2] + grain - tint, 0, 255);
    }
}

_Static_assert(sizeof(rgb) == 3, "a pixel is three bytes");

fs_status fs_scene_draw(fs_image *out, int width, int height, uint64_t seed, int frame) {
    if (out == NULL || !fs_image_is_side(width) || !fs_image_is_side(height))
        return fs_fail(FS_ERR_ARGUMENT, "scene: %d x %d pixels; a side is 1 to %d", width, height, FS_IMAGE_MAX_SIDE);
    uint64_t look = mix64(seed);
    canvas scene = {.focal = (width + 1) / 2, .seed = look, .travelled = (int64_t)frame * STEP};
    scene.centre = width / 2 + (int)((int64_t)width * ((int)(look >> 8 & 63) - 32) / 1024);
    scene.horizon = (int)((int64_t)height * (440 + (int)(look >> 16 & 31)) / 1000);
    FS_TRY(fs_image_alloc("scene", width, height, 3, &scene.image));
    column *columns = fs_malloc((size_t)width, sizeof *columns);
    crowd *all = fs_calloc(1, sizeof *all);
    if (columns == NULL || all == NULL) {
        fs_free(columns);
        fs_free(all);
        fs_image_free(&scene.image);
        return fs_image_no_memory("scene");
    }
    for (int x = 0; x < width; x++) columns[x] = make_column(&scene, x);
    for (int y = 0; y < height; y++) draw_row(&scene, columns, y);
    place_all(&scene, frame, all);
    for (int i = 0; i < all->count; i++) draw_thing(&scene, &all->thing[i], frame);
    add_noise(&scene, frame);
    fs_free(columns);
    fs_free(all);
    *out = scene.image;
    return FS_OK;
}
