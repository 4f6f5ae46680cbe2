/* SPDX-License-Identifier: MIT */
/*
 * Messages whose handler takes long. In a worker no thread waits for it: what becomes of them when
 * their sender's call is cancelled, their deadline passes, the worker dies, or the module is
 * replaced meanwhile, is the same as in this process, and each is accounted for once. And so it is
 * when the handler is a function there that host.subscribe was asked for.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/hosting.h"

static berth_host *host;
static struct berth_error error;
static const char *path;  /* while it is there, minder stays with what comes */
static const char *asked; /* the subscription, by host.subscribe */

static bool stubborn; /* it stays even when it should stop */

/* A placement of tests: in a worker, and its messages come by host.subscribe. */
#define ASKED "asked"

static bool is_asked(const char *placement)
{
    return strcmp(placement, ASKED) == 0;
}

static bool in_worker(const char *placement)
{
    return strcmp(placement, "inline") != 0;
}

static void load_minder(const char *name, const char *placement)
{
    const char *options =
        berth_test_format("{\"hold\":\"%s\",\"stubborn\":%s}", path, stubborn ? "true" : "false");
    const struct berth_load_options load = { .size = sizeof load,
                                             .name = name,
                                             .placement =
                                                 in_worker(placement) ? "process" : "inline",
                                             .options = options };
    const char *fixture = is_asked(placement) ? "minder_asked" : "minder";
    CHECK_CODE(berth_host_load(host, berth_test_fixture(fixture), &load, &error), BERTH_OK, &error);
    if (is_asked(placement))
        asked = CALL(host, "host.subscribe",
                     berth_test_format("[\"hurry.jobs\",\"%s.on_jobs\"]", name));
}

static void begin_as(const char *placement, int threads, struct berth_host_options *options)
{
    if (berth_test_valgrind() && in_worker(placement))
        berth_skip("valgrind cannot follow workers");
    options->threads = threads;
    stubborn = false;
    host = berth_test_host(options);
    path = berth_test_hold_path();
    fclose(fopen(path, "w"));
    LOAD(host, "sleeper", "inline");
    LOAD(host, "hurry", "inline");
}

static void begin_until(const char *placement, int threads, int64_t stop_timeout_ns)
{
    struct berth_host_options options = berth_test_host_options();
    options.stop_timeout_ns = stop_timeout_ns;
    begin_as(placement, threads, &options);
}

static void begin(const char *placement, int threads)
{
    struct berth_host_options options = berth_test_host_options();
    begin_as(placement, threads, &options);
}

static void end(struct berth_shutdown_report *report)
{
    *report = (struct berth_shutdown_report){ .size = sizeof *report };
    CHECK_INT(berth_host_end(host, report), BERTH_OK);
    CHECK_INT(report->delivered + report->rejected + report->dropped + report->expired +
                  report->dead_lettered + report->left,
              report->sent);
}

static void tell(int number)
{
    CHECK_CALL(host, "hurry.tell", berth_test_format("[%d]", number), "null");
}

#define MINDER(function) CALL_INT(host, "minder." function, "[]")

/* "numbers " of minder.done. */
struct ear {
    pthread_mutex_t lock;
    char heard[1024];
};

static void hear(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    struct ear *ear = user;
    (void)ctx;
    pthread_mutex_lock(&ear->lock);
    size_t used = strlen(ear->heard);
    const char *number = strrchr(message->fields, ':') + 1;
    snprintf(ear->heard + used, sizeof ear->heard - used, "%.*s ", (int)strcspn(number, "}"),
             number);
    pthread_mutex_unlock(&ear->lock);
}

static void listen_to(const char *topic, struct ear *ear)
{
    memset(ear, 0, sizeof *ear);
    pthread_mutex_init(&ear->lock, NULL);
    CHECK_CODE(berth_host_subscribe(host, topic, hear, ear, NULL, &error), BERTH_OK, &error);
}

static bool has_heard(struct ear *ear, const char *what)
{
    pthread_mutex_lock(&ear->lock);
    bool has = strcmp(ear->heard, what) == 0;
    pthread_mutex_unlock(&ear->lock);
    return has;
}

/* With the one that is handled. By host.subscribe they wait in no module's mailbox. */
static void check_waiting(const char *placement, int messages)
{
    if (!is_asked(placement))
        CHECK_CONTAINS(CALL(host, "host.stats", "[]"),
                       berth_test_format("\"mailbox\":{\"messages\":%d,", messages));
}

/* ---- one after the other ---- */

static void order_is_kept(const char *placement)
{
    struct berth_shutdown_report report;
    struct ear ear;
    begin(placement, 2);
    load_minder("minder", placement);
    listen_to("minder.done", &ear);
    for (int i = 1; i <= 9; i++)
        tell(i);
    EVENTUALLY(MINDER("begun") == 1);
    check_waiting(placement, 9);
    unlink(path);
    EVENTUALLY(has_heard(&ear, "1 2 3 4 5 6 7 8 9 "));
    EVENTUALLY(strstr(CALL(host, "host.stats", "[]"), "\"to\":\"minder.on_jobs\",\"messages\":9,"));
    end(&report);
    CHECK_INT(report.delivered, 18);
}

/* A call that has published, and is still inside until the file `inside` goes. */
static berth_pending tell_and_hold(berth_ctx *ctx, const char *inside)
{
    berth_pending call;
    CHECK_INT(berth_call_start_json(ctx, "hurry.tell_and_hold",
                                    berth_test_format("[1, \"%s\"]", inside), NULL, &call),
              BERTH_OK);
    EVENTUALLY(MINDER("begun") == 1 && berth_test_exists(inside));
    return call;
}

/* ---- its sender's call ---- */

static void who_is_cancelled_is_told(const char *placement)
{
    struct berth_shutdown_report report;
    const char *inside = berth_test_hold_path();
    begin(placement, 2);
    load_minder("minder", placement);
    berth_ctx *ctx = berth_host_enter(host);
    berth_pending call = tell_and_hold(ctx, inside);
    berth_call_cancel(ctx, call);
    EVENTUALLY(MINDER("stopped") == 1);
    berth_call_drop(ctx, call);
    unlink(inside);
    unlink(path);
    tell(2);
    EVENTUALLY(MINDER("handled") == 1);
    berth_leave(ctx);
    end(&report);
}

/* Neither the next one nor who publishes waits for a handler beyond that. */
static void a_deadline_ends_a_turn(const char *placement)
{
    struct berth_shutdown_report report;
    begin(placement, 2);
    load_minder("minder", placement);
    CHECK_CODE(berth_test_try(host, "hurry.tell", "[1]", 50000000, NULL, &error), BERTH_OK, &error);
    EVENTUALLY(MINDER("stopped") == 1);
    unlink(path);
    tell(2);
    EVENTUALLY(MINDER("handled") == 1);
    end(&report);
}

/* What comes next must not overtake it. */
static void check_stays(const char *placement)
{
    struct berth_shutdown_report report;
    EVENTUALLY(MINDER("stopped") == 1);
    tell(2);
    check_waiting(placement, 2);
    CHECK_INT(MINDER("begun"), 1);
    unlink(path);
    EVENTUALLY(MINDER("handled") == 1);
    end(&report);
    CHECK_INT(report.delivered, 2);
}

/* A handler that does not mind its deadline is inside until it ends, and is done then. */
static void a_turn_ends_with_its_handler(const char *placement)
{
    begin(placement, 2);
    stubborn = true;
    load_minder("minder", placement);
    CHECK_CODE(berth_test_try(host, "hurry.tell", "[1]", 50000000, NULL, &error), BERTH_OK, &error);
    check_stays(placement);
}

/* Nor one that does not mind that its sender's call is cancelled. */
static void a_cancelled_turn_ends_with_its_handler(const char *placement)
{
    const char *inside = berth_test_hold_path();
    begin(placement, 2);
    stubborn = true;
    load_minder("minder", placement);
    berth_ctx *ctx = berth_host_enter(host);
    berth_pending call = tell_and_hold(ctx, inside);
    berth_call_drop(ctx, call);
    berth_leave(ctx);
    unlink(inside);
    check_stays(placement);
}

/* It waits to get into its module: so it has not begun. */
static void who_is_cancelled_at_the_door_does_not_begin(const char *placement)
{
    const char *outside = berth_test_hold_path(), *inside = berth_test_hold_path();
    struct berth_shutdown_report report;
    berth_pending call;
    begin(placement, 2);
    fclose(fopen(outside, "w"));
    CHECK_CALL(host, "host.log_level", "[\"\",\"info\"]", "\"info\"");
    const char *options = berth_test_format("{\"tell\":\"%s\",\"stay\":\"%s\"}", outside, path);
    const struct berth_load_options load = { .size = sizeof load,
                                             .placement = placement,
                                             .options = options };
    CHECK_CODE(berth_host_load(host, berth_test_fixture("doorman"), &load, &error), BERTH_OK,
               &error);
    EVENTUALLY(!berth_test_exists(outside));
    berth_ctx *ctx = berth_host_enter(host);
    CHECK_INT(berth_call_start_json(ctx, "hurry.tell_and_hold",
                                    berth_test_format("[1, \"%s\"]", inside), NULL, &call),
              BERTH_OK);
    EVENTUALLY(berth_test_exists(inside));
    berth_test_pause(20); /* it is at the door by now; if not, it is the same */
    berth_call_drop(ctx, call);
    berth_leave(ctx);
    /* what a worker is told in this order it knows in this order, before the door opens */
    CHECK_CALL(host, "host.log_level", "[\"doorman\",\"debug\"]", "\"debug\"");
    EVENTUALLY(strstr(berth_test_log(), "nobody comes in"));
    unlink(inside);
    unlink(path);
    tell(2);
    EVENTUALLY(CALL_INT(host, "doorman.heard", "[]") == 1 << 2);
    end(&report);
    CHECK_INT(report.delivered, 1);
}

/* ---- the worker's end ---- */

static void only_the_one_inside_is_lost(const char *placement)
{
    struct berth_shutdown_report report;
    begin(placement, 2);
    load_minder("minder", placement);
    for (int i = 1; i <= 20; i++)
        tell(i);
    EVENTUALLY(MINDER("begun") == 1);
    const char *pid = berth_test_module(host, "minder", "pid");
    CHECK_INT(kill(atoi(pid), SIGKILL), 0);
    unlink(path);
    EVENTUALLY(berth_test_runs_again(host, "minder", pid));
    EVENTUALLY(MINDER("handled") == 19);
    CHECK_CONTAINS(berth_test_log(),
                   is_asked(placement)
                       ? "a message to hurry.jobs failed in minder.on_jobs: unavailable: minder.on_"
                       : "a message to hurry.jobs failed: unavailable: minder.on_jobs");
    end(&report);
    CHECK_INT(report.dead_lettered, 1);
}

/* Its worker has one of two messages, and is not to be restarted. What host.subscribe gave. */
static const char *begin_mortal(int threads)
{
    const struct berth_restart_policy never = { .size = sizeof never,
                                                .limit = BERTH_RESTART_NEVER };
    const struct berth_reload_options mortal = { .size = sizeof mortal, .restart = &never };
    struct berth_host_options options = berth_test_host_options();
    options.mailbox_messages = 3; /* two messages, and a call */
    begin_as("process", threads, &options);
    load_minder("minder", "process");
    CHECK_CODE(berth_host_reload_with(host, "minder", &mortal, NULL, &error), BERTH_OK, &error);
    const char *subscription = CALL(host, "host.subscribe", "[\"hurry.jobs\",\"minder.hear\"]");
    tell(1);
    UNTIL(host, MINDER("begun") == 1);
    tell(2);
    return subscription;
}

/* Starts a call, and waits for it. */
struct asking {
    struct berth_call_options options;
    berth_pending call;
    int code;
};

static void ask(struct asking *asking, enum berth_full full)
{
    berth_ctx *ctx = berth_host_enter(host);
    asking->options = (struct berth_call_options){ .size = sizeof asking->options, .full = full };
    asking->code =
        berth_call_start_json(ctx, "minder.begun", NULL, &asking->options, &asking->call);
    berth_leave(ctx);
}

static void check_told(const struct asking *asking)
{
    berth_ctx *ctx = berth_host_enter(host);
    CHECK_INT(asking->code, BERTH_OK);
    CHECK_INT(berth_call_take_json(ctx, asking->call, NULL), BERTH_UNAVAILABLE);
    CHECK_STR(berth_error_text(ctx),
              "minder.begun: its worker was killed by signal 9 (Killed), and "
              "is never to be restarted: reload it, or unload and load it");
    berth_leave(ctx);
}

static void *ask_when_there_is_room(void *asking)
{
    ask(asking, BERTH_FULL_BLOCK);
    return NULL;
}

static void kill_for_good(void)
{
    CHECK_INT(kill(atoi(berth_test_module(host, "minder", "pid")), SIGKILL), 0);
    UNTIL(host, strcmp(berth_test_module(host, "minder", "state"), "failed") == 0);
}

/*
 * Who waits for a call is told, without any deadline, and so is a turn that waits in its mailbox,
 * for which an unsubscribe waits. Messages wait for a reload.
 */
static void who_waits_for_a_module_that_fails_is_told(int threads)
{
    struct berth_shutdown_report report;
    struct asking asking, patient;
    pthread_t asker;
    const char *subscription = begin_mortal(threads);
    ask(&asking, BERTH_FULL_REJECT);
    if (threads)
        REQUIRE(pthread_create(&asker, NULL, ask_when_there_is_room, &patient) == 0);
    for (int i = 0; i < 20; i++) /* all of them wait by now; if not, it is the same */
        berth_test_pass_time(host);
    kill_for_good();
    check_told(&asking);
    if (threads) {
        pthread_join(asker, NULL);
        check_told(&patient);
    }
    ask(&asking, BERTH_FULL_REJECT);
    check_told(&asking);
    CHECK_CALL(host, "host.unsubscribe", berth_test_format("[%s]", subscription), "null");
    unlink(path);
    CHECK_CODE(berth_host_reload(host, "minder", NULL, NULL, &error), BERTH_OK, &error);
    UNTIL(host, MINDER("handled") == 1);
    end(&report);
}

/* ---- a reload ---- */

static void *reload(void *report)
{
    struct berth_error why;
    CHECK_CODE(berth_host_reload(host, "minder", NULL, report, &why), BERTH_OK, &why);
    return NULL;
}

static void a_reload_drains_it(const char *placement)
{
    struct berth_reload_report replaced = { .size = sizeof replaced };
    struct berth_shutdown_report report;
    struct ear ear;
    pthread_t reloader;
    begin(placement, 2);
    load_minder("minder", placement);
    listen_to("minder.done", &ear);
    tell(1);
    EVENTUALLY(MINDER("begun") == 1);
    REQUIRE(pthread_create(&reloader, NULL, reload, &replaced) == 0);
    EVENTUALLY(strcmp(berth_test_module(host, "minder", "generation"), "2") == 0);
    tell(2);
    CHECK_INT(MINDER("begun"), 0); /* the new one's turn comes when the old one's is over */
    unlink(path);
    pthread_join(reloader, NULL);
    CHECK_INT(replaced.in_flight, 1);
    CHECK_INT(replaced.drained, 1);
    CHECK_INT(replaced.dropped, 0);
    EVENTUALLY(MINDER("handled") == 1);
    EVENTUALLY(has_heard(&ear, "1 2 "));
    end(&report);
    CHECK_INT(report.delivered, 4);
}

/*
 * The reload finds out that the worker has died, which has a state to hand over: it fails, and the
 * restart that fell due meanwhile, on the one thread, is made up for.
 */
static void who_dies_before_its_reload_is_restarted(void)
{
    struct berth_shutdown_report report;
    begin("process", 0);
    LOAD(host, "listener", "process");
    unlink(path);
    CHECK_CALL(host, "listener.ring", berth_test_format("[\"%s\"]", path), "null");
    UNTIL(host, berth_test_exists(path));
    const char *pid = berth_test_module(host, "listener", "pid");
    CHECK_INT(kill(atoi(pid), SIGKILL), 0);
    EVENTUALLY(kill(atoi(pid), 0) != 0);
    CHECK_CODE(berth_host_reload(host, "listener", NULL, NULL, &error), BERTH_UNAVAILABLE, &error);
    UNTIL(host, berth_test_runs_again(host, "listener", pid));
    unlink(path);
    end(&report);
}

/* ---- one that hangs ---- */

#define SOON INT64_C(100000000)

/* Its worker has the first of two messages. Returns that one's pid. */
static int hang(const char *placement)
{
    begin_until(placement, 2, SOON);
    stubborn = true;
    load_minder("minder", placement);
    tell(1);
    EVENTUALLY(MINDER("begun") == 1);
    tell(2);
    if (!is_asked(placement))
        CHECK_CONTAINS(CALL(host, "host.list", "[]"),
                       "\"turn\":{\"handler\":\"minder.on_jobs\",\"ns\":");
    return atoi(berth_test_module(host, "minder", "pid"));
}

static void check_killed(const char *placement, int pid)
{
    EVENTUALLY(kill(pid, 0) != 0);
    if (is_asked(placement))
        CHECK_CONTAINS(berth_test_log(),
                       berth_test_format("its worker is killed: 1 call was still inside after the "
                                         "stop_timeout of 0.1 s (process %d)",
                                         pid));
    else
        CHECK_CONTAINS(berth_test_log(),
                       berth_test_format("its worker is killed: 1 call was still inside after the "
                                         "stop_timeout of 0.1 s (process %d: minder.on_jobs has "
                                         "had a message for ",
                                         pid));
    EVENTUALLY(
        strstr(berth_test_log(),
               is_asked(placement)
                   ? "a message to hurry.jobs failed in minder.on_jobs: unavailable: minder.on_"
                   : "a message to hurry.jobs failed: unavailable: minder.on_jobs: its worker"));
}

static void a_reload_ends_what_hangs(const char *placement)
{
    struct berth_reload_report replaced = { .size = sizeof replaced };
    struct berth_shutdown_report report;
    int pid = hang(placement);
    reload(&replaced);
    CHECK_INT(replaced.in_flight, 1);
    CHECK_INT(replaced.dropped, 1);
    CHECK(replaced.unmapped);
    check_killed(placement, pid);
    unlink(path);
    EVENTUALLY(MINDER("handled") == 1); /* the other one, by the new worker */
    end(&report);
    CHECK_INT(report.dead_lettered, 1);
    CHECK_INT(report.delivered, 1);
}

static void an_unload_ends_what_hangs(void)
{
    struct berth_shutdown_report report;
    int pid = hang("process");
    CHECK_CODE(berth_host_unload(host, "minder", &error), BERTH_OK, &error);
    check_killed("process", pid);
    end(&report);
    CHECK_INT(report.dead_lettered, 1);
    CHECK_INT(report.left, 1);
}

static void the_end_ends_what_hangs(void)
{
    struct berth_shutdown_report report;
    int pid = hang("process");
    end(&report);
    check_killed("process", pid);
    CHECK_INT(report.dead_lettered + report.left, 2);
}

/* Several are replaced together while nothing is inside of any. */
static void who_cannot_be_replaced_is_told_what_hangs(void)
{
    static const char *const names[] = { "minder", "sleeper" };
    struct berth_shutdown_report report;
    int pid = hang("process");
    CHECK_CODE(berth_host_reload_all(host, names, NULL, 2, NULL, &error), BERTH_DEADLINE_EXCEEDED,
               &error);
    CHECK_CONTAINS(error.text,
                   berth_test_format("minder: 1 call was still inside after the "
                                     "stop_timeout of 0.1 s (process %d: minder.on_jobs "
                                     "has had a message for ",
                                     pid));
    CHECK_CONTAINS(error.text, " s); it goes on: an unload would end its worker");
    CHECK_INT(kill(pid, 0), 0);
    unlink(path);
    EVENTUALLY(MINDER("handled") == 2);
    end(&report);
}

/* ---- no thread waits ---- */

static size_t threads_of_this_process(void)
{
    DIR *tasks = opendir("/proc/self/task");
    size_t count = 0;
    while (tasks && readdir(tasks))
        count++;
    closedir(tasks);
    return count;
}

static void slow_handlers_need_no_threads(const char *placement)
{
    enum { WORKERS = 12 };
    struct berth_shutdown_report report;
    begin(placement, 1);
    for (int i = 0; i < WORKERS; i++)
        load_minder(berth_test_format("minder%d", i), placement);
    size_t before = threads_of_this_process();
    tell(1);
    for (int i = 0; i < WORKERS; i++)
        EVENTUALLY(CALL_INT(host, berth_test_format("minder%d.begun", i), "[]") == 1);
    EVENTUALLY(threads_of_this_process() <= before);
    unlink(path);
    for (int i = 0; i < WORKERS; i++)
        EVENTUALLY(CALL_INT(host, berth_test_format("minder%d.handled", i), "[]") == 1);
    end(&report);
    CHECK_INT(report.delivered, WORKERS);
}

/* The only thread waits for a worker, and gives others their turns meanwhile. */
static void an_answer_waits_for_no_handler(const char *placement)
{
    struct berth_shutdown_report report;
    begin(placement, 0);
    load_minder("minder", placement);
    LOAD(host, "sleeper_parallel", "process");
    tell(1);
    CHECK_CALL(host, "sleeper_parallel.nap", "[50]", "50");
    CHECK(berth_test_exists(path));
    CHECK_INT(MINDER("begun"), 1);
    unlink(path);
    UNTIL(host, MINDER("handled") == 1);
    end(&report);
    CHECK_INT(report.delivered, 1);
}

/* Who waits for the end of a turn lets the one thread that there is end it. */
static void an_unsubscribe_waits_for_its_turn(void)
{
    const struct berth_call_options patient = { .size = sizeof patient,
                                                .timeout_ns = berth_test_patience() };
    struct berth_shutdown_report report;
    berth_pending calls[2];
    begin(ASKED, 1);
    load_minder("minder", ASKED);
    tell(1);
    EVENTUALLY(MINDER("begun") == 1);
    berth_ctx *ctx = berth_host_enter(host);
    for (int i = 0; i < 2; i++)
        CHECK_INT(berth_call_start_json(ctx, "host.unsubscribe", berth_test_format("[%s]", asked),
                                        &patient, &calls[i]),
                  BERTH_OK);
    CHECK_INT(berth_call_take_json(ctx, calls[1], NULL), BERTH_NOT_FOUND); /* the first waits */
    berth_clear(ctx);
    unlink(path);
    CHECK_INT(berth_call_take_json(ctx, calls[0], NULL), BERTH_OK);
    berth_leave(ctx);
    end(&report);
    CHECK_INT(report.delivered, 1);
}

#define ALL(function)                  \
    BERTH_TEST_BOTH(function)          \
    static void asked_##function(void) \
    {                                  \
        function(ASKED);               \
    }
#define ALL_ROWS(text, function)                     \
    BERTH_TEST_ROWS(text, function),                 \
    {                                                \
        text ", by host.subscribe", asked_##function \
    }
#define WORKERS_ROWS(text, function)                 \
    { text, process_##function },                    \
    {                                                \
        text ", by host.subscribe", asked_##function \
    }

ALL(order_is_kept)
ALL(who_is_cancelled_is_told)
ALL(a_deadline_ends_a_turn)
ALL(a_turn_ends_with_its_handler)
ALL(a_cancelled_turn_ends_with_its_handler)
BERTH_TEST_BOTH(who_is_cancelled_at_the_door_does_not_begin)
ALL(a_reload_drains_it)

static void process_only_the_one_inside_is_lost(void)
{
    only_the_one_inside_is_lost("process");
}

static void asked_only_the_one_inside_is_lost(void)
{
    only_the_one_inside_is_lost(ASKED);
}

static void who_waits_for_a_module_that_fails_is_told_by_threads(void)
{
    who_waits_for_a_module_that_fails_is_told(2);
}

static void who_waits_for_a_module_that_fails_is_told_without(void)
{
    who_waits_for_a_module_that_fails_is_told(0);
}

static void process_a_reload_ends_what_hangs(void)
{
    a_reload_ends_what_hangs("process");
}

static void asked_a_reload_ends_what_hangs(void)
{
    a_reload_ends_what_hangs(ASKED);
}

static void process_slow_handlers_need_no_threads(void)
{
    slow_handlers_need_no_threads("process");
}

static void asked_slow_handlers_need_no_threads(void)
{
    slow_handlers_need_no_threads(ASKED);
}

static void process_an_answer_waits_for_no_handler(void)
{
    an_answer_waits_for_no_handler("process");
}

static void asked_an_answer_waits_for_no_handler(void)
{
    an_answer_waits_for_no_handler(ASKED);
}

static const struct berth_test tests[] = {
    ALL_ROWS("order is kept", order_is_kept),
    ALL_ROWS("who is cancelled is told", who_is_cancelled_is_told),
    ALL_ROWS("a deadline ends a turn", a_deadline_ends_a_turn),
    ALL_ROWS("a turn ends with its handler", a_turn_ends_with_its_handler),
    ALL_ROWS("a cancelled turn ends with its handler", a_cancelled_turn_ends_with_its_handler),
    BERTH_TEST_ROWS("who is cancelled at the door does not begin",
                    who_is_cancelled_at_the_door_does_not_begin),
    WORKERS_ROWS("only the one inside is lost", only_the_one_inside_is_lost),
    { "who waits for a module that fails is told",
      who_waits_for_a_module_that_fails_is_told_by_threads },
    { "who waits for a module that fails is told, without threads",
      who_waits_for_a_module_that_fails_is_told_without },
    ALL_ROWS("a reload drains it", a_reload_drains_it),
    { "who dies before its reload is restarted", who_dies_before_its_reload_is_restarted },
    WORKERS_ROWS("a reload ends what hangs", a_reload_ends_what_hangs),
    { "an unload ends what hangs", an_unload_ends_what_hangs },
    { "the end ends what hangs", the_end_ends_what_hangs },
    { "who cannot be replaced is told what hangs", who_cannot_be_replaced_is_told_what_hangs },
    { "an unsubscribe waits for its turn", an_unsubscribe_waits_for_its_turn },
    WORKERS_ROWS("slow handlers need no threads", slow_handlers_need_no_threads),
    WORKERS_ROWS("an answer waits for no handler", an_answer_waits_for_no_handler),
};

int main(int argc, char **argv)
{
    return berth_suite_main("away", tests, sizeof tests / sizeof *tests, argc, argv);
}
