/* SPDX-License-Identifier: MIT */
#include "runtime/shell/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/error.h"
#include "runtime/shell/log.h"
#include "runtime/shell/output.h"
#include "runtime/value/json.h"

void berth_problems_init(struct berth_problems *problems, const char *file, const char *text,
                         size_t size)
{
    *problems = (struct berth_problems){ .file = file, .text = text, .end = text + size };
    berth_arena_init(&problems->arena);
    berth_buffer_init(&problems->list, 0);
}

void berth_problems_deinit(struct berth_problems *problems)
{
    berth_buffer_deinit(&problems->list);
    berth_arena_deinit(&problems->arena);
}

void berth_problems_add(struct berth_problems *problems, bool warning, const char *at,
                        const char *format, ...)
{
    struct berth_error error; /* makes one line of any words */
    va_list arguments;

    va_start(arguments, format);
    berth_error_set_va(&error, BERTH_INVALID_ARGUMENT, format, arguments);
    va_end(arguments);
    struct berth_problem problem = {
        .at = at,
        .number = problems->count,
        .warning = warning,
        .text = berth_arena_string(&problems->arena, error.text),
    };
    berth_buffer_append(&problems->list, &problem, sizeof(problem));
    if (!problem.text || problems->list.failed) {
        problems->failed = true;
        return;
    }
    problems->count++;
    problems->errors += !warning;
}

static int compare(const void *left, const void *right)
{
    const struct berth_problem *a = left, *b = right;

    if (a->at != b->at)
        return a->at < b->at ? -1 : 1;
    return a->number < b->number ? -1 : 1;
}

const struct berth_problem *berth_problems_sort(struct berth_problems *problems)
{
    struct berth_problem *list = (struct berth_problem *)(void *)problems->list.data;
    const char *c = problems->text;
    size_t line = 1, column = 1;

    if (!problems->count)
        return NULL;
    qsort(list, problems->count, sizeof(*list), compare);
    for (size_t i = 0; i < problems->count; i++) { /* one walk through the text for all */
        if (!list[i].at)
            continue;
        for (; c < list[i].at; c++) {
            if (*c == '\n') {
                line++;
                column = 1;
            } else if (((unsigned char)*c & 0xc0) != 0x80) {
                column++;
            }
        }
        list[i].line = line;
        list[i].column = column;
    }
    return list;
}

void berth_problems_print(struct berth_problems *problems)
{
    const struct berth_problem *list = berth_problems_sort(problems);

    flockfile(stderr);
    for (size_t i = 0; i < problems->count; i++) {
        berth_output_visible(stderr, problems->file, strlen(problems->file), false);
        if (list[i].line)
            fprintf(stderr, ":%zu:%zu", list[i].line, list[i].column);
        fputs(list[i].warning ? ": warning: " : ": ", stderr);
        berth_output_visible(stderr, list[i].text, strlen(list[i].text), false);
        putc('\n', stderr);
    }
    funlockfile(stderr);
}

void berth_problems_log(struct berth_problems *problems)
{
    const struct berth_problem *list = berth_problems_sort(problems);

    for (size_t i = 0; i < problems->count; i++) {
        char place[64] = "";
        if (list[i].line)
            snprintf(place, sizeof(place), ":%zu:%zu", list[i].line, list[i].column);
        (list[i].warning ? berth_log_warning : berth_log_error)("%s%s: %s", problems->file, place,
                                                                list[i].text);
    }
}

void berth_problems_json(struct berth_problems *problems, struct berth_buffer *buffer)
{
    const struct berth_problem *list = berth_problems_sort(problems);

    berth_buffer_text(buffer, "[");
    for (size_t i = 0; i < problems->count; i++) {
        berth_buffer_text(buffer, i ? ",{" : "{");
        if (list[i].line)
            berth_buffer_format(buffer, "\"line\":%zu,\"column\":%zu,", list[i].line,
                                list[i].column);
        berth_buffer_format(buffer,
                            "\"level\":\"%s\",\"text\":", list[i].warning ? "warning" : "error");
        berth_json_write_string(list[i].text, strlen(list[i].text), buffer);
        berth_buffer_text(buffer, "}");
    }
    berth_buffer_text(buffer, "]");
}

int berth_problems_error(const struct berth_problems *problems, struct berth_error *error)
{
    if (problems->failed)
        return berth_error_nomem(error);
    if (!problems->errors)
        return BERTH_OK;
    return berth_error_set(error, BERTH_INVALID_ARGUMENT, "%s: %zu error%s", problems->file,
                           problems->errors, problems->errors == 1 ? "" : "s");
}
