/* SPDX-License-Identifier: MIT */
/* Apart from the rest of many.h: the program many_start has this and nothing else. */
#include "tests/bench/many.h"

#include <dlfcn.h>
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

void many_load_plain(const char *file)
{
    char path[64];
    struct stat status;
    off_t offset = 0;
    int in = open(file, O_RDONLY | O_CLOEXEC);
    int out = memfd_create(file, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (in < 0 || out < 0 || fstat(in, &status) < 0)
        err(1, "%s", file);
    while (offset < status.st_size) {
        if (sendfile(out, in, &offset, (size_t)(status.st_size - offset)) <= 0)
            err(1, "%s", file);
    }
    close(in);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", out); /* stays open: a path is used once */
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!object || !dlsym(object, "berth_entry"))
        errx(1, "%s", dlerror());
}
