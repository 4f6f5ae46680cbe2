/* SPDX-License-Identifier: MIT */
#include "runtime/shell/place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime/base/error.h"
#include "runtime/base/path.h"
#include "runtime/base/text.h"

enum { NAME_LENGTH_MAX = 64 };

/* ---- the socket ---- */

static bool name_is_good(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                 "_-.");
    return *name && *name != '.' && *name != '-' && !name[length] && length <= NAME_LENGTH_MAX;
}

/* The name's socket in the directory of this user. */
static int default_path(const char *name, char path[PATH_MAX], struct berth_error *error)
{
    const char *directory = secure_getenv("XDG_RUNTIME_DIR");
    int length = 0;

    if (!name_is_good(name))
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "\"%s\" is no name for a host: letters, digits, - _ and . make one",
                               name);
    if (directory && *directory == '/')
        length = snprintf(path, PATH_MAX, "%s/berth/%s.sock", directory, name);
    else if (geteuid() == 0)
        length = snprintf(path, PATH_MAX, "/run/berth/%s.sock", name);
    else
        return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                               "there is no place for a host's socket: set XDG_RUNTIME_DIR to a "
                               "directory of your own, or BERTH_SOCKET to a path, or use --socket");
    return length < PATH_MAX
               ? BERTH_OK
               : berth_error_set(error, BERTH_INVALID_ARGUMENT, "XDG_RUNTIME_DIR is too long");
}

int berth_place_socket(const struct berth_place *place, char path[PATH_MAX],
                       struct berth_error *error)
{
    const char *name = place->name ? place->name : BERTH_PLACE_NAME;
    const char *given = place->socket;
    const size_t room = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

    if (!given && !(place->name && place->name_first))
        given = secure_getenv("BERTH_SOCKET");
    if (given && (*given || place->socket)) {
        if (!*given)
            return berth_error_set(error, BERTH_INVALID_ARGUMENT, "\"\" is no path of a socket");
        snprintf(path, PATH_MAX, "%s", given);
    } else {
        int code = default_path(name, path, error);
        if (code != BERTH_OK)
            return code;
    }
    if (strlen(path) > room)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "%s: the path of a socket has at most %zu bytes; choose a shorter "
                               "one with --socket",
                               path, room);
    return BERTH_OK;
}

int berth_place_prepare(const char *path, struct berth_error *error)
{
    const char *slash = strrchr(path, '/');
    char directory[PATH_MAX];

    if (!slash || slash == path)
        return BERTH_OK;
    snprintf(directory, sizeof(directory), "%.*s", (int)(slash - path), path);
    if (mkdir(directory, 0700) < 0 && errno != EEXIST)
        return berth_error_errno(error, errno,
                                 "cannot make %s for the socket (--socket chooses another place)",
                                 directory);
    return BERTH_OK;
}

/* ---- files ---- */

bool berth_place_built(const char *beside, char path[PATH_MAX])
{
    static const char hidden[] = "/.libs"; /* libtool's way */

    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
    if (length < 0)
        return false;
    path[length] = '\0';
    char *end = strrchr(path, '/') - strlen(hidden);
    if (end < path || strncmp(end, hidden, strlen(hidden)) != 0 ||
        (size_t)(end - path) + strlen(beside) >= PATH_MAX)
        return false;
    strcpy(end, beside);
    return true;
}

void berth_place_module(const char *name, char path[PATH_MAX])
{
    char beside[2 * NAME_LENGTH_MAX + 32];

    snprintf(beside, sizeof(beside), "/modules/%s/%s.so", name, name);
    if (!berth_place_built(beside, path) || access(path, R_OK) != 0)
        snprintf(path, PATH_MAX, "%s/%s.so", BERTH_MODULE_DIR, name);
}

int berth_place_absolute(const char *file, char path[PATH_MAX], struct berth_error *error)
{
    if (!*file)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT, "\"\" names no module's file");
    if (!berth_utf8_valid(file, strlen(file), NULL))
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "%s: only a name in UTF-8 can be told to a host", file);
    return berth_path_absolute(file, path, error);
}
