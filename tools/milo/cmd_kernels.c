// SPDX-License-Identifier: MIT
// milo kernels: the programs that a plan cuts a training step into, as a table and as files.
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cmd.h"
#include "data.h"
#include "plan.h"
#include "precision.h"
#include "progress.h"

typedef struct request {
  const char *model, *plan, *precision, *dir;
  uint64_t seq, batch, layer, seed;
  bool blocks, json, force;
} request;

typedef struct printer {
  const request *request;
  milo_ctx *ctx;
  size_t count;  // programs so far
} printer;

static void print_shape(const milo_plan_program *p, bool output) {
  milo_value_info value;
  char text[64] = "";
  const size_t count = output ? milo_program_outputs(p->program, NULL, &value, 1)
                              : milo_program_inputs(p->program, NULL, &value, 1);
  size_t used = 0;
  for (int i = 0; count == 1 && i < value.rank && used < sizeof text; i++)
    used += (size_t)snprintf(text + used, sizeof text - used, "%s%" PRId64, i > 0 ? "," : "[",
                             value.shape[i]);
  if (count == 1)
    printf(" %20s]", text);
  else
    printf(" %13zu tensors", count);
}

static void print_row(const printer *to, const milo_plan_program *p) {
  if (to->count == 0)
    printf("%-17s %8s %21s %21s %12s %12s %10s %8s %12s\n", "kernel", "compiles", "input", "output",
           "input bytes", "output bytes", "MFLOP", "weights", "weight bytes");
  printf("%-17s %8zu", p->name, p->compiles);
  print_shape(p, false);
  print_shape(p, true);
  printf(" %12" PRIu64 " %12" PRIu64 " %10.1f %8zu %12" PRIu64, p->input_bytes, p->output_bytes,
         (double)p->flops / 1e6, p->weights, p->weight_bytes);
  if (p->part_count > 1) printf("  x %zu", p->part_count);
  putchar('\n');
}

static void print_values(const char *key, const milo_program *program, bool output) {
  milo_value_info value[64];
  const size_t count = output ? milo_program_outputs(program, NULL, value, 64)
                              : milo_program_inputs(program, NULL, value, 64);
  printf(", \"%s\": [", key);
  for (size_t i = 0; i < count && i < 64; i++) {
    printf("%s{\"name\": \"%s\", \"type\": ", i > 0 ? ", " : "", value[i].name);
    json_string(stdout, value[i].type);
    putchar('}');
  }
  putchar(']');
}

static void print_json(const printer *to, const milo_plan_program *p) {
  printf("%s{\"name\": \"%s\", \"what\": ", to->count > 0 ? ",\n  " : "", p->name);
  json_string(stdout, p->what);
  printf(", \"compiles\": %zu, \"part\": %zu, \"parts_in_all\": %zu", p->compiles, p->part,
         p->part_count);
  print_values("inputs", p->program, false);
  print_values("outputs", p->program, true);
  printf(", \"input_bytes\": %" PRIu64 ", \"output_bytes\": %" PRIu64 ", \"flops\": %" PRIu64
         ", \"weights\": %zu, \"weight_bytes\": %" PRIu64 ", \"packed\": [",
         p->input_bytes, p->output_bytes, p->flops, p->weights, p->weight_bytes);
  for (size_t i = 0; i < p->count_of_parts; i++) {
    const milo_part_info *part = &p->parts[i];
    printf("%s{\"name\": \"%s\", \"in\": \"%s\", \"weight\": %s, \"channel\": %" PRId64
           ", \"column\": %" PRId64 ", \"channels\": %" PRId64 ", \"columns\": %" PRId64 "}",
           i > 0 ? ", " : "", part->name, part->output ? "output" : "input",
           part->weight ? "true" : "false", part->channel, part->column, part->channels,
           part->columns);
  }
  printf("]}");
}

static milo_status each(void *user, const milo_plan_program *p) {
  printer *to = user;
  if (to->request->json)
    print_json(to, p);
  else if (p->part == 0)
    print_row(to, p);
  to->count++;
  if (!to->request->dir) return MILO_OK;
  char name[128];
  if (p->part_count > 1)
    snprintf(name, sizeof name, "%s_%zu.mil", p->name, p->part);
  else
    snprintf(name, sizeof name, "%s.mil", p->name);
  char *path = join_path(to->request->dir, name);
  if (!path) return MILO_ERR_NO_MEMORY;
  const milo_status status = milo_program_save(to->ctx, p->program, path);
  free(path);
  return status;
}

// A description (built-in or JSON) has no weights; everything else that is there has.
static bool has_weights(const char *model) {
  const size_t bytes = strlen(model);
  return file_exists(model) && !(bytes > 5 && strcmp(model + bytes - 5, ".json") == 0);
}

static milo_status open_model(const request *r, milo_ctx *ctx, milo_model_config *config,
                              milo_model **out_model) {
  milo_status status;
  struct stat info;
  const bool folder = stat(r->model, &info) == 0 && S_ISDIR(info.st_mode);
  const bool stored = has_weights(r->model);
  // Folders say their shape without their weights.
  if (stored && (r->dir || !folder)) {
    status = milo_model_load(ctx, r->model, out_model);
    if (status == MILO_OK) milo_model_get_config(*out_model, config);
    return status;
  }
  status = milo_model_config_load(ctx, r->model, config);
  if (status != MILO_OK || !r->dir) return status;
  note("%s has no weights: random ones are written", r->model);
  return milo_model_create(ctx, config, r->seed, out_model);
}

static int make_folder(const char *dir, bool force) {
  if (mkdir(dir, 0777) == 0) return EXIT_OK;
  if (errno != EEXIST) return fail_text("cannot make '%s': %s", dir, strerror(errno));
  if (force) return EXIT_OK;
  DIR *folder = opendir(dir);
  if (!folder) return fail_text("cannot read '%s': %s", dir, strerror(errno));
  const struct dirent *entry;
  do entry = readdir(folder);
  while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
  closedir(folder);
  if (!entry) return EXIT_OK;
  return fail_text(
      "'%s' holds files already\nanother folder keeps plans and layers apart; --force "
      "writes among them",
      dir);
}

static int list(const request *r, milo_ctx *ctx, milo_plan_list_options *options) {
  milo_model_config config = MILO_OPTIONS_INIT(milo_model_config);
  milo_model *model = NULL;
  printer to = {.request = r, .ctx = ctx};
  milo_status status = open_model(r, ctx, &config, &model);
  int code = status == MILO_OK ? EXIT_OK : fail_with(ctx, status);
  if (code == EXIT_OK && r->dir) code = make_folder(r->dir, r->force);
  if (code == EXIT_OK) {
    options->model = r->dir ? model : NULL;
    options->each = each;
    options->user = &to;
    if (r->json) {
      printf("{\"model\": ");
      json_string(stdout, r->model);
      printf(", \"plan\": \"%s\", \"kernels\": [\n  ", r->blocks ? "blocks" : r->plan);
    }
    status = milo_plan_list(ctx, &config, options);
    if (r->json) printf("]}\n");
    if (status != MILO_OK) code = fail_with(ctx, status);
  }
  milo_model_destroy(model);
  return code;
}

int cmd_kernels(int argc, char **argv) {
  static const command cmd = {
      "kernels",
      "kernels MODEL --plan PLAN [options]",
      "Lists the programs that a plan cuts a training step of a model into: how many a step\n"
      "compiles (0: offered beside), shapes and bytes of inputs and outputs, floating-point\n"
      "operations of products (2 a term), weights in the program. MODEL is a built-in name, a\n"
      "description, a .bin file or a folder. -o writes texts and weight files; those of the plan\n"
      "static hold the weights of one layer.",
      "  milo kernels stories110M --plan static\n"
      "  milo kernels out --plan static --layer 3 -o kernels\n"
      "  milo kernels stories15M --plan dynamic --seq 64 --precision fp32 --json\n",
      1,
      1};
  request r = {.plan = NULL, .seq = NOT_GIVEN, .batch = 1};
  const option options[] = {
      {"--plan", NULL, OPTION_STRING, &r.plan, "P", PLAN_HELP},
      {"--blocks", NULL, OPTION_FLAG, &r.blocks, NULL,
       "building blocks of the plans dynamic and static instead"},
      {"--output", "-o", OPTION_STRING, &r.dir, "DIR", "folder for texts and weight files"},
      {"--force", "-f", OPTION_FLAG, &r.force, NULL, "write into a folder that holds files"},
      {"--seq", NULL, OPTION_COUNT, &r.seq, "S", "tokens a sequence (default: the model's)"},
      {"--batch", "-b", OPTION_COUNT, &r.batch, "B", "sequences, of the plan fused (default 1)"},
      {"--precision", NULL, OPTION_STRING, &r.precision, "P",
       "fp32, fp16 or bf16 (default: fused fp32, the others fp16)"},
      {"--layer", NULL, OPTION_COUNT, &r.layer, "N", "whose weights are written (default 0)"},
      {"--seed", "-s", OPTION_COUNT, &r.seed, "K", "of random weights (default 0)"},
      {NULL, NULL, OPTION_FLAG, NULL, NULL, NULL}};
  common_options common = {0};
  int args, code;
  if (!options_parse(&cmd, options, &common, argc, argv, &args, &code)) return code;
  milo_plan_list_options list_options = MILO_OPTIONS_INIT(milo_plan_list_options);
  code = read_plan(&cmd, r.plan, &list_options.plan);
  if (code == EXIT_OK) code = read_precision(&cmd, r.precision, &list_options.precision);
  if (code != EXIT_OK) return code;
  if (r.seq == 0 || r.batch == 0) return usage_error(&cmd, "--seq and --batch are at least 1");
  if (!r.plan) r.plan = milo_plan_name(MILO_PLAN_FUSED);
  r.model = argv[0];
  r.json = common.json;
  list_options.blocks = r.blocks;
  list_options.seq = r.seq == NOT_GIVEN ? 0 : (size_t)r.seq;
  list_options.batch = (size_t)r.batch;
  list_options.layer = (size_t)r.layer;
  milo_ctx *ctx = open_ctx(&common);
  if (!ctx) return EXIT_FAILED;
  code = list(&r, ctx, &list_options);
  milo_ctx_destroy(ctx);
  const int flushed = finish_stdout();
  return code == EXIT_OK ? flushed : code;
}
