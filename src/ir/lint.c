// SPDX-License-Identifier: MIT
// What a verified program may hold and most likely should not: names that nobody knows, numbers
// that became infinities.
#include <string.h>

#include "ir/op.h"

// Opsets as texts name them: the releases of iOS that brought each, and the numbers of Core ML's.
static const char *const opsets[] = {
    "ios13",   "ios14",   "ios15",   "ios16",   "ios17",   "ios18",   "ios26",
    "coreml4", "coreml5", "coreml6", "coreml7", "coreml8", "coreml9",
};
enum { OPSETS = sizeof opsets / sizeof *opsets };

typedef struct linter {
  milo_diag *diag;
  size_t count;
  const char *said[MILO_DIAG_MAX_ERRORS];  // names: each is reported where it stands first
} linter;

static bool is_new(linter *l, const char *name) {
  const size_t kept = l->count < MILO_DIAG_MAX_ERRORS ? l->count : MILO_DIAG_MAX_ERRORS;
  for (size_t i = 0; i < kept; i++)
    if (l->said[i] != NULL && strcmp(l->said[i], name) == 0) return false;
  if (l->count < MILO_DIAG_MAX_ERRORS) l->said[l->count] = name;
  l->count++;
  return true;
}

static bool same_letters(const char *a, const char *b) {
  for (; *a != '\0' && (*a == *b || (*a | 0x20) == *b); a++, b++) continue;
  return *a == *b;
}

static void check_opset(linter *l, const char *opset, milo_loc loc) {
  if (opset == NULL) return;
  for (int i = 0; i < OPSETS; i++)
    if (same_letters(opset, opsets[i])) return;
  if (is_new(l, opset))
    (void)milo_fail(
        l->diag, loc, MILO_ERR_INVALID,
        "Milo knows no opset %s\nit knows ios13 to ios18, ios26, and coreml4 to coreml9", opset);
}

static void check_name(linter *l, const milo_op *op) {
  if (op->code != MILO_OP_unknown || !is_new(l, op->name)) return;
  const char *nearest = milo_op_nearest(op->name);
  (void)milo_fail(l->diag, op->loc, MILO_ERR_UNSUPPORTED,
                  nearest != NULL
                      ? "%s is not an operation Milo knows; it is kept, but cannot run\ndid you "
                        "mean %s?"
                      : "%s is not an operation Milo knows; it is kept, but cannot run",
                  op->name, nearest);
}

static void check_block(linter *l, const milo_block *block) {
  for (const milo_op *op = block->first; op != NULL; op = op->next) {
    check_name(l, op);
    check_opset(l, op->opset, op->loc);
    for (size_t i = 0; i < op->block_count; i++) check_block(l, op->blocks[i]);
  }
}

size_t milo_ir_lint(const milo_program *program, milo_diag *diag) {
  linter l = {.diag = diag};
  for (size_t i = 0; i < program->func_count; i++) {
    check_opset(&l, program->funcs[i]->opset, program->funcs[i]->loc);
    check_block(&l, program->funcs[i]->body);
  }
  for (size_t i = 0; i < program->overflow_count; i++)
    (void)milo_fail(diag, program->overflows[i].loc, MILO_ERR_INVALID,
                    "this number is beyond the range of %s: it becomes an infinity\nwrite inf if "
                    "that is meant",
                    milo_dtype_name(program->overflows[i].dtype));
  return l.count + program->overflow_count;
}
