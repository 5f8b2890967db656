// SPDX-License-Identifier: MIT
// The table of step plans.
#include "train/plan.h"

#include <string.h>

#include "base/str.h"

const milo_plan_type *const milo_plan_types[] = {&milo_plan_fused, &milo_plan_dynamic,
                                                 &milo_plan_static, NULL};

const milo_plan_type *milo_plan_find(const char *name, milo_diag *diag) {
  milo_str names = {0};
  for (const milo_plan_type *const *t = milo_plan_types; *t; t++) {
    if (!name || strcmp((*t)->name, name) == 0) {
      milo_str_deinit(&names);
      return *t;
    }
    milo_str_printf(&names, "%s%s", names.bytes ? ", " : "", (*t)->name);
  }
  (void)milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "there is no plan '%s'\nplans: %s", name,
                  names.data);
  milo_str_deinit(&names);
  return NULL;
}

milo_status milo_plan_create(milo_device *device, const milo_model *model,
                             const milo_plan_options *options, milo_diag *diag,
                             milo_plan **out_plan) {
  *out_plan = NULL;
  const milo_plan_type *type = milo_plan_find(options->plan, diag);
  if (!type) return MILO_ERR_INVALID;
  milo_plan *plan = NULL;
  const milo_status status = type->create(device, model, options, diag, &plan);
  if (plan) plan->type = type;
  if (status == MILO_OK)
    *out_plan = plan;
  else
    milo_plan_destroy(plan);
  return status;
}

void milo_plan_destroy(milo_plan *plan) {
  if (plan) plan->type->destroy(plan);
}

void milo_plan_set_stop(milo_plan *plan, milo_stop stop) { plan->stop = stop; }

milo_status milo_plan_load(milo_plan *plan, const int32_t *tokens, const int32_t *targets,
                           milo_diag *diag) {
  return plan->type->load(plan, tokens, targets, diag);
}

milo_status milo_plan_set_scale(milo_plan *plan, double factor, milo_diag *diag) {
  return plan->type->set_scale(plan, factor, diag);
}

milo_status milo_plan_begin(milo_plan *plan, milo_diag *diag) {
  return plan->type->begin(plan, diag);
}

milo_status milo_plan_run(milo_plan *plan, milo_diag *diag, double *out_loss_sum) {
  return plan->type->run(plan, diag, out_loss_sum);
}

milo_status milo_plan_evaluate(milo_plan *plan, milo_diag *diag, double *out_loss_sum) {
  return plan->type->evaluate(plan, diag, out_loss_sum);
}

milo_buffer *const *milo_plan_gradients(const milo_plan *plan) { return plan->gradients; }

bool milo_plan_is_spent(const milo_plan *plan) {
  return plan->type->is_spent && plan->type->is_spent(plan);
}

uint64_t milo_plan_compiles(const milo_plan *plan) { return plan->compiles; }
