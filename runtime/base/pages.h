/* SPDX-License-Identifier: MIT */
/*
 * What lies at an address: each page of memory has one value, or none. A tree over the 48 bits that
 * addresses have. Looking something up takes no lock; whoever changes it has one.
 */
#ifndef RUNTIME_BASE_PAGES_H
#define RUNTIME_BASE_PAGES_H

#include <stdbool.h>
#include <stddef.h>

#define BERTH_PAGE ((size_t)4096)

struct berth_pages {
    void **root; /* atomic; NULL: empty */
};

void berth_pages_init(struct berth_pages *pages);
void berth_pages_deinit(struct berth_pages *pages); /* does not touch the values */

/*
 * The value of all pages that the memory touches; value not NULL. false: no memory, or addresses of
 * more bits; nothing has changed.
 */
bool berth_pages_set(struct berth_pages *pages, const void *memory, size_t size, void *value);
void berth_pages_clear(struct berth_pages *pages, const void *memory, size_t size);
/* The value of the page that an address is in, or NULL. */
void *berth_pages_get(const struct berth_pages *pages, const void *address);

#endif
