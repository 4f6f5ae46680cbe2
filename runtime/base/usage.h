/* SPDX-License-Identifier: MIT */
/* What a process has used. */
#ifndef RUNTIME_BASE_USAGE_H
#define RUNTIME_BASE_USAGE_H

#include <stdbool.h>
#include <stdint.h>

struct berth_usage {
    int64_t cpu_ns;  /* of all its threads, so far */
    uint64_t memory; /* bytes of it that are resident now, those that it shares too */
};
/* false: there is no such process. */
bool berth_usage_read(int pid, struct berth_usage *ret_usage);

#endif
