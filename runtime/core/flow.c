/* SPDX-License-Identifier: MIT */
#include "runtime/core/flow.h"

#include "runtime/base/memory.h"
#include "runtime/base/pool.h"
#include "runtime/core/call.h"
#include "runtime/core/sample.h"

#include <stdio.h>
#include <string.h>

_Static_assert(sizeof((struct berth_host *)0)->fates == BERTH_FATES * sizeof(uint64_t),
               "core.h does not see the enum");

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
    flow = berth_pool_alloc(sizeof *flow + (size_t)length + 1);
    if (!flow)
        return NULL;
    char *names = memcpy(flow + 1, key, (size_t)length + 1);
    flow->from = names;
    flow->sender = from;
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
    berth_pool_free(flow);
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
        berth_free(flow->times);
        berth_pool_free(flow);
    }
    berth_map_deinit(&host->flows);
}

/* ---- what a thread counts ---- */

/*
 * Counting in one place would make threads wait for each other's caches. So each has its own
 * numbers for the flows that it used last, and writes them without a locked instruction; whoever
 * reads adds them up. What a slot was used for is changed, and read, under the threads' lock.
 */
#define CHUNKS      16
#define CHUNK       64
#define TIMED_DEPTH 8
#define MISSES      16

struct tally {
    struct berth_tally head;
    struct berth_flow_slot *chunks[CHUNKS]; /* made when they are needed */
    uint32_t misses;                        /* messages whose flow had no place here, */
    uint32_t turns;                         /* and turns of their handlers */
    struct {
        const berth_ctx *ctx;
        const struct berth_flow *flow;
        int64_t began;
    } timings[TIMED_DEPTH];
};

static struct tally *tally_of(const struct berth_thread *thread)
{
    return (struct tally *)thread->tally;
}

static void slot_keep(struct berth_flow_slot *slot)
{
    if (!slot->flow)
        return;
    __atomic_fetch_add(&slot->flow->calls, slot->calls, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->calls, 0, __ATOMIC_RELAXED);
}

void berth_flow_thread_ends(void *host, struct berth_thread *thread)
{
    struct tally *tally = tally_of(thread);
    (void)host;
    for (size_t i = 0; tally && i < CHUNKS; i++) {
        for (size_t k = 0; tally->chunks[i] && k < CHUNK; k++)
            slot_keep(&tally->chunks[i][k]);
        berth_free(tally->chunks[i]);
    }
    berth_free(tally);
    thread->tally = NULL;
}

/* The thread's place for a flow, which another one has or nobody yet. NULL: no memory. */
__attribute__((noinline)) static struct berth_flow_slot *slot_take(struct berth_thread *thread,
                                                                   struct berth_flow *flow)
{
    pthread_mutex_lock(&thread->set->lock);
    struct tally *tally = tally_of(thread);
    if (!tally && (tally = berth_calloc(1, sizeof *tally)))
        thread->tally = &tally->head;
    struct berth_flow_slot **chunk = tally ? &tally->chunks[flow->id / CHUNK % CHUNKS] : NULL;
    if (chunk && !*chunk)
        *chunk = berth_calloc(CHUNK, sizeof **chunk);
    struct berth_flow_slot *slot = chunk && *chunk ? &(*chunk)[flow->id % CHUNK] : NULL;
    if (slot) {
        slot_keep(slot);
        slot->flow = flow;
        slot->since = 0;
        slot->turns = 0;
    }
    pthread_mutex_unlock(&thread->set->lock);
    return slot;
}

void berth_flow_take_slot(berth_ctx *ctx, struct berth_flow *flow)
{
    slot_take(berth_thread_of(ctx), flow);
}

/* What is left of calls that did not end, a longjmp's, is not in front of this one. */
static void time_begin(struct tally *tally, const berth_ctx *ctx, const struct berth_flow *flow)
{
    while (tally->head.timed > 0 && tally->timings[tally->head.timed - 1].ctx >= ctx)
        tally->head.timed--;
    if (tally->head.timed == TIMED_DEPTH)
        return;
    tally->timings[tally->head.timed].ctx = ctx;
    tally->timings[tally->head.timed].flow = flow;
    tally->timings[tally->head.timed].began = berth_now();
    tally->head.timed++;
}

/* The thread's place for the flow, whoever has it. NULL: there is none yet. */
static struct berth_flow_slot *slot_at(const struct tally *tally, const struct berth_flow *flow)
{
    struct berth_flow_slot *chunk = tally ? tally->chunks[flow->id / CHUNK % CHUNKS] : NULL;
    return chunk ? &chunk[flow->id % CHUNK] : NULL;
}

/* Taken if need be. */
static struct berth_flow_slot *slot_of(struct berth_thread *thread, struct berth_flow *flow)
{
    struct berth_flow_slot *slot = slot_at(tally_of(thread), flow);
    return slot && slot->flow == flow ? slot : slot_take(thread, flow);
}

/*
 * For a message. Flows that are more than the places would push each other out all the time, which
 * costs a look at the other one's memory: mostly it is counted in the flow itself then, which is
 * looked at anyway. A flow that goes on to miss its place soon has it. NULL: not now.
 */
static struct berth_flow_slot *slot_for_message(struct berth_thread *thread,
                                                struct berth_flow *flow)
{
    struct tally *tally = tally_of(thread);
    struct berth_flow_slot *slot = slot_at(tally, flow);
    if (slot && slot->flow != flow && slot->flow && ++tally->misses % MISSES != 0)
        return NULL;
    return slot_of(thread, flow);
}

static struct berth_flow_slot *count_in(struct berth_thread *thread, struct berth_flow *flow,
                                        struct berth_flow_slot *slot)
{
    if (!slot) {
        __atomic_fetch_add(&flow->calls, 1, __ATOMIC_RELAXED);
        return NULL;
    }
    thread->tally->last = slot;
    __atomic_store_n(&slot->calls, slot->calls + 1, __ATOMIC_RELAXED);
    return slot;
}

struct berth_flow_slot *berth_flow_count_elsewhere(berth_ctx *ctx, struct berth_flow *flow)
{
    struct berth_thread *thread = berth_thread_of(ctx);
    return count_in(thread, flow, slot_of(thread, flow));
}

/* Of all threads the first ones. */
static bool is_to_be_timed(const struct berth_flow *flow, const struct berth_flow_slot *slot)
{
    return slot->calls % BERTH_TIMED_EACH == 0 ||
           __atomic_load_n(&flow->calls, __ATOMIC_RELAXED) < BERTH_TIMED_FIRST;
}

void berth_flow_time(berth_ctx *ctx, struct berth_flow *flow, const struct berth_flow_slot *slot)
{
    if (is_to_be_timed(flow, slot))
        time_begin(tally_of(berth_thread_of(ctx)), ctx, flow);
}

/* Whether the handler's turn that begins is to be timed. */
static bool turn_is_timed(struct berth_thread *thread, struct berth_flow *flow)
{
    struct berth_flow_slot *slot = flow ? slot_for_message(thread, flow) : NULL;
    struct tally *tally = tally_of(thread);
    if (!flow || !tally)
        return false;
    tally->head.turn = slot;
    uint32_t before = slot ? slot->turns++ : tally->turns++;
    return before % BERTH_TIMED_EACH == 0 || (slot && before < BERTH_TIMED_FIRST) ||
           (!slot && !__atomic_load_n(&flow->times, __ATOMIC_RELAXED));
}

void berth_flow_turn_begin_slowly(berth_ctx *ctx, struct berth_flow *flow)
{
    struct berth_thread *thread = berth_thread_of(ctx);
    if (turn_is_timed(thread, flow))
        time_begin(tally_of(thread), ctx, flow);
}

int64_t berth_flow_turn_away(berth_ctx *ctx, struct berth_flow *flow)
{
    return turn_is_timed(berth_thread_of(ctx), flow) ? berth_now() : 0;
}

int64_t berth_flow_call_away(berth_ctx *ctx, struct berth_flow *flow)
{
    const struct berth_flow_slot *slot = berth_flow_count(ctx, flow);
    return berth_flow_may_time(slot) && is_to_be_timed(flow, slot) ? berth_now() : 0;
}

static void add_time(struct berth_flow *flow, int64_t took)
{
    struct berth_histogram *times = __atomic_load_n(&flow->times, __ATOMIC_ACQUIRE);
    if (!times) {
        struct berth_histogram *made = berth_calloc(1, sizeof *made);
        if (!made)
            return;
        if (__atomic_compare_exchange_n(&flow->times, &times, made, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
            times = made;
        else
            berth_free(made);
    }
    berth_histogram_add(times, took);
}

static void add_error(struct berth_flow *flow, int code)
{
    if (code > BERTH_OK && code < BERTH_CODES)
        __atomic_fetch_add(&flow->errors[code], 1, __ATOMIC_RELAXED);
}

void berth_flow_back(struct berth_flow *flow, int64_t began, int code)
{
    if (began)
        add_time(flow, berth_now() - began);
    if (flow)
        add_error(flow, code);
}

static bool is_timed(const struct tally *tally, const berth_ctx *ctx, const struct berth_flow *flow)
{
    return tally->timings[tally->head.timed - 1].ctx == ctx &&
           tally->timings[tally->head.timed - 1].flow == flow;
}

void berth_flow_end_with(berth_ctx *ctx, struct berth_flow *flow, int code)
{
    struct tally *tally = tally_of(berth_thread_of(ctx));
    if (tally && tally->head.timed > 0 && is_timed(tally, ctx, flow))
        add_time(flow, berth_now() - tally->timings[--tally->head.timed].began);
    add_error(flow, code);
}

void berth_flow_message_elsewhere(struct berth_thread *thread, struct berth_flow *flow)
{
    if (thread)
        count_in(thread, flow, slot_for_message(thread, flow));
    else
        __atomic_fetch_add(&flow->calls, 1, __ATOMIC_RELAXED);
}

void berth_flow_in_vain(struct berth_flow *flow)
{
    if (flow)
        __atomic_fetch_add(&flow->calls, 1, __ATOMIC_RELAXED);
}

void berth_flow_refused(struct berth_flow *flow, int code)
{
    berth_flow_in_vain(flow);
    if (flow)
        add_error(flow, code);
}

void berth_flow_fate(struct berth_host *host, struct berth_flow *flow, enum berth_fate fate)
{
    __atomic_fetch_add(&host->fates[fate], 1, __ATOMIC_RELAXED);
    if (flow)
        __atomic_fetch_add(&flow->fates[fate], 1, __ATOMIC_RELAXED);
}

void berth_flow_dropped(struct berth_flow *flow)
{
    if (flow)
        __atomic_fetch_add(&flow->fates[BERTH_FATE_DROPPED], 1, __ATOMIC_RELAXED);
}

void berth_flow_late(struct berth_flow *flow)
{
    if (flow)
        __atomic_fetch_add(&flow->late, 1, __ATOMIC_RELAXED);
}

/* ---- bound calls ---- */

#define RATE_CALLS 16384
#define RATE_NS    160000000 /* a thread that makes so many in this time has them sampled */

/*
 * A direct one may come here all the same, when a gate is taken or a module replaced: it is among
 * those that are estimated.
 */
void berth_flow_begin_bound(berth_ctx *ctx, struct berth_edge *edge)
{
    struct berth_flow *flow = edge->flow;
    if (!flow)
        return;
    enum berth_flow_state state = __atomic_load_n(&flow->state, __ATOMIC_RELAXED);
    if (state == BERTH_FLOW_DIRECT)
        return;
    struct berth_flow_slot *slot = berth_flow_begin(ctx, flow);
    if (BERTH_I_UNLIKELY(state == BERTH_FLOW_WINDOW)) {
        uint32_t number = __atomic_load_n(&flow->windows, __ATOMIC_RELAXED);
        bool first = slot && slot->window != number;
        if (first)
            slot->window = number;
        berth_sample_count(flow, first);
    } else if (slot && BERTH_I_UNLIKELY(slot->calls % RATE_CALLS == 0) &&
               __atomic_load_n(&edge->link->code, __ATOMIC_RELAXED)) {
        int64_t now = berth_now();
        if (now - slot->since < RATE_NS && !berth_failed(ctx))
            berth_sample_begin(ctx, edge);
        slot->since = now;
    }
}

/* A failure is counted, looked at, or estimated, as its call is. */
int berth_flow_see_error(struct berth_flow *flow, int code)
{
    enum berth_flow_state state = __atomic_load_n(&flow->state, __ATOMIC_RELAXED);
    if (state == BERTH_FLOW_WINDOW && code > BERTH_OK && code < BERTH_CODES)
        __atomic_fetch_add(&flow->errors_seen[code], 1, __ATOMIC_RELAXED);
    return state == BERTH_FLOW_DIRECT ? BERTH_OK : code;
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

/* One that measures what asking takes is nobody's (runtime/core/sample.c). */
static void add_tally(const struct tally *tally, struct berth_flow_count *counts)
{
    for (size_t i = 0; i < CHUNKS; i++)
        for (size_t k = 0; tally->chunks[i] && k < CHUNK; k++) {
            const struct berth_flow_slot *slot = &tally->chunks[i][k];
            if (slot->flow && counts[slot->flow->id].flow == slot->flow)
                counts[slot->flow->id].calls += __atomic_load_n(&slot->calls, __ATOMIC_RELAXED);
        }
}

struct berth_flow_count *berth_flows_read(struct berth_host *host, size_t *ret_count)
{
    struct berth_map_entry *entry;
    pthread_mutex_lock(&host->lock);
    struct berth_flow_count *counts = berth_calloc(host->flows.count + 1, sizeof *counts);
    pthread_mutex_lock(&host->threads.lock);
    for (size_t i = 0; counts && berth_map_next(&host->flows, &i, &entry);) {
        struct berth_flow *flow = entry->value;
        counts[flow->id] = (struct berth_flow_count){
            flow, __atomic_load_n(&flow->calls, __ATOMIC_RELAXED) + flow->estimated, flow->estimated
        };
    }
    berth_list_each(&host->threads.list, link) {
        const struct tally *tally = tally_of(berth_container(link, struct berth_thread, link));
        if (counts && tally)
            add_tally(tally, counts);
    }
    *ret_count = host->flows.count;
    pthread_mutex_unlock(&host->threads.lock);
    pthread_mutex_unlock(&host->lock);
    return counts;
}
