/* SPDX-License-Identifier: MIT */
#include "runtime/core/message.h"
#include "runtime/base/memory.h"
#include "runtime/core/call.h"
#include "runtime/core/flow.h"
#include "runtime/core/log.h"
#include "runtime/core/mailbox.h"
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

/* ---- parcels ---- */

void berth_parcel_unref(struct berth_parcel *parcel)
{
    if (!parcel || __atomic_sub_fetch(&parcel->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    berth_free(parcel->json);
    berth_free(parcel);
}

static int add_json(struct berth_parcel *parcel, const struct berth_host *host,
                    const struct berth_signature *signature, struct berth_error *error)
{
    struct berth_buffer buffer;
    size_t size = 0;
    berth_buffer_init(&buffer, host->options.max_message);
    int code = berth_json_write_arguments(signature, parcel->arguments, &buffer, error);
    if (code == BERTH_OK && !(parcel->json = berth_buffer_take(&buffer, &size)))
        code = berth_error_nomem(error);
    berth_buffer_deinit(&buffer);
    parcel->size += size;
    return code;
}

int berth_parcel_new(struct berth_host *host, const struct berth_parcel_setup *setup,
                     const void *const *arguments, struct berth_parcel **ret_parcel,
                     struct berth_error *error)
{
    size_t room, most = host->options.max_message;
    int code = berth_arguments_room(setup->signature, arguments, &room, error);
    if (code != BERTH_OK)
        return code;
    if (room > most)
        return berth_error_set(error, BERTH_RESOURCE_EXHAUSTED,
                               "larger than the limit of %zu bytes", most);
    struct berth_parcel *parcel = berth_malloc(sizeof *parcel + room);
    if (!parcel)
        return berth_error_nomem(error);
    *parcel = (struct berth_parcel){
        .refs = 1,
        .size = room,
        .topic = setup->topic,
        .sender = setup->sender,
        .arguments = berth_arguments_place(setup->signature, arguments, parcel + 1),
        .echo = setup->echo,
    };
    if (setup->any)
        code = add_json(parcel, host, setup->signature, error);
    if (code == BERTH_OK)
        *ret_parcel = parcel;
    else
        berth_parcel_unref(parcel);
    return code;
}

/* ---- a turn ---- */

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
                       struct berth_flow *flow, const struct berth_delivery *how)
{
    struct message *message = berth_calloc(1, sizeof *message);
    int code = BERTH_RESOURCE_EXHAUSTED;
    if (message) {
        *message = (struct message){ .mail = { .ops = &message_ops, .size = parcel->size },
                                     .parcel = parcel,
                                     .subscription = subscription,
                                     .flow = flow };
        __atomic_add_fetch(&parcel->refs, 1, __ATOMIC_RELAXED);
        __atomic_add_fetch(&subscription->refs, 1, __ATOMIC_RELAXED);
        code = berth_mailbox_post(subscription->module, &message->mail, how);
    }
    if (code == BERTH_OK) {
        berth_flow_message(berth_thread_mine(&subscription->module->host->threads), flow);
        return code;
    }
    berth_flow_refused(flow, code);
    if (message)
        message_end(&message->mail, BERTH_MAIL_WITHDRAWN);
    return code;
}
