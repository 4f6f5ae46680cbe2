/* SPDX-License-Identifier: MIT */
#include "runtime/core/message.h"
#include "runtime/base/memory.h"
#include "runtime/core/call.h"
#include "runtime/core/flow.h"
#include "runtime/core/log.h"
#include "runtime/core/mailbox.h"
#include "runtime/core/parcel.h"
#include "runtime/core/topic.h"

#include <stdio.h>
#include <string.h>

/* A parcel in one mailbox. */
struct message {
    struct berth_mail mail;
    struct berth_parcel *parcel;
    struct berth_subscription *subscription;
    struct berth_flow *flow; /* or NULL */
};

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

/* By a handler of the module's. */
static void handle(berth_ctx *ctx, struct berth_generation *generation, struct message *message)
{
    const struct berth_parcel *parcel = message->parcel;
    struct berth_item *item = find_handler(generation, message->subscription);
    if (!item) /* the handler has gone with a reload */
        return;
    const char *const any[] = { parcel->topic, parcel->json ? parcel->json : "{}" };
    const void *const texts[] = { &any[0], &any[1] };
    bool takes_any = generation->image->manifest->subscribes[item->index].any;
    berth_flow_turn_begin(ctx, message->flow);
    berth_frame_push(ctx, BERTH_FRAME_OBJECT | (uintptr_t)item);
    berth_item_invoke(ctx, item, parcel->topic, takes_any ? texts : parcel->arguments, NULL);
    berth_frame_pop(ctx);
    berth_flow_end(ctx, message->flow, berth_error_code(ctx));
    if (berth_failed(ctx)) {
        char what[300];
        snprintf(what, sizeof what, "a message to %s", parcel->topic);
        berth_log_fault(ctx, generation, what);
    }
}

/* By the application, or who asked host.subscribe. */
static void call_back(berth_ctx *ctx, const struct message *message)
{
    const struct berth_parcel *parcel = message->parcel;
    struct berth_subscription *subscription = message->subscription;
    const struct berth_module *module = subscription->module;
    struct berth_message given = {
        .size = sizeof given,
        .topic = parcel->topic,
        .fields = parcel->json ? parcel->json : "{}",
        .sender = parcel->sender,
        .dropped = __atomic_exchange_n(&subscription->dropped, 0, __ATOMIC_RELAXED),
    };
    berth_flow_turn_begin(ctx, message->flow);
    module->app_fn(ctx, &given, module->app_user);
    berth_flow_end(ctx, message->flow, berth_error_code(ctx));
    berth_fault_clear(ctx);
}

static enum berth_mail_next message_run(berth_ctx *ctx, struct berth_generation *generation,
                                        struct berth_mail *mail)
{
    struct berth_thread *thread = berth_thread_of(ctx);
    struct message *message = message_of(mail);
    if (__atomic_load_n(&message->subscription->gone, __ATOMIC_ACQUIRE))
        return BERTH_MAIL_DONE;
    if (generation) /* which is no echo of this message */
        tell_lost(generation, message->subscription);
    thread->topic = message->parcel->topic;
    thread->echo = message->parcel->echo;
    if (generation)
        handle(ctx, generation, message);
    else
        call_back(ctx, message);
    thread->topic = "";
    thread->echo = false;
    return BERTH_MAIL_DONE;
}

static void message_end(struct berth_mail *mail, enum berth_mail_end how)
{
    struct message *message = message_of(mail);
    if (how == BERTH_MAIL_DROPPED) {
        berth_flow_dropped(message->flow);
        __atomic_add_fetch(&message->subscription->dropped, 1, __ATOMIC_RELAXED);
    }
    berth_parcel_unref(message->parcel);
    berth_subscription_unref(message->subscription);
    berth_free(message);
}

static const struct berth_mail_ops message_ops = { .run = message_run,
                                                   .end = message_end,
                                                   .counted = true };

int berth_message_post(struct berth_subscription *subscription, struct berth_parcel *parcel,
                       struct berth_flow *flow, const struct berth_delivery *how,
                       struct berth_message_ticket *ret_ticket)
{
    struct message *message = berth_calloc(1, sizeof *message);
    if (!message)
        return BERTH_RESOURCE_EXHAUSTED;
    *message = (struct message){ .mail = { .ops = &message_ops,
                                           .sender = parcel->sender,
                                           .size = parcel->size,
                                           .priority = parcel->priority },
                                 .parcel = parcel,
                                 .subscription = subscription,
                                 .flow = flow };
    __atomic_add_fetch(&parcel->refs, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&subscription->refs, 1, __ATOMIC_RELAXED);
    int code = berth_mailbox_post(subscription->module, &message->mail, how);
    if (code == BERTH_OK)
        berth_flow_message(berth_thread_mine(&subscription->module->host->threads), flow);
    else if (code == BERTH_MAIL_WAITS)
        *ret_ticket = (struct berth_message_ticket){ &message->mail, flow };
    else
        message_end(&message->mail, BERTH_MAIL_WITHDRAWN);
    return code;
}

void berth_message_waited(berth_ctx *ctx, const struct berth_message_ticket *ticket, int code)
{
    if (code == BERTH_OK) { /* the mail may have been handled already */
        berth_flow_message(berth_thread_of(ctx), ticket->flow);
        return;
    }
    berth_flow_refused(ticket->flow, code);
    message_end(ticket->mail, BERTH_MAIL_WITHDRAWN);
}
