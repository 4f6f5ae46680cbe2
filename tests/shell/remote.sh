#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The commands that ask a running host: what they print, on a terminal, in a pipe and as JSON, and how they fail.
. "$(dirname "$0")/hosts.sh"

cp "$modules"/{math,greet,types,options,counter,counter_v2,requirer,faulty}.so .
host_begin ./math.so ./greet.so=process ./types.so ./counter.so ./faulty.so

# ---- list ----

berth list
tap_run "list: a line for each module" test "$(cut -f 1 out | tr '\n' ' ')" = "host run control math greet types counter faulty "
tap_run "cells are separated by tabs, all of them" test -z "$(awk -F '\t' 'NF != 9' out)"
tap_run "file names are absolute" grep -qF "$(printf '\t')$PWD/" out
tap_run "a worker has a pid" kill -0 "$(awk -F '\t' '$1 == "greet" { print $6 }' out)"
berth list --json
tap_run "list --json is what host.list tells" grep -q '^{"modules":\[{"name":"host",.*"quarantined":\[\]}$' out
if command -v script >/dev/null; then
    on_terminal list
    tap_run "on a terminal there are heads" grep -q '^NAME  *VERSION  *GENERATION  *PLACEMENT  *STATE  *PID  *MAIL  *FILE$' out
    tap_run "and columns are aligned" test "$(sed -n 's/^\(NAME *\).*/\1/p' out | wc -c)" = \
        "$(sed -n 's/^\(math *\)1.*/\1/p' out | wc -c)"
    tap_run "without tabs and blanks at the end" test -z "$(grep -E $'\t| $' out)"
else
    tap_skip "on a terminal there are heads" "no program script"
fi
fails "list takes no words" 2 "berth: invalid_argument: list: math: it takes no words*" list math

# ---- show ----

for module in math types counter faulty; do
    "$berth" show "./$module.so" >file.txt
    berth show "$module"
    tap_run "show of a running module is as of its file: $module" cmp file.txt out
done
berth show ./math.so --json
cp out file.txt
berth show math --json
tap_run "also as JSON" cmp file.txt out
fails "a module that is not there" 1 "berth: not_found: *maths*" show maths
fails "a file is not asked for at a host" 2 "berth: invalid_argument: *is a file*" show ./math.so --host berth

# ---- call ----

ok "call: numbers" $'1.5\n' call math.divide 6 4
ok "named arguments" $'1.5\n' call math.divide b=4 6
ok "negative ones" $'5\n' call math.negate -5
ok "integers are exact" $'-9007199254740993\n' call math.negate 9007199254740993
ok "--args" $'1.5\n' call --args $'{"b": 4,\n "a": 6}' math.divide
ok "arrays" $'0.5\n' call math.sum $'[1,\n2.5, -3]'
ok "a string is printed raw" "Hello, World" call greet.hello World
ok "--json quotes it" $'"Hello, World"\n' call --json greet.hello World
ok "nothing is printed for void" "" call math.nothing
ok "--json: null for void" $'null\n' call --json math.nothing
ok "bytes in base64 with --json" $'"aGVsbG8="\n' call --json types.echo_bytes hello
for word in 42 true '"quoted"' '' ' ' '--json' 'x=y' 'é' $'a\nb\e[31m"\\' '@@file'; do
    ok "a string is the word itself: $(printf %q "$word")" "${word#@}" call types.echo_string "$word"
    ok "bytes are the word itself: $(printf %q "$word")" "${word#@}" call types.echo_bytes "$word"
done
printf 'a\0b\377\n' >data
berth call types.echo_bytes @data
tap_run "bytes pass through as they are" cmp data out
berth call types.echo_bytes - <data
tap_run "- is standard input" cmp data out
head -c 3000000 /dev/urandom >large
berth call types.echo_bytes @large
tap_run "also many of them" cmp large out
head -c 15000000 /dev/zero >huge
fails "more than a host takes" 1 "berth: resource_exhausted: the host at $work/berth/berth.sock refuses: *" call types.echo_bytes @huge
ok "the host is fine after that" $'3\n' call math.add 1 2
ok "host.* are functions as any" $'{"kind":"number","text":"5","members":[]}\n' call host.parse 5

fails "a module that is not there" 1 "berth: not_found: maths.add: *berth list*" call maths.add 1 2
fails "a function that is not there" 1 "berth: not_found: module math has no function ad; did you mean add?" call math.ad 1 2
fails "a wrong type" 1 "berth: invalid_argument: *argument b*" call math.add 1 '"two"'
fails "no JSON" 1 "berth: invalid_argument: math.add: argument b: its type, f64, is written in JSON: line 1, column 1: expected a value, not x" call math.add 1 x
fails "two values in one" 1 "berth: invalid_argument: *argument b*" call math.add 1 '2,"c":3'
fails "too few arguments" 1 "berth: invalid_argument: *" call math.add 1
fails "too many arguments" 1 "berth: invalid_argument: math.add: too many arguments: at most 2 *3*" call math.add 1 2 3
fails "an argument given twice" 1 "berth: invalid_argument: *argument a is given twice*" call math.add a=1 a=2
fails "a wrong range" 1 "berth: out_of_range: *" call types.echo_i8 128
fails "the callee's own failure" 1 "berth: invalid_argument: *b is zero*" call math.divide 1 0
fails "the same as JSON" 1 '{"error":{"code":"invalid_argument","text":"*b is zero*"}}' call --json math.divide 1 0
fails "a string that is no UTF-8" 1 "berth: invalid_argument: *UTF-8*byte 1*" call types.echo_string $'a\xff'
fails "a function's name that is none" 1 "berth: invalid_argument: *" call $'math.\xff' 1
fails "a name without a function" 2 "berth: invalid_argument: call: math.: a function is written MODULE.FUNCTION*" call math.
fails "nor without a module" 2 "berth: invalid_argument: call: .add: a function is written MODULE.FUNCTION*" call .add
fails "an option among the arguments" 1 "berth: invalid_argument: *--json*options stand before FUNCTION*" call math.add 1 2 --json
fails "a missing file" 1 "berth: not_found: *nofile*" call types.echo_string @nofile
fails "not both a host and --with" 2 "berth: invalid_argument: *not both*" call --host berth --with ./math.so math.add 1 2

# ---- load, unload, reload ----

ok "load prints the name" $'options\n' load options.so --option limit=5 --option title=7 --option words='["x"]' --option note=null
ok "options have come in, strings as they are" "5 5 3 1 0.50 7 1 x null" call options.show
ok "load --as --json" $'"second"\n' load ./options.so --as second --json --options $'{"limit":\n 6}'
ok "it has that name, and these options" '6 6 3 1 0.50 none "yet" 2 a -' call second.show
ok "load --placement" $'third\n' load options.so --as third --placement process --option ratio=0.25
ok "its options, too" '1000 1000 3 1 0.25 none "yet" 2 a -' call third.show
ok "unload prints nothing" "" unload second
ok "unload --json" $'null\n' unload third --json
fails "what is gone is gone" 1 'berth: not_found: the host has no module second; "berth list" tells what it has' unload second
fails "a name is searched by the host" 1 "berth: not_found: *nomath: no such module: searched *a file is written with a / in it: ./nomath*" load nomath
fails "what can be none is no name either" 1 "berth: invalid_argument: *no-math: a module's name is*" load no-math
fails "a file that is not there" 1 "berth: not_found: *$PWD/nofile.so*" load nofile.so
fails "the same when it is asked for options" 1 "berth: not_found: *$PWD/nofile.so*" load nofile.so --option a=1
fails "a name that is taken" 1 "berth: already_exists: *options*" load options.so
fails "an option that it does not have" 1 "berth: invalid_argument: *limt*did you mean limit*" load options.so --as o --option limt=5
fails "a value that does not fit" 1 "berth: invalid_argument: *limit*" load options.so --as o --option limit=many
fails "an option without a value" 2 "berth: invalid_argument: *write K=V*" load options.so --option limit
fails "options twice" 2 "berth: invalid_argument: *not both*" load options.so --option limit=1 --options '{}'
fails "options that are no JSON" 2 "berth: invalid_argument: *--options: line 1*" load options.so --options '{'
fails "no placement" 1 "berth: invalid_argument: *nowhere*" load options.so --as o --placement nowhere
fails "no file" 2 "berth: invalid_argument: load: FILE is missing*" load
fails "two files" 2 "berth: invalid_argument: load: one file at a time*" load a b
fails "an empty name" 2 "berth: invalid_argument: *" load ""

ok "one that requires another" $'requirer\n' load requirer.so
fails "unload of what is required" 1 "berth: failed_precondition: *requirer*" unload math
ok "unless forced" "" unload math --force
ok "and back" $'math\n' load math.so
fails "the host itself stays" 1 "berth: *host*" unload host

berth reload counter
tap_run "reload tells what happened" grep -qE '^counter@1\.0\.0#1 -> counter@1\.0\.0#2 in [0-9]+\.[0-9]{3} ms$' out
tap_run "with calls and state" test "$status" = 0 -a "$(sed '1d; /is quarantined/d' out)" = "  0 calls inside at the switch, 0 calls waited, 0 dropped
  8 bytes of state (version 1) handed over"
berth reload counter counter_v2.so --json
tap_run "reload --json" grep -q '^{.*"to":"counter@1.1.0#3".*}$' out
berth reload counter ./counter.so
tap_run "from the file that is given" grep -q '^counter@1.1.0#3 -> counter@1.0.0#4 ' out
fails "a reload that fails" 1 "berth: *nofile.so*" reload counter nofile.so
fails "of what is not there" 1 'berth: not_found: the host has no module nothing; "berth list"*' reload nothing
fails "reload of nothing" 2 "berth: invalid_argument: reload: NAME is missing*" reload
fails "a file's name for the module's" 2 "berth: invalid_argument: reload: ./counter.so is a file: write the module's name before it*" reload ./counter.so
fails "where no file is wanted" 2 'berth: invalid_argument: history: counter.so is a file: write the module*"berth list" tells*' history counter.so
berth reload options --option limit=9 --option title=8
tap_run "reload with other options" grep -q '^options@1.0.0#1 -> options@1.0.0#2 ' out
ok "by the types of its file; the others are at their defaults" '9 9 3 1 0.50 8 2 a -' call options.show
berth reload options ./options.so
ok "without any they stay" '9 9 3 1 0.50 8 2 a -' call options.show
berth reload options --options '{}'
ok "an empty object takes them away" '1000 1000 3 1 0.50 none "yet" 2 a -' call options.show
fails "a wrong one changes nothing" 1 "berth: invalid_argument: *did you mean limit*" reload options --option limt=5
fails "a refused one has its step and reason in JSON" 1 \
    '{"error":{"code":"failed_precondition","text":"options@1.0.0#* goes on *","step":"compare","why":"*/math.so is module math, not options"}}' \
    reload options ./math.so --json
fails "one of several" 1 '{"error":{"code":"*","text":"all of them *","step":"compare","why":"math (refused *"}}' \
    reload options= math=./counter.so --json
fails "also of a move" 1 '{"error":{*,"step":"stage","why":"*nowhere*"}}' move options nowhere --json
fails "nor does one of nothing" 1 "berth: not_found: *no module nothing*" reload nothing --option a=1
fails "not both" 2 "berth: invalid_argument: reload: *not both*" reload options --option a=1 --options '{}'

berth move options process
tap_run "move" grep -qE '^options@1.0.0#[0-9]+ -> options@1.0.0#[0-9]+ in ' out
tap_run "into a worker" test -n "$("$berth" list | awk -F '\t' '$1 == "options" && $4 == "process" { print $6 }')"
berth move options inline --json
tap_run "and back" grep -q '^{.*"step":"done",.*"to":"options@1.0.0#.*}$' out
fails "there is no such placement" 1 "berth: invalid_argument: *nowhere*inline or process" move options nowhere
fails "nothing to be moved" 1 'berth: not_found: the host has no module nothing; *' move nothing process
fails "half a word" 2 "berth: invalid_argument: move: write NAME, and inline or process*" move options

berth list
tap_run "it goes on" grep -q $'^counter\t1.0.0\t4\t' out

# ---- events ----

berth events
tap_run "events: lines of seven cells" test -s out -a -z "$(awk -F '\t' 'NF != 7' out)"
tap_run "what has happened, in order" test \
    "$(awk -F '\t' '$3 == "counter" && $2 != "quarantined" { printf "%s ", $2 }' out)" = "loaded reloaded reloaded reloaded refused "
tap_run "with time" test -z "$(grep -vE '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z' out)"
berth events --json
tap_run "events --json: an object a line" test -z "$(grep -v '^{"time_ns":[0-9]*,"event":"[a-z]*",.*}$' out)" -a -s out
fails "events takes no words" 2 "berth: invalid_argument: *" events x

# ---- What comes from a module does not drive the terminal ----

build_module escapes <<'C'
#include <berth/module.h>
BERTH_MODULE("escapes", "1.0.0", "Red: \033[31m, bell: \a, C1: \302\233.");
BERTH_EXPORT(json, both, "a\rb")
{
    return "[\"\302\233\177\"]";
}
C
berth load escapes.so
berth show escapes
tap_run "show: no control characters" \
    test "$status" = 0 -a -z "$(tr -d '\n' <out | LC_ALL=C tr -dc '\000-\037\177')" -a "$(grep -c $'\xc2\x9b' out)" = 0
ok "JSON: escaped" $'["\\u009b\\u007f"]\n' call escapes.both

# ---- Errors within errors ----

build_module hasty <<'C'
#include <berth/module.h>
BERTH_MODULE("hasty", "1.0.0", "Never starts.");
BERTH_START
{
    berth_fail(ctx, BERTH_NOT_FOUND, "no luck");
}
C
fails "what fails in START has not the socket's way in it" 1 \
    "berth: not_found: host.load: $work/hasty.so: hasty: START failed: hasty.START: no luck" load hasty.so
build_module twice <<'C'
#include <berth/module.h>
BERTH_MODULE("twice", "1.0.0", "Fails because it has failed.");
BERTH_IMPORT(void, nobody, a);
BERTH_EXPORT(void, both, "Calls two functions that are not there.")
{
    nobody_a(ctx);
    nobody_a(ctx);
}
C
berth load twice.so
fails "nor has the cause of an error" 1 \
    "berth: unavailable: twice.both: nobody.a: module nobody is not loaded (because: twice.both: nobody.a: module nobody is not loaded)" \
    call twice.both

# ---- publish ----

cp "$modules"/publisher.so . && berth load publisher.so
ok "publish prints nothing" "" publish news.text '{"text":"a","number":1}'
ok "fields as an array" "" publish news.text '["a", 1]'
ok "publish --json" $'null\n' publish --json news.bell '{}'
fails "a topic that nobody declares" 1 "berth: not_found: *a.b*" publish a.b '{}'
fails "a field that is missing" 1 "berth: invalid_argument: *" publish news.text '{"text":"a"}'
fails "no JSON" 2 "berth: invalid_argument: publish: JSON: line 1*" publish news.text '{'
fails "no fields" 2 "berth: invalid_argument: publish: it takes TOPIC and JSON*" publish news.text

# ---- What hangs in a worker ----

cp "$modules"/{minder,hurry,sleeper}.so . && : >hold
"$berth" load ./sleeper.so >/dev/null && "$berth" load ./hurry.so >/dev/null
"$berth" load ./minder.so --placement process --option hold="$PWD/hold" --option stubborn=true >/dev/null
"$berth" call hurry.tell 1
minder_hangs() { "$berth" list | grep -q $'^minder\t.*\tminder.on_jobs has had a message for [0-9]*s$'; }
tap_run "list tells which message a worker has had for long" until_so minder_hangs
rm hold

# ---- The output ----

"$berth" list >/dev/full 2>err
status=$? && : >out
check "a full disk is an error" 1 "" "berth: resource_exhausted: cannot write the output: *"
"$berth" call types.echo_bytes @large 2>err | head -c 1 >/dev/null
status=${PIPESTATUS[0]} && : >out
check "a reader that goes away ends it silently" 141 "" ""

host_end
tap_run "the host ends well" test "$status" = 0

mkdir path && mv greet.so path/
host_begin --path path
ok "load finds a name in the path of the host" $'greet\n' load greet
"$berth" unload run
fails "one that has no path says so" 1 "berth: not_found: *run.find*a file is written with a / in it: ./greet*" load greet --as other
fails "nor has it a configuration" 1 "berth: not_found: the host at * is none that berth run has made*" reconfigure
host_end
tap_done
