/* SPDX-License-Identifier: MIT */
/* What is not proved safe to unmap: it is listed, goes when it can, and has a budget. */
#include "tests/support/hosting.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static berth_host *host;

static void make_host(size_t images, size_t bytes)
{
    struct berth_host_options options = berth_test_host_options();

    if (berth_test_instrumented())
        berth_skip("all images stay mapped, as they are to, and none is counted");
    options.quarantine_images = images;
    options.quarantine_bytes = bytes;
    host = berth_test_host(&options);
}

static const char *quarantined(void)
{
    struct berth_error error;
    char *list = NULL;

    CHECK_CODE(berth_host_list(host, &list, &error), BERTH_OK, &error);
    const char *at = list ? strstr(list, "\"quarantined\":") : NULL;
    const char *text = berth_test_format("%.*s", at ? (int)strlen(at) - 1 : 0, at ? at : "");
    free(list);
    return text;
}
#define EMPTY "\"quarantined\":[]"

static int reload(const char *module, struct berth_reload_report *report, struct berth_error *error)
{
    report->size = sizeof(*report);
    return berth_host_reload(host, module, NULL, report, error);
}

/* A module that leaves its function in the table of another one. */
static void load_table(void)
{
    LOAD(host, "left/keeper", NULL);
    LOAD(host, "left/table", NULL);
}

static void what_is_left_is_told_and_goes_once_it_is_taken_back(void)
{
    struct berth_reload_report report;
    struct berth_error error;

    make_host(0, 0);
    load_table();
    CHECK_STR(quarantined(), EMPTY);
    CHECK_CODE(berth_host_unload(host, "left_table", &error), BERTH_OK, &error);
    CHECK_CONTAINS(quarantined(),
                   "[{\"name\":\"left_table\",\"version\":\"1.0.0\",\"generation\":1,");
    CHECK_CONTAINS(quarantined(),
                   "\"why\":\"static data of left_keeper@1.0.0#1 lead into its code");
    CHECK(!strstr(quarantined(), "\"bytes\":0,"));
    CHECK_CONTAINS(berth_test_log(), "left_table@1.0.0#1 is quarantined: static data");
    CHECK_CONTAINS(CALL(host, "host.events", "[]"),
                   "\"event\":\"quarantined\",\"module\":\"left_table\"");
    CALL(host, "left_keeper.put", "[0]");
    UNTIL(host, strcmp(quarantined(), EMPTY) == 0);
    CHECK_CONTAINS(berth_test_log(), "left_table@1.0.0#1 is quarantined no more");
    /* a reload tells, too */
    LOAD(host, "left/table", NULL);
    CHECK_CODE(reload("left_table", &report, &error), BERTH_OK, &error);
    CHECK_STR(report.quarantined, ""); /* START has put the next one's in its place */
    CHECK_INT(report.unmapped, 1);
    berth_host_free(host);
}

#define REFUSE BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)
#define ALLOW  BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static bool be_filtered(struct sock_filter *steps, unsigned short count)
{
    struct sock_fprog filter = { count, steps };

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

/* The thread may not read memory as another process would, as some sandboxes have it. */
static bool be_short_sighted(void)
{
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 0, 1), REFUSE, ALLOW
    };
    return be_filtered(steps, sizeof steps / sizeof *steps);
}

/* Nor from a file at any offset that is an address of it: the upper half of that is not 0. */
static bool be_blind(void)
{
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pread64, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[3]) + 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
        REFUSE,
        ALLOW,
    };
    return be_short_sighted() && be_filtered(steps, sizeof steps / sizeof *steps);
}

struct filtered {
    bool (*filter)(void);
    void (*then)(void);
    bool there; /* there are filters of system calls */
};

static void *run_filtered(void *argument)
{
    struct filtered *filtered = argument;

    filtered->there = filtered->filter();
    if (filtered->there)
        filtered->then();
    return NULL;
}

/* On a thread of its own, for which the filter lasts; false: there are none. */
static bool do_filtered(bool (*filter)(void), void (*then)(void))
{
    struct filtered filtered = { filter, then, false };
    pthread_t thread;

    REQUIRE(pthread_create(&thread, NULL, run_filtered, &filtered) == 0);
    pthread_join(thread, NULL);
    return filtered.there;
}

static void unload_table(void)
{
    struct berth_error error;
    CHECK_CODE(berth_host_unload(host, "left_table", &error), BERTH_OK, &error);
}

/* The other module still has its function: that nobody may look must not mean that it goes. */
static void what_cannot_be_looked_at_stays(void)
{
    make_host(0, 0);
    load_table();
    bool blind = do_filtered(be_blind, unload_table);
    if (blind) {
        CHECK_CONTAINS(berth_test_log(),
                       "left_table@1.0.0#1 is quarantined: not proved: static data of others "
                       "cannot be read (Operation not permitted): let this process call "
                       "process_vm_readv, or read /proc/self/mem");
        CALL(host, "left_keeper.put", "[0]");
        UNTIL(host, strcmp(quarantined(), EMPTY) == 0); /* others may look */
    }
    berth_host_free(host);
    if (!blind)
        berth_skip("there are no filters of system calls");
}

static pthread_mutex_t still = PTHREAD_MUTEX_INITIALIZER;

/* It has never been in the host: its stack is looked at. */
static void *stand_still(void *argument)
{
    pthread_mutex_lock(&still);
    pthread_mutex_unlock(&still);
    return argument;
}

static void unload_what_is_left_and_what_is_not(void)
{
    struct berth_error error;

    unload_table();
    CHECK_CONTAINS(quarantined(),
                   "\"why\":\"static data of left_keeper@1.0.0#1 lead into its code");
    CALL(host, "left_keeper.put", "[0]");
    UNTIL(host, strcmp(quarantined(), EMPTY) == 0);
    CHECK_CODE(berth_host_unload(host, "math", &error), BERTH_OK, &error);
    CHECK_STR(quarantined(), EMPTY);
}

static void a_file_is_looked_at_where_memory_may_not_be(void)
{
    pthread_t thread;

    make_host(0, 0);
    load_table();
    LOAD(host, "math", NULL);
    CHECK_CALL(host, "math.add", "[1,2]", "3");
    pthread_mutex_lock(&still);
    REQUIRE(pthread_create(&thread, NULL, stand_still, NULL) == 0);
    bool there = do_filtered(be_short_sighted, unload_what_is_left_and_what_is_not);
    pthread_mutex_unlock(&still);
    pthread_join(thread, NULL);
    berth_host_free(host);
    if (!there)
        berth_skip("there are no filters of system calls");
}

/* What others import is the host's to take back. */
static void a_module_that_others_have_called_goes(void)
{
    struct berth_error error;

    make_host(0, 0);
    for (int i = 0; i < 2; i++) { /* bound before it comes, and when it comes again */
        if (i == 0)
            LOAD(host, "hammer", NULL);
        LOAD(host, "math", NULL);
        LOAD(host, "counter", NULL);
        CHECK_CALL(host, "hammer.divide", "[3,2]", "0");
        CHECK_CALL(host, "hammer.add", "[3]", "3");
        CHECK_CODE(berth_host_unload(host, "math", &error), BERTH_OK, &error);
        CHECK_CODE(berth_host_unload(host, "counter", &error), BERTH_OK, &error);
        CHECK_STR(quarantined(), EMPTY);
        CHECK_CALL(host, "hammer.divide", "[3,2]", "3");
    }
    berth_host_free(host);
}

BERTH_BOUND(f64, divide, (f64, a), (f64, b));

/* Its data are looked through, too, unless it has the runtime in itself, as this one. */
static void what_is_unbound_keeps_no_address(void)
{
    static divide_bound bound;
    struct berth_error error;

    make_host(0, 0);
    LOAD(host, "math", NULL);
    CHECK_CODE(berth_bind(host, "math.divide", divide, &bound, &error), BERTH_OK, &error);
    berth_ctx *ctx = berth_host_enter(host);
    CHECK(divide_call(&bound, ctx, 6, 4) == 1.5);
    berth_leave(ctx);
    CHECK(bound.link.code);
    berth_unbind(host, &bound);
    CHECK(!bound.link.code);
    berth_host_free(host);
}

/* Each reload leaves a thread of the old generation. */
static void a_full_quarantine_refuses_reloads(void)
{
    struct berth_reload_report report;
    struct berth_error error;

    make_host(2, 0);
    LOAD(host, "left/thread", NULL);
    CHECK_CODE(reload("left_thread", &report, &error), BERTH_OK, &error);
    CHECK_CONTAINS(report.quarantined, "threads that it has started");
    CHECK_INT(report.unmapped, 0);
    CHECK_CODE(reload("left_thread", &report, &error), BERTH_OK, &error);
    CHECK_CODE(reload("left_thread", &report, &error), BERTH_RESOURCE_EXHAUSTED, &error);
    CHECK_CONTAINS(error.text, "2 old images");
    CHECK_CONTAINS(error.text, "berth list --quarantined");
    CHECK_STR(berth_test_module(host, "left_thread", "generation"), "3");
    CHECK_STR(berth_test_module(host, "left_thread", "state"), "running");
    LOAD(host, "math", NULL); /* what is new may come */
    CHECK_CALL(host, "math.add", "[1,2]", "3");
    CHECK_CODE(reload("math", &report, &error), BERTH_RESOURCE_EXHAUSTED, &error);
    berth_host_free(host);
}

static void a_quarantine_is_full_of_bytes_too(void)
{
    struct berth_reload_report report;
    struct berth_error error;

    make_host(0, 1);
    LOAD(host, "left/thread", NULL);
    CHECK_CODE(reload("left_thread", &report, &error), BERTH_OK, &error);
    CHECK_CODE(reload("left_thread", &report, &error), BERTH_RESOURCE_EXHAUSTED, &error);
    CHECK_CONTAINS(error.text, "quarantine_bytes");
    berth_host_free(host);
}

static void a_place_in_the_quarantine_becomes_free(void)
{
    struct berth_reload_report report;
    struct berth_error error;

    make_host(1, 0);
    load_table();
    CHECK_CODE(berth_host_unload(host, "left_table", &error), BERTH_OK, &error);
    CHECK_CODE(reload("left_keeper", &report, &error), BERTH_RESOURCE_EXHAUSTED, &error);
    CALL(host, "left_keeper.put", "[0]"); /* looked at again before anything is refused */
    UNTIL(host, reload("left_keeper", &report, &error) == BERTH_OK);
    berth_host_free(host);
}

/* ---- The signal ---- */

static int grant(int number, struct berth_error *error)
{
    struct berth_host_options options = berth_test_host_options();
    berth_host *granted = NULL;

    options.scan_signal = number;
    int code = berth_host_new(&options, &granted, error);
    berth_host_free(granted);
    return code;
}

static void ignore(int number)
{
    (void)number;
}

static void a_signal_is_granted_once(void)
{
    struct berth_error error;

    CHECK_CODE(grant(SIGUSR1, &error), BERTH_INVALID_ARGUMENT, &error);
    CHECK_CONTAINS(error.text, "real-time");
    signal(SIGRTMIN + 1, ignore);
    CHECK_CODE(grant(SIGRTMIN + 1, &error), BERTH_FAILED_PRECONDITION, &error);
    CHECK_CONTAINS(error.text, "has a handler already");
    CHECK_CODE(grant(SIGRTMIN + 2, &error), BERTH_OK, &error);
    CHECK_CODE(grant(SIGRTMIN + 2, &error), BERTH_OK, &error); /* another host has the same */
    CHECK_CODE(grant(SIGRTMIN + 3, &error), BERTH_FAILED_PRECONDITION, &error);
    CHECK_INT(raise(SIGRTMIN + 2), 0); /* from others it does nothing */
}

static const struct berth_test tests[] = {
    { "what_is_left_is_told_and_goes_once_it_is_taken_back",
      what_is_left_is_told_and_goes_once_it_is_taken_back },
    { "what_cannot_be_looked_at_stays", what_cannot_be_looked_at_stays },
    { "a_file_is_looked_at_where_memory_may_not_be", a_file_is_looked_at_where_memory_may_not_be },
    { "a_module_that_others_have_called_goes", a_module_that_others_have_called_goes },
    { "what_is_unbound_keeps_no_address", what_is_unbound_keeps_no_address },
    { "a_full_quarantine_refuses_reloads", a_full_quarantine_refuses_reloads },
    { "a_quarantine_is_full_of_bytes_too", a_quarantine_is_full_of_bytes_too },
    { "a_place_in_the_quarantine_becomes_free", a_place_in_the_quarantine_becomes_free },
    { "a_signal_is_granted_once", a_signal_is_granted_once },
};

int main(int argc, char **argv)
{
    return berth_suite_main("quarantine", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
