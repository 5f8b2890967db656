// SPDX-License-Identifier: MIT
// Kernels of the plans static and dynamic: each against plain C at tiny odd shapes, on every
// device, in fp32 and fp16; surfaces; what the Neural Engine's compilers want of the texts.
#include "ir/op.h"
#include "plan_kernels.h"
#include "text/text.h"

// Of the greatest element of a part. Seen: 2.1e-6 in fp32, 1.6e-3 in fp16 (rounded operation by
// operation).
#define FP32_BOUND 5e-6
#define FP16_BOUND 4e-3

static const milo_host host = {0};

static milo_model_config shapes(int i) {
  static const milo_model_config configs[] = {
      // all heads alike, as in Stories110M
      {.dim = 12, .hidden = 20, .layers = 1, .heads = 3, .kv_heads = 3, .head_dim = 4, .vocab = 23},
      // grouped heads wider than dim / heads, pairs half a head apart, norms of heads
      {.dim = 10,
       .hidden = 14,
       .layers = 1,
       .heads = 6,
       .kv_heads = 2,
       .head_dim = 8,
       .vocab = 17,
       .rope_half = true,
       .qk_norm = true,
       .untied = true,
       .rope_theta = 1e6,
       .residual_scale = 0.4,
       .norm_epsilon = 1e-6},
      // one kv head, one channel in the middle
      {.dim = 7, .hidden = 1, .layers = 1, .heads = 5, .kv_heads = 1, .head_dim = 2, .vocab = 3},
  };
  milo_model_config config = configs[i], complete;
  config.struct_bytes = sizeof config;
  config.seq = 40;
  if (milo_model_config_complete(&config, NULL, &complete) != MILO_OK) abort();
  return complete;
}

static void check_all(const char *device_name) {
  milo_device *device = NULL;
  if (!CHECK(milo_device_open(device_name, &host, NULL, &device) == MILO_OK)) return;
  double worst[2] = {0, 0};
  for (int i = 0; i < 3; i++) {
    const milo_model_config config = shapes(i);
    milo_model *model = kc_model(&config);
    static const int64_t seqs[] = {1, 5, 33};
    for (int s = 0; s < 3; s++)
      for (int half = 0; half < 2; half++)
        for (int id = 0; id < MILO_KERNEL_COUNT; id++) {
          const milo_plan_shape shape = {.config = &config,
                                         .seq = seqs[s],
                                         .dtype = half ? MILO_FP16 : MILO_FP32,
                                         .rows = milo_plan_classifier_rows(config.vocab)};
          const double off =
              kc_check(device, (milo_kernel_id)id, &shape, model, half ? FP16_BOUND : FP32_BOUND);
          worst[half] = fmax(worst[half], off);
        }
    milo_model_destroy(model);
  }
  printf("# %s: greatest difference %.1e in fp32, %.1e in fp16\n", device_name, worst[0], worst[1]);
  milo_device_close(device);
}

static void test_kernels_on_ref(void) { check_all("ref"); }
static void test_kernels_on_cpu(void) { check_all("cpu"); }

// ---- texts ----

static bool is_one_of(const char *name, const char *const *list) {
  while (*list && strcmp(*list, name) != 0) list++;
  return *list != NULL;
}

typedef struct facts {
  size_t blobs;
  bool fits;
} facts;

// What shared knowledge of the compilers says strongly (operations, sizes, spelling), and the cheap
// part of what it says weakly (names).
static void check_op(const milo_op *op, facts *f) {
  static const char *const allowed[] = {
      "const", "reshape", "slice_by_size", "transpose", "mul", "conv",    "matmul", "cast",
      "add",   "concat",  "reduce_sum",    "softmax",   "sub", "sigmoid", "pow",    NULL};
  static const char *const troublesome[] = {"var", "diff", "mean",  "std", "eps", "x", "y",
                                            "mul", "add",  "rsqrt", "c",   "C",   NULL};
  if (!CHECK(is_one_of(op->name, allowed))) printf("# %s\n", op->name);
  for (size_t i = 0; i < op->result_count; i++) {
    const milo_value *value = op->results[i];
    CHECK(!is_one_of(value->name, troublesome));
    CHECK(value->type.rank <= 4 && value->type.dtype != MILO_BF16);
    for (int d = 0; d < value->type.rank; d++) CHECK(value->type.dims[d] <= 65536);
    if (value->literal && value->literal->kind == MILO_LITERAL_BLOB) f->blobs++;
    if (value->literal && value->literal->bytes > 1024) f->blobs++;
  }
  for (size_t a = 0; a < op->arg_count; a++)
    for (size_t v = 0; v < op->args[a].count; v++) CHECK(op->args[a].values[v]->name != NULL);
  if (op->code == MILO_OP_concat) {
    const milo_value *axis = milo_op_in(op, "axis");
    CHECK(axis->type.rank == 0 && axis->type.dtype == MILO_INT32);
    CHECK(milo_op_in(op, "interleave") != NULL);
  }
  if (op->code == MILO_OP_matmul) {
    const milo_type *x = &milo_op_in(op, "x")->type;
    CHECK(x->dims[x->rank - (milo_op_bool(op, "transpose_x") ? 2 : 1)] <= 16384);
    CHECK(milo_op_in(op, "transpose_x") && milo_op_in(op, "transpose_y"));
  }
  if (op->code == MILO_OP_conv) {
    CHECK(milo_op_in(op, "bias") == NULL);
    CHECK(milo_op_in(op, "weight")->type.dims[1] <= 16384);
  }
}

static void check_ports(const milo_func *f, const milo_plan_kernel *kernel) {
  const milo_block *body = f->body;
  CHECK(kernel->apart || (body->param_count == 1 && body->output_count == 1));
  for (size_t i = 0; i < body->param_count + body->output_count; i++) {
    const bool out = i >= body->param_count;
    const milo_value *v = out ? body->outputs[i - body->param_count] : body->params[i];
    const milo_value *before = i == 0 || i == body->param_count ? NULL
                               : out ? body->outputs[i - body->param_count - 1]
                                     : body->params[i - 1];
    CHECK(!before || strcmp(before->name, v->name) < 0);
    CHECK(v->type.rank == 4 && v->type.dims[0] == 1 && v->type.dims[2] == 1);
    CHECK(v->type.dims[3] % 16 == 0);
    if (out) CHECK(v->def != NULL);
  }
}

static void check_text(const milo_program *program) {
  milo_str text = {0}, again = {0};
  milo_program *parsed = NULL;
  milo_diag diag = {0};
  CHECK(milo_ir_verify(program, &diag) == MILO_OK);
  CHECK(milo_text_print(program, &text) == MILO_OK);
  CHECK(strncmp(text.data, "program(1.3)\n[buildInfo = dict<string, string>({{", 49) == 0);
  CHECK(strstr(text.data, "\"coremlc-version\"") != NULL);
  CHECK(strstr(text.data, "func main<ios18>(") != NULL);
  CHECK(milo_text_parse(text.data, text.bytes, "kernel", &diag, &parsed) == MILO_OK);
  CHECK(milo_ir_lint(program, &diag) == 0);
  if (parsed) CHECK(milo_text_print(parsed, &again) == MILO_OK);
  CHECK_STR(again.data, text.data);
  milo_program_destroy(parsed);
  milo_str_deinit(&text);
  milo_str_deinit(&again);
}

static milo_model_config real_shape(const char *which) {
  milo_model_config config;
  if (strcmp(which, "stories110M") == 0) {
    if (milo_model_config_read(which, NULL, &config) != MILO_OK) abort();
    return config;
  }
  const milo_model_config qwen = {.struct_bytes = sizeof qwen,
                                  .dim = 1024,
                                  .hidden = 3072,
                                  .layers = 28,
                                  .heads = 16,
                                  .kv_heads = 8,
                                  .head_dim = 128,
                                  .seq = 256,
                                  .vocab = 151936,
                                  .rope_theta = 1e6,
                                  .norm_epsilon = 1e-6,
                                  .rope_half = true,
                                  .qk_norm = true};
  if (milo_model_config_complete(&qwen, NULL, &config) != MILO_OK) abort();
  return config;
}

static void test_texts_keep_to_what_is_known(void) {
  static const char *const names[] = {"stories110M", "qwen3"};
  for (int i = 0; i < 2; i++) {
    const milo_model_config config = real_shape(names[i]);
    const milo_plan_shape shape = {.config = &config,
                                   .seq = 256,
                                   .dtype = MILO_FP16,
                                   .rows = milo_plan_classifier_rows(config.vocab)};
    for (int id = 0; id < MILO_KERNEL_COUNT; id++) {
      const milo_plan_kernel *kernel = milo_plan_kernel_get((milo_kernel_id)id);
      milo_program *program = milo_program_create();
      milo_func *func = NULL;
      facts f = {0};
      if (CHECK(milo_plan_kernel_build(program, (milo_kernel_id)id, &shape, NULL, 0, NULL, &func) ==
                MILO_OK)) {
        for (const milo_op *op = func->body->first; op; op = op->next) check_op(op, &f);
        if (!CHECK(f.blobs <= 15)) printf("# %s has %zu weights\n", kernel->name, f.blobs);
        check_ports(func, kernel);
        check_text(program);
      }
      milo_program_destroy(program);
    }
  }
}

// ---- the table ----

static void check_layout(const milo_plan_shape *shape, const char *name, bool output, size_t count,
                         size_t channels, size_t columns) {
  for (int id = 0; id < MILO_KERNEL_COUNT; id++) {
    const milo_plan_kernel *kernel = milo_plan_kernel_get((milo_kernel_id)id);
    if (strcmp(kernel->name, name) != 0) continue;
    const milo_layout layout = milo_plan_layout(shape, kernel, output);
    if (!CHECK(layout.count == count && layout.channels == channels && layout.columns == columns))
      printf("# %s: %zu parts, %zu channels, %zu columns\n", name, layout.count, layout.channels,
             layout.columns);
  }
}

// The tables of the reference, with its D = 768, H = 2048, S = 256, 12 heads.
static void test_layouts_are_the_tables(void) {
  const milo_model_config c = real_shape("stories110M");
  const milo_plan_shape shape = {.config = &c, .seq = 256, .dtype = MILO_FP16, .rows = c.vocab};
  const size_t d = 768, h = 2048, s = 256, sc = 12 * 256;
  check_layout(&shape, "fwd_attn", false, 1, d, s);
  check_layout(&shape, "fwd_attn", true, 6, 6 * d, s);
  check_layout(&shape, "fwd_ffn", true, 5, 2 * d + 3 * h, s);
  check_layout(&shape, "ffn_bwd", false, 3, d + 2 * h, s);
  check_layout(&shape, "ffn_bwd", true, 3, d + 2 * h, s);
  check_layout(&shape, "sdpa_bwd1", false, 4, 4 * d, s);
  check_layout(&shape, "sdpa_bwd1", true, 3, d + 2 * sc, s);
  check_layout(&shape, "sdpa_bwd2", false, 4, 2 * sc + 2 * d, s);
  check_layout(&shape, "sdpa_bwd2", true, 2, 2 * d, s);
  check_layout(&shape, "qkv_bwd", false, 3, 3 * d, s);
  check_layout(&shape, "rmsnorm_bwd", false, 2, 2 * d, s);
  check_layout(&shape, "classifier_fwd", true, 1, 32000, s);
  check_layout(&shape, "sdpa_fwd", false, 4, d, s + 3 * d);
  check_layout(&shape, "sdpa_fwd", true, 5, 5 * d, s);
  check_layout(&shape, "wo_fwd", false, 2, d, s + d);
  check_layout(&shape, "ffn_fused", false, 5, d, 2 * s + 3 * h);
  check_layout(&shape, "ffn_fused", true, 4, d + 3 * h, s);
  check_layout(&shape, "ffn_bwd_w2t", false, 2, d, s + h);
  check_layout(&shape, "ffn_bwd_w13t", false, 4, h, 2 * s + 2 * d);
  check_layout(&shape, "wot_bwd", false, 2, d, s + d);
  check_layout(&shape, "tiled_bwd1", false, 4, 4 * d, s);
  check_layout(&shape, "tiled_bwd2", false, 4, 2 * sc + 2 * d, s);
  check_layout(&shape, "q_bwd", false, 2, d, s + d);
  check_layout(&shape, "kv_bwd", false, 4, d, 2 * s + 2 * d);
  // With heads of their own width, and norms of heads, which are a column each.
  const milo_model_config q = real_shape("qwen3");
  const milo_plan_shape wide = {.config = &q, .seq = 256, .dtype = MILO_FP16, .rows = 9496};
  check_layout(&wide, "sdpa_fwd", false, 6, 1024, 256 + 2048 + 2 * 1024 + 16);
  check_layout(&wide, "sdpa_fwd", true, 7, 2 * 2048 + 2 * 1024 + 1024 + 2048 + 1024, 256);
  check_layout(&wide, "kv_bwd", false, 4, 1024, 2 * 256 + 2 * 1024);
  check_layout(&wide, "tiled_bwd1", false, 4, 4 * 2048, 256);
}

static void test_classifier_rows(void) {
  CHECK(milo_plan_classifier_rows(1) == 1);
  CHECK(milo_plan_classifier_rows(32000) == 32000);
  CHECK(milo_plan_classifier_rows(65536) == 65536);
  CHECK(milo_plan_classifier_rows(151936) == 9496);  // 16 of them
  CHECK(milo_plan_classifier_rows(65537) == 16384);  // a prime number
  CHECK(milo_plan_classifier_rows(131072) == 16384);
}

// Every part of a classifier that takes several programs holds its own rows.
static void test_parts_of_a_classifier(void) {
  milo_model_config config = shapes(0);
  milo_model *model = kc_model(&config);
  milo_plan_shape shape = {.config = &config, .seq = 3, .dtype = MILO_FP32, .rows = 9};
  milo_device *device = NULL;
  CHECK(milo_device_open("cpu", &host, NULL, &device) == MILO_OK);
  float x[12 * 3], got[9 * 3], weight[23 * 12];
  CHECK(milo_parameter_get(milo_model_param(model, MILO_TENSOR_embedding, 0), 0, 23 * 12, weight,
                           NULL) == MILO_OK);
  for (int i = 0; i < 36; i++) x[i] = (float)(i % 7 - 3);
  milo_buffer *in = NULL, *out = NULL;
  CHECK(milo_buffer_alloc(sizeof x, NULL, &in) == MILO_OK);
  CHECK(milo_buffer_alloc(sizeof got, NULL, &out) == MILO_OK);
  CHECK(milo_buffer_write(in, 0, x, sizeof x) == MILO_OK);
  for (size_t part = 0; part < 2; part++) {
    milo_program *program = milo_program_create();
    milo_func *func = NULL;
    milo_run *run = NULL;
    shape.first_row = (int64_t)part * 9;
    CHECK(milo_plan_kernel_build(program, MILO_KERNEL_classifier_fwd, &shape, model, 0, NULL,
                                 &func) == MILO_OK);
    CHECK(milo_run_compile(device, func, NULL, NULL, &run) == MILO_OK);
    milo_program_destroy(program);
    CHECK(milo_run_execute(run, &in, &out, NULL) == MILO_OK);
    CHECK(milo_buffer_read(out, 0, got, sizeof got) == MILO_OK);
    milo_run_destroy(run);
    for (size_t r = 0; r < 9; r++)
      for (size_t s = 0; s < 3; s++) {
        double want = 0;
        for (size_t i = 0; i < 12; i++)
          want += (double)weight[(part * 9 + r) * 12 + i] * (double)x[i * 3 + s];
        CHECK_NEAR((double)got[r * 3 + s], want, 1e-5);
      }
  }
  milo_buffer_release(in);
  milo_buffer_release(out);
  milo_device_close(device);
  milo_model_destroy(model);
}

// ---- surfaces ----

static void test_surfaces(void) {
  milo_device *device = NULL;
  CHECK(milo_device_open("cpu", &host, NULL, &device) == MILO_OK);
  enum { C = 37, S = 300, MAX = C * S };
  static float data[2 * MAX], got[2 * MAX], all[MAX];
  for (int i = 0; i < 2 * MAX; i++) data[i] = (float)milo_rng_normal(1, 1, (uint64_t)i);
  static const milo_region regions[] = {{0, 0, C, S},    {0, 0, 1, 1},     {36, 299, 1, 1},
                                        {5, 0, 17, S},   {16, 3, 16, 256}, {1, 40, 33, 257},
                                        {37, 300, 0, 0}, {3, 7, 0, 9}};
  for (int half = 0; half < 2; half++) {
    const milo_dtype dtype = half ? MILO_FP16 : MILO_FP32;
    milo_surface s, t;
    CHECK(milo_surface_create(device, dtype, C, S, NULL, &s) == MILO_OK);
    CHECK(milo_surface_create(device, dtype, C, S, NULL, &t) == MILO_OK);
    CHECK(milo_buffer_bytes(s.buffer) == (size_t)MAX * (half ? 2 : 4));
    for (size_t n = 0; n < sizeof regions / sizeof *regions; n++)
      for (int transposed = 0; transposed < 2; transposed++) {
        const milo_region r = regions[n];
        const size_t stride = (transposed ? r.channels : r.columns) + 3;
        CHECK(milo_buffer_clear(s.buffer) == MILO_OK && milo_buffer_clear(t.buffer) == MILO_OK);
        CHECK(milo_surface_write(&s, r, data, stride, transposed != 0, NULL) == MILO_OK);
        CHECK(milo_surface_read(&s, (milo_region){0, 0, C, S}, all, S, NULL) == MILO_OK);
        size_t wrong = 0;
        for (size_t c = 0; c < C; c++)
          for (size_t i = 0; i < S; i++) {
            const bool inside = c >= r.channel && c < r.channel + r.channels && i >= r.column &&
                                i < r.column + r.columns;
            const size_t rc = c - r.channel, ri = i - r.column;
            float want = inside ? data[transposed ? ri * stride + rc : rc * stride + ri] : 0;
            if (half) want = milo_fp16_to_f32(milo_f32_to_fp16(want));
            wrong += !(all[c * S + i] == want);
          }
        CHECK(wrong == 0);
        // To another place, and back with a stride of its own; what lies between stays.
        milo_region to = {C - r.channels, S - r.columns, r.channels, r.columns};
        CHECK(milo_surface_copy(&t, to, &s, r, NULL) == MILO_OK);
        for (int i = 0; i < 2 * MAX; i++) got[i] = -9;
        CHECK(milo_surface_read(&t, to, got, r.columns + 2, NULL) == MILO_OK);
        for (size_t c = 0; c < r.channels; c++)
          for (size_t i = 0; i < r.columns + 2; i++) {
            const float want = i < r.columns ? all[(r.channel + c) * S + r.column + i] : -9;
            wrong += !(got[c * (r.columns + 2) + i] == want);
          }
        CHECK(wrong == 0);
      }
    milo_surface_destroy(&s);
    milo_surface_destroy(&t);
    milo_surface_destroy(&t);
  }
  milo_device_close(device);
}

static void test_surfaces_are_bounded(void) {
  milo_device *device = NULL;
  CHECK(milo_device_open("cpu", &host, NULL, &device) == MILO_OK);
  milo_surface s, t, huge;
  float data[64] = {0};
  milo_diag diag = {0};
  CHECK(milo_surface_create(device, MILO_FP16, 4, 8, NULL, &s) == MILO_OK);
  CHECK(milo_surface_create(device, MILO_FP32, 4, 8, NULL, &t) == MILO_OK);
  static const milo_region outside[] = {{0, 0, 5, 8},        {4, 0, 1, 1}, {0, 8, 1, 1},
                                        {1, 0, 4, 1},        {0, 1, 1, 8}, {SIZE_MAX, 0, 2, 1},
                                        {0, SIZE_MAX, 1, 2}, {5, 0, 0, 0}, {0, 0, SIZE_MAX, 1}};
  for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
    CHECK(milo_surface_write(&s, outside[i], data, 8, false, &diag) == MILO_ERR_INVALID);
    CHECK(milo_surface_read(&s, outside[i], data, 8, &diag) == MILO_ERR_INVALID);
    CHECK(milo_surface_copy(&s, outside[i], &s, outside[i], &diag) == MILO_ERR_INVALID);
  }
  const milo_region one = {0, 0, 1, 1}, two = {0, 0, 2, 1};
  CHECK(milo_surface_copy(&s, one, &t, one, &diag) == MILO_ERR_INVALID);  // types
  milo_surface other;
  CHECK(milo_surface_create(device, MILO_FP16, 4, 8, NULL, &other) == MILO_OK);
  CHECK(milo_surface_copy(&s, one, &other, two, &diag) == MILO_ERR_INVALID);
  CHECK(milo_surface_create(device, MILO_FP32, SIZE_MAX / 2, 3, &diag, &huge) == MILO_ERR_INVALID);
  milo_surface_destroy(&huge);
  milo_surface_destroy(&other);
  milo_surface_destroy(&s);
  milo_surface_destroy(&t);
  milo_device_close(device);
  milo_diag_deinit(&diag);
}

int main(void) {
  RUN(test_layouts_are_the_tables);
  RUN(test_classifier_rows);
  RUN(test_surfaces);
  RUN(test_surfaces_are_bounded);
  RUN(test_kernels_on_cpu);
  RUN(test_kernels_on_ref);
  RUN(test_parts_of_a_classifier);
  RUN(test_texts_keep_to_what_is_known);
  return tap_done();
}
