/* SPDX-License-Identifier: MIT */
/*
 * Operations for which there is not enough of something: each is tried with nothing of it, then
 * with ever more, until nothing is refused any more. Whatever was refused, the operation says so,
 * leaves everything as it was, leaks nothing, and may work the next time.
 */
#ifndef BERTH_TESTS_SUPPORT_SHORTAGE_H
#define BERTH_TESTS_SUPPORT_SHORTAGE_H

#include <stdbool.h>

#include <berth/host.h>

/* What there may be too little of. */
struct berth_shortage {
    const char *of;
    void (*begin)(unsigned long n); /* so much of it is there */
    bool (*end)(unsigned long n);   /* there is enough again; whether anything was refused */
    const char *(*hindrance)(void); /* why that cannot be tried here; or NULL */
    enum {
        BERTH_SHORT_ON_THREAD, /* which is the test's own: the host has no others */
        BERTH_SHORT_IN_HOST,   /* on all of its threads */
        BERTH_SHORT_IN_WORKERS
    } where;
};
extern const struct berth_shortage berth_short_of_block; /* one is refused, those after it not */
extern const struct berth_shortage berth_short_of_memory;
/* The same in the whole process, or in all workers. */
extern const struct berth_shortage berth_host_short_of_block, berth_host_short_of_memory;
extern const struct berth_shortage berth_workers_short_of_block, berth_workers_short_of_memory;
extern const struct berth_shortage berth_short_of_descriptors;
extern const struct berth_shortage berth_short_of_space; /* for addresses */

struct berth_operation {
    const char *name;
    int (*run)(void);      /* returns a code; with enough, BERTH_OK */
    void (*undo)(void);    /* once it has worked; or NULL */
    void (*prepare)(void); /* before each try; or NULL */
};

/* Where they are tried. */
struct berth_scarce {
    berth_host *host;
    void (*recover)(void);  /* before each try, and after one that has failed; or NULL */
    void (*unharmed)(void); /* after each: checks that all of it serves; or NULL */
    long keeps;             /* blocks that those that fail may leave: what was recorded */
};

/*
 * That host, without a log, as that would allocate, too; its threads are none, unless the shortage
 * is about all of them. With a worker, one for `greet` as "away" is there, and so is the process
 * that makes workers. Skips what cannot be tried here.
 */
berth_host *berth_scarce_host(const struct berth_shortage *shortage, bool worker);
/* Has it do all that is to be done. */
void berth_scarce_settle(berth_host *host);
/* Calls, and allocates nothing itself; expected: the result as JSON, or NULL. Returns the code. */
int berth_scarce_call(berth_host *host, const char *function, const char *arguments,
                      const char *expected);
/* Returns how many tries something was refused in; then the operation worked. */
unsigned long berth_scarce_try(const struct berth_scarce *scarce,
                               const struct berth_operation *operation,
                               const struct berth_shortage *shortage);

#endif
