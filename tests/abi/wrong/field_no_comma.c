/* SPDX-License-Identifier: MIT */
/* A field as C would write it. */
/* gcc: unknown type name 'berth_ERROR_write_each_parameter_or_field_as_type_comma_name' */
/* clang: unknown type name 'berth_ERROR_write_each_parameter_or_field_as_type_comma_name' */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");

BERTH_STRUCT(point, (f64 x), (f64, y));
