// SPDX-License-Identifier: MIT
// Promises of the public header: option structs, lifetimes, queries that take no memory.
#include <milo/milo.h>

#include "ir/ir.h"
#include "tap.h"

static const char text[] =
    "program(1.3) {\n"
    "  func main<ios17>(tensor<fp32, [2, 3]> x, tensor<fp32, [2, 3]> y) {\n"
    "    tensor<fp32, [2, 3]> z = mul(x = x, y = y)[name = string(\"z\")];\n"
    "  } -> (z);\n"
    "}\n";

static milo_program *parse(milo_ctx *ctx) {
  milo_program *program;
  const milo_status status = milo_program_parse(ctx, text, strlen(text), "text", NULL, &program);
  return CHECK(status == MILO_OK) ? program : NULL;
}

// The message says which struct and how to begin it.
static bool names_the_initializer(const char *message, const char *type) {
  char advice[128];
  snprintf(advice, sizeof advice, "MILO_OPTIONS_INIT(%s)", type);
  const bool held = strstr(message, advice) != NULL;
  if (!held) printf("# no %s in: %s\n", advice, message);
  return held;
}

// What a call gives for options that are zeroed, of a size that is none, and of a newer version.
typedef milo_status call_fn(milo_ctx *ctx, void *options);

static milo_status call_grad(milo_ctx *ctx, void *options) {
  milo_program *program = parse(ctx), *gradient;
  const milo_status status = milo_program_grad(ctx, program, options, &gradient);
  CHECK(status == MILO_OK || gradient == NULL);
  milo_program_destroy(gradient);
  milo_program_destroy(program);
  return status;
}

static milo_status call_optimize(milo_ctx *ctx, void *options) {
  milo_program *program = parse(ctx), *made;
  const milo_status status = milo_program_optimize(ctx, program, options, &made);
  CHECK((made != NULL) == (status == MILO_OK));
  milo_program_destroy(made);
  milo_program_destroy(program);
  return status;
}

static milo_status call_compile(milo_ctx *ctx, void *options) {
  milo_program *program = parse(ctx);
  milo_kernel *kernel;
  const milo_status status = milo_compile(ctx, program, options, &kernel);
  CHECK(status == MILO_OK || kernel == NULL);
  milo_kernel_destroy(kernel);
  milo_program_destroy(program);
  return status;
}

static milo_model *make_model(milo_ctx *ctx) {
  milo_model_config config = MILO_OPTIONS_INIT(milo_model_config);
  config.dim = 8;
  config.hidden = 16;
  config.layers = 1;
  config.heads = 2;
  config.seq = 8;
  config.vocab = 300;
  milo_model *model;
  return CHECK(milo_model_create(ctx, &config, 1, &model) == MILO_OK) ? model : NULL;
}

static milo_status call_model(milo_ctx *ctx, void *options) {
  milo_model *model;
  const milo_status status = milo_model_create(ctx, options, 1, &model);
  CHECK(status == MILO_OK || model == NULL);
  milo_model_destroy(model);
  return status;
}

static const uint32_t ids[32] = {1, 5, 9, 4};

static milo_status call_generate(milo_ctx *ctx, void *options) {
  milo_model *model = make_model(ctx);
  const milo_status status = milo_generate(ctx, model, ids, 2, options, NULL, NULL, NULL);
  milo_model_destroy(model);
  return status;
}

static milo_status call_eval(milo_ctx *ctx, void *options) {
  milo_model *model = make_model(ctx);
  milo_eval_result result;
  const milo_status status = milo_eval(ctx, model, ids, 32, options, &result);
  milo_model_destroy(model);
  return status;
}

static milo_status call_train(milo_ctx *ctx, void *options) {
  milo_model *model = make_model(ctx);
  milo_train_result result;
  const milo_status status = milo_train(ctx, model, ids, 32, options, &result);
  milo_model_destroy(model);
  return status;
}

typedef struct heard {
  char passes[128];
  size_t stop_at, count;  // fails at that call
} heard;

static milo_status hear(void *user, const char *function, const char *pass,
                        const milo_program *program) {
  heard *h = user;
  CHECK(function != NULL && milo_program_function_count(program) > 0);
  const size_t used = strlen(h->passes);
  snprintf(h->passes + used, sizeof h->passes - used, "%s ", pass);
  return ++h->count == h->stop_at ? MILO_ERR_INTERRUPTED : MILO_OK;
}

static void test_passes_by_name(void) {
  static const char *const names[] = {"dce", "fold", "dce"};
  milo_ctx *ctx;
  if (!CHECK(milo_ctx_create(NULL, &ctx) == MILO_OK)) return;
  milo_program *program = parse(ctx), *made = NULL;
  heard all = {0}, some = {0}, stopped = {.stop_at = 2};
  milo_optimize_options options = MILO_OPTIONS_INIT(milo_optimize_options);
  options.after_pass = hear;
  options.user = &all;
  CHECK(milo_program_optimize(ctx, program, &options, &made) == MILO_OK);
  milo_program_destroy(made);
  CHECK_STR(all.passes, "expand fold canonicalize cse dce ");
  options.passes = names;
  options.pass_count = 3;
  options.user = &some;
  CHECK(milo_program_optimize(ctx, program, &options, &made) == MILO_OK);
  milo_program_destroy(made);
  CHECK_STR(some.passes, "dce fold dce ");
  options.user = &stopped;
  CHECK(milo_program_optimize(ctx, program, &options, &made) == MILO_ERR_INTERRUPTED);
  CHECK(made == NULL && stopped.count == 2);
  const char *const wrong[] = {"fold", "unfold"};
  options.passes = wrong;
  options.pass_count = 2;
  CHECK(milo_program_optimize(ctx, program, &options, &made) == MILO_ERR_NOT_FOUND);
  CHECK(made == NULL && stopped.count == 2 && strstr(milo_error(ctx), "'unfold'") != NULL);
  options.passes = NULL;
  options.function = "none";
  CHECK(milo_program_optimize(ctx, program, &options, &made) == MILO_ERR_NOT_FOUND);
  size_t count = 0;
  while (milo_pass_name(count) != NULL) {
    CHECK(milo_pass_summary(count) != NULL);
    count++;
  }
  CHECK(count >= 5 && milo_pass_summary(count) == NULL);
  milo_program_destroy(program);
  milo_ctx_destroy(ctx);
}

static void test_options_without_their_size_are_refused(void) {
  static const struct {
    const char *type;
    size_t bytes;
    call_fn *call;
  } cases[] = {{"milo_optimize_options", sizeof(milo_optimize_options), call_optimize},
               {"milo_grad_options", sizeof(milo_grad_options), call_grad},
               {"milo_compile_options", sizeof(milo_compile_options), call_compile},
               {"milo_model_config", sizeof(milo_model_config), call_model},
               {"milo_generate_options", sizeof(milo_generate_options), call_generate},
               {"milo_eval_options", sizeof(milo_eval_options), call_eval},
               {"milo_train_options", sizeof(milo_train_options), call_train}};
  milo_ctx *ctx;
  if (!CHECK(milo_ctx_create(NULL, &ctx) == MILO_OK)) return;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    _Alignas(max_align_t) unsigned char options[512] = {0};
    const size_t sizes[] = {0, 3, SIZE_MAX};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
      memcpy(options, &sizes[k], sizeof sizes[k]);
      CHECK(cases[i].call(ctx, options) == MILO_ERR_INVALID);
      CHECK(names_the_initializer(milo_error(ctx), cases[i].type));
    }
    // A client that is newer than the library: fine while what only it knows is not set.
    const size_t newer = cases[i].bytes + 16;
    memcpy(options, &newer, sizeof newer);
    options[newer - 1] = 1;
    CHECK(cases[i].call(ctx, options) == MILO_ERR_UNSUPPORTED);
    CHECK(strstr(milo_error(ctx), cases[i].type) != NULL);
    if (cases[i].call == call_model || cases[i].call == call_train) continue;  // need more set
    options[newer - 1] = 0;
    CHECK(cases[i].call(ctx, options) == MILO_OK);
  }
  milo_ctx_destroy(ctx);
}

static void test_why_a_context_could_not_be_made(void) {
  milo_ctx_options options = {0};
  milo_ctx *ctx;
  CHECK(milo_ctx_create(&options, &ctx) == MILO_ERR_INVALID && ctx == NULL);
  CHECK(names_the_initializer(milo_error(NULL), "milo_ctx_options"));
  options = (milo_ctx_options)MILO_OPTIONS_INIT(milo_ctx_options);
  options.cpu_mask = "avx7";
  CHECK(milo_ctx_create(&options, &ctx) == MILO_ERR_INVALID && ctx == NULL);
  CHECK(strstr(milo_error(NULL), "'avx7'") != NULL);
  options.cpu_mask = NULL;
  options.threads = -1;
  CHECK(milo_ctx_create(&options, &ctx) == MILO_ERR_INVALID && ctx == NULL);
  CHECK(strstr(milo_error(NULL), "threads is -1") != NULL);
  CHECK(milo_ctx_create(NULL, &ctx) == MILO_OK);
  CHECK_STR(milo_error(NULL), "");
  milo_ctx_destroy(ctx);
}

// An option of an older client's struct counts; what that struct does not hold is the default.
static void test_an_older_client_keeps_its_options(void) {
  milo_ctx *ctx;
  milo_ctx_options options = MILO_OPTIONS_INIT(milo_ctx_options);
  options.struct_bytes = offsetof(milo_ctx_options, cpu_mask);
  options.threads = 3;
  options.cpu_mask = "not read";
  if (!CHECK(milo_ctx_create(&options, &ctx) == MILO_OK)) return;
  CHECK(milo_ctx_threads(ctx) == 3);
  milo_ctx_destroy(ctx);
}

// AddressSanitizer sees it if something that is used here went with the context.
static void test_things_outlive_their_context(void) {
  milo_ctx_options options = MILO_OPTIONS_INIT(milo_ctx_options);
  options.threads = 2;
  milo_ctx *ctx, *other;
  if (!CHECK(milo_ctx_create(&options, &ctx) == MILO_OK)) return;
  if (!CHECK(milo_ctx_create(&options, &other) == MILO_OK)) return;
  char letters[4096];
  for (size_t i = 0; i < sizeof letters; i++)
    letters[i] = (char)('a' + i * 2654435761u / 65536 % 16);
  milo_program *program = parse(ctx);
  milo_compile_options on[] = {MILO_OPTIONS_INIT(milo_compile_options),
                               MILO_OPTIONS_INIT(milo_compile_options)};
  on[1].device = "ref";
  milo_kernel *kernels[2];
  milo_buffer *x;
  milo_tokenizer *tokenizer;
  milo_model *model = make_model(ctx);
  for (int i = 0; i < 2; i++) CHECK(milo_compile(ctx, program, &on[i], &kernels[i]) == MILO_OK);
  CHECK(milo_buffer_create(ctx, 24, &x) == MILO_OK);
  if (!CHECK(milo_tokenizer_train(ctx, letters, sizeof letters, 300, NULL, &tokenizer) == MILO_OK))
    return;
  milo_ctx_destroy(ctx);

  const float data[6] = {0, 1, 2, 3, 4, 5};
  CHECK(milo_buffer_write(x, 0, data, sizeof data) == MILO_OK);
  for (int i = 0; i < 2; i++) {
    CHECK(milo_kernel_bind(kernels[i], "x", x) == MILO_OK);
    CHECK(milo_kernel_run(kernels[i]) == MILO_ERR_INVALID);  // y is not bound: a message is made
    CHECK(milo_kernel_bind(kernels[i], "y", x) == MILO_OK);
    if (!CHECK(milo_kernel_run(kernels[i]) == MILO_OK)) continue;
    float z[6] = {0};
    CHECK(milo_buffer_read(milo_kernel_buffer(kernels[i], "z"), 0, z, sizeof z) == MILO_OK);
    CHECK(z[5] == 25.0f);
  }
  uint32_t *tokens;
  size_t count;
  CHECK(milo_tokenizer_encode(other, tokenizer, "abc", 3, true, &tokens, &count) == MILO_OK);
  CHECK(milo_program_verify(other, program) == MILO_OK);
  milo_generate_options generate = MILO_OPTIONS_INIT(milo_generate_options);
  CHECK(milo_generate(other, model, ids, 2, &generate, NULL, NULL, NULL) == MILO_OK);
  milo_free(tokens);
  milo_ctx_destroy(other);
  milo_model_destroy(model);
  milo_tokenizer_destroy(tokenizer);
  milo_program_destroy(program);
  milo_buffer_release(x);
  for (int i = 0; i < 2; i++) milo_kernel_destroy(kernels[i]);
}

static void test_queries_take_no_memory(void) {
  milo_ctx *ctx;
  if (!CHECK(milo_ctx_create(NULL, &ctx) == MILO_OK)) return;
  milo_program *program = parse(ctx), *gradient;
  CHECK(milo_program_grad(ctx, program, NULL, &gradient) == MILO_OK);
  milo_program *const programs[] = {program, gradient};
  for (int p = 0; p < 2; p++) {
    const size_t before = programs[p]->arena.total_bytes;
    milo_value_info info[8];
    milo_op_count ops[8];
    milo_weight_info weights[8];
    for (int i = 0; i < 3; i++) {
      CHECK(milo_program_inputs(programs[p], NULL, info, 8) == (p == 0 ? 2 : 3));
      CHECK_STR(info[1].type, "tensor<fp32, [2, 3]>");
      CHECK_STR(info[1].name, "y");
      CHECK(milo_program_outputs(programs[p], "main", info, 8) == (p == 0 ? 1 : 3));
      CHECK_STR(info[0].type, "tensor<fp32, [2, 3]>");
      CHECK_STR(info[0].name, "z");
      CHECK(milo_program_outputs(programs[p], "other", info, 8) == 0);
      CHECK(milo_program_op_counts(programs[p], NULL, ops, 8) >= 1);
      CHECK(milo_program_weights(programs[p], NULL, weights, 8) == 0);
    }
    CHECK(programs[p]->arena.total_bytes == before);
  }
  milo_program_destroy(gradient);
  milo_program_destroy(program);
  milo_ctx_destroy(ctx);
}

int main(void) {
  RUN(test_passes_by_name);
  RUN(test_options_without_their_size_are_refused);
  RUN(test_why_a_context_could_not_be_made);
  RUN(test_an_older_client_keeps_its_options);
  RUN(test_things_outlive_their_context);
  RUN(test_queries_take_no_memory);
  return tap_done();
}
