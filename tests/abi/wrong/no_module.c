/* SPDX-License-Identifier: MIT */
/* No BERTH_MODULE. */
/* show: BERTH_MODULE("name", "1.0.0", "words") */
#include <berth/module.h>

BERTH_EXPORT(f64, half, "Halves.", (f64, x))
{
    return x / 2;
}
