// SPDX-License-Identifier: MIT
// Which way a convolution goes, and the one by products. Columns are output positions, of one image
// or of the whole batch; the depth is (channel, kernel position). Element (p, j) of that right side
// lies at row(p) + column(j) of the padded copy (conv_stage.h), because both advance along the same
// axes; and where the positions' step is the copy's, runs of columns are contiguous.
#include "kernels/conv.h"

#include <string.h>

#include "kernels/conv_direct.h"
#include "kernels/conv_stage.h"

enum {
  CHUNK_FLOATS = 1 << 18,  // of padded copies made before the products that read them: L2
  FEW_CHANNELS = 3,        // up to so many output channels a group, sums of rows
};

static size_t count_of(const size_t *dims) { return dims[0] * dims[1] * dims[2]; }
static size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

static bool is_empty(const milo_conv *v) {
  return v->batch * v->groups * v->out * count_of(v->positions) == 0;
}
// The product's depth; 0: nothing is read of x.
static size_t depth_of(const milo_conv *v) { return v->in * count_of(v->kernel); }

static bool is_direct(const milo_conv *v) {
  return v->groups > 1 && v->out <= FEW_CHANNELS && depth_of(v) > 0 && milo_conv_direct_takes(v);
}

bool milo_conv_takes(const milo_conv *v) {
  if (is_empty(v) || depth_of(v) == 0) return true;
  // In double: no product of sizes is too large for it.
  double plane = 1, image = 1, work = 1;
  for (int axis = 0; axis < MILO_CONV_AXES; ++axis) {
    const double reach = ((double)v->kernel[axis] - 1) * (double)v->dilation[axis];
    const double last = ((double)v->positions[axis] - 1) * (double)v->stride[axis];
    plane *= last + (reach < 0 ? -reach : reach) + 2 * (double)v->stride[axis];
    image *= (double)v->size[axis];
    work *= (double)v->positions[axis] + (double)v->kernel[axis];
  }
  return plane <= 16 * (image + work) + 4096;
}

// ---- by products ----

typedef struct plan {
  milo_stage stage;
  bool merged;   // the batch's positions are one product's columns
  size_t chunk;  // images whose copies are made at a time
  size_t image;  // floats of an image's copies
} plan;

static plan plan_of(const milo_conv *v) {
  plan p = {.merged = v->batch > 1 && v->out_batch == (ptrdiff_t)count_of(v->positions)};
  if (depth_of(v) > 0) {
    p.stage = milo_stage_of(v, v->stride);
    p.image = p.stage.plane * v->groups * v->in;
  }
  p.chunk = CHUNK_FLOATS / (p.image > 0 ? p.image : 1);
  if (p.chunk < 1 || v->groups > 1) p.chunk = 1;
  if (p.merged || p.chunk > v->batch) p.chunk = v->batch;
  return p;
}

// What the packer knows of its product.
typedef struct source {
  const milo_conv *v;
  const plan *p;
  const float *copies;
  const size_t *taps;  // where each element of the kernel lies in a plane, for position 0
} source;

// A run of columns that lie one after the other in a plane.
typedef struct run {
  size_t from, to, length;
} run;

// Columns [j, j + n) as runs.
static size_t find_runs(const source *s, size_t j, size_t n, run *out) {
  const milo_conv *v = s->v;
  const size_t *dims = v->positions;
  size_t rest = j / dims[2], at2 = j % dims[2], count = 0;
  size_t at1 = rest % dims[1], at0 = rest / dims[1] % dims[0], image = rest / dims[1] / dims[0];
  for (size_t to = 0; to < n; ++count) {
    const size_t length = dims[2] - at2 < n - to ? dims[2] - at2 : n - to;
    const size_t *c = s->p->stage.count;
    out[count] = (run){image * s->p->image + (at0 * c[1] + at1) * c[2] + at2, to, length};
    to += length;
    at2 = 0;
    if (++at1 < dims[1]) continue;
    at1 = 0;
    if (++at0 < dims[0]) continue;
    at0 = 0;
    ++image;
  }
  return count;
}

// May read 3 floats too many, and write as many.
static inline void copy_run(float *to, const float *from, size_t n) {
  size_t i = 0;
  for (; i + 16 <= n; i += 16) memcpy(to + i, from + i, 16 * sizeof *to);
  for (; i < n; i += 4) memcpy(to + i, from + i, 4 * sizeof *to);
}

// Rows [p, p + k) of the columns in runs, `width` of them, as rows of ld floats, zero beyond.
static void gather(const source *s, const float *base, size_t p, size_t k, const run *runs,
                   size_t count, size_t width, float *out, size_t ld) {
  if (k == 0) return;
  const size_t taps = count_of(s->v->kernel);
  size_t tap = p % taps;
  base += p / taps * s->p->stage.plane;
  for (size_t q = 0; q < k; ++q, out += ld) {
    const float *row = base + s->taps[tap];
    // What a run writes too much, the next run or row puts right; the last row must not.
    if (q + 1 < k) {
      for (size_t i = 0; i < count; ++i)
        copy_run(out + runs[i].to, row + runs[i].from, runs[i].length);
      for (size_t i = width; i < ld; ++i) out[i] = 0;
      if (++tap == taps) {
        tap = 0;
        base += s->p->stage.plane;
      }
      continue;
    }
    for (size_t i = 0; i < count; ++i)
      memcpy(out + runs[i].to, row + runs[i].from, runs[i].length * sizeof *out);
    for (size_t i = width; i < ld; ++i) out[i] = 0;
  }
}

// z: the image of the chunk, or the group where there are several.
static void pack_patches(const void *user, const milo_product *product, const void *b, size_t z,
                         size_t p, size_t k, size_t j, size_t n, void *out, size_t panel,
                         float *scratch) {
  const source *s = user;
  (void)b;
  const size_t nr = product->nr;
  const float *base =
      s->copies + z * (s->v->groups > 1 ? s->v->in * s->p->stage.plane : s->p->image);
  run runs[MILO_PACKER_COLUMNS];
  if (product->packed == MILO_FP32 && product->group == 1) {
    float *to = out;
    for (size_t i = 0; i < n; i += nr, to += panel) {
      const size_t width = n - i < nr ? n - i : nr;
      gather(s, base, p, k, runs, find_runs(s, j + i, width, runs), width, to, nr);
    }
    return;
  }
  gather(s, base, p, k, runs, find_runs(s, j, n, runs), n, scratch, n);
  product->pack_fp32(out, panel, scratch, k, n, (ptrdiff_t)n, 1, nr);
}

static milo_gemm product_of(const milo_conv *v, const plan *p, const source *s) {
  const size_t positions = count_of(v->positions);
  milo_gemm g = {.mode = v->mode,
                 .m = v->out,
                 .n = p->merged ? p->chunk * positions : positions,
                 .k = depth_of(v),
                 .batch = p->merged ? 1 : p->chunk,
                 .a = v->weight,
                 .packed_a = v->packed_weight,
                 .c_step = v->out_batch,
                 .ldc = (size_t)v->out_channel,
                 .c_dtype = v->out_dtype,
                 .packer = pack_patches,
                 .packer_user = s};
  if (v->bias.dtype != MILO_DTYPE_NONE)
    g.epilogue.bias = (milo_matrix){NULL, v->bias.dtype, v->bias.rs, 0};
  if (v->groups > 1) {
    g.batch = v->groups;
    g.a_step = (ptrdiff_t)v->out * v->weight.rs;
    g.c_step = (ptrdiff_t)v->out * v->out_channel;
    // A bias is the same for all of a batch, a residual need not be.
    g.epilogue.residual = g.epilogue.bias;
    g.epilogue.bias = (milo_matrix){0};
    g.epilogue.residual_step = (ptrdiff_t)v->out * v->bias.rs;
  }
  return g;
}

// The workspace: copies, places of the kernel's elements, the product's own.
static size_t copies_bytes(const plan *p) {
  return round_up((p->chunk * p->image + MILO_STAGE_SLACK) * sizeof(float), 64);
}

static size_t taps_bytes(const milo_conv *v) {
  return round_up(count_of(v->kernel) * sizeof(size_t), 64);
}

static void list_taps(const milo_conv *v, const milo_stage *stage, size_t *taps) {
  size_t k[MILO_CONV_AXES];
  for (k[0] = 0; k[0] < v->kernel[0]; ++k[0])
    for (k[1] = 0; k[1] < v->kernel[1]; ++k[1])
      for (k[2] = 0; k[2] < v->kernel[2]; ++k[2]) {
        size_t u[MILO_CONV_AXES];
        for (int axis = 0; axis < MILO_CONV_AXES; ++axis)
          u[axis] =
              (size_t)((ptrdiff_t)k[axis] * v->dilation[axis] + v->offset[axis] - stage->low[axis]);
        *taps++ = milo_stage_place(stage, u);
      }
}

typedef struct stage_job {
  const milo_rows *rows;
  const milo_conv *v;
  const plan *p;
  const char *x;
  float *copies;
} stage_job;

static void stage_task(void *user, size_t t, int worker) {
  (void)worker;
  const stage_job *w = user;
  const size_t channels = w->v->groups * w->v->in;
  const ptrdiff_t at =
      (ptrdiff_t)(t / channels) * w->v->x_batch + (ptrdiff_t)(t % channels) * w->v->x_channel;
  milo_stage_fill(w->rows, &w->p->stage, w->v,
                  w->x + at * (ptrdiff_t)(milo_dtype_bits(w->v->x_dtype) / 8),
                  w->copies + t * w->p->stage.plane);
}

static void run_products(const milo_exec *exec, const milo_conv *v, const char *x,
                         const void *weight, const void *bias, char *out, char *workspace) {
  const bool reads = depth_of(v) > 0;
  plan p = plan_of(v);
  float *copies = (float *)(void *)workspace;
  size_t *taps = (size_t *)(void *)(workspace + copies_bytes(&p));
  char *rest = workspace + copies_bytes(&p) + taps_bytes(v);
  if (reads) list_taps(v, &p.stage, taps);
  const source s = {v, &p, copies, taps};
  const size_t chunk = p.chunk;
  const ptrdiff_t x_bytes = (ptrdiff_t)(milo_dtype_bits(v->x_dtype) / 8);
  const ptrdiff_t out_bytes = (ptrdiff_t)(milo_dtype_bits(v->out_dtype) / 8);
  memset(copies + chunk * p.image, 0, MILO_STAGE_SLACK * sizeof *copies);
  for (size_t n = 0; n < v->batch; n += chunk) {
    p.chunk = v->batch - n < chunk ? v->batch - n : chunk;
    if (reads) {
      stage_job w = {exec->rows, v, &p, x + (ptrdiff_t)n * v->x_batch * x_bytes, copies};
      milo_pool_run(exec->pool, p.chunk * v->groups * v->in, stage_task, &w);
    }
    milo_gemm g = product_of(v, &p, &s);
    if (v->groups > 1)
      g.epilogue.residual.data = bias;
    else
      g.epilogue.bias.data = bias;
    milo_gemm_run(exec, &g, weight, copies, out + (ptrdiff_t)n * v->out_batch * out_bytes, rest);
  }
}

// ---- both ----

bool milo_conv_packs(const milo_exec *exec, const milo_conv *v, milo_packed *out) {
  if (is_empty(v) || depth_of(v) == 0 || v->groups > 1) return false;
  const plan p = plan_of(v);
  const source s = {v, &p, NULL, NULL};
  const milo_gemm g = product_of(v, &p, &s);
  *out = milo_packed_layout(exec, v->mode, MILO_LEFT, v->out, depth_of(v));
  return milo_gemm_packs(exec, &g, MILO_LEFT);
}

size_t milo_conv_workspace_bytes(const milo_exec *exec, const milo_conv *v) {
  if (is_empty(v)) return 0;
  if (is_direct(v)) return milo_conv_direct_workspace_bytes(exec, v);
  plan p = plan_of(v);
  const source s = {v, &p, NULL, NULL};
  size_t most = 0;
  // The last chunk may be smaller, and its product cut in other ways.
  const size_t whole = p.chunk, last = v->batch % whole;
  for (int i = 0; i < 2; ++i) {
    p.chunk = i == 0 ? whole : last;
    if (p.chunk == 0) continue;
    milo_gemm g = product_of(v, &p, &s);
    for (int packed = 0; packed < 2; ++packed) {
      static const milo_packed there;
      g.packed_a = packed != 0 ? &there : NULL;
      const size_t bytes = milo_gemm_workspace_bytes(exec, &g);
      most = bytes > most ? bytes : most;
    }
  }
  p.chunk = whole;
  return copies_bytes(&p) + taps_bytes(v) + most;
}

void milo_conv_run(const milo_exec *exec, const milo_conv *v, const void *x, const void *weight,
                   const void *bias, void *out, void *workspace) {
  if (is_empty(v)) return;
  if (is_direct(v))
    milo_conv_direct_run(exec, v, x, weight, bias, out, workspace);
  else
    run_products(exec, v, x, weight, bias, out, workspace);
}
