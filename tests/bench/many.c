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

/* All of the one text in data become the other. */
static void replace(char *data, size_t size, const struct many_change *change)
{
    size_t length = strlen(change->from);
    char *at = memmem(data, size, change->from, length);

    if (!at || strlen(change->to) != length)
        bench_die("%s is not there to be replaced", change->from);
    for (; at; at = memmem(at, size - (size_t)(at - data), change->from, length)) {
        memcpy(at, change->to, length);
        at += length;
    }
}

void many_write(const char *path, const char *module, const struct many_change *changes,
                size_t count)
{
    static char data[1 << 20];
    FILE *file = fopen(bench_module(module), "re");
    size_t size = file ? fread(data, 1, sizeof(data), file) : 0;

    if (!file)
        bench_die("%s: %m", bench_module(module));
    fclose(file);
    for (size_t i = 0; i < count; i++)
        replace(data, size, &changes[i]);
    file = fopen(path, "we");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0)
        bench_die("%s: %m", path);
}

void many_make(unsigned count)
{
    if (!mkdtemp(directory) || atexit(remove_all) != 0)
        bench_die("%s: %m", directory);
    for (unsigned i = 0; i < count; i++) {
        char path[MANY_NAME_SIZE], name[32];
        const struct many_change change = { "bench_0000", name };
        snprintf(name, sizeof(name), "bench_%04u", i);
        many_path(path, i);
        many_write(path, "small", &change, 1);
    }
    sync(); /* else the kernel writes them while we measure */
}
