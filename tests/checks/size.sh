#!/bin/bash
# Lines and machine code (text, bytes) of each header, whole and in small programs, for `make size`.
. "$(dirname "$0")/lib.sh"
text() { # HEADER COMPILER FLAGS...
    local h=$1
    shift
    has "$1" && "$@" $(including "$h") -DDX_IMPLEMENTATION -DNDEBUG -c "$one" -o "$work/o.o" 2>/dev/null &&
        size "$work/o.o" 2>/dev/null | awk 'NR == 2 { print $1 }' || echo -
}
printf '%-15s %6s %12s %12s %14s\n' header lines "$CC -O2" "$CC -Os" "Cortex-M0 -Os"
for h in $headers; do
    printf '%-15s %6d %12s %12s %14s\n' "$h" "$(wc -l <"$h")" "$(text "$h" $CC -O2)" "$(text "$h" $CC -Os)" \
        "$(text "$h" arm-none-eabi-gcc -Os -mcpu=cortex-m0 -mthumb -ffreestanding)"
done
echo
has python3 || { echo "the small programs need python3 (Debian: python3)"; exit 0; }
python3 tests/checks/small/size.py
