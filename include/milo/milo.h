/* SPDX-License-Identifier: MIT */
/*
 * milo.h - compile, run, differentiate and train MIL programs.
 *
 * Ownership   create/load/parse/compile return one reference, given back with the function named
 *             *_destroy or *_release, both of which accept NULL. Strings returned by queries belong
 *             to the object asked and live as long as it does. Out parameters come last and are
 *             NULL or 0 after a failure.
 * Errors      every call that can fail returns a milo_status; after a failure milo_error(ctx) holds
 *             one or more lines of text, `file:line:col: error: ...` where a place is known.
 * Threads     a milo_ctx and everything made from it is used by one thread at a time; contexts are
 *             independent of each other. Milo's own worker threads belong to the context.
 * Text        UTF-8. Sizes are in elements unless the name says _bytes. Tensors are row-major,
 *             little-endian. Losses are in nats.
 * Growth      option structs begin with struct_bytes; begin with MILO_OPTIONS_INIT(type) and set
 *             only what differs from the defaults. A struct whose struct_bytes was not set (0) is
 *             MILO_ERR_INVALID; one with an option that this version of the library does not know
 *             is MILO_ERR_UNSUPPORTED.
 */
#ifndef MILO_MILO_H
#define MILO_MILO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MILO_VERSION_MAJOR 0
#define MILO_VERSION_MINOR 1
#define MILO_VERSION_PATCH 0
#define MILO_VERSION "0.1.0"

#if defined(__GNUC__)
#define MILO_API __attribute__((visibility("default")))
#define MILO_MUST_USE __attribute__((warn_unused_result))
#else
#define MILO_API
#define MILO_MUST_USE
#endif

/* Initializer of an option struct: every field 0 means "the default", see each struct.
   milo_train_options options = MILO_OPTIONS_INIT(milo_train_options); */
#ifdef __cplusplus
extern "C++" {
template <typename Options>
inline Options milo_options_init() {
  Options options = Options();
  options.struct_bytes = sizeof(Options);
  return options;
}
}
#define MILO_OPTIONS_INIT(type) milo_options_init<type>()
#else
#define MILO_OPTIONS_INIT(type) \
  { .struct_bytes = sizeof(type) }
#endif

enum { MILO_MAX_RANK = 8 };

/* What a call came to. Values are stable. */
typedef enum milo_status {
  MILO_OK = 0,
  MILO_ERR_INVALID = 1,     /* the input (text, file, argument) is wrong */
  MILO_ERR_UNSUPPORTED = 2, /* valid, but Milo or this device cannot do it */
  MILO_ERR_NO_MEMORY = 3,   /* a tensor buffer could not be allocated */
  MILO_ERR_IO = 4,          /* a file could not be opened, read or written */
  MILO_ERR_NOT_FOUND = 5,   /* no such file, name or device */
  MILO_ERR_INTERRUPTED = 6, /* stopped on request, state saved */
  MILO_ERR_NUMERIC = 7      /* a result is not finite (training: NaN loss) */
} milo_status;

/* Element types. Values are Milo's own, not those of any file format. */
typedef enum milo_dtype {
  MILO_DTYPE_NONE = 0,
  MILO_BOOL,
  MILO_STRING,
  MILO_FP16,
  MILO_FP32,
  MILO_FP64,
  MILO_BF16,
  MILO_INT4,
  MILO_INT8,
  MILO_INT16,
  MILO_INT32,
  MILO_INT64,
  MILO_UINT1,
  MILO_UINT2,
  MILO_UINT3,
  MILO_UINT4,
  MILO_UINT6,
  MILO_UINT8,
  MILO_UINT16,
  MILO_UINT32,
  MILO_UINT64,
  MILO_FP8E4M3FN,
  MILO_FP8E5M2,
  MILO_DTYPE_COUNT
} milo_dtype;

/*
 * Memory. What grows with the sizes of tensors, models, texts and files is asked for before it is
 * taken: MILO_ERR_NO_MEMORY, with the bytes needed and available (of the machine, or of the control
 * group that the process is in). Small allocations (names, messages, a program's representation)
 * have no error path. When one fails, fn is called with the bytes wanted; it should end the process
 * in the host's way, may not call Milo, and may be called by any thread. If it returns, or there is
 * none (NULL, the default), a message goes to standard error and the process is aborted. Readers
 * bound what a file can ask for, so that input alone does not bring it about.
 *
 * For the whole process; to be set before other threads use Milo.
 */
typedef void milo_out_of_memory_fn(void *user, size_t bytes);
MILO_API void milo_set_out_of_memory(milo_out_of_memory_fn *fn, void *user);

typedef struct milo_ctx milo_ctx;
typedef struct milo_program milo_program;
typedef struct milo_kernel milo_kernel;
typedef struct milo_buffer milo_buffer;
typedef struct milo_model milo_model;
typedef struct milo_tokenizer milo_tokenizer;
typedef struct milo_session milo_session;

/* ---- context ------------------------------------------------------------------------------- */

typedef struct milo_ctx_options {
  size_t struct_bytes;
  int threads;          /* worker threads in all; 0: as many as the process may use */
  const char *cpu_mask; /* comma list of instruction sets to allow ("avx2,f16c"); NULL: all found */
} milo_ctx_options;

/* options may be NULL. After a failure milo_error(NULL) says why. */
MILO_API MILO_MUST_USE milo_status milo_ctx_create(const milo_ctx_options *options,
                                                   milo_ctx **out_ctx);
/* May come before what was made from the context is destroyed: all of that stays usable, and
   kernels and sessions keep the context's threads and devices until the last of them is gone. */
MILO_API void milo_ctx_destroy(milo_ctx *ctx);

/* Text of the last failure on this context, "" if there was none; valid until the next call.
   NULL: of this thread's last milo_ctx_create. */
MILO_API const char *milo_error(const milo_ctx *ctx);
MILO_API const char *milo_status_name(milo_status status);
MILO_API const char *milo_version(void);
/* Instruction sets that the processor has and cpu_mask allows ("avx2,fma,f16c"). */
MILO_API const char *milo_ctx_cpu(const milo_ctx *ctx);
MILO_API int milo_ctx_threads(const milo_ctx *ctx);
/* Measures how many bytes a second all threads of the context read from memory together: what
   bounds generation, which reads each weight once a token. Takes 256 MiB and less than a second. */
MILO_API MILO_MUST_USE milo_status milo_ctx_read_speed(milo_ctx *ctx, double *out_bytes_per_second);

/* One way to multiply matrices on the cpu device. Strings live as long as the library. */
typedef struct milo_cpu_row {
  const char *mode; /* how operands are read: "exact" (as fp32), "bf16", "int8" */
  const char *name; /* "avx512_bf16" */
  bool available;   /* the processor has what it needs, and cpu_mask allows it */
  bool chosen;      /* products of the mode use it; without one they are exact */
  double gops;      /* 1e9 additions and multiplications a second on one core, operands in its L1
                       cache, measured once a process; 0: not available */
} milo_cpu_row;

/* Copies up to max rows to out, returns how many there are. */
MILO_API size_t milo_ctx_cpu_rows(const milo_ctx *ctx, milo_cpu_row *out, size_t max);

/* Name as MIL spells it ("fp16"); NULL for an invalid value. Bits of one element; 0 for strings. */
MILO_API const char *milo_dtype_name(milo_dtype dtype);
MILO_API size_t milo_dtype_bits(milo_dtype dtype);
/* MILO_DTYPE_NONE if there is no such type. */
MILO_API milo_dtype milo_dtype_find(const char *name);

/* ---- files ---------------------------------------------------------------------------------- */

/* Wherever a path is read or written once, pipes will do, and /dev/stdin, /dev/stdout and
   /dev/fd/N are the open descriptors themselves, read and written from where they stand. */

/* A whole file, with a NUL after its end; released with milo_free. */
MILO_API MILO_MUST_USE milo_status milo_file_load(milo_ctx *ctx, const char *path, char **out_data,
                                                  size_t *out_bytes);
/* Atomic: a temporary file beside path, synced, then renamed; a failure leaves the old file. What
   is no regular file (a pipe, a descriptor) is written directly. */
MILO_API MILO_MUST_USE milo_status milo_file_save(milo_ctx *ctx, const char *path, const void *data,
                                                  size_t bytes);

/* ---- arrays and .npy files ------------------------------------------------------------------ */

/* A dense host tensor. Owned data is freed by milo_array_deinit. */
typedef struct milo_array {
  milo_dtype dtype;
  int rank;
  int64_t shape[MILO_MAX_RANK];
  void *data;
  size_t bytes;
} milo_array;

MILO_API MILO_MUST_USE milo_status milo_array_create(milo_ctx *ctx, milo_dtype dtype, int rank,
                                                     const int64_t *shape, milo_array *out_array);
MILO_API void milo_array_deinit(milo_array *array);
/* The same numbers as another type. Floats are rounded to the nearest; a number that the type has
   no room for is MILO_ERR_INVALID: a finite one that would become infinite, and, for integers and
   bools, a fraction, a NaN, or one out of range. */
MILO_API MILO_MUST_USE milo_status milo_array_cast(milo_ctx *ctx, const milo_array *array,
                                                   milo_dtype dtype, milo_array *out_array);
/* NumPy format, versions 1-3, C order. bf16 and fp8 have no NumPy type: MILO_ERR_UNSUPPORTED. */
MILO_API MILO_MUST_USE milo_status milo_npy_load(milo_ctx *ctx, const char *path,
                                                 milo_array *out_array);
/* Atomic: a temporary file beside path, then rename. */
MILO_API MILO_MUST_USE milo_status milo_npy_save(milo_ctx *ctx, const char *path,
                                                 const milo_array *array);

/* ---- programs ------------------------------------------------------------------------------- */

/* A .mil text file; weight blobs named "@model_path/..." are looked for in the file's folder (the
   current one for an open descriptor). */
MILO_API MILO_MUST_USE milo_status milo_program_load(milo_ctx *ctx, const char *path,
                                                     milo_program **out_program);
/* text need not end in NUL and is not kept. name: shown in messages. model_path: what
   "@model_path" stands for; NULL: blob files are not looked for, and a program that names some can
   be verified, inspected and printed, but not run. */
MILO_API MILO_MUST_USE milo_status milo_program_parse(milo_ctx *ctx, const char *text,
                                                      size_t text_bytes, const char *name,
                                                      const char *model_path,
                                                      milo_program **out_program);
MILO_API void milo_program_destroy(milo_program *program);
/* Types, shapes, arguments, names. All errors found stand in milo_error. */
MILO_API MILO_MUST_USE milo_status milo_program_verify(milo_ctx *ctx, const milo_program *program);
/* What a program may hold and most likely should not: operations and opsets that Milo does not
   know, numbers that became infinities. How many; milo_error then holds them, as "warning: ...". */
MILO_API size_t milo_program_lint(milo_ctx *ctx, const milo_program *program);
/* Canonical text; NUL-terminated, to be released with milo_free. */
MILO_API MILO_MUST_USE milo_status milo_program_print(milo_ctx *ctx, const milo_program *program,
                                                      char **out_text, size_t *out_bytes);
/* Canonical text to path, atomically. Tensor constants above 1,024 bytes, and those of blob files
   that "@model_path" does not lead to from path's folder, go to a blob file "<stem>.weights.bin"
   beside it ("<stem>.weights.1.bin", ... where the name is taken). At every instant the old pair of
   text and weights is there, or the new one; the old blob file is then removed, unless another text
   of the folder refers to it. */
MILO_API MILO_MUST_USE milo_status milo_program_save(milo_ctx *ctx, const milo_program *program,
                                                     const char *path);
MILO_API void milo_free(void *memory);

/* text as a JSON string with its quotes (what is not UTF-8 becomes U+FFFD); value as a JSON number
   that reads back the same, "null" if it is not finite. Released with milo_free. */
MILO_API char *milo_json_string(const char *text);
MILO_API char *milo_json_number(double value);

/* Inspection. Indices run from 0; an index or name that is not there gives 0 or NULL. */
MILO_API size_t milo_program_function_count(const milo_program *program);
MILO_API const char *milo_program_function_name(const milo_program *program, size_t function);

typedef struct milo_value_info {
  const char *name;
  milo_dtype dtype;
  int rank;                     /* -1: unknown, or not a tensor */
  int64_t shape[MILO_MAX_RANK]; /* -1: unknown */
  const char *type;             /* as MIL spells it */
} milo_value_info;

typedef struct milo_op_count {
  const char *name;
  size_t count;
  bool supported; /* ref runs it */
} milo_op_count;

typedef struct milo_weight_info {
  const char *name; /* value it defines */
  const char *file; /* blob file as the text names it, NULL if written in the text */
  milo_dtype dtype;
  uint64_t bytes;
} milo_weight_info;

/* function: NULL for the first. Copies up to max entries, returns how many there are. */
MILO_API size_t milo_program_inputs(const milo_program *program, const char *function,
                                    milo_value_info *out, size_t max);
MILO_API size_t milo_program_outputs(const milo_program *program, const char *function,
                                     milo_value_info *out, size_t max);
MILO_API size_t milo_program_op_counts(const milo_program *program, const char *function,
                                       milo_op_count *out, size_t max);
/* Tensor constants in blob files, and those of more than 1,024 bytes in the text. */
MILO_API size_t milo_program_weights(const milo_program *program, const char *function,
                                     milo_weight_info *out, size_t max);

/* The operations Milo knows, in the order of their table. NULL past the end. */
MILO_API const char *milo_op_name(size_t index);

/* ---- passes ------------------------------------------------------------------------------- */

/* The passes that simplify programs, in the order in which they run: names, and what they do. NULL
   past the end. */
MILO_API const char *milo_pass_name(size_t index);
MILO_API const char *milo_pass_summary(size_t index);

/* How activations and what backward reads of them are stored, and products read. Parameters, their
   gradients and moments, sums and statistics (norms, softmax, cross-entropy) are fp32 throughout.
 */
typedef enum milo_precision {
  MILO_PRECISION_DEFAULT, /* fp32 */
  MILO_PRECISION_FP32,
  MILO_PRECISION_BF16,
  MILO_PRECISION_FP16 /* with dynamic loss scaling unless loss_scale says otherwise */
} milo_precision;

typedef struct milo_optimize_options {
  size_t struct_bytes;
  const char *function;      /* NULL: all */
  const char *const *passes; /* names, in the order in which to run them; NULL: all */
  size_t pass_count;
  bool keep_composites;     /* leave rms_norm, attention, ... whole instead of public ops */
  milo_precision precision; /* what the pass narrow makes of it; default: nothing */
  /* Called after each pass with what it left, borrowed. A failure ends milo_program_optimize, which
     returns that status. May be NULL. */
  milo_status (*after_pass)(void *user, const char *function, const char *pass,
                            const milo_program *program);
  void *user;
} milo_optimize_options;

/* The program as passes leave it, for those who develop them: what is compiled, and what is
   differentiated, they see to in any case. options may be NULL.

   The environment variable MILO_DUMP names a folder (made if need be) that gets a numbered text
   after each pass of every compile, differentiation and milo_program_optimize of a context made
   since, NNNN-FUNCTION-PASS.mil; one that cannot be written makes these fail. */
MILO_API MILO_MUST_USE milo_status milo_program_optimize(milo_ctx *ctx, const milo_program *program,
                                                         const milo_optimize_options *options,
                                                         milo_program **out_program);

/* ---- differentiation ------------------------------------------------------------------------ */

typedef struct milo_grad_options {
  size_t struct_bytes;
  const char *function;   /* NULL: the first */
  const char *const *wrt; /* inputs to differentiate; NULL: every floating-point input */
  size_t wrt_count;
  bool split;                    /* two functions: <name>_forward (with taps) and <name>_backward */
  bool keep_composites;          /* leave rms_norm, attention, ... whole instead of public ops */
  const milo_value_info *inputs; /* concrete shapes for inputs whose shape is unknown, by name */
  size_t input_count;
  const char *prefix;       /* of gradients, and of seeds if these have none; NULL: "grad_" */
  const char *seed_prefix;  /* of seeds */
  milo_precision precision; /* bf16, fp16: activations are stored so, see the pass narrow */
} milo_grad_options;

/*
 * A program that computes outputs and gradients. Without split, one function takes the inputs and
 * a seed "grad_<output>" for each floating-point output and returns the outputs, then
 * "grad_<input>" for each of wrt: the vector-Jacobian product. A seed has its output's type.
 * MILO_ERR_INVALID if an input or output has such a name already: the prefixes give other names.
 * (An input that is an output too always needs two that differ.)
 */
MILO_API MILO_MUST_USE milo_status milo_program_grad(milo_ctx *ctx, const milo_program *program,
                                                     const milo_grad_options *options,
                                                     milo_program **out_program);

/* ---- devices, kernels, buffers ----------------------------------------------------------------
 */

/* Names of the devices that can be opened here ("ref", "cpu"), in order. NULL past the end. */
MILO_API const char *milo_device_name(size_t index);

/* How products may read their operands; sums are fp32 in any case. A device that has no faster way
   for a mode is exact. */
typedef enum milo_products {
  MILO_PRODUCTS_EXACT = 0, /* as they are */
  MILO_PRODUCTS_BF16 = 1   /* rounded to bf16 */
} milo_products;

typedef struct milo_compile_options {
  size_t struct_bytes;
  const char *function;          /* NULL: the first */
  const char *device;            /* NULL: "cpu" */
  const milo_value_info *inputs; /* concrete shapes for inputs whose shape is unknown, by name */
  size_t input_count;
  const char *const *parameters; /* inputs that change seldom: the device may keep packed copies */
  size_t parameter_count;
  milo_products products;
  bool strict;          /* refuse programs of which the device itself does not run all */
  bool keep_compressed; /* decompress stored constants in each run, instead of once */
  bool profile;         /* for milo_kernel_profile */
} milo_compile_options;

/* The program is not needed after the call. Operations that the device does not run run on "cpu",
   see milo_kernel_fallbacks. */
MILO_API MILO_MUST_USE milo_status milo_compile(milo_ctx *ctx, const milo_program *program,
                                                const milo_compile_options *options,
                                                milo_kernel **out_kernel);
MILO_API void milo_kernel_destroy(milo_kernel *kernel);
/* A second kernel on the same compiled program, with bindings of its own, for another context (and
   so another thread) or the same one. The first may run meanwhile; each is destroyed on its own. */
MILO_API MILO_MUST_USE milo_status milo_kernel_share(milo_ctx *ctx, const milo_kernel *kernel,
                                                     milo_kernel **out_kernel);
/* Operations that the device does not run, a line each ("y: non_zero runs on ref, not on cpu"); ""
   if it runs all. */
MILO_API const char *milo_kernel_fallbacks(const milo_kernel *kernel);
/* Dimensions of outputs that depend on values are -1 until a run has computed them; with each run
   shape and type are those of its outputs. */
MILO_API size_t milo_kernel_inputs(const milo_kernel *kernel, milo_value_info *out, size_t max);
MILO_API size_t milo_kernel_outputs(const milo_kernel *kernel, milo_value_info *out, size_t max);
/* Bytes that the kernel holds for intermediates. */
MILO_API size_t milo_kernel_scratch_bytes(const milo_kernel *kernel);

/* Memory of tensors, zeroed. Where it lies is a device's matter: contents are read and written
   through the calls below. A buffer may be shared by kernels of several contexts while nobody
   writes it. */
MILO_API MILO_MUST_USE milo_status milo_buffer_create(milo_ctx *ctx, size_t bytes,
                                                      milo_buffer **out_buffer);
MILO_API void milo_buffer_retain(milo_buffer *buffer);
MILO_API void milo_buffer_release(milo_buffer *buffer);
MILO_API size_t milo_buffer_bytes(const milo_buffer *buffer);
/* Grows with every change of the content. */
MILO_API uint64_t milo_buffer_version(const milo_buffer *buffer);

/* MILO_ERR_INVALID if [offset, offset + bytes) does not lie inside. */
MILO_API MILO_MUST_USE milo_status milo_buffer_read(const milo_buffer *buffer, size_t offset,
                                                    void *out_data, size_t bytes);
MILO_API MILO_MUST_USE milo_status milo_buffer_write(milo_buffer *buffer, size_t offset,
                                                     const void *data, size_t bytes);

typedef enum milo_access { MILO_READ = 1, MILO_WRITE = 2, MILO_READ_WRITE = 3 } milo_access;
/* All bytes at once, in place where the memory is the host's, until milo_buffer_unmap with the same
   access. With MILO_WRITE alone the old content may be gone: write all of it. No kernel may run on
   the buffer meanwhile. NULL: no memory, or the device's memory cannot be reached. */
MILO_API void *milo_buffer_map(milo_buffer *buffer, milo_access access);
MILO_API MILO_MUST_USE milo_status milo_buffer_unmap(milo_buffer *buffer, void *data,
                                                     milo_access access);

/* Binds a buffer (retained) to the input or output of that name. The buffer must be large enough.
   An output that was never bound gets a buffer of its own, one of unknown shape a new one with each
   run: it cannot be bound. */
MILO_API MILO_MUST_USE milo_status milo_kernel_bind(milo_kernel *kernel, const char *name,
                                                    milo_buffer *buffer);
/* The buffer bound to a name, borrowed; NULL if there is none. */
MILO_API milo_buffer *milo_kernel_buffer(milo_kernel *kernel, const char *name);
/* Every input must be bound but for states, which then begin as zeros: a run reads and writes their
   buffer. Returns when the outputs are complete. */
MILO_API MILO_MUST_USE milo_status milo_kernel_run(milo_kernel *kernel);

/* Times by operation, in order, since the kernel was made. Copies up to max, returns how many there
   are: 0 unless compiled with profile. */
typedef struct milo_profile {
  const char *op, *result, *device; /* "" where a step is the device's own */
  double seconds;                   /* of all runs */
  uint64_t count;
} milo_profile;
MILO_API size_t milo_kernel_profile(const milo_kernel *kernel, milo_profile *out, size_t max);

/* How far a long call is: done of total, in units of `what` ("bytes read", "tokens learnt"). A call
   may go through several kinds of work, one after the other. */
typedef struct milo_progress {
  const char *what;
  uint64_t done, total;
} milo_progress;

/* ---- tokenizers ------------------------------------------------------------------------------ */

/* llama2.c's tokenizer.bin. vocab: number of tokens, 0: as many as the file holds. */
MILO_API MILO_MUST_USE milo_status milo_tokenizer_load(milo_ctx *ctx, const char *path,
                                                       size_t vocab,
                                                       milo_tokenizer **out_tokenizer);
typedef struct milo_tokenizer_options {
  size_t struct_bytes;
  /* Called now and then; return false to stop (MILO_ERR_INTERRUPTED). May be NULL. */
  bool (*on_progress)(void *user, const milo_progress *progress);
  void *user;
} milo_tokenizer_options;

/* Byte-pair encoding learnt from text: 3 control tokens, 256 bytes, then characters and merges by
   frequency, vocab tokens in all (>= 300). Deterministic. options may be NULL. */
MILO_API MILO_MUST_USE milo_status milo_tokenizer_train(milo_ctx *ctx, const char *text,
                                                        size_t text_bytes, size_t vocab,
                                                        const milo_tokenizer_options *options,
                                                        milo_tokenizer **out_tokenizer);
MILO_API MILO_MUST_USE milo_status milo_tokenizer_save(milo_ctx *ctx,
                                                       const milo_tokenizer *tokenizer,
                                                       const char *path);
MILO_API void milo_tokenizer_destroy(milo_tokenizer *tokenizer);
MILO_API size_t milo_tokenizer_vocab(const milo_tokenizer *tokenizer);
/* bos: put the begin-of-sequence token (1) first. *out_ids: released with milo_free. */
MILO_API MILO_MUST_USE milo_status milo_tokenizer_encode(milo_ctx *ctx,
                                                         const milo_tokenizer *tokenizer,
                                                         const char *text, size_t text_bytes,
                                                         bool bos, uint32_t **out_ids,
                                                         size_t *out_count);
/* Text to train on: its documents, BOS before each. "<|endoftext|>" separates documents, which lose
   the white space around them; a text without it is one document, kept whole. MILO_ERR_INVALID if
   there is none. options may be NULL. */
MILO_API MILO_MUST_USE milo_status milo_tokenizer_encode_documents(
    milo_ctx *ctx, const milo_tokenizer *tokenizer, const char *text, size_t text_bytes,
    const milo_tokenizer_options *options, uint32_t **out_ids, size_t *out_count);
/* Text of a sequence, without control tokens; the space put before the first word
   (and the first after each BOS) is taken off. */
MILO_API MILO_MUST_USE milo_status milo_tokenizer_decode(milo_ctx *ctx,
                                                         const milo_tokenizer *tokenizer,
                                                         const uint32_t *ids, size_t count,
                                                         char **out_text, size_t *out_bytes);

/* Token streams: flat little-endian uint16 (*.u16) or uint32 (*.u32); under another name uint16, or
   uint32 where vocab > 65,536. Every id is checked against vocab. *out_ids: released with
   milo_free. */
MILO_API MILO_MUST_USE milo_status milo_tokens_load(milo_ctx *ctx, const char *path, size_t vocab,
                                                    uint32_t **out_ids, size_t *out_count);
MILO_API MILO_MUST_USE milo_status milo_tokens_save(milo_ctx *ctx, const char *path, size_t vocab,
                                                    const uint32_t *ids, size_t count);

/* ---- models --------------------------------------------------------------------------------- */

enum { MILO_MAX_STOP_TOKENS = 8 };

/* A Llama-style transformer. All counts > 0 unless said. */
typedef struct milo_model_config {
  size_t struct_bytes;
  int64_t dim, hidden, layers, heads, kv_heads, head_dim, seq, vocab;
  /* kv_heads 0: heads; head_dim 0: dim / heads, which must then be whole */
  double rope_theta;   /* 0: 10000 */
  double norm_epsilon; /* 0: 1e-5 */
  bool rope_half;      /* pairs (i, i + head_dim/2) instead of (2i, 2i+1) */
  bool qk_norm;        /* RMSNorm of each head of q and k */
  bool untied;         /* classifier has weights of its own */
  int32_t stop_count; /* of stop_tokens; 0: the two of llama2.c's vocabularies, 1 and 2; -1: none */
  uint32_t stop_tokens[MILO_MAX_STOP_TOKENS]; /* generation ends before one of these, see
                                                 milo_model_stops */
  double residual_scale; /* of what attention and ffn add to their input; 0: 1 */
} milo_model_config;

/* A built-in model by name ("stories260K", "stories15M", "stories42M", "stories110M",
   "qwen3-0.6b"), a JSON
   description file, a folder written by milo_train, or one of Hugging Face's (see milo_model_load;
   the shape alone is read). */
MILO_API MILO_MUST_USE milo_status milo_model_config_load(milo_ctx *ctx, const char *name_or_path,
                                                          milo_model_config *out_config);
MILO_API const char *milo_model_name(size_t index); /* built-in names; NULL past the end */
/* Random weights: normal(0, 0.02), projections back into the residual stream times 1/sqrt(2 L),
   norms 1. The same seed gives the same bits everywhere. */
MILO_API MILO_MUST_USE milo_status milo_model_create(milo_ctx *ctx, const milo_model_config *config,
                                                     uint64_t seed, milo_model **out_model);
/* Other random weights, with all norms 1. MILO_INIT_NORMAL: milo_model_create's.
   MILO_INIT_UNIFORM: within 1/sqrt(columns) of 0, projections back into the residual stream times
   1/sqrt(2 L), embedding and classifier within 0.02. MILO_ERR_UNSUPPORTED: not stored in fp32. */
typedef enum milo_init { MILO_INIT_NORMAL, MILO_INIT_UNIFORM } milo_init;
MILO_API MILO_MUST_USE milo_status milo_model_init(milo_ctx *ctx, milo_model *model, milo_init init,
                                                   uint64_t seed);
/* llama2.c .bin (version 0, or version 1 with magic "ak42"), a folder written by milo_train, or one
   of Hugging Face's: config.json of LlamaForCausalLM or Qwen3ForCausalLM and safetensors, one file
   or several with an index, F32, F16 or BF16 (also the path of a .safetensors file with config.json
   beside it), or a BLZT checkpoint (docs/formats.md). MILO_ERR_UNSUPPORTED, by name, for what
   config.json asks for and Milo does not compute: scaled RoPE, biases, sliding windows, quantised
   weights. */
MILO_API MILO_MUST_USE milo_status milo_model_load(milo_ctx *ctx, const char *path,
                                                   milo_model **out_model);
/*
 * Stores the model's matrices as dtype from now on, embedding and classifier too; norms stay fp32.
 *   MILO_FP32, MILO_BF16, MILO_FP16   w rounded to nearest
 *   MILO_INT8                         w = q * scale, q from -127 to 127, an fp32 scale for each
 *                                     group of `group` weights side by side in a row; 0: for each
 *                                     row. scale = max|w| / 127: no weight is off by more than
 *                                     max|w| / 254 of its group
 * What is lost by rounding stays lost. Generation and evaluation read weights as they are stored;
 * training needs MILO_FP32. No session may hold the model. MILO_ERR_NUMERIC: a weight is beyond
 * what dtype holds. After a failure all is as before.
 */
MILO_API MILO_MUST_USE milo_status milo_model_store(milo_ctx *ctx, milo_model *model,
                                                    milo_dtype dtype, size_t group);
/* What milo_model_store was given; files may hold matrices of several types: the embedding's. */
MILO_API milo_dtype milo_model_stored(const milo_model *model, size_t *out_group);
/* Of its weights and their scales, in memory. */
MILO_API uint64_t milo_model_weight_bytes(const milo_model *model);
/* llama2.c version 0 (version 1 with the magic if version1), in fp32 however the model is stored.
 */
MILO_API MILO_MUST_USE milo_status milo_model_save(milo_ctx *ctx, const milo_model *model,
                                                   const char *path, bool version1);
/* Why no llama2.c file can hold the model ("qk_norm is set"): milo_model_save then gives
   MILO_ERR_UNSUPPORTED, and milo_train writes no model.bin. NULL: one can. */
MILO_API const char *milo_model_save_obstacle(const milo_model *model);
/* What models on disk can be converted to: "milo", "hf", "llama2c", "llama2c-v1", "blzt",
   "blzt-v2", "blzt-v4". NULL past the end. */
MILO_API const char *milo_form_name(size_t index);
typedef struct milo_convert_options {
  size_t struct_bytes;
  const char *to; /* a form; NULL: by the path: .bin llama2c, .safetensors or a folder hf, .blzt */
  bool force;     /* replace what is there; without it that is MILO_ERR_INVALID */
} milo_convert_options;
typedef struct milo_convert_result {
  const char *from, *to; /* for people: "a llama2.c file" */
  uint64_t parameters;
  bool has_moments; /* the optimizer's are there too */
} milo_convert_result;
/* Reads whatever milo_model_load reads and writes it to path in another form, atomically. RoPE
   pairs are reordered where the forms differ in them: the model computes the same. Weights are
   fp32. Optimizer's moments and the count of steps go from a run's folder or BLZT file to a BLZT
   file. tokenizer.bin goes along from folder to folder. MILO_ERR_UNSUPPORTED: the form cannot hold
   the model, and why. options and out_result may be NULL. */
MILO_API MILO_MUST_USE milo_status milo_convert(milo_ctx *ctx, const char *from, const char *path,
                                                const milo_convert_options *options,
                                                milo_convert_result *out_result);
/* May come before a session of the model is destroyed, which keeps it. */
MILO_API void milo_model_destroy(milo_model *model);
MILO_API void milo_model_get_config(const milo_model *model, milo_model_config *out_config);
MILO_API uint64_t milo_model_parameter_count(const milo_model *model);
/* Is it a stop token of the model? */
MILO_API bool milo_model_stops(const milo_model *model, uint32_t token);

/* ---- sessions ---------------------------------------------------------------------------------
 */

/* A sequence that a model reads, token by token or many at once, and what comes after it. */
typedef struct milo_session_options {
  size_t struct_bytes;
  const char *device; /* NULL: "cpu" */
  size_t limit;       /* tokens at most, at most the model's seq; 0: seq */
  /* Asked between layers; return true to end a feed with MILO_ERR_INTERRUPTED. May be NULL. */
  bool (*stop)(void *user);
  void *user;
  milo_dtype cache; /* of keys and values: MILO_FP32 (default), MILO_FP16, MILO_BF16 */
} milo_session_options;

/* Takes memory for the tokens that are read, not for the limit. The session keeps model and context
   until it is destroyed; it reads the model's weights with every feed. options may be NULL. */
MILO_API MILO_MUST_USE milo_status milo_session_create(milo_ctx *ctx, milo_model *model,
                                                       const milo_session_options *options,
                                                       milo_session **out_session);
MILO_API void milo_session_destroy(milo_session *session);
MILO_API size_t milo_session_length(const milo_session *session); /* tokens read */
MILO_API size_t milo_session_limit(const milo_session *session);
/* Bytes of its cache of keys and values. */
MILO_API size_t milo_session_cache_bytes(const milo_session *session);
/* Reads count more tokens (>= 1). After a failure (MILO_ERR_INVALID: a token is not in the
   vocabulary, or they are more than the limit; MILO_ERR_NUMERIC: a logit is not finite) the session
   is as it was. The same tokens in other parts give the same logits but for rounding. */
MILO_API MILO_MUST_USE milo_status milo_session_feed(milo_session *session, const uint32_t *tokens,
                                                     size_t count);
/* Of the next token, [vocab]; valid until the next feed. NULL: nothing was read yet, or since
   milo_session_rewind forgot tokens. */
MILO_API const float *milo_session_logits(const milo_session *session);
/* Draws the next token, but does not read it: feed it to go on. temperature 0: the likeliest, the
   first of equals. top_p: among the likeliest that reach it together; 0 or 1: off. The draw is a
   function of seed, length and logits. MILO_ERR_INVALID where milo_session_logits is NULL. */
MILO_API MILO_MUST_USE milo_status milo_session_sample(milo_session *session, double temperature,
                                                       double top_p, uint64_t seed,
                                                       uint32_t *out_token);
/* Forgets all but the first length tokens, at once. MILO_ERR_INVALID: fewer were read. */
MILO_API MILO_MUST_USE milo_status milo_session_rewind(milo_session *session, size_t length);

/* Of a sequence of 1 to seq tokens: the logits after each, out [count, vocab]. device: NULL: "cpu".
   After a failure out's content means nothing. */
MILO_API MILO_MUST_USE milo_status milo_model_logits(milo_ctx *ctx, const milo_model *model,
                                                     const char *device, const uint32_t *ids,
                                                     size_t count, float *out);
/* Of a sequence of 2 to seq + 1 tokens: the cross-entropy of each after the first, given all before
   it, out [count - 1]. */
MILO_API MILO_MUST_USE milo_status milo_model_losses(milo_ctx *ctx, const milo_model *model,
                                                     const char *device, const uint32_t *ids,
                                                     size_t count, float *out);

/* ---- generation and evaluation -----------------------------------------------------------------
 */

typedef struct milo_generate_options {
  size_t struct_bytes;
  const char *device; /* NULL: "cpu" */
  size_t steps;       /* tokens in all, prompt included, at most the model's seq; 0: seq */
  double temperature; /* 0: greedy */
  double top_p;       /* 0 or 1: off */
  uint64_t seed;
  /* Called for every token after the first, the prompt's included; return false to stop.
     May be NULL. */
  bool (*on_token)(void *user, uint32_t id);
  /* Asked between layers, so also while a prompt is read; return true to stop. May be NULL. */
  bool (*stop)(void *user);
  void *user;
  milo_dtype cache; /* of keys and values: MILO_FP32 (default), MILO_FP16, MILO_BF16 */
} milo_generate_options;

typedef struct milo_generate_stats {
  size_t prompt_tokens, generated_tokens;
  double prefill_s, decode_s;
} milo_generate_stats;

/* Continues prompt (>= 1 token) until steps tokens stand there or a stop token is drawn.
 *out_ids (may be NULL): all tokens, prompt included, released with milo_free. */
MILO_API MILO_MUST_USE milo_status milo_generate(milo_ctx *ctx, const milo_model *model,
                                                 const uint32_t *prompt, size_t prompt_count,
                                                 const milo_generate_options *options,
                                                 uint32_t **out_ids, size_t *out_count,
                                                 milo_generate_stats *out_stats);

typedef struct milo_eval_result {
  double loss; /* mean cross-entropy, nats a token */
  double perplexity;
  uint64_t tokens; /* predictions scored */
  double seconds;
} milo_eval_result;

typedef struct milo_eval_options {
  size_t struct_bytes;
  const char *device;                                             /* NULL: "cpu" */
  size_t seq;                                                     /* chunk length; 0: the model's */
  size_t max_tokens;                                              /* 0: all */
  bool (*on_progress)(void *user, uint64_t done, uint64_t total); /* false stops; may be NULL */
  bool (*stop)(void *user); /* asked between layers; true: MILO_ERR_INTERRUPTED; may be NULL */
  /* Called with each chunk's cross-entropies, in order; may be NULL. */
  void (*on_losses)(void *user, const float *losses, size_t count);
  void *user;
} milo_eval_options;

/* ids are cut into chunks of seq inputs, each followed by its target. What is left at the end is
   not scored, so that all chunks count alike; fewer ids than a chunk are one short chunk. */
MILO_API MILO_MUST_USE milo_status milo_eval(milo_ctx *ctx, const milo_model *model,
                                             const uint32_t *ids, size_t count,
                                             const milo_eval_options *options,
                                             milo_eval_result *out_result);

/* ---- training ------------------------------------------------------------------------------- */

/* What one report holds; fields that a report has no value for are NaN. */
typedef struct milo_train_report {
  uint64_t step, steps; /* steps done, steps wanted */
  double loss;          /* mean over the step's tokens, nats */
  double grad_norm;     /* global L2 norm before clipping */
  double learning_rate;
  double val_loss;          /* set when this step was evaluated */
  double tokens_per_second; /* of this run so far */
  double step_s;            /* seconds of this step, evaluation not counted */
  double eta_s;
  uint64_t tokens;   /* seen since the first step, resumed runs included */
  double loss_scale; /* of the next step's gradients; 1: they are not scaled */
  uint64_t skipped;  /* steps whose scaled gradients overflowed, resumed runs included; grad_norm of
                        such a step is NaN */
} milo_train_report;

/* How a training step is cut into programs. It never changes the maths, only rounding and speed. */
typedef enum milo_train_plan {
  MILO_PLAN_DEFAULT, /* fused */
  MILO_PLAN_FUSED,   /* few, large programs */
  MILO_PLAN_DYNAMIC, /* ten programs in all, weights packed into their inputs; fp32 and fp16 */
  MILO_PLAN_STATIC   /* weights in the programs, five a layer, compiled every step; fp32 and fp16 */
} milo_train_plan;
/* Of plan 1, 2, ...; NULL past the end. */
MILO_API const char *milo_plan_name(size_t plan);
MILO_API const char *milo_plan_summary(size_t plan);

/* The rate of step s = 0, 1, ... of S after the warm-up, over its peak; r = min_lr_ratio. */
typedef enum milo_schedule {
  MILO_SCHEDULE_DEFAULT, /* cosine */
  MILO_SCHEDULE_COSINE,  /* r + (1 - r) (1 + cos(pi s / S)) / 2 */
  MILO_SCHEDULE_LINEAR,  /* 1 - (1 - r) s / S */
  MILO_SCHEDULE_CONSTANT,
  MILO_SCHEDULE_WSD /* 1, and linearly to r over the last decay_steps */
} milo_schedule;

typedef enum milo_optimizer_kind {
  MILO_OPTIMIZER_DEFAULT, /* AdamW */
  MILO_OPTIMIZER_ADAMW,   /* param' = param - lr (m/(sqrt(v)+epsilon) + weight_decay param) */
  MILO_OPTIMIZER_ADAM     /* weight_decay times param is a part of the gradient */
} milo_optimizer_kind;

typedef struct milo_train_options {
  size_t struct_bytes;
  const char *device;  /* NULL: "cpu" */
  const char *out_dir; /* checkpoint and model files; NULL: nothing is written */
  bool resume;         /* continue from out_dir's checkpoint */
  bool force;          /* replace the run that out_dir holds; without it that is refused */
  uint64_t steps;      /* default 1000; resumed, it may be more than the run was begun with */
  uint64_t stop_after; /* stop (and save) after this step; 0: never */
  size_t batch;        /* default 8 */
  size_t seq;          /* default: the model's */
  size_t accumulate;   /* micro-batches a step, default 1 */
  double lr;           /* peak, default 1e-3 */
  double min_lr_ratio; /* end of the schedule over its peak, default 0.1; negative: 0 */
  uint64_t warmup;     /* steps, default min(100, steps / 10) */
  double beta1, beta2; /* default 0.9, 0.95; of Adam 0.9, 0.999 */
  double epsilon;      /* default 1e-8 */
  double weight_decay; /* on matrices only, default 0.1, of Adam 0; negative: 0 */
  double clip;         /* global norm, default 1; negative: off */
  uint64_t seed;       /* data order, default 0 */
  double val_fraction; /* last part of the tokens held back, default 0.05; negative: none */
  uint64_t eval_every; /* default 250 */
  size_t eval_batches; /* default 20 */
  uint64_t save_every; /* default: with every evaluation */
  milo_precision precision;
  /* What gradients are multiplied by while they are computed, from 2^-14 to 2^100: a step that
     overflows is skipped and counted. Negative: dynamic, from its magnitude, halved by an overflow,
     doubled after 2,000 steps without. Default 1, for fp16 -65536. */
  double loss_scale;
  milo_train_plan plan;
  /* Programs that this process may compile for the device, for the plan static where a process has
     a limit; 0: any number. Used up, the state is saved and the run ends with MILO_ERR_INTERRUPTED
     and budget_spent: a new process goes on with resume, with the same result. Needs out_dir. */
  uint64_t compile_budget;
  /* A BLZT checkpoint to go on from: its weights take the place of the model's, which must have its
     shape, its moments are the optimizer's, and the run begins after as many steps as its optimizer
     had made. Not with resume. NULL: none. */
  const char *resume_from;
  milo_schedule schedule;
  uint64_t decay_steps; /* of MILO_SCHEDULE_WSD, default steps / 5 */
  milo_optimizer_kind optimizer;
  /* Only the tokens that occur in ids take part in embedding and classifier: less memory and time
     where the vocabulary is large. Losses are then over those tokens: where all occur, the same.
     The model, and what is saved, stays whole; rows of other tokens are not changed. */
  bool compact_vocab;
  /* After every step; return false to save and stop (MILO_ERR_INTERRUPTED). May be NULL. */
  bool (*on_step)(void *user, const milo_train_report *report);
  /* Asked between layers and micro-batches, in steps and evaluations; return true to save and stop
     (MILO_ERR_INTERRUPTED). May be NULL. See milo_train. */
  bool (*stop)(void *user);
  void *user;
} milo_train_options;

typedef struct milo_train_result {
  milo_train_report last;
  double best_val_loss;
  uint64_t peak_memory_bytes; /* of the process */
  /* Steps of the earlier part of a resumed run of which metrics.jsonl has no line any more. */
  uint64_t lost_metrics;
  uint64_t compiles; /* programs compiled for the device by the plans dynamic and static */
  bool budget_spent; /* compile_budget ended the run before its last step */
  /* Where this run's time went, in seconds; what is left of wall_s is the host's. */
  double wall_s;
  double compile_s; /* before the first step: programs and memory */
  double device_s;  /* forward, backward, optimizer and evaluation */
  double io_s;      /* checkpoints, models and metrics, read and written */
  uint64_t kernels; /* programs that were compiled */
  /* Of training: 6 a weight of each matrix (2 forward, 4 backward; the embedding counts as the
     classifier) and 12 layers * heads * head_dim * seq of attention. 0 for milo_fit. */
  double flops_per_token;
} milo_train_result;

/*
 * Whether milo_train could begin in options' out_dir now: MILO_ERR_INVALID if it holds a run and
 * neither resume nor force is set, MILO_ERR_NOT_FOUND if there is none to resume, MILO_ERR_IO if
 * another process trains there or it cannot be written. milo_train asks the same; this is for
 * programs that have long work to do before.
 */
MILO_API MILO_MUST_USE milo_status milo_train_check(milo_ctx *ctx,
                                                    const milo_train_options *options);

/*
 * Trains model in place on ids. With out_dir: metrics.jsonl (a line a step), checkpoint.milo
 * (written atomically, holds parameters, moments and position), model.bin (llama2.c), and
 * model.json. A checkpoint replaces the one before when the loss with its weights is known to be
 * finite. The result of a run does not depend on threads or on being stopped and resumed.
 *
 * One process at a time trains into a folder: it holds run.lock there, which is free again when the
 * process ends in any way. A resumed run takes every option that is 0 from its checkpoint and
 * refuses others than it had, but for the number of steps, which may grow (also of a run that is
 * finished): from there on the rate is that of a run that had been begun with so many steps, with
 * the warm-up it had. What was done keeps the rates it had. With a constant rate (min_lr_ratio 1)
 * the result is bit for bit that of such a run.
 *
 * Told to stop by on_step or stop, it saves the state after the last complete step. A step under
 * way is abandoned: its parts leave parameters and moments alone, and it is taken anew when the run
 * is resumed, with the same result. stop takes effect at once, but for one case: where there are
 * steps to save, the loss with their weights is awaited, as for every checkpoint, which takes the
 * forward part of one micro-batch at most.
 */
MILO_API MILO_MUST_USE milo_status milo_train(milo_ctx *ctx, milo_model *model, const uint32_t *ids,
                                              size_t count, const milo_train_options *options,
                                              milo_train_result *out_result);

/* A smoke test of a device: one layer of that description learns 0.1 sin(0.03 i + 1), element i of
   its output, from inputs within +-0.1, by the mean of the squared differences, on the kernels of
   the plan static (default) or dynamic. Of options count device, steps (default 100), seq, lr
   (default 1e-3), precision, loss_scale, seed and the callbacks; nothing is kept. The loss falls
   with every step. */
MILO_API MILO_MUST_USE milo_status milo_train_regression(milo_ctx *ctx,
                                                         const milo_model_config *config,
                                                         const milo_train_options *options,
                                                         milo_train_result *out_result);

/* ---- programs of a plan -----------------------------------------------------------------------
 */

/* A tensor that a program's packed input or output holds: a rectangle of it. */
typedef struct milo_part_info {
  const char *name;
  bool output;
  bool weight; /* staged into the input */
  int64_t channel, column, channels, columns;
} milo_part_info;

/* One program of a plan; strings and arrays live as long as the call that gives it. */
typedef struct milo_plan_program {
  const char *name, *what;
  size_t compiles;         /* of a model, in a step of the plan; 0: offered beside it */
  size_t part, part_count; /* a classifier that takes several programs: which of them */
  uint64_t input_bytes, output_bytes;
  uint64_t flops; /* of matrix products and convolutions: 2 a term */
  size_t weights; /* baked into the program */
  uint64_t weight_bytes;
  const milo_part_info *parts; /* of packed inputs and outputs */
  size_t count_of_parts;
  const milo_program *program; /* borrowed; without the model its weights are references */
} milo_plan_program;

typedef struct milo_plan_list_options {
  size_t struct_bytes;
  milo_train_plan plan;
  bool blocks;  /* building blocks of dynamic and static instead of the plan's programs */
  size_t seq;   /* default: the model's */
  size_t batch; /* of fused, default 1 */
  milo_precision precision; /* default: fused fp32, the others fp16 */
  const milo_model *model;  /* weights to bake; NULL: none */
  size_t layer;             /* whose */
  /* A failure ends the list with that status. */
  milo_status (*each)(void *user, const milo_plan_program *program);
  void *user;
} milo_plan_list_options;
/* Calls each for every program that a training step of such a model is cut into. */
MILO_API MILO_MUST_USE milo_status milo_plan_list(milo_ctx *ctx, const milo_model_config *config,
                                                  const milo_plan_list_options *options);

/* ---- training any program ---------------------------------------------------------------------
 */

/* Data for an input of a program, or for the target of a loss: the first axis counts rows. */
typedef struct milo_fit_data {
  const char *name;
  const milo_array *array;
} milo_fit_data;

typedef enum milo_fit_optimizer {
  MILO_FIT_ADAMW = 0,
  MILO_FIT_SGD = 1 /* with momentum: m' = momentum m + g, param' = param - lr m' */
} milo_fit_optimizer;

typedef struct milo_fit_options {
  size_t struct_bytes;
  const char *function; /* NULL: the first */
  /* What is minimised: a floating-point output of one element by its name, or
       "mse:OUTPUT=TARGET"            mean of the squared differences; TARGET: data of OUTPUT's type
       "cross_entropy:OUTPUT=TARGET"  mean cross-entropy of logits [batch, ..., classes] and data
                                      [batch, ...] of int32 class numbers */
  const char *loss;
  /* Comma list of shell patterns on names of constants: one that matches adds a constant to what is
     trained, "!pattern" takes it out, the last match counts. NULL: see milo_fit. */
  const char *trainable;
  bool cast;    /* round data that the program's types cannot hold exactly (fp64 to fp32) */
  bool shuffle; /* rows in another order every epoch, else in their own; cut from either in turn */
  bool cosine;  /* the rate falls to min_lr_ratio along a cosine, else it is constant */
  milo_fit_optimizer optimizer;
  double momentum;     /* of SGD, default 0 */
  const char *device;  /* NULL: "cpu" */
  const char *out_dir; /* checkpoint, metrics and program; NULL: nothing is written */
  bool resume;         /* continue from out_dir's checkpoint */
  bool force;          /* replace the run that out_dir holds; without it that is refused */
  uint64_t steps;      /* default 1000; resumed, it may be more than the run was begun with */
  uint64_t stop_after; /* stop (and save) after this step; 0: never */
  size_t batch;        /* rows at a time; what the inputs fix, default 8 where they leave it open */
  size_t accumulate;   /* batches a step, default 1 */
  double lr;           /* default 1e-3 */
  double min_lr_ratio; /* of a cosine: end over start, default 0.1; negative: 0 */
  uint64_t warmup;     /* steps, default 0 */
  double beta1, beta2; /* default 0.9, 0.999 */
  double epsilon;      /* default 1e-8 */
  double weight_decay; /* on parameters of rank 2 and more, default 0.01 (SGD: 0); negative: 0 */
  double clip;         /* global norm of the gradient, default (and negative): off */
  uint64_t seed;       /* of shuffling, default 0 */
  double val_fraction; /* last part of the rows held back, default none */
  uint64_t eval_every; /* default 250 */
  size_t eval_batches; /* default: all that the held-back rows give whole */
  uint64_t save_every; /* default: with every evaluation */
  milo_precision precision;
  double loss_scale; /* as milo_train's */
  /* As milo_train's; the report's tokens are rows here. */
  bool (*on_step)(void *user, const milo_train_report *report);
  bool (*stop)(void *user); /* asked between batches */
  void *user;
} milo_fit_options;

/*
 * Trains a program: floating-point constants become parameters, in fp32, and the loss is minimised
 * over batches cut from the arrays' first axis in order, wrapping round at the end. All arrays have
 * as many rows; inputs have the batch as their first axis.
 *
 * Trained are the constants of more than 64 elements that operations take at run time; without a
 * pattern that names them not the mean and variance of batch_norm, nor masks (0 and numbers below
 * -1000). The pattern "*" adds all smaller ones but scalars. Constants in one place of a blob file
 * are one parameter. What the loss does not depend on stays as it is.
 *
 * *out_program (may be NULL): the program with the weights it was left with, also after
 * MILO_ERR_INTERRUPTED; its text is program's but for the constants. With out_dir the same is
 * program.mil there, with its blob file; checkpoint.milo and metrics.jsonl, resuming, stopping and
 * the lock are as milo_train's. A resumed run needs the same program, data, loss, patterns,
 * optimizer, schedule and shuffling.
 */
MILO_API MILO_MUST_USE milo_status milo_fit(milo_ctx *ctx, const milo_program *program,
                                            const milo_fit_data *data, size_t data_count,
                                            const milo_fit_options *options,
                                            milo_program **out_program,
                                            milo_train_result *out_result);

#ifdef __cplusplus
}
#endif
#endif
