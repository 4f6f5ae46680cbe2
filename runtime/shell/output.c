/* SPDX-License-Identifier: MIT */
#include "runtime/shell/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/error.h"
#include "runtime/shell/shell.h"

void berth_output_init(void)
{
    int fd;
    do /* the wrong way round, so that reading 0 or writing 1 and 2 stays an error */
        fd = open("/dev/null", fcntl(0, F_GETFD) < 0 ? O_WRONLY : O_RDONLY);
    while (fd >= 0 && fd <= 2);
    if (fd > 2)
        close(fd);

    setvbuf(stderr, NULL, _IOLBF, BUFSIZ); /* a line is one write */
}

size_t berth_output_character(const char *text, size_t size, bool newlines,
                              char shown[BERTH_OUTPUT_CHARACTER])
{
    unsigned char c = (unsigned char)text[0], next = size > 1 ? (unsigned char)text[1] : 0;
    bool high = c == 0xc2 && next >= 0x80 && next <= 0x9f; /* control characters, too */

    if (high || (c < 0x20 && c != '\t' && (c != '\n' || !newlines)) || c == 0x7f)
        snprintf(shown, BERTH_OUTPUT_CHARACTER, "\\x%02x", high ? next : c);
    else
        snprintf(shown, BERTH_OUTPUT_CHARACTER, "%c", c);
    return 1 + high;
}

void berth_output_visible(FILE *stream, const char *text, size_t size, bool newlines)
{
    char shown[BERTH_OUTPUT_CHARACTER];

    for (size_t i = 0; i < size;) {
        i += berth_output_character(text + i, size - i, newlines, shown);
        fputs(shown, stream);
    }
}

/* DEL and U+0080 to U+009F, which JSON allows as they are, as \u009b. Returns where to go on. */
static const char *put_json_character(FILE *stream, const char *text)
{
    unsigned char c = (unsigned char)text[0], next = (unsigned char)text[1];
    bool high = c == 0xc2 && next >= 0x80 && next <= 0x9f;

    if (c == 0x7f || high)
        fprintf(stream, "\\u%04x", high ? next : c);
    else
        putc(c, stream);
    return text + 1 + high;
}

/* UTF-8 between quotes, as JSON wants it. */
static void put_json_string(FILE *stream, const char *text)
{
    while (*text) {
        unsigned char c = (unsigned char)*text;
        if (c >= 0x20 && c != '"' && c != '\\') {
            text = put_json_character(stream, text);
            continue;
        }
        fprintf(stream, c < 0x20 ? "\\u%04x" : "\\%c", c);
        text++;
    }
}

/* text NULL: it is left out. */
static void put_json_member(FILE *stream, const char *name, const char *text)
{
    if (!text)
        return;
    fprintf(stream, ",\"%s\":\"", name);
    put_json_string(stream, text);
    putc('"', stream);
}

/* Whatever was put into standard output has arrived. */
static int flush(bool json)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return BERTH_EXIT_OK;
    return berth_output_fail(json, errno == ENOSPC ? BERTH_RESOURCE_EXHAUSTED : BERTH_UNAVAILABLE,
                             "cannot write the output: %s", strerror(errno));
}

int berth_output_write(bool json, const void *data, size_t size, bool newline)
{
    fwrite(data, 1, size, stdout);
    if (newline)
        putchar('\n');
    return flush(json);
}

int berth_output_json(const char *json)
{
    while (*json)
        json = put_json_character(stdout, json);
    putchar('\n');
    return flush(true);
}

int berth_output_text(bool json, const char *text)
{
    berth_output_visible(stdout, text, strlen(text), true);
    return flush(json);
}

int berth_output_error(bool json, const struct berth_error *error)
{
    return berth_output_refusal(json, error, NULL, NULL);
}

int berth_output_refusal(bool json, const struct berth_error *error, const char *step,
                         const char *why)
{
    const char *code = berth_code_name(error->code);

    flockfile(stderr);
    if (json) {
        fprintf(stderr, "{\"error\":{\"code\":\"%s\"", code);
        put_json_member(stderr, "text", error->text);
        put_json_member(stderr, "step", step);
        put_json_member(stderr, "why", why);
        fputs("}}\n", stderr);
    } else {
        fprintf(stderr, "berth: %s: ", code);
        berth_output_visible(stderr, error->text, strlen(error->text), false);
        putc('\n', stderr);
    }
    funlockfile(stderr);
    return BERTH_EXIT_FAILED;
}

int berth_output_fail(bool json, int code, const char *format, ...)
{
    struct berth_error error;
    va_list arguments;

    va_start(arguments, format);
    berth_error_set_va(&error, code, format, arguments);
    va_end(arguments);
    return berth_output_error(json, &error);
}

int berth_output_usage(bool json, const char *command, const char *format, ...)
{
    struct berth_error error;
    va_list arguments;

    va_start(arguments, format);
    berth_error_set_va(&error, BERTH_INVALID_ARGUMENT, format, arguments);
    va_end(arguments);
    berth_output_fail(json, error.code, "%s (see: berth help%s%s)", error.text, command ? " " : "",
                      command ? command : "");
    return BERTH_EXIT_USAGE;
}
