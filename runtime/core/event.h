/* SPDX-License-Identifier: MIT */
/*
 * What happens to modules, for those who watch: published to host.module.KIND (the topics are the
 * built-in module's), and the newest ones kept.
 */
#ifndef RUNTIME_CORE_EVENT_H
#define RUNTIME_CORE_EVENT_H

#include "runtime/base/buffer.h"
#include "runtime/core/core.h"

enum berth_event_kind {
    BERTH_EVENT_LOADED,
    BERTH_EVENT_UNLOADED,
    BERTH_EVENT_RELOADED,
    BERTH_EVENT_REFUSED, /* a load or a reload */
    BERTH_EVENT_DIED,
    BERTH_EVENT_RESTARTED,
    BERTH_EVENT_FAILED,      /* it is not restarted any more */
    BERTH_EVENT_QUARANTINED, /* an old image stays mapped */
    BERTH_EVENT_KINDS
};

struct berth_event {
    enum berth_event_kind kind;
    const char *module, *version, *placement; /* "" where there is none */
    unsigned generation;                      /* 0: none */
    const char *detail;                       /* in words, or "" */
};

/* Any thread that holds neither topic_lock nor a lock after it. May be lost without memory. */
void berth_event_publish(struct berth_host *host, const struct berth_event *event);
/* The same of a generation. */
void berth_event_of(const struct berth_generation *generation, enum berth_event_kind kind,
                    const char *detail);
/* "host.module.loaded". Static. */
const char *berth_event_topic(enum berth_event_kind kind);
/* Appends a JSON array of the newest ones, oldest first. */
void berth_events_print(struct berth_host *host, struct berth_buffer *buffer);

#define BERTH_EVENTS_SIZE ((size_t)65536) /* bytes that are kept */
int berth_events_init(struct berth_host *host, struct berth_error *error);
void berth_events_deinit(struct berth_host *host);

#endif
