/* SPDX-License-Identifier: MIT */
#include "runtime/base/usage.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* "SIZE RESIDENT …", in pages. */
static uint64_t resident(int pid)
{
    char text[128];
    snprintf(text, sizeof text, "/proc/%d/statm", pid);
    int fd = open(text, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (size <= 0)
        return 0;
    text[size] = '\0';
    const char *second = strchr(text, ' ');
    return second ? strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

bool berth_usage_read(int pid, struct berth_usage *ret_usage)
{
    clockid_t clock;
    struct timespec used;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0)
        return false;
    ret_usage->cpu_ns = (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
    ret_usage->memory = resident(pid);
    return true;
}
