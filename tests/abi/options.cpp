// SPDX-License-Identifier: MIT
// MILO_OPTIONS_INIT in C++: every option struct of milo.h, all fields but struct_bytes zero.
// Includes nothing but milo.h, so that its warnings are the header's own; linked with nothing.
#include <milo/milo.h>

template <typename Options>
static bool is_initialized(const Options &options) {
  const unsigned char *bytes = reinterpret_cast<const unsigned char *>(&options);
  for (size_t i = sizeof options.struct_bytes; i < sizeof options; i++)
    if (bytes[i] != 0) return false;
  return options.struct_bytes == sizeof options;
}

static milo_eval_options at_file_scope = MILO_OPTIONS_INIT(milo_eval_options);

int main() {
  milo_ctx_options ctx = MILO_OPTIONS_INIT(milo_ctx_options);
  milo_optimize_options optimize = MILO_OPTIONS_INIT(milo_optimize_options);
  milo_grad_options grad = MILO_OPTIONS_INIT(milo_grad_options);
  milo_compile_options compile = MILO_OPTIONS_INIT(milo_compile_options);
  milo_model_config config = MILO_OPTIONS_INIT(milo_model_config);
  milo_generate_options generate = MILO_OPTIONS_INIT(milo_generate_options);
  milo_train_options train = MILO_OPTIONS_INIT(milo_train_options);
  milo_plan_list_options list = MILO_OPTIONS_INIT(milo_plan_list_options);
  const bool all = is_initialized(ctx) && is_initialized(grad) && is_initialized(optimize) &&
                   is_initialized(compile) && is_initialized(config) && is_initialized(generate) &&
                   is_initialized(train) && is_initialized(list) && is_initialized(at_file_scope);
  train.steps = 3;
  return all && train.steps == 3 ? 0 : 1;
}
