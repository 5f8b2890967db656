// SPDX-License-Identifier: MIT
// Three endings of one beginning: a session reads the beginning once and is rewound to it.
//
//   cc endings.c $(pkg-config --cflags --libs milo) -o endings && ./endings [MODEL]
//
// MODEL: a folder that milo train wrote; without it, a model that knows nothing yet: its endings
// are tokens at random.
#include <milo/milo.h>
#include <stdio.h>

enum { ENDINGS = 3, LENGTH = 12, BEGINNING = 4 };

static const uint32_t beginning[BEGINNING] = {1, 261, 270, 265};  // 1 begins a text

static milo_status get_model(milo_ctx *ctx, const char *path, milo_model **out_model) {
  if (path) return milo_model_load(ctx, path, out_model);
  milo_model_config config = MILO_OPTIONS_INIT(milo_model_config);
  config.dim = 64;
  config.hidden = 128;
  config.layers = 2;
  config.heads = 4;
  config.seq = 128;
  config.vocab = 300;
  return milo_model_create(ctx, &config, 1, out_model);
}

static milo_status tell(milo_session *session, const milo_model *model, uint64_t seed) {
  // The last token of the beginning is read again: logits come with reading.
  milo_status status = milo_session_rewind(session, BEGINNING - 1);
  uint32_t token = beginning[BEGINNING - 1];
  for (int i = 0; status == MILO_OK && i < LENGTH; i++) {
    status = milo_session_feed(session, &token, 1);
    if (status == MILO_OK) status = milo_session_sample(session, 0.8, 0.9, seed, &token);
    if (status != MILO_OK || milo_model_stops(model, token)) break;
    printf("%u ", token);
  }
  putchar('\n');
  return status;
}

int main(int argc, char **argv) {
  milo_ctx *ctx;
  if (milo_ctx_create(NULL, &ctx) != MILO_OK) return 1;
  milo_model *model = NULL;
  milo_session *session = NULL;
  milo_status status = get_model(ctx, argc > 1 ? argv[1] : NULL, &model);
  if (status == MILO_OK) status = milo_session_create(ctx, model, NULL, &session);
  if (status == MILO_OK) status = milo_session_feed(session, beginning, BEGINNING - 1);
  for (uint64_t seed = 0; status == MILO_OK && seed < ENDINGS; seed++)
    status = tell(session, model, seed);
  if (status != MILO_OK) fprintf(stderr, "endings: %s\n", milo_error(ctx));
  milo_session_destroy(session);
  milo_model_destroy(model);
  milo_ctx_destroy(ctx);
  return status != MILO_OK;
}
