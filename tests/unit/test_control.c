// SPDX-License-Identifier: MIT
// cond, while_loop, lists and states: their types, what runs, what passes make of them, gradients.
#include <stdlib.h>

#include "base/memory.h"
#include "mil_short.h"
#include "op_run.h"
#include "pass/pass.h"

static milo_diag diag;

static milo_program *parse(const char *inputs, const char *body, const char *outputs) {
  char *text = mil_short(inputs, body, outputs);
  milo_program *program = NULL;
  if (!CHECK(milo_text_parse(text, strlen(text), "t.mil", &diag, &program) == MILO_OK))
    printf("# %s\n", milo_diag_text(&diag));
  free(text);
  return program;
}

static milo_device *open_device(const char *name) {
  static const milo_host host = {0};
  milo_device *device = NULL;
  CHECK(milo_device_open(name, &host, &diag, &device) == MILO_OK);
  return device;
}

// Runs func on every device and compares.
static void check_func(const milo_func *func, const char *inputs, const char *wanted) {
  static run_tensors in, out, right;
  for (size_t d = 0; milo_device_types[d] != NULL; d++) {
    milo_device *device = open_device(milo_device_types[d]->name);
    run_parse(inputs, &in);
    run_parse(wanted, &right);
    run_parse(wanted, &out);
    if (!CHECK(run_func(device, func, &in, &out, &diag) == MILO_OK) ||
        !CHECK(run_compare(&out, &right, 4)))
      printf("# on %s: %s\n", milo_device_types[d]->name, milo_diag_text(&diag));
    milo_diag_clear(&diag);
    milo_device_close(device);
  }
}

// ---- types ----

#define LOOP(vars, params, test, body) \
  "while_loop(loop_vars = " vars ") (" params ") {" test " (" params ") {" body ";\n"

#define LIST "list<f[2], 3> l = make_list(init_length = int32(3), elem_shape = int32(2));\n"

static void test_types(void) {
  static const struct {
    const char *body, *said;  // NULL: good
  } cases[] = {
      {"f[2] y = cond(pred = p) () {} -> (x) () {} -> (x);", NULL},
      {"f[?] y = cond(pred = p) () {} -> (x) () {} -> (z);", NULL},
      {"f[2] y = cond(pred = p) () {} -> (x) () {} -> (z);", NULL},
      {"f[3, 1] y = cond(pred = p) () {} -> (x) () {} -> (x);", "is declared tensor<fp32, [3, 1]>"},
      {"f[2] y = cond(pred = p) () {} -> (x) () {} -> (n);", "its blocks give x, which is"},
      {"f[2] y = cond(pred = x) () {} -> (x) () {} -> (x);", "cond.pred has element type fp32"},
      {"f[2] y = cond(pred = many) () {} -> (x) () {} -> (x);", "expected one bool"},
      {"f[2] y = cond(pred = p) () {} -> (x);", "holds 1 blocks, expected 2"},
      {"f[2] y = cond(pred = p) () {} -> (x) () {} -> ();", "the second block gives 0 values"},
      {"f[2] y = cond(pred = p) (f[2] q) {} -> (x) () {} -> (x);", "the first block has 1 param"},
      {"f[2] y = add(x = x, y = x) () {} -> (x);", "add holds 1 blocks, expected 0"},
      {"f[2] y = " LOOP("x", "f[2] v", "} -> (p)", "} -> (v)"), NULL},
      {"f[?] y = " LOOP("x", "f[?] v", "} -> (p)", "} -> (z)"), NULL},
      {"f[2] y = " LOOP("x", "f[2] v", "} -> (p)", "} -> (z)"), "but the body makes it z"},
      {"f[2] y = " LOOP("x", "f[3] v", "} -> (p)", "} -> (v)"), "but the blocks take v as"},
      {"f[2] y = " LOOP("x", "f[2] v", "} -> (v)", "} -> (v)"), "v is tensor<fp32, [2]>, expected"},
      {"f[2] y = " LOOP("x", "f[2] v", "} -> (p, p)", "} -> (v)"), "gives 2 values, expected 1"},
      {"f[2] y = " LOOP("(x, x)", "f[2] v", "} -> (p)", "} -> (v)"), "1 parameters, expected 2"},
      {"f[2] y = " LOOP("x", "f[2] v", "} -> (p)", "} -> (v, v)"), "gives 2 values, expected 1"},
      {"f[2] y = while_loop() () {} -> (p) () {} -> ();", "lacks its argument loop_vars"},
      {LIST "f[2] y = list_read(ls = l, index = int32(0));", NULL},
      {LIST "f[3] y = list_read(ls = l, index = int32(0));", "y is declared tensor<fp32, [3]>"},
      {LIST "f[2] y = list_read(ls = x, index = int32(0));", "list_read.ls is tensor<fp32, [2]>"},
      {LIST "f[2] y = list_read(ls = l, index = n);", "list_read.index"},
      {LIST "f[2] y = list_read(ls = l, index = x);", "list_read.index has element type fp32"},
      {LIST "list<f[2], 3> y = list_write(ls = l, index = int32(0), value = x);", NULL},
      {LIST "list<f[2], 3> y = list_write(ls = l, index = int32(0), value = z);",
       "list_write.value is tensor<fp32, [3]>, but the list holds tensor<fp32, [2]>"},
      {LIST "list<f[2], 4> y = list_write(ls = l, index = int32(0), value = x);", "y is declared"},
      {LIST "list<f[2], 3> y = list_write(ls = x, index = int32(0), value = x);", "list_write.ls"},
      {LIST "f[2, 2] y = list_gather(ls = l, indices = n);", NULL},
      {LIST "f[2, 2] y = list_gather(ls = l, indices = int32(1));", "list_gather.indices"},
      {LIST "f[2, 2] y = list_gather(ls = n, indices = n);", "list_gather.ls"},
      {LIST "list<f[2], 3> y = list_scatter(ls = l, indices = n, value = x);", "scatter.value"},
      {LIST "list<f[2], 3> y = list_scatter(ls = z, indices = n, value = x);", "list_scatter.ls"},
      {LIST "int32 y = list_length(ls = l);", NULL},
      {LIST "int32 y = list_length(ls = x);", "list_length.ls"},
      {"list<f[2, 3], 1> y = make_list(elem_shape = (int32(2), int32(3)));", NULL},
      {"list<f[2, ?], ?> y = make_list(elem_shape = (int32(2), string(\"s\")));", NULL},
      {"list<f[2], 1> y = make_list(elem_shape = int32(-2));", "make_list.elem_shape holds -2"},
      {"list<f[2], 1> y = make_list(init_length = int32(-2));", "make_list.init_length is -2"},
      {"list<f[2], 1> y = make_list(dtype = string(\"string\"));", "make_list.dtype"},
      {"list<f[2], 1> y = make_list(elem_shape = (int32(2147483647), int32(2147483647), "
       "int32(2147483647)));",
       "make_list"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    milo_program *program =
        parse("bool p, tensor<bool, [2]> many, f[2] x, f[3] z, i[2] n", cases[i].body, "y");
    const milo_status status = milo_ir_verify(program, &diag);
    const bool right =
        cases[i].said == NULL
            ? status == MILO_OK
            : status == MILO_ERR_INVALID && strstr(milo_diag_text(&diag), cases[i].said) != NULL;
    if (!CHECK(right)) printf("# %s\n# %s\n", cases[i].body, milo_diag_text(&diag));
    milo_diag_clear(&diag);
    milo_program_destroy(program);
  }
}

// Parameters of blocks get their types from what enters them.
static void test_specialized(void) {
  milo_program *program = parse(
      "f[?] x, bool p",
      "f[?] y, f[?] z = while_loop(loop_vars = (x, x)) (f[?] v, f[?] w) {} -> (p) (f[?] v, f[?] w) "
      "{\nf[?] s = cond(pred = p) () {\nf[?] a = exp(x = v);\n} -> (a) () {} -> (v);\n"
      "f[?] t = concat(values = (w, w), axis = int32(0), interleave = bool(false));\n} -> (s, t);",
      "y, z");
  milo_func *func = program->funcs[0];
  const milo_type types[] = {milo_type_tensor(MILO_FP32, 1, (int64_t[]){5}),
                             milo_type_scalar(MILO_BOOL)};
  CHECK(milo_ir_verify(program, &diag) == MILO_OK);
  if (!CHECK(milo_func_specialize(func, types, &diag) == MILO_OK))
    printf("# %s\n", milo_diag_text(&diag));
  const milo_op *loop = func->body->first;
  for (int i = 0; i < 2; i++) {
    CHECK(loop->blocks[i]->params[0]->type.dims[0] == 5);
    CHECK(loop->blocks[i]->params[1]->type.dims[0] == MILO_DIM_UNKNOWN);  // it grows
  }
  CHECK(loop->blocks[1]->first->results[0]->type.dims[0] == 5);
  CHECK(loop->results[0]->type.dims[0] == 5);
  CHECK(loop->results[1]->type.dims[0] == MILO_DIM_UNKNOWN);
  CHECK(milo_ir_verify(program, &diag) == MILO_OK);
  milo_program_destroy(program);
}

// ---- running ----

// A loop in a loop in a branch, values from all levels around, constants too.
static void test_nested(void) {
  milo_program *program =
      parse("f[] x, bool p",
            "fp32 h = add(x = x, y = fp32(1));\nfp32 three = const()[val = fp32(3)];\n"
            "fp32 y = cond(pred = p) () {\n"
            "fp32 u, fp32 c = while_loop(loop_vars = (h, fp32(0))) (fp32 a, fp32 i) {\n"
            "bool on = less(x = i, y = three);\n} -> (on) (fp32 a, fp32 i) {\n"
            "fp32 b, fp32 j = while_loop(loop_vars = (a, fp32(0))) (fp32 d, fp32 k) {\n"
            "bool go = less(x = k, y = i);\n} -> (go) (fp32 d, fp32 k) {\n"
            "fp32 m = add(x = d, y = h);\nfp32 l = add(x = k, y = fp32(1));\n} -> (m, l);\n"
            "fp32 e = mul(x = b, y = x);\nfp32 n = add(x = i, y = fp32(1));\n} -> (e, n);\n} -> "
            "(u) () {\n"
            "} -> (three);\nfp32 z = add(x = y, y = h);",
            "y, z");
  const milo_func *func = program->funcs[0];
  // a = 3: 3 * 2; (6 + 3) * 2; (18 + 6) * 2
  check_func(func, "fp32[] x = 2; bool[] p = 1", "fp32[] y = 48; fp32[] z = 51");
  check_func(func, "fp32[] x = 2; bool[] p = 0", "fp32[] y = 3; fp32[] z = 6");
  milo_program_destroy(program);
}

// A variable that grows, then one number of it.
static void test_growing(void) {
  milo_program *program =
      parse("f[1] x",
            "f[?] y, int32 n = while_loop(loop_vars = (x, int32(0))) (f[?] v, int32 i) {\n"
            "bool on = less(x = i, y = int32(4));\n} -> (on) (f[?] v, int32 i) {\n"
            "f[?] w = concat(values = (v, v), axis = int32(0), interleave = bool(false));\n"
            "int32 j = add(x = i, y = int32(1));\n} -> (w, j);\n"
            "fp32 s = reduce_sum(x = y, axes = tensor<int32, [1]>([0]), keep_dims = bool(false));",
            "s, n");
  check_func(program->funcs[0], "fp32[1] x = 3", "fp32[] s = 48; int32[] n = 4");
  milo_program_destroy(program);
}

// 4 MiB a round, given back after each.
static void test_memory(void) {
  milo_program *program = parse(
      "f[1048576] x",
      "f[1048576] y, int32 n = while_loop(loop_vars = (x, int32(0))) (f[1048576] v, int32 i) {\n"
      "bool on = less(x = i, y = int32(40));\n} -> (on) (f[1048576] v, int32 i) {\n"
      "f[1048576] w = add(x = v, y = fp32(1));\nint32 j = add(x = i, y = int32(1));\n} -> (w, j);",
      "y, n");
  milo_device *device = open_device("ref");
  milo_run *run = NULL;
  milo_buffer *x = NULL, *y = NULL, *n = NULL;
  CHECK(milo_run_compile(device, program->funcs[0], NULL, &diag, &run) == MILO_OK);
  CHECK(milo_buffer_alloc(4 << 20, &diag, &x) == MILO_OK);
  CHECK(milo_buffer_alloc(4 << 20, &diag, &y) == MILO_OK);
  CHECK(milo_buffer_alloc(4, &diag, &n) == MILO_OK);
  const uint64_t before = milo_peak_memory_bytes();
  if (CHECK(run != NULL))
    CHECK(milo_run_execute(run, &x, (milo_buffer *[]){y, n}, &diag) == MILO_OK);
  CHECK(((const float *)milo_buffer_host(y))[77] == 40);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  (void)before;  // sanitizers keep freed memory
#else
  CHECK(milo_peak_memory_bytes() - before < 100 << 20);  // seen: 16 MiB
#endif
  milo_buffer_release(x);
  milo_buffer_release(y);
  milo_buffer_release(n);
  milo_run_destroy(run);
  milo_device_close(device);
  milo_program_destroy(program);
}

static void test_refused(void) {
  milo_program *program =
      parse("tensor<bool, [?]> p, f[2] x",
            "tensor<bool, [?]> q = non_zero_or_not(x = p);\nf[2] y = cond(pred = p) () {\n"
            "f[2] a = strange(x = x);\n} -> (a) () {} -> (x);",
            "y");
  milo_device *device = open_device("cpu");
  milo_run *run = NULL;
  CHECK(milo_run_compile(device, program->funcs[0], NULL, &diag, &run) == MILO_ERR_UNSUPPORTED);
  CHECK(strstr(milo_diag_text(&diag), "does not support strange") != NULL);
  milo_diag_clear(&diag);
  milo_program_destroy(program);

  // cpu does not run them itself, and says so; ref does.
  program = parse("bool p, f[2] x", "f[2] y = cond(pred = p) () {} -> (x) () {} -> (x);", "y");
  const milo_executable_options strict = {.strict = true};
  CHECK(milo_run_compile(device, program->funcs[0], &strict, &diag, &run) == MILO_ERR_UNSUPPORTED);
  CHECK(strstr(milo_diag_text(&diag), "device cpu does not support cond") != NULL);
  milo_diag_clear(&diag);
  CHECK(milo_run_compile(device, program->funcs[0], NULL, &diag, &run) == MILO_OK);
  CHECK_STR(milo_executable_fallbacks(milo_run_executable(run)),
            "y: cond runs on ref, not on cpu\n");
  milo_run_destroy(run);
  milo_device_close(device);
  device = open_device("ref");
  CHECK(milo_run_compile(device, program->funcs[0], &strict, &diag, &run) == MILO_OK);
  CHECK_STR(milo_executable_fallbacks(milo_run_executable(run)), "");
  milo_run_destroy(run);
  milo_device_close(device);
  milo_program_destroy(program);
}

// What a list is asked for that it does not have.
static void test_bad_lists(void) {
  static const struct {
    const char *body, *said;
  } cases[] = {
      {"f[2] y = list_read(ls = l, index = i);", "list_read: index 3 of a list of 3"},
      {"f[2, 2] y = list_gather(ls = l, indices = k);", "list_gather: index -1 of a list of 3"},
      {"list<f[2], 3> m = list_scatter(ls = l, indices = k, value = z);\n"
       "f[2] y = list_read(ls = m, index = int32(0));",
       "list_scatter: index -1 of a list of 3"},
      {"list<f[2], 3> m = make_list(init_length = int32(3), elem_shape = int32(2), "
       "dynamic_length = bool(false));\n"
       "list<f[2], 3> o = list_write(ls = m, index = i, value = x);\n"
       "f[2] y = list_read(ls = o, index = int32(0));",
       "list_write: index 3 of a list of 3"},
      {"list<f[?], 3> m = make_list(init_length = int32(3), elem_shape = string(\"n\"));\n"
       "f[2] y = list_read(ls = m, index = int32(2));",
       "element 2 of the list was not written"},
      {"list<f[?], 3> m = make_list(init_length = int32(3), elem_shape = string(\"n\"));\n"
       "list<f[?], 3> o = list_write(ls = m, index = int32(0), value = x);\n"
       "f[3] y = list_read(ls = o, index = int32(0));",
       "y is declared tensor<fp32, [3]>, but is tensor<fp32, [2]> now"},
      {"list<f[2], 3> m = list_write(ls = l, index = int32(2147483646), value = x);\n"
       "f[2] y = list_read(ls = m, index = int32(0));",
       "no memory for a list"},
      {"list<f[2], ?> m = make_list(init_length = j, elem_shape = int32(2));\n"
       "f[2] y = list_read(ls = m, index = int32(0));",
       "make_list: init_length is -1"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char body[1024];
    snprintf(body, sizeof body, LIST "%s", cases[i].body);
    milo_program *program =
        parse("f[2] x, f[2, 2] z, int32 i, int32 j, tensor<int32, [2]> k", body, "y");
    milo_device *device = open_device("cpu");
    static run_tensors in, out;
    run_parse(
        "fp32[2] x = 1 2; fp32[2,2] z = 1 2 3 4; int32[] i = 3; int32[] j = -1; "
        "int32[2] k = 0 -1",
        &in);
    run_parse("fp32[2] y = 0 0", &out);
    if (!CHECK(run_func(device, program->funcs[0], &in, &out, &diag) != MILO_OK) ||
        !CHECK(strstr(milo_diag_text(&diag), cases[i].said) != NULL))
      printf("# %s\n# %s\n", cases[i].body, milo_diag_text(&diag));
    milo_diag_clear(&diag);
    milo_device_close(device);
    milo_program_destroy(program);
  }
}

// A list in a loop: 3,000 elements, each from the one before.
static void test_list_in_loop(void) {
  milo_program *program =
      parse("f[2] x",
            "list<f[2], 1> l = make_list(elem_shape = int32(2));\n"
            "list<f[2], 1> a = list_write(ls = l, index = int32(0), value = x);\n"
            "int32 n, list<f[2], 1> b = while_loop(loop_vars = (int32(1), a)) "
            "(int32 i, list<f[2], 1> c) {\nbool on = less(x = i, y = int32(3000));\n} -> (on) "
            "(int32 i, list<f[2], 1> c) {\nint32 k = sub(x = i, y = int32(1));\n"
            "f[2] last = list_read(ls = c, index = k);\nf[2] v = add(x = last, y = fp32(1));\n"
            "list<f[2], 1> d = list_write(ls = c, index = i, value = v);\n"
            "int32 j = add(x = i, y = int32(1));\n} -> (j, d);\n"
            "f[2] y = list_read(ls = b, index = int32(2999));\n"
            "f[2] z = list_read(ls = b, index = int32(5));\nint32 m = list_length(ls = b);",
            "y, z, m");
  check_func(program->funcs[0], "fp32[2] x = 1 -1",
             "fp32[2] y = 3000 2998; fp32[2] z = 6 4; int32[] m = 3000");
  milo_program_destroy(program);
}

// ---- states ----

#define STATEFUL "state<f[2]> s, f[2] x, bool p, i[2] n, f[3] z"

static void test_state_types(void) {
  static const struct {
    const char *body, *said;
  } cases[] = {
      {"f[2] y = read_state(input = s);", NULL},
      {"f[3] y = read_state(input = s);", "y is declared tensor<fp32, [3]>"},
      {"f[2] y = read_state(input = x);", "read_state.input is tensor<fp32, [2]>, expected"},
      {"write_state(input = s, data = x);\nf[2] y = exp(x = x);", NULL},
      {"write_state(input = s, data = z);\nf[2] y = exp(x = x);", "write_state.data is"},
      {"write_state(input = s, data = n);\nf[2] y = exp(x = x);", "write_state.data is"},
      {"write_state(input = x, data = x);\nf[2] y = exp(x = x);", "write_state.input is"},
      {"write_state(data = x);\nf[2] y = exp(x = x);", "lacks its argument input"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    milo_program *program = parse(STATEFUL, cases[i].body, "y");
    const milo_status status = milo_ir_verify(program, &diag);
    const bool right =
        cases[i].said == NULL
            ? status == MILO_OK
            : status == MILO_ERR_INVALID && strstr(milo_diag_text(&diag), cases[i].said) != NULL;
    if (!CHECK(right)) printf("# %s\n# %s\n", cases[i].body, milo_diag_text(&diag));
    milo_diag_clear(&diag);
    milo_program_destroy(program);
  }
}

// Reads see the writes before them, whatever passes do; a run leaves the last write. Two kernels on
// one program have states of their own.
static void test_state_over_runs(void) {
  char *text = mil_short(
      "state<f[2]> s, f[2] x, state<f[2]> only_read, state<f[2]> given, bool p",
      "f[2] a = read_state(input = s);\nf[2] b = add(x = a, y = x);\n"
      "write_state(input = s, data = b);\nf[2] c = read_state(input = s);\n"
      "f[2] d = cond(pred = p) () {\nf[2] e = read_state(input = s);\n} -> (e) () {} -> (x);\n"
      "write_state(input = s, data = x);\nf[2] w = mul(x = b, y = fp32(2));\n"
      "write_state(input = s, data = w);\nf[2] r = read_state(input = only_read);\n"
      "write_state(input = given, data = x);\n",
      "a, c, d, r");
  for (size_t d = 0; milo_device_name(d) != NULL; d++) {
    milo_ctx *ctx = NULL;
    milo_program *program = NULL;
    milo_kernel *kernels[2] = {NULL};
    milo_buffer *x = NULL, *given = NULL, *p = NULL;
    milo_compile_options options = MILO_OPTIONS_INIT(milo_compile_options);
    options.device = milo_device_name(d);
    const float one[2] = {1, 10};
    CHECK(milo_ctx_create(NULL, &ctx) == MILO_OK);
    CHECK(milo_program_parse(ctx, text, strlen(text), "s.mil", NULL, &program) == MILO_OK);
    milo_value_info in[5];
    CHECK(milo_program_inputs(program, NULL, in, 5) == 5);
    CHECK(in[0].dtype == MILO_FP32 && in[0].rank == 1 && in[0].shape[0] == 2);
    CHECK_STR(in[0].type, "state<tensor<fp32, [2]>>");
    if (!CHECK(milo_compile(ctx, program, &options, &kernels[0]) == MILO_OK))
      printf("# %s\n", milo_error(ctx));
    CHECK(milo_kernel_share(ctx, kernels[0], &kernels[1]) == MILO_OK);
    CHECK(milo_kernel_outputs(kernels[0], NULL, 0) == 4);
    CHECK(milo_buffer_create(ctx, 8, &x) == MILO_OK);
    CHECK(milo_buffer_create(ctx, 8, &given) == MILO_OK);
    CHECK(milo_buffer_create(ctx, 1, &p) == MILO_OK);
    CHECK(milo_buffer_write(x, 0, one, 8) == MILO_OK);
    CHECK(milo_buffer_write(p, 0, "\1", 1) == MILO_OK);
    for (int k = 0; k < 2; k++) {
      CHECK(milo_kernel_bind(kernels[k], "x", x) == MILO_OK);
      CHECK(milo_kernel_bind(kernels[k], "p", p) == MILO_OK);
    }
    CHECK(milo_kernel_bind(kernels[0], "given", given) == MILO_OK);
    // s: 0, then twice (s + x)
    static const float wanted[][2] = {{0, 0}, {2, 20}, {6, 60}};
    for (int run = 0; run < 3; run++) {
      float a[2] = {0}, c[2] = {0}, e[2] = {0}, r[2] = {1, 1};
      if (!CHECK(milo_kernel_run(kernels[0]) == MILO_OK)) printf("# %s\n", milo_error(ctx));
      CHECK(milo_buffer_read(milo_kernel_buffer(kernels[0], "a"), 0, a, 8) == MILO_OK);
      CHECK(milo_buffer_read(milo_kernel_buffer(kernels[0], "c"), 0, c, 8) == MILO_OK);
      CHECK(milo_buffer_read(milo_kernel_buffer(kernels[0], "d"), 0, e, 8) == MILO_OK);
      CHECK(milo_buffer_read(milo_kernel_buffer(kernels[0], "r"), 0, r, 8) == MILO_OK);
      for (int i = 0; i < 2; i++) {
        CHECK(a[i] == wanted[run][i] && c[i] == wanted[run][i] + one[i]);
        CHECK(e[i] == c[i] && r[i] == 0);
      }
    }
    float left[2] = {0}, mine[2] = {0}, other[2] = {1, 1};
    CHECK(milo_buffer_read(milo_kernel_buffer(kernels[0], "s"), 0, left, 8) == MILO_OK);
    CHECK(left[0] == 14 && left[1] == 140);
    CHECK(milo_buffer_read(given, 0, mine, 8) == MILO_OK);
    CHECK(mine[0] == 1 && mine[1] == 10);
    CHECK(milo_kernel_run(kernels[1]) == MILO_OK);
    CHECK(milo_buffer_read(milo_kernel_buffer(kernels[1], "a"), 0, other, 8) == MILO_OK);
    CHECK(other[0] == 0 && other[1] == 0);
    for (int k = 0; k < 2; k++) milo_kernel_destroy(kernels[k]);
    milo_buffer_release(x);
    milo_buffer_release(given);
    milo_buffer_release(p);
    milo_program_destroy(program);
    milo_ctx_destroy(ctx);
  }
  free(text);
}

static void test_state_refused(void) {
  milo_program *program = parse(STATEFUL,
                                "f[2] y = cond(pred = p) () {\nwrite_state(input = s, data = x);\n"
                                "} -> (x) () {} -> (x);",
                                "y");
  milo_device *device = open_device("cpu");
  milo_run *run = NULL;
  CHECK(milo_run_compile(device, program->funcs[0], NULL, &diag, &run) == MILO_ERR_UNSUPPORTED);
  CHECK(strstr(milo_diag_text(&diag), "write_state in a block of another operation") != NULL);
  milo_diag_clear(&diag);
  milo_program_destroy(program);
  program = parse("state<list<f[2], 3>> s, f[2] x", "f[2] y = exp(x = x);", "y");
  CHECK(milo_run_compile(device, program->funcs[0], NULL, &diag, &run) == MILO_ERR_UNSUPPORTED);
  CHECK(strstr(milo_diag_text(&diag), "input s is not a tensor of numbers") != NULL);
  milo_diag_clear(&diag);
  milo_program_destroy(program);
  program = parse("list<f[2], 3> s", "f[2] y = list_read(ls = s, index = int32(0));", "y");
  CHECK(milo_run_compile(device, program->funcs[0], NULL, &diag, &run) == MILO_ERR_UNSUPPORTED);
  CHECK(strstr(milo_diag_text(&diag), "input s is not a tensor of numbers") != NULL);
  milo_diag_clear(&diag);
  milo_program_destroy(program);
  milo_device_close(device);
}

// ---- gradients ----

static void test_gradient(void) {
  static const struct {
    const char *inputs, *wanted;
  } cases[] = {
      // h = x w; y = h^2 w: dx = 2 h w w, dw = 2 h x w + h^2
      {"bool[] p = 1; bool[] q = 1; fp32[2] x = 2 3; fp32[2] w = 5 -1; fp32[2] grad_y = 1 10",
       "fp32[2] y = 500 -9; fp32[2] grad_x = 500 -60; fp32[2] grad_w = 300 270"},
      // y = sin(x) of the branch in the branch
      {"bool[] p = 0; bool[] q = 1; fp32[2] x = 0 0; fp32[2] w = 5 -1; fp32[2] grad_y = 1 10",
       "fp32[2] y = 0 0; fp32[2] grad_x = 1 10; fp32[2] grad_w = 0 0"},
      {"bool[] p = 0; bool[] q = 0; fp32[2] x = 2 3; fp32[2] w = 5 -1; fp32[2] grad_y = 1 10",
       "fp32[2] y = 5 -1; fp32[2] grad_x = 0 0; fp32[2] grad_w = 1 10"},
  };
  for (int simplified = 0; simplified < 2; simplified++) {
    milo_program *program =
        parse("bool p, bool q, f[2] x, f[2] w",
              "f[2] h = mul(x = x, y = w);\nf[2] y = cond(pred = p) () {\nf[2] a = square(x = h);\n"
              "f[2] b = mul(x = a, y = w);\n} -> (b) () {\nf[2] c = cond(pred = q) () {\n"
              "f[2] d = sin(x = x);\n} -> (d) () {} -> (w);\n} -> (c);",
              "y");
    milo_func *func = program->funcs[0];
    milo_value *const wrt[] = {func->body->params[2], func->body->params[3]};
    const milo_pass_options passes = {0};
    if (!CHECK(milo_autodiff(func, wrt, 2, &diag) == MILO_OK) ||
        !CHECK(milo_ir_verify(program, &diag) == MILO_OK) ||
        (simplified && !CHECK(milo_pass_run_all(func, &passes, &diag) == MILO_OK)))
      printf("# %s\n", milo_diag_text(&diag));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
      check_func(func, cases[i].inputs, cases[i].wanted);
    milo_program_destroy(program);
  }
}

static void test_no_gradient(void) {
  milo_program *program = parse("bool p, f[2] x",
                                "f[2] y = while_loop(loop_vars = x) (f[2] v) {} -> (p) (f[2] v) {"
                                "\nf[2] w = exp(x = v);\n} -> (w);",
                                "y");
  CHECK(milo_autodiff(program->funcs[0], &program->funcs[0]->body->params[1], 1, &diag) ==
        MILO_ERR_UNSUPPORTED);
  CHECK(strstr(milo_diag_text(&diag), "while_loop has no gradient") != NULL);
  milo_diag_clear(&diag);
  milo_program_destroy(program);
}

int main(void) {
  RUN(test_types);
  RUN(test_specialized);
  RUN(test_nested);
  RUN(test_growing);
  RUN(test_memory);
  RUN(test_refused);
  RUN(test_bad_lists);
  RUN(test_list_in_loop);
  RUN(test_state_types);
  RUN(test_state_over_runs);
  RUN(test_state_refused);
  RUN(test_gradient);
  RUN(test_no_gradient);
  milo_diag_deinit(&diag);
  return tap_done();
}
