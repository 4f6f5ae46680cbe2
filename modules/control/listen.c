/* SPDX-License-Identifier: MIT */
/*
 * The name of the socket. Who has the lock of PATH.lock may remove what has the name, and bind
 * anew; so two hosts that start at once do not take it from each other.
 */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 128

static struct {
    struct sockaddr_un address;
    char lock_path[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 8];
    char function[160]; /* that hands the socket over, or "" */
    int socket, lock;
    bool handed;  /* the socket was: its name is not ours, and others listen when we have gone */
    dev_t device; /* of the name, when it was made */
    ino_t inode;
    mode_t mode;
    gid_t group;
    bool for_group;
} here = { .socket = -1, .lock = -1 };

static int fail(berth_ctx *ctx, const char *what)
{
    berth_fail(ctx,
               errno == EACCES || errno == EPERM ? BERTH_PERMISSION_DENIED
                                                 : BERTH_FAILED_PRECONDITION,
               "%s: %s: %s", here.address.sun_path, what, strerror(errno));
    return -1;
}

static int taken(berth_ctx *ctx)
{
    berth_fail(ctx, BERTH_ALREADY_EXISTS,
               "another host listens at %s: give this one another option \"socket\"",
               here.address.sun_path);
    return -1;
}

/* The lock, of a file that still has its name once it is locked. */
static int lock_take(berth_ctx *ctx)
{
    for (;;) {
        struct stat held, named;
        int fd = open(here.lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return fail(ctx, errno == ENOENT ? "its directory is not there: make it"
                                             : "its lock file cannot be made");
        if (flock(fd, LOCK_EX | LOCK_NB)) {
            int result = errno == EWOULDBLOCK ? taken(ctx) : fail(ctx, "cannot be locked");
            close(fd);
            return result;
        }
        if (!fstat(fd, &held) && !lstat(here.lock_path, &named) && held.st_dev == named.st_dev &&
            held.st_ino == named.st_ino)
            return fd;
        close(fd); /* its last owner has just removed it */
    }
}

static int socket_new(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* Removes what a host that is gone has left. */
static int stale_remove(berth_ctx *ctx)
{
    struct stat status;
    if (lstat(here.address.sun_path, &status))
        return errno == ENOENT ? 0 : fail(ctx, "cannot be looked at");
    if (!S_ISSOCK(status.st_mode)) {
        berth_fail(ctx, BERTH_FAILED_PRECONDITION,
                   "%s is there and no socket: remove it, or give another option \"socket\"",
                   here.address.sun_path);
        return -1;
    }
    int probe = socket_new();
    if (probe < 0)
        return fail(ctx, "no socket");
    int number = connect(probe, (const struct sockaddr *)&here.address, sizeof(here.address)) == 0
                     ? 0
                     : errno;
    close(probe);
    if (number != ECONNREFUSED && number != ENOENT)
        return taken(ctx); /* without our lock: some other program */
    if (unlink(here.address.sun_path) && errno != ENOENT)
        return fail(ctx, "a stale socket cannot be removed");
    return 0;
}

static int mode_parse(berth_ctx *ctx, const char *text)
{
    char *end;
    unsigned long mode = strtoul(text, &end, 8);
    if (*text < '0' || *text > '7' || *end || mode > 0777) {
        berth_fail(ctx, BERTH_INVALID_ARGUMENT,
                   "the option \"mode\" is \"%s\": give octal digits, like 0600", text);
        return -1;
    }
    here.mode = (mode_t)mode;
    return 0;
}

static int group_find(berth_ctx *ctx, const char *name)
{
    char buffer[16384];
    struct group group, *found = NULL;
    char *end;
    unsigned long number = strtoul(name, &end, 10);
    here.for_group = *name != '\0';
    if (!here.for_group)
        return 0;
    if (!*end && number < (gid_t)-1) {
        here.group = (gid_t)number;
        return 0;
    }
    if (!getgrnam_r(name, &group, buffer, sizeof(buffer), &found) && found) {
        here.group = found->gr_gid;
        return 0;
    }
    berth_fail(ctx, BERTH_NOT_FOUND, "the option \"group\" is \"%s\": there is no such group",
               name);
    return -1;
}

/* Whom the name lets in. */
static int permit(berth_ctx *ctx)
{
    const char *path = here.address.sun_path;
    if (here.for_group && lchown(path, (uid_t)-1, here.group))
        return fail(ctx, "cannot be given to the group");
    return chmod(path, here.mode) ? fail(ctx, "its mode cannot be set") : 0;
}

/* Nobody can connect before listen, and until then the mode is set. */
static int bind_and_listen(berth_ctx *ctx)
{
    struct stat status;
    const char *path = here.address.sun_path;
    here.socket = socket_new();
    if (here.socket < 0)
        return fail(ctx, "no socket");
    fchmod(here.socket, 0600); /* what bind gives to the name, at most */
    if (bind(here.socket, (const struct sockaddr *)&here.address, sizeof(here.address)))
        return fail(ctx, "cannot be bound");
    if (lstat(path, &status))
        return fail(ctx, "cannot be looked at");
    here.device = status.st_dev;
    here.inode = status.st_ino;
    if (permit(ctx))
        return -1;
    if (listen(here.socket, BACKLOG))
        return fail(ctx, "nobody can connect");
    return here.socket;
}

bool listen_prepare(berth_ctx *ctx, const char *path, const char *function)
{
    if ((!*path && !*function) || strlen(path) >= sizeof(here.address.sun_path)) {
        berth_fail(ctx, BERTH_INVALID_ARGUMENT,
                   *path ? "the path of the socket is longer than %zu bytes: give another option "
                           "\"socket\""
                         : "where to listen? Give the option \"socket\", a path of at most %zu "
                           "bytes",
                   sizeof(here.address.sun_path) - 1);
        return false;
    }
    snprintf(here.function, sizeof(here.function), "%s", function);
    here.address.sun_family = AF_UNIX;
    strcpy(here.address.sun_path, path);
    snprintf(here.lock_path, sizeof(here.lock_path), "%s.lock", path);
    return true;
}

bool listen_permit(berth_ctx *ctx, const char *mode, const char *group)
{
    return !mode_parse(ctx, mode) && !group_find(ctx, group);
}

/* 0: there is none, and we listen ourselves. */
static int take_handed(berth_ctx *ctx)
{
    int fd = handed_socket(ctx, here.function);
    if (fd < 0 && berth_error_code(ctx) == BERTH_NOT_FOUND && *here.address.sun_path) {
        berth_clear(ctx);
        return 0;
    }
    here.socket = fd;
    here.handed = fd >= 0;
    return fd;
}

int listen_open(berth_ctx *ctx)
{
    int handed = *here.function ? take_handed(ctx) : 0;
    if (handed)
        return handed;
    here.lock = lock_take(ctx);
    if (here.lock >= 0 && !stale_remove(ctx) && bind_and_listen(ctx) >= 0)
        return here.socket;
    listen_close(false);
    return -1;
}

static bool has_name(void)
{
    struct stat status;
    return here.inode && !lstat(here.address.sun_path, &status) && status.st_dev == here.device &&
           status.st_ino == here.inode;
}

void listen_retire(void)
{
    if (has_name())
        unlink(here.address.sun_path);
    here.inode = 0;
    if (here.socket >= 0 && !here.handed)
        shutdown(here.socket, SHUT_RDWR);
    if (here.lock >= 0) {
        unlink(here.lock_path);
        close(here.lock);
    }
    here.lock = -1;
}

void listen_close(bool inherited)
{
    if (!inherited)
        listen_retire();
    if (here.socket >= 0)
        close(here.socket);
    if (here.lock >= 0)
        close(here.lock);
    here.socket = here.lock = -1;
    here.inode = 0;
}

/* ---- from one generation to the next -------------------------------------------------------- */

void listen_give(int fds[2], struct listen_identity *identity)
{
    fds[0] = here.socket;
    fds[1] = here.lock;
    *identity = (struct listen_identity){ here.device, here.inode };
}

void listen_take(berth_ctx *ctx, const int fds[2], const struct listen_identity *identity)
{
    here.socket = fds[0];
    here.lock = fds[1];
    here.handed = fds[1] < 0;
    here.device = (dev_t)identity->device;
    here.inode = (ino_t)identity->inode;
    if (has_name() && permit(ctx)) {
        berth_log(ctx, BERTH_LOG_ERROR, "%s", berth_error_text(ctx));
        berth_clear(ctx);
    }
}

bool listen_is_at(const char *path, const char *function)
{
    return !strcmp(path, here.address.sun_path) && !strcmp(function, here.function);
}

const char *listen_path(void)
{
    return here.address.sun_path;
}

const char *listen_function(void)
{
    return here.function;
}

bool listen_is_open(void)
{
    return here.socket >= 0;
}

/* ---- peers ---------------------------------------------------------------------------------- */

static bool in_group(int fd, const struct ucred *peer)
{
    gid_t groups[1024];
    socklen_t size = sizeof(groups);
    if (!here.for_group)
        return false;
    if (peer->gid == here.group)
        return true;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size))
        return false;
    for (size_t i = 0; i < size / sizeof(*groups); i++)
        if (groups[i] == here.group)
            return true;
    return false;
}

bool listen_peer_is_own(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);
    return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) && peer.uid == geteuid();
}

bool listen_peer_allowed(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);
    return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) &&
           (peer.uid == 0 || peer.uid == geteuid() || in_group(fd, &peer));
}
