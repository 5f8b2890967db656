// SPDX-License-Identifier: MIT
#include "generate/session.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/number.h"
#include "model/blocks.h"

enum {
  CHUNK = 256,           // tokens of the largest program
  FIRST_ROOM = 256,      // tokens that the cache has room for at first
  HEAD_ROWS = 64,        // rows of logits at a time, where all are wanted
  HEAD_LOGITS = 1 << 21  // numbers at a time at most, unless one row has more
};

// The programs for one count of new tokens, and their buffers.
typedef struct batch {
  size_t count;  // 0: none yet
  milo_run *embed, *layer;
  milo_buffer *tokens, *positions, *cosines, *sines, *x[2];
} batch;

// Final norm and classifier.
typedef struct head {
  size_t rows;
  milo_run *run;  // NULL: not built yet
  milo_buffer *logits;
} head;

struct milo_reader {
  milo_stop stop;
  milo_device *device;
  const milo_model *model;
  milo_dtype cache;            // element type of the caches
  size_t limit, length, room;  // room: tokens that the cache holds
  milo_buffer **caches;        // [1, kv_heads, room, HD]; keys of layer i at 2 i, values at 2 i + 1
  milo_buffer *position;
  batch one, chunk, rest;  // for a token, for CHUNK of them, for any other count
  head last, many;         // for a row, for several
  float *logits;           // after the last token
  float *next;             // those of a row that a feed looks at
  bool known;              // logits are those
};

static void batch_deinit(batch *b) {
  milo_run_destroy(b->embed);
  milo_run_destroy(b->layer);
  milo_buffer *const buffers[] = {b->tokens, b->positions, b->cosines, b->sines, b->x[0], b->x[1]};
  for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) milo_buffer_release(buffers[i]);
  *b = (batch){0};
}

static void head_deinit(head *h) {
  milo_run_destroy(h->run);
  milo_buffer_release(h->logits);
  *h = (head){.rows = h->rows};
}

static milo_status build_batch(const milo_reader *r, batch *b, size_t count, milo_diag *diag) {
  const milo_model_config *c = &r->model->config;
  static const milo_alias caches[] = {{1, 1}, {2, 2}};
  static const milo_role embed_roles[] = {MILO_ROLE_VALUE, MILO_ROLE_PARAMETER,
                                          MILO_ROLE_PARAMETER};
  milo_role layer_roles[7 + MILO_LAYER_BUFFERS] = {
      MILO_ROLE_VALUE, MILO_ROLE_STATE, MILO_ROLE_STATE, MILO_ROLE_VALUE,
      MILO_ROLE_VALUE, MILO_ROLE_VALUE, MILO_ROLE_VALUE};
  for (int i = 0; i < MILO_LAYER_BUFFERS; i++) layer_roles[7 + i] = MILO_ROLE_PARAMETER;
  const milo_executable_options embed_options = {.roles = embed_roles};
  const milo_executable_options layer_options = {
      .aliases = caches, .alias_count = 2, .roles = layer_roles};
  milo_func *func = NULL;
  milo_program *program = milo_program_create();
  milo_status status = milo_block_embed(program, c, r->model->stored, (int64_t)count, diag, &func);
  MILO_TRY(milo_run_build(r->device, program, status, func, &embed_options, diag, &b->embed));
  program = milo_program_create();
  status = milo_block_layer_cached(program, c, r->model->stored, r->cache, (int64_t)count,
                                   (int64_t)r->room, diag, &func);
  return milo_run_build(r->device, program, status, func, &layer_options, diag, &b->layer);
}

static milo_status alloc_batch(const milo_reader *r, batch *b, size_t count, milo_diag *diag) {
  const milo_model_config *c = &r->model->config;
  const size_t angles = count * (size_t)(c->head_dim / 2) * sizeof(float);
  // A head for several rows may read past the last one: what it makes of that is not looked at.
  const size_t rows = count > 1 ? count + r->many.rows : count;
  const size_t x = rows * (size_t)c->dim * sizeof(float);
  const struct {
    milo_buffer **buffer;
    size_t bytes;
  } wanted[] = {{&b->tokens, count * sizeof(int32_t)},
                {&b->positions, count * sizeof(int32_t)},
                {&b->cosines, angles},
                {&b->sines, angles},
                {&b->x[0], x},
                {&b->x[1], x}};
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
    MILO_TRY(milo_device_alloc(r->device, wanted[i].bytes, diag, wanted[i].buffer));
  return MILO_OK;
}

// The programs for count tokens.
static milo_status get_batch(milo_reader *r, size_t count, milo_diag *diag, batch **out) {
  batch *b = count == 1 ? &r->one : count == CHUNK ? &r->chunk : &r->rest;
  *out = b;
  if (b->count == count) return MILO_OK;
  batch_deinit(b);
  milo_status status = build_batch(r, b, count, diag);
  if (status == MILO_OK) status = alloc_batch(r, b, count, diag);
  if (status == MILO_OK)
    b->count = count;
  else
    batch_deinit(b);
  return status;
}

static milo_status build_head(const milo_reader *r, head *h, milo_diag *diag) {
  const milo_model_config *c = &r->model->config;
  static const milo_role roles[] = {MILO_ROLE_VALUE, MILO_ROLE_PARAMETER, MILO_ROLE_PARAMETER,
                                    MILO_ROLE_PARAMETER};
  const milo_executable_options options = {.roles = roles};
  if (h->run) return MILO_OK;
  milo_func *func = NULL;
  milo_program *program = milo_program_create();
  milo_status status =
      milo_block_logits(program, c, r->model->stored, (int64_t)h->rows, diag, &func);
  status = milo_run_build(r->device, program, status, func, &options, diag, &h->run);
  if (status == MILO_OK)
    status =
        milo_device_alloc(r->device, h->rows * (size_t)c->vocab * sizeof(float), diag, &h->logits);
  if (status != MILO_OK) head_deinit(h);
  return status;
}

// ---- the cache ----

static size_t element_bytes(const milo_reader *r) { return milo_dtype_bits(r->cache) / 8; }

// The rows of each head into a buffer with room for more.
static milo_status move_cache(const milo_reader *r, milo_buffer *from, milo_buffer *to) {
  const milo_model_config *c = &r->model->config;
  const size_t row = (size_t)c->head_dim * element_bytes(r), heads = (size_t)c->kv_heads;
  const size_t old_head = r->room * row, new_head = milo_buffer_bytes(to) / heads;
  char *old = milo_buffer_map(from, MILO_READ), *new = milo_buffer_map(to, MILO_READ_WRITE);
  milo_status status = old && new ? MILO_OK : MILO_ERR_NO_MEMORY;
  for (size_t h = 0; status == MILO_OK && h < heads; h++)
    memcpy(new + h *new_head, old + h * old_head, r->length * row);
  if (old && milo_buffer_unmap(from, old, MILO_READ) != MILO_OK) status = MILO_ERR_NO_MEMORY;
  if (new &&milo_buffer_unmap(to, new, MILO_READ_WRITE) != MILO_OK) status = MILO_ERR_NO_MEMORY;
  return status;
}

// Makes room for `length` tokens: as many again as there were, so that growing costs in proportion.
static milo_status grow(milo_reader *r, size_t length, milo_diag *diag) {
  const milo_model_config *c = &r->model->config;
  size_t room = r->room > 0 ? r->room : FIRST_ROOM;
  while (room < length) room *= 2;
  if (room > r->limit) room = r->limit;
  if (room == r->room) return MILO_OK;
  const size_t count = 2 * (size_t)c->layers;
  size_t bytes = 0, all = 0;
  if (!milo_size_mul((size_t)(c->kv_heads * c->head_dim) * element_bytes(r), room, &bytes) ||
      !milo_size_mul(bytes, count, &all))
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "a cache for %zu tokens is too large",
                     room);
  MILO_TRY(milo_memory_ask("a cache of keys and values", all, diag));
  milo_buffer **caches = calloc(count, sizeof *caches);
  milo_status status =
      caches ? MILO_OK : milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for caches");
  for (size_t i = 0; status == MILO_OK && i < count; i++) {
    status = milo_device_alloc(r->device, bytes, diag, &caches[i]);
    if (status == MILO_OK && r->length > 0 &&
        (status = move_cache(r, r->caches[i], caches[i])) != MILO_OK)
      status = milo_fail(diag, MILO_NO_LOC, status, "no memory for caches");
  }
  milo_buffer **drop = status == MILO_OK ? r->caches : caches;
  for (size_t i = 0; drop && i < count; i++) milo_buffer_release(drop[i]);
  free(drop);
  MILO_TRY(status);
  r->caches = caches;
  r->room = room;
  batch_deinit(&r->one);  // compiled for the old room
  batch_deinit(&r->chunk);
  batch_deinit(&r->rest);
  return MILO_OK;
}

// ---- reading ----

static milo_status write_inputs(const milo_reader *r, const batch *b, const uint32_t *tokens) {
  const milo_model_config *c = &r->model->config;
  const int32_t position = (int32_t)r->length;
  const size_t half = (size_t)(c->head_dim / 2);
  int32_t *ids = milo_buffer_map(b->tokens, MILO_WRITE);
  int32_t *positions = milo_buffer_map(b->positions, MILO_WRITE);
  float *cosines = milo_buffer_map(b->cosines, MILO_WRITE);
  float *sines = milo_buffer_map(b->sines, MILO_WRITE);
  const bool mapped = ids && positions && cosines && sines;
  for (size_t i = 0; mapped && i < b->count; i++) {
    ids[i] = (int32_t)tokens[i];
    positions[i] = (int32_t)(r->length + i);
    for (size_t k = 0; k < half; k++) {
      const double angle = milo_model_angle(c, positions[i], (int64_t)k);
      cosines[i * half + k] = (float)cos(angle);
      sines[i * half + k] = (float)sin(angle);
    }
  }
  milo_status status = mapped ? MILO_OK : MILO_ERR_NO_MEMORY;
  const struct {
    milo_buffer *buffer;
    void *data;
  } maps[] = {
      {b->tokens, ids}, {b->positions, positions}, {b->cosines, cosines}, {b->sines, sines}};
  for (size_t i = 0; i < sizeof maps / sizeof *maps; i++)
    if (maps[i].data && milo_buffer_unmap(maps[i].buffer, maps[i].data, MILO_WRITE) != MILO_OK)
      status = MILO_ERR_NO_MEMORY;
  if (status != MILO_OK) return status;
  return milo_buffer_write(r->position, 0, &position, sizeof position);
}

static milo_status run_layers(const milo_reader *r, const batch *b, milo_diag *diag) {
  milo_buffer *inputs[7 + MILO_LAYER_BUFFERS] = {b->tokens};
  milo_model_tensor_buffers(r->model, MILO_TENSOR_embedding, 0, inputs + 1);
  MILO_TRY(milo_run_execute(b->embed, inputs, &b->x[0], diag));
  inputs[3] = r->position;
  inputs[4] = b->positions;
  inputs[5] = b->cosines;
  inputs[6] = b->sines;
  for (size_t layer = 0; layer < (size_t)r->model->config.layers; layer++) {
    if (milo_stop_asked(r->stop)) return MILO_ERR_INTERRUPTED;
    inputs[0] = b->x[layer % 2];
    inputs[1] = r->caches[2 * layer];
    inputs[2] = r->caches[2 * layer + 1];
    milo_model_layer(r->model, layer, inputs + 7);
    milo_buffer *const outputs[] = {b->x[(layer + 1) % 2], inputs[1], inputs[2]};
    MILO_TRY(milo_run_execute(b->layer, inputs, outputs, diag));
  }
  return MILO_OK;
}

// Runs a head on the rows of a batch from first on.
static milo_status run_head(const milo_reader *r, const batch *b, head *h, size_t first,
                            milo_diag *diag) {
  const milo_model_config *c = &r->model->config;
  const size_t row = (size_t)c->dim * sizeof(float);
  MILO_TRY(build_head(r, h, diag));
  milo_buffer *x = NULL;
  MILO_TRY(milo_buffer_slice(b->x[c->layers % 2], first * row, h->rows * row, diag, &x));
  milo_buffer *inputs[4] = {x, milo_model_param(r->model, MILO_TENSOR_final_norm, 0)->buffer};
  milo_model_tensor_buffers(r->model, milo_model_classifier(c), 0, inputs + 2);
  const milo_status status = milo_run_execute(h->run, inputs, &h->logits, diag);
  milo_buffer_release(x);
  return status;
}

// The logits of a head's row to r->next.
static milo_status take_row(const milo_reader *r, const head *h, size_t row, size_t read,
                            milo_diag *diag) {
  const size_t vocab = (size_t)r->model->config.vocab, bytes = vocab * sizeof *r->next;
  if (milo_buffer_read(h->logits, row * bytes, r->next, bytes) != MILO_OK)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for logits");
  for (size_t k = 0; k < vocab; k++)
    if (!isfinite(r->next[k]))
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NUMERIC,
                       "a logit is not finite after %zu tokens", read);
  return MILO_OK;
}

// Shows the logits after tokens begin, begin + 1, ... of a batch; the last ones stay in r->next.
static milo_status show_logits(milo_reader *r, const batch *b, size_t begin, size_t before,
                               milo_logits_fn *each, void *user, milo_diag *diag) {
  for (size_t i = begin; i < b->count;) {
    if (i > begin && milo_stop_asked(r->stop)) return MILO_ERR_INTERRUPTED;
    // A few rows cost more together than one by one.
    head *h = b->count - i > r->many.rows / 8 ? &r->many : &r->last;
    if (b->count - i == 1) h = &r->last;
    MILO_TRY(run_head(r, b, h, i, diag));
    for (size_t row = 0; row < h->rows && i < b->count; row++, i++) {
      MILO_TRY(take_row(r, h, row, r->length + i + 1, diag));
      if (each) each(user, before + i, r->next);
    }
  }
  return MILO_OK;
}

// before: tokens of the same feed that were read already.
static milo_status read_batch(milo_reader *r, const uint32_t *tokens, size_t count, size_t before,
                              bool last, milo_logits_fn *each, void *user, milo_diag *diag) {
  batch *b = NULL;
  MILO_TRY(get_batch(r, count, diag, &b));
  if (write_inputs(r, b, tokens) != MILO_OK)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for %zu tokens", count);
  MILO_TRY(run_layers(r, b, diag));
  if (each || last) MILO_TRY(show_logits(r, b, each ? 0 : count - 1, before, each, user, diag));
  r->length += count;
  return MILO_OK;
}

milo_status milo_reader_feed(milo_reader *r, const uint32_t *tokens, size_t count,
                             milo_logits_fn *each, void *user, milo_diag *diag) {
  const size_t before = r->length, vocab = (size_t)r->model->config.vocab;
  if (count < 1) return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "there are no tokens");
  if (count > r->limit - r->length)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "%zu tokens after %zu: the sequence has at most %zu", count, r->length,
                     r->limit);
  for (size_t i = 0; i < count; i++)
    if (tokens[i] >= vocab)
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                       "token %zu is %u, the model's vocabulary has %zu", i, tokens[i], vocab);
  MILO_TRY(grow(r, r->length + count, diag));
  milo_status status = MILO_OK;
  for (size_t done = 0; done < count && status == MILO_OK;) {
    const size_t part = count - done < CHUNK ? count - done : CHUNK;
    status = read_batch(r, tokens + done, part, done, done + part == count, each, user, diag);
    done += part;
  }
  if (status != MILO_OK) {
    r->length = before;
    return status;
  }
  float *const logits = r->next;
  r->next = r->logits;
  r->logits = logits;
  r->known = true;
  return MILO_OK;
}

// ---- the rest ----

milo_status milo_reader_create(milo_device *device, const milo_model *model, size_t limit,
                               milo_dtype cache, milo_diag *diag, milo_reader **out_reader) {
  *out_reader = NULL;
  if (cache == MILO_DTYPE_NONE) cache = MILO_FP32;
  if (cache != MILO_FP32 && cache != MILO_FP16 && cache != MILO_BF16)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "a cache of keys and values is fp32, fp16 or bf16");
  const size_t most = (size_t)model->config.seq;
  if (limit > most)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "%zu tokens wanted, the model's sequences have at most %zu", limit, most);
  milo_reader *r = calloc(1, sizeof *r);
  if (!r) return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a session");
  r->device = device;
  r->model = model;
  r->cache = cache;
  r->limit = limit > 0 ? limit : most;
  const size_t vocab = (size_t)model->config.vocab, rows = HEAD_LOGITS / vocab;
  r->last.rows = 1;
  r->many.rows = rows < 1 ? 1 : rows > HEAD_ROWS ? HEAD_ROWS : rows;
  r->logits = calloc(vocab, sizeof *r->logits);
  r->next = calloc(vocab, sizeof *r->next);
  milo_status status =
      r->logits && r->next
          ? milo_device_alloc(device, sizeof(int32_t), diag, &r->position)
          : milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a session");
  if (status == MILO_OK)
    *out_reader = r;
  else
    milo_reader_destroy(r);
  return status;
}

void milo_reader_destroy(milo_reader *r) {
  if (!r) return;
  for (int64_t i = 0; r->caches && i < 2 * r->model->config.layers; i++)
    milo_buffer_release(r->caches[i]);
  free(r->caches);
  batch_deinit(&r->one);
  batch_deinit(&r->chunk);
  batch_deinit(&r->rest);
  head_deinit(&r->last);
  head_deinit(&r->many);
  milo_buffer_release(r->position);
  free(r->logits);
  free(r->next);
  free(r);
}

void milo_reader_set_stop(milo_reader *r, milo_stop stop) { r->stop = stop; }
size_t milo_reader_length(const milo_reader *r) { return r->length; }
size_t milo_reader_limit(const milo_reader *r) { return r->limit; }
const milo_model *milo_reader_model(const milo_reader *r) { return r->model; }

size_t milo_reader_cache_bytes(const milo_reader *r) {
  size_t bytes = 0;
  for (int64_t i = 0; r->caches && i < 2 * r->model->config.layers; i++)
    bytes += milo_buffer_bytes(r->caches[i]);
  return bytes;
}

const float *milo_reader_logits(const milo_reader *r) { return r->known ? r->logits : NULL; }

void milo_reader_rewind(milo_reader *r, size_t length) {
  assert(length <= r->length);
  if (length < r->length) r->known = false;
  r->length = length;
}
