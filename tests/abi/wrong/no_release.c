/* SPDX-License-Identifier: MIT */
/* A handle that nothing ends. */
/* show: handle "cursor": it is released by close, and there is no such function */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");
BERTH_HANDLE(cursor, close, "A cursor.");
