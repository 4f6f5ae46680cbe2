/* SPDX-License-Identifier: MIT */
/* The second file of the module in example.c: what is declared in both is the same in both. */
#include <berth/module.h>

BERTH_STRUCT(point, (f64, x), (f64, y, "upwards: \"y\""));
BERTH_HANDLE_OF(store, cursor);
BERTH_IMPORT(void, log, write, (string, level), (string, text));
BERTH_IMPORT(optional(bytes), store, next, (store_cursor, cursor));

BERTH_EXPORT(point, middle, "Between two points.", (point, a), (point, b))
{
    berth_point result = { (a.x + b.x) / 2, (a.y + b.y) / 2 };
    log_write(ctx, "debug", "middle");
    return result;
}

BERTH_EXPORT(u64, size, "Of all that a cursor has.", (store_cursor, cursor))
{
    uint64_t size = 0;
    for (;;) {
        berth_optional(bytes) next = store_next(ctx, cursor);
        if (!next.present || berth_failed(ctx))
            return size;
        size += next.value.size;
    }
}
