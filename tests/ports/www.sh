#!/bin/bash
# The runtime of examples/www, examples/todo and the module of examples/update, in node, Chromium and Firefox. usage: www.sh [SCREENSHOT]
set -u
cd "$(dirname "$0")/../.." || exit 1
skip() {
    echo "skip www: $1"
    echo "www: 0 passed, 0 failed, 1 skipped"
    exit 0
}
for tool in node clang wasm-ld python3; do command -v $tool >/dev/null || skip "no $tool"; done
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || skip "no chromium"
[ -d build/playwright/node_modules/playwright-core ] || skip "no playwright-core (make deps-all)"
make -s build/dxup build/dxpatch || exit 1
examples/www/build.sh build/www || exit 1
examples/todo/build.sh build/todo || exit 1
suite() { # NAME SECONDS COMMAND...      its output is kept for the counts
    local log=build/www/$1.log
    timeout "$2" "${@:3}" | tee "$log"
    logs+=("$log")
}
logs=()
suite core 200 node tests/ports/core.mjs build/www
suite journal 400 node tests/ports/journal.mjs build/www
suite server 300 node tests/ports/server.mjs build/www
suite page 400 node tests/ports/www.mjs build/www chromium "$@"
suite feed 400 node tests/ports/feed.mjs build/www chromium
suite live 400 node tests/ports/live.mjs build/www chromium
suite todo 400 node tests/ports/todo.mjs build/todo chromium
suite rows 400 bench/bench_www.sh check chromium
for part in www feed live; do suite $part-firefox 400 node tests/ports/$part.mjs build/www firefox; done
suite todo-firefox 400 node tests/ports/todo.mjs build/todo firefox
suite rows-firefox 400 bench/bench_www.sh check firefox
make -s build/update_rules || exit 1
examples/update/build.sh build/update || exit 1
suite update 600 node tests/ports/update.mjs build/update
awk -v logs="${#logs[@]}" '/ passed, .* failed, .* skipped$/ { p += $2; f += $4; s += $6; n++ }
    END { printf "www: %d passed, %d failed, %d skipped\n", p, f + (n != logs), s; exit f > 0 || n != logs }' "${logs[@]}"
