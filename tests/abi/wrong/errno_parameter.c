/* SPDX-License-Identifier: MIT */
/* A parameter whose name is a macro. */
/* gcc: pasting "berth_ERROR_no_name_or_a_macro_" and "(" does not give */
/* clang: pasting formed 'berth_ERROR_no_name_or_a_macro_(' */
#include <berth/module.h>

#include <errno.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");

BERTH_EXPORT(i32, last, "The last error.", (i32, errno))
{
    return errno;
}
