// SPDX-License-Identifier: MIT
// ctest: LABELS threads
// libane_bridge as its clients use it, and as nobody should.
#include <milo/ane_bridge.h>
#include <pthread.h>

#include "base/number.h"
#include "tap.h"

static const char conv[] =
    "program(1.3)\n{\n    func main<ios18>(tensor<fp16, [1, 2, 1, 4]> x) {\n"
    "        tensor<fp16, [3, 2, 1, 1]> w = const()[name = string(\"w\"), val = tensor<fp16, [3, "
    "2, 1, "
    "1]>(BLOBFILE(path = string(\"@model_path/weights/weight.bin\"), offset = uint64(64)))];\n"
    "        tensor<fp16, [1, 3, 1, 4]> y = conv(pad_type = string(\"valid\"), weight = w, x = x)"
    "[name = string(\"y\")];\n    } -> (y);\n}\n";

static const float weights[6] = {1, 2, 3, 4, 5, -6};

static ANEKernelHandle *compile_conv(void) {
  const size_t in = 16, out = 24;
  size_t bytes = 0;
  uint8_t *blob = ane_bridge_build_weight_blob(weights, 3, 2, &bytes);
  ANEKernelHandle *k = ane_bridge_compile(conv, strlen(conv), blob, bytes, 1, &in, 1, &out);
  ane_bridge_free_blob(blob);
  return k;
}

static void check_conv(ANEKernelHandle *k, float shift) {
  uint16_t x[8], y[12];
  for (int i = 0; i < 8; i++) x[i] = milo_f32_to_fp16((float)i + shift);
  ane_bridge_write_input(k, 0, x, sizeof x);
  CHECK(ane_bridge_eval(k));
  ane_bridge_read_output(k, 0, y, sizeof y);
  for (int c = 0; c < 3; c++)
    for (int s = 0; s < 4; s++) {
      const float wanted =
          weights[2 * c] * ((float)s + shift) + weights[2 * c + 1] * ((float)(s + 4) + shift);
      CHECK_NEAR((double)milo_fp16_to_f32(y[4 * c + s]), (double)wanted, 0.05);
    }
}

static void test_conv(void) {
  CHECK(ane_bridge_init() == 0);
  CHECK(ane_bridge_get_compile_count() == 0);
  ANEKernelHandle *k = compile_conv(), *other = compile_conv();
  CHECK(ane_bridge_get_compile_count() == 2);
  if (CHECK(k != NULL && other != NULL)) {
    check_conv(k, 0);
    check_conv(other, 2);
    check_conv(k, 1);
    CHECK(ane_bridge_run(k));
  }
  ane_bridge_free(k);
  ane_bridge_free(other);
  ane_bridge_reset_compile_count();
  CHECK(ane_bridge_get_compile_count() == 0);
}

// Two files; inputs and outputs bind by their names, not as they are declared.
static void test_several(void) {
  static const char text[] =
      "program(1.3) {\nfunc main<ios18>(tensor<fp32, [2]> b, tensor<fp32, [3]> a) {\n"
      "tensor<fp16, [2, 1]> u = const()[val = tensor<fp16, [2, 1]>(BLOBFILE(path = "
      "string(\"@model_path/weights/u.bin\"), offset = uint64(64)))];\n"
      "tensor<fp16, [1, 2]> v = const()[val = tensor<fp16, [1, 2]>(BLOBFILE(path = "
      "string(\"@model_path/more/deep/v.bin\"), offset = uint64(64)))];\n"
      "tensor<fp16, [2, 2]> m = matmul(x = u, y = v);\n"
      "tensor<fp32, [2, 2]> z = cast(x = m, dtype = string(\"fp32\"));\n"
      "tensor<fp32, [3]> q = add(x = a, y = fp32(1));\ntensor<fp32, [2]> p = add(x = b, y = b);\n"
      "} -> (z, q, p);\n}\n";
  const float two[2] = {2, 3}, three[2] = {5, 7};
  size_t lens[2];
  uint8_t *const blobs[2] = {ane_bridge_build_weight_blob(two, 2, 1, &lens[0]),
                             ane_bridge_build_weight_blob_transposed(three, 2, 1, &lens[1])};
  const uint8_t *datas[2] = {blobs[0], blobs[1]};
  const char *names[2] = {"@model_path/weights/u.bin", "more/deep/v.bin"};
  const size_t in[2] = {12, 64}, out[3] = {8, 12, 16};  // a, b; p, q, z
  ANEKernelHandle *k =
      ane_bridge_compile_multi_weights(text, strlen(text), names, datas, lens, 2, 2, in, 3, out);
  if (CHECK(k != NULL)) {
    const float a[3] = {1, 2, 3}, b[2] = {10, 20};
    float p[2], q[3], z[4];
    ane_bridge_write_input(k, 0, a, sizeof a);
    ane_bridge_write_input(k, 1, b, sizeof b);
    CHECK(ane_bridge_eval(k));
    ane_bridge_read_output(k, 0, p, sizeof p);
    ane_bridge_read_output(k, 1, q, sizeof q);
    ane_bridge_read_output(k, 2, z, sizeof z);
    CHECK(p[0] == 20 && p[1] == 40 && q[0] == 2 && q[2] == 4);
    CHECK(z[0] == 10 && z[1] == 14 && z[2] == 15 && z[3] == 21);
  }
  ane_bridge_free(k);
  const char *const wrong[] = {"../u.bin", "/tmp/u.bin", "a//b", "", "@model_path/", "a/../../b"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    names[1] = wrong[i];
    CHECK(ane_bridge_compile_multi_weights(text, strlen(text), names, datas, lens, 2, 2, in, 3,
                                           out) == NULL);
  }
  names[1] = "@model_path/weights/u.bin";  // twice
  CHECK(ane_bridge_compile_multi_weights(text, strlen(text), names, datas, lens, 2, 2, in, 3,
                                         out) == NULL);
  for (int i = 0; i < 2; i++) ane_bridge_free_blob(blobs[i]);
}

static void test_int8(void) {
  static const char text[] =
      "program(1.3) {\nfunc main<ios18>(tensor<fp16, [2]> x) {\n"
      "tensor<fp16, [2]> w = constexpr_affine_dequantize()[axis = int32(0), quantized_data = "
      "tensor<int8, [2]>(BLOBFILE(path = string(\"@model_path/weights/weight.bin\"), offset = "
      "uint64(64))), scale = fp16(0.5), zero_point = int8(0)];\n"
      "tensor<fp16, [2]> y = mul(x = x, y = w);\n} -> (y);\n}\n";
  const float values[2] = {-1, 0.25f};
  const int8_t ready[2] = {-127, 32};
  float scale = 0;
  size_t bytes, same;
  uint8_t *quantized = ane_bridge_build_weight_blob_quantized(values, 1, 2, &scale, &bytes);
  uint8_t *whole = ane_bridge_build_weight_blob_int8(ready, 2, 1, &same);
  CHECK(bytes == 130 && same == 130 && scale == 1.0f / 127);
  CHECK(quantized && whole && memcmp(quantized, whole, 130) == 0);
  const size_t surface = 4;
  ANEKernelHandle *k =
      ane_bridge_compile(text, strlen(text), whole, same, 1, &surface, 1, &surface);
  if (CHECK(k != NULL)) {
    uint16_t x[2] = {milo_f32_to_fp16(2), milo_f32_to_fp16(1)}, y[2] = {0};
    ane_bridge_write_input(k, 0, x, 4);
    CHECK(ane_bridge_eval(k));
    ane_bridge_read_output(k, 0, y, 4);
    CHECK(milo_fp16_to_f32(y[0]) == -127 && milo_fp16_to_f32(y[1]) == 16);
  }
  ane_bridge_free(k);
  ane_bridge_free_blob(quantized);
  ane_bridge_free_blob(whole);
  const float bad[2] = {1, (float)INFINITY}, zeros[2] = {0}, tiny[2] = {1e-45f, -1e-45f};
  CHECK(ane_bridge_build_weight_blob_quantized(bad, 1, 2, &scale, &bytes) == NULL && bytes == 0);
  quantized = ane_bridge_build_weight_blob_quantized(zeros, 1, 2, &scale, &bytes);
  CHECK(quantized && scale == 1 && quantized[128] == 0);
  ane_bridge_free_blob(quantized);
  quantized = ane_bridge_build_weight_blob_quantized(tiny, 1, 2, &scale, &bytes);
  CHECK(quantized && scale > 0 && quantized[128] == 1 && quantized[129] == 255);
  ane_bridge_free_blob(quantized);
}

// Every fp16 number, what lies a little beside it and half-way to the next.
static void test_rounding(void) {
  enum { EACH = 5 };
  static float values[65536 * EACH];
  for (uint32_t h = 0; h < 65536; h++) {
    const float x = milo_fp16_to_f32((uint16_t)h), next = milo_fp16_to_f32((uint16_t)(h + 1));
    const float half = (float)(((double)x + (double)next) / 2);
    const float row[EACH] = {x, nextafterf(x, 1e9f), half, nextafterf(half, 1e9f),
                             nextafterf(half, -1e9f)};
    memcpy(&values[h * EACH], row, sizeof row);
  }
  size_t bytes;
  uint8_t *blob = ane_bridge_build_weight_blob(values, 65536, EACH, &bytes);
  if (!CHECK(blob != NULL)) return;
  size_t wrong = 0;
  for (size_t i = 0; i < 65536 * EACH; i++) {
    const uint16_t got = (uint16_t)(blob[128 + 2 * i] | blob[129 + 2 * i] << 8);
    const bool nan = isnan(values[i]);
    if (nan ? !isnan(milo_fp16_to_f32(got)) : got != milo_f32_to_fp16(values[i])) wrong++;
  }
  CHECK(wrong == 0);
  ane_bridge_free_blob(blob);
}

static void test_misuse(void) {
  const size_t in = 16, out = 24, small = 15, none = 0;
  size_t bytes = 7;
  uint8_t *blob = ane_bridge_build_weight_blob(weights, 3, 2, &bytes);
  uint16_t data[64] = {0};
  const int before = ane_bridge_get_compile_count();
  const size_t length = strlen(conv);
  CHECK(!ane_bridge_eval(NULL) && !ane_bridge_run(NULL));
  ane_bridge_write_input(NULL, 0, data, 2);
  ane_bridge_read_output(NULL, 0, data, 2);
  ane_bridge_free(NULL);
  ane_bridge_free_blob(NULL);
  CHECK(ane_bridge_compile(NULL, 5, blob, bytes, 1, &in, 1, &out) == NULL);
  CHECK(ane_bridge_compile("", 0, blob, bytes, 1, &in, 1, &out) == NULL);
  CHECK(ane_bridge_compile("nonsense", 8, NULL, 0, 1, &in, 1, &out) == NULL);
  CHECK(ane_bridge_compile(conv, length - 20, blob, bytes, 1, &in, 1, &out) == NULL);
  CHECK(ane_bridge_compile(conv, length, NULL, 0, 1, &in, 1, &out) == NULL);
  CHECK(ane_bridge_compile(conv, length, blob, 100, 1, &in, 1, &out) == NULL);
  CHECK(ane_bridge_compile(conv, length, blob, bytes, 2, &in, 1, &out) == NULL);
  CHECK(ane_bridge_compile(conv, length, blob, bytes, 1, &in, 0, &out) == NULL);
  CHECK(ane_bridge_compile(conv, length, blob, bytes, -1, &in, 1, &out) == NULL);
  CHECK(ane_bridge_compile(conv, length, blob, bytes, 1, NULL, 1, &out) == NULL);
  CHECK(ane_bridge_compile(conv, length, blob, bytes, 1, &small, 1, &out) == NULL);
  CHECK(ane_bridge_compile(conv, length, blob, bytes, 1, &in, 1, &none) == NULL);
  CHECK(ane_bridge_compile_multi_weights(conv, length, NULL, NULL, NULL, 1, 1, &in, 1, &out) ==
        NULL);
  CHECK(ane_bridge_get_compile_count() == before);
  ANEKernelHandle *k = compile_conv();
  if (CHECK(k != NULL)) {
    check_conv(k, 0);
    ane_bridge_write_input(k, 0, data, 17);
    ane_bridge_write_input(k, 1, data, 2);
    ane_bridge_write_input(k, -1, data, 2);
    ane_bridge_write_input(k, 0, NULL, 2);
    uint16_t y[2] = {1, 2};
    ane_bridge_read_output(k, 0, y, 25);
    ane_bridge_read_output(k, 1, y, 2);
    CHECK(y[0] == 1 && y[1] == 2);  // nothing was copied
    ane_bridge_read_output(k, 0, y, 0);
    check_conv(k, 3);
  }
  ane_bridge_free(k);
  ane_bridge_free_blob(blob);
  CHECK(ane_bridge_build_weight_blob(NULL, 1, 1, &bytes) == NULL && bytes == 0);
  CHECK(ane_bridge_build_weight_blob(weights, 0, 2, &bytes) == NULL);
  CHECK(ane_bridge_build_weight_blob(weights, -3, -2, &bytes) == NULL);
  CHECK(ane_bridge_build_weight_blob(weights, 3, 2, NULL) == NULL);
}

static void *work(void *user) {
  ANEKernelHandle *k = compile_conv();
  for (int i = 0; k != NULL && i < 50; i++) check_conv(k, (float)(i % 4));
  *(bool *)user = k != NULL;
  ane_bridge_free(k);
  return NULL;
}

static void test_threads(void) {
  pthread_t threads[2];
  bool good[2] = {false};
  for (int i = 0; i < 2; i++) CHECK(pthread_create(&threads[i], NULL, work, &good[i]) == 0);
  for (int i = 0; i < 2; i++) CHECK(pthread_join(threads[i], NULL) == 0 && good[i]);
}

static void test_device(void) {
  setenv("MILO_DEVICE", "ref", 1);
  ANEKernelHandle *k = compile_conv();
  if (CHECK(k != NULL)) check_conv(k, 0);
  ane_bridge_free(k);
  setenv("MILO_DEVICE", "no such device", 1);
  CHECK(ane_bridge_init() == -1 && compile_conv() == NULL);
  unsetenv("MILO_DEVICE");
  CHECK(ane_bridge_init() == 0);
}

int main(void) {
  RUN(test_conv);
  RUN(test_several);
  RUN(test_int8);
  RUN(test_rounding);
  RUN(test_misuse);
  RUN(test_threads);
  RUN(test_device);
  return tap_done();
}
