/* SPDX-License-Identifier: MIT */
/*
 * Whether a new image may take the place of the one that serves: by what those who are there have
 * bound of that, and by what it wants itself. doc/reload.md has the rules as a table; a test walks
 * it.
 */
#ifndef RUNTIME_RELOAD_COMPARE_H
#define RUNTIME_RELOAD_COMPARE_H

#include "runtime/reload/transaction.h"

/* Another module's image? Before anything else of it is looked at. */
int berth_compare_name(const struct berth_generation *old, const struct berth_image *image,
                       struct berth_error *error);
/*
 * module->next is set, also of the other modules that are replaced with it: these count as what
 * they are going to be. First what each of them offers, against what others want as before; then
 * what each of them wants. So who is refused is the one that has changed.
 */
int berth_compare_offers(const struct berth_replacement *one, struct berth_error *error);
int berth_compare_wants(const struct berth_replacement *one, struct berth_error *error);

#endif
