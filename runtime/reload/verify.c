/* SPDX-License-Identifier: MIT */
#include "runtime/reload/verify.h"

#include "runtime/base/memory.h"
#include "runtime/base/text.h"
#include "runtime/core/started.h"
#include "runtime/image/traces.h"
#include "runtime/reload/holders.h"
#include "runtime/reload/stacks.h"
#include "runtime/reload/status.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* false, and why. */
__attribute__((format(printf, 3, 4))) static bool doubt(struct berth_doubt *ret_doubt,
                                                        enum berth_doubt_lasts lasts,
                                                        const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(ret_doubt->text, sizeof ret_doubt->text, format, arguments);
    va_end(arguments);
    ret_doubt->lasts = lasts;
    return false;
}

/* ---- the host's own tables ---- */

static bool has_started_calls(const struct berth_generation *generation)
{
    struct berth_host *host = generation->host;
    const struct berth_started *started;
    uint32_t position = 0;
    bool found = false;
    pthread_mutex_lock(&host->calls_lock);
    while ((started = berth_idmap_next(&host->pendings, &position, NULL)))
        found |= started->owner == generation;
    pthread_mutex_unlock(&host->calls_lock);
    return found;
}

/* host->lock held. NULL: none of them leads to it. */
static const char *table_of(const struct berth_generation *generation)
{
    berth_list_each(&generation->module->cells, link) {
        const struct berth_cell *cell = berth_container(link, struct berth_cell, of_module);
        const struct berth_item *item = __atomic_load_n(&cell->item, __ATOMIC_RELAXED);
        if (item && item->generation == generation)
            return "a function of its is still called";
        berth_list_each(&cell->edges, other)
            if (berth_container(other, struct berth_edge, of_cell)->importer == generation)
                return "an import of its is still bound";
    }
    if (!berth_list_empty(&generation->alarms))
        return "a timer or watch of its has not ended";
    if (__atomic_load_n(&generation->inside, __ATOMIC_ACQUIRE) > 0)
        return "a call that it has kept has not been answered";
    if (has_started_calls(generation))
        return "a call that it has started has not ended";
    return berth_list_empty(&generation->threads) ? NULL : "a thread of its has not been joined";
}

static bool tables_are_clear(const struct berth_generation *generation,
                             struct berth_doubt *ret_doubt)
{
    pthread_mutex_lock(&generation->host->lock);
    const char *table = table_of(generation);
    pthread_mutex_unlock(&generation->host->lock);
    return table ? doubt(ret_doubt, BERTH_DOUBT_WHILE, "%s", table) : true;
}

/* ---- what it has begun ---- */

static bool traces_are_clear(const struct berth_image *image, struct berth_doubt *ret_doubt)
{
    struct berth_traces_left left = berth_traces_get(image);
    if (left.timers)
        return doubt(ret_doubt, BERTH_DOUBT_WHILE,
                     "%zu of the POSIX timers that it has created %s not been deleted: its STOP "
                     "must",
                     left.timers, berth_plural(left.timers, "has", "have"));
    if (left.threads)
        return doubt(ret_doubt, BERTH_DOUBT_WHILE,
                     "%zu of the threads that it has started %s not ended: its STOP must join "
                     "them",
                     left.threads, berth_plural(left.threads, "has", "have"));
    if (left.destructors)
        return doubt(ret_doubt, BERTH_DOUBT_WHILE,
                     "%zu %s of its thread-local data %s to run when their threads end",
                     left.destructors, berth_plural(left.destructors, "destructor", "destructors"),
                     berth_plural(left.destructors, "is", "are"));
    return true;
}

/* ---- threads ---- */

struct numbers {
    pid_t *list;
    size_t count, room;
    pid_t few[256]; /* mostly enough: an unload needs no memory */
};

static bool numbers_have(const struct numbers *numbers, pid_t number)
{
    for (size_t i = 0; i < numbers->count; i++)
        if (numbers->list[i] == number)
            return true;
    return false;
}

static bool numbers_grow(struct numbers *numbers, size_t room)
{
    bool is_first = numbers->list == numbers->few;
    pid_t *list = berth_reallocarray(is_first ? NULL : numbers->list, room, sizeof *list);
    if (!list)
        return false;
    if (is_first)
        memcpy(list, numbers->few, sizeof numbers->few);
    numbers->list = list;
    numbers->room = room;
    return true;
}

/* Those that have called through the host: their frames have told. */
static bool numbers_of_host(struct berth_host *host, struct numbers *numbers)
{
    numbers->count = berth_threads_numbers(&host->threads, numbers->list, numbers->room);
    while (numbers->count > numbers->room) {
        if (!numbers_grow(numbers, numbers->count + 64))
            return false;
        numbers->count = berth_threads_numbers(&host->threads, numbers->list, numbers->room);
    }
    return true;
}

struct walk {
    struct berth_host *host;
    int tasks;
    struct berth_stack_range range;
    struct numbers seen;
    struct berth_doubt *doubt;
};

static bool thread_is_clear(struct walk *walk, pid_t number)
{
    const char *why = "";
    switch (berth_stack_look(walk->tasks, number, &walk->range, &why)) {
    case BERTH_STACK_CLEAR:
        break;
    case BERTH_STACK_UNSEEN:
        if (!berth_threads_know(&walk->host->threads, number)) /* since then it may have called */
            return doubt(walk->doubt, BERTH_DOUBT_MOMENT, "not proved: thread %d %s", (int)number,
                         why);
        break;
    case BERTH_STACK_INSIDE:
        return doubt(walk->doubt, BERTH_DOUBT_WHILE, "the stack of thread %d leads into it",
                     (int)number);
    }
    if (walk->seen.count == walk->seen.room && !numbers_grow(&walk->seen, walk->seen.room + 64))
        return doubt(walk->doubt, BERTH_DOUBT_MOMENT,
                     "not proved: no memory to look at all threads");
    walk->seen.list[walk->seen.count++] = number;
    return true;
}

/* One entry of a directory, as the kernel writes it. */
struct entry {
    uint64_t inode;
    int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[];
};

/* Goes over all tasks once. *ret_new: some had not been seen before. */
static bool tasks_are_clear(struct walk *walk, bool *ret_new)
{
    _Alignas(struct entry) char buffer[4096];
    long size;
    lseek(walk->tasks, 0, SEEK_SET);
    while ((size = syscall(SYS_getdents64, walk->tasks, buffer, sizeof buffer)) > 0)
        for (long at = 0; at < size; at += ((struct entry *)(void *)(buffer + at))->length) {
            const struct entry *entry = (const void *)(buffer + at);
            pid_t number = (pid_t)strtol(entry->name, NULL, 10);
            if (number <= 0 || numbers_have(&walk->seen, number))
                continue;
            *ret_new = true;
            if (!thread_is_clear(walk, number))
                return false;
        }
    return size == 0 ? true
                     : doubt(walk->doubt, BERTH_DOUBT_MOMENT, "not proved: /proc cannot be read");
}

/* Until no thread is new: one that is looked at may have begun another just before. */
static bool unknown_are_clear(struct walk *walk)
{
    bool is_new = true, clear = true;
    walk->tasks = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (walk->tasks < 0)
        return doubt(walk->doubt, BERTH_DOUBT_MOMENT,
                     "not proved: /proc/self/task cannot be opened");
    while (clear && is_new) {
        is_new = false;
        clear = tasks_are_clear(walk, &is_new);
    }
    close(walk->tasks);
    return clear;
}

/* They were there before the kernel counted as many, and still are: then there was nobody else. */
static bool are_all(const struct numbers *numbers, size_t threads)
{
    bool all = numbers->count == threads;
    for (size_t i = 0; i < numbers->count && all; i++)
        all = tgkill(getpid(), numbers->list[i], 0) == 0;
    return all;
}

static bool is_clear(struct walk *walk, const struct berth_image *image)
{
    struct berth_doubt *found = walk->doubt;
    if (!numbers_of_host(walk->host, &walk->seen))
        return doubt(found, BERTH_DOUBT_MOMENT, "not proved: no memory to look at all threads");
    struct berth_status status = berth_status_read(&walk->host->status_file);
    if (berth_holders_find(image, status.caught, found->text, sizeof found->text))
        return false;
    return are_all(&walk->seen, status.threads) || unknown_are_clear(walk);
}

bool berth_unload_verify(struct berth_generation *generation, struct berth_doubt *ret_doubt)
{
    const struct berth_image *image = generation->image;
    if (!image->handle || berth_image_keeps(image) ||
        (generation->host->options.flags & BERTH_HOST_KEEP_IMAGES))
        return true;
    if (!tables_are_clear(generation, ret_doubt) || !traces_are_clear(image, ret_doubt))
        return false;
    struct walk walk = { .host = generation->host,
                         .range = { image->low, image->high },
                         .doubt = ret_doubt };
    walk.seen.list = walk.seen.few;
    walk.seen.room = sizeof walk.seen.few / sizeof *walk.seen.few;
    bool clear = is_clear(&walk, image);
    if (walk.seen.list != walk.seen.few)
        berth_free(walk.seen.list);
    return clear;
}
