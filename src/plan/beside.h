// SPDX-License-Identifier: MIT
// Programs that run beside the caller: one thread takes them in the order in which they were
// handed over, so that what they add to has the same bits as without it.
#ifndef MILO_PLAN_BESIDE_H
#define MILO_PLAN_BESIDE_H

#include "device/device.h"

enum { MILO_BESIDE_MAX_ARGS = 4 };

typedef struct milo_beside_queue milo_beside_queue;

// device: of no other use while programs are under way. inline_too: the caller's thread runs them
// at once, there is no other.
MILO_MUST_USE milo_status milo_beside_queue_create(milo_device *device, bool inline_too,
                                                   milo_diag *diag, milo_beside_queue **out);
void milo_beside_queue_destroy(milo_beside_queue *queue);  // waits; NULL allowed

// Hands over an execution of run (of the queue's device) with these inputs and one output; buffers
// are borrowed until it is done. Waits while many are waiting. Its number: 1, 2, ...
uint64_t milo_beside_queue_run(milo_beside_queue *queue, milo_run *run, milo_buffer *const *inputs,
                               size_t count, milo_buffer *output);
// Waits until number (and all before it) are done. The first failure since the queue was made is
// reported, and stays.
MILO_MUST_USE milo_status milo_beside_queue_wait(milo_beside_queue *queue, uint64_t number,
                                                 milo_diag *diag);
// All of them.
MILO_MUST_USE milo_status milo_beside_queue_join(milo_beside_queue *queue, milo_diag *diag);

#endif
