/* SPDX-License-Identifier: MIT */
/*
 * Allocations that fail on request: a program that links this has a malloc of its own, in front of
 * the C library's (or the sanitizer's), for itself and all libraries that it loads.
 *
 *     for (unsigned long k = 1; ; k++) {
 *         berth_fault_arm(k, false);
 *         int code = operation();
 *         if (!berth_fault_disarm())
 *             break;                       it had fewer than k allocations
 *         … code tells of it, and nothing has changed …
 *     }
 */
#ifndef BERTH_TESTS_SUPPORT_FAULT_H
#define BERTH_TESTS_SUPPORT_FAULT_H

#include <stdbool.h>

/* From now on the nth allocation (from 1) of this thread fails, and those after it if `all`. */
void berth_fault_arm(unsigned long nth, bool all);
/* No allocation fails any more; true when one has. Nothing was armed: false. */
bool berth_fault_disarm(void);
/* How many allocations there were since berth_fault_arm, on this thread. */
unsigned long berth_fault_seen(void);
/* How many blocks of the whole process are allocated and not freed. */
long berth_fault_live(void);
/* False where the linker or a sanitizer does not let it: then nothing fails. */
bool berth_fault_works(void);

#endif
