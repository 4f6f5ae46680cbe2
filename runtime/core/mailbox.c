/* SPDX-License-Identifier: MIT */
/*
 * What waits for a module's turn: mails that count against its bounds, as messages, and others, as
 * alarms. Turns are taken one after the other, so that order holds for each sender and receiver.
 */
#include "runtime/core/mailbox.h"
#include "runtime/core/call.h"
#include "runtime/core/registry.h"
#include "runtime/core/schedule.h"

#include <stdio.h>

/* mail_lock held */
static void schedule(struct berth_module *module)
{
    if (!module->paused && !module->queued && !berth_list_empty(&module->mails)) {
        module->queued = true;
        berth_schedule_module(module);
    }
}

/* ---- in and out; mail_lock held ---- */

/* One that is larger than the whole mailbox still gets through an empty one. */
static bool is_full(const struct berth_module *module, const struct berth_mail *mail)
{
    const struct berth_host_options *options = &module->host->options;
    return module->mail_messages >= options->mailbox_messages ||
           (module->mail_messages && module->mail_bytes + mail->size > options->mailbox_bytes);
}

static void put(struct berth_mail *mail, struct berth_list *before)
{
    mail->waiting = true;
    berth_list_insert(before, &mail->link);
}

static void take(struct berth_mail *mail)
{
    mail->waiting = false;
    berth_list_remove(&mail->link);
}

static void count(struct berth_module *module, const struct berth_mail *mail)
{
    if (!mail->ops->counted)
        return;
    module->mail_messages++;
    module->mail_bytes += mail->size;
}

static void discount(struct berth_module *module, const struct berth_mail *mail)
{
    if (!mail->ops->counted)
        return;
    module->mail_messages--;
    module->mail_bytes -= mail->size;
}

/* The whole list, in its order, to be ended without the lock. */
static void take_all(struct berth_module *module, struct berth_list *mails, struct berth_list *out)
{
    berth_list_each_safe(mails, link) {
        struct berth_mail *mail = berth_container(link, struct berth_mail, link);
        take(mail);
        discount(module, mail);
        berth_list_append(out, link);
    }
}

static void end_all(struct berth_list *mails, enum berth_mail_end how)
{
    berth_list_each_safe(mails, link) {
        struct berth_mail *mail = berth_container(link, struct berth_mail, link);
        berth_list_remove(link);
        mail->ops->end(mail, how);
    }
}

/*
 * Makes room in a mailbox that holds nothing but what may be dropped. When none is left that waits
 * there is room for one, whatever the one that is being handled takes.
 */
static bool drop_oldest(struct berth_module *module, const struct berth_mail *mail,
                        struct berth_list *out)
{
    while (is_full(module, mail) && !berth_list_empty(&module->mails)) {
        struct berth_mail *oldest = berth_container(module->mails.next, struct berth_mail, link);
        take(oldest);
        discount(module, oldest);
        berth_list_append(out, &oldest->link);
    }
    return berth_list_empty(&module->mails);
}

int berth_mailbox_post(struct berth_module *receiver, struct berth_mail *mail,
                       const struct berth_delivery *how)
{
    struct berth_list dropped;
    berth_list_init(&dropped);
    pthread_mutex_lock(&receiver->mail_lock);
    int code = mail->waiting || mail->withdrawn ? BERTH_ALREADY_EXISTS : BERTH_OK;
    if (code == BERTH_OK) {
        bool alone = mail->ops->counted && how->full == BERTH_FULL_DROP_OLDEST &&
                     drop_oldest(receiver, mail, &dropped);
        if (mail->ops->counted && !alone && is_full(receiver, mail)) {
            code = BERTH_RESOURCE_EXHAUSTED;
        } else {
            bool early = mail->generation && !mail->generation->serving;
            put(mail, early ? &receiver->early : &receiver->mails);
            count(receiver, mail);
            schedule(receiver);
        }
    }
    pthread_mutex_unlock(&receiver->mail_lock);
    end_all(&dropped, BERTH_MAIL_DROPPED);
    return code;
}

void berth_mailbox_serve(struct berth_generation *generation)
{
    struct berth_module *module = generation->module;
    pthread_mutex_lock(&module->mail_lock);
    generation->serving = true;
    berth_list_each_safe(&module->early, link) {
        struct berth_mail *mail = berth_container(link, struct berth_mail, link);
        if (mail->generation == generation) {
            berth_list_remove(link);
            berth_list_append(&module->mails, link);
        }
    }
    schedule(module);
    pthread_mutex_unlock(&module->mail_lock);
}

static bool turn_becomes(struct berth_mail *mail, enum berth_mail_turn from,
                         enum berth_mail_turn to)
{
    int expected = from;
    return __atomic_compare_exchange_n(&mail->turn, &expected, to, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}

void berth_mailbox_withdraw(struct berth_module *module, struct berth_mail *mail)
{
    pthread_mutex_lock(&module->mail_lock);
    bool waiting = mail->waiting;
    __atomic_store_n(&mail->withdrawn, true, __ATOMIC_RELAXED);
    if (waiting) {
        take(mail);
        discount(module, mail);
    }
    turn_becomes(mail, BERTH_TURN_TAKEN, BERTH_TURN_NONE);
    while (__atomic_load_n(&mail->turn, __ATOMIC_ACQUIRE) == BERTH_TURN_RUNNING &&
           !pthread_equal(module->runner, pthread_self()))
        pthread_cond_wait(&module->turn_ended, &module->mail_lock);
    pthread_mutex_unlock(&module->mail_lock);
    if (waiting)
        mail->ops->end(mail, BERTH_MAIL_WITHDRAWN);
}

size_t berth_mailbox_drop(struct berth_module *module)
{
    struct berth_list left;
    berth_list_init(&left);
    pthread_mutex_lock(&module->mail_lock);
    size_t messages = module->mail_messages;
    take_all(module, &module->mails, &left);
    take_all(module, &module->early, &left);
    pthread_mutex_unlock(&module->mail_lock);
    end_all(&left, BERTH_MAIL_LEFT);
    return messages;
}

void berth_mailbox_pause(struct berth_module *module)
{
    pthread_mutex_lock(&module->mail_lock);
    module->paused = true;
    pthread_mutex_unlock(&module->mail_lock);
}

void berth_mailbox_resume(struct berth_module *module)
{
    pthread_mutex_lock(&module->mail_lock);
    module->paused = false;
    schedule(module);
    pthread_mutex_unlock(&module->mail_lock);
}

/* ---- a turn ---- */

/*
 * Takes the next mail for a turn; *ret_generation is whose turn it is (kept alive by ->turns), NULL
 * for the application's.
 */
static struct berth_mail *turn_begin(struct berth_module *module,
                                     struct berth_generation **ret_generation)
{
    struct berth_mail *mail = NULL;
    pthread_mutex_lock(&module->mail_lock);
    module->runner = pthread_self();
    if (!module->paused && !berth_list_empty(&module->mails)) {
        mail = berth_container(module->mails.next, struct berth_mail, link);
        take(mail);
        __atomic_store_n(&mail->turn, BERTH_TURN_TAKEN, __ATOMIC_RELAXED);
        *ret_generation = mail->generation ? mail->generation : module->current;
        if (*ret_generation)
            (*ret_generation)->turns++;
    }
    pthread_mutex_unlock(&module->mail_lock);
    return mail;
}

/* What has become of a turn. */
enum outcome {
    HANDLED,
    OVER, /* it was withdrawn meanwhile, or the generation that it was for has been replaced */
    AGAIN /* it was not handled, and stays first */
};

static void turn_end(struct berth_module *module, struct berth_generation *generation,
                     struct berth_mail *mail, enum outcome outcome)
{
    pthread_mutex_lock(&module->mail_lock);
    if (generation)
        generation->turns--;
    __atomic_store_n(&mail->turn, BERTH_TURN_NONE, __ATOMIC_RELEASE);
    if (outcome == AGAIN && mail->withdrawn)
        outcome = OVER;
    if (outcome == AGAIN)
        put(mail, module->mails.next);
    else
        discount(module, mail);
    pthread_cond_broadcast(&module->turn_ended);
    pthread_mutex_unlock(&module->mail_lock);
    if (outcome != AGAIN)
        mail->ops->end(mail, outcome == HANDLED ? BERTH_MAIL_HANDLED : BERTH_MAIL_LEFT);
}

static bool turn_gate(berth_ctx *ctx, struct berth_generation *generation, bool *ret_gated)
{
    char target[BERTH_FRAME_NAME];
    struct berth_gate_entry entry = {
        .ctx = ctx, .deadline = BERTH_FOREVER, .target = target, .patient = true
    };
    *ret_gated = false;
    if (!generation || generation->image->manifest->parallel ||
        generation->placement != &berth_carrier_inline)
        return true;
    snprintf(target, sizeof target, "%s (turn)", generation->module->name);
    return berth_generation_lock(generation, &entry, ret_gated, NULL) == BERTH_OK;
}

/* A mail for one generation alone has ended with it: what it served has been handed over. */
static enum outcome turn_run(berth_ctx *ctx, struct berth_module *module,
                             struct berth_generation *generation, struct berth_mail *mail)
{
    enum outcome outcome = AGAIN;
    bool gated;
    if (!turn_gate(ctx, generation, &gated))
        return AGAIN;
    if (mail->generation && __atomic_load_n(&generation->stopping, __ATOMIC_ACQUIRE)) {
        outcome = OVER;
    } else if (mail->generation ||
               __atomic_load_n(&module->current, __ATOMIC_ACQUIRE) == generation) {
        /* whoever withdraws it from now on waits */
        outcome = turn_becomes(mail, BERTH_TURN_TAKEN, BERTH_TURN_RUNNING) ? HANDLED : OVER;
        if (outcome == HANDLED)
            mail->ops->run(ctx, generation, mail);
    }
    if (gated)
        berth_gate_unlock(&module->gate, ctx);
    return outcome;
}

bool berth_mailbox_turn(struct berth_module *module)
{
    struct berth_generation *generation = NULL;
    struct berth_mail *mail = turn_begin(module, &generation);
    if (!mail)
        return false;
    berth_ctx *ctx = berth_thread_enter(&module->host->threads);
    enum outcome outcome = AGAIN; /* no memory: tried again */
    if (ctx) {
        outcome = turn_run(ctx, module, generation, mail);
        berth_thread_leave(ctx);
    }
    turn_end(module, generation, mail, outcome);
    return true;
}

/* After the last turn of a batch: in the run queue again if there is more to do. */
void berth_mailbox_settle(struct berth_module *module)
{
    pthread_mutex_lock(&module->mail_lock);
    bool retired = module->retired;
    module->queued = false;
    pthread_cond_broadcast(&module->turn_ended);
    schedule(module);
    pthread_mutex_unlock(&module->mail_lock);
    if (retired)
        berth_module_free(module);
}

bool berth_mailbox_retire(struct berth_module *module, int64_t deadline)
{
    const struct timespec at = { deadline / 1000000000, deadline % 1000000000 };
    int number = 0;
    berth_mailbox_pause(module);
    berth_mailbox_drop(module);
    pthread_mutex_lock(&module->mail_lock);
    if (module->queued && berth_schedule_cancel(module))
        module->queued = false;
    module->retired = module->queued && pthread_equal(module->runner, pthread_self());
    while (module->queued && !module->retired && number == 0)
        number = pthread_cond_timedwait(&module->turn_ended, &module->mail_lock, &at);
    bool now = !module->queued, own = module->retired;
    module->retired = !now; /* else the end of that turn frees it */
    pthread_mutex_unlock(&module->mail_lock);
    if (now)
        berth_module_free(module);
    return now || own;
}

/*
 * No turn of this generation goes on, or the deadline has passed (false). `self`: a turn that this
 * is called from does not count.
 */
bool berth_mailbox_quiet(struct berth_module *module, const struct berth_generation *generation,
                         size_t self, int64_t deadline)
{
    bool quiet = true;
    struct timespec at = { deadline / 1000000000, deadline % 1000000000 };
    pthread_mutex_lock(&module->mail_lock);
    while (generation->turns > self && quiet)
        quiet = pthread_cond_timedwait(&module->turn_ended, &module->mail_lock, &at) == 0;
    quiet = generation->turns <= self;
    pthread_mutex_unlock(&module->mail_lock);
    return quiet;
}
