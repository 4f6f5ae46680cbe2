/* SPDX-License-Identifier: MIT */
/* The name left out, so that the documentation is in its place. */
/* gcc: pasting "berth_ERROR_no_name_or_a_macro_" and ""Halves."" does not give */
/* clang: pasting formed 'berth_ERROR_no_name_or_a_macro_"Halves."' */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");

BERTH_EXPORT(f64, "Halves.", (f64, x))
{
    return x / 2;
}
