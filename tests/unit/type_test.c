/* SPDX-License-Identifier: MIT */
#include "runtime/value/type.h"

#include <berth/call.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/fault.h"
#include "tests/support/suite.h"
#include "tests/support/values.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct berth_types *types;
static struct berth_error error;

static void begin(void)
{
    berth_types_free(types);
    types = berth_types_new();
    REQUIRE(types);
}

static const struct berth_type *find(const char *text)
{
    const struct berth_type *type = NULL;
    CHECK_CODE(berth_types_find(types, text, &type, &error), BERTH_OK, &error);
    REQUIRE(type);
    return type;
}

/* A struct by "type name" pairs. */
static int add(const char *name, size_t count, const char *const (*pairs)[2])
{
    struct berth_text_parameter fields[32];
    for (size_t i = 0; i < count; i++)
        fields[i] = (struct berth_text_parameter){ pairs[i][0], pairs[i][1], NULL };
    return berth_types_add_struct(types, name, NULL, fields, count, &error);
}
#define ADD(name, ...)                                          \
    add(name, COUNT(((const char *const[][2]){ __VA_ARGS__ })), \
        (const char *const[][2]){ __VA_ARGS__ })

/* ---- layout: the compiler's own types, declared as <berth/module.h> declares them ---- */

typedef struct berth_cursor {
    uint64_t id;
} berth_cursor;
typedef struct berth_small {
    berth_u8 a;
} berth_small;
typedef struct berth_odd {
    berth_bool a;
    berth_i64 b;
    berth_i8 c;
    berth_i16 d;
    berth_f32 e;
    berth_u8 f;
} berth_odd;
BERTH_I_BOTH(cursor);
BERTH_I_BOTH(small);
BERTH_I_BOTH(odd);
typedef struct berth_all {
    berth_odd odd;
    berth_u8 a;
    berth_optional(small) os;
    berth_optional(odd) oo;
    berth_array(odd) ao;
    berth_string s;
    berth_optional(string) ost;
    berth_json j;
    berth_u8 b;
    berth_bytes bytes;
    berth_optional(bytes) ob;
    berth_small small;
    berth_cursor c;
    berth_optional(cursor) oc;
    berth_optional(bool) obool;
    berth_optional(u16) ou;
} berth_all;

#define FIELD(type, field)                                        \
    {                                                             \
#field, offsetof(type, field), sizeof(((type *)0)->field) \
    }
struct field {
    const char *name;
    size_t offset, size;
};

static void check_fields(const struct berth_type *type, const struct field *fields, size_t count)
{
    CHECK_INT(type->field_count, count);
    for (size_t i = 0; i < count; i++) {
        CHECK_STR(type->fields[i].name, fields[i].name);
        CHECK_INT(type->fields[i].offset, fields[i].offset);
        CHECK_INT(type->fields[i].type->size, fields[i].size);
    }
}

static void structs_lie_as_the_compiler_lays_them(void)
{
    static const struct field odd[] = { FIELD(berth_odd, a), FIELD(berth_odd, b),
                                        FIELD(berth_odd, c), FIELD(berth_odd, d),
                                        FIELD(berth_odd, e), FIELD(berth_odd, f) };
    static const struct field all[] = {
        FIELD(berth_all, odd),   FIELD(berth_all, a),  FIELD(berth_all, os),
        FIELD(berth_all, oo),    FIELD(berth_all, ao), FIELD(berth_all, s),
        FIELD(berth_all, ost),   FIELD(berth_all, j),  FIELD(berth_all, b),
        FIELD(berth_all, bytes), FIELD(berth_all, ob), FIELD(berth_all, small),
        FIELD(berth_all, c),     FIELD(berth_all, oc), FIELD(berth_all, obool),
        FIELD(berth_all, ou),
    };

    begin();
    REQUIRE(berth_types_add_handle(types, "cursor", "store", "cursor", "close", "", &error) == 0);
    REQUIRE(ADD("small", { "u8", "a" }) == BERTH_OK);
    REQUIRE(ADD("odd", { "_Bool", "a" }, { "i64", "b" }, { "i8", "c" }, { "i16", "d" },
                { "f32", "e" }, { "u8", "f" }) == BERTH_OK);
    REQUIRE(ADD("all", { "odd", "odd" }, { "u8", "a" }, { "optional(small)", "os" },
                { "optional(odd)", "oo" }, { "array(odd)", "ao" }, { "string", "s" },
                { "optional(string)", "ost" }, { "json", "j" }, { "u8", "b" }, { "bytes", "bytes" },
                { "optional(bytes)", "ob" }, { "small", "small" }, { "cursor", "c" },
                { "optional(cursor)", "oc" }, { "optional(bool)", "obool" },
                { "optional(u16)", "ou" }) == BERTH_OK);
    check_fields(find("odd"), odd, COUNT(odd));
    check_fields(find("all"), all, COUNT(all));
    CHECK_INT(find("odd")->size, sizeof(berth_odd));
    CHECK_INT(find("all")->size, sizeof(berth_all));
    CHECK_INT(find("all")->align, _Alignof(berth_all));
    CHECK_INT(find("small")->size, 1);
}

static void scalars_and_optionals_have_the_sizes_of_c(void)
{
#define SIZES(t)                                                                \
    {                                                                           \
#t, sizeof(berth_##t), _Alignof(berth_##t), sizeof(berth_optional_##t), \
            offsetof(berth_optional_##t, value)                                 \
    }
    static const struct {
        const char *name;
        size_t size, align, optional, value;
    } cases[] = { SIZES(i8),    SIZES(i16), SIZES(i32),    SIZES(i64),  SIZES(u8),
                  SIZES(u16),   SIZES(u32), SIZES(u64),    SIZES(f32),  SIZES(f64),
                  SIZES(bytes), SIZES(odd), SIZES(cursor), SIZES(small) };
    char text[32], value[64] = { 0 };

    structs_lie_as_the_compiler_lays_them(); /* makes the types */
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct berth_type *type = find(cases[i].name);
        CHECK_INT(type->size, cases[i].size);
        CHECK_INT(type->align, cases[i].align);
        snprintf(text, sizeof(text), "optional(%s)", cases[i].name);
        type = find(text);
        CHECK_INT(type->size, cases[i].optional);
        CHECK(berth_optional_get(type, value) == NULL);
        CHECK((char *)berth_optional_set(type, value) == value + cases[i].value);
        CHECK((char *)berth_optional_get(type, value) == value + cases[i].value);
        value[0] = 0;
        snprintf(text, sizeof(text), "array(%s)", cases[i].name);
        CHECK_INT(find(text)->size, sizeof(berth_array_i8));
    }
    CHECK_INT(find("bool")->size, sizeof(bool));
    CHECK_INT(find("optional(bool)")->size, sizeof(berth_optional(bool)));
    CHECK_INT(find("string")->size, sizeof(char *));
    CHECK_INT(find("optional(string)")->size, sizeof(char *));
    CHECK_INT(find("optional(json)")->size, sizeof(char *));
    const char *text_value = NULL;
    CHECK(berth_optional_get(find("optional(json)"), &text_value) == NULL);
    text_value = "1";
    CHECK(berth_optional_get(find("optional(json)"), &text_value) == &text_value);
}

/* ---- what types are ---- */

static void types_are_found_by_their_text(void)
{
    begin();
    CHECK_INT(find("f64")->kind, BERTH_KIND_F64);
    CHECK(find("_Bool") == find("bool"));
    CHECK(find("void")->kind == BERTH_KIND_VOID);
    CHECK(find(" array ( i32 ) ") == find("array(i32)"));
    CHECK_STR(find(" array ( i32 ) ")->text, "array(i32)");
    CHECK(find("array(_Bool)")->element == find("bool"));
    CHECK_STR(find("array(_Bool)")->identity, "array(bool)");
    CHECK(find("optional(string)") == find("optional(string)"));
    CHECK(find("array(bytes)")->kind == BERTH_KIND_ARRAY);
}

static void plain_is_what_memcpy_copies(void)
{
    begin();
    REQUIRE(berth_types_add_handle(types, "cursor", "store", "cursor", NULL, "", &error) == 0);
    REQUIRE(ADD("point", { "f64", "x" }, { "optional(i8)", "y" }) == BERTH_OK);
    REQUIRE(ADD("named", { "point", "p" }, { "string", "name" }) == BERTH_OK);
    REQUIRE(ADD("held", { "cursor", "c" }) == BERTH_OK);
    static const char *const plain[] = {
        "void", "bool", "i8", "u64", "f32", "point", "optional(f64)", "optional(point)"
    };
    static const char *const others[] = { "string",
                                          "json",
                                          "bytes",
                                          "array(i8)",
                                          "named",
                                          "cursor",
                                          "held",
                                          "optional(string)",
                                          "optional(named)",
                                          "optional(cursor)",
                                          "array(point)" };
    for (size_t i = 0; i < COUNT(plain); i++)
        CHECK(find(plain[i])->plain);
    for (size_t i = 0; i < COUNT(others); i++)
        CHECK(!find(others[i])->plain);
    CHECK_INT(find("point")->depth, 1);
    CHECK_INT(find("array(named)")->depth, 2);
}

static void identities_are_written_out(void)
{
    begin();
    REQUIRE(berth_types_add_handle(types, "cursor", "store", "cursor", "close", "a place",
                                   &error) == 0);
    REQUIRE(berth_types_add_handle(types, "db_row", "db", "row", NULL, "", &error) == 0);
    REQUIRE(ADD("point", { "f64", "x" }, { "f64", "y" }) == BERTH_OK);
    REQUIRE(ADD("dot", { "f64", "x" }, { "f64", "y" }) == BERTH_OK);
    REQUIRE(ADD("line", { "point", "a" }, { "array(dot)", "b" }, { "optional(cursor)", "c" }) ==
            BERTH_OK);
    CHECK_STR(find("point")->identity, "{x:f64,y:f64}");
    CHECK_STR(find("dot")->identity, find("point")->identity); /* its name does not matter */
    CHECK_STR(find("cursor")->identity, "handle(store.cursor)");
    CHECK_STR(find("db_row")->identity, "handle(db.row)");
    CHECK_STR(find("db_row")->name, "row");
    CHECK_STR(find("db_row")->text, "db_row");
    CHECK(find("db_row")->release == NULL);
    CHECK_STR(find("cursor")->release, "close");
    CHECK_STR(find("cursor")->doc, "a place");
    CHECK_STR(find("line")->identity,
              "{a:{x:f64,y:f64},b:array({x:f64,y:f64}),c:optional(handle(store.cursor))}");
    const struct berth_type *type = berth_types_declared(types);
    static const char *const order[] = { "cursor", "db_row", "point", "dot", "line" };
    for (size_t i = 0; i < COUNT(order); i++, type = type->next) {
        REQUIRE(type);
        CHECK_STR(type->text, order[i]);
    }
    CHECK(type == NULL);
}

static void equal_declarations_are_one(void)
{
    begin();
    REQUIRE(ADD("point", { "f64", "x" }) == BERTH_OK);
    const struct berth_type *point = find("point");
    CHECK_CODE(ADD("point", { "f64", "x" }), BERTH_OK, &error);
    CHECK(find("point") == point);
    CHECK(berth_types_declared(types) == point && point->next == NULL);
    CHECK_INT(ADD("point", { "f32", "x" }), BERTH_INVALID_ARGUMENT);
    CHECK_CONTAINS(error.text, "struct point: declared twice");
    CHECK_CONTAINS(error.text, "{x:f64} and as {x:f32}");
    CHECK_INT(berth_types_add_handle(types, "point", "m", "k", NULL, "", &error),
              BERTH_INVALID_ARGUMENT);
    CHECK_CONTAINS(error.text, "declared twice");
    CHECK(find("point") == point);
}

/* ---- refusals ---- */

static void unknown_types_are_refused_with_a_cure(void)
{
    static const struct {
        const char *text, *words[2];
    } cases[] = {
        { "pont", { "unknown type \"pont\"", "did you mean point?" } },
        { "array(pont)", { "unknown type \"pont\"", "did you mean point?" } },
        { "strng", { "\"strng\"", "string" } },
        { "int", { "unknown type \"int\"", "" } },
        { "", { "missing", "" } },
        { "  ", { "missing", "" } },
        { "array()", { "unknown type", "" } },
        { "array(i8", { "unknown type", "" } },
        { "array)i8(", { "unknown type", "" } },
        { "array(i8))", { "unknown type", "" } },
        { "(i8)", { "unknown type", "" } },
        { "list(i8)", { "list(i8)", "only array(T) and optional(T)" } },
        { "array", { "unknown type", "" } },
        { "array(void)", { "void is a result's type only", "" } },
        { "array(optional(i8))", { "do not nest", "put a struct" } },
        { "optional(array(i8))", { "do not nest", "put a struct" } },
        { "array(array(i8))", { "do not nest", "put a struct" } },
        { "const char *", { "unknown type \"constchar*\"", "" } },
        { "\xff\x1b[2J", { "unknown type \"??[2J\"", "" } },
        { "array(aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa)",
          { "unknown type", "" } },
    };

    begin();
    REQUIRE(ADD("point", { "f64", "x" }) == BERTH_OK);
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct berth_type *type = NULL;
        error.text[0] = '\0';
        CHECK_INT(berth_types_find(types, cases[i].text, &type, &error), BERTH_INVALID_ARGUMENT);
        CHECK(type == NULL);
        CHECK_CONTAINS(error.text, cases[i].words[0]);
        CHECK_CONTAINS(error.text, cases[i].words[1]);
    }
}

static void bad_structs_are_refused(void)
{
    begin();
    CHECK_INT(ADD("Point", { "f64", "x" }), BERTH_INVALID_ARGUMENT);
    CHECK_CONTAINS(error.text, "\"Point\" is not a type's name");
    static const char *const reserved[] = { "i32",  "void",  "bool",  "string",
                                            "json", "bytes", "array", "optional" };
    for (size_t i = 0; i < COUNT(reserved); i++) {
        CHECK_INT(ADD(reserved[i], { "f64", "x" }), BERTH_INVALID_ARGUMENT);
        CHECK_CONTAINS(error.text, "built-in");
        CHECK_INT(berth_types_add_handle(types, reserved[i], "m", "k", NULL, "", &error),
                  BERTH_INVALID_ARGUMENT);
    }
    CHECK_INT(berth_types_add_struct(types, "s", "", NULL, 0, &error), BERTH_INVALID_ARGUMENT);
    CHECK_CONTAINS(error.text, "struct s: it has no field");
    CHECK_INT(ADD("s", { "f64", "x" }, { "f64", "y" }, { "i8", "x" }), BERTH_INVALID_ARGUMENT);
    CHECK_CONTAINS(error.text, "struct s: two are named x");
    CHECK_INT(ADD("s", { "f64", "0x" }), BERTH_INVALID_ARGUMENT);
    CHECK_CONTAINS(error.text, "\"0x\" is not a name");
    CHECK_INT(ADD("s", { "void", "x" }), BERTH_INVALID_ARGUMENT);
    CHECK_CONTAINS(error.text, "struct s: x: void");
    CHECK_INT(ADD("s", { "s", "itself" }), BERTH_INVALID_ARGUMENT);
    CHECK_CONTAINS(error.text, "struct s: itself: unknown type \"s\"");
    const char *const many[17][2] = {
        { "i8", "a" }, { "i8", "b" }, { "i8", "c" }, { "i8", "d" }, { "i8", "e" }, { "i8", "f" },
        { "i8", "g" }, { "i8", "h" }, { "i8", "i" }, { "i8", "j" }, { "i8", "k" }, { "i8", "l" },
        { "i8", "m" }, { "i8", "n" }, { "i8", "o" }, { "i8", "p" }, { "i8", "q" },
    };
    CHECK_INT(add("s", 17, many), BERTH_INVALID_ARGUMENT);
    CHECK_CONTAINS(error.text, "17 fields");
    CHECK(berth_types_declared(types) == NULL);
    CHECK_CODE(add("s", 16, many), BERTH_OK, &error);
    CHECK_INT(find("s")->size, 16);
}

static void bad_handles_are_refused(void)
{
    begin();
    static const char *const cases[][4] = { { "h", "Store", "cursor", NULL },
                                            { "h", "", "cursor", NULL },
                                            { "h", "store", "cur.sor", NULL },
                                            { "h", "store", "cursor", "CLOSE" },
                                            { "h)", "store", "cursor", NULL } };
    for (size_t i = 0; i < COUNT(cases); i++)
        CHECK_INT(berth_types_add_handle(types, cases[i][0], cases[i][1], cases[i][2], cases[i][3],
                                         "", &error),
                  BERTH_INVALID_ARGUMENT);
    CHECK(berth_types_declared(types) == NULL);
}

static void nesting_is_bounded(void)
{
    char name[32], inner[32] = "i8";
    int code = BERTH_OK;
    int depth = 0;

    begin();
    for (; depth < 100 && code == BERTH_OK; depth++) {
        snprintf(name, sizeof(name), "s%d", depth);
        code = ADD(name, { depth % 3 == 1 ? berth_test_format("array(%s)", inner) : inner, "x" });
        snprintf(inner, sizeof(inner), "%s", name);
    }
    CHECK_INT(code, BERTH_INVALID_ARGUMENT);
    CHECK_CONTAINS(error.text, "deeper than 16");
    CHECK_INT(depth, BERTH_TYPE_DEPTH_MAX + 1);
}

/* Each line doubles the type: by value, and through arrays. */
static void growth_is_bounded(void)
{
    for (int form = 0; form < 2; form++) {
        int code = BERTH_OK, i = 0;
        begin();
        REQUIRE(ADD("s0", { "u64", "x" }, { "u64", "y" }) == BERTH_OK);
        for (; i < 100 && code == BERTH_OK; i++) {
            const char *inner = berth_test_format("s%d", i);
            const char *type = form == 0 ? inner : berth_test_format("array(%s)", inner);
            code = ADD(berth_test_format("s%d", i + 1), { type, "x" }, { type, "y" });
        }
        CHECK_INT(code, BERTH_INVALID_ARGUMENT);
        CHECK_CONTAINS(error.text, form == 0 ? "larger than 4096 bytes" : "longer than 8192");
    }
    /* Many large ones: the set has an end. */
    int code = BERTH_OK;
    size_t count = 0;
    begin();
    REQUIRE(ADD("a", { "u64", "a_long_name_for_a_field_of_a_struct_that_is_to_be_written_out" },
                { "u64", "another_long_name_for_a_field_of_a_struct_to_be_written_out" }) == 0);
    for (int i = 0; i < 5; i++)
        REQUIRE(ADD(berth_test_format("a%d", i),
                    { i ? berth_test_format("array(a%d)", i - 1) : "array(a)", "x" },
                    { i ? berth_test_format("array(a%d)", i - 1) : "array(a)", "y" }) == 0);
    for (; count < 100000 && code == BERTH_OK; count++)
        code = ADD(berth_test_format("b%zu", count), { "array(a4)", "x" });
    CHECK_INT(code, BERTH_RESOURCE_EXHAUSTED);
    CHECK_CONTAINS(error.text, "too many types");
}

/* ---- signatures ---- */

static const struct berth_signature *sign(const char *result, size_t count,
                                          const struct berth_text_parameter *parameters)
{
    const struct berth_signature *signature = NULL;
    CHECK_CODE(berth_signature_new(types, result, parameters, count, &signature, &error), BERTH_OK,
               &error);
    REQUIRE(signature);
    return signature;
}

static void signatures_are_compared_and_printed(void)
{
    static const struct berth_text_parameter two[] = { { "f64", "a", "the dividend" },
                                                       { "f64", "b", NULL } };
    char text[64];

    begin();
    const struct berth_signature *divide = sign("f64", 2, two);
    CHECK_STR(divide->identity, "(f64,f64)f64");
    CHECK_STR(divide->parameters[0].doc, "the dividend");
    CHECK_STR(divide->parameters[1].doc, "");
    CHECK(divide->plain);
    CHECK_STR(berth_signature_print(divide, "divide", text, sizeof(text)),
              "divide(f64 a, f64 b) -> f64");
    const struct berth_signature *none = sign("void", 0, NULL);
    CHECK_STR(none->identity, "()void");
    CHECK_STR(berth_signature_print(none, "x.stop", text, sizeof(text)), "x.stop() -> void");
    CHECK(!sign("string", 2, two)->plain);
    for (size_t size = 1; size < 30; size++) { /* cut, but never past its end */
        char *cut = berth_test_alloc(size);
        berth_signature_print(divide, "divide", cut, size);
        CHECK(strlen(cut) < size);
        CHECK(strncmp(cut, "divide(f64 a, f64 b) -> f64", strlen(cut)) == 0);
    }
}

static void bad_signatures_are_refused(void)
{
    static const struct {
        const char *result;
        struct berth_text_parameter parameters[2];
        const char *words;
    } cases[] = {
        { "f65", { { "i8", "a", "" }, { "i8", "b", "" } }, "result: unknown type \"f65\"" },
        { "i8", { { "i8", "a", "" }, { "i8", "a", "" } }, "two are named a" },
        { "i8", { { "i8", "a", "" }, { "i8", "a b", "" } }, "\"a b\" is not a name" },
        { "i8", { { "i8", "a", "" }, { "i8", "", "" } }, "\"\" is not a name" },
        { "i8", { { "void", "a", "" }, { "i8", "b", "" } }, "a: void is a result's type" },
        { "i8", { { "i8", "a", "" }, { "array(x)", "b", "" } }, "b: unknown type \"x\"" },
    };
    struct berth_text_parameter many[17];

    begin();
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct berth_signature *signature = NULL;
        CHECK_INT(
            berth_signature_new(types, cases[i].result, cases[i].parameters, 2, &signature, &error),
            BERTH_INVALID_ARGUMENT);
        CHECK(signature == NULL);
        CHECK_CONTAINS(error.text, cases[i].words);
    }
    for (size_t i = 0; i < COUNT(many); i++)
        many[i] = (struct berth_text_parameter){ "i8", berth_test_format("p%zu", i), "" };
    const struct berth_signature *signature = NULL;
    CHECK_INT(berth_signature_new(types, "i8", many, 17, &signature, &error),
              BERTH_INVALID_ARGUMENT);
    CHECK_CONTAINS(error.text, "17 parameters");
    CHECK(sign("i8", 16, many)->count == 16);
}

static void names_are_checked(void)
{
    char longest[BERTH_IDENTIFIER_MAX + 2];
    memset(longest, 'a', sizeof(longest));
    longest[BERTH_IDENTIFIER_MAX] = '\0';

    CHECK(berth_identifier_valid("a") && berth_identifier_valid("a_1") &&
          berth_identifier_valid(longest));
    CHECK(berth_c_identifier_valid("_A9z") && berth_c_identifier_valid(longest));
    CHECK(berth_function_name_valid("math.divide"));
    CHECK(berth_function_name_valid(berth_test_format("%s.%s", longest, longest)));
    longest[BERTH_IDENTIFIER_MAX] = 'a';
    longest[BERTH_IDENTIFIER_MAX + 1] = '\0';
    static const char *const bad[] = { "",    "1a",  "_a", "A",        "aB",
                                       "a-b", "a.b", "a ", "\xc3\xa4", "a\x80" };
    for (size_t i = 0; i < COUNT(bad); i++)
        CHECK(!berth_identifier_valid(bad[i]));
    CHECK(!berth_identifier_valid(longest) && !berth_c_identifier_valid(longest));
    static const char *const bad_c[] = { "", "1a", "a-b", "a.b", " a", "a\xc3\xa4" };
    for (size_t i = 0; i < COUNT(bad_c); i++)
        CHECK(!berth_c_identifier_valid(bad_c[i]));
    static const char *const bad_functions[] = { "",      "a",   "a.",  ".a",  ".",
                                                 "a.b.c", "A.b", "a.B", "a..b" };
    for (size_t i = 0; i < COUNT(bad_functions); i++)
        CHECK(!berth_function_name_valid(bad_functions[i]));
    CHECK(!berth_function_name_valid(berth_test_format("%s.a", longest)));
}

/* ---- memory ---- */

static int make_much(struct berth_types *set)
{
    static const struct berth_text_parameter fields[] = { { "array(f64)", "x", "words" },
                                                          { "optional(cursor)", "y", "" } };
    static const struct berth_text_parameter parameters[] = { { "optional(thing)", "a", "words" },
                                                              { "bytes", "b", "" } };
    const struct berth_signature *signature;
    const struct berth_type *type;
    int code = berth_types_add_handle(set, "cursor", "m", "cursor", "close", "doc", &error);
    if (code == BERTH_OK)
        code = berth_types_add_struct(set, "thing", "doc", fields, 2, &error);
    if (code == BERTH_OK)
        code = berth_signature_new(set, "array(thing)", parameters, 2, &signature, &error);
    if (code == BERTH_OK && berth_types_find(set, "unknown", &type, NULL) == BERTH_OK)
        code = BERTH_INTERNAL;
    return code;
}

static void without_memory_it_says_so(void)
{
    long live = berth_fault_live();

    if (!berth_fault_works())
        berth_skip("no allocation can be made to fail here");
    for (unsigned long k = 1;; k++) {
        berth_fault_arm(k, false);
        struct berth_types *set = berth_types_new();
        int code = set ? make_much(set) : BERTH_RESOURCE_EXHAUSTED;
        bool hit = berth_fault_disarm();
        CHECK(code == BERTH_OK || code == BERTH_RESOURCE_EXHAUSTED);
        if (set) /* what failed can be tried again */
            CHECK_CODE(make_much(set), BERTH_OK, &error);
        berth_types_free(set);
        CHECK_INT(berth_fault_live(), live);
        if (!hit) {
            CHECK(k > 5);
            break;
        }
    }
    berth_types_free(NULL);
}

static void random_sets_are_sound(void)
{
    for (int round = 0; round < 50; round++) {
        struct berth_types *set = berth_test_types();
        for (const struct berth_type *type = berth_types_declared(set); type; type = type->next) {
            CHECK(type->size > 0 && type->size % type->align == 0);
            CHECK(type->size <= BERTH_TYPE_SIZE_MAX && type->depth <= BERTH_TYPE_DEPTH_MAX);
            for (size_t i = 0; i < type->field_count; i++) {
                const struct berth_parameter *field = &type->fields[i];
                CHECK(field->offset % field->type->align == 0);
                size_t end = field->offset + field->type->size;
                CHECK(end <= (i + 1 < type->field_count ? field[1].offset : type->size));
            }
        }
        berth_types_free(set);
    }
}

static const struct berth_test tests[] = {
    { "structs_lie_as_the_compiler_lays_them", structs_lie_as_the_compiler_lays_them },
    { "scalars_and_optionals_have_the_sizes_of_c", scalars_and_optionals_have_the_sizes_of_c },
    { "types_are_found_by_their_text", types_are_found_by_their_text },
    { "plain_is_what_memcpy_copies", plain_is_what_memcpy_copies },
    { "identities_are_written_out", identities_are_written_out },
    { "equal_declarations_are_one", equal_declarations_are_one },
    { "unknown_types_are_refused_with_a_cure", unknown_types_are_refused_with_a_cure },
    { "bad_structs_are_refused", bad_structs_are_refused },
    { "bad_handles_are_refused", bad_handles_are_refused },
    { "nesting_is_bounded", nesting_is_bounded },
    { "growth_is_bounded", growth_is_bounded },
    { "signatures_are_compared_and_printed", signatures_are_compared_and_printed },
    { "bad_signatures_are_refused", bad_signatures_are_refused },
    { "names_are_checked", names_are_checked },
    { "without_memory_it_says_so", without_memory_it_says_so },
    { "random_sets_are_sound", random_sets_are_sound },
};

int main(int argc, char **argv)
{
    int status = berth_suite_main("type", tests, COUNT(tests), argc, argv);
    berth_types_free(types);
    return status;
}
