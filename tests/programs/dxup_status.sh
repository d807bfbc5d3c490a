#!/bin/bash
# The page of `dxup serve --status` in a browser. usage: dxup_status.sh [SCREENSHOT]
set -u
cd "$(dirname "$0")/../.." || exit 1
skip() {
    echo "skip dxup_status: $1"
    echo "dxup_status: 0 passed, 0 failed, 1 skipped"
    exit 0
}
command -v node >/dev/null || skip "no node"
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || skip "no chromium"
[ -d build/playwright/node_modules/playwright-core ] || skip "no playwright-core (make deps-all)"
make -s build/dxup || exit 1
exec timeout 600 node tests/programs/dxup_status.mjs "$@"
