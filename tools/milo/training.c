// SPDX-License-Identifier: MIT
#include "training.h"

#include <inttypes.h>
#include <math.h>

#include "peak.h"
#include "precision.h"
#include "progress.h"

training_request training_nothing_given(void) {
  const double nan_value = (double)NAN;
  return (training_request){.steps = NOT_GIVEN,
                            .stop_after = NOT_GIVEN,
                            .batch = NOT_GIVEN,
                            .accumulate = NOT_GIVEN,
                            .warmup = NOT_GIVEN,
                            .eval_every = NOT_GIVEN,
                            .eval_batches = NOT_GIVEN,
                            .save_every = NOT_GIVEN,
                            .lr = nan_value,
                            .min_lr_ratio = nan_value,
                            .beta1 = nan_value,
                            .beta2 = nan_value,
                            .epsilon = nan_value,
                            .weight_decay = nan_value,
                            .clip = nan_value,
                            .val_fraction = nan_value};
}

static int fill_numbers(const command *cmd, const training_request *r, milo_train_options *o) {
  const struct {
    const char *name;
    double given;
    bool can_be_off;
    double *out;
  } numbers[] = {{"--lr", r->lr, false, &o->lr},
                 {"--min-lr-ratio", r->min_lr_ratio, true, &o->min_lr_ratio},
                 {"--beta1", r->beta1, false, &o->beta1},
                 {"--beta2", r->beta2, false, &o->beta2},
                 {"--epsilon", r->epsilon, false, &o->epsilon},
                 {"--weight-decay", r->weight_decay, true, &o->weight_decay},
                 {"--clip", r->clip, true, &o->clip},
                 {"--val-fraction", r->val_fraction, true, &o->val_fraction}};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    const double given = numbers[i].given;
    if (isnan(given)) continue;
    if (!(given > 0) && !(given == 0 && numbers[i].can_be_off))
      return usage_error(cmd, "%s takes a number %s 0", numbers[i].name,
                         numbers[i].can_be_off ? "from" : "above");
    *numbers[i].out = given == 0 ? -1 : given;
  }
  return EXIT_OK;
}

static int fill_counts(const command *cmd, const training_request *r, milo_train_options *o) {
  const struct {
    const char *name;
    uint64_t given;
    uint64_t *count;  // one of the two
    size_t *size;
  } counts[] = {{"--steps", r->steps, &o->steps, NULL},
                {"--stop-after", r->stop_after, &o->stop_after, NULL},
                {"--warmup", r->warmup, &o->warmup, NULL},
                {"--eval-every", r->eval_every, &o->eval_every, NULL},
                {"--save-every", r->save_every, &o->save_every, NULL},
                {"--batch", r->batch, NULL, &o->batch},
                {"--accumulate", r->accumulate, NULL, &o->accumulate},
                {"--eval-batches", r->eval_batches, NULL, &o->eval_batches}};
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    if (counts[i].given == NOT_GIVEN) continue;
    if (counts[i].given == 0) return usage_error(cmd, "%s is at least 1", counts[i].name);
    if (counts[i].count) *counts[i].count = counts[i].given;
    if (counts[i].size) *counts[i].size = (size_t)counts[i].given;
  }
  return EXIT_OK;
}

int training_fill(const command *cmd, const training_request *r, milo_train_options *out) {
  if (r->resume && r->force) return usage_error(cmd, "--resume and --force exclude each other");
  if ((r->force || r->resume) && !r->out)
    return usage_error(cmd, "%s needs --out DIR", r->force ? "--force" : "--resume");
  out->seed = r->seed;
  out->device = r->device;
  out->out_dir = r->out;
  out->resume = r->resume;
  out->force = r->force;
  int code = fill_numbers(cmd, r, out);
  if (code == EXIT_OK) code = fill_counts(cmd, r, out);
  if (code == EXIT_OK) code = read_precision(cmd, r->precision, &out->precision);
  return code == EXIT_OK ? read_loss_scale(cmd, r->loss_scale, &out->loss_scale) : code;
}

static void print_json(const training_end *end, bool stopped) {
  const milo_train_report *r = &end->result->last;
  printf("{\"step\": %" PRIu64 ", \"steps\": %" PRIu64 ", \"stopped\": %s, \"%s\": %" PRIu64,
         r->step, r->steps, stopped ? "true" : "false", end->unit, r->tokens);
  if (end->parameters > 0) printf(", \"parameters\": %" PRIu64, end->parameters);
  printf(", \"peak_memory_bytes\": %" PRIu64, end->result->peak_memory_bytes);
  const struct {
    const char *name, *more;
    double value;
  } numbers[] = {{"loss", "", r->loss},
                 {"grad_norm", "", r->grad_norm},
                 {"val_loss", "", r->val_loss},
                 {"best_val_loss", "", end->result->best_val_loss},
                 {"learning_rate", "", r->learning_rate},
                 {end->unit, "_per_second", r->tokens_per_second},
                 {"step_seconds", "", r->step_s},
                 {"loss_scale", "", r->loss_scale},
                 {"skipped_steps", "", (double)r->skipped}};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    printf(", \"%s%s\": ", numbers[i].name, numbers[i].more);
    json_number(stdout, numbers[i].value);
  }
  efficiency_json(stdout, &(efficiency){end->result, r->tokens_per_second, 0});
  printf("}\n");
}

int training_finish(milo_ctx *ctx, const training_request *r, const training_end *end) {
  const bool stopped = end->status == MILO_ERR_INTERRUPTED;
  if (end->status != MILO_OK) {
    const int code = fail_with(ctx, end->status);
    if (!stopped) return code;
  }
  if (end->result->lost_metrics > 0)
    note("metrics.jsonl has no line any more of %" PRIu64 " of the steps done before",
         end->result->lost_metrics);
  if (r->json) print_json(end, stopped);
  if (end->stepped) {
    char text[512];
    efficiency_text(text, sizeof text,
                    &(efficiency){end->result, end->result->last.tokens_per_second, 0});
    note("%s", text);
  }
  if (!stopped && !end->stepped)
    note("the run is finished, at step %" PRIu64 "; --steps N makes it longer",
         end->result->last.step);
  const int code = finish_stdout();
  return stopped && code == EXIT_OK ? EXIT_STOPPED : code;
}
