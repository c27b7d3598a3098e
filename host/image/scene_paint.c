// Shapes of the generated street: rectangles, trapezoids, ellipses and shadows, each with the class of its pixels.
#include "host/image/scene_world.h"

_Static_assert(sizeof(rgb) == 3, "a pixel is three bytes");

int fs_scene_x(const brush *at, int x) {
    return at->scene->centre + (int)floor_div((at->x + x + bend(at->scene, at->z)) * at->scene->focal, at->z);
}

static int screen_y(const brush *at, int height) {
    return at->scene->horizon + (int)floor_div((int64_t)(at->scene->eye - height) * at->scene->focal, at->z);
}

static rgb *row_of(const canvas *scene, int y) {
    return (rgb *)(scene->image.pixels + (size_t)y * (size_t)scene->image.width * 3);
}

static uint8_t *labels_of(const canvas *scene, int y) {
    return scene->labels + (size_t)y * (size_t)scene->image.width;
}

void fs_scene_trapezoid(const brush *at, int x, int low, int half_low, int high, int half_high, rgb color) {
    const canvas *scene = at->scene;
    color = hazed(scene, color, at->z);
    int top = screen_y(at, high), bottom = screen_y(at, low);
    if (bottom <= top) bottom = top + 1;
    int from = clamp(top, 0, scene->image.height), to = clamp(bottom, 0, scene->image.height);
    for (int y = from; y < to; y++) {
        int half = half_high + (int)((int64_t)(half_low - half_high) * (y - top) / (bottom - top));
        int left = fs_scene_x(at, x - half), right = fs_scene_x(at, x + half);
        if (right <= left) right = left + 1;
        rgb *row = row_of(scene, y);
        uint8_t *labels = labels_of(scene, y);
        left = clamp(left, 0, scene->image.width), right = clamp(right, 0, scene->image.width);
        for (int px = left; px < right; px++) row[px] = color, labels[px] = (uint8_t)at->class;
    }
}

void fs_scene_box(const brush *at, int x, int half, int low, int high, rgb color) {
    fs_scene_trapezoid(at, x, low, half, high, half, color);
}

void fs_scene_ellipse(const brush *at, int x, int height, int half_x, int half_y, rgb color, bool leafy) {
    const canvas *scene = at->scene;
    rgb tones[4] = {shade(color, 72), color, shade(color, 112), shade(color, 132)};
    for (int i = 0; i < 4; i++) tones[i] = hazed(scene, tones[i], at->z);
    color = tones[1];
    int64_t cx = fs_scene_x(at, x), cy = screen_y(at, height);
    int64_t rx = fs_scene_x(at, x + half_x) - cx, ry = screen_y(at, height - half_y) - cy;
    if (rx < 1) rx = 1;
    if (ry < 1) ry = 1;
    int top = clamp(cy - ry, 0, scene->image.height), bottom = clamp(cy + ry + 1, 0, scene->image.height);
    int left = clamp(cx - rx, 0, scene->image.width), right = clamp(cx + rx + 1, 0, scene->image.width);
    int64_t limit = rx * rx * ry * ry;
    int leaf = clamp(rx / 16, 1, scene->focal / 160 + 1); // pixels
    int lit = scene->sun > 0 ? -1 : 1;                    // the side that the sun stands on
    for (int y = top; y < bottom; y++) {
        rgb *row = row_of(scene, y);
        uint8_t *labels = labels_of(scene, y);
        int64_t part = (y - cy) * (y - cy) * rx * rx;
        for (int px = left; px < right; px++) {
            int64_t where = part + (px - cx) * (px - cx) * ry * ry;
            if (where > limit) continue;
            if (leafy) {
                uint32_t bits = grain_of((px - cx + 65536) / leaf, (y - cy + 65536) / leaf);
                if (where > limit / 4 * 3 && (bits >> 20 & 3) == 0) continue;
                int tone = (int)(bits >> 24 & 3) + ((y - cy) * 2 > ry ? -1 : 0) + ((px - cx) * lit * 3 > rx ? 1 : 0);
                color = tones[clamp(tone, 0, 3)];
            }
            row[px] = color;
            labels[px] = (uint8_t)at->class;
        }
    }
}

void fs_scene_shadow(const brush *at, int half, int height) {
    const canvas *scene = at->scene;
    int reach = height * scene->sun / 100;
    brush near = *at, far = *at; // a strip of the ground that is `half` long and `reach` wide
    near.z -= half / 2 < at->z / 2 ? half / 2 : at->z / 2;
    far.z += half / 2 + height / 8;
    int top = clamp(screen_y(&far, 0), 0, scene->image.height), y1 = screen_y(&near, 0);
    int bottom = clamp((int64_t)y1 + 1, 0, scene->image.height);
    int left = reach < 0 ? reach - half : -half, right = reach > 0 ? reach + half : half;
    for (int y = top; y < bottom; y++) {
        int64_t below = 2 * (int64_t)y + 1 - 2 * (int64_t)scene->horizon;
        if (below <= 0) continue;
        int z = clamp((int64_t)scene->eye * scene->focal * 2 / below, 1, 1 << 20);
        brush row_brush = {at->scene, at->x, z, at->class};
        int from = clamp(fs_scene_x(&row_brush, left), 0, scene->image.width);
        int to = clamp(fs_scene_x(&row_brush, right), 0, scene->image.width);
        rgb *row = row_of(scene, y);
        const uint8_t *labels = labels_of(scene, y);
        for (int px = from; px < to; px++)
            if (labels[px] == FS_SCENE_ROAD || labels[px] == FS_SCENE_PAVEMENT) row[px] = shade(row[px], 66);
    }
}
