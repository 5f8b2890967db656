// SPDX-License-Identifier: MIT
// ctest: LABELS threads
// milo_fit through the public header: against PyTorch's losses (tests/oracle/make_fit.py), against
// arithmetic by hand, resuming, accumulation, what stays untouched, and what is refused.
#include <milo/milo.h>
#include <sys/stat.h>

#include "device/device.h"
#include "folder.h"
#include "model/safetensors.h"
#include "tap.h"

static milo_ctx *ctx;

typedef struct losses {
  double items[64];
  size_t count;
  uint64_t stop_at;
} losses;

static bool keep_loss(void *user, const milo_train_report *report) {
  losses *l = user;
  if (l->count < 64) l->items[l->count++] = report->loss;
  return report->step != l->stop_at;
}

static milo_program *parse(const char *text) {
  milo_program *program = NULL;
  if (!CHECK(milo_program_parse(ctx, text, strlen(text), "in.mil", NULL, &program) == MILO_OK))
    printf("# %s\n", milo_error(ctx));
  return program;
}

// ---- PyTorch ----

static void check_narrow(const char *name, double lr, const char *loss, const char *device,
                         milo_precision precision, double bound) {
  char path[256];
  milo_program *program = NULL, *trained = NULL;
  milo_array x = {0}, target = {0};
  losses got = {0};
  snprintf(path, sizeof path, "tests/oracle/fit/%s/model.mil", name);
  if (!CHECK(milo_program_load(ctx, path, &program) == MILO_OK)) return;
  snprintf(path, sizeof path, "tests/oracle/fit/%s/x.npy", name);
  CHECK(milo_npy_load(ctx, path, &x) == MILO_OK);
  snprintf(path, sizeof path, "tests/oracle/fit/%s/target.npy", name);
  CHECK(milo_npy_load(ctx, path, &target) == MILO_OK);
  const milo_fit_data data[] = {{"x", &x}, {"target", &target}};
  milo_fit_options options = MILO_OPTIONS_INIT(milo_fit_options);
  options.loss = loss;
  options.trainable = "*";
  options.lr = lr;
  options.steps = 20;
  options.device = device;
  options.precision = precision;
  options.on_step = keep_loss;
  options.user = &got;
  if (!CHECK(milo_fit(ctx, program, data, 2, &options, &trained, NULL) == MILO_OK))
    printf("# %s\n", milo_error(ctx));
  snprintf(path, sizeof path, "tests/oracle/fit/%s/losses.tsv", name);
  FILE *file = fopen(path, "r");
  double worst = 0;
  for (size_t i = 0; CHECK(file != NULL) && i < 20; i++) {
    double step, wanted;
    if (!CHECK(fscanf(file, "%lf %lf", &step, &wanted) == 2)) break;
    CHECK_NEAR(got.items[i], wanted, bound * wanted);
    worst = fmax(worst, fabs(got.items[i] - wanted) / wanted);
  }
  printf("# %s on %s: losses differ by %.1e at most\n", name, device, worst);
  // Something is stored in 16 bits where that was asked for.
  CHECK(precision == MILO_PRECISION_FP32 || worst > 1e-5);
  CHECK(got.count == 20);
  if (file) fclose(file);
  milo_array_deinit(&x);
  milo_array_deinit(&target);
  milo_program_destroy(program);
  milo_program_destroy(trained);
}

static void check_oracle(const char *name, double lr, const char *loss, const char *device) {
  check_narrow(name, lr, loss, device, MILO_PRECISION_FP32, 1e-4);
}

// The three programs with activations in 16 bits. Seen are 2.6e-3, 6.3e-3 and 7e-4 with
// bf16, 2.4e-4, 2.4e-5 and 3.8e-4 with fp16 (AVX512-BF16 products).
static void test_oracle_in_16_bits(void) {
  static const struct {
    const char *name, *loss;
    double lr, bf16, fp16;
  } cases[] = {{"mlp", "mse:y=target", 1e-2, 8e-3, 8e-4},
               {"conv", "mse:y=target", 5e-3, 2e-2, 3e-4},
               {"block", "cross_entropy:y=target", 5e-3, 3e-3, 1.5e-3}};
  for (int i = 0; i < 3; i++) {
    check_narrow(cases[i].name, cases[i].lr, cases[i].loss, "cpu", MILO_PRECISION_BF16,
                 cases[i].bf16);
    check_narrow(cases[i].name, cases[i].lr, cases[i].loss, "cpu", MILO_PRECISION_FP16,
                 cases[i].fp16);
  }
}

static void test_oracle_mlp(void) {
  check_oracle("mlp", 1e-2, "mse:y=target", "cpu");
  check_oracle("mlp", 1e-2, "mse:y=target", "ref");
}
static void test_oracle_conv(void) { check_oracle("conv", 5e-3, "mse:y=target", "cpu"); }
static void test_oracle_block(void) {
  check_oracle("block", 5e-3, "cross_entropy:y=target", "cpu");
}

// ---- by hand ----

#define NAMED(name) "[name = string(\"" name "\")];\n"
#define CONST(type, name, value) \
  type " " name " = const()[name = string(\"" name "\"), val = " value "];\n"

// y = w x, and a second output with a weight that the loss does not know; batch open.
static const char line[] =
    "program(1.3) {\n    func main<ios18>(tensor<fp32, [?, 1]> x) {\n"
    CONST("tensor<fp32, [1, 1]>", "w", "tensor<fp32, [1, 1]>([[2]])")
    CONST("tensor<fp16, [1]>", "h", "tensor<fp16, [1]>([0x1p-1])")
    CONST("string", "to", "string(\"fp32\")")
    CONST("tensor<fp32, [1, 1]>", "other", "tensor<fp32, [1, 1]>([[5]])")
    "tensor<fp32, [1]> b = cast(dtype = to, x = h)" NAMED("b")
    "tensor<fp32, [?, 1]> p = mul(x = x, y = w)" NAMED("p")
    "tensor<fp32, [?, 1]> y = add(x = p, y = b)" NAMED("y")
    "tensor<fp32, [?, 1]> z = mul(x = x, y = other)" NAMED("z")
    "    } -> (y, z);\n}\n";

static const float xs[] = {1, 2, 3, -1, 0.5f, 4}, ts[] = {1, 0, 2, 3, -1, 0.25f};

static milo_array rows_of(const float *values, int64_t rows) {
  return (milo_array){.dtype = MILO_FP32,
                      .rank = 2,
                      .shape = {rows, 1},
                      .data = (void *)(uintptr_t)values,
                      .bytes = (size_t)rows * sizeof *values};
}

static milo_status fit_line(milo_fit_options *options, const char *text, milo_program **out) {
  const milo_array x = rows_of(xs, 6), t = rows_of(ts, 6);
  const milo_fit_data data[] = {{"x", &x}, {"t", &t}};
  milo_program *program = parse(text);
  if (!options->loss) options->loss = "mse:y=t";
  if (!options->trainable) options->trainable = "*";
  const milo_status status = milo_fit(ctx, program, data, 2, options, out, NULL);
  milo_program_destroy(program);
  return status;
}

// Rounded to fp16's eleven bits; in its normal range.
static double half(double x) {
  int e;
  const double m = frexp(x, &e);
  return ldexp(nearbyint(ldexp(m, 11)), e - 11);
}

// The same in double: batches of 2, in order, wrapping round.
static void by_hand(bool sgd, double momentum, double lr, int steps, double *w, double *b,
                    double *out_losses) {
  double m[2] = {0}, v[2] = {0}, p[2] = {*w, *b};
  for (int s = 0; s < steps; s++) {
    double g[2] = {0}, loss = 0;
    for (int i = 0; i < 2; i++) {
      const int r = (2 * s + i) % 6;
      // The bias goes through fp16.
      const double e = p[0] * (double)xs[r] + half(p[1]) - (double)ts[r];
      loss += e * e / 2;
      g[0] += e * (double)xs[r];
      g[1] += e;
    }
    out_losses[s] = loss;
    for (int i = 0; i < 2; i++) {
      m[i] = sgd ? momentum * m[i] + g[i] : 0.9 * m[i] + 0.1 * g[i];
      v[i] = 0.999 * v[i] + 0.001 * g[i] * g[i];
      p[i] -=
          sgd ? lr * m[i]
              : lr * (m[i] / (1 - pow(0.9, s + 1)) / (sqrt(v[i] / (1 - pow(0.999, s + 1))) + 1e-8) +
                      (i == 0 ? 0.01 * p[i] : 0));
    }
  }
  *w = p[0];
  *b = p[1];
}

static void check_by_hand(bool sgd) {
  enum { STEPS = 12 };
  losses got = {0};
  double wanted[STEPS], w = 2, b = 0.5;
  by_hand(sgd, 0.5, 0.05, STEPS, &w, &b, wanted);
  milo_fit_options options = MILO_OPTIONS_INIT(milo_fit_options);
  options.optimizer = sgd ? MILO_FIT_SGD : MILO_FIT_ADAMW;
  options.momentum = sgd ? 0.5 : 0;
  options.batch = 2;
  options.lr = 0.05;
  options.steps = STEPS;
  options.on_step = keep_loss;
  options.user = &got;
  milo_program *trained = NULL;
  if (!CHECK(fit_line(&options, line, &trained) == MILO_OK)) printf("# %s\n", milo_error(ctx));
  for (int i = 0; i < STEPS; i++) CHECK_NEAR(got.items[i], wanted[i], 1e-3 * wanted[i] + 1e-5);
  char *text = NULL;
  size_t bytes;
  if (!trained || !CHECK(milo_program_print(ctx, trained, &text, &bytes) == MILO_OK)) return;
  // What the loss does not depend on is as it was; weight decay would have moved it.
  CHECK(strstr(text, "val = tensor<fp32, [1, 1]>([[0x1.4p+2]])") != NULL);
  const char *at = strstr(text, " w = const()");
  double now = 0;
  if (CHECK(at != NULL)) now = strtod(strstr(at, "([[") + 3, NULL);
  CHECK_NEAR(now, w, 1e-3 * fabs(w) + 1e-5);
  milo_free(text);
  milo_program_destroy(trained);
}

static void test_adamw(void) { check_by_hand(false); }
static void test_sgd(void) { check_by_hand(true); }

// Two batches of 2 a step are one of 4.
static void test_accumulate(void) {
  losses a = {0}, b = {0};
  milo_fit_options options = MILO_OPTIONS_INIT(milo_fit_options);
  options.steps = 10;
  options.lr = 0.05;
  options.batch = 4;
  options.on_step = keep_loss;
  options.user = &a;
  CHECK(fit_line(&options, line, NULL) == MILO_OK);
  options.batch = 2;
  options.accumulate = 2;
  options.user = &b;
  CHECK(fit_line(&options, line, NULL) == MILO_OK);
  CHECK(a.count == 10 && b.count == 10);
  for (int i = 0; i < 10; i++) CHECK_NEAR(b.items[i], a.items[i], 1e-3 * a.items[i] + 1e-6);
  CHECK(a.items[9] != a.items[0]);
}

// ---- folders ----

// Stopped, resumed in another context with other threads: every file bit for bit.
static void check_resume(bool sgd, const char *name) {
  char whole[64], parts[64], a[640], b[640];
  losses ignored = {0};
  milo_fit_options options = MILO_OPTIONS_INIT(milo_fit_options);
  options.optimizer = sgd ? MILO_FIT_SGD : MILO_FIT_ADAMW;
  options.momentum = sgd ? 0.5 : 0;
  options.steps = 20;
  options.lr = 0.02;
  options.batch = 2;
  options.accumulate = 2;
  options.shuffle = true;
  options.cosine = true;
  options.val_fraction = 0.34;
  options.eval_every = 4;
  options.save_every = 3;
  snprintf(whole, sizeof whole, "%s-whole", name);
  snprintf(parts, sizeof parts, "%s-parts", name);
  options.out_dir = in_folder(whole);
  if (!CHECK(fit_line(&options, line, NULL) == MILO_OK)) printf("# %s\n", milo_error(ctx));
  options.out_dir = in_folder(parts);
  options.on_step = keep_loss;
  options.user = &ignored;
  ignored.stop_at = 7;
  CHECK(fit_line(&options, line, NULL) == MILO_ERR_INTERRUPTED);
  options.resume = true;
  ignored.stop_at = 12;
  CHECK(fit_line(&options, line, NULL) == MILO_ERR_INTERRUPTED);
  ignored.stop_at = 0;
  if (!CHECK(fit_line(&options, line, NULL) == MILO_OK)) printf("# %s\n", milo_error(ctx));
  static const char *const files[] = {"checkpoint.milo", "metrics.jsonl", "program.mil"};
  for (int i = 0; i < 3; i++) {
    snprintf(a, sizeof a, "%s/%s", in_folder(whole), files[i]);
    snprintf(b, sizeof b, "%s/%s", in_folder(parts), files[i]);
    CHECK(same_file(a, b));
  }
}

static void test_resume(void) {
  check_resume(false, "adamw");
  check_resume(true, "sgd");
}

// Copies a checkpoint with the prefix of its moments' names exchanged.
static void rename_moments(const char *from, const char *to, const char *was, const char *is) {
  milo_diag diag = {0};
  milo_safetensors *file = NULL;
  milo_named_tensor tensors[16];
  char names[16][64];
  milo_metadata metadata[32];
  size_t count = 0, texts = 0, renamed = 0;
  static const char *const keys[] = {"format",
                                     "model",
                                     "step",
                                     "data_checksum",
                                     "best_val_loss",
                                     "loss",
                                     "grad_norm",
                                     "unreported",
                                     "option.steps",
                                     "option.batch",
                                     "option.seq",
                                     "option.accumulate",
                                     "option.lr",
                                     "option.min_lr_ratio",
                                     "option.warmup",
                                     "option.beta1",
                                     "option.beta2",
                                     "option.epsilon",
                                     "option.clip",
                                     "option.weight_decay",
                                     "option.seed",
                                     "option.val_fraction",
                                     "option.eval_every",
                                     "option.eval_batches"};
  if (!CHECK(milo_safetensors_open(from, &diag, &file) == MILO_OK)) return;
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    metadata[texts] = (milo_metadata){keys[i], milo_safetensors_text(file, keys[i])};
    if (CHECK(metadata[texts].text != NULL)) texts++;
  }
  const milo_stored_tensor *t;
  for (size_t i = 0; (t = milo_safetensors_get(file, i)) != NULL; i++) {
    if (strcmp(t->name, "milo.checksum") == 0) continue;
    const bool is_moment = strncmp(t->name, was, strlen(was)) == 0;
    renamed += is_moment;
    snprintf(names[count], sizeof names[count], "%s%s", is_moment ? is : "",
             t->name + (is_moment ? strlen(was) : 0));
    tensors[count] =
        (milo_named_tensor){.name = names[count], .dtype = t->type.dtype, .rank = t->type.rank};
    memcpy(tensors[count].dims, t->type.dims, sizeof tensors[count].dims);
    CHECK(milo_buffer_alloc(t->bytes, &diag, &tensors[count].buffer) == MILO_OK);
    CHECK(milo_buffer_write(tensors[count++].buffer, 0, t->data, t->bytes) == MILO_OK);
  }
  CHECK(renamed > 0);
  CHECK(milo_safetensors_write(to, metadata, texts, tensors, count, &diag) == MILO_OK);
  for (size_t i = 0; i < count; i++) milo_buffer_release(tensors[i].buffer);
  milo_safetensors_close(file);
  milo_diag_deinit(&diag);
}

// SGD's only moment has a name that says so; checkpoints that called it AdamW's are still read.
static void test_names_of_moments(void) {
  milo_fit_options options = MILO_OPTIONS_INIT(milo_fit_options);
  losses whole = {0}, parts = {0};
  options.optimizer = MILO_FIT_SGD;
  options.momentum = 0.5;
  options.steps = 6;
  options.on_step = keep_loss;
  options.user = &whole;
  CHECK(fit_line(&options, line, NULL) == MILO_OK && whole.count == 6);
  options.out_dir = in_folder("named");
  options.stop_after = 3;
  options.user = &parts;
  CHECK(fit_line(&options, line, NULL) == MILO_OK);
  char path[640];
  snprintf(path, sizeof path, "%s/checkpoint.milo", options.out_dir);
  rename_moments(path, path, "sgd.momentum.", "adamw.m.");  // as they were
  options.resume = true;
  options.stop_after = 0;
  if (!CHECK(fit_line(&options, line, NULL) == MILO_OK)) printf("# %s\n", milo_error(ctx));
  CHECK(parts.count == 6);
  for (size_t i = 0; i < 6; i++) CHECK(parts.items[i] == whole.items[i]);
  rename_moments(path, path, "sgd.momentum.", "velocity.");
  CHECK(fit_line(&options, line, NULL) == MILO_ERR_INVALID);
  CHECK(strstr(milo_error(ctx), "sgd.momentum.") != NULL);
}

static void refused(milo_fit_options options, const char *text, const char *said) {
  milo_program *trained = NULL;
  CHECK(fit_line(&options, text, &trained) != MILO_OK && trained == NULL);
  if (!CHECK(strstr(milo_error(ctx), said) != NULL)) printf("# %s\n", milo_error(ctx));
}

static void test_refused(void) {
  milo_fit_options o = MILO_OPTIONS_INIT(milo_fit_options);
  o.steps = 3;
  o.out_dir = in_folder("refused");
  o.batch = 2;
  CHECK(fit_line(&o, line, NULL) == MILO_OK);
  refused(o, line, "holds a training run");
  o.resume = true;
  o.trainable = "w";
  refused(o, line, "another trainable");
  o.trainable = NULL;
  o.loss = "mse:z=t";
  refused(o, line, "another loss");
  o.loss = NULL;
  o.steps = 2;
  refused(o, line, "steps was 3");
  o = (milo_fit_options)MILO_OPTIONS_INIT(milo_fit_options);
  o.trainable = "";
  refused(o, line, "nothing to train");
  o.trainable = "other";
  refused(o, line, "depends on none");
  o.trainable = NULL;
  static const struct {
    const char *loss, *said;
  } wrong[] = {{"y", "no input t"},
               {"mse:q=t", "has no output q"},
               {"mse:y", "is no loss"},
               {"mse:y=x", "cannot be called x"},
               {"mse:y=u", "no input t"},
               {"cross:y=t", "is no loss"},
               {"cross_entropy:y=t", "expected"}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    o.loss = wrong[i].loss;
    refused(o, line, wrong[i].said);
  }
  o.loss = NULL;
  o.val_fraction = 0.2;
  refused(o, line, "too few to hold back");
  o.val_fraction = 0;
  o.momentum = 0.5;
  refused(o, line, "momentum is SGD's");
  o.momentum = 0;
  o.min_lr_ratio = 0.5;
  refused(o, line, "end of a cosine");
  o.min_lr_ratio = 0;
  o.lr = 1e3;
  o.optimizer = MILO_FIT_SGD;
  refused(o, line, "not finite");
}

static void test_data_refused(void) {
  const milo_array x = rows_of(xs, 6), t = rows_of(ts, 6), few = rows_of(ts, 5);
  milo_array flat = rows_of(xs, 6);
  const double third[] = {1.0 / 3, 1, 2, 3, 4, 5};
  const milo_array wide = {.dtype = MILO_FP64,
                           .rank = 2,
                           .shape = {6, 1},
                           .data = (void *)(uintptr_t)third,
                           .bytes = sizeof third};
  flat.rank = 1;
  const struct {
    milo_fit_data data[3];
    size_t count;
    const char *said;
  } cases[] = {{{{"x", &x}}, 1, "target t has no data"},
               {{{"t", &t}}, 1, "input x has no data"},
               {{{"x", &x}, {"t", &few}}, 2, "data t 5"},
               {{{"x", &flat}, {"t", &t}}, 2, "expected tensor<fp32, [?, 1]>"},
               {{{"x", &wide}, {"t", &t}}, 2, "does not hold exactly"},
               {{{"x", &x}, {"t", &t}, {"v", &t}}, 3, "no input v"},
               {{{"x", &x}, {"t", &t}, {"x", &x}}, 3, "given twice"}};
  milo_fit_options o = MILO_OPTIONS_INIT(milo_fit_options);
  o.loss = "mse:y=t";
  o.trainable = "*";
  o.steps = 1;
  milo_program *program = parse(line);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    CHECK(milo_fit(ctx, program, cases[i].data, cases[i].count, &o, NULL, NULL) ==
          MILO_ERR_INVALID);
    if (!CHECK(strstr(milo_error(ctx), cases[i].said) != NULL)) printf("# %s\n", milo_error(ctx));
  }
  o.loss = "y";
  CHECK(milo_fit(ctx, program, cases[0].data, 1, &o, NULL, NULL) == MILO_ERR_INVALID);
  CHECK(strstr(milo_error(ctx), "a loss is one number") != NULL);
  o.loss = "mse:y=t";
  o.cast = true;
  CHECK(milo_fit(ctx, program, (const milo_fit_data[]){{"x", &wide}, {"t", &t}}, 2, &o, NULL,
                 NULL) == MILO_OK);
  milo_program_destroy(program);
}

int main(void) {
  const milo_ctx_options options = {.struct_bytes = sizeof options, .threads = 2};
  if (!make_folder() || milo_ctx_create(&options, &ctx) != MILO_OK) return 1;
  RUN(test_oracle_mlp);
  RUN(test_oracle_in_16_bits);
  RUN(test_oracle_conv);
  RUN(test_oracle_block);
  RUN(test_adamw);
  RUN(test_sgd);
  RUN(test_accumulate);
  RUN(test_resume);
  RUN(test_names_of_moments);
  RUN(test_refused);
  RUN(test_data_refused);
  milo_ctx_destroy(ctx);
  return remove_folder() ? tap_done() : 1;
}
