/* SPDX-License-Identifier: MIT */
#include "tests/bench/many.h"

#include "tests/bench/bench.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char directory[] = "/tmp/berth-bench-XXXXXX";

const char *many_directory(void)
{
    return directory;
}

void many_path(char path[MANY_NAME_SIZE], unsigned index)
{
    snprintf(path, MANY_NAME_SIZE, "%s/m%04u.so", directory, index);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

static void remove_all(void)
{
    nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Made of one by writing another name into it: all names have the same length. */
void many_make(unsigned count)
{
    static char data[1 << 20];
    FILE *file = fopen(bench_module("small"), "re");
    size_t size = file ? fread(data, 1, sizeof(data), file) : 0;
    char *place = memmem(data, size, "bench_0000", 10);

    if (!file || !place)
        bench_die("%s: not what was expected", bench_module("small"));
    fclose(file);
    if (!mkdtemp(directory) || atexit(remove_all) != 0)
        bench_die("%s: %m", directory);
    for (unsigned i = 0; i < count; i++) {
        char path[MANY_NAME_SIZE], digits[16];
        snprintf(digits, sizeof(digits), "%04u", i);
        memcpy(place + 6, digits, 4);
        many_path(path, i);
        file = fopen(path, "we");
        if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0)
            bench_die("%s: %m", path);
    }
    sync(); /* else the kernel writes them while we measure */
}
