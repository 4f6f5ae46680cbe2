/* SPDX-License-Identifier: MIT */
#include "runtime/image/semver.h"

#include <stddef.h>
#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_identifier_char(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
}

/* A decimal number without leading zeros that fits 32 bits. */
static bool parse_number(const char **text, uint32_t *ret_number)
{
    const char *p = *text;
    uint64_t number = 0;

    if (!is_digit(*p) || (p[0] == '0' && is_digit(p[1])))
        return false;
    for (; is_digit(*p); p++) {
        number = number * 10 + (uint64_t)(*p - '0');
        if (number > UINT32_MAX)
            return false;
    }
    *text = p;
    *ret_number = (uint32_t)number;
    return true;
}

/* Dot-separated identifiers; a numeric one has no leading zeros where `strict`. */
static bool parse_identifiers(const char **text, bool strict, size_t *ret_length)
{
    const char *begin = *text, *p = begin;

    for (;;) {
        const char *identifier = p;
        bool numeric = true;
        for (; is_identifier_char(*p); p++)
            numeric &= is_digit(*p);
        if (p == identifier || (strict && numeric && identifier[0] == '0' && p - identifier > 1))
            return false;
        if (*p != '.')
            break;
        p++;
    }
    *text = p;
    *ret_length = (size_t)(p - begin);
    return true;
}

/* What may follow the three numbers: -prerelease and +build. */
static bool parse_suffix(const char **text, struct berth_semver *version)
{
    size_t length;

    version->prerelease[0] = '\0';
    if (**text == '-') {
        const char *begin = ++*text;
        if (!parse_identifiers(text, true, &length) || length >= BERTH_PRERELEASE_MAX)
            return false;
        memcpy(version->prerelease, begin, length);
        version->prerelease[length] = '\0';
    }
    if (**text == '+') {
        ++*text;
        if (!parse_identifiers(text, false, &length))
            return false;
    }
    return true;
}

bool berth_semver_parse(const char *text, struct berth_semver *ret_version)
{
    struct berth_semver version;
    uint32_t *const numbers[] = { &version.major, &version.minor, &version.patch };

    for (size_t i = 0; i < 3; i++) {
        if ((i > 0 && *text++ != '.') || !parse_number(&text, numbers[i]))
            return false;
    }
    if (!parse_suffix(&text, &version) || *text)
        return false;
    *ret_version = version;
    return true;
}

/* One identifier of a prerelease each: numeric ones by value, and below all others. */
static int compare_identifiers(const char *a, size_t a_length, const char *b, size_t b_length)
{
    bool a_numeric = strspn(a, "0123456789") >= a_length;
    bool b_numeric = strspn(b, "0123456789") >= b_length;

    if (a_numeric != b_numeric)
        return a_numeric ? -1 : 1;
    /* No leading zeros: the longer number is the larger one. */
    if (a_numeric && a_length != b_length)
        return a_length < b_length ? -1 : 1;
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
    if (order)
        return order < 0 ? -1 : 1;
    return (a_length > b_length) - (a_length < b_length);
}

static int compare_prereleases(const char *a, const char *b)
{
    if (!*a || !*b) /* a release is above its prereleases */
        return (*b != '\0') - (*a != '\0');
    for (;;) {
        size_t a_length = strcspn(a, "."), b_length = strcspn(b, ".");
        int order = compare_identifiers(a, a_length, b, b_length);
        if (order)
            return order;
        a += a_length;
        b += b_length;
        if (!*a || !*b)
            return (*a != '\0') - (*b != '\0');
        a++;
        b++;
    }
}

/* major.minor.patch alone. */
static int compare_numbers(const struct berth_semver *a, const struct berth_semver *b)
{
    if (a->major != b->major)
        return a->major < b->major ? -1 : 1;
    if (a->minor != b->minor)
        return a->minor < b->minor ? -1 : 1;
    return (a->patch > b->patch) - (a->patch < b->patch);
}

int berth_semver_compare(const struct berth_semver *a, const struct berth_semver *b)
{
    int order = compare_numbers(a, b);
    return order ? order : compare_prereleases(a->prerelease, b->prerelease);
}

/* ---- Ranges ---- */

/*
 * A version of which only the first `given` numbers are written: 1 and 1.2 and 1.2.x, and * for
 * none.
 */
struct partial {
    struct berth_semver version;
    unsigned given;
};

static bool parse_partial(const char **text, struct partial *ret_partial)
{
    struct partial partial = { .given = 0 };
    uint32_t *const numbers[] = { &partial.version.major, &partial.version.minor,
                                  &partial.version.patch };
    const char *p = *text;
    bool wild = false;

    for (unsigned i = 0; i < 3; i++) {
        if (i > 0 && *p++ != '.') {
            p--;
            break;
        }
        if (*p == '*' || *p == 'x' || *p == 'X') {
            wild = true;
            p++;
        } else if (wild || !parse_number(&p, numbers[i])) {
            return false;
        } else {
            partial.given = i + 1;
        }
    }
    if (partial.given == 3 && !parse_suffix(&p, &partial.version))
        return false;
    *text = p;
    *ret_partial = partial;
    return true;
}

static bool add(struct berth_semver_range *range, enum berth_semver_op op,
                const struct berth_semver *version)
{
    if (range->count == BERTH_RANGE_MAX)
        return false;
    range->parts[range->count].op = op;
    range->parts[range->count].version = *version;
    range->count++;
    return true;
}

/* The version after all that agree with the first `kept` numbers; false when there is none. */
static bool successor(const struct berth_semver *version, unsigned kept, struct berth_semver *ret)
{
    struct berth_semver next = { .major = version->major };
    uint32_t *last = &next.major;

    if (kept > 1) {
        next.minor = version->minor;
        last = &next.minor;
    }
    if (kept > 2) {
        next.patch = version->patch;
        last = &next.patch;
    }
    if (*last == UINT32_MAX)
        return false;
    ++*last;
    *ret = next;
    return true;
}

/* From the version on, up to what changes one of the first `kept` numbers. */
static bool add_span(struct berth_semver_range *range, const struct berth_semver *from,
                     unsigned kept)
{
    struct berth_semver next;

    return add(range, BERTH_SEMVER_GE, from) && successor(from, kept, &next) &&
           add(range, BERTH_SEMVER_LT, &next);
}

/* How many numbers a caret holds fast: up to the first that is not zero, of those given. */
static unsigned caret_kept(const struct partial *partial)
{
    if (partial->version.major || partial->given == 1)
        return 1;
    if (partial->version.minor || partial->given == 2)
        return 2;
    return 3;
}

static bool add_comparator(struct berth_semver_range *range, char op, bool equal,
                           const struct partial *partial)
{
    const struct berth_semver *version = &partial->version;
    struct berth_semver next;
    bool whole = partial->given == 3;

    if (partial->given == 0) /* "*" holds for all; nothing is above or below it */
        return ((op != '<' && op != '>') || equal) && add(range, BERTH_SEMVER_GE, version);
    switch (op) {
    case '^':
        return add_span(range, version, caret_kept(partial));
    case '~':
        return add_span(range, version, partial->given < 2 ? partial->given : 2);
    case '>':
        if (equal)
            return add(range, BERTH_SEMVER_GE, version);
        if (whole)
            return add(range, BERTH_SEMVER_GT, version);
        return successor(version, partial->given, &next) && add(range, BERTH_SEMVER_GE, &next);
    case '<':
        if (!equal)
            return add(range, BERTH_SEMVER_LT, version);
        if (whole)
            return add(range, BERTH_SEMVER_LE, version);
        return successor(version, partial->given, &next) && add(range, BERTH_SEMVER_LT, &next);
    default:
        return whole ? add(range, BERTH_SEMVER_EQ, version)
                     : add_span(range, version, partial->given);
    }
}

bool berth_semver_range_parse(const char *text, struct berth_semver_range *ret_range)
{
    struct berth_semver_range range = { .count = 0 };

    for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
        char op = '=';
        bool equal = false;
        struct partial partial;

        if (strchr("^~<>=", *text))
            op = *text++;
        if ((op == '<' || op == '>') && *text == '=') {
            equal = true;
            text++;
        }
        text += strspn(text, " ");
        if (!parse_partial(&text, &partial) || (*text && *text != ' ') ||
            !add_comparator(&range, op, equal, &partial))
            return false;
    }
    if (range.count == 0)
        return false;
    *ret_range = range;
    return true;
}

static bool comparator_holds(enum berth_semver_op op, int order)
{
    switch (op) {
    case BERTH_SEMVER_LT:
        return order < 0;
    case BERTH_SEMVER_LE:
        return order <= 0;
    case BERTH_SEMVER_GT:
        return order > 0;
    case BERTH_SEMVER_GE:
        return order >= 0;
    case BERTH_SEMVER_EQ:
        break;
    }
    return order == 0;
}

bool berth_semver_range_holds(const struct berth_semver_range *range,
                              const struct berth_semver *version)
{
    bool named = !version->prerelease[0];

    for (unsigned i = 0; i < range->count; i++) {
        const struct berth_semver *bound = &range->parts[i].version;
        if (!comparator_holds(range->parts[i].op, berth_semver_compare(version, bound)))
            return false;
        named |= bound->prerelease[0] && compare_numbers(version, bound) == 0;
    }
    return named;
}
