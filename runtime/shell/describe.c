/* SPDX-License-Identifier: MIT */
#include "runtime/shell/describe.h"

#include <string.h>

struct describe {
    struct berth_piece manifest;
    struct berth_arena *arena;
    struct berth_buffer *buffer;
};

/* ---- parts of lines ---- */

static const char *text_of(const struct describe *describe, struct berth_piece object,
                           const char *name)
{
    return berth_piece_text_of(object, name, describe->arena);
}

static void put(const struct describe *describe, const char *text)
{
    berth_buffer_text(describe->buffer, text);
}

/* A text that may have several lines: those after the first are indented. */
static void put_text(const struct describe *describe, const char *text, size_t indent)
{
    for (; *text; text++) {
        if (*text == '\n')
            berth_buffer_format(describe->buffer, "\n%*s", (int)indent, "");
        else
            berth_buffer_append(describe->buffer, *text == '\t' ? " " : text, 1);
    }
}

/* A paragraph below its line, if there is one. */
static void put_doc(const struct describe *describe, const char *doc, size_t indent)
{
    if (!*doc)
        return;
    berth_buffer_format(describe->buffer, "%*s", (int)indent, "");
    put_text(describe, doc, indent);
    put(describe, "\n");
}

/* The documented ones, one a line, their names aligned. */
static void put_parameters(const struct describe *describe, struct berth_piece parameters)
{
    struct berth_piece_walk walk = berth_piece_begin(parameters);
    struct berth_piece each;
    size_t width = 0;

    while (berth_piece_next(&walk, NULL, &each)) {
        size_t length = strlen(text_of(describe, each, "name"));
        if (*text_of(describe, each, "doc") && length > width)
            width = length;
    }
    walk = berth_piece_begin(parameters);
    while (berth_piece_next(&walk, NULL, &each)) {
        const char *doc = text_of(describe, each, "doc");
        if (!*doc)
            continue;
        berth_buffer_format(describe->buffer, "%8s%-*s  ", "", (int)width,
                            text_of(describe, each, "name"));
        put_text(describe, doc, width + 10);
        put(describe, "\n");
    }
}

/* name(type a, type b), with the result if there can be one. */
static void put_signature(const struct describe *describe, const char *name,
                          struct berth_piece function)
{
    struct berth_piece_walk walk = berth_piece_begin(berth_piece_get(function, "parameters"));
    struct berth_piece each;
    const char *separator = "", *result = text_of(describe, function, "result");

    berth_buffer_format(describe->buffer, "  %s(", name);
    while (berth_piece_next(&walk, NULL, &each)) {
        berth_buffer_format(describe->buffer, "%s%s %s", separator, text_of(describe, each, "type"),
                            text_of(describe, each, "name"));
        separator = ", ";
    }
    put(describe, ")");
    if (*result && strcmp(result, "void") != 0)
        berth_buffer_format(describe->buffer, " -> %s", result);
}

/*
 * Begins the walk through a member of the manifest, below its heading if there is anything in it.
 */
static struct berth_piece_walk section(const struct describe *describe, const char *name,
                                       const char *heading)
{
    struct berth_piece list = berth_piece_get(describe->manifest, name);

    if (berth_piece_count(list))
        berth_buffer_format(describe->buffer, "\n%s\n", heading);
    return berth_piece_begin(list);
}

/* ---- sections ---- */

static bool is_true(struct berth_piece object, const char *name)
{
    return berth_piece_kind(berth_piece_get(object, name)) == 't';
}

static void put_head(const struct describe *describe)
{
    struct berth_piece all = describe->manifest;
    const char *doc = text_of(describe, all, "doc");

    berth_buffer_format(describe->buffer, "%s %s", text_of(describe, all, "module"),
                        text_of(describe, all, "version"));
    if (*doc) {
        put(describe, " \xe2\x80\x94 ");
        put_text(describe, doc, 2);
    }
    berth_buffer_format(describe->buffer, "\n  %s, made with berth %s (ABI %s, API %s)\n",
                        text_of(describe, all, "concurrency"), text_of(describe, all, "header"),
                        text_of(describe, all, "abi"), text_of(describe, all, "api"));
}

static void put_functions(const struct describe *describe)
{
    struct berth_piece_walk walk = section(describe, "functions", "Functions");
    struct berth_piece key, function;

    while (berth_piece_next(&walk, &key, &function)) {
        put_signature(describe, berth_piece_text(key, describe->arena), function);
        put(describe, is_true(function, "async") ? ", answers later\n" : "\n");
        put_doc(describe, text_of(describe, function, "doc"), 6);
        put_parameters(describe, berth_piece_get(function, "parameters"));
    }
}

/* What is done with a full mailbox, unless it rejects. */
static void put_full(const struct describe *describe, struct berth_piece each, const char *block,
                     const char *drop)
{
    const char *full = text_of(describe, each, "full");

    if (strcmp(full, "block") == 0)
        put(describe, block);
    else if (strcmp(full, "drop_oldest") == 0)
        put(describe, drop);
}

static void put_topic_ways(const struct describe *describe, struct berth_piece topic)
{
    if (is_true(topic, "last"))
        put(describe, ", kept as its current value");
    if (strcmp(text_of(describe, topic, "priority"), "control") == 0)
        put(describe, ", of priority control");
}

static void put_receipt(const struct describe *describe, struct berth_piece subscribe)
{
    const char *group = text_of(describe, subscribe, "group");
    uint64_t tries = berth_piece_integer_of(subscribe, "tries");

    put_full(describe, subscribe, ", whose senders wait for room", ", dropping the oldest");
    if (*group)
        berth_buffer_format(describe->buffer, ", one of group %s", group);
    if (tries > 1)
        berth_buffer_format(describe->buffer, ", with %llu tries", (unsigned long long)tries);
}

static void put_messages(const struct describe *describe)
{
    struct berth_piece_walk walk = section(describe, "topics", "Publishes");
    struct berth_piece key, each;

    while (berth_piece_next(&walk, &key, &each)) {
        put_signature(describe, berth_piece_text(key, describe->arena), each);
        put_topic_ways(describe, each);
        put(describe, "\n");
        put_parameters(describe, berth_piece_get(each, "parameters"));
    }
    walk = section(describe, "subscribes", "Subscribes to");
    while (berth_piece_next(&walk, NULL, &each)) {
        const char *topic = text_of(describe, each, "topic");
        if (is_true(each, "any"))
            berth_buffer_format(describe->buffer, "  %s, of any type", topic);
        else
            put_signature(describe, topic, each);
        berth_buffer_format(describe->buffer, ", handled by %s",
                            text_of(describe, each, "handler"));
        put_receipt(describe, each);
        put(describe, "\n");
    }
}

static void put_needs(const struct describe *describe)
{
    struct berth_piece_walk walk = section(describe, "requires", "Requires");
    struct berth_piece key, each;

    while (berth_piece_next(&walk, &key, &each))
        berth_buffer_format(describe->buffer, "  %s %s\n", berth_piece_text(key, describe->arena),
                            berth_piece_text(each, describe->arena));
    walk = section(describe, "imports", "Imports");
    while (berth_piece_next(&walk, NULL, &each)) {
        put_signature(describe, text_of(describe, each, "function"), each);
        put_full(describe, each, ", waiting for room when it is started or sent",
                 ", dropping the oldest when it is sent");
        put(describe, "\n");
    }
}

static void put_options(const struct describe *describe)
{
    struct berth_piece_walk walk = section(describe, "options", "Options");
    struct berth_piece key, option;

    while (berth_piece_next(&walk, &key, &option)) {
        struct berth_piece value = berth_piece_get(option, "default");
        berth_buffer_format(describe->buffer, "  %s %s = ", text_of(describe, option, "type"),
                            berth_piece_text(key, describe->arena));
        berth_piece_line(value, describe->buffer);
        put(describe, "\n");
        put_doc(describe, text_of(describe, option, "doc"), 6);
    }
}

static void put_struct(const struct describe *describe, struct berth_piece fields)
{
    struct berth_piece_walk walk = berth_piece_begin(fields);
    struct berth_piece field;
    const char *before = "{ ";

    while (berth_piece_next(&walk, NULL, &field)) {
        berth_buffer_format(describe->buffer, "%s%s %s", before, text_of(describe, field, "type"),
                            text_of(describe, field, "name"));
        before = ", ";
    }
    put(describe, " }");
}

static void put_types(const struct describe *describe)
{
    struct berth_piece_walk walk = section(describe, "types", "Types");
    struct berth_piece key, type;

    while (berth_piece_next(&walk, &key, &type)) {
        struct berth_piece handle = berth_piece_get(type, "handle");
        struct berth_piece fields = berth_piece_get(type, "struct");
        const char *release = text_of(describe, handle, "release");

        berth_buffer_format(describe->buffer, "  %s ", berth_piece_text(key, describe->arena));
        if (*release)
            berth_buffer_format(describe->buffer, "is a handle, ended by %s", release);
        else if (handle.size)
            berth_buffer_format(describe->buffer, "is a handle of %s.%s",
                                text_of(describe, handle, "module"),
                                text_of(describe, handle, "kind"));
        else
            put_struct(describe, fields);
        put(describe, "\n");
        put_doc(describe, text_of(describe, type, "doc"), 6);
        put_parameters(describe, fields);
    }
}

static void put_rest(const struct describe *describe)
{
    struct berth_piece_walk walk = berth_piece_begin(berth_piece_get(describe->manifest, "hooks"));
    struct berth_piece each;
    const char *before = "\nLife\n  ";

    for (; berth_piece_next(&walk, NULL, &each); before = ", ") {
        const char *hook = berth_piece_text(each, describe->arena);
        berth_buffer_format(describe->buffer, "%s%s", before, hook);
        if (!strcmp(hook, "save"))
            berth_buffer_format(
                describe->buffer, " (state of version %s)",
                text_of(describe, berth_piece_get(describe->manifest, "state"), "version"));
    }
    if (*before == ',')
        put(describe, "\n");
    walk = section(describe, "other", "Not known to this berth");
    while (berth_piece_next(&walk, NULL, &each)) {
        put(describe, "  ");
        berth_piece_line(each, describe->buffer);
        put(describe, "\n");
    }
}

void berth_describe(struct berth_piece manifest, struct berth_arena *arena,
                    struct berth_buffer *buffer)
{
    const struct describe describe = { manifest, arena, buffer };

    put_head(&describe);
    put_functions(&describe);
    put_messages(&describe);
    put_needs(&describe);
    put_options(&describe);
    put_types(&describe);
    put_rest(&describe);
}
