// SPDX-License-Identifier: MIT
// Programs of every operation, changed at every token: each mutant is refused with a message that
// names a place, or is a program that can be inspected, differentiated, compiled and run on every
// device, where it computes the same numbers as on ref.
#include <milo/milo.h>

#include "op_cases.h"
#include "op_run.h"
#include "text/lexer.h"

enum { MAX_BYTES = 1 << 20, MAX_VALUES = 64 };

// Whatever a device computed. count is 0 where the outputs were too large to run for.
typedef struct results {
  size_t count;
  milo_value_info info[MAX_VALUES];  // shapes as they came out
  milo_buffer *buffers[MAX_VALUES];  // retained
} results;

static milo_ctx *ctx;
static size_t tried, valid, differentiated, ran, numbers;
static const char *const devices[] = {"ref", "cpu"};
enum { DEVICES = sizeof devices / sizeof *devices };

static size_t element_count(const milo_value_info *info) {
  size_t elements = 1;
  for (int d = 0; d < info->rank; d++) elements *= (size_t)info->shape[d];
  return elements;
}

// The inputs' buffers: 0 and 1, so that indices mean something; floats of both signs, no two that
// follow each other the same.
static bool bind(milo_kernel *kernel, const milo_value_info *in, size_t count) {
  for (size_t i = 0; i < count; i++) {
    const size_t elements = element_count(&in[i]);
    milo_buffer *buffer;
    const milo_dtype dtype = in[i].dtype;
    if (milo_buffer_create(ctx, elements * milo_dtype_bits(dtype) / 8 + 8, &buffer) != MILO_OK)
      return false;
    void *data = milo_buffer_map(buffer, MILO_WRITE);
    for (size_t k = 0; k < elements; k++) {
      if (milo_dtype_is_int(dtype))
        milo_number_store_int(dtype, data, k, (int64_t)(k % 2));
      else
        milo_number_store(dtype, data, k, 0.75 * (double)(7 * k % 5) - 1);
    }
    milo_status status = milo_buffer_unmap(buffer, data, MILO_WRITE);
    if (status == MILO_OK) status = milo_kernel_bind(kernel, in[i].name, buffer);
    milo_buffer_release(buffer);
    if (!CHECK(status == MILO_OK)) return false;
  }
  return true;
}

static bool is_small(const milo_value_info *values, size_t count) {
  for (size_t i = 0; i < count; i++) {
    double bytes = 8;
    if (values[i].rank < 0 || milo_dtype_bits(values[i].dtype) < 8) return false;
    for (int d = 0; d < values[i].rank; d++) {
      if (values[i].shape[d] < 0) return false;
      bytes *= (double)values[i].shape[d];
    }
    if (bytes > MAX_BYTES) return false;
  }
  return true;
}

// Names and types are the kernel's, and go with it.
static void take_results(milo_kernel *kernel, results *out) {
  out->count = milo_kernel_outputs(kernel, out->info, MAX_VALUES);
  for (size_t i = 0; i < out->count; i++) {
    out->buffers[i] = milo_kernel_buffer(kernel, out->info[i].name);
    if (CHECK(out->buffers[i] != NULL)) milo_buffer_retain(out->buffers[i]);
  }
}

static void release_results(results *r) {
  for (size_t i = 0; i < r->count; i++) milo_buffer_release(r->buffers[i]);
}

// ends: a loop may not.
static milo_status compile_and_run(const milo_program *program, const char *device,
                                   const milo_value_info *in, size_t count, bool ends,
                                   results *out) {
  out->count = 0;
  milo_compile_options options = MILO_OPTIONS_INIT(milo_compile_options);
  options.device = device;
  milo_kernel *kernel = NULL;
  milo_status status = milo_compile(ctx, program, &options, &kernel);
  CHECK((kernel != NULL) == (status == MILO_OK));
  if (status == MILO_OK && bind(kernel, in, count)) {
    const size_t outputs = milo_kernel_outputs(kernel, out->info, MAX_VALUES);
    if (outputs <= MAX_VALUES && is_small(out->info, outputs) && ends) {
      status = milo_kernel_run(kernel);
      if (status == MILO_OK) take_results(kernel, out);
    }
  }
  milo_kernel_destroy(kernel);
  return status;
}

// Integers and bools are equal; floats within STEPS units of the tensor's greatest finite number,
// or, where what is about 1 cancels, of what ref's doubles leave of it.
static bool same_tensor(const milo_value_info *info, const milo_buffer *got,
                        const milo_buffer *wanted, bool any_if_not_finite) {
  enum { STEPS = 64 };
  static unsigned char bytes[2][MAX_BYTES];
  const milo_dtype dtype = info->dtype;
  const size_t count = element_count(info), size = count * milo_dtype_bits(dtype) / 8;
  if (!CHECK(milo_buffer_read(got, 0, bytes[0], size) == MILO_OK &&
             milo_buffer_read(wanted, 0, bytes[1], size) == MILO_OK))
    return false;
  double scale = 0;
  for (size_t k = 0; k < count; k++)
    scale = compare_scale(scale, milo_number_load(dtype, bytes[1], k));
  const double bound = STEPS * (run_unit(dtype) * scale + run_unit(MILO_FP64));
  for (size_t k = 0; k < count; k++) {
    const double g = milo_number_load(dtype, bytes[0], k), w = milo_number_load(dtype, bytes[1], k);
    const bool same = milo_dtype_is_int(dtype) ? milo_number_load_int(dtype, bytes[0], k) ==
                                                     milo_number_load_int(dtype, bytes[1], k)
                                               : compare_near(g, w, bound);
    numbers++;
    if (same || (any_if_not_finite && !isfinite(w))) continue;
    printf("# %s, [%zu]: got %.9g, wanted %.9g within %.3g\n", milo_dtype_name(dtype), k, g, w,
           bound);
    return false;
  }
  return true;
}

static bool same_results(const results *got, const results *wanted, const char *text) {
  // Here lse is any number, not attention's: exp(score - lse) may be beyond what a device computes.
  const bool any_if_not_finite = run_calls(text, "attention_grad");
  if (got->count != wanted->count) return false;
  for (size_t i = 0; i < wanted->count; i++) {
    const milo_value_info *g = &got->info[i], *w = &wanted->info[i];
    if (g->dtype != w->dtype || g->rank != w->rank ||
        memcmp(g->shape, w->shape, (size_t)w->rank * sizeof *w->shape) != 0 ||
        !same_tensor(w, got->buffers[i], wanted->buffers[i], any_if_not_finite))
      return false;
  }
  return true;
}

static void use(const milo_program *program, const char *text) {
  milo_value_info in[MAX_VALUES];
  const char *name = milo_program_function_name(program, 0);
  const size_t count = name ? milo_program_inputs(program, name, in, MAX_VALUES) : 0;
  milo_program_op_counts(program, name, NULL, 0);
  milo_program_weights(program, name, NULL, 0);
  milo_program *gradient = NULL;
  milo_grad_options options = MILO_OPTIONS_INIT(milo_grad_options);
  if (milo_program_grad(ctx, program, &options, &gradient) == MILO_OK) {
    differentiated++;
    if (!CHECK(milo_program_verify(ctx, gradient) == MILO_OK))
      printf("# gradient of:\n%s\n# %s\n", text, milo_error(ctx));
  } else if (!CHECK(milo_error(ctx)[0] != '\0')) {
    printf("# %s\n", text);
  }
  milo_program_destroy(gradient);
  if (!name || count > MAX_VALUES || !is_small(in, count)) return;
  milo_status status[DEVICES];
  static results out[DEVICES];
  for (int d = 0; d < DEVICES; d++) {
    status[d] =
        compile_and_run(program, devices[d], in, count, !run_calls(text, "while_loop"), &out[d]);
    if (!CHECK(status[d] == MILO_OK || milo_error(ctx)[0] != '\0') ||
        !CHECK(status[d] == status[0]))
      printf("# %s: %s, %s: %s (%s)\n%s\n", devices[0], milo_status_name(status[0]), devices[d],
             milo_status_name(status[d]), milo_error(ctx), text);
    if (status[0] == MILO_OK && status[d] == MILO_OK &&
        !CHECK(same_results(&out[d], &out[0], text)))
      printf("# %s and %s differ:\n%s\n", devices[0], devices[d], text);
  }
  ran += status[0] == MILO_OK;
  for (int d = 0; d < DEVICES; d++) release_results(&out[d]);
}

// MILO_TRACE=FILE keeps the mutant at hand there, for when it ends this program.
static void trace(const char *text, size_t bytes) {
  const char *path = getenv("MILO_TRACE");
  FILE *file = path ? fopen(path, "wb") : NULL;
  if (!file) return;
  fwrite(text, 1, bytes, file);
  fclose(file);
}

static void try_text(const char *text, size_t bytes) {
  milo_program *program = NULL;
  trace(text, bytes);
  tried++;
  milo_status status = milo_program_parse(ctx, text, bytes, "mutant.mil", NULL, &program);
  if (status == MILO_OK) status = milo_program_verify(ctx, program);
  if (status == MILO_OK) {
    valid++;
    use(program, text);
  } else if (!CHECK(strncmp(milo_error(ctx), "mutant.mil:", 11) == 0 &&
                    strstr(milo_error(ctx), ": error: ") != NULL)) {
    printf("# %s: %s\n%s\n", milo_status_name(status), milo_error(ctx), text);
  }
  milo_program_destroy(program);
}

// The text with bytes [from, to) replaced.
static void splice(const char *text, size_t bytes, size_t from, size_t to, const char *with,
                   size_t with_bytes) {
  milo_str mutant = {0};
  milo_str_add(&mutant, text, from);
  milo_str_add(&mutant, with, with_bytes);
  milo_str_add(&mutant, text + to, bytes - to);
  try_text(mutant.data, mutant.bytes);
  milo_str_deinit(&mutant);
}

// Every token: dropped, doubled, replaced by others in turn; the text ends there.
static void mutate(const char *text, size_t bytes, size_t *turn) {
  static const char *const others[] = {
      "0",    "1",    "-1",    "2",    "3",     "7",   "true",        "false",
      "x",    "y0",   "[",     "]",    ")",     ",",   "inf",         "nan",
      "fp16", "fp32", "int32", "bool", "\"s\"", "?",   ";",           "1e30",
      "int8", "bf16", "fp64",  "{",    "-2",    "128", "-2147483648", "9223372036854775807"};
  enum { OTHERS = sizeof others / sizeof *others, TURNS = 4 };
  const milo_source source = {"text", text, bytes};
  milo_lexer lexer;
  milo_lexer_init(&lexer, &source, NULL);
  for (milo_token t = milo_lexer_next(&lexer); t.kind != MILO_TOKEN_END;
       t = milo_lexer_next(&lexer)) {
    const size_t end = t.offset + t.bytes;
    splice(text, bytes, t.offset, bytes, "", 0);
    splice(text, bytes, t.offset, end, "", 0);
    splice(text, bytes, end, end, text + t.offset, t.bytes);
    for (int k = 0; k < TURNS; k++) {
      const char *other = others[(*turn)++ % OTHERS];
      splice(text, bytes, t.offset, end, other, strlen(other));
    }
  }
}

// Results of unknown rank: whatever follows from the arguments is then right, so that more mutants
// are valid.
static void forget_results(milo_program *program) {
  for (milo_op *op = milo_program_find_func(program, NULL)->body->first; op; op = op->next)
    for (size_t i = 0; i < op->result_count; i++)
      if (op->code != MILO_OP_const && op->results[i]->type.kind == MILO_TYPE_TENSOR)
        op->results[i]->type.rank = -1;
}

static void mutate_cases(bool forget) {
  static run_tensors inputs, wanted;
  size_t turn = 0;
  for (int i = 0; i < OP_CASE_COUNT; i++) {
    milo_diag diag = {0};
    milo_str text = {0};
    run_parse(op_cases[i].inputs, &inputs);
    run_parse(op_cases[i].results, &wanted);
    milo_program *program = run_program(&inputs, op_cases[i].body, &wanted, &diag);
    if (program && forget) forget_results(program);
    if (CHECK(program && milo_text_print(program, &text) == MILO_OK))
      mutate(text.data, text.bytes, &turn);
    milo_str_deinit(&text);
    milo_program_destroy(program);
    milo_diag_deinit(&diag);
  }
}

static void test_mutants(bool forget) {
  tried = valid = differentiated = ran = numbers = 0;
  mutate_cases(forget);
  printf("# %zu mutants, %zu valid, %zu differentiated, %zu run, %zu numbers compared\n", tried,
         valid, differentiated, ran, numbers);
  CHECK(valid > tried / 50 && ran > valid / 4 && numbers > ran);
}

static void test_types_declared(void) { test_mutants(false); }
static void test_types_left_open(void) { test_mutants(true); }

int main(void) {
  milo_ctx_options options = MILO_OPTIONS_INIT(milo_ctx_options);
  options.threads = 1;
  if (milo_ctx_create(&options, &ctx) != MILO_OK) return 1;
  RUN(test_types_declared);
  RUN(test_types_left_open);
  milo_ctx_destroy(ctx);
  return tap_done();
}
