// The server of the dashboard: dxup serve --http, and in front of it what dxup leaves to a site. Every answer has the headers that
// shared memory needs (COOP, COEP); / is the dashboard with its rows as HTML; POST /publish is the button; a feed changes.
// usage: node server.mjs FOLDER HOST:PORT [MS]      FOLDER: output of build.sh; a new store is made in it. MS: between two versions of the feed
import { execFile, execFileSync, spawn } from 'node:child_process';
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { networkInterfaces } from 'node:os';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect } from '../clients/dx_hbtp.mjs';
import { bridge } from './ws_bridge.mjs';

const dxup = fileURLToPath(new URL('../../build/dxup', import.meta.url)), QUOTES = 1000, AGAIN_MS = 100, AGAIN_MAX_MS = 5000, START_MS = 10000;
// Of a connection, or of a body, which dxup has no use for: not passed on.
const HOP = new Set('connection keep-alive proxy-connection te trailer transfer-encoding upgrade content-length expect'.split(' '));

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

const children = new Set();
process.on('exit', () => children.forEach(child => child.kill())); // they do not outlive this process, whatever ended it

// A program that runs until stop(): when it ends, it is started again, after a wait that doubles while it does not even start.
// read: what it says once it is ready, from its output, or null; begin: of that what users wait for. Rejects if its first start fails.
async function keep(command, args, read, begin = async ready => ready) {
    const name = basename(command);
    let child = null, stopped = false, wait = AGAIN_MS, timer = 0, now = null, waiters = [];
    const start = () => new Promise((yes, no) => {
        const own = child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
        let said = '', isReady = false;
        children.add(own);
        own.stdout.on('data', part => {
            const ready = isReady ? null : read(said += part);
            if (ready === null) return;
            isReady = true;
            begin(ready).then(value => {
                if (child != own || own.exitCode !== null || own.signalCode) return;
                now = value;
                wait = AGAIN_MS;
                waiters.splice(0).forEach(done => done());
                yes();
            }, error => (no(error), own.kill()));
        });
        const ended = why => {
            if (child != own) return;
            child = now = null;
            children.delete(own);
            no(new Error(`${name} ${why}`));
            if (stopped) return waiters.splice(0).forEach(done => done());
            console.error(`${name} ${why}; it is started again in ${wait} ms`);
            timer = setTimeout(() => start().catch(() => {}), wait);
            wait = Math.min(2 * wait, AGAIN_MAX_MS);
        };
        own.on('error', error => ended(`does not start: ${error.message}`)).on('exit', (status, signal) => ended(`ends with ${signal ?? status}`));
    });
    const stop = async () => {
        stopped = true;
        clearTimeout(timer);
        const own = child;
        if (own) await new Promise(done => own.on('exit', done).on('error', done) && own.kill());
    };
    await start().catch(error => stop().then(() => { throw error; }));
    return {
        stop,
        get now() { return now; }, // null: it does not run
        get child() { return child; },
        // What begin() made of the program that runs, which may be starting.
        async ready() {
            if (!now && !stopped) await new Promise(done => {
                const late = setTimeout(done, START_MS);
                waiters.push(() => (clearTimeout(late), done()));
            });
            if (!now) throw new Error(`${name} does not run`);
            return now;
        },
    };
}

// The feed over WebSocket: live.c behind ws_bridge.mjs. It is started again when it ends; its journal has what subscribers saw.
export async function startLive(folder) {
    const PUBLISH = 1;
    const live = await keep(`${folder}/live`, [`${folder}/live.journal`], said => said.endsWith('\n') ? said.trim().split(' ').map(Number) : null,
        async ([port, publisher]) => ({ port, session: await connect('127.0.0.1', publisher) }));
    return {
        // All quotes; the epoch and the version that they have.
        async publish(bytes) {
            const { session } = await live.ready(), answer = await session.call(PUBLISH, bytes), view = new DataView(answer.buffer, answer.byteOffset);
            return { epoch: view.getBigUint64(0, true), version: view.getBigUint64(8, true) };
        },
        get port() { return live.now?.port; }, // undefined: it does not run
        // Without a chance to write anything; it starts again.
        async kill() {
            const own = live.child;
            if (own) await new Promise(done => own.on('exit', done) && own.kill('SIGKILL'));
            await live.ready();
        },
        async stop() {
            live.now?.session.end();
            await live.stop();
        },
    };
}

// Is this the Host of a page of this server? Names that others control can lead here, too, and then their pages are of the same origin.
function isOwn(host, bound) {
    const name = /^(\[[0-9a-f:.]+\]|[^:]+)(:\d+)?$/i.exec(host ?? '')?.[1].replace(/^\[|\]$/g, '').toLowerCase();
    if (!name) return false;
    if (['127.0.0.1', '::1', 'localhost', bound.toLowerCase()].includes(name)) return true;
    return ['0.0.0.0', '::'].includes(bound) && Object.values(networkInterfaces()).flat().some(({ address }) => address == name);
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
    const inner = await keep(dxup, ['serve', store, '--listen', '127.0.0.1:0', '--http', '127.0.0.1:0', '--workers', '1'],
        said => said.match(/127\.0\.0\.1:(\d+) for HTTP/)?.[1] ?? null);
    const isolated = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp', 'Cross-Origin-Resource-Policy': 'same-origin' };
    const say = (answer, status, text, more = {}) => answer.writeHead(status, { ...isolated, 'Content-Type': 'text/plain; charset=utf-8', ...more }).end(text);
    const page = readFileSync(`${folder}/site/feed.html`, 'utf8');
    const travelled = { feed: 0 };
    const server = createServer((ask, answer) => {
        const path = ask.url.split('?')[0];
        if (path == '/publish') {
            // Only this page's button: a form of another site can post, too.
            if (ask.method != 'POST') return say(answer, 405, 'POST publishes the next version of the application\n', { Allow: 'POST' });
            if (!isOwn(ask.headers.host, host)) return say(answer, 403, 'this server has another name\n');
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
        if (!inner.now) return say(answer, 502, 'dxup serve does not run\n');
        let inward;
        const headers = Object.fromEntries(Object.entries(ask.headers).filter(([name]) => !HOP.has(name)));
        try {
            inward = request({ host: '127.0.0.1', port: inner.now, path: ask.url, method: ask.method, headers: { ...headers, connection: 'close' } });
        } catch (error) { // what Node sends to nobody
            return say(answer, 400, `${error.message}\n`);
        }
        const failed = () => answer.headersSent ? answer.destroy() : say(answer, 502, 'dxup serve does not answer\n');
        inward.on('error', failed).on('response', got => {
            const { connection, ...headers } = got.headers;
            answer.writeHead(got.statusCode, { ...headers, ...isolated });
            got.on('data', part => path.startsWith('/feed.bin') && (travelled.feed += part.length));
            got.on('error', failed).pipe(answer);
        });
        answer.on('close', () => inward.destroy());
        inward.end(); // dxup takes no bodies
    });
    server.on('upgrade', (ask, socket, head) => ask.url == '/live' && isOwn(ask.headers.host, host) ? bridge(ask, socket, head, live.port) : socket.destroy());
    await new Promise((yes, no) => server.on('error', no).listen(port, host, yes));
    const step = () => {
        feed.step();
        try {
            publishFeed();
        } catch (error) { // dxup has said why
            console.error(`the feed was not published: ${error.message}`);
        }
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
            await inner.stop();
        },
    };
}

if (process.argv[1] == fileURLToPath(import.meta.url)) {
    const [folder, at, everyMs = '1000'] = process.argv.slice(2), [, host, port] = at?.match(/^(.*):(\d+)$/) ?? [];
    if (!host || !(+everyMs >= 0)) {
        console.error('usage: node server.mjs FOLDER HOST:PORT [MS]');
        process.exit(2);
    }
    const server = await startServer({ folder, host, port: +port, everyMs: +everyMs }).catch(error => {
        console.error(`server.mjs: ${error.message}`);
        process.exit(1);
    });
    console.log(`open http://${host}:${server.port}/`);
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(name, () => server.stop().then(() => process.exit(0)));
}
