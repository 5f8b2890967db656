// SPDX-License-Identifier: MIT
// Result types: operations that rearrange axes or change their lengths.
#include <inttypes.h>
#include <string.h>

#include "ir/ops/infer.h"

// A result of so many unknown dims; count MILO_DIM_UNKNOWN: of unknown rank.
static milo_status add_unknown(const milo_op *op, milo_types *out, milo_diag *diag,
                               milo_dtype dtype, int count) {
  milo_type type = milo_infer_unranked(dtype);
  if (count >= 0) type.rank = count;
  for (int i = 0; i < count; i++) type.dims[i] = MILO_DIM_UNKNOWN;
  return milo_infer_add(op, diag, out, type);
}

// ---- reshape ----

// Where axis `to` of the new shape finds the axis of x that its 0 copies: at the same place from
// the end, as iOS 17 has it; counted from the front in the opsets before, whose shapes have x's
// rank. Negative: there is none, the axis is 1.
static int copied_from(const milo_op *op, int to, int count, int rank) {
  const char *opset = op->opset != NULL ? op->opset : op->parent->func->opset;
  const bool old = opset != NULL && (strcmp(opset, "ios15") == 0 || strcmp(opset, "ios16") == 0);
  return old ? to : to - (count - rank);
}

// Products of the dims of x and of the new shape, without those that are the same unknown on both
// sides (copied by 0), and what remains unknown.
typedef struct volumes {
  int64_t from, to;
  bool from_known, to_known;
} volumes;

static bool measure(const milo_op *op, const milo_type *x, const milo_infer_list *shape,
                    const milo_type *type, int rest, volumes *v) {
  *v = (volumes){1, 1, true, true};
  bool fits = true;
  for (int i = 0; i < x->rank; i++) {
    bool copied = false;
    for (int to = 0; to < shape->count; to++)
      copied = copied || (shape->items[to] == 0 && copied_from(op, to, shape->count, x->rank) == i);
    if (x->dims[i] != MILO_DIM_UNKNOWN)
      fits = fits && milo_infer_dims_mul(v->from, x->dims[i], &v->from);
    else if (!copied)
      v->from_known = false;
  }
  for (int i = 0; i < type->rank; i++) {
    if (i == rest) continue;
    if (type->dims[i] != MILO_DIM_UNKNOWN)
      fits = fits && milo_infer_dims_mul(v->to, type->dims[i], &v->to);
    else if (x->rank < 0)
      v->to_known = false;
  }
  if (x->rank < 0) v->from_known = false;
  return fits;
}

static milo_status bad_reshape(const milo_op *op, milo_diag *diag, const milo_type *x,
                               const milo_type *type) {
  return milo_infer_bad(op, diag, "shape", "is %s, which x %s does not fill exactly",
                        milo_infer_show(op, type), milo_infer_show(op, x));
}

milo_status milo_infer_reshape(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *x = milo_infer_arg(op, "x");
  milo_infer_list shape;
  MILO_TRY(milo_infer_ints(op, diag, "shape", -1, &shape));
  if (shape.count > MILO_MAX_RANK)
    return milo_infer_bad(op, diag, "shape", "has %d elements, at most rank %d is possible",
                          shape.count, MILO_MAX_RANK);
  if (!shape.known) return add_unknown(op, out, diag, x->dtype, shape.count);

  milo_type type = milo_type_tensor(x->dtype, shape.count, shape.items);
  int rest = -1;  // the axis that takes what is left
  for (int i = 0; i < shape.count; i++) {
    if (shape.items[i] < -1)
      return milo_infer_bad(op, diag, "shape", "holds %" PRId64 ", expected -1 or more",
                            shape.items[i]);
    if (shape.items[i] == -1 && rest >= 0)
      return milo_infer_bad(op, diag, "shape", "holds -1 twice, only one axis can be computed");
    if (shape.items[i] == -1) rest = i;
    if (shape.items[i] != 0) continue;
    const int from = copied_from(op, i, shape.count, x->rank);
    if (x->rank >= 0 && from >= x->rank)
      return milo_infer_bad(op, diag, "shape", "holds 0 (copy x's axis) at %d, but x is %s", i,
                            milo_infer_show(op, x));
    type.dims[i] = x->rank < 0 ? MILO_DIM_UNKNOWN : from < 0 ? 1 : x->dims[from];
  }
  volumes v;
  if (!measure(op, x, &shape, &type, rest, &v))
    return milo_infer_bad(op, diag, "shape", "has more elements than any memory");
  if (v.from_known && v.to_known) {
    if (rest < 0 && v.from != v.to) return bad_reshape(op, diag, x, &type);
    if (rest >= 0 && (v.to == 0 || v.from % v.to != 0)) return bad_reshape(op, diag, x, &type);
    if (rest >= 0) type.dims[rest] = v.from / v.to;
  } else if (rest < 0 && v.to_known && x->rank >= 0 && v.from != 0 && v.to % v.from != 0) {
    return bad_reshape(op, diag, x, &type);  // no length of the unknown axes makes it fit
  }
  return milo_infer_add(op, diag, out, type);
}

// ---- axes ----

milo_status milo_infer_transpose(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *x = milo_infer_arg(op, "x");
  milo_infer_list perm;
  MILO_TRY(milo_infer_ints(op, diag, "perm", x->rank, &perm));
  if (!perm.known) return milo_infer_bad(op, diag, "perm", "must be a constant");
  if (perm.count > MILO_MAX_RANK)
    return milo_infer_bad(op, diag, "perm", "has %d elements, at most rank %d is possible",
                          perm.count, MILO_MAX_RANK);
  milo_type type = milo_type_tensor(x->dtype, 0, NULL);
  bool seen[MILO_MAX_RANK] = {false};
  for (int i = 0; i < perm.count; i++) {
    const int64_t axis = perm.items[i] < 0 ? perm.items[i] + perm.count : perm.items[i];
    if (axis < 0 || axis >= perm.count)
      return milo_infer_bad(op, diag, "perm", "holds %" PRId64 ", expected axes in [%d, %d)",
                            perm.items[i], -perm.count, perm.count);
    if (seen[axis]) return milo_infer_bad(op, diag, "perm", "names axis %d twice", (int)axis);
    seen[axis] = true;
    type.dims[type.rank++] = x->rank < 0 ? MILO_DIM_UNKNOWN : x->dims[axis];
  }
  return milo_infer_add(op, diag, out, type);
}

milo_status milo_infer_expand_dims(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *x = milo_infer_arg(op, "x");
  if (x->rank < 0) return milo_infer_add(op, diag, out, *x);
  milo_infer_list axes;
  MILO_TRY(milo_infer_ints(op, diag, "axes", -1, &axes));
  if (x->rank + axes.count > MILO_MAX_RANK)
    return milo_infer_bad(op, diag, "axes",
                          "has %d elements, the result of rank %d is more than %d", axes.count,
                          x->rank + axes.count, MILO_MAX_RANK);
  bool added[MILO_MAX_RANK];
  milo_type type = milo_type_tensor(x->dtype, 0, NULL);
  MILO_TRY(milo_infer_axes(op, diag, "axes", x->rank + axes.count, added));
  int from = 0;
  for (int i = 0; i < x->rank + axes.count; i++)
    type.dims[type.rank++] = added[i] ? 1 : x->dims[from++];
  return milo_infer_add(op, diag, out, type);
}

milo_status milo_infer_squeeze(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *x = milo_infer_arg(op, "x");
  if (x->rank < 0) return milo_infer_add(op, diag, out, *x);
  bool set[MILO_MAX_RANK];
  MILO_TRY(milo_infer_axes(op, diag, "axes", x->rank, set));
  const bool all = milo_op_in(op, "axes") == NULL;
  milo_type type = milo_type_tensor(x->dtype, 0, NULL);
  for (int i = 0; i < x->rank; i++) {
    // Which axes go depends on what is not known yet, and with it the rank.
    if (all && x->dims[i] == MILO_DIM_UNKNOWN)
      return milo_infer_add(op, diag, out, milo_infer_unranked(x->dtype));
    if (!all && set[i] && !milo_infer_dims_agree(x->dims[i], 1))
      return milo_infer_bad(op, diag, "axes", "names axis %d of x %s, which has length %" PRId64, i,
                            milo_infer_show(op, x), x->dims[i]);
    if (!set[i] || (all && x->dims[i] != 1)) type.dims[type.rank++] = x->dims[i];
  }
  return milo_infer_add(op, diag, out, type);
}

milo_status milo_infer_reverse(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *x = milo_infer_arg(op, "x");
  bool set[MILO_MAX_RANK];
  if (x->rank >= 0) MILO_TRY(milo_infer_axes(op, diag, "axes", x->rank, set));
  return milo_infer_add(op, diag, out, *x);
}

// ---- lengths ----

milo_status milo_infer_tile(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *x = milo_infer_arg(op, "x");
  milo_infer_list reps;
  MILO_TRY(milo_infer_ints(op, diag, "reps", x->rank, &reps));
  if (x->rank < 0 || !reps.known) return add_unknown(op, out, diag, x->dtype, x->rank);
  milo_type type = *x;
  for (int i = 0; i < x->rank; i++) {
    if (reps.items[i] < 1)
      return milo_infer_bad(op, diag, "reps", "holds %" PRId64 ", expected 1 or more",
                            reps.items[i]);
    if (!milo_infer_dims_mul(x->dims[i], reps.items[i], &type.dims[i]))
      return milo_infer_bad(op, diag, "reps", "holds %" PRId64 ", which is too large",
                            reps.items[i]);
  }
  return milo_infer_add(op, diag, out, type);
}

enum { PAD_CONSTANT, PAD_REFLECT, PAD_REPLICATE };

static milo_status pad_axis(const milo_op *op, milo_diag *diag, int mode, int axis,
                            const int64_t *pad, int64_t *dim) {
  const int64_t length = *dim;
  for (int side = 0; side < 2; side++) {
    if (pad[side] < 0)
      return milo_infer_bad(op, diag, "pad", "holds %" PRId64 ", expected 0 or more", pad[side]);
    if (length != MILO_DIM_UNKNOWN && mode == PAD_REFLECT && pad[side] > 0 && pad[side] >= length)
      return milo_infer_bad(op, diag, "pad",
                            "reflects %" PRId64 " elements of axis %d, which has %" PRId64
                            "\nreflection can add at most the length less 1",
                            pad[side], axis, length);
    if (mode == PAD_REPLICATE && pad[side] > 0 && length == 0)
      return milo_infer_bad(op, diag, "pad", "replicates the edge of axis %d, which is empty",
                            axis);
    if (!milo_infer_dims_add(*dim, pad[side], dim))
      return milo_infer_bad(op, diag, "pad", "holds %" PRId64 ", which is too large", pad[side]);
  }
  return MILO_OK;
}

milo_status milo_infer_pad(const milo_op *op, milo_types *out, milo_diag *diag) {
  static const char *const modes[] = {"constant", "reflect", "replicate", NULL};
  const milo_type *x = milo_infer_arg(op, "x");
  int mode = PAD_CONSTANT;
  MILO_TRY(milo_infer_word(op, diag, "mode", modes, &mode));
  MILO_TRY(milo_infer_rank(op, diag, "constant_val", 0));
  milo_infer_list pad;
  MILO_TRY(milo_infer_ints(op, diag, "pad", -1, &pad));
  if (x->rank < 0) return milo_infer_add(op, diag, out, *x);
  if (pad.count != MILO_DIM_UNKNOWN && (pad.count % 2 != 0 || pad.count > 2 * x->rank))
    return milo_infer_bad(op, diag, "pad",
                          "has %d elements, expected (before, after) for the last axes of x %s",
                          pad.count, milo_infer_show(op, x));
  milo_type type = *x;
  const int padded = pad.count == MILO_DIM_UNKNOWN ? x->rank : pad.count / 2;
  for (int i = 0; i < padded; i++) {
    const int axis = x->rank - padded + i;
    if (!pad.known)
      type.dims[axis] = MILO_DIM_UNKNOWN;
    else
      MILO_TRY(pad_axis(op, diag, mode, axis, &pad.items[2 * i], &type.dims[axis]));
  }
  return milo_infer_add(op, diag, out, type);
}
