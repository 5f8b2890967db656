// SPDX-License-Identifier: MIT
// Programs: loading, printing, saving, inspection.
#include <stdlib.h>
#include <string.h>

#include "api/ctx.h"
#include "api/program.h"
#include "base/file.h"
#include "base/str.h"
#include "ir/op.h"
#include "package/beside.h"
#include "package/blob.h"
#include "text/text.h"

enum { LARGE_BYTES = 1024 };  // constants above this are weights

// ---- in and out ----

static milo_status resolve(milo_program *program, const char *model_path, milo_diag *diag,
                           milo_program **out_program) {
  const milo_status status = model_path ? milo_blob_resolve(program, model_path, diag) : MILO_OK;
  if (status == MILO_OK) {
    milo_program_describe(program);
    *out_program = program;
  } else {
    milo_program_destroy(program);
  }
  return status;
}

milo_status milo_program_parse(milo_ctx *ctx, const char *text, size_t text_bytes, const char *name,
                               const char *model_path, milo_program **out_program) {
  *out_program = NULL;
  milo_diag *diag = milo_ctx_begin(ctx);
  milo_program *program;
  MILO_TRY(milo_text_parse(text, text_bytes, name ? name : "text", diag, &program));
  return resolve(program, model_path, diag, out_program);
}

milo_status milo_program_load(milo_ctx *ctx, const char *path, milo_program **out_program) {
  *out_program = NULL;
  milo_diag *diag = milo_ctx_begin(ctx);
  void *text;
  size_t bytes;
  milo_program *program;
  MILO_TRY(milo_file_read(path, 0, diag, &text, &bytes));
  MILO_TRY(milo_text_parse_owned(text, bytes, path, diag, &program));
  return resolve(program, milo_path_folder(&program->arena, path), diag, out_program);
}

milo_status milo_program_verify(milo_ctx *ctx, const milo_program *program) {
  return milo_ir_verify(program, milo_ctx_begin(ctx));
}

size_t milo_program_lint(milo_ctx *ctx, const milo_program *program) {
  milo_diag *diag = milo_ctx_begin(ctx);
  diag->warnings = true;
  const size_t count = milo_ir_lint(program, diag);
  diag->warnings = false;
  return count;
}

static milo_status print(const milo_program *program, milo_diag *diag, milo_str *out) {
  const milo_status status = milo_text_print(program, out);
  return status == MILO_OK
             ? MILO_OK
             : milo_fail(diag, MILO_NO_LOC, status,
                         "the program holds a constant whose elements do not fit its shape");
}

milo_status milo_program_print(milo_ctx *ctx, const milo_program *program, char **out_text,
                               size_t *out_bytes) {
  *out_text = NULL;
  *out_bytes = 0;
  milo_str text = {0};
  const milo_status status = print(program, milo_ctx_begin(ctx), &text);
  if (status == MILO_OK) *out_text = milo_str_take(&text, out_bytes);
  milo_str_deinit(&text);
  return status;
}

milo_program *milo_program_copy(const milo_program *program) {
  milo_program *copy = milo_program_create();
  for (size_t i = 0; i < program->func_count; i++)
    (void)milo_func_clone(copy, program->funcs[i], program->funcs[i]->name);
  copy->version_major = program->version_major;
  copy->version_minor = program->version_minor;
  copy->has_attrs = program->has_attrs;
  copy->final_newline = program->final_newline;
  for (size_t i = 0; i < program->attrs.count; i++)
    milo_attrs_add(&copy->arena, &copy->attrs, program->attrs.items[i].name,
                   program->attrs.items[i].value);
  return copy;
}

// The text and, where it is put into a file, the blob file that it needs. The blob file comes
// first, under a name that no text refers to yet; whatever stops this leaves the old pair or the
// new one.
static milo_status save(milo_program *copy, size_t min_bytes, const char *path, milo_writer *writer,
                        milo_diag *diag) {
  const bool is_file = milo_writer_is_file(writer);
  milo_writer *blobs = NULL;
  milo_beside beside;
  milo_str text = {0};
  milo_status status = MILO_OK;
  bool has_blobs = false;
  if (is_file) {
    milo_beside_begin(&beside, &copy->arena, copy, path);
    status =
        milo_blob_export(copy, min_bytes, beside.folder, beside.stem, beside.name, diag, &blobs);
  }
  if (status == MILO_OK) status = print(copy, diag, &text);
  if (status == MILO_OK) status = milo_writer_write(writer, text.data, text.bytes, diag);
  if (status == MILO_OK && blobs) {
    status = milo_writer_commit(blobs, diag);
    has_blobs = status == MILO_OK;
  }
  if (status == MILO_OK) status = milo_writer_commit(writer, diag);
  if (is_file && (status == MILO_OK || has_blobs)) milo_beside_sweep(&beside);
  milo_writer_close(blobs);
  milo_str_deinit(&text);
  return status;
}

static milo_status write_to(const milo_program *program, size_t min_bytes, bool newline,
                            const char *path, milo_diag *diag) {
  milo_writer *writer;
  MILO_TRY(milo_writer_open(path, diag, &writer));
  // A copy whose literals can be moved to a blob file while the program keeps its own.
  milo_program *copy = milo_program_copy(program);
  copy->final_newline = copy->final_newline || newline;
  const milo_status status = save(copy, min_bytes, path, writer, diag);
  milo_writer_close(writer);
  milo_program_destroy(copy);
  return status;
}

milo_status milo_program_save(milo_ctx *ctx, const milo_program *program, const char *path) {
  return write_to(program, LARGE_BYTES, true, path, milo_ctx_begin(ctx));
}

milo_status milo_program_write(const milo_program *program, const char *path, milo_diag *diag) {
  return write_to(program, SIZE_MAX, false, path, diag);
}

// ---- inspection ----

size_t milo_program_function_count(const milo_program *program) { return program->func_count; }

const char *milo_program_function_name(const milo_program *program, size_t function) {
  return function < program->func_count ? program->funcs[function]->name : NULL;
}

static size_t copy_signature(const milo_func *func, size_t first, size_t count,
                             milo_value_info *out, size_t max) {
  for (size_t i = 0; i < count && i < max; i++) out[i] = func->signature[first + i];
  return count;
}

size_t milo_program_inputs(const milo_program *program, const char *function, milo_value_info *out,
                           size_t max) {
  const milo_func *func = milo_program_find_func(program, function);
  return func ? copy_signature(func, 0, func->body->param_count, out, max) : 0;
}

size_t milo_program_outputs(const milo_program *program, const char *function, milo_value_info *out,
                            size_t max) {
  const milo_func *func = milo_program_find_func(program, function);
  if (!func) return 0;
  return copy_signature(func, func->body->param_count, func->body->output_count, out, max);
}

// Calls fn for every operation, those of nested blocks after the one that holds them.
typedef void op_fn(void *user, const milo_op *op);

static void visit(const milo_block *block, op_fn *fn, void *user) {
  for (const milo_op *op = block->first; op; op = op->next) {
    fn(user, op);
    for (size_t i = 0; i < op->block_count; i++) visit(op->blocks[i], fn, user);
  }
}

typedef struct op_names {
  milo_arena arena;
  const char **items;
  size_t count, capacity;
} op_names;

static void add_name(void *user, const milo_op *op) {
  op_names *names = user;
  MILO_PUSH(&names->arena, names->items, names->count, names->capacity, op->name);
}

static int compare_names(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

size_t milo_program_op_counts(const milo_program *program, const char *function, milo_op_count *out,
                              size_t max) {
  const milo_func *func = milo_program_find_func(program, function);
  if (!func) return 0;
  op_names names = {0};
  visit(func->body, add_name, &names);
  if (names.count > 1) qsort(names.items, names.count, sizeof *names.items, compare_names);
  size_t kinds = 0, first = 0;
  for (size_t i = 1; i <= names.count; i++) {
    if (i < names.count && strcmp(names.items[i], names.items[first]) == 0) continue;
    if (kinds < max)
      out[kinds] =
          (milo_op_count){.name = names.items[first],
                          .count = i - first,
                          .supported = milo_opcode_find(names.items[first]) != MILO_OP_unknown};
    kinds++;
    first = i;
  }
  milo_arena_deinit(&names.arena);
  return kinds;
}

typedef struct weight_list {
  milo_weight_info *out;
  size_t max, count;
} weight_list;

static void add_weight(weight_list *list, const char *name, const milo_literal *literal) {
  const bool is_blob = literal->kind == MILO_LITERAL_BLOB;
  if (!is_blob && (literal->kind != MILO_LITERAL_DATA || literal->bytes <= LARGE_BYTES)) return;
  if (list->count < list->max)
    list->out[list->count] =
        (milo_weight_info){.name = name,
                           .file = is_blob ? literal->blob_path : NULL,
                           .dtype = literal->type.dtype,
                           .bytes = is_blob ? milo_type_bytes(&literal->type) : literal->bytes};
  list->count++;
}

static void add_weights(void *user, const milo_op *op) {
  const char *name = op->result_count > 0 ? op->results[0]->name : op->name;
  for (size_t i = 0; i < op->attrs.count; i++) add_weight(user, name, &op->attrs.items[i].value);
  for (size_t i = 0; i < op->arg_count; i++)
    for (size_t k = 0; k < op->args[i].count; k++) {
      const milo_value *value = op->args[i].values[k];
      if (!value->def && value->literal) add_weight(user, name, value->literal);
    }
}

size_t milo_program_weights(const milo_program *program, const char *function,
                            milo_weight_info *out, size_t max) {
  const milo_func *func = milo_program_find_func(program, function);
  weight_list list = {out, max, 0};
  if (func) visit(func->body, add_weights, &list);
  return list.count;
}
