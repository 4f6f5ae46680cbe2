/* SPDX-License-Identifier: MIT */
/* Clients that mean harm or know no better, and the limits that keep the host from them. */
#include "tests/control/client.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ADD          "{\"jsonrpc\":\"2.0\",\"method\":\"math.add\",\"params\":[1,2],\"id\":1}"

static berth_host *host;
static struct client *client;

static void begin(const char *options)
{
    host = control_begin("inline", options);
    client = client_new();
}

static void check_serves(void)
{
    struct client *good = client_new();
    CHECK_CLIENT(good, ADD, result_line("3", "1"));
    client_free(good);
}

static char *filled(size_t size, char with)
{
    char *text = berth_test_alloc(size + 1);
    memset(text, with, size);
    return text;
}

/* ---- lines ---------------------------------------------------------------------------------- */

static void what_is_no_text_is_refused(void)
{
    static const char *const bad[] = {
        "\xff",
        "{\"jsonrpc\":\"2.0\",\"method\":\"\xc3\",\"id\":1}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"math.add\",\"params\":[\"\xed\xa0\x80\"],\"id\":1}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"math.add\",\"params\":[\"\\ud800\"],\"id\":1}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"math.add\",\"id\":01}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"math.add\",\"id\":1,}",
        "{'jsonrpc':'2.0'}",
        "GET / HTTP/1.1\r",
        "\x01\x02\x03",
        ("\xef\xbb\xbf" ADD),
    };
    begin("");
    for (size_t i = 0; i < COUNT(bad); i++)
        CHECK_CONTAINS(client_ask(client, bad[i]), "\"error\":{\"code\":-32700,");
    client_send_bytes(client, ADD "\0" ADD "\n", 2 * sizeof(ADD));
    CHECK_CONTAINS(client_line(client), "\"message\":\"a byte 0 in the line\"");
    CHECK_CLIENT(client, ADD, result_line("3", "1"));
}

static void nesting_is_limited(void)
{
    begin("");
    client_send(client, "{\"jsonrpc\":\"2.0\",\"method\":\"math.add\",\"id\":1,\"params\":");
    client_send(client, filled(1000000, '['));
    client_send(client, "\n");
    CHECK_CONTAINS(client_line(client), "\"error\":{\"code\":-32700,");
    client_send(client, filled(1000000, '['));
    client_send(client, "\n");
    CHECK_CONTAINS(client_line(client), "\"error\":{\"code\":-32700,");
    CHECK_CLIENT(client, ADD, result_line("3", "1"));
}

static void long_lines_end_it(void)
{
    begin("\"line_bytes\":1000");
    client_send(client, ADD);
    client_send(client, filled(1000 - strlen(ADD), ' '));
    client_send(client, "\n");
    CHECK_STR(client_line(client), result_line("3", "1"));
    client_send(client, filled(1002, ' '));
    client_send(client, "\n" ADD "\n");
    CHECK_CONTAINS(client_line(client), "{\"code\":-32008,\"message\":\"the line is too long: see "
                                        "the option \\\"line_bytes\\\"\"");
    CHECK(client_is_at_end(client));
    client_free(client);
    client = client_new();
    client_send(client, filled(5000000, 'x')); /* that never ends */
    CHECK_CONTAINS(client_line(client), "the line is too long");
    check_serves();
}

/* The host has a limit of its own. */
static void long_texts_are_the_hosts_matter(void)
{
    begin("\"line_bytes\":20000000");
    client_send(client, "{\"jsonrpc\":\"2.0\",\"method\":\"math.add\",\"id\":1,\"params\":[\"");
    client_send(client, filled(17000000, 'x'));
    client_send(client, "\"]}\n");
    CHECK_CONTAINS(client_line(client), "{\"code\":-32008,\"message\":\"the text has 170000");
    CHECK_CLIENT(client, ADD, result_line("3", "1"));
}

static void batches_are_limited(void)
{
    begin("\"batch\":3");
    CHECK_STR(client_ask(client, "[" ADD "," ADD "," ADD "]"),
              berth_test_format("[%s,%s,%s]", result_line("3", "1"), result_line("3", "1"),
                                result_line("3", "1")));
    CHECK_CONTAINS(client_ask(client, "[1,1,1,1]"), "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":"
                                                    "-32008,\"message\":\"too many requests in "
                                                    "one batch: see the option");
    CHECK_CONTAINS(client_ask(client, "[" ADD ",{\"jsonrpc\":\"2.0\",\"method\":\"subscribe\","
                                      "\"params\":{\"topic\":\"news.>\"},\"id\":2}]"),
                   "\"result\":1,\"id\":2}]");
    CHECK_CALL(host, "publisher.ring", "[]", "null");
    CHECK_CONTAINS(client_line(client), "news.bell");
}

static void subscriptions_are_limited(void)
{
    begin("\"patterns\":3");
    CHECK_STR(client_call(client, "subscribe", "[[\"a\",\"b\"]]"), result_line("1", "1"));
    CHECK_CONTAINS(client_call(client, "subscribe", "[[\"c\",\"d\"]]"),
                   "{\"code\":-32008,\"message\":\"too many subscriptions: see the option");
    CHECK_STR(client_call(client, "subscribe", "[[\"c\"]]"), result_line("2", "1"));
    CHECK_STR(client_call(client, "unsubscribe", "[1]"), result_line("null", "1"));
    CHECK_STR(client_call(client, "subscribe", "[[\"c\",\"d\"]]"), result_line("3", "1"));
}

/* Its answers together are not longer than a line may be. */
static void answers_to_a_batch_are_limited(void)
{
    char *batch = berth_test_alloc(40000);
    begin("\"line_bytes\":10000,\"unsent_bytes\":100000");
    strcpy(batch, "[");
    for (int i = 0; i < 40; i++)
        strcat(batch, "{\"jsonrpc\":\"2.0\",\"method\":\"host.list\",\"id\":1},");
    strcpy(batch + strlen(batch) - 1, "]");
    const char *answer = client_ask(client, batch);
    CHECK_CONTAINS(answer, "the answers to this batch are too long");
    CHECK(answer && strlen(answer) < 30000);
    CHECK_CLIENT(client, ADD, result_line("3", "1"));
}

/* ---- halves --------------------------------------------------------------------------------- */

static void a_request_may_come_byte_by_byte(void)
{
    begin("");
    for (const char *at = ADD "\n" ADD "\n"; *at; at++)
        client_send_bytes(client, at, 1);
    CHECK_STR(client_line(client), result_line("3", "1"));
    CHECK_STR(client_line(client), result_line("3", "1"));
}

static void clients_may_go_at_every_byte(void)
{
    static const char line[] =
        "{\"jsonrpc\":\"2.0\",\"method\":\"subscribe\",\"params\":{\"topic\":\"news.>\"},\"id\":1}"
        "\n" ADD "\n";
    begin("");
    CHECK_CLIENT(client, ADD, result_line("3", "1"));
    size_t descriptors = berth_test_descriptors();
    for (size_t i = 0; i < sizeof(line); i++) {
        struct client *one = client_new();
        client_send_bytes(one, line, i);
        if (i % 2)
            shutdown(one->fd, SHUT_WR);
        client_free(one);
        CHECK_CALL(host, "publisher.ring", "[]", "null");
    }
    EVENTUALLY(berth_test_descriptors() <= descriptors); /* an older image may have gone, too */
    CHECK_CLIENT(client, ADD, result_line("3", "1"));
}

static void who_has_said_all_still_gets_answers(void)
{
    begin("");
    client_send(client,
                "{\"jsonrpc\":\"2.0\",\"method\":\"sleeper.nap\",\"params\":[20],\"id\":2}\n"
                "{\"jsonrpc\":\"2.0\",\"method\":\"sleeper.nap\",\"params\":[1],\"id\":3");
    shutdown(client->fd, SHUT_WR);
    CHECK_STR(client_line(client), result_line("20", "2"));
    CHECK(client_is_at_end(client)); /* what has no newline is no request */
}

static void requests_of_who_is_gone_are_executed(void)
{
    begin("");
    LOAD(host, "counter", NULL);
    client_send(client,
                "{\"jsonrpc\":\"2.0\",\"method\":\"counter.add\",\"params\":[1]}\n"
                "{\"jsonrpc\":\"2.0\",\"method\":\"counter.add\",\"params\":[1],\"id\":1}\n");
    client_free(client);
    UNTIL(host, CALL_INT(host, "counter.add", "[0]") == 2);
}

static void half_a_line_ends_in_time(void)
{
    begin("\"line_seconds\":1");
    client_send(client, ADD "\n{\"jso");
    CHECK_STR(client_line(client), result_line("3", "1"));
    CHECK_CONTAINS(client_line(client), "{\"code\":-32004,\"message\":\"half a line, and no more");
    CHECK(client_is_at_end(client));
    check_serves();
}

/* One that waits for an answer meanwhile is told once, whatever else is looked after. */
static void half_a_line_is_told_once(void)
{
    begin("\"line_seconds\":1");
    client_send(client,
                "{\"jsonrpc\":\"2.0\",\"method\":\"sleeper_parallel.nap\",\"params\":[2500],"
                "\"id\":1}\n");
    UNTIL(host, CALL_INT(host, "sleeper_parallel.most_inside", "[]") == 1);
    client_send(client, "{\"jso");
    CHECK_CONTAINS(client_line(client), "half a line, and no more");
    struct client *other = client_new();
    client_send(other, "{\"jso");
    CHECK_CONTAINS(client_line(other), "half a line, and no more");
    client_free(other);
    CHECK_CONTAINS(client_line(client), "\"result\":");
    CHECK(client_is_at_end(client));
}

/* ---- clients that do not read --------------------------------------------------------------- */

static const char long_answer[] = "{\"jsonrpc\":\"2.0\",\"method\":\"host.list\",\"id\":1}\n";

/* Sends as long as the other side reads, without waiting. How much that was. */
static size_t flood(int fd, const char *text, size_t most)
{
    size_t size = strlen(text), sent = 0;
    int stuck = 0;
    while (sent < most && stuck < 100) {
        ssize_t some =
            send(fd, text + sent % size, size - sent % size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (some > 0) {
            sent += (size_t)some;
            stuck = 0;
        } else if (errno == EAGAIN) {
            stuck++;
            berth_test_pause(2);
        } else {
            break;
        }
    }
    return sent;
}

/* It is not read any more; when it reads again it gets every answer. */
static void who_does_not_read_is_not_read(void)
{
    begin("\"unsent_bytes\":100000");
    size_t sent = flood(client->fd, long_answer, 100000000);
    CHECK(sent < 50000000);
    check_serves();
    CHECK_CALL(host, "math.add", "[1,2]", "3");
    shutdown(client->fd, SHUT_WR);
    size_t answers = 0;
    for (const char *line; (line = client_line(client)); answers++)
        CHECK_CONTAINS(line, "\"result\":{\"modules\":[");
    CHECK_INT(answers, sent / strlen(long_answer));
}

static void who_never_reads_is_closed(void)
{
    begin("\"unsent_bytes\":100000,\"unread_seconds\":1");
    CHECK_CLIENT(client, ADD, result_line("3", "1"));
    size_t descriptors = berth_test_descriptors();
    flood(client->fd, long_answer, 100000000);
    EVENTUALLY(berth_test_descriptors() < descriptors);
    check_serves();
}

static void who_never_reads_its_last_answers_is_closed(void)
{
    begin("\"unread_seconds\":1");
    CHECK_CLIENT(client, ADD, result_line("3", "1"));
    size_t descriptors = berth_test_descriptors();
    flood(client->fd, long_answer, 30000);
    shutdown(client->fd, SHUT_WR);
    EVENTUALLY(berth_test_descriptors() < descriptors);
    check_serves();
}

static bool is_quiet(void)
{
    struct pollfd wait = { client->fd, POLLIN, 0 };
    return client->begin == client->size && poll(&wait, 1, 50) == 0;
}

/* The publisher goes on, what does not fit is counted, and the count comes with the next one. */
static void messages_that_do_not_fit_are_counted(void)
{
    char *big = filled(10000, 'x');
    size_t got = 0, dropped = 0, published = 300;
    begin("\"unsent_bytes\":100000");
    CHECK_STR(client_call(client, "subscribe", "[[\"news.text\"]]"), result_line("1", "1"));
    const char *arguments = berth_test_format("[\"%s\",1]", big);
    for (size_t i = 0; i < published; i++)
        CHECK_CALL(host, "publisher.text", arguments, "null");
    while (got + dropped < published) {
        if (is_quiet()) { /* only the next message can tell what is missing */
            CHECK_CALL(host, "publisher.text", "[\"more\",1]", "null");
            published++;
        }
        const char *line = client_line(client);
        REQUIRE(line);
        const char *count = strstr(line, "\"dropped\":");
        got++;
        dropped += count ? (size_t)atoi(count + 10) : 0;
    }
    CHECK_INT(got + dropped, published);
    CHECK(dropped > 0);
}

static void begin_stream(const char *count, const char *options)
{
    begin(options);
    LOAD(host, "stream", NULL);
    client_send(client, berth_test_format("{\"jsonrpc\":\"2.0\",\"method\":\"call\",\"params\":"
                                          "{\"function\":\"stream.texts\",\"args\":[%s,1000],"
                                          "\"more\":true},\"id\":1}\n",
                                          count));
}

/* How many it has sent by the time that it sends no more, as far as can be seen. */
static int64_t sent_in_the_end(void)
{
    int64_t sent = 0;
    UNTIL(host, CALL_INT(host, "stream.sent", "[]") > 1024);
    for (int calm = 0; calm < 20; calm++) {
        int64_t now = CALL_INT(host, "stream.sent", "[]");
        calm = now == sent ? calm : 0;
        sent = now;
        berth_test_pause(5);
    }
    return sent;
}

/* Who sends the replies waits for the client; others are served meanwhile. */
static void streams_wait_for_who_does_not_read(void)
{
    begin_stream("30000", "\"unsent_bytes\":100000");
    CHECK(sent_in_the_end() < 10000); /* 1024 in each call on the way, and what the socket holds */
    check_serves();
    for (long i = 1; i <= 30000; i++) {
        const char *line = client_line(client), *value = line ? strstr(line, "\"value\":\"") : NULL;
        REQUIRE(value);
        if (strtol(value + 9, NULL, 10) != i)
            CHECK_INT(strtol(value + 9, NULL, 10), i);
    }
    CHECK_STR(client_line(client), result_line("\"\"", "1"));
    CHECK_CALL(host, "stream.running", "[]", "0");
}

static void streams_end_with_who_never_reads(void)
{
    begin_stream("1000000000000", "\"unsent_bytes\":100000,\"unread_seconds\":1,\"threads\":2");
    UNTIL(host, CALL_INT(host, "stream.running", "[]") == 1);
    UNTIL(host, CALL_INT(host, "stream.running", "[]") == 0);
    CHECK_CALL(host, "stream.failure", "[]", "\"\"");
    check_serves();
    client_free(client);
    begin_stream("1000000000000", "\"unsent_bytes\":100000"); /* or who goes */
    CHECK(sent_in_the_end() < 10000);
    client_free(client);
    UNTIL(host, CALL_INT(host, "stream.running", "[]") == 0);
}

/* ---- many ----------------------------------------------------------------------------------- */

static bool is_served(void)
{
    struct client *one = client_new();
    const char *answer = client_ask(one, ADD);
    client_free(one);
    return answer && !strcmp(answer, result_line("3", "1"));
}

static void connections_are_limited(void)
{
    struct client *more[8];
    begin("\"connections\":4");
    for (size_t i = 0; i < COUNT(more); i++)
        more[i] = client_new();
    for (size_t i = 3; i < COUNT(more); i++) {
        CHECK_CONTAINS(client_line(more[i]), "{\"code\":-32008,\"message\":\"too many connections");
        CHECK(client_is_at_end(more[i]));
    }
    for (size_t i = 0; i < 3; i++)
        CHECK_CLIENT(more[i], ADD, result_line("3", "1"));
    client_free(more[0]);
    bool served = false;
    EVENTUALLY(served || (served = is_served()));
}

static void a_thousand_connections(void)
{
    static int all[1000];
    begin("");
    CHECK_CLIENT(client, ADD, result_line("3", "1"));
    size_t descriptors = berth_test_descriptors();
    for (int turn = 0; turn < 3; turn++) {
        for (size_t i = 0; i < COUNT(all); i++) {
            all[i] = client_connect(control_path());
            if (all[i] >= 0 && i % 3 == 0)
                send(all[i], ADD "\n", sizeof(ADD), MSG_NOSIGNAL | MSG_DONTWAIT);
        }
        CHECK_CLIENT(client, ADD, result_line("3", "1"));
        for (size_t i = 0; i < COUNT(all); i++)
            close(all[i]);
    }
    EVENTUALLY(berth_test_descriptors() <= descriptors); /* an older image may have gone, too */
    check_serves();
}

/* Processor time of this process, in seconds. */
static double processor_time(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* Nobody spins while there is no descriptor to accept with; afterwards it goes on by itself. */
static void without_descriptors_it_waits(void)
{
    struct rlimit old, low;
    begin("");
    CHECK_CLIENT(client, ADD, result_line("3", "1"));
    REQUIRE(getrlimit(RLIMIT_NOFILE, &old) == 0);
    int waiting = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int highest = fcntl(0, F_DUPFD_CLOEXEC, 0);
    close(waiting);
    low = old;
    low.rlim_cur = (rlim_t)highest; /* what the client takes now is the last one */
    close(highest);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &low) == 0);
    int last = client_connect(control_path());
    double before = processor_time();
    berth_test_pause(700);
    CHECK(processor_time() - before < 0.3);
    CHECK_CLIENT(client, ADD, result_line("3", "1"));
    REQUIRE(setrlimit(RLIMIT_NOFILE, &old) == 0);
    struct client *now = client_new();
    CHECK_CLIENT(now, ADD, result_line("3", "1"));
    if (last >= 0)
        close(last);
}

/* ---- quiet ---------------------------------------------------------------------------------- */

/* How often threads whose name begins so have slept; what wakes up sleeps again. */
static unsigned long sleeps(const char *name)
{
    unsigned long sum = 0;
    DIR *tasks = opendir("/proc/self/task");
    REQUIRE(tasks);
    for (struct dirent *entry; (entry = readdir(tasks));) {
        char path[300], line[128];
        unsigned long count;
        bool ours = false;
        snprintf(path, sizeof(path), "/proc/self/task/%s/status", entry->d_name);
        FILE *file = fopen(path, "re");
        while (file && fgets(line, sizeof(line), file)) {
            if (!strncmp(line, "Name:\t", 6))
                ours = !strncmp(line + 6, name, strlen(name));
            if (ours && sscanf(line, "voluntary_ctxt_switches: %lu", &count) == 1)
                sum += count;
        }
        if (file)
            fclose(file);
    }
    closedir(tasks);
    return sum;
}

static void an_idle_host_does_not_wake_up(void)
{
    begin("");
    CHECK_CLIENT(client, ADD, result_line("3", "1"));
    client_send(client, "{\"half\":");
    CHECK_STR(client_call(client_new(), "subscribe", "[[\"news.>\"]]"), result_line("1", "1"));
    EVENTUALLY(threads_named("control") <= 2);
    bool quiet = false;
    for (int i = 0; i < 20 && !quiet; i++) {
        unsigned long before = sleeps("control");
        berth_test_pause(300);
        quiet = sleeps("control") == before;
    }
    CHECK(quiet);
}

/* ---- random --------------------------------------------------------------------------------- */

struct expected {
    unsigned long long id, sum;
    bool seen;
};

/* One answer for each id, and the right one; in whatever pieces the requests come. */
static void random_requests_in_random_pieces(void)
{
    enum { LINES = 400 };
    static struct expected table[LINES];
    char *text = berth_test_alloc(LINES * 200);
    size_t size = 0, answers = 0;
    begin("");
    for (size_t i = 0; i < LINES; i++) {
        unsigned a = (unsigned)berth_test_random_below(1000);
        table[i] = (struct expected){ i, a + i, true };
        switch (berth_test_random_below(6)) {
        case 0:
            size += (size_t)sprintf(text + size,
                                    "{\"jsonrpc\":\"2.0\",\"method\":\"math.add\","
                                    "\"params\":[%u,%zu]}\n",
                                    a, i);
            break;
        case 1:
            size += (size_t)sprintf(text + size, "  \r\n");
            break;
        case 2:
            size += (size_t)sprintf(text + size,
                                    "[{\"jsonrpc\":\"2.0\",\"method\":\"math.add\","
                                    "\"params\":[%u,%zu]}]\n",
                                    a, i);
            break;
        default:
            table[i].seen = false;
            answers++;
            size += (size_t)sprintf(text + size,
                                    "{\"params\":{\"b\":%u,\"a\":%zu},\"id\":%zu,"
                                    "\"method\":\"math.add\",\"jsonrpc\":\"2.0\"}\n",
                                    a, i, i);
        }
    }
    for (size_t at = 0; at < size;) {
        size_t piece = 1 + berth_test_random_below(berth_test_random_below(8) ? 300 : 5);
        piece = piece < size - at ? piece : size - at;
        client_send_bytes(client, text + at, piece);
        at += piece;
    }
    for (size_t i = 0; i < answers; i++) {
        unsigned long long sum = 0, id = LINES;
        const char *line = client_line(client);
        CHECK(line &&
              sscanf(line, "{\"jsonrpc\":\"2.0\",\"result\":%llu,\"id\":%llu}", &sum, &id) == 2);
        REQUIRE(id < LINES);
        CHECK(!table[id].seen && table[id].sum == sum);
        table[id].seen = true;
    }
    CHECK_CLIENT(client, "{\"jsonrpc\":\"2.0\",\"method\":\"math.nothing\",\"id\":\"last\"}",
                 result_line("null", "\"last\""));
}

/* Valid lines with bytes changed: whatever comes of it, it serves. */
static void random_damage(void)
{
    static const char *const lines[] = {
        (ADD "\n"),
        ("[" ADD ",{\"jsonrpc\":\"2.0\",\"method\":\"nix\"}]\n"),
        ("{\"jsonrpc\":\"2.0\",\"method\":\"subscribe\",\"params\":{\"topics\":[\"news.>\"]},"
         "\"id\":1}\n"),
        "{\"jsonrpc\":\"2.0\",\"method\":\"call\",\"params\":[\"math.add\",[1,2],100],\"id\":1}\n",
        "{\"jsonrpc\":\"2.0\",\"method\":\"host.call\",\"params\":[\"host.list\"],\"id\":1}\n",
    };
    begin("");
    for (int i = 0; i < 300; i++) {
        const char *line = lines[berth_test_random_below(COUNT(lines))];
        char damaged[256];
        size_t size = strlen(line), changes = berth_test_random_below(5);
        memcpy(damaged, line, size);
        for (size_t j = 0; j < changes; j++)
            damaged[berth_test_random_below(size)] = (char)berth_test_random();
        client_send_bytes(client, damaged, size);
        if (berth_test_random_below(10) == 0) {
            client_free(client);
            client = client_new();
        }
    }
    check_serves();
}

static const struct berth_test tests[] = {
    { "what_is_no_text_is_refused", what_is_no_text_is_refused },
    { "nesting_is_limited", nesting_is_limited },
    { "long_lines_end_it", long_lines_end_it },
    { "long_texts_are_the_hosts_matter", long_texts_are_the_hosts_matter },
    { "batches_are_limited", batches_are_limited },
    { "subscriptions_are_limited", subscriptions_are_limited },
    { "answers_to_a_batch_are_limited", answers_to_a_batch_are_limited },
    { "a_request_may_come_byte_by_byte", a_request_may_come_byte_by_byte },
    { "clients_may_go_at_every_byte", clients_may_go_at_every_byte },
    { "who_has_said_all_still_gets_answers", who_has_said_all_still_gets_answers },
    { "requests_of_who_is_gone_are_executed", requests_of_who_is_gone_are_executed },
    { "half_a_line_ends_in_time", half_a_line_ends_in_time },
    { "half_a_line_is_told_once", half_a_line_is_told_once },
    { "who_does_not_read_is_not_read", who_does_not_read_is_not_read },
    { "who_never_reads_is_closed", who_never_reads_is_closed },
    { "who_never_reads_its_last_answers_is_closed", who_never_reads_its_last_answers_is_closed },
    { "messages_that_do_not_fit_are_counted", messages_that_do_not_fit_are_counted },
    { "streams_wait_for_who_does_not_read", streams_wait_for_who_does_not_read },
    { "streams_end_with_who_never_reads", streams_end_with_who_never_reads },
    { "connections_are_limited", connections_are_limited },
    { "a_thousand_connections", a_thousand_connections },
    { "without_descriptors_it_waits", without_descriptors_it_waits },
    { "an_idle_host_does_not_wake_up", an_idle_host_does_not_wake_up },
    { "random_requests_in_random_pieces", random_requests_in_random_pieces },
    { "random_damage", random_damage },
    { "the_end", control_end },
};

int main(int argc, char **argv)
{
    return berth_suite_main("control_hostile", tests, COUNT(tests), argc, argv);
}
