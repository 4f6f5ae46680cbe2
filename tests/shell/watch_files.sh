#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# berth run --watch: a finished build is reloaded, however it comes into its place; a broken one is told once.
. "$(dirname "$0")/hosts.sh"

# build FILE VERSION [MORE]: a module whose function says the version, made as a compiler does: in place.
build()
{
    cat >source.c <<C
#include <berth/module.h>
BERTH_MODULE("told", "$2", "Says which one it is.");
BERTH_EXPORT(string, which, "Its version.") { return "$2"; }
${3-}
C
    # shellcheck disable=SC2086
    ${BERTH_TEST_CC:-cc} -fPIC -shared -fvisibility=hidden -Wl,-z,now ${BERTH_TEST_SANITIZER:-} \
        -I"$BERTH_TOP_SRCDIR/include" -I"$BERTH_TOP_BUILDDIR/include" -o "$1" source.c
}

# answers NAME VERSION [COMMAND...]: having done that, the host comes to answer with the version.
is_answered()
{
    [ "$("$berth" call "${module:-told}.which" 2>&1)" = "$1" ]
}
answers()
{
    local name=$1 version=$2
    shift 2
    [ $# = 0 ] || "$@"
    until_so is_answered "$version"
    tap_result $? "$name" <<<"$("$berth" call "${module:-told}.which" 2>&1); $(tail -n 3 "$log")"
}

# lines NUMBER PATTERN: so many lines of the log have it, and not more when the host has had time for it.
has_lines()
{
    [ "$(grep -c "$2" "$log")" -ge "$1" ]
}
lines()
{
    until_so has_lines "$@"
    sleep 0.3
    [ "$(grep -c "$2" "$log")" = "$1" ]
}

mkdir real && build real/told.so 1.0.0
cp real/told.so told.so
host_begin --watch ./told.so "$modules/counter.so"
answers "it runs" 1.0.0
answers "built in place" 1.0.1 build told.so 1.0.1
build next.so 1.0.2
answers "renamed into its place" 1.0.2 mv next.so told.so
build next.so 1.0.3
answers "copied over" 1.0.3 cp next.so told.so
tap_run "each is told" lines 3 ' told@[^ ]* \(is replaced by\|goes on\)'
tap_run "in a line each" lines 3 ' info host told@.* is replaced by told@.* ([0-9.]* ms)$'
tap_run "what has not changed is not reloaded" test -z "$(grep 'counter.*replaced' "$log")"

# How soon: while the machine has nothing else to do it is a few ms. Only what a person would notice is a failure.
build next.so 1.0.4
mv next.so told.so
answers "and soon" 1.0.4

# ---- What is broken ----

head -c 3000 told.so >next.so
mv next.so told.so
tap_run "a file that is cut short is told" lines 1 ' error host told goes on as it was, for its new file is not taken: data_loss: '
answers "the code before goes on" 1.0.4
build next.so 1.0.5 '__attribute__((constructor)) static void begin(void) { __builtin_trap(); }'
mv next.so told.so
tap_run "a constructor that crashes crashes a worker" lines 1 ' warning host told@[^ ]* goes on .*: probed in a worker: .* was killed by signal '
answers "the code before goes on" 1.0.4
cp told.so same.so
mv same.so told.so
tap_run "and is told again when it is built again" lines 2 ' warning host told@[^ ]* goes on .*: probed in a worker: '
build next.so 1.0.5 "#include <unistd.h>
__attribute__((constructor)) static void begin(void) { while (access(\"$work/hang\", F_OK) == 0) usleep(1000); }"
touch hang
mv next.so told.so
tap_run "one that hangs, a worker that is ended" lines 1 ' warning host told@[^ ]* goes on .*: probed in a worker: .*does a constructor hang'
answers "the code before goes on" 1.0.4
rm hang
cp told.so same.so
answers "which says nothing of the next try" 1.0.5 mv same.so told.so
build next.so 1.0.6 'BERTH_START { berth_fail(ctx, BERTH_INTERNAL, "not today"); }'
mv next.so told.so
tap_run "a START that fails" lines 1 ' warning host told@[^ ]* goes on .*: START of the new version failed: .*not today'
answers "a good one follows" 1.0.7 build told.so 1.0.7

# Somebody who writes slowly.
build next.so 1.0.8
half=$(($(stat -c %s next.so) / 2))
: >told.so
exec 7>told.so
head -c $half next.so >&7
sleep 0.3
tap_run "what is still written is waited for" test "$(grep -c 'data_loss' "$log")" = 1
tail -c +$((half + 1)) next.so >&7
exec 7>&-
answers "until it is closed" 1.0.8

# ---- How files come and go ----

rm told.so
sleep 0.1
answers "a file that is gone does no harm" 1.0.8
answers "and may come back" 1.0.9 build told.so 1.0.9
host_end
tap_run "it ends as ever" test "$status" = 0

# What comes into the place of a file before that is watched.
build next.so 1.0.1
build told.so 1.0.0 '#include <stdio.h>
BERTH_START { rename("next.so", "told.so"); }'
host_begin --watch ./told.so
answers "a file that changes while the host begins" 1.0.1
host_end

mkdir -p one/lib two/lib
build one/lib/told.so 1.1.0
build two/lib/told.so 1.1.1
ln -s one current
ln -s current/lib/told.so link.so
host_begin --watch ./link.so
answers "by links" 1.1.0
answers "a directory's link is set anew" 1.1.1 ln -sfn two current
answers "the file that they lead to" 1.1.2 build two/lib/told.so 1.1.2
rm -r two
sleep 0.1
answers "a directory that goes does no harm" 1.1.2
rebuild()
{
    mkdir -p two/lib
    build two/lib/told.so 1.1.3
}
answers "and may come back" 1.1.3 rebuild
move()
{
    build one/lib/told.so 1.1.4
    mv two three
    mv one two
}
answers "a directory that another one takes the place of" 1.1.4 move
cp two/lib/told.so other.so
"$berth" load ./other.so --as another >loaded
build next.so 1.1.5
module=another answers "what is loaded later is watched, too" 1.1.5 mv next.so other.so
host_end

# ---- With a configuration ----

build told.so 2.0.0
cat >a.conf <<'CONF'
{"modules": {"told": {"file": "told.so"}, "apart": {"file": "told.so", "placement": "process"}}}
CONF
host_begin --watch --config a.conf
answers "as a configuration says" 2.0.0
answers "all that run from the file" 2.0.1 build told.so 2.0.1
module=apart answers "in a worker, too" 2.0.1
kill -HUP "$host"
until_so has_line "$log" ' a.conf is applied: '
answers "and then it is read again" 2.0.1
host_end

# ---- An interface that changes on both sides ----

build_pair() # TYPE VALUE [DIRECTORY]
{
    build_module "${3:-.}/asked" <<C
#include <berth/module.h>
BERTH_MODULE("asked", "1.0.0", "Is asked.");
BERTH_EXPORT($1, value, "A value.") { return $2; }
C
    build_module "${3:-.}/asks" <<C
#include <berth/module.h>
BERTH_MODULE("asks", "1.0.0", "Asks.");
BERTH_REQUIRES("asked", "*");
BERTH_IMPORT($1, asked, value);
BERTH_EXPORT($1, which, "What it was told.") { return asked_value(ctx); }
C
}
build_pair i64 1
host_begin --watch ./asked.so ./asks.so
module=asks answers "two that fit" 1
build_pair string '"two"'
module=asks answers "both are built anew, and taken together" two
build_module asked <<C
#include <berth/module.h>
BERTH_MODULE("asked", "1.0.0", "Is asked.");
BERTH_EXPORT(f64, value, "A value.") { return 3; }
C
tap_run "one that does not fit to the others is told, once" \
    lines 1 ' warning host asked@[^ ]* goes on as it was: refused in step compare: asks calls asked.value, .* it is f64$'
module=asks answers "and nothing has happened" two
build_pair i64 4
module=asks answers "until they fit" 4
host_end

# All at once, which no make does.
mkdir pair_one pair_two
build_pair i64 1 pair_one
build_pair string '"two"' pair_two
cp real/told.so pair_one
build pair_two/told.so 1.0.1 'BERTH_IMPORT(string, asked, value, (u64, which));' # will never fit
ln -sfn pair_one pair
host_begin --watch ./pair/asked.so ./pair/asks.so ./pair/told.so
module=asks answers "two that fit, and one more" 1
module=asks answers "the two are taken though the third is not" two ln -sfn pair_two pair
tap_run "which alone is told" lines 1 ' warning host told@[^ ]* goes on as it was: refused in step compare: '
tap_run "and nothing else" lines 1 ' goes on as it was'
host_end

# Who calls comes first.
build_pair i64 1
host_begin --watch ./asked.so ./asks.so
module=asks answers "as ever" 1
build_module asks <<C
#include <berth/module.h>
BERTH_MODULE("asks", "1.0.0", "Asks.");
BERTH_IMPORT(i64, asked, other);
BERTH_EXPORT(i64, which, "What it was told.") { return asked_other(ctx); }
C
sleep 0.3
module=asks answers "what it calls is not there yet" 1
build_module asked <<C
#include <berth/module.h>
BERTH_MODULE("asked", "1.0.0", "Is asked.");
BERTH_EXPORT(i64, value, "A value.") { return 1; }
BERTH_EXPORT(i64, other, "Another one.") { return 5; }
C
module=asks answers "and when it is, that is taken by itself, and then who calls it" 5
host_end

tap_done
