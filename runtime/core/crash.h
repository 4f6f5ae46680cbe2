/* SPDX-License-Identifier: MIT */
/*
 * What a crash handler can tell of the thread that it runs on, without a lock: whose code its
 * frames say it is in. A frame that is an item leads to its generation by itself. One that is an
 * address needs the range of its image, so the ranges are published in a list that only grows: what
 * a slot says is read without a lock, and what it leads to is kept by the frame that matches.
 */
#ifndef RUNTIME_CORE_CRASH_H
#define RUNTIME_CORE_CRASH_H

#include "runtime/core/core.h"

/* Its image is mapped, and its items have their code. Without memory nobody hears of it. */
void berth_crash_publish(struct berth_generation *generation);
/* Before it is unmapped, and before it is freed. Any number of times. */
void berth_crash_withdraw(struct berth_generation *generation);

#endif
