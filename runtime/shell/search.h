/* SPDX-License-Identifier: MIT */
/*
 * Which file a word means. With a / in it or .so at its end it is a file; any other word is a name,
 * which is looked up in directories as PATH is: NAME.so and NAME-VERSION.so. The first directory
 * that has one of a version that will do wins, and in it the highest such version.
 */
#ifndef RUNTIME_SHELL_SEARCH_H
#define RUNTIME_SHELL_SEARCH_H

#include <berth/error.h>
#include <stdbool.h>
#include <stddef.h>

#include "runtime/base/arena.h"

struct berth_search_place {
    const char *directory;
    const char *origin; /* "--path": why it is searched */
    struct berth_search_place *next;
};

struct berth_search {
    struct berth_search_place *first, **last; /* in the order in which they are searched */
    struct berth_arena arena;                 /* results lie in it, too */
};

/* A file that is called like the name. */
struct berth_search_candidate {
    const char *file;
    const char *version; /* its manifest's; NULL when it has none */
    const char *origin;
    const char *why; /* it is not the one; NULL for the one that is */
    struct berth_search_candidate *next;
};
struct berth_search_result {
    const char *file; /* NULL: none of them */
    const char *version, *origin;
    struct berth_search_candidate *first; /* as they were found */
};

void berth_search_init(struct berth_search *search);
void berth_search_deinit(struct berth_search *search);

/* Adds a directory behind the others; both are borrowed. It need not be there. */
int berth_search_add(struct berth_search *search, const char *directory, const char *origin,
                     struct berth_error *error);
/* Then those of every search: of $BERTH_PATH, the user's own, the installed one. */
int berth_search_add_standard(struct berth_search *search, struct berth_error *error);

/* "" is one, too, which cannot be there: to be refused as such. */
bool berth_search_is_file(const char *word);

/*
 * Finds a name. range is one of versions, or NULL for any. all: looks on when it is found, to tell
 * of every candidate. No code of the files runs. Fails with not_found, which tells what there was
 * and where it has searched; *ret_result is filled then, too.
 */
int berth_search_find(struct berth_search *search, const char *name, const char *range, bool all,
                      struct berth_search_result *ret_result, struct berth_error *error);
/* A word, of either kind: the file that it means. */
int berth_search_file(struct berth_search *search, const char *word, const char **ret_file,
                      struct berth_error *error);

#endif
