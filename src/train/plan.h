// SPDX-License-Identifier: MIT
// Step plans: how a training step is cut into programs. Which plan never changes the maths, only
// rounding and speed. A plan is a row of milo_plan_types; callers use the functions below.
#ifndef MILO_TRAIN_PLAN_H
#define MILO_TRAIN_PLAN_H

#include "base/stop.h"
#include "device/device.h"
#include "model/model.h"

typedef struct milo_plan milo_plan;

typedef struct milo_plan_options {
  const char *plan;      // name of a row; NULL: the first
  size_t batch, seq;     // sequences at a time, tokens of each
  size_t micro_batches;  // batches a step
  milo_precision precision;
  size_t compile_budget;  // programs that may be compiled, 0: any number; for plans that recompile
  bool alone;             // nothing is computed beside the device: the same bits, for tests
} milo_plan_options;

// model is borrowed, its weights are read at every run. MILO_ERR_INVALID: there is no such plan;
// MILO_ERR_UNSUPPORTED: it cannot hold the model.
MILO_MUST_USE milo_status milo_plan_create(milo_device *device, const milo_model *model,
                                           const milo_plan_options *options, milo_diag *diag,
                                           milo_plan **out_plan);
void milo_plan_destroy(milo_plan *plan);  // NULL allowed

// Asked between layers: a run then ends with MILO_ERR_INTERRUPTED, which nothing reports.
void milo_plan_set_stop(milo_plan *plan, milo_stop stop);

// Sets the next run's batch * seq tokens and targets.
MILO_MUST_USE milo_status milo_plan_load(milo_plan *plan, const int32_t *tokens,
                                         const int32_t *targets, milo_diag *diag);

// Gradients of the runs that follow are multiplied by factor; 1 at the beginning.
MILO_MUST_USE milo_status milo_plan_set_scale(milo_plan *plan, double factor, milo_diag *diag);

// Starts a step's gradients (before its first micro-batch).
MILO_MUST_USE milo_status milo_plan_begin(milo_plan *plan, milo_diag *diag);
// Forward and backward of one micro-batch: adds its share of the gradient of the step's mean loss.
// *out_loss_sum: sum of the tokens' cross-entropies, set when forward is done and before backward.
MILO_MUST_USE milo_status milo_plan_run(milo_plan *plan, milo_diag *diag, double *out_loss_sum);
// Forward only. What runs before it left as gradients may be lost.
MILO_MUST_USE milo_status milo_plan_evaluate(milo_plan *plan, milo_diag *diag,
                                             double *out_loss_sum);
// The step's gradients in fp32, one a parameter of the model's set, in its order.
milo_buffer *const *milo_plan_gradients(const milo_plan *plan);
// The compile budget does not hold another step: what was trained must be saved, and the run go on
// in a new process (saving still fits).
bool milo_plan_is_spent(const milo_plan *plan);
// Programs compiled for the device so far.
uint64_t milo_plan_compiles(const milo_plan *plan);

// ---- what a plan provides -------------------------------------------------------------------

typedef struct milo_plan_type {
  const char *name;
  const char *summary;  // one line for help
  // *out_plan may be set and only partly made when it fails: destroy is then called.
  milo_status (*create)(milo_device *device, const milo_model *model,
                        const milo_plan_options *options, milo_diag *diag, milo_plan **out_plan);
  void (*destroy)(milo_plan *plan);
  milo_status (*load)(milo_plan *plan, const int32_t *tokens, const int32_t *targets,
                      milo_diag *diag);
  milo_status (*set_scale)(milo_plan *plan, double factor, milo_diag *diag);
  milo_status (*begin)(milo_plan *plan, milo_diag *diag);
  milo_status (*run)(milo_plan *plan, milo_diag *diag, double *out_loss_sum);
  milo_status (*evaluate)(milo_plan *plan, milo_diag *diag, double *out_loss_sum);
  bool (*is_spent)(const milo_plan *plan);  // NULL: never
} milo_plan_type;

extern const milo_plan_type milo_plan_fused, milo_plan_dynamic, milo_plan_static;
// All plans, ends with NULL; the first is the default.
extern const milo_plan_type *const milo_plan_types[];
// NULL name: the first. NULL: there is no such plan; the message names those that there are.
const milo_plan_type *milo_plan_find(const char *name, milo_diag *diag);

// The first member of a plan of some type.
struct milo_plan {
  const milo_plan_type *type;  // set by milo_plan_create
  milo_stop stop;
  milo_buffer **gradients;  // one a parameter
  uint64_t compiles;
};

#endif
