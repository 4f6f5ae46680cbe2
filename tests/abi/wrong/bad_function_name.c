/* SPDX-License-Identifier: MIT */
/* A function's name with a capital letter. */
/* show: export "Half": "Half" is not a name: lower-case letters, digits and _, a letter first */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");

BERTH_EXPORT(f64, Half, "Halves.", (f64, x))
{
    return x / 2;
}
