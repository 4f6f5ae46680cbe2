/* SPDX-License-Identifier: MIT */
/* Two parameters of one name. */
/* gcc: redefinition of parameter 'x' */
/* clang: redefinition of parameter 'x' */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");

BERTH_EXPORT(f64, half, "Halves.", (f64, x), (f64, x))
{
    return x / 2;
}
