// A file of an application over slow networks, in headless Chromium with its own throttling: examples/update beside fetch with gzip,
// and beside fetch with compression dictionaries (RFC 9842, zstd). Of each: the first visit, one with nothing new, and one with
// a new version; from the navigation until the page has all bytes. dx-update has verified them by then; its first visit has the
// module and its WebAssembly in it.
// usage: node bench/bench_net.mjs FOLDER [ROUNDS]      FOLDER: output of examples/www/build.sh; prints CSV
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { createRequire } from 'node:module';
import { cpus, loadavg, tmpdir } from 'node:os';
import { gzipSync } from 'node:zlib';
const { chromium } = createRequire(import.meta.url)('../build/playwright/node_modules/playwright-core');

const [folder, rounds = '5'] = process.argv.slice(2), root = mkdtempSync(`${tmpdir()}/dx-net-`);
// Round trip in ms, and bit/s: the presets of Chromium's developer tools, and a line.
const networks = { '3G': [562.5, 1.44e6], '4G': [165, 8.1e6], fibre: [10, 100e6] };
const versions = [1, 2].map(n => readFileSync(`${folder}/app-${n}.dxs`));
const sha = bytes => createHash('sha256').update(bytes).digest();
let shown = 0;

// ---- the server: dxup behind /dx/, the same file in the two other ways
const publish = () => {
    writeFileSync(`${root}/app`, versions[shown]);
    execFileSync('build/dxup', ['publish', `${root}/store`, 'app', `${root}/app`, '--quiet']);
};
// zstd with the old version as its dictionary, in the frame of RFC 9842: magic, hash of the dictionary, zstd.
function dictionaryBody() {
    versions.forEach((bytes, i) => writeFileSync(`${root}/v${i}`, bytes));
    const frame = execFileSync('zstd', ['-19', '-q', '-c', '-D', `${root}/v0`, `${root}/v1`]);
    return Buffer.concat([Buffer.from([0x5e, 0x2a, 0x4d, 0x18, 0x20, 0, 0, 0]), sha(versions[0]), frame]);
}
const bodies = { plain: versions.map(v => gzipSync(v, { level: 9 })), dict: versions.map(v => gzipSync(v, { level: 9 })) };
const withDictionary = dictionaryBody(), used = new Set();
const preload = ['dx-update.js', 'cache.js', 'manifest.js', 'error.js'].map(name => `<link rel="modulepreload" href="/dx/${name}">`).join('')
    + '<link rel="preload" as="fetch" crossorigin href="/dx/dx-update.wasm">';
const page = how => `<!doctype html><meta charset="utf-8"><title>bench</title><link rel="icon" href="data:,">${how == 'dx' ? preload : ''}<script>
const hex = bytes => [...new Uint8Array(bytes)].map(b => b.toString(16).padStart(2, '0')).join('');
async function load(how) {
    let first = 0, bytes;
    if (how == 'dx') {
        const { update } = await import('/dx/dx-update.js');
        ({ bytes } = await update('/dx/app', { onChunk: () => first ||= performance.now() }));
    } else {
        bytes = await (await fetch('/' + how + '/app', { cache: 'no-cache' })).arrayBuffer();
    }
    const ms = performance.now(); // since the navigation
    return { ms, first, hash: hex(await crypto.subtle.digest('SHA-256', bytes)) };
}
const loaded = load('${how}');
</script>`;
let inner = 0;
const server = createServer((ask, answer) => {
    const [, how, name] = ask.url.split('/');
    if (how[0] == '?') return answer.writeHead(200, { 'Content-Type': 'text/html', 'Cache-Control': 'no-cache' }).end(page(how.slice(1)));
    if (how == 'dx' && name != 'app') {
        const packed = gzipSync(readFileSync(`${folder}/update/${name}`), { level: 9 });
        return answer.writeHead(200, { 'Content-Type': name.endsWith('.wasm') ? 'application/wasm' : 'text/javascript', 'Content-Encoding': 'gzip',
            'Content-Length': packed.length, 'Cache-Control': 'max-age=31536000, immutable' }).end(packed);
    }
    if (how == 'dx') {
        const inward = request({ host: '127.0.0.1', port: inner, path: '/app', headers: { ...ask.headers, connection: 'close' } }, got => {
            const { connection, ...headers } = got.headers;
            answer.writeHead(got.statusCode, headers);
            got.pipe(answer);
        });
        inward.on('error', () => answer.destroy());
        return inward.end();
    }
    const etag = `"${shown}"`, headers = { ETag: etag, 'Cache-Control': 'max-age=3600', 'Content-Type': 'application/octet-stream', Vary: 'accept-encoding' };
    if (how == 'dict') Object.assign(headers, { 'Use-As-Dictionary': 'match="/dict/app"', Vary: 'accept-encoding, available-dictionary' });
    if (ask.headers['if-none-match'] == etag) return answer.writeHead(304, headers).end();
    const has = how == 'dict' && shown == 1 && ask.headers['available-dictionary'] == `:${sha(versions[0]).toString('base64')}:`;
    if (has) used.add(ask.headers['accept-encoding']);
    const body = has ? withDictionary : bodies[how][shown];
    answer.writeHead(200, { ...headers, 'Content-Encoding': has ? 'dcz' : 'gzip', 'Content-Length': body.length }).end(body);
});
// What the server has sent, heads and bodies.
let sent = 0;
server.on('connection', socket => {
    let before = 0;
    const count = () => (sent += socket.bytesWritten - before, before = socket.bytesWritten);
    sockets.add(count);
    socket.on('close', () => count() && sockets.delete(count));
});
const sockets = new Set(), sentBytes = () => (sockets.forEach(count => count()), sent);
await new Promise(done => server.listen(0, '127.0.0.1', done));
publish();
const dxup = spawn('build/dxup', ['serve', `${root}/store`, '--listen', '127.0.0.1:0', '--http', '127.0.0.1:0', '--workers', '1'], { stdio: ['ignore', 'pipe', 'inherit'] });
inner = await new Promise((yes, no) => {
    let said = '';
    dxup.on('exit', () => no(new Error('dxup does not serve')));
    dxup.stdout.on('data', part => (said += part).match(/127\.0\.0\.1:(\d+) for HTTP/) && yes(+said.match(/127\.0\.0\.1:(\d+) for HTTP/)[1]));
});

// ---- the browser
const chrome = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(path => spawnSync(path, ['--version']).status == 0);
const browser = await chromium.launch({ executablePath: chrome, headless: true, timeout: 300000,
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-background-networking', '--disable-sync',
        '--enable-features=CompressionDictionaryTransport,CompressionDictionaryTransportBackend,CompressionDictionaryTransportOverHttp1'] });
async function once(how, [latency, rate]) {
    const context = await browser.newContext(), tab = await context.newPage(), cdp = await context.newCDPSession(tab), results = [];
    await cdp.send('Network.enable');
    await cdp.send('Network.emulateNetworkConditions', { offline: false, latency, downloadThroughput: rate / 8, uploadThroughput: rate / 8 });
    for (const step of [0, 0, 1]) {
        if (shown != step) shown = step, publish();
        const before = sentBytes();
        await tab.goto(`http://127.0.0.1:${server.address().port}/?${how}`);
        const got = await tab.evaluate(() => loaded);
        if (got.hash != sha(versions[step]).toString('hex')) throw new Error(`${how}: wrong bytes`);
        results.push({ ...got, travelled: sentBytes() - before });
        await tab.waitForTimeout(300); // until the browser has stored it
    }
    shown = 0, publish();
    await context.close();
    return results;
}
const median = list => list.sort((a, b) => a - b)[list.length >> 1];
console.log(`# ${versions[0].length} bytes, ${versions[1].length} in the new version; medians of ${rounds} rounds; Chromium ${browser.version()}; Node ${process.version}; ${cpus()[0].model}; load ${loadavg()[0].toFixed(1)}`);
console.log('network,way,first ms,first bytes,first chunk ms,again ms,again bytes,new ms,new bytes');
for (const [network, conditions] of Object.entries(networks))
    for (const how of ['dx', 'plain', 'dict']) {
        const all = [];
        for (let i = 0; i < +rounds; i++) all.push(await once(how, conditions));
        const of = (step, field) => Math.round(median(all.map(r => r[step][field])));
        const line = [0, 1, 2].map(step => [of(step, 'ms'), of(step, 'travelled'), ...step == 0 ? [of(0, 'first') || ''] : []]).flat();
        console.log([network, { dx: 'dx-update', plain: 'fetch and gzip', dict: 'dictionary' }[how], ...line].join());
    }
if (!used.size) console.log('# no dictionary was used');
await browser.close();
dxup.removeAllListeners('exit');
dxup.kill();
server.closeAllConnections();
server.close();
rmSync(root, { recursive: true });
