// The nine operations of js-framework-benchmark in headless Chromium: layers/dx_page.h (bench/www/rows.c, examples/www/page_ops.js)
// compared with the same table by hand and by peers (bench/www/peers). dx: its tables are written by hand; compiled: examples/www/component.py
// makes them of bench/www/rows.html. CPU time of the page's main thread, from the click until the
// page's layout is up to date, without what other processes use. Painting is not in it: all do it alike.
// WWW_ONLY=WORD: only operations with that word. WWW_PEERS='NAME ...': these peers only.
// And the cache of examples/update: 100 KB written, read by a page that was just loaded, read again, ten written, ten read. Reading hashes.
// usage: node bench/bench_www.mjs FOLDER [ROUNDS]      FOLDER: has dx.wasm, compiled.wasm, update/ and peers/NAME.js; gets www.csv, www_cache.csv
//        node bench/bench_www.mjs FOLDER check [chromium|firefox]      each operation once, what it did, host calls, and the runtime's size: a test
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { cpus, loadavg, tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { browserOrSkip, startBrowser } from '../tests/ports/browsers.mjs';

const [folder, rounds = '6', asked] = process.argv.slice(2), browserName = browserOrSkip('rows', asked), check = rounds == 'check', here = new URL('./www/', import.meta.url);
const apps = { dx: new URL('ours.js', here), compiled: new URL('ours.js', here), vanilla: new URL('vanilla.js', here) };
const peers = { solid: 'solid-js', svelte: 'svelte', preact: 'preact', react: 'react' }; // and their packages
for (const name of (process.env.WWW_PEERS ?? Object.keys(peers).join(' ')).split(' ').filter(Boolean))
    if (!check && existsSync(`${folder}/peers/${name}.js`)) apps[name] = `${folder}/peers/${name}.js`;
const row = `<tr><td class="col-md-1"> </td><td class="col-md-4"><a class="lbl"> </a></td><td class="col-md-1"><a class="remove"><span class="remove glyphicon glyphicon-remove" aria-hidden="true"></span></a></td><td class="col-md-6"></td></tr>`;
const html = app => `<!doctype html><meta charset="utf-8"><title>${app}</title><link rel="icon" href="data:,">
<style>body { font: 14px sans-serif; margin: 20px } table { width: 100%; border-collapse: collapse } td { padding: 8px; border-top: 1px solid #ddd }
tr:nth-of-type(odd) { background: #f9f9f9 } .danger td { background: #f2dede } .col-md-1 { width: 8% } .col-md-4 { width: 33% }</style>
<p>${['run', 'runlots', 'add', 'update', 'clear', 'swaprows'].map(id => `<button id="${id}">${id}</button>`).join(' ')}</p>
<table><tbody id="tbody"></tbody></table><template id="itemTemplate">${row}</template><script type="module" src="/app/${app}.js"></script>`;

const server = createServer((ask, answer) => {
    const path = ask.url.slice(1), app = path.match(/^app\/(.*)\.js$/)?.[1];
    const files = { 'app/dx.wasm': `${folder}/dx.wasm`, 'app/compiled.wasm': `${folder}/compiled.wasm`, 'app/page_ops.js': new URL('../examples/www/page_ops.js', here.href.replace(/www\/$/, '')) };
    const update = path.match(/^update\/([\w-]+\.(js|wasm))$/)?.[1];
    const body = update ? readFileSync(`${folder}/update/${update}`) : apps[path] ? html(path) : app && apps[app] ? readFileSync(apps[app]) : files[path] ? readFileSync(files[path]) : null;
    const type = path.endsWith('.wasm') ? 'application/wasm' : path.endsWith('.js') ? 'text/javascript' : 'text/html';
    // Isolated, so that its clock ticks every 5 us.
    answer.writeHead(body === null ? 404 : 200, { 'Content-Type': type, 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' });
    answer.end(body ?? '');
});
await new Promise(done => server.listen(0, '127.0.0.1', done));
const origin = `http://127.0.0.1:${server.address().port}/`;
const browser = await startBrowser(browserName, { args: ['--js-flags=--expose-gc'] });

// What is done before, what is measured, what shows that it was done; `again` brings the page back.
const operations = {
    'create 1,000': { again: ['clear'], click: 'run', rows: 1000 },
    'create 10,000': { again: ['clear'], click: 'runlots', rows: 10000, warm: 2, times: 3 },
    'replace 1,000': { before: ['run'], click: 'run', rows: 1000 },
    'update every 10th': { before: ['run'], click: 'update', rows: 1000 },
    'select': { before: ['run'], row: 'a.lbl', rows: 1000 },
    'swap': { before: ['run'], click: 'swaprows', rows: 1000 },
    'remove': { before: ['run'], row: 'span', rows: -1 },
    'append 1,000': { again: ['clear', 'run'], click: 'add', rows: 2000 },
    'clear': { again: ['run'], click: 'clear', rows: 0 },
};
async function measure(app, o) {
    o = { warm: 4, times: 6, ...o, ...check && { warm: 0, times: 2 } };
    const page = await browser.newPage();
    const troubles = [];
    page.on('pageerror', error => troubles.push(error.message));
    await page.goto(origin + app);
    await page.waitForFunction('globalThis.ready');
    // Marks in a trace have the time of their thread.
    if (!check) await browser.startTracing(page, { categories: ['blink.user_timing'] });
    const calls = await page.evaluate(async o => {
        const body = document.getElementById('tbody'), press = id => document.getElementById(id).click();
        const frame = () => new Promise(done => requestAnimationFrame(() => setTimeout(done)));
        const calls = [];
        for (const id of o.before ?? []) press(id);
        for (let i = 0; i < o.warm + o.times; i++) {
            for (const id of o.again ?? []) press(id);
            await frame();
            await frame();
            globalThis.gc?.(); // Chromium's
            await frame();
            const target = o.row ? body.children[10 + i].querySelector(o.row) : document.getElementById(o.click);
            const had = body.children.length, flushes = globalThis.calls?.flushes, first = body.children[1]?.textContent, tenth = body.children[10]?.textContent;
            performance.mark('begin');
            target.click();
            for (let k = 0; k < 4; k++) await null; // peers update in microtasks after the event
            document.body.offsetHeight;
            performance.mark('end');
            if (globalThis.calls) calls.push(globalThis.calls.flushes - flushes);
            const wrong = why => { throw new Error(`${why}: ${body.children.length} rows of ${had}`); };
            if (body.children.length != (o.rows < 0 ? had - 1 : o.rows)) wrong('rows');
            if (o.click == 'update' && !body.children[10].textContent.startsWith(tenth.replace(/( !!!)*$/, ''))) wrong('update');
            if (o.click == 'update' && body.children[10].textContent == tenth) wrong('update');
            if (o.click == 'swaprows' && body.children[998].textContent != first) wrong('swap');
            if (o.row == 'a.lbl' && (!target.closest('tr').className.includes('danger') || document.querySelectorAll('.danger').length != 1)) wrong('select');
            if (o.rows > 0 && !/^\d+[a-z]+ [a-z]+ [a-z]+( !!!)*$/.test(body.lastElementChild.textContent)) wrong(body.lastElementChild.textContent);
        }
        return calls;
    }, o);
    const marks = check ? [] : JSON.parse(String(await browser.stopTracing())).traceEvents.filter(e => e.name == 'begin' || e.name == 'end').sort((a, b) => a.ts - b.ts);
    await page.close();
    if (troubles.length) throw new Error(`${app}: ${troubles[0]}`);
    if (!check && (marks.length != 2 * (o.warm + o.times) || marks.some((mark, i) => mark.name != (i % 2 ? 'end' : 'begin')))) throw new Error(`${app}: ${marks.length} marks`);
    const times = marks.flatMap((mark, i) => i % 2 ? [(mark.tts - marks[i - 1].tts) / 1000] : []);
    return { times: times.slice(o.warm), calls };
}
// JavaScript's heap and WebAssembly's memory after 10,000 rows, as the browser counts them.
async function memory(app) {
    const page = await browser.newPage();
    await page.goto(origin + app);
    await page.waitForFunction('globalThis.ready');
    const size = await page.evaluate(async () => {
        document.getElementById('runlots').click();
        await new Promise(done => setTimeout(done, 300));
        gc();
        return (await performance.measureUserAgentSpecificMemory()).bytes;
    });
    await page.close();
    return size;
}

// The milliseconds of each step, for a browser's IndexedDB or a directory in Node. Whatever is read has to be what was written.
const cacheSteps = ['write 100 KB', 'cold read', 'warm read', '10 writes', '10 reads'];
async function useCache({ module, directory, step, open = null }) {
    const { openCache, hashOf } = await import(module), cache = open ? await open(directory) : openCache({ name: directory });
    const bytesOf = i => Uint8Array.from({ length: 100000 }, (_, k) => k * (i + 3) >> 3), times = {};
    const write = async i => {
        const bytes = bytesOf(i), hash = await hashOf(bytes), began = performance.now();
        if (!await cache.put(`k${i}`, { bytes, hash })) throw new Error(`k${i} is not kept`);
        return performance.now() - began;
    };
    const read = async i => {
        const began = performance.now(), { entry } = await cache.get(`k${i}`), hash = entry && await hashOf(entry.bytes), took = performance.now() - began;
        if (hash != await hashOf(bytesOf(i))) throw new Error(`k${i} is not what was written`);
        return took;
    };
    const ten = async one => {
        let sum = 0;
        for (let i = 1; i <= 10; i++) sum += await one(i);
        return sum;
    };
    await hashOf(bytesOf(0)); // the module is compiled
    if (step == 'write') times['write 100 KB'] = await write(0);
    else for (const [name, run] of [['cold read', () => read(0)], ['warm read', () => read(0)], ['10 writes', () => ten(write)], ['10 reads', () => ten(read)]]) times[name] = await run();
    if (open) await cache.close();
    return times;
}
async function cacheInBrowser() {
    const page = await browser.newPage(), o = { module: '/update/dx-update.js', directory: 'bench' };
    await page.goto(origin + 'vanilla');
    const first = await page.evaluate(useCache, { ...o, step: 'write' });
    await page.reload();
    const rest = await page.evaluate(useCache, { ...o, step: 'rest' });
    await page.close();
    return { ...first, ...rest };
}
async function cacheInNode() {
    const directory = mkdtempSync(`${tmpdir()}/dx-bench-`), { openCacheIn } = await import(resolve(folder, 'update/node.js'));
    const o = { module: resolve(folder, 'update/dx-update.js'), directory, open: openCacheIn };
    const times = { ...await useCache({ ...o, step: 'write' }), ...await useCache({ ...o, step: 'rest' }) };
    rmSync(directory, { recursive: true });
    return times;
}

const median = list => [...list].sort((a, b) => a - b)[list.length >> 1], names = Object.keys(apps);

if (check) {
    let passed = 0, failed = 0;
    const attempt = async (name, test) => {
        try {
            console.log(`    ok   ${name}${await test() ?? ''}`);
            passed++;
        } catch (error) {
            console.log(`    FAIL ${name}: ${error.message}`);
            failed++;
        }
    };
    for (const app of names)
        for (const [name, o] of Object.entries(operations))
            await attempt(`df_1 do_5 ${browserName}: ${app}: ${name}`, async () => {
                const { calls } = await measure(app, o);
                if (calls.some(count => count != 1)) throw new Error(`${calls} host calls`);
                return calls.length ? ', one host call' : '';
            });
    await attempt(`do_3 do_6 ${browserName}: every operation, a ring that wraps, texts that are not ASCII`, async () => {
        const page = await browser.newPage();
        await page.goto(origin + 'vanilla');
        const got = await page.evaluate(async () => {
            const { pageOps } = await import('/app/page_ops.js'), root = document.createElement('main'), memory = new WebAssembly.Memory({ initial: 1 });
            const item = '<li><b data-slot=""></b><i><u data-slot=""></u></i><ul data-slot=""></ul></li>', ops = pageOps(root, { 5: item }, ['title', 'on', 'color']);
            const view = new DataView(memory.buffer), TEXT_AT = 1024, mask = 15;
            let write = 0xfffffff9, text = '';
            const run = list => { // [opcode, slot, name, node, b or text, c]
                const read = write;
                for (let [op, slot, name, node, b = 0, c = 0] of list) {
                    if (typeof b == 'string') [text, b, c] = [text + b, text.length, b.length];
                    [op | slot << 8 | name << 16, node, b, c].forEach((v, i) => view.setUint32((write & mask) * 16 + 4 * i, v, true));
                    write = write + 1 >>> 0;
                }
                const bytes = new TextEncoder().encode(text);
                new Uint8Array(memory.buffer, TEXT_AT).set(bytes);
                ops.flush(memory, 0, mask, read, write, TEXT_AT, bytes.length);
                text = '';
                return root.innerHTML;
            };
            const li = (b, u, ul = '', more = '') => `<li${more}><b>${b}</b><i><u>${u}</u></i><ul>${ul}</ul></li>`, wrong = [];
            const expect = (is, want) => is == want || wrong.push(`${is} is not ${want}`);
            expect(run([[1, 0, 5, 0, 1, 2], [2, 1, 0, 1, '\ufeffé€'], [2, 2, 0, 1, '😀x'], [2, 2, 0, 2, 'u']]), li('\ufeffé€', '😀x') + li('', 'u'));
            expect(run([[8, 0, 0, 2], [1, 0, 5, 0, 3, 1], [3, 0, 0, 3, '"<&'], [5, 0, 1, 3, 1], [6, 1, 2, 3, 'red']]),
                li('\ufeffé€', '😀x') + li('', '', '', ' title="&quot;&lt;&amp;" class="on"').replace('<b>', '<b style="color: red;">') + li('', 'u'));
            expect(run([[4, 0, 0, 3], [10, 0, 0, 3, 1], [7, 0, 0, 0, 2, 1], [1, 3, 5, 2, 3, 1], [2, 1, 0, 3, 'in']]), li('', 'u', li('in', '')) + li('\ufeffé€', '😀x'));
            expect(run([[7, 0, 0, 0, 2, 0], [9, 3, 0, 2], [10, 0, 0, 3, 1], [2, 1, 0, 2, '<b>']]), li('\ufeffé€', '😀x') + li('&lt;b&gt;', 'u'));
            expect(run([[9, 0, 0, 0], [10, 0, 0, 1, 2]]), '');
            expect(ops.of.filter(Boolean).length, 1);
            return wrong.join('; ');
        });
        await page.close();
        if (got) throw new Error(got);
    });
    for (const [where, run] of [[browserName, cacheInBrowser], ['node', cacheInNode]])
        await attempt(`ec_14 ${where}: 100 KB into the cache, cold, warm, ten times`, async () => {
            const times = await run();
            if (cacheSteps.some(step => !(times[step] >= 0))) throw new Error(JSON.stringify(times));
            return `: ${cacheSteps.map(step => `${step} ${times[step].toFixed(1)} ms`).join(', ')}`;
        });
    await attempt('the runtime with its glue is at most 20 KB gzipped, 50 KB raw', () => {
        const files = [readFileSync(`${folder}/dx.wasm`), readFileSync(new URL('../examples/www/page_ops.js', import.meta.url))];
        const raw = files.reduce((sum, f) => sum + f.length, 0), packed = files.reduce((sum, f) => sum + gzipSync(f, { level: 9 }).length, 0);
        if (packed > 20480 || raw > 51200) throw new Error(`${packed} gzipped, ${raw} raw`);
        return `: ${packed} gzipped, ${raw} raw`;
    });
    console.log(`rows: ${passed} passed, ${failed} failed, 0 skipped`);
    await browser.close();
    process.exit(failed ? 1 : 0);
}
const results = {}, hostCalls = new Set();
for (const [name, o] of Object.entries(operations)) {
    if (!name.includes(process.env.WWW_ONLY ?? '')) continue;
    const times = Object.fromEntries(names.map(app => [app, []]));
    for (let round = 0; round < +rounds; round++)
        for (const app of round % 2 ? [...names].reverse() : names) {
            const got = await measure(app, o);
            times[app].push(...got.times);
            got.calls.forEach(count => hostCalls.add(count));
        }
    results[name] = Object.fromEntries(names.map(app => [app, median(times[app])]));
    console.log(`${name.padEnd(18)} ${names.map(app => `${app} ${results[name][app].toFixed(2)} ms (${(results[name][app] / results[name].vanilla).toFixed(2)})`).join('   ')}`);
}
const mean = app => Math.exp(Object.values(results).reduce((sum, r) => sum + Math.log(r[app] / r.vanilla), 0) / Object.keys(results).length);
console.log(`geometric mean     ${names.map(app => `${app} ${mean(app).toFixed(3)}`).join('   ')}`);
console.log(`host calls a frame ${[...hostCalls].join(', ')}`);
const bytes = {};
for (const app of names) bytes[app] = await memory(app).catch(() => NaN);
console.log(`memory, 10,000 rows ${names.map(app => `${app} ${(bytes[app] / 1e6).toFixed(1)} MB`).join('   ')}`);
const versionOf = name => JSON.parse(readFileSync(`${folder}/peers/node_modules/${name}/package.json`)).version;
const versions = { dx: readFileSync(new URL('../layers/dx_page.h', import.meta.url), 'utf8').match(/dx_page.h - v(\S+)/)[1], vanilla: '' };
versions.compiled = versions.dx;
for (const app of names) versions[app] ??= peers[app] ? versionOf(peers[app]) : '';
const lines = [[`# CPU time of the main thread; medians of ${rounds} rounds; Chromium ${browser.version()}; Node ${process.version}; ${cpus()[0].model}; load ${loadavg()[0].toFixed(1)}`.replaceAll(',', '')], ['operation', ...names], ...Object.entries(results).map(([name, r]) => [`${name.replaceAll(',', '')} ms`, ...names.map(app => r[app].toFixed(3))]),
    ['geometric mean of vanilla', ...names.map(app => mean(app).toFixed(3))], ['bytes after 10000 rows', ...names.map(app => bytes[app])], ['version', ...names.map(app => versions[app])]];
console.log(names.map(app => `${app} ${versions[app]}`).join(', ') + `; Chromium ${browser.version()}, Node ${process.version}`);
writeFileSync(`${folder}/www.csv`, `${lines.map(line => line.join()).join('\n')}\n`);
const cached = { [browserName]: [], node: [] };
for (let round = 0; round < 5 * +rounds; round++) {
    cached[browserName].push(await cacheInBrowser());
    cached.node.push(await cacheInNode());
}
const cacheLines = cacheSteps.map(step => [`${step} ms`, ...Object.values(cached).map(list => median(list.map(times => times[step])).toFixed(2))].join());
console.log(cacheLines.join('\n'));
writeFileSync(`${folder}/www_cache.csv`, `# medians of ${5 * +rounds}; IndexedDB of ${browserName} ${browser.version()}; a directory in Node ${process.version} (fsync); ${cpus()[0].model}; load ${loadavg()[0].toFixed(1)}\nstep,IndexedDB,directory\n${cacheLines.join('\n')}\n`);
await browser.close();
server.close();
if ([...hostCalls].some(count => count != 1)) process.exit(1);
