#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The examples of doc/module-author.md and doc/host-module.md: each block of C or C++ is a file, named in its first line, and compiles without a
# warning; each line that begins with $ is a command, and prints what stands below it.
. "$(dirname "$0")/support/tap.sh"

work=$(mktemp -d) || exit
trap 'rm -rf "$work"' EXIT
documents=("$BERTH_TOP_SRCDIR"/doc/{module-author,host-module}.md)

# What an installed berth-module.pc says, of headers that lie in two places of this build.
mkdir -p "$work/include/berth" "$work/bin"
ln -s "$BERTH_TOP_SRCDIR"/include/berth/*.h "$BERTH_TOP_BUILDDIR"/include/berth/version.h "$work/include/berth/" 2>/dev/null
sed "s|^includedir=.*|includedir=$work/include|" "$BERTH_TOP_BUILDDIR/berth-module.pc" >"$work/berth-module.pc" ||
    tap_skip_all "no berth-module.pc"
export PKG_CONFIG_PATH=$work
pkg-config --exists berth-module || tap_skip_all "no pkg-config"

# Blocks become files; commands go to $work/commands, each followed by what it prints, and a line "%%".
awk -v work="$work" '
    /^```(c|cpp)$/ { in_code = 1; next }
    /^```console$/ { in_console = 1; next }
    /^```/ {
        if (in_console && open) print "%%" >>(work "/commands")
        if (in_code) close(file)
        in_code = in_console = open = 0; file = ""
        next
    }
    in_code && file == "" {
        if (!match($0, /[a-z_]+\.(c|cc)/)) { print "a block without a name: " $0; exit 1 }
        file = work "/" substr($0, RSTART, RLENGTH)
    }
    in_code { print >file }
    in_console && /^\$ / {
        if (open) print "%%" >>(work "/commands")
        open = 1
    }
    in_console { print >>(work "/commands") }
' "${documents[@]}" || tap_skip_all "cannot read ${documents[*]}"

warnings=(-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)
read -ra flags < <(pkg-config --cflags --libs berth-module)

build() # COMPILER DIALECT FILE
{
    "$1" "$2" -D_GNU_SOURCE "${warnings[@]}" -O2 -o "${3%.*}.so" "$3" "${flags[@]}"
}

# The first compiler of each kind comes last, so that its modules are the ones that are called.
for file in "$work"/*.c "$work"/*.cc; do
    case $file in
    *.cc) compilers=(clang++ g++) dialects=(-std=c++17) ;;
    *) compilers=(clang gcc) dialects=(-std=c11 -std=gnu17) ;;
    esac
    for compiler in "${compilers[@]}"; do
        for dialect in "${dialects[@]}"; do
            name="$(basename "$file"), $compiler $dialect"
            if command -v "$compiler" >/dev/null; then
                tap_run "$name" build "$compiler" "$dialect" "$file"
            else
                tap_skip "$name" "no $compiler"
            fi
        done
    done
done

if [ ! -x "$BERTH_TOP_BUILDDIR/berth" ] || [ ! -x "$BERTH_TOP_BUILDDIR/berth-worker" ]; then
    tap_skip "the commands" "berth is not built"
    tap_done
fi
export BERTH_WORKER=${BERTH_WORKER:-$BERTH_TOP_BUILDDIR/berth-worker}
ln -s "$BERTH_TOP_BUILDDIR/berth" "$work/bin/berth"
export PATH=$work/bin:$PATH
cd "$work" || exit

# The host that commands without --with ask.
export XDG_RUNTIME_DIR=$work
unset BERTH_SOCKET
berth run 2>log &
host=$!
trap 'kill $host; wait $host; rm -rf "$work"' EXIT
for _ in $(seq 600); do
    grep -q ' info host ready' log && break
    sleep 0.05
done

prints() # COMMAND EXPECTED: an empty expectation means that the output does not matter
{
    local said
    said=$([[ $1 != *"berth run"* ]] || export BERTH_SOCKET=$work/another.sock; bash -c "$1" 2>&1)
    [ -z "$2" ] && [ -n "$said" ] && return
    [ "$said" = "$2" ] || { printf 'expected: %s\nprinted:  %s\n' "$2" "$said"; return 1; }
}

command='' expected=''
while IFS= read -r line; do
    case $line in
    '$ '*) command=${line#'$ '} expected='' ;;
    '%%') tap_run "$command" prints "$command" "${expected%$'\n'}" ;;
    *) expected+=$line$'\n' ;;
    esac
done <commands
tap_done
