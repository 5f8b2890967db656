// SPDX-License-Identifier: MIT
// The cpu device: compiles a function into steps over planned memory, and runs them.
#include <stdlib.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/memory.h"
#include "device/buffer.h"
#include "device/cpu/code.h"
#include "device/cpu/copies.h"
#include "device/ref/ref.h"
#include "kernels/blas.h"

static milo_status cpu_open(const milo_host *host, milo_device **out_device, milo_diag *diag) {
  milo_cpu_device *d = calloc(1, sizeof *d);
  *out_device = NULL;
  if (!d) return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a device");
  d->base = (milo_device){.type = &milo_device_type_cpu, .host = *host};
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
  // Elementwise work, which joins that of its neighbours in one loop, and rows.
  const bool in_pieces = op->code == MILO_OP_batch_norm || op->code == MILO_OP_instance_norm;
  if (in_pieces && milo_cpu_float(op->results[0]->type.dtype)) return false;
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
  if (milo_few_defers(c, op) || milo_elementwise_defers(c, op)) return;
  const bool product = op->code == MILO_OP_matmul || op->code == MILO_OP_linear;
  if (product && milo_emit_few_product(c, op)) return;
  if (op->code == MILO_OP_attention && milo_emit_few_attention(c, op)) return;
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
  milo_cpu_code *code = opaque;
  if (!code) return;
  milo_arena_deinit(&code->arena);
  milo_program_destroy(code->program);
  free(code);
}

// All steps of func, and where their memory is.
static milo_status build(milo_code *c, const milo_func *func) {
  const size_t values = (size_t)func->value_count + 1;
  c->views = MILO_NEW_ARRAY(&c->arena, milo_view, values);
  c->ready = MILO_NEW_ARRAY(&c->arena, bool, values);
  c->uses = MILO_NEW_ARRAY(&c->arena, uint32_t, values);
  c->user = MILO_NEW_ARRAY(&c->arena, const milo_op *, values);
  c->is_output = MILO_NEW_ARRAY(&c->arena, bool, values);
  c->deferred = MILO_NEW_ARRAY(&c->arena, uint8_t, values);
  for (size_t i = 0; i < func->body->param_count; ++i) {
    const milo_value *value = func->body->params[i];
    const uint32_t buffer = milo_code_add_buffer(c, milo_type_bytes(&value->type));
    c->buffers[buffer].place = MILO_PLACE_INPUT;
    c->buffers[buffer].index = i;
    const milo_view v = milo_view_dense(buffer, &value->type);
    milo_code_set(c, value, &v);
  }
  count_uses(c, func);
  for (const milo_op *op = func->body->first; op; op = op->next) emit(c, op);
  return milo_code_plan(c, func);
}

static milo_status cpu_compile(milo_device *device, const milo_func *func,
                               const milo_executable_options *options, void **out_code,
                               milo_diag *diag) {
  *out_code = NULL;
  milo_code c = {.device = (milo_cpu_device *)device, .options = options, .diag = diag};
  const milo_status status = build(&c, func);
  milo_cpu_code *code = status == MILO_OK ? calloc(1, sizeof *code) : NULL;
  if (!code) {
    milo_arena_deinit(&c.arena);
    return status != MILO_OK ? status
                             : milo_fail(diag, func->loc, MILO_ERR_NO_MEMORY, "no memory for code");
  }
  *code = (milo_cpu_code){.program = func->program,
                          .arena = c.arena,
                          .steps = c.steps,
                          .step_count = c.step_count,
                          .buffers = c.buffers,
                          .buffer_count = c.buffer_count,
                          .workspace_offset = c.workspace_offset,
                          .scratch_bytes = c.scratch_bytes,
                          .workspace_bytes = c.workspace_bytes,
                          .exec = c.device->exec,
                          .threads = (size_t)milo_pool_threads(device->host.pool),
                          .cpu_caps = device->host.cpu_caps,
                          .profile = options->profile};
  milo_program_retain(code->program);  // constants' data
  *out_code = code;
  return MILO_OK;
}

// ---- run ----

typedef struct state {
  char **bases;     // one a buffer; constants never move
  double *seconds;  // one a step; NULL: no profile
  uint64_t runs;
} state;

static void cpu_state_destroy(void *opaque) {
  state *s = opaque;
  if (!s) return;
  free(s->bases);
  free(s->seconds);
  free(s);
}

static milo_status cpu_state_create(milo_device *device, const void *opaque, void **out_state,
                                    milo_diag *diag) {
  const milo_cpu_code *code = opaque;
  milo_cpu_device *d = (milo_cpu_device *)device;
  *out_state = NULL;
  if ((code->cpu_caps & ~device->host.cpu_caps) != 0)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "the program was compiled for a processor with more instruction sets");
  // Workspaces were counted for that many threads: a part for each, perhaps one for all.
  const size_t threads = (size_t)milo_pool_threads(device->host.pool);
  const size_t more = threads > code->threads ? (threads - 1) / code->threads : 0;
  MILO_TRY(grow_scratch(
      d, code->scratch_bytes + more * (code->workspace_bytes + MILO_SCRATCH_ALIGN), diag));
  state *s = calloc(1, sizeof *s);
  if (s) s->bases = calloc(code->buffer_count + 1, sizeof *s->bases);
  if (s && code->profile) s->seconds = calloc(code->step_count + 1, sizeof *s->seconds);
  if (!s || !s->bases || (code->profile && !s->seconds)) {
    cpu_state_destroy(s);
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a run");
  }
  for (size_t i = 0; i < code->buffer_count; ++i)
    if (code->buffers[i].place == MILO_PLACE_CONST)
      memcpy(&s->bases[i], &code->buffers[i].data, sizeof s->bases[i]);
  *out_state = s;
  return MILO_OK;
}

static milo_status cpu_run(milo_device *device, const void *opaque, void *opaque_state,
                           milo_buffer *const *inputs, milo_buffer *const *outputs,
                           milo_diag *diag) {
  const milo_cpu_code *code = opaque;
  const milo_cpu_device *d = (const milo_cpu_device *)device;
  state *s = opaque_state;
  char none[1], *scratch = d->scratch != NULL ? d->scratch : none;
  for (size_t i = 0; i < code->buffer_count; ++i) {
    const milo_cpu_buffer *b = &code->buffers[i];
    if (b->place == MILO_PLACE_SCRATCH) s->bases[i] = scratch + b->offset;
    if (b->place == MILO_PLACE_INPUT) s->bases[i] = milo_buffer_host(inputs[b->index]);
    if (b->place == MILO_PLACE_OUTPUT) s->bases[i] = milo_buffer_host(outputs[b->index]);
  }
  milo_exec exec = code->exec;
  exec.pool = device->host.pool;
  const milo_cpu_run run = {.exec = &exec,
                            .bases = s->bases,
                            .inputs = inputs,
                            .workspace = scratch + code->workspace_offset,
                            .diag = diag};
  s->runs++;
  for (size_t i = 0; i < code->step_count; ++i) {
    const double start = s->seconds ? milo_clock_s() : 0;
    MILO_TRY(code->steps[i].run(&run, code->steps[i].args));
    if (s->seconds) s->seconds[i] += milo_clock_s() - start;
  }
  for (size_t i = 0; i < code->buffer_count; ++i)
    if (code->buffers[i].place == MILO_PLACE_OUTPUT)
      milo_renew_copies(&exec, outputs[code->buffers[i].index]);
  return MILO_OK;
}

static size_t cpu_scratch_bytes(const void *opaque) {
  const milo_cpu_code *code = opaque;
  return code->scratch_bytes;
}

static size_t cpu_profile(const void *opaque, const void *opaque_state, milo_profile *rows,
                          size_t max) {
  const milo_cpu_code *code = opaque;
  const state *s = opaque_state;
  if (!s->seconds) return 0;
  for (size_t i = 0; i < code->step_count && i < max; ++i) {
    const milo_op *op = code->steps[i].op;
    rows[i] = (milo_profile){.op = op ? op->name : "copy",
                             .result = op ? op->results[0]->name : "",
                             .device = "cpu",
                             .seconds = s->seconds[i],
                             .count = s->runs};
  }
  return code->step_count;
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
    .state_create = cpu_state_create,
    .state_destroy = cpu_state_destroy,
    .run = cpu_run,
    .scratch_bytes = cpu_scratch_bytes,
    .profile = cpu_profile,
};
