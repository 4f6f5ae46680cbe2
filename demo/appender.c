/* SPDX-License-Identifier: MIT */
/*
 * Writes a copy of a file as a program writes its log: a little at a time, often ending within a
 * line.
 *
 *     appender INPUT LOG LINES_PER_SECOND
 *
 * After a tenth of the lines it truncates LOG and refills it at once, beyond where it had been;
 * after three quarters it renames LOG to LOG.1, finishes there the line that it is at, and begins
 * LOG anew. It says on its standard output what it does. What a reader has not read when LOG is
 * truncated is lost, so before it does so it waits for a line on its standard input.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TICK_NS 5000000

static const char *input, *log_path; /* the whole input */
static size_t input_size, written;
static int log_file = -1;
static size_t pieces; /* writes that ended within a line */

static void die(const char *what)
{
    fprintf(stderr, "appender: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void read_input(const char *path)
{
    struct stat status;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    char *data;
    if (file < 0 || fstat(file, &status))
        die(path);
    input_size = (size_t)status.st_size;
    data = malloc(input_size + 1);
    if (!data || read(file, data, input_size) != (ssize_t)input_size)
        die(path);
    close(file);
    input = data;
}

static void open_log(int flags)
{
    log_file = open(log_path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
    if (log_file < 0)
        die(log_path);
}

/* Writes the input up to an offset. */
static void write_to(size_t end)
{
    if (end <= written)
        return;
    if (write(log_file, input + written, end - written) != (ssize_t)(end - written))
        die(log_path);
    written = end;
    pieces += input[end - 1] != '\n';
}

/* The offset behind the n-th line from `from` on. */
static size_t after_lines(size_t from, size_t n)
{
    for (; n > 0 && from < input_size; n--) {
        const char *newline = memchr(input + from, '\n', input_size - from);
        from = newline ? (size_t)(newline - input) + 1 : input_size;
    }
    return from;
}

static size_t count_lines(size_t end)
{
    size_t lines = 0;
    for (size_t i = 0; i < end; i++)
        lines += input[i] == '\n';
    return lines;
}

static void say(const char *what)
{
    printf("%s %zu %zu\n", what, count_lines(written), written);
    fflush(stdout);
}

static void sleep_until(struct timespec *at)
{
    at->tv_nsec += TICK_NS;
    if (at->tv_nsec >= 1000000000) {
        at->tv_nsec -= 1000000000;
        at->tv_sec++;
    }
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, at, NULL) == EINTR)
        ;
}

/* Writes up to `end` at the rate, most pieces ending somewhere in a line. */
static void feed(size_t end, double lines_per_tick)
{
    static uint32_t dice = 12345;
    double due = 0;
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    while (written < end) {
        due += lines_per_tick;
        size_t lines = (size_t)due;
        due -= (double)lines;
        if (lines) {
            size_t to = after_lines(written, lines), next = after_lines(to, 1);
            dice = dice * 1664525 + 1013904223;
            if (next > to)
                to += (dice >> 8) % (next - to);
            write_to(to < end ? to : end);
        }
        sleep_until(&at);
    }
}

static void truncate_and_refill(void)
{
    char line[16];
    struct stat status;
    say("truncate");
    if (!fgets(line, sizeof(line), stdin))
        die("no answer");
    if (fstat(log_file, &status) || ftruncate(log_file, 0) || lseek(log_file, 0, SEEK_SET))
        die(log_path);
    size_t end = written + (size_t)status.st_size + 1;
    write_to(after_lines(end < input_size ? end : input_size, 1));
    say("refilled");
}

static void rotate(void)
{
    char old[4096];
    size_t next = after_lines(written, 1);
    snprintf(old, sizeof(old), "%s.1", log_path);
    write_to(written + (next - written) / 2);
    if (rename(log_path, old))
        die(old);
    write_to(next);
    close(log_file);
    open_log(O_EXCL);
    say("rotated");
}

int main(int argc, char **argv)
{
    double lines_per_tick = argc == 4 ? strtod(argv[3], NULL) * TICK_NS / 1e9 : 0;
    if (lines_per_tick <= 0) {
        fputs("usage: appender INPUT LOG LINES_PER_SECOND\n", stderr);
        return 2;
    }
    read_input(argv[1]);
    log_path = argv[2];
    size_t lines = count_lines(input_size);
    open_log(O_TRUNC);
    feed(after_lines(0, lines / 10), lines_per_tick);
    truncate_and_refill();
    feed(after_lines(0, lines / 4 * 3), lines_per_tick);
    rotate();
    feed(input_size, lines_per_tick);
    printf("pieces %zu 0\n", pieces);
    say("done");
    return 0;
}
