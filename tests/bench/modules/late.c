/* SPDX-License-Identifier: MIT */
/* Answers too late, in several ways. */
#include <berth/module.h>
#include <time.h>

BERTH_MODULE("bench_late", "1.0.0", "Is late.");
BERTH_PARALLEL;
BERTH_TOPIC("bench.late", job);

BERTH_EXPORT_ASYNC(void, never, "Keeps the call.")
{
    berth_call_keep(ctx);
}

BERTH_EXPORT(void, nap, "Sleeps.", (u32, ms))
{
    nanosleep(&(struct timespec){ ms / 1000, (long)(ms % 1000) * 1000000 }, (void *)0);
}

BERTH_EXPORT(void, tell, "Publishes.")
{
    publish_job(ctx);
}
