// Bilinear resizing of one float plane, a row at a time, for class scores at another size than the network's.
#ifndef FS_CLI_RESAMPLE_H
#define FS_CLI_RESAMPLE_H

// Row `row` of the [out_height][out_width] picture of in[in_height][in_width]: half-pixel centres, edges repeated.
void fs_plane_resize_row(const float *in, int in_height, int in_width, int row, int out_height, int out_width,
                         float *out);

#endif
