/* SPDX-License-Identifier: MIT */
/*
 * Subscriptions that come and go, by the application, by host.subscribe and with their modules,
 * while several threads publish what they are for: each message that was accepted is handled or
 * counted, and nothing of a subscription is looked at once it has gone (sanitizers see that).
 */
#include "tests/support/hosting.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { PUBLISHERS = 3, ROUNDS = 300 };

static struct {
    berth_host *host;
    bool over;                            /* atomic */
    uint64_t published, refused, handled; /* atomic */
} all;

static bool is_over(void)
{
    return __atomic_load_n(&all.over, __ATOMIC_ACQUIRE);
}

static void *publish(void *unused)
{
    while (!is_over()) {
        berth_ctx *ctx = berth_host_enter(all.host);
        for (int i = 0; i < 20; i++) {
            int code = berth_publish_json(ctx, "news.text", "{\"text\":\"t\",\"number\":1}");
            CHECK(code == BERTH_OK || code == BERTH_RESOURCE_EXHAUSTED);
            __atomic_add_fetch(code == BERTH_OK ? &all.published : &all.refused, 1,
                               __ATOMIC_RELAXED);
            berth_clear(ctx);
        }
        berth_leave(ctx);
    }
    return unused;
}

static void hear(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    (void)ctx;
    CHECK_STR(message->topic, "news.text");
    __atomic_add_fetch(&all.handled, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch((unsigned *)user, 1, __ATOMIC_RELAXED);
}

/* Of the application: of its own, and in a group. */
static void *come_and_go(void *group)
{
    const struct berth_subscribe_options options = {
        .size = sizeof options, .full = BERTH_FULL_DROP_OLDEST, .tries = 1, .group = group
    };
    for (int i = 0; i < ROUNDS; i++) {
        struct berth_error error;
        unsigned heard = 0;
        uint64_t id = 0;
        CHECK_CODE(
            berth_host_subscribe_with(all.host, "news.*", &options, hear, &heard, &id, &error),
            BERTH_OK, &error);
        for (int turns = 0; turns < 3 && !__atomic_load_n(&heard, __ATOMIC_RELAXED); turns++)
            sched_yield();
        berth_host_unsubscribe(all.host, id); /* from here on it is not called */
    }
    return NULL;
}

/* A function that gets them, as long as somebody has asked for that. */
static void *ask_and_end(void *unused)
{
    for (int i = 0; i < ROUNDS; i++) {
        const char *id = CALL(all.host, "host.subscribe", "[\"news.>\",\"observer.take\"]");
        CHECK_CALL(all.host, "host.unsubscribe", berth_test_format("[%s]", id), "null");
    }
    return unused;
}

static void load_and_unload(const char *placement)
{
    for (int i = 0; i < ROUNDS / 10; i++) {
        struct berth_error error;
        LOAD(all.host, "subscriber", placement);
        CHECK_CODE(berth_host_unload(all.host, "subscriber", &error), BERTH_OK, &error);
    }
}

static void check_report(void)
{
    struct berth_shutdown_report report = { .size = sizeof report };

    CHECK_INT(berth_host_end(all.host, &report), BERTH_OK);
    CHECK_INT(report.sent, report.delivered + report.rejected + report.dropped + report.expired +
                               report.dead_lettered + report.left);
    CHECK(all.handled > 0 && report.delivered >= all.handled);
    berth_note("%llu published, %llu refused; %llu sent, %llu delivered, %llu left",
               (unsigned long long)all.published, (unsigned long long)all.refused,
               (unsigned long long)report.sent, (unsigned long long)report.delivered,
               (unsigned long long)report.left);
}

static void stress(const char *placement)
{
    static char group[] = "ears";
    pthread_t publishers[PUBLISHERS], subscribers[3];

    if (!strcmp(placement, "process") && berth_test_valgrind())
        berth_skip("valgrind cannot follow workers");
    memset(&all, 0, sizeof all);
    all.host = berth_test_host(NULL);
    LOAD(all.host, "publisher", "inline"); /* it declares the topic */
    LOAD(all.host, "observer", placement);
    for (int i = 0; i < PUBLISHERS; i++)
        REQUIRE(pthread_create(&publishers[i], NULL, publish, NULL) == 0);
    REQUIRE(pthread_create(&subscribers[0], NULL, come_and_go, NULL) == 0);
    REQUIRE(pthread_create(&subscribers[1], NULL, come_and_go, group) == 0);
    REQUIRE(pthread_create(&subscribers[2], NULL, ask_and_end, NULL) == 0);
    load_and_unload(placement);
    for (int i = 0; i < 3; i++)
        pthread_join(subscribers[i], NULL);
    __atomic_store_n(&all.over, true, __ATOMIC_RELEASE);
    for (int i = 0; i < PUBLISHERS; i++)
        pthread_join(publishers[i], NULL);
    check_report();
}

BERTH_TEST_BOTH(stress)

static const struct berth_test tests[] = {
    BERTH_TEST_ROWS("subscriptions come and go", stress),
};

int main(int argc, char **argv)
{
    return berth_suite_main("subscribe_stress", tests, sizeof tests / sizeof *tests, argc, argv);
}
