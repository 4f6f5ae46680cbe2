/* SPDX-License-Identifier: MIT */
/* No documentation. */
/* gcc: unknown type name 'berth_ERROR_a_documentation_string_comes_before_the_parameters' */
/* clang: unknown type name 'berth_ERROR_a_documentation_string_comes_before_the_parameters' */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");

BERTH_EXPORT(f64, half, (f64, x))
{
    return x / 2;
}
