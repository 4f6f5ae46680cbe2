/* SPDX-License-Identifier: MIT */
#include "tests/support/footprint.h"

#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Of a directory; part: only links that lead to what contains it. */
static size_t count_entries(const char *directory, const char *part)
{
    char target[256];
    size_t count = 0;
    DIR *dir = opendir(directory);
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        ssize_t length =
            part ? readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1) : 0;
        target[length > 0 ? length : 0] = '\0';
        count += !part || strstr(target, part) != NULL;
    }
    if (dir)
        closedir(dir);
    return count;
}

/* Lines of a file, those that contain part (NULL: all). No memory of the test's is taken. */
static size_t count_lines(const char *path, const char *part)
{
    char line[512];
    size_t count = 0;
    FILE *file = fopen(path, "re");

    while (file && fgets(line, sizeof(line), file))
        count += !part || strstr(line, part) != NULL;
    if (file)
        fclose(file);
    return count;
}

static void read_memory(struct berth_test_footprint *footprint)
{
    char line[512];
    FILE *file = fopen("/proc/self/status", "re");

    while (file && fgets(line, sizeof(line), file)) {
        sscanf(line, "VmRSS: %ld", &footprint->rss);
        sscanf(line, "RssAnon: %ld", &footprint->anonymous);
        sscanf(line, "RssFile: %ld", &footprint->file);
        sscanf(line, "RssShmem: %ld", &footprint->shared);
    }
    if (file)
        fclose(file);
}

/*
 * Pages of files come in when they are first used, and go as the kernel likes: here they are all
 * there. Before Linux 5.14 they come as they come.
 */
static void populate_files(void)
{
#ifdef MADV_POPULATE_READ
    char line[512];
    unsigned long low, high;
    FILE *file = fopen("/proc/self/maps", "re");

    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "%lx-%lx r", &low, &high) == 2 && strchr(line, '/'))
            madvise((void *)low, high - low, MADV_POPULATE_READ);
    if (file)
        fclose(file);
#endif
}

struct berth_test_footprint berth_test_footprint(void)
{
    struct berth_test_footprint footprint = {
        .descriptors = berth_test_descriptors(),
        .memfds = count_entries("/proc/self/fd", "memfd:"),
        .threads = count_entries("/proc/self/task", NULL),
        .maps = count_lines("/proc/self/maps", NULL),
        .memfd_maps = count_lines("/proc/self/maps", "/memfd:"),
    };
    struct mallinfo2 heap = mallinfo2();
    footprint.heap = heap.uordblks + heap.hblkhd;
    populate_files();
    malloc_trim(0); /* what is free is nobody's */
    read_memory(&footprint);
    return footprint;
}

void berth_test_check_footprint(const struct berth_test_footprint *before,
                                const struct berth_test_growth *may)
{
    const struct berth_test_footprint now = berth_test_footprint();

    berth_note("descriptors %zu -> %zu, memory files %zu -> %zu, threads %zu -> %zu, maps %zu -> "
               "%zu (%zu -> %zu of memory files)",
               before->descriptors, now.descriptors, before->memfds, now.memfds, before->threads,
               now.threads, before->maps, now.maps, before->memfd_maps, now.memfd_maps);
    berth_note("memory %ld -> %ld KiB: anonymous %ld -> %ld, of files %ld -> %ld, shared %ld -> "
               "%ld; bytes of the heap in use %zu -> %zu",
               before->rss, now.rss, before->anonymous, now.anonymous, before->file, now.file,
               before->shared, now.shared, before->heap, now.heap);
    if (berth_test_instrumented())
        return; /* images are kept, and freed memory is */
    if (may->busy) {
        CHECK(now.descriptors <= before->descriptors + may->descriptors);
    } else {
        CHECK_INT(now.descriptors, before->descriptors);
        CHECK_INT(now.memfds, before->memfds);
        CHECK_INT(now.threads, before->threads);
        CHECK_INT(now.memfd_maps, before->memfd_maps);
        CHECK(now.maps <= before->maps);
    }
    CHECK(!may->rss || now.rss <= before->rss + may->rss);
}
