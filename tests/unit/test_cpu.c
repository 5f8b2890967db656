// SPDX-License-Identifier: MIT
// The cpu device against ref: every kernel set, 1 to 3 threads with the same bits, odd sizes,
// broadcasts, strided operands, all floating-point types.
#include "base/cpu.h"
#include "base/pool.h"
#include "base/rng.h"
#include "kernels/rows.h"
#include "op_cases.h"
#include "op_tensors.h"

enum { MAX_THREADS = 3 };

typedef struct test_case {
  const char *inputs, *body, *results;
  double steps, mix;
  bool special;
  int64_t below;  // of integer inputs
} test_case;

static milo_pool *pools[MAX_THREADS + 1];

static void check(const test_case *c, const char *dtype) {
  milo_diag diag = {0};
  tensors in, wanted;
  parse(c->inputs, dtype, &in);
  parse(c->results, dtype, &wanted);
  fill(&in, 7, c->special, c->below ? c->below : 3);
  milo_program *program = program_of(&in, c->body, dtype, &wanted, &diag);
  milo_device *ref = NULL;
  const milo_host plain = {0};
  if (!CHECK(program != NULL) || !CHECK(milo_device_open("ref", &plain, &diag, &ref) == MILO_OK)) {
    printf("# %s\n", milo_diag_text(&diag));
    return;
  }
  const milo_func *func = milo_program_find_func(program, NULL);
  bool good = CHECK(run_on(ref, func, &in, &wanted, &diag) == MILO_OK);
  const unsigned caps = milo_cpu_detect();
  for (int v = 0; good && milo_rows_variants[v] != NULL; v++) {
    if ((milo_rows_variants[v]->caps & ~caps) != 0) continue;
    tensors first = {0};
    for (int threads = 1; threads <= MAX_THREADS; threads++) {
      const milo_host host = {.pool = pools[threads], .cpu_caps = milo_rows_variants[v]->caps};
      milo_device *cpu = NULL;
      tensors got;
      parse(c->results, dtype, &got);
      good = CHECK(milo_device_open("cpu", &host, &diag, &cpu) == MILO_OK) &&
             CHECK(run_on(cpu, func, &in, &got, &diag) == MILO_OK) &&
             CHECK(agree(&got, &wanted, c->steps, c->mix));
      if (threads == 1)
        first = got;
      else if (good)
        good = CHECK(same_bits(&got, &first));
      if (threads > 1) release(&got);
      milo_device_close(cpu);
      if (!good) {
        printf("# %s, %s, %d threads: %s\n", dtype, milo_rows_variants[v]->name, threads, c->body);
        break;
      }
    }
    release(&first);
  }
  if (diag.errors > 0) printf("# %s\n", milo_diag_text(&diag));
  release(&in);
  release(&wanted);
  milo_device_close(ref);
  milo_program_destroy(program);
  milo_diag_deinit(&diag);
}

static void check_all(const test_case *cases, size_t count) {
  static const char *const types[] = {"fp32", "fp16", "bf16"};
  for (size_t i = 0; i < count; i++)
    for (int t = 0; t < 3; t++) check(&cases[i], types[t]);
}
#define CHECK_ALL(cases) check_all(cases, sizeof(cases) / sizeof *(cases))

// ---- cases ----

#define UNARY_CASE(op, steps) \
  { "T[3,171] x", "tensor<T, [3,171]> y = " op ";", "T[3,171] y", steps, 0, true, 0 }

static void test_unary(void) {
  static const test_case cases[] = {
      UNARY_CASE("abs(x = x)", 0),
      UNARY_CASE("sign(x = x)", 0),
      UNARY_CASE("ceil(x = x)", 0),
      UNARY_CASE("floor(x = x)", 0),
      UNARY_CASE("round(x = x)", 0),
      UNARY_CASE("square(x = x)", 1),
      UNARY_CASE("sqrt(x = x)", 1),
      UNARY_CASE("rsqrt(x = x)", 3),
      UNARY_CASE("inverse(x = x)", 3),
      UNARY_CASE("exp(x = x)", 2),
      UNARY_CASE("exp2(x = x)", 2),
      UNARY_CASE("log(x = x)", 3),
      UNARY_CASE("sin(x = x)", 2),
      UNARY_CASE("cos(x = x)", 2),
      UNARY_CASE("tan(x = x)", 2),
      UNARY_CASE("asin(x = x)", 2),
      UNARY_CASE("acos(x = x)", 2),
      UNARY_CASE("atan(x = x)", 2),
      UNARY_CASE("sinh(x = x)", 2),
      UNARY_CASE("cosh(x = x)", 2),
      UNARY_CASE("tanh(x = x)", 3),
      UNARY_CASE("atanh(x = x)", 3),
      UNARY_CASE("erf(x = x)", 3),
      UNARY_CASE("sigmoid(x = x)", 3),
      UNARY_CASE("silu(x = x)", 4),
      UNARY_CASE("relu(x = x)", 0),
      UNARY_CASE("relu6(x = x)", 0),
      UNARY_CASE("softplus(x = x)", 4),
      UNARY_CASE("softsign(x = x)", 2),
      UNARY_CASE("leaky_relu(x = x, alpha = T(0.25))", 1),
      UNARY_CASE("elu(x = x, alpha = T(0.5))", 4),
      UNARY_CASE("clip(x = x, alpha = T(-0.5), beta = T(0.75))", 0),
  };
  CHECK_ALL(cases);
}

static void test_gelu(void) {
  static const test_case cases[] = {
      {"T[5,67] x", "tensor<T, [5,67]> y = gelu(x = x, mode = string(\"EXACT\"));", "T[5,67] y", 6,
       1, false, 0},
      {"T[5,67] x", "tensor<T, [5,67]> y = gelu(x = x, mode = string(\"TANH_APPROXIMATION\"));",
       "T[5,67] y", 6, 1, false, 0},
      {"T[5,67] x", "tensor<T, [5,67]> y = gelu(x = x, mode = string(\"SIGMOID_APPROXIMATION\"));",
       "T[5,67] y", 6, 1, false, 0},
  };
  CHECK_ALL(cases);
}

#define BINARY_CASE(op, type, steps)                                                              \
  {"T[4,1,133] x, T[3,133] z",                                                                    \
   "tensor<" type ", [4,3,133]> y = " op "(x = x, y = z);",                                       \
   type "[4,3,133] y",                                                                            \
   steps,                                                                                         \
   0,                                                                                             \
   true,                                                                                          \
   0},                                                                                            \
      {"T[7,1] x, T[7,9] z",                                                                      \
       "tensor<" type ", [7,9]> y = " op "(x = x, y = z);",                                       \
       type "[7,9] y",                                                                            \
       steps,                                                                                     \
       0,                                                                                         \
       true,                                                                                      \
       0},                                                                                        \
  {                                                                                               \
    "T[2,515] x, T[] z", "tensor<" type ", [2,515]> y = " op "(x = x, y = z);", type "[2,515] y", \
        steps, 0, true, 0                                                                         \
  }

static void test_binary(void) {
  static const test_case cases[] = {
      BINARY_CASE("add", "T", 1),
      BINARY_CASE("sub", "T", 1),
      BINARY_CASE("mul", "T", 1),
      BINARY_CASE("real_div", "T", 1),
      BINARY_CASE("maximum", "T", 0),
      BINARY_CASE("minimum", "T", 0),
      BINARY_CASE("pow", "T", 2),
      BINARY_CASE("equal", "bool", 0),
      BINARY_CASE("not_equal", "bool", 0),
      BINARY_CASE("less", "bool", 0),
      BINARY_CASE("less_equal", "bool", 0),
      BINARY_CASE("greater", "bool", 0),
      BINARY_CASE("greater_equal", "bool", 0),
  };
  CHECK_ALL(cases);
}

static void test_integers(void) {
  static const test_case cases[] = {
      {"int32[5,7] x, int32[7] z",
       "tensor<int32, [5,7]> a = add(x = x, y = z); tensor<int32, [5,7]> b = mul(x = a, y = x);"
       "tensor<bool, [5,7]> c = less(x = b, y = z); tensor<bool, [5,7]> d = logical_not(x = c);"
       "tensor<int32, [5,7]> y = select(cond = d, a = a, b = b);"
       "tensor<fp32, [5,7]> f = cast(x = y, dtype = string(\"fp32\"));",
       "int32[5,7] y, fp32[5,7] f, bool[5,7] d", 0, 0, false, 100},
      {"T[5,77] x",
       "tensor<int32, [5,77]> i = cast(x = x, dtype = string(\"int32\"));"
       "tensor<fp16, [5,77]> h = cast(x = x, dtype = string(\"fp16\"));"
       "tensor<fp32, [5,77]> f = cast(x = h, dtype = string(\"fp32\"));"
       "tensor<bool, [5,77]> b = cast(x = x, dtype = string(\"bool\"));",
       "int32[5,77] i, fp32[5,77] f, bool[5,77] b", 0, 0, false, 0},
  };
  CHECK_ALL(cases);
}

// Chains become one loop; transposed and sliced operands are read where they are.
static void test_chains(void) {
  static const test_case cases[] = {
      {"T[6,70] x, T[70] w, T[6,1] s",
       "tensor<T, [6,70]> a = mul(x = x, y = w); tensor<T, [6,70]> b = add(x = a, y = s);"
       "tensor<T, [6,70]> c = tanh(x = b); tensor<T, [6,70]> d = sub(x = c, y = x);"
       "tensor<bool, [6,70]> e = less(x = d, y = w);"
       "tensor<T, [6,70]> g = square(x = d);"
       "tensor<T, [6,70]> y = select(cond = e, a = g, b = x);",
       "T[6,70] y", 8, 8, false, 0},
      {"T[9,5,4] x, T[4,9,5] z",
       "tensor<T, [4,9,5]> a = transpose(x = x, perm = tensor<int32, [3]>([2,0,1]));"
       "tensor<T, [4,9,5]> b = add(x = a, y = z); tensor<T, [4,9,5]> c = mul(x = b, y = a);"
       "tensor<T, [4,45]> y = reshape(x = c, shape = tensor<int32, [2]>([4,45]));",
       "T[4,45] y", 4, 4, false, 0},
      {"T[9,40] x",
       "tensor<T, [9,10]> a = slice_by_index(x = x, begin = tensor<int32, [2]>([0,3]), "
       "end = tensor<int32, [2]>([9,33]), stride = tensor<int32, [2]>([1,3]));"
       "tensor<T, [9,10]> b = reverse(x = a, axes = tensor<int32, [1]>([1]));"
       "tensor<T, [9,10]> y = sub(x = a, y = b);",
       "T[9,10] y", 1, 0, false, 0},
      {"T[3,8,2,6] x",
       "tensor<T, [3,2,8,6]> a = transpose(x = x, perm = tensor<int32, [4]>([0,2,1,3]));"
       "tensor<T, [3,2,8,6]> b = exp(x = a);"
       "tensor<T, [3,8,2,6]> d = transpose(x = b, perm = tensor<int32, [4]>([0,2,1,3]));"
       "tensor<T, [24,12]> y = reshape(x = d, shape = tensor<int32, [2]>([24,12]));",
       "T[24,12] y, T[3,2,8,6] b", 3, 0, false, 0},
      {"T[8] x", "tensor<T, [8]> y = identity(x = x); tensor<T, [8]> z = add(x = x, y = x);",
       "T[8] y, T[8] x, T[8] z", 0, 0, false, 0},
      {"T[0,5] x", "tensor<T, [0,5]> y = exp(x = x);", "T[0,5] y", 0, 0, false, 0},
  };
  CHECK_ALL(cases);
}

// Nothing in an axis, also where the device hands an operation to its definition (fp64).
static void test_empty(void) {
  static const test_case cases[] = {
      {"T[0,3] x, T[3,2] w",
       "tensor<T, [0,2]> m = matmul(x = x, y = w); tensor<T, [0,2]> r = relu(x = m);"
       "tensor<T, [2]> s = reduce_sum(x = r, axes = tensor<int32, [1]>([0]));"
       "tensor<T, [3,3]> y = matmul(x = x, y = x, transpose_x = bool(true));",
       "T[0,2] r, T[2] s, T[3,3] y", 0, 0, false, 0},
      {"T[0,3] x, T[2,3] w, T[3] g, int32[0] i",
       "tensor<T, [2,3]> c = concat(values = (x, w), axis = int32(0));"
       "tensor<T, [0,3]> a = softmax(x = x);"
       "tensor<T, [0,3]> b = layer_norm(x = x, axes = tensor<int32, [1]>([1]), gamma = g);"
       "tensor<T, [0,3]> d = gather(x = w, indices = i, axis = int32(0));"
       "tensor<T, [2,3]> e = scatter(data = w, indices = i, updates = x, axis = int32(0));"
       "tensor<T, [2,3]> f = pad(x = x, pad = tensor<int32, [4]>([1,1,0,0]));",
       "T[2,3] c, T[0,3] a, T[0,3] b, T[0,3] d, T[2,3] e, T[2,3] f", 0, 0, false, 0},
      {"T[2,0] x, T[0,2,4,4] z, T[3,2,2,2] k",
       "tensor<T, [0,2]> t = transpose(x = x, perm = tensor<int32, [2]>([1,0]));"
       "tensor<T, [4,0]> u = tile(x = x, reps = tensor<int32, [2]>([2,3]));"
       "tensor<T, [2,0]> c = cumsum(x = x, axis = int32(0));"
       "tensor<T, [2]> p = reduce_prod(x = x, axes = tensor<int32, [1]>([1]));"
       "tensor<T, [2,0,2]> s = stack(values = (x, c), axis = int32(2));"
       "tensor<T, [0,3,3,3]> y = conv(x = z, weight = k);",
       "T[0,2] t, T[4,0] u, T[2,0] c, T[2] p, T[2,0,2] s, T[0,3,3,3] y", 0, 0, false, 0},
  };
  CHECK_ALL(cases);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check(&cases[i], "fp64");
}

static void test_matrix(void) {
  static const test_case cases[] = {
      {"T[33,50] x, T[50,17] z", "tensor<T, [33,17]> y = matmul(x = x, y = z);", "T[33,17] y", 4,
       16, false, 0},
      {"T[50,33] x, T[17,50] z",
       "tensor<T, [33,17]> y = matmul(x = x, y = z, transpose_x = bool(true), transpose_y = "
       "bool(true));",
       "T[33,17] y", 4, 16, false, 0},
      {"T[7,300] x, T[530,300] z",
       "tensor<T, [7,530]> y = matmul(x = x, y = z, transpose_y = bool(true));", "T[7,530] y", 4,
       32, false, 0},
      {"T[2,3,5,40] x, T[3,40,6] z", "tensor<T, [2,3,5,6]> y = matmul(x = x, y = z);",
       "T[2,3,5,6] y", 4, 16, false, 0},
      {"T[3,11,40] x, T[40,6] z", "tensor<T, [3,11,6]> y = matmul(x = x, y = z);", "T[3,11,6] y", 4,
       16, false, 0},
      {"T[20,3,5] x, T[20,3,6] z",
       "tensor<T, [20,5,6]> y = matmul(x = x, y = z, transpose_x = bool(true));", "T[20,5,6] y", 4,
       16, false, 0},
      {"T[1,64] x, T[65,64] z",
       "tensor<T, [1,65]> y = matmul(x = x, y = z, transpose_y = bool(true));", "T[1,65] y", 4, 16,
       false, 0},
      {"T[3,64] x, T[5,64] z",
       "tensor<T, [3,5]> y = matmul(x = x, y = z, transpose_y = bool(true));", "T[3,5] y", 4, 16,
       false, 0},
      {"T[4,6,10] x, T[12,10] z, T[12] b",
       "tensor<T, [4,6,12]> y = linear(x = x, weight = z, bias = b);", "T[4,6,12] y", 4, 16, false,
       0},
      {"T[40] x, T[9,40] z, T[9] b", "tensor<T, [9]> y = linear(x = x, weight = z, bias = b);",
       "T[9] y", 4, 16, false, 0},
      {"T[20,900] x, T[600,900] z, T[1200] b",
       "tensor<T, [600]> c = slice_by_index(x = b, begin = tensor<int32, [1]>([1]), end = "
       "tensor<int32, [1]>([1200]), stride = tensor<int32, [1]>([2]));"
       "tensor<T, [20,600]> y = linear(x = x, weight = z, bias = c);",
       "T[20,600] y", 4, 64, false, 0},
      {"T[13,5,4,4] x, T[6,5,1,1] z, T[6] b",
       "tensor<T, [13,6,4,4]> y = conv(x = x, weight = z, bias = b, strides = tensor<int32, "
       "[2]>([1,1]), pad_type = string(\"valid\"), pad = tensor<int32, [4]>([0,0,0,0]), dilations "
       "= tensor<int32, [2]>([1,1]), groups = int32(1));",
       "T[13,6,4,4] y", 4, 16, false, 0},
      {"T[2,9,3,5] x, T[7,9,1,1] z, T[7] b",
       "tensor<T, [2,7,3,5]> y = conv(x = x, weight = z, bias = b, strides = tensor<int32, "
       "[2]>([1,1]), pad_type = string(\"valid\"), pad = tensor<int32, [4]>([0,0,0,0]), dilations "
       "= tensor<int32, [2]>([1,1]), groups = int32(1));",
       "T[2,7,3,5] y", 4, 16, false, 0},
      {"T[2,4,9,9] x, T[6,4,3,3] z",
       "tensor<T, [2,6,7,7]> y = conv(x = x, weight = z, strides = tensor<int32, [2]>([1,1]), "
       "pad_type = string(\"valid\"), pad = tensor<int32, [4]>([0,0,0,0]), dilations = "
       "tensor<int32, [2]>([1,1]), groups = int32(1));",
       "T[2,6,7,7] y", 4, 16, false, 0},
      {"T[4,600] x, T[600,5] z", "tensor<T, [4,5]> y = matmul(x = x, y = z);", "T[4,5] y", 4, 32,
       false, 0},
      {"T[40,6,20] x, T[20,40,3] z",
       "tensor<T, [6,40,20]> a = transpose(x = x, perm = tensor<int32, [3]>([1,0,2]));"
       "tensor<T, [3,20,40]> b = transpose(x = z, perm = tensor<int32, [3]>([2,0,1]));"
       "tensor<T, [3,20,40]> c = slice_by_size(x = b, begin = tensor<int32, [3]>([0,0,0]), size = "
       "tensor<int32, [3]>([3,20,40]));"
       "tensor<T, [3,40,20]> d = slice_by_size(x = a, begin = tensor<int32, [3]>([2,0,0]), size = "
       "tensor<int32, [3]>([3,40,20]));"
       "tensor<T, [3,40,40]> y = matmul(x = d, y = c);",
       "T[3,40,40] y", 4, 16, false, 0},
  };
  CHECK_ALL(cases);
}

static void test_rows(void) {
  static const test_case cases[] = {
      {"T[7,133] x", "tensor<T, [7,133]> y = softmax(x = x, axis = int32(-1));", "T[7,133] y", 16,
       0, false, 0},
      {"T[5,6,7] x", "tensor<T, [5,6,7]> y = softmax(x = x, axis = int32(1));", "T[5,6,7] y", 16, 0,
       false, 0},
      {"T[9,67] x, T[67] w",
       "tensor<T, [9,67]> y = rms_norm(x = x, weight = w, epsilon = fp32(1e-5));", "T[9,67] y", 8,
       0, false, 0},
      {"T[200,67] g, T[200,67] x, T[67] w",
       "tensor<T, [200,67]> y, tensor<T, [67]> z = rms_norm_grad(grad = g, x = x, weight = w, "
       "epsilon = fp32(1e-5));",
       "T[200,67] y, T[67] z", 16, 16, false, 0},
      {"T[4,3,21] x, T[3,21] w, T[3,21] b",
       "tensor<T, [4,3,21]> y = layer_norm(x = x, axes = tensor<int32, [2]>([1,2]), gamma = w, "
       "beta = b, epsilon = T(1e-5));",
       "T[4,3,21] y", 16, 8, false, 0},
  };
  CHECK_ALL(cases);
}

#define REDUCE_CASES(op, steps)                                                               \
  {"T[5,6,70] x",                                                                             \
   "tensor<T, [5,6]> y = reduce_" op                                                          \
   "(x = x, axes = tensor<int32, [1]>([2]), keep_dims = bool(false));",                       \
   "T[5,6] y",                                                                                \
   steps,                                                                                     \
   steps,                                                                                     \
   false,                                                                                     \
   0},                                                                                        \
      {"T[130,300] x",                                                                        \
       "tensor<T, [1,300]> y = reduce_" op                                                    \
       "(x = x, axes = tensor<int32, [1]>([0]), keep_dims = bool(true));",                    \
       "T[1,300] y",                                                                          \
       steps,                                                                                 \
       steps,                                                                                 \
       false,                                                                                 \
       0},                                                                                    \
      {"T[4,5,6,3] x",                                                                        \
       "tensor<T, [5,3]> y = reduce_" op                                                      \
       "(x = x, axes = tensor<int32, [2]>([0,2]), keep_dims = bool(false));",                 \
       "T[5,3] y",                                                                            \
       steps,                                                                                 \
       steps,                                                                                 \
       false,                                                                                 \
       0},                                                                                    \
  {                                                                                           \
    "T[7,11] x", "tensor<T, []> y = reduce_" op "(x = x, keep_dims = bool(false));", "T[] y", \
        steps, steps, false, 0                                                                \
  }

static void test_reductions(void) {
  static const test_case cases[] = {
      REDUCE_CASES("sum", 16),     REDUCE_CASES("mean", 16),       REDUCE_CASES("max", 0),
      REDUCE_CASES("min", 0),      REDUCE_CASES("sum_square", 16), REDUCE_CASES("l1_norm", 16),
      REDUCE_CASES("l2_norm", 16), REDUCE_CASES("log_sum_exp", 8),
  };
  CHECK_ALL(cases);
  static const test_case long_row[] = {
      {"T[2,70001] x",
       "tensor<T, [2]> y = reduce_sum_square(x = x, axes = tensor<int32, [1]>([1]), keep_dims = "
       "bool(false));"
       "tensor<T, [2]> z = reduce_max(x = x, axes = tensor<int32, [1]>([1]), keep_dims = "
       "bool(false));",
       "T[2] y, T[2] z", 4, 0, false, 0},
  };
  check(&long_row[0], "fp32");
}

static void test_moves(void) {
  static const test_case cases[] = {
      {"T[3,4] x, T[3,5] z",
       "tensor<T, [3,9]> y = concat(values = (x, z), axis = int32(1), interleave = bool(false));"
       "tensor<T, [9,3]> t = transpose(x = y, perm = tensor<int32, [2]>([1,0]));"
       "tensor<T, [27]> r = reshape(x = t, shape = tensor<int32, [1]>([27]));",
       "T[3,9] y, T[27] r", 0, 0, false, 0},
      {"T[3,4] x, T[3,4] z",
       "tensor<T, [3,2,4]> y = stack(values = (x, z), axis = int32(1));"
       "tensor<T, [6,4]> w = concat(values = (x, z), axis = int32(0), interleave = bool(true));",
       "T[3,2,4] y, T[6,4] w", 0, 0, false, 0},
      {"T[3,10] x",
       "tensor<T, [3,4]> a, tensor<T, [3,6]> b = split(x = x, axis = int32(1), split_sizes = "
       "tensor<int32, [2]>([4,6]));"
       "tensor<T, [6,12]> y = tile(x = b, reps = tensor<int32, [2]>([2,2]));",
       "T[3,4] a, T[3,6] b, T[6,12] y", 0, 0, false, 0},
      {"T[11,70] x, int32[5] i",
       "tensor<T, [5,70]> y = gather(x = x, indices = i, axis = int32(0));"
       "tensor<T, [11,5]> z = gather(x = x, indices = i, axis = int32(1));",
       "T[5,70] y, T[11,5] z", 0, 0, false, 11},
      {"T[11,70] x, int32[25] i, T[25,70] u",
       "tensor<T, [11,70]> y = scatter(data = x, indices = i, updates = u, axis = int32(0), mode = "
       "string(\"add\"));",
       "T[11,70] y", 8, 8, false, 11},
      {"T[4,20,3] x, int32[1] p, T[4,2,3] u",
       "tensor<int32, [1]> two = const()[name = string(\"two\"), val = tensor<int32, [1]>([2])];"
       "tensor<int32, [1]> q = add(x = p, y = two);"
       "tensor<int32, [1]> nil = const()[name = string(\"nil\"), val = tensor<int32, [1]>([0])];"
       "tensor<int32, [1]> four = const()[name = string(\"four\"), val = tensor<int32, [1]>([4])];"
       "tensor<int32, [3]> b = concat(values = (nil, p, nil), axis = int32(0), interleave = "
       "bool(false));"
       "tensor<int32, [3]> e = concat(values = (four, q, four), axis = int32(0), interleave = "
       "bool(false));"
       "tensor<T, [4,20,3]> y = slice_update(x = x, update = u, begin = b, end = e, end_mask = "
       "tensor<bool, [3]>([true,false,true]));",
       "T[4,20,3] y", 0, 0, false, 18},
  };
  CHECK_ALL(cases);
}

static void test_composites(void) {
  static const test_case cases[] = {
      {"T[2,6,4,8] x, T[4,4] c, T[4,4] s",
       "tensor<T, [2,6,4,8]> y = rope(x = x, cos = c, sin = s, pairing = string(\"adjacent\"));"
       "tensor<T, [2,6,4,8]> z = rope(x = x, cos = c, sin = s, pairing = string(\"half\"), inverse "
       "= bool(true));",
       "T[2,6,4,8] y, T[2,6,4,8] z", 2, 2, false, 0},
      {"T[2,7,3,10] x, T[7,5] c, T[7,5] s",
       "tensor<T, [2,3,7,10]> t = transpose(x = x, perm = tensor<int32, [4]>([0,2,1,3]));"
       "tensor<T, [2,3,7,10]> r = rope(x = t, cos = c, sin = s, pairing = string(\"adjacent\"));"
       "tensor<T, [2,7,3,10]> b = transpose(x = r, perm = tensor<int32, [4]>([0,2,1,3]));"
       "tensor<T, [14,30]> y = reshape(x = b, shape = tensor<int32, [2]>([14,30]));",
       "T[14,30] y", 2, 2, false, 0},
      {"T[2,4,70,8] q, T[2,2,70,8] k, T[2,2,70,8] v",
       "tensor<T, [2,4,70,8]> y, tensor<T, [2,4,70]> l = attention(query = q, key = k, value = v, "
       "scale = fp32(0.35), causal = bool(true));",
       "T[2,4,70,8] y, T[2,4,70] l", 16, 16, false, 0},
      {"T[1,3,5,20] q, T[1,3,33,20] k, T[1,3,33,20] v, int32[] p",
       "tensor<T, [1,3,5,20]> y, tensor<T, [1,3,5]> l = attention(query = q, key = k, value = v, "
       "scale = fp32(0.3), causal = bool(true), position = p);"
       "tensor<T, [1,3,5,20]> z, tensor<T, [1,3,5]> m = attention(query = q, key = k, value = v, "
       "scale = fp32(-0.3), causal = bool(false));",
       "T[1,3,5,20] y, T[1,3,5] l, T[1,3,5,20] z, T[1,3,5] m", 16, 16, false, 28},
      {"fp32[2,4,70,8] g, fp32[2,4,70,8] q, fp32[2,2,70,8] k, fp32[2,2,70,8] v",
       "tensor<fp32, [2,4,70,8]> y, tensor<fp32, [2,4,70]> l = attention(query = q, key = k, value "
       "= v, scale = fp32(0.35), causal = bool(true));"
       "tensor<fp32, [2,4,70,8]> dq, tensor<fp32, [2,2,70,8]> dk, tensor<fp32, [2,2,70,8]> dv = "
       "attention_grad(grad = g, query = q, key = k, value = v, out = y, lse = l, scale = "
       "fp32(0.35), causal = bool(true));",
       "fp32[2,4,70,8] dq, fp32[2,2,70,8] dk, fp32[2,2,70,8] dv", 16, 16, false, 0},
      {"fp32[2,9,3,64] g, fp32[2,9,192] q, fp32[2,9,3,64] k, fp32[2,9,3,64] v",
       "tensor<fp32, [2,9,3,64]> q1 = reshape(x = q, shape = tensor<int32, [4]>([2,9,3,64]));"
       "tensor<fp32, [2,3,9,64]> q2 = transpose(x = q1, perm = tensor<int32, [4]>([0,2,1,3]));"
       "tensor<fp32, [2,3,9,64]> k2 = transpose(x = k, perm = tensor<int32, [4]>([0,2,1,3]));"
       "tensor<fp32, [2,3,9,64]> v2 = transpose(x = v, perm = tensor<int32, [4]>([0,2,1,3]));"
       "tensor<fp32, [2,3,9,64]> g2 = transpose(x = g, perm = tensor<int32, [4]>([0,2,1,3]));"
       "tensor<fp32, [2,3,9,64]> y, tensor<fp32, [2,3,9]> l = attention(query = q2, key = k2, "
       "value "
       "= v2, scale = fp32(0.125), causal = bool(true));"
       "tensor<fp32, [2,3,9,64]> dq, tensor<fp32, [2,3,9,64]> dk, tensor<fp32, [2,3,9,64]> dv = "
       "attention_grad(grad = g2, query = q2, key = k2, value = v2, out = y, lse = l, scale = "
       "fp32(0.125), causal = bool(true));"
       "tensor<fp32, [2,9,3,64]> t = transpose(x = dq, perm = tensor<int32, [4]>([0,2,1,3]));"
       "tensor<fp32, [18,192]> r = reshape(x = t, shape = tensor<int32, [2]>([18,192]));",
       "fp32[18,192] r, fp32[2,3,9,64] dk, fp32[2,3,9,64] dv", 16, 16, false, 0},
      {"T[9,301] x, int32[9] t",
       "tensor<T, [9]> y, tensor<T, [9]> l = cross_entropy(logits = x, target = t);"
       "tensor<T, [9,301]> z = cross_entropy_grad(grad = y, logits = x, target = t, lse = l);",
       "T[9] y, T[9,301] z", 32, 4, false, 301},
      {"T[9,301] x, T[9,301] z, T[9,301] g",
       "tensor<T, [9,301]> y = silu_gate(x = x, y = z);"
       "tensor<T, [9,301]> a, tensor<T, [9,301]> b = silu_gate_grad(grad = g, x = x, y = z);",
       "T[9,301] y, T[9,301] a, T[9,301] b", 6, 2, false, 0},
  };
  CHECK_ALL(cases);
}

// The cases worked out by hand, with every kernel set and several threads.
static void test_hand_cases(void) {
  const unsigned caps = milo_cpu_detect();
  for (int v = 0; milo_rows_variants[v] != NULL; v++) {
    if ((milo_rows_variants[v]->caps & ~caps) != 0) continue;
    const milo_host host = {.pool = pools[2], .cpu_caps = milo_rows_variants[v]->caps};
    milo_device *device;
    if (!CHECK(milo_device_open("cpu", &host, NULL, &device) == MILO_OK)) continue;
    for (int i = 0; i < OP_CASE_COUNT; i++) {
      static run_tensors inputs, results, wanted;
      milo_diag diag = {0};
      run_parse(op_cases[i].inputs, &inputs);
      run_parse(op_cases[i].results, &wanted);
      results = wanted;
      milo_program *program = run_program(&inputs, op_cases[i].body, &wanted, &diag);
      if (!CHECK(program != NULL) ||
          !CHECK(run_func(device, milo_program_find_func(program, NULL), &inputs, &results,
                          &diag) == MILO_OK) ||
          !CHECK(run_compare(&results, &wanted, 4)))
        printf("# %s: %s\n# %s\n", milo_rows_variants[v]->name, op_cases[i].body,
               milo_diag_text(&diag));
      milo_program_destroy(program);
      milo_diag_deinit(&diag);
    }
    milo_device_close(device);
  }
}

// ---- donated inputs ----

int main(void) {
  for (int threads = 1; threads <= MAX_THREADS; threads++)
    if (milo_pool_create(threads, NULL, &pools[threads]) != MILO_OK) abort();
  RUN(test_hand_cases);
  RUN(test_unary);
  RUN(test_gelu);
  RUN(test_binary);
  RUN(test_integers);
  RUN(test_chains);
  RUN(test_empty);
  RUN(test_matrix);
  RUN(test_rows);
  RUN(test_reductions);
  RUN(test_moves);
  RUN(test_composites);
  for (int threads = 1; threads <= MAX_THREADS; threads++) milo_pool_destroy(pools[threads]);
  return tap_done();
}
