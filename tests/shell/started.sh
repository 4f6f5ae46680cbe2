#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Calls of a running host that answer later: several replies, a deadline, Ctrl-C; also over the socket itself.
. "$(dirname "$0")/hosts.sh"

cp "$modules"/{math,later}.so .
host_begin ./math.so ./later.so

# TEXT KEY: the function that holds it sees that nobody waits; who is told of the end may be first.
sees() {
    for _ in $(seq 600); do
        [ "$("$berth" call later.stopping "$2")" = true ] && break
        sleep 0.05
    done
    ok "$1" $'true\n' call later.stopping "$2"
}

ok "replies are printed as they come, then the result" $'1\n2\n3\n3\n' call later.count 3
ok "as JSON, too" $'1\n2\n2\n' call --json later.count 2
ok "a result from a thread of its own" $'1.5\n' call later.half 3
ok "of a host for the one call as well" $'1\n2\n3\n3\n' call --with ./later.so later.count 3
ok "whose module is in a worker" $'1\n2\n2\n' call --json --with ./later.so=process later.count 2

"$berth" call later.hold e >out 2>err &
call=$!
until [ "$("$berth" call later.holds e)" = true ]; do sleep 0.02; done
for value in $'a\n' b ''; do "$berth" call later.more e "$value" >/dev/null; done
"$berth" call later.release e c
wait $call
status=$?
check "a text that ends its line is not given another end" 0 $'a\nb\n\nc' ""

fails "there, too, it is answered at the deadline" 1 "berth: deadline_exceeded: later.hold: not answered before the deadline" \
    call --with ./later.so --timeout 200ms later.hold a
fails "it is answered at the deadline, whatever the function does" 1 \
    "berth: deadline_exceeded: later.hold: not answered before the deadline" call --timeout 200ms later.hold a
ok "which sees that" $'true\n' call later.stopping a

"$berth" call later.hold b >out 2>err &
call=$!
until [ "$("$berth" call later.holds b)" = true ]; do sleep 0.02; done
kill -INT $call
wait $call
status=$?
check "Ctrl-C cancels, says so, and is what it ends by" 130 "" "berth: cancelled: later.hold: SIGINT came before its answer"
sees "which the function sees" b

"$berth" call --json later.hold d >out 2>err &
call=$!
until [ "$("$berth" call later.holds d)" = true ]; do sleep 0.02; done
kill -TERM $call
wait $call 2>/dev/null
status=$?
check "so does SIGTERM" 143 "" '{"error":{"code":"cancelled","text":"later.hold: SIGTERM came before its answer"}}*'
sees "which the function sees, too" d

"$berth" call later.hold c >out 2>err &
call=$!
until [ "$("$berth" call later.holds c)" = true ]; do sleep 0.02; done
kill -KILL $call
wait $call 2>/dev/null
sees "a client that goes cancels its calls" c

end
tap_done
