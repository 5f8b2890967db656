// SPDX-License-Identifier: MIT
// Models whose weights are stored in fewer bits: what rounding costs, that nothing else changes,
// and what is refused.
#include "model/stored.h"

#include <milo/milo.h>
#include <unistd.h>

#include "base/rng.h"
#include "device/buffer.h"
#include "model/blocks.h"
#include "model/model.h"
#include "model/safetensors.h"
#include "tap.h"

enum { SEQ = 300, VOCAB = 51, READ = 280 };

static milo_ctx *ctx;

static milo_model_config config_of(int variant) {
  milo_model_config c = MILO_OPTIONS_INIT(milo_model_config);
  c.dim = 24, c.hidden = 40, c.layers = 2, c.heads = 3, c.seq = SEQ, c.vocab = VOCAB;
  if (variant == 1) c.kv_heads = 1, c.head_dim = 10, c.rope_half = true, c.untied = true;
  if (variant == 2) c.dim = 6, c.heads = 1, c.head_dim = 2, c.hidden = 7, c.qk_norm = true;
  return c;
}
enum { VARIANTS = 3 };

// Random weights are small: a model with them says much the same whatever it reads.
static milo_model *make_model(const milo_model_config *config) {
  milo_model *model = NULL;
  if (!CHECK(milo_model_create(ctx, config, 5, &model) == MILO_OK)) return NULL;
  for (size_t i = 0; i < model->params.count; i++) {
    const milo_parameter *p = &model->params.items[i];
    float *data = milo_buffer_map(p->buffer, MILO_READ_WRITE);
    for (size_t k = 0; p->type.rank == 2 && k < milo_type_elements(&p->type); k++) data[k] *= 20;
    CHECK(milo_buffer_unmap(p->buffer, data, MILO_READ_WRITE) == MILO_OK);
  }
  return model;
}

static bool fails_with(milo_status status, milo_status wanted, const char *words) {
  const bool ok = CHECK(status == wanted) & CHECK(strstr(milo_error(ctx), words) != NULL);
  if (!ok) printf("# status %d: %s\n", (int)status, milo_error(ctx));
  return ok;
}

static size_t layers_of(const milo_model *model, milo_tensor_id id) {
  milo_tensor t;
  return milo_model_tensor(&model->config, id, NULL, &t) == MILO_OK ? t.layers : 0;
}

// All of a tensor in fp32.
static float *weights_of(const milo_model *model, milo_tensor_id id, size_t layer) {
  const size_t n = milo_type_elements(&milo_model_param(model, id, layer)->type);
  float *w = malloc(n * sizeof *w);
  CHECK(milo_model_get(model, id, layer, 0, n, w, NULL) == MILO_OK);
  return w;
}

typedef struct form {
  milo_dtype dtype;
  size_t group;
} form;
static const form forms[] = {{MILO_FP32, 0}, {MILO_BF16, 0}, {MILO_FP16, 0},
                             {MILO_INT8, 0}, {MILO_INT8, 2}, {MILO_INT8, 1}};
enum { FORMS = sizeof forms / sizeof *forms };
// Groups must divide 7 too in the third variant.
static bool fits(int variant, const form *f) { return variant < 2 || f->group < 2; }

// ---- quantisation ----

static double greatest(const float *x, size_t count) {
  float most = 0;
  for (size_t i = 0; i < count; i++) most = fmaxf(most, fabsf(x[i]));
  return (double)most;
}

static void test_quantize(void) {
  static float w[5 * 97];
  static int8_t q[5 * 97];
  static float scales[5 * 97];
  static const size_t groups[] = {97, 1};
  for (size_t i = 0; i < 5 * 97; i++)
    w[i] = (float)(milo_rng_normal(7, 0, i) * pow(10, (double)(i / 97) * 3 - 6));
  for (size_t i = 0; i < 97; i++) w[2 * 97 + i] = 0;
  for (int k = 0; k < 2; k++) {
    const size_t group = groups[k];
    CHECK(milo_stored_quantize(w, 5, 97, group, q, scales));
    for (size_t i = 0; i < 5 * 97; i++) {
      const double most = greatest(w + i / group * group, group);
      const double got = (double)q[i] * (double)scales[i / group];
      if (!CHECK(fabs(got - (double)w[i]) <= most / 254 * (1 + 1e-5))) return;
      if (!CHECK(q[i] >= -127)) return;
    }
  }
  // Subnormal scales have few digits, yet no weight leaves the range.
  const float tiny[4] = {1.4e-45f, -3e-44f, 1.2e-43f, -1.5e-43f};
  CHECK(milo_stored_quantize(tiny, 1, 4, 4, q, scales));
  CHECK(q[3] == -127 || scales[0] == 0 || q[3] <= -100);
  const float huge[2] = {3.4e38f, -1e38f};
  CHECK(milo_stored_quantize(huge, 1, 2, 2, q, scales) && q[0] == 127 && q[1] == -37);
  const float bad[2] = {1, NAN}, worse[2] = {-INFINITY, 0};
  CHECK(!milo_stored_quantize(bad, 1, 2, 2, q, scales));
  CHECK(!milo_stored_quantize(worse, 1, 2, 1, q, scales));
}

// ---- storing ----

static double bound(const form *f, double w, double most) {
  if (f->dtype == MILO_BF16) return fabs(w) * 0x1p-8 + 1e-40;
  if (f->dtype == MILO_FP16) return fabs(w) * 0x1p-11 + 0x1p-25;
  if (f->dtype == MILO_INT8) return most / 254 * (1 + 1e-5);
  return 0;
}

static void check_weights(const milo_model *was, const milo_model *is, const form *f) {
  for (int id = 0; id < MILO_TENSOR_COUNT; id++)
    for (size_t layer = 0; layer < layers_of(was, (milo_tensor_id)id); layer++) {
      const milo_type type = milo_model_param(was, (milo_tensor_id)id, layer)->type;
      float *a = weights_of(was, (milo_tensor_id)id, layer);
      float *b = weights_of(is, (milo_tensor_id)id, layer);
      const milo_dtype stored = milo_model_param(is, (milo_tensor_id)id, layer)->type.dtype;
      CHECK(stored == (type.rank == 2 ? f->dtype : MILO_FP32));
      const size_t n = milo_type_elements(&type);
      const size_t group = f->group ? f->group : (size_t)type.dims[type.rank - 1];
      for (size_t i = 0; i < n; i++) {
        const double most = greatest(a + i / group * group, group);
        const double least = type.rank == 2 ? bound(f, (double)a[i], most) : 0;
        if (!CHECK(fabs((double)a[i] - (double)b[i]) <= least)) break;
      }
      free(a);
      free(b);
    }
}

static void test_store(void) {
  for (int variant = 0; variant < VARIANTS; variant++)
    for (int k = 0; k < FORMS; k++) {
      if (!fits(variant, &forms[k])) continue;
      const milo_model_config config = config_of(variant);
      milo_model *was = make_model(&config), *is = make_model(&config);
      const uint64_t count = milo_model_parameter_count(was);
      size_t group = 9;
      CHECK(milo_model_store(ctx, is, forms[k].dtype, forms[k].group) == MILO_OK);
      CHECK(milo_model_stored(is, &group) == forms[k].dtype && group == forms[k].group);
      CHECK(milo_model_parameter_count(is) == count);
      check_weights(was, is, &forms[k]);
      // Bytes: of elements, and 4 a scale.
      uint64_t bytes = 0;
      for (size_t i = 0; i < is->params.count; i++)
        bytes += milo_buffer_bytes(is->params.items[i].buffer);
      CHECK(milo_model_weight_bytes(is) == bytes);
      if (forms[k].dtype == MILO_BF16) CHECK(bytes < milo_model_weight_bytes(was) * 11 / 20 + 999);
      // Back and stored again: the same numbers.
      float *once = weights_of(is, MILO_TENSOR_w1, 1);
      CHECK(milo_model_store(ctx, is, MILO_FP32, 0) == MILO_OK);
      CHECK(is->params.count == was->params.count);
      float *back = weights_of(is, MILO_TENSOR_w1, 1);
      const size_t n = milo_type_elements(&milo_model_param(is, MILO_TENSOR_w1, 1)->type);
      CHECK(memcmp(once, back, n * sizeof *once) == 0);
      free(once);
      free(back);
      milo_model_destroy(was);
      milo_model_destroy(is);
    }
}

// ---- what is computed with them ----

static float *logits_of(milo_model *model, const char *device, milo_dtype cache, bool by_one) {
  float *out = malloc(READ * VOCAB * sizeof *out);
  uint32_t ids[READ];
  for (size_t i = 0; i < READ; i++) ids[i] = (uint32_t)((i * i * 7 + i * 13 + 3) % VOCAB);
  if (!by_one) {
    CHECK(milo_model_logits(ctx, model, device, ids, READ, out) == MILO_OK);
    return out;
  }
  milo_session_options options = MILO_OPTIONS_INIT(milo_session_options);
  milo_session *session = NULL;
  options.device = device;
  options.cache = cache;
  CHECK(milo_session_create(ctx, model, &options, &session) == MILO_OK);
  for (size_t i = 0; session && i < READ; i++) {
    if (!CHECK(milo_session_feed(session, ids + i, 1) == MILO_OK)) break;
    memcpy(out + i * VOCAB, milo_session_logits(session), VOCAB * sizeof *out);
  }
  milo_session_destroy(session);
  return out;
}

static double difference(const float *a, const float *b) {
  double most = 0;
  for (size_t i = 0; i < READ * VOCAB; i++) {
    const double d = fabs((double)a[i] - (double)b[i]);
    if (!(d <= most)) most = d;
  }
  return most;
}

// The stored model gives what the fp32 model with the same rounded weights gives.
static void test_logits(void) {
  for (int variant = 0; variant < VARIANTS; variant++)
    for (int k = 1; k < FORMS; k++) {
      if (!fits(variant, &forms[k])) continue;
      const milo_model_config config = config_of(variant);
      milo_model *stored = make_model(&config), *same = make_model(&config);
      CHECK(milo_model_store(ctx, stored, forms[k].dtype, forms[k].group) == MILO_OK);
      CHECK(milo_model_store(ctx, same, forms[k].dtype, forms[k].group) == MILO_OK);
      CHECK(milo_model_store(ctx, same, MILO_FP32, 0) == MILO_OK);
      float *wanted = logits_of(same, "ref", MILO_FP32, false);
      float *by_ref = logits_of(stored, "ref", MILO_FP32, false);
      float *at_once = logits_of(stored, "cpu", MILO_FP32, false);
      float *by_one = logits_of(stored, "cpu", MILO_FP32, true);
      // Logits of up to 30; seen: 0, 6e-5, 5e-5.
      CHECK(difference(by_ref, wanted) <= 0);
      CHECK(difference(at_once, wanted) < 1.2e-4);
      CHECK(difference(by_one, wanted) < 1.2e-4);
      free(wanted);
      free(by_ref);
      free(at_once);
      free(by_one);
      milo_model_destroy(stored);
      milo_model_destroy(same);
    }
}

// Reading a prompt leaves no copy of a weight, and the number of threads changes no bit.
static void test_no_copies(void) {
  milo_ctx *const usual = ctx;
  for (int k = 1; k < FORMS; k++) {
    float *logits[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++) {
      milo_ctx_options options = MILO_OPTIONS_INIT(milo_ctx_options);
      options.threads = i ? 3 : 1;
      if (!CHECK(milo_ctx_create(&options, &ctx) == MILO_OK)) return;
      const milo_model_config config = config_of(0);
      milo_model *model = make_model(&config);
      CHECK(milo_model_store(ctx, model, forms[k].dtype, forms[k].group) == MILO_OK);
      logits[i] = logits_of(model, "cpu", MILO_BF16, true);
      free(logits_of(model, "cpu", MILO_FP32, false));
      for (size_t p = 0; p < model->params.count; p++)
        CHECK(model->params.items[p].buffer->packed == NULL);
      milo_model_destroy(model);
      milo_ctx_destroy(ctx);
    }
    CHECK(memcmp(logits[0], logits[1], READ * VOCAB * sizeof(float)) == 0);
    free(logits[0]);
    free(logits[1]);
  }
  ctx = usual;
}

// ---- products with int8 weights ----

static void fill_input(milo_kernel *kernel, const char *name, milo_dtype dtype, size_t count,
                       uint64_t seed) {
  milo_buffer *buffer = NULL;
  const size_t bytes = count * milo_dtype_bits(dtype) / 8;
  if (!CHECK(milo_buffer_create(ctx, bytes, &buffer) == MILO_OK)) return;
  void *data = milo_buffer_map(buffer, MILO_WRITE);
  for (size_t i = 0; i < count; i++)
    milo_number_store(dtype, data, i,
                      dtype == MILO_INT8 ? (double)milo_rng_below(seed, 0, i, 256) - 128
                                         : 2 * milo_rng_uniform(seed, 0, i) - 1);
  CHECK(milo_buffer_unmap(buffer, data, MILO_WRITE) == MILO_OK);
  CHECK(milo_kernel_bind(kernel, name, buffer) == MILO_OK);
  milo_buffer_release(buffer);
}

// y = (x w^T + b) * (x v^T), w and v of int8 [n, k] with scales [n, groups].
static float *multiply(const char *device, int m, int n, int k, int groups) {
  static const char pattern[] =
      "program(1.3) { func main<ios18>(tensor<fp32, [%d,%d]> x, tensor<int8, [%d,%d]> d, "
      "tensor<fp32, [%d,%d]> s, tensor<int8, [%d,%d]> e, tensor<fp32, [%d]> b) {"
      "tensor<fp32, [%d,%d]> w = scale_blocks(data = d, scale = s)[name = string(\"w\")];"
      "tensor<fp32, [%d,%d]> p = linear(x = x, weight = w, bias = b)[name = string(\"p\")];"
      "tensor<fp32, [%d,%d]> v = scale_blocks(data = e, scale = s)[name = string(\"v\")];"
      "tensor<fp32, [%d,%d]> q = matmul(x = x, y = v, transpose_y = bool(true))"
      "[name = string(\"q\")];"
      "tensor<fp32, [%d,%d]> y = mul(x = p, y = q)[name = string(\"y\")]; } -> (y); }";
  char text[2048];
  snprintf(text, sizeof text, pattern, m, k, n, k, n, groups, n, k, n, n, k, m, n, n, k, m, n, m,
           n);
  milo_program *program = NULL;
  milo_kernel *kernel = NULL;
  milo_compile_options options = MILO_OPTIONS_INIT(milo_compile_options);
  options.device = device;
  float *out = calloc((size_t)(m * n) + 1, sizeof *out);
  if (!CHECK(milo_program_parse(ctx, text, strlen(text), "int8.mil", NULL, &program) == MILO_OK) ||
      !CHECK(milo_compile(ctx, program, &options, &kernel) == MILO_OK)) {
    printf("# %s\n", milo_error(ctx));
    return out;
  }
  fill_input(kernel, "x", MILO_FP32, (size_t)(m * k), 1);
  fill_input(kernel, "d", MILO_INT8, (size_t)(n * k), 2);
  fill_input(kernel, "e", MILO_INT8, (size_t)(n * k), 3);
  fill_input(kernel, "s", MILO_FP32, (size_t)(n * groups), 4);
  fill_input(kernel, "b", MILO_FP32, (size_t)n, 5);
  CHECK(milo_kernel_run(kernel) == MILO_OK);
  CHECK(milo_buffer_read(milo_kernel_buffer(kernel, "y"), 0, out, (size_t)(m * n) * sizeof *out) ==
        MILO_OK);
  milo_kernel_destroy(kernel);
  milo_program_destroy(program);
  return out;
}

// Few rows and many, groups of all sizes, panels' ends and blocks of depth.
static void test_products(void) {
  static const struct {
    int m, n, k, groups;
  } sizes[] = {{1, 1, 1, 1},    {1, 67, 33, 1},  {8, 5, 64, 4},     {9, 35, 33, 11},
               {8, 33, 96, 32}, {20, 70, 30, 6}, {13, 97, 1700, 5}, {300, 40, 48, 48}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    const int m = sizes[i].m, n = sizes[i].n, k = sizes[i].k;
    float *wanted = multiply("ref", m, n, k, sizes[i].groups);
    float *got = multiply("cpu", m, n, k, sizes[i].groups);
    // Two sums of k terms of up to 128, multiplied.
    const double sum = 128.0 * k + 1, bound = 2 * sum * (k + 8) * 0x1p-24 * sum;
    for (int j = 0; j < m * n; j++)
      if (!CHECK_NEAR((double)got[j], (double)wanted[j], bound / 50)) break;
    free(wanted);
    free(got);
  }
}

// A cache in 16 bits: half the memory, and what rounding keys and values to it costs.
static void test_cache(void) {
  static const milo_dtype caches[] = {MILO_FP16, MILO_BF16};
  // Of logits of up to 30; seen: 0.05, 0.45.
  static const double most[] = {0.15, 1.2};
  const milo_model_config config = config_of(1);
  milo_model *model = make_model(&config);
  float *wanted = logits_of(model, "ref", MILO_FP32, true);
  for (int k = 0; k < 2; k++) {
    float *by_ref = logits_of(model, "ref", caches[k], true);
    float *by_cpu = logits_of(model, "cpu", caches[k], true);
    const double cost = difference(by_ref, wanted);
    if (!CHECK(cost > 0 && cost < most[k])) printf("# %g\n", cost);
    // A key that lies between two numbers may be rounded to either.
    if (!CHECK(difference(by_cpu, by_ref) < most[k] / 2))
      printf("# %g\n", difference(by_cpu, by_ref));
    free(by_ref);
    free(by_cpu);
  }
  free(wanted);
  size_t bytes[2] = {0};
  for (int k = 0; k < 2; k++) {
    milo_session_options options = MILO_OPTIONS_INIT(milo_session_options);
    milo_session *session = NULL;
    const uint32_t token = 3;
    options.cache = k ? MILO_BF16 : MILO_FP32;
    CHECK(milo_session_create(ctx, model, &options, &session) == MILO_OK);
    CHECK(milo_session_feed(session, &token, 1) == MILO_OK);
    bytes[k] = milo_session_cache_bytes(session);
    milo_session_destroy(session);
  }
  CHECK(bytes[1] > 0 && bytes[0] == 2 * bytes[1]);
  milo_session_options options = MILO_OPTIONS_INIT(milo_session_options);
  milo_session *session = NULL;
  options.cache = MILO_INT8;
  fails_with(milo_session_create(ctx, model, &options, &session), MILO_ERR_INVALID,
             "fp32, fp16 or bf16");
  milo_model_destroy(model);
}

// Programs say how their weights are stored.
static void test_types_show(void) {
  const milo_model_config given = config_of(0);
  milo_model *model = make_model(&given);
  CHECK(milo_model_store(ctx, model, MILO_INT8, 8) == MILO_OK);
  milo_program *program = milo_program_create();
  milo_func *func = NULL;
  CHECK(milo_block_layer(program, &model->config, model->stored, 1, 5, NULL, &func) == MILO_OK);
  bool found = false;
  for (size_t i = 0; func && i < func->body->param_count; i++) {
    const milo_value *p = func->body->params[i];
    if (strcmp(p->name, "w2_scale") != 0) continue;
    const milo_value *w2 = func->body->params[i - 1];
    found = strcmp(w2->name, "w2") == 0 && w2->type.dtype == MILO_INT8 &&
            p->type.dtype == MILO_FP32 && p->type.dims[0] == 24 && p->type.dims[1] == 5;
  }
  CHECK(found);
  milo_program_destroy(program);
  milo_model_destroy(model);
}

// A file holds tensors in the types that they are stored in, scales beside them.
static void test_file(void) {
  static milo_named_tensor tensors[64];
  const milo_model_config config = config_of(1);
  milo_model *model = make_model(&config), *other = make_model(&config);
  CHECK(milo_model_store(ctx, model, MILO_INT8, 2) == MILO_OK);
  CHECK(milo_model_store(ctx, other, MILO_INT8, 2) == MILO_OK);
  const size_t count = model->params.count;
  if (!CHECK(count <= 64)) return;
  for (size_t i = 0; i < count; i++) {
    const milo_parameter *p = &model->params.items[i];
    tensors[i] = (milo_named_tensor){p->name, p->type.dtype, p->type.rank, {0}, p->buffer};
    memcpy(tensors[i].dims, p->type.dims, sizeof tensors[i].dims);
    CHECK(milo_buffer_clear(other->params.items[i].buffer) == MILO_OK);
  }
  char path[64];
  snprintf(path, sizeof path, "/tmp/milo-stored-%ld.safetensors", (long)getpid());
  milo_safetensors *file = NULL;
  CHECK(milo_safetensors_write(path, NULL, 0, tensors, count, NULL) == MILO_OK);
  CHECK(milo_safetensors_open(path, NULL, &file) == MILO_OK);
  for (size_t i = 0; file && i < count; i++) {
    const milo_parameter *p = &model->params.items[i], *q = &other->params.items[i];
    CHECK(milo_safetensors_read(file, q->name, &q->type, q->buffer, NULL) == MILO_OK);
    CHECK(memcmp(milo_buffer_host(p->buffer), milo_buffer_host(q->buffer),
                 milo_buffer_bytes(p->buffer)) == 0);
  }
  const char *const name = "model.layers.1.mlp.up_proj.weight_scale";
  const milo_stored_tensor *scale = file ? milo_safetensors_find(file, name) : NULL;
  CHECK(scale && scale->type.dtype == MILO_FP32 && scale->type.dims[1] == 12);
  milo_safetensors_close(file);
  CHECK(unlink(path) == 0);
  milo_model_destroy(model);
  milo_model_destroy(other);
}

// ---- what is refused ----

static void set_weight(milo_model *model, float value) {
  const milo_parameter *p = milo_model_param(model, MILO_TENSOR_w3, 1);
  CHECK(milo_parameter_set(p, 11, 1, &value, NULL) == MILO_OK);
}

static void test_refused(void) {
  const milo_model_config config = config_of(0);
  milo_model *model = make_model(&config), *same = make_model(&config);
  milo_session *session = NULL;
  fails_with(milo_model_store(ctx, model, MILO_INT8, 16), MILO_ERR_INVALID, "groups of 16");
  fails_with(milo_model_store(ctx, model, MILO_BF16, 8), MILO_ERR_INVALID, "only int8");
  fails_with(milo_model_store(ctx, model, MILO_INT16, 0), MILO_ERR_UNSUPPORTED, "int16");
  fails_with(milo_model_store(ctx, model, MILO_INT8, SIZE_MAX), MILO_ERR_INVALID, "larger");
  CHECK(milo_session_create(ctx, model, NULL, &session) == MILO_OK);
  fails_with(milo_model_store(ctx, model, MILO_BF16, 0), MILO_ERR_INVALID, "session");
  milo_session_destroy(session);
  check_weights(same, model, &forms[0]);
  // A weight that the type cannot hold: named, and everything stays.
  set_weight(model, 65520);
  set_weight(same, 65520);
  fails_with(milo_model_store(ctx, model, MILO_FP16, 0), MILO_ERR_NUMERIC,
             "model.layers.1.mlp.up_proj.weight holds 65520");
  check_weights(same, model, &forms[0]);
  CHECK(milo_model_store(ctx, model, MILO_BF16, 0) == MILO_OK);
  CHECK(milo_model_store(ctx, model, MILO_FP32, 0) == MILO_OK);
  set_weight(model, 65519);
  CHECK(milo_model_store(ctx, model, MILO_FP16, 0) == MILO_OK);
  CHECK(milo_model_store(ctx, model, MILO_FP32, 0) == MILO_OK);
  set_weight(model, 3.4e38f);
  fails_with(milo_model_store(ctx, model, MILO_BF16, 0), MILO_ERR_NUMERIC, "too large for bf16");
  set_weight(model, NAN);
  for (int k = 1; k < FORMS; k++)
    fails_with(milo_model_store(ctx, model, forms[k].dtype, forms[k].group), MILO_ERR_NUMERIC,
               "NaN");
  // Training wants fp32.
  const uint32_t ids[100] = {3};
  milo_train_options options = MILO_OPTIONS_INIT(milo_train_options);
  CHECK(milo_model_store(ctx, same, MILO_BF16, 0) == MILO_OK);
  options.seq = 8;
  fails_with(milo_train(ctx, same, ids, 100, &options, NULL), MILO_ERR_UNSUPPORTED, "needs fp32");
  milo_model_destroy(model);
  milo_model_destroy(same);
}

int main(void) {
  if (milo_ctx_create(NULL, &ctx) != MILO_OK) return 1;
  RUN(test_quantize);
  RUN(test_store);
  RUN(test_logits);
  RUN(test_no_copies);
  RUN(test_products);
  RUN(test_cache);
  RUN(test_types_show);
  RUN(test_file);
  RUN(test_refused);
  milo_ctx_destroy(ctx);
  return tap_done();
}
