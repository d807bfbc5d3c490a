// The nine operations of js-framework-benchmark in headless Chromium: layers/dx_page.h (bench/www/rows.c, examples/www/page_ops.js)
// against the same table by hand. From the click until the page's layout is up to date; painting is not in it, which both do alike.
// usage: node bench/bench_www.mjs FOLDER [ROUNDS]     FOLDER: has rows.wasm      WWW_PEER=NAME=FILE.js: one more program, for ids as in vanilla.js
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
const { chromium } = createRequire(import.meta.url)('../build/playwright/node_modules/playwright-core');

const [folder, rounds = '6'] = process.argv.slice(2), here = new URL('./www/', import.meta.url);
const apps = { dx: new URL('ours.js', here), vanilla: new URL('vanilla.js', here) };
for (const peer of (process.env.WWW_PEER ?? '').split(',').filter(Boolean)) apps[peer.split('=')[0]] = peer.split('=')[1];
const row = `<tr><td class="col-md-1"> </td><td class="col-md-4"><a class="lbl"> </a></td><td class="col-md-1"><a class="remove"><span class="remove glyphicon glyphicon-remove" aria-hidden="true"></span></a></td><td class="col-md-6"></td></tr>`;
const html = app => `<!doctype html><meta charset="utf-8"><title>${app}</title><link rel="icon" href="data:,">
<style>body { font: 14px sans-serif; margin: 20px } table { width: 100%; border-collapse: collapse } td { padding: 8px; border-top: 1px solid #ddd }
tr:nth-of-type(odd) { background: #f9f9f9 } .danger td { background: #f2dede } .col-md-1 { width: 8% } .col-md-4 { width: 33% }</style>
<p>${['run', 'runlots', 'add', 'update', 'clear', 'swaprows'].map(id => `<button id="${id}">${id}</button>`).join(' ')}</p>
<table><tbody id="tbody"></tbody></table><template id="itemTemplate">${row}</template><script type="module" src="/app/${app}.js"></script>`;

const server = createServer((ask, answer) => {
    const path = ask.url.slice(1), app = path.match(/^app\/(.*)\.js$/)?.[1];
    const files = { 'rows.wasm': `${folder}/rows.wasm`, 'app/page_ops.js': new URL('../examples/www/page_ops.js', here.href.replace(/www\/$/, '')) };
    const body = apps[path] ? html(path) : app && apps[app] ? readFileSync(apps[app]) : files[path] ? readFileSync(files[path]) : null;
    const type = path.endsWith('.wasm') ? 'application/wasm' : path.endsWith('.js') ? 'text/javascript' : 'text/html';
    // Isolated, so that its clock ticks every 5 us.
    answer.writeHead(body === null ? 404 : 200, { 'Content-Type': type, 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' });
    answer.end(body ?? '');
});
await new Promise(done => server.listen(0, '127.0.0.1', done));
const origin = `http://127.0.0.1:${server.address().port}/`;
const chrome = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(path => spawnSync(path, ['--version']).status == 0);
const browser = await chromium.launch({ executablePath: chrome, headless: true, timeout: 300000,
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--js-flags=--expose-gc', '--disable-background-networking'] });

// What is done before, what is measured, what shows that it was done; `again` brings the page back.
const operations = {
    'create 1,000': { again: ['clear'], click: 'run', rows: 1000 },
    'create 10,000': { again: ['clear'], click: 'runlots', rows: 10000, warm: 1, times: 2 },
    'replace 1,000': { before: ['run'], click: 'run', rows: 1000 },
    'update every 10th': { before: ['run'], click: 'update', rows: 1000 },
    'select': { before: ['run'], row: 'a.lbl', rows: 1000 },
    'swap': { before: ['run'], click: 'swaprows', rows: 1000 },
    'remove': { before: ['run'], row: 'span', rows: -1 },
    'append 1,000': { again: ['clear', 'run'], click: 'add', rows: 2000 },
    'clear': { again: ['run'], click: 'clear', rows: 0 },
};
async function measure(app, o) {
    const page = await browser.newPage();
    const troubles = [];
    page.on('pageerror', error => troubles.push(error.message));
    await page.goto(origin + app);
    await page.waitForFunction('globalThis.ready || location.pathname != "/dx"');
    const got = await page.evaluate(async o => {
        const body = document.getElementById('tbody'), press = id => document.getElementById(id).click();
        const frame = () => new Promise(done => requestAnimationFrame(() => setTimeout(done)));
        const times = [], calls = [];
        for (const id of o.before ?? []) press(id);
        const warm = o.warm ?? 5;
        for (let i = 0; i < warm + (o.times ?? 5); i++) {
            for (const id of o.again ?? []) press(id);
            await frame();
            await frame();
            gc();
            await frame();
            const target = o.row ? body.children[10 + i].querySelector(o.row) : document.getElementById(o.click);
            const had = body.children.length, flushes = globalThis.calls?.flushes, first = body.children[1]?.textContent, tenth = body.children[10]?.textContent;
            const begin = performance.now();
            target.click();
            document.body.offsetHeight;
            if (i >= warm) times.push(performance.now() - begin);
            if (globalThis.calls) calls.push(globalThis.calls.flushes - flushes);
            const wrong = why => { throw new Error(`${why}: ${body.children.length} rows of ${had}`); };
            if (body.children.length != (o.rows < 0 ? had - 1 : o.rows)) wrong('rows');
            if (o.click == 'update' && !body.children[10].textContent.startsWith(tenth.replace(/( !!!)*$/, ''))) wrong('update');
            if (o.click == 'update' && body.children[10].textContent == tenth) wrong('update');
            if (o.click == 'swaprows' && body.children[998].textContent != first) wrong('swap');
            if (o.row == 'a.lbl' && (!target.closest('tr').className.includes('danger') || document.querySelectorAll('.danger').length != 1)) wrong('select');
            if (o.rows > 0 && !/^\d+[a-z]+ [a-z]+ [a-z]+( !!!)*$/.test(body.lastElementChild.textContent)) wrong(body.lastElementChild.textContent);
        }
        return { times, calls };
    }, o);
    await page.close();
    if (troubles.length) throw new Error(`${app}: ${troubles[0]}`);
    return got;
}
// JavaScript's heap and WebAssembly's memory after 10,000 rows, as the browser counts them.
async function memory(app) {
    const page = await browser.newPage();
    await page.goto(origin + app);
    await page.waitForFunction('globalThis.ready || location.pathname != "/dx"');
    const size = await page.evaluate(async () => {
        document.getElementById('runlots').click();
        await new Promise(done => setTimeout(done, 300));
        gc();
        return (await performance.measureUserAgentSpecificMemory()).bytes;
    });
    await page.close();
    return size;
}

const median = list => [...list].sort((a, b) => a - b)[list.length >> 1], names = Object.keys(apps);
const results = {}, hostCalls = new Set();
for (const [name, o] of Object.entries(operations)) {
    const times = Object.fromEntries(names.map(app => [app, []]));
    for (let round = 0; round < +rounds; round++)
        for (const app of round % 2 ? [...names].reverse() : names) {
            const got = await measure(app, o);
            times[app].push(...got.times);
            got.calls.forEach(count => hostCalls.add(count));
        }
    results[name] = Object.fromEntries(names.map(app => [app, median(times[app])]));
    console.log(`${name.padEnd(18)} ${names.map(app => `${app} ${results[name][app].toFixed(2)} ms`).join('   ')}   ratio ${(results[name].dx / results[name].vanilla).toFixed(3)}`);
}
const mean = app => Math.exp(Object.values(results).reduce((sum, r) => sum + Math.log(r[app] / r.vanilla), 0) / Object.keys(results).length);
console.log(`geometric mean     ${names.map(app => `${app} ${mean(app).toFixed(3)}`).join('   ')}`);
console.log(`host calls a frame ${[...hostCalls].join(', ')}`);
const bytes = {};
for (const app of names) bytes[app] = await memory(app).catch(() => NaN);
console.log(`memory, 10,000 rows ${names.map(app => `${app} ${(bytes[app] / 1e6).toFixed(1)} MB`).join('   ')}`);
const version = browser.version();
writeFileSync(`${folder}/www.csv`, ['operation,' + names.join(','), ...Object.entries(results).map(([name, r]) => [name.replaceAll(',', ''), ...names.map(app => r[app].toFixed(3))].join(',')),
    ['geometric mean', ...names.map(app => mean(app).toFixed(3))].join(','), ['memory bytes', ...names.map(app => bytes[app])].join(',')].join('\n') + '\n');
console.log(`Chromium ${version}, Node ${process.version}`);
await browser.close();
server.close();
if ([...hostCalls].some(count => count != 1)) process.exit(1);
