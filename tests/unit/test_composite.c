// SPDX-License-Identifier: MIT
// Every composite, whole and expanded, on every device, against its definition on ref, at odd
// sizes, in fp32 and fp16.
#include "base/rng.h"
#include "op_run.h"
#include "pass/pass.h"

typedef struct composite_case {
  const char *name;
  const char *inputs;  // types and names; T stands for the element type. Values are drawn.
  const char *body;
  const char *results;
} composite_case;

#define ATTENTION(arguments)                                                                 \
  "tensor<T, [2,4,5,6]> o, tensor<T, [2,4,5]> l = attention(query = q, key = k, value = v, " \
  "scale = fp32(0.4)" arguments ")[name = string(\"o\")];"
static const composite_case cases[] = {
    {"rms_norm", "T[3,5,7] x; T[7] w",
     "tensor<T, [3,5,7]> y = rms_norm(x = x, weight = w, epsilon = fp32(1e-3))"
     "[name = string(\"y\")];",
     "T[3,5,7] y"},
    {"rms_norm_grad", "T[3,5,7] g; T[3,5,7] x; T[7] w",
     "tensor<T, [3,5,7]> y, tensor<T, [7]> z = rms_norm_grad(grad = g, x = x, weight = w)"
     "[name = string(\"y\")];",
     "T[3,5,7] y; T[7] z"},
    {"rope", "T[2,3,5,6] x; T[5,3] c; T[5,3] s",
     "tensor<T, [2,3,5,6]> y = rope(x = x, cos = c, sin = s)[name = string(\"y\")];",
     "T[2,3,5,6] y"},
    {"rope half inverse", "T[3,5,6] x; T[5,3] c; T[5,3] s",
     "tensor<T, [3,5,6]> y = rope(x = x, cos = c, sin = s, pairing = string(\"half\"), "
     "inverse = bool(true))[name = string(\"y\")];",
     "T[3,5,6] y"},
    {"attention", "T[2,4,5,6] q; T[2,2,5,6] k; T[2,2,5,6] v", ATTENTION(""),
     "T[2,4,5,6] o; T[2,4,5] l"},
    {"attention, not causal", "T[2,4,5,6] q; T[2,2,9,6] k; T[2,2,9,6] v",
     ATTENTION(", causal = bool(false)"), "T[2,4,5,6] o; T[2,4,5] l"},
    {"attention at a position", "T[2,4,5,6] q; T[2,2,9,6] k; T[2,2,9,6] v; int32[] p",
     ATTENTION(", position = p"), "T[2,4,5,6] o; T[2,4,5] l"},
    {"attention_grad", "T[2,4,5,6] g; T[2,4,5,6] q; T[2,2,5,6] k; T[2,2,5,6] v",
     ATTENTION("") "tensor<T, [2,4,5,6]> dq, tensor<T, [2,2,5,6]> dk, tensor<T, [2,2,5,6]> dv = "
                   "attention_grad(grad = g, query = q, key = k, value = v, out = o, lse = l, "
                   "scale = fp32(0.4))[name = string(\"dq\")];",
     "T[2,4,5,6] dq; T[2,2,5,6] dk; T[2,2,5,6] dv"},
    {"attention_grad, not causal", "T[2,4,5,6] g; T[2,4,5,6] q; T[2,2,3,6] k; T[2,2,3,6] v",
     ATTENTION(", causal = bool(false)") "tensor<T, [2,4,5,6]> dq, tensor<T, [2,2,3,6]> dk, "
                                         "tensor<T, [2,2,3,6]> dv = attention_grad(grad = g, "
                                         "query = q, key = k, value = v, out = o, lse = l, "
                                         "scale = fp32(0.4), causal = bool(false))"
                                         "[name = string(\"dq\")];",
     "T[2,4,5,6] dq; T[2,2,3,6] dk; T[2,2,3,6] dv"},
    {"scale_blocks", "int8[3,2,15] d; T[3,2,3] s",
     "tensor<T, [3,2,15]> y = scale_blocks(data = d, scale = s)[name = string(\"y\")];",
     "T[3,2,15] y"},
    {"silu_gate", "T[3,5] x; T[3,5] g",
     "tensor<T, [3,5]> y = silu_gate(x = x, y = g)[name = string(\"y\")];", "T[3,5] y"},
    {"silu_gate_grad", "T[3,5] d; T[3,5] x; T[3,5] g",
     "tensor<T, [3,5]> y, tensor<T, [3,5]> z = silu_gate_grad(grad = d, x = x, y = g)"
     "[name = string(\"y\")];",
     "T[3,5] y; T[3,5] z"},
    {"cross_entropy", "T[7,13] x; int32[7] t",
     "tensor<T, [7]> y, tensor<T, [7]> z = cross_entropy(logits = x, target = t)"
     "[name = string(\"y\")];",
     "T[7] y; T[7] z"},
    {"cross_entropy_grad", "T[7] g; T[7,13] x; int32[7] t",
     "tensor<T, [7]> n, tensor<T, [7]> l = cross_entropy(logits = x, target = t)"
     "[name = string(\"n\")];"
     "tensor<T, [7,13]> y = cross_entropy_grad(grad = g, logits = x, target = t, lse = l)"
     "[name = string(\"y\")];",
     "T[7,13] y"},
    {"max_pool_grad", "T[2,3,3,4] g; T[2,3,7,8] x",
     "tensor<T, [2,3,7,8]> y = max_pool_grad(grad = g, x = x, kernel_sizes = tensor<int32, "
     "[2]>([3,2]), strides = tensor<int32, [2]>([2,2]), pad_type = string(\"valid\"))"
     "[name = string(\"y\")];",
     "T[2,3,7,8] y"},
    {"max_pool_grad, equal elements", "T[2,2,7] g; T[2,2,7] x0",
     "tensor<T, [2,2,7]> x = sign(x = x0)[name = string(\"x\")];"
     "tensor<T, [2,2,7]> y = max_pool_grad(grad = g, x = x, kernel_sizes = tensor<int32, "
     "[1]>([3]), pad_type = string(\"same\"))[name = string(\"y\")];",
     "T[2,2,7] y"},
    {"max_pool_grad, padding alone", "T[1,2,4] g; T[1,2,3] x",
     "tensor<T, [1,2,3]> y = max_pool_grad(grad = g, x = x, kernel_sizes = tensor<int32, "
     "[1]>([2]), strides = tensor<int32, [1]>([3]), pad_type = string(\"custom\"), "
     "pad = tensor<int32, [2]>([5,3]))[name = string(\"y\")];",
     "T[1,2,3] y"},
    {"avg_pool_grad", "T[2,3,4,3] g",
     "tensor<T, [2,3,7,6]> y = avg_pool_grad(grad = g, shape = tensor<int32, [4]>([2,3,7,6]), "
     "kernel_sizes = tensor<int32, [2]>([3,2]), strides = tensor<int32, [2]>([2,2]), "
     "pad_type = string(\"same_lower\"))[name = string(\"y\")];",
     "T[2,3,7,6] y"},
    {"avg_pool_grad without padding", "T[1,2,4,3,3] g",
     "tensor<T, [1,2,7,6,5]> y = avg_pool_grad(grad = g, shape = tensor<int32, [5]>([1,2,7,6,5]), "
     "kernel_sizes = tensor<int32, [3]>([3,2,3]), strides = tensor<int32, [3]>([2,2,2]), "
     "pad_type = string(\"custom\"), pad = tensor<int32, [6]>([1,1,0,0,1,1]), "
     "exclude_padding_from_average = bool(true))[name = string(\"y\")];",
     "T[1,2,7,6,5] y"},
    {"avg_pool_grad beyond the padding", "T[1,2,4,3] g",
     "tensor<T, [1,2,6,5]> y = avg_pool_grad(grad = g, shape = tensor<int32, [4]>([1,2,6,5]), "
     "kernel_sizes = tensor<int32, [2]>([3,3]), strides = tensor<int32, [2]>([2,2]), "
     "pad_type = string(\"custom\"), pad = tensor<int32, [4]>([1,1,1,1]), ceil_mode = bool(true))"
     "[name = string(\"y\")];",
     "T[1,2,6,5] y"},
    {"adamw", "T[3,7] x; T[3,7] g; T[3,7] m; T[3,7] v0; T[] r; T[] s; T[] b1; T[] b2",
     "tensor<T, [3,7]> v = square(x = v0)[name = string(\"v\")];"
     "tensor<T, []> c1 = exp(x = b1)[name = string(\"c1\")];"
     "tensor<T, []> c2 = exp(x = b2)[name = string(\"c2\")];"
     "tensor<T, [3,7]> y, tensor<T, [3,7]> z, tensor<T, [3,7]> w = adamw(param = x, grad = g, "
     "m = m, v = v, lr = r, grad_scale = s, bias1 = c1, bias2 = c2, beta1 = fp32(0.9), "
     "beta2 = fp32(0.95), epsilon = fp32(1e-2), weight_decay = fp32(0.1))[name = string(\"y\")];",
     "T[3,7] y; T[3,7] z; T[3,7] w"},
};

// Replaces the element type, T, and gives each tensor the values that draw makes.
static void write_type(const char *text, const char *dtype, milo_str *out) {
  for (const char *p = text; *p != '\0'; p++) {
    const bool whole = *p == 'T' && (p == text || strchr(" <;", p[-1]) != NULL);
    if (whole)
      milo_str_puts(out, dtype);
    else
      milo_str_putc(out, *p);
  }
}

// Elements of the shape "2,3" that ends at end.
static size_t count_of(const char *shape, const char *end) {
  size_t count = 1;
  while (shape < end) {
    char *after;
    count *= strtoul(shape, &after, 10);
    shape = after + 1;
  }
  return count;
}

// "fp32[2] x; int32[] p" with values: floats in (-1, 1), integers 0 to 4.
static void draw(const char *inputs, run_tensors *out) {
  milo_str text = {0};
  uint64_t drawn = 0;
  for (const char *p = inputs; *p != '\0';) {
    const char *open = strchr(p, '['), *close = strchr(p, ']'), *end = strchr(p, ';');
    if (end == NULL) end = p + strlen(p);
    milo_str_add(&text, p, (size_t)(end - p));
    milo_str_puts(&text, " =");
    const size_t count = count_of(open + 1, close);
    for (size_t i = 0; i < count; i++, drawn++) {
      if (strstr(p, "int32") != NULL && strstr(p, "int32") < end)
        milo_str_printf(&text, " %d", (int)milo_rng_below(11, 3, drawn, 5));
      else
        milo_str_printf(&text, " %.4f", 2 * milo_rng_uniform(11, 3, drawn) - 1);
    }
    if (*end == ';') milo_str_puts(&text, ";");
    p = *end == ';' ? end + 1 : end;
  }
  run_parse(text.data, out);
  milo_str_deinit(&text);
}

static void check_on(milo_device *device, const milo_program *program, bool expand,
                     const run_tensors *inputs, const run_tensors *wanted, const char *name,
                     double steps) {
  static run_tensors results;
  milo_diag diag = {0};
  milo_program *copy = milo_program_create();
  milo_func *func = milo_func_clone(copy, milo_program_find_func(program, NULL), "main");
  const milo_pass_options options = {0};
  milo_status status = expand ? milo_pass_expand(func, &options, &diag) : MILO_OK;
  results = *wanted;
  if (status == MILO_OK) status = run_func(device, func, inputs, &results, &diag);
  if (!CHECK(status == MILO_OK) || !CHECK(run_compare(&results, wanted, steps)))
    printf("# %s, %s, on %s: %s\n", name, expand ? "expanded" : "whole", device->type->name,
           milo_diag_text(&diag));
  milo_program_destroy(copy);
  milo_diag_deinit(&diag);
}

static void run_case(const composite_case *c, const char *dtype, double steps) {
  static run_tensors inputs, wanted;
  static const milo_host host = {0};
  milo_diag diag = {0};
  milo_str text[3] = {{0}, {0}, {0}};
  write_type(c->inputs, dtype, &text[0]);
  write_type(c->body, dtype, &text[1]);
  write_type(c->results, dtype, &text[2]);
  draw(text[0].data, &inputs);
  draw(text[2].data, &wanted);
  milo_program *program = run_program(&inputs, text[1].data, &wanted, &diag);
  if (!CHECK(program != NULL)) printf("# %s: %s\n", c->name, milo_diag_text(&diag));
  for (size_t i = 0; program != NULL && milo_device_types[i] != NULL; i++) {
    milo_device *device;
    if (milo_device_open(milo_device_types[i]->name, &host, &diag, &device) != MILO_OK) continue;
    if (i == 0) {  // ref, whole: the definition
      const milo_func *func = milo_program_find_func(program, NULL);
      if (!CHECK(run_func(device, func, &inputs, &wanted, &diag) == MILO_OK))
        printf("# %s: %s\n", c->name, milo_diag_text(&diag));
    } else {
      check_on(device, program, false, &inputs, &wanted, c->name, steps);
    }
    check_on(device, program, true, &inputs, &wanted, c->name, steps);
    milo_device_close(device);
  }
  milo_program_destroy(program);
  for (int i = 0; i < 3; i++) milo_str_deinit(&text[i]);
  milo_diag_deinit(&diag);
}

// Seen: 1.8 units.
static void test_fp32(void) {
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) run_case(&cases[i], "fp32", 6);
}

// Expanded programs round each step, so a few roundings may add up: 1.7 units seen.
static void test_fp16(void) {
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) run_case(&cases[i], "fp16", 4);
}

static void test_every_composite_has_a_case(void) {
  for (int code = MILO_OP_unknown + 1; code < MILO_OP_COUNT; code++) {
    const milo_op_info *info = milo_op_info_get((milo_opcode)code);
    if ((info->traits & MILO_OP_COMPOSITE) == 0) continue;
    bool found = false;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
      found = found || run_calls(cases[i].body, info->name);
    if (!CHECK(found) || !CHECK(info->decompose != NULL)) printf("# %s\n", info->name);
  }
}

// ---- queries that see no key ----

#define MASKED_SHAPES "fp32[1,2,4,2] q; fp32[1,2,3,2] k; fp32[1,2,3,2] v"
#define MASKED_BODY                                                                     \
  "tensor<fp32, [1,2,4,2]> o, tensor<fp32, [1,2,4]> l = attention(query = q, key = k, " \
  "value = v, scale = fp32(0.4), position = p)[name = string(\"o\")];"
enum { MASKED_QUERIES = 4, MASKED_HEADS = 2, MASKED_WIDTH = 2 };

typedef enum masked_form { WHOLE, EXPANDED, EXPANDED_FIRST } masked_form;

// The gradients of q, k and v from o's (and l's) appended to the function, in one of three ways.
static milo_func *masked_gradient(const milo_program *program, milo_program *copy, masked_form form,
                                  milo_diag *diag) {
  const milo_pass_options options = {0};
  milo_func *func = milo_func_clone(copy, milo_program_find_func(program, NULL), "main");
  milo_status status = form == EXPANDED_FIRST ? milo_pass_expand(func, &options, diag) : MILO_OK;
  if (status == MILO_OK) status = milo_autodiff(func, &func->body->params[0], 3, diag);
  if (status == MILO_OK && form == EXPANDED) status = milo_pass_expand(func, &options, diag);
  if (!CHECK(status == MILO_OK)) printf("# %s\n", milo_diag_text(diag));
  return status == MILO_OK ? func : NULL;
}

// Results of one way on one device; compared with wanted unless they are the first.
static void check_masked(milo_device *device, const milo_program *program, masked_form form,
                         const run_tensors *inputs, run_tensors *wanted, bool first) {
  static run_tensors results, with_seeds;
  milo_diag diag = {0};
  milo_program *copy = milo_program_create();
  milo_func *func = masked_gradient(program, copy, form, &diag);
  if (func != NULL) {
    with_seeds = *inputs;
    for (size_t i = 4; i < func->body->param_count; i++) {  // grad_o, grad_l
      run_tensor *t = &with_seeds.items[with_seeds.count++];
      *t = (run_tensor){.type = func->body->params[i]->type};
      t->count = milo_type_elements(&t->type);
      for (size_t k = 0; k < t->count; k++) t->values[k] = 0.25 * (double)(k % 7) - 0.5;
    }
    results = (run_tensors){0};
    for (size_t i = 0; i < func->body->output_count; i++) {
      run_tensor *t = &results.items[results.count++];
      *t = (run_tensor){.type = func->body->outputs[i]->type};
      t->count = milo_type_elements(&t->type);
      snprintf(t->name, sizeof t->name, "%s", func->body->outputs[i]->name);
    }
    if (CHECK(run_func(device, func, &with_seeds, &results, &diag) == MILO_OK) && first)
      *wanted = results;
    else if (!CHECK(run_compare(&results, wanted, 4)))
      printf("# form %d on %s, position %g\n", (int)form, device->type->name,
             inputs->items[3].values[0]);
  }
  if (diag.errors > 0) printf("# %s\n", milo_diag_text(&diag));
  milo_program_destroy(copy);
  milo_diag_deinit(&diag);
}

// What the definition says of the rows that see nothing, and that nothing else is touched.
static void check_masked_rows(const run_tensors *t, double position) {
  const run_tensor *out = &t->items[0], *lse = &t->items[1];
  for (size_t row = 0; row < (size_t)(MASKED_HEADS * MASKED_QUERIES); row++) {
    const bool seen = (double)(row % MASKED_QUERIES) + position >= 0;
    CHECK(seen ? isfinite(lse->values[row]) : lse->values[row] == -(double)INFINITY);
    for (size_t d = 0; d < MASKED_WIDTH; d++) {
      CHECK((out->values[row * MASKED_WIDTH + d] != 0) == seen);
      const double dq = t->items[2].values[row * MASKED_WIDTH + d];
      CHECK(isfinite(dq) && (seen || dq == 0));
    }
  }
  for (int i = 3; i < t->count; i++)
    for (size_t k = 0; k < t->items[i].count; k++) CHECK(isfinite(t->items[i].values[k]));
}

static void check_masked_position(const char *dtype, double position) {
  static run_tensors inputs, wanted, drawn;
  static const milo_host host = {0};
  milo_diag diag = {0};
  draw(MASKED_SHAPES, &drawn);
  inputs = drawn;
  inputs.items[3] = (run_tensor){.name = "p", .type = milo_type_scalar(milo_dtype_find(dtype))};
  inputs.items[3].count = 1;
  inputs.items[3].values[0] = position;
  inputs.count = 4;
  wanted = (run_tensors){.count = 2, .items = {{.name = "o"}, {.name = "l"}}};
  milo_program *program = run_program(&inputs, MASKED_BODY, &wanted, &diag);
  if (!CHECK(program != NULL)) printf("# %s\n", milo_diag_text(&diag));
  bool first = true;
  for (size_t i = 0; program != NULL && milo_device_types[i] != NULL; i++) {
    milo_device *device;
    if (milo_device_open(milo_device_types[i]->name, &host, &diag, &device) != MILO_OK) continue;
    for (masked_form form = WHOLE; form <= EXPANDED_FIRST; form++, first = false) {
      check_masked(device, program, form, &inputs, &wanted, first);
      if (first) check_masked_rows(&wanted, position);
    }
    milo_device_close(device);
  }
  milo_program_destroy(program);
  milo_diag_deinit(&diag);
}

// Out 0, lse -inf, gradient 0: on every device, whole and expanded, before autodiff and after; and
// positions that no sum of indices may be computed with.
static void test_unseen(void) {
  static const double positions[] = {-1, -2, -3, -4, -5, 0, 2, 3, -2147483648.0, 2147483647.0};
  for (size_t i = 0; i < sizeof positions / sizeof *positions; i++)
    check_masked_position("int32", positions[i]);
  static const double wide[] = {-2, 1, -0x1p63, -0x1p40, 0x1p40, 0x1.fffffffffffffp62};
  for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) check_masked_position("int64", wide[i]);
}

int main(void) {
  RUN(test_fp32);
  RUN(test_fp16);
  RUN(test_every_composite_has_a_case);
  RUN(test_unseen);
  return tap_done();
}
