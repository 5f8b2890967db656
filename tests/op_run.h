// SPDX-License-Identifier: MIT
// Runs MIL text on a device with tensors written as text ("fp32[2] x = 1 2; int32[] n = 3").
#ifndef MILO_TESTS_OP_RUN_H
#define MILO_TESTS_OP_RUN_H

#include "base/number.h"
#include "device/buffer.h"
#include "ir/op.h"
#include "tap.h"
#include "text/text.h"

enum { RUN_MAX_TENSORS = 16, RUN_MAX_ELEMENTS = 1024 };

typedef struct run_tensor {
  char name[32];
  milo_type type;
  size_t count;
  double values[RUN_MAX_ELEMENTS];
} run_tensor;

typedef struct run_tensors {
  int count;
  run_tensor items[RUN_MAX_TENSORS];
} run_tensors;

static inline const char *run_parse_tensor(const char *p, run_tensor *t) {
  char dtype[16];
  int used = 0;
  if (sscanf(p, " %15[a-z0-9]%n", dtype, &used) != 1) abort();
  p += used;
  t->type = milo_type_tensor(milo_dtype_find(dtype), 0, NULL);
  for (p++; *p != ']'; p += *p == ',') {
    char *end;
    t->type.dims[t->type.rank++] = strtoll(p, &end, 10);
    p = end;
  }
  if (sscanf(p, "] %31[A-Za-z0-9_] =%n", t->name, &used) != 1) abort();
  p += used;
  t->count = milo_type_elements(&t->type);
  for (size_t i = 0; i < t->count; i++) {
    char *end;
    t->values[i] = strtod(p, &end);
    if (end == p) abort();
    p = end;
  }
  while (*p == ' ') p++;
  return p;
}

static inline void run_parse(const char *text, run_tensors *out) {
  out->count = 0;
  while (*text != '\0') {
    text = run_parse_tensor(text, &out->items[out->count++]);
    if (*text == ';') text++;
  }
}

// Does text call op? "rms_norm(" is in "rms_norm_grad(" no more than in "my_rms_norm(".
static inline bool run_calls(const char *text, const char *op) {
  const size_t length = strlen(op);
  for (const char *p = text; (p = strstr(p, op)) != NULL; p++)
    if (p[length] == '(' && (p == text || p[-1] == ' ')) return true;
  return false;
}

// The program of one function main with these inputs and outputs.
static inline milo_program *run_program(const run_tensors *inputs, const char *body,
                                        const run_tensors *results, milo_diag *diag) {
  milo_str text = {0};
  milo_arena arena = {0};
  milo_str_puts(&text, "program(1.3) {\n  func main<ios18>(");
  for (int i = 0; i < inputs->count; i++)
    milo_str_printf(&text, "%s%s %s", i > 0 ? ", " : "",
                    milo_type_format(&arena, &inputs->items[i].type, false), inputs->items[i].name);
  milo_str_printf(&text, ") {\n    %s\n  } -> (", body);
  for (int i = 0; i < results->count; i++)
    milo_str_printf(&text, "%s%s", i > 0 ? ", " : "", results->items[i].name);
  milo_str_puts(&text, ");\n}\n");
  milo_program *program = NULL;
  if (milo_text_parse(text.data, text.bytes, "case.mil", diag, &program) != MILO_OK) program = NULL;
  milo_str_deinit(&text);
  milo_arena_deinit(&arena);
  return program;
}

static inline void run_store(const run_tensor *t, void *data) {
  for (size_t i = 0; i < t->count; i++) {
    if (milo_dtype_is_int(t->type.dtype))
      milo_number_store_int(t->type.dtype, data, i, (int64_t)t->values[i]);
    else
      milo_number_store(t->type.dtype, data, i, t->values[i]);
  }
}

// Runs func; results->items[...].values are overwritten.
static inline milo_status run_func(milo_device *device, const milo_func *func,
                                   const run_tensors *inputs, run_tensors *results,
                                   milo_diag *diag) {
  milo_run *executable;
  milo_status status = milo_run_compile(device, func, NULL, diag, &executable);
  if (status != MILO_OK) return status;
  milo_buffer *in[RUN_MAX_TENSORS] = {0}, *out[RUN_MAX_TENSORS] = {0};
  for (int i = 0; i < inputs->count; i++) {
    if (milo_buffer_alloc(milo_type_bytes(&inputs->items[i].type), diag, &in[i]) != MILO_OK)
      abort();
    run_store(&inputs->items[i], milo_buffer_host(in[i]));
  }
  for (int i = 0; i < results->count; i++) {
    const milo_value *output = milo_executable_output(milo_run_executable(executable), (size_t)i);
    if (milo_buffer_alloc(milo_type_bytes(&output->type), diag, &out[i]) != MILO_OK) abort();
  }
  status = milo_run_execute(executable, in, out, diag);
  for (int i = 0; status == MILO_OK && i < results->count; i++) {
    run_tensor *t = &results->items[i];
    const milo_value *output = milo_executable_output(milo_run_executable(executable), (size_t)i);
    if (!CHECK(milo_type_equal(&output->type, &t->type))) break;
    CHECK_STR(output->name, t->name);
    for (size_t k = 0; k < t->count; k++)
      t->values[k] = milo_number_load(t->type.dtype, milo_buffer_host(out[i]), k);
  }
  for (int i = 0; i < RUN_MAX_TENSORS; i++) {
    milo_buffer_release(in[i]);
    milo_buffer_release(out[i]);
  }
  milo_run_destroy(executable);
  return status;
}

// One unit in the last place of a number near 1; integers: 0.
static inline double run_unit(milo_dtype dtype) {
  return dtype == MILO_FP64   ? 0x1p-52
         : dtype == MILO_FP32 ? 0x1p-23
         : dtype == MILO_FP16 ? 0x1p-10
         : dtype == MILO_BF16 ? 0x1p-7
                              : 0;
}

// Every element within steps units of the tensor's greatest finite value.
static inline bool run_compare(const run_tensors *got, const run_tensors *wanted, double steps) {
  bool close = true;
  for (int i = 0; i < wanted->count; i++) {
    const run_tensor *t = &wanted->items[i];
    double scale = 0;
    for (size_t k = 0; k < t->count; k++) scale = compare_scale(scale, t->values[k]);
    const double bound = run_unit(t->type.dtype) * steps * scale;
    for (size_t k = 0; k < t->count; k++) {
      const double g = got->items[i].values[k], w = t->values[k];
      if (compare_near(g, w, bound)) continue;
      printf("# %s[%zu]: got %.9g, wanted %.9g within %.3g\n", t->name, k, g, w, bound);
      close = false;
    }
  }
  return close;
}

#endif
