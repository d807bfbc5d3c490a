#!/bin/bash
# Arrows point down: program -> layer -> core; no circles; private names stay in their file (tests/checks/floors.py).
. "$(dirname "$0")/lib.sh"
findings=$(python3 "$checks/floors.py" "$top" 2>&1)
verdict "arrows point down" "$(grep -v "circle\|private" <<<"$findings")"
verdict "no circles" "$(grep circle <<<"$findings")"
verdict "private names stay in their file" "$(grep private <<<"$findings")"
finish
