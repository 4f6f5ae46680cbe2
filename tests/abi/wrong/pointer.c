/* SPDX-License-Identifier: MIT */
/* A pointer. */
/* show: export "half": x: unknown type "f64*"; did you mean f64? */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");

BERTH_EXPORT(f64, half, "Halves.", (f64 *, x))
{
    return *x / 2;
}
