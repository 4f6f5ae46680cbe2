/* SPDX-License-Identifier: MIT */
/* The signals of a host in the foreground: they are fetched by its main thread, one by one. */
#ifndef RUNTIME_SHELL_SIGNALS_H
#define RUNTIME_SHELL_SIGNALS_H

#include <stdint.h>

/* Before there is any other thread, as each inherits what is blocked. */
void berth_signals_block(void);
/* The next one, or 0 after timeout nanoseconds; -1 waits without limit. */
int berth_signals_wait(int64_t timeout);
/* From now on SIGTERM and SIGINT end the program at once. */
void berth_signals_release(void);

#endif
