/* SPDX-License-Identifier: MIT */
/*
 * What a call costs. The limit of a bound call is a pointer from dlsym, of a dynamic one ffi_call.
 * "near" is from one module into another, "far" from this program into a module.
 */
#include "tests/bench/bench.h"
#include "tests/bench/loops.h"

#include <berth/host.h>
#include <dlfcn.h>
#include <ffi.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

BERTH_BOUND(f64, loop, (u64, add), (i64, n));
BERTH_BOUND(f64, add, (f64, a), (f64, b));
BERTH_BOUND(string, text, (i64, from));
BERTH_BOUND(void, point, (u64, add));

enum { POINTER_TIGHT, POINTER_WORK, PARALLEL_TIGHT, PARALLEL_WORK, SERIAL_TIGHT, LOOPS };
static const char *const loop_names[LOOPS] = {
    "bench_near.pointer_tight", "bench_near.pointer_work", "bench_near.parallel_tight",
    "bench_near.parallel_work", "bench_near.serial_tight",
};

static berth_host *host;
static berth_ctx *main_ctx;
static loop_bound loops[LOOPS];
static add_bound parallel, serial;
static text_bound text;
static point_bound point;
static berth_function *handle;
static double (*plain_add)(double, double), (*other_add)(double, double);
static const char *(*plain_text)(int64_t);
static ffi_cif cif;

static void check(berth_ctx *ctx)
{
    if (berth_failed(ctx))
        bench_die("%s", berth_error_text(ctx));
}

/* ---- bound ----------------------------------------------------------------------------------- */

static double near(berth_ctx *ctx, int loop, long n)
{
    double cost = loop_call(&loops[loop], ctx, (uint64_t)(uintptr_t)plain_add, n);

    check(ctx);
    return cost;
}

static double near_pointer_tight(void *user, long n)
{
    (void)user;
    return near(main_ctx, POINTER_TIGHT, n);
}

static double near_pointer_work(void *user, long n)
{
    (void)user;
    return near(main_ctx, POINTER_WORK, n);
}

static double near_parallel_tight(void *user, long n)
{
    (void)user;
    return near(main_ctx, PARALLEL_TIGHT, n);
}

static double near_parallel_work(void *user, long n)
{
    (void)user;
    return near(main_ctx, PARALLEL_WORK, n);
}

static double near_serial_tight(void *user, long n)
{
    (void)user;
    return near(main_ctx, SERIAL_TIGHT, n);
}

#define FAR_POINTER(a, b)  BENCH_POINTER(plain_add)(a, b)
#define FAR_PARALLEL(a, b) add_call(&parallel, ctx, a, b)
#define FAR_SERIAL(a, b)   add_call(&serial, ctx, a, b)

static double far_pointer_tight(void *user, long n)
{
    (void)user;
    BENCH_TIGHT(FAR_POINTER);
}

static double far_pointer_work(void *user, long n)
{
    (void)user;
    BENCH_WORK(FAR_POINTER);
}

static double far_parallel_tight(void *user, long n)
{
    berth_ctx *ctx = main_ctx;

    (void)user;
    BENCH_TIGHT(FAR_PARALLEL);
}

static double far_parallel_work(void *user, long n)
{
    berth_ctx *ctx = main_ctx;

    (void)user;
    BENCH_WORK(FAR_PARALLEL);
}

static double far_serial_tight(void *user, long n)
{
    berth_ctx *ctx = main_ctx;

    (void)user;
    BENCH_TIGHT(FAR_SERIAL);
}

static double far_pointer_text(void *user, long n)
{
    const char *result = "";
    double start = bench_clock();

    (void)user;
    for (long i = 0; i < n; i++)
        result = BENCH_POINTER(plain_text)((int64_t)(uintptr_t)result);
    bench_sink = (double)*result;
    return bench_clock() - start;
}

/* A result that is not in the call's memory is copied there; the mark gives it back. */
static double far_text(void *user, long n)
{
    const char *result = "";
    double start = bench_clock();
    uint64_t mark = berth_mark(main_ctx);

    (void)user;
    for (long i = 0; i < n; i++) {
        result = text_call(&text, main_ctx, (int64_t)(uintptr_t)result);
        if ((i & 1023) == 1023)
            berth_rewind(main_ctx, mark);
    }
    check(main_ctx);
    berth_rewind(main_ctx, mark);
    return bench_clock() - start;
}

/* ---- with the other processor ---------------------------------------------------------------- */

struct companion {
    pthread_t thread;
    bool started, stop; /* atomic */
    int loop;
    struct bench_row *row;
};

static void *call_too(void *user)
{
    struct companion *companion = user;
    berth_ctx *ctx;

    bench_pin(1);
    ctx = berth_host_enter(host);
    if (!ctx)
        bench_die("no memory");
    while (!__atomic_load_n(&companion->stop, __ATOMIC_RELAXED)) {
        near(ctx, companion->loop, 1000);
        __atomic_store_n(&companion->started, true, __ATOMIC_RELEASE);
    }
    berth_leave(ctx);
    return NULL;
}

/* All of it: stage, load, switch, drain, unmap. */
static void reload_math(long *unmapped)
{
    struct berth_reload_report report = { .size = sizeof(report) };
    struct berth_error error;

    if (berth_host_reload(host, "bench_math", NULL, &report, &error) != BERTH_OK)
        bench_die("reload: %s", error.text);
    if (unmapped)
        *unmapped += report.unmapped;
}

/* A thousand times a second. */
static void *replace(void *user)
{
    struct companion *companion = user;
    double start = bench_now();
    long done = 0, unmapped = 0;

    bench_pin(1);
    while (!__atomic_load_n(&companion->stop, __ATOMIC_RELAXED)) {
        struct timespec rest = { 0 };
        double ahead;

        reload_math(&unmapped);
        done++;
        __atomic_store_n(&companion->started, true, __ATOMIC_RELEASE);
        ahead = start + (double)done * 1e6 - bench_now();
        rest.tv_nsec = (long)ahead;
        if (ahead > 0)
            nanosleep(&rest, NULL);
    }
    if (companion->row)
        snprintf(companion->row->note, sizeof(companion->row->note),
                 "%.0f reloads/s, %.0f %% unmapped", (double)done / (bench_now() - start) * 1e9,
                 100.0 * (double)unmapped / (double)done);
    return NULL;
}

/* As often, only another address in the pointer: what the processor alone makes of that. */
static void *repoint(void *user)
{
    struct companion *companion = user;
    berth_ctx *ctx;

    bench_pin(1);
    ctx = berth_host_enter(host);
    if (!ctx)
        bench_die("no memory");
    for (bool other = true; !__atomic_load_n(&companion->stop, __ATOMIC_RELAXED); other = !other) {
        point_call(&point, ctx, (uint64_t)(uintptr_t)(other ? other_add : plain_add));
        __atomic_store_n(&companion->started, true, __ATOMIC_RELEASE);
        nanosleep(&(struct timespec){ .tv_nsec = 940000 }, NULL);
    }
    berth_leave(ctx);
    return NULL;
}

static double accompanied(void *(*body)(void *), int loop, struct bench_row *row, long n)
{
    struct companion companion = { .loop = loop, .row = row };
    double cost;

    if (pthread_create(&companion.thread, NULL, body, &companion) != 0)
        bench_die("no thread");
    while (!__atomic_load_n(&companion.started, __ATOMIC_ACQUIRE))
        sched_yield();
    cost = near(main_ctx, loop, n);
    __atomic_store_n(&companion.stop, true, __ATOMIC_RELAXED);
    pthread_join(companion.thread, NULL);
    return cost;
}

static double two_tight(void *user, long n)
{
    return accompanied(call_too, PARALLEL_TIGHT, user, n);
}

static double two_work(void *user, long n)
{
    return accompanied(call_too, PARALLEL_WORK, user, n);
}

static double two_serial(void *user, long n)
{
    return accompanied(call_too, SERIAL_TIGHT, user, n);
}

/*
 * Alone, but at as many places: where an image comes to lie decides about a cycle of the loop, so
 * that one image is no measure for a hundred.
 */
static double placed(int loop, long n)
{
    enum { PLACES = 20 };
    double cost = 0;

    for (int i = 0; i < PLACES; i++) {
        reload_math(NULL);
        near(main_ctx, loop, 1000);
        cost += near(main_ctx, loop, n / PLACES);
    }
    return cost;
}

static double placed_tight(void *user, long n)
{
    (void)user;
    return placed(PARALLEL_TIGHT, n);
}

static double placed_work(void *user, long n)
{
    (void)user;
    return placed(PARALLEL_WORK, n);
}

static double repointed_tight(void *user, long n)
{
    return accompanied(repoint, POINTER_TIGHT, user, n);
}

static double swapped_tight(void *user, long n)
{
    return accompanied(replace, PARALLEL_TIGHT, user, n);
}

static double swapped_work(void *user, long n)
{
    return accompanied(replace, PARALLEL_WORK, user, n);
}

/* ---- dynamic --------------------------------------------------------------------------------- */

static double call_ffi(void *user, long n)
{
    double a = 0, b = 1, start = bench_clock();
    void *arguments[] = { &a, &b };

    (void)user;
    for (long i = 0; i < n; i++)
        ffi_call(&cif, FFI_FN(BENCH_POINTER(plain_add)), &a, arguments);
    return bench_clock() - start;
}

static double call_invoke(void *user, long n)
{
    double a = 0, b = 1, start = bench_clock();
    const void *arguments[] = { &a, &b };

    (void)user;
    for (long i = 0; i < n; i++)
        berth_function_invoke(handle, main_ctx, arguments, &a);
    check(main_ctx);
    return bench_clock() - start;
}

static double call_handle(void *user, long n)
{
    struct berth_value values[2] = { { .kind = BERTH_VALUE_F64 },
                                     { .kind = BERTH_VALUE_F64, .as.f64 = 1 } };
    double start = bench_clock();

    (void)user;
    for (long i = 0; i < n; i++)
        berth_function_call(handle, main_ctx, values, 2, &values[0]);
    check(main_ctx);
    return bench_clock() - start;
}

static double call_name(void *user, long n)
{
    struct berth_value values[2] = { { .kind = BERTH_VALUE_F64 },
                                     { .kind = BERTH_VALUE_F64, .as.f64 = 1 } };
    double start = bench_clock();

    (void)user;
    for (long i = 0; i < n; i++)
        berth_call(main_ctx, "bench_many.f618", values, 2, &values[0]);
    check(main_ctx);
    return bench_clock() - start;
}

/* Each call another of the thousand. */
static double call_names(void *user, long n)
{
    static char names[1000][16];
    struct berth_value values[2] = { { .kind = BERTH_VALUE_F64 },
                                     { .kind = BERTH_VALUE_F64, .as.f64 = 1 } };
    double start;

    (void)user;
    for (unsigned i = 0; i < 1000; i++)
        snprintf(names[i], sizeof(names[i]), "bench_many.f%03u", i * 619 % 1000);
    start = bench_clock();
    for (long i = 0; i < n; i++)
        berth_call(main_ctx, names[i % 1000], values, 2, &values[0]);
    check(main_ctx);
    return bench_clock() - start;
}

static double call_json(void *user, long n)
{
    double start = bench_clock();

    (void)user;
    for (long i = 0; i < n; i++) {
        char *result = NULL;
        if (berth_call_json(main_ctx, "bench_math.add", "[1.5, 2.25]", &result) != BERTH_OK)
            check(main_ctx);
        free(result);
    }
    return bench_clock() - start;
}

/* ---- peers: opened when they are there, so that nothing depends on them ---------------------- */

static void *library;
static double call_dlsym(void *user, long n)
{
    double x = 0, start = bench_clock();

    (void)user;
    for (long i = 0; i < n; i++)
        x = ((double (*)(double, double))dlsym(library, "bench_plain_add"))(x, 1.0);
    bench_sink = x;
    return bench_clock() - start;
}

/* A GHashTable from names to pointers, then ffi_call. */
static struct {
    void *table;
    void *(*lookup)(void *table, const void *key);
} glib;

static const char *find_glib(void)
{
    void *object = dlopen("libglib-2.0.so.0", RTLD_NOW | RTLD_LOCAL);
    void *(*make)(void *, void *);
    int (*insert)(void *, void *, void *);

    if (!object)
        return "no libglib-2.0.so.0";
    make = (void *(*)(void *, void *))dlsym(object, "g_hash_table_new");
    insert = (int (*)(void *, void *, void *))dlsym(object, "g_hash_table_insert");
    glib.lookup = (void *(*)(void *, const void *))dlsym(object, "g_hash_table_lookup");
    if (!make || !insert || !glib.lookup)
        return "another libglib";
    glib.table = make(dlsym(object, "g_str_hash"), dlsym(object, "g_str_equal"));
    for (unsigned i = 0; i < 1000; i++) {
        char name[32];
        snprintf(name, sizeof(name), "bench_many.f%03u", i);
        insert(glib.table, strdup(name), (void *)plain_add);
    }
    return NULL;
}

static double call_glib(void *user, long n)
{
    double a = 0, b = 1, start = bench_clock();
    void *arguments[] = { &a, &b };

    (void)user;
    for (long i = 0; i < n; i++)
        ffi_call(&cif, FFI_FN(glib.lookup(glib.table, "bench_many.f618")), &a, arguments);
    return bench_clock() - start;
}

/* A C function in Lua 5.4, under lua_pcall. */
static struct {
    void *state;
    int (*getglobal)(void *, const char *);
    void (*pushnumber)(void *, double);
    double (*tonumber)(void *, int, int *);
    void (*settop)(void *, int);
    int (*pcall)(void *, int, int, int, intptr_t, void *);
} lua;

static int lua_add(void *state)
{
    lua.pushnumber(state, lua.tonumber(state, 1, NULL) + lua.tonumber(state, 2, NULL));
    return 1;
}

static const char *find_lua(void)
{
    void *object = dlopen("liblua5.4.so.0", RTLD_NOW | RTLD_LOCAL);
    void *(*make)(void);
    void (*closure)(void *, int (*)(void *), int);
    void (*setglobal)(void *, const char *);

    if (!object)
        return "no liblua5.4.so.0";
    make = (void *(*)(void))dlsym(object, "luaL_newstate");
    closure = (void (*)(void *, int (*)(void *), int))dlsym(object, "lua_pushcclosure");
    setglobal = (void (*)(void *, const char *))dlsym(object, "lua_setglobal");
    lua.getglobal = (int (*)(void *, const char *))dlsym(object, "lua_getglobal");
    lua.pushnumber = (void (*)(void *, double))dlsym(object, "lua_pushnumber");
    lua.tonumber = (double (*)(void *, int, int *))dlsym(object, "lua_tonumberx");
    lua.settop = (void (*)(void *, int))dlsym(object, "lua_settop");
    lua.pcall = (int (*)(void *, int, int, int, intptr_t, void *))dlsym(object, "lua_pcallk");
    if (!make || !closure || !setglobal || !lua.getglobal || !lua.pushnumber || !lua.tonumber ||
        !lua.settop || !lua.pcall || !(lua.state = make()))
        return "another liblua";
    closure(lua.state, lua_add, 0);
    setglobal(lua.state, "add");
    return NULL;
}

static double call_lua(void *user, long n)
{
    double x = 0, start = bench_clock();

    (void)user;
    for (long i = 0; i < n; i++) {
        lua.getglobal(lua.state, "add");
        lua.pushnumber(lua.state, x);
        lua.pushnumber(lua.state, 1);
        lua.pcall(lua.state, 2, 1, 0, 0, NULL);
        x = lua.tonumber(lua.state, -1, NULL);
        lua.settop(lua.state, -2);
    }
    bench_sink = x;
    return bench_clock() - start;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static struct bench_row rows[] = {
    { .id = "near.control",
      .what = "near: a dlsym pointer against itself",
      .limit = near_pointer_tight,
      .run = near_pointer_tight },
    { .id = "near.parallel.tight",
      .what = "near: bound, parallel, tight loop",
      .limit = near_pointer_tight,
      .run = near_parallel_tight,
      .goal = 1.4 },
    { .id = "near.parallel.work",
      .what = "near: bound, parallel, 30 ns of other work",
      .limit = near_pointer_work,
      .run = near_parallel_work,
      .goal = 1.05 },
    { .id = "near.serial.tight",
      .what = "near: bound, serial, nobody else",
      .limit = near_pointer_tight,
      .run = near_serial_tight,
      .goal = 4 },
    { .id = "far.control",
      .what = "far: a dlsym pointer against itself",
      .limit = far_pointer_tight,
      .run = far_pointer_tight },
    { .id = "far.parallel.tight",
      .what = "far: bound, parallel, tight loop",
      .limit = far_pointer_tight,
      .run = far_parallel_tight,
      .goal = 1.4 },
    { .id = "far.parallel.work",
      .what = "far: bound, parallel, 30 ns of other work",
      .limit = far_pointer_work,
      .run = far_parallel_work,
      .goal = 1.05 },
    { .id = "far.serial.tight",
      .what = "far: bound, serial, nobody else",
      .limit = far_pointer_tight,
      .run = far_serial_tight,
      .goal = 4 },
    { .id = "far.string",
      .what = "far: bound, a constant string as result, copied",
      .limit = far_pointer_text,
      .run = far_text },
    { .id = "two.tight",
      .what = "bound, tight: two cores call / one alone",
      .limit = near_parallel_tight,
      .run = two_tight,
      .goal = 1.1,
      .two_cores = true },
    { .id = "two.work",
      .what = "bound, 30 ns: two cores call / one alone",
      .limit = near_parallel_work,
      .run = two_work,
      .goal = 1.1,
      .two_cores = true },
    { .id = "two.serial",
      .what = "bound, serial, tight: two cores call / one alone",
      .limit = near_serial_tight,
      .run = two_serial,
      .two_cores = true },
    { .id = "swap.pointer",
      .what = "dlsym pointer, tight: changed meanwhile / alone",
      .limit = near_pointer_tight,
      .run = repointed_tight,
      .two_cores = true,
      .n = 60000000 },
    { .id = "swap.tight",
      .what = "bound, tight: reloaded meanwhile / in between",
      .limit = placed_tight,
      .run = swapped_tight,
      .goal = 1.1,
      .two_cores = true,
      .n = 60000000 },
    { .id = "swap.work",
      .what = "bound, 30 ns: reloaded meanwhile / in between",
      .limit = placed_work,
      .run = swapped_work,
      .goal = 1.1,
      .two_cores = true,
      .n = 3000000 },
    { .id = "dynamic.control",
      .what = "ffi_call against itself",
      .limit = call_ffi,
      .run = call_ffi },
    { .id = "dynamic.handle.memory",
      .what = "berth_function_invoke / ffi_call",
      .limit = call_ffi,
      .run = call_invoke,
      .goal = 1.3 },
    { .id = "dynamic.handle.values",
      .what = "berth_function_call / ffi_call",
      .limit = call_ffi,
      .run = call_handle,
      .goal = 1.3 },
    { .id = "dynamic.name",
      .what = "berth_call, one of 1,000 names / ffi_call",
      .limit = call_ffi,
      .run = call_name,
      .goal = 2 },
    { .id = "dynamic.names",
      .what = "berth_call, 1,000 names in turn / ffi_call",
      .limit = call_ffi,
      .run = call_names },
    { .id = "dynamic.json",
      .what = "berth_call_json / ffi_call",
      .limit = call_ffi,
      .run = call_json },
    { .id = "peer.dlsym",
      .what = "peer: dlsym for each call / ffi_call",
      .limit = call_ffi,
      .run = call_dlsym },
    { .id = "peer.glib",
      .what = "peer: GHashTable, 1,000 names, ffi_call / ffi_call",
      .limit = call_ffi,
      .run = call_glib },
    { .id = "peer.lua",
      .what = "peer: C function through lua_pcall / ffi_call",
      .limit = call_ffi,
      .run = call_lua },
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static struct bench_row *row(const char *id)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (strcmp(rows[i].id, id) == 0)
            return &rows[i];
    }
    abort();
}

/* The functions without Berth, from a file that this process has open beside the host's copies. */
static void open_plain(void)
{
    static ffi_type *types[] = { &ffi_type_double, &ffi_type_double };
    void *other;

    library = dlopen(bench_module("math"), RTLD_NOW | RTLD_LOCAL);
    if (!library || !(other = dlopen(bench_module("serial"), RTLD_NOW | RTLD_LOCAL)))
        bench_die("%s", dlerror());
    plain_add = (double (*)(double, double))dlsym(library, "bench_plain_add");
    plain_text = (const char *(*)(int64_t))dlsym(library, "bench_plain_text");
    other_add = (double (*)(double, double))dlsym(other, "bench_plain_add");
    if (!plain_add || !other_add || !plain_text ||
        ffi_prep_cif(&cif, FFI_DEFAULT_ABI, 2, &ffi_type_double, types) != FFI_OK)
        bench_die("cannot prepare");
}

static void open_host(void)
{
    static const char *const modules[] = { "math", "serial", "near", "many" };
    struct berth_host_options options;
    struct berth_error error;

    berth_host_options_init(&options);
    options.threads = 0;
    if (berth_host_new(&options, &host, &error) != BERTH_OK)
        bench_die("%s", error.text);
    for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++) {
        if (berth_host_load(host, bench_module(modules[i]), NULL, &error) != BERTH_OK)
            bench_die("%s", error.text);
    }
    for (int i = 0; i < LOOPS; i++) {
        if (berth_bind(host, loop_names[i], loop, &loops[i], &error) != BERTH_OK)
            bench_die("%s", error.text);
    }
    if (berth_bind(host, "bench_math.add", add, &parallel, &error) != BERTH_OK ||
        berth_bind(host, "bench_serial.add", add, &serial, &error) != BERTH_OK ||
        berth_bind(host, "bench_math.text", text, &text, &error) != BERTH_OK ||
        berth_bind(host, "bench_near.point", point, &point, &error) != BERTH_OK ||
        berth_function_find(host, "bench_math.add", &handle, &error) != BERTH_OK)
        bench_die("%s", error.text);
    main_ctx = berth_host_enter(host);
    if (!main_ctx)
        bench_die("no memory");
}

static void close_host(void)
{
    berth_leave(main_ctx);
    berth_function_free(handle);
    berth_unbind(host, &parallel);
    berth_unbind(host, &serial);
    berth_unbind(host, &text);
    berth_unbind(host, &point);
    for (int i = 0; i < LOOPS; i++)
        berth_unbind(host, &loops[i]);
    berth_host_free(host);
}

int main(int argc, char **argv)
{
    int result;

    bench_pin(0);
    open_plain();
    open_host();
    row("peer.glib")->skipped = find_glib();
    row("peer.lua")->skipped = find_lua();
    row("swap.tight")->user = row("swap.tight");
    row("swap.work")->user = row("swap.work");
    result = bench_main(argc, argv, "call", rows, ROWS);
    close_host();
    return result;
}
