/* SPDX-License-Identifier: MIT */
/* The same function twice. */
/* gcc: redefinition of 'struct berth_defined_twice_export_half' */
/* clang: redefinition of 'berth_defined_twice_export_half' */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");

BERTH_EXPORT(f64, half, "Halves.", (f64, x))
{
    return x / 2;
}

BERTH_EXPORT(f64, half, "Halves.", (f64, x))
{
    return x / 2;
}
