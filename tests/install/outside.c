// SPDX-License-Identifier: MIT
// A user's program: built by test_install.sh against an installed Milo, run with its version.
#include <milo/milo.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
  milo_ctx *ctx = NULL;
  if (argc != 2 || milo_ctx_create(NULL, &ctx) != MILO_OK) return 1;
  const int same = strcmp(milo_version(), argv[1]) == 0 && strcmp(MILO_VERSION, argv[1]) == 0;
  printf("milo %s, %d threads\n", milo_version(), milo_ctx_threads(ctx));
  milo_ctx_destroy(ctx);
  return same ? 0 : 1;
}
