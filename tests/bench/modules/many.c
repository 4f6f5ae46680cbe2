/* SPDX-License-Identifier: MIT */
/* A thousand functions, f000 to f999, to find one among. */
#include <berth/module.h>

BERTH_MODULE("bench_many", "1.0.0", "A thousand functions.");
BERTH_PARALLEL;

/* What comes last takes the semicolon. */
#define ONE(n)                                           \
    BERTH_EXPORT(f64, f##n, "a + b", (f64, a), (f64, b)) \
    {                                                    \
        return a + b;                                    \
    }                                                    \
    struct berth_ctx

#define TEN(n) \
    ONE(n##0); \
    ONE(n##1); \
    ONE(n##2); \
    ONE(n##3); \
    ONE(n##4); \
    ONE(n##5); \
    ONE(n##6); \
    ONE(n##7); \
    ONE(n##8); \
    ONE(n##9)

#define HUNDRED(n) \
    TEN(n##0);     \
    TEN(n##1);     \
    TEN(n##2);     \
    TEN(n##3);     \
    TEN(n##4);     \
    TEN(n##5);     \
    TEN(n##6);     \
    TEN(n##7);     \
    TEN(n##8);     \
    TEN(n##9)

HUNDRED(0);
HUNDRED(1);
HUNDRED(2);
HUNDRED(3);
HUNDRED(4);
HUNDRED(5);
HUNDRED(6);
HUNDRED(7);
HUNDRED(8);
HUNDRED(9);
