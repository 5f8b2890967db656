// SPDX-License-Identifier: MIT
// Canonicalisation: rewrites operations that do nothing, or do in two steps what one does.
//
//   before:  definitions come before uses
//   after:   no operation matches a rule below; what only replaced ones used may be left unused
//   cost:    one walk
//
// Every rule keeps values, infinities and NaNs exactly, for any input; only the sign of a zero may
// differ (x + 0 and a sum of one element keep a negative zero).

#include "base/number.h"
#include "ir/op.h"
#include "pass/pass.h"
#include "pass/rewrite.h"

// Returns a value equal to op's only result, which may be made with b (before op); NULL if the rule
// does not apply.
typedef milo_value *rule_fn(milo_builder *b, const milo_op *op);

// ---- what rules ask ----

static bool same_type(const milo_op *op, const milo_value *value) {
  return milo_type_equal(&op->results[0]->type, &value->type);
}

// A constant all of whose elements are one number.
static bool is_splat(const milo_value *value, double number) {
  const milo_literal *literal = milo_value_constant(value);
  if (literal == NULL || literal->type.kind != MILO_TYPE_TENSOR ||
      literal->type.dtype == MILO_STRING || !milo_type_is_static(&literal->type))
    return false;
  const size_t count = milo_type_elements(&literal->type);
  for (size_t i = 0; i < count; ++i)
    if (milo_literal_number(literal, i) != number) return false;  // -0 == 0
  return count > 0;
}

// The operation that defines value, if it is of that kind; NULL otherwise.
static const milo_op *defined_by(const milo_value *value, milo_opcode code) {
  return value->def != NULL && value->def->code == code ? value->def : NULL;
}

// Is the argument left out, or a constant with all elements equal to number?
static bool all_equal(const milo_op *op, const char *name, double number) {
  const milo_value *value = milo_op_in(op, name);
  return value == NULL || is_splat(value, number);
}

static milo_value *unless_changed(const milo_op *op, const char *name) {
  milo_value *x = milo_op_in(op, name);
  return same_type(op, x) ? x : NULL;
}

// ---- arithmetic ----

static milo_value *rule_add(milo_builder *b, const milo_op *op) {
  (void)b;
  milo_value *x = milo_op_in(op, "x"), *y = milo_op_in(op, "y");
  if (same_type(op, x) && is_splat(y, 0)) return x;
  return same_type(op, y) && is_splat(x, 0) ? y : NULL;
}

static milo_value *rule_sub(milo_builder *b, const milo_op *op) {
  (void)b;
  milo_value *x = milo_op_in(op, "x");
  return same_type(op, x) && is_splat(milo_op_in(op, "y"), 0) ? x : NULL;
}

// x * 1, and -(-x)
static milo_value *rule_mul(milo_builder *b, const milo_op *op) {
  (void)b;
  milo_value *x = milo_op_in(op, "x"), *y = milo_op_in(op, "y");
  if (milo_value_constant(x) != NULL) {
    milo_value *constant = x;
    x = y;
    y = constant;
  }
  if (!same_type(op, x)) return NULL;
  if (is_splat(y, 1)) return x;
  if (!is_splat(y, -1)) return NULL;
  const milo_op *inner = defined_by(x, MILO_OP_mul);
  if (inner == NULL) return NULL;
  milo_value *a = milo_op_in(inner, "x"), *c = milo_op_in(inner, "y");
  if (is_splat(c, -1) && same_type(op, a)) return a;
  return is_splat(a, -1) && same_type(op, c) ? c : NULL;
}

static milo_value *rule_real_div(milo_builder *b, const milo_op *op) {
  (void)b;
  milo_value *x = milo_op_in(op, "x");
  return same_type(op, x) && is_splat(milo_op_in(op, "y"), 1) ? x : NULL;
}

// x^1; x^2 where the square is exact in double, so that both are rounded once (not fp64)
static milo_value *rule_pow(milo_builder *b, const milo_op *op) {
  milo_value *x = milo_op_in(op, "x"), *y = milo_op_in(op, "y");
  if (!same_type(op, x)) return NULL;
  if (is_splat(y, 1)) return x;
  if (x->type.dtype == MILO_FP64 || !is_splat(y, 2)) return NULL;
  return milo_b_unary(b, MILO_OP_square, x);
}

static milo_value *rule_logical_not(milo_builder *b, const milo_op *op) {
  (void)b;
  const milo_op *inner = defined_by(milo_op_in(op, "x"), MILO_OP_logical_not);
  return inner != NULL ? milo_op_in(inner, "x") : NULL;
}

static milo_value *rule_select(milo_builder *b, const milo_op *op) {
  (void)b;
  milo_value *cond = milo_op_in(op, "cond");
  milo_value *x = milo_op_in(op, "a"), *y = milo_op_in(op, "b");
  if (is_splat(cond, 1) && same_type(op, x)) return x;
  return is_splat(cond, 0) && same_type(op, y) ? y : NULL;
}

// Can `wide` hold every value of `narrow`, so that casting on from it gives the same?
static bool holds(milo_dtype wide, milo_dtype narrow) {
  if (wide == narrow) return true;
  if (narrow == MILO_BOOL) return true;  // 0 and 1
  if (milo_dtype_is_float(narrow))
    return wide == MILO_FP64 || (wide == MILO_FP32 && (narrow == MILO_FP16 || narrow == MILO_BF16));
  // Integers wrap when cast to narrower ones, floats saturate: only integers in between.
  return milo_dtype_is_int(wide) && milo_dtype_is_signed(wide) == milo_dtype_is_signed(narrow) &&
         milo_dtype_bits(wide) > milo_dtype_bits(narrow);
}

static milo_value *rule_cast(milo_builder *b, const milo_op *op) {
  milo_value *x = milo_op_in(op, "x");
  if (same_type(op, x)) return x;
  const milo_op *inner = defined_by(x, MILO_OP_cast);
  if (inner == NULL) return NULL;
  milo_value *first = milo_op_in(inner, "x");
  if (!holds(x->type.dtype, first->type.dtype)) return NULL;
  if (same_type(op, first)) return first;
  return milo_b_cast(b, first, op->results[0]->type.dtype);
}

static milo_value *rule_identity(milo_builder *b, const milo_op *op) {
  (void)b;
  return milo_op_in(op, "x");
}

// ---- shapes ----

static milo_value *reshape_to(milo_builder *b, milo_value *x, const milo_type *type) {
  return milo_b_reshape(b, x, type->dims, type->rank);
}

// reshape, expand_dims and squeeze: nothing changes, or one follows another
static milo_value *rule_reshape(milo_builder *b, const milo_op *op) {
  milo_value *x = milo_op_in(op, "x");
  const milo_type *type = &op->results[0]->type;
  if (!milo_type_is_static(type) || !milo_type_is_static(&x->type)) return NULL;
  if (same_type(op, x)) return x;
  const milo_op *inner = x->def;
  if (inner == NULL || (inner->code != MILO_OP_reshape && inner->code != MILO_OP_expand_dims &&
                        inner->code != MILO_OP_squeeze))
    return NULL;
  milo_value *first = milo_op_in(inner, "x");
  if (same_type(op, first)) return first;
  return milo_type_elements(type) > 0 ? reshape_to(b, first, type) : NULL;
}

static bool read_perm(const milo_op *op, int *perm, int rank) {
  int64_t given[MILO_MAX_RANK];
  if (milo_op_ints(op, "perm", given, MILO_MAX_RANK) != rank) return false;
  for (int i = 0; i < rank; ++i) perm[i] = (int)(given[i] < 0 ? given[i] + rank : given[i]);
  return true;
}

static milo_value *rule_transpose(milo_builder *b, const milo_op *op) {
  milo_value *x = milo_op_in(op, "x");
  int outer[MILO_MAX_RANK], inner[MILO_MAX_RANK], both[MILO_MAX_RANK];
  const int rank = x->type.rank;
  if (rank < 0 || !read_perm(op, outer, rank)) return NULL;
  bool same = true;
  for (int i = 0; i < rank; ++i) same = same && outer[i] == i;
  if (same && same_type(op, x)) return x;
  const milo_op *before = defined_by(x, MILO_OP_transpose);
  if (before == NULL || !read_perm(before, inner, rank)) return NULL;
  for (int i = 0; i < rank; ++i) both[i] = inner[outer[i]];
  return milo_b_transpose(b, milo_op_in(before, "x"), both);
}

// The whole of x: its size with no step but 1. What begin must then be, was checked or fails.
static milo_value *rule_slice(milo_builder *b, const milo_op *op) {
  (void)b;
  milo_value *x = milo_op_in(op, "x");
  const bool known = milo_value_constant(milo_op_in(op, "begin")) != NULL;
  if (!known || !milo_type_is_static(&x->type) || !same_type(op, x)) return NULL;
  if (op->code == MILO_OP_slice_by_index && !all_equal(op, "stride", 1)) return NULL;
  return x;
}

static milo_value *rule_joined(milo_builder *b, const milo_op *op) {
  (void)b;
  const milo_arg *values = milo_op_arg(op, "values");
  return values->count == 1 && same_type(op, values->values[0]) ? values->values[0] : NULL;
}

static milo_value *rule_split(milo_builder *b, const milo_op *op) {
  (void)b;
  return unless_changed(op, "x");
}

static milo_value *rule_tile(milo_builder *b, const milo_op *op) {
  (void)b;
  return is_splat(milo_op_in(op, "reps"), 1) ? unless_changed(op, "x") : NULL;
}

static milo_value *rule_pad(milo_builder *b, const milo_op *op) {
  (void)b;
  return is_splat(milo_op_in(op, "pad"), 0) ? unless_changed(op, "x") : NULL;
}

// Over axes of size 1 only
static milo_value *rule_reverse(milo_builder *b, const milo_op *op) {
  (void)b;
  int64_t axes[MILO_MAX_RANK];
  milo_value *x = milo_op_in(op, "x");
  if (!milo_type_is_static(&x->type)) return NULL;
  const int count = milo_op_ints(op, "axes", axes, MILO_MAX_RANK);
  if (count < 0) return milo_type_elements(&x->type) == 1 ? x : NULL;
  for (int i = 0; i < count; ++i)
    if (x->type.dims[axes[i] < 0 ? axes[i] + x->type.rank : axes[i]] != 1) return NULL;
  return x;
}

// Sum, mean, product, maximum or minimum of one element each
static milo_value *rule_reduce(milo_builder *b, const milo_op *op) {
  milo_value *x = milo_op_in(op, "x");
  const milo_type *type = &op->results[0]->type;
  if (!milo_type_is_static(&x->type) || !milo_type_is_static(type)) return NULL;
  const size_t count = milo_type_elements(type);
  if (count == 0 || count != milo_type_elements(&x->type)) return NULL;
  return same_type(op, x) ? x : reshape_to(b, x, type);
}

static rule_fn *const rules[MILO_OP_COUNT] = {
    [MILO_OP_identity] = rule_identity,
    [MILO_OP_add] = rule_add,
    [MILO_OP_sub] = rule_sub,
    [MILO_OP_mul] = rule_mul,
    [MILO_OP_real_div] = rule_real_div,
    [MILO_OP_pow] = rule_pow,
    [MILO_OP_logical_not] = rule_logical_not,
    [MILO_OP_select] = rule_select,
    [MILO_OP_cast] = rule_cast,
    [MILO_OP_reshape] = rule_reshape,
    [MILO_OP_expand_dims] = rule_reshape,
    [MILO_OP_squeeze] = rule_reshape,
    [MILO_OP_transpose] = rule_transpose,
    [MILO_OP_slice_by_size] = rule_slice,
    [MILO_OP_slice_by_index] = rule_slice,
    [MILO_OP_concat] = rule_joined,
    [MILO_OP_split] = rule_split,
    [MILO_OP_tile] = rule_tile,
    [MILO_OP_pad] = rule_pad,
    [MILO_OP_reverse] = rule_reverse,
    [MILO_OP_reduce_sum] = rule_reduce,
    [MILO_OP_reduce_mean] = rule_reduce,
    [MILO_OP_reduce_max] = rule_reduce,
    [MILO_OP_reduce_min] = rule_reduce,
    [MILO_OP_reduce_prod] = rule_reduce,
};

// An identity that gives an input, a constant in place or another output a name of its own.
static bool only_names(const milo_rewriter *r, const milo_op *op) {
  if (op->code != MILO_OP_identity || !milo_rewriter_is_output(r, op->results[0])) return false;
  const milo_value *x = milo_op_in(op, "x");
  return x->def == NULL || milo_rewriter_is_output(r, x);
}

static milo_status simplify(milo_rewriter *r, milo_op *op, void *user) {
  if (rules[op->code] == NULL || op->result_count != 1 || only_names(r, op)) return MILO_OK;
  milo_builder b = milo_builder_before(op, user);
  milo_value *with = rules[op->code](&b, op);
  MILO_TRY(b.status);
  if (with == NULL || !same_type(op, with)) return MILO_OK;
  milo_rewriter_replace(r, op->results[0], with);
  milo_rewriter_remove(r, op);  // what was made may match a rule
  return MILO_OK;
}

milo_status milo_pass_canonicalize(milo_func *func, const milo_pass_options *options,
                                   milo_diag *diag) {
  (void)options;
  return milo_rewrite(func, simplify, diag);
}
