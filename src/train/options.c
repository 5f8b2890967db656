// SPDX-License-Identifier: MIT
// Options of a training run: defaults and checks.
#include "train/options.h"

#include <math.h>
#include <string.h>

#include "base/option_struct.h"
#include "train/scale.h"

enum { MAX_BATCH = 1 << 20, MAX_EVAL_BATCHES = 1 << 20 };
#define MAX_STEPS (UINT64_C(1) << 40)

#define FAIL(...) milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, __VA_ARGS__)

static double default_to(double value, double fallback) { return value == 0 ? fallback : value; }
static double or_off(double value, double off) { return value < 0 ? off : value; }

void milo_train_options_precision(milo_train_options *o) {
  if (o->precision == MILO_PRECISION_DEFAULT) o->precision = MILO_PRECISION_FP32;
  if (o->loss_scale == 0)
    o->loss_scale = o->precision == MILO_PRECISION_FP16 ? -MILO_LOSS_SCALE_BEGIN : 1;
}

void milo_train_options_kinds(milo_train_options *o) {
  if (o->schedule == MILO_SCHEDULE_DEFAULT) o->schedule = MILO_SCHEDULE_COSINE;
  if (o->optimizer == MILO_OPTIMIZER_DEFAULT) o->optimizer = MILO_OPTIMIZER_ADAMW;
  milo_train_options_precision(o);
}

milo_status milo_train_options_check(const milo_train_options *o, milo_diag *diag) {
  const struct {
    const char *name;
    double value, least, most;
    bool least_too;
  } numbers[] = {
      {"lr", o->lr, 0, 1e3, false},          {"min_lr_ratio", o->min_lr_ratio, 0, 1, true},
      {"beta1", o->beta1, 0, 1, false},      {"beta2", o->beta2, 0, 1, false},
      {"epsilon", o->epsilon, 0, 1, false},  {"weight_decay", o->weight_decay, 0, 1e3, true},
      {"clip", o->clip, 0, INFINITY, false}, {"val_fraction", o->val_fraction, 0, 0.9, true},
  };
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    const double v = numbers[i].value;
    if (!(numbers[i].least_too ? v >= numbers[i].least : v > numbers[i].least) ||
        !(v <= numbers[i].most))
      return FAIL("training: %s is %g, expected %s%g to %g", numbers[i].name, v,
                  numbers[i].least_too ? "" : "more than ", numbers[i].least, numbers[i].most);
  }
  const double scale = fabs(o->loss_scale);
  if (!(scale >= 0x1p-14 && scale <= 0x1p100))
    return FAIL("training: loss_scale is %g, expected 2^-14 to 2^100 or, dynamic, -2^100 to -1",
                o->loss_scale);
  if (o->loss_scale < 0 && scale < 1)
    return FAIL("training: loss_scale is %g, a dynamic one begins at 1 or more", o->loss_scale);
  if ((unsigned)o->precision > MILO_PRECISION_FP16)
    return FAIL("training: there is no precision %d", (int)o->precision);
  if ((unsigned)o->schedule > MILO_SCHEDULE_WSD)
    return FAIL("training: there is no schedule %d", (int)o->schedule);
  if ((unsigned)o->optimizer > MILO_OPTIMIZER_ADAM)
    return FAIL("training: there is no optimizer %d", (int)o->optimizer);
  if (o->schedule != MILO_SCHEDULE_WSD && o->decay_steps > 0)
    return FAIL("training: decay_steps is a part of the schedule wsd");
  if (o->schedule == MILO_SCHEDULE_CONSTANT && o->min_lr_ratio != 1)
    return FAIL(
        "training: min_lr_ratio is the end of a schedule that falls, a constant one has none");
  if (o->beta1 == 1 || o->beta2 == 1) return FAIL("training: beta1 and beta2 are less than 1");
  if (o->steps > MAX_STEPS) return FAIL("training: steps is too large");
  if (o->batch > MAX_BATCH || o->accumulate > MAX_BATCH)
    return FAIL("training: batch and accumulate are at most %d", MAX_BATCH);
  if (o->eval_batches > MAX_EVAL_BATCHES)
    return FAIL("training: eval_batches is at most %d", MAX_EVAL_BATCHES);
  return MILO_OK;
}

milo_status milo_train_options_complete(const milo_train_options *options,
                                        const milo_model_config *model, milo_diag *diag,
                                        milo_train_options *out_options) {
  milo_train_options o;
  memset(out_options, 0, sizeof *out_options);
  MILO_TRY(milo_take_options(milo_train_options, options, diag, &o));
  if (!o.device) o.device = "cpu";
  if (!o.steps) o.steps = 1000;
  if (!o.batch) o.batch = 8;
  if (!o.seq) o.seq = (size_t)model->seq;
  if (!o.accumulate) o.accumulate = 1;
  o.lr = default_to(o.lr, 1e-3);
  milo_train_options_kinds(&o);
  const bool adam = o.optimizer == MILO_OPTIMIZER_ADAM;
  o.min_lr_ratio =
      or_off(default_to(o.min_lr_ratio, o.schedule == MILO_SCHEDULE_CONSTANT ? 1 : 0.1), 0);
  if (!o.decay_steps && o.schedule == MILO_SCHEDULE_WSD)
    o.decay_steps = o.steps / 5 > 0 ? o.steps / 5 : 1;
  if (!o.warmup) o.warmup = o.steps / 10 < 100 ? o.steps / 10 : 100;
  o.beta1 = default_to(o.beta1, 0.9);
  o.beta2 = default_to(o.beta2, adam ? 0.999 : 0.95);
  o.epsilon = default_to(o.epsilon, 1e-8);
  o.weight_decay = or_off(default_to(o.weight_decay, adam ? 0 : 0.1), 0);
  o.clip = or_off(default_to(o.clip, 1), INFINITY);
  o.val_fraction = or_off(default_to(o.val_fraction, 0.05), 0);
  if (!o.eval_every) o.eval_every = 250;
  if (!o.eval_batches) o.eval_batches = 20;
  if (!o.save_every) o.save_every = o.eval_every;
  if (o.plan == MILO_PLAN_DEFAULT) o.plan = MILO_PLAN_FUSED;
  if ((unsigned)o.plan > MILO_PLAN_STATIC)
    return FAIL("training: there is no plan %d", (int)o.plan);
  MILO_TRY(milo_train_options_check(&o, diag));
  if (o.seq > (size_t)model->seq)
    return FAIL("training: seq is %zu, longer than the model's %lld", o.seq, (long long)model->seq);
  *out_options = o;
  return MILO_OK;
}
