// The shortest use: labels one raw RGB frame.  label WEIGHTS WIDTH HEIGHT <frame.rgb >labels.gray
#include <fastscnn/fastscnn.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    const int width = argc > 3 ? atoi(argv[2]) : 0, height = argc > 3 ? atoi(argv[3]) : 0;
    const size_t pixels = width > 0 && height > 0 ? (size_t)width * (size_t)height : 0;
    uint8_t *rgb = malloc(3 * pixels), *labels = malloc(pixels);
    fscnn_engine *engine = NULL;
    fscnn_session *session = NULL;
    int status = 1;

    fscnn_session_options options;
    fscnn_session_options_init(&options);
    options.width = width, options.height = height;
    fscnn_frame frame;
    fscnn_frame_init(&frame, FSCNN_RGB8, width, height, rgb);
    fscnn_outputs outputs;
    fscnn_outputs_init(&outputs);
    outputs.labels = labels;
    if (pixels == 0 || rgb == NULL || labels == NULL || fread(rgb, 3, pixels, stdin) != pixels) {
        fprintf(stderr, "usage: label WEIGHTS WIDTH HEIGHT <frame.rgb >labels.gray\n");
        status = 2;
    } else if (fscnn_engine_open(argv[1], NULL, &engine) || fscnn_session_open(engine, &options, &session) ||
               fscnn_run(session, &frame, &outputs)) {
        fprintf(stderr, "label: %s\n", fscnn_error());
    } else {
        status = fwrite(labels, 1, pixels, stdout) == pixels && fflush(stdout) == 0 ? 0 : 1;
    }

    fscnn_session_close(&session);
    fscnn_engine_close(&engine);
    free(rgb);
    free(labels);
    return status;
}
