// SPDX-License-Identifier: MIT
// The verifier and specialisation: what is wrong is named, with its place; what is right passes.
#include "ir/op.h"
#include "tap.h"
#include "text/text.h"

// ---- texts ----

static milo_program *parse(const char *body) {
  milo_str text = {0};
  milo_str_printf(&text,
                  "program(1.3)\n{\nfunc main<ios18>(tensor<fp32, [2, 3]> x, "
                  "tensor<fp32, [?, 3]> f) {\n%s}\n",
                  body);
  milo_diag diag = {0};
  milo_program *program = NULL;
  if (!CHECK(milo_text_parse(text.data, text.bytes, "t", &diag, &program) == MILO_OK))
    printf("# %s\n", milo_diag_text(&diag));
  milo_diag_deinit(&diag);
  milo_str_deinit(&text);
  return program;
}

typedef struct text_case {
  const char *body;
  size_t errors;
  const char *wanted[4];  // parts of the messages
} text_case;

// The body begins in line 4.
static const text_case texts[] = {
    {"tensor<fp32, [2, 3]> y = add(x = x, y = x)[name = string(\"y\")];\n} -> (y);\n", 0, {0}},
    {"tensor<fp32, [2, 3]> y = mystery(a = x, zz = x)[odd = int32(1)];\n} -> (y);\n", 0, {0}},
    {"tensor<fp32, [?, ?]> y = add(x = x, y = f)[];\n} -> (y);\n", 0, {0}},
    {"} -> (x);\n", 0, {0}},
    {"tensor<fp32, [2, 4]> y = add(x = x, y = x);\n} -> (y);\n",
     1,
     {"t:4:", "result y is declared tensor<fp32, [2, 4]>", "but is tensor<fp32, [2, 3]>"}},
    {"tensor<fp16, [2, 3]> y = exp(x = x);\n} -> (y);\n", 1, {"declared tensor<fp16"}},
    {"tensor<fp32, [6]> y = exp(x = x);\n} -> (y);\n", 1, {"declared tensor<fp32, [6]>"}},
    {"tensor<fp32, [2, 3]> y = add(x = x);\n} -> (y);\n", 1, {"add lacks its argument y"}},
    {"tensor<fp32, [2, 2]> y = matmul(x = x, y = x, transpos_y = bool(true));\n} -> (y);\n",
     1,
     {"matmul has no parameter transpos_y", "hint: did you mean transpose_y?"}},
    {"tensor<fp32, [2, 3]> y = exp(x = x, qqqqqq = x);\n} -> (y);\n",
     1,
     {"exp has no parameter qqqqqq", "hint: its parameters are x"}},
    {"tensor<fp32, [2, 3]> y = softmax(x = x, axis = x);\n} -> (y);\n",
     1,
     {"softmax.axis has element type fp32, expected one of int8"}},
    {"int32 n = mystery(x = x);\ntensor<fp32, [2, 3]> y = softmax(x = x, axis = n);\n} -> (y);\n",
     1,
     {"t:5:", "softmax.axis must be a constant, but n is computed"}},
    {"tensor<fp32, [2, 3]> y = add(x = x, y = tensor<fp32, [?]>([1, 2, 3]));\n} -> (y);\n",
     1,
     {"t:4:", "add: a constant of type tensor<fp32, [?]>, whose shape is not known"}},
    {"tensor<fp32, [2, 3]> y = exp(x = (x, x));\n} -> (y);\n", 1, {"exp.x takes one value, not 2"}},
    {"tensor<fp32, [2, 3]> y, tensor<fp32, [2, 3]> z = exp(x = x);\n} -> (y);\n",
     1,
     {"exp has 2 results, expected 1"}},
    {"tensor<fp32, [2, 3]> y = exp(x = x);\ntensor<fp32, [2, 3]> y = exp(x = y);\n} -> (y);\n",
     1,
     {"t:5:", "y is defined twice", "hint: every value needs a name of its own"}},
    {"tensor<fp32, [2, 3]> x = exp(x = x);\n} -> (x);\n", 1, {"x is defined twice"}},
    // Several faults, each at its place; what a fault declares is taken for what follows.
    {"tensor<fp32, [3, 2]> a = exp(x = x);\n"
     "tensor<fp32, [3, 2]> b = transpose(x = x, perm = tensor<int32, [2]>([0, 0]));\n"
     "tensor<fp32, [3, 4]> c = add(x = a, y = b);\n} -> (c);\n",
     3,
     {"t:4:", "t:5:", "t:6:", "transpose.perm names axis 0 twice"}},
};

static void test_texts(void) {
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    milo_program *program = parse(texts[i].body);
    if (program == NULL) continue;
    milo_diag diag = {0};
    const milo_status status = milo_ir_verify(program, &diag);
    bool held = CHECK((status == MILO_OK) == (texts[i].errors == 0));
    held = CHECK(diag.errors == texts[i].errors) && held;
    for (size_t k = 0; k < 4 && texts[i].wanted[k] != NULL; k++)
      held = CHECK(strstr(milo_diag_text(&diag), texts[i].wanted[k]) != NULL) && held;
    if (!held) printf("# %s# %s\n", texts[i].body, milo_diag_text(&diag));
    milo_diag_deinit(&diag);
    milo_program_destroy(program);
  }
}

// ---- what a text cannot say ----

static milo_type vector(int64_t length) { return milo_type_tensor(MILO_FP32, 1, &length); }

static milo_op *add_exp(milo_block *block, milo_value *x, const char *name) {
  milo_op *op = milo_op_create(block, NULL, "exp", MILO_NO_LOC);
  milo_op_add_arg(op, "x", &x, 1);
  milo_op_add_result(op, name, x->type);
  return op;
}

// Verifies and frees; whether the one error has the part (NULL: there is none).
static bool verifies(milo_program *program, const char *part) {
  milo_diag diag = {0};
  const milo_status status = milo_ir_verify(program, &diag);
  const bool held = part == NULL ? status == MILO_OK && diag.errors == 0
                                 : status == MILO_ERR_INVALID && diag.errors == 1 &&
                                       strstr(milo_diag_text(&diag), part) != NULL;
  if (!held) printf("# %s\n", milo_diag_text(&diag));
  milo_diag_deinit(&diag);
  milo_program_destroy(program);
  return held;
}

static milo_func *new_func(milo_value **out_x) {
  milo_func *func = milo_program_add_func(milo_program_create(), "main", "ios18");
  *out_x = milo_func_add_param(func, "x", vector(4));
  return func;
}

static void test_order(void) {
  milo_value *x;
  milo_func *func = new_func(&x);
  milo_op *first = add_exp(func->body, x, "a");
  milo_op *second = add_exp(func->body, first->results[0], "b");
  milo_func_add_output(func, second->results[0]);
  milo_op_move_before(second, first);
  CHECK(verifies(func->program, "exp.x is a, which is not defined before"));

  func = new_func(&x);
  first = add_exp(func->body, x, "a");
  milo_func_add_output(func, first->results[0]);
  milo_op_remove(first);
  CHECK(verifies(func->program, "the output a is not defined"));
}

static void test_arguments_twice(void) {
  milo_value *x;
  milo_func *func = new_func(&x);
  milo_op *op = add_exp(func->body, x, "a");
  milo_op_add_arg(op, "x", &x, 1);
  CHECK(verifies(func->program, "exp.x is given twice"));
}

// Two blocks that use the same names; what they define ends with them.
static void test_blocks(void) {
  for (int inner_used = 0; inner_used < 2; inner_used++) {
    milo_value *x;
    milo_func *func = new_func(&x);
    milo_op *loop = milo_op_create(func->body, NULL, "loop_to_come", MILO_NO_LOC);
    milo_op_add_arg(loop, "loop_vars", &x, 1);
    milo_value *inner = NULL;
    for (int i = 0; i < 2; i++) {
      milo_block *block = milo_op_add_block(loop);
      milo_value *i_value = milo_block_add_param(block, "i", x->type);
      milo_op *op = add_exp(block, i_value, "next");
      add_exp(block, x, "outer");
      inner = op->results[0];
      MILO_PUSH(&func->program->arena, block->outputs, block->output_count, block->output_capacity,
                inner);
    }
    milo_value *result = milo_op_add_result(loop, "result", x->type);
    milo_func_add_output(func, inner_used ? inner : result);
    CHECK(verifies(func->program, inner_used ? "the output next is not defined" : NULL));
  }
  milo_value *x;
  milo_func *func = new_func(&x);
  milo_block_add_param(
      milo_op_add_block(milo_op_create(func->body, NULL, "choice_to_come", MILO_NO_LOC)), "x",
      x->type);
  CHECK(verifies(func->program, "x is defined twice"));
}

static void test_functions_have_names_of_their_own(void) {
  milo_value *x;
  milo_func *func = new_func(&x);
  milo_program_add_func(func->program, "main", "ios18");
  CHECK(verifies(func->program, "function main is defined twice"));
}

static void test_many_values(void) {
  milo_value *x;
  milo_func *func = new_func(&x);
  milo_value *value = x;
  char name[16];
  for (int i = 0; i < 5000; i++) {
    snprintf(name, sizeof name, "v%d", i);
    value = add_exp(func->body, value, name)->results[0];
  }
  add_exp(func->body, value, "v77");
  CHECK(verifies(func->program, "v77 is defined twice"));
}

// ---- specialisation ----

static const char flexible[] =
    "tensor<fp32, [?, 3]> a = exp(x = f);\n"
    "tensor<fp32, [?, 5]> u = mystery(x = a);\n"
    "tensor<fp32, [?, ?, 5]> e = expand_dims(x = u, axes = tensor<int32, [1]>([0]));\n"
    "tensor<fp32, [?, ?]> s = reshape(x = a, shape = tensor<int32, [2]>([-1, 6]));\n"
    "} -> (s);\n";

static void test_specialize(void) {
  milo_program *program = parse(flexible);
  if (program == NULL) return;
  milo_func *func = milo_program_find_func(program, "main");
  const milo_type types[] = {milo_type_tensor(MILO_FP32, 2, (int64_t[]){2, 3}),
                             milo_type_tensor(MILO_FP32, 2, (int64_t[]){4, 3})};
  milo_diag diag = {0};
  CHECK(milo_func_specialize(func, types, &diag) == MILO_OK);
  static const char *const wanted[] = {"tensor<fp32, [4, 3]>", "tensor<fp32, [?, 5]>",
                                       "tensor<fp32, [1, ?, 5]>", "tensor<fp32, [2, 6]>"};
  size_t i = 0;
  for (const milo_op *op = func->body->first; op != NULL; op = op->next)
    if (op->code != MILO_OP_const && CHECK(i < 4))
      CHECK_STR(milo_type_format(&program->arena, &op->results[0]->type, true), wanted[i++]);
  CHECK(i == 4);
  CHECK(milo_ir_verify(program, &diag) == MILO_OK);
  milo_diag_deinit(&diag);
  milo_program_destroy(program);
}

static void test_specialize_refuses(void) {
  // 3 rows of 3 do not fill rows of 6; 4 columns are not what the function takes.
  static const int64_t dims[][2] = {{3, 3}, {4, 4}};
  static const char *const wanted[] = {"does not fill", "input f of function main is"};
  for (int i = 0; i < 2; i++) {
    milo_program *program = parse(flexible);
    if (program == NULL) return;
    const milo_type types[] = {milo_type_tensor(MILO_FP32, 2, (int64_t[]){2, 3}),
                               milo_type_tensor(MILO_FP32, 2, dims[i])};
    milo_diag diag = {0};
    CHECK(milo_func_specialize(milo_program_find_func(program, "main"), types, &diag) ==
          MILO_ERR_INVALID);
    if (!CHECK(diag.errors == 1 && strstr(milo_diag_text(&diag), wanted[i]) != NULL))
      printf("# %s\n", milo_diag_text(&diag));
    milo_diag_deinit(&diag);
    milo_program_destroy(program);
  }
}

int main(void) {
  RUN(test_texts);
  RUN(test_order);
  RUN(test_arguments_twice);
  RUN(test_blocks);
  RUN(test_functions_have_names_of_their_own);
  RUN(test_many_values);
  RUN(test_specialize);
  RUN(test_specialize_refuses);
  return tap_done();
}
