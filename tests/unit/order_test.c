/* SPDX-License-Identifier: MIT */
/* runtime/reload/order.h against the rule itself, which is easily written for a few modules. */
#include "runtime/reload/order.h"

#include "runtime/image/image.h"
#include "runtime/image/manifest.h"
#include "tests/support/suite.h"

#include <stdio.h>
#include <string.h>

#define MOST 4000
#define EACH 3 /* that one requires or imports from, at most */

/* So many modules, m0 and so on, and whom each needs. */
static struct berth_load loads[MOST];
static struct berth_image images[MOST];
static struct berth_manifest manifests[MOST];
static struct berth_manifest_require required[MOST][EACH];
static struct berth_manifest_import imported[MOST][EACH];
static char names[MOST + 1][24];
static size_t order[MOST];

static void begin(size_t count)
{
    memset(manifests, 0, sizeof manifests);
    for (size_t i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], "m%zu", i);
        manifests[i].name = names[i];
        manifests[i].requires = required[i];
        manifests[i].imports = imported[i];
        images[i].manifest = &manifests[i];
        loads[i] = (struct berth_load){ .image = &images[i] };
    }
}

static void requires(size_t i, const char *name)
{
    required[i][manifests[i].require_count++].module = name;
}

static void imports(size_t i, const char *name)
{
    imported[i][manifests[i].import_count++].module = name;
}

static bool comes_later(const bool *came, size_t count, size_t of, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (!came[i] && i != of && strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* The first that requires nothing that is still to come, and best imports nothing of that. */
static size_t next_of(const bool *came, size_t count)
{
    size_t found = count;
    for (size_t i = 0; i < count; i++) {
        bool waits = came[i], last = false;
        for (size_t k = 0; k < manifests[i].require_count; k++)
            waits = waits || comes_later(came, count, i, required[i][k].module);
        for (size_t k = 0; k < manifests[i].import_count; k++)
            last = last || comes_later(came, count, i, imported[i][k].module);
        if (!waits && !last)
            return i;
        if (!waits && found == count)
            found = i;
    }
    return found;
}

static void check(size_t count)
{
    bool came[MOST] = { false };
    struct berth_error error = { 0 };
    int code = berth_load_order(loads, count, order, &error);

    for (size_t i = 0; i < count; i++) {
        size_t next = next_of(came, count);
        if (next == count) {
            CHECK_CODE(code, BERTH_FAILED_PRECONDITION, &error);
            CHECK_CONTAINS(error.text, "require each other");
            return;
        }
        came[next] = true;
        if (code == BERTH_OK)
            CHECK_INT(order[i], next);
    }
    CHECK_CODE(code, BERTH_OK, &error);
}

static void any_graph_is_ordered_as_the_rule_says(void)
{
    for (int round = 0; round < 300; round++) {
        size_t count = 1 + berth_test_random_below(12);
        begin(count);
        strcpy(names[count], "elsewhere");
        for (size_t i = 0; i < count; i++) {
            for (uint64_t k = berth_test_random_below(EACH); k > 0; k--)
                imports(i, names[berth_test_random_below(count + 1)]);
            if (berth_test_random_below(2) == 0)
            requires(i, names[berth_test_random_below(count + 1)]);
        }
        check(count);
    }
}

static void those_of_a_ring_are_named(void)
{
    struct berth_error error;

    begin(4);
    requires(0, "m1");
    requires(1, "m2");
    requires(2, "m3");
    requires(3, "m1");
    CHECK_CODE(berth_load_order(loads, 4, order, &error), BERTH_FAILED_PRECONDITION, &error);
    CHECK_CONTAINS(error.text, ": m1 requires m2 requires m3 requires m1");
    CHECK(strstr(error.text, "m0") == NULL);
}

/* With each of them tried against all others at each step nobody would see the end of this. */
static void very_many_in_the_worst_order(void)
{
    struct berth_error error;

    begin(MOST);
    for (size_t i = 0; i + 1 < MOST; i++) {
        imports(i, names[i + 1]);
        requires(i, names[i + 1]);
    }
    CHECK_CODE(berth_load_order(loads, MOST, order, &error), BERTH_OK, &error);
    for (size_t i = 0; i < MOST; i++)
        CHECK_INT(order[i], MOST - 1 - i);
}

static const struct berth_test tests[] = {
    { "any_graph_is_ordered_as_the_rule_says", any_graph_is_ordered_as_the_rule_says },
    { "those_of_a_ring_are_named", those_of_a_ring_are_named },
    { "very_many_in_the_worst_order", very_many_in_the_worst_order },
};

int main(int argc, char **argv)
{
    return berth_suite_main("order", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
