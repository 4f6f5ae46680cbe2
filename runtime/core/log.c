/* SPDX-License-Identifier: MIT */
#include "runtime/core/log.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "runtime/base/text.h"
#include "runtime/core/call.h"
#include "runtime/core/registry.h"

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
    size_t size = strlen(text), bad;
    while (size && text[size - 1] == '\n')
        text[--size] = '\0';
    for (size_t i = 0; i < size; i++)
        if (text[i] == '\n' || text[i] == '\r')
            text[i] = ' ';
    while (!berth_utf8_valid(text, size, &bad))
        text[bad] = '?';
}

/* Whether somebody wants a line of this level. */
static bool is_wanted(const struct berth_host *host, const struct berth_generation *generation,
                      int level)
{
    return level <= berth_log_level_of(host, generation ? generation->module : NULL) &&
           (host->upstream || __atomic_load_n(&host->options.log, __ATOMIC_RELAXED));
}

/* Of a line that is wanted. */
static void pass_on(const struct berth_host *host, const struct berth_generation *generation,
                    int level, const char *chain, char *text)
{
    char label[128] = "";
    struct timespec now;
    make_line(text);
    if (host->upstream) {
        host->upstream->log(host->upstream->user, level, chain, text);
        return;
    }
    void (*log)(void *user, const struct berth_log_line *line) =
        __atomic_load_n(&host->options.log, __ATOMIC_RELAXED);
    if (!log)
        return;
    if (generation)
        berth_module_label(generation, label, sizeof label);
    clock_gettime(CLOCK_REALTIME, &now);
    struct berth_log_line line = { .size = sizeof line,
                                   .level = level,
                                   .time_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec,
                                   .module = label,
                                   .text = text,
                                   .chain = chain };
    struct berth_callout callout;
    berth_callout_begin(&callout, &host->threads);
    log(host->options.log_user, &line);
    berth_callout_end(&callout);
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
    pass_on(host, generation, level, "", text);
}

void berth_module_log_va(berth_ctx *ctx, const struct berth_generation *generation, int level,
                         const char *format, va_list arguments)
{
    const struct berth_host *host = berth_host_of(ctx);
    char text[TEXT_MAX], chain[512];
    level = clamp(level);
    if (!is_wanted(host, generation, level))
        return;
    format_text(text, format, arguments);
    berth_chain_print(ctx, chain, sizeof chain);
    pass_on(host, generation, level, chain, text);
}

void berth_worker_log(const struct berth_generation *generation, int level, const char *chain,
                      const char *text)
{
    char copy[TEXT_MAX], calls[512];
    if (!is_wanted(generation->host, generation, level))
        return;
    snprintf(copy, sizeof copy, "%s", text);
    copy[berth_utf8_cut(copy, strlen(copy))] = '\0';
    snprintf(calls, sizeof calls, "%s", chain);
    calls[berth_utf8_cut(calls, strlen(calls))] = '\0';
    make_line(calls);
    pass_on(generation->host, generation, level, calls, copy);
}
