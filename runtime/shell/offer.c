/* SPDX-License-Identifier: MIT */
#include "runtime/shell/offer.h"

#include <berth/module.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime/base/error.h"

/* Parallel: control is loaded from inside of reconfigure, and asks for the listener. */
BERTH_MODULE("run", BERTH_VERSION, "The program berth run, which has made this host.");
BERTH_PARALLEL;

static struct berth_offer *the_offer;

static void fail(berth_ctx *ctx, const struct berth_error *error)
{
    berth_fail(ctx, error->code, "%s", error->text);
}

/* ---- the configuration ---- */

BERTH_EXPORT(json, reconfigure,
             "Reads the configuration again, as at SIGHUP, and has the host become what it says: "
             "all of it or nothing. Returns what was done, or all that is wrong.")
{
    struct berth_error error = { 0 };
    struct berth_buffer report;
    const char *result = "null";

    if (!the_offer->reconfigure) {
        berth_fail(ctx, BERTH_FAILED_PRECONDITION,
                   "this host was started without --config: there is nothing to be applied");
        return "null";
    }
    berth_buffer_init(&report, 0);
    int code = the_offer->reconfigure(the_offer->user, &report, &error);
    if (code != BERTH_OK && !report.size) /* it has not come to that */
        fail(ctx, &error);
    else if (berth_buffer_check(&report, &error) != BERTH_OK)
        fail(ctx, &error);
    else
        result = berth_printf(ctx, "%s", report.data);
    berth_buffer_deinit(&report);
    return result;
}

/* ---- the search path ---- */

BERTH_EXPORT(string, find, "The file of a module, by the search path that the host has begun with.",
             (string, name), (optional(string), version, "a range; else any"))
{
    struct berth_search search; /* whose results are this thread's */
    struct berth_search_result found;
    struct berth_error error = { 0 };
    const char *result = "";
    int code = BERTH_OK;

    berth_search_init(&search);
    for (const struct berth_search_place *place = the_offer->search->first; place;
         place = place->next)
        if (code == BERTH_OK)
            code = berth_search_add(&search, place->directory, place->origin, &error);
    if (code == BERTH_OK)
        code = berth_search_find(&search, name, version, false, &found, &error);
    if (code == BERTH_OK)
        result = berth_printf(ctx, "%s", found.file);
    else
        fail(ctx, &error);
    berth_search_deinit(&search);
    return result;
}

/* ---- the service manager's socket ---- */

/* The abstract address of a socket of this user's processes; -1: errno. */
static int reach(const char *name)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const struct timeval patience = { .tv_sec = 2 };
    struct ucred peer = { .uid = (uid_t)-1 };
    socklen_t size = sizeof(peer);
    size_t length = strlen(name);

    if (length > sizeof(address.sun_path) - 1) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path + 1, name, length);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    size_t whole = offsetof(struct sockaddr_un, sun_path) + 1 + length;
    if (connect(fd, (const struct sockaddr *)&address, (socklen_t)whole) == 0 &&
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid())
        return fd;
    int number = peer.uid == (uid_t)-1 ? errno : EPERM;
    close(fd);
    errno = number;
    return -1;
}

static int send_descriptor(int to, int fd)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control = { .room = { 0 } };
    char byte = 0;
    struct iovec one = { &byte, 1 };
    struct msghdr message = { .msg_iov = &one,
                              .msg_iovlen = 1,
                              .msg_control = control.room,
                              .msg_controllen = sizeof(control.room) };
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);

    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(rights), &fd, sizeof(int));
    return sendmsg(to, &message, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

BERTH_EXPORT(void, listener,
             "Hands over the socket at which the service manager has begun to listen for this "
             "host, also to a module in a worker. Fails with not_found when there is none.",
             (string, address, "an abstract one, of a listening SOCK_SEQPACKET socket"))
{
    if (the_offer->listener < 0) {
        berth_fail(ctx, BERTH_NOT_FOUND,
                   "no service manager has given this host a socket to listen at");
        return;
    }
    int fd = reach(address);
    if (fd < 0 || send_descriptor(fd, the_offer->listener) < 0)
        berth_fail(ctx, BERTH_UNAVAILABLE, "the socket cannot be handed over: %s", strerror(errno));
    else
        __atomic_store_n(&the_offer->listener_taken, true, __ATOMIC_RELAXED);
    if (fd >= 0)
        close(fd);
}

int berth_offer_provide(struct berth_offer *offer, berth_host *host, struct berth_error *error)
{
    the_offer = offer;
    return berth_host_provide(host, &berth_entry, error);
}
