// The server of the dashboard: dxup serve --http, and in front of it what dxup leaves to a site. Every answer has the headers that
// shared memory needs (COOP, COEP); / is the dashboard with its rows as HTML; POST /publish is the button; a feed changes.
// usage: node server.mjs FOLDER HOST:PORT [MS]      FOLDER: output of build.sh; a new store is made in it. MS: between two versions of the feed
import { execFile, execFileSync, spawn } from 'node:child_process';
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { fileURLToPath } from 'node:url';
import { connect } from '../clients/dx_hbtp.mjs';
import { bridge } from './ws_bridge.mjs';

const dxup = fileURLToPath(new URL('../../build/dxup', import.meta.url)), QUOTES = 1000;

// Quotes as feed.c reads them; each step changes some.
export function makeFeed(seed = 1) {
    const bytes = Buffer.alloc(QUOTES * 16), base = [];
    const random = n => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) % n;
    const set = (i, price, hits) => {
        bytes.writeUInt32LE(i + 1, 16 * i);
        bytes.writeInt32LE(price, 16 * i + 4);
        bytes.writeInt32LE(Math.round((price - base[i]) * 10000 / base[i]), 16 * i + 8);
        bytes.writeUInt32LE(hits, 16 * i + 12);
    };
    for (let i = 0; i < QUOTES; i++) set(i, base[i] = 1000 + random(90000), 0);
    return {
        bytes,
        step(count = 50) {
            for (; count; count--) {
                const i = random(QUOTES), price = bytes.readInt32LE(16 * i + 4);
                set(i, Math.max(100, price + Math.round(price * (random(401) - 200) / 10000)), bytes.readUInt32LE(16 * i + 12) + 1);
            }
        },
    };
}

// The feed over WebSocket: live.c behind ws_bridge.mjs. It is started again when it ends; its journal has what subscribers saw.
export async function startLive(folder) {
    const PUBLISH = 1;
    let child, session, ports, stopped = false, running;
    const start = async () => {
        child = spawn(`${folder}/live`, [`${folder}/live.journal`], { stdio: ['ignore', 'pipe', 'inherit'] });
        const own = child;
        ports = await new Promise((yes, no) => {
            let said = '';
            own.on('exit', status => no(new Error(`live ends with ${status}`)));
            own.stdout.on('data', part => (said += part).endsWith('\n') && yes(said.trim().split(' ').map(Number)));
        });
        session = await connect('127.0.0.1', ports[1]);
        own.on('exit', () => stopped || (running = start()));
    };
    running = start();
    await running;
    return {
        // All quotes; the epoch and the version that they have.
        async publish(bytes) {
            await running;
            const answer = await session.call(PUBLISH, bytes), view = new DataView(answer.buffer, answer.byteOffset);
            return { epoch: view.getBigUint64(0, true), version: view.getBigUint64(8, true) };
        },
        get port() { return ports[0]; },
        // Without a chance to write anything; it starts again.
        async kill() {
            const own = child;
            own.kill('SIGKILL');
            await new Promise(done => own.on('exit', done));
            await running;
        },
        async stop() {
            stopped = true;
            session.end();
            await new Promise(done => child.on('exit', done) && child.kill());
        },
    };
}

export async function startServer({ folder, host = '127.0.0.1', port = 0, everyMs = 1000 }) {
    const store = `${folder}/feed-store`, feed = makeFeed();
    rmSync(store, { recursive: true, force: true });
    const publish = (name, path) => execFileSync(dxup, ['publish', store, name, path, '--quiet']);
    let version = 0, html = '', shown = 1;
    // The next version of the feed, and the first paint of it.
    const publishFeed = () => {
        writeFileSync(`${folder}/feed.bin`, feed.bytes);
        publish('feed.bin', `${folder}/feed.bin`);
        html = execFileSync(`${folder}/feed`, { input: feed.bytes, encoding: 'utf8' });
        version++;
    };
    publishFeed();
    rmSync(`${folder}/live.journal`, { force: true });
    const live = await startLive(folder);
    await live.publish(feed.bytes);
    publish('app.dxs', `${folder}/app-1.dxs`);
    for (const file of readdirSync(`${folder}/site`)) publish(file, `${folder}/site/${file}`);
    const inner = spawn(dxup, ['serve', store, '--listen', '127.0.0.1:0', '--http', '127.0.0.1:0', '--workers', '1'], { stdio: ['ignore', 'pipe', 'inherit'] });
    const innerPort = await new Promise((yes, no) => {
        let said = '';
        inner.on('exit', status => no(new Error(`dxup serve ends with ${status}: ${said}`)));
        inner.stdout.on('data', part => {
            const found = (said += part).match(/127\.0\.0\.1:(\d+) for HTTP/);
            if (found) yes(+found[1]);
        });
    });
    const isolated = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp', 'Cross-Origin-Resource-Policy': 'same-origin' };
    const say = (answer, status, text, more = {}) => answer.writeHead(status, { ...isolated, 'Content-Type': 'text/plain; charset=utf-8', ...more }).end(text);
    const page = readFileSync(`${folder}/site/feed.html`, 'utf8');
    const travelled = { feed: 0 };
    const server = createServer((ask, answer) => {
        const path = ask.url.split('?')[0];
        if (path == '/publish') {
            // Only this page's button: a form of another site can post, too.
            if (ask.method != 'POST') return say(answer, 405, 'POST publishes the next version of the application\n', { Allow: 'POST' });
            if (ask.headers.origin != `http://${ask.headers.host}`) return say(answer, 403, 'another site asks\n');
            const next = 3 - shown;
            return execFile(dxup, ['publish', store, 'app.dxs', `${folder}/app-${next}.dxs`, '--quiet'], (error, out, said) => {
                if (error) return say(answer, 500, `not published: ${said}`);
                shown = next;
                say(answer, 200, `version ${next}\n`);
            });
        }
        if (path == '/' && (ask.method == 'GET' || ask.method == 'HEAD')) {
            const text = page.replace('<tbody id="rows"></tbody>', () => `<tbody id="rows" data-version="${version}">${html}</tbody>`);
            return answer.writeHead(200, { ...isolated, 'Content-Type': 'text/html; charset=utf-8', 'Cache-Control': 'no-cache' }).end(ask.method == 'GET' ? text : '');
        }
        const inward = request({ host: '127.0.0.1', port: innerPort, path: ask.url, method: ask.method, headers: { ...ask.headers, connection: 'close' } }, got => {
            const { connection, ...headers } = got.headers;
            answer.writeHead(got.statusCode, { ...headers, ...isolated });
            got.on('data', part => path.startsWith('/feed.bin') && (travelled.feed += part.length));
            got.pipe(answer);
        });
        inward.on('error', () => answer.headersSent ? answer.destroy() : say(answer, 502, 'dxup serve does not answer\n'));
        ask.pipe(inward);
    });
    server.on('upgrade', (ask, socket, head) => ask.url == '/live' ? bridge(ask, socket, head, live.port) : socket.destroy());
    await new Promise((yes, no) => server.on('error', no).listen(port, host, yes));
    const step = () => {
        feed.step();
        publishFeed();
        live.publish(feed.bytes).catch(error => console.error(`live: ${error.message}`));
    };
    const timer = everyMs ? setInterval(step, everyMs) : null;
    return {
        port: server.address().port, feed, live, step, travelled,
        get version() { return version; },
        async stop() {
            clearInterval(timer);
            await live.stop();
            server.closeAllConnections();
            await new Promise(done => server.close(done));
            inner.removeAllListeners('exit');
            await new Promise(done => inner.on('exit', done) && inner.kill());
        },
    };
}

if (process.argv[1] == fileURLToPath(import.meta.url)) {
    const [folder, at, everyMs = '1000'] = process.argv.slice(2), [, host, port] = at?.match(/^(.*):(\d+)$/) ?? [];
    if (!host || !(+everyMs >= 0)) {
        console.error('usage: node server.mjs FOLDER HOST:PORT [MS]');
        process.exit(2);
    }
    const server = await startServer({ folder, host, port: +port, everyMs: +everyMs });
    console.log(`open http://${host}:${server.port}/`);
    for (const name of ['SIGINT', 'SIGTERM']) process.once(name, () => server.stop().then(() => process.exit(0)));
}
