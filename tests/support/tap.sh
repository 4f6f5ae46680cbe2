# SPDX-License-Identifier: MIT
# For test scripts in bash: `. "${BERTH_TOP_SRCDIR:?}/tests/support/tap.sh"`. Prints TAP; the plan comes last.

set -u
export LC_ALL=C
: "${BERTH_TOP_SRCDIR:=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}"
: "${BERTH_TOP_BUILDDIR:=$PWD}"

tap_count=0
tap_failed=0

# tap_skip_all REASON: ends the script, all of it skipped.
tap_skip_all()
{
    echo "1..0 # SKIP $*"
    exit 0
}

# tap_once: skips the script where BERTH_TEST_AGAIN says that another build of the same sources has
# run it: what it looks at depends neither on the compiler that made Berth nor on where that lies.
tap_once()
{
    [ -z "${BERTH_TEST_AGAIN:-}" ] || tap_skip_all "another build of these sources has run it"
}

# tap_result STATUS NAME: one result; each line of standard input explains a failure.
tap_result()
{
    tap_count=$((tap_count + 1))
    if [ "$1" = 0 ]; then
        echo "ok $tap_count - $2"
    else
        tap_failed=$((tap_failed + 1))
        echo "not ok $tap_count - $2"
        sed 's/^/# /'
    fi
}

# tap_run NAME COMMAND...: passes when the command does; what it prints explains a failure.
tap_run()
{
    local name=$1 said status
    shift
    said=$("$@" 2>&1)
    status=$?
    tap_result "$status" "$name" <<<"$said"
}

# tap_empty NAME TEXT: passes when TEXT is empty, which lists what is wrong.
tap_empty()
{
    local wrong=0
    [ -z "$2" ] || wrong=1
    tap_result "$wrong" "$1" <<<"$2"
}

# tap_skip NAME REASON
tap_skip()
{
    tap_count=$((tap_count + 1))
    echo "ok $tap_count - $1 # SKIP $2"
}

# tap_done: prints the plan and ends the script. Automake's harness has counted the failures, and
# would count the status as one more.
tap_done()
{
    echo "1..$tap_count"
    [ "$tap_failed" = 0 ] || [ -n "${BERTH_TEST_HARNESS:-}" ]
    exit
}

# tap_sources PATTERN...: the project's own files of these patterns, from git or, in a release, from disk.
tap_sources()
{
    cd "$BERTH_TOP_SRCDIR" || exit
    if [ -e .git ] && command -v git >/dev/null; then
        git -c safe.directory="$BERTH_TOP_SRCDIR" ls-files --cached --others --exclude-standard -- "$@" |
            while read -r file; do [ -e "$file" ] && echo "$file"; done
    else
        local pattern
        for pattern in "$@"; do
            # distcheck builds inside of the release: _build, _inst
            find . \( -path './build*' -o -path './_*' \) -prune -o -type f -path "./$pattern" -print
        done | sed 's|^\./||'
    fi | sort -u
}
