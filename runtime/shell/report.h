/* SPDX-License-Identifier: MIT */
/* What host.reload, and others that end in a reload, tell: in words. */
#ifndef RUNTIME_SHELL_REPORT_H
#define RUNTIME_SHELL_REPORT_H

#include "runtime/shell/remote.h"

/*
 * Asks for it, and prints the report, or reports, or the failure, with the report of what was
 * refused. module NULL: of several. params is taken, and has not ended. Returns an exit status.
 */
int berth_report_ask(struct berth_remote *remote, const char *method, const char *module,
                     struct berth_buffer *params);

#endif
