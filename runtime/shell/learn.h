/* SPDX-License-Identifier: MIT */
/* What berth run --learn has to tell. */
#ifndef RUNTIME_SHELL_LEARN_H
#define RUNTIME_SHELL_LEARN_H

#include <berth/host.h>

/* For a host without a configuration: open, and noting what is needed. */
#define BERTH_LEARN_PERMISSIONS "{\"mode\":\"open\",\"record\":true}"

/*
 * Ends the modules, whose STOP may need something as well, and prints what was needed, as the key
 * "permissions" of a configuration. Returns an exit status.
 */
int berth_learn_print(berth_host *host);

#endif
