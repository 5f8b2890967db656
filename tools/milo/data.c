// SPDX-License-Identifier: MIT
#include "data.h"
#include "cmd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "progress.h"

bool is_token_file(const char *path) {
  static const char *const endings[] = {".u16", ".u32", ".tokens", ".bin"};
  const size_t length = strlen(path);
  for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
    const size_t end = strlen(endings[i]);
    if (length > end && strcmp(path + length - end, endings[i]) == 0) return true;
  }
  return false;
}

typedef struct task {
  progress progress;
  const char *doing;
} task;

static bool on_progress(void *user, const milo_progress *work) {
  task *t = user;
  progress_work(&t->progress, t->doing, work);
  return !stop_requested();
}

static milo_tokenizer_options task_options(task *t, const char *doing) {
  milo_tokenizer_options options = MILO_OPTIONS_INIT(milo_tokenizer_options);
  t->doing = doing;
  progress_begin(&t->progress, 1);
  options.on_progress = on_progress;
  options.user = t;
  return options;
}

milo_status learn_tokenizer(milo_ctx *ctx, const char *text, size_t bytes, size_t vocab,
                            milo_tokenizer **out_tokenizer) {
  task t;
  const milo_tokenizer_options options = task_options(&t, "learning a tokenizer");
  const milo_status status = milo_tokenizer_train(ctx, text, bytes, vocab, &options, out_tokenizer);
  progress_end_line();
  return status;
}

milo_status encode_text(milo_ctx *ctx, const milo_tokenizer *tokenizer, const char *text,
                        size_t bytes, uint32_t **out_ids, size_t *out_count) {
  task t;
  const milo_tokenizer_options options = task_options(&t, "encoding");
  const milo_status status =
      milo_tokenizer_encode_documents(ctx, tokenizer, text, bytes, &options, out_ids, out_count);
  progress_end_line();
  return status;
}

milo_status load_text(milo_ctx *ctx, token_data *data) {
  if (data->is_tokens || data->text != NULL) return MILO_OK;
  return milo_file_load(ctx, data->path, &data->text, &data->text_bytes);
}

milo_status load_tokens(milo_ctx *ctx, size_t vocab, const milo_tokenizer *tokenizer,
                        token_data *data) {
  if (data->is_tokens) return milo_tokens_load(ctx, data->path, vocab, &data->ids, &data->count);
  milo_status status = load_text(ctx, data);
  if (status == MILO_OK)
    status = encode_text(ctx, tokenizer, data->text, data->text_bytes, &data->ids, &data->count);
  milo_free(data->text);
  data->text = NULL;
  return status;
}

void release_data(token_data *data) {
  milo_free(data->text);
  milo_free(data->ids);
}

char *join_path(const char *dir, const char *name) {
  const size_t bytes = strlen(dir) + strlen(name) + 2;
  char *path = malloc(bytes);
  if (path) snprintf(path, bytes, "%s/%s", dir, name);
  return path;
}

char *folder_of(const char *path) {
  static const char *const descriptors[] = {"/dev/stdin", "/dev/fd/", "/proc/self/fd/"};
  const char *slash = strrchr(path, '/');
  for (size_t i = 0; i < sizeof descriptors / sizeof *descriptors; i++)
    if (strncmp(path, descriptors[i], strlen(descriptors[i])) == 0) slash = NULL;
  if (slash == NULL) return strdup(".");
  return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

bool file_exists(const char *path) { return access(path, F_OK) == 0; }

bool same_file(const char *a, const char *b) {
  struct stat x, y;
  return a && b && stat(a, &x) == 0 && S_ISREG(x.st_mode) && stat(b, &y) == 0 &&
         x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int refuse_replacing(const char *dir, const char *const *names, const char *const *given) {
  int code = EXIT_OK;
  for (; *names != NULL && code == EXIT_OK; names++) {
    char *path = join_path(dir, *names);
    if (path == NULL) return fail_text("out of memory");
    bool read = false;
    for (size_t i = 0; given != NULL && given[i] != NULL; i++) read |= same_file(path, given[i]);
    if (!read && file_exists(path))
      code = fail_text("'%s' is there and would be replaced: --force does that", path);
    free(path);
  }
  return code;
}

milo_status find_tokenizer(milo_ctx *ctx, const char *path, const char *model,
                           milo_tokenizer **out_tokenizer) {
  *out_tokenizer = NULL;
  if (path) return milo_tokenizer_load(ctx, path, 0, out_tokenizer);
  if (!model) return MILO_OK;
  char *beside = join_path(model, "tokenizer.bin");
  milo_status status = MILO_OK;
  if (beside && file_exists(beside)) status = milo_tokenizer_load(ctx, beside, 0, out_tokenizer);
  free(beside);
  return status;
}

// ---- how models are stored ----

static const struct {
  const char *name;
  milo_dtype dtype;
} stored_types[] = {
    {"fp32", MILO_FP32}, {"bf16", MILO_BF16}, {"fp16", MILO_FP16}, {"int8", MILO_INT8}};

static milo_dtype find_type(const char *name) {
  for (size_t i = 0; name && i < sizeof stored_types / sizeof *stored_types; i++)
    if (strcmp(name, stored_types[i].name) == 0) return stored_types[i].dtype;
  return MILO_DTYPE_NONE;
}

const char *storage_problem(const storage *s) {
  if (s->weights && !find_type(s->weights)) return "--weights is fp32, bf16, fp16 or int8";
  if (s->group && find_type(s->weights) != MILO_INT8) return "--group goes with --weights int8";
  const milo_dtype cache = find_type(s->cache);
  if (s->cache && (!cache || cache == MILO_INT8)) return "--cache is fp32, fp16 or bf16";
  return NULL;
}

milo_dtype storage_cache(const storage *s) { return find_type(s->cache); }

milo_status store_model(milo_ctx *ctx, milo_model *model, const storage *s) {
  return s->weights ? milo_model_store(ctx, model, find_type(s->weights), (size_t)s->group)
                    : MILO_OK;
}

milo_status load_model(milo_ctx *ctx, const char *path, const storage *s, milo_model **out_model) {
  milo_status status = milo_model_load(ctx, path, out_model);
  if (status == MILO_OK) status = store_model(ctx, *out_model, s);
  if (status == MILO_OK) return MILO_OK;
  milo_model_destroy(*out_model);
  *out_model = NULL;
  return status;
}
