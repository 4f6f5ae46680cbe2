/* SPDX-License-Identifier: MIT */
/*
 * Who inherits. Anybody who can call `heir` learns the address, and whoever knows it can connect;
 * what is handed over goes to the process in which the host runs this module by then, and to nobody
 * else.
 */
#include "control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

BERTH_IMPORT(json, host, list);
BERTH_IMPORT(json, host, stats);

#define BACKLOG     64
#define CALLERS_MAX 8

/* Under inherit.c's lock. */
static struct {
    int waiting;                                            /* -1: nobody has asked yet */
    char name[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* of the address */
    struct caller {
        int fd;
        pid_t pid;
    } callers[CALLERS_MAX]; /* who has connected, the newest last */
    size_t count;
} here = { .waiting = -1 };

int heir_listen(berth_ctx *ctx, const char **ret_name)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    socklen_t size = sizeof(address);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* without a name it gets one that is free, of five letters behind a NUL */
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)) ||
        getsockname(fd, (struct sockaddr *)&address, &size) || listen(fd, BACKLOG)) {
        berth_fail(ctx, BERTH_RESOURCE_EXHAUSTED, "cannot wait for a socket: %s", strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    *ret_name =
        berth_printf(ctx, "%.*s", (int)(size - sizeof(sa_family_t) - 1), address.sun_path + 1);
    return fd;
}

/* ---- who has connected ---------------------------------------------------------------------- */

static void drop(size_t at)
{
    close(here.callers[at].fd);
    here.count--;
    memmove(&here.callers[at], &here.callers[at + 1], (here.count - at) * sizeof(*here.callers));
}

/*
 * One of each process: of a generation that was given up there may be an earlier one. Without room
 * the oldest goes.
 */
static void keep(int fd, pid_t pid)
{
    size_t at = 0;
    while (at < here.count && here.callers[at].pid != pid)
        at++;
    if (at < here.count)
        drop(at);
    else if (here.count == CALLERS_MAX)
        drop(0);
    here.callers[here.count++] = (struct caller){ fd, pid };
}

/* So there is room for who connects next. */
static void collect(void)
{
    int fd;
    while (here.waiting >= 0 && (fd = accept4(here.waiting, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        struct ucred peer;
        socklen_t size = sizeof(peer);
        if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) && peer.uid == geteuid())
            keep(fd, peer.pid);
        else
            close(fd);
    }
}

const char *heir_address(berth_ctx *ctx)
{
    if (here.waiting < 0) {
        const char *name;
        here.waiting = heir_listen(ctx, &name);
        if (here.waiting < 0)
            return "";
        snprintf(here.name, sizeof(here.name), "%s", name);
    }
    collect();
    return berth_printf(ctx, "%s", here.name);
}

int heir_take(pid_t pid)
{
    int fd = -1;
    collect();
    while (here.count) {
        const struct caller *caller = &here.callers[--here.count];
        if (caller->pid == pid)
            fd = caller->fd; /* there is one of each process */
        else
            close(caller->fd);
    }
    heir_close();
    return fd;
}

void heir_close(void)
{
    while (here.count)
        drop(here.count - 1);
    if (here.waiting >= 0)
        close(here.waiting);
    here.waiting = -1;
}

/* ---- which process it is -------------------------------------------------------------------- */

static pid_t member_pid(const berth_parsed *object)
{
    const char *pid = json_member(object, "pid");
    return pid ? (pid_t)strtol(pid, NULL, 10) : 0;
}

/* The host's own process. */
static pid_t host_pid(berth_ctx *ctx)
{
    const berth_parsed stats = json_parse(ctx, host_stats(ctx));
    const berth_parsed host = json_parse_member(ctx, &stats, "host");
    return member_pid(&host);
}

static pid_t pid_of(berth_ctx *ctx, const berth_parsed *module)
{
    bool is_inline = !strcmp(json_string_member(ctx, module, "placement"), "inline");
    return is_inline ? host_pid(ctx) : member_pid(module);
}

pid_t heir_pid(berth_ctx *ctx)
{
    uint64_t mark = berth_mark(ctx);
    const berth_parsed list = json_parse(ctx, host_list(ctx));
    const berth_parsed modules = json_parse_member(ctx, &list, "modules");
    pid_t pid = 0;
    for (size_t i = 0; i < modules.members.count && !pid; i++) {
        const berth_parsed module = json_parse(ctx, modules.members.data[i].value);
        if (!strcmp(json_string_member(ctx, &module, "name"), own_name))
            pid = pid_of(ctx, &module);
    }
    if (berth_failed(ctx))
        pid = 0;
    berth_clear(ctx);
    berth_rewind(ctx, mark);
    return pid;
}
