/* SPDX-License-Identifier: MIT */
/*
 * Calls with a deadline, or with several replies: they are started, and waited for by the thread
 * that has read the request, so that what it sends is in order. Meanwhile they can be cancelled.
 */
#include "control.h"

#include <string.h>

BERTH_IMPORT_ASYNC(json, host, call, (string, function), (optional(json), arguments),
                   (optional(i64), timeout_ms));

/* One that is waited for: on the stack of that thread. */
struct running {
    struct running *next;
    const struct worker *worker;
    berth_pending pending;
};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct running *all;

static void add(struct running *running)
{
    pthread_mutex_lock(&lock);
    running->next = all;
    all = running;
    pthread_mutex_unlock(&lock);
}

static void drop(struct running *running)
{
    pthread_mutex_lock(&lock);
    struct running **place = &all;
    while (*place != running)
        place = &(*place)->next;
    *place = running->next;
    pthread_mutex_unlock(&lock);
}

static bool send_reply(struct worker *worker, const char *value)
{
    struct text line = { 0 };
    text_puts(&line, "{\"jsonrpc\":\"2.0\",\"method\":\"more\",\"params\":{\"id\":");
    text_puts(&line, worker->id);
    text_puts(&line, ",\"value\":");
    text_put_json(&line, value);
    text_puts(&line, "}}\n");
    bool sent = connection_send(worker->ctx, worker->connection, &line);
    text_free(&line);
    return sent;
}

/*
 * A thread waits for no reply any more when its module stops. When that is for the next generation
 * the call goes on, and this thread looks for its replies now and then.
 */
static bool next_reply(berth_ctx *ctx, berth_pending pending, berth_json *ret_value)
{
    for (int pause = 1; !host_call_next(ctx, pending, ret_value);
         pause *= pause < LOOK_MS ? 2 : 1) {
        if (!berth_failed(ctx) || berth_error_code(ctx) != BERTH_CANCELLED || !berth_stopping(ctx))
            return false;
        berth_clear(ctx);
        if (!inherit_leave(ctx)) {
            berth_fail(ctx, BERTH_CANCELLED, "%s is being stopped", own_name);
            return false;
        }
        if (!inherit_attend(ctx, pause)) {
            berth_call_cancel(ctx, pending); /* for nobody */
            return false;
        }
    }
    return true;
}

const char *started_call(struct worker *worker, const char *function, const char *arguments,
                         berth_optional_i64 timeout, bool more)
{
    berth_ctx *ctx = worker->ctx;
    struct running running = { .worker = worker,
                               .pending = host_call_start(ctx, function, arguments, timeout) };
    berth_json value;
    add(&running);
    for (uint64_t mark = berth_mark(ctx); more && worker->id; berth_rewind(ctx, mark)) {
        if (!next_reply(ctx, running.pending, &value))
            break;
        if (!send_reply(worker, value)) { /* for nobody: the rest is not even taken */
            berth_call_cancel(ctx, running.pending);
            break;
        }
    }
    const char *result = NULL;
    if (berth_failed(ctx))
        berth_call_drop(ctx, running.pending);
    else
        result = host_call_take(ctx, running.pending);
    drop(&running);
    return result;
}

bool started_cancel(berth_ctx *ctx, const struct connection *connection, const char *id)
{
    bool found = false;
    pthread_mutex_lock(&lock);
    for (const struct running *each = all; each; each = each->next) {
        const struct worker *worker = each->worker;
        if (worker->connection != connection ||
            (id && (!worker->id || strcmp(worker->id, id) != 0)))
            continue;
        berth_call_cancel(ctx, each->pending); /* which calls nothing of this module */
        found = true;
    }
    pthread_mutex_unlock(&lock);
    return found;
}

void started_cancel_request(berth_ctx *ctx, const struct connection *connection, uint64_t request)
{
    pthread_mutex_lock(&lock);
    for (const struct running *each = all; each; each = each->next)
        if (each->worker->connection == connection && each->worker->request == request)
            berth_call_cancel(ctx, each->pending);
    pthread_mutex_unlock(&lock);
}

void started_put_id(struct text *text, const struct worker *worker)
{
    pthread_mutex_lock(&lock);
    for (const struct running *each = all; each; each = each->next)
        if (each->worker == worker && worker->id)
            text_puts(text, worker->id);
    pthread_mutex_unlock(&lock);
}
