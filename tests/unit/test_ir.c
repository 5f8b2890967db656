// SPDX-License-Identifier: MIT
// The representation's data structure: building, naming, replacing, cloning, reading.
#include "base/number.h"
#include "ir/builder.h"
#include "ir/op.h"
#include "tap.h"

static milo_type matrix(int64_t rows, int64_t columns) {
  return milo_type_tensor(MILO_FP32, 2, (int64_t[]){rows, columns});
}

static void test_table(void) {
  for (int code = MILO_OP_unknown + 1; code < MILO_OP_COUNT; code++) {
    const milo_op_info *info = milo_op_info_get((milo_opcode)code);
    CHECK(info->name != NULL && info->infer != NULL);
    CHECK(milo_opcode_find(info->name) == (milo_opcode)code);
    const bool composite = (info->traits & MILO_OP_COMPOSITE) != 0;
    CHECK(!composite || (info->traits & MILO_OP_VIEW) == 0);
    size_t count = 0;
    for (const milo_param *p = info->params; p->name != NULL; p++, count++) {
      CHECK(milo_op_param((milo_opcode)code, p->name) == p);
      CHECK(p->fallback == NULL || (p->flags & MILO_PARAM_OPTIONAL) != 0);
      CHECK(p->type > MILO_PARAM_I || info->domain[p->type] != 0);
    }
    CHECK(count < MILO_MAX_PARAMS);
  }
  CHECK(milo_opcode_find("no_such_operation") == MILO_OP_unknown);
}

static void test_types(void) {
  milo_arena arena = {0};
  const milo_type known = matrix(2, 3), unknown = matrix(MILO_DIM_UNKNOWN, 3);
  CHECK(!milo_type_equal(&known, &unknown) && milo_type_compatible(&known, &unknown));
  CHECK(milo_type_is_static(&known) && !milo_type_is_static(&unknown));
  CHECK(milo_type_elements(&known) == 6 && milo_type_bytes(&known) == 24);
  CHECK_STR(milo_type_format(&arena, &unknown, true), "tensor<fp32, [?, 3]>");
  const milo_type scalar = milo_type_scalar(MILO_INT32);
  CHECK_STR(milo_type_format(&arena, &scalar, true), "int32");
  CHECK_STR(milo_type_format(&arena, &scalar, false), "tensor<int32, []>");
  const milo_type list = {.kind = MILO_TYPE_LIST, .elems = &scalar, .length = MILO_DIM_UNKNOWN};
  CHECK_STR(milo_type_format(&arena, &list, true), "list<int32, ?>");
  const milo_type pair[] = {scalar, list};
  const milo_type dict = {.kind = MILO_TYPE_DICT, .elems = pair};
  CHECK_STR(milo_type_format(&arena, &dict, true), "dict<int32, list<int32, ?>>");
  milo_arena_deinit(&arena);
}

// y = (x + x) * 3; returns y.
static milo_value *build(milo_func *func, milo_diag *diag) {
  milo_value *x = milo_func_add_param(func, "x", matrix(2, 3));
  milo_builder b = milo_builder_at_end(func, diag);
  milo_value *y = milo_b_scale(&b, milo_b_add(&b, x, x), 3);
  CHECK(b.status == MILO_OK);
  milo_func_add_output(func, y);
  return y;
}

static void test_build_and_clone(void) {
  milo_diag diag = {0};
  milo_program *program = milo_program_create();
  milo_func *func = milo_program_add_func(program, "main", "ios17");
  milo_value *y = build(func, &diag);
  const milo_type type = matrix(2, 3);
  CHECK(milo_type_equal(&y->type, &type));
  CHECK(milo_ir_verify(program, &diag) == MILO_OK);

  // A copy in another program outlives the original.
  milo_program *other = milo_program_create();
  milo_func *copy = milo_func_clone(other, func, "copy");
  milo_program_destroy(program);
  CHECK(milo_ir_verify(other, &diag) == MILO_OK);
  CHECK(copy->body->output_count == 1 && copy->body->outputs[0]->def->code == MILO_OP_mul);
  const milo_literal *three = milo_value_constant(milo_op_in(copy->body->outputs[0]->def, "y"));
  CHECK(three != NULL && milo_literal_number(three, 0) == 3.0);
  CHECK_STR(milo_diag_text(&diag), "");
  milo_program_destroy(other);
  milo_diag_deinit(&diag);
}

static void test_fresh_names(void) {
  milo_program *program = milo_program_create();
  milo_func *func = milo_program_add_func(program, "main", NULL);
  milo_func_add_param(func, "add", matrix(1, 1));
  milo_func_add_param(func, "add_1", matrix(1, 1));
  const char *first = milo_func_fresh_name(func, "add");
  const char *second = milo_func_fresh_name(func, "add");
  CHECK(strcmp(first, "add") != 0 && strcmp(first, "add_1") != 0 && strcmp(first, second) != 0);
  CHECK_STR(milo_func_fresh_name(func, "free"), "free");
  milo_program_destroy(program);
}

static void test_builder_stops_at_the_first_error(void) {
  milo_diag diag = {0};
  milo_program *program = milo_program_create();
  milo_func *func = milo_program_add_func(program, "main", NULL);
  milo_value *x = milo_func_add_param(func, "x", matrix(2, 3));
  milo_value *z = milo_func_add_param(func, "z", matrix(4, 5));
  milo_builder b = milo_builder_at_end(func, &diag);
  milo_value *bad = milo_b_add(&b, x, z);
  CHECK(bad == NULL && b.status == MILO_ERR_INVALID && diag.errors == 1);
  milo_value *after = milo_b_scale(&b, milo_b_matmul(&b, bad, x, false, true), 2);
  CHECK(after == NULL && diag.errors == 1);
  CHECK(func->body->first == NULL);
  milo_program_destroy(program);
  milo_diag_deinit(&diag);
}

static void test_defaults(void) {
  milo_diag diag = {0};
  milo_program *program = milo_program_create();
  milo_func *func = milo_program_add_func(program, "main", NULL);
  milo_value *x = milo_func_add_param(func, "x", matrix(2, 3));
  milo_builder b = milo_builder_at_end(func, &diag);
  milo_value *norm = EMIT(&b, layer_norm, {"x", x}, {"axes", milo_b_ints(&b, (int64_t[]){-1}, 1)});
  milo_value *gelu = EMIT(&b, gelu, {"x", norm});
  milo_value *soft = EMIT(&b, softmax, {"x", gelu});
  if (!CHECK(b.status == MILO_OK)) return;
  CHECK_NEAR(milo_op_float(norm->def, "epsilon"), 1e-5, 0);
  CHECK(milo_op_in(norm->def, "gamma") == NULL);
  int64_t axes[4];
  CHECK(milo_op_ints(norm->def, "axes", axes, 4) == 1 && axes[0] == -1);
  CHECK_STR(milo_op_string(gelu->def, "mode"), "EXACT");
  CHECK(milo_op_axis(soft->def, "axis", 2) == 1);
  milo_program_destroy(program);
  milo_diag_deinit(&diag);
}

int main(void) {
  RUN(test_table);
  RUN(test_types);
  RUN(test_build_and_clone);
  RUN(test_fresh_names);
  RUN(test_builder_stops_at_the_first_error);
  RUN(test_defaults);
  return tap_done();
}
