/* SPDX-License-Identifier: MIT */
/*
 * A host that runs by a configuration: reading that again, and having the host become what it says
 * now, in one step. Modules that did not come from the configuration are left alone.
 */
#ifndef RUNTIME_SHELL_RECONFIGURE_H
#define RUNTIME_SHELL_RECONFIGURE_H

#include <pthread.h>

#include "runtime/shell/apply.h"
#include "runtime/shell/local.h"
#include "runtime/shell/notify.h"
#include "runtime/shell/roster.h"

struct berth_reconfigure {
    struct berth_local *local;
    const struct berth_config *config; /* by which the host was made */
    const struct berth_notify *notify; /* who is told when it begins and ends */
    struct berth_roster roster;        /* what runs by it, or by a later one */
    pthread_mutex_t lock;              /* one reading at a time */
    bool closed;                       /* no more of them */
};

/*
 * Before the host starts, so that what changes meanwhile is seen later. All but the roster is
 * borrowed. To be deinit'ed in any case.
 */
int berth_reconfigure_init(struct berth_reconfigure *reconfigure, struct berth_local *local,
                           const struct berth_config *config, const struct berth_notify *notify,
                           struct berth_error *error);
/* The host has started: what it had to leave out is not there. */
void berth_reconfigure_started(struct berth_reconfigure *reconfigure);
void berth_reconfigure_deinit(struct berth_reconfigure *reconfigure);

/* From now on nothing is applied; waits for what is just being applied. */
void berth_reconfigure_close(struct berth_reconfigure *reconfigure);

/*
 * Reads the configuration again, checks all of it, and applies what is different. On failure
 * nothing has changed, or what has is set back as far as that can be. Tells the log all of it.
 * Blocks for as long as the modules do. Any thread: inside a call of a module, that one can be
 * reloaded, but not stopped. Another one that is at it is waited for if wait; else it is an error,
 * as it has to be where a load may be waiting for this.
 *
 * report (may be NULL) gets what was done, in any case, as JSON:
 *
 *     {"file":"a.conf","applied":true,"started":1,"reloaded":0,"stopped":0,"unchanged":2,
 *      "steps":["started math (…)"],"problems":[…]}
 *
 * problems are those of berth_problems_json; when it is not applied, "error" says why.
 */
int berth_reconfigure(struct berth_reconfigure *reconfigure, bool wait, struct berth_buffer *report,
                      struct berth_error *error);

#endif
