/* SPDX-License-Identifier: MIT */
/*
 * An application with an allocator of its own: all that libberth takes comes from there, goes back
 * there, and is given back when hosts and threads have ended.
 */
#include "tests/support/hosting.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <berth/module.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define OURS         UINT64_C(0x6265727468206d65)

BERTH_MODULE("app", "1.0.0", "The application of this test.");
BERTH_PARALLEL;
BERTH_STRUCT(pair, (i64, first), (string, second));
BERTH_TOPIC("news.app", app, (string, text));

BERTH_EXPORT(pair, swap, "A struct, for a bound call.", (pair, given))
{
    given.second = berth_printf(ctx, "%s, %lld", given.second, (long long)given.first);
    return given;
}

/* ---- The allocator: knows its blocks, and fails on request ---- */

/* As large as the strictest alignment of malloc, which it must not spoil. */
union head {
    struct {
        uint64_t ours;
        size_t size;
    } is;
    long double aligned;
};

static struct {
    size_t blocks, bytes, asked,
        strange;    /* atomic: live blocks and bytes; those that are not ours */
    size_t fail_at; /* the asked-for block that there is no memory for, or 0 */
} heap;

static void *own_allocate(void *user, size_t size)
{
    CHECK(user == &heap && size > 0);
    if (__atomic_add_fetch(&heap.asked, 1, __ATOMIC_RELAXED) == heap.fail_at)
        return NULL;
    union head *head = malloc(sizeof(*head) + size);
    if (!head)
        return NULL;
    head->is.ours = OURS;
    head->is.size = size;
    memset(head + 1, 0xa5, size);
    __atomic_add_fetch(&heap.blocks, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&heap.bytes, size, __ATOMIC_RELAXED);
    return head + 1;
}

static void own_release(void *user, void *memory)
{
    union head *head = (union head *)memory - 1;
    CHECK(user == &heap);
    if (head->is.ours != OURS) {
        __atomic_add_fetch(&heap.strange, 1, __ATOMIC_RELAXED);
        return;
    }
    head->is.ours = 0;
    __atomic_sub_fetch(&heap.blocks, 1, __ATOMIC_RELAXED);
    __atomic_sub_fetch(&heap.bytes, head->is.size, __ATOMIC_RELAXED);
    free(head);
}

static void *own_reallocate(void *user, void *memory, size_t size)
{
    size_t had = ((union head *)memory - 1)->is.size;
    void *moved = own_allocate(user, size);
    if (!moved)
        return NULL;
    memcpy(moved, memory, had < size ? had : size);
    own_release(user, memory);
    return moved;
}

static const struct berth_allocator own = {
    .size = sizeof(own),
    .allocate = own_allocate,
    .reallocate = own_reallocate,
    .release = own_release,
    .user = &heap,
};

static size_t live(void)
{
    return __atomic_load_n(&heap.blocks, __ATOMIC_RELAXED);
}

/* ---- The tests: the first ones come before any memory ---- */

static void what_is_no_allocator_is_refused(void)
{
    struct berth_allocator wrong = own;
    struct berth_error error;

    wrong.size = 8;
    CHECK_INT(berth_set_allocator(&wrong, &error), BERTH_INVALID_ARGUMENT);
    CHECK_CONTAINS(error.text, "berth_allocator.size is 8");
    wrong = own;
    wrong.reallocate = NULL;
    CHECK_INT(berth_set_allocator(&wrong, NULL), BERTH_INVALID_ARGUMENT);
    berth_free(NULL);
}

static void it_is_set_once(void)
{
    struct berth_error error;

    CHECK_CODE(berth_set_allocator(&own, &error), BERTH_OK, &error);
    CHECK_INT(berth_set_allocator(&own, &error), BERTH_FAILED_PRECONDITION);
    CHECK_CONTAINS(error.text, "set already");
    CHECK_INT(heap.asked, 0);
}

BERTH_BOUND(pair, swap, (pair, given));

static void on_message(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    (void)ctx;
    (void)message;
    __atomic_add_fetch((size_t *)user, 1, __ATOMIC_RELAXED);
}

/* Everything that a host does, with texts that are the caller's. */
static void do_much(berth_host *host, const char *placement)
{
    struct berth_reload_report report = { .size = sizeof(report) };
    const struct berth_word words[] = { { "1", 1 }, { "b=2", 3 } };
    const struct berth_words_call call = { .size = sizeof(call), .words = words, .count = 2 };
    struct berth_words_result result;
    struct berth_error error;
    char *json = NULL, *text = NULL;

    LOAD(host, "math", placement);
    LOAD(host, "counter", placement);
    CHECK_CALL(host, "math.add", "{\"a\":1,\"b\":2}", "3");
    CHECK_FAILS(host, "counter.add", "[\"\\u0031\"]", BERTH_INVALID_ARGUMENT, "");
    CHECK_CODE(
        berth_host_reload(host, "counter", berth_test_fixture("counter_v2"), &report, &error),
        BERTH_OK, &error);
    berth_ctx *ctx = berth_host_enter(host);
    CHECK_INT(berth_call_words(ctx, "math.add", &call, &result), BERTH_OK);
    CHECK_STR(result.data, "3");
    berth_free(result.data);
    CHECK_INT(berth_call_json(ctx, "math.divide", "[1]", &json), BERTH_INVALID_ARGUMENT);
    berth_clear(ctx);
    CHECK_INT(berth_publish_json(ctx, "news.app", "[\"a\\tb\"]"), BERTH_OK);
    berth_leave(ctx);
    CHECK_CODE(berth_host_list(host, &json, &error), BERTH_OK, &error);
    berth_free(json);
    CHECK_CODE(berth_host_permissions(host, &json, &error), BERTH_OK, &error);
    berth_free(json);
    CHECK_CODE(berth_manifest_read(berth_test_fixture("math"), &json, &text, &error), BERTH_OK,
               &error);
    berth_free(json);
    berth_free(text);
    CHECK_CODE(berth_host_unload(host, "counter", &error), BERTH_OK, &error);
    CHECK_CODE(berth_host_unload(host, "math", &error), BERTH_OK, &error);
}

static void call_bound(berth_host *host)
{
    struct berth_error error;
    swap_bound swap;

    CHECK_CODE(berth_bind(host, "app.swap", swap, &swap, &error), BERTH_OK, &error);
    berth_ctx *ctx = berth_host_enter(host);
    CHECK_STR(swap_call(&swap, ctx, (berth_pair){ 7, "seven" }).second, "seven, 7");
    berth_leave(ctx);
    berth_unbind(host, &swap);
}

static void *live_a_host(void *unused)
{
    struct berth_host_options options = berth_test_host_options();
    struct berth_error error;
    uint64_t id;
    size_t heard = 0;

    (void)unused;
    options.flags = BERTH_HOST_CHECK_OWNERSHIP; /* and no image stays mapped, and is remembered */
    berth_host *host = berth_test_host(&options);
    CHECK_CODE(berth_host_provide(host, &berth_entry, &error), BERTH_OK, &error);
    CHECK_CODE(berth_host_subscribe(host, "news.>", on_message, &heard, &id, &error), BERTH_OK,
               &error);
    do_much(host, "inline");
    call_bound(host);
    if (!berth_test_valgrind())
        do_much(host, "process");
    EVENTUALLY(__atomic_load_n(&heard, __ATOMIC_RELAXED) > 0);
    CHECK(live() > 0);
    berth_host_free(host);
    return NULL;
}

/* A thread's own block goes with the thread. */
static void live_on_a_thread(void)
{
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, live_a_host, NULL) == 0);
    pthread_join(thread, NULL);
}

static void all_memory_comes_from_it_and_goes_back(void)
{
    live_on_a_thread(); /* what crash handlers look at stays, and is used again */
    size_t before = live();
    live_on_a_thread();
    CHECK(heap.asked > 100);
    /* Threads that nobody joins end a little later; sanitizers and valgrind keep images. */
    EVENTUALLY(live() == before || berth_test_instrumented());
    CHECK_INT(heap.strange, 0);
}

/* An application that gives memory back after its host. */
static void a_text_outlives_its_host(void)
{
    struct berth_error error;
    char *json = NULL;
    berth_host *host = berth_test_host(NULL);

    CHECK_CODE(berth_host_list(host, &json, &error), BERTH_OK, &error);
    berth_host_free(host);
    CHECK_CONTAINS(json, "\"modules\"");
    berth_free(json);
    CHECK_INT(heap.strange, 0);
}

static void its_failures_are_errors(void)
{
    struct berth_error error = { 0 };
    int code = BERTH_RESOURCE_EXHAUSTED;
    size_t failures = 0;

    for (size_t nth = 1; code != BERTH_OK && nth < 10000; nth++) {
        char *json = NULL;
        heap.fail_at = __atomic_load_n(&heap.asked, __ATOMIC_RELAXED) + nth;
        code = berth_manifest_read(berth_test_fixture("math"), &json, NULL, &error);
        heap.fail_at = 0;
        failures += code != BERTH_OK;
        CHECK(code == BERTH_OK || code == BERTH_RESOURCE_EXHAUSTED);
        berth_free(json);
    }
    CHECK(failures > 2);
}

/* Each is started by the one before, and answered: none of them keeps those that were before it. */
static void a_chain_of_calls_keeps_nothing(void)
{
    const long long length = berth_test_instrumented() ? 2000 : 20000;
    berth_host *host = berth_test_host(NULL);
    size_t before;

    LOAD(host, "relay", "inline");
    CHECK_CALL(host, "relay.go", "[true]", "null");
    CHECK_CALL(host, "relay.pass", "[]", "null");
    EVENTUALLY(CALL_INT(host, "relay.passed", "[]") > 100);
    before = live();
    EVENTUALLY(CALL_INT(host, "relay.passed", "[]") > length);
    CHECK(live() < before + (size_t)length / 10);
    CHECK_CALL(host, "relay.go", "[false]", "null");
    berth_host_free(host);
}

static const struct berth_test tests[] = {
    { "what_is_no_allocator_is_refused", what_is_no_allocator_is_refused },
    { "it_is_set_once", it_is_set_once },
    { "all_memory_comes_from_it_and_goes_back", all_memory_comes_from_it_and_goes_back },
    { "a_text_outlives_its_host", a_text_outlives_its_host },
    { "its_failures_are_errors", its_failures_are_errors },
    { "a_chain_of_calls_keeps_nothing", a_chain_of_calls_keeps_nothing },
};

int main(int argc, char **argv)
{
    return berth_suite_main("allocator", tests, COUNT(tests), argc, argv);
}
