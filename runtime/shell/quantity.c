/* SPDX-License-Identifier: MIT */
#include "runtime/shell/quantity.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *name;
    int64_t value;
};

/* From the smallest on. */
static const struct unit times[] = {
    { "ms", 1000000 },
    { "s", 1000000000 },
    { "m", 60 * INT64_C(1000000000) },
    { "h", 3600 * INT64_C(1000000000) },
};
static const struct unit sizes[] = {
    { "", 1 },
    { "KiB", 1 << 10 },
    { "MiB", 1 << 20 },
    { "GiB", 1 << 30 },
};
enum { UNITS = 4 };

static int64_t parse(const char *text, const struct unit *units)
{
    char *name;

    if (!isdigit((unsigned char)*text))
        return -1;
    errno = 0;
    long number = strtol(text, &name, 10);
    for (size_t i = 0; i < UNITS; i++)
        if (!strcmp(name, units[i].name))
            return errno || number > INT64_MAX / units[i].value ? -1 : number * units[i].value;
    return -1;
}

static const char *print(int64_t value, const struct unit *units, char text[BERTH_QUANTITY_MAX])
{
    size_t i = UNITS - 1;

    while (i > 0 && (value == 0 || value % units[i].value != 0))
        i--;
    snprintf(text, BERTH_QUANTITY_MAX, "%lld%s", (long long)(value / units[i].value),
             units[i].name);
    return text;
}

int64_t berth_duration_parse(const char *text)
{
    return parse(text, times);
}

int64_t berth_size_parse(const char *text)
{
    return parse(text, sizes);
}

const char *berth_duration_print(int64_t ns, char text[BERTH_QUANTITY_MAX])
{
    return print(ns, times, text);
}

const char *berth_size_print(int64_t bytes, char text[BERTH_QUANTITY_MAX])
{
    return print(bytes, sizes, text);
}
