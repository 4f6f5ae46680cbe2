/* SPDX-License-Identifier: MIT */
#include "runtime/core/flow.h"

#include "runtime/core/call.h"
#include "runtime/core/sample.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the flows of a host ---- */

struct berth_flow *berth_flow_obtain(struct berth_host *host, const char *from, const char *topic,
                                     const char *to)
{
    char key[4 * BERTH_IDENTIFIER_MAX + BERTH_TOPIC_MAX + 3];
    int length = snprintf(key, sizeof key, "%s>%s>%s", from, topic ? topic : "", to);
    if (length < 0 || (size_t)length >= sizeof key)
        return NULL;
    struct berth_flow *flow = berth_map_get(&host->flows, key);
    if (flow)
        return flow;
    flow = calloc(1, sizeof *flow + (size_t)length + 1);
    if (!flow)
        return NULL;
    char *names = memcpy(flow + 1, key, (size_t)length + 1);
    flow->from = names;
    names += strlen(from);
    *names++ = '\0';
    flow->topic = topic ? names : NULL;
    names += topic ? strlen(topic) : 0;
    *names++ = '\0';
    flow->to = names;
    flow->cell = topic ? NULL : berth_map_get(&host->cells, to);
    flow->id = (uint32_t)host->flows.count;
    berth_list_init(&flow->sampled);
    if (berth_map_set(&host->flows, key, flow))
        return flow;
    free(flow);
    return NULL;
}

__attribute__((noinline)) static struct berth_flow *look_up(const char *from,
                                                            struct berth_cell *cell)
{
    struct berth_host *host = cell->module->host;
    pthread_mutex_lock(&host->lock);
    struct berth_flow *flow = berth_flow_obtain(host, from, NULL, cell->name);
    if (!*from)
        __atomic_store_n(&cell->from_application, flow, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&host->lock);
    return flow;
}

struct berth_flow *berth_flow_of(const char *from, struct berth_cell *cell)
{
    struct berth_flow *flow = __atomic_load_n(&cell->from_application, __ATOMIC_ACQUIRE);
    return BERTH_I_UNLIKELY(*from || !flow) ? look_up(from, cell) : flow;
}

void berth_flows_free(struct berth_host *host)
{
    struct berth_map_entry *entry;
    for (size_t i = 0; berth_map_next(&host->flows, &i, &entry);) {
        struct berth_flow *flow = entry->value;
        free(flow->times);
        free(flow);
    }
    berth_map_deinit(&host->flows);
}

/* ---- what a thread counts ---- */

/*
 * Counting in one place would make threads wait for each other's caches. So each has its own
 * numbers for the flows that it used last, and writes them without a locked instruction; whoever
 * reads adds them up. What a slot was used for is changed, and read, under the threads' lock.
 */
#define SLOTS       128
#define TIMED_MASK  15 /* the first of 16 calls is timed: the clock costs more than a call */
#define TIMED_DEPTH 8
struct berth_tally {
    struct {
        struct berth_flow *flow;
        uint64_t calls;  /* atomic; written by the thread alone */
        int64_t since;   /* when the last RATE_CALLS of them began */
        uint32_t window; /* the last one in which the thread has called */
    } slots[SLOTS];
    /* calls that are being timed, each further in than the one before */
    size_t timed;
    struct {
        const berth_ctx *ctx;
        const struct berth_flow *flow;
        int64_t began;
    } timings[TIMED_DEPTH];
};

static void slot_keep(struct berth_tally *tally, size_t slot)
{
    if (!tally->slots[slot].flow)
        return;
    __atomic_fetch_add(&tally->slots[slot].flow->calls, tally->slots[slot].calls, __ATOMIC_RELAXED);
    __atomic_store_n(&tally->slots[slot].calls, 0, __ATOMIC_RELAXED);
}

void berth_flow_thread_ends(void *host, struct berth_thread *thread)
{
    (void)host;
    for (size_t i = 0; thread->tally && i < SLOTS; i++)
        slot_keep(thread->tally, i);
    free(thread->tally);
    thread->tally = NULL;
}

__attribute__((noinline)) static void slot_take(struct berth_thread *thread,
                                                struct berth_tally *tally, size_t slot,
                                                struct berth_flow *flow)
{
    pthread_mutex_lock(&thread->set->lock);
    slot_keep(tally, slot);
    tally->slots[slot].flow = flow;
    tally->slots[slot].since = 0;
    pthread_mutex_unlock(&thread->set->lock);
}

void berth_flow_take_slot(berth_ctx *ctx, struct berth_flow *flow)
{
    struct berth_thread *thread = berth_thread_of(ctx);
    if (thread->tally)
        slot_take(thread, thread->tally, flow->id % SLOTS, flow);
}

__attribute__((noinline)) static struct berth_tally *tally_new(struct berth_thread *thread)
{
    struct berth_tally *tally = calloc(1, sizeof *tally);
    pthread_mutex_lock(&thread->set->lock);
    thread->tally = tally;
    pthread_mutex_unlock(&thread->set->lock);
    return tally;
}

/* Returns how many the thread has counted since it began to count this flow, or 0. */
static inline uint64_t count(struct berth_thread *thread, struct berth_flow *flow,
                             struct berth_tally **ret_tally)
{
    struct berth_tally *tally = *ret_tally = thread->tally;
    if (BERTH_I_UNLIKELY(!tally) && !(tally = *ret_tally = tally_new(thread))) {
        __atomic_fetch_add(&flow->calls, 1, __ATOMIC_RELAXED);
        return 0;
    }
    size_t slot = flow->id % SLOTS;
    if (BERTH_I_UNLIKELY(tally->slots[slot].flow != flow))
        slot_take(thread, tally, slot, flow);
    uint64_t calls = tally->slots[slot].calls + 1;
    __atomic_store_n(&tally->slots[slot].calls, calls, __ATOMIC_RELAXED);
    return calls;
}

/* What is left of calls that did not end, a longjmp's, is not in front of this one. */
static void time_begin(struct berth_tally *tally, const berth_ctx *ctx,
                       const struct berth_flow *flow)
{
    while (tally->timed > 0 && tally->timings[tally->timed - 1].ctx >= ctx)
        tally->timed--;
    if (tally->timed == TIMED_DEPTH)
        return;
    tally->timings[tally->timed].ctx = ctx;
    tally->timings[tally->timed].flow = flow;
    tally->timings[tally->timed].began = berth_now();
    tally->timed++;
}

static inline struct berth_tally *begin(struct berth_thread *thread, const berth_ctx *ctx,
                                        struct berth_flow *flow, uint64_t *ret_calls)
{
    struct berth_tally *tally;
    *ret_calls = count(thread, flow, &tally);
    if (BERTH_I_UNLIKELY((*ret_calls & TIMED_MASK) == 1))
        time_begin(tally, ctx, flow);
    return tally;
}

void berth_flow_begin(berth_ctx *ctx, struct berth_flow *flow)
{
    uint64_t calls;
    if (flow)
        begin(berth_thread_of(ctx), ctx, flow, &calls);
}

void berth_flow_turn_begin(berth_ctx *ctx, struct berth_flow *flow)
{
    struct berth_thread *thread = berth_thread_of(ctx);
    if (flow && (thread->tally || tally_new(thread)))
        time_begin(thread->tally, ctx, flow);
}

static void time_end(struct berth_tally *tally, struct berth_flow *flow)
{
    struct berth_histogram *times = __atomic_load_n(&flow->times, __ATOMIC_ACQUIRE);
    int64_t took = berth_now() - tally->timings[--tally->timed].began;
    if (!times) {
        struct berth_histogram *made = calloc(1, sizeof *made);
        if (!made)
            return;
        if (__atomic_compare_exchange_n(&flow->times, &times, made, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
            times = made;
        else
            free(made);
    }
    berth_histogram_add(times, took);
}

static bool is_timed(const struct berth_tally *tally, const berth_ctx *ctx,
                     const struct berth_flow *flow)
{
    return tally->timings[tally->timed - 1].ctx == ctx &&
           tally->timings[tally->timed - 1].flow == flow;
}

void berth_flow_end(berth_ctx *ctx, struct berth_flow *flow, int code)
{
    struct berth_tally *tally = berth_thread_of(ctx)->tally;
    if (!flow)
        return;
    if (tally && BERTH_I_UNLIKELY(tally->timed > 0) && is_timed(tally, ctx, flow))
        time_end(tally, flow);
    if (BERTH_I_UNLIKELY(code > BERTH_OK && code < BERTH_CODES))
        __atomic_fetch_add(&flow->errors[code], 1, __ATOMIC_RELAXED);
}

void berth_flow_message(struct berth_flow *flow)
{
    if (flow)
        __atomic_fetch_add(&flow->calls, 1, __ATOMIC_RELAXED);
}

void berth_flow_refused(struct berth_flow *flow, int code)
{
    berth_flow_message(flow);
    if (flow)
        __atomic_fetch_add(&flow->errors[code], 1, __ATOMIC_RELAXED);
}

void berth_flow_dropped(struct berth_flow *flow)
{
    if (flow)
        __atomic_fetch_add(&flow->dropped, 1, __ATOMIC_RELAXED);
}

/* ---- bound calls ---- */

#define RATE_CALLS 1024
#define RATE_NS    10000000 /* a thread that makes so many in this time has them sampled */

static void window_count(berth_ctx *ctx, struct berth_flow *flow, struct berth_tally *tally)
{
    uint32_t number = __atomic_load_n(&flow->windows, __ATOMIC_RELAXED);
    size_t slot = flow->id % SLOTS;
    bool first = tally && tally->slots[slot].window != number;
    if (first)
        tally->slots[slot].window = number;
    berth_sample_count(berth_host_of(ctx), flow, first);
}

/*
 * A direct one may come here all the same, when a gate is taken or a module replaced: it is among
 * those that are estimated.
 */
void berth_flow_begin_bound(berth_ctx *ctx, struct berth_edge *edge)
{
    struct berth_flow *flow = edge->flow;
    uint64_t calls;
    if (!flow)
        return;
    enum berth_flow_state state = __atomic_load_n(&flow->state, __ATOMIC_RELAXED);
    if (state == BERTH_FLOW_DIRECT)
        return;
    struct berth_tally *tally = begin(berth_thread_of(ctx), ctx, flow, &calls);
    if (BERTH_I_UNLIKELY(state == BERTH_FLOW_WINDOW)) {
        window_count(ctx, flow, tally);
    } else if (BERTH_I_UNLIKELY(calls > 0 && calls % RATE_CALLS == 0) &&
               __atomic_load_n(&edge->link->code, __ATOMIC_RELAXED)) {
        int64_t now = berth_now(), *since = &tally->slots[flow->id % SLOTS].since;
        if (now - *since < RATE_NS && !berth_failed(ctx))
            berth_sample_begin(ctx, edge);
        *since = now;
    }
}

void berth_flows_count_all(struct berth_host *host, bool all)
{
    pthread_mutex_lock(&host->lock);
    __atomic_store_n(&host->count_all, all, __ATOMIC_RELAXED);
    if (all)
        berth_samples_end(host);
    pthread_mutex_unlock(&host->lock);
}

/* ---- reading ---- */

struct berth_flow_count *berth_flows_read(struct berth_host *host, size_t *ret_count)
{
    struct berth_map_entry *entry;
    pthread_mutex_lock(&host->lock);
    struct berth_flow_count *counts = calloc(host->flows.count + 1, sizeof *counts);
    pthread_mutex_lock(&host->threads.lock);
    for (size_t i = 0; counts && berth_map_next(&host->flows, &i, &entry);) {
        struct berth_flow *flow = entry->value;
        counts[flow->id] = (struct berth_flow_count){
            flow, __atomic_load_n(&flow->calls, __ATOMIC_RELAXED) + flow->estimated, flow->estimated
        };
    }
    berth_list_each(&host->threads.list, link) {
        const struct berth_tally *tally = berth_container(link, struct berth_thread, link)->tally;
        for (size_t i = 0; counts && tally && i < SLOTS; i++)
            if (tally->slots[i].flow &&
                counts[tally->slots[i].flow->id].flow == tally->slots[i].flow)
                counts[tally->slots[i].flow->id].calls +=
                    __atomic_load_n(&tally->slots[i].calls, __ATOMIC_RELAXED);
    }
    *ret_count = host->flows.count;
    pthread_mutex_unlock(&host->threads.lock);
    pthread_mutex_unlock(&host->lock);
    return counts;
}
