/* SPDX-License-Identifier: MIT */
/* The memory of this process, as another one would read it: a hole is an error, and no fault. */
#ifndef RUNTIME_RELOAD_PEEK_H
#define RUNTIME_RELOAD_PEEK_H

#include <sys/types.h>
#include <sys/uio.h>

/*
 * Reads the parts one behind the other, up to the first hole, `size` bytes at most. Returns the
 * bytes that were read; -1 and EFAULT: it begins with a hole; -1 and another errno: nothing may be
 * read at all. System calls and nothing else: a signal handler may use it.
 */
ssize_t berth_peek(const struct iovec *parts, size_t count, void *to, size_t size);

#endif
