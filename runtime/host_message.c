/* SPDX-License-Identifier: MIT */
/* The application's messages, and what it can see of the host: <berth/host.h>. */
#include <berth/host.h>

#include "runtime/base/memory.h"
#include "runtime/base/process.h"
#include "runtime/core/call.h"
#include "runtime/core/mailbox.h"
#include "runtime/core/registry.h"
#include "runtime/core/started.h"
#include "runtime/core/timeout.h"
#include "runtime/core/topic.h"
#include "runtime/host.h"
#include "runtime/host_message.h"
#include "runtime/reload/quarantine.h"

#include <string.h>

int berth_publish_json(berth_ctx *ctx, const char *name, const char *fields)
{
    if (berth_process_is_forked())
        return berth_call_refuse_forked(ctx);
    struct berth_host *host = berth_host_of(ctx);
    struct berth_error error = { 0 };
    const void **arguments;
    size_t size = fields ? strlen(fields) : 0;
    int code = BERTH_OK;
    if (size > host->options.max_message)
        code = berth_error_set(&error, BERTH_RESOURCE_EXHAUSTED,
                               "the message has %zu bytes; max_message is %zu", size,
                               host->options.max_message);
    struct berth_posting posting = { .host = host, .ctx = ctx, .sender = "" };
    bool posted = false;
    pthread_rwlock_rdlock(&host->topic_lock);
    posting.topic = berth_map_get(&host->topics, name);
    posting.declared = posting.topic ? berth_topic_declared(posting.topic) : NULL;
    if (code == BERTH_OK && !posting.declared)
        code = berth_error_set(&error, BERTH_NOT_FOUND, "no loaded module declares this topic");
    if (code == BERTH_OK)
        code = berth_json_read_arguments(posting.declared->signature, fields, size,
                                         &berth_thread_of(ctx)->arena, &arguments, &error);
    if (code == BERTH_OK) {
        posted = true;
        berth_posting_begin(&posting, arguments, &error);
    }
    pthread_rwlock_unlock(&host->topic_lock);
    if (posted)
        code = berth_posting_finish(&posting, &error);
    if (code != BERTH_OK)
        berth_fault_raise_format(ctx, code, "topic %s: %s", name, error.text);
    return code;
}

static int read_receipt(const struct berth_subscribe_options *given, struct berth_receipt *ret_how,
                        struct berth_error *error)
{
    struct berth_subscribe_options options = { .size = sizeof options };
    int code = given ? berth_take_options(given, sizeof options, &options, sizeof options,
                                          "berth_subscribe_options", error)
                     : BERTH_OK;
    if (code != BERTH_OK)
        return code;
    if ((unsigned)options.full > BERTH_FULL_DROP_OLDEST)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "full is %d: it is one of enum berth_full", (int)options.full);
    if (options.tries < 0 || options.tries > BERTH_TRIES_MAX)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT, "tries is %d: there are 1 to %d",
                               options.tries, BERTH_TRIES_MAX);
    if (options.group && !berth_identifier_valid(options.group))
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "\"%.64s\" cannot be a group's name: write [a-z][a-z0-9_]*",
                               options.group);
    *ret_how = (struct berth_receipt){ options.full, options.tries ? (unsigned)options.tries : 1,
                                       options.group };
    return BERTH_OK;
}

int berth_receiver_subscribe(berth_host *host, const char *pattern,
                             const struct berth_subscribe_options *options,
                             const struct berth_receiver *receiver, berth_message_fn fn, void *user,
                             uint64_t *ret_id, struct berth_error *error)
{
    struct berth_receipt how;
    if (berth_process_is_forked())
        return berth_process_refuse(error);
    if (!fn)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT, "a subscription needs a function");
    int code = read_receipt(options, &how, error);
    if (code != BERTH_OK)
        return code;
    struct berth_module *module = berth_module_new(host, "");
    if (!module)
        return berth_error_nomem(error);
    module->app_fn = fn;
    module->app_listener = receiver ? receiver->listener : NULL;
    module->app_user = user;
    const struct berth_subscription_setup setup = {
        .module = module,
        .pattern = pattern,
        .function = receiver ? receiver->function : "",
        .holder = receiver && *receiver->holder ? receiver->holder : NULL,
        .how = how,
    };
    code = berth_subscription_new(host, &setup, &module->app_subscription, error);
    if (code == BERTH_OK) {
        pthread_mutex_lock(&host->lock);
        uint64_t id = berth_idmap_add(&host->app_subscriptions, module);
        pthread_mutex_unlock(&host->lock);
        if (id) {
            if (ret_id)
                *ret_id = id;
            berth_mailbox_resume(module);
            return BERTH_OK;
        }
        berth_subscription_end(host, module->app_subscription);
        code = berth_error_nomem(error);
    }
    berth_module_free(module);
    return code;
}

int berth_host_subscribe_with(berth_host *host, const char *pattern,
                              const struct berth_subscribe_options *options, berth_message_fn fn,
                              void *user, uint64_t *ret_id, struct berth_error *error)
{
    return berth_receiver_subscribe(host, pattern, options, NULL, fn, user, ret_id, error);
}

int berth_host_subscribe(berth_host *host, const char *pattern, berth_message_fn fn, void *user,
                         uint64_t *ret_id, struct berth_error *error)
{
    return berth_host_subscribe_with(host, pattern, NULL, fn, user, ret_id, error);
}

bool berth_subscriber_end(berth_host *host, uint64_t id, int64_t deadline)
{
    if (berth_process_is_forked())
        return true;
    pthread_mutex_lock(&host->lock);
    struct berth_module *module = berth_idmap_remove(&host->app_subscriptions, id);
    pthread_mutex_unlock(&host->lock);
    if (!module)
        return true;
    berth_subscription_end(host, module->app_subscription);
    return berth_mailbox_retire(module, deadline);
}

void berth_host_unsubscribe(berth_host *host, uint64_t id)
{
    berth_subscriber_end(host, id, BERTH_FOREVER);
}

/* ---- what is there ---- */

/* The buffer's text as a result, unless there is an error already. */
static int take_text(struct berth_buffer *buffer, int code, char **ret_text,
                     struct berth_error *error)
{
    char *text = code == BERTH_OK ? berth_buffer_take(buffer, NULL) : NULL;
    berth_buffer_deinit(buffer);
    if (code == BERTH_OK && !text)
        code = berth_error_nomem(error);
    if (code == BERTH_OK)
        *ret_text = text;
    return code;
}

static void member(struct berth_buffer *buffer, const char *name, const char *text)
{
    berth_buffer_format(buffer, ",\"%s\":", name);
    berth_json_write_string(text, strlen(text), buffer);
}

/* A message that its worker has. */
static void print_turn(const struct berth_generation *generation, struct berth_buffer *buffer)
{
    int64_t since;
    struct berth_started *turn = berth_mailbox_turn_of(generation, &since);
    if (!turn)
        return;
    berth_buffer_format(buffer, ",\"turn\":{\"handler\":\"%s\",\"ns\":%lld}", turn->name,
                        (long long)(berth_now() - since));
    berth_started_unref(turn);
}

static void print_module(struct berth_module *module, struct berth_buffer *buffer)
{
    static const char *const states[] = { "absent", "running", "restarting", "failed" };
    const struct berth_generation *generation = module->current;
    struct berth_carrier *carrier = __atomic_load_n(&generation->carrier, __ATOMIC_ACQUIRE);
    berth_buffer_text(buffer, "{\"name\":");
    berth_json_write_string(module->name, strlen(module->name), buffer);
    member(buffer, "version", generation->image->manifest->version);
    berth_buffer_format(buffer, ",\"generation\":%u", generation->number);
    member(buffer, "placement", berth_generation_placement(generation));
    member(buffer, "state", states[module->state]);
    if (*module->why)
        member(buffer, "why", module->why);
    int pid = carrier ? carrier->ops->pid(carrier) : 0;
    if (pid)
        berth_buffer_format(buffer, ",\"pid\":%d", pid);
    if (*generation->image->file) {
        member(buffer, "file", generation->image->file);
        berth_buffer_format(buffer, ",\"content\":\"%016llx\"",
                            (unsigned long long)generation->image->digest);
    }
    const struct berth_mailbox_count waiting = berth_mailbox_count(module);
    berth_buffer_format(buffer, ",\"mailbox\":{\"messages\":%zu,\"bytes\":%zu}", waiting.messages,
                        waiting.bytes);
    print_turn(generation, buffer);
    berth_timeouts_print(module, buffer);
    berth_buffer_format(buffer, ",\"handles\":%zu}", module->handles);
}

int berth_host_list(berth_host *host, char **ret_json, struct berth_error *error)
{
    if (berth_process_is_forked())
        return berth_process_refuse(error);
    struct berth_buffer buffer;
    const char *comma = "";
    berth_buffer_init(&buffer, 0);
    berth_buffer_text(&buffer, "{\"modules\":[");
    pthread_mutex_lock(&host->lock);
    berth_list_each(&host->order, link) {
        berth_buffer_text(&buffer, comma);
        print_module(berth_container(link, struct berth_module, link), &buffer);
        comma = ",";
    }
    berth_buffer_text(&buffer, "],\"quarantined\":");
    berth_quarantine_print(host, &buffer);
    pthread_mutex_unlock(&host->lock);
    berth_buffer_text(&buffer, "}");
    return take_text(&buffer, BERTH_OK, ret_json, error);
}

int berth_host_show(berth_host *host, const char *name, char **ret_json, struct berth_error *error)
{
    if (berth_process_is_forked())
        return berth_process_refuse(error);
    struct berth_buffer buffer;
    berth_buffer_init(&buffer, 0);
    pthread_mutex_lock(&host->lock);
    struct berth_module *module = berth_module_find(host, name);
    int code = module && module->current
                   ? berth_manifest_json(module->current->image->manifest, &buffer, error)
                   : berth_error_set(error, BERTH_NOT_FOUND, "no module %s is loaded", name);
    pthread_mutex_unlock(&host->lock);
    return take_text(&buffer, code, ret_json, error);
}

int berth_manifest_read(const char *file, char **ret_json, char **ret_text,
                        struct berth_error *error)
{
    struct berth_image *image;
    struct berth_buffer buffer;
    char *json = NULL, *text = NULL;
    int code = berth_image_read(file, &image, error);
    if (code != BERTH_OK)
        return code;
    if (ret_json) {
        berth_buffer_init(&buffer, 0);
        code =
            take_text(&buffer, berth_manifest_json(image->manifest, &buffer, error), &json, error);
    }
    if (code == BERTH_OK && ret_text) {
        berth_buffer_init(&buffer, 0);
        code =
            take_text(&buffer, berth_manifest_print(image->manifest, &buffer, error), &text, error);
    }
    berth_image_free(image);
    if (code == BERTH_OK && ret_json)
        *ret_json = json;
    else
        berth_free(json);
    if (code == BERTH_OK && ret_text)
        *ret_text = text;
    else
        berth_free(text);
    return code;
}
