// SPDX-License-Identifier: MIT
// Interned names and the scopes they are visible in.
#include <string.h>

#include "text/parser.h"

enum { FIRST_SLOTS = 256, NEAREST_LIMIT = 20000, ALIKE_BYTES = 64 };

static uint64_t hash_bytes(const char *text, size_t bytes) {
  uint64_t hash = UINT64_C(0xcbf29ce484222325);
  for (size_t i = 0; i < bytes; i++) hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3;
  return hash ^ hash >> 29;
}

static milo_name **find_slot(milo_name **slots, size_t count, const char *text, size_t bytes,
                             uint64_t hash) {
  for (size_t i = hash & (count - 1);; i = (i + 1) & (count - 1)) {
    const milo_name *name = slots[i];
    if (!name ||
        (name->hash == hash && name->bytes == bytes && memcmp(name->text, text, bytes) == 0))
      return &slots[i];
  }
}

static void grow(milo_parser *p) {
  const size_t count = p->slot_count ? 2 * p->slot_count : FIRST_SLOTS;
  milo_name **slots = MILO_NEW_ARRAY(p->arena, milo_name *, count);
  for (size_t i = 0; i < p->slot_count; i++) {
    milo_name *name = p->slots[i];
    if (name) *find_slot(slots, count, name->text, name->bytes, name->hash) = name;
  }
  p->slots = slots;
  p->slot_count = count;
}

milo_name *milo_names_intern(milo_parser *p, const char *text, size_t bytes) {
  if (2 * (p->name_count + 1) > p->slot_count) grow(p);
  const uint64_t hash = hash_bytes(text, bytes);
  milo_name **slot = find_slot(p->slots, p->slot_count, text, bytes, hash);
  if (!*slot) {
    *slot = MILO_NEW(p->arena, milo_name);
    (*slot)->text = milo_arena_strndup(p->arena, text, bytes);
    (*slot)->bytes = bytes;
    (*slot)->hash = hash;
    p->name_count++;
  }
  return *slot;
}

void milo_names_define(milo_parser *p, milo_name *name, milo_value *value) {
  const milo_shadowed before = {name, name->value};
  MILO_PUSH(p->arena, p->log, p->log_count, p->log_capacity, before);
  name->value = value;
}

void milo_names_close(milo_parser *p, size_t mark) {
  while (p->log_count > mark) {
    const milo_shadowed *before = &p->log[--p->log_count];
    before->name->value = before->value;
  }
}

// At most two letters apart, and less than a third of the word (Levenshtein).
bool milo_names_alike(const char *a, size_t a_bytes, const char *b, size_t b_bytes) {
  if (a_bytes > ALIKE_BYTES || b_bytes > ALIKE_BYTES) return false;
  const size_t most = a_bytes < 6 ? 1 : 2;
  if (a_bytes > b_bytes + most || b_bytes > a_bytes + most) return false;
  size_t row[ALIKE_BYTES + 1];
  for (size_t j = 0; j <= b_bytes; j++) row[j] = j;
  for (size_t i = 1; i <= a_bytes; i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b_bytes; j++) {
      const size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      const size_t shorter = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
      row[j] = replaced < shorter ? replaced : shorter;
    }
  }
  return row[b_bytes] <= most && b_bytes > most;
}

const milo_name *milo_names_nearest(const milo_parser *p, const char *text, size_t bytes) {
  if (p->name_count > NEAREST_LIMIT) return NULL;
  const milo_name *nearest = NULL;
  for (size_t i = 0; i < p->slot_count; i++) {
    const milo_name *name = p->slots[i];
    if (!name || !name->value || !milo_names_alike(text, bytes, name->text, name->bytes)) continue;
    // The alphabetically first: the message must not depend on the table's order.
    if (!nearest || strcmp(name->text, nearest->text) < 0) nearest = name;
  }
  return nearest;
}
