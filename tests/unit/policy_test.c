/* SPDX-License-Identifier: MIT */
/* Permissions as a value: patterns, grants and policies, against models that are slow and plain. */
#include "runtime/core/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/topic_name.h"
#include "runtime/value/type.h"
#include "tests/support/fault.h"
#include "tests/support/suite.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- patterns ---- */

static void functions_match(void)
{
    CHECK(berth_function_pattern_valid("math.add"));
    CHECK(berth_function_pattern_valid("math.*"));
    CHECK(berth_function_pattern_valid("*"));
    static const char *const wrong[] = { "",      "math",     "math.",    ".add",
                                         "*.add", "math.a.b", "math.ad*", "math.**",
                                         "**",    "Math.add", "math.*x",  "math .add" };
    for (size_t i = 0; i < COUNT(wrong); i++)
        if (berth_function_pattern_valid(wrong[i]))
            CHECK_STR(wrong[i], "no pattern");

    CHECK(berth_function_pattern_matches("math.add", "math.add"));
    CHECK(!berth_function_pattern_matches("math.add", "math.adder"));
    CHECK(!berth_function_pattern_matches("math.adder", "math.add"));
    CHECK(!berth_function_pattern_matches("math.add", "maths.add"));
    CHECK(berth_function_pattern_matches("math.*", "math.add"));
    CHECK(!berth_function_pattern_matches("math.*", "maths.add"));
    CHECK(!berth_function_pattern_matches("maths.*", "math.add"));
    CHECK(berth_function_pattern_matches("*", "math.add"));
    CHECK(berth_function_pattern_matches("*", "hosts.add"));
    CHECK(!berth_function_pattern_matches("*", "host.load"));
    CHECK(berth_function_pattern_matches("host.*", "host.load"));
}

static void topics_cover(void)
{
    static const struct {
        const char *wider, *pattern;
        bool covers;
    } cases[] = {
        { "a.b", "a.b", true },
        { "a.b", "a.c", false },
        { "a", "a.b", false },
        { "a.b", "a", false },
        { "a.*", "a.b", true },
        { "a.*", "a.*", true },
        { "a.b", "a.*", false },
        { "a.>", "a.*", true },
        { "a.*", "a.>", false },
        { "a.>", "a.>", true },
        { "a.>", "a", false },
        { ">", "a.>", true },
        { ">", ">", true },
        { "*", ">", false },
        { ">", "*", true },
        { "*.*", "*.b", true },
        { "*.b", "*.*", false },
        { "*.>", ">", false },
        { ">", "host.module.x", false },
        { ">", "host.>", false },
        { "*.>", "host.*.x", false },
        { "host.>", "host.module.>", true },
        { ">", "host", true },
        { "ab", "a", false },
        { "a", "ab", false },
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        if (berth_pattern_covers(cases[i].wider, cases[i].pattern) != cases[i].covers)
            CHECK_STR(cases[i].wider, cases[i].pattern);
}

static const char *const tokens[] = { "a", "b", "host", "c", "*", ">" };

/* A topic (of a, b, host and c) or, without c, a pattern, of at most three tokens. */
static const char *random_pattern(char text[32])
{
    size_t count = 1 + berth_test_random_below(3);
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        size_t which = berth_test_random_below(i + 1 < count ? 4 : 5);
        which += which > 2; /* c, which no pattern has, stands for all that it does not name */
        snprintf(text + strlen(text), 32 - strlen(text), "%s%s", i ? "." : "", tokens[which]);
    }
    return text;
}

/* Whether every topic of at most four tokens that the pattern stands for is one of the wider's. */
static bool model_covers(const char *wider, const char *pattern)
{
    for (unsigned count = 1; count <= 4; count++)
        for (unsigned number = 0; number < 1u << (2 * count); number++) {
            char topic[32] = "";
            for (unsigned i = 0; i < count; i++)
                snprintf(topic + strlen(topic), sizeof topic - strlen(topic), "%s%s", i ? "." : "",
                         tokens[number >> (2 * i) & 3]);
            if (berth_pattern_matches(pattern, topic) && !berth_pattern_matches(wider, topic))
                return false;
        }
    return true;
}

static void covering_is_what_every_topic_says(void)
{
    for (int i = 0; i < 4000; i++) {
        char wider[32], pattern[32];
        random_pattern(wider);
        random_pattern(pattern);
        if (berth_pattern_covers(wider, pattern) != model_covers(wider, pattern)) {
            berth_note("%s covers %s: wrong", wider, pattern);
            CHECK(false);
        }
        if (berth_topic_valid(pattern))
            CHECK(berth_pattern_covers(wider, pattern) == berth_pattern_matches(wider, pattern));
    }
}

/* ---- reading ---- */

static struct berth_policy read_policy(const char *json)
{
    struct berth_policy policy = { 0 };
    struct berth_error error;

    CHECK_CODE(berth_policy_read(json, &policy, &error), BERTH_OK, &error);
    return policy;
}

static const char *print(const struct berth_grants *grants)
{
    struct berth_buffer buffer;

    berth_buffer_init(&buffer, 0);
    berth_grants_print(grants, &buffer);
    const char *text = berth_test_format("%s", buffer.failed ? "failed" : buffer.data);
    berth_buffer_deinit(&buffer);
    return text;
}

static void what_is_left_out_is_the_default(void)
{
    struct berth_policy policy = read_policy(NULL);

    CHECK_INT(policy.mode, BERTH_POLICY_DECLARED);
    CHECK(!policy.record);
    CHECK_STR(print(&policy.grants), "{}");
    berth_policy_deinit(&policy);
    policy = read_policy(" {} ");
    CHECK_INT(policy.mode, BERTH_POLICY_DECLARED);
    berth_policy_deinit(&policy);
    policy = read_policy("{\"grants\":{\"a\":{}},\"mode\":\"open\",\"record\":true}");
    CHECK_INT(policy.mode, BERTH_POLICY_OPEN);
    CHECK(policy.record);
    CHECK_STR(print(&policy.grants), "{\"a\": {}}");
    berth_policy_deinit(&policy);
}

static void grants_are_printed_in_one_order(void)
{
    struct berth_policy policy = read_policy(
        "{\"mode\":\"listed\",\"grants\":{\"z\":{\"subscribe\":[\"b.>\",\"a\"],\"call\":[\"m.g\","
        "\"m.f\",\"m.g\",\"m.*\"]},\"c\\u0061ll\":{\"as\":\"operator\"},\"*\":{\"publish\":[\">\"]}"
        "}}");

    CHECK_STR(print(&policy.grants),
              "{\"*\": {\"publish\": [\">\"]}, \"call\": {\"as\": \"operator\"}, "
              "\"z\": {\"call\": [\"m.*\", \"m.f\", \"m.g\"], \"subscribe\": [\"a\", \"b.>\"]}}");
    berth_policy_deinit(&policy);
}

static void refusals_say_where_and_why(void)
{
    static const char *const cases[][2] = {
        { "", "permissions: line 1, column 1: expected an object" },
        { "[]", "expected an object" },
        { "{} x", "line 1, column 4" },
        { "{\"mode\":\"lister\"}", "\"lister\" is not \"open\", \"declared\" or \"listed\"" },
        { "{\"mode\":1}", "column 9: expected \"open\"" },
        { "{\"mod\":1}", "unknown key \"mod\"; did you mean \"mode\"?" },
        { "{\"mode\":\"open\",\"mode\":\"open\"}", "the key \"mode\" is there twice" },
        { "{\"record\":1}", "expected true or false" },
        { "{\"record\":tru}", "line 1" },
        { "{\"grants\":[]}", "expected an object" },
        { "{\"grants\":{\"A\":{}}}", "\"A\" is no caller: write a module's name, or *" },
        { "{\"grants\":{\"a\":{},\"a\":{}}}", "the key \"a\" is there twice" },
        { "{\"grants\":{\"a\":{\"cal\":[]}}}", "did you mean \"call\"?" },
        { "{\"grants\":{\"a\":{\"call\":{}}}}", "expected an array" },
        { "{\"grants\":{\"a\":{\"call\":[1]}}}", "expected a function" },
        { "{\"grants\":{\"a\":{\"call\":[\"x\"]}}}", "\"x\" is not a function: module.function" },
        { "{\"grants\":{\"a\":{\"publish\":[\"a..b\"]}}}", "\"a..b\" is not a topic" },
        { "{\"grants\":{\"a\":{\"subscribe\":[\">.a\"]}}}", "is not a topic" },
        { "{\"grants\":{\"a\":{\"as\":\"root\"}}}", "\"root\" is not \"operator\"" },
        { "{\"grants\":{\"*\":{\"as\":\"operator\"}}}", "\"*\" cannot act for operators" },
        { "{\"grants\":{\"operator\":{\"as\":\"operator\"}}}", "cannot act for operators" },
        { "{\"grants\":{\"a\\u0000\":{}}}", "\\u0000" },
        { "{\"grants\":{\"a\":{\"call\":[\"m.f\",]}}}", "line 1" },
        { "{\"grants\":{\"a\":{\"call\":[\"m.f\"", "line 1" },
    };
    struct berth_policy policy;
    struct berth_error error;

    for (size_t i = 0; i < COUNT(cases); i++) {
        memset(&error, 0, sizeof(error));
        CHECK_CODE(berth_policy_read(cases[i][0], &policy, &error), BERTH_INVALID_ARGUMENT, &error);
        CHECK_CONTAINS(error.text, cases[i][1]);
    }
}

/* ---- asking ---- */

static void modes_differ(void)
{
    struct berth_policy policy = read_policy(
        "{\"mode\":\"listed\",\"grants\":{\"a\":{\"call\":[\"m.*\"],\"as\":\"operator\"},"
        "\"*\":{\"publish\":[\"t.>\"]},\"operator\":{\"call\":[\"x.y\"]}}}");

    CHECK(berth_policy_allows(&policy, "a", BERTH_RIGHT_CALL, "m.f"));
    CHECK(!berth_policy_allows(&policy, "b", BERTH_RIGHT_CALL, "m.f"));
    CHECK(berth_policy_allows(&policy, "m", BERTH_RIGHT_CALL, "m.f")); /* its own */
    CHECK(!berth_policy_allows(&policy, "m", BERTH_RIGHT_CALL, "mm.f"));
    CHECK(berth_policy_allows(&policy, "b", BERTH_RIGHT_PUBLISH, "t.u"));
    CHECK(!berth_policy_allows(&policy, "b", BERTH_RIGHT_SUBSCRIBE, "t.u"));
    CHECK(!berth_policy_allows(&policy, "operator", BERTH_RIGHT_PUBLISH, "t.u")); /* no module */
    CHECK(berth_policy_allows(&policy, "operator", BERTH_RIGHT_CALL, "x.y"));
    CHECK_STR(berth_policy_actor(&policy, "a"), "operator");
    CHECK_STR(berth_policy_actor(&policy, "b"), "b");
    policy.mode = BERTH_POLICY_DECLARED;
    CHECK(berth_policy_allows(&policy, "b", BERTH_RIGHT_CALL, "m.f"));
    policy.mode = BERTH_POLICY_OPEN;
    CHECK(berth_policy_allows(&policy, "b", BERTH_RIGHT_CALL, "m.f"));
    CHECK_STR(berth_policy_mode_name(policy.mode), "open");
    berth_policy_deinit(&policy);
}

/* ---- against a model: a list of rules, and every question asked of each ---- */

struct rule {
    const char *caller;
    enum berth_right right;
    char what[32];
};

static const char *const callers[] = { "a", "b", "host", "operator", "*" };

static const char *random_rule(enum berth_right right, bool ask, char what[32])
{
    static const char *const modules[] = { "a", "b", "host", "cc" };
    static const char *const names[] = { "f", "g", "*" };
    if (right != BERTH_RIGHT_CALL) {
        do
            random_pattern(what);
        while (ask && right == BERTH_RIGHT_PUBLISH && !berth_topic_valid(what));
        return what;
    }
    if (!ask && berth_test_random_below(8) == 0)
        return strcpy(what, "*");
    snprintf(what, 32, "%s.%s", modules[berth_test_random_below(4)],
             names[berth_test_random_below(ask ? 2 : 3)]);
    return what;
}

static bool model_rule(const struct rule *rule, const char *caller, enum berth_right right,
                       const char *what)
{
    size_t length = strlen(rule->what);
    bool every = !strcmp(rule->caller, "*") && strcmp(caller, "operator") != 0;
    if (rule->right != right || (!every && strcmp(rule->caller, caller) != 0))
        return false;
    if (right != BERTH_RIGHT_CALL)
        return model_covers(rule->what, what);
    if (!strcmp(rule->what, "*"))
        return strncmp(what, "host.", 5) != 0;
    return rule->what[length - 1] == '*' ? !strncmp(rule->what, what, length - 1)
                                         : !strcmp(rule->what, what);
}

static void compare_with_model(const struct berth_policy *policy, const struct rule *rules,
                               size_t count)
{
    char what[32];
    const char *caller = callers[berth_test_random_below(4)];
    enum berth_right right = (enum berth_right)berth_test_random_below(BERTH_RIGHTS);
    random_rule(right, true, what);
    bool expected = right == BERTH_RIGHT_CALL && !strncmp(what, caller, strlen(caller)) &&
                    what[strlen(caller)] == '.';
    for (size_t i = 0; i < count; i++)
        expected = expected || model_rule(&rules[i], caller, right, what);
    if (berth_policy_allows(policy, caller, right, what) != expected) {
        berth_note("%s %s %s: not %d, by %s", caller, berth_right_name(right), what, expected,
                   print(&policy->grants));
        CHECK(false);
    }
}

static void policies_are_what_the_model_says(void)
{
    for (int round = 0; round < 100; round++) {
        struct rule rules[24];
        struct berth_policy policy = { .mode = BERTH_POLICY_LISTED }, again;
        struct berth_error error;
        size_t count = berth_test_random_below(COUNT(rules) + 1);
        for (size_t i = 0; i < count; i++) {
            rules[i].caller = callers[berth_test_random_below(COUNT(callers))];
            rules[i].right = (enum berth_right)berth_test_random_below(BERTH_RIGHTS);
            random_rule(rules[i].right, false, rules[i].what);
            REQUIRE(
                berth_grants_add(&policy.grants, rules[i].caller, rules[i].right, rules[i].what));
        }
        const char *text =
            berth_test_format("{\"mode\":\"listed\",\"grants\":%s}", print(&policy.grants));
        CHECK_CODE(berth_policy_read(text, &again, &error), BERTH_OK, &error);
        CHECK_STR(print(&again.grants), print(&policy.grants)); /* what is printed can be read */
        for (int i = 0; i < 40; i++)
            compare_with_model(&again, rules, count);
        berth_policy_deinit(&again);
        berth_policy_deinit(&policy);
    }
}

/* Whatever bytes somebody hands over: an answer, and nothing read beyond their end. */
static void garbage_is_refused(void)
{
    static const char seed[] = "{\"mode\":\"listed\",\"grants\":{\"a\":{\"as\":\"operator\","
                               "\"call\":[\"m.*\",\"x.y\"],\"publish\":[\"t.>\"]}}}";
    for (int i = 0; i < 4000; i++) {
        struct berth_policy policy;
        struct berth_error error = { 0 };
        char *text = strdup(seed);
        REQUIRE(text);
        for (uint64_t n = 1 + berth_test_random_below(3); n > 0; n--)
            text[berth_test_random_below(sizeof(seed) - 1)] = (char)berth_test_random_below(256);
        if (berth_policy_read(text, &policy, &error) == BERTH_OK)
            berth_policy_deinit(&policy);
        else
            CHECK(error.code == BERTH_INVALID_ARGUMENT && *error.text);
        free(text);
    }
}

static void without_memory_it_says_so(void)
{
    static const char text[] = "{\"mode\":\"listed\",\"grants\":{\"b\":{\"as\":\"operator\","
                               "\"call\":[\"m.*\",\"x.y\"],\"publish\":[\"t.>\"]},\"a\":{"
                               "\"subscribe\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\"]}}}";
    unsigned long k = 1;

    if (!berth_fault_works())
        berth_skip("malloc cannot be replaced here");
    for (;; k++) {
        struct berth_policy policy;
        struct berth_error error = { 0 };
        long before = berth_fault_live();
        berth_fault_arm(k, false);
        int code = berth_policy_read(text, &policy, &error);
        if (!berth_fault_disarm()) {
            CHECK_CODE(code, BERTH_OK, &error);
            berth_policy_deinit(&policy);
            break;
        }
        CHECK_CODE(code, BERTH_RESOURCE_EXHAUSTED, &error);
        if (!berth_test_instrumented()) /* a sanitizer has a strdup of its own, and finds leaks */
            CHECK_INT(berth_fault_live(), before);
    }
    CHECK(k > 4);
}

static const struct berth_test tests[] = {
    { "functions match", functions_match },
    { "topics cover", topics_cover },
    { "covering is what every topic says", covering_is_what_every_topic_says },
    { "what is left out is the default", what_is_left_out_is_the_default },
    { "grants are printed in one order", grants_are_printed_in_one_order },
    { "refusals say where and why", refusals_say_where_and_why },
    { "modes differ", modes_differ },
    { "policies are what the model says", policies_are_what_the_model_says },
    { "garbage is refused", garbage_is_refused },
    { "without memory it says so", without_memory_it_says_so },
};

int main(int argc, char **argv)
{
    return berth_suite_main("policy", tests, COUNT(tests), argc, argv);
}
