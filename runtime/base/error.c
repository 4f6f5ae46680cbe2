/* SPDX-License-Identifier: MIT */
#include "runtime/base/error.h"

#include "runtime/base/text.h"

#include <berth/host.h> /* says that berth_code_name is public */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ELLIPSIS "\xe2\x80\xa6"

static const char *const names[] = {
    [BERTH_OK] = "ok",
    [BERTH_CANCELLED] = "cancelled",
    [BERTH_UNKNOWN] = "unknown",
    [BERTH_INVALID_ARGUMENT] = "invalid_argument",
    [BERTH_DEADLINE_EXCEEDED] = "deadline_exceeded",
    [BERTH_NOT_FOUND] = "not_found",
    [BERTH_ALREADY_EXISTS] = "already_exists",
    [BERTH_PERMISSION_DENIED] = "permission_denied",
    [BERTH_RESOURCE_EXHAUSTED] = "resource_exhausted",
    [BERTH_FAILED_PRECONDITION] = "failed_precondition",
    [BERTH_ABORTED] = "aborted",
    [BERTH_OUT_OF_RANGE] = "out_of_range",
    [BERTH_UNIMPLEMENTED] = "unimplemented",
    [BERTH_INTERNAL] = "internal",
    [BERTH_UNAVAILABLE] = "unavailable",
    [BERTH_DATA_LOSS] = "data_loss",
    [BERTH_UNAUTHENTICATED] = "unauthenticated",
};
#define NAME_COUNT ((int)(sizeof(names) / sizeof(names[0])))

/* A text under construction. Longer than the record, so that one look tells whether it was cut. */
struct draft {
    char text[2 * sizeof(((struct berth_error *)0)->text)];
    size_t length;
};

__attribute__((format(printf, 2, 0))) static void draft_add_va(struct draft *draft,
                                                               const char *format,
                                                               va_list arguments)
{
    size_t room = sizeof(draft->text) - draft->length;
    int written = vsnprintf(draft->text + draft->length, room, format, arguments);
    if (written > 0)
        draft->length += (size_t)written < room ? (size_t)written : room - 1;
}

__attribute__((format(printf, 2, 3))) static void draft_add(struct draft *draft, const char *format,
                                                            ...)
{
    va_list arguments;
    va_start(arguments, format);
    draft_add_va(draft, format, arguments);
    va_end(arguments);
}

/*
 * Messages quote what came from outside. What is not UTF-8, and what could drive somebody's
 * terminal, becomes '?'.
 */
static void draft_sanitize(struct draft *draft)
{
    berth_utf8_repair(draft->text, draft->length);
    for (size_t i = 0; i < draft->length; i++) {
        unsigned char c = (unsigned char)draft->text[i];
        if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
            draft->text[i] = '?';
    }
    while (draft->length > 0 && draft->text[draft->length - 1] == '\n')
        draft->length--;
}

/* The arguments may point into *error: nothing is written to it before the draft is done. */
static int draft_finish(struct draft *draft, struct berth_error *error, int code)
{
    const size_t room = sizeof(error->text) - 1;

    /* A draft that is full may end within a character. */
    if (draft->length == sizeof(draft->text) - 1)
        draft->length = berth_utf8_cut(draft->text, draft->length);
    draft_sanitize(draft);
    if (draft->length > room) {
        draft->length = berth_utf8_cut(draft->text, room - strlen(ELLIPSIS));
        draft_add(draft, "%s", ELLIPSIS);
    }
    memcpy(error->text, draft->text, draft->length);
    error->text[draft->length] = '\0';
    error->code = code;
    error->reserved = 0;
    return code;
}

int berth_error_set_va(struct berth_error *error, int code, const char *format, va_list arguments)
{
    struct draft draft = { .length = 0 };

    if (!error)
        return code;
    draft_add_va(&draft, format, arguments);
    return draft_finish(&draft, error, code);
}

int berth_error_set(struct berth_error *error, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    berth_error_set_va(error, code, format, arguments);
    va_end(arguments);
    return code;
}

int berth_error_nomem(struct berth_error *error)
{
    return berth_error_set(error, BERTH_RESOURCE_EXHAUSTED, "out of memory");
}

static int code_of_errno(int number)
{
    switch (number) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
    case ESRCH:
        return BERTH_NOT_FOUND;
    case EEXIST:
    case EADDRINUSE:
        return BERTH_ALREADY_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return BERTH_PERMISSION_DENIED;
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case ENOSPC:
    case EDQUOT:
    case ENOBUFS:
    case EAGAIN: /* of pthread_create and clone: a limit; of descriptors, callers wait instead */
        return BERTH_RESOURCE_EXHAUSTED;
    case EINVAL:
    case EBADF:
    case EISDIR:
    case ENOTDIR:
    case ENOTSOCK:
    case ELOOP:
    case ENAMETOOLONG:
    case ENOEXEC:
        return BERTH_INVALID_ARGUMENT;
    case EBUSY:
    case ENOTEMPTY:
    case ETXTBSY:
    case EISCONN:
        return BERTH_FAILED_PRECONDITION;
    case EDEADLK:
        return BERTH_ABORTED;
    case EFBIG:
    case ERANGE:
    case EOVERFLOW:
    case EMSGSIZE:
        return BERTH_OUT_OF_RANGE;
    case ENOSYS:
    case EOPNOTSUPP:
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
        return BERTH_UNIMPLEMENTED;
    case EPIPE:
    case ENOTCONN:
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return BERTH_UNAVAILABLE;
    case ETIMEDOUT:
        return BERTH_DEADLINE_EXCEEDED;
    case EINTR:
    case ECANCELED:
        return BERTH_CANCELLED;
    case EIO:
    case EBADMSG:
        return BERTH_DATA_LOSS;
    default:
        return BERTH_UNKNOWN;
    }
}

int berth_error_errno(struct berth_error *error, int number, const char *format, ...)
{
    struct draft draft = { .length = 0 };
    /* Not strerror(): it translates by the application's locale, and is not thread-safe. */
    const char *description = strerrordesc_np(number);
    int code = code_of_errno(number);

    if (!error)
        return code;
    va_list arguments;
    va_start(arguments, format);
    draft_add_va(&draft, format, arguments);
    va_end(arguments);
    if (description)
        draft_add(&draft, ": %s", description);
    else
        draft_add(&draft, ": errno %d", number);
    return draft_finish(&draft, error, code);
}

int berth_error_prefix(struct berth_error *error, const char *format, ...)
{
    struct draft draft = { .length = 0 };

    if (!error)
        return BERTH_UNKNOWN;
    va_list arguments;
    va_start(arguments, format);
    draft_add_va(&draft, format, arguments);
    va_end(arguments);
    draft_add(&draft, "%s", error->text);
    return draft_finish(&draft, error, error->code);
}

const char *berth_code_name(int code)
{
    return code >= 0 && code < NAME_COUNT ? names[code] : names[BERTH_UNKNOWN];
}

int berth_code_find(const char *name)
{
    for (int code = 0; code < NAME_COUNT; code++)
        if (strcmp(names[code], name) == 0)
            return code;
    return -1;
}
