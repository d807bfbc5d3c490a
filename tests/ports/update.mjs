// examples/update, the update module, in Node, headless Chromium and Firefox, served by dxup through a line that cuts, delays and damages.
// usage: node update.mjs FOLDER [node|chromium|firefox]      FOLDER: output of examples/update/build.sh
import { execFileSync, fork, spawn, spawnSync } from 'node:child_process';
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { firefoxPath } from './firefox.mjs';
import { runSteps } from './update_steps.js';
import { attempt, expect, finish, skip } from './cases.mjs';

const [folder, only] = process.argv.slice(2), root = mkdtempSync(`${tmpdir()}/dx-update-`), store = `${root}/store`;
const { update, openCache, hashOf, memoryStore } = await import(resolve(folder, 'dx-update.js'));
const { openCacheIn } = await import(resolve(folder, 'node.js'));
const seed = +(process.env.DX_TEST_SEED ?? 1);
let state = seed;
const random = n => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) % n;
async function refused(code, promise) {
    const error = await promise.then(r => ({ code: `nothing, it was ${r.how}` }), error => error);
    expect(error.code == code, `refused with ${error.code} (${error.message}), not ${code}`);
    return error;
}

// ---- the server, and the line to it
const versions = [1, 2].map(n => { // 120 KB of chunk stream, one percent of which differs
    const chunk = (type, body) => Buffer.concat([Buffer.from([type]), Buffer.from(Uint32Array.of(body.length).buffer), body]);
    const header = Buffer.alloc(64), body = Buffer.alloc(120000);
    header.write('DXST');
    header[4] = 1;
    for (let i = 0, x = 7; i < body.length; i++) body[i] = (x = (Math.imul(x, 1103515245) + 12345) >>> 0) >>> 24;
    if (n == 2) body.fill(n, 50000, 51200);
    return Buffer.concat([chunk(1, header), chunk(2, Buffer.from('<p>')), chunk(3, Buffer.from([n])), chunk(4, body), chunk(255, Buffer.alloc(0))]);
});
const publish = (name, bytes) => {
    writeFileSync(`${root}/file`, bytes);
    execFileSync('build/dxup', ['publish', store, name, `${root}/file`, '--quiet']);
};
publish('app', versions[0]);
const setPage = text => {
    publish('page.js', `document.body.dataset.text = '${text}'; // ${'x'.repeat(20000)}`);
    publish('page.html', `<!doctype html><title>${text}</title><body><script src="page.js"></script>`);
};
setPage('one');
publish('index.html', '<!doctype html><title>test</title>');
for (const name of readdirSync(folder)) if (/\.(js|wasm)$/.test(name)) publish(name, readFileSync(`${folder}/${name}`));
publish('steps.js', readFileSync('tests/ports/update_steps.js'));
let serverPort = 0;
// What the line does to answers for /app: cutAt and hangAt bytes, damage of a status, instead of what the server says: { path: [status, headers, body] or a function }.
const line = { asked: [], travelled: 0 };
const usual = () => Object.assign(line, { asked: [], preflights: 0, travelled: 0, cutAt: null, hangAt: null, damage: null, away: false, instead: {}, drip: false });
const between = createServer((q, a) => {
    if (line.away) return q.socket.destroy();
    if (q.method == 'OPTIONS') line.preflights++;
    else line.asked.push(`${q.url}${q.headers['a-im'] ? ' A-IM' : ''}`);
    if (typeof line.instead[q.url] == 'function') return line.instead[q.url](q, a);
    const [status, headers, body] = line.instead[q.url] ?? [];
    if (status) return typeof body == 'function' ? body(a.writeHead(status, headers), q) : a.writeHead(status, headers).end(body);
    const ask = request({ port: serverPort, host: '127.0.0.1', path: q.url, method: q.method, headers: { ...q.headers, connection: 'close' } }, async answer => {
        const { connection, ...rest } = answer.headers;
        a.writeHead(answer.statusCode, rest);
        let at = 0;
        for await (const part of answer) {
            if (!q.url.startsWith('/app')) {
                a.write(part);
                continue;
            }
            const room = Math.min(line.cutAt ?? Infinity, line.hangAt ?? Infinity) - at;
            if (line.damage == answer.statusCode && at == 0) part[part.length >> 1] ^= 4;
            line.travelled += Math.min(part.length, room);
            a.write(part.subarray(0, room));
            at += part.length;
            if (part.length >= room) {
                if (line.cutAt !== null) setTimeout(() => q.socket.destroy(), 20);
                return answer.destroy();
            }
        }
        a.end();
    });
    ask.on('error', () => q.socket.destroy());
    q.pipe(ask);
});
await new Promise(done => between.listen(0, '127.0.0.1', done));
const origin = `http://127.0.0.1:${between.address().port}`, app = `${origin}/app`;
const server = spawn('build/dxup', ['serve', store, '--listen', '127.0.0.1:0', '--http', '127.0.0.1:0', '--workers', '1', '--allow-origin', origin]);
serverPort = await new Promise((yes, no) => {
    let said = '';
    server.on('exit', () => no(new Error(`dxup does not serve: ${said}`)));
    server.stdout.on('data', part => (said += part).match(/127\.0\.0\.1:(\d+) for HTTP/) && yes(+said.match(/127\.0\.0\.1:(\d+) for HTTP/)[1]));
});
const setApp = n => publish('app', versions[n - 1]);
usual();

// ---- the rules of the cache, against layers/dx_cache.h
const bounds = [2000, 12, 500];
function makeSteps(count) {
    const steps = [];
    state = seed; // the same steps, whatever ran before
    for (let now = 1000; steps.length < count; now += random(40)) {
        const key = `k${random(30)}`, ttl = random(4) ? 0 : 1 + random(1000);
        const what = 'ppppggggggrd'[random(12)];
        const size = random(40) ? random(400) : 1900 + random(200);
        steps.push({ p: `p ${key} ${size} ${now} ${ttl}`, g: `g ${key} ${now}`, r: `r ${key} ${now} ${ttl}`, d: `d ${key}` }[what]);
    }
    return steps;
}
async function compareRules(count, drop, run) {
    const steps = makeSteps(count);
    const { stdout, status } = spawnSync('build/update_rules', [...bounds.map(String), drop ? '1' : '0'], { input: `${steps.join('\n')}\n`, maxBuffer: 1 << 28 });
    expect(status == 0, `update_rules: ${status}`);
    const wanted = String(stdout).trim().split('\n'), lines = await run(steps);
    for (let i = 0; i < steps.length; i++) expect(lines[i] === wanted[i], `seed ${seed}, step ${i} '${steps[i]}': ${lines[i]}, dx_cache.h: ${wanted[i]}`);
    const last = wanted.at(-1).split(/[ :]/).map(Number);
    expect(last[8] > count / 40 && last[4] + last[7] + last[9] > 5, `the steps do too little: ${wanted.at(-1)}`);
    return `${count} steps, ${last[8]} evicted, ${last[7]} renewed`;
}
const options = (drop, now) => ({ bytesMax: bounds[0], entriesMax: bounds[1], ttlMs: bounds[2], dropExpired: drop, now });
for (const drop of [false, true])
    await attempt(`cache in memory${drop ? ', expired ones dropped' : ''}: TTL, LRU, quota and counts are those of dx_cache.h`, () =>
        compareRules(3000, drop, steps => runSteps(now => openCache({ ...options(drop, now), store: memoryStore() }), steps)));
await attempt('cache in a directory: the same', () =>
    compareRules(300, false, steps => runSteps(now => openCacheIn(`${root}/rules`, options(false, now)), steps)));

// ---- updates; `at` runs them: in Node here, in the browser below
async function updates(where, at) {
    await attempt(`${where}: first load, chunk by chunk`, async () => {
        usual();
        setApp(1); // whatever the cases before it published last
        const r = await at({ chunks: true });
        expect(r.how == 'full' && r.travelled == versions[0].length && r.hash == await hashOf(versions[0]) && r.kept, `${r.how} ${r.travelled} ${r.kept} ${r.error}`);
        expect(r.types.join() == '1,2,3,4', `chunks ${r.types}`);
        return `${r.travelled} bytes, ${r.types.length} chunks`;
    });
    await attempt(`${where}: nothing new is 304`, async () => {
        usual();
        const r = await at({ chunks: true });
        expect(r.how == 'unchanged' && r.travelled == 0 && line.travelled == 0 && r.types.join() == '1,2,3,4', `${r.how} ${line.travelled} ${r.types}`);
        return `${line.travelled} bytes`;
    });
    await attempt(`w_9 ${where}: the patch that the server makes is the one that the client applies`, async () => {
        usual();
        setApp(2);
        const r = await at({});
        expect(r.how == 'patch' && r.hash == await hashOf(versions[1]) && r.travelled == line.travelled && r.travelled < 2000, `${r.how} ${r.travelled} ${r.error}`);
        return `${r.travelled} bytes of ${versions[1].length}`;
    });
    await attempt(`${where}: a patch that is damaged, or ends early, never becomes a version`, async () => {
        usual();
        setApp(1);
        line.damage = 226;
        const r = await at({});
        expect(r.how == 'repaired' && r.hash == await hashOf(versions[0]), `${r.how} ${r.error}`);
        usual();
        setApp(2);
        line.cutAt = 60;
        const cut = await at({});
        expect(cut.how == 'offline' && cut.error == 'network' && cut.hash == await hashOf(versions[0]), `${cut.how} ${cut.error}`);
        usual();
        expect((await at({})).how == 'patch', 'the patch was not taken afterwards');
        return 'fetched whole; or the last good version';
    });
    await attempt(`${where}: a small patch to a large version is refused before there is memory for it`, async () => {
        writeFileSync(`${root}/old`, versions[1]);
        writeFileSync(`${root}/new`, Buffer.alloc(30000000));
        execFileSync('build/dxpatch', ['diff', `${root}/old`, `${root}/new`, `${root}/bomb`, '--kind', 'delta', '--format', '3']);
        const bomb = readFileSync(`${root}/bomb`);
        usual();
        await at({});
        line.instead['/app'] = [226, { ETag: `"${await hashOf(new Uint8Array(30000000))}"`, IM: 'dx-patch' }, bomb];
        const r = await at({ sizeMax: 1000000 });
        expect(r.error == 'too-big' && r.have && bomb.length < 200000, `${r.how} ${r.error}`);
        return `${bomb.length} bytes that make 30 MB`;
    });
    await attempt(`${where}: server killed mid-stream: nothing half is kept`, async () => {
        for (const bytes of [0, 1, 70, 60000, versions[1].length - 1]) {
            usual();
            await at({ forget: true, none: true });
            line.cutAt = bytes;
            const r = await at({ chunks: true });
            expect(r.error == 'network' && !r.how, `cut at ${bytes}: ${r.how} ${r.error}`);
            const { entries } = (await at({ none: true })).stats;
            expect(entries == 0, `${entries} entries after a cut at ${bytes}`);
        }
        usual();
        expect((await at({})).how == 'full', 'not fetched afterwards');
        return 'five places';
    });
    await attempt(`${where}: a server that hangs, drips, or never ends`, async () => {
        usual();
        line.hangAt = 1000;
        const hung = await at({ idleMs: 300, key: '/app@2' });
        expect(hung.error == 'timeout', `${hung.how} ${hung.error}`);
        usual();
        const endless = size => (a, q) => {
            const timer = setInterval(() => a.write(Buffer.alloc(size)), 20);
            q.socket.on('close', () => clearInterval(timer));
        };
        line.instead['/drip'] = [200, { 'Content-Type': 'text/plain' }, endless(1)];
        line.instead['/flood'] = [200, { 'Content-Type': 'text/plain' }, endless(65536)];
        line.instead['/long'] = [200, { 'Content-Length': '1000000000' }, 'x'];
        const drip = await at({ idleMs: 2000, totalMs: 900, key: '/drip' });
        expect(drip.error == 'timeout', `drip: ${drip.how} ${drip.error}`);
        for (const key of ['/flood', '/long']) {
            const r = await at({ sizeMax: 200000, key });
            expect(r.error == 'too-big', `${key}: ${r.how} ${r.error}`);
        }
        return 'ended by idleMs, totalMs, sizeMax';
    });
    await attempt(`${where}: an answer without the content that its ETag announces is refused`, async () => {
        usual();
        await at({ forget: true, none: true });
        line.damage = 200;
        const r = await at({});
        expect(r.error == 'damaged' && (await at({ none: true })).stats.entries == 0, `${r.how} ${r.error}`);
        return r.error;
    });
    await attempt(`${where}: offline starts the last good version; nothing there is an error`, async () => {
        usual();
        await at({});
        line.away = true;
        const r = await at({}), other = await at({ key: '/app@1' });
        expect(r.how == 'offline' && r.hash == await hashOf(versions[1]), `${r.how} ${r.error}`);
        expect(other.error == 'network' && !other.how, `${other.how} ${other.error}`);
        usual();
        line.instead['/app'] = [503, {}, 'later'];
        expect((await at({})).how == 'offline', '503 is not treated as offline');
        line.instead['/app'] = [404, {}, 'gone'];
        const gone = await at({});
        expect(gone.error == 'status' && gone.have, `404: ${gone.how} ${gone.error}`);
        return 'and 503; 404 is an error with what there is';
    });
    await attempt(`${where}: TTL: fresh asks nobody, past it the server is asked, offline it is stale but there`, async () => {
        usual();
        await at({ ttlMs: 600 });
        usual();
        const fresh = await at({ ask: 'stale' });
        expect(fresh.how == 'fresh' && line.asked.length == 0, `${fresh.how} ${line.asked}`);
        await new Promise(done => setTimeout(done, 700));
        line.away = true;
        expect((await at({ ask: 'stale' })).how == 'offline', 'stale is not there offline');
        line.away = false;
        const renewed = await at({ ask: 'stale', ttlMs: 60000 });
        expect(renewed.how == 'unchanged' && line.asked.join() == '/app A-IM', `${renewed.how} ${line.asked}`);
        expect((await at({ ask: 'stale' })).how == 'fresh', '304 did not make it fresh');
        return 'asked once in four';
    });
    await attempt(`${where}: a corrupt record is found, counted, and fetched again`, async () => {
        for (const part of ['body', 'short', 'meta', 'gone', 'etag', 'headers', 'cost']) {
            usual();
            const before = (await at({ none: true })).stats, r = await at({ corrupt: part }), { stats } = await at({ none: true });
            expect(r.how == 'repaired' && r.hash == await hashOf(versions[1]) && r.travelled > 100000, `${part}: ${r.how} ${r.error} ${r.travelled}`);
            expect(stats.damaged == before.damaged + 1 && stats.entries == before.entries, `${part}: ${JSON.stringify(stats)}`);
        }
        usual();
        expect((await at({})).how == 'unchanged', 'not kept afterwards');
        return 'a bit of the body, a short body, a senseless record, no body, a tag or header that cannot be sent, a cost';
    });
    await attempt(`${where}: damaged counts are those of the entries again, and the other entries stay`, async () => {
        for (const part of ['bytes', 'entries', 'used']) {
            usual();
            await at({ key: '/page.js' });
            await at({});
            const { stats, keys } = await at({ none: true }), r = await at({ corrupt: part }), after = await at({ none: true });
            expect(r.how == 'unchanged' && after.keys.join() == keys.join(), `${part}: ${r.how} ${after.keys}`);
            expect(after.stats.entries == stats.entries && after.stats.bytes == stats.bytes && after.stats.evicted == stats.evicted, `${part}: ${JSON.stringify(after.stats)}`);
        }
        return 'bytes, entries, order';
    });
    await attempt(`${where}: an entry from the future is stale`, async () => {
        usual();
        await at({});
        usual();
        expect((await at({ ask: 'stale' })).how == 'fresh', 'not fresh before');
        const r = await at({ corrupt: 'time', ask: 'stale' });
        expect(r.how == 'unchanged' && line.asked.length == 1, `${r.how} ${line.asked}`);
        return 'the server is asked';
    });
    await attempt(`${where}: a 304 about other content is not 'unchanged'`, async () => {
        usual();
        setApp(2);
        await at({});
        for (const headers of [{ Vary: 'A-IM' }, {}]) {
            let asked = 0;
            line.instead['/app'] = async (q, a) => {
                const known = q.headers['if-none-match'], hash = await hashOf(versions[0]);
                asked++;
                if (known) a.writeHead(304, { ...headers, ETag: `"${hash}"` }).end();
                else a.writeHead(200, { Vary: 'A-IM', ETag: `"${hash}"` }).end(versions[0]);
            };
            const r = await at({});
            expect(r.how == 'repaired' && r.hash == await hashOf(versions[0]) && asked == 2, `${r.how} ${r.error} ${asked}`);
            usual();
            await at({});
        }
        line.instead['/other'] = (q, a) => {
            if (q.headers['if-none-match']) a.writeHead(304, { ETag: `"${'b'.repeat(64)}"` }).end();
            else a.writeHead(200, { ETag: `W/"${'b'.repeat(64)}"` }).end('tags of another kind');
        };
        await at({ key: '/other' });
        const other = await at({ key: '/other' });
        expect(other.how == 'unchanged', `a server with tags of its own: ${other.how} ${other.error}`);
        return 'fetched whole';
    });
    await attempt(`${where}: what must not be kept is not`, async () => {
        usual();
        for (const headers of [{ 'Cache-Control': 'max-age=60, no-store' }, { Vary: 'Accept-Encoding, Cookie' }, { Vary: '*' }]) {
            line.instead['/private'] = [200, { ...headers, ETag: '"1"' }, 'mine'];
            const r = await at({ key: '/private' });
            expect(r.how == 'full' && !r.kept, `${JSON.stringify(headers)}: ${r.how} ${r.kept}`);
            expect(!(await at({ none: true })).keys.some(key => key.endsWith('/private')), 'it is in the cache');
        }
        line.instead['/other'] = [200, { ETag: `W/"${'a'.repeat(64)}"` }, 'of a server without patches'];
        expect((await at({ key: '/other' })).kept, 'a plain server is not kept');
        return 'no-store, Vary';
    });
}

// ---- signatures
const pem = generateKeyPairSync('ed25519'), stranger = generateKeyPairSync('ed25519');
writeFileSync(`${root}/key.pem`, pem.privateKey.export({ format: 'pem', type: 'pkcs8' }));
const raw = pair => pair.publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('base64');
const signTool = (...args) => {
    const { stdout, stderr, status } = spawnSync('node', [`${folder}/sign.js`, `${root}/key.pem`, ...args]);
    expect(status == 0, `sign.js: ${stderr}`);
    return stdout;
};
const manifestOf = async (n, more = {}, key = pem.privateKey) => {
    const fields = { format: 'dx-update-1', name: 'app', sequence: n, size: versions[n - 1].length, blake3: await hashOf(versions[n - 1]), ...more };
    const text = JSON.stringify(fields);
    return `${text}\n${sign(null, Buffer.from(text), key).toString('base64')}\n`;
};
// A vector of docs/formats/htip.md.
const htipVector = name => {
    const text = readFileSync('docs/formats/htip.md', 'utf8').match(new RegExp(`^\`\`\`hex ${name}\\n([^]*?)^\`\`\``, 'm'))[1];
    return Buffer.from(text.replace(/#.*$/gm, '').replace(/\s/g, ''), 'hex');
};
async function signatures(where, at) {
    const trust = { keys: [raw(stranger), raw(pem)] };
    const serveManifest = body => line.instead['/app.manifest'] = [200, { 'Content-Type': 'application/json' }, body];
    await attempt(`cm_6 ${where}: a signed manifest: first load, nothing new, patch`, async () => {
        usual();
        setApp(1);
        await at({ forget: true, none: true });
        writeFileSync(`${root}/app`, versions[0]);
        serveManifest(signTool(`${root}/app`, '1', 'expires=2090-01-01'));
        const first = await at({ trust, chunks: true });
        expect(first.how == 'full' && first.types.length == 4, `${first.how} ${first.error}`);
        line.asked = [];
        const again = await at({ trust });
        expect(again.how == 'unchanged' && line.asked.join() == '/app.manifest', `${again.how} ${again.error} ${line.asked}`);
        setApp(2);
        serveManifest(await manifestOf(2));
        const patch = await at({ trust });
        expect(patch.how == 'patch' && patch.travelled < 2000, `${patch.how} ${patch.error}`);
        expect(signTool().toString().trim() == raw(pem), 'sign.js prints another public key');
        return `${patch.travelled} bytes`;
    });
    await attempt(`cm_6 ${where}: a bad signature is refused before anything is asked for, and what was kept is given`, async () => {
        const good = Buffer.from(await manifestOf(2)), cases = [];
        for (let i = 0; i < good.length - 1; i += where == 'node' ? 3 : 29) {
            const flipped = Buffer.from(good);
            flipped[i] ^= 1 << random(7);
            cases.push(flipped);
        }
        const newline = good.indexOf(10);
        let refusals = 0;
        for (const flipped of cases) {
            usual();
            serveManifest(flipped);
            const r = await at({ trust });
            const same = !r.error && flipped.subarray(0, newline).equals(good.subarray(0, newline)) &&
                Buffer.from(String(flipped.subarray(newline + 1)), 'base64').equals(Buffer.from(String(good.subarray(newline + 1)), 'base64'));
            if (same) continue; // only bits of base64 that mean nothing were changed
            expect(['bad-signature', 'bad-manifest'].includes(r.error) && r.have && line.asked.length == 1, `${r.how} ${r.error} ${line.asked}: ${flipped}`);
            refusals++;
        }
        expect(refusals > cases.length - 4, `${refusals} of ${cases.length}`);
        usual();
        serveManifest(await manifestOf(2, {}, stranger.privateKey));
        expect((await at({ trust: { keys: [raw(pem)] } })).error == 'bad-signature', 'a stranger signs');
        return `${refusals} changed manifests, and a stranger's`;
    });
    await attempt(`${where}: manifests that are old, expired, of another file, or of other content`, async () => {
        const cases = [
            ['rollback', { sequence: 1, blake3: await hashOf(versions[0]) }], ['expired', { expires: '2020-01-01T00:00:00Z' }],
            ['bad-manifest', { name: 'other' }], ['bad-manifest', { format: 'dx-update-2' }], ['bad-manifest', { size: -1 }], ['bad-manifest', { sequence: '3' }],
            ['bad-manifest', { blake3: 'A'.repeat(64) }], ['bad-manifest', { expires: 'soon' }], ['bad-manifest', { path: 'https://elsewhere.example/' }],
            ['not-signed', { blake3: 'a'.repeat(64) }], ['too-big', { size: 1000, blake3: await hashOf(versions[0]) }],
        ];
        for (const [code, fields] of cases) {
            usual();
            serveManifest(await manifestOf(2, fields));
            if (code == 'too-big') setApp(1);
            const r = await at({ trust });
            expect(r.error == code && r.have, `${JSON.stringify(fields)}: ${r.how} ${r.error}, not ${code}`);
        }
        usual();
        expect((await at({ trust })).error == 'status', 'no manifest');
        serveManifest('x'.repeat(5000));
        expect((await at({ trust })).error == 'too-big', 'a long manifest');
        return `${cases.length + 2} kinds`;
    });
    await attempt(`w_18 ${where}: a signature covers a stream of operations with its header, whose counts cannot be changed`, async () => {
        const stream = htipVector('card');
        const blake3 = await hashOf(stream), manifest = await manifestOf(1, { name: 'card', size: stream.length, blake3 });
        const serve = async body => {
            usual();
            line.instead['/card.manifest'] = [200, {}, manifest];
            line.instead['/card'] = [200, { ETag: `"${await hashOf(body)}"` }, body]; // whoever changes it names it anew
        };
        for (let i = 0; i < 16; i++) {
            const changed = Buffer.from(stream);
            changed[i] ^= 1 << random(8);
            await serve(changed);
            const r = await at({ key: '/card', trust });
            expect(r.error == 'not-signed' && !r.how && !r.have, `byte ${i} of the header: ${r.how} ${r.error}`);
        }
        await serve(stream);
        const r = await at({ key: '/card', trust });
        expect(r.how == 'full' && r.hash == blake3, `unchanged: ${r.how} ${r.error}`);
        return '16 bytes of the header';
    });
    await attempt(`${where}: path names a version, so that file and manifest cannot disagree`, async () => {
        usual();
        setApp(1); // newer than what is signed
        serveManifest(await manifestOf(1, { sequence: 9, path: 'app@1' }));
        const r = await at({ trust });
        expect(r.how == 'patch' && r.hash == await hashOf(versions[0]) && line.asked.join() == '/app.manifest,/app@1 A-IM', `${r.how} ${r.error} ${line.asked}`);
        return line.asked.join(', then ');
    });
    await attempt(`${where}: once a manifest was accepted, no older one is, whatever became of its file`, async () => {
        const serve = async (path, n, sequence, headers, status = 200) => {
            line.instead[`${path}.manifest`] = line.instead[`${path}.manifest?x`] = [200, {}, await manifestOf(n, { name: path.slice(1), sequence })];
            line.instead[path] = line.instead[`${path}?x`] = [status, { Vary: 'A-IM', ETag: `"${await hashOf(versions[n - 1])}"`, ...headers }, versions[n - 1]];
        };
        usual();
        const fates = [['/seen1', { 'Cache-Control': 'no-store' }], ['/seen2', { Vary: 'Cookie' }], ['/seen3', {}, 404], ['/seen4', {}]];
        for (const [path, headers, status] of fates) {
            await serve(path, 2, 8, headers, status);
            const first = await at({ key: path, trust });
            expect(first.error == (status && 'status'), `${path}: ${first.how} ${first.error}`);
            await serve(path, 1, 7);
            for (const key of [path, `${path}?x`]) {
                const r = await at({ key, trust });
                expect(r.error == 'rollback' && !r.how, `${key}: ${r.how} ${r.error}`);
            }
            await serve(path, 1, 9);
            const next = await at({ key: `${path}?x`, trust });
            expect(next.how == 'full' && !next.error, `${path}?x with sequence 9: ${next.how} ${next.error}`);
        }
        return 'not kept, or missing, or of another query';
    });
    await attempt(`${where}: when the sequences that were seen are damaged, that is an error`, async () => {
        usual();
        line.instead['/lost.manifest'] = [200, {}, await manifestOf(1, { name: 'lost' })];
        line.instead['/lost'] = [200, {}, versions[0]];
        for (const part of ['sequences', 'state']) {
            serveManifest(await manifestOf(1, { sequence: 1 })); // of the two, /app is known, where its record is sound
            expect((await at({ trust })).error != 'cache', 'before that');
            await at({ corrupt: part, ask: 'stale' });
            for (let i = 0; i < 2; i++) {
                const r = await at({ key: '/lost', trust });
                expect(r.error == 'cache' && !r.how, `${part}: ${r.how} ${r.error}`);
            }
            await at({ forget: true, none: true });
            const r = await at({ key: '/lost', trust });
            expect(r.how == 'full', `${part}, forgotten: ${r.how} ${r.error}`);
            await at({});
        }
        return 'until clear()';
    });
    await attempt(`${where}: a signed file that is encoded on its way may be longer there`, async () => {
        const bytes = Buffer.from(Array.from({ length: 40 }, (_, i) => i * 97 + 13)), packed = gzipSync(bytes);
        usual();
        line.instead['/tiny.manifest'] = [200, {}, await manifestOf(1, { name: 'tiny', size: bytes.length, blake3: await hashOf(bytes) })];
        line.instead['/tiny'] = [200, { 'Content-Encoding': 'gzip', 'Content-Length': packed.length }, packed];
        const r = await at({ key: '/tiny', trust });
        expect(packed.length > bytes.length && r.how == 'full', `${r.how} ${r.error}`);
        line.instead['/tiny'] = [200, { 'Content-Encoding': 'gzip' }, gzipSync(Buffer.alloc(100000))];
        await at({ forget: true, none: true });
        expect((await at({ key: '/tiny', trust })).error == 'too-big', 'more than is signed');
        return `${packed.length} bytes for ${bytes.length}`;
    });
    await attempt(`${where}: past its manifest's date a kept version is not used, unless the caller wants it`, async () => {
        usual();
        setApp(1);
        await at({ forget: true, none: true });
        const soon = Date.now() + 3000;
        serveManifest(await manifestOf(1, { expires: new Date(soon).toISOString() }));
        const first = await at({ trust });
        expect(first.how == 'full', `${first.how} ${first.error}`);
        line.instead['/app.manifest'] = [503, {}, 'blocked'];
        const before = await at({ trust });
        expect(before.how == 'offline' || Date.now() >= soon, `before: ${before.how} ${before.error}`);
        await new Promise(done => setTimeout(done, soon + 50 - Date.now()));
        for (const block of [() => line.instead['/app.manifest'] = [503, {}, 'blocked'], () => line.away = true]) {
            block();
            for (const ask of ['always', 'stale']) {
                const r = await at({ trust, ask });
                expect(r.error == 'expired' && r.have && !r.how, `${ask}: ${r.how} ${r.error}`);
                const wanted = await at({ trust: { ...trust, offlineExpired: true }, ask });
                expect(wanted.how == (ask == 'stale' ? 'fresh' : 'offline'), `${ask}, wanted: ${wanted.how} ${wanted.error}`);
            }
        }
        return 'blocked manifest, no server';
    });
    await attempt(`${where}: addresses and paths that are none are errors of this module`, async () => {
        usual();
        for (const path of ['http://[', 5, 'http://user:word@127.0.0.1/']) {
            serveManifest(await manifestOf(1, { path, sequence: 20 }));
            const r = await at({ trust });
            expect(r.error == 'bad-manifest', `${path}: ${r.how} ${r.error}`);
        }
        serveManifest(await manifestOf(1, { expires: 5, sequence: 20 }));
        expect((await at({ trust })).error == 'bad-manifest', 'expires: 5');
        line.instead['/%ff.manifest'] = [200, {}, await manifestOf(1)];
        for (const [code, key, o] of [['bad-manifest', '/%ff', { trust }], ['options', '/app', { trust: { ...trust, manifest: 'http://[' } }]]) {
            const r = await at({ key, ...o });
            expect(r.error == code, `${key}: ${r.how} ${r.error}`);
        }
        return 'six';
    });
    await attempt(`${where}: offline only what a key of today signed is used`, async () => {
        usual();
        await at({ forget: true, none: true });
        serveManifest(await manifestOf(1, { sequence: 9, path: 'app@1' }));
        await at({ trust });
        usual();
        line.away = true;
        expect((await at({ trust })).how == 'offline', 'signed, but not used');
        const r = await at({ trust: { keys: [raw(stranger)] } });
        expect(r.error == 'network' && !r.how && !r.have, `a withdrawn key: ${r.how} ${r.error}`);
        usual();
        await at({ forget: true, none: true });
        await at({});
        line.away = true;
        const unsigned = await at({ trust });
        expect(unsigned.error == 'network' && !unsigned.how && !unsigned.have, `unsigned: ${unsigned.how}`);
        return 'a withdrawn key and unsigned content are not';
    });
}

// ---- in Node
const directory = `${root}/cache`;
const asResult = async (promise, types) => {
    try {
        const { how, travelled, hash, kept, error } = await promise;
        return { how, travelled, hash, kept, error: error?.code, types };
    } catch (error) {
        if (!error.code) throw error;
        return { error: error.code, have: !!error.have };
    }
};
async function inNode({ key = '/app', forget, none, corrupt, chunks, ...o }) {
    if (corrupt) {
        const index = JSON.parse(readFileSync(`${directory}/index.json`)), meta = index.meta[app], file = `${directory}/${meta.file}`;
        const body = readFileSync(file);
        body[777] ^= 16;
        if (corrupt == 'body') writeFileSync(file, body);
        if (corrupt == 'short') writeFileSync(file, body.subarray(0, 500));
        if (corrupt == 'gone') rmSync(file);
        if (corrupt == 'meta') meta.size = 'large';
        if (corrupt == 'etag') meta.etag = '"a\nb"';
        if (corrupt == 'headers') meta.headers['bad name'] = 'x';
        if (corrupt == 'cost') meta.cost = 1e15;
        if (corrupt == 'time') meta.time += 1e9;
        if (['bytes', 'entries', 'used'].includes(corrupt)) index.state[corrupt] = Number.MAX_SAFE_INTEGER;
        if (corrupt == 'sequences') index.state.sequences = index.state.sequences.map(([name]) => [name, 'many']);
        if (corrupt == 'state') delete index.state;
        writeFileSync(`${directory}/index.json`, JSON.stringify(index));
    }
    const cache = await openCacheIn(directory), types = [];
    try {
        if (forget) await cache.clear();
        if (none) return { stats: await cache.stats(), keys: (await cache.list()).map(({ key }) => key) };
        return await asResult(update(`${origin}${key}`, { cache, onChunk: chunks && (({ type }) => types.push(type)), ...o }), types);
    } finally {
        await cache.close();
    }
}
await updates('node', inNode);
await signatures('node', inNode);
await attempt('node: of two updates at once the higher sequence stays, and nothing unsigned takes its place', async () => {
    const cache = openCache({ store: memoryStore() }), put = (n, sequence) => cache.put('k', { bytes: Uint8Array.of(n), hash: `${n}`, sequence });
    expect(await put(1, 5) && !await put(2, 4) && !await put(3, 0) && await put(4, 5) && await put(5, 6), 'another order');
    expect(!await cache.renew('k', '5', { sequence: 5 }) && await cache.renew('k', '5', { sequence: 6 }), 'renewed by an older one');
    await cache.remove('k');
    expect(!await put(6, 5) && await put(7, 6), 'forgotten with its entry');
    const { entry } = await cache.get('k'), { outdated } = await cache.stats();
    expect(entry.hash == '7' && outdated == 4, `${entry.hash}, ${outdated} outdated`);
    return `${outdated} outdated`;
});
await attempt('node: every field of a record, and of the counts, may be damaged', async () => {
    const key = `${origin}/page.js`, values = ['a\nb', 5, -1, {}, [null], null, Infinity, Number.MAX_SAFE_INTEGER, undefined];
    let damaged = 0, tried = 0;
    for (const part of ['meta', 'state']) {
        const fields = part == 'meta' ? ['version', 'hash', 'etag', 'headers', 'manifest', 'size', 'cost', 'time', 'expires', 'used', 'hits', 'stored']
            : ['version', 'entries', 'bytes', 'used', 'sequences', 'hits', 'puts'];
        for (const field of fields) for (const value of values) {
            usual();
            const store = memoryStore(), name = `${part}.${field} = ${JSON.stringify(value) ?? value}`;
            await update(key, { cache: openCache({ store }) });
            const cache = openCache({ store }); // of the next start
            await store.change(async t => part == 'meta' ? t.putMeta({ ...await t.meta(key), [field]: value }) : t.putState({ ...await t.state(), [field]: value }));
            for (const wanted of [/^(unchanged|repaired)$/, /^unchanged$/]) {
                const { how, kept, cacheError } = await update(key, { cache });
                expect(wanted.test(how) && kept && !cacheError, `${name}: ${how} ${kept} ${cacheError}`);
                damaged += how == 'repaired';
            }
            await update(`${origin}/page.html`, { cache });
            const { entries, bytes, evicted } = await cache.stats(), list = await cache.list();
            expect(entries == 2 && list.length == 2 && evicted == 0 && bytes > 20000 && bytes < 22000, `${name}: ${entries} entries, ${bytes} bytes`);
            tried++;
        }
    }
    expect(damaged > 70, `${damaged} of ${tried} were found`);
    return `${damaged} records of ${tried} fetched again`;
});
await attempt('node: a cache that cannot say which manifests were seen is an error', async () => {
    const inner = memoryStore(), cache = openCache({ store: inner }), trust = { keys: [raw(pem)] };
    usual();
    line.instead['/app.manifest'] = [200, {}, await manifestOf(1, { path: 'app@1' })];
    cache.store = { ...inner, change: async () => { throw new Error('denied'); } };
    const error = await refused('cache', update(app, { cache, trust }));
    expect(line.asked.join() == '/app.manifest', `${line.asked}`);
    cache.store = { ...inner, change: () => new Promise(() => {}) }; // and one that never answers
    const start = Date.now();
    await refused('timeout', update(app, { cache, trust, totalMs: 300 }));
    await refused('timeout', update(app, { cache, totalMs: 300 }));
    expect(Date.now() - start < 20000, 'it took longer than totalMs');
    return error.message;
});
await attempt('node: a cache that hangs after the answer does not hold it back', async () => {
    const inner = memoryStore();
    let calls = 0;
    const cache = openCache({ store: { ...inner, change: what => ++calls > 1 ? new Promise(() => {}) : inner.change(what) } });
    usual();
    const r = await update(app, { cache, totalMs: 1000, idleMs: 200 });
    expect(r.how == 'full' && !r.kept && r.cacheError.code == 'timeout' && calls == 2, `${r.how} ${r.kept} ${r.cacheError}`);
    return 'not kept';
});
await attempt('node: trust.verify takes the place of WebCrypto', async () => {
    usual();
    line.instead['/app.manifest'] = [200, {}, await manifestOf(1, { sequence: 50, path: 'app@1' })];
    const asked = [], verify = answer => async (key, message, signature) => (asked.push(key.length, signature.length), answer);
    const cache = openCache({ store: memoryStore() }), keys = [raw(pem)];
    await refused('bad-signature', update(app, { cache, trust: { keys, verify: verify(false) } }));
    expect((await update(app, { cache, trust: { keys, verify: verify(true) } })).how == 'full', 'not taken');
    expect(asked.slice(0, 2).join() == '32,64', asked.join());
    return 'asked with 32 and 64 bytes';
});
await attempt('node: wrong arguments have errors of their own', async () => {
    for (const [code, url, o] of [['url', 'app', {}], ['url', 'ftp://x/y', {}], ['url', 'http://a:b@127.0.0.1/', {}], ['options', app, { on5xx: 'never' }], ['options', app, { ask: 'never' }], ['options', app, { sizeMax: -1 }],
        ['options', app, { trust: { keys: [] } }], ['options', app, { trust: { keys: ['short'] } }], ['options', app, { onChunk: 3 }]]) {
        usual();
        line.instead['/app.manifest'] = [200, {}, await manifestOf(1)];
        await refused(code, update(url, { cache: openCache({ store: memoryStore() }), ...o }));
    }
    const stop = new AbortController();
    stop.abort();
    await refused('aborted', update(app, { signal: stop.signal, cache: openCache({ store: memoryStore() }) }));
    return 'ten';
});
await attempt('node: callers at the same time have one request', async () => {
    usual();
    const cache = openCache({ store: memoryStore() });
    const all = await Promise.all(Array.from({ length: 20 }, () => update(app, { cache })));
    expect(line.asked.length == 1 && all.every(r => r.how == 'full'), `${line.asked.length} requests`);
    return `${all.length} callers`;
});
await attempt('node: one process has a directory; a killed one gives it up', async () => {
    const cache = await openCacheIn(directory);
    await refused('busy', openCacheIn(directory));
    await cache.close();
    writeFileSync(`${directory}/lock`, '999999999');
    await (await openCacheIn(directory)).close();
    return 'busy';
});
await attempt('node: the lock of a process that was killed does not count, also when its number is in use again', async () => {
    const place = `${root}/restarted`, lock = `${place}/lock`;
    const first = await openCacheIn(place), text = readFileSync(lock, 'utf8'), [pid, began] = text.split(' ');
    expect(+pid == process.pid && (began || process.platform != 'linux'), `the lock is '${text}'`);
    const other = `${root}/other.mjs`;
    writeFileSync(other, `import { openCacheIn } from '${resolve(folder, 'node.js')}';
        console.log(await openCacheIn(process.argv[2]).then(() => 'open', error => error.code));`);
    const opens = () => spawnSync('node', [other, place]).stdout.toString().trim();
    expect(opens() == 'busy', 'two processes have it');
    await first.close();
    const later = spawn('sleep', ['600']); // it runs, and began after this process
    if (process.platform == 'linux') for (const dead of [String(process.pid), `${process.pid} ${began}9`, `${later.pid} ${began}`, '']) {
        writeFileSync(lock, dead); // pid 1 of a container that was killed finds its own number
        const cache = await openCacheIn(place);
        await refused('busy', openCacheIn(place));
        await cache.close();
    }
    writeFileSync(lock, `${process.ppid}`); // of an earlier version: alive as far as can be told
    await refused('busy', openCacheIn(place));
    rmSync(lock);
    later.kill();
    return 'our own number, another one, none';
});
await attempt('node: directories in the place of files are removed, or an error of this module', async () => {
    const place = `${root}/directories`, use = async () => {
        const cache = await openCacheIn(place);
        try {
            const { how, kept } = await update(app, { cache });
            return `${how} ${kept}`;
        } finally {
            await cache.close();
        }
    };
    usual();
    await use();
    const kept = readdirSync(place).find(name => name.endsWith('.body'));
    for (const name of [kept, '77.body', '78.body.new', 'lock']) {
        rmSync(`${place}/${name}`, { force: true });
        mkdirSync(`${place}/${name}/inside`, { recursive: true });
        const how = await use();
        expect(how == (name == kept ? 'repaired true' : 'unchanged true'), `${name}: ${how}`);
        expect(await use() == 'unchanged true', `${name}: not kept afterwards`);
    }
    rmSync(`${place}/index.json`);
    mkdirSync(`${place}/index.json`);
    for (let i = 0; i < 2; i++) await refused('cache', openCacheIn(place)); // not 'busy': it gave up the lock
    await refused('cache', openCacheIn(`${root}/other.mjs`));
    return 'five';
});
await attempt('node: killed while it writes: every entry is whole or not there', async () => {
    const place = `${root}/killed`, child = `${root}/child.mjs`;
    writeFileSync(child, `import { openCacheIn } from '${resolve(folder, 'node.js')}';
        const cache = await openCacheIn(process.argv[2], { bytesMax: 400000, entriesMax: 10 });
        process.send('open');
        for (let i = 0; ; i++) await cache.put('k' + i % 13, { bytes: new Uint8Array(1000 + i * 7919 % 60000).fill(i), hash: 'x' + i % 256 });`);
    let entries = 0, kills = 0;
    for (; kills < 5 || (entries <= 20 && kills < 40); kills++) { // how much is written meanwhile depends on the machine
        const writer = fork(child, [place]);
        await once(writer, 'message');
        await new Promise(done => setTimeout(done, 20 + random(150)));
        writer.kill('SIGKILL');
        await once(writer, 'exit');
        const cache = await openCacheIn(place, { bytesMax: 400000, entriesMax: 10 }), { bytes, damaged, puts } = await cache.stats(), list = await cache.list();
        expect(bytes <= 400000 && list.length <= 10 && damaged == 0 && puts >= 0, JSON.stringify(await cache.stats()));
        for (const { key, hash } of list) {
            const { entry } = await cache.get(key, body => `x${body[0]}`);
            expect(entry && entry.hash == hash && entry.bytes.every(b => b == entry.bytes[0]), `${key} is damaged`);
            entries++;
        }
        const files = readdirSync(place).filter(name => name.endsWith('.body')).length;
        expect(files == list.length && !readdirSync(place).some(name => name.endsWith('.new')), `${files} files for ${list.length} entries`);
        await cache.close();
    }
    expect(entries > 20, `${entries} entries in all`);
    return `${kills} kills, ${entries} entries read`;
});
await attempt('node: an index that cannot be read is counted, and everything fetched again', async () => {
    usual();
    await inNode({});
    const { damaged } = (await inNode({ none: true })).stats;
    writeFileSync(`${directory}/index.json`, '{"meta":');
    const r = await inNode({}), { stats } = await inNode({ none: true });
    expect(r.how == 'full' && stats.damaged == 1 && stats.entries == 1 && damaged !== undefined, `${r.how} ${JSON.stringify(stats)}`);
    expect(readdirSync(directory).filter(name => name.endsWith('.body')).length == 1, 'bodies are left over');
    return 'one damaged';
});
await attempt('node: a full device makes room by evicting, never fails an update', async () => {
    usual();
    const inner = memoryStore(), used = new Map();
    let room = 300000;
    const full = { // a device with `room` bytes
        change: what => inner.change(async t => what({ ...t,
            putBody: async (key, bytes) => {
                const others = [...used].filter(([name]) => name != key).reduce((sum, [, size]) => sum + size, 0);
                if (others + bytes.length > room) throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
                used.set(key, bytes.length);
                return t.putBody(key, bytes);
            },
            remove: async key => (used.delete(key), t.remove(key)),
        })),
        close: inner.close,
    };
    const cache = openCache({ store: full });
    for (let i = 0; i < 8; i++) expect(await cache.put(`k${i}`, { bytes: new Uint8Array(50000), hash: 'x' }), `k${i} not kept`);
    const keys = (await cache.list()).map(({ key }) => key);
    expect(keys.at(-1) == 'k7' && !keys.includes('k0'), keys.join());
    const r = await update(app, { cache });
    expect(r.how == 'full' && r.kept, `${r.how} ${r.kept}`);
    room = 1000;
    const last = await update(`${origin}/app@2`, { cache });
    expect(last.how == 'full' && !last.kept && !last.cacheError && (await cache.stats()).refused == 1, `${last.how} ${last.kept}`);
    return `${(await cache.stats()).evicted} evicted`;
});

// ---- sizes
const compiler = spawnSync('clang', ['-dumpversion']).stdout.toString().split('.')[0];
const readme = readFileSync('examples/update/README.md', 'utf8'), of = readme.match(/^## Size \(clang (\d+)\)$/m)?.[1];
if (of && compiler != of) {
    skip('the sizes in the README', `they are those of clang ${of}, this is clang ${compiler}`);
} else await attempt('the sizes in the README are those of the files', () => {
    const number = text => +text.replaceAll(',', ''), rows = [...readme.matchAll(/`([\w.-]+\.(?:wasm|js))` \| ([\d,]+) \| ([\d,]+) \|$/gm)], wrong = [];
    expect(rows.length == 7, `${rows.length} rows in the table`);
    for (const [, name, bytes, gzipped] of rows) {
        const size = statSync(`${folder}/${name}`).size, packed = gzipSync(readFileSync(`${folder}/${name}`), { level: 9 }).length;
        if (number(bytes) != size || Math.abs(number(gzipped) - packed) > 64) wrong.push(`${name} is ${size}, ${packed} gzipped`);
    }
    expect(wrong.length == 0, wrong.join('; '));
    return `${rows.length} files`;
});

// ---- the commands under "Signatures" in the README, as they are typed: twice, for the first version and for the next one
if (spawnSync('openssl', ['version']).status != 0) skip('the signature of the README', 'no openssl');
else await attempt('the commands of the README sign the version that dxup has published', async () => {
    const commands = readme.match(/^## Signatures$[^]*?^```sh\n([^]*?)^```/m)[1].replaceAll('STORE', 'store'), at = `${root}/typed`;
    mkdirSync(at);
    for (const file of readdirSync(folder)) cpSync(`${folder}/${file}`, `${at}/${file}`, { recursive: true });
    for (const version of [1, 2]) {
        writeFileSync(`${at}/app.dxs`, versions[version - 1]);
        const { status, stdout, stderr } = spawnSync('sh', ['-euc', commands], { cwd: at, encoding: 'utf8', env: { ...process.env, PATH: `${resolve('build')}:${process.env.PATH}` } });
        expect(status == 0, stderr);
        const manifest = readFileSync(`${at}/app.dxs.manifest`, 'utf8').split('\n'), says = JSON.parse(manifest[0]);
        expect(says.sequence == version && says.path == `app.dxs@${version}` && says.blake3 == await hashOf(versions[version - 1]), manifest[0]);
        const key = stdout.split('\n')[0], der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), Buffer.from(key, 'base64')]);
        expect(verify(null, Buffer.from(manifest[0]), createPublicKey({ key: der, format: 'der', type: 'spki' }), Buffer.from(manifest[1], 'base64')), 'another signature');
        execFileSync('build/dxup', ['checkout', `${at}/store`, `${says.path}`, `${at}/out-${version}`, '--quiet']);
        expect(readFileSync(`${at}/out-${version}`).equals(versions[version - 1]), `${says.path} is another file`);
    }
    return 'two versions';
});

// ---- in browsers
const inBrowser = only != 'node' && (await import('./update_browser.mjs')).default;
for (const name of only == 'node' ? [] : only ? [only] : ['chromium', 'firefox']) {
    if (name == 'firefox' && !firefoxPath) {
        skip('firefox', 'it is not installed (make deps-all)');
    } else await inBrowser(name, { attempt, expect, updates, signatures, compareRules, options, origin, line, usual, setPage, root, setApp, hashOf, versions });
}
server.kill();
between.close();
between.closeAllConnections();
rmSync(root, { recursive: true, force: true });
finish('update');
