#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# berth run with a socket that a service manager has opened: it is served, wherever control runs, and left as it is.
. "$(dirname "$0")/hosts.sh"

activate=$BERTH_TOP_BUILDDIR/tests/shell/activate
export BERTH_SOCKET=$work/manager.sock
unset XDG_RUNTIME_DIR # there is no other place that it could listen at
cp "$modules/math.so" .
control=$BERTH_TOP_BUILDDIR/modules/control/control.so

# activated ARG...: `berth run ARG...` under the manager, until it is ready; as host_begin.
activated()
{
    log=$work/log.$((${#started[@]} + 1))
    : >"$log"
    rm -f "$BERTH_SOCKET"
    "$activate" "$BERTH_SOCKET" "$berth" run "$@" >"$log" 2>&1 &
    host=$!
    started+=("$host")
    until_so has_line "$log" ' info host ready'
}

# configure PLACEMENT THREADS: a control of its own, in b.conf.
configure()
{
    echo "{\"modules\": {\"math\": {\"file\": \"./math.so\"},
        \"control\": {\"file\": \"$control\", \"placement\": \"$1\",
                      \"options\": {\"listener\": \"run.listener\", \"threads\": $2}}}}" >b.conf
}

# made: which file the socket's name is of.
made()
{
    stat -c %i "$BERTH_SOCKET"
}

activated ./math.so
inode=$(made)
ok "the manager's socket is served" $'3\n' call math.add 1 2
tap_run "which is told" has_line "$log" ' info host listens at the socket of the service manager$'
tap_run "nothing else is listened at" test ! -e "$BERTH_SOCKET.lock"
host_end
tap_run "it ends as ever" test "$status" = 0
tap_run "and leaves the socket where it is" test "$(made)" = "$inode"

for placement in inline process; do
    if [ $placement = process ] && [ -n "${BERTH_TEST_NO_CRASH-}" ]; then
        continue
    fi
    configure $placement 4
    activated --config b.conf
    inode=$(made)
    ok "so it is by a control that is configured ($placement)" $'3\n' call math.add 1 2
    configure $placement 8
    kill -HUP "$host"
    until_so has_line "$log" ' b.conf is applied: '
    ok "and by its next generation" $'3\n' call math.add 1 2
    tap_run "which is there" has_line "$log" 'reloaded control'
    if [ $placement = process ]; then
        kill -KILL "$("$berth" list | awk -F '\t' '$1 == "control" { print $6 }')"
        ok "a client waits while it is restarted" $'3\n' call math.add 1 2
    fi
    ok "asked for from inside of itself, a reload is queued" \
        $'control@1.0.0#2: queued, as it is asked for from inside of it; the log tells how it goes\n' reload control
    tap_run "it begins when the call has left ($placement)" until_so has_line "$log" \
        ' control@1.0.0#2 is replaced by control@1.0.0#3 ('
    ok "and done ($placement)" $'3\n' call math.add 1 2
    host_end
    tap_run "the socket is left ($placement)" test "$status" = 0 -a "$(made)" = "$inode"
done

activated --no-control
tap_run "a socket that nobody serves is told" has_line "$log" ' warning host nobody serves the socket of the service manager: '
host_end

configure inline 4
rm -f "$BERTH_SOCKET"
berth run --config b.conf
check "without a manager there is no such socket" 1 "" "*not_found: *no service manager has given this host a socket*"
sed -i "s|\"listener\"|\"socket\": \"$BERTH_SOCKET\", &|" b.conf
host_begin --config b.conf
ok "unless it has one of its own for that" $'3\n' call math.add 1 2
host_end
tap_run "which goes with the host" test ! -e "$BERTH_SOCKET"

tap_done
