/* SPDX-License-Identifier: MIT */
/*
 * Whose process this is. A child of fork has copies of hosts, but none of their threads: locks may
 * be held by nobody, and descriptors are shared with the parent. So it must keep away from them.
 * What tells it is a word that the kernel wipes in a child (MADV_WIPEONFORK), however that was
 * made; looking at it costs no system call. A vfork shares all of it, and then execs.
 */
#ifndef RUNTIME_BASE_PROCESS_H
#define RUNTIME_BASE_PROCESS_H

#include <berth/error.h>
#include <stdbool.h>

/*
 * A host is made, or has gone. Making one fails in a child whose parent had some at the fork; one
 * that had none left is a process like any other.
 */
int berth_process_begin(struct berth_error *error);
void berth_process_end(void);

extern const int *berth_process_mark;
/* Whether all hosts that there are belong to another process. */
static inline bool berth_process_is_forked(void)
{
    return __builtin_expect(__atomic_load_n(berth_process_mark, __ATOMIC_RELAXED) == 0, 0);
}

/* In such a child: why it may not. Takes no memory and no lock; static. */
const char *berth_process_refusal(void);
int berth_process_refuse(struct berth_error *error);

#endif
