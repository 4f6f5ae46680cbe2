/* SPDX-License-Identifier: MIT */
/* A string as C writes it. */
/* gcc: unknown type name 'berth_ERROR_write_string_for_text_and_bytes_for_data' */
/* clang: unknown type name 'berth_ERROR_write_string_for_text_and_bytes_for_data' */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");

BERTH_EXPORT(bool, empty, "Whether it is empty.", (const char *, x))
{
    return !x[0];
}
