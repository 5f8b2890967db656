// SPDX-License-Identifier: MIT
// How much memory is available, by the machine and by control groups of either version; what asks
// for more is told so; the host's hook for small allocations.
#include "base/memory.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/file.h"
#include "tap.h"

static char root[64];

static void put(const char *path, const char *text) {
  char full[512];
  snprintf(full, sizeof full, "%s%s", root, path);
  *strrchr(full, '/') = '\0';
  CHECK(milo_file_make_dir(full, NULL) == MILO_OK);
  snprintf(full, sizeof full, "%s%s", root, path);
  CHECK(milo_file_write(full, text, strlen(text), NULL) == MILO_OK);
}

static void clear(void) {
  char command[128];
  snprintf(command, sizeof command, "rm -rf '%s'/*", root);
  CHECK(system(command) == 0);
}

static void machine(const char *cgroup) {
  clear();
  put("/proc/meminfo", "MemTotal:  8000 kB\nMemFree:  10 kB\nMemAvailable:    4000 kB\n");
  if (cgroup != NULL) put("/proc/self/cgroup", cgroup);
}

static void test_the_machine_alone(void) {
  clear();
  CHECK(milo_available_memory_under(root) == UINT64_MAX);
  machine(NULL);
  CHECK(milo_available_memory_under(root) == 4000 * 1024);
  machine("0::/\n");
  CHECK(milo_available_memory_under(root) == 4000 * 1024);
  machine("nonsense\n:\n7:memory\n");
  CHECK(milo_available_memory_under(root) == 4000 * 1024);
}

static void test_version_2(void) {
  machine("0::/a/b\n");
  put("/sys/fs/cgroup/a/b/memory.max", "1000000\n");
  put("/sys/fs/cgroup/a/b/memory.current", "700000\n");
  CHECK(milo_available_memory_under(root) == 300000);
  put("/sys/fs/cgroup/a/b/memory.stat", "anon 500000\ninactive_file 100000\nactive_file 50000\n");
  CHECK(milo_available_memory_under(root) == 450000);
  put("/sys/fs/cgroup/a/b/memory.high", "900000\n");
  CHECK(milo_available_memory_under(root) == 350000);
  put("/sys/fs/cgroup/a/b/memory.high", "max\n");
  put("/sys/fs/cgroup/a/memory.max", "800000\n");  // one above binds its children
  put("/sys/fs/cgroup/a/memory.current", "790000\n");
  CHECK(milo_available_memory_under(root) == 10000);
  put("/sys/fs/cgroup/a/memory.max", "780000\n");
  CHECK(milo_available_memory_under(root) == 0);
  put("/sys/fs/cgroup/a/memory.max", "max\n");
  put("/sys/fs/cgroup/a/b/memory.max", "max\n");
  CHECK(milo_available_memory_under(root) == 4000 * 1024);
  put("/sys/fs/cgroup/a/b/memory.max", "999999999999\n");  // more than the machine has
  CHECK(milo_available_memory_under(root) == 4000 * 1024);
  // A container that shows the host's name of its group, mounted at the top.
  machine("0::/docker/0123456789\n");
  put("/sys/fs/cgroup/memory.max", "600000\n");
  put("/sys/fs/cgroup/memory.current", "100000\n");
  CHECK(milo_available_memory_under(root) == 500000);
}

static void test_version_1(void) {
  machine("5:cpu,cpuacct:/x\n4:hugetlb,memory:/a/b\n0::/\n");
  put("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n");
  put("/sys/fs/cgroup/memory/a/b/memory.usage_in_bytes", "700000\n");
  CHECK(milo_available_memory_under(root) == 4000 * 1024);
  put("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "1000000\n");
  put("/sys/fs/cgroup/memory/a/b/memory.stat", "inactive_file 1\ntotal_inactive_file 200000\n");
  CHECK(milo_available_memory_under(root) == 500000);
  put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "450000\n");
  CHECK(milo_available_memory_under(root) == 450000);
  machine("4:memory:/not/here\n");
  put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "450000\n");
  put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "50000\n");
  CHECK(milo_available_memory_under(root) == 400000);
}

static void test_asking(void) {
  milo_diag diag = {0};
  CHECK(milo_memory_ask("a model", 1, &diag) == MILO_OK);
  CHECK(milo_available_memory_bytes() > 0);
  if (milo_available_memory_bytes() == UINT64_MAX) SKIP("this system does not say what it has");
  CHECK(milo_memory_ask("a model", UINT64_C(1) << 60, &diag) == MILO_ERR_NO_MEMORY);
  CHECK(strstr(milo_diag_text(&diag),
               "no memory for a model: 1152921504606846976 bytes (1.15e+09 GB) needed, ") != NULL);
  CHECK(strstr(milo_diag_text(&diag), " available") != NULL);
  milo_diag_deinit(&diag);
}

// ---- small allocations ----

static void leave(void *user, size_t bytes) { _exit(bytes == SIZE_MAX - 3 ? *(int *)user : 1); }
static void come_back(void *user, size_t bytes) {
  (void)user;
  (void)bytes;
}

static void exhaust(void) {
  milo_arena arena = {0};
  (void)milo_arena_alloc(&arena, SIZE_MAX - 3);
}

// How a process ends that runs out of memory for small things with that hook.
static int end_of(milo_out_of_memory_fn *hook, int *user) {
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGABRT, SIG_DFL);
    if (freopen("/dev/null", "w", stderr) == NULL) _exit(3);
    milo_set_out_of_memory(hook, user);
    exhaust();
    _exit(2);
  }
  int status = -1;
  return waitpid(child, &status, 0) == child ? status : -1;
}

static void test_the_hosts_hook(void) {
  int code = 42;
  int status = end_of(leave, &code);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
  status = end_of(come_back, NULL);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
  status = end_of(NULL, NULL);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void) {
  strcpy(root, "/tmp/milo_memory_XXXXXX");
  if (!mkdtemp(root)) return 1;
  RUN(test_the_machine_alone);
  RUN(test_version_2);
  RUN(test_version_1);
  RUN(test_asking);
  RUN(test_the_hosts_hook);
  clear();
  rmdir(root);
  return tap_done();
}
