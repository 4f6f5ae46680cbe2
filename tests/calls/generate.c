/* SPDX-License-Identifier: MIT */
/*
 * Writes random C functions of every type, in three forms, to see that all ways of calling agree
 * with the compiler's own:   generate SEED COUNT DIRECTORY
 *
 *   functions.h  the structs, and plain_fN: a function that hashes all of its arguments into its
 * result
 *   direct.c     direct_fN(arguments, result): calls plain_fN as C does
 *   callee.c     a module that exports fN
 *   caller.c     a module that imports callee.fN and exports fN, which passes on
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STRUCTS    6
#define FIELDS     6
#define PARAMETERS 16

static unsigned long long state;

static unsigned pick(unsigned count)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)((state * 0x2545f4914f6cdd1dULL) >> 33) % count;
}

static const char *const scalars[] = { "bool", "i8",  "i16", "i32", "i64", "u8",
                                       "u16",  "u32", "u64", "f32", "f64" };
#define SCALARS (sizeof(scalars) / sizeof(scalars[0]))

struct type {
    char text[32]; /* as in a manifest: array(s1) */
    char id[32];   /* as in C's names: array_s1 */
};

static struct type fields[STRUCTS][FIELDS];
static unsigned field_counts[STRUCTS], structs_known;

static void element(char name[12])
{
    unsigned kind = pick(10);
    if (kind < 6)
        strcpy(name, scalars[pick(SCALARS)]);
    else if (kind == 6)
        strcpy(name, "string");
    else if (kind == 7)
        strcpy(name, "bytes");
    else if (structs_known)
        snprintf(name, 12, "s%u", pick(structs_known));
    else
        strcpy(name, "u16");
}

static struct type random_type(void)
{
    struct type type;
    char name[12];
    unsigned kind = pick(12);
    element(name);
    if (kind == 0)
        strcpy(name, "json");
    if (kind == 1 || kind == 2)
        snprintf(type.text, sizeof(type.text), "array(%s)", name);
    else if (kind == 3 || kind == 4)
        snprintf(type.text, sizeof(type.text), "optional(%s)", name);
    else
        snprintf(type.text, sizeof(type.text), "%s", name);
    snprintf(type.id, sizeof(type.id), "%s%s",
             kind == 1 || kind == 2   ? "array_"
             : kind == 3 || kind == 4 ? "optional_"
                                      : "",
             name);
    return type;
}

static FILE *create(const char *directory, const char *name)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    if (!file) {
        perror(path);
        exit(1);
    }
    return file;
}

static void write_helpers(FILE *to)
{
    fputs("/* made by generate */\n"
          "#include <berth/module.h>\n#include <string.h>\n"
          "typedef unsigned long long U;\n"
          "void *gen_alloc(berth_ctx *ctx, size_t size);\n"
          "static inline U mix(U h, U v)\n"
          "{ h = (h ^ v) * 0x9e3779b97f4a7c15ULL; return h ^ (h >> 29); }\n"
          "static inline U hash_data(U h, const void *p, size_t n)\n"
          "{ const unsigned char *b = (const unsigned char *)p; h = mix(h, n);\n"
          "  for (size_t i = 0; i < n; i++) h = mix(h, b[i]); return h; }\n",
          to);
    for (size_t i = 0; i < SCALARS; i++) {
        const char *t = scalars[i];
        if (t[0] == 'f')
            fprintf(
                to,
                "BERTH_I_UNUSED static U hash_%s(U h, berth_%s v) { U b = 0; if (v != v) v = 7; "
                "memcpy(&b, &v, sizeof v); return mix(h, b); }\n"
                "BERTH_I_UNUSED static berth_%s make_%s(berth_ctx *c, U h) { (void)c; return "
                "(berth_%s)(h %% 100003) / 8 - 5000; }\n",
                t, t, t, t, t);
        else
            fprintf(to,
                    "BERTH_I_UNUSED static U hash_%s(U h, berth_%s v) { return mix(h, (U)v); }\n"
                    "BERTH_I_UNUSED static berth_%s make_%s(berth_ctx *c, U h) { (void)c; return "
                    "(berth_%s)%s; }\n",
                    t, t, t, t, t, strcmp(t, "bool") == 0 ? "(h & 1)" : "h");
    }
    fputs(
        "BERTH_I_UNUSED static U hash_string(U h, berth_string v)\n"
        "{ return hash_data(h, v, strlen(v)); }\n"
        "BERTH_I_UNUSED static berth_string make_string(berth_ctx *c, U h)\n"
        "{ size_t n = (size_t)(h % 40); char *p = (char *)gen_alloc(c, n + 1);\n"
        "  for (size_t i = 0; i < n; i++) p[i] = (char)('a' + (h >> (i % 50)) % 26);\n"
        "  p[n] = 0; return p; }\n"
        "BERTH_I_UNUSED static U hash_json(U h, berth_json v)\n"
        "{ return hash_data(h, v, strlen(v)); }\n"
        "BERTH_I_UNUSED static berth_json make_json(berth_ctx *c, U h) { (void)c; return h & 1 ? "
        "\"{\\\"a\\\":[1,2,null]}\" : \"17\"; }\n"
        "BERTH_I_UNUSED static U hash_bytes(U h, berth_bytes v)\n"
        "{ return hash_data(h, v.data, v.size); }\n"
        "BERTH_I_UNUSED static berth_bytes make_bytes(berth_ctx *c, U h)\n"
        "{ berth_bytes r = {gen_alloc(c, 64), (size_t)(h % 64)}; for (size_t i "
        "= 0; i < r.size; i++)\n"
        "  ((unsigned char *)(uintptr_t)r.data)[i] = (unsigned char)(h >> (i % 56)); return r; }\n"
        "#define AROUND(t) \\\n"
        "BERTH_I_UNUSED static U hash_array_##t(U h, berth_array_##t v) \\\n"
        "{ h = mix(h, v.count); for (size_t i = 0; i < v.count; i++) h = "
        "hash_##t(h, v.data[i]); return h; } \\\n"
        "BERTH_I_UNUSED static berth_array_##t make_array_##t(berth_ctx *c, U h) \\\n"
        "{ size_t n = (size_t)(h % 5); berth_##t *p = (berth_##t "
        "*)gen_alloc(c, n * sizeof *p + 1); \\\n"
        "  for (size_t i = 0; i < n; i++) p[i] = make_##t(c, mix(h, i)); \\\n"
        "  berth_array_##t r = {p, n}; return r; }\n"
        "#define MAYBE(t) \\\n"
        "BERTH_I_UNUSED static U hash_optional_##t(U h, berth_optional_##t v) \\\n"
        "{ return v.present ? hash_##t(mix(h, 1), v.value) : mix(h, 2); } \\\n"
        "BERTH_I_UNUSED static berth_optional_##t make_optional_##t(berth_ctx *c, U h) \\\n"
        "{ berth_optional_##t r; memset(&r, 0, sizeof r); r.present = h & 1; \\\n"
        "  if (r.present) r.value = make_##t(c, h >> 1); return r; }\n"
        "#define MAYBE_TEXT(t) \\\n"
        "BERTH_I_UNUSED static U hash_optional_##t(U h, berth_optional_##t v) "
        "{ return v ? hash_##t(h, v) : mix(h, 2); } \\\n"
        "BERTH_I_UNUSED static berth_optional_##t make_optional_##t(berth_ctx "
        "*c, U h) { return h & 1 ? make_##t(c, h) : 0; }\n"
        "AROUND(string) AROUND(json) AROUND(bytes) MAYBE(bytes) "
        "MAYBE_TEXT(string) MAYBE_TEXT(json)\n",
        to);
    /* bool is a macro in C11: not through AROUND */
    for (size_t i = 0; i < SCALARS; i++)
        if (strcmp(scalars[i], "bool") != 0)
            fprintf(to, "AROUND(%s) MAYBE(%s)\n", scalars[i], scalars[i]);
    fputs("#define hash__Bool hash_bool\n#define make__Bool make_bool\nAROUND(_Bool) MAYBE(_Bool)\n"
          "#define hash_array_bool hash_array__Bool\n#define make_array_bool make_array__Bool\n"
          "#define hash_optional_bool hash_optional__Bool\n"
          "#define make_optional_bool make_optional__Bool\n",
          to);
}

static void write_struct(FILE *to, unsigned number)
{
    unsigned count = field_counts[number] = 1 + pick(FIELDS);
    for (unsigned i = 0; i < count; i++)
        fields[number][i] = random_type();
    fprintf(to, "BERTH_STRUCT(s%u", number);
    for (unsigned i = 0; i < count; i++)
        fprintf(to, ", (%s, m%u)", fields[number][i].text, i);
    fprintf(to, ");\nBERTH_I_UNUSED static U hash_s%u(U h, berth_s%u v)\n{\n", number, number);
    for (unsigned i = 0; i < count; i++)
        fprintf(to, "    h = hash_%s(h, v.m%u);\n", fields[number][i].id, i);
    fprintf(to,
            "    return h;\n}\nBERTH_I_UNUSED static berth_s%u make_s%u(berth_ctx *c, U h)\n{\n"
            "    berth_s%u r;\n    memset(&r, 0, sizeof r);\n",
            number, number, number);
    for (unsigned i = 0; i < count; i++)
        fprintf(to, "    r.m%u = make_%s(c, mix(h, %u));\n", i, fields[number][i].id, i);
    fprintf(to, "    return r;\n}\nAROUND(s%u) MAYBE(s%u)\n", number, number);
    structs_known++;
}

struct function {
    struct type result, parameters[PARAMETERS];
    unsigned count;
    int is_void;
};

static void write_plain(FILE *to, const struct function *f, unsigned number)
{
    fprintf(to, "__attribute__((noinline, unused)) static berth_%s plain_f%u(berth_ctx *ctx",
            f->is_void ? "void" : f->result.id, number);
    for (unsigned i = 0; i < f->count; i++)
        fprintf(to, ", berth_%s p%u", f->parameters[i].id, i);
    fprintf(to, ")\n{\n    U h = %u;\n    (void)ctx;\n", number);
    for (unsigned i = 0; i < f->count; i++)
        fprintf(to, "    h = hash_%s(h, p%u);\n", f->parameters[i].id, i);
    if (f->is_void)
        fprintf(to, "    if (h == 1)\n        gen_alloc(ctx, 1);\n}\n");
    else
        fprintf(to, "    return make_%s(ctx, h);\n}\n", f->result.id);
}

static void write_direct(FILE *to, const struct function *f, unsigned number)
{
    fprintf(to,
            "void direct_f%u(const void *const *a, void *r);\n"
            "void direct_f%u(const void *const *a, void *r)\n{\n    (void)a;\n    (void)r;\n    ",
            number, number);
    if (!f->is_void)
        fprintf(to, "*(berth_%s *)r = ", f->result.id);
    fprintf(to, "plain_f%u(0", number);
    for (unsigned i = 0; i < f->count; i++)
        fprintf(to, ", *(const berth_%s *)a[%u]", f->parameters[i].id, i);
    fprintf(to, ");\n}\n");
}

static void write_module(FILE *to, const struct function *f, unsigned number, const char *call)
{
    const char *result = f->is_void ? "void" : f->result.text;
    if (strcmp(call, "callee_") == 0) {
        fprintf(to, "BERTH_IMPORT(%s, callee, f%u", result, number);
        for (unsigned i = 0; i < f->count; i++)
            fprintf(to, ", (%s, p%u)", f->parameters[i].text, i);
        fprintf(to, ");\n");
    }
    fprintf(to, "BERTH_EXPORT(%s, f%u, \"Number %u.\"", result, number, number);
    for (unsigned i = 0; i < f->count; i++)
        fprintf(to, ", (%s, p%u)", f->parameters[i].text, i);
    fprintf(to, ")\n{\n    %s%sf%u(ctx", f->is_void ? "" : "return ", call, number);
    for (unsigned i = 0; i < f->count; i++)
        fprintf(to, ", p%u", i);
    fprintf(to, ");\n}\n");
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: generate SEED COUNT DIRECTORY\n");
        return 2;
    }
    state = strtoull(argv[1], NULL, 10) * 2 + 1;
    unsigned count = (unsigned)atoi(argv[2]);
    FILE *shared = create(argv[3], "functions.h"), *direct = create(argv[3], "direct.c");
    FILE *callee = create(argv[3], "callee.c"), *caller = create(argv[3], "caller.c");
    for (int i = 0; i < 20; i++)
        pick(2);
    write_helpers(shared);
    for (unsigned i = 0; i < STRUCTS; i++)
        write_struct(shared, i);
    fputs("#include \"functions.h\"\n#include <stdlib.h>\n"
          "static struct block { struct block *next; long double data[]; } *blocks;\n"
          "void *gen_alloc(berth_ctx *ctx, size_t size)\n{\n    (void)ctx;\n"
          "    struct block *block = calloc(1, sizeof *block + size + 1);\n"
          "    block->next = blocks;\n    blocks = block;\n    return block->data;\n}\n"
          "__attribute__((destructor)) static void free_all(void)\n{\n    while (blocks) {\n"
          "        struct block *next = blocks->next;\n        free(blocks);\n"
          "        blocks = next;\n    }\n}\n",
          direct);
    fputs(
        "#include \"functions.h\"\nBERTH_MODULE(\"callee\", \"1.0.0\", "
        "\"Generated.\");\nBERTH_PARALLEL;\n"
        "void *gen_alloc(berth_ctx *ctx, size_t size)\n{\n    return berth_alloc(ctx, size);\n}\n",
        callee);
    fputs(
        "#include \"functions.h\"\nBERTH_MODULE(\"caller\", \"1.0.0\", \"Generated.\");\n"
        "void *gen_alloc(berth_ctx *ctx, size_t size)\n{\n    return berth_alloc(ctx, size);\n}\n",
        caller);
    for (unsigned n = 0; n < count; n++) {
        struct function f = { .count = pick(PARAMETERS + 1), .is_void = pick(12) == 0 };
        f.result = random_type();
        for (unsigned i = 0; i < f.count; i++)
            f.parameters[i] = random_type();
        write_plain(shared, &f, n);
        write_direct(direct, &f, n);
        write_module(callee, &f, n, "plain_");
        write_module(caller, &f, n, "callee_");
    }
    return fclose(shared) | fclose(direct) | fclose(callee) | fclose(caller) ? 1 : 0;
}
