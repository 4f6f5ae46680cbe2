/* SPDX-License-Identifier: MIT */
#include "tests/support/ledger.h"

#include <berth/module.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

BERTH_BOUND(u64, enter, (u32, sender), (u64, number));

static size_t count_of(const struct berth_test_ledger *ledger)
{
    return ledger->callers + ledger->publishers;
}

/* ---- Calls ---- */

static uint64_t enter_by_json(berth_ctx *ctx, uint32_t sender, uint64_t number)
{
    char text[64], *result = NULL;
    uint64_t answer = 0;

    snprintf(text, sizeof(text), "[%u,%llu]", sender, (unsigned long long)number);
    if (berth_call_json(ctx, "ledger.enter", text, &result) == BERTH_OK)
        answer = strtoull(result, NULL, 10);
    free(result);
    return answer;
}

static uint64_t enter_by_name(berth_ctx *ctx, uint32_t sender, uint64_t number)
{
    const struct berth_value in[] = { { .kind = BERTH_VALUE_U64, .as.u64 = sender },
                                      { .kind = BERTH_VALUE_U64, .as.u64 = number } };
    struct berth_value out = { 0 };

    berth_call(ctx, "ledger.enter", in, 2, &out);
    return out.as.u64;
}

static bool failed(berth_ctx *ctx, const char *what)
{
    if (!berth_failed(ctx))
        return false;
    berth_note("%s: %s", what, berth_error_text(ctx));
    CHECK_INT(berth_error_code(ctx), BERTH_OK);
    berth_clear(ctx);
    return true;
}

/* In one of the three ways. Never refused. */
static void book(struct berth_test_sender *sender, berth_ctx *ctx, enter_bound *bound)
{
    uint64_t number = sender->calls + 1;
    uint64_t answer = number % 8 == 0   ? enter_by_json(ctx, sender->index, number)
                      : number % 8 == 4 ? enter_by_name(ctx, sender->index, number)
                                        : enter_call(bound, ctx, sender->index, number);

    if (failed(ctx, "ledger.enter"))
        return;
    if (answer != number * 31 + sender->index)
        CHECK_INT(answer, number * 31 + sender->index);
    sender->calls = number;
}

/* ---- Messages ---- */

/* What is refused because the mailbox is full has not come, and is sent again. */
static void note(struct berth_test_sender *sender, berth_ctx *ctx)
{
    char text[64];

    snprintf(text, sizeof(text), "[%u,%llu]", sender->index,
             (unsigned long long)(sender->notes + 1));
    if (berth_publish_json(ctx, "ledger.note", text) == BERTH_RESOURCE_EXHAUSTED) {
        CHECK_CONTAINS(berth_error_text(ctx), "ledger");
        berth_clear(ctx);
        sender->full++;
        usleep(200);
    } else if (!failed(ctx, "ledger.note")) {
        sender->notes++;
    }
}

/* ---- Threads ---- */

static void send_some(struct berth_test_sender *sender, berth_ctx *ctx, enter_bound *bound)
{
    for (int i = 0; i < 50; i++)
        if (sender->index < sender->ledger->callers)
            book(sender, ctx, bound);
        else
            note(sender, ctx);
}

static void *send_always(void *argument)
{
    struct berth_test_sender *sender = argument;
    struct berth_test_ledger *ledger = sender->ledger;
    struct berth_error error = { 0 };
    enter_bound bound;
    int code = berth_bind(ledger->host, "ledger.enter", enter, &bound, &error);

    CHECK_CODE(code, BERTH_OK, &error);
    while (code == BERTH_OK && !__atomic_load_n(&ledger->over, __ATOMIC_ACQUIRE)) {
        berth_ctx *ctx = berth_host_enter(ledger->host);
        __atomic_store_n(&sender->entered, true, __ATOMIC_RELEASE);
        send_some(sender, ctx, &bound);
        berth_leave(ctx);
    }
    if (code == BERTH_OK)
        berth_unbind(ledger->host, &bound);
    return NULL;
}

void berth_test_ledger_start(struct berth_test_ledger *ledger)
{
    __atomic_store_n(&ledger->over, false, __ATOMIC_RELEASE);
    for (size_t i = 0; i < count_of(ledger); i++) {
        struct berth_test_sender *sender = &ledger->senders[i];
        sender->ledger = ledger;
        sender->index = (uint32_t)i;
        sender->entered = false;
        REQUIRE(pthread_create(&sender->thread, NULL, send_always, sender) == 0);
    }
    /* a thread that has not entered yet is one of which nobody can say what it reaches */
    for (size_t i = 0; i < count_of(ledger); i++)
        EVENTUALLY(__atomic_load_n(&ledger->senders[i].entered, __ATOMIC_ACQUIRE));
}

/* ---- What has come ---- */

/* No string of the test's is made: memory is counted afterwards. */
static uint64_t of_account(const struct berth_test_ledger *ledger, size_t sender, const char *key)
{
    char arguments[32], *json = NULL;
    const char *found = NULL;
    berth_ctx *ctx = berth_host_enter(ledger->host);

    snprintf(arguments, sizeof(arguments), "[%zu]", sender);
    if (berth_call_json(ctx, "ledger.account", arguments, &json) == BERTH_OK)
        found = strstr(json, key);
    else
        failed(ctx, "ledger.account");
    uint64_t number = found ? strtoull(found + strlen(key), NULL, 10) : UINT64_MAX;
    berth_leave(ctx);
    free(json);
    return number;
}

void berth_test_ledger_stop(struct berth_test_ledger *ledger)
{
    uint64_t calls = 0, notes = 0, full = 0;

    __atomic_store_n(&ledger->over, true, __ATOMIC_RELEASE);
    for (size_t i = 0; i < count_of(ledger); i++)
        pthread_join(ledger->senders[i].thread, NULL);
    for (size_t i = 0; i < count_of(ledger); i++) {
        const struct berth_test_sender *sender = &ledger->senders[i];
        UNTIL(ledger->host, of_account(ledger, i, "\"notes\":") == sender->notes);
        CHECK_INT(of_account(ledger, i, "\"calls\":"), sender->calls);
        CHECK_INT(of_account(ledger, i, "\"wrong\":"), 0);
        calls += sender->calls;
        notes += sender->notes;
        full += sender->full;
    }
    berth_note("%llu calls, %llu messages, %llu times no room", (unsigned long long)calls,
               (unsigned long long)notes, (unsigned long long)full);
}
