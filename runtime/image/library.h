/* SPDX-License-Identifier: MIT */
/*
 * The libraries that a file needs, and those need, as files: found where the loader would find
 * them, in its order, and read. No code of them runs. What this process has loaded already does not
 * count.
 */
#ifndef RUNTIME_IMAGE_LIBRARY_H
#define RUNTIME_IMAGE_LIBRARY_H

#include <sys/types.h>

#include "runtime/image/elf_versions.h"

struct berth_library {
    struct berth_library *next;
    const struct berth_library *loader; /* who needs it; NULL for the first */
    const char *name;                   /* as it is needed there */
    const char *path;                   /* of the file; it is absolute */
    const char *soname, *runpath, *rpath;
    struct berth_elf_view view;
    struct berth_elf_versions versions;
    /* private */
    unsigned char *bytes;
    dev_t device;
    ino_t inode;
};

struct berth_libraries {
    struct berth_library *first, **last; /* breadth-first, as symbols are searched */
    size_t count;
    struct berth_arena arena;
    const char **directories; /* of the environment and of the loader, in its order */
    size_t directory_count;
    unsigned char *cache;
    size_t cache_size;
};

int berth_libraries_init(struct berth_libraries *libraries, struct berth_error *error);
void berth_libraries_deinit(struct berth_libraries *libraries);

/*
 * Begins with a file: its bytes if they are read already (borrowed), or NULL. Its libraries are not
 * there yet.
 */
int berth_libraries_begin(struct berth_libraries *libraries, const char *path, const void *bytes,
                          size_t size, struct berth_error *error);
/*
 * Finds what a library needs by a name: *ret_library is one that was there, or a new one at the
 * end. not_found: nobody has it; else what is wrong with the file.
 */
int berth_libraries_need(struct berth_libraries *libraries, const struct berth_library *loader,
                         const char *name, struct berth_library **ret_library,
                         struct berth_error *error);
/* By name, of those that are there; NULL: none. */
const struct berth_library *berth_libraries_find(const struct berth_libraries *libraries,
                                                 const char *name);
/* The first one that exports a name, in a version or (NULL) any; NULL: none. */
const struct berth_library *berth_libraries_lookup(const struct berth_libraries *libraries,
                                                   const char *name, const char *version);

/* for (size_t i = 0; (name = berth_library_next_need(library, &i));) … NULL: no more. */
const char *berth_library_next_need(const struct berth_library *library, size_t *position);

/* In map.c: the directories where the loader of this process looks for a library that has no path
 * of its own: those of the environment first. */
int berth_loader_directories(struct berth_arena *arena, const char ***ret_directories,
                             size_t *ret_count, struct berth_error *error);

#endif
