/* SPDX-License-Identifier: MIT */
/* A function without a name. */
/* gcc: unknown type name 'berth_ERROR_the_name_comes_after_the_result' */
/* clang: unknown type name 'berth_ERROR_the_name_comes_after_the_result' */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");

BERTH_EXPORT(f64, , "Halves.", (f64, x))
{
    return x / 2;
}
