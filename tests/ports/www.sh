#!/bin/bash
# The runtime of examples/www and the module of examples/update in node, and both in browsers. usage: www.sh [SCREENSHOT]
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
timeout 200 node tests/ports/core.mjs build/www | tee build/www/core.log
timeout 400 node tests/ports/www.mjs build/www "$@" | tee build/www/page.log
timeout 400 node tests/ports/feed.mjs build/www | tee build/www/feed.log
timeout 400 node tests/ports/live.mjs build/www | tee build/www/live.log
make -s build/update_rules || exit 1
examples/update/build.sh build/update || exit 1
timeout 600 node tests/ports/update.mjs build/update | tee build/www/update.log
timeout 400 bench/bench_www.sh check | tee build/www/rows.log
cat build/www/core.log build/www/page.log build/www/feed.log build/www/live.log build/www/update.log build/www/rows.log | awk '/ passed, .* failed, .* skipped$/ { p += $2; f += $4; s += $6; n++ }
    END { printf "www: %d passed, %d failed, %d skipped\n", p, f + (n != 6), s; exit f > 0 || n != 6 }'
