/* SPDX-License-Identifier: MIT */
#include "runtime/shell/crash.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/shell/crash_handler.h"
#include "runtime/shell/file.h"
#include "runtime/shell/log.h"

#define RECORD_MAX ((size_t)1 << 20)
#define STACK_SIZE ((size_t)128 << 10)

static const int crashes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
enum { CRASHES = sizeof(crashes) / sizeof(crashes[0]), LONG_ENOUGH = 60 };

static struct {
    int fd;
    int taken; /* atomic: a thread is writing */
    struct sigaction old[CRASHES];
    bool armed;
    pthread_key_t stacks;
} the_record = { .fd = -1 };

/* ---- the file ---- */

/* A directory's file for the host; a name may be anything, but here it is one part of a path. */
static bool place_in(struct berth_crash *crash, const char *directory, const char *name)
{
    int length = snprintf(crash->file, sizeof(crash->file), "%s/%s.crash", directory, name);

    if (length < 0 || (size_t)length >= sizeof(crash->file))
        return false;
    for (char *at = crash->file + strlen(directory) + 1; *at; at++)
        if (*at == '/')
            *at = '_';
    crash->fd = open(crash->file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    return crash->fd >= 0;
}

static void open_default(struct berth_crash *crash, const char *name)
{
    const char *state = secure_getenv("XDG_STATE_HOME");
    char directory[PATH_MAX];

    if (state && *state == '/' && strlen(state) < sizeof(directory) - sizeof("/berth")) {
        snprintf(directory, sizeof(directory), "%s/berth", state);
        mkdir(directory, 0700);
        if (place_in(crash, directory, name))
            return;
    }
    if (!place_in(crash, "/var/lib/berth", name))
        crash->file[0] = '\0';
}

/* ---- what it says ---- */

static void read_time(struct berth_crash *crash, const char *text)
{
    time_t seconds = (time_t)strtoll(text, NULL, 10);
    struct tm utc;

    if (gmtime_r(&seconds, &utc))
        strftime(crash->time, sizeof(crash->time), "%Y-%m-%dT%H:%M:%SZ", &utc);
}

/* "math@1.2.0#1", as a name and a version. False: it is none. */
static bool read_label(char *label, const char **ret_version)
{
    char *at = strchr(label, '@'), *number = at ? strchr(at, '#') : NULL;

    if (!number)
        return false;
    *at = *number = '\0';
    *ret_version = at + 1;
    return true;
}

/* The innermost call comes first, and the chain shows it last. */
static void read_call(struct berth_crash *crash, char *text)
{
    char *function = strchr(text, ' '), before[sizeof(crash->chain)];
    const char *version;

    if (!function)
        return;
    *function++ = '\0';
    if (!read_label(text, &version))
        return;
    memcpy(before, crash->chain, sizeof(before));
    if (!*crash->module) {
        snprintf(crash->module, sizeof(crash->module), "%s", text);
        snprintf(crash->version, sizeof(crash->version), "%s", version);
    }
    memcpy(before, crash->chain, sizeof(before));
    int length = snprintf(crash->chain, sizeof(crash->chain), "%s.%s%s%s", text, function,
                          *before ? " → " : "", before);
    if (length < 0 || (size_t)length >= sizeof(crash->chain))
        memcpy(crash->chain, before, sizeof(before)); /* the outer calls are left out */
}

/* For a thread that no call is on: the module whose code it was in says the address. */
static void read_place(struct berth_crash *crash, char *text)
{
    char *image = strchr(text, ' '), *plus = image ? strrchr(image, '+') : NULL;
    const char *version;

    if (*crash->module || !plus || strchr(image, '/'))
        return;
    *plus = '\0';
    if (!read_label(image + 1, &version))
        return;
    snprintf(crash->module, sizeof(crash->module), "%s", image + 1);
    snprintf(crash->version, sizeof(crash->version), "%s", version);
}

static void read_record(struct berth_crash *crash)
{
    size_t size;
    char *text = berth_file_read_all(crash->fd, RECORD_MAX, &size), *next = text;

    crash->crashed = text && strncmp(text, "berth crash 1\n", 14) == 0;
    while (crash->crashed && next) {
        char *line = strsep(&next, "\n");
        if (strncmp(line, "time ", 5) == 0)
            read_time(crash, line + 5);
        else if (strncmp(line, "signal ", 7) == 0)
            snprintf(crash->signal, sizeof(crash->signal), "%s", line + 7);
        else if (strncmp(line, "in ", 3) == 0)
            read_call(crash, line + 3);
        else if (strncmp(line, "at ", 3) == 0)
            read_place(crash, line + 3);
    }
    free(text);
}

int berth_crash_open(struct berth_crash *crash, const char *file, const char *name,
                     struct berth_error *error)
{
    *crash = (struct berth_crash){ .fd = -1 };
    if (!file) {
        open_default(crash, name);
    } else {
        snprintf(crash->file, sizeof(crash->file), "%s", file);
        crash->fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
        if (crash->fd < 0)
            return berth_error_errno(error, errno, "the crash record %s", file);
    }
    if (crash->fd >= 0)
        read_record(crash);
    return BERTH_OK;
}

void berth_crash_tell(const struct berth_crash *crash)
{
    if (!crash->crashed)
        return;
    berth_log_warning("the last run ended with %s at %s in %s%s%s%s%s; %s tells more, and is to be "
                      "removed to forget it",
                      crash->signal, crash->time,
                      *crash->module ? crash->module : "no module's code",
                      *crash->module ? " " : "", crash->version, *crash->chain ? ": " : "",
                      crash->chain, crash->file);
}

/* ---- the handler ---- */

static void on_crash(int number, siginfo_t *info, void *context)
{
    int saved = errno;

    if (!__atomic_exchange_n(&the_record.taken, 1, __ATOMIC_ACQ_REL))
        berth_crash_write(the_record.fd, info, context);
    else
        sleep(LONG_ENOUGH); /* another thread's crash is being recorded, and ends this */
    /*
     * It does what it would have done, when this returns. Not before: the same signal of another
     * thread would end the process in the middle of the record. One of this thread's own is
     * blocked, and does.
     */
    for (size_t i = 0; i < CRASHES; i++)
        if (crashes[i] == number)
            sigaction(number, &the_record.old[i], NULL);
    errno = saved;
    if (info->si_code <= 0) /* somebody has sent it: it will not come again by itself */
        raise(number);
}

static void drop_stack(void *stack)
{
    const stack_t none = { .ss_flags = SS_DISABLE };

    sigaltstack(&none, NULL);
    munmap(stack, STACK_SIZE);
}

/* Without a stack for the handler, a thread that has used up its own ends without a record. */
void berth_crash_thread(void *user)
{
    sigset_t signals;
    stack_t stack = { .ss_size = STACK_SIZE };

    (void)user;
    stack.ss_sp = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack.ss_sp != MAP_FAILED && sigaltstack(&stack, NULL) == 0)
        pthread_setspecific(the_record.stacks, stack.ss_sp);
    else if (stack.ss_sp != MAP_FAILED)
        munmap(stack.ss_sp, STACK_SIZE);
    sigemptyset(&signals);
    for (size_t i = 0; i < CRASHES; i++) /* a signal that is blocked ends the process at once */
        sigaddset(&signals, crashes[i]);
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
}

void berth_crash_arm(const struct berth_crash *crash)
{
    struct sigaction action = { .sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK };

    if (crash->fd < 0 || pthread_key_create(&the_record.stacks, drop_stack) != 0)
        return;
    the_record.fd = crash->fd;
    berth_crash_prepare();
    berth_crash_thread(NULL);
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < CRASHES; i++)
        sigaddset(&action.sa_mask, crashes[i]);
    for (size_t i = 0; i < CRASHES; i++)
        sigaction(crashes[i], &action, &the_record.old[i]);
    the_record.armed = true;
}

void berth_crash_close(struct berth_crash *crash)
{
    for (size_t i = 0; i < CRASHES && the_record.armed; i++)
        sigaction(crashes[i], &the_record.old[i], NULL);
    the_record.armed = false;
    if (crash->fd >= 0)
        close(crash->fd);
    crash->fd = -1;
}
