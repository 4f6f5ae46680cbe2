/* SPDX-License-Identifier: MIT */
/* The same function in two files. */
/* gcc: multiple definition of `berth_export_half' */
/* clang: multiple definition of `berth_export_half' */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");

BERTH_EXPORT(f64, half, "Halves.", (f64, x))
{
    return x / 2;
}
