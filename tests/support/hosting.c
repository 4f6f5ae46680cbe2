/* SPDX-License-Identifier: MIT */
#include "tests/support/hosting.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cJSON.h>

static struct {
    pthread_mutex_t lock;
    char text[32768]; /* the beginning, if there is more */
    size_t size;
    bool polled; /* the test's host has no threads */
} hosting = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void keep_line(void *user, const struct berth_log_line *line)
{
    static const char *const levels[] = { "error", "warning", "info", "debug" };

    (void)user;
    CHECK(line->size >= sizeof(*line));
    CHECK(line->level >= 0 && line->level <= BERTH_LOG_DEBUG);
    CHECK(!strchr(line->text, '\n'));
    pthread_mutex_lock(&hosting.lock);
    size_t room = sizeof(hosting.text) - hosting.size;
    int length = snprintf(hosting.text + hosting.size, room, "%s %s %s\n", levels[line->level & 3],
                          line->module, line->text);
    if (length > 0 && (size_t)length < room)
        hosting.size += (size_t)length;
    hosting.text[hosting.size] = '\0';
    pthread_mutex_unlock(&hosting.lock);
}

const char *berth_test_log(void)
{
    pthread_mutex_lock(&hosting.lock);
    const char *text = berth_test_format("%s", hosting.text);
    pthread_mutex_unlock(&hosting.lock);
    return text;
}

struct berth_host_options berth_test_host_options(void)
{
    struct berth_host_options options;
    const char *worker = getenv("BERTH_WORKER");

    berth_host_options_init(&options);
    options.threads = 2;
    options.stop_timeout_ns = berth_test_patience();
    options.worker = worker ? worker : berth_test_built("berth-worker");
    options.log = keep_line;
    options.log_level = BERTH_LOG_DEBUG;
    if (berth_test_instrumented())
        options.flags |= BERTH_HOST_KEEP_IMAGES;
    return options;
}

berth_host *berth_test_host(const struct berth_host_options *options)
{
    struct berth_host_options defaults = berth_test_host_options();
    struct berth_error error;
    berth_host *host = NULL;

    pthread_mutex_lock(&hosting.lock);
    hosting.size = 0;
    hosting.text[0] = '\0';
    pthread_mutex_unlock(&hosting.lock);
    hosting.polled = options && options->threads == 0;
    CHECK_CODE(berth_host_new(options ? options : &defaults, &host, &error), BERTH_OK, &error);
    REQUIRE(host);
    return host;
}

int berth_test_load(berth_host *host, const char *fixture, const char *placement,
                    const char *options, struct berth_error *error)
{
    const struct berth_load_options load = { .size = sizeof(load),
                                             .placement = placement,
                                             .options = options };
    return berth_host_load(host, berth_test_fixture(fixture), &load, error);
}

void berth_test_load_as(berth_host *host, const char *fixture, const char *name,
                        const char *placement)
{
    const struct berth_load_options load = { .size = sizeof(load),
                                             .name = name,
                                             .placement = placement };
    struct berth_error error;
    int code = berth_host_load(host, berth_test_fixture(fixture), &load, &error);

    CHECK_CODE(code, BERTH_OK, &error);
    REQUIRE(code == BERTH_OK);
}

bool berth_test_loaded(berth_host *host, const char *fixture, const char *placement,
                       const char *options, struct berth_test_place place)
{
    struct berth_error error;
    int code = berth_test_load(host, fixture, placement, options, &error);

    return berth_check_code(code, BERTH_OK, &error, place, fixture);
}

int berth_test_try(berth_host *host, const char *function, const char *arguments,
                   int64_t timeout_ns, const char **ret_result, struct berth_error *error)
{
    berth_ctx *ctx = berth_host_enter(host);
    char *result = NULL;

    if (!ctx) {
        snprintf(error->text, sizeof(error->text), "berth_host_enter gave NULL");
        return error->code = BERTH_RESOURCE_EXHAUSTED;
    }
    if (timeout_ns)
        berth_set_timeout(ctx, timeout_ns);
    int code = berth_call_json(ctx, function, arguments, &result);
    if (code != BERTH_OK) {
        CHECK(berth_failed(ctx));
        CHECK_INT(berth_error_code(ctx), code);
        CHECK(!result);
        error->code = code;
        snprintf(error->text, sizeof(error->text), "%s", berth_error_text(ctx));
        berth_clear(ctx);
        CHECK(!berth_failed(ctx));
    } else {
        CHECK(!berth_failed(ctx));
        error->code = BERTH_OK;
        error->text[0] = '\0';
        if (ret_result)
            *ret_result = berth_test_format("%s", result);
    }
    berth_free(result);
    berth_leave(ctx);
    return code;
}

const char *berth_test_call(berth_host *host, const char *function, const char *arguments,
                            struct berth_test_place place)
{
    const char *result = "failed";
    struct berth_error error;
    int code = berth_test_try(host, function, arguments, 0, &result, &error);

    berth_check_code(code, BERTH_OK, &error, place, function);
    return result;
}

const char *berth_test_hold_path(void)
{
    static unsigned count;
    return berth_test_format("%s/held%u", berth_test_dir(),
                             __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED));
}

bool berth_test_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static void *hold_main(void *argument)
{
    struct berth_test_held *held = argument;
    const char *arguments = berth_test_format("[\"%s\"]", held->path);

    held->code = berth_test_try(held->host, held->function, arguments, 0, NULL, &held->error);
    return NULL;
}

void berth_test_hold(struct berth_test_held *held, berth_host *host, const char *function)
{
    *held = (struct berth_test_held){ host, function, berth_test_hold_path(), .code = -1 };
    REQUIRE(pthread_create(&held->thread, NULL, hold_main, held) == 0);
    UNTIL(host, berth_test_exists(held->path));
    REQUIRE(berth_test_exists(held->path));
}

void berth_test_release(struct berth_test_held *held)
{
    unlink(held->path);
}

void berth_test_join(struct berth_test_held *held)
{
    pthread_join(held->thread, NULL);
}

void berth_test_pass_time(berth_host *host)
{
    if (hosting.polled)
        berth_host_dispatch(host, 1);
    else
        berth_test_pause(1);
}

const char *berth_test_module(berth_host *host, const char *module, const char *key)
{
    char *json = NULL;
    const char *found = "";
    struct berth_error error;
    cJSON *list, *entry;

    CHECK_CODE(berth_host_list(host, &json, &error), BERTH_OK, &error);
    list = json ? cJSON_Parse(json) : NULL;
    CHECK(list);
    cJSON_ArrayForEach(entry, cJSON_GetObjectItem(list, "modules"))
    {
        const cJSON *name = cJSON_GetObjectItem(entry, "name");
        const cJSON *value = cJSON_GetObjectItem(entry, key);
        if (!name || strcmp(cJSON_GetStringValue(name), module) != 0 || !value)
            continue;
        if (cJSON_IsString(value)) {
            found = berth_test_format("%s", cJSON_GetStringValue(value));
        } else {
            char *text = cJSON_PrintUnformatted(value);
            found = berth_test_format("%s", text);
            free(text);
        }
    }
    cJSON_Delete(list);
    berth_free(json);
    return found;
}

/* The pid first: before the death is noticed the module is said to run, and has none after it. */
bool berth_test_runs_again(berth_host *host, const char *module, const char *pid)
{
    const char *now = berth_test_module(host, module, "pid");
    return *now && strcmp(now, pid) != 0 &&
           strcmp(berth_test_module(host, module, "state"), "running") == 0;
}
