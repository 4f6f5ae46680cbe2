/* SPDX-License-Identifier: MIT */
#include "runtime/base/time.h"

#include <inttypes.h>
#include <stdio.h>

const char *berth_time_print(int64_t ns, int64_t unit, char text[BERTH_TIME_MAX])
{
    int64_t tenth = unit / 10, whole = ns < 0 ? 0 : ns / tenth;
    if (ns > 0 && ns % tenth >= tenth - tenth / 2)
        whole++;
    snprintf(text, BERTH_TIME_MAX, "%" PRId64 ".%" PRId64, whole / 10, whole % 10);
    return text;
}

const char *berth_time_print_exact(int64_t ns, char text[BERTH_TIME_MAX])
{
    if (ns < 0)
        ns = 0;
    int length = snprintf(text, BERTH_TIME_MAX, "%" PRId64 ".%09" PRId64, ns / BERTH_SECOND,
                          ns % BERTH_SECOND);
    while (text[length - 1] == '0')
        text[--length] = '\0';
    if (text[length - 1] == '.')
        text[--length] = '\0';
    return text;
}
