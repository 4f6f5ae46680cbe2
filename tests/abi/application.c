/* SPDX-License-Identifier: MIT */
/* An application that is a module as well: both headers in one file. Compiled, not run. */
#include <berth/module.h>

#include <berth/host.h>

BERTH_MODULE("app", "1.0.0", "The application.");
BERTH_PARALLEL;
BERTH_STRUCT(point, (f64, x), (f64, y));
BERTH_IMPORT(f64, math, add, (f64, a), (f64, b));
BERTH_BOUND(f64, divide, (f64, a), (f64, b));
BERTH_BOUND(point, mirror, (point, p));
BERTH_BOUND(void, nothing);

BERTH_EXPORT(f64, half, "x / 2", (f64, x))
{
    return math_add(ctx, x / 2, 0);
}

int main(void)
{
    struct berth_error error;
    berth_host *host = (berth_host *)0;
    static divide_bound divide;
    static mirror_bound mirror;
    static nothing_bound nothing;
    berth_point p = { 1, 2 };
    if (berth_host_new((const struct berth_host_options *)0, &host, &error) ||
        berth_host_provide(host, &berth_entry, &error) ||
        berth_bind(host, "math.divide", divide, &divide, &error) ||
        berth_bind(host, "math.mirror", mirror, &mirror, &error) ||
        berth_bind(host, "math.nothing", nothing, &nothing, (struct berth_error *)0))
        return 1;
    berth_ctx *ctx = berth_host_enter(host);
    double x = divide_call(&divide, ctx, 6, 4) + mirror_call(&mirror, ctx, p).x;
    nothing_call(&nothing, ctx);
    if (berth_failed(ctx))
        berth_clear(ctx);
    berth_leave(ctx);
    berth_unbind(host, &divide);
    berth_host_free(host);
    return x > 0;
}
