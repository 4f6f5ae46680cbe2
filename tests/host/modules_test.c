/* SPDX-License-Identifier: MIT */
/* The modules that come with Berth: what they do to a log, and to each other. */
#include "tests/support/hosting.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static berth_host *host;

static void load(const char *name, const char *placement, const char *module_options)
{
    struct berth_error error = { 0 };
    struct berth_load_options options = { .size = sizeof(options),
                                          .placement = placement,
                                          .options = module_options };
    const char *file = berth_test_built(berth_test_format("modules/%s/%s.so", name, name));
    CHECK_CODE(berth_host_load(host, file, &options, &error), BERTH_OK, &error);
}

static void reload(const char *name)
{
    struct berth_error error = { 0 };
    CHECK_CODE(berth_host_reload(host, name, NULL, NULL, &error), BERTH_OK, &error);
}

static const char *log_path(void)
{
    return berth_test_format("%s/log", berth_test_dir());
}

/* A host with tail on a log that is empty yet. */
static void follow(const char *more_options)
{
    host = berth_test_host(NULL);
    berth_test_write(log_path(), "", 0);
    load("tail", NULL, berth_test_format("{\"file\":\"%s\"%s}", log_path(), more_options));
}

static void append(const char *text)
{
    FILE *file = fopen(log_path(), "ae");
    REQUIRE(file);
    fputs(text, file);
    fclose(file);
}

static long long number_in(const char *json, const char *key)
{
    const char *found = strstr(json, berth_test_format("\"%s\":", key));
    return found ? strtoll(strchr(found, ':') + 1, NULL, 10) : -1;
}

static long long ask(const char *function, const char *key)
{
    return number_in(CALL(host, function, "[]"), key);
}

/* What tail has published from a line on, as JSON. */
static const char *published(unsigned from)
{
    return CALL(host, "tail.again",
                berth_test_format("[%lld,%u,1000]", ask("tail.position", "began"), from));
}

#define A "\"YQo=\""     /* a\n */
#define B "\"YmIK\""     /* bb\n */
#define C "\"Y2NjCg==\"" /* ccc\n */

static void lines_come_whole(void)
{
    follow("");
    append("a\nb");
    UNTIL(host, ask("tail.position", "pending") == 1);
    CHECK_STR(published(1), "[" A "]");
    append("b");
    UNTIL(host, ask("tail.position", "pending") == 2);
    append("\nccc\n");
    UNTIL(host, ask("tail.position", "lines") == 3);
    CHECK_STR(published(1), "[" A "," B "," C "]");
    CHECK_STR(published(3), "[" C "]");
    CHECK_STR(published(4), "[]");
    append("x");
    UNTIL(host, ask("tail.position", "pending") == 1);
    CALL(host, "tail.flush", "[]");
    CHECK_STR(published(4), "[\"eA==\"]");
}

static void what_is_there_already_is_a_choice(void)
{
    host = berth_test_host(NULL);
    berth_test_write(log_path(), "old\n", 4);
    load("tail", NULL, berth_test_format("{\"file\":\"%s\",\"from_end\":true}", log_path()));
    append("a\n");
    UNTIL(host, ask("tail.position", "lines") == 1);
    CHECK_STR(published(1), "[" A "]");
}

static void the_file_may_come_later(void)
{
    host = berth_test_host(NULL);
    load("tail", NULL, berth_test_format("{\"file\":\"%s\"}", log_path()));
    append("a\n");
    UNTIL(host, ask("tail.position", "lines") == 1);
    CHECK_STR(published(1), "[" A "]");
}

static void truncation_is_seen(void)
{
    follow("");
    append("a\nbb\n");
    UNTIL(host, ask("tail.position", "lines") == 2);
    berth_test_write(log_path(), "a\n", 2); /* shorter than before */
    UNTIL(host, ask("tail.position", "lines") == 3);
    CHECK_STR(published(3), "[" A "]");
    berth_test_write(log_path(), "ccc\nbb\na\n", 9); /* longer: only the bytes tell */
    UNTIL(host, ask("tail.position", "lines") == 6);
    CHECK_STR(published(4), "[" C "," B "," A "]");
}

static void rotation_loses_nothing(void)
{
    follow("");
    append("a\n");
    UNTIL(host, ask("tail.position", "lines") == 1);
    FILE *old = fopen(log_path(), "ae");
    REQUIRE(old);
    REQUIRE(!rename(log_path(), berth_test_format("%s.1", log_path())));
    fputs("bb\n", old); /* a writer that has not noticed yet */
    fclose(old);
    append("ccc\n");
    UNTIL(host, ask("tail.position", "lines") == 3);
    CHECK_STR(published(1), "[" A "," B "," C "]");
}

static void a_reload_of_tail_goes_on_in_the_file(void)
{
    follow("");
    load("count", NULL, NULL);
    append("a\nb");
    UNTIL(host, ask("tail.position", "pending") == 1);
    long long began = ask("tail.position", "began");
    reload("tail");
    append("b\nccc\n");
    UNTIL(host, ask("tail.position", "lines") == 3);
    CHECK_INT(ask("tail.position", "began"), began);
    CHECK_STR(published(2), "[" B "," C "]");
    UNTIL(host, ask("count.counts", "lines") == 3);
    CHECK_INT(ask("count.counts", "missing"), 0);
    CHECK_INT(ask("count.counts", "repeated"), 0);
}

static void what_is_kept_is_bounded(void)
{
    follow(",\"keep_bytes\":7");
    append("a\nbb\nccc\n");
    UNTIL(host, ask("tail.position", "lines") == 3);
    CHECK_STR(published(2), "[" B "," C "]");
    CHECK_FAILS(host, "tail.again", berth_test_format("[%lld,1,9]", ask("tail.position", "began")),
                BERTH_OUT_OF_RANGE, "line 1 is not kept");
    CHECK_FAILS(host, "tail.again", "[1,3,9]", BERTH_OUT_OF_RANGE, "is not kept");
}

static void tail_needs_a_file(void)
{
    struct berth_error error = { 0 };
    host = berth_test_host(NULL);
    CHECK_CODE(berth_host_load(host, berth_test_built("modules/tail/tail.so"), NULL, &error),
               BERTH_INVALID_ARGUMENT, &error);
    CHECK_CONTAINS(error.text, "Give the option \"file\"");
}

/* ---- count ---- */

static void publish(int began, int number, const char *line)
{
    berth_ctx *ctx = berth_host_enter(host);
    REQUIRE(ctx);
    CHECK_INT(berth_publish_json(ctx, "tail.line",
                                 berth_test_format("{\"began\":%d,\"number\":%d,\"line\":%s}",
                                                   began, number, line)),
              BERTH_OK);
    berth_leave(ctx);
}

static void count_goes_by_the_numbers(void)
{
    follow("");
    load("count", NULL, "{\"field\":1}");
    publish(7, 1, A);
    publish(7, 2, B);
    publish(7, 2, B); /* again */
    publish(7, 5, B); /* 3 and 4 are missing */
    UNTIL(host, ask("count.counts", "missing") == 2);
    CHECK_STR(CALL(host, "count.counts", "[]"),
              "{\"lines\":3,\"fields\":3,\"size\":8,\"values\":2,\"repeated\":1,\"missing\":2,"
              "\"since\":0}");
    publish(8, 1, A); /* another tail */
    UNTIL(host, ask("count.counts", "lines") == 4);
    CHECK_INT(ask("count.counts", "missing"), 2);
    CHECK_CALL(host, "count.of", "[\"a\"]", "2");
    reload("count");
    CHECK_CALL(host, "count.of", "[\"bb\"]", "2");
    CHECK_INT(ask("count.counts", "since"), 1);
    publish(8, 2, C);
    UNTIL(host, ask("count.counts", "lines") == 5);
    CHECK_INT(ask("count.counts", "values"), 3);
}

/* ---- keep, clock ---- */

static void keep_keeps(const char *placement)
{
    host = berth_test_host(NULL);
    load("keep", placement, "{\"max_bytes\":20}");
    CALL(host, "keep.put", "[\"one\",\"AAE=\"]");
    CALL(host, "keep.put", "[\"two\",\"\"]");
    CALL(host, "keep.put", "[\"one\",\"AAEC\"]");
    CHECK_CALL(host, "keep.get", "[\"one\"]", "\"AAEC\"");
    CHECK_CALL(host, "keep.get", "[\"two\"]", "\"\"");
    CHECK_CALL(host, "keep.get", "[\"three\"]", "null");
    CHECK_FAILS(host, "keep.put", "[\"three\",\"AAECAwQFBgc=\"]", BERTH_RESOURCE_EXHAUSTED,
                "max_bytes");
    reload("keep");
    CHECK_CALL(host, "keep.get", "[\"one\"]", "\"AAEC\"");
    CHECK_CALL(host, "keep.drop", "[\"one\"]", "true");
    CHECK_CALL(host, "keep.drop", "[\"one\"]", "false");
    CHECK_CALL(host, "keep.names", "[]", "[\"two\"]");
    CALL(host, "keep.put", "[\"three\",\"AAECAwQFBgc=\"]");
}

static void keep_keeps_inline(void)
{
    keep_keeps("inline");
}

static void keep_keeps_in_a_worker(void)
{
    if (berth_test_valgrind())
        berth_skip("it starts a worker");
    keep_keeps("process");
}

static void clock_ticks(void)
{
    host = berth_test_host(NULL);
    load("clock", NULL, "{\"period_ms\":5}");
    UNTIL(host, CALL_INT(host, "clock.ticks", "[]") > 2);
    long long before = CALL_INT(host, "clock.ticks", "[]");
    reload("clock");
    CHECK(CALL_INT(host, "clock.ticks", "[]") >= before);
    struct timespec early, late;
    clock_gettime(CLOCK_REALTIME, &early);
    long long now = CALL_INT(host, "clock.now", "[]");
    clock_gettime(CLOCK_REALTIME, &late);
    CHECK(now >= early.tv_sec * 1000000000LL + early.tv_nsec);
    CHECK(now <= late.tv_sec * 1000000000LL + late.tv_nsec);
}

/* ---- crc ---- */

static pid_t worker(void)
{
    char *json = NULL;
    long long pid = 0;
    CHECK_INT(berth_host_list(host, &json, NULL), BERTH_OK);
    const char *crc = json ? strstr(json, "\"name\":\"crc\"") : NULL;
    const char *next = crc ? strstr(crc + 1, "\"name\":") : NULL;
    const char *found = crc ? strstr(crc, "\"pid\":") : NULL;
    if (found && (!next || found < next))
        pid = number_in(found, "pid");
    free(json);
    return (pid_t)pid;
}

static void crc_knows_the_checksums(void)
{
    follow("");
    load("crc", NULL, NULL);
    CHECK_CALL(host, "crc.of", "[\"\"]", "4294967295");            /* cksum </dev/null */
    CHECK_CALL(host, "crc.of", "[\"MTIzNDU2Nzg5\"]", "930766865"); /* 123456789 */
    append("1234");
    append("56789\n");
    UNTIL(host, ask("crc.sum", "lines") == 1);
    CHECK_INT(ask("crc.sum", "sum"), CALL_INT(host, "crc.of", "[\"MTIzNDU2Nzg5Cg==\"]"));
}

/* Whatever instruction each kill falls on, no line is lost and none counts twice. */
static void crc_survives_its_worker(void)
{
    enum { ROUNDS = 4, LINES = 400 };
    char *all = berth_test_alloc(ROUNDS * LINES * 32);
    size_t size = 0;

    if (berth_test_valgrind())
        berth_skip("it starts a worker");
    follow("");
    load("keep", NULL, NULL);
    load("crc", "process", NULL);
    for (int round = 0; round < ROUNDS; round++) {
        pid_t old = worker();
        size_t begin = size;
        for (int i = 0; i < LINES; i++)
            size += (size_t)sprintf(all + size, "line %d of round %d\n", i, round);
        append(all + begin);
        UNTIL(host, CALL_INT(host, "crc.lines", "[]") > round * LINES + LINES / 4);
        CHECK(old > 1);
        if (old > 1)
            kill(old, SIGKILL);
        UNTIL(host, worker() > 1 && worker() != old &&
                        !strcmp(berth_test_module(host, "crc", "state"), "running"));
        UNTIL(host, ask("crc.sum", "lines") == (round + 1) * LINES);
    }
    berth_test_write(berth_test_format("%s/all", berth_test_dir()), all, size);
    struct berth_test_command command = { 0 };
    CHECK_INT(berth_test_shell(&command, berth_test_format("cksum <%s/all", berth_test_dir())), 0);
    CHECK_INT(ask("crc.sum", "sum"), strtoll(command.out, NULL, 10));
    CHECK_INT(ask("crc.sum", "size"), size);
}

static const struct berth_test tests[] = {
    { "lines_come_whole", lines_come_whole },
    { "what_is_there_already_is_a_choice", what_is_there_already_is_a_choice },
    { "the_file_may_come_later", the_file_may_come_later },
    { "truncation_is_seen", truncation_is_seen },
    { "rotation_loses_nothing", rotation_loses_nothing },
    { "a_reload_of_tail_goes_on_in_the_file", a_reload_of_tail_goes_on_in_the_file },
    { "what_is_kept_is_bounded", what_is_kept_is_bounded },
    { "tail_needs_a_file", tail_needs_a_file },
    { "count_goes_by_the_numbers", count_goes_by_the_numbers },
    { "keep_keeps_inline", keep_keeps_inline },
    { "keep_keeps_in_a_worker", keep_keeps_in_a_worker },
    { "clock_ticks", clock_ticks },
    { "crc_knows_the_checksums", crc_knows_the_checksums },
    { "crc_survives_its_worker", crc_survives_its_worker },
};

int main(int argc, char **argv)
{
    return berth_suite_main("modules", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
