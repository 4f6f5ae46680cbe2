/* SPDX-License-Identifier: MIT */
#include "runtime/core/log.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "runtime/base/text.h"
#include "runtime/core/call.h"
#include "runtime/core/registry.h"
#include "runtime/core/topic.h"

static const char *const level_names[] = { "error", "warning", "info", "debug" };

const char *berth_log_level_name(int level)
{
    return level >= BERTH_LOG_ERROR && level <= BERTH_LOG_DEBUG ? level_names[level] : "?";
}

int berth_log_level_find(const char *name)
{
    for (int level = BERTH_LOG_ERROR; level <= BERTH_LOG_DEBUG; level++)
        if (berth_text_equal(name, level_names[level]))
            return level;
    return -1;
}

/* ---- levels ---- */

static int clamp(int level)
{
    if (level < BERTH_LOG_ERROR)
        return BERTH_LOG_ERROR;
    return level > BERTH_LOG_DEBUG ? BERTH_LOG_DEBUG : level;
}

int berth_log_level_of(const struct berth_host *host, const struct berth_module *module)
{
    int own = __atomic_load_n(module ? &module->log_level : &host->own_log_level, __ATOMIC_RELAXED);
    return own ? own - 1 : __atomic_load_n(&host->options.log_level, __ATOMIC_RELAXED);
}

void berth_log_set_level(struct berth_host *host, struct berth_module *module, int level)
{
    if (!module)
        __atomic_store_n(&host->options.log_level, level, __ATOMIC_RELAXED);
    else
        __atomic_store_n(&module->log_level, level + 1, __ATOMIC_RELAXED);
    if (module && berth_text_equal(module->name, "host")) /* its lines have no module */
        __atomic_store_n(&host->own_log_level, level + 1, __ATOMIC_RELAXED);
}

int berth_log_level_of_worker(const struct berth_generation *generation)
{
    return clamp(berth_log_level_of(generation->host, generation->module));
}

bool berth_log_tell(struct berth_generation *generation)
{
    struct berth_carrier *carrier = generation->carrier;
    if (!carrier || !carrier->ops->set_log_level || generation->dead)
        return true; /* a new worker is told when it is opened */
    return carrier->ops->set_log_level(carrier, berth_log_level_of_worker(generation));
}

/* ---- lines ---- */

/* One line of UTF-8, whatever a module has written. */
static void make_line(char *text)
{
    size_t size = strlen(text);
    while (size && text[size - 1] == '\n')
        text[--size] = '\0';
    for (size_t i = 0; i < size; i++)
        if (text[i] == '\n' || text[i] == '\r')
            text[i] = ' ';
    berth_utf8_repair(text, size);
}

bool berth_log_is_echo(struct berth_host *host)
{
    const berth_ctx *ctx = berth_thread_current(&host->threads);
    return ctx && berth_thread_of(ctx)->echo;
}

/* Whether somebody wants a line of this level. */
static bool is_wanted(const struct berth_host *host, const struct berth_generation *generation,
                      int level)
{
    return level <= berth_log_level_of(host, generation ? generation->module : NULL) &&
           (host->upstream || __atomic_load_n(&host->options.log, __ATOMIC_RELAXED) ||
            __atomic_load_n(&host->log_readers, __ATOMIC_RELAXED));
}

static void call_back(struct berth_host *host, const struct berth_generation *generation,
                      const struct berth_log_line *line)
{
    char label[128] = "";
    struct berth_log_line labelled = *line;
    void (*log)(void *user, const struct berth_log_line *line) =
        __atomic_load_n(&host->options.log, __ATOMIC_RELAXED);
    if (!log)
        return;
    if (generation)
        berth_module_label(generation, label, sizeof label);
    labelled.module = label;
    struct berth_callout callout;
    berth_callout_begin(&callout, &host->threads);
    log(host->options.log_user, &labelled);
    berth_callout_end(&callout);
}

static void publish(struct berth_host *host, const struct berth_generation *generation,
                    const struct berth_log_line *line)
{
    const char *level = berth_log_level_name(line->level);
    const char *module = generation ? generation->module->name : "host";
    const char *version = generation ? generation->image->manifest->version : "";
    uint32_t number = generation ? generation->number : 0;
    const void *arguments[] = { &line->time_ns, &level,       &module,    &version,
                                &number,        &line->chain, &line->text };
    berth_publish_own(host, BERTH_LOG_TOPIC, arguments);
}

/* Of a line that is wanted. */
static void pass_on(struct berth_host *host, const struct berth_generation *generation, int level,
                    const char *chain, char *text, bool echo)
{
    struct timespec now;
    make_line(text);
    if (host->upstream) {
        host->upstream->log(host->upstream->user, level, chain, text, echo);
        return;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    const struct berth_log_line line = { .size = sizeof line,
                                         .level = level,
                                         .time_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec,
                                         .text = text,
                                         .chain = chain };
    call_back(host, generation, &line);
    if (!echo && __atomic_load_n(&host->log_readers, __ATOMIC_RELAXED))
        publish(host, generation, &line);
}

#define TEXT_MAX 2048

__attribute__((format(printf, 2, 0))) static void format_text(char text[TEXT_MAX],
                                                              const char *format, va_list arguments)
{
    vsnprintf(text, TEXT_MAX, format, arguments);
    text[berth_utf8_cut(text, strlen(text))] = '\0';
}

void berth_host_log(struct berth_host *host, const struct berth_generation *generation, int level,
                    const char *format, ...)
{
    char text[TEXT_MAX];
    va_list arguments;
    if (!is_wanted(host, generation, level))
        return;
    va_start(arguments, format);
    format_text(text, format, arguments);
    va_end(arguments);
    pass_on(host, generation, level, "", text, berth_log_is_echo(host));
}

void berth_log_fault(berth_ctx *ctx, const struct berth_generation *generation, const char *what)
{
    struct berth_error error = { 0 };
    berth_fault_take(ctx, &error);
    berth_host_log(generation->host, generation, BERTH_LOG_ERROR, "%s failed: %s: %s", what,
                   berth_code_name(error.code), error.text);
}

void berth_module_log_va(berth_ctx *ctx, const struct berth_generation *generation, int level,
                         const char *format, va_list arguments)
{
    struct berth_host *host = berth_host_of(ctx);
    char text[TEXT_MAX], chain[512];
    level = clamp(level);
    if (!is_wanted(host, generation, level))
        return;
    format_text(text, format, arguments);
    berth_chain_print(ctx, chain, sizeof chain);
    pass_on(host, generation, level, chain, text, berth_log_is_echo(host));
}

void berth_worker_log(const struct berth_generation *generation, int level, const char *chain,
                      const char *text, bool echo)
{
    char copy[TEXT_MAX], calls[512];
    if (!is_wanted(generation->host, generation, level))
        return;
    snprintf(copy, sizeof copy, "%s", text);
    copy[berth_utf8_cut(copy, strlen(copy))] = '\0';
    snprintf(calls, sizeof calls, "%s", chain);
    calls[berth_utf8_cut(calls, strlen(calls))] = '\0';
    make_line(calls);
    pass_on(generation->host, generation, level, calls, copy, echo);
}
