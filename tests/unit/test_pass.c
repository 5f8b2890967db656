// SPDX-License-Identifier: MIT
// Random programs: the reference device gives the same values before and after each pass, and all
// of them together. NaNs, infinities and wrapped integers included; zeros may change their sign.
// (Composites round differently when expanded: test_ref compares those.)
#include <inttypes.h>

#include "base/number.h"
#include "base/rng.h"
#include "device/buffer.h"
#include "device/ref/ref.h"
#include "ir/op.h"
#include "pass/pass.h"
#include "tap.h"
#include "text/text.h"

enum { PROGRAMS = 500, OPS = 24, POOL = 64 };

static const struct {
  const char *name;
  milo_pass_fn *pass;
} passes[] = {
#define PASS(id, what) {#id, milo_pass_##id},
#include "pass/passes.def"
#undef PASS
    {"all", milo_pass_run_all},
};
enum { PASS_COUNT = sizeof passes / sizeof passes[0] };

// ---- random programs ----

typedef struct maker {
  milo_builder b;
  uint64_t seed, drawn;
  milo_value *pool[POOL];
  size_t count;
} maker;

static size_t draw(maker *m, size_t n) { return (size_t)milo_rng_below(m->seed, 7, m->drawn++, n); }

static milo_value *pick(maker *m) { return m->pool[draw(m, m->count)]; }

// A value of x's type from the pool, or a constant: 0, 1, -1, 2 or a half.
static milo_value *other(maker *m, const milo_value *x) {
  for (int i = 0; i < 4; i++) {
    milo_value *y = pick(m);
    if (milo_type_equal(&y->type, &x->type)) return y;
  }
  static const double numbers[] = {0, 1, -1, 2, 0.5};
  const double number = numbers[draw(m, milo_dtype_is_float(x->type.dtype) ? 5 : 4)];
  return draw(m, 2) ? milo_b_number(&m->b, x->type.dtype, number)
                    : milo_b_splat(&m->b, x->type, number);
}

static milo_value *make_transpose(maker *m, milo_value *x) {
  int perm[MILO_MAX_RANK];
  for (int i = 0; i < x->type.rank; i++) {
    const int at = (int)draw(m, (size_t)i + 1);
    perm[i] = perm[at];
    perm[at] = i;
  }
  return x->type.rank > 0 ? milo_b_transpose(&m->b, x, perm) : x;
}

static milo_value *make_reshape(maker *m, milo_value *x) {
  const int64_t count = (int64_t)milo_type_elements(&x->type);
  const int64_t flat[] = {count}, row[] = {1, count}, pairs[] = {2, count / 2};
  const size_t kind = draw(m, count % 2 == 0 ? 4 : 3);
  if (kind == 0) return milo_b_reshape(&m->b, x, flat, 1);
  if (kind == 1) return milo_b_reshape(&m->b, x, row, 2);
  if (kind == 2) return milo_b_reshape(&m->b, x, x->type.dims, x->type.rank);
  return milo_b_reshape(&m->b, x, pairs, 2);
}

static milo_value *make_slice(maker *m, milo_value *x) {
  int64_t begin[MILO_MAX_RANK], size[MILO_MAX_RANK];
  if (x->type.rank == 0) return x;
  for (int i = 0; i < x->type.rank; i++) {
    begin[i] = draw(m, 3) > 0 ? 0 : (int64_t)draw(m, (size_t)x->type.dims[i]);
    size[i] = x->type.dims[i] - begin[i];
  }
  return milo_b_slice(&m->b, x, begin, size);
}

static milo_value *make_reduce(maker *m, milo_value *x) {
  static const milo_opcode codes[] = {MILO_OP_reduce_sum, MILO_OP_reduce_mean, MILO_OP_reduce_max,
                                      MILO_OP_reduce_min, MILO_OP_reduce_prod};
  if (x->type.rank == 0) return x;
  const int64_t axis = (int64_t)draw(m, (size_t)x->type.rank);
  const milo_opcode code = codes[draw(m, 5)];
  return milo_b_reduce(&m->b, code, x, &axis, 1, draw(m, 2) > 0);
}

static milo_value *make_cast(maker *m, milo_value *x) {
  static const milo_dtype dtypes[] = {MILO_FP16,  MILO_FP32, MILO_FP64, MILO_BF16,
                                      MILO_INT32, MILO_BOOL, MILO_INT8};
  return milo_b_cast(&m->b, x, dtypes[draw(m, 7)]);
}

static milo_value *make_arithmetic(maker *m, milo_value *x) {
  static const milo_opcode codes[] = {MILO_OP_add, MILO_OP_sub, MILO_OP_mul, MILO_OP_maximum};
  const milo_opcode code = codes[draw(m, 4)];
  milo_value *y = other(m, x);
  return draw(m, 2) ? milo_b_binary(&m->b, code, x, y) : milo_b_binary(&m->b, code, y, x);
}

static milo_value *make_other(maker *m, milo_value *x) {
  const bool is_float = milo_dtype_is_float(x->type.dtype);
  switch (draw(m, 7)) {
    case 0:
      return milo_b_binary(&m->b, MILO_OP_pow, x,
                           milo_b_number(&m->b, x->type.dtype, (double)(1 + draw(m, 3))));
    case 1:
      return milo_b_div(&m->b, x, milo_b_number(&m->b, x->type.dtype, (double)(1 + draw(m, 2))));
    case 2:
      return milo_b_unary(&m->b, is_float ? MILO_OP_sigmoid : MILO_OP_square, x);
    case 3:
      return EMIT(&m->b, identity, {"x", x});
    case 4: {
      milo_value *values[] = {x, x};
      return x->type.rank > 0 ? milo_b_concat(&m->b, values, 1 + draw(m, 2), 0) : x;
    }
    case 5:
      return milo_b_select(&m->b, milo_b_bool(&m->b, draw(m, 2) > 0), x, other(m, x));
    default:
      return milo_b_unary(&m->b, MILO_OP_abs, x);
  }
}

// A value that arithmetic takes.
static milo_value *number(maker *m, milo_value *x) {
  const milo_dtype dtype = x->type.dtype;
  return milo_dtype_is_float(dtype) || dtype == MILO_INT32 ? x : milo_b_cast(&m->b, x, MILO_INT32);
}

static milo_value *make_value(maker *m) {
  milo_value *x = pick(m);
  switch (draw(m, 9)) {
    case 0:
      return make_transpose(m, x);
    case 1:
      return make_reshape(m, x);
    case 2:
      return make_slice(m, x);
    case 3:
      return make_reduce(m, number(m, x));
    case 4:
      return make_cast(m, x);
    case 5:
    case 6:
      return make_arithmetic(m, number(m, x));
    default:
      return make_other(m, number(m, x));
  }
}

static milo_program *make_program(uint64_t seed, milo_diag *diag) {
  static const int64_t dims[] = {2, 3, 1}, vector[] = {4};
  milo_program *program = milo_program_create();
  milo_func *func = milo_program_add_func(program, "main", "ios18");
  maker m = {.b = milo_builder_at_end(func, diag), .seed = seed};
  m.pool[m.count++] = milo_func_add_param(func, "x", milo_type_tensor(MILO_FP32, 3, dims));
  m.pool[m.count++] = milo_func_add_param(func, "h", milo_type_tensor(MILO_FP16, 3, dims));
  m.pool[m.count++] = milo_func_add_param(func, "i", milo_type_tensor(MILO_INT32, 1, vector));
  m.pool[m.count++] = milo_b_splat(&m.b, milo_type_tensor(MILO_FP32, 1, vector), 3);
  for (int i = 0; i < OPS && m.b.status == MILO_OK; i++) {
    milo_value *value = make_value(&m);
    m.pool[m.count++] = value;
  }
  CHECK(m.b.status == MILO_OK);
  for (size_t i = 0; i < 4 && m.b.status == MILO_OK; i++)
    milo_func_add_output(func, m.pool[m.count - 1 - i]);
  return program;
}

// ---- running as it is, without passes ----

static double input_number(size_t i) {
  static const double numbers[] = {1.5, -2, INFINITY, 0.25, NAN, -3, 65504, -INFINITY, 0, 7};
  return numbers[i % 10];
}

typedef struct outputs {
  milo_type types[4];
  const char *names[4];
  milo_buffer *buffers[4];
} outputs;

static void run_plain(milo_device *device, milo_func *func, outputs *out, milo_diag *diag) {
  static const milo_executable_options none = {0};
  const milo_block *body = func->body;
  milo_buffer *inputs[3];
  void *code;
  for (size_t i = 0; i < 3; i++) {
    const milo_type *type = &body->params[i]->type;
    if (milo_buffer_alloc(milo_type_bytes(type), diag, &inputs[i]) != MILO_OK) abort();
    for (size_t k = 0; k < milo_type_elements(type); k++)
      milo_number_store(type->dtype, milo_buffer_host(inputs[i]), k, input_number(i * 3 + k));
  }
  for (size_t i = 0; i < 4; i++) {
    out->types[i] = body->outputs[i]->type;
    out->names[i] = body->outputs[i]->name;
    if (milo_buffer_alloc(milo_type_bytes(&out->types[i]), diag, &out->buffers[i]) != MILO_OK)
      abort();
  }
  milo_func_number(func);
  if (CHECK(device->type->compile(device, func, &none, &code, diag) == MILO_OK)) {
    void *state = NULL;
    CHECK(device->type->state_create(device, code, &state, diag) == MILO_OK);
    CHECK(device->type->run(device, code, state, inputs, out->buffers, diag) == MILO_OK);
    device->type->state_destroy(state);
    device->type->code_destroy(code);
  }
  for (size_t i = 0; i < 3; i++) milo_buffer_release(inputs[i]);
}

static bool outputs_equal(const outputs *a, const outputs *b) {
  for (size_t i = 0; i < 4; i++) {
    if (!CHECK(milo_type_equal(&a->types[i], &b->types[i]))) return false;
    if (!CHECK_STR(b->names[i], a->names[i])) return false;
    for (size_t k = 0; k < milo_type_elements(&a->types[i]); k++) {
      const double x = milo_number_load(a->types[i].dtype, milo_buffer_host(a->buffers[i]), k);
      const double y = milo_number_load(a->types[i].dtype, milo_buffer_host(b->buffers[i]), k);
      if (CHECK(x == y || (isnan(x) && isnan(y)))) continue;
      printf("# %s[%zu]: before %.9g, after %.9g\n", a->names[i], k, x, y);
      return false;
    }
  }
  return true;
}

static void release(outputs *out) {
  for (size_t i = 0; i < 4; i++) milo_buffer_release(out->buffers[i]);
}

static size_t op_count(const milo_func *func) {
  size_t count = 0;
  for (const milo_op *op = func->body->first; op != NULL; op = op->next)
    count += op->code != MILO_OP_const;
  return count;
}

static void check_pass(milo_device *device, const milo_program *program, const outputs *before,
                       size_t pass, uint64_t seed, size_t *removed) {
  milo_diag diag = {0};
  milo_program *copy = milo_program_create();
  const milo_func *origin = milo_program_find_func(program, NULL);
  milo_func *func = milo_func_clone(copy, origin, "main");
  const milo_pass_options options = {.eval = milo_ref_fold};
  outputs after;
  bool good = CHECK(passes[pass].pass(func, &options, &diag) == MILO_OK) &&
              CHECK(milo_ir_verify_func(func, &diag) == MILO_OK);
  if (good) {
    run_plain(device, func, &after, &diag);
    good = outputs_equal(before, &after);
    release(&after);
    *removed += op_count(origin) > op_count(func);
  }
  if (!good) {
    milo_str text = {0};
    if (milo_text_print(program, &text) == MILO_OK)
      printf("# pass %s, seed %" PRIu64 ": %s\n%s\n", passes[pass].name, seed,
             milo_diag_text(&diag), text.data);
    milo_str_deinit(&text);
  }
  milo_program_destroy(copy);
  milo_diag_deinit(&diag);
}

static void test_values_are_kept(void) {
  static const milo_host host = {0};
  milo_diag diag = {0};
  milo_device *device;
  size_t removed[PASS_COUNT] = {0};
  if (!CHECK(milo_device_open("ref", &host, &diag, &device) == MILO_OK)) return;
  for (uint64_t seed = 0; seed < PROGRAMS; seed++) {
    milo_program *program = make_program(seed, &diag);
    if (CHECK(milo_ir_verify(program, &diag) == MILO_OK)) {
      outputs before;
      run_plain(device, milo_program_find_func(program, NULL), &before, &diag);
      for (size_t i = 0; i < PASS_COUNT; i++)
        check_pass(device, program, &before, i, seed, &removed[i]);
      release(&before);
    }
    milo_program_destroy(program);
  }
  if (diag.errors > 0) printf("# %s\n", milo_diag_text(&diag));
  for (size_t i = 0; i < PASS_COUNT; i++) {
    printf("# %s made %zu of %d programs smaller\n", passes[i].name, removed[i], PROGRAMS);
    // there is nothing to expand or asked to be narrowed; cse leaves what it replaced to dce
    if (passes[i].pass != milo_pass_narrow && passes[i].pass != milo_pass_expand &&
        passes[i].pass != milo_pass_cse)
      CHECK(removed[i] > PROGRAMS / 10);
  }
  milo_device_close(device);
  milo_diag_deinit(&diag);
}

int main(void) {
  RUN(test_values_are_kept);
  return tap_done();
}
