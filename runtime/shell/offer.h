/* SPDX-License-Identifier: MIT */
/*
 * What `berth run` offers to its host, as the module `run`: what belongs to the program, and not to
 * the core. So the socket, and modules, can ask for it as for any function.
 */
#ifndef RUNTIME_SHELL_OFFER_H
#define RUNTIME_SHELL_OFFER_H

#include <berth/host.h>

#include "runtime/base/buffer.h"
#include "runtime/shell/search.h"

#define BERTH_OFFER_NAME     "run"          /* of the module */
#define BERTH_OFFER_LISTENER "run.listener" /* hands over the service manager's socket */

struct berth_offer {
    /* Applies the configuration, as berth_reconfigure without waiting; NULL: there is none. */
    int (*reconfigure)(void *user, struct berth_buffer *report, struct berth_error *error);
    void *user;
    const struct berth_search *search; /* does not change any more */
    int listener;                      /* the service manager's socket, or -1 */
    bool listener_taken;               /* atomic: somebody serves it */
};

/* All of it is borrowed until the host has ended. One in a program. */
int berth_offer_provide(struct berth_offer *offer, berth_host *host, struct berth_error *error);

#endif
