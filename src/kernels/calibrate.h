// SPDX-License-Identifier: MIT
// How fast the rows of the table of products are on this processor, which instruction sets alone do
// not say: vdpbf16ps runs at twice the rate of fp32 FMA on one processor and at 0.7 of it on
// another.
#ifndef MILO_KERNELS_CALIBRATE_H
#define MILO_KERNELS_CALIBRATE_H

#include "kernels/product.h"

// 1e9 additions and multiplications a second of the row's tile on operands in L1, one core.
// Measured when it is first asked for, in half a millisecond, then the same for the life of the
// process. The processor must have what the row needs. Any thread.
double milo_product_rate(const milo_product *row);

// The row for a mode: among the exact ones, and among those of any other mode, the last of the
// table that caps allow; NULL if there is none, or if it is clearly slower than the exact row,
// which reads the same operands with more digits: at less than 0.85 of its rate, which lies between
// the rates of all processors seen, so that each process of a machine takes the same. Rows of one
// mode are not raced against each other: results would have other bits from one process to the next
// where two are nearly as fast.
const milo_product *milo_product_choose(milo_numeric mode, unsigned caps);

#endif
