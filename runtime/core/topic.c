/* SPDX-License-Identifier: MIT */
/*
 * Topics, who publishes to them, and who gets it. Each topic keeps the subscriptions that match it,
 * so that publishing costs by them alone.
 */
#include "runtime/core/topic.h"
#include "runtime/base/memory.h"
#include "runtime/core/flow.h"
#include "runtime/core/log.h"
#include "runtime/core/message.h"
#include "runtime/core/permit.h"

#include <stdio.h>
#include <string.h>

const struct berth_signature *berth_topic_signature(const struct berth_topic *topic)
{
    if (berth_list_empty(&topic->publishers))
        return NULL;
    return berth_container(topic->publishers.next, struct berth_publisher, link)->signature;
}

/* ---- subscriptions ---- */

void berth_subscription_unref(struct berth_subscription *subscription)
{
    if (!subscription || __atomic_sub_fetch(&subscription->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    berth_free(subscription->pattern);
    berth_free(subscription->handler);
    berth_free(subscription->identity);
    berth_free(subscription->holder);
    berth_free(subscription);
}

/*
 * Makes room for so many besides those that are promised, so that adding cannot fail afterwards.
 */
static bool topic_reserve(const struct berth_host *host, struct berth_topic *topic, size_t more)
{
    size_t wanted = topic->count + host->promised + more;
    if (wanted <= topic->capacity)
        return true;
    size_t capacity = wanted * 2;
    struct berth_route *grown = berth_realloc(topic->routes, capacity * sizeof *grown);
    if (!grown)
        return false;
    topic->routes = grown;
    topic->capacity = capacity;
    return true;
}

/* Every topic can take `more` subscriptions. Topics are few, and pointers small. */
static bool topics_reserve(struct berth_host *host, size_t more)
{
    struct berth_map_entry *entry;
    for (size_t i = 0; berth_map_next(&host->topics, &i, &entry);)
        if (!topic_reserve(host, entry->value, more))
            return false;
    return true;
}

static void topic_add(struct berth_topic *topic, struct berth_subscription *subscription)
{
    if (berth_pattern_matches(subscription->pattern, topic->name))
        topic->routes[topic->count++] = (struct berth_route){ .subscription = subscription };
}

/* Lines are not even formatted for nobody. */
static void count_reader(struct berth_host *host, const struct berth_subscription *subscription,
                         size_t more)
{
    if (berth_pattern_matches(subscription->pattern, BERTH_LOG_TOPIC))
        __atomic_add_fetch(&host->log_readers, more, __ATOMIC_RELAXED);
}

static void subscription_insert(struct berth_host *host, struct berth_subscription *subscription)
{
    struct berth_map_entry *entry;
    berth_list_append(&host->subscriptions, &subscription->link);
    count_reader(host, subscription, 1);
    for (size_t i = 0; berth_map_next(&host->topics, &i, &entry);)
        topic_add(entry->value, subscription);
}

static void subscription_remove(struct berth_host *host, struct berth_subscription *subscription)
{
    struct berth_map_entry *entry;
    for (size_t i = 0; berth_map_next(&host->topics, &i, &entry);) {
        struct berth_topic *topic = entry->value;
        size_t kept = 0;
        for (size_t k = 0; k < topic->count; k++)
            if (topic->routes[k].subscription != subscription)
                topic->routes[kept++] = topic->routes[k];
        topic->count = kept;
    }
    berth_list_remove(&subscription->link);
    count_reader(host, subscription, (size_t)-1);
    __atomic_store_n(&subscription->gone, true, __ATOMIC_RELEASE);
    berth_subscription_unref(subscription);
}

static struct berth_subscription *subscription_make(struct berth_module *module,
                                                    const char *pattern, const char *handler,
                                                    const char *identity)
{
    struct berth_subscription *subscription = berth_calloc(1, sizeof *subscription);
    if (!subscription)
        return NULL;
    subscription->refs = 1;
    subscription->module = module;
    subscription->pattern = berth_strdup(pattern);
    subscription->handler = berth_strdup(handler);
    subscription->identity = identity ? berth_strdup(identity) : NULL;
    berth_list_init(&subscription->link);
    if (subscription->pattern && subscription->handler && (!identity || subscription->identity))
        return subscription;
    berth_subscription_unref(subscription);
    return NULL;
}

int berth_subscription_new(struct berth_host *host, struct berth_module *module,
                           const char *pattern, const char *function, const char *holder,
                           enum berth_full full, struct berth_subscription **ret_subscription,
                           struct berth_error *error)
{
    if (!berth_pattern_valid(pattern))
        return berth_error_set(
            error, BERTH_INVALID_ARGUMENT,
            "\"%s\" is not a topic pattern: write tokens joined by dots, * for one, > for the rest",
            pattern);
    struct berth_subscription *subscription =
        subscription_make(module, pattern, function ? function : "", NULL);
    if (!subscription)
        return berth_error_nomem(error);
    subscription->full = full;
    subscription->holder = holder ? berth_strdup(holder) : NULL;
    if (holder && !subscription->holder) {
        berth_subscription_unref(subscription);
        return berth_error_nomem(error);
    }
    pthread_rwlock_wrlock(&host->topic_lock);
    subscription->denied = holder && berth_permit_denies(host, subscription);
    bool room = topics_reserve(host, 1);
    if (room)
        subscription_insert(host, subscription);
    pthread_rwlock_unlock(&host->topic_lock);
    if (!room) {
        berth_subscription_unref(subscription);
        return berth_error_nomem(error);
    }
    *ret_subscription = subscription;
    return BERTH_OK;
}

void berth_subscription_end(struct berth_host *host, struct berth_subscription *subscription)
{
    pthread_rwlock_wrlock(&host->topic_lock);
    subscription_remove(host, subscription);
    pthread_rwlock_unlock(&host->topic_lock);
}

/* ---- a generation's topics ---- */

static int disagree(struct berth_error *error, const char *topic, const char *publisher,
                    const char *has, const char *other, const char *wants)
{
    return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                           "topic %s: %s publishes %s, but %s has %s", topic, publisher, has, other,
                           wants);
}

/*
 * A topic that next declares, against its other publishers, and against the subscriptions of other
 * modules.
 */
static int check_publisher(struct berth_generation *next, const struct berth_generation *old,
                           const struct berth_manifest_topic *declared, struct berth_error *error)
{
    const struct berth_topic *topic = berth_map_get(&next->host->topics, declared->topic);
    const char *identity = declared->signature->identity;
    if (berth_topic_is_hosts(declared->topic) && !next->image->own_links)
        return berth_error_set(error, BERTH_PERMISSION_DENIED,
                               "topic %s: topics below host. are the host's own; choose another",
                               declared->topic);
    if (topic) {
        berth_list_each(&topic->publishers, link) {
            struct berth_publisher *other = berth_container(link, struct berth_publisher, link);
            if (other->generation != old && !other->generation->module->next &&
                strcmp(other->signature->identity, identity) != 0)
                return disagree(error, declared->topic, next->module->name, identity,
                                other->generation->module->name, other->signature->identity);
        }
    }
    berth_list_each(&next->host->subscriptions, link) {
        struct berth_subscription *other = berth_container(link, struct berth_subscription, link);
        if (other->module != next->module && !other->module->next && other->identity &&
            strcmp(other->identity, identity) != 0 &&
            berth_pattern_matches(other->pattern, declared->topic))
            return disagree(error, declared->topic, next->module->name, identity,
                            other->module->name, other->identity);
    }
    return BERTH_OK;
}

static int check_handler(struct berth_generation *next, const struct berth_generation *old,
                         const struct berth_manifest_subscribe *handler, struct berth_error *error)
{
    const struct berth_manifest *manifest = next->image->manifest;
    const char *identity = handler->signature->identity;
    struct berth_map_entry *entry;
    for (size_t i = 0; i < manifest->topic_count; i++)
        if (berth_pattern_matches(handler->pattern, manifest->topics[i].topic) &&
            strcmp(manifest->topics[i].signature->identity, identity) != 0)
            return disagree(error, manifest->topics[i].topic, next->module->name,
                            manifest->topics[i].signature->identity, handler->handler, identity);
    for (size_t i = 0; berth_map_next(&next->host->topics, &i, &entry);) {
        const struct berth_topic *topic = entry->value;
        if (!berth_pattern_matches(handler->pattern, topic->name))
            continue;
        berth_list_each(&topic->publishers, link) {
            struct berth_publisher *other = berth_container(link, struct berth_publisher, link);
            if (other->generation != old && !other->generation->module->next &&
                strcmp(other->signature->identity, identity) != 0)
                return disagree(error, topic->name, other->generation->module->name,
                                other->signature->identity, next->module->name, identity);
        }
    }
    return BERTH_OK;
}

int berth_topics_check(struct berth_generation *next, const struct berth_generation *old,
                       struct berth_error *error)
{
    const struct berth_manifest *manifest = next->image->manifest;
    int code = BERTH_OK;
    pthread_rwlock_rdlock(&next->host->topic_lock);
    for (size_t i = 0; i < manifest->topic_count && code == BERTH_OK; i++)
        code = check_publisher(next, old, &manifest->topics[i], error);
    for (size_t i = 0; i < manifest->subscribe_count && code == BERTH_OK; i++)
        if (!manifest->subscribes[i].any)
            code = check_handler(next, old, &manifest->subscribes[i], error);
    pthread_rwlock_unlock(&next->host->topic_lock);
    return code;
}

/* Adds a topic nobody has declared before, with the subscriptions that match it. */
static struct berth_topic *topic_obtain(struct berth_host *host, const char *name)
{
    struct berth_topic *topic = berth_map_get(&host->topics, name);
    if (topic)
        return topic;
    topic = berth_calloc(1, sizeof *topic);
    if (!topic)
        return NULL;
    berth_list_init(&topic->publishers);
    topic->name = berth_strdup(name);
    size_t count = 0;
    berth_list_each(&host->subscriptions, link)
        count++;
    if (!topic->name || !topic_reserve(host, topic, count) ||
        !berth_map_set(&host->topics, name, topic)) {
        berth_free(topic->name);
        berth_free(topic->routes);
        berth_free(topic);
        return NULL;
    }
    berth_list_each(&host->subscriptions, link)
        topic_add(topic, berth_container(link, struct berth_subscription, link));
    return topic;
}

static struct berth_subscription *find_subscription(struct berth_module *module,
                                                    const struct berth_manifest_subscribe *handler)
{
    berth_list_each(&module->host->subscriptions, link) {
        struct berth_subscription *subscription =
            berth_container(link, struct berth_subscription, link);
        if (subscription->module == module &&
            strcmp(subscription->pattern, handler->pattern) == 0 &&
            strcmp(subscription->handler, handler->handler) == 0)
            return subscription;
    }
    return NULL;
}

int berth_topics_prepare(struct berth_generation *next, struct berth_error *error)
{
    const struct berth_manifest *manifest = next->image->manifest;
    struct berth_host *host = next->host;
    bool ok = true;
    pthread_rwlock_wrlock(&host->topic_lock);
    host->promised = manifest->subscribe_count;
    for (size_t i = 0; i < manifest->topic_count && ok; i++)
        ok = topic_obtain(host, manifest->topics[i].topic) != NULL;
    ok = ok && topics_reserve(host, 0);
    for (size_t i = 0; i < manifest->subscribe_count && ok; i++) {
        const struct berth_manifest_subscribe *handler = &manifest->subscribes[i];
        struct berth_subscription *known = find_subscription(next->module, handler);
        const char *identity = handler->any ? NULL : handler->signature->identity;
        if (known)
            __atomic_add_fetch(&known->refs, 1, __ATOMIC_RELAXED);
        else
            known = subscription_make(next->module, handler->pattern, handler->handler, identity);
        next->subscriptions[i] = known;
        ok = known != NULL;
    }
    pthread_rwlock_unlock(&host->topic_lock);
    return ok ? BERTH_OK : berth_error_nomem(error);
}

static void publishers_leave(struct berth_generation *generation)
{
    for (size_t i = 0; i < generation->publisher_count; i++)
        berth_list_remove(&generation->publishers[i].link);
}

static bool is_among(struct berth_subscription *const *set, size_t count,
                     const struct berth_subscription *one)
{
    for (size_t i = 0; i < count; i++)
        if (set[i] == one)
            return true;
    return false;
}

void berth_topics_switch(struct berth_generation *next, struct berth_generation *old)
{
    struct berth_host *host = next->host;
    pthread_rwlock_wrlock(&host->topic_lock);
    if (old)
        publishers_leave(old);
    for (size_t i = 0; i < next->publisher_count; i++) {
        struct berth_publisher *publisher = &next->publishers[i];
        publisher->topic =
            berth_map_get(&host->topics, next->image->manifest->topics[publisher->index].topic);
        berth_list_append(&publisher->topic->publishers, &publisher->link);
    }
    berth_list_each_safe(&host->subscriptions, link) {
        struct berth_subscription *subscription =
            berth_container(link, struct berth_subscription, link);
        if (subscription->module == next->module &&
            !is_among(next->subscriptions, next->handler_count, subscription))
            subscription_remove(host, subscription);
    }
    for (size_t i = 0; i < next->handler_count; i++) {
        struct berth_subscription *subscription = next->subscriptions[i];
        if (berth_list_empty(&subscription->link)) {
            __atomic_add_fetch(&subscription->refs, 1,
                               __ATOMIC_RELAXED); /* the host's; next has its own */
            subscription_insert(host, subscription);
        }
    }
    host->promised = 0;
    pthread_rwlock_unlock(&host->topic_lock);
}

void berth_topics_leave(struct berth_generation *generation)
{
    struct berth_host *host = generation->host;
    pthread_rwlock_wrlock(&host->topic_lock);
    publishers_leave(generation);
    berth_list_each_safe(&host->subscriptions, link) {
        struct berth_subscription *subscription =
            berth_container(link, struct berth_subscription, link);
        if (subscription->module == generation->module)
            subscription_remove(host, subscription);
    }
    pthread_rwlock_unlock(&host->topic_lock);
}

/* ---- publishing ---- */

/* Some subscription takes any type. topic_lock held. */
static bool wants_json(const struct berth_topic *topic)
{
    for (size_t i = 0; i < topic->count; i++)
        if (!topic->routes[i].subscription->identity && !topic->routes[i].subscription->denied)
            return true;
    return false;
}

/* Of the sender's messages on a route. topic_lock held for reading. */
static struct berth_flow *route_flow(struct berth_host *host, const struct berth_topic *topic,
                                     struct berth_route *route, const char *sender)
{
    const struct berth_subscription *subscription = route->subscription;
    struct berth_flow *flow = __atomic_load_n(&route->flow, __ATOMIC_ACQUIRE);
    char to[2 * BERTH_IDENTIFIER_MAX + 2];
    if (flow && strcmp(flow->from, sender) == 0)
        return flow;
    if (*subscription->module->name)
        snprintf(to, sizeof to, "%s.%s", subscription->module->name, subscription->handler);
    else /* the application, or a function that gets what host.subscribe was asked for */
        snprintf(to, sizeof to, "%s", subscription->handler);
    pthread_mutex_lock(&host->lock);
    flow = berth_flow_obtain(host, sender, topic->name, to);
    pthread_mutex_unlock(&host->lock);
    __atomic_store_n(&route->flow, flow, __ATOMIC_RELEASE);
    return flow;
}

int berth_topic_post(struct berth_host *host, struct berth_topic *topic, const char *sender,
                     const struct berth_signature *signature, const void *const *arguments,
                     struct berth_error *error)
{
    struct berth_parcel *parcel = NULL;
    char full[256] = "";
    size_t used = 0, missed = 0;
    if (topic->count == 0)
        return BERTH_OK;
    const struct berth_parcel_setup setup = {
        .topic = topic->name,
        .sender = sender,
        .signature = signature,
        .any = wants_json(topic),
        .echo = strcmp(topic->name, BERTH_LOG_TOPIC) == 0 || berth_log_is_echo(host),
    };
    int code = berth_parcel_new(host, &setup, arguments, &parcel, error);
    if (code != BERTH_OK)
        return code;
    for (size_t i = 0; i < topic->count; i++) {
        struct berth_subscription *subscription = topic->routes[i].subscription;
        if (subscription->denied)
            continue;
        struct berth_flow *flow = route_flow(host, topic, &topic->routes[i], sender);
        const struct berth_delivery how = { .full = subscription->full };
        if (berth_message_post(subscription, parcel, flow, &how) == BERTH_OK)
            continue;
        if (!error)
            __atomic_add_fetch(&subscription->dropped, 1, __ATOMIC_RELAXED);
        const char *name =
            *subscription->module->name ? subscription->module->name : "the application";
        int more = snprintf(full + used, sizeof full - used, "%s%s", missed ? ", " : "", name);
        used = more > 0 && (size_t)more < sizeof full - used ? used + (size_t)more : used;
        missed++;
    }
    berth_parcel_unref(parcel);
    if (missed == 0)
        return BERTH_OK;
    full[used] = '\0';
    return berth_error_set(
        error, BERTH_RESOURCE_EXHAUSTED,
        "topic %s: the mailbox of %s is full (%zu messages or %zu bytes): publish more slowly, or "
        "raise the limit",
        topic->name, full, host->options.mailbox_messages, host->options.mailbox_bytes);
}

void berth_publish(berth_ctx *ctx, struct berth_publisher *publisher, const void *const *arguments)
{
    struct berth_host *host = publisher->generation->host;
    struct berth_error error;
    int code;
    if (host->upstream) {
        code = berth_arguments_check(publisher->signature, arguments, &error);
        if (code == BERTH_OK && berth_too_deep(ctx))
            code = berth_error_set(&error, BERTH_RESOURCE_EXHAUSTED, "calls are nested too deeply");
        if (code == BERTH_OK)
            code = host->upstream->publish(host->upstream->user, ctx, publisher->index,
                                           publisher->signature, arguments, &error);
    } else {
        pthread_rwlock_rdlock(&host->topic_lock);
        /*
         * before the switch of a START that publishes there is no topic yet, and after its module
         * has gone none any more
         */
        struct berth_topic *topic = berth_map_get(
            &host->topics, publisher->generation->image->manifest->topics[publisher->index].topic);
        bool denied = publisher->denied;
        code = topic && !denied ? berth_topic_post(host, topic, publisher->generation->module->name,
                                                   publisher->signature, arguments, &error)
                                : BERTH_OK;
        pthread_rwlock_unlock(&host->topic_lock);
        if (denied)
            berth_permit_refuse(
                ctx, publisher->generation->module->name, BERTH_RIGHT_PUBLISH,
                publisher->generation->image->manifest->topics[publisher->index].topic);
    }
    if (code != BERTH_OK)
        berth_fault_raise_format(ctx, code, "%s", error.text);
}
