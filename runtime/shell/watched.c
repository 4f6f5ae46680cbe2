/* SPDX-License-Identifier: MIT */
#include "runtime/shell/watched.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "runtime/base/error.h"

/* IN_MODIFY is not among them: what is still written is no news. */
#define EVENTS                                                                               \
    (IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | \
     IN_MOVE_SELF | IN_ONLYDIR)

#define LINKS_MAX 40 /* as many as the kernel follows */

void berth_watched_init(struct berth_watched *watched)
{
    *watched = (struct berth_watched){ .fd = -1 };
}

void berth_watched_deinit(struct berth_watched *watched)
{
    for (size_t i = 0; i < watched->count; i++)
        free(watched->names[i].name);
    free(watched->names);
    if (watched->fd >= 0)
        close(watched->fd);
    berth_watched_init(watched);
}

int berth_watched_reset(struct berth_watched *watched, struct berth_error *error)
{
    berth_watched_deinit(watched);
    watched->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    return watched->fd >= 0 ? BERTH_OK : berth_error_errno(error, errno, "files cannot be watched");
}

static int add_name(struct berth_watched *watched, int directory, const char *name,
                    struct berth_error *error)
{
    if (watched->count == watched->room) {
        size_t room = watched->room ? 2 * watched->room : 16;
        struct berth_watched_name *more = realloc(watched->names, room * sizeof(*more));
        if (!more)
            return berth_error_nomem(error);
        watched->names = more;
        watched->room = room;
    }
    char *copy = strdup(name);
    if (!copy)
        return berth_error_nomem(error);
    watched->names[watched->count++] = (struct berth_watched_name){ directory, copy };
    return BERTH_OK;
}

/* Puts what a link says in front of what follows it: ret_path is what is to be walked then. */
static bool follow(const char *directory, const char *link, const char *rest,
                   char ret_path[PATH_MAX])
{
    char path[PATH_MAX];
    const char *base = *link == '/' ? "" : directory;
    int length = snprintf(path, sizeof(path), "%s%s%s%s%s", base, *link == '/' ? "" : "/", link,
                          *rest ? "/" : "", rest);

    if (length < 0 || length >= PATH_MAX)
        return false;
    memcpy(ret_path, path, (size_t)length + 1);
    return true;
}

/* The next name of a path, cut off; NULL: there is none. *path is what follows. */
static char *next_name(char **path)
{
    char *name = *path + strspn(*path, "/"), *end = name + strcspn(name, "/");

    if (!*name)
        return NULL;
    *path = *end ? end + 1 : end;
    *end = '\0';
    return name;
}

/*
 * Walks from the root. A name that is not there is watched for all the same, and ends the walk; one
 * that is a link has the walk begin anew where it leads.
 */
int berth_watched_add(struct berth_watched *watched, const char *path, struct berth_error *error)
{
    char walk[PATH_MAX], here[PATH_MAX] = "/", link[PATH_MAX];
    char *rest = walk, *name;
    int links = 0, code = BERTH_OK;

    if (snprintf(walk, sizeof(walk), "%s", path) >= PATH_MAX)
        return berth_error_set(error, BERTH_OUT_OF_RANGE, "%s: a name that is too long", path);
    while (code == BERTH_OK && (name = next_name(&rest))) {
        size_t length = strlen(here);
        int directory = inotify_add_watch(watched->fd, here, EVENTS);
        if (directory < 0 && (errno == ENOSPC || errno == ENOMEM))
            return berth_error_errno(error, errno,
                                     "%s cannot be watched (the limit is "
                                     "fs.inotify.max_user_watches)",
                                     here);
        if (directory < 0) /* gone meanwhile, or not to be read: what is above is watched */
            return BERTH_OK;
        code = add_name(watched, directory, name, error);
        if (length + 1 + strlen(name) >= PATH_MAX)
            return code;
        sprintf(here + length, "%s%s", length > 1 ? "/" : "", name);
        ssize_t size = readlink(here, link, sizeof(link) - 1);
        if (size < 0)
            continue;
        link[size] = '\0';
        here[length] = '\0';
        if (++links > LINKS_MAX || !follow(length > 1 ? here : "", link, rest, walk))
            return code;
        rest = walk;
        strcpy(here, "/");
    }
    return code;
}

static bool is_watched(const struct berth_watched *watched, const struct inotify_event *event)
{
    if (!event->len) /* of a directory itself, or what the kernel had to drop */
        return (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_Q_OVERFLOW)) != 0;
    for (size_t i = 0; i < watched->count; i++)
        if (watched->names[i].directory == event->wd &&
            strcmp(watched->names[i].name, event->name) == 0)
            return true;
    return false;
}

bool berth_watched_read(struct berth_watched *watched)
{
    _Alignas(struct inotify_event) char events[8192];
    ssize_t size;
    bool any = false;

    while ((size = read(watched->fd, events, sizeof(events))) > 0)
        for (ssize_t at = 0; at < size;) {
            const struct inotify_event *event = (const void *)(events + at);
            any |= is_watched(watched, event);
            at += (ssize_t)(sizeof(*event) + event->len);
        }
    return any;
}

/* A lease for reading is not given while somebody has the file open for writing. */
bool berth_watched_is_written(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return false;
    bool written = fcntl(fd, F_SETLEASE, F_RDLCK) < 0 && (errno == EAGAIN || errno == EACCES);
    if (!written)
        fcntl(fd, F_SETLEASE, F_UNLCK);
    close(fd);
    return written;
}
