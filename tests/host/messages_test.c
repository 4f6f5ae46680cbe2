/* SPDX-License-Identifier: MIT */
/*
 * What a mailbox does when it is full, who comes first, who gets a message, and what has become of
 * every one of them.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/core/core.h"
#include "tests/support/hosting.h"

static berth_host *host;
static struct berth_error error;

static void begin(int threads, size_t messages)
{
    struct berth_host_options options = berth_test_host_options();
    options.threads = threads;
    if (messages)
        options.mailbox_messages = messages;
    host = berth_test_host(&options);
}

/* Whatever a test does, each message has ended in one way. */
static void end(void)
{
    struct berth_shutdown_report report = { .size = sizeof report };
    CHECK_INT(berth_host_end(host, &report), BERTH_OK);
    CHECK_INT(report.delivered + report.rejected + report.dropped + report.expired +
                  report.dead_lettered + report.left,
              report.sent);
}

static void dispatch(void)
{
    while (berth_host_dispatch(host, 0) > 0)
        ;
}

/* What the application has heard: "number " for each message. */
struct ear {
    pthread_mutex_t lock;
    char heard[4096];
    size_t count;
    uint64_t dropped;
    const char *fail_at; /* fields that are refused */
    int fails;           /* so often */
};

static void hear(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    struct ear *ear = user;
    pthread_mutex_lock(&ear->lock);
    bool fails = ear->fail_at && strstr(message->fields, ear->fail_at) && ear->fails-- > 0;
    size_t used = strlen(ear->heard);
    const char *number = strrchr(message->fields, ':');
    snprintf(ear->heard + used, sizeof ear->heard - used, "%s%.*s ", fails ? "!" : "",
             (int)strcspn(number + 1, "}"), number + 1);
    ear->count++;
    ear->dropped += message->dropped;
    pthread_mutex_unlock(&ear->lock);
    if (fails)
        berth_fail(ctx, BERTH_UNKNOWN, "told to");
}

static size_t count_of(struct ear *ear)
{
    pthread_mutex_lock(&ear->lock);
    size_t count = ear->count;
    pthread_mutex_unlock(&ear->lock);
    return count;
}

static uint64_t listen_with(const char *pattern, struct ear *ear, enum berth_full full, int tries,
                            const char *group)
{
    const struct berth_subscribe_options options = {
        .size = sizeof options, .full = full, .tries = tries, .group = group
    };
    uint64_t id = 0;
    memset(ear, 0, sizeof *ear);
    pthread_mutex_init(&ear->lock, NULL);
    CHECK_CODE(berth_host_subscribe_with(host, pattern, &options, hear, ear, &id, &error), BERTH_OK,
               &error);
    return id;
}

static void work(const char *what, int number)
{
    char arguments[64];
    snprintf(arguments, sizeof arguments, "[\"%s\",%d]", what, number);
    CHECK_CALL(host, "boss.work", arguments, "null");
}

/* Loads picky, and has it stay with its first job until the file is removed. */
static const char *load_held(const char *placement)
{
    const char *path = berth_test_hold_path();
    char options[512];
    fclose(fopen(path, "w"));
    snprintf(options, sizeof options, "{\"hold\":\"%s\"}", path);
    LOAD(host, "boss", placement);
    CHECK_CODE(berth_test_load(host, "picky", placement, options, &error), BERTH_OK, &error);
    return path;
}

/* ---- full mailboxes ---- */

static void *burst(void *argument)
{
    CHECK_CALL(host, "boss.burst", argument, "20");
    return NULL;
}

static void block_waits_for_room(const char *placement)
{
    pthread_t senders[2];
    begin(2, 4);
    const char *path = load_held(placement);
    berth_test_load_as(host, "boss", "boss2", placement);
    work("hold", 0);
    CHECK_CALL(host, "boss.burst", "[\"x\",3]", "3");
    pthread_create(&senders[0], NULL, burst, (void *)"[\"y\",20]");
    pthread_create(&senders[1], NULL, burst, (void *)"[\"z\",20]");
    berth_test_pause(20); /* they wait now, or will */
    remove(path);
    pthread_join(senders[0], NULL);
    pthread_join(senders[1], NULL);
    EVENTUALLY(CALL_INT(host, "picky.jobs", "[]") == 44);
    end();
}

static void a_sender_waits_for_room(void)
{
    block_waits_for_room("inline");
}

static void a_sender_in_a_process_waits_for_room(void)
{
    if (berth_test_valgrind())
        berth_skip("valgrind cannot follow workers");
    block_waits_for_room("process");
}

/* All of them stay inside of their workers, and there is one thread for their turns. */
static void slow_workers_hold_up_nobody(void)
{
    enum { WORKERS = 5 };
    const char *path = berth_test_hold_path();
    struct ear ear;
    char options[512], name[16];
    if (berth_test_valgrind())
        berth_skip("valgrind cannot follow workers");
    begin(1, 0);
    fclose(fopen(path, "w"));
    snprintf(options, sizeof options, "{\"hold\":\"%s\"}", path);
    LOAD(host, "boss", NULL);
    for (int i = 0; i < WORKERS; i++) {
        snprintf(name, sizeof name, "picky%d", i);
        const struct berth_load_options load = {
            .size = sizeof load, .name = name, .placement = "process", .options = options
        };
        CHECK_CODE(berth_host_load(host, berth_test_fixture("picky"), &load, &error), BERTH_OK,
                   &error);
    }
    for (int i = 0; i < WORKERS; i++)
        work("hold", 0); /* one for each, in turns */
    listen_with("jobs.now", &ear, BERTH_FULL_REJECT, 1, NULL);
    CHECK_CALL(host, "boss.now", "[7]", "null");
    EVENTUALLY(count_of(&ear) == 1);
    CHECK(berth_test_exists(path));
    remove(path);
    for (int i = 0; i < WORKERS; i++) {
        snprintf(name, sizeof name, "picky%d.jobs", i);
        EVENTUALLY(CALL_INT(host, name, "[]") == 1);
    }
    end();
}

static void a_wait_ends_at_the_deadline(void)
{
    begin(2, 2);
    const char *path = load_held("inline");
    work("hold", 0);
    work("x", 1);
    CHECK_CODE(berth_test_try(host, "boss.work", "[\"x\",2]", 50000000, NULL, &error),
               BERTH_DEADLINE_EXCEEDED, &error);
    CHECK_CONTAINS(error.text, "the mailbox of picky was full until the deadline");
    remove(path);
    EVENTUALLY(CALL_INT(host, "picky.jobs", "[]") == 2);
    end();
}

/* Who could not be waited for, and everybody who was waited for in vain. */
static void all_who_miss_it_are_named(void)
{
    struct ear ears[3];
    begin(2, 1);
    LOAD(host, "boss", "inline");
    for (int i = 0; i < 3; i++) {
        listen_with("jobs.work", &ears[i], i ? BERTH_FULL_BLOCK : BERTH_FULL_REJECT, 1, NULL);
        pthread_mutex_lock(&ears[i].lock); /* its turn does not end */
    }
    work("x", 1);
    CHECK_CODE(berth_test_try(host, "boss.work", "[\"x\",2]", 20000000, NULL, &error),
               BERTH_RESOURCE_EXHAUSTED, &error);
    CHECK_CONTAINS(
        error.text,
        "topic jobs.work: the mailbox of the application is full (1 messages or 1048576 "
        "bytes): publish more slowly, or raise the limit; the mailbox of the application "
        "was full until the deadline, the mailbox of the application was full until the "
        "deadline");
    for (int i = 0; i < 3; i++)
        pthread_mutex_unlock(&ears[i].lock);
    for (int i = 0; i < 3; i++)
        EVENTUALLY(count_of(&ears[i]) == 1);
    end();
}

static int send(const char *what, enum berth_full full, int64_t timeout, char *ret_text)
{
    const struct berth_call_options options = { sizeof options, timeout, full };
    char arguments[64];
    snprintf(arguments, sizeof arguments, "[\"%s\"]", what);
    berth_ctx *ctx = berth_host_enter(host);
    int code = berth_send_json(ctx, "picky.say", arguments, &options);
    strcpy(ret_text, code ? berth_error_text(ctx) : "");
    berth_leave(ctx);
    return code;
}

static void *send_patiently(void *ret_text)
{
    CHECK_INT(send("c", BERTH_FULL_BLOCK, berth_test_patience(), ret_text), BERTH_OK);
    return NULL;
}

static void the_application_sends_calls(const char *placement)
{
    char text[sizeof error.text], theirs[sizeof error.text];
    pthread_t sender;
    begin(2, 2);
    const char *path = load_held(placement);
    work("hold", 0);
    CHECK_INT(send("a", BERTH_FULL_REJECT, 0, text), BERTH_OK);
    CHECK_INT(send("b", BERTH_FULL_REJECT, 0, text), BERTH_RESOURCE_EXHAUSTED);
    CHECK_CONTAINS(text, "picky.say: the mailbox of picky is full");
    CHECK_INT(send("b", BERTH_FULL_BLOCK, 20000000, text), BERTH_DEADLINE_EXCEEDED);
    CHECK_CONTAINS(text, "picky.say: the mailbox of picky was full until the deadline");
    pthread_create(&sender, NULL, send_patiently, theirs);
    berth_test_pause(20); /* it waits now, or will */
    remove(path);
    pthread_join(sender, NULL);
    EVENTUALLY(strcmp(CALL(host, "picky.trail", "[]"), "\"hold a c \"") == 0);
    for (const char *each = "0123456789"; *each; each++)
        CHECK_INT(send((char[2]){ *each }, BERTH_FULL_BLOCK, berth_test_patience(), text),
                  BERTH_OK);
    EVENTUALLY(strcmp(CALL(host, "picky.trail", "[]"), "\"hold a c 0 1 2 3 4 5 6 7 8 9 \"") == 0);
    end();
}

static void *send_value_patiently(void *ret_text)
{
    const struct berth_call_options options = { sizeof options, berth_test_patience(),
                                                BERTH_FULL_BLOCK };
    const struct berth_value what = { .kind = BERTH_VALUE_STRING, .as.string = "b" };
    berth_ctx *ctx = berth_host_enter(host);
    berth_send(ctx, "picky.say", &what, 1, &options);
    strcpy(ret_text, berth_error_text(ctx));
    berth_leave(ctx);
    return NULL;
}

static void *reload_both(void *ret_code)
{
    static const char *const names[] = { "picky", "boss" };
    const struct berth_reload_options how[2] = { { .size = sizeof how[0] },
                                                 { .size = sizeof how[0] } };
    struct berth_reload_report reports[2] = { { .size = sizeof reports[0] },
                                              { .size = sizeof reports[0] } };
    *(int *)ret_code = berth_host_reload_all(host, names, how, 2, reports, &error);
    return NULL;
}

/* None that waits until nobody is inside waits for it. */
static void who_waits_for_room_keeps_no_reload_waiting(void)
{
    char text[sizeof error.text], theirs[2][sizeof error.text];
    pthread_t senders[2], reloader;
    int code = -1;
    begin(2, 2);
    const char *path = load_held("inline");
    work("hold", 0);
    CHECK_INT(send("a", BERTH_FULL_REJECT, 0, text), BERTH_OK);
    for (int i = 0; i < 2; i++) /* one gets room when the job ends, and no turn begins then */
        pthread_create(&senders[i], NULL, send_value_patiently, theirs[i]);
    berth_test_pause(20); /* they wait now */
    pthread_create(&reloader, NULL, reload_both, &code);
    berth_test_pause(20);
    remove(path);
    pthread_join(reloader, NULL);
    CHECK_CODE(code, BERTH_OK, &error);
    for (int i = 0; i < 2; i++) {
        pthread_join(senders[i], NULL);
        CHECK_STR(theirs[i], "");
    }
    end();
}

static void the_application_sends_calls_inline(void)
{
    the_application_sends_calls("inline");
}

static void the_application_sends_calls_to_a_process(void)
{
    if (berth_test_valgrind())
        berth_skip("valgrind cannot follow workers");
    the_application_sends_calls("process");
}

static void sent_calls_drop_the_oldest(void)
{
    char text[sizeof error.text], *stats = NULL;
    begin(2, 3);
    const char *path = load_held("inline");
    work("hold", 0);
    for (const char *each = "0123456789"; *each; each++)
        CHECK_INT(send((char[2]){ *each }, BERTH_FULL_DROP_OLDEST, 0, text), BERTH_OK);
    remove(path);
    EVENTUALLY(strcmp(CALL(host, "picky.trail", "[]"), "\"hold 8 9 \"") == 0);
    CHECK_INT(berth_host_stats(host, &stats, NULL), BERTH_OK);
    CHECK_CONTAINS(stats,
                   "\"to\":\"picky.say\",\"calls\":10,\"estimated\":0,\"late\":0,\"dropped\":8");
    berth_free(stats);
    end();
}

static void *say_patiently(void *what)
{
    char arguments[32];
    snprintf(arguments, sizeof arguments, "[\"%s\"]", (const char *)what);
    CHECK_CALL(host, "boss.say", arguments, "null");
    return NULL;
}

static void *ask_patiently(void *what)
{
    char arguments[32];
    snprintf(arguments, sizeof arguments, "[\"%s\"]", (const char *)what);
    CHECK_CALL(host, "boss2.ask", arguments, "null");
    return NULL;
}

/* As its import says it, for a module that starts and sends. */
static void modules_send_as_they_say(const char *placement)
{
    pthread_t sender, asker;
    begin(2, 3);
    const char *path = load_held("inline");
    CHECK_CODE(berth_host_unload(host, "boss", &error), BERTH_OK, &error);
    LOAD(host, "boss", placement);
    berth_test_load_as(host, "boss", "boss2", placement);
    work("hold", 0);
    for (const char *each = "0123456789"; *each; each++) {
        char arguments[16];
        snprintf(arguments, sizeof arguments, "[\"%c\"]", *each);
        CHECK_CALL(host, "boss.tell", arguments, "null");
    }
    CHECK_CODE(berth_test_try(host, "boss.say", "[\"x\"]", 20000000, NULL, &error),
               BERTH_DEADLINE_EXCEEDED, &error);
    CHECK_CODE(berth_test_try(host, "boss.ask_tell", "[\"x\"]", 0, NULL, &error),
               BERTH_RESOURCE_EXHAUSTED, &error);
    CHECK_CONTAINS(error.text, "picky.tell: the mailbox of picky is full");
    pthread_create(&sender, NULL, say_patiently, (void *)"s");
    pthread_create(&asker, NULL, ask_patiently, (void *)"a");
    berth_test_pause(20); /* they wait now, or will */
    remove(path);
    pthread_join(sender, NULL);
    pthread_join(asker, NULL);
    EVENTUALLY(strlen(CALL(host, "picky.trail", "[]")) == strlen("\"hold 8 9 s a \""));
    CHECK_CONTAINS(CALL(host, "picky.trail", "[]"), "hold 8 9 ");
    end();
}

static void modules_send_as_they_say_inline(void)
{
    modules_send_as_they_say("inline");
}

static void modules_send_as_they_say_in_a_process(void)
{
    if (berth_test_valgrind())
        berth_skip("valgrind cannot follow workers");
    modules_send_as_they_say("process");
}

static void the_wait_for_itself_is_refused(void)
{
    begin(2, 1);
    LOAD(host, "boss", "inline");
    LOAD(host, "picky", "inline");
    work("more", 1); /* its handler fills its own mailbox, which nobody else empties */
    EVENTUALLY(strstr(berth_test_log(), "it would wait for itself"));
    CHECK_CONTAINS(berth_test_log(), "picky (mailbox)");
    end();
}

static void without_threads_nobody_waits(void)
{
    begin(0, 1);
    LOAD(host, "boss", "inline");
    LOAD(host, "picky", "inline");
    work("x", 1);
    CHECK_FAILS(host, "boss.work", "[\"x\",2]", BERTH_RESOURCE_EXHAUSTED, "picky");
    dispatch();
    end();
}

static void the_oldest_are_dropped(void)
{
    struct ear ear;
    begin(0, 4);
    LOAD(host, "boss", "inline");
    listen_with("jobs.work", &ear, BERTH_FULL_DROP_OLDEST, 1, NULL);
    CHECK_CALL(host, "boss.burst", "[\"x\",10]", "10");
    dispatch();
    CHECK_STR(ear.heard, "6 7 8 9 ");
    CHECK_INT(ear.dropped, 6);
    end();
}

/* A turn that fails has told nobody yet, when it is tried again. */
static void what_is_tried_again_tells_of_lost_ones(void)
{
    struct ear ear;
    begin(0, 4);
    LOAD(host, "boss", "inline");
    listen_with("jobs.work", &ear, BERTH_FULL_DROP_OLDEST, 2, NULL);
    ear.fail_at = ":6";
    ear.fails = 1;
    CHECK_CALL(host, "boss.burst", "[\"x\",10]", "10");
    UNTIL(host, count_of(&ear) == 5);
    CHECK_STR(ear.heard, "!6 6 7 8 9 ");
    CHECK_INT(ear.dropped, 6 + 6); /* by each try of the first one */
    end();
}

/* The second try fails when much has been lost meanwhile, which the third one tells of. */
static void who_asked_is_told_of_lost_ones(const char *placement)
{
    enum { MESSAGES = 200 };
    if (berth_test_valgrind() && !strcmp(placement, "process"))
        berth_skip("valgrind cannot follow workers");
    begin(2, 4);
    LOAD(host, "publisher", "inline");
    LOAD(host, "observer", placement);
    CALL(host, "host.subscribe", "[\"news.text\",\"observer.take\",\"drop_oldest\",5]");
    CHECK_CALL(host, "observer.fail_next", "[2]", "null");
    CHECK_CALL(host, "publisher.burst", berth_test_format("[%d]", MESSAGES),
               berth_test_format("%d", MESSAGES));
    UNTIL(host, CALL_INT(host, "observer.count", "[]") + CALL_INT(host, "observer.lost", "[]") ==
                    MESSAGES);
    end();
}

static void control_comes_first(void)
{
    begin(0, 3);
    LOAD(host, "boss", "inline");
    LOAD(host, "picky", "inline");
    CHECK_CALL(host, "boss.burst", "[\"x\",3]", "3");
    CHECK_CALL(host, "boss.stop", "[\"now\"]", "null"); /* though the other mailbox is full */
    dispatch();
    CHECK_CALL(host, "picky.trail", "[]", "\"jobs.stop {\\\"why\\\":\\\"now\\\"} x x x \"");
    end();
}

/* ---- who gets it ---- */

static void one_of_a_group_gets_it(void)
{
    struct ear first, second, all;
    begin(0, 0);
    LOAD(host, "boss", "inline");
    listen_with("jobs.*", &first, BERTH_FULL_REJECT, 1, "team");
    uint64_t id = listen_with("jobs.work", &second, BERTH_FULL_REJECT, 1, "team");
    listen_with("jobs.>", &all, BERTH_FULL_REJECT, 1, NULL);
    CHECK_CALL(host, "boss.burst", "[\"x\",6]", "6");
    dispatch();
    CHECK_STR(first.heard, "0 2 4 ");
    CHECK_STR(second.heard, "1 3 5 ");
    CHECK_STR(all.heard, "0 1 2 3 4 5 ");
    berth_host_unsubscribe(host, id);
    work("x", 6);
    work("x", 7);
    dispatch();
    CHECK_STR(first.heard, "0 2 4 6 7 ");
    end();
}

static void members_in_modules_that_are_full_are_passed_by(void)
{
    struct ear ear;
    begin(2, 2);
    const char *path = load_held("inline");
    work("hold", 0);
    const struct berth_subscribe_options options = { .size = sizeof options, .group = "workers" };
    memset(&ear, 0, sizeof ear);
    pthread_mutex_init(&ear.lock, NULL);
    CHECK_CODE(berth_host_subscribe_with(host, "jobs.work", &options, hear, &ear, NULL, &error),
               BERTH_OK, &error);
    for (int i = 1; i <= 9; i++) { /* picky has room for one more */
        work("x", i);
        EVENTUALLY(count_of(&ear) >= (size_t)i - 1);
    }
    CHECK_INT(count_of(&ear), 8);
    remove(path);
    EVENTUALLY(CALL_INT(host, "picky.jobs", "[]") == 2);
    end();
}

/* The call that has published it had less time than that. */
static void a_current_value_outlives_its_call(void)
{
    struct ear ear;
    begin(2, 0);
    LOAD(host, "boss", NULL);
    int64_t published = berth_test_now(), timeout = INT64_C(100000000);
    int code = berth_test_try(host, "boss.now", "[7]", timeout, NULL, &error);
    CHECK(code == BERTH_OK || code == BERTH_DEADLINE_EXCEEDED);
    EVENTUALLY(berth_test_now() > published + 2 * timeout);
    listen_with("jobs.now", &ear, BERTH_FULL_REJECT, 1, NULL);
    EVENTUALLY(count_of(&ear) == 1);
    end();
}

static void a_current_value_comes_late(void)
{
    struct ear early, late;
    begin(0, 0);
    LOAD(host, "boss", "inline");
    listen_with("jobs.now", &early, BERTH_FULL_REJECT, 1, NULL);
    CHECK_CALL(host, "boss.now", "[1]", "null");
    CHECK_CALL(host, "boss.now", "[2]", "null");
    listen_with("jobs.>", &late, BERTH_FULL_REJECT, 1, NULL);
    CHECK_CALL(host, "boss.now", "[3]", "null");
    LOAD(host, "picky", "inline");
    dispatch();
    CHECK_STR(early.heard, "1 2 3 ");
    CHECK_STR(late.heard, "2 3 ");
    CHECK_CALL(host, "picky.now", "[]", "3");
    CHECK_CODE(berth_host_unload(host, "boss", &error), BERTH_OK, &error);
    CHECK_CODE(berth_host_reload(host, "picky", NULL, NULL, &error), BERTH_OK, &error);
    dispatch();
    CHECK_CALL(host, "picky.now", "[]", "3"); /* the new one's */
    end();
}

/* ---- failures ---- */

static void a_failure_is_tried_again_in_order(void)
{
    struct ear ear;
    begin(2, 0);
    LOAD(host, "boss", "inline");
    berth_test_load_as(host, "boss", "other", "inline");
    listen_with("jobs.work", &ear, BERTH_FULL_REJECT, 3, NULL);
    ear.fail_at = ":1}";
    ear.fails = 2;
    work("x", 1);
    EVENTUALLY(count_of(&ear) == 1);
    work("x", 2);                                        /* waits for the one before */
    CHECK_CALL(host, "other.work", "[\"x\",7]", "null"); /* waits for nobody */
    EVENTUALLY(count_of(&ear) == 5);
    CHECK(!strcmp(ear.heard, "!1 7 !1 1 2 ") || !strcmp(ear.heard, "!1 !1 7 1 2 ") ||
          !strcmp(ear.heard, "!1 !1 1 2 7 "));
    end();
}

struct dead {
    pthread_mutex_t lock;
    int count;
    char fields[1024];
};

static void bury(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    struct dead *dead = user;
    (void)ctx;
    pthread_mutex_lock(&dead->lock);
    dead->count++;
    snprintf(dead->fields, sizeof dead->fields, "%s", message->fields);
    pthread_mutex_unlock(&dead->lock);
}

static int buried(struct dead *dead)
{
    pthread_mutex_lock(&dead->lock);
    int count = dead->count;
    pthread_mutex_unlock(&dead->lock);
    return count;
}

static void listen_to_dead(struct dead *dead)
{
    memset(dead, 0, sizeof *dead);
    pthread_mutex_init(&dead->lock, NULL);
    CHECK_CODE(berth_host_subscribe(host, "host.dead_letter", bury, dead, NULL, &error), BERTH_OK,
               &error);
}

static void what_fails_for_good_is_a_dead_letter(const char *placement)
{
    struct dead dead;
    begin(2, 0);
    listen_to_dead(&dead);
    LOAD(host, "boss", "inline");
    LOAD(host, "picky", placement);
    work("fail", 5);
    EVENTUALLY(buried(&dead) == 1);
    CHECK_STR(dead.fields,
              "{\"receiver\":\"picky\",\"handler\":\"on_work\",\"sender\":\"boss\",\"topic\":"
              "\"jobs.work\",\"code\":\"unknown\",\"reason\":\"picky.on_work: no 5 is too hard\","
              "\"tries\":3,\"fields\":{\"what\":\"fail\",\"number\":5}}");
    CHECK_CONTAINS(berth_test_log(), "a message to jobs.work failed at try 1 of 3: unknown: "
                                     "picky.on_work: no 5 is too hard; it is tried again in 100 "
                                     "ms\n");
    CHECK_CONTAINS(berth_test_log(), "a message to jobs.work failed at try 3 of 3: unknown: "
                                     "picky.on_work: no 5 is too hard; that was the last one\n");
    work("x", 6);
    EVENTUALLY(CALL_INT(host, "picky.jobs", "[]") == 4);
    end();
}

static void a_dead_letter(void)
{
    what_fails_for_good_is_a_dead_letter("inline");
}

static void a_dead_letter_of_a_process(void)
{
    if (berth_test_valgrind())
        berth_skip("valgrind cannot follow workers");
    what_fails_for_good_is_a_dead_letter("process");
}

static void what_expires_is_not_handled(void)
{
    struct dead dead;
    begin(2, 0);
    listen_to_dead(&dead);
    const char *path = load_held("inline");
    work("hold", 0);
    CHECK_CODE(berth_test_try(host, "boss.work", "[\"x\",2]", 50000000, NULL, &error), BERTH_OK,
               &error);
    berth_test_pause(60);
    remove(path);
    EVENTUALLY(buried(&dead) == 1);
    CHECK_CONTAINS(dead.fields, "\"code\":\"deadline_exceeded\"");
    CHECK_CONTAINS(dead.fields, "\"tries\":0,\"fields\":{\"what\":\"x\",\"number\":2}");
    CHECK_INT(CALL_INT(host, "picky.jobs", "[]"), 1);
    end();
}

/* ---- what has become of all ---- */

static void the_report_accounts_for_all(void)
{
    struct berth_shutdown_report report = { .size = sizeof report };
    struct ear rejects, drops, fails, keeps;
    begin(0, 4);
    LOAD(host, "boss", "inline");
    listen_with("jobs.work", &rejects, BERTH_FULL_REJECT, 1, NULL);
    listen_with("jobs.work", &drops, BERTH_FULL_DROP_OLDEST, 1, NULL);
    listen_with("jobs.work", &fails, BERTH_FULL_REJECT, 1, NULL);
    fails.fail_at = ":";
    fails.fails = 3;
    CHECK_CALL(host, "boss.burst", "[\"x\",10]", "4");
    dispatch();
    CHECK_CONTAINS(berth_test_log(),
                   "a message to jobs.work failed in the application: unknown: told to\n");
    listen_with("jobs.work", &keeps, BERTH_FULL_REJECT, 1, NULL);
    CHECK_CODE(berth_test_try(host, "boss.work", "[\"x\",2]", 10000000, NULL, &error), BERTH_OK,
               &error);
    CHECK_CALL(host, "boss.work", "[\"x\",3]", "null");
    CHECK_INT(berth_host_end(host, &report), BERTH_OK);
    /* 10 for three of them, and 2 for four */
    CHECK_INT(report.sent, 10 * 3 + 2 * 4);
    CHECK_INT(report.rejected, 6 + 6);
    CHECK_INT(report.dropped, 6);
    CHECK_INT(report.delivered, 4 + 4 + 1);
    CHECK_INT(report.dead_lettered, 3);
    CHECK_INT(report.left, 2 * 4);
    CHECK_INT(report.expired, 0);
}

/* ---- memory ---- */

/* Bytes that the library holds, and the most that it has held. */
static size_t held, most;

static void count_bytes(size_t more)
{
    size_t now = __atomic_add_fetch(&held, more, __ATOMIC_RELAXED);
    if (now > __atomic_load_n(&most, __ATOMIC_RELAXED) && now < SIZE_MAX / 2)
        __atomic_store_n(&most, now, __ATOMIC_RELAXED);
}

static void *allocate(void *user, size_t size)
{
    size_t *block = malloc(size + 16);
    (void)user;
    if (!block)
        return NULL;
    *block = size;
    count_bytes(size);
    return (char *)block + 16;
}

static void release(void *user, void *memory)
{
    size_t *block = (void *)((char *)memory - 16);
    (void)user;
    count_bytes(-*block);
    free(block);
}

static void *reallocate(void *user, void *memory, size_t size)
{
    size_t old = *(size_t *)(void *)((char *)memory - 16);
    void *grown = allocate(user, size);
    if (!grown)
        return NULL;
    memcpy(grown, memory, old < size ? old : size);
    release(user, memory);
    return grown;
}

#define EARS        6
#define EAR_BYTES   ((size_t)64 << 10)
#define OTHER_BYTES ((size_t)256 << 10) /* what calls take, and flows */

/* Nobody fetches anything: what the host holds stays within what its mailboxes may. */
static void a_flood_fills_no_more_than_mailboxes(void)
{
    static struct ear ears[EARS];
    struct berth_host_options options = berth_test_host_options();
    char arguments[2048];
    options.threads = 0;
    options.mailbox_bytes = EAR_BYTES;
    host = berth_test_host(&options);
    LOAD(host, "boss", "inline");
    for (int i = 0; i < EARS; i++)
        listen_with("jobs.>", &ears[i], i % 2 ? BERTH_FULL_DROP_OLDEST : BERTH_FULL_REJECT, 1,
                    NULL);
    __atomic_store_n(&most, held, __ATOMIC_RELAXED);
    size_t before = held;
    for (int i = 0; i < 40; i++) {
        size_t length = 1 + berth_test_random_below(1500);
        char *at = stpcpy(arguments, "[\"");
        memset(at, 'x', length);
        strcpy(at + length, "\",50]");
        CALL(host, "boss.burst", arguments);
    }
    CHECK(most - before <= EARS * EAR_BYTES + OTHER_BYTES);
    CHECK(most - before >= EAR_BYTES / 2); /* or nothing was counted */
    end();
}

#define MANY 20000

/* By visits to nodes of the trees: time says little on a busy machine. */
static void subscriptions_that_do_not_match_cost_nothing(void)
{
    static uint64_t ids[MANY];
    struct ear ear;
    begin(0, 0);
    LOAD(host, "boss", "inline");
    uint64_t before = host->patterns.visited + host->topic_tree.visited;
    for (int i = 0; i < MANY; i++) {
        char pattern[64];
        snprintf(pattern, sizeof pattern, "other%d.>", i);
        REQUIRE(berth_host_subscribe(host, pattern, hear, &ear, &ids[i], &error) == BERTH_OK);
    }
    uint64_t added = host->patterns.visited + host->topic_tree.visited;
    CHECK(added - before <= 5 * MANY);
    listen_with("jobs.work", &ear, BERTH_FULL_REJECT, 1, NULL);
    before = host->patterns.visited + host->topic_tree.visited;
    work("x", 1);
    CHECK_INT(host->patterns.visited + host->topic_tree.visited, before);
    for (int i = 0; i < MANY; i++)
        berth_host_unsubscribe(host, ids[i]);
    CHECK_INT(host->patterns.visited + host->topic_tree.visited, before);
    dispatch();
    CHECK_STR(ear.heard, "1 ");
    end();
}

BERTH_TEST_BOTH(who_asked_is_told_of_lost_ones)

static const struct berth_test tests[] = {
    { "a_sender_waits_for_room", a_sender_waits_for_room },
    { "a_sender_in_a_process_waits_for_room", a_sender_in_a_process_waits_for_room },
    { "slow_workers_hold_up_nobody", slow_workers_hold_up_nobody },
    { "a_wait_ends_at_the_deadline", a_wait_ends_at_the_deadline },
    { "all_who_miss_it_are_named", all_who_miss_it_are_named },
    { "who_waits_for_room_keeps_no_reload_waiting", who_waits_for_room_keeps_no_reload_waiting },
    { "the application sends calls", the_application_sends_calls_inline },
    { "the application sends calls to a process", the_application_sends_calls_to_a_process },
    { "sent_calls_drop_the_oldest", sent_calls_drop_the_oldest },
    { "modules_send_as_they_say", modules_send_as_they_say_inline },
    { "modules_send_as_they_say_in_a_process", modules_send_as_they_say_in_a_process },
    { "the_wait_for_itself_is_refused", the_wait_for_itself_is_refused },
    { "without_threads_nobody_waits", without_threads_nobody_waits },
    { "the_oldest_are_dropped", the_oldest_are_dropped },
    { "what_is_tried_again_tells_of_lost_ones", what_is_tried_again_tells_of_lost_ones },
    BERTH_TEST_ROWS("who asked is told of lost ones", who_asked_is_told_of_lost_ones),
    { "control_comes_first", control_comes_first },
    { "one_of_a_group_gets_it", one_of_a_group_gets_it },
    { "members_in_modules_that_are_full_are_passed_by",
      members_in_modules_that_are_full_are_passed_by },
    { "a_current_value_comes_late", a_current_value_comes_late },
    { "a_current_value_outlives_its_call", a_current_value_outlives_its_call },
    { "a_failure_is_tried_again_in_order", a_failure_is_tried_again_in_order },
    { "a_dead_letter", a_dead_letter },
    { "a_dead_letter_of_a_process", a_dead_letter_of_a_process },
    { "what_expires_is_not_handled", what_expires_is_not_handled },
    { "the_report_accounts_for_all", the_report_accounts_for_all },
    { "a_flood_fills_no_more_than_mailboxes", a_flood_fills_no_more_than_mailboxes },
    { "subscriptions_that_do_not_match_cost_nothing",
      subscriptions_that_do_not_match_cost_nothing },
};

int main(int argc, char **argv)
{
    const struct berth_allocator allocator = {
        .size = sizeof allocator, .allocate = allocate, .reallocate = reallocate, .release = release
    };
    if (berth_set_allocator(&allocator, NULL) != BERTH_OK)
        return 1;
    return berth_suite_main("messages", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
