/* SPDX-License-Identifier: MIT */
#include "tests/support/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct block {
    struct block *next;
    max_align_t data[];
};

static struct {
    pthread_mutex_t lock;
    struct block *blocks;
    char *dir;
} scratch = { .lock = PTHREAD_MUTEX_INITIALIZER };

__attribute__((noreturn)) static void give_up(const char *what)
{
    printf("# %s: %s\n", what, strerror(errno));
    fflush(stdout);
    abort();
}

void *berth_test_alloc(size_t size)
{
    struct block *block = calloc(1, sizeof(*block) + size);
    if (!block)
        give_up("memory for a test");

    pthread_mutex_lock(&scratch.lock);
    block->next = scratch.blocks;
    scratch.blocks = block;
    pthread_mutex_unlock(&scratch.lock);
    return block->data;
}

char *berth_test_format(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0)
        give_up(format);

    char *text = berth_test_alloc((size_t)length + 1);
    va_start(arguments, format);
    vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return text;
}

const char *berth_test_dir(void)
{
    const char *parent = getenv("TMPDIR");

    pthread_mutex_lock(&scratch.lock);
    if (!scratch.dir) {
        char *dir;
        if (asprintf(&dir, "%s/berth-test-XXXXXX", parent ? parent : "/tmp") < 0 || !mkdtemp(dir))
            give_up("a directory for a test");
        scratch.dir = dir;
    }
    pthread_mutex_unlock(&scratch.lock);
    return scratch.dir;
}

/* `make check` says where the trees are; a program that is run by hand knows where it was built. */
static const char *below(const char *variable, const char *otherwise, const char *path)
{
    const char *top = getenv(variable);
    return berth_test_format("%s/%s", top ? top : otherwise, path);
}

const char *berth_test_source(const char *path)
{
    return below("BERTH_TOP_SRCDIR", BERTH_TEST_SRCDIR, path);
}

const char *berth_test_built(const char *path)
{
    return below("BERTH_TOP_BUILDDIR", BERTH_TEST_BUILDDIR, path);
}

const char *berth_test_fixture(const char *name)
{
    return berth_test_built(berth_test_format("tests/fixtures/%s.so", name));
}

void berth_test_write(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "we");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0)
        give_up(path);
}

char *berth_test_read(const char *path, size_t *ret_size)
{
    FILE *file = fopen(path, "re");
    if (!file)
        give_up(path);

    size_t size = 0, room = 4096;
    char *data = berth_test_alloc(room);
    for (size_t got; (got = fread(data + size, 1, room - size - 1, file)) > 0;) {
        size += got;
        if (size + 1 < room)
            continue;
        char *larger = berth_test_alloc(room * 2);
        memcpy(larger, data, size);
        data = larger;
        room *= 2;
    }
    if (ferror(file))
        give_up(path);
    fclose(file);
    data[size] = '\0';
    if (ret_size)
        *ret_size = size;
    return data;
}

const char *berth_test_copy(const char *path, const char *name)
{
    size_t size;
    const char *data = berth_test_read(path, &size);
    const char *copy = berth_test_format("%s/%s", berth_test_dir(), name);
    berth_test_write(copy, data, size);
    return copy;
}

size_t berth_test_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        give_up("/proc/self/fd");

    size_t count = 0;
    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 3; /* ".", ".." and the directory's own */
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status, (void)type, (void)walk;
    remove(path);
    return 0;
}

void berth_scratch_clear(void)
{
    if (scratch.dir)
        nftw(scratch.dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(scratch.dir);
    scratch.dir = NULL;

    while (scratch.blocks) {
        struct block *block = scratch.blocks;
        scratch.blocks = block->next;
        free(block);
    }
}
