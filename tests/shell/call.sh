#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# berth call: how words become arguments, how results and errors are printed.
. "$(dirname "$0")/shell.sh"

math=$modules/math.so greet=$modules/greet.so types=$modules/types.so
exec </dev/null
unset BERTH_SOCKET
export XDG_RUNTIME_DIR=$work

# ---- Words ----

ok "numbers are JSON" $'1.5\n' call --with "$math" math.divide 6 4
ok "named arguments, in any order" $'1.5\n' call --with "$math" math.divide b=4 a=6
ok "the other words go to what is left" $'1.5\n' call --with "$math" math.divide b=4 6
ok "what begins with - is an argument" $'5\n' call --with "$math" math.negate -5
ok "an integer may be written as 1e3" $'-1000\n' call --with "$math" math.negate 1e3
ok "integers are exact" $'-9007199254740993\n' call --with "$math" math.negate 9007199254740993
ok "arrays are JSON" $'0.5\n' call --with "$math" math.sum '[1, 2.5, -3]'
ok "structs are JSON" $'{"x":1,"y":-2.5}\n' call --with "$types" types.echo_point '{"y":-2.5,"x":1}'
ok "json is JSON" $'{"a":[1,null]}\n' call --with "$types" types.echo_json '{"a":[1,null]}'

fails "a word that is no JSON is told what would be" 1 \
    "berth: invalid_argument: math.negate: argument a: its type, i64, is written in JSON: line 1, column 1: expected a value, not o" \
    call --with "$math" math.negate one

for placement in inline process; do
    fails "a handle that has gone, $placement, names the function" 1 "berth: not_found: types.drop: *this token handle is stale: *" \
        call --with "$types=$placement" types.drop 7
done

for word in World 42 true null '"quoted"' '' ' ' -5 --json --with -- 'x=y' '=' 'é' '[1,2'; do
    ok "a string is the word itself: '$word'" "$word" call --with "$types" types.echo_string "$word"
    ok "bytes are the word itself: '$word'" "$word" call --with "$types" types.echo_bytes "$word"
done
ok "NAME= of a parameter is not part of a string" "x=y" call --with "$types" types.echo_string value=x=y
ok "a named string may be empty" "" call --with "$types" types.echo_string value=

# ---- @file, -, @@x ----

printf 'from\na file\n' >file
ok "@FILE is a string's content" $'from\na file\n' call --with "$types" types.echo_string @file
ok "value=@FILE too" $'from\na file\n' call --with "$types" types.echo_string value=@file
ok "@@x is the text @x" "@file" call --with "$types" types.echo_string @@file
ok "@@@x is the text @@x" "@@file" call --with "$types" types.echo_string @@@file
ok "@@ is the text @" "@" call --with "$types" types.echo_string @@
printf 'a\0b\377' >data
berth call --with "$types" types.echo_bytes @data
tap_run "bytes pass through as they are" cmp data out
berth call --with "$types" types.echo_bytes - <data
tap_run "- is standard input" cmp data out
berth call --with "$types" types.echo_bytes value=- <data
tap_run "value=- too" cmp data out
berth call --with "$types" types.echo_string - < <(printf a; sleep 0.2; printf b)
check "- reads to the end" 0 ab ""
fails "a missing file is named, and how to write the text" 1 \
    "berth: not_found: *value*nofile*No such file*" call --with "$types" types.echo_string @nofile
fails "a directory is no file" 1 "berth: invalid_argument: *Is a directory*" \
    call --with "$types" types.echo_string @.
fails "@ without a name" 1 "berth: invalid_argument: *@@*" call --with "$types" types.echo_string @
printf 'a\0b' >data
fails "a string has no NUL" 1 "berth: invalid_argument: *NUL*byte 1*" \
    call --with "$types" types.echo_string @data
printf 'ab\377' >data
fails "a string is UTF-8" 1 "berth: invalid_argument: *UTF-8*byte 2*" \
    call --with "$types" types.echo_string @data
fails "also from the command line" 1 "berth: invalid_argument: *UTF-8*" \
    call --with "$types" types.echo_string $'\xff'

build_module pair <<'C'
#include <berth/module.h>
BERTH_MODULE("pair", "1.0.0", "Two strings.");
BERTH_EXPORT(string, join, "Both.", (string, a), (string, b), (optional(string), c), (optional(bytes), d))
{
    return berth_printf(ctx, "%s,%s,%s,%zu", a, b, c ? c : "none", d.present ? d.value.size : 99);
}
C
berth call --with ./pair.so pair.join - - <file
check "standard input is there once" 1 "" "berth: invalid_argument: *argument*once*"
ok "files are there as often as wanted" $'from\na file\n,from\na file\n,none,99' \
    call --with ./pair.so pair.join @file @file
ok "an optional string or bytes is a word, too" 'a,b,null,4' call --with ./pair.so pair.join a b null null
ok "and may stand for a file" $'a,b,from\na file\n,12' call --with ./pair.so pair.join a b @file d=@file

echo 1 >one
fails "@FILE is only for strings and bytes" 1 "berth: invalid_argument: *argument a*" \
    call --with "$math" math.add @one 1
fails "and not read for others" 1 "berth: invalid_argument: *argument a*" \
    call --with "$math" math.add @nofile 1
berth call --with "$math" math.add - 1 < <(sleep 20)
check "nor is standard input" 1 "" "berth: invalid_argument: *argument a*"
fails "nor for json" 1 "berth: invalid_argument: *" call --with "$types" types.echo_json @one

# ---- --args ----

ok "--args takes an array" $'1.5\n' call --with "$math" --args '[6, 4]' math.divide
ok "--args takes an object" $'1.5\n' call --with "$math" --args '{"b": 4, "a": 6}' math.divide
ok "--args and a raw string" 'a"b' call --with "$types" --args '["a\"b"]' types.echo_string
ok "--args and --json" $'"a\\"b"\n' call --with "$types" --json --args '["a\"b"]' types.echo_string
ok "--args takes bytes in base64" $'\nhello' call --with "$types" --args '["CmhlbGxv"]' types.echo_bytes
ok "@ means nothing in JSON" "@file" call --with "$types" --args '["@file"]' types.echo_string
fails "--args and words" 2 "berth: invalid_argument: *not both*" call --args '[1]' math.divide 6
fails "--args that is no JSON" 1 "berth: invalid_argument: *" call --with "$math" --args '[6,' math.divide
fails "--args of neither kind" 1 "berth: invalid_argument: *" call --with "$math" --args 6 math.negate

# ---- Results ----

ok "a string is printed raw" "Hello, World" call --with "$greet" greet.hello World
ok "--json quotes it" $'"Hello, World"\n' call --with "$greet" --json greet.hello World
ok "--json: bytes in base64" $'"aGVsbG8="\n' call --with "$types" --json types.echo_bytes hello
ok "nothing is printed for void" "" call --with "$math" math.nothing
ok "--json: null for void" $'null\n' call --with "$math" --json math.nothing
ok "decimals print as short as they can" $'0.1\n' call --with "$types" types.echo_f64 0.1000000000000000055511151231257827
ok "every type at once" \
    $'{"b":true,"i1":-1,"i2":2,"i4":-4,"i8":8,"u1":1,"u2":2,"u4":4,"u8":18446744073709551615,"f4":1.5,"f8":-2.5,"s":"text","j":[1],"d":"AAE=","list":[1,2],"maybe":null}\n' \
    call --with "$types" types.echo_all '{"b":true,"i1":-1,"i2":2,"i4":-4,"i8":8,"u1":1,"u2":2,"u4":4,"u8":18446744073709551615,"f4":1.5,"f8":-2.5,"s":"text","j":[1],"d":"AAE=","list":[1,2]}'

# ---- Errors ----

fails "without modules a host is asked" 3 "berth: unavailable: no host listens at $work/berth/berth.sock: *" \
    call math.add 1 2
fails "a module that is not there" 1 "berth: not_found: *maths*" call --with "$math" maths.add 1 2
fails "a function that is not there" 1 "berth: not_found: *math*ad*" call --with "$math" math.ad 1 2
fails "too few arguments" 1 "berth: invalid_argument: *" call --with "$math" math.add 1
fails "too many arguments" 1 "berth: invalid_argument: math.add: too many arguments: at most 2 *3*" call --with "$math" math.add 1 2 3
fails "an option among the arguments" 1 "berth: invalid_argument: *--json*options stand before FUNCTION*" \
    call --with "$math" math.add 1 2 --json
fails "an argument given twice" 1 "berth: invalid_argument: *argument a is given twice*" \
    call --with "$math" math.add a=1 a=2
fails "a wrong type" 1 "berth: invalid_argument: *argument b*" call --with "$math" math.add 1 two
fails "a wrong range" 1 "berth: out_of_range: *argument value*" call --with "$types" types.echo_i8 128
fails "no integer" 1 "berth: invalid_argument: *argument value*" call --with "$types" types.echo_i64 1.5
fails "too large for a decimal" 1 "berth: out_of_range: *argument value*" call --with "$types" types.echo_f64 1e400
fails "the callee's own failure" 1 "berth: invalid_argument: *b is zero*" call --with "$math" math.divide 1 0
fails "a failure with --json" 1 '{"error":{"code":"invalid_argument","text":"*b is zero*"}}' \
    call --with "$math" --json math.divide 1 0
fails "a load that fails" 1 "berth: not_found: *nofile.so*" call --with nofile.so math.add 1 2
fails "the same with --json" 1 '{"error":{"code":"not_found","text":"*nofile.so*"}}' \
    call --with nofile.so --json math.add 1 2
fails "a module given twice" 1 "berth: already_exists: *math*" call --with "$math" --with "$math" math.add 1 2
fails "not a function's name" 2 "berth: invalid_argument: *MODULE.FUNCTION*" call add 1 2
fails "no function" 2 "berth: invalid_argument: *FUNCTION is missing*" call --with "$math"
fails "a placement that is none" 2 "berth: invalid_argument: *proces*inline and process*" \
    call --with "$math=proces" math.add 1 2
fails "an empty file name" 2 "berth: invalid_argument: *" call --with "" math.add 1 2
fails "an unknown option" 2 "berth: invalid_argument: *--bogus: no such option*berth help call*" \
    call --bogus math.add 1 2
fails "usage with --json" 2 '{"error":{"code":"invalid_argument","text":"*--bogus*"}}' \
    call --bogus --json math.add 1 2
fails "an option without its value" 2 "berth: invalid_argument: *--with needs a value*" call --with
fails "a value that is not taken" 2 "berth: invalid_argument: *takes no value*" call --json=yes math.add
for time in 5 -5s 5x 0s 99999999999999h 1.5s '' ' 5s'; do
    fails "no time: '$time'" 2 "berth: invalid_argument: *200ms, 5s or 1m*" call --timeout "$time" math.add 1 2
done
berth call --with "$modules/faulty.so" faulty.fail 5 $'a\nb\e[31m'
tap_run "what a module says is one line without control characters" \
    test "$status" = 1 -a "$(wc -l <err)" = 1 -a -z "$(tr -d '\n' <err | LC_ALL=C tr -dc '\000-\037\177')"

# ---- Several modules, names of files ----

ok "modules are loaded in an order that works" $'3\n' \
    call --with "$modules/requirer.so" --with "$math" requirer.three
fails "what is required is named" 1 "berth: *math*" call --with "$modules/requirer.so" requirer.three
fails "a cycle is named" 1 "berth: *cycle_*cycle_*" \
    call --with "$modules/cycle_a.so" --with "$modules/cycle_b.so" cycle_a.nothing
cp "$math" 'odd=name.so' && cp "$math" odd=name && mkdir 'odd=dir' && cp "$math" odd=dir/math
ok "a file with = and ." $'3\n' call --with odd=name.so math.add 1 2
ok "a file with = and /" $'3\n' call --with odd=dir/math math.add 1 2
ok "a file with = and a placement" $'3\n' call --with ./odd=name=inline math.add 1 2
fails "a file with = alone is taken for a placement" 2 "berth: invalid_argument: *" call --with odd=name math.add 1 2

# ---- Time ----

fails "--timeout, inline" 1 "berth: deadline_exceeded: *" \
    call --with "$modules/sleeper.so" --timeout 20ms sleeper.nap 300
ok "--timeout that is not reached" $'1\n' call --with "$modules/sleeper.so" --timeout 1m sleeper.nap 1

# ---- What a module lacks ----

build_module lacking <<'C'
#include <berth/module.h>
BERTH_MODULE("lacking", "1.0.0", "Calls what there is not.");
int absent(void);
BERTH_EXPORT(i32, ask, "Asks it.")
{
    return absent();
}
C
fails "a missing symbol is named, and the file once" 1 \
    "berth: failed_precondition: $PWD/lacking.so: it needs the symbol absent, *" \
    call --with lacking.so lacking.ask

# ---- The program itself ----

"$berth" call --with "$math" math.add 1 2 >/dev/full 2>err
status=$? && : >out
check "a full disk is an error" 1 "" "berth: resource_exhausted: cannot write the output: *"
"$berth" call --with "$math" math.add 1 2 >&- 2>err
status=$? && : >out
check "a closed output is an error" 1 "" "berth: *: cannot write the output: Bad file descriptor"
"$berth" call --with "$types" types.echo_string - <&- >out 2>err
status=$?
check "a closed input is an error" 1 "" "berth: *: *standard input*"
head -c 1000000 /dev/zero | tr '\0' x >large
"$berth" call --with "$types" types.echo_string @large 2>err | head -c 1 >out
status=${PIPESTATUS[0]}
check "a reader that goes away ends it silently" 141 x ""
real=$BERTH_TOP_BUILDDIR/.libs/berth # without the shell script that libtool makes of it
[ -x "$real" ] || real=$berth
LD_LIBRARY_PATH=$BERTH_TOP_BUILDDIR/.libs timeout 300 prlimit --nofile=4 "$real" \
    call --with "$math" math.add 1 2 >out 2>err 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
status=$?
if grep -q '^berth:' err; then
    check "without a host the status is 3" 3 "" "berth: resource_exhausted: *"
else
    tap_skip "without a host the status is 3" "the program itself needs more descriptors"
fi

tap_done
