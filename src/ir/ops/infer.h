// SPDX-License-Identifier: MIT
// What the inference functions share: reading arguments with complete checks, messages.
//
// All messages read "op.parameter ...": the place is the operation's.
#ifndef MILO_IR_OPS_INFER_H
#define MILO_IR_OPS_INFER_H

#include "ir/ops/ops.h"

// Reports "op.param message" (param NULL: "op: message"), MILO_ERR_INVALID.
milo_status milo_infer_bad(const milo_op *op, milo_diag *diag, const char *param,
                           const char *format, ...) __attribute__((format(printf, 4, 5)));

// A type as messages show it; lives as long as the program.
const char *milo_infer_show(const milo_op *op, const milo_type *type);

// The type of an argument; NULL if it was left out.
const milo_type *milo_infer_arg(const milo_op *op, const char *param);

// Adds a result type. Fails if its known dims alone do not fit in memory (ptrdiff_t bytes).
MILO_MUST_USE milo_status milo_infer_add(const milo_op *op, milo_diag *diag, milo_types *out,
                                         milo_type type);

// dtype with an unknown rank.
milo_type milo_infer_unranked(milo_dtype dtype);

// True unless both dims are known and differ.
bool milo_infer_dims_agree(int64_t a, int64_t b);
// The one that is known; MILO_DIM_UNKNOWN if neither is.
int64_t milo_infer_dims_merge(int64_t a, int64_t b);
// a + b, a * b; unknown if either is. False if the result does not fit.
MILO_MUST_USE bool milo_infer_dims_add(int64_t a, int64_t b, int64_t *out);
MILO_MUST_USE bool milo_infer_dims_mul(int64_t a, int64_t b, int64_t *out);

// The shape that dims of a and b broadcast to, right-aligned, into out's rank and dims (rank -1 if
// either's rank is unknown). pa, pb: the parameters' names, for the message.
MILO_MUST_USE milo_status milo_infer_broadcast_dims(const milo_op *op, milo_diag *diag,
                                                    const char *pa, const milo_type *a,
                                                    const char *pb, const milo_type *b,
                                                    milo_type *out);

// Fails unless the argument has the given rank (or an unknown one).
MILO_MUST_USE milo_status milo_infer_rank(const milo_op *op, milo_diag *diag, const char *param,
                                          int rank);
// Fails unless the argument's shape agrees with rank and dims. what: where those come from.
MILO_MUST_USE milo_status milo_infer_expect(const milo_op *op, milo_diag *diag, const char *param,
                                            int rank, const int64_t *dims, const char *what);

// Constant scalars, with the table's default where the argument was left out. Fail if the value is
// not known.
MILO_MUST_USE milo_status milo_infer_int(const milo_op *op, milo_diag *diag, const char *param,
                                         int64_t *out);
MILO_MUST_USE milo_status milo_infer_bool(const milo_op *op, milo_diag *diag, const char *param,
                                          bool *out);
MILO_MUST_USE milo_status milo_infer_string(const milo_op *op, milo_diag *diag, const char *param,
                                            const char **out);
// One of a NULL-terminated list of words; out_index may be NULL.
MILO_MUST_USE milo_status milo_infer_word(const milo_op *op, milo_diag *diag, const char *param,
                                          const char *const *words, int *out_index);
// The dtype that a string argument names, one of the set (bit 1 << dtype).
MILO_MUST_USE milo_status milo_infer_dtype(const milo_op *op, milo_diag *diag, const char *param,
                                           unsigned set, milo_dtype *out);
// An axis in [-rank, rank), made non-negative.
MILO_MUST_USE milo_status milo_infer_axis(const milo_op *op, milo_diag *diag, const char *param,
                                          int rank, int *out);

// A list of integers (or bools): an argument of rank 1.
enum { MILO_INFER_LIST_MAX = 2 * MILO_MAX_RANK };
typedef struct milo_infer_list {
  bool given;  // false: left out; count is then 0
  bool known;  // items are valid
  int count;   // MILO_DIM_UNKNOWN if not even the length is known
  int64_t items[MILO_INFER_LIST_MAX];
} milo_infer_list;
// expected: the length it must have, -1 for any up to MILO_INFER_LIST_MAX.
MILO_MUST_USE milo_status milo_infer_ints(const milo_op *op, milo_diag *diag, const char *param,
                                          int expected, milo_infer_list *out);
// Different axes in [-rank, rank), at least one; set[axis] says which. If it was left out: all.
// set has rank elements (rank >= 0).
MILO_MUST_USE milo_status milo_infer_axes(const milo_op *op, milo_diag *diag, const char *param,
                                          int rank, bool *set);

#endif
