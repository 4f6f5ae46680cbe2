/* SPDX-License-Identifier: MIT */
/*
 * The frozen layouts: this file states them once more, in numbers, so that the headers cannot
 * change them by accident, and compares the same numbers with the tables of doc/abi.md.
 */
#include <berth/module.h>

#include <berth/host.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/suite.h"

BERTH_MODULE("frozen", "1.0.0", "For the layouts that only a module sees.");
BERTH_STRUCT(pair, (u8, first), (f64, second));
BERTH_HANDLE(thing, close, "A thing.");

struct row {
    const char *type, *member; /* member "" for the type itself */
    size_t offset, size;
};

/* A constant expression whose value is a row; it does not compile unless the numbers are right. */
#define SURE(condition)                         \
    (sizeof(struct {                            \
         _Static_assert(condition, #condition); \
         char c;                                \
     }) *                                       \
     0)
#define MEMBER(type, member, at, bytes)                          \
    {                                                            \
#type, #member, at + SURE(offsetof(type, member) == at), \
            bytes + SURE(sizeof(((type *)0)->member) == bytes)   \
    }
#define WHOLE(type, bytes)                                \
    {                                                     \
#type, "", 0, bytes + SURE(sizeof(type) == bytes) \
    }

static const struct row rows[] = {
    /* what modules and hosts agree on for good */
    WHOLE(struct berth_entry, 24),
    MEMBER(struct berth_entry, size, 0, 4),
    MEMBER(struct berth_entry, abi, 4, 4),
    MEMBER(struct berth_entry, links, 8, 8),
    MEMBER(struct berth_entry, links_end, 16, 8),
    WHOLE(struct berth_link, 32),
    MEMBER(struct berth_link, record, 0, 8),
    MEMBER(struct berth_link, code, 8, 8),
    MEMBER(struct berth_link, check, 16, 8),
    MEMBER(struct berth_link, edge, 24, 8),
    WHOLE(struct berth_ctx, 8),
    MEMBER(struct berth_ctx, frame, 0, 8),
    MEMBER(struct berth_block, size, 0, 4),
    MEMBER(struct berth_block, abi, 4, 4),
    MEMBER(struct berth_block, services, 8, 8),
    MEMBER(struct berth_block, chain, 16, 4),
    WHOLE(struct berth_pass, 8),
    MEMBER(struct berth_pass, chain, 0, 4),
    MEMBER(struct berth_pass, inside, 4, 4),
    MEMBER(struct berth_gate, pass, 0, 8),
    MEMBER(struct berth_gate, owner, 8, 4),
    WHOLE(struct berth_note, 20),
    MEMBER(struct berth_note, namesz, 0, 4),
    MEMBER(struct berth_note, descsz, 4, 4),
    MEMBER(struct berth_note, type, 8, 4),
    MEMBER(struct berth_note, name, 12, 8),
    /* values */
    WHOLE(berth_bool, 1),
    WHOLE(berth_string, 8),
    WHOLE(berth_json, 8),
    WHOLE(berth_bytes, 16),
    MEMBER(berth_bytes, data, 0, 8),
    MEMBER(berth_bytes, size, 8, 8),
    WHOLE(berth_array_u8, 16),
    MEMBER(berth_array_u8, data, 0, 8),
    MEMBER(berth_array_u8, count, 8, 8),
    WHOLE(berth_optional_u8, 2),
    MEMBER(berth_optional_u8, present, 0, 1),
    MEMBER(berth_optional_u8, value, 1, 1),
    WHOLE(berth_optional_f64, 16),
    MEMBER(berth_optional_f64, present, 0, 1),
    MEMBER(berth_optional_f64, value, 8, 8),
    WHOLE(berth_optional_string, 8),
    WHOLE(berth_pair, 16),
    MEMBER(berth_pair, first, 0, 1),
    MEMBER(berth_pair, second, 8, 8),
    WHOLE(berth_thing, 8),
    MEMBER(berth_thing, id, 0, 8),
    WHOLE(struct berth_error, 1024),
    MEMBER(struct berth_error, code, 0, 4),
    MEMBER(struct berth_error, text, 8, 1016),
    /* grows at its end */
    MEMBER(struct berth_services, size, 0, 4),
    MEMBER(struct berth_services, abi, 4, 4),
    MEMBER(struct berth_services, enter, 8, 8),
    MEMBER(struct berth_services, leave, 16, 8),
    MEMBER(struct berth_services, leave_gate, 24, 8),
    MEMBER(struct berth_services, call, 32, 8),
    MEMBER(struct berth_services, keep, 40, 8),
    MEMBER(struct berth_services, publish, 48, 8),
    MEMBER(struct berth_services, fail, 56, 8),
    MEMBER(struct berth_services, clear, 64, 8),
    MEMBER(struct berth_services, error, 72, 8),
    MEMBER(struct berth_services, alloc, 80, 8),
    MEMBER(struct berth_services, format, 88, 8),
    MEMBER(struct berth_services, mark, 96, 8),
    MEMBER(struct berth_services, rewind, 104, 8),
    MEMBER(struct berth_services, log, 112, 8),
    MEMBER(struct berth_services, option, 120, 8),
    MEMBER(struct berth_services, handle_new, 128, 8),
    MEMBER(struct berth_services, handle_get, 136, 8),
    MEMBER(struct berth_services, timer, 144, 8),
    MEMBER(struct berth_services, watch, 152, 8),
    MEMBER(struct berth_services, thread, 160, 8),
    MEMBER(struct berth_services, cancel, 168, 8),
    MEMBER(struct berth_services, time_left, 176, 8),
    MEMBER(struct berth_services, stopping, 184, 8),
    MEMBER(struct berth_services, topic, 192, 8),
    MEMBER(struct berth_services, leave_thread, 200, 8),
    MEMBER(struct berth_services, stopping_fd, 208, 8),
    MEMBER(struct berth_services, module_name, 216, 8),
    MEMBER(struct berth_services, call_start, 224, 8),
    MEMBER(struct berth_services, call_send, 232, 8),
    MEMBER(struct berth_services, call_take, 240, 8),
    MEMBER(struct berth_services, call_wait, 248, 8),
    MEMBER(struct berth_services, call_then, 256, 8),
    MEMBER(struct berth_services, call_limit, 264, 8),
    MEMBER(struct berth_services, call_end, 272, 8),
    MEMBER(struct berth_services, call_keep, 280, 8),
    MEMBER(struct berth_services, kept_reply, 288, 8),
    MEMBER(struct berth_services, kept_fail, 296, 8),
    MEMBER(struct berth_services, kept_stopping, 304, 8),
    MEMBER(struct berth_services, handle_restore, 312, 8),
    MEMBER(struct berth_services, blob_new, 320, 8),
    MEMBER(struct berth_services, blob_keep, 328, 8),
    MEMBER(struct berth_services, blob_release, 336, 8),
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static const struct {
    const char *name;
    unsigned long long value;
} constants[] = {
    { "BERTH_ABI", BERTH_ABI },
    { "BERTH_BLOCK", BERTH_BLOCK },
    { "BERTH_CHECK_SLOW", BERTH_CHECK_SLOW },
    { "BERTH_FRAME_FAILED", BERTH_FRAME_FAILED },
    { "BERTH_FRAME_OBJECT", BERTH_FRAME_OBJECT },
    { "BERTH_ENTER_REFUSED", BERTH_ENTER_REFUSED },
    { "BERTH_ENTER_CALL", BERTH_ENTER_CALL },
    { "BERTH_ENTER_GENERAL", BERTH_ENTER_GENERAL },
    { "BERTH_LOG_ERROR", BERTH_LOG_ERROR },
    { "BERTH_LOG_WARNING", BERTH_LOG_WARNING },
    { "BERTH_LOG_INFO", BERTH_LOG_INFO },
    { "BERTH_LOG_DEBUG", BERTH_LOG_DEBUG },
};
#define CONSTANTS (sizeof(constants) / sizeof(constants[0]))

_Static_assert(BERTH_ABI == 1 && BERTH_BLOCK == 4096 && BERTH_CHECK_SLOW == 1, "frozen");
_Static_assert(BERTH_FRAME_FAILED == 0x4000000000000000 && BERTH_FRAME_OBJECT == 0x8000000000000000,
               "frozen");
_Static_assert(BERTH_ENTER_REFUSED == 0 && BERTH_ENTER_CALL == 1 && BERTH_ENTER_GENERAL == 2,
               "frozen");
_Static_assert(BERTH_OK == 0 && BERTH_CANCELLED == 1 && BERTH_UNAUTHENTICATED == 16, "frozen");
_Static_assert(_Alignof(struct berth_link) == 32 && _Alignof(berth_optional_f64) == 8, "frozen");

/* The n-th cell, from 1, of a line of a table, without blanks and back quotes; "" without one. */
static const char *cell(const char *line, int n)
{
    size_t length;
    for (; n > 0 && line; n--)
        line = strchr(line, '|') ? strchr(line, '|') + 1 : NULL;
    if (!line || !strchr(line, '|'))
        return "";
    length = strcspn(line, "|");
    while (length && strchr(" `", *line))
        line++, length--;
    while (length && strchr(" `", line[length - 1]))
        length--;
    return berth_test_format("%.*s", (int)length, line);
}

static bool is_number(const char *text)
{
    return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0';
}

/* Finds a row and says whether the document's numbers are those of the compiler. */
static bool row_found(const char *type, const char *member, const char *offset, const char *size)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (strcmp(rows[i].type, type) || strcmp(rows[i].member, member))
            continue;
        return rows[i].size == strtoul(size, NULL, 10) &&
               (*member ? is_number(offset) : *offset == '\0') &&
               rows[i].offset == strtoul(offset, NULL, 10);
    }
    return false;
}

static void document_says_the_same(void)
{
    size_t documented_rows = 0, documented_constants = 0;
    char *text = berth_test_read(berth_test_source("doc/abi.md"), NULL);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        const char *first = cell(line, 1);
        if (is_number(cell(line, 4))) {
            documented_rows++;
            if (!berth_check(row_found(first, cell(line, 2), cell(line, 3), cell(line, 4)),
                             BERTH_TEST_HERE, "a row of doc/abi.md is what the compiler sees"))
                berth_note("the row: %s", line);
        } else if (!strncmp(first, "BERTH_", 6)) {
            documented_constants++;
            for (size_t i = 0; i < CONSTANTS; i++) {
                if (!strcmp(constants[i].name, first) &&
                    !berth_check(constants[i].value == strtoull(cell(line, 2), NULL, 0),
                                 BERTH_TEST_HERE,
                                 "a constant of doc/abi.md is what the compiler sees"))
                    berth_note("the row: %s", line);
            }
        }
    }
    CHECK_INT(documented_rows, ROWS);
    CHECK_INT(documented_constants, CONSTANTS);
}

/* As deep as calls are promised to go. */
static void a_block_has_room(void)
{
    CHECK(sizeof(struct berth_block) <= 64);
    CHECK((BERTH_BLOCK - sizeof(struct berth_block)) / sizeof(berth_ctx) >= 400);
}

/* The table of links of this very program, as the host walks it. */
static void the_entry_is_a_whole_table(void)
{
    CHECK_INT(berth_entry.size, 24);
    CHECK_INT(berth_entry.abi, 1);
    CHECK(berth_entry.links < berth_entry.links_end);
    CHECK_INT((uintptr_t)berth_entry.links % 32, 0);
    for (struct berth_link *link = berth_entry.links; link < berth_entry.links_end; link++) {
        const struct berth_note *note = (const struct berth_note *)link->record;
        CHECK_INT(note->namesz, 6);
        CHECK_INT(note->type, 1);
        CHECK_STR(note->name, "Berth");
        CHECK_INT(((const char *)(note + 1))[note->descsz - 1], 0);
        CHECK_INT(link->check, 1);
    }
}

static const struct berth_test tests[] = {
    { "document_says_the_same", document_says_the_same },
    { "a_block_has_room", a_block_has_room },
    { "the_entry_is_a_whole_table", the_entry_is_a_whole_table },
};

int main(int argc, char **argv)
{
    return berth_suite_main("frozen", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
