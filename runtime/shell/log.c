/* SPDX-License-Identifier: MIT */
#include "runtime/shell/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/error.h"
#include "runtime/shell/journal.h"
#include "runtime/shell/line.h"
#include "runtime/shell/log_file.h"

#define LINE_SIZE_MAX ((size_t)64 << 10)

const char *const berth_log_levels[] = {
    [BERTH_LOG_ERROR] = "error", [BERTH_LOG_WARNING] = "warning", [BERTH_LOG_INFO] = "info",
    [BERTH_LOG_DEBUG] = "debug", [BERTH_LOG_DEBUG + 1] = NULL,
};
const char *const berth_log_formats[] = {
    [BERTH_LOG_FORMAT_TEXT] = "text",
    [BERTH_LOG_FORMAT_JSON] = "json",
    [BERTH_LOG_FORMAT_JSON + 1] = NULL,
};

enum target { STDERR, JOURNAL, LOG_FILE };

static struct {
    pthread_mutex_t lock;
    enum target target;
    int format;
    const char *identifier, *path; /* of the journal's socket */
    int journal;
    bool told; /* that the journal has gone */
    struct berth_log_file file;
    bool cut;    /* the last line on standard error is */
    size_t lost; /* lines, since the last one that could be written */
    int why;     /* errno */
} the_log = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- writing; the lock is held ---- */

static void write_line(const struct berth_log_line *line);

static struct berth_log_line own_line(int level, const char *text)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (struct berth_log_line){
        .size = sizeof(struct berth_log_line),
        .level = level,
        .time_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec,
        .module = "",
        .text = text,
        .chain = "",
    };
}

static void write_own(int level, const char *text)
{
    struct berth_log_line line = own_line(level, text);
    write_line(&line);
}

static bool write_bytes(const struct berth_buffer *bytes)
{
    if (the_log.target == LOG_FILE)
        return berth_log_file_write(&the_log.file, bytes->data, bytes->size);
    return berth_write_line(STDERR_FILENO, bytes->data, bytes->size, &the_log.cut);
}

/* As text or JSON. Counted, if it cannot be written. */
static bool write_form(const struct berth_log_line *line)
{
    struct berth_buffer bytes;

    berth_buffer_init(&bytes, LINE_SIZE_MAX);
    if (the_log.format == BERTH_LOG_FORMAT_JSON)
        berth_line_json(line, &bytes);
    else
        berth_line_text(line, &bytes);
    bool fine = !bytes.failed && write_bytes(&bytes);
    if (!fine) {
        the_log.why = bytes.failed ? ENOMEM : errno;
        the_log.lost++;
    }
    berth_buffer_deinit(&bytes);
    return fine;
}

/* Tells what was lost, where it would have been, when there is room again. */
static void write_after_lost(const struct berth_log_line *line)
{
    size_t lost = the_log.lost;
    char text[160];

    if (lost) {
        snprintf(text, sizeof(text), "%zu line%s before this one could not be written: %s", lost,
                 lost == 1 ? "" : "s", strerror(the_log.why));
        struct berth_log_line own = own_line(BERTH_LOG_WARNING, text);
        bool fine = write_form(&own);
        the_log.lost = fine ? 0 : lost; /* this one itself is not missed */
    }
    write_form(line);
}

static bool write_journal(const struct berth_log_line *line)
{
    struct berth_buffer fields;

    berth_buffer_init(&fields, LINE_SIZE_MAX);
    berth_journal_encode(line, the_log.identifier, &fields);
    errno = ENOMEM;
    bool fine = !fields.failed &&
                berth_journal_send(the_log.journal, the_log.path, fields.data, fields.size);
    berth_buffer_deinit(&fields);
    return fine;
}

static void write_line(const struct berth_log_line *line)
{
    if (the_log.target != JOURNAL) {
        write_after_lost(line);
    } else if (write_journal(line)) {
        the_log.told = false;
    } else {
        char text[160];
        snprintf(text, sizeof(text), "the journal, %.60s, does not take this: %s", the_log.path,
                 strerror(errno));
        the_log.target = STDERR; /* for these lines: the next one tries again */
        if (!the_log.told)
            write_own(BERTH_LOG_WARNING, text);
        write_after_lost(line);
        the_log.target = JOURNAL;
        the_log.told = true;
    }
}

void berth_log_print(void *user, const struct berth_log_line *line)
{
    (void)user;
    pthread_mutex_lock(&the_log.lock);
    write_line(line);
    pthread_mutex_unlock(&the_log.lock);
}

/* ---- targets ---- */

static int open_file(const char *path, struct berth_error *error)
{
    if (!berth_log_file_open(&the_log.file, path))
        return berth_error_errno(error, errno, "the log %s", path);
    the_log.target = LOG_FILE;
    return BERTH_OK;
}

static void open_journal(void)
{
    char text[160];

    the_log.path = berth_journal_path();
    the_log.journal = berth_journal_open(the_log.path);
    if (the_log.journal >= 0) {
        the_log.target = JOURNAL;
        return;
    }
    snprintf(text, sizeof(text),
             "there is no journal at %.60s (%s): what is logged goes to standard error",
             the_log.path, strerror(errno));
    write_own(BERTH_LOG_WARNING, text);
}

int berth_log_open(const struct berth_log_setup *setup, struct berth_error *error)
{
    const char *target = setup->target ? setup->target : "stderr";
    int code = BERTH_OK;

    berth_log_close();
    pthread_mutex_lock(&the_log.lock);
    the_log.format = setup->format;
    the_log.identifier = setup->identifier;
    if (strcmp(target, "journal") == 0)
        open_journal();
    else if (strcmp(target, "stderr") != 0)
        code = open_file(target, error);
    pthread_mutex_unlock(&the_log.lock);
    return code;
}

void berth_log_reopen(void)
{
    char text[160];

    pthread_mutex_lock(&the_log.lock);
    if (the_log.target == LOG_FILE && !berth_log_file_reopen(&the_log.file)) {
        snprintf(text, sizeof(text), "%.60s cannot be opened again: %s: the old file is written to",
                 the_log.file.path, strerror(errno));
        write_own(BERTH_LOG_WARNING, text);
    }
    pthread_mutex_unlock(&the_log.lock);
}

void berth_log_close(void)
{
    pthread_mutex_lock(&the_log.lock);
    if (the_log.target == LOG_FILE)
        berth_log_file_close(&the_log.file);
    if (the_log.target == JOURNAL)
        close(the_log.journal);
    the_log.target = STDERR;
    the_log.format = BERTH_LOG_FORMAT_TEXT;
    the_log.told = false;
    pthread_mutex_unlock(&the_log.lock);
}

/* ---- lines of the shell's own ---- */

__attribute__((format(printf, 2, 0))) static void print_own(int level, const char *format,
                                                            va_list arguments)
{
    char text[1200]; /* an error, and some words */

    vsnprintf(text, sizeof(text), format, arguments);
    pthread_mutex_lock(&the_log.lock);
    write_own(level, text);
    pthread_mutex_unlock(&the_log.lock);
}

void berth_log_info(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_own(BERTH_LOG_INFO, format, arguments);
    va_end(arguments);
}

void berth_log_warning(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_own(BERTH_LOG_WARNING, format, arguments);
    va_end(arguments);
}

void berth_log_error(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_own(BERTH_LOG_ERROR, format, arguments);
    va_end(arguments);
}
