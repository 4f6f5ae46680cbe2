# SPDX-License-Identifier: MIT
# The examples of documents, as tests: `. "${BERTH_TOP_SRCDIR:?}/tests/support/examples.sh"` after tap.sh.
#
# A line that begins with "$ " is a command, and what stands below it is all that it prints, on a
# terminal. There
#   ...   stands for anything, alone in a line for any lines, or none;
#   ^C    at the start of a line has Ctrl-C pressed once what stands above it has been printed;
# and what differs from run to run counts by its shape only: times and durations, three numbers with
# dots (versions), a pid that is a cell of a table, and how many blanks align the cells.
# A command that ends with & goes on in the background, and the next one waits until what stands
# below this one has been printed. Each command has a shell of its own.

examples_started=()
examples_status=0

# examples_install: has commands find berth, and pkg-config what installed files of it say, of a build whose headers
# lie in two places. Everything is below $work. False: there is no pkg-config.
examples_install()
{
    mkdir -p "$work/bin" "$work/include/berth"
    ln -s "$BERTH_TOP_SRCDIR"/include/berth/*.h "$BERTH_TOP_BUILDDIR"/include/berth/*.h "$work/include/berth/" 2>/dev/null
    ln -s "$BERTH_TOP_BUILDDIR/berth" "$work/bin/berth"
    local name
    for name in berth berth-module; do
        sed "s|^includedir=.*|includedir=$work/include|; s|^libdir=.*|libdir=$BERTH_TOP_BUILDDIR/.libs|" \
            "$BERTH_TOP_BUILDDIR/$name.pc" >"$work/$name.pc"
    done
    if [ -n "${BERTH_TEST_SANITIZER:-}" ]; then # an application must have what its library has
        printf '#!/bin/sh\nexec %s %s "$@"\n' "${BERTH_TEST_CC:-gcc}" "$BERTH_TEST_SANITIZER" >"$work/bin/cc"
        chmod +x "$work/bin/cc"
    fi
    export LD_LIBRARY_PATH=$BERTH_TOP_BUILDDIR/.libs
    export PATH=$work/bin:$PATH PKG_CONFIG_PATH=$work HOME=$work
    export BERTH_WORKER="${BERTH_WORKER:-$BERTH_TOP_BUILDDIR/berth-worker}"
    unset BERTH_SOCKET BERTH_PATH XDG_STATE_HOME
    "${PKG_CONFIG:-pkg-config}" --exists berth-module
}

# examples_end: ends what goes on in the background.
examples_end()
{
    [ -z "${examples_started[*]}" ] || kill "${examples_started[@]}" 2>/dev/null
    wait "${examples_started[@]}" 2>/dev/null
    examples_started=()
}

# examples_pattern TEXT: the extended regular expression that what is printed has to match.
examples_pattern()
{
    sed -E 's/[][\\.*^$(){}?+|]/\\&/g
        s/\\\.\\\.\\\./.*/g
        s/^\\\^C/(\\^C)?/
        s/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\\.[0-9]{3}Z/[0-9:.TZ-]+/g
        s/[0-9]+(\\\.[0-9]+)?( ?)(ns|us|ms|s)( |$)/[0-9.]+\2(ns|us|ms|s)\4/g
        s/[0-9]+\\\.[0-9]+\\\.[0-9]+/[0-9]+\\.[0-9]+\\.[0-9]+/g
        s/  [0-9]{4,7}  /  [0-9]+  /g
        s/ +$//
        s/ +/ +/g' <<<"$1" | sed -Ez 's/\n$//; s/\n\.\*(\n|$)/(\n.*)?\1/g; s/^\.\*\n/(.*\n)?/'
}

# examples_match FILE PATTERN: whether all of what has been printed is so, but for blanks at the ends of lines and for
# what only a build with a sanitizer says.
examples_match()
{
    local said
    said=$(tr -d '\r' <"$1" | sed 's/ *$//; /images stay mapped under a sanitizer$/d')
    [[ $said =~ ^$2$ ]]
}

# examples_await FILE PATTERN PROCESS: until it is so, or the process has ended, or a minute or so is over.
examples_await()
{
    for _ in $(seq 1200); do
        examples_match "$1" "$2" && return
        kill -0 "$3" 2>/dev/null || break
        sleep 0.05
    done
    examples_match "$1" "$2"
}

# example COMMAND EXPECTED: runs it in the working directory. Sets examples_status. Prints what was
# printed if that is not what it should be.
example()
{
    local command=$1 said before='' pattern wrong=0
    said=$(mktemp -p "$work")
    pattern=$(examples_pattern "$2")
    case $command in
    *'&')
        eval "$command" >"$said" 2>&1 </dev/null
        examples_started+=("$!")
        examples_await "$said" "$pattern" "$!" || wrong=1
        ;;
    *)
        [[ $2 != *$'\n^C'* ]] || before=$(examples_pattern "${2%%$'\n^C'*}")
        [ "$command" != 'echo $?' ] || command="(exit $examples_status); $command"
        examples_on_terminal "$command" "$said" "$before"
        examples_match "$said" "$pattern" || wrong=1
        ;;
    esac
    [ "$wrong" = 0 ] || { printf 'expected:\n%s\nprinted:\n' "$2"; tr -d '\r' <"$said"; }
    return "$wrong"
}

# examples_on_terminal COMMAND FILE BEFORE: its output in the file, with Ctrl-C after BEFORE unless that is empty.
examples_on_terminal()
{
    local keys process
    mkfifo "$2.keys"
    exec {keys}<>"$2.keys"
    SHELL=$BASH timeout -k 5 120 script -qefc "$1" /dev/null <&"$keys" >"$2" &
    process=$!
    if [ "$3" ] && examples_await "$2" "$3" "$process"; then
        printf '\003' >&"$keys"
    fi
    wait "$process"
    examples_status=$?
    exec {keys}>&-
}

# examples_play NAME: runs the commands that come on standard input, each with what it prints and then a
# line "%%", in the working directory. Ends what still runs in the background, as a line "%% end" does.
examples_play()
{
    local command='' expected='' line
    while IFS= read -r line <&3; do
        case $line in
        '$ '*) command=${line#'$ '} expected='' ;;
        '%% end') examples_end ;;
        '%%')
            # Not by tap_run, whose subshell would keep the background to itself.
            example "$command" "${expected%$'\n'}" >"$work/wrong"
            tap_result "$?" "$1: $command" <"$work/wrong"
            ;;
        *) expected+=$line$'\n' ;;
        esac
    done 3<&0
    examples_end
}

# examples_of_markdown FILE...: the commands of the blocks in the language "console". What goes on in the background
# ends with the block. Blocks in the languages c, cpp and json become files in the working directory: the first word in the first line that ends with
# .LANGUAGE names it.
examples_of_markdown()
{
    awk '
        function end() { if (open) print "%%"; open = 0 }
        /^```console$/ { console = 1; next }
        /^```(c|cpp|json)$/ { code = substr($0, 4); next }
        /^```/ { end(); if (console) print "%% end"; console = 0; code = file = ""; next }
        code && file == "" {
            if (!match($0, /[a-z_]+\.(c|cc|conf)/)) { print "a block without a name: " $0 >"/dev/stderr"; exit 1 }
            file = substr($0, RSTART, RLENGTH)
        }
        code { print >file }
        console && /^\$ / { end(); open = 1 }
        console { print }' "$@"
}

# examples_of_page FILE: the commands of a man page, each with what it prints and then a line "%%". Two kinds of comments
# in the page are for this test: one that begins with "$ " is a command, too, and further ones what it
# prints; "file NAME" has the literal text that follows be that file in the working directory.
examples_of_page()
{
    sed -E 's/\\-/-/g; s/\\\(dq/"/g; s/\\\(aq/'\''/g; s/\\\(ha/^/g; s/\\\(ti/~/g; s/\\\(em/—/g; s/\\&//g; s/\\e/\\/g' "$1" |
        awk '
        function end() { if (open) print "%%"; open = 0 }
        /^\.\\" file / { end(); file = $NF; next }
        { hidden = sub(/^\.\\" ?/, "") }
        hidden && /^\$ / { end(); open = 1; print; next }
        hidden { if (open) print; next }
        /^\.Bd -literal/ { end(); literal = 1; next }
        /^\.Ed/ { end(); literal = 0; file = ""; next }
        literal && file { print >file; next }
        literal && /^\$ / { end(); open = 1; print; next }
        literal { if (open) print; next }
        { end() }
        END { end() }'
}
