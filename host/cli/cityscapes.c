// The label table of Cityscapes, as the dataset's own documentation numbers it.
#include "host/cli/cityscapes.h"

enum { NONE, FLAT, CONSTRUCTION, OBJECT, NATURE, SKY, HUMAN, VEHICLE };

const char *const fs_cityscapes_categories[FS_CITYSCAPES_CATEGORIES] = {"void",   "flat", "construction", "object",
                                                                        "nature", "sky",  "human",        "vehicle"};

const fs_cityscapes_label fs_cityscapes_labels[FS_CITYSCAPES_LABELS] = {
    [0] = {"unlabeled", NONE, -1},
    [1] = {"ego vehicle", NONE, -1},
    [2] = {"rectification border", NONE, -1},
    [3] = {"out of roi", NONE, -1},
    [4] = {"static", NONE, -1},
    [5] = {"dynamic", NONE, -1},
    [6] = {"ground", NONE, -1},
    [7] = {"road", FLAT, 0},
    [8] = {"sidewalk", FLAT, 1},
    [9] = {"parking", FLAT, -1},
    [10] = {"rail track", FLAT, -1},
    [11] = {"building", CONSTRUCTION, 2},
    [12] = {"wall", CONSTRUCTION, 3},
    [13] = {"fence", CONSTRUCTION, 4},
    [14] = {"guard rail", CONSTRUCTION, -1},
    [15] = {"bridge", CONSTRUCTION, -1},
    [16] = {"tunnel", CONSTRUCTION, -1},
    [17] = {"pole", OBJECT, 5},
    [18] = {"polegroup", OBJECT, -1},
    [19] = {"traffic light", OBJECT, 6},
    [20] = {"traffic sign", OBJECT, 7},
    [21] = {"vegetation", NATURE, 8},
    [22] = {"terrain", NATURE, 9},
    [23] = {"sky", SKY, 10},
    [24] = {"person", HUMAN, 11},
    [25] = {"rider", HUMAN, 12},
    [26] = {"car", VEHICLE, 13},
    [27] = {"truck", VEHICLE, 14},
    [28] = {"bus", VEHICLE, 15},
    [29] = {"caravan", VEHICLE, -1},
    [30] = {"trailer", VEHICLE, -1},
    [31] = {"train", VEHICLE, 16},
    [32] = {"motorcycle", VEHICLE, 17},
    [33] = {"bicycle", VEHICLE, 18},
};

const uint8_t fs_cityscapes_ids[FS_CITYSCAPES_CLASSES] = {7,  8,  11, 12, 13, 17, 19, 20, 21, 22,
                                                          23, 24, 25, 26, 27, 28, 31, 32, 33};
