/* SPDX-License-Identifier: MIT */
/* Two functions of one name. */
/* gcc: conflicting types for 'berth_export_half' */
/* clang: conflicting types for 'berth_export_half' */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");

BERTH_EXPORT(f64, half, "Halves.", (f64, x))
{
    return x / 2;
}

BERTH_EXPORT(i32, half, "Halves.", (i32, x))
{
    return x / 2;
}
