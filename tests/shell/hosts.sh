# SPDX-License-Identifier: MIT
# For tests of commands against running hosts: `. "$(dirname "$0")/hosts.sh"`. Sockets are in this test's directory.
. "$(dirname "${BASH_SOURCE[0]}")/shell.sh"

[ -e "$BERTH_TOP_BUILDDIR/modules/control/control.so" ] || tap_skip_all "no module control"
unset BERTH_SOCKET
export XDG_RUNTIME_DIR=$work
exec </dev/null

# What is started here ends here, however the test does.
started=()
end_started()
{
    for process in "${started[@]}"; do
        kill -KILL "$process" 2>/dev/null
    done
    rm -rf "$work"
}
trap end_started EXIT

# until_so COMMAND...: waits until it succeeds, at most 30 seconds.
until_so()
{
    for _ in $(seq 600); do
        "$@" 2>/dev/null && return
        sleep 0.05
    done
    return 1
}

has_line() # FILE PATTERN
{
    grep -q "$2" "$1"
}

# is_gone PROCESS
is_gone()
{
    ! kill -0 "$1"
}

# host_begin ARG...: `berth run ARG...` until it is ready; its process is $host, its log $log.
host_begin()
{
    log=$work/log.$((${#started[@]} + 1))
    : >"$log" # or what an earlier one has said would be seen
    "$berth" run "$@" >"$log" 2>&1 &
    host=$!
    started+=("$host")
    until_so has_line "$log" ' info host ready' || { cat "$log" >&2; tap_skip_all "no host"; }
}

# host_end [SIGNAL]: ends the last one; sets status.
host_end()
{
    kill -"${1:-TERM}" "$host"
    until_so is_gone "$host"
    wait "$host" 2>/dev/null
    status=$?
}

# background ARG...: `berth ARG...` whose output goes to the files seen and said; its process is $process. Signals are
# as they would be in the foreground.
background()
{
    : >seen
    env --default-signal=INT,TERM "$berth" "$@" >seen 2>said &
    process=$!
    started+=("$process")
}

# is_connected PID: to a host, and so past all that comes before.
is_connected()
{
    ls -l "/proc/$1/fd" 2>/dev/null | grep -q socket:
}

# background_end [SIGNAL]: sets status, and makes seen and said what check looks at.
background_end()
{
    [ -z "${1:-}" ] || kill -"$1" "$process"
    until_so is_gone "$process" || kill -KILL "$process"
    wait "$process" 2>/dev/null
    status=$?
    cp seen out
    cp said err
}

# on_terminal ARG...: what `berth ARG...` prints on a terminal, in the file out.
on_terminal()
{
    script -qec "$(printf '%q ' "$berth" "$@")" /dev/null | tr -d '\r' >out
}
