/* SPDX-License-Identifier: MIT */
#include "tests/support/command.h"

#include "tests/support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/scratch.h"

enum { INPUT, OUTPUT, ERRORS, STREAMS };

struct stream {
    int ours;   /* -1: at its end */
    int theirs; /* the child's end, until it runs */
    char *data; /* OUTPUT, ERRORS: read so far, in memory of malloc */
    size_t size;
    size_t room;
};

__attribute__((noreturn)) static void give_up(const char *what)
{
    printf("# %s: %s\n", what, strerror(errno));
    fflush(stdout);
    abort();
}

static long long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void stream_close(struct stream *stream)
{
    if (stream->ours >= 0)
        close(stream->ours);
    stream->ours = -1;
}

static void streams_open(struct stream streams[STREAMS])
{
    for (int i = 0; i < STREAMS; i++) {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) != 0)
            give_up("pipe2");
        streams[i] = (struct stream){ .ours = ends[i == INPUT], .theirs = ends[i != INPUT] };
        fcntl(streams[i].ours, F_SETFL, O_NONBLOCK);
    }
}

static pid_t start(struct stream streams[STREAMS], const char *const argv[])
{
    pid_t child = fork();
    if (child < 0)
        give_up("fork");
    if (child == 0) {
        setpgid(0, 0);
        signal(SIGPIPE, SIG_DFL);
        for (int i = 0; i < STREAMS; i++)
            dup2(streams[i].theirs, i);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    setpgid(child, child); /* the child does so too: whoever comes first */
    for (int i = 0; i < STREAMS; i++)
        close(streams[i].theirs);
    return child;
}

static void stream_read(struct stream *stream)
{
    if (stream->room - stream->size < 4096) {
        stream->room = stream->room ? stream->room * 2 : 8192;
        stream->data = realloc(stream->data, stream->room);
        if (!stream->data)
            give_up("memory for a command's output");
    }
    ssize_t got = read(stream->ours, stream->data + stream->size, stream->room - stream->size);
    if (got > 0)
        stream->size += (size_t)got;
    else if (got == 0 || (errno != EAGAIN && errno != EINTR))
        stream_close(stream);
}

static void stream_write(struct stream *stream, const struct berth_test_command *command)
{
    ssize_t sent =
        write(stream->ours, command->input + stream->size, command->input_size - stream->size);
    if (sent > 0)
        stream->size += (size_t)sent;
    if (stream->size == command->input_size || (sent < 0 && errno != EAGAIN && errno != EINTR))
        stream_close(stream);
}

/* Feeds and drains the streams until the child has closed its outputs; false when time is over. */
static bool talk(struct stream streams[STREAMS], const struct berth_test_command *command)
{
    long long patience = berth_test_patience() / 1000000;
    long long deadline = now_ms() + (command->timeout ? command->timeout : patience);

    if (!command->input)
        stream_close(&streams[INPUT]);
    while (streams[OUTPUT].ours >= 0 || streams[ERRORS].ours >= 0) {
        struct pollfd polled[STREAMS];
        for (int i = 0; i < STREAMS; i++)
            polled[i] = (struct pollfd){ streams[i].ours, i == INPUT ? POLLOUT : POLLIN, 0 };

        long long left = deadline - now_ms();
        if (left <= 0)
            return false;
        if (poll(polled, STREAMS, (int)left) < 0 && errno != EINTR)
            give_up("poll");
        if (polled[INPUT].revents)
            stream_write(&streams[INPUT], command);
        for (int i = OUTPUT; i <= ERRORS; i++)
            if (polled[i].revents)
                stream_read(&streams[i]);
    }
    return true;
}

/* Waits for the child, killing its whole group when it is too late. */
static int finish(pid_t child, bool timed_out)
{
    int status;

    if (timed_out)
        kill(-child, SIGKILL);
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            give_up("waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Moves what was read into memory that ends with the test. */
static char *stream_take(struct stream *stream)
{
    char *text = berth_test_alloc(stream->size + 1);
    if (stream->size)
        memcpy(text, stream->data, stream->size);
    free(stream->data);
    return text;
}

int berth_test_run(struct berth_test_command *command, const char *const argv[])
{
    struct berth_test_command unasked = { 0 };
    struct stream streams[STREAMS];
    struct sigaction ignore = { .sa_handler = SIG_IGN }, before;

    if (!command)
        command = &unasked;
    if (command->input && !command->input_size)
        command->input_size = strlen(command->input);

    streams_open(streams);
    sigaction(SIGPIPE, &ignore, &before); /* a program need not read its input */
    pid_t child = start(streams, argv);
    command->timed_out = !talk(streams, command);
    command->status = finish(child, command->timed_out);
    sigaction(SIGPIPE, &before, NULL);

    for (int i = 0; i < STREAMS; i++)
        stream_close(&streams[i]);
    command->out_size = streams[OUTPUT].size;
    command->err_size = streams[ERRORS].size;
    command->out = stream_take(&streams[OUTPUT]);
    command->err = stream_take(&streams[ERRORS]);
    return command->status;
}

int berth_test_shell(struct berth_test_command *command, const char *script)
{
    return berth_test_run(command, (const char *const[]){ "sh", "-c", script, NULL });
}
