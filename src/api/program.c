// SPDX-License-Identifier: MIT
// Helpers behind the public functions on programs.
#include "api/program.h"

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

milo_value_info milo_value_info_make(milo_arena *arena, const milo_value *value) {
  milo_value_info info = {.name = value->name, .rank = -1};
  info.type = milo_type_format(arena, &value->type, true);
  if (value->type.kind == MILO_TYPE_TENSOR) {
    info.dtype = value->type.dtype;
    info.rank = value->type.rank;
    memcpy(info.shape, value->type.dims, sizeof info.shape);
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
