/* SPDX-License-Identifier: MIT */
#include "runtime/value/fit.h"

#include <stdio.h>

/* Passes `text` at the beginning of `at`; NULL: it begins with something else. */
static const char *skip(const char *at, const char *text)
{
    size_t length = strlen(text);
    return strncmp(at, text, length) == 0 ? at + length : NULL;
}

bool berth_signature_omits(const struct berth_signature *signature, size_t given)
{
    for (size_t i = given; i < signature->count; i++)
        if (signature->parameters[i].type->kind != BERTH_KIND_OPTIONAL)
            return false;
    return given <= signature->count;
}

/* How many of the signature's parameters identity begins with; *ret_rest is what follows them. */
static size_t common(const char *identity, const struct berth_signature *signature,
                     const char **ret_rest)
{
    const char *at = identity + 1; /* behind the parenthesis */
    size_t count = 0;
    while (count < signature->count && *at != ')') {
        const char *next = skip(at, signature->parameters[count].type->identity);
        if (!next || (*next != ',' && *next != ')'))
            break;
        at = next + (*next == ',');
        count++;
    }
    *ret_rest = at;
    return count;
}

enum berth_fit berth_signature_fit(const char *identity, const struct berth_signature *signature)
{
    const char *rest;
    if (strcmp(identity, signature->identity) == 0)
        return BERTH_FIT_SAME;
    size_t given = common(identity, signature, &rest);
    if (*rest != ')' || strcmp(rest + 1, signature->result->identity) != 0 ||
        !berth_signature_omits(signature, given))
        return BERTH_FIT_NOT;
    return BERTH_FIT_ADAPTED;
}

const void *berth_argument_absent(void)
{
    static const _Alignas(16) char absent[BERTH_TYPE_SIZE_MAX + 16];
    return absent;
}

const void *const *berth_arguments_extend(const struct berth_signature *signature,
                                          const void *const *arguments, size_t given,
                                          const void *room[BERTH_PARAMETERS_MAX])
{
    if (given >= signature->count)
        return arguments;
    for (size_t i = 0; i < signature->count; i++)
        room[i] = i < given ? arguments[i] : berth_argument_absent();
    return room;
}

/* As it is spelt, unless two that differ are spelt alike. */
static const char *spelling(const struct berth_type *type, const struct berth_type *other)
{
    return strcmp(type->text, other->text) == 0 ? type->identity : type->text;
}

const char *berth_signature_difference(const struct berth_signature *wanted,
                                       const struct berth_signature *signature, const char *version,
                                       char *buffer, size_t size)
{
    const struct berth_type *result = signature->result;
    size_t i = 0;
    while (i < wanted->count && i < signature->count &&
           strcmp(wanted->parameters[i].type->identity, signature->parameters[i].type->identity) ==
               0)
        i++;
    const struct berth_parameter *old = i < wanted->count ? &wanted->parameters[i] : NULL,
                                 *next = i < signature->count ? &signature->parameters[i] : NULL;
    while (!old && next && next->type->kind == BERTH_KIND_OPTIONAL) /* it is one behind these */
        next = ++i < signature->count ? &signature->parameters[i] : NULL;
    if (old && next)
        snprintf(buffer, size, "whose parameter %s is %s, but in version %s it is %s", old->name,
                 spelling(old->type, next->type), version, spelling(next->type, old->type));
    else if (old)
        snprintf(buffer, size, "whose parameter %s (%s) is not there any more in version %s",
                 old->name, old->type->text, version);
    else if (next)
        snprintf(buffer, size, "but in version %s it takes %s (%s) as well, which is not optional",
                 version, next->name, next->type->text);
    else
        snprintf(buffer, size, "whose result is %s, but in version %s it is %s",
                 spelling(wanted->result, result), version, spelling(result, wanted->result));
    return buffer;
}
