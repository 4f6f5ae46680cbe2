/* SPDX-License-Identifier: MIT */
/* The table of links of a mapped image, checked against its manifest and its place in memory. */
#ifndef RUNTIME_IMAGE_LINKS_H
#define RUNTIME_IMAGE_LINKS_H

#include "runtime/image/image.h"

/* Where an image lies: its segments, unrelocated, and what relocation added to them. */
struct berth_place {
    uintptr_t base;
    const struct berth_elf_segment *segments;
    size_t segment_count;
    uint64_t relro_low, relro_high;
};

/*
 * Fills image->links from the table that entry tells of. Refuses another ABI revision, lines or
 * records or code that lie elsewhere, and records without a line.
 */
int berth_image_read_links(struct berth_image *image, const struct berth_place *place,
                           const struct berth_entry *entry, struct berth_error *error);

#endif
