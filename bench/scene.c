// fastscnn_scene: writes one frame of the generated street as a picture, for demonstrations with no photo at hand.
#include <stdio.h>
#include <stdlib.h>

#include "host/image/image.h"
#include "host/image/scene.h"

int main(int argc, char **argv) {
    const int height = argc > 2 ? atoi(argv[2]) : 1024, width = argc > 3 ? atoi(argv[3]) : 2048;
    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: fastscnn_scene OUT.png [HEIGHT [WIDTH]]\n");
        return 2;
    }
    fs_image street = {0};
    fs_status status = fs_scene_draw(&street, width, height, 1, 0);
    if (status == FS_OK) status = fs_image_write(argv[1], &street);
    fs_image_free(&street);
    if (status == FS_OK) return 0;
    fprintf(stderr, "fastscnn_scene: %s\n", fs_error_text());
    return 1;
}
