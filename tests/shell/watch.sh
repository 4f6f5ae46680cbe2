#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Commands that print what comes: subscribe and events --follow, until a signal, a number or the host's end.
. "$(dirname "$0")/hosts.sh"

cp "$modules"/{publisher,counter,math,sleeper}.so .
host_begin ./publisher.so

# news N: publishes one message, whose number is N.
news()
{
    "$berth" publish news.text "{\"text\":\"é\",\"number\":$1}" >/dev/null
}

# seen_lines COUNT: waits until the command in the background has printed so many.
seen_lines()
{
    until_so eval "[ \$(wc -l <seen) -ge $1 ]"
}

# Nobody tells when a subscription has begun, so messages are sent until the first has come.
first_news()
{
    until_so eval 'news 0; [ -s seen ]'
}

background subscribe 'news.>'
tap_run "a message is a line, at once" first_news
news 1
tap_run "the next one, too" until_so has_line seen '"number":1'
tap_run "with topic, sender and fields" test "$(tail -n 1 seen)" = \
    '{"topic":"news.text","sender":"","fields":{"text":"é","number":1}}'
"$berth" call publisher.ring
tap_run "and who has sent it" until_so has_line seen '^{"topic":"news.bell","sender":"publisher","fields":{}}$'
background_end INT
tap_run "Ctrl-C ends it with 0" test "$status" = 0 -a ! -s err
tap_run "every line is whole" test -z "$(grep -v '^{.*}$' out)"

background subscribe news.text news.bell --json
first_news
background_end TERM
tap_run "so does SIGTERM" test "$status" = 0 -a ! -s err

background subscribe 'news.*' --count 3
first_news
for i in 1 2 3 4; do news "$i"; done
background_end
tap_run "--count ends it with 0" test "$status" = 0 -a "$(wc -l <out)" = 3 -a ! -s err

berth subscribe 'news.>' --count 2 --timeout 100ms
check "with --count the time is for all messages" 1 "" \
    "berth: deadline_exceeded: 0 of 2 messages came within the time of --timeout"
fails "a pattern that is none" 1 "berth: invalid_argument: *a..b*" subscribe a..b
fails "no topic" 2 "berth: invalid_argument: subscribe: TOPIC is missing*" subscribe
for count in 0 -1 x '' 99999999999999999999; do
    fails "no number: '$count'" 2 "berth: invalid_argument: *--count*from 1 on*" subscribe a --count "$count"
done

# A reader that goes away is noticed although nothing comes: it may not wait for a next message.
"$berth" subscribe 'news.>' 2>err > >(head -n 1 >first) &
process=$!
started+=("$process")
until_so eval 'news 0; [ -s first ]'
until_so is_gone "$process"
wait "$process" 2>/dev/null
status=$? && : >out
check "a reader that goes away ends it silently" 141 "" ""

# Nor is it stuck while nobody reads: the second signal ends it.
mkfifo pipe
exec 9<>pipe
env --default-signal=INT "$berth" subscribe 'news.>' >pipe 2>err &
process=$!
started+=("$process")
until_so eval 'news 0; read -r -t 0.1 -u 9 _'
long=$(printf '%040000d' 0)
for _ in 1 2 3; do "$berth" publish news.text "{\"text\":\"$long\",\"number\":1}"; done
until_so eval 'kill -INT "$process"; is_gone "$process"'
gone=$?
wait "$process" 2>/dev/null
exec 9<&-
tap_run "Ctrl-C, twice, ends what nobody reads" test "$gone" = 0

# ---- events ----

background events --follow
tap_run "events --follow begins with what was" until_so has_line seen $'loaded\tpublisher'
"$berth" load counter.so >/dev/null
tap_run "then tells what comes" until_so has_line seen $'loaded\tcounter'
"$berth" reload counter >/dev/null
"$berth" load nofile.so 2>/dev/null
tap_run "failures, too" until_so has_line seen $'refused\t.*nofile.so'
background_end INT
tap_run "Ctrl-C ends it with 0" test "$status" = 0 -a ! -s err
"$berth" events | cut -f 2- >all
tap_run "it has told everything, once" diff <(cut -f 2- out) all

for i in 1 2 3 4 5; do # what happens just as it begins
    "$berth" events --follow --json >seen 2>said &
    process=$!
    started+=("$process")
    "$berth" reload counter >/dev/null
    "$berth" unload counter
    until_so has_line seen '"event":"unloaded"'
    "$berth" load math.so >/dev/null
    until_so eval '[ "$(tail -n 1 seen | grep -c loaded.*math)" = 1 ]'
    background_end INT
    "$berth" events --json >all
    tap_run "nothing is told twice, or not at all ($i)" diff <(sed 's/^{"time_ns":[0-9]*//' out) <(sed 's/^{"time_ns":[0-9]*//' all)
    "$berth" unload math
    "$berth" load counter.so >/dev/null
done

# ---- A host that does not answer, or goes ----

"$berth" load sleeper.so --placement process >/dev/null
background call sleeper.hold "$work/held"
until_so test -e held
background_end INT
check "Ctrl-C gives a call up" 130 "" ""
rm held
ok "which harms nobody" $'1\n' call sleeper.nap 1
fails "so does --timeout" 1 "berth: deadline_exceeded: *" call --timeout 50ms sleeper.hold "$work/held"
until_so rm held 2>/dev/null

kill -STOP "$host"
fails "a host that does not answer" 1 "berth: deadline_exceeded: the host at $work/berth/berth.sock has not answered in time*" \
    list --timeout 50ms
background list
until_so is_connected "$process"
background_end INT
check "Ctrl-C does not wait for it" 130 "" ""
background subscribe 'a.>'
until_so is_connected "$process"
background_end INT
check "nor does that of a watcher" 0 "" ""
kill -CONT "$host"
ok "it goes on" $'1\n' call sleeper.nap 1

background subscribe 'news.>'
first_news
"$berth" call sleeper.hold "$work/held" >called 2>call_said &
calling=$!
started+=("$calling")
until_so test -e held
kill -KILL "$host"
until_so is_gone "$host"
wait "$host" 2>/dev/null
background_end
: >out
check "a host that is gone ends a watcher" 1 "" "berth: unavailable: the host at $work/berth/berth.sock has gone*"
until_so is_gone "$calling"
wait "$calling" 2>/dev/null
status=$?
cp call_said err && cp called out
check "and a call" 1 "" "berth: unavailable: the host at $work/berth/berth.sock has gone*"
fails "then there is none" 3 "berth: unavailable: no host listens at $work/berth/berth.sock: start one with berth run, or name it with --host" list
host_begin
ok "and again one, at the same place" $'{"kind":"number","text":"5","members":[]}\n' call host.parse 5
host_end

tap_done
