/* SPDX-License-Identifier: MIT */
#include "runtime/value/registers.h"

#include <string.h>

#if defined __x86_64__ && !defined BERTH_NO_REGISTERS
#define GENERAL 6
#elif defined __aarch64__ && !defined BERTH_NO_REGISTERS
#define GENERAL 8
#else
#define GENERAL 0
#endif
#define VECTOR 8

/* What is put into a register: the argument, extended by its type as callees may expect. */
enum { LOAD_I8, LOAD_I16, LOAD_I32, LOAD_U8, LOAD_U16, LOAD_U32, LOAD_64, LOAD_SPAN };

static const struct {
    uint8_t load;
    bool vector;
} ways[] = {
    [BERTH_KIND_VOID] = { LOAD_64, false },     [BERTH_KIND_BOOL] = { LOAD_U8, false },
    [BERTH_KIND_I8] = { LOAD_I8, false },       [BERTH_KIND_I16] = { LOAD_I16, false },
    [BERTH_KIND_I32] = { LOAD_I32, false },     [BERTH_KIND_I64] = { LOAD_64, false },
    [BERTH_KIND_U8] = { LOAD_U8, false },       [BERTH_KIND_U16] = { LOAD_U16, false },
    [BERTH_KIND_U32] = { LOAD_U32, false },     [BERTH_KIND_U64] = { LOAD_64, false },
    [BERTH_KIND_F32] = { LOAD_U32, true },      [BERTH_KIND_F64] = { LOAD_64, true },
    [BERTH_KIND_STRING] = { LOAD_64, false },   [BERTH_KIND_JSON] = { LOAD_64, false },
    [BERTH_KIND_BYTES] = { LOAD_SPAN, false },  [BERTH_KIND_ARRAY] = { LOAD_SPAN, false },
    [BERTH_KIND_OPTIONAL] = { LOAD_64, false }, [BERTH_KIND_HANDLE] = { LOAD_64, false },
};

/* Of those that are no scalars, the ones that travel as if they were. */
static bool is_covered(const struct berth_type *type)
{
    return type->kind != BERTH_KIND_STRUCT &&
           (type->kind != BERTH_KIND_OPTIONAL || berth_optional_is_pointer(type));
}

bool berth_registers_plan(struct berth_registers *plan, const struct berth_signature *signature)
{
    const struct berth_type *type = signature->result;
    unsigned general = 1, vector = 0; /* the first is ctx */

    *plan = (struct berth_registers){ 0 };
    if (!is_covered(type) || ways[type->kind].load == LOAD_SPAN)
        return false;
    for (size_t i = 0; i < signature->count; i++) {
        type = signature->parameters[i].type;
        if (!is_covered(type))
            return false;
        plan->loads[i] = ways[type->kind].load;
        plan->places[i] = (uint8_t)(ways[type->kind].vector ? GENERAL + vector++ : general++);
        general += plan->loads[i] == LOAD_SPAN;
    }
    if (general > GENERAL || vector > VECTOR)
        return false;
    type = signature->result;
    plan->count = (uint8_t)signature->count;
    plan->vectors = vector > 0;
    plan->vector_result = ways[type->kind].vector;
    plan->result_size = (uint8_t)type->size;
    return true;
}

#if GENERAL > 0

/* Written and read in one size: else the processor waits until what was written is in its cache. */
union place {
    uint64_t general;
    double vector;
};

#define EIGHT(type)   type, type, type, type, type, type, type, type
#define VECTORS       EIGHT(double)
#define VECTOR_VALUES V(0), V(1), V(2), V(3), V(4), V(5), V(6), V(7)
#define V(n)          at[GENERAL + (n)].vector
#define G(n)          at[n].general
#if GENERAL == 8
#define GENERALS       EIGHT(uint64_t)
#define GENERAL_VALUES G(0), G(1), G(2), G(3), G(4), G(5), G(6), G(7)
#else
#define GENERALS       uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t
#define GENERAL_VALUES G(0), G(1), G(2), G(3), G(4), G(5)
#endif

/* Sign-extended through the signed type of the same size. */
#define LOAD_AS(type, extended)                 \
    do {                                        \
        type narrow;                            \
        memcpy(&narrow, value, sizeof(narrow)); \
        *at = (uint64_t)(extended)narrow;       \
    } while (0)

static inline void load(uint64_t *at, unsigned how, const void *value)
{
    switch (how) {
    case LOAD_I8:
        LOAD_AS(int8_t, int64_t);
        break;
    case LOAD_I16:
        LOAD_AS(int16_t, int64_t);
        break;
    case LOAD_I32:
        LOAD_AS(int32_t, int64_t);
        break;
    case LOAD_U8:
        LOAD_AS(uint8_t, uint64_t);
        break;
    case LOAD_U16:
        LOAD_AS(uint16_t, uint64_t);
        break;
    case LOAD_U32:
        LOAD_AS(uint32_t, uint64_t);
        break;
    case LOAD_SPAN:
        memcpy(at, value, sizeof(*at));
        memcpy(at + 1, (const char *)value + sizeof(*at), sizeof(*at));
        break;
    default:
        memcpy(at, value, sizeof(*at));
    }
}

/*
 * Little-endian: the low bytes come first. By cases, for gcc makes a `rep movs` of a copy of a size
 * that it does not know, which takes longer to begin than many a call.
 */
static inline void store(void *result, uint64_t value, unsigned size)
{
    switch (size) {
    case 8:
        memcpy(result, &value, 8);
        break;
    case 4:
        memcpy(result, &value, 4);
        break;
    case 2:
        memcpy(result, &value, 2);
        break;
    case 1:
        memcpy(result, &value, 1);
        break;
    default: /* void */
        break;
    }
}

/* Called through a type that is not the function's own: on purpose, see the header. */
#ifdef __clang__
__attribute__((no_sanitize("function", "cfi-icall")))
#endif
void berth_registers_call(const struct berth_registers *plan, void (*code)(void), berth_ctx *ctx,
                          const void *const *arguments, void *result)
{
    union place at[GENERAL + VECTOR], got; /* a callee does not read what is not its own */

    at[0].general = (uint64_t)(uintptr_t)ctx;
    for (size_t i = 0; i < plan->count; i++)
        load(&at[plan->places[i]].general, plan->loads[i], arguments[i]);
    if (plan->vector_result)
        got.vector = ((double (*)(GENERALS, VECTORS))code)(GENERAL_VALUES, VECTOR_VALUES);
    else if (plan->vectors)
        got.general = ((uint64_t(*)(GENERALS, VECTORS))code)(GENERAL_VALUES, VECTOR_VALUES);
    else
        got.general = ((uint64_t(*)(GENERALS))code)(GENERAL_VALUES);
    if (result)
        store(result, got.general, plan->result_size);
}

#else /* nothing is covered */

void berth_registers_call(const struct berth_registers *plan, void (*code)(void), berth_ctx *ctx,
                          const void *const *arguments, void *result)
{
    (void)plan;
    (void)code;
    (void)ctx;
    (void)arguments;
    (void)result;
}

#endif
