/* SPDX-License-Identifier: MIT */
/* The shell's connection to a host that is none: half lines, garbage, lines without an end. */
#include "tests/support/suite.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime/shell/client.h"

#define GOOD    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"a\":[1,\"x\\u00e9\"]}}\n"
#define MESSAGE "{\"jsonrpc\":\"2.0\",\"method\":\"message\",\"params\":{\"topic\":\"a.b\"}}\n"

enum { SECOND = 1000000000, LINE_MAX = 1 << 20 };

/* What the other side does with one connection: listens to a request, talks, goes. */
struct server {
    const char *says;
    size_t size;
    bool at_once;   /* without listening */
    bool endless;   /* it says so for ever */
    bool piecemeal; /* byte by byte */
    const char *path;
    int listener;
    pthread_t thread;
};

static void talk(const struct server *server, int fd)
{
    size_t step = server->piecemeal ? 1 : server->size;
    do
        for (size_t i = 0; i < server->size; i += step)
            if (send(fd, server->says + i, step, MSG_NOSIGNAL) < 0)
                return;
    while (server->endless);
}

static void *serve(void *user)
{
    const struct server *server = user;
    int fd = accept(server->listener, NULL, NULL);
    char byte = 0;

    while (!server->at_once && byte != '\n' && recv(fd, &byte, 1, 0) == 1)
        ;
    talk(server, fd);
    close(fd);
    return NULL;
}

static void server_listen(struct server *server, int backlog)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    server->path = berth_test_format("%s/socket", berth_test_dir());
    unlink(server->path);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", server->path);
    server->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(bind(server->listener, (struct sockaddr *)&address, sizeof(address)) == 0);
    REQUIRE(listen(server->listener, backlog) == 0);
}

static void server_begin(struct server *server)
{
    server_listen(server, 8);
    REQUIRE(pthread_create(&server->thread, NULL, serve, server) == 0);
}

static void server_end(struct server *server)
{
    pthread_join(server->thread, NULL);
    close(server->listener);
}

static void take_nothing(struct berth_buffer *params)
{
    berth_buffer_init(params, 0);
    berth_buffer_text(params, "{}");
}

/* Asks once. Returns the code; the result is copied. */
static int ask(const struct server *server, const char **ret_result, struct berth_error *error)
{
    struct berth_client client;
    struct berth_buffer params;
    struct berth_piece result = { 0 };

    berth_client_init(&client, server->path);
    client.line_max = LINE_MAX;
    int code = berth_client_connect(&client, error);
    take_nothing(&params);
    if (code == BERTH_OK)
        code = berth_client_ask(&client, "host.list", &params, &result, error);
    else
        berth_buffer_deinit(&params);
    *ret_result = berth_test_format("%.*s", (int)result.size, result.size ? result.text : "");
    berth_client_deinit(&client);
    return code;
}

static int ask_server(struct server server, const char **ret_result, struct berth_error *error)
{
    server_begin(&server);
    int code = ask(&server, ret_result, error);
    server_end(&server);
    return code;
}

static void check_answer(const char *says, int wanted, const char *words)
{
    struct berth_error error = { 0 };
    const char *result;

    int code = ask_server((struct server){ .says = says, .size = strlen(says) }, &result, &error);
    CHECK_CODE(code, wanted, &error);
    if (words)
        CHECK_CONTAINS(wanted ? error.text : result, words);
}

static void answers(void)
{
    check_answer(GOOD, BERTH_OK, "{\"a\":[1,\"x\\u00e9\"]}");
    check_answer("{\"id\":1,\"result\":null}\r\n", BERTH_OK, "null");
    check_answer(MESSAGE "{\"method\":\"other\"}\n" GOOD GOOD, BERTH_OK, "{\"a\"");
    check_answer("{\"id\":1,\"error\":{\"code\":-32005,\"message\":\"no such thing\","
                 "\"data\":{\"code\":\"not_found\",\"number\":5}}}\n",
                 BERTH_NOT_FOUND, "no such thing");
    check_answer("{\"id\":null,\"error\":{\"code\":-32007,\"message\":\"not you\","
                 "\"data\":{\"code\":\"permission_denied\"}}}\n",
                 BERTH_PERMISSION_DENIED, "refuses: not you");
    check_answer("{\"id\":1,\"error\":{\"message\":\"a\\nb\\u001b[31m\"}}\n", BERTH_UNKNOWN,
                 "b?[31m");
    check_answer("{\"id\":1,\"error\":{\"message\":\"x\",\"data\":{\"code\":\"ok\"}}}\n",
                 BERTH_UNKNOWN, "x");
}

static void garbage(void)
{
    static const char *const lines[] = {
        "",
        "x",
        "null",
        "[]",
        "[{\"id\":1,\"result\":1}]",
        "1",
        "{}",
        "{\"id\":1}",
        "{\"id\":1,\"result\":1,\"error\":{}}",
        "{\"id\":1,\"result\":1",
        "{\"id\":1,\"result\":1} x",
        "{\"id\":1,\"result\":01}",
        "{\"id\":1,\"result\":\"\xff\"}",
        "{\"id\":1,\"result\":\"\\ud800\"}",
        "{\"id\":2,\"result\":1}",
        "{\"id\":\"1\",\"result\":1}",
        "{\"id\":-1,\"result\":1}",
        "{\"id\":18446744073709551617,\"result\":1}",
        "{\"id\":null,\"result\":1}",
        "{\"id\":1,\"error\":\"bad\"}",
        "{\"id\":1,\"error\":{\"message\":5}}",
        "{\"id\":1,\"method\":\"message\",\"params\":{}}",
        "HTTP/1.1 400 Bad Request",
    };

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        check_answer(berth_test_format("%s\n", lines[i]), BERTH_DATA_LOSS, "a host's socket?");
}

static void nested(void)
{
    char *deep = berth_test_alloc(100003);

    memset(deep, '[', 100000);
    deep[100000] = '\n';
    check_answer(deep, BERTH_DATA_LOSS, "levels deep");
}

/* Whatever has come of an answer: without its newline it is none. */
static void cut_at_each_byte(void)
{
    struct berth_error error = { 0 };
    const char *result;

    for (size_t size = 0; size < sizeof(GOOD) - 1; size++) {
        int code = ask_server((struct server){ .says = GOOD, .size = size }, &result, &error);
        CHECK_CODE(code, BERTH_UNAVAILABLE, &error);
        CHECK_CONTAINS(error.text, size ? "gone in the middle of an answer" : "has gone;");
    }
}

static void byte_by_byte(void)
{
    struct berth_error error = { 0 };
    const char *result;

    CHECK_CODE(ask_server((struct server){ .says = MESSAGE MESSAGE GOOD,
                                           .size = sizeof(MESSAGE MESSAGE GOOD) - 1,
                                           .piecemeal = true },
                          &result, &error),
               BERTH_OK, &error);
    CHECK_CONTAINS(result, "{\"a\"");
}

static void lines_without_an_end(void)
{
    static char much[65536];
    struct berth_error error = { 0 };
    const char *result;

    memset(much, 'a', sizeof(much));
    CHECK_CODE(ask_server((struct server){ .says = much, .size = sizeof(much), .endless = true },
                          &result, &error),
               BERTH_DATA_LOSS, &error);
    CHECK_CONTAINS(error.text, "does not end");
    CHECK_CODE(
        ask_server(
            (struct server){ .says = much, .size = sizeof(much), .endless = true, .at_once = true },
            &result, &error),
        BERTH_DATA_LOSS, &error);
}

/* Many lines in many reads: what is done with is not kept. */
static void many_messages(void)
{
    static struct server server = { .says = MESSAGE, .size = sizeof(MESSAGE) - 1, .endless = true };
    struct berth_client client;
    struct berth_error error = { 0 };
    struct berth_piece message;

    server_begin(&server);
    berth_client_init(&client, server.path);
    CHECK_CODE(berth_client_connect(&client, &error), BERTH_OK, &error);
    send(client.fd, "\n", 1, MSG_NOSIGNAL);
    for (int i = 0; i < 50000; i++) {
        REQUIRE(berth_client_wait(&client, &message, &error) == BERTH_OK);
        REQUIRE(message.size == strlen("{\"topic\":\"a.b\"}"));
    }
    CHECK(client.in.capacity < 4 * LINE_MAX);
    berth_client_deinit(&client);
    server_end(&server);
}

/* It says why, and goes before it has read what it is asked. */
static void refused_before_asked(void)
{
    static const char no[] = "{\"id\":null,\"error\":{\"message\":\"too many\",\"data\":{\"code\":"
                             "\"resource_exhausted\"}}}\n";
    struct berth_error error = { 0 };
    const char *result;

    for (int i = 0; i < 100; i++)
        CHECK_CODE(
            ask_server((struct server){ .says = no, .size = sizeof(no) - 1, .at_once = true },
                       &result, &error),
            BERTH_RESOURCE_EXHAUSTED, &error);
}

/* ---- waiting ---- */

/* Asks what has `size` bytes, with little time, a server that does nothing. */
static void check_patience(const struct server *server, size_t size)
{
    struct berth_client client;
    struct berth_buffer params;
    struct berth_piece result;
    struct berth_error error = { 0 };
    char *blanks = berth_test_alloc(size + 1);

    memset(blanks, ' ', size);
    berth_client_init(&client, server->path);
    client.deadline = berth_client_now() + SECOND / 20;
    int code = berth_client_connect(&client, &error);
    take_nothing(&params);
    berth_buffer_text(&params, blanks);
    if (code == BERTH_OK)
        code = berth_client_ask(&client, "x", &params, &result, &error);
    else
        berth_buffer_deinit(&params);
    CHECK_CODE(code, BERTH_DEADLINE_EXCEEDED, &error);
    CHECK_CONTAINS(error.text, server->path);
    berth_client_deinit(&client);
}

static void silence(void)
{
    struct server server = { 0 };
    struct berth_client first;

    server_listen(&server, 8);
    check_patience(&server, 0);
    check_patience(&server, 4 << 20); /* more than a socket holds */
    close(server.listener);

    server_listen(&server, 0);
    berth_client_init(&first, server.path);
    CHECK_INT(berth_client_connect(&first, NULL), BERTH_OK);
    check_patience(&server, 0); /* nobody accepts */
    berth_client_deinit(&first);
    close(server.listener);
}

static volatile sig_atomic_t stop;

static void interrupted(void)
{
    struct server server = { 0 };
    sigset_t none;
    struct berth_client client;
    struct berth_piece message;
    struct berth_error error = { 0 };

    stop = 1;
    sigemptyset(&none);
    server_listen(&server, 8);
    berth_client_init(&client, server.path);
    client.stop = &stop;
    client.signals = &none;
    CHECK_INT(berth_client_connect(&client, &error), BERTH_OK);
    CHECK_CODE(berth_client_wait(&client, &message, &error), BERTH_CANCELLED, &error);
    berth_client_deinit(&client);
    close(server.listener);
}

static void reader_goes_away(void)
{
    struct server server = { 0 };
    struct berth_client client;
    struct berth_piece message;
    struct berth_error error = { 0 };
    int ends[2];

    REQUIRE(pipe(ends) == 0);
    close(ends[0]);
    server_listen(&server, 8);
    berth_client_init(&client, server.path);
    client.output = ends[1];
    CHECK_INT(berth_client_connect(&client, &error), BERTH_OK);
    CHECK_CODE(berth_client_wait(&client, &message, &error), BERTH_CANCELLED, &error);
    CHECK(client.unread);
    berth_client_deinit(&client);
    close(server.listener);
    close(ends[1]);
}

static void nobody(void)
{
    struct server server = { .path = berth_test_format("%s/nothing", berth_test_dir()) };
    struct berth_error error = { 0 };
    const char *result;

    CHECK_CODE(ask(&server, &result, &error), BERTH_UNAVAILABLE, &error);
    CHECK_CONTAINS(error.text, "no host listens at");
    berth_test_write(server.path, "", 0);
    CHECK_CODE(ask(&server, &result, &error), BERTH_UNAVAILABLE, &error);
    server.path = berth_test_format("%s/%0200d", berth_test_dir(), 0);
    CHECK_CODE(ask(&server, &result, &error), BERTH_INVALID_ARGUMENT, &error);
}

/* ---- pieces ---- */

static struct berth_piece read_piece(const char *text)
{
    struct berth_piece piece = { 0 };
    berth_piece_read(text, strlen(text), NULL, &piece, NULL);
    return piece;
}

static void pieces(void)
{
    struct berth_piece all =
        read_piece(" {\"a\": [1, {\"b\":2}], \"s\":\"\\u00e9\\ud83d\\ude00\\n\", "
                   "\"a\":3} ");
    struct berth_arena arena;
    uint64_t number = 0;

    berth_arena_init(&arena);
    CHECK_INT(all.text[0], '{');
    CHECK_INT(berth_piece_count(all), 3);
    CHECK_INT(berth_piece_kind(berth_piece_get(all, "a")), '[');
    CHECK_INT(berth_piece_count(berth_piece_get(all, "a")), 2);
    CHECK_INT(berth_piece_get(all, "none").size, 0);
    CHECK_INT(berth_piece_get(berth_piece_get(all, "a"), "b").size, 0);
    CHECK_STR(berth_piece_text(berth_piece_get(all, "s"), &arena), "\xc3\xa9\xf0\x9f\x98\x80\n");
    CHECK_STR(berth_piece_text(berth_piece_get(all, "a"), &arena), "[1, {\"b\":2}]");
    CHECK_STR(berth_piece_text(read_piece("\"a\\u0000b\""), &arena), "a?b");
    CHECK(berth_piece_integer(read_piece("18446744073709551615"), &number));
    CHECK(number == UINT64_MAX);
    CHECK(!berth_piece_integer(read_piece("18446744073709551616"), &number));
    CHECK(!berth_piece_integer(read_piece("1.5"), &number));
    CHECK(!berth_piece_integer(read_piece("-1"), &number));
    CHECK(!berth_piece_integer((struct berth_piece){ 0 }, &number));
    berth_arena_deinit(&arena);
}

static void one_line(void)
{
    struct berth_buffer buffer;

    berth_buffer_init(&buffer, 0);
    berth_piece_line(read_piece("{\n\"a\":\r\n\t\"x\x7f\xc2\x9b\xc2\xa0\"}"), &buffer);
    berth_piece_quote("q\"\\\n\x1f\xc3\xa9", 7, &buffer);
    CHECK_STR(buffer.data,
              "{ \"a\":   \"x\\u007f\\u009b\xc2\xa0\"}\"q\\\"\\\\\\u000a\\u001f\xc3\xa9\"");
    berth_buffer_deinit(&buffer);
}

static const struct berth_test tests[] = {
    { "answers", answers },
    { "garbage", garbage },
    { "nested", nested },
    { "cut_at_each_byte", cut_at_each_byte },
    { "byte_by_byte", byte_by_byte },
    { "lines_without_an_end", lines_without_an_end },
    { "many_messages", many_messages },
    { "refused_before_asked", refused_before_asked },
    { "silence", silence },
    { "interrupted", interrupted },
    { "reader_goes_away", reader_goes_away },
    { "nobody", nobody },
    { "pieces", pieces },
    { "one_line", one_line },
};

int main(int argc, char **argv)
{
    return berth_suite_main("client", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
