/* SPDX-License-Identifier: MIT */
#include "runtime/reload/status.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The number behind a label at a line's begin. The name of the process has its lines escaped. */
static bool find_number(const char *text, const char *label, int base, uint64_t *ret_number)
{
    const char *found = strstr(text, label);
    char *end;

    if (!found)
        return false;
    found += strlen(label);
    uint64_t number = strtoull(found, &end, base);
    if (end == found || *end != '\n') /* the rest has not been read */
        return false;
    *ret_number = number;
    return true;
}

struct berth_status berth_status_read(int *file)
{
    struct berth_status status = { .caught = UINT64_MAX };
    uint64_t threads = 0;
    char text[4096];

    if (*file < 0)
        *file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t got = *file < 0 ? -1 : pread(*file, text, sizeof text - 1, 0);
    text[got > 0 ? got : 0] = '\0';
    find_number(text, "\nSigCgt:\t", 16, &status.caught);
    find_number(text, "\nThreads:\t", 10, &threads);
    status.threads = threads;
    return status;
}
