#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# berth run: a host in the foreground, from its first line of log to its end.
. "$(dirname "$0")/shell.sh"

exec </dev/null
unset BERTH_SOCKET
export XDG_RUNTIME_DIR=$work
build_module noisy <<'C'
#include <berth/module.h>
#include <unistd.h>
BERTH_MODULE("noisy", "1.2.3", "Says what happens.");
BERTH_START
{
    berth_log(ctx, BERTH_LOG_INFO, "starting\n\033[31mred");
    berth_log(ctx, BERTH_LOG_DEBUG, "not for everybody");
    berth_log(ctx, BERTH_LOG_ERROR, "an error");
}
BERTH_STOP
{
    berth_log(ctx, BERTH_LOG_WARNING, "stopping");
}
C
build_module slow <<'C'
#include <berth/module.h>
#include <unistd.h>
BERTH_MODULE("slow", "1.0.0", "Takes its time.");
BERTH_STOP
{
    sleep(600);
}
C

begin ./noisy.so "$modules/math.so=process"
tap_run "a line says that it is ready" grep -qE ' info host ready, with 2 modules$' err
tap_run "every line: TIME LEVEL MODULE TEXT" test -z \
    "$(grep -vE '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z (error|warning|info|debug) [a-z0-9_@.#]+ .+' err)"
tap_run "a module's lines have its name, version and generation" grep -q ' error noisy@1.2.3#1 an error$' err
tap_run "a line is one line, without control characters" grep -qE ' info noisy@1\.2\.3#1 starting.*31mred$' err
tap_run "lines below info are left out" test "$(grep -c 'not for everybody' err)" = 0
end
tap_run "SIGTERM ends it with 0" test "$status" = 0
tap_run "its modules are stopped" grep -q ' warning noisy@1.2.3#1 stopping$' err
tap_run "standard output stays empty" test ! -s out

begin ./noisy.so
kill -INT "$host" && finish
tap_run "SIGINT ends it with 0" test "$status" = 0
tap_run "and stops modules, too" grep -q ' stopping$' err

begin
tap_run "a host without modules" grep -q 'ready, with 0 modules$' err
end
tap_run "ends the same" test "$status" = 0

begin ./slow.so
kill -TERM "$host"
wait_for 'SIGTERM: stopping'
end
tap_run "a second SIGTERM ends it at once" test "$status" = 143
begin ./slow.so
kill -TERM "$host"
wait_for 'SIGTERM: stopping'
kill -INT "$host" && finish
tap_run "so does SIGINT" test "$status" = 130

# ---- What needs others stops before them ----

build_module base <<'C'
#include <berth/module.h>
#include <unistd.h>
BERTH_MODULE("base", "1.0.0", "Is needed.");
BERTH_PARALLEL;
BERTH_EXPORT(void, sit, "Does not come back.")
{
    berth_log(ctx, BERTH_LOG_INFO, "sits");
    sleep(600);
}
BERTH_STOP
{
    berth_log(ctx, BERTH_LOG_INFO, "stops");
}
C
build_module top <<'C'
#include <berth/module.h>
BERTH_MODULE("top", "1.0.0", "Needs it.");
BERTH_REQUIRES("base", "^1");
BERTH_STOP
{
    berth_log(ctx, BERTH_LOG_INFO, "stops");
}
C
build_module user <<'C'
#include <berth/module.h>
BERTH_MODULE("user", "1.0.0", "Uses it.");
BERTH_IMPORT(void, base, sit);
BERTH_STOP
{
    berth_log(ctx, BERTH_LOG_INFO, "stops");
}
C
cat >quiet.conf <<'CONF'
{"log": {"level": "info"}, "limits": {"stop_timeout": "200ms"}}
CONF
begin ./base.so ./user.so ./top.so
end
tap_run "in the order of their needs" test "$(grep -o '[a-z]*@.* stops' err | tr '\n' ' ')" = \
    "top@1.0.0#1 stops user@1.0.0#1 stops base@1.0.0#1 stops "
build_module later <<'C'
#include <berth/module.h>
#include <pthread.h>
BERTH_MODULE("later", "1.0.0", "Has base loaded anew once all are there.");
BERTH_IMPORT(void, host, unload, (string, module), (optional(bool), force));
BERTH_IMPORT(string, host, load, (string, file), (optional(string), name), (optional(string), placement),
             (optional(json), options));
static void move(berth_ctx *ctx, void *user)
{
    (void)user;
    host_unload(ctx, "base", (berth_optional(bool)){ true, true });
    host_load(ctx, "./base.so", NULL, NULL, NULL);
    berth_log(ctx, BERTH_LOG_INFO, "moved it: %s", berth_failed(ctx) ? berth_error_text(ctx) : "yes");
}
BERTH_START
{
    berth_timer(ctx, 0, 0, move, 0);
}
C
start ./base.so ./user.so ./top.so ./later.so
wait_for 'moved it: yes'
: >moved && grep -n . err >moved
end
tap_run "also when what they need was loaded last" test \
    "$(sed "1,$(wc -l <moved)d" err | grep -o '[a-z]*@.* stops' | tr '\n' ' ')" = \
    "top@1.0.0#1 stops user@1.0.0#1 stops base@1.0.0#2 stops "

# ---- What cannot be finished ----

build_module sits <<'C'
#include <berth/module.h>
BERTH_MODULE("sits", "1.0.0", "Calls what does not come back.");
BERTH_IMPORT(void, base, sit);
static void call(berth_ctx *ctx, void *user)
{
    (void)user;
    base_sit(ctx);
}
BERTH_START
{
    berth_timer(ctx, 0, 0, call, 0);
}
C
start --config quiet.conf ./base.so ./sits.so ./top.so
wait_for 'base@1.0.0#1 sits'
end
tap_run "the log tells which calls could not be finished" \
    grep -qE ' error host at the end: sits: 1 call was still inside after [0-9.]+ s$' err
tap_run "and where they are" grep -qE ' error host at the end: base: 1 call was still inside' err
tap_run "what does not depend on them is stopped" grep -q ' top@1.0.0#1 stops$' err
tap_run "and it ends nevertheless" test "$status" = 0

fails "what cannot be loaded is an error" 1 "*berth: not_found: *nofile.so*" run nofile.so
fails "all or none" 1 "*berth: not_found: *nofile.so*" run "$modules/math.so" nofile.so
fails "a START that fails" 1 "*berth: *bad_start*" run "$modules/bad_start.so"
fails "a placement that is none" 2 "berth: invalid_argument: *outline*" run "$modules/math.so=outline"
fails "an unknown option" 2 "berth: invalid_argument: *--bogus*berth help run*" run --bogus

"$berth" run ./noisy.so >out 2> >(head -n 1 >first) &
host=$!
for _ in $(seq 1200); do
    [ -s first ] && break
    sleep 0.05
done
end
tap_run "it goes on when nobody reads its log any more" test "$status" = 0

tap_done
