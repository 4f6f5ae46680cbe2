#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# berth call with a module in a worker: the same answers, and a crash that is only an error.
. "$(dirname "$0")/shell.sh"

exec </dev/null
math=$modules/math.so types=$modules/types.so crasher=$modules/crasher.so

ok "a call" $'1.5\n' call --with "$math=process" math.divide 6 4
ok "a string" "Hello, World" call --with "$modules/greet.so=process" greet.hello World
ok "an explicit inline" $'1.5\n' call --with "$math=inline" math.divide 6 4
printf 'a\0b\377' >data
berth call --with "$types=process" types.echo_bytes @data
tap_run "bytes" cmp data out
ok "from one worker to another" $'0.5\n' call --with "$modules/chain_a.so=process" \
    --with "$modules/chain_b.so=process" --with "$modules/chain_c.so" chain_a.half 1
fails "the callee's failure" 1 "berth: invalid_argument: *b is zero*" call --with "$math=process" math.divide 1 0
fails "a wrong type" 1 "berth: invalid_argument: *argument b*" call --with "$math=process" math.add 1 two
fails "a crash" 1 "berth: unavailable: *signal 11*" call --with "$crasher=process" crasher.segv
fails "abort()" 1 "berth: unavailable: *signal 6*" call --with "$crasher=process" crasher.abort
fails "exit()" 1 "berth: unavailable: *status 3*" call --with "$crasher=process" crasher.exit 3
fails "a time that is over" 1 "berth: deadline_exceeded: *" \
    call --with "$modules/sleeper.so=process" --timeout 50ms sleeper.nap 20000
BERTH_WORKER=/nowhere/berth-worker berth call --with "$math=process" math.add 1 2
check "a worker's program that is not there is named" 1 "" "berth: *: */nowhere/berth-worker*"

if [ -d "$BERTH_TOP_BUILDDIR/.libs" ]; then
    (unset BERTH_WORKER && exec "$berth" call --with "$math=process" math.add 1 2) >out 2>err
    status=$?
    check "in a build tree the worker is found without help" 0 $'3\n' ""
else
    tap_skip "in a build tree the worker is found without help" "no build tree of libtool's"
fi

tap_done
