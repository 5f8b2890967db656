// SPDX-License-Identifier: MIT
// The cpu device writes results over donated inputs, and leaves what it must not write alone.
#include "base/cpu.h"
#include "base/pool.h"
#include "op_tensors.h"

static milo_pool *pool;
// Runs with and without shared buffers; results must have the same bits.
static void check_donated(const char *inputs, const char *body, const char *results,
                          const milo_alias *aliases, size_t count) {
  milo_diag diag = {0};
  milo_device *cpu;
  const milo_host host = {.pool = pool, .cpu_caps = milo_cpu_detect()};
  tensors in, apart, shared;
  parse(inputs, "fp32", &in);
  parse(results, "fp32", &apart);
  parse(results, "fp32", &shared);
  fill(&in, 3, false, 5);
  milo_program *program = program_of(&in, body, "fp32", &apart, &diag);
  if (!CHECK(program != NULL) || !CHECK(milo_device_open("cpu", &host, &diag, &cpu) == MILO_OK)) {
    printf("# %s\n", milo_diag_text(&diag));
    return;
  }
  const milo_func *func = milo_program_find_func(program, NULL);
  CHECK(run_on(cpu, func, &in, &apart, &diag) == MILO_OK);
  const milo_executable_options options = {.aliases = aliases, .alias_count = count};
  milo_run *executable;
  if (CHECK(milo_run_compile(cpu, func, &options, &diag, &executable) == MILO_OK)) {
    for (int i = 0; i < shared.count; i++) {
      for (size_t k = 0; k < count; k++)
        if (aliases[k].output == (size_t)i) {
          shared.buffers[i] = in.buffers[aliases[k].input];
          milo_buffer_retain(shared.buffers[i]);
        }
      if (shared.buffers[i] == NULL && milo_buffer_alloc(milo_type_bytes(&shared.types[i]), &diag,
                                                         &shared.buffers[i]) != MILO_OK)
        abort();
    }
    CHECK(milo_run_execute(executable, in.buffers, shared.buffers, &diag) == MILO_OK);
    CHECK(same_bits(&apart, &shared));
    milo_run_destroy(executable);
  }
  if (diag.errors > 0) printf("# %s\n", milo_diag_text(&diag));
  release(&in);
  release(&apart);
  release(&shared);
  milo_device_close(cpu);
  milo_program_destroy(program);
  milo_diag_deinit(&diag);
}

static void test_donated(void) {
  static const milo_alias one[] = {{0, 0}}, swapped[] = {{0, 1}, {1, 0}};
  static const milo_alias optimizer[] = {{0, 0}, {2, 1}, {3, 2}};
  check_donated("T[700] x", "tensor<T, [700]> y = exp(x = x);", "T[700] y", one, 1);
  check_donated("T[30,30] x",
                "tensor<T, [30,30]> t = transpose(x = x, perm = tensor<int32, [2]>([1,0]));"
                "tensor<T, [30,30]> y = add(x = x, y = t);",
                "T[30,30] y", one, 1);
  // y is ready long before x is read for the last time.
  check_donated("T[40,40] x",
                "tensor<T, [40,40]> y = exp(x = x); tensor<T, [40,40]> z = matmul(x = y, y = x);",
                "T[40,40] y, T[40,40] z", one, 1);
  check_donated("T[50] a, T[50] b", "tensor<T, [50]> c = identity(x = a);", "T[50] b, T[50] c",
                swapped, 2);
  check_donated("T[50] a, T[50] b",
                "tensor<T, [50]> c = add(x = a, y = b);"
                "tensor<T, [50]> d = sub(x = a, y = b);",
                "T[50] c, T[50] d", swapped, 2);
  check_donated("T[3000] p, T[3000] g, T[3000] m, T[3000] s, T[] lr, T[] gs",
                "tensor<T, [3000]> v = abs(x = s);"
                "tensor<T, []> one = const()[name = string(\"one\"), val = tensor<T, []>(0.5)];"
                "tensor<T, [3000]> p1, tensor<T, [3000]> m1, tensor<T, [3000]> v1 = adamw(param = "
                "p, grad = g, m = m, v = v, lr = lr, grad_scale = gs, bias1 = one, bias2 = one, "
                "beta1 = fp32(0.9), beta2 = fp32(0.95), epsilon = fp32(1e-8), weight_decay = "
                "fp32(0.1));",
                "T[3000] p1, T[3000] m1, T[3000] v1", optimizer, 3);
  check_donated("T[9,70] x, int32[20] i, T[20,70] u",
                "tensor<T, [9,70]> y = scatter(data = x, indices = i, updates = u, axis = int32(0),"
                " mode = string(\"add\"));",
                "T[9,70] y", one, 1);
}

// Results of a move have the bits of what was moved, whatever they stand for (numbers that went
// through arithmetic lose those of a NaN), apart from the input and over it. An index that is
// outside the axis changes nothing.
static void check_append(const char *dtype, int64_t outer, int64_t dim, int64_t inner,
                         int64_t count) {
  char inputs[160], body[200], results[80];
  snprintf(inputs, sizeof inputs, "T[%lld,%lld,%lld] x, int32[%lld] i, T[%lld,%lld,%lld] u",
           (long long)outer, (long long)dim, (long long)inner, (long long)count, (long long)outer,
           (long long)count, (long long)inner);
  snprintf(results, sizeof results, "T[%lld,%lld,%lld] y", (long long)outer, (long long)dim,
           (long long)inner);
  snprintf(body, sizeof body,
           "tensor<T, [%lld,%lld,%lld]> y = scatter(data = x, indices = i, updates = u, axis = "
           "int32(1), mode = string(\"update\"));",
           (long long)outer, (long long)dim, (long long)inner);
  milo_diag diag = {0};
  milo_device *cpu;
  const milo_host host = {.pool = pool, .cpu_caps = milo_cpu_detect()};
  tensors in, got, wanted, before;
  parse(inputs, dtype, &in);
  parse(results, dtype, &got);
  parse(results, dtype, &wanted);
  parse(results, dtype, &before);
  fill(&in, 3, false, 2 * dim);
  fill(&wanted, 3, false, 2);
  fill(&before, 3, false, 2);
  int32_t *indices = milo_buffer_host(in.buffers[1]);
  for (int64_t i = 0; i < count; i++) indices[i] -= (int32_t)dim;  // from -dim to dim - 1
  for (int k = 0; k < 3; k += 2) {
    unsigned char *bytes = milo_buffer_host(in.buffers[k]);
    for (size_t i = 0; i < milo_type_bytes(&in.types[k]); i++)
      bytes[i] = (unsigned char)milo_rng_below(5, (uint64_t)k, i, 256) | (i % 6 < 4 ? 0x7c : 0);
  }
  // By hand: rows of bytes.
  const size_t row = (size_t)inner * milo_dtype_bits(in.types[0].dtype) / 8;
  const size_t bytes = milo_type_bytes(&in.types[0]);
  char *x = milo_buffer_host(in.buffers[0]), *y = milo_buffer_host(wanted.buffers[0]);
  const char *u = milo_buffer_host(in.buffers[2]);
  memcpy(milo_buffer_host(before.buffers[0]), x, bytes);
  memcpy(y, x, bytes);
  for (int64_t o = 0; o < outer; o++)
    for (int64_t i = 0; i < count; i++) {
      const int64_t at = indices[i] < 0 ? indices[i] + dim : indices[i];
      memcpy(y + (size_t)(o * dim + at) * row, u + (size_t)(o * count + i) * row, row);
    }
  milo_program *program = program_of(&in, body, dtype, &got, &diag);
  if (CHECK(program != NULL) && CHECK(milo_device_open("cpu", &host, &diag, &cpu) == MILO_OK)) {
    const milo_func *func = milo_program_find_func(program, NULL);
    bool good = CHECK(run_on(cpu, func, &in, &got, &diag) == MILO_OK) &&
                CHECK(same_bits(&got, &wanted)) &&
                CHECK(memcmp(x, milo_buffer_host(before.buffers[0]), bytes) == 0);
    static const milo_alias over[] = {{0, 0}};
    const milo_executable_options options = {.aliases = over, .alias_count = 1};
    milo_run *executable;
    if (CHECK(milo_run_compile(cpu, func, &options, &diag, &executable) == MILO_OK)) {
      const int32_t last = indices[count - 1], outside[] = {(int32_t)dim, (int32_t)-dim - 1};
      for (int k = 0; k < 2; k++) {
        milo_diag wrong = {0};
        indices[count - 1] = outside[k];
        good &=
            CHECK(milo_run_execute(executable, in.buffers, in.buffers, &wrong) == MILO_ERR_INVALID);
        good &= CHECK(strstr(milo_diag_text(&wrong), "outside the axis") != NULL);
        good &= CHECK(memcmp(x, milo_buffer_host(before.buffers[0]), bytes) == 0);
        milo_diag_deinit(&wrong);
      }
      indices[count - 1] = last;
      good &= CHECK(milo_run_execute(executable, in.buffers, in.buffers, &diag) == MILO_OK);
      good &= CHECK(memcmp(x, y, bytes) == 0);
      milo_run_destroy(executable);
    }
    if (!good) printf("# %s [%s] %s\n", dtype, inputs, milo_diag_text(&diag));
    release(&got);
    milo_device_close(cpu);
  }
  release(&in);
  release(&wanted);
  release(&before);
  milo_program_destroy(program);
  milo_diag_deinit(&diag);
}

static void test_append(void) {
  static const char *const types[] = {"fp16", "bf16", "fp32", "fp64", "int32"};
  for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
    check_append(types[t], 1, 1, 1, 1);
    check_append(types[t], 3, 7, 1, 5);
    check_append(types[t], 12, 33, 64, 1);  // a cache of keys
    check_append(types[t], 2, 9, 67, 20);   // indices repeat: the last one stays
    check_append(types[t], 1, 5, 1031, 3);
  }
}

static void test_bad_indices(void) {
  static const struct {
    const char *inputs, *body, *results, *wanted;
  } cases[] = {
      {"fp32[3] x, int32[2] i",
       "tensor<fp32, [2]> y = gather(x = x, indices = i, axis = int32(0));", "fp32[2] y",
       "outside the axis"},
      {"fp32[2,3] x, int32[2] i",
       "tensor<fp32, [2]> y, tensor<fp32, [2]> l = cross_entropy(logits = x, target = i);",
       "fp32[2] y", "not in [0, 3)"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    milo_diag diag = {0};
    milo_device *cpu;
    const milo_host host = {.cpu_caps = milo_cpu_detect()};
    tensors in, out;
    parse(cases[i].inputs, "fp32", &in);
    parse(cases[i].results, "fp32", &out);
    fill(&in, 3, false, 3);
    ((int32_t *)milo_buffer_host(in.buffers[1]))[1] = 3;
    milo_program *program = program_of(&in, cases[i].body, "fp32", &out, &diag);
    if (CHECK(program != NULL) && CHECK(milo_device_open("cpu", &host, &diag, &cpu) == MILO_OK)) {
      CHECK(run_on(cpu, milo_program_find_func(program, NULL), &in, &out, &diag) ==
            MILO_ERR_INVALID);
      CHECK(strstr(milo_diag_text(&diag), cases[i].wanted) != NULL);
      milo_device_close(cpu);
    }
    release(&in);
    release(&out);
    milo_program_destroy(program);
    milo_diag_deinit(&diag);
  }
}

int main(void) {
  if (milo_pool_create(2, NULL, &pool) != MILO_OK) abort();
  RUN(test_donated);
  RUN(test_append);
  RUN(test_bad_indices);
  milo_pool_destroy(pool);
  return tap_done();
}
