/* SPDX-License-Identifier: MIT */
/* The other file. */
#include <berth/module.h>

BERTH_EXPORT(f64, half, "Halves.", (f64, x))
{
    return x / 2;
}
