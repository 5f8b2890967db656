// SPDX-License-Identifier: MIT
// AMX in plain C, so that a row made of tiles is compiled and tested where the instructions are
// missing: eight tiles that are nothing until they are configured. Include it before the row's
// source. Any use that the processor would refuse ends the program.
#ifndef MILO_TESTS_KERNELS_EMULATE_TILES_H
#define MILO_TESTS_KERNELS_EMULATE_TILES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

typedef struct emulated_tiles {
  bool configured;
  int loads, products;  // counted
  uint16_t row_bytes[8];
  uint8_t rows[8];
  uint8_t data[8][16][64];
} emulated_tiles;

static _Thread_local emulated_tiles tiles_;

static inline void tile_refuse(const char *why) {
  printf("Bail out! tiles: %s\n", why);
  exit(1);
}

static inline void tile_config_(const void *config) {
  const uint8_t *c = config;
  if (c[0] != 1 || c[1] != 0) tile_refuse("palette or start row");
  for (int i = 0; i < 8; i++) {
    memcpy(&tiles_.row_bytes[i], c + 16 + 2 * i, 2);
    tiles_.rows[i] = c[48 + i];
    if (tiles_.row_bytes[i] > 64 || tiles_.rows[i] > 16) tile_refuse("a tile of that size");
  }
  for (int i = 2; i < 16; i++)
    if (c[i] != 0) tile_refuse("reserved bytes");
  memset(tiles_.data, 0xaa, sizeof tiles_.data);
  tiles_.configured = true;
}

static inline void tile_check_(int t) {
  if (!tiles_.configured || tiles_.rows[t] == 0) tile_refuse("not configured");
}

static inline void tile_zero_(int t) {
  tile_check_(t);
  memset(tiles_.data[t], 0, sizeof tiles_.data[t]);
}

static inline void tile_load_(int t, const void *from, size_t stride) {
  tile_check_(t);
  tiles_.loads++;
  for (int i = 0; i < tiles_.rows[t]; i++)
    memcpy(tiles_.data[t][i], (const char *)from + (size_t)i * stride, tiles_.row_bytes[t]);
}

static inline void tile_store_(int t, void *to, size_t stride) {
  tile_check_(t);
  for (int i = 0; i < tiles_.rows[t]; i++)
    memcpy((char *)to + (size_t)i * stride, tiles_.data[t][i], tiles_.row_bytes[t]);
}

// c[i][j] += sum over units q of a[i][q] * b[q][j]: pairs of bf16 in fp32, or fours of int8.
static inline void tile_dot_(int c, int a, int b, bool bytes) {
  tile_check_(c);
  tile_check_(a);
  tile_check_(b);
  tiles_.products++;
  const int units = tiles_.row_bytes[a] / 4, columns = tiles_.row_bytes[c] / 4;
  if (tiles_.rows[b] != units || tiles_.rows[a] != tiles_.rows[c] ||
      tiles_.row_bytes[b] != tiles_.row_bytes[c])
    tile_refuse("tiles that do not fit");
  for (int i = 0; i < tiles_.rows[c]; i++)
    for (int j = 0; j < columns; j++) {
      float sum;
      int32_t count;
      memcpy(&sum, &tiles_.data[c][i][4 * j], 4);
      memcpy(&count, &sum, 4);
      for (int q = 0; q < units; q++) {
        const uint8_t *x = &tiles_.data[a][i][4 * q], *y = &tiles_.data[b][q][4 * j];
        if (bytes) {
          for (int p = 0; p < 4; p++)
            count = (int32_t)((uint32_t)count + (uint32_t)((int8_t)x[p] * (int8_t)y[p]));
        } else {
          for (int p = 0; p < 4; p += 2) {
            milo_bf16 u, v;
            memcpy(&u, x + p, 2);
            memcpy(&v, y + p, 2);
            sum += milo_bf16_to_f32(u) * milo_bf16_to_f32(v);
          }
        }
      }
      memcpy(&tiles_.data[c][i][4 * j], bytes ? (const void *)&count : (const void *)&sum, 4);
    }
}

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbf16ps
#undef _tile_dpbssd
#define _tile_loadconfig(config) tile_config_(config)
#define _tile_release() (tiles_.configured = false)
#define _tile_zero(t) tile_zero_(t)
#define _tile_loadd(t, from, stride) tile_load_(t, from, stride)
#define _tile_stored(t, to, stride) tile_store_(t, to, stride)
#define _tile_dpbf16ps(c, a, b) tile_dot_(c, a, b, false)
#define _tile_dpbssd(c, a, b) tile_dot_(c, a, b, true)

#endif
