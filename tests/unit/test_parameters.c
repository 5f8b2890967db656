// SPDX-License-Identifier: MIT
// ctest: LABELS threads
// Parameters of the cpu device: a weight is packed once a version, and the bits are those of the
// unpacked product. Numeric modes.
#include "base/cpu.h"
#include "base/rng.h"
#include "device/buffer.h"
#include "device/cpu/code.h"
#include "kernels/gemm.h"
#include "mil_short.h"
#include "tap.h"
#include "text/text.h"

enum { MAX_INPUTS = 4 };

static milo_diag diag;

static bool good(milo_status status) {
  if (!CHECK(status == MILO_OK)) printf("# %s\n", milo_diag_text(&diag));
  return status == MILO_OK;
}

typedef struct parameter_case {
  const char *inputs, *body;  // w is the parameter, y the output
  int copies;                 // of w, that are worth being kept
  bool in_place;              // as it lies, only exact products read it
} parameter_case;

static const parameter_case cases[] = {
    {"f[7,33] x, f[50,33] w, f[50] b", "f[7,50] y = linear(x = x, weight = w, bias = b);\n", 1,
     false},
    {"f[300,64] x, f[64,200] w", "f[300,200] y = matmul(x = x, y = w);\n", 1, false},
    // Deeper and wider than a block.
    {"f[9,1700] x, f[530,1700] w",
     "bool t = const()[name = string(\"t\"), val = bool(true)];\n"
     "f[9,530] y = matmul(x = x, y = w, transpose_y = t);\n",
     1, false},
    {"h[20,40] x, h[40,30] w", "h[20,30] y = matmul(x = x, y = w);\n", 1, false},
    {"b[20,40] x, b[30,40] w",
     "bool t = const()[name = string(\"t\"), val = bool(true)];\n"
     "b[20,30] y = matmul(x = x, y = w, transpose_y = t);\n",
     1, false},
    // Through views: a part of it, transposed, backwards.
    {"f[11,24] x, f[2,40,24] w",
     "f[1,40,24] s = slice_by_size(x = w, begin = i[3]([1,0,0]), size = i[3]([1,40,24]));\n"
     "f[40,24] r = reshape(x = s, shape = i[2]([40,24]));\n"
     "f[24,40] t = transpose(x = r, perm = i[2]([1,0]));\n"
     "f[24,40] v = reverse(x = t, axes = i[1]([0]));\n"
     "f[11,40] y = matmul(x = x, y = v);\n",
     1, false},
    // Two layouts of one weight, and one of them twice.
    {"f[8,32] x, f[32,32] w",
     "bool t = const()[name = string(\"t\"), val = bool(true)];\n"
     "f[8,32] p = matmul(x = x, y = w);\n"
     "f[8,32] q = matmul(x = p, y = w, transpose_y = t);\n"
     "f[8,32] y = matmul(x = q, y = w);\n",
     2, false},
    // Two halves of one weight differ in nothing but where they begin.
    {"f[8,32] x, f[64,32] w",
     "f[32,32] a, f[32,32] c = split(x = w, num_splits = int32(2), axis = int32(0));\n"
     "f[8,32] p = matmul(x = x, y = a);\n"
     "f[8,32] y = matmul(x = p, y = c);\n",
     2, false},
    // On the left side, and as a convolution.
    {"f[40,30] w, f[30,500] x", "f[40,500] y = matmul(x = w, y = x);\n", 1, false},
    {"f[2,12,17,16] x, f[20,12,1,1] w",
     "f[2,20,17,16] y = conv(x = x, weight = w, pad_type = string(\"valid\"));\n", 1, false},
    {"f[2,5,9,8] x, f[33,5,3,2] w", "f[2,33,7,7] y = conv(x = x, weight = w);\n", 0, true},
    {"h[3,40,30] x, h[7,40,4] w",
     "h[3,7,15] y = conv(x = x, weight = w, strides = i[1]([2]), pad_type = string(\"same\"));\n",
     1, false},
    // In groups each has a weight of its own.
    {"f[2,6,9,8] x, f[8,3,3,2] w", "f[2,8,7,7] y = conv(x = x, weight = w, groups = int32(2));\n",
     0, false},
    // On both sides.
    {"f[300,300] w",
     "bool t = const()[name = string(\"t\"), val = bool(true)];\n"
     "f[300,300] y = matmul(x = w, y = w, transpose_y = t);\n",
     2, false},
    // One for all of a batch.
    {"f[13,8,32] x, f[32,16] w", "f[13,8,16] y = matmul(x = x, y = w);\n", 1, false},
    {"f[5,3,8,32] x, f[1,3,32,16] w, f[1] u",
     "f[1,1,32,16] s = slice_by_size(x = w, begin = i[4]([0,2,0,0]), size = i[4]([1,1,32,16]));\n"
     "f[5,3,8,16] p = matmul(x = x, y = s);\n"
     "f[5,3,8,16] y = add(x = p, y = u);\n",
     1, false},
    // Where it does not pay: one for each of a batch, few rows, few columns, nothing.
    {"f[3,8,32] x, f[3,32,16] w", "f[3,8,16] y = matmul(x = x, y = w);\n", 0, false},
    {"f[1,64] x, f[50,64] w", "f[1,50] y = linear(x = x, weight = w);\n", 0, false},
    {"f[40,30] w, f[30,20] x", "f[40,20] y = matmul(x = w, y = x);\n", 0, true},
    {"f[6,0] x, f[0,5] w", "f[6,5] y = matmul(x = x, y = w);\n", 0, false},
    {"f[6,5] x, f[5,0] w", "f[6,0] y = matmul(x = x, y = w);\n", 0, false},
};

typedef struct side {
  milo_run *run;
  milo_buffer *in[MAX_INPUTS], *y, *w;
  size_t inputs;
} side;

static void randomize(milo_buffer *buffer, const milo_type *type, uint64_t seed) {
  void *data = calloc(1, milo_type_bytes(type) + 1);
  for (size_t k = 0; k < milo_type_elements(type); k++)
    milo_number_store(type->dtype, data, k, 2 * milo_rng_uniform(seed, 1, k) - 1);
  CHECK(milo_buffer_write(buffer, 0, data, milo_type_bytes(type)) == MILO_OK);
  free(data);
}

static const milo_type *type_of(const side *s, size_t i) {
  return &milo_executable_input(milo_run_executable(s->run), i)->type;
}

static bool make(side *s, milo_device *device, const parameter_case *p, bool parameter,
                 milo_numeric numeric) {
  milo_program *program = NULL;
  *s = (side){0};
  char *text = mil_short(p->inputs, p->body, "y");
  const bool parsed = good(milo_text_parse(text, strlen(text), "case.mil", &diag, &program));
  free(text);
  if (!parsed) return false;
  const milo_func *func = milo_program_find_func(program, NULL);
  milo_role roles[MAX_INPUTS] = {0};
  s->inputs = func->body->param_count;
  const size_t w = milo_func_find_param(func, "w")->index;
  if (parameter) roles[w] = MILO_ROLE_PARAMETER;
  milo_executable_options options = {.roles = roles, .numeric = numeric};
  const bool held = good(milo_run_compile(device, func, &options, &diag, &s->run));
  milo_program_destroy(program);
  if (!held) return false;
  for (size_t i = 0; i < s->inputs; i++) {
    good(milo_buffer_alloc(milo_type_bytes(type_of(s, i)), &diag, &s->in[i]));
    randomize(s->in[i], type_of(s, i), i + 1);
  }
  s->w = s->in[w];
  const milo_value *y = milo_executable_output(milo_run_executable(s->run), 0);
  good(milo_buffer_alloc(milo_type_bytes(&y->type), &diag, &s->y));
  return true;
}

static void drop(side *s) {
  milo_run_destroy(s->run);
  for (size_t i = 0; i < s->inputs; i++) milo_buffer_release(s->in[i]);
  milo_buffer_release(s->y);
}

static bool run(side *s) { return good(milo_run_execute(s->run, s->in, &s->y, &diag)); }

static bool same(const side *a, const side *b) {
  return memcmp(milo_buffer_host(a->y), milo_buffer_host(b->y), milo_buffer_bytes(a->y)) == 0;
}

// How many copies the parameter's buffer keeps that are up to date.
static int copies(const side *s) {
  int count = 0;
  for (const milo_packed_copy *c = s->w->packed; c != NULL; c = c->next)
    count += c->data != NULL && c->made == milo_buffer_version(s->w);
  return count;
}

static void spoil(const side *s) {
  for (milo_packed_copy *c = s->w->packed; c != NULL; c = c->next)
    if (c->data != NULL) memset(c->data, 0x40, 64);
}

static void check_case(milo_device *device, const parameter_case *p, milo_numeric numeric) {
  side kept, plain;
  const bool blas = ((const milo_cpu_device *)(const void *)device)->exec.sgemm != NULL;
  const int wanted = blas ? 0 : p->copies + (p->in_place && numeric == MILO_NUMERIC_BF16);
  const bool made = make(&kept, device, p, true, numeric);
  if (!made || !make(&plain, device, p, false, numeric)) return;
  const size_t w = kept.w == kept.in[0] ? 0 : 1;
  bool held = true;
  for (uint64_t version = 0; version < 3; version++) {
    if (version > 0) {
      randomize(kept.w, type_of(&kept, w), 10 + version);
      randomize(plain.w, type_of(&plain, w), 10 + version);
    }
    held = CHECK(copies(&kept) == 0) && held;
    for (int times = 0; times < 3; times++) {
      held = run(&kept) && run(&plain) && CHECK(same(&kept, &plain)) && held;
      // First it may not come again; later it is known to.
      if (version > 0 || times > 0) held = CHECK(copies(&kept) == wanted) && held;
    }
    held = CHECK(copies(&plain) == 0) && held;
    // What is kept is what is read, and not made anew.
    spoil(&kept);
    held = run(&kept) && CHECK(same(&kept, &plain) == (wanted == 0)) && held;
  }
  drop(&kept);
  drop(&plain);
  if (!held) printf("# in: %s", p->body);
}

static void each_device(void (*test)(milo_device *device)) {
  const unsigned caps[] = {0, MILO_CPU_AVX2 | MILO_CPU_FMA | MILO_CPU_F16C, milo_cpu_detect()};
  for (size_t i = 0; i < sizeof caps / sizeof *caps; i++)
    for (int threads = 1; threads <= 3; threads += 2) {
      if ((caps[i] & ~milo_cpu_detect()) != 0) continue;
      milo_pool *pool = NULL;
      milo_device *device = NULL;
      good(milo_pool_create(threads, &diag, &pool));
      const milo_host host = {.pool = pool, .cpu_caps = caps[i]};
      if (good(milo_device_open("cpu", &host, &diag, &device))) test(device);
      milo_device_close(device);
      milo_pool_destroy(pool);
    }
}

static void exact(milo_device *device) {
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    check_case(device, &cases[i], MILO_NUMERIC_EXACT);
}

static void test_once_a_version(void) { each_device(exact); }

// ---- weights that runs change ----

// An update's own run leaves the copies that products of both directions asked for, up to date.
static void renewed(milo_device *device) {
  const milo_exec *exec = &((const milo_cpu_device *)(const void *)device)->exec;
  if (exec->products[MILO_NUMERIC_BF16] == NULL) return;
  static const parameter_case products[2] = {
      {"f[40,97] x, f[71,97] w", "f[40,71] y = linear(x = x, weight = w);\n", 1, false},
      {"f[40,71] x, f[71,97] w", "f[40,97] y = matmul(x = x, y = w);\n", 1, false}};
  side kept[2], plain[2];
  for (int i = 0; i < 2; i++) {
    if (!make(&kept[i], device, &products[i], true, MILO_NUMERIC_BF16)) return;
    if (!make(&plain[i], device, &products[i], false, MILO_NUMERIC_BF16)) return;
  }
  milo_buffer *w = kept[0].w;
  for (int i = 0; i < 2; i++)  // all read one weight
    for (int j = 0; j < 2; j++) {
      side *s = j ? &plain[i] : &kept[i];
      if (s->w == w) continue;
      milo_buffer_release(s->w);
      milo_buffer_retain(w);
      s->w = s->in[1] = w;
    }
  milo_program *program = NULL;
  milo_run *update = NULL;
  char *text = mil_short("f[71,97] w, f[71,97] d", "f[71,97] y = add(x = w, y = d);\n", "y");
  good(milo_text_parse(text, strlen(text), "update.mil", &diag, &program));
  const milo_alias alias = {0, 0};
  const milo_role roles[2] = {MILO_ROLE_STATE, MILO_ROLE_VALUE};
  const milo_executable_options options = {.aliases = &alias, .alias_count = 1, .roles = roles};
  const milo_func *func = milo_program_find_func(program, NULL);
  if (!good(milo_run_compile(device, func, &options, &diag, &update))) return;
  milo_buffer *d = NULL;
  good(milo_buffer_alloc(milo_buffer_bytes(w), &diag, &d));
  randomize(d, type_of(&kept[0], 1), 77);
  milo_buffer *const in[2] = {w, d};
  for (int step = 0; step < 4; step++) {
    // From the second step on nothing is left to pack: the copies are there before a product asks.
    CHECK(copies(&kept[0]) == (step == 0 ? 0 : 2));
    for (int i = 0; i < 2; i++) CHECK(run(&kept[i]) && run(&plain[i]) && same(&kept[i], &plain[i]));
    CHECK(good(milo_run_execute(update, in, &w, &diag)));
  }
  for (int i = 0; i < 2; i++) {
    drop(&kept[i]);
    drop(&plain[i]);
  }
  milo_run_destroy(update);
  milo_program_destroy(program);
  milo_buffer_release(d);
  free(text);
}

static void test_renewed(void) { each_device(renewed); }

// ---- numeric modes ----

// Rounding both operands to bf16 changes each term by at most (1 + 2^-8)^2 - 1 of it.
static void bf16(milo_device *device) {
  const milo_exec *exec = &((const milo_cpu_device *)(const void *)device)->exec;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    if (exec->products[MILO_NUMERIC_BF16] != NULL) check_case(device, &cases[i], MILO_NUMERIC_BF16);
  }
  // Sums of products of x and w; each other way to multiply gives other bits, and where there is
  // none, the mode is exact. The sum of |terms| is what |x| and |w| give.
  static const struct {
    parameter_case p;
    double terms;
  } linear[] = {
      {{"f[37,129] x, f[129,70] w", "f[37,70] y = matmul(x = x, y = w);\n", 1, false}, 129},
      {{"f[2,12,9,9] x, f[70,12,3,3] w", "f[2,70,7,7] y = conv(x = x, weight = w);\n", 1, false},
       12 * 9},
      {{"f[2,8,9,9] x, f[12,4,2,3] w",
        "f[2,12,8,7] y = conv(x = x, weight = w, groups = int32(2));\n", 1, false},
       4 * 6},
      {{"f[2,12,5,6] x, f[12,20,3,2] w",
        "f[2,20,11,12] y = conv_transpose(x = x, weight = w, strides = i[2]([2,2]));\n", 1, false},
       12 * 6},
  };
  for (size_t i = 0; i < sizeof linear / sizeof *linear; i++) {
    side fast, slow;
    if (!make(&fast, device, &linear[i].p, true, MILO_NUMERIC_BF16)) return;
    if (!make(&slow, device, &linear[i].p, true, MILO_NUMERIC_EXACT)) return;
    CHECK(run(&fast) && run(&slow));
    CHECK(same(&fast, &slow) == (exec->products[MILO_NUMERIC_BF16] == NULL));
    const size_t n = milo_buffer_bytes(slow.y) / sizeof(float);
    float *exact_y = calloc(n, sizeof(float));
    memcpy(exact_y, milo_buffer_host(slow.y), n * sizeof(float));
    for (size_t k = 0; k < slow.inputs; k++) {
      float *data = milo_buffer_map(slow.in[k], MILO_READ | MILO_WRITE);
      for (size_t q = 0; q < milo_buffer_bytes(slow.in[k]) / sizeof(float); q++)
        data[q] = fabsf(data[q]);
      CHECK(milo_buffer_unmap(slow.in[k], data, MILO_READ | MILO_WRITE) == MILO_OK);
    }
    CHECK(run(&slow));
    const float *got = milo_buffer_host(fast.y), *terms = milo_buffer_host(slow.y);
    bool held = true;
    for (size_t q = 0; q < n; q++)
      held = held && fabs((double)got[q] - (double)exact_y[q]) <=
                         (0x1.01p-7 + linear[i].terms * 0x1p-22) * (double)terms[q];
    if (!CHECK(held)) printf("# bf16: %s", linear[i].p.body);
    free(exact_y);
    drop(&fast);
    drop(&slow);
  }
}

static void test_bf16(void) { each_device(bf16); }

int main(void) {
  RUN(test_once_a_version);
  RUN(test_renewed);
  RUN(test_bf16);
  milo_diag_deinit(&diag);
  return tap_done();
}
