/* SPDX-License-Identifier: MIT */
/*
 * activate SOCKET COMMAND...: the part of a service manager that listens at SOCKET, and then runs
 * the command with that as descriptor 3.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    char pid[32];

    if (argc < 3 || strlen(argv[1]) >= sizeof(address.sun_path))
        return 2;
    strcpy(address.sun_path, argv[1]);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || (fd != 3 && (dup2(fd, 3) != 3 || close(fd))))
        return 1;
    if (bind(3, (const struct sockaddr *)&address, sizeof(address)) || listen(3, 16))
        return 1;
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "1", 1);
    setenv("LISTEN_FDNAMES", "berth.socket", 1);
    execv(argv[2], argv + 2);
    return 1;
}
