/* SPDX-License-Identifier: MIT */
#include "runtime/shell/activation.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FIRST = 3, COUNT_MAX = 1024 };

/* -1: the variable is no small number. */
static long number_of(const char *variable)
{
    const char *text = getenv(variable);
    char *end;

    if (!text || *text < '0' || *text > '9')
        return -1;
    long number = strtol(text, &end, 10);
    return *end ? -1 : number;
}

static int option_of(int fd, int option)
{
    int value = -1;
    socklen_t size = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

static bool will_do(int fd)
{
    return option_of(fd, SO_DOMAIN) == AF_UNIX && option_of(fd, SO_TYPE) == SOCK_STREAM &&
           option_of(fd, SO_ACCEPTCONN) == 1;
}

int berth_activation_fd(void)
{
    long count = number_of("LISTEN_PID") == getpid() ? number_of("LISTEN_FDS") : 0;
    int found = -1;

    for (int fd = FIRST; fd < FIRST + count && count <= COUNT_MAX; fd++) {
        if (found < 0 && will_do(fd)) {
            fcntl(fd, F_SETFD, FD_CLOEXEC);
            found = fd;
        } else {
            close(fd);
        }
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return found;
}
