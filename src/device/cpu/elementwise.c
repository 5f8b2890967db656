// SPDX-License-Identifier: MIT
// Elementwise operations. A chain of them becomes one step: a short program over registers that
// are tiles of TILE floats in L1, run tile by tile. Operands of any layout and type are loaded into
// tiles; dense fp32 ones are used where they are.
#include "device/elementwise.h"
#include "device/cpu/code.h"
#include "kernels/convert.h"
#include "kernels/rows.h"

enum {
  TILE = 512,
  REGISTERS = 8,
  DEFER_REGISTERS = 6,  // a select of three such trees still fits
  MAX_INSTRUCTIONS = 48,
  MAX_LOADS = 16,
  TASK_TILES = 32,
  ROW_MODE = 128,  // rows at least this long are cut into tiles of their own
};

typedef enum kind { NONE, ONE, TWO, SELECT, CAST, GELU } kind;

static const struct {
  uint8_t kind, index;
} table[MILO_OP_COUNT] = {
#define UNARY(id, ...) [MILO_OP_##id] = {ONE, MILO_UNARY_##id},
#define FORM(...)
#define BINARY(id, ...) [MILO_OP_##id] = {TWO, MILO_BINARY_##id},
#include "kernels/elementwise.def"
    [MILO_OP_gelu] = {GELU, 0},
    [MILO_OP_select] = {SELECT, 0},
    [MILO_OP_cast] = {CAST, 0},
};

// The tensor operands of an operation, in the order in which its kernel takes them.
static int operands(const milo_op *op, const milo_value **out) {
  static const char *const names[][3] = {
      [ONE] = {"x"},  [TWO] = {"x", "y"}, [SELECT] = {"cond", "a", "b"},
      [CAST] = {"x"}, [GELU] = {"x"},
  };
  int count = 0;
  for (; count < 3 && names[table[op->code].kind][count]; ++count)
    out[count] = milo_op_in(op, names[table[op->code].kind][count]);
  return count;
}

static bool is_f32_exact(milo_dtype dtype) {
  return milo_convert_supports(dtype) && dtype != MILO_INT32 && dtype != MILO_UINT32;
}

// Is fp32 arithmetic right for the operation's types?
static bool can(const milo_op *op) {
  if (table[op->code].kind == NONE) return false;
  const milo_value *args[3];
  const int count = operands(op, args);
  const milo_dtype out = op->results[0]->type.dtype;
  if (!milo_convert_supports(out)) return false;
  for (int i = 0; i < count; ++i)
    if (!milo_convert_supports(args[i]->type.dtype)) return false;
  const milo_dtype x = args[count - 1]->type.dtype;
  if (table[op->code].kind == CAST)
    return milo_dtype_is_float(out) || milo_dtype_is_float(x) || out == MILO_BOOL || x == MILO_BOOL;
  if (table[op->code].kind == SELECT) return is_f32_exact(x);
  if (out == MILO_BOOL) return is_f32_exact(x);
  return milo_dtype_is_float(out);
}

// ---- the program of a step ----

typedef struct operand {
  int8_t reg;   // register, or -1
  int8_t load;  // dense fp32 operand read in place, or -1
} operand;

typedef struct instruction {
  uint8_t kind;  // NONE: load
  uint8_t index;
  int8_t out;  // register; -1: the result, which may be stored in place
  int8_t load;
  uint8_t round;  // half precision that the value is rounded to in the register; 0: none
  operand in[3];
  float params[2];
} instruction;

typedef struct program {
  instruction *code;
  int count;
  milo_view *views;  // collapsed; [0] is the result, view_count more are loaded
  int view_count;
  bool row_mode;
  size_t rows, inner, tiles_per_row;
} program;

// A tree under construction.
typedef struct builder {
  milo_code *c;
  program *p;
  const milo_op *root;
  milo_view loads[MAX_LOADS + 1];
  unsigned free_registers;
} builder;

static float epsilon_of(const milo_op *op) {
  const milo_value *given = milo_op_in(op, "epsilon");
  const double value = milo_op_float(op, "epsilon");
  if (given) return (float)value;
  // The table's default, as if it had been written in the operand's type.
  switch (milo_op_in(op, "x")->type.dtype) {
    case MILO_FP16:
      return milo_fp16_to_f32(milo_f64_to_fp16(value));
    case MILO_BF16:
      return milo_bf16_to_f32(milo_f64_to_bf16(value));
    default:
      return (float)value;
  }
}

static void set_constants(const milo_op *op, instruction *i) {
  switch (op->code) {
    case MILO_OP_rsqrt:
    case MILO_OP_inverse:
    case MILO_OP_log:
      i->params[0] = epsilon_of(op);
      break;
    case MILO_OP_leaky_relu:
    case MILO_OP_elu:
      i->params[0] = (float)milo_op_float(op, "alpha");
      break;
    case MILO_OP_clip:
      i->params[0] = (float)milo_op_float(op, "alpha");
      i->params[1] = (float)milo_op_float(op, "beta");
      break;
    default:
      break;
  }
}

static int8_t take_register(builder *b) {
  for (int r = 0; r < REGISTERS; ++r)
    if (b->free_registers & (1u << r)) {
      b->free_registers &= ~(1u << r);
      return (int8_t)r;
    }
  return -1;
}

static void give_register(builder *b, operand o) {
  if (o.reg >= 0) b->free_registers |= 1u << o.reg;
}

static operand build(builder *b, const milo_value *value);

// Appends the operation's instruction after those of its operands; out: register, -1 for the root.
static operand build_op(builder *b, const milo_op *op, bool is_root) {
  const milo_value *args[3];
  const int count = operands(op, args);
  instruction next = {.kind = table[op->code].kind, .index = table[op->code].index, .load = -1};
  const milo_dtype dtype = op->results[0]->type.dtype;
  // A cast to fp32 inside a chain only renames: everything is loaded into fp32 anyway.
  if (next.kind == CAST && !is_root && dtype == MILO_FP32) return build(b, args[0]);
  if (!is_root && (dtype == MILO_FP16 || dtype == MILO_BF16)) next.round = (uint8_t)dtype;
  for (int i = 0; i < count; ++i) next.in[i] = build(b, args[i]);
  if (next.kind == CAST || next.kind == GELU) {
    next.index = next.kind == GELU ? (uint8_t)milo_gelu_form(op) : (uint8_t)MILO_UNARY_copy;
    next.kind = ONE;
  }
  set_constants(op, &next);
  for (int i = 0; i < count; ++i) give_register(b, next.in[i]);
  next.out = is_root ? -1 : take_register(b);
  b->p->code[b->p->count++] = next;
  return (operand){next.out, -1};
}

static operand build(builder *b, const milo_value *value) {
  if (b->c->deferred[value->id]) return build_op(b, value->def, false);
  const milo_view v = milo_code_stored(b->c, value);
  const milo_type *type = &b->root->results[0]->type;
  const milo_view wide = milo_view_broadcast(&v, type->rank, type->dims);
  const int8_t load = (int8_t)++b->p->view_count;
  b->loads[load] = wide;
  instruction i = {.kind = NONE, .load = load, .out = take_register(b)};
  b->p->code[b->p->count++] = i;
  return (operand){i.out, load};
}

// Counts of the tree below a value: instructions and loads.
static void measure(const milo_code *c, const milo_value *value, int *instructions, int *loads) {
  ++*instructions;
  if (!c->deferred[value->id]) {
    ++*loads;
    return;
  }
  const milo_value *args[3];
  const int count = operands(value->def, args);
  for (int i = 0; i < count; ++i) measure(c, args[i], instructions, loads);
}

bool milo_elementwise_defers(milo_code *c, const milo_op *op) {
  if (!can(op)) return false;
  const milo_value *result = op->results[0];
  const milo_op *user = c->user[result->id];
  if (c->uses[result->id] != 1 || c->is_output[result->id] || !user || !can(user)) return false;
  const milo_type *to = &user->results[0]->type;
  if (to->rank != result->type.rank ||
      memcmp(to->dims, result->type.dims, sizeof *to->dims * (size_t)to->rank) != 0)
    return false;
  // A cast to an integer or bool changes values in ways that registers of floats do not show.
  if (table[op->code].kind == CAST && !milo_dtype_is_float(result->type.dtype)) return false;
  const milo_value *args[3];
  const int count = operands(op, args);
  uint8_t need = 1;
  int instructions = 1, loads = 0;
  for (int i = 0; i < count; ++i) {
    const uint8_t own = c->deferred[args[i]->id] ? c->deferred[args[i]->id] : 1;
    if (own + i > need) need = (uint8_t)(own + i);
    measure(c, args[i], &instructions, &loads);
  }
  // A select of three trees of this size stays within the limits.
  if (need > DEFER_REGISTERS || 3 * instructions + 1 > MAX_INSTRUCTIONS || 3 * loads > MAX_LOADS)
    return false;
  c->deferred[result->id] = need;
  return true;
}

// ---- running ----

typedef struct job {
  const program *p;
  const milo_rows *kernels;
  char *data[MAX_LOADS + 1];
  size_t tiles;
} job;

// Loads n elements of a view from row-major position (row, column) on into out.
static void gather(const milo_rows *kernels, const milo_view *v, const char *data, size_t at,
                   size_t n, float *out) {
  const int last = v->rank - 1;
  const size_t inner = (size_t)v->dims[last];
  const ptrdiff_t bytes = (ptrdiff_t)(milo_dtype_bits(v->dtype) / 8);
  size_t row = at / inner, column = at % inner;
  while (n > 0) {
    size_t rest = row;
    ptrdiff_t offset = (ptrdiff_t)column * v->strides[last];
    for (int i = last - 1; i >= 0; --i) {
      offset += (ptrdiff_t)(rest % (size_t)v->dims[i]) * v->strides[i];
      rest /= (size_t)v->dims[i];
    }
    const size_t m = inner - column < n ? inner - column : n;
    const char *from = data + offset * bytes;
    if (v->strides[last] == 0) {
      milo_load_f32(kernels, out, from, v->dtype, 0, 1);
      const float x = out[0];
      for (size_t i = 1; i < m; ++i) out[i] = x;
    } else {
      milo_load_f32(kernels, out, from, v->dtype, v->strides[last], m);
    }
    out += m;
    n -= m;
    column = 0;
    ++row;
  }
}

static char *in_place(const milo_view *v, char *data, size_t row, size_t column) {
  const int last = v->rank - 1;
  ptrdiff_t offset = (ptrdiff_t)column * v->strides[last];
  for (int i = last - 1; i >= 0; --i) {
    offset += (ptrdiff_t)(row % (size_t)v->dims[i]) * v->strides[i];
    row /= (size_t)v->dims[i];
  }
  return data + offset * (ptrdiff_t)(milo_dtype_bits(v->dtype) / 8);
}

static void round_tile(const milo_rows *kernels, float *x, size_t n, milo_dtype dtype) {
  uint16_t half[TILE];
  milo_store_f32(kernels, half, dtype, 1, x, n);
  milo_load_f32(kernels, x, half, dtype, 1, n);
}

static void run_tile(const job *w, size_t row, size_t column, size_t n) {
  float registers[REGISTERS][TILE] __attribute__((aligned(64)));
  const program *p = w->p;
  const float *direct[MAX_LOADS + 1];
  const milo_view *result = &p->views[0];
  const size_t at = row * p->inner + column;
  char *out = in_place(result, w->data[0], p->row_mode ? row : at / p->inner,
                       p->row_mode ? column : at % p->inner);
  float *target = result->dtype == MILO_FP32 ? (float *)(void *)out : registers[REGISTERS - 1];
  for (int i = 0; i < p->count; ++i) {
    const instruction *o = &p->code[i];
    if (o->kind == NONE) {
      const milo_view *v = &p->views[o->load];
      const ptrdiff_t stride = v->strides[v->rank - 1];
      const bool dense = v->dtype == MILO_FP32 && stride == 1 && (p->row_mode || v->rank == 1);
      direct[o->load] = registers[o->out];
      if (dense)
        direct[o->load] = (const float *)(const void *)in_place(v, w->data[o->load], row, column);
      else
        gather(w->kernels, v, w->data[o->load], at, n, registers[o->out]);
      continue;
    }
    float *to = o->out >= 0 ? registers[o->out] : target;
    const float *in[3] = {NULL, NULL, NULL};
    for (int k = 0; k < 3; ++k)
      in[k] = o->in[k].load > 0 ? direct[o->in[k].load] : registers[o->in[k].reg];
    switch (o->kind) {
      case ONE:
        w->kernels->unary[o->index](to, in[0], n, o->params);
        break;
      case TWO:
        w->kernels->binary[o->index](to, in[0], in[1], n);
        break;
      case SELECT:
        w->kernels->select(to, in[0], in[1], in[2], n);
        break;
      default:
        break;
    }
    if (o->round != 0) round_tile(w->kernels, to, n, (milo_dtype)o->round);
  }
  if (result->dtype != MILO_FP32) milo_store_f32(w->kernels, out, result->dtype, 1, target, n);
}

static void run_task(void *user, size_t t, int worker) {
  (void)worker;
  const job *w = user;
  const program *p = w->p;
  size_t tile = t * TASK_TILES;
  const size_t end = tile + TASK_TILES < w->tiles ? tile + TASK_TILES : w->tiles;
  for (; tile < end; ++tile) {
    const size_t row = tile / p->tiles_per_row, column = tile % p->tiles_per_row * TILE;
    run_tile(w, row, column, p->inner - column < TILE ? p->inner - column : TILE);
  }
}

static milo_status run_program(const milo_cpu_run *run, const void *args) {
  const program *p = args;
  job w = {.p = p, .kernels = run->exec->rows, .tiles = p->rows * p->tiles_per_row};
  for (int i = 0; i <= p->view_count; ++i) w.data[i] = milo_view_data(run, &p->views[i]);
  milo_pool_run(run->exec->pool, (w.tiles + TASK_TILES - 1) / TASK_TILES, run_task, &w);
  return MILO_OK;
}

// ---- making the step ----

// An order of axes, outermost first, in which the first full operand is most nearly dense.
static void axis_order(const builder *b, int rank, const int64_t *dims, int64_t *order) {
  for (int i = 0; i < rank; ++i) order[i] = i;
  if (b->c->is_output[b->root->results[0]->id]) return;
  for (int k = 1; k <= b->p->view_count; ++k) {
    const milo_view *v = &b->loads[k];
    bool full = true;
    for (int i = 0; i < rank; ++i) full = full && (dims[i] == 1 || v->strides[i] > 0);
    if (!full) continue;
    for (int i = 1; i < rank; ++i) {
      const int64_t axis = order[i];
      if (dims[axis] == 1) continue;
      int j = i;
      for (; j > 0 && (dims[order[j - 1]] == 1 || v->strides[order[j - 1]] < v->strides[axis]); --j)
        order[j] = order[j - 1];
      order[j] = axis;
    }
    return;
  }
}

bool milo_emit_elementwise(milo_code *c, const milo_op *op) {
  if (!can(op)) return false;
  const milo_type *type = &op->results[0]->type;
  // Most are short: only what is used goes to the arena.
  instruction code[MAX_INSTRUCTIONS];
  milo_view views[MAX_LOADS + 1];
  program draft = {.code = code, .views = views}, *p = &draft;
  builder b = {.c = c, .p = p, .root = op, .free_registers = (1u << REGISTERS) - 1};
  build_op(&b, op, true);

  int64_t order[MILO_MAX_RANK], dims[MILO_MAX_RANK], back[MILO_MAX_RANK];
  axis_order(&b, type->rank, type->dims, order);
  for (int i = 0; i < type->rank; ++i) dims[i] = type->dims[order[i]];
  for (int i = 0; i < type->rank; ++i) back[order[i]] = i;
  p->views[0] = milo_code_new(c, type->dtype, type->rank, dims);
  const milo_view result = milo_view_transpose(&p->views[0], back);
  for (int k = 1; k <= p->view_count; ++k) {
    p->views[k] = milo_view_transpose(&b.loads[k], order);
    milo_code_reads(c, &b.loads[k]);
  }
  milo_code_writes(c, &result);
  for (int k = 1; k <= p->view_count; ++k) milo_code_in_place(c, &result, &b.loads[k]);
  milo_views_collapse(p->views, (size_t)p->view_count + 1);

  const milo_view *out = &p->views[0];
  const size_t elements = milo_view_elements(out), inner = (size_t)out->dims[out->rank - 1];
  p->row_mode = out->rank == 1 || inner >= ROW_MODE;
  if (p->row_mode) {
    p->inner = inner;
    p->rows = elements > 0 ? elements / inner : 0;
  } else {
    p->inner = elements;
    p->rows = elements > 0 ? 1 : 0;
  }
  p->tiles_per_row = (p->inner + TILE - 1) / TILE;
  milo_code_set(c, op->results[0], &result);
  p->code = milo_arena_copy(&c->arena, code, (size_t)p->count * sizeof *code);
  p->views = milo_arena_copy(&c->arena, views, ((size_t)p->view_count + 1) * sizeof *views);
  milo_code_add_step(c, op, run_program, milo_arena_copy(&c->arena, p, sizeof *p), 0);
  return true;
}
