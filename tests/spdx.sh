#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Every source file says its licence in its first two lines, and it is the project's.
. "$(dirname "$0")/support/tap.sh"
tap_once

missing=$(tap_sources '*.[ch]' '*.cc' '*.h.in' '*.sh' '*.ac' '*.am' '*.inc' '*.m4' '*.map' '*.py' 'demo/*' |
    grep -vE '^(aclocal\.m4|m4/(libtool|lt.*)\.m4|config\.h\.in|build-aux/.*|demo/.*\.(md|txt|log))$' |
    while read -r file; do
        head -n 2 "$BERTH_TOP_SRCDIR/$file" | grep -q 'SPDX-License-Identifier: MIT' || echo "$file"
    done)
tap_empty "every source file has SPDX-License-Identifier: MIT" "$missing"
tap_run "LICENSE is the MIT licence of the Berth authors" \
    grep -q 'Copyright (c) The Berth authors' "$BERTH_TOP_SRCDIR/LICENSE"
tap_done
