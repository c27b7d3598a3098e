// A street-like frame drawn from a seed, for benchmarks and demonstrations with no picture at hand.
#ifndef FS_HOST_IMAGE_SCENE_H
#define FS_HOST_IMAGE_SCENE_H

#include <stdint.h>

#include "host/image/image.h"

// Draws frame number `frame` of the street `seed` as RGB into a new *out: a camera that drives along a street with
// buildings, trees, poles, cars and pedestrians. Integer arithmetic only: the same bytes on every machine. Sides are
// 1 to FS_IMAGE_MAX_SIDE. On failure *out is untouched. FS_ERR_ARGUMENT, FS_ERR_MEMORY.
fs_status fs_scene_draw(fs_image *out, int width, int height, uint64_t seed, int frame);

#endif
