# SPDX-License-Identifier: MIT
# For the tests of the program: `. "$(dirname "$0")/shell.sh"`. They drive the real one, on fixture modules.
. "$(dirname "${BASH_SOURCE[0]}")/../support/tap.sh"

berth=$BERTH_TOP_BUILDDIR/berth
modules=$BERTH_TOP_BUILDDIR/tests/fixtures
[ -x "$berth" ] || tap_skip_all "no $berth"
export BERTH_WORKER="${BERTH_WORKER:-$BERTH_TOP_BUILDDIR/berth-worker}"

work=$(mktemp -d)
host='' listener=''
trap 'kill -KILL $host $listener 2>/dev/null; rm -rf "$work"' EXIT
cd "$work" || exit

# berth ARG...: runs it with what the test gives as standard input; sets status and fills the files out and err.
berth()
{
    timeout -k 5 300 "$berth" "$@" >out 2>err
    status=$?
}

# check NAME STATUS OUT ERR: what the last run did. OUT is exact, ERR a pattern of [[ ]] for the
# whole of standard error, which is one line without its newline (or nothing).
check()
{
    local name=$1 wanted=$2 out=$3 err=$4 wrong=0 said
    said=$(cat err)
    [ "$status" = "$wanted" ] || wrong=1
    printf '%s' "$out" | cmp -s - out || wrong=1
    # shellcheck disable=SC2053 # a pattern
    [[ $said == $err ]] || wrong=1
    tap_result $wrong "$name" <<END
exit status $status (wanted $wanted)
stdout: $(head -c 2000 out | cat -v)
wanted: $(printf '%s' "$out" | head -c 2000 | cat -v)
stderr: $(head -c 2000 err)
wanted: $err
END
}

# ok NAME OUT ARG...: succeeds, with this output and nothing else.
ok()
{
    local name=$1 out=$2
    shift 2
    berth "$@"
    check "$name" 0 "$out" ""
}

# fails NAME STATUS ERR ARG...: fails, with nothing on standard output.
fails()
{
    local name=$1 wanted=$2 err=$3
    shift 3
    berth "$@"
    check "$name" "$wanted" "" "$err"
}

# build_module NAME: makes NAME.so in the working directory from the C on standard input.
build_module()
{
    cat >"$1.c"
    # shellcheck disable=SC2086
    ${BERTH_TEST_CC:-cc} -fPIC -shared -fvisibility=hidden -Wl,-z,now ${BERTH_TEST_SANITIZER:-} \
        -I"$BERTH_TOP_SRCDIR/include" -I"$BERTH_TOP_BUILDDIR/include" -o "$1.so" "$1.c"
}

# start ARG...: starts a host.
start()
{
    : >err # or wait_for would find what the last one has said
    "$berth" run "$@" >out 2>err &
    host=$!
}

# begin ARG...: starts a host and waits until it is ready (or has ended).
begin()
{
    start "$@"
    wait_for 'host ready, with'
}

# wait_for TEXT [FILE [COUNT]]: until so many lines of the log, or the file, have it, at most a minute or so.
wait_for()
{
    local found
    for _ in $(seq 1200); do
        found=$(grep -c "$1" "${2:-err}" 2>/dev/null)
        [ "${found:-0}" -lt "${3:-1}" ] || return 0
        kill -0 "$host" 2>/dev/null || return 1
        sleep 0.05
    done
    return 1
}

# finish: the host's exit status, which it must reach within a minute or so.
finish()
{
    for _ in $(seq 1200); do
        kill -0 "$host" 2>/dev/null || break
        sleep 0.05
    done
    kill -KILL "$host" 2>/dev/null
    wait "$host"
    status=$?
}

# end: has the host end, and waits for that.
end()
{
    kill -TERM "$host" 2>/dev/null
    finish
}

# build_eager: makes eager.so.
build_eager()
{
    build_module eager <<'C'
#include <berth/module.h>
BERTH_MODULE("eager", "1.0.0", "Has the configuration applied as soon as it begins.");
BERTH_IMPORT(json, run, reconfigure);
BERTH_START
{
    run_reconfigure(ctx);
    berth_log(ctx, BERTH_LOG_WARNING, "refused: %s", berth_error_text(ctx));
    berth_clear(ctx);
}
C
}

# listen SOCKET FILE: has each datagram to the socket written to the file, a line for each.
listen()
{
    : >"$2"
    "$BERTH_TOP_BUILDDIR/tests/shell/datagrams" "$1" >>"$2" &
    listener=$!
    local host=$listener # there may be no host yet
    wait_for '^listening$' "$2"
}
