// SPDX-License-Identifier: MIT
// Values stored in 16 bits: every step that computes in fp32 reads and stores them as they are, so
// that casts cost nothing on cpu, and gives what ref gives.
#include "base/cpu.h"
#include "base/number.h"
#include "base/rng.h"
#include "device/device.h"
#include "ir/op.h"
#include "tap.h"
#include "text/text.h"

enum { MAX_VALUES = 12 };

// Inputs whose names begin with h are of the type H; f: fp32; t: int32 below 7.
typedef struct storage_case {
  const char *inputs, *body, *outputs;
  size_t steps;  // on cpu
} storage_case;

#define WIDE(name, shape) \
  "tensor<fp32, [" shape "]> " name "w = cast(x = " name ", dtype = string(\"fp32\"));"
#define NARROW(name, shape) \
  "tensor<H, [" shape "]> " name "h = cast(x = " name ", dtype = string(\"H\"));"
#define HEADS "2,4,67,10"
#define KV_HEADS "2,2,67,10"

static const storage_case cases[] = {
    {"tensor<H, [37,1031]> ha, tensor<fp32, [1031]> fg",
     WIDE("ha", "37,1031") "tensor<fp32, [37,1031]> y = rms_norm(x = haw, weight = fg);" NARROW(
         "y", "37,1031"),
     "yh", 1},
    {"tensor<H, [37,1031]> ha, tensor<fp32, [1031]> fg",
     WIDE("ha", "37,1031") "tensor<fp32, [37,1031]> y = layer_norm(x = haw, axes = "
                           "tensor<int32, [1]>([-1]), gamma = fg, beta = fg);" NARROW("y",
                                                                                      "37,"
                                                                                      "1031"),
     "yh", 1},
    {"tensor<H, [5,31,7]> ha",
     WIDE("ha", "5,31,7") "tensor<fp32, [5,31,7]> y = softmax(x = haw, axis = int32(2));" NARROW(
         "y", "5,31,7"),
     "yh", 1},
    {"tensor<fp32, [37,131]> fa, tensor<H, [37,131]> hb, tensor<fp32, [131]> fg",
     WIDE("hb", "37,131") "tensor<fp32, [37,131]> y, tensor<fp32, [131]> z = rms_norm_grad(grad = "
                          "fa, x = hbw, weight = fg);" NARROW("y", "37,131"),
     "yh, z", 1},
    {"tensor<H, [37,131]> ha, tensor<fp32, [37,131]> fb, tensor<fp32, [131]> fg",
     WIDE("ha", "37,131") "tensor<fp32, [37,131]> y, tensor<fp32, [131]> z = rms_norm_grad(grad = "
                          "haw, x = fb, weight = fg);",
     "y, z", 1},
    {"tensor<H, [2,67,4,10]> ha, tensor<fp32, [67,5]> fc, tensor<fp32, [67,5]> fs",
     WIDE("ha", "2,67,4,10") "tensor<fp32, [" HEADS
                             "]> t = transpose(x = haw, perm = tensor<int32, "
                             "[4]>([0,2,1,3]));"
                             "tensor<fp32, [" HEADS
                             "]> y = rope(x = t, cos = fc, sin = fs);" NARROW("y", HEADS),
     "yh", 1},
    {"tensor<H, [2,67,4,10]> ha, tensor<H, [" KV_HEADS "]> hb, tensor<H, [" KV_HEADS "]> hc",
     WIDE("ha", "2,67,4,10") WIDE("hb", KV_HEADS) WIDE(
         "hc", KV_HEADS) "tensor<fp32, [" HEADS
                         "]> t = transpose(x = haw, perm = tensor<int32, [4]>([0,2,1,3]));"
                         "tensor<fp32, [" HEADS "]> y, tensor<fp32, [2,4,67]> z = attention(query "
                         "= t, key = hbw, value = hcw, scale = "
                         "fp32(0.3));" NARROW("y", HEADS),
     "yh, z", 1},
    {"tensor<H, [" HEADS "]> ha, tensor<H, [" HEADS "]> hb, tensor<H, [" KV_HEADS
     "]> hc, tensor<H, [" KV_HEADS "]> hd, tensor<H, [" HEADS "]> he, tensor<fp32, [2,4,67]> fl",
     WIDE("ha", HEADS) WIDE("hb", HEADS) WIDE("hc", KV_HEADS) WIDE("hd", KV_HEADS)
         WIDE("he", HEADS) "tensor<fp32, [2,4,67]> l = mul(x = fl, y = fp32(0.1));"
                           "tensor<fp32, [2,4,67]> m = add(x = l, y = fp32(4));"
                           "tensor<fp32, [" HEADS "]> x, tensor<fp32, [" KV_HEADS
                           "]> y, tensor<fp32, [" KV_HEADS
                           "]> z = attention_grad(grad = haw, query = hbw, key = hcw, value = hdw, "
                           "out = hew, lse = "
                           "m, scale = fp32(0.3));" NARROW("x", HEADS) NARROW("y", KV_HEADS)
                               NARROW("z", KV_HEADS),
     "xh, yh, zh", 2},
    {"tensor<H, [33,1031]> ha, tensor<H, [33,1031]> hb, tensor<H, [33,1031]> hc",
     WIDE("ha", "33,1031") WIDE("hb", "33,1031")
         WIDE("hc", "33,1031") "tensor<fp32, [33,1031]> y, tensor<fp32, [33,1031]> z = "
                               "silu_gate_grad(grad = haw, x = "
                               "hbw, y = hcw);" NARROW("y", "33,1031") NARROW("z", "33,1031"),
     "yh, zh", 1},
    {"tensor<H, [33,1031]> ha, tensor<H, [33,1031]> hb",
     WIDE("ha", "33,1031")
         WIDE("hb", "33,1031") "tensor<fp32, [33,1031]> y = silu_gate(x = haw, y = hbw);" NARROW(
             "y", "33,1031"),
     "yh", 1},
    {"tensor<H, [13,2053]> ha, tensor<int32, [13]> t",
     WIDE("ha", "13,2053") "tensor<fp32, [13]> y, tensor<fp32, [13]> z = cross_entropy(logits = "
                           "haw, target = t);",
     "y, z", 1},
    {"tensor<H, [13,2053]> ha, tensor<int32, [13]> t, tensor<fp32, [13]> fg",
     WIDE("ha", "13,2053") "tensor<fp32, [13]> y, tensor<fp32, [13]> z = cross_entropy(logits = "
                           "haw, target = t);"
                           "tensor<fp32, [13,2053]> d = cross_entropy_grad(grad = fg, logits = "
                           "haw, target = t, lse "
                           "= z);" NARROW("d", "13,2053"),
     "y, dh", 2},
    {"tensor<H, [37,131]> ha, tensor<fp32, [29,131]> fw",
     WIDE("ha", "37,131") "tensor<fp32, [37,29]> y = matmul(x = haw, y = fw, transpose_x = "
                          "bool(false), transpose_y = bool(true));" NARROW("y", "37,29"),
     "yh", 1},
    {"tensor<H, [37,131]> ha, tensor<H, [37,29]> hb",
     WIDE("ha", "37,131") WIDE(
         "hb",
         "37,29") "tensor<fp32, [131,29]> y = matmul(x = haw, y = hbw, transpose_x = bool(true), "
                  "transpose_y = bool(false));",
     "y", 1},
    {"tensor<H, [37,131]> ha, tensor<fp32, [29,131]> fw, tensor<fp32, [29]> fb",
     WIDE("ha", "37,131") "tensor<fp32, [37,29]> y = linear(x = haw, weight = fw, bias = fb);"
                          "tensor<fp32, [37,29]> g = gelu(x = y, mode = string(\"EXACT\"));" NARROW(
                              "g", "37,29"),
     "gh", 2},
};

// H becomes the type's name where it stands for one.
static void fill_in(const char *text, const char *dtype, char *out, size_t bytes) {
  size_t n = 0;
  for (const char *c = text; *c != '\0' && n + 8 < bytes; c++) {
    const bool is_type = *c == 'H' && (c[-1] == '<' || c[-1] == '"');
    n += (size_t)snprintf(out + n, bytes - n, "%.*s", is_type ? (int)strlen(dtype) : 1,
                          is_type ? dtype : c);
  }
  out[n] = '\0';
}

typedef struct arrays {
  size_t count;
  milo_type types[MAX_VALUES];
  double *values[MAX_VALUES];
} arrays;

static void free_arrays(arrays *a) {
  for (size_t i = 0; i < a->count; i++) free(a->values[i]);
}

// Runs the function on what seed makes; counts the steps.
static bool run(const char *device_name, unsigned caps, const milo_func *func, uint64_t seed,
                arrays *out, size_t *out_steps) {
  const milo_host host = {.cpu_caps = milo_cpu_detect() & caps};
  const milo_executable_options options = {.profile = true};
  milo_device *device = NULL;
  milo_run *run = NULL;
  milo_diag diag = {0};
  milo_buffer *inputs[MAX_VALUES] = {0}, *outputs[MAX_VALUES] = {0};
  const milo_block *body = func->body;
  bool good = CHECK(milo_device_open(device_name, &host, &diag, &device) == MILO_OK) &&
              CHECK(milo_run_compile(device, func, &options, &diag, &run) == MILO_OK);
  uint64_t n = 0;
  for (size_t i = 0; good && i < body->param_count; i++) {
    const milo_type *type = &body->params[i]->type;
    good = milo_buffer_alloc(milo_type_bytes(type), &diag, &inputs[i]) == MILO_OK;
    void *data = milo_buffer_map(inputs[i], MILO_WRITE);
    for (size_t k = 0; k < milo_type_elements(type); k++, n++)
      milo_number_store(type->dtype, data, k,
                        type->dtype == MILO_INT32 ? (double)milo_rng_below(seed, 2, n, 7)
                                                  : 4 * milo_rng_uniform(seed, 1, n) - 2);
    good = good && milo_buffer_unmap(inputs[i], data, MILO_WRITE) == MILO_OK;
  }
  for (size_t i = 0; good && i < body->output_count; i++)
    good =
        milo_buffer_alloc(milo_type_bytes(&body->outputs[i]->type), &diag, &outputs[i]) == MILO_OK;
  good = good && CHECK(milo_run_execute(run, inputs, outputs, &diag) == MILO_OK);
  *out = (arrays){.count = good ? body->output_count : 0};
  for (size_t i = 0; i < out->count; i++) {
    const milo_type *type = &body->outputs[i]->type;
    const void *data = milo_buffer_map(outputs[i], MILO_READ);
    const size_t count = milo_type_elements(type);
    out->types[i] = *type;
    out->values[i] = calloc(count, sizeof(double));
    for (size_t k = 0; k < count; k++) out->values[i][k] = milo_number_load(type->dtype, data, k);
  }
  milo_profile rows[64];
  *out_steps = good ? milo_run_profile(run, rows, 64) : 0;
  if (!good) printf("# %s: %s\n", device_name, milo_diag_text(&diag));
  for (size_t i = 0; i < MAX_VALUES; i++) {
    milo_buffer_release(inputs[i]);
    milo_buffer_release(outputs[i]);
  }
  milo_run_destroy(run);
  milo_device_close(device);
  milo_diag_deinit(&diag);
  return good;
}

// What was rounded to 16 bits may have gone to the neighbour: one unit. fp32 sums differ by a few
// of theirs (some 1,000 terms: 2e-5 of the largest is seen with products of 16-bit operands).
static bool close_to(const arrays *a, const arrays *b) {
  for (size_t i = 0; i < a->count; i++) {
    const milo_dtype dtype = a->types[i].dtype;
    const double unit = dtype == MILO_BF16 ? 0x1p-7 : dtype == MILO_FP16 ? 0x1p-10 : 0;
    double largest = 0;
    for (size_t k = 0; k < milo_type_elements(&a->types[i]); k++)
      largest = fmax(largest, fabs(b->values[i][k]));
    for (size_t k = 0; k < milo_type_elements(&a->types[i]); k++) {
      const double x = a->values[i][k], y = b->values[i][k];
      if (fabs(x - y) <= unit * fabs(y) + 5e-5 * largest) continue;
      printf("# output %zu, element %zu: %.9g, expected %.9g (largest %g)\n", i, k, x, y, largest);
      return false;
    }
  }
  return true;
}

static void test_stored_in_16_bits(void) {
  static const char *const dtypes[] = {"bf16", "fp16"};
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
    for (int d = 0; d < 2; d++) {
      char given[4096], text[4096];
      snprintf(given, sizeof given,
               "program(1.3)\n{\n    func main<ios18>(%s) {\n%s\n        } -> (%s);\n}\n",
               cases[c].inputs, cases[c].body, cases[c].outputs);
      fill_in(given, dtypes[d], text, sizeof text);
      milo_diag diag = {0};
      milo_program *program = NULL;
      if (!CHECK(milo_text_parse(text, strlen(text), "t.mil", &diag, &program) == MILO_OK) ||
          !CHECK(milo_ir_verify(program, &diag) == MILO_OK)) {
        printf("# %s\n%s\n", milo_diag_text(&diag), text);
        continue;
      }
      const milo_func *func = milo_program_find_func(program, NULL);
      arrays wanted, got;
      size_t steps = 0;
      if (run("ref", 0, func, c + 1, &wanted, &steps)) {
        for (int plain = 0; plain < 2; plain++) {
          if (!run("cpu", plain ? 0 : ~0u, func, c + 1, &got, &steps)) continue;
          if (!CHECK(close_to(&got, &wanted)) || !CHECK(steps == cases[c].steps))
            printf("# case %zu, %s, %s: %zu steps\n", c, dtypes[d], plain ? "plain" : "all", steps);
          free_arrays(&got);
        }
        free_arrays(&wanted);
      }
      milo_program_destroy(program);
      milo_diag_deinit(&diag);
    }
}

int main(void) {
  RUN(test_stored_in_16_bits);
  return tap_done();
}
