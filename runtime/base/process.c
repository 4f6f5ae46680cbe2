/* SPDX-License-Identifier: MIT */
#include "runtime/base/process.h"

#include "runtime/base/error.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const int no_host = 1;
static int *mark, mark_errno; /* atomic: the process that has made hosts; 0 in a child of it */
const int *berth_process_mark = &no_host;
static int owner;      /* atomic: the same, but a child keeps it */
static unsigned hosts; /* atomic */

static void make_mark(void)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page != MAP_FAILED && madvise(page, size, MADV_WIPEONFORK) == 0) {
        berth_process_mark = mark = page;
        return;
    }
    mark_errno = errno;
    if (page != MAP_FAILED)
        munmap(page, size);
}

int berth_process_begin(struct berth_error *error)
{
    pthread_once(&once, make_mark);
    if (!mark)
        return berth_error_errno(error, mark_errno, "no memory that a fork wipes (Linux 4.14)");
    unsigned others = __atomic_load_n(&hosts, __ATOMIC_ACQUIRE); /* who counts has marked before */
    if (__atomic_load_n(mark, __ATOMIC_RELAXED) == 0) {
        if (others)
            return berth_process_refuse(error);
        __atomic_store_n(&owner, (int)getpid(), __ATOMIC_RELAXED);
        __atomic_store_n(mark, (int)getpid(), __ATOMIC_RELAXED);
    }
    __atomic_add_fetch(&hosts, 1, __ATOMIC_RELEASE);
    return BERTH_OK;
}

void berth_process_end(void)
{
    __atomic_sub_fetch(&hosts, 1, __ATOMIC_RELEASE);
}

const char *berth_process_refusal(void)
{
    static char text[128]; /* whoever asks is the child's only thread */
    snprintf(text, sizeof(text),
             "this host belongs to process %d: after a fork the child may only exec or _exit",
             __atomic_load_n(&owner, __ATOMIC_RELAXED));
    return text;
}

int berth_process_refuse(struct berth_error *error)
{
    return berth_error_set(error, BERTH_FAILED_PRECONDITION, "%s", berth_process_refusal());
}
