// A moving street drawn from a seed, with the exact class of every pixel: for benchmarks, demonstrations, training.
#ifndef FS_HOST_IMAGE_SCENE_H
#define FS_HOST_IMAGE_SCENE_H

#include <stdint.h>

#include "host/image/image.h"

// The classes of CamVid in SegNet's order. Grass and hedges count as trees, traffic lights as signs.
typedef enum fs_scene_class {
    FS_SCENE_SKY,
    FS_SCENE_BUILDING,
    FS_SCENE_POLE,
    FS_SCENE_ROAD,
    FS_SCENE_PAVEMENT,
    FS_SCENE_TREE,
    FS_SCENE_SIGN,
    FS_SCENE_FENCE,
    FS_SCENE_CAR,
    FS_SCENE_PEDESTRIAN,
    FS_SCENE_BICYCLIST,
    FS_SCENE_VOID,
    FS_SCENE_CLASSES
} fs_scene_class;

extern const uint8_t fs_scene_palette[FS_SCENE_CLASSES][3];

// Draws frame number `frame` of the street `seed` as RGB into a new *out, and unless `labels` is NULL the class of each
// pixel into a new *labels (1 channel, fs_scene_class): a camera that drives along a street. The seed sets light,
// colours, widths, curve and traffic. Integer arithmetic only: the same bytes on every machine. Sides are 1 to
// FS_IMAGE_MAX_SIDE. On failure both are untouched. FS_ERR_ARGUMENT, FS_ERR_MEMORY.
fs_status fs_scene_draw(fs_image *out, fs_image *labels, int width, int height, uint64_t seed, int frame);

#endif
