/* SPDX-License-Identifier: MIT */
/*
 * Senders that have to wait for room, without memory at each place where it is asked for: in the
 * thread of the sender, in the whole host, or in the sender's worker. Each gets an error that says
 * so, or waits; whoever has got the message is counted, and nobody waits for ever.
 */
#include "tests/support/hosting.h"
#include "tests/support/shortage.h"

#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ROOM         1024 /* messages in a mailbox */

static berth_host *host;
static struct berth_error error;

/* While the file is there, both receivers stay with the message "hold". */
static const char *hold;
static uint64_t heard; /* atomic */
static bool emptied;   /* the application has got to the last message; atomic */

static struct {
    pthread_t thread;
    sem_t asked;
    bool over; /* atomic */
} releaser;

/* A sender asks for it before it waits. That it does is likely, and no check depends on it. */
static void *release_main(void *argument)
{
    while (sem_wait(&releaser.asked) == 0 && !__atomic_load_n(&releaser.over, __ATOMIC_ACQUIRE)) {
        berth_test_pause(2);
        unlink(hold);
    }
    return argument;
}

static void hear(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    (void)ctx;
    (void)user;
    while (strstr(message->fields, "\"hold\"") && berth_test_exists(hold))
        berth_test_pause(1);
    __atomic_add_fetch(&heard, 1, __ATOMIC_RELAXED);
    if (strstr(message->fields, "\"last\""))
        __atomic_store_n(&emptied, true, __ATOMIC_RELEASE);
}

/* ---- Senders ---- */

/* Both mailboxes are full, and nobody takes anything out. */
static void fill(void)
{
    berth_test_write(hold, "", 0);
    CHECK_CALL(host, "boss.work", "[\"hold\",0]", "null");
    CHECK_CALL(host, "boss.burst", "[\"x\",1023]", "1023");
}

/* What is told of a lack of memory is no lack of room. */
static int check_told(berth_ctx *ctx)
{
    int code = berth_error_code(ctx);

    if (code != BERTH_OK && code != BERTH_DEADLINE_EXCEEDED) {
        CHECK(berth_error_text(ctx)[0]);
        CHECK(!strstr(berth_error_text(ctx), "is full"));
    }
    berth_clear(ctx);
    berth_leave(ctx);
    return code;
}

/* Room comes meanwhile, or there is a timeout. */
static berth_ctx *enter(int64_t timeout_ns)
{
    berth_ctx *ctx = berth_host_enter(host);

    if (timeout_ns && ctx)
        berth_set_timeout(ctx, timeout_ns);
    if (!timeout_ns)
        sem_post(&releaser.asked);
    return ctx;
}

static int publish_for(int64_t timeout_ns)
{
    berth_ctx *ctx = enter(timeout_ns);

    if (!ctx)
        return BERTH_RESOURCE_EXHAUSTED;
    berth_publish_json(ctx, "jobs.work", "{\"what\":\"x\",\"number\":0}");
    return check_told(ctx);
}

static int publish(void)
{
    return publish_for(0);
}

static int publish_until_the_deadline(void)
{
    int code = publish_for(10000000);

    unlink(hold);
    return code == BERTH_DEADLINE_EXCEEDED ? BERTH_OK : code;
}

static int call_sender(const char *function, const char *arguments)
{
    berth_ctx *ctx = enter(0);

    if (!ctx)
        return BERTH_RESOURCE_EXHAUSTED;
    berth_call_json(ctx, function, arguments, NULL);
    return check_told(ctx);
}

static int publish_as_a_module(void)
{
    return call_sender("boss.work", "[\"x\",0]");
}

static int send_as_a_module(void)
{
    return call_sender("boss.say", "[\"x\"]");
}

static const struct berth_operation operations[] = {
    { "publish", publish, NULL, fill },
    { "publish until the deadline", publish_until_the_deadline, NULL, fill },
    { "a module's publish", publish_as_a_module, NULL, fill },
    { "a module's call that is sent", send_as_a_module, NULL, fill },
};

/* ---- Trying them ---- */

static void set_up(const struct berth_shortage *shortage, const char *placement)
{
    const struct berth_subscribe_options blocks = { .size = sizeof(blocks),
                                                    .full = BERTH_FULL_BLOCK };

    hold = berth_test_hold_path();
    host = berth_scarce_host(shortage, !strcmp(placement, "process"));
    const char *options = berth_test_format("{\"hold\":\"%s\"}", hold);
    REQUIRE(berth_test_loaded(host, "picky", placement, options, BERTH_TEST_HERE));
    LOAD(host, "boss", placement);
    CHECK_CODE(berth_host_subscribe_with(host, "jobs.work", &blocks, hear, NULL, NULL, &error),
               BERTH_OK, &error);
    heard = 0;
    releaser.over = false;
    REQUIRE(sem_init(&releaser.asked, 0, 0) == 0);
    REQUIRE(pthread_create(&releaser.thread, NULL, release_main, NULL) == 0);
}

static void empty(void)
{
    unlink(hold);
    __atomic_store_n(&emptied, false, __ATOMIC_RELAXED);
    CHECK_CALL(host, "boss.work", "[\"last\",0]", "null");
    UNTIL(host, __atomic_load_n(&emptied, __ATOMIC_ACQUIRE));
    berth_scarce_settle(host);
}

static void check_ledger(void)
{
    struct berth_shutdown_report report = { .size = sizeof(report) };

    empty();
    uint64_t handled =
        (uint64_t)CALL_INT(host, "picky.jobs", "[]") + __atomic_load_n(&heard, __ATOMIC_RELAXED);
    CHECK_INT(berth_host_end(host, &report), BERTH_OK);
    CHECK_INT(report.delivered, handled);
    CHECK_INT(report.sent, report.delivered + report.rejected + report.dropped + report.expired +
                               report.dead_lettered + report.left);
    CHECK(report.rejected > 0);
    berth_note("%llu messages were sent, %llu delivered, %llu rejected",
               (unsigned long long)report.sent, (unsigned long long)report.delivered,
               (unsigned long long)report.rejected);
}

static void try_all(struct berth_shortage shortage, const char *placement)
{
    if (shortage.where == BERTH_SHORT_ON_THREAD)
        shortage.where = BERTH_SHORT_IN_HOST; /* the host has threads, without which nobody waits */
    set_up(&shortage, placement);
    const struct berth_scarce scarce = { host, empty, NULL, LONG_MAX };
    for (size_t i = 0; i < COUNT(operations); i++)
        berth_scarce_try(&scarce, &operations[i], &shortage);
    check_ledger();
    __atomic_store_n(&releaser.over, true, __ATOMIC_RELEASE);
    sem_post(&releaser.asked);
    pthread_join(releaser.thread, NULL);
    sem_destroy(&releaser.asked);
}

static void inline_without_a_block(void)
{
    try_all(berth_short_of_block, "inline");
}

static void inline_without_memory(void)
{
    try_all(berth_short_of_memory, "inline");
}

static void a_host_without_memory(void)
{
    try_all(berth_host_short_of_memory, "inline");
}

static void a_host_of_workers_without_memory(void)
{
    try_all(berth_host_short_of_memory, "process");
}

static void workers_without_memory(void)
{
#ifdef __SANITIZE_ADDRESS__
    berth_skip("AddressSanitizer itself ends a worker that has no memory for a thread");
#else
    try_all(berth_workers_short_of_memory, "process");
#endif
}

static const struct berth_test tests[] = {
    { "inline_without_a_block", inline_without_a_block },
    { "inline_without_memory", inline_without_memory },
    { "a_host_without_memory", a_host_without_memory },
    { "a_host_of_workers_without_memory", a_host_of_workers_without_memory },
    { "workers_without_memory", workers_without_memory },
};

int main(int argc, char **argv)
{
    return berth_suite_main("blocked senders without memory", tests, COUNT(tests), argc, argv);
}
