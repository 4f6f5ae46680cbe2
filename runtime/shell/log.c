/* SPDX-License-Identifier: MIT */
#include "runtime/shell/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "runtime/shell/output.h"

enum { SECOND = 1000000000, MILLISECOND = 1000000 };

static const char *level_name(int level)
{
    static const char *const names[] = { "error", "warning", "info", "debug" };
    return level >= BERTH_LOG_ERROR && level <= BERTH_LOG_DEBUG ? names[level] : "?";
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

void berth_log_info(const char *format, ...)
{
    struct timespec now;
    char text[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    clock_gettime(CLOCK_REALTIME, &now);
    berth_log_print(NULL, &(struct berth_log_line){
                              .size = sizeof(struct berth_log_line),
                              .level = BERTH_LOG_INFO,
                              .time_ns = (int64_t)now.tv_sec * SECOND + now.tv_nsec,
                              .module = "",
                              .text = text,
                          });
}
