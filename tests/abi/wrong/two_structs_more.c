/* SPDX-License-Identifier: MIT */
/* The other file. */
#include <berth/module.h>

BERTH_STRUCT(point, (f64, x), (f64, z));
