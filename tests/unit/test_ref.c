// SPDX-License-Identifier: MIT
// Every operation against values worked out by hand, on every device; the rows of the table all
// have a definition and a case; whole composites equal expanded ones; devices check arguments.
#include "device/ref/ref.h"
#include "op_cases.h"
#include "op_run.h"
#include "pass/pass.h"

static const milo_host host = {0};

static void run_case(milo_device *device, const op_case *c, double steps) {
  static run_tensors inputs, results, wanted;
  milo_diag diag = {0};
  run_parse(c->inputs, &inputs);
  run_parse(c->results, &wanted);
  results = wanted;
  milo_program *program = run_program(&inputs, c->body, &wanted, &diag);
  milo_status status = MILO_ERR_INVALID;
  if (program != NULL)
    status = run_func(device, milo_program_find_func(program, NULL), &inputs, &results, &diag);
  if (!CHECK(status == MILO_OK) || !CHECK(run_compare(&results, &wanted, steps)))
    printf("# on %s: %s\n# %s\n# inputs %s\n", device->type->name, milo_diag_text(&diag), c->body,
           c->inputs);
  milo_program_destroy(program);
  milo_diag_deinit(&diag);
}

static void test_cases(void) {
  for (const milo_device_type *const *type = milo_device_types; *type != NULL; type++) {
    milo_diag diag = {0};
    milo_device *device;
    const milo_status status = milo_device_open((*type)->name, &host, &diag, &device);
    if (status == MILO_OK) {
      const double steps = *type == &milo_device_type_ref ? 1 : 4;
      for (int i = 0; i < OP_CASE_COUNT; i++) run_case(device, &op_cases[i], steps);
    } else {
      CHECK(status == MILO_ERR_UNSUPPORTED);
    }
    milo_device_close(device);
    milo_diag_deinit(&diag);
  }
}

static bool has_case(const char *op) {
  for (int i = 0; i < OP_CASE_COUNT; i++)
    if (strcmp(op_cases[i].op, op) == 0 && run_calls(op_cases[i].body, op)) return true;
  return false;
}

static void test_every_row_is_defined(void) {
  for (int code = MILO_OP_unknown + 1; code < MILO_OP_COUNT; code++) {
    const milo_op_info *info = milo_op_info_get((milo_opcode)code);
    if (code == MILO_OP_const) continue;
    // What holds blocks or takes lists is evaluated by dynamic.c, states are lowered.
    if (strstr(info->name, "_state") != NULL) continue;
    const bool is_defined = milo_ref_has((milo_opcode)code) || info->decompose != NULL ||
                            info->blocks > 0 || strstr(info->name, "list") != NULL;
    if (!CHECK(is_defined) || !CHECK(has_case(info->name))) printf("# %s\n", info->name);
  }
}

// The same composite computed by its definition and by its decomposition.
static void test_whole_equals_expanded(void) {
  milo_device *device;
  milo_diag diag = {0};
  int expanded = 0;
  if (!CHECK(milo_device_open("ref", &host, &diag, &device) == MILO_OK)) return;
  for (int i = 0; i < OP_CASE_COUNT; i++) {
    static run_tensors inputs, results, wanted;
    const milo_op_info *info = milo_op_info_get(milo_opcode_find(op_cases[i].op));
    if (info->decompose == NULL) continue;
    run_parse(op_cases[i].inputs, &inputs);
    run_parse(op_cases[i].results, &wanted);
    results = wanted;
    milo_program *program = run_program(&inputs, op_cases[i].body, &wanted, &diag);
    if (!CHECK(program != NULL)) continue;
    milo_func *func = milo_program_find_func(program, NULL);
    const milo_pass_options options = {0};
    bool good = CHECK(milo_pass_expand(func, &options, &diag) == MILO_OK) &&
                CHECK(milo_pass_dce(func, &options, &diag) == MILO_OK);
    for (const milo_op *op = func->body->first; good && op != NULL; op = op->next)
      good = CHECK((milo_op_info_get(op->code)->traits & MILO_OP_COMPOSITE) == 0);
    good = good && CHECK(run_func(device, func, &inputs, &results, &diag) == MILO_OK) &&
           CHECK(run_compare(&results, &wanted, 8));
    if (!good) printf("# %s expanded: %s\n", op_cases[i].op, milo_diag_text(&diag));
    milo_program_destroy(program);
    expanded++;
  }
  printf("# %d cases expanded\n", expanded);
  milo_device_close(device);
  milo_diag_deinit(&diag);
}

// ---- what must be refused ----

// Compiles and runs on ref; the message must hold wanted.
static void check_refused(const char *inputs_text, const char *body, const char *results_text,
                          milo_status wanted_status, const char *wanted) {
  static run_tensors inputs, results;
  milo_diag diag = {0};
  milo_device *device;
  if (!CHECK(milo_device_open("ref", &host, &diag, &device) == MILO_OK)) return;
  run_parse(inputs_text, &inputs);
  run_parse(results_text, &results);
  milo_program *program = run_program(&inputs, body, &results, &diag);
  if (CHECK(program != NULL)) {
    const milo_func *func = milo_program_find_func(program, NULL);
    CHECK(run_func(device, func, &inputs, &results, &diag) == wanted_status);
    if (!CHECK(strstr(milo_diag_text(&diag), wanted) != NULL))
      printf("# wanted <%s> in: %s\n", wanted, milo_diag_text(&diag));
    CHECK(diag.errors > 0);
  }
  milo_program_destroy(program);
  milo_device_close(device);
  milo_diag_deinit(&diag);
}

static void test_bad_indices(void) {
  check_refused("fp32[3] x = 1 2 3; int32[2] i = 0 3",
                "tensor<fp32, [2]> y = gather(x = x, indices = i, axis = int32(0))"
                "[name = string(\"y\")];",
                "fp32[2] y = 0 0", MILO_ERR_INVALID, "indices[1] = 3");
  check_refused("fp32[3] x = 1 2 3; int32[1] i = -4; fp32[1] u = 1",
                "tensor<fp32, [3]> y = scatter(data = x, indices = i, updates = u, "
                "axis = int32(0))[name = string(\"y\")];",
                "fp32[3] y = 0 0 0", MILO_ERR_INVALID, "indices[0] = -4");
  check_refused("fp32[1,2] x = 1 2; int32[1] t = 2",
                "tensor<fp32, [1]> y, tensor<fp32, [1]> z = cross_entropy(logits = x, target = t)"
                "[name = string(\"y\")];",
                "fp32[1] y = 0; fp32[1] z = 0", MILO_ERR_INVALID, "target[0] = 2");
  check_refused("fp32[4] x = 1 2 3 4; int32[1] b = 3",
                "tensor<fp32, [2]> y = slice_by_size(x = x, begin = b, "
                "size = tensor<int32, [1]>([2]))[name = string(\"y\")];",
                "fp32[2] y = 0 0", MILO_ERR_INVALID, "axis 0");
}

// Sums with these leave int64; a run under UBSan says so.
static void test_extreme_indices(void) {
  static const char *const begins[] = {"9.2233720368547748e18", "-9.2233720368547758e18", "5"};
  for (size_t i = 0; i < 3; i++) {
    char inputs[128];
    snprintf(inputs, sizeof inputs, "fp32[4] x = 1 2 3 4; int64[1] b = %s", begins[i]);
    check_refused(inputs,
                  "tensor<fp32, [2]> y = slice_by_size(x = x, begin = b, "
                  "size = tensor<int32, [1]>([2]))[name = string(\"y\")];",
                  "fp32[2] y = 0 0", MILO_ERR_INVALID, "axis 0");
    snprintf(inputs, sizeof inputs, "fp32[4] x = 1 2 3 4; int64[1] i = %s", begins[i]);
    check_refused(inputs,
                  "tensor<fp32, [1]> y = gather(x = x, indices = i, axis = int32(0))"
                  "[name = string(\"y\")];",
                  "fp32[1] y = 0", MILO_ERR_INVALID, "outside the axis");
  }
}

static void test_every_unsupported_op_is_named(void) {
  const char *body =
      "tensor<fp32, [2]> a = first_wonder(x = x)[name = string(\"a\")];"
      "tensor<fp32, [2]> y = second_wonder(x = a)[name = string(\"y\")];";
  check_refused("fp32[2] x = 1 2", body, "fp32[2] y = 0 0", MILO_ERR_UNSUPPORTED, "first_wonder");
  check_refused("fp32[2] x = 1 2", body, "fp32[2] y = 0 0", MILO_ERR_UNSUPPORTED, "second_wonder");
  check_refused("fp32[2] x = 1 2", body, "fp32[2] y = 0 0", MILO_ERR_UNSUPPORTED, "case.mil:3:");
}

// ---- buffers and aliases ----

typedef struct setup {
  milo_diag diag;
  milo_device *device;
  milo_program *program;
  milo_run *executable;
  milo_buffer *x, *y, *z;
} setup;

// y = x + x, z = x (the input handed out), compiled with the given options.
static setup set_up(const milo_executable_options *options) {
  static run_tensors inputs, results;
  setup s = {0};
  run_parse("fp32[2] x = 0 0", &inputs);
  run_parse("fp32[2] y = 0 0; fp32[2] z = 0 0", &results);
  s.program = run_program(&inputs,
                          "tensor<fp32, [2]> y = add(x = x, y = x)[name = string(\"y\")];"
                          "tensor<fp32, [2]> z = identity(x = x)[name = string(\"z\")];",
                          &results, &s.diag);
  if (milo_device_open("ref", &host, &s.diag, &s.device) != MILO_OK ||
      milo_run_compile(s.device, milo_program_find_func(s.program, NULL), options, &s.diag,
                       &s.executable) != MILO_OK)
    CHECK(false);
  milo_buffer **buffers[] = {&s.x, &s.y, &s.z};
  for (int i = 0; i < 3; i++) CHECK(milo_buffer_alloc(8, &s.diag, buffers[i]) == MILO_OK);
  ((float *)milo_buffer_host(s.x))[0] = 1;
  ((float *)milo_buffer_host(s.x))[1] = 2;
  return s;
}

static void tear_down(setup *s) {
  milo_buffer_release(s->x);
  milo_buffer_release(s->y);
  milo_buffer_release(s->z);
  milo_run_destroy(s->executable);
  milo_device_close(s->device);
  milo_program_destroy(s->program);
  milo_diag_deinit(&s->diag);
}

static void test_run_checks_buffers(void) {
  setup s = set_up(NULL);
  milo_buffer *small;
  CHECK(milo_buffer_alloc(7, &s.diag, &small) == MILO_OK);
  CHECK((uintptr_t)milo_buffer_host(s.x) % 64 == 0);
  milo_buffer *const good[] = {s.y, s.z}, *const missing[] = {s.y, NULL};
  milo_buffer *const twice[] = {s.y, s.y}, *const own[] = {s.y, s.x},
                     *const little[] = {small, s.z};
  CHECK(milo_run_execute(s.executable, &s.x, good, &s.diag) == MILO_OK);
  CHECK_NEAR(((float *)milo_buffer_host(s.y))[1], 4, 0);
  CHECK_NEAR(((float *)s.z->data)[1], 2, 0);
  CHECK(milo_run_execute(s.executable, &s.x, missing, &s.diag) == MILO_ERR_INVALID);
  CHECK(milo_run_execute(s.executable, &s.x, twice, &s.diag) == MILO_ERR_INVALID);
  CHECK(milo_run_execute(s.executable, &s.x, own, &s.diag) == MILO_ERR_INVALID);
  CHECK(milo_run_execute(s.executable, &s.x, little, &s.diag) == MILO_ERR_INVALID);
  CHECK(milo_run_execute(s.executable, &small, good, &s.diag) == MILO_ERR_INVALID);
  CHECK(s.diag.errors == 5);
  milo_buffer_release(small);
  tear_down(&s);
}

// x is given to y, and z still gets what x was.
static void test_donated_input(void) {
  const milo_alias alias = {.input = 0, .output = 0};
  const milo_executable_options options = {.aliases = &alias, .alias_count = 1};
  setup s = set_up(&options);
  milo_buffer *const outputs[] = {s.x, s.z};
  CHECK(milo_run_execute(s.executable, &s.x, outputs, &s.diag) == MILO_OK);
  CHECK_NEAR(((float *)milo_buffer_host(s.x))[1], 4, 0);
  CHECK_NEAR(((float *)s.z->data)[1], 2, 0);
  tear_down(&s);
}

static void test_too_large(void) {
  milo_diag diag = {0};
  milo_buffer *buffer;
  CHECK(milo_buffer_alloc(SIZE_MAX / 2, &diag, &buffer) == MILO_ERR_NO_MEMORY);
  CHECK(buffer == NULL);
  // 2^52 bytes, more than any address space
  check_refused("fp32[1] x = 1",
                "tensor<fp32, [1, 1, 1]> e = expand_dims(x = x, axes = tensor<int32, [2]>([0, 1]))"
                "[name = string(\"e\")];"
                "tensor<fp32, [1048576, 1048576, 1024]> h = tile(x = e, "
                "reps = tensor<int32, [3]>([1048576, 1048576, 1024]))[name = string(\"h\")];"
                "tensor<fp32, []> y = reduce_sum(x = h)[name = string(\"y\")];",
                "fp32[] y = 0", MILO_ERR_NO_MEMORY, "no memory for h");
  milo_device *device;
  CHECK(milo_device_open("abacus", &host, &diag, &device) == MILO_ERR_NOT_FOUND);
  milo_diag_deinit(&diag);
}

int main(void) {
  RUN(test_cases);
  RUN(test_every_row_is_defined);
  RUN(test_whole_equals_expanded);
  RUN(test_bad_indices);
  RUN(test_extreme_indices);
  RUN(test_every_unsupported_op_is_named);
  RUN(test_run_checks_buffers);
  RUN(test_donated_input);
  RUN(test_too_large);
  return tap_done();
}
