// SPDX-License-Identifier: MIT
// Trains a tiny model on one sentence until it knows it by heart, then lets it speak.
//
//   cc train_tiny.c $(pkg-config --cflags --libs milo) -o train_tiny && ./train_tiny
#include <milo/milo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char sentence[] = "The cat sat on the mat, and the dog lay by the door. ";
enum { COPIES = 200, VOCAB = 300 };

static bool report(void *user, const milo_train_report *r) {
  (void)user;
  if (r->step % 20 == 0) printf("step %3llu loss %.3f\n", (unsigned long long)r->step, r->loss);
  return true;
}

int main(void) {
  milo_ctx *ctx;
  if (milo_ctx_create(NULL, &ctx) != MILO_OK) return 1;

  milo_tokenizer *tokenizer = NULL;
  milo_model *model = NULL;
  uint32_t *ids = NULL, *prompt = NULL, *spoken = NULL;
  char *text = malloc(COPIES * sizeof sentence), *answer = NULL;
  size_t count = 0, prompt_count = 0, spoken_count = 0, bytes = 0;
  int code = 1;
  if (text == NULL) goto done;
  text[0] = '\0';
  for (int i = 0; i < COPIES; i++)
    memcpy(text + i * (sizeof sentence - 1), sentence, sizeof sentence);

  milo_model_config config = MILO_OPTIONS_INIT(milo_model_config);
  config.dim = 32;
  config.hidden = 64;
  config.layers = 2;
  config.heads = 4;
  config.kv_heads = 2;
  config.head_dim = 8;
  config.seq = 32;
  config.vocab = VOCAB;

  milo_train_options train = MILO_OPTIONS_INIT(milo_train_options);
  train.steps = 100;
  train.batch = 4;
  train.lr = 1e-2;
  train.on_step = report;

  milo_generate_options generate = MILO_OPTIONS_INIT(milo_generate_options);

  if (milo_tokenizer_train(ctx, text, strlen(text), VOCAB, NULL, &tokenizer) != MILO_OK ||
      milo_tokenizer_encode(ctx, tokenizer, text, strlen(text), true, &ids, &count) != MILO_OK ||
      milo_model_create(ctx, &config, 1, &model) != MILO_OK ||
      milo_train(ctx, model, ids, count, &train, NULL) != MILO_OK ||
      milo_tokenizer_encode(ctx, tokenizer, "The cat", 7, true, &prompt, &prompt_count) !=
          MILO_OK ||
      milo_generate(ctx, model, prompt, prompt_count, &generate, &spoken, &spoken_count, NULL) !=
          MILO_OK ||
      milo_tokenizer_decode(ctx, tokenizer, spoken, spoken_count, &answer, &bytes) != MILO_OK) {
    fprintf(stderr, "train_tiny: %s\n", milo_error(ctx));
    goto done;
  }
  printf("%s\n", answer);
  code = strncmp(answer, "The cat sat on the mat", 22) == 0 ? 0 : 1;

done:
  free(text);
  milo_free(answer);
  milo_free(ids);
  milo_free(prompt);
  milo_free(spoken);
  milo_model_destroy(model);
  milo_tokenizer_destroy(tokenizer);
  milo_ctx_destroy(ctx);
  return code;
}
