/* SPDX-License-Identifier: MIT */
#include "runtime/shell/line.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "runtime/shell/log.h"
#include "runtime/shell/output.h"
#include "runtime/value/json.h"

enum { SECOND = 1000000000, MILLISECOND = 1000000 };
#define ARROW " \xe2\x86\x92 "

static const char *level_name(int level)
{
    return level >= BERTH_LOG_ERROR && level <= BERTH_LOG_DEBUG ? berth_log_levels[level] : "?";
}

void berth_line_origin_init(struct berth_line_origin *origin, const struct berth_log_line *line)
{
    snprintf(origin->module, sizeof(origin->module), "%s", *line->module ? line->module : "host");
    origin->version = origin->generation = "";
    char *at = strchr(origin->module, '@'), *number = strrchr(origin->module, '#');
    if (!at || !number || number < at)
        return;
    *at = *number = '\0';
    origin->version = at + 1;
    origin->generation = number + 1;
}

static void put_time(const struct berth_log_line *line, struct berth_buffer *buffer)
{
    time_t seconds = (time_t)(line->time_ns / SECOND);
    struct tm utc;
    char when[32] = "";

    if (gmtime_r(&seconds, &utc))
        strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &utc);
    berth_buffer_format(buffer, "%s.%03dZ", when, (int)(line->time_ns % SECOND / MILLISECOND));
}

void berth_line_text(const struct berth_log_line *line, struct berth_buffer *buffer)
{
    char shown[BERTH_OUTPUT_CHARACTER];

    put_time(line, buffer);
    berth_buffer_format(buffer, " %s %s ", level_name(line->level),
                        *line->module ? line->module : "host");
    for (size_t i = 0, size = strlen(line->text); i < size;) {
        i += berth_output_character(line->text + i, size - i, false, shown);
        berth_buffer_text(buffer, shown);
    }
    berth_buffer_text(buffer, "\n");
}

static void put_chain(const char *chain, struct berth_buffer *buffer)
{
    berth_buffer_text(buffer, ",\"chain\":[");
    for (const char *next; chain; chain = next ? next + strlen(ARROW) : NULL) {
        next = strstr(chain, ARROW);
        berth_json_write_string(chain, next ? (size_t)(next - chain) : strlen(chain), buffer);
        berth_buffer_text(buffer, next ? "," : "");
    }
    berth_buffer_text(buffer, "]");
}

/* JSON allows DEL, and U+0080 to U+009F, as they are; they stand in strings only. */
static void append_visible(const char *json, struct berth_buffer *buffer)
{
    for (const char *at = json; *at;) {
        size_t plain = strcspn(at, "\x7f\xc2");
        unsigned char next = at[plain] ? (unsigned char)at[plain + 1] : 0;
        berth_buffer_append(buffer, at, plain);
        at += plain;
        if (*at == '\x7f') {
            berth_buffer_text(buffer, "\\u007f");
            at++;
        } else if (*at && next >= 0x80 && next <= 0x9f) {
            berth_buffer_format(buffer, "\\u%04x", next);
            at += 2;
        } else if (*at) {
            berth_buffer_append(buffer, at++, 1);
        }
    }
}

void berth_line_json(const struct berth_log_line *line, struct berth_buffer *buffer)
{
    struct berth_line_origin origin;
    struct berth_buffer json;

    berth_buffer_init(&json, 0);
    berth_line_origin_init(&origin, line);
    berth_buffer_text(&json, "{\"time\":\"");
    put_time(line, &json);
    berth_buffer_format(&json, "\",\"level\":\"%s\",\"module\":\"%s\"", level_name(line->level),
                        origin.module);
    if (*origin.generation)
        berth_buffer_format(&json, ",\"version\":\"%s\",\"generation\":%s", origin.version,
                            origin.generation);
    if (*line->chain)
        put_chain(line->chain, &json);
    berth_buffer_text(&json, ",\"text\":");
    berth_json_write_string(line->text, strlen(line->text), &json);
    berth_buffer_text(&json, "}\n");
    if (json.failed)
        buffer->failed = true;
    else
        append_visible(json.data, buffer);
    berth_buffer_deinit(&json);
}
