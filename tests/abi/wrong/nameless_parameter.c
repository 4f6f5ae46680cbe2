/* SPDX-License-Identifier: MIT */
/* A parameter without a name. */
/* gcc: unknown type name 'berth_ERROR_write_each_parameter_or_field_as_type_comma_name' */
/* clang: unknown type name 'berth_ERROR_write_each_parameter_or_field_as_type_comma_name' */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");

BERTH_EXPORT(f64, one, "One.", (f64))
{
    return 1;
}
