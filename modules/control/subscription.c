/* SPDX-License-Identifier: MIT */
/* Which client a message of the host's is for. */
#include "control.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

BERTH_IMPORT(u64, host, subscribe, (string, pattern), (string, function), (optional(string), full),
             (optional(u32), tries), (optional(string), group));
BERTH_IMPORT(void, host, unsubscribe, (u64, subscription));

#define BUCKETS          256
#define PATIENCE_SECONDS 2

static struct {
    pthread_mutex_t lock;
    pthread_cond_t settled;
    struct pattern *buckets[BUCKETS]; /* by the host's number */
    size_t unsettled;                 /* subscriptions that the host has, and this table not yet */
    uint64_t number;                  /* of the newest one, for the client */
} table = { .lock = PTHREAD_MUTEX_INITIALIZER, .settled = PTHREAD_COND_INITIALIZER };

/* ---- the table ------------------------------------------------------------------------------ */

static struct pattern **find(uint64_t host_id)
{
    struct pattern **at = &table.buckets[host_id % BUCKETS];
    while (*at && (*at)->host_id != host_id)
        at = &(*at)->next_in_bucket;
    return at;
}

uint64_t subscription_numbers(uint64_t at_least)
{
    pthread_mutex_lock(&table.lock);
    if (table.number < at_least)
        table.number = at_least;
    uint64_t number = table.number;
    pthread_mutex_unlock(&table.lock);
    return number;
}

/* With the lock. */
static void settle(void)
{
    table.unsettled--;
    pthread_cond_broadcast(&table.settled);
}

/*
 * The host may deliver before its number is in the table, and the client should have the answer to
 * its request before the first message: that one waits here for a moment.
 */
static struct pattern *find_settled(uint64_t host_id)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_SECONDS;
    while (!*find(host_id) && table.unsettled)
        if (pthread_cond_timedwait(&table.settled, &table.lock, &until))
            break;
    return *find(host_id);
}

void subscriptions_unsettle(void)
{
    pthread_mutex_lock(&table.lock);
    table.unsettled++;
    pthread_mutex_unlock(&table.lock);
}

void subscriptions_settle(void)
{
    pthread_mutex_lock(&table.lock);
    settle();
    pthread_mutex_unlock(&table.lock);
}

/* ---- theirs --------------------------------------------------------------------------------- */

static void subscription_free(struct subscription *subscription)
{
    for (size_t i = 0; i < subscription->count; i++)
        free(subscription->patterns[i].text);
    free(subscription);
}

static struct subscription *allocate(const char *const *patterns, size_t count)
{
    struct subscription *made =
        (struct subscription *)calloc(1, sizeof(*made) + count * sizeof(*made->patterns));
    for (size_t i = 0; made && i < count; i++) {
        made->patterns[i].of = made;
        made->patterns[i].text = strdup(patterns[i]);
        made->count++;
        if (!made->patterns[i].text) {
            subscription_free(made);
            made = NULL;
        }
    }
    return made;
}

struct subscription *subscription_new(berth_ctx *ctx, const char *const *patterns, size_t count,
                                      const char *group)
{
    const berth_optional_u32 once = { false, 0 };
    struct subscription *made = allocate(patterns, count);
    if (!made) {
        berth_fail(ctx, BERTH_RESOURCE_EXHAUSTED, "no memory for a subscription");
        return NULL;
    }
    pthread_mutex_lock(&table.lock);
    made->number = ++table.number;
    table.unsettled++;
    pthread_mutex_unlock(&table.lock);
    const char *function = berth_printf(ctx, "%s.deliver", own_name);
    for (size_t i = 0; i < count && !berth_failed(ctx); i++)
        made->patterns[i].host_id = host_subscribe(ctx, patterns[i], function, NULL, once, group);
    if (!berth_failed(ctx))
        return made;
    subscriptions_end(ctx, made);
    return NULL;
}

void subscription_begin(struct subscription *subscription, struct connection *connection)
{
    pthread_mutex_lock(&table.lock);
    for (size_t i = 0; i < subscription->count; i++) {
        struct pattern *pattern = &subscription->patterns[i];
        pattern->connection = connection;
        pattern->next_in_bucket = table.buckets[pattern->host_id % BUCKETS];
        table.buckets[pattern->host_id % BUCKETS] = pattern;
    }
    subscription->begun = true;
    if (!subscription->inherited)
        settle();
    pthread_mutex_unlock(&table.lock);
}

void subscription_forget(struct subscription *subscription)
{
    pthread_mutex_lock(&table.lock);
    if (!subscription->begun && !subscription->inherited)
        settle();
    for (size_t i = 0; subscription->begun && i < subscription->count; i++) {
        struct pattern **at = find(subscription->patterns[i].host_id);
        if (*at)
            *at = (*at)->next_in_bucket;
    }
    pthread_mutex_unlock(&table.lock);
}

struct subscription *subscription_inherit(uint64_t number, uint64_t dropped, const char *data,
                                          size_t size)
{
    const char *patterns[PATTERNS_MAX] = { NULL };
    uint64_t ids[PATTERNS_MAX];
    size_t count = 0;
    while (size > sizeof(*ids) && count < PATTERNS_MAX) {
        memcpy(&ids[count], data, sizeof(*ids));
        patterns[count] = data + sizeof(*ids);
        size_t length = sizeof(*ids) + strlen(patterns[count]) + 1;
        data += length;
        size -= length;
        count++;
    }
    struct subscription *made = allocate(patterns, count);
    for (size_t i = 0; made && i < count; i++)
        made->patterns[i].host_id = ids[i];
    if (made) {
        made->number = number;
        made->dropped = dropped;
        made->inherited = true;
    }
    return made;
}

void subscriptions_free(struct subscription *list)
{
    while (list) {
        struct subscription *next = list->next;
        subscription_free(list);
        list = next;
    }
}

void subscriptions_end(berth_ctx *ctx, struct subscription *list)
{
    while (list) {
        struct subscription *next = list->next;
        bool failed = berth_failed(ctx); /* the error that is there stays */
        subscription_forget(list);
        for (size_t i = 0; i < list->count; i++)
            if (list->patterns[i].host_id)
                host_unsubscribe(ctx, list->patterns[i].host_id);
        if (!failed)
            berth_clear(ctx);
        subscription_free(list);
        list = next;
    }
}

/* ---- messages ------------------------------------------------------------------------------- */

/* Whether a topic is one of a pattern: `*` is one token, `>` the rest, but for host.…. */
static bool matches(const char *pattern, const char *topic)
{
    if ((*pattern == '*' || *pattern == '>') && !strncmp(topic, "host.", 5))
        return false;
    for (;;) {
        size_t of_pattern = strcspn(pattern, "."), of_topic = strcspn(topic, ".");
        if (!strcmp(pattern, ">"))
            return true;
        if (strncmp(pattern, "*", of_pattern) != 0 &&
            (of_pattern != of_topic || memcmp(pattern, topic, of_topic) != 0))
            return false;
        if (!pattern[of_pattern] || !topic[of_topic])
            return pattern[of_pattern] == topic[of_topic];
        pattern += of_pattern + 1;
        topic += of_topic + 1;
    }
}

bool subscription_repeats(const struct subscription *subscription, uint64_t host_id,
                          const char *topic)
{
    for (size_t i = 0; i < subscription->count; i++) {
        if (subscription->patterns[i].host_id == host_id)
            return false;
        if (matches(subscription->patterns[i].text, topic))
            return true;
    }
    return false;
}

/* false: there is no such subscription. */
static bool deliver(const struct message *message, bool waits)
{
    pthread_mutex_lock(&table.lock);
    const struct pattern *pattern =
        waits ? find_settled(message->host_id) : *find(message->host_id);
    struct connection *connection = pattern ? pattern->connection : NULL;
    uint64_t number = pattern ? pattern->of->number : 0;
    pthread_mutex_unlock(&table.lock);
    /* its place stays; if another client has it now, that has no such number */
    return connection && connection_notify(connection, number, message);
}

void subscriptions_deliver(const struct message *message)
{
    if (!deliver(message, true)) /* it may have been given away while this was on its way */
        inherit_message(message);
}

void subscriptions_deliver_inherited(const struct message *message)
{
    deliver(message, false);
}
