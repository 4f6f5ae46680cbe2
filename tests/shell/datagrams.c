/* SPDX-License-Identifier: MIT */
/*
 * datagrams SOCKET: prints "listening", and then each datagram that comes as a line, its newlines
 * and what is not ASCII as \n and \x1b. A name that begins with @ is one of the abstract namespace.
 * Runs until it is killed.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

static int listen_at(const char *name)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t length = strlen(name);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || length >= sizeof(address.sun_path))
        return -1;
    memcpy(address.sun_path, name, length);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    socklen_t size =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (name[0] != '@'));
    return bind(fd, (const struct sockaddr *)&address, size) == 0 ? fd : -1;
}

static void print(const unsigned char *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '\n')
            fputs("\\n", stdout);
        else if (data[i] < 0x20 || data[i] > 0x7e)
            printf("\\x%02x", data[i]);
        else
            putchar(data[i]);
    }
    putchar('\n');
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static unsigned char data[1 << 16];
    int fd = argc == 2 ? listen_at(argv[1]) : -1;
    ssize_t size;

    if (fd < 0) {
        perror("datagrams");
        return 1;
    }
    puts("listening");
    fflush(stdout);
    while ((size = recv(fd, data, sizeof(data), 0)) >= 0)
        print(data, (size_t)size);
    return 0;
}
