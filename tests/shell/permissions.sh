#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What modules may do: berth run refuses, berth run --learn tells what to grant, berth check what is mistyped.
. "$(dirname "$0")/hosts.sh"

export HOME=$work/home
unset BERTH_PATH
build_module busy <<'C'
#include <berth/module.h>
BERTH_MODULE("busy", "1.0.0", "Calls at its start and at its end.");
BERTH_IMPORT(json, host, call, (string, function), (optional(json), arguments), (optional(i64), timeout_ms));
BERTH_IMPORT(f64, math, add, (f64, a), (f64, b));
BERTH_TOPIC("busy.news", news);
BERTH_SUBSCRIBE("clock.>", on_tick)
{
    (void)ctx;
}
BERTH_START
{
    const berth_optional_i64 none = { false, 0 };
    host_call(ctx, "math.negate", "[1]", none);
}
BERTH_STOP
{
    const berth_optional_i64 none = { false, 0 };
    host_call(ctx, "math.nothing", "[]", none);
    if (berth_failed(ctx))
        berth_log(ctx, BERTH_LOG_ERROR, "stop: %s", berth_error_text(ctx));
}
C

where=(--no-control)

# host ARG...: runs one until it is ready (or has ended), and ends it; out, err and status are its.
host()
{
    : >err
    "$berth" run "${where[@]}" "$@" >out 2>err &
    local host=$!
    for _ in $(seq 1200); do
        grep -q ' info host ready' err && break
        kill -0 "$host" 2>/dev/null || break
        sleep 0.05
    done
    kill -TERM "$host" 2>/dev/null
    wait "$host"
    status=$?
}

# configure GRANTS: listed.conf, of busy and math.
configure()
{
    cat >listed.conf <<CONF
{
    "modules": {"math": {"file": "$modules/math.so"}, "busy": {"file": "./busy.so"}},
    $1
}
CONF
}

# ---- Refusals ----

configure '"permissions": {"mode": "listed"}'
fails "a module that wants more than it is granted is refused, with all that is missing" 1 \
    "*berth: permission_denied: *busy.so: busy wants more than it is granted: add to the grants \"busy\": {\"call\": \[\"host.call\", \"math.add\"\], \"publish\": \[\"busy.news\"\], \"subscribe\": \[\"clock.>\"\]}*" \
    run --config listed.conf
configure '"permissions": {"mode": "listed", "grants": {"busy": {"call": ["math.add", "host.call"], "publish": ["busy.>"], "subscribe": ["clock.>"]}}}'
fails "so is one whose START does more than that" 1 \
    "*permission_denied: *START failed: *busy may not call math.negate: add to the grants \"busy\": {\"call\": \[\"math.negate\"\]}*" \
    run --config listed.conf
configure '"permissions": {"mode": "declared"}'
host --config listed.conf
tap_run "where declaring is enough it runs" test "$status" = 0

# ---- Learning ----

host --learn "$modules/math.so" ./busy.so
cat >wanted <<'TEXT'
"permissions": {
    "mode": "listed",
    "grants": {
        "busy": {"call": ["host.call", "math.add", "math.negate", "math.nothing"], "publish": ["busy.news"], "subscribe": ["clock.>"]}
    }
}
TEXT
tap_run "--learn tells what was needed, until the end, by its exact names" diff wanted out
tap_run "and ends with 0" test "$status" = 0
cp out learnt
configure "$(cat learnt)"
host --config listed.conf
tap_run "with that a listed host runs" test "$status" = 0 -a "$(grep -c ready err)" = 1
tap_run "to its end" test "$(grep -c 'stop:' err)" = 0
host --config listed.conf --learn
tap_run "and learns the same, open, by a configuration" diff wanted out
host --learn "$modules/math.so=process" ./busy.so=process
tap_run "it is the same wherever they run" diff wanted out

configure '"permissions": {"grants": {"busy": {"as": "operator"}}}'
host --config listed.conf --learn
cat >wanted <<'TEXT'
"permissions": {
    "mode": "listed",
    "grants": {
        "busy": {"as": "operator", "call": ["host.call", "math.add"], "publish": ["busy.news"], "subscribe": ["clock.>"]},
        "operator": {"call": ["math.negate", "math.nothing"]}
    }
}
TEXT
tap_run "who acts for operators needs it for them" diff wanted out
host --learn
tap_run "of a host without modules there is nothing to grant" \
    diff <(printf '"permissions": {\n    "mode": "listed",\n    "grants": {}\n}\n') out

# ---- Operators, where berth run listens by itself ----

# on ARG...: what an operator's command says to the running host.
on()
{
    berth call --socket "$work/socket" "$@"
}

configure "$(cat learnt)"
"$berth" run --socket "$work/socket" --config listed.conf >listening 2>log &
host=$!
started+=("$host")
until_so has_line log " info host ready"
on math.negate 7
tap_run "an operator may do everything" test "$status" = 0 -a "$(cat out)" = -7
on busy.nothing
tap_run "even be told what is not there" grep -q not_found err
on host.permit '{"mode":"listed","grants":{"control":{"as":"operator","call":["host.*"]},"operator":{"call":["host.show","host.permissions"]}}}'
tap_run "and take that away" test "$status" = 0
on math.negate 7
tap_run "from then on he may not" grep -qF 'operator may not call math.negate: add to the grants' err
on host.permissions
tap_run "but see why" grep -q '"mode": *"listed"' out
kill -TERM "$host"
wait "$host"
tap_run "such a host ends as others do" test "$?" = 0
where=(--socket "$work/socket")
configure "$(cat learnt)"
host --config listed.conf --learn
tap_run "what berth run grants by itself is not learnt" diff learnt out
where=(--no-control)

# ---- Checks ----

cat >typos.conf <<CONF
{
    "modules": {"busy": {"file": "./busy.so"}, "math": {"file": "$modules/math.so"}},
    "permissions": {
        "mode": "listed",
        "grants": {
            "bussy": {"call": ["math.ad", "maths.add", "math.*", "*", "host.call"]},
            "*": {"as": "operator"},
            "operator": {"call": ["nobody.knows"]}
        }
    }
}
CONF
berth check typos.conf
tap_run "check tells what grants name that is not there, and what was meant" diff - err <<'TEXT'
typos.conf:2:17: modules.busy: it wants more than it is granted: add to the grants "busy": {"call": ["host.call", "math.add"], "publish": ["busy.news"], "subscribe": ["clock.>"]}
typos.conf:6:13: warning: permissions.grants.bussy: no module "bussy" is configured; did you mean "busy"?
typos.conf:6:32: warning: permissions.grants.bussy: math 1.2.0 has no function "ad"; did you mean "add"?
typos.conf:6:43: warning: permissions.grants.bussy: no module "maths" is configured; did you mean "math"?
typos.conf:7:19: permissions.grants.*: only a module can act for operators: name it
typos.conf:8:35: warning: permissions.grants.operator: no module "nobody" is configured
berth: invalid_argument: typos.conf: 2 errors
TEXT
tap_run "an error it is only where the host would not begin" test "$status" = 1
configure '"permissions": {"mode": "open", "grants": {"busy": {"call": ["math.*"]}}}'
berth check listed.conf
tap_run "grants that nobody asks for are a warning" grep -qF \
    'listed.conf:3:48: warning: permissions.grants: a host whose mode is "open" does not ask for grants' err

configure '"permissions": {"mode": "listed", "grants": {"busy": {"call": ["host.call"], "publish": ["busy.>"]}, "*": {"call": ["*"], "subscribe": [">"]}}}'
ok "what the manifests want is granted" $'listed.conf: fine (2 modules)\n' check listed.conf
configure '"permissions": {"mode": "listed", "grants": {"busy": {"call": ["*"], "publish": ["busy.*.x"]}, "math": {"subscribe": [">"]}}}'
fails "check tells what they lack, as the host would" 1 \
    '*: modules.busy: it wants more than it is granted: add to the grants "busy": {"call": \["host.call"\], "publish": \["busy.news"\], "subscribe": \["clock.>"\]}*' \
    check listed.conf

tap_done
