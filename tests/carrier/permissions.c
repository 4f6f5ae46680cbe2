/* SPDX-License-Identifier: MIT */
/* What a module may do: the same wherever it runs. */
#include "tests/carrier/conformance.h"

#include <pthread.h>
#include <stdio.h>

static berth_host *host;
static struct berth_error error;

/* Grants are written with ' for ", to be read. */
static const char *quoted(const char *text)
{
    char *copy = berth_test_format("%s", text);

    for (char *at = copy; *at; at++)
        *at = *at == '\'' ? '"' : *at;
    return copy;
}

static void permit(const char *grants)
{
    const char *policy = berth_test_format("{'mode':'listed','grants':{%s}}", grants);

    CHECK_CODE(berth_host_permit(host, quoted(policy), &error), BERTH_OK, &error);
}

static const char *permissions(void)
{
    char *json = NULL;

    CHECK_CODE(berth_host_permissions(host, &json, &error), BERTH_OK, &error);
    const char *copy = berth_test_format("%s", json ? json : "");
    free(json);
    return copy;
}

static int load(const char *fixture)
{
    return berth_test_load(host, fixture, conformance.placement, NULL, &error);
}

static void begin(const char *grants)
{
    host = conformance_host();
    permit(grants);
}

/* ---- loading ---- */

static void check_refused(const char *fixture, const char *rules)
{
    CHECK_CODE(load(fixture), BERTH_PERMISSION_DENIED, &error);
    CHECK_CONTAINS(error.text, quoted(rules));
    CHECK_STR(berth_test_module(host, fixture, "state"), "");
}

static void what_is_not_granted_is_not_loaded(void)
{
    begin("");
    CHECK_CODE(load("chain_c"), BERTH_OK, &error); /* it wants nothing */
    check_refused("chain_a", "chain_a wants more than it is granted: add to the grants "
                             "'chain_a': {'call': ['chain_b.half', 'chain_b.path']}");
    check_refused("publisher", "'publisher': {'publish': ['news.bell', 'news.data', 'news.text']}");
    check_refused("subscriber",
                  "'subscriber': {'subscribe': ['news.>', 'news.bell', 'news.data', 'news.text']}");
    permit("'chain_a':{'call':['chain_b.half']},'publisher':{'publish':['news.*','other.>']},"
           "'*':{'subscribe':['news.>']}");
    check_refused("chain_a", "'chain_a': {'call': ['chain_b.path']}");
    CHECK_CODE(load("publisher"), BERTH_OK, &error);
    CHECK_CODE(load("subscriber"), BERTH_OK, &error);
    permit("'chain_a':{'call':['chain_b.*']},'*':{'publish':['news.>'],'subscribe':['news.>']}");
    CHECK_CODE(load("chain_a"), BERTH_OK, &error);
    permit("'*':{'call':['*']}");
    CHECK_CODE(berth_test_load(host, "chain_b", conformance.other, NULL, &error), BERTH_OK, &error);
    CHECK_CALL(host, "chain_a.half", "[3]", "1.5");
    berth_host_free(host);
}

static void other_modes_ask_for_no_grants(void)
{
    static const char *const policies[] = { NULL, "{}", "{\"mode\":\"open\"}",
                                            "{\"mode\":\"declared\",\"grants\":{\"x\":{}}}" };

    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        begin("");
        CHECK_CODE(berth_host_permit(host, policies[i], &error), BERTH_OK, &error);
        LOAD(host, "chain_a", conformance.placement);
        LOAD(host, "chain_b", conformance.placement);
        LOAD(host, "chain_c", conformance.placement);
        LOAD(host, "asker", conformance.placement);
        CHECK_CALL(host, "chain_a.half", "[3]", "1.5");
        CHECK_CALL(host, "asker.call", "[\"chain_c.half\",[3]]", "1.5");
        CHECK_CONTAINS(permissions(), "\"missing\": {}");
        berth_host_free(host);
    }
}

static void a_name_that_stands_for_operators_is_no_modules(void)
{
    const struct berth_load_options options = { .size = sizeof(options),
                                                .name = "operator",
                                                .placement = conformance.placement };
    host = conformance_host();
    CHECK_CODE(berth_host_load(host, berth_test_fixture("math"), &options, &error),
               BERTH_INVALID_ARGUMENT, &error);
    CHECK_CONTAINS(error.text, "stands for operators");
    berth_host_free(host);
}

/* The new version wants what it may not: the old one goes on, in what it still may. */
static void a_reload_is_asked_for_as_a_load_is(void)
{
    struct berth_reload_report report = { .size = sizeof(report) };

    begin("'*':{'call':['*']}");
    CHECK_CODE(load("chain_a"), BERTH_OK, &error);
    LOAD(host, "chain_b", conformance.other);
    LOAD(host, "chain_c", conformance.other);
    permit("'chain_a':{'call':['chain_b.half']},'chain_b':{'call':['*']}");
    CHECK_CODE(berth_host_reload(host, "chain_a", NULL, &report, &error), BERTH_PERMISSION_DENIED,
               &error);
    CHECK_STR(report.step, "compare");
    CHECK_CONTAINS(error.text, "chain_b.path");
    CHECK_CALL(host, "chain_a.half", "[3]", "1.5");
    permit("'*':{'call':['*']}");
    CHECK_CODE(berth_host_reload(host, "chain_a", NULL, &report, &error), BERTH_OK, &error);
    CHECK_CALL(host, "chain_a.path", "[\"\"]", "\"abc\"");
    berth_host_free(host);
}

/* ---- links ---- */

static void shut_and_open(const char *other)
{
    begin("'*':{'call':['*']}");
    LOAD(host, "chain_a", conformance.placement);
    LOAD(host, "chain_b", other);
    LOAD(host, "chain_c", conformance.placement);
    for (int i = 0; i < 3; i++) {
        CHECK_CALL(host, "chain_a.half", "[3]", "1.5");
        CHECK_CALL(host, "chain_a.path", "[\"\"]", "\"abc\"");
        permit("'*':{'call':['chain_b.*','chain_c.half']}");
        CHECK_CALL(host, "chain_a.half", "[3]", "1.5");
        CHECK_FAILS(host, "chain_a.path", "[\"\"]", BERTH_PERMISSION_DENIED,
                    quoted("chain_b may not call chain_c.path: add to the grants "
                           "'chain_b': {'call': ['chain_c.path']}"));
        CHECK_CALL(host, "chain_c.path", "[\"\"]", "\"c\""); /* the application may */
        CHECK_CONTAINS(permissions(), quoted("'missing': {'chain_b': {'call': ['chain_c.path']}}"));
        permit("'*':{'call':['chain_b.*','chain_c.*']}");
    }
    permit("'chain_b':{'call':['*']}");
    CHECK_FAILS(host, "chain_a.half", "[3]", BERTH_PERMISSION_DENIED, "chain_a may not call");
    CHECK_CALL(host, "chain_b.half", "[3]", "1.5");
    berth_host_free(host);
}

static void a_rule_that_is_taken_away_shuts_its_edge(void)
{
    shut_and_open(conformance.other);
    shut_and_open(conformance.placement); /* inline, the call that is bound and asks nobody */
}

/* Also of a callee that comes, goes and is replaced meanwhile. */
static void an_edge_stays_shut_whatever_its_callee_does(void)
{
    begin("'*':{'call':['*']}");
    LOAD(host, "chain_b", conformance.placement);
    permit("");
    CHECK_FAILS(host, "chain_b.half", "[3]", BERTH_PERMISSION_DENIED, "may not call");
    LOAD(host, "chain_c", conformance.placement);
    CHECK_FAILS(host, "chain_b.half", "[3]", BERTH_PERMISSION_DENIED, "may not call");
    CHECK_CODE(berth_host_reload(host, "chain_c", NULL, NULL, &error), BERTH_OK, &error);
    CHECK_FAILS(host, "chain_b.half", "[3]", BERTH_PERMISSION_DENIED, "may not call");
    CHECK_CODE(berth_host_unload(host, "chain_c", &error), BERTH_OK, &error);
    permit("'*':{'call':['*']}");
    CHECK_FAILS(host, "chain_b.half", "[3]", BERTH_UNAVAILABLE, "chain_c");
    LOAD(host, "chain_c", conformance.placement);
    CHECK_CALL(host, "chain_b.half", "[3]", "1.5");
    berth_host_free(host);
}

static void a_topic_that_is_taken_away_is_shut(void)
{
    begin("'publisher':{'publish':['news.>']},'subscriber':{'subscribe':['news.>']}");
    LOAD(host, "publisher", conformance.placement);
    LOAD(host, "subscriber", conformance.placement);
    CHECK_CALL(host, "publisher.text", "[\"one\",0]", "null");
    UNTIL(host, CALL_INT(host, "subscriber.texts", "[]") == 1);
    permit("'publisher':{'publish':['news.bell']},'subscriber':{'subscribe':['news.>']}");
    CHECK_FAILS(host, "publisher.text", "[\"no\",1]", BERTH_PERMISSION_DENIED,
                quoted("publisher may not publish to news.text: add to the grants "
                       "'publisher': {'publish': ['news.text']}"));
    CHECK_CALL(host, "publisher.ring", "[]", "null");
    UNTIL(host, CALL_INT(host, "subscriber.bells", "[]") == 1);

    permit("'publisher':{'publish':['news.>']},'subscriber':{'subscribe':['news.bell']}");
    CHECK_CALL(host, "publisher.text", "[\"unheard\",2]", "null"); /* who publishes is not told */
    CHECK_CALL(host, "publisher.ring", "[]", "null");
    UNTIL(host, CALL_INT(host, "subscriber.bells", "[]") == 2);
    CHECK_INT(CALL_INT(host, "subscriber.texts", "[]"), 1);
    permit("'publisher':{'publish':['news.>']},'subscriber':{'subscribe':['news.>']}");
    CHECK_CALL(host, "publisher.text", "[\"two\",3]", "null");
    UNTIL(host, CALL_INT(host, "subscriber.texts", "[]") == 2);
    CHECK_STR(CALL(host, "subscriber.last", "[]"), "\"two\"");
    berth_host_free(host);
}

/* ---- through the module host ---- */

static void begin_asking(void)
{
    begin("'*':{'call':['host.*']}");
    LOAD(host, "asker", conformance.placement);
    CHECK_CODE(berth_host_permit(host, "{\"mode\":\"open\"}", &error), BERTH_OK, &error);
    LOAD(host, "observer", conformance.other);
    LOAD(host, "math", conformance.other);
    LOAD(host, "publisher", conformance.other);
}

static void calls_are_asked_for_in_the_callers_name(void)
{
    begin_asking();
    permit("'asker':{'call':['host.call']},'observer':{'call':['host.call','math.negate']}");
    CHECK_FAILS(host, "asker.call", "[\"math.negate\",[7]]", BERTH_PERMISSION_DENIED,
                quoted("asker may not call math.negate: add to the grants "
                       "'asker': {'call': ['math.negate']}"));
    CHECK_CALL(host, "observer.relay", "[\"math.negate\",[7],1000000]", "-7");
    CHECK_CALL(host, "host.call", "[\"math.negate\",[7]]", "-7"); /* the application */
    CHECK_CALL(host, "host.call", "[\"host.call\",[\"math.negate\",[7]]]", "-7");
    CHECK_CALL(host, "asker.call", "[\"asker.heard\",[]]", "0"); /* its own */
    permit("'asker':{'call':['host.call','math.*']}");
    CHECK_CALL(host, "asker.call", "[\"math.negate\",[7]]", "-7");
    CHECK_FAILS(host, "observer.relay", "[\"math.negate\",[7],1000000]", BERTH_PERMISSION_DENIED,
                "observer may not call host.call");
    CHECK_FAILS(host, "asker.call", "[\"no name\",[]]", BERTH_INVALID_ARGUMENT, "no name");
    berth_host_free(host);
}

/* host.call calls host.call: the caller is who called the first one. And not who called that. */
static void chains_do_not_hide_the_caller(void)
{
    begin_asking();
    permit("'asker':{'call':['host.call']},'observer':{'call':['host.call','asker.call']}");
    CHECK_FAILS(host, "asker.call", "[\"host.call\",[\"math.negate\",[7]]]",
                BERTH_PERMISSION_DENIED, "asker may not call math.negate");
    CHECK_FAILS(host, "observer.relay", "[\"asker.call\",[\"math.negate\",[7]],1000000]",
                BERTH_PERMISSION_DENIED, "asker may not call math.negate");
    permit("'asker':{'call':['host.call','math.negate']},"
           "'observer':{'call':['host.call','asker.call']}");
    CHECK_CALL(host, "asker.call", "[\"host.call\",[\"math.negate\",[7]]]", "-7");
    CHECK_CALL(host, "observer.relay", "[\"asker.call\",[\"math.negate\",[7]],1000000]", "-7");
    CHECK_FAILS(host, "observer.relay", "[\"math.negate\",[7],1000000]", BERTH_PERMISSION_DENIED,
                "observer may not call math.negate");
    berth_host_free(host);
}

static void check_aside(const char *part)
{
    CHECK_CALL(host, "asker.aside", "[]", "null");
    for (int i = 0; i < 2; i++) {
        const char *which = berth_test_format("[%d]", i);
        UNTIL(host, strcmp(CALL(host, "asker.answer", which), "\"\"") != 0);
        CHECK_CONTAINS(CALL(host, "asker.answer", which), part);
    }
}

/* Timers and threads have nobody below them, and yet they are the module's. */
static void who_calls_unasked_is_known(void)
{
    begin_asking();
    permit("'asker':{'call':['host.call']}");
    check_aside("asker may not call math.negate");
    permit("'asker':{'call':['host.call','math.negate']}");
    check_aside("-7");
    berth_host_free(host);
}

static void messages_are_asked_for_in_the_callers_name(void)
{
    begin_asking();
    permit("'asker':{'call':['host.*']},'publisher':{'publish':['news.>']}");
    CHECK_FAILS(host, "asker.publish", "[\"news.bell\",{}]", BERTH_PERMISSION_DENIED,
                quoted("asker may not publish to news.bell: add to the grants "
                       "'asker': {'publish': ['news.bell']}"));
    CHECK_FAILS(host, "asker.listen", "[\"news.*\",\"asker.hear\"]", BERTH_PERMISSION_DENIED,
                quoted("asker may not subscribe to news.*: add to the grants "
                       "'asker': {'subscribe': ['news.*']}"));
    permit("'asker':{'call':['host.*'],'publish':['news.bell'],'subscribe':['news.>']}");
    CHECK_FAILS(host, "asker.listen", "[\"news.*\",\"observer.take\"]", BERTH_PERMISSION_DENIED,
                "asker may not call observer.take");
    CHECK(CALL_INT(host, "asker.listen", "[\"news.*\",\"asker.hear\"]") > 0);
    CHECK_CALL(host, "asker.publish", "[\"news.bell\",{}]", "null");
    UNTIL(host, CALL_INT(host, "asker.heard", "[]") == 1);

    permit("'asker':{'call':['host.*'],'publish':['news.bell']}");
    CHECK_CALL(host, "asker.publish", "[\"news.bell\",{}]", "null");
    permit("'asker':{'call':['host.*'],'publish':['news.bell'],'subscribe':['news.*']}");
    CHECK_CALL(host, "asker.publish", "[\"news.bell\",{}]", "null");
    UNTIL(host, CALL_INT(host, "asker.heard", "[]") == 2); /* the one between is lost */
    berth_host_free(host);
}

static void who_acts_for_operators_may_what_they_may(void)
{
    begin_asking();
    permit("'asker':{'as':'operator','call':['host.*','math.negate']}");
    CHECK_FAILS(host, "asker.call", "[\"math.negate\",[7]]", BERTH_PERMISSION_DENIED,
                quoted("operator may not call math.negate: add to the grants "
                       "'operator': {'call': ['math.negate']}"));
    CHECK_FAILS(host, "asker.unload", "[\"math\"]", BERTH_PERMISSION_DENIED,
                "operator may not call host.unload");
    CHECK_FAILS(host, "asker.permit", "[{}]", BERTH_PERMISSION_DENIED,
                "operator may not call host.permit");
    CHECK_CALL(host, "asker.call", "[\"asker.heard\",[]]", "0"); /* its own, in its own name */
    permit("'asker':{'as':'operator','call':['host.*']},"
           "'operator':{'call':['*','host.unload','host.permit'],'subscribe':['news.>']}");
    CHECK_CALL(host, "asker.call", "[\"math.negate\",[7]]", "-7");
    CHECK(CALL_INT(host, "asker.listen", "[\"news.*\",\"asker.hear\"]") > 0);
    CHECK_FAILS(host, "publisher.ring", "[]", BERTH_PERMISSION_DENIED, "publisher may not");
    CHECK_CALL(host, "asker.unload", "[\"math\"]", "null");
    CHECK_CALL(host, "asker.permit", "[{\"mode\":\"open\"}]", "null");
    CHECK_CONTAINS(permissions(), "{\"mode\": \"open\"");
    berth_host_free(host);
}

/* ---- learning ---- */

static void what_was_needed_is_noted(void)
{
    host = conformance_host();
    CHECK_CODE(berth_host_permit(host, quoted("{'mode':'open','record':true}"), &error), BERTH_OK,
               &error);
    LOAD(host, "asker", conformance.placement);
    LOAD(host, "publisher", conformance.placement);
    LOAD(host, "math", conformance.placement);
    CHECK_CALL(host, "asker.call", "[\"host.call\",[\"math.negate\",[7]]]", "-7");
    CHECK_CALL(host, "asker.publish", "[\"news.bell\",{}]", "null");
    CHECK(CALL_INT(host, "asker.listen", "[\"news.*\",\"asker.hear\"]") > 0);
    CHECK_CALL(host, "host.call", "[\"math.nothing\",[]]", "null"); /* the application's */
    CHECK_FAILS(host, "asker.call", "[\"math.none\",[]]", BERTH_NOT_FOUND, "none");
    const char *needed =
        quoted("'needed': {'asker': {'call': ['asker.hear', 'host.call', 'host.permit', "
               "'host.publish', 'host.subscribe', 'host.unload', 'math.negate', 'math.none'], "
               "'publish': ['news.bell'], 'subscribe': ['news.*']}, "
               "'publisher': {'publish': ['news.bell', 'news.data', 'news.text']}}");
    CHECK_CONTAINS(permissions(), needed);

    /* with these grants the same can be done in a listed host */
    CHECK_CODE(berth_host_permit(host,
                                 berth_test_format("{\"mode\":\"listed\",\"grants\":%.*s}",
                                                   (int)strlen(needed + 10), needed + 10),
                                 &error),
               BERTH_OK, &error);
    CHECK_CALL(host, "asker.call", "[\"host.call\",[\"math.negate\",[7]]]", "-7");
    CHECK_CALL(host, "asker.publish", "[\"news.bell\",{}]", "null");
    CHECK_CONTAINS(permissions(), "\"missing\": {}");
    berth_host_free(host);
}

/* ---- changes under load ---- */

static bool enough;
static unsigned passed, denied;

static void *call_on(void *argument)
{
    (void)argument;
    while (!__atomic_load_n(&enough, __ATOMIC_RELAXED)) {
        struct berth_error why;
        const char *result = "";
        int code = berth_test_try(host, "chain_a.half", "[3]", 0, &result, &why);
        if (code == BERTH_OK)
            __atomic_add_fetch(&passed, 1, __ATOMIC_RELAXED);
        else if (code == BERTH_PERMISSION_DENIED)
            __atomic_add_fetch(&denied, 1, __ATOMIC_RELAXED);
        else
            CHECK_CODE(code, BERTH_PERMISSION_DENIED, &why);
    }
    return NULL;
}

/* One more of them since this was called: what was changed before has been seen. */
static void wait_for_more(const unsigned *counter)
{
    unsigned now = __atomic_load_n(counter, __ATOMIC_RELAXED);
    UNTIL(host, __atomic_load_n(counter, __ATOMIC_RELAXED) > now);
}

static void changes_and_reloads_under_load(void)
{
    pthread_t threads[2];

    begin("'*':{'call':['*']}");
    LOAD(host, "chain_a", conformance.placement);
    LOAD(host, "chain_b", conformance.other);
    LOAD(host, "chain_c", conformance.placement);
    __atomic_store_n(&enough, false, __ATOMIC_RELAXED);
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_create(&threads[i], NULL, call_on, NULL) == 0);
    for (int i = 0; i < 6; i++) {
        permit("'chain_a':{'call':['*']}");
        wait_for_more(&denied);
        CHECK_CODE(berth_host_reload(host, "chain_c", NULL, NULL, &error), BERTH_OK, &error);
        permit("'*':{'call':['*']}");
        CHECK_CODE(berth_host_reload(host, i % 2 ? "chain_a" : "chain_b", NULL, NULL, &error),
                   BERTH_OK, &error);
        wait_for_more(&passed);
    }
    __atomic_store_n(&enough, true, __ATOMIC_RELAXED);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    CHECK_CALL(host, "chain_a.half", "[3]", "1.5");
    berth_host_free(host);
}

const struct berth_test conformance_permissions[] = {
    { "what is not granted is not loaded", what_is_not_granted_is_not_loaded },
    { "other modes ask for no grants", other_modes_ask_for_no_grants },
    { "a name that stands for operators is no module's",
      a_name_that_stands_for_operators_is_no_modules },
    { "a reload is asked for as a load is", a_reload_is_asked_for_as_a_load_is },
    { "a rule that is taken away shuts its edge", a_rule_that_is_taken_away_shuts_its_edge },
    { "an edge stays shut whatever its callee does", an_edge_stays_shut_whatever_its_callee_does },
    { "a topic that is taken away is shut", a_topic_that_is_taken_away_is_shut },
    { "calls are asked for in the caller's name", calls_are_asked_for_in_the_callers_name },
    { "chains do not hide the caller", chains_do_not_hide_the_caller },
    { "who calls unasked is known", who_calls_unasked_is_known },
    { "messages are asked for in the caller's name", messages_are_asked_for_in_the_callers_name },
    { "who acts for operators may what they may", who_acts_for_operators_may_what_they_may },
    { "what was needed is noted", what_was_needed_is_noted },
    { "changes and reloads under load", changes_and_reloads_under_load },
    { NULL, NULL },
};
