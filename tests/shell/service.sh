#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# berth run under a service manager: what it is told, and that it is told when the host hangs.
. "$(dirname "$0")/shell.sh"

exec </dev/null
unset BERTH_SOCKET
export XDG_RUNTIME_DIR=$work
build_module asks <<'C'
#include <berth/module.h>
#include <stdlib.h>
BERTH_MODULE("asks", "1.0.0", "Looks at its environment.");
BERTH_START
{
    berth_log(ctx, BERTH_LOG_INFO, "environment: %s%s%s", getenv("NOTIFY_SOCKET") ? "socket" : "-",
              getenv("WATCHDOG_USEC") ? "time" : "-", getenv("WATCHDOG_PID") ? "pid" : "-");
}
C
build_module hangs <<'C'
#include <berth/module.h>
#include <unistd.h>
BERTH_MODULE("hangs", "1.0.0", "Keeps a thread of the pool while there is a file.");
static void tick(berth_ctx *ctx, void *user)
{
    (void)ctx;
    (void)user;
    while (access("hang", F_OK) == 0)
        usleep(10000);
}
BERTH_START
{
    berth_timer(ctx, 0, 10000000, tick, 0);
}
C

build_eager

# ---- What is told ----

export NOTIFY_SOCKET=$work/notify
listen "$NOTIFY_SOCKET" told
begin ./asks.so "$modules/math.so"
wait_for READY=1 told
end
wait_for STOPPING=1 told
tap_run "first that it loads, then that it is ready, then that it stops" diff told - <<'TOLD'
listening
STATUS=loading modules
READY=1\nSTATUS=2 modules
STOPPING=1\nSTATUS=stopping after SIGTERM
TOLD
tap_run "without a watchdog there are no signs of life" test "$(grep -c WATCHDOG told)" = 0
tap_run "it ends as ever" test "$status" = 0
: >told
WATCHDOG_USEC=60000000 WATCHDOG_PID=1 begin ./asks.so=process
end
wait_for STOPPING=1 told
tap_run "modules are not asked to tell anything" grep -q 'environment: ---$' err
tap_run "nor is a process of another number" test "$(grep -c WATCHDOG told)" = 0
: >told
begin nofile.so
tap_run "a host that does not start is not ready" test "$(grep -c READY told)" = 0
kill "$listener" && wait "$listener" 2>/dev/null

export NOTIFY_SOCKET=@berth-test-$$
listen "$NOTIFY_SOCKET" told
begin
wait_for READY=1 told
end
tap_run "the name of a socket may be an abstract one" grep -q 'READY=1\\nSTATUS=0 modules$' told
kill "$listener" && wait "$listener" 2>/dev/null

export NOTIFY_SOCKET=$work/again
listen "$NOTIFY_SOCKET" told
echo '{}' >again.conf
begin --config again.conf
echo '{"modules": {"eager": {"file": "eager.so"}}}' >again.conf
kill -HUP "$host"
wait_for 'is applied' told
end
tap_run "a configuration that is read again" grep -qE \
    '^RELOADING=1\\nMONOTONIC_USEC=[0-9]+\\nSTATUS=reading again.conf again$' told
tap_run "makes it ready again" grep -q '^READY=1\\nSTATUS=again.conf is applied$' told
tap_run "and not before, when a module asks for the same meanwhile" test "$(grep -c RELOADING told)" = 1 -a \
    "$(grep -c READY told)" = 2 -a "$(grep -c 'eager.*just being applied' err)" = 1
kill "$listener" && wait "$listener" 2>/dev/null

NOTIFY_SOCKET=$work/none begin
end
tap_run "a manager that is not there is no error" test "$status" = 0 -a \
    "$(grep warning err | grep -vc 'is quarantined: images stay mapped, as under valgrind and sanitizers')" = 0

# ---- The watchdog ----

# signs NUMBER: waits until so many signs of life have come.
signs()
{
    for _ in $(seq 1200); do
        [ "$(grep -c '^WATCHDOG=1$' told)" -ge "$1" ] && return
        sleep 0.05
    done
}

export NOTIFY_SOCKET=$work/notify2 WATCHDOG_USEC=400000
listen "$NOTIFY_SOCKET" told
echo '{"threads": 1, "modules": {"hangs": {"file": "./hangs.so"}}}' >hangs.conf
begin --config hangs.conf
signs 3
tap_run "signs of life come again and again" test "$(grep -c '^WATCHDOG=1$' told)" -ge 3
: >hang
wait_for 'no thread of the pool is free'
tap_run "a host that hangs says so" grep -q \
    ' warning host the host berth did not answer within 100 ms: no thread of the pool is free; the service manager' err
before=$(grep -c '^WATCHDOG=1$' told)
sleep 1 # more than two of the manager's times
tap_run "and gives none while it hangs" test "$(grep -c '^WATCHDOG=1$' told)" = "$before"
rm hang
signs $((before + 2))
tap_run "and again when it does not hang any more" test "$(grep -c '^WATCHDOG=1$' told)" -ge $((before + 2))
kill -USR1 "$host"
before=$(grep -c '^WATCHDOG=1$' told)
signs $((before + 2))
end
tap_run "other signals do not disturb it" test "$status" = 0
kill "$listener" && wait "$listener" 2>/dev/null

tap_done
