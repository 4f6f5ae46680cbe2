/* SPDX-License-Identifier: MIT */
/* One module of a reload that is going on: it may be one of several. Under admin. */
#ifndef RUNTIME_RELOAD_TRANSACTION_H
#define RUNTIME_RELOAD_TRANSACTION_H

#include "runtime/reload/history.h"
#include "runtime/reload/lifecycle.h"

struct berth_replacement {
    berth_ctx *admin;
    struct berth_module *module;
    struct berth_generation *old, *next; /* next NULL: it is not made yet */
    struct berth_past *past; /* what is kept of the old one, once it is replaced; or NULL */
    struct berth_reload_report *report;
    struct berth_restart_policy restart; /* of the new one */
    const struct berth_state *state;     /* for RESTORE, instead of what SAVE gives; or NULL */
    int64_t deadline;                    /* of what is inside of the old one */
    uint64_t lost;                       /* what the old one had lost before */
    struct berth_death death;            /* of the new one's worker, before it served */
    bool was_running;                    /* the old generation's worker is alive */
    bool shut;                           /* new calls wait */
    bool gated;                          /* this chain holds the module's gate */
};

#endif
