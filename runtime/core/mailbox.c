/* SPDX-License-Identifier: MIT */
/*
 * What waits for a module's turn: mails that count against its bounds, as messages, and others, as
 * alarms. Turns are taken one after the other, control before data, and within a priority in the
 * order of posting: so order holds for each sender and receiver. A mail that is to have another
 * turn holds up what its sender has sent after it, and nobody else's.
 *
 * Messages are what comes in numbers, so a turn takes all that wait there at once, and begins one
 * after the other without the lock. They count as before, and what it is done with it says in
 * numbers of its own. Whoever does something that it must know of, as pausing, stirs it: it gives
 * back what it has not begun. Where others may take single ones out, from among those that can be
 * dropped or are held up, none are taken at once.
 */
#include "runtime/core/mailbox.h"
#include "runtime/call/gate.h"
#include "runtime/call/interrupt.h"
#include "runtime/call/ring.h"
#include "runtime/call/stock.h"
#include "runtime/core/call.h"
#include "runtime/core/registry.h"
#include "runtime/core/schedule.h"
#include "runtime/core/started.h"
#include "runtime/core/topic.h"

#include <errno.h>
#include <stdio.h>

static void retry_due(struct berth_timer *timer);

void berth_mailbox_init(struct berth_module *module)
{
    for (size_t i = 0; i < BERTH_PRIORITIES; i++) {
        struct berth_box *box = &module->boxes[i];
        berth_list_init(&box->heads[0]);
        berth_list_init(&box->heads[1]);
        box->mails = &box->heads[0];
        berth_list_init(&box->retrying);
        berth_list_init(&box->droppable);
        berth_list_init(&box->rooms);
    }
    berth_list_init(&module->early);
    module->retry_timer = (struct berth_timer){ .fire = retry_due, .owner = module };
    module->paused = true;
}

static struct berth_mail *mail_of(struct berth_list *link)
{
    return berth_container(link, struct berth_mail, link);
}

static bool has_mail(const struct berth_module *module)
{
    for (size_t i = 0; i < BERTH_PRIORITIES; i++)
        if (!berth_list_empty(module->boxes[i].mails))
            return true;
    return false;
}

/* mail_lock held, as in what follows */
static bool fails(const struct berth_module *module, const struct berth_mail *mail)
{
    return module->fails_calls && mail->ops->awaited && mail->ops->awaited(mail);
}

static void stir(struct berth_module *module)
{
    if (!__atomic_load_n(&module->batch.stirred, __ATOMIC_RELAXED)) /* who looks at it may go on */
        __atomic_store_n(&module->batch.stirred, true, __ATOMIC_RELAXED);
}

static bool has_urgent(const struct berth_module *module)
{
    const struct berth_box *last = &module->boxes[BERTH_PRIORITIES - 1];
    for (const struct berth_box *box = module->batch_of; box && box < last; box++)
        if (!berth_list_empty(box[1].mails))
            return true;
    return false;
}

static void schedule(struct berth_module *module)
{
    if (module->queued) { /* nothing is taken at once, nor lingers, otherwise */
        if (has_urgent(module) || module->lingers)
            stir(module);
    } else if (module->away ? module->back : !module->paused && has_mail(module)) {
        module->queued = true;
        berth_schedule_module(module);
    }
}

/* What is in a box, or in turns, of those that count. */
static struct berth_mailbox_count count_of(const struct berth_module *module,
                                           const struct berth_box *box)
{
    struct berth_mailbox_count count = { box->messages, box->bytes };
    if (box == module->batch_of) {
        count.messages -= __atomic_load_n(&module->batch.done, __ATOMIC_RELAXED);
        count.bytes -= __atomic_load_n(&module->batch.bytes, __ATOMIC_RELAXED);
    }
    return count;
}

static size_t waiting_of(const struct berth_module *module, const struct berth_box *box)
{
    size_t begun =
        box == module->batch_of ? __atomic_load_n(&module->batch.begun, __ATOMIC_RELAXED) : 0;
    return box->waiting - begun;
}

struct berth_mailbox_count berth_mailbox_count(struct berth_module *module)
{
    struct berth_mailbox_count count = { 0, 0 };
    pthread_mutex_lock(&module->mail_lock);
    for (size_t i = 0; i < BERTH_PRIORITIES; i++) {
        const struct berth_mailbox_count its = count_of(module, &module->boxes[i]);
        count.messages += its.messages;
        count.bytes += its.bytes;
    }
    pthread_mutex_unlock(&module->mail_lock);
    return count;
}

size_t berth_mailbox_waiting(struct berth_module *module)
{
    size_t waiting = 0;
    pthread_mutex_lock(&module->mail_lock);
    for (size_t i = 0; i < BERTH_PRIORITIES; i++)
        waiting += waiting_of(module, &module->boxes[i]);
    pthread_mutex_unlock(&module->mail_lock);
    return waiting;
}

/* ---- in and out; mail_lock held ---- */

static struct berth_box *box_of(struct berth_module *module, const struct berth_mail *mail)
{
    return &module->boxes[mail->priority];
}

/* One that is larger than the whole mailbox still gets through an empty one. */
static inline bool is_full(const struct berth_module *module, const struct berth_box *box,
                           const struct berth_mail *mail)
{
    const struct berth_host_options *options = &module->host->options;
    if (box->messages < options->mailbox_messages &&
        box->bytes + mail->size <= options->mailbox_bytes)
        return false; /* the turn's own numbers need not be looked at, which are in its cache */
    const struct berth_mailbox_count count = count_of(module, box);
    return count.messages >= options->mailbox_messages ||
           (count.messages && count.bytes + mail->size > options->mailbox_bytes);
}

static inline void put(struct berth_module *module, struct berth_mail *mail,
                       struct berth_list *before)
{
    struct berth_box *box = box_of(module, mail);
    const struct berth_mail_ops *ops = mail->ops;
    mail->waiting = true;
    box->waiting += ops->counted;
    box->special += !ops->plain;
    berth_list_insert(before, &mail->link);
}

static void take(struct berth_module *module, struct berth_mail *mail)
{
    struct berth_box *box = box_of(module, mail);
    mail->waiting = false;
    berth_list_remove(&mail->link);
    berth_list_remove(&mail->age);
    box->waiting -= mail->ops->counted;
    box->special -= !mail->ops->plain;
}

static inline void count(struct berth_module *module, const struct berth_mail *mail)
{
    struct berth_box *box = box_of(module, mail);
    if (!mail->ops->counted)
        return;
    box->messages++;
    box->bytes += mail->size;
}

/* A sender waits, behind those who do already. */
static void room_begin(struct berth_room *room, struct berth_module *module,
                       struct berth_mail *mail)
{
    struct berth_box *box = box_of(module, mail);
    room->host = module->host;
    room->module = module;
    room->mail = mail;
    room->name = *module->name ? module->name : "the application"; /* for the host's life */
    room->state = BERTH_ROOM_WAITED;
    room->park = berth_park_own();
    pthread_mutex_lock(&module->host->room_lock);
    berth_list_append(&box->rooms, &room->link);
    __atomic_add_fetch(&box->room_count, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&module->host->room_lock);
}

/* It need not wait any more, and does not look at the module. room_lock held. */
static void room_end(struct berth_room *room, enum berth_room_state state)
{
    berth_list_remove(&room->link);
    __atomic_sub_fetch(&box_of(room->module, room->mail)->room_count, 1, __ATOMIC_RELAXED);
    room->state = state;
    berth_park_wake(room->park);
}

/* Senders who wait get what is free, as long as the first of them does. */
static void admit(struct berth_module *module, struct berth_box *box)
{
    if (!__atomic_load_n(&box->room_count, __ATOMIC_RELAXED))
        return;
    pthread_mutex_lock(&module->host->room_lock);
    while (!berth_list_empty(&box->rooms)) {
        struct berth_room *room = berth_container(box->rooms.next, struct berth_room, link);
        if (is_full(module, box, room->mail))
            break;
        put(module, room->mail, box->mails);
        count(module, room->mail);
        room_end(room, BERTH_ROOM_GOT);
    }
    pthread_mutex_unlock(&module->host->room_lock);
    schedule(module);
}

static void discount(struct berth_module *module, const struct berth_mail *mail)
{
    struct berth_box *box = box_of(module, mail);
    if (!mail->ops->counted)
        return;
    box->messages--;
    box->bytes -= mail->size;
}

static void end_all(struct berth_list *mails, enum berth_mail_end how)
{
    berth_list_each_safe(mails, link) {
        berth_list_remove(link);
        mail_of(link)->ops->end(NULL, mail_of(link), how);
    }
}

/* Out of the mailbox, to be ended without the lock. */
static void take_out(struct berth_module *module, struct berth_mail *mail, struct berth_list *out)
{
    take(module, mail);
    discount(module, mail);
    berth_list_append(out, &mail->link);
}

/* Makes room for a newer one, as far as what may be dropped does. false: that was not enough. */
static bool drop_oldest(struct berth_module *module, struct berth_box *box,
                        const struct berth_mail *mail, struct berth_list *out)
{
    while (is_full(module, box, mail) && !berth_list_empty(&box->droppable))
        take_out(module, berth_container(box->droppable.next, struct berth_mail, age), out);
    /* when none is left that waits there is room, whatever the one takes that is being handled */
    return !is_full(module, box, mail) || !waiting_of(module, box);
}

static inline void accept(struct berth_module *module, struct berth_mail *mail, bool droppable)
{
    bool early = mail->generation && !mail->generation->serving;
    struct berth_box *box = box_of(module, mail);
    put(module, mail, early ? &module->early : box->mails);
    count(module, mail);
    if (droppable)
        berth_list_append(&box->droppable, &mail->age);
    schedule(module);
}

/* dropped: gets what has to go, which may be the mail itself. */
__attribute__((noinline)) static void accept_dropping(struct berth_module *module,
                                                      struct berth_mail *mail,
                                                      struct berth_list *dropped)
{
    struct berth_box *box = box_of(module, mail);
    if (drop_oldest(module, box, mail, dropped))
        accept(module, mail, true);
    else
        berth_list_append(dropped, &mail->link);
    admit(module, box); /* what went may have been more than it needs */
}

__attribute__((noinline)) static int wait_for_room(struct berth_module *module,
                                                   struct berth_mail *mail,
                                                   const struct berth_delivery *how)
{
    struct berth_box *box = box_of(module, mail);
    /* without threads whoever should make room may be this one */
    if (how->full != BERTH_FULL_BLOCK || !how->room || !module->host->pool_size)
        return BERTH_RESOURCE_EXHAUSTED;
    room_begin(how->room, module, mail);
    if (box == module->batch_of) { /* either it sees this, or this what it is done with */
        stir(module);
        berth_frames_barrier();
        admit(module, box);
    }
    return BERTH_MAIL_WAITS;
}

/* One that counts. */
static inline int accept_counted(struct berth_module *module, struct berth_mail *mail,
                                 const struct berth_delivery *how)
{
    struct berth_box *box = box_of(module, mail);
    if (BERTH_I_UNLIKELY(is_full(module, box, mail) ||
                         __atomic_load_n(&box->room_count, __ATOMIC_RELAXED)))
        return wait_for_room(module, mail, how);
    accept(module, mail, false);
    return BERTH_OK;
}

/* dropped: NULL, or what goes for a newer one's sake. */
static inline int post(struct berth_module *receiver, struct berth_mail *mail,
                       const struct berth_delivery *how, struct berth_list *dropped)
{
    int code = BERTH_OK;
    berth_list_init(&mail->age);
    pthread_mutex_lock(&receiver->mail_lock);
    if (BERTH_I_UNLIKELY(mail->waiting || mail->withdrawn))
        code = BERTH_ALREADY_EXISTS;
    else if (BERTH_I_UNLIKELY(receiver->closed || fails(receiver, mail)))
        code = BERTH_UNAVAILABLE;
    else if (!mail->ops->counted)
        accept(receiver, mail, false);
    else if (dropped)
        accept_dropping(receiver, mail, dropped);
    else
        code = accept_counted(receiver, mail, how);
    if (how->taken && (code == BERTH_OK || code == BERTH_MAIL_WAITS))
        __atomic_store_n(how->taken, *how->taken + 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&receiver->mail_lock);
    return code;
}

static int post_dropping(struct berth_module *receiver, struct berth_mail *mail,
                         const struct berth_delivery *how)
{
    struct berth_list dropped;
    berth_list_init(&dropped);
    int code = post(receiver, mail, how, &dropped);
    end_all(&dropped, BERTH_MAIL_DROPPED);
    return code;
}

int berth_mailbox_post(struct berth_module *receiver, struct berth_mail *mail,
                       const struct berth_delivery *how)
{
    return how->full == BERTH_FULL_DROP_OLDEST ? post_dropping(receiver, mail, how)
                                               : post(receiver, mail, how, NULL);
}

/* ---- room ---- */

/* Whoever has a turn of the module makes room; none begins while it is replaced. */
static uint32_t room_holder(const struct berth_wait *wait, size_t i)
{
    struct berth_room *room = (struct berth_room *)wait->of;
    struct berth_module *module = NULL; /* an application's stays until the finder has done */
    if (i > 0)
        return 0;
    pthread_mutex_lock(&room->host->room_lock);
    if (room->state == BERTH_ROOM_WAITED)
        module = room->module;
    pthread_mutex_unlock(&room->host->room_lock);
    uint32_t chain = module ? berth_mailbox_runner(module) : 0;
    return chain || !module ? chain : berth_module_swapper(module);
}

static void room_refuse(struct berth_wait *wait)
{
    const struct berth_room *room = wait->of;
    berth_park_wake(room->park);
}

/* Until the room's state changes, or there is a reason to give up: its code. room_lock held. */
static int room_sleep(struct berth_room *room, const struct berth_wait *wait, int64_t deadline,
                      const char **ret_over)
{
    while (room->state == BERTH_ROOM_WAITED) {
        if (berth_wait_refused(wait))
            return BERTH_ABORTED;
        if ((*ret_over = berth_interrupted(wait->ctx)))
            return BERTH_CANCELLED;
        if (berth_now() >= deadline)
            return BERTH_DEADLINE_EXCEEDED;
        pthread_mutex_unlock(&room->host->room_lock);
        berth_park_wait(room->park, deadline);
        pthread_mutex_lock(&room->host->room_lock);
    }
    return room->state == BERTH_ROOM_GOT ? BERTH_OK : BERTH_UNAVAILABLE;
}

int berth_room_wait(berth_ctx *ctx, struct berth_room *room, int64_t deadline,
                    struct berth_error *error)
{
    struct berth_interrupt interrupt;
    const char *over = NULL;
    char target[BERTH_FRAME_NAME];
    struct berth_wait wait = {
        .ctx = ctx, .of = room, .holder = room_holder, .target = target, .refuse = room_refuse
    };
    snprintf(target, sizeof target, "%s (mailbox)", room->name);
    bool waits = berth_wait_begin(&wait);
    if (waits)
        berth_schedule_blocks(room->host);
    berth_interrupt_begin(&interrupt, ctx, room->park, NULL);
    berth_interrupt_lasts(&interrupt);
    pthread_mutex_lock(&room->host->room_lock);
    int code = room_sleep(room, &wait, waits ? deadline : 0, &over);
    if (!waits && room->state == BERTH_ROOM_WAITED)
        code = BERTH_ABORTED;
    if (room->state == BERTH_ROOM_WAITED)
        room_end(room, BERTH_ROOM_NONE);
    pthread_mutex_unlock(&room->host->room_lock);
    berth_interrupt_end(&interrupt);
    if (waits) {
        berth_schedule_goes_on(room->host);
        berth_wait_end(&wait);
    }
    switch (code) {
    case BERTH_OK:
        return BERTH_OK;
    case BERTH_ABORTED:
        return berth_error_set(error, code, "%s", wait.ring);
    case BERTH_CANCELLED:
        return berth_error_set(error, code, "the mailbox of %s was full, and %s", room->name, over);
    case BERTH_DEADLINE_EXCEEDED:
        return berth_error_set(error, code, "the mailbox of %s was full until the deadline",
                               room->name);
    default:
        return berth_error_set(error, code, "%s has been unloaded", room->name);
    }
}

/* ---- the life of a mailbox ---- */

void berth_mailbox_serve(struct berth_generation *generation)
{
    struct berth_module *module = generation->module;
    pthread_mutex_lock(&module->mail_lock);
    generation->serving = true;
    berth_list_each_safe(&module->early, link) {
        if (mail_of(link)->generation != generation)
            continue;
        berth_list_remove(link);
        berth_list_append(box_of(module, mail_of(link))->mails, link);
    }
    schedule(module);
    pthread_mutex_unlock(&module->mail_lock);
}

static bool turn_becomes(struct berth_mail *mail, enum berth_mail_turn from,
                         enum berth_mail_turn to)
{
    int expected = (int)from;
    return __atomic_compare_exchange_n(&mail->turn, &expected, (int)to, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}

static uint32_t turn_holder(const struct berth_wait *wait, size_t i)
{
    struct berth_module *module = (struct berth_module *)wait->of;
    return i == 0 ? berth_mailbox_runner(module) : 0;
}

/*
 * Before the calling thread waits for the end of a turn, not in the lock. That may take another
 * thread, if it goes on elsewhere. false: that turn waits for this thread.
 */
static bool turn_wait_begin(const struct berth_module *module, struct berth_wait *wait)
{
    *wait = (struct berth_wait){
        .ctx = berth_thread_anywhere(), .of = module, .holder = turn_holder, .target = module->name
    };
    bool waits = !wait->ctx || berth_wait_begin(wait);
    if (waits)
        berth_schedule_blocks(module->host);
    return waits;
}

static void turn_wait_end(struct berth_host *host, struct berth_wait *wait)
{
    berth_schedule_goes_on(host);
    if (wait->ctx)
        berth_wait_end(wait);
}

static bool is_running(const struct berth_module *module, const struct berth_mail *mail)
{
    return __atomic_load_n(&mail->turn, __ATOMIC_ACQUIRE) == BERTH_TURN_RUNNING &&
           (module->away == mail || !pthread_equal(module->runner, pthread_self()));
}

/* Its turn goes on; it may be long. */
static void wait_for_turn(struct berth_module *module, const struct berth_mail *mail)
{
    struct berth_wait wait;
    if (!turn_wait_begin(module, &wait))
        return;
    pthread_mutex_lock(&module->mail_lock);
    while (is_running(module, mail))
        pthread_cond_wait(&module->turn_ended, &module->mail_lock);
    pthread_mutex_unlock(&module->mail_lock);
    turn_wait_end(module->host, &wait);
}

void berth_mailbox_withdraw(struct berth_module *module, struct berth_mail *mail)
{
    pthread_mutex_lock(&module->mail_lock);
    bool waiting = mail->waiting;
    __atomic_store_n(&mail->withdrawn, true, __ATOMIC_RELAXED);
    if (waiting) {
        take(module, mail);
        discount(module, mail);
        admit(module, box_of(module, mail));
    }
    turn_becomes(mail, BERTH_TURN_TAKEN, BERTH_TURN_NONE);
    bool running = is_running(module, mail);
    pthread_mutex_unlock(&module->mail_lock);
    if (running)
        wait_for_turn(module, mail);
    if (waiting)
        mail->ops->end(NULL, mail, BERTH_MAIL_WITHDRAWN);
}

static void take_list(struct berth_module *module, struct berth_list *mails, struct berth_list *out)
{
    berth_list_each_safe(mails, link)
        take_out(module, mail_of(link), out);
}

static void take_those_of(const struct berth_generation *generation, struct berth_list *mails,
                          struct berth_list *out)
{
    berth_list_each_safe(mails, link)
        if (mail_of(link)->generation == generation)
            take_out(generation->module, mail_of(link), out);
}

void berth_mailbox_forget(const struct berth_generation *generation)
{
    struct berth_module *module = generation->module;
    struct berth_list out;
    berth_list_init(&out);
    pthread_mutex_lock(&module->mail_lock);
    for (size_t i = 0; i < BERTH_PRIORITIES; i++)
        take_those_of(generation, module->boxes[i].mails, &out);
    take_those_of(generation, &module->early, &out);
    pthread_mutex_unlock(&module->mail_lock);
    end_all(&out, BERTH_MAIL_LEFT);
}

/* Everything, and senders who wait are told. mail_lock held. */
static void take_all(struct berth_module *module, struct berth_list *out)
{
    take_list(module, &module->early, out);
    for (size_t i = 0; i < BERTH_PRIORITIES; i++) {
        struct berth_box *box = &module->boxes[i];
        berth_list_each_safe(&box->retrying, link) {
            take_list(module, &mail_of(link)->held, out);
            take_out(module, mail_of(link), out);
        }
        take_list(module, box->mails, out);
        pthread_mutex_lock(&module->host->room_lock);
        while (!berth_list_empty(&box->rooms))
            room_end(berth_container(box->rooms.next, struct berth_room, link), BERTH_ROOM_NONE);
        pthread_mutex_unlock(&module->host->room_lock);
    }
}

size_t berth_mailbox_close(struct berth_module *module)
{
    struct berth_list left;
    size_t messages = 0;
    berth_list_init(&left);
    pthread_mutex_lock(&module->mail_lock);
    module->closed = true;
    for (size_t i = 0; i < BERTH_PRIORITIES; i++)
        messages += waiting_of(module, &module->boxes[i]);
    stir(module); /* what its turn has taken ends with that */
    take_all(module, &left);
    pthread_mutex_unlock(&module->mail_lock);
    berth_timer_remove(&module->retry_timer);
    end_all(&left, BERTH_MAIL_LEFT);
    return messages;
}

void berth_mailbox_open(struct berth_module *module)
{
    pthread_mutex_lock(&module->mail_lock);
    module->closed = false;
    pthread_mutex_unlock(&module->mail_lock);
}

void berth_mailbox_fail_calls(struct berth_module *module)
{
    pthread_mutex_lock(&module->mail_lock);
    module->fails_calls = true;
    pthread_mutex_unlock(&module->mail_lock);
}

void berth_mailbox_take_calls(struct berth_module *module)
{
    pthread_mutex_lock(&module->mail_lock);
    module->fails_calls = false;
    pthread_mutex_unlock(&module->mail_lock);
}

static void take_failing(struct berth_module *module, struct berth_list *mails,
                         struct berth_list *out)
{
    berth_list_each_safe(mails, link)
        if (fails(module, mail_of(link)))
            take_out(module, mail_of(link), out);
}

/* Who waits for room got it, and what has been put there is what goes. */
static void take_failing_rooms(struct berth_module *module, struct berth_box *box,
                               struct berth_list *out)
{
    pthread_mutex_lock(&module->host->room_lock);
    berth_list_each_safe(&box->rooms, link) {
        struct berth_room *room = berth_container(link, struct berth_room, link);
        if (!fails(module, room->mail))
            continue;
        berth_list_append(out, &room->mail->link);
        room_end(room, BERTH_ROOM_GOT);
    }
    pthread_mutex_unlock(&module->host->room_lock);
}

void berth_mailbox_end_calls(struct berth_module *module)
{
    struct berth_list out;
    berth_list_init(&out);
    pthread_mutex_lock(&module->mail_lock);
    for (size_t i = 0; i < BERTH_PRIORITIES; i++) {
        struct berth_box *box = &module->boxes[i];
        take_failing(module, box->mails, &out);
        berth_list_each(&box->retrying, link)
            take_failing(module, &mail_of(link)->held, &out);
        take_failing_rooms(module, box, &out);
        admit(module, box);
    }
    pthread_mutex_unlock(&module->mail_lock);
    end_all(&out, BERTH_MAIL_LEFT);
}

void berth_mailbox_pause(struct berth_module *module)
{
    pthread_mutex_lock(&module->mail_lock);
    module->paused = true;
    stir(module);
    pthread_mutex_unlock(&module->mail_lock);
}

void berth_mailbox_resume(struct berth_module *module)
{
    pthread_mutex_lock(&module->mail_lock);
    module->paused = false;
    schedule(module);
    pthread_mutex_unlock(&module->mail_lock);
}

/* ---- lanes: what one sender has waiting behind a mail that is to have another turn ---- */

/* The mail that holds it up, or NULL. Seldom any retries, and no more than a mailbox holds. */
static struct berth_mail *lane_of(const struct berth_box *box, const struct berth_mail *mail)
{
    berth_list_each(&box->retrying, link) {
        if (mail_of(link)->sender == mail->sender)
            return mail_of(link);
    }
    return NULL;
}

/* The first that nothing holds up; what is in front of it joins its lane. */
static struct berth_mail *next_of(struct berth_box *box)
{
    while (!berth_list_empty(box->mails)) {
        struct berth_mail *mail = mail_of(box->mails->next);
        struct berth_mail *first =
            mail->sender && !berth_list_empty(&box->retrying) ? lane_of(box, mail) : NULL;
        if (!first)
            return mail;
        berth_list_remove(&mail->link);
        berth_list_append(&first->held, &mail->link);
    }
    return NULL;
}

/* Those that are due are the first again, each with its lane behind it. */
static void retry_release(struct berth_module *module, int64_t now)
{
    for (size_t i = 0; i < BERTH_PRIORITIES; i++) {
        struct berth_box *box = &module->boxes[i];
        struct berth_list *before = box->mails->next;
        berth_list_each_safe(&box->retrying, link) {
            struct berth_mail *mail = mail_of(link);
            if (mail->due > now)
                continue;
            berth_list_remove(link);
            berth_list_insert(before, link);
            berth_list_each_safe(&mail->held, later) {
                berth_list_remove(later);
                berth_list_insert(before, later);
            }
        }
    }
    schedule(module);
}

/* At the first due time of all that retry. Without memory for it that is now. */
static void retry_arm(struct berth_module *module)
{
    int64_t first = BERTH_FOREVER;
    for (size_t i = 0; i < BERTH_PRIORITIES; i++)
        berth_list_each(&module->boxes[i].retrying, link) {
            if (mail_of(link)->due < first)
                first = mail_of(link)->due;
        }
    if (first != BERTH_FOREVER &&
        berth_timer_add(module->host->loop, &module->retry_timer, first, NULL) != BERTH_OK)
        retry_release(module, BERTH_FOREVER);
}

static void retry_due(struct berth_timer *timer)
{
    struct berth_module *module = timer->owner;
    pthread_mutex_lock(&module->mail_lock);
    retry_release(module, berth_now());
    retry_arm(module);
    pthread_mutex_unlock(&module->mail_lock);
}

/* It waits for its next turn, out of the way of all others. */
static void retry(struct berth_module *module, struct berth_mail *mail)
{
    struct berth_box *box = box_of(module, mail);
    berth_list_init(&mail->held);
    put(module, mail, &box->retrying);
    retry_arm(module);
}

/* ---- turns ---- */

#define BATCH    64    /* mails that are handled before other modules have their turn, */
#define BATCH_NS 50000 /* if they do not take longer */

/* What has become of a turn. */
enum outcome {
    HANDLED,
    OVER, /* it was withdrawn meanwhile, or the generation that it was for has been replaced */
    /* these stay in the mailbox */
    LATER,    /* it is to have another turn */
    AGAIN,    /* it was not handled, and stays first */
    KEPT_OUT, /* the same, since who should do it is inside of the module, and waits */
    AWAY,     /* it goes on elsewhere */
};

/* The turn that a mail has. generation: whose it is (kept alive by ->turns), or the application. */
struct turn {
    struct berth_mail *mail;
    struct berth_generation *generation;
    bool was_away;
    bool gated; /* it is inside of the serial module */
    enum outcome outcome;
};

#define GATHER_NS    1000
#define GATHER_MOST  32 /* in a batch: the next one is not waited for */
#define GATHER_LEAST 4  /* messages that come meanwhile, or it was in vain */

#define SKIP_LAST 8 /* 256 times */

static bool trial_begins(struct berth_trial *trial)
{
    if (!trial->skip)
        return true;
    trial->skip--;
    return false;
}

static void trial_ends(struct berth_trial *trial, bool good)
{
    trial->in_vain = good ? 0 : trial->in_vain < SKIP_LAST ? trial->in_vain + 1 : SKIP_LAST;
    trial->skip = good ? 0 : 1U << trial->in_vain;
}

/* Until the turn is stirred, or has something else to do. */
static void look_until(const struct berth_module *module, int64_t until)
{
    const struct berth_host *host = module->host;
    const bool *stirred = &module->batch.stirred;
    do {
        for (int i = 0; i < 8 && !__atomic_load_n(stirred, __ATOMIC_RELAXED); i++)
            berth_gate_relax();
    } while (!__atomic_load_n(stirred, __ATOMIC_RELAXED) && berth_now() < until &&
             berth_schedule_is_free(host));
}

/*
 * All that are in the box, if they are plain. Under the lock that touches none of them, as each is
 * in another processor's cache. mail_lock held.
 */
static bool batch_take(struct berth_module *module, struct berth_box *box)
{
    struct berth_batch *batch = &module->batch;
    if (box->special || berth_list_empty(box->mails) || !berth_list_empty(&box->droppable) ||
        !berth_list_empty(&box->retrying))
        return false;
    module->batch_of = box;
    batch->begins = true;
    batch->mails = box->mails;
    batch->next = box->mails->next;
    box->mails = &box->heads[box->mails == &box->heads[0]];
    if (batch->gathers)
        trial_ends(&batch->gathering, box->waiting >= GATHER_LEAST);
    batch->gathers = false;
    /* who waits for room gets what each of them leaves */
    __atomic_store_n(&batch->stirred, __atomic_load_n(&box->room_count, __ATOMIC_RELAXED) > 0,
                     __ATOMIC_RELAXED);
    return true;
}

/* What is left is the first again, and what is done counts no more. mail_lock held. */
static void batch_end(struct berth_module *module)
{
    struct berth_batch *batch = &module->batch;
    struct berth_box *box = module->batch_of;
    bool any = batch->done > 0;
    if (!box)
        return;
    batch->mails->next = batch->next;
    batch->next->previous = batch->mails;
    berth_list_move(box->mails->next, batch->mails);
    box->waiting -= batch->begun;
    box->messages -= batch->done;
    box->bytes -= batch->bytes;
    module->batch_of = NULL;
    batch->begins = false;
    __atomic_store_n(&batch->begun, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&batch->done, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&batch->bytes, 0, __ATOMIC_RELAXED);
    if (any)
        admit(module, box);
}

static bool batch_is_empty(const struct berth_batch *batch)
{
    return batch->next == batch->mails;
}

/* Nothing is written to any mail, which would have to be got from its sender once more for that. */
static inline struct berth_mail *batch_begin(struct berth_batch *batch)
{
    struct berth_mail *mail = mail_of(batch->next);
    __atomic_store_n(&batch->begun, batch->begun + 1, __ATOMIC_RELAXED);
    batch->next = mail->link.next;
    if (!batch_is_empty(batch)) {
        struct berth_mail *next = mail_of(batch->next);
        next->ops->foresee(next);
        __builtin_prefetch(next->link.next);
    }
    return mail;
}

/*
 * A turn that is faster than its senders would take one message at a time, and for each of them the
 * lock and what is under it would go to the other processor and back. If several come within a
 * moment they are waited for.
 */
static void gather(struct berth_module *module)
{
    struct berth_batch *batch = &module->batch;
    if (!batch->begins || !batch_is_empty(batch) || batch->begun >= GATHER_MOST ||
        __atomic_load_n(&batch->stirred, __ATOMIC_RELAXED) ||
        !berth_schedule_is_free(module->host) || !trial_begins(&batch->gathering))
        return;
    batch->gathers = true;
    look_until(module, berth_now() + GATHER_NS);
}

/* From one of them to the next. false: that takes the lock; turn->mail, if any, has not ended. */
static inline bool batch_next(berth_ctx *ctx, struct berth_module *module, struct turn *turn)
{
    struct berth_batch *batch = &module->batch;
    struct berth_mail *mail = turn->mail;
    if (!batch->begins || turn->outcome != HANDLED ||
        __atomic_load_n(&batch->stirred, __ATOMIC_RELAXED))
        return false;
    __atomic_store_n(&batch->done, batch->done + 1, __ATOMIC_RELAXED);
    __atomic_store_n(&batch->bytes, batch->bytes + mail->size, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* who waits for room has a barrier: wait_for_room */
    mail->ops->end(ctx, mail, BERTH_MAIL_HANDLED);
    turn->mail = NULL;
    if (__atomic_load_n(&batch->stirred, __ATOMIC_RELAXED) || batch_is_empty(batch))
        return false;
    turn->mail = batch_begin(batch);
    return true;
}

/*
 * Takes the one that has been away, or else the next mails. mail_lock held; without it turn_first
 * follows, if there are any.
 */
static bool turn_begin(berth_ctx *ctx, struct berth_module *module, struct turn *turn)
{
    struct berth_mail *mail = NULL;
    bool away = module->away != NULL;
    for (int i = BERTH_PRIORITIES; !away && !module->paused && !mail && !module->batch_of && i > 0;
         i--)
        if (!batch_take(module, &module->boxes[i - 1]))
            mail = next_of(&module->boxes[i - 1]);
    *turn = (struct turn){ .mail = mail, .outcome = OVER, .was_away = away };
    if (!away && !mail && !module->batch_of)
        return false;
    module->runner = pthread_self();
    __atomic_store_n(&module->turn_chain, berth_block(ctx)->chain, __ATOMIC_RELAXED);
    if (away) {
        turn->mail = module->away;
        turn->generation = module->away_from;
        module->away = NULL;
        __atomic_store_n(&module->back, false, __ATOMIC_RELAXED);
        return true;
    }
    if (mail) {
        take(module, mail);
        __atomic_store_n(&mail->turn, BERTH_TURN_TAKEN, __ATOMIC_RELAXED);
    }
    turn->generation = mail && mail->generation ? mail->generation : module->current;
    if (turn->generation)
        turn->generation->turns++;
    return true;
}

static void turn_first(struct berth_module *module, struct turn *turn)
{
    if (!turn->mail)
        turn->mail = batch_begin(&module->batch);
}

/* true: there is a mail to be ended, without the lock. mail_lock held. */
static bool turn_end(struct berth_module *module, struct turn *turn)
{
    struct berth_mail *mail = turn->mail;
    if (turn->generation)
        turn->generation->turns--;
    turn->generation = NULL;
    pthread_cond_broadcast(&module->turn_ended);
    if (!mail)
        return false;
    __atomic_store_n(&mail->turn, BERTH_TURN_NONE, __ATOMIC_RELEASE);
    bool again = turn->outcome >= LATER;
    module->kept_out = turn->outcome == KEPT_OUT;
    if (again && !mail->withdrawn && !module->closed && !fails(module, mail)) {
        if (turn->outcome == LATER)
            retry(module, mail);
        else
            put(module, mail, box_of(module, mail)->mails->next);
        return false;
    }
    discount(module, mail);
    admit(module, box_of(module, mail));
    return true;
}

/*
 * After the last turn of a batch: in the run queue again if there is more to do. true: the module
 * is to be freed, without the lock. mail_lock held.
 */
static bool settle(struct berth_module *module)
{
    __atomic_store_n(&module->turn_chain, 0, __ATOMIC_RELAXED);
    module->queued = false;
    pthread_cond_broadcast(&module->turn_ended);
    schedule(module);
    return module->retired;
}

#define LINGER_NS 2000 /* falling asleep and being woken takes that long at least */

/*
 * A module whose sender is on another processor has its next message soon: to be scheduled for each
 * would cost both of them more than the message. So its thread looks for a moment before it gives
 * its turn up, if it has nothing else to do; what was in vain is done less often. mail_lock held.
 */
static bool linger_begin(struct berth_module *module)
{
    struct berth_batch *batch = &module->batch;
    if (module->paused || module->closed || !berth_schedule_is_free(module->host))
        return false;
    if (!trial_begins(&batch->lingering))
        return false;
    module->lingers = true;
    __atomic_store_n(&batch->stirred, false, __ATOMIC_RELAXED);
    return true;
}

/* mail_lock held */
static void linger_end(struct berth_module *module)
{
    struct berth_batch *batch = &module->batch;
    module->lingers = false;
    trial_ends(&batch->lingering, __atomic_load_n(&batch->stirred, __ATOMIC_RELAXED));
}

/* The next turn, if lingering brings one; else as turn_next. */
static bool turn_after_all(berth_ctx *ctx, struct berth_module *module, struct turn *turn)
{
    look_until(module, berth_now() + LINGER_NS);
    pthread_mutex_lock(&module->mail_lock);
    linger_end(module);
    bool goes_on = turn_begin(ctx, module, turn);
    bool retired = !goes_on && settle(module);
    pthread_mutex_unlock(&module->mail_lock);
    if (retired)
        berth_module_free(module);
    if (goes_on)
        turn_first(module, turn);
    return goes_on;
}

static void turn_leave_gate(const berth_ctx *ctx, struct berth_module *module, struct turn *turn)
{
    if (turn->gated)
        berth_gate_unlock(&module->gate, ctx);
    turn->gated = false;
}

static void end_one(berth_ctx *ctx, const struct turn *ended)
{
    bool handled = ended->outcome == HANDLED;
    ended->mail->ops->end(handled ? ctx : NULL, ended->mail,
                          handled ? BERTH_MAIL_HANDLED : BERTH_MAIL_LEFT);
}

/* What turn_next does under the lock. */
static bool turn_after(berth_ctx *ctx, struct berth_module *module, struct turn *turn, bool more)
{
    struct berth_list left;
    turn_leave_gate(ctx, module, turn);
    if (more && !turn->mail)
        gather(module);
    struct turn ended = *turn;
    berth_list_init(&left);
    pthread_mutex_lock(&module->mail_lock);
    batch_end(module);
    bool ends = turn_end(module, &ended);
    if (BERTH_I_UNLIKELY(module->closed)) { /* they end while the module is sure to be there */
        take_all(module, &left);
        pthread_mutex_unlock(&module->mail_lock);
        end_all(&left, BERTH_MAIL_LEFT);
        if (ends)
            end_one(ctx, &ended);
        ends = false;
        pthread_mutex_lock(&module->mail_lock);
    }
    bool goes_on = more && turn_begin(ctx, module, turn);
    bool lingers = more && !goes_on && linger_begin(module);
    bool retired = !goes_on && !lingers && settle(module);
    pthread_mutex_unlock(&module->mail_lock);
    if (ends)
        end_one(ctx, &ended);
    if (lingers)
        return turn_after_all(ctx, module, turn);
    if (retired)
        berth_module_free(module);
    if (goes_on)
        turn_first(module, turn);
    return goes_on;
}

/*
 * From one turn to the next; at first there is none before. more: there may be one. false: there is
 * none now, and the module may have been freed.
 */
static inline bool turn_next(berth_ctx *ctx, struct berth_module *module, struct turn *turn,
                             bool more)
{
    return (more && batch_next(ctx, module, turn)) || turn_after(ctx, module, turn, more);
}

void berth_mailbox_away(struct berth_module *module)
{
    __atomic_store_n(&module->turn_chain, BERTH_CHAIN_OTHER, __ATOMIC_RELEASE);
}

void berth_mailbox_back(struct berth_module *module)
{
    pthread_mutex_lock(&module->mail_lock);
    __atomic_store_n(&module->back, true, __ATOMIC_RELAXED); /* others look at it, too */
    if (module->away) /* else the thread that sends it away sees that */
        schedule(module);
    pthread_mutex_unlock(&module->mail_lock);
}

/* Lets go of it. No lock is held: it may wait in a mailbox in turn. */
static uint32_t runner_of(struct berth_started *awaited)
{
    uint32_t chain = berth_started_runner(awaited, false);
    berth_started_unref(awaited);
    return chain;
}

uint32_t berth_mailbox_runner(struct berth_module *module)
{
    uint32_t chain = __atomic_load_n(&module->turn_chain, __ATOMIC_ACQUIRE);
    if (chain != BERTH_CHAIN_OTHER)
        return chain;
    struct berth_started *awaited = NULL;
    pthread_mutex_lock(&module->mail_lock);
    if (module->away)
        awaited = module->away->ops->awaits(module->away);
    pthread_mutex_unlock(&module->mail_lock);
    return awaited ? runner_of(awaited) : chain;
}

bool berth_mailbox_turn_is(const struct berth_module *module, const berth_ctx *ctx)
{
    return __atomic_load_n(&module->turn_chain, __ATOMIC_RELAXED) == berth_block(ctx)->chain;
}

struct berth_started *berth_mailbox_turn_of(const struct berth_generation *generation,
                                            int64_t *ret_since)
{
    struct berth_module *module = generation->module;
    struct berth_started *awaited = NULL;
    pthread_mutex_lock(&module->mail_lock);
    if (module->away && module->away_from == generation) {
        awaited = module->away->ops->awaits(module->away);
        *ret_since = module->away_since;
    }
    pthread_mutex_unlock(&module->mail_lock);
    return awaited;
}

/* The thread is free. Who waits for the turn may wait for what it waits for elsewhere already. */
static void turn_leave(struct berth_module *module, const struct turn *turn)
{
    pthread_mutex_lock(&module->mail_lock);
    batch_end(module);
    module->away = turn->mail;
    module->away_from = turn->generation;
    module->away_since = berth_now();
    module->queued = false;
    module->kept_out = false;
    struct berth_started *awaited = turn->mail->ops->awaits(turn->mail);
    schedule(module);
    pthread_mutex_unlock(&module->mail_lock);
    uint32_t chain = runner_of(awaited);
    if (chain != BERTH_CHAIN_OTHER)
        berth_wait_again(chain);
}

static enum outcome outcome_of(enum berth_mail_next next)
{
    static const enum outcome outcomes[] = { [BERTH_MAIL_DONE] = HANDLED,
                                             [BERTH_MAIL_RETRY] = LATER,
                                             [BERTH_MAIL_AWAY] = AWAY,
                                             [BERTH_MAIL_AGAIN] = AGAIN };
    return outcomes[next];
}

static bool turn_wait_for_gate(berth_ctx *ctx, struct turn *turn)
{
    char target[BERTH_FRAME_NAME];
    struct berth_gate_entry entry = {
        .ctx = ctx, .deadline = BERTH_FOREVER, .target = target, .patient = true
    };
    snprintf(target, sizeof target, "%s (turn)", turn->generation->module->name);
    return berth_generation_lock(turn->generation, &entry, &turn->gated, NULL) == BERTH_OK;
}

/* false: who is inside waits for this turn. */
static inline bool turn_enter_gate(berth_ctx *ctx, struct turn *turn)
{
    const struct berth_generation *generation = turn->generation;
    if (turn->gated || !generation || !generation->gated)
        return true;
    turn->gated = berth_gate_try(&generation->module->gate, ctx);
    return turn->gated || turn_wait_for_gate(ctx, turn);
}

/* The next mail of the batch follows at once, and nobody waits for the gate. */
static bool keeps_gate(const struct berth_module *module, enum outcome outcome)
{
    return outcome == HANDLED && module->batch.begins && !berth_gate_is_wanted(&module->gate);
}

/* A mail for one generation alone has ended with it: what it served has been handed over. */
static inline enum outcome turn_run(berth_ctx *ctx, struct berth_module *module, struct turn *turn)
{
    struct berth_generation *generation = turn->generation;
    struct berth_mail *mail = turn->mail;
    enum outcome outcome = AGAIN;
    if (BERTH_I_UNLIKELY(turn->was_away))
        return outcome_of(mail->ops->resume(ctx, generation, mail));
    if (!turn_enter_gate(ctx, turn))
        return KEPT_OUT;
    if (mail->generation && __atomic_load_n(&generation->stopping, __ATOMIC_ACQUIRE)) {
        outcome = OVER;
    } else if (mail->generation ||
               __atomic_load_n(&module->current, __ATOMIC_ACQUIRE) == generation) {
        /* whoever withdraws it from now on waits */
        outcome = mail->ops->plain || turn_becomes(mail, BERTH_TURN_TAKEN, BERTH_TURN_RUNNING)
                      ? HANDLED
                      : OVER;
        if (outcome == HANDLED)
            outcome = outcome_of(mail->ops->run(ctx, generation, mail));
    }
    if (turn->gated && !keeps_gate(module, outcome))
        turn_leave_gate(ctx, module, turn);
    return outcome;
}

/*
 * The clock takes as long as a small mail, so it is looked at after 2, 4, 8 … of them: a batch
 * takes at most twice as long as it may, unless a single mail does.
 */
static inline bool batch_goes_on(int done, int64_t *began)
{
    if (done == BATCH)
        return false;
    if (done < 2 || (done & (done - 1)) != 0)
        return true;
    int64_t now = berth_now();
    if (done == 2)
        *began = now;
    return now - *began <= BATCH_NS;
}

/*
 * The turn of a mail that others need not wait for: somebody else goes on with the mailbox. What
 * goes to a worker is only sent in its turn, and is to be sent in order.
 */
static bool step_aside(struct berth_module *module, const struct turn *turn)
{
    const struct berth_generation *generation = turn->generation;
    if (!generation || !generation->image->manifest->parallel ||
        generation->placement != &berth_carrier_inline)
        return false;
    pthread_mutex_lock(&module->mail_lock);
    settle(module);
    pthread_mutex_unlock(&module->mail_lock);
    return true;
}

/* The rest of such a turn. */
static void end_aside(berth_ctx *ctx, struct berth_module *module, struct turn *turn)
{
    pthread_mutex_lock(&module->mail_lock);
    bool ends = turn_end(module, turn);
    schedule(module);
    pthread_mutex_unlock(&module->mail_lock);
    if (ends)
        end_one(ctx, turn);
}

void berth_mailbox_run(struct berth_module *module)
{
    struct turn turn = { .mail = NULL, .outcome = OVER };
    int64_t began = 0;
    berth_ctx *ctx = berth_thread_enter(&module->host->threads);
    /* without memory it is tried again */
    bool more = turn_next(ctx, module, &turn, ctx != NULL);
    for (int done = 1; more; done++) {
        bool aside = turn.mail->ops->beside && step_aside(module, &turn);
        turn.outcome = turn_run(ctx, module, &turn);
        if (turn.outcome == AWAY) {
            turn_leave(module, &turn);
            break;
        }
        if (aside) {
            end_aside(ctx, module, &turn);
            break;
        }
        berth_thread_renew(ctx);
        more = turn_next(ctx, module, &turn, batch_goes_on(done, &began));
    }
    if (!ctx)
        return;
    berth_subscription_give_all(berth_thread_of(ctx));
    berth_stock_return(berth_thread_of(ctx));
    berth_thread_leave(ctx);
}

static bool has_turn(const struct berth_module *module)
{
    return module->queued || module->away;
}

#define HELP_NS INT64_C(1000000)

/*
 * One step of the wait for the end of a turn. Without threads who waits for one that goes on in a
 * worker does what there is to do: nobody else would. mail_lock held. false: it is the deadline.
 */
static bool await_turn(struct berth_module *module, int64_t deadline)
{
    int64_t until = deadline;
    if (!module->host->pool_size) {
        pthread_mutex_unlock(&module->mail_lock);
        bool helped = berth_schedule_help(module->host);
        pthread_mutex_lock(&module->mail_lock);
        int64_t now = berth_now();
        if (helped && now < deadline)
            return true;
        until = deadline - now > HELP_NS ? now + HELP_NS : deadline;
    }
    const struct timespec at = { until / 1000000000, until % 1000000000 };
    return pthread_cond_timedwait(&module->turn_ended, &module->mail_lock, &at) == 0 ||
           until < deadline;
}

bool berth_mailbox_retire(struct berth_module *module, int64_t deadline)
{
    struct berth_wait wait;
    berth_mailbox_pause(module);
    berth_mailbox_close(module);
    berth_waits_pass(); /* from here on nobody who is asked for a room's holder looks at it */
    bool ring = !turn_wait_begin(module, &wait); /* so it is when this is that turn */
    pthread_mutex_lock(&module->mail_lock);
    if (!module->away && module->queued && berth_schedule_cancel(module))
        module->queued = false;
    while (has_turn(module) && !ring && await_turn(module, deadline))
        ;
    pthread_mutex_unlock(&module->mail_lock);
    if (!ring)
        turn_wait_end(module->host, &wait);
    berth_schedule_let_in(module->host);
    pthread_mutex_lock(&module->mail_lock);
    bool now = !has_turn(module);
    module->retired = !now; /* else the end of that turn frees it */
    pthread_mutex_unlock(&module->mail_lock);
    if (now)
        berth_module_free(module);
    return now || ring;
}

bool berth_mailbox_quiet(struct berth_module *module, const struct berth_generation *generation,
                         const struct berth_wait *wait, int64_t deadline)
{
    pthread_mutex_lock(&module->mail_lock);
    while (generation->turns > 0 && berth_now() < deadline && !(wait && berth_wait_refused(wait)) &&
           await_turn(module, deadline))
        ;
    bool quiet = generation->turns == 0;
    pthread_mutex_unlock(&module->mail_lock);
    berth_schedule_let_in(module->host);
    return quiet;
}

void berth_mailbox_wake(struct berth_module *module)
{
    pthread_mutex_lock(&module->mail_lock);
    pthread_cond_broadcast(&module->turn_ended);
    pthread_mutex_unlock(&module->mail_lock);
}
