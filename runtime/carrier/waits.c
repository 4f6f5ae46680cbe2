/* SPDX-License-Identifier: MIT */
#include "runtime/carrier/waits.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/memory.h"
#include "runtime/call/ring.h"
#include "runtime/call/thread.h"

#define HEAD       2 /* numbers in front of the ids */
#define WEIGHT_MAX ((size_t)16 * BERTH_PEER_REQUESTS)
#define UNDER_MAX  4  /* under one request: a turn, then its thread; there is no reason for more */
#define OWN_MAX    64 /* of threads that the module has, and timers */

struct told {
    struct berth_list link, by_chain;
    struct berth_worker_waits *waits;
    struct berth_wait wait;
    bool begun;  /* the finder has it */
    bool inside; /* of the gate */
    bool
        threaded; /* it is in the chain of a thread, which waits for the request that it is under */
    uint32_t chain, theirs; /* theirs: in the worker */
    uint64_t number, under;
    char target[BERTH_FRAME_NAME];
    size_t count;
    uint64_t ids[];
};

static struct told *told_of(struct berth_list *link)
{
    return berth_container(link, struct told, link);
}

/* ---- for the finder ---- */

/* Who waits inside of the gate, or has come up from there. */
uint32_t berth_worker_waits_inside(struct berth_worker_waits *waits, size_t i)
{
    pthread_mutex_lock(&waits->lock);
    uint32_t chain = waits->inside ? waits->inside->chain : 0;
    pthread_mutex_unlock(&waits->lock);
    if (chain && i == 0)
        return chain;
    return berth_peer_inside(waits->peer, chain ? i - 1 : i);
}

static uint32_t inside_holder(const struct berth_wait *wait, size_t i)
{
    return berth_worker_waits_inside(((const struct told *)wait->of)->waits, i);
}

/* Whoever runs what was started. */
static uint32_t answer_holder(const struct berth_wait *wait, size_t i)
{
    const struct told *told = wait->of;
    const struct berth_worker_waits *waits = told->waits;
    const char *name;

    if (i == told->count)
        return 0;
    void *started = told->ids[i] ? berth_peer_later_find(waits->peer, told->ids[i]) : NULL;
    return started ? waits->upcalls->runner(started, &name) : BERTH_CHAIN_OTHER;
}

/* Whoever takes the replies to a request of ours. */
static uint32_t room_holder(const struct berth_wait *wait, size_t i)
{
    const struct told *told = wait->of;
    const struct berth_worker_waits *waits = told->waits;
    void *of = berth_peer_started_find(waits->peer, told->ids[0]);

    if (of)
        return waits->upcalls->taker(of, i);
    return i == 0 ? BERTH_CHAIN_OTHER : 0;
}

static void refuse(struct berth_wait *wait)
{
    const struct told *told = wait->of;
    const struct berth_wire wire = { .type = BERTH_WIRE_REFUSE,
                                     .id = told->number,
                                     .under = told->under };
    char text[BERTH_RING_TEXT + BERTH_FRAME_NAME];
    struct berth_buffer buffer;

    snprintf(text, sizeof(text), "%s: %s", told->waits->module, wait->ring);
    berth_peer_begin(told->waits->peer, &buffer);
    berth_wire_put_text(&buffer, told->number ? wait->ring : text);
    berth_peer_note(told->waits->peer, &wire, &buffer); /* else it hangs, as without all this */
}

/* ---- what is told ---- */

void berth_worker_waits_init(struct berth_worker_waits *waits, const char *module,
                             const struct berth_upcalls *upcalls)
{
    waits->module = module;
    waits->upcalls = upcalls;
    pthread_mutex_init(&waits->lock, NULL);
    berth_spread_init(&waits->told);
    berth_spread_init(&waits->theirs);
}

static void told_free(struct told *told)
{
    if (told->begun)
        berth_wait_end(&told->wait);
    berth_free(told);
}

void berth_worker_waits_deinit(struct berth_worker_waits *waits)
{
    for (size_t i = 0; i < BERTH_SPREAD; i++)
        berth_list_each_safe(&waits->told.lists[i], link)
            told_free(told_of(link));
    pthread_mutex_destroy(&waits->lock);
}

const char *berth_worker_waits_check(struct berth_worker_waits *waits,
                                     const struct berth_received *note)
{
    size_t count = note->wire.size / sizeof(uint64_t);
    bool one = note->wire.kind == BERTH_WIRE_ROOM;

    if (note->wire.kind > BERTH_WIRE_ROOM)
        return "no such wait";
    if (note->wire.size % sizeof(uint64_t) != 0 || count < HEAD || (one && count != HEAD + 1))
        return "not the size of a wait";
    pthread_mutex_lock(&waits->lock);
    bool twice = note->wire.inside && waits->inside;
    pthread_mutex_unlock(&waits->lock);
    return twice ? "two wait inside of one gate" : NULL;
}

static size_t weight_of(const struct told *told)
{
    return 1 + told->count;
}

/* With the lock held. */
static void add_weight(struct berth_worker_waits *waits, size_t weight)
{
    __atomic_store_n(&waits->weight, waits->weight + weight, __ATOMIC_RELEASE);
}

static bool any(const struct berth_worker_waits *waits)
{
    return __atomic_load_n(&waits->weight, __ATOMIC_ACQUIRE) != 0;
}

static bool has_room(struct berth_worker_waits *waits, uint64_t under, size_t count)
{
    size_t beside = 0;

    pthread_mutex_lock(&waits->lock);
    bool room = waits->weight + 1 + count <= WEIGHT_MAX;
    if (room)
        berth_list_each(berth_spread_list(&waits->told, under), link)
            beside += told_of(link)->under == under;
    pthread_mutex_unlock(&waits->lock);
    return room && beside < (under ? UNDER_MAX : OWN_MAX);
}

/* NULL: there is no room for it, and it ends when it does. Only the reader adds any. */
static struct told *told_new(struct berth_worker_waits *waits, const struct berth_received *note)
{
    struct berth_reader reader = berth_received_reader(note);
    size_t count = note->wire.size / sizeof(uint64_t) - HEAD;
    uint64_t number = 0, under = 0;
    struct told *told = NULL;

    berth_wire_get_u64(&reader, &number);
    berth_wire_get_u64(&reader, &under);
    if (has_room(waits, under, count))
        told = berth_calloc(1, sizeof(*told) + count * sizeof(told->ids[0]));
    if (!told)
        return NULL;
    told->waits = waits;
    told->inside = note->wire.inside;
    told->theirs = note->wire.chain;
    berth_list_init(&told->by_chain);
    told->count = count;
    told->number = number;
    told->under = under;
    for (size_t i = 0; i < count; i++)
        berth_wire_get_u64(&reader, &told->ids[i]);
    return told;
}

/*
 * A turn waits for the gate: nobody would be told that it has failed, so it is others who do. For
 * an ordinary call the frame says what it is for.
 */
static void set_gate(struct told *told, bool turn)
{
    told->wait.holder = inside_holder;
    told->wait.patient = turn;
    told->wait.refuse = turn ? NULL : refuse;
    snprintf(told->target, sizeof(told->target), "%s (turn)", told->waits->module);
    told->wait.target = turn ? told->target : NULL;
}

/* It happens in the function that the frame says. */
static void set_answers(struct told *told, bool any)
{
    const struct berth_worker_waits *waits = told->waits;
    void *first = told->count ? berth_peer_later_find(waits->peer, told->ids[0]) : NULL;
    const char *name = "";

    if (first)
        waits->upcalls->runner(first, &name);
    told->wait.holder = answer_holder;
    told->wait.any = any;
    told->wait.refuse = refuse;
    told->wait.target = name;
    if (told->wait.ctx)
        told->wait.ctx++;
}

/* In the same function. That it has been taken may be on its way there. */
static void set_room(struct told *told)
{
    const struct berth_worker_waits *waits = told->waits;
    void *of = berth_peer_started_find(waits->peer, told->ids[0]);
    const char *name = NULL, *taker = NULL;

    if (of)
        waits->upcalls->stream(of, &name, &taker);
    snprintf(told->target, sizeof(told->target), "%s (replies)", taker ? taker : "");
    told->wait.holder = room_holder;
    told->wait.refuse = refuse;
    told->wait.doubtful = true;
    told->wait.target = told->target;
    told->wait.function = name;
    if (told->wait.ctx)
        told->wait.ctx++;
}

void berth_worker_waits_add(struct berth_worker_waits *waits, const struct berth_received *note)
{
    struct told *told = told_new(waits, note);
    uint16_t kind = BERTH_ITEM_EXPORT;
    berth_ctx *ctx = NULL;

    if (!told)
        return;
    if (told->under)
        berth_peer_hold(waits->peer, told->under, &ctx, &kind);
    told->threaded = ctx != NULL;
    told->chain = ctx ? berth_block(ctx)->chain : berth_chain_new();
    told->wait = (struct berth_wait){ .ctx = ctx, .of = told, .chain = told->chain };
    if (note->wire.kind == BERTH_WIRE_GATE)
        set_gate(told, !ctx || kind == BERTH_ITEM_SUBSCRIBE);
    else if (note->wire.kind == BERTH_WIRE_ROOM)
        set_room(told);
    else
        set_answers(told, note->wire.kind == BERTH_WIRE_ANY);
    pthread_mutex_lock(&waits->lock);
    berth_list_append(berth_spread_list(&waits->told, told->under), &told->link);
    if (told->theirs) /* the newest first */
        berth_list_insert(berth_spread_list(&waits->theirs, told->theirs)->next, &told->by_chain);
    add_weight(waits, weight_of(told));
    if (told->inside)
        waits->inside = told;
    pthread_mutex_unlock(&waits->lock);
    told->begun = berth_wait_begin(&told->wait);
    if (!told->begun && told->wait.refuse)
        refuse(&told->wait);
    berth_peer_release(waits->peer);
}

/* The one with that number, or, left, any in the chain of the request's thread; or NULL. */
static struct told *take(struct berth_worker_waits *waits, uint64_t number, uint64_t request,
                         bool left)
{
    struct told *found = NULL;

    pthread_mutex_lock(&waits->lock);
    berth_list_each(berth_spread_list(&waits->told, request), link) {
        struct told *told = told_of(link);
        if (told->under == request && (left ? told->threaded : told->number == number)) {
            found = told;
            berth_list_remove(link);
            berth_list_remove(&told->by_chain);
            add_weight(waits, -weight_of(told));
            if (waits->inside == told)
                waits->inside = NULL;
            break;
        }
    }
    pthread_mutex_unlock(&waits->lock);
    return found;
}

void berth_worker_waits_remove(struct berth_worker_waits *waits, uint64_t number, uint64_t under)
{
    struct told *told = take(waits, number, under, false);

    if (told)
        told_free(told);
}

void berth_worker_waits_left(struct berth_worker_waits *waits, uint64_t request)
{
    struct told *told;

    while ((told = take(waits, 0, request, true)))
        told_free(told);
}

void berth_worker_waits_begun(struct berth_worker_waits *waits, void *started)
{
    const char *name;

    if (!any(waits))
        return;
    waits->upcalls->hold(started);
    uint32_t chain = waits->upcalls->runner(started, &name);
    if (chain != BERTH_CHAIN_OTHER)
        berth_wait_again(chain);
}

uint32_t berth_worker_waits_runner(struct berth_worker_waits *waits, uint64_t request)
{
    uint32_t chain = 0;

    if (!any(waits))
        return 0;
    pthread_mutex_lock(&waits->lock);
    berth_list_each(berth_spread_list(&waits->told, request), link)
        if (told_of(link)->under == request)
            chain = told_of(link)->chain;
    pthread_mutex_unlock(&waits->lock);
    return chain;
}

uint32_t berth_worker_waits_chain(struct berth_worker_waits *waits, uint32_t theirs)
{
    uint32_t chain = theirs ? berth_peer_serving(waits->peer, theirs) : 0;

    if (chain || !theirs || !any(waits))
        return chain;
    pthread_mutex_lock(&waits->lock);
    berth_list_each(berth_spread_list(&waits->theirs, theirs), link) {
        const struct told *told = berth_container(link, struct told, by_chain);
        if (told->theirs == theirs) {
            chain = told->chain;
            break;
        }
    }
    pthread_mutex_unlock(&waits->lock);
    return chain;
}
