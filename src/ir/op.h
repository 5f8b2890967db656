// SPDX-License-Identifier: MIT
// The table of operations: one row an operation in ops.def, everything else is made from the rows.
#ifndef MILO_IR_OP_H
#define MILO_IR_OP_H

#include "ir/builder.h"
#include "ir/ir.h"

enum { MILO_MAX_PARAMS = 24, MILO_TYPE_VARS = 4 };

// What an argument may be. T, U, V, I are type variables: all arguments of one variable have the
// same element type, which is in the row's domain for it.
typedef enum milo_param_type {
  MILO_PARAM_T,
  MILO_PARAM_U,
  MILO_PARAM_V,
  MILO_PARAM_I,
  MILO_PARAM_BOOL,
  MILO_PARAM_INT,  // any of the integer types
  MILO_PARAM_FP32,
  MILO_PARAM_STRING,
  MILO_PARAM_ANY,
} milo_param_type;

typedef enum milo_param_flags {
  MILO_PARAM_CONST = 1,     // must be known when the program is compiled
  MILO_PARAM_OPTIONAL = 2,  // may be left out; fallback says what then holds
  MILO_PARAM_VARIADIC = 4,  // one or more values
} milo_param_flags;

typedef struct milo_param {
  const char *name;
  milo_param_type type;
  unsigned flags;
  // Default as MIL writes it ("false", "1e-5", "valid", "-1"); NULL: none, absence has a meaning of
  // its own.
  const char *fallback;
} milo_param;

typedef enum milo_op_traits {
  MILO_OP_ELEMENTWISE = 1,  // result element i depends on (broadcast) element i of the arguments
  MILO_OP_VIEW = 2,         // moves or renames elements, computes nothing
  MILO_OP_CHEAP = 4,        // recomputing costs less than storing and loading the result
  MILO_OP_COMPOSITE = 8,    // not a public MIL operation; decompose defines it
  MILO_OP_IMPURE = 16,      // must stay, in order (state)
  MILO_OP_CONSTEXPR = 32,   // all operands constant: evaluated when compiled
} milo_op_traits;

// Result types of an operation, in order.
typedef struct milo_types {
  milo_arena *arena;
  milo_type *items;
  size_t count, capacity;
} milo_types;
void milo_types_add(milo_types *types, milo_type type);

// Computes the result types from arguments that already satisfy the row's params. Unknown dims stay
// unknown. Reports wrong shapes and values at op->loc.
typedef milo_status milo_infer_fn(const milo_op *op, milo_types *out, milo_diag *diag);

// A gradient under construction, see pass/autodiff.c.
typedef struct milo_grad milo_grad;

// Emits the gradient of op. seeds[i] is the gradient of result i, NULL if it is zero; at least one
// is not NULL. Hands gradients over with milo_grad_add, only for values that milo_grad_wants.
typedef milo_status milo_vjp_fn(milo_grad *g, const milo_op *op, milo_value *const *seeds);
milo_builder *milo_grad_builder(milo_grad *g);
bool milo_grad_wants(const milo_grad *g, const milo_value *value);
// Adds to value's gradient. grad may have a shape that value was broadcast to: it is summed down.
// It may also be of value's rank with ones where it is the same along an axis.
void milo_grad_add(milo_grad *g, milo_value *value, milo_value *grad);

// Defines a composite: emits public operations (or simpler composites) that compute op's results.
// A public operation may have one too, for devices that do the others better; it is then defined by
// what ref does.
typedef milo_status milo_decompose_fn(milo_builder *b, const milo_op *op, milo_value **out);

typedef struct milo_op_info {
  const char *name;
  milo_param params[MILO_MAX_PARAMS];  // ends with name NULL
  unsigned domain[MILO_TYPE_VARS];     // bit (1 << milo_dtype) a type variable
  unsigned traits;
  size_t blocks;  // that it holds
  milo_infer_fn *infer;
  milo_vjp_fn *vjp;  // NULL: not differentiable (integer results, or zero gradient if `.zero_grad`)
  bool zero_grad;    // the gradient is zero everywhere: floor, comparisons, ...
  milo_decompose_fn *decompose;
} milo_op_info;

const milo_op_info *milo_op_info_get(milo_opcode code);  // a row with name NULL for unknown
milo_opcode milo_opcode_find(const char *name);          // MILO_OP_unknown if there is none
const milo_param *milo_op_param(milo_opcode code, const char *name);

// Checks the arguments of a known operation against its row: required ones there, no unknown ones,
// element types in the domains, type variables agreeing, constants constant. Reports all it finds.
MILO_MUST_USE milo_status milo_op_check(const milo_op *op, milo_diag *diag);

// Checks, then infers one operation's result types. Unknown operations: MILO_ERR_UNSUPPORTED
// without a message.
MILO_MUST_USE milo_status milo_op_infer(const milo_op *op, milo_types *out, milo_diag *diag);

// Checks a program: parameters against the rows, definitions before uses, unique names, declared
// against inferred types. Reports everything it finds. Unknown operations pass.
MILO_MUST_USE milo_status milo_ir_verify(const milo_program *program, milo_diag *diag);
MILO_MUST_USE milo_status milo_ir_verify_func(const milo_func *func, milo_diag *diag);

// Reports what is allowed and most likely wrong: operations and opsets that Milo does not know
// (each name once), numbers of the text that became infinities. Returns how many.
size_t milo_ir_lint(const milo_program *program, milo_diag *diag);
// The known operation whose name is nearest to one that is not, NULL if none is near.
const char *milo_op_nearest(const char *name);

// Gives the function's parameters concrete types and infers everything after them anew. What
// inference leaves unknown keeps its declared dims. types: one a parameter, compatible with its
// own. After a failure the function is of no use.
MILO_MUST_USE milo_status milo_func_specialize(milo_func *func, const milo_type *types,
                                               milo_diag *diag);

#endif
