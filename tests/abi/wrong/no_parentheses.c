/* SPDX-License-Identifier: MIT */
/* A parameter without its parentheses. */
/* gcc: unknown type name 'berth_ERROR_write_each_parameter_or_field_as_type_comma_name' */
/* clang: unknown type name 'berth_ERROR_write_each_parameter_or_field_as_type_comma_name' */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");

BERTH_EXPORT(f64, half, "Halves.", f64 x)
{
    return x / 2;
}
