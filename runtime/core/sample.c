/* SPDX-License-Identifier: MIT */
#include "runtime/core/sample.h"

#include "runtime/base/memory.h"
#include "runtime/core/call.h"
#include "runtime/core/flow.h"
#include "runtime/core/registry.h"
#include "runtime/core/services.h"

#define WINDOW_NS   250000
#define FIRST_NS    1000000 /* that call sites are direct before a window; then twice as long */
#define LONGEST_NS  50000000
#define FEW_CALLS   25 /* in a window: 100,000 a second, which may as well be counted */
#define FEW_WINDOWS 8  /* in a row with so few: the flow is counted again */

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
    if (__atomic_load_n(&trial->edge.cell->module->gate.owner, __ATOMIC_RELAXED) != 0)
        return false; /* a round that has to wait measures nothing, and all of them take long */
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
    struct berth_flow nobodys = {
        .from = "", .to = "", .id = edge->flow->id, .state = BERTH_FLOW_WINDOW
    };
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
static double estimate(const struct berth_flow *flow, int64_t span, uint64_t seen)
{
    uint32_t threads = __atomic_load_n(&flow->threads, __ATOMIC_RELAXED);
    if (seen == 0)
        return 0;
    double each = (double)span * threads / (double)seen - flow->detour_ns;
    return (double)flow->direct_ns * threads / (each > flow->least_ns ? each : flow->least_ns);
}

static void window_close(struct berth_flow *flow)
{
    uint64_t seen = __atomic_load_n(&flow->seen, __ATOMIC_RELAXED);
    int64_t now = berth_now(), span = now - flow->since;
    double calls = estimate(flow, span, seen);
    flow->estimated += (uint64_t)calls;
    for (size_t i = 0; i < BERTH_CODES && seen > 0; i++) {
        uint64_t errors = __atomic_load_n(&flow->errors_seen[i], __ATOMIC_RELAXED);
        errors = errors < seen ? errors : seen; /* some calls were under way */
        if (errors > 0)
            __atomic_fetch_add(&flow->errors[i], (uint64_t)((double)errors * calls / (double)seen),
                               __ATOMIC_RELAXED);
    }
    bool few = (double)seen * WINDOW_NS < (double)span * FEW_CALLS;
    flow->quiet = few ? flow->quiet + 1 : 0;
    flow->since = now;
}

static void window_open(struct berth_flow *flow)
{
    for (size_t i = 0; i < BERTH_CODES; i++)
        __atomic_store_n(&flow->errors_seen[i], 0, __ATOMIC_RELAXED);
    __atomic_store_n(&flow->seen, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&flow->threads, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&flow->windows, flow->windows + 1, __ATOMIC_RELAXED);
    set_state(flow, BERTH_FLOW_WINDOW);
    int64_t now = berth_now();
    flow->direct_ns = now - flow->since;
    flow->since = now;
}

static void windows_close(struct berth_host *host)
{
    berth_list_each_safe(&host->sampled, link) {
        struct berth_flow *flow = berth_container(link, struct berth_flow, sampled);
        if (flow->state != BERTH_FLOW_WINDOW) /* it has begun since they were opened */
            continue;
        window_close(flow);
        bool over = flow->quiet >= FEW_WINDOWS;
        if (over)
            berth_list_remove(&flow->sampled);
        set_state(flow, over ? BERTH_FLOW_COUNTED : BERTH_FLOW_DIRECT);
    }
}

/* Not in step with whatever else goes on at times: half of the period to one and a half. */
static int64_t about(int64_t period)
{
    uint64_t mixed = (uint64_t)berth_now() * UINT64_C(0x9e3779b97f4a7c15);
    return period / 2 + (int64_t)((mixed >> 32) % (uint64_t)period);
}

/* Opens all windows, or closes them. */
void berth_sample_fire(struct berth_timer *timer)
{
    struct berth_host *host = timer->owner;
    int64_t next = WINDOW_NS;
    pthread_mutex_lock(&host->lock);
    if (host->sample_open) {
        windows_close(host);
        next = about(host->sample_period);
        host->sample_period =
            host->sample_period * 2 < LONGEST_NS ? host->sample_period * 2 : LONGEST_NS;
    } else {
        berth_list_each(&host->sampled, link)
            window_open(berth_container(link, struct berth_flow, sampled));
    }
    host->sample_open = !host->sample_open;
    if (!berth_list_empty(&host->sampled))
        berth_timer_add(host->loop, timer, berth_now() + next, NULL);
    pthread_mutex_unlock(&host->lock);
}

/*
 * A flow is new: the next window is soon, as nobody knows how long its many calls go on. It may be
 * open already, for others, and then it is the one after that. false: no memory.
 */
static bool hurry(struct berth_host *host)
{
    bool first = berth_list_empty(&host->sampled);
    int64_t due = berth_now() + FIRST_NS;
    host->sample_open = host->sample_open && !first;
    host->sample_period = FIRST_NS;
    if (!first && (host->sample_open || host->sample_timer.due <= due))
        return true;
    return berth_timer_add(host->loop, &host->sample_timer, due, NULL) == BERTH_OK;
}

void berth_sample_begin(berth_ctx *ctx, struct berth_edge *edge)
{
    struct berth_host *host = berth_host_of(ctx);
    struct berth_flow *flow = edge->flow;
    double detour_ns, least_ns;
    if (!measure_detour(ctx, edge, &detour_ns, &least_ns))
        return;
    pthread_mutex_lock(&host->lock);
    if (flow->state == BERTH_FLOW_COUNTED && !host->count_all && hurry(host)) {
        flow->detour_ns = detour_ns;
        flow->least_ns = least_ns;
        flow->quiet = 0;
        flow->since = berth_now();
        berth_list_append(&host->sampled, &flow->sampled);
        set_state(flow, BERTH_FLOW_DIRECT);
    }
    pthread_mutex_unlock(&host->lock);
}

void berth_sample_count(struct berth_flow *flow, bool first)
{
    if (first)
        __atomic_fetch_add(&flow->threads, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&flow->seen, 1, __ATOMIC_RELAXED);
}

void berth_samples_end(struct berth_host *host)
{
    berth_list_each_safe(&host->sampled, link) {
        struct berth_flow *flow = berth_container(link, struct berth_flow, sampled);
        if (flow->state == BERTH_FLOW_WINDOW)
            window_close(flow);
        berth_list_remove(&flow->sampled);
        set_state(flow, BERTH_FLOW_COUNTED);
    }
}
