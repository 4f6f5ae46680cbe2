/* SPDX-License-Identifier: MIT */
#include "runtime/base/topic_tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/suite.h"

/* One that stands in a tree, and how often a walk has found it. */
struct thing {
    struct berth_topic_entry entry;
    char name[64];
    bool in;
    int found;
};

static bool find(void *user, struct berth_topic_entry *entry)
{
    struct thing *thing = berth_container(entry, struct thing, entry);
    thing->found++;
    ++*(int *)user;
    return true;
}

static bool add(struct berth_topic_tree *tree, struct thing *thing, const char *name)
{
    snprintf(thing->name, sizeof thing->name, "%s", name);
    thing->in = berth_topic_tree_add(tree, name, &thing->entry);
    return thing->in;
}

static void removes(struct berth_topic_tree *tree, struct thing *thing)
{
    berth_topic_tree_remove(tree, &thing->entry);
    thing->in = false;
}

#define THINGS 40
#define STEPS  4000

/* Few tokens, so that much matches. */
static void make_name(char *name, bool pattern)
{
    static const char *const tokens[] = { "a", "b", "host", "*", ">" };
    size_t length = 1 + berth_test_random_below(4);
    *name = '\0';
    for (size_t i = 0; i < length; i++) {
        bool last = i + 1 == length;
        const char *token = tokens[berth_test_random_below(!pattern ? 3 : last ? 5 : 4)];
        sprintf(name + strlen(name), "%s%s", i ? "." : "", token);
    }
}

/* A tree of patterns is asked for topics, one of topics for patterns; each answer is compared. */
static void check_walk(struct berth_topic_tree *tree, struct thing *things, bool patterns)
{
    char name[64];
    int count = 0, expected = 0;
    make_name(name, !patterns);
    for (size_t i = 0; i < THINGS; i++)
        things[i].found = 0;
    if (patterns)
        berth_topic_tree_patterns(tree, name, find, &count);
    else
        berth_topic_tree_topics(tree, name, find, &count);
    for (size_t i = 0; i < THINGS; i++) {
        bool matches = things[i].in && (patterns ? berth_pattern_matches(things[i].name, name)
                                                 : berth_pattern_matches(name, things[i].name));
        expected += matches;
        if (things[i].found != matches)
            berth_note("%s and %s", things[i].name, name);
        CHECK_INT(things[i].found, matches);
    }
    CHECK_INT(count, expected);
}

static void compare(bool patterns)
{
    struct berth_topic_tree tree = { NULL, 0 };
    static struct thing things[THINGS];
    memset(things, 0, sizeof things);
    for (int step = 0; step < STEPS; step++) {
        struct thing *thing = &things[berth_test_random_below(THINGS)];
        char name[64];
        make_name(name, patterns);
        if (thing->in)
            removes(&tree, thing);
        else
            CHECK(add(&tree, thing, name));
        check_walk(&tree, things, patterns);
    }
    for (size_t i = 0; i < THINGS; i++)
        removes(&tree, &things[i]);
    CHECK(tree.root == NULL);
}

static void patterns_as_one_by_one(void)
{
    compare(true);
}

static void topics_as_one_by_one(void)
{
    compare(false);
}

#define MANY 100000

/* What it costs is counted in nodes: by what matches, and not by what there is. */
static void costs_by_what_matches(void)
{
    struct berth_topic_tree tree = { NULL, 0 };
    struct thing *things = calloc(MANY + 3, sizeof *things);
    int count = 0;
    REQUIRE(things);
    for (int i = 0; i < MANY; i++) {
        char name[64];
        snprintf(name, sizeof name, i % 2 ? "many.n%d.x" : "many.n%d.>", i / 2);
        REQUIRE(add(&tree, &things[i], name));
    }
    uint64_t added = tree.visited;
    CHECK(added <= 4 * MANY);
    CHECK(add(&tree, &things[MANY], "few.*") && add(&tree, &things[MANY + 1], "few.>") &&
          add(&tree, &things[MANY + 2], "few.three"));
    uint64_t before = tree.visited;
    berth_topic_tree_patterns(&tree, "few.three", find, &count);
    CHECK_INT(count, 3);
    CHECK(tree.visited - before < 20);
    before = tree.visited;
    for (int i = 0; i < MANY + 3; i++)
        removes(&tree, &things[i]);
    CHECK_INT(tree.visited - before, 0);
    CHECK(tree.root == NULL);
    free(things);
}

static const struct berth_test tests[] = {
    { "patterns_as_one_by_one", patterns_as_one_by_one },
    { "topics_as_one_by_one", topics_as_one_by_one },
    { "costs_by_what_matches", costs_by_what_matches },
};

int main(int argc, char **argv)
{
    return berth_suite_main("topic_tree", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
