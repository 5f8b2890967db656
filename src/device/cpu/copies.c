// SPDX-License-Identifier: MIT
// A copy's key says all that its bytes depend on, beside the buffer's own, so that a copy can be
// made anew from its key alone.
#include "device/cpu/copies.h"

#include "device/buffer.h"

bool milo_code_is_parameter(const milo_code *c, const milo_view *v, size_t *out_input) {
  const milo_cpu_buffer *b = &c->buffers[v->buffer];
  const milo_role *roles = c->options->roles;
  *out_input = b->index;
  return b->place == MILO_PLACE_INPUT && roles != NULL && roles[b->index] == MILO_ROLE_PARAMETER;
}

milo_numeric milo_code_numeric(const milo_code *c, milo_dtype a, milo_dtype b) {
  const milo_product *row = milo_exec_product(&c->device->exec, c->options->numeric);
  const bool reads = row->sum == MILO_FP32 && milo_product_packer(row, a) != NULL &&
                     milo_product_packer(row, b) != NULL;
  return reads ? c->options->numeric : MILO_NUMERIC_EXACT;
}

typedef struct filling {
  const milo_exec *exec;
  milo_packed *packed;
  const milo_matrix *x;
} filling;

static void fill(void *user, void *out) {
  const filling *f = user;
  milo_packed_fill(f->exec, f->packed, f->x, out);
}

bool milo_copy_of(const milo_cpu_run *run, size_t input, const milo_matrix *x, int64_t offset,
                  milo_packed *packed) {
  const uint64_t key[MILO_PACK_KEY_WORDS] = {
      (uintptr_t)packed->product, (uint64_t)packed->side, packed->count,   packed->k,
      (uint64_t)x->dtype,         (uint64_t)x->rs,        (uint64_t)x->cs, (uint64_t)offset};
  filling f = {run->exec, packed, x};
  packed->data = milo_buffer_packed(run->inputs[input], key, milo_packed_bytes(packed), fill, &f);
  return packed->data != NULL;
}

// The way back; false: it is no key of this device.
static bool read_key(const uint64_t *key, const char *base, milo_packed *packed, milo_matrix *x) {
  const milo_product *const *row = milo_product_variants;
  while (*row != NULL && (uintptr_t)*row != key[0]) ++row;
  if (*row == NULL) return false;
  *packed = (milo_packed){*row, (milo_side)key[1], key[2], key[3], NULL};
  *x = (milo_matrix){NULL, (milo_dtype)key[4], (ptrdiff_t)key[5], (ptrdiff_t)key[6]};
  x->data = base + (int64_t)key[7] * (int64_t)(milo_dtype_bits(x->dtype) / 8);
  return true;
}

void milo_renew_copies(const milo_exec *exec, milo_buffer *buffer) {
  enum { MOST = 16 };  // the others are made when they are asked for
  milo_packed_copy *wanted[MOST];
  const size_t count = milo_buffer_wanted(buffer, wanted, MOST);
  for (size_t i = 0; i < count; ++i) {
    milo_packed packed;
    milo_matrix x;
    if (!read_key(wanted[i]->key, milo_buffer_host(buffer), &packed, &x)) continue;
    if (milo_dtype_bits(packed.product->packed) >= milo_dtype_bits(x.dtype)) continue;
    void *out = milo_renew_begin(buffer, wanted[i]);
    if (out == NULL) continue;
    milo_packed_fill(exec, &packed, &x, out);
    milo_renew_end(buffer, wanted[i]);
  }
}
