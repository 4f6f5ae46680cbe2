/* SPDX-License-Identifier: MIT */
/*
 * The record of a crash: when a signal of the processor's ends this program, a handler writes whose
 * code it was in to a file that has been open since the start. Then the signal does what it would
 * have done. The next start tells what the file says.
 */
#ifndef RUNTIME_SHELL_CRASH_H
#define RUNTIME_SHELL_CRASH_H

#include <berth/host.h>
#include <limits.h>
#include <stdbool.h>

struct berth_crash {
    char file[PATH_MAX]; /* of the record; "" when there is none */
    int fd;
    /* what it says of the last crash; "" what it does not say */
    bool crashed;
    char time[32], signal[16];
    char module[128], version[64]; /* that it was in */
    char chain[512];               /* "greet.hello → math.divide" */
};

/*
 * Opens the record, and reads it. file: --crash-record, which has to be writable; or NULL, for the
 * place of a host of this name, if that is writable.
 */
int berth_crash_open(struct berth_crash *crash, const char *file, const char *name,
                     struct berth_error *error);
/* Where the last run has ended, as a line of the log. */
void berth_crash_tell(const struct berth_crash *crash);
/* From now on crashes are recorded: on this thread, and on those that call berth_crash_thread. */
void berth_crash_arm(const struct berth_crash *crash);
/* For berth_host_options.thread. */
void berth_crash_thread(void *user);
/* Crashes are not recorded any more. */
void berth_crash_close(struct berth_crash *crash);

#endif
