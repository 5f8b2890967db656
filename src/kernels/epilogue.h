// SPDX-License-Identifier: MIT
// What happens to the sums of a finished tile, see gemm.h.
#ifndef MILO_KERNELS_EPILOGUE_H
#define MILO_KERNELS_EPILOGUE_H

#include "kernels/gemm.h"

enum { MILO_EPILOGUE_COLUMNS = 256 };  // of a tile that is worth finishing while it is in cache

// Does the tile's sum need any work but being in c?
bool milo_epilogue_exists(const milo_gemm *g);
// May tiles sum up in c itself? Else they do in fp32 memory of the driver's.
bool milo_epilogue_sums_in_c(const milo_gemm *g);
// Finishes m x n sums (row stride ld) of rows i.. and columns j.. of c, which is matrix z of the
// batch, and stores them; sums may be that place in c.
void milo_epilogue_run(const milo_rows *rows, const milo_gemm *g, size_t z, size_t i, size_t m,
                       size_t j, size_t n, float *sums, size_t ld, void *c);

#endif
