// SPDX-License-Identifier: MIT
// The cpu device: compiles a function into steps over planned memory, and runs them.
#include <stdlib.h>
#include <sys/mman.h>

#include "base/cpu.h"
#include "base/memory.h"
#include "device/cpu/code.h"
#include "device/ref/ref.h"
#include "kernels/blas.h"

static milo_status cpu_open(const milo_host *host, milo_device **out_device, milo_diag *diag) {
  milo_cpu_device *d = calloc(1, sizeof *d);
  *out_device = NULL;
  if (!d) return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a device");
  d->base = (milo_device){&milo_device_type_cpu, *host};
  d->exec = milo_exec_select(host->cpu_caps, host->pool);
  // Not where a mask chose the plain set: BLAS would not heed it.
  if (milo_product_select(MILO_NUMERIC_EXACT, milo_cpu_detect()) == milo_product_variants[0])
    d->exec.sgemm = milo_blas_open();
  *out_device = &d->base;
  return MILO_OK;
}

static void cpu_close(milo_device *device) {
  milo_cpu_device *d = (milo_cpu_device *)device;
  free(d->scratch);
  free(d);
}

static bool cpu_supports(const milo_device *device, const milo_op *op) {
  (void)device;
  return op->code == MILO_OP_const || milo_ref_supports(op);
}

static bool cpu_takes(const milo_device *device, const milo_op *op) {
  (void)device;
  return milo_ref_has(op->code);
}

// ---- compile ----

static void count_uses(milo_code *c, const milo_func *func) {
  const milo_block *body = func->body;
  for (const milo_op *op = body->first; op; op = op->next)
    for (size_t i = 0; i < op->arg_count; ++i)
      for (size_t k = 0; k < op->args[i].count; ++k) {
        const uint32_t id = op->args[i].values[k]->id;
        c->uses[id]++;
        c->user[id] = op;
      }
  for (size_t i = 0; i < body->output_count; ++i) {
    c->uses[body->outputs[i]->id]++;
    c->is_output[body->outputs[i]->id] = true;
  }
}

static void emit(milo_code *c, const milo_op *op) {
  if (op->code == MILO_OP_const) return;
  bool used = false;
  for (size_t i = 0; i < op->result_count; ++i) used = used || c->uses[op->results[i]->id] > 0;
  if (!used) return;
  milo_view views[64];
  if (op->result_count <= 64 && milo_view_of_op(c, op, views)) {
    for (size_t i = 0; i < op->result_count; ++i) milo_code_set(c, op->results[i], &views[i]);
    return;
  }
  if (milo_elementwise_defers(c, op)) return;
  milo_emit_fn *fast = milo_cpu_emitters[op->code];
  if (fast && fast(c, op)) return;
  milo_emit_reference(c, op);
}

static milo_status grow_scratch(milo_cpu_device *d, size_t bytes, milo_diag *diag) {
  if (bytes <= d->scratch_bytes) return MILO_OK;
  enum { HUGE_PAGE = 2 << 20 };
  size_t room = bytes;
  if (!milo_size_add(bytes, HUGE_PAGE - 1, &room)) room = SIZE_MAX;
  room = room / HUGE_PAGE * HUGE_PAGE;
  MILO_TRY(milo_memory_ask("intermediate values", room, diag));
  char *block = room < bytes ? NULL : aligned_alloc(HUGE_PAGE, room);
  if (!block) return milo_memory_fail("intermediate values", bytes, diag);
#ifdef MADV_HUGEPAGE
  // Advice only: without huge pages everything works, slower.
  (void)madvise(block, room, MADV_HUGEPAGE);
#endif
  free(d->scratch);
  d->scratch = block;
  d->scratch_bytes = room;
  return MILO_OK;
}

static void cpu_code_destroy(void *opaque) {
  milo_code *c = opaque;
  if (!c) return;
  milo_arena_deinit(&c->arena);
  milo_program_destroy(c->program);
  free(c);
}

static milo_status cpu_compile(milo_device *device, const milo_func *func,
                               const milo_executable_options *options, void **out_code,
                               milo_diag *diag) {
  milo_code *c = calloc(1, sizeof *c);
  *out_code = NULL;
  if (!c) return milo_fail(diag, func->loc, MILO_ERR_NO_MEMORY, "no memory for code");
  c->device = (milo_cpu_device *)device;
  c->program = func->program;
  milo_program_retain(c->program);
  c->options = options;
  c->diag = diag;
  const size_t values = (size_t)func->value_count + 1;
  c->views = MILO_NEW_ARRAY(&c->arena, milo_view, values);
  c->ready = MILO_NEW_ARRAY(&c->arena, bool, values);
  c->uses = MILO_NEW_ARRAY(&c->arena, uint32_t, values);
  c->user = MILO_NEW_ARRAY(&c->arena, const milo_op *, values);
  c->is_output = MILO_NEW_ARRAY(&c->arena, bool, values);
  c->deferred = MILO_NEW_ARRAY(&c->arena, uint8_t, values);
  c->input_count = func->body->param_count;
  c->output_count = func->body->output_count;
  for (size_t i = 0; i < c->input_count; ++i) {
    const milo_value *value = func->body->params[i];
    const uint32_t buffer = milo_code_add_buffer(c, milo_type_bytes(&value->type));
    c->buffers[buffer].place = MILO_PLACE_INPUT;
    c->buffers[buffer].index = i;
    const milo_view v = milo_view_dense(buffer, &value->type);
    milo_code_set(c, value, &v);
  }
  count_uses(c, func);
  for (const milo_op *op = func->body->first; op; op = op->next) emit(c, op);
  milo_status status = milo_code_plan(c, func);
  if (status == MILO_OK) status = grow_scratch(c->device, c->scratch_bytes, diag);
  if (status != MILO_OK) {
    cpu_code_destroy(c);
    return status;
  }
  // A constant's data outlives the code: its program was retained.
  for (size_t i = 0; i < c->buffer_count; ++i)
    if (c->buffers[i].place == MILO_PLACE_CONST) {
      const void *data = c->buffers[i].data;
      memcpy(&c->bases[i], &data, sizeof data);
    }
  *out_code = c;
  return MILO_OK;
}

// ---- run ----

static milo_status cpu_run(void *opaque, milo_buffer *const *inputs, milo_buffer *const *outputs,
                           milo_diag *diag) {
  milo_code *c = opaque;
  char none[1], *scratch = c->device->scratch != NULL ? c->device->scratch : none;
  for (size_t i = 0; i < c->buffer_count; ++i) {
    const milo_cpu_buffer *b = &c->buffers[i];
    if (b->place == MILO_PLACE_SCRATCH) c->bases[i] = scratch + b->offset;
    if (b->place == MILO_PLACE_INPUT) c->bases[i] = inputs[b->index]->data;
    if (b->place == MILO_PLACE_OUTPUT) c->bases[i] = outputs[b->index]->data;
  }
  const milo_cpu_run run = {.exec = &c->device->exec,
                            .bases = c->bases,
                            .workspace = scratch + c->workspace_offset,
                            .diag = diag};
  for (size_t i = 0; i < c->step_count; ++i) MILO_TRY(c->steps[i].run(&run, c->steps[i].args));
  return MILO_OK;
}

static size_t cpu_scratch_bytes(const void *opaque) {
  const milo_code *c = opaque;
  return c->scratch_bytes;
}

const milo_device_type milo_device_type_cpu = {
    .name = "cpu",
    .summary = "this machine's processor, all its threads and vector instructions",
    .open = cpu_open,
    .close = cpu_close,
    .supports = cpu_supports,
    .takes = cpu_takes,
    .compile = cpu_compile,
    .code_destroy = cpu_code_destroy,
    .run = cpu_run,
    .scratch_bytes = cpu_scratch_bytes,
};
