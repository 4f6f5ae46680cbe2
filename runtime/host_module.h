/* SPDX-License-Identifier: MIT */
/* The built-in module `host`: what the core can do, as functions and topics like any other's. */
#ifndef RUNTIME_HOST_MODULE_H
#define RUNTIME_HOST_MODULE_H

#include "runtime/core/core.h"

/* Loads it into a host that is not a worker's; before any other module. */
int berth_host_module_load(struct berth_host *host, struct berth_error *error);
/* When no module and no subscription is left. */
void berth_host_module_free(struct berth_host *host);

#endif
