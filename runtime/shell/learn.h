/* SPDX-License-Identifier: MIT */
/* What berth run --learn has to tell. */
#ifndef RUNTIME_SHELL_LEARN_H
#define RUNTIME_SHELL_LEARN_H

#include <berth/host.h>

#include "runtime/shell/config.h"

/*
 * Ends the modules, whose STOP may need something as well, and prints what was needed, as the key
 * "permissions" of a configuration. listening: the configuration of a host that listens by itself,
 * or NULL; unless it has grants of control and of operators, berth run gives them, and they are
 * left out. Returns an exit status.
 */
int berth_learn_print(berth_host *host, const struct berth_config *listening);

#endif
