/* SPDX-License-Identifier: MIT */
/* The reader of configurations, its table of keys, and the search for modules. */
#include "runtime/shell/config.h"
#include "runtime/shell/log.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/shell/file.h"
#include "runtime/shell/quantity.h"
#include "runtime/value/json.h"
#include "tests/support/fault.h"
#include "tests/support/suite.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A configuration of a text that ends where its memory does; deinit'ed by the caller. */
static void read_text(struct berth_config *config, const char *text)
{
    struct berth_error error = { 0 };
    size_t size = strlen(text);
    char *copy = malloc(size ? size : 1);

    REQUIRE(copy);
    memcpy(copy, text, size);
    CHECK_CODE(berth_config_parse(config, "/etc/x/berth.conf", copy, size, &error), BERTH_OK,
               &error);
    config->text = copy; /* to be freed with it */
}

/* All problems, one a line: "2:7: text\n". Lasts as long as the test. */
static const char *problems_of(struct berth_config *config)
{
    const struct berth_problem *list = berth_problems_sort(&config->problems);
    const char *all = "";

    for (size_t i = 0; i < config->problems.count; i++)
        all = berth_test_format("%s%zu:%zu: %s%s\n", all, list[i].line, list[i].column,
                                list[i].warning ? "warning: " : "", list[i].text);
    return all;
}

static const char *problems(const char *text)
{
    struct berth_config config;

    read_text(&config, text);
    const char *all = problems_of(&config);
    berth_config_deinit(&config);
    return all;
}

/* ---- values ---- */

static const struct berth_config_module *module_of(const struct berth_config *config, size_t i)
{
    REQUIRE(i < config->modules.count);
    return (const struct berth_config_module *)config->modules.items + i;
}

static void every_key_goes_where_it_belongs(void)
{
    struct berth_config config;

    read_text(&config,
              "{\"$schema\": \"s\", \"name\": \"shop\", \"threads\": 3, \"path\": [\"a\", \"/b\"],"
              "\"modules\": {\"one\": {\"file\": \"x.so\", \"version\": \"^1\","
              " \"placement\": \"process\", \"options\": {\"k\": 1}, \"optional\": true},"
              " \"two\": {\"restart\": \"never\"},"
              " \"three\": {\"restart\": {\"limit\": 7, \"window\": \"1m\", \"first\": \"2ms\","
              " \"last\": \"2s\"}}},"
              "\"limits\": {\"max_message\": \"2MiB\", \"mailbox_messages\": 7,"
              " \"mailbox_bytes\": 2048, \"call_timeout\": \"3s\", \"stop_timeout\": \"4ms\","
              " \"quarantine_images\": 9, \"quarantine_bytes\": \"3GiB\","
              " \"call_timeouts\": {\"one\": \"2s\", \"two.slow\": \"1h\"}},"
              "\"log\": {\"level\": \"debug\", \"levels\": {\"one\": \"error\", \"two\": \"info\"},"
              " \"target\": \"host.log\", \"format\": \"json\"}}");
    CHECK_STR(problems_of(&config), "");
    CHECK(config.whole);
    CHECK_STR(config.schema, "s");
    CHECK_STR(config.host.name, "shop");
    CHECK_INT(config.host.threads, 3);
    CHECK_INT(config.host.max_message, 2 << 20);
    CHECK_INT(config.host.mailbox_messages, 7);
    CHECK_INT(config.host.mailbox_bytes, 2048);
    CHECK_INT(config.host.call_timeout_ns, 3000000000);
    CHECK_INT(config.host.stop_timeout_ns, 4000000);
    CHECK_INT(config.host.quarantine_images, 9);
    CHECK_INT(config.host.quarantine_bytes, INT64_C(3) << 30);
    CHECK_INT(config.host.log_level, BERTH_LOG_DEBUG);
    CHECK_STR(config.log_target, "/etc/x/host.log");
    CHECK_STR(berth_log_formats[config.log_format], "json");
    REQUIRE(config.timeouts.count == 2);
    const struct berth_config_time *timeouts = config.timeouts.items;
    CHECK_STR(timeouts[1].entry.key, "two.slow");
    CHECK_INT(timeouts[0].ns, INT64_C(2000000000));
    CHECK_INT(timeouts[1].ns, INT64_C(3600000000000));
    REQUIRE(config.levels.count == 2);
    const struct berth_config_word *levels = config.levels.items;
    CHECK_STR(levels[1].entry.key, "two");
    CHECK_INT(levels[0].word, BERTH_LOG_ERROR);
    CHECK_INT(levels[1].word, BERTH_LOG_INFO);
    REQUIRE(config.path.count == 2);
    CHECK_STR(((const char **)config.path.items)[0], "/etc/x/a");
    CHECK_STR(((const char **)config.path.items)[1], "/b");
    CHECK_INT(config.modules.count, 3);
    CHECK_STR(module_of(&config, 0)->entry.key, "one");
    CHECK_STR(module_of(&config, 0)->file, "x.so");
    CHECK_STR(module_of(&config, 0)->version, "^1");
    CHECK_STR(berth_placements[module_of(&config, 0)->placement], "process");
    CHECK(module_of(&config, 0)->optional);
    CHECK_INT(module_of(&config, 0)->options->count, 1);
    CHECK_STR(module_of(&config, 1)->entry.key, "two");
    CHECK_STR(berth_placements[module_of(&config, 1)->placement], "inline");
    CHECK(!module_of(&config, 1)->file && !module_of(&config, 1)->optional);
    struct berth_restart_policy policy = berth_config_policy(&module_of(&config, 0)->restart);
    CHECK_INT(policy.size, sizeof(policy));
    CHECK_INT(policy.limit, 0); /* not said: the default */
    CHECK_INT(berth_config_policy(&module_of(&config, 1)->restart).limit, BERTH_RESTART_NEVER);
    policy = berth_config_policy(&module_of(&config, 2)->restart);
    CHECK_INT(policy.limit, 7);
    CHECK_INT(policy.window_ns, 60000000000);
    CHECK_INT(policy.first_ns, 2000000);
    CHECK_INT(policy.last_ns, 2000000000);
    berth_config_deinit(&config);
}

static void a_restart_policy_is_a_word_or_numbers(void)
{
    CHECK_STR(
        problems("{\"modules\": {\"m\": {\"restart\": \"alway\"}}}"),
        "1:31: modules.m.restart: \"alway\" is not \"always\", \"never\", or an object; did you "
        "mean \"always\"?\n");
    CHECK_STR(problems("{\"modules\": {\"m\": {\"restart\": [5]}}}"),
              "1:31: modules.m.restart: an array is not \"always\", \"never\", or an object\n");
    CHECK_STR(problems("{\"modules\": {\"m\": {\"restart\": {\"limit\": 33, \"frist\": 1}}}}"),
              "1:41: modules.m.restart.limit: 33 is not a whole number from 1 to 32\n"
              "1:45: modules.m.restart: unknown key \"frist\"; did you mean \"first\"?\n");
    CHECK_STR(
        problems("{\"modules\": {\"m\": {\"restart\": {\"first\": \"1m\"}}}}"),
        "1:31: modules.m.restart: the first delay is longer than the last one, which is 30s if "
        "it is not given\n");
}

static void what_is_not_said_keeps_its_default(void)
{
    struct berth_config config;
    struct berth_host_options defaults;

    berth_host_options_init(&defaults);
    read_text(&config, "{}");
    CHECK_STR(problems_of(&config), "");
    CHECK_STR(config.host.name, defaults.name);
    CHECK_INT(config.host.threads, defaults.threads);
    CHECK_INT(config.host.log_level, defaults.log_level);
    CHECK_INT(config.host.max_message, defaults.max_message);
    CHECK_INT(config.host.mailbox_messages, defaults.mailbox_messages);
    CHECK_INT(config.host.mailbox_bytes, defaults.mailbox_bytes);
    CHECK_INT(config.host.call_timeout_ns, defaults.call_timeout_ns);
    CHECK_INT(config.host.stop_timeout_ns, defaults.stop_timeout_ns);
    CHECK_INT(config.modules.count + config.path.count, 0);
    berth_config_deinit(&config);
}

/* A wrong value is told, and not taken. */
static void what_is_wrong_is_not_taken(void)
{
    struct berth_config config;

    read_text(&config, "{\"threads\": 9999, \"name\": \"\", \"log\": {\"level\": \"debgu\"}}");
    CHECK_INT(config.problems.errors, 3);
    CHECK_INT(config.host.threads, -1);
    CHECK_STR(config.host.name, "berth");
    CHECK_INT(config.host.log_level, BERTH_LOG_INFO);
    berth_config_deinit(&config);
}

/* ---- messages ---- */

static void problems_say_where_and_what_to_do(void)
{
    static const struct {
        const char *text, *problems;
    } cases[] = {
        { "[]", "1:1: the configuration is not an object: write {…}\n" },
        { "{\"nam\": 1}", "1:2: unknown key \"nam\"; did you mean \"name\"?\n" },
        { "{\"é\":1,\n \"xyzzy\": 1}",
          "1:2: unknown key \"é\"; the keys here are $schema, name, threads, path, modules, "
          "permissions, limits, log, after_crash, staging\n"
          "2:2: unknown key \"xyzzy\"; the keys here are $schema, name, threads, path, modules, "
          "permissions, limits, log, after_crash, staging\n" },
        { "{\"modules\": {\"m\": {\"plcement\": \"x\"}}}",
          "1:20: modules.m: unknown key \"plcement\"; did you mean \"placement\"?\n" },
        { "{\"modules\": {\"m\": {\"placement\": \"inlne\"}}}",
          "1:33: modules.m.placement: \"inlne\" is not one of \"inline\", \"process\"; did you "
          "mean \"inline\"?\n" },
        { "{\"modules\": {\"M\": {}}}",
          "1:14: \"M\" cannot be a module's name: write [a-z][a-z0-9_]*, at most 64 characters\n" },
        { "{\"name\": \"a\",\n\"name\": \"b\"}",
          "2:1: the key \"name\" is there twice: keep one of them\n" },
        { "{\"threads\": \"4\"}", "1:13: threads: \"4\" is not a whole number from 1 to 1024\n" },
        { "{\"log\": {\"levels\": [{}]}}", "1:20: log.levels: an array is not an object\n" },
        { "{\"limits\": {\"call_timeouts\": [{}]}}",
          "1:30: limits.call_timeouts: an array is not an object\n" },
        { "{\"limits\": {\"call_timeout\": 5}}",
          "1:29: limits.call_timeout: 5 is not a time like \"200ms\", \"5s\" or \"1m\", from "
          "1ms to 8760h\n" },
        { "{\"limits\": {\"max_message\": \"16MB\"}}",
          "1:28: limits.max_message: \"16MB\" is not a number of bytes or a size like \"16MiB\", "
          "from 1KiB to 1GiB\n" },
        { "{\"limits\": {\"max_message\": {}}}",
          "1:28: limits.max_message: an object is not a number of bytes or a size like \"16MiB\", "
          "from 1KiB to 1GiB\n" },
        { "{\"name\": \"a\\u0000\"}", "1:10: a string cannot hold \\u0000\n" },
        { "{\"modules\": {\"m\": {\"options\": {\"a\": [{\"$file\": 5}]}}}}",
          "1:48: modules.m.options.a: $file takes the name of a file, as a string\n" },
        { "{\"path\": [\"a\", 1]}", "1:16: path: an element is not the name of a directory\n" },
        { "{\"name\": \"a\",}", "1:13: nothing follows this comma: take it away\n" },
        { "{} /* x", "1:4: the comment does not end: close it with */\n" },
        { "{} # x", "1:4: expected the end of the text, not #\n" },
        { "{} /x", "1:4: a comment begins with // or /*\n" },
        { "{ // \xff\n}", "1:6: not UTF-8\n" },
        { "{\"name\": \"\xff\"}", "1:11: not UTF-8\n" },
        { "\xff", "1:1: not UTF-8\n" },
        { "", "1:1: expected a value, not the end of the text\n" },
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        CHECK_STR(problems(cases[i].text), cases[i].problems);
}

static void an_error_of_syntax_is_the_last_of_all(void)
{
    CHECK_STR(
        problems("{\"nam\": 1,\n\"threads\": 0,\n\"log\": {\"level\": 1, \"x\" 2},\n\"y\": 1}"),
        "1:2: unknown key \"nam\"; did you mean \"name\"?\n"
        "2:12: threads: 0 is not a whole number from 1 to 1024\n"
        "3:18: log.level: 1 is not one of \"error\", \"warning\", \"info\", \"debug\"\n"
        "3:25: expected :, not 2\n");
}

/* Comments count for lines and columns as any text does, and both kinds may be anywhere. */
static void comments_are_blanks(void)
{
    const char *said = problems("/**/{//\n/* \n é */\"nam\"/*:*/:/***/1// end");

    CHECK_CONTAINS(said, "3:6: unknown key \"nam\"; did you mean \"name\"?\n");
    CHECK_CONTAINS(said, "3:29: expected , or }, not the end of the text\n");
    CHECK_STR(problems("{\"name\": \"// no /* comment\"}"), "");
}

static void json_has_no_comments(void)
{
    struct berth_error error = { 0 };
    CHECK_CODE(berth_json_check("{} // x", 7, &error), BERTH_INVALID_ARGUMENT, &error);
    CHECK_CODE(berth_json_check("/**/{}", 6, &error), BERTH_INVALID_ARGUMENT, &error);
}

/* ---- the table, and what is made of it ---- */

static void check_manual(const struct berth_config_object *object, const char *page)
{
    for (size_t i = 0; i < object->count; i++) {
        const struct berth_config_key *key = &object->keys[i];
        CHECK_CONTAINS(page, berth_test_format("\n.It Ic %s\n", key->name));
        CHECK(key->doc && *key->doc);
        CHECK(key->min >= 0); /* a number that is none is told by a negative one */
        if (key->object)
            check_manual(key->object, page);
    }
}

static void the_manual_has_every_key(void)
{
    check_manual(&berth_config_root, berth_test_read(berth_test_source("doc/berth.conf.5"), NULL));
}

/* It is written anew by:  berth check --schema >doc/berth.conf.schema.json */
static void the_schema_is_that_of_the_table(void)
{
    struct berth_buffer buffer;
    struct berth_error error;

    berth_buffer_init(&buffer, 0);
    berth_config_schema(&buffer);
    REQUIRE(!buffer.failed);
    CHECK_CODE(berth_json_check(buffer.data, buffer.size, &error), BERTH_OK, &error);
    berth_buffer_text(&buffer, "\n");
    CHECK_STR(buffer.data, berth_test_read(berth_test_source("doc/berth.conf.schema.json"), NULL));
    berth_buffer_deinit(&buffer);
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* good_* are fine, bad_* and deep_* are not. tests/shell/config.sh asks the schema the same. */
static void the_corpus_is_told_apart(void)
{
    const char *corpus = berth_test_source("tests/corpus/config");
    struct dirent **files;
    int count = scandir(corpus, &files, visible, alphasort);

    REQUIRE(count > 100);
    for (int i = 0; i < count; i++) {
        struct berth_config config;
        struct berth_error error = { 0 };
        size_t size;
        const char *name = files[i]->d_name;
        char *text = berth_test_read(berth_test_format("%s/%s", corpus, name), &size);
        CHECK_CODE(berth_config_parse(&config, name, text, size, &error), BERTH_OK, &error);
        if ((config.problems.errors == 0) != (strncmp(name, "good_", 5) == 0))
            CHECK_STR(name, problems_of(&config));
        berth_config_deinit(&config);
        free(files[i]);
    }
    free(files);
}

/* ---- quantities ---- */

static void quantities_are_read_and_printed(void)
{
    char text[BERTH_QUANTITY_MAX];
    static const char *const wrong[] = { "",    "5",  "s",   "-1s", "1.5s",
                                         "5 s", "5S", " 5s", "5ss", "9223372036854775807h" };

    CHECK_INT(berth_duration_parse("200ms"), 200000000);
    CHECK_INT(berth_duration_parse("2h"), 7200000000000);
    CHECK_INT(berth_size_parse("4096"), 4096);
    CHECK_INT(berth_size_parse("3KiB"), 3072);
    CHECK_INT(berth_size_parse("1GiB"), 1 << 30);
    for (size_t i = 0; i < COUNT(wrong); i++)
        CHECK_INT(berth_duration_parse(wrong[i]), -1);
    CHECK_INT(berth_size_parse("16MB"), -1);
    CHECK_INT(berth_size_parse("9223372036854775807KiB"), -1);
    CHECK_STR(berth_duration_print(90000000000, text), "90s");
    CHECK_STR(berth_duration_print(3600000000000, text), "1h");
    CHECK_STR(berth_size_print(1536, text), "1536");
    CHECK_STR(berth_size_print(16 << 20, text), "16MiB");
    CHECK_STR(berth_size_print(0, text), "0");
}

static void paths_are_relative_to_the_file(void)
{
    static const char *const cases[][3] = {
        { "berth.conf", "x.so", "./x.so" },    { "berth.conf", "lib/x.so", "lib/x.so" },
        { "a/berth.conf", "x.so", "a/x.so" },  { "/a/b.conf", "../x.so", "/a/../x.so" },
        { "/a/b.conf", "/c/x.so", "/c/x.so" }, { "b.conf", "/x.so", "/x.so" },
        { "/b.conf", "x.so", "/x.so" },
    };
    struct berth_arena arena;

    berth_arena_init(&arena);
    for (size_t i = 0; i < COUNT(cases); i++)
        CHECK_STR(berth_file_beside(cases[i][0], cases[i][1], &arena), cases[i][2]);
    berth_arena_deinit(&arena);
}

/* ---- options ---- */

static const char *written(const char *options, bool resolve)
{
    struct berth_config config;
    struct berth_buffer buffer;

    read_text(&config, berth_test_format("{\"modules\": {\"m\": {\"options\": %s}}}", options));
    berth_buffer_init(&buffer, 0);
    berth_config_write_options(&config, "option x: ", module_of(&config, 0)->options, resolve,
                               &buffer);
    REQUIRE(!buffer.failed);
    const char *all = config.problems.count ? problems_of(&config) : "";
    const char *text = *all ? all : berth_test_format("%s", buffer.data);
    berth_buffer_deinit(&buffer);
    berth_config_deinit(&config);
    return text;
}

static void options_are_written_without_comments(void)
{
    CHECK_STR(
        written("{ /* a */ \"a\" : [ 1e3 , true, null ], // x\n \"\\u0062\": \"\\n\\\\\" }", false),
        "{\"a\":[1e3,true,null],\"b\":\"\\n\\\\\"}");
    CHECK_STR(written("{}", true), "{}");
}

static void references_stand_for_strings(void)
{
    const char *file = berth_test_format("%s/secret", berth_test_dir());
    const char *both = berth_test_format(
        "{\"a\": {\"$file\": \"%s\"}, \"b\": [{\"$env\": \"BERTH_TEST_SECRET\"}]}", file);

    berth_test_write(file, "s\"3\n\n", 5);
    setenv("BERTH_TEST_SECRET", "fromthere", 1);
    CHECK_STR(written(both, true), "{\"a\":\"s\\\"3\\n\",\"b\":[\"fromthere\"]}");
    CHECK_STR(written(both, false), "{\"a\":\"\",\"b\":[\"\"]}");
    CHECK_STR(written("{\"a\": {\"$file\": \"x\", \"b\": 1}}", true),
              "{\"a\":{\"$file\":\"x\",\"b\":1}}");

    setenv("BERTH_TEST_SECRET",
           "s3cr\xff"
           "3t",
           1);
    CHECK_CONTAINS(written(both, true), "BERTH_TEST_SECRET: it is not a text");
    CHECK(!strstr(written(both, true), "s3cr"));
    unsetenv("BERTH_TEST_SECRET");
    CHECK_CONTAINS(written(both, true), "$BERTH_TEST_SECRET is not set");
    berth_test_write(file, "s3\0cr", 5);
    CHECK_CONTAINS(written(both, true), "secret: it is not a text");
    unlink(file);
    CHECK_CONTAINS(written(both, true), "secret: No such file");
    CHECK_CONTAINS(written(both, false), "secret: No such file");
}

/* ---- the search ---- */

/* Copies a fixture to DIR/NAME, DIR being one of this test's. */
static void put(const char *directory, const char *fixture, const char *name)
{
    const char *place = berth_test_format("%s/%s", berth_test_dir(), directory);
    size_t size;
    char *data = berth_test_read(berth_test_fixture(fixture), &size);

    mkdir(place, 0700);
    berth_test_write(berth_test_format("%s/%s", place, name), data, size);
}

static void begin_search(struct berth_search *search)
{
    static const char *const places[] = { "a", "missing", "b" };
    struct berth_error error = { 0 };

    berth_search_init(search);
    for (size_t i = 0; i < COUNT(places); i++)
        CHECK_CODE(berth_search_add(search, berth_test_format("%s/%s", berth_test_dir(), places[i]),
                                    "--path", &error),
                   BERTH_OK, &error);
}

/* What is found, below the test's directory; or the error. */
static const char *found(const char *name, const char *range)
{
    struct berth_search search;
    struct berth_search_result result;
    struct berth_error error = { 0 };

    begin_search(&search);
    int code = berth_search_find(&search, name, range, false, &result, &error);
    const char *text = code == BERTH_OK
                           ? berth_test_format("%s", result.file + strlen(berth_test_dir()) + 1)
                           : berth_test_format("%s: %s", berth_code_name(code), error.text);
    berth_search_deinit(&search);
    return text;
}

static void the_first_directory_that_will_do_wins(void)
{
    put("a", "counter", "counter.so");
    put("b", "counter", "counter.so");
    CHECK_STR(found("counter", NULL), "a/counter.so");
    put("b", "counter_v2", "counter-1.1.0.so");
    CHECK_STR(found("counter", NULL), "a/counter.so");
    CHECK_STR(found("counter", "^1.1"), "b/counter-1.1.0.so");
    CHECK_STR(found("counter", "<1.1"), "a/counter.so");
}

static void the_highest_version_of_a_directory_wins(void)
{
    put("a", "counter", "counter.so");
    put("a", "counter_v2", "counter-1.1.0.so");
    CHECK_STR(found("counter", NULL), "a/counter-1.1.0.so");
    CHECK_STR(found("counter", "~1.0"), "a/counter.so");
    CHECK_CONTAINS(found("counter", "^3"), "not_found: counter: no such module of version ^3");
    CHECK_CONTAINS(found("counter", "^3"), "a/counter.so (version 1.0.0 is not in ^3)");
}

static void what_is_no_module_is_passed_over(void)
{
    put("a", "math", "other.so");
    put("b", "math", "math.so");
    berth_test_write(berth_test_format("%s/a/math.so", berth_test_dir()), "text", 4);
    CHECK_STR(found("math", NULL), "b/math.so");
    put("a", "math", "math-7.0.0.so"); /* is not what its name says */
    put("a", "math", "math-1.2.so");   /* no version */
    put("a", "math", "math_1.2.0.so"); /* another name */
    CHECK_STR(found("math", NULL), "b/math.so");
    put("a", "math", "math-1.2.0.so");
    CHECK_STR(found("math", NULL), "a/math-1.2.0.so");
}

static void a_name_that_is_not_found_says_where(void)
{
    const char *said = found("nothing", NULL);
    CHECK_CONTAINS(said, "not_found: nothing: no such module: searched /");
    CHECK_CONTAINS(said, "/a, ");
    CHECK_CONTAINS(said, "/missing, ");
    CHECK_CONTAINS(found("Nothing", NULL), "invalid_argument: Nothing: a module's name is");
    CHECK_CONTAINS(found("", NULL), "invalid_argument: ");
}

static void words_with_a_slash_or_so_are_files(void)
{
    CHECK(berth_search_is_file("./math"));
    CHECK(berth_search_is_file("math.so"));
    CHECK(berth_search_is_file("lib/math"));
    CHECK(!berth_search_is_file("math"));
    CHECK(!berth_search_is_file(".so"));
    CHECK(!berth_search_is_file("math.sox"));
    CHECK(berth_search_is_file("")); /* which whoever opens it will refuse */
}

/* ---- modules ---- */

static const char *checked(const char *text)
{
    struct berth_config config;
    struct berth_search search;
    struct berth_error error = { 0 };

    read_text(&config, text);
    begin_search(&search);
    CHECK_CODE(berth_config_check(&config, &search, false, &error), BERTH_OK, &error);
    const char *all = problems_of(&config);
    berth_search_deinit(&search);
    berth_config_deinit(&config);
    return all;
}

static void options_are_checked_by_the_manifest(void)
{
    put("a", "options", "options.so");
    CHECK_STR(
        checked("{\"modules\": {\"options\": {\"options\": {\"limit\": 5, \"title\": "
                "{\"$env\": \"X\"}, \"note\": null, \"words\": [\"a\", {\"$env\": \"X\"}]}}}}"),
        "");
    CHECK_STR(checked("{\"modules\": {\"x\": {\"file\": \"options\", \"options\": {\n"
                      "\"limt\": 5,\n\"level\": 256,\n\"verbose\": 1,\n\"words\": [1],\n"
                      "\"ratio\": {\"$env\": \"X\"}, \"xyzzy\": 1}}}}"),
              "2:1: modules.x: options 1.0.0 has no option \"limt\"; did you mean \"limit\"?\n"
              "3:10: modules.x: option level: 256 is out of range for u8 (0 to 255)\n"
              "4:12: modules.x: option verbose: 1 is not true or false (bool)\n"
              "5:10: modules.x: option words[0]: 1 is not a string (array(string))\n"
              "6:10: modules.x: option ratio is of type f64, and a reference stands for a string\n"
              "6:25: modules.x: options 1.0.0 has no option \"xyzzy\"; berth show lists those that "
              "it has\n");
}

static void modules_are_looked_at(void)
{
    put("a", "math", "math.so");
    put("a", "requirer", "requirer.so");
    CHECK_STR(checked("{\"modules\": {\"math\": {\"version\": \"^1.2\"}, \"requirer\": {}}}"), "");
    CHECK_CONTAINS(checked("{\"modules\": {\"math\": {\"version\": \"^9\"}}}"),
                   "1:14: modules.math: math: no such module of version ^9: there is ");
    CHECK_CONTAINS(checked("{\"modules\": {\"requirer\": {}}}"),
                   "1:14: modules.requirer requires math");
    CHECK_CONTAINS(checked("{\"modules\": {\"none\": {}}}"), "1:14: modules.none: none: no such");
    CHECK_CONTAINS(checked("{\"modules\": {\"none\": {\"optional\": true}}}"),
                   "1:14: warning: modules.none: none: no such");
    CHECK_CONTAINS(checked("{\"modules\": {\"m\": {\"file\": \"/nowhere.so\"}}}"),
                   "1:28: modules.m: /nowhere.so: ");
    const char *file = berth_test_format("%s/a/math.so", berth_test_dir());
    CHECK_CONTAINS(checked(berth_test_format(
                       "{\"modules\": {\"m\": {\"file\": \"%s\", \"version\": \"^9\"}}}", file)),
                   "math.so is of version 1.2.0, which is not in ^9");
}

/* ---- without memory ---- */

static const char all_of_it[] =
    "{\"name\": \"a\\u0062\", \"path\": [\"x\"], \"nam\": 1, \"threads\": 0, /* x */"
    "\"modules\": {\"options\": {\"options\": {\"title\": \"\\n\", \"limt\": 1, \"words\": [\"x\"],"
    " \"note\": {\"$env\": \"HOME\"}}}, \"none\": {}}, \"permissions\": {\"mode\": \"listed\","
    "\"grants\": {\"*\": {\"call\": [\"options.xyzzy\", \"a.*\"], \"publish\": [\">\"]}}}}";

static int read_and_check(const char *place, size_t *ret_problems)
{
    struct berth_config config;
    struct berth_search search;
    struct berth_error error = { 0 };

    berth_search_init(&search);
    int code = berth_search_add(&search, place, "--path", &error);
    int parsed = berth_config_parse(&config, "x.conf", all_of_it, strlen(all_of_it), &error);
    if (code == BERTH_OK)
        code = parsed;
    if (code == BERTH_OK)
        code = berth_config_check(&config, &search, true, &error);
    if (code == BERTH_OK)
        code = berth_config_permit(&config, false, false, &error);
    if (code == BERTH_OK)
        CHECK_STR(config.host.permissions,
                  "{\"mode\":\"listed\",\"record\":false,\"grants\":{\"*\":{\"call\":"
                  "[\"options.xyzzy\",\"a.*\"],\"publish\":[\">\"]}}}");
    *ret_problems = config.problems.count;
    berth_config_deinit(&config);
    berth_search_deinit(&search);
    return code;
}

/* ---- while a host runs by it ---- */

/* The problems of a second text, by which a host that runs by the first one cannot go on. */
static const char *changes(const char *running, const char *next)
{
    struct berth_config a, b;

    read_text(&a, running);
    read_text(&b, next);
    CHECK_INT(a.problems.count, 0);
    berth_config_compare(&a, &b);
    const char *text = problems_of(&b);
    berth_config_deinit(&a);
    berth_config_deinit(&b);
    return text;
}

static void what_is_the_hosts_for_life_cannot_change(void)
{
    const char *all = "{\"name\": \"a\", \"threads\": 2, \"limits\": {\"max_message\": 4096,"
                      " \"mailbox_messages\": 1, \"call_timeout\": \"1s\"},"
                      " \"log\": {\"level\": \"error\"}}";

    CHECK_STR(changes(all, all), "");
    CHECK_STR(changes("{\"limits\": {\"call_timeout\": \"1000ms\"}}",
                      "{\"limits\": {\"call_timeout\": \"1s\"}, \"log\": {}}"),
              "");
    CHECK_STR(changes("{}", "{\"$schema\": \"x\", \"path\": [\"x\"], \"modules\": {\"m\": {}}}"),
              "");
    CHECK_STR(
        changes("{\"name\": \"a\", \"log\": {\"level\": \"error\"}}",
                "{\"limits\":\n {\"mailbox_messages\": 2}, \"name\": \"b\",\n \"log\": {}}"),
        "2:3: limits.mailbox_messages cannot be changed while the host runs: set it back, or "
        "start the host anew\n"
        "2:27: name cannot be changed while the host runs: set it back, or start the host "
        "anew\n"
        "3:2: log.level, left out now, cannot be changed while the host runs: set it back, or "
        "start the host anew; meanwhile there is berth log --set\n");
    CHECK_CONTAINS(changes("{}", "{\"permissions\": {\"mode\": \"open\"}}"),
                   "anew; meanwhile there is berth call host.permit\n");
    CHECK_CONTAINS(changes(all, "{}"), "1:1: threads, left out now, cannot be changed");
    CHECK_CONTAINS(changes("{}", all), "limits.call_timeout cannot be changed");
    CHECK_STR(changes("{\"limits\": {\"call_timeouts\": {\"m.f\": \"1s\"}}}",
                      "{\"limits\": {\"call_timeouts\": {\"m.f\": \"1000ms\"}}}"),
              "");
    CHECK_CONTAINS(changes("{\"limits\": {\"call_timeouts\": {\"m.f\": \"1s\"}}}",
                           "{\"limits\": {\"call_timeouts\": {\"m.f\": \"2s\"}}}"),
                   "anew; meanwhile there is berth call host.call_timeout\n");
    CHECK_STR(changes(all, "{"), "1:2: expected a key in quotes, not the end of the text\n");
}

static void missing_memory_is_an_error(void)
{
    const char *place = berth_test_format("%s/a", berth_test_dir());
    size_t problems, expected = 0;

    put("a", "options", "options.so");
    if (!berth_fault_works())
        berth_skip("no malloc of our own here");
    CHECK_CODE(read_and_check(place, &expected), BERTH_OK, NULL);
    CHECK_INT(expected, 5);
    for (unsigned long k = 1;; k++) {
        long before = berth_fault_live();
        berth_fault_arm(k, false);
        int code = read_and_check(place, &problems);
        bool hit = berth_fault_disarm();
        if (!berth_test_instrumented()) /* a sanitizer counts for itself, and what scandir has */
            CHECK_INT(berth_fault_live(), before);
        if (!hit) {
            CHECK_CODE(code, BERTH_OK, NULL);
            break;
        }
        if (code == BERTH_OK)
            CHECK_INT(problems, expected);
        else
            CHECK_CODE(code, BERTH_RESOURCE_EXHAUSTED, NULL);
    }
}

/* Many keys, and many problems, take no more than their number of steps. */
static void large_ones_are_read_in_time(void)
{
    enum { MANY = 100000 };
    char *text = berth_test_alloc(MANY * 10 + 3), *at = text;

    *at++ = '{';
    for (int i = 0; i < MANY; i++)
        at += sprintf(at, "\"%05x\":1%s", i, i < MANY - 1 ? "," : "}");
    struct berth_config config;
    read_text(&config, text);
    CHECK_INT(config.problems.count, MANY);
    CHECK_INT(berth_problems_sort(&config.problems)[MANY - 1].column, 2 + (MANY - 1) * 10);
    berth_config_deinit(&config);
}

static const struct berth_test tests[] = {
    { "every_key_goes_where_it_belongs", every_key_goes_where_it_belongs },
    { "a_restart_policy_is_a_word_or_numbers", a_restart_policy_is_a_word_or_numbers },
    { "what_is_not_said_keeps_its_default", what_is_not_said_keeps_its_default },
    { "what_is_wrong_is_not_taken", what_is_wrong_is_not_taken },
    { "problems_say_where_and_what_to_do", problems_say_where_and_what_to_do },
    { "an_error_of_syntax_is_the_last_of_all", an_error_of_syntax_is_the_last_of_all },
    { "comments_are_blanks", comments_are_blanks },
    { "json_has_no_comments", json_has_no_comments },
    { "the_manual_has_every_key", the_manual_has_every_key },
    { "the_schema_is_that_of_the_table", the_schema_is_that_of_the_table },
    { "the_corpus_is_told_apart", the_corpus_is_told_apart },
    { "quantities_are_read_and_printed", quantities_are_read_and_printed },
    { "paths_are_relative_to_the_file", paths_are_relative_to_the_file },
    { "options_are_written_without_comments", options_are_written_without_comments },
    { "references_stand_for_strings", references_stand_for_strings },
    { "the_first_directory_that_will_do_wins", the_first_directory_that_will_do_wins },
    { "the_highest_version_of_a_directory_wins", the_highest_version_of_a_directory_wins },
    { "what_is_no_module_is_passed_over", what_is_no_module_is_passed_over },
    { "a_name_that_is_not_found_says_where", a_name_that_is_not_found_says_where },
    { "words_with_a_slash_or_so_are_files", words_with_a_slash_or_so_are_files },
    { "options_are_checked_by_the_manifest", options_are_checked_by_the_manifest },
    { "modules_are_looked_at", modules_are_looked_at },
    { "what_is_the_hosts_for_life_cannot_change", what_is_the_hosts_for_life_cannot_change },
    { "missing_memory_is_an_error", missing_memory_is_an_error },
    { "large_ones_are_read_in_time", large_ones_are_read_in_time },
};

int main(int argc, char **argv)
{
    return berth_suite_main("config", tests, COUNT(tests), argc, argv);
}
