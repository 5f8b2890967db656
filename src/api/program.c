// SPDX-License-Identifier: MIT
// Helpers behind the public functions on programs.
#include "api/program.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "ir/op.h"

milo_status milo_program_need_func(const milo_program *program, const char *name, milo_diag *diag,
                                   const milo_func **out_func) {
  *out_func = milo_program_find_func(program, name);
  if (*out_func != NULL) return MILO_OK;
  milo_str names = {0};
  for (size_t i = 0; i < program->func_count; i++)
    milo_str_printf(&names, "%s%s", i > 0 ? ", " : "it has: ", program->funcs[i]->name);
  const milo_status status =
      name == NULL || names.data == NULL
          ? milo_fail(diag, MILO_NO_LOC, MILO_ERR_NOT_FOUND, "the program has no functions")
          : milo_fail(diag, MILO_NO_LOC, MILO_ERR_NOT_FOUND, "the program has no function %s\n%s",
                      name, names.data);
  milo_str_deinit(&names);
  return status;
}

static int compare_params(const void *a, const void *b) {
  const milo_value *x = *(const milo_value *const *)a, *y = *(const milo_value *const *)b;
  const int order = strcmp(x->name, y->name);
  return order != 0 ? order : x->index < y->index ? -1 : x->index > y->index;
}

const milo_value **milo_params_sort(const milo_func *func, milo_arena *arena) {
  const size_t count = func->body->param_count;
  const milo_value **sorted = milo_arena_alloc_array(arena, count, sizeof *sorted);
  for (size_t i = 0; i < count; i++) sorted[i] = func->body->params[i];
  if (count > 1) qsort(sorted, count, sizeof *sorted, compare_params);
  return sorted;
}

milo_value *milo_params_find(const milo_func *func, const milo_value *const *sorted,
                             const char *name) {
  size_t low = 0, high = func->body->param_count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (strcmp(sorted[middle]->name, name) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == func->body->param_count || strcmp(sorted[low]->name, name) != 0) return NULL;
  return func->body->params[sorted[low]->index];
}

milo_value_info milo_value_info_make(milo_arena *arena, const milo_value *value) {
  milo_value_info info = {.name = value->name, .rank = -1};
  info.type = milo_type_format(arena, &value->type, true);
  const milo_type *type = &value->type;
  if (type->kind == MILO_TYPE_STATE) type = &type->elems[0];  // what it holds
  if (type->kind == MILO_TYPE_TENSOR) {
    info.dtype = type->dtype;
    info.rank = type->rank;
    memcpy(info.shape, type->dims, sizeof info.shape);
  }
  return info;
}

void milo_program_describe(milo_program *program) {
  milo_arena *arena = &program->arena;
  for (size_t f = 0; f < program->func_count; f++) {
    milo_func *func = program->funcs[f];
    const milo_block *body = func->body;
    const size_t inputs = body->param_count, count = inputs + body->output_count;
    milo_value_info *signature = MILO_NEW_ARRAY(arena, milo_value_info, count);
    for (size_t i = 0; i < count; i++)
      signature[i] =
          milo_value_info_make(arena, i < inputs ? body->params[i] : body->outputs[i - inputs]);
    func->signature = signature;
  }
}

const char *milo_op_name(size_t index) {
  return index + 1 < MILO_OP_COUNT ? milo_op_info_get((milo_opcode)(index + 1))->name : NULL;
}
