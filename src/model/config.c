// SPDX-License-Identifier: MIT
#include "model/config.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/number.h"
#include "base/option_struct.h"

// No dimension is larger than this, so that products of two fit in 64 bits; a description file is
// a few hundred bytes.
enum { MAX_DIM = 1 << 26, MAX_LAYERS = 4096, MAX_FILE_BYTES = 1 << 20 };

typedef enum field_kind { FIELD_COUNT, FIELD_NUMBER, FIELD_FLAG } field_kind;

typedef struct field {
  const char *name;
  field_kind kind;
  size_t offset;
  bool required;
} field;

#define FIELD(name, kind, required) \
  { #name, kind, offsetof(milo_model_config, name), required }
static const field fields[] = {
    FIELD(dim, FIELD_COUNT, true),          FIELD(hidden, FIELD_COUNT, true),
    FIELD(layers, FIELD_COUNT, true),       FIELD(heads, FIELD_COUNT, true),
    FIELD(kv_heads, FIELD_COUNT, false),    FIELD(head_dim, FIELD_COUNT, false),
    FIELD(seq, FIELD_COUNT, true),          FIELD(vocab, FIELD_COUNT, true),
    FIELD(rope_theta, FIELD_NUMBER, false), FIELD(norm_epsilon, FIELD_NUMBER, false),
    FIELD(rope_half, FIELD_FLAG, false),    FIELD(qk_norm, FIELD_FLAG, false),
    FIELD(untied, FIELD_FLAG, false),       FIELD(residual_scale, FIELD_NUMBER, false),
};
enum { FIELDS = sizeof fields / sizeof *fields };
#define STOP_TOKENS "stop_tokens"

typedef struct builtin {
  const char *name;
  milo_model_config config;
} builtin;

#define SHAPE(d, h, l, q, kv, hd, s, v)                                                \
  .struct_bytes = sizeof(milo_model_config), .dim = (d), .hidden = (h), .layers = (l), \
  .heads = (q), .kv_heads = (kv), .head_dim = (hd), .seq = (s), .vocab = (v)
static const builtin builtins[] = {
    {"stories260K", {SHAPE(64, 172, 5, 8, 4, 8, 512, 512)}},
    {"stories15M", {SHAPE(288, 768, 6, 6, 6, 48, 256, 32000)}},
    {"stories42M", {SHAPE(512, 1376, 8, 8, 8, 64, 1024, 32000)}},
    {"stories110M", {SHAPE(768, 2048, 12, 12, 12, 64, 256, 32000)}},
    // Its sequences here are as long as one trains them on; its own files say 40,960.
    {"qwen3-0.6b",
     {SHAPE(1024, 3072, 28, 16, 8, 128, 256, 151936), .rope_theta = 1e6, .norm_epsilon = 1e-6,
      .rope_half = true, .qk_norm = true, .stop_count = 2, .stop_tokens = {151645, 151643}}},
};
enum { BUILTINS = sizeof builtins / sizeof *builtins };

const char *milo_model_config_name(size_t index) {
  return index < BUILTINS ? builtins[index].name : NULL;
}

static void *field_at(milo_model_config *config, const field *f) {
  return (char *)config + f->offset;
}

static int64_t field_count(const milo_model_config *config, const field *f) {
  int64_t value;
  memcpy(&value, (const char *)config + f->offset, sizeof value);
  return value;
}

static double field_number(const milo_model_config *config, const field *f) {
  double value;
  memcpy(&value, (const char *)config + f->offset, sizeof value);
  return value;
}

static bool field_flag(const milo_model_config *config, const field *f) {
  bool value;
  memcpy(&value, (const char *)config + f->offset, sizeof value);
  return value;
}

#define FAIL(...) milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, __VA_ARGS__)

// llama2.c's vocabularies end a text with token 1 or 2. A vocabulary that lacks them has none.
static milo_status complete_stop_tokens(milo_model_config *c, milo_diag *diag) {
  if (c->stop_count < -1 || c->stop_count > MILO_MAX_STOP_TOKENS)
    return FAIL("model: %d stop tokens, expected at most %d", c->stop_count, MILO_MAX_STOP_TOKENS);
  if (c->stop_count == 0)
    for (uint32_t token = 1; token <= 2 && token < c->vocab; token++)
      c->stop_tokens[c->stop_count++] = token;
  if (c->stop_count == 0) c->stop_count = -1;
  for (int32_t i = 0; i < c->stop_count; i++)
    if (c->stop_tokens[i] >= c->vocab)
      return FAIL("model: stop token %u is not in the vocabulary, which has %lld",
                  c->stop_tokens[i], (long long)c->vocab);
  return MILO_OK;
}

milo_status milo_model_config_complete(const milo_model_config *config, milo_diag *diag,
                                       milo_model_config *out_config) {
  milo_model_config c;
  memset(out_config, 0, sizeof *out_config);
  MILO_TRY(milo_take_options(milo_model_config, config, diag, &c));

  if (c.kv_heads == 0) c.kv_heads = c.heads;
  if (c.head_dim == 0 && c.heads > 0 && c.dim > 0 && c.dim % c.heads != 0)
    return FAIL(
        "model: dim (%lld) is not a multiple of heads (%lld), so that head_dim must be given",
        (long long)c.dim, (long long)c.heads);
  if (c.head_dim == 0 && c.heads > 0) c.head_dim = c.dim / c.heads;
  if (c.rope_theta == 0) c.rope_theta = 10000;
  if (c.norm_epsilon == 0) c.norm_epsilon = 1e-5;
  if (c.residual_scale == 0) c.residual_scale = 1;
  for (size_t i = 0; i < FIELDS; i++) {
    if (fields[i].kind != FIELD_COUNT) continue;
    const int64_t value = field_count(&c, &fields[i]);
    if (value < 1 || value > MAX_DIM)
      return FAIL("model: %s is %lld, expected 1 to %d", fields[i].name, (long long)value, MAX_DIM);
  }
  if (c.layers > MAX_LAYERS)
    return FAIL("model: layers is %lld, expected at most %d", (long long)c.layers, MAX_LAYERS);
  if (c.heads % c.kv_heads != 0)
    return FAIL("model: heads (%lld) is not a multiple of kv_heads (%lld)", (long long)c.heads,
                (long long)c.kv_heads);
  if (c.head_dim % 2 != 0)
    return FAIL("model: head_dim is %lld, expected an even number", (long long)c.head_dim);
  if (c.heads * c.head_dim > MAX_DIM)
    return FAIL("model: heads * head_dim is %lld, expected at most %d",
                (long long)(c.heads * c.head_dim), MAX_DIM);
  if (!(c.rope_theta > 0) || !isfinite(c.rope_theta))
    return FAIL("model: rope_theta is %g, expected a positive number", c.rope_theta);
  if (!(c.norm_epsilon > 0) || !(c.norm_epsilon < 1))
    return FAIL("model: norm_epsilon is %g, expected a number between 0 and 1", c.norm_epsilon);
  if (!(c.residual_scale > 0) || !isfinite(c.residual_scale))
    return FAIL("model: residual_scale is %g, expected a positive number", c.residual_scale);
  MILO_TRY(complete_stop_tokens(&c, diag));
  *out_config = c;
  return MILO_OK;
}

milo_status milo_model_config_complete_at(const milo_model_config *config, const char *what,
                                          milo_loc loc, milo_diag *diag,
                                          milo_model_config *out_config) {
  milo_diag why = {0};
  milo_status status = milo_model_config_complete(config, &why, out_config);
  if (status != MILO_OK) {
    const char *reason = milo_diag_text(&why), *label = strstr(reason, "error: ");
    status = milo_fail(diag, loc, MILO_ERR_INVALID, "%s (%s)", what,
                       label ? label + strlen("error: ") : reason);
  }
  milo_diag_deinit(&why);
  return status;
}

bool milo_model_config_stops(const milo_model_config *config, uint32_t token) {
  for (int32_t i = 0; i < config->stop_count; i++)
    if (config->stop_tokens[i] == token) return true;
  return false;
}

static milo_status read_stop_tokens(milo_model_config *config, const cJSON *item, milo_loc loc,
                                    milo_diag *diag) {
  config->stop_count = -1;
  if (!cJSON_IsArray(item) || cJSON_GetArraySize(item) > MILO_MAX_STOP_TOKENS)
    return milo_fail(diag, loc, MILO_ERR_INVALID, "\"" STOP_TOKENS "\" is not a list of at most %d",
                     MILO_MAX_STOP_TOKENS);
  int32_t count = 0;
  for (const cJSON *token = item->child; token; token = token->next) {
    const double value = token->valuedouble;
    if (!cJSON_IsNumber(token) || !(value >= 0) || value > MAX_DIM || value != floor(value))
      return milo_fail(diag, loc, MILO_ERR_INVALID, "\"" STOP_TOKENS "\" holds no tokens");
    config->stop_tokens[count++] = (uint32_t)value;
  }
  config->stop_count = count > 0 ? count : -1;
  return MILO_OK;
}

static milo_status read_field(milo_model_config *config, const field *f, const cJSON *item,
                              milo_loc loc, milo_diag *diag) {
  switch (f->kind) {
    case FIELD_COUNT:
      if (!cJSON_IsNumber(item) || item->valuedouble != floor(item->valuedouble) ||
          !(fabs(item->valuedouble) <= MAX_DIM))
        return milo_fail(diag, loc, MILO_ERR_INVALID, "\"%s\" is not a whole number from 1 to %d",
                         f->name, MAX_DIM);
      *(int64_t *)field_at(config, f) = (int64_t)item->valuedouble;
      break;
    case FIELD_NUMBER:
      if (!cJSON_IsNumber(item))
        return milo_fail(diag, loc, MILO_ERR_INVALID, "\"%s\" is not a number", f->name);
      *(double *)field_at(config, f) = item->valuedouble;
      break;
    case FIELD_FLAG:
      if (!cJSON_IsBool(item))
        return milo_fail(diag, loc, MILO_ERR_INVALID, "\"%s\" is not true or false", f->name);
      *(bool *)field_at(config, f) = cJSON_IsTrue(item);
      break;
  }
  return MILO_OK;
}

static milo_status read_fields(const cJSON *root, milo_loc loc, milo_diag *diag,
                               milo_model_config *config) {
  if (!cJSON_IsObject(root))
    return milo_fail(diag, loc, MILO_ERR_INVALID, "a model description is a JSON object");
  bool seen[FIELDS] = {false}, seen_stop_tokens = false;
  for (const cJSON *item = root->child; item; item = item->next) {
    size_t i = 0;
    while (i < FIELDS && strcmp(fields[i].name, item->string) != 0) i++;
    if (i == FIELDS) {
      if (strcmp(item->string, "name") == 0) continue;
      if (strcmp(item->string, STOP_TOKENS) == 0) {
        if (seen_stop_tokens)
          return milo_fail(diag, loc, MILO_ERR_INVALID, "\"" STOP_TOKENS "\" is given twice");
        seen_stop_tokens = true;
        MILO_TRY(read_stop_tokens(config, item, loc, diag));
        continue;
      }
      return milo_fail(diag, loc, MILO_ERR_INVALID, "unknown field \"%s\" in a model description",
                       item->string);
    }
    if (seen[i])
      return milo_fail(diag, loc, MILO_ERR_INVALID, "\"%s\" is given twice", fields[i].name);
    seen[i] = true;
    MILO_TRY(read_field(config, &fields[i], item, loc, diag));
  }
  for (size_t i = 0; i < FIELDS; i++)
    if (fields[i].required && !seen[i])
      return milo_fail(diag, loc, MILO_ERR_INVALID, "\"%s\" is missing", fields[i].name);
  return MILO_OK;
}

milo_status milo_model_config_parse(const char *text, const char *name, milo_diag *diag,
                                    milo_model_config *out_config) {
  memset(out_config, 0, sizeof *out_config);
  const milo_source source = {.name = name, .text = text, .bytes = strlen(text)};
  const char *end = text;
  cJSON *root = cJSON_ParseWithOpts(text, &end, true);
  const milo_loc here = {&source, (size_t)(end - text)};
  if (!root) return milo_fail(diag, here, MILO_ERR_INVALID, "not a JSON model description");
  const milo_source whole = {.name = name};
  milo_model_config config = {.struct_bytes = sizeof config};
  milo_status status = read_fields(root, (milo_loc){&whole, 0}, diag, &config);
  cJSON_Delete(root);
  if (status == MILO_OK) status = milo_model_config_complete(&config, diag, out_config);
  return status;
}

milo_status milo_model_config_read(const char *name_or_path, milo_diag *diag,
                                   milo_model_config *out_config) {
  memset(out_config, 0, sizeof *out_config);
  for (size_t i = 0; i < BUILTINS; i++) {
    if (strcmp(builtins[i].name, name_or_path) == 0)
      return milo_model_config_complete(&builtins[i].config, diag, out_config);
  }
  if (!milo_file_exists(name_or_path)) {
    milo_str names = {0};
    for (size_t i = 0; i < BUILTINS; i++)
      milo_str_printf(&names, "%s%s", i ? ", " : "", builtins[i].name);
    milo_fail(diag, MILO_NO_LOC, MILO_ERR_NOT_FOUND,
              "no model or description file named '%s'\nbuilt-in models: %s", name_or_path,
              names.data);
    milo_str_deinit(&names);
    return MILO_ERR_NOT_FOUND;
  }
  void *data = NULL;
  size_t bytes = 0;
  MILO_TRY(milo_file_read(name_or_path, MAX_FILE_BYTES, diag, &data, &bytes));
  milo_status status;
  if (memchr(data, 0, bytes)) {
    const milo_source source = {.name = name_or_path};
    status =
        milo_fail(diag, (milo_loc){&source, 0}, MILO_ERR_INVALID, "not a JSON model description");
  } else {
    status = milo_model_config_parse(data, name_or_path, diag, out_config);
  }
  free(data);
  return status;
}

void milo_model_config_print(const milo_model_config *config, milo_str *out) {
  milo_str_puts(out, "{\n");
  for (size_t i = 0; i < FIELDS; i++) {
    const field *f = &fields[i];
    milo_str_printf(out, "  \"%s\": ", f->name);
    switch (f->kind) {
      case FIELD_COUNT:
        milo_str_printf(out, "%lld", (long long)field_count(config, f));
        break;
      case FIELD_NUMBER:
        milo_str_json_number(out, field_number(config, f));
        break;
      case FIELD_FLAG:
        milo_str_puts(out, field_flag(config, f) ? "true" : "false");
        break;
    }
    milo_str_puts(out, ",\n");
  }
  milo_str_puts(out, "  \"" STOP_TOKENS "\": [");
  for (int32_t i = 0; i < config->stop_count; i++)
    milo_str_printf(out, "%s%u", i > 0 ? ", " : "", config->stop_tokens[i]);
  milo_str_puts(out, "]\n}\n");
}

const char *milo_model_config_difference(const milo_model_config *a, const milo_model_config *b) {
  for (size_t i = 0; i < FIELDS; i++) {
    const field *f = &fields[i];
    const bool same = f->kind == FIELD_COUNT    ? field_count(a, f) == field_count(b, f)
                      : f->kind == FIELD_NUMBER ? field_number(a, f) == field_number(b, f)
                                                : field_flag(a, f) == field_flag(b, f);
    if (!same) return f->name;
  }
  return NULL;
}
