/* SPDX-License-Identifier: MIT */
#include "runtime/image/manifest.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "runtime/base/error.h"
#include "tests/support/fault.h"
#include "tests/support/suite.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* R("key=value\0key=value"): the literal's own NUL ends the record. */
#define R(literal)                                            \
    {                                                         \
        .type = 1, .text = (literal), .size = sizeof(literal) \
    }
#define UNIT   R("unit=\0abi=1\0api=1\0header=0.1.0")
#define MODULE R("module=m\0version=1.2.3\0doc=Words.")

static const struct berth_record whole[] = {
    R("module=greet\0version=1.2.0-rc.1+b5\0doc=Says hello.\nIn two lines."),
    UNIT,
    R("unit=\0abi=1\0api=2\0header=0.10.0"),
    R("requires=log\0range=^1.2"),
    R("requires=clock\0range=>=1 <3"),
    R("concurrency=parallel"),
    R("option=limit\0type=i64\0default=1000\0doc=How many."),
    R("option=names\0type=array(string)\0default=([\"a\", \"b\"])\0doc="),
    R("option=eager\0type=_Bool\0default=1\0doc=At once?"),
    R("struct=line\0field=point:from:\0field=point:to:the end\0"),
    R("struct=point\0field=f64:x:across\0field=f64:y:\0"),
    R("handle=cursor\0release=close\0doc=A place."),
    R("handle=store_row\0of=store.row"),
    R("export=hello\0returns=string\0doc=Greets: by name.\0param=string:name:whom: anybody\0"
      "param=optional(string):greeting:\0"),
    R("export=close\0returns=void\0doc=Ends one.\0param=cursor:cursor:\0"),
    R("export=lines\0returns=array(line)\0doc=\0param=store_row:row:\0"),
    R("import=log.write\0returns=void\0param=string:text:\0"),
    R("import=log.write\0returns=void\0alias=write\0param=string:other_name:\0"),
    R("import=clock.now\0returns=i64\0"),
    R("import=clock.set\0returns=void\0param=i64:ns:\0"),
    R("import=clock.set\0returns=void\0alias=set\0full=block\0param=i64:ns:\0"),
    R("import=log.drop\0returns=void\0full=drop_oldest\0"),
    R("topic=greet.done\0name=done\0last=1\0priority=control\0param=string:name:\0"
      "param=u32:times:how often\0"),
    R("subscribe=clock.>\0handler=on_tick\0param=i64:ns:\0"),
    R("subscribe=clock.>\0handler=on_all\0any=1\0full=drop_oldest\0group=ears\0tries=3\0"
      "param=string:topic:\0param=json:fields:\0"),
    R("hook=start\0"),
    R("hook=save\0version=7\0"),
    R("hook=restore\0param=u32:version:\0param=bytes:state:\0"),
    R("colour=blue\0shade=\"dark\""),
    R("export=later\0returns=void\0doc=\0since=2.0"),
};

static void address(struct berth_record *records, size_t count)
{
    for (size_t i = 0; i < count; i++)
        records[i].address = 0x1000 + 16 * i;
}

static struct berth_record *copy_of(const struct berth_record *records, size_t count)
{
    struct berth_record *copy = berth_test_alloc(count * sizeof(*copy));
    memcpy(copy, records, count * sizeof(*copy));
    address(copy, count);
    return copy;
}

static struct berth_manifest *read_all(const struct berth_record *records, size_t count)
{
    struct berth_manifest *manifest = NULL;
    struct berth_error error;
    CHECK_CODE(berth_manifest_new(copy_of(records, count), count, &manifest, &error), BERTH_OK,
               &error);
    REQUIRE(manifest != NULL);
    return manifest;
}

static char *printed(const struct berth_manifest *manifest, bool json)
{
    struct berth_buffer buffer;
    struct berth_error error;

    berth_buffer_init(&buffer, 0);
    CHECK_CODE(json ? berth_manifest_json(manifest, &buffer, &error)
                    : berth_manifest_print(manifest, &buffer, &error),
               BERTH_OK, &error);
    char *text = berth_test_format("%s", buffer.data);
    berth_buffer_deinit(&buffer);
    return text;
}

/* ---- What is in it ---- */

static void all_kinds_are_read(void)
{
    struct berth_manifest *m = read_all(whole, COUNT(whole));

    CHECK_STR(m->name, "greet");
    CHECK_STR(m->version, "1.2.0-rc.1+b5");
    CHECK_STR(m->semver.prerelease, "rc.1");
    CHECK_INT(m->abi, 1);
    CHECK_INT(m->api, 2);
    CHECK_STR(m->header, "0.10.0");
    CHECK(m->parallel);
    REQUIRE(m->require_count == 2);
    CHECK_STR(m->requires[0].module, "clock");
    CHECK_INT(m->requires[0].parsed.count, 2);
    REQUIRE(m->option_count == 3);
    CHECK_STR(m->options[0].name, "eager");
    CHECK_STR(m->options[0].default_json, "true");
    CHECK_STR(m->options[1].default_json, "1000");
    CHECK_INT(m->options[1].address, 0x1000 + 16 * 6);
    CHECK_STR(m->options[2].default_json, "[\"a\", \"b\"]");
    CHECK(berth_manifest_find_option(m, "limit") == &m->options[1]);
    CHECK(berth_manifest_find_option(m, "limits") == NULL);
    REQUIRE(m->export_count == 4);
    CHECK_STR(m->exports[1].name, "hello");
    CHECK_STR(m->exports[1].doc, "Greets: by name.");
    CHECK_STR(m->exports[1].signature->identity, "(string,optional(string))string");
    CHECK_STR(m->exports[1].signature->parameters[0].doc, "whom: anybody");
    CHECK(berth_manifest_find_export(m, "hello") == &m->exports[1]);
    CHECK(berth_manifest_find_export(m, "hell") == NULL);
    REQUIRE(m->import_count == 4);
    CHECK(m->imports[1].full == BERTH_FULL_BLOCK && !m->imports[0].has_full);
    CHECK_STR(m->imports[3].name, "log.write");
    CHECK_STR(m->imports[3].module, "log");
    CHECK_STR(m->imports[3].function, "write");
    REQUIRE(m->topic_count == 1);
    CHECK_STR(m->topics[0].topic, "greet.done");
    CHECK_STR(m->topics[0].name, "done");
    REQUIRE(m->subscribe_count == 2);
    CHECK_STR(m->subscribes[0].handler, "on_all");
    CHECK(m->subscribes[0].any && !m->subscribes[1].any);
    CHECK(m->hooks[BERTH_HOOK_START] && !m->hooks[BERTH_HOOK_STOP]);
    CHECK(m->hooks[BERTH_HOOK_SAVE] && m->hooks[BERTH_HOOK_RESTORE]);
    CHECK_INT(m->state_version, 7);
    REQUIRE(m->other_count == 2);
    CHECK_STR(m->others[0].text, "{\"export\":\"later\",\"since\":\"2.0\"}");
    CHECK_STR(m->others[1].kind, "colour");
    CHECK_STR(m->others[1].text, "{\"colour\":\"blue\",\"shade\":\"\\\"dark\\\"\"}");
    berth_manifest_unref(m);
}

static void records_are_found_by_address(void)
{
    struct berth_manifest *m = read_all(whole, COUNT(whole));
    size_t links = 0;
    char name[64];

    for (size_t i = 0; i < COUNT(whole); i++) {
        const struct berth_manifest_item *item = berth_manifest_find_item(m, 0x1000 + 16 * i);
        const char *text = whole[i].text;
        if (!item)
            continue;
        links++;
        berth_manifest_describe(m, item, name, sizeof(name));
        if (item->kind == BERTH_ITEM_EXPORT)
            CHECK_STR(m->exports[item->index].name, text + strlen("export="));
        else if (item->kind == BERTH_ITEM_IMPORT)
            CHECK_STR(m->imports[item->index].name, text + strlen("import="));
        else if (item->kind == BERTH_ITEM_TOPIC)
            CHECK_STR(name, "topic greet.done");
        else if (item->kind == BERTH_ITEM_SUBSCRIBE)
            CHECK_CONTAINS(name, "handler on_");
        else if (item->kind == BERTH_ITEM_HOOK)
            CHECK_STR(berth_hook_name((enum berth_hook)item->index), text + strlen("hook="));
        else
            CHECK_STR(name, "unit");
    }
    CHECK_INT(links, 18);
    CHECK(berth_manifest_find_item(m, 0) == NULL);
    CHECK(berth_manifest_find_item(m, 0x1008) == NULL);
    CHECK(berth_manifest_find_item(m, UINT64_MAX) == NULL);
    /* One import in two files. */
    CHECK_INT(berth_manifest_find_item(m, 0x1000 + 16 * 16)->index, 3);
    CHECK_INT(berth_manifest_find_item(m, 0x1000 + 16 * 17)->index, 3);
    berth_manifest_unref(m);
}

static void the_order_of_records_is_nothing(void)
{
    struct berth_record *records = copy_of(whole, COUNT(whole));
    struct berth_manifest *m = read_all(whole, COUNT(whole));
    const char *json = printed(m, true);

    berth_manifest_unref(m);
    for (int round = 0; round < 50; round++) {
        for (size_t i = COUNT(whole) - 1; i > 0; i--) {
            size_t j = (size_t)berth_test_random_below(i + 1);
            struct berth_record swap = records[i];
            records[i] = records[j];
            records[j] = swap;
        }
        struct berth_error error;
        CHECK_CODE(berth_manifest_new(records, COUNT(whole), &m, &error), BERTH_OK, &error);
        CHECK_STR(printed(m, true), json);
        berth_manifest_unref(m);
    }
}

/* ---- How it looks ---- */

static const char words[] = "greet 1.2.0-rc.1+b5 \xe2\x80\x94 Says hello.\n  In two lines.\n"
                            "  parallel, made with berth 0.10.0 (ABI 1, API 2)\n"
                            "\nFunctions\n"
                            "  close(cursor cursor)\n"
                            "      Ends one.\n"
                            "  hello(string name, optional(string) greeting) -> string\n"
                            "      Greets: by name.\n"
                            "        name  whom: anybody\n"
                            "  later()\n"
                            "  lines(store_row row) -> array(line)\n"
                            "\nPublishes\n"
                            "  greet.done(string name, u32 times), kept as its current value, "
                            "of priority control\n"
                            "        times  how often\n"
                            "\nSubscribes to\n"
                            "  clock.>, of any type, handled by on_all, dropping the oldest, "
                            "one of group ears, with 3 tries\n"
                            "  clock.>(i64 ns), handled by on_tick\n"
                            "\nRequires\n"
                            "  clock >=1 <3\n"
                            "  log ^1.2\n"
                            "\nImports\n"
                            "  clock.now() -> i64\n"
                            "  clock.set(i64 ns), waiting for room when it is started or sent\n"
                            "  log.drop(), dropping the oldest when it is sent\n"
                            "  log.write(string text)\n"
                            "\nOptions\n"
                            "  bool eager = true\n"
                            "      At once?\n"
                            "  i64 limit = 1000\n"
                            "      How many.\n"
                            "  array(string) names = [\"a\", \"b\"]\n"
                            "\nTypes\n"
                            "  cursor is a handle, ended by close\n"
                            "      A place.\n"
                            "  store_row is a handle of store.row\n"
                            "  point { f64 x, f64 y }\n"
                            "        x  across\n"
                            "  line { point from, point to }\n"
                            "        to  the end\n"
                            "\nLife\n"
                            "  start, save (state of version 7), restore\n"
                            "\nNot known to this berth\n"
                            "  {\"export\":\"later\",\"since\":\"2.0\"}\n"
                            "  {\"colour\":\"blue\",\"shade\":\"\\\"dark\\\"\"}\n";

/* clang-format off */
#define P(name, type, doc) "{\"name\":\"" name "\",\"type\":\"" type "\",\"doc\":\"" doc "\"}"
static const char json[] =
    "{\"berth\":1,\"module\":\"greet\",\"version\":\"1.2.0-rc.1+b5\","
    "\"doc\":\"Says hello.\\nIn two lines.\",\"abi\":1,\"api\":2,\"header\":\"0.10.0\","
    "\"concurrency\":\"parallel\",\"requires\":{\"clock\":\">=1 <3\",\"log\":\"^1.2\"},"
    "\"options\":{\"eager\":{\"type\":\"bool\",\"default\":true,\"doc\":\"At once?\"},"
    "\"limit\":{\"type\":\"i64\",\"default\":1000,\"doc\":\"How many.\"},"
    "\"names\":{\"type\":\"array(string)\",\"default\":[\"a\", \"b\"],\"doc\":\"\"}},"
    "\"types\":{\"cursor\":{\"handle\":{\"module\":\"greet\",\"kind\":\"cursor\","
    "\"release\":\"close\"},\"doc\":\"A place.\"},"
    "\"store_row\":{\"handle\":{\"module\":\"store\",\"kind\":\"row\"},\"doc\":\"\"},"
    "\"point\":{\"struct\":[" P("x", "f64", "across") "," P("y", "f64", "") "],\"doc\":\"\"},"
    "\"line\":{\"struct\":[" P("from", "point", "") "," P("to", "point", "the end")
    "],\"doc\":\"\"}},\"functions\":{"
    "\"close\":{\"doc\":\"Ends one.\",\"parameters\":[" P("cursor", "cursor", "")
    "],\"result\":\"void\"},"
    "\"hello\":{\"doc\":\"Greets: by name.\",\"parameters\":["
    P("name", "string", "whom: anybody") "," P("greeting", "optional(string)", "")
    "],\"result\":\"string\"},\"later\":{\"doc\":\"\",\"parameters\":[],\"result\":\"void\"},"
    "\"lines\":{\"doc\":\"\",\"parameters\":[" P("row", "store_row", "")
    "],\"result\":\"array(line)\"}},"
    "\"imports\":[{\"function\":\"clock.now\",\"parameters\":[],\"result\":\"i64\"},"
    "{\"function\":\"clock.set\",\"parameters\":[" P("ns", "i64", "")
    "],\"result\":\"void\",\"full\":\"block\"},"
    "{\"function\":\"log.drop\",\"parameters\":[],\"result\":\"void\",\"full\":\"drop_oldest\"},"
    "{\"function\":\"log.write\",\"parameters\":[" P("text", "string", "")
    "],\"result\":\"void\"}],"
    "\"topics\":{\"greet.done\":{\"name\":\"done\",\"last\":true,\"priority\":\"control\","
    "\"parameters\":["
    P("name", "string", "") "," P("times", "u32", "how often") "]}},"
    "\"subscribes\":[{\"topic\":\"clock.>\",\"handler\":\"on_all\",\"any\":true,"
    "\"full\":\"drop_oldest\",\"tries\":3,\"group\":\"ears\",\"parameters\":["
    P("topic", "string", "") "," P("fields", "json", "") "]},"
    "{\"topic\":\"clock.>\",\"handler\":\"on_tick\",\"any\":false,"
    "\"full\":\"reject\",\"tries\":1,\"parameters\":["
    P("ns", "i64", "") "]}],"
    "\"hooks\":[\"start\",\"save\",\"restore\"],\"state\":{\"version\":7},"
    "\"other\":[{\"export\":\"later\",\"since\":\"2.0\"},"
    "{\"colour\":\"blue\",\"shade\":\"\\\"dark\\\"\"}]}";
/* clang-format on */

static void it_is_printed(void)
{
    struct berth_manifest *m = read_all(whole, COUNT(whole));
    CHECK_STR(printed(m, false), words);
    CHECK_STR(printed(m, true), json);
    berth_manifest_unref(m);
}

static void a_small_one_is_printed(void)
{
    static const struct berth_record records[] = {
        UNIT, R("module=m\0version=0.0.1\0doc=\x1b[31mred\x07\t\xc2\x9b"
                "5m \xc3\xa4")
    };
    struct berth_manifest *m = read_all(records, COUNT(records));
    CHECK_STR(printed(m, false), "m 0.0.1 \xe2\x80\x94 ?[31mred? ?5m \xc3\xa4\n"
                                 "  serial, made with berth 0.1.0 (ABI 1, API 1)\n");
    CHECK_CONTAINS(printed(m, true), "\"options\":{},\"types\":{},\"functions\":{},\"imports\":[]");
    CHECK_CONTAINS(printed(m, true), "\"hooks\":[],\"state\":null,\"other\":[]}");
    berth_manifest_unref(m);
}

static void printing_stops_at_a_limit(void)
{
    struct berth_manifest *m = read_all(whole, COUNT(whole));
    struct berth_buffer buffer;
    struct berth_error error;

    berth_buffer_init(&buffer, 100);
    CHECK_CODE(berth_manifest_json(m, &buffer, &error), BERTH_RESOURCE_EXHAUSTED, &error);
    berth_buffer_deinit(&buffer);
    berth_manifest_unref(m);
}

/* ---- What is refused: a unit and a module, and up to four records more ---- */

struct faults {
    char text[2048]; /* a line for each */
    size_t count;
};

static void note_fault(void *user, const struct berth_error *fault)
{
    struct faults *faults = user;
    size_t length = strlen(faults->text);
    snprintf(faults->text + length, sizeof(faults->text) - length, "%s\n", fault->text);
    faults->count++;
}

static void wrong_records_are_named(void)
{
    static const struct {
        struct berth_record records[4];
        int code;
        const char *words;
    } cases[] = {
#define LOST BERTH_DATA_LOSS
#define BAD  BERTH_INVALID_ARGUMENT
        { { { .type = 2, .text = "x=1", .size = 4 } }, BERTH_UNIMPLEMENTED, "newer berth" },
        { { { .type = 1, .text = "x=1", .size = 3 } }, LOST, "does not end in NUL" },
        { { { .type = 1, .text = "x=1", .size = 0 } }, LOST, "does not end in NUL" },
        { { { .type = 1, .text = "\0\0", .size = 3 } }, LOST, "empty" },
        { { R("x=\xff") }, BAD, "not UTF-8 (byte 2, after \"x=" },
        { { R("word") }, LOST, "\"word\" where key=value" },
        { { R("x=1\0Word=2") }, LOST, "\"Word=2\" where key=value" },
        { { R("x=1\0=2") }, LOST, "\"=2\" where key=value" },
        { { R("x=1\0a b=2") }, LOST, "\"a b=2\" where key=value" },
        { { R("!export=f") },
          BERTH_UNIMPLEMENTED,
          "!export \"f\": \"!export\" must be understood" },
        { { R("export=f\0returns=void\0!atomic=1") },
          BERTH_UNIMPLEMENTED,
          "export \"f\": \"!atomic\" must be understood" },
        { { R("export=f\0doc=a\0doc=b\0returns=void") }, LOST, "export \"f\": \"doc\" is there" },
        { { R("export=f") }, LOST, "export \"f\": \"returns\" is missing" },
        { { R("requires=log") }, LOST, "\"range\" is missing" },
        /* module, unit */
        { { R("module=n\0version=1.0.0\0doc=") }, BAD, "the module \"m\" 1.2.3 already" },
        { { R("module=m\0version=2.0.0\0doc=") }, BAD, "the module \"m\" 1.2.3 already" },
        { { R("unit=\0abi=2\0api=1\0header=0.1.0") }, BAD, "ABI revisions 1 and 2" },
        { { R("unit=\0abi=1\0api=1\0header=new") }, BAD, "\"new\", which is not a version" },
        { { R("unit=\0abi=one\0api=1\0header=0.1.0") }, BAD, "\"one\", which is not a number" },
        { { R("unit=\0abi=1\0api=4294967296\0header=0.1.0") }, BAD, "not a number below 2^32" },
        { { R("concurrency=sometimes") }, BAD, "\"serial\", \"reentrant\" and \"parallel\"" },
        { { R("concurrency=serial"), R("concurrency=parallel") }, BAD, "as well" },
        /* requires */
        { { R("requires=Log\0range=*") }, BAD, "\"Log\" is not a name" },
        { { R("requires=log\0range=latest") }, BAD, "\"latest\" is not a range" },
        { { R("requires=log\0range=^1"), R("requires=log\0range=^2") }, BAD, "\"^1\" and \"^2\"" },
        { { R("requires=m\0range=*") }, BAD, "cannot require itself" },
        /* types */
        { { R("struct=s\0field=s:s:") }, BAD, "struct \"s\": it contains itself" },
        { { R("struct=a\0field=b:b:"), R("struct=b\0field=array(a):a:") }, BAD, "contains itself" },
        { { R("struct=s\0field=f46:x:") }, BAD, "unknown type \"f46\"" },
        { { R("struct=s\0field=f64:x") }, LOST, "field=f64:x is not type:name:documentation" },
        { { R("struct=s\0doc=x") }, LOST, "\"field\" is missing" },
        { { R("struct=f64\0field=f64:x:") }, BAD, "struct \"f64\"" },
        { { R("struct=s\0field=f64:x:"), R("struct=s\0field=f64:y:") }, BAD, "struct \"s\"" },
        { { R("handle=h") }, BAD, "either a function that releases it, or an owner" },
        { { R("handle=h\0of=store") }, BAD, "\"store\" is not module.kind" },
        { { R("handle=h\0release=close\0doc=") }, BAD, "no such function that takes one h" },
        { { R("handle=h\0release=f\0doc="), R("export=f\0returns=void\0param=u64:h:") },
          BAD,
          "no such function that takes one h" },
        /* options */
        { { R("option=Limit\0type=i64\0default=1\0doc=") }, BAD, "\"Limit\" is not a name" },
        { { R("option=o\0type=void\0default=1\0doc=") }, BAD, "void cannot be an option's type" },
        { { R("option=o\0type=h\0default=1\0doc="), R("handle=h\0of=a.b") },
          BAD,
          "h cannot be an option's type" },
        { { R("option=o\0type=i8\0default=300\0doc=") }, BERTH_OUT_OF_RANGE, "option \"o\"" },
        { { R("option=o\0type=string\0default=text\0doc=") }, BAD, "option \"o\": its default" },
        { { R("option=o\0type=bool\0default=2\0doc=") }, BAD, "option \"o\": its default" },
        { { R("option=o\0type=i64\0default=\0doc=") }, BAD, "option \"o\": its default" },
        { { R("option=o\0type=i64\0default=1\0doc="), R("option=o\0type=i64\0default=1\0doc=") },
          BAD,
          "declared twice" },
        { { R("option=o\0type=i46\0default=1\0doc=") }, BAD, "unknown type \"i46\"" },
        /* functions */
        { { R("export=f\0returns=void"), R("export=f\0returns=void") }, BAD, "two functions" },
        { { R("export=F\0returns=void") }, BAD, "\"F\" is not a name" },
        { { R("export=f\0returns=flaot") }, BAD, "export \"f\": result: unknown type \"flaot\"" },
        { { R("export=f\0returns=void\0param=f64:errno()") }, LOST, "is not type:name:doc" },
        { { R("export=f\0returns=void\0param=f64:(*__errno_location ()):") }, BAD, "export \"f\"" },
        { { R("export=f\0returns=void\0param=f64::") }, BAD, "export \"f\"" },
        { { R("export=f\0returns=void\0param=void:x:") }, BAD, "export \"f\"" },
        { { R("export=f\0returns=void\0param=i8:a:\0param=i8:b:\0param=i8:c:\0param=i8:d:\0"
              "param=i8:e:\0param=i8:f:\0param=i8:g:\0param=i8:h:\0param=i8:i:\0param=i8:j:\0"
              "param=i8:k:\0param=i8:l:\0param=i8:m:\0param=i8:n:\0param=i8:o:\0param=i8:p:\0"
              "param=i8:q:\0param=i8:r:") },
          BAD,
          "17 parameters; at most 16" },
        { { R("import=write\0returns=void") }, BAD, "write module and function" },
        { { R("import=a.b\0returns=void"), R("import=a.b\0returns=i64") },
          BAD,
          "imported as ()void and as ()i64" },
        { { R("import=a.b\0returns=void\0full=wait") }, BAD, "reject, block or drop_oldest" },
        { { R("import=a.b\0returns=void\0full=block"), R("import=a.b\0returns=void\0full=reject") },
          BAD,
          "with full=block and with full=reject: they must be equal" },
        /* messages */
        { { R("topic=A.b\0name=x") }, BAD, "topic \"A.b\": not a topic" },
        { { R("topic=a.*\0name=x") }, BAD, "not a topic" },
        { { R("topic=a.b\0name=2x") }, BAD, "\"2x\" is not a name in C" },
        { { R("topic=a.b\0name=x"), R("topic=a.b\0name=x\0param=i8:i:") },
          BAD,
          "declared as ()void and as (i8)void" },
        { { R("topic=a.b\0name=x\0priority=high") }, BAD, "write data or control" },
        { { R("topic=a.b\0name=x\0last=1"), R("topic=a.b\0name=x") }, BAD, "must be equal" },
        { { R("subscribe=a..b\0handler=x") }, BAD, "not a pattern" },
        { { R("subscribe=a\0handler=x\0full=wait") }, BAD, "reject, block or drop_oldest" },
        { { R("subscribe=a\0handler=x\0tries=0") }, BAD, "0 tries; there are 1 to 1000" },
        { { R("subscribe=a\0handler=x\0tries=x") }, BAD, "tries is \"x\"" },
        { { R("subscribe=a\0handler=x\0group=A") }, BAD, "cannot be a group's name" },
        { { R("subscribe=a\0handler=2x") }, BAD, "\"2x\" is not a name in C" },
        { { R("subscribe=a\0handler=x"), R("subscribe=a\0handler=x") }, BAD, "handled by x twice" },
        { { R("subscribe=a\0handler=x\0any=1") }, BAD, "takes (string topic, json fields)" },
        /* hooks */
        { { R("hook=pause") }, BAD, "start, stop, save and restore" },
        { { R("hook=start"), R("hook=start") }, BAD, "there are two of them" },
        { { R("hook=start\0param=i8:x:") }, BAD, "other parameters" },
        { { R("hook=restore") }, BAD, "other parameters" },
        { { R("hook=save\0version=-1") }, BAD, "version is \"-1\"" },
        { { R("hook=save") }, BAD, "version is \"\"" },
#undef LOST
#undef BAD
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        static const struct berth_record head[] = { UNIT, MODULE };
        struct berth_record records[6];
        struct berth_manifest *manifest = NULL;
        struct berth_error error = { .text = "" };
        size_t count = 2;

        memcpy(records, head, sizeof(head));
        for (size_t j = 0; j < 4 && cases[i].records[j].text; j++)
            records[count++] = cases[i].records[j];
        address(records, count);
        /* Exact copies: reading one byte too far is then an error that ASan and valgrind see. */
        for (size_t j = 0; j < count; j++) {
            char *copy = malloc(records[j].size);
            if (records[j].size)
                memcpy(copy, records[j].text, records[j].size);
            records[j].text = copy;
        }
        int code = berth_manifest_new(records, count, &manifest, &error);
        if (code != cases[i].code || !strstr(error.text, cases[i].words))
            berth_note("case %zu (%s): %s", i, records[2].text, error.text);
        CHECK_CODE(code, cases[i].code, &error);
        CHECK_CONTAINS(error.text, cases[i].words);
        CHECK(manifest == NULL);
        struct faults faults = { 0 };
        CHECK_CODE(berth_manifest_examine(records, count, note_fault, &faults, &manifest, &error),
                   cases[i].code, &error);
        CHECK_CONTAINS(faults.text, cases[i].words);
        CHECK(manifest == NULL);
        for (size_t j = 0; j < count; j++)
            free((char *)records[j].text);
    }
}

static void all_that_is_wrong_is_told(void)
{
    static const struct berth_record several[] = {
        R("module=M\0version=1.0.0\0doc="),
        UNIT,
        R("requires=log\0range=new"),
        R("export=Add\0returns=void"),
        R("export=sum\0returns=f65"),
        R("export=twice\0returns=void"),
        R("export=twice\0returns=void"),
        R("export=twice\0returns=void"),
        R("import=log.write\0returns=void\0full=never"),
        R("word"),
    };
    static const struct berth_record structs[] = {
        MODULE,
        UNIT,
        R("struct=point\0field=f65:x:"),
        R("struct=line\0field=f66:x:"),
        R("export=at\0returns=point"), /* nothing is wrong with this one */
    };
    struct berth_manifest *manifest = NULL;
    struct faults faults = { 0 };
    struct berth_error error;

    CHECK_CODE(
        berth_manifest_examine(several, COUNT(several), note_fault, &faults, &manifest, &error),
        BERTH_DATA_LOSS, &error);
    CHECK_INT(faults.count, 7);
    CHECK_CONTAINS(faults.text, "\"word\" where key=value");
    CHECK_CONTAINS(faults.text, "module \"M\": \"M\" is not a name");
    CHECK_CONTAINS(faults.text, "requires \"log\": \"new\" is not a range");
    CHECK_CONTAINS(faults.text, "export \"Add\": ");
    CHECK_CONTAINS(faults.text, "export \"sum\": ");
    CHECK_CONTAINS(faults.text, "export \"twice\": two functions of that name");
    CHECK_CONTAINS(faults.text, "import \"log.write\": \"never\" is no policy");
    faults = (struct faults){ 0 };
    CHECK_CODE(
        berth_manifest_examine(structs, COUNT(structs), note_fault, &faults, &manifest, &error),
        BERTH_INVALID_ARGUMENT, &error);
    CHECK_INT(faults.count, 2);
    CHECK(manifest == NULL);
}

static void what_is_missing_is_named(void)
{
    static const struct berth_record unit[] = { UNIT }, module[] = { MODULE };
    static const struct berth_record old[] = { UNIT, R("module=m\0version=1.0\0doc=") };
    struct berth_manifest *manifest;
    struct berth_error error;

    CHECK_CODE(berth_manifest_new(NULL, 0, &manifest, &error), BERTH_NOT_FOUND, &error);
    CHECK_CONTAINS(error.text, "<berth/module.h>");
    CHECK_CODE(berth_manifest_new(unit, 1, &manifest, &error), BERTH_INVALID_ARGUMENT, &error);
    CHECK_CONTAINS(error.text, "no BERTH_MODULE");
    CHECK_CODE(berth_manifest_new(module, 1, &manifest, &error), BERTH_DATA_LOSS, &error);
    CHECK_CODE(berth_manifest_new(old, 2, &manifest, &error), BERTH_INVALID_ARGUMENT, &error);
    CHECK_CONTAINS(error.text, "write three numbers, like 1.0.0");
}

static void equal_records_of_two_files_are_one(void)
{
    static const struct berth_record records[] = {
        UNIT,
        UNIT,
        MODULE,
        MODULE,
        R("struct=p\0field=f64:x:"),
        R("struct=p\0field=f64:x:"),
        R("handle=h\0of=a.b"),
        R("handle=h\0of=a.b"),
        R("requires=a\0range=^1"),
        R("requires=a\0range=^1"),
        R("concurrency=serial"),
        R("concurrency=serial"),
        R("topic=a.b\0name=x\0param=p:p:"),
        R("topic=a.b\0name=x\0param=p:p:"),
    };
    struct berth_manifest *m = read_all(records, COUNT(records));
    CHECK_INT(m->require_count, 1);
    CHECK_INT(m->topic_count, 1);
    CHECK_INT(m->item_count, 4);
    CHECK(!m->parallel);
    berth_manifest_unref(m);
}

/* s0 has s1, which has s2…: in no order that a compiler would choose. */
static void structs_may_nest_to_a_depth(void)
{
    for (size_t depth = 2; depth < 30; depth++) {
        struct berth_record *records = berth_test_alloc((depth + 2) * sizeof(*records));
        struct berth_manifest *manifest = NULL;
        struct berth_error error;
        static const struct berth_record head[] = { UNIT, MODULE };

        memcpy(records, head, sizeof(head));
        for (size_t i = 0; i < depth; i++) {
            char *text = i + 1 < depth
                             ? berth_test_format("struct=s%zu|field=optional(s%zu):x:", i, i + 1)
                             : berth_test_format("struct=s%zu|field=f64:x:", i);
            size_t size = strlen(text) + 1;
            *strchr(text, '|') = '\0';
            records[2 + i] = (struct berth_record){ .type = 1, .text = text, .size = size };
        }
        address(records, depth + 2);
        int code = berth_manifest_new(records, depth + 2, &manifest, &error);
        if (depth <= BERTH_TYPE_DEPTH_MAX)
            CHECK_CODE(code, BERTH_OK, &error);
        if (code)
            CHECK_CODE(code, BERTH_INVALID_ARGUMENT, &error);
        berth_manifest_unref(manifest);
    }
}

static void large_manifests_have_a_limit(void)
{
    size_t size = (size_t)3 << 20;
    char *text = berth_test_alloc(size);
    struct berth_record records[2] = { { .type = 1, .text = text, .size = size },
                                       { .type = 1, .text = text, .size = size } };
    struct berth_manifest *manifest;
    struct berth_error error;

    memset(text, 'x', size - 1);
    text[1] = '=';
    CHECK_CODE(berth_manifest_new(records, 2, &manifest, &error), BERTH_RESOURCE_EXHAUSTED, &error);
    CHECK_CONTAINS(error.text, "more than 4194304 bytes");
}

static long most_memory(void) /* in KiB */
{
    struct rusage usage;

    REQUIRE(getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_maxrss;
}

/* As many as a file may have, each as large as it can be: what they become is bounded, too. */
static void many_structs_have_a_limit(void)
{
    enum { STRUCTS = 16384, FIELDS = 16 };
    struct berth_record *records = berth_test_alloc((STRUCTS + 2) * sizeof(*records));
    struct berth_manifest *manifest;
    struct berth_error error;

    memcpy(records, (struct berth_record[]){ MODULE, UNIT }, 2 * sizeof(*records));
    for (size_t i = 2; i < STRUCTS + 2; i++) {
        char *text = berth_test_alloc(256), *at = text;
        at += sprintf(at, "struct=s%zu", i) + 1;
        for (int field = 0; field < FIELDS; field++)
            at += sprintf(at, "field=u8:f%d:", field) + 1;
        records[i] = (struct berth_record){ .type = 1, .text = text, .size = (size_t)(at - text) };
    }
    address(records, STRUCTS + 2);
    long before = most_memory();
    CHECK_CODE(berth_manifest_new(records, STRUCTS + 2, &manifest, &error),
               BERTH_RESOURCE_EXHAUSTED, &error);
    CHECK_CONTAINS(error.text, "too many types and signatures: more than 16 MiB of them");
    long grown = most_memory() - before;
    if (!berth_test_instrumented())
        CHECK(grown < 48 << 10);
    berth_note("%ld KiB at most", grown);
}

static void running_out_of_memory_is_an_error(void)
{
    struct berth_record *records = copy_of(whole, COUNT(whole));
    long live = berth_fault_live();

    if (!berth_fault_works())
        berth_skip("allocations cannot be made to fail here");
    for (unsigned long k = 1;; k++) {
        struct berth_manifest *manifest = NULL;
        struct berth_error error;
        berth_fault_arm(k, false);
        int code = berth_manifest_new(records, COUNT(whole), &manifest, &error);
        bool failed = berth_fault_disarm();
        if (!failed) {
            CHECK_CODE(code, BERTH_OK, &error);
            berth_manifest_unref(manifest);
            CHECK(k > 10);
            break;
        }
        if (code) /* sorting does without its memory */
            CHECK_CODE(code, BERTH_RESOURCE_EXHAUSTED, &error);
        else
            berth_manifest_unref(manifest);
    }
    CHECK_INT(berth_fault_live(), live);
}

/* ---- Topics ---- */

static void topics_and_patterns_are_checked(void)
{
    static const char *const topics[] = { "a", "a.b", "a-b._c.0", "clock.tick.second" };
    static const char *const patterns[] = { "*", ">", "a.*", "*.b", "a.*.c.>", "*.*.>" };
    static const char *const neither[] = { "",      ".",   "a.", ".a", "a..b", "A",    "a b",
                                           "a.>.b", ">.a", "a*", "*a", "a>",   "a.**", "\xc3\xa4" };
    for (size_t i = 0; i < COUNT(topics); i++)
        CHECK(berth_topic_valid(topics[i]) && berth_pattern_valid(topics[i]));
    for (size_t i = 0; i < COUNT(patterns); i++)
        CHECK(!berth_topic_valid(patterns[i]) && berth_pattern_valid(patterns[i]));
    for (size_t i = 0; i < COUNT(neither); i++)
        CHECK(!berth_topic_valid(neither[i]) && !berth_pattern_valid(neither[i]));

    char longest[BERTH_TOPIC_MAX + 2] = "";
    memset(longest, 'a', BERTH_TOPIC_MAX);
    CHECK(berth_topic_valid(longest));
    longest[BERTH_TOPIC_MAX] = 'a';
    CHECK(!berth_topic_valid(longest) && !berth_pattern_valid(longest));
}

static void patterns_match_topics(void)
{
    static const struct {
        const char *pattern, *topic;
        bool matches;
    } cases[] = {
        { "a.b", "a.b", true },     { "a.b", "a.c", false },    { "a.b", "a", false },
        { "a", "a.b", false },      { "a.b", "a.bc", false },   { "a.bc", "a.b", false },
        { "*", "a", true },         { "*", "a.b", false },      { "a.*", "a.b", true },
        { "a.*", "a", false },      { "a.*", "a.b.c", false },  { "*.b", "a.b", true },
        { "*.b", "b.a", false },    { "a.*.c", "a.b.c", true }, { "a.*.c", "a.b.d", false },
        { ">", "a", true },         { ">", "a.b.c", true },     { "a.>", "a.b", true },
        { "a.>", "a.b.c", true },   { "a.>", "a", false },      { "a.>", "b.c", false },
        { "*.*.>", "a.b.c", true }, { "*.*.>", "a.b", false },  { "*", "long-token_9", true },
        { ">", "host.a", false },   { "*.a", "host.a", false }, { "host.>", "host.a", true },
        { ">", "hosts.a", true },   { "*", "host", true },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (berth_pattern_matches(cases[i].pattern, cases[i].topic) != cases[i].matches)
            berth_note("%s and %s", cases[i].pattern, cases[i].topic);
        CHECK_INT(berth_pattern_matches(cases[i].pattern, cases[i].topic), cases[i].matches);
    }
}

static const struct berth_test tests[] = {
    { "all_kinds_are_read", all_kinds_are_read },
    { "records_are_found_by_address", records_are_found_by_address },
    { "the_order_of_records_is_nothing", the_order_of_records_is_nothing },
    { "it_is_printed", it_is_printed },
    { "a_small_one_is_printed", a_small_one_is_printed },
    { "printing_stops_at_a_limit", printing_stops_at_a_limit },
    { "wrong_records_are_named", wrong_records_are_named },
    { "all_that_is_wrong_is_told", all_that_is_wrong_is_told },
    { "what_is_missing_is_named", what_is_missing_is_named },
    { "equal_records_of_two_files_are_one", equal_records_of_two_files_are_one },
    { "structs_may_nest_to_a_depth", structs_may_nest_to_a_depth },
    { "large_manifests_have_a_limit", large_manifests_have_a_limit },
    { "many_structs_have_a_limit", many_structs_have_a_limit },
    { "running_out_of_memory_is_an_error", running_out_of_memory_is_an_error },
    { "topics_and_patterns_are_checked", topics_and_patterns_are_checked },
    { "patterns_match_topics", patterns_match_topics },
};

int main(int argc, char **argv)
{
    return berth_suite_main("manifest", tests, COUNT(tests), argc, argv);
}
