/* SPDX-License-Identifier: MIT */
#include "runtime/base/path.h"

#include "runtime/base/error.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_parent(const char *name, size_t size)
{
    return size == 2 && name[0] == '.' && name[1] == '.';
}

/* What ".." behind it leaves; NULL: nobody can say without following links. */
static char *parent_of(char *path)
{
    char *last = strrchr(path, '/');
    struct stat status;

    if (!last)
        return path;
    if (is_parent(last + 1, strlen(last + 1)) || lstat(path, &status) < 0 ||
        !S_ISDIR(status.st_mode))
        return NULL;
    return last;
}

/* The directory that a relative name begins in: "" for the root. */
static int begin(const char *file, char path[PATH_MAX], struct berth_error *error)
{
    path[0] = '\0';
    if (*file != '/' && !getcwd(path, PATH_MAX))
        return berth_error_errno(error, errno, "the working directory has no name");
    if (strcmp(path, "/") == 0)
        path[0] = '\0';
    return BERTH_OK;
}

int berth_path_absolute(const char *file, char ret_path[PATH_MAX], struct berth_error *error)
{
    char path[PATH_MAX], *parent;
    int code = begin(file, path, error);
    size_t length = strlen(path);

    for (const char *name = file; code == BERTH_OK && *name; name += strspn(name, "/")) {
        size_t size = strcspn(name, "/");
        const char *next = name + size;
        if (is_parent(name, size) && (parent = parent_of(path))) {
            *parent = '\0';
            length = (size_t)(parent - path);
        } else if (size > 0 && !(size == 1 && *name == '.')) {
            if (length + size + 2 > PATH_MAX)
                return berth_error_set(error, BERTH_OUT_OF_RANGE, "%s: the path is too long", file);
            path[length] = '/';
            memcpy(path + length + 1, name, size);
            length += size + 1;
            path[length] = '\0';
        }
        name = next;
    }
    if (code == BERTH_OK)
        strcpy(ret_path, length ? path : "/");
    return code;
}
