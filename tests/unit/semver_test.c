/* SPDX-License-Identifier: MIT */
#include "runtime/image/semver.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/suite.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct berth_semver version(const char *text)
{
    struct berth_semver version = { 0 };
    REQUIRE(berth_semver_parse(text, &version));
    return version;
}

static void versions_are_parsed(void)
{
    struct berth_semver v = version("1.20.300-rc.1+build.007");
    CHECK_INT(v.major, 1);
    CHECK_INT(v.minor, 20);
    CHECK_INT(v.patch, 300);
    CHECK_STR(v.prerelease, "rc.1");
    v = version("4294967295.0.0");
    CHECK_INT(v.major, UINT32_MAX);
    CHECK_STR(v.prerelease, "");
    CHECK_STR(version("1.0.0--").prerelease, "-");
    CHECK_STR(version("1.0.0-0a.0").prerelease, "0a.0");
}

static void bad_versions_are_refused(void)
{
    static const char *const bad[] = {
        "",
        "1",
        "1.2",
        "1.2.",
        "1.2.3.",
        "1.2.3.4",
        "v1.2.3",
        " 1.2.3",
        "1.2.3 ",
        "01.2.3",
        "1.02.3",
        "1.2.03",
        "1.2.x",
        "1.2.-3",
        "1.2.3-",
        "1.2.3+",
        "1.2.3-+",
        "1.2.3-a..b",
        "1.2.3-01",
        "1.2.3-a_b",
        "1.2.3+a..b",
        "1.2.3-.",
        "1.2.3-a.",
        "4294967296.0.0",
        "99999999999999999999.0.0",
        "1.2.3-\xc3\xa4",
    };
    struct berth_semver untouched = { .major = 7 };
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (berth_semver_parse(bad[i], &untouched))
            berth_note("accepted: \"%s\"", bad[i]);
        CHECK(!berth_semver_parse(bad[i], &untouched));
    }
    CHECK_INT(untouched.major, 7);

    /* One character less than the room for it, and one more. */
    char text[6 + BERTH_PRERELEASE_MAX + 1] = "1.2.3-";
    memset(text + 6, 'a', BERTH_PRERELEASE_MAX - 1);
    CHECK_INT(strlen(version(text).prerelease), BERTH_PRERELEASE_MAX - 1);
    text[6 + BERTH_PRERELEASE_MAX - 1] = 'a';
    CHECK(!berth_semver_parse(text, &untouched));
}

/* The order of the standard's own example, and numbers that are not in the order of their text. */
static void versions_are_ordered(void)
{
    static const char *const ordered[] = {
        "0.0.1",
        "0.0.2",
        "0.1.0",
        "1.0.0-1",
        "1.0.0-9",
        "1.0.0-10",
        "1.0.0-10.0",
        "1.0.0-Alpha",
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-alphabet",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
        "1.0.1",
        "1.2.0",
        "1.10.0",
        "2.0.0",
        "10.0.0",
    };
    for (size_t i = 0; i < COUNT(ordered); i++) {
        for (size_t j = 0; j < COUNT(ordered); j++) {
            struct berth_semver a = version(ordered[i]), b = version(ordered[j]);
            int order = (i > j) - (i < j);
            if (berth_semver_compare(&a, &b) != order)
                berth_note("%s against %s", ordered[i], ordered[j]);
            CHECK_INT(berth_semver_compare(&a, &b), order);
        }
    }
    struct berth_semver a = version("1.0.0+a"), b = version("1.0.0+b");
    CHECK_INT(berth_semver_compare(&a, &b), 0);
}

static void ranges_hold_as_they_should(void)
{
    static const struct {
        const char *range, *inside, *outside;
    } cases[] = {
        { "*", "0.0.0 1.2.3 99.0.0", "1.2.3-a" },
        { ">=*", "0.0.0 1.2.3", "1.2.3-a" },
        { "1.2.3", "1.2.3 1.2.3+x", "1.2.4 1.2.2 1.2.3-a" },
        { "=1.2.3", "1.2.3", "1.2.4" },
        { "1.2", "1.2.0 1.2.99", "1.1.9 1.3.0 1.2.0-a" },
        { "=1.2.x", "1.2.0 1.2.99", "1.1.9 1.3.0" },
        { "1", "1.0.0 1.99.0", "0.9.9 2.0.0 2.0.0-a" },
        { "1.*", "1.0.0 1.99.0", "0.9.9 2.0.0" },
        { "1.X.x", "1.0.0 1.99.0", "0.9.9 2.0.0" },
        { "^1.2.3", "1.2.3 1.9.0", "1.2.2 2.0.0 2.0.0-a 1.5.0-a" },
        { "^1.2", "1.2.0 1.9.0", "1.1.9 2.0.0" },
        { "^1", "1.0.0 1.9.0", "0.9.9 2.0.0" },
        { "^0.2.3", "0.2.3 0.2.9", "0.2.2 0.3.0 1.0.0" },
        { "^0.0.3", "0.0.3", "0.0.2 0.0.4" },
        { "^0.0", "0.0.0 0.0.9", "0.1.0" },
        { "^0", "0.0.0 0.9.9", "1.0.0" },
        { "^0.0.0", "0.0.0", "0.0.1" },
        { "^1.2.3-beta.2", "1.2.3-beta.2 1.2.3-beta.10 1.2.3 1.9.0",
          "1.2.3-beta.1 1.2.4-beta.2 2.0.0" },
        { "~1.2.3", "1.2.3 1.2.9", "1.2.2 1.3.0" },
        { "~1.2", "1.2.0 1.2.9", "1.1.0 1.3.0" },
        { "~1", "1.0.0 1.9.9", "0.9.0 2.0.0" },
        { ">=1 <2", "1.0.0 1.9.9", "0.9.9 2.0.0" },
        { ">=1.2.0 <2.0.0", "1.2.0 1.9.9", "1.1.9 2.0.0" },
        { " >= 1.2   < 1.4.0 ", "1.2.0 1.3.9", "1.1.9 1.4.0" },
        { ">1.2.3", "1.2.4 2.0.0", "1.2.3" },
        { ">1.2", "1.3.0", "1.2.9" },
        { ">1", "2.0.0", "1.9.9" },
        { "<=1.2.3", "1.2.3 0.0.0", "1.2.4" },
        { "<=1.2", "1.2.9", "1.3.0" },
        { "<1.2", "1.1.9", "1.2.0 1.2.0-a" },
        { ">=2.0.0-rc.1", "2.0.0-rc.1 2.0.0-rc.2 2.0.0 3.0.0", "2.0.0-rc.0 3.0.0-rc.1 1.0.0" },
        { "=1.0.0-a", "1.0.0-a 1.0.0-a+b", "1.0.0 1.0.0-b" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct berth_semver_range range;
        REQUIRE(berth_semver_range_parse(cases[i].range, &range));
        for (int expected = 0; expected <= 1; expected++) {
            const char *list = expected ? cases[i].inside : cases[i].outside;
            for (char *text = strtok(berth_test_format("%s", list), " "); text;
                 text = strtok(NULL, " ")) {
                struct berth_semver v = version(text);
                if (berth_semver_range_holds(&range, &v) != expected)
                    berth_note("\"%s\" and %s", cases[i].range, text);
                CHECK_INT(berth_semver_range_holds(&range, &v), expected);
            }
        }
    }
}

static void bad_ranges_are_refused(void)
{
    static const char *const bad[] = {
        "",    " ",           "^",          "latest",   "1.2.3.4", "v1",      ">=",
        "=>1", "1..2",        "1.2.",       "x.1",      "1.x.1",   "1.2.x-a", "1.2-a",
        ">*",  "<*",          "^01.2",      "1.2 || 2", "1,2",     "~>1.2",   "^^1",
        "!1",  "^4294967295", "4294967296", "1 - 2",    "1.2.3-",  "1.2.3a",
    };
    struct berth_semver_range untouched = { .count = 7 };
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (berth_semver_range_parse(bad[i], &untouched))
            berth_note("accepted: \"%s\"", bad[i]);
        CHECK(!berth_semver_range_parse(bad[i], &untouched));
    }
    CHECK(!berth_semver_range_parse(">0 >0 >0 >0 >0 >0 >0 >0 >0", &untouched));
    CHECK_INT(untouched.count, 7);
    CHECK(berth_semver_range_parse(">0 >0 >0 >0 >0 >0 >0 >0", &untouched));
}

static const struct berth_test tests[] = {
    { "versions_are_parsed", versions_are_parsed },
    { "bad_versions_are_refused", bad_versions_are_refused },
    { "versions_are_ordered", versions_are_ordered },
    { "ranges_hold_as_they_should", ranges_hold_as_they_should },
    { "bad_ranges_are_refused", bad_ranges_are_refused },
};

int main(int argc, char **argv)
{
    return berth_suite_main("semver", tests, COUNT(tests), argc, argv);
}
