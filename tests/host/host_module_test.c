/* SPDX-License-Identifier: MIT */
/* The built-in module `host`: what its functions do, called as any module's and from modules. */
#include "tests/support/hosting.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static berth_host *host;

static void begin(void)
{
    host = berth_test_host(NULL);
}

static void skip_valgrind(const char *placement)
{
    if (berth_test_valgrind() && strcmp(placement, "process") == 0)
        berth_skip("valgrind cannot follow workers");
}

static void begin_in(const char *placement)
{
    skip_valgrind(placement);
    begin();
}

static const char *fixture(const char *name)
{
    return berth_test_built(berth_test_format("tests/fixtures/%s.so", name));
}

/* ---- modules ---- */

static void it_is_a_module_like_any_other(void)
{
    begin();
    CHECK_CONTAINS(CALL(host, "host.list", "[]"),
                   "{\"name\":\"host\",\"version\":\"" BERTH_VERSION
                   "\",\"generation\":1,\"placement\":\"built-in\",\"state\":\"running\"");
    CHECK_CONTAINS(CALL(host, "host.show", "[\"host\"]"),
                   "\"publish\":{\"doc\":\"Publishes to a topic");
    CHECK_CONTAINS(CALL(host, "host.show", "[\"host\"]"), "\"host.module.died\":");
}

static void it_stays_as_it_is(void)
{
    struct berth_error error;

    begin();
    CHECK_FAILS(host, "host.unload", "[\"host\"]", BERTH_FAILED_PRECONDITION,
                "host is part of the runtime and stays as it is");
    CHECK_FAILS(host, "host.unload", "[\"host\",true]", BERTH_FAILED_PRECONDITION, "stays");
    CHECK_FAILS(host, "host.reload", "[\"host\"]", BERTH_FAILED_PRECONDITION, "stays");
    CHECK_CODE(berth_host_unload(host, "host", &error), BERTH_FAILED_PRECONDITION, &error);
    CHECK_CODE(berth_host_reload(host, "host", fixture("math"), NULL, &error),
               BERTH_FAILED_PRECONDITION, &error);
}

static void modules_come_change_and_go(void)
{
    begin();
    CHECK_CALL(host, "host.load", berth_test_format("[\"%s\"]", fixture("counter")), "\"counter\"");
    CHECK_CALL(host, "counter.add", "[5]", "5");
    CHECK_CONTAINS(
        CALL(host, "host.reload", berth_test_format("[\"counter\",\"%s\"]", fixture("counter_v2"))),
        "\"step\":\"done\",\"from\":\"counter@1.0.0#1\",\"to\":\"counter@1.1.0#2\"");
    CHECK_CALL(host, "counter.add", "[1]", "6");
    CHECK_CALL(host, "host.unload", "[\"counter\"]", "null");
    CHECK_FAILS(host, "counter.add", "[1]", BERTH_NOT_FOUND, "counter");
}

static void a_load_takes_all_its_options(void)
{
    const char *arguments = berth_test_format(
        "{\"file\":\"%s\",\"name\":\"ears\",\"placement\":\"%s\",\"options\":{\"hold\":\"/none\"}}",
        fixture("subscriber"), berth_test_valgrind() ? "inline" : "process");

    begin();
    CHECK_CALL(host, "host.load", arguments, "\"ears\"");
    CHECK_STR(berth_test_module(host, "ears", "placement"),
              berth_test_valgrind() ? "inline" : "process");
    CHECK_CONTAINS(CALL(host, "host.read", berth_test_format("[\"%s\"]", fixture("subscriber"))),
                   "\"module\":\"subscriber\"");
}

static void refusals_say_why(void)
{
    begin();
    CHECK_FAILS(host, "host.load", "[\"/no/such.so\"]", BERTH_NOT_FOUND,
                "host.load: /no/such.so: cannot be opened");
    CHECK_FAILS(host, "host.load",
                berth_test_format("{\"file\":\"%s\",\"placement\":\"moon\"}", fixture("math")),
                BERTH_INVALID_ARGUMENT, "\"moon\" is no placement");
    CHECK_FAILS(host, "host.unload", "[\"math\"]", BERTH_NOT_FOUND, "no module math is loaded");
    CHECK_FAILS(host, "host.show", "[\"math\"]", BERTH_NOT_FOUND, "no module math is loaded");
    CHECK_FAILS(host, "host.reload", "[\"math\"]", BERTH_NOT_FOUND,
                "host.reload: no module math is loaded");
    LOAD(host, "math", NULL);
    CHECK_FAILS(host, "host.reload", berth_test_format("[\"math\",\"%s\"]", fixture("counter")),
                BERTH_FAILED_PRECONDITION,
                "math@1.2.0#1 goes on as it was (refused in step compare): ");
}

/* For who wants to know it in parts. */
static void a_refusal_may_be_a_report(void)
{
    begin();
    LOAD(host, "math", NULL);
    LOAD(host, "options", NULL);
    const char *report =
        CALL(host, "host.reload",
             berth_test_format("{\"module\":\"math\",\"file\":\"%s\",\"refusal\":true}",
                               fixture("counter")));
    CHECK_CONTAINS(report, "\"step\":\"compare\",\"from\":\"math@1.2.0#1\"");
    CHECK_CONTAINS(report, "/counter.so is module counter, not math\",\"in_flight\":0");
    CHECK_CONTAINS(report, ",\"error\":{\"code\":\"failed_precondition\",\"text\":"
                           "\"math@1.2.0#1 goes on as it was (refused in step compare): ");
    CHECK_CONTAINS(CALL(host, "host.move", "[\"math\",\"moon\",true]"),
                   "\"code\":\"invalid_argument\"");
    CHECK_CONTAINS(CALL(host, "host.rollback", "[\"math\",null,true]"), "\"step\":\"stage\"");
    CHECK_CONTAINS(CALL(host, "host.restore", "[\"math\",{},true]"), "\"step\":\"stage\"");
    report =
        CALL(host, "host.reload_all",
             berth_test_format("[[{\"module\":\"options\"},{\"module\":\"math\",\"file\":\"%s\"}],"
                               "null,null,true]",
                               fixture("counter")));
    CHECK_CONTAINS(report, "\"step\":\"compare\",\"from\":\"options@");
    CHECK_CONTAINS(report,
                   "\"text\":\"all of them go on as they were: math (refused in step compare): ");
    CHECK_FAILS(host, "host.reload", "{\"module\":\"nix\",\"refusal\":true}", BERTH_NOT_FOUND,
                "no module nix is loaded");
    report = CALL(host, "host.reload", "{\"module\":\"math\",\"refusal\":true}");
    CHECK_CONTAINS(report, "\"step\":\"done\"");
    CHECK(!strstr(report, "\"error\""));
}

static void a_reload_takes_options(void)
{
    begin();
    LOAD(host, "options", NULL);
    CHECK_CONTAINS(CALL(host, "host.reload", "[\"options\",null,{\"limit\":7}]"), "\"done\"");
    CHECK_CONTAINS(CALL(host, "options.show", "[]"), "\"7 7 3 ");
    CHECK_CONTAINS(CALL(host, "host.reload", "{\"module\":\"options\"}"), "\"done\"");
    CHECK_CONTAINS(CALL(host, "options.show", "[]"), "\"7 7 3 ");
    CHECK_FAILS(host, "host.reload", "{\"module\":\"options\",\"options\":{\"limt\":1}}",
                BERTH_INVALID_ARGUMENT,
                "goes on as it was (refused in step compare): module options: ");
    CHECK_CONTAINS(CALL(host, "host.reload", "{\"module\":\"options\",\"options\":{}}"),
                   "\"done\"");
    CHECK_CONTAINS(CALL(host, "options.show", "[]"), "\"1000 1000 3 ");
}

/* Its state comes with it, and those who call it stay. */
static void a_module_moves(void)
{
    if (berth_test_valgrind())
        berth_skip("valgrind cannot follow workers");
    begin();
    LOAD(host, "counter", "inline");
    CHECK_CALL(host, "counter.add", "[5]", "5");
    CHECK_CONTAINS(CALL(host, "host.move", "[\"counter\",\"process\"]"),
                   "\"from\":\"counter@1.0.0#1\",\"to\":\"counter@1.0.0#2\"");
    CHECK_STR(berth_test_module(host, "counter", "placement"), "process");
    CHECK_CALL(host, "counter.add", "[1]", "6");
    CHECK_FAILS(host, "host.move", "[\"counter\",\"nowhere\"]", BERTH_INVALID_ARGUMENT,
                "counter@1.0.0#2 goes on as it was (refused in step stage): ");
    CHECK_FAILS(host, "host.move", "[\"host\",\"process\"]", BERTH_FAILED_PRECONDITION, "stays");
    CHECK_CONTAINS(CALL(host, "host.move", "[\"counter\",\"inline\"]"), "\"step\":\"done\"");
    CHECK_CALL(host, "counter.add", "[1]", "7");
}

static void force_unloads_what_others_require(void)
{
    begin();
    LOAD(host, "math", NULL);
    LOAD(host, "requirer", NULL);
    CHECK_FAILS(host, "host.unload", "[\"math\"]", BERTH_FAILED_PRECONDITION,
                "math is required by requirer");
    CHECK_CALL(host, "host.unload", "[\"math\",true]", "null");
    CHECK_STR(berth_test_module(host, "math", "state"), "");
}

/* ---- calls ---- */

static void calls_by_name(void)
{
    begin();
    LOAD(host, "math", NULL);
    CHECK_CALL(host, "host.call", "[\"math.divide\",[6,4]]", "1.5");
    CHECK_CALL(host, "host.call", "[\"math.divide\",{\"b\":4,\"a\":6}]", "1.5");
    CHECK_CALL(host, "host.call", "[\"host.call\",[\"math.add\",[1,2]]]", "3");
    CHECK_FAILS(host, "host.call", "[\"math.divide\",[1,0]]", BERTH_INVALID_ARGUMENT,
                "host.call → math.divide: ");
    CHECK_FAILS(host, "host.call", "[\"math.nix\"]", BERTH_NOT_FOUND, "has no function nix");
    CHECK_FAILS(host, "host.call", "[\"math\"]", BERTH_INVALID_ARGUMENT, "write module.function");
    CHECK_FAILS(host, "host.call", "[\"math.add\",[1,\"x\"]]", BERTH_INVALID_ARGUMENT,
                "argument b");
}

static void a_timeout_is_the_calls_own(void)
{
    begin();
    LOAD(host, "sleeper", NULL);
    CHECK_FAILS(host, "host.call", "[\"sleeper.nap\",[50],1]", BERTH_DEADLINE_EXCEEDED,
                "sleeper.nap: answered after the deadline");
    CHECK_FAILS(host, "host.call", "[\"sleeper.nap\",[1],0]", BERTH_DEADLINE_EXCEEDED,
                "sleeper.nap");
    CHECK_CALL(host, "host.call", "[\"sleeper.nap\",[1]]", "1");
    CHECK_CALL(host, "host.call", "[\"sleeper.nap\",[1],9223372036854775807]", "1");
}

static void modules_reach_it(const char *placement)
{
    begin();
    LOAD(host, "math", NULL);
    LOAD(host, "observer", placement);
    CHECK_CONTAINS(CALL(host, "observer.list", "[]"), "\"name\":\"observer\"");
    CHECK_CALL(host, "observer.relay", "[\"math.add\",[40,2],60000]", "42");
    CHECK_FAILS(host, "observer.relay", "[\"math.divide\",[1,0],60000]", BERTH_INVALID_ARGUMENT,
                "observer.relay → host.call → math.divide: ");
}

static void inline_modules_reach_it(void)
{
    modules_reach_it("inline");
}

static void workers_reach_it(void)
{
    if (berth_test_valgrind())
        berth_skip("valgrind cannot follow workers");
    modules_reach_it("process");
}

/* ---- messages ---- */

static void messages_are_handed_to_a_function(const char *placement)
{
    begin();
    LOAD(host, "publisher", NULL);
    LOAD(host, "observer", placement);
    const char *id = CALL(host, "observer.listen", "[\"news.>\"]");
    CHECK_CALL(host, "host.publish", "[\"news.text\",{\"text\":\"a\",\"number\":1}]", "null");
    UNTIL(host, CALL_INT(host, "observer.count", "[]") == 1);
    CHECK_CALL(host, "observer.last", "[]",
               "\"news.text from : {\\\"text\\\":\\\"a\\\",\\\"number\\\":1}\"");
    CHECK_CALL(host, "publisher.ring", "[]", "null");
    UNTIL(host, CALL_INT(host, "observer.count", "[]") == 2);
    CHECK_CALL(host, "observer.last", "[]", "\"news.bell from publisher: {}\"");
    CHECK_CALL(host, "observer.deafen", berth_test_format("[%s]", id), "null");
    CHECK_CALL(host, "publisher.ring", "[]", "null");
    CHECK_INT(CALL_INT(host, "observer.count", "[]"), 2);
    CHECK_FAILS(host, "observer.deafen", berth_test_format("[%s]", id), BERTH_NOT_FOUND,
                "there is no subscription");
}

static void messages_to_an_inline_module(void)
{
    messages_are_handed_to_a_function("inline");
}

static void messages_to_a_worker(void)
{
    if (berth_test_valgrind())
        berth_skip("valgrind cannot follow workers");
    messages_are_handed_to_a_function("process");
}

static void a_receiver_must_fit(void)
{
    begin();
    LOAD(host, "math", NULL);
    CHECK_FAILS(host, "host.subscribe", "[\"a.>\",\"math.add\"]", BERTH_INVALID_ARGUMENT,
                "math.add(f64 a, f64 b) -> f64 cannot take messages");
    CHECK_FAILS(host, "host.subscribe", "[\"a.>\",\"math.nix\"]", BERTH_NOT_FOUND, "math.nix");
    LOAD(host, "observer", NULL);
    CHECK_FAILS(host, "host.subscribe", "[\"a..b\",\"observer.take\"]", BERTH_INVALID_ARGUMENT,
                "\"a..b\" is not a topic pattern");
    CHECK_FAILS(host, "host.publish", "[\"a.b\",{}]", BERTH_NOT_FOUND,
                "no loaded module declares this topic");
}

/* A receiver that is busy costs the publisher nothing: the oldest go, and are counted. */
static void a_full_mailbox_loses_the_oldest(void)
{
    struct berth_host_options options = berth_test_host_options();

    options.threads = 0;
    options.mailbox_messages = 10;
    host = berth_test_host(&options);
    LOAD(host, "publisher", NULL);
    LOAD(host, "observer", NULL);
    CALL(host, "observer.listen", "[\"news.>\"]");
    CHECK_INT(CALL_INT(host, "publisher.burst", "[25]"), 25);
    while (berth_host_dispatch(host, 0) > 0)
        ;
    CHECK_INT(CALL_INT(host, "observer.count", "[]"), 10);
    CHECK_INT(CALL_INT(host, "observer.lost", "[]"), 15);
    CHECK_CONTAINS(CALL(host, "observer.last", "[]"), "\\\"number\\\":24");
}

/* What a module says of its own handlers, whoever asks says of a function. */
static void a_subscription_says_how(void)
{
    struct berth_host_options options = berth_test_host_options();

    options.mailbox_messages = 4;
    options.threads = 0;
    host = berth_test_host(&options);
    LOAD(host, "publisher", NULL);
    LOAD(host, "observer", NULL);
    LOAD(host, "asker", NULL);
    const char *id = CALL(host, "host.subscribe", "[\"news.bell\",\"observer.take\",\"reject\",2]");
    CHECK_CALL(host, "observer.fail_next", "[1]", "null");
    CHECK_CALL(host, "publisher.ring", "[]", "null");
    UNTIL(host, CALL_INT(host, "observer.count", "[]") == 1); /* at the second try */
    for (int i = 0; i < 4; i++)
        CHECK_CALL(host, "publisher.ring", "[]", "null");
    CHECK_FAILS(host, "publisher.ring", "[]", BERTH_RESOURCE_EXHAUSTED, "is full");
    CHECK_CALL(host, "host.unsubscribe", berth_test_format("[%s]", id), "null");
    CALL(host, "host.subscribe", "[\"news.*\",\"observer.take\",null,null,\"ears\"]");
    CALL(host, "host.subscribe",
         "{\"pattern\":\"news.bell\",\"function\":\"asker.hear\",\"group\":\"ears\"}");
    for (int i = 0; i < 4; i++)
        CHECK_CALL(host, "publisher.ring", "[]", "null");
    UNTIL(host,
          CALL_INT(host, "asker.heard", "[]") == 2 && CALL_INT(host, "observer.count", "[]") == 3);
    CHECK_FAILS(host, "host.subscribe", "[\"a.b\",\"observer.take\",\"often\"]",
                BERTH_INVALID_ARGUMENT, "write reject, block or drop_oldest");
    CHECK_FAILS(host, "host.subscribe", "[\"a.b\",\"observer.take\",null,0]",
                BERTH_INVALID_ARGUMENT, "there are 1 to");
    CHECK_FAILS(host, "host.subscribe", "[\"a.b\",\"observer.take\",null,null,\"No\"]",
                BERTH_INVALID_ARGUMENT, "cannot be a group's name");
}

/* Nor does the one message that it is handling, although that alone fills the mailbox. */
static void a_busy_receiver_costs_nothing(void)
{
    struct berth_host_options options = berth_test_host_options();

    options.threads = 0;
    options.mailbox_messages = 1;
    host = berth_test_host(&options);
    LOAD(host, "publisher", NULL);
    LOAD(host, "observer", NULL);
    CALL(host, "observer.listen", "[\"news.>\"]");
    CALL(host, "observer.call_next", "[\"publisher.ring\"]");
    CALL(host, "publisher.ring", "[]");
    while (berth_host_dispatch(host, 0) > 0)
        ;
    CHECK_INT(CALL_INT(host, "observer.count", "[]"), 2);
    CHECK_INT(CALL_INT(host, "observer.lost", "[]"), 0);
}

static void a_subscription_ends_with_its_module(const char *placement)
{
    begin_in(placement);
    LOAD(host, "publisher", NULL);
    berth_test_load_as(host, "observer", "observer", placement);
    const char *id = CALL(host, "observer.listen", "[\"news.>\"]");
    CALL(host, "observer.fail_next", "[1]"); /* a receiver that fails stays one */
    CALL(host, "publisher.ring", "[]");
    CALL(host, "publisher.ring", "[]");
    UNTIL(host, CALL_INT(host, "observer.count", "[]") == 1);
    CHECK_CALL(host, "host.unload", "[\"observer\"]", "null");
    CALL(host, "publisher.ring", "[]");
    const char *arguments = berth_test_format("[%s]", id);
    struct berth_error error;
    UNTIL(host, berth_test_try(host, "host.call",
                               berth_test_format("[\"host.unsubscribe\",%s]", arguments), 0, NULL,
                               &error) == BERTH_NOT_FOUND ||
                    (CALL(host, "publisher.ring", "[]"), false));
}

/* While it is handed a message, a receiver ends the subscription that the message is from. */
static void a_receiver_ends_its_own_subscription(const char *placement)
{
    begin_in(placement);
    LOAD(host, "publisher", NULL);
    berth_test_load_as(host, "observer", "observer", placement);
    CALL(host, "observer.hear_once", "[]");
    const char *id = CALL(host, "observer.listen", "[\"news.>\"]");
    CALL(host, "publisher.ring", "[]");
    UNTIL(host, CALL_INT(host, "observer.count", "[]") == 1);
    CALL(host, "publisher.ring", "[]");
    CHECK_FAILS(host, "observer.deafen", berth_test_format("[%s]", id), BERTH_NOT_FOUND,
                "there is no subscription");
    CHECK_INT(CALL_INT(host, "observer.count", "[]"), 1);
}

/* The message that it is handed fills the mailbox that it has another one wait for room in. */
static void a_receiver_does_not_wait_for_itself(const char *placement)
{
    struct berth_host_options options = berth_test_host_options();

    skip_valgrind(placement);
    options.mailbox_messages = 1;
    host = berth_test_host(&options);
    LOAD(host, "publisher", NULL);
    berth_test_load_as(host, "observer", "observer", placement);
    CALL(host, "host.subscribe", "[\"news.bell\",\"observer.take\",\"block\"]");
    CALL(host, "observer.call_next", "[\"publisher.ring\"]");
    CALL(host, "publisher.ring", "[]");
    UNTIL(host, strstr(berth_test_log(), "failed in observer.take: aborted"));
    CHECK_CONTAINS(berth_test_log(), "it would wait for itself: ");
}

BERTH_TEST_BOTH(a_subscription_ends_with_its_module)
BERTH_TEST_BOTH(a_receiver_ends_its_own_subscription)
BERTH_TEST_BOTH(a_receiver_does_not_wait_for_itself)

static void nobody_ends_the_subscription_of_another(void)
{
    begin();
    LOAD(host, "publisher", NULL);
    LOAD(host, "observer", NULL);
    berth_test_load_as(host, "observer", "other", NULL);
    const char *id = CALL(host, "observer.listen", "[\"news.>\"]");
    CHECK_FAILS(host, "other.deafen", berth_test_format("[%s]", id), BERTH_PERMISSION_DENIED,
                "is another one's: observer has asked for it");
    CALL(host, "publisher.ring", "[]");
    UNTIL(host, CALL_INT(host, "observer.count", "[]") == 1);
    CHECK_CALL(host, "observer.deafen", berth_test_format("[%s]", id), "null");
    id = CALL(host, "host.subscribe", "[\"news.>\",\"observer.take\"]");
    CHECK_FAILS(host, "observer.deafen", berth_test_format("[%s]", id), BERTH_PERMISSION_DENIED,
                "the application has asked for it");
    id = CALL(host, "observer.listen", "[\"news.>\"]");
    CHECK_CALL(host, "host.unsubscribe", berth_test_format("[%s]", id), "null");
}

/* ---- events ---- */

static size_t event_count(const char *event)
{
    const char *events = CALL(host, "host.events", "[]");
    const char *wanted = berth_test_format("\"event\":\"%s\"", event);
    size_t count = 0;
    for (const char *at = events; (at = strstr(at, wanted)); at++)
        count++;
    return count;
}

static void events_tell_what_happened(void)
{
    struct berth_error error;

    begin();
    LOAD(host, "observer", NULL);
    CALL(host, "observer.listen", "[\"host.module.>\"]");
    LOAD(host, "math", NULL);
    UNTIL(host, CALL_INT(host, "observer.count", "[]") == 1);
    CHECK_CONTAINS(CALL(host, "observer.last", "[]"),
                   "host.module.loaded from host: {\\\"module\\\":\\\"math\\\"");
    CHECK_CODE(berth_host_reload(host, "math", NULL, NULL, &error), BERTH_OK, &error);
    CHECK_CODE(berth_host_reload(host, "math", fixture("greet"), NULL, &error),
               BERTH_FAILED_PRECONDITION, &error);
    CHECK_CODE(berth_host_unload(host, "math", &error), BERTH_OK, &error);
    UNTIL(host, CALL_INT(host, "observer.count", "[]") >= 4);
    CHECK_INT(event_count("reloaded"), 1);
    CHECK_INT(event_count("refused"), 1);
    CHECK_INT(event_count("unloaded"), 1);
    CHECK_CONTAINS(CALL(host, "host.events", "[]"), "is module greet, not math");
}

static void events_tell_of_deaths(void)
{
    struct berth_error error;

    if (berth_test_valgrind())
        berth_skip("valgrind cannot follow workers");
    begin();
    LOAD(host, "math", "process");
    kill((pid_t)atoi(berth_test_module(host, "math", "pid")), SIGKILL);
    UNTIL(host, event_count("restarted") == 1);
    CHECK_INT(event_count("died"), 1);
    CHECK_CONTAINS(CALL(host, "host.events", "[]"), "was killed by signal 9");
    CHECK_CODE(berth_host_unload(host, "math", &error), BERTH_OK, &error);
}

/* Also of those that do not live long enough to serve: each is told once. */
static void events_tell_of_each_death(void)
{
    struct berth_restart_policy restart = { .size = sizeof restart, .limit = 2, .first_ns = 1000 };
    const char *path = berth_test_hold_path();
    struct berth_load_options options = { .size = sizeof options,
                                          .placement = "process",
                                          .options = berth_test_format("{\"file\":\"%s\"}", path),
                                          .restart = &restart };
    struct berth_error error;

    if (berth_test_valgrind())
        berth_skip("valgrind cannot follow workers");
    begin();
    CHECK_CODE(berth_host_load(host, fixture("mortal"), &options, &error), BERTH_OK, &error);
    close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    kill((pid_t)atoi(berth_test_module(host, "mortal", "pid")), SIGKILL);
    UNTIL(host, event_count("failed") == 1 && event_count("died") >= 3);
    CHECK_INT(event_count("died"), 3);
    CHECK_INT(event_count("restarted"), 0);
    unlink(path);
    CHECK_CODE(berth_host_unload(host, "mortal", &error), BERTH_OK, &error);
}

/* ---- JSON ---- */

static void json_is_taken_apart(void)
{
    static const struct {
        const char *text, *parsed;
    } table[] = {
        { "{}", "{\"kind\":\"object\",\"text\":\"\",\"members\":[]}" },
        { " [ ] ", "{\"kind\":\"array\",\"text\":\"\",\"members\":[]}" },
        { "12", "{\"kind\":\"number\",\"text\":\"12\",\"members\":[]}" },
        { " -1.5e3 ", "{\"kind\":\"number\",\"text\":\"-1.5e3\",\"members\":[]}" },
        { "true", "{\"kind\":\"bool\",\"text\":\"true\",\"members\":[]}" },
        { "null", "{\"kind\":\"null\",\"text\":\"null\",\"members\":[]}" },
        { "\"a\\u00e9\\\"\\\\\"", "{\"kind\":\"string\",\"text\":\"aé\\\"\\\\\",\"members\":[]}" },
        { "\"\"", "{\"kind\":\"string\",\"text\":\"\",\"members\":[]}" },
        { "[1,\"],}\",{\"a\":[{}]},[[]]]",
          "{\"kind\":\"array\",\"text\":\"\",\"members\":[{\"name\":\"\",\"value\":1},"
          "{\"name\":\"\",\"value\":\"],}\"},{\"name\":\"\",\"value\":{\"a\":[{}]}},"
          "{\"name\":\"\",\"value\":[[]]}]}" },
        { "{ \"a\\nb\" : \"\\\\\" , \"c\":9007199254740993 }",
          "{\"kind\":\"object\",\"text\":\"\",\"members\":["
          "{\"name\":\"a\\nb\",\"value\":\"\\\\\"},{\"name\":\"c\",\"value\":9007199254740993}]}" },
    };

    begin();
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        CHECK_CALL(host, "host.parse", berth_test_format("[%s]", table[i].text), table[i].parsed);
}

/* A module hands over any bytes as json: they are looked at first. */
static void what_is_no_json_is_refused(void)
{
    static const char *const bad[] = { "",     " ",        "{",    "[1,]",      "\"\xff\"", "tru",
                                       "[1]]", "{\"a\":1", "nul ", "{\"a\" 1}", "\"",       "\\" };

    begin();
    berth_ctx *ctx = berth_host_enter(host);
    REQUIRE(ctx);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct berth_value argument = { .kind = BERTH_VALUE_JSON, .as.string = bad[i] }, result;
        CHECK_INT(berth_call(ctx, "host.parse", &argument, 1, &result), BERTH_INVALID_ARGUMENT);
        CHECK_CONTAINS(berth_error_text(ctx), "host.parse: ");
        berth_clear(ctx);
    }
    berth_leave(ctx);
}

/* ---- the log ---- */

static void a_wrong_level_is_refused(void)
{
    struct berth_error error;

    begin();
    CHECK_FAILS(host, "host.log_level", "[\"math\"]", BERTH_NOT_FOUND, "no module math is loaded");
    CHECK_FAILS(host, "host.log_level", "[\"\",\"loud\"]", BERTH_INVALID_ARGUMENT,
                "write error, warning, info or debug");
    CHECK_FAILS(host, "host.log_level", "[\"\",\"\"]", BERTH_INVALID_ARGUMENT, "for a module");
    CHECK_CALL(host, "host.log_level", "[\"\"]", "\"debug\"");
    CHECK_CALL(host, "host.log_level", "[\"host\"]", "\"debug\"");
    CHECK_CODE(berth_host_set_log_level(host, "Math", 0, &error), BERTH_INVALID_ARGUMENT, &error);
    CHECK_CODE(berth_host_set_log_level(host, "math", 4, &error), BERTH_INVALID_ARGUMENT, &error);
    CHECK_CODE(berth_host_set_log_level(host, "math", -2, &error), BERTH_INVALID_ARGUMENT, &error);
    CHECK_CODE(berth_host_set_log_level(host, "math", -1, &error), BERTH_OK, &error);
}

/* A line to whoever listens, and what comes of it: when it has been heard, so has all before it. */
static void say(const char *text)
{
    CHECK_CALL(host, "logger.log", berth_test_format("[1,\"%s\"]", text), "null");
    UNTIL(host, strstr(CALL(host, "parrot.last", "[]"), text) != NULL);
}

static void lines_are_heard_and_make_no_more(const char *placement)
{
    begin();
    LOAD(host, "logger", NULL);
    LOAD(host, "parrot", placement);
    say("first");
    say("second");
    CHECK_CALL(host, "parrot.own", "[]", "0");
    CHECK_CONTAINS(berth_test_log(), "warning parrot@1.0.0#1 heard of logger: first\n");
}

static void an_inline_reader_of_the_log(void)
{
    lines_are_heard_and_make_no_more("inline");
}

static void a_worker_reads_the_log(void)
{
    if (berth_test_valgrind())
        berth_skip("valgrind cannot follow workers");
    lines_are_heard_and_make_no_more("process");
}

/* Nor does what others log of a message that a reader of the log has published. */
static void echoes_come_not_back(const char *reader, const char *logger)
{
    begin();
    LOAD(host, "logger", logger);
    LOAD(host, "parrot", reader);
    for (int i = 1; i <= 3; i++) {
        say(berth_test_format("word %d", i));
        UNTIL(host, strstr(berth_test_log(), berth_test_format("parrot has heard: word %d", i)));
        long long before = CALL_INT(host, "parrot.heard", "[]");
        say("and");
        CHECK_INT(CALL_INT(host, "parrot.heard", "[]"), before + 1);
    }
}

static void no_echo_comes_back(void)
{
    echoes_come_not_back("inline", "inline");
}

static void no_echo_comes_back_from_a_worker(void)
{
    if (berth_test_valgrind())
        berth_skip("valgrind cannot follow workers");
    echoes_come_not_back("inline", "process");
}

static void no_echo_of_a_worker_comes_back(void)
{
    if (berth_test_valgrind())
        berth_skip("valgrind cannot follow workers");
    echoes_come_not_back("process", "process");
}

/* Nobody but who misses them could be told of lines that a full mailbox does not take. */
static void begin_with_small_mailboxes(void)
{
    struct berth_host_options options = berth_test_host_options();

    options.threads = 0;
    options.mailbox_messages = 10;
    host = berth_test_host(&options);
    LOAD(host, "logger", NULL);
}

static void log_and_dispatch(int lines)
{
    for (int i = 0; i < lines; i++)
        CHECK_CALL(host, "logger.log", "[1,\"x\"]", "null");
    while (berth_host_dispatch(host, 0) > 0)
        ;
}

static void a_reader_is_told_of_lost_lines(void)
{
    begin_with_small_mailboxes();
    LOAD(host, "parrot", NULL);
    log_and_dispatch(0);
    long long before = CALL_INT(host, "parrot.heard", "[]");
    log_and_dispatch(25);
    CHECK_INT(CALL_INT(host, "parrot.heard", "[]"), before + 10 + 1);
    CHECK_CONTAINS(CALL(host, "parrot.last", "[]"), "15 messages to host.log were lost");
    log_and_dispatch(1);
    CHECK_STR(CALL(host, "parrot.last", "[]"), "\"x\"");
}

static void count_lost(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    (void)ctx;
    *(uint64_t *)user += message->dropped;
}

static void the_application_is_told_of_lost_lines(void)
{
    struct berth_error error;
    uint64_t lost = 0;

    begin_with_small_mailboxes();
    CHECK_CODE(berth_host_subscribe(host, "host.log", count_lost, &lost, NULL, &error), BERTH_OK,
               &error);
    log_and_dispatch(25);
    CHECK_INT(lost, 15);
    log_and_dispatch(1);
    CHECK_INT(lost, 15);
}

/* By host.subscribe it is a call that brings the line, from the host's own code. */
static void a_receiver_of_the_log(const char *placement)
{
    begin();
    LOAD(host, "logger", NULL);
    berth_test_load_as(host, "parrot", "parrot", placement);
    long long before = CALL_INT(host, "parrot.heard", "[]");
    CALL(host, "host.subscribe", "[\"host.log\",\"parrot.receive\"]");
    for (int i = 1; i <= 3; i++) {
        CHECK_CALL(host, "logger.log", "[1,\"x\"]", "null");
        UNTIL(host, CALL_INT(host, "parrot.heard", "[]") >= before + 2 * i);
    }
    CHECK_CALL(host, "parrot.own", "[]", "0");
}

static void an_inline_receiver_of_the_log(void)
{
    a_receiver_of_the_log("inline");
}

static void a_worker_receives_the_log(void)
{
    if (berth_test_valgrind())
        berth_skip("valgrind cannot follow workers");
    a_receiver_of_the_log("process");
}

/* Without a callback lines are made only for who subscribes. */
static void the_log_needs_no_callback(void)
{
    struct berth_host_options options = berth_test_host_options();

    options.log = NULL;
    host = berth_test_host(&options);
    LOAD(host, "logger", NULL);
    CHECK_CALL(host, "logger.log", "[1,\"nobody\"]", "null");
    LOAD(host, "parrot", NULL);
    say("somebody");
    long long before = CALL_INT(host, "parrot.heard", "[]");
    CHECK_CALL(host, "logger.log", "[3,\"a detail\"]", "null");
    CHECK_CALL(host, "host.log_level", "[\"logger\",\"error\"]", "\"error\"");
    CHECK_CALL(host, "logger.log", "[1,\"too much\"]", "null");
    CHECK_CALL(host, "host.log_level", "[\"logger\",\"warning\"]", "\"warning\"");
    say("again");
    CHECK_INT(CALL_INT(host, "parrot.heard", "[]"), before + 2);
}

/* ---- several hosts; threads that wait ---- */

static void each_host_has_its_own(void)
{
    berth_host *other = berth_test_host(NULL);

    begin();
    LOAD(host, "math", NULL);
    CHECK_CONTAINS(CALL(host, "host.list", "[]"), "\"math\"");
    CHECK(!strstr(CALL(other, "host.list", "[]"), "\"math\""));
}

static void a_thread_in_poll_is_told_to_stop(const char *placement)
{
    struct berth_error error;

    begin();
    LOAD(host, "poller", placement);
    for (int i = 0; i < 3; i++)
        CHECK_CALL(host, "poller.begin", "[]", "null");
    UNTIL(host, CALL_INT(host, "poller.waiting", "[]") == 3);
    CHECK_CODE(berth_host_reload(host, "poller", NULL, NULL, &error), BERTH_OK, &error);
    CHECK_CALL(host, "poller.begin", "[]", "null");
    CHECK_CODE(berth_host_unload(host, "poller", &error), BERTH_OK, &error);
    CHECK(!strstr(berth_test_log(), "a thread is still there"));
}

static void inline_threads_in_poll_are_told_to_stop(void)
{
    a_thread_in_poll_is_told_to_stop("inline");
}

static void worker_threads_in_poll_are_told_to_stop(void)
{
    if (berth_test_valgrind())
        berth_skip("valgrind cannot follow workers");
    a_thread_in_poll_is_told_to_stop("process");
}

static const struct berth_test tests[] = {
    { "it_is_a_module_like_any_other", it_is_a_module_like_any_other },
    { "it_stays_as_it_is", it_stays_as_it_is },
    { "modules_come_change_and_go", modules_come_change_and_go },
    { "a_load_takes_all_its_options", a_load_takes_all_its_options },
    { "refusals_say_why", refusals_say_why },
    { "a_refusal_may_be_a_report", a_refusal_may_be_a_report },
    { "a_reload_takes_options", a_reload_takes_options },
    { "a_module_moves", a_module_moves },
    { "force_unloads_what_others_require", force_unloads_what_others_require },
    { "calls_by_name", calls_by_name },
    { "a_timeout_is_the_calls_own", a_timeout_is_the_calls_own },
    { "inline_modules_reach_it", inline_modules_reach_it },
    { "workers_reach_it", workers_reach_it },
    { "messages_to_an_inline_module", messages_to_an_inline_module },
    { "messages_to_a_worker", messages_to_a_worker },
    { "a_receiver_must_fit", a_receiver_must_fit },
    { "a_subscription_says_how", a_subscription_says_how },
    { "a_full_mailbox_loses_the_oldest", a_full_mailbox_loses_the_oldest },
    { "a_busy_receiver_costs_nothing", a_busy_receiver_costs_nothing },
    BERTH_TEST_ROWS("a_subscription_ends_with_its_module", a_subscription_ends_with_its_module),
    BERTH_TEST_ROWS("a_receiver_ends_its_own_subscription", a_receiver_ends_its_own_subscription),
    BERTH_TEST_ROWS("a_receiver_does_not_wait_for_itself", a_receiver_does_not_wait_for_itself),
    { "nobody_ends_the_subscription_of_another", nobody_ends_the_subscription_of_another },
    { "events_tell_what_happened", events_tell_what_happened },
    { "events_tell_of_deaths", events_tell_of_deaths },
    { "events_tell_of_each_death", events_tell_of_each_death },
    { "json_is_taken_apart", json_is_taken_apart },
    { "what_is_no_json_is_refused", what_is_no_json_is_refused },
    { "a_wrong_level_is_refused", a_wrong_level_is_refused },
    { "an_inline_reader_of_the_log", an_inline_reader_of_the_log },
    { "a_worker_reads_the_log", a_worker_reads_the_log },
    { "no_echo_comes_back", no_echo_comes_back },
    { "no_echo_comes_back_from_a_worker", no_echo_comes_back_from_a_worker },
    { "no_echo_of_a_worker_comes_back", no_echo_of_a_worker_comes_back },
    { "a_reader_is_told_of_lost_lines", a_reader_is_told_of_lost_lines },
    { "the_application_is_told_of_lost_lines", the_application_is_told_of_lost_lines },
    { "an_inline_receiver_of_the_log", an_inline_receiver_of_the_log },
    { "a_worker_receives_the_log", a_worker_receives_the_log },
    { "the_log_needs_no_callback", the_log_needs_no_callback },
    { "each_host_has_its_own", each_host_has_its_own },
    { "inline_threads_in_poll_are_told_to_stop", inline_threads_in_poll_are_told_to_stop },
    { "worker_threads_in_poll_are_told_to_stop", worker_threads_in_poll_are_told_to_stop },
};

int main(int argc, char **argv)
{
    return berth_suite_main("host_module", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
