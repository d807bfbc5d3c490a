#!/bin/bash
# Sizes that stay readable, versions that agree, and nothing private left in the tree.
. "$(dirname "$0")/lib.sh"

# The declarations need three headers of every compiler, and leave the reader's warnings unchanged.
declarations() { # HEADER
    $CC -H -fsyntax-only $(including "$1") "$one" 2>&1 | sed -n 's/^\.\. //p' | grep -vE '(^|/)std(def|int|bool)\.h$'
    awk -v end="$(upper "$1")_IMPLEMENTATION" '/^#if/ && index($0, end) { exit }
        /^[ ]*#[ ]*pragma/ { print "line " NR ": " $0 }
        { open += gsub(/diagnostic push/, "") - gsub(/diagnostic pop/, "") }
        END { if (open) print "a pragma is not taken back" }' "$1"
}
licence() {
    local text
    text=$(sed -n "/>>license ---/,\$p" "$1" | tr -s " \n" "  ")
    for part in ">>license" "dx authors" 'Permission is hereby granted' 'THE SOFTWARE IS PROVIDED "AS IS"' 'released into the public domain'; do
        case $text in *"$part"*) ;; *) echo "no '$part' at its end" ;; esac
    done
}
few() { # COUNT MOST WHAT
    [ "$1" -le "$2" ] || echo "$1 $3, at most $2"
}

[ -n "${DX_TOP:-}" ] || verdict "five headers" "$(set -- $headers; [ $# = 5 ] || echo "$# of them: $*")"
for h in $headers; do
    functions "$h" >"$work/functions"
    median=$(cut -d ' ' -f 2 "$work/functions" | sort -n | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] + 0 }')
    verdict "$h columns" "$(awk 'length($0) > 100 { print "line " NR ": " length($0) " columns" }' "$h")"
    verdict "$h $(wc -l <"$work/functions") functions, median $median lines" "$(few "$median" 15 "lines in the median")"
    verdict "$h longest function" "$(awk '$2 > 70 { print "line " $1 ": " $3 " has " $2 " lines" }' "$work/functions")"
    verdict "$h includes no other" "$(grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]+"' "$h" | grep -v "\"$h\"")"
    verdict "$h declarations" "$(declarations "$h")"
    verdict "$h version" "$(version "$h")"
    verdict "$h licence" "$(licence "$h")"
done
for h in $headers layers/dx_*.h; do
    [ -f "$h" ] || continue
    for what in times marks arrows; do verdict "$h $what" "$(python3 "$checks/names.py" $what "$h" 2>&1)"; done
done
verdict LICENSE "$(grep -q 'MIT No Attribution' LICENSE && grep -q 'public domain' LICENSE || echo "lacks one of the two texts")"
verdict "README.md commands" "$(for c in 'make demo' 'make test'; do grep -q "$c" README.md || echo "does not show '$c'"; done)"

# Text from others, such as a file's name, reaches the terminal through one function that escapes control characters.
if [ -d programs/dxup ]; then
    verdict "programs print by prog_say" "$(grep -nE '(^|[^a-z_])(v?f?printf|f?puts|putchar|perror) *\(' programs/*/*.c programs/*/*/*.c |
        grep -vE '^programs/common/(message|os_windows)\.c:')"
fi

# In all files that are not ignored: words for unfinished work (except in documents), paths of somebody's machine.
files() { git ls-files -co --exclude-standard -- . 2>/dev/null || find . -type f ! -path './.git/*' ! -path './build/*'; }
unfinished='TO[D]O|FIX[M]E|X[X]X|HA[C]K|not (yet )?imple[m]ented|place[h]older'
places='(^|[^[:alnum:]])/(w[o]rk|f[a]rm|home/[a-z]+|r[o]ot|tmp/[a-z]+)/|https?://(deb|registry|security)\.'
files | grep -vE '\.md$|^(\./)?docs/' | tr '\n' '\0' | xargs -0 grep -nIE "$unfinished" /dev/null >"$work/words" 2>/dev/null
files | tr '\n' '\0' | xargs -0 grep -nIE "$places" /dev/null >"$work/places" 2>/dev/null
verdict "no unfinished work" "$(cat "$work/words")"
verdict "no machine's own paths" "$(cat "$work/places")"
verdict "scripts can be run" "$(files | grep -E '\.sh$|^\.ci/' | grep -v 'checks/lib\.sh' | while read -r f; do [ -x "$f" ] || echo "$f is not executable"; done)"
finish
