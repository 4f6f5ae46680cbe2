/* SPDX-License-Identifier: MIT */
/* Tells the time, and ticks. */
#include <berth/module.h>

#include <time.h>

BERTH_MODULE("clock", "1.0.0", "Tells the time, and ticks.");
BERTH_OPTION(u32, period_ms, 1000, "Between two ticks; 0: none.");

BERTH_TOPIC("clock.tick", tick, (i64, unix_ns), (u64, number, "1, 2, …"));

static uint64_t ticks;

static int64_t unix_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void on_time(berth_ctx *ctx, void *user)
{
    (void)user;
    publish_tick(ctx, unix_now(), ++ticks);
    if (berth_error_code(ctx) == BERTH_RESOURCE_EXHAUSTED)
        berth_clear(ctx); /* who has no room for a tick misses it */
}

BERTH_START
{
    int64_t period = (int64_t)option_period_ms(ctx) * 1000000;
    if (period)
        berth_timer(ctx, period, period, on_time, NULL);
}

BERTH_EXPORT(i64, now, "Nanoseconds since 1970, UTC.")
{
    return unix_now();
}

BERTH_EXPORT(u64, ticks, "How many there were.")
{
    return ticks;
}

BERTH_SAVE(1)
{
    berth_bytes saved = { &ticks, sizeof(ticks) };
    return saved;
}

BERTH_RESTORE
{
    if (version == 1 && state.size == sizeof(ticks))
        ticks = *(const uint64_t *)state.data;
    else
        berth_fail(ctx, BERTH_INVALID_ARGUMENT, "a state of version %u", version);
}
