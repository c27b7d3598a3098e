// Default class names and colours, and those that a weights file brings.
#include "weights/labels.h"

#include <stdio.h>
#include <string.h>

typedef struct named_color {
    const char *name;
    uint8_t rgb[3];
} named_color;

static const named_color cityscapes[19] = {
    {"road", {128, 64, 128}},
    {"sidewalk", {244, 35, 232}},
    {"building", {70, 70, 70}},
    {"wall", {102, 102, 156}},
    {"fence", {190, 153, 153}},
    {"pole", {153, 153, 153}},
    {"traffic light", {250, 170, 30}},
    {"traffic sign", {220, 220, 0}},
    {"vegetation", {107, 142, 35}},
    {"terrain", {152, 251, 152}},
    {"sky", {70, 130, 180}},
    {"person", {220, 20, 60}},
    {"rider", {255, 0, 0}},
    {"car", {0, 0, 142}},
    {"truck", {0, 0, 70}},
    {"bus", {0, 60, 100}},
    {"train", {0, 80, 100}},
    {"motorcycle", {0, 0, 230}},
    {"bicycle", {119, 11, 32}},
};

static const named_color camvid[11] = {
    {"sky", {128, 128, 128}},  {"building", {128, 0, 0}},   {"pole", {192, 192, 128}},        {"road", {128, 64, 128}},
    {"pavement", {0, 0, 192}}, {"tree", {128, 128, 0}},     {"sign symbol", {192, 128, 128}}, {"fence", {64, 64, 128}},
    {"car", {64, 0, 128}},     {"pedestrian", {64, 64, 0}}, {"bicyclist", {0, 128, 192}},
};

// Once around the colour circle at full saturation; it has 1530 steps, so that 255 classes stay distinct.
static void spread_hues(int classes, fs_labels *labels) {
    for (int i = 0; i < classes; i++) {
        int h = i * 1530 / classes, rising = h % 255, falling = 255 - rising;
        const int sextant[6][3] = {{255, rising, 0},  {falling, 255, 0}, {0, 255, rising},
                                   {0, falling, 255}, {rising, 0, 255},  {255, 0, falling}};
        for (int c = 0; c < 3; c++) labels->palette[i][c] = (uint8_t)sextant[h / 255][c];
    }
}

void fs_labels_default(int classes, fs_labels *labels) {
    *labels = (fs_labels){.classes = classes};
    const named_color *known = classes == 19 ? cityscapes : classes == 11 ? camvid : NULL;
    if (known == NULL) spread_hues(classes, labels);
    for (int i = 0; i < classes; i++) {
        if (known == NULL) {
            snprintf(labels->name[i], sizeof labels->name[i], "class %d", i);
        } else {
            snprintf(labels->name[i], sizeof labels->name[i], "%s", known[i].name);
            memcpy(labels->palette[i], known[i].rgb, 3);
        }
    }
}

static int list_length(const char *list) {
    int count = 1;
    for (; *list != '\0'; list++) count += *list == ',';
    return count;
}

// The next item of a comma list without the spaces around it; *list moves behind its comma.
static const char *next_item(const char **list, size_t *length) {
    const char *item = *list, *end = strchrnul(item, ',');
    *list = *end == ',' ? end + 1 : end;
    while (item < end && *item == ' ') item++;
    while (end > item && end[-1] == ' ') end--;
    *length = (size_t)(end - item);
    return item;
}

static fs_status set_name(int index, const char *item, size_t length, char name[64]) {
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)item[i] < 0x20 || item[i] == 0x7f)
            return fs_fail(FS_ERR_WEIGHTS, "fastscnn.classes: name %d has a control character; remove it", index);
    if (length == 0) return fs_fail(FS_ERR_WEIGHTS, "fastscnn.classes: name %d is empty; name every class", index);
    if (length > 63) { // cut between UTF-8 characters
        length = 63;
        while (length > 0 && ((unsigned char)item[length] & 0xc0) == 0x80) length--;
    }
    memset(name, 0, 64);
    memcpy(name, item, length);
    return FS_OK;
}

static fs_status set_color(int index, const char *item, size_t length, uint8_t rgb[3]) {
    if (length == 7 && item[0] == '#') {
        item++;
        length--;
    }
    uint32_t value = 0;
    bool good = length == 6;
    for (size_t i = 0; good && i < 6; i++) {
        const char *digits = "0123456789abcdef",
                   *digit = strchr(digits, item[i] >= 'A' && item[i] <= 'F' ? item[i] + 32 : item[i]);
        good = digit != NULL;
        if (good) value = value * 16 + (uint32_t)(digit - digits);
    }
    if (!good) return fs_fail(FS_ERR_WEIGHTS, "fastscnn.palette: colour %d is not RRGGBB in hexadecimal", index);
    for (int c = 0; c < 3; c++) rgb[c] = (uint8_t)(value >> (16 - 8 * c));
    return FS_OK;
}

fs_status fs_labels_parse(int classes, const char *names, const char *palette, fs_labels *labels) {
    fs_labels made;
    fs_labels_default(classes, &made);
    if (names != NULL) {
        if (list_length(names) != classes)
            return fs_fail(FS_ERR_WEIGHTS, "fastscnn.classes names %d classes and the network has %d; name each one",
                           list_length(names), classes);
        for (int i = 0; i < classes; i++) {
            size_t length;
            const char *item = next_item(&names, &length);
            FS_TRY(set_name(i, item, length, made.name[i]));
        }
        if (classes == 11) spread_hues(classes, &made);
    }
    if (palette != NULL) {
        if (list_length(palette) != classes)
            return fs_fail(FS_ERR_WEIGHTS,
                           "fastscnn.palette has %d colours and the network %d classes; give one for each",
                           list_length(palette), classes);
        for (int i = 0; i < classes; i++) {
            size_t length;
            const char *item = next_item(&palette, &length);
            FS_TRY(set_color(i, item, length, made.palette[i]));
        }
    }
    *labels = made;
    return FS_OK;
}
