// Background of the generated street: sky, rows of facades on both sides, and the ground between them.
#include "host/image/codec.h"
#include "host/image/scene_world.h"
#include "runtime/base/mem.h"

enum {
    LOT = 1400, // length of one building
    SHOP = 360, // height of the ground floor
    STOREY = 320,
    WINDOW_PITCH = 280,
    FAR_WINDOWS = 9000, // beyond it windows are finer than pixels
};

// One screen column of facade.
typedef struct column {
    int64_t scale; // cm per pixel on the wall, FS_SCENE_FRACTION bits
    int roof;      // height of the building, 0 where the lot is empty
    int along;     // cm from the building's edge
    int depth;     // cm
    rgb wall, shop;
    uint64_t look;
} column;

static uint64_t lot_look(const canvas *scene, bool left, int64_t lot) {
    return look_of(scene, left ? 60 : 61, lot);
}

static int roof_of(uint64_t look) {
    return (look >> 20 & 7) == 0 ? 0 : SHOP + STOREY * (1 + (int)(look >> 8 & 3)) + (int)(look >> 12 & 63);
}

// The nearest depth at which a wall of the curved street crosses a screen column: walls are followed outwards until
// they have passed it.
static int64_t wall_depth(const canvas *scene, int64_t off, int64_t wall) {
    int64_t z = 100, step = 400;
    bool before = ((wall + bend(scene, z)) * scene->focal * 2 > off * z);
    for (; z < 120000; z += step) {
        bool now = (wall + bend(scene, z + step)) * scene->focal * 2 > off * (z + step);
        if (now != before) break;
        step = z / 5 + 100;
    }
    if (z >= 120000) return 1 << 28;
    int64_t low = z, high = z + step;
    while (high - low > 1) {
        int64_t mid = (low + high) / 2;
        bool now = (wall + bend(scene, mid)) * scene->focal * 2 > off * mid;
        if (now == before)
            low = mid;
        else
            high = mid;
    }
    return high;
}

static column make_column(const canvas *scene, int x) {
    static const rgb walls[12] = {{168, 140, 116}, {150, 92, 74},   {190, 180, 162}, {134, 132, 130},
                                  {176, 156, 104}, {120, 110, 112}, {198, 168, 146}, {142, 150, 156},
                                  {128, 74, 60},   {208, 204, 196}, {110, 84, 70},   {160, 166, 150}};
    static const rgb shops[6] = {{96, 40, 44}, {44, 70, 60}, {52, 58, 84}, {110, 96, 70}, {60, 60, 62}, {150, 60, 40}};
    int64_t off = 2 * (int64_t)x + 1 - 2 * (int64_t)scene->centre; // half pixels, never zero
    int64_t near_left = wall_depth(scene, off, scene->wall_left),
            near_right = wall_depth(scene, off, scene->wall_right);
    bool left = near_left < near_right;
    int64_t depth = left ? near_left : near_right;
    column col = {.scale = (depth << FS_SCENE_FRACTION) / scene->focal, .depth = clamp(depth, 1, 1 << 28)};
    int64_t lot = floor_div(depth + scene->travelled, LOT);
    col.look = lot_look(scene, left, lot);
    col.along = (int)(depth + scene->travelled - lot * LOT);
    col.roof = roof_of(col.look);
    bool lit = scene->sun == 0 || left == (scene->sun < 0);
    col.wall = shade(walls[col.look % 12], lit ? 106 : 78);
    col.shop = shade(shops[(col.look >> 4 & 255) % 6], lit ? 106 : 80);
    return col;
}

static rgb facade(const canvas *scene, const column *col, int height) {
    if (col->along < 12 || height > col->roof - 28) return hazed(scene, shade(col->wall, 68), col->depth);
    if (height < SHOP) {
        int u = col->along % 470;
        if (height > SHOP - 70) return hazed(scene, col->shop, col->depth);
        if (u > 40 && u < 380 && height > 50 && height < SHOP - 85) return hazed(scene, (rgb){54, 62, 70}, col->depth);
        if (u >= 395 && u < 465 && height < 230) return hazed(scene, shade(col->shop, 70), col->depth);
        return hazed(scene, shade(col->wall, 84), col->depth);
    }
    if (col->depth > FAR_WINDOWS) return hazed(scene, shade(col->wall, 90), col->depth);
    int u = col->along % WINDOW_PITCH, v = (height - SHOP) % STOREY;
    if (u > 78 && u < 202 && v > 80 && v < 250) {
        uint64_t pane = mix64(col->look ^ (uint64_t)(col->along / WINDOW_PITCH * 64 + (height - SHOP) / STOREY));
        rgb glass = (int)(pane & 511) < 40 + scene->dusk ? (rgb){206, 190, 140}
                    : (pane & 1) != 0                    ? (rgb){70, 84, 98}
                                                         : (rgb){96, 114, 130};
        bool frame = u < 86 || u > 194 || v > 242 || (u > 137 && u < 143);
        return hazed(scene, frame ? (rgb){216, 212, 204} : glass, col->depth);
    }
    if (u > 70 && u < 210 && v > 68 && v <= 80) return hazed(scene, shade(col->wall, 118), col->depth); // sill
    int rough = 97 + (int)(grain_of(height / 9, (col->along + height / 9 % 2 * 12) / 24) & 7);          // bricks
    return hazed(scene, shade(col->wall, rough), col->depth);
}

// One row of ground: everything that does not change along it.
typedef struct strip {
    int64_t along, depth;
    int dark_left, dark_right; // buildings shade what lies beyond these
    bool dash;
} strip;

static rgb ground(const canvas *scene, const strip *s, int64_t x, uint8_t *label) {
    rgb color;
    uint32_t bits = grain_of(floor_div(x, 4), s->along / 6), patch = grain_of(floor_div(x, 160), s->along / 700);
    int rough = s->depth < 2500 ? (int)(bits & 15) - 8 : s->depth < 6000 ? (int)(bits & 7) - 4 : 0;
    *label = FS_SCENE_ROAD;
    if (x > scene->road_left && x < scene->road_right) {
        int grey = 84 + (int)(scene->seed >> 40 & 15) + (int)(patch % 9) - 4;
        color = (rgb){(uint8_t)grey, (uint8_t)grey, (uint8_t)(grey + 4)};
        bool line = x > scene->lane_line - 7 && x < scene->lane_line + 7 && s->dash;
        line = line || (x > scene->road_left + 28 && x < scene->road_left + 40);
        line = line || (x > scene->road_right - 40 && x < scene->road_right - 28);
        if (line && (bits >> 8 & 15) != 0) color = (rgb){214, 214, 206};
    } else if (x > scene->road_left - 18 && x < scene->road_right + 18) {
        color = (rgb){168, 166, 160}; // kerb
        *label = FS_SCENE_PAVEMENT;
    } else if (x > scene->wall_left && x < scene->wall_right) {
        int64_t across = floor_div(x, 90), ahead = floor_div(s->along, 90);
        int tone = 132 + (int)(grain_of(across, ahead) % 17);
        bool joint = s->depth < 3500 && (x - across * 90 < 4 || s->along - ahead * 90 < 5);
        color = joint ? (rgb){112, 106, 102} : (rgb){(uint8_t)(tone + 8), (uint8_t)(tone + 2), (uint8_t)(tone - 3)};
        *label = FS_SCENE_PAVEMENT;
    } else {
        color = (rgb){96, 118, 66}; // grass of an empty lot
        rough *= 2;
        *label = FS_SCENE_TREE;
    }
    int light = 100 + rough;
    if (x < s->dark_left || x > s->dark_right) light = light * 64 / 100;
    return hazed(scene, shade(color, light), s->depth);
}

static rgb sky(const canvas *scene, int x, int y) {
    const rgb high = scene->zenith;
    int share = clamp((int64_t)y * 256 / (scene->horizon > 0 ? scene->horizon : 1), 0, 256);
    rgb color = blend(high, scene->haze, share);
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
    return wave > 210 ? blend(color, shade(scene->haze, 112), clamp((wave - 210) * 2, 0, 200)) : color;
}

static strip make_strip(const canvas *scene, int64_t depth) {
    strip s = {.along = depth + scene->travelled, .depth = depth, .dark_left = -(1 << 29), .dark_right = 1 << 29};
    s.dash = s.along - floor_div(s.along, 900) * 900 < 420;
    int64_t lot = floor_div(s.along, LOT);
    if (scene->sun > 0) s.dark_left = scene->wall_left + roof_of(lot_look(scene, true, lot)) * scene->sun / 100;
    if (scene->sun < 0) s.dark_right = scene->wall_right + roof_of(lot_look(scene, false, lot)) * scene->sun / 100;
    return s;
}

static void draw_row(const canvas *scene, const column *columns, int y) {
    int64_t below = 2 * (int64_t)y + 1 - 2 * (int64_t)scene->horizon; // half pixels under the horizon, never zero
    int64_t scale = ((int64_t)scene->eye << FS_SCENE_FRACTION) / below;
    int64_t depth = (int64_t)scene->eye * scene->focal * 2 / below, aside = bend(scene, depth < 0 ? 0 : depth);
    strip s = make_strip(scene, depth);
    rgb *row = (rgb *)(scene->image.pixels + (size_t)y * (size_t)scene->image.width * 3);
    uint8_t *labels = scene->labels + (size_t)y * (size_t)scene->image.width;
    for (int x = 0; x < scene->image.width; x++) {
        const column *col = &columns[x];
        int64_t height = scene->eye - below * col->scale / (2 << FS_SCENE_FRACTION);
        if (col->roof > 0 && height >= 0 && height < col->roof) {
            row[x] = facade(scene, col, (int)height);
            labels[x] = FS_SCENE_BUILDING;
        } else if (below > 0 && (height < 0 || col->roof == 0)) {
            int64_t across = (2 * (int64_t)x + 1 - 2 * (int64_t)scene->centre) * scale / (1 << FS_SCENE_FRACTION);
            row[x] = ground(scene, &s, across - aside, &labels[x]);
        } else if (col->roof == 0 && height < 300 + (int)(grain_of(col->along / 40, 7) % 90)) {
            int rough = 80 + (int)(grain_of(height / 14, col->along / 14) % 50);
            row[x] = hazed(scene, shade((rgb){66, 92, 50}, rough), col->depth); // hedge of an empty lot
            labels[x] = FS_SCENE_TREE;
        } else {
            row[x] = sky(scene, x, y);
            labels[x] = FS_SCENE_SKY;
        }
    }
}

fs_status fs_scene_background(canvas *scene) {
    column *columns = fs_malloc((size_t)scene->image.width, sizeof *columns);
    if (columns == NULL) return fs_image_no_memory("scene");
    for (int x = 0; x < scene->image.width; x++) columns[x] = make_column(scene, x);
    for (int y = 0; y < scene->image.height; y++) draw_row(scene, columns, y);
    fs_free(columns);
    return FS_OK;
}
