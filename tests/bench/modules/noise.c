/* SPDX-License-Identifier: MIT */
/* Floods itself: whatever it handles, it sends twice, so that its mailbox stays full. */
#include <berth/module.h>

BERTH_MODULE("bench_noise", "1.0.0", "Floods itself.");
BERTH_TOPIC("bench.noise", noise);

static bool on;

BERTH_EXPORT(void, begin, "Goes on until end.")
{
    on = true;
    publish_noise(ctx);
}

BERTH_EXPORT(void, end, "No more.")
{
    (void)ctx;
    on = false;
}

BERTH_SUBSCRIBE("bench.noise", on_noise)
{
    for (int i = 0; on && i < 2; i++)
        publish_noise(ctx);
    berth_clear(ctx); /* it is full */
}
