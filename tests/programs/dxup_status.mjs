// The page of `dxup serve --status` in headless Chromium: it shows the published and pulled versions, in light and dark, on a
// phone, with names that would be markup, and without the server.
// usage: node dxup_status.mjs [SCREENSHOT]
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { attempt, expect, finish } from '../ports/cases.mjs';
const { chromium } = createRequire(import.meta.url)('../../build/playwright/node_modules/playwright-core');

const [screenshot] = process.argv.slice(2), dxup = process.env.DXUP ?? 'build/dxup', folder = mkdtempSync(`${tmpdir()}/dx-status-`);
const chrome = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) => spawnSync(path, ['--version']).status == 0);
const markup = '<img src=x onerror=document.title=666>';

function run(...words) {
    const { status, stderr } = spawnSync(dxup, words);
    if (status) throw new Error(`${words}: ${stderr}`);
}
function publish(name, size, change) {
    const bytes = Buffer.alloc(size);
    for (let i = 0, x = 1; i < size; i++) bytes[i] = (x = (x * 48271) % 0x7fffffff) & 255;
    bytes[size >> 1] ^= change;
    writeFileSync(`${folder}/file`, bytes);
    run('publish', `${folder}/store`, name, `${folder}/file`, '--quiet');
}

publish('firmware.bin', 3000000, 0);
publish(markup, 1000, 0);
publish('a tool', 40000, 0);
const server = spawn(dxup, ['serve', `${folder}/store`, '--listen', '127.0.0.1:0', '--status', '127.0.0.1:0', '--workers', '1']);
let said = '', found;
for await (const part of server.stdout) {
    said += part;
    if ((found = said.match(/127\.0\.0\.1:(\d+) with[^]*127\.0\.0\.1:(\d+) for status/))) break;
}
if (!found) throw new Error('dxup does not serve: ' + said);
run('pull', `127.0.0.1:${found[1]}`, 'firmware.bin', `${folder}/out`, '--quiet');
publish('firmware.bin', 3000000, 1);
run('pull', `127.0.0.1:${found[1]}`, 'firmware.bin', `${folder}/out`, '--quiet');
run('pull', `127.0.0.1:${found[1]}`, 'firmware.bin', `${folder}/out`, '--quiet');

const browser = await chromium.launch({ executablePath: chrome, args: ['--no-sandbox'] });
const complaints = [];
async function open(options) {
    const page = await (await browser.newContext(options)).newPage();
    page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(error.message));
    await page.goto(`http://127.0.0.1:${found[2]}/`);
    await page.waitForFunction(() => document.getElementById('state').textContent == 'serving', null, { timeout: 60000 });
    return page;
}
const text = (page, id) => page.textContent(`#${id}`);
const page = await open({ viewport: { width: 1000, height: 760 }, colorScheme: 'light' });

await attempt('counters are those of what was pulled', async () => {
    for (const [id, wanted] of [['pulls', '3'], ['patched', '1'], ['unchanged', '1'], ['errors', '0'], ['connections', '0'], ['transfers', '0']])
        expect(await text(page, id) == wanted, `${id}: ${await text(page, id)}`);
    expect(await text(page, 'sent') == '3.0 MB', `sent: ${await text(page, 'sent')}`);
    expect(await text(page, 'spared') == '6.0 MB', `spared: ${await text(page, 'spared')}`);
});
await attempt('names are those of the store, and text', async () => {
    const rows = await page.$$eval('#names tr', (all) => all.map((tr) => [...tr.cells].map((td) => td.textContent)));
    expect(rows.length == 3, JSON.stringify(rows));
    expect(rows.some(([name]) => name == markup) && await page.title() == 'dxup', JSON.stringify(rows));
    expect(rows.some(([name, version, size]) => name == 'firmware.bin' && version == '2' && size == '3.0 MB'), JSON.stringify(rows));
});
await attempt('what is published is seen without a reload', async () => {
    publish('a tool', 40000, 7);
    await page.waitForFunction(() => [...document.querySelectorAll('#names tr')].some((tr) => tr.cells[0].textContent == 'a tool' && tr.cells[1].textContent == '2'),
        null, { timeout: 60000 });
});
if (screenshot) await page.screenshot({ path: screenshot });
await attempt('dark, and on a phone nothing is cut off', async () => {
    const phone = await open({ viewport: { width: 360, height: 640 }, colorScheme: 'dark', deviceScaleFactor: 2 });
    const ground = await phone.evaluate(() => getComputedStyle(document.body).backgroundColor);
    expect(ground.match(/\d+/g).every((part) => part < 64), ground);
    const wide = await phone.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(wide <= 0, `${wide} pixels too wide`);
    if (screenshot) await phone.screenshot({ path: screenshot.replace(/(\.\w+)$/, '-phone$1') });
});
await attempt('the browser has no complaint', async () => expect(!complaints.length, complaints.join('; ')));
await attempt('a server that has ended is said', async () => {
    server.kill();
    await page.waitForFunction(() => document.getElementById('state').textContent == 'no answer', null, { timeout: 60000 });
});

await browser.close();
rmSync(folder, { recursive: true });
finish('dxup_status');
