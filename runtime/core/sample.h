/* SPDX-License-Identifier: MIT */
/*
 * Flows whose bound calls are too many for each to ask the host (runtime/core/flow.h). Now and then
 * a window opens for all of them: for 250 us their call sites ask. How many calls come in it, less
 * what asking takes, tells how many there were since the window before, whether these come evenly
 * or at times. Windows follow each other after 1 ms, 2 ms, and so on up to 50 ms, and from 1 ms
 * again when another flow begins. Some in a row that see few calls end the sampling.
 */
#ifndef RUNTIME_CORE_SAMPLE_H
#define RUNTIME_CORE_SAMPLE_H

#include "runtime/core/core.h"

/* The edge's calls are many: its flow is sampled from now on. ctx is the caller's. No lock held. */
void berth_sample_begin(berth_ctx *ctx, struct berth_edge *edge);
/* A call in a window; the first one of its thread. No lock held. */
void berth_sample_count(struct berth_flow *flow, bool first);
/* host->sample_timer's, whose owner is the host. */
void berth_sample_fire(struct berth_timer *timer);
/* Every flow is counted again. host->lock held. */
void berth_samples_end(struct berth_host *host);

#endif
