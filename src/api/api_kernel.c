// SPDX-License-Identifier: MIT
// Kernels and buffers: an executable with the buffers bound to its inputs and outputs.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/ctx.h"
#include "api/program.h"
#include "base/memory.h"
#include "base/option_struct.h"
#include "ir/op.h"

// Number `index` among inputs, then outputs.
typedef struct named {
  const char *name;
  size_t index;
} named;

enum { TYPE_BYTES = 256 };  // more than any tensor type takes

struct milo_kernel {
  milo_ctx *ctx;
  milo_run *run;
  milo_executable *executable;  // the run's
  milo_arena arena;             // type spellings
  milo_value_info *info;        // inputs, then outputs
  milo_buffer **buffers;        // likewise; NULL: not bound
  named *names;                 // of both, sorted
  char (*types)[TYPE_BYTES];    // spelling of outputs' types that only a run knows
  size_t input_count, output_count;
};

static const milo_value *kernel_value(const milo_kernel *kernel, size_t i) {
  return i < kernel->input_count
             ? milo_executable_input(kernel->executable, i)
             : milo_executable_output(kernel->executable, i - kernel->input_count);
}

static milo_status set_types(const milo_func *func, const milo_value *const *sorted,
                             const milo_value_info *inputs, size_t count, milo_diag *diag,
                             bool *is_given, milo_type *types) {
  const milo_block *body = func->body;
  for (size_t i = 0; i < body->param_count; i++) {
    types[i] = body->params[i]->type;
    is_given[i] = false;
  }
  for (size_t k = 0; k < count; k++) {
    const milo_value_info *given = &inputs[k];
    const milo_value *param = milo_params_find(func, sorted, given->name);
    if (param == NULL)
      return milo_fail(diag, func->loc, MILO_ERR_INVALID, "function %s has no input %s", func->name,
                       given->name);
    if (given->rank < 0 || given->rank > MILO_MAX_RANK)
      return milo_fail(diag, func->loc, MILO_ERR_INVALID, "input %s: rank %d is not in 0..%d",
                       given->name, given->rank, MILO_MAX_RANK);
    const milo_type *declared =
        param->type.kind == MILO_TYPE_STATE ? &param->type.elems[0] : &param->type;
    const milo_type type = milo_type_tensor(declared->dtype, given->rank, given->shape);
    if (!milo_type_compatible(&type, declared)) {
      milo_arena arena = {0};
      const milo_status status =
          milo_fail(diag, func->loc, MILO_ERR_INVALID, "input %s is declared %s, but %s was given",
                    given->name, milo_type_format(&arena, &param->type, true),
                    milo_type_format(&arena, &type, true));
      milo_arena_deinit(&arena);
      return status;
    }
    if (is_given[param->index])
      return milo_fail(diag, func->loc, MILO_ERR_INVALID, "the shape of input %s is given twice",
                       given->name);
    is_given[param->index] = true;
    types[param->index] = type;
  }
  return MILO_OK;
}

milo_status milo_program_input_types(const milo_func *func, const milo_value_info *inputs,
                                     size_t count, milo_diag *diag, milo_type *types) {
  milo_arena arena = {0};
  bool *is_given = MILO_NEW_ARRAY(&arena, bool, func->body->param_count);
  const milo_status status =
      set_types(func, milo_params_sort(func, &arena), inputs, count, diag, is_given, types);
  milo_arena_deinit(&arena);
  return status;
}

// An input comes before an output of the same name.
static int compare_named(const void *a, const void *b) {
  const named *x = a, *y = b;
  const int order = strcmp(x->name, y->name);
  return order != 0 ? order : x->index < y->index ? -1 : x->index > y->index;
}

// Takes the run. The tables that speak of inputs and outputs are made from it.
static milo_status create(milo_ctx *ctx, milo_run *run, milo_kernel **out_kernel) {
  milo_kernel *kernel = calloc(1, sizeof *kernel);
  if (kernel == NULL) {
    milo_run_destroy(run);
    return milo_fail(&ctx->diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a kernel");
  }
  kernel->ctx = ctx;
  milo_ctx_retain(ctx);
  kernel->run = run;
  kernel->executable = milo_run_executable(run);
  kernel->input_count = milo_executable_input_count(kernel->executable);
  kernel->output_count = milo_executable_output_count(kernel->executable);
  const size_t count = kernel->input_count + kernel->output_count;
  kernel->buffers = MILO_NEW_ARRAY(&kernel->arena, milo_buffer *, count);
  kernel->info = MILO_NEW_ARRAY(&kernel->arena, milo_value_info, count);
  for (size_t i = 0; i < count; i++)
    kernel->info[i] = milo_value_info_make(&kernel->arena, kernel_value(kernel, i));
  kernel->types = milo_arena_alloc_array(&kernel->arena, kernel->output_count, TYPE_BYTES);
  kernel->names = MILO_NEW_ARRAY(&kernel->arena, named, count);
  for (size_t i = 0; i < count; i++) kernel->names[i] = (named){kernel->info[i].name, i};
  if (count > 1) qsort(kernel->names, count, sizeof *kernel->names, compare_named);
  *out_kernel = kernel;
  return MILO_OK;
}

static milo_status read_roles(const milo_func *func, const milo_compile_options *options,
                              milo_role *roles, milo_diag *diag) {
  for (size_t i = 0; i < options->parameter_count; i++) {
    const milo_value *param = milo_func_find_param(func, options->parameters[i]);
    if (param == NULL)
      return milo_fail(diag, func->loc, MILO_ERR_NOT_FOUND, "function %s has no input %s",
                       func->name, options->parameters[i]);
    roles[param->index] = MILO_ROLE_PARAMETER;
  }
  return MILO_OK;
}

static milo_status compile(const milo_func *func, milo_device *device,
                           const milo_compile_options *options, milo_arena *scratch,
                           milo_diag *diag, milo_run **out_run) {
  *out_run = NULL;
  milo_type *types = MILO_NEW_ARRAY(scratch, milo_type, func->body->param_count);
  milo_role *roles = MILO_NEW_ARRAY(scratch, milo_role, func->body->param_count);
  if (options->products != MILO_PRODUCTS_EXACT && options->products != MILO_PRODUCTS_BF16)
    return milo_fail(diag, func->loc, MILO_ERR_INVALID, "products: there is no mode %d",
                     (int)options->products);
  MILO_TRY(milo_program_input_types(func, options->inputs, options->input_count, diag, types));
  MILO_TRY(read_roles(func, options, roles, diag));
  const milo_executable_options inner = {
      .roles = roles,
      .numeric = options->products == MILO_PRODUCTS_BF16 ? MILO_NUMERIC_BF16 : MILO_NUMERIC_EXACT,
      .strict = options->strict,
      .keep_compressed = options->keep_compressed,
      .profile = options->profile};
  milo_executable *executable = NULL;
  MILO_TRY(milo_device_compile(device, func, types, &inner, diag, &executable));
  const milo_status status = milo_run_create(executable, device, diag, out_run);
  milo_executable_release(executable);
  return status;
}

milo_status milo_compile(milo_ctx *ctx, const milo_program *program,
                         const milo_compile_options *given, milo_kernel **out_kernel) {
  *out_kernel = NULL;
  milo_diag *diag = milo_ctx_begin(ctx);
  milo_compile_options options;
  MILO_TRY(milo_take_options(milo_compile_options, given, diag, &options));
  const milo_func *func;
  MILO_TRY(milo_program_need_func(program, options.function, diag, &func));
  MILO_TRY(milo_ir_verify_func(func, diag));  // a device may then rely on what it says
  milo_device *device;
  MILO_TRY(milo_ctx_device(ctx, options.device, &device));
  milo_arena scratch = {0};
  milo_run *run = NULL;
  const milo_status status = compile(func, device, &options, &scratch, diag, &run);
  milo_arena_deinit(&scratch);
  return status == MILO_OK ? create(ctx, run, out_kernel) : status;
}

milo_status milo_kernel_share(milo_ctx *ctx, const milo_kernel *kernel, milo_kernel **out_kernel) {
  *out_kernel = NULL;
  milo_diag *diag = milo_ctx_begin(ctx);
  milo_device *device = NULL;
  MILO_TRY(milo_ctx_device(ctx, milo_executable_device(kernel->executable), &device));
  milo_run *run = NULL;
  MILO_TRY(milo_run_create(kernel->executable, device, diag, &run));
  return create(ctx, run, out_kernel);
}

const char *milo_kernel_fallbacks(const milo_kernel *kernel) {
  return milo_executable_fallbacks(kernel->executable);
}

size_t milo_kernel_profile(const milo_kernel *kernel, milo_profile *out, size_t max) {
  return milo_run_profile(kernel->run, out, max);
}

void milo_kernel_destroy(milo_kernel *kernel) {
  if (kernel == NULL) return;
  for (size_t i = 0; i < kernel->input_count + kernel->output_count; i++)
    milo_buffer_release(kernel->buffers[i]);
  milo_run_destroy(kernel->run);
  milo_arena_deinit(&kernel->arena);
  milo_ctx_destroy(kernel->ctx);  // last: the device is its
  free(kernel);
}

static size_t copy_info(const milo_value_info *info, size_t count, milo_value_info *out,
                        size_t max) {
  for (size_t i = 0; i < count && i < max; i++) out[i] = info[i];
  return count;
}

size_t milo_kernel_inputs(const milo_kernel *kernel, milo_value_info *out, size_t max) {
  return copy_info(kernel->info, kernel->input_count, out, max);
}

size_t milo_kernel_outputs(const milo_kernel *kernel, milo_value_info *out, size_t max) {
  return copy_info(kernel->info + kernel->input_count, kernel->output_count, out, max);
}

size_t milo_kernel_scratch_bytes(const milo_kernel *kernel) {
  return milo_executable_scratch_bytes(kernel->executable);
}

milo_status milo_buffer_create(milo_ctx *ctx, size_t bytes, milo_buffer **out_buffer) {
  return milo_buffer_alloc(bytes, milo_ctx_begin(ctx), out_buffer);
}

// Index of a name among inputs, then outputs; the count of both if it is not there.
static size_t find(const milo_kernel *kernel, const char *name) {
  const size_t count = kernel->input_count + kernel->output_count;
  size_t low = 0, high = count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (strcmp(kernel->names[middle].name, name) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low < count && strcmp(kernel->names[low].name, name) == 0 ? kernel->names[low].index
                                                                   : count;
}

milo_status milo_kernel_bind(milo_kernel *kernel, const char *name, milo_buffer *buffer) {
  milo_diag *diag = milo_ctx_begin(kernel->ctx);
  const size_t i = find(kernel, name);
  if (i == kernel->input_count + kernel->output_count)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NOT_FOUND, "the kernel has no input or output %s",
                     name);
  const milo_type *type = &kernel_value(kernel, i)->type;
  if (!milo_type_is_static(type))
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "%s has a shape that only a run knows: it cannot be bound", name);
  const size_t need = milo_type_bytes(type);
  if (milo_buffer_bytes(buffer) < need)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "%s needs %zu bytes, the buffer has %zu",
                     name, need, milo_buffer_bytes(buffer));
  milo_buffer_retain(buffer);
  milo_buffer_release(kernel->buffers[i]);
  kernel->buffers[i] = buffer;
  return MILO_OK;
}

milo_buffer *milo_kernel_buffer(milo_kernel *kernel, const char *name) {
  const size_t i = find(kernel, name);
  return i < kernel->input_count + kernel->output_count ? kernel->buffers[i] : NULL;
}

// What a run has computed in place of unknown dimensions.
static void take_shapes(milo_kernel *kernel) {
  for (size_t i = 0; i < kernel->output_count; i++) {
    milo_buffer *computed = milo_run_output_buffer(kernel->run, i);
    if (computed == NULL) continue;
    const size_t at = kernel->input_count + i;
    const milo_type *type = milo_run_output_type(kernel->run, i);
    milo_arena scratch = {0};
    snprintf(kernel->types[i], TYPE_BYTES, "%s", milo_type_format(&scratch, type, true));
    milo_arena_deinit(&scratch);
    kernel->info[at].type = kernel->types[i];
    kernel->info[at].rank = type->rank;
    memcpy(kernel->info[at].shape, type->dims, sizeof type->dims);
    milo_buffer_retain(computed);
    milo_buffer_release(kernel->buffers[at]);
    kernel->buffers[at] = computed;
  }
}

milo_status milo_kernel_run(milo_kernel *kernel) {
  milo_diag *diag = milo_ctx_begin(kernel->ctx);
  for (size_t i = 0; i < kernel->input_count + kernel->output_count; i++) {
    const milo_value *value = kernel_value(kernel, i);
    if (kernel->buffers[i] != NULL || !milo_type_is_static(&value->type)) continue;
    if (i < kernel->input_count && !milo_executable_input_is_state(kernel->executable, i))
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "input %s is not bound", value->name);
    MILO_TRY(milo_buffer_alloc(milo_type_bytes(&value->type), diag, &kernel->buffers[i]));
  }
  MILO_TRY(
      milo_run_execute(kernel->run, kernel->buffers, kernel->buffers + kernel->input_count, diag));
  take_shapes(kernel);
  return MILO_OK;
}
