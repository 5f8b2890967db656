// SPDX-License-Identifier: MIT
// The one intermediate representation: a MIL program in memory.
//
// A program owns an arena; functions, blocks, operations, values, names and literals live in it and
// are freed with it. Programs are counted (a function cloned into another program may share the
// literals of its origin). Nothing here can fail but for lack of memory, see base/arena.h.
#ifndef MILO_IR_IR_H
#define MILO_IR_IR_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/str.h"

typedef enum milo_opcode {
  MILO_OP_unknown,  // an operation that is not in the table: kept, printed, never run
#define OP(id, ...) MILO_OP_##id,
#include "ir/ops.def"
#undef OP
  MILO_OP_COUNT,
} milo_opcode;

// ---- types ----

#define MILO_DIM_UNKNOWN INT64_C(-1)

typedef enum milo_type_kind {
  MILO_TYPE_TENSOR,  // scalars too: rank 0. MIL's `fp32` and `tensor<fp32, []>` are the same type.
  MILO_TYPE_STATE,   // of elems[0]
  MILO_TYPE_LIST,    // of elems[0]
  MILO_TYPE_TUPLE,   // of elems[0 .. count)
  MILO_TYPE_DICT,    // elems[0] to elems[1]
  MILO_TYPE_OTHER,   // tensor_buffer<...> and the like: text kept as written
} milo_type_kind;

typedef struct milo_type {
  milo_type_kind kind;
  milo_dtype dtype;  // tensor
  int rank;          // tensor; -1: unknown
  union {
    int64_t dims[MILO_MAX_RANK];  // tensor; MILO_DIM_UNKNOWN where unknown
    struct {                      // every other kind
      const struct milo_type *elems;
      size_t count;      // tuple: number of elems
      int64_t length;    // list; MILO_DIM_UNKNOWN where unknown
      const char *text;  // other
    };
  };
} milo_type;

milo_type milo_type_tensor(milo_dtype dtype, int rank, const int64_t *dims);
milo_type milo_type_scalar(milo_dtype dtype);
bool milo_type_equal(const milo_type *a, const milo_type *b);
// Equal where both are known.
bool milo_type_compatible(const milo_type *a, const milo_type *b);
// What a and b have in common: unknown where they differ. False if nothing is: other kinds, other
// element types.
bool milo_type_join(const milo_type *a, const milo_type *b, milo_type *out);
// A tensor whose rank and dims are all known.
bool milo_type_is_static(const milo_type *type);
// Elements of a static tensor. Overflow cannot happen: types are checked when they enter (parser,
// builder, inference) so that the bytes of a static tensor fit in ptrdiff_t.
size_t milo_type_elements(const milo_type *type);
size_t milo_type_bytes(const milo_type *type);
// As MIL spells it; bare_scalars: `fp32` (version 1.3) instead of `tensor<fp32, []>` (1.0).
void milo_type_print(milo_str *out, const milo_type *type, bool bare_scalars);
const char *milo_type_format(milo_arena *arena, const milo_type *type, bool bare_scalars);

// ---- literals ----

typedef enum milo_literal_kind {
  MILO_LITERAL_DATA,     // dense tensor of numbers or bools in data
  MILO_LITERAL_STRINGS,  // tensor of strings: one a element
  MILO_LITERAL_ITEMS,    // list, tuple; dict: key, value, key, value, ...
  MILO_LITERAL_BLOB,     // tensor in a blob file; data is NULL until it was loaded
} milo_literal_kind;

typedef struct milo_literal {
  milo_literal_kind kind;
  milo_type type;
  const void *data;  // row-major, native element type, sub-byte types packed from the low bit
  size_t bytes;
  size_t count;  // strings or items; data: elements (the type's dims may be unknown)
  union {        // by kind
    const char *const *strings;
    const struct milo_literal *items;
    struct {
      const char *blob_path;
      uint64_t blob_offset;   // of the metadata record
      const char *blob_file;  // the file that data was loaded from
    };
  };
} milo_literal;

// ---- values, operations, blocks, functions ----

typedef struct milo_op milo_op;
typedef struct milo_block milo_block;
typedef struct milo_func milo_func;

typedef struct milo_value {
  const char *name;
  milo_type type;
  milo_op *def;                 // NULL: parameter, or a constant written in place of an argument
  uint32_t index;               // which result of def, or which parameter
  uint32_t id;                  // dense within the function after milo_func_number
  const milo_literal *literal;  // known value: result of `const`, or written in place; else NULL
} milo_value;

typedef struct milo_arg {
  const char *name;
  milo_value **values;
  size_t count;
  bool as_attribute;  // was written in the attribute list (constexpr operations of iOS16)
} milo_arg;

typedef struct milo_attr {
  const char *name;
  milo_literal value;
} milo_attr;

typedef struct milo_attrs {
  milo_attr *items;
  size_t count, capacity;
} milo_attrs;

struct milo_op {
  milo_opcode code;
  const char *name;   // of the operation, e.g. "matmul"
  const char *opset;  // override at the operation (`name<ios17>`), or NULL
  milo_loc loc;
  milo_arg *args;
  size_t arg_count, arg_capacity;
  milo_attrs attrs;
  milo_value **results;
  size_t result_count, result_capacity;
  milo_block **blocks;
  size_t block_count, block_capacity;
  milo_block *parent;
  milo_op *prev, *next;
};

struct milo_block {
  const char *name;  // may be NULL
  milo_func *func;
  milo_value **params;
  size_t param_count, param_capacity;
  milo_attrs attrs;
  milo_op *first, *last;
  milo_value **outputs;
  size_t output_count, output_capacity;
};

struct milo_func {
  const char *name;
  const char *opset;  // "ios15", ...; NULL if not written
  milo_loc loc;
  milo_program *program;
  milo_block *body;         // its params are the function's
  milo_attrs *param_attrs;  // one a parameter
  size_t param_attrs_capacity;
  milo_attrs attrs;
  uint32_t value_count;              // after milo_func_number
  struct milo_names *names;          // made by milo_func_fresh_name
  const milo_value_info *signature;  // inputs, then outputs, once a client has the program
};

// A finite number of the text that its type rounds to an infinity.
typedef struct milo_overflow {
  milo_loc loc;
  milo_dtype dtype;
} milo_overflow;

struct milo_program {
  milo_arena arena;
  atomic_int refs;                   // the last may go in another thread, with an executable
  int version_major, version_minor;  // 1.0 or 1.3
  bool has_attrs;                    // "[]" or more was written after program(...)
  bool final_newline;                // the text ended in one (Apple's own does not)
  milo_attrs attrs;
  milo_func **funcs;
  size_t func_count, func_capacity;
  milo_overflow *overflows;  // the first MILO_DIAG_MAX_ERRORS
  size_t overflow_count, overflow_capacity;
  struct milo_cleanup *cleanups;
};

// A new program, version 1.3 with no functions, one reference.
milo_program *milo_program_create(void);
void milo_program_retain(milo_program *program);
// milo_program_destroy (milo.h) is the release of a reference.

// Calls fn(user) when the program is freed, last added first: mapped files, origins.
void milo_program_on_free(milo_program *program, void (*fn)(void *user), void *user);

milo_func *milo_program_add_func(milo_program *program, const char *name, const char *opset);
// NULL name: the first. NULL if there is none.
milo_func *milo_program_find_func(const milo_program *program, const char *name);
void milo_program_remove_func(milo_program *program, milo_func *func);

milo_block *milo_block_create(milo_func *func);
milo_value *milo_func_add_param(milo_func *func, const char *name, milo_type type);
milo_value *milo_block_add_param(milo_block *block, const char *name, milo_type type);
void milo_func_add_output(milo_func *func, milo_value *value);
milo_value *milo_func_find_param(const milo_func *func, const char *name);
// A name nobody in the function has: stem, or stem_1, stem_2, ...
const char *milo_func_fresh_name(milo_func *func, const char *stem);
// Numbers all values (parameters, results, in-place constants; nested blocks too), in program
// order.
void milo_func_number(milo_func *func);
// A copy in program (which may be the function's own). Literal data is shared, and the origin kept
// alive by program. Renumbers func's values.
milo_func *milo_func_clone(milo_program *program, const milo_func *func, const char *name);

// Creates an operation before `before` (NULL: at the end of block). name need not be in the table.
milo_op *milo_op_create(milo_block *block, milo_op *before, const char *name, milo_loc loc);
// The same for a code that is known already; name lives as long as the program and is needed only
// for MILO_OP_unknown.
milo_op *milo_op_create_coded(milo_block *block, milo_op *before, milo_opcode code,
                              const char *name, milo_loc loc);
// A copy at the end of block, whose arguments and nested values are looked up in map by their id
// (milo_func_number); its results are entered there. In-place constants are copied.
milo_op *milo_op_clone(milo_block *to, const milo_op *op, milo_value **map);
void milo_op_remove(milo_op *op);
void milo_op_move_before(milo_op *op, milo_op *before);
void milo_op_add_arg(milo_op *op, const char *name, milo_value *const *values, size_t count);
milo_value *milo_op_add_result(milo_op *op, const char *name, milo_type type);
milo_block *milo_op_add_block(milo_op *op);
void milo_attrs_add(milo_arena *arena, milo_attrs *attrs, const char *name, milo_literal value);
const milo_literal *milo_attrs_find(const milo_attrs *attrs, const char *name);
milo_arena *milo_op_arena(const milo_op *op);

// An in-place constant (no operation defines it).
milo_value *milo_value_literal(milo_arena *arena, milo_literal literal);

// ---- reading an operation ----

const milo_arg *milo_op_arg(const milo_op *op, const char *name);  // NULL: not given
// The value given for a parameter (its first, if there are several); NULL if it was left out.
milo_value *milo_op_in(const milo_op *op, const char *name);
// Constant arguments, with the table's default where the argument is left out. The verifier has
// seen to it that the argument is constant and of the right type; else these assert.
bool milo_op_bool(const milo_op *op, const char *name);
int64_t milo_op_int(const milo_op *op, const char *name);
double milo_op_float(const milo_op *op, const char *name);
const char *milo_op_string(const milo_op *op, const char *name);
// Reads up to max integers (bools as 0/1); returns how many the argument holds, -1 if it was left
// out or its value is not known.
int milo_op_ints(const milo_op *op, const char *name, int64_t *out, int max);
// An axis argument counted from the end if negative; given rank > 0.
int milo_op_axis(const milo_op *op, const char *name, int rank);

// Calls fn for every value that op uses: its arguments, and what its blocks take from outside of
// op. The function is numbered.
void milo_op_each_use(const milo_op *op, void (*fn)(void *user, milo_value *value), void *user);

// The literal of a value, NULL if it is not a constant (or a blob that was not loaded).
const milo_literal *milo_value_constant(const milo_value *value);
// Number of elements of a numeric literal (its type's dims may be unknown).
size_t milo_literal_elements(const milo_literal *literal);
// Element i of a numeric literal.
double milo_literal_number(const milo_literal *literal, size_t i);
int64_t milo_literal_int(const milo_literal *literal, size_t i);

#endif
