/* SPDX-License-Identifier: MIT */
/*
 * A mailbox against a model of it: arrays, one thread, and nothing clever. Each step posts a mail,
 * has some turns, in which more is posted, or lets time pass; both must agree on what comes next
 * and on what has become of every mail.
 */
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "runtime/core/mailbox.h"
#include "runtime/core/registry.h"
#include "runtime/core/schedule.h"

#include "tests/support/hosting.h"

#define MAILS    4000
#define SENDERS  4
#define MESSAGES 8
#define BYTES    100

enum fate { UNUSED, WAITING, WAITS_FOR_ROOM, HANDLED, DROPPED, REJECTED };
static const char *const fates[] = { "unused",  "waiting", "waits for room",
                                     "handled", "dropped", "rejected" };

struct letter {
    struct berth_mail mail;
    struct berth_room room;
    enum fate fate;
    bool droppable;
    int retries; /* that it will ask for */
};

/* What the model knows of one priority, oldest first. */
struct model {
    struct letter *queue[MAILS], *retrying[MAILS], *held[MAILS], *rooms[MAILS];
    size_t queued, retries, holds, waits;
    size_t messages, bytes;
};

static berth_host *host;
static struct berth_module *module;
static struct letter letters[MAILS];
static enum fate expected[MAILS];
static struct model models[BERTH_PRIORITIES];
static size_t made;
static bool mixed; /* mails that are not plain, or may be dropped, are posted, too */
static const char senders[SENDERS];

/* The turn that goes on, or the last one, and how many may follow it. */
static struct {
    struct letter *letter;
    bool again; /* it asks for another one */
    uint64_t left;
} turn;

static enum berth_mail_next run(berth_ctx *ctx, struct berth_generation *generation,
                                struct berth_mail *mail);

static void end(berth_ctx *ctx, struct berth_mail *mail, enum berth_mail_end how)
{
    struct letter *letter = berth_container(mail, struct letter, mail);
    (void)ctx;
    CHECK(letter->fate == WAITING || letter->fate == UNUSED || letter->fate == WAITS_FOR_ROOM);
    letter->fate = how == BERTH_MAIL_DROPPED ? DROPPED : HANDLED;
}

static void foresee(struct berth_mail *mail)
{
    CHECK(mail->ops->plain);
}

static const struct berth_mail_ops special = { .run = run, .end = end, .counted = true };
static const struct berth_mail_ops plain = {
    .run = run, .end = end, .foresee = foresee, .counted = true, .plain = true
};

/* ---- the model ---- */

static size_t index_of(const struct letter *letter)
{
    return (size_t)(letter - letters);
}

static struct letter *take_at(struct letter **list, size_t *count, size_t at)
{
    struct letter *letter = list[at];
    memmove(list + at, list + at + 1, (--*count - at) * sizeof *list);
    return letter;
}

static void insert_at(struct letter **list, size_t *count, size_t at, struct letter *letter)
{
    memmove(list + at + 1, list + at, ((*count)++ - at) * sizeof *list);
    list[at] = letter;
}

static bool model_full(const struct model *model, const struct letter *letter)
{
    return model->messages >= MESSAGES ||
           (model->messages && model->bytes + letter->mail.size > BYTES);
}

static void model_accept(struct model *model, struct letter *letter)
{
    insert_at(model->queue, &model->queued, model->queued, letter);
    model->messages++;
    model->bytes += letter->mail.size;
    expected[index_of(letter)] = WAITING;
}

static void model_admit(struct model *model)
{
    while (model->waits && !model_full(model, model->rooms[0]))
        model_accept(model, take_at(model->rooms, &model->waits, 0));
}

/* The oldest that may be dropped, by the number that it has: it lies in one of two lists. */
static bool model_drop(struct model *model)
{
    size_t oldest = MAILS;
    struct letter **lists[] = { model->queue, model->held };
    size_t *counts[] = { &model->queued, &model->holds };
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < *counts[k]; i++)
            if (lists[k][i]->droppable && index_of(lists[k][i]) < oldest)
                oldest = index_of(lists[k][i]);
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < *counts[k] && oldest < MAILS; i++)
            if (index_of(lists[k][i]) == oldest) {
                take_at(lists[k], counts[k], i);
                model->messages--;
                model->bytes -= letters[oldest].mail.size;
                expected[oldest] = DROPPED;
                return true;
            }
    return false;
}

static void model_post(struct letter *letter, enum berth_full full)
{
    struct model *model = &models[letter->mail.priority];
    if (full == BERTH_FULL_DROP_OLDEST) {
        letter->droppable = true;
        while (model_full(model, letter) && model_drop(model))
            ;
        if (!model_full(model, letter) || model->queued + model->retries + model->holds == 0)
            model_accept(model, letter);
        else
            expected[index_of(letter)] = DROPPED;
        model_admit(model);
    } else if (!model_full(model, letter) && !model->waits) {
        model_accept(model, letter);
    } else if (full == BERTH_FULL_BLOCK) {
        insert_at(model->rooms, &model->waits, model->waits, letter);
        expected[index_of(letter)] = WAITS_FOR_ROOM;
    } else {
        expected[index_of(letter)] = REJECTED;
    }
}

static bool is_held_up(const struct model *model, const struct letter *letter)
{
    for (size_t i = 0; i < model->retries; i++)
        if (model->retrying[i]->mail.sender == letter->mail.sender)
            return true;
    return false;
}

static struct letter *model_next(struct model *model)
{
    while (model->queued && is_held_up(model, model->queue[0]))
        insert_at(model->held, &model->holds, model->holds,
                  take_at(model->queue, &model->queued, 0));
    return model->queued ? take_at(model->queue, &model->queued, 0) : NULL;
}

/* again: it asks for another turn. */
static void model_turn(struct letter *letter, bool again)
{
    struct model *model = &models[letter->mail.priority];
    letter->droppable = false; /* it has begun */
    if (again) {
        insert_at(model->retrying, &model->retries, model->retries, letter);
        return;
    }
    model->messages--;
    model->bytes -= letter->mail.size;
    expected[index_of(letter)] = HANDLED;
    model_admit(model);
}

/* All that retry are due: each is the first again, and what it held up comes behind it. */
static void model_tick(struct model *model)
{
    size_t front = 0;
    for (size_t i = 0; i < model->retries; i++) {
        insert_at(model->queue, &model->queued, front++, model->retrying[i]);
        for (size_t k = 0; k < model->holds;)
            if (model->held[k]->mail.sender == model->retrying[i]->mail.sender)
                insert_at(model->queue, &model->queued, front++,
                          take_at(model->held, &model->holds, k));
            else
                k++;
    }
    model->retries = 0;
}

/* ---- both ---- */

static void begin(void)
{
    struct berth_host_options options = berth_test_host_options();
    options.threads = 0;
    options.mailbox_messages = MESSAGES;
    options.mailbox_bytes = BYTES;
    host = berth_test_host(&options);
    host->pool_size = 1; /* or nobody would wait for room */
    module = berth_module_new(host, "");
    REQUIRE(module);
    module->queued = true; /* turns are had here alone */
    memset(letters, 0, sizeof letters);
    memset(expected, 0, sizeof expected);
    memset(models, 0, sizeof models);
    made = 0;
}

static void finish(void)
{
    berth_mailbox_close(module);
    berth_module_free(module);
    host->pool_size = 0;
}

static void post(struct letter *letter)
{
    enum berth_full full = mixed ? (enum berth_full)berth_test_random_below(3)
                           : berth_test_random_below(2) ? BERTH_FULL_REJECT
                                                        : BERTH_FULL_BLOCK;
    const struct berth_delivery how = { .full = full, .room = &letter->room };
    letter->mail = (struct berth_mail){
        .ops = mixed && berth_test_random_below(3) == 0 ? &special : &plain,
        .sender = &senders[berth_test_random_below(SENDERS)],
        .size = berth_test_random_below(40),
        .priority = (uint8_t)(berth_test_random_below(4) == 0),
    };
    letter->retries = berth_test_random_below(6) == 0 ? 1 + (int)berth_test_random_below(2) : 0;
    int code = berth_mailbox_post(module, &letter->mail, &how);
    if (code == BERTH_OK && letter->fate == UNUSED)
        letter->fate = WAITING;
    else if (code == BERTH_MAIL_WAITS)
        letter->fate = WAITS_FOR_ROOM;
    else if (code != BERTH_OK)
        letter->fate = REJECTED;
    model_post(letter, full);
}

/* Whether both think the same of all mails; one that has got room is not told of it. */
static bool agree(void)
{
    for (size_t i = 0; i < made; i++) {
        if (letters[i].fate == WAITS_FOR_ROOM && letters[i].room.state == BERTH_ROOM_GOT)
            letters[i].fate = WAITING;
        if (letters[i].fate == expected[i])
            continue;
        berth_note("mail %zu: %s, not %s", i, fates[letters[i].fate], fates[expected[i]]);
        return false;
    }
    struct berth_mailbox_count has = berth_mailbox_count(module);
    return has.messages == models[0].messages + models[1].messages &&
           has.bytes == models[0].bytes + models[1].bytes;
}

static struct letter *next_of_all(void)
{
    struct letter *next = model_next(&models[BERTH_PRIORITY_CONTROL]);
    return next ? next : model_next(&models[BERTH_PRIORITY_DATA]);
}

static void turn_ended(void)
{
    if (turn.letter)
        model_turn(turn.letter, turn.again);
    turn.letter = NULL;
}

static enum berth_mail_next run(berth_ctx *ctx, struct berth_generation *generation,
                                struct berth_mail *mail)
{
    (void)ctx;
    (void)generation;
    turn_ended(); /* the one before it */
    turn.letter = berth_container(mail, struct letter, mail);
    CHECK(turn.letter == next_of_all());
    for (uint64_t n = berth_test_random_below(3); n > 0 && made < MAILS; n--)
        post(&letters[made++]);
    CHECK(agree());
    if (--turn.left == 0)
        berth_mailbox_pause(module);
    turn.again = turn.letter->retries > 0;
    if (!turn.again)
        return BERTH_MAIL_DONE;
    turn.letter->retries--;
    mail->due = 0;
    return BERTH_MAIL_RETRY;
}

static void have_turns(void)
{
    turn.left = 1 + berth_test_random_below(6);
    module->paused = false;
    module->queued = true;
    berth_mailbox_run(module);
    turn_ended();
    if (module->queued) /* it has taken its time, and would go on later */
        berth_schedule_cancel(module);
    else if (!module->paused) /* it has looked for another one */
        CHECK(!next_of_all());
    berth_mailbox_pause(module);
    module->queued = true;
}

static void pass_time(void)
{
    berth_loop_run(host->loop, 0);
    for (size_t i = 0; i < BERTH_PRIORITIES; i++)
        model_tick(&models[i]);
}

static void does_as_the_model(void)
{
    begin();
    for (int step = 0; made < MAILS; step++) {
        uint64_t what = berth_test_random_below(10);
        if (what < 5)
            post(&letters[made++]);
        else if (what < 9)
            have_turns();
        else
            pass_time();
        if (step % 100 == 0)
            mixed = berth_test_random_below(2);
        bool agrees = agree();
        CHECK(agrees);
        if (!agrees)
            break;
    }
    finish();
}

/* What is left at the end is told so, and who waits for room does not wait any more. */
static void closes(void)
{
    size_t left = 0, waiting = 0;
    begin();
    mixed = true;
    while (made < 60) {
        post(&letters[made++]);
        if (made % 7 == 0)
            have_turns();
    }
    CHECK(agree());
    size_t count = made;
    for (size_t i = 0; i < count; i++)
        waiting += expected[i] == WAITING;
    CHECK_INT(berth_mailbox_close(module), waiting);
    for (size_t i = 0; i < count; i++)
        if (expected[i] == WAITS_FOR_ROOM)
            CHECK_INT(letters[i].room.state, BERTH_ROOM_NONE);
        else
            left += letters[i].fate == WAITING;
    CHECK_INT(left, 0);
    const struct berth_delivery how = { .full = BERTH_FULL_REJECT };
    letters[count].mail = (struct berth_mail){ .ops = &plain };
    CHECK_INT(berth_mailbox_post(module, &letters[count].mail, &how), BERTH_UNAVAILABLE);
    berth_mailbox_open(module);
    CHECK_INT(berth_mailbox_post(module, &letters[count].mail, &how), BERTH_OK);
    finish();
}

/* ---- the gate of a serial module, over a batch ---- */

#define BATCH 4 /* messages in it */

static struct berth_manifest manifest;
static struct berth_image image = { .manifest = &manifest };
static struct berth_generation generation = { .gated = true, .image = &image };
static int handled, handled_before; /* before: when somebody else was inside; -1: nobody was */
static bool waits;                  /* somebody else is to come */
static pthread_t other;

static void *goes_inside(void *unused)
{
    (void)unused;
    berth_ctx *ctx = berth_thread_enter(&host->threads);
    const struct berth_gate_entry entry = { .ctx = ctx, .deadline = BERTH_FOREVER };
    CHECK_INT(berth_gate_lock(&module->gate, &entry, NULL), BERTH_OK);
    handled_before = handled;
    berth_gate_unlock(&module->gate, ctx);
    berth_thread_leave(ctx);
    return NULL;
}

/* The first one is not over before the other chain stands at the gate. */
static enum berth_mail_next handle(berth_ctx *ctx, struct berth_generation *its,
                                   struct berth_mail *mail)
{
    (void)mail;
    CHECK(its == &generation);
    CHECK(berth_gate_owned(&module->gate, ctx));
    if (waits && handled == 0) {
        CHECK(pthread_create(&other, NULL, goes_inside, NULL) == 0);
        while (!berth_gate_is_wanted(&module->gate))
            sched_yield();
    }
    handled++;
    return BERTH_MAIL_DONE;
}

static void letter_end(berth_ctx *ctx, struct berth_mail *mail, enum berth_mail_end how)
{
    (void)mail;
    CHECK(ctx != NULL);
    CHECK_INT(how, BERTH_MAIL_HANDLED);
}

static const struct berth_mail_ops gated = {
    .run = handle, .end = letter_end, .foresee = foresee, .counted = true, .plain = true
};

static void have_gated_turns(void)
{
    const struct berth_delivery how = { .full = BERTH_FULL_REJECT };
    handled = 0;
    handled_before = -1;
    for (size_t i = 0; i < BATCH; i++) {
        letters[i].mail = (struct berth_mail){ .ops = &gated };
        CHECK_INT(berth_mailbox_post(module, &letters[i].mail, &how), BERTH_OK);
    }
    module->paused = false;
    module->queued = true;
    berth_mailbox_run(module);
    CHECK_INT(handled, BATCH);
    module->queued = true;
}

static void begin_gated(void)
{
    begin();
    generation.module = module;
    generation.host = host;
    module->current = &generation;
}

static void finish_gated(void)
{
    module->current = NULL;
    finish();
}

/* It is gone through once, not for each. */
static void a_batch_is_inside_as_a_whole(void)
{
    begin_gated();
    waits = false;
    have_gated_turns();
    CHECK_INT(module->gate.owner, 0);
    CHECK_INT(module->gate.streak, 1);
    finish_gated();
}

/* Who waits gets in behind the message that is being handled: by a pass nobody comes before him. */
static void a_batch_lets_in_who_waits(void)
{
    begin_gated();
    waits = false;
    while (!module->gate.passes) /* until the turns have one */
        have_gated_turns();
    waits = true;
    have_gated_turns();
    pthread_join(other, NULL);
    CHECK_INT(handled_before, 1);
    finish_gated();
}

static const struct berth_test tests[] = {
    { "does_as_the_model", does_as_the_model },
    { "closes", closes },
    { "a_batch_is_inside_as_a_whole", a_batch_is_inside_as_a_whole },
    { "a_batch_lets_in_who_waits", a_batch_lets_in_who_waits },
};

int main(int argc, char **argv)
{
    return berth_suite_main("mailbox", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
