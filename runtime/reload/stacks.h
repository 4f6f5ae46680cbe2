/* SPDX-License-Identifier: MIT */
/*
 * Where a thread that has never called a host is, as far as its stack tells: doc/decisions/
 * unloading.md. Linux shows the stack pointer of a sleeping thread; one that runs is asked by a
 * signal, where the application has granted one. stacks_none.c is what is built without it.
 */
#ifndef RUNTIME_RELOAD_STACKS_H
#define RUNTIME_RELOAD_STACKS_H

#include <berth/error.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum berth_stack {
    BERTH_STACK_CLEAR,  /* no word of it leads into the range; or the thread has ended */
    BERTH_STACK_INSIDE, /* one does */
    BERTH_STACK_UNSEEN, /* it cannot be told; *ret_why: in words, static */
};

/* What is looked for: an address in [low, high). */
struct berth_stack_range {
    uintptr_t low, high;
};

/*
 * One thread of this process, not the calling one. tasks: a descriptor of /proc/self/task. Takes a
 * few microseconds for a thread that sleeps, some milliseconds for one that does not, and a quarter
 * of a second at most for one that waits for a processor.
 */
enum berth_stack berth_stack_look(int tasks, pid_t thread, const struct berth_stack_range *range,
                                  const char **ret_why);

/*
 * The signal by which threads may be asked from now on, in the whole process: the application's
 * word. It is installed, and never given back. failed_precondition when it has a handler already,
 * or another one has been granted before. Without the scan it is left alone.
 */
int berth_stacks_take_signal(int number, struct berth_error *error);

#endif
