// Tests of struct_size: every public struct as an older program has it (shorter) and as a newer one has it (longer).
#include <criterion/criterion.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fastscnn/fastscnn.h"

enum { SIDE = 64, PIXELS = SIDE * SIDE, POISON = 0xee, MORE = 64, LARGEST = 4096 };

static fscnn_engine *engine;
static fscnn_session *session;
static fscnn_calibrator *calibrator;
static uint8_t pixels[PIXELS * 3], labels[PIXELS], want[PIXELS];

// Small options, with what can be left out left out, so that a shorter struct means the same.
static void small(fscnn_session_options *options) {
    fscnn_session_options_init(options);
    options->width = options->height = SIDE;
}

static void open_all(void) {
    for (int i = 0; i < PIXELS * 3; i++) pixels[i] = (uint8_t)(i * 7 + i / 190);
    fscnn_session_options options;
    small(&options);
    options.threads = 1, options.tune = -1;
    cr_assert_eq(fscnn_engine_open("random:1", NULL, &engine), FSCNN_OK, "%s", fscnn_error());
    cr_assert_eq(fscnn_session_open(engine, &options, &session), FSCNN_OK, "%s", fscnn_error());
    fscnn_frame frame;
    fscnn_frame_init(&frame, FSCNN_RGB8, SIDE, SIDE, pixels);
    fscnn_outputs outputs;
    fscnn_outputs_init(&outputs);
    outputs.labels = want;
    cr_assert_eq(fscnn_run(session, &frame, &outputs), FSCNN_OK, "%s", fscnn_error());
    const char *model = FS_SOURCE_DIR "/weights/models/street11.safetensors";
    cr_assert_eq(fscnn_calibrator_open(model, &calibrator), FSCNN_OK, "%s", fscnn_error());
    cr_assert_eq(fscnn_calibrator_add(calibrator, &frame), FSCNN_OK, "%s", fscnn_error());
}

static void close_all(void) {
    fscnn_calibrator_close(&calibrator);
    fscnn_session_close(&session);
    fscnn_engine_close(&engine);
}

// ---- Each struct: how it is filled, and a call that takes it --------------------------------------------------------

static void fill_engine_options(void *options) {
    fscnn_engine_options_init(options);
    ((fscnn_engine_options *)options)->backend = FSCNN_BACKEND_CPU;
}
static fscnn_status use_engine_options(void *options) {
    fscnn_engine *opened = NULL;
    const fscnn_status status = fscnn_engine_open("random:1", options, &opened);
    cr_expect_eq(status == FSCNN_OK, opened != NULL);
    fscnn_engine_close(&opened);
    return status;
}

static void fill_session_options(void *options) {
    small(options);
}
static fscnn_status use_session_options(void *options) {
    fscnn_session *opened = NULL;
    const fscnn_status status = fscnn_session_open(engine, options, &opened);
    cr_expect_eq(status == FSCNN_OK, opened != NULL);
    fscnn_session_info info;
    fscnn_session_info_init(&info);
    if (opened) {
        cr_expect_eq(fscnn_session_get_info(opened, &info), FSCNN_OK);
        cr_expect(info.width == SIDE && info.height == SIDE && info.in_flight == 2, "defaults where nothing was given");
    }
    fscnn_session_close(&opened);
    return status;
}

static fscnn_status run(const void *frame, const void *outputs) {
    memset(labels, POISON, sizeof labels);
    const fscnn_status status = fscnn_run(session, frame, outputs);
    if (status == FSCNN_OK) {
        cr_expect_arr_eq(labels, want, PIXELS, "other labels than those of the whole struct");
    } else {
        for (int i = 0; i < PIXELS; i++) cr_assert_eq(labels[i], POISON, "a failed call wrote labels");
    }
    return status;
}
static void fill_frame(void *frame) {
    fscnn_frame_init(frame, FSCNN_RGB8, SIDE, SIDE, pixels);
}
static fscnn_status use_frame(void *frame) {
    fscnn_outputs outputs;
    fscnn_outputs_init(&outputs);
    outputs.labels = labels;
    return run(frame, &outputs);
}
static void fill_outputs(void *outputs) {
    fscnn_outputs_init(outputs);
    ((fscnn_outputs *)outputs)->labels = labels;
}
static fscnn_status use_outputs(void *outputs) {
    fscnn_frame frame;
    fscnn_frame_init(&frame, FSCNN_RGB8, SIDE, SIDE, pixels);
    return run(&frame, outputs);
}

static void fill_engine_info(void *info) {
    fscnn_engine_info_init(info);
}
static fscnn_status use_engine_info(void *info) {
    return fscnn_engine_get_info(engine, info);
}
static void fill_session_info(void *info) {
    fscnn_session_info_init(info);
}
static fscnn_status use_session_info(void *info) {
    return fscnn_session_get_info(session, info);
}
static void fill_step_info(void *info) {
    fscnn_step_info_init(info);
}
static fscnn_status use_step_info(void *info) {
    return fscnn_session_get_step(session, 0, NULL, info);
}
static void fill_calibrated_layer(void *layer) {
    fscnn_calibrated_layer_init(layer);
}
static fscnn_status use_calibrated_layer(void *layer) {
    return fscnn_calibrator_get_layer(calibrator, 7, layer);
}
static void fill_backend_info(void *info) {
    fscnn_backend_info_init(info);
}
static fscnn_status use_backend_info(void *info) {
    return fscnn_backend_query(FSCNN_BACKEND_CPU, info);
}

typedef struct struct_case {
    const char *name;
    size_t size, least; // bytes of this version; the least that means something, a multiple of 8
    void (*fill)(void *s);
    fscnn_status (*use)(void *s);
    size_t hole; // where four bytes of padding lie, which may hold anything; 0: nowhere
} struct_case;
#define UP_TO(TYPE, FIELD) ((offsetof(TYPE, FIELD) + 15) / 8 * 8)
// Structs that the library reads, then those that it writes.
static const struct_case given[] = {
    {"fscnn_engine_options", sizeof(fscnn_engine_options), 8, fill_engine_options, use_engine_options, 0},
    {"fscnn_session_options", sizeof(fscnn_session_options), UP_TO(fscnn_session_options, height), fill_session_options,
     use_session_options, 0},
    {"fscnn_frame", sizeof(fscnn_frame), UP_TO(fscnn_frame, plane), fill_frame, use_frame, 0},
    {"fscnn_outputs", sizeof(fscnn_outputs), UP_TO(fscnn_outputs, labels), fill_outputs, use_outputs, 0},
};
static const struct_case answered[] = {
    {"fscnn_engine_info", sizeof(fscnn_engine_info), 8, fill_engine_info, use_engine_info,
     offsetof(fscnn_engine_info, classes) + 4},
    {"fscnn_session_info", sizeof(fscnn_session_info), 8, fill_session_info, use_session_info, 0},
    {"fscnn_step_info", sizeof(fscnn_step_info), 8, fill_step_info, use_step_info,
     offsetof(fscnn_step_info, channels) + 4},
    {"fscnn_calibrated_layer", sizeof(fscnn_calibrated_layer), 8, fill_calibrated_layer, use_calibrated_layer,
     offsetof(fscnn_calibrated_layer, zero) + 4},
    {"fscnn_backend_info", sizeof(fscnn_backend_info), 8, fill_backend_info, use_backend_info, 0},
};
enum { GIVEN = sizeof given / sizeof given[0], ANSWERED = sizeof answered / sizeof answered[0] };

// ---- The tests ------------------------------------------------------------------------------------------------------

TestSuite(struct_size, .init = open_all, .fini = close_all);

static _Alignas(16) uint8_t room[LARGEST + MORE];

static void fill(const struct_case *c, size_t size) {
    memset(room, POISON, sizeof room);
    c->fill(room);
    uint32_t said;
    memcpy(&said, room, sizeof said);
    cr_assert_eq(said, c->size, "%s_init says %u, not %zu", c->name, said, c->size);
    said = (uint32_t)size;
    memcpy(room, &said, sizeof said);
}

// An older program: what lies behind its struct is something else of its own, and is not read.
Test(struct_size, older_structs_are_read_as_far_as_they_go) {
    for (int i = 0; i < GIVEN; i++)
        for (size_t size = given[i].least; size <= given[i].size; size += 8) {
            fill(&given[i], size);
            memset(room + size, POISON, sizeof room - size);
            cr_expect_eq(given[i].use(room), FSCNN_OK, "%s of %zu bytes: %s", given[i].name, size, fscnn_error());
        }
}

// A newer program: fields that this library does not know are zero, or ask for something that it cannot do.
Test(struct_size, newer_structs_pass_when_the_rest_is_zero) {
    static const size_t sizes[] = {8, MORE, LARGEST};
    for (int i = 0; i < GIVEN; i++)
        for (int j = 0; j < 3; j++) {
            const size_t size = sizes[j] == LARGEST ? LARGEST : given[i].size + sizes[j];
            fill(&given[i], size);
            memset(room + given[i].size, 0, size - given[i].size);
            cr_expect_eq(given[i].use(room), FSCNN_OK, "%s of %zu bytes: %s", given[i].name, size, fscnn_error());
            room[size - 1] = 1;
            cr_expect_eq(given[i].use(room), FSCNN_ERR_UNSUPPORTED, "%s of %zu bytes", given[i].name, size);
            cr_expect_not_null(strstr(fscnn_error(), given[i].name), "'%s' does not name the struct", fscnn_error());
            cr_expect_not_null(strstr(fscnn_error(), fscnn_version_string()), "'%s': no version", fscnn_error());
        }
}

Test(struct_size, answers_fill_the_room_that_there_is) {
    for (int i = 0; i < ANSWERED; i++) {
        static uint8_t whole[LARGEST];
        fill(&answered[i], answered[i].size);
        cr_assert_eq(answered[i].use(room), FSCNN_OK, "%s: %s", answered[i].name, fscnn_error());
        memcpy(whole, room, answered[i].size);
        for (size_t size = answered[i].least; size <= answered[i].size + MORE; size += 8) {
            fill(&answered[i], size);
            memset(room + 4, POISON, sizeof room - 4);
            cr_assert_eq(answered[i].use(room), FSCNN_OK, "%s of %zu bytes: %s", answered[i].name, size, fscnn_error());
            uint32_t said;
            memcpy(&said, room, sizeof said);
            cr_expect_eq(said, size, "%s: the caller's size was changed", answered[i].name);
            const size_t written = size < answered[i].size ? size : answered[i].size, hole = answered[i].hole;
            if (hole && hole < written) memset(room + hole, 0, 4), memset(whole + hole, 0, 4);
            cr_expect_eq(memcmp(room + 4, whole + 4, written - 4), 0, "%s of %zu bytes", answered[i].name, size);
            for (size_t at = written; at < sizeof room; at++)
                cr_assert_eq(room[at], POISON, "%s of %zu bytes: byte %zu written", answered[i].name, size, at);
        }
    }
}

Test(struct_size, sizes_that_no_version_has) {
    static const uint32_t bad[] = {0, 1, 3, LARGEST + 1, UINT32_MAX};
    for (int i = 0; i < GIVEN + ANSWERED; i++) {
        const struct_case *c = i < GIVEN ? &given[i] : &answered[i - GIVEN];
        for (int j = 0; j < 5; j++) {
            fill(c, bad[j]);
            cr_expect_eq(c->use(room), FSCNN_ERR_ARGUMENT, "%s of %u bytes", c->name, bad[j]);
            cr_expect_not_null(strstr(fscnn_error(), "_init"), "'%s' does not say what to do", fscnn_error());
        }
    }
}

// A struct that is new in the header must be added above.
Test(struct_size, every_struct_of_the_header_is_here) {
    FILE *file = fopen(FS_SOURCE_DIR "/host/include/fastscnn/fastscnn.h", "r");
    cr_assert_not_null(file);
    static char line[512], name[128];
    int found = 0;
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, "typedef struct ", 15) != 0 || strchr(line, '{') == NULL) continue;
        cr_assert_eq(sscanf(line, "typedef struct %127s {", name), 1);
        if (strcmp(name, "fscnn_step_time") == 0) continue; // an element of an array: it does not grow
        bool known = false;
        for (int i = 0; i < GIVEN; i++) known |= strcmp(given[i].name, name) == 0;
        for (int i = 0; i < ANSWERED; i++) known |= strcmp(answered[i].name, name) == 0;
        cr_expect(known, "%s has no case in this test", name);
        found++;
    }
    fclose(file);
    cr_expect_eq(found, GIVEN + ANSWERED);
}
