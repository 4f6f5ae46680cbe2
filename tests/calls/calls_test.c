/* SPDX-License-Identifier: MIT */
/*
 * Every way to call a function gives what the compiler's own call gives: bound from a module, by
 * handle, by JSON; inline and in a worker; callers and callees compiled by gcc and by clang, with
 * and without optimisation. The functions are random ones (generate.c), the arguments too.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/image/image.h"
#include "runtime/value/json.h"
#include "runtime/value/value.h"
#include "tests/support/hosting.h"
#include "tests/support/values.h"

#define FUNCTIONS 40
#define ROUNDS    25

typedef void (*direct_fn)(const void *const *arguments, void *result);

static bool have(const char *compiler)
{
    return berth_test_shell(NULL, berth_test_format("command -v %s >/dev/null", compiler)) == 0;
}

/* One generated file as a shared object; its path. */
static const char *build(const char *what, const char *compiler, const char *optimise)
{
    struct berth_test_command command = { .timeout = 240000 };
    const char *out =
        berth_test_format("%s/%s-%s%s.so", berth_test_dir(), what, compiler, optimise);
    const char *line = berth_test_format(
        "%s -std=gnu11 -w %s -shared -fPIC -fvisibility=hidden -I%s -I%s %s %s/%s.c -o %s",
        compiler, optimise, berth_test_source("include"), berth_test_built("include"),
        strcmp(what, "direct") == 0 ? "-fvisibility=default" : "", berth_test_dir(), what, out);
    if (berth_test_shell(&command, line) != 0) {
        berth_note("%s", command.err);
        bool compiles = false;
        REQUIRE(compiles);
    }
    return out;
}

struct ways {
    const struct berth_manifest *manifest;
    void *direct;
    berth_host *host;
    struct berth_arena arena;
    unsigned compared;
};

/* As if the values had come through JSON: what a NaN carries, and nothing else, is lost. */
static char *to_json(const struct berth_signature *signature, const void *const *arguments)
{
    struct berth_buffer buffer;
    berth_buffer_init(&buffer, 0);
    REQUIRE(berth_json_write_arguments(signature, arguments, &buffer, NULL) == BERTH_OK);
    return berth_buffer_take(&buffer, NULL);
}

static void *room(struct ways *ways, const struct berth_type *type)
{
    void *result = berth_arena_alloc(&ways->arena, type->size + 1);
    REQUIRE(result != NULL);
    if (type->size)
        berth_value_zero(type, result);
    return result;
}

static void compare(struct ways *ways, const char *way, const char *name,
                    const struct berth_type *type, const void *got, const void *expected)
{
    bool same = type->kind == BERTH_KIND_VOID || berth_test_same(type, got, expected);
    if (!same)
        berth_note("%s, called %s, gives something else than the direct call", name, way);
    CHECK(same);
    ways->compared++;
}

static void call_by_handle(struct ways *ways, berth_ctx *ctx, const char *name,
                           const struct berth_signature *signature, const void *const *arguments,
                           const void *expected)
{
    berth_function *function;
    struct berth_error error = { 0 };
    void *result = room(ways, signature->result);
    CHECK_CODE(berth_function_find(ways->host, name, &function, &error), BERTH_OK, &error);
    int code = berth_function_invoke(function, ctx, arguments, result);
    if (code != BERTH_OK)
        berth_note("%s: %s", name, berth_error_text(ctx));
    CHECK_INT(code, BERTH_OK);
    compare(ways, "by handle", name, signature->result, result, expected);
    berth_function_free(function);
    berth_clear(ctx);
}

static void call_by_json(struct ways *ways, berth_ctx *ctx, const char *name,
                         const struct berth_signature *signature, const void *const *arguments,
                         const void *expected)
{
    struct berth_error error = { 0 };
    char *text = to_json(signature, arguments), *reply = NULL;
    void *result = room(ways, signature->result);
    int code = berth_call_json(ctx, name, text, &reply);
    if (code != BERTH_OK)
        berth_note("%s(%s): %s", name, text, berth_error_text(ctx));
    CHECK_INT(code, BERTH_OK);
    if (code == BERTH_OK && signature->result->kind != BERTH_KIND_VOID)
        CHECK_CODE(berth_json_read(signature->result, reply, strlen(reply), "result", &ways->arena,
                                   result, &error),
                   BERTH_OK, &error);
    compare(ways, "by JSON", name, signature->result, result, expected);
    free(reply);
    free(text);
    berth_clear(ctx);
}

/* Each function, with random arguments, in each way. */
static void walk(struct ways *ways)
{
    for (size_t i = 0; i < ways->manifest->export_count; i++) {
        const struct berth_manifest_export *export = &ways->manifest->exports[i];
        const struct berth_signature *signature = export->signature;
        direct_fn direct =
            (direct_fn)dlsym(ways->direct, berth_test_format("direct_%s", export->name));
        REQUIRE(direct != NULL);
        for (int round = 0; round < ROUNDS; round++) {
            berth_ctx *ctx = berth_host_enter(ways->host);
            const void **arguments = berth_test_random_arguments(signature, &ways->arena);
            void *expected = room(ways, signature->result);
            direct(arguments, expected);
            const char *plain = berth_test_format("callee.%s", export->name);
            const char *bound = berth_test_format("caller.%s", export->name);
            call_by_handle(ways, ctx, plain, signature, arguments, expected);
            call_by_handle(ways, ctx, bound, signature, arguments, expected);
            call_by_json(ways, ctx, plain, signature, arguments, expected);
            berth_leave(ctx);
            berth_arena_reset(&ways->arena);
        }
    }
}

static void agree(const char *callee, const char *caller, const char *direct, const char *placement,
                  bool owned)
{
    struct berth_host_options options = berth_test_host_options();
    struct berth_error error = { 0 };
    struct berth_image *image;
    struct ways ways = { .direct = dlopen(direct, RTLD_NOW | RTLD_LOCAL) };
    if (!ways.direct)
        berth_note("%s", dlerror());
    REQUIRE(ways.direct != NULL);
    options.flags = owned ? BERTH_HOST_CHECK_OWNERSHIP : 0;
    ways.host = berth_test_host(&options);
    berth_arena_init(&ways.arena);
    REQUIRE(berth_image_stage(callee, 1, NULL, &image, &error) == BERTH_OK);
    ways.manifest = image->manifest;
    struct berth_load_options load = { .size = sizeof(load), .placement = placement };
    CHECK_CODE(berth_host_load(ways.host, callee, &load, &error), BERTH_OK, &error);
    CHECK_CODE(berth_host_load(ways.host, caller, NULL, &error), BERTH_OK, &error);
    walk(&ways);
    CHECK(ways.compared >= FUNCTIONS * ROUNDS * 3);
    berth_host_free(ways.host);
    berth_image_free(image);
    berth_arena_deinit(&ways.arena);
    dlclose(ways.direct);
}

static void generate(void)
{
    char line[512];
    snprintf(line, sizeof(line), "%s %u %d %s", berth_test_built("tests/calls/generate"),
             (unsigned)(berth_test_random() % 1000000), FUNCTIONS, berth_test_dir());
    berth_note("%s", line);
    REQUIRE(berth_test_shell(NULL, line) == 0);
}

static void every_way_agrees(void)
{
    bool gcc = have("gcc"), clang = have("clang");
    if (!gcc && !clang)
        berth_skip("neither gcc nor clang");
    const char *one = gcc ? "gcc" : "clang", *other = clang ? "clang" : "gcc";
    generate();
    const char *direct = build("direct", one, "-O1");
    const char *slow = build("callee", one, "-O0"), *fast = build("callee", other, "-O2");
    agree(slow, build("caller", other, "-O2"), direct, "inline", false);
    agree(fast, build("caller", one, "-O2"), direct, "inline", false);
    if (!getenv("BERTH_TEST_UNDER")) /* valgrind runs no workers */
        agree(fast, build("caller", one, "-O0"), direct, "process", false);
    agree(slow, build("caller", other, "-O0"), direct, "inline", true);
}

static const struct berth_test tests[] = {
    { "every_way_agrees", every_way_agrees },
};

int main(int argc, char **argv)
{
    return berth_suite_main("calls", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
