/* SPDX-License-Identifier: MIT */
#include "runtime/shell/terminal.h"

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

bool berth_terminal_gone(void)
{
    int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return true;
    close(fd);
    return false;
}

bool berth_terminal_binds(void)
{
    struct sigaction action;

    return !berth_terminal_gone() && sigaction(SIGHUP, NULL, &action) == 0 &&
           action.sa_handler != SIG_IGN;
}
