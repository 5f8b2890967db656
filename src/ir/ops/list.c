// SPDX-License-Identifier: MIT
// Result types of operations on lists of tensors. A list's type names the length it was made with;
// one that may grow is longer later.
#include "base/number.h"
#include "ir/ops/infer.h"

static milo_type list_type(milo_arena *arena, const milo_type *elem, int64_t length) {
  return (milo_type){.kind = MILO_TYPE_LIST,
                     .elems = milo_arena_copy(arena, elem, sizeof *elem),
                     .length = length};
}

// The type of the list's tensors.
static milo_status elem_of(const milo_op *op, milo_diag *diag, const milo_type **out) {
  const milo_type *list = milo_infer_arg(op, "ls");
  *out = NULL;
  if (list->kind != MILO_TYPE_LIST || list->elems[0].kind != MILO_TYPE_TENSOR)
    return milo_infer_bad(op, diag, "ls", "is %s, expected a list of tensors",
                          milo_infer_show(op, list));
  *out = &list->elems[0];
  return MILO_OK;
}

// One whole number: rank 0.
static milo_status check_index(const milo_op *op, milo_diag *diag, const char *param) {
  return milo_infer_arg(op, param) == NULL ? MILO_OK : milo_infer_rank(op, diag, param, 0);
}

// The value's type is elem's, with `more` axes in front.
static milo_status check_elem(const milo_op *op, milo_diag *diag, const milo_type *value,
                              const milo_type *elem) {
  if (milo_type_compatible(value, elem)) return MILO_OK;
  return milo_infer_bad(op, diag, "value", "is %s, but the list holds %s",
                        milo_infer_show(op, value), milo_infer_show(op, elem));
}

// elem with an axis in front.
static milo_status many(const milo_op *op, milo_diag *diag, const milo_type *elem, int64_t count,
                        milo_type *out) {
  *out = *elem;
  if (elem->rank < 0) return MILO_OK;
  if (elem->rank == MILO_MAX_RANK)
    return milo_infer_bad(op, diag, "ls", "holds tensors of rank %d, one more than possible here",
                          elem->rank);
  out->rank = elem->rank + 1;
  out->dims[0] = count;
  for (int i = 0; i < elem->rank; i++) out->dims[i + 1] = elem->dims[i];
  return MILO_OK;
}

static milo_status count_indices(const milo_op *op, milo_diag *diag, int64_t *out) {
  const milo_type *indices = milo_infer_arg(op, "indices");
  MILO_TRY(milo_infer_rank(op, diag, "indices", 1));
  *out = indices->rank == 1 ? indices->dims[0] : MILO_DIM_UNKNOWN;
  return MILO_OK;
}

milo_status milo_infer_make_list(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_arg *shape = milo_op_arg(op, "elem_shape");
  milo_type elem = {.kind = MILO_TYPE_TENSOR};
  int64_t length = 1;
  MILO_TRY(milo_infer_dtype(op, diag, "dtype",
                            1u << MILO_FP16 | 1u << MILO_FP32 | 1u << MILO_BF16 | 1u << MILO_FP64 |
                                1u << MILO_BOOL | 1u << MILO_INT32,
                            &elem.dtype));
  MILO_TRY(check_index(op, diag, "init_length"));
  const milo_value *given = milo_op_in(op, "init_length");
  if (given != NULL) {
    const milo_literal *literal = milo_value_constant(given);
    length = literal != NULL ? milo_literal_int(literal, 0) : MILO_DIM_UNKNOWN;
    if (literal != NULL && length < 0)
      return milo_infer_bad(op, diag, "init_length", "is %lld", (long long)length);
  }
  for (size_t i = 0; shape != NULL && i < shape->count; i++) {
    const milo_literal *dim = milo_value_constant(shape->values[i]);
    if (elem.rank == MILO_MAX_RANK)
      return milo_infer_bad(op, diag, "elem_shape", "has more than %d dimensions", MILO_MAX_RANK);
    // A word stands for a dimension that is not known.
    const bool known = dim != NULL && dim->kind == MILO_LITERAL_DATA && dim->count == 1 &&
                       milo_dtype_is_int(dim->type.dtype);
    if (known && milo_literal_int(dim, 0) < -1)
      return milo_infer_bad(op, diag, "elem_shape", "holds %lld",
                            (long long)milo_literal_int(dim, 0));
    elem.dims[elem.rank++] = known ? milo_literal_int(dim, 0) : MILO_DIM_UNKNOWN;
  }
  milo_types sized = {.arena = out->arena};  // seen to be no larger than memory can be
  MILO_TRY(milo_infer_add(op, diag, &sized, elem));
  milo_types_add(out, list_type(milo_op_arena(op), &elem, length));  // outlives out
  return MILO_OK;
}

milo_status milo_infer_list_length(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *elem;
  MILO_TRY(elem_of(op, diag, &elem));
  milo_types_add(out, milo_type_scalar(MILO_INT32));
  return MILO_OK;
}

milo_status milo_infer_list_read(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *elem;
  MILO_TRY(elem_of(op, diag, &elem));
  MILO_TRY(check_index(op, diag, "index"));
  return milo_infer_add(op, diag, out, *elem);
}

milo_status milo_infer_list_write(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *elem;
  MILO_TRY(elem_of(op, diag, &elem));
  MILO_TRY(check_index(op, diag, "index"));
  MILO_TRY(check_elem(op, diag, milo_infer_arg(op, "value"), elem));
  milo_types_add(out, *milo_infer_arg(op, "ls"));
  return MILO_OK;
}

milo_status milo_infer_list_gather(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *elem;
  milo_type type;
  int64_t count;
  MILO_TRY(elem_of(op, diag, &elem));
  MILO_TRY(count_indices(op, diag, &count));
  MILO_TRY(many(op, diag, elem, count, &type));
  return milo_infer_add(op, diag, out, type);
}

milo_status milo_infer_list_scatter(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *elem;
  milo_type type;
  int64_t count;
  MILO_TRY(elem_of(op, diag, &elem));
  MILO_TRY(count_indices(op, diag, &count));
  MILO_TRY(many(op, diag, elem, count, &type));
  MILO_TRY(check_elem(op, diag, milo_infer_arg(op, "value"), &type));
  milo_types_add(out, *milo_infer_arg(op, "ls"));
  return MILO_OK;
}
