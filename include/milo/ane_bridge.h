/* SPDX-License-Identifier: MIT */
/*
 * ane_bridge.h - MIL programs through the names that clients of the reference's bridge know.
 *
 * A kernel is one function of a MIL text, compiled for the device that the environment variable
 * MILO_DEVICE names (else "cpu"), with a surface of bytes for each input and output. Surfaces bind
 * in the order of the names in the text, inputs among themselves and outputs among themselves, as
 * the Neural Engine binds them; their sizes are the caller's, at least the tensors'. They begin as
 * zeros.
 *
 * Errors   a line or more on standard error, and NULL, false or -1; no call ends the process. NULL
 *          handles, indices that are not there and sizes beyond a surface are refused so.
 * Threads  a kernel is used by one thread at a time; several threads may each have kernels. The
 *          count of compiles belongs to the process.
 */
#ifndef MILO_ANE_BRIDGE_H
#define MILO_ANE_BRIDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define ANE_BRIDGE_API __attribute__((visibility("default")))
#else
#define ANE_BRIDGE_API
#endif

typedef struct ANEKernelHandle ANEKernelHandle;

/* 0, or -1 if the device cannot be opened. The other functions need no init. */
ANE_BRIDGE_API int ane_bridge_init(void);

/* weight_data: a blob file, which the text names "@model_path/weights/weight.bin"; NULL: none.
   input_sizes, output_sizes: bytes of each surface; as many as the function has. NULL on failure.
 */
ANE_BRIDGE_API ANEKernelHandle *ane_bridge_compile(const char *mil_text, size_t mil_len,
                                                   const uint8_t *weight_data, size_t weight_len,
                                                   int n_inputs, const size_t *input_sizes,
                                                   int n_outputs, const size_t *output_sizes);
/* The same with several blob files, by the names that the text has for them
   ("@model_path/weights/wq.bin"; the prefix may be left out). */
ANE_BRIDGE_API ANEKernelHandle *ane_bridge_compile_multi_weights(
    const char *mil_text, size_t mil_len, const char **weight_names, const uint8_t **weight_datas,
    const size_t *weight_lens, int n_weights, int n_inputs, const size_t *input_sizes,
    int n_outputs, const size_t *output_sizes);

/* Runs it on what its surfaces hold. */
ANE_BRIDGE_API bool ane_bridge_eval(ANEKernelHandle *kernel);
ANE_BRIDGE_API bool ane_bridge_run(ANEKernelHandle *kernel); /* the same */

/* The first bytes of surface idx. Nothing is copied if there is no such surface or it is smaller.
 */
ANE_BRIDGE_API void ane_bridge_write_input(ANEKernelHandle *kernel, int idx, const void *data,
                                           size_t bytes);
ANE_BRIDGE_API void ane_bridge_read_output(ANEKernelHandle *kernel, int idx, void *data,
                                           size_t bytes);
ANE_BRIDGE_API void ane_bridge_free(ANEKernelHandle *kernel); /* NULL allowed */

/* Compiles that succeeded since the process began, or since the last reset. */
ANE_BRIDGE_API int ane_bridge_get_compile_count(void);
ANE_BRIDGE_API void ane_bridge_reset_compile_count(void);

/* Blob files with one tensor [rows, cols], whose record is at offset 64; released with
   ane_bridge_free_blob. NULL, and *out_len 0, on failure.
     blob       fp32 rounded to fp16
     transposed the same of [cols, rows]: out[j][i] = src[i][j]
     int8       as it is
     quantized  int8: round(src / scale) with one scale, max|src| / 127 (1 if that is 0) */
ANE_BRIDGE_API uint8_t *ane_bridge_build_weight_blob(const float *src, int rows, int cols,
                                                     size_t *out_len);
ANE_BRIDGE_API uint8_t *ane_bridge_build_weight_blob_transposed(const float *src, int rows,
                                                                int cols, size_t *out_len);
ANE_BRIDGE_API uint8_t *ane_bridge_build_weight_blob_int8(const int8_t *src, int rows, int cols,
                                                          size_t *out_len);
ANE_BRIDGE_API uint8_t *ane_bridge_build_weight_blob_quantized(const float *src, int rows, int cols,
                                                               float *out_scale, size_t *out_len);
ANE_BRIDGE_API void ane_bridge_free_blob(void *blob); /* NULL allowed */

#ifdef __cplusplus
}
#endif
#endif
