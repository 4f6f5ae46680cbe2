/* SPDX-License-Identifier: MIT */
/*
 * An application that forks while its hosts work: the child may only exec or end, and is told so;
 * the parent notices nothing.
 */
#include "tests/support/hosting.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CHILDREN     24
#define CALLERS      3

BERTH_BOUND(u64, add, (u64, n));

static berth_host *host;

/* ---- In the child: no checks of CUnit, whose lock another thread may have held ---- */

/* The line of the first expectation that is not met is the child's status. */
#define EXPECT(condition)          \
    do {                           \
        if (!(condition))          \
            _exit(__LINE__ & 127); \
    } while (0)

static void expect_refusal(int code, const struct berth_error *error)
{
    char whose[64];

    snprintf(whose, sizeof(whose), "belongs to process %d:", (int)getppid());
    EXPECT(code == BERTH_FAILED_PRECONDITION);
    EXPECT(strstr(error->text, whose) && strstr(error->text, "only exec or _exit"));
}
#define REFUSED(call)                     \
    do {                                  \
        struct berth_error error = { 0 }; \
        int berth_c = (call);             \
        expect_refusal(berth_c, &error);  \
    } while (0)

static void nothing(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    (void)ctx;
    (void)message;
    (void)user;
}

/* What concerns the host, and needs no ctx. */
static void use_host(const char *file, add_bound *bound, berth_function *function)
{
    struct berth_link unused = { 0 };
    berth_host *another;
    char *text;
    uint64_t id;

    REFUSED(berth_host_new(NULL, &another, &error));
    REFUSED(berth_host_load(host, file, NULL, &error));
    REFUSED(berth_host_load_all(host, &file, NULL, 1, &error));
    REFUSED(berth_host_unload(host, "counter", &error));
    REFUSED(berth_host_reload(host, "counter", NULL, NULL, &error));
    REFUSED(berth_host_provide(host, NULL, &error));
    REFUSED(berth_host_list(host, &text, &error));
    REFUSED(berth_host_stats(host, &text, &error));
    REFUSED(berth_host_show(host, "counter", &text, &error));
    REFUSED(berth_host_permit(host, NULL, &error));
    REFUSED(berth_host_permissions(host, &text, &error));
    REFUSED(berth_host_set_log_level(host, "", BERTH_LOG_DEBUG, &error));
    REFUSED(berth_host_set_call_timeout(host, "", 1, &error));
    REFUSED(berth_host_check(host, 1000, &error));
    REFUSED(berth_host_subscribe(host, ">", nothing, NULL, &id, &error));
    REFUSED(berth_host_bind(host, "counter.add", "", 0, &unused, &error));
    REFUSED(berth_function_find(host, "counter.add", &function, &error));
    EXPECT(!berth_host_enter(host));
    EXPECT(berth_host_dispatch(host, 1000) == -1);
    berth_host_count_all(host, true);
    berth_host_unsubscribe(host, 1);
    berth_unbind(host, bound);
    berth_function_free(function);
}

static void expect_failed(berth_ctx *ctx)
{
    struct berth_error error;
    EXPECT(berth_failed(ctx));
    snprintf(error.text, sizeof(error.text), "%s", berth_error_text(ctx));
    expect_refusal(berth_error_code(ctx), &error);
    berth_clear(ctx);
    EXPECT(!berth_failed(ctx));
}

/* What a thread that had entered before the fork may try with its ctx. */
static void use_ctx(berth_ctx *ctx, add_bound *bound, berth_function *function)
{
    const struct berth_word word = { "1", 1 };
    const struct berth_words_call words = { .size = sizeof(words), .words = &word, .count = 1 };
    const struct berth_value one = { .kind = BERTH_VALUE_U64, .as = { .u64 = 1 } };
    struct berth_words_result printed;
    struct berth_value result;
    uint64_t n = 1;
    const void *places[] = { &n };
    char *text = NULL;

    EXPECT(berth_call(ctx, "counter.add", &one, 1, &result));
    expect_failed(ctx);
    EXPECT(berth_call_json(ctx, "away.get", "[]", &text) && !text);
    expect_failed(ctx);
    EXPECT(berth_call_words(ctx, "counter.add", &words, &printed) && !printed.data);
    expect_failed(ctx);
    EXPECT(berth_publish_json(ctx, "news.text", "[\"x\",1]"));
    expect_failed(ctx);
    EXPECT(berth_function_call(function, ctx, &one, 1, &result));
    expect_failed(ctx);
    EXPECT(berth_function_invoke(function, ctx, places, &n));
    expect_failed(ctx);
    EXPECT(add_call(bound, ctx, 1) == 0); /* to a worker: not the inlined path */
    expect_failed(ctx);
    berth_leave(ctx);
}

static bool had[1024]; /* descriptors that were there before the host */

static void expect_nothing_inherited(void)
{
    for (int fd = 0; fd < (int)COUNT(had); fd++) {
        int flags = fcntl(fd, F_GETFD);
        EXPECT(had[fd] || flags < 0 || (flags & FD_CLOEXEC));
    }
}

/* ---- In the parent ---- */

static bool over;    /* atomic */
static size_t calls; /* atomic */

static void *call_on(void *unused)
{
    struct berth_error full; /* its receivers are not waited for */
    (void)unused;
    while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
        CALL(host, "counter.add", "[1]");
        CALL(host, "away.add", "[1]");
        berth_test_try(host, "publisher.ring", "[]", 0, NULL, &full);
        __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

/* A child that does not end within the patience of the test hangs. */
static void reap(pid_t child)
{
    int status = 0;
    pid_t ended = 0;

    EVENTUALLY(ended || (ended = waitpid(child, &status, WNOHANG)) != 0);
    CHECK_INT(ended, child);
    if (ended != child) {
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
    }
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 0); /* else the line of an EXPECT, modulo 128 */
}

static void set_up(void)
{
    if (berth_test_instrumented())
        berth_skip("forks, which sanitizers do not like");
    for (int fd = 0; fd < (int)COUNT(had); fd++)
        had[fd] = fcntl(fd, F_GETFD) >= 0;
    host = berth_test_host(NULL);
    LOAD(host, "counter", NULL);
    LOAD(host, "publisher", NULL);
    LOAD(host, "subscriber", NULL);
    berth_test_load_as(host, "counter", "away", "process");
}

static void child_main(int number, berth_ctx *ctx, add_bound *bound, berth_function *function)
{
    const char *file = berth_test_fixture("math");

    if (number % 4 == 0)
        execl("/bin/true", "true", (char *)NULL);
    use_host(file, bound, function);
    use_ctx(ctx, bound, function);
    expect_nothing_inherited();
    EXPECT(berth_host_free(host) == BERTH_OK);
    EXPECT(berth_host_free(host) == BERTH_OK); /* nothing has happened */
    if (number % 4 == 1)
        exit(0); /* destructors of the library, and of modules */
    if (number % 4 == 2)
        pthread_exit(NULL); /* and what belongs to the thread */
    execl("/bin/true", "true", (char *)NULL);
    _exit(1);
}

static void a_child_may_only_exec(void)
{
    struct berth_error error;
    pthread_t callers[CALLERS];
    berth_function *function;
    add_bound bound;

    set_up();
    CHECK_CODE(berth_bind(host, "away.add", add, &bound, &error), BERTH_OK, &error);
    CHECK_CODE(berth_function_find(host, "away.add", &function, &error), BERTH_OK, &error);
    const char *pid = berth_test_module(host, "away", "pid");
    over = false;
    calls = 0;
    for (int i = 0; i < CALLERS; i++)
        REQUIRE(pthread_create(&callers[i], NULL, call_on, NULL) == 0);
    berth_ctx *ctx = berth_host_enter(host);
    for (int i = 0; i < CHILDREN; i++) {
        size_t before = __atomic_load_n(&calls, __ATOMIC_RELAXED);
        EVENTUALLY(__atomic_load_n(&calls, __ATOMIC_RELAXED) > before);
        pid_t child = fork();
        if (child == 0)
            child_main(i, ctx, &bound, function);
        REQUIRE(child > 0);
        reap(child);
    }
    CHECK_INT(add_call(&bound, ctx, 0) > 0, 1);
    CHECK(!berth_failed(ctx));
    berth_leave(ctx);
    __atomic_store_n(&over, true, __ATOMIC_RELEASE);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(callers[i], NULL);
    CHECK_STR(berth_test_module(host, "away", "pid"), pid); /* the worker is the same */
    CHECK_STR(CALL(host, "away.get", "[]"), CALL(host, "counter.get", "[]"));
    CHECK_CODE(berth_host_check(host, (int)(berth_test_patience() / 1000000), &error), BERTH_OK,
               &error);
    berth_unbind(host, &bound);
    berth_function_free(function);
    CHECK_INT(berth_host_free(host), BERTH_OK);
}

/* What a child does that has no host to leave alone. */
static void live_anew(void)
{
    struct berth_host_options options = berth_test_host_options();
    struct berth_error error;
    char *result;

    options.log = NULL;
    EXPECT(berth_host_new(&options, &host, &error) == BERTH_OK);
    EXPECT(berth_test_load(host, "math", NULL, NULL, &error) == BERTH_OK);
    berth_ctx *ctx = berth_host_enter(host);
    EXPECT(berth_call_json(ctx, "math.add", "[1,2]", &result) == BERTH_OK && !strcmp(result, "3"));
    berth_free(result);
    berth_leave(ctx);
    EXPECT(berth_host_reload(host, "math", NULL, NULL, &error) == BERTH_OK);
    EXPECT(berth_host_free(host) == BERTH_OK);
}

/* As a daemon that has read its configuration first. */
static void a_child_without_a_host_may_make_one(void)
{
    set_up();
    CHECK_INT(berth_host_free(host), BERTH_OK);
    pid_t child = fork();
    if (child == 0) {
        live_anew();
        pid_t grandchild = fork(); /* none is left in this one, either */
        int status = 0;
        if (grandchild == 0) {
            live_anew();
            _exit(0);
        }
        EXPECT(waitpid(grandchild, &status, 0) == grandchild);
        _exit(WEXITSTATUS(status));
    }
    REQUIRE(child > 0);
    reap(child);
    host = berth_test_host(NULL);
    LOAD(host, "math", NULL);
    CHECK_CALL(host, "math.add", "[1,2]", "3");
    CHECK_INT(berth_host_free(host), BERTH_OK);
}

static const struct berth_test tests[] = {
    { "a_child_may_only_exec", a_child_may_only_exec },
    { "a_child_without_a_host_may_make_one", a_child_without_a_host_may_make_one },
};

int main(int argc, char **argv)
{
    return berth_suite_main("fork", tests, COUNT(tests), argc, argv);
}
