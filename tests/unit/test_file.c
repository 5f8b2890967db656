// SPDX-License-Identifier: MIT
#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/checksum.h"
#include "base/file.h"
#include "base/lock.h"
#include "folder.h"
#include "tap.h"

static size_t count_entries(void) {
  DIR *dir = opendir(folder);
  size_t count = 0;
  while (dir && readdir(dir)) count++;
  if (dir) closedir(dir);
  return count - 2;  // without . and ..
}

static bool holds(const char *path, const char *wanted) {
  void *data;
  size_t bytes;
  if (milo_file_read(path, 0, NULL, &data, &bytes) != MILO_OK) return false;
  const bool same = bytes == strlen(wanted) && memcmp(data, wanted, bytes + 1) == 0;
  free(data);
  return same;
}

static void test_write_and_read(void) {
  const char *path = in_folder("a.txt");
  CHECK(milo_file_write(path, "hello", 5, NULL) == MILO_OK);
  CHECK(holds(path, "hello"));
  CHECK(milo_file_exists(path) && !milo_file_is_dir(path) && milo_file_is_dir(folder));
  CHECK(chmod(path, 0640) == 0);
  CHECK(milo_file_write(path, NULL, 0, NULL) == MILO_OK);
  CHECK(holds(path, ""));
  struct stat info;
  CHECK(stat(path, &info) == 0 && (info.st_mode & 0777) == 0640);
  void *data;
  size_t bytes;
  CHECK(milo_file_write(path, "hello", 5, NULL) == MILO_OK);
  milo_diag diag = {0};
  CHECK(milo_file_read(path, 4, &diag, &data, &bytes) == MILO_ERR_INVALID && !data && !bytes);
  CHECK(strstr(milo_diag_text(&diag), "larger than the 4 bytes allowed") != NULL);
  CHECK(milo_file_read(path, 5, &diag, &data, &bytes) == MILO_OK && bytes == 5);
  free(data);
  milo_diag_clear(&diag);
  CHECK(milo_file_read(in_folder("none"), 0, &diag, &data, &bytes) == MILO_ERR_NOT_FOUND);
  CHECK(strstr(milo_diag_text(&diag), "cannot open '") != NULL);
  CHECK(milo_file_read(folder, 0, &diag, &data, &bytes) == MILO_ERR_INVALID);
  milo_diag_deinit(&diag);
  CHECK(count_entries() == 1);
}

static void test_reads_pipes(void) {
  FILE *zeros = popen("head -c 200000 /dev/zero", "r");
  if (!CHECK(zeros != NULL)) return;
  char name[64];
  snprintf(name, sizeof name, "/dev/fd/%d", fileno(zeros));
  void *data;
  size_t bytes;
  CHECK(milo_file_read(name, 0, NULL, &data, &bytes) == MILO_OK && bytes == 200000);
  free(data);
  pclose(zeros);
  CHECK(milo_file_read("/dev/null", 0, NULL, &data, &bytes) == MILO_OK && bytes == 0);
  free(data);
  CHECK(milo_file_read("/dev/zero", 100000, NULL, &data, &bytes) == MILO_ERR_INVALID && !data);
}

static void test_map(void) {
  const char *path = in_folder("a.txt");
  CHECK(milo_file_write(path, "mapped", 6, NULL) == MILO_OK);
  milo_mapping mapping;
  CHECK(milo_file_map(path, NULL, &mapping) == MILO_OK);
  CHECK(mapping.bytes == 6 && memcmp(mapping.data, "mapped", 6) == 0);
  milo_file_unmap(&mapping);
  CHECK(!mapping.data && !mapping.bytes);
  CHECK(milo_file_write(path, "", 0, NULL) == MILO_OK);
  CHECK(milo_file_map(path, NULL, &mapping) == MILO_OK && !mapping.data && mapping.bytes == 0);
  CHECK(milo_file_map(in_folder("none"), NULL, &mapping) == MILO_ERR_NOT_FOUND);
  CHECK(milo_file_map("/dev/null", NULL, &mapping) == MILO_OK && mapping.bytes == 0);
  milo_file_unmap(&mapping);
}

static void test_without_commit_nothing_changes(void) {
  const char *path = in_folder("a.txt");
  CHECK(milo_file_write(path, "old", 3, NULL) == MILO_OK);
  milo_writer *writer;
  if (!CHECK(milo_writer_open(path, NULL, &writer) == MILO_OK)) return;
  CHECK(milo_writer_write(writer, "new", 3, NULL) == MILO_OK);
  CHECK(holds(path, "old"));
  CHECK(count_entries() == 2);
  milo_writer_close(writer);
  CHECK(holds(path, "old"));
  CHECK(count_entries() == 1);
  milo_writer_close(NULL);
}

// Runs `function` in another process, killed as by kill -9 when it has written to the pipe.
static void in_killed_process(void (*function)(void)) {
  int ends[2], status = 0;
  char ready;
  if (!CHECK(pipe(ends) == 0)) return;
  const pid_t child = fork();
  if (child == 0) {
    function();
    if (write(ends[1], "", 1) != 1) _exit(1);
    for (;;) pause();
  }
  CHECK(read(ends[0], &ready, 1) == 1);
  CHECK(kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status));
  close(ends[0]);
  close(ends[1]);
}

static void write_and_wait(void) {
  milo_writer *writer, *second;
  if (milo_writer_open(in_folder("a.txt"), NULL, &writer) != MILO_OK ||
      milo_writer_write(writer, "half a file", 11, NULL) != MILO_OK ||
      milo_writer_open(in_folder("a.txt"), NULL, &second) != MILO_OK)
    _exit(1);
}

static void test_what_a_killed_writer_leaves_is_removed(void) {
  const char *path = in_folder("a.txt");
  CHECK(milo_file_write(path, "old", 3, NULL) == MILO_OK);
  in_killed_process(write_and_wait);
  CHECK(count_entries() == 3);
  CHECK(holds(path, "old"));
  // The next write of the same file takes the place of the first; sweeping removes all.
  CHECK(milo_file_write(path, "new", 3, NULL) == MILO_OK);
  CHECK(holds(path, "new") && count_entries() == 2);
  in_killed_process(write_and_wait);
  milo_file_sweep(path);
  CHECK(holds(path, "new") && count_entries() == 1);

  // Never one that is being written, or a file that only has such a name.
  milo_writer *first, *second;
  if (!CHECK(milo_writer_open(path, NULL, &first) == MILO_OK)) return;
  if (!CHECK(milo_writer_open(path, NULL, &second) == MILO_OK)) return;
  CHECK(milo_writer_write(first, "first", 5, NULL) == MILO_OK);
  CHECK(milo_writer_write(second, "second", 6, NULL) == MILO_OK);
  milo_file_sweep(path);
  CHECK(count_entries() == 3);
  CHECK(milo_writer_commit(second, NULL) == MILO_OK && holds(path, "second"));
  CHECK(milo_writer_commit(first, NULL) == MILO_OK && holds(path, "first"));
  milo_writer_close(first);
  milo_writer_close(second);
  char link[512];
  snprintf(link, sizeof link, "%s", in_folder("a.txt.milo-0.tmp"));
  CHECK(symlink("a.txt", link) == 0);
  milo_file_sweep(path);
  CHECK(milo_file_write(path, "beside a link", 13, NULL) == MILO_OK);
  CHECK(count_entries() == 2 && unlink(link) == 0);
  milo_file_sweep(in_folder("no/such/folder"));
}

static void lock_and_wait(void) {
  milo_lock *lock;
  if (milo_lock_take(in_folder("lock"), "waiting", NULL, &lock) != MILO_OK) _exit(1);
  milo_lock *second;
  if (milo_lock_take(in_folder("lock"), "waiting", NULL, &second) != MILO_ERR_IO) _exit(1);
}

static void test_a_lock_dies_with_its_owner(void) {
  char path[512];
  snprintf(path, sizeof path, "%s", in_folder("lock"));
  const size_t before = count_entries();
  in_killed_process(lock_and_wait);
  CHECK(count_entries() == before + 1);
  milo_lock *lock, *second;
  milo_diag diag = {0};
  if (!CHECK(milo_lock_take(path, "testing", &diag, &lock) == MILO_OK)) return;
  CHECK(milo_lock_take(path, "testing", &diag, &second) == MILO_ERR_IO && !second);
  char words[64];
  snprintf(words, sizeof words, "error: process %ld is testing already", (long)getpid());
  CHECK_STR(milo_diag_text(&diag), words);
  milo_lock_release(lock);
  milo_lock_release(NULL);
  CHECK(count_entries() == before);
  CHECK(milo_lock_take(in_folder("no/lock"), "testing", &diag, &lock) == MILO_ERR_NOT_FOUND);
  milo_diag_deinit(&diag);
}

// Every write of many processes to one target succeeds, and nothing is left.
static void test_many_writers_of_one_file(void) {
  enum { WRITERS = 4, WRITES = 150 };
  const char *path = in_folder("a.txt");
  pid_t children[WRITERS];
  for (int i = 0; i < WRITERS; i++) {
    children[i] = fork();
    if (children[i] != 0) continue;
    for (int k = 0; k < WRITES; k++)
      if (milo_file_write(path, "shared", 6, NULL) != MILO_OK) _exit(1);
    _exit(0);
  }
  for (int i = 0, status = -1; i < WRITERS; i++)
    CHECK(waitpid(children[i], &status, 0) == children[i] && status == 0);
  CHECK(holds(path, "shared") && count_entries() == 1);
}

// The system's own reason, also where something else was asked after it was known.
static void test_read_only_folders(void) {
  char below[600];
  snprintf(below, sizeof below, "%s/new", in_folder("locked"));
  CHECK(mkdir(in_folder("locked"), 0555) == 0);
  const bool root = geteuid() == 0;
  if (root && (chmod(folder, 0755) != 0 || seteuid(65534) != 0)) SKIP("root may write everything");
  milo_diag diag = {0};
  const milo_status made = milo_file_make_dir(below, &diag);
  const milo_status written = milo_file_write(below, "x", 1, &diag);
  if (root) CHECK(seteuid(0) == 0);
  CHECK(made == MILO_ERR_IO && written == MILO_ERR_IO);
  const char *first = strstr(milo_diag_text(&diag), "Permission denied");
  if (!CHECK(first && strstr(first + 1, "Permission denied")))
    printf("# %s\n", milo_diag_text(&diag));
  milo_diag_deinit(&diag);
  CHECK(rmdir(in_folder("locked")) == 0);
}

// A disk that is full after 64 KiB: the file-size limit gives the same error path.
static void test_failed_write_leaves_the_old_file(void) {
  const char *path = in_folder("a.txt");
  CHECK(milo_file_write(path, "old", 3, NULL) == MILO_OK);
  struct rlimit before;
  CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
  const struct rlimit low = {65536, before.rlim_max};
  signal(SIGXFSZ, SIG_IGN);
  CHECK(setrlimit(RLIMIT_FSIZE, &low) == 0);
  char *big = calloc(1, 200000);
  milo_diag diag = {0};
  const milo_status status = milo_file_write(path, big, 200000, &diag);
  milo_writer *writer = NULL;
  milo_status later = MILO_OK, commit = MILO_OK;
  if (milo_writer_open(path, NULL, &writer) == MILO_OK) {
    CHECK(milo_writer_write(writer, big, 200000, NULL) == MILO_ERR_IO);
    later = milo_writer_write(writer, big, 1, NULL);
    commit = milo_writer_commit(writer, NULL);
  }
  milo_writer_close(writer);
  CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
  free(big);
  CHECK(status == MILO_ERR_IO && later == MILO_ERR_IO && commit == MILO_ERR_IO);
  CHECK(strstr(milo_diag_text(&diag), "cannot write '") != NULL);
  milo_diag_deinit(&diag);
  CHECK(holds(path, "old"));
  CHECK(count_entries() == 1);
}

static void test_devices_are_written_directly(void) {
  if (!milo_file_exists("/dev/full")) SKIP("no /dev/full here");
  milo_diag diag = {0};
  CHECK(milo_file_write("/dev/full", "x", 1, &diag) == MILO_ERR_IO);
  CHECK_STR(milo_diag_text(&diag), "error: cannot write '/dev/full': No space left on device");
  milo_diag_deinit(&diag);
  CHECK(milo_file_write("/dev/null", "x", 1, NULL) == MILO_OK);
  struct stat info;
  CHECK(stat("/dev/null", &info) == 0 && S_ISCHR(info.st_mode));
}

static void test_links_are_followed(void) {
  char link[512];
  snprintf(link, sizeof link, "%s", in_folder("link"));
  CHECK(symlink("a.txt", link) == 0);
  CHECK(milo_file_write(link, "through", 7, NULL) == MILO_OK);
  struct stat info;
  CHECK(lstat(link, &info) == 0 && S_ISLNK(info.st_mode));
  CHECK(holds(in_folder("a.txt"), "through"));
  CHECK(unlink(link) == 0);
}

static void test_unwritable_targets(void) {
  milo_diag diag = {0};
  CHECK(milo_file_write(folder, "x", 1, &diag) == MILO_ERR_IO);
  CHECK(strstr(milo_diag_text(&diag), "s a directory") != NULL);
  milo_diag_clear(&diag);
  CHECK(milo_file_write(in_folder("no/such/folder"), "x", 1, &diag) == MILO_ERR_NOT_FOUND);
  CHECK(diag.errors == 1);
  CHECK(milo_file_write(in_folder("a.txt/b"), "x", 1, &diag) == MILO_ERR_NOT_FOUND);
  milo_diag_deinit(&diag);
}

static void test_make_dir(void) {
  milo_diag diag = {0};
  CHECK(milo_file_make_dir(in_folder("x//y/z/"), &diag) == MILO_OK);
  CHECK(milo_file_is_dir(in_folder("x/y/z")));
  CHECK(milo_file_make_dir(in_folder("x/y"), &diag) == MILO_OK);
  CHECK(milo_file_make_dir(in_folder("a.txt"), &diag) == MILO_ERR_IO);
  CHECK(milo_file_make_dir(in_folder("a.txt/b"), &diag) != MILO_OK);
  milo_diag_deinit(&diag);
  CHECK(rmdir(in_folder("x/y/z")) == 0 && rmdir(in_folder("x/y")) == 0 &&
        rmdir(in_folder("x")) == 0);
}

static void test_checksum(void) {
  CHECK(milo_checksum_of("123456789", 9) == UINT64_C(0xae8b14860a799888));  // the published check
  CHECK(milo_checksum_of("", 0) == 0);
  unsigned char data[1000];
  for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)(i * 7 + i / 256);
  const uint64_t whole = milo_checksum_of(data, sizeof data);
  milo_checksum sum;  // however the bytes were cut
  milo_checksum_begin(&sum);
  for (size_t at = 0, step = 0; at < sizeof data; at += step) {
    step = (step + 3) % 29;
    if (step > sizeof data - at) step = sizeof data - at;
    milo_checksum_add(&sum, data + at, step);
    CHECK(milo_checksum_value(&sum) == milo_checksum_of(data, at + step));
  }
  CHECK(milo_checksum_value(&sum) == whole);
  // Any two bits: all pairs of a short text, and some that lie far apart.
  const uint64_t part = milo_checksum_of(data, 40);
  size_t same = 0;
  for (size_t i = 0; i < 320; i++)
    for (size_t k = i + 1; k < 320; k++) {
      data[i / 8] ^= (unsigned char)(1 << i % 8);
      data[k / 8] ^= (unsigned char)(1 << k % 8);
      same += milo_checksum_of(data, 40) == part;
      data[i / 8] ^= (unsigned char)(1 << i % 8);
      data[k / 8] ^= (unsigned char)(1 << k % 8);
    }
  CHECK(same == 0);
  for (size_t k = 1; k < 8 * sizeof data; k += 7) {
    data[0] ^= 1;
    data[k / 8] ^= (unsigned char)(1 << k % 8);
    CHECK(milo_checksum_of(data, sizeof data) != whole);
    data[k / 8] ^= (unsigned char)(1 << k % 8);
    data[0] ^= 1;
  }
}

// ---- descriptors and pipes ----

static void test_names_of_descriptors(void) {
  static const struct {
    const char *path;
    int descriptor;
  } cases[] = {{"/dev/stdin", 0},  {"/dev/stdout", 1},         {"/dev/stderr", 2},
               {"/dev/fd/0", 0},   {"/dev/fd/63", 63},         {"/proc/self/fd/7", 7},
               {"/dev/fd/", -1},   {"/dev/fd/x", -1},          {"/dev/fd/1x", -1},
               {"/dev/fd/-1", -1}, {"/dev/fd/ 1", -1},         {"/dev/stdin2", -1},
               {"dev/stdin", -1},  {"/dev/fd/99999999999", -1}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    if (!CHECK(milo_file_descriptor(cases[i].path) == cases[i].descriptor))
      printf("# %s\n", cases[i].path);
}

// A descriptor of a regular file goes on where it stands, and what was there stays.
static void test_open_descriptors(void) {
  char name[32];
  CHECK(milo_file_write(in_folder("log"), "first\n", 6, NULL) == MILO_OK);
  const int fd = open(in_folder("log"), O_RDWR | O_APPEND);
  if (!CHECK(fd >= 0)) return;
  snprintf(name, sizeof name, "/dev/fd/%d", fd);
  CHECK(milo_file_write(name, "second\n", 7, NULL) == MILO_OK);
  CHECK(holds(in_folder("log"), "first\nsecond\n"));
  CHECK(lseek(fd, 6, SEEK_SET) == 6);
  CHECK(holds(name, "second\n"));
  milo_mapping map;
  CHECK(lseek(fd, 6, SEEK_SET) == 6);
  CHECK(milo_file_map(name, NULL, &map) == MILO_OK && map.bytes == 7);
  CHECK(map.data != NULL && memcmp(map.data, "second\n", 7) == 0);
  milo_file_unmap(&map);
  CHECK(write(fd, "third\n", 6) == 6);  // still open, still the same file
  CHECK(holds(in_folder("log"), "first\nsecond\nthird\n"));
  close(fd);
  milo_diag diag = {0};
  void *data;
  size_t bytes;
  CHECK(milo_file_read(name, 0, &diag, &data, &bytes) == MILO_ERR_IO);
  CHECK(strstr(milo_diag_text(&diag), "cannot open '/dev/fd/") != NULL);
  CHECK(milo_file_write(name, "x", 1, &diag) == MILO_ERR_IO);
  milo_diag_deinit(&diag);
  unlink(in_folder("log"));
}

// More than a pipe holds, through ends that do not block, in both directions; then through a FIFO.
static void test_pipes(void) {
  enum { BYTES = 300000 };
  char *sent = malloc(BYTES);
  for (size_t i = 0; i < BYTES; i++) sent[i] = (char)(i * 31 >> 3);
  for (int named = 0; named < 2; named++) {
    int ends[2] = {-1, -1};
    char from[512], to[512];
    if (named) {
      snprintf(from, sizeof from, "%s", in_folder("fifo"));
      snprintf(to, sizeof to, "%s", from);
      if (!CHECK(mkfifo(from, 0600) == 0)) break;
    } else {
      if (!CHECK(pipe(ends) == 0)) break;
      for (int i = 0; i < 2; i++) fcntl(ends[i], F_SETFL, fcntl(ends[i], F_GETFL) | O_NONBLOCK);
      snprintf(from, sizeof from, "/dev/fd/%d", ends[0]);
      snprintf(to, sizeof to, "/dev/fd/%d", ends[1]);
    }
    const pid_t child = fork();
    if (child == 0) {
      if (ends[0] >= 0) close(ends[0]);
      _exit(milo_file_write(to, sent, BYTES, NULL) == MILO_OK ? 0 : 1);
    }
    if (ends[1] >= 0) close(ends[1]);
    milo_mapping map = {0};
    CHECK(milo_file_map(from, NULL, &map) == MILO_OK && map.bytes == BYTES);
    CHECK(map.bytes == BYTES && memcmp(map.data, sent, BYTES) == 0);
    milo_file_unmap(&map);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    if (ends[0] >= 0) close(ends[0]);
  }
  free(sent);
  unlink(in_folder("fifo"));
}

int main(void) {
  if (!make_folder()) return 1;
  RUN(test_write_and_read);
  RUN(test_reads_pipes);
  RUN(test_map);
  RUN(test_without_commit_nothing_changes);
  RUN(test_what_a_killed_writer_leaves_is_removed);
  RUN(test_a_lock_dies_with_its_owner);
  RUN(test_many_writers_of_one_file);
  RUN(test_read_only_folders);
  RUN(test_failed_write_leaves_the_old_file);
  RUN(test_devices_are_written_directly);
  RUN(test_links_are_followed);
  RUN(test_unwritable_targets);
  RUN(test_make_dir);
  RUN(test_checksum);
  RUN(test_names_of_descriptors);
  RUN(test_open_descriptors);
  RUN(test_pipes);
  unlink(in_folder("a.txt"));
  CHECK(rmdir(folder) == 0);
  return tap_done();
}
