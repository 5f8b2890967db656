// SPDX-License-Identifier: MIT
// The story generator of the command, whose sources are not part of the library.
#include "../../tools/milo/stories.c"
#include "../../tools/milo/stories_plots.c"
#include "tap.h"

enum { STORIES = 5000 };

static int compare(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static void test_stories(void) {
  static const char mark[] = "\n<|endoftext|>\n";
  size_t bytes, count = 0;
  char *text = stories_generate(3, STORIES, &bytes);
  char **list = malloc(STORIES * sizeof *list);
  if (!CHECK(text && list && strlen(text) == bytes)) return;
  for (char *from = text, *end; (end = strstr(from, mark)) && count < STORIES;
       from = end + sizeof mark - 1) {
    *end = 0;
    list[count++] = from;
    size_t words = 1;
    for (const char *p = from; *p; p++) words += *p == ' ' || *p == '\n';
    if (!CHECK(words >= 60 && words <= 150 && end[-1] == '.')) printf("# %s\n", from);
    // Nothing of the templates is left, and no gap.
    if (!CHECK(!strpbrk(from, "{}|$") && !strstr(from, "  ") && !strstr(from, " .")))
      printf("# %s\n", from);
  }
  CHECK(count == STORIES);
  qsort(list, count, sizeof *list, compare);
  for (size_t i = 1; i < count; i++) CHECK(strcmp(list[i - 1], list[i]) != 0);
  free(list);
  free(text);
}

static void test_seeds(void) {
  size_t a_bytes, b_bytes, c_bytes, none;
  char *a = stories_generate(1, 5, &a_bytes), *b = stories_generate(1, 9, &b_bytes);
  char *c = stories_generate(2, 5, &c_bytes), *empty = stories_generate(1, 0, &none);
  if (!CHECK(a && b && c && empty)) return;
  CHECK(a_bytes < b_bytes && memcmp(a, b, a_bytes) == 0);
  CHECK(strcmp(a, c) != 0);
  CHECK(none == 0 && *empty == 0);
  free(a);
  free(b);
  free(c);
  free(empty);
}

int main(void) {
  RUN(test_stories);
  RUN(test_seeds);
  return tap_done();
}
