// SPDX-License-Identifier: MIT
// Interned names and the scopes they are visible in.
#include <stdlib.h>
#include <string.h>

#include "ir/op.h"
#include "text/parser.h"

enum { FIRST_SLOTS = 256, NEAREST_LIMIT = 20000, ALIKE_BYTES = 64 };

static uint32_t hash_bytes(const char *text, size_t bytes) {
  uint64_t hash = UINT64_C(0xcbf29ce484222325);
  for (size_t i = 0; i < bytes; i++) hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3;
  return (uint32_t)(hash ^ hash >> 29);
}

// Names hold no NUL, so that the entry's own ends the comparison.
static bool is_text(const milo_name *name, const char *text, size_t bytes) {
  return strncmp(name->text, text, bytes) == 0 && name->text[bytes] == '\0';
}

static milo_name **slots_of(const milo_parser *p) { return p->slots.data; }

static milo_name **find_slot(const milo_parser *p, const char *text, size_t bytes, uint32_t hash) {
  milo_name **slots = slots_of(p);
  for (size_t i = hash & (p->slot_count - 1);; i = (i + 1) & (p->slot_count - 1)) {
    const milo_name *name = slots[i];
    if (!name || (name->hash == hash && is_text(name, text, bytes))) return &slots[i];
  }
}

static void grow(milo_parser *p) {
  const size_t old_count = p->slot_count;
  milo_scratch old = p->slots;
  p->slots = (milo_scratch){0};
  p->slot_count = old_count ? 2 * old_count : FIRST_SLOTS;
  milo_scratch_reserve(&p->slots, p->slot_count * sizeof(milo_name *));
  milo_name **slots = slots_of(p);
  for (size_t k = 0; k < old_count; k++) {
    milo_name *name = ((milo_name **)old.data)[k];
    if (!name) continue;
    size_t i = name->hash & (p->slot_count - 1);
    while (slots[i]) i = (i + 1) & (p->slot_count - 1);
    slots[i] = name;
  }
  free(old.data);
}

milo_name *milo_names_intern(milo_parser *p, const char *text, size_t bytes) {
  if (2 * (p->name_count + 1) > p->slot_count) grow(p);
  const uint32_t hash = hash_bytes(text, bytes);
  milo_name **slot = find_slot(p, text, bytes, hash);
  if (!*slot) {
    *slot = MILO_NEW(&p->names, milo_name);
    (*slot)->text = milo_arena_strndup(p->arena, text, bytes);
    (*slot)->hash = hash;
    p->name_count++;
  }
  return *slot;
}

milo_name *milo_names_find(const milo_parser *p, const char *text, size_t bytes) {
  return p->slot_count > 0 ? *find_slot(p, text, bytes, hash_bytes(text, bytes)) : NULL;
}

milo_opcode milo_names_opcode(milo_name *name) {
  if (name->op == 0) name->op = (uint16_t)(1 + milo_opcode_find(name->text));
  return (milo_opcode)(name->op - 1);
}

void milo_names_define(milo_parser *p, milo_name *name, milo_value *value) {
  milo_scratch_reserve(&p->log, (p->log_count + 1) * sizeof(milo_shadowed));
  ((milo_shadowed *)p->log.data)[p->log_count++] = (milo_shadowed){name, name->value};
  name->value = value;
}

void milo_names_close(milo_parser *p, size_t mark) {
  while (p->log_count > mark) {
    const milo_shadowed *before = &((const milo_shadowed *)p->log.data)[--p->log_count];
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
    const milo_name *name = slots_of(p)[i];
    if (!name || !name->value || !milo_names_alike(text, bytes, name->text, strlen(name->text)))
      continue;
    // The alphabetically first: the message must not depend on the table's order.
    if (!nearest || strcmp(name->text, nearest->text) < 0) nearest = name;
  }
  return nearest;
}
