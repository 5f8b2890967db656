// SPDX-License-Identifier: MIT
#include "kernels/conv_stage.h"

#include <string.h>

#include "kernels/convert.h"

milo_stage milo_stage_of(const milo_conv *conv, const size_t *step) {
  milo_stage s = {.part = 1, .plane = 1};
  for (int axis = 0; axis < MILO_CONV_AXES; ++axis) {
    const ptrdiff_t reach = ((ptrdiff_t)conv->kernel[axis] - 1) * conv->dilation[axis];
    const size_t last = (conv->positions[axis] - 1) * conv->stride[axis];
    s.low[axis] = conv->offset[axis] + (reach < 0 ? reach : 0);
    s.extent[axis] = last + (size_t)(reach < 0 ? -reach : reach) + 1;
    s.step[axis] = step[axis] < s.extent[axis] ? step[axis] : s.extent[axis];
    s.count[axis] = (s.extent[axis] + s.step[axis] - 1) / s.step[axis];
    s.part *= s.count[axis];
    s.plane *= s.count[axis] * s.step[axis];
  }
  return s;
}

size_t milo_stage_place(const milo_stage *s, const size_t *u) {
  size_t part = 0, number = 0;
  for (int axis = 0; axis < MILO_CONV_AXES; ++axis) {
    part = part * s->step[axis] + u[axis] % s->step[axis];
    number = number * s->count[axis] + u[axis] / s->step[axis];
  }
  return part * s->part + number;
}

// Elements first, first + step, ... of the last axis: `count` of them, those outside of x zero.
static void fill_row(const milo_rows *rows, const milo_conv *conv, const char *x, ptrdiff_t first,
                     size_t step, size_t count, float *out) {
  const ptrdiff_t size = (ptrdiff_t)conv->size[2], by = (ptrdiff_t)step;
  const ptrdiff_t bytes = (ptrdiff_t)(milo_dtype_bits(conv->x_dtype) / 8);
  const size_t before = first >= 0 ? 0 : ((size_t)-first + step - 1) / step;
  size_t inside = 0;
  if (before < count) {
    const ptrdiff_t at = first + (ptrdiff_t)before * by;
    if (at < size) inside = (size_t)((size - at + by - 1) / by);
    if (inside > count - before) inside = count - before;
    if (inside > 0)
      milo_load_f32(rows, out + before, x + at * conv->x_axis[2] * bytes, conv->x_dtype,
                    by * conv->x_axis[2], inside);
    memset(out, 0, before * sizeof *out);
    memset(out + before + inside, 0, (count - before - inside) * sizeof *out);
  } else {
    memset(out, 0, count * sizeof *out);
  }
}

void milo_stage_fill(const milo_rows *rows, const milo_stage *s, const milo_conv *conv,
                     const void *x, float *plane) {
  const ptrdiff_t bytes = (ptrdiff_t)(milo_dtype_bits(conv->x_dtype) / 8);
  float *out = plane;
  for (size_t p0 = 0; p0 < s->step[0]; ++p0)
    for (size_t p1 = 0; p1 < s->step[1]; ++p1)
      for (size_t p2 = 0; p2 < s->step[2]; ++p2)
        for (size_t i = 0; i < s->count[0]; ++i)
          for (size_t j = 0; j < s->count[1]; ++j, out += s->count[2]) {
            const ptrdiff_t y0 = s->low[0] + (ptrdiff_t)(p0 + i * s->step[0]);
            const ptrdiff_t y1 = s->low[1] + (ptrdiff_t)(p1 + j * s->step[1]);
            if (y0 < 0 || y0 >= (ptrdiff_t)conv->size[0] || y1 < 0 ||
                y1 >= (ptrdiff_t)conv->size[1]) {
              memset(out, 0, s->count[2] * sizeof *out);
              continue;
            }
            const char *row =
                (const char *)x + (y0 * conv->x_axis[0] + y1 * conv->x_axis[1]) * bytes;
            fill_row(rows, conv, row, s->low[2] + (ptrdiff_t)p2, s->step[2], s->count[2], out);
          }
}
