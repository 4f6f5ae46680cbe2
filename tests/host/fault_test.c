/* SPDX-License-Identifier: MIT */
/*
 * Out of memory, at every place where memory is asked for: each operation is tried with its first
 * allocation failing, then its second, … until it needs no more. It must say so, leave everything
 * as it was, and leak nothing.
 */
#include "tests/support/fault.h"
#include "tests/support/hosting.h"
#include "tests/support/shortage.h"

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

BERTH_BOUND(string, hello, (string, name));

static berth_host *host;
static struct berth_error error;

static int load(const char *fixture, const char *placement)
{
    const struct berth_load_options options = { .size = sizeof(options), .placement = placement };
    return berth_host_load(host, fixture, &options, &error);
}

/* ---- Operations; the paths of fixtures are made before memory runs out ---- */

static const char *math_file, *counter_file, *next_file, *options_file, *chain_file;
static const char *all_files[2];

static int load_inline(void)
{
    return load(math_file, "inline");
}

static int load_with_options(void)
{
    const struct berth_load_options options = { .size = sizeof(options),
                                                .name = "named",
                                                .options = "{\"limit\":1,\"words\":[\"x\"]}" };
    return berth_host_load(host, options_file, &options, &error);
}

static int load_process(void)
{
    return load(math_file, "process");
}

static int load_all(void)
{
    return berth_host_load_all(host, all_files, NULL, 2, &error);
}

static int unload(const char *name)
{
    return berth_host_unload(host, name, &error);
}

static void unload_math(void)
{
    CHECK_CODE(unload("math"), BERTH_OK, &error);
}

static void unload_named(void)
{
    CHECK_CODE(unload("named"), BERTH_OK, &error);
}

static void unload_all(void)
{
    CHECK_CODE(unload("requirer"), BERTH_OK, &error);
    unload_math();
}

static int unload_publisher(void)
{
    return unload("publisher");
}

static void load_publisher(void)
{
    LOAD(host, "publisher", "inline");
}

static int reload(void)
{
    struct berth_reload_report report = { .size = sizeof(report) };
    int code = berth_host_reload(host, "counter", counter_file, &report, &error);
    CHECK(code == BERTH_OK ? !strcmp(report.step, "done") : strcmp(report.step, "done") != 0);
    return code;
}

static int reload_next(void)
{
    return berth_host_reload(host, "counter", next_file, NULL, &error);
}

static void reload_back(void)
{
    CHECK_CODE(berth_host_reload(host, "counter", counter_file, NULL, &error), BERTH_OK, &error);
}

/* Two of them, the second with a state. */
static int reload_both(void)
{
    static const char *const names[] = { "types", "counter" };
    return berth_host_reload_all(host, names, NULL, 2, NULL, &error);
}

static int dry_run(void)
{
    const struct berth_reload_options how = { .size = sizeof(how),
                                              .file = counter_file,
                                              .flags = BERTH_RELOAD_DRY_RUN };
    return berth_host_reload_with(host, "counter", &how, NULL, &error);
}

static int roll_back(void)
{
    return berth_host_rollback(host, "counter", 0, NULL, &error);
}

static int look_back(void)
{
    char *json = NULL;
    int code = berth_host_history(host, "counter", &json, &error);
    CHECK((json != NULL) == (code == BERTH_OK));
    free(json);
    return code;
}

static int take_state(void)
{
    char *json = NULL;
    int code = berth_host_snapshot(host, "counter", &json, &error);
    CHECK((json != NULL) == (code == BERTH_OK));
    free(json);
    return code;
}

static int give_state(void)
{
    return berth_host_restore(host, "counter",
                              "{\"module\":\"counter\",\"version\":\"1.0.0\",\"bytes\":8,"
                              "\"state_version\":1,\"state\":\"BwAAAAAAAAA=\"}",
                              NULL, &error);
}

static int reload_process(void)
{
    return berth_host_reload(host, "away", NULL, NULL, &error);
}

/* Makes a call that is known to fail only for memory. */
static int call(int (*make)(berth_ctx *))
{
    berth_ctx *ctx = berth_host_enter(host);
    if (!ctx)
        return BERTH_RESOURCE_EXHAUSTED;
    int code = make(ctx);
    CHECK_INT(berth_error_code(ctx), code);
    CHECK((berth_error_text(ctx)[0] != '\0') == (code != BERTH_OK));
    berth_clear(ctx);
    berth_leave(ctx);
    return code;
}

static int make_json_call(berth_ctx *ctx)
{
    char *result = NULL;
    int code = berth_call_json(ctx, "types.echo_path",
                               "[{\"points\":[{\"x\":1,\"y\":2}],\"last\":{\"from\":{\"x\":1,"
                               "\"y\":1},\"to\":{\"x\":2,\"y\":2},\"label\":\"l\"}}]",
                               &result);
    CHECK((result != NULL) == (code == BERTH_OK));
    free(result);
    return code;
}

static int call_json(void)
{
    return call(make_json_call);
}

static int make_named_call(berth_ctx *ctx)
{
    struct berth_value name = { .kind = BERTH_VALUE_STRING, .as.string = "me" }, text;
    int code = berth_call(ctx, "greet.hello", &name, 1, &text);
    if (code == BERTH_OK)
        CHECK_STR(text.as.string, "Hello, me");
    return code;
}

static int call_named(void)
{
    return call(make_named_call);
}

static int make_process_call(berth_ctx *ctx)
{
    struct berth_value name = { .kind = BERTH_VALUE_STRING, .as.string = "me" }, text;
    int code = berth_call(ctx, "away.hello", &name, 1, &text);
    if (code == BERTH_OK)
        CHECK_STR(text.as.string, "Hello, me");
    return code;
}

static int call_process(void)
{
    return call(make_process_call);
}

static int worker;

/* A reload has it restarted at once again. */
static void know_worker(void)
{
    CHECK_CODE(reload_process(), BERTH_OK, &error);
    worker = atoi(berth_test_module(host, "away", "pid"));
}

/* Calls find the dead one, or wait for the next one, if there is to be one soon. */
static int lose_worker(void)
{
    int code = BERTH_UNAVAILABLE;

    kill(worker, SIGKILL);
    for (int i = 0; i < 30 && code == BERTH_UNAVAILABLE; i++) {
        code = call_process();
        berth_test_pause(1);
    }
    return code;
}

static int make_chained_call(berth_ctx *ctx)
{
    struct berth_value so_far = { .kind = BERTH_VALUE_STRING, .as.string = "" }, path;
    int code = berth_call(ctx, "chain_b.path", &so_far, 1, &path);
    if (code == BERTH_OK)
        CHECK_STR(path.as.string, "bc");
    return code;
}

static int call_chained(void)
{
    return call(make_chained_call);
}

static int make_words_call(berth_ctx *ctx)
{
    static const struct berth_word word = { .data = "{\"x\":1,\"y\":2}", .size = 13 };
    const struct berth_words_call words = { .size = sizeof(words), .words = &word, .count = 1 };
    struct berth_words_result result = { 0 };
    int code = berth_call_words(ctx, "types.echo_point", &words, &result);
    CHECK((result.data != NULL) == (code == BERTH_OK));
    free(result.data);
    return code;
}

static int call_words(void)
{
    return call(make_words_call);
}

static int make_bound_call(berth_ctx *ctx)
{
    static hello_bound hello;
    struct berth_error failed;
    int code = berth_bind(host, "greet.hello", hello, &hello, &failed);
    if (code != BERTH_OK) {
        CHECK_CODE(code, BERTH_RESOURCE_EXHAUSTED, &failed);
        berth_fail(ctx, code, "%s", failed.text);
        return code;
    }
    const char *text = hello_call(&hello, ctx, "me");
    code = berth_error_code(ctx);
    CHECK_STR(text, code ? "" : "Hello, me");
    berth_unbind(host, &hello);
    return code;
}

static int call_bound(void)
{
    return call(make_bound_call);
}

/* ---- started calls: what fails is told, and then nothing is left of it ---- */

/* Whatever is not answered with the host's work done is lost. */
static int take_started(berth_ctx *ctx, berth_pending call, const char *expected)
{
    char *text = NULL;
    int code = berth_call_take_json(ctx, call, &text);
    CHECK((text != NULL) == (code == BERTH_OK));
    if (code == BERTH_OK)
        CHECK_STR(text, expected);
    free(text);
    return code;
}

static int make_started_json(berth_ctx *ctx)
{
    berth_pending call = { 0 };
    int code = berth_call_start_json(ctx, "greet.hello", "[\"me\"]", NULL, &call);
    CHECK((call.id != 0) == (code == BERTH_OK));
    return code == BERTH_OK ? take_started(ctx, call, "\"Hello, me\"") : code;
}

static int start_json(void)
{
    return call(make_started_json);
}

static int make_started_values(berth_ctx *ctx)
{
    const struct berth_value name = { .kind = BERTH_VALUE_STRING, .as.string = "me" };
    struct berth_value text;
    berth_pending call = { 0 };
    int code = berth_call_start(ctx, "greet.hello", &name, 1, NULL, &call);
    CHECK((call.id != 0) == (code == BERTH_OK));
    if (code == BERTH_OK)
        code = berth_call_take(ctx, call, &text);
    if (code == BERTH_OK)
        CHECK_STR(text.as.string, "Hello, me");
    return code;
}

static int start_values(void)
{
    return call(make_started_values);
}

static int make_started_words(berth_ctx *ctx)
{
    static const struct berth_word word = { .data = "me", .size = 2 };
    const struct berth_words_call words = { .size = sizeof(words), .words = &word, .count = 1 };
    struct berth_words_result result = { 0 };
    berth_pending call = { 0 };
    int code = berth_call_start_words(ctx, "greet.hello", &words, NULL, &call);
    CHECK((call.id != 0) == (code == BERTH_OK));
    if (code == BERTH_OK)
        code = berth_call_take_words(ctx, call, &result);
    if (code == BERTH_OK)
        CHECK_STR(result.data, "Hello, me");
    free(result.data);
    return code;
}

static int start_words(void)
{
    return call(make_started_words);
}

/* A kept call: 1, 2, 3, and then its answer, or a failure. */
static int make_stream(berth_ctx *ctx)
{
    berth_pending call = { 0 };
    char *value = NULL;
    long count = 0;
    int code = berth_call_start_json(ctx, "later.count", "[3]", NULL, &call);
    if (code != BERTH_OK)
        return code;
    while ((code = berth_call_next_json(ctx, call, &value)) == BERTH_OK && value) {
        CHECK_INT(strtol(value, NULL, 10), ++count);
        free(value);
    }
    if (code != BERTH_OK) {
        berth_call_drop(ctx, call);
        return code;
    }
    code = take_started(ctx, call, "3");
    CHECK(code != BERTH_OK || count == 3);
    return code;
}

static int stream(void)
{
    return call(make_stream);
}

/* By a module: of its own, with several replies. */
static int make_module_stream(berth_ctx *ctx)
{
    char *total = NULL;
    int code = berth_call_json(ctx, "ahead.total", "[3]", &total);
    if (code == BERTH_OK)
        CHECK_STR(total, "6");
    free(total);
    return code;
}

static int module_stream(void)
{
    return call(make_module_stream);
}

static int find_function(void)
{
    berth_function *function = NULL;
    int code = berth_function_find(host, "types.echo_all", &function, &error);
    CHECK((function != NULL) == (code == BERTH_OK));
    berth_function_free(function);
    return code;
}

static int make_publish(berth_ctx *ctx)
{
    return berth_publish_json(ctx, "news.text", "{\"text\":\"t\",\"number\":1}");
}

static int publish(void)
{
    return call(make_publish);
}

static void hear(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    (void)ctx;
    (void)message;
    ++*(int *)user;
}

static int subscribe_in_group(void)
{
    static int count;
    const struct berth_subscribe_options options = {
        .size = sizeof(options), .full = BERTH_FULL_DROP_OLDEST, .tries = 2, .group = "ears"
    };
    uint64_t id = 0;
    int code = berth_host_subscribe_with(host, "news.*", &options, hear, &count, &id, &error);
    CHECK((id != 0) == (code == BERTH_OK));
    if (id)
        berth_host_unsubscribe(host, id);
    return code;
}

static int subscribe(void)
{
    static int count;
    uint64_t id = 0;
    int code = berth_host_subscribe(host, "news.>", hear, &count, &id, &error);
    CHECK((id != 0) == (code == BERTH_OK));
    if (id)
        berth_host_unsubscribe(host, id);
    return code;
}

/* A message that is there when memory runs out: whatever becomes of it, the next one is handled. */
static int dispatch(void)
{
    for (int i = 0; i < 20; i++)
        berth_host_dispatch(host, 0);
    return BERTH_OK;
}

static void send_next(void)
{
    CHECK_CALL(host, "publisher.text", "[\"x\",0]", "null");
}

static int list(void)
{
    char *json = NULL;
    int code = berth_host_list(host, &json, &error);
    free(json);
    return code;
}

static int show(void)
{
    char *json = NULL;
    int code = berth_host_show(host, "types", &json, &error);
    free(json);
    return code;
}

static int read_manifest(void)
{
    char *json = NULL, *text = NULL;
    int code = berth_manifest_read(options_file, &json, &text, &error);
    CHECK((json != NULL) == (code == BERTH_OK) && (text != NULL) == (code == BERTH_OK));
    free(json);
    free(text);
    return code;
}

/* Rules for more modules than there are, so that there is much to remember. */
static int permit(void)
{
    return berth_host_permit(host,
                             "{\"mode\":\"listed\",\"record\":true,\"grants\":{\"x\":{\"call\":"
                             "[\"y.*\"]},\"chain_b\":{\"call\":[\"chain_c.*\"]},\"*\":{"
                             "\"publish\":[\">\"],\"subscribe\":[\"a\",\"news.>\"]}}}",
                             &error);
}

static void permit_all(void)
{
    CHECK_CODE(berth_host_permit(host, NULL, &error), BERTH_OK, &error);
}

static int load_granted(void)
{
    return load(chain_file, "inline");
}

static void unload_granted(void)
{
    CHECK_CODE(unload("chain_a"), BERTH_OK, &error);
    permit_all();
}

static void grant_chain(void)
{
    CHECK_CODE(berth_host_permit(host,
                                 "{\"mode\":\"listed\",\"grants\":{\"*\":{\"call\":[\"*\"],"
                                 "\"publish\":[\">\"],\"subscribe\":[\">\"]}}}",
                                 &error),
               BERTH_OK, &error);
}

/* A refusal has much to say; what it has no memory to say is that. */
static int load_refused(void)
{
    int code = load(chain_file, "inline");
    return code == BERTH_PERMISSION_DENIED ? BERTH_OK : code;
}

static void unload_refused(void) /* without the policy, which the first try does not have */
{
    berth_host_unload(host, "chain_a", NULL);
    permit_all();
}

static void grant_nothing(void)
{
    CHECK_CODE(berth_host_permit(host,
                                 "{\"mode\":\"listed\",\"grants\":{\"chain_b\":{\"call\":"
                                 "[\"*\"]}}}",
                                 &error),
               BERTH_OK, &error);
}

static int make_host_call(berth_ctx *ctx)
{
    char *result = NULL;
    int code = berth_call_json(ctx, "asker.call", "[\"chain_c.half\",[3]]", &result);
    CHECK((result != NULL) == (code == BERTH_OK));
    free(result);
    return code;
}

static int call_through_host(void)
{
    return call(make_host_call);
}

static void grant_asker(void)
{
    CHECK_CODE(berth_host_permit(host,
                                 "{\"mode\":\"listed\",\"record\":true,\"grants\":{\"asker\":{"
                                 "\"call\":[\"host.*\",\"chain_c.half\"]},\"chain_b\":{\"call\":"
                                 "[\"*\"]}}}",
                                 &error),
               BERTH_OK, &error);
}

static int permissions(void)
{
    char *json = NULL;
    int code = berth_host_permissions(host, &json, &error);
    CHECK((json != NULL) == (code == BERTH_OK));
    free(json);
    return code;
}

static int new_host(void)
{
    struct berth_host_options options;
    berth_host *made = NULL;
    berth_host_options_init(&options);
    options.threads = 0;
    options.permissions = "{\"mode\":\"listed\",\"grants\":{\"a\":{\"call\":[\"b.c\"]}}}";
    int code = berth_host_new(&options, &made, &error);
    CHECK((made != NULL) == (code == BERTH_OK));
    berth_host_free(made);
    return code;
}

static int new_host_with_threads(void)
{
    struct berth_host_options options;
    berth_host *made = NULL;
    berth_host_options_init(&options);
    options.threads = 2;
    int code = berth_host_new(&options, &made, &error);
    berth_host_free(made);
    return code;
}

/* ---- Trying them ---- */

static void set_up(const struct berth_shortage *shortage, bool with_worker)
{
    math_file = berth_test_fixture("math");
    next_file = berth_test_fixture("counter");
    counter_file = berth_test_fixture("counter_v2");
    options_file = berth_test_fixture("options");
    chain_file = berth_test_fixture("chain_a");
    all_files[0] = berth_test_fixture("requirer");
    all_files[1] = math_file;
    host = berth_scarce_host(shortage, with_worker);
    LOAD(host, "counter", "inline");
    LOAD(host, "types", "inline");
    LOAD(host, "greet", "inline");
    LOAD(host, "chain_b", "inline");
    LOAD(host, "chain_c", "inline");
    LOAD(host, "publisher", "inline");
    LOAD(host, "subscriber", "inline");
    LOAD(host, "asker", "inline");
    LOAD(host, "later", "inline");
    LOAD(host, "ahead", "inline");
    CHECK_CALL(host, "counter.add", "[7]", "7");
}

static void check_serves(void)
{
    CHECK_CALL(host, "counter.get", "[]", "7");
    CHECK_CALL(host, "greet.hello", "[\"you\"]", "\"Hello, you\"");
    CHECK_CALL(host, "chain_b.half", "[3]", "1.5");
}

/* One that answers is none that has ended without anybody having noticed. */
static bool worker_answers(void)
{
    if (!strcmp(berth_test_module(host, "away", "state"), "failed"))
        berth_host_reload(host, "away", NULL, NULL, NULL); /* it has died too often */
    return !berth_test_try(host, "away.hello", "[\"you\"]", 0, NULL, &(struct berth_error){ 0 });
}

/* One that could not be made, or restarted, or that a reload has not left. */
static void wait_for_worker(void)
{
    UNTIL(host, worker_answers());
}

static void try_operations_with(const struct berth_shortage *one, const struct berth_shortage *all,
                                const struct berth_operation *operations, size_t count,
                                void (*recover)(void))
{
    unsigned long refused = 0; /* calls and messages need no memory of their own, as a rule */
    bool others = one->where != BERTH_SHORT_ON_THREAD; /* which allocate meanwhile */

    set_up(one, recover == wait_for_worker);
    const struct berth_scarce scarce = { host, recover, check_serves,
                                         others ? LONG_MAX : recover == permit_all };
    for (size_t i = 0; i < count; i++) {
        refused += berth_scarce_try(&scarce, &operations[i], one);
        refused += berth_scarce_try(&scarce, &operations[i], all);
    }
    CHECK(refused > 0);
    berth_host_free(host);
}

static void try_operations(const struct berth_operation *operations, size_t count,
                           void (*recover)(void))
{
    try_operations_with(&berth_short_of_block, &berth_short_of_memory, operations, count, recover);
}

static void loading(void)
{
    static const struct berth_operation operations[] = {
        { "load", load_inline, unload_math, NULL },
        { "load with options", load_with_options, unload_named, NULL },
        { "load all", load_all, unload_all, NULL },
    };
    try_operations(operations, COUNT(operations), NULL);
}

static void unloading(void)
{
    static const struct berth_operation operations[] = {
        { "unload", unload_publisher, load_publisher, NULL },
    };
    try_operations(operations, COUNT(operations), NULL);
}

static void calling(void)
{
    static const struct berth_operation operations[] = {
        { "call by JSON", call_json, NULL, NULL },
        { "call by name", call_named, NULL, NULL },
        { "call in words", call_words, NULL, NULL },
        { "bound call", call_bound, NULL, NULL },
        { "chained call", call_chained, NULL, NULL },
        { "find a function", find_function, NULL, NULL },
    };
    try_operations(operations, COUNT(operations), NULL);
}

static void starting(void)
{
    static const struct berth_operation operations[] = {
        { "start a call by JSON", start_json, NULL, NULL },
        { "start a call by values", start_values, NULL, NULL },
        { "start a call in words", start_words, NULL, NULL },
        { "a stream", stream, NULL, NULL },
        { "a stream of a module's", module_stream, NULL, NULL },
    };
    try_operations(operations, COUNT(operations), NULL);
}

static void messages(void)
{
    static const struct berth_operation operations[] = {
        { "publish", publish, NULL, NULL },
        { "subscribe", subscribe, NULL, NULL },
        { "subscribe_in_group", subscribe_in_group, NULL, NULL },
        { "dispatch", dispatch, NULL, send_next },
    };
    try_operations(operations, COUNT(operations), NULL);
}

static void reloading(void)
{
    static const struct berth_operation operations[] = {
        { "reload", reload, NULL, NULL },
        { "reload by another image", reload_next, reload_back, NULL },
        { "look back", look_back, NULL, NULL },
        { "roll back", roll_back, NULL, NULL },
        { "reload two", reload_both, NULL, NULL },
        { "dry run", dry_run, NULL, NULL },
        { "take a state", take_state, NULL, NULL },
        { "give a state", give_state, NULL, NULL },
    };
    try_operations(operations, COUNT(operations), NULL);
}

static const struct berth_operation worker_operations[] = {
    { "load in a worker", load_process, unload_math, NULL },
    { "call a worker", call_process, NULL, NULL },
    { "reload a worker", reload_process, NULL, NULL },
    { "restart a worker", lose_worker, NULL, know_worker }, /* not by the test's thread */
};

static void workers(void)
{
    try_operations(worker_operations, COUNT(worker_operations) - 1, wait_for_worker);
}

static void the_host_of_workers(void)
{
    try_operations_with(&berth_host_short_of_block, &berth_host_short_of_memory, worker_operations,
                        COUNT(worker_operations), wait_for_worker);
}

static void in_workers(void)
{
#ifdef __SANITIZE_ADDRESS__
    berth_skip("AddressSanitizer itself ends a worker that has no memory for a thread");
#else
    try_operations_with(&berth_workers_short_of_block, &berth_workers_short_of_memory,
                        worker_operations, COUNT(worker_operations), wait_for_worker);
#endif
}

static void permitting(void)
{
    static const struct berth_operation operations[] = {
        { "permit", permit, permit_all, NULL },
        { "load what is granted", load_granted, unload_granted, grant_chain },
        { "refuse what is not", load_refused, unload_refused, grant_nothing },
        { "permissions", permissions, permit_all, grant_nothing },
        { "ask for a caller", call_through_host, permit_all, grant_asker },
    };
    try_operations(operations, COUNT(operations), permit_all); /* and nothing recorded */
}

static void asking(void)
{
    static const struct berth_operation operations[] = {
        { "list", list, NULL, NULL },
        { "show", show, NULL, NULL },
        { "read a manifest", read_manifest, NULL, NULL },
        { "a new host", new_host, NULL, NULL },
        { "a new host with threads", new_host_with_threads, NULL, NULL },
    };
    try_operations(operations, COUNT(operations), NULL);
}

/* What is left when all has gone, over many failures: nothing. */
static void nothing_leaks(void)
{
    long live = 0;

    for (int round = 0; round < 4; round++) {
        set_up(&berth_short_of_memory, false);
        for (unsigned long k = 1; k < 60; k++) {
            berth_fault_arm(k, false);
            if (load_inline() == BERTH_OK) {
                berth_fault_disarm();
                unload_math();
            }
            berth_fault_disarm();
            berth_fault_arm(k, false);
            call_json();
            berth_fault_disarm();
        }
        berth_host_free(host);
        berth_scratch_clear();
        if (round == 1)
            live = berth_fault_live();
    }
    if (!berth_test_instrumented())
        CHECK(berth_fault_live() <= live);
    berth_note("%ld blocks, then %ld", live, berth_fault_live());
}

/* The same thread is inside of both when there is no memory to say what went wrong. */
static void errors_of_two_hosts(void)
{
    if (!berth_fault_works())
        berth_skip("allocations cannot be made to fail here");
    berth_host *other = berth_test_host(NULL);
    host = berth_test_host(NULL);
    for (int i = 0; i < 2; i++) {
        berth_ctx *outer = berth_host_enter(other), *inner = berth_host_enter(host);
        REQUIRE(outer && inner);
        berth_fail(outer, BERTH_NOT_FOUND, "with words");
        berth_fault_arm(1, true);
        berth_fail(inner, BERTH_ABORTED, "not heard");
        berth_fail(outer, BERTH_DATA_LOSS, "not heard");
        CHECK(berth_fault_disarm());
        CHECK_INT(berth_error_code(inner), BERTH_ABORTED);
        CHECK_INT(berth_error_code(outer), BERTH_DATA_LOSS);
        berth_clear(inner);
        CHECK(!berth_failed(inner));
        CHECK_INT(berth_error_code(outer), BERTH_DATA_LOSS);
        CHECK_STR(berth_error_text(outer), "out of memory");
        berth_leave(inner);
        berth_leave(outer);
    }
    berth_host_free(host);
    berth_host_free(other);
}

static const struct berth_test tests[] = {
    { "asking", asking },
    { "loading", loading },
    { "unloading", unloading },
    { "calling", calling },
    { "starting", starting },
    { "messages", messages },
    { "reloading", reloading },
    { "workers", workers },
    { "the_host_of_workers", the_host_of_workers },
    { "in_workers", in_workers },
    { "nothing_leaks", nothing_leaks },
    { "permitting", permitting },
    { "errors_of_two_hosts", errors_of_two_hosts },
};

int main(int argc, char **argv)
{
    return berth_suite_main("fault", tests, COUNT(tests), argc, argv);
}
