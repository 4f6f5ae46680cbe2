/* SPDX-License-Identifier: MIT */
/* Whether a SIGHUP means that the terminal has hung up, or that somebody wants files read again. */
#ifndef RUNTIME_SHELL_TERMINAL_H
#define RUNTIME_SHELL_TERMINAL_H

#include <stdbool.h>

/*
 * At the start: whether the program is to end with its terminal. It has one, and whoever began it
 * does not have it outlive that, as nohup does by ignoring SIGHUP.
 */
bool berth_terminal_binds(void);
/* There is no controlling terminal (any more). */
bool berth_terminal_gone(void);

#endif
