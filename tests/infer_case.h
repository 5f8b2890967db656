// SPDX-License-Identifier: MIT
// Cases of type inference as text, read and run: a row a case.
//
// Arguments are written name=type, types as fp32[2,3], ? for an unknown dim, [*] for an unknown
// rank, nothing for a scalar; a constant has its numbers behind: int32[2]{0,1}, bool{1}, 'word'.
// Several values: fp32[2]|fp32[3]. Results likewise; a fault is "!" and a part of its message.
#ifndef MILO_TESTS_INFER_CASE_H
#define MILO_TESTS_INFER_CASE_H

#include "base/number.h"
#include "ir/op.h"
#include "tap.h"

typedef struct infer_case {
  const char *op, *args, *wanted;
} infer_case;

static bool has_good[MILO_OP_COUNT], has_bad[MILO_OP_COUNT];

// ---- reading cases ----

static inline milo_type read_type(const char **at) {
  char name[16];
  size_t n = strcspn(*at, "[{| ");
  memcpy(name, *at, n);
  name[n] = '\0';
  *at += n;
  milo_type type = milo_type_scalar(milo_dtype_find(name));
  CHECK(type.dtype != MILO_DTYPE_NONE);
  if (**at != '[') return type;
  if ((*at)[1] == '*') {
    type.rank = -1;
    *at += 3;
    return type;
  }
  while (*(*at)++ != ']') {
    if (**at == ']') continue;
    if (**at == '?') {
      type.dims[type.rank++] = MILO_DIM_UNKNOWN;
      ++*at;
    } else {
      char *end;
      type.dims[type.rank++] = strtoll(*at, &end, 10);
      *at = end;
    }
  }
  return type;
}

static inline milo_literal read_word(milo_arena *arena, const char **at) {
  const size_t n = strcspn(*at + 1, "'");
  const char **strings = MILO_NEW(arena, const char *);
  strings[0] = milo_arena_strndup(arena, *at + 1, n);
  *at += n + 2;
  return (milo_literal){.kind = MILO_LITERAL_STRINGS,
                        .type = milo_type_scalar(MILO_STRING),
                        .strings = strings,
                        .count = 1};
}

static inline milo_literal read_numbers(milo_arena *arena, milo_type type, const char **at) {
  milo_literal literal = {.kind = MILO_LITERAL_DATA, .type = type};
  char *data = milo_arena_alloc(arena, 64 * 8);
  while (*(*at)++ != '}') {
    if (**at == '}') continue;
    char *end;
    milo_number_store(type.dtype, data, literal.count++, strtod(*at, &end));
    *at = end;
  }
  CHECK(literal.count <= 64);
  literal.data = data;
  return literal;
}

static inline milo_value *read_value(milo_func *func, const char **at) {
  milo_arena *arena = &func->program->arena;
  if (**at == '\'') return milo_value_literal(arena, read_word(arena, at));
  const milo_type type = read_type(at);
  if (**at == '{') return milo_value_literal(arena, read_numbers(arena, type, at));
  return milo_func_add_param(func, milo_func_fresh_name(func, "in"), type);
}

static inline milo_op *read_op(milo_func *func, const infer_case *c) {
  milo_op *op = milo_op_create(func->body, NULL, c->op, MILO_NO_LOC);
  const char *at = c->args;
  while (*at != '\0') {
    char name[32];
    const size_t n = strcspn(at, "=");
    memcpy(name, at, n);
    name[n] = '\0';
    at += n;  // the "="
    milo_value *values[8];
    size_t count = 0;
    do {
      at++;
      values[count++] = read_value(func, &at);
    } while (*at == '|');
    milo_op_add_arg(op, name, values, count);
    while (*at == ' ') at++;
  }
  return op;
}

// ---- running them ----

static inline bool same_types(const milo_types *types, const char *wanted) {
  size_t count = 0;
  for (; *wanted != '\0'; count++) {
    const milo_type type = read_type(&wanted);
    if (count >= types->count || !milo_type_equal(&type, &types->items[count])) return false;
    while (*wanted == ' ') wanted++;
  }
  return count == types->count;
}

static inline void run_case(const infer_case *c) {
  milo_program *program = milo_program_create();
  milo_func *func = milo_program_add_func(program, "main", "ios18");
  milo_op *op = read_op(func, c);
  milo_arena scratch = {0};
  milo_types types = {.arena = &scratch};
  milo_diag diag = {0};
  const milo_status status = milo_op_infer(op, &types, &diag);
  bool held;
  if (c->wanted[0] == '!') {
    held = CHECK(status == MILO_ERR_INVALID) && CHECK(diag.errors == 1) &&
           CHECK(strstr(milo_diag_text(&diag), c->wanted + 1) != NULL) &&
           CHECK(strstr(milo_diag_text(&diag), c->op) != NULL);
    has_bad[op->code] = true;
  } else {
    held = CHECK(status == MILO_OK) && CHECK(same_types(&types, c->wanted));
    has_good[op->code] = true;
  }
  if (!held) {
    printf("#   %s(%s), wanted %s\n#   %s\n", c->op, c->args, c->wanted, milo_diag_text(&diag));
    for (size_t i = 0; i < types.count; i++)
      printf("#   got %s\n", milo_type_format(&scratch, &types.items[i], true));
  }
  milo_diag_deinit(&diag);
  milo_arena_deinit(&scratch);
  milo_program_destroy(program);
}

#define RUN_ALL(cases) \
  for (size_t i = 0; i < sizeof(cases) / sizeof *(cases); i++) run_case(&(cases)[i])

// Runs a case for every operation whose arguments are those of the model: same parameter names.
static inline void run_like(const char *model, const char *args, const char *wanted) {
  const milo_op_info *row = milo_op_info_get(milo_opcode_find(model));
  for (int code = MILO_OP_unknown + 1; code < MILO_OP_COUNT; code++) {
    const milo_op_info *info = milo_op_info_get((milo_opcode)code);
    bool like = info->infer == row->infer && (info->domain[0] & row->domain[0]) == row->domain[0];
    for (int i = 0; like && i < MILO_MAX_PARAMS; i++) {
      const char *a = info->params[i].name, *b = row->params[i].name;
      like = a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
    }
    if (like) run_case(&(infer_case){info->name, args, wanted});
  }
}

#endif
