// SPDX-License-Identifier: MIT
#include "model/hf_config.h"

#include <math.h>
#include <string.h>

#include "base/file.h"
#include "model/config.h"
#include "model/json.h"

enum { MAX_FILE_BYTES = 4 << 20, MAX_COUNT = 1 << 26 };
#define FAIL(...) milo_fail(diag, loc, MILO_ERR_INVALID, __VA_ARGS__)
#define REFUSE(...) milo_fail(diag, loc, MILO_ERR_UNSUPPORTED, __VA_ARGS__)

// What a missing field stands for differs.
typedef struct architecture {
  const char *name, *type;
  bool qk_norm;
  int64_t head_dim;  // 0: hidden_size / num_attention_heads
  int64_t seq;
  int32_t stop;  // -1: none
} architecture;

static const architecture architectures[] = {
    {"LlamaForCausalLM", "llama", false, 0, 2048, 2},
    {"Qwen3ForCausalLM", "qwen3", true, 128, 32768, -1},
};
enum { ARCHITECTURES = sizeof architectures / sizeof *architectures };

static milo_status unknown_architecture(const char *what, const char *name, milo_loc loc,
                                        milo_diag *diag) {
  milo_str known = {0};
  for (size_t i = 0; i < ARCHITECTURES; i++)
    milo_str_printf(&known, "%s%s", i ? ", " : "", architectures[i].name);
  REFUSE("%s \"%s\" is not supported\nwhat can be read: %s", what, name, known.data);
  milo_str_deinit(&known);
  return MILO_ERR_UNSUPPORTED;
}

static milo_status find_architecture(const cJSON *root, milo_loc loc, milo_diag *diag,
                                     const architecture **out) {
  const cJSON *list = NULL;
  const char *type = NULL;
  MILO_TRY(milo_json_member(root, "architectures", loc, diag, &list));
  MILO_TRY(milo_json_text(root, "model_type", loc, diag, &type));
  const char *name = NULL;
  if (list) {
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != 1 || !cJSON_IsString(list->child))
      return FAIL("\"architectures\" is not a list of one name");
    name = list->child->valuestring;
  }
  if (!name && !type) return FAIL("neither \"architectures\" nor \"model_type\" says what it is");
  for (size_t i = 0; i < ARCHITECTURES; i++)
    if (strcmp(name ? name : type, name ? architectures[i].name : architectures[i].type) == 0) {
      *out = &architectures[i];
      return MILO_OK;
    }
  return unknown_architecture(name ? "architecture" : "model_type", name ? name : type, loc, diag);
}

// Fields that mean nothing to Milo unless they ask for something.
static milo_status refuse_what_is_not_computed(const cJSON *root, milo_loc loc, milo_diag *diag) {
  static const char *const flags[] = {"attention_bias", "mlp_bias", "use_sliding_window"};
  static const char *const objects[] = {"quantization_config", "quantization"};
  for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
    bool on = false;
    MILO_TRY(milo_json_flag(root, flags[i], loc, diag, &on));
    if (on) return REFUSE("\"%s\": true is not supported", flags[i]);
  }
  for (size_t i = 0; i < sizeof objects / sizeof *objects; i++) {
    const cJSON *item = NULL;
    MILO_TRY(milo_json_member(root, objects[i], loc, diag, &item));
    if (item)
      return REFUSE("\"%s\": quantised weights are not supported, only F32, F16 and BF16",
                    objects[i]);
  }
  const char *activation = "silu";
  MILO_TRY(milo_json_text(root, "hidden_act", loc, diag, &activation));
  if (strcmp(activation, "silu") != 0)
    return REFUSE("\"hidden_act\": \"%s\" is not supported, only silu", activation);
  double rotary = 1;
  MILO_TRY(milo_json_real(root, "partial_rotary_factor", loc, diag, &rotary));
  if (rotary != 1) return REFUSE("\"partial_rotary_factor\": %g is not supported, only 1", rotary);
  const cJSON *layers = NULL;
  MILO_TRY(milo_json_member(root, "layer_types", loc, diag, &layers));
  for (const cJSON *layer = cJSON_IsArray(layers) ? layers->child : NULL; layer;
       layer = layer->next)
    if (!cJSON_IsString(layer) || strcmp(layer->valuestring, "full_attention") != 0)
      return REFUSE("\"layer_types\": %s is not supported, only full_attention",
                    cJSON_IsString(layer) ? layer->valuestring : "what is no text");
  return MILO_OK;
}

// Older files have rope_theta and rope_scaling, newer ones rope_parameters with both in it.
static milo_status read_rope(const cJSON *root, milo_loc loc, milo_diag *diag, double *theta) {
  static const char *const objects[] = {"rope_scaling", "rope_parameters"};
  static const char *const names[] = {"rope_type", "type"};
  MILO_TRY(milo_json_real(root, "rope_theta", loc, diag, theta));
  for (size_t i = 0; i < 2; i++) {
    const cJSON *object = NULL;
    MILO_TRY(milo_json_member(root, objects[i], loc, diag, &object));
    if (!object) continue;
    if (!cJSON_IsObject(object)) return FAIL("\"%s\" is not an object", objects[i]);
    const char *type = "default";
    for (size_t k = 0; k < 2; k++) MILO_TRY(milo_json_text(object, names[k], loc, diag, &type));
    if (strcmp(type, "default") != 0)
      return REFUSE("\"%s\" of type \"%s\" is not supported: RoPE is not scaled", objects[i], type);
    double rotary = 1;
    MILO_TRY(milo_json_real(object, "partial_rotary_factor", loc, diag, &rotary));
    if (rotary != 1)
      return REFUSE("\"partial_rotary_factor\": %g is not supported, only 1", rotary);
    MILO_TRY(milo_json_real(object, "rope_theta", loc, diag, theta));
  }
  if (!(*theta > 0) || !isfinite(*theta))
    return FAIL("\"rope_theta\" is %g, expected a positive number", *theta);
  return MILO_OK;
}

// One number or a list. c: stop_count is not touched if there is no such member.
static milo_status read_stops(const cJSON *root, milo_loc loc, milo_diag *diag,
                              milo_model_config *c) {
  const cJSON *item = NULL;
  MILO_TRY(milo_json_member(root, "eos_token_id", loc, diag, &item));
  if (!item) return MILO_OK;
  c->stop_count = 0;
  for (const cJSON *token = cJSON_IsArray(item) ? item->child : item; token;
       token = cJSON_IsArray(item) ? token->next : NULL) {
    const double value = token->valuedouble;
    if (!cJSON_IsNumber(token) || !(value >= 0) || value > MAX_COUNT || value != floor(value))
      return FAIL("\"eos_token_id\" is not a token or a list of tokens");
    if (c->stop_count == MILO_MAX_STOP_TOKENS)
      return FAIL("\"eos_token_id\" holds more than %d tokens", MILO_MAX_STOP_TOKENS);
    c->stop_tokens[c->stop_count++] = (uint32_t)value;
  }
  if (c->stop_count == 0) c->stop_count = -1;
  return MILO_OK;
}

static milo_status read_generation(const char *dir, milo_diag *diag, milo_model_config *c) {
  milo_str path = {0};
  cJSON *root = NULL;
  milo_status status = MILO_OK;
  milo_str_printf(&path, "%s/generation_config.json", dir);
  if (milo_file_exists(path.data)) {
    const milo_source source = {.name = path.data};
    status = milo_json_read(path.data, MAX_FILE_BYTES, diag, &root);
    if (status == MILO_OK) status = read_stops(root, (milo_loc){&source, 0}, diag, c);
  }
  cJSON_Delete(root);
  milo_str_deinit(&path);
  return status;
}

static milo_status read_fields(const cJSON *root, milo_loc loc, milo_diag *diag,
                               milo_model_config *c) {
  const architecture *arch = NULL;
  MILO_TRY(find_architecture(root, loc, diag, &arch));
  MILO_TRY(refuse_what_is_not_computed(root, loc, diag));
  *c = (milo_model_config){.struct_bytes = sizeof *c,
                           .head_dim = arch->head_dim,
                           .seq = arch->seq,
                           .rope_theta = 10000,
                           .norm_epsilon = 1e-6,
                           .rope_half = true,
                           .qk_norm = arch->qk_norm,
                           .stop_count = -1};
  const struct {
    const char *name;
    int64_t *out;
    bool required;
  } counts[] = {
      {"hidden_size", &c->dim, true},          {"intermediate_size", &c->hidden, true},
      {"num_hidden_layers", &c->layers, true}, {"num_attention_heads", &c->heads, true},
      {"vocab_size", &c->vocab, true},         {"num_key_value_heads", &c->kv_heads, false},
      {"head_dim", &c->head_dim, false},       {"max_position_embeddings", &c->seq, false}};
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    MILO_TRY(milo_json_count(root, counts[i].name, MAX_COUNT, loc, diag, counts[i].out));
    if (counts[i].required && *counts[i].out == 0) return FAIL("\"%s\" is missing", counts[i].name);
  }
  MILO_TRY(milo_json_real(root, "rms_norm_eps", loc, diag, &c->norm_epsilon));
  if (!(c->norm_epsilon > 0) || !(c->norm_epsilon < 1))
    return FAIL("\"rms_norm_eps\" is %g, expected a number between 0 and 1", c->norm_epsilon);
  MILO_TRY(read_rope(root, loc, diag, &c->rope_theta));
  bool tied = false;
  MILO_TRY(milo_json_flag(root, "tie_word_embeddings", loc, diag, &tied));
  c->untied = !tied;
  if (arch->stop >= 0 && arch->stop < c->vocab && !cJSON_HasObjectItem(root, "eos_token_id")) {
    c->stop_count = 1;
    c->stop_tokens[0] = (uint32_t)arch->stop;
  }
  return read_stops(root, loc, diag, c);
}

milo_status milo_hf_config_read(const char *dir, milo_diag *diag, milo_model_config *out_config) {
  milo_str path = {0};
  cJSON *root = NULL;
  milo_model_config config;
  memset(out_config, 0, sizeof *out_config);
  milo_str_printf(&path, "%s/config.json", dir);
  const milo_source source = {.name = path.data};
  const milo_loc loc = {&source, 0};
  milo_status status = milo_json_read(path.data, MAX_FILE_BYTES, diag, &root);
  if (status == MILO_OK) status = read_fields(root, loc, diag, &config);
  cJSON_Delete(root);
  if (status == MILO_OK) status = read_generation(dir, diag, &config);
  if (status == MILO_OK)
    status = milo_model_config_complete_at(&config, "not a model", loc, diag, out_config);
  milo_str_deinit(&path);
  return status;
}

const char *milo_hf_obstacle(const milo_model_config *c) {
  if (!c->rope_half) return "rope_half is not set";
  if (c->residual_scale != 1) return "residual_scale is not 1";
  return NULL;
}

void milo_hf_config_print(const milo_model_config *c, milo_str *out) {
  const architecture *arch = &architectures[c->qk_norm ? 1 : 0];
  const struct {
    const char *name;
    int64_t value;
  } counts[] = {{"hidden_size", c->dim},
                {"intermediate_size", c->hidden},
                {"num_hidden_layers", c->layers},
                {"num_attention_heads", c->heads},
                {"num_key_value_heads", c->kv_heads},
                {"head_dim", c->head_dim},
                {"max_position_embeddings", c->seq},
                {"vocab_size", c->vocab}};
  milo_str_printf(out, "{\n  \"architectures\": [\"%s\"],\n  \"model_type\": \"%s\",\n", arch->name,
                  arch->type);
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
    milo_str_printf(out, "  \"%s\": %lld,\n", counts[i].name, (long long)counts[i].value);
  milo_str_puts(out, "  \"rms_norm_eps\": ");
  milo_str_json_number(out, c->norm_epsilon);
  milo_str_puts(out, ",\n  \"rope_theta\": ");
  milo_str_json_number(out, c->rope_theta);
  milo_str_printf(out, ",\n  \"hidden_act\": \"silu\",\n  \"attention_bias\": false,\n%s",
                  c->qk_norm ? "" : "  \"mlp_bias\": false,\n");
  milo_str_printf(out, "  \"tie_word_embeddings\": %s,\n  \"torch_dtype\": \"float32\",\n",
                  c->untied ? "false" : "true");
  milo_str_puts(out, "  \"eos_token_id\": ");
  if (c->stop_count < 1) milo_str_puts(out, "null");
  for (int32_t i = 0; i < c->stop_count; i++)
    milo_str_printf(out, "%s%u", i > 0 ? ", " : c->stop_count > 1 ? "[" : "", c->stop_tokens[i]);
  milo_str_printf(out, "%s\n}\n", c->stop_count > 1 ? "]" : "");
}
