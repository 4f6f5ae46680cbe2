/* SPDX-License-Identifier: MIT */
/*
 * The finder of rings against a plain search: chains that wait at random for one, all or any of
 * others, get what they wait for, and wait again. Nobody sleeps here: one thread plays all chains.
 */
#include "runtime/call/ring.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/call/thread.h"
#include "tests/support/suite.h"

enum { CHAINS = 8, HOLDERS = 3, DEPTH = 3 };

/* ---- chains without threads ---- */

struct place {
    struct berth_wait wait;
    uint32_t holders[HOLDERS + 1];
};

static struct chain {
    struct berth_thread *thread;
    struct place places[DEPTH]; /* waits, the newest last */
    int waits;
} chains[CHAINS];

/* "a.f" is the frame 0xaf. */
static const char *describe(void *user, uintptr_t word, char *buffer, size_t size)
{
    (void)user;
    if (size < 4)
        return NULL;
    sprintf(buffer, "%x.%x", (unsigned)(word >> 4 & 15), (unsigned)(word & 15));
    return buffer;
}

static struct berth_threads set = { .describe = describe };

static uint32_t holder_of(const struct berth_wait *wait, size_t i)
{
    const struct place *place = wait->of;
    return place->holders[i];
}

static uint32_t number(size_t chain)
{
    return (uint32_t)(2 * chain + 2);
}

static void begin(void)
{
    for (size_t i = 0; i < CHAINS; i++) {
        chains[i] = (struct chain){ .thread = aligned_alloc(BERTH_BLOCK, BERTH_BLOCK) };
        REQUIRE(chains[i].thread != NULL);
        memset(chains[i].thread, 0, BERTH_BLOCK);
        chains[i].thread->block.chain = number(i);
        chains[i].thread->set = &set;
    }
}

static void end(void)
{
    for (size_t i = 0; i < CHAINS; i++) {
        while (chains[i].waits > 0)
            berth_wait_end(&chains[i].places[--chains[i].waits].wait);
        free(chains[i].thread);
    }
}

/* Frames, and what is called from there, as in "af bg ch": inside of a.f and b.g, it calls c.h. */
static void inside(size_t chain, const char *frames)
{
    berth_ctx *at = berth_thread_base(chains[chain].thread);
    for (char *rest; *frames; frames = rest + (*rest == ' '), at++)
        at->frame = strtoul(frames, &rest, 16);
    at->frame = 0;
}

/* The last of its frames is what it calls. */
static bool waits(size_t chain, uint32_t one, uint32_t other, bool any)
{
    struct chain *self = &chains[chain];
    struct place *place = &self->places[self->waits];
    const berth_ctx *at = berth_thread_base(self->thread);
    while (at[0].frame && at[1].frame && at[2].frame)
        at++;
    *place = (struct place){ .wait = { .ctx = at, .of = place, .holder = holder_of, .any = any },
                             .holders = { one, one ? other : 0 } };
    if (!berth_wait_begin(&place->wait))
        return false;
    self->waits++;
    return true;
}

/* ---- names ---- */

static void a_ring_has_names(void)
{
    begin();
    inside(0, "af ff af b1 a1");
    CHECK(!waits(0, number(0), 0, false));
    CHECK_STR(chains[0].places[0].wait.ring,
              "it would wait for itself: a.f → f.f → a.f → b.1 → a.1");
    inside(0, "ff af b1");
    inside(1, "b2 c1");
    inside(2, "a0 c3 a4");
    CHECK(waits(0, number(1), 0, false));
    CHECK(waits(1, number(2), 0, false));
    CHECK(!waits(2, number(0), 0, false));
    CHECK_STR(chains[2].places[0].wait.ring,
              "it would close a ring of calls that wait for each other: "
              "c.3 → a.4; a.f → b.1; b.2 → c.1");
    end();
}

static void a_long_ring_is_cut(void)
{
    char frames[300 * 3 + 1];
    begin();
    for (size_t i = 0; i < 300; i++)
        strcpy(frames + 3 * i, "a1 ");
    inside(0, frames);
    CHECK(!waits(0, number(0), 0, false));
    CHECK(strlen(chains[0].places[0].wait.ring) < BERTH_RING_TEXT / 2);
    CHECK_CONTAINS(chains[0].places[0].wait.ring, "a.1 → a.1");
    end();
}

/* ---- who is refused ---- */

static int refusals;

static void count_refusal(struct berth_wait *wait)
{
    CHECK(berth_wait_refused(wait));
    refusals++;
}

/* Each of three has come to what the next one is in. */
static void begin_circle(void)
{
    begin();
    refusals = 0;
    inside(0, "a1 b1");
    inside(1, "b2 c1");
    inside(2, "c3 a4");
}

static void the_patient_one_is_spared(void)
{
    begin_circle();
    CHECK(waits(0, number(1), 0, false));
    chains[0].places[0].wait.refuse = count_refusal;
    CHECK(waits(1, number(2), 0, false));
    struct place *last = &chains[2].places[0];
    *last = (struct place){ .wait = { .ctx = berth_thread_base(chains[2].thread),
                                      .of = last,
                                      .holder = holder_of,
                                      .patient = true },
                            .holders = { number(0) } };
    CHECK(berth_wait_begin(&last->wait));
    CHECK_INT(refusals, 1);
    CHECK(berth_wait_refused(&chains[0].places[0].wait));
    CHECK_CONTAINS(chains[0].places[0].wait.ring, "a.1 → b.1; b.2 → c.1");
    berth_wait_end(&last->wait);
    last->holders[0] = number(2); /* nobody else could be refused */
    CHECK(!berth_wait_begin(&last->wait));
    end();
}

/* It may be over: nobody else is refused for its sake, nor it for nothing. */
static void a_doubtful_one_is_refused(void)
{
    begin_circle();
    CHECK(waits(0, number(1), 0, false));
    struct place *doubtful = &chains[1].places[chains[1].waits++];
    *doubtful = (struct place){ .wait = { .of = doubtful,
                                          .chain = number(1),
                                          .holder = holder_of,
                                          .target = "c (replies)",
                                          .function = "b.2",
                                          .refuse = count_refusal,
                                          .doubtful = true },
                                .holders = { number(2) } };
    CHECK(berth_wait_begin(&doubtful->wait));
    CHECK(waits(3, number(1), BERTH_CHAIN_OTHER, true)); /* one way is open, */
    CHECK(!waits(2, number(3), number(2), false));       /* and the ring is another one */
    CHECK_INT(refusals, 0);
    CHECK(waits(2, number(3), number(0), false));
    CHECK_INT(refusals, 1);
    CHECK(berth_wait_refused(&doubtful->wait));
    CHECK_STR(doubtful->wait.ring, "it would close a ring of calls that wait for each other: "
                                   "c.3 → a.4; a.1 → b.1; b.2 → c (replies)");
    berth_wait_end(&chains[2].places[--chains[2].waits].wait);
    CHECK(waits(2, number(0), 0, false)); /* it is on its way out */
    end();
}

/* The thread does others' work on top of a wait, which is known of late. */
static void what_waits_on_top_counts(void)
{
    struct place below;
    begin();
    inside(0, "af b1 c2 d1");
    inside(1, "d2 a4");
    const berth_ctx *base = berth_thread_base(chains[0].thread);
    CHECK(!berth_wait_above(base));
    CHECK(waits(0, number(1), 0, false));
    CHECK(berth_wait_above(base));
    CHECK(!berth_wait_above(chains[0].places[0].wait.ctx));
    below = (struct place){ .wait = { .ctx = base, .of = &below, .holder = holder_of },
                            .holders = { number(0) } }; /* which goes on, as far as is known */
    CHECK(berth_wait_begin(&below.wait));
    CHECK(!waits(1, number(0), 0, false));
    CHECK_STR(chains[1].places[0].wait.ring,
              "it would close a ring of calls that wait for each other: "
              "d.2 → a.4; a.f → b.1 → c.2 → d.1");
    berth_wait_end(&below.wait);
    CHECK(!waits(1, number(0), 0, false));
    end();
}

/* ---- at random ---- */

/* Whether the newest wait of a chain can end, as far as it is known which chains can go on. */
static bool can_end(size_t chain, const bool *can_go, const struct place *newest)
{
    const struct place *place = &chains[chain].places[chains[chain].waits - 1];
    bool can = place->wait.any ? !place->holders[0] : true;
    for (const uint32_t *at = place->holders; *at; at++) {
        bool own = *at == number(chain);
        bool goes = *at == BERTH_CHAIN_OTHER || (own ? place != newest : can_go[*at / 2 - 1]);
        can = place->wait.any ? can || goes : can && goes;
    }
    return can;
}

/* Plainly: who does not wait can go on, and so can, again and again, who waits for those. */
static bool is_stuck(size_t chain)
{
    const struct place *newest = &chains[chain].places[chains[chain].waits - 1];
    bool can_go[CHAINS], more = true;
    for (size_t i = 0; i < CHAINS; i++)
        can_go[i] = chains[i].waits == 0;
    while (more) {
        more = false;
        for (size_t i = 0; i < CHAINS; i++)
            if (!can_go[i] && can_end(i, can_go, newest))
                can_go[i] = more = true;
    }
    return !can_go[chain];
}

/* Of all, those that wait now have most of the places. */
static uint32_t draw_holder(void)
{
    size_t drawn = berth_test_random_below(CHAINS + 1);
    return drawn < CHAINS ? number(drawn) : BERTH_CHAIN_OTHER;
}

static bool has_just_got_it(const struct chain *chain)
{
    return chain->places[chain->waits - 1].holders[0] == chain->thread->block.chain;
}

static bool begin_to_wait(size_t chain)
{
    struct chain *self = &chains[chain];
    struct place *place = &self->places[self->waits];
    *place = (struct place){ .wait = { .ctx = berth_thread_base(self->thread),
                                       .of = place,
                                       .holder = holder_of,
                                       .any = berth_test_random_below(3) == 0 } };
    size_t count = berth_test_random_below(3) ? 1 : berth_test_random_below(HOLDERS + 1);
    for (size_t i = 0; i < count; i++)
        place->holders[i] = draw_holder();
    bool begun = berth_wait_begin(&place->wait);
    self->waits++;
    CHECK_INT(begun, !is_stuck(chain));
    if (!begun)
        self->waits--;
    return begun;
}

/* Somebody who does not wait has got it, or this one has; or the wait is over. */
static void go_on(size_t chain)
{
    struct chain *self = &chains[chain];
    struct place *place = &self->places[self->waits - 1];
    size_t other = berth_test_random_below(CHAINS);
    switch (berth_test_random_below(3)) {
    case 0:
        berth_wait_end(&place->wait);
        self->waits--;
        break;
    case 1:
        if (chains[other].waits == 0) {
            place->holders[0] = number(other);
            place->holders[1] = 0;
        }
        break;
    default:
        place->holders[0] = number(chain);
        place->holders[1] = 0;
        break;
    }
}

static void as_a_plain_search_finds_them(void)
{
    int rounds = berth_test_instrumented() ? 2000 : 100000, begun = 0, refused = 0;
    begin();
    for (int i = 0; i < rounds; i++) {
        size_t chain = berth_test_random_below(CHAINS);
        struct chain *self = &chains[chain];
        if (self->waits > 0 && (!has_just_got_it(self) || self->waits == DEPTH))
            go_on(chain);
        else if (begin_to_wait(chain))
            begun++;
        else
            refused++;
    }
    end();
    CHECK(begun > rounds / 20 && refused > rounds / 100);
    berth_note("%d waits, %d rings", begun, refused);
}

static const struct berth_test tests[] = {
    { "a ring has names", a_ring_has_names },
    { "a long ring is cut", a_long_ring_is_cut },
    { "the patient one is spared", the_patient_one_is_spared },
    { "a doubtful one is refused", a_doubtful_one_is_refused },
    { "what waits on top counts", what_waits_on_top_counts },
    { "as a plain search finds them", as_a_plain_search_finds_them },
};

int main(int argc, char **argv)
{
    return berth_suite_main("ring", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
