/* SPDX-License-Identifier: MIT */
#include "runtime/image/copy.h"

#include "runtime/base/error.h"
#include "runtime/base/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL /* <sys/mman.h> of glibc before 2.38 */
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#define SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK)

static int copy_new(int fd, size_t size, uint64_t content, struct berth_copy **ret_copy,
                    struct berth_error *error)
{
    static uint64_t last_content; /* atomic */
    struct berth_copy *copy = berth_pool_alloc(sizeof(*copy));

    if (!copy) {
        close(fd);
        return berth_error_nomem(error);
    }
    if (!content)
        content = __atomic_add_fetch(&last_content, 1, __ATOMIC_RELAXED);
    *copy = (struct berth_copy){ .refs = 1, .fd = fd, .size = size, .content = content };
    *ret_copy = copy;
    return BERTH_OK;
}

/* ---- Making one ---- */

static int create(const char *label, int *ret_fd, struct berth_error *error)
{
    const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    int fd = memfd_create(label, flags | MFD_NOEXEC_SEAL);

    if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
        fd = memfd_create(label, flags);
    if (fd < 0)
        return berth_error_errno(error, errno, "no memory file for its copy");
    *ret_fd = fd;
    return BERTH_OK;
}

static int write_bytes(int fd, const unsigned char *bytes, size_t size, struct berth_error *error)
{
    for (size_t done = 0; done < size;) {
        ssize_t put = write(fd, bytes + done, size - done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return berth_error_errno(error, errno, "its copy cannot be written");
        done += (size_t)put;
    }
    return BERTH_OK;
}

bool berth_copy_holds(const struct berth_copy *copy, const void *bytes, size_t size)
{
    unsigned char part[32768];

    if (copy->size != size)
        return false;
    for (size_t done = 0; done < size;) {
        size_t wanted = size - done < sizeof(part) ? size - done : sizeof(part);
        ssize_t got = pread(copy->fd, part, wanted, (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || memcmp(part, (const char *)bytes + done, (size_t)got) != 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

int berth_copy_new(const char *label, const void *bytes, size_t size, const struct berth_copy *like,
                   struct berth_copy **ret_copy, struct berth_error *error)
{
    struct berth_copy *copy = NULL;
    int fd = -1;
    int code = create(label, &fd, error);

    if (code)
        return code;
    code = copy_new(fd, size, like ? like->content : 0, &copy, error);
    if (code)
        return code;
    code = write_bytes(fd, bytes, size, error);
    if (!code && fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL) < 0)
        code = berth_error_errno(error, errno, "its copy cannot be sealed");
    /* Until it was sealed, anybody with our rights could write to it. */
    if (!code && !berth_copy_holds(copy, bytes, size))
        code = berth_error_set(error, BERTH_DATA_LOSS, "its copy is not what was written");
    if (code)
        berth_copy_unref(copy);
    else
        *ret_copy = copy;
    return code;
}

int berth_copy_adopt(int fd, struct berth_copy **ret_copy, struct berth_error *error)
{
    struct stat status;
    int seals = fcntl(fd, F_GET_SEALS);

    if (seals >= 0 && (seals & SEALS) == SEALS && fstat(fd, &status) == 0)
        return copy_new(fd, (size_t)status.st_size, 0, ret_copy, error);
    close(fd);
    return berth_error_set(error, BERTH_INVALID_ARGUMENT, "its copy is not sealed");
}

struct berth_copy *berth_copy_ref(struct berth_copy *copy)
{
    __atomic_add_fetch(&copy->refs, 1, __ATOMIC_RELAXED);
    return copy;
}

void berth_copy_unref(struct berth_copy *copy)
{
    if (!copy || __atomic_sub_fetch(&copy->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    close(copy->fd);
    berth_pool_free(copy);
}
