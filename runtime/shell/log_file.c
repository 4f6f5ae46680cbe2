/* SPDX-License-Identifier: MIT */
#include "runtime/shell/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* How much of it could not be written, with errno set. */
static size_t write_some(int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t written = write(fd, data, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            break;
        data += written;
        size -= (size_t)written;
    }
    return size;
}

bool berth_write_all(int fd, const char *data, size_t size)
{
    return write_some(fd, data, size) == 0;
}

bool berth_write_line(int fd, const char *line, size_t size, bool *cut)
{
    /* A file that was emptied meanwhile, to make room, has no line that could be ended. */
    if (*cut && lseek(fd, 0, SEEK_END) != 0 && !berth_write_all(fd, "\n", 1))
        return false;
    size_t left = write_some(fd, line, size);
    *cut = left && left < size;
    return left == 0;
}

bool berth_log_file_open(struct berth_log_file *file, const char *path)
{
    struct stat status;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);

    if (fd < 0)
        return false;
    if (fstat(fd, &status) != 0) {
        close(fd);
        return false;
    }
    *file = (struct berth_log_file){ path, fd, status.st_dev, status.st_ino, false };
    return true;
}

void berth_log_file_close(struct berth_log_file *file)
{
    close(file->fd);
    file->fd = -1;
}

bool berth_log_file_reopen(struct berth_log_file *file)
{
    struct berth_log_file next;

    if (!berth_log_file_open(&next, file->path))
        return false;
    berth_log_file_close(file);
    *file = next;
    return true;
}

bool berth_log_file_write(struct berth_log_file *file, const char *line, size_t size)
{
    struct stat status;

    if (stat(file->path, &status) != 0 || status.st_ino != file->inode ||
        status.st_dev != file->device)
        berth_log_file_reopen(file); /* else the line is at least where the others are */
    return berth_write_line(file->fd, line, size, &file->cut);
}
