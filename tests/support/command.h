/* SPDX-License-Identifier: MIT */
/* Runs a program and keeps what it said. */
#ifndef BERTH_TESTS_SUPPORT_COMMAND_H
#define BERTH_TESTS_SUPPORT_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

struct berth_test_command {
    const char *input; /* for its standard input; NULL: nothing */
    size_t input_size; /* 0: as long as the string */
    unsigned timeout;  /* milliseconds; 0: patience (suite.h) */

    /* Filled by berth_test_run(); the texts last as long as the test and have a NUL at the end. */
    int status;     /* what it exited with, or 128 + the signal that ended it, as a shell says it */
    bool timed_out; /* it was killed, with all it had started */
    char *out;
    size_t out_size;
    char *err;
    size_t err_size;
};

/*
 * Runs ARGV (NULL at the end; found through PATH) in a process group of its own and returns its
 * status. COMMAND may be NULL when only the status matters. Blocks until the program has ended and
 * its outputs are closed, or the time is over.
 */
int berth_test_run(struct berth_test_command *command, const char *const argv[]);

/* For a line or two of shell: runs `sh -c SCRIPT`. */
int berth_test_shell(struct berth_test_command *command, const char *script);

#endif
