/* SPDX-License-Identifier: MIT */
/*
 * The record's form, a line each:
 *
 *     berth crash 1
 *     time 1795632996
 *     signal SIGSEGV
 *     address 0x10
 *     process 71 thread 74
 *     in math@1.2.0#1 divide            the calls that the thread is in, the innermost first
 *     at 0x7f0c1139 math@1.2.0#1+0x1139 the code: its address, and where that is in which image
 *     end
 */
#include "runtime/shell/crash_handler.h"

#include <berth/host.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "runtime/shell/log_file.h"

enum { FRAMES_MAX = 64, CALLS_SIZE = 16384, MAPS_SIZE = 1 << 18, PATIENCE = 10 };

/* One crash is recorded; nothing of this lies on a stack that may be full. */
static struct {
    char text[CALLS_SIZE + FRAMES_MAX * 320 + 512];
    size_t size;
    char calls[CALLS_SIZE];
    char maps[MAPS_SIZE + 1]; /* and one to look at behind the last blank */
    size_t maps_size;
    void *frames[FRAMES_MAX];
} record;

/* ---- words ---- */

static void put_bytes(const char *data, size_t size)
{
    size_t room = sizeof(record.text) - record.size;

    size = size < room ? size : room;
    memcpy(record.text + record.size, data, size);
    record.size += size;
}

static void put(const char *text)
{
    put_bytes(text, strlen(text));
}

static void put_number(uint64_t number, unsigned base)
{
    char digits[24];
    size_t at = sizeof(digits);

    do
        digits[--at] = "0123456789abcdef"[number % base];
    while (number /= base);
    put(base == 16 ? "0x" : "");
    put_bytes(digits + at, sizeof(digits) - at);
}

static void put_line(const char *word, uint64_t number, unsigned base)
{
    put(word);
    put_number(number, base);
    put("\n");
}

static const char *signal_name(int number)
{
    switch (number) {
    case SIGSEGV:
        return "SIGSEGV";
    case SIGBUS:
        return "SIGBUS";
    case SIGFPE:
        return "SIGFPE";
    case SIGILL:
        return "SIGILL";
    default:
        return "SIGABRT";
    }
}

/* ---- where an address is ---- */

static void read_maps(void)
{
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    ssize_t got;

    while (fd >= 0 && record.maps_size < MAPS_SIZE &&
           (got = read(fd, record.maps + record.maps_size, MAPS_SIZE - record.maps_size)) > 0)
        record.maps_size += (size_t)got;
    if (fd >= 0)
        close(fd);
}

static uintptr_t read_hex(const char **at, const char *end)
{
    uintptr_t number = 0;

    for (; *at < end; (*at)++) {
        char c = **at;
        if (c >= '0' && c <= '9')
            number = number * 16 + (uintptr_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            number = number * 16 + (uintptr_t)(c - 'a' + 10);
        else
            break;
    }
    return number;
}

struct mapping {
    uintptr_t low, high;
    const char *name;
    size_t length; /* of the name */
};

/* "low-high rights offset device inode   name"; returns where the next line begins. */
static const char *read_mapping(const char *at, const char *end, struct mapping *mapping)
{
    const char *line_end = memchr(at, '\n', (size_t)(end - at));

    line_end = line_end ? line_end : end;
    mapping->low = read_hex(&at, line_end);
    at += at < line_end;
    mapping->high = read_hex(&at, line_end);
    for (int blanks = 0; at < line_end && blanks < 5; at++)
        blanks += *at == ' ' && at[1] != ' ';
    mapping->name = at;
    mapping->length = (size_t)(line_end - at);
    return line_end < end ? line_end + 1 : end;
}

/* An image that is a memory file is called as its module is: math@1.2.0#1. */
static void put_name(const struct mapping *mapping)
{
    static const char memory[] = "/memfd:", gone[] = " (deleted)";
    const char *name = mapping->name;
    size_t length = mapping->length;

    if (length > strlen(gone) && !memcmp(name + length - strlen(gone), gone, strlen(gone)))
        length -= strlen(gone);
    if (length > strlen(memory) && !memcmp(name, memory, strlen(memory))) {
        name += strlen(memory);
        length -= strlen(memory);
    }
    put_bytes(name, length < 256 ? length : 256);
}

/* Its offset is from where the image begins, as a debugger's tools count. */
static void put_place(uintptr_t address)
{
    const char *end = record.maps + record.maps_size;
    struct mapping mapping = { 0 }, first = { 0 };

    put("at ");
    put_number(address, 16);
    for (const char *at = record.maps; at < end;) {
        at = read_mapping(at, end, &mapping);
        if (mapping.length != first.length || memcmp(mapping.name, first.name, first.length) != 0)
            first = mapping;
        if (address < mapping.low || address >= mapping.high || !mapping.length)
            continue;
        put(" ");
        put_name(&mapping);
        put("+");
        put_number(address - first.low, 16);
        break;
    }
    put("\n");
}

/* ---- the record ---- */

/* Where the processor was; 0 when that is not known. */
static uintptr_t place_of(const void *context)
{
    const ucontext_t *state = context;

#if defined __x86_64__
    return (uintptr_t)state->uc_mcontext.gregs[REG_RIP];
#elif defined __aarch64__
    return (uintptr_t)state->uc_mcontext.pc;
#else
    (void)state;
    return 0;
#endif
}

static void put_calls(void)
{
    size_t size = berth_crash_describe(record.calls, sizeof(record.calls));
    const char *end = record.calls + size;

    for (const char *at = record.calls; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        put("in ");
        put_bytes(at, (size_t)(newline + 1 - at));
        at = newline + 1;
    }
}

static void write_out(int fd)
{
    berth_write_all(fd, record.text, record.size); /* there is nobody to tell */
    record.size = 0;
}

/* What has called the handler comes before the code that has crashed. */
static void put_backtrace(uintptr_t place)
{
    int count = backtrace(record.frames, FRAMES_MAX), first = 0;

    for (int i = 0; i < count; i++)
        if ((uintptr_t)record.frames[i] == place)
            first = i + 1;
    for (int i = first; i < count; i++)
        put_place((uintptr_t)record.frames[i]);
}

void berth_crash_prepare(void)
{
    backtrace(record.frames, 1);
}

void berth_crash_write(int fd, const siginfo_t *info, const void *context)
{
    struct timespec now;
    uintptr_t place = place_of(context);

    clock_gettime(CLOCK_REALTIME, &now);
    put_line("berth crash ", 1, 10);
    put_line("time ", (uint64_t)now.tv_sec, 10);
    put("signal ");
    put(signal_name(info->si_signo));
    put("\n");
    if (info->si_code > 0)
        put_line("address ", (uintptr_t)info->si_addr, 16);
    put("process ");
    put_number((uint64_t)getpid(), 10);
    put_line(" thread ", (uint64_t)syscall(SYS_gettid), 10);
    put_calls();
    if (lseek(fd, 0, SEEK_SET) != 0 || ftruncate(fd, 0) != 0)
        return;
    write_out(fd); /* what matters most; what follows may find a damaged stack */
    read_maps();
    if (place)
        put_place(place);
    write_out(fd);
    alarm(PATIENCE); /* unwinding may wait for a lock that nobody gives back */
    put_backtrace(place);
    alarm(0);
    put("end\n");
    write_out(fd);
}
