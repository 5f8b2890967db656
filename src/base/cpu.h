// SPDX-License-Identifier: MIT
// What the processor offers. Found once per context: CPUID, what the system saves (XCR0) and, for
// AMX tiles, its permission; then narrowed by a mask.
#ifndef MILO_BASE_CPU_H
#define MILO_BASE_CPU_H

#include "base/status.h"

typedef enum milo_cpu_caps {
  MILO_CPU_AVX2 = 1 << 0,
  MILO_CPU_FMA = 1 << 1,
  MILO_CPU_F16C = 1 << 2,
  MILO_CPU_AVX512 = 1 << 3,  // F, BW, DQ, VL
  MILO_CPU_AVX512_BF16 = 1 << 4,
  MILO_CPU_AVX512_VNNI = 1 << 5,
  MILO_CPU_AMX_BF16 = 1 << 6,
  MILO_CPU_AMX_INT8 = 1 << 7,
  MILO_CPU_NEON = 1 << 8,
  MILO_CPU_AVX_VNNI = 1 << 9,
} milo_cpu_caps;

unsigned milo_cpu_detect(void);
// Comma list ("avx2,fma") to bits; "" and "none" are 0.
MILO_MUST_USE milo_status milo_cpu_parse_mask(const char *list, milo_diag *diag,
                                              unsigned *out_caps);
// Writes the comma list of caps into text (at most bytes, NUL-terminated).
void milo_cpu_format(unsigned caps, char *text, size_t bytes);
// Processors that this process may run on (affinity, cgroup quota), at least 1.
int milo_cpu_count(void);

#endif
