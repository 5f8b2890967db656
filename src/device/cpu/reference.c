// SPDX-License-Identifier: MIT
// Operations without a fast way here: computed by their definition, on dense copies.
#include "device/cpu/code.h"
#include "device/ref/ref.h"

typedef struct call {
  const milo_op *op;
  size_t input_count;
  milo_view *inputs, *outputs;
  bool *constant;  // of inputs: read from the literal
} call;

static milo_status run_call(const milo_cpu_run *run, const void *args) {
  const call *a = args;
  const void **input_data = run->workspace;
  void **output_data = (void **)run->workspace + a->input_count;
  for (size_t i = 0; i < a->input_count; ++i)
    input_data[i] = a->constant[i] ? NULL : milo_view_data(run, &a->inputs[i]);
  for (size_t i = 0; i < a->op->result_count; ++i)
    output_data[i] = milo_view_data(run, &a->outputs[i]);
  return milo_ref_eval(a->op, input_data, output_data, run->diag);
}

void milo_emit_reference(milo_code *c, const milo_op *op) {
  call *a = MILO_NEW(&c->arena, call);
  a->op = op;
  a->input_count = milo_ref_input_count(op);
  a->inputs = MILO_NEW_ARRAY(&c->arena, milo_view, a->input_count);
  a->constant = MILO_NEW_ARRAY(&c->arena, bool, a->input_count);
  a->outputs = MILO_NEW_ARRAY(&c->arena, milo_view, op->result_count);
  size_t n = 0;
  for (size_t i = 0; i < op->arg_count; ++i)
    for (size_t k = 0; k < op->args[i].count; ++k, ++n) {
      const milo_value *value = op->args[i].values[k];
      a->constant[n] = milo_value_constant(value) != NULL;
      if (a->constant[n]) continue;
      const milo_view v = milo_code_view(c, value);
      a->inputs[n] = milo_code_dense(c, &v);
    }
  for (size_t i = 0; i < n; ++i)
    if (!a->constant[i]) milo_code_reads(c, &a->inputs[i]);
  for (size_t i = 0; i < op->result_count; ++i) {
    a->outputs[i] = milo_code_new_like(c, op->results[i]);
    milo_code_writes(c, &a->outputs[i]);
    milo_code_set(c, op->results[i], &a->outputs[i]);
  }
  milo_code_add_step(c, op, run_call, a, (a->input_count + op->result_count) * sizeof(void *));
}
