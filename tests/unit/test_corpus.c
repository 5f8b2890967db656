// SPDX-License-Identifier: MIT
// ctest: LABELS shared TIMEOUT 300
// All texts of the reference corpus: they parse, print -> parse -> print is stable, and what
// Apple's compiler printed comes back byte for byte. The verifier has nothing against them.
#include <limits.h>

#include "base/file.h"
#include "ir/op.h"
#include "mutate_mil.h"
#include "tap.h"
#include "text/text.h"

static char folder[64];

// Unpacks the corpus into a temporary folder.
static bool unpack(const char *archive) {
  char absolute[PATH_MAX], command[PATH_MAX + 100];
  strcpy(folder, "/tmp/milo_corpus_XXXXXX");
  if (!realpath(archive, absolute) || !mkdtemp(folder)) return false;
  snprintf(command, sizeof command, "cd %s && cmake -E tar xf '%s'", folder, absolute);
  return system(command) == 0;
}

typedef struct totals {
  int texts, exact;
} totals;

// Texts that the verifier rightly objects to.
static const struct {
  const char *name, *fault;
} wrong_texts[] = {
    // The generator writes its constants once a layer and once more for the classifier.
    {"christopherkarani__Espresso__RWKVStyleFusedThreeLayerRMSNormClassifierGenerator.mil",
     "nhalf is defined twice"},
};

static void check_verified(const milo_program *program, const char *name) {
  milo_diag diag = {0};
  const char *fault = NULL;
  for (size_t i = 0; i < sizeof wrong_texts / sizeof *wrong_texts; i++)
    if (strcmp(wrong_texts[i].name, name) == 0) fault = wrong_texts[i].fault;
  const milo_status status = milo_ir_verify(program, &diag);
  const char *text = milo_diag_text(&diag);
  const bool held = fault == NULL ? CHECK(status == MILO_OK && diag.errors == 0)
                                  : CHECK(status == MILO_ERR_INVALID && strstr(text, fault));
  if (!held) printf("# verifier: %s\n", text);
  milo_diag_deinit(&diag);
}

static void check_text(const char *path, const char *name, bool exact, totals *sum) {
  milo_diag diag = {0};
  void *data;
  size_t bytes;
  if (!CHECK(milo_file_read(path, 0, &diag, &data, &bytes) == MILO_OK)) return;
  milo_program *first = NULL, *second = NULL;
  milo_str once = {0}, twice = {0};
  if (!CHECK(milo_text_parse(data, bytes, name, &diag, &first) == MILO_OK))
    printf("# %s\n", milo_diag_text(&diag));
  if (first) check_verified(first, name);
  if (first && CHECK(milo_text_print(first, &once) == MILO_OK)) {
    if (!CHECK(milo_text_parse(once.data, once.bytes, name, &diag, &second) == MILO_OK))
      printf("# printed: %s\n", milo_diag_text(&diag));
  }
  if (second && CHECK(milo_text_print(second, &twice) == MILO_OK)) {
    if (!CHECK(once.bytes == twice.bytes && memcmp(once.data, twice.data, once.bytes) == 0))
      printf("# %s is not stable\n", name);
    sum->texts++;
  }
  if (exact && once.data) {
    if (CHECK(once.bytes == bytes && memcmp(once.data, data, bytes) == 0)) {
      sum->exact++;
    } else {
      size_t at = 0;
      while (at < bytes && at < once.bytes && once.data[at] == ((char *)data)[at]) at++;
      printf("# %s differs at byte %zu: <%.60s> for <%.60s>\n", name, at, once.data + at,
             (char *)data + at);
    }
  }
  milo_program_destroy(first);
  milo_program_destroy(second);
  milo_str_deinit(&once);
  milo_str_deinit(&twice);
  milo_diag_deinit(&diag);
  free(data);
}

// Each line of the index begins with a file name; column 8 says who wrote it.
static void check_index(const char *kind, totals *sum) {
  char path[512];
  milo_diag diag = {0};
  void *data;
  size_t bytes;
  snprintf(path, sizeof path, "%s/corpus/%s/INDEX.tsv", folder, kind);
  if (!CHECK(milo_file_read(path, 0, &diag, &data, &bytes) == MILO_OK)) return;
  char *rest = data;
  (void)strsep(&rest, "\n");
  for (char *line; (line = strsep(&rest, "\n"));) {
    char *columns[8] = {0};
    for (int i = 0; i < 8 && line; i++) columns[i] = strsep(&line, "\t");
    if (!columns[7]) continue;
    snprintf(path, sizeof path, "%s/corpus/%s/%s", folder, kind, columns[0]);
    check_text(path, columns[0], strcmp(columns[7], "coremlc") == 0, sum);
  }
  free(data);
}

// A small one at every token, larger ones here and there: fixed shapes, open shapes, nested blocks.
static void mutate_corpus(void) {
  static const struct {
    const char *name;
    size_t stride;
  } texts[] = {{"text/rebeckerspecialties__mlmodelc-export__flexible-enumerated.mil", 1},
               {"text/christopherkarani__Espresso__ffn_bwd.mil", 5},
               {"text/FluidInference__mobius__compiled-unified_palette_4bit.mil", 97},
               {"from_protobuf/adamsro__dtln-aec-coreml__DTLN_AEC_256_Part1.mil", 397}};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    char path[512];
    snprintf(path, sizeof path, "%s/corpus/%s", folder, texts[i].name);
    mutate_file(path, texts[i].stride);
  }
}

static void test_corpus(void) {
  const char *shared = getenv("MILO_SHARED");
  char archive[1024];
  snprintf(archive, sizeof archive, "%s/mil/corpus.tar.xz", shared ? shared : "../shared");
  if (!milo_file_exists(archive)) SKIP("the shared corpus is not here");
  if (!CHECK(unpack(archive))) return;
  totals texts = {0}, packages = {0};
  check_index("text", &texts);
  check_index("from_protobuf", &packages);
  printf("# %d texts (%d exact), %d from packages\n", texts.texts, texts.exact, packages.texts);
  CHECK(texts.texts == 52);
  CHECK(texts.exact == 22);
  CHECK(packages.texts == 17);
  mutate_corpus();
  char command[128];
  snprintf(command, sizeof command, "rm -r '%s'", folder);
  CHECK(system(command) == 0);
}

int main(void) {
  RUN(test_corpus);
  return tap_done();
}
