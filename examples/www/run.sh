#!/bin/sh
# Build an example and serve it: the page with its application, the dashboard, or the to-do list.
# usage: run.sh [page|feed|todo [ADDR:PORT]]
set -eu
cd "$(dirname "$0")/../.."
what=${1:-page} address=${2:-127.0.0.1:8000}
case $what in page|feed|todo) ;; *) echo "usage: run.sh [page|feed|todo [ADDR:PORT]]" >&2 && exit 2 ;; esac
tools="clang wasm-ld python3"
[ "$what" != feed ] || tools="$tools node"
missing=
for tool in $tools; do command -v "$tool" >/dev/null || missing="$missing $tool"; done
[ -z "$missing" ] || { echo "missing:$missing (Debian: clang lld python3 nodejs; tests/deps.sh www installs them)" >&2; exit 1; }
check_address() { # before anything that another run on this address may be serving is touched
    python3 - "$address" <<'PYTHON'
import socket, sys
host, _, port = sys.argv[1].rpartition(":")
if not host or not port.isdigit() or not 0 < int(port) < 65536:
    sys.exit(f"{sys.argv[1]} is not ADDR:PORT")
try:
    family, kind, _, _, where = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
    one = socket.socket(family, kind)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(where)
except OSError as error:
    sys.exit(f"{sys.argv[1]}: {error.strerror}; another one: make run-... PORT=8001 (ADDR=127.0.0.1)")
PYTHON
}
check_address
if [ "$what" = todo ]; then
    examples/todo/build.sh build/todo
    echo "open http://$address/"
    exec python3 -m http.server "${address##*:}" --bind "${address%:*}" --directory build/todo
fi
work=build/www
examples/www/build.sh $work
run=$work/run-$(echo "$address" | tr -c 'A-Za-z0-9.\n' -) # several can run at once, each on its address
check_address # again: building takes a while
rm -rf "$run"
mkdir -p "$run"
if [ "$what" = feed ]; then
    cp -r $work/site $work/app-1.dxs $work/app-2.dxs $work/feed $work/live "$run/"
    exec node examples/www/server.mjs "$run" "$address"
fi
for file in "$work"/site/*; do build/dxup publish "$run/store" "$(basename "$file")" "$file" --quiet; done
build/dxup publish "$run/store" app.dxs $work/app-1.dxs --quiet
echo "open http://$address/ ; when you have seen it, publish the next version and visit again:"
echo "    build/dxup publish $run/store app.dxs $work/app-2.dxs"
exec build/dxup serve "$run/store" --listen 127.0.0.1:0 --http "$address"
