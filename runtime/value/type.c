/* SPDX-License-Identifier: MIT */
#include "runtime/value/type.h"

#include "runtime/base/arena.h"
#include "runtime/base/buffer.h"
#include "runtime/base/error.h"
#include "runtime/base/map.h"
#include "runtime/base/memory.h"
#include "runtime/base/pool.h"
#include "runtime/base/text.h"

#include <berth/call.h>
#include <string.h>

/* Ten times what as many functions take as a manifest may have. */
#define TYPES_MEMORY_MAX ((uint64_t)16 << 20)
#define TEXT_MAX         (sizeof("optional()") + BERTH_IDENTIFIER_MAX) /* with its NUL */

struct berth_types {
    struct berth_arena arena;
    struct berth_map names; /* text → type: all that is not built in */
    struct berth_type *first, **last;
};

/* ---- built-in types ---- */

/* clang-format off */
#define BUILT_IN(k, spelt, type, is_plain)                                                  \
    [BERTH_KIND_##k] = { .kind = BERTH_KIND_##k, .plain = is_plain, .size = sizeof(type),   \
                         .align = _Alignof(type), .text = spelt, .identity = spelt,         \
                         .name = spelt, .doc = "", .module = "" }
static const struct berth_type built_in[] = {
    [BERTH_KIND_VOID] = { .kind = BERTH_KIND_VOID, .plain = true, .align = 1, .text = "void",
                          .identity = "void", .name = "void", .doc = "", .module = "" },
    BUILT_IN(BOOL, "bool", bool, true),
    BUILT_IN(I8, "i8", int8_t, true),
    BUILT_IN(I16, "i16", int16_t, true),
    BUILT_IN(I32, "i32", int32_t, true),
    BUILT_IN(I64, "i64", int64_t, true),
    BUILT_IN(U8, "u8", uint8_t, true),
    BUILT_IN(U16, "u16", uint16_t, true),
    BUILT_IN(U32, "u32", uint32_t, true),
    BUILT_IN(U64, "u64", uint64_t, true),
    BUILT_IN(F32, "f32", float, true),
    BUILT_IN(F64, "f64", double, true),
    BUILT_IN(STRING, "string", berth_string, false),
    BUILT_IN(JSON, "json", berth_json, false),
    BUILT_IN(BYTES, "bytes", berth_bytes, false),
};
/* clang-format on */
#define BUILT_IN_COUNT (sizeof(built_in) / sizeof(built_in[0]))

_Static_assert(sizeof(struct berth_span) == sizeof(berth_bytes) &&
                   offsetof(struct berth_span, count) == offsetof(berth_bytes, size),
               "a span is the generic form of bytes");
_Static_assert(sizeof(struct berth_span) == sizeof(berth_array_f64) &&
                   offsetof(struct berth_span, count) == offsetof(berth_array_f64, count),
               "a span is the generic form of arrays");

static const struct berth_type *find_built_in(const char *name)
{
    if (strcmp(name, "_Bool") == 0) /* what the preprocessor makes of bool in C11 */
        return &built_in[BERTH_KIND_BOOL];
    for (size_t i = 0; i < BUILT_IN_COUNT; i++)
        if (berth_text_equal(built_in[i].name, name))
            return &built_in[i];
    return NULL;
}

/* ---- names ---- */

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool identifier_valid(const char *text, size_t length)
{
    if (length == 0 || length > BERTH_IDENTIFIER_MAX || !is_lower(text[0]))
        return false;
    for (size_t i = 1; i < length; i++)
        if (!is_lower(text[i]) && !is_digit(text[i]) && text[i] != '_')
            return false;
    return true;
}

bool berth_identifier_valid(const char *text)
{
    return identifier_valid(text, strnlen(text, BERTH_IDENTIFIER_MAX + 1));
}

bool berth_c_identifier_valid(const char *text)
{
    size_t length = strnlen(text, BERTH_IDENTIFIER_MAX + 1);

    if (length == 0 || length > BERTH_IDENTIFIER_MAX || is_digit(text[0]))
        return false;
    for (size_t i = 0; i < length; i++)
        if (!is_lower(text[i]) && !is_upper(text[i]) && !is_digit(text[i]) && text[i] != '_')
            return false;
    return true;
}

bool berth_function_name_valid(const char *text)
{
    size_t length = strcspn(text, ".");
    return text[length] == '.' && identifier_valid(text, length) &&
           berth_identifier_valid(text + length + 1);
}

bool berth_function_pattern_valid(const char *text)
{
    size_t length = strcspn(text, ".");
    return strcmp(text, "*") == 0 || berth_function_name_valid(text) ||
           (identifier_valid(text, length) && strcmp(text + length, ".*") == 0);
}

/* Who is allowed everything is not meant to unload, or to permit, as for topics below host. */
bool berth_function_pattern_matches(const char *pattern, const char *name)
{
    if (*pattern == '*')
        return strncmp(name, "host.", 5) != 0;
    size_t length = strcspn(pattern, ".") + 1;
    return pattern[length] == '*' ? strncmp(pattern, name, length) == 0
                                  : strcmp(pattern, name) == 0;
}

static bool is_reserved(const char *name)
{
    return find_built_in(name) || strcmp(name, "array") == 0 || strcmp(name, "optional") == 0;
}

/* ---- the set ---- */

#define TYPES_ROOM ((size_t)768) /* as much as the signatures of a small module take */

struct berth_types *berth_types_new(void)
{
    struct berth_types *types = berth_pool_alloc(sizeof(*types) + TYPES_ROOM);

    if (!types)
        return NULL;
    berth_arena_init(&types->arena);
    berth_arena_lend(&types->arena, types + 1, TYPES_ROOM);
    berth_map_init(&types->names);
    types->first = NULL;
    types->last = &types->first;
    return types;
}

void berth_types_free(struct berth_types *types)
{
    if (!types)
        return;
    berth_map_deinit(&types->names);
    berth_arena_deinit(&types->arena);
    berth_pool_free(types);
}

const struct berth_type *berth_types_declared(const struct berth_types *types)
{
    return types->first;
}

/* Small texts can ask for much: a struct of structs doubles what is written out with each line. */
static int check_room(const struct berth_types *types, struct berth_error *error)
{
    if (berth_arena_mark(&types->arena) > TYPES_MEMORY_MAX)
        return berth_error_set(error, BERTH_RESOURCE_EXHAUSTED,
                               "too many types and signatures: more than %u MiB of them",
                               (unsigned)(TYPES_MEMORY_MAX >> 20));
    return BERTH_OK;
}

static int unknown_type(const struct berth_types *types, const char *name,
                        struct berth_error *error)
{
    size_t count = 0, most = BUILT_IN_COUNT + types->names.count;
    const char **names = error ? berth_malloc(most * sizeof(*names)) : NULL;
    const char *nearest = NULL;

    if (names) {
        for (size_t i = 0; i < BUILT_IN_COUNT; i++)
            names[count++] = built_in[i].name;
        for (const struct berth_type *type = types->first; type; type = type->next)
            names[count++] = type->text;
        nearest = berth_text_nearest(name, names, count);
    }
    berth_error_set(error, BERTH_INVALID_ARGUMENT, "unknown type \"%s\"%s%s%s", name,
                    nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
    berth_free(names);
    return BERTH_INVALID_ARGUMENT;
}

/* Enters a type that is complete but for its text. */
static int add(struct berth_types *types, const struct berth_type *model, const char *text,
               struct berth_type **ret_type, struct berth_error *error)
{
    struct berth_type *type = berth_arena_copy(&types->arena, model, sizeof(*model));

    if (!type || !(type->text = berth_arena_string(&types->arena, text)) ||
        !berth_map_set(&types->names, type->text, type))
        return berth_error_nomem(error);
    *ret_type = type;
    return BERTH_OK;
}

static void declare(struct berth_types *types, struct berth_type *type)
{
    *types->last = type;
    types->last = &type->next;
}

/* ---- array(T), optional(T) ---- */

static size_t round_up(size_t size, size_t align)
{
    return (size + align - 1) / align * align;
}

static int find_simple(struct berth_types *types, const char *name,
                       const struct berth_type **ret_type, struct berth_error *error)
{
    const struct berth_type *type = find_built_in(name);

    if (!type)
        type = berth_map_get(&types->names, name);
    if (!type)
        return unknown_type(types, name, error);
    *ret_type = type;
    return BERTH_OK;
}

/* text is "array(T)" or "optional(T)", T being what is between open and its last character. */
static int add_composite(struct berth_types *types, const char *text, const char *open,
                         const struct berth_type **ret_type, struct berth_error *error)
{
    bool is_array = open - text == 5;
    char inner[TEXT_MAX];
    size_t length = strlen(open + 1) - 1;
    const struct berth_type *element;
    struct berth_type *type;

    memcpy(inner, open + 1, length);
    inner[length] = '\0';
    if (strchr(inner, '('))
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "%s: array and optional do not nest directly; put a struct with one "
                               "field between them",
                               text);
    int code = find_simple(types, inner, &element, error);
    if (code != BERTH_OK)
        return code;
    if (element->kind == BERTH_KIND_VOID)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT, "%s: void is a result's type only",
                               text);

    struct berth_type model = {
        .element = element, .depth = element->depth, .doc = "", .module = ""
    };
    if (is_array) {
        model.kind = BERTH_KIND_ARRAY;
        model.size = sizeof(struct berth_span);
        model.align = _Alignof(struct berth_span);
    } else {
        model.kind = BERTH_KIND_OPTIONAL;
        model.plain = element->plain;
        model.align = element->align;
        model.size =
            berth_optional_is_pointer(&model) ? element->size : element->align + element->size;
    }
    if ((code = check_room(types, error)) != BERTH_OK)
        return code;
    model.identity = berth_arena_format(&types->arena, "%s(%s)", is_array ? "array" : "optional",
                                        element->identity);
    if (!model.identity)
        return berth_error_nomem(error);
    code = add(types, &model, text, &type, error);
    if (code == BERTH_OK)
        *ret_type = type;
    return code;
}

/* Without blanks, and with bool where C11's preprocessor has made _Bool of it. */
static int normalize(const char *text, char normal[TEXT_MAX], struct berth_error *error)
{
    size_t length = 0;

    for (const char *c = text; *c; c++) {
        if (*c == ' ' || *c == '\t')
            continue;
        if (length == TEXT_MAX - 1)
            return berth_error_set(error, BERTH_INVALID_ARGUMENT, "unknown type \"%.80s\"", text);
        normal[length++] = *c;
    }
    normal[length] = '\0';
    if (length == 0)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT, "a type is missing");
    if (length > 7 && strcmp(normal + length - 7, "(_Bool)") == 0)
        strcpy(normal + length - 7, "(bool)");
    return BERTH_OK;
}

int berth_types_find(struct berth_types *types, const char *text,
                     const struct berth_type **ret_type, struct berth_error *error)
{
    char normal[TEXT_MAX];
    int code = normalize(text, normal, error);
    if (code != BERTH_OK)
        return code;

    const char *open = strchr(normal, '(');
    if (!open)
        return find_simple(types, normal, ret_type, error);

    const struct berth_type *known = berth_map_get(&types->names, normal);
    if (known) {
        *ret_type = known;
        return BERTH_OK;
    }
    size_t length = (size_t)(open - normal);
    if (normal[strlen(normal) - 1] != ')' || !((length == 5 && memcmp(normal, "array", 5) == 0) ||
                                               (length == 8 && memcmp(normal, "optional", 8) == 0)))
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "unknown type \"%s\"; only array(T) and optional(T) take another",
                               normal);
    return add_composite(types, normal, open, ret_type, error);
}

/* ---- structs and handles ---- */

/* Parameters and fields alike: names are identifiers and differ, types are known and not void. */
static int resolve(struct berth_types *types, const struct berth_text_parameter *texts,
                   size_t count, struct berth_parameter *ret_parameters, struct berth_error *error)
{
    for (size_t i = 0; i < count; i++) {
        const struct berth_text_parameter *text = &texts[i];
        struct berth_parameter *parameter = &ret_parameters[i];

        if (!berth_c_identifier_valid(text->name))
            return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                                   "\"%s\" is not a name: letters, digits and _, at most %d",
                                   text->name, BERTH_IDENTIFIER_MAX);
        for (size_t j = 0; j < i; j++)
            if (strcmp(texts[j].name, text->name) == 0)
                return berth_error_set(error, BERTH_INVALID_ARGUMENT, "two are named %s",
                                       text->name);
        int code = berth_types_find(types, text->type, &parameter->type, error);
        if (code == BERTH_OK && parameter->type->kind == BERTH_KIND_VOID)
            code = berth_error_set(error, BERTH_INVALID_ARGUMENT, "void is a result's type only");
        if (code != BERTH_OK) {
            berth_error_prefix(error, "%s: ", text->name);
            return code;
        }
        parameter->name = berth_arena_string(&types->arena, text->name);
        parameter->doc =
            text->doc && *text->doc ? berth_arena_string(&types->arena, text->doc) : "";
        if (!parameter->name || !parameter->doc)
            return berth_error_nomem(error);
    }
    return BERTH_OK;
}

/* "{x:f64,y:f64}" */
static int struct_identity(struct berth_types *types, const struct berth_parameter *fields,
                           size_t count, const char **ret_identity, struct berth_error *error)
{
    struct berth_buffer text;

    berth_buffer_init(&text, BERTH_IDENTITY_MAX);
    for (size_t i = 0; i < count; i++) {
        berth_buffer_text(&text, i == 0 ? "{" : ",");
        berth_buffer_text(&text, fields[i].name);
        berth_buffer_text(&text, ":");
        berth_buffer_text(&text, fields[i].type->identity);
    }
    berth_buffer_text(&text, "}");
    char *copy = text.failed ? NULL : berth_arena_copy(&types->arena, text.data, text.size + 1);
    bool full = text.full;
    berth_buffer_deinit(&text);
    if (full)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "written out, with its structs, it is longer than %zu characters",
                               BERTH_IDENTITY_MAX);
    if (!copy)
        return berth_error_nomem(error);
    *ret_identity = copy;
    return BERTH_OK;
}

/* Places the fields as a C compiler does. */
static int lay_out(struct berth_type *type, struct berth_error *error)
{
    type->align = 1;
    type->plain = true;
    for (size_t i = 0; i < type->field_count; i++) {
        const struct berth_type *field = type->fields[i].type;
        type->fields[i].offset = round_up(type->size, field->align);
        type->size = type->fields[i].offset + field->size;
        type->plain = type->plain && field->plain;
        if (field->align > type->align)
            type->align = field->align;
        if (field->depth > type->depth)
            type->depth = field->depth;
    }
    type->size = round_up(type->size, type->align);
    type->depth++;
    if (type->depth > BERTH_TYPE_DEPTH_MAX)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT, "structs nest deeper than %d",
                               BERTH_TYPE_DEPTH_MAX);
    if (type->size > BERTH_TYPE_SIZE_MAX)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "it is larger than %zu bytes; use an array for much data",
                               BERTH_TYPE_SIZE_MAX);
    return BERTH_OK;
}

static int make_struct(struct berth_types *types, const char *name, const char *doc,
                       const struct berth_text_parameter *fields, size_t count,
                       struct berth_type *type, struct berth_error *error)
{
    if (count == 0)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT, "it has no field");
    if (count > BERTH_FIELDS_MAX)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "it has %zu fields; at most %d are possible, nest a struct", count,
                               BERTH_FIELDS_MAX);
    *type = (struct berth_type){ .kind = BERTH_KIND_STRUCT, .field_count = count, .module = "" };
    type->fields = berth_arena_alloc(&types->arena, count * sizeof(*type->fields));
    type->name = berth_arena_string(&types->arena, name);
    type->doc = doc ? berth_arena_string(&types->arena, doc) : "";
    if (!type->fields || !type->name || !type->doc)
        return berth_error_nomem(error);
    int code = resolve(types, fields, count, type->fields, error);
    if (code == BERTH_OK)
        code = lay_out(type, error);
    if (code == BERTH_OK)
        code = struct_identity(types, type->fields, count, &type->identity, error);
    return code;
}

/* Declares a type under a name, unless an equal one is there. The model lacks only its text. */
static int add_declared(struct berth_types *types, const char *name, const struct berth_type *model,
                        struct berth_error *error)
{
    const struct berth_type *known = berth_map_get(&types->names, name);
    struct berth_type *type;

    if (known && strcmp(known->identity, model->identity) == 0)
        return BERTH_OK;
    if (known)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "declared twice, differently: as %.300s and as %.300s",
                               known->identity, model->identity);
    int code = add(types, model, name, &type, error);
    if (code == BERTH_OK)
        declare(types, type);
    return code;
}

static int check_type_name(const struct berth_types *types, const char *name,
                           struct berth_error *error)
{
    if (!berth_identifier_valid(name))
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "\"%s\" is not a type's name: a letter, then lower-case letters, "
                               "digits and _, at most %d",
                               name, BERTH_IDENTIFIER_MAX);
    if (is_reserved(name))
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "%s: the name of a built-in type; choose another", name);
    return check_room(types, error);
}

int berth_types_add_struct(struct berth_types *types, const char *name, const char *doc,
                           const struct berth_text_parameter *fields, size_t count,
                           struct berth_error *error)
{
    struct berth_type model;
    int code = check_type_name(types, name, error);

    if (code != BERTH_OK)
        return code;
    code = make_struct(types, name, doc, fields, count, &model, error);
    if (code == BERTH_OK)
        code = add_declared(types, name, &model, error);
    if (code != BERTH_OK)
        berth_error_prefix(error, "struct %s: ", name);
    return code;
}

int berth_types_add_handle(struct berth_types *types, const char *name, const char *module,
                           const char *kind, const char *release, const char *doc,
                           struct berth_error *error)
{
    struct berth_arena *arena = &types->arena;
    int code = check_type_name(types, name, error);

    if (code != BERTH_OK)
        return code;
    if (!berth_identifier_valid(module) || !berth_identifier_valid(kind) ||
        (release && !berth_identifier_valid(release)))
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "handle %s: its module, kind and release function are identifiers, "
                               "not \"%s\", \"%s\" and \"%s\"",
                               name, module, kind, release ? release : "");
    struct berth_type model = {
        .kind = BERTH_KIND_HANDLE,
        .size = sizeof(uint64_t),
        .align = _Alignof(uint64_t),
        .name = berth_arena_string(arena, kind),
        .module = berth_arena_string(arena, module),
        .release = release ? berth_arena_string(arena, release) : NULL,
        .doc = doc ? berth_arena_string(arena, doc) : "",
        .identity = berth_arena_format(arena, "handle(%s.%s)", module, kind),
    };
    if (!model.name || !model.module || !model.doc || !model.identity ||
        (release && !model.release))
        return berth_error_nomem(error);
    code = add_declared(types, name, &model, error);
    if (code != BERTH_OK)
        berth_error_prefix(error, "handle %s: ", name);
    return code;
}

/* ---- signatures ---- */

static int signature_identity(struct berth_types *types, struct berth_signature *signature,
                              struct berth_error *error)
{
    struct berth_buffer text;

    berth_buffer_init(&text, 0);
    berth_buffer_text(&text, "(");
    for (size_t i = 0; i < signature->count; i++) {
        if (i > 0)
            berth_buffer_text(&text, ",");
        berth_buffer_text(&text, signature->parameters[i].type->identity);
    }
    berth_buffer_text(&text, ")");
    berth_buffer_text(&text, signature->result->identity);
    if (!text.failed)
        signature->identity = berth_arena_copy(&types->arena, text.data, text.size + 1);
    berth_buffer_deinit(&text);
    return signature->identity ? BERTH_OK : berth_error_nomem(error);
}

int berth_signature_new(struct berth_types *types, const char *result,
                        const struct berth_text_parameter *parameters, size_t count,
                        const struct berth_signature **ret_signature, struct berth_error *error)
{
    int code = check_room(types, error);

    if (code != BERTH_OK)
        return code;
    if (count > BERTH_PARAMETERS_MAX)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "%zu parameters; at most %d are possible, use a struct", count,
                               BERTH_PARAMETERS_MAX);
    struct berth_signature *signature = berth_arena_alloc(&types->arena, sizeof(*signature));
    if (!signature)
        return berth_error_nomem(error);
    signature->count = count;
    signature->parameters =
        berth_arena_alloc(&types->arena, count * sizeof(*signature->parameters));
    if (!signature->parameters)
        return berth_error_nomem(error);
    code = resolve(types, parameters, count, signature->parameters, error);
    if (code != BERTH_OK)
        return code;
    code = berth_types_find(types, result, &signature->result, error);
    if (code != BERTH_OK) {
        berth_error_prefix(error, "result: ");
        return code;
    }
    signature->plain = signature->result->plain;
    for (size_t i = 0; i < count; i++)
        signature->plain = signature->plain && signature->parameters[i].type->plain;
    code = signature_identity(types, signature, error);
    if (code == BERTH_OK)
        *ret_signature = signature;
    return code;
}

/* Appends to a text in size bytes as far as there is room. */
static void append(char *buffer, size_t size, const char *text)
{
    size_t length = strlen(buffer), more = strlen(text);

    if (more > size - 1 - length)
        more = size - 1 - length;
    memcpy(buffer + length, text, more);
    buffer[length + more] = '\0';
}

const char *berth_fields_print(const struct berth_signature *signature, const char *name,
                               char *buffer, size_t size)
{
    buffer[0] = '\0';
    append(buffer, size, name);
    append(buffer, size, "(");
    for (size_t i = 0; i < signature->count; i++) {
        append(buffer, size, i > 0 ? ", " : "");
        append(buffer, size, signature->parameters[i].type->text);
        append(buffer, size, " ");
        append(buffer, size, signature->parameters[i].name);
    }
    append(buffer, size, ")");
    return buffer;
}

const char *berth_signature_print(const struct berth_signature *signature, const char *name,
                                  char *buffer, size_t size)
{
    berth_fields_print(signature, name, buffer, size);
    append(buffer, size, " -> ");
    append(buffer, size, signature->result->text);
    return buffer;
}
