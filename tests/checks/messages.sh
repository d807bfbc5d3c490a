#!/bin/bash
# Messages and help texts of the programs: lower case first, no period last, named subjects (tests/checks/messages.py; make messages
# prints all of them).
. "$(dirname "$0")/lib.sh"
findings=$(python3 "$checks/messages.py" "$top" 2>&1)
verdict "messages name what they are about" "$(grep "does not name" <<<"$findings")"
verdict "messages are spelt alike" "$(grep -v "does not name" <<<"$findings")"
finish
