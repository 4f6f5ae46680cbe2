/* SPDX-License-Identifier: MIT */
#include "runtime/image/library.h"

#include "runtime/base/error.h"
#include "runtime/base/memory.h"
#include "runtime/base/text.h"
#include "runtime/image/image.h"
#include "runtime/image/loader_cache.h"
#include "runtime/image/origin.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CACHE         "/etc/ld.so.cache"
#define LIBRARIES_MAX 1024

int berth_libraries_init(struct berth_libraries *libraries, struct berth_error *error)
{
    *libraries = (struct berth_libraries){ .first = NULL };
    libraries->last = &libraries->first;
    berth_arena_init(&libraries->arena);
    int code = berth_loader_directories(&libraries->arena, &libraries->directories,
                                        &libraries->directory_count, error);
    if (code == BERTH_OK) /* a system may have none */
        berth_image_read_bytes(CACHE, &libraries->cache, &libraries->cache_size, NULL);
    return code;
}

void berth_libraries_deinit(struct berth_libraries *libraries)
{
    for (struct berth_library *each = libraries->first; each; each = each->next)
        berth_free(each->bytes);
    berth_free(libraries->cache);
    berth_arena_deinit(&libraries->arena);
}

/* ---- one file ---- */

const char *berth_library_next_need(const struct berth_library *library, size_t *position)
{
    while (*position < library->view.dynamic_count) {
        Elf64_Dyn entry = berth_elf_dynamic(&library->view, (*position)++);
        const char *name =
            entry.d_tag == DT_NEEDED ? berth_elf_string(&library->view, entry.d_un.d_val) : NULL;
        if (name && *name)
            return name;
    }
    return NULL;
}

static const char *dynamic_text(const struct berth_elf_view *view, enum berth_elf_tag tag)
{
    return view->has[tag] ? berth_elf_string(view, view->value[tag]) : NULL;
}

static int read_library(struct berth_libraries *libraries, struct berth_library *library,
                        const void *bytes, size_t size, struct berth_error *error)
{
    struct berth_elf_view *view = &library->view;
    int code = berth_elf_view_init(view, bytes, size, error);

    if (code == BERTH_NOT_FOUND) /* a library may export nothing */
        view->symbol_count = 0;
    else if (code != BERTH_OK)
        return code;
    library->soname = dynamic_text(view, BERTH_DT_SONAME);
    library->runpath = dynamic_text(view, BERTH_DT_RUNPATH);
    library->rpath = dynamic_text(view, BERTH_DT_RPATH);
    return view->symbol_count
               ? berth_elf_versions_read(view, &libraries->arena, &library->versions, error)
               : BERTH_OK;
}

static void append(struct berth_libraries *libraries, struct berth_library *library)
{
    *libraries->last = library;
    libraries->last = &library->next;
    libraries->count++;
}

static struct berth_library *library_new(struct berth_libraries *libraries, const char *name,
                                         const char *path)
{
    struct berth_library *library = berth_arena_alloc(&libraries->arena, sizeof(*library));
    struct stat status;

    if (!library)
        return NULL;
    library->name = berth_arena_string(&libraries->arena, name);
    library->path = berth_arena_string(&libraries->arena, path);
    if (stat(path, &status) == 0) {
        library->device = status.st_dev;
        library->inode = status.st_ino;
    }
    return library->name && library->path ? library : NULL;
}

/* Of what a file names, only regular files are opened: opening a device may do something. */
static int open_library(struct berth_libraries *libraries, struct berth_library *library,
                        struct berth_error *error)
{
    struct stat status;
    size_t size;

    if (stat(library->path, &status) < 0 || !S_ISREG(status.st_mode))
        return berth_error_set(error, BERTH_NOT_FOUND, "%s: no such file", library->path);
    int code = berth_image_read_bytes(library->path, &library->bytes, &size, error);
    if (code == BERTH_OK)
        code = read_library(libraries, library, library->bytes, size, error);
    if (code != BERTH_OK) {
        berth_free(library->bytes);
        return berth_error_prefix(error, "%s: ", library->path), code;
    }
    append(libraries, library);
    return BERTH_OK;
}

int berth_libraries_begin(struct berth_libraries *libraries, const char *path, const void *bytes,
                          size_t size, struct berth_error *error)
{
    struct berth_library *library = library_new(libraries, path, path);

    if (!library)
        return berth_error_nomem(error);
    if (!bytes)
        return open_library(libraries, library, error);
    int code = read_library(libraries, library, bytes, size, error);
    if (code == BERTH_OK)
        append(libraries, library);
    return code;
}

/* ---- where it lies ---- */

/* What lies there is in the cache, too, which the loader asks before it looks there. */
static bool is_system(const char *directory)
{
    return strncmp(directory, "/lib", 4) == 0 || strncmp(directory, "/usr/lib", 8) == 0;
}

static bool search_directories(const struct berth_libraries *libraries, bool system,
                               const char *name, char path[PATH_MAX])
{
    for (size_t i = 0; i < libraries->directory_count; i++) {
        const char *directory = libraries->directories[i];
        if (is_system(directory) != system)
            continue;
        int length = snprintf(path, PATH_MAX, "%s/%s", directory, name);
        if (length < PATH_MAX && access(path, R_OK) == 0)
            return true;
    }
    return false;
}

/* The old kind counts for all that is below, unless somebody has the new kind. */
static bool search_rpaths(const struct berth_library *loader, const char *name, char path[PATH_MAX])
{
    for (; loader; loader = loader->loader)
        if (loader->rpath && !loader->runpath &&
            berth_origin_search(loader->rpath, loader->path, name, path, PATH_MAX))
            return true;
    return false;
}

static bool search_runpath(const struct berth_library *loader, const char *name,
                           char path[PATH_MAX])
{
    char real[PATH_MAX];

    if (!loader->runpath)
        return false;
    if (berth_origin_search(loader->runpath, loader->path, name, path, PATH_MAX))
        return true;
    return !loader->loader && realpath(loader->path, real) &&
           berth_origin_search(loader->runpath, real, name, path, PATH_MAX);
}

static bool search_cache(const struct berth_libraries *libraries, const char *name,
                         char path[PATH_MAX])
{
    const char *found = libraries->cache
                            ? berth_loader_cache_find(libraries->cache, libraries->cache_size, name)
                            : NULL;

    return found && *found == '/' && snprintf(path, PATH_MAX, "%s", found) < PATH_MAX &&
           access(path, R_OK) == 0;
}

/* What a module means by $ORIGIN is opened before the loader searches (map.c). */
static bool search(const struct berth_libraries *libraries, const struct berth_library *loader,
                   const char *name, char path[PATH_MAX])
{
    bool own = !loader->loader && loader->runpath && strstr(loader->runpath, "ORIGIN");

    if (strchr(name, '/'))
        return snprintf(path, PATH_MAX, "%s", name) < PATH_MAX && access(path, R_OK) == 0;
    return (own && search_runpath(loader, name, path)) ||
           (!loader->runpath && search_rpaths(loader, name, path)) ||
           search_directories(libraries, false, name, path) || search_runpath(loader, name, path) ||
           search_cache(libraries, name, path) || search_directories(libraries, true, name, path);
}

/* ---- all of them ---- */

const struct berth_library *berth_libraries_find(const struct berth_libraries *libraries,
                                                 const char *name)
{
    for (const struct berth_library *each = libraries->first; each; each = each->next)
        if (berth_text_equal(each->name, name) ||
            (each->soname && berth_text_equal(each->soname, name)))
            return each;
    return NULL;
}

static struct berth_library *find_file(const struct berth_libraries *libraries,
                                       const struct berth_library *like)
{
    for (struct berth_library *each = libraries->first; each; each = each->next)
        if (each->inode == like->inode && each->device == like->device)
            return each;
    return NULL;
}

int berth_libraries_need(struct berth_libraries *libraries, const struct berth_library *loader,
                         const char *name, struct berth_library **ret_library,
                         struct berth_error *error)
{
    char path[PATH_MAX];
    struct berth_library *library = (struct berth_library *)berth_libraries_find(libraries, name);

    if (library) {
        *ret_library = library;
        return BERTH_OK;
    }
    if (libraries->count >= LIBRARIES_MAX)
        return berth_error_set(error, BERTH_RESOURCE_EXHAUSTED,
                               "it needs more than %d libraries, those of its libraries included",
                               LIBRARIES_MAX);
    if (!search(libraries, loader, name, path))
        return berth_error_set(error, BERTH_NOT_FOUND, "%s: no such library", name);
    library = library_new(libraries, name, path);
    if (!library)
        return berth_error_nomem(error);
    library->loader = loader;
    struct berth_library *same = find_file(libraries, library);
    int code = same ? BERTH_OK : open_library(libraries, library, error);
    if (code == BERTH_OK)
        *ret_library = same ? same : library;
    return code;
}

const struct berth_library *berth_libraries_lookup(const struct berth_libraries *libraries,
                                                   const char *name, const char *version)
{
    for (const struct berth_library *each = libraries->first; each; each = each->next)
        if (each->view.symbol_count &&
            berth_elf_exports(&each->view, &each->versions, name, version))
            return each;
    return NULL;
}
