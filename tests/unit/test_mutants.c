// SPDX-License-Identifier: MIT
// Programs of every operation, changed at every token: each mutant is refused with a message that
// names a place, or is a program that can be inspected, differentiated, compiled and run on every
// device, where it comes to the same as on ref.
#include <milo/milo.h>

#include "op_cases.h"
#include "op_run.h"
#include "text/lexer.h"

enum { MAX_BYTES = 1 << 20, MAX_VALUES = 64 };

static milo_ctx *ctx;
static size_t tried, valid, differentiated, ran;
static const char *const devices[] = {"ref", "cpu"};
enum { DEVICES = sizeof devices / sizeof *devices };

// The inputs' buffers: the bytes of small whole numbers, so that indices mean something.
static bool bind(milo_kernel *kernel, const milo_value_info *in, size_t count) {
  for (size_t i = 0; i < count; i++) {
    size_t elements = 1;
    for (int d = 0; d < in[i].rank; d++) elements *= (size_t)in[i].shape[d];
    milo_buffer *buffer;
    const milo_dtype dtype = in[i].dtype;
    if (milo_buffer_create(ctx, elements * milo_dtype_bits(dtype) / 8 + 8, &buffer) != MILO_OK)
      return false;
    void *data = milo_buffer_map(buffer, MILO_WRITE);
    for (size_t k = 0; k < elements; k++) {
      if (milo_dtype_is_int(dtype))
        milo_number_store_int(dtype, data, k, (int64_t)(k % 2));
      else
        milo_number_store(dtype, data, k, (double)(k % 2));
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

static milo_status compile_and_run(const milo_program *program, const char *device,
                                   const milo_value_info *in, size_t count) {
  milo_compile_options options = MILO_OPTIONS_INIT(milo_compile_options);
  options.device = device;
  milo_kernel *kernel = NULL;
  milo_status status = milo_compile(ctx, program, &options, &kernel);
  CHECK((kernel != NULL) == (status == MILO_OK));
  if (status == MILO_OK && bind(kernel, in, count)) {
    milo_value_info out[MAX_VALUES];
    const size_t outputs = milo_kernel_outputs(kernel, out, MAX_VALUES);
    if (outputs <= MAX_VALUES && is_small(out, outputs)) status = milo_kernel_run(kernel);
  }
  milo_kernel_destroy(kernel);
  return status;
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
  for (int d = 0; d < DEVICES; d++) {
    status[d] = compile_and_run(program, devices[d], in, count);
    if (!CHECK(status[d] == MILO_OK || milo_error(ctx)[0] != '\0') ||
        !CHECK(status[d] == status[0]))
      printf("# %s: %s, %s: %s (%s)\n%s\n", devices[0], milo_status_name(status[0]), devices[d],
             milo_status_name(status[d]), milo_error(ctx), text);
  }
  ran += status[0] == MILO_OK;
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
  tried = valid = differentiated = ran = 0;
  mutate_cases(forget);
  printf("# %zu mutants, %zu valid, %zu differentiated, %zu run\n", tried, valid, differentiated,
         ran);
  CHECK(valid > tried / 50 && ran > valid / 4);
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
