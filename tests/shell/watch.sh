#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Commands that print what comes: subscribe, events --follow and log, until a signal, a number or the host's end.
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

# ---- log ----

cp "$modules/logger.so" .
"$berth" load logger.so >/dev/null
build_module flood <<'C'
#include <berth/module.h>
BERTH_MODULE("flood", "1.0.0", "Logs much.");
BERTH_EXPORT(void, log, "So many lines.", (u32, lines))
{
    for (uint32_t i = 0; i < lines; i++)
        berth_log(ctx, BERTH_LOG_INFO, "%01000u", i);
}
C

# lines_come WORD...: as first_news: nobody tells when the lines begin to come.
lines_come()
{
    until_so eval '"$berth" call logger.log 0 first; [ -s seen ]'
}

background log
lines_come
"$berth" call logger.log 1 'a "line"'
tap_run "log prints what is logged, as berth run does" until_so has_line seen \
    '^20[0-9T:.-]*Z warning logger@1\.0\.0#1 a "line"$'
"$berth" call logger.log 3 'a detail'
"$berth" log --set debug logger
"$berth" call logger.log 3 'another detail'
tap_run "log --set changes what is logged" until_so has_line seen ' debug logger@1\.0\.0#1 another detail$'
tap_run "from then on" test "$(grep -c 'a detail' seen)" = 0
ok "the level is set" debug call host.log_level logger
ok "log --set default takes it away" "" log --set default logger
ok "of all that have none" $'"warning"\n' log --set warning --json
ok "which it has then" warning call host.log_level logger
"$berth" log --set info
background_end INT
tap_run "Ctrl-C ends log with 0" test "$status" = 0 -a ! -s err

background log --json logger nobody --level warning
lines_come
"$berth" load flood.so >/dev/null
"$berth" call flood.log 1
"$berth" call logger.log 2 'not this'
"$berth" call logger.log 0 'but this'
until_so has_line seen 'but this'
background_end TERM
tap_run "log --json MODULE --level" test "$status" = 0 -a -z "$(grep -v '^{"time":"20[0-9T:.-]*Z","level":"error","module":"logger","version":"1.0.0","generation":1,"chain":\[.*"logger.log"\],"text":"[a-z ]*"}$' out)"
tap_run "leaves out the others" test "$(grep -c 'not this' out)" = 0

# A reader that does not read: the host goes on, and what is lost is counted.
background log flood
until_so eval '"$berth" call flood.log 1; [ -s seen ]'
kill -STOP "$process"
"$berth" call flood.log 20000
kill -CONT "$process"
tap_run "lines that are lost are counted" until_so eval '"$berth" call flood.log 1; has_line seen " warning host [0-9]* lines before this one came too fast for this reader$"'
background_end INT
"$berth" unload flood
"$berth" unload logger

fails "log: no such level" 2 "berth: invalid_argument: log: --level loud: write error, warning, info or debug*" log --level loud
fails "log --set: no such level" 2 "berth: invalid_argument: log: --set loud: write error*" log --set loud
fails "log --set: no such module" 1 "berth: not_found: the host has no module nobody; *berth list*" log --set debug nobody
fails "log --set: one at a time" 2 "berth: invalid_argument: log: --set: one module at a time*" log --set debug a b
fails "log: not both" 2 "berth: invalid_argument: log: --set changes*" log --set debug --level debug

# ---- A host that does not answer, or goes ----

"$berth" load sleeper.so --placement process >/dev/null
background call sleeper.hold "$work/held"
until_so test -e held
background_end INT
check "Ctrl-C cancels a call" 130 "" "berth: cancelled: sleeper.hold: SIGINT came before its answer"
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
check "a host that is gone ends a watcher" 1 "" "berth: unavailable: the host at $work/berth/berth.sock has gone; its log says why, or the record of its crash, and *"
until_so is_gone "$calling"
wait "$calling" 2>/dev/null
status=$?
cp call_said err && cp called out
check "and a call" 1 "" "berth: unavailable: the host at $work/berth/berth.sock has gone; its log says why, or the record of its crash, and *"
fails "then there is none" 3 "berth: unavailable: no host listens at $work/berth/berth.sock: start one with berth run, or name it with --host" list
host_begin
ok "and again one, at the same place" $'{"kind":"number","text":"5","members":[]}\n' call host.parse 5
host_end

tap_done
