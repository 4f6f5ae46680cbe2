/* SPDX-License-Identifier: MIT */
/* The next version of count: the same, and one more function. */
#define COUNT_VERSION "1.1.0"
#include "../modules/count/count.c"

#include <stdio.h>

static int by_count(const void *a, const void *b)
{
    const struct value *x = *(struct value *const *)a, *y = *(struct value *const *)b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    int order = memcmp(x->text, y->text, x->size < y->size ? x->size : y->size);
    return order ? order : (x->size > y->size) - (x->size < y->size);
}

BERTH_EXPORT(bytes, table, "A line for each value, `COUNT VALUE`, the most frequent first.")
{
    size_t bucket, count = 0, size = 0;
    berth_bytes result = { NULL, 0 };
    struct value **sorted = (struct value **)berth_alloc(ctx, here.values * sizeof(*sorted));
    for (struct value *v = value_next(NULL, &bucket); v && sorted; v = value_next(v, &bucket)) {
        sorted[count++] = v;
        size += v->size + 24;
    }
    char *text = (char *)berth_alloc(ctx, size + 1), *to = text;
    if (!sorted || !text)
        return result;
    qsort(sorted, count, sizeof(*sorted), by_count);
    for (size_t i = 0; i < count; i++) {
        to += snprintf(to, 24, "%llu ", (unsigned long long)sorted[i]->count);
        memcpy(to, sorted[i]->text, sorted[i]->size);
        to += sorted[i]->size;
        *to++ = '\n';
    }
    result.data = text;
    result.size = (size_t)(to - text);
    return result;
}
