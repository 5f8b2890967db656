// SPDX-License-Identifier: MIT
// How many threads OpenBLAS uses is one number for the whole process, which the host program may
// use and set too.
#ifndef MILO_KERNELS_BLAS_THREADS_H
#define MILO_KERNELS_BLAS_THREADS_H

// Looks for the functions that read and set the number; a library without them is left alone.
void milo_blas_threads_find(void *library);

// Around our products: the number is 1 in between, for our tasks are threads already, and
// afterwards what it was, unless the host has set it meanwhile. Products of all contexts count as
// one: the first to begin sets, the last to end restores. The host's own products run on one thread
// as long.
void milo_blas_threads_begin(void);
void milo_blas_threads_end(void);

// Around each call in a worker thread: OpenBLAS on OpenMP goes by a number that OpenMP keeps for
// each thread. begin returns what end puts back.
int milo_blas_call_begin(void);
void milo_blas_call_end(int before);

#endif
