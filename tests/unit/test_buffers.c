// SPDX-License-Identifier: MIT
// Buffers in host memory and in a device's: bounds, versions, parts, packed copies.
#include "matrix_device.h"
#include "tap.h"
#include "text/text.h"

static milo_diag diag;
static milo_device *matrix, *cpu;

static bool good(milo_status status) {
  if (!CHECK(status == MILO_OK)) printf("# %s\n", milo_diag_text(&diag));
  return status == MILO_OK;
}

static void each_memory(void (*test)(milo_device *device)) {
  test(cpu);
  test(matrix);
  CHECK(matrix_live == 0);
}

// ---- bounds ----

static void bounds(milo_device *device) {
  milo_buffer *whole, *part;
  good(milo_device_alloc(device, 16, &diag, &whole));
  good(milo_buffer_slice(whole, 4, 8, &diag, &part));
  static const struct {
    size_t offset, bytes;
    bool inside, in_part;
  } cases[] = {
      {0, 16, true, false},
      {0, 17, false, false},
      {16, 0, true, false},
      {17, 0, false, false},
      {16, 1, false, false},
      {15, 1, true, false},
      {8, 0, true, true},
      {8, 1, true, false},
      {0, 8, true, true},
      {7, 1, true, true},
      {SIZE_MAX, 1, false, false},
      {1, SIZE_MAX, false, false},
      {SIZE_MAX, 2, false, false},
      {2, SIZE_MAX - 1, false, false},
      {SIZE_MAX, 0, false, false},
      {SIZE_MAX / 2 + 1, SIZE_MAX / 2 + 1, false, false},
      {SIZE_MAX - 3, 8, false, false},
  };
  char data[32] = {0};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const milo_status status = cases[i].inside ? MILO_OK : MILO_ERR_INVALID;
    const milo_status in_part = cases[i].in_part ? MILO_OK : MILO_ERR_INVALID;
    CHECK(milo_buffer_read(whole, cases[i].offset, data, cases[i].bytes) == status);
    CHECK(milo_buffer_write(whole, cases[i].offset, data, cases[i].bytes) == status);
    CHECK(milo_buffer_read(part, cases[i].offset, data, cases[i].bytes) == in_part);
    CHECK(milo_buffer_write(part, cases[i].offset, data, cases[i].bytes) == in_part);
  }
  milo_buffer_release(part);
  milo_buffer_release(whole);
}

static void test_bounds(void) { each_memory(bounds); }

// ---- content ----

static void content(milo_device *device) {
  milo_buffer *whole, *part, *inner, *empty;
  char data[16];
  good(milo_device_alloc(device, 16, &diag, &whole));
  CHECK((milo_buffer_host(whole) != NULL) == (device == cpu));
  CHECK(milo_buffer_read(whole, 0, data, 16) == MILO_OK);
  for (int i = 0; i < 16; i++) CHECK(data[i] == 0);
  for (int i = 0; i < 16; i++) data[i] = (char)(i + 1);
  CHECK(milo_buffer_write(whole, 0, data, 16) == MILO_OK);
  good(milo_buffer_slice(whole, 4, 8, &diag, &part));
  good(milo_buffer_slice(part, 2, 3, &diag, &inner));
  good(milo_buffer_slice(part, 8, 0, &diag, &empty));
  milo_buffer_release(whole);  // its parts keep it
  CHECK(milo_buffer_bytes(inner) == 3);
  CHECK(milo_buffer_read(inner, 1, data, 2) == MILO_OK && data[0] == 8 && data[1] == 9);
  char *mapped = milo_buffer_map(inner, MILO_READ_WRITE);
  if (!CHECK(mapped != NULL)) return;
  CHECK(mapped[0] == 7 && mapped[2] == 9);
  mapped[0] = 70;
  CHECK(milo_buffer_unmap(inner, mapped, MILO_READ_WRITE) == MILO_OK);
  CHECK(milo_buffer_read(part, 1, data, 3) == MILO_OK);
  CHECK(data[0] == 6 && data[1] == 70 && data[2] == 8);
  CHECK(milo_buffer_clear(inner) == MILO_OK);
  CHECK(milo_buffer_read(part, 1, data, 5) == MILO_OK);
  CHECK(data[0] == 6 && data[1] == 0 && data[2] == 0 && data[3] == 0 && data[4] == 10);
  mapped = milo_buffer_map(empty, MILO_READ_WRITE);
  CHECK(mapped != NULL);
  CHECK(milo_buffer_unmap(empty, mapped, MILO_READ_WRITE) == MILO_OK);
  milo_buffer_release(part);
  milo_buffer_release(empty);
  milo_buffer_release(inner);
}

static void test_content(void) { each_memory(content); }

// ---- versions ----

static bool grew(const milo_buffer *buffer, uint64_t *version) {
  const uint64_t before = *version;
  *version = milo_buffer_version(buffer);
  return *version > before;
}

static void versions(milo_device *device) {
  milo_buffer *whole, *a, *b;
  uint32_t data[4] = {1, 2, 3, 4};
  good(milo_device_alloc(device, 16, &diag, &whole));
  good(milo_buffer_slice(whole, 0, 8, &diag, &a));
  good(milo_buffer_slice(whole, 8, 8, &diag, &b));
  uint64_t version = milo_buffer_version(whole);
  CHECK(milo_buffer_version(a) == version && milo_buffer_version(b) == version);
  CHECK(milo_buffer_read(whole, 0, data, 16) == MILO_OK && !grew(whole, &version));
  void *mapped = milo_buffer_map(a, MILO_READ);
  CHECK(milo_buffer_unmap(a, mapped, MILO_READ) == MILO_OK && !grew(whole, &version));
  CHECK(milo_buffer_write(whole, 16, data, 0) == MILO_OK && !grew(whole, &version));
  CHECK(milo_buffer_write(whole, 13, data, 4) == MILO_ERR_INVALID && !grew(whole, &version));
  CHECK(milo_buffer_write(a, 0, data, 4) == MILO_OK && grew(b, &version));
  mapped = milo_buffer_map(b, MILO_WRITE);
  memset(mapped, 1, 8);
  CHECK(milo_buffer_unmap(b, mapped, MILO_WRITE) == MILO_OK && grew(a, &version));
  mapped = milo_buffer_map(whole, MILO_READ_WRITE);
  CHECK(milo_buffer_unmap(whole, mapped, MILO_READ_WRITE) == MILO_OK && grew(a, &version));
  CHECK(milo_buffer_clear(a) == MILO_OK && grew(whole, &version));
  CHECK(milo_buffer_version(a) == version && milo_buffer_version(b) == version);
  milo_buffer_release(a);
  milo_buffer_release(b);
  milo_buffer_release(whole);
}

static void test_versions(void) { each_memory(versions); }

// Every run that outputs to a buffer changes it, whatever device and segment it comes from; inputs
// stay as they are, but for donated ones.
static void test_versions_of_runs(void) {
  static const char text[] =
      "program(1.3) {\n  func main<ios18>(tensor<fp32, [2, 2]> x, tensor<fp32, [2, 2]> w) {\n"
      "tensor<fp32, [2, 2]> p = matmul(x = x, y = w);\n"
      "tensor<fp32, [2, 2]> q = add(x = p, y = w);\n"
      "tensor<int32, [?, 2]> n = non_zero(x = q);\n"
      "tensor<int32, [2]> s = reduce_sum(x = n, axes = tensor<int32, [1]>([0]), keep_dims = "
      "bool(false));\n"
      "} -> (p, s, x, q);\n}\n";
  milo_program *program = NULL;
  if (!good(milo_text_parse(text, sizeof text - 1, "case.mil", &diag, &program))) return;
  milo_device *ref = NULL;
  const milo_host host = {0};
  good(milo_device_open("ref", &host, &diag, &ref));
  milo_device *const devices[] = {cpu, ref, matrix};
  for (int d = 0; d < 3; d++)
    for (int donated = 0; donated < 2; donated++) {
      const milo_alias alias = {1, 3};
      const milo_executable_options options = {.aliases = &alias, .alias_count = (size_t)donated};
      milo_run *run = NULL;
      if (!good(milo_run_compile(devices[d], milo_program_find_func(program, NULL), &options, &diag,
                                 &run)))
        continue;
      milo_buffer *in[2], *out[4];
      for (int i = 0; i < 2; i++) good(milo_device_alloc(devices[d], 16, &diag, &in[i]));
      for (int i = 0; i < 4; i++) good(milo_device_alloc(devices[d], 16, &diag, &out[i]));
      if (donated) {
        milo_buffer_release(out[3]);
        milo_buffer_retain(out[3] = in[1]);
      }
      for (int k = 0; k < 3; k++) {
        uint64_t before[4];
        const uint64_t x = milo_buffer_version(in[0]), w = milo_buffer_version(in[1]);
        for (int i = 0; i < 4; i++) before[i] = milo_buffer_version(out[i]);
        good(milo_run_execute(run, in, out, &diag));
        for (int i = 0; i < 4; i++) CHECK(grew(out[i], &before[i]));
        CHECK(milo_buffer_version(in[0]) == x);
        CHECK((milo_buffer_version(in[1]) == w) == !donated);
      }
      for (int i = 0; i < 2; i++) milo_buffer_release(in[i]);
      for (int i = 0; i < 4; i++) milo_buffer_release(out[i]);
      milo_run_destroy(run);
    }
  milo_device_close(ref);
  milo_program_destroy(program);
  CHECK(matrix_live == 0);
}

// ---- packed copies ----

typedef struct packing {
  const milo_buffer *from;
  int times;
  char add;
} packing;

static void pack(void *user, void *out) {
  packing *p = user;
  p->times++;
  CHECK(milo_buffer_read(p->from, 0, out, 4) == MILO_OK);
  for (int i = 0; i < 4; i++) ((char *)out)[i] = (char)(((char *)out)[i] + p->add);
}

static void packed(milo_device *device) {
  milo_buffer *whole, *b;
  char data[4] = {1, 2, 3, 4};
  good(milo_device_alloc(device, 8, &diag, &whole));
  good(milo_buffer_slice(whole, 4, 4, &diag, &b));
  CHECK(milo_buffer_write(b, 0, data, 4) == MILO_OK);
  const uint64_t one[MILO_PACK_KEY_WORDS] = {1}, two[MILO_PACK_KEY_WORDS] = {1, [7] = 1};
  packing p = {b, 0, 10}, q = {b, 0, 20};
  CHECK(milo_buffer_packed(b, one, 4, pack, &p) == NULL && p.times == 0);  // it may not come again
  CHECK(milo_buffer_packed(b, two, 4, pack, &q) == NULL && q.times == 0);  // not the same
  const char *copy = milo_buffer_packed(b, one, 4, pack, &p);
  if (!CHECK(copy != NULL && p.times == 1 && copy[0] == 11 && copy[3] == 14)) return;
  CHECK((uintptr_t)copy % 64 == 0);
  CHECK(milo_buffer_packed(b, one, 4, pack, &p) == copy && p.times == 1);
  const char *other = milo_buffer_packed(b, two, 4, pack, &q);
  CHECK(other != NULL && other != copy && other[0] == 21 && copy[0] == 11 && q.times == 1);
  // A write to any part: from now on at the first use.
  data[0] = 5;
  CHECK(milo_buffer_write(b, 0, data, 1) == MILO_OK);
  copy = milo_buffer_packed(b, one, 4, pack, &p);
  CHECK(copy != NULL && p.times == 2 && copy[0] == 15 && copy[1] == 12);
  CHECK(milo_buffer_packed(b, one, 4, pack, &p) == copy && p.times == 2);
  CHECK(milo_buffer_write(whole, 0, data, 1) == MILO_OK);
  CHECK(milo_buffer_packed(b, one, 4, pack, &p) != NULL && p.times == 3);
  // Too large to be had: pack it yourself, each time.
  const uint64_t huge[MILO_PACK_KEY_WORDS] = {3};
  for (int i = 0; i < 3; i++)
    CHECK(milo_buffer_packed(b, huge, (size_t)1 << 60, pack, &p) == NULL && p.times == 3);
  milo_buffer_release(b);
  milo_buffer_release(whole);
}

static void test_packed(void) { each_memory(packed); }

// A run that changes the buffer writes those copies anew that were asked for since the last change.
static void test_renewed(void) {
  milo_buffer *b;
  milo_packed_copy *wanted[4];
  char data[4] = {1, 2, 3, 4};
  good(milo_buffer_alloc(4, &diag, &b));
  CHECK(milo_buffer_write(b, 0, data, 4) == MILO_OK);
  const uint64_t one[MILO_PACK_KEY_WORDS] = {1}, two[MILO_PACK_KEY_WORDS] = {2};
  packing p = {b, 0, 10};
  CHECK(milo_buffer_wanted(b, wanted, 4) == 0);
  CHECK(milo_buffer_packed(b, one, 4, pack, &p) == NULL);
  CHECK(milo_buffer_packed(b, two, 4, pack, &p) == NULL && p.times == 0);
  CHECK(milo_buffer_wanted(b, wanted, 1) == 1 && milo_buffer_wanted(b, wanted, 4) == 2);
  const int first = memcmp(wanted[0]->key, one, sizeof one) == 0 ? 0 : 1;
  char *copy = milo_renew_begin(b, wanted[first]);
  if (!CHECK(copy != NULL && (uintptr_t)copy % 64 == 0)) return;
  memset(copy, 7, 4);
  milo_renew_end(b, wanted[first]);
  milo_buffer_changed(b);
  CHECK(milo_buffer_packed(b, one, 4, pack, &p) == copy && p.times == 0 && copy[0] == 7);
  CHECK(milo_buffer_packed(b, one, 4, pack, &p) == copy && p.times == 0);
  // The other was not asked for since; the next change is not foreseen.
  CHECK(milo_buffer_wanted(b, wanted, 4) == 1 && wanted[0]->data == copy);
  milo_buffer_changed(b);
  CHECK(milo_buffer_wanted(b, wanted, 4) == 0);
  CHECK(milo_buffer_packed(b, one, 4, pack, &p) == copy && p.times == 1 && copy[0] == 11);
  // Begun, and never ended: the old content is not taken for one of any version.
  CHECK(milo_buffer_wanted(b, wanted, 4) == 1 && milo_renew_begin(b, wanted[0]) == copy);
  CHECK(milo_buffer_packed(b, one, 4, pack, &p) == copy && p.times == 2);
  const uint64_t huge[MILO_PACK_KEY_WORDS] = {3};
  CHECK(milo_buffer_packed(b, huge, (size_t)1 << 60, pack, &p) == NULL);
  CHECK(milo_buffer_wanted(b, wanted, 1) == 1 && milo_renew_begin(b, wanted[0]) == NULL);
  milo_buffer_release(b);
}

int main(void) {
  const milo_host host = {0};
  if (matrix_device_type.open(&host, &matrix, &diag) != MILO_OK ||
      milo_device_open("cpu", &host, &diag, &cpu) != MILO_OK)
    return 1;
  RUN(test_bounds);
  RUN(test_content);
  RUN(test_versions);
  RUN(test_versions_of_runs);
  RUN(test_packed);
  RUN(test_renewed);
  milo_device_close(matrix);
  milo_device_close(cpu);
  milo_diag_deinit(&diag);
  return tap_done();
}
