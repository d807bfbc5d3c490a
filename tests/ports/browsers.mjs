// The browsers that the tests of pages run in, without a window and with a new profile.
//   const browser = await startBrowser('firefox', { dark }), page = await browser.newPage({ viewport });      each page has storage of its own
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { finish, skip } from './cases.mjs';
import { firefoxPath, startFirefox } from './firefox.mjs';
const { chromium } = createRequire(import.meta.url)('../../build/playwright/node_modules/playwright-core');

export const chromiumPath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(path => spawnSync(path, ['--version']).status == 0);

// args: of Chromium only
export async function startBrowser(name, { dark = false, args = [] } = {}) {
    if (name == 'chromium') {
        const browser = await chromium.launch({ executablePath: chromiumPath, headless: true, timeout: 300000,
            args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-background-networking', ...args] });
        return { newPage: options => browser.newPage({ ...options, colorScheme: dark ? 'dark' : 'light' }), close: () => browser.close(),
            version: () => browser.version(), startTracing: (...more) => browser.startTracing(...more), stopTracing: () => browser.stopTracing() };
    }
    const profile = mkdtempSync(`${tmpdir()}/dx-firefox-`), DARK = 0, LIGHT = 1;
    const browser = await startFirefox(profile, { 'layout.css.prefers-color-scheme.content-override': dark ? DARK : LIGHT });
    return {
        newPage: options => browser.newPage({ ...options, alone: true }),
        async close() {
            await browser.close();
            rmSync(profile, { recursive: true, force: true });
        },
    };
}

// The browser's name on the command line; a suite without its browser ends here.
export function browserOrSkip(suite, name = 'chromium') {
    if (!['chromium', 'firefox'].includes(name)) throw new Error(`${name} is not chromium or firefox`);
    if (name == 'chromium' ? chromiumPath : firefoxPath) return name;
    skip(suite, `${name} is not installed (make deps-all)`);
    finish(suite);
}
