// SPDX-License-Identifier: MIT
// What the inference functions share, see infer.h.
#include "ir/ops/infer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "base/str.h"

milo_status milo_infer_bad(const milo_op *op, milo_diag *diag, const char *param,
                           const char *format, ...) {
  milo_str text = {0};
  milo_str_printf(&text, param != NULL ? "%s.%s " : "%s: ", op->name, param);
  char line[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(line, sizeof line, format, args);
  va_end(args);
  milo_str_puts(&text, line);
  const milo_status status = milo_fail(diag, op->loc, MILO_ERR_INVALID, "%s", text.data);
  milo_str_deinit(&text);
  return status;
}

const char *milo_infer_show(const milo_op *op, const milo_type *type) {
  return milo_type_format(milo_op_arena(op), type, true);
}

const milo_type *milo_infer_arg(const milo_op *op, const char *param) {
  const milo_value *value = milo_op_in(op, param);
  return value != NULL ? &value->type : NULL;
}

milo_status milo_infer_add(const milo_op *op, milo_diag *diag, milo_types *out, milo_type type) {
  if (type.kind == MILO_TYPE_TENSOR && type.rank > 0) {
    int64_t dims[MILO_MAX_RANK];
    for (int i = 0; i < type.rank; i++)
      dims[i] = type.dims[i] == MILO_DIM_UNKNOWN ? 1 : type.dims[i];
    const milo_dtype dtype = type.dtype == MILO_STRING ? MILO_INT64 : type.dtype;
    size_t bytes = 0;
    if (!milo_tensor_bytes(dtype, type.rank, dims, &bytes) || bytes > PTRDIFF_MAX)
      return milo_infer_bad(op, diag, NULL, "the result %s is too large for any memory",
                            milo_infer_show(op, &type));
  }
  milo_types_add(out, type);
  return MILO_OK;
}

milo_type milo_infer_unranked(milo_dtype dtype) { return milo_type_tensor(dtype, -1, NULL); }

bool milo_infer_dims_agree(int64_t a, int64_t b) {
  return a == b || a == MILO_DIM_UNKNOWN || b == MILO_DIM_UNKNOWN;
}

int64_t milo_infer_dims_merge(int64_t a, int64_t b) { return a == MILO_DIM_UNKNOWN ? b : a; }

bool milo_infer_dims_add(int64_t a, int64_t b, int64_t *out) {
  if (a == MILO_DIM_UNKNOWN || b == MILO_DIM_UNKNOWN) {
    *out = MILO_DIM_UNKNOWN;
    return true;
  }
  if (a > INT64_MAX - b) return false;
  *out = a + b;
  return true;
}

bool milo_infer_dims_mul(int64_t a, int64_t b, int64_t *out) {
  if (a == MILO_DIM_UNKNOWN || b == MILO_DIM_UNKNOWN) {
    *out = MILO_DIM_UNKNOWN;
    return true;
  }
  if (b != 0 && a > INT64_MAX / b) return false;
  *out = a * b;
  return true;
}

milo_status milo_infer_broadcast_dims(const milo_op *op, milo_diag *diag, const char *pa,
                                      const milo_type *a, const char *pb, const milo_type *b,
                                      milo_type *out) {
  if (a->rank < 0 || b->rank < 0) {
    out->rank = -1;
    return MILO_OK;
  }
  const int rank = a->rank > b->rank ? a->rank : b->rank;
  int64_t dims[MILO_MAX_RANK];
  for (int i = 1; i <= rank; i++) {  // from the last axis
    const int64_t da = i <= a->rank ? a->dims[a->rank - i] : 1;
    const int64_t db = i <= b->rank ? b->dims[b->rank - i] : 1;
    int64_t d = da;
    if (da == 1)
      d = db;
    else if (da == MILO_DIM_UNKNOWN)
      d = db == 1 ? da : db;
    else if (db != 1 && !milo_infer_dims_agree(da, db))
      return milo_infer_bad(
          op, diag, NULL, "%s %s and %s %s do not broadcast: axis -%d has %" PRId64 " and %" PRId64,
          pa, milo_infer_show(op, a), pb, milo_infer_show(op, b), i, da, db);
    dims[rank - i] = d;
  }
  out->rank = rank;
  memcpy(out->dims, dims, (size_t)rank * sizeof *dims);
  return MILO_OK;
}

milo_status milo_infer_rank(const milo_op *op, milo_diag *diag, const char *param, int rank) {
  const milo_type *type = milo_infer_arg(op, param);
  if (type == NULL || type->rank < 0 || type->rank == rank) return MILO_OK;
  return milo_infer_bad(op, diag, param, "is %s of rank %d, expected rank %d",
                        milo_infer_show(op, type), type->rank, rank);
}

milo_status milo_infer_expect(const milo_op *op, milo_diag *diag, const char *param, int rank,
                              const int64_t *dims, const char *what) {
  const milo_type *type = milo_infer_arg(op, param);
  if (type == NULL || type->rank < 0) return MILO_OK;
  bool agree = type->rank == rank;
  for (int i = 0; agree && i < rank; i++) agree = milo_infer_dims_agree(type->dims[i], dims[i]);
  if (agree) return MILO_OK;
  const milo_type expected = milo_type_tensor(type->dtype, rank, dims);
  return milo_infer_bad(op, diag, param, "is %s, expected %s (%s)", milo_infer_show(op, type),
                        milo_infer_show(op, &expected), what);
}

// Whether a scalar argument was given; fails unless it is one known element of rank 0.
static milo_status given_scalar(const milo_op *op, milo_diag *diag, const char *param,
                                bool *out_given) {
  const milo_value *value = milo_op_in(op, param);
  *out_given = value != NULL;
  if (value == NULL) return MILO_OK;
  if (value->type.rank != 0)
    return milo_infer_bad(op, diag, param, "is %s of rank %d, expected rank 0",
                          milo_infer_show(op, &value->type), value->type.rank);
  if (value->literal == NULL) return milo_infer_bad(op, diag, param, "must be a constant");
  if (milo_value_constant(value) == NULL)
    return milo_infer_bad(op, diag, param, "is in a blob file, which was not read");
  return MILO_OK;
}

milo_status milo_infer_int(const milo_op *op, milo_diag *diag, const char *param, int64_t *out) {
  bool given;
  MILO_TRY(given_scalar(op, diag, param, &given));
  *out = milo_op_int(op, param);
  return MILO_OK;
}

milo_status milo_infer_bool(const milo_op *op, milo_diag *diag, const char *param, bool *out) {
  bool given;
  MILO_TRY(given_scalar(op, diag, param, &given));
  *out = milo_op_bool(op, param);
  return MILO_OK;
}

milo_status milo_infer_string(const milo_op *op, milo_diag *diag, const char *param,
                              const char **out) {
  bool given;
  MILO_TRY(given_scalar(op, diag, param, &given));
  *out = milo_op_string(op, param);
  return MILO_OK;
}

milo_status milo_infer_word(const milo_op *op, milo_diag *diag, const char *param,
                            const char *const *words, int *out_index) {
  const char *word = NULL;
  MILO_TRY(milo_infer_string(op, diag, param, &word));
  milo_str all = {0};
  for (int i = 0; words[i] != NULL; i++) {
    if (strcmp(word, words[i]) == 0) {
      if (out_index != NULL) *out_index = i;
      milo_str_deinit(&all);
      return MILO_OK;
    }
    milo_str_printf(&all, "%s\"%s\"", i > 0 ? ", " : "", words[i]);
  }
  const milo_status status =
      milo_infer_bad(op, diag, param, "is \"%s\", expected one of %s", word, all.data);
  milo_str_deinit(&all);
  return status;
}

milo_status milo_infer_dtype(const milo_op *op, milo_diag *diag, const char *param, unsigned set,
                             milo_dtype *out) {
  const char *name = NULL;
  MILO_TRY(milo_infer_string(op, diag, param, &name));
  const milo_dtype dtype = milo_dtype_find(name);
  if (dtype != MILO_DTYPE_NONE && (set >> dtype & 1u) != 0) {
    *out = dtype;
    return MILO_OK;
  }
  milo_str all = {0};
  for (unsigned d = 1; d < MILO_DTYPE_COUNT; d++)
    if ((set >> d & 1u) != 0)
      milo_str_printf(&all, "%s%s", all.bytes > 0 ? ", " : "", milo_dtype_name((milo_dtype)d));
  const milo_status status =
      milo_infer_bad(op, diag, param, "is \"%s\", expected one of %s", name, all.data);
  milo_str_deinit(&all);
  return status;
}

milo_status milo_infer_axis(const milo_op *op, milo_diag *diag, const char *param, int rank,
                            int *out) {
  int64_t axis = 0;
  MILO_TRY(milo_infer_int(op, diag, param, &axis));
  if (axis < -rank || axis >= rank)
    return milo_infer_bad(op, diag, param, "is %" PRId64 ", expected an axis in [%d, %d)", axis,
                          -rank, rank);
  *out = (int)(axis < 0 ? axis + rank : axis);
  return MILO_OK;
}

milo_status milo_infer_ints(const milo_op *op, milo_diag *diag, const char *param, int expected,
                            milo_infer_list *out) {
  *out = (milo_infer_list){0};
  const milo_type *type = milo_infer_arg(op, param);
  if (type == NULL) return MILO_OK;
  out->given = true;
  MILO_TRY(milo_infer_rank(op, diag, param, 1));
  int64_t count = milo_op_ints(op, param, out->items, MILO_INFER_LIST_MAX);
  out->known = count >= 0;
  if (!out->known) count = type->rank == 1 ? type->dims[0] : MILO_DIM_UNKNOWN;
  out->known = out->known || count == 0;  // nothing in it is open
  if (expected >= 0 && !milo_infer_dims_agree(count, expected))
    return milo_infer_bad(op, diag, param, "has %" PRId64 " elements, expected %d", count,
                          expected);
  if (count > MILO_INFER_LIST_MAX)
    return milo_infer_bad(op, diag, param, "has %" PRId64 " elements, at most %d make sense", count,
                          MILO_INFER_LIST_MAX);
  out->count = (int)milo_infer_dims_merge(count, expected);
  return MILO_OK;
}

milo_status milo_infer_axes(const milo_op *op, milo_diag *diag, const char *param, int rank,
                            bool *set) {
  milo_infer_list axes;
  MILO_TRY(milo_infer_ints(op, diag, param, -1, &axes));
  for (int i = 0; i < rank; i++) set[i] = !axes.given;
  if (!axes.given) return MILO_OK;
  if (!axes.known) return milo_infer_bad(op, diag, param, "must be a constant");
  if (axes.count == 0) return milo_infer_bad(op, diag, param, "is empty, expected an axis or more");
  for (int i = 0; i < axes.count; i++) {
    const int64_t axis = axes.items[i] < 0 ? axes.items[i] + rank : axes.items[i];
    if (axis < 0 || axis >= rank)
      return milo_infer_bad(op, diag, param, "holds %" PRId64 ", expected axes in [%d, %d)",
                            axes.items[i], -rank, rank);
    if (set[axis]) return milo_infer_bad(op, diag, param, "names axis %d twice", (int)axis);
    set[axis] = true;
  }
  return MILO_OK;
}
