/* SPDX-License-Identifier: MIT */
/* A default of another type. */
/* show: option "limit": its default: "many" is not an integer */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");
BERTH_OPTION(i64, limit, "many", "A limit.");
