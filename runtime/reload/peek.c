/* SPDX-License-Identifier: MIT */
#include "runtime/reload/peek.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * A sandbox that does not let us call process_vm_readv may have left this. It reads protected
 * memory as well, which is more than is needed, and never less.
 */
static ssize_t read_file(int file, const struct iovec *parts, size_t count, char *to, size_t size)
{
    ssize_t all = 0;

    for (size_t i = 0; i < count && (size_t)all < size; i++) {
        size_t room = size - (size_t)all;
        size_t wanted = parts[i].iov_len < room ? parts[i].iov_len : room;
        long got = syscall(SYS_pread64, file, to + all, wanted, parts[i].iov_base);
        if (got < 0 && all == 0) {
            errno = errno == EIO ? EFAULT : errno;
            return -1;
        }
        all += got > 0 ? got : 0;
        if (got != (long)wanted)
            break;
    }
    return all;
}

ssize_t berth_peek(const struct iovec *parts, size_t count, void *to, size_t size)
{
    struct iovec here = { to, size };
    ssize_t got = syscall(SYS_process_vm_readv, getpid(), &here, 1UL, parts, count, 0UL);

    if (got >= 0 || errno == EFAULT)
        return got;
    int refused = errno;
    int file = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/mem", O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        errno = refused;
        return -1;
    }
    got = read_file(file, parts, count, to, size);
    int saved = errno;
    syscall(SYS_close, file);
    errno = saved;
    return got;
}
