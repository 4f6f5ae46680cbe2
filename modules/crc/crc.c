/* SPDX-License-Identifier: MIT */
/*
 * The checksum of all lines that `tail` has published, as cksum(1) would print it of the file.
 *
 * Made to run in a worker, and to lose nothing when that is killed at any instruction. After each
 * line it leaves where it is with `keep`, so that the next worker goes on from there. A line that
 * was being handled when the worker died is not delivered again; the gap in the numbers shows it,
 * and `tail` still has it. A line that comes twice is known by its number. Without `keep` a new
 * worker begins with what comes.
 */
#include <berth/module.h>

#include <string.h>

BERTH_MODULE("crc", "1.0.0", "Checksums the lines of tail.");
BERTH_REQUIRES("tail", "^1.0");
BERTH_IMPORT(array(bytes), tail, again, (i64, began), (u64, from), (u32, most));
BERTH_IMPORT(void, keep, put, (string, name), (bytes, value));
BERTH_IMPORT(optional(bytes), keep, get, (string, name));

BERTH_STRUCT(checksum, (u32, sum, "as cksum(1)"), (u64, size, "in bytes"), (u64, lines),
             (u64, repeated, "came twice"), (u64, asked, "were asked for again"),
             (array(u64), resumed, "after which line each new worker went on, the last 8"));

#define RESUMED_MAX 8

/* What is left with `keep`. */
struct progress {
    int64_t began; /* the sequence of numbers, of tail */
    uint64_t number;
    uint64_t lines, size, repeated, asked;
    uint64_t resumed[RESUMED_MAX];
    uint32_t resumed_count, crc;
};
static struct progress progress;

static uint32_t table[256];

static void table_make(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i << 24;
        for (int bit = 0; bit < 8; bit++)
            c = c & 0x80000000 ? c << 1 ^ 0x04c11db7 : c << 1;
        table[i] = c;
    }
}

static uint32_t crc_add(uint32_t crc, const void *data, size_t size)
{
    const unsigned char *byte = (const unsigned char *)data;
    while (size--)
        crc = crc << 8 ^ table[crc >> 24 ^ *byte++];
    return crc;
}

/* POSIX: the length follows the data, low byte first, without leading zeros. */
static uint32_t crc_finish(uint32_t crc, uint64_t size)
{
    for (; size; size >>= 8)
        crc = crc << 8 ^ table[crc >> 24 ^ (size & 0xff)];
    return ~crc;
}

static void add_line(berth_bytes line)
{
    progress.crc = crc_add(progress.crc, line.data, line.size);
    progress.size += line.size;
    progress.lines++;
    progress.number++;
}

/*
 * Asks for the lines up to `last` (UINT64_MAX: all that there are). What is not kept any more is a
 * failure.
 */
static void catch_up(berth_ctx *ctx, uint64_t last)
{
    while (progress.number < last) {
        uint64_t mark = berth_mark(ctx), missing = last - progress.number;
        berth_array(bytes) lines = tail_again(ctx, progress.began, progress.number + 1,
                                              missing < 256 ? (uint32_t)missing : 256);
        for (size_t i = 0; i < lines.count; i++)
            add_line(lines.data[i]);
        progress.asked += lines.count;
        size_t count = lines.count;
        berth_rewind(ctx, mark);
        if (count == 0)
            return;
    }
}

static void progress_keep(berth_ctx *ctx)
{
    berth_bytes value = { &progress, sizeof(progress) };
    keep_put(ctx, "crc", value);
    if (berth_error_code(ctx) == BERTH_UNAVAILABLE)
        berth_clear(ctx); /* there is no such module */
}

BERTH_START
{
    table_make();
    berth_optional(bytes) kept = keep_get(ctx, "crc");
    if (berth_error_code(ctx) == BERTH_UNAVAILABLE)
        berth_clear(ctx);
    if (!kept.present || kept.value.size != sizeof(progress))
        return;
    memcpy(&progress, kept.value.data, sizeof(progress));
    if (progress.resumed_count == RESUMED_MAX)
        memmove(progress.resumed, progress.resumed + 1,
                (--progress.resumed_count) * sizeof(progress.resumed[0]));
    progress.resumed[progress.resumed_count++] = progress.number;
    progress_keep(ctx);
}

BERTH_SUBSCRIBE("tail.line", on_line, (i64, began), (u64, number), (bytes, line))
{
    if (began != progress.began) { /* the first one, or of another tail */
        progress.began = began;
        progress.number = number - 1;
    }
    if (number <= progress.number) {
        progress.repeated++;
        return;
    }
    catch_up(ctx, number - 1);
    if (berth_failed(ctx)) {
        berth_log(ctx, BERTH_LOG_ERROR, "lines are missing: %s", berth_error_text(ctx));
        berth_clear(ctx);
        progress.number = number - 1;
    }
    add_line(line);
    progress_keep(ctx);
}

BERTH_EXPORT(u64, lines, "How many lines have come.")
{
    return progress.lines;
}

BERTH_EXPORT(checksum, sum, "Of all lines that tail has published until now.")
{
    if (progress.began)
        catch_up(ctx, UINT64_MAX);
    berth_array(u64) resumed = { progress.resumed, progress.resumed_count };
    berth_checksum result = { crc_finish(progress.crc, progress.size),
                              progress.size,
                              progress.lines,
                              progress.repeated,
                              progress.asked,
                              resumed };
    return result;
}

BERTH_EXPORT(u32, of, "Of some data.", (bytes, data))
{
    return crc_finish(crc_add(0, data.data, data.size), data.size);
}
