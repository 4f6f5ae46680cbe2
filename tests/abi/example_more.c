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

BERTH_IMPORT_ASYNC(optional(bytes), store, next, (store_cursor, cursor));
BERTH_IMPORT_ASYNC(void, log, write, (string, level), (string, text));

static berth_pending asked;
static berth_kept kept;
static void on_next(berth_ctx *ctx, berth_pending call, void *user);

BERTH_EXPORT_ASYNC(u64, size_later, "Of what the cursor has next.", (store_cursor, cursor))
{
    kept = berth_call_keep(ctx);
    asked = store_next_start(ctx, cursor);
    log_write_send(ctx, "debug", "next");
    berth_call_limit(ctx, asked, 1000000);
    berth_call_then(ctx, asked, on_next, (void *)0);
}

static void on_next(berth_ctx *ctx, berth_pending call, void *user)
{
    berth_optional(bytes) next = BERTH_I_ZERO;
    (void)user;
    if (berth_kept_stopping(ctx, kept))
        berth_call_cancel(ctx, call);
    while (store_next_next(ctx, call, &next))
        size_later_more(ctx, kept, next.value.size);
    if (!berth_call_done(ctx, call))
        return;
    next = store_next_take(ctx, call);
    if (berth_failed(ctx))
        berth_kept_fail(ctx, kept, berth_error_code(ctx), "%s", berth_error_text(ctx));
    else
        size_later_reply(ctx, kept, next.value.size);
}

BERTH_EXPORT_ASYNC(void, nothing_later, "Nothing.")
{
    berth_pending calls[] = { asked };
    log_write_take(ctx, log_write_start(ctx, "debug", "nothing"));
    if (berth_call_all(ctx, calls, 1, 0) && berth_call_any(ctx, calls, 1, 0) == 0)
        berth_call_drop(ctx, asked);
    nothing_later_reply(ctx, berth_call_keep(ctx));
}
