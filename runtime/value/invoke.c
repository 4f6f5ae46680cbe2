/* SPDX-License-Identifier: MIT */
#include "runtime/value/invoke.h"

#include "runtime/base/arena.h"
#include "runtime/base/error.h"
#include "runtime/base/memory.h"
#include "runtime/base/pool.h"
#include "runtime/value/registers.h"

#include <ffi.h>
#include <string.h>

/* What libffi needs. */
struct description {
    ffi_cif cif;
    size_t pointers; /* bytes of the array of arguments */
    size_t narrow; /* the result's size, when it is smaller than the register that libffi writes */
    size_t halved; /* the argument that goes as two (halve_sixth), counted from 1; 0: none does */
    ffi_type *types[2 + BERTH_PARAMETERS_MAX];
    struct berth_arena arena; /* the descriptions of structs */
};

struct berth_invoke {
    struct description *description; /* NULL: all in registers */
    struct berth_registers registers;
};

/* ---- descriptions of types ---- */

/*
 * Sizes are given, not left to libffi: it would write them into descriptions that are shared. They
 * are the compiler's own, as it would find as well.
 */
static ffi_type *span_members[] = { &ffi_type_pointer, &ffi_type_uint64, NULL };
static ffi_type span_type = { sizeof(struct berth_span), _Alignof(struct berth_span),
                              FFI_TYPE_STRUCT, span_members };
static ffi_type *handle_members[] = { &ffi_type_uint64, NULL };
static ffi_type handle_type = { sizeof(uint64_t), _Alignof(uint64_t), FFI_TYPE_STRUCT,
                                handle_members };
_Static_assert(sizeof(size_t) == sizeof(uint64_t) && sizeof(bool) == 1, "as described above");

static ffi_type *const simple_types[] = {
    [BERTH_KIND_VOID] = &ffi_type_void,      [BERTH_KIND_BOOL] = &ffi_type_uint8,
    [BERTH_KIND_I8] = &ffi_type_sint8,       [BERTH_KIND_I16] = &ffi_type_sint16,
    [BERTH_KIND_I32] = &ffi_type_sint32,     [BERTH_KIND_I64] = &ffi_type_sint64,
    [BERTH_KIND_U8] = &ffi_type_uint8,       [BERTH_KIND_U16] = &ffi_type_uint16,
    [BERTH_KIND_U32] = &ffi_type_uint32,     [BERTH_KIND_U64] = &ffi_type_uint64,
    [BERTH_KIND_F32] = &ffi_type_float,      [BERTH_KIND_F64] = &ffi_type_double,
    [BERTH_KIND_STRING] = &ffi_type_pointer, [BERTH_KIND_JSON] = &ffi_type_pointer,
    [BERTH_KIND_BYTES] = &span_type,         [BERTH_KIND_ARRAY] = &span_type,
    [BERTH_KIND_HANDLE] = &handle_type,
};

static ffi_type *describe(struct berth_arena *arena, const struct berth_type *type);

/* NULL without memory, here and below. */
static ffi_type *describe_aggregate(struct berth_arena *arena, const struct berth_type *type,
                                    size_t count)
{
    ffi_type *aggregate = berth_arena_alloc(arena, sizeof(*aggregate));
    ffi_type **members = berth_arena_alloc(arena, (count + 1) * sizeof(ffi_type *));

    if (!aggregate || !members)
        return NULL;
    *aggregate = (ffi_type){ type->size, (unsigned short)type->align, FFI_TYPE_STRUCT, members };
    return aggregate;
}

static ffi_type *describe_optional(struct berth_arena *arena, const struct berth_type *type)
{
    if (berth_optional_is_pointer(type))
        return &ffi_type_pointer;
    ffi_type *optional = describe_aggregate(arena, type, 2);
    if (!optional)
        return NULL;
    optional->elements[0] = &ffi_type_uint8;
    optional->elements[1] = describe(arena, type->element);
    return optional->elements[1] ? optional : NULL;
}

static ffi_type *describe_struct(struct berth_arena *arena, const struct berth_type *type)
{
    ffi_type *aggregate = describe_aggregate(arena, type, type->field_count);

    for (size_t i = 0; aggregate && i < type->field_count; i++) {
        aggregate->elements[i] = describe(arena, type->fields[i].type);
        if (!aggregate->elements[i])
            return NULL;
    }
    return aggregate;
}

static ffi_type *describe(struct berth_arena *arena, const struct berth_type *type)
{
    switch (type->kind) {
    case BERTH_KIND_OPTIONAL:
        return describe_optional(arena, type);
    case BERTH_KIND_STRUCT:
        return describe_struct(arena, type);
    default:
        return simple_types[type->kind];
    }
}

/* ---- libffi's sixth register ---- */

/*
 * On x86-64, libffi up to 3.4.6 lets a struct of which the first half travels in the sixth general
 * register and the second in a vector register overwrite the first vector register (its issue 574).
 * Such a struct is described as its two halves, which travel in just these registers. At most one
 * argument can be in that place.
 */
#ifdef __x86_64__
#define HALF 8
struct registers {
    unsigned general, vector;
};

/* Whether anything but decimals lies in this half of a value; the type begins at offset in it. */
static bool is_general(const struct berth_type *type, size_t offset, size_t half)
{
    switch (type->kind) {
    case BERTH_KIND_F32:
    case BERTH_KIND_F64:
        return false;
    case BERTH_KIND_BYTES:
    case BERTH_KIND_ARRAY:
        return true; /* both halves */
    case BERTH_KIND_OPTIONAL:
        return offset / HALF == half ||
               (!berth_optional_is_pointer(type) &&
                is_general(type->element, offset + type->element->align, half));
    case BERTH_KIND_STRUCT:
        for (size_t i = 0; i < type->field_count; i++)
            if (is_general(type->fields[i].type, offset + type->fields[i].offset, half))
                return true;
        return false;
    default:
        return offset / HALF == half;
    }
}

/* The registers in which a value travels when enough are left; none: in memory. */
static struct registers needs(const struct berth_type *type)
{
    struct registers needed = { 0 };

    for (size_t half = 0; half * HALF < type->size && type->size <= 2 * HALF; half++)
        if (is_general(type, 0, half))
            needed.general++;
        else
            needed.vector++;
    return needed;
}

/* In the types as they stand, with one place more. */
static void halve_sixth(struct description *description, const struct berth_signature *signature)
{
    struct registers used = { .general = signature->result->size > 2 * HALF ? 2 : 1 };

    for (size_t i = 0; i < signature->count; i++) {
        const struct berth_type *type = signature->parameters[i].type;
        struct registers needed = needs(type);
        if (used.general + needed.general > 6 || used.vector + needed.vector > 8)
            continue; /* on the stack, and a later one may still fit */
        if (used.general == 5 && needed.general == 1 && needed.vector == 1 &&
            is_general(type, 0, 0)) {
            ffi_type **at = description->types + 1 + i;
            memmove(at + 2, at + 1, (signature->count - i - 1) * sizeof(*at));
            at[0] = &ffi_type_uint64;
            at[1] = type->size == 2 * HALF ? &ffi_type_double : &ffi_type_float;
            description->halved = 1 + i;
            return;
        }
        used.general += needed.general;
        used.vector += needed.vector;
    }
}
#else
static void halve_sixth(struct description *description, const struct berth_signature *signature)
{
    (void)description;
    (void)signature;
}
#define HALF 0
#endif

/* ---- the plan ---- */

static int prepare(struct description *description, const struct berth_signature *signature,
                   struct berth_error *error)
{
    ffi_type *result = describe(&description->arena, signature->result);

    if (!result)
        return berth_error_nomem(error);
    description->types[0] = &ffi_type_pointer; /* ctx */
    for (size_t i = 0; i < signature->count; i++) {
        description->types[1 + i] = describe(&description->arena, signature->parameters[i].type);
        if (!description->types[1 + i])
            return berth_error_nomem(error);
    }
    description->pointers = signature->count * sizeof(void *);
    halve_sixth(description, signature);
    if (signature->result->kind >= BERTH_KIND_BOOL && signature->result->kind <= BERTH_KIND_U64 &&
        signature->result->size < sizeof(ffi_arg))
        description->narrow = signature->result->size;
    ffi_status status = ffi_prep_cif(&description->cif, FFI_DEFAULT_ABI,
                                     (unsigned)(1 + signature->count + (description->halved > 0)),
                                     result, description->types);
    if (status != FFI_OK)
        return berth_error_set(error, BERTH_INTERNAL, "libffi refuses the signature %.200s: %d",
                               signature->identity, (int)status);
    return BERTH_OK;
}

int berth_invoke_new(const struct berth_signature *signature, struct berth_invoke **ret_invoke,
                     struct berth_error *error)
{
    struct berth_invoke *invoke = berth_pool_alloc(sizeof(*invoke));
    int code = BERTH_OK;

    if (!invoke)
        return berth_error_nomem(error);
    if (!berth_registers_plan(&invoke->registers, signature)) {
        invoke->description = berth_calloc(1, sizeof(*invoke->description));
        if (invoke->description) {
            berth_arena_init(&invoke->description->arena);
            code = prepare(invoke->description, signature, error);
        } else {
            code = berth_error_nomem(error);
        }
    }
    if (code == BERTH_OK)
        *ret_invoke = invoke;
    else
        berth_invoke_free(invoke);
    return code;
}

void berth_invoke_free(struct berth_invoke *invoke)
{
    if (!invoke)
        return;
    if (invoke->description)
        berth_arena_deinit(&invoke->description->arena);
    berth_free(invoke->description);
    berth_pool_free(invoke);
}

__attribute__((noinline)) static void call_described(const struct description *description,
                                                     void (*code)(void), berth_ctx *ctx,
                                                     const void *const *arguments, void *result)
{
    ffi_cif *cif = (ffi_cif *)&description->cif; /* ffi_call does not write to it */
    const void *values[2 + BERTH_PARAMETERS_MAX];
    size_t halved = description->halved;

    values[0] = &ctx;
    if (description->pointers > 0)
        memcpy(values + 1, arguments, description->pointers);
    if (halved > 0) {
        memcpy(values + 1 + halved, arguments + halved - 1,
               description->pointers - (halved - 1) * sizeof(void *));
        values[1 + halved] = (const char *)arguments[halved - 1] + HALF;
    }
    if (result && description->narrow > 0) {
        ffi_arg wide;
        ffi_call(cif, code, &wide, (void **)values);
        memcpy(result, &wide, description->narrow); /* little-endian: the low bytes come first */
    } else {
        ffi_call(cif, code, result, (void **)values);
    }
}

void berth_invoke_call(const struct berth_invoke *invoke, void (*code)(void), berth_ctx *ctx,
                       const void *const *arguments, void *result)
{
    if (invoke->description)
        call_described(invoke->description, code, ctx, arguments, result);
    else
        berth_registers_call(&invoke->registers, code, ctx, arguments, result);
}
