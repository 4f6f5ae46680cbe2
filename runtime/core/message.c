/* SPDX-License-Identifier: MIT */
#include "runtime/core/message.h"
#include "runtime/base/memory.h"
#include "runtime/core/call.h"
#include "runtime/core/flow.h"
#include "runtime/core/kept.h"
#include "runtime/core/log.h"
#include "runtime/core/mailbox.h"
#include "runtime/core/parcel.h"
#include "runtime/core/started.h"
#include "runtime/core/topic.h"

#include <stdio.h>
#include <string.h>

/* A parcel in one mailbox. */
struct message {
    struct berth_parcel *parcel;
    struct berth_subscription *subscription;
    struct berth_flow *flow;      /* or NULL */
    unsigned tries;               /* that have failed */
    bool apart;                   /* it does not lie in its parcel */
    struct berth_mail mail;       /* which begins with what each turn looks at, too */
    struct berth_started *remote; /* its turn in a worker */
    int64_t began;                /* that, if it is timed */
} __attribute__((aligned(16)));

#define FORESEEN 5 /* lines of the cache: a small one */

const size_t berth_message_size = sizeof(struct message);

static struct message *message_of(struct berth_mail *mail)
{
    return berth_container(mail, struct message, mail);
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
    if (berth_mailbox_count(module).messages <= 1 + generation->host->options.mailbox_messages / 2)
        berth_host_log(
            generation->host, generation, BERTH_LOG_WARNING,
            "%llu messages to %s were lost: its mailbox was full",
            (unsigned long long)__atomic_exchange_n(&subscription->dropped, 0, __ATOMIC_RELAXED),
            subscription->pattern);
}

/* ---- what becomes of it ---- */

static void count_fate(const struct message *message, enum berth_fate fate)
{
    berth_flow_fate(message->subscription->module->host, message->flow, fate);
}

static void count_delivered(const struct message *message)
{
    struct berth_module *module = message->subscription->module;
    __atomic_store_n(&module->delivered, module->delivered + 1, __ATOMIC_RELAXED);
}

/* The fields as JSON, for those who read dead letters; to be freed. NULL: no memory. */
static char *fields_of(const struct message *message, const struct berth_signature *signature)
{
    const struct berth_host *host = message->subscription->module->host;
    struct berth_buffer buffer;
    berth_buffer_init(&buffer, host->options.max_message);
    if (message->parcel->json)
        berth_buffer_text(&buffer, message->parcel->json);
    else
        berth_json_write_arguments(signature, message->parcel->arguments, &buffer, NULL);
    char *text = berth_buffer_take(&buffer, NULL);
    berth_buffer_deinit(&buffer);
    return text;
}

/* signature: of its fields, if it has no JSON. A dead letter that fails does not become one. */
static void publish_dead(const struct message *message, const struct berth_signature *signature,
                         const struct berth_error *error)
{
    const struct berth_subscription *subscription = message->subscription;
    const struct berth_parcel *parcel = message->parcel;
    struct berth_host *host = subscription->module->host;
    const char *receiver = subscription->module->name, *handler = subscription->handler;
    const char *code = berth_code_name(error->code), *reason = error->text;
    uint32_t tries = message->tries;
    if (strcmp(parcel->topic, BERTH_DEAD_LETTER_TOPIC) == 0 || parcel->echo ||
        !berth_topic_is_read(host, BERTH_DEAD_LETTER_TOPIC))
        return;
    char *text = fields_of(message, signature);
    const char *fields = text ? text : "null";
    const void *arguments[] = { &receiver, &handler, &parcel->sender, &parcel->topic,
                                &code,     &reason,  &tries,          &fields };
    berth_publish_own(host, BERTH_DEAD_LETTER_TOPIC, arguments);
    berth_free(text);
}

/* generation: of the handler; NULL: it is the application's, or was asked for by host.subscribe. */
static void log_failure(const struct message *message, const struct berth_generation *generation,
                        const struct berth_error *error, int64_t again_ns)
{
    const struct berth_subscription *subscription = message->subscription;
    const char *handler = *subscription->handler ? subscription->handler : "the application";
    char at[48] = "", next[64] = "";
    if (subscription->how.tries > 1)
        snprintf(at, sizeof at, " at try %u of %u", message->tries, subscription->how.tries);
    if (again_ns)
        snprintf(next, sizeof next, "; it is tried again in %lld ms",
                 (long long)again_ns / 1000000);
    else if (subscription->how.tries > 1)
        snprintf(next, sizeof next, "; that was the last one");
    berth_host_log(
        subscription->module->host, generation, again_ns ? BERTH_LOG_WARNING : BERTH_LOG_ERROR,
        "a message to %s failed%s%s%s: %s: %s%s", message->parcel->topic, generation ? "" : " in ",
        generation ? "" : handler, at, berth_code_name(error->code), error->text, next);
}

#define FIRST_WAIT_NS INT64_C(100000000)
#define LAST_WAIT_NS  INT64_C(10000000000)

/* ctx has failed, and is clear then. */
__attribute__((noinline)) static enum berth_mail_next failed(
    berth_ctx *ctx, struct message *message, const struct berth_generation *generation,
    const struct berth_signature *signature)
{
    struct berth_error error = { 0 };
    int64_t wait = FIRST_WAIT_NS;
    berth_fault_take(ctx, &error);
    message->tries++;
    if (message->tries >= message->subscription->how.tries) {
        count_fate(message, BERTH_FATE_DEAD);
        log_failure(message, generation, &error, 0);
        publish_dead(message, signature, &error);
        return BERTH_MAIL_DONE;
    }
    for (unsigned i = 1; i < message->tries && wait < LAST_WAIT_NS; i++)
        wait = 2 * wait < LAST_WAIT_NS ? 2 * wait : LAST_WAIT_NS;
    message->mail.due = berth_now() + wait;
    log_failure(message, generation, &error, wait);
    return BERTH_MAIL_RETRY;
}

/* Before its turn: its sender waits for nothing any more. */
__attribute__((noinline)) static bool is_over(const struct berth_parcel *parcel,
                                              struct berth_error *ret_error)
{
    if (parcel->deadline != BERTH_FOREVER && berth_now() >= parcel->deadline)
        berth_error_set(ret_error, BERTH_DEADLINE_EXCEEDED,
                        "the deadline of its sender had passed before its turn");
    else if (parcel->cause && __atomic_load_n(&parcel->cause->recalled, __ATOMIC_ACQUIRE))
        berth_error_set(ret_error, BERTH_CANCELLED,
                        "the call of its sender was cancelled before its turn");
    else
        return false;
    return true;
}

static inline bool may_be_over(const struct berth_parcel *parcel)
{
    return BERTH_I_UNLIKELY(parcel->deadline != BERTH_FOREVER) || parcel->cause;
}

/* item: its handler, or NULL. */
static bool expires(const struct message *message, const struct berth_item *item)
{
    struct berth_error why;
    if (!is_over(message->parcel, &why))
        return false;
    count_fate(message, BERTH_FATE_EXPIRED);
    publish_dead(message, item ? item->signature : NULL, &why);
    return true;
}

/* ---- a turn ---- */

/* By a handler of the module's, which a worker is told to run; or else it runs here. */
static inline void handle_with(berth_ctx *ctx, const struct message *message,
                               struct berth_item *item, struct berth_started *remote,
                               const void *const *arguments)
{
    if (remote) {
        berth_remote_handle(ctx, remote, item, arguments);
        return;
    }
    berth_frame_push(ctx, BERTH_FRAME_OBJECT | (uintptr_t)item);
    berth_item_invoke(ctx, item, message->parcel->topic, arguments, NULL);
    berth_frame_pop(ctx);
}

static void handle_any(berth_ctx *ctx, const struct message *message, struct berth_item *item,
                       struct berth_started *remote)
{
    const struct berth_parcel *parcel = message->parcel;
    const char *const any[] = { parcel->topic, parcel->json ? parcel->json : "{}" };
    const void *const texts[] = { &any[0], &any[1] };
    handle_with(ctx, message, item, remote, texts);
}

static inline void handle(berth_ctx *ctx, const struct message *message, struct berth_item *item,
                          struct berth_started *remote)
{
    if (BERTH_I_UNLIKELY(item->any))
        handle_any(ctx, message, item, remote);
    else
        handle_with(ctx, message, item, remote, message->parcel->arguments);
}

/* What the application gets, or who asked host.subscribe. */
static struct berth_message give(const struct message *message)
{
    const struct berth_parcel *parcel = message->parcel;
    return (struct berth_message){
        .size = sizeof(struct berth_message),
        .topic = parcel->topic,
        .fields = parcel->json ? parcel->json : "{}",
        .sender = parcel->sender,
        .dropped = __atomic_exchange_n(&message->subscription->dropped, 0, __ATOMIC_RELAXED),
    };
}

/* It will be tried again, and tell then of those that were lost before it. */
static void take_back(const struct message *message, uint64_t told)
{
    if (told)
        __atomic_add_fetch(&message->subscription->dropped, told, __ATOMIC_RELAXED);
}

static void begin_for(struct berth_thread *thread, const struct berth_parcel *parcel)
{
    thread->topic = parcel->topic;
    thread->echo = parcel->echo;
    thread->deadline = parcel->deadline;
    thread->cause = parcel->cause;
    thread->cancelled = parcel->cause ? &parcel->cause->recalled : NULL;
}

/* The handler has been; topic and echo are still the message's. */
static void handled(struct berth_thread *thread)
{
    thread->deadline = BERTH_FOREVER;
    thread->cause = NULL;
    thread->cancelled = NULL;
}

/* It may have ended its subscription before. */
static void tell_listener(berth_ctx *ctx, const struct message *message)
{
    const struct berth_subscription *subscription = message->subscription;
    const struct berth_module *module = subscription->module;
    if (module->app_listener && !__atomic_load_n(&subscription->gone, __ATOMIC_ACQUIRE))
        module->app_listener->failed(ctx, module->app_user);
}

/* What has become of the turn; told: of how many lost ones. */
static inline enum berth_mail_next finish(berth_ctx *ctx, struct message *message,
                                          struct berth_item *item, uint64_t told)
{
    struct berth_thread *thread = berth_thread_of(ctx);
    enum berth_mail_next next = BERTH_MAIL_DONE;
    if (BERTH_I_UNLIKELY(berth_failed(ctx)))
        tell_listener(ctx, message);
    if (BERTH_I_UNLIKELY(berth_failed(ctx)))
        next = failed(ctx, message, item ? item->generation : NULL, item ? item->signature : NULL);
    else
        count_delivered(message);
    if (BERTH_I_UNLIKELY(next == BERTH_MAIL_RETRY))
        take_back(message, told);
    thread->topic = "";
    thread->echo = false;
    return next;
}

/* given: to the application; NULL: there is an item, of the module's handler. */
BERTH_I_INLINE enum berth_mail_next turn(berth_ctx *ctx, struct message *message,
                                         struct berth_item *item, const struct berth_message *given)
{
    struct berth_thread *thread = berth_thread_of(ctx);
    const struct berth_module *module = message->subscription->module;
    begin_for(thread, message->parcel);
    berth_flow_turn_begin(ctx, message->flow);
    if (item)
        handle(ctx, message, item, NULL);
    else
        module->app_fn(ctx, given, module->app_user);
    berth_flow_end(ctx, message->flow, berth_error_code(ctx));
    handled(thread);
    return finish(ctx, message, item, given ? given->dropped : 0);
}

static void turn_back(struct berth_started *remote)
{
    berth_mailbox_back(remote->user);
}

/* It goes on elsewhere, and no thread waits. */
static enum berth_mail_next leave(berth_ctx *ctx, struct message *message)
{
    struct berth_thread *thread = berth_thread_of(ctx);
    struct berth_module *module = message->subscription->module;
    handled(thread);
    thread->topic = "";
    thread->echo = false;
    berth_started_watch(message->remote, turn_back, module);
    return BERTH_MAIL_AWAY;
}

/* The item's worker handles it. */
static enum berth_mail_next turn_away(berth_ctx *ctx, struct message *message,
                                      struct berth_item *item)
{
    struct berth_module *module = message->subscription->module;
    struct berth_thread *thread = berth_thread_of(ctx);
    begin_for(thread, message->parcel);
    thread->deadline = berth_deadline(ctx, module->host);
    message->remote = berth_started_direct(ctx, item, message->parcel->topic);
    if (message->remote) {
        message->began = berth_flow_turn_away(ctx, message->flow);
        berth_mailbox_away(module);
        handle(ctx, message, item, message->remote);
        return leave(ctx, message);
    }
    handled(thread);
    berth_fault_raise_format(ctx, BERTH_RESOURCE_EXHAUSTED, "out of memory");
    return finish(ctx, message, item, 0);
}

/* Who asked host.subscribe gets it, by a call that is started, if its module is in a worker. */
static enum berth_mail_next turn_passed_on(berth_ctx *ctx, struct message *message)
{
    struct berth_module *module = message->subscription->module;
    struct berth_thread *thread = berth_thread_of(ctx);
    const struct berth_message given = give(message);
    begin_for(thread, message->parcel);
    message->remote = module->app_listener->start(ctx, &given, module->app_user);
    if (message->remote) {
        message->remote->lost = given.dropped;
        message->began = berth_flow_turn_away(ctx, message->flow);
        berth_mailbox_away(module);
        return leave(ctx, message);
    }
    handled(thread);
    return berth_failed(ctx) ? finish(ctx, message, NULL, given.dropped)
                             : turn(ctx, message, NULL, &given);
}

static enum berth_mail_next turn_of_application(berth_ctx *ctx, struct message *message)
{
    const struct berth_module *module = message->subscription->module;
    if (module->app_listener)
        return turn_passed_on(ctx, message);
    const struct berth_message given = give(message);
    return turn(ctx, message, NULL, &given);
}

/*
 * A worker that had ended before has not got it: another one will. generation: whose turn it is;
 * NULL: it was passed on.
 */
static enum berth_mail_next message_resume(berth_ctx *ctx, struct berth_generation *generation,
                                           struct berth_mail *mail)
{
    struct message *message = message_of(mail);
    struct berth_started *remote = message->remote;
    struct berth_item *item = generation ? &generation->handlers[remote->item->index] : NULL;
    int code = remote->code;
    uint64_t told = remote->lost;
    message->remote = NULL;
    if (code != BERTH_INVOKED_UNSENT) {
        berth_thread_of(ctx)->topic = message->parcel->topic;
        berth_thread_of(ctx)->echo = message->parcel->echo;
        berth_flow_back(message->flow, message->began, code);
    }
    if (code > BERTH_OK && item)
        berth_frame_push(ctx, BERTH_FRAME_OBJECT | (uintptr_t)item);
    if (code > BERTH_OK)
        berth_fault_pass_on(ctx, code, remote->text ? remote->text : "out of memory");
    if (code > BERTH_OK && item)
        berth_frame_pop(ctx);
    berth_started_unref(remote);
    if (code != BERTH_INVOKED_UNSENT)
        return finish(ctx, message, item, told);
    take_back(message, told);
    return BERTH_MAIL_AGAIN;
}

static struct berth_started *message_awaits(const struct berth_mail *mail)
{
    struct berth_started *remote = berth_container(mail, struct message, mail)->remote;
    berth_started_ref(remote);
    return remote;
}

/* Its handler has. */
static enum berth_mail_next gone(const struct message *message)
{
    count_fate(message, BERTH_FATE_LEFT);
    return BERTH_MAIL_DONE;
}

static enum berth_mail_next message_run(berth_ctx *ctx, struct berth_generation *generation,
                                        struct berth_mail *mail)
{
    struct message *message = message_of(mail);
    struct berth_subscription *subscription = message->subscription;
    struct berth_item *item = generation ? find_handler(generation, subscription) : NULL;
    if (__atomic_load_n(&subscription->gone, __ATOMIC_ACQUIRE) || (generation && !item))
        return gone(message); /* with a reload perhaps */
    if (item) {               /* needed soon */
        __builtin_prefetch(item->direct);
        __builtin_prefetch(__extension__(const void *) item->code);
    }
    if (generation) /* which is no echo of this message */
        tell_lost(generation, subscription);
    if (may_be_over(message->parcel) && expires(message, item))
        return BERTH_MAIL_DONE;
    if (!item)
        return turn_of_application(ctx, message);
    bool away = item->generation->placement->start;
    return away ? turn_away(ctx, message, item) : turn(ctx, message, item, NULL);
}

static inline void message_release(struct message *message)
{
    struct berth_parcel *parcel = message->parcel;
    if (BERTH_I_UNLIKELY(message->apart))
        berth_free(message);
    berth_parcel_unref(parcel);
}

static void message_free(struct message *message)
{
    berth_subscription_give(message->subscription, 1);
    message_release(message);
}

static void count_lost(const struct message *message, enum berth_mail_end how)
{
    if (how == BERTH_MAIL_DROPPED) {
        count_fate(message, BERTH_FATE_DROPPED);
        __atomic_add_fetch(&message->subscription->dropped, 1, __ATOMIC_RELAXED);
    }
    if (how == BERTH_MAIL_LEFT) /* a turn has counted it otherwise */
        count_fate(message, BERTH_FATE_LEFT);
}

static void message_end(berth_ctx *ctx, struct berth_mail *mail, enum berth_mail_end how)
{
    struct message *message = message_of(mail);
    if (BERTH_I_UNLIKELY(how != BERTH_MAIL_HANDLED)) {
        count_lost(message, how);
        message_free(message);
        return;
    }
    berth_subscription_give_later(berth_thread_of(ctx), message->subscription);
    message_release(message);
}

/* Its values come from the cache of who has sent it. */
static void message_foresee(struct berth_mail *mail)
{
    const char *parcel = (const char *)message_of(mail)->parcel;
    for (size_t i = 0; i < FORESEEN; i++)
        __builtin_prefetch(parcel + i * 64);
}

static const struct berth_mail_ops message_ops = {
    .run = message_run,
    .resume = message_resume,
    .awaits = message_awaits,
    .end = message_end,
    .foresee = message_foresee,
    .counted = true,
    .plain = true,
};

int berth_message_post(struct berth_subscription *subscription, struct berth_parcel *parcel,
                       void *place, struct berth_flow *flow, const struct berth_delivery *how,
                       struct berth_message_ticket *ret_ticket)
{
    struct message *message = place ? place : berth_malloc(sizeof *message);
    if (!message)
        return BERTH_MESSAGE_NO_MEMORY;
    message->parcel = parcel; /* the rest is set when it is needed: there are many */
    message->subscription = subscription;
    message->flow = flow;
    message->tries = 0;
    message->apart = !place;
    message->mail.ops = &message_ops;
    message->mail.generation = NULL;
    message->mail.size = sizeof *message + parcel->size;
    message->mail.priority = parcel->priority;
    message->mail.waiting = message->mail.withdrawn = false;
    message->mail.turn = BERTH_TURN_NONE;
    message->mail.sender = parcel->sender;
    int code = berth_mailbox_post(subscription->module, &message->mail, how);
    __builtin_prefetch(__atomic_load_n(&subscription->module->current, __ATOMIC_RELAXED));
    if (code == BERTH_MAIL_WAITS)
        *ret_ticket = (struct berth_message_ticket){ &message->mail, flow };
    else if (code != BERTH_OK && !place)
        berth_free(message);
    return code;
}

void berth_message_refused(struct berth_host *host, struct berth_subscription *subscription,
                           struct berth_flow *flow, int code, bool lost)
{
    berth_flow_refused(flow, code);
    if (!flow)
        __atomic_add_fetch(&host->uncounted, 1, __ATOMIC_RELAXED);
    berth_flow_fate(host, flow, lost ? BERTH_FATE_DROPPED : BERTH_FATE_REJECTED);
    if (lost)
        __atomic_add_fetch(&subscription->dropped, 1, __ATOMIC_RELAXED);
}

void berth_message_waited(berth_ctx *ctx, const struct berth_message_ticket *ticket, int code)
{
    struct message *message = message_of(ticket->mail);
    if (code == BERTH_OK) { /* the mail may have been handled already */
        berth_message_count(berth_host_of(ctx), berth_thread_of(ctx), ticket->flow);
        return;
    }
    /* the application's may have ended, and its module with it */
    berth_message_refused(berth_host_of(ctx), message->subscription, ticket->flow, code, false);
    message_free(message);
}
