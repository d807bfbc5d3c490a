#!/bin/sh
# The main job, end to end: publish two versions, serve them, pull three times, print what travelled.
# usage: demo.sh [OLD NEW]     without arguments: two versions of a program built from this repository
set -eu
cd "$(dirname "$0")/../.."
dxup=build/dxup
work=$(mktemp -d)
server=
finish() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

old=${1:-} new=${2:-}
if [ -z "$old" ] && [ -z "$new" ]; then
    old=build/demo/dxup-1 new=build/demo/dxup-2
    echo "two versions of dxup itself, built from this repository: $old, $new"
elif [ -z "$old" ] || [ -z "$new" ]; then
    echo "give both: make demo OLD=file NEW=file" >&2
    exit 1
fi
cp "$old" "$work/old"
cp "$new" "$work/new"

$dxup publish "$work/store" demo "$work/old"
$dxup publish "$work/store" demo "$work/new"
$dxup verify "$work/store"
$dxup serve "$work/store" --listen 127.0.0.1:0 >"$work/serve.log" 2>&1 &
server=$!
tries=0
until address=$(sed -n 's/^listening on \([^ ]*\).*/\1/p' "$work/serve.log" 2>/dev/null) && [ -n "$address" ]; do
    tries=$((tries + 1))
    if [ $tries -gt 100 ] || ! kill -0 "$server" 2>/dev/null; then
        cat "$work/serve.log" >&2
        exit 1
    fi
    sleep 0.1
done
cat "$work/serve.log"
echo

# One line of the table from one pull: its last line is "key=value ..." (--report).
pull() { # LABEL WHAT-THE-CLIENT-HAS DEST
    report=$($dxup pull "$address" demo "$3" --report)
    get() { echo "$report" | tr ' ' '\n' | sed -n "s/^$1=//p"; }
    if ! cmp -s "$work/new" "$3"; then
        echo "the pulled file differs from the published one" >&2
        exit 1
    fi
    if [ "$(get outcome)" != "$1" ]; then
        echo "expected the outcome $1, got: $report" >&2
        exit 1
    fi
    awk -v label="$1" -v has="$2" -v wire="$(get wire)" -v size="$(get size)" -v ms="$(get ms)" \
        -v hash="$(get hash)" 'BEGIN {
        printf "%-10s %-12s %12d %8.2f %% %9.1f ms   BLAKE3 %.12s..., byte for byte\n",
               label, has, wire, size ? 100 * wire / size : 0, ms, hash }'
}

printf '%-10s %-12s %12s %10s %12s   %s\n' pull "client has" "wire bytes" "of file" time verified
pull full nothing "$work/a"
cp "$work/old" "$work/b"
pull patch "old version" "$work/b"
pull unchanged "new version" "$work/b"
