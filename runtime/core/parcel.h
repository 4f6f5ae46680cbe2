/* SPDX-License-Identifier: MIT */
/*
 * What is published: values that are shared by all mailboxes that they are in. What they point at
 * and is large lies in blobs, not in the parcel: those that its sender has it in, or new ones.
 */
#ifndef RUNTIME_CORE_PARCEL_H
#define RUNTIME_CORE_PARCEL_H

#include "runtime/core/core.h"

/* An immutable message. Handlers in this process get the very values that lie in it. */
struct berth_parcel {
    uint32_t refs;               /* atomic; one for each receiver that is not done with it */
    uint8_t blob_count;          /* blobs that they point into, whose addresses are before places */
    uint8_t priority;            /* enum berth_priority; from here on set by who makes it, or 0 */
    bool echo;                   /* what its handlers do comes of a line of the log (log.h) */
    const char *topic, *sender;  /* for the host's life */
    int64_t deadline;            /* of its sender, as berth_now() */
    struct berth_started *cause; /* the call that has published it, with a reference; or NULL */
    const void *const *arguments; /* the fields, by the topic's type, behind this struct */
    char *json;                   /* for handlers of any topic, or NULL */
    struct berth_chunk *chunk;    /* that its memory is of, or NULL */
    size_t size;                  /* that mailboxes count, with what lies in blobs */
    char *places;                 /* for its messages, behind all of it: see the setup */
} __attribute__((aligned(16)));

struct berth_parcel_setup {
    /* The calling one, whose stock it takes its memory from; NULL, for what stays: the heap. */
    struct berth_thread *thread;
    const struct berth_signature *signature;
    size_t receivers; /* at least 1 */
    size_t place;     /* bytes for each of the first BERTH_PARCEL_PLACES of them */
    bool any;         /* there are handlers of any topic */
};
/*
 * Messages of a parcel lie in it, so that publishing takes memory once, but not of very many
 * receivers: who is slow would keep all of that.
 */
#define BERTH_PARCEL_PLACES 8
/* With one reference for each receiver. Checks the arguments. */
int berth_parcel_new(struct berth_host *host, const struct berth_parcel_setup *setup,
                     const void *const *arguments, struct berth_parcel **ret_parcel,
                     struct berth_error *error);
void berth_parcel_free(struct berth_parcel *parcel);
static inline void berth_parcel_unref(struct berth_parcel *parcel)
{
    if (!parcel || (__atomic_load_n(&parcel->refs, __ATOMIC_ACQUIRE) > 1 &&
                    __atomic_sub_fetch(&parcel->refs, 1, __ATOMIC_ACQ_REL) > 0))
        return; /* the last one need not count */
    berth_parcel_free(parcel);
}

#endif
