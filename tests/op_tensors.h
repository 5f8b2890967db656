// SPDX-License-Identifier: MIT
// Named buffers with types, for tests that run one piece of MIL text on them: "T[2,3] x, int32[4]
// i" declares two, T being the case's type.
#ifndef TESTS_OP_TENSORS_H
#define TESTS_OP_TENSORS_H

#include "base/rng.h"
#include "op_run.h"

enum { MAX_TENSORS = 12 };

typedef struct tensors {
  int count;
  char names[MAX_TENSORS][32];
  milo_type types[MAX_TENSORS];
  milo_buffer *buffers[MAX_TENSORS];
} tensors;

// "T[2,3] x, int32[4] i": T is the case's type.
static inline void parse(const char *text, const char *dtype, tensors *out) {
  *out = (tensors){0};
  while (*text != '\0') {
    char name[16];
    int used;
    if (sscanf(text, " %15[a-zA-Z0-9]%n", name, &used) != 1) abort();
    text += used;
    milo_type *t = &out->types[out->count];
    *t = milo_type_tensor(milo_dtype_find(strcmp(name, "T") == 0 ? dtype : name), 0, NULL);
    for (text++; *text != ']'; text += *text == ',') {
      char *end;
      t->dims[t->rank++] = strtoll(text, &end, 10);
      text = end;
    }
    if (sscanf(text, "] %31[A-Za-z0-9_]%n", out->names[out->count], &used) != 1) abort();
    text += used;
    out->count++;
    if (*text == ',') text++;
  }
}

static inline void release(tensors *t) {
  for (int i = 0; i < t->count; i++) milo_buffer_release(t->buffers[i]);
}

// Numbers in [-2, 2]; with special, every ninth is one that breaks things. Integers: [0, below).
static inline void fill(tensors *t, uint64_t seed, bool special, int64_t below) {
  static const double specials[] = {0.0, -0.0, INFINITY, -INFINITY, NAN, 1e-40, 88.9, -104.0, 1.0};
  for (int i = 0; i < t->count; i++) {
    const milo_type *type = &t->types[i];
    if (milo_buffer_alloc(milo_type_bytes(type), NULL, &t->buffers[i]) != MILO_OK) abort();
    for (size_t k = 0; k < milo_type_elements(type); k++) {
      double v = 4 * milo_rng_uniform(seed, (uint64_t)i, k) - 2;
      if (special && k % 9 == 4) v = specials[milo_rng_below(seed, 99, k, 9)];
      if (milo_dtype_is_int(type->dtype))
        v = (double)milo_rng_below(seed, (uint64_t)i, k, (uint64_t)below);
      if (type->dtype == MILO_BOOL) v = v > 0;
      milo_number_store(type->dtype, milo_buffer_host(t->buffers[i]), k, v);
    }
  }
}

static inline milo_program *program_of(const tensors *in, const char *body, const char *dtype,
                                       const tensors *out, milo_diag *diag) {
  milo_str text = {0};
  milo_arena arena = {0};
  milo_str_puts(&text, "program(1.3) {\n  func main<ios18>(");
  for (int i = 0; i < in->count; i++)
    milo_str_printf(&text, "%s%s %s", i > 0 ? ", " : "",
                    milo_type_format(&arena, &in->types[i], false), in->names[i]);
  milo_str_puts(&text, ") {\n");
  for (const char *p = body; *p != '\0'; p++) {  // <T, T(, and [name = ...] are filled in
    if (strncmp(p, "<T", 2) == 0 || strncmp(p, " T(", 3) == 0) {
      milo_str_printf(&text, "%c%s", *p, dtype);
      p++;
    } else if (*p == ';' && p[-1] != ']') {
      const char *line = p;
      while (line > body && line[-1] != ';') line--;
      char name[32];
      const char *space = strchr(strchr(line, '>'), ' ');
      if (sscanf(space, " %31[A-Za-z0-9_]", name) != 1) abort();
      milo_str_printf(&text, "[name = string(\"%s\")];\n", name);
    } else {
      milo_str_putc(&text, *p);
    }
  }
  milo_str_puts(&text, "  } -> (");
  for (int i = 0; i < out->count; i++)
    milo_str_printf(&text, "%s%s", i > 0 ? ", " : "", out->names[i]);
  milo_str_puts(&text, ");\n}\n");
  milo_program *program = NULL;
  if (milo_text_parse(text.data, text.bytes, "case.mil", diag, &program) != MILO_OK) program = NULL;
  if (program == NULL) printf("# %s\n", text.data);
  milo_str_deinit(&text);
  milo_arena_deinit(&arena);
  return program;
}

static inline milo_status run_on(milo_device *device, const milo_func *func, const tensors *in,
                                 tensors *out, milo_diag *diag) {
  milo_run *executable;
  milo_status status = milo_run_compile(device, func, NULL, diag, &executable);
  if (status != MILO_OK) return status;
  for (int i = 0; i < out->count; i++) {
    if (milo_buffer_alloc(milo_type_bytes(&out->types[i]), diag, &out->buffers[i]) != MILO_OK)
      abort();
    // What is not written shows.
    memset(milo_buffer_host(out->buffers[i]), 0x5a, milo_buffer_bytes(out->buffers[i]));
  }
  // Twice: nothing may be left over from the first run.
  status = milo_run_execute(executable, in->buffers, out->buffers, diag);
  if (status == MILO_OK) status = milo_run_execute(executable, in->buffers, out->buffers, diag);
  milo_run_destroy(executable);
  return status;
}

// Within steps units of the value, and mix units of the tensor's greatest finite value.
static inline bool agree(const tensors *got, const tensors *wanted, double steps, double mix) {
  for (int i = 0; i < wanted->count; i++) {
    const milo_type *t = &wanted->types[i];
    double greatest = 0;
    for (size_t k = 0; k < milo_type_elements(t); k++)
      greatest = compare_scale(greatest,
                               milo_number_load(t->dtype, milo_buffer_host(wanted->buffers[i]), k));
    for (size_t k = 0; k < milo_type_elements(t); k++) {
      const double g = milo_number_load(t->dtype, milo_buffer_host(got->buffers[i]), k);
      const double w = milo_number_load(t->dtype, milo_buffer_host(wanted->buffers[i]), k);
      const double own = isfinite(w) ? fabs(w) : 0;
      const double bound = run_unit(t->dtype) * (steps * own + mix * greatest) +
                           (t->dtype == MILO_FP16 ? 1e-7 : 1e-37);
      if (compare_near(g, w, bound)) continue;
      printf("# %s[%zu]: got %.9g, wanted %.9g within %.3g\n", wanted->names[i], k, g, w, bound);
      return false;
    }
  }
  return true;
}

static inline bool same_bits(const tensors *a, const tensors *b) {
  for (int i = 0; i < a->count; i++)
    if (memcmp(milo_buffer_host(a->buffers[i]), milo_buffer_host(b->buffers[i]),
               milo_type_bytes(&a->types[i])) != 0)
      return false;
  return true;
}

#endif
