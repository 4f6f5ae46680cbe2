/* SPDX-License-Identifier: MIT */
#include "runtime/core/sample.h"

#include "runtime/base/memory.h"
#include "runtime/core/call.h"
#include "runtime/core/flow.h"
#include "runtime/core/registry.h"
#include "runtime/core/services.h"

#define PERIOD_NS    50000000
#define WINDOW_CALLS 512 /* that are looked at, */
#define WARMUP_CALLS 64  /* after those that bring the code to do so back into the caches */

/* host->lock held */
static void set_state(struct berth_flow *flow, enum berth_flow_state state)
{
    __atomic_store_n(&flow->state, state, __ATOMIC_RELAXED);
    berth_list_each(&flow->cell->edges, link) {
        struct berth_edge *edge = berth_container(link, struct berth_edge, of_cell);
        if (edge->flow == flow)
            berth_edge_set(edge);
    }
}

/* A link that leads to the same callee, to see how long the ways there take. */
struct trial {
    struct berth_edge edge;
    struct berth_link link;
    bool gated;
};

/* The shortest time, in ns, that one of some rounds takes. 0: one of them could not be made. */
static double best_of(bool (*round)(berth_ctx *ctx, struct trial *trial), berth_ctx *ctx,
                      struct trial *trial)
{
    int64_t best = INT64_MAX;
    for (int i = 0; i < 8; i++) {
        int64_t began = berth_now();
        for (int k = 0; k < 32; k++)
            if (!round(ctx, trial))
                return 0;
        int64_t took = berth_now() - began;
        best = took < best ? took : best;
    }
    return (double)best / 32;
}

static bool ask(berth_ctx *ctx, struct trial *trial)
{
    void (*code)(void);
    if (berth_services.enter(ctx, &trial->link, &code) != BERTH_ENTER_CALL)
        return false; /* the call itself will tell why */
    trial->gated = berth_gate_owned(&trial->edge.cell->module->gate, ctx);
    berth_services.leave(ctx, &trial->link);
    return true;
}

static bool pass_gate(berth_ctx *ctx, struct trial *trial)
{
    void (*code)(void);
    berth_frame_push(ctx, (uintptr_t)trial->link.code);
    struct berth_gate *gate = berth_gate_enter(ctx, &trial->link, &code);
    if (gate)
        berth_gate_leave(ctx, gate);
    else
        berth_gate_withdraw(ctx);
    return gate != NULL;
}

/*
 * Calls that are looked at take longer than those that are not, by as much as there is to be
 * subtracted; else a function that is done in no time would seem to be called far less often than
 * it is. Measured without calling anything, and counted elsewhere. False: not now.
 */
static bool measure_detour(berth_ctx *ctx, const struct berth_edge *edge, double *ret_detour,
                           double *ret_least)
{
    struct berth_flow nobodys = { .from = "", .to = "", .id = edge->flow->id };
    struct trial trial = { .edge = { .cell = edge->cell,
                                     .flow = &nobodys,
                                     .importer = edge->importer,
                                     .import = edge->import,
                                     .signature = edge->signature } };
    trial.link.edge = &trial.edge;
    trial.link.code = __atomic_load_n(&edge->link->code, __ATOMIC_RELAXED);
    trial.link.check = (uintptr_t)&edge->cell->module->gate | BERTH_CHECK_SLOW;
    double asking = best_of(ask, ctx, &trial);
    *ret_least = trial.gated ? best_of(pass_gate, ctx, &trial) : 1;
    *ret_detour = asking - *ret_least;
    berth_flow_take_slot(ctx, edge->flow);
    berth_free(nobodys.times);
    berth_clear(ctx);
    return asking > 0 && *ret_least > 0;
}

/* The calls of a time that was like the window: of so many threads at once, without the detour. */
static double estimate(const struct berth_flow *flow, int64_t time, int64_t span, uint32_t seen)
{
    uint32_t threads = __atomic_load_n(&flow->threads, __ATOMIC_RELAXED);
    if (seen == 0 || span <= 0)
        return 0;
    double each = (double)span * threads / seen - flow->detour_ns;
    return (double)time * threads / (each > flow->least_ns ? each : flow->least_ns);
}

static void window_close(struct berth_flow *flow, int64_t now)
{
    uint32_t left = __atomic_load_n(&flow->left, __ATOMIC_RELAXED);
    uint32_t seen = left < WINDOW_CALLS ? WINDOW_CALLS - left : 0;
    int64_t since = __atomic_load_n(&flow->window_since, __ATOMIC_RELAXED);
    double calls = estimate(flow, flow->window_opened - flow->direct_since, now - since, seen);
    flow->estimated += (uint64_t)calls;
    for (size_t i = 0; i < BERTH_CODES && seen > 0; i++) {
        uint64_t errors = __atomic_load_n(&flow->errors_seen[i], __ATOMIC_RELAXED);
        if (errors > 0)
            __atomic_fetch_add(&flow->errors[i],
                               (uint64_t)((double)errors * calls / (WARMUP_CALLS + seen)),
                               __ATOMIC_RELAXED);
    }
    flow->direct_since = now;
}

static void window_open(struct berth_flow *flow, int64_t now)
{
    for (size_t i = 0; i < BERTH_CODES; i++)
        __atomic_store_n(&flow->errors_seen[i], 0, __ATOMIC_RELAXED);
    flow->window_opened = now;
    __atomic_store_n(&flow->window_since, now, __ATOMIC_RELAXED);
    __atomic_store_n(&flow->threads, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&flow->left, WARMUP_CALLS + WINDOW_CALLS, __ATOMIC_RELAXED);
    __atomic_store_n(&flow->windows, flow->windows + 1, __ATOMIC_RELAXED);
    set_state(flow, BERTH_FLOW_WINDOW);
}

/* A window that has seen too few calls by now: the flow can be counted again. */
void berth_sample_fire(struct berth_timer *timer)
{
    struct berth_host *host = timer->owner;
    pthread_mutex_lock(&host->lock);
    int64_t now = berth_now();
    berth_list_each_safe(&host->sampled, link) {
        struct berth_flow *flow = berth_container(link, struct berth_flow, sampled);
        if (flow->state == BERTH_FLOW_DIRECT) {
            window_open(flow, now);
        } else {
            window_close(flow, now);
            berth_list_remove(&flow->sampled);
            set_state(flow, BERTH_FLOW_COUNTED);
        }
    }
    if (!berth_list_empty(&host->sampled))
        berth_timer_add(host->loop, timer, now + PERIOD_NS, NULL);
    pthread_mutex_unlock(&host->lock);
}

void berth_sample_begin(berth_ctx *ctx, struct berth_edge *edge)
{
    struct berth_host *host = berth_host_of(ctx);
    struct berth_flow *flow = edge->flow;
    double detour_ns, least_ns;
    if (!measure_detour(ctx, edge, &detour_ns, &least_ns))
        return;
    pthread_mutex_lock(&host->lock);
    int64_t now = berth_now();
    bool first = berth_list_empty(&host->sampled);
    if (flow->state == BERTH_FLOW_COUNTED && !host->count_all &&
        (!first ||
         berth_timer_add(host->loop, &host->sample_timer, now + PERIOD_NS, NULL) == BERTH_OK)) {
        flow->detour_ns = detour_ns;
        flow->least_ns = least_ns;
        flow->direct_since = now;
        berth_list_append(&host->sampled, &flow->sampled);
        set_state(flow, BERTH_FLOW_DIRECT);
    }
    pthread_mutex_unlock(&host->lock);
}

__attribute__((noinline)) static void window_is_full(struct berth_host *host,
                                                     struct berth_flow *flow)
{
    pthread_mutex_lock(&host->lock);
    if (flow->state == BERTH_FLOW_WINDOW && flow->left == 0) {
        window_close(flow, berth_now());
        set_state(flow, BERTH_FLOW_DIRECT);
    }
    pthread_mutex_unlock(&host->lock);
}

void berth_sample_count(struct berth_host *host, struct berth_flow *flow, bool first)
{
    uint32_t left = __atomic_load_n(&flow->left, __ATOMIC_RELAXED);
    if (first)
        __atomic_fetch_add(&flow->threads, 1, __ATOMIC_RELAXED);
    while (left > 0 && !__atomic_compare_exchange_n(&flow->left, &left, left - 1, true,
                                                    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    if (left == WINDOW_CALLS + 1)
        __atomic_store_n(&flow->window_since, berth_now(), __ATOMIC_RELAXED);
    if (left == 1)
        window_is_full(host, flow);
}

void berth_samples_end(struct berth_host *host)
{
    int64_t now = berth_now();
    berth_list_each_safe(&host->sampled, link) {
        struct berth_flow *flow = berth_container(link, struct berth_flow, sampled);
        if (flow->state == BERTH_FLOW_WINDOW)
            window_close(flow, now);
        berth_list_remove(&flow->sampled);
        set_state(flow, BERTH_FLOW_COUNTED);
    }
}
