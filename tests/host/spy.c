/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into an application, it notes each call of a function that would act behind the
 * application's back, if the call comes from one of the libraries in BERTH_SPY_WATCH (parts of
 * their names, joined by colons; "main" is the program). One line each to the file BERTH_SPY_LOG.
 * With BERTH_SPY_NO_THREADS pthread_create is such a function, too. Calls of children, of the
 * application and of the C library itself are none of its business.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#pragma GCC visibility push(default)
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wredundant-decls"

static struct {
    long pid;
    int log;
    bool no_threads;
    char watch[256];
} spy = { .log = -1 };

__attribute__((constructor)) static void begin(void)
{
    char *(*get)(const char *) = (char *(*)(const char *))dlsym(RTLD_NEXT, "getenv");
    const char *path = get("BERTH_SPY_LOG"), *watch = get("BERTH_SPY_WATCH");

    spy.no_threads = get("BERTH_SPY_NO_THREADS") != NULL;
    snprintf(spy.watch, sizeof(spy.watch), "%s", watch ? watch : "libberth.so:libcjson:libffi");
    int log = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    spy.log = log < 0 ? -1 : fcntl(log, F_DUPFD_CLOEXEC, 200);
    if (log >= 0)
        syscall(SYS_close, log);
    spy.pid = syscall(SYS_getpid);
}

/* Whether the code at an address is of a library that is watched. */
static bool is_watched(void *address)
{
    struct dl_find_object found;

    if (_dl_find_object(address, &found) != 0)
        return false;
    const char *path = found.dlfo_link_map->l_name;
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : *path ? path : "main";
    char list[sizeof(spy.watch)], *rest = list;
    memcpy(list, spy.watch, sizeof(list));
    for (char *part; (part = strsep(&rest, ":"));)
        if (*part && !strncmp(name, part, strlen(part)))
            return true;
    return false;
}

static void note(const char *function, void *caller)
{
    char line[128];

    if (spy.log < 0 || syscall(SYS_getpid) != spy.pid || !is_watched(caller))
        return;
    int length = snprintf(line, sizeof(line), "%s\n", function);
    syscall(SYS_write, spy.log, line, (size_t)length);
}
#define NOTE(name) note(#name, __builtin_return_address(0))

/* A function like any other: noted, then called. */
#define SPY(type, name, parameters, arguments)                                           \
    type name parameters                                                                 \
    {                                                                                    \
        type(*next) parameters = (type(*) parameters)(uintptr_t)dlsym(RTLD_NEXT, #name); \
        NOTE(name);                                                                      \
        return next arguments;                                                           \
    }
#define SPY_VOID(name, parameters, arguments)                                            \
    void name parameters                                                                 \
    {                                                                                    \
        void(*next) parameters = (void(*) parameters)(uintptr_t)dlsym(RTLD_NEXT, #name); \
        NOTE(name);                                                                      \
        next arguments;                                                                  \
    }
#define SPY_END(name, parameters, arguments)                                             \
    __attribute__((noreturn)) void name parameters                                       \
    {                                                                                    \
        void(*next) parameters = (void(*) parameters)(uintptr_t)dlsym(RTLD_NEXT, #name); \
        NOTE(name);                                                                      \
        next arguments;                                                                  \
        __builtin_unreachable();                                                         \
    }

/* ---- Signals, the end, other processes ---- */

typedef void (*handler_fn)(int);
SPY(handler_fn, signal, (int number, handler_fn handler), (number, handler))
SPY(handler_fn, sigset, (int number, handler_fn handler), (number, handler))
SPY(int, sigaction, (int number, const struct sigaction *new, struct sigaction *old),
    (number, new, old))
SPY(int, sigaltstack, (const stack_t *new, stack_t *old), (new, old))
SPY(int, raise, (int number), (number))
SPY(unsigned, alarm, (unsigned seconds), (seconds))
SPY_END(exit, (int status), (status))
SPY_END(_exit, (int status), (status))
SPY_END(quick_exit, (int status), (status))
SPY_END(abort, (void), ())
SPY(int, atexit, (void (*function)(void)), (function))
SPY(pid_t, fork, (void), ())
SPY(pid_t, _Fork, (void), ())
SPY(int, system, (const char *command), (command))
SPY(FILE *, popen, (const char *command, const char *mode), (command, mode))
SPY(int, posix_spawn,
    (pid_t * pid, const char *path, const posix_spawn_file_actions_t *actions,
     const posix_spawnattr_t *attributes, char *const *argv, char *const *environment),
    (pid, path, actions, attributes, argv, environment))

/* The frame of a vfork is used twice, so it cannot be passed on: the call is noted and refused. */
pid_t vfork(void)
{
    NOTE(vfork);
    return -1;
}

/* ---- What all of a process shares ---- */

SPY(char *, setlocale, (int category, const char *locale), (category, locale))
SPY(int, chdir, (const char *path), (path))
SPY(int, fchdir, (int fd), (fd))
SPY(mode_t, umask, (mode_t mask), (mask))
SPY(char *, getenv, (const char *name), (name))
SPY(char *, secure_getenv, (const char *name), (name))
SPY(int, setenv, (const char *name, const char *value, int overwrite), (name, value, overwrite))
SPY(int, unsetenv, (const char *name), (name))
SPY(int, putenv, (char *assignment), (assignment))
SPY(int, clearenv, (void), ())
SPY(int, setrlimit, (__rlimit_resource_t resource, const struct rlimit *limit), (resource, limit))
SPY(int, nice, (int increment), (increment))
SPY(int, mallopt, (int parameter, int value), (parameter, value))
SPY(int, rand, (void), ())
SPY_VOID(srand, (unsigned seed), (seed))
SPY(long, random, (void), ())
SPY_VOID(srandom, (unsigned seed), (seed))
SPY_VOID(cJSON_InitHooks, (void *hooks), (hooks))

typedef void *(*thread_fn)(void *);
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, thread_fn run,
                   void *argument)
{
    int (*next)(pthread_t *, const pthread_attr_t *, thread_fn, void *) =
        (int (*)(pthread_t *, const pthread_attr_t *, thread_fn, void *))(uintptr_t)dlsym(
            RTLD_NEXT, "pthread_create");
    if (spy.no_threads)
        NOTE(pthread_create);
    return next(thread, attributes, run, argument);
}

/* ---- Standard input, output and error ---- */

static bool is_standard(const FILE *stream)
{
    return stream == stdin || stream == stdout || stream == stderr;
}

#define NOTE_STREAM(name, stream) (is_standard(stream) ? NOTE(name) : (void)0)

int vfprintf(FILE *stream, const char *format, va_list arguments)
{
    int (*next)(FILE *, const char *, va_list) =
        (int (*)(FILE *, const char *, va_list))(uintptr_t)dlsym(RTLD_NEXT, "vfprintf");
    NOTE_STREAM(vfprintf, stream);
    return next(stream, format, arguments);
}

#define FORWARD(stream, format)                                                          \
    va_list arguments;                                                                   \
    va_start(arguments, format);                                                         \
    int (*next)(FILE *, const char *, va_list) =                                         \
        (int (*)(FILE *, const char *, va_list))(uintptr_t)dlsym(RTLD_NEXT, "vfprintf"); \
    int result = next(stream, format, arguments);                                        \
    va_end(arguments);                                                                   \
    return result

int printf(const char *format, ...)
{
    NOTE(printf);
    FORWARD(stdout, format);
}

int __printf_chk(int flag, const char *format, ...)
{
    (void)flag;
    NOTE(printf);
    FORWARD(stdout, format);
}

int fprintf(FILE *stream, const char *format, ...)
{
    NOTE_STREAM(fprintf, stream);
    FORWARD(stream, format);
}

int __fprintf_chk(FILE *stream, int flag, const char *format, ...)
{
    (void)flag;
    NOTE_STREAM(fprintf, stream);
    FORWARD(stream, format);
}

SPY(int, puts, (const char *text), (text))
SPY(int, putchar, (int c), (c))
SPY_VOID(perror, (const char *text), (text))

int fputs(const char *text, FILE *stream)
{
    int (*next)(const char *, FILE *) =
        (int (*)(const char *, FILE *))(uintptr_t)dlsym(RTLD_NEXT, "fputs");
    NOTE_STREAM(fputs, stream);
    return next(text, stream);
}

int fputc(int c, FILE *stream)
{
    int (*next)(int, FILE *) = (int (*)(int, FILE *))(uintptr_t)dlsym(RTLD_NEXT, "fputc");
    NOTE_STREAM(fputc, stream);
    return next(c, stream);
}

size_t fwrite(const void *data, size_t size, size_t count, FILE *stream)
{
    size_t (*next)(const void *, size_t, size_t, FILE *) =
        (size_t(*)(const void *, size_t, size_t, FILE *))(uintptr_t)dlsym(RTLD_NEXT, "fwrite");
    NOTE_STREAM(fwrite, stream);
    return next(data, size, count, stream);
}

ssize_t write(int fd, const void *data, size_t size)
{
    if (fd <= STDERR_FILENO)
        NOTE(write);
    return syscall(SYS_write, fd, data, size);
}

int close(int fd)
{
    if (fd <= STDERR_FILENO && fd >= 0)
        NOTE(close);
    return (int)syscall(SYS_close, fd);
}

int dup2(int from, int to)
{
    if (to <= STDERR_FILENO)
        NOTE(dup2);
    return from == to ? fcntl(from, F_GETFD) < 0 ? -1 : to : (int)syscall(SYS_dup3, from, to, 0);
}
