#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Completion in bash: what it offers after some words, without a host and with one.
. "$(dirname "$0")/hosts.sh"

mkdir bin && ln -s "$berth" bin/berth
export PATH=$work/bin:$PATH
cp "$modules"/{math,greet}.so .
# shellcheck source=/dev/null
. "$BERTH_TOP_SRCDIR/runtime/shell/berth.bash"

# offers NAME WANTED WORD...: after "berth WORD...", of which the last one is being typed.
offers()
{
    local name=$1 wanted=$2
    shift 2
    COMP_WORDS=(berth "$@")
    COMP_CWORD=$#
    _berth
    tap_run "$name" test "${COMPREPLY[*]}" = "$wanted"
}

offers "commands" "list load log" l
offers "levels" "debug default" log --set de
offers "a command" "subscribe" su
offers "options" "--placement" load --pl
offers "placements" "process" move math p
offers "values" "process" load ./math.so --placement p
offers "files" "math.so" load ma
touch math.c && mkdir mad
offers "no files but modules, and directories" "math.so mad" load ma
offers "neither behind --with" "math.so mad" call --with ma
offers "any file to be checked" "math.c" check math.c
offers "functions of a file" "math.divide" call --with ./math.so math.d
offers "of one in a worker" "greet.hello" call --with ./math.so --with ./greet.so = process --timeout 1s greet.h
offers "commands of help" "events" help ev
offers "nothing without a host" "" unload ma
offers "every command" "$("$berth" help | sed -n 's/^  berth \([a-z][a-z]*\) .*/\1/p' | uniq | xargs) --help --version" ""
for command in $("$berth" help | sed -n 's/^  berth \([a-z][a-z]*\) .*/\1/p' | uniq); do
    missing=$("$berth" help "$command" | grep -oE '(^|[[| ])--[a-z][a-z-]*' | grep -oE -- '--[a-z-]*' | sort -u |
        while read -r option; do
            COMP_WORDS=(berth "$command" "$option") COMP_CWORD=2
            _berth
            [ "${COMPREPLY[0]-}" ] || echo "$option"
        done)
    tap_empty "every option of $command is offered" "$missing"
done

host_begin ./math.so ./greet.so
offers "modules" "math" unload ma
offers "modules that are counted" "math" stats ma
offers "none that cannot go" "" unload ho
offers "but to be shown" "host" show ho
offers "no function behind one" "" call math.add ma
offers "modules to be shown" "greet" show gr
offers "modules of calls" "math." call ma
offers "their functions" "math.divide" call math.d
offers "of that host" "" call --socket nothing.sock math.d
offers "and of that" "math.divide" call --host berth math.d
host_end

tap_done
