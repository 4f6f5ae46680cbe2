/* SPDX-License-Identifier: MIT */
#include "runtime/image/staging.h"

#include "runtime/base/error.h"
#include "runtime/base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define SAME_MAX 10000 /* images of one label */

int berth_staging_init(struct berth_staging *staging, const char *parent, struct berth_error *error)
{
    *staging = (struct berth_staging){ .directory = NULL };
    berth_buffer_init(&staging->names, 0);
    if (!parent)
        return BERTH_OK;
    if (*parent != '/')
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "\"%s\", for named copies, is not absolute", parent);
    char *directory = berth_text_format("%s/berth-%d-XXXXXX", parent, (int)getpid());
    if (!directory)
        return berth_error_nomem(error);
    if (!mkdtemp(directory)) {
        int number = errno;
        berth_free(directory);
        return berth_error_errno(error, number, "no directory for named copies can be made in %s",
                                 parent);
    }
    staging->directory = directory;
    return BERTH_OK;
}

void berth_staging_deinit(struct berth_staging *staging)
{
    const struct berth_buffer *names = &staging->names;

    for (size_t at = 0; at < names->size; at += strlen(names->data + at) + 1)
        unlink(names->data + at);
    berth_buffer_deinit(&staging->names);
    if (staging->directory)
        rmdir(staging->directory);
    berth_free(staging->directory);
    staging->directory = NULL;
}

/* A new file, for a name that the loader has never seen: it takes one of the same name for it. */
static int create(const struct berth_staging *staging, const char *label, char *path, size_t room)
{
    char more[16] = "";
    int fd = -1;

    for (int i = 1; i < SAME_MAX; i++) {
        int length = snprintf(path, room, "%s/%s%s.so", staging->directory, label, more);
        if (length < 0 || (size_t)length >= room) {
            errno = ENAMETOOLONG;
            return -1;
        }
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
        if (fd >= 0 || errno != EEXIST)
            break;
        snprintf(more, sizeof(more), "~%d", i + 1);
    }
    return fd;
}

static int copy(int to, int from, size_t size)
{
    off_t done = 0;

    while ((size_t)done < size) {
        ssize_t got = sendfile(to, from, &done, size - (size_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? errno : EIO;
    }
    return fchmod(to, S_IRUSR) < 0 ? errno : 0;
}

int berth_staging_copy(struct berth_staging *staging, const char *label, int fd, size_t size,
                       char *ret_path, size_t room, struct berth_error *error)
{
    int to = create(staging, label, ret_path, room);

    if (to < 0)
        return berth_error_errno(error, errno, "its named copy cannot be made in %s",
                                 staging->directory);
    int number = copy(to, fd, size);
    close(to);
    if (!number) {
        berth_buffer_append(&staging->names, ret_path, strlen(ret_path) + 1);
        if (!staging->names.failed)
            return BERTH_OK;
        number = ENOMEM;
    }
    unlink(ret_path);
    return berth_error_errno(error, number, "its named copy in %s cannot be written",
                             staging->directory);
}
