/* SPDX-License-Identifier: MIT */
#include "runtime/shell/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 65536 };

/* Twice the room, or none with errno set. */
static char *grow(char *data, size_t *room)
{
    *room = *room ? *room * 2 : CHUNK;
    char *more = realloc(data, *room);
    if (!more) {
        free(data);
        errno = ENOMEM;
    }
    return more;
}

char *berth_file_read_all(int fd, size_t limit, size_t *ret_size)
{
    size_t size = 0, room = 0;
    char *data = NULL;
    ssize_t got;

    do {
        if (room - size < CHUNK) {
            data = grow(data, &room);
            if (!data)
                return NULL;
        }
        got = read(fd, data + size, room - size);
        if (got > 0)
            size += (size_t)got;
        if (size > limit) {
            got = -1;
            errno = EFBIG;
        }
    } while (got > 0 || (got < 0 && errno == EINTR));

    if (got < 0) {
        int number = errno;
        free(data);
        errno = number;
        return NULL;
    }
    *ret_size = size;
    return data;
}

char *berth_file_read(const char *file, size_t limit, size_t *ret_size)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    char *data = berth_file_read_all(fd, limit, ret_size);
    int number = errno;
    close(fd);
    errno = number;
    return data;
}

char *berth_file_beside(const char *file, const char *path, struct berth_arena *arena)
{
    const char *slash = strrchr(file, '/');

    if (*path == '/' || !slash)
        return *path == '/' || strchr(path, '/') ? berth_arena_string(arena, path)
                                                 : berth_arena_format(arena, "./%s", path);
    return berth_arena_format(arena, "%.*s/%s", (int)(slash - file), file, path);
}
