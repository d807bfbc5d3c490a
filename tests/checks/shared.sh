#!/bin/bash
# What stands in `/* >>shared` sections is the same in every core and layer, but for the prefix and the line breaks.
. "$(dirname "$0")/lib.sh"

# One line for each function or table of the section: NAME TAB TEXT.
pieces() { # HEADER
    sed "s/$(basename "$1" .h)_/dx_x_/g; s/$(upper "$1")_/DX_X_/g" "$1" |
        awk '/^\/\* >>/ { on = $2 == ">>shared"; next }
             !on || /^#/ { next }
             text == "" && /^(\/\*|   )/ { next }              # a comment before a piece
             text == "" && /^[a-z]/ {
                 name = $0
                 sub(/[(\[=;].*/, "", name); sub(/ +$/, "", name); sub(/.*[ *]/, "", name); if (name == "{") name = "enum"
             }
             text != "" || /^[a-z]/ { text = text " " $0 }
             /^}|^[a-z].*;$|^    .*};$/ && text != "" {
                 gsub(/[ \t]+/, " ", text)
                 print name "\t" text
                 text = ""
             }'
}
for h in $headers $(ls layers/dx_*.h 2>/dev/null); do
    pieces "$h" | sed "s|^|$h\t|"
done >"$work/pieces"
[ -s "$work/pieces" ] || verdict "shared sections" "no header has one"
for name in $(cut -f 2 "$work/pieces" | sort | uniq -d); do
    different=$(awk -F '\t' -v n="$name" '$2 == n && !($3 in seen) { seen[$3] = 1; list = list " " $1; kinds++ }
                                          END { if (kinds > 1) print "differs between" list }' "$work/pieces")
    verdict "$name in$(awk -F '\t' -v n="$name" '$2 == n { printf " %s", $1 }' "$work/pieces")" "$different"
done
finish
