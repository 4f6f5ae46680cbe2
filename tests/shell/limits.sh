#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Arguments that are too much: each one an answer or a clear error, in time, in both placements.
. "$(dirname "$0")/shell.sh"

exec </dev/null
types=$modules/types.so

printf '%10000s' '' | tr ' ' '[' >open
printf '%10000s' '' | tr ' ' ']' >close
deep=$(cat open close)
for placement in inline process; do
    with=$types=$placement
    fails "$placement: 10,000 nested brackets" 1 "berth: invalid_argument: *" \
        call --with "$with" types.echo_json "$deep"
    fails "$placement: in --args" 1 "berth: invalid_argument: *" \
        call --with "$with" --args "[$deep]" types.echo_json
    fails "$placement: only the opening ones" 1 "berth: invalid_argument: *" \
        call --with "$with" types.echo_json "$(cat open)"
    fails "$placement: no UTF-8 in JSON" 1 "berth: invalid_argument: *UTF-8*" \
        call --with "$with" types.echo_json $'"a\xffb"'
    fails "$placement: half a surrogate" 1 "berth: invalid_argument: *" \
        call --with "$with" types.echo_json '"\ud800"'
    fails "$placement: a key twice" 1 "berth: invalid_argument: *" \
        call --with "$with" types.echo_json '{"a":1,"a":2}'
done

# 100 MB: there is a limit, and it is said.
head -c 100000000 /dev/zero | tr '\0' x >large
head -c 10000000 large >smaller
berth call --with "$types" types.echo_string @smaller
tap_run "inline: a text of 10 MB passes" cmp smaller out
berth call --with "$types" types.echo_bytes - <smaller
tap_run "inline: bytes from standard input, too" cmp smaller out
for placement in inline process; do
    fails "$placement: 100 MB are too much" 1 \
        "berth: resource_exhausted: *argument value: large has more than the 16777216 bytes *" \
        call --with "$types=$placement" types.echo_string @large
    fails "$placement: so is a file without end" 1 \
        "berth: resource_exhausted: *argument value: /dev/zero has more than *" \
        call --with "$types=$placement" types.echo_bytes @/dev/zero
done
berth call --with "$types" types.echo_bytes - < <(exec cat /dev/zero)
check "and standard input without end" 1 "" \
    "berth: resource_exhausted: *standard input has more than *"
fails "each is small enough, together they are not" 1 \
    "berth: resource_exhausted: *the arguments have * max_message *" \
    call --with "$types" types.mix true 0 0 0 0 0 0 0 0 0 0 @smaller @smaller '[]' null '{"x":0,"y":0}'
(printf '"'; cat large; printf '"') >large.json
berth call --with "$types" types.echo_json value=- <large.json
check "a word of JSON is not read from a file" 1 "" "berth: invalid_argument: *"

ok "after all that a call still works" "fine" call --with "$types=process" types.echo_string fine

tap_done
