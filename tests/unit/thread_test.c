/* SPDX-License-Identifier: MIT */
/* Frames, errors and memory of threads, with functions that call each other as modules' do. */
#include "runtime/call/thread.h"

#include <pthread.h>
#include <string.h>

#include "tests/support/suite.h"

static struct berth_threads set;
static const struct berth_services services = { .size = sizeof(services),
                                                .abi = BERTH_ABI,
                                                .fail = berth_fault_raise_va,
                                                .clear = berth_fault_clear,
                                                .error = berth_fault_get,
                                                .leave_thread = berth_thread_leave };

static const char *describe(void *user, uintptr_t word, char *buffer, size_t size)
{
    (void)user;
    if (word & BERTH_FRAME_OBJECT)
        return NULL;
    snprintf(buffer, size, "f%lu", (unsigned long)word);
    return buffer;
}

static void begin(void)
{
    REQUIRE(berth_threads_init(&set, &services) == BERTH_OK);
    set.describe = describe;
}

static void end(void)
{
    berth_threads_deinit(&set);
}

/* Calls fn as module code would be: a frame in front, none behind. */
static void call(berth_ctx *ctx, uintptr_t word, void (*fn)(berth_ctx *ctx))
{
    berth_frame_push(ctx, word);
    fn(ctx + 1);
    berth_frame_pop(ctx);
}

static void succeeds(berth_ctx *ctx)
{
    CHECK(!berth_failed(ctx));
}

static void fails(berth_ctx *ctx)
{
    CHECK(!berth_failed(ctx));
    berth_fail(ctx, BERTH_NOT_FOUND, "no such %s", "thing");
    CHECK(berth_failed(ctx));
}

static void passes_on(berth_ctx *ctx)
{
    call(ctx, 3, fails);
    CHECK(berth_failed(ctx));
}

static void handles(berth_ctx *ctx)
{
    call(ctx, 3, fails);
    CHECK_INT(berth_error_code(ctx), BERTH_NOT_FOUND);
    berth_clear(ctx);
    CHECK(!berth_failed(ctx));
    CHECK_STR(berth_error_text(ctx), "");
}

static void sees_only_its_own(berth_ctx *ctx)
{
    CHECK(!berth_failed(ctx)); /* its caller ignored somebody's failure */
    call(ctx, 3, succeeds);
    CHECK(!berth_failed(ctx));
    call(ctx, 3, fails);
    CHECK(berth_failed(ctx));
    berth_clear(ctx);
    CHECK(!berth_failed(ctx));
}

static void errors_belong_to_activations(void)
{
    begin();
    berth_ctx *ctx = berth_thread_enter(&set);
    call(ctx, 1, handles);
    CHECK(!berth_failed(ctx));
    call(ctx, 1, passes_on);
    CHECK(berth_failed(ctx));
    call(ctx, 2, sees_only_its_own); /* although ctx has not dealt with the first */
    CHECK_INT(berth_error_code(ctx), BERTH_NOT_FOUND);
    CHECK_STR(berth_error_text(ctx), "f1 \xe2\x86\x92 f3: no such thing");
    berth_clear(ctx);
    CHECK(!berth_failed(ctx));
    berth_leave(ctx);
    end();
}

static void wraps(berth_ctx *ctx)
{
    call(ctx, 3, fails);
    berth_fail(ctx, BERTH_UNAVAILABLE, "cannot go on");
}

static void a_second_error_names_its_cause(void)
{
    begin();
    berth_ctx *ctx = berth_thread_enter(&set);
    call(ctx, 1, wraps);
    CHECK_INT(berth_error_code(ctx), BERTH_UNAVAILABLE);
    CHECK_CONTAINS(berth_error_text(ctx), "cannot go on (because: ");
    CHECK_CONTAINS(berth_error_text(ctx), "no such thing");
    struct berth_error error;
    CHECK_INT(berth_fault_take(ctx, &error), BERTH_UNAVAILABLE);
    CHECK(!berth_failed(ctx));
    berth_leave(ctx);
    end();
}

/*
 * A model: errors of activations as a list, against the marks; random calls, failures and handling.
 */
static unsigned model_depth;
static struct {
    unsigned level;
} model_errors[512];
static unsigned model_count;

static bool model_failed(unsigned level)
{
    for (unsigned i = 0; i < model_count; i++)
        if (model_errors[i].level >= level)
            return true;
    return false;
}

static void model_step(berth_ctx *ctx)
{
    unsigned level = ++model_depth;
    unsigned steps = (unsigned)berth_test_random() % 6;
    CHECK(!berth_failed(ctx));
    for (unsigned i = 0; i < steps; i++) {
        switch (berth_test_random() % 4) {
        case 0:
            if (level < 40 && model_count < 400)
                call(ctx, level + 1, model_step);
            break;
        case 1: /* wrapping: the errors at and above this level become one */
            berth_fail(ctx, BERTH_ABORTED, "level %u", level);
            for (unsigned k = 0; k < model_count;)
                if (model_errors[k].level >= level)
                    model_errors[k] = model_errors[--model_count];
                else
                    k++;
            model_errors[model_count++].level = level;
            break;
        case 2:
            berth_clear(ctx);
            for (unsigned k = 0; k < model_count;)
                if (model_errors[k].level >= level)
                    model_errors[k] = model_errors[--model_count];
                else
                    k++;
            break;
        default:
            if (level < 40)
                call(ctx, level + 1, succeeds);
        }
        CHECK_INT(berth_failed(ctx), model_failed(level));
        CHECK_INT(berth_error_code(ctx) != BERTH_OK, model_failed(level));
    }
    /* returning: what is left becomes the caller's */
    for (unsigned i = 0; i < model_count; i++)
        if (model_errors[i].level >= level)
            model_errors[i].level = level - 1;
    model_depth--;
}

static void errors_agree_with_a_model(void)
{
    begin();
    for (int round = 0; round < 2000; round++) {
        berth_ctx *ctx = berth_thread_enter(&set);
        model_depth = model_count = 0;
        for (int i = 0; i < 4; i++) {
            call(ctx, 1, model_step);
            CHECK_INT(berth_failed(ctx), model_failed(0));
        }
        berth_leave(ctx);
    }
    end();
}

static bool is_word(void *user, uintptr_t word)
{
    return word == (uintptr_t)user;
}

static void looks(berth_ctx *ctx)
{
    CHECK_INT(berth_frames_count(&set, is_word, (void *)7, NULL), 1);
    static const bool asked, other;
    berth_thread_of(ctx)->stopping = &asked;
    CHECK_INT(berth_frames_count(&set, is_word, (void *)7, &asked), 0);
    CHECK_INT(berth_frames_count(&set, is_word, (void *)7, &other), 1);
    berth_thread_of(ctx)->stopping = NULL;
    CHECK(berth_frames_inside(ctx, is_word, (void *)7));
    CHECK(berth_thread_current(&set) == ctx);
    berth_fail(ctx, BERTH_UNKNOWN, "marks do not hide it");
    CHECK_INT(berth_frames_count(&set, is_word, (void *)7, NULL), 1);
}

static void frames_are_seen(void)
{
    begin();
    CHECK(berth_thread_current(&set) == NULL);
    berth_ctx *ctx = berth_thread_enter(&set);
    call(ctx, 7, looks);
    CHECK_INT(berth_frames_count(&set, is_word, (void *)7, NULL), 0);
    berth_ctx *nested = berth_thread_enter(&set);
    CHECK(nested == ctx + 1);
    berth_leave(nested);
    berth_leave(ctx);
    end();
}

static void what_a_thread_is_in_has_a_number(void)
{
    begin();
    berth_ctx *ctx = berth_thread_enter(&set);
    struct berth_thread *thread = berth_thread_of(ctx);
    uint32_t first = berth_thread_run(thread);
    CHECK(first != 0);
    berth_ctx *nested = berth_thread_enter(&set);
    CHECK_INT(berth_thread_run(thread), first);
    berth_leave(nested);
    CHECK_INT(berth_thread_run(thread), first);
    berth_thread_renew(ctx);
    uint32_t second = berth_thread_run(thread);
    CHECK(second != 0 && second != first);
    berth_leave(ctx);
    CHECK_INT(berth_thread_run(thread), 0);
    ctx = berth_thread_enter(&set);
    uint32_t third = berth_thread_run(thread);
    CHECK(third != 0 && third != first && third != second);
    berth_leave(ctx);
    end();
}

static void *enters_and_ends(void *unused)
{
    (void)unused;
    for (int i = 0; i < 100; i++) {
        berth_ctx *ctx = berth_thread_enter(&set);
        CHECK(berth_arena_alloc(&berth_thread_of(ctx)->arena, 100) != NULL);
        call(ctx, 1, passes_on);
        if (i % 2)
            berth_leave(ctx); /* every other one is left to the end of the thread */
    }
    return NULL;
}

static void threads_come_and_go(void)
{
    begin();
    for (int round = 0; round < 20; round++) {
        pthread_t threads[4];
        for (int i = 0; i < 4; i++)
            REQUIRE(pthread_create(&threads[i], NULL, enters_and_ends, NULL) == 0);
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
    }
    CHECK(berth_list_empty(&set.list));
    end();
}

static const struct berth_test tests[] = {
    { "errors belong to activations", errors_belong_to_activations },
    { "a second error names its cause", a_second_error_names_its_cause },
    { "errors agree with a model", errors_agree_with_a_model },
    { "frames are seen", frames_are_seen },
    { "what a thread is in has a number", what_a_thread_is_in_has_a_number },
    { "threads come and go", threads_come_and_go },
};

int main(int argc, char **argv)
{
    return berth_suite_main("thread", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
