/* SPDX-License-Identifier: MIT */
/*
 * What a module was before: its generations, and the images of the newest of them, each content
 * once, as the sealed copies that they ran from. Under admin.
 */
#ifndef RUNTIME_RELOAD_HISTORY_H
#define RUNTIME_RELOAD_HISTORY_H

#include "runtime/base/buffer.h"
#include "runtime/core/core.h"
#include "runtime/image/copy.h"

struct berth_past {
    struct berth_list link; /* in host->history: the newest last */
    const struct berth_module *module;
    unsigned generation;
    uint64_t digest; /* of the image */
    size_t size;
    struct berth_copy *copy; /* the image; NULL: an older one has it, or it is not kept any more */
    int64_t ended;           /* CLOCK_REALTIME, ns: when it was replaced */
    char *options;           /* as they were given, or NULL */
    const char *placement;
    char *version, *build_id, *file;
};

/* Of a generation that may be replaced. *ret_past NULL: nothing of it is kept. */
int berth_history_new(const struct berth_generation *old, struct berth_past **ret_past,
                      struct berth_error *error);
void berth_history_free(struct berth_past *past); /* NULL: nothing */
/* It is replaced (taken; NULL: nothing). Older ones go as the host's limits say. */
void berth_history_add(struct berth_past *past);
/* The module is gone; NULL: so is the host. */
void berth_history_drop(struct berth_host *host, const struct berth_module *module);
/*
 * The newest before the current one that has another image, or that of a generation's number (0:
 * any). ret_copy: its image, borrowed.
 */
int berth_history_find(const struct berth_module *module, unsigned generation,
                       const struct berth_past **ret_past, struct berth_copy **ret_copy,
                       struct berth_error *error);
/* One that may be of the current image's bytes, or NULL. Borrowed. */
struct berth_copy *berth_history_spare(const struct berth_module *module);
/* A JSON array, oldest first, the current one last. */
void berth_history_print(const struct berth_module *module, struct berth_buffer *buffer);

#endif
