/* SPDX-License-Identifier: MIT */
/* A file that lines are added to, and that others may move away or delete at any time. */
#ifndef RUNTIME_SHELL_LOG_FILE_H
#define RUNTIME_SHELL_LOG_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct berth_log_file {
    const char *path; /* borrowed */
    int fd;
    dev_t device;
    ino_t inode;
    bool cut; /* its last line is: there was no room for the rest */
};

/* Opens it, and makes it if it is not there. False with errno set. */
bool berth_log_file_open(struct berth_log_file *file, const char *path);
void berth_log_file_close(struct berth_log_file *file);
/* Opens what is of this name now; what cannot be opened leaves it as it was: false, errno set. */
bool berth_log_file_reopen(struct berth_log_file *file);
/*
 * Adds a line; to a new file, if the name stands for no file, or another one, by now. False with
 * errno set: not all of it is there. The next one begins on a line of its own all the same.
 */
bool berth_log_file_write(struct berth_log_file *file, const char *line, size_t size);

/* All of it, to any descriptor. False with errno set. */
bool berth_write_all(int fd, const char *data, size_t size);
/* A line. *cut, false at first, says that the one before has only begun: it is ended first. */
bool berth_write_line(int fd, const char *line, size_t size, bool *cut);

#endif
