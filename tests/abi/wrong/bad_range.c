/* SPDX-License-Identifier: MIT */
/* A range that is none. */
/* show: TODO */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");
BERTH_REQUIRES("math", "about 1");
