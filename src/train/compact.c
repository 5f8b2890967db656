// SPDX-License-Identifier: MIT
#include "train/compact.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static const milo_tensor_id row_tensors[] = {MILO_TENSOR_embedding, MILO_TENSOR_classifier};
enum { ROW_TENSORS = sizeof row_tensors / sizeof *row_tensors };

static bool has(const milo_model *model, milo_tensor_id id) {
  return id != MILO_TENSOR_classifier || model->config.untied;
}

// Which tokens occur, and the data in their numbers.
static milo_status find_tokens(milo_compact *c, const uint32_t *ids, size_t count,
                               milo_diag *diag) {
  const size_t vocab = (size_t)c->whole->config.vocab;
  uint32_t *number = calloc(vocab, sizeof *number);  // 1 + the compact id
  c->tokens = calloc(vocab, sizeof *c->tokens);
  c->ids = calloc(count + 1, sizeof *c->ids);
  if (!number || !c->tokens || !c->ids) {
    free(number);
    return milo_memory_fail("tokens", (2 * vocab + count) * sizeof *number, diag);
  }
  for (size_t i = 0; i < count; i++) number[ids[i]] = 1;
  for (size_t token = 0; token < vocab; token++)
    if (number[token]) {
      c->tokens[c->count++] = (uint32_t)token;
      number[token] = (uint32_t)c->count;
    }
  for (size_t i = 0; i < count; i++) c->ids[i] = number[ids[i]] - 1;
  free(number);
  return MILO_OK;
}

// Rows of row_bytes between a buffer of all tokens and one of those that occur.
static milo_status move_rows(const milo_compact *c, milo_buffer *all, milo_buffer *some,
                             bool to_all, milo_diag *diag) {
  const size_t row = milo_buffer_bytes(some) / c->count;
  char *wide = milo_buffer_map(all, MILO_READ_WRITE),
       *narrow = milo_buffer_map(some, MILO_READ_WRITE);
  for (size_t i = 0; wide && narrow && i < c->count; i++) {
    char *place = wide + c->tokens[i] * row, *own = narrow + i * row;
    memcpy(to_all ? place : own, to_all ? own : place, row);
  }
  milo_status status = wide && narrow ? MILO_OK : MILO_ERR_NO_MEMORY;
  if (wide && milo_buffer_unmap(all, wide, MILO_READ_WRITE) != MILO_OK) status = MILO_ERR_NO_MEMORY;
  if (narrow && milo_buffer_unmap(some, narrow, MILO_READ_WRITE) != MILO_OK)
    status = MILO_ERR_NO_MEMORY;
  if (status == MILO_OK) return status;
  return milo_fail(diag, MILO_NO_LOC, status, "no memory for the rows of a compact vocabulary");
}

static bool is_row_tensor(const milo_compact *c, size_t param) {
  for (int i = 0; i < ROW_TENSORS; i++)
    if (has(c->whole, row_tensors[i]) && c->whole->first[row_tensors[i]] == param) return true;
  return false;
}

static milo_status make_model(milo_compact *c, milo_diag *diag) {
  milo_model_config config = c->whole->config;
  config.vocab = (int64_t)c->count;
  config.stop_count = -1;
  MILO_TRY(milo_model_alloc(&config, diag, &c->model));
  for (size_t i = 0; i < c->model->params.count; i++) {
    if (is_row_tensor(c, i)) {
      MILO_TRY(move_rows(c, c->whole->params.items[i].buffer, c->model->params.items[i].buffer,
                         false, diag));
      continue;
    }
    milo_buffer **own = &c->model->params.items[i].buffer;
    milo_buffer_release(*own);
    *own = c->whole->params.items[i].buffer;
    milo_buffer_retain(*own);
  }
  return MILO_OK;
}

milo_status milo_compact_create(milo_model *whole, const uint32_t *ids, size_t count,
                                milo_diag *diag, milo_compact **out) {
  *out = NULL;
  milo_compact *c = calloc(1, sizeof *c);
  if (!c)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a compact vocabulary");
  c->whole = whole;
  milo_model_retain(whole);
  milo_status status = find_tokens(c, ids, count, diag);
  if (status == MILO_OK) status = make_model(c, diag);
  for (int order = 0; status == MILO_OK && order < 2; order++) {
    c->moments[order] = calloc(whole->params.count + 1, sizeof *c->moments[order]);
    if (!c->moments[order]) status = milo_memory_fail("moments", whole->params.count, diag);
    for (size_t i = 0; status == MILO_OK && i < whole->params.count; i++)
      if (is_row_tensor(c, i))
        status = milo_buffer_alloc(milo_buffer_bytes(whole->params.items[i].buffer), diag,
                                   &c->moments[order][i]);
  }
  if (status == MILO_OK)
    *out = c;
  else
    milo_compact_destroy(c);
  return status;
}

void milo_compact_destroy(milo_compact *c) {
  if (!c) return;
  for (int order = 0; order < 2; order++) {
    for (size_t i = 0; c->moments[order] && i < c->whole->params.count; i++)
      if (is_row_tensor(c, i)) milo_buffer_release(c->moments[order][i]);
    free(c->moments[order]);
  }
  milo_model_destroy(c->model);
  milo_model_destroy(c->whole);
  free(c->tokens);
  free(c->ids);
  free(c);
}

static milo_status move_all(milo_compact *c, milo_buffer *const *const moments[2], bool to_whole,
                            milo_diag *diag) {
  for (size_t i = 0; i < c->whole->params.count; i++) {
    const bool rows = is_row_tensor(c, i);
    if (rows)
      MILO_TRY(move_rows(c, c->whole->params.items[i].buffer, c->model->params.items[i].buffer,
                         to_whole, diag));
    for (int order = 0; moments && order < 2; order++) {
      if (rows)
        MILO_TRY(move_rows(c, c->moments[order][i], moments[order][i], to_whole, diag));
      else
        c->moments[order][i] = moments[order][i];  // borrowed
    }
  }
  return MILO_OK;
}

milo_status milo_compact_widen(milo_compact *c, milo_buffer *const *const moments[2],
                               milo_diag *diag) {
  return move_all(c, moments, true, diag);
}

milo_status milo_compact_narrow(milo_compact *c, milo_buffer *const *const moments[2],
                                milo_diag *diag) {
  return move_all(c, moments, false, diag);
}
