// SPDX-License-Identifier: MIT
// Passes: functions from a function to a better one. The order of a pipeline is the order of its
// rows in passes.def; the driver verifies after each pass in debug builds.
#ifndef MILO_PASS_PASS_H
#define MILO_PASS_PASS_H

#include "ir/ir.h"

// Evaluates one operation whose arguments are all constant; results are allocated in arena. Given
// by whoever runs the passes (the reference device), so that folding has no arithmetic of its own.
typedef milo_status milo_eval_fn(const milo_op *op, milo_arena *arena, milo_literal *out_results,
                                 milo_diag *diag);

// Hears of every pass: what it left of func. A failure ends the pipeline with that status.
typedef milo_status milo_after_pass_fn(void *user, const char *pass, const milo_func *func,
                                       milo_diag *diag);

typedef struct milo_pass_options {
  milo_eval_fn *eval;  // NULL: nothing is folded
  // Operations with a decomposition to leave whole; NULL: the public ones, and no composites.
  bool (*keep)(const void *user, const milo_op *op);
  const void *user;
  bool keep_constexpr;        // constexpr operations stay: whoever runs the function decompresses
  milo_dtype store;           // of activations, see narrow.c; MILO_DTYPE_NONE: as it is
  milo_after_pass_fn *after;  // NULL: nobody
  void *after_user;
} milo_pass_options;

// What is stored at a precision; MILO_DTYPE_NONE: fp32, and the default.
static inline milo_dtype milo_pass_store(milo_precision precision) {
  return precision == MILO_PRECISION_BF16   ? MILO_BF16
         : precision == MILO_PRECISION_FP16 ? MILO_FP16
                                            : MILO_DTYPE_NONE;
}

typedef milo_status milo_pass_fn(milo_func *func, const milo_pass_options *options,
                                 milo_diag *diag);
#define PASS(id, what) milo_pass_fn milo_pass_##id;
#include "pass/passes.def"
#undef PASS

typedef struct milo_pass {
  const char *name, *what;
  milo_pass_fn *run;
} milo_pass;
// The rows of passes.def; ends with name NULL.
extern const milo_pass milo_passes[];
// NULL: there is no such pass.
const milo_pass *milo_pass_find(const char *name);
// One pass, what verifies it in debug builds, and who hears of it.
MILO_MUST_USE milo_status milo_pass_run(const milo_pass *pass, milo_func *func,
                                        const milo_pass_options *options, milo_diag *diag);
// Tells who hears of passes about work on func that is none of the table.
MILO_MUST_USE milo_status milo_pass_tell(const char *what, const milo_func *func,
                                         const milo_pass_options *options, milo_diag *diag);

// All rows of passes.def in order (narrow only where options->store says what to), then the
// verifier.
MILO_MUST_USE milo_status milo_pass_run_all(milo_func *func, const milo_pass_options *options,
                                            milo_diag *diag);

// Appends the backward computation to func: one new parameter "grad_<output>" for each
// floating-point output, one new output "grad_<input>" for each of wrt (parameters of func), in
// that order; existing outputs stay. A parameter the outputs do not depend on gets zeros. Values
// inside the function that have such a name are renamed; an input or output that has it:
// MILO_ERR_INVALID. prefix: of the new outputs instead of "grad_"; seed_prefix: of the parameters.
MILO_MUST_USE milo_status milo_autodiff(milo_func *func, milo_value *const *wrt, size_t wrt_count,
                                        milo_diag *diag);
MILO_MUST_USE milo_status milo_autodiff_named(milo_func *func, milo_value *const *wrt,
                                              size_t wrt_count, const char *prefix,
                                              const char *seed_prefix, milo_diag *diag);

// Cuts a differentiated function in two, both added to its program:
//   forward   original parameters -> original outputs, then taps
//   backward  the parameters, forward outputs and taps it needs, and the seeds -> the gradients
// Taps are the forward values that backward reads and cannot recompute cheaply. A value is named
// the same in both functions: backward's parameters are found among forward's parameters and
// outputs by name. seeds, grads: how many of func's last parameters and last outputs those are.
MILO_MUST_USE milo_status milo_split_grad(milo_func *func, size_t seeds, size_t grads,
                                          const char *forward_name, const char *backward_name,
                                          milo_diag *diag, milo_func **out_forward,
                                          milo_func **out_backward);

#endif
