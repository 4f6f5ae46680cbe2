/* SPDX-License-Identifier: MIT */
/*
 * Types and signatures, as manifests spell them, and how their values lie in memory: exactly as the C compiler lays out the types of
 * <berth/call.h>. A value is therefore a pointer to such memory everywhere in the runtime; arguments are an array of them.
 *
 * All of it is immutable once made, and shared between threads freely.
 */
#ifndef RUNTIME_VALUE_TYPE_H
#define RUNTIME_VALUE_TYPE_H

#include <berth/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BERTH_PARAMETERS_MAX 16
#define BERTH_FIELDS_MAX 16
#define BERTH_IDENTIFIER_MAX 64
#define BERTH_TYPE_DEPTH_MAX 16 /* structs within structs: bounds every recursion over types */

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
    BERTH_KIND_OPTIONAL, /* {bool present; element value}; of string, json: a pointer, NULL is absent */
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
    bool plain;   /* no pointer and no handle in it: memcpy makes a whole copy */
    unsigned depth;
    size_t size, align;
    const char *text;                 /* as a manifest spells it: "array(point)" */
    const char *identity;             /* canonical, structs written out: two types are the same iff these are equal */
    const struct berth_type *element; /* array, optional */
    const char *name;                 /* struct: "point"; handle: its kind, "cursor" */
    const char *doc;
    const char *module;  /* handle: whose it is, "store"; "" for the manifest's own module until it is known */
    const char *release; /* handle: the exported function that ends one, or NULL (another module's) */
    size_t field_count;
    struct berth_parameter *fields;
    struct berth_type *next; /* in its set */
};

/*
 * The types that one manifest can name: the built-in ones and its own structs and handles. Owns all that is made through
 * it, in one arena; freed as a whole. Not thread-safe while it grows.
 */
struct berth_types;
struct berth_types *berth_types_new(void);
void berth_types_free(struct berth_types *types);

/*
 * Adds a struct. fields is an array of {name, doc, type text} triples. Fails with invalid_argument for an unknown type, a bad
 * identifier, a duplicate (unless equal: then nothing is added), more than BERTH_FIELDS_MAX fields, none at all, or too deep a nesting.
 */
struct berth_text_parameter {
    const char *type, *name, *doc;
};
int berth_types_add_struct(struct berth_types *types, const char *name, const char *doc,
                           const struct berth_text_parameter *fields, size_t count, struct berth_error *error);
/* Adds a handle's type. module is whose it is; release NULL for another module's. */
int berth_types_add_handle(struct berth_types *types, const char *name, const char *module, const char *kind,
                           const char *release, const char *doc, struct berth_error *error);
/* "f64", "array(point)", "optional(bytes)", "_Bool"; blanks are ignored. Unknown: invalid_argument, with the nearest known name. */
int berth_types_find(struct berth_types *types, const char *text, const struct berth_type **ret_type,
                     struct berth_error *error);
/* The own structs and handles, in the order of adding: a list through ->next. */
const struct berth_type *berth_types_declared(const struct berth_types *types);

struct berth_signature {
    const char *identity; /* "(f64,f64)f64", canonical: equal iff callable by each other */
    const struct berth_type *result;
    size_t count;
    struct berth_parameter *parameters;
    bool plain; /* every parameter and the result are */
};

/* Made in the set's arena, freed with it. Parameters' names must be identifiers and differ. */
int berth_signature_new(struct berth_types *types, const char *result, const struct berth_text_parameter *parameters,
                        size_t count, const struct berth_signature **ret_signature, struct berth_error *error);
/* For people: "divide(f64 a, f64 b) -> f64", cut to size. Returns buffer. */
const char *berth_signature_print(const struct berth_signature *signature, const char *name, char *buffer, size_t size);

bool berth_identifier_valid(const char *text);   /* [a-z][a-z0-9_]{0,63}: modules, functions, topics' tokens, structs */
bool berth_c_identifier_valid(const char *text); /* [A-Za-z_][A-Za-z0-9_]{0,63}: parameters, fields */
bool berth_function_name_valid(const char *text); /* module.function */

#endif
