// SPDX-License-Identifier: MIT
// Programs that run: MIL text, or a program made from the bytes (small shapes; constants and
// run-time values at the ends of their types: NaN, infinities, denormals, the least and greatest
// integers as axes, begins, sizes, indices, positions, targets). What verifies is compiled and run
// on ref and cpu, with its gradient if a byte says so. Nothing may crash or be undefined, both
// devices succeed or fail together, and what both computed is the same or near (see compare_op).
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../compare.h"
#include "base/cpu.h"
#include "base/number.h"
#include "base/rng.h"
#include "device/buffer.h"
#include "ir/builder.h"
#include "ir/op.h"
#include "kernels/rows.h"
#include "pass/pass.h"
#include "text/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_VALUES = 48, MAX_OPS = 6, MAX_ELEMENTS = 4096, MAX_TEXT_OPS = 64 };

// ---- numbers ----

static const double floats[] = {0,
                                1,
                                -1,
                                0.5,
                                2,
                                -0.0,
                                3,
                                -2.5,
                                0.1,
                                100,
                                1e-45,
                                1.2e-38,
                                65504,
                                6.1e-5,
                                6e-8,
                                1e10,
                                -1e30,
                                3.4e38,
                                1e308,
                                1e-310,
                                16777217,
                                -65520,
                                (double)INFINITY,
                                -(double)INFINITY,
                                (double)NAN,
                                88.8,
                                -104,
                                1e-12,
                                7,
                                0.25};
static const int64_t ints[] = {0,
                               1,
                               2,
                               3,
                               -1,
                               4,
                               -2,
                               5,
                               -3,
                               7,
                               8,
                               INT8_MAX,
                               INT8_MIN,
                               INT16_MAX,
                               INT32_MAX,
                               INT32_MIN,
                               INT64_MAX,
                               INT64_MIN,
                               INT64_MAX - 1,
                               INT64_MIN + 1,
                               (int64_t)1 << 40,
                               -((int64_t)1 << 40),
                               UINT32_MAX,
                               65536};
enum {
  FLOATS = sizeof floats / sizeof *floats,
  INTS = sizeof ints / sizeof *ints,
  TAME_FLOATS = 10,  // how many of them are ordinary
  TAME_INTS = 10
};

static void store(milo_dtype dtype, void *data, size_t i, uint64_t random, bool tame) {
  if (dtype == MILO_BOOL)
    milo_number_store_int(dtype, data, i, (int64_t)(random & 1));
  else if (milo_dtype_is_int(dtype))
    milo_number_store_int(dtype, data, i, ints[random % (tame ? TAME_INTS : INTS)]);
  else
    milo_number_store(dtype, data, i, floats[random % (tame ? TAME_FLOATS : FLOATS)]);
}

// ---- a program from bytes ----

typedef struct maker {
  const uint8_t *data;
  size_t size, at;
  milo_func *func;
  milo_builder b;
  milo_value *values[MAX_VALUES];
  size_t count;
  milo_dtype dtype;  // of the first numbers of the operation being made
  int rank;          // of its first tensor
  const milo_op_info *info;
  bool tame;
} maker;

static uint8_t take(maker *m) { return m->at < m->size ? m->data[m->at++] : 0; }
static size_t pick(maker *m, size_t n) { return take(m) % n; }

static const milo_dtype dtypes[] = {MILO_FP32,  MILO_FP32,  MILO_FP16,  MILO_INT32,
                                    MILO_BF16,  MILO_FP64,  MILO_BOOL,  MILO_INT8,
                                    MILO_UINT8, MILO_INT64, MILO_INT16, MILO_UINT32};
enum { DTYPES = sizeof dtypes / sizeof *dtypes };

// Shapes that agree, of arguments whose shapes chance does not make agree: a digit an axis.
static const struct {
  const char *op, *param, *dims;
} shapes[] = {
    {"attention", "query", "1232"},
    {"attention", "key", "1142"},
    {"attention", "value", "1142"},
    {"attention_grad", "query", "1232"},
    {"attention_grad", "key", "1242"},
    {"attention_grad", "value", "1242"},
    {"attention_grad", "grad", "1232"},
    {"attention_grad", "out", "1232"},
    {"attention_grad", "lse", "123"},
    {"cross_entropy", "logits", "34"},
    {"cross_entropy", "target", "3"},
    {"cross_entropy_grad", "logits", "34"},
    {"cross_entropy_grad", "target", "3"},
    {"cross_entropy_grad", "grad", "3"},
    {"cross_entropy_grad", "lse", "3"},
    {"conv", "x", "1243"},
    {"conv", "weight", "2222"},
    {"conv", "strides", "2"},
    {"conv", "dilations", "2"},
    {"conv", "pad", "4"},
    {"conv_transpose", "x", "1243"},
    {"conv_transpose", "weight", "2222"},
    {"avg_pool", "x", "1253"},
    {"avg_pool", "kernel_sizes", "2"},
    {"avg_pool", "pad", "4"},
    {"avg_pool", "strides", "2"},
    {"max_pool", "x", "1253"},
    {"max_pool", "kernel_sizes", "2"},
    {"max_pool", "pad", "4"},
    {"max_pool", "strides", "2"},
    {"l2_pool", "x", "1253"},
    {"l2_pool", "kernel_sizes", "2"},
    {"l2_pool", "pad", "4"},
    {"gather_along_axis", "x", "34"},
    {"gather_along_axis", "indices", "24"},
    {"scatter", "data", "34"},
    {"scatter", "indices", "2"},
    {"scatter", "updates", "24"},
    {"scatter_along_axis", "data", "34"},
    {"scatter_along_axis", "indices", "24"},
    {"scatter_along_axis", "updates", "24"},
    {"range_1d", "end", ""},
    {"range_1d", "start", ""},
    {"range_1d", "step", ""},
};

static bool find_shape(const char *op, const char *param, milo_type *type) {
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
    if (strcmp(shapes[i].op, op) == 0 && strcmp(shapes[i].param, param) == 0) {
      type->rank = 0;
      for (const char *p = shapes[i].dims; *p != '\0'; p++) type->dims[type->rank++] = *p - '0';
      return true;
    }
  return false;
}

static milo_type make_type(maker *m, milo_dtype dtype) {
  static const int64_t lengths[] = {2, 3, 1, 4, 2, 3, 0, 5};
  milo_type type = milo_type_tensor(dtype, 0, NULL);
  const int rank = (int)pick(m, 8);
  for (int i = 0; i < (rank > 5 ? 2 : rank); i++) type.dims[type.rank++] = lengths[pick(m, 8)];
  return type;
}

static void keep(maker *m, milo_value *value) {
  if (value != NULL && m->count < MAX_VALUES) m->values[m->count++] = value;
}

static milo_value *new_input(maker *m, milo_type type) {
  if (m->func->body->param_count >= 8) return NULL;
  milo_value *value = milo_func_add_param(m->func, milo_func_fresh_name(m->func, "in"), type);
  keep(m, value);
  return value;
}

static milo_value *new_constant(maker *m, milo_type type) {
  static uint64_t data[MAX_ELEMENTS];
  memset(data, 0, sizeof data);
  const size_t count = milo_type_elements(&type);
  if (count > MAX_ELEMENTS) return NULL;
  for (size_t i = 0; i < count; i++)
    store(type.dtype, data, i, i < 16 ? take(m) : milo_rng_u64(3, 1, i), m->tame);
  milo_value *value = milo_b_tensor(&m->b, type, data);
  if (type.rank > 0) keep(m, value);
  return value;
}

// A value that is there, of the dtype if one is (or any, for MILO_DTYPE_NONE), or a new one.
static milo_value *any_value(maker *m, milo_dtype dtype, bool constant) {
  const size_t first = pick(m, 16);
  for (size_t i = 0; m->count > 0 && i < m->count && first != 15; i++) {
    milo_value *v = m->values[(first + i) % m->count];
    if (constant && milo_value_constant(v) == NULL) continue;
    if (dtype == MILO_DTYPE_NONE || v->type.dtype == dtype) return v;
  }
  if (dtype == MILO_DTYPE_NONE) dtype = dtypes[pick(m, DTYPES)];
  const milo_type type = make_type(m, dtype);
  return constant || pick(m, 3) == 0 ? new_constant(m, type) : new_input(m, type);
}

static bool is_one_of(const char *name, const char *const *names) {
  for (; *names != NULL; names++)
    if (strcmp(name, *names) == 0) return true;
  return false;
}

static milo_value *a_string(maker *m, const char *name) {
  static const char *const modes[] = {"add",
                                      "update",
                                      "sub",
                                      "mul",
                                      "div",
                                      "max",
                                      "min",
                                      "EXACT",
                                      "constant",
                                      "reflect",
                                      "replicate",
                                      "TANH_APPROXIMATION",
                                      "SIGMOID_APPROXIMATION"};
  static const char *const pads[] = {"valid", "same", "custom", "same_lower"};
  const char *text = modes[pick(m, sizeof modes / sizeof *modes)];
  if (strstr(name, "dtype") != NULL) text = milo_dtype_name(dtypes[pick(m, DTYPES)]);
  if (strcmp(name, "pad_type") == 0) text = pads[pick(m, 4)];
  if (strcmp(name, "pairing") == 0) text = pick(m, 2) ? "half" : "adjacent";
  return milo_b_string(&m->b, text);
}

// Integers: a list, a scalar, or what indexes; constant or given when the program runs.
static milo_value *some_integers(maker *m, const milo_param *param) {
  static const char *const lists[] = {
      "axes",       "begin",    "end",          "size",         "stride", "perm",
      "shape",      "reps",     "dilations",    "strides",      "pad",    "split_sizes",
      "begin_mask", "end_mask", "squeeze_mask", "kernel_sizes", NULL};
  static const char *const tensors[] = {"indices", "target", NULL};
  const bool flags = param->type == MILO_PARAM_BOOL;
  const bool constant = (param->flags & MILO_PARAM_CONST) != 0;
  const milo_dtype dtype = flags ? MILO_BOOL : pick(m, 4) == 0 ? MILO_INT64 : MILO_INT32;
  milo_type type = milo_type_scalar(dtype);
  if (find_shape(m->info->name, param->name, &type) && pick(m, 8) != 0) {
    // as it is
  } else if (is_one_of(param->name, tensors)) {
    type = make_type(m, dtype);
  } else if (is_one_of(param->name, lists)) {
    const size_t odd = pick(m, 8);
    type.rank = 1;
    type.dims[0] = m->rank >= 0 ? m->rank : 1;
    if (strcmp(param->name, "pad") == 0) type.dims[0] *= 2;
    if (odd < 4) type.dims[0] = odd;
    if (strcmp(param->name, "perm") == 0 && odd >= 4) {  // seldom found by chance
      int64_t perm[MILO_MAX_RANK];
      for (int i = 0; i < m->rank; i++) perm[i] = (i + (int)odd) % m->rank;
      return milo_b_ints(&m->b, perm, m->rank > 0 ? (size_t)m->rank : 0);
    }
  }
  return constant || pick(m, 2) == 0 ? new_constant(m, type) : new_input(m, type);
}

static milo_value *an_argument(maker *m, const milo_param *param) {
  static const char *const scalars[] = {
      "alpha", "beta",     "epsilon", "constant_val", "value",     "scale",      "start", "end",
      "step",  "on_value", "lr",      "bias1",        "off_value", "grad_scale", "bias2", NULL};
  const bool constant = (param->flags & MILO_PARAM_CONST) != 0;
  switch (param->type) {
    case MILO_PARAM_STRING:
      return a_string(m, param->name);
    case MILO_PARAM_BOOL:
      if (constant) return some_integers(m, param);
      return any_value(m, MILO_BOOL, false);
    case MILO_PARAM_INT:
      return some_integers(m, param);
    case MILO_PARAM_FP32:
      return new_constant(m, milo_type_scalar(MILO_FP32));
    default: {
      const bool first = m->dtype == MILO_DTYPE_NONE;
      const unsigned domain =
          param->type < MILO_PARAM_BOOL ? m->info->domain[param->type - MILO_PARAM_T] : ~0u;
      milo_dtype dtype = m->dtype;
      if (first) dtype = dtypes[pick(m, DTYPES)];
      for (int d = 1; (domain >> dtype & 1) == 0 && d < MILO_DTYPE_COUNT; d++)
        if ((domain >> d & 1) != 0) dtype = (milo_dtype)d;
      milo_type type = milo_type_scalar(dtype);
      const bool shaped = find_shape(m->info->name, param->name, &type) && pick(m, 8) != 0;
      milo_value *value = shaped && (constant || pick(m, 4) == 0) ? new_constant(m, type)
                          : shaped                                ? new_input(m, type)
                          : is_one_of(param->name, scalars) && !first
                              ? new_constant(m, milo_type_scalar(m->dtype))
                              : any_value(m, pick(m, 8) == 0 ? MILO_DTYPE_NONE : dtype, constant);
      if (first && value != NULL) {
        m->dtype = value->type.dtype;
        m->rank = value->type.rank;
      }
      return value;
    }
  }
}

static void make_op(maker *m) {
  const milo_opcode code = (milo_opcode)(MILO_OP_unknown + 1 + pick(m, MILO_OP_COUNT - 1));
  const milo_op_info *info = milo_op_info_get(code);
  if (info->infer == NULL || code == MILO_OP_const || info->blocks > 0 ||
      strstr(info->name, "list") != NULL)  // there are no lists to give it
    return;
  milo_named args[MILO_MAX_PARAMS + 1] = {{NULL, NULL}};
  milo_value *list[4];
  size_t count = 0, variadic = 0;
  m->info = info;
  m->dtype = MILO_DTYPE_NONE;
  m->rank = -1;
  m->tame = pick(m, 2) == 0;
  for (int p = 0; p < MILO_MAX_PARAMS && info->params[p].name != NULL; p++) {
    const milo_param *param = &info->params[p];
    if ((param->flags & MILO_PARAM_OPTIONAL) != 0 && pick(m, 2) == 0) continue;
    milo_value *value = an_argument(m, param);
    if (value == NULL) return;
    if ((param->flags & MILO_PARAM_VARIADIC) != 0) {
      list[variadic++] = value;
      for (size_t more = pick(m, 3); more > 0; more--) {
        list[variadic] = any_value(m, value->type.dtype, false);
        if (list[variadic] == NULL) return;
        variadic++;
      }
    } else {
      args[count++] = (milo_named){param->name, value};
    }
  }
  milo_op *op = milo_op_create(m->func->body, NULL, info->name, m->func->loc);
  if (variadic > 0) milo_op_add_arg(op, "values", list, variadic);
  for (size_t i = 0; i < count; i++) milo_op_add_arg(op, args[i].name, &args[i].value, 1);
  milo_diag quiet = {0};
  milo_arena scratch = {0};
  milo_types types = {.arena = &scratch};
  bool good = milo_op_infer(op, &types, &quiet) == MILO_OK;
  for (size_t i = 0; i < types.count && good; i++)
    good = types.items[i].kind == MILO_TYPE_TENSOR && types.items[i].dtype != MILO_STRING &&
           milo_type_is_static(&types.items[i]) &&
           milo_type_elements(&types.items[i]) <= MAX_ELEMENTS;
  for (size_t i = 0; i < types.count && good; i++)
    keep(m, milo_op_add_result(op, milo_func_fresh_name(m->func, "y"), types.items[i]));
  if (!good) milo_op_remove(op);
  milo_arena_deinit(&scratch);
  milo_diag_deinit(&quiet);
}

static milo_program *make_program(maker *m) {
  milo_program *program = milo_program_create();
  m->func = milo_program_add_func(program, "main", "ios18");
  m->b = milo_builder_at_end(m->func, NULL);
  for (size_t i = 1 + pick(m, 3); i > 0; i--) new_input(m, make_type(m, dtypes[pick(m, DTYPES)]));
  for (size_t i = 1 + pick(m, MAX_OPS); i > 0; i--) make_op(m);
  for (size_t i = 0; i < m->count; i++)
    if (m->values[i]->def != NULL && m->values[i]->literal == NULL)
      milo_func_add_output(m->func, m->values[i]);
  return program;
}

// Loops may never end, and what branches compute may be large.
static bool has_no_blocks(const milo_op *op) { return op->block_count == 0; }

// Text, if it is a program small enough to be run.
static milo_program *parse_program(const uint8_t *data, size_t size) {
  milo_program *program;
  if (milo_text_parse((const char *)data, size, "input", NULL, &program) != MILO_OK) return NULL;
  const milo_func *func = milo_program_find_func(program, NULL);
  bool small = func != NULL && milo_ir_verify(program, NULL) == MILO_OK;
  size_t ops = 0;
  for (size_t i = 0; small && i < func->body->param_count; i++)
    small = milo_type_is_static(&func->body->params[i]->type) &&
            milo_type_elements(&func->body->params[i]->type) <= MAX_ELEMENTS;
  for (const milo_op *op = func ? func->body->first : NULL; small && op != NULL; op = op->next) {
    small = ++ops <= MAX_TEXT_OPS && op->code != MILO_OP_unknown && has_no_blocks(op);
    for (size_t i = 0; small && i < op->result_count; i++)
      small = !milo_type_is_static(&op->results[i]->type) ||
              milo_type_elements(&op->results[i]->type) <= MAX_ELEMENTS;
  }
  if (small) return program;
  milo_program_destroy(program);
  return NULL;
}

// ---- running ----

typedef struct run {
  milo_status status;
  size_t count;
  milo_type *types;
  milo_buffer **outputs;
} run;

static void run_deinit(run *r) {
  for (size_t i = 0; i < r->count; i++) milo_buffer_release(r->outputs[i]);
  free(r->types);
  free(r->outputs);
}

static milo_buffer *allocate(const milo_type *type) {
  milo_buffer *buffer;
  if (milo_buffer_alloc(milo_type_bytes(type), NULL, &buffer) != MILO_OK) abort();
  return buffer;
}

static run run_on(const char *name, unsigned caps, const milo_func *func, uint64_t seed,
                  bool tame) {
  milo_diag diag = {0};
  const milo_host host = {.cpu_caps = caps};
  milo_device *device;
  milo_run *e = NULL;
  run r = {0};
  if (milo_device_open(name, &host, &diag, &device) != MILO_OK) abort();
  r.status = milo_run_compile(device, func, NULL, &diag, &e);
  if (r.status == MILO_OK) {
    const size_t inputs = milo_executable_input_count(milo_run_executable(e));
    milo_buffer **in = calloc(inputs + 1, sizeof *in);
    r.count = milo_executable_output_count(milo_run_executable(e));
    r.outputs = calloc(r.count + 1, sizeof *r.outputs);
    r.types = calloc(r.count + 1, sizeof *r.types);
    if (in == NULL || r.outputs == NULL || r.types == NULL) abort();
    for (size_t i = 0; i < inputs; i++) {
      const milo_type *type = &milo_executable_input(milo_run_executable(e), i)->type;
      in[i] = allocate(type);
      for (size_t k = 0; k < milo_type_elements(type); k++)
        store(type->dtype, milo_buffer_host(in[i]), k, milo_rng_u64(seed, i, k), tame);
    }
    for (size_t i = 0; i < r.count; i++) {
      r.types[i] = milo_executable_output(milo_run_executable(e), i)->type;
      r.outputs[i] = allocate(&r.types[i]);
    }
    r.status = milo_run_execute(e, in, r.outputs, &diag);
    for (size_t i = 0; i < inputs; i++) milo_buffer_release(in[i]);
    free(in);
  }
  if (r.status != MILO_OK && diag.errors == 0) abort();  // a failure says why
  milo_run_destroy(e);
  milo_device_close(device);
  milo_diag_deinit(&diag);
  return r;
}

// ---- comparing ----

typedef enum closeness { SAME, NEAR, NEAR_IF_TAME, UNCOMPARED } closeness;

// How near two devices must be where this operation alone was computed.
static closeness compare_op(const milo_op *op) {
  static const char *const moves[] = {"concat",        "stack",
                                      "tile",          "pad",
                                      "gather",        "gather_along_axis",
                                      "slice_update",  "fill",
                                      "shape",         "one_hot",
                                      "reverse",       "slice_by_size",
                                      "reduce_argmax", "reduce_argmin",
                                      "select",        "abs",
                                      "sign",          "reduce_max",
                                      "reduce_min",    NULL};
  // What cancels or divides by nearly nothing in fp32 may differ from doubles without limit.
  static const char *const unsteady[] = {
      "layer_norm", "rms_norm_grad",  "attention_grad", "reduce_log_sum",     "adamw",
      "silu_gate",  "silu_gate_grad", "cumsum",         "cross_entropy_grad", NULL};
  const milo_op_info *info = milo_op_info_get(op->code);
  bool whole = true;
  for (size_t i = 0; i < op->result_count; i++)
    whole = whole && !milo_dtype_is_float(op->results[i]->type.dtype);
  for (size_t i = 0; i < op->arg_count; i++)
    for (size_t k = 0; k < op->args[i].count; k++)
      whole = whole && !milo_dtype_is_float(op->args[i].values[k]->type.dtype);
  if (whole || (info->traits & MILO_OP_VIEW) != 0 || is_one_of(info->name, moves)) return SAME;
  if (is_one_of(info->name, unsteady)) return UNCOMPARED;
  return (info->traits & MILO_OP_ELEMENTWISE) != 0 ? NEAR : NEAR_IF_TAME;
}

// Of a whole function: each operation's own where it is the only one that rounds.
static closeness compare_func(const milo_func *func) {
  closeness all = SAME;
  for (const milo_op *op = func->body->first; op != NULL; op = op->next) {
    if (op->code == MILO_OP_const) continue;
    const closeness one = compare_op(op);
    if (one == SAME) continue;
    if (all != SAME) return UNCOMPARED;
    all = one;
  }
  return all;
}

// Are all constants ordinary? Infinities and sums beyond the range of fp32 are none of those.
static bool constants_are_tame(const milo_func *func) {
  for (const milo_op *op = func->body->first; op != NULL; op = op->next)
    for (size_t i = 0; i < op->result_count; i++) {
      const milo_literal *literal = milo_value_constant(op->results[i]);
      if (literal == NULL || !milo_dtype_is_float(literal->type.dtype)) continue;
      for (size_t k = 0; k < milo_literal_elements(literal); k++) {
        const double size = fabs(milo_literal_number(literal, k));
        if (size != 0 && !(size >= 0.01 && size <= 1000)) return false;
      }
    }
  return true;
}

// Operations follow the one that rounds: what they do to its errors is not known.
static bool rounds_last(const milo_func *func) {
  bool rounded = false;
  for (const milo_op *op = func->body->first; op != NULL; op = op->next) {
    if (op->code == MILO_OP_const) continue;
    if (rounded) return false;
    rounded = compare_op(op) != SAME;
  }
  return true;
}

static void complain(const milo_func *func, const char *what) {
  milo_str text = {0};
  if (milo_text_print(func->program, &text) == MILO_OK) fprintf(stderr, "%s\n", text.data);
  fprintf(stderr, "%s\n", what);
  milo_str_deinit(&text);
  abort();
}

static void compare_runs(const milo_func *func, const run *a, const run *b, closeness how) {
  if ((a->status == MILO_OK) != (b->status == MILO_OK)) complain(func, "one device fails");
  if (a->status != MILO_OK || how == UNCOMPARED) return;
  for (size_t i = 0; i < a->count; i++) {
    const milo_type *t = &a->types[i];
    const double unit = t->dtype == MILO_FP16 ? 1e-2 : t->dtype == MILO_BF16 ? 5e-2 : 1e-3;
    const size_t count = milo_type_elements(t);
    double scale = t->dtype == MILO_FP16 ? 1e-4 : 1e-35;
    for (size_t k = 0; k < count; k++)
      scale = compare_scale(scale, milo_number_load(t->dtype, milo_buffer_host(a->outputs[i]), k));
    for (size_t k = 0; k < count; k++) {
      const double x = milo_number_load(t->dtype, milo_buffer_host(a->outputs[i]), k);
      const double y = milo_number_load(t->dtype, milo_buffer_host(b->outputs[i]), k);
      if (how == SAME ? compare_same(x, y) : compare_near(y, x, unit * scale)) continue;
      char what[128];
      snprintf(what, sizeof what, "output %zu[%zu]: ref %.9g, cpu %.9g", i, k, x, y);
      complain(func, what);
    }
  }
}

static void run_both(const milo_func *func, uint64_t seed, bool gradient) {
  size_t variants = 0;
  while (milo_rows_variants[variants] != NULL) variants++;
  const unsigned caps = milo_rows_variants[seed % variants]->caps & milo_cpu_detect();
  closeness how = gradient || !rounds_last(func) ? UNCOMPARED : compare_func(func);
  if (how == NEAR_IF_TAME && !constants_are_tame(func)) how = UNCOMPARED;
  for (int tame = 0; tame < 2; tame++) {
    run ref = run_on("ref", 0, func, seed, tame), cpu = run_on("cpu", caps, func, seed, tame);
    compare_runs(func, &ref, &cpu, how == NEAR_IF_TAME && !tame ? UNCOMPARED : how);
    run_deinit(&ref);
    run_deinit(&cpu);
  }
}

static void run_gradient(milo_func *func, uint64_t seed) {
  milo_value *wrt[8];
  size_t count = 0;
  for (size_t i = 0; i < func->body->param_count && count < 8; i++)
    if (milo_dtype_is_float(func->body->params[i]->type.dtype))
      wrt[count++] = func->body->params[i];
  milo_diag diag = {0};
  if (count > 0 && milo_autodiff(func, wrt, count, &diag) == MILO_OK) run_both(func, seed, true);
  milo_diag_deinit(&diag);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  maker m = {.data = data, .size = size};
  const bool text = size > 8 && memcmp(data, "program(", 8) == 0;
  const uint8_t flags = text ? 3 : take(&m);
  milo_program *program = text ? parse_program(data, size) : make_program(&m);
  if (program == NULL) return 0;
  milo_func *func = milo_program_find_func(program, NULL);
  uint64_t seed = flags >> 2;
  for (size_t i = 0; i < size; i++) seed = seed * 31 + data[i];
  if (milo_ir_verify(program, NULL) == MILO_OK) {
    run_both(func, seed, false);
    if ((flags & 1) != 0) run_gradient(func, seed);
  } else if (!text) {
    complain(func, "what inference allows does not verify");
  }
  milo_program_destroy(program);
  return 0;
}
