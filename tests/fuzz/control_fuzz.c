/* SPDX-License-Identifier: MIT */
/*
 * Lines from a client of modules/control: its parser and its methods, in a real host, without a
 * socket. Whatever comes in, what goes out is nothing or one line of JSON.
 */
#include "modules/control/control.h"

#include <berth/host.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/value/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

BERTH_MODULE("control_fuzz", "1.0.0", "For the links of the module's files.");
BERTH_EXPORT(f64, add, "a + b", (f64, a), (f64, b))
{
    return a + b;
}

/* ---- what the rest of the module would be --------------------------------------------------- */

struct limits limits = { .batch = 100, .patterns = 100, .line = 1 << 20 };
char own_name[128] = "control_fuzz";

struct subscription *subscription_new(berth_ctx *ctx, const char *const *patterns, size_t count,
                                      const char *group)
{
    (void)group;
    berth_fail(ctx, BERTH_UNIMPLEMENTED, "%zu of %s", count, patterns[count - 1]);
    return NULL;
}

void subscriptions_end(berth_ctx *ctx, struct subscription *list)
{
    (void)ctx;
    free(list);
}

bool connection_subscribe(struct connection *connection, struct subscription *subscription)
{
    return connection && subscription;
}

bool connection_send(berth_ctx *ctx, struct connection *connection, const struct text *line)
{
    (void)ctx;
    return connection && line;
}

bool connection_cancel_foreign(struct connection *connection, const char *id)
{
    return connection && id;
}

bool inherit_leave(berth_ctx *ctx)
{
    (void)ctx;
    return false;
}

bool inherit_attend(berth_ctx *ctx, int timeout_ms)
{
    (void)ctx;
    return timeout_ms == 0;
}

size_t connection_patterns(struct connection *connection)
{
    return connection ? 1 : 0;
}

bool connection_unsubscribe(berth_ctx *ctx, struct connection *connection, uint64_t number)
{
    (void)ctx;
    (void)connection;
    return number == 1;
}

/* ---- the target ----------------------------------------------------------------------------- */

static berth_host *host;

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void prepare(void)
{
    struct berth_host_options options;
    berth_host_options_init(&options);
    options.threads = 0;
    require(berth_host_new(&options, &host, NULL) == BERTH_OK);
    require(berth_host_provide(host, &berth_entry, NULL) == BERTH_OK);
}

/* Nothing that looks at files, or ends what is needed. */
static bool is_harmless(const char *line)
{
    return !strstr(line, "load") && !strstr(line, "read") && !strchr(line, '\\');
}

static void check_reply(const struct text *reply)
{
    struct berth_error error;
    require(!reply->failed);
    if (reply->size == 0)
        return;
    require(memchr(reply->data, '\n', reply->size) == reply->data + reply->size - 1);
    require(berth_json_check(reply->data, reply->size, &error) == BERTH_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct worker worker = { 0 };
    if (!host)
        prepare();
    if (size && memchr(data, '\n', size))
        return 0;
    text_put(&worker.line, (const char *)data, size);
    text_put(&worker.line, "", 1);
    worker.line.size = size;
    worker.ctx = berth_host_enter(host);
    require(worker.ctx && !worker.line.failed);
    if (is_harmless(worker.line.data)) {
        request_run(&worker);
        require(!berth_failed(worker.ctx));
        check_reply(&worker.reply);
    }
    berth_leave(worker.ctx);
    text_free(&worker.line);
    text_free(&worker.reply);
    return 0;
}
