// Things that stand on the generated street: trees, poles, signs, people, cyclists, cars, fences, bins.
#include "host/image/scene_world.h"

static void draw_tree(const brush *at, uint64_t look) {
    static const rgb greens[4] = {{58, 92, 44}, {74, 104, 50}, {48, 84, 52}, {92, 108, 52}};
    rgb green = greens[look & 3];
    int crown = 380 + (int)(look >> 8 & 127), spread = 130 + (int)(look >> 16 & 63);
    fs_scene_trapezoid(at, 0, 0, 20, crown, 11, (rgb){78, 62, 50});
    fs_scene_ellipse(at, -spread / 2, crown - 30, spread * 2 / 3, 110, shade(green, 80), true);
    fs_scene_ellipse(at, spread / 2, crown - 10, spread * 2 / 3, 115, shade(green, 90), true);
    fs_scene_ellipse(at, 0, crown + 90, spread * 3 / 4, 130, green, true);
    fs_scene_ellipse(at, spread / 5, crown + 10, spread * 2 / 3, 100, shade(green, 110), true);
}

static void draw_pole(const brush *at, kind what, uint64_t look) {
    const rgb metal = (look >> 12 & 3) == 0 ? (rgb){60, 66, 62} : (rgb){104, 108, 112};
    brush plate = *at;
    plate.class = FS_SCENE_SIGN;
    int inward = at->x > 0 ? -1 : 1;
    if (what == POLE) { // street lamp
        fs_scene_box(at, 0, 8, 0, 720, metal);
        fs_scene_box(at, 0, 11, 0, 90, shade(metal, 80));
        fs_scene_box(at, inward * 70, 75, 712, 724, metal);
        fs_scene_box(at, inward * 130, 28, 700, 716, (rgb){222, 220, 205});
    } else if (what == SIGN) {
        fs_scene_box(at, 0, 5, 0, 290, metal);
        int shape = (int)(look % 4);
        if (shape == 0) { // prohibition
            fs_scene_ellipse(&plate, 0, 260, 36, 36, (rgb){196, 36, 40}, false);
            fs_scene_ellipse(&plate, 0, 260, 25, 25, (rgb){236, 236, 232}, false);
        } else if (shape == 1) { // warning
            fs_scene_trapezoid(&plate, 0, 228, 42, 300, 2, (rgb){196, 36, 40});
            fs_scene_trapezoid(&plate, 0, 235, 27, 284, 2, (rgb){240, 238, 226});
        } else if (shape == 2) { // direction
            fs_scene_box(&plate, 0, 62, 225, 300, (rgb){232, 234, 236});
            fs_scene_box(&plate, 0, 57, 230, 295, (look & 64) != 0 ? (rgb){30, 70, 150} : (rgb){20, 104, 70});
            fs_scene_box(&plate, -8, 38, 268, 278, (rgb){230, 232, 236});
            fs_scene_box(&plate, 4, 44, 246, 256, (rgb){230, 232, 236});
        } else { // order
            fs_scene_ellipse(&plate, 0, 260, 36, 36, (rgb){228, 230, 232}, false);
            fs_scene_ellipse(&plate, 0, 260, 32, 32, (rgb){40, 88, 176}, false);
            fs_scene_box(&plate, 0, 6, 240, 278, (rgb){236, 238, 240});
        }
    } else { // traffic light
        fs_scene_box(at, 0, 8, 0, 330, metal);
        fs_scene_box(&plate, 0, 20, 230, 330, (rgb){34, 36, 36});
        int lit = (int)(look % 3);
        static const rgb lamps[3] = {{230, 50, 40}, {238, 180, 40}, {60, 214, 120}};
        for (int i = 0; i < 3; i++)
            fs_scene_ellipse(&plate, 0, 313 - 33 * i, 12, 12, i == lit ? lamps[i] : shade(lamps[i], 25), false);
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
    fs_scene_box(at, -stride, 8, 0, tall * 48 / 100, trousers);
    fs_scene_box(at, stride, 8, 0, tall * 48 / 100, trousers);
    fs_scene_trapezoid(at, 0, tall * 42 / 100, 21, tall * 82 / 100, 24, coat);
    fs_scene_box(at, -27, 6, tall * 46 / 100, tall * 80 / 100, shade(coat, 80));
    fs_scene_box(at, 27, 6, tall * 46 / 100, tall * 80 / 100, shade(coat, 80));
    fs_scene_ellipse(at, 0, tall - 12, 11, 14, skins[(look >> 32) % 3], false);
    fs_scene_ellipse(at, 0, tall - 5, 11, 8, (rgb){52, 40, 34}, false);
}

static void draw_cyclist(const brush *at, uint64_t look, int64_t frame) {
    static const rgb coats[5] = {{190, 60, 40}, {50, 80, 130}, {204, 196, 70}, {70, 74, 78}, {60, 120, 90}};
    rgb coat = coats[look % 5], frame_color = shade(coats[(look >> 8) % 5], 70);
    const rgb tyre = {28, 28, 30}, skin = {196, 152, 122};
    int pedal = (int)((frame * 2 + (int64_t)(look & 7)) & 7);
    pedal = (pedal < 4 ? pedal : 8 - pedal) * 8;
    fs_scene_ellipse(at, 0, 34, 6, 34, tyre, false);
    fs_scene_box(at, 0, 4, 40, 92, frame_color);
    fs_scene_box(at, 0, 27, 96, 101, (rgb){52, 54, 56}); // handlebar
    fs_scene_trapezoid(at, -10, 20 + pedal, 6, 98, 9, shade(coat, 45));
    fs_scene_trapezoid(at, 10, 52 - pedal, 6, 98, 9, shade(coat, 45));
    fs_scene_trapezoid(at, 0, 92, 17, 152, 23, coat);
    fs_scene_trapezoid(at, -25, 98, 5, 146, 7, shade(coat, 82));
    fs_scene_trapezoid(at, 25, 98, 5, 146, 7, shade(coat, 82));
    fs_scene_ellipse(at, 0, 168, 11, 14, skin, false);
    fs_scene_ellipse(at, 0, 177, 13, 9, (look & 256) != 0 ? (rgb){220, 220, 216} : (rgb){40, 36, 34}, false);
}

static void draw_car(const brush *at, uint64_t look, bool ahead) {
    static const rgb paints[7] = {{168, 30, 36},   {36, 60, 120}, {206, 208, 210}, {58, 60, 64},
                                  {120, 126, 130}, {30, 84, 78},  {232, 228, 216}};
    rgb paint = paints[look % 7];
    bool van = (look >> 8 & 3) == 0;
    int roof = van ? 210 : 148, waist = van ? 120 : 96;
    // The body is a stack of slices from front to back, as fine as the side that is seen.
    enum { LENGTH = 420 };
    brush slice = *at;
    slice.z = at->z + LENGTH;
    int shift = fs_scene_x(at, 0) - fs_scene_x(&slice, 0);
    int slices = clamp((shift < 0 ? -shift : shift) / 2, 4, 120);
    for (int i = slices; i > 0; i--) {
        int along = LENGTH * i / slices; // from the face that is seen
        slice.z = at->z + along;
        bool wheel = (along > 45 && along < 115) || (along > 305 && along < 375);
        int cabin = van || ahead ? (van ? 395 : 300) : 330, start = van || ahead ? 0 : 110;
        int bonnet = van ? 0 : along < start ? start - along : along > cabin ? along - cabin : 0;
        if (wheel) fs_scene_box(&slice, 0, 84, 0, 40, (rgb){24, 24, 26});
        fs_scene_box(&slice, 0, 87, wheel ? 42 : 22, waist, shade(paint, wheel ? 62 : 74));
        if (along > start - 55 && along < cabin + 70) {
            int high = clamp(roof - bonnet, waist, roof), half = van ? 80 : 64;
            bool pillar = along % 130 < 14;
            fs_scene_trapezoid(&slice, 0, waist, 85, high, half, pillar ? shade(paint, 70) : (rgb){40, 50, 60});
            fs_scene_box(&slice, 0, half, high - 6, high, shade(paint, 96));
        } else {
            fs_scene_box(&slice, 0, 84, waist - 4, waist, shade(paint, 104));
        }
    }
    fs_scene_box(at, -68, 13, 0, 42, (rgb){24, 24, 26});
    fs_scene_box(at, 68, 13, 0, 42, (rgb){24, 24, 26});
    brush screen = *at;
    if (!van && !ahead) screen.z += 90;
    fs_scene_trapezoid(&screen, 0, waist, 86, roof, van ? 78 : 60, shade(paint, 92));
    fs_scene_trapezoid(&screen, 0, waist + 4, 74, roof - 9, van ? 68 : 54, (rgb){46, 58, 70});
    fs_scene_trapezoid(at, 0, 26, 86, waist, 90, paint);
    fs_scene_box(at, 0, 86, 26, 44, shade(paint, 62));
    fs_scene_box(at, 0, 86, waist - 6, waist, shade(paint, 118));
    fs_scene_box(at, 0, 26, 46, 60, ahead ? (rgb){236, 232, 210} : (rgb){40, 42, 46});
    rgb lamp = ahead ? (rgb){200, 30, 34} : (rgb){246, 244, 226};
    fs_scene_box(at, -72, 14, 66, 84, lamp);
    fs_scene_box(at, 72, 14, 66, 84, lamp);
}

// Posts and rails along the street: the gaps between them count as fence too.
static void draw_fence(const brush *at, uint64_t look) {
    enum { LENGTH = 250 };
    static const rgb tones[4] = {{122, 96, 66}, {70, 78, 74}, {196, 194, 186}, {58, 60, 62}};
    rgb tone = tones[look & 3];
    brush part = *at;
    for (int along = LENGTH; along >= 0; along -= 10) {
        part.z = at->z + along;
        bool post = along % 50 == 0;
        int half = clamp((int64_t)(at->x < 0 ? -at->x : at->x) * 10 / part.z, 2, 40);
        fs_scene_box(&part, 0, half, 4, 104, shade(tone, along / 10 % 2 != 0 ? 58 : 92));
        fs_scene_box(&part, 0, half, 82, 92, shade(tone, 108));
        fs_scene_box(&part, 0, half, 26, 36, shade(tone, 108));
        if (post) fs_scene_box(&part, 0, 5, 0, 116, shade(tone, 120));
    }
}

static void draw_bin(const brush *at, uint64_t look) {
    rgb tone = (look & 1) != 0 ? (rgb){54, 84, 60} : (rgb){92, 94, 98};
    fs_scene_trapezoid(at, 0, 0, 24, 96, 30, tone);
    fs_scene_box(at, 0, 32, 94, 104, shade(tone, 70));
}

void fs_scene_thing_shadow(canvas *scene, const thing *it) {
    static const struct {
        int half, height;
    } sizes[] = {{110, 420}, {10, 700}, {8, 280},  {12, 320}, {24, 165},
                 {24, 170},  {95, 140}, {95, 140}, {6, 105},  {26, 100}};
    const brush at = {scene, it->x, it->z, FS_SCENE_ROAD};
    if (scene->sun != 0) fs_scene_shadow(&at, sizes[it->kind].half, sizes[it->kind].height);
    if (it->kind >= PERSON) fs_scene_shadow(&at, sizes[it->kind].half, 0); // where no light comes to
}

void fs_scene_thing(canvas *scene, const thing *it, int64_t frame) {
    brush at = {scene, it->x, it->z, FS_SCENE_VOID};
    switch (it->kind) {
    case TREE:
        at.class = FS_SCENE_TREE;
        draw_tree(&at, it->look);
        break;
    case POLE:
    case SIGN:
    case LIGHT:
        at.class = FS_SCENE_POLE;
        draw_pole(&at, it->kind, it->look);
        break;
    case PERSON:
        at.class = FS_SCENE_PEDESTRIAN;
        draw_person(&at, it->look, frame);
        break;
    case CYCLIST:
        at.class = FS_SCENE_BICYCLIST;
        draw_cyclist(&at, it->look, frame);
        break;
    case CAR_AHEAD:
    case CAR_ONCOMING:
        at.class = FS_SCENE_CAR;
        draw_car(&at, it->look, it->kind == CAR_AHEAD);
        break;
    case FENCE:
        at.class = FS_SCENE_FENCE;
        draw_fence(&at, it->look);
        break;
    case BIN: draw_bin(&at, it->look); break;
    }
}
