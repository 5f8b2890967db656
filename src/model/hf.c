// SPDX-License-Identifier: MIT
#include "model/hf.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/number.h"
#include "base/str.h"
#include "model/hf_config.h"
#include "model/json.h"
#include "model/safetensors.h"

#define WEIGHTS "model.safetensors"
#define INDEX "model.safetensors.index.json"
enum { MAX_INDEX_BYTES = 64 << 20, MAX_FILES = 4096, CHUNK = 4096 };

// The files that hold the weights.
typedef struct shards {
  char **paths;  // "dir/name"
  milo_safetensors **files;
  size_t count;
} shards;

static char *join(const char *dir, const char *name) {
  milo_str path = {0};
  size_t bytes;
  milo_str_printf(&path, "%s/%s", dir, name);
  return milo_str_take(&path, &bytes);
}

bool milo_hf_is_folder(const char *dir) {
  char *path = join(dir, "config.json");
  const bool is = milo_file_exists(path);
  free(path);
  return is;
}

static void close_shards(shards *s) {
  for (size_t i = 0; i < s->count; i++) {
    milo_safetensors_close(s->files[i]);
    free(s->paths[i]);
  }
  free(s->files);
  free(s->paths);
}

// Opens a file of the folder unless it is open; *out is its number.
static milo_status open_shard(shards *s, const char *dir, const char *name, milo_diag *diag,
                              size_t *out) {
  char *path = join(dir, name);
  for (*out = s->count; *out > 0; --*out)  // the last one is asked for most
    if (strcmp(s->paths[*out - 1], path) == 0) {
      --*out;
      free(path);
      return MILO_OK;
    }
  char **paths = realloc(s->paths, (s->count + 1) * sizeof *paths);
  if (paths) s->paths = paths;
  milo_safetensors **files = realloc(s->files, (s->count + 1) * sizeof *files);
  if (files) s->files = files;
  milo_safetensors *file = NULL;
  milo_status status =
      paths && files ? milo_safetensors_open(path, diag, &file)
                     : milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for %s", path);
  if (status != MILO_OK) {
    free(path);
    return status;
  }
  s->paths[s->count] = path;
  s->files[s->count] = file;
  *out = s->count++;
  return MILO_OK;
}

// A name alone: nothing that leads out of the folder, or into another.
static bool is_plain_name(const char *name) {
  return *name != '\0' && strchr(name, '/') == NULL && strcmp(name, ".") != 0 &&
         strcmp(name, "..") != 0;
}

static milo_status open_listed(shards *s, const char *dir, const cJSON *index, milo_loc loc,
                               milo_diag *diag) {
  const cJSON *map = NULL;
  MILO_TRY(milo_json_member(index, "weight_map", loc, diag, &map));
  if (!cJSON_IsObject(map) || map->child == NULL)
    return milo_fail(diag, loc, MILO_ERR_INVALID, "\"weight_map\" is not an object of file names");
  for (const cJSON *item = map->child; item; item = item->next) {
    if (!cJSON_IsString(item))
      return milo_fail(diag, loc, MILO_ERR_INVALID, "\"weight_map\" gives no file for %s",
                       item->string);
    if (!is_plain_name(item->valuestring))
      return milo_fail(diag, loc, MILO_ERR_INVALID,
                       "the file of %s, \"%s\", is not a name in this folder", item->string,
                       item->valuestring);
    size_t file;
    MILO_TRY(open_shard(s, dir, item->valuestring, diag, &file));
    if (s->count > MAX_FILES)
      return milo_fail(diag, loc, MILO_ERR_UNSUPPORTED, "more than %d files", MAX_FILES);
    if (!milo_safetensors_find(s->files[file], item->string))
      return milo_fail(diag, loc, MILO_ERR_INVALID, "%s is not in %s, where the index has it",
                       item->string, s->paths[file]);
  }
  return MILO_OK;
}

// name: of the one file; NULL: whatever the folder has.
static milo_status open_shards(shards *s, const char *dir, const char *name, milo_diag *diag) {
  char *single = join(dir, WEIGHTS), *path = join(dir, INDEX);
  const milo_source source = {.name = path};
  cJSON *index = NULL;
  size_t file;
  milo_status status;
  if (name || milo_file_exists(single)) {
    status = open_shard(s, dir, name ? name : WEIGHTS, diag, &file);
  } else if (!milo_file_exists(path)) {
    status =
        milo_fail(diag, MILO_NO_LOC, MILO_ERR_NOT_FOUND,
                  "'%s' has a config.json but no weights: neither " WEIGHTS " nor " INDEX, dir);
  } else {
    status = milo_json_read(path, MAX_INDEX_BYTES, diag, &index);
    if (status == MILO_OK) status = open_listed(s, dir, index, (milo_loc){&source, 0}, diag);
  }
  cJSON_Delete(index);
  free(single);
  free(path);
  return status;
}

// The tensor of a name: in one file, no more and no less.
static milo_status find_tensor(const shards *s, const char *dir, const char *name, milo_diag *diag,
                               const milo_stored_tensor **out, size_t *out_file) {
  *out = NULL;
  for (size_t i = 0; i < s->count; i++) {
    const milo_stored_tensor *t = milo_safetensors_find(s->files[i], name);
    if (t && *out)
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "tensor %s is in %s and in %s", name,
                       s->paths[*out_file], s->paths[i]);
    if (t) *out = t, *out_file = i;
  }
  if (*out) return MILO_OK;
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "%s: tensor %s is missing",
                   s->count == 1 ? s->paths[0] : dir, name);
}

static void to_floats(const milo_stored_tensor *t, size_t first, size_t count, float *out) {
  const char *data = t->data;  // not aligned
  if (t->type.dtype == MILO_FP32) {
    memcpy(out, data + first * sizeof *out, count * sizeof *out);
    return;
  }
  uint16_t bits;
  for (size_t i = 0; i < count; i++) {
    memcpy(&bits, data + (first + i) * sizeof bits, sizeof bits);
    out[i] = t->type.dtype == MILO_BF16 ? milo_bf16_to_f32(bits) : milo_fp16_to_f32(bits);
  }
}

static milo_status read_tensor(const shards *s, const char *dir, const milo_parameter *p,
                               milo_diag *diag) {
  const milo_stored_tensor *t = NULL;
  size_t file = 0;
  MILO_TRY(find_tensor(s, dir, p->name, diag, &t, &file));
  const milo_source source = {.name = s->paths[file]};
  const milo_loc loc = {&source, 0};
  milo_type wanted = p->type;
  wanted.dtype = t->type.dtype;
  if (!milo_type_equal(&t->type, &wanted)) {
    milo_arena arena = {0};
    milo_fail(diag, loc, MILO_ERR_INVALID, "tensor %s is %s, config.json asks for %s", p->name,
              milo_type_format(&arena, &t->type, false), milo_type_format(&arena, &wanted, false));
    milo_arena_deinit(&arena);
    return MILO_ERR_INVALID;
  }
  if (t->type.dtype != MILO_FP32 && t->type.dtype != MILO_FP16 && t->type.dtype != MILO_BF16)
    return milo_fail(diag, loc, MILO_ERR_UNSUPPORTED,
                     "tensor %s has elements of type %s, F32, F16 and BF16 can be read", p->name,
                     milo_dtype_name(t->type.dtype));
  float values[CHUNK];
  const size_t count = milo_type_elements(&p->type);
  for (size_t at = 0; at < count; at += CHUNK) {
    const size_t n = count - at < CHUNK ? count - at : CHUNK;
    to_floats(t, at, n, values);
    MILO_TRY(milo_parameter_set(p, at, n, values, diag));
  }
  return MILO_OK;
}

static bool ends_with(const char *text, const char *end) {
  const size_t n = strlen(text), k = strlen(end);
  return n >= k && strcmp(text + n - k, end) == 0;
}

bool milo_hf_is_file_name(const char *path) { return ends_with(path, ".safetensors"); }

// A tensor that is no parameter's: may it be there?
static milo_status check_extra(const shards *s, const char *dir, const milo_stored_tensor *t,
                               milo_loc loc, milo_diag *diag) {
  if (ends_with(t->name, ".rotary_emb.inv_freq") || strcmp(t->name, MILO_SAFETENSORS_CHECKSUM) == 0)
    return MILO_OK;
  if (strcmp(t->name, "lm_head.weight") != 0)
    return milo_fail(diag, loc, MILO_ERR_INVALID,
                     "tensor %s is not part of the model that config.json describes", t->name);
  const milo_stored_tensor *embedding = NULL;
  size_t file;
  MILO_TRY(find_tensor(s, dir, "model.embed_tokens.weight", diag, &embedding, &file));
  if (milo_type_equal(&t->type, &embedding->type) &&
      memcmp(t->data, embedding->data, t->bytes) == 0)
    return MILO_OK;
  return milo_fail(diag, loc, MILO_ERR_INVALID,
                   "lm_head.weight is not the embedding, though config.json says that it is "
                   "(tie_word_embeddings)");
}

static milo_status read_weights(const shards *s, const char *dir, milo_model *model,
                                milo_diag *diag) {
  for (size_t i = 0; i < s->count; i++) {
    const milo_source source = {.name = s->paths[i]};
    const milo_stored_tensor *t;
    for (size_t k = 0; (t = milo_safetensors_get(s->files[i], k)); k++)
      if (milo_params_index(&model->params, t->name) == model->params.count)
        MILO_TRY(check_extra(s, dir, t, (milo_loc){&source, 0}, diag));
  }
  for (size_t i = 0; i < model->params.count; i++)
    MILO_TRY(read_tensor(s, dir, &model->params.items[i], diag));
  const milo_source source = {.name = s->count == 1 ? s->paths[0] : dir};
  return milo_params_check_finite(&model->params, (milo_loc){&source, 0}, diag);
}

// The folder of a path, to be freed; *out_name: of the file, NULL if the path is the folder.
static char *split_path(const char *path, const char **out_name) {
  const char *slash = strrchr(path, '/');
  *out_name = NULL;
  milo_str dir = {0};
  size_t bytes;
  if (milo_file_is_dir(path)) {
    milo_str_puts(&dir, path);
  } else {
    *out_name = slash ? slash + 1 : path;
    milo_str_add(&dir, slash ? path : ".", slash ? (size_t)(slash - path) : 1);
  }
  return milo_str_take(&dir, &bytes);
}

milo_status milo_hf_config(const char *path, milo_diag *diag, milo_model_config *out_config) {
  const char *name;
  char *dir = split_path(path, &name);
  const milo_status status = milo_hf_config_read(dir, diag, out_config);
  free(dir);
  return status;
}

milo_status milo_hf_read(const char *path, milo_diag *diag, milo_model **out_model) {
  milo_model_config config;
  milo_model *model = NULL;
  shards s = {0};
  const char *name;
  char *dir = split_path(path, &name);
  *out_model = NULL;
  milo_status status = milo_hf_config_read(dir, diag, &config);
  if (status == MILO_OK) status = open_shards(&s, dir, name, diag);
  if (status == MILO_OK) status = milo_model_alloc(&config, diag, &model);
  if (status == MILO_OK) status = read_weights(&s, dir, model, diag);
  close_shards(&s);
  free(dir);
  if (status == MILO_OK)
    *out_model = model;
  else
    milo_model_destroy(model);
  return status;
}

// ---- writing ----

static milo_status write_weights(const milo_params *params, milo_writer *writer, milo_diag *diag) {
  static const milo_metadata format = {"format", "pt"};  // other readers ask for it
  milo_named_tensor *tensors = calloc(params->count, sizeof *tensors);
  if (!tensors)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for %zu tensors",
                     params->count);
  for (size_t i = 0; i < params->count; i++) {
    const milo_parameter *p = &params->items[i];
    tensors[i] = (milo_named_tensor){
        .name = p->name, .dtype = p->type.dtype, .rank = p->type.rank, .buffer = p->buffer};
    memcpy(tensors[i].dims, p->type.dims, sizeof tensors[i].dims);
  }
  const milo_status status =
      milo_safetensors_put(writer, &format, 1, tensors, params->count, false, diag);
  free(tensors);
  return status;
}

milo_status milo_hf_write(const milo_model *model, const char *path, milo_diag *diag) {
  const char *obstacle = milo_hf_obstacle(&model->config), *name;
  if (obstacle)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_UNSUPPORTED,
                     "%s: config.json cannot describe this model: %s", path, obstacle);
  if (!milo_hf_is_file_name(path)) MILO_TRY(milo_file_make_dir(path, diag));
  char *dir = split_path(path, &name);
  char *weights = join(dir, name ? name : WEIGHTS), *config = join(dir, "config.json");
  milo_writer *first = NULL, *second = NULL;
  milo_str text = {0};
  milo_hf_config_print(&model->config, &text);
  milo_status status = milo_writer_open(weights, diag, &first);
  if (status == MILO_OK) status = milo_writer_open(config, diag, &second);
  if (status == MILO_OK) status = milo_writer_write(second, text.data, text.bytes, diag);
  if (status == MILO_OK) status = write_weights(&model->params, first, diag);
  if (status == MILO_OK) status = milo_writer_commit(first, diag);
  if (status == MILO_OK) status = milo_writer_commit(second, diag);
  milo_writer_close(first);
  milo_writer_close(second);
  milo_str_deinit(&text);
  free(dir);
  free(weights);
  free(config);
  return status;
}
