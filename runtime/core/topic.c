/* SPDX-License-Identifier: MIT */
/*
 * Topics, who publishes to them, and who gets it. Each topic knows the subscriptions that match it,
 * so that publishing costs by them alone; a tree of tokens finds them when either is made.
 */
#include "runtime/core/topic.h"
#include "runtime/base/memory.h"
#include "runtime/base/pool.h"
#include "runtime/core/flow.h"
#include "runtime/core/log.h"
#include "runtime/core/mailbox.h"
#include "runtime/core/message.h"
#include "runtime/core/parcel.h"
#include "runtime/core/permit.h"
#include "runtime/core/started.h"

#include <stdio.h>
#include <string.h>

static struct berth_publisher *publisher_of(struct berth_list *link)
{
    return berth_container(link, struct berth_publisher, link);
}

const struct berth_manifest_topic *berth_topic_declared(const struct berth_topic *topic)
{
    return berth_list_empty(&topic->publishers) ? NULL
                                                : publisher_of(topic->publishers.next)->declared;
}

static struct berth_topic *topic_of(struct berth_topic_entry *entry)
{
    return berth_container(entry, struct berth_topic, entry);
}

static struct berth_subscription *subscription_of(struct berth_topic_entry *entry)
{
    return berth_container(entry, struct berth_subscription, entry);
}

/* ---- who changes topics, and who reads them ---- */

void berth_topics_lock(struct berth_host *host)
{
    pthread_rwlock_wrlock(&host->topic_lock);
    __atomic_store_n(&host->topics_change, true, __ATOMIC_RELAXED);
    berth_marks_wait(&host->threads);
}

void berth_topics_unlock(struct berth_host *host)
{
    __atomic_store_n(&host->topics_change, false, __ATOMIC_RELEASE);
    pthread_rwlock_unlock(&host->topic_lock);
}

bool berth_topics_enter_slowly(struct berth_host *host, struct berth_thread *thread)
{
    berth_mark_end(thread->mark);
    pthread_rwlock_rdlock(&host->topic_lock);
    return false;
}

/* ---- matches: what follows is under topic_lock, for writing ---- */

static struct berth_group *group_find(struct berth_topic *topic, const char *name)
{
    berth_list_each(&topic->groups, link) {
        struct berth_group *group = berth_container(link, struct berth_group, link);
        if (strcmp(group->name, name) == 0)
            return group;
    }
    return NULL;
}

static void group_unuse(struct berth_topic *topic, struct berth_group *group)
{
    if (--group->users)
        return;
    topic->receivers--;
    berth_list_remove(&group->link);
    berth_free(group->members);
    berth_free(group);
}

/* With a place for one more member. NULL: no memory. */
static struct berth_group *group_use(struct berth_topic *topic, const char *name)
{
    struct berth_group *group = group_find(topic, name);
    size_t size = strlen(name) + 1;
    if (!group) {
        group = berth_calloc(1, sizeof *group + size);
        if (!group)
            return NULL;
        memcpy(group->name, name, size);
        berth_list_append(&topic->groups, &group->link);
        topic->receivers++;
    }
    if (group->users == group->capacity) {
        size_t capacity = 2 * group->capacity + 2;
        struct berth_match **grown =
            berth_realloc(group->members, capacity * sizeof *group->members);
        if (grown) {
            group->members = grown;
            group->capacity = capacity;
        }
    }
    if (++group->users <= group->capacity)
        return group;
    group_unuse(topic, group);
    return NULL;
}

/* The topic does not know it yet. */
static struct berth_match *match_new(struct berth_topic *topic,
                                     struct berth_subscription *subscription)
{
    struct berth_match *match = berth_pool_alloc(sizeof *match);
    if (!match)
        return NULL;
    match->topic = topic;
    match->subscription = subscription;
    match->module = subscription->module;
    berth_list_init(&match->of_topic);
    if (subscription->how.group && !(match->group = group_use(topic, subscription->how.group))) {
        berth_pool_free(match);
        return NULL;
    }
    berth_list_append(&subscription->matches, &match->of_subscription);
    return match;
}

static void match_begin(struct berth_match *match)
{
    struct berth_group *group = match->group;
    match->topic->untyped += !match->subscription->identity;
    if (group) {
        match->place = group->count;
        group->members[group->count++] = match;
    } else {
        berth_list_append(&match->topic->matches, &match->of_topic);
        match->topic->receivers++;
    }
}

/* active: it had begun. */
static void match_free(struct berth_match *match, bool active)
{
    struct berth_group *group = match->group;
    if (active)
        match->topic->untyped -= !match->subscription->identity;
    if (group && active) {
        struct berth_match *moved = group->members[--group->count];
        group->members[match->place] = moved;
        moved->place = match->place;
    }
    if (group)
        group_unuse(match->topic, group);
    else if (active)
        match->topic->receivers--;
    berth_list_remove(&match->of_topic);
    berth_list_remove(&match->of_subscription);
    berth_pool_free(match);
}

/* ---- subscriptions ---- */

/* Messages are taken with the lock of their mailbox, and while nobody changes topics. */
static void take(struct berth_subscription *subscription)
{
    __atomic_store_n(&subscription->taken, subscription->taken + 1, __ATOMIC_RELAXED);
}

void berth_subscription_free(struct berth_subscription *subscription)
{
    berth_pool_free(subscription);
}

/*
 * None is taken any more. The reference of who ends it goes back, and what others have still to
 * give back is what the count of those given is below 0: who makes it 0 gives the last one.
 */
static void end_taking(struct berth_subscription *subscription)
{
    size_t taken = __atomic_load_n(&subscription->taken, __ATOMIC_RELAXED);
    if (__atomic_add_fetch(&subscription->given, 1 - taken, __ATOMIC_ACQ_REL) == 0)
        berth_subscription_free(subscription);
}

static size_t size_of(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

/* NULL, or a copy at *at, which goes on behind it. */
static char *place_text(char **at, const char *text)
{
    char *copy = text ? *at : NULL;
    if (text)
        *at = stpcpy(*at, text) + 1;
    return copy;
}

/* One block with its texts behind it: there may be very many. */
static struct berth_subscription *subscription_make(const struct berth_subscription_setup *setup,
                                                    const char *identity)
{
    struct berth_subscription *subscription =
        berth_pool_alloc(sizeof *subscription + size_of(setup->pattern) + size_of(setup->function) +
                         size_of(setup->holder) + size_of(setup->how.group) + size_of(identity));
    if (!subscription)
        return NULL;
    char *at = (char *)(subscription + 1);
    subscription->taken = 1;
    subscription->module = setup->module;
    subscription->how = setup->how;
    subscription->pattern = place_text(&at, setup->pattern);
    subscription->handler = place_text(&at, setup->function);
    subscription->holder = place_text(&at, setup->holder);
    subscription->how.group = place_text(&at, setup->how.group);
    subscription->identity = place_text(&at, identity);
    berth_list_init(&subscription->link);
    berth_list_init(&subscription->of_module);
    berth_list_init(&subscription->matches);
    return subscription;
}

static bool add_match(void *user, struct berth_topic_entry *entry)
{
    return match_new(topic_of(entry), user) != NULL;
}

/* Nobody finds it any more, and it matches nothing. */
static void subscription_displace(struct berth_host *host, struct berth_subscription *subscription)
{
    berth_topic_tree_remove(&host->patterns, &subscription->entry);
    berth_list_each_safe(&subscription->matches, link)
        match_free(berth_container(link, struct berth_match, of_subscription),
                   subscription->active);
    subscription->active = false;
}

/* All that it takes to be active. false: no memory. */
static bool subscription_place(struct berth_host *host, struct berth_subscription *subscription)
{
    if (berth_topic_tree_add(&host->patterns, subscription->pattern, &subscription->entry) &&
        berth_topic_tree_topics(&host->topic_tree, subscription->pattern, add_match, subscription))
        return true;
    subscription_displace(host, subscription);
    return false;
}

/* Lines are not even formatted for nobody. */
static void count_reader(struct berth_host *host, const struct berth_subscription *subscription,
                         size_t more)
{
    if (berth_pattern_matches(subscription->pattern, BERTH_LOG_TOPIC))
        __atomic_add_fetch(&host->log_readers, more, __ATOMIC_RELAXED);
}

static void subscription_activate(struct berth_host *host, struct berth_subscription *subscription)
{
    subscription->active = true;
    berth_list_append(&host->subscriptions, &subscription->link);
    berth_list_append(&subscription->module->subscriptions, &subscription->of_module);
    count_reader(host, subscription, 1);
    berth_list_each(&subscription->matches, link)
        match_begin(berth_container(link, struct berth_match, of_subscription));
}

static void subscription_remove(struct berth_host *host, struct berth_subscription *subscription)
{
    subscription_displace(host, subscription);
    berth_list_remove(&subscription->link);
    berth_list_remove(&subscription->of_module);
    count_reader(host, subscription, (size_t)-1);
    __atomic_store_n(&subscription->gone, true, __ATOMIC_RELEASE);
    end_taking(subscription);
}

static void send_current(struct berth_subscription *subscription);

int berth_subscription_new(struct berth_host *host, const struct berth_subscription_setup *setup,
                           struct berth_subscription **ret_subscription, struct berth_error *error)
{
    if (!berth_pattern_valid(setup->pattern))
        return berth_error_set(
            error, BERTH_INVALID_ARGUMENT,
            "\"%s\" is not a topic pattern: write tokens joined by dots, * for one, > for the rest",
            setup->pattern);
    struct berth_subscription *subscription = subscription_make(setup, NULL);
    if (!subscription)
        return berth_error_nomem(error);
    berth_topics_lock(host);
    subscription->denied = setup->holder && berth_permit_denies(host, subscription);
    bool placed = subscription_place(host, subscription);
    if (placed) {
        subscription_activate(host, subscription);
        send_current(subscription);
    }
    berth_topics_unlock(host);
    if (!placed) {
        end_taking(subscription);
        return berth_error_nomem(error);
    }
    *ret_subscription = subscription;
    return BERTH_OK;
}

void berth_subscription_end(struct berth_host *host, struct berth_subscription *subscription)
{
    berth_topics_lock(host);
    subscription_remove(host, subscription);
    berth_topics_unlock(host);
}

/* ---- a generation's topics ---- */

int berth_topic_disagree(const char *topic, const struct berth_topic_side *publisher,
                         const struct berth_topic_side *other, struct berth_error *error)
{
    char has[300], wants[300];
    const char *is = berth_fields_print(publisher->signature, "", has, sizeof has);
    const char *next = berth_fields_print(other->signature, "", wants, sizeof wants);
    if (strcmp(is, next) == 0) { /* structs that differ are called alike */
        is = publisher->signature->identity;
        next = other->signature->identity;
    }
    return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                           "topic %s: %s publishes %s, but %s has %s", topic, publisher->who, is,
                           other->who, next);
}

static int disagree(struct berth_error *error, const char *topic, const char *publisher,
                    const struct berth_signature *has, const char *other,
                    const struct berth_signature *wants)
{
    return berth_topic_disagree(topic, &(struct berth_topic_side){ publisher, has },
                                &(struct berth_topic_side){ other, wants }, error);
}

/* What next declares or handles, against what is there. */
struct check {
    const struct berth_generation *next, *old;
    const struct berth_manifest_topic *declared;
    const struct berth_manifest_subscribe *handler;
    int code;
    struct berth_error *error;
};

/* One that is active and has a type is declared by the generation that serves. */
static const struct berth_signature *declared_by(const struct berth_subscription *subscription)
{
    const struct berth_generation *current = subscription->module->current;
    for (size_t i = 0; i < current->handler_count; i++)
        if (current->subscriptions[i] == subscription)
            return current->image->manifest->subscribes[i].signature;
    return NULL;
}

static bool check_subscription(void *user, struct berth_topic_entry *entry)
{
    struct check *check = user;
    const struct berth_subscription *other = subscription_of(entry);
    const struct berth_signature *has = check->declared->signature;
    if (!other->active || other->module == check->next->module || other->module->next ||
        !other->identity || strcmp(other->identity, has->identity) == 0)
        return true;
    const struct berth_signature *wants = declared_by(other);
    check->code = disagree(check->error, check->declared->topic, check->next->module->name, has,
                           other->module->name, wants);
    return false;
}

/*
 * Whoever publishes to it, and stays: all of these have the same type, and so have the
 * subscriptions of modules that stay. NULL: nobody.
 */
static const struct berth_publisher *publisher_that_stays(const struct check *check,
                                                          const struct berth_topic *topic)
{
    berth_list_each(&topic->publishers, link) {
        const struct berth_publisher *publisher = publisher_of(link);
        if (publisher->generation != check->old && !publisher->generation->module->next)
            return publisher;
    }
    return NULL;
}

/*
 * A topic that next declares, against its other publishers, and against the subscriptions of other
 * modules.
 */
static int check_publisher(struct check *check)
{
    struct berth_host *host = check->next->host;
    const struct berth_manifest_topic *declared = check->declared;
    const struct berth_topic *topic = berth_map_get(&host->topics, declared->topic);
    const char *identity = declared->signature->identity;
    if (berth_topic_is_hosts(declared->topic) && !check->next->image->own_links)
        return berth_error_set(check->error, BERTH_PERMISSION_DENIED,
                               "topic %s: topics below host. are the host's own; choose another",
                               declared->topic);
    const struct berth_publisher *other = topic ? publisher_that_stays(check, topic) : NULL;
    if (other && strcmp(other->signature->identity, identity) != 0)
        return disagree(check->error, declared->topic, check->next->module->name,
                        declared->signature, other->generation->module->name, other->signature);
    if (!other)
        berth_topic_tree_patterns(&host->patterns, declared->topic, check_subscription, check);
    return check->code;
}

static bool check_topic(void *user, struct berth_topic_entry *entry)
{
    struct check *check = user;
    const struct berth_topic *topic = topic_of(entry);
    const char *identity = check->handler->signature->identity;
    const struct berth_publisher *other = publisher_that_stays(check, topic);
    if (other && strcmp(other->signature->identity, identity) != 0)
        check->code =
            disagree(check->error, topic->name, other->generation->module->name, other->signature,
                     check->next->module->name, check->handler->signature);
    return check->code == BERTH_OK;
}

static int check_handler(struct check *check)
{
    const struct berth_manifest *manifest = check->next->image->manifest;
    const struct berth_manifest_subscribe *handler = check->handler;
    const char *identity = handler->signature->identity;
    for (size_t i = 0; i < manifest->topic_count; i++)
        if (berth_pattern_matches(handler->pattern, manifest->topics[i].topic) &&
            strcmp(manifest->topics[i].signature->identity, identity) != 0)
            return disagree(check->error, manifest->topics[i].topic, check->next->module->name,
                            manifest->topics[i].signature, handler->handler, handler->signature);
    berth_topic_tree_topics(&check->next->host->topic_tree, handler->pattern, check_topic, check);
    return check->code;
}

int berth_topics_check(struct berth_generation *next, const struct berth_generation *old,
                       struct berth_error *error)
{
    const struct berth_manifest *manifest = next->image->manifest;
    struct check check = { .next = next, .old = old, .error = error };
    int code = BERTH_OK;
    pthread_rwlock_rdlock(&next->host->topic_lock);
    for (size_t i = 0; i < manifest->topic_count && code == BERTH_OK; i++) {
        check.declared = &manifest->topics[i];
        code = check_publisher(&check);
    }
    for (size_t i = 0; i < manifest->subscribe_count && code == BERTH_OK; i++) {
        check.handler = &manifest->subscribes[i];
        if (!check.handler->any)
            code = check_handler(&check);
    }
    pthread_rwlock_unlock(&next->host->topic_lock);
    return code;
}

static void topic_free(struct berth_host *host, struct berth_topic *topic)
{
    berth_topic_tree_remove(&host->topic_tree, &topic->entry);
    berth_list_each_safe(&topic->matches, link)
        match_free(berth_container(link, struct berth_match, of_topic), true);
    berth_list_each_safe(&topic->groups, link) {
        struct berth_group *group = berth_container(link, struct berth_group, link);
        for (size_t left = group->count; left > 0; left--) /* the last one takes the group along */
            match_free(group->members[left - 1], true);
    }
    berth_parcel_unref(topic->last);
    berth_free(topic->name);
    berth_pool_free(topic);
}

void berth_topics_free(struct berth_host *host)
{
    struct berth_map_entry *entry;
    for (size_t i = 0; berth_map_next(&host->topics, &i, &entry);)
        topic_free(host, entry->value);
    berth_map_deinit(&host->topics);
    berth_topic_tree_deinit(&host->topic_tree);
    berth_topic_tree_deinit(&host->patterns);
}

/* One that is not active yet will be, if its load or reload goes well. */
static bool add_subscription(void *user, struct berth_topic_entry *entry)
{
    struct berth_subscription *subscription = subscription_of(entry);
    struct berth_match *match = match_new(user, subscription);
    if (match && subscription->active)
        match_begin(match);
    return match;
}

/* The other way round: its newest match, if that is of the topic. */
static bool remove_subscription(void *user, struct berth_topic_entry *entry)
{
    struct berth_subscription *subscription = subscription_of(entry);
    struct berth_list *newest = subscription->matches.previous;
    struct berth_match *match = berth_container(newest, struct berth_match, of_subscription);
    if (newest != &subscription->matches && match->topic == user)
        match_free(match, subscription->active);
    return true;
}

/* Adds a topic nobody has declared before, with the subscriptions that match it. */
static struct berth_topic *topic_obtain(struct berth_host *host, const char *name)
{
    struct berth_topic *topic = berth_map_get(&host->topics, name);
    if (topic)
        return topic;
    topic = berth_pool_alloc(sizeof *topic);
    if (!topic)
        return NULL;
    berth_list_init(&topic->publishers);
    berth_list_init(&topic->matches);
    berth_list_init(&topic->groups);
    topic->name = berth_strdup(name);
    topic->of_log = strcmp(name, BERTH_LOG_TOPIC) == 0;
    if (topic->name && berth_topic_tree_add(&host->topic_tree, name, &topic->entry) &&
        berth_topic_tree_patterns(&host->patterns, name, add_subscription, topic) &&
        berth_map_set(&host->topics, name, topic))
        return topic;
    berth_topic_tree_patterns(&host->patterns, name, remove_subscription, topic);
    topic_free(host, topic);
    return NULL;
}

static struct berth_receipt receipt_of(const struct berth_manifest_subscribe *handler)
{
    return (struct berth_receipt){ handler->full, handler->tries, handler->group };
}

static bool same_text(const char *one, const char *other)
{
    return one && other ? strcmp(one, other) == 0 : one == other;
}

/* NULL: any. */
static const char *identity_of(const struct berth_manifest_subscribe *handler)
{
    return handler->any ? NULL : handler->signature->identity;
}

/*
 * Of the module's own, the one for a handler: what waits for one of another type it could not read.
 * NULL: there is none.
 */
static struct berth_subscription *subscription_find(const struct berth_module *module,
                                                    const struct berth_manifest_subscribe *handler)
{
    berth_list_each(&module->subscriptions, link) {
        struct berth_subscription *subscription =
            berth_container(link, struct berth_subscription, of_module);
        if (strcmp(subscription->handler, handler->handler) == 0 &&
            strcmp(subscription->pattern, handler->pattern) == 0 &&
            same_text(subscription->identity, identity_of(handler)) &&
            same_text(subscription->how.group, handler->group))
            return subscription;
    }
    return NULL;
}

/* The module's own for a handler: the one that is there, or a new one. NULL: no memory. */
static struct berth_subscription *subscription_obtain(
    struct berth_module *module, const struct berth_manifest_subscribe *handler)
{
    struct berth_subscription *found = subscription_find(module, handler);
    const struct berth_subscription_setup setup = { .module = module,
                                                    .pattern = handler->pattern,
                                                    .function = handler->handler,
                                                    .how = receipt_of(handler) };
    if (found) {
        take(found);
        return found;
    }
    struct berth_subscription *made = subscription_make(&setup, identity_of(handler));
    if (made && subscription_place(module->host, made))
        return made;
    if (made)
        end_taking(made);
    return NULL;
}

int berth_topics_prepare(struct berth_generation *next, struct berth_error *error)
{
    const struct berth_manifest *manifest = next->image->manifest;
    struct berth_host *host = next->host;
    bool ok = true;
    if (!manifest->topic_count && !manifest->subscribe_count)
        return BERTH_OK;
    berth_topics_lock(host);
    for (size_t i = 0; i < manifest->topic_count && ok; i++)
        ok = topic_obtain(host, manifest->topics[i].topic) != NULL;
    for (size_t i = 0; i < manifest->subscribe_count && ok; i++) {
        next->subscriptions[i] = subscription_obtain(next->module, &manifest->subscribes[i]);
        ok = next->subscriptions[i] != NULL;
    }
    berth_topics_unlock(host);
    return ok ? BERTH_OK : berth_error_nomem(error);
}

void berth_topics_release(struct berth_generation *generation)
{
    struct berth_host *host = generation->host;
    if (!generation->subscriptions || !generation->handler_count)
        return;
    berth_topics_lock(host);
    for (size_t i = 0; i < generation->handler_count; i++) {
        struct berth_subscription *subscription = generation->subscriptions[i];
        if (!subscription)
            continue;
        if (subscription->active || subscription->gone) {
            berth_subscription_give(subscription, 1);
        } else { /* it has not come to it: it is nobody else's */
            subscription_displace(host, subscription);
            end_taking(subscription);
        }
    }
    berth_topics_unlock(host);
}

static void publishers_leave(struct berth_generation *generation)
{
    for (size_t i = 0; i < generation->publisher_count; i++)
        berth_list_remove(&generation->publishers[i].link);
}

static void publishers_come(struct berth_generation *generation)
{
    for (size_t i = 0; i < generation->publisher_count; i++) {
        struct berth_publisher *publisher = &generation->publishers[i];
        publisher->topic = berth_map_get(&generation->host->topics, publisher->declared->topic);
        berth_list_append(&publisher->topic->publishers, &publisher->link);
    }
}

static bool is_among(struct berth_subscription *const *set, size_t count,
                     const struct berth_subscription *one)
{
    for (size_t i = 0; i < count; i++)
        if (set[i] == one)
            return true;
    return false;
}

/* Those of the module, but for what `kept` handles; NULL: all. */
static void subscriptions_leave(struct berth_module *module, const struct berth_generation *kept)
{
    berth_list_each_safe(&module->subscriptions, link) {
        struct berth_subscription *subscription =
            berth_container(link, struct berth_subscription, of_module);
        if (!kept || !is_among(kept->subscriptions, kept->handler_count, subscription))
            subscription_remove(module->host, subscription);
    }
}

/* The handlers of next get what comes, and the current values, as nothing of theirs is kept. */
static void subscriptions_come(struct berth_generation *next)
{
    for (size_t i = 0; i < next->handler_count; i++) {
        struct berth_subscription *subscription = next->subscriptions[i];
        const struct berth_receipt how = receipt_of(&next->image->manifest->subscribes[i]);
        subscription->how.full = how.full;
        subscription->how.tries = how.tries;
        if (!subscription->active) {
            take(subscription); /* the host's; next has its own */
            subscription_activate(next->host, subscription);
        }
        send_current(subscription);
    }
}

void berth_topics_switch(struct berth_generation *next, struct berth_generation *old)
{
    struct berth_host *host = next->host;
    berth_topics_lock(host);
    if (old)
        publishers_leave(old);
    publishers_come(next);
    subscriptions_leave(next->module, next);
    subscriptions_come(next);
    berth_topics_unlock(host);
}

void berth_topics_retire(struct berth_generation *generation)
{
    struct berth_host *host = generation->host;
    berth_topics_lock(host);
    publishers_leave(generation);
    subscriptions_leave(generation->module, NULL);
    berth_topics_unlock(host);
}

/* ---- publishing ---- */

/*
 * Among very many modules nothing of a message's way is in the caches, and each thing on it leads
 * to the next. So what is needed soon is fetched while there is something else to do.
 */
static void fetch_match(const struct berth_topic *topic)
{
    if (!berth_list_empty(&topic->matches))
        __builtin_prefetch(berth_container(topic->matches.next, struct berth_match, of_topic));
}

static void fetch_receiver(const struct berth_match *match)
{
    const struct berth_module *module = match->module;
    __builtin_prefetch(match->subscription);
    __builtin_prefetch(__atomic_load_n(&match->flow, __ATOMIC_RELAXED));
    __builtin_prefetch(&module->mail_lock);
    __builtin_prefetch(&module->boxes[BERTH_PRIORITY_DATA]);
}

/* flow: of the last sender, which is another one as it seems, or NULL. */
__attribute__((noinline)) static struct berth_flow *flow_look_up(struct berth_match *match,
                                                                 struct berth_flow *flow,
                                                                 const char *sender)
{
    const struct berth_subscription *subscription = match->subscription;
    struct berth_host *host = subscription->module->host;
    char to[2 * BERTH_IDENTIFIER_MAX + 2];
    if (flow && strcmp(flow->from, sender) == 0)
        return flow;
    if (*subscription->module->name)
        snprintf(to, sizeof to, "%s.%s", subscription->module->name, subscription->handler);
    else /* the application, or a function that gets what host.subscribe was asked for */
        snprintf(to, sizeof to, "%s", subscription->handler);
    pthread_mutex_lock(&host->lock);
    flow = berth_flow_obtain(host, sender, match->topic->name, to);
    pthread_mutex_unlock(&host->lock);
    __atomic_store_n(&match->flow, flow, __ATOMIC_RELEASE);
    return flow;
}

/* Of the sender's messages to a subscription. topic_lock held for reading. */
static inline struct berth_flow *flow_of(struct berth_match *match, const char *sender)
{
    struct berth_flow *flow = __atomic_load_n(&match->flow, __ATOMIC_ACQUIRE);
    return flow && flow->sender == sender ? flow : flow_look_up(match, flow, sender);
}

static const char *name_of(const struct berth_subscription *subscription)
{
    return *subscription->module->name ? subscription->module->name : "the application";
}

static void miss(struct berth_missed *missed, const char *text)
{
    size_t used = strlen(missed->text), room = sizeof missed->text - used;
    int more = snprintf(missed->text + used, room, "%s%s", used ? ", " : "", text);
    if (more >= 0 && ((size_t)more < room || !used))
        return;
    missed->text[used] = '\0';
    missed->more++;
}

/* Somebody has to be waited for, which is done without the lock. */
struct wait {
    struct berth_list link;
    struct berth_message_ticket ticket;
    struct berth_room room;
};

/* With a place to wait at. */
__attribute__((noinline)) static int post_and_wait(struct berth_posting *posting,
                                                   struct berth_subscription *subscription,
                                                   struct berth_parcel *parcel, void *place,
                                                   struct berth_flow *flow)
{
    struct wait *wait = berth_malloc(sizeof *wait);
    if (!wait)
        return BERTH_MESSAGE_NO_MEMORY;
    const struct berth_delivery how = { BERTH_FULL_BLOCK, &wait->room, &subscription->taken };
    int code = berth_message_post(subscription, parcel, place, flow, &how, &wait->ticket);
    if (code == BERTH_MAIL_WAITS)
        berth_list_append(&posting->waits, &wait->link);
    else
        berth_free(wait);
    return code;
}

/*
 * To the next receiver. Those whose messages lie in the parcel come last: once they have it, the
 * parcel may have gone.
 */
BERTH_I_INLINE int post(struct berth_posting *posting, struct berth_match *match,
                        struct berth_parcel *parcel, enum berth_full full)
{
    struct berth_subscription *subscription = match->subscription;
    struct berth_flow *flow = flow_of(match, posting->sender);
    bool waits = full == BERTH_FULL_BLOCK && posting->ctx;
    const struct berth_delivery how = { waits ? BERTH_FULL_REJECT : full, NULL,
                                        &subscription->taken };
    size_t i = posting->left - 1;
    void *place = i < BERTH_PARCEL_PLACES ? parcel->places + i * berth_message_size : NULL;
    int code = berth_message_post(subscription, parcel, place, flow, &how, NULL);
    if (BERTH_I_UNLIKELY(code == BERTH_RESOURCE_EXHAUSTED) && waits) /* if there still is no room */
        code = post_and_wait(posting, subscription, parcel, place, flow);
    if (code == BERTH_OK)
        berth_message_count(posting->host, posting->thread, flow);
    return code;
}

/* Returns false: it does not get there. */
__attribute__((noinline)) static bool refused(struct berth_posting *posting,
                                              struct berth_match *match, int code)
{
    struct berth_subscription *subscription = match->subscription;
    bool full = code != BERTH_MESSAGE_NO_MEMORY;
    posting->code = full ? code : BERTH_RESOURCE_EXHAUSTED;
    berth_message_refused(posting->host, subscription, flow_of(match, posting->sender),
                          posting->code, !posting->ctx);
    miss(full ? &posting->full : &posting->too_much, name_of(subscription));
    return false;
}

/* false: it does not get there. */
BERTH_I_INLINE bool post_to(struct berth_posting *posting, struct berth_match *match,
                            struct berth_parcel *parcel)
{
    int code = post(posting, match, parcel, match->subscription->how.full);
    if (BERTH_I_UNLIKELY(code != BERTH_OK && code != BERTH_MAIL_WAITS))
        return refused(posting, match, code);
    return true;
}

static struct berth_match *member_of(const struct berth_group *group, size_t turn)
{
    return group->members[turn % group->count];
}

/* The next one whose mailbox has room; if none has, the next one, as it wants that. false: none. */
__attribute__((noinline)) static bool post_to_one(struct berth_posting *posting,
                                                  struct berth_group *group,
                                                  struct berth_parcel *parcel)
{
    size_t first = __atomic_fetch_add(&group->turn, 1, __ATOMIC_RELAXED);
    struct berth_match *next = NULL;
    for (size_t i = 0; i < group->count; i++) {
        struct berth_match *match = member_of(group, first + i);
        if (match->subscription->denied)
            continue;
        next = next ? next : match;
        if (post(posting, match, parcel, BERTH_FULL_REJECT) == BERTH_OK)
            return true;
    }
    return next && post_to(posting, next, parcel);
}

/* The next receiver's reference has gone with its message, or is given back. */
static void receiver_done(struct berth_posting *posting, struct berth_parcel *parcel, bool posted)
{
    posting->left--;
    if (!posted)
        berth_parcel_unref(parcel);
}

/* A reference goes with it. */
static void set_current(struct berth_topic *topic, struct berth_parcel *parcel,
                        struct berth_host *host)
{
    pthread_mutex_lock(&host->last_lock);
    struct berth_parcel *before = topic->last;
    topic->last = parcel;
    pthread_mutex_unlock(&host->last_lock);
    berth_parcel_unref(before);
}

/* What a subscription that has just come would have got last. topic_lock held for writing. */
static void send_current(struct berth_subscription *subscription)
{
    struct berth_host *host = subscription->module->host;
    berth_list_each(&subscription->matches, link) {
        struct berth_match *match = berth_container(link, struct berth_match, of_subscription);
        struct berth_parcel *parcel = match->topic->last;
        const struct berth_delivery how = { subscription->how.full, NULL, &subscription->taken };
        if (!parcel || subscription->denied)
            continue;
        struct berth_flow *flow = flow_of(match, parcel->sender);
        __atomic_add_fetch(&parcel->refs, 1, __ATOMIC_RELAXED);
        if (berth_message_post(subscription, parcel, NULL, flow, &how, NULL) == BERTH_OK) {
            berth_message_count(host, berth_thread_mine(&host->threads), flow);
            continue;
        }
        berth_message_refused(host, subscription, flow, BERTH_RESOURCE_EXHAUSTED, true);
        berth_parcel_unref(parcel);
    }
}

bool berth_topic_is_read(struct berth_host *host, const char *name)
{
    pthread_rwlock_rdlock(&host->topic_lock);
    const struct berth_topic *topic = berth_map_get(&host->topics, name);
    bool read = topic && topic->receivers > 0;
    pthread_rwlock_unlock(&host->topic_lock);
    return read;
}

/* false: it would not have got it. */
static bool lose_for(const struct berth_posting *posting, struct berth_match *match)
{
    if (match->subscription->denied)
        return false;
    berth_message_refused(posting->host, match->subscription, flow_of(match, posting->sender),
                          posting->code, true);
    return true;
}

/* A message of the host's own, for which there is no memory: who would have got it is told so. */
static void lose(const struct berth_posting *posting)
{
    berth_list_each(&posting->topic->matches, link)
        lose_for(posting, berth_container(link, struct berth_match, of_topic));
    berth_list_each(&posting->topic->groups, link) {
        struct berth_group *group = berth_container(link, struct berth_group, link);
        size_t first = __atomic_fetch_add(&group->turn, 1, __ATOMIC_RELAXED), i = 0;
        while (i < group->count && !lose_for(posting, member_of(group, first + i)))
            i++;
    }
}

/* To all receivers, who are at least one. */
BERTH_I_INLINE void post_to_all(struct berth_posting *posting, struct berth_parcel *parcel)
{
    struct berth_topic *topic = posting->topic;
    berth_list_each(&topic->matches, link) {
        struct berth_match *match = berth_container(link, struct berth_match, of_topic);
        fetch_receiver(match);
        bool posted = !match->subscription->denied && post_to(posting, match, parcel);
        receiver_done(posting, parcel, posted);
    }
    berth_list_each(&topic->groups, link) {
        struct berth_group *group = berth_container(link, struct berth_group, link);
        receiver_done(posting, parcel, post_to_one(posting, group, parcel));
    }
}

/* thread: of the call that it is sent in, or NULL: the host's own. */
static inline void address(const struct berth_posting *posting, const struct berth_thread *thread,
                           struct berth_parcel *parcel)
{
    const struct berth_topic *topic = posting->topic;
    /* a current value is none of its sender's call, and outlives that */
    const struct berth_thread *call = posting->declared->last ? NULL : thread;
    parcel->topic = topic->name;
    parcel->sender = posting->sender;
    parcel->priority = (uint8_t)posting->declared->priority;
    parcel->echo = topic->of_log || (thread ? thread->echo : berth_log_is_echo(posting->host));
    parcel->deadline = call ? call->deadline : BERTH_FOREVER;
    struct berth_started *cause = call ? berth_cause_of(call) : NULL;
    if (cause)
        berth_started_ref(cause);
    parcel->cause = cause;
}

BERTH_I_INLINE void posting_begin(struct berth_posting *posting, struct berth_thread *thread,
                                  const void *const *arguments, struct berth_error *error)
{
    struct berth_topic *topic = posting->topic;
    struct berth_parcel *parcel = NULL;
    const struct berth_parcel_setup setup = {
        .thread = posting->declared->last ? NULL : posting->thread,
        .signature = posting->declared->signature,
        .receivers = topic->receivers + posting->declared->last,
        .place = berth_message_size,
        .any = topic->untyped > 0 || posting->declared->last,
    };
    berth_list_init(&posting->waits);
    posting->full.text[0] = posting->too_much.text[0] = posting->waited.text[0] = '\0';
    posting->full.more = posting->too_much.more = posting->waited.more = 0;
    posting->code = BERTH_OK;
    posting->left = topic->receivers;
    if (!setup.receivers)
        return;
    fetch_match(topic);
    posting->code = berth_parcel_new(posting->host, &setup, arguments, &parcel, error);
    if (posting->code != BERTH_OK && !posting->ctx)
        lose(posting);
    if (posting->code != BERTH_OK)
        return;
    address(posting, thread, parcel);
    if (posting->declared->last)
        set_current(topic, parcel, posting->host);
    post_to_all(posting, parcel);
}

void berth_posting_begin(struct berth_posting *posting, const void *const *arguments,
                         struct berth_error *error)
{
    struct berth_thread *thread = posting->ctx ? berth_thread_of(posting->ctx) : NULL;
    posting->thread = thread ? thread : berth_thread_mine(&posting->host->threads);
    posting_begin(posting, thread, arguments, error);
}

/* All of them have until the sender's deadline; who gets room first does not matter. */
static int finish_waits(struct berth_posting *posting)
{
    int code = BERTH_OK;
    berth_list_each_safe(&posting->waits, link) {
        struct wait *wait = berth_container(link, struct wait, link);
        struct berth_error why;
        int its = berth_room_wait(posting->ctx, &wait->room,
                                  berth_thread_of(posting->ctx)->deadline, &why);
        berth_message_waited(posting->ctx, &wait->ticket, its);
        if (its != BERTH_OK)
            miss(&posting->waited, why.text);
        code = code == BERTH_OK ? its : code;
        berth_free(wait);
    }
    return code;
}

/* In front of what the error tells, or alone. */
static void tell_missed(struct berth_error *error, int code, const char *before,
                        const struct berth_missed *missed, const char *behind)
{
    char more[40] = "";
    if (!missed->text[0])
        return;
    if (missed->more)
        snprintf(more, sizeof more, " and %u more", missed->more);
    if (error->code == BERTH_OK)
        berth_error_set(error, code, "%s%s%s%s", before, missed->text, more, behind);
    else
        berth_error_prefix(error, "%s%s%s%s; ", before, missed->text, more, behind);
}

/* false: there is no message at all, or everybody has got it. */
static bool tell_all_missed(const struct berth_posting *posting, int code,
                            struct berth_error *ret_error)
{
    const struct berth_host_options *options = &posting->host->options;
    char limits[160];
    snprintf(limits, sizeof limits,
             " is full (%zu messages or %zu bytes): publish more slowly, or raise the limit",
             options->mailbox_messages, options->mailbox_bytes);
    ret_error->code = BERTH_OK;
    tell_missed(ret_error, code, "", &posting->waited, "");
    tell_missed(ret_error, code, "there is no memory for ", &posting->too_much, "");
    tell_missed(ret_error, code, "the mailbox of ", &posting->full, limits);
    if (ret_error->code == BERTH_OK)
        return false;
    berth_error_prefix(ret_error, "topic %s: ", posting->topic->name);
    return true;
}

int berth_posting_finish_slowly(struct berth_posting *posting, struct berth_error *error)
{
    struct berth_error all;
    int waited = finish_waits(posting), code = posting->code != BERTH_OK ? posting->code : waited;
    if (code != BERTH_OK && tell_all_missed(posting, code, &all) && error)
        *error = all;
    return code;
}

/*
 * Before the switch of a START that publishes its generation has not come to it yet, and there may
 * be none: NULL.
 */
static struct berth_topic *topic_of_publisher(const struct berth_publisher *publisher)
{
    return publisher->topic
               ? publisher->topic
               : berth_map_get(&publisher->generation->host->topics, publisher->declared->topic);
}

int berth_publisher_post(berth_ctx *ctx, struct berth_publisher *publisher,
                         const void *const *arguments, struct berth_error *error)
{
    struct berth_generation *generation = publisher->generation;
    struct berth_host *host = generation->host;
    struct berth_thread *thread = berth_thread_of(ctx);
    struct berth_posting posting; /* most of it is room */
    posting.host = host;
    posting.ctx = ctx;
    posting.thread = thread;
    posting.sender = generation->module->name;
    posting.declared = publisher->declared;
    __builtin_prefetch(publisher->topic);
    __builtin_prefetch(publisher->signature);
    bool marked = berth_topics_enter(host, thread);
    posting.topic = topic_of_publisher(publisher);
    bool denied = publisher->denied, posted = posting.topic && !denied;
    if (posted)
        posting_begin(&posting, thread, arguments, error);
    berth_topics_leave(host, thread, marked);
    if (denied)
        berth_permit_refuse(ctx, posting.sender, BERTH_RIGHT_PUBLISH, posting.declared->topic);
    return posted ? berth_posting_finish(&posting, error) : BERTH_OK;
}

/* In a worker: by the host that it serves. */
static int publish_upstream(berth_ctx *ctx, const struct berth_publisher *publisher,
                            const void *const *arguments, struct berth_error *error)
{
    const struct berth_upstream *upstream = publisher->generation->host->upstream;
    int code = berth_arguments_check(publisher->signature, arguments, error);
    if (code == BERTH_OK && berth_too_deep(ctx))
        code = berth_error_set(error, BERTH_RESOURCE_EXHAUSTED, "calls are nested too deeply");
    return code == BERTH_OK ? upstream->publish(upstream->user, ctx, publisher->index,
                                                publisher->signature, arguments, error)
                            : code;
}

void berth_publish(berth_ctx *ctx, struct berth_publisher *publisher, const void *const *arguments)
{
    struct berth_error error;
    int code = BERTH_I_UNLIKELY(publisher->generation->host->upstream != NULL)
                   ? publish_upstream(ctx, publisher, arguments, &error)
                   : berth_publisher_post(ctx, publisher, arguments, &error);
    if (BERTH_I_UNLIKELY(code != BERTH_OK))
        berth_fault_raise_format(ctx, code, "%s", error.text);
}

void berth_publish_own(struct berth_host *host, const char *name, const void *const *arguments)
{
    struct berth_posting posting = { .host = host, .sender = "host" };
    pthread_rwlock_rdlock(&host->topic_lock);
    posting.topic = berth_map_get(&host->topics, name);
    posting.declared = posting.topic ? berth_topic_declared(posting.topic) : NULL;
    if (posting.declared) {
        berth_posting_begin(&posting, arguments, NULL);
        berth_posting_finish(&posting, NULL);
    }
    pthread_rwlock_unlock(&host->topic_lock);
}
