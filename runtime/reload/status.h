/* SPDX-License-Identifier: MIT */
/* What the kernel says of this process, in one look. */
#ifndef RUNTIME_RELOAD_STATUS_H
#define RUNTIME_RELOAD_STATUS_H

#include <stddef.h>
#include <stdint.h>

struct berth_status {
    uint64_t caught; /* signals with a handler, number n as bit n - 1; all of them: not known */
    size_t threads;  /* 0: not known */
};

/* *file: where it is read, -1 before the first time; it stays open, the caller's. */
struct berth_status berth_status_read(int *file);

#endif
