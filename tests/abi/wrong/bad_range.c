/* SPDX-License-Identifier: MIT */
/* A range that is none. */
/* show: requires "math": "about 1" is not a range: write ^1.2, ~1.2.3, >=1.2 <2 */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");
BERTH_REQUIRES("math", "about 1");
