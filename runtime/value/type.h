/* SPDX-License-Identifier: MIT */
/*
 * Types and signatures, as manifests spell them, and how their values lie in memory: exactly as the
 * C compiler lays out the types of <berth/call.h>. A value is therefore a pointer to such memory
 * everywhere in the runtime; arguments are an array of them.
 *
 *     type      = scalar | "string" | "json" | "bytes" | STRUCT | HANDLE
 *               | "array(" type ")" | "optional(" type ")"
 *     scalar    = "bool" | "i8" … "i64" | "u8" … "u64" | "f32" | "f64"
 *
 * `void` is a result's type only. array and optional do not nest directly: a struct goes between.
 *
 * All of it is immutable once made, and shared between threads freely.
 */
#ifndef RUNTIME_VALUE_TYPE_H
#define RUNTIME_VALUE_TYPE_H

#include <berth/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BERTH_PARAMETERS_MAX 16
#define BERTH_FIELDS_MAX     16
#define BERTH_IDENTIFIER_MAX 64
#define BERTH_TYPE_DEPTH_MAX 16             /* structs within structs: bounds every recursion */
#define BERTH_TYPE_SIZE_MAX  ((size_t)4096) /* of a struct, which is passed by value */
#define BERTH_IDENTITY_MAX   ((size_t)8192) /* of a type that is written out */

enum berth_kind {
    BERTH_KIND_VOID,
    BERTH_KIND_BOOL,
    BERTH_KIND_I8,
    BERTH_KIND_I16,
    BERTH_KIND_I32,
    BERTH_KIND_I64,
    BERTH_KIND_U8,
    BERTH_KIND_U16,
    BERTH_KIND_U32,
    BERTH_KIND_U64,
    BERTH_KIND_F32,
    BERTH_KIND_F64,
    BERTH_KIND_STRING,
    BERTH_KIND_JSON,
    BERTH_KIND_BYTES,
    BERTH_KIND_ARRAY,    /* {element *data; size_t count} */
    BERTH_KIND_OPTIONAL, /* {bool present; element value}; of string, json: NULL is absent */
    BERTH_KIND_STRUCT,
    BERTH_KIND_HANDLE, /* {uint64_t id}, 0 is none */
};

struct berth_type;

struct berth_parameter { /* of a signature, or a struct's field */
    const char *name;
    const char *doc; /* "" when there is none */
    const struct berth_type *type;
    size_t offset; /* a field's, in its struct */
};

struct berth_type {
    enum berth_kind kind;
    bool plain;     /* no pointer and no handle in it: memcpy makes a whole copy */
    unsigned depth; /* structs within structs, through arrays and optionals too */
    size_t size, align;
    const char *text;     /* as a manifest spells it: "array(point)" */
    const char *identity; /* canonical, structs written out as {x:f64,y:f64}: two types are the same
                             iff these are equal */
    const struct berth_type *element; /* array, optional */
    const char *name;                 /* struct: "point"; handle: its kind, "cursor" */
    const char *doc;                  /* "" when there is none */
    const char *module;  /* handle: whose it is, "store" (identity: "handle(store.cursor)") */
    const char *release; /* handle: the function that ends one, or NULL (another module's) */
    size_t field_count;
    struct berth_parameter *fields;
    struct berth_type *next; /* in its set */
};

/* ---- how values lie in memory: the generic forms of what <berth/call.h> defines ---- */

struct berth_span {   /* bytes and array(T) */
    const void *data; /* may be NULL when there is nothing */
    size_t count;     /* of bytes, of elements */
};

/*
 * A value's memory has a type of some module's, and may be read-only. These read it as bytes, so
 * that the compiler makes no assumption about it.
 */
static inline const void *berth_load_pointer(const void *value)
{
    const void *pointer;
    memcpy(&pointer, value, sizeof(pointer));
    return pointer;
}
static inline struct berth_span berth_load_span(const void *value)
{
    struct berth_span span;
    memcpy(&span, value, sizeof(span));
    return span;
}

/* What stands for a string or json that is NULL. */
static inline const char *berth_text_default(const struct berth_type *type)
{
    return type->kind == BERTH_KIND_JSON ? "null" : "";
}

/* optional(string) and optional(json): the pointer itself, NULL is absent. */
static inline bool berth_optional_is_pointer(const struct berth_type *type)
{
    return type->element->kind == BERTH_KIND_STRING || type->element->kind == BERTH_KIND_JSON;
}

/* The value inside of an optional, or NULL when it is absent. */
static inline void *berth_optional_get(const struct berth_type *type, const void *value)
{
    if (berth_optional_is_pointer(type))
        return berth_load_pointer(value) ? (void *)value : NULL;
    /* Not read as a bool: anybody may have written it. */
    return *(const unsigned char *)value ? (char *)value + type->element->align : NULL;
}

/* Makes an optional present, and returns where its value goes. */
static inline void *berth_optional_set(const struct berth_type *type, void *value)
{
    if (berth_optional_is_pointer(type))
        return value;
    *(bool *)value = true;
    return (char *)value + type->element->align;
}

/* ---- sets of types ---- */

/*
 * The types that one manifest can name: the built-in ones and its own structs and handles. Owns all
 * that is made through it, in one arena; freed as a whole. Not thread-safe while it grows. What is
 * made is bounded (resource_exhausted), however small the texts are that ask for it.
 */
struct berth_types;
struct berth_types *berth_types_new(void); /* NULL without memory */
void berth_types_free(struct berth_types *types);

struct berth_text_parameter {
    const char *type, *name, *doc; /* doc may be NULL */
};

/*
 * Adds a struct. Its name is an identifier that is not a built-in type's, and the types of its
 * fields are known already. Fails with invalid_argument for an unknown type, a bad identifier, more
 * than BERTH_FIELDS_MAX fields, none at all, two of one name, too deep or too large a type, and a
 * name that is taken, unless by an equal type: then nothing is added.
 */
int berth_types_add_struct(struct berth_types *types, const char *name, const char *doc,
                           const struct berth_text_parameter *fields, size_t count,
                           struct berth_error *error);
/* Adds a handle's type, alike. module is whose it is; release NULL for another module's. */
int berth_types_add_handle(struct berth_types *types, const char *name, const char *module,
                           const char *kind, const char *release, const char *doc,
                           struct berth_error *error);
/*
 * "f64", "array(point)", "optional(bytes)", "void", and C's "_Bool" for bool; blanks are ignored.
 * Unknown: invalid_argument, with the nearest known name.
 */
int berth_types_find(struct berth_types *types, const char *text,
                     const struct berth_type **ret_type, struct berth_error *error);
/* The own structs and handles, in the order of adding: a list through ->next. */
const struct berth_type *berth_types_declared(const struct berth_types *types);

/* ---- signatures ---- */

struct berth_signature {
    const char *identity; /* "(f64,f64)f64", canonical: equal iff callable by each other */
    const struct berth_type *result;
    size_t count;
    struct berth_parameter *parameters; /* their offsets mean nothing */
    bool plain;                         /* every parameter and the result are */
};

/* Made in the set's arena, freed with it. Parameters' names must be identifiers and differ. */
int berth_signature_new(struct berth_types *types, const char *result,
                        const struct berth_text_parameter *parameters, size_t count,
                        const struct berth_signature **ret_signature, struct berth_error *error);
/* For people: "divide(f64 a, f64 b) -> f64", cut to size (> 0). Returns buffer. */
const char *berth_signature_print(const struct berth_signature *signature, const char *name,
                                  char *buffer, size_t size);
/* The same without the result, as of a topic: "(f64 value)" with name "". */
const char *berth_fields_print(const struct berth_signature *signature, const char *name,
                               char *buffer, size_t size);

/* ---- names ---- */

bool berth_identifier_valid(
    const char *text); /* [a-z][a-z0-9_]{0,63}: modules, functions, structs */
bool berth_c_identifier_valid(
    const char *text); /* [A-Za-z_][A-Za-z0-9_]{0,63}: parameters, fields */
bool berth_function_name_valid(const char *text); /* module.function */
/* A function's name, `module.*` for all of a module's, or `*` for all but those of `host`. */
bool berth_function_pattern_valid(const char *text);
/* Both valid. */
bool berth_function_pattern_matches(const char *pattern, const char *name);

#endif
