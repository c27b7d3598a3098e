// Folds batch norm into weight and bias, and brings the weights into the layout with the output channel fastest.
#include "weights/fold.h"

#include <math.h>
#include <stddef.h>

enum { BLOCK = 16 }; // output channels at a time: one cache line written for each 16 streams read

fs_status fs_fold(const fs_layer *layer, const fs_unfolded *in, double epsilon, const fs_folded *out) {
    int outputs = layer->out_channels, inputs = layer->depthwise ? 1 : layer->in_channels;
    int taps = layer->kernel * layer->kernel;
    bool finite = true;
    for (int first = 0; first < outputs; first += BLOCK) {
        int block = outputs - first < BLOCK ? outputs - first : BLOCK;
        double scale[BLOCK];
        for (int i = 0; i < block; i++) {
            int co = first + i;
            double shift = in->bias != NULL ? (double)in->bias[co] : 0;
            scale[i] = 1;
            if (in->gamma != NULL) {
                scale[i] = (double)in->gamma[co] / sqrt((double)in->variance[co] + epsilon);
                shift = (double)in->beta[co] + (shift - (double)in->mean[co]) * scale[i];
            }
            out->bias[co] = (float)shift;
            finite &= (bool)isfinite(out->bias[co]);
        }
        for (int ci = 0; ci < inputs; ci++) {
            for (int tap = 0; tap < taps; tap++) {
                const float *source = in->weight + (size_t)first * (size_t)(inputs * taps) + (size_t)(ci * taps + tap);
                float *folded = out->weight + (size_t)(tap * inputs + ci) * (size_t)outputs + (size_t)first;
                for (int i = 0; i < block; i++) {
                    folded[i] = (float)((double)source[(size_t)i * (size_t)(inputs * taps)] * scale[i]);
                    finite &= (bool)isfinite(folded[i]);
                }
            }
        }
    }
    return finite ? FS_OK
                  : fs_fail(FS_ERR_WEIGHTS, "layer %s overflows float when its batch norm is folded; export it again",
                            layer->name);
}
