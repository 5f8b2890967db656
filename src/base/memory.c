// SPDX-License-Identifier: MIT
#include "base/memory.h"

#include <stdio.h>
#include <sys/resource.h>

uint64_t milo_peak_memory_bytes(void) {
  struct rusage usage;
  if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
#ifdef __APPLE__
  return (uint64_t)usage.ru_maxrss;
#else
  return (uint64_t)usage.ru_maxrss * 1024;
#endif
}

uint64_t milo_available_memory_bytes(void) {
  uint64_t available = UINT64_MAX;
  FILE *file = fopen("/proc/meminfo", "r");
  if (!file) return available;
  char line[128];
  unsigned long long kib;
  while (fgets(line, sizeof line, file))
    if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1) available = (uint64_t)kib * 1024;
  fclose(file);
  return available;
}
