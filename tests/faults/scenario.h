// SPDX-License-Identifier: MIT
// Every allocation and every call on files fails once: in each scenario the first, then the second,
// and so on until none is left. Each time there is a status and a message, nothing is leaked, and
// the files are the old ones or the new ones, whole. Reads and writes that move a part of their
// bytes, or are broken off by a signal, are no failures at all.
//
// Small memory (the arena of programs, texts, messages) has no status: there the process ends with
// a message. Which calls those are is found by letting a child process run into each.
#ifndef MILO_TESTS_SCENARIO_H
#define MILO_TESTS_SCENARIO_H

#include <dirent.h>
#include <dlfcn.h>
#include <milo/milo.h>
#include <signal.h>
#include <sys/wait.h>

#include "faults/inject.h"
#include "folder.h"
#include "tap.h"

enum { SMALL_BYTES = 2 << 20, MAX_SITES = 1024 };

static char message[4096];
static int threads = 2;  // of the contexts

// Calls fn with the path of every file of a folder; false as soon as fn says so.
static inline bool each_file(const char *path, bool (*fn)(const char *file)) {
  DIR *dir = opendir(path);
  bool right = true;
  for (struct dirent *e; dir && right && (e = readdir(dir));) {
    char file[1024];
    snprintf(file, sizeof file, "%s/%s", path, e->d_name);
    if (e->d_name[0] != '.') right = fn(file);
  }
  if (dir) closedir(dir);
  return right;
}

static inline bool is_no_leftover(const char *file) {
  const bool is = strstr(file, ".tmp") == NULL;
  if (!is) printf("# left behind: %s\n", file);
  return is;
}

static inline bool remove_file(const char *file) { return unlink(file) == 0; }

// ---- the driver ---------------------------------------------------------------------------------

typedef struct scenario {
  const char *calls;                  // must be among those counted
  void (*set_up)(void);               // makes the files as they were
  milo_status (*run)(milo_ctx *ctx);  // what is tried
  bool (*holds)(bool succeeded);      // of the files, afterwards
  bool context_stands;                // the calls that make the context do not fail here
} scenario;

static const void *sites_known[MAX_SITES];
static bool site_is_small[MAX_SITES];
static size_t site_count;

static size_t context_calls;  // of the last try

static inline milo_status try_once(const scenario *s, long nth, bool lasting, fault_weather weather,
                                   fault_record *out) {
  const milo_ctx_options options = {.struct_bytes = sizeof options, .threads = threads};
  milo_ctx *ctx = NULL;
  message[0] = '\0';
  fault_start(nth, lasting, weather);
  milo_status status = milo_ctx_create(&options, &ctx);
  context_calls = fault_counted();
  if (status != MILO_OK) snprintf(message, sizeof message, "error: no context");
  if (status == MILO_OK) status = s->run(ctx);
  if (ctx && status != MILO_OK) snprintf(message, sizeof message, "%s", milo_error(ctx));
  milo_ctx_destroy(ctx);
  *out = fault_stop();
  return status;
}

// Whether the process ends with a message, as documented, when the n-th call fails.
static inline bool ends_process(const scenario *s, long nth) {
  int ends[2];
  fflush(stdout);
  if (!CHECK(pipe(ends) == 0)) return false;
  const pid_t child = fork();
  if (child == 0) {
    fault_record record;
    signal(SIGABRT, SIG_DFL);
    dup2(ends[1], STDERR_FILENO);
    (void)try_once(s, nth, false, FAULT_CALM, &record);
    _exit(0);
  }
  close(ends[1]);
  char said[256] = "";
  const ssize_t bytes = read(ends[0], said, sizeof said - 1);
  if (bytes > 0) said[bytes] = '\0';
  close(ends[0]);
  int result = 0;
  if (!CHECK(child > 0 && waitpid(child, &result, 0) == child)) return false;
  if (WIFEXITED(result)) return false;  // what a status it is, the parent sees for itself
  CHECK(WIFSIGNALED(result) && WTERMSIG(result) == SIGABRT);
  CHECK(strncmp(said, "milo: out of memory (", 21) == 0);
  return true;
}

static inline bool is_small(const scenario *s, long nth, const fault_call *call) {
  if (call->kind != FAULT_MEMORY) return false;
  for (size_t i = 0; i < site_count; i++)
    if (sites_known[i] == call->site) return site_is_small[i];
  s->set_up();
  const bool small = ends_process(s, nth);
  if (CHECK(site_count < MAX_SITES)) {
    sites_known[site_count] = call->site;
    site_is_small[site_count++] = small;
  }
  return small;
}

// Where a call stands, for addr2line.
static inline void print_place(const fault_record *r, long nth, const char *what) {
  Dl_info info = {0};
  if (dladdr(r->call.site, &info) == 0) info.dli_fname = "?";
  printf("# call %ld, %s at %s+0x%tx: %s; %s\n", nth, r->call.name, info.dli_fname,
         (const char *)r->call.site - (const char *)info.dli_fbase, what, message);
}

static size_t faults_shown, all_calls, all_small;

static inline void print_counts(void) {
  printf("# %zu calls, %zu of them small memory\n", all_calls, all_small);
  all_calls = all_small = 0;
}

enum { MAX_SHOWN = 10 };

static inline const char *judge(const scenario *s, milo_status status, const fault_record *r) {
  if (!r->injected) return "the call did not come";
  if (r->blocks != 0) return "memory is leaked";
  if (r->files != 0) return "a file stays open";
  if (r->mappings != 0) return "a file stays mapped";
  // Whether a new file is its own a writer knows by fstat. If not, the next writer removes it.
  if (strcmp(r->call.name, "fstat") != 0 && !each_file(folder, is_no_leftover))
    return "a temporary file stays";
  if (status == MILO_OK && r->call.kind == FAULT_FILE) return "success is claimed";
  if (status != MILO_OK && !strstr(message, "error: ")) return "there is no message";
  if (status != MILO_OK && r->call.kind == FAULT_MEMORY && status != MILO_ERR_NO_MEMORY)
    return "it is not called a lack of memory";
  // Where stat gives no answer, files are taken to be missing, or to be no folders.
  if (status != MILO_OK && status != MILO_ERR_NO_MEMORY && status != MILO_ERR_IO &&
      strcmp(r->call.name, "stat") != 0)
    return "the status is wrong";
  if (!s->holds(status == MILO_OK)) return "the files are damaged";
  return NULL;
}

static inline void inject(const scenario *s, long nth, bool lasting) {
  fault_record r;
  s->set_up();
  const milo_status status = try_once(s, nth, lasting, FAULT_CALM, &r);
  const char *fault = judge(s, status, &r);
  if (!CHECK(fault == NULL)) print_place(&r, nth, fault);
  if (fault) faults_shown++;
}

static inline bool was_called(const char *name, size_t calls) {
  for (size_t i = 0; i < calls; i++)
    if (strcmp(fault_calls()[i].name, name) == 0) return true;
  printf("# %s was never called\n", name);
  return false;
}

static inline void run_scenario(const scenario *s) {
  static fault_call calls[FAULT_MAX_CALLS];
  static const fault_weather weathers[] = {FAULT_CALM, FAULT_SHORT, FAULT_INTERRUPTED};
  fault_record calm = {0};
  size_t first = 0;
  // Once before anything is counted: a process measures its processor at the first opening.
  fault_record r;
  s->set_up();
  (void)try_once(s, FAULT_NEVER, false, FAULT_CALM, &r);
  for (size_t i = 0; i < 3; i++) {
    s->set_up();
    const milo_status status = try_once(s, FAULT_NEVER, false, weathers[i], &r);
    if (!CHECK(status == MILO_OK && s->holds(true))) printf("# weather %zu: %s\n", i, message);
    CHECK(r.blocks == 0 && r.files == 0 && r.mappings == 0 && r.calls <= FAULT_MAX_CALLS);
    if (i > 0) continue;
    calm = r;
    first = s->context_stands ? context_calls : 0;
    memcpy(calls, fault_calls(), r.calls * sizeof *calls);
    char names[256];
    snprintf(names, sizeof names, "%s", s->calls);
    for (char *rest = names, *name; (name = strsep(&rest, " "));) CHECK(was_called(name, r.calls));
  }
  size_t small = 0;
  faults_shown = 0;
  for (size_t n = first; n < calm.calls && faults_shown < MAX_SHOWN; n++) {
    if (is_small(s, (long)n, &calls[n])) {
      CHECK(calls[n].bytes <= SMALL_BYTES);
      small++;
      continue;
    }
    inject(s, (long)n, false);
    if (calls[n].kind == FAULT_FILE) inject(s, (long)n, true);
  }
  all_calls += calm.calls - first;
  all_small += small;
}

#endif
