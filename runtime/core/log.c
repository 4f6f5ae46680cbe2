/* SPDX-License-Identifier: MIT */
/* Lines for the application's log callback, or for the host upstream. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "runtime/base/text.h"
#include "runtime/core/log.h"
#include "runtime/core/registry.h"

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

void berth_host_log_va(struct berth_host *host, const struct berth_generation *generation,
                       int level, const char *format, va_list arguments)
{
    char label[128] = "", text[2048];
    struct timespec now;
    if (level < BERTH_LOG_ERROR)
        level = BERTH_LOG_ERROR;
    if (level > BERTH_LOG_DEBUG)
        level = BERTH_LOG_DEBUG;
    void (*log)(void *user, const struct berth_log_line *line) =
        __atomic_load_n(&host->options.log, __ATOMIC_RELAXED);
    if (level > host->options.log_level || (!log && !host->upstream))
        return;
    vsnprintf(text, sizeof text, format, arguments);
    text[berth_utf8_cut(text, strlen(text))] = '\0';
    make_line(text);
    if (host->upstream) {
        host->upstream->log(host->upstream->user, level, text);
        return;
    }
    if (generation)
        berth_module_label(generation, label, sizeof label);
    clock_gettime(CLOCK_REALTIME, &now);
    struct berth_log_line line = { sizeof line, level,
                                   (int64_t)now.tv_sec * 1000000000 + now.tv_nsec, label, text };
    log(host->options.log_user, &line);
}

void berth_host_log(struct berth_host *host, const struct berth_generation *generation, int level,
                    const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    berth_host_log_va(host, generation, level, format, arguments);
    va_end(arguments);
}
