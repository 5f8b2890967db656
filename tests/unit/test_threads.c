// SPDX-License-Identifier: MIT
// ctest: LABELS threads
// Contexts in threads of their own, at the same time, compute what one alone does. ThreadSanitizer
// sees in the same runs the worker threads of compiling, running, training, generation and
// evaluation.
#include <milo/milo.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>

#include "tap.h"

enum { CONTEXTS = 3, ROWS = 40, INNER = 24, COLUMNS = 36, VOCAB = 300, TOKENS = 600 };

// Products, rows, an operation of another device's, and a shape that only a run knows.
static const char text[] =
    "program(1.3) {\n"
    "  func main<ios17>(tensor<fp32, [40, 24]> x, tensor<fp32, [24, 36]> w) {\n"
    "    tensor<fp32, [40, 36]> h = matmul(x = x, y = w)[name = string(\"h\")];\n"
    "    tensor<fp32, [40, 36]> y = softmax(x = h, axis = int32(-1))[name = string(\"y\")];\n"
    "    tensor<fp32, [40, 36]> r = relu(x = h)[name = string(\"r\")];\n"
    "    tensor<int32, [?, 2]> n = non_zero(x = r)[name = string(\"n\")];\n"
    "  } -> (y, n);\n"
    "}\n";

// What a piece of work came to: a sum over all bytes of its results, in order.
typedef struct digest {
  uint64_t sum;
  char failed[300];  // the first failure
} digest;

static void add_bytes(digest *d, const void *data, size_t bytes) {
  for (size_t i = 0; i < bytes; i++)
    d->sum = (d->sum ^ ((const unsigned char *)data)[i]) * 1099511628211u;
}

// Checks of tap.h belong to the main thread: others keep the message.
__attribute__((format(printf, 3, 4))) static bool expect(digest *d, bool held, const char *format,
                                                         ...) {
  if (held || d->failed[0]) return held;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(d->failed, sizeof d->failed, format, arguments);
  va_end(arguments);
  return false;
}

#define EXPECT(d, ctx, call) expect(d, (call) == MILO_OK, "%s: %s", #call, milo_error(ctx))

static milo_ctx *context(digest *d, int threads, const char *cpu_mask) {
  milo_ctx_options options = MILO_OPTIONS_INIT(milo_ctx_options);
  options.threads = threads;
  options.cpu_mask = cpu_mask;
  milo_ctx *ctx = NULL;
  EXPECT(d, NULL, milo_ctx_create(&options, &ctx));
  return ctx;
}

// ---- one thread's work --------------------------------------------------------------------------

static milo_buffer *numbers(milo_ctx *ctx, digest *d, size_t count, uint32_t seed) {
  milo_buffer *buffer = NULL;
  if (!EXPECT(d, ctx, milo_buffer_create(ctx, count * sizeof(float), &buffer))) return NULL;
  float *data = milo_buffer_map(buffer, MILO_WRITE);
  for (size_t i = 0; i < count; i++) {
    seed = seed * 1664525u + 1013904223u;
    data[i] = (float)(seed >> 8) / (1 << 23) - 1;
  }
  EXPECT(d, ctx, milo_buffer_unmap(buffer, data, MILO_WRITE));
  return buffer;
}

static void add_buffer(digest *d, milo_buffer *buffer) {
  void *data = buffer ? milo_buffer_map(buffer, MILO_READ) : NULL;
  if (!expect(d, data != NULL, "no buffer to read")) return;
  add_bytes(d, data, milo_buffer_bytes(buffer));
  expect(d, milo_buffer_unmap(buffer, data, MILO_READ) == MILO_OK, "unmap");
}

// Runs a kernel of the program above on several x.
static void run_kernel(milo_ctx *ctx, digest *d, milo_kernel *kernel, milo_buffer *w,
                       uint32_t seed) {
  EXPECT(d, ctx, milo_kernel_bind(kernel, "w", w));
  for (uint32_t round = 0; round < 4; round++) {
    milo_buffer *x = numbers(ctx, d, ROWS * INNER, seed + round);
    EXPECT(d, ctx, milo_kernel_bind(kernel, "x", x));
    if (EXPECT(d, ctx, milo_kernel_run(kernel))) {
      add_buffer(d, milo_kernel_buffer(kernel, "y"));
      add_buffer(d, milo_kernel_buffer(kernel, "n"));
    }
    milo_buffer_release(x);
  }
}

static milo_compile_options with_parameter(const char *device) {
  static const char *const parameters[] = {"w"};
  milo_compile_options options = MILO_OPTIONS_INIT(milo_compile_options);
  options.device = device;
  options.parameters = parameters;
  options.parameter_count = 1;
  return options;
}

static milo_program *parse(milo_ctx *ctx, digest *d) {
  milo_program *program = NULL;
  EXPECT(d, ctx, milo_program_parse(ctx, text, strlen(text), "text", NULL, &program));
  return program;
}

static void use_programs(milo_ctx *ctx, digest *d, const char *folder) {
  milo_program *program = parse(ctx, d), *gradient = NULL;
  milo_buffer *w = numbers(ctx, d, INNER * COLUMNS, 7);
  for (size_t i = 0; program && w && milo_device_name(i); i++) {
    const milo_compile_options options = with_parameter(milo_device_name(i));
    milo_kernel *kernel = NULL;
    if (EXPECT(d, ctx, milo_compile(ctx, program, &options, &kernel)))
      run_kernel(ctx, d, kernel, w, 3);
    milo_kernel_destroy(kernel);
  }
  milo_grad_options grad = MILO_OPTIONS_INIT(milo_grad_options);
  char path[320], *printed = NULL;
  size_t bytes = 0;
  if (program && EXPECT(d, ctx, milo_program_grad(ctx, program, &grad, &gradient)) &&
      EXPECT(d, ctx, milo_program_print(ctx, gradient, &printed, &bytes)))
    add_bytes(d, printed, bytes);
  snprintf(path, sizeof path, "%s.mil", folder);
  if (gradient) EXPECT(d, ctx, milo_program_save(ctx, gradient, path));
  milo_free(printed);
  milo_program_destroy(gradient);
  milo_program_destroy(program);
  milo_buffer_release(w);
}

static void use_tokenizers(milo_ctx *ctx, digest *d) {
  char letters[3000];
  uint32_t state = 5;
  for (size_t i = 0; i < sizeof letters; i++) {
    state = state * 1664525u + 1013904223u;
    letters[i] = state >> 30 ? (char)('a' + i % 9) : ' ';
  }
  milo_tokenizer *tokenizer = NULL;
  uint32_t *ids = NULL;
  size_t count = 0;
  if (EXPECT(d, ctx, milo_tokenizer_train(ctx, letters, sizeof letters, VOCAB, NULL, &tokenizer)) &&
      EXPECT(d, ctx, milo_tokenizer_encode(ctx, tokenizer, letters, 900, true, &ids, &count)))
    add_bytes(d, ids, count * sizeof *ids);
  milo_free(ids);
  milo_tokenizer_destroy(tokenizer);
}

static milo_model *new_model(milo_ctx *ctx, digest *d) {
  milo_model_config config = MILO_OPTIONS_INIT(milo_model_config);
  config.dim = 16;
  config.hidden = 24;
  config.layers = 2;
  config.heads = 2;
  config.kv_heads = 1;
  config.seq = 12;
  config.vocab = VOCAB;
  config.stop_count = -1;
  milo_model *model = NULL;
  EXPECT(d, ctx, milo_model_create(ctx, &config, 1, &model));
  return model;
}

static void make_ids(uint32_t *ids) {
  for (uint32_t i = 0; i < TOKENS; i++) ids[i] = 3 + i * i % 97;
}

static milo_train_options train_options(const char *folder) {
  milo_train_options options = MILO_OPTIONS_INIT(milo_train_options);
  options.out_dir = folder;
  options.force = true;
  options.steps = 4;
  options.batch = 3;
  options.accumulate = 2;
  options.eval_every = 2;
  options.eval_batches = 1;
  return options;
}

static void use_models(milo_ctx *ctx, digest *d, const char *folder) {
  uint32_t ids[TOKENS];
  make_ids(ids);
  milo_model *model = new_model(ctx, d), *loaded = NULL;
  const milo_train_options training = train_options(folder);
  milo_train_result trained;
  if (model && EXPECT(d, ctx, milo_train(ctx, model, ids, TOKENS, &training, &trained))) {
    add_bytes(d, &trained.last.loss, sizeof trained.last.loss);
    add_bytes(d, &trained.last.grad_norm, sizeof trained.last.grad_norm);
    EXPECT(d, ctx, milo_model_load(ctx, folder, &loaded));
  }
  milo_eval_options evaluation = MILO_OPTIONS_INIT(milo_eval_options);
  evaluation.max_tokens = 100;
  milo_eval_result evaluated;
  milo_generate_options generation = MILO_OPTIONS_INIT(milo_generate_options);
  generation.temperature = 1;
  generation.seed = 2;
  uint32_t *drawn = NULL;
  size_t count = 0;
  if (loaded && EXPECT(d, ctx, milo_eval(ctx, loaded, ids, TOKENS, &evaluation, &evaluated)) &&
      EXPECT(d, ctx, milo_generate(ctx, loaded, ids, 3, &generation, &drawn, &count, NULL))) {
    add_bytes(d, &evaluated.loss, sizeof evaluated.loss);
    add_bytes(d, drawn, count * sizeof *drawn);
    expect(d, count == 12, "%zu tokens drawn", count);
  }
  milo_free(drawn);
  milo_model_destroy(loaded);
  milo_model_destroy(model);
}

// ---- at the same time ---------------------------------------------------------------------------

static char folder[256];
static atomic_int missing;  // jobs that have not begun; macOS has no pthread_barrier

typedef struct job {
  void (*work)(struct job *job);
  int index;
  const char *cpu_mask;
  digest digest;
  // of tests that share
  milo_ctx *ctx;
  milo_program *program;
  milo_kernel *kernel;
  milo_buffer *w;
} job;

static void *start_job(void *user) {
  job *j = user;
  for (atomic_fetch_sub(&missing, 1); atomic_load(&missing) > 0;) sched_yield();
  j->work(j);
  return NULL;
}

// All jobs at once, each in a thread of its own.
static void run_jobs(job *jobs, int count) {
  pthread_t threads[CONTEXTS];
  atomic_store(&missing, count);
  for (int i = 0; i < count; i++)
    if (pthread_create(&threads[i], NULL, start_job, &jobs[i]) != 0) exit(1);
  for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
  for (int i = 0; i < count; i++)
    if (!CHECK(jobs[i].digest.failed[0] == '\0'))
      printf("# in thread %d: %s\n", i, jobs[i].digest.failed);
}

// 1, 2 and 3 threads: results do not depend on that either.
static void do_everything(job *j) {
  char own[300];
  snprintf(own, sizeof own, "%s/run%d", folder, j->index);
  milo_ctx *ctx = context(&j->digest, 1 + j->index, j->cpu_mask);
  if (ctx == NULL) return;
  use_programs(ctx, &j->digest, own);
  use_tokenizers(ctx, &j->digest);
  use_models(ctx, &j->digest, own);
  milo_ctx_destroy(ctx);
}

static void check_at_once(const char *cpu_mask) {
  job alone = {.work = do_everything, .index = 1, .cpu_mask = cpu_mask}, jobs[CONTEXTS] = {{0}};
  run_jobs(&alone, 1);
  for (int i = 0; i < CONTEXTS; i++)
    jobs[i] = (job){.work = do_everything, .index = i, .cpu_mask = cpu_mask};
  run_jobs(jobs, CONTEXTS);
  for (int i = 0; i < CONTEXTS; i++) CHECK(jobs[i].digest.sum == alone.digest.sum);
}

static void test_contexts_at_once_compute_what_one_alone_does(void) { check_at_once(NULL); }
// Products through CBLAS, where there is one: its own number of threads is the process's.
static void test_contexts_without_instruction_sets(void) { check_at_once(""); }

static void run_shared(job *j) {
  for (uint32_t i = 0; i < 8; i++) run_kernel(j->ctx, &j->digest, j->kernel, j->w, i);
}

// Its own kernel of the first one's compiled program, which runs meanwhile.
static void share_and_run(job *j) {
  milo_kernel *own = NULL;
  if (!EXPECT(&j->digest, j->ctx, milo_kernel_share(j->ctx, j->kernel, &own))) return;
  j->kernel = own;
  run_shared(j);
  milo_kernel_destroy(own);
}

static void test_one_compiled_program_in_several_contexts(void) {
  for (size_t device = 0; milo_device_name(device); device++) {
    job jobs[CONTEXTS] = {{0}}, *first = jobs;
    digest *d = &first->digest;
    for (int i = 0; i < CONTEXTS; i++)
      jobs[i] = (job){.work = share_and_run, .ctx = context(d, 2, NULL)};
    first->work = run_shared;
    const milo_compile_options options = with_parameter(milo_device_name(device));
    milo_program *program = parse(first->ctx, d);
    milo_buffer *w = numbers(first->ctx, d, INNER * COLUMNS, 7);
    milo_kernel *kernel = NULL;
    if (!CHECK(milo_compile(first->ctx, program, &options, &kernel) == MILO_OK)) return;
    for (int i = 0; i < CONTEXTS; i++) {
      jobs[i].kernel = kernel;
      jobs[i].w = w;
    }
    run_jobs(jobs, CONTEXTS);
    for (int i = 1; i < CONTEXTS; i++) CHECK(jobs[i].digest.sum == first->digest.sum);
    milo_kernel_destroy(kernel);
    milo_program_destroy(program);
    milo_buffer_release(w);
    for (int i = 0; i < CONTEXTS; i++) milo_ctx_destroy(jobs[i].ctx);
  }
}

// Both threads give up what they hold; one of them also compiles the program again.
static void let_go(job *j) {
  const milo_compile_options options = with_parameter(NULL);
  milo_kernel_destroy(j->kernel);
  milo_kernel *again = NULL;
  if (j->program) EXPECT(&j->digest, j->ctx, milo_compile(j->ctx, j->program, &options, &again));
  milo_program_destroy(j->program);
  milo_buffer_release(j->w);
  milo_kernel_destroy(again);
  milo_ctx_destroy(j->ctx);
}

static void test_the_last_one_frees_what_was_shared(void) {
  for (int round = 0; round < 40; round++) {
    job jobs[2] = {{.work = let_go}, {.work = let_go}};
    digest *d = &jobs[0].digest;
    const milo_compile_options options = with_parameter(NULL);
    for (int i = 0; i < 2; i++) jobs[i].ctx = context(d, 1, NULL);
    jobs[0].program = parse(jobs[0].ctx, d);
    if (!CHECK(milo_compile(jobs[0].ctx, jobs[0].program, &options, &jobs[0].kernel) == MILO_OK))
      return;
    CHECK(milo_kernel_share(jobs[1].ctx, jobs[0].kernel, &jobs[1].kernel) == MILO_OK);
    jobs[0].w = jobs[1].w = numbers(jobs[0].ctx, d, INNER * COLUMNS, 7);
    milo_buffer_retain(jobs[1].w);
    run_jobs(jobs, 2);
  }
}

static void train_there(job *j) {
  uint32_t ids[TOKENS];
  make_ids(ids);
  char place[300];
  snprintf(place, sizeof place, "%s/one-place", folder);
  const milo_train_options options = train_options(place);
  digest *d = &j->digest;
  milo_ctx *ctx = context(d, 2, NULL);
  milo_model *model = new_model(ctx, d);
  milo_train_result result;
  // The other one may be done before this one begins: force lets it replace the run.
  const milo_status status = milo_train(ctx, model, ids, TOKENS, &options, &result);
  expect(d, status == MILO_OK || strstr(milo_error(ctx), "training into") != NULL, "%s",
         milo_error(ctx));
  d->sum = status == MILO_OK;
  milo_model_destroy(model);
  milo_ctx_destroy(ctx);
}

// A folder belongs to one of them at a time.
static void test_training_into_one_folder(void) {
  job jobs[2] = {{.work = train_there}, {.work = train_there}};
  run_jobs(jobs, 2);
  CHECK(jobs[0].digest.sum + jobs[1].digest.sum >= 1);
}

int main(void) {
  snprintf(folder, sizeof folder, "%s/milo-test-threads-XXXXXX",
           getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
  if (!mkdtemp(folder)) return 1;
  RUN(test_contexts_at_once_compute_what_one_alone_does);
  RUN(test_contexts_without_instruction_sets);
  RUN(test_one_compiled_program_in_several_contexts);
  RUN(test_the_last_one_frees_what_was_shared);
  RUN(test_training_into_one_folder);
  char command[300];
  snprintf(command, sizeof command, "rm -rf '%s'", folder);
  if (system(command) != 0) return 1;
  return tap_done();
}
