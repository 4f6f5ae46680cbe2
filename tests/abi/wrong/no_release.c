/* SPDX-License-Identifier: MIT */
/* A handle that nothing ends. */
/* show: TODO */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");
BERTH_HANDLE(cursor, close, "A cursor.");
