#!/bin/sh
# The main job, end to end: publish two versions, serve them, pull three times, print what travelled, beside rsync -z.
# usage: demo.sh [OLD NEW]     files or directories; without arguments: two versions of a program built from this repository
set -eu
cd "$(dirname "$0")/../.."
dxup=${DXUP:-build/dxup}
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
    echo "two versions of dxup itself: $old has no snapshots of directories, $new has them"
elif [ -z "$old" ] || [ -z "$new" ]; then
    echo "give both: make demo OLD=app-1.0 NEW=app-1.1" >&2
    exit 1
fi
cp -R "$old" "$work/old"
cp -R "$new" "$work/new"

$dxup publish "$work/store" demo "$work/old"
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

# What is compared with: the new version packed, and rsync -z, whose files come from the same versions.
gzip=
! command -v gzip >/dev/null || gzip=$(if [ -d "$work/new" ]; then tar -C "$work/new" -cf - .; else cat "$work/new"; fi | gzip -9 | wc -c)
rsync_bytes() { # BEFORE      over a copy of that, both ways; none: over what the last one has left
    if ! command -v rsync >/dev/null; then
        echo "not here"
        return
    fi
    if [ -n "$1" ]; then rm -rf "$work/rsync"; fi
    if [ -e "$work/$1" ] && [ -n "$1" ]; then cp -R "$work/$1" "$work/rsync"; fi
    slash=
    if [ -d "$work/new" ]; then slash=/; fi
    rsync -az --checksum --no-whole-file --stats "$work/new$slash" "$work/rsync" |
        sed -n 's/^Total bytes [a-z]*: //p' | tr -d ,. | awk '{ sum += $1 } END { print sum }'
}

# The first difference between the published and the pulled files, or nothing. Of fifos and devices diff can only say that both
# are there. A pull leaves out sockets, and without --owner devices.
difference() {
    LC_ALL=C diff -rq --no-dereference "$work/new" "$work/app" 2>&1 | while IFS= read -r line; do
        case $line in
            "File "*" is a "*" while file "*" is a "*)
                kinds=${line##* is a }
                case $line in *" is a $kinds while file "*) continue ;; esac
                ;;
            "Only in $work/new"*": "*)
                only=${line#Only in }
                only=${only%%: *}/${only#*: }
                if [ -S "$only" ] || [ -b "$only" ] || [ -c "$only" ]; then continue; fi
                ;;
        esac
        printf '%s\n' "$line" | sed "s|$work/||g"
        break
    done
}

# One line of the table from one pull: its last line is "key=value ..." (--report).
pull() { # LABEL OUTCOME WHAT-THE-CLIENT-HAS RSYNC-BYTES
    report=$($dxup pull "$address" demo "$work/app" --report)
    get() { echo "$report" | tr ' ' '\n' | sed -n "s/^$1=//p"; }
    found=$(difference)
    if [ -n "$found" ]; then
        echo "the pulled files (app) differ from the published ones (new): $found" >&2
        exit 1
    fi
    if [ "$(get outcome)" != "$2" ]; then
        echo "expected the outcome $2, got: $report" >&2
        exit 1
    fi
    awk -v label="$1" -v has="$3" -v wire="$(get wire)" -v size="$(get size)" -v ms="$(get ms)" -v gzip="$gzip" -v rsync="$4" 'BEGIN {
        of = gzip ? sprintf("%.2f %%", 100 * wire / gzip) : "not here"
        printf "%-12s %-12s %11d %9.2f %% %11s %11s %8.1f ms\n", label, has, wire, size ? 100 * wire / size : 0, of, rsync, ms }'
}

$dxup publish "$work/store" demo "$work/new"
echo
printf '%-12s %-12s %11s %11s %11s %11s %11s\n' pull "client has" "wire bytes" "of size" "of gzip -9" "rsync -z" time
pull "first copy" full nothing "$(rsync_bytes nothing)"
rm -rf "$work/app" "$work"/.app.dxup*
cp -R "$work/old" "$work/app"
pull update patch "old version" "$(rsync_bytes old)"
pull unchanged unchanged "new version" "$(rsync_bytes "")"
echo
echo "each copy is the published version, byte for byte: BLAKE3 $(get hash)"
$dxup verify "$work/store"
