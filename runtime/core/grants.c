/* SPDX-License-Identifier: MIT */
#include "runtime/core/grants.h"

#include "runtime/base/memory.h"
#include "runtime/base/topic_name.h"
#include "runtime/value/json.h"
#include "runtime/value/type.h"

#include <string.h>

static const char *const right_names[BERTH_RIGHTS] = { "call", "publish", "subscribe" };

const char *berth_right_name(enum berth_right right)
{
    return right_names[right];
}

bool berth_right_pattern_valid(enum berth_right right, const char *pattern)
{
    return right == BERTH_RIGHT_CALL ? berth_function_pattern_valid(pattern)
                                     : berth_pattern_valid(pattern);
}

bool berth_right_what_valid(enum berth_right right, const char *what)
{
    switch (right) {
    case BERTH_RIGHT_CALL:
        return berth_function_name_valid(what);
    case BERTH_RIGHT_PUBLISH:
        return berth_topic_valid(what);
    default:
        return berth_pattern_valid(what);
    }
}

/* ---- sorted texts ---- */

/* Room for one more of `size` bytes each; false: no memory. */
static bool grow(void *items, size_t count, size_t *room, size_t size)
{
    void *old, *grown;
    size_t wanted = *room ? 2 * *room : 4;
    if (count < *room)
        return true;
    memcpy(&old, items, sizeof old);
    grown = berth_realloc(old, wanted * size);
    if (!grown)
        return false;
    memcpy(items, &grown, sizeof grown);
    *room = wanted;
    return true;
}

/* Where text is, or belongs. */
static size_t place_of(const struct berth_texts *texts, const char *text, bool *ret_there)
{
    size_t low = 0, high = texts->count;
    *ret_there = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(text, texts->items[middle]);
        if (order == 0) {
            *ret_there = true;
            return middle;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static bool texts_add(struct berth_texts *texts, const char *text)
{
    bool there;
    size_t at = place_of(texts, text, &there);
    if (there)
        return true;
    char *copy = berth_strdup(text);
    if (!copy || !grow(&texts->items, texts->count, &texts->room, sizeof *texts->items)) {
        berth_free(copy);
        return false;
    }
    memmove(texts->items + at + 1, texts->items + at, (texts->count - at) * sizeof *texts->items);
    texts->items[at] = copy;
    texts->count++;
    return true;
}

/* ---- callers ---- */

static void grantee_deinit(struct berth_grantee *grantee)
{
    for (size_t right = 0; right < BERTH_RIGHTS; right++) {
        struct berth_texts *texts = &grantee->rights[right];
        for (size_t i = 0; i < texts->count; i++)
            berth_free(texts->items[i]);
        berth_free(texts->items);
    }
    berth_free(grantee->name);
}

void berth_grants_deinit(struct berth_grants *grants)
{
    for (size_t i = 0; i < grants->count; i++)
        grantee_deinit(&grants->items[i]);
    berth_free(grants->items);
    *grants = (struct berth_grants){ 0 };
}

/* How many callers come before the name. */
static size_t rank_of(const struct berth_grants *grants, const char *caller)
{
    size_t low = 0, high = grants->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(grants->items[middle].name, caller) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct berth_grantee *berth_grants_find(const struct berth_grants *grants, const char *caller)
{
    size_t at = rank_of(grants, caller);
    return at < grants->count && strcmp(grants->items[at].name, caller) == 0 ? &grants->items[at]
                                                                             : NULL;
}

struct berth_grantee *berth_grants_obtain(struct berth_grants *grants, const char *caller)
{
    struct berth_grantee *found = berth_grants_find(grants, caller);
    if (found)
        return found;
    char *name = berth_strdup(caller);
    if (!name || !grow(&grants->items, grants->count, &grants->room, sizeof *grants->items)) {
        berth_free(name);
        return NULL;
    }
    size_t at = rank_of(grants, caller);
    found = &grants->items[at];
    memmove(found + 1, found, (grants->count - at) * sizeof *found);
    *found = (struct berth_grantee){ .name = name };
    grants->count++;
    return found;
}

bool berth_grants_add(struct berth_grants *grants, const char *caller, enum berth_right right,
                      const char *what)
{
    struct berth_grantee *grantee = berth_grants_obtain(grants, caller);
    return grantee && texts_add(&grantee->rights[right], what);
}

/* ---- asking ---- */

static bool one_allows(const struct berth_grantee *grantee, enum berth_right right,
                       const char *what)
{
    const struct berth_texts *rules = grantee ? &grantee->rights[right] : NULL;
    for (size_t i = 0; rules && i < rules->count; i++)
        if (right == BERTH_RIGHT_CALL ? berth_function_pattern_matches(rules->items[i], what)
                                      : berth_pattern_covers(rules->items[i], what))
            return true;
    return false;
}

bool berth_grants_allow(const struct berth_grants *grants, const char *caller,
                        enum berth_right right, const char *what)
{
    return one_allows(berth_grants_find(grants, caller), right, what) ||
           (strcmp(caller, BERTH_CALLER_OPERATOR) != 0 &&
            one_allows(berth_grants_find(grants, BERTH_CALLER_EVERY), right, what));
}

/* ---- printing ---- */

static void texts_print(const struct berth_texts *texts, struct berth_buffer *buffer)
{
    berth_buffer_text(buffer, "[");
    for (size_t i = 0; i < texts->count; i++) {
        berth_buffer_text(buffer, i ? ", " : "");
        berth_json_write_string(texts->items[i], strlen(texts->items[i]), buffer);
    }
    berth_buffer_text(buffer, "]");
}

void berth_grantee_print(const struct berth_grantee *grantee, struct berth_buffer *buffer)
{
    const char *comma = "";
    berth_json_write_string(grantee->name, strlen(grantee->name), buffer);
    berth_buffer_text(buffer, ": {");
    if (grantee->operates) {
        berth_buffer_text(buffer, "\"as\": \"" BERTH_CALLER_OPERATOR "\"");
        comma = ", ";
    }
    for (enum berth_right right = 0; right < BERTH_RIGHTS; right++) {
        if (!grantee->rights[right].count)
            continue;
        berth_buffer_format(buffer, "%s\"%s\": ", comma, berth_right_name(right));
        texts_print(&grantee->rights[right], buffer);
        comma = ", ";
    }
    berth_buffer_text(buffer, "}");
}

void berth_grants_print(const struct berth_grants *grants, struct berth_buffer *buffer)
{
    berth_buffer_text(buffer, "{");
    for (size_t i = 0; i < grants->count; i++) {
        berth_buffer_text(buffer, i ? ", " : "");
        berth_grantee_print(&grants->items[i], buffer);
    }
    berth_buffer_text(buffer, "}");
}
