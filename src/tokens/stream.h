// SPDX-License-Identifier: MIT
// Token streams: files of nothing but ids, little-endian: uint16 if called *.u16, uint32 if called
// *.u32, else as the vocabulary needs (uint32 where it has more than 65,536).
#ifndef MILO_TOKENS_STREAM_H
#define MILO_TOKENS_STREAM_H

#include "base/status.h"

// *out_ids: malloc'ed. vocab > 0. MILO_ERR_INVALID for a file without tokens, one whose size is no
// multiple of an id's, or an id >= vocab; the message names the byte offset.
MILO_MUST_USE milo_status milo_stream_load(const char *path, size_t vocab, milo_diag *diag,
                                           uint32_t **out_ids, size_t *out_count);
// Atomic. MILO_ERR_INVALID, and nothing written, for an id >= vocab, and for a vocabulary that
// a *.u16 cannot hold.
MILO_MUST_USE milo_status milo_stream_save(const char *path, size_t vocab, const uint32_t *ids,
                                           size_t count, milo_diag *diag);

#endif
