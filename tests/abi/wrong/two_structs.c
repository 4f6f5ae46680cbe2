/* SPDX-License-Identifier: MIT */
/* Two structs of one name, in two files. */
/* show: struct "point": struct point: declared twice, differently */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");
BERTH_STRUCT(point, (f64, x), (f64, y));
