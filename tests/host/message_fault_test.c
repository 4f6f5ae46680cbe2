/* SPDX-License-Identifier: MIT */
/*
 * Messages, started calls and time without memory, at each place where it is asked for: by the
 * host, with modules in it or in workers. What fails says so or is counted, and in the end each
 * message that was accepted has been handled, or is in a count.
 */
#include "tests/support/hosting.h"
#include "tests/support/shortage.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static berth_host *host;
static struct berth_error error;
static bool threaded;
static const char *where; /* the modules are */

/* Kept outside of the host: what was accepted, and what the application has heard. */
static struct {
    uint64_t given, heard, dead;
} ledger;

/* ---- What is common to the operations ---- */

/* What it has begun goes on while there is not enough; threads of the host's have some time. */
static void work_off(void)
{
    for (int i = 0; i < 20; i++)
        berth_host_dispatch(host, 0);
    if (threaded)
        berth_test_pause(3);
}

/* A message for one receiver. */
static int say(const char *function, const char *arguments)
{
    int code = berth_scarce_call(host, function, arguments, NULL);

    work_off();
    return code;
}

static bool fails_next;

static void hear(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    (void)message;
    (void)user;
    if (fails_next) {
        fails_next = false;
        berth_fail(ctx, BERTH_UNKNOWN, "told to");
        return;
    }
    ledger.heard++;
}

static void refuse(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    (void)message;
    (void)user;
    berth_fail(ctx, BERTH_UNKNOWN, "told to");
}

static void hear_dead(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    (void)ctx;
    (void)message;
    (void)user;
    ledger.dead++;
}

static void listen_to(const char *pattern, const char *group, int tries, berth_message_fn fn)
{
    const struct berth_subscribe_options options = { .size = sizeof(options),
                                                     .tries = tries,
                                                     .group = group };
    CHECK_CODE(berth_host_subscribe_with(host, pattern, &options, fn, NULL, NULL, &error), BERTH_OK,
               &error);
}

/* ---- Messages ---- */

/* In turn by a module and by the application. */
static int say_to_a_group(void)
{
    return say("boss.work", "[\"x\",0]");
}

static int say_what_lasts(void)
{
    return say("boss.now", "[3]");
}

/* Who comes late gets that value. */
static int come_late(void)
{
    uint64_t id = 0;
    int code = berth_host_subscribe(host, "jobs.now", hear, NULL, &id, &error);

    CHECK((id != 0) == (code == BERTH_OK));
    if (code != BERTH_OK)
        return code;
    ledger.given++;
    work_off();
    berth_host_unsubscribe(host, id);
    return code;
}

static void say_something_that_lasts(void)
{
    CHECK_CODE(say_what_lasts(), BERTH_OK, NULL);
}

/* It is handled at the second try, a while later. */
static int say_it_again(void)
{
    fails_next = true;
    int code = say("publisher.text", "[\"again\",1]");
    for (int i = 0; i < 15; i++)
        berth_host_dispatch(host, 10);
    fails_next = false;
    return code;
}

static int say_it_to_nobody(void)
{
    return say("publisher.data", "[\"AA==\",[1]]");
}

static int say_what_is_large(void)
{
    return say("painter.paint", "[8192,3]");
}

static int pass_what_is_large(void)
{
    int code = berth_scarce_call(host, "painter.make", "[8192,3]", NULL);

    if (code == BERTH_OK)
        code = berth_scarce_call(host, "painter.ask", "[]", NULL);
    berth_scarce_call(host, "painter.release", "[]", NULL);
    return code;
}

static int send_a_call(void)
{
    const struct berth_value what = { .kind = BERTH_VALUE_STRING, .as.string = "s" };
    berth_ctx *ctx = berth_host_enter(host);

    if (!ctx)
        return BERTH_RESOURCE_EXHAUSTED;
    int code = berth_send(ctx, "picky.say", &what, 1, NULL);
    CHECK_INT(berth_error_code(ctx), code);
    berth_clear(ctx);
    berth_leave(ctx);
    work_off();
    return code;
}

static int send_as_a_module(void)
{
    return berth_scarce_call(host, "boss.tell", "[\"t\"]", "null");
}

/* ---- Calls that are started, and answered later ---- */

static int start(const char *function, const char *arguments, berth_pending *ret_call)
{
    berth_ctx *ctx = berth_host_enter(host);

    if (!ctx)
        return BERTH_RESOURCE_EXHAUSTED;
    int code = berth_call_start_json(ctx, function, arguments, NULL, ret_call);
    CHECK((ret_call->id != 0) == (code == BERTH_OK));
    berth_leave(ctx);
    return code;
}

static int take(berth_pending call, const char *expected)
{
    berth_ctx *ctx = berth_host_enter(host);
    char *text = NULL;

    if (!ctx)
        return BERTH_RESOURCE_EXHAUSTED;
    int code = berth_call_take_json(ctx, call, &text);
    CHECK((text != NULL) == (code == BERTH_OK));
    if (code == BERTH_OK)
        CHECK_STR(text, expected);
    berth_free(text);
    berth_leave(ctx);
    return code;
}

static bool is_done(berth_pending call)
{
    berth_ctx *ctx = berth_host_enter(host);
    bool done = !ctx || berth_call_done(ctx, call);

    if (ctx)
        berth_leave(ctx);
    return done;
}

static int drop(berth_pending call, int code)
{
    berth_ctx *ctx = berth_host_enter(host);

    if (ctx) {
        berth_call_drop(ctx, call);
        berth_leave(ctx);
    }
    return code;
}

static int release(void)
{
    return berth_scarce_call(host, "later.release", "[\"key\",\"value\"]", "null");
}

/* Answered by another call, once its turn has been. */
static int answer_later(void)
{
    berth_pending call = { 0 };
    int code = start("later.hold", "[\"key\"]", &call);

    if (code != BERTH_OK)
        return code;
    int64_t end = berth_test_now() + berth_test_patience();
    while (!is_done(call) && (code = release()) == BERTH_NOT_FOUND && berth_test_now() < end)
        berth_host_dispatch(host, 1);
    return code == BERTH_OK || is_done(call) ? take(call, "\"value\"") : drop(call, code);
}

/* Those whose release was refused. */
static void answer_all(void)
{
    while (release() == BERTH_OK)
        ;
}

static int answer_by_a_thread(void)
{
    return berth_scarce_call(host, "later.half", "[3]", "1.5");
}

/* With several replies, to a module. */
static int stream(void)
{
    return berth_scarce_call(host, "ahead.total", "[3]", "6");
}

static void told(berth_ctx *ctx, berth_pending call, void *user)
{
    (void)ctx;
    (void)call;
    *(bool *)user = true;
}

static int be_told(void)
{
    static bool is_told;
    berth_pending call = { 0 };
    int code = start("later.nothing", "[]", &call);

    if (code != BERTH_OK)
        return code;
    is_told = false;
    berth_ctx *ctx = berth_host_enter(host);
    if (!ctx)
        return BERTH_RESOURCE_EXHAUSTED;
    berth_call_then(ctx, call, told, &is_told);
    code = berth_error_code(ctx);
    berth_leave(ctx);
    int64_t end = berth_test_now() + berth_test_patience();
    while (code == BERTH_OK && !is_told && berth_test_now() < end)
        berth_host_dispatch(host, 1);
    if (code == BERTH_OK)
        CHECK(is_told);
    int taken = take(call, "null");
    return code == BERTH_OK ? taken : code;
}

/* ---- Time ---- */

static const char *timer_file, *measure_file, *more_file;

static int change_timeouts(void)
{
    int code = berth_host_set_call_timeout(host, "picky.say", 1000000000, &error);

    if (code == BERTH_OK)
        code = berth_host_set_call_timeout(host, "picky", 2000000000, &error);
    return code;
}

static void forget_timeouts(void)
{
    CHECK_CODE(berth_host_set_call_timeout(host, "picky.say", 0, &error), BERTH_OK, &error);
    CHECK_CODE(berth_host_set_call_timeout(host, "picky", 0, &error), BERTH_OK, &error);
}

/* Its timers are set in its START, and expire meanwhile. */
static int tick(void)
{
    const struct berth_load_options options = { .size = sizeof(options), .placement = where };
    int code = berth_host_load(host, timer_file, &options, &error);

    for (int i = 0; i < 3; i++)
        berth_host_dispatch(host, 1);
    return code;
}

static void tick_on(void)
{
    UNTIL(host, CALL_INT(host, "timer.once", "[]") == 1 && CALL_INT(host, "timer.ticks", "[]") > 2);
    CHECK_CALL(host, "timer.cancelled", "[]", "0");
    CHECK_CODE(berth_host_unload(host, "timer", &error), BERTH_OK, &error);
}

/* ---- Callers that know less ---- */

static int reload_measure(const char *file)
{
    return berth_host_reload(host, "measure", file, NULL, &error);
}

static int get_more(void)
{
    return reload_measure(more_file);
}

static void get_less(void)
{
    CHECK_CALL(host, "ahead.length", "[\"abc\"]", "3");
    CHECK_CODE(reload_measure(measure_file), BERTH_OK, &error);
}

static int start_what_has_more(void)
{
    return berth_scarce_call(host, "ahead.length", "[\"abc\"]", "3");
}

/* ---- Trying them ---- */

/* What is loaded, and a call that it answers at once. */
static const struct {
    const char *name, *function, *arguments;
} modules[] = {
    { "boss", "boss.given", "[]" },           { "picky", "picky.jobs", "[]" },
    { "publisher", "publisher.given", "[]" }, { "painter", "painter.given", "[]" },
    { "viewer", "viewer.views", "[]" },       { "measure", "measure.length", "[\"x\"]" },
    { "later", "later.lingered", "[]" },      { "ahead", "ahead.tellings", "[]" },
};

static void set_up(const struct berth_shortage *shortage, const char *placement)
{
    where = placement;
    threaded = shortage->where != BERTH_SHORT_ON_THREAD;
    timer_file = berth_test_fixture("timer");
    measure_file = berth_test_fixture("measure");
    more_file = berth_test_fixture("measure_more");
    host = berth_scarce_host(shortage, !strcmp(placement, "process"));
    for (size_t i = 0; i < COUNT(modules); i++)
        LOAD(host, modules[i].name, placement);
    memset(&ledger, 0, sizeof(ledger));
    listen_to("jobs.work", "workers", 1, hear);
    listen_to("news.text", NULL, 2, hear);
    listen_to("news.data", NULL, 1, refuse);
    listen_to("host.dead_letter", NULL, 1, hear_dead);
}

/* One that answers is none that has ended without anybody having noticed. */
static bool answers(size_t i)
{
    if (!strcmp(berth_test_module(host, modules[i].name, "state"), "failed"))
        berth_host_reload(host, modules[i].name, NULL, NULL, NULL); /* it has died too often */
    return !berth_test_try(host, modules[i].function, modules[i].arguments, 0, NULL,
                           &(struct berth_error){ 0 });
}

/* One that is reloaded, or loaded, may have ended for want of memory. */
static void wait_for_workers(void)
{
    for (size_t i = 0; i < COUNT(modules); i++)
        UNTIL(host, answers(i));
}

/* A module calls another one. */
static bool serves(void)
{
    return !berth_test_try(host, "boss.ask", "[\"?\"]", 0, NULL, &error);
}

static void check_serves(void)
{
    if (threaded)
        wait_for_workers();
    CHECK(serves());
}

static uint64_t count(const char *function)
{
    return (uint64_t)CALL_INT(host, function, "[]");
}

static void check_ledger(void)
{
    struct berth_shutdown_report report = { .size = sizeof(report) };

    berth_scarce_settle(host);
    uint64_t given =
        ledger.given + count("boss.given") + count("publisher.given") + count("painter.given");
    uint64_t handled = ledger.heard + ledger.dead + count("picky.jobs") + count("picky.nows") +
                       count("viewer.views");
    CHECK_INT(berth_host_end(host, &report), BERTH_OK);
    uint64_t sent = report.sent - report.rejected;
    uint64_t lost = report.dropped + report.expired + report.dead_lettered + report.left;
    CHECK_INT(sent, report.delivered + lost);
    given += report.dead_lettered; /* each of which is published */
    CHECK_INT(sent, given);
    CHECK_INT(report.delivered, handled);
    CHECK(report.dead_lettered > 0 && ledger.dead <= report.dead_lettered);
    CHECK_INT(report.blobs, 0);
    berth_note(
        "%llu messages were given, %llu handled, %llu lost; ended: %llu sent, %llu delivered",
        (unsigned long long)given, (unsigned long long)handled, (unsigned long long)lost,
        (unsigned long long)sent, (unsigned long long)report.delivered);
}

static const struct berth_operation operations[] = {
    { "one of a group", say_to_a_group, NULL, NULL },
    { "a last value", say_what_lasts, NULL, NULL },
    { "who comes late", come_late, NULL, say_something_that_lasts },
    { "another try", say_it_again, NULL, NULL },
    { "a dead letter", say_it_to_nobody, NULL, NULL },
    { "a blob", say_what_is_large, NULL, NULL },
    { "a blob in a call", pass_what_is_large, NULL, NULL },
    { "a call that is sent", send_a_call, NULL, NULL },
    { "a module's", send_as_a_module, NULL, NULL },
    { "an answer by another call", answer_later, NULL, answer_all },
    { "an answer by a thread", answer_by_a_thread, NULL, NULL },
    { "several replies", stream, NULL, NULL },
    { "a function that is told", be_told, NULL, NULL },
    { "timeouts", change_timeouts, forget_timeouts, NULL },
    { "timers", tick, tick_on, NULL },
    { "more parameters", get_more, get_less, NULL },
};
static const struct berth_operation adapting = { "a caller that knows less", start_what_has_more,
                                                 NULL, NULL };

static const char *pids[COUNT(modules)];

/* That there is no memory for a frame, an answer or what is to be done costs no worker its life. */
static void check_workers(void)
{
    for (size_t i = 0; i < COUNT(modules); i++)
        if (strcmp(modules[i].name, "measure") != 0) /* which is reloaded */
            CHECK_STR(berth_test_module(host, modules[i].name, "pid"), pids[i]);
}

static void try_all(const struct berth_shortage *shortage, const char *placement)
{
    set_up(shortage, placement);
    for (size_t i = 0; i < COUNT(modules); i++)
        pids[i] = berth_test_module(host, modules[i].name, "pid");
    struct berth_scarce scarce = { host, threaded ? wait_for_workers : NULL, check_serves, 0 };
    for (size_t i = 0; i < COUNT(operations); i++) {
        /* until a thread is joined; others work meanwhile, and a sanitizer finds leaks of theirs */
        scarce.keeps = threaded ? LONG_MAX : operations[i].run == answer_by_a_thread ? 2 : 0;
        berth_scarce_try(&scarce, &operations[i], shortage);
    }
    CHECK_CODE(get_more(), BERTH_OK, &error);
    berth_scarce_try(&scarce, &adapting, shortage);
    check_workers();
    check_ledger();
}

static void inline_without_a_block(void)
{
    try_all(&berth_short_of_block, "inline");
}

static void inline_without_memory(void)
{
    try_all(&berth_short_of_memory, "inline");
}

static void the_host_of_workers_without_a_block(void)
{
    try_all(&berth_host_short_of_block, "process");
}

static void workers_without_a_block(void)
{
#ifdef __SANITIZE_ADDRESS__
    berth_skip("AddressSanitizer itself ends a worker that has no memory for a thread");
#else
    try_all(&berth_workers_short_of_block, "process");
#endif
}

static void the_host_of_workers_without_memory(void)
{
    try_all(&berth_host_short_of_memory, "process");
}

static void workers_without_memory(void)
{
#ifdef __SANITIZE_ADDRESS__
    berth_skip("AddressSanitizer itself ends a worker that has no memory for a thread");
#else
    try_all(&berth_workers_short_of_memory, "process");
#endif
}

/* ---- Messages of the host's own ---- */

struct lines {
    uint64_t heard, lost;
};

static void hear_line(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    struct lines *lines = user;
    (void)ctx;
    lines->heard++;
    lines->lost += message->dropped;
}

static void hear_log(const char *group, struct lines *lines)
{
    const struct berth_subscribe_options options = { .size = sizeof(options), .group = group };
    CHECK_CODE(
        berth_host_subscribe_with(host, "host.log", &options, hear_line, lines, NULL, &error),
        BERTH_OK, &error);
}

static void log_lines(int count)
{
    for (int i = 0; i < count; i++)
        berth_scarce_call(host, "logger.log", "[1,\"x\"]", NULL);
}

/* Whoever would have got one is told with the next one: of a group, one of it. */
static void lines_that_there_is_no_memory_for(void)
{
    struct lines alone = { 0 }, group[2] = { { 0 } };
    host = berth_scarce_host(&berth_short_of_memory, false);
    LOAD(host, "logger", "inline");
    hear_log(NULL, &alone);
    hear_log("ears", &group[0]);
    hear_log("ears", &group[1]);
    log_lines(4);
    berth_short_of_memory.begin(0);
    log_lines(900); /* the first of them go into what the thread still has */
    CHECK(berth_short_of_memory.end(0));
    berth_scarce_settle(host);
    log_lines(2);
    berth_scarce_settle(host);
    berth_note("%llu lines were heard, %llu lost", (unsigned long long)alone.heard,
               (unsigned long long)alone.lost);
    CHECK(alone.lost > 0);
    CHECK_INT(group[0].heard + group[1].heard, alone.heard);
    CHECK_INT(group[0].lost + group[1].lost, alone.lost);
    berth_host_free(host);
}

static const struct berth_test tests[] = {
    { "the_host_of_workers_without_memory", the_host_of_workers_without_memory },
    { "workers_without_memory", workers_without_memory },
    { "the_host_of_workers_without_a_block", the_host_of_workers_without_a_block },
    { "workers_without_a_block", workers_without_a_block },
    { "inline_without_a_block", inline_without_a_block },
    { "inline_without_memory", inline_without_memory },
    { "lines_that_there_is_no_memory_for", lines_that_there_is_no_memory_for },
};

int main(int argc, char **argv)
{
    return berth_suite_main("messages without memory", tests, COUNT(tests), argc, argv);
}
