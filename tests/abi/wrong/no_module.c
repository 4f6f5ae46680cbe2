/* SPDX-License-Identifier: MIT */
/* No BERTH_MODULE. */
/* show: TODO */
#include <berth/module.h>

BERTH_EXPORT(f64, half, "Halves.", (f64, x))
{
    return x / 2;
}
