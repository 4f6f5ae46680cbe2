/* SPDX-License-Identifier: MIT */
/* Words as arguments, and results as people want to see them. */
#include "runtime/value/words.h"

#include <string.h>

#include "runtime/base/error.h"
#include "tests/support/suite.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define WORD(text)   ((struct berth_word){ "" text, sizeof(text) - 1 })

/* f(i64 number, string text, bytes data, optional(string) maybe, optional(bytes) more) */
struct scene {
    struct berth_types *types;
    const struct berth_signature *signature;
    struct berth_arena arena;
    const void **arguments;
    struct berth_error error;
    int expanded;
    bool refuse;
};

static void scene_init(struct scene *scene)
{
    static const struct berth_text_parameter parameters[] = {
        { "i64", "number", "" },           { "string", "text", "" },
        { "bytes", "data", "" },           { "optional(string)", "maybe", "" },
        { "optional(bytes)", "more", "" },
    };
    *scene = (struct scene){ .types = berth_types_new() };
    REQUIRE(scene->types);
    REQUIRE(berth_signature_new(scene->types, "void", parameters, COUNT(parameters),
                                &scene->signature, &scene->error) == BERTH_OK);
    berth_arena_init(&scene->arena);
}

static void scene_deinit(struct scene *scene)
{
    berth_arena_deinit(&scene->arena);
    berth_types_free(scene->types);
}

/* "@" is "from the file"; it notes how often it was asked. */
static int expand(void *user, const char *parameter, struct berth_word *word,
                  struct berth_error *error)
{
    struct scene *scene = user;
    scene->expanded++;
    if (scene->refuse)
        return berth_error_set(error, BERTH_PERMISSION_DENIED, "%s: no", parameter);
    if (word->size == 1 && word->data[0] == '@')
        *word = WORD("from the file");
    return BERTH_OK;
}

static int read_words(struct scene *scene, const struct berth_word *words, size_t count)
{
    return berth_words_read(scene->signature, words, count, expand, scene, &scene->arena,
                            &scene->arguments, &scene->error);
}

static const char *text_of(const struct scene *scene, size_t index)
{
    return *(const char *const *)scene->arguments[index];
}

static void reads_in_order(void)
{
    struct scene scene;
    const struct berth_word words[] = { WORD("-5"), WORD("-5"), WORD("a\0b"), WORD(""), WORD("x") };

    scene_init(&scene);
    CHECK_CODE(read_words(&scene, words, COUNT(words)), BERTH_OK, &scene.error);
    CHECK_INT(*(const int64_t *)scene.arguments[0], -5);
    CHECK_STR(text_of(&scene, 1), "-5");
    const berth_bytes *data = scene.arguments[2];
    CHECK_INT(data->size, 3);
    CHECK(!memcmp(data->data, "a\0b", 3));
    CHECK_STR(text_of(&scene, 3), "");
    const berth_optional_bytes *more = scene.arguments[4];
    CHECK(more->present);
    CHECK_INT(more->value.size, 1);
    CHECK_INT(scene.expanded, 4); /* not for the number */
    scene_deinit(&scene);
}

static void leaves_optionals_out(void)
{
    struct scene scene;
    const struct berth_word words[] = { WORD("1"), WORD("text"), WORD("data") };

    scene_init(&scene);
    CHECK_CODE(read_words(&scene, words, 3), BERTH_OK, &scene.error);
    CHECK(!text_of(&scene, 3));
    CHECK(!((const berth_optional_bytes *)scene.arguments[4])->present);
    CHECK_CODE(read_words(&scene, words, 2), BERTH_INVALID_ARGUMENT, &scene.error);
    CHECK_CONTAINS(scene.error.text, "data");
    scene_deinit(&scene);
}

static void reads_names(void)
{
    struct scene scene;
    const struct berth_word words[] = { WORD("text=number=1"), WORD("7"), WORD("more="),
                                        WORD("nothing=1") };

    scene_init(&scene);
    CHECK_CODE(read_words(&scene, words, COUNT(words)), BERTH_OK, &scene.error);
    CHECK_INT(*(const int64_t *)scene.arguments[0], 7);
    CHECK_STR(text_of(&scene, 1), "number=1");
    const berth_bytes *data = scene.arguments[2]; /* what is left: no such parameter, so a text */
    CHECK_INT(data->size, strlen("nothing=1"));
    const berth_optional_bytes *more = scene.arguments[4];
    CHECK(more->present && !more->value.size);
    scene_deinit(&scene);
}

static void expands(void)
{
    struct scene scene;
    const struct berth_word words[] = { WORD("1"), WORD("@"), WORD("data=@"), WORD("maybe=@") };

    scene_init(&scene);
    CHECK_CODE(read_words(&scene, words, COUNT(words)), BERTH_OK, &scene.error);
    CHECK_STR(text_of(&scene, 1), "from the file");
    CHECK_INT(((const berth_bytes *)scene.arguments[2])->size, strlen("from the file"));
    CHECK_STR(text_of(&scene, 3), "from the file");

    scene.refuse = true;
    CHECK_CODE(read_words(&scene, words, COUNT(words)), BERTH_PERMISSION_DENIED, &scene.error);
    CHECK_STR(scene.error.text, "data: no"); /* names come first */

    const struct berth_word number[] = { WORD("@"), WORD("text"), WORD("data") };
    scene.refuse = false;
    scene.expanded = 0;
    CHECK_CODE(read_words(&scene, number, 3), BERTH_INVALID_ARGUMENT, &scene.error);
    CHECK_CONTAINS(scene.error.text, "number");
    CHECK_INT(scene.expanded, 0);
    scene_deinit(&scene);
}

static void refuses(void)
{
    static const struct {
        struct berth_word words[6];
        size_t count;
        int code;
        const char *part;
    } cases[] = {
        { { WORD("1"), WORD("t"), WORD("d"), WORD("m"), WORD("o"), WORD("x") },
          6,
          BERTH_INVALID_ARGUMENT,
          "at most 5 are taken, 6 are given" },
        { { WORD("1"), WORD("number=2") }, 2, BERTH_INVALID_ARGUMENT, "data" },
        { { WORD("text=a"), WORD("text=b") }, 2, BERTH_INVALID_ARGUMENT, "text is given twice" },
        { { WORD("one") }, 1, BERTH_INVALID_ARGUMENT, "argument number" },
        { { WORD("9223372036854775808") }, 1, BERTH_OUT_OF_RANGE, "argument number" },
        { { WORD("1"), WORD("a\0b") }, 2, BERTH_INVALID_ARGUMENT, "NUL" },
        { { WORD("1"), WORD("ab\xff") }, 2, BERTH_INVALID_ARGUMENT, "byte 2" },
        { { WORD("") }, 0, BERTH_INVALID_ARGUMENT, "number" },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct scene scene;
        scene_init(&scene);
        CHECK_CODE(read_words(&scene, cases[i].words, cases[i].count), cases[i].code, &scene.error);
        CHECK_CONTAINS(scene.error.text, cases[i].part);
        CHECK(!scene.arguments);
        scene_deinit(&scene);
    }
}

static void check_written(const char *type_text, const void *value, enum berth_value_kind kind,
                          const char *text, size_t size)
{
    struct berth_types *types = berth_types_new();
    const struct berth_type *type;
    struct berth_buffer buffer;
    struct berth_error error;
    enum berth_value_kind got;

    REQUIRE(types && berth_types_find(types, type_text, &type, &error) == BERTH_OK);
    berth_buffer_init(&buffer, 0);
    CHECK_CODE(berth_words_write(type, value, &buffer, &got, &error), BERTH_OK, &error);
    CHECK_INT(got, kind);
    CHECK_INT(buffer.size, size);
    CHECK(!size || !memcmp(buffer.data, text, size));
    berth_buffer_deinit(&buffer);
    berth_types_free(types);
}

static void writes(void)
{
    const char *text = "a \"b\"", *absent = NULL;
    const berth_bytes data = { "a\0b", 3 };
    const double number = 1.5;

    check_written("string", &text, BERTH_VALUE_STRING, "a \"b\"", 5);
    check_written("bytes", &data, BERTH_VALUE_BYTES, "a\0b", 3);
    check_written("f64", &number, BERTH_VALUE_JSON, "1.5", 3);
    check_written("optional(string)", &text, BERTH_VALUE_JSON, "\"a \\\"b\\\"\"", 9);
    check_written("optional(string)", &absent, BERTH_VALUE_JSON, "null", 4);

    struct berth_buffer buffer;
    struct berth_error error;
    enum berth_value_kind kind;
    static const struct berth_type nothing = { .kind = BERTH_KIND_VOID };
    berth_buffer_init(&buffer, 0);
    CHECK_CODE(berth_words_write(&nothing, NULL, &buffer, &kind, &error), BERTH_OK, &error);
    CHECK_INT(kind, BERTH_VALUE_VOID);
    CHECK_INT(buffer.size, 0);
    berth_buffer_deinit(&buffer);
}

static const struct berth_test tests[] = {
    { "reads in order", reads_in_order },
    { "leaves optionals out", leaves_optionals_out },
    { "reads names", reads_names },
    { "expands", expands },
    { "refuses", refuses },
    { "writes", writes },
};

int main(int argc, char **argv)
{
    return berth_suite_main("words", tests, COUNT(tests), argc, argv);
}
