/* SPDX-License-Identifier: MIT */
#include "runtime/shell/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "runtime/shell/output.h"

enum { SECOND = 1000000000, MILLISECOND = 1000000 };

const char *const berth_log_levels[] = {
    [BERTH_LOG_ERROR] = "error", [BERTH_LOG_WARNING] = "warning", [BERTH_LOG_INFO] = "info",
    [BERTH_LOG_DEBUG] = "debug", [BERTH_LOG_DEBUG + 1] = NULL,
};

static const char *level_name(int level)
{
    return level >= BERTH_LOG_ERROR && level <= BERTH_LOG_DEBUG ? berth_log_levels[level] : "?";
}

void berth_log_print(void *user, const struct berth_log_line *line)
{
    time_t seconds = (time_t)(line->time_ns / SECOND);
    struct tm utc;
    char when[32] = "";

    (void)user;
    if (gmtime_r(&seconds, &utc))
        strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &utc);

    flockfile(stderr);
    fprintf(stderr, "%s.%03dZ %s ", when, (int)(line->time_ns % SECOND / MILLISECOND),
            level_name(line->level));
    fputs(*line->module ? line->module : "host", stderr);
    putc(' ', stderr);
    berth_output_visible(stderr, line->text, strlen(line->text), false);
    putc('\n', stderr);
    funlockfile(stderr);
}

__attribute__((format(printf, 2, 0))) static void print_own(int level, const char *format,
                                                            va_list arguments)
{
    struct timespec now;
    char text[1200]; /* an error, and some words */

    vsnprintf(text, sizeof(text), format, arguments);
    clock_gettime(CLOCK_REALTIME, &now);
    berth_log_print(NULL, &(struct berth_log_line){
                              .size = sizeof(struct berth_log_line),
                              .level = level,
                              .time_ns = (int64_t)now.tv_sec * SECOND + now.tv_nsec,
                              .module = "",
                              .text = text,
                          });
}

void berth_log_info(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_own(BERTH_LOG_INFO, format, arguments);
    va_end(arguments);
}

void berth_log_warning(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_own(BERTH_LOG_WARNING, format, arguments);
    va_end(arguments);
}

void berth_log_error(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_own(BERTH_LOG_ERROR, format, arguments);
    va_end(arguments);
}
