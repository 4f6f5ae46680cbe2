/* SPDX-License-Identifier: MIT */
#include "runtime/core/permit.h"
#include "runtime/core/call.h"
#include "runtime/core/log.h"
#include "runtime/core/registry.h"
#include "runtime/core/started.h"
#include "runtime/core/topic.h"

#include <stdio.h>
#include <string.h>

#define RULES_SHOWN 860 /* bytes of them in an error, which has some words around them */

/* Whoever has made the host, and the host itself. */
static bool is_trusted(const struct berth_generation *generation)
{
    return generation->image->own_links || berth_image_is_application(generation->image);
}

/* host->lock held. A lost note is told when they are asked for. */
static void note(struct berth_host *host, const char *caller, enum berth_right right,
                 const char *what)
{
    if (host->policy.record && !berth_grants_add(&host->needed, caller, right, what))
        host->needed_lost = true;
}

/* ---- what a manifest wants ---- */

struct wants {
    const struct berth_generation *generation;
    struct berth_grants *allowed, *missing; /* are added to; or NULL */
    bool ok;                                /* there was memory */
};

static void want(struct wants *wants, enum berth_right right, const char *what)
{
    struct berth_host *host = wants->generation->host;
    const char *module = wants->generation->module->name;
    struct berth_grants *to =
        berth_policy_allows(&host->policy, module, right, what) ? wants->allowed : wants->missing;
    note(host, module, right, what);
    if (to && wants->ok)
        wants->ok = berth_grants_add(to, module, right, what);
}

/* host->lock held. */
static void want_all(struct wants *wants)
{
    const struct berth_manifest *manifest = wants->generation->image->manifest;
    if (is_trusted(wants->generation))
        return;
    for (size_t i = 0; i < manifest->import_count; i++)
        want(wants, BERTH_RIGHT_CALL, manifest->imports[i].name);
    for (size_t i = 0; i < manifest->topic_count; i++)
        want(wants, BERTH_RIGHT_PUBLISH, manifest->topics[i].topic);
    for (size_t i = 0; i < manifest->subscribe_count; i++)
        want(wants, BERTH_RIGHT_SUBSCRIBE, manifest->subscribes[i].pattern);
}

/* One line for each of the rules, for those that do not fit into one. */
static void log_rules(struct berth_host *host, const struct berth_grantee *missing)
{
    for (enum berth_right right = 0; right < BERTH_RIGHTS; right++)
        for (size_t i = 0; i < missing->rights[right].count; i++)
            berth_host_log(host, NULL, BERTH_LOG_WARNING,
                           "%s lacks a grant: \"%s\": {\"%s\": [\"%s\"]}", missing->name,
                           missing->name, berth_right_name(right), missing->rights[right].items[i]);
}

static int refuse_load(struct berth_host *host, const struct berth_grantee *missing,
                       struct berth_error *error)
{
    struct berth_buffer rules;
    berth_buffer_init(&rules, 0);
    berth_grantee_print(missing, &rules);
    int code = berth_buffer_check(&rules, error);
    if (code == BERTH_OK && rules.size <= RULES_SHOWN) {
        code = berth_error_set(error, BERTH_PERMISSION_DENIED,
                               "%s wants more than it is granted: add to the grants %s",
                               missing->name, rules.data);
    } else if (code == BERTH_OK) {
        log_rules(host, missing);
        code = berth_error_set(error, BERTH_PERMISSION_DENIED,
                               "%s wants more than it is granted: add to the grants what the log "
                               "lists; it begins %.*s…",
                               missing->name, RULES_SHOWN / 2, rules.data);
    }
    berth_buffer_deinit(&rules);
    return code;
}

int berth_permit_check(struct berth_generation *next, struct berth_error *error)
{
    struct berth_host *host = next->host;
    struct berth_grants missing = { 0 };
    struct wants wants = { .generation = next, .missing = &missing, .ok = true };
    pthread_mutex_lock(&host->lock);
    want_all(&wants);
    pthread_mutex_unlock(&host->lock);
    int code = wants.ok ? BERTH_OK : berth_error_nomem(error);
    if (code == BERTH_OK && missing.count)
        code = refuse_load(host, &missing.items[0], error);
    berth_grants_deinit(&missing);
    return code;
}

/* ---- links ---- */

/* topic_lock, for writing, and lock are held. */
static void rebind(struct berth_generation *generation)
{
    const struct berth_policy *policy = &generation->host->policy;
    const struct berth_manifest *manifest = generation->image->manifest;
    const char *module = generation->module->name;
    for (size_t i = 0; i < generation->edge_count; i++) {
        struct berth_edge *edge = &generation->edges[i];
        bool denied =
            edge->cell && !berth_policy_allows(policy, module, BERTH_RIGHT_CALL, edge->cell->name);
        if (denied == edge->denied)
            continue;
        __atomic_store_n(&edge->denied, denied, __ATOMIC_RELAXED);
        berth_edge_set(edge);
    }
    for (size_t i = 0; i < generation->publisher_count; i++) {
        struct berth_publisher *publisher = &generation->publishers[i];
        publisher->denied = !berth_policy_allows(policy, module, BERTH_RIGHT_PUBLISH,
                                                 manifest->topics[publisher->index].topic);
    }
    for (size_t i = 0; i < generation->handler_count; i++)
        if (generation->subscriptions[i])
            generation->subscriptions[i]->denied = !berth_policy_allows(
                policy, module, BERTH_RIGHT_SUBSCRIBE, manifest->subscribes[i].pattern);
}

static void rebind_all(struct berth_host *host)
{
    berth_list_each(&host->generations, link) {
        struct berth_generation *generation = berth_container(link, struct berth_generation, all);
        if (!is_trusted(generation))
            rebind(generation);
    }
    berth_list_each(&host->subscriptions, link) {
        struct berth_subscription *subscription =
            berth_container(link, struct berth_subscription, link);
        if (subscription->holder)
            subscription->denied = berth_permit_denies(host, subscription);
    }
}

/* What modules want and may not do (or may), all of them; false: no memory. */
static bool gather(struct berth_host *host, struct berth_grants *allowed,
                   struct berth_grants *missing)
{
    struct wants wants = { .allowed = allowed, .missing = missing, .ok = true };
    berth_list_each(&host->order, link) {
        wants.generation = berth_container(link, struct berth_module, link)->current;
        want_all(&wants);
    }
    return wants.ok;
}

void berth_permit_change(struct berth_host *host, struct berth_policy *policy)
{
    struct berth_grants missing = { 0 };
    struct berth_policy old;
    berth_topics_lock(host);
    pthread_mutex_lock(&host->lock);
    old = host->policy;
    host->policy = *policy;
    rebind_all(host);
    gather(host, NULL, &missing); /* without memory the log has less to tell */
    pthread_mutex_unlock(&host->lock);
    berth_topics_unlock(host);
    berth_policy_deinit(&old);
    for (size_t i = 0; i < missing.count; i++)
        log_rules(host, &missing.items[i]);
    berth_grants_deinit(&missing);
}

/* ---- refusals ---- */

static int explain(struct berth_error *error, const char *caller, enum berth_right right,
                   const char *what)
{
    static const char *const verbs[BERTH_RIGHTS] = { "call", "publish to", "subscribe to" };
    return berth_error_set(error, BERTH_PERMISSION_DENIED,
                           "%s may not %s %s: add to the grants \"%s\": {\"%s\": [\"%s\"]}", caller,
                           verbs[right], what, caller, berth_right_name(right), what);
}

void berth_permit_refuse(berth_ctx *ctx, const char *caller, enum berth_right right,
                         const char *what)
{
    struct berth_error error;
    explain(&error, caller, right, what);
    berth_fault_raise_format(ctx, error.code, "%s", error.text);
}

int berth_permit_explain_edge(const struct berth_edge *edge, struct berth_error *error)
{
    const struct berth_generation *importer = edge->importer;
    return explain(error, importer->module->name, BERTH_RIGHT_CALL,
                   importer->image->manifest->imports[edge->import].name);
}

int berth_permit_refuse_edge(berth_ctx *ctx, const struct berth_edge *edge)
{
    const struct berth_generation *importer = edge->importer;
    berth_permit_refuse(ctx, importer->module->name, BERTH_RIGHT_CALL,
                        importer->image->manifest->imports[edge->import].name);
    return BERTH_PERMISSION_DENIED;
}

/* ---- what is done through the module host ---- */

/* host->lock held. Whose frame it is; NULL: nobody's, or the application's. */
static struct berth_generation *owner_of(struct berth_host *host, berth_ctx *frame)
{
    const struct berth_acting *acting = &berth_thread_of(frame)->acting;
    uintptr_t word = BERTH_FRAME_WORD(frame->frame);
    berth_list_each(&host->generations, link) {
        struct berth_generation *generation = berth_container(link, struct berth_generation, all);
        if (acting->frame == frame ? acting->generation == generation
                                   : berth_generation_holds(generation, word))
            return generation;
    }
    return NULL;
}

/* A thread that runs a call that somebody has started: whose that is. */
static const char *served_for(const berth_ctx *base)
{
    const struct berth_serving *serving = berth_thread_of(base)->serving;
    while (serving && serving->base != base)
        serving = serving->outer;
    return serving ? serving->started->caller : "";
}

const char *berth_permit_name(const struct berth_generation *generation)
{
    return is_trusted(generation) ? "" : generation->module->name;
}

/*
 * host->lock held. The first frame below host's own: functions of host may have been called by
 * host.call.
 */
static const char *caller_of(struct berth_host *host, berth_ctx *ctx, bool *ret_by_name)
{
    berth_ctx *base = berth_thread_base(berth_thread_of(ctx));
    for (berth_ctx *at = ctx - 1; at >= base; at--) {
        const struct berth_generation *owner = owner_of(host, at);
        if (!owner)
            return served_for(at);
        *ret_by_name = at != ctx - 1;
        if (!owner->image->own_links)
            return is_trusted(owner) ? "" : owner->module->name;
    }
    return "";
}

const char *berth_permit_caller(berth_ctx *ctx, bool *ret_by_name)
{
    struct berth_host *host = berth_host_of(ctx);
    bool by_name = false;
    pthread_mutex_lock(&host->lock);
    const char *caller = caller_of(host, ctx, &by_name);
    pthread_mutex_unlock(&host->lock);
    if (ret_by_name)
        *ret_by_name = by_name;
    return caller;
}

/* A module that acts for operators does what is its own in its own name. */
static const char *actor_of(const struct berth_policy *policy, const char *module,
                            enum berth_right right, const char *what)
{
    const struct berth_policy own = { .mode = BERTH_POLICY_LISTED };
    return right == BERTH_RIGHT_CALL && berth_policy_allows(&own, module, right, what)
               ? module
               : berth_policy_actor(policy, module);
}

int berth_permit_ask(berth_ctx *ctx, enum berth_right right, const char *what)
{
    struct berth_host *host = berth_host_of(ctx);
    const char *actor = "";
    bool allowed = true, by_name;
    pthread_mutex_lock(&host->lock);
    const struct berth_policy *policy = &host->policy;
    if ((policy->mode == BERTH_POLICY_LISTED || policy->record) &&
        berth_right_what_valid(right, what)) {
        const char *caller = caller_of(host, ctx, &by_name);
        actor = actor_of(policy, caller, right, what);
        if (*caller) {
            note(host, actor, right, what);
            allowed = berth_policy_allows(policy, actor, right, what);
        }
    }
    pthread_mutex_unlock(&host->lock);
    if (allowed)
        return BERTH_OK;
    berth_permit_refuse(ctx, actor, right, what);
    return BERTH_PERMISSION_DENIED;
}

bool berth_permit_denies(struct berth_host *host, const struct berth_subscription *subscription)
{
    const struct berth_policy *policy = &host->policy;
    const char *module = subscription->holder, *function = subscription->handler;
    return !berth_policy_allows(
               policy, actor_of(policy, module, BERTH_RIGHT_SUBSCRIBE, subscription->pattern),
               BERTH_RIGHT_SUBSCRIBE, subscription->pattern) ||
           !berth_policy_allows(policy, actor_of(policy, module, BERTH_RIGHT_CALL, function),
                                BERTH_RIGHT_CALL, function);
}

/* ---- what there is to see ---- */

/* Callers that act for operators do so in the next configuration, too. */
static void keep_operators(struct berth_host *host)
{
    for (size_t i = 0; i < host->policy.grants.count; i++) {
        const struct berth_grantee *grantee = &host->policy.grants.items[i];
        struct berth_grantee *needs = berth_grants_find(&host->needed, grantee->name);
        if (needs)
            needs->operates = grantee->operates;
    }
}

void berth_permissions_print(struct berth_host *host, struct berth_buffer *buffer)
{
    struct berth_grants allowed = { 0 }, missing = { 0 };
    pthread_mutex_lock(&host->lock);
    bool ok = gather(host, &allowed, &missing);
    berth_buffer_format(
        buffer, "{\"mode\": \"%s\", \"grants\": ", berth_policy_mode_name(host->policy.mode));
    berth_grants_print(&host->policy.grants, buffer);
    berth_buffer_text(buffer, ", \"allowed\": ");
    berth_grants_print(&allowed, buffer);
    berth_buffer_text(buffer, ", \"missing\": ");
    berth_grants_print(&missing, buffer);
    if (host->policy.record) {
        keep_operators(host);
        berth_buffer_text(buffer, ", \"needed\": ");
        berth_grants_print(&host->needed, buffer);
    }
    berth_buffer_text(buffer, "}");
    buffer->failed = buffer->failed || !ok || (host->policy.record && host->needed_lost);
    pthread_mutex_unlock(&host->lock);
    berth_grants_deinit(&allowed);
    berth_grants_deinit(&missing);
}
