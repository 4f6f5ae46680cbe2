/* SPDX-License-Identifier: MIT */
/*
 * Everything that <berth/module.h> has, in one module of two files: this one and example_more.c. It
 * is compiled in many ways, and never run. Valid as C11 and as C++17.
 */
#include <berth/module.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

BERTH_MODULE("ledger", "1.2.0-rc.1+build.5",
             "Adds amounts; \"done\" at 100 % \xe2\x80\x93 caf\u00e9, \\o/.");
BERTH_REQUIRES("log", "^1.2");
BERTH_REQUIRES("clock", ">=1.0.0 <3");

BERTH_STRUCT(point, (f64, x), (f64, y, "upwards: \"y\""));
BERTH_STRUCT(line, (point, from), (point, to), (optional(string), label));
BERTH_STRUCT(shape, (array(line), lines), (optional(point), centre), (bool, closed), (bytes, raw));
BERTH_HANDLE(account, close, "An open account.");
BERTH_HANDLE_OF(store, cursor);

BERTH_IMPORT(void, log, write, (string, level), (string, text));
BERTH_IMPORT(i64, clock, now);
BERTH_IMPORT(store_cursor, store, find, (json, query));
BERTH_IMPORT(optional(bytes), store, next, (store_cursor, cursor));
BERTH_IMPORT(void, thread, create); /* as a prefix of libc's own names */
BERTH_IMPORT(shape, geometry, turn, (shape, s), (f64, degrees, "anticlockwise"));
BERTH_IMPORT(bool, math, is_even, (u8, n));
BERTH_IMPORT_AS(square_root, f64, math, sqrt, (f64, x));
BERTH_IMPORT_AS(words_of, array(string), text, split, (string, s), (string, by));

BERTH_TOPIC("ledger.total", total, (f64, total, "all accounts"), (i64, unix_ns));
BERTH_TOPIC("ledger.closed", closed);

BERTH_OPTION(u32, decimals, 2, "Digits after the point.");
BERTH_OPTION(bool, quiet, true, "Whether it says less.");
BERTH_OPTION(string, currency, "\"EUR\"\n", "Printed after an amount.");
BERTH_OPTION(optional(string), owner, null, "Whose it is.");
BERTH_OPTION(array(i32), limits, ([ 1, 2, 3 ]), "What is allowed.");
BERTH_OPTION(point, origin, ({ "x" : 0, "y" : 0.5 }), "Where it begins.");

struct account {
    double sum;
};
static double grand_total;
static uint64_t ticks, watched;

BERTH_EXPORT(account, open, "Opens an account.", (optional(f64), start, "0 when absent"))
{
    berth_account none = { 0 };
    struct account *account = (struct account *)malloc(sizeof(*account));
    if (!account) {
        berth_fail(ctx, BERTH_RESOURCE_EXHAUSTED, "no memory for %s", "an account");
        return none;
    }
    account->sum = start.present ? start.value : 0;
    return account_new(ctx, account);
}

BERTH_EXPORT(void, close, "Closes it.", (account, account))
{
    free(account_end(ctx, account));
    publish_closed(ctx);
}

BERTH_EXPORT(f64, write, "Named as write() of the C library.", (account, id), (array(f64), amounts),
             (bool, quiet))
{
    struct account *account = account_get(ctx, id);
    if (!account)
        return 0;
    for (size_t i = 0; i < amounts.count; i++)
        account->sum += amounts.data[i];
    grand_total += account->sum;
    publish_total(ctx, grand_total, clock_now(ctx));
    if (!quiet && !option_quiet(ctx))
        log_write(ctx, "debug",
                  berth_printf(ctx, "%.*f %s", (int)option_decimals(ctx), account->sum,
                               option_currency(ctx)));
    return account->sum;
}

BERTH_EXPORT(string, delete, "Named as a word of C++.", (string, name, "\\ and \"\""),
             (string, string), (f64, f64))
{
    return berth_printf(ctx, "%s%s%f", name, string, f64);
}

BERTH_EXPORT(void, module, "Named as words of Berth's own.", (i32, ret), (i32, link), (i32, code),
             (i32, id))
{
    (void)ret, (void)link, (void)code, (void)id;
}

BERTH_EXPORT(u64, unit, "Sixteen parameters, all of the plain types.", (bool, a), (i8, b), (i16, c),
             (i32, d), (i64, e), (u8, f), (u16, g), (u32, h), (u64, i), (f32, j), (f64, k),
             (string, l), (json, m), (bytes, n), (array(bool), o), (optional(bool), p))
{
    return (uint64_t)(a + b + c + d) + (uint64_t)e + f + g + h + i + (uint64_t)j + (uint64_t)k +
           strlen(l) + strlen(m) + n.size + o.count + p.present;
}

BERTH_EXPORT(json, about, "About this module.")
{
    (void)ctx;
    return "{\"kind\":\"ledger\"}";
}

BERTH_EXPORT(line, turn, "Turns a line round.", (line, l))
{
    berth_line turned = { l.to, l.from, l.label };
    return turned;
}

BERTH_EXPORT(shape, spin, "Asks somebody else.", (shape, s))
{
    return geometry_turn(ctx, s, 90);
}

BERTH_EXPORT(bytes, twice, "Doubles data.", (bytes, in))
{
    char *to = (char *)berth_alloc(ctx, in.size * 2);
    berth_bytes result = { to, to ? in.size * 2 : 0 };
    for (size_t i = 0; to && i < in.size * 2; i++)
        to[i] = ((const char *)in.data)[i % in.size];
    return result;
}

BERTH_EXPORT(optional(f64), root, "Nothing for a number below 0.", (f64, x))
{
    berth_optional(f64) result = { x >= 0, 0 };
    if (x >= 0)
        result.value = square_root(ctx, x);
    if (berth_failed(ctx) && berth_error_code(ctx) == BERTH_UNAVAILABLE) {
        berth_log(ctx, BERTH_LOG_WARNING, "no root: %s", berth_error_text(ctx));
        berth_clear(ctx);
        result.present = false;
    }
    return result;
}

BERTH_EXPORT(u64, count_words, "In a loop that gives back what it needs.", (array(string), lines))
{
    uint64_t count = 0;
    for (size_t i = 0; i < lines.count && berth_time_left(ctx) > 0 && !berth_stopping(ctx); i++) {
        uint64_t mark = berth_mark(ctx);
        count += words_of(ctx, lines.data[i], " ").count;
        berth_rewind(ctx, mark);
    }
    return count;
}

static int compare(const void *a, const void *b)
{
    berth_ctx *ctx = berth_current();
    return ctx && math_is_even(ctx, *(const uint8_t *)a)
               ? -1
               : *(const uint8_t *)a > *(const uint8_t *)b;
}

BERTH_EXPORT(array(u8), sort, "Through a callback of the C library.", (bytes, in))
{
    uint8_t *data = (uint8_t *)berth_alloc(ctx, in.size);
    berth_array(u8) result = { data, data ? in.size : 0 };
    if (data && in.size) {
        memcpy(data, in.data, in.size);
        qsort(data, in.size, 1, compare);
    }
    return result;
}

BERTH_SUBSCRIBE("clock.>", on_tick, (i64, unix_ns))
{
    log_write(ctx, "info", unix_ns % 2 ? "tick" : berth_topic(ctx));
}

BERTH_SUBSCRIBE("ledger.closed", on_closed)
{
    (void)ctx;
}

BERTH_SUBSCRIBE_ANY("store.*.changed", on_change)
{
    log_write(ctx, topic, fields);
}

static void on_timer(berth_ctx *ctx, void *user)
{
    ++*(uint64_t *)user;
    berth_cancel(ctx, watched);
}

static void on_ready(berth_ctx *ctx, int fd, uint32_t events, void *user)
{
    (void)user;
    if (events & EPOLLERR)
        berth_fail(ctx, BERTH_UNAVAILABLE, "descriptor %d", fd);
}

static void work(berth_ctx *ctx, void *user)
{
    (void)user;
    while (!berth_stopping(ctx))
        thread_create(ctx);
}

BERTH_START
{
    berth_ctx *own;
    const char *owner = option_owner(ctx);
    grand_total = option_origin(ctx).x + (double)option_limits(ctx).count + (owner ? 1 : 0);
    berth_timer(ctx, 1000000, 1000000, on_timer, &ticks);
    watched = berth_watch(ctx, 0, EPOLLIN, on_ready, (void *)0);
    berth_thread(ctx, "work", work, (void *)0);
    own = berth_enter();
    if (own)
        berth_leave(own);
}

BERTH_STOP
{
    log_write(ctx, "info", "bye");
}

BERTH_SAVE(1)
{
    berth_bytes state = { &grand_total, sizeof(grand_total) };
    (void)ctx;
    return state;
}

BERTH_RESTORE
{
    if (version != 1 || state.size != sizeof(grand_total))
        berth_fail(ctx, BERTH_INVALID_ARGUMENT, "state of version %u", version);
    else
        memcpy(&grand_total, state.data, sizeof(grand_total));
}
