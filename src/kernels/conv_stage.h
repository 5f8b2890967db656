// SPDX-License-Identifier: MIT
// The padded copy that convolutions read: fp32, one plane a channel, with zeros for all that lies
// outside of the image. Elements `step` apart along an axis lie next to each other, so that
// whatever advances by that step (the positions, or the kernel) runs over contiguous memory.
//
// Element u of an axis, 0 <= u < extent, is number u / step of part u % step. A plane holds its
// parts [part0][part1][part2] one after the other, each [count0][count1][count2].
#ifndef MILO_KERNELS_CONV_STAGE_H
#define MILO_KERNELS_CONV_STAGE_H

#include "kernels/conv.h"

typedef struct milo_stage {
  ptrdiff_t low[MILO_CONV_AXES];  // index in x of u = 0
  size_t extent[MILO_CONV_AXES], step[MILO_CONV_AXES], count[MILO_CONV_AXES];
  size_t part, plane;  // floats
} milo_stage;

// Floats that may be read beyond the last plane: rows are copied by 4.
enum { MILO_STAGE_SLACK = 4 };

// step: the conv's stride, or its dilation (> 0).
milo_stage milo_stage_of(const milo_conv *conv, const size_t *step);
// Fills a plane from a channel of x.
void milo_stage_fill(const milo_rows *rows, const milo_stage *stage, const milo_conv *conv,
                     const void *x, float *plane);
// Where u lies in a plane.
size_t milo_stage_place(const milo_stage *stage, const size_t *u);

#endif
