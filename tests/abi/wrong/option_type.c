/* SPDX-License-Identifier: MIT */
/* An option of an unknown type. */
/* gcc: unknown type name 'berth_flaot' */
/* clang: unknown type name 'berth_flaot' */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");
BERTH_OPTION(flaot, limit, 3, "A limit.");
