// The generated street: the same bytes everywhere, different for each seed and frame, any size.
#include "host/image/scene.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "tests/image/pictures.h"

static uint64_t checksum(int width, int height, uint64_t seed, int frame) { // FNV-1a
    fs_image image = {0};
    cr_assert_eq(fs_scene_draw(&image, width, height, seed, frame), FS_OK, "%s", fs_error_text());
    cr_assert(image.width == width && image.height == height && image.channels == 3);
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < (size_t)width * (size_t)height * 3; i++) hash = (hash ^ image.pixels[i]) * 0x100000001b3u;
    fs_image_free(&image);
    cr_assert_eq(fs_mem_live_blocks(), 0);
    return hash;
}

Test(image_scene, bytes_are_fixed) {
    cr_assert_eq(checksum(128, 64, 1, 0), 0xef2ce4ceabf11140u, "%llx", (unsigned long long)checksum(128, 64, 1, 0));
    cr_assert_eq(checksum(321, 123, 2, 17), 0xba12be34e9cbaa19u, "%llx", (unsigned long long)checksum(321, 123, 2, 17));
}

Test(image_scene, seeds_and_frames_differ) {
    uint64_t first = checksum(128, 64, 1, 0);
    cr_assert_eq(checksum(128, 64, 1, 0), first);
    cr_assert_neq(checksum(128, 64, 2, 0), first);
    cr_assert_neq(checksum(128, 64, 1, 1), first);
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
    for (int i = 0; i < 6; i++) checksum(it->width, it->height, (uint64_t)i * 0x123456789abcdefu, frames[i]);
}

// Neither one flat colour nor noise: a street has bright sky above and dark road below.
Test(image_scene, looks_like_a_street) {
    fs_image image = {0};
    cr_assert_eq(fs_scene_draw(&image, 256, 128, 5, 3), FS_OK);
    long top = 0, bottom = 0;
    for (int x = 110; x < 146; x++) {
        top += image.pixels[(2 * 256 + x) * 3 + 2];
        bottom += image.pixels[(125 * 256 + x) * 3 + 2];
    }
    cr_assert_gt(top, bottom + 36 * 50);
    fs_image_free(&image);
}

Test(image_scene, refuses_bad_sizes) {
    fs_image out = UNTOUCHED;
    cr_assert_eq(fs_scene_draw(&out, 0, 5, 1, 0), FS_ERR_ARGUMENT);
    cr_assert_eq(fs_scene_draw(&out, 5, -1, 1, 0), FS_ERR_ARGUMENT);
    cr_assert_eq(fs_scene_draw(&out, 16385, 5, 1, 0), FS_ERR_ARGUMENT);
    cr_assert_eq(fs_scene_draw(NULL, 5, 5, 1, 0), FS_ERR_ARGUMENT);
    cr_assert(is_untouched(&out));
}
