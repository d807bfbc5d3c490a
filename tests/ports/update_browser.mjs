// The browsers' part of update.mjs: the same cases in headless Chromium or Firefox, its quota, its restart, and the service worker.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { startFirefox } from './firefox.mjs';
const { chromium } = createRequire(import.meta.url)('../../build/playwright/node_modules/playwright-core');

// Runs in the page: one update, or a change of the cache before it.
async function inPage({ key = '/app', forget, none, corrupt, chunks, ...o }) {
    const { update, openCache } = await import('/dx-update.js');
    window.cache ??= openCache();
    if (corrupt) { // by hand, in IndexedDB
        const db = await new Promise(yes => indexedDB.open('dx-update').onsuccess = event => yes(event.target.result));
        const transaction = db.transaction(['meta', 'body', 'state'], 'readwrite'), name = `${location.origin}/app`;
        const [meta, body, state] = ['meta', 'body', 'state'].map(part => transaction.objectStore(part));
        const change = (store, key, how) => store.get(key).onsuccess = ({ target: { result } }) => store.put(how(result), ...(store === meta ? [] : [key]));
        body.get(name).onsuccess = ({ target: { result } }) => {
            result[777] ^= 16;
            if (corrupt == 'body') body.put(result, name);
            if (corrupt == 'short') body.put(result.slice(0, 500), name);
            if (corrupt == 'gone') body.delete(name);
        };
        const fields = {
            meta: { used: 'never' }, etag: { etag: '"a\nb"' }, headers: { headers: { 'bad name': 'x' } }, cost: { cost: 1e15 }, time: { time: Date.now() + 1e9 },
        };
        if (fields[corrupt]) change(meta, name, record => ({ ...record, ...fields[corrupt] }));
        if (['bytes', 'entries', 'used'].includes(corrupt)) change(state, 'state', counts => ({ ...counts, [corrupt]: Number.MAX_SAFE_INTEGER }));
        if (corrupt == 'sequences') change(state, 'state', counts => ({ ...counts, sequences: counts.sequences.map(([name]) => [name, 'many']) }));
        if (corrupt == 'state') state.delete('state');
        await new Promise(yes => transaction.oncomplete = yes);
        db.close();
    }
    if (forget) await cache.clear();
    if (none) return { stats: await cache.stats(), keys: (await cache.list()).map(({ key }) => key) };
    const types = [];
    try {
        const onChunk = chunks && (({ type }) => types.push(type));
        const { how, travelled, hash, kept, error, cacheError } = await update(key, { cache, onChunk, ...o });
        return { how, travelled, hash, kept, error: error?.code, cacheError: cacheError?.message, types };
    } catch (error) {
        if (!error.code) throw error;
        return { error: error.code, message: error.message, have: !!error.have };
    }
}

// name: chromium or firefox
export default async function inBrowser(name, { attempt, expect, updates, signatures, compareRules, options, origin, line, usual, setPage, root, setApp, hashOf, versions }) {
    const chrome = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(path => spawnSync(path, ['--version']).status == 0);
    const profile = `${root}/profile-${name}`, isChromium = name == 'chromium';
    const startChromium = () => chromium.launchPersistentContext(profile, { executablePath: chrome, headless: true, timeout: 300000,
        args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-extensions', '--no-first-run', '--mute-audio', '--disable-background-networking', '--disable-sync'] });
    const start = () => isChromium ? startChromium() : startFirefox(profile);
    let browser = await start(), page = browser.pages()[0] ?? await browser.newPage();
    const troubles = [];
    const ready = async () => {
        usual();
        page.setDefaultTimeout(120000);
        page.on('pageerror', error => troubles.push(error.message));
        await page.goto(`${origin}/index.html`);
    };
    await ready();
    const at = o => page.evaluate(inPage, o);

    for (const drop of [false, true])
        await attempt(`${name}: cache in IndexedDB${drop ? ', expired ones dropped' : ''}: TTL, LRU, quota and counts are those of dx_cache.h`, () =>
            compareRules(300, drop, steps => page.evaluate(async ({ steps, options, name }) => {
                const { runSteps } = await import('/steps.js'), { openCache } = await import('/dx-update.js');
                return runSteps(now => openCache({ ...options, now, name }), steps);
            }, { steps, options: options(drop), name: `rules-${drop}` })));
    await updates(name, at);
    await signatures(name, at);

    await attempt(`${name}: two tabs share the entries and the counts`, async () => {
        usual();
        await at({});
        const other = await browser.newPage();
        await other.goto(`${origin}/index.html`);
        const before = (await at({ none: true })).stats;
        const [a, b] = await Promise.all([at({ key: '/app@1' }), other.evaluate(inPage, { key: '/app@2' })]);
        const { stats, keys } = await other.evaluate(inPage, { none: true });
        await other.close();
        expect(a.kept && b.kept && stats.puts == before.puts + 2 && keys.some(key => key.endsWith('@1')) && keys.some(key => key.endsWith('@2')), `${JSON.stringify(stats)} ${keys}`);
        return `${stats.entries} entries`;
    });
    await attempt(`${name}: the entries outlive the browser`, async () => {
        const before = (await at({ none: true })).stats;
        await browser.close();
        browser = await start();
        page = browser.pages()[0] ?? await browser.newPage();
        await ready();
        const { stats } = await at({ none: true }), r = await at({});
        expect(stats.entries == before.entries && stats.puts == before.puts && r.how == 'unchanged' && line.travelled == 0, `${JSON.stringify(stats)} ${r.how}`);
        return `${stats.entries} entries, then 304`;
    });
    if (isChromium) await attempt(`${name}: a quota of the browser that is exceeded evicts, and no update fails`, async () => {
        // Storage buckets have quotas that the browser enforces; its own override for tests does not reach IndexedDB.
        const { kept, stats, refused, order, full } = await page.evaluate(async () => {
            const { openCache, update } = await import('/dx-update.js'), { indexedDB } = await navigator.storageBuckets.open('small', { quota: 6000000 });
            const cache = openCache({ indexedDB }), bytes = size => {
                const random = new Uint8Array(size);
                for (let i = 0; i < size; i += 65536) crypto.getRandomValues(random.subarray(i, i + 65536));
                return random;
            };
            let kept = 0;
            for (let i = 0; i < 14; i++) kept += await cache.put(`k${i}`, { bytes: bytes(1000000), hash: 'x' });
            const order = (await cache.list()).map(({ key }) => key), stats = await cache.stats();
            const full = await update('/app', { cache });
            return { kept, stats, order, refused: !await cache.put('all', { bytes: bytes(20000000), hash: 'x' }), full: { how: full.how, kept: full.kept } };
        });
        expect(stats.evicted > 0 && kept == 14, `kept ${kept}: ${JSON.stringify(stats)}`);
        expect(order.at(-1) == 'k13' && order.every((key, i) => i == 0 || +key.slice(1) == +order[i - 1].slice(1) + 1), `order ${order}`);
        expect(full.how == 'full' && full.kept && refused, `an update ${full.how} ${full.kept}, more than there is ${refused}`);
        return `${kept} of 14 MB kept in turn in 6, ${stats.evicted} evicted`;
    });
    await attempt(`${name}: without IndexedDB everything travels, nothing fails`, async () => {
        const blind = await browser.newPage();
        await blind.addInitScript(() => indexedDB.open = () => {
            throw new DOMException('denied', 'SecurityError');
        });
        await blind.goto(`${origin}/index.html`);
        const r = await blind.evaluate(async () => {
            const { update } = await import('/dx-update.js'), { how, kept, cacheError } = await update('/app');
            return { how, kept, error: cacheError?.name };
        });
        await blind.close();
        expect(r.how == 'full' && !r.kept && r.error == 'SecurityError', JSON.stringify(r));
        return r.error;
    });

    await attempt(`${name}: another tab that holds the database does not hold an update longer than totalMs`, async () => {
        usual();
        await at({});
        const other = await browser.newPage();
        await other.goto(`${origin}/index.html`);
        await other.evaluate(async () => {
            const db = await new Promise(yes => indexedDB.open('dx-update').onsuccess = event => yes(event.target.result));
            const meta = db.transaction(['meta', 'body', 'state'], 'readwrite').objectStore('meta');
            window.held = true;
            const hold = () => meta.get('x').onsuccess = () => window.held && hold();
            await new Promise(yes => meta.get('x').onsuccess = () => (hold(), yes()));
        });
        const [r, took] = await page.evaluate(async () => {
            const { update } = await import('/dx-update.js'), start = performance.now();
            const code = await update('/app', { cache, totalMs: 1500, idleMs: 300 }).then(({ how }) => how, error => error.message);
            return [code, performance.now() - start];
        });
        await other.evaluate(() => window.held = false);
        await other.close();
        expect(r.includes('1500 ms') && took >= 1400 && took < 20000, `${r} after ${took} ms`);
        expect((await at({})).how == 'unchanged', 'nothing afterwards');
        return `${Math.round(took)} ms`;
    });
    await attempt(`${name}: a page of an allowed origin gets 304 and patches across origins, another one nothing`, async () => {
        usual();
        setApp(1);
        const far = origin.replace('127.0.0.1', 'localhost'), key = `${far}/app`; // another name is another origin
        const first = await at({ key });
        const none = await at({ key });
        setApp(2);
        const patch = await at({ key });
        expect(first.how == 'full' && none.how == 'unchanged' && patch.how == 'patch' && patch.hash == await hashOf(versions[1]), `${first.how} ${none.how} ${patch.how} ${patch.error}`);
        expect(line.preflights > 0, 'the browser did not ask');
        const other = await browser.newPage();
        await other.goto(`${far}/index.html`);
        const r = await other.evaluate(inPage, { key: `${origin}/app` });
        await other.close();
        expect(r.error == 'network' && !r.how, `${r.how} ${r.error}`);
        return `${patch.travelled} bytes, ${line.preflights} preflights`;
    });

    // ---- the service worker
    const visit = async (path = '/page.html') => {
        line.travelled = 0;
        await page.goto(`${origin}${path}`);
        await page.waitForFunction(() => document.body.dataset.text);
        return page.evaluate(async () => {
            const { headers } = await fetch('page.js');
            return { title: document.title, text: document.body.dataset.text, said: headers.get('X-Dx-Update'), type: headers.get('Content-Type') };
        });
    };
    await attempt(`${name}: service worker: any site gets patches with one line`, async () => {
        usual();
        setPage('one'); // the browser before this one left the other
        await page.evaluate(() => navigator.serviceWorker.register('worker.js', { type: 'module' }));
        await page.evaluate(() => navigator.serviceWorker.ready);
        await page.waitForFunction(() => navigator.serviceWorker.controller);
        const first = await visit();
        expect(first.text == 'one' && first.said?.startsWith('unchanged'), JSON.stringify(first));
        setPage('two');
        const r = await page.evaluate(async () => {
            const response = await fetch('page.js');
            return [response.headers.get('X-Dx-Update'), (await response.text()).slice(0, 36)];
        });
        const travelled = +r[0].match(/^patch; travelled=(\d+); size=200\d\d$/)?.[1];
        expect(travelled > 0 && travelled < 400 && r[1].includes('two'), r.join());
        const second = await visit();
        expect(second.title == 'two' && second.text == 'two' && second.type == first.type && second.type.includes('javascript'), JSON.stringify(second));
        return `${travelled} bytes for page.js`;
    });
    await attempt(`${name}: service worker: requests with headers of their own, events and no credentials go by as they are`, async () => {
        usual();
        const said = {}, kinds = {
            authorization: { headers: { Authorization: 'Bearer secret' } }, 'x-tenant': { headers: { 'X-Tenant': '7' } }, accept: { headers: { Accept: 'application/json' } },
            'accept-language': { headers: { 'Accept-Language': 'tlh' } }, 'cache-control': { headers: { 'Cache-Control': 'max-age=9' } }, constructor: { headers: { constructor: 'x' } },
            range: { headers: { Range: 'bytes=0-1' } }, omit: { credentials: 'omit' },
        };
        for (const kind of ['plain', ...Object.keys(kinds)])
            line.instead[`/echo?${kind}`] = (q, a) => {
                said[kind] = q.headers;
                a.writeHead(200, { 'Content-Type': 'text/plain' }).end(kind);
            };
        line.instead['/events'] = (q, a) => a.writeHead(200, { 'Content-Type': 'text/event-stream' }).write('data: now\n\n');
        line.instead['/image'] = (q, a) => {
            said.image = q.headers;
            a.writeHead(404).end();
        };
        const got = await page.evaluate(async kinds => {
            document.cookie = 'sid=1';
            const got = {};
            for (const [kind, o] of Object.entries({ plain: {}, ...kinds })) got[kind] = (await fetch(`/echo?${kind}`, o)).headers.get('X-Dx-Update');
            got.events = await new Promise(yes => {
                const events = new EventSource('/events');
                events.onmessage = ({ data }) => yes(data, events.close());
                setTimeout(() => yes('nothing in 20 s', events.close()), 20000);
            });
            await new Promise(yes => Object.assign(new Image(), { src: '/image', onerror: yes }));
            document.cookie = 'sid=1; max-age=0';
            return got;
        }, kinds);
        expect(got.plain?.startsWith('full') && said.plain.cookie == 'sid=1', `plain: ${got.plain} ${said.plain.cookie}`);
        for (const [kind, { headers = {} }] of Object.entries(kinds)) {
            expect(got[kind] === null, `${kind}: ${got[kind]}`);
            for (const [name, value] of Object.entries(headers)) expect(said[kind][name.toLowerCase()] == value, `${kind}: ${JSON.stringify(said[kind])}`);
        }
        expect(said.omit.cookie === undefined, `omit: ${said.omit.cookie}`);
        expect(got.events == 'now', `events: ${got.events}`);
        expect(said.image.accept.startsWith('image/'), `the Accept of an image: ${said.image.accept}`);
        return `${Object.keys(kinds).length} kinds, and events`;
    });
    await attempt(`${name}: service worker: a server that is ill is known to fetch(), and a page starts with what is kept`, async () => {
        usual();
        line.instead['/poll'] = [200, {}, 'up'];
        const poll = () => page.evaluate(async () => {
            const response = await fetch('/poll');
            return `${response.status} ${await response.text()} ${response.headers.get('X-Dx-Update')?.split(';')[0]}`;
        });
        const up = await poll();
        await visit();
        line.instead['/poll'] = line.instead['/page.html'] = line.instead['/page.js'] = [503, { 'Retry-After': '9' }, 'down'];
        const down = await poll();
        await page.goto(`${origin}/page.html`);
        await page.waitForFunction(() => document.body.dataset.text);
        line.away = true;
        const away = await poll();
        expect(up == '200 up full' && down == '503 down undefined' && away == '200 up offline', `${up}; ${down}; ${away}`);
        return `${down.slice(0, 8)}; ${away}`;
    });
    await attempt(`${name}: service worker: offline, after the worker was stopped, the site is there; 404 and other requests go by`, async () => {
        usual();
        const missing = await page.evaluate(async () => (await fetch('/missing')).status);
        const ranged = await page.evaluate(async () => (await fetch('/page.js', { headers: { Range: 'bytes=0-3' } })).status);
        const posted = await page.evaluate(async () => (await fetch('/page.js', { method: 'POST', body: 'x' })).status);
        expect(missing == 404 && ranged == 206 && posted == 405, `${missing} ${ranged} ${posted}`);
        if (isChromium) {
            const session = await browser.newCDPSession(page);
            await session.send('ServiceWorker.enable');
            await session.send('ServiceWorker.stopAllWorkers');
        } else { // stopped with its browser
            await browser.close();
            browser = await start();
            page = browser.pages()[0] ?? await browser.newPage();
        }
        line.away = true;
        const r = await visit();
        const gone = await page.evaluate(() => fetch('/never-seen').then(() => 'answered', error => error.name));
        usual();
        expect(r.title == 'two' && r.text == 'two' && r.said.startsWith('offline') && gone == 'TypeError', `${JSON.stringify(r)} ${gone}`);
        return r.said;
    });
    await attempt(`${name}: no page had an error`, async () => {
        expect(troubles.length == 0, troubles.join('; '));
        return 'none';
    });
    await browser.close();
}
