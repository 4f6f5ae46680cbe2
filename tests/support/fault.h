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
/*
 * The same for all threads of this process; or, once berth_fault_workers has been called, of all
 * workers that are made with the program whose path it returns, which lasts as long as the test.
 */
enum berth_fault_where { BERTH_FAULT_HERE, BERTH_FAULT_WORKERS };
void berth_fault_arm_all(enum berth_fault_where where, unsigned long nth, bool all);
bool berth_fault_disarm_all(enum berth_fault_where where);
const char *berth_fault_workers(void);
/* Of the workers, as berth_fault_live; another *ret_born: other ones were made since. */
long berth_fault_workers_live(unsigned *ret_born);
/* For such a worker: its faults are those of this file, if there is one. */
void berth_fault_follow(const char *path);
/* How many allocations there were since berth_fault_arm, on this thread. */
unsigned long berth_fault_seen(void);
/* How many blocks of the whole process are allocated and not freed. */
long berth_fault_live(void);
/* False where the linker or a sanitizer does not let it: then nothing fails. */
bool berth_fault_works(void);

#endif
