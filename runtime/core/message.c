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
    berth_free(parcel->topic);
    berth_free(parcel->sender);
    berth_free(parcel->packed);
    berth_free(parcel->json);
    berth_free(parcel);
}

/* The buffer's text, which is then empty. */
static int take(struct berth_buffer *buffer, int code, char **ret_data, size_t *ret_size,
                struct berth_error *error)
{
    if (code != BERTH_OK)
        return code;
    *ret_data = berth_buffer_take(buffer, ret_size);
    return *ret_data ? BERTH_OK : berth_error_nomem(error);
}

int berth_parcel_new(struct berth_host *host, const struct berth_parcel_setup *setup,
                     const void *const *arguments, struct berth_parcel **ret_parcel,
                     struct berth_error *error)
{
    struct berth_buffer buffer;
    struct berth_parcel *parcel = berth_calloc(1, sizeof *parcel);
    size_t json_size = 0;
    if (!parcel)
        return berth_error_nomem(error);
    parcel->refs = 1;
    parcel->echo = setup->echo;
    parcel->topic = berth_strdup(setup->topic);
    parcel->sender = berth_strdup(setup->sender);
    berth_buffer_init(&buffer, host->options.max_message);
    int code = berth_arguments_check(setup->signature, arguments, error);
    if (code == BERTH_OK && setup->signature->count) {
        code = berth_arguments_pack(setup->signature, arguments, &buffer, NULL, error);
        code = take(&buffer, code, &parcel->packed, &parcel->packed_size, error);
    }
    if (code == BERTH_OK && setup->any) {
        code = berth_json_write_arguments(setup->signature, arguments, &buffer, error);
        code = take(&buffer, code, &parcel->json, &json_size, error);
    }
    berth_buffer_deinit(&buffer);
    if (code == BERTH_OK && (!parcel->topic || !parcel->sender))
        code = berth_error_nomem(error);
    parcel->size = parcel->packed_size + strlen(setup->topic) + json_size;
    if (code == BERTH_OK)
        *ret_parcel = parcel;
    else
        berth_parcel_unref(parcel);
    return code;
}

/* ---- a turn ---- */

/* The arguments that a handler gets, in the thread's arena. */
static int message_arguments(berth_ctx *ctx, const struct berth_parcel *parcel,
                             const struct berth_manifest_subscribe *handler,
                             const void ***ret_arguments, struct berth_error *error)
{
    struct berth_arena *arena = &berth_thread_of(ctx)->arena;
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
    const void **arguments;
    struct berth_error error;
    int code = message_arguments(ctx, parcel, &generation->image->manifest->subscribes[item->index],
                                 &arguments, &error);
    berth_flow_turn_begin(ctx, message->flow);
    berth_frame_push(ctx, BERTH_FRAME_OBJECT | (uintptr_t)item);
    if (code != BERTH_OK)
        berth_fault_raise_format(ctx, code, "%s", error.text);
    else
        berth_item_invoke(ctx, item, parcel->topic, arguments, NULL);
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
        berth_flow_message(flow);
        return code;
    }
    berth_flow_refused(flow, code);
    if (message)
        message_end(&message->mail, BERTH_MAIL_WITHDRAWN);
    return code;
}
