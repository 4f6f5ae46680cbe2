/* SPDX-License-Identifier: MIT */
#include "runtime/host_module.h"

#include <berth/host.h>

#include "runtime/base/error.h"
#include "runtime/base/memory.h"
#include "runtime/core/call.h"
#include "runtime/core/event.h"
#include "runtime/core/flow.h"
#include "runtime/core/kept.h"
#include "runtime/core/log.h"
#include "runtime/core/message.h"
#include "runtime/core/more.h"
#include "runtime/core/permit.h"
#include "runtime/core/registry.h"
#include "runtime/host.h"
#include "runtime/host_message.h"
#include "runtime/reload/lifecycle.h"
#include "runtime/reload/outside.h"
#include "runtime/value/json.h"
#include "runtime/value/scan.h"

#include <stdio.h>
#include <string.h>

struct berth_host_module {
    pthread_mutex_t lock;           /* of the subscriptions */
    struct berth_map subscriptions; /* id in decimal -> struct subscription */
    const struct berth_type *string;
    const struct berth_signature *delivery; /* of functions that get messages */
};

/*
 * FUNCTION(ret, name, "words", (type, parameter, "words")...) { body }: as BERTH_EXPORT, with the
 * record in a table of ours. Notes would be found in every program that the runtime is linked into.
 */
#define FUNCTION(ret, ...) FUNCTION_(ret, BERTH_I_FIRST(__VA_ARGS__), __VA_ARGS__)
#define FUNCTION_(...)     FUNCTION_X(__VA_ARGS__)
#define FUNCTION_X(ret, name, same, ...)                                                  \
    static const char record_##name[] =                                                   \
        "export=" #name "\0returns=" #ret                                                 \
        "\0doc=" BERTH_I_FIRST(__VA_ARGS__) "\0" BERTH_I_EACH(BERTH_I_TEXT, __VA_ARGS__); \
    static berth_##ret call_##name(berth_ctx *ctx BERTH_I_EACH(BERTH_I_DECL, __VA_ARGS__))

/* The same, as BERTH_EXPORT_ASYNC. */
#define ASYNC(ret, ...) ASYNC_(ret, BERTH_I_FIRST(__VA_ARGS__), __VA_ARGS__)
#define ASYNC_(...)     ASYNC_X(__VA_ARGS__)
#define ASYNC_X(ret, name, same, ...)                                                     \
    static const char record_##name[] =                                                   \
        "export=" #name "\0!async=1\0returns=" #ret                                       \
        "\0doc=" BERTH_I_FIRST(__VA_ARGS__) "\0" BERTH_I_EACH(BERTH_I_TEXT, __VA_ARGS__); \
    static void call_##name(berth_ctx *ctx BERTH_I_EACH(BERTH_I_DECL, __VA_ARGS__))

static struct berth_host_module *module_of(const berth_ctx *ctx)
{
    return berth_host_of(ctx)->own;
}

static void fail(berth_ctx *ctx, const struct berth_error *error)
{
    berth_fault_raise_format(ctx, error->code, "%s", error->text);
}

/* A text of malloc becomes a result, in the call's memory; "null" when it failed. */
static const char *give(berth_ctx *ctx, int code, char *text, struct berth_error *error)
{
    const char *result = NULL;
    if (code == BERTH_OK) {
        result = berth_arena_string(&berth_thread_of(ctx)->arena, text);
        berth_free(text);
        if (!result)
            berth_error_nomem(error);
    }
    if (!result)
        fail(ctx, error);
    return result ? result : "null";
}

static const char *give_buffer(berth_ctx *ctx, struct berth_buffer *buffer)
{
    struct berth_error error = { 0 };
    char *text = berth_buffer_take(buffer, NULL);
    return give(ctx, text ? BERTH_OK : berth_error_nomem(&error), text, &error);
}

/* ---- modules ---- */

FUNCTION(json, list,
         "What is loaded: name, version, generation, placement, state and mailbox of each; and old "
         "images that are still mapped.")
{
    char *text = NULL;
    struct berth_error error;
    int code = berth_host_list(berth_host_of(ctx), &text, &error);
    return give(ctx, code, text, &error);
}

FUNCTION(json, show, "The manifest of a loaded module.", (string, module))
{
    char *text = NULL;
    struct berth_error error;
    int code = berth_host_show(berth_host_of(ctx), module, &text, &error);
    return give(ctx, code, text, &error);
}

FUNCTION(json, read, "The manifest of a file; no code of it runs.",
         (string, file, "its path, absolute or from the host's own directory"))
{
    char *text = NULL;
    struct berth_error error;
    int code = berth_manifest_read(file, &text, NULL, &error);
    return give(ctx, code, text, &error);
}

static bool is_set(berth_optional_bool flag)
{
    return flag.present && flag.value;
}

FUNCTION(string, load, "Loads a module and starts it; returns its name.",
         (string, file, "its path"), (optional(string), name, "in this host; else its manifest's"),
         (optional(string), placement, "inline or process; else inline"),
         (optional(json), options, "an object with values for its options"),
         (optional(bool), probe, "map it in a worker first, if it was not seen before"))
{
    const struct berth_load_options how = { .size = sizeof how,
                                            .name = name,
                                            .placement = placement,
                                            .options = options,
                                            .flags = is_set(probe) ? BERTH_LOAD_PROBE : 0 };
    char loaded[BERTH_IDENTIFIER_MAX + 1];
    struct berth_error error;
    if (berth_permit_ask(ctx, BERTH_RIGHT_CALL, "host.load") != BERTH_OK)
        return "";
    if (berth_host_load_as(berth_host_of(ctx), file, &how, loaded, &error) == BERTH_OK)
        return berth_printf(ctx, "%s", loaded);
    fail(ctx, &error);
    return "";
}

FUNCTION(void, unload, "Ends a module: calls that are inside finish, then it stops and is gone.",
         (string, module), (optional(bool), force, "although others require it"))
{
    struct berth_error error;
    if (berth_permit_ask(ctx, BERTH_RIGHT_CALL, "host.unload") != BERTH_OK)
        return;
    if (berth_host_unload_as(berth_host_of(ctx), module, force.present && force.value, &error) !=
        BERTH_OK)
        fail(ctx, &error);
}

/* error: why it was refused; NULL: it was not. */
static void report_print(const struct berth_reload_report *report, const struct berth_error *error,
                         struct berth_buffer *buffer)
{
    const char *const texts[][2] = { { "step", report->step },
                                     { "from", report->from },
                                     { "to", report->to },
                                     { "from_build", report->from_build },
                                     { "to_build", report->to_build },
                                     { "quarantined", report->quarantined },
                                     { "why", report->why } };
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        { "in_flight", report->in_flight },
        { "drained", report->drained },
        { "waited", report->waited },
        { "dropped", report->dropped },
        { "messages", report->messages },
        { "state_bytes", report->state_bytes },
        { "state_version", report->state_version },
        { "longest_wait_ns", (uint64_t)report->longest_wait_ns },
        { "total_ns", (uint64_t)report->total_ns },
    };
    berth_buffer_format(buffer, "{\"unmapped\":%s", report->unmapped ? "true" : "false");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        berth_buffer_format(buffer, ",\"%s\":", texts[i][0]);
        berth_json_write_string(texts[i][1], strlen(texts[i][1]), buffer);
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        berth_buffer_format(buffer, ",\"%s\":%llu", numbers[i].name,
                            (unsigned long long)numbers[i].value);
    if (error) {
        berth_buffer_format(buffer,
                            ",\"error\":{\"code\":\"%s\",\"text\":", berth_code_name(error->code));
        berth_json_write_string(error->text, strlen(error->text), buffer);
        berth_buffer_text(buffer, "}");
    }
    berth_buffer_text(buffer, "}");
}

/* What a transaction has come to: its report, or its error; with refusal that in the report. */
static const char *reported(berth_ctx *ctx, int code, const struct berth_reload_report *report,
                            berth_optional_bool refusal, struct berth_error *error)
{
    struct berth_buffer buffer;
    bool there = *report->from != '\0';
    if (code != BERTH_OK && there)
        berth_error_prefix(error, "%s goes on as it was (refused in step %s): ", report->from,
                           report->step);
    if (code != BERTH_OK && !(there && is_set(refusal))) {
        fail(ctx, error);
        return "null";
    }
    berth_buffer_init(&buffer, 0);
    report_print(report, code == BERTH_OK ? NULL : error, &buffer);
    return give_buffer(ctx, &buffer);
}

/* right: the function of host that is to be granted. */
static const char *reload(berth_ctx *ctx, const char *right, const char *module,
                          const struct berth_reload_options *how, berth_optional_bool refusal)
{
    struct berth_reload_report report = { .size = sizeof report };
    struct berth_error error;
    if (berth_permit_ask(ctx, BERTH_RIGHT_CALL, right) != BERTH_OK)
        return "null";
    int code = berth_host_reload_with(berth_host_of(ctx), module, how, &report, &error);
    return reported(ctx, code, &report, refusal, &error);
}

static unsigned reload_flags(berth_optional_bool dry_run, berth_optional_bool probe)
{
    return (is_set(dry_run) ? BERTH_RELOAD_DRY_RUN : 0u) |
           (is_set(probe) ? BERTH_RELOAD_PROBE : 0u);
}

FUNCTION(json, reload,
         "Replaces a module's code while everything else goes on; returns the report.",
         (string, module), (optional(string), file, "its path; else that of the last load"),
         (optional(json), options, "an object with values for its options; else those it has"),
         (optional(bool), dry_run, "only stage and compare: nothing runs, and nothing changes"),
         (optional(bool), probe, "as of load"),
         (optional(bool), refusal,
          "a refused one is returned, too, with `error`; else it is a failure"))
{
    const struct berth_reload_options how = {
        .size = sizeof how, .file = file, .options = options, .flags = reload_flags(dry_run, probe)
    };
    return reload(ctx, "host.reload", module, &how, refusal);
}

FUNCTION(json, move,
         "Has a module run in another placement: a reload of the same file, with its options; "
         "returns the report.",
         (string, module), (string, placement, "inline or process"),
         (optional(bool), refusal, "as of reload"))
{
    const struct berth_reload_options how = { .size = sizeof how, .placement = placement };
    return reload(ctx, "host.move", module, &how, refusal);
}

typedef struct berth_renewal {
    berth_string module;
    berth_optional_string file;
    berth_optional_json options;
} berth_renewal;
typedef struct berth_array_renewal {
    const berth_renewal *data;
    size_t count;
} berth_array_renewal;

static const char record_renewal[] =
    "struct=renewal\0field=string:module:\0field=optional(string):file:as of reload"
    "\0field=optional(json):options:as of reload";

/* All of them, in one array. */
static const char *reported_all(berth_ctx *ctx, const struct berth_reload_report *reports,
                                size_t count, const struct berth_error *error)
{
    struct berth_buffer buffer;
    berth_buffer_init(&buffer, 0);
    for (size_t i = 0; i < count; i++) {
        berth_buffer_text(&buffer, i ? "," : "[");
        report_print(&reports[i], error, &buffer);
    }
    berth_buffer_text(&buffer, count ? "]" : "[]");
    return give_buffer(ctx, &buffer);
}

FUNCTION(json, reload_all,
         "Replaces several modules in one transaction, all or none; returns their reports.",
         (array(renewal), modules), (optional(bool), dry_run, "as of reload"),
         (optional(bool), probe, "as of load"), (optional(bool), refusal, "as of reload"))
{
    struct berth_error error;
    if (berth_permit_ask(ctx, BERTH_RIGHT_CALL, "host.reload") != BERTH_OK)
        return "null";
    const char **names = berth_alloc(ctx, (modules.count + 1) * sizeof *names);
    struct berth_reload_options *how = berth_alloc(ctx, (modules.count + 1) * sizeof *how);
    struct berth_reload_report *reports = berth_alloc(ctx, (modules.count + 1) * sizeof *reports);
    if (!names || !how || !reports)
        return "null";
    for (size_t i = 0; i < modules.count; i++) {
        names[i] = modules.data[i].module;
        reports[i].size = sizeof *reports;
        how[i] = (struct berth_reload_options){
            .size = sizeof *how,
            .file = modules.data[i].file,
            .options = modules.data[i].options,
            .flags = reload_flags(dry_run, probe),
        };
    }
    if (berth_host_reload_all(berth_host_of(ctx), names, how, modules.count, reports, &error) ==
        BERTH_OK)
        return reported_all(ctx, reports, modules.count, NULL);
    berth_error_prefix(&error, "all of them go on as they were: ");
    if (is_set(refusal))
        return reported_all(ctx, reports, modules.count, &error);
    fail(ctx, &error);
    return "null";
}

FUNCTION(json, rollback,
         "Goes back to an image that the module had before, by a reload; returns the report.",
         (string, module), (optional(u32), generation, "whose image; else the one before"),
         (optional(bool), refusal, "as of reload"))
{
    struct berth_reload_report report = { .size = sizeof report };
    struct berth_error error;
    if (berth_permit_ask(ctx, BERTH_RIGHT_CALL, "host.rollback") != BERTH_OK)
        return "null";
    int code = berth_host_rollback(berth_host_of(ctx), module,
                                   generation.present ? generation.value : 0, &report, &error);
    return reported(ctx, code, &report, refusal, &error);
}

FUNCTION(json, history, "The generations that a module has had, oldest first.", (string, module))
{
    char *text = NULL;
    struct berth_error error;
    int code = berth_host_history(berth_host_of(ctx), module, &text, &error);
    return give(ctx, code, text, &error);
}

FUNCTION(json, snapshot, "The state of a module, as its SAVE gives it, in base64.",
         (string, module))
{
    char *text = NULL;
    struct berth_error error;
    if (berth_permit_ask(ctx, BERTH_RIGHT_CALL, "host.snapshot") != BERTH_OK)
        return "null";
    int code = berth_host_snapshot(berth_host_of(ctx), module, &text, &error);
    return give(ctx, code, text, &error);
}

FUNCTION(json, restore,
         "Gives a module a state, by a reload of the code that it has; returns the report.",
         (string, module), (json, snapshot, "as snapshot has returned it"),
         (optional(bool), refusal, "as of reload"))
{
    struct berth_reload_report report = { .size = sizeof report };
    struct berth_error error;
    if (berth_permit_ask(ctx, BERTH_RIGHT_CALL, "host.restore") != BERTH_OK)
        return "null";
    int code = berth_host_restore(berth_host_of(ctx), module, snapshot, &report, &error);
    return reported(ctx, code, &report, refusal, &error);
}

FUNCTION(void, permit, "Changes what modules may do, now and for those that are loaded later.",
         (json, permissions, "as in a configuration: mode and grants"))
{
    struct berth_error error;
    if (berth_permit_ask(ctx, BERTH_RIGHT_CALL, "host.permit") == BERTH_OK &&
        berth_host_permit(berth_host_of(ctx), permissions, &error) != BERTH_OK)
        fail(ctx, &error);
}

FUNCTION(json, permissions,
         "What modules may do: mode, grants, what of the manifests is allowed and what is missing.")
{
    char *text = NULL;
    struct berth_error error;
    int code = berth_host_permissions(berth_host_of(ctx), &text, &error);
    return give(ctx, code, text, &error);
}

/* ---- calls and messages ---- */

/* Whoever waits for host.call waits for the call itself, on the same thread. */
static void call_now(berth_ctx *ctx, const char *function, const char *arguments, int64_t deadline)
{
    struct berth_thread *thread = berth_thread_of(ctx);
    int64_t outer = thread->deadline;
    char *text = NULL;
    if (deadline < outer)
        thread->deadline = deadline;
    int code = berth_call_json_as(ctx, berth_permit_caller(ctx, NULL), function, arguments, &text);
    thread->deadline = outer;
    uint64_t kept = code == BERTH_OK ? berth_kept_keep(ctx) : 0;
    if (kept)
        berth_kept_came(berth_host_of(ctx), kept, false, BERTH_OK, &text, 0, NULL);
    berth_free(text);
}

/* What has come of the call itself, as JSON, for the call of host.call that waits for it. */
static bool call_give(struct berth_started *started, const struct berth_reply *reply, bool more)
{
    const char *value = reply ? reply->data : "null";
    struct berth_error error = { 0 };
    if (!more && started->code != BERTH_OK)
        berth_error_set(&error, started->code, "%s",
                        started->text ? started->text : "out of memory");
    bool gone =
        berth_kept_came(started->host, started->sink->kept, more, more ? BERTH_OK : started->code,
                        &value, reply ? reply->size : 0, &error);
    if (!more)
        berth_more_part(started);
    return gone;
}

static void call_notify(struct berth_started *started)
{
    berth_more_forward(started, call_give);
}

static void call_begin(void *user, struct berth_started *started)
{
    berth_more_join(started, user);
}

/* It belongs to the call of host.call, and is cancelled with it. */
static void call_started(berth_ctx *ctx, const char *function, const char *arguments,
                         int64_t deadline)
{
    size_t size = arguments ? strlen(arguments) : 0,
           limit = berth_host_of(ctx)->options.max_message;
    if (size > limit) {
        berth_fault_raise_format(ctx, BERTH_RESOURCE_EXHAUSTED,
                                 "%s: the arguments have %zu bytes; max_message is %zu", function,
                                 size, limit);
        return;
    }
    struct berth_cell *cell = berth_call_find(ctx, function);
    struct berth_started *own = berth_cause_of(berth_thread_of(ctx));
    uint64_t kept = cell ? berth_kept_keep(ctx) : 0;
    if (!kept)
        return;
    const char *caller = berth_permit_caller(ctx, NULL);
    const struct berth_start start = { .cell = cell,
                                       .flow = berth_flow_of(caller, cell),
                                       .caller = caller,
                                       .json = arguments ? arguments : "",
                                       .deadline = deadline,
                                       .notify = call_notify,
                                       .begin = call_begin,
                                       .user = own };
    struct berth_started *started = berth_started_new(ctx, &start);
    if (started)
        berth_started_unref(started);
    else
        berth_kept_fail(ctx, kept, BERTH_RESOURCE_EXHAUSTED, "out of memory");
}

ASYNC(json, call,
      "Calls a function by its name. If this is started, so is that: all of its replies are passed "
      "on, and it is answered at its deadline.",
      (string, function, "module.function"),
      (optional(json), arguments, "an array, or an object by name"),
      (optional(i64), timeout_ms, "at most as long as the caller's own deadline"))
{
    int64_t now = berth_now(), left = timeout_ms.value > 0 ? timeout_ms.value : 0;
    int64_t deadline = timeout_ms.present && left < (BERTH_FOREVER - now) / 1000000
                           ? now + left * 1000000
                           : BERTH_FOREVER;
    if (berth_permit_ask(ctx, BERTH_RIGHT_CALL, function) != BERTH_OK)
        return;
    if (berth_outside_refused(ctx) && strncmp(function, "host.", strlen("host.")) != 0) {
        berth_fail(ctx, BERTH_UNAVAILABLE, "%s: the host ends", function);
        return;
    }
    if (berth_kept_is_waited_for(ctx))
        call_now(ctx, function, arguments, deadline);
    else
        call_started(ctx, function, arguments, deadline);
}

FUNCTION(void, publish, "Publishes to a topic that a loaded module declares.", (string, topic),
         (json, fields, "an object, or an array"))
{
    if (berth_permit_ask(ctx, BERTH_RIGHT_PUBLISH, topic) == BERTH_OK)
        berth_publish_json(ctx, topic, fields);
}

/* Messages to a pattern, handed to a function. */
struct subscription {
    struct berth_host *host;
    uint64_t id; /* of the application's subscription below */
    struct berth_cell *cell;
    const char *holder; /* who asked for it; "" is the application */
    bool by_name;       /* through host.call: what others asked a module like control for */
};

static void key_of(uint64_t id, char key[24])
{
    snprintf(key, 24, "%llu", (unsigned long long)id);
}

static struct subscription *subscription_take(struct berth_host_module *own, uint64_t id)
{
    char key[24];
    key_of(id, key);
    pthread_mutex_lock(&own->lock);
    struct subscription *subscription = berth_map_remove(&own->subscriptions, key);
    pthread_mutex_unlock(&own->lock);
    return subscription;
}

/* The asker's own; it ends what it has asked for, by the same way. Else NULL, and ctx is marked. */
static struct subscription *subscription_take_own(berth_ctx *ctx, uint64_t id)
{
    struct berth_host_module *own = module_of(ctx);
    const char *holder = "";
    char key[24];
    bool by_name, mine = false;
    const char *caller = berth_permit_caller(ctx, &by_name);
    key_of(id, key);
    pthread_mutex_lock(&own->lock);
    struct subscription *found = berth_map_get(&own->subscriptions, key);
    if (found) {
        holder = found->holder;
        mine = !*caller || (strcmp(caller, holder) == 0 && by_name == found->by_name);
    }
    if (mine)
        berth_map_remove(&own->subscriptions, key);
    pthread_mutex_unlock(&own->lock);
    if (mine)
        return found;
    if (found)
        berth_fail(ctx, BERTH_PERMISSION_DENIED,
                   "subscription %llu is another one's: %s has asked for it%s",
                   (unsigned long long)id, *holder ? holder : "the application",
                   *holder && strcmp(caller, holder) == 0 ? " by itself" : "");
    else
        berth_fail(ctx, BERTH_NOT_FOUND, "there is no subscription %llu", (unsigned long long)id);
    return NULL;
}

static void subscription_free(struct subscription *subscription)
{
    berth_host_unsubscribe(subscription->host, subscription->id);
    berth_free(subscription);
}

/* Nothing of that name is loaded any more; a module that is being restarted comes back. */
static bool is_gone(const struct berth_cell *cell)
{
    pthread_mutex_lock(&cell->module->host->lock);
    bool gone = cell->module->state == BERTH_MODULE_ABSENT;
    pthread_mutex_unlock(&cell->module->host->lock);
    return gone;
}

static void deliver(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    const struct subscription *subscription = user; /* until the call: it may end it */
    const struct berth_value arguments[] = {
        { .kind = BERTH_VALUE_U64, .as.u64 = subscription->id },
        { .kind = BERTH_VALUE_STRING, .as.string = message->topic },
        { .kind = BERTH_VALUE_STRING, .as.string = message->sender },
        { .kind = BERTH_VALUE_JSON, .as.string = message->fields },
        { .kind = BERTH_VALUE_U64, .as.u64 = message->dropped },
    };
    berth_call(ctx, subscription->cell->name, arguments, sizeof arguments / sizeof *arguments,
               NULL);
}

static bool is_in_worker(const struct berth_cell *cell)
{
    pthread_mutex_lock(&cell->module->host->lock);
    const struct berth_generation *generation = cell->module->current;
    bool in_worker = generation && generation->placement->start;
    pthread_mutex_unlock(&cell->module->host->lock);
    return in_worker;
}

static struct berth_started *deliver_start(berth_ctx *ctx, const struct berth_message *message,
                                           void *user)
{
    const struct subscription *subscription = user;
    struct berth_cell *cell = subscription->cell;
    const void *const arguments[] = { &subscription->id, &message->topic, &message->sender,
                                      &message->fields, &message->dropped };
    const struct berth_start start = { .cell = cell,
                                       .flow = berth_flow_of("", cell),
                                       .signature = subscription->host->own->delivery,
                                       .arguments = arguments,
                                       .deadline = BERTH_FOREVER,
                                       .topic = message->topic };
    if (!is_in_worker(cell))
        return NULL;
    struct berth_started *started = berth_started_new(ctx, &start);
    if (!started)
        berth_fault_raise_static(ctx, BERTH_RESOURCE_EXHAUSTED, "out of memory");
    return started;
}

/* With its function's module the subscription ends, too. */
static void deliver_failed(berth_ctx *ctx, void *user)
{
    struct subscription *subscription = user;
    if (!is_gone(subscription->cell))
        return;
    berth_clear(ctx);
    subscription = subscription_take(subscription->host->own, subscription->id);
    if (subscription)
        subscription_free(subscription);
}

static const struct berth_listener listener = { deliver_start, deliver_failed };

/* The function that is to get the messages, as it must be; or NULL. */
static struct berth_cell *receiver_find(struct berth_host *host, const char *function,
                                        struct berth_error *error)
{
    pthread_mutex_lock(&host->lock);
    struct berth_cell *cell = berth_cell_find(host, function, error);
    const struct berth_signature *signature = cell ? berth_cell_signature(cell) : NULL;
    if (signature && strcmp(signature->identity, host->own->delivery->identity) != 0) {
        char has[512];
        berth_error_set(error, BERTH_INVALID_ARGUMENT,
                        "%s cannot take messages: it must be (u64 subscription, string topic, "
                        "string sender, json fields, u64 dropped) -> void",
                        berth_signature_print(signature, function, has, sizeof has));
        cell = NULL;
    }
    pthread_mutex_unlock(&host->lock);
    return cell;
}

static int subscription_add(struct berth_host_module *own, struct subscription *subscription,
                            const char *pattern, const struct berth_subscribe_options *options,
                            uint64_t *ret_id, struct berth_error *error)
{
    const struct berth_receiver receiver = { subscription->holder, subscription->cell->name,
                                             &listener };
    char key[24];
    pthread_mutex_lock(&own->lock); /* until it is in the map nobody ends it */
    int code = berth_receiver_subscribe(subscription->host, pattern, options, &receiver, deliver,
                                        subscription, &subscription->id, error);
    key_of(subscription->id, key);
    if (code == BERTH_OK && !berth_map_set(&own->subscriptions, key, subscription)) {
        berth_host_unsubscribe(subscription->host, subscription->id);
        code = berth_error_nomem(error);
    }
    if (code == BERTH_OK) /* after this it may end at any time */
        *ret_id = subscription->id;
    pthread_mutex_unlock(&own->lock);
    return code;
}

/* As BERTH_FULL has it; NULL: the default. false: it is none. */
static bool read_full(const char *word, enum berth_full *ret_full)
{
    static const char *const words[] = { [BERTH_FULL_REJECT] = "reject",
                                         [BERTH_FULL_BLOCK] = "block",
                                         [BERTH_FULL_DROP_OLDEST] = "drop_oldest" };
    *ret_full = BERTH_FULL_DROP_OLDEST; /* so nobody who publishes is refused because of it */
    for (int i = 0; word && i < (int)(sizeof words / sizeof *words); i++)
        if (strcmp(word, words[i]) == 0) {
            *ret_full = (enum berth_full)i;
            return true;
        }
    return !word;
}

FUNCTION(
    u64, subscribe,
    "Has a function called with each message to topics of a pattern, until unsubscribe or the end "
    "of its module.",
    (string, pattern, "* is one token, > the rest"),
    (string, function,
     "takes (u64 subscription, string topic, string sender, json fields, u64 dropped)"),
    (optional(string), full,
     "of its mailbox: reject, block, or else drop_oldest, which is counted"),
    (optional(u32), tries, "turns of a message with which it fails; else 1"),
    (optional(string), group, "of subscriptions, one of which gets a message; else none"))
{
    struct berth_subscribe_options options = { .size = sizeof options,
                                               .tries = tries.present ? (int)tries.value : 0,
                                               .group = group };
    if (tries.present && (tries.value == 0 || tries.value > INT32_MAX))
        options.tries = -1; /* it is refused */
    struct berth_host *host = berth_host_of(ctx);
    struct berth_error error;
    uint64_t id;
    if (berth_permit_ask(ctx, BERTH_RIGHT_SUBSCRIBE, pattern) != BERTH_OK ||
        berth_permit_ask(ctx, BERTH_RIGHT_CALL, function) != BERTH_OK)
        return 0;
    if (!read_full(full, &options.full)) {
        berth_fail(ctx, BERTH_INVALID_ARGUMENT,
                   "full is \"%s\": write reject, block or drop_oldest", full);
        return 0;
    }
    struct subscription *subscription = berth_calloc(1, sizeof *subscription);
    int code = subscription ? BERTH_OK : berth_error_nomem(&error);
    if (code == BERTH_OK) {
        subscription->host = host;
        subscription->holder = berth_permit_caller(ctx, &subscription->by_name);
        subscription->cell = receiver_find(host, function, &error);
        code = subscription->cell ? BERTH_OK : error.code;
    }
    if (code == BERTH_OK)
        code = subscription_add(host->own, subscription, pattern, &options, &id, &error);
    if (code == BERTH_OK)
        return id;
    berth_free(subscription);
    fail(ctx, &error);
    return 0;
}

FUNCTION(void, unsubscribe,
         "Ends a subscription of the caller's own: its function is not called any more.",
         (u64, subscription, "as subscribe returned it"))
{
    struct subscription *found = subscription_take_own(ctx, subscription);
    if (found)
        subscription_free(found);
}

FUNCTION(json, stats,
         "What has been counted: calls and messages by who makes them and who gets them, failures, "
         "times; and what modules have used.")
{
    char *text = NULL;
    struct berth_error error;
    int code = berth_host_stats(berth_host_of(ctx), &text, &error);
    return give(ctx, code, text, &error);
}

FUNCTION(
    void, count_all,
    "Whether every bound call is counted, also those that are made so often that it makes them "
    "slower; else these are sampled.",
    (bool, all))
{
    if (berth_permit_ask(ctx, BERTH_RIGHT_CALL, "host.count_all") == BERTH_OK)
        berth_host_count_all(berth_host_of(ctx), all);
}

FUNCTION(json, events,
         "What has happened to modules lately, oldest first: the newest of host.module.>.")
{
    struct berth_buffer buffer;
    berth_buffer_init(&buffer, 0);
    berth_events_print(berth_host_of(ctx), &buffer);
    return give_buffer(ctx, &buffer);
}

/* The one that is asked about; NULL for "". False: ctx is marked. */
static bool find_logger(berth_ctx *ctx, const char *name, struct berth_module **ret_module)
{
    struct berth_host *host = berth_host_of(ctx);
    *ret_module = NULL;
    if (!*name)
        return true;
    pthread_mutex_lock(&host->lock);
    struct berth_module *module = berth_module_find(host, name);
    bool loaded = module && module->state != BERTH_MODULE_ABSENT;
    pthread_mutex_unlock(&host->lock);
    *ret_module = module; /* which lives as long as the host */
    if (!loaded)
        berth_fail(ctx, BERTH_NOT_FOUND, "no module %s is loaded", name);
    return loaded;
}

FUNCTION(string, log_level,
         "How detailed the lines of a module are that are logged; sets it first if one is given.",
         (string, module,
          "\"host\" is the host itself, \"\" every module without a level of its own"),
         (optional(string), level, "error, warning, info or debug; or \"\": as module \"\""))
{
    struct berth_module *found;
    struct berth_error error;
    int wanted = level && *level ? berth_log_level_find(level) : -1;
    if (level && *level && wanted < 0) {
        berth_fail(ctx, BERTH_INVALID_ARGUMENT,
                   "\"%s\" is no level: write error, warning, info or debug", level);
        return "";
    }
    if (!find_logger(ctx, module, &found))
        return "";
    if (level && berth_host_set_log_level(berth_host_of(ctx), module, wanted, &error) != BERTH_OK) {
        fail(ctx, &error);
        return "";
    }
    return berth_log_level_name(berth_log_level_of(berth_host_of(ctx), found));
}

FUNCTION(i64, call_timeout,
         "How long calls of a function or module may take, in ms; sets it first if one is given.",
         (string, of, "module.function, or a module; \"\": what has no timeout and no deadline"),
         (optional(i64), timeout_ms, "0: as if it had never been set"))
{
    struct berth_host *host = berth_host_of(ctx);
    struct berth_error error;
    int64_t ns = timeout_ms.present ? timeout_ms.value : 0;
    if (ns < 0 || ns > INT64_MAX / 1000000) {
        berth_fail(ctx, BERTH_INVALID_ARGUMENT, "%lld ms are no time for a call", (long long)ns);
        return 0;
    }
    if (berth_timeout_name_check(of, &error) != BERTH_OK ||
        (timeout_ms.present &&
         berth_host_set_call_timeout(host, of, ns * 1000000, &error) != BERTH_OK)) {
        fail(ctx, &error);
        return 0;
    }
    return berth_timeout_get(host, of) / 1000000;
}

/* ---- JSON ---- */

typedef struct berth_member {
    berth_string name;
    berth_json value;
} berth_member;
typedef struct berth_array_member {
    const berth_member *data;
    size_t count;
} berth_array_member;
typedef struct berth_parsed {
    berth_string kind;
    berth_string text;
    berth_array_member members;
} berth_parsed;

static const char record_member[] =
    "struct=member\0field=string:name:\"\" for an element of an array\0field=json:value:";
static const char record_parsed[] =
    "struct=parsed\0field=string:kind:object, array, string, number, bool or null"
    "\0field=string:text:a string's characters; of a number, bool or null as it is written"
    "\0field=array(member):members:of an object, or the elements of an array";

/* Passes one value of a text that has been checked. */
static const char *value_end(const char *at)
{
    size_t depth = 0;
    do {
        if (*at == '"')
            while (*++at != '"')
                at += *at == '\\';
        else if (*at == '[' || *at == '{')
            depth++;
        else if (*at == ']' || *at == '}')
            depth--;
        at++;
        if (!depth && at[-1] != '"' && at[-1] != ']' && at[-1] != '}') /* a number or a word */
            at += strcspn(at, ",]} \t\r\n");
    } while (depth);
    return at;
}

static char *cut(berth_ctx *ctx, const char *from, const char *to)
{
    char *text = berth_alloc(ctx, (size_t)(to - from) + 1);
    if (text)
        memcpy(text, from, (size_t)(to - from));
    return text;
}

/* A JSON string, quotes and all, as its characters; NULL: ctx is marked. */
static const char *characters(berth_ctx *ctx, const char *from, const char *to)
{
    const char *text = "";
    struct berth_error error;
    if (!memchr(from, '\\', (size_t)(to - from)))
        return cut(ctx, from + 1, to - 1);
    if (berth_json_read(module_of(ctx)->string, from, (size_t)(to - from), "text",
                        &berth_thread_of(ctx)->arena, &text, &error) == BERTH_OK)
        return text;
    fail(ctx, &error);
    return NULL;
}

static const char *skip_blanks(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

/* Behind a member or element: the next one, or NULL at the end of the list. */
static const char *next_one(const char *at)
{
    at = skip_blanks(at);
    return *at == ',' ? skip_blanks(at + 1) : NULL;
}

static size_t count_members(const char *open)
{
    const char *at = skip_blanks(open + 1);
    size_t count = 0;
    while (at && *at != ']' && *at != '}') {
        count++;
        at = value_end(at);
        if (*open == '{')
            at = value_end(skip_blanks(skip_blanks(at) + 1));
        at = next_one(at);
    }
    return count;
}

/* What a key's string says; the text is ours. NULL: ctx is marked. */
static const char *take_name(berth_ctx *ctx, char *from, char *to)
{
    if (memchr(from, '\\', (size_t)(to - from)))
        return characters(ctx, from, to);
    to[-1] = '\0';
    return from + 1;
}

/*
 * The members are pieces of one copy of the text: an NUL comes behind each, when what was there has
 * been looked at. false: ctx is marked.
 */
static bool take_members(berth_ctx *ctx, const char *open, berth_parsed *parsed)
{
    size_t count = count_members(open);
    berth_member *members = berth_alloc(ctx, (count + 1) * sizeof *members);
    char *copy = cut(ctx, open, open + strlen(open));
    char *at = copy ? copy + (skip_blanks(copy + 1) - copy) : NULL;
    if (!members || !copy)
        return false;
    for (size_t i = 0; i < count; i++) {
        char *end = at + (value_end(at) - at);
        members[i].name = "";
        if (*open == '{') {
            char *value = end + (skip_blanks(skip_blanks(end) + 1) - end);
            members[i].name = take_name(ctx, at, end);
            at = value;
            end = at + (value_end(at) - at);
        }
        const char *next = next_one(end);
        members[i].value = at;
        *end = '\0';
        if (!members[i].name)
            return false;
        at = next ? copy + (next - copy) : NULL;
    }
    parsed->members = (berth_array_member){ members, count };
    return true;
}

static const char *kind_of(char first)
{
    switch (first) {
    case '{':
        return "object";
    case '[':
        return "array";
    case '"':
        return "string";
    case 't':
    case 'f':
        return "bool";
    case 'n':
        return "null";
    default:
        return "number";
    }
}

FUNCTION(parsed, parse,
         "Takes a JSON text apart, one level: what it is, and its members as texts of their own. "
         "Fails with invalid_argument, naming line and column, when it is none.",
         (json, text))
{
    static const berth_parsed none = { "null", "", { NULL, 0 } };
    struct berth_host *host = berth_host_of(ctx);
    size_t size = strlen(text);
    struct berth_error error = { 0 };
    int code = size > host->options.max_message
                   ? berth_error_set(&error, BERTH_RESOURCE_EXHAUSTED,
                                     "the text has %zu bytes; max_message is %zu", size,
                                     host->options.max_message)
                   : berth_json_check(text, size, &error);
    if (code != BERTH_OK) {
        fail(ctx, &error);
        return none;
    }
    const char *at = skip_blanks(text);
    berth_parsed parsed = { kind_of(*at), "", { NULL, 0 } };
    bool list = *at == '{' || *at == '[';
    if (!list)
        parsed.text = *at == '"' ? characters(ctx, at, value_end(at)) : cut(ctx, at, value_end(at));
    return parsed.text && (!list || take_members(ctx, at, &parsed)) ? parsed : none;
}

/* ---- the module ---- */

static const char record_module[] = "module=host\0version=" BERTH_VERSION
                                    "\0doc=The host itself: what is loaded, called and heard.";
static const char record_unit[] =
    "unit=\0abi=" BERTH_I_STR(BERTH_ABI) "\0api=" BERTH_I_STR(BERTH_API) "\0header=" BERTH_VERSION;
static const char record_parallel[] = "concurrency=parallel";

#define TOPIC(name)                                                            \
    static const char record_topic_##name[] =                                  \
        "topic=host.module." #name "\0name=" #name                             \
        "\0param=string:module:\0param=string:version:\0param=u32:generation:" \
        "\0param=string:placement:\0param=string:detail:in words, or empty"
TOPIC(loaded);
TOPIC(unloaded);
TOPIC(reloaded);
TOPIC(refused);
TOPIC(died);
TOPIC(restarted);
TOPIC(failed);
TOPIC(quarantined);
static const char record_topic_dead_letter[] =
    "topic=" BERTH_DEAD_LETTER_TOPIC "\0name=dead_letter"
    "\0param=string:receiver:a module, or empty for the application\0param=string:handler:"
    "\0param=string:sender:\0param=string:topic:of the message\0param=string:code:"
    "\0param=string:reason:in words\0param=u32:tries:turns that it has had"
    "\0param=json:fields:of the message";
static const char record_topic_log[] =
    "topic=" BERTH_LOG_TOPIC "\0name=log"
    "\0param=i64:time_ns:since 1970\0param=string:level:\0param=string:module:or host"
    "\0param=string:version:\0param=u32:generation:\0param=string:chain:of calls, or empty"
    "\0param=string:text:";

#define RECORD(name)                              \
    {                                             \
        record_##name, sizeof record_##name, NULL \
    }
#define TOPIC_RECORD(name) RECORD(topic_##name)
#define EXPORT(name)                                                     \
    {                                                                    \
        record_##name, sizeof record_##name, (void (*)(void))call_##name \
    }

static const struct berth_image_part parts[] = {
    RECORD(module),         RECORD(unit),
    RECORD(parallel),       RECORD(member),
    RECORD(renewal),        RECORD(parsed),
    EXPORT(list),           EXPORT(show),
    EXPORT(read),           EXPORT(load),
    EXPORT(unload),         EXPORT(reload),
    EXPORT(reload_all),     EXPORT(rollback),
    EXPORT(history),        EXPORT(snapshot),
    EXPORT(restore),        EXPORT(permit),
    EXPORT(move),           EXPORT(permissions),
    EXPORT(call),           EXPORT(publish),
    EXPORT(subscribe),      EXPORT(unsubscribe),
    EXPORT(stats),          EXPORT(count_all),
    EXPORT(events),         EXPORT(log_level),
    EXPORT(call_timeout),   EXPORT(parse),
    TOPIC_RECORD(loaded),   TOPIC_RECORD(unloaded),
    TOPIC_RECORD(reloaded), TOPIC_RECORD(refused),
    TOPIC_RECORD(died),     TOPIC_RECORD(restarted),
    TOPIC_RECORD(failed),   TOPIC_RECORD(quarantined),
    TOPIC_RECORD(log),      TOPIC_RECORD(dead_letter),
};

static void module_free(struct berth_host_module *own)
{
    struct berth_map_entry *entry;
    if (!own)
        return;
    for (size_t i = 0; berth_map_next(&own->subscriptions, &i, &entry);)
        berth_free(entry->value);
    berth_map_deinit(&own->subscriptions);
    pthread_mutex_destroy(&own->lock);
    berth_free(own);
}

static int load(struct berth_host *host, struct berth_image *image, struct berth_error *error)
{
    berth_ctx *admin = berth_admin_enter(host, "a load", error);
    if (!admin) {
        berth_image_free(image);
        return error->code;
    }
    struct berth_load load = { .image = image, .placement = "inline" };
    int code = berth_module_load(admin, &load, error);
    berth_admin_leave(host, admin);
    return code;
}

static int find_types(struct berth_host_module *own, struct berth_types *types,
                      struct berth_error *error)
{
    static const struct berth_text_parameter delivered[] = { { "u64", "subscription", NULL },
                                                             { "string", "topic", NULL },
                                                             { "string", "sender", NULL },
                                                             { "json", "fields", NULL },
                                                             { "u64", "dropped", NULL } };
    int code = berth_types_find(types, "string", &own->string, error);
    return code == BERTH_OK
               ? berth_signature_new(types, "void", delivered, sizeof delivered / sizeof *delivered,
                                     &own->delivery, error)
               : code;
}

int berth_host_module_load(struct berth_host *host, struct berth_error *error)
{
    struct berth_error why = { 0 };
    struct berth_image *image = NULL;
    struct berth_host_module *own = berth_calloc(1, sizeof *own);
    int code = own ? berth_image_builtin(parts, sizeof parts / sizeof *parts, &image, &why)
                   : berth_error_nomem(&why);
    if (own) {
        pthread_mutex_init(&own->lock, NULL);
        berth_map_init(&own->subscriptions);
    }
    if (code == BERTH_OK) {
        code = find_types(own, image->manifest->types, &why);
        host->own = own;
        if (code == BERTH_OK)
            code = load(host, image, &why);
        else
            berth_image_free(image);
    }
    if (code != BERTH_OK) {
        host->own = NULL;
        module_free(own);
        if (error)
            *error = why;
    }
    return code;
}

void berth_host_module_free(struct berth_host *host)
{
    module_free(host->own);
    host->own = NULL;
}
