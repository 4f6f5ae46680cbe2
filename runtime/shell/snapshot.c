/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/error.h"
#include "runtime/shell/file.h"
#include "runtime/shell/output.h"
#include "runtime/shell/report.h"
#include "runtime/shell/shell.h"

#define SNAPSHOT_MAX ((size_t)64 << 20) /* of a file; the host has a limit of its own */

struct snapshot {
    struct berth_remote remote;
    const char *module;
    const char *save, *restore; /* files, or NULL */
};

static void begin(const struct snapshot *snapshot, struct berth_buffer *params)
{
    berth_params_begin(params);
    berth_params_text(params, "module", snapshot->module);
}

static bool write_all(int fd, const char *text, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t put = write(fd, text + done, size - done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        done += (size_t)put;
    }
    return true;
}

/* Whole, or not at all: the state that was there may be the only one. */
static int write_file(const struct snapshot *snapshot, const struct berth_buffer *text)
{
    bool json = snapshot->remote.options.json;
    struct berth_buffer other;

    berth_buffer_init(&other, 0);
    berth_buffer_format(&other, "%s.new", snapshot->save);
    int fd = other.failed ? -1 : open(other.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && write_all(fd, text->data, text->size) && fsync(fd) == 0;
    if (fd >= 0)
        ok &= close(fd) == 0;
    ok = ok && rename(other.data, snapshot->save) == 0;
    int number = errno;
    if (!ok && fd >= 0)
        unlink(other.data);
    berth_buffer_deinit(&other);
    return ok ? BERTH_EXIT_OK
              : berth_output_fail(json, BERTH_FAILED_PRECONDITION, "%s cannot be written: %s",
                                  snapshot->save, strerror(number));
}

static int save(struct snapshot *snapshot)
{
    struct berth_buffer params, text;
    struct berth_piece state = { 0 };

    begin(snapshot, &params);
    berth_params_end(&params);
    int status =
        berth_remote_ask_of(&snapshot->remote, "host.snapshot", snapshot->module, &params, &state);
    if (status != BERTH_EXIT_OK || !snapshot->save)
        return status == BERTH_EXIT_OK ? berth_remote_print(&snapshot->remote, state) : status;
    berth_buffer_init(&text, 0);
    berth_piece_line(state, &text);
    berth_buffer_text(&text, "\n");
    status = text.failed ? berth_output_fail(snapshot->remote.options.json,
                                             BERTH_RESOURCE_EXHAUSTED, "out of memory")
                         : write_file(snapshot, &text);
    berth_buffer_deinit(&text);
    return status;
}

static int restore(struct snapshot *snapshot)
{
    struct berth_buffer params;
    struct berth_piece state;
    struct berth_error error;
    size_t size;
    char *text = berth_file_read(snapshot->restore, SNAPSHOT_MAX, &size);

    if (!text)
        return berth_output_fail(snapshot->remote.options.json, BERTH_NOT_FOUND,
                                 "%s cannot be read: %s", snapshot->restore, strerror(errno));
    if (berth_piece_read(text, size, snapshot->restore, &state, &error) != BERTH_OK) {
        free(text);
        return berth_remote_fail(&snapshot->remote, &error);
    }
    begin(snapshot, &params);
    berth_params_piece(&params, "snapshot", state);
    int status = berth_report_ask(&snapshot->remote, "host.restore", snapshot->module, &params);
    free(text);
    return status;
}

static void read_words(struct snapshot *snapshot, int argc, char **argv)
{
    int option;

    while ((option = berth_remote_next(&snapshot->remote, argc, argv)) != -1)
        *(option == 's' ? &snapshot->save : &snapshot->restore) = optarg;
    snapshot->module = berth_remote_name(&snapshot->remote, argc, argv);
    if (snapshot->save && snapshot->restore)
        berth_options_problem(&snapshot->remote.options, "either --save or --restore");
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        { "save", required_argument, NULL, 's' },
        { "restore", required_argument, NULL, 'r' },
        BERTH_REMOTE_OPTIONS,
        { 0 },
    };
    struct snapshot snapshot = {
        .remote = { .options = { .command = &berth_command_snapshot, .known = known } },
    };
    int status;

    read_words(&snapshot, argc, argv);
    if (berth_options_end(&snapshot.remote.options, &status) ||
        !berth_remote_open(&snapshot.remote, &status))
        return status;
    status = snapshot.restore ? restore(&snapshot) : save(&snapshot);
    berth_remote_close(&snapshot.remote);
    return status;
}

const struct berth_command berth_command_snapshot = {
    .name = "snapshot",
    .synopsis = "NAME [--save FILE | --restore FILE]\n"
                "           " BERTH_REMOTE_SYNOPSIS,
    .help = "Shows the state of a module of a running host, or gives it one.\n"
            "\n"
            "  --save FILE    writes it to that file, whole or not at all\n"
            "  --restore FILE gives the module the state of that file\n" BERTH_REMOTE_HELP
            "  --json         prints an error, and the report of --restore, as JSON\n"
            "\n"
            "The state is what the module hands over in a reload, in base64 within JSON,\n"
            "with its version. Calls wait while it is taken. To restore one is a reload of\n"
            "the same code: when the module does not accept it nothing has changed.\n"
            "\n"
            "Examples:\n"
            "  berth snapshot counter\n"
            "  berth snapshot counter --save counter.state\n"
            "  berth snapshot counter --restore counter.state\n",
    .run = run,
};
