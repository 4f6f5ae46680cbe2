/* SPDX-License-Identifier: MIT */
#include "runtime/image/origin.h"

#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

/* $NAME or ${NAME} at text: its length, or 0. */
static size_t token_length(const char *text, const char *name)
{
    size_t length = strlen(name);

    if (text[0] != '$')
        return 0;
    if (text[1] == '{')
        return strncmp(text + 2, name, length) == 0 && text[2 + length] == '}' ? length + 3 : 0;
    return strncmp(text + 1, name, length) == 0 ? length + 1 : 0;
}

/* Appends length bytes, as far as there is room. */
static void put(char *path, size_t size, const char *text, size_t length)
{
    size_t used = strlen(path), room = size - 1 - used;

    if (length > room)
        length = room;
    memcpy(path + used, text, length);
    path[used + length] = '\0';
}

static void put_directory_of(char *path, size_t size, const char *file)
{
    const char *slash = strrchr(file, '/');
    put(path, size, file, slash ? (size_t)(slash - file) : 0);
}

/* One element of a search path, with the loader's tokens replaced as it does. */
static void expand(const char *element, size_t length, const char *file, char *path, size_t size)
{
#if defined __x86_64__
    static const char lib[] = "lib/x86_64-linux-gnu";
#else
    static const char lib[] = "lib/aarch64-linux-gnu";
#endif
    size_t skip;

    path[0] = '\0';
    for (const char *p = element; p < element + length; p += skip) {
        if ((skip = token_length(p, "ORIGIN"))) {
            put_directory_of(path, size, file);
        } else if ((skip = token_length(p, "LIB"))) {
            put(path, size, lib, sizeof(lib) - 1);
        } else if ((skip = token_length(p, "PLATFORM"))) {
            const char *platform = (const char *)getauxval(AT_PLATFORM);
            put(path, size, platform ? platform : "", platform ? strlen(platform) : 0);
        } else {
            skip = 1;
            put(path, size, p, 1);
        }
    }
}

bool berth_origin_search(const char *paths, const char *file, const char *library, char *path,
                         size_t size)
{
    while (*paths) {
        size_t length = strcspn(paths, ":");
        expand(paths, length, file, path, size);
        put(path, size, "/", 1);
        put(path, size, library, strlen(library));
        if (length && path[0] == '/' && strlen(path) < size - 1 && access(path, R_OK) == 0)
            return true;
        paths += length + (paths[length] == ':');
    }
    return false;
}
