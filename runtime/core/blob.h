/* SPDX-License-Identifier: MIT */
/*
 * Blobs: memory of the host's that values lie in to be passed on without a copy. A blob lives as
 * long as anything refers to it: a message, or a generation that holds it, its maker among them.
 * Any pointer into one leads to it, so that a value needs no more than its pointer.
 */
#ifndef RUNTIME_CORE_BLOB_H
#define RUNTIME_CORE_BLOB_H

#include "runtime/core/core.h"

/* What is smaller is copied: that costs no more than to find the blob. */
#define BERTH_BLOB_SHARED ((size_t)4096)
/* What has to be copied and is not smaller is copied into a blob, and passed on as one. */
#define BERTH_BLOB_COPIED ((size_t)16384)

struct berth_blob;

void berth_blobs_init(struct berth_blobs *blobs);
void berth_blobs_deinit(struct berth_blobs *blobs);

/* The memory of a new blob, held once; NULL: why not. Not zeroed; aligned to BERTH_PAGE. */
void *berth_blob_new(struct berth_generation *holder, size_t size, struct berth_error *error);
/*
 * The generation holds what these bytes lie in once more; if they lie in no blob, a copy in one,
 * whose address becomes *data. The bytes must be valid.
 */
int berth_blob_hold(struct berth_generation *holder, const void **data, size_t size,
                    struct berth_error *error);
/* Once less. Fails if it does not hold what is there, or there is nothing. */
int berth_blob_release(struct berth_generation *holder, const void *data,
                       struct berth_error *error);
/* It holds nothing any more. Under admin. */
void berth_blobs_leave(struct berth_generation *holder);
/* What it holds, and all that there is. */
struct berth_blob_count berth_blobs_held(const struct berth_generation *holder);
struct berth_blob_count berth_blobs_live(struct berth_blobs *blobs);

/*
 * One more reference to the blob that a piece of a value lies in, from now on not to be written;
 * NULL: it lies in none, or is less than half of one, whose memory nobody would account for.
 */
struct berth_blob *berth_blob_share(struct berth_host *host, const void *data, size_t size);
/* With one reference, and a copy of the data in it at *ret_data; NULL: no memory. */
struct berth_blob *berth_blob_copy(struct berth_host *host, const void *data, size_t size,
                                   const void **ret_data);
void berth_blob_unref(struct berth_blob *blob);

#endif
