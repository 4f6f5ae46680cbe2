#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# berth stats: who calls and publishes to whom.
. "$(dirname "$0")/hosts.sh"

cp "$modules"/{hammer,math,counter,publisher,subscriber}.so .
host_begin ./math.so ./counter.so ./hammer.so ./publisher.so ./subscriber.so

"$berth" call hammer.divide 7 2 >/dev/null
"$berth" call hammer.divide 3 0 >/dev/null
"$berth" call publisher.burst 5 >/dev/null
"$berth" call publisher.text fail 6 >/dev/null
until_so eval '[ "$("$berth" call subscriber.texts)" = 6 ]'

# row KIND NAME...: the line of the last output that begins so, its columns one a line.
row()
{
    local IFS=$'\t'
    grep -P "^$*\t" out | tr '\t' '\n'
}

berth stats
cp out all
tap_run "a module is a line" test "$(row module math | sed -n 3,6p | xargs)" = "10 0 3 0"
tap_run "a call is one, by who made it" test "$(row call hammer math.divide | sed -n 4,5p | xargs)" = "10 3"
tap_run "its times are numbers" grep -qxE '[1-9][0-9]*' <(row call hammer math.divide | sed -n 8p)
tap_run "messages are counted by handler" \
    test "$(row message publisher news.text subscriber.on_text | sed -n 5,10p | xargs)" = "6 1 0 0 0 1"
tap_run "what became of them by module, too" test "$(row module subscriber | sed -n 5,9p | xargs)" = "1 0 0 0 1"

berth stats hammer
tap_run "with a module, only its lines" test -z "$(cut -f 2,3 out | grep -v hammer)" -a -s out
berth stats publisher subscriber
tap_run "or those of several" test -z "$(cut -f 2-4 out | grep -vE 'publisher|subscriber')" -a -s out

"$berth" load "$modules/viewer.so" >/dev/null
"$berth" load "$modules/painter.so" >/dev/null
"$berth" call painter.make 100000 1 >/dev/null
berth stats painter
tap_run "blobs are those of who holds them" test "$(row module painter | tail -n 2 | xargs)" = "1 102400"

on_terminal stats
tap_run "a terminal gets heads" grep -qE '^MODULE +CALLS' out
tap_run "for each of the tables" grep -qE '^FROM +TO +CALLS' out
berth stats --json
tap_run "--json is what host.stats tells" has_line out \
    '^{"host":{.*},"modules":\[{.*}\],"calls":\[{.*}\],"messages":\[{.*}\]}$'

berth stats --prometheus
tap_run "each line for Prometheus is well-formed" test -z "$(grep -vE \
    '^# (HELP|TYPE) [a-z_]+ .+$|^[a-z_]+({([a-z]+="[^"]*",?)+})? [0-9]+(\.[0-9]+)?$' out)" -a -s out
tap_run "each metric has one type" test -z "$(grep '^# TYPE' out | cut -d' ' -f 3 | sort | uniq -d)"
tap_run "calls are among them" has_line out '^berth_calls_total{from="hammer",to="math.divide"} 10$'
tap_run "and their failures" has_line out \
    '^berth_call_errors_total{from="hammer",to="math.divide",code="invalid_argument"} 3$'
tap_run "and messages" has_line out \
    '^berth_messages_total{from="publisher",topic="news.text",to="subscriber.on_text"} 6$'

background stats --watch=20ms hammer
until_so eval '"$berth" call hammer.divide 50 2 >/dev/null;
    grep -q "math.divide" seen && test "$(grep -c "^module.hammer" seen)" -ge 2'
background_end INT
tap_run "--watch shows what moves, until Ctrl-C" test "$status" = 0 -a ! -s err
tap_run "as often as it is told" test "$(grep -c '^module.hammer' out)" -ge 2

tap_run "and nothing but that" test -n "$(head -n 1 out)"
fails "a module that is not there" 1 'berth: not_found: the host has no module hamer, *"berth list" *' stats math hamer
fails "neither when it is watched" 1 'berth: not_found: the host has no module hamer, *' stats --watch hamer

check_ok()
{
    berth "$@"
    tap_run "$*" test "$status" = 0 -a ! -s out -a ! -s err
}
check_ok stats --count all
tap_run "then each call is counted" test "$("$berth" stats --json | grep -c '"counting":"all"')" = 1
check_ok stats --count sampled
tap_run "and then no longer" test "$("$berth" stats --json | grep -c '"counting":"sampled"')" = 1

fails "a way to count that is none" 2 "berth: invalid_argument: *--count some*all or sampled*" stats --count some
fails "a time that is a word of its own" 2 "berth: invalid_argument: stats: 500ms is no module's name: write --watch=500ms*" stats --watch 500ms
fails "a time that is none" 2 "berth: invalid_argument: *--watch=0s*" stats --watch=0s
fails "two forms at once" 2 "berth: invalid_argument: *--prometheus*" stats --prometheus --watch
fails "nobody there" 3 "berth: unavailable: no host listens*" stats --socket ./none

host_end
tap_done
