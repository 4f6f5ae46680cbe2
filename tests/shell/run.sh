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
kill -TERM "$host" && finish
tap_run "SIGTERM ends it with 0" test "$status" = 0
tap_run "its modules are stopped" grep -q ' warning noisy@1.2.3#1 stopping$' err
tap_run "standard output stays empty" test ! -s out

begin ./noisy.so
kill -INT "$host" && finish
tap_run "SIGINT ends it with 0" test "$status" = 0
tap_run "and stops modules, too" grep -q ' stopping$' err

begin
tap_run "a host without modules" grep -q 'ready, with 0 modules$' err
kill -TERM "$host" && finish
tap_run "ends the same" test "$status" = 0

begin ./slow.so
kill -TERM "$host"
wait_for 'SIGTERM: stopping'
kill -TERM "$host" && finish
tap_run "a second SIGTERM ends it at once" test "$status" = 143
begin ./slow.so
kill -TERM "$host"
wait_for 'SIGTERM: stopping'
kill -INT "$host" && finish
tap_run "so does SIGINT" test "$status" = 130

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
kill -TERM "$host" && finish
tap_run "it goes on when nobody reads its log any more" test "$status" = 0

tap_done
