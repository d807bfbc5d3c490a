// The rows of the dashboard (examples/www/feed.c) in a headless browser: taken over from a server's HTML, on the page's thread and in a
// worker with shared memory, from the example's server.
// usage: node feed.mjs FOLDER [chromium|firefox] [SCREENSHOT]      FOLDER: output of examples/www/build.sh
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { makeFeed, startServer } from '../../examples/www/server.mjs';
import { browserOrSkip, startBrowser } from './browsers.mjs';
import { attempt, expect, finish, skip } from './cases.mjs';

const [folder, asked, screenshot] = process.argv.slice(2), axe = 'build/axe/node_modules/axe-core/axe.min.js';
const name = browserOrSkip('feed', asked), isChromium = name == 'chromium';
const server = await startServer({ folder, everyMs: 0 });
// In front of it: /bare is the server's HTML without the dashboard's script, as the test runs the rows itself; /plain is not isolated.
const front = createServer((ask, answer) => {
    if (ask.url == '/plain') return answer.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html><table><tbody id="rows"></tbody></table>');
    const isBare = ask.url == '/bare';
    const inward = request({ host: '127.0.0.1', port: server.port, path: isBare ? '/' : ask.url, method: ask.method, headers: { ...ask.headers, connection: 'close' } }, async got => {
        const { connection, ...headers } = got.headers;
        answer.writeHead(got.statusCode, headers);
        if (!isBare) return got.pipe(answer);
        let text = '';
        for await (const part of got.setEncoding('utf8')) text += part;
        answer.end(text.replace(/<script[^>]*>[^]*?<\/script>/g, ''));
    });
    inward.on('error', () => answer.destroy());
    ask.pipe(inward);
});
await new Promise(done => front.listen(0, '127.0.0.1', done));
const origin = `http://127.0.0.1:${front.address().port}`, browser = await startBrowser(name), troubles = [];
async function open(path = '/bare') {
    const page = await browser.newPage();
    page.setDefaultTimeout(60000);
    page.on('pageerror', error => troubles.push(error.message));
    await page.goto(origin + path);
    return page;
}
// In the page: rows over the server's HTML; the first frame is shown, and what it did to the document is returned.
async function takeOver({ inWorker, spoil }) {
    const { feedRows } = await import('/feed.js'), root = document.getElementById('rows');
    if (spoil == 'text') root.children[500].children[1].textContent = '1.00';
    if (spoil == 'row') root.children[3].remove();
    if (spoil == 'class') root.children[7].children[2].className = 'change other';
    if (spoil == 'empty') root.replaceChildren();
    const before = [...root.querySelectorAll('*')], seen = [];
    const watch = new MutationObserver(list => seen.push(...list));
    watch.observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
    const rows = globalThis.rows = await feedRows(root, { inWorker });
    const bytes = new Uint8Array(await (await fetch(`/feed.bin@${root.dataset.version}`)).arrayBuffer());
    await rows.take(bytes);
    const end = Date.now() + 20000;
    while (!rows.frame() && Date.now() < end) await new Promise(requestAnimationFrame);
    seen.push(...watch.takeRecords());
    const after = [...root.querySelectorAll('*')];
    watch.disconnect();
    return { hydrated: rows.hydrated, changes: seen.length, same: before.length == after.length && before.every((e, i) => e == after[i]), elements: after.length,
        html: root.innerHTML, registered: rows.page.of.filter(Boolean).every(e => document.contains(e)), calls: rows.calls.flushes };
}
const native = () => spawnSync(`${folder}/feed`, { input: server.feed.bytes, encoding: 'utf8' }).stdout;
// Frames until one had operations, then the rows.
const next = page => page.evaluate(async () => {
    const end = Date.now() + 20000;
    let operations = 0;
    while (!(operations = rows.frame()) && Date.now() < end) await new Promise(requestAnimationFrame);
    return { operations, html: document.getElementById('rows').innerHTML, changes: [...document.querySelectorAll('#rows .change')].map(cell => parseFloat(cell.textContent)) };
});
const feedOf = page => page.evaluate(async () => rows.take(new Uint8Array(await (await fetch('/feed.bin', { cache: 'no-store' })).arrayBuffer())));

for (const inWorker of [false, true]) {
    const where = inWorker ? 'in a worker' : 'on the page\'s thread', page = await open();
    await attempt(`do_2 ${name}: ${where}: HTML of a server is taken over: the same nodes, nothing changed`, async () => {
        const r = await page.evaluate(takeOver, { inWorker });
        expect(r.hydrated === true && r.same && r.changes == 0, `hydrated ${r.hydrated}, same nodes ${r.same}, ${r.changes} changes`);
        expect(r.html == native() && r.registered && r.calls == 1 && r.elements == 6000, `${r.elements} elements, ${r.calls} calls`);
        return `${r.elements} elements, one host call`;
    });
    await attempt(`do_6 ${name}: ${where}: then only what has changed is touched`, async () => {
        server.feed.step(30);
        server.step();
        await page.evaluate(() => {
            globalThis.was = [...document.querySelectorAll('#rows *')];
            globalThis.touched = new Set();
            globalThis.watch = new MutationObserver(list => list.forEach(({ target }) => touched.add((target.nodeType == 3 ? target.parentNode : target).closest('td'))));
            watch.observe(document.getElementById('rows'), { subtree: true, childList: true, characterData: true, attributes: true });
        });
        await feedOf(page);
        const r = await next(page), { touched, same } = await page.evaluate(() => ({ touched: touched.size, same: was.every((e, i) => e == document.querySelectorAll('#rows *')[i]) }));
        expect(r.html == native(), 'other rows than a server makes');
        expect(same && touched > 30 && touched <= 80 * 3 && r.operations <= 80 * 5, `same ${same}, ${touched} cells, ${r.operations} operations`);
        return `${touched} cells, ${r.operations} operations`;
    });
    await attempt(`df_1 ${name}: ${where}: a click selects, a sort moves rows, a second one moves them back`, async () => {
        const before = (await page.evaluate(() => document.getElementById('rows').innerHTML));
        await page.evaluate(() => document.querySelectorAll('#rows button')[4].click());
        const chosen = await next(page);
        expect(chosen.operations == 1 && await page.evaluate(() => document.querySelectorAll('#rows tr')[4].className == 'selected'), `${chosen.operations} operations`);
        await page.evaluate(() => rows.event(2, 0));
        const sorted = await next(page), { changes } = sorted;
        expect(changes.every((c, i) => !i || changes[i - 1] >= c) && changes[0] > changes.at(-1), `not sorted: ${changes.slice(0, 5)}`);
        expect(await page.evaluate(() => document.querySelectorAll('.selected').length == 1), 'the selection is gone');
        await page.evaluate(() => rows.event(2, 0));
        await next(page);
        await page.evaluate(() => document.querySelectorAll('#rows button')[4].click());
        const after = (await next(page)).html.replace(' class=""', '');
        expect(after == before, 'not as before');
        return `${sorted.operations} operations to sort`;
    });
    await attempt(`${name}: ${where}: what is not a feed is refused, and the rows stay`, async () => {
        const said = await page.evaluate(async () => {
            const before = document.getElementById('rows').innerHTML, said = [], quote = (...numbers) => new Uint8Array(Uint32Array.from(numbers.flatMap(n => [n, 1, 1, 1])).buffer);
            for (const bytes of [new Uint8Array(7), new Uint8Array(70000), quote(0), quote(2, 2), quote(3, 1)]) said.push(await rows.take(bytes).then(() => 'taken', error => error.message));
            for (let i = 0; i < 5; i++) rows.frame();
            return [...said, document.getElementById('rows').innerHTML == before];
        });
        expect(said.join() == 'not a feed,not a feed,a quote without a number,quotes whose numbers do not ascend,quotes whose numbers do not ascend,true', said.join());
        return 'five of them';
    });
    await page.close();
    for (const spoil of ['text', 'row', 'class', 'empty'])
        await attempt(`${name}: ${where}: HTML with another ${spoil} is replaced`, async () => {
            const other = await open(), r = await other.evaluate(takeOver, { inWorker, spoil });
            await other.close();
            expect(r.hydrated === (spoil == 'empty' ? null : false) && r.html == native() && r.registered && r.changes > 0, `hydrated ${r.hydrated}, ${r.changes} changes`);
            return `${r.changes} changes`;
        });
}
for (const inWorker of [false, true])
    await attempt(`cm_5 ${name}: ${inWorker ? 'in a worker' : 'on the page\'s thread'}: rows that may not write the page are refused before any effect`, async () => {
        const page = await open(), r = await page.evaluate(async inWorker => {
            const { feedRows } = await import('/feed.js'), root = document.getElementById('rows'), before = root.innerHTML;
            const bytes = new Uint8Array(await (await fetch(`/feed.bin@${root.dataset.version}`)).arrayBuffer()), DOM_READ = 2;
            const rows = await feedRows(root, { inWorker, capabilities: DOM_READ }), said = await rows.take(bytes).then(() => 'taken', error => error.message);
            root.querySelector('button').click();
            let operations = 0;
            for (let i = 0; i < 5; i++) {
                await new Promise(requestAnimationFrame);
                operations += rows.frame();
            }
            rows.close();
            return { said, operations, flushes: rows.calls.flushes, same: root.innerHTML == before };
        }, inWorker);
        await page.close();
        expect(r.said == 'the page grants no DOM_WRITE' && r.operations == 0 && r.flushes == 0 && r.same, JSON.stringify(r));
        return r.said;
    });
await attempt(`cm_5 ${name}: a page without COOP and COEP is told that there is no shared memory`, async () => {
    const page = await browser.newPage();
    await page.goto(`${origin}/plain`);
    const said = await page.evaluate(async () => (await import('/feed.js')).feedRows(document.getElementById('rows'), { inWorker: true }).then(() => 'done', error => error.message));
    await page.close();
    expect(said.includes('COOP and COEP'), said);
    return said;
});
await attempt(`mo_6 ${name}: 1,000 frames of 1,000 updates keep nothing in WebAssembly's memory${isChromium ? ', nothing in JavaScript\'s heap' : ''}`, async () => {
    const FRAMES = 1000, ROWS = 1000, GROWTH_MAX = 200000; // a byte kept for each update would be 1,000,000
    const page = await open();
    await page.evaluate(takeOver, { inWorker: false });
    const devtools = isChromium ? await page.context().newCDPSession(page) : null;
    const run = frames => page.evaluate(async ({ frames, base }) => {
        const bytes = new Uint8Array(await (await fetch('/feed.bin', { cache: 'no-store' })).arrayBuffer()), view = new DataView(bytes.buffer);
        let operations = 0, longest = 0;
        const flushes = rows.calls.flushes, began = performance.now();
        for (let frame = 0; frame < frames; frame++) {
            for (let at = 0; at < bytes.length; at += 16) view.setInt32(at + 4, 1000 + (base + frame * 7 + at) % 90000, true);
            await rows.take(bytes);
            const begin = performance.now();
            operations += rows.frame();
            longest = Math.max(longest, performance.now() - begin);
        }
        return { operations, flushes: rows.calls.flushes - flushes, ms: (performance.now() - began) / frames, longest };
    }, { frames, base: frames });
    const used = async () => {
        if (!devtools) return 0;
        for (let i = 0; i < 3; i++) await devtools.send('HeapProfiler.collectGarbage');
        return (await devtools.send('Runtime.getHeapUsage')).usedSize;
    };
    const memory = () => page.evaluate(() => rows.memory.buffer.byteLength);
    await run(100); // compiled, caches filled
    const [heap, linear] = [await used(), await memory()];
    await devtools?.send('HeapProfiler.startSampling', { samplingInterval: 16384, includeObjectsCollectedByMajorGC: true, includeObjectsCollectedByMinorGC: true });
    const { operations, flushes, ms, longest } = await run(FRAMES);
    const sum = node => node.selfSize + node.children.reduce((all, child) => all + sum(child), 0);
    const passing = devtools ? sum((await devtools.send('HeapProfiler.stopSampling')).profile.head) : NaN;
    const growth = await used() - heap, grown = await memory() - linear;
    await page.close();
    expect(operations == FRAMES * ROWS && flushes == FRAMES, `${operations} operations, ${flushes} host calls`);
    expect(grown == 0 && growth < GROWTH_MAX, `WebAssembly grew by ${grown} bytes, JavaScript's heap by ${growth}`);
    const heapSaid = devtools ? `heap ${growth >= 0 ? '+' : ''}${growth} bytes; ${(passing / operations).toFixed(0)} bytes an update come and go; ` : '';
    return `${heapSaid}${ms.toFixed(2)} ms a frame, longest ${longest.toFixed(1)}`;
});
if (!isChromium) skip(`mo_6 ${name}: JavaScript's heap`, 'WebDriver BiDi does not say what it holds');
await attempt(`sd_4 ${name}: start and stop any number of times: one loop, statistics of sixty frames`, async () => {
    const page = await open(), r = await page.evaluate(async () => {
        const { frameLoop } = await import('/frames.js'), stats = [];
        let frames = 0, clock = 0;
        const loop = frameLoop(() => (frames++, clock += 1.5, 7), { onStats: s => stats.push(s), clock: () => clock });
        const shown = count => new Promise(done => { const step = () => count-- ? requestAnimationFrame(step) : done(); step(); });
        for (let i = 0; i < 5; i++) loop.start();
        await shown(10);
        const ten = frames;
        for (let i = 0; i < 5; i++) loop.stop();
        const stopped = frames;
        await shown(5);
        const still = frames;
        loop.start();
        while (stats.length < 2) await shown(1);
        loop.stop();
        return { ten, stopped: still - stopped, stats, running: loop.running };
    });
    await page.close();
    expect(r.ten >= 9 && r.ten <= 12 && r.stopped == 0 && !r.running, JSON.stringify(r));
    for (const s of r.stats) expect(s.frames == 60 && s.executed == 420 && s.usedMs == 1.5 && s.usedMaxMs == 1.5 && s.remainingMs == 2.5, JSON.stringify(s));
    return `${r.stats.length} times sixty`;
});
await attempt(`do_2 ${name}: a template is parsed once, whatever is cloned`, async () => {
    const page = await open(), r = await page.evaluate(async () => {
        const { pageOps } = await import('/page_ops.js'), root = document.createElement('ul'), set = Object.getOwnPropertyDescriptor(Element.prototype, 'innerHTML').set;
        let parsed = 0;
        Object.defineProperty(Element.prototype, 'innerHTML', { set(text) { parsed++; set.call(this, text); }, configurable: true });
        const ops = pageOps(root, { 1: '<li><b data-slot=""></b></li>' }, []), memory = new WebAssembly.Memory({ initial: 1 }), words = new Uint32Array(memory.buffer);
        for (let i = 0; i < 500; i++) {
            words.set([1 | 1 << 16, 0, 1 + 20 * i, 20]);
            ops.flush(memory, 0, 0, i, i + 1, 4096, 0);
        }
        return { parsed, rows: root.children.length };
    });
    await page.close();
    expect(r.parsed == 1 && r.rows == 10000, JSON.stringify(r));
    return `${r.rows} clones`;
});
await attempt(`${name}: what the compiler of templates accepts is the same tree in the browser`, async () => {
    const made = JSON.parse(spawnSync('tests/ports/component.py', ['--markups', '500'], { maxBuffer: 1 << 26, timeout: 60000 }).stdout), page = await open();
    const wrong = await page.evaluate(made => made.filter(([html, elements]) => {
        const holder = document.createElement('template');
        holder.innerHTML = html;
        const depth = at => at.parentNode == holder.content ? 0 : 1 + depth(at.parentNode);
        const is = [...holder.content.querySelectorAll('*')].map(e => [e.localName, depth(e)]);
        return JSON.stringify(is) != JSON.stringify(elements);
    }).map(([html]) => html), made);
    await page.close();
    expect(made.length == 500 && made.filter(([, elements]) => elements.length > 4).length > 100, 'few templates, or small ones');
    expect(wrong.length == 0, `${wrong.length}: ${wrong[0]}`);
    return `${made.length} templates, ${made.reduce((sum, [, elements]) => sum + elements.length, 0)} elements`;
});
await attempt(`do_2 ${name}: a slot with text in its template keeps it, however rows are cloned`, async () => {
    const page = await open(), html = await page.evaluate(async () => {
        const { pageOps } = await import('/page_ops.js'), root = document.createElement('ul'), memory = new WebAssembly.Memory({ initial: 1 });
        const ops = pageOps(root, { 1: '<li><a data-slot="">more</a><b data-slot=""></b></li>' }, ['title']), words = new Uint32Array(memory.buffer);
        const texts = new TextEncoder().encode('xyz');
        new Uint8Array(memory.buffer).set(texts, 4096);
        const CLONE = 1, TEXT = 2, ATTR = 3, run = (...list) => {
            words.set(list.flat());
            ops.flush(memory, 0, 15, 0, list.length, 4096, 3);
        };
        run([CLONE | 1 << 16, 0, 1, 2], [ATTR | 1 << 8, 1, 0, 1], [TEXT | 2 << 8, 1, 1, 1]);
        run([CLONE | 1 << 16, 0, 3, 1], [TEXT | 1 << 8, 3, 2, 1]);
        run([CLONE | 1 << 16, 0, 4, 1]);
        return root.innerHTML;
    });
    await page.close();
    const li = (a, b, more = '') => `<li><a${more}>${a}</a><b>${b}</b></li>`;
    expect(html == li('more', 'y', ' title="x"') + li('more', '') + li('z', '') + li('more', ''), html);
});
await attempt(`${name}: the server publishes for its own page only`, async () => {
    const post = headers => fetch(`${origin}/publish`, { method: 'POST', headers }).then(r => r.status);
    const page = await open(), own = await page.evaluate(() => fetch('/publish', { method: 'POST' }).then(r => r.text()));
    await page.close();
    const statuses = [await post({}), await post({ Origin: 'http://elsewhere.example' }), await fetch(`${origin}/publish`).then(r => r.status)];
    expect(own == 'version 2\n' && statuses.join() == '403,403,405', `${own} ${statuses}`);
    return statuses.join();
});
// ---- the dashboard
const dashboard = async (options = {}, path = '/', from = browser) => {
    const page = await from.newPage({ viewport: { width: 1200, height: 860 }, ...options });
    page.setDefaultTimeout(60000);
    page.on('pageerror', error => troubles.push(error.message));
    page.on('console', message => message.type() == 'error' && troubles.push(message.text()));
    await page.goto(origin + path);
    await page.waitForFunction(() => document.body.dataset.hydrated && document.getElementById('state').textContent.startsWith('Updated'));
    return page;
};
const textOf = (page, id) => page.evaluate(id => document.getElementById(id).textContent, id);
for (const path of ['/', '/?worker'])
    await attempt(`${name}: dashboard ${path}: rows taken over; the feed's next version and the application's arrive as patches while one watches`, async () => {
        const page = await dashboard({}, path);
        expect(await page.evaluate(() => document.body.dataset.hydrated) == 'true', 'the rows were made again');
        await page.waitForFunction(() => / [kM]B travelled/.test(document.getElementById('how').textContent) && /[kM]B travelled/.test(document.getElementById('travelled').textContent));
        const kBOf = said => said && said[1] * { kB: 1, MB: 1000 }[said[2]];
        const kB = kBOf((await textOf(page, 'how')).match(/^It came whole: ([\d.]+) (kB|MB) travelled/)), whole = await textOf(page, 'travelled');
        const allKB = kBOf(whole.match(/^([\d.]+) (kB|MB) travelled/));
        expect(kB > 50 && kB < allKB, `${kB} kB for the application, for all '${whole}'`);
        const version = await page.evaluate(() => document.body.dataset.version);
        await page.evaluate(() => void (globalThis.row = document.querySelectorAll('#rows tr')[998]));
        await page.click('#publish');
        await page.waitForFunction(version => document.body.dataset.version == 3 - version, version);
        const said = await textOf(page, 'how'), patch = +said.match(/^A patch of ([\d,]+) bytes/)?.[1].replace(',', '');
        expect(patch > 100 && patch < 2000, said);
        server.step();
        await page.waitForFunction(want => document.getElementById('rows').innerHTML == want, native());
        await page.waitForFunction(() => +document.getElementById('hits').textContent > 2); // the meters follow the rows
        const state = await textOf(page, 'state'), saved = await textOf(page, 'saved'), hits = +await textOf(page, 'hits');
        expect(await page.evaluate(() => row == document.querySelectorAll('#rows tr')[998]), 'another row');
        expect(/^[\d.]+ (kB|MB)$/.test(saved) && hits > 2, `saved ${saved}, ${hits} hits`);
        await page.waitForFunction(() => document.getElementById('frame').textContent.endsWith(' ms'));
        const frame = await textOf(page, 'frame');
        await page.close();
        return `${patch} bytes for the application; ${state}; ${frame} a frame`;
    });
await attempt(`${name}: dashboard: everything by keyboard`, async () => {
    const page = await dashboard(), active = () => page.evaluate(() => document.activeElement.id || document.activeElement.className);
    const order = [];
    for (let i = 0; i < 5; i++) {
        await page.keyboard.press('Tab');
        order.push(await active());
        if (order.at(-1) == 'sort') {
            await page.keyboard.press('Space');
            await page.waitForFunction(() => document.getElementById('sort').ariaPressed == 'true');
        }
    }
    expect(order.join() == 'publish,sort,pause,scroll,name', order.join());
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.querySelector('#rows tr').className == 'selected');
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    await page.close();
    expect(outline == 'solid', `the focus is ${outline}`);
    return order.join(', ');
});
for (const [look, options] of [['light', {}], ['dark', {}], ['phone', { viewport: { width: 360, height: 740 } }]]) {
    if (!existsSync(axe)) {
        skip(`${name}: dashboard, ${look}`, 'axe-core is not there (make deps-all)');
        continue;
    }
    await attempt(`${name}: dashboard, ${look}: axe-core finds nothing, and nothing is wider than the page`, async () => {
        const own = look == 'dark' ? await startBrowser(name, { dark: true }) : browser, page = await dashboard(options, '/', own);
        const isDark = await page.evaluate(() => matchMedia('(prefers-color-scheme: dark)').matches);
        await page.evaluate(readFileSync(axe, 'utf8'));
        const { faults, rules } = await page.evaluate(async () => {
            const { violations, passes } = await axe.run({ exclude: ['#rows tr:nth-child(n + 40)'] }); // the other rows are like these
            return { faults: violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`), rules: passes.length };
        });
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        if (screenshot) await page.screenshot({ path: screenshot.replace(/(\.\w+)$/, `-${look}$1`) });
        await page.close();
        if (own != browser) await own.close();
        expect(isDark == (look == 'dark'), 'another scheme of colours');
        expect(faults.length == 0 && rules > 15 && wide <= 0, `${faults.join('; ')} ${rules} rules, ${wide} too wide`);
        return `${rules} rules`;
    });
}
await attempt(`${name}: no page had an error`, async () => {
    expect(troubles.length == 0, troubles.join('; '));
    return 'none';
});
await browser.close();
front.close();
front.closeAllConnections();
await server.stop();
finish('feed');
