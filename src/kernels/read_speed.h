// SPDX-License-Identifier: MIT
// How fast this machine reads memory: what bounds products that use each element once.
#ifndef MILO_KERNELS_READ_SPEED_H
#define MILO_KERNELS_READ_SPEED_H

#include "base/pool.h"

// Bytes a second that all threads together read of a block (64-byte aligned), the best of `times`
// runs over it. The block should be several times larger than the caches.
double milo_read_speed(milo_pool *pool, const void *block, size_t bytes, int times);

#endif
