#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What libberth.so exports, what runtime/libberth.map lists and what include/berth/ declares are one set;
# and memory comes into it by one door, which an application may have set its own allocator behind.
. "$(dirname "$0")/support/tap.sh"

library=$BERTH_TOP_BUILDDIR/.libs/libberth.so
map=$BERTH_TOP_SRCDIR/runtime/libberth.map
[ -e "$library" ] || tap_skip_all "no $library"

# Comments and layout gone, the names between "global:" and "local:".
listed=$(sed 's|/\*.*\*/||' "$map" | tr -s ' \t\n' ' ' | grep -o 'global:[^}]*local:' |
    sed 's/global:\|local:/ /g' | tr ';' '\n' | tr -d ' ' | grep . | sort -u)

# Functions and data, without the version's own name; sanitizers and coverage add symbols of theirs.
exported=$(${NM:-nm} -D --defined-only "$library" |
    awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | grep -vE '^(__asan|__odr_asan|__ubsan|__tsan|__sancov)' | sort -u)

# The headers without comments and without the bodies of macros.
headers=$(for header in "$BERTH_TOP_SRCDIR"/include/berth/*.h; do
    sed 's|//.*||' "$header" | tr '\n' '\001' | sed 's|/\*[^*]*\*\+\([^/*][^*]*\*\+\)*/||g; s|\\\x01||g' |
        tr '\001' '\n' | grep -v '^[[:space:]]*#'
done)
declared=$(grep -oE '\bberth_[a-z0-9_]+[[:space:]]*\(' <<<"$headers" | tr -d ' (\t' | sort -u)

tap_empty "libberth.so exports all that the map lists" "$(comm -23 <(echo "$listed") <(echo "$exported"))"
tap_empty "libberth.so exports nothing else" "$(comm -13 <(echo "$listed") <(echo "$exported"))"
tap_empty "a public header declares each of them" "$(comm -23 <(echo "$listed") <(echo "$declared"))"
tap_empty "every name begins with berth_" "$(grep -v '^berth_' <<<"$listed")"

# What is marked public must be listed, or a program that follows the header does not link.
public=$(tr '\n' ' ' <<<"$headers" | grep -oE 'BERTH_PUBLIC[^;{]*' | grep -oE '\bberth_[a-z0-9_]+[[:space:]]*\(' |
    tr -d ' (\t' | sort -u)
tap_empty "the map lists all that a header marks BERTH_PUBLIC" "$(comm -13 <(echo "$listed") <(echo "$public"))"

# Functions of the C library whose memory is the caller's. realpath and getcwd are called with a buffer.
takes_memory='malloc|calloc|realloc|reallocarray|free|memalign|aligned_alloc|posix_memalign|valloc|strdup|strndup
    |v?asprintf|__v?asprintf_chk|getline|getdelim|open_memstream|fopen|fdopen|opendir|fdopendir|scandir|glob'
objects=$(cd "$BERTH_TOP_BUILDDIR" && find runtime -path '*/.libs/*.o' ! -path 'runtime/shell/*')
stray=$(cd "$BERTH_TOP_BUILDDIR" && for object in $objects; do
    [ "$object" = runtime/base/.libs/memory.o ] && continue
    ${NM:-nm} --undefined-only "$object" | grep -wE "${takes_memory//[$'\n ']/}" |
        sed "s|^ *U|${object/.libs\//}:|; s|$| (runtime/base/memory.h has one)|"
done)
tap_run "there are objects to look at" [ -n "$objects" ]
tap_empty "all memory of the library comes through runtime/base/memory.c" "$stray"

tap_done
