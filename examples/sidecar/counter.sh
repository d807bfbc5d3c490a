#!/bin/sh
# The program of this example: it counts seconds, and continues with the number in DIR/count.
# usage: counter.sh DIR
set -eu
trap 'exit 0' TERM INT
n=0
[ ! -f "$1/count" ] || read -r n <"$1/count"
while :; do
    n=$((n + 1))
    echo "$n" >"$1/.count"
    mv "$1/.count" "$1/count"
    echo "$n"
    sleep 1
done
