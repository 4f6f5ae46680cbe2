/* SPDX-License-Identifier: MIT */
/* Permissions of whole hosts: where a policy comes from, and what there is to see of it. */
#include "tests/support/hosting.h"

#include <stdlib.h>
#include <string.h>

#define LISTED(grants) "{\"mode\":\"listed\",\"grants\":{" grants "}}"

BERTH_BOUND(f64, half, (f64, x));

static berth_host *host;
static struct berth_error error;

static void begin(const char *permissions)
{
    struct berth_host_options options = berth_test_host_options();

    options.permissions = permissions;
    host = berth_test_host(&options);
}

static int load(const char *fixture)
{
    return berth_test_load(host, fixture, NULL, NULL, &error);
}

static void a_host_begins_with_its_policy(void)
{
    static char text[] = LISTED("\"chain_b\":{\"call\":[\"chain_c.*\"]}");

    begin(text);
    memset(text, 'x', sizeof(text) - 1); /* borrowed until the host is there */
    CHECK_CODE(load("chain_a"), BERTH_PERMISSION_DENIED, &error);
    CHECK_CODE(load("chain_b"), BERTH_OK, &error);
}

static void a_wrong_policy_makes_no_host(void)
{
    struct berth_host_options options = berth_test_host_options();
    berth_host *none = NULL;

    options.permissions = "{\"mode\":\"listd\"}";
    CHECK_CODE(berth_host_new(&options, &none, &error), BERTH_INVALID_ARGUMENT, &error);
    CHECK_CONTAINS(error.text, "permissions: line 1, column 9: \"listd\" is not \"open\"");
    CHECK(none == NULL);
}

/* One that was built before there were permissions says so by its size. */
static void an_older_application_has_the_default(void)
{
    struct berth_host_options options = berth_test_host_options();

    options.size = offsetof(struct berth_host_options, permissions);
    options.permissions = "not for this host";
    host = berth_test_host(&options);
    CHECK_CONTAINS(CALL(host, "host.permissions", "[]"), "{\"mode\": \"declared\"");
}

static void a_wrong_policy_changes_nothing(void)
{
    begin(LISTED("\"x\":{\"call\":[\"y.z\"]}"));
    const char *before = CALL(host, "host.permissions", "[]");
    CHECK_CODE(berth_host_permit(host, "{\"grants\":{\"x\":{\"call\":[\"y\"]}}}", &error),
               BERTH_INVALID_ARGUMENT, &error);
    CHECK_FAILS(host, "host.permit", "[{\"mode\":\"lost\"}]", BERTH_INVALID_ARGUMENT,
                "\"lost\" is not");
    CHECK_STR(CALL(host, "host.permissions", "[]"), before);
}

static void what_modules_may_do_can_be_seen(void)
{
    begin(NULL);
    LOAD(host, "chain_a", NULL);
    LOAD(host, "publisher", NULL);
    CHECK_CALL(host, "host.permissions", "[]",
               "{\"mode\": \"declared\", \"grants\": {}, \"allowed\": {\"chain_a\": {\"call\": "
               "[\"chain_b.half\", \"chain_b.path\"]}, \"publisher\": {\"publish\": "
               "[\"news.bell\", \"news.data\", \"news.text\"]}}, \"missing\": {}}");
    CHECK_CALL(host, "host.permit",
               "[" LISTED("\"publisher\":{\"publish\":[\"news.bell\"]},\"*\":{\"call\":"
                          "[\"chain_b.half\"]}") "]",
               "null");
    CHECK_CALL(host, "host.permissions", "[]",
               "{\"mode\": \"listed\", \"grants\": {\"*\": {\"call\": [\"chain_b.half\"]}, "
               "\"publisher\": {\"publish\": [\"news.bell\"]}}, \"allowed\": {\"chain_a\": "
               "{\"call\": [\"chain_b.half\"]}, \"publisher\": {\"publish\": [\"news.bell\"]}}, "
               "\"missing\": {\"chain_a\": {\"call\": [\"chain_b.path\"]}, \"publisher\": "
               "{\"publish\": [\"news.data\", \"news.text\"]}}}");
    CHECK_CONTAINS(berth_test_log(), "warning  chain_a lacks a grant: \"chain_a\": "
                                     "{\"call\": [\"chain_b.path\"]}");
}

/* All of them, or none: and what was missing is told with the file. */
static void one_that_is_refused_takes_the_others_with_it(void)
{
    const char *files[] = { berth_test_fixture("chain_c"), berth_test_fixture("chain_b") };

    begin(LISTED(""));
    CHECK_CODE(berth_host_load_all(host, files, NULL, 2, &error), BERTH_PERMISSION_DENIED, &error);
    CHECK_CONTAINS(error.text, "chain_b.so: chain_b wants more than it is granted");
    CHECK_STR(berth_test_module(host, "chain_c", "state"), "");
    CHECK_CONTAINS(CALL(host, "host.events", "[]"), "\"event\":\"refused\"");
}

static void the_application_is_not_asked(void)
{
    half_bound half = { 0 };

    begin(LISTED("\"chain_b\":{\"call\":[\"*\"]}"));
    LOAD(host, "chain_c", NULL);
    REQUIRE(berth_bind(host, "chain_c.half", half, &half, &error) == BERTH_OK);
    CHECK_CODE(berth_host_permit(host, LISTED(""), &error), BERTH_OK, &error);
    berth_ctx *ctx = berth_host_enter(host);
    REQUIRE(ctx);
    CHECK(half_call(&half, ctx, 3) == 1.5 && !berth_failed(ctx));
    berth_leave(ctx);
    berth_unbind(host, &half);
    CHECK_CALL(host, "host.call", "[\"chain_c.half\",[3]]", "1.5");
}

static void a_module_may_be_told_to_permit(void)
{
    begin(LISTED("\"asker\":{\"call\":[\"host.*\"]}"));
    LOAD(host, "asker", NULL);
    LOAD(host, "chain_c", NULL);
    CHECK_FAILS(host, "asker.call", "[\"chain_c.half\",[3]]", BERTH_PERMISSION_DENIED,
                "asker may not call chain_c.half");
    CHECK_CALL(host, "asker.permit", "[{\"mode\":\"open\"}]", "null");
    CHECK_CALL(host, "asker.call", "[\"chain_c.half\",[3]]", "1.5");
}

/* By every name that the host has it under: rules are of names, not of files. */
static void rules_are_of_names(void)
{
    begin(LISTED("\"chain_b\":{\"call\":[\"chain_c.*\"]}"));
    LOAD(host, "chain_c", NULL);
    LOAD(host, "chain_b", NULL);
    CHECK_CALL(host, "chain_b.half", "[3]", "1.5");
    const struct berth_load_options other = { .size = sizeof(other), .name = "other" };
    CHECK_CODE(berth_host_load(host, berth_test_fixture("chain_b"), &other, &error),
               BERTH_PERMISSION_DENIED, &error);
    CHECK_CONTAINS(error.text, "\"other\": {\"call\": [\"chain_c.half\", \"chain_c.path\"]}");
}

static const struct berth_test tests[] = {
    { "a host begins with its policy", a_host_begins_with_its_policy },
    { "a wrong policy makes no host", a_wrong_policy_makes_no_host },
    { "an older application has the default", an_older_application_has_the_default },
    { "a wrong policy changes nothing", a_wrong_policy_changes_nothing },
    { "what modules may do can be seen", what_modules_may_do_can_be_seen },
    { "one that is refused takes the others with it",
      one_that_is_refused_takes_the_others_with_it },
    { "the application is not asked", the_application_is_not_asked },
    { "a module may be told to permit", a_module_may_be_told_to_permit },
    { "rules are of names", rules_are_of_names },
};

int main(int argc, char **argv)
{
    return berth_suite_main("permissions", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
