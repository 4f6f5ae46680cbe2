/* SPDX-License-Identifier: MIT */
/*
 * A module for epoll.c, glib.c and libuv.c to load; its timer beats in whichever loop they have:
 *     cc -o beat.so beat.c $(pkg-config --cflags --libs berth-module)
 */
#include <berth/module.h>

BERTH_MODULE("beat", "1.0.0", "Beats a few times.");
BERTH_OPTION(i32, times, 3, "how often");
BERTH_TOPIC("beat.tick", tick, (i32, number));

static int32_t beats;
static uint64_t timer;

static void beat(berth_ctx *ctx, void *user)
{
    (void)user;
    publish_tick(ctx, ++beats);
    if (beats == option_times(ctx))
        berth_cancel(ctx, timer);
}

BERTH_START
{
    const int64_t period = 20000000; /* 20 ms */
    timer = berth_timer(ctx, period, period, beat, (void *)0);
}

BERTH_EXPORT(i32, beats, "How often it has beaten.")
{
    (void)ctx;
    return beats;
}
