/* SPDX-License-Identifier: MIT */
/* Serial, and somebody stays inside. */
#include <berth/module.h>
#include <stdbool.h>
#include <time.h>

BERTH_MODULE("bench_held", "1.0.0", "Is busy.");

BERTH_EXPORT(void, hold, "Until the flag at an address is set.", (u64, flag))
{
    while (!__atomic_load_n((const bool *)(uintptr_t)flag, __ATOMIC_ACQUIRE))
        nanosleep(&(struct timespec){ 0, 1000000 }, (void *)0);
}

BERTH_EXPORT(void, touch, "Nothing.")
{
}
