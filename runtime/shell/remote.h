/* SPDX-License-Identifier: MIT */
/* A running host, as the commands see it: which one, its answers, and what becomes of failures. */
#ifndef RUNTIME_SHELL_REMOTE_H
#define RUNTIME_SHELL_REMOTE_H

#include <limits.h>

#include "runtime/shell/client.h"
#include "runtime/shell/options.h"
#include "runtime/shell/place.h"

/*
 *     struct berth_remote remote = { .options = { .command = &berth_command_x, .known = known } };
 *     while ((option = berth_remote_next(&remote, argc, argv)) != -1)
 *         …                                        one of the command's own
 *     if (berth_options_end(&remote.options, &status) || !berth_remote_open(&remote, &status))
 *         return status;
 *     status = berth_remote_ask(&remote, "host.list", &params, &result);
 *     berth_remote_close(&remote);
 */
struct berth_remote {
    struct berth_options options;
    struct berth_place place;
    int64_t timeout; /* --timeout, ns; 0: none */
    char path[PATH_MAX];
    struct berth_client client;
};

/* Rows of the table of options, --json and --help among them. */
#define BERTH_REMOTE_OPTIONS                                                              \
    { "host", required_argument, NULL, 'H' }, { "socket", required_argument, NULL, 'S' }, \
        { "timeout", required_argument, NULL, 't' }, BERTH_OPTION_JSON, BERTH_OPTION_HELP

/* What the help of each command says of them. */
#define BERTH_REMOTE_SYNOPSIS "[--host NAME | --socket PATH] [--timeout T] [--json]"
#define BERTH_REMOTE_HELP                                           \
    "  --host NAME    asks the host of that name; else \"berth\"\n" \
    "  --socket PATH  asks the host that listens there\n"           \
    "  --timeout T    gives up after 200ms, 5s, 1m or 1h; else only Ctrl-C does\n"

/* berth_options_next, which keeps what the rows above say. */
int berth_remote_next(struct berth_remote *remote, int argc, char **argv);
/* Quietly, and close must follow in any case. */
int berth_remote_connect(struct berth_remote *remote, struct berth_error *error);
/* False: there is no host, which has been told; *ret_status is BERTH_EXIT_NO_HOST. */
bool berth_remote_open(struct berth_remote *remote, int *ret_status);
void berth_remote_close(struct berth_remote *remote);

/*
 * Asks, and tells a failure. Returns an exit status. params is taken. *ret_result lives until
 * close.
 */
int berth_remote_ask(struct berth_remote *remote, const char *method, struct berth_buffer *params,
                     struct berth_piece *ret_result);
/* The same of a module; when there is none of that name it tells where to see them. */
int berth_remote_ask_of(struct berth_remote *remote, const char *method, const char *module,
                        struct berth_buffer *params, struct berth_piece *ret_result);
/* Tells a failure; returns its exit status. */
int berth_remote_fail(struct berth_remote *remote, const struct berth_error *error);

/* Prints a result as one line of JSON. */
int berth_remote_print(struct berth_remote *remote, struct berth_piece result);
/* The same as text: a string's characters, else JSON, and a newline. */
int berth_remote_print_text(struct berth_remote *remote, struct berth_piece result);

/* Parameters: {"name":…}. After begin each member, then end. */
void berth_params_begin(struct berth_buffer *params);
void berth_params_text(struct berth_buffer *params, const char *name, const char *text);
void berth_params_piece(struct berth_buffer *params, const char *name, struct berth_piece piece);
void berth_params_end(struct berth_buffer *params);
/* Only what is UTF-8 can be sent: remembers a problem otherwise. */
void berth_remote_check_text(struct berth_remote *remote, const char *what, const char *text);
/* A word in the place of a module's name that can only be a file's. */
bool berth_remote_is_file(const char *word);
/* The one word besides the options, a module's name; remembers a problem when it is not that. */
const char *berth_remote_name(struct berth_remote *remote, int argc, char **argv);

#endif
