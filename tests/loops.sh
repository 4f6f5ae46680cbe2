#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The examples of a host in an application's own loop, doc/examples/: each builds without a warning by the
# line at its head, and a module's timer ticks in it.
. "$(dirname "$0")/support/tap.sh"

examples=$BERTH_TOP_SRCDIR/doc/examples
libraries=$BERTH_TOP_BUILDDIR/.libs
cc=${BERTH_TEST_CC:-cc}
[ -e "$libraries/libberth.so" ] || tap_skip_all "no $libraries/libberth.so"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
headers=(-I"$BERTH_TOP_SRCDIR/include" -I"$BERTH_TOP_BUILDDIR/include")
warnings=(-Wall -Wextra -Wshadow -Wconversion -Werror)

cat >"$dir/expected" <<'TEXT'
beat.tick: {"number":1}
beat.tick: {"number":2}
beat.tick: {"number":3}
3 beats
TEXT

# build NAME FLAG...: the example, linked to this build's library.
build()
{
    local name=$1
    shift
    # shellcheck disable=SC2086
    "$cc" -D_GNU_SOURCE "${warnings[@]}" ${BERTH_TEST_SANITIZER:-} "${headers[@]}" -o "$dir/$name" \
        "$examples/$name.c" -L"$libraries" -lberth "$@"
}

# runs NAME: ticks, calls, and ends by itself, with nothing to complain about.
runs()
{
    LD_LIBRARY_PATH=$libraries timeout 300 "$dir/$1" "$dir/beat.so" >"$dir/said" 2>"$dir/errors" ||
        { echo "status $?"; cat "$dir/errors"; return 1; }
    diff "$dir/expected" "$dir/said" && diff /dev/null "$dir/errors"
}

# listens PID: it has a handler for SIGINT, or a signalfd. (That it is blocked says nothing: every signal is
# for a moment, while a thread is made.)
listens()
{
    local caught
    caught=$(awk '/^SigCgt/ { print $2 }' "/proc/$1/status" 2>/dev/null)
    ((0x${caught:-0} & 2)) || ls -l "/proc/$1/fd" 2>/dev/null | grep -q signalfd
}

# interrupted NAME: SIGINT ends it in good order, when it would go on for an hour.
interrupted()
{
    local pid status
    LD_LIBRARY_PATH=$libraries "$dir/$1" "$dir/seldom.so" >"$dir/said" 2>"$dir/errors" &
    pid=$!
    for _ in $(seq 600); do
        listens "$pid" && break
        sleep 0.05
    done
    kill -INT "$pid"
    timeout 300 tail -f -s 0.05 --pid="$pid" /dev/null || kill -KILL "$pid"
    wait "$pid"
    status=$?
    cat "$dir/said" "$dir/errors" >"$dir/everything"
    [ "$status" = 0 ] || { echo "status $status"; cat "$dir/everything"; return 1; }
    diff /dev/null "$dir/everything"
}

tap_run "the module builds" "$cc" -shared -fPIC -fvisibility=hidden -Wl,-z,now "${warnings[@]}" \
    "${headers[@]}" -o "$dir/beat.so" "$examples/beat.c"
sed 's/period = 20000000/period = 3600000000000/' "$examples/beat.c" >"$dir/seldom.c"
tap_run "and one that ticks each hour" "$cc" -shared -fPIC -fvisibility=hidden -Wl,-z,now \
    "${headers[@]}" -o "$dir/seldom.so" "$dir/seldom.c"

# example NAME MODULE PACKAGE FLAGS: MODULE is pkg-config's, FLAGS are what configure has found.
example()
{
    local name=$1 module=$2 package=$3 flags=$4
    if [ -n "$module" ] && [ -z "${flags//[[:space:]]/}" ]; then
        tap_skip "doc/examples/$name.c" "no $module here (Debian: $package)"
        return
    fi
    # shellcheck disable=SC2086
    tap_run "doc/examples/$name.c builds" build "$name" $flags &&
        tap_run "and a module ticks in its loop" runs "$name" &&
        tap_run "and SIGINT ends it" interrupted "$name"
}

found() # MODULE: as configure does, for a run by hand
{
    "${PKG_CONFIG:-pkg-config}" --cflags --libs "$1" 2>/dev/null
}
example epoll '' '' ''
example glib glib-2.0 libglib2.0-dev "${BERTH_TEST_GLIB-$(found glib-2.0)}"
example libuv libuv libuv1-dev "${BERTH_TEST_LIBUV-$(found libuv)}"
tap_done
