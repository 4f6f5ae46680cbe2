/* SPDX-License-Identifier: MIT */
/* Large values are passed on and not copied, and live as long as somebody has them. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/core/core.h"
#include "tests/support/fault.h"
#include "tests/support/hosting.h"

#define MIB (1 << 20)

static berth_host *host;
static struct berth_error error;

static void begin(unsigned flags)
{
    struct berth_host_options options = berth_test_host_options();
    options.flags |= flags;
    options.mailbox_bytes = 4 * MIB;
    host = berth_test_host(&options);
    LOAD(host, "painter", "inline");
}

static void view(const char *options)
{
    CHECK_CODE(berth_test_load(host, "viewer", "inline", options, &error), BERTH_OK, &error);
}

static size_t live(void)
{
    pthread_mutex_lock(&host->blobs.lock);
    size_t count = host->blobs.live.count;
    pthread_mutex_unlock(&host->blobs.lock);
    return count;
}

static void unload(const char *module)
{
    CHECK_CODE(berth_host_unload(host, module, &error), BERTH_OK, &error);
}

/* All that was made is gone before the host is. */
static void end(void)
{
    berth_host_unload(host, "viewer", &error);
    berth_host_unload(host, "painter", &error);
    UNTIL(host, live() == 0);
    CHECK_INT(berth_host_free(host), BERTH_OK);
}

/* "[size,number]" */
static const char *paint(long size, int number)
{
    char arguments[64];
    snprintf(arguments, sizeof arguments, "[%ld,%d]", size, number);
    return CALL(host, "painter.paint", arguments);
}

static const char *make(long size, int number)
{
    char arguments[64];
    snprintf(arguments, sizeof arguments, "[%ld,%d]", size, number);
    return CALL(host, "painter.make", arguments);
}

/* ---- by reference ---- */

static void all_receivers_see_the_very_memory(void)
{
    begin(0);
    for (int i = 0; i < 8; i++) {
        char name[16];
        snprintf(name, sizeof name, "viewer_%d", i);
        berth_test_load_as(host, "viewer", name, "inline");
    }
    const char *address = paint(MIB, 3);
    for (int i = 0; i < 8; i++) {
        char function[32];
        snprintf(function, sizeof function, "viewer_%d.views", i);
        UNTIL(host, CALL_INT(host, function, "[]") == 1);
        snprintf(function, sizeof function, "viewer_%d.address", i);
        CHECK_CALL(host, function, "[]", address);
        snprintf(function, sizeof function, "viewer_%d.sum", i);
        CHECK_INT(CALL_INT(host, function, "[]"), 3 * MIB);
    }
    UNTIL(host, live() == 0);
    end();
}

static void every_type_that_points_at_much_may_lie_there(void)
{
    begin(0);
    view(NULL);
    const char *address = make(8192, 1);
    CALL(host, "painter.all", "[]");
    UNTIL(host, CALL_INT(host, "viewer.views", "[]") == 1);
    CHECK_CALL(host, "viewer.place", "[0]", address);
    CHECK_CALL(host, "viewer.place", "[1]", address);
    CHECK_CALL(host, "viewer.place", "[2]", address);
    CHECK_INT(CALL_INT(host, "viewer.sum", "[]"), 's' + 'm' + 'a' + 'l' + 'l');
    UNTIL(host, live() == 1);
    end();
}

static void little_of_a_blob_is_copied(void)
{
    begin(0);
    view(NULL);
    long long made = strtoll(make(16384, 1), NULL, 10);
    CALL(host, "painter.part", "[8000,8192]");
    UNTIL(host, CALL_INT(host, "viewer.views", "[]") == 1);
    CHECK_INT(CALL_INT(host, "viewer.address", "[]"), made + 8000);
    CALL(host, "painter.part", "[8000,8191]");
    UNTIL(host, CALL_INT(host, "viewer.views", "[]") == 2);
    CHECK(CALL_INT(host, "viewer.address", "[]") != made + 8000);
    made = strtoll(make(16380, 1), NULL, 10);
    CALL(host, "painter.part", "[8192,8192]"); /* beyond its end, but inside of its pages: copied */
    UNTIL(host, CALL_INT(host, "viewer.views", "[]") == 3);
    CHECK(CALL_INT(host, "viewer.address", "[]") != made + 8192);
    make(4000, 1);
    CALL(host, "painter.part", "[0,4000]");
    UNTIL(host, CALL_INT(host, "viewer.views", "[]") == 4);
    CHECK_INT(CALL_INT(host, "viewer.sum", "[]"), 4000);
    end();
}

/* Copied once, when it was published, and not again when it is passed on. */
static void what_came_with_a_message_is_passed_on(void)
{
    begin(0);
    view("{\"passes_on\":true}");
    berth_test_load_as(host, "viewer", "other", "inline");
    const char *own = CALL(host, "painter.copied", "[100000]");
    UNTIL(host, CALL_INT(host, "other.views", "[]") == 2);
    UNTIL(host, CALL_INT(host, "viewer.views", "[]") == 2);
    CHECK_INT(CALL_INT(host, "other.sum", "[]"), 700000);
    CHECK(strcmp(CALL(host, "other.address", "[]"), own) != 0);
    CHECK_CALL(host, "viewer.address", "[]", CALL(host, "other.address", "[]"));
    UNTIL(host, live() == 0);
    unload("other");
    end();
}

/* ---- how long ---- */

static void it_outlives_its_maker(void)
{
    begin(0);
    view("{\"keeps\":true}");
    const char *address = paint(MIB, 5);
    UNTIL(host, CALL_INT(host, "viewer.views", "[]") == 1);
    unload("painter");
    UNTIL(host, live() == 1);
    CHECK_INT(CALL_INT(host, "viewer.kept_sum", "[]"), 5 * MIB);
    CALL(host, "viewer.again", "[]");
    CALL(host, "viewer.let_go", "[]"); /* the message has it still, or had it */
    UNTIL(host, CALL_INT(host, "viewer.views", "[]") == 2);
    CHECK_CALL(host, "viewer.address", "[]", address);
    CHECK_INT(CALL_INT(host, "viewer.sum", "[]"), 5 * MIB);
    UNTIL(host, live() == 0);
    end();
}

static void what_a_module_has_goes_with_it(void)
{
    begin(0);
    view("{\"keeps\":true}");
    make(MIB, 1);
    make(0, 1);
    paint(5000, 2);
    UNTIL(host, CALL_INT(host, "viewer.views", "[]") == 1);
    CHECK_INT(live(), 3);
    CHECK_INT(host->blobs.live.bytes, MIB + 4096 + 8192);
    CHECK_CODE(berth_host_reload(host, "painter", NULL, NULL, &error), BERTH_OK, &error);
    CHECK_INT(live(), 1);
    unload("viewer");
    CHECK_INT(live(), 0);
    end();
}

static void a_call_passes_it_as_well(void)
{
    begin(0);
    view(NULL);
    const char *address = make(10000, 1);
    CHECK_CALL(host, "painter.ask", "[]", address); /* one that is started, too */
    CHECK_INT(CALL_INT(host, "viewer.sum", "[]"), 10000);
    CHECK_CALL(host, "painter.show", "[]", address);
    CALL(host, "painter.release", "[]");
    UNTIL(host, live() == 1); /* a call that was started has had it until just now */
    CHECK_INT(CALL_INT(host, "viewer.kept_sum", "[]"), 10000);
    CALL(host, "viewer.let_go", "[]");
    UNTIL(host, live() == 0);
    end();
}

static void what_is_kept_from_elsewhere_is_a_copy(void)
{
    begin(0);
    view(NULL);
    CHECK(CALL_INT(host, "viewer.hold", "[\"AQID\"]") != 0);
    CHECK_INT(live(), 1);
    CHECK_INT(CALL_INT(host, "viewer.kept_sum", "[]"), 6);
    CALL(host, "viewer.let_go", "[]");
    CHECK(CALL_INT(host, "viewer.hold", "[\"\"]") != 0);
    CALL(host, "viewer.let_go", "[]");
    CHECK_INT(live(), 0);
    end();
}

/* ---- what should not be ---- */

static void nobody_releases_what_he_does_not_have(void)
{
    begin(0);
    view("{\"keeps\":true}");
    const char *address = make(MIB, 1);
    char arguments[64];
    snprintf(arguments, sizeof arguments, "[%s]", address);
    CALL(host, "painter.show", "[]");
    CALL(host, "painter.release", "[]");
    CHECK_FAILS(host, "painter.release", "[]", BERTH_FAILED_PRECONDITION, "holds no blob");
    CHECK_FAILS(host, "painter.release_at", arguments, BERTH_FAILED_PRECONDITION, "painter holds");
    CHECK_INT(CALL_INT(host, "viewer.kept_sum", "[]"), MIB);
    CALL(host, "viewer.let_go", "[]");
    CHECK_INT(live(), 0);
    CHECK_FAILS(host, "viewer.let_go", "[]", BERTH_FAILED_PRECONDITION, "holds no blob");
    CHECK_FAILS(host, "painter.release_at", "[4096]", BERTH_FAILED_PRECONDITION, "0x1000");
    CHECK_FAILS(host, "painter.release_at", "[18446744073709551615]", BERTH_FAILED_PRECONDITION,
                "");
    CHECK_CALL(host, "painter.release_at", "[0]", "null");
    end();
}

static void a_size_that_there_cannot_be_is_an_error(void)
{
    begin(0);
    view(NULL);
    CHECK_FAILS(host, "painter.make", "[18446744073709551615,0]", BERTH_RESOURCE_EXHAUSTED,
                "no memory for a blob of 18446744073709551615 bytes");
    CHECK_FAILS(host, "painter.make", "[4611686018427387904,0]", BERTH_RESOURCE_EXHAUSTED, "");
    CHECK_INT(live(), 0);
    end();
}

static void a_message_is_not_larger_than_the_limit(void)
{
    struct berth_host_options options = berth_test_host_options();
    options.max_message = 100000;
    host = berth_test_host(&options);
    LOAD(host, "painter", "inline");
    view(NULL);
    CHECK_FAILS(host, "painter.paint", "[100001,1]", BERTH_RESOURCE_EXHAUSTED, "100000");
    CHECK_FAILS(host, "painter.copied", "[100001]", BERTH_RESOURCE_EXHAUSTED, "100000");
    make(40000, 1);
    CHECK_FAILS(host, "painter.all", "[]", BERTH_RESOURCE_EXHAUSTED, "100000");
    CALL(host, "painter.release", "[]");
    CHECK_INT(live(), 0);
    paint(90000, 1);
    UNTIL(host, CALL_INT(host, "viewer.views", "[]") == 1);
    end();
}

/* ---- how much ---- */

/* What lies in a blob counts in each mailbox as if it were copied. */
static void mailboxes_count_all_of_it(void)
{
    struct berth_host_options options = berth_test_host_options();
    options.threads = 0;
    options.mailbox_bytes = 3 * MIB;
    host = berth_test_host(&options);
    LOAD(host, "painter", "inline");
    view(NULL);
    for (int i = 0; i < 2; i++)
        paint(MIB, i);
    CHECK_FAILS(host, "painter.paint", "[1048576,1]", BERTH_RESOURCE_EXHAUSTED, "viewer is full");
    CHECK_INT(live(), 2);
    while (berth_host_dispatch(host, 0) > 0)
        ;
    CHECK_INT(live(), 0);
    paint(MIB, 9);
    CHECK_INT(live(), 1); /* in the mailbox, when the host ends */
    CHECK_INT(berth_host_free(host), BERTH_OK);
}

/* ---- placements, modes, memory ---- */

static void a_worker_gets_copies(void)
{
    if (berth_test_valgrind())
        berth_skip("valgrind cannot follow workers");
    begin(0);
    CHECK_CODE(
        berth_test_load(host, "viewer", "process", "{\"keeps\":true,\"passes_on\":true}", &error),
        BERTH_OK, &error);
    berth_test_load_as(host, "viewer", "other", "inline");
    paint(100000, 2);
    UNTIL(host, CALL_INT(host, "other.views", "[]") == 2);
    UNTIL(host, CALL_INT(host, "viewer.views", "[]") == 2);
    CHECK_INT(CALL_INT(host, "other.sum", "[]"), 200000);
    CHECK_INT(CALL_INT(host, "viewer.kept_sum", "[]"), 200000);
    UNTIL(host, live() == 0);
    CALL(host, "viewer.let_go", "[]");
    CHECK_FAILS(host, "viewer.let_go", "[]", BERTH_FAILED_PRECONDITION, "viewer holds no blob");
    CHECK_CODE(berth_host_unload(host, "painter", &error), BERTH_OK, &error);
    CHECK_CODE(berth_test_load(host, "painter", "process", NULL, &error), BERTH_OK, &error);
    paint(100000, 3);
    UNTIL(host, CALL_INT(host, "other.views", "[]") == 4);
    CHECK_INT(CALL_INT(host, "other.sum", "[]"), 300000);
    unload("other");
    end();
}

static void what_is_held_is_told(void)
{
    struct berth_shutdown_report report = { .size = sizeof report };
    begin(0);
    view("{\"keeps\":true}");
    paint(100000, 3);
    UNTIL(host, CALL_INT(host, "viewer.views", "[]") == 1);
    UNTIL(host, live() == 1);
    const char *stats = CALL(host, "host.stats", "[]");
    CHECK_CONTAINS(strstr(stats, "{\"name\":\"viewer\""),
                   ",\"blobs\":{\"count\":1,\"bytes\":102400}");
    CHECK_CONTAINS(stats, ",\"blobs\":{\"count\":1,\"bytes\":102400}},\"modules\":");
    CHECK_INT(berth_host_end(host, &report), BERTH_OK);
    CHECK_INT(report.blobs, 1);
    CHECK_INT(report.blob_bytes, 102400);
}

static void the_mode_that_checks_keeps_it_right(void)
{
    begin(BERTH_HOST_CHECK_OWNERSHIP);
    view("{\"keeps\":true,\"passes_on\":true}");
    paint(100000, 4);
    UNTIL(host, CALL_INT(host, "viewer.views", "[]") == 2);
    CHECK_INT(CALL_INT(host, "viewer.kept_sum", "[]"), 400000);
    CALL(host, "viewer.let_go", "[]");
    end();
}

/* Whether this byte can be written: asks the kernel, which does not die of it. */
static bool is_writable(const char *address)
{
    int zeros = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    bool written = read(zeros, (void *)strtoull(address, NULL, 10), 1) == 1;
    close(zeros);
    return written;
}

static void that_mode_finds_who_writes_what_others_have(void)
{
    begin(BERTH_HOST_CHECK_OWNERSHIP);
    view(NULL);
    const char *address = make(MIB, 1);
    CHECK(is_writable(address));
    CALL(host, "painter.part", "[0,1048576]");
    CHECK(!is_writable(address));
    UNTIL(host, CALL_INT(host, "viewer.views", "[]") == 1);
    CALL(host, "painter.release", "[]");
    UNTIL(host, live() == 0);
    for (int i = 0; i < 10; i++) /* its memory is as any other again */
        make(MIB, i);
    end();
}

static void without_memory_nothing_is_left(void)
{
    if (!berth_fault_works())
        berth_skip("allocations cannot fail here");
    struct berth_host_options options = berth_test_host_options();
    options.threads = 0;
    host = berth_test_host(&options);
    LOAD(host, "painter", "inline");
    view("{\"keeps\":true,\"passes_on\":true}");
    bool failed = true;
    for (unsigned long k = 1; failed; k++) {
        char *result = NULL;
        berth_fault_arm(k, false);
        berth_ctx *ctx = berth_host_enter(host);
        if (ctx && berth_call_json(ctx, "painter.paint", "[20000,1]", &result) == BERTH_OK)
            berth_free(result);
        if (ctx)
            berth_leave(ctx);
        while (berth_host_dispatch(host, 0) > 0)
            ;
        failed = berth_fault_disarm();
        while (berth_host_dispatch(host, 0) > 0)
            ;
        if (live() > 0)
            CALL(host, "viewer.let_go", "[]");
        CHECK_INT(live(), 0);
    }
    end();
}

static const struct berth_test tests[] = {
    { "all_receivers_see_the_very_memory", all_receivers_see_the_very_memory },
    { "every_type_that_points_at_much_may_lie_there",
      every_type_that_points_at_much_may_lie_there },
    { "little_of_a_blob_is_copied", little_of_a_blob_is_copied },
    { "what_came_with_a_message_is_passed_on", what_came_with_a_message_is_passed_on },
    { "it_outlives_its_maker", it_outlives_its_maker },
    { "what_a_module_has_goes_with_it", what_a_module_has_goes_with_it },
    { "a_call_passes_it_as_well", a_call_passes_it_as_well },
    { "what_is_kept_from_elsewhere_is_a_copy", what_is_kept_from_elsewhere_is_a_copy },
    { "nobody_releases_what_he_does_not_have", nobody_releases_what_he_does_not_have },
    { "a_size_that_there_cannot_be_is_an_error", a_size_that_there_cannot_be_is_an_error },
    { "a_message_is_not_larger_than_the_limit", a_message_is_not_larger_than_the_limit },
    { "mailboxes_count_all_of_it", mailboxes_count_all_of_it },
    { "a_worker_gets_copies", a_worker_gets_copies },
    { "what_is_held_is_told", what_is_held_is_told },
    { "the_mode_that_checks_keeps_it_right", the_mode_that_checks_keeps_it_right },
    { "that_mode_finds_who_writes_what_others_have", that_mode_finds_who_writes_what_others_have },
    { "without_memory_nothing_is_left", without_memory_nothing_is_left },
};

int main(int argc, char **argv)
{
    return berth_suite_main("blobs", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
