// SPDX-License-Identifier: MIT
#include "train/checkpoint.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define FORMAT "milo.checkpoint.2"
#define OLD_MOMENT_PREFIX "adamw.m."  // of SGD's moment, in files of this format's first writers

typedef enum field_kind { FIELD_COUNT, FIELD_NUMBER } field_kind;

typedef struct field {
  field_kind kind;
  uint64_t count;  // the one that kind says
  double number;
} field;

typedef struct member {
  const char *name;
  field_kind kind;
  size_t offset, bytes;
  bool signed_number;  // a negative number says not "off" but what it says
  double absent;       // the value in checkpoints older than the option; NaN: there are none
} member;

#define OPTION(name, kind)                                        \
  {                                                               \
    "option." #name, kind, offsetof(milo_train_options, name),    \
        sizeof((milo_train_options *)0)->name, false, (double)NAN \
  }
#define LATER_OPTION(name, kind, absent)                       \
  {                                                            \
    "option." #name, kind, offsetof(milo_train_options, name), \
        sizeof((milo_train_options *)0)->name, true, absent    \
  }

// All that changes what a run computes. Where and how often it saves does not.
static const member members[] = {
    OPTION(steps, FIELD_COUNT),
    OPTION(batch, FIELD_COUNT),
    OPTION(seq, FIELD_COUNT),
    OPTION(accumulate, FIELD_COUNT),
    OPTION(lr, FIELD_NUMBER),
    OPTION(min_lr_ratio, FIELD_NUMBER),
    OPTION(warmup, FIELD_COUNT),
    OPTION(beta1, FIELD_NUMBER),
    OPTION(beta2, FIELD_NUMBER),
    OPTION(epsilon, FIELD_NUMBER),
    OPTION(weight_decay, FIELD_NUMBER),
    OPTION(clip, FIELD_NUMBER),
    OPTION(seed, FIELD_COUNT),
    OPTION(val_fraction, FIELD_NUMBER),
    OPTION(eval_every, FIELD_COUNT),
    OPTION(eval_batches, FIELD_COUNT),
    LATER_OPTION(compact_vocab, FIELD_COUNT, false),
    LATER_OPTION(schedule, FIELD_COUNT, MILO_SCHEDULE_COSINE),
    LATER_OPTION(decay_steps, FIELD_COUNT, 0),
    LATER_OPTION(optimizer, FIELD_COUNT, MILO_OPTIMIZER_ADAMW),
    LATER_OPTION(precision, FIELD_COUNT, MILO_PRECISION_FP32),
    LATER_OPTION(loss_scale, FIELD_NUMBER, 1),
    LATER_OPTION(plan, FIELD_COUNT, MILO_PLAN_FUSED),
};
enum { MEMBERS = sizeof members / sizeof *members, STATES = 11, FIXED = 2 };

// ---- fields as texts ----

static field get(const member *m, const void *object) {
  field f = {.kind = m->kind};
  const char *at = (const char *)object + m->offset;
  if (m->kind == FIELD_NUMBER)
    memcpy(&f.number, at, sizeof f.number);
  else
    memcpy(&f.count, at, m->bytes);  // size_t or 64 bits; little-endian as all of Milo
  return f;
}

static void set(const member *m, void *object, const field *f) {
  char *at = (char *)object + m->offset;
  if (m->kind == FIELD_NUMBER)
    memcpy(at, &f->number, sizeof f->number);
  else
    memcpy(at, &f->count, m->bytes);
}

static bool equal(const field *a, const field *b) {
  return a->kind == FIELD_NUMBER ? a->number == b->number : a->count == b->count;
}

// 17 digits bring every double back; 6 are for people.
static void format(const field *f, int digits, char *text, size_t bytes) {
  if (f->kind == FIELD_NUMBER)
    snprintf(text, bytes, "%.*g", digits, f->number);
  else
    snprintf(text, bytes, "%llu", (unsigned long long)f->count);
  char *comma = strchr(text, ',');  // the host's locale may have put one
  if (comma) *comma = '.';
}

// A number with a point, whatever the host's locale wants; false if the text is something else.
static bool read_number(const char *text, double *out) {
  char copy[64], half[8], *end;
  if (strlen(text) >= sizeof copy) return false;
  snprintf(half, sizeof half, "%.1f", 0.5);
  memcpy(copy, text, strlen(text) + 1);
  char *point = strchr(copy, '.');
  if (point) *point = half[1];
  *out = strtod(copy, &end);
  return end != copy && *end == '\0';
}

static milo_status find(const milo_safetensors *file, const char *name, field_kind kind, field *out,
                        milo_diag *diag) {
  const milo_source source = {.name = milo_safetensors_path(file)};
  const milo_loc loc = {&source, 0};
  const char *text = milo_safetensors_text(file, name);
  *out = (field){.kind = kind};
  if (!text) return milo_fail(diag, loc, MILO_ERR_INVALID, "'%s' is missing", name);
  char *end = NULL;
  errno = 0;
  if (kind == FIELD_COUNT) out->count = strtoull(text, &end, 10);
  if (kind == FIELD_NUMBER ? !read_number(text, &out->number)
                           : end == text || *end != '\0' || errno != 0 || *text == '-')
    return milo_fail(diag, loc, MILO_ERR_INVALID, "'%s' is \"%s\", a number is expected", name,
                     text);
  return MILO_OK;
}

// ---- writing ----

static milo_named_tensor named(const char *name, const milo_type *type, milo_buffer *buffer) {
  milo_named_tensor t = {.name = name, .dtype = type->dtype, .rank = type->rank, .buffer = buffer};
  memcpy(t.dims, type->dims, sizeof t.dims);
  return t;
}

static const char *moment_name(milo_arena *arena, const char *prefix, const milo_parameter *param) {
  return milo_arena_printf(arena, "%s%s", prefix, param->name);
}

milo_status milo_checkpoint_write(const char *path, const milo_checkpoint *what,
                                  const milo_train_options *options, const milo_train_state *state,
                                  milo_diag *diag) {
  milo_arena arena = {0};
  const field states[STATES] = {
      {FIELD_COUNT, state->step, 0},           {FIELD_COUNT, state->data_checksum, 0},
      {FIELD_NUMBER, 0, state->best_val_loss}, {FIELD_NUMBER, 0, state->loss},
      {FIELD_NUMBER, 0, state->grad_norm},     {FIELD_COUNT, state->unreported, 0},
      {FIELD_NUMBER, 0, state->scale.factor},  {FIELD_COUNT, state->scale.good, 0},
      {FIELD_COUNT, state->scale.in_a_row, 0}, {FIELD_COUNT, state->scale.skipped, 0},
      {FIELD_COUNT, state->begun, 0}};
  static const char *const state_names[STATES] = {
      "step",         "data_checksum", "best_val_loss",  "loss",          "grad_norm", "unreported",
      "scale.factor", "scale.good",    "scale.in_a_row", "scale.skipped", "begun"};
  milo_metadata metadata[FIXED + STATES + MEMBERS] = {{"format", FORMAT}, {"model", what->model}};
  size_t fields = FIXED;
  for (size_t i = 0; i < STATES + MEMBERS; i++) {
    const field f = i < STATES ? states[i] : get(&members[i - STATES], options);
    char *text = milo_arena_alloc(&arena, 40);
    format(&f, 17, text, 40);
    metadata[fields++] =
        (milo_metadata){i < STATES ? state_names[i] : members[i - STATES].name, text};
  }
  const size_t count = what->params->count;
  milo_named_tensor *tensors = MILO_NEW_ARRAY(&arena, milo_named_tensor, 3 * count);
  size_t used = 0;
  for (size_t i = 0; i < count; i++) {
    const milo_parameter *p = &what->params->items[i];
    tensors[used++] = named(p->name, &p->type, p->buffer);
  }
  for (int order = 0; order < 2; order++)
    for (size_t i = 0; i < count; i++) {
      const milo_parameter *p = &what->params->items[i];
      if (what->moments[order][i])
        tensors[used++] = named(moment_name(&arena, what->moment_prefix[order], p), &p->type,
                                what->moments[order][i]);
    }
  const milo_status status = milo_safetensors_write(path, metadata, fields, tensors, used, diag);
  milo_arena_deinit(&arena);
  return status;
}

milo_status milo_checkpoint_write_model(const char *path, const milo_params *params,
                                        const char *model, milo_diag *diag) {
  milo_arena arena = {0};
  const milo_metadata metadata[FIXED] = {{"format", FORMAT}, {"model", model}};
  milo_named_tensor *tensors = MILO_NEW_ARRAY(&arena, milo_named_tensor, params->count);
  for (size_t i = 0; i < params->count; i++) {
    const milo_parameter *p = &params->items[i];
    tensors[i] = named(p->name, &p->type, p->buffer);
  }
  const milo_status status =
      milo_safetensors_write(path, metadata, FIXED, tensors, params->count, diag);
  milo_arena_deinit(&arena);
  return status;
}

// ---- reading ----

milo_status milo_checkpoint_open(const char *path, milo_diag *diag, milo_safetensors **out_file) {
  milo_safetensors *file = NULL;
  *out_file = NULL;
  MILO_TRY(milo_safetensors_open(path, diag, &file));
  const milo_source source = {.name = path};
  const milo_loc loc = {&source, 0};
  const char *is = milo_safetensors_text(file, "format");
  milo_status status = MILO_OK;
  if (!is || strncmp(is, "milo.checkpoint.", strlen("milo.checkpoint.")) != 0)
    status = milo_fail(diag, loc, MILO_ERR_INVALID, "not a checkpoint of Milo's");
  else if (strcmp(is, FORMAT) != 0)
    status = milo_fail(diag, loc, MILO_ERR_UNSUPPORTED,
                       "a checkpoint of another version (%s, this Milo reads " FORMAT ")", is);
  else if (!milo_safetensors_has_checksum(file) || !milo_safetensors_text(file, "model"))
    status = milo_fail(diag, loc, MILO_ERR_INVALID, "not a whole checkpoint: %s is missing",
                       milo_safetensors_text(file, "model") ? "the checksum" : "'model'");
  if (status == MILO_OK)
    *out_file = file;
  else
    milo_safetensors_close(file);
  return status;
}

bool milo_checkpoint_has_run(const milo_safetensors *file) {
  return milo_safetensors_text(file, "step") != NULL;
}

const char *milo_checkpoint_model(const milo_safetensors *file) {
  return milo_safetensors_text(file, "model");
}

// The number of steps may grow: data order and rate are functions of the step and the options
// alone, so that what follows is what a run of the new length would do. What was done keeps the
// rates it had.
static milo_status extend(const milo_safetensors *file, uint64_t was, uint64_t now,
                          milo_diag *diag) {
  if (now >= was) return MILO_OK;
  return milo_fail(
      diag, MILO_NO_LOC, MILO_ERR_INVALID,
      "cannot resume from %s: steps was %llu in that run and is %llu now; a run can be "
      "made longer, not shorter\nto stop earlier, stop_after (--stop-after) does",
      milo_safetensors_path(file), (unsigned long long)was, (unsigned long long)now);
}

// The names of what options number from 1.
static void say_name(const char *option, char *text, size_t bytes) {
  static const struct {
    const char *option;
    const char *names[4];
  } table[] = {{"plan", {"fused", "dynamic", "static"}},
               {"precision", {"fp32", "bf16", "fp16"}},
               {"schedule", {"cosine", "linear", "constant", "wsd"}},
               {"optimizer", {"adamw", "adam"}}};
  const unsigned long number = strtoul(text, NULL, 10);
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    if (strcmp(table[i].option, option) == 0 && number >= 1 && number <= 4 &&
        table[i].names[number - 1])
      snprintf(text, bytes, "%s", table[i].names[number - 1]);
}

static milo_status differs(const milo_safetensors *file, const field *was, const field *now,
                           const char *name, milo_diag *diag) {
  char old_text[40], new_text[40];
  format(was, 6, old_text, sizeof old_text);
  format(now, 6, new_text, sizeof new_text);
  say_name(name, old_text, sizeof old_text);
  say_name(name, new_text, sizeof new_text);
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                   "cannot resume from %s: %s was %s in that run and is %s now",
                   milo_safetensors_path(file), name, old_text, new_text);
}

milo_status milo_checkpoint_options(const milo_safetensors *file, milo_train_options *options,
                                    milo_diag *diag) {
  field was;
  if (!milo_checkpoint_has_run(file))
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "cannot resume from %s: it holds a model and no run\n--init begins with its "
                     "weights",
                     milo_safetensors_path(file));
  for (size_t i = 0; i < MEMBERS; i++) {
    const member *m = &members[i];
    if (!isnan(m->absent) && milo_safetensors_text(file, m->name) == NULL)
      was = (field){m->kind, (uint64_t)m->absent, m->absent};
    else
      MILO_TRY(find(file, m->name, m->kind, &was, diag));
    field now = get(m, options);
    // Completed options have no negative "off" values any more.
    if (now.kind == FIELD_NUMBER && now.number < 0 && !m->signed_number)
      now.number = strcmp(m->name, "option.clip") == 0 ? (double)INFINITY : 0;
    else if (now.kind == FIELD_NUMBER ? now.number == 0 : now.count == 0)
      now = was;
    if (m->offset == offsetof(milo_train_options, steps))
      MILO_TRY(extend(file, was.count, now.count, diag));
    else if (!equal(&was, &now))
      return differs(file, &was, &now, m->name + strlen("option."), diag);
    set(m, options, &now);
  }
  // What the run had switched off must stay off when the defaults are filled in.
  double *const off_at_zero[] = {&options->min_lr_ratio, &options->weight_decay,
                                 &options->val_fraction};
  for (size_t i = 0; i < sizeof off_at_zero / sizeof *off_at_zero; i++)
    if (*off_at_zero[i] == 0) *off_at_zero[i] = -1;
  return MILO_OK;
}

milo_status milo_checkpoint_params(const milo_safetensors *file, milo_params *params,
                                   milo_diag *diag) {
  for (size_t i = 0; i < params->count; i++) {
    const milo_parameter *p = &params->items[i];
    MILO_TRY(milo_safetensors_read(file, p->name, &p->type, p->buffer, diag));
  }
  return MILO_OK;
}

milo_status milo_checkpoint_read(const milo_safetensors *file, const milo_checkpoint *what,
                                 milo_train_state *out_state, milo_diag *diag) {
  field f;
  *out_state = (milo_train_state){.scale = out_state->scale};
  MILO_TRY(find(file, "step", FIELD_COUNT, &f, diag));
  out_state->step = f.count;
  MILO_TRY(find(file, "data_checksum", FIELD_COUNT, &f, diag));
  out_state->data_checksum = f.count;
  MILO_TRY(find(file, "best_val_loss", FIELD_NUMBER, &f, diag));
  out_state->best_val_loss = f.number;
  MILO_TRY(find(file, "loss", FIELD_NUMBER, &f, diag));
  out_state->loss = f.number;
  MILO_TRY(find(file, "grad_norm", FIELD_NUMBER, &f, diag));
  out_state->grad_norm = f.number;
  MILO_TRY(find(file, "unreported", FIELD_COUNT, &f, diag));
  out_state->unreported = f.count != 0 && out_state->step > 0;
  if (milo_safetensors_text(file, "scale.factor") != NULL) {
    MILO_TRY(find(file, "scale.factor", FIELD_NUMBER, &f, diag));
    out_state->scale.factor = f.number;
    MILO_TRY(find(file, "scale.good", FIELD_COUNT, &f, diag));
    out_state->scale.good = f.count;
    MILO_TRY(find(file, "scale.in_a_row", FIELD_COUNT, &f, diag));
    out_state->scale.in_a_row = f.count;
    MILO_TRY(find(file, "scale.skipped", FIELD_COUNT, &f, diag));
    out_state->scale.skipped = f.count;
  }
  if (milo_safetensors_text(file, "begun")) {
    MILO_TRY(find(file, "begun", FIELD_COUNT, &f, diag));
    out_state->begun = f.count;
  }
  MILO_TRY(milo_checkpoint_params(file, what->params, diag));
  milo_arena arena = {0};
  milo_status status = MILO_OK;
  for (int order = 0; order < 2; order++)
    for (size_t i = 0; i < what->params->count && status == MILO_OK; i++) {
      const milo_parameter *p = &what->params->items[i];
      if (!what->moments[order][i]) continue;
      const char *name = moment_name(&arena, what->moment_prefix[order], p);
      const char *old = moment_name(&arena, OLD_MOMENT_PREFIX, p);
      if (order == 0 && !milo_safetensors_find(file, name) && milo_safetensors_find(file, old))
        name = old;
      status = milo_safetensors_read(file, name, &p->type, what->moments[order][i], diag);
    }
  milo_arena_deinit(&arena);
  return status;
}
