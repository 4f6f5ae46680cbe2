/* SPDX-License-Identifier: MIT */
/* The protocol of modules/control, as a client sees it that keeps to it, or nearly. */
#include "tests/control/client.h"

#include <cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static berth_host *host;
static struct client *client;

static void begin(const char *placement)
{
    host = control_begin(placement, "");
    client = client_new();
}

/* ---- the specification's examples ----------------------------------------------------------- */

/* Methods have a module in front; messages are ours, and not compared. "": no answer. */
static const struct {
    const char *request, *answer;
} examples[] = {
    { "{\"jsonrpc\": \"2.0\", \"method\": \"examples.subtract\", \"params\": [42, 23], \"id\": 1}",
      "{\"jsonrpc\": \"2.0\", \"result\": 19, \"id\": 1}" },
    { "{\"jsonrpc\": \"2.0\", \"method\": \"examples.subtract\", \"params\": [23, 42], \"id\": 2}",
      "{\"jsonrpc\": \"2.0\", \"result\": -19, \"id\": 2}" },
    { "{\"jsonrpc\": \"2.0\", \"method\": \"examples.subtract\", \"params\": "
      "{\"subtrahend\": 23, \"minuend\": 42}, \"id\": 3}",
      "{\"jsonrpc\": \"2.0\", \"result\": 19, \"id\": 3}" },
    { "{\"jsonrpc\": \"2.0\", \"method\": \"examples.subtract\", \"params\": "
      "{\"minuend\": 42, \"subtrahend\": 23}, \"id\": 4}",
      "{\"jsonrpc\": \"2.0\", \"result\": 19, \"id\": 4}" },
    { "{\"jsonrpc\": \"2.0\", \"method\": \"examples.update\", \"params\": [1,2,3,4,5]}", "" },
    { "{\"jsonrpc\": \"2.0\", \"method\": \"foobar\"}", "" },
    { "{\"jsonrpc\": \"2.0\", \"method\": \"foobar\", \"id\": \"1\"}",
      "{\"jsonrpc\": \"2.0\", \"error\": {\"code\": -32601}, \"id\": \"1\"}" },
    { "{\"jsonrpc\": \"2.0\", \"method\": \"foobar, \"params\": \"bar\", \"baz]",
      "{\"jsonrpc\": \"2.0\", \"error\": {\"code\": -32700}, \"id\": null}" },
    { "{\"jsonrpc\": \"2.0\", \"method\": 1, \"params\": \"bar\"}",
      "{\"jsonrpc\": \"2.0\", \"error\": {\"code\": -32600}, \"id\": null}" },
    { "[ {\"jsonrpc\": \"2.0\", \"method\": \"examples.sum\", \"params\": [1,2,4], \"id\": \"1\"},"
      " {\"jsonrpc\": \"2.0\", \"method\" ]",
      "{\"jsonrpc\": \"2.0\", \"error\": {\"code\": -32700}, \"id\": null}" },
    { "[]", "{\"jsonrpc\": \"2.0\", \"error\": {\"code\": -32600}, \"id\": null}" },
    { "[1]", "[{\"jsonrpc\": \"2.0\", \"error\": {\"code\": -32600}, \"id\": null}]" },
    { "[1,2,3]", "[{\"jsonrpc\": \"2.0\", \"error\": {\"code\": -32600}, \"id\": null},"
                 " {\"jsonrpc\": \"2.0\", \"error\": {\"code\": -32600}, \"id\": null},"
                 " {\"jsonrpc\": \"2.0\", \"error\": {\"code\": -32600}, \"id\": null}]" },
    { "[ {\"jsonrpc\": \"2.0\", \"method\": \"examples.sum\", \"params\": [1,2,4], \"id\": \"1\"},"
      " {\"jsonrpc\": \"2.0\", \"method\": \"examples.notify_hello\", \"params\": [7]},"
      " {\"jsonrpc\": \"2.0\", \"method\": \"examples.subtract\", \"params\": [42,23],"
      " \"id\": \"2\"},"
      " {\"foo\": \"boo\"},"
      " {\"jsonrpc\": \"2.0\", \"method\": \"foo.get\", \"params\": {\"name\": \"myself\"},"
      " \"id\": \"5\"},"
      " {\"jsonrpc\": \"2.0\", \"method\": \"examples.get_data\", \"id\": \"9\"} ]",
      "[ {\"jsonrpc\": \"2.0\", \"result\": 7, \"id\": \"1\"},"
      " {\"jsonrpc\": \"2.0\", \"result\": 19, \"id\": \"2\"},"
      " {\"jsonrpc\": \"2.0\", \"error\": {\"code\": -32600}, \"id\": null},"
      " {\"jsonrpc\": \"2.0\", \"error\": {\"code\": -32601}, \"id\": \"5\"},"
      " {\"jsonrpc\": \"2.0\", \"result\": [\"hello\", 5], \"id\": \"9\"} ]" },
    { "[ {\"jsonrpc\": \"2.0\", \"method\": \"examples.notify_hello\", \"params\": [7]},"
      " {\"jsonrpc\": \"2.0\", \"method\": \"examples.notify_hello\", \"params\": [7]} ]",
      "" },
};

/* An error's words and data are ours. */
static void strip_error(cJSON *answer)
{
    cJSON *one, *error = cJSON_GetObjectItemCaseSensitive(answer, "error");
    cJSON_DeleteItemFromObjectCaseSensitive(error, "message");
    cJSON_DeleteItemFromObjectCaseSensitive(error, "data");
    if (cJSON_IsArray(answer))
        cJSON_ArrayForEach(one, answer) strip_error(one);
}

static void check_same(const char *actual, const char *expected)
{
    cJSON *is = cJSON_Parse(actual ? actual : ""), *should = cJSON_Parse(expected);
    CHECK(is && should);
    strip_error(is);
    if (!berth_check(cJSON_Compare(is, should, true), BERTH_TEST_HERE, "the answer is right"))
        berth_note("is     %s\nshould %s", actual, expected);
    cJSON_Delete(is);
    cJSON_Delete(should);
}

static void run_examples(const char *placement, uint32_t flags)
{
    struct berth_host_options how = berth_test_host_options();
    how.flags |= flags;
    host = control_begin_in(&how, placement, "");
    client = client_new();
    LOAD(host, "examples", NULL);
    for (size_t i = 0; i < COUNT(examples); i++) {
        client_send(client, examples[i].request);
        client_send(client, "\n");
        if (*examples[i].answer)
            check_same(client_line(client), examples[i].answer);
    }
    /* nothing more has come: the next answer is that of the next question */
    CHECK_CLIENT(client,
                 "{\"jsonrpc\":\"2.0\",\"method\":\"examples.sum\",\"params\":[1,1,1],"
                 "\"id\":\"last\"}",
                 result_line("3", "\"last\""));
}

static void the_examples_of_the_specification(void)
{
    run_examples("inline", 0);
}

/* Whatever it keeps of what it was given is freed, and AddressSanitizer sees it. */
static void the_examples_with_checked_ownership(void)
{
    run_examples("inline", BERTH_HOST_CHECK_OWNERSHIP);
    CHECK_CONTAINS(client_call(client, "rpc.discover", "[]"), "examples.sum");
    CHECK_STR(client_call(client, "subscribe", "[[\"news.>\"]]"), result_line("1", "1"));
    CHECK_CALL(host, "publisher.ring", "[]", "null");
    CHECK_CONTAINS(client_line(client), "news.bell");
}

static void the_examples_in_a_worker(void)
{
    run_examples("process", 0);
}

/* ---- requests ------------------------------------------------------------------------------- */

static void ids_come_back_as_they_were(void)
{
    static const char *const good[] = { "0",     "1",     "-7",
                                        "1.50",  "1e400", "123456789012345678901234567890",
                                        "\"\"",  "null",  "\"\\u00e9\\n\"",
                                        "\"é\"", "-0.0" };
    static const char *const bad[] = { "true", "false", "[]", "{}", "[1]", "{\"a\":1}" };

    begin("inline");
    for (size_t i = 0; i < COUNT(good); i++)
        CHECK_CLIENT(client,
                     berth_test_format("{\"id\":%s,\"jsonrpc\":\"2.0\",\"method\":\"math.add\","
                                       "\"params\":[1,2]}",
                                       good[i]),
                     result_line("3", good[i]));
    for (size_t i = 0; i < COUNT(bad); i++)
        CHECK_CONTAINS(client_ask(client, berth_test_format("{\"id\":%s,\"jsonrpc\":\"2.0\","
                                                            "\"method\":\"math.add\","
                                                            "\"params\":[1,2]}",
                                                            bad[i])),
                       "{\"code\":-32600,\"message\":\"id must be a string, a number or null\","
                       "\"data\":{\"code\":\"invalid_argument\",\"number\":3}},\"id\":null}");
    char *huge = berth_test_alloc(1000003);
    memset(huge, 'x', 1000002);
    huge[0] = huge[1000001] = '"';
    CHECK_CLIENT(client,
                 berth_test_format("{\"jsonrpc\":\"2.0\",\"method\":\"math.add\",\"params\":[1,2],"
                                   "\"id\":%s}",
                                   huge),
                 result_line("3", huge));
}

static void what_is_no_request_is_told_why(void)
{
    static const struct {
        const char *line, *part;
    } table[] = {
        { "1", "{\"code\":-32600,\"message\":\"a request is an object\"" },
        { "null", "-32600" },
        { "\"text\"", "-32600" },
        { "{}", "{\"code\":-32600,\"message\":\"jsonrpc must be \\\"2.0\\\"\"" },
        { "{\"jsonrpc\":\"1.0\",\"method\":\"math.add\",\"id\":5}", "\"id\":5}" },
        { "{\"jsonrpc\":2.0,\"method\":\"math.add\",\"id\":5}", "-32600" },
        { "{\"jsonrpc\":\"2.0\",\"id\":5}", "method must be a string" },
        { "{\"jsonrpc\":\"2.0\",\"method\":[\"math.add\"],\"id\":5}", "method must be a string" },
        { "{\"jsonrpc\":\"2.0\",\"method\":\"a\\u0000b\",\"id\":5}", "method must be a string" },
        { "{\"jsonrpc\":\"2.0\",\"method\":\"math.add\",\"params\":null,\"id\":5}",
          "params must be an array or an object" },
        { "{\"jsonrpc\":\"2.0\",\"jsonrpc\":\"2.0\",\"method\":\"math.add\",\"id\":5}", "-32700" },
        { "{\"jsonrpc\":\"2.0\",\"method\":\"math.add\",\"params\":[1,2],\"id\":5} x", "-32700" },
        { "[[{\"jsonrpc\":\"2.0\",\"method\":\"math.add\",\"params\":[1,2],\"id\":5}]]",
          "[{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32600" },
        { "[[]]", "[{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32600" },
    };

    begin("inline");
    for (size_t i = 0; i < COUNT(table); i++)
        CHECK_CONTAINS(client_ask(client, table[i].line), table[i].part);
}

static void blanks_do_not_matter(void)
{
    begin("inline");
    client_send(client, "\n\r\n  \t \n");
    CHECK_CLIENT(client,
                 "  {\t\"jsonrpc\" : \"2.0\" ,\"method\":\"math.a\\u0064d\",\"params\": [ 1 , 2 ],"
                 "\"more\":{\"ignored\":true}, \"id\" : 1 }  \r",
                 result_line("3", "1"));
}

/* ---- methods -------------------------------------------------------------------------------- */

static void functions_are_methods(void)
{
    begin("inline");
    CHECK_STR(client_call(client, "math.divide", "[6,4]"), result_line("1.5", "1"));
    CHECK_STR(client_call(client, "math.divide", "{\"b\":4,\"a\":6}"), result_line("1.5", "1"));
    CHECK_STR(client_call(client, "math.negate", "[-9007199254740993]"),
              result_line("9007199254740993", "1"));
    CHECK_STR(client_call(client, "math.nothing", "[]"), result_line("null", "1"));
    CHECK_CLIENT(client, "{\"jsonrpc\":\"2.0\",\"method\":\"math.nothing\",\"id\":2}",
                 result_line("null", "2"));
    CHECK_CONTAINS(client_call(client, "host.list", "[]"), "\"name\":\"control\"");
    CHECK_CONTAINS(client_call(client, "host.show", "{\"module\":\"math\"}"), "\"a + b\"");
    CHECK_STR(client_call(client, "host.call", "[\"math.add\",[1,2]]"), result_line("3", "1"));
    CHECK_STR(client_call(client, "host.load",
                          berth_test_format("[\"%s\"]", berth_test_fixture("counter"))),
              result_line("\"counter\"", "1"));
    CHECK_STR(client_call(client, "counter.add", "[5]"), result_line("5", "1"));
    CHECK_CONTAINS(client_call(client, "host.reload", "[\"counter\"]"), "\"step\":\"done\"");
    CHECK_STR(client_call(client, "host.unload", "[\"counter\"]"), result_line("null", "1"));
    CHECK_CONTAINS(client_call(client, "host.events", "[]"), "\"unloaded\"");
}

static void call_takes_a_timeout(const char *placement)
{
    begin(placement);
    CHECK_STR(client_call(client, "call", "{\"function\":\"math.add\",\"args\":{\"a\":1,\"b\":2}}"),
              result_line("3", "1"));
    CHECK_STR(client_call(client, "call", "[\"math.add\",[1,2],60000]"), result_line("3", "1"));
    CHECK_STR(client_call(client, "call", "[\"math.nothing\"]"), result_line("null", "1"));
    CHECK_CONTAINS(client_call(client, "call", "[\"sleeper.nap\",[20],1]"),
                   "{\"code\":-32004,\"message\":\"sleeper.nap: ");
    CHECK_CONTAINS(
        client_call(client, "call", "{\"function\":\"sleeper.left\",\"timeout_ms\":100000}"),
        "\"result\":");
}

static void call_takes_a_timeout_inline(void)
{
    call_takes_a_timeout("inline");
}

static void call_takes_a_timeout_in_a_worker(void)
{
    call_takes_a_timeout("process");
}

static void wrong_params_are_told_why(void)
{
    static const struct {
        const char *method, *params, *part;
    } table[] = {
        { "call", "[]", "call needs the parameter function" },
        { "call", "[1]", "function must be a string" },
        { "call", "[\"math.add\",1]", "args must be an array or an object" },
        { "call", "[\"math.add\",[1,2],\"1\"]", "timeout_ms must be a whole number" },
        { "call", "[\"math.add\",[1,2],1.5]", "timeout_ms must be a whole number" },
        { "call", "[\"math.add\",[1,2],99999999999999999999]", "timeout_ms must be" },
        { "call", "[\"math.add\",[1,2],1,1]", "more must be true or false" },
        { "call", "[\"math.add\",[1,2],1,true,1]", "call takes fewer params" },
        { "call", "{\"functoin\":\"math.add\"}", "call has no parameter functoin" },
        { "publish", "{\"fields\":{}}", "publish needs the parameter topic" },
        { "publish", "[\"news.bell\",1]", "fields must be an object or an array" },
        { "subscribe", "{}", "subscribe needs topics, or topic" },
        { "subscribe", "{\"topic\":\"a\",\"topics\":[\"b\"]}", "subscribe needs topics, or topic" },
        { "subscribe", "{\"topics\":[]}", "topics must be 1 to 64 patterns" },
        { "subscribe", "{\"topics\":[1]}", "each of topics must be a string" },
        { "subscribe", "{\"topics\":[\"a\",\"b\"],\"group\":\"c\"}", "a group is for one topic" },
        { "subscribe", "{\"topic\":\"a\",\"group\":1}", "group must be a string" },
        { "unsubscribe", "[]", "unsubscribe needs the parameter subscription" },
        { "unsubscribe", "[\"1\"]", "subscription must be a whole number" },
        { "rpc.discover", "[1]", "rpc.discover takes fewer params" },
    };

    begin("inline");
    for (size_t i = 0; i < COUNT(table); i++) {
        const char *answer = client_call(client, table[i].method, table[i].params);
        CHECK_CONTAINS(answer, "{\"code\":-32602,\"message\":\"");
        CHECK_CONTAINS(answer, table[i].part);
        CHECK_CONTAINS(answer, "\"data\":{\"code\":\"invalid_argument\",\"number\":3}},\"id\":1}");
    }
}

static void run_errors(const char *placement)
{
    static const struct {
        const char *method, *params, *error;
    } table[] = {
        { "math.divide", "[1,0]",
          "{\"code\":-32003,\"message\":\"math.divide: b is zero\",\"data\":{\"code\":"
          "\"invalid_argument\",\"number\":3}}" },
        { "math.divide", "[1]",
          "{\"code\":-32003,\"message\":\"math.divide: missing argument: b (f64)\",\"data\":{"
          "\"code\":\"invalid_argument\",\"number\":3}}" },
        { "sleeper.nap", "[4294967296]", "{\"code\":-32011,\"message\":\"sleeper.nap: argument" },
        { "math.nix", "[]",
          "{\"code\":-32601,\"message\":\"module math has no function nix\",\"data\":{\"code\":"
          "\"not_found\",\"number\":5}}" },
        { "nix.add", "[]", "{\"code\":-32601,\"message\":\"nix.add: module nix is not loaded\"" },
        { "nix", "[]", "{\"code\":-32601,\"message\":\"there is no method nix;" },
        { "", "[]", "{\"code\":-32601,\"message\":\"there is no method ;" },
        { "a.b.c", "[]", "{\"code\":-32601,\"message\":\"there is no method a.b.c;" },
        { "a. b", "[]", "{\"code\":-32601,\"message\":\"there is no method a. b;" },
        { ".b", "[]", "{\"code\":-32601" },
        { "rpc.nix", "[]", "{\"code\":-32601" },
        { "call", "[\"math.nix\"]", "{\"code\":-32601,\"message\":\"module math has no" },
        { "call", "[\"nix\"]", "{\"code\":-32601" },
        { "host.show", "[\"nix\"]",
          "{\"code\":-32005,\"message\":\"host.show: no module nix is loaded" },
        { "host.call", "[\"math.divide\",[1,0]]",
          "{\"code\":-32003,\"message\":\"host.call → math.divide: b is zero\"" },
        { "publish", "[\"news.nix\",{}]",
          "{\"code\":-32005,\"message\":\"topic news.nix: no loaded module declares this topic" },
        { "subscribe", "[[\"a..b\"]]",
          "{\"code\":-32003,\"message\":\"\\\"a..b\\\" is not a topic pattern" },
        { "unsubscribe", "[77]",
          "{\"code\":-32005,\"message\":\"this connection has no such subscription\"" },
    };

    begin(placement);
    for (size_t i = 0; i < COUNT(table); i++)
        CHECK_CONTAINS(client_call(client, table[i].method, table[i].params),
                       berth_test_format("{\"jsonrpc\":\"2.0\",\"error\":%s", table[i].error));
}

static void errors_have_code_words_and_data(void)
{
    run_errors("inline");
}

/* Whatever a module or a client writes, and however long, an answer is UTF-8. */
static void errors_are_utf_8(void)
{
    char text[2200] = "a";
    struct berth_error error;
    begin("inline");
    REQUIRE(berth_test_load(host, "faulty", "inline", NULL, &error) == BERTH_OK);
    for (size_t i = 1; i + 2 < sizeof(text); i += 2) {
        memcpy(text + i, "é", 3);
        const char *line = client_call(client, text, "[]");
        CHECK(berth_utf8_valid(line, strlen(line), NULL));
        line = client_call(client, "faulty.fail", berth_test_format("[3,\"%s\"]", text));
        CHECK(berth_utf8_valid(line, strlen(line), NULL));
    }
    CHECK_CONTAINS(client_call(client, "faulty.mumble", "[]"), "faulty.mumble: not ?!");
}

static void errors_in_a_worker_are_the_same(void)
{
    run_errors("process");
}

static void discovery_describes_everything(const char *placement)
{
    begin(placement);
    LOAD(host, "types", NULL);
    LOAD(host, "handles", NULL);
    cJSON *answer = cJSON_Parse(client_call(client, "rpc.discover", "[]"));
    cJSON *document = cJSON_GetObjectItem(answer, "result"), *method;
    CHECK_STR(cJSON_GetStringValue(cJSON_GetObjectItem(document, "openrpc")), "1.3.2");
    bool divide = false, call = false;
    cJSON_ArrayForEach(method, cJSON_GetObjectItem(document, "methods"))
    {
        const char *name = cJSON_GetStringValue(cJSON_GetObjectItem(method, "name"));
        REQUIRE(name);
        CHECK(cJSON_IsArray(cJSON_GetObjectItem(method, "params")));
        CHECK(cJSON_IsObject(cJSON_GetObjectItem(method, "result")));
        CHECK(cJSON_IsString(cJSON_GetObjectItem(method, "description")));
        call |= !strcmp(name, "call");
        if (strcmp(name, "math.divide"))
            continue;
        divide = true;
        char *text = cJSON_PrintUnformatted(cJSON_GetObjectItem(method, "params"));
        CHECK_CONTAINS(text, "{\"name\":\"a\",\"description\":\"the dividend\",\"required\":true,"
                             "\"schema\":{\"type\":[\"number\",\"string\"]}}");
        free(text);
    }
    CHECK(divide && call);
    CHECK(cJSON_GetArraySize(
              cJSON_GetObjectItem(cJSON_GetObjectItem(document, "components"), "schemas")) > 2);
    cJSON_Delete(answer);
}

static void discovery_inline(void)
{
    discovery_describes_everything("inline");
}

static void discovery_in_a_worker(void)
{
    discovery_describes_everything("process");
}

/* ---- at the same time ----------------------------------------------------------------------- */

/* A call that stays inside until the file goes. */
static const char *held(void)
{
    return berth_test_format("%s/held", berth_test_dir());
}

static void hold(struct client *one, const char *module, const char *id)
{
    client_send(one, berth_test_format("{\"jsonrpc\":\"2.0\",\"method\":\"%s.hold\",\"params\":"
                                       "[\"%s\"],\"id\":%s}\n",
                                       module, held(), id));
}

static void slow_calls_hold_nobody_up(const char *placement)
{
    begin(placement);
    hold(client, "sleeper", "\"slow\"");
    EVENTUALLY(berth_test_exists(held()));
    for (int i = 0; i < 5; i++)
        CHECK_STR(client_call(client, "math.add", "[1,2]"), result_line("3", "1"));
    remove(held());
    CHECK_STR(client_line(client), result_line("null", "\"slow\""));
}

static void slow_calls_hold_nobody_up_inline(void)
{
    slow_calls_hold_nobody_up("inline");
}

static void slow_calls_hold_nobody_up_in_a_worker(void)
{
    slow_calls_hold_nobody_up("process");
}

static void lines_that_come_together_are_not_held_up(void)
{
    begin("inline");
    client_send(client, berth_test_format(
                            "{\"jsonrpc\":\"2.0\",\"method\":\"sleeper.hold\",\"params\":[\"%s\"],"
                            "\"id\":1}\n{\"jsonrpc\":\"2.0\",\"method\":\"math.add\",\"params\":"
                            "[1,2],\"id\":2}\n{\"jsonrpc\":\"2.0\",\"method\":\"math.ad",
                            held()));
    CHECK_STR(client_line(client), result_line("3", "2"));
    client_send(client, "d\",\"params\":[3,4],\"id\":3}\n");
    CHECK_STR(client_line(client), result_line("7", "3"));
    EVENTUALLY(berth_test_exists(held()));
    remove(held());
    CHECK_STR(client_line(client), result_line("null", "1"));
}

/* As many as there may be are executed at once, the next one when one of them has ended. */
static void threads_are_limited(void)
{
    host = control_begin("inline", "\"threads\":3");
    client = client_new();
    for (int i = 0; i < 3; i++) {
        client_send(client, berth_test_format("{\"jsonrpc\":\"2.0\",\"method\":\"sleeper_parallel."
                                              "hold\",\"params\":[\"%s%d\"],\"id\":%d}\n",
                                              held(), i, i));
        EVENTUALLY(berth_test_exists(berth_test_format("%s%d", held(), i)));
    }
    CHECK_INT(threads_named("control"), 3);
    struct client *other = client_new();
    client_send(other, "{\"jsonrpc\":\"2.0\",\"method\":\"math.add\",\"params\":[1,2],\"id\":9}\n");
    berth_test_pause(50);
    CHECK_INT(threads_named("control"), 3);
    remove(berth_test_format("%s1", held()));
    CHECK_STR(client_line(client), result_line("null", "1"));
    CHECK_STR(client_line(other), result_line("3", "9"));
    remove(berth_test_format("%s0", held()));
    remove(berth_test_format("%s2", held()));
    CHECK(client_line(client) && client_line(client));
    EVENTUALLY(threads_named("control") == 2); /* those that are not needed end */
}

static void requests_of_one_client_are_limited(void)
{
    host = control_begin("inline", "\"requests\":1");
    client = client_new();
    hold(client, "sleeper", "1");
    client_send(client,
                "{\"jsonrpc\":\"2.0\",\"method\":\"math.add\",\"params\":[1,2],\"id\":2}\n");
    EVENTUALLY(berth_test_exists(held()));
    berth_test_pause(20);
    remove(held());
    CHECK_STR(client_line(client), result_line("null", "1"));
    CHECK_STR(client_line(client), result_line("3", "2"));
}

static void many_clients_at_once(void)
{
    struct client *all[63]; /* the one before may not be gone yet */
    begin("inline");
    client_free(client);
    for (size_t i = 0; i < COUNT(all); i++)
        all[i] = client_new();
    for (int turn = 0; turn < 20; turn++) {
        for (size_t i = 0; i < COUNT(all); i++)
            client_send(all[i], berth_test_format("{\"jsonrpc\":\"2.0\",\"method\":\"math.add\","
                                                  "\"params\":[%zu,%d],\"id\":%zu}\n",
                                                  i, turn, i));
        for (size_t i = 0; i < COUNT(all); i++)
            CHECK_STR(client_line(all[i]), result_line(berth_test_format("%zu", i + (size_t)turn),
                                                       berth_test_format("%zu", i)));
    }
}

/* ---- messages ------------------------------------------------------------------------------- */

static void messages_come_as_notifications(const char *placement)
{
    begin(placement);
    CHECK_STR(client_call(client, "subscribe", "{\"topic\":\"news.>\"}"), result_line("1", "1"));
    CHECK_CALL(host, "publisher.text", "[\"line\\nnext\",-3]", "null");
    CHECK_STR(client_line(client),
              "{\"jsonrpc\":\"2.0\",\"method\":\"message\",\"params\":{\"subscription\":1,"
              "\"topic\":\"news.text\",\"sender\":\"publisher\",\"fields\":{\"text\":"
              "\"line\\nnext\",\"number\":-3}}}");
    CHECK_STR(client_call(client, "subscribe", "[[\"news.bell\",\"news.*\",\"news.>\"]]"),
              result_line("2", "1"));
    CHECK_CALL(host, "publisher.ring", "[]", "null");
    const char *lines[] = { client_line(client), client_line(client) };
    int second = lines[0] && strstr(lines[0], "\"subscription\":2");
    CHECK_CONTAINS(lines[second], "\"subscription\":1,\"topic\":\"news.bell\"");
    CHECK_CONTAINS(lines[!second], "\"subscription\":2,\"topic\":\"news.bell\"");
    CHECK_STR(client_call(client, "unsubscribe", "[1]"), result_line("null", "1"));
    CHECK_CONTAINS(client_call(client, "unsubscribe", "{\"subscription\":1}"), "-32005");
    CHECK_STR(client_call(client, "unsubscribe", "{\"subscription\":2}"), result_line("null", "1"));
    CHECK_CALL(host, "publisher.ring", "[]", "null");
    CHECK_STR(client_call(client, "math.add", "[1,2]"), result_line("3", "1"));
    for (int i = 3; i < 5; i++)
        CHECK_STR(client_call(client, "subscribe", "{\"topic\":\"news.*\",\"group\":\"readers\"}"),
                  result_line(berth_test_format("%d", i), "1"));
    for (int i = 0; i < 2; i++) /* each to one of the two */
        CHECK_CALL(host, "publisher.ring", "[]", "null");
    const char *shared[] = { client_line(client), client_line(client) };
    CHECK((strstr(shared[0], "\"subscription\":3,") != NULL) !=
          (strstr(shared[1], "\"subscription\":3,") != NULL));
    CHECK_STR(client_call(client, "math.add", "[1,2]"), result_line("3", "1"));
}

static void messages_come_inline(void)
{
    messages_come_as_notifications("inline");
}

static void messages_come_from_a_worker(void)
{
    messages_come_as_notifications("process");
}

static void clients_publish_to_each_other(void)
{
    begin("inline");
    struct client *other = client_new();
    CHECK_STR(client_call(client, "subscribe", "[[\"news.text\"]]"), result_line("1", "1"));
    CHECK_STR(client_call(other, "publish", "[\"news.text\",[\"hi\",1]]"),
              result_line("null", "1"));
    CHECK_CONTAINS(client_line(client),
                   "\"sender\":\"\",\"fields\":{\"text\":\"hi\",\"number\":1}");
    CHECK_STR(client_call(other, "publish", "{\"topic\":\"news.bell\"}"), result_line("null", "1"));
    CHECK_CONTAINS(client_call(other, "unsubscribe", "[1]"), "no such subscription");
}

/* The host's numbers of subscriptions can be guessed; those of clients are control's to end. */
static void clients_do_not_end_each_others(void)
{
    const char *said = "";
    begin("inline");
    struct client *other = client_new();
    CHECK_STR(client_call(client, "subscribe", "[[\"news.bell\"]]"), result_line("1", "1"));
    for (unsigned long long id = 0; id < 16; id++) {
        const char *params = berth_test_format("[%llu]", (id / 4) << 32 | id % 4);
        const char *nested = berth_test_format("[\"host.unsubscribe\",%s]", params);
        const char *direct = client_call(other, "host.unsubscribe", params);
        said = berth_test_format("%s%s%s", said, direct, client_call(other, "host.call", nested));
    }
    CHECK_CONTAINS(said, "is another one's: control has asked for it by itself");
    CHECK(!strstr(said, "\"result\""));
    CHECK_STR(client_call(other, "publish", "{\"topic\":\"news.bell\"}"), result_line("null", "1"));
    CHECK_CONTAINS(client_line(client), "\"topic\":\"news.bell\"");
}

static void events_of_the_host_are_messages(void)
{
    begin("inline");
    CHECK_STR(client_call(client, "subscribe", "[[\"host.module.>\"]]"), result_line("1", "1"));
    LOAD(host, "counter", NULL);
    CHECK_CONTAINS(client_line(client), "\"topic\":\"host.module.loaded\",\"sender\":\"host\","
                                        "\"fields\":{\"module\":\"counter\"");
}

/* The answer comes first, though a publisher never rests. */
static void messages_come_after_the_answer(void)
{
    begin("inline");
    struct client *other = client_new();
    for (int i = 0; i < 50; i++) {
        client_send(other, "{\"jsonrpc\":\"2.0\",\"method\":\"publisher.burst\",\"params\":[5]}\n");
        CHECK_CONTAINS(client_call(client, "subscribe", "[[\"news.>\"]]"), "\"result\":");
        client_free(client);
        client = client_new();
    }
}

static void another_name_is_no_obstacle(const char *placement)
{
    struct berth_error error;
    const char *options = berth_test_format("{\"socket\":\"%s\"}", control_path());
    const struct berth_load_options load = {
        .size = sizeof(load), .name = "door", .placement = placement, .options = options
    };
    begin(placement);
    CHECK_CODE(berth_host_unload(host, "control", &error), BERTH_OK, &error);
    CHECK_CODE(berth_host_load(host, berth_test_built("modules/control/control.so"), &load, &error),
               BERTH_OK, &error);
    client = client_new();
    CHECK_STR(client_call(client, "subscribe", "{\"topic\":\"news.>\"}"), result_line("1", "1"));
    CHECK_CALL(host, "publisher.ring", "[]", "null");
    CHECK_CONTAINS(client_line(client), "\"topic\":\"news.bell\"");
    CHECK_CONTAINS(client_call(client, "math.divide", "[1,0]"), "\"message\":\"math.divide: b is");
}

static void another_name_inline(void)
{
    another_name_is_no_obstacle("inline");
}

static void another_name_in_a_worker(void)
{
    another_name_is_no_obstacle("process");
}

static void the_end(void)
{
    begin("inline");
    control_end();
    CHECK(!berth_test_exists(control_path()));
    CHECK(!berth_test_exists(berth_test_format("%s.lock", control_path())));
}

static const struct berth_test tests[] = {
    { "the_examples_of_the_specification", the_examples_of_the_specification },
    { "the_examples_with_checked_ownership", the_examples_with_checked_ownership },
    { "the_examples_in_a_worker", the_examples_in_a_worker },
    { "ids_come_back_as_they_were", ids_come_back_as_they_were },
    { "what_is_no_request_is_told_why", what_is_no_request_is_told_why },
    { "blanks_do_not_matter", blanks_do_not_matter },
    { "functions_are_methods", functions_are_methods },
    { "call_takes_a_timeout_inline", call_takes_a_timeout_inline },
    { "call_takes_a_timeout_in_a_worker", call_takes_a_timeout_in_a_worker },
    { "wrong_params_are_told_why", wrong_params_are_told_why },
    { "errors_have_code_words_and_data", errors_have_code_words_and_data },
    { "errors_are_utf_8", errors_are_utf_8 },
    { "errors_in_a_worker_are_the_same", errors_in_a_worker_are_the_same },
    { "discovery_inline", discovery_inline },
    { "discovery_in_a_worker", discovery_in_a_worker },
    { "slow_calls_hold_nobody_up_inline", slow_calls_hold_nobody_up_inline },
    { "slow_calls_hold_nobody_up_in_a_worker", slow_calls_hold_nobody_up_in_a_worker },
    { "lines_that_come_together_are_not_held_up", lines_that_come_together_are_not_held_up },
    { "threads_are_limited", threads_are_limited },
    { "requests_of_one_client_are_limited", requests_of_one_client_are_limited },
    { "many_clients_at_once", many_clients_at_once },
    { "messages_come_inline", messages_come_inline },
    { "messages_come_from_a_worker", messages_come_from_a_worker },
    { "clients_publish_to_each_other", clients_publish_to_each_other },
    { "clients_do_not_end_each_others", clients_do_not_end_each_others },
    { "events_of_the_host_are_messages", events_of_the_host_are_messages },
    { "messages_come_after_the_answer", messages_come_after_the_answer },
    { "another_name_inline", another_name_inline },
    { "another_name_in_a_worker", another_name_in_a_worker },
    { "the_end", the_end },
};

int main(int argc, char **argv)
{
    return berth_suite_main("control_protocol", tests, COUNT(tests), argc, argv);
}
