/* SPDX-License-Identifier: MIT */
/* A struct as C names it. */
/* gcc: unknown type name 'berth_ERROR_write_a_struct_by_its_name_alone' */
/* clang: unknown type name 'berth_ERROR_write_a_struct_by_its_name_alone' */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");
BERTH_STRUCT(point, (f64, x), (f64, y));

BERTH_EXPORT(f64, half, "Halves.", (struct point, p))
{
    return p.x / 2;
}
