// The generated street: the same bytes and labels everywhere, different for each seed and frame, any size.
#include "host/image/scene.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdbool.h>

#include "tests/image/pictures.h"

static uint64_t hash_of(const fs_image *image) { // FNV-1a
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < (size_t)image->width * (size_t)image->height * (size_t)image->channels; i++)
        hash = (hash ^ image->pixels[i]) * 0x100000001b3u;
    return hash;
}

static void draw(int width, int height, uint64_t seed, int frame, uint64_t hash[2]) {
    fs_image image = {0}, labels = {0};
    cr_assert_eq(fs_scene_draw(&image, &labels, width, height, seed, frame), FS_OK, "%s", fs_error_text());
    cr_assert(image.width == width && image.height == height && image.channels == 3);
    cr_assert(labels.width == width && labels.height == height && labels.channels == 1);
    for (size_t i = 0; i < (size_t)width * (size_t)height; i++) cr_assert_lt(labels.pixels[i], FS_SCENE_CLASSES);
    hash[0] = hash_of(&image);
    hash[1] = hash_of(&labels);
    fs_image_free(&image);
    fs_image_free(&labels);
    cr_assert_eq(fs_mem_live_blocks(), 0);
}

// A change of the drawing changes these on purpose; compilers, sanitizers and machines must not.
Test(image_scene, bytes_are_fixed) {
    static const struct {
        int width, height;
        uint64_t seed;
        int frame;
        uint64_t image, labels;
    } cases[] = {
        {128, 64, 1, 0, 0xd17b251e0096bc28u, 0xd989577ff4eaccf3u},
        {321, 123, 2, 17, 0x9c7382e68d7f68f5u, 0x9e1a504dad4223b8u},
        {480, 360, 9, 250, 0x55598727b041963au, 0x7d52305a7c48b19eu},
    };
    bool same = true;
    for (int i = 0; i < 3; i++) {
        uint64_t hash[2];
        draw(cases[i].width, cases[i].height, cases[i].seed, cases[i].frame, hash);
        if (hash[0] == cases[i].image && hash[1] == cases[i].labels) continue;
        cr_log_error("case %d: 0x%llxu, 0x%llxu", i, (unsigned long long)hash[0], (unsigned long long)hash[1]);
        same = false;
    }
    cr_assert(same);
}

Test(image_scene, seeds_and_frames_differ) {
    uint64_t first[2], other[2];
    draw(128, 64, 1, 0, first);
    draw(128, 64, 1, 0, other);
    cr_assert_arr_eq(first, other, sizeof first);
    draw(128, 64, 2, 0, other);
    cr_assert(first[0] != other[0] && first[1] != other[1]);
    draw(128, 64, 1, 1, other);
    cr_assert(first[0] != other[0] && first[1] != other[1]);
}

Test(image_scene, the_picture_is_the_same_without_labels) {
    fs_image image = {0};
    uint64_t hash[2];
    draw(200, 100, 3, 4, hash);
    cr_assert_eq(fs_scene_draw(&image, NULL, 200, 100, 3, 4), FS_OK);
    cr_assert_eq(hash_of(&image), hash[0]);
    fs_image_free(&image);
    cr_assert_eq(fs_mem_live_blocks(), 0);
}

typedef struct size {
    int width, height;
} size;
ParameterizedTestParameters(image_scene, any_size) {
    static size sizes[] = {{64, 64}, {65, 67}, {1, 1}, {2, 1}, {1, 500}, {500, 1}, {16384, 2}, {2, 16384}, {333, 1000}};
    return cr_make_param_array(size, sizes, sizeof sizes / sizeof sizes[0]);
}
ParameterizedTest(size *it, image_scene, any_size) {
    static const int frames[] = {0, 1, 1000, -1000, 2147483647, -2147483647 - 1};
    uint64_t hash[2];
    for (int i = 0; i < 6; i++) draw(it->width, it->height, (uint64_t)i * 0x123456789abcdefu, frames[i], hash);
}

// Every class turns up, and the large ones are where a driver sees them.
Test(image_scene, looks_like_a_street) {
    enum { WIDTH = 256, HEIGHT = 128, SEEDS = 40 };
    long count[FS_SCENE_CLASSES] = {0}, road = 0, sky = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        fs_image image = {0}, labels = {0};
        cr_assert_eq(fs_scene_draw(&image, &labels, WIDTH, HEIGHT, seed, 3), FS_OK);
        for (int i = 0; i < WIDTH * HEIGHT; i++) count[labels.pixels[i]]++;
        road += labels.pixels[(HEIGHT - 1) * WIDTH + WIDTH / 2] == FS_SCENE_ROAD;
        for (int x = 0; x < WIDTH; x++) sky += labels.pixels[x] == FS_SCENE_SKY;
        fs_image_free(&image);
        fs_image_free(&labels);
    }
    for (int c = 0; c < FS_SCENE_CLASSES; c++) cr_assert_gt(count[c], 20, "class %d: %ld pixels", c, count[c]);
    cr_assert_geq(road, SEEDS * 9 / 10, "%ld", road);
    cr_assert_gt(sky, SEEDS * WIDTH / 10, "%ld", sky);
}

// The camera moves on a little: most labels stay.
Test(image_scene, frames_follow_one_another) {
    fs_image image = {0}, labels[2] = {{0}, {0}};
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(fs_scene_draw(&image, &labels[i], 256, 128, 6, 40 + i), FS_OK);
        fs_image_free(&image);
    }
    int same = 0;
    for (int i = 0; i < 256 * 128; i++) same += labels[0].pixels[i] == labels[1].pixels[i];
    cr_assert_gt(same, 256 * 128 * 85 / 100, "%d", same);
    for (int i = 0; i < 2; i++) fs_image_free(&labels[i]);
}

Test(image_scene, refuses_bad_sizes) {
    fs_image out = UNTOUCHED, labels = UNTOUCHED;
    cr_assert_eq(fs_scene_draw(&out, &labels, 0, 5, 1, 0), FS_ERR_ARGUMENT);
    cr_assert_eq(fs_scene_draw(&out, &labels, 5, -1, 1, 0), FS_ERR_ARGUMENT);
    cr_assert_eq(fs_scene_draw(&out, &labels, 16385, 5, 1, 0), FS_ERR_ARGUMENT);
    cr_assert_eq(fs_scene_draw(NULL, &labels, 5, 5, 1, 0), FS_ERR_ARGUMENT);
    cr_assert(is_untouched(&out) && is_untouched(&labels));
}
