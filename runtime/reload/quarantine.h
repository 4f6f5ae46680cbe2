/* SPDX-License-Identifier: MIT */
/*
 * The quarantine: generations that were replaced or unloaded and are not proved safe to unmap. They
 * are listed with the reason, looked at again, and go when they can. All of it under admin.
 */
#ifndef RUNTIME_RELOAD_QUARANTINE_H
#define RUNTIME_RELOAD_QUARANTINE_H

#include "runtime/core/core.h"

/* Why a generation stays. */
struct berth_doubt {
    char text[sizeof((struct berth_generation *)0)->why];
    enum berth_doubt_lasts lasts;
};

/* Puts it there, or tells why it still is. */
void berth_quarantine_enter(struct berth_generation *generation, const struct berth_doubt *doubt);
/* One of that label has gone. */
void berth_quarantine_left(struct berth_host *host, const char *label);
/* Ends those that nothing is inside of any more, or not until the deadline. */
void berth_quarantine_look(berth_ctx *admin, struct berth_host *host, int64_t deadline);
/* At the host's end: looks until nothing but the momentary is left, or for a moment only. */
void berth_quarantine_finish(berth_ctx *admin, struct berth_host *host, int64_t deadline);
/* Whether something is still inside of one of them, that the host may be needed for. */
bool berth_quarantine_is_entered(struct berth_host *host);
/* resource_exhausted when there are as many of them as there may be: then nothing is replaced. */
int berth_quarantine_check(struct berth_host *host, struct berth_error *error);
/* Appends a JSON array of them. Not under admin. host->lock held. */
void berth_quarantine_print(const struct berth_host *host, struct berth_buffer *buffer);

#endif
