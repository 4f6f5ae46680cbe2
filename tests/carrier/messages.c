/* SPDX-License-Identifier: MIT */
/* Messages: topics, order, mailboxes that are full, who hears what. */
#include "tests/carrier/conformance.h"

#include <pthread.h>
#include <unistd.h>

static void messages_reach_their_handlers(void)
{
    const char *const places[][2] = { { conformance.placement, conformance.placement },
                                      { conformance.placement, conformance.other },
                                      { conformance.other, conformance.placement } };

    for (size_t i = 0; i < 3; i++) {
        berth_host *host = conformance_host();
        LOAD(host, "publisher", places[i][0]);
        CHECK_CALL(host, "publisher.ring", "[]", "null"); /* nobody listens: fine */
        LOAD(host, "subscriber", places[i][1]);
        CHECK_CALL(host, "publisher.text", "[\"h\u00e4llo\",7]", "null");
        CHECK_CALL(host, "publisher.data", "[\"AAEC\",[1,2]]", "null");
        CHECK_CALL(host, "publisher.ring", "[]", "null");
        UNTIL(host, CALL_INT(host, "subscriber.bells", "[]") == 1); /* the last message */
        UNTIL(host, CALL_INT(host, "subscriber.all", "[]") == 3);
        CHECK_CALL(host, "subscriber.texts", "[]", "1");
        CHECK_CALL(host, "subscriber.last", "[]", "\"h\u00e4llo\"");
        CHECK_CALL(host, "subscriber.datas", "[]", "5");
        CHECK_CALL(host, "subscriber.last_topic", "[]", "\"news.bell\"");
        berth_host_free(host);
    }
}

static void messages_keep_their_order(void)
{
    berth_host *host = conformance_host();

    LOAD(host, "publisher", conformance.placement);
    LOAD(host, "subscriber", conformance.placement);
    for (int round = 0; round < 5; round++) {
        int64_t texts = CALL_INT(host, "subscriber.texts", "[]");
        CHECK_CALL(host, "publisher.burst", "[200]", "200");
        UNTIL(host, CALL_INT(host, "subscriber.texts", "[]") == texts + 200);
    }
    CHECK_CALL(host, "subscriber.disorder", "[]", "0");
    UNTIL(host, CALL_INT(host, "subscriber.all", "[]") == 1000);
    berth_host_free(host);
}

/* One that stays with the first text until the file, whose name is returned, is removed. */
static const char *load_held_subscriber(berth_host *host)
{
    const char *hold = berth_test_hold_path();

    berth_test_write(hold, "", 0);
    REQUIRE(berth_test_loaded(host, "subscriber", conformance.placement,
                              berth_test_format("{\"hold\":\"%s\"}", hold), BERTH_TEST_HERE));
    return hold;
}

static void a_full_mailbox_refuses_and_is_named(void)
{
    struct berth_host_options options = berth_test_host_options();

    if (conformance_process() && berth_test_valgrind())
        berth_skip("valgrind cannot follow a worker");
    options.threads = conformance.threads;
    options.flags |= conformance.flags;
    options.mailbox_messages = 8;
    berth_host *host = berth_test_host(&options);
    LOAD(host, "publisher", conformance.placement);
    const char *hold = load_held_subscriber(host);
    int64_t sent = CALL_INT(host, "publisher.burst", "[100]");
    CHECK(sent < 100);
    CHECK(sent >= 4); /* two mails a text: the any-handler has its own */
    CHECK_FAILS(host, "publisher.text", "[\"late\",100]", BERTH_RESOURCE_EXHAUSTED, "subscriber");
    unlink(hold);
    UNTIL(host, CALL_INT(host, "subscriber.texts", "[]") >= sent);
    CHECK_CALL(host, "publisher.text", "[\"again\",1000]", "null");
    UNTIL(host, !strcmp(CALL(host, "subscriber.last", "[]"), "\"again\""));
    CHECK_CALL(host, "subscriber.disorder", "[]", "0");
    berth_host_free(host);
}

/* A message that is larger than a whole mailbox gets through an empty one, or nothing could. */
static void a_mailbox_counts_bytes_too(void)
{
    struct berth_host_options options = berth_test_host_options();
    char *large = berth_test_alloc(9001);
    struct berth_error error;
    int code = BERTH_OK;

    if (conformance_process() && berth_test_valgrind())
        berth_skip("valgrind cannot follow a worker");
    memset(large, 'a', 9000);
    options.threads = conformance.threads;
    options.mailbox_bytes = 4096;
    berth_host *host = berth_test_host(&options);
    LOAD(host, "publisher", conformance.placement);
    const char *hold = load_held_subscriber(host);
    for (int i = 0; i < 10 && code == BERTH_OK; i++)
        code = berth_test_try(host, "publisher.text", berth_test_format("[\"%s\",1]", large), 0,
                              NULL, &error);
    CHECK_CODE(code, BERTH_RESOURCE_EXHAUSTED, &error);
    CHECK_CONTAINS(error.text, "subscriber");
    unlink(hold);
    UNTIL(host, CALL_INT(host, "subscriber.all", "[]") >= 1);
    UNTIL(host, CALL_INT(host, "publisher.burst", "[1]") == 1);
    UNTIL(host, !strcmp(CALL(host, "subscriber.last", "[]"), "\"burst\""));
    berth_host_free(host);
}

static void a_handler_that_fails_loses_only_its_message(void)
{
    berth_host *host = conformance_host();

    LOAD(host, "publisher", conformance.placement);
    LOAD(host, "subscriber", conformance.placement);
    CHECK_CALL(host, "publisher.text", "[\"fail\",1]", "null");
    CHECK_CALL(host, "publisher.text", "[\"fine\",2]", "null");
    UNTIL(host, !strcmp(CALL(host, "subscriber.last", "[]"), "\"fine\""));
    UNTIL(host, CALL_INT(host, "subscriber.all", "[]") == 2);
    UNTIL(host, strstr(berth_test_log(), "told to fail"));
    CHECK_CONTAINS(berth_test_log(), "news.text");
    berth_host_free(host);
}

/* ---- The application listens ---- */

struct heard {
    pthread_mutex_t lock;
    size_t count;
    long long last, disorder;
    char topic[32], fields[64], sender[32];
    useconds_t delay;
};

static void hear(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    struct heard *heard = user;
    const char *number = strstr(message->fields, "\"number\":");

    CHECK(ctx);
    CHECK(message->size >= sizeof(*message));
    if (heard->delay)
        usleep(heard->delay);
    pthread_mutex_lock(&heard->lock);
    heard->count++;
    if (number) {
        long long value = strtoll(number + 9, NULL, 10);
        heard->disorder += value != 0 && value <= heard->last;
        heard->last = value;
    }
    snprintf(heard->topic, sizeof(heard->topic), "%s", message->topic);
    snprintf(heard->fields, sizeof(heard->fields), "%s", message->fields);
    snprintf(heard->sender, sizeof(heard->sender), "%s", message->sender);
    pthread_mutex_unlock(&heard->lock);
}

static size_t heard_count(struct heard *heard)
{
    pthread_mutex_lock(&heard->lock);
    size_t count = heard->count;
    pthread_mutex_unlock(&heard->lock);
    return count;
}

static void the_application_subscribes(void)
{
    static const struct {
        const char *pattern;
        size_t count;
    } patterns[] = { { "news.text", 2 },   { "news.*", 4 }, { ">", 4 },    { "news.>", 4 },
                     { "*.bell", 1 },      { "*", 0 },      { "news", 0 }, { "news.text.>", 0 },
                     { "news.text.*", 0 }, { "*.*", 4 },    { "old.>", 0 } };
    enum { COUNT = sizeof(patterns) / sizeof(patterns[0]) };
    struct heard heard[COUNT];
    uint64_t ids[COUNT];
    struct berth_error error;
    berth_host *host = conformance_host();

    for (size_t i = 0; i < COUNT; i++) {
        heard[i] = (struct heard){ .lock = PTHREAD_MUTEX_INITIALIZER };
        CHECK_CODE(
            berth_host_subscribe(host, patterns[i].pattern, hear, &heard[i], &ids[i], &error),
            BERTH_OK, &error);
        CHECK(ids[i] != 0);
    }
    LOAD(host, "publisher", conformance.placement);
    CHECK_CALL(host, "publisher.text", "[\"a\",1]", "null");
    CHECK_CALL(host, "publisher.data", "[\"AAEC\",[1,2.5]]", "null");
    CHECK_CALL(host, "publisher.ring", "[]", "null");
    CHECK_CALL(host, "publisher.text", "[\"b\",2]", "null");
    for (size_t i = 0; i < COUNT; i++)
        UNTIL(host, heard_count(&heard[i]) >= patterns[i].count);
    for (size_t i = 0; i < COUNT; i++) {
        berth_host_unsubscribe(host, ids[i]);
        CHECK_INT(heard[i].count, patterns[i].count);
    }
    CHECK_STR(heard[0].topic, "news.text");
    CHECK_STR(heard[0].fields, "{\"text\":\"b\",\"number\":2}");
    CHECK_STR(heard[0].sender, "publisher");
    CHECK_STR(heard[4].fields, "{}");
    CHECK_CALL(host, "publisher.ring", "[]", "null");
    for (int i = 0; i < 10; i++)
        berth_test_pass_time(host);
    CHECK_INT(heard[2].count, 4);
    berth_host_unsubscribe(host, ids[0]); /* twice is nothing */
    berth_host_unsubscribe(host, 0);
    berth_host_free(host);
}

/* Inline a publisher can hand over anything: nobody gets it. */
static void what_is_not_of_its_type_reaches_nobody(void)
{
    struct heard heard = { .lock = PTHREAD_MUTEX_INITIALIZER };
    berth_host *host = conformance_host();
    struct berth_error error;
    uint64_t id;

    CHECK_CODE(berth_host_subscribe(host, "liar.news", hear, &heard, &id, &error), BERTH_OK,
               &error);
    LOAD(host, "liar", conformance.placement);
    CHECK_FAILS(host, "liar.publish", "[]", BERTH_INVALID_ARGUMENT, "liar.publish: ");
    CHECK_FAILS(host, "liar.publish", "[]", BERTH_INVALID_ARGUMENT, "argument remark: ");
    berth_host_unsubscribe(host, id);
    CHECK_INT(heard.count, 0);
    berth_host_free(host);
}

static void wrong_patterns_are_refused(void)
{
    static const char *const wrong[] = { "",     ".",     "a.",     ".a",  "a..b", "a.>.b",
                                         "a.b*", "A B.c", "a.\xff", ">.a", "a b" };
    berth_host *host = conformance_host();
    struct berth_error error;
    uint64_t id = 0;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        CHECK_CODE(berth_host_subscribe(host, wrong[i], hear, NULL, &id, &error),
                   BERTH_INVALID_ARGUMENT, &error);
    CHECK_INT(id, 0);
    berth_host_free(host);
}

static void unsubscribing_waits_for_the_callback(void)
{
    struct berth_error error;

    if (!conformance.threads)
        berth_skip("needs threads");
    berth_host *host = conformance_host();
    LOAD(host, "publisher", conformance.placement);
    for (int i = 0; i < 5; i++) {
        struct heard *heard = malloc(sizeof(*heard));
        uint64_t id;
        *heard = (struct heard){ .lock = PTHREAD_MUTEX_INITIALIZER, .delay = 2000 };
        CHECK_CODE(berth_host_subscribe(host, ">", hear, heard, &id, &error), BERTH_OK, &error);
        CHECK_CALL(host, "publisher.burst", "[20]", "20");
        UNTIL(host, heard_count(heard) > 0);
        berth_host_unsubscribe(host, id);
        free(heard);
    }
    berth_host_free(host);
}

struct once {
    berth_host *host;
    uint64_t id;
    int count;
};

static void hear_once(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    struct once *once = user;

    (void)ctx;
    (void)message;
    __atomic_add_fetch(&once->count, 1, __ATOMIC_SEQ_CST);
    berth_host_unsubscribe(once->host, __atomic_load_n(&once->id, __ATOMIC_SEQ_CST));
}

static void a_callback_may_unsubscribe_itself(void)
{
    berth_host *host = conformance_host();
    struct once once = { .host = host };
    struct berth_error error;
    uint64_t id;

    LOAD(host, "publisher", conformance.placement);
    CHECK_CODE(berth_host_subscribe(host, "news.text", hear_once, &once, &id, &error), BERTH_OK,
               &error);
    __atomic_store_n(&once.id, id, __ATOMIC_SEQ_CST);
    CHECK_CALL(host, "publisher.burst", "[10]", "10");
    UNTIL(host, __atomic_load_n(&once.count, __ATOMIC_SEQ_CST) == 1);
    for (int i = 0; i < 10; i++)
        berth_test_pass_time(host);
    CHECK_INT(__atomic_load_n(&once.count, __ATOMIC_SEQ_CST), 1);
    berth_host_free(host);
}

static void a_callback_may_call(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    struct berth_value name = { .kind = BERTH_VALUE_STRING, .as.string = message->topic }, out;

    if (berth_call(ctx, "greet.hello", &name, 1, &out) == BERTH_OK &&
        !strcmp(out.as.string, "Hello, news.bell"))
        __atomic_add_fetch((int *)user, 1, __ATOMIC_SEQ_CST);
}

static void callbacks_call_modules(void)
{
    berth_host *host = conformance_host();
    struct berth_error error;
    uint64_t id;
    int count = 0;

    LOAD(host, "publisher", conformance.placement);
    LOAD(host, "greet", conformance.placement);
    CHECK_CODE(berth_host_subscribe(host, "news.bell", a_callback_may_call, &count, &id, &error),
               BERTH_OK, &error);
    for (int i = 0; i < 10; i++)
        CHECK_CALL(host, "publisher.ring", "[]", "null");
    UNTIL(host, __atomic_load_n(&count, __ATOMIC_SEQ_CST) == 10);
    berth_host_unsubscribe(host, id);
    berth_host_free(host);
}

static void *burst(void *host)
{
    for (int i = 0; i < 10; i++)
        CHECK_CALL(host, "publisher.burst", "[10]", "10");
    return NULL;
}

static void nothing_is_lost_over_a_reload_of_the_receiver(void)
{
    berth_host *host = conformance_host();
    struct heard heard = { .lock = PTHREAD_MUTEX_INITIALIZER };
    struct berth_error error;
    pthread_t thread;
    uint64_t id;

    LOAD(host, "publisher", conformance.placement);
    CHECK_CODE(berth_host_subscribe(host, "news.text", hear, &heard, &id, &error), BERTH_OK,
               &error);
    pthread_create(&thread, NULL, burst, host);
    for (int i = 0; i < 5; i++)
        CHECK_CODE(berth_host_reload(host, "publisher", NULL, NULL, &error), BERTH_OK, &error);
    pthread_join(thread, NULL);
    UNTIL(host, heard_count(&heard) == 100);
    berth_host_unsubscribe(host, id);
    berth_host_free(host);
}

const struct berth_test conformance_messages[] = {
    { "messages_reach_their_handlers", messages_reach_their_handlers },
    { "messages_keep_their_order", messages_keep_their_order },
    { "a_full_mailbox_refuses_and_is_named", a_full_mailbox_refuses_and_is_named },
    { "a_mailbox_counts_bytes_too", a_mailbox_counts_bytes_too },
    { "a_handler_that_fails_loses_only_its_message", a_handler_that_fails_loses_only_its_message },
    { "the_application_subscribes", the_application_subscribes },
    { "what_is_not_of_its_type_reaches_nobody", what_is_not_of_its_type_reaches_nobody },
    { "wrong_patterns_are_refused", wrong_patterns_are_refused },
    { "unsubscribing_waits_for_the_callback", unsubscribing_waits_for_the_callback },
    { "a_callback_may_unsubscribe_itself", a_callback_may_unsubscribe_itself },
    { "callbacks_call_modules", callbacks_call_modules },
    { "nothing_is_lost_over_a_reload_of_the_receiver",
      nothing_is_lost_over_a_reload_of_the_receiver },
    { NULL, NULL },
};
