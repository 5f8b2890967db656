// SPDX-License-Identifier: MIT
#include "train/checkpoint.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/config.h"

enum { PARTS = 3, MAX_FIELDS = 48 };

// Tensors are named "<part>.<weight>".
static const char *const parts[PARTS] = {"param", "m", "v"};

typedef struct member {
  const char *name;
  milo_field_kind kind;
  size_t offset, bytes;
} member;

#define OPTION(name, kind)                                     \
  {                                                            \
    "option." #name, kind, offsetof(milo_train_options, name), \
        sizeof((milo_train_options *)0)->name                  \
  }
#define CONFIG(name, kind) \
  { "model." #name, kind, offsetof(milo_model_config, name), sizeof((milo_model_config *)0)->name }

// All that changes what a run computes. Where and how often it saves does not.
static const member option_members[] = {
    OPTION(steps, MILO_FIELD_COUNT),         OPTION(batch, MILO_FIELD_COUNT),
    OPTION(seq, MILO_FIELD_COUNT),           OPTION(accumulate, MILO_FIELD_COUNT),
    OPTION(lr, MILO_FIELD_NUMBER),           OPTION(min_lr_ratio, MILO_FIELD_NUMBER),
    OPTION(warmup, MILO_FIELD_COUNT),        OPTION(beta1, MILO_FIELD_NUMBER),
    OPTION(beta2, MILO_FIELD_NUMBER),        OPTION(epsilon, MILO_FIELD_NUMBER),
    OPTION(weight_decay, MILO_FIELD_NUMBER), OPTION(clip, MILO_FIELD_NUMBER),
    OPTION(seed, MILO_FIELD_COUNT),          OPTION(val_fraction, MILO_FIELD_NUMBER),
    OPTION(eval_every, MILO_FIELD_COUNT),    OPTION(eval_batches, MILO_FIELD_COUNT),
};
static const member config_members[] = {
    CONFIG(dim, MILO_FIELD_COUNT),         CONFIG(hidden, MILO_FIELD_COUNT),
    CONFIG(layers, MILO_FIELD_COUNT),      CONFIG(heads, MILO_FIELD_COUNT),
    CONFIG(kv_heads, MILO_FIELD_COUNT),    CONFIG(head_dim, MILO_FIELD_COUNT),
    CONFIG(seq, MILO_FIELD_COUNT),         CONFIG(vocab, MILO_FIELD_COUNT),
    CONFIG(rope_theta, MILO_FIELD_NUMBER), CONFIG(norm_epsilon, MILO_FIELD_NUMBER),
    CONFIG(rope_half, MILO_FIELD_COUNT),   CONFIG(qk_norm, MILO_FIELD_COUNT),
    CONFIG(untied, MILO_FIELD_COUNT),
};
enum {
  OPTIONS = sizeof option_members / sizeof *option_members,
  CONFIGS = sizeof config_members / sizeof *config_members,
};

static milo_store_field get(const member *m, const void *object) {
  milo_store_field field = {.name = m->name, .kind = m->kind};
  const char *at = (const char *)object + m->offset;
  if (m->kind == MILO_FIELD_NUMBER)
    memcpy(&field.number, at, sizeof field.number);
  else
    memcpy(&field.count, at, m->bytes);  // bool, size_t or 64 bits; little-endian as all of Milo
  return field;
}

static void set(const member *m, void *object, const milo_store_field *field) {
  char *at = (char *)object + m->offset;
  const bool flag = field->count != 0;
  if (m->kind == MILO_FIELD_NUMBER)
    memcpy(at, &field->number, sizeof field->number);
  else if (m->bytes == sizeof flag)
    memcpy(at, &flag, sizeof flag);
  else
    memcpy(at, &field->count, m->bytes);
}

static bool equal(const milo_store_field *a, const milo_store_field *b) {
  return a->kind == MILO_FIELD_NUMBER ? a->number == b->number : a->count == b->count;
}

static void format(const milo_store_field *field, char *text, size_t bytes) {
  if (field->kind == MILO_FIELD_NUMBER)
    snprintf(text, bytes, "%g", field->number);
  else
    snprintf(text, bytes, "%llu", (unsigned long long)field->count);
}

milo_status milo_checkpoint_write(const char *path, const milo_model *model,
                                  const milo_train_options *options, const milo_train_state *state,
                                  const float *first, const float *second, milo_diag *diag) {
  milo_store_field fields[MAX_FIELDS];
  size_t field_count = 0;
  fields[field_count++] = (milo_store_field){"step", MILO_FIELD_COUNT, state->step, 0};
  fields[field_count++] =
      (milo_store_field){"data_checksum", MILO_FIELD_COUNT, state->data_checksum, 0};
  fields[field_count++] =
      (milo_store_field){"best_val_loss", MILO_FIELD_NUMBER, 0, state->best_val_loss};
  fields[field_count++] = (milo_store_field){"loss", MILO_FIELD_NUMBER, 0, state->loss};
  fields[field_count++] = (milo_store_field){"grad_norm", MILO_FIELD_NUMBER, 0, state->grad_norm};
  fields[field_count++] = (milo_store_field){"unreported", MILO_FIELD_COUNT, state->unreported, 0};
  for (size_t i = 0; i < CONFIGS; i++)
    fields[field_count++] = get(&config_members[i], &model->config);
  for (size_t i = 0; i < OPTIONS; i++) fields[field_count++] = get(&option_members[i], options);
  assert(field_count <= MAX_FIELDS);

  const float *const blocks[PARTS] = {model->block, first, second};
  milo_store_tensor tensors[PARTS * MILO_WEIGHT_COUNT];
  char names[PARTS * MILO_WEIGHT_COUNT][MILO_STORE_NAME_BYTES];
  size_t count = 0;
  for (int part = 0; part < PARTS; part++)
    for (int id = 0; id < MILO_WEIGHT_COUNT; id++) {
      const milo_weight *w = &model->weights[id];
      if (!w->present) continue;
      snprintf(names[count], sizeof names[count], "%s.%s", parts[part], w->name);
      tensors[count] = (milo_store_tensor){names[count], blocks[part] + w->offset, w->layers,
                                           w->elements, w->stride};
      count++;
    }
  return milo_store_write(path, fields, field_count, tensors, count, diag);
}

static milo_status find(const milo_store *store, const char *name, milo_field_kind kind,
                        milo_store_field *out, milo_diag *diag) {
  if (milo_store_find_field(store, name, kind, out)) return MILO_OK;
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "%s: error: '%s' is missing",
                   milo_store_path(store), name);
}

// The number of steps may grow: data order and rate are functions of the step and the options
// alone, so that what follows is what a run of the new length would do. What was done keeps the
// rates it had.
static milo_status extend(const milo_store *store, uint64_t was, uint64_t now, milo_diag *diag) {
  if (now >= was) return MILO_OK;
  return milo_fail(
      diag, MILO_NO_LOC, MILO_ERR_INVALID,
      "cannot resume from %s: steps was %llu in that run and is %llu now; a run can be "
      "made longer, not shorter\nto stop earlier, stop_after (--stop-after) does",
      milo_store_path(store), (unsigned long long)was, (unsigned long long)now);
}

static milo_status differs(const milo_store *store, const milo_store_field *was,
                           const milo_store_field *now, const char *name, milo_diag *diag) {
  char old_text[40], new_text[40];
  format(was, old_text, sizeof old_text);
  format(now, new_text, sizeof new_text);
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                   "cannot resume from %s: %s was %s in that run and is %s now",
                   milo_store_path(store), name, old_text, new_text);
}

milo_status milo_checkpoint_config(const milo_store *store, milo_diag *diag,
                                   milo_model_config *out_config) {
  milo_model_config config = {.struct_bytes = sizeof config};
  milo_store_field field;
  for (size_t i = 0; i < CONFIGS; i++) {
    MILO_TRY(find(store, config_members[i].name, config_members[i].kind, &field, diag));
    set(&config_members[i], &config, &field);
  }
  return milo_model_config_complete(&config, diag, out_config);
}

milo_status milo_checkpoint_options(const milo_store *store, const milo_model_config *config,
                                    milo_train_options *options, milo_diag *diag) {
  milo_store_field was;
  for (size_t i = 0; i < CONFIGS; i++) {
    const member *m = &config_members[i];
    MILO_TRY(find(store, m->name, m->kind, &was, diag));
    const milo_store_field now = get(m, config);
    if (!equal(&was, &now)) return differs(store, &was, &now, m->name, diag);
  }
  for (size_t i = 0; i < OPTIONS; i++) {
    const member *m = &option_members[i];
    MILO_TRY(find(store, m->name, m->kind, &was, diag));
    milo_store_field now = get(m, options);
    // Completed options have no negative "off" values any more.
    if (now.kind == MILO_FIELD_NUMBER && now.number < 0)
      now.number = strcmp(m->name, "option.clip") == 0 ? (double)INFINITY : 0;
    else if (now.kind == MILO_FIELD_NUMBER ? now.number == 0 : now.count == 0)
      now = was;
    if (m->offset == offsetof(milo_train_options, steps))
      MILO_TRY(extend(store, was.count, now.count, diag));
    else if (!equal(&was, &now))
      return differs(store, &was, &now, m->name + strlen("option."), diag);
    set(m, options, &now);
  }
  // What the run had switched off must stay off when the defaults are filled in.
  double *const off_at_zero[] = {&options->min_lr_ratio, &options->weight_decay,
                                 &options->val_fraction};
  for (size_t i = 0; i < sizeof off_at_zero / sizeof *off_at_zero; i++)
    if (*off_at_zero[i] == 0) *off_at_zero[i] = -1;
  return MILO_OK;
}

milo_status milo_checkpoint_read(const milo_store *store, milo_model *model, float *first,
                                 float *second, milo_train_state *out_state, milo_diag *diag) {
  milo_store_field field;
  *out_state = (milo_train_state){0};
  MILO_TRY(find(store, "step", MILO_FIELD_COUNT, &field, diag));
  out_state->step = field.count;
  MILO_TRY(find(store, "data_checksum", MILO_FIELD_COUNT, &field, diag));
  out_state->data_checksum = field.count;
  MILO_TRY(find(store, "best_val_loss", MILO_FIELD_NUMBER, &field, diag));
  out_state->best_val_loss = field.number;
  MILO_TRY(find(store, "loss", MILO_FIELD_NUMBER, &field, diag));
  out_state->loss = field.number;
  MILO_TRY(find(store, "grad_norm", MILO_FIELD_NUMBER, &field, diag));
  out_state->grad_norm = field.number;
  MILO_TRY(find(store, "unreported", MILO_FIELD_COUNT, &field, diag));
  out_state->unreported = field.count != 0 && out_state->step > 0;
  float *const blocks[PARTS] = {model->block, first, second};
  for (int part = 0; part < PARTS; part++)
    for (int id = 0; id < MILO_WEIGHT_COUNT; id++) {
      const milo_weight *w = &model->weights[id];
      if (!w->present) continue;
      char name[MILO_STORE_NAME_BYTES];
      snprintf(name, sizeof name, "%s.%s", parts[part], w->name);
      MILO_TRY(milo_store_read_tensor(store, name, blocks[part] + w->offset, w->layers, w->elements,
                                      w->stride, diag));
    }
  return MILO_OK;
}
