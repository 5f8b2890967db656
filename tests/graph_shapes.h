// SPDX-License-Identifier: MIT
// Programs of every shape that makes a careless compiler quadratic, of any size: one row a shape.
// Sizes are counted in operations, arguments, inputs or outputs, whichever the shape is about.
#ifndef MILO_TESTS_GRAPH_SHAPES_H
#define MILO_TESTS_GRAPH_SHAPES_H

#include <stdio.h>
#include <stdlib.h>

#define SHAPE_V "tensor<fp32, [4]>"
#define SHAPE_M "tensor<fp32, [2, 2]>"

// Writes parameters, then "{" and the body, then "} -> (" and the outputs.
typedef void shape_fn(FILE *f, size_t n);

typedef struct graph_shape {
  const char *name, *what;
  shape_fn *write;
} graph_shape;

static inline void shape_chain(FILE *f, size_t n) {
  fputs(SHAPE_V " v0) {\n", f);
  for (size_t i = 1; i <= n; i++) fprintf(f, SHAPE_V " v%zu = tanh(x = v%zu);\n", i, i - 1);
  fprintf(f, "} -> (v%zu", n);
}

static inline void shape_products(FILE *f, size_t n) {
  fputs(SHAPE_M " v0, " SHAPE_M " w) {\n", f);
  for (size_t i = 1; i <= n; i++)
    fprintf(f, SHAPE_M " v%zu = matmul(x = v%zu, y = w);\n", i, i - 1);
  fprintf(f, "} -> (v%zu", n);
}

static inline void shape_fan(FILE *f, size_t n) {
  fputs(SHAPE_M " x, " SHAPE_M " w) {\n", f);
  for (size_t i = 0; i < n; i++)
    fprintf(f,
            SHAPE_M " a%zu = add(x = x, y = fp32(%zu));\n" SHAPE_M
                    " v%zu = matmul(x = a%zu, y = w);\n",
            i, i + 1, i, i);
  fputs(
      "int32 axis = const()[name = string(\"axis\"), val = int32(0)];\n"
      "bool no = const()[name = string(\"no\"), val = bool(false)];\n",
      f);
  fprintf(f, "tensor<fp32, [%zu, 2]> y = concat(values = (v0", 2 * n);
  for (size_t i = 1; i < n; i++) fprintf(f, ", v%zu", i);
  fputs("), axis = axis, interleave = no);\n} -> (y", f);
}

static inline void shape_concat(FILE *f, size_t n) {
  for (size_t i = 0; i < n; i++) fprintf(f, "%s" SHAPE_V " x%zu", i > 0 ? ", " : "", i);
  fputs(
      ") {\nint32 axis = const()[name = string(\"axis\"), val = int32(0)];\n"
      "bool no = const()[name = string(\"no\"), val = bool(false)];\n",
      f);
  fprintf(f, "tensor<fp32, [%zu]> y = concat(values = (x0", 4 * n);
  for (size_t i = 1; i < n; i++) fprintf(f, ", x%zu", i);
  fputs("), axis = axis, interleave = no);\n} -> (y", f);
}

// Every input has its own operations and its own output.
static inline void shape_independent(FILE *f, size_t n) {
  for (size_t i = 0; i < n; i++) fprintf(f, "%s" SHAPE_V " x%zu", i > 0 ? ", " : "", i);
  fputs(") {\n", f);
  for (size_t i = 0; i < n; i++) fprintf(f, SHAPE_V " y%zu = exp(x = x%zu);\n", i, i);
  fputs("} -> (y0", f);
  for (size_t i = 1; i < n; i++) fprintf(f, ", y%zu", i);
}

// Outputs that are inputs by another name: n copies that nothing may remove.
static inline void shape_names(FILE *f, size_t n) {
  fputs(SHAPE_V " x) {\n", f);
  for (size_t i = 0; i < n; i++) fprintf(f, SHAPE_V " y%zu = identity(x = x);\n", i);
  fputs("} -> (y0", f);
  for (size_t i = 1; i < n; i++) fprintf(f, ", y%zu", i);
}

static inline void shape_tree(FILE *f, size_t n) {
  for (size_t i = 0; i < n; i++) fprintf(f, "%s" SHAPE_M " v%zu", i > 0 ? ", " : "", i);
  fputs(") {\n", f);
  size_t next = n;
  for (size_t i = 0; i + 1 < next && next < 2 * n - 1; i += 2, next++)
    fprintf(f, SHAPE_M " v%zu = matmul(x = v%zu, y = v%zu);\n", next, i, i + 1);
  fprintf(f, "} -> (v%zu", next - 1);
}

// All values live at once, then used up in reverse.
static inline void shape_stack(FILE *f, size_t n) {
  fputs(SHAPE_M " v0, " SHAPE_M " w) {\n", f);
  for (size_t i = 1; i <= n / 2; i++)
    fprintf(f, SHAPE_M " v%zu = matmul(x = v%zu, y = w);\n", i, i - 1);
  fprintf(f, SHAPE_M " u%zu = matmul(x = w, y = w);\n", n / 2 + 1);
  for (size_t i = n / 2 + 1; i-- > 0;)
    fprintf(f, SHAPE_M " u%zu = matmul(x = u%zu, y = v%zu);\n", i, i + 1, i);
  fputs("} -> (u0", f);
}

// Lives that overlap like tiles of a roof, of different sizes.
static inline void shape_shingles(FILE *f, size_t n) {
  enum { LIFE = 64 };
  fputs(SHAPE_M " x, " SHAPE_M " w, tensor<fp32, [2, 34]> wide) {\n", f);
  fputs(SHAPE_M " s0 = matmul(x = x, y = w);\n", f);
  for (size_t i = 1; i <= n / 4; i++) {
    const size_t columns = 2 + i * 7 % 33;
    fprintf(f,
            "tensor<fp32, [2, %zu]> c%zu = slice_by_size(x = wide, begin = tensor<int32, [2]>"
            "([0, 0]), size = tensor<int32, [2]>([2, %zu]));\n",
            columns, i, columns);
    fprintf(f, "tensor<fp32, [2, %zu]> v%zu = matmul(x = s%zu, y = c%zu);\n", columns, i, i - 1, i);
    const size_t old = i > LIFE ? i - LIFE : 1;
    fprintf(f,
            SHAPE_M
            " m%zu = matmul(x = v%zu, y = v%zu, transpose_x = bool(false), "
            "transpose_y = bool(true));\n",
            i, old, old);
    fprintf(f, SHAPE_M " s%zu = matmul(x = s%zu, y = m%zu);\n", i, i - 1, i);
  }
  fprintf(f, "} -> (s%zu", n / 4);
}

static inline void shape_views(FILE *f, size_t n) {
  fputs("tensor<fp32, [2, 3, 4]> v0) {\n", f);
  for (size_t i = 1; i <= n; i++) {
    static const char *const types[] = {"tensor<fp32, [2, 3, 4]>", "tensor<fp32, [4, 2, 3]>",
                                        "tensor<fp32, [8, 3]>", "tensor<fp32, [3, 8]>"};
    static const char *const ops[] = {"reshape(shape = tensor<int32, [3]>([2, 3, 4]), x = ",
                                      "transpose(perm = tensor<int32, [3]>([2, 0, 1]), x = ",
                                      "reshape(shape = tensor<int32, [2]>([8, 3]), x = ",
                                      "transpose(perm = tensor<int32, [2]>([1, 0]), x = "};
    fprintf(f, "%s v%zu = %sv%zu);\n", types[i % 4], i, ops[i % 4], i - 1);
  }
  fprintf(f, "} -> (v%zu", n);
}

// Reshapes of reshapes, slices of slices, transposes of transposes, each as long as the others.
static inline void shape_nested(FILE *f, size_t n) {
  const size_t part = n / 3;
  fputs("tensor<fp32, [2, 6]> r0, tensor<fp32, [2, 6]> t0, tensor<fp32, [2, 6]> s0) {\n", f);
  for (size_t i = 1; i <= part; i++)
    fprintf(f, "tensor<fp32, [%s]> r%zu = reshape(shape = tensor<int32, [2]>([%s]), x = r%zu);\n",
            i % 2 ? "3, 4" : "2, 6", i, i % 2 ? "3, 4" : "2, 6", i - 1);
  for (size_t i = 1; i <= part; i++)
    fprintf(f,
            "tensor<fp32, [%s]> t%zu = transpose(perm = tensor<int32, [2]>([1, 0]), x = t%zu);\n",
            i % 2 ? "6, 2" : "2, 6", i, i - 1);
  for (size_t i = 1; i <= part; i++)
    fprintf(f,
            "tensor<fp32, [2, 6]> e%zu = exp(x = s%zu);\ntensor<fp32, [2, 6]> s%zu = "
            "reverse(axes = tensor<int32, [1]>([1]), x = e%zu);\n",
            i, i - 1, i, i);
  fprintf(f, "} -> (r%zu, t%zu, s%zu", part, part, part);
}

static inline void shape_split(FILE *f, size_t n) {
  fprintf(f, "tensor<fp32, [%zu]> x) {\n", 4 * n);
  for (size_t i = 0; i < n; i++) fprintf(f, "%s" SHAPE_V " v%zu", i > 0 ? ", " : "", i);
  fprintf(f, " = split(x = x, axis = int32(0), num_splits = int32(%zu));\n", n);
  for (size_t i = 0; i < n; i++)
    fprintf(f, SHAPE_V " e%zu = softmax(x = v%zu, axis = int32(0));\n", i, i);
  fprintf(f, "tensor<fp32, [%zu]> y = concat(values = (e0", 4 * n);
  for (size_t i = 1; i < n; i++) fprintf(f, ", e%zu", i);
  fputs("), axis = int32(0), interleave = bool(false));\n} -> (y", f);
}

// The same operation again and again, on constants that are equal but for their end.
static inline void shape_equal(FILE *f, size_t n) {
  fputs("tensor<fp32, [68]> s0) {\n", f);
  for (size_t i = 0; i < n / 3; i++) {
    fprintf(f,
            "tensor<fp32, [68]> c%zu = const()[name = string(\"c%zu\"), val = tensor<fp32, [68]>"
            "([",
            i, i);
    for (int k = 0; k < 67; k++) fputs("1,", f);
    fprintf(f,
            "%zu])];\ntensor<fp32, [68]> e%zu = sub(x = s0, y = c%zu);\ntensor<fp32, [68]> s%zu "
            "= maximum(x = s%zu, y = e%zu);\n",
            i + 2, i, i, i + 1, i, i);
  }
  fprintf(f, "} -> (s%zu", n / 3);
}

// Small products added up in a large value: what to keep for backward has as many answers as steps.
static inline void shape_kept(FILE *f, size_t n) {
  fputs("tensor<fp32, [40, 50]> h0, tensor<fp32, [1, 1]> x, tensor<fp32, [1, 1]> w) {\n", f);
  for (size_t i = 1; i <= n / 3; i++)
    fprintf(f,
            "tensor<fp32, [1, 1]> a%zu = add(x = x, y = fp32(%zu));\ntensor<fp32, [1, 1]> p%zu = "
            "matmul(x = a%zu, y = w);\ntensor<fp32, [40, 50]> h%zu = add(x = h%zu, y = p%zu);\n",
            i, i, i, i, i, i - 1, i);
  fprintf(f, "tensor<fp32, [40, 50]> y = square(x = h%zu);\n} -> (y", n / 3);
}

static const graph_shape graph_shapes[] = {
    {"chain", "elementwise, one after another", shape_chain},
    {"products", "matrix products, one after another", shape_products},
    {"fan", "one value used n times, joined again", shape_fan},
    {"concat", "n inputs, one operation", shape_concat},
    {"independent", "n inputs, n operations, n outputs", shape_independent},
    {"names", "n outputs that are one input", shape_names},
    {"tree", "n inputs joined in pairs", shape_tree},
    {"stack", "all live at once, used up in reverse", shape_stack},
    {"shingles", "lives and sizes that overlap", shape_shingles},
    {"views", "reshapes and transposes that need copies", shape_views},
    {"nested", "reshapes of reshapes and the like", shape_nested},
    {"split", "one operation with n results", shape_split},
    {"equal", "constants that differ at their end", shape_equal},
    {"kept", "n paths to a minimum cut", shape_kept},
};
enum { GRAPH_SHAPES = sizeof graph_shapes / sizeof *graph_shapes };

// The program's text, to be freed.
static inline char *graph_shape_text(const graph_shape *shape, size_t n, size_t *out_bytes) {
  char *text = NULL;
  FILE *f = open_memstream(&text, out_bytes);
  if (f == NULL) abort();
  fputs("program(1.3) {\nfunc main<ios18>(", f);
  shape->write(f, n);
  fputs(");\n}\n", f);
  if (fclose(f) != 0) abort();
  return text;
}

#endif
