/* SPDX-License-Identifier: MIT */
/*
 * Flows whose bound calls are too many for each to ask the host (runtime/core/flow.h). Every 50 ms
 * a window opens for each: its call sites ask, until 576 calls have come. How fast these came, less
 * what asking takes, tells how many there were since the window before. One in which fewer come
 * ends the sampling.
 */
#ifndef RUNTIME_CORE_SAMPLE_H
#define RUNTIME_CORE_SAMPLE_H

#include "runtime/core/core.h"

/* The edge's calls are many: its flow is sampled from now on. ctx is the caller's. No lock held. */
void berth_sample_begin(berth_ctx *ctx, struct berth_edge *edge);
/* A call in a window; the first one of its thread. No lock held. */
void berth_sample_count(struct berth_host *host, struct berth_flow *flow, bool first);
/* host->sample_timer's, whose owner is the host. */
void berth_sample_fire(struct berth_timer *timer);
/* Every flow is counted again. host->lock held. */
void berth_samples_end(struct berth_host *host);

#endif
