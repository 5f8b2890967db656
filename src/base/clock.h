// SPDX-License-Identifier: MIT
#ifndef MILO_BASE_CLOCK_H
#define MILO_BASE_CLOCK_H

double milo_clock_s(void);  // monotonic seconds

#endif
