// SPDX-License-Identifier: MIT
#include "base/cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sched.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#endif

static const struct {
  const char *name;
  unsigned cap;
} names[] = {
    {"avx2", MILO_CPU_AVX2},
    {"fma", MILO_CPU_FMA},
    {"f16c", MILO_CPU_F16C},
    {"avx512", MILO_CPU_AVX512},
    {"avx512_bf16", MILO_CPU_AVX512_BF16},
    {"avx512_vnni", MILO_CPU_AVX512_VNNI},
    {"amx_bf16", MILO_CPU_AMX_BF16},
    {"amx_int8", MILO_CPU_AMX_INT8},
    {"neon", MILO_CPU_NEON},
    {"avx_vnni", MILO_CPU_AVX_VNNI},
};
enum { NAME_COUNT = sizeof names / sizeof names[0] };

#if defined(__x86_64__)

enum cpuid_register { EAX, EBX, ECX, EDX };

// What counts: the bit in CPUID, and that the system saves the registers it uses.
enum saved_state { SAVED_AVX, SAVED_AVX512, SAVED_TILES, SAVED_STATES };

static const struct {
  unsigned cap;
  uint8_t leaf, subleaf, reg, bit, state;
} features[] = {
    {MILO_CPU_FMA, 1, 0, ECX, 12, SAVED_AVX},
    {MILO_CPU_F16C, 1, 0, ECX, 29, SAVED_AVX},
    {MILO_CPU_AVX2, 7, 0, EBX, 5, SAVED_AVX},
    {MILO_CPU_AVX512, 7, 0, EBX, 16, SAVED_AVX512},  // F
    {MILO_CPU_AVX512, 7, 0, EBX, 17, SAVED_AVX512},  // DQ
    {MILO_CPU_AVX512, 7, 0, EBX, 30, SAVED_AVX512},  // BW
    {MILO_CPU_AVX512, 7, 0, EBX, 31, SAVED_AVX512},  // VL
    {MILO_CPU_AVX512_VNNI, 7, 0, ECX, 11, SAVED_AVX512},
    {MILO_CPU_AVX512_BF16, 7, 1, EAX, 5, SAVED_AVX512},
    {MILO_CPU_AVX_VNNI, 7, 1, EAX, 4, SAVED_AVX},
    {MILO_CPU_AMX_BF16, 7, 0, EDX, 24, SAVED_TILES},  // tiles
    {MILO_CPU_AMX_BF16, 7, 0, EDX, 22, SAVED_TILES},
    {MILO_CPU_AMX_INT8, 7, 0, EDX, 24, SAVED_TILES},
    {MILO_CPU_AMX_INT8, 7, 0, EDX, 25, SAVED_TILES},
};

static bool cpuid(unsigned leaf, unsigned subleaf, unsigned out[4]) {
  return __get_cpuid_count(leaf, subleaf, &out[EAX], &out[EBX], &out[ECX], &out[EDX]) != 0;
}

// Linux hands out the tiles' 8 KB of state on request only.
static bool permit_tiles(void) {
#if defined(__linux__)
  enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
  return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
#else
  return false;
#endif
}

static void find_saved(bool out_saved[SAVED_STATES]) {
  enum { OSXSAVE = 1u << 27 };
  enum { XCR0_AVX = 0x6, XCR0_AVX512 = 0xE6, XCR0_TILES = 0x60000 };
  unsigned r[4];
  if (!cpuid(1, 0, r) || !(r[ECX] & OSXSAVE)) return;
  unsigned low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  (void)high;
  out_saved[SAVED_AVX] = (low & XCR0_AVX) == XCR0_AVX;
  out_saved[SAVED_AVX512] = (low & XCR0_AVX512) == XCR0_AVX512;
  out_saved[SAVED_TILES] = (low & XCR0_TILES) == XCR0_TILES && permit_tiles();
}

unsigned milo_cpu_detect(void) {
  bool saved[SAVED_STATES] = {false};
  find_saved(saved);
  unsigned caps = 0, missing = 0;
  for (size_t i = 0; i < sizeof features / sizeof features[0]; i++) {
    unsigned r[4];
    const bool there = saved[features[i].state] &&
                       cpuid(features[i].leaf, features[i].subleaf, r) &&
                       (r[features[i].reg] >> features[i].bit & 1);
    *(there ? &caps : &missing) |= features[i].cap;
  }
  return caps & ~missing;
}

#elif defined(__aarch64__)

unsigned milo_cpu_detect(void) {
#if defined(__linux__)
  enum { HWCAP_ADVANCED_SIMD = 1 << 1 };
  return getauxval(AT_HWCAP) & HWCAP_ADVANCED_SIMD ? MILO_CPU_NEON : 0;
#else
  return MILO_CPU_NEON;
#endif
}

#else

unsigned milo_cpu_detect(void) { return 0; }

#endif

milo_status milo_cpu_parse_mask(const char *list, milo_diag *diag, unsigned *out_caps) {
  *out_caps = 0;
  if (strcmp(list, "none") == 0) return MILO_OK;
  unsigned caps = 0;
  while (*list) {
    const size_t bytes = strcspn(list, ",");
    size_t i = 0;
    while (i < NAME_COUNT &&
           (strlen(names[i].name) != bytes || strncmp(names[i].name, list, bytes) != 0))
      i++;
    if (i == NAME_COUNT) {
      char all[160];
      milo_cpu_format(~0u, all, sizeof all);
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                       "unknown instruction set '%.*s'\nknown are: none,%s", (int)bytes, list, all);
    }
    caps |= names[i].cap;
    list += bytes;
    if (*list == ',') list++;
  }
  *out_caps = caps;
  return MILO_OK;
}

void milo_cpu_format(unsigned caps, char *text, size_t bytes) {
  size_t used = 0;
  if (bytes) text[0] = '\0';
  for (size_t i = 0; i < NAME_COUNT && used < bytes; i++) {
    if (!(caps & names[i].cap)) continue;
    const int added = snprintf(text + used, bytes - used, "%s%s", used ? "," : "", names[i].name);
    if (added > 0) used += (size_t)added;
  }
}

#if defined(__linux__)

// Processors' worth of time that a control group allows, rounded up; 0: no limit known.
static long read_quota(const char *path, const char *period_path) {
  FILE *file = fopen(path, "re");
  if (!file) return 0;
  char line[64] = "";
  const bool read = fgets(line, sizeof line, file) != NULL;
  fclose(file);
  if (!read) return 0;
  char *end;
  const long long quota = strtoll(line, &end, 10);
  if (end == line || quota <= 0) return 0;  // "max", or -1 in version 1
  long long period = strtoll(end, NULL, 10);
  if (period_path) {
    FILE *period_file = fopen(period_path, "re");
    if (!period_file) return 0;
    period = fgets(line, sizeof line, period_file) ? strtoll(line, NULL, 10) : 0;
    fclose(period_file);
  }
  return period > 0 ? (long)((quota + period - 1) / period) : 0;
}

// The tightest quota of this process's group (version 2) and the groups above it, or of the
// version 1 group that a container sees at its root.
static long find_quota(void) {
  const char *const v1 = "/sys/fs/cgroup/cpu/cpu.cfs_quota_us";
  long least = read_quota(v1, "/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  char group[512] = "", path[600];
  FILE *file = fopen("/proc/self/cgroup", "re");
  if (file) {
    char line[512];
    while (fgets(line, sizeof line, file))
      if (strncmp(line, "0::", 3) == 0) snprintf(group, sizeof group, "%s", line + 3);
    fclose(file);
  }
  group[strcspn(group, "\n")] = '\0';
  for (char *slash = group + strlen(group);; slash = strrchr(group, '/')) {
    if (!slash) break;
    *slash = '\0';
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", group);
    const long quota = read_quota(path, NULL);
    if (quota > 0 && (least == 0 || quota < least)) least = quota;
  }
  return least;
}

int milo_cpu_count(void) {
  long count = sysconf(_SC_NPROCESSORS_ONLN);
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) count = CPU_COUNT(&set);
  const long quota = find_quota();
  if (quota > 0 && quota < count) count = quota;
  return count < 1 ? 1 : (int)count;
}

#else

int milo_cpu_count(void) {
  const long count = sysconf(_SC_NPROCESSORS_ONLN);
  return count < 1 ? 1 : (int)count;
}

#endif
