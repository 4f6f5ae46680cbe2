#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What `make install` puts down is enough for a module's author and for an application, with the
# flags that pkg-config gives and nothing else.
. "$(dirname "$0")/support/tap.sh"

unset MAKEFLAGS MAKELEVEL MFLAGS
dest=$(mktemp -d)
trap 'rm -rf "$dest"' EXIT
pkg_config=${PKG_CONFIG:-pkg-config}
cc=${BERTH_TEST_CC:-cc}

tap_run "make install DESTDIR=... works" \
    "${BERTH_TEST_MAKE:-make}" -C "$BERTH_TOP_BUILDDIR" install DESTDIR="$dest"

libdir=$(dirname "$(dirname "$(find "$dest" -name berth.pc)")")
export PKG_CONFIG_PATH=$libdir/pkgconfig PKG_CONFIG_SYSROOT_DIR=$dest
cd "$dest" || exit

tap_run "every public header is installed" diff \
    <(cd "$BERTH_TOP_SRCDIR/include/berth" && ls -- *.h *.h.in | sed 's/\.in$//' | sort -u) \
    <(cd "$("$pkg_config" --variable=includedir berth | sed "s|^\($dest\)\?|$dest|")/berth" && ls)
tap_run "both pkg-config files give the same version" \
    test "$("$pkg_config" --modversion berth)" = "$("$pkg_config" --modversion berth-module)"
tap_run "bash finds how to complete" test -s "$(find "$dest" -path '*/share/bash-completion/completions/berth')"
tap_run "berth-module says where modules are installed" \
    grep -q '/berth/modules$' <<<"$("$pkg_config" --variable=moduledir berth-module)"

unit=$(find "$dest" -name berth.service)
tap_run "so is a unit for systemd, which runs what is installed" \
    test -x "$dest$(sed -n 's/^ExecStart=\([^ ]*\) run .*/\1/p' "$unit")"
tap_run "and one for its socket" test -s "$(find "$dest" -name berth.socket)"
# Links to files of the source are for those who have it.
links_lead()
{
    local documents file target missing=0
    documents=$(dirname "$(find "$dest" -name README.md -path '*/doc/berth/README.md')")
    diff <(cd "$BERTH_TOP_SRCDIR" && find doc modules -name '*.md' | sort) \
        <(cd "$documents" && find doc modules -name '*.md' | sort) || missing=1
    while IFS=: read -r file target; do
        [ -e "$documents/$(dirname "$file")/$target" ] || { echo "$file: $target"; missing=1; }
    done < <(cd "$documents" && grep -roE '\]\([^)#:]+\.md' . | sed 's/\](//')
    return $missing
}
tap_run "every man page is installed" diff <(cd "$BERTH_TOP_SRCDIR/doc" && ls -- *.[1-8]) \
    <(find "$dest" -path '*/man/man[1-8]/*' -printf '%f\n' | sort)
tap_run "every document is installed, and its links lead to others that are" links_lead
tap_run "and the schema" test -s "$(find "$dest" -name berth.conf.schema.json)"

# ---- A module, by the one line that the manual gives ----

cat >greet.c <<'C'
#include <berth/module.h>

BERTH_MODULE("greet", "1.0.0", "Says hello.");

BERTH_EXPORT(i64, twice, "Doubles a number.", (i64, number, "the number"))
{
    return 2 * number;
}
C

# build_module COMPILER FILE: fails, too, when anything but berth_entry can be reached from outside.
build_module()
{
    # shellcheck disable=SC2046
    "$1" -Wall -Wextra -Werror -o greet.so "$2" $("$pkg_config" --cflags --libs berth-module) || return
    readelf -W --dyn-syms greet.so |
        awk '$5 ~ /GLOBAL|WEAK/ && $6 != "HIDDEN" && $7 ~ /^[0-9]+$/ { print $8 }' >exported
    diff - exported <<<berth_entry
}

tap_run "one line builds a module, which exports berth_entry only" build_module "$cc" greet.c
if [ -n "${BERTH_TEST_CXX:-}" ]; then
    cp greet.c greet.cc
    tap_run "the same in C++" build_module "$BERTH_TEST_CXX" greet.cc
else
    tap_skip "the same in C++" "no C++ compiler"
fi

# ---- An application ----

# build_embed COMPILER SOURCE EXPECTED [ARGUMENT...]: builds, runs, and compares what it prints, if
# that is not to be empty.
build_embed()
{
    local compiler=$1 source=$2 expected=$3 said
    shift 3
    # shellcheck disable=SC2046,SC2086
    "$compiler" -Wall -Wextra -Werror ${BERTH_TEST_SANITIZER:-} -o embed "$source" \
        $("$pkg_config" --cflags --libs berth) || return
    said=$(LD_LIBRARY_PATH=$libdir timeout 300 ./embed "$@") || return
    [ -z "$expected" ] || diff <(echo "$expected") <(echo "$said")
}

cat >version.c <<'C'
#include <berth/host.h>
#include <berth/version.h>
#include <stdio.h>

int main(void)
{
    return puts(BERTH_VERSION) == EOF;
}
C
tap_run "an application builds and runs" build_embed "$cc" version.c ""

# ---- The example of both ----

cp "$BERTH_TOP_SRCDIR"/doc/examples/{embed,greet}.c .
cp embed.c embed.cc
tap_run "the example's module builds by the one line" build_module "$cc" greet.c
said='note 1: greeted World
Hello, World
note 2: greeted everybody
Hello, everybody
invalid_argument: greet.hello: name is empty: say whom to greet
not_found: module greet has no function goodbye
greet says on greet.summary: {"guests":2}'
tap_run "the example's application builds and runs" build_embed "$cc" embed.c "$said" ./greet.so
if [ -n "${BERTH_TEST_CXX:-}" ]; then
    tap_run "the same in C++" build_embed "$BERTH_TEST_CXX" embed.cc "$said" ./greet.so
else
    tap_skip "the same in C++" "no C++ compiler"
fi

tap_done
