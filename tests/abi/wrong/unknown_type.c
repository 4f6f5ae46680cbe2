/* SPDX-License-Identifier: MIT */
/* A type that does not exist. */
/* gcc: unknown type name 'berth_flaot' */
/* clang: unknown type name 'berth_flaot' */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");

BERTH_EXPORT(f64, half, "Halves.", (flaot, x))
{
    return x / 2;
}
