/* SPDX-License-Identifier: MIT */
/*
 * Follows a text file and publishes its lines, as `tail -F` shows them: across rotation,
 * truncation and lines that are written in pieces.
 *
 * Lines are numbered. A subscriber whose mailbox was full makes publishing fail, and then the line
 * is published again, to all of them: who must not count twice goes by the number. Who missed some
 * (its worker died over them) asks with `again` for what was published lately.
 */
#include <berth/module.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

BERTH_MODULE("tail", "1.0.0", "Follows a text file and publishes its lines.");
BERTH_OPTION(string, file, "", "The file; it may come later.");
BERTH_OPTION(bool, from_end, false, "Begin with what is written from now on.");
BERTH_OPTION(u32, keep_bytes, 1048576, "How much of what was published can be asked for again.");

BERTH_TOPIC("tail.line", line, (i64, began, "names this sequence of numbers"),
            (u64, number, "1, 2, … ; the same again when it is published again"),
            (bytes, line, "with its newline; a very long one comes in pieces"));

BERTH_STRUCT(position, (i64, began), (u64, lines, "published"), (u64, size, "bytes of them"),
             (u64, pending, "bytes of an unfinished line"),
             (u64, again, "published more than once"));

#define BUFFER     65536 /* a line that is longer comes in pieces */
#define TURN       65536 /* bytes for one turn, then others have theirs */
#define MARK       64    /* bytes before our place in the file, to recognise it by */
#define RETRY_NS   10000000
#define KEPT_LINES 16384

/* What a reload hands over. */
struct state {
    int64_t began;
    uint64_t lines, size, again;
    uint64_t device, inode, offset; /* of the first byte that is not published */
    uint32_t mark_size;
    unsigned char mark[MARK]; /* what lies before it */
};
static struct state here;

static char path[4096];
static int notify = -1, file = -1;
static uint64_t retry; /* a timer, or 0 */
static char buffer[BUFFER];
static size_t filled;

/* What was published lately: here.lines - kept_count + 1 … here.lines, in a ring. */
static struct kept {
    char *data;
    size_t size;
} kept[KEPT_LINES];
static uint64_t kept_count, kept_bytes, keep_bytes;

/* ---- what was published --------------------------------------------------------------------- */

static struct kept *kept_line(uint64_t number)
{
    return &kept[number % KEPT_LINES];
}

static void keep_drop_oldest(void)
{
    struct kept *oldest = kept_line(here.lines - kept_count + 1);
    kept_bytes -= oldest->size;
    kept_count--;
    free(oldest->data);
    oldest->data = NULL;
}

/* After here.lines has been counted up for it. Without memory nothing before it is kept either. */
static void keep_line(const char *data, size_t size)
{
    struct kept *line = kept_line(here.lines);
    kept_count++;
    kept_bytes += size;
    line->size = size;
    while (kept_count > 1 && (kept_bytes > keep_bytes || kept_count > KEPT_LINES - 1))
        keep_drop_oldest();
    line->data = (char *)malloc(size);
    if (line->data)
        memcpy(line->data, data, size);
    while (kept_count && (!line->data || kept_bytes > keep_bytes))
        keep_drop_oldest();
}

/* false, with the call failed, when a mailbox is full. */
static bool publish(berth_ctx *ctx, const char *data, size_t size)
{
    berth_bytes line = { data, size };
    publish_line(ctx, here.began, here.lines + 1, line);
    if (berth_failed(ctx))
        return false;
    here.lines++;
    here.size += size;
    keep_line(data, size);
    return true;
}

/* ---- the file ------------------------------------------------------------------------------- */

static void file_close(void)
{
    if (file >= 0)
        close(file);
    file = -1;
    filled = 0;
}

static void file_begin(uint64_t offset)
{
    here.offset = offset;
    here.mark_size = 0;
    filled = 0;
}

/* Opens what has the name now. What is not there yet is no error. */
static bool file_open(void)
{
    struct stat status;
    file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return false;
    if (fstat(file, &status) || !S_ISREG(status.st_mode)) {
        file_close();
        return false;
    }
    here.device = status.st_dev;
    here.inode = status.st_ino;
    file_begin(0);
    return true;
}

/* The bytes before our place are still the ones that we have seen there. */
static bool file_is_the_same(void)
{
    unsigned char now[MARK];
    struct stat status;
    if (fstat(file, &status) || (uint64_t)status.st_size < here.offset + filled)
        return false;
    if (here.mark_size == 0)
        return true;
    return pread(file, now, here.mark_size, (off_t)(here.offset - here.mark_size)) ==
               (ssize_t)here.mark_size &&
           !memcmp(now, here.mark, here.mark_size);
}

/* Another file has the name. */
static bool file_is_rotated(void)
{
    struct stat status;
    return !stat(path, &status) && (status.st_dev != here.device || status.st_ino != here.inode);
}

/* Takes `size` published bytes out of the buffer. */
static void consume(size_t size)
{
    size_t mark = size < MARK ? size : MARK;
    memcpy(here.mark, buffer + size - mark, mark);
    here.mark_size = (uint32_t)mark;
    here.offset += size;
    filled -= size;
    memmove(buffer, buffer + size, filled);
}

/* Publishes the whole lines of the buffer (all of it when `rest`). false: a mailbox is full. */
static bool publish_lines(berth_ctx *ctx, bool rest)
{
    size_t done = 0;
    bool room = true;
    while (room && done < filled) {
        const char *begin = buffer + done;
        const char *newline = (const char *)memchr(begin, '\n', filled - done);
        size_t size = newline ? (size_t)(newline - begin) + 1 : filled - done;
        if (!newline && !rest && filled - done < BUFFER)
            break;
        room = publish(ctx, begin, size);
        done += room ? size : 0;
    }
    if (done)
        consume(done);
    return room;
}

/*
 * Reads and publishes; *budget goes down. false: a mailbox is full. At the end of the file: true,
 * with budget left.
 */
static bool drain(berth_ctx *ctx, size_t *budget)
{
    ssize_t got = 1;
    while (got > 0 && *budget > 0) {
        if (!publish_lines(ctx, false))
            return false;
        got = pread(file, buffer + filled, BUFFER - filled, (off_t)(here.offset + filled));
        if (got > 0) {
            filled += (size_t)got;
            *budget -= (size_t)got < *budget ? (size_t)got : *budget;
        }
    }
    return publish_lines(ctx, false);
}

/* One turn. false: to be continued soon. */
static bool follow_once(berth_ctx *ctx)
{
    size_t budget = TURN;
    if (file < 0 && !file_open())
        return true;
    if (!file_is_the_same())
        file_begin(0);                /* truncated, and perhaps grown again beyond our place */
    bool rotated = file_is_rotated(); /* before the last look at the old one */
    if (!drain(ctx, &budget) || budget == 0)
        return false;
    if (!rotated)
        return true;
    if (!publish_lines(ctx, true)) /* nobody will finish it */
        return false;
    file_close();
    return false;
}

static void follow(berth_ctx *ctx, void *user)
{
    (void)user;
    retry = 0;
    bool finished = follow_once(ctx);
    int64_t pause = berth_failed(ctx) ? RETRY_NS : 0;
    if (berth_error_code(ctx) == BERTH_RESOURCE_EXHAUSTED) {
        berth_clear(ctx);
        here.again++;
    }
    if (!finished)
        retry = berth_timer(ctx, pause, 0, follow, NULL);
}

static void on_change(berth_ctx *ctx, int fd, uint32_t events, void *user)
{
    char news[4096];
    (void)events;
    while (read(fd, news, sizeof(news)) > 0)
        ; /* what happened is seen at the file itself */
    if (!retry)
        follow(ctx, user);
}

/* ---- the module ----------------------------------------------------------------------------- */

/* Watches the directory: the file itself comes and goes. */
static bool watch_directory(berth_ctx *ctx)
{
    const char *slash = strrchr(path, '/');
    char directory[sizeof(path)];
    if (!slash)
        strcpy(directory, ".");
    else /* "/x" lies in "/" */
        snprintf(directory, sizeof(directory), "%.*s", (int)(slash - path) + (slash == path), path);
    notify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (notify >= 0 &&
        inotify_add_watch(notify, directory, IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_DELETE) >= 0)
        return berth_watch(ctx, notify, EPOLLIN, on_change, NULL) != 0;
    berth_fail(ctx, BERTH_FAILED_PRECONDITION, "cannot watch %s: %s", directory, strerror(errno));
    return false;
}

BERTH_START
{
    berth_string name = option_file(ctx);
    struct timespec now;
    struct stat status;
    if (name[0] == '\0' || strlen(name) >= sizeof(path)) {
        berth_fail(ctx, BERTH_INVALID_ARGUMENT, "which file? Give the option \"file\"");
        return;
    }
    strcpy(path, name);
    keep_bytes = option_keep_bytes(ctx);
    clock_gettime(CLOCK_REALTIME, &now);
    here.began = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    if (!watch_directory(ctx))
        return;
    if (option_from_end(ctx) && file_open() && !fstat(file, &status))
        file_begin((uint64_t)status.st_size);
    retry = berth_timer(ctx, 0, 0, follow, NULL);
}

BERTH_STOP
{
    file_close();
    if (notify >= 0)
        close(notify);
    while (kept_count)
        keep_drop_oldest();
}

BERTH_SAVE(1)
{
    berth_bytes saved = { &here, sizeof(here) };
    return saved;
}

/* Goes on where the old generation was, if the file is still that one; else at its beginning. */
static void go_on(const struct state *old)
{
    struct state now;
    file_close();
    bool opened = file_open();
    now = here;
    here = *old;
    if (opened && (now.device != old->device || now.inode != old->inode)) {
        here.device = now.device;
        here.inode = now.inode;
        file_begin(0);
    }
}

BERTH_RESTORE
{
    struct state old;
    if (version != 1 || state.size != sizeof(old)) {
        berth_fail(ctx, BERTH_INVALID_ARGUMENT, "a state of version %u, %zu bytes", version,
                   state.size);
        return;
    }
    memcpy(&old, state.data, sizeof(old));
    go_on(&old);
}

BERTH_EXPORT(position, position, "How far it is.")
{
    berth_position position = { here.began, here.lines, here.size, filled, here.again };
    return position;
}

BERTH_EXPORT(void, flush, "Publishes an unfinished last line as it is.")
{
    follow_once(ctx);
    publish_lines(ctx, true);
}

BERTH_EXPORT(array(bytes), again, "Lines that were published lately, once more.",
             (i64, began, "their sequence"), (u64, from, "the first number"),
             (u32, most, "how many, at most"))
{
    berth_array(bytes) none = { NULL, 0 };
    if (began != here.began || from == 0 || here.lines >= kept_count + from) {
        berth_fail(ctx, BERTH_OUT_OF_RANGE,
                   "line %llu is not kept: raise the option \"keep_bytes\"",
                   (unsigned long long)from);
        return none;
    }
    if (from > here.lines)
        return none;
    size_t count = here.lines - from + 1 < most ? (size_t)(here.lines - from + 1) : most;
    berth_bytes *lines = (berth_bytes *)berth_alloc(ctx, count * sizeof(*lines));
    if (!lines)
        return none;
    for (size_t i = 0; i < count; i++) {
        lines[i].data = kept_line(from + i)->data;
        lines[i].size = kept_line(from + i)->size;
    }
    berth_array(bytes) result = { lines, count };
    return result;
}
