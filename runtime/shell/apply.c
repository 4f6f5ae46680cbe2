/* SPDX-License-Identifier: MIT */
#include "runtime/shell/apply.h"

#include <stdarg.h>
#include <string.h>

#include "runtime/base/error.h"
#include "runtime/shell/log.h"
#include "runtime/value/json.h"

struct apply {
    berth_host *host;
    struct berth_roster *roster;
    struct berth_step *steps;
    size_t count, done; /* done: so many of them, some of which came to nothing */
};

/* ---- what is told ---- */

void berth_applied_init(struct berth_applied *applied)
{
    *applied = (struct berth_applied){ .started = 0 };
    berth_buffer_init(&applied->told, 0);
}

void berth_applied_deinit(struct berth_applied *applied)
{
    berth_buffer_deinit(&applied->told);
}

typedef void print_fn(const char *format, ...) __attribute__((format(printf, 1, 2)));

__attribute__((format(printf, 3, 4))) static void say(struct berth_applied *applied,
                                                      print_fn *print, const char *format, ...)
{
    struct berth_error line; /* makes one of any words */
    va_list arguments;

    va_start(arguments, format);
    berth_error_set_va(&line, BERTH_OK, format, arguments);
    va_end(arguments);
    print("%s", line.text);
    berth_buffer_text(&applied->told, applied->told.size ? "," : "");
    berth_json_write_string(line.text, strlen(line.text), &applied->told);
}

/* ---- what can be done with a module; the roster follows ---- */

static int load(struct apply *apply, struct berth_roster_entry *entry, struct berth_error *error)
{
    const struct berth_load_options options = { .size = sizeof(options),
                                                .name = entry->name,
                                                .placement = entry->placement,
                                                .options = entry->options,
                                                .restart = &entry->restart };
    int code = berth_host_load(apply->host, entry->file, &options, error);

    if (code != BERTH_OK)
        return berth_error_prefix(error, "%s cannot be started: ", entry->name);
    berth_roster_put(apply->roster, entry);
    return BERTH_OK;
}

static int reload(struct apply *apply, struct berth_roster_entry *entry, struct berth_error *error)
{
    const struct berth_reload_options how = { .size = sizeof(how),
                                              .file = entry->file,
                                              .options = entry->options,
                                              .placement = entry->placement,
                                              .restart = &entry->restart };
    struct berth_reload_report report = { .size = sizeof(report) };
    int code = berth_host_reload_with(apply->host, entry->name, &how, &report, error);

    if (code != BERTH_OK)
        return berth_error_prefix(error, "%s cannot be reloaded (%s): ", entry->name, report.step);
    berth_roster_put(apply->roster, entry);
    return BERTH_OK;
}

static int unload(struct apply *apply, const struct berth_roster_entry *entry,
                  struct berth_error *error)
{
    int code = berth_host_unload(apply->host, entry->name, error);

    if (code != BERTH_OK)
        return berth_error_prefix(error, "%s cannot be stopped: ", entry->name);
    berth_roster_remove(apply->roster, entry->name);
    return BERTH_OK;
}

/* ---- forwards ---- */

static int take(struct apply *apply, const struct berth_step *step, struct berth_error *error)
{
    int code = BERTH_OK;

    switch (step->kind) {
    case BERTH_STEP_LOAD:
        code = load(apply, step->next, error);
        break;
    case BERTH_STEP_RELOAD:
        code = reload(apply, step->next, error);
        break;
    case BERTH_STEP_UNLOAD:
        code = unload(apply, step->old, error);
        break;
    }
    return code;
}

static void tell(const struct berth_step *step, struct berth_applied *applied)
{
    switch (step->kind) {
    case BERTH_STEP_LOAD:
        applied->started++;
        say(applied, berth_log_info, "started %s (%s, %s)", step->next->name, step->next->file,
            step->next->placement);
        break;
    case BERTH_STEP_RELOAD:
        applied->reloaded++;
        say(applied, berth_log_info, "reloaded %s (%s, %s)", step->next->name, step->next->file,
            step->next->placement);
        break;
    case BERTH_STEP_UNLOAD:
        applied->stopped++;
        say(applied, berth_log_info, "stopped %s", step->old->name);
        break;
    }
}

/* An optional module's failure is none of the whole. */
static bool forgive(const struct berth_step *step, struct berth_applied *applied,
                    const struct berth_error *error)
{
    if (!step->next || !step->next->optional)
        return false;
    say(applied, berth_log_warning, "%s is optional, and %s: %s: %s", step->next->name,
        step->old ? "stays as it was" : "is left out", berth_code_name(error->code), error->text);
    return true;
}

/* A module that others require has its turn after them, if they are to go as well. */
static void postpone(struct apply *apply)
{
    struct berth_step step = apply->steps[apply->done];

    for (size_t i = apply->done; i + 1 < apply->count; i++)
        apply->steps[i] = apply->steps[i + 1];
    apply->steps[apply->count - 1] = step;
}

static int take_all(struct apply *apply, struct berth_applied *applied, struct berth_error *error)
{
    size_t postponed = 0; /* in a row */

    while (apply->done < apply->count) {
        struct berth_step *step = &apply->steps[apply->done];
        int code = take(apply, step, error);
        if (code == BERTH_FAILED_PRECONDITION && step->kind == BERTH_STEP_UNLOAD &&
            ++postponed < apply->count - apply->done) {
            postpone(apply);
            continue;
        }
        if (code != BERTH_OK && !forgive(step, applied, error))
            return code;
        step->taken = code == BERTH_OK;
        if (step->taken)
            tell(step, applied);
        apply->done++;
        postponed = 0;
    }
    return BERTH_OK;
}

/* ---- and back ---- */

/* Whether a module that is there again is what it was: its file is read anew. */
static bool is_as_before(const struct berth_roster_entry *entry, struct berth_applied *applied)
{
    const struct berth_stamp now = berth_stamp_of(entry->file);

    if (berth_stamp_equal(&now, &entry->stamp))
        return true;
    say(applied, berth_log_warning,
        "%s runs from %s as it is now: the file before is not there any more", entry->name,
        entry->file);
    return false;
}

static int undo(struct apply *apply, const struct berth_step *step, struct berth_error *error)
{
    int code = BERTH_OK;

    switch (step->kind) {
    case BERTH_STEP_LOAD:
        code = unload(apply, step->next, error);
        break;
    case BERTH_STEP_RELOAD:
        code = reload(apply, step->old, error);
        break;
    case BERTH_STEP_UNLOAD:
        code = load(apply, step->old, error);
        break;
    }
    return code;
}

static void undo_all(struct apply *apply, struct berth_applied *applied)
{
    static const char *const words[] = { "stopped", "reloaded", "started" };
    struct berth_error error;

    while (apply->done-- > 0) {
        const struct berth_step *step = &apply->steps[apply->done];
        if (!step->taken)
            continue;
        if (undo(apply, step, &error) != BERTH_OK) {
            applied->stuck++;
            say(applied, berth_log_error, "not undone: %s: %s", berth_code_name(error.code),
                error.text);
        } else if (step->old && !is_as_before(step->old, applied)) {
            applied->stuck++;
        } else {
            say(applied, berth_log_info, "undone: %s %s%s", words[step->kind],
                step->old ? step->old->name : step->next->name, step->old ? " as it was" : "");
        }
    }
}

int berth_apply(berth_host *host, struct berth_roster *roster, struct berth_difference *difference,
                struct berth_applied *applied, struct berth_error *error)
{
    struct apply apply = { host, roster, difference->steps, difference->count, 0 };
    /* forwards and back nothing is added twice, and no more than once each */
    int code = berth_roster_reserve(roster, difference->count, error);

    if (code == BERTH_OK)
        code = take_all(&apply, applied, error);
    if (code == BERTH_OK)
        return BERTH_OK;
    berth_log_error("%s: %s", berth_code_name(code), error->text);
    undo_all(&apply, applied);
    return code;
}
