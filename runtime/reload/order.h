/* SPDX-License-Identifier: MIT */
/* In which order modules come that are loaded together. */
#ifndef RUNTIME_RELOAD_ORDER_H
#define RUNTIME_RELOAD_ORDER_H

#include "runtime/reload/lifecycle.h"

const char *berth_load_name(const struct berth_load *load);

/*
 * Fills order with the numbers of the loads: each comes after those that it requires, and, if that
 * can be, after those that it imports, so that what does not fit is found before either serves.
 * Otherwise they stay as they are given. Fails, naming them, when modules require each other.
 */
int berth_load_order(const struct berth_load *loads, size_t count, size_t *order,
                     struct berth_error *error);

#endif
