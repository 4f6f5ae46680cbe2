/* SPDX-License-Identifier: MIT */
/*
 * A listening socket that somebody else has opened, as a service manager. The function that has it
 * sends it to an address of ours: so it reaches us in a worker, too, and when we are restarted.
 */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

BERTH_IMPORT_AS(ask_host, json, host, call, (string, function), (optional(json), arguments),
                (optional(i64), timeout_ms));

#define PATIENCE_MS 2000

/* The descriptor that comes with one byte; -1: errno. */
static int receive(int from)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    char byte;
    struct iovec one = { &byte, 1 };
    struct msghdr message = { .msg_iov = &one,
                              .msg_iovlen = 1,
                              .msg_control = control.room,
                              .msg_controllen = sizeof(control.room) };
    int fd = -1;
    ssize_t got = recvmsg(from, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    struct cmsghdr *rights = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (rights && rights->cmsg_type == SCM_RIGHTS && rights->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(&fd, CMSG_DATA(rights), sizeof(int));
    else if (got >= 0)
        errno = EBADMSG;
    return fd;
}

/* Of whoever has connected already. */
static int take(int waiting)
{
    int peer = accept4(waiting, NULL, NULL, SOCK_CLOEXEC);
    if (peer < 0)
        return -1;
    int fd = listen_peer_is_own(peer) ? receive(peer) : -1;
    int number = errno;
    close(peer);
    errno = number;
    return fd;
}

/* Clients are accepted until there is none, by threads of which each may be too late. */
static bool will_do(int fd)
{
    int family = 0, type = 0, listens = 0;
    socklen_t size = sizeof(int);
    return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) && family == AF_UNIX &&
           !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) && type == SOCK_STREAM &&
           !getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) && listens &&
           !fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
}

int handed_socket(berth_ctx *ctx, const char *function)
{
    const berth_optional_i64 patience = { true, PATIENCE_MS };
    const char *name = NULL;
    int waiting = heir_listen(ctx, &name);
    if (waiting < 0)
        return -1;
    ask_host(ctx, function, berth_printf(ctx, "[\"%s\"]", name), patience);
    int fd = berth_failed(ctx) ? -1 : take(waiting);
    if (fd >= 0 && !will_do(fd)) {
        close(fd);
        fd = -1;
        errno = ENOTSOCK;
    }
    if (fd < 0 && !berth_failed(ctx))
        berth_fail(ctx, BERTH_FAILED_PRECONDITION,
                   "%s has not handed a listening stream socket of AF_UNIX over: %s", function,
                   strerror(errno));
    close(waiting);
    return fd;
}
