#!/bin/bash
# One text of an algorithm: the contents of a `/* >>shared` section of a core or layer (functions, tables, macros) are the same
# wherever their name occurs, in such a section or not, except for the prefix and the line breaks.
. "$(dirname "$0")/lib.sh"

# One line for each function, table or macro: yes or no (in a shared section) TAB NAME TAB TEXT.
pieces() { # HEADER
    sed "s/$(basename "$1" .h)_/dx_x_/g; s/$(upper "$1")_/DX_X_/g" "$1" |
        awk 'function piece() {
                 gsub(/[ \t\\]+/, " ", text)
                 print shared "\t" name "\t" text
                 text = ""
             }
             /^\/\* >>/ { shared = $2 == ">>shared" ? "yes" : "no"; next }
             /^\/\* <<shared/ { shared = "no" }
             macro { text = text " " $0; if (!/\\$/) { macro = 0; piece() }; next }
             /^#define .*\\$/ { # of a macro with two definitions, the first one
                 name = $2
                 sub(/\(.*/, "", name)
                 if (!seen[name]++) { macro = 1; text = $0 }
             }
             /^#/ { next }
             text == "" && /^[a-z]/ {
                 name = $0
                 sub(/[(\[=;].*/, "", name); sub(/ +$/, "", name); sub(/.*[ *]/, "", name)
             }
             text != "" || /^[a-z].*[a-z0-9_]\(/ || /^static const/ { text = text " " $0 }
             /;$/ && text != "" && !/=/ && text !~ /[={]/ { text = "" }     # a declaration
             /^}|^[a-z].*[;}]$|^    .*};$/ && text != "" { piece() }'
}
for h in $headers $(ls layers/dx_*.h 2>/dev/null); do
    pieces "$h" | sed "s|^|$h\t|"
done >"$work/all"
# Only the names that a shared section has: HEADER TAB NAME TAB TEXT.
awk -F '\t' 'NR == FNR { if ($2 == "yes") names[$3] = 1; next } $3 in names { print $1 "\t" $3 "\t" $4 }' "$work/all" "$work/all" >"$work/pieces"
[ -s "$work/pieces" ] || verdict "shared sections" "no header has one"
for name in $(cut -f 2 "$work/pieces" | sort | uniq -d); do
    different=$(awk -F '\t' -v n="$name" '$2 == n && !($3 in seen) { seen[$3] = 1; list = list " " $1; kinds++ }
                                          END { if (kinds > 1) print "differs between" list }' "$work/pieces")
    verdict "$name in$(awk -F '\t' -v n="$name" '$2 == n { printf " %s", $1 }' "$work/pieces")" "$different"
done
finish
