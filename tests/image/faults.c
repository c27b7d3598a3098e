// Out of memory at each allocation in turn, once and from then on: an error, nothing leaked, outputs untouched.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "host/image/scene.h"
#include "tests/image/pictures.h"
#include "tests/image/png_maker.h"

TestSuite(image_faults, .init = make_folder, .fini = remove_folder);

typedef enum operation {
    DECODE_PNG,
    DECODE_INTERLACED,
    DECODE_PALETTE,
    DECODE_JPEG,
    DECODE_CMYK,
    DECODE_PNM,
    READ_FILE,
    WRITE_PNG,
    WRITE_JPEG,
    WRITE_PPM,
    RESIZE,
    RESIZE_LABELS,
    COLOR,
    SCENE,
    OPERATIONS
} operation;

enum { SIDE = 40 };

typedef struct material {
    fs_bytes file;
    fs_image picture;
    uint8_t labels[SIDE * SIDE], resized[50 * 50];
} material;

static const uint8_t palette[2][3] = {{1, 2, 3}, {4, 5, 6}};

static material prepare(operation what) {
    material it = {.picture = make_picture(SIDE, SIDE, 4, false)};
    memset(it.resized, 0xa5, sizeof it.resized);
    if (what == DECODE_PNG) it.file = make_png(PNG_COLOR_TYPE_RGB, 16, false, false);
    if (what == DECODE_INTERLACED) it.file = make_png(PNG_COLOR_TYPE_GRAY, 2, true, true);
    if (what == DECODE_PALETTE) it.file = make_png(PNG_COLOR_TYPE_PALETTE, 8, false, true);
    if (what == DECODE_JPEG) it.file = make_jpeg(it.picture.pixels, SIDE, SIDE, TJPF_RGBA, TJSAMP_420, 0);
    if (what == DECODE_CMYK) it.file = make_jpeg(it.picture.pixels, SIDE, SIDE, TJPF_CMYK, TJSAMP_444, 0);
    if (what == DECODE_PNM || what == READ_FILE) {
        cr_assert_eq(fs_image_write(in_folder("in.ppm"), &it.picture), FS_OK);
        it.file = get_file(in_folder("in.ppm"));
    }
    return it;
}

static fs_status perform(operation what, material *it, fs_image *out) {
    switch (what) {
    case DECODE_PNG:
    case DECODE_INTERLACED:
    case DECODE_PALETTE:
    case DECODE_JPEG:
    case DECODE_CMYK:
    case DECODE_PNM: return fs_image_decode(it->file.data, it->file.size, "street.img", 0, out);
    case READ_FILE: return fs_image_read(in_folder("in.ppm"), 4, out);
    case WRITE_PNG: return fs_image_write(in_folder("out.png"), &it->picture);
    case WRITE_JPEG: return fs_image_write(in_folder("out.jpg"), &it->picture);
    case WRITE_PPM: return fs_image_write(in_folder("out.ppm"), &it->picture);
    case RESIZE: return fs_image_resize(&it->picture, 50, 50, out);
    case RESIZE_LABELS: return fs_labels_resize(it->labels, SIDE, SIDE, 50, 50, it->resized);
    case COLOR: return fs_image_color(it->labels, SIDE, SIDE, palette, 2, out);
    case SCENE: return fs_scene_draw(out, NULL, 64, 64, 1, 0);
    case OPERATIONS: break;
    }
    return FS_ERR_INTERNAL;
}

static bool nothing_written(void) {
    return access(in_folder("out.png"), F_OK) != 0 && access(in_folder("out.jpg"), F_OK) != 0 &&
           access(in_folder("out.ppm"), F_OK) != 0;
}

ParameterizedTestParameters(image_faults, each_allocation) {
    static int cases[OPERATIONS * 2];
    for (int i = 0; i < OPERATIONS * 2; i++) cases[i] = i;
    return cr_make_param_array(int, cases, OPERATIONS * 2);
}
ParameterizedTest(int *which, image_faults, each_allocation) {
    operation what = (operation)(*which / 2);
    bool sticky = *which % 2 != 0;
    material it = prepare(what);
    size_t live = fs_mem_live_blocks();
    int faults = 0;
    for (uint64_t n = 1;; n++) {
        cr_assert_lt(n, 1000);
        fs_image out = UNTOUCHED;
        fs_mem_fail_at(n, sticky);
        fs_status status = perform(what, &it, &out);
        bool fired = fs_mem_fault_fired();
        fs_mem_fail_at(0, false);
        if (!fired) {
            cr_assert_eq(status, FS_OK, "%s", fs_error_text());
            if (!is_untouched(&out)) fs_image_free(&out);
            cr_assert_eq(fs_mem_live_blocks(), live);
            break;
        }
        faults++;
        cr_assert_eq(status, FS_ERR_MEMORY, "allocation %d: %s", (int)n, fs_error_text());
        expect_message("memory");
        cr_assert(is_untouched(&out) && nothing_written() && it.resized[0] == 0xa5);
        cr_assert_eq(fs_mem_live_blocks(), live);
    }
    cr_assert_geq(faults, 1);
    fs_image_free(&it.picture);
    fs_free(it.file.data);
}
