// The scalar truth of a product in int8: what cpu/kernels/int8.h and cpu/int8.c must equal to the last bit.
#include <math.h>
#include <string.h>

#include "cpu/reference/reference.h"

uint8_t fs_ref_quantise(float x, fs_quant how) {
    const float scaled = x * (1.0f / how.scale);
    if (!(scaled > (float)-how.zero)) return 0; // a NaN too
    if (scaled >= (float)(255 - how.zero)) return 255;
    return (uint8_t)(rintf(scaled) + (float)how.zero); // to nearest, ties to even
}

void fs_ref_int8(const fs_ref_input *inputs, int count, size_t pixels, const float *bias, int outputs, float *out) {
    for (int n = 0; n < outputs; n++) {
        double most = 0;
        for (int s = 0; s < count; s++)
            for (int k = 0; k < inputs[s].channels; k++)
                most = fmax(most, fabs((double)inputs[s].weight[k * outputs + n] * (double)inputs[s].quant.scale));
        const float scale = (float)(most / 127);
        for (size_t p = 0; p < pixels; p++) {
            int sum = 0;
            for (int s = 0; s < count && scale > 0; s++)
                for (int k = 0; k < inputs[s].channels; k++) {
                    const double weight = (double)inputs[s].weight[k * outputs + n] * (double)inputs[s].quant.scale;
                    const int q = (int)fmax(-127, fmin(127, rint(weight / (double)scale)));
                    const float x = inputs[s].values[p * (size_t)inputs[s].channels + (size_t)k];
                    sum += (fs_ref_quantise(x, inputs[s].quant) - inputs[s].quant.zero) * q;
                }
            const float product = (float)sum * scale;
            out[p * (size_t)outputs + (size_t)n] = product + bias[n];
        }
    }
}
