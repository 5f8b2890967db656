// SPDX-License-Identifier: MIT
// Gradients against central differences in fp64 on the reference device; the expanded, printed,
// narrowed and split forms of each gradient against the whole one.
#include <ctype.h>

#include "base/number.h"
#include "base/rng.h"
#include "base/str.h"
#include "device/buffer.h"
#include "device/ref/ref.h"
#include "grad_cases.h"
#include "ir/op.h"
#include "pass/pass.h"
#include "tap.h"
#include "text/text.h"

enum { MAX_VALUES = 16 };

// ---- from a case to a function ----

static void skip_space(const char **at) {
  while (**at == ' ') (*at)++;
}

// "name:dtype[dims]" at *at as `type name`; appends the name to names if it is not NULL.
static void expand_value(const char **at, const char *dtype, milo_str *out, milo_str *names) {
  char name[32], type[16];
  size_t n = 0, t = 0;
  skip_space(at);
  while (isalnum((unsigned char)**at)) name[n++] = *(*at)++;
  name[n] = '\0';
  snprintf(type, sizeof type, "%s", dtype);
  if (**at == ':') {
    (*at)++;
    while (**at != '[') type[t++] = *(*at)++;
    type[t] = '\0';
  }
  const size_t dims = strcspn(*at, "]") + 1;
  milo_str_printf(out, "tensor<%s, %.*s> %s", type, (int)dims, *at, name);
  *at += dims;
  if (names != NULL) milo_str_printf(names, " %s ", name);
}

// One call, up to ';' or the end. {..} becomes a constant list.
static void expand_call(const char **at, const char *dtype, milo_str *out) {
  for (; **at != ';' && **at != '\0'; (*at)++) {
    if (**at == '{') {
      const size_t bytes = strcspn(*at, "}") - 1;
      int count = 1;
      for (size_t i = 0; i < bytes; i++) count += (*at)[1 + i] == ',';
      const char *type = strchr("tf", (*at)[1]) != NULL ? "bool" : "int32";
      milo_str_printf(out, "tensor<%s, [%d]>([%.*s])", type, count, (int)bytes, *at + 1);
      *at += bytes + 1;
    } else if (strncmp(*at, "fp64", 4) == 0) {
      milo_str_printf(out, "%s", dtype);
      *at += 3;
    } else {
      milo_str_printf(out, "%c", **at);
    }
  }
}

// Is name an argument of any call of body?
static bool is_read(const char *body, const char *name) {
  const size_t length = strlen(name);
  for (const char *p = body; (p = strstr(p, name)) != NULL; p++) {
    const char *before = p - 1, *after = p + length;
    while (before > body && *before == ' ') before--;
    while (*after == ' ') after++;
    const bool argument = p > body && strchr("=(,", *before) != NULL;
    if (argument && !isalnum((unsigned char)p[-1]) && strchr(",)", *after) != NULL) return true;
  }
  return false;
}

// The case as MIL, with dtype in place of fp64.
static char *to_mil(const grad_case *c, const char *dtype) {
  milo_str mil = {0}, made = {0};
  milo_str_printf(&mil, "program(1.3)\n{\n    func main<ios18>(");
  for (const char *at = c->inputs; *at != '\0';) {
    expand_value(&at, dtype, &mil, NULL);
    if (*at == ',') milo_str_printf(&mil, ", ");
    at += *at == ',';
  }
  milo_str_printf(&mil, ") {\n");
  for (const char *at = c->body; *at != '\0';) {
    milo_str first = {0};
    for (bool more = true; more;) {
      expand_value(&at, dtype, &mil, &first);
      more = *at == ',';
      if (more) milo_str_printf(&mil, ", ");
      at += more;
    }
    milo_str_printf(&made, "%s", first.data);
    expand_call(&at, dtype, &mil);
    milo_str_printf(&mil, "[name = string(\"%.*s\")];\n", (int)strcspn(first.data + 1, " "),
                    first.data + 1);
    milo_str_deinit(&first);
    at += *at == ';';
    skip_space(&at);
  }
  milo_str_printf(&mil, "    } -> (");
  bool any = false;
  for (char *rest = made.data, *name; (name = strsep(&rest, " ")) != NULL;) {
    if (*name == '\0' || is_read(c->body, name)) continue;
    milo_str_printf(&mil, "%s%s", any ? ", " : "", name);
    any = true;
  }
  milo_str_printf(&mil, ");\n}\n");
  CHECK(any);
  milo_str_deinit(&made);
  return mil.data;
}

static milo_program *parse(const char *mil, milo_diag *diag) {
  milo_program *program = NULL;
  milo_status status = milo_text_parse(mil, strlen(mil), "case", diag, &program);
  if (status == MILO_OK) status = milo_ir_verify(program, diag);
  if (!CHECK(status == MILO_OK)) {
    printf("# %s\n# %s\n", milo_diag_text(diag), mil);
    milo_program_destroy(program);
    return NULL;
  }
  return program;
}

static bool keep_all(const void *user, const milo_op *op) {
  (void)user;
  (void)op;
  return true;
}

static bool is_float(const milo_value *value) { return milo_dtype_is_float(value->type.dtype); }

static size_t count_ops(const milo_func *func) {
  size_t count = 0;
  for (const milo_op *op = func->body->first; op != NULL; op = op->next) count++;
  return count;
}

static int max_rank(const milo_func *func) {
  int rank = 5;
  for (const milo_op *op = func->body->first; op != NULL; op = op->next)
    for (size_t i = 0; i < op->result_count; i++)
      if (op->results[i]->type.rank > rank) rank = op->results[i]->type.rank;
  return rank;
}

// A copy of func that also returns the gradients of its floating-point inputs. NULL after
// reporting.
static milo_func *differentiate(const milo_func *func, const char *name, bool keep_composites,
                                milo_diag *diag) {
  milo_func *joint = milo_func_clone(func->program, func, name);
  milo_value *wrt[MAX_VALUES];
  size_t count = 0;
  for (size_t i = 0; i < joint->body->param_count; i++)
    if (is_float(joint->body->params[i])) wrt[count++] = joint->body->params[i];
  const milo_pass_options passes = {.eval = milo_ref_fold,
                                    .keep = keep_composites ? keep_all : NULL};
  milo_status status = milo_autodiff(joint, wrt, count, diag);
  if (status == MILO_OK) status = milo_ir_verify_func(joint, diag);
  for (int round = 0; round < 2 && status == MILO_OK; round++)
    status = milo_pass_run_all(joint, &passes, diag);
  const size_t ops = count_ops(joint);
  if (status == MILO_OK) status = milo_pass_run_all(joint, &passes, diag);
  CHECK(count_ops(joint) == ops);            // no dead or double work was left
  CHECK(max_rank(joint) <= max_rank(func));  // what Core ML takes
  if (CHECK(status == MILO_OK)) return joint;
  printf("# %s\n", milo_diag_text(diag));
  return NULL;
}

// ---- running ----

typedef struct runner {
  milo_run *code;
  size_t inputs, outputs;
  milo_buffer *in[MAX_VALUES], *out[MAX_VALUES];
} runner;

static const milo_value *output_of(const runner *r, size_t i) {
  return milo_executable_output(milo_run_executable(r->code), i);
}

static const milo_value *input_of(const runner *r, size_t i) {
  return milo_executable_input(milo_run_executable(r->code), i);
}

static bool runner_init(runner *r, milo_device *device, const milo_func *func, milo_diag *diag) {
  *r = (runner){0};
  if (!CHECK(milo_run_compile(device, func, NULL, diag, &r->code) == MILO_OK)) {
    printf("# %s\n", milo_diag_text(diag));
    return false;
  }
  r->inputs = milo_executable_input_count(milo_run_executable(r->code));
  r->outputs = milo_executable_output_count(milo_run_executable(r->code));
  bool ok = CHECK(r->inputs <= MAX_VALUES && r->outputs <= MAX_VALUES);
  for (size_t i = 0; ok && i < r->inputs; i++)
    ok = milo_buffer_alloc(milo_type_bytes(&input_of(r, i)->type), diag, &r->in[i]) == MILO_OK;
  for (size_t i = 0; ok && i < r->outputs; i++)
    ok = milo_buffer_alloc(milo_type_bytes(&output_of(r, i)->type), diag, &r->out[i]) == MILO_OK;
  return CHECK(ok);
}

static void runner_deinit(runner *r) {
  for (size_t i = 0; i < MAX_VALUES; i++) {
    milo_buffer_release(r->in[i]);
    milo_buffer_release(r->out[i]);
  }
  milo_run_destroy(r->code);
}

static bool run_it(runner *r, milo_diag *diag) {
  if (CHECK(milo_run_execute(r->code, r->in, r->out, diag) == MILO_OK)) return true;
  printf("# %s\n", milo_diag_text(diag));
  return false;
}

// Fills an input with numbers that depend on its name, so that all forms of a function get the
// same.
static void fill_input(const grad_case *c, const milo_value *input, milo_buffer *buffer) {
  const bool plain = c->low == 0 && c->high == 0;
  const bool seed = strncmp(input->name, "grad_", 5) == 0;
  const double low = plain || seed ? -1.5 : c->low, high = plain || seed ? 1.5 : c->high;
  uint64_t stream = 0;
  for (const char *p = input->name; *p != '\0'; p++) stream = stream * 131 + (unsigned char)*p;
  for (size_t i = 0; i < milo_type_elements(&input->type); i++) {
    if (is_float(input))
      milo_number_store(input->type.dtype, milo_buffer_host(buffer), i,
                        low + (high - low) * milo_rng_uniform(7, stream, i));
    else
      milo_number_store_int(input->type.dtype, milo_buffer_host(buffer), i,
                            (int64_t)milo_rng_below(7, stream, i, (uint64_t)c->ints));
  }
}

static void fill_inputs(const grad_case *c, runner *r) {
  for (size_t i = 0; i < r->inputs; i++) fill_input(c, input_of(r, i), r->in[i]);
}

static double element(const milo_value *value, const milo_buffer *buffer, size_t i) {
  return milo_number_load(value->type.dtype, milo_buffer_host(buffer), i);
}

// ref first, then every other device of this machine.
typedef struct device_list {
  milo_device *items[8];
  size_t count;
} device_list;

static device_list open_devices(void) {
  const milo_host host = {0};
  milo_diag diag = {0};
  device_list list = {.count = 0};
  CHECK(strcmp(milo_device_types[0]->name, "ref") == 0);
  for (size_t i = 0; milo_device_types[i] != NULL && i < 8; i++) {
    const milo_status status =
        milo_device_open(milo_device_types[i]->name, &host, &diag, &list.items[list.count]);
    if (CHECK(status == MILO_OK || status == MILO_ERR_UNSUPPORTED) && status == MILO_OK)
      list.count++;
  }
  milo_diag_deinit(&diag);
  return list;
}

static void close_devices(const device_list *list) {
  for (size_t i = 0; i < list->count; i++) milo_device_close(list->items[i]);
}

// ---- comparing ----

// The sum over outputs of seed * output, seeds being the inputs of `joint` behind f's own.
static double weighted(runner *f, const runner *joint) {
  double sum = 0;
  for (size_t o = 0, seed = f->inputs; o < f->outputs; o++) {
    const milo_value *value = output_of(f, o);
    if (!is_float(value)) continue;
    for (size_t i = 0; i < milo_type_elements(&value->type); i++)
      sum += element(value, f->out[o], i) * element(value, joint->in[seed], i);
    seed++;
  }
  return sum;
}

static void check_differences(const grad_case *c, runner *f, const runner *joint, milo_diag *diag) {
  size_t grad = f->outputs;
  for (size_t p = 0; p < f->inputs; p++) {
    const milo_value *input = input_of(f, p);
    if (!is_float(input)) continue;
    void *x = milo_buffer_host(f->in[p]);
    const milo_dtype dtype = input->type.dtype;
    for (size_t i = 0; i < milo_type_elements(&input->type); i++) {
      const double before = element(input, f->in[p], i), step = c->step != 0 ? c->step : 1e-5;
      milo_number_store(dtype, x, i, before + step);
      const double high = element(input, f->in[p], i);
      if (!run_it(f, diag)) return;
      const double above = weighted(f, joint);
      milo_number_store(dtype, x, i, before - step);
      const double low = element(input, f->in[p], i);  // rounded to the input's type
      if (!run_it(f, diag)) return;
      const double below = weighted(f, joint);
      milo_number_store(dtype, x, i, before);
      const double wanted = (above - below) / (high - low);
      const double got = element(output_of(joint, grad), joint->out[grad], i);
      if (!CHECK_NEAR(got, wanted, 1e-6 * fmax(1, fabs(wanted)))) {
        printf("#   %s[%zu] of %s\n", input->name, i, c->body);
        return;
      }
    }
    grad++;
  }
}

// The largest |a - b| over the greatest |b| of its tensor, outputs matched by name.
static double distance(const runner *a, const runner *b) {
  double worst = 0;
  for (size_t i = 0; i < a->outputs; i++)
    for (size_t k = 0; k < b->outputs; k++) {
      const milo_value *va = output_of(a, i), *vb = output_of(b, k);
      if (strcmp(va->name, vb->name) != 0) continue;
      double scale = 0;
      for (size_t e = 0; e < milo_type_elements(&va->type); e++)
        scale = compare_scale(scale, element(vb, b->out[k], e));
      for (size_t e = 0; e < milo_type_elements(&va->type); e++) {
        const double x = element(va, a->out[i], e), y = element(vb, b->out[k], e);
        if (compare_near(x, y, 0)) continue;
        const bool finite = isfinite(x) && isfinite(y) && scale > 0;
        worst = fmax(worst, finite ? fabs(x - y) / scale : (double)INFINITY);
      }
    }
  return worst;
}

// Runs func and compares what it shares with joint.
static void check_same(const grad_case *c, milo_device *device, const milo_func *func,
                       const runner *joint, double tolerance, milo_diag *diag) {
  runner r;
  if (runner_init(&r, device, func, diag)) {
    fill_inputs(c, &r);
    if (CHECK(r.outputs == joint->outputs) && run_it(&r, diag) &&
        !CHECK(distance(&r, joint) <= tolerance))
      printf("#   %s of %s: off by %g\n", func->name, c->body, distance(&r, joint));
  }
  runner_deinit(&r);
}

// Runs forward, hands its outputs to backward by name.
static void check_split(const grad_case *c, milo_device *device, milo_func *func, size_t seeds,
                        size_t grads, const runner *joint, milo_diag *diag) {
  milo_func *forward, *backward;
  runner f = {0}, b = {0};
  if (!CHECK(milo_split_grad(func, seeds, grads, "forward", "backward", diag, &forward,
                             &backward) == MILO_OK)) {
    printf("# %s\n# %s\n", milo_diag_text(diag), c->body);
    return;
  }
  if (runner_init(&f, device, forward, diag) && runner_init(&b, device, backward, diag)) {
    fill_inputs(c, &f);
    fill_inputs(c, &b);
    bool ok = run_it(&f, diag);
    for (size_t i = 0; ok && i < b.inputs; i++)
      for (size_t k = 0; k < f.outputs; k++)
        if (strcmp(input_of(&b, i)->name, output_of(&f, k)->name) == 0)
          memcpy(milo_buffer_host(b.in[i]), milo_buffer_host(f.out[k]),
                 milo_buffer_bytes(f.out[k]));
    ok = ok && run_it(&b, diag);
    CHECK(b.outputs == grads && f.outputs >= joint->outputs - grads);
    if (ok && !CHECK(distance(&f, joint) == 0 && distance(&b, joint) <= 1e-12))
      printf("#   split of %s: off by %g, %g\n", c->body, distance(&f, joint), distance(&b, joint));
  }
  runner_deinit(&f);
  runner_deinit(&b);
}

// Printed and read again.
static void check_printed(const grad_case *c, milo_device *device, const milo_func *func,
                          const runner *joint, milo_diag *diag) {
  milo_program *alone = milo_program_create(), *again = NULL;
  milo_func_clone(alone, func, "main");
  milo_str text = {0};
  if (CHECK(milo_text_print(alone, &text) == MILO_OK)) again = parse(text.data, diag);
  if (again != NULL) check_same(c, device, again->funcs[0], joint, 0, diag);
  milo_str_deinit(&text);
  milo_program_destroy(again);
  milo_program_destroy(alone);
}

// The same program in another element type: its gradient builds, verifies and is near.
static void check_dtype(const grad_case *c, milo_device *device, const char *dtype,
                        bool keep_composites, const runner *joint, double tolerance) {
  milo_diag diag = {0};
  char *mil = to_mil(c, dtype);
  milo_program *program = parse(mil, &diag);
  milo_func *func =
      program != NULL ? differentiate(program->funcs[0], dtype, keep_composites, &diag) : NULL;
  if (func != NULL) check_same(c, device, func, joint, tolerance, &diag);
  if (func == NULL) printf("#   %s: %s\n", dtype, c->body);
  milo_program_destroy(program);
  free(mil);
  milo_diag_deinit(&diag);
}

static bool uses_composite(const milo_func *func) {
  for (const milo_op *op = func->body->first; op != NULL; op = op->next)
    if ((milo_op_info_get(op->code)->traits & MILO_OP_COMPOSITE) != 0) return true;
  return false;
}

static void check_case(const grad_case *c, const device_list *devices, bool *covered) {
  milo_device *device = devices->items[0];
  milo_diag diag = {0};
  char *mil = to_mil(c, "fp64");
  milo_program *program = parse(mil, &diag);
  if (program != NULL) {
    const milo_func *func = program->funcs[0];
    for (const milo_op *op = func->body->first; op != NULL; op = op->next) covered[op->code] = true;
    const bool composite = uses_composite(func);
    milo_func *whole = differentiate(func, "whole", true, &diag);
    runner f = {0}, joint = {0};
    if (whole != NULL && runner_init(&f, device, func, &diag) &&
        runner_init(&joint, device, whole, &diag)) {
      fill_inputs(c, &f);
      fill_inputs(c, &joint);
      if (run_it(&joint, &diag)) {
        check_differences(c, &f, &joint, &diag);
        check_printed(c, device, whole, &joint, &diag);
        check_split(c, device, whole, joint.inputs - f.inputs, joint.outputs - f.outputs, &joint,
                    &diag);
        milo_func *expanded = composite ? differentiate(func, "expanded", false, &diag) : NULL;
        if (expanded != NULL) {
          CHECK(!uses_composite(expanded));
          check_same(c, device, expanded, &joint, 1e-12, &diag);
        }
        for (size_t d = 0; d < devices->count; d++) {
          // Seen: 4e-7, 2.8e-3, 2.9e-2 of each tensor's greatest value.
          check_dtype(c, devices->items[d], "fp32", false, &joint, 2e-6);
          check_dtype(c, devices->items[d], "fp16", false, &joint, 1e-2);
          check_dtype(c, devices->items[d], "bf16", false, &joint, 6e-2);
          if (!composite) continue;
          check_dtype(c, devices->items[d], "fp32", true, &joint, 2e-6);
          check_dtype(c, devices->items[d], "fp16", true, &joint, 1e-2);
        }
      }
    }
    runner_deinit(&f);
    runner_deinit(&joint);
  }
  milo_program_destroy(program);
  free(mil);
  milo_diag_deinit(&diag);
}

static void test_cases(void) {
  static bool covered[MILO_OP_COUNT];
  const device_list devices = open_devices();
  for (size_t i = 0; i < GRAD_CASES; i++) check_case(&grad_cases[i], &devices, covered);
  for (int code = MILO_OP_unknown + 1; code < MILO_OP_COUNT; code++)
    if (milo_op_info_get((milo_opcode)code)->vjp != NULL && !CHECK(covered[code]))
      printf("#   no case for %s\n", milo_op_info_get((milo_opcode)code)->name);
  close_devices(&devices);
}

// adamw has no gradient: whole and expanded on every device.
static void test_adamw(void) {
  static const grad_case c = {
      "p[5,3], g[5,3], m[5,3], v[5,3], l[], s[], a[], b[]",
      "x[5,3], y[5,3], z[5,3] = adamw(param = p, grad = g, m = m, v = v, lr = l, grad_scale = s, "
      "bias1 = a, bias2 = b, beta1 = fp32(0.9), beta2 = fp32(0.95), epsilon = fp32(0x1p-20), "
      "weight_decay = fp32(0.125))",
      0.1,
      1,
      0,
      0};
  static const struct {
    const char *dtype;
    double tolerance;
  } types[] = {{"fp64", 1e-12}, {"fp32", 3e-7}, {"fp16", 2e-3}, {"bf16", 1e-2}};
  // Seen: 3e-16, 8e-8, 5e-4, 3.5e-3.
  const device_list devices = open_devices();
  const milo_pass_options expand = {.eval = NULL};
  milo_diag diag = {0};
  char *mil = to_mil(&c, "fp64");
  milo_program *program = parse(mil, &diag);
  runner wanted = {0};
  if (program != NULL && runner_init(&wanted, devices.items[0], program->funcs[0], &diag)) {
    fill_inputs(&c, &wanted);
    CHECK(run_it(&wanted, &diag));
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
      char *other_mil = to_mil(&c, types[t].dtype);
      milo_program *other = parse(other_mil, &diag);
      for (size_t d = 0; other != NULL && d < devices.count; d++)
        check_same(&c, devices.items[d], other->funcs[0], &wanted, types[t].tolerance, &diag);
      if (other != NULL) CHECK(milo_pass_run_all(other->funcs[0], &expand, &diag) == MILO_OK);
      if (other != NULL) CHECK(!uses_composite(other->funcs[0]));
      for (size_t d = 0; other != NULL && d < devices.count; d++)
        check_same(&c, devices.items[d], other->funcs[0], &wanted, types[t].tolerance, &diag);
      milo_program_destroy(other);
      free(other_mil);
    }
  }
  runner_deinit(&wanted);
  milo_program_destroy(program);
  free(mil);
  close_devices(&devices);
  milo_diag_deinit(&diag);
}

// ---- where a derivative is chosen: ties, kinks and zeros, as PyTorch does ----

typedef struct choice {
  const char *body;      // of the input x[n]
  const char *x, *grad;  // numbers; every seed is 1
} choice;

static const choice choices[] = {
    {"z[3] = maximum(x = x, y = fp64(1))", "0 1 2", "0 0.5 1"},
    {"z[3] = minimum(x = x, y = fp64(1))", "0 1 2", "1 0.5 0"},
    {"z[2] = maximum(x = x, y = x)", "3 4", "1 1"},
    {"z[] = reduce_max(x = x)", "2 5 5 1", "0 0.5 0.5 0"},
    {"z[] = reduce_min(x = x)", "2 1 1 1",
     "0 0.3333333333333333 0.3333333333333333 0.3333333333333333"},
    {"z[3] = relu(x = x)", "-1 0 1", "0 0 1"},
    {"z[4] = relu6(x = x)", "0 3 6 7", "0 1 0 0"},
    {"z[5] = clip(x = x, alpha = fp64(-1), beta = fp64(1))", "-2 -1 1 2 0", "0 0 0 0 1"},
    {"z[3] = leaky_relu(x = x, alpha = fp64(0.25))", "-1 0 1", "0.25 0.25 1"},
    {"z[3] = abs(x = x)", "-2 0 2", "-1 0 1"},
    {"z[2] = sqrt(x = x)", "0 4", "inf 0.25"},
    {"z[3] = pow(x = x, y = fp64(2))", "0 -3 2", "0 -6 4"},
    {"z[3] = pow(x = x, y = fp64(0))", "0 -3 2", "0 0 0"},
    {"z[2] = pow(x = x, y = fp64(1))", "0 -3", "1 1"},
    {"z[2] = pow(x = fp64(0), y = x)", "0 2", "0 0"},
    {"z[2] = pow(x = x, y = x)", "0 1", "0 1"},
    {"z[3] = mod(x = fp64(7), y = x)", "2 -3 4", "-3 3 -1"},
    {"z[] = reduce_prod(x = x)", "2 0 5", "0 10 0"},
    {"z[] = reduce_prod(x = x)", "0 0 5", "0 0 0"},
    {"z[] = reduce_l2_norm(x = x)", "0 0 0", "0 0 0"},
    {"z[] = reduce_l1_norm(x = x)", "-1 0 2", "-1 0 1"},
    {"z[3] = softplus(x = x)", "-800 0 800", "0 0.5 1"},
    {"z[2] = sigmoid(x = x)", "-800 800", "0 0"},
    {"z[3] = floor(x = x); y[3] = add(x = x, y = z)", "0.5 1.5 -2", "1 1 1"},
    {"z[2] = scatter(data = x, indices = {0, 0}, updates = x, mode = string(\"max\"))", "3 5",
     "0 2"},
};

static size_t read_numbers(const char *text, double *out) {
  size_t count = 0;
  for (char *end; *text != '\0'; text = end) out[count++] = strtod(text, &end);
  return count;
}

static void check_choice(const choice *c, milo_device *device) {
  double x[8], wanted[8];
  const size_t count = read_numbers(c->x, x);
  char inputs[32];
  snprintf(inputs, sizeof inputs, "x[%zu]", count);
  const grad_case as_case = {.inputs = inputs, .body = c->body};
  milo_diag diag = {0};
  char *mil = to_mil(&as_case, "fp64");
  milo_program *program = parse(mil, &diag);
  milo_func *func = program != NULL ? differentiate(program->funcs[0], "g", true, &diag) : NULL;
  runner r = {0};
  if (CHECK(read_numbers(c->grad, wanted) == count) && func != NULL &&
      runner_init(&r, device, func, &diag)) {
    memcpy(milo_buffer_host(r.in[0]), x, count * sizeof *x);
    for (size_t i = 1; i < r.inputs; i++)
      for (size_t e = 0; e < milo_type_elements(&input_of(&r, i)->type); e++)
        ((double *)milo_buffer_host(r.in[i]))[e] = 1;
    if (run_it(&r, &diag))
      for (size_t i = 0; i < count; i++)
        if (!CHECK_NEAR(element(output_of(&r, r.outputs - 1), r.out[r.outputs - 1], i), wanted[i],
                        1e-12))
          printf("#   [%zu] of %s\n", i, c->body);
  }
  runner_deinit(&r);
  milo_program_destroy(program);
  free(mil);
  milo_diag_deinit(&diag);
}

static void test_choices(void) {
  const device_list devices = open_devices();
  for (size_t d = 0; d < devices.count; d++)
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++)
      check_choice(&choices[i], devices.items[d]);
  close_devices(&devices);
}

// ---- what cannot be differentiated ----

static void check_refused(const char *mil, const char *message) {
  milo_diag diag = {0};
  milo_program *program = NULL;
  if (!CHECK(milo_text_parse(mil, strlen(mil), "bad.mil", &diag, &program) == MILO_OK)) return;
  milo_func *func = program->funcs[0];
  CHECK(milo_autodiff(func, &func->body->params[0], 1, &diag) != MILO_OK);
  if (!CHECK(strstr(milo_diag_text(&diag), message) != NULL))
    printf("#   wanted: %s\n#   got: %s\n", message, milo_diag_text(&diag));
  milo_program_destroy(program);
  milo_diag_deinit(&diag);
}

#define MAIN(inputs, body) "program(1.3)\n{\nfunc main<ios18>(" inputs ") {\n" body "\n} -> (z);\n}"

static void test_refused(void) {
  check_refused(MAIN("tensor<fp32, [2]> x", "tensor<fp32, [2]> z = strange(x = x);"),
                "bad.mil:4:23: error: strange");
  check_refused(MAIN("tensor<fp32, [?]> x", "tensor<fp32, [?]> z = relu(x = x);"),
                "unknown dimensions");
  check_refused(MAIN("tensor<int32, [2]> x", "tensor<int32, [2]> z = relu(x = x);"),
                "input x is not floating-point");
  check_refused(MAIN("tensor<fp32, [2]> x, tensor<int32, [2]> p",
                     "tensor<fp32, [4]> z = pad(x = x, pad = p);"),
                "pad is not a constant");
  // Unknown operations that no gradient goes through do not matter.
  milo_diag diag = {0};
  const char *mil = MAIN("tensor<fp32, [2]> x, tensor<fp32, [2]> y",
                         "tensor<fp32, [2]> w = strange(x = y); tensor<fp32, [2]> z = mul(x = x, y "
                         "= w);");
  milo_program *program = NULL;
  if (CHECK(milo_text_parse(mil, strlen(mil), "good.mil", &diag, &program) == MILO_OK)) {
    milo_func *func = program->funcs[0];
    CHECK(milo_autodiff(func, &func->body->params[0], 1, &diag) == MILO_OK);
    CHECK_STR(func->body->params[2]->name, "grad_z");
    CHECK_STR(func->body->outputs[1]->name, "grad_x");
  }
  milo_program_destroy(program);
  milo_diag_deinit(&diag);
}

// ---- names ----

// Values inside the function give way to the names that callers know.
static void test_names(void) {
  const char *mil =
      "program(1.3)\n{\nfunc main<ios18>(tensor<fp32, [2]> x, tensor<fp32, [2]> y) {\n"
      "tensor<fp32, [2]> grad_z = mul(x = x, y = y);\n"
      "tensor<fp32, [2]> grad_x = mul(x = grad_z, y = y);\n"
      "tensor<fp32, [2]> z = exp(x = grad_x);\n} -> (z);\n}";
  milo_diag diag = {0};
  milo_program *program = parse(mil, &diag);
  if (program == NULL) return;
  milo_func *func = program->funcs[0];
  milo_value *wrt[] = {func->body->params[0], func->body->params[1]};
  CHECK(milo_autodiff(func, wrt, 2, &diag) == MILO_OK);
  CHECK(milo_ir_verify_func(func, &diag) == MILO_OK);
  CHECK_STR(func->body->params[2]->name, "grad_z");
  CHECK_STR(func->body->outputs[0]->name, "z");
  CHECK_STR(func->body->outputs[1]->name, "grad_x");
  CHECK_STR(func->body->outputs[2]->name, "grad_y");
  milo_program_destroy(program);
  milo_diag_deinit(&diag);
}

// Inputs and outputs keep theirs, and so do seeds and gradients: a clash is refused.
static void test_name_clashes(void) {
  static const struct {
    const char *inputs, *body, *outputs, *error;
  } cases[] = {
      {"tensor<fp32, [2]> x, tensor<fp32, [2]> grad_y", "tensor<fp32, [2]> y = mul(x = x, y = x);",
       "y", "seed of y would be called grad_y, as an input"},
      {"tensor<fp32, [2]> x, tensor<int32, [2]> grad_y", "tensor<fp32, [2]> y = mul(x = x, y = x);",
       "y", "seed of y would be called grad_y, as an input"},
      {"tensor<fp32, [2]> x", "tensor<fp32, [2]> grad_x = exp(x = x);", "grad_x",
       "gradient of x would be called grad_x, as an output"},
      {"tensor<fp32, [2]> x",
       "tensor<fp32, [2]> y = exp(x = x); tensor<int32, [2]> grad_y = cast(x = x, dtype = "
       "string(\"int32\"));",
       "y, grad_y", "seed of y would be called grad_y, as an output"},
      {"tensor<fp32, [2]> x", "tensor<fp32, [2]> y = exp(x = x);", "x, y",
       "gradient of x would be called grad_x, as an input or a seed"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    milo_diag diag = {0};
    char mil[600];
    snprintf(mil, sizeof mil, "program(1.3)\n{\nfunc main<ios18>(%s) {\n%s\n} -> (%s);\n}",
             cases[i].inputs, cases[i].body, cases[i].outputs);
    for (int named = 0; named < 2; named++) {
      milo_program *program = parse(mil, &diag);
      if (program == NULL) return;
      milo_func *func = program->funcs[0];
      const milo_status status =
          named ? milo_autodiff_named(func, func->body->params, 1, "d_", "s_", &diag)
                : milo_autodiff(func, func->body->params, 1, &diag);
      // Other prefixes help, two of them also where input and output are one.
      const bool helps = named;
      CHECK(status == (helps ? MILO_OK : MILO_ERR_INVALID));
      if (!named && !CHECK(strstr(milo_diag_text(&diag), cases[i].error) != NULL))
        printf("# %s\n", milo_diag_text(&diag));
      if (helps) {
        CHECK(milo_ir_verify_func(func, &diag) == MILO_OK);
        const milo_block *body = func->body;
        CHECK_STR(body->outputs[body->output_count - 1]->name, "d_x");
      }
      milo_program_destroy(program);
      milo_diag_clear(&diag);
    }
    milo_diag_deinit(&diag);
  }
}

// ---- what split stores ----

static size_t tap_bytes(const char *inputs, const char *body, size_t *out_taps) {
  const grad_case c = {.inputs = inputs, .body = body};
  milo_diag diag = {0};
  char *mil = to_mil(&c, "fp64");
  milo_program *program = parse(mil, &diag);
  milo_func *func = program != NULL ? differentiate(program->funcs[0], "g", true, &diag) : NULL;
  size_t bytes = 0;
  *out_taps = 0;
  if (func != NULL) {
    const milo_block *body0 = program->funcs[0]->body;
    milo_func *forward, *backward;
    CHECK(milo_split_grad(func, func->body->param_count - body0->param_count,
                          func->body->output_count - body0->output_count, "f", "b", &diag, &forward,
                          &backward) == MILO_OK);
    for (size_t i = body0->output_count; i < forward->body->output_count; i++, (*out_taps)++)
      bytes += milo_type_bytes(&forward->body->outputs[i]->type);
  }
  milo_program_destroy(program);
  free(mil);
  milo_diag_deinit(&diag);
  return bytes;
}

static void test_taps(void) {
  size_t taps;
  // Everything follows cheaply from the input.
  CHECK(tap_bytes("x[8]", "a[8] = silu(x = x); b[8] = tanh(x = a); z[8] = mul(x = b, y = a)",
                  &taps) == 0);
  // A chain behind a matrix product: one tap, not one an operation.
  CHECK(tap_bytes("x[4,3], w[3,8]",
                  "h[4,8] = matmul(x = x, y = w); a[4,8] = silu(x = h); b[4,8] = square(x = a); "
                  "z[] = reduce_sum(x = b)",
                  &taps) == 4 * 8 * 8 &&
        taps == 1);
  // What only moves elements of an input is not stored.
  CHECK(tap_bytes("x[1,2,5,5], w[3,2,3,3]",
                  "c[1,3,5,5] = conv(x = x, weight = w, pad_type = string(\"same\")); "
                  "d[1,2,5,5] = slice_by_size(x = c, begin = {0,0,0,0}, size = {1,2,5,5}); "
                  "z[1,3,5,5] = conv(x = d, weight = w, pad_type = string(\"same\"))",
                  &taps) == 2 * 5 * 5 * 8 &&
        taps == 1);
  CHECK(tap_bytes("x[2,3], y[2,3], w[6,4]",
                  "c[2,6] = concat(values = (x, y), axis = int32(1)); "
                  "z[2,4] = matmul(x = c, y = w)",
                  &taps) == 0);
  // The product is an output already.
  CHECK(tap_bytes("x[4,3], w[3,8]",
                  "h[4,8] = matmul(x = x, y = w); z[4,8] = identity(x = h); a[4,8] = sin(x = z); "
                  "b[4,8] = square(x = a)",
                  &taps) <= 4 * 8 * 8);
  // A slice is smaller than what it is cut from.
  CHECK(tap_bytes("x[4,3], w[3,8]",
                  "h[4,8] = matmul(x = x, y = w); "
                  "s[4,2] = slice_by_size(x = h, begin = {0, 1}, size = {4, 2}); "
                  "z[4,2] = exp(x = s); y[4,2] = square(x = s)",
                  &taps) == 4 * 2 * 8);
  // A view as large as its source: the source is stored, once for two views.
  CHECK(tap_bytes("x[4,3], w[3,8]",
                  "h[4,8] = matmul(x = x, y = w); a[8,4] = transpose(x = h, perm = {1, 0}); "
                  "b[32] = reshape(x = h, shape = {32}); z[8,4] = square(x = a); "
                  "y[32] = sin(x = b)",
                  &taps) == 4 * 8 * 8 &&
        taps == 1);
}

int main(void) {
  RUN(test_cases);
  RUN(test_adamw);
  RUN(test_choices);
  RUN(test_refused);
  RUN(test_names);
  RUN(test_name_clashes);
  RUN(test_taps);
  return tap_done();
}
