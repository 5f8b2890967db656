// SPDX-License-Identifier: MIT
// cpu against ref on the numbers that break things: zeros of both signs, denormals, the ends of the
// range, halves, big odd integers, infinities, NaN. All elementwise operations of the table, all
// pairs of numbers for those of two arguments; casts; operations on rows. Signs of zeros,
// infinities and NaN must be the same, other numbers near.
#include "base/cpu.h"
#include "device/device.h"
#include "kernels/rows.h"
#include "op_run.h"

enum { MAX_INPUTS = 4, MAX_OUTPUTS = 3 };

static double values[64];
static size_t value_count;

static void add_value(double v) {
  values[value_count++] = v;
  values[value_count++] = -v;
}

typedef enum range {
  EXACT,   // no sum of three is rounded
  MIDDLE,  // and denormals, big odd integers, fractions
  WHOLE,   // and the greatest numbers
} range;

static void make_values(milo_dtype dtype, range upto) {
  static const double halves[] = {0, 0.5, 1, 1.5, 2.5, 3, 6, 7, 0.75, 17.25, 104};
  static const double odd[] = {0.2, 88.7, 2047, 4095.5, 8388607.5, 8388609, 16777215};
  static const double ends[4][3] = {
      {0x1p-149, 0x1.fffffcp-127, 0x1p-126},  // least, greatest denormal; least normal
      {0x1p-24, 0x1.ff8p-15, 0x1p-14},
      {0x1p-133, 0x1.fcp-127, 0x1p-126},
      {0x1p-1074, 0x1.ffffffffffffep-1023, 0x1p-1022}};
  static const double greatest[4] = {0x1.fffffep127, 65504, 0x1.fep127, 0x1.fffffffffffffp1023};
  const int f = dtype == MILO_FP16 ? 1 : dtype == MILO_BF16 ? 2 : dtype == MILO_FP64 ? 3 : 0;
  value_count = 0;
  for (size_t i = 0; i < sizeof halves / sizeof *halves; i++) add_value(halves[i]);
  for (size_t i = 0; i < 3 && upto >= MIDDLE; i++) add_value(ends[f][i]);
  for (size_t i = 0; i < sizeof odd / sizeof *odd && upto >= MIDDLE; i++)
    if (odd[i] < greatest[f]) add_value(odd[i]);
  if (upto == WHOLE) add_value(greatest[f]);
  add_value((double)INFINITY);
  values[value_count++] = (double)NAN;
}

typedef struct special_case {
  const char *dtype;
  milo_str inputs, body, results;  // of a function
  size_t input_count, output_count, elements;
  milo_type in[MAX_INPUTS];
  double steps, floor;  // units of the result, or of floor if it is less
  // Number at (input, element).
  double (*fill)(const struct special_case *c, size_t input, size_t element);
} special_case;

static milo_pool *const no_pool = NULL;

static bool run_on(milo_device *device, const milo_func *func, const special_case *c,
                   milo_buffer **out, milo_type *types) {
  milo_diag diag = {0};
  milo_run *executable;
  bool good = CHECK(milo_run_compile(device, func, NULL, &diag, &executable) == MILO_OK);
  milo_buffer *in[MAX_INPUTS] = {0};
  for (size_t i = 0; good && i < c->input_count; i++) {
    const milo_type *type = &func->body->params[i]->type;
    if (milo_buffer_alloc(milo_type_bytes(type), NULL, &in[i]) != MILO_OK) abort();
    for (size_t k = 0; k < milo_type_elements(type); k++)
      milo_number_store(type->dtype, in[i]->data, k, c->fill(c, i, k));
  }
  for (size_t i = 0; good && i < c->output_count; i++) {
    types[i] = milo_executable_output(milo_run_executable(executable), i)->type;
    if (milo_buffer_alloc(milo_type_bytes(&types[i]), NULL, &out[i]) != MILO_OK) abort();
  }
  good = good && CHECK(milo_run_execute(executable, in, out, &diag) == MILO_OK);
  if (diag.errors > 0) printf("# %s\n", milo_diag_text(&diag));
  for (size_t i = 0; i < c->input_count; i++) milo_buffer_release(in[i]);
  milo_run_destroy(executable);
  milo_diag_deinit(&diag);
  return good;
}

// Least positive number of the type: what its results are rounded to near zero.
static double least(milo_dtype dtype) {
  return dtype == MILO_FP16 ? 0x1p-24 : dtype == MILO_BF16 ? 0x1p-133 : 0x1p-149;
}

static bool agree(const special_case *c, const milo_type *type, const void *got, const void *wanted,
                  const char *variant) {
  int shown = 0;
  const size_t count = milo_type_elements(type);
  for (size_t k = 0; k < count; k++) {
    const double g = milo_number_load(type->dtype, got, k);
    const double w = milo_number_load(type->dtype, wanted, k);
    const double unit = run_unit(type->dtype);
    double bound = 0;
    if (unit > 0 && isfinite(w) && c->steps > 0)
      bound = unit * c->steps * fmax(fabs(w), c->floor) + 2 * least(type->dtype);
    if (compare_same(g, w) || (g != w && compare_near(g, w, bound))) continue;
    if (++shown > 6) continue;
    printf("# %s, %s: %s [%zu]: got %.9g, wanted %.9g;", c->dtype, variant, c->body.data, k, g, w);
    for (size_t i = 0; i < c->input_count; i++) printf(" %.9g", c->fill(c, i, k));
    printf("\n");
  }
  return shown == 0;
}

static void check(special_case *c) {
  milo_diag diag = {0};
  milo_str text = {0};
  milo_str_printf(&text, "program(1.3) {\n func main<ios18>(%s) {\n %s\n } -> (%s);\n}\n",
                  c->inputs.data, c->body.data, c->results.data);
  milo_program *program = NULL;
  if (!CHECK(milo_text_parse(text.data, text.bytes, "case.mil", &diag, &program) == MILO_OK)) {
    printf("# %s\n# %s\n", milo_diag_text(&diag), text.data);
  } else {
    const milo_func *func = milo_program_find_func(program, NULL);
    milo_buffer *wanted[MAX_OUTPUTS] = {0};
    milo_type types[MAX_OUTPUTS];
    milo_device *ref;
    const milo_host plain = {0};
    bool good = CHECK(milo_device_open("ref", &plain, &diag, &ref) == MILO_OK) &&
                run_on(ref, func, c, wanted, types);
    milo_device_close(ref);
    for (int v = 0; good && milo_rows_variants[v] != NULL; v++) {
      if ((milo_rows_variants[v]->caps & ~milo_cpu_detect()) != 0) continue;
      const milo_host host = {.pool = no_pool, .cpu_caps = milo_rows_variants[v]->caps};
      milo_buffer *got[MAX_OUTPUTS] = {0};
      milo_device *cpu;
      good = CHECK(milo_device_open("cpu", &host, &diag, &cpu) == MILO_OK) &&
             run_on(cpu, func, c, got, types);
      for (size_t i = 0; good && i < c->output_count; i++)
        CHECK(agree(c, &types[i], got[i]->data, wanted[i]->data, milo_rows_variants[v]->name));
      for (size_t i = 0; i < c->output_count; i++) milo_buffer_release(got[i]);
      milo_device_close(cpu);
    }
    for (size_t i = 0; i < c->output_count; i++) milo_buffer_release(wanted[i]);
    if (!good) printf("# %s\n", text.data);
  }
  milo_program_destroy(program);
  milo_str_deinit(&text);
  milo_str_deinit(&c->inputs);
  milo_str_deinit(&c->body);
  milo_str_deinit(&c->results);
  milo_diag_deinit(&diag);
}

// ---- elementwise ----

// One argument: each number; two: each pair; a condition: in turns.
static double pair_fill(const special_case *c, size_t input, size_t element) {
  if (c->in[input].dtype == MILO_BOOL && milo_dtype_find(c->dtype) != MILO_BOOL)
    return (double)(element % 2);
  const size_t at = input + 1 == c->input_count ? element % value_count : element / value_count;
  return values[at % value_count];
}

// Bounds are those of tests/kernels/test_elementwise.c, rounding to the type included.
static double steps_of(milo_opcode code) {
  static const milo_opcode exact[] = {
      MILO_OP_abs,     MILO_OP_sign,    MILO_OP_ceil,     MILO_OP_floor,
      MILO_OP_round,   MILO_OP_relu,    MILO_OP_relu6,    MILO_OP_clip,
      MILO_OP_maximum, MILO_OP_minimum, MILO_OP_identity, MILO_OP_select,
  };
  for (size_t i = 0; i < sizeof exact / sizeof *exact; i++)
    if (exact[i] == code) return 0;
  return code == MILO_OP_gelu ? 90 : 4;
}

static void check_elementwise(milo_opcode code, const char *dtype, const char *extra) {
  const milo_op_info *info = milo_op_info_get(code);
  special_case c = {.dtype = dtype, .output_count = 1, .fill = pair_fill};
  static const char *const names[] = {"a", "b", "c", "d"};
  milo_str call = {0};
  size_t numbers = 0;
  // What falls below the least denormal on the way is 0 then, though a large factor follows.
  make_values(milo_dtype_find(dtype), code == MILO_OP_silu_gate ? EXACT : WHOLE);
  if (code == MILO_OP_silu_gate)
    for (size_t i = 0; i < value_count; i++)
      if (fabs(values[i]) == 104) values[i] /= 2;
  for (int p = 0; p < MILO_MAX_PARAMS && info->params[p].name != NULL; p++) {
    const milo_param *param = &info->params[p];
    if ((param->flags & (MILO_PARAM_CONST | MILO_PARAM_OPTIONAL)) != 0) continue;
    const bool condition = param->type == MILO_PARAM_BOOL;
    c.in[c.input_count] = milo_type_tensor(condition ? MILO_BOOL : milo_dtype_find(dtype), 0, NULL);
    numbers += !condition;
    milo_str_printf(&call, "%s%s = %s", c.input_count > 0 ? ", " : "", param->name,
                    names[c.input_count]);
    c.input_count++;
  }
  c.elements = numbers > 1 ? value_count * value_count : value_count;
  for (size_t i = 0; i < c.input_count; i++)
    milo_str_printf(&c.inputs, "%stensor<%s, [%zu]> %s", i > 0 ? ", " : "",
                    milo_dtype_name(c.in[i].dtype), c.elements, names[i]);
  const bool flag = strncmp(info->name, "logical", 7) == 0 || strstr(info->name, "equal") != NULL ||
                    strcmp(info->name, "less") == 0 || strcmp(info->name, "greater") == 0;
  milo_str_printf(&c.body, "tensor<%s, [%zu]> y = %s(%s%s)[name = string(\"y\")];",
                  flag ? "bool" : dtype, c.elements, info->name, call.data, extra);
  milo_str_puts(&c.results, "y");
  c.steps = steps_of(code);
  if (code == MILO_OP_silu) c.floor = 1e-36;  // e^-104 is 0
  milo_str_deinit(&call);
  check(&c);
}

// Constant arguments of the operations that need some, several sets.
static const struct {
  milo_opcode code;
  const char *arguments;  // T stands for the type
} constants[] = {
    {MILO_OP_leaky_relu, ", alpha = T(0.25)"},
    {MILO_OP_leaky_relu, ", alpha = T(-0.5)"},
    {MILO_OP_elu, ", alpha = T(0.5)"},
    {MILO_OP_elu, ", alpha = T(0)"},
    {MILO_OP_clip, ", alpha = T(-0.5), beta = T(0.75)"},
    {MILO_OP_clip, ", alpha = T(0), beta = T(6)"},
    {MILO_OP_clip, ", alpha = T(-0.0), beta = T(0)"},
    {MILO_OP_clip, ", alpha = T(2), beta = T(1)"},
    {MILO_OP_rsqrt, ", epsilon = T(0)"},
    {MILO_OP_inverse, ", epsilon = T(0)"},
    {MILO_OP_log, ", epsilon = T(0)"},
    {MILO_OP_gelu, ", mode = string(\"TANH_APPROXIMATION\")"},
    {MILO_OP_gelu, ", mode = string(\"SIGMOID_APPROXIMATION\")"},
};
enum { CONSTANTS = sizeof constants / sizeof *constants };

static void check_constants(milo_opcode code, const char *dtype) {
  for (size_t i = 0; i < CONSTANTS; i++) {
    if (constants[i].code != code) continue;
    milo_str extra = {0};
    for (const char *p = constants[i].arguments; *p != '\0'; p++) {
      if (strncmp(p, "T(", 2) == 0)
        milo_str_puts(&extra, dtype);
      else
        milo_str_putc(&extra, *p);
    }
    check_elementwise(code, dtype, extra.data);
    milo_str_deinit(&extra);
  }
}

static bool needs_constants(milo_opcode code) {
  return code == MILO_OP_leaky_relu || code == MILO_OP_elu || code == MILO_OP_clip;
}

static void check_all(milo_dtype dtype) {
  for (int code = MILO_OP_unknown + 1; code < MILO_OP_COUNT; code++) {
    const milo_op_info *info = milo_op_info_get((milo_opcode)code);
    if ((info->traits & MILO_OP_ELEMENTWISE) == 0 || code == MILO_OP_cast) continue;
    if ((info->domain[0] & (1u << dtype)) == 0) continue;
    if (!needs_constants((milo_opcode)code))
      check_elementwise((milo_opcode)code, milo_dtype_name(dtype), "");
    check_constants((milo_opcode)code, milo_dtype_name(dtype));
  }
}

static void test_fp32(void) { check_all(MILO_FP32); }
static void test_fp16(void) { check_all(MILO_FP16); }
static void test_bf16(void) { check_all(MILO_BF16); }
static void test_fp64(void) { check_all(MILO_FP64); }
static void test_int32(void) { check_all(MILO_INT32); }
static void test_bool(void) { check_all(MILO_BOOL); }

// Every type to every type.
static void test_casts(void) {
  static const milo_dtype types[] = {MILO_FP16,   MILO_FP32,  MILO_FP64,   MILO_BF16,  MILO_INT8,
                                     MILO_UINT8,  MILO_INT16, MILO_UINT16, MILO_INT32, MILO_BOOL,
                                     MILO_UINT32, MILO_INT64, MILO_UINT64};
  enum { COUNT = sizeof types / sizeof *types };
  for (size_t i = 0; i < COUNT; i++)
    for (size_t k = 0; k < COUNT; k++) {
      const char *from = milo_dtype_name(types[i]), *to = milo_dtype_name(types[k]);
      special_case c = {.dtype = from, .input_count = 1, .output_count = 1, .fill = pair_fill};
      make_values(types[i], WHOLE);
      add_value(127.5);
      add_value(255.5);
      add_value(32768);
      add_value(65535.5);
      add_value(2147483648.0);
      add_value(4294967296.0);
      add_value(9223372036854775808.0);
      add_value(18446744073709551616.0);
      c.elements = value_count;
      milo_str_printf(&c.inputs, "tensor<%s, [%zu]> a", from, value_count);
      milo_str_printf(&c.body,
                      "tensor<%s, [%zu]> y = cast(x = a, dtype = string(\"%s\"))[name = "
                      "string(\"y\")];",
                      to, value_count, to);
      milo_str_puts(&c.results, "y");
      check(&c);
    }
}

// ---- rows ----

// Rows of three: every pair of numbers and a third one that goes round; or such columns.
static bool as_columns;
static double row_fill(const special_case *c, size_t input, size_t element) {
  (void)c;
  if (input > 0) return 0.5 + 0.25 * (double)(element % 3);  // weights
  const size_t rows = value_count * value_count;
  const size_t row = as_columns ? element % rows : element / 3;
  switch (as_columns ? element / rows : element % 3) {
    case 0:
      return values[row / value_count];
    case 1:
      return values[row % value_count];
    default:
      return values[row * 7 % value_count];
  }
}

static const struct {
  const char *body;  // of x [rows, 3] (or [3, rows], and axis 0); A: the axis, R: the rows
  const char *type;  // of y: T, or int32
  bool kept;         // y has x's shape
  range range;
  double steps, floor;
} row_cases[] = {
    {"reduce_sum(x = x, axes = tensor<int32, [1]>([A]))", "T", false, EXACT, 0, 0},
    {"reduce_mean(x = x, axes = tensor<int32, [1]>([A]))", "T", false, EXACT, 1, 0},
    {"reduce_max(x = x, axes = tensor<int32, [1]>([A]))", "T", false, WHOLE, 0, 0},
    {"reduce_min(x = x, axes = tensor<int32, [1]>([A]))", "T", false, WHOLE, 0, 0},
    {"reduce_prod(x = x, axes = tensor<int32, [1]>([A]))", "T", false, WHOLE, 4, 0},
    {"reduce_sum_square(x = x, axes = tensor<int32, [1]>([A]))", "T", false, EXACT, 1, 0},
    {"reduce_l1_norm(x = x, axes = tensor<int32, [1]>([A]))", "T", false, EXACT, 0, 0},
    {"reduce_l2_norm(x = x, axes = tensor<int32, [1]>([A]))", "T", false, EXACT, 2, 0},
    {"reduce_log_sum(x = x, axes = tensor<int32, [1]>([A]))", "T", false, EXACT, 2, 0},
    {"reduce_log_sum_exp(x = x, axes = tensor<int32, [1]>([A]))", "T", false, WHOLE, 4, 1},
    {"reduce_argmax(x = x, axis = int32(A))", "int32", false, WHOLE, 0, 0},
    {"reduce_argmin(x = x, axis = int32(A))", "int32", false, WHOLE, 0, 0},
    // The difference to the greatest one is rounded, results below 2^-126 are 0.
    {"softmax(x = x, axis = int32(A))", "T", true, WHOLE, 24, 1e-30},
    {"cumsum(x = x, axis = int32(A))", "T", true, EXACT, 0, 0},
};

static void check_rows(size_t i, const char *dtype) {
  special_case c = {.dtype = dtype,
                    .input_count = 1,
                    .output_count = 1,
                    .steps = row_cases[i].steps,
                    .floor = row_cases[i].floor,
                    .fill = row_fill};
  make_values(milo_dtype_find(dtype), row_cases[i].range);
  const size_t rows = value_count * value_count;
  const size_t dims[2] = {as_columns ? 3 : rows, as_columns ? rows : 3};
  milo_str_printf(&c.inputs, "tensor<%s, [%zu,%zu]> x", dtype, dims[0], dims[1]);
  const char *type = row_cases[i].type[0] == 'T' ? dtype : row_cases[i].type;
  if (row_cases[i].kept)
    milo_str_printf(&c.body, "tensor<%s, [%zu,%zu]> y = ", type, dims[0], dims[1]);
  else
    milo_str_printf(&c.body, "tensor<%s, [%zu]> y = ", type, rows);
  for (const char *p = row_cases[i].body; *p != '\0'; p++)
    milo_str_putc(&c.body, *p == 'A' ? (as_columns ? '0' : '1') : *p);
  milo_str_puts(&c.body, "[name = string(\"y\")];");
  milo_str_puts(&c.results, "y");
  check(&c);
}

static void test_rows(void) {
  static const char *const types[] = {"fp32", "fp16", "bf16"};
  for (int t = 0; t < 3; t++)
    for (size_t i = 0; i < sizeof row_cases / sizeof *row_cases; i++)
      for (int columns = 0; columns < 2; columns++) {
        as_columns = columns == 1;
        check_rows(i, types[t]);
      }
}

static void check_norm(const char *dtype, const char *arguments, const char *op) {
  special_case c = {.dtype = dtype,
                    .input_count = strchr(arguments, 'w') != NULL ? 2 : 1,
                    .output_count = 1,
                    .steps = 8,
                    .floor = 1,
                    .fill = row_fill};
  as_columns = false;
  make_values(milo_dtype_find(dtype), MIDDLE);
  const size_t rows = value_count * value_count;
  milo_str_printf(&c.inputs, "tensor<%s, [%zu,3]> x", dtype, rows);
  if (c.input_count > 1) milo_str_printf(&c.inputs, ", tensor<%s, [3]> w", dtype);
  milo_str_printf(&c.body, "tensor<%s, [%zu,3]> y = %s(x = x%s)[name = string(\"y\")];", dtype,
                  rows, op, arguments);
  milo_str_puts(&c.results, "y");
  check(&c);
}

static void test_norms(void) {
  static const char *const types[] = {"fp32", "fp16", "bf16"};
  for (int t = 0; t < 3; t++) {
    check_norm(types[t], ", weight = w", "rms_norm");
    check_norm(types[t], ", axes = tensor<int32, [1]>([1])", "layer_norm");
    check_norm(types[t], ", axes = tensor<int32, [1]>([1]), gamma = w", "layer_norm");
    check_norm(types[t], ", axes = tensor<int32, [1]>([1]), gamma = w, beta = w", "layer_norm");
  }
}

int main(void) {
  RUN(test_fp32);
  RUN(test_fp16);
  RUN(test_bf16);
  RUN(test_fp64);
  RUN(test_int32);
  RUN(test_bool);
  RUN(test_casts);
  RUN(test_rows);
  RUN(test_norms);
  return tap_done();
}
