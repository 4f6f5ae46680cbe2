/* SPDX-License-Identifier: MIT */
/*
 * Everything at once, from several threads, by a seed: load, unload, reload, call in each way,
 * publish, subscribe. Calls may be refused in the ways that are to be expected; a wrong answer, a
 * hang, a leak or a crash is a failure.
 */
#include "tests/support/hosting.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { THREADS = 4 };

BERTH_BOUND(f64, add, (f64, a), (f64, b));
BERTH_BOUND(f64, half, (f64, x));
BERTH_BOUND(u64, sum, (u64, n));

static struct {
    berth_host *host;
    const char *files[8]; /* of the modules below */
    int steps, with_workers;
    uint64_t good, refused; /* atomic */
} stress;

/* Each module's next file is the same or, for the counter, another version. */
static const struct {
    const char *name, *fixture;
} modules[] = {
    { "math", "math" },
    { "chain_a", "chain_a" },
    { "chain_b", "chain_b" },
    { "chain_c", "chain_c" },
    { "counter", "counter" },
    { "publisher", "publisher" },
    { "subscriber", "subscriber" },
    { "greet", "greet" },
};

struct worker {
    pthread_t thread;
    uint64_t seed;
    add_bound add;
    half_bound half;
    sum_bound sum;
    bool add_bound, half_bound, sum_bound;
};

static uint64_t draw(struct worker *worker, uint64_t limit)
{
    worker->seed ^= worker->seed << 13;
    worker->seed ^= worker->seed >> 7;
    worker->seed ^= worker->seed << 17;
    return (worker->seed >> 20) % limit;
}

/* Whether it went well; what may go wrong is that somebody else changes the host. */
static bool fine(int code, const char *what, const char *text)
{
    switch (code) {
    case BERTH_OK:
        __atomic_add_fetch(&stress.good, 1, __ATOMIC_RELAXED);
        return true;
    case BERTH_NOT_FOUND:
    case BERTH_ALREADY_EXISTS:
    case BERTH_UNAVAILABLE:
    case BERTH_ABORTED:
    case BERTH_FAILED_PRECONDITION:
    case BERTH_RESOURCE_EXHAUSTED: /* a mailbox */
        __atomic_add_fetch(&stress.refused, 1, __ATOMIC_RELAXED);
        CHECK(text[0] != '\0');
        return false;
    default:
        berth_note("%s: %d: %s", what, code, text);
        CHECK_INT(code, BERTH_OK);
        return false;
    }
}

static bool call_fine(berth_ctx *ctx, const char *what)
{
    bool good = fine(berth_error_code(ctx), what, berth_error_text(ctx));
    berth_clear(ctx);
    return good;
}

/* ---- Steps ---- */

static void step_load(struct worker *worker)
{
    size_t i = draw(worker, COUNT(modules));
    bool process = stress.with_workers && draw(worker, 8) == 0;
    const struct berth_load_options options = { .size = sizeof(options),
                                                .placement = process ? "process" : "inline" };
    struct berth_error error = { 0 };

    fine(berth_host_load(stress.host, stress.files[i], &options, &error), "load", error.text);
}

static void step_unload(struct worker *worker)
{
    struct berth_error error = { 0 };
    fine(berth_host_unload(stress.host, modules[draw(worker, COUNT(modules))].name, &error),
         "unload", error.text);
}

static void step_reload(struct worker *worker)
{
    struct berth_error error = { 0 };
    struct berth_reload_report report = { .size = sizeof(report) };
    int code = berth_host_reload(stress.host, modules[draw(worker, COUNT(modules))].name, NULL,
                                 &report, &error);
    if (fine(code, "reload", error.text))
        CHECK_STR(report.step, "done");
}

static void step_bind(struct worker *worker)
{
    struct berth_error error = { 0 };

    if (worker->add_bound)
        berth_unbind(stress.host, &worker->add);
    worker->add_bound =
        fine(berth_bind(stress.host, "math.add", add, &worker->add, &error), "bind", error.text);
    if (worker->half_bound)
        berth_unbind(stress.host, &worker->half);
    worker->half_bound = fine(berth_bind(stress.host, "chain_a.half", half, &worker->half, &error),
                              "bind", error.text);
    if (worker->sum_bound)
        berth_unbind(stress.host, &worker->sum);
    worker->sum_bound =
        fine(berth_bind(stress.host, "counter.add", sum, &worker->sum, &error), "bind", error.text);
}

static void step_bound_calls(struct worker *worker)
{
    berth_ctx *ctx = berth_host_enter(stress.host);

    for (int i = 0; i < 20; i++) {
        double x = (double)draw(worker, 1000);
        if (worker->add_bound) {
            double sum = add_call(&worker->add, ctx, x, 1);
            if (call_fine(ctx, "math.add"))
                CHECK(sum == x + 1);
        }
        if (worker->half_bound) {
            double half = half_call(&worker->half, ctx, x);
            if (call_fine(ctx, "chain_a.half"))
                CHECK(half == x / 2);
        }
        if (worker->sum_bound) {
            uint64_t sum = sum_call(&worker->sum, ctx, 1);
            if (call_fine(ctx, "counter.add"))
                CHECK(sum > 0);
        }
    }
    berth_leave(ctx);
}

static void step_named_calls(struct worker *worker)
{
    berth_ctx *ctx = berth_host_enter(stress.host);
    char name[32], expected[64];
    struct berth_value in = { .kind = BERTH_VALUE_STRING, .as.string = name }, out;

    snprintf(name, sizeof(name), "%d", (int)draw(worker, 100000));
    snprintf(expected, sizeof(expected), "Hello, %s", name);
    if (berth_call(ctx, "greet.hello", &in, 1, &out) == BERTH_OK)
        CHECK_STR(out.as.string, expected);
    call_fine(ctx, "greet.hello");
    snprintf(expected, sizeof(expected), "%sabc", name);
    if (berth_call(ctx, "chain_a.path", &in, 1, &out) == BERTH_OK)
        CHECK_STR(out.as.string, expected);
    call_fine(ctx, "chain_a.path");
    berth_leave(ctx);
}

static void step_function(struct worker *worker)
{
    struct berth_error error = { 0 };
    berth_function *add;
    double a = (double)draw(worker, 100), b = 0.5, sum = 0;

    if (!fine(berth_function_find(stress.host, "math.add", &add, &error), "find", error.text))
        return;
    berth_ctx *ctx = berth_host_enter(stress.host);
    for (int i = 0; i < 10; i++) {
        berth_function_invoke(add, ctx, (const void *const[]){ &a, &b }, &sum);
        if (call_fine(ctx, "math.add"))
            CHECK(sum == a + b);
    }
    berth_leave(ctx);
    berth_function_free(add);
}

static void step_publish(struct worker *worker)
{
    berth_ctx *ctx = berth_host_enter(stress.host);
    struct berth_value count = { .kind = BERTH_VALUE_I64, .as.i64 = (int64_t)draw(worker, 5) };

    berth_call(ctx, "publisher.burst", &count, 1, NULL);
    call_fine(ctx, "publisher.burst");
    berth_publish_json(ctx, "news.bell", NULL);
    call_fine(ctx, "news.bell");
    berth_leave(ctx);
}

static void hear(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    (void)ctx;
    CHECK(!strncmp(message->topic, "news.", 5));
    ++*(int *)user; /* one at a time, or TSan tells */
}

static void step_subscribe(struct worker *worker)
{
    struct berth_error error = { 0 };
    int *count = calloc(1, sizeof(*count));
    uint64_t id;

    if (fine(berth_host_subscribe(stress.host, "news.*", hear, count, &id, &error), "subscribe",
             error.text)) {
        usleep((useconds_t)draw(worker, 2000));
        berth_host_unsubscribe(stress.host, id);
    }
    free(count);
}

static void step_look(struct worker *worker)
{
    struct berth_error error = { 0 };
    char *json = NULL;

    fine(berth_host_list(stress.host, &json, &error), "list", error.text);
    free(json);
    json = NULL;
    fine(berth_host_show(stress.host, modules[draw(worker, COUNT(modules))].name, &json, &error),
         "show", error.text);
    free(json);
    berth_host_dispatch(stress.host, 0);
}

static void *work(void *argument)
{
    static void (*const steps[])(struct worker *) = {
        step_load,        step_load,        step_load,        step_unload,      step_reload,
        step_bind,        step_bound_calls, step_bound_calls, step_bound_calls, step_named_calls,
        step_named_calls, step_function,    step_publish,     step_subscribe,   step_look,
    };
    struct worker *worker = argument;

    for (int i = 0; i < stress.steps; i++)
        steps[draw(worker, COUNT(steps))](worker);
    if (worker->add_bound)
        berth_unbind(stress.host, &worker->add);
    if (worker->half_bound)
        berth_unbind(stress.host, &worker->half);
    if (worker->sum_bound)
        berth_unbind(stress.host, &worker->sum);
    return NULL;
}

static void run(int threads, int steps, bool with_workers)
{
    struct worker workers[THREADS];
    size_t descriptors = berth_test_descriptors();
    struct berth_host_options options = berth_test_host_options();
    struct berth_error error;

    options.threads = threads;
    options.log_level = BERTH_LOG_WARNING;
    stress.host = berth_test_host(&options);
    stress.steps = steps;
    stress.with_workers = with_workers;
    stress.good = stress.refused = 0;
    for (size_t i = 0; i < COUNT(modules); i++) {
        stress.files[i] = berth_test_fixture(modules[i].fixture);
        LOAD(stress.host, modules[i].fixture, "inline");
    }
    for (size_t i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){ .seed = berth_test_random() | 1 };
        pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    for (size_t i = 0; i < COUNT(modules); i++)
        if (berth_test_module(stress.host, modules[i].name, "state")[0])
            CHECK_CODE(berth_host_unload(stress.host, modules[i].name, &error), BERTH_OK, &error);
    CHECK(stress.good > (uint64_t)steps);
    berth_note("%llu fine, %llu refused", (unsigned long long)stress.good,
               (unsigned long long)stress.refused);
    berth_host_free(stress.host);
    if (!berth_test_instrumented()) /* else images are kept, each with its descriptor */
        CHECK_INT(berth_test_descriptors(), descriptors);
}

static void with_threads(void)
{
    run(2, berth_test_instrumented() ? 150 : 600, false);
}

static void without_threads(void)
{
    run(0, berth_test_instrumented() ? 150 : 600, false);
}

static void with_workers(void)
{
    if (berth_test_valgrind())
        berth_skip("valgrind cannot follow a worker");
    run(2, berth_test_instrumented() ? 60 : 200, true);
}

static const struct berth_test tests[] = {
    { "with_threads", with_threads },
    { "without_threads", without_threads },
    { "with_workers", with_workers },
};

int main(int argc, char **argv)
{
    return berth_suite_main("stress", tests, COUNT(tests), argc, argv);
}
