/* SPDX-License-Identifier: MIT */
/*
 * A module's timers and watches. The loop only notes that one is due; the callback runs in the
 * module's turn, as a mail, so that serial modules stay serial. At most one mail of an alarm is
 * under way.
 */
#include "runtime/core/alarm.h"
#include "runtime/base/memory.h"
#include "runtime/core/log.h"
#include "runtime/core/mailbox.h"
#include "runtime/core/permit.h"

#include <string.h>
#include <sys/epoll.h>

static void alarm_unref(struct berth_alarm *alarm)
{
    if (__atomic_sub_fetch(&alarm->refs, 1, __ATOMIC_ACQ_REL) == 0)
        berth_free(alarm);
}

/* What is posted has a reference. */
static void alarm_mail(struct berth_alarm *alarm)
{
    static const struct berth_delivery how = { .full = BERTH_FULL_REJECT };
    __atomic_add_fetch(&alarm->refs, 1, __ATOMIC_RELAXED);
    if (berth_mailbox_post(alarm->generation->module, &alarm->mail, &how) != BERTH_OK)
        alarm_unref(alarm); /* it waits already, or has been cancelled */
}

static void timer_due(struct berth_timer *timer)
{
    alarm_mail(timer->owner);
}

static void watch_ready(struct berth_source *source, uint32_t events)
{
    struct berth_alarm *alarm = source->owner;
    __atomic_store_n(&alarm->ready, events, __ATOMIC_RELAXED);
    alarm_mail(alarm);
}

static enum berth_mail_next alarm_run(berth_ctx *ctx, struct berth_generation *generation,
                                      struct berth_mail *mail);

static void alarm_mail_end(berth_ctx *ctx, struct berth_mail *mail, enum berth_mail_end how)
{
    (void)ctx, (void)how;
    alarm_unref(berth_container(mail, struct berth_alarm, mail));
}

static const struct berth_mail_ops alarm_ops = { .run = alarm_run, .end = alarm_mail_end };

static struct berth_alarm *alarm_new(struct berth_generation *generation, void *user,
                                     struct berth_error *error)
{
    struct berth_alarm *alarm = berth_calloc(1, sizeof *alarm);
    if (!alarm) {
        berth_error_nomem(error);
        return NULL;
    }
    alarm->refs = 1;
    alarm->generation = generation;
    alarm->user = user;
    alarm->mail.ops = &alarm_ops;
    alarm->mail.generation = generation;
    berth_list_init(&alarm->mail.link);
    berth_list_init(&alarm->link);
    return alarm;
}

/*
 * Takes the alarm, also on failure. Its id. All of it under the lock: the end of the generation,
 * which may come meanwhile, either ends the alarm or refuses it.
 */
static uint64_t alarm_add(struct berth_alarm *alarm, int64_t due, struct berth_error *error)
{
    struct berth_generation *generation = alarm->generation;
    struct berth_host *host = generation->host;
    int code = BERTH_OK;
    pthread_mutex_lock(&host->lock);
    uint64_t id = generation->stopping ? 0 : berth_idmap_add(&host->alarms, alarm);
    if (id) {
        alarm->id = id;
        berth_list_append(&generation->alarms, &alarm->link);
        code = alarm->is_watch ? berth_source_add(host->loop, &alarm->source, error)
                               : berth_timer_add(host->loop, &alarm->timer, due, error);
    } else if (generation->stopping) {
        code = berth_error_set(error, BERTH_FAILED_PRECONDITION, "module %s is stopping",
                               generation->module->name);
    } else {
        code = berth_error_nomem(error);
    }
    if (code != BERTH_OK && id) {
        berth_idmap_remove(&host->alarms, id);
        berth_list_remove(&alarm->link);
    }
    pthread_mutex_unlock(&host->lock);
    if (code == BERTH_OK)
        return id;
    berth_free(alarm);
    return 0;
}

/*
 * Out of the mailbox and the loop for good; its callback does not run (unless this is it). In this
 * order: a turn that goes on may put the timer back into the loop.
 */
static void alarm_end(struct berth_alarm *alarm)
{
    struct berth_host *host = alarm->generation->host;
    berth_mailbox_withdraw(alarm->generation->module, &alarm->mail);
    if (alarm->is_watch)
        berth_source_remove(&alarm->source);
    else
        berth_timer_remove(&alarm->timer);
    pthread_mutex_lock(&host->lock);
    berth_list_remove(&alarm->link);
    pthread_mutex_unlock(&host->lock);
}

uint64_t berth_alarm_timer(struct berth_generation *generation, int64_t delay, int64_t period,
                           berth_timer_fn fn, void *user, struct berth_error *error)
{
    if (delay < 0 || period < 0 || !fn) {
        berth_error_set(error, BERTH_INVALID_ARGUMENT,
                        "a timer needs a function, and times that are not negative");
        return 0;
    }
    struct berth_alarm *alarm = alarm_new(generation, user, error);
    if (!alarm)
        return 0;
    int64_t now = berth_now();
    alarm->fn = (void (*)(void))fn;
    alarm->period = period;
    alarm->timer.owner = alarm;
    alarm->timer.fire = timer_due;
    return alarm_add(alarm, delay > INT64_MAX - now ? BERTH_FOREVER : now + delay, error);
}

uint64_t berth_alarm_watch(struct berth_generation *generation, int fd, uint32_t events,
                           berth_watch_fn fn, void *user, struct berth_error *error)
{
    struct berth_alarm *alarm = fn ? alarm_new(generation, user, error) : NULL;
    if (!alarm) {
        if (!fn)
            berth_error_set(error, BERTH_INVALID_ARGUMENT, "a watch needs a function");
        return 0;
    }
    alarm->is_watch = true;
    alarm->fn = (void (*)(void))fn;
    alarm->events = events | EPOLLONESHOT; /* armed again after its turn */
    alarm->source = (struct berth_source){
        .fd = fd, .events = alarm->events, .ready = watch_ready, .owner = alarm
    };
    return alarm_add(alarm, 0, error);
}

void berth_alarm_cancel(struct berth_generation *generation, uint64_t id)
{
    struct berth_host *host = generation->host;
    pthread_mutex_lock(&host->lock);
    struct berth_alarm *alarm = berth_idmap_get(&host->alarms, id);
    if (alarm && alarm->generation == generation)
        berth_idmap_remove(&host->alarms, id);
    else
        alarm = NULL;
    pthread_mutex_unlock(&host->lock);
    if (!alarm)
        return;
    alarm_end(alarm);
    alarm_unref(alarm);
}

void berth_alarms_end(struct berth_generation *generation)
{
    for (;;) {
        uint64_t id = 0;
        pthread_mutex_lock(&generation->host->lock);
        if (!berth_list_empty(&generation->alarms))
            id = berth_container(generation->alarms.next, struct berth_alarm, link)->id;
        pthread_mutex_unlock(&generation->host->lock);
        if (!id)
            return;
        berth_alarm_cancel(generation, id);
    }
}

/* When a timer is due next: whole periods after it was due, past ones left out. */
static int64_t next_due(const struct berth_alarm *alarm)
{
    int64_t last = alarm->timer.due, now = berth_now();
    int64_t periods = now > last ? (now - last) / alarm->period + 1 : 1, ahead, due;
    return __builtin_mul_overflow(periods, alarm->period, &ahead) ||
                   __builtin_add_overflow(last, ahead, &due)
               ? BERTH_FOREVER
               : due;
}

static void call_back(berth_ctx *ctx, struct berth_alarm *alarm)
{
    berth_frame_push(ctx, (uintptr_t)alarm->fn);
    struct berth_acting outer = berth_permit_act(ctx + 1, alarm->generation);
    if (alarm->is_watch)
        ((berth_watch_fn)alarm->fn)(ctx + 1, alarm->source.fd, alarm->ready, alarm->user);
    else
        ((berth_timer_fn)alarm->fn)(ctx + 1, alarm->user);
    berth_frame_pop(ctx);
    berth_thread_of(ctx)->acting = outer;
    if (berth_failed(ctx))
        berth_log_fault(ctx, alarm->generation, alarm->is_watch ? "a watch" : "a timer");
}

static enum berth_mail_next alarm_run(berth_ctx *ctx, struct berth_generation *generation,
                                      struct berth_mail *mail)
{
    struct berth_alarm *alarm = berth_container(mail, struct berth_alarm, mail);
    uint64_t id = alarm->id;
    call_back(ctx, alarm);
    if (__atomic_load_n(&mail->withdrawn, __ATOMIC_RELAXED)) /* cancelled by its own callback */
        return BERTH_MAIL_DONE;
    if (alarm->is_watch)
        berth_source_modify(&alarm->source, alarm->events);
    else if (!alarm->period)
        berth_alarm_cancel(generation, id);
    else if (berth_timer_add(generation->host->loop, &alarm->timer, next_due(alarm), NULL) !=
             BERTH_OK)
        berth_host_log(generation->host, generation, BERTH_LOG_ERROR,
                       "a timer ends: out of memory");
    return BERTH_MAIL_DONE;
}
