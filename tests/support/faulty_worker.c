/* SPDX-License-Identifier: MIT */
/* berth-worker, with allocations that fail when a test says so: see berth_fault_workers. */
#include "tests/support/fault.h"

#include <stdio.h>
#include <sys/auxv.h>

__attribute__((constructor)) static void follow(void)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s.faults", (const char *)getauxval(AT_EXECFN));
    berth_fault_follow(path);
}
