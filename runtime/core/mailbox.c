/* SPDX-License-Identifier: MIT */
/*
 * What waits for a module's turn: messages (bounded) and due alarms (one each at most). Turns are
 * taken one after the other, so that order holds for each sender and receiver.
 */
#include "runtime/core/mailbox.h"
#include "runtime/base/memory.h"
#include "runtime/core/alarm.h"
#include "runtime/core/call.h"
#include "runtime/core/flow.h"
#include "runtime/core/log.h"
#include "runtime/core/registry.h"
#include "runtime/core/schedule.h"
#include "runtime/core/topic.h"

#include <stdio.h>
#include <string.h>

void berth_parcel_unref(struct berth_parcel *parcel)
{
    if (!parcel || __atomic_sub_fetch(&parcel->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    berth_free(parcel->topic);
    berth_free(parcel->sender);
    berth_free(parcel->packed);
    berth_free(parcel->json);
    berth_free(parcel);
}

/* A message's mail is its own block; an alarm's is part of the alarm. */
static void mail_free(struct berth_mail *mail)
{
    if (mail->kind != BERTH_MAIL_MESSAGE)
        return;
    berth_parcel_unref(mail->parcel);
    berth_subscription_unref(mail->subscription);
    berth_free(mail);
}

/* mail_lock held */
static void schedule(struct berth_module *module)
{
    if (!module->paused && !module->queued && !berth_list_empty(&module->mails)) {
        module->queued = true;
        berth_schedule_module(module);
    }
}

/* One message that is larger than the whole mailbox still gets through an empty one. */
static bool is_full(const struct berth_module *module, const struct berth_parcel *parcel)
{
    const struct berth_host_options *options = &module->host->options;
    return module->mail_messages >= options->mailbox_messages ||
           (module->mail_messages && module->mail_bytes + parcel->size > options->mailbox_bytes);
}

/*
 * Makes room in a mailbox that holds nothing but this subscription's messages. When none is left
 * that waits there is room for one, whatever the message that is being handled takes.
 */
static void drop_oldest(struct berth_module *module, struct berth_subscription *subscription,
                        const struct berth_parcel *parcel)
{
    while (is_full(module, parcel) && !berth_list_empty(&module->mails)) {
        struct berth_mail *oldest = berth_container(module->mails.next, struct berth_mail, link);
        berth_list_remove(&oldest->link);
        module->mail_messages--;
        module->mail_bytes -= oldest->parcel->size;
        berth_flow_dropped(oldest->flow);
        mail_free(oldest);
        __atomic_add_fetch(&subscription->dropped, 1, __ATOMIC_RELAXED);
    }
}

int berth_mailbox_post(struct berth_subscription *subscription, struct berth_parcel *parcel,
                       struct berth_flow *flow)
{
    struct berth_module *module = subscription->module;
    struct berth_mail *mail = berth_calloc(1, sizeof *mail);
    if (!mail) {
        berth_flow_refused(flow, BERTH_RESOURCE_EXHAUSTED);
        return BERTH_RESOURCE_EXHAUSTED;
    }
    mail->flow = flow;
    mail->kind = BERTH_MAIL_MESSAGE;
    mail->parcel = parcel;
    mail->subscription = subscription;
    pthread_mutex_lock(&module->mail_lock);
    if (subscription->lossy)
        drop_oldest(module, subscription, parcel);
    bool alone = subscription->lossy && berth_list_empty(&module->mails);
    bool full = !alone && is_full(module, parcel);
    if (!full) {
        __atomic_add_fetch(&parcel->refs, 1, __ATOMIC_RELAXED);
        __atomic_add_fetch(&subscription->refs, 1, __ATOMIC_RELAXED);
        module->mail_messages++;
        module->mail_bytes += parcel->size;
        berth_list_append(&module->mails, &mail->link);
        schedule(module);
    }
    pthread_mutex_unlock(&module->mail_lock);
    if (!full) {
        berth_flow_message(flow);
        return BERTH_OK;
    }
    berth_flow_refused(flow, BERTH_RESOURCE_EXHAUSTED);
    berth_free(mail);
    return BERTH_RESOURCE_EXHAUSTED;
}

void berth_mailbox_alarm(struct berth_module *module, struct berth_alarm *alarm)
{
    pthread_mutex_lock(&module->mail_lock);
    if (!alarm->cancelled && !alarm->queued) {
        alarm->queued = true;
        if (alarm->generation->serving) {
            berth_list_append(&module->mails, &alarm->mail.link);
            schedule(module);
        }
    }
    pthread_mutex_unlock(&module->mail_lock);
}

void berth_mailbox_serve(struct berth_generation *generation)
{
    struct berth_module *module = generation->module;
    pthread_mutex_lock(&module->host->lock); /* of the list of alarms */
    pthread_mutex_lock(&module->mail_lock);
    generation->serving = true;
    berth_list_each(&generation->alarms, link) {
        struct berth_alarm *alarm = berth_container(link, struct berth_alarm, link);
        if (alarm->queued && berth_list_empty(&alarm->mail.link))
            berth_list_append(&module->mails, &alarm->mail.link);
    }
    schedule(module);
    pthread_mutex_unlock(&module->mail_lock);
    pthread_mutex_unlock(&module->host->lock);
}

/* The alarm has no mail and no turn any more, but for the turn that this is called from. */
void berth_mailbox_forget(struct berth_module *module, struct berth_alarm *alarm)
{
    pthread_mutex_lock(&module->mail_lock);
    __atomic_store_n(&alarm->cancelled, true, __ATOMIC_RELAXED);
    berth_list_remove(&alarm->mail.link);
    alarm->queued = false;
    while (alarm->running && !pthread_equal(alarm->runner, pthread_self()))
        pthread_cond_wait(&module->turn_ended, &module->mail_lock);
    pthread_mutex_unlock(&module->mail_lock);
}

size_t berth_mailbox_drop(struct berth_module *module)
{
    pthread_mutex_lock(&module->mail_lock);
    size_t messages = module->mail_messages;
    berth_list_each_safe(&module->mails, link) {
        struct berth_mail *mail = berth_container(link, struct berth_mail, link);
        berth_list_remove(link);
        if (mail->alarm)
            mail->alarm->queued = false;
        mail_free(mail);
    }
    module->mail_messages = module->mail_bytes = 0;
    pthread_mutex_unlock(&module->mail_lock);
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

static void handler_failed(berth_ctx *ctx, struct berth_generation *generation, const char *what)
{
    struct berth_error error = { 0 };
    berth_fault_take(ctx, &error);
    berth_host_log(generation->host, generation, BERTH_LOG_ERROR, "%s failed: %s: %s", what,
                   berth_code_name(error.code), error.text);
}

/* The arguments that a handler gets, in the thread's arena. */
static int message_arguments(berth_ctx *ctx, const struct berth_mail *mail,
                             const struct berth_manifest_subscribe *handler,
                             const void ***ret_arguments, struct berth_error *error)
{
    struct berth_arena *arena = &berth_thread_of(ctx)->arena;
    const struct berth_parcel *parcel = mail->parcel;
    if (!handler->any) {
        const unsigned char *packed = (const unsigned char *)(parcel->packed ? parcel->packed : "");
        struct berth_reader reader = { packed, packed + parcel->packed_size };
        return berth_arguments_unpack(handler->signature, &reader, arena, ret_arguments, NULL,
                                      error);
    }
    const void **arguments = berth_arena_alloc(arena, 2 * sizeof *arguments);
    const char **texts = berth_arena_alloc(arena, 2 * sizeof *texts);
    if (!arguments || !texts)
        return berth_error_nomem(error);
    texts[0] = parcel->topic;
    texts[1] = parcel->json ? parcel->json : "{}";
    arguments[0] = &texts[0];
    arguments[1] = &texts[1];
    *ret_arguments = arguments;
    return BERTH_OK;
}

/* The generation's handler for a subscription, or NULL. */
static struct berth_item *find_handler(const struct berth_generation *generation,
                                       const struct berth_subscription *subscription)
{
    for (size_t i = 0; i < generation->handler_count; i++)
        if (generation->subscriptions[i] == subscription)
            return &generation->handlers[i];
    return NULL;
}

/*
 * A handler is not told with a message how many were lost before it: it is in the log. Not before
 * there is room again, since who reads the log wants that line, too.
 */
static void tell_lost(const struct berth_generation *generation,
                      struct berth_subscription *subscription)
{
    struct berth_module *module = generation->module;
    if (!__atomic_load_n(&subscription->dropped, __ATOMIC_RELAXED))
        return;
    pthread_mutex_lock(&module->mail_lock);
    bool room = module->mail_messages <= 1 + generation->host->options.mailbox_messages / 2;
    pthread_mutex_unlock(&module->mail_lock);
    if (room)
        berth_host_log(
            generation->host, generation, BERTH_LOG_WARNING,
            "%llu messages to %s were lost: its mailbox was full",
            (unsigned long long)__atomic_exchange_n(&subscription->dropped, 0, __ATOMIC_RELAXED),
            subscription->pattern);
}

static void run_message(berth_ctx *ctx, struct berth_generation *generation,
                        struct berth_mail *mail)
{
    struct berth_item *item = find_handler(generation, mail->subscription);
    if (!item) /* the handler has gone with a reload */
        return;
    struct berth_thread *thread = berth_thread_of(ctx);
    const void **arguments;
    struct berth_error error;
    tell_lost(generation, mail->subscription);
    int code = message_arguments(ctx, mail, &generation->image->manifest->subscribes[item->index],
                                 &arguments, &error);
    thread->topic = mail->parcel->topic;
    thread->echo = mail->parcel->echo;
    berth_flow_turn_begin(ctx, mail->flow);
    berth_frame_push(ctx, BERTH_FRAME_OBJECT | (uintptr_t)item);
    if (code != BERTH_OK)
        berth_fault_raise_format(ctx, code, "%s", error.text);
    else
        berth_item_invoke(ctx, item, mail->parcel->topic, arguments, NULL);
    berth_frame_pop(ctx);
    berth_flow_end(ctx, mail->flow, berth_error_code(ctx));
    if (berth_failed(ctx)) {
        char what[300];
        snprintf(what, sizeof what, "a message to %s", mail->parcel->topic);
        handler_failed(ctx, generation, what);
    }
    thread->topic = "";
    thread->echo = false;
}

static void run_app_message(berth_ctx *ctx, struct berth_module *module, struct berth_mail *mail)
{
    const struct berth_parcel *parcel = mail->parcel;
    if (__atomic_load_n(&mail->subscription->gone, __ATOMIC_ACQUIRE))
        return;
    struct berth_message message = {
        .size = sizeof message,
        .topic = parcel->topic,
        .fields = parcel->json ? parcel->json : "{}",
        .sender = parcel->sender,
        .dropped = __atomic_exchange_n(&mail->subscription->dropped, 0, __ATOMIC_RELAXED),
    };
    berth_flow_turn_begin(ctx, mail->flow);
    struct berth_thread *thread = berth_thread_of(ctx);
    thread->topic = parcel->topic;
    thread->echo = parcel->echo;
    module->app_fn(ctx, &message, module->app_user);
    thread->topic = "";
    thread->echo = false;
    berth_flow_end(ctx, mail->flow, berth_error_code(ctx));
    berth_fault_clear(ctx);
}

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
        berth_list_remove(&mail->link);
        *ret_generation = mail->alarm ? mail->alarm->generation : module->current;
        if (*ret_generation)
            (*ret_generation)->turns++;
        if (mail->alarm) {
            mail->alarm->queued = false;
            __atomic_add_fetch(&mail->alarm->refs, 1, __ATOMIC_RELAXED);
        }
    }
    pthread_mutex_unlock(&module->mail_lock);
    return mail;
}

/* again: it was not handled, and stays first. */
static void turn_end(struct berth_module *module, struct berth_generation *generation,
                     struct berth_mail *mail, bool again)
{
    struct berth_alarm *alarm = mail->alarm;
    pthread_mutex_lock(&module->mail_lock);
    if (generation)
        generation->turns--;
    if (alarm) {
        alarm->running = false;
        if (again && !alarm->cancelled) {
            alarm->queued = true;
            berth_list_insert(module->mails.next, &mail->link);
        }
    } else if (again) {
        berth_list_insert(module->mails.next, &mail->link);
    } else {
        module->mail_messages--;
        module->mail_bytes -= mail->parcel->size;
    }
    pthread_cond_broadcast(&module->turn_ended);
    pthread_mutex_unlock(&module->mail_lock);
    if (alarm)
        berth_alarm_unref(alarm);
    else if (!again)
        mail_free(mail);
}

/* The alarm's callback may begin: it is not cancelled, and whoever cancels it from now on waits. */
static bool alarm_begin(struct berth_module *module, struct berth_alarm *alarm)
{
    pthread_mutex_lock(&module->mail_lock);
    alarm->running = !alarm->cancelled;
    alarm->runner = pthread_self();
    pthread_mutex_unlock(&module->mail_lock);
    return alarm->running;
}

static bool turn_gate(berth_ctx *ctx, struct berth_module *module)
{
    char target[BERTH_FRAME_NAME];
    struct berth_gate_entry entry = {
        .ctx = ctx, .deadline = BERTH_FOREVER, .target = target, .patient = true
    };
    snprintf(target, sizeof target, "%s (turn)", module->name);
    return berth_gate_lock(&module->gate, &entry, NULL) == BERTH_OK;
}

/* false: it is no longer this generation's turn. */
static bool turn_run(berth_ctx *ctx, struct berth_module *module,
                     struct berth_generation *generation, struct berth_mail *mail)
{
    bool gated =
        !generation->image->manifest->parallel && generation->placement == &berth_carrier_inline;
    if (gated && !turn_gate(ctx, module))
        return false;
    /* A replaced generation has no timers and watches any more: its state has been handed over. */
    bool over = mail->alarm && __atomic_load_n(&generation->stopping, __ATOMIC_ACQUIRE);
    bool ours = mail->alarm ? !over && alarm_begin(module, mail->alarm)
                            : __atomic_load_n(&module->current, __ATOMIC_ACQUIRE) == generation;
    if (ours && mail->alarm) {
        berth_alarm_run(ctx, mail->alarm);
        if (berth_failed(ctx))
            handler_failed(ctx, generation, mail->kind == BERTH_MAIL_TIMER ? "a timer" : "a watch");
    } else if (ours && !__atomic_load_n(&mail->subscription->gone, __ATOMIC_ACQUIRE)) {
        run_message(ctx, generation, mail);
    }
    if (gated)
        berth_gate_unlock(&module->gate, ctx);
    return ours || over;
}

bool berth_mailbox_turn(struct berth_module *module)
{
    struct berth_generation *generation = NULL;
    struct berth_mail *mail = turn_begin(module, &generation);
    if (!mail)
        return false;
    berth_ctx *ctx = berth_thread_enter(&module->host->threads);
    bool done = true;
    if (!ctx) {
        done = false; /* no memory: tried again */
    } else if (module->app_fn) {
        run_app_message(ctx, module, mail);
    } else {
        done = turn_run(ctx, module, generation, mail);
    }
    if (ctx)
        berth_thread_leave(ctx);
    turn_end(module, generation, mail, !done);
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
