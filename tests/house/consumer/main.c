// A program as a user writes it: opens random weights, labels one grey frame of 64x64, prints its class.
#include <fastscnn/fastscnn.h>
#include <stdio.h>
#include <string.h>

int main(void) {
    static unsigned char pixels[64 * 64 * 3], labels[64 * 64];
    memset(pixels, 128, sizeof pixels);
    fscnn_engine *engine = NULL;
    fscnn_session *session = NULL;
    fscnn_session_options options;
    fscnn_frame frame;
    fscnn_outputs outputs;
    fscnn_session_options_init(&options);
    options.width = options.height = 64;
    fscnn_frame_init(&frame, FSCNN_RGB8, 64, 64, pixels);
    fscnn_outputs_init(&outputs);
    outputs.labels = labels;
    int fine = fscnn_engine_open("random:1", NULL, &engine) == FSCNN_OK &&
               fscnn_session_open(engine, &options, &session) == FSCNN_OK &&
               fscnn_run(session, &frame, &outputs) == FSCNN_OK;
    if (fine)
        printf("fastscnn %s: %s\n", fscnn_version_string(), fscnn_engine_class_name(engine, labels[0]));
    else
        fprintf(stderr, "%s\n", fscnn_error());
    fscnn_session_close(&session);
    fscnn_engine_close(&engine);
    return fine ? 0 : 1;
}
