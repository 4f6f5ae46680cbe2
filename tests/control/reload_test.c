/* SPDX-License-Identifier: MIT */
/* A reload of modules/control in mid-stream: what goes on comes from the old generation. */
#include "tests/control/client.h"

#include <berth/module.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

BERTH_MODULE("app", "1.0.0", "What starter asks.");

static berth_host *host;
static struct client *client;
static void (*on_starting)(void);

BERTH_EXPORT(void, starting, "The START of starter.")
{
    (void)ctx;
    if (on_starting)
        on_starting();
}

BERTH_EXPORT(void, holding, "Nobody asks for it here.")
{
    (void)ctx;
}

static void begin_in(const struct berth_host_options *how, const char *placement,
                     const char *options)
{
    on_starting = NULL;
    host = control_begin_in(how, placement, options);
    LOAD(host, "stream", NULL);
    client = client_new();
}

static void begin(const char *placement, const char *options)
{
    begin_in(NULL, placement, options);
}

/* What is inside of an old generation gets little time, but for handing its clients over. */
static void begin_in_a_hurry(const char *placement, const char *options)
{
    struct berth_host_options how = berth_test_host_options();
    how.stop_timeout_ns = INT64_C(1000000000) * (berth_test_instrumented() ? 5 : 1);
    begin_in(&how, placement, options);
}

static void *reload_it(void *unused)
{
    struct berth_error error;
    CHECK_CODE(berth_host_reload(host, "control", NULL, NULL, &error), BERTH_OK, &error);
    return unused;
}

static int generation(void)
{
    return atoi(berth_test_module(host, "control", "generation"));
}

/* Once this returns the new generation serves; what the old one executes goes on. */
static pthread_t begin_reload(void)
{
    pthread_t thread;
    int before = generation();
    REQUIRE(pthread_create(&thread, NULL, reload_it, NULL) == 0);
    EVENTUALLY(generation() == before + 1);
    return thread;
}

static void begin_stream(struct client *one, const char *function, const char *arguments)
{
    client_send(one, berth_test_format("{\"jsonrpc\":\"2.0\",\"method\":\"call\",\"params\":"
                                       "{\"function\":\"stream.%s\",\"args\":%s,\"more\":true},"
                                       "\"id\":\"s\"}\n",
                                       function, arguments));
}

/* The next line is the reply with this number. */
static bool comes(struct client *one, long number)
{
    const char *line = client_line(one), *value = line ? strstr(line, "\"value\":") : NULL;
    value = value ? value + strlen("\"value\":") : "";
    long got = strtol(value + (*value == '"'), NULL, 10);
    if (got != number)
        berth_note("%ld should come, not %s", number, line ? line : "the end");
    return got == number;
}

static void check_comes(struct client *one, long from, long to)
{
    for (long i = from; i <= to; i++)
        REQUIRE(comes(one, i));
}

static const char *held(void)
{
    return berth_test_format("%s/held", berth_test_dir());
}

/* Several clients, some of which read while others do not, and a call that has a deadline. */
static void streams_go_on(const char *placement)
{
    enum { REPLIES = 6000 };
    struct client *all[3];
    begin(placement, "\"unsent_bytes\":20000");
    for (size_t i = 0; i < COUNT(all); i++) {
        all[i] = client_new();
        begin_stream(all[i], "count", berth_test_format("[%d]", REPLIES));
        check_comes(all[i], 1, 10);
    }
    client_send(client, berth_test_format("{\"jsonrpc\":\"2.0\",\"method\":\"call\",\"params\":"
                                          "{\"function\":\"sleeper.hold\",\"args\":[\"%s\"],"
                                          "\"timeout_ms\":600000},\"id\":\"slow\"}\n",
                                          held()));
    EVENTUALLY(berth_test_exists(held()));
    pthread_t thread = begin_reload();
    CHECK_STR(client_call(client, "math.add", "[1,2]"), result_line("3", "1"));
    for (size_t i = 0; i < COUNT(all); i++) { /* the last one waits for its client meanwhile */
        check_comes(all[i], 11, REPLIES);
        CHECK_STR(client_line(all[i]), result_line(berth_test_format("%d", REPLIES), "\"s\""));
        CHECK_STR(client_call(all[i], "math.add", "[1,2]"), result_line("3", "1"));
    }
    remove(held());
    CHECK_STR(client_line(client), result_line("null", "\"slow\""));
    pthread_join(thread, NULL);
}

/* It is held back in the old generation, as it was before. */
static void a_stream_waits_for_its_client(const char *placement)
{
    begin(placement, "\"unsent_bytes\":20000");
    begin_stream(client, "texts", "[7000,1000]");
    check_comes(client, 1, 10);
    pthread_t thread = begin_reload();
    int64_t sent = 0;
    for (int calm = 0; calm < 20; calm++) {
        int64_t now = CALL_INT(host, "stream.sent", "[]");
        calm = now == sent ? calm : 0;
        sent = now;
        berth_test_pause(5);
    }
    CHECK(sent < 6000); /* 1024 in each call on the way, and what the sockets hold */
    check_comes(client, 11, 7000);
    CHECK_STR(client_line(client), result_line("\"\"", "\"s\""));
    pthread_join(thread, NULL);
}

static void what_goes_on_can_be_cancelled(const char *placement)
{
    struct client *other;
    begin(placement, "");
    other = client_new();
    begin_stream(client, "count", "[1000000000000]");
    begin_stream(other, "aside", "[1000000000000]");
    check_comes(client, 1, 10);
    check_comes(other, 1, 10);
    pthread_t thread = begin_reload();
    CHECK_INT(CALL_INT(host, "stream.running", "[]"), 2);
    client_free(other); /* its client goes */
    client_send(client,
                "{\"jsonrpc\":\"2.0\",\"method\":\"cancel\",\"params\":[\"none\"],\"id\":1}\n"
                "{\"jsonrpc\":\"2.0\",\"method\":\"cancel\",\"params\":[\"s\"],\"id\":2}\n");
    int refused = 0, told = 0, ended = 0;
    for (long i = 11; refused + told + ended < 3;) {
        const char *line = client_line(client), *value = line ? strstr(line, "\"value\":") : NULL;
        REQUIRE(line);
        refused += strstr(line, "no call with this id goes on") != NULL;
        told += !strcmp(line, result_line("null", "2"));
        ended += strstr(line, "its caller has cancelled it") != NULL;
        if (value)
            CHECK_INT(atol(value + strlen("\"value\":")), i++);
    }
    CHECK(refused == 1 && told == 1 && ended == 1);
    pthread_join(thread, NULL);
    UNTIL(host, CALL_INT(host, "stream.running", "[]") == 0);
}

static void *reload_on(void *over)
{
    while (!__atomic_load_n((bool *)over, __ATOMIC_ACQUIRE))
        reload_it(NULL);
    return NULL;
}

/* Also of a call that sends nothing meanwhile, so that nothing fails to be sent. */
static void a_client_goes(const char *placement)
{
    begin(placement, "");
    LOAD(host, "later", NULL);
    client_send(client, "{\"jsonrpc\":\"2.0\",\"method\":\"call\",\"params\":{\"function\":"
                        "\"later.hold\",\"args\":[\"k\"],\"more\":true},\"id\":1}\n");
    UNTIL(host, !strcmp(CALL(host, "later.holds", "[\"k\"]"), "true"));
    pthread_t thread = begin_reload();
    CHECK_CALL(host, "later.more", "[\"k\",\"a\"]", "true");
    CHECK_CONTAINS(client_line(client), "\"value\":\"a\"");
    client_free(client);
    pthread_join(thread, NULL);
    CHECK_CALL(host, "later.stopping", "[\"k\"]", "true");
}

/* Its elements that begin in the old generation are about a client that the new one has. */
static void a_batch_goes_on(const char *placement)
{
    begin(placement, "\"patterns\":2");
    CHECK_STR(client_call(client, "subscribe", "[[\"news.>\"]]"), result_line("1", "1"));
    const char *other = berth_test_format("%s/other", berth_test_dir());
    client_send(client,
                berth_test_format("{\"jsonrpc\":\"2.0\",\"method\":\"call\",\"params\":"
                                  "{\"function\":\"sleeper_parallel.hold\",\"args\":[\"%s\"],"
                                  "\"timeout_ms\":600000},\"id\":\"s\"}\n",
                                  other));
    EVENTUALLY(berth_test_exists(other));
    client_send(
        client,
        berth_test_format(
            "[{\"jsonrpc\":\"2.0\",\"method\":\"sleeper.hold\",\"params\":[\"%s\"]},"
            "{\"jsonrpc\":\"2.0\",\"method\":\"subscribe\",\"params\":[[\"news.bell\"]],\"id\":1},"
            "{\"jsonrpc\":\"2.0\",\"method\":\"subscribe\",\"params\":[[\"news.bell\"]],\"id\":2},"
            "{\"jsonrpc\":\"2.0\",\"method\":\"unsubscribe\",\"params\":[1],\"id\":3},"
            "{\"jsonrpc\":\"2.0\",\"method\":\"unsubscribe\",\"params\":[1],\"id\":4},"
            "{\"jsonrpc\":\"2.0\",\"method\":\"cancel\",\"params\":[\"s\"],\"id\":5}]\n",
            held()));
    EVENTUALLY(berth_test_exists(held()));
    pthread_t thread = begin_reload();
    remove(held());
    for (int i = 0; i < 2; i++) {
        const char *line = client_line(client);
        REQUIRE(line);
        if (strstr(line, "\"id\":\"s\"")) {
            CHECK_CONTAINS(line, "its caller has cancelled it");
            continue;
        }
        CHECK_CONTAINS(line, "[{\"jsonrpc\":\"2.0\",\"result\":2,\"id\":1},");
        CHECK_CONTAINS(line, "see the option \\\"patterns\\\"");
        CHECK_CONTAINS(line, "{\"jsonrpc\":\"2.0\",\"result\":null,\"id\":3},");
        CHECK_CONTAINS(line, "this connection has no such subscription");
        CHECK_CONTAINS(line, "{\"jsonrpc\":\"2.0\",\"result\":null,\"id\":5}]");
    }
    remove(other);
    pthread_join(thread, NULL);
    CHECK_CALL(host, "publisher.ring", "[]", "null");
    CHECK_CONTAINS(client_line(client), "\"subscription\":2,\"topic\":\"news.bell\"");
    CHECK_STR(client_call(client, "unsubscribe", "[1]"), client_call(client, "unsubscribe", "[9]"));
    CHECK_STR(client_call(client, "unsubscribe", "[2]"), result_line("null", "1"));
}

static void check_is_its_own(struct client *one, int number)
{
    CHECK_STR(client_call(one, "math.add", berth_test_format("[%d,0]", number)),
              result_line(berth_test_format("%d", number), "1"));
}

/* Each keeps what is its own, with others before and behind it that have gone, and half a line. */
static void many_clients_stay(const char *placement)
{
    enum { CLIENTS = 90, RELOADS = 3 };
    struct client *all[CLIENTS] = { NULL };
    begin(placement, "\"connections\":100");
    for (int round = 0; round < RELOADS; round++) {
        for (int i = 0; i < CLIENTS; i++)
            if (!all[i])
                all[i] = client_new();
        for (int i = 0; i < CLIENTS; i++) {
            check_is_its_own(all[i], i);
            client_send(all[i], "{\"jsonrpc\":\"2.0\",\"id\":9,");
        }
        reload_it(NULL);
        for (int i = CLIENTS - 1; i >= 0; i--)
            CHECK_STR(client_ask(all[i], berth_test_format("\"method\":\"math.add\","
                                                           "\"params\":[%d,0]}",
                                                           1000 + i)),
                      result_line(berth_test_format("%d", 1000 + i), "9"));
        for (int i = round; i < CLIENTS; i += 3) {
            client_free(all[i]);
            all[i] = NULL;
        }
    }
}

/* Each message comes once and in order, whichever generation it reaches. */
static void messages_come_in_order(const char *placement)
{
    enum { MESSAGES = 2000, AHEAD = 200 };
    bool over = false;
    pthread_t thread;
    begin(placement, "");
    CHECK_STR(client_call(client, "subscribe", "[[\"news.>\"]]"), result_line("1", "1"));
    REQUIRE(pthread_create(&thread, NULL, reload_on, &over) == 0);
    for (int got = 0, sent = 0; got < MESSAGES || generation() < 4; got++) {
        for (; sent < got + AHEAD; sent++)
            CHECK_CALL(host, "publisher.text", berth_test_format("[\"x\",%d]", sent), "null");
        const char *line = client_line(client);
        REQUIRE(line && strstr(line, berth_test_format("\"number\":%d}}}", got)));
    }
    __atomic_store_n(&over, true, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
}

/* The answer has the address at which the next generation is waited for. */
static const char *ask_for_heirs(struct client *one)
{
    return client_call(one, "control.heir",
                       berth_test_format("[\"%s/other\",\"\"]", berth_test_dir()));
}

/* Who asks as the next generation does, and wants something else, changes nothing for it. */
static void anybody_may_ask(const char *placement)
{
    bool over = false;
    pthread_t thread;
    begin(placement, "");
    struct client *other = client_new();
    REQUIRE(pthread_create(&thread, NULL, reload_on, &over) == 0);
    while (generation() < 5) {
        REQUIRE(ask_for_heirs(other));
        CHECK_STR(client_call(client, "math.add", "[1,2]"), result_line("3", "1"));
    }
    __atomic_store_n(&over, true, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    CHECK_STR(client_call(client_new(), "math.add", "[1,2]"), result_line("3", "1"));
}

/* A descriptor that has connected there; whatever it says. */
static int claim(struct client *one)
{
    static const char all[sizeof(struct sockaddr_un)] = { 0 };
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const char *line = ask_for_heirs(one), *name = strstr(line, "\"address\":\"");
    REQUIRE(name);
    name += strlen("\"address\":\"");
    size_t length = strcspn(name, "\"");
    REQUIRE(length && length < sizeof(address.sun_path));
    memcpy(address.sun_path + 1, name, length);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    REQUIRE(connect(fd, (const struct sockaddr *)&address,
                    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length)) == 0);
    send(fd, all, sizeof(all), MSG_NOSIGNAL);
    return fd;
}

static void check_gets_nothing(int fd)
{
    struct pollfd wait = { fd, POLLIN, 0 };
    CHECK_INT(poll(&wait, 1, (int)(berth_test_patience() / 1000000)), 1);
    char byte;
    CHECK(recv(fd, &byte, 1, MSG_DONTWAIT) <= 0);
    close(fd);
}

/* Another process than the one in which the host runs the next generation. */
static void nobody_else_inherits(void)
{
    struct berth_error error;
    begin("process", "");
    int other = claim(client);
    reload_it(NULL);
    check_gets_nothing(other);
    CHECK_STR(client_call(client, "math.add", "[1,2]"), result_line("3", "1"));
    other = claim(client);
    CHECK_CODE(berth_host_unload(host, "control", &error), BERTH_OK, &error);
    check_gets_nothing(other);
    CHECK_CONTAINS(client_line(client), "goodbye");
}

static int listen_there(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", control_path());
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unlink(control_path());
    REQUIRE(bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0);
    REQUIRE(listen(fd, 1) == 0);
    return fd;
}

/* Between START of the next generation and the end of the old one: that one has given nothing. */
static void kill_the_old_one(void)
{
    int name = listen_there();
    kill(atoi(berth_test_module(host, "control", "pid")), SIGKILL);
    EVENTUALLY(strstr(berth_test_log(), "nobody listens; it is tried again and again: "));
    CHECK_CONTAINS(berth_test_log(), "another host listens at ");
    close(name);
}

static void who_cannot_listen_tries_again(void)
{
    static const char *const names[] = { "control", "starter" };
    struct berth_error error;
    begin("process", "");
    CHECK_CODE(berth_host_provide(host, &berth_entry, &error), BERTH_OK, &error);
    LOAD(host, "starter", NULL);
    on_starting = kill_the_old_one;
    CHECK_CODE(berth_host_reload_all(host, names, NULL, 2, NULL, &error), BERTH_OK, &error);
    EVENTUALLY(strstr(berth_test_log(), "listens again"));
    CHECK_STR(client_call(client_new(), "math.add", "[1,2]"), result_line("3", "1"));
}

static void *move_it(void *options)
{
    const struct berth_reload_options how = { .size = sizeof(how), .options = options };
    struct berth_error error;
    CHECK_CODE(berth_host_reload_with(host, "control", &how, NULL, &error), BERTH_OK, &error);
    return NULL;
}

/* Once this returns all clients are the new one's, too: the name goes after that. */
static pthread_t begin_move(void)
{
    pthread_t thread;
    const char *options = berth_test_format("{\"socket\":\"%s/elsewhere\"}", berth_test_dir());
    REQUIRE(pthread_create(&thread, NULL, move_it, (void *)(uintptr_t)options) == 0);
    EVENTUALLY(!berth_test_exists(control_path()));
    return thread;
}

static void check_lost(const char *line)
{
    REQUIRE(line);
    CHECK_CONTAINS(line, "\"error\":{\"code\":-32014,\"message\":\"control was reloaded, and its "
                         "generation that executed this has ended without an answer");
}

/* Who waits for an answer of a worker that dies meanwhile is told; the connections go on. */
static void what_dies_is_told(void)
{
    begin("process", "");
    struct client *other = client_new();
    pid_t old = atoi(berth_test_module(host, "control", "pid"));
    CHECK_STR(client_call(other, "subscribe", "[[\"news.>\"]]"), result_line("1", "1"));
    begin_stream(client, "texts", "[1000000000000,1000]");
    check_comes(client, 1, 3);
    client_send(other, berth_test_format("[{\"jsonrpc\":\"2.0\",\"method\":\"sleeper.hold\","
                                         "\"params\":[\"%s\"],\"id\":\"a\"},{\"jsonrpc\":\"2.0\","
                                         "\"method\":\"math.nothing\"},{\"jsonrpc\":\"2.0\","
                                         "\"method\":\"math.nothing\",\"id\":\"b\"}]\n",
                                         held()));
    EVENTUALLY(berth_test_exists(held()));
    pthread_t thread = begin_move();
    kill(old, SIGKILL);
    const char *line;
    while ((line = client_line(client)) && strstr(line, "\"value\":"))
        ;
    check_lost(line);
    CHECK_CONTAINS(line, "\"id\":\"s\"}");
    check_lost(line = client_line(other));
    CHECK_CONTAINS(line, "\"id\":\"a\"},{");
    CHECK_CONTAINS(line, "\"id\":\"b\"}]");
    remove(held());
    pthread_join(thread, NULL);
    CHECK_STR(client_call(client, "math.add", "[1,2]"), result_line("3", "1"));
    CHECK_CALL(host, "publisher.ring", "[]", "null");
    CHECK_CONTAINS(client_line(other), "\"subscription\":1,\"topic\":\"news.bell\"");
    UNTIL(host, CALL_INT(host, "stream.running", "[]") == 0);
}

/* A worker is killed then. */
static void what_lasts_too_long_is_lost(void)
{
    begin_in_a_hurry("process", "");
    begin_stream(client, "texts", "[1000000000000,1000]");
    check_comes(client, 1, 3);
    pthread_join(begin_reload(), NULL);
    const char *line;
    while ((line = client_line(client)) && strstr(line, "\"value\":"))
        ;
    CHECK_CONTAINS(line, "\"error\":{\"code\":-32014,"); /* by the worker itself, or of it */
    CHECK_CONTAINS(line, "\"id\":\"s\"}");
    CHECK_STR(client_call(client, "math.add", "[1,2]"), result_line("3", "1"));
    UNTIL(host, CALL_INT(host, "stream.running", "[]") == 0);
}

/* In one process it stays instead, as long as it takes; or until the next reload but one. */
static void what_lasts_too_long_stays(void)
{
    begin_in_a_hurry("inline", "\"unsent_bytes\":20000");
    begin_stream(client, "texts", "[5000,1000]");
    struct client *other = client_new();
    begin_stream(other, "texts", "[1000000000000,1000]");
    check_comes(client, 1, 10);
    check_comes(other, 1, 10);
    pthread_join(begin_reload(), NULL);
    CHECK_CONTAINS(berth_test_log(), "a thread of its own has not ended");
    check_comes(client, 11, 5000);
    CHECK_STR(client_line(client), result_line("\"\"", "\"s\""));
    pthread_join(begin_reload(), NULL);
    const char *line;
    while ((line = client_line(other)) && strstr(line, "\"value\":"))
        ;
    check_lost(line);
    CHECK_STR(client_call(other, "math.add", "[1,2]"), result_line("3", "1"));
    UNTIL(host, CALL_INT(host, "stream.running", "[]") == 0);
}

BERTH_TEST_BOTH(streams_go_on)
BERTH_TEST_BOTH(a_stream_waits_for_its_client)
BERTH_TEST_BOTH(what_goes_on_can_be_cancelled)
BERTH_TEST_BOTH(a_client_goes)
BERTH_TEST_BOTH(messages_come_in_order)
BERTH_TEST_BOTH(a_batch_goes_on)
BERTH_TEST_BOTH(many_clients_stay)
BERTH_TEST_BOTH(anybody_may_ask)

static const struct berth_test tests[] = {
    BERTH_TEST_ROWS("streams go on", streams_go_on),
    BERTH_TEST_ROWS("a stream waits for its client", a_stream_waits_for_its_client),
    BERTH_TEST_ROWS("what goes on can be cancelled", what_goes_on_can_be_cancelled),
    BERTH_TEST_ROWS("a client goes", a_client_goes),
    BERTH_TEST_ROWS("messages come in order", messages_come_in_order),
    BERTH_TEST_ROWS("many clients stay", many_clients_stay),
    BERTH_TEST_ROWS("a batch goes on", a_batch_goes_on),
    BERTH_TEST_ROWS("anybody may ask", anybody_may_ask),
    { "nobody else inherits", nobody_else_inherits },
    { "who cannot listen tries again", who_cannot_listen_tries_again },
    { "what dies is told", what_dies_is_told },
    { "what lasts too long is lost", what_lasts_too_long_is_lost },
    { "what lasts too long stays", what_lasts_too_long_stays },
    { "the end", control_end },
};

int main(int argc, char **argv)
{
    return berth_suite_main("control_reload", tests, COUNT(tests), argc, argv);
}
