// SPDX-License-Identifier: MIT
#include "kernels/epilogue.h"

#include "kernels/convert.h"

static bool is_fp32(const milo_gemm *g) {
  return g->c_dtype == MILO_FP32 || g->c_dtype == MILO_DTYPE_NONE;
}

bool milo_epilogue_sums_in_c(const milo_gemm *g) {
  const milo_epilogue *e = &g->epilogue;
  return is_fp32(g) && !(g->add && (e->scaled || e->activation != MILO_UNARY_copy));
}

bool milo_epilogue_exists(const milo_gemm *g) {
  const milo_epilogue *e = &g->epilogue;
  return !milo_epilogue_sums_in_c(g) || e->scaled || e->activation != MILO_UNARY_copy ||
         e->bias.dtype != MILO_DTYPE_NONE || e->residual.dtype != MILO_DTYPE_NONE;
}

// t += row i, columns [j, j + n) of x.
static void add_row(const milo_rows *rows, float *t, const milo_matrix *x, ptrdiff_t step, size_t i,
                    size_t j, size_t n) {
  const ptrdiff_t bytes = (ptrdiff_t)(milo_dtype_bits(x->dtype) / 8);
  const void *from =
      (const char *)x->data + (step + (ptrdiff_t)i * x->rs + (ptrdiff_t)j * x->cs) * bytes;
  if (x->cs == 0) {
    float one;
    milo_load_f32(rows, &one, from, x->dtype, 1, 1);
    rows->scale(t, t, n, 1.0f, one);
  } else if (x->cs == 1 && x->dtype == MILO_FP32) {
    rows->binary[MILO_BINARY_add](t, t, from, n);
  } else {
    float terms[MILO_EPILOGUE_COLUMNS];
    milo_load_f32(rows, terms, from, x->dtype, x->cs, n);
    rows->binary[MILO_BINARY_add](t, t, terms, n);
  }
}

static void finish_row(const milo_rows *rows, const milo_gemm *g, size_t z, size_t i, size_t j,
                       size_t n, float *t, void *c) {
  const milo_epilogue *e = &g->epilogue;
  const milo_dtype dtype = is_fp32(g) ? MILO_FP32 : g->c_dtype;
  if (e->scaled) rows->scale(t, t, n, e->scale, -0.0f);
  if (e->bias.dtype != MILO_DTYPE_NONE) add_row(rows, t, &e->bias, 0, i, j, n);
  if (e->activation != MILO_UNARY_copy) rows->unary[e->activation](t, t, n, e->params);
  if (e->residual.dtype != MILO_DTYPE_NONE)
    add_row(rows, t, &e->residual, (ptrdiff_t)z * e->residual_step, i, j, n);
  const ptrdiff_t at = (ptrdiff_t)z * g->c_step + (ptrdiff_t)(i * g->ldc + j);
  char *to = (char *)c + at * (ptrdiff_t)(milo_dtype_bits(dtype) / 8);
  if ((const void *)to == (const void *)t) return;
  if (g->add) {
    const milo_matrix old = {to, dtype, 0, 1};
    add_row(rows, t, &old, 0, 0, 0, n);
  }
  milo_store_f32(rows, to, dtype, 1, t, n);
}

void milo_epilogue_run(const milo_rows *rows, const milo_gemm *g, size_t z, size_t i, size_t m,
                       size_t j, size_t n, float *sums, size_t ld, void *c) {
  for (size_t q = 0; q < n; q += MILO_EPILOGUE_COLUMNS) {
    const size_t width = n - q < MILO_EPILOGUE_COLUMNS ? n - q : MILO_EPILOGUE_COLUMNS;
    for (size_t r = 0; r < m; ++r)
      finish_row(rows, g, z, i + r, j + q, width, sums + r * ld + q, c);
  }
}
