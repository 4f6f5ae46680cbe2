#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Where a host listens, and how it is found: names, paths, the environment; two hosts, none, and one too many.
. "$(dirname "$0")/hosts.sh"

cp "$modules"/{math,greet}.so .

# ---- Default and name ----

host_begin ./math.so
first=$host
tap_run "the first line says where" grep -qE "^[^ ]+ info host listens at $work/berth/berth.sock$" <(head -n 1 "$log")
tap_run "ready counts what was asked for" grep -q ' info host ready, with 1 module$' "$log"
tap_run "the directory is this user's" test "$(stat -c %a berth)" = 700
tap_run "so is the socket" test -S berth/berth.sock -a "$(stat -c %a berth/berth.sock)" = 600
host_begin --name other ./greet.so
second=$host
ok "a client finds the first" $'3\n' call math.add 1 2
ok "also by its name" $'3\n' call --host berth math.add 1 2
ok "and the other by its" "Hello, you" call --host other greet.hello you
ok "or by its path" "Hello, you" call --socket berth/other.sock greet.hello you
export BERTH_SOCKET=$work/berth/other.sock
ok "\$BERTH_SOCKET" "Hello, you" call greet.hello you
ok "--host is stronger" $'3\n' call --host berth math.add 1 2
ok "so is --socket" $'3\n' call --socket berth/berth.sock math.add 1 2
unset BERTH_SOCKET
fails "not two ways at once" 2 "berth: invalid_argument: list: *not both*" list --host a --socket b
fails "no such host" 3 "berth: unavailable: no host listens at $work/berth/third.sock: start one with berth run, or name it with --host" \
    list --host third
fails "as JSON" 3 '{"error":{"code":"unavailable","text":"no host listens at *"}}' list --host third --json
for command in "show math" "call math.add 1 2" "load math.so" "unload math" "reload math" "publish a.b {}" \
    "subscribe a" events; do
    # shellcheck disable=SC2086 # words
    fails "$command, too" 3 "berth: unavailable: no host listens at *" ${command%% *} --host third ${command#"${command%% *}"}
done

# ---- One too many ----

berth run
sed -i '/ is quarantined: /d' err # under a sanitizer
tap_run "a second one of the same name is refused" test "$status" = 1 -a "$(wc -l <err)" = 1
check "with a clear sentence" 1 "" \
    "berth: already_exists: another host listens at $work/berth/berth.sock: end it, or give this one another --name or --socket"
ok "the first one goes on" $'3\n' call math.add 1 2
host=$second && host_end
tap_run "SIGTERM ends a host" test "$status" = 0
tap_run "and its socket" test ! -e berth/other.sock
fails "nobody listens any more" 3 "berth: unavailable: *" list --host other
host=$first && host_end INT
tap_run "so does SIGINT" test "$status" = 0

# ---- Paths ----

host_begin --socket s.sock --name x
ok "--socket" $'{"kind":"number","text":"5","members":[]}\n' call --socket s.sock host.parse 5
host_end
BERTH_SOCKET=$work/new/env.sock host_begin
tap_run "\$BERTH_SOCKET is where it listens" test -S new/env.sock
tap_run "its directory was made" test "$(stat -c %a new)" = 700
host_end
BERTH_SOCKET=$work/new/env.sock host_begin --name named ./math.so
ok "a --name is stronger, and a client finds it by that" $'3\n' call --host named math.add 1 2
host_end
BERTH_SOCKET=$work/new/env.sock host_begin --socket "$work/arg.sock"
tap_run "--socket is stronger" test -S arg.sock -a ! -S new/env.sock
host_end
host_begin --no-control ./math.so
tap_run "--no-control listens nowhere" test ! -S berth/berth.sock -a "$(grep -c listens "$log")" = 0
host_end
tap_run "and ends well" test "$status" = 0

fails "a directory that cannot be made" 1 "berth: not_found: *no/such*" run --socket no/such/dir/s.sock
long=$(printf '%0120d' 0)
echo text >plain
berth run --socket plain
tap_run "a file in its place" test "$status" = 1 -a \
    "$(tail -n 1 err)" = "berth: failed_precondition: plain is there and no socket: remove it, or choose another place with --socket"
tap_run "is left alone" test "$(cat plain)" = text
fails "a path that is too long" 1 "berth: invalid_argument: *at most 107 bytes*--socket*" run --socket "$long"
fails "for a client, too" 3 "berth: invalid_argument: *at most 107 bytes*" list --socket "$long"
for name in a/b '' .. -x 'a b'; do
    fails "no name: '$name'" 1 "berth: invalid_argument: \"$name\" is no name for a host*" run "--name=$name"
done
fails "an empty path" 1 "berth: invalid_argument: *" run --socket ""
fails "--socket and --no-control" 2 "berth: invalid_argument: *" run --socket x --no-control
if [ "$(id -u)" != 0 ]; then
    fails "no place at all" 3 "berth: failed_precondition: *XDG_RUNTIME_DIR*BERTH_SOCKET*--socket*" list
    XDG_RUNTIME_DIR='' berth run
    check "for a host, too" 1 "" "berth: failed_precondition: *XDG_RUNTIME_DIR*BERTH_SOCKET*--socket*"
elif command -v setpriv >/dev/null; then
    chmod 755 . && mkdir -m 777 hers
    as_nobody() { XDG_RUNTIME_DIR=${place-} timeout 60 setpriv --reuid=65534 --regid=65534 --clear-groups "$real" "$@" >out 2>err; status=$?; }
    real=$BERTH_TOP_BUILDDIR/.libs/berth
    [ -x "$real" ] || real=$berth
    export LD_LIBRARY_PATH=$BERTH_TOP_BUILDDIR/.libs
    as_nobody list
    if [ "$status" -lt 126 ]; then
        check "no place at all" 3 "" "berth: failed_precondition: *XDG_RUNTIME_DIR*BERTH_SOCKET*--socket*"
        as_nobody run
        check "for a host, too" 1 "" "berth: failed_precondition: *XDG_RUNTIME_DIR*BERTH_SOCKET*--socket*"
        host_begin --socket "$work/hers/s.sock"
        as_nobody list --socket "$work/hers/s.sock"
        check "another user's host" 3 "" "berth: permission_denied: $work/hers/s.sock: only the user who runs the host, or root, *"
        host_end
    else
        tap_skip "another user's host" "another user cannot run this build"
    fi
fi

# ---- What is no host's ----

: >file
fails "a file is no socket" 3 "berth: unavailable: no host listens at file: *" list --socket file
mkdir directory
fails "nor is a directory" 3 "berth: *" list --socket directory
fails "an unknown option" 2 "berth: invalid_argument: *--bogus: no such option*berth help list*" list --bogus
fails "a time that is none" 2 "berth: invalid_argument: *200ms, 5s or 1m*" list --timeout 5
fails "an option without its value" 2 "berth: invalid_argument: *--host needs a value*" list --host

tap_done
