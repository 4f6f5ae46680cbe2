/* SPDX-License-Identifier: MIT */
/* What host.stats tells, in the text format of Prometheus. */
#ifndef RUNTIME_SHELL_PROMETHEUS_H
#define RUNTIME_SHELL_PROMETHEUS_H

#include "runtime/shell/piece.h"

/* Returns an exit status. arena: for what is needed meanwhile. */
int berth_prometheus_print(struct berth_piece stats, struct berth_arena *arena);

#endif
