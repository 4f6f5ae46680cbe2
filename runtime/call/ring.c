/* SPDX-License-Identifier: MIT */
#include "runtime/call/ring.h"

#include "runtime/call/thread.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t ring_lock = PTHREAD_MUTEX_INITIALIZER;
static struct berth_list waits = { &waits, &waits }; /* the newest first */
static uint32_t search;
static struct berth_wait *doubted; /* what the search has relied on so far; or NULL */

/* ---- the search ---- */

/* Further in, on the stack of the same thread. */
static bool lies_above(const struct berth_wait *wait, const berth_ctx *ctx)
{
    return wait->ctx && ctx && berth_block(wait->ctx) == berth_block(ctx) && wait->ctx > ctx;
}

/*
 * What the chain waits for now: others may lie below, as that for a worker which calls back, or one
 * that goes on while its thread does others' work, and is known later.
 */
static struct berth_wait *wait_of(uint32_t chain)
{
    struct berth_wait *found = NULL;
    berth_list_each(&waits, link) {
        struct berth_wait *wait = berth_container(link, struct berth_wait, link);
        if (wait->chain == chain && (!found || lies_above(wait, found->ctx)))
            found = wait;
    }
    return found;
}

bool berth_wait_above(const berth_ctx *ctx)
{
    berth_list_each(&waits, link)
        if (lies_above(berth_container(link, struct berth_wait, link), ctx))
            return true;
    return false;
}

static bool is_stuck(struct berth_wait *wait, const struct berth_wait *newest);

/* Whether this one of its holders keeps the wait from ever ending. */
static bool is_stuck_at(struct berth_wait *wait, uint32_t chain, const struct berth_wait *newest)
{
    struct berth_wait *next = wait_of(chain);
    if (next == wait) { /* inside of what it wants; or it has just got it */
        wait->towards = wait;
        return wait == newest;
    }
    bool stuck = next && (next->on_path || is_stuck(next, newest));
    if (stuck)
        wait->towards = next;
    return stuck;
}

/*
 * Whether the wait could never end, if those that are being looked at could not. That one can end
 * does not depend on this, and is remembered.
 */
static bool is_stuck(struct berth_wait *wait, const struct berth_wait *newest)
{
    struct berth_wait *before = doubted;
    bool stuck = false;
    uint32_t chain;
    if (wait->over == search || berth_wait_refused(wait))
        return false;
    wait->on_path = true;
    for (size_t i = 0; (chain = wait->holder(wait, i)); i++) {
        stuck = is_stuck_at(wait, chain, newest);
        if (stuck != wait->any) /* all: one that is stuck decides; any: one that is not */
            break;
    }
    wait->on_path = false;
    if (!stuck) {
        wait->over = search;
        doubted = before;
    } else if (wait->doubtful) {
        doubted = wait;
    }
    return stuck;
}

/*
 * The next one of the ring, or NULL when it comes round. Rings that nobody could be refused in
 * stay, and a newer one may run into them.
 */
static struct berth_wait *next_in_ring(struct berth_wait *at, const struct berth_wait *newest)
{
    struct berth_wait *next = at->towards;
    at->passed = search;
    return next == newest || next->passed == search ? NULL : next;
}

/*
 * Who is refused: one that yields; else the one that closes the ring, or, if that is patient, the
 * last one that can be.
 */
static struct berth_wait *choose(struct berth_wait *newest, bool patient)
{
    struct berth_wait *found = newest;
    for (struct berth_wait *at = newest; at; at = next_in_ring(at, newest)) {
        if (at->yields)
            return at;
        if (patient && at->refuse)
            found = at;
    }
    return found;
}

/* ---- its names ---- */

struct text {
    char *buffer;
    size_t size, used;
};

static void add(struct text *text, const char *words)
{
    size_t length = strlen(words);
    if (length < text->size - text->used)
        text->used = (size_t)(stpcpy(text->buffer + text->used, words) - text->buffer);
}

/* What the wait is for. */
static const char *target_of(const struct berth_wait *wait, char *buffer, size_t size)
{
    const char *name = wait->target ? wait->target : berth_frame_name(wait->ctx + 1, buffer, size);
    return name ? name : "";
}

/* Where a chain, which waits, came into the module of `target`; NULL: it is not inside of that. */
static const berth_ctx *entry_of(const struct berth_wait *wait, const char *target)
{
    size_t length = strcspn(target, ". ");
    char name[BERTH_FRAME_NAME];
    for (const berth_ctx *at = berth_frames_base(wait->ctx); at <= wait->ctx; at++) {
        const char *its = berth_frame_name(at, name, sizeof name);
        if (its && strncmp(its, target, length) == 0 && its[length] == '.')
            return at;
    }
    return NULL;
}

/* "a.f → b.g": from where it came into what the one before it wants, to what it waits for. */
static void add_chain(struct text *text, const struct berth_wait *wait, const char *wanted)
{
    char words[BERTH_FRAME_NAME], name[BERTH_FRAME_NAME]; /* a long chain leaves room for others */
    const berth_ctx *from = wait->ctx ? entry_of(wait, wanted) : NULL;
    const char *inside = wait->function;
    if (!from && wait->ctx)
        from = berth_frames_base(wait->ctx);
    if (from)
        inside = berth_frames_print(from, wait->ctx, words, sizeof words) ? words : NULL;
    if (inside) {
        add(text, inside);
        add(text, BERTH_ARROW);
    }
    add(text, target_of(wait, name, sizeof name));
}

/* The ring's last one waits for the newest. */
static const struct berth_wait *last_in_ring(struct berth_wait *newest)
{
    struct berth_wait *last = newest;
    search++;
    for (struct berth_wait *at = newest; at; at = next_in_ring(at, newest))
        last = at;
    return last;
}

static void print(struct berth_wait *newest, char *buffer)
{
    struct text text = { buffer, BERTH_RING_TEXT, 0 };
    char wanted[BERTH_FRAME_NAME];
    const struct berth_wait *before = last_in_ring(newest);
    buffer[0] = '\0';
    add(&text, before == newest ? "it would wait for itself: "
                                : "it would close a ring of calls that wait for each other: ");
    search++;
    for (struct berth_wait *at = newest; at; at = next_in_ring(at, newest)) {
        if (at != newest)
            add(&text, "; ");
        add_chain(&text, at, target_of(before, wanted, sizeof wanted));
        before = at;
    }
}

/* ---- waiting ---- */

/* NULL: the wait can end. */
static struct berth_wait *find_loser(struct berth_wait *newest, bool patient)
{
    search++;
    doubted = NULL;
    if (!is_stuck(newest, newest))
        return NULL;
    return doubted ? doubted : choose(newest, patient);
}

static void refuse(struct berth_wait *loser)
{
    __atomic_store_n(&loser->refused, true, __ATOMIC_RELEASE);
    loser->refuse(loser);
}

bool berth_wait_begin(struct berth_wait *wait)
{
    struct berth_wait *loser;
    if (wait->ctx)
        wait->chain = berth_block(wait->ctx)->chain;
    pthread_mutex_lock(&ring_lock);
    wait->over = search;
    berth_list_insert(waits.next, &wait->link);
    while ((loser = find_loser(wait, wait->patient))) {
        print(wait, loser->ring);
        if (loser == wait)
            break;
        refuse(loser);
    }
    if (loser)
        berth_list_remove(&wait->link);
    pthread_mutex_unlock(&ring_lock);
    return !loser;
}

static bool waits_for(const struct berth_wait *wait, uint32_t chain)
{
    uint32_t holder;
    for (size_t i = 0; (holder = wait->holder(wait, i)); i++)
        if (holder == chain)
            return true;
    return false;
}

void berth_wait_again(uint32_t chain)
{
    struct berth_wait *loser;
    pthread_mutex_lock(&ring_lock);
    berth_list_each(&waits, link) {
        struct berth_wait *wait = berth_container(link, struct berth_wait, link);
        bool known = waits_for(wait, chain); /* it has begun: whoever can be refused, is */
        while (known && (loser = find_loser(wait, !wait->refuse)) && loser->refuse) {
            print(wait, loser->ring);
            refuse(loser);
        }
    }
    pthread_mutex_unlock(&ring_lock);
}

void berth_waits_pass(void)
{
    pthread_mutex_lock(&ring_lock);
    pthread_mutex_unlock(&ring_lock);
}

void berth_wait_end(struct berth_wait *wait)
{
    pthread_mutex_lock(&ring_lock);
    berth_list_remove(&wait->link);
    pthread_mutex_unlock(&ring_lock);
}
