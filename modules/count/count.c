/* SPDX-License-Identifier: MIT */
/*
 * Counts the lines that `tail` publishes, and what stands in one of their fields. A reload takes
 * the counts over. Numbers say which lines came twice (they count once) and which never came.
 */
#include <berth/module.h>

#include <stdlib.h>
#include <string.h>

#ifndef COUNT_VERSION
#define COUNT_VERSION "1.0.0"
#endif

BERTH_MODULE("count", COUNT_VERSION, "Counts the lines of tail.");
BERTH_OPTION(u32, field, 3, "Which field of a line is counted by value; 0: none.");

BERTH_STRUCT(counts, (u64, lines), (u64, fields, "parted by blanks, as awk(1) does"), (u64, size),
             (u64, values, "different ones in the chosen field"),
             (u64, repeated, "lines that came twice, and count once"),
             (u64, missing, "lines that never came"),
             (u64, since, "the line after which this generation went on; 0: the first one"));

/* What a reload hands over, before the values. */
struct state {
    int64_t began; /* the sequence of numbers, of tail */
    uint64_t number;
    uint64_t lines, fields, size, repeated, missing;
    uint64_t values;
};
static struct state here;
static uint64_t since;
static uint32_t field;

#define BUCKETS 1024
struct value {
    struct value *next;
    uint64_t count;
    size_t size;
    char text[];
};
static struct value *buckets[BUCKETS];

static struct value *value_obtain(const char *text, size_t size)
{
    uint32_t hash = 2166136261;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)text[i]) * 16777619;
    struct value **place = &buckets[hash % BUCKETS];
    while (*place && ((*place)->size != size || memcmp((*place)->text, text, size)))
        place = &(*place)->next;
    if (!*place && (*place = (struct value *)calloc(1, sizeof(struct value) + size))) {
        (*place)->size = size;
        memcpy((*place)->text, text, size);
        here.values++;
    }
    return *place;
}

/*
 * Every value, in no order: for (struct value *v = value_next(NULL, &i); v; v = value_next(v, &i))
 */
static struct value *value_next(struct value *value, size_t *bucket)
{
    if (!value)
        *bucket = 0;
    else if (value->next)
        return value->next;
    else
        ++*bucket;
    while (*bucket < BUCKETS && !buckets[*bucket])
        ++*bucket;
    return *bucket < BUCKETS ? buckets[*bucket] : NULL;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

static void count_fields(berth_ctx *ctx, const char *text, size_t size)
{
    uint32_t number = 0;
    for (size_t i = 0; i < size;) {
        size_t begin = i;
        while (i < size && !is_blank(text[i]))
            i++;
        if (i > begin) {
            here.fields++;
            if (++number == field) {
                struct value *value = value_obtain(text + begin, i - begin);
                if (value)
                    value->count++;
                else
                    berth_fail(ctx, BERTH_RESOURCE_EXHAUSTED, "no memory for another value");
            }
        }
        i += i < size;
    }
}

BERTH_START
{
    field = option_field(ctx);
}

BERTH_STOP
{
    for (size_t i = 0; i < BUCKETS; i++) {
        while (buckets[i]) {
            struct value *value = buckets[i];
            buckets[i] = value->next;
            free(value);
        }
    }
}

BERTH_SUBSCRIBE("tail.line", on_line, (i64, began), (u64, number), (bytes, line))
{
    const char *text = (const char *)line.data;
    if (began != here.began) { /* the first one, or of another tail */
        here.began = began;
        here.number = number - 1;
    }
    if (number <= here.number) {
        here.repeated++;
        return;
    }
    here.missing += number - here.number - 1;
    here.number = number;
    here.size += line.size;
    here.lines += line.size > 0 && text[line.size - 1] == '\n';
    count_fields(ctx, text, line.size);
}

BERTH_EXPORT(counts, counts, "What was counted until now.")
{
    berth_counts result = { here.lines,    here.fields,  here.size, here.values,
                            here.repeated, here.missing, since };
    return result;
}

BERTH_EXPORT(u64, of, "How many lines had this value in the chosen field.", (string, value))
{
    size_t bucket;
    for (struct value *v = value_next(NULL, &bucket); v; v = value_next(v, &bucket)) {
        if (v->size == strlen(value) && !memcmp(v->text, value, v->size))
            return v->count;
    }
    return 0;
}

/* struct state, then each value as count, size, text. */
BERTH_SAVE(1)
{
    size_t bucket, size = sizeof(here);
    for (struct value *v = value_next(NULL, &bucket); v; v = value_next(v, &bucket))
        size += sizeof(v->count) + sizeof(v->size) + v->size;
    char *data = (char *)berth_alloc(ctx, size), *to = data;
    berth_bytes saved = { data, data ? size : 0 };
    if (!data)
        return saved;
    memcpy(to, &here, sizeof(here));
    to += sizeof(here);
    for (struct value *v = value_next(NULL, &bucket); v; v = value_next(v, &bucket)) {
        memcpy(to, &v->count, sizeof(v->count));
        memcpy(to + sizeof(v->count), &v->size, sizeof(v->size));
        memcpy(to + sizeof(v->count) + sizeof(v->size), v->text, v->size);
        to += sizeof(v->count) + sizeof(v->size) + v->size;
    }
    return saved;
}

BERTH_RESTORE
{
    const char *from = (const char *)state.data;
    struct state old;
    if (version != 1 || state.size < sizeof(old)) {
        berth_fail(ctx, BERTH_INVALID_ARGUMENT, "a state of version %u, %zu bytes", version,
                   state.size);
        return;
    }
    memcpy(&old, from, sizeof(old));
    from += sizeof(old);
    for (uint64_t i = 0; i < old.values; i++) {
        uint64_t count;
        size_t size;
        memcpy(&count, from, sizeof(count));
        memcpy(&size, from + sizeof(count), sizeof(size));
        struct value *value = value_obtain(from + sizeof(count) + sizeof(size), size);
        if (!value) {
            berth_fail(ctx, BERTH_RESOURCE_EXHAUSTED, "no memory for the values");
            return;
        }
        value->count = count;
        from += sizeof(count) + sizeof(size) + size;
    }
    here = old;
    since = old.number;
}
