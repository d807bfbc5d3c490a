// The dashboard's server (examples/www/server.mjs) and its WebSockets (ws_bridge.mjs) against what is hostile or dies. No browser.
// usage: node server.mjs FOLDER      FOLDER: output of examples/www/build.sh
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import { bridge } from '../../examples/www/ws_bridge.mjs';
import { attempt, expect, finish } from './cases.mjs';

const [folder] = process.argv.slice(2), script = fileURLToPath(new URL('../../examples/www/server.mjs', import.meta.url));
const sleep = ms => new Promise(done => setTimeout(done, ms));
async function until(ready, ms, what) {
    for (const end = performance.now() + ms; ;) {
        const value = await ready();
        if (value) return value;
        if (performance.now() > end) throw new Error(`not in ${ms} ms: ${what}`);
        await sleep(20);
    }
}
const pidsBelow = pid => execFileSync('ps', ['-o', 'pid=,args=', '--ppid', String(pid)], { encoding: 'utf8' }).trim().split('\n').map(line => line.trim());
const pidOf = (pid, program) => pidsBelow(pid).filter(line => new RegExp(program).test(line)).map(line => Number(line.split(' ')[0]))[0];
const isAlive = pid => {
    try {
        return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
    } catch {
        return false;
    }
};
async function startDashboard(...node) {
    const child = spawn(process.execPath, node.length ? node : [script, folder, '127.0.0.1:0', '0'], { stdio: ['ignore', 'pipe', 'pipe'] });
    const own = { child, said: '', out: '', port: 0, get dead() { return child.exitCode !== null || child.signalCode !== null; } };
    child.stderr.on('data', part => own.said += part);
    child.stdout.on('data', part => own.out += part);
    own.port = Number(await until(() => own.dead ? 'dead' : own.out.match(/:(\d+)\//)?.[1], 30000, `it listens; ${own.said}`));
    return own;
}
// The answer to these bytes, or what came of it in 1.5 s.
const ask = (port, bytes) => new Promise(done => {
    let said = '';
    const socket = net.connect(port, '127.0.0.1', () => socket.write(Buffer.from(bytes, 'latin1')));
    const timer = setTimeout(() => socket.destroy(), 1500);
    socket.on('data', data => {
        said += data.toString('latin1');
        said = said.replace(/^HTTP\/1.1 100 Continue\r\n\r\n/, '');
        if (/^HTTP\/1.1 [2-5]/.test(said) && said.includes('\r\n\r\n')) setTimeout(() => socket.destroy(), 50);
    }).on('error', () => {}).on('close', () => (clearTimeout(timer), done(said)));
});
const get = (port, path, more = '', method = 'GET') => ask(port, `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${more}\r\n`);
const statusOf = said => Number(said.slice(9, 12));

let dashboard = await startDashboard();
await attempt('the dashboard answers whatever is asked, and lives', async () => {
    const heads = [['Trailer: foo\r\n', 404], ['Trailer: foo\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n', 404], ['TE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n', 404],
        ['Expect: 100-continue\r\n', 404], ['Content-Length: 3\r\n\r\nabc', 404], ['Connection: Upgrade, Trailer\r\nTrailer: x\r\n', 404], ['Keep-Alive: \xe9\r\n', 404],
        ['X-A: \xe9\x80\r\n', 404], ['Connection: close, Host\r\n', 404], ['Accept-Encoding: gzip\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n', 404], ['Expect: x\r\n', 417]];
    for (const [head, status] of heads) {
        const said = await get(dashboard.port, '/nothing', head);
        expect(!dashboard.dead, `it died of ${JSON.stringify(head)}: ${dashboard.said}`);
        expect(statusOf(said) == status, `${JSON.stringify(head)}: ${said.slice(0, 60)}`);
    }
    for (const path of ['/\xff\xfe', '//', '/%', 'http://evil/', '*', '/?' + 'a'.repeat(10000), '/\\', "/'<>"]) {
        await get(dashboard.port, path);
        await get(dashboard.port, path, '', 'OPTIONS');
        expect(!dashboard.dead, `it died of ${path}: ${dashboard.said}`);
    }
    await ask(dashboard.port, 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(statusOf(await get(dashboard.port, '/style.css')) == 200, 'it serves no more');
});
await attempt('requests that are left leave nothing open', async () => {
    const count = () => execFileSync('ls', [`/proc/${dashboard.child.pid}/fd`], { encoding: 'utf8' }).split('\n').length, before = count();
    await Promise.all(Array.from({ length: 60 }, (_, i) => new Promise(done => {
        const socket = net.connect(dashboard.port, '127.0.0.1', () => {
            socket.write(i % 2 ? 'GET /core-simd.wasm HTTP/1.1\r\nHost: a\r\n\r\n' : 'GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc');
            setTimeout(() => (socket.destroy(), done()), 20);
        }).on('error', done);
    })));
    await until(() => count() <= before + 5, 3000, `${before} descriptors, then ${count()}`);
});
await attempt('only a page of this server publishes, whatever name leads to it', async () => {
    const publish = (host, origin) => ask(dashboard.port, `POST /publish HTTP/1.1\r\nHost: ${host}\r\nOrigin: ${origin}\r\nContent-Length: 0\r\n\r\n`).then(statusOf);
    const { port } = dashboard, said = [];
    for (const [host, origin] of [['evil.example', 'http://evil.example'], [`evil.example:${port}`, `http://evil.example:${port}`], ['127.0.0.1.evil.example', 'http://127.0.0.1.evil.example'],
        [`127.0.0.1:${port}`, 'http://evil.example'], [`127.0.0.1:${port}`, 'null'], ['', 'http://'], ['localhost.', 'http://localhost.'],
        [`127.0.0.1:${port}`, `http://127.0.0.1:${port}`], [`localhost:${port}`, `http://localhost:${port}`], ['[::1]:80', 'http://[::1]:80']])
        said.push(await publish(host, origin));
    expect(said.join() == '403,403,403,403,403,403,403,200,200,200', said.join());
    const key = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';
    const live = host => ask(port, `GET /live HTTP/1.1\r\nHost: ${host}\r\nOrigin: http://${host}\r\n${key}`);
    expect(await live('evil.example') == '' && (await live(`127.0.0.1:${port}`)).startsWith('HTTP/1.1 101'), 'WebSocket');
});
await attempt('live that does not start again is tried less and less often, and the dashboard lives', async () => {
    const journal = `${folder}/live.journal`, own = dashboard;
    writeFileSync(journal, 'garbage');
    process.kill(pidOf(own.child.pid, '/live '), 'SIGKILL');
    await until(() => own.said.match(/live ends with 1; it is started again in 800 ms/), 8000, `the message; ${own.said}`);
    const waits = [...own.said.matchAll(/started again in (\d+) ms/g)].map(m => Number(m[1]));
    expect(!own.dead && /live: .*live.journal: this is not a journal/.test(own.said), own.said);
    expect(waits.slice(0, 5).join() == '100,100,200,400,800' || waits.slice(0, 4).join() == '100,200,400,800', `waits ${waits}`);
    expect(statusOf(await get(own.port, '/')) == 200, 'the page');
    const refused = await get(own.port, '/live', 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n');
    expect(statusOf(refused) == 503, refused.slice(0, 40));
    rmSync(journal);
    await until(() => pidOf(own.child.pid, '/live '), 8000, 'it runs again');
    return `after ${waits.join(', ')} ms`;
});
await attempt('dxup serve that dies is started again', async () => {
    process.kill(pidOf(dashboard.child.pid, 'dxup serve'), 'SIGKILL');
    await until(async () => statusOf(await get(dashboard.port, '/style.css')) == 200, 5000, 'it serves again');
    expect(/dxup ends with SIGKILL; it is started again/.test(dashboard.said), dashboard.said);
});
for (const [how, end] of [['SIGTERM', own => own.child.kill('SIGTERM')], ['SIGHUP', own => own.child.kill('SIGHUP')], ['an exception', null]])
    await attempt(`its programs end with the dashboard: ${how}`, async () => {
        const throwing = `const { startServer } = await import(${JSON.stringify(script)}); const { port } = await startServer({ folder: ${JSON.stringify(folder)}, everyMs: 0 });
            console.log('http://127.0.0.1:' + port + '/'); process.on('message', () => {}); process.stdin.once('data', () => { throw new Error('as it must'); });`;
        let own = dashboard;
        if (!end) {
            const child = spawn(process.execPath, ['--input-type=module', '-e', throwing], { stdio: ['pipe', 'pipe', 'pipe'] });
            own = { child, out: '' };
            child.stdout.on('data', part => own.out += part);
            await until(() => /:\d+\//.test(own.out), 30000, 'it listens');
        } else if (own.dead || how != 'SIGTERM') own = await startDashboard();
        const pids = pidsBelow(own.child.pid).filter(line => !/ ps /.test(line)).map(line => Number(line.split(' ')[0]));
        expect(pids.length == 2, `programs ${pids}`);
        const ended = new Promise(done => own.child.on('exit', (...status) => done(status.join())));
        end ? end(own) : own.child.stdin.write('x');
        const status = await ended;
        expect(status == (end ? '0,' : '1,'), `exit ${status}`);
        await until(() => !pids.some(isAlive), 5000, `${pids.filter(isAlive)} ended`);
    });

// The bridge alone, before a server that answers with the same bytes.
const echo = net.createServer(socket => socket.on('error', () => {}).pipe(socket)).listen(0, '127.0.0.1');
await new Promise(done => echo.once('listening', done));
const front = createServer().on('upgrade', (asked, socket, head) => bridge(asked, socket, head, echo.address().port)).listen(0, '127.0.0.1');
await new Promise(done => front.once('listening', done));
const { port } = front.address();
const frame = (opcode, payload, first = 0x80) => Buffer.concat([Buffer.from(payload.length < 126 ? [first | opcode, 0x80 | payload.length, 0, 0, 0, 0]
    : [first | opcode, 0x80 | 126, payload.length >> 8, payload.length & 255, 0, 0, 0, 0]), payload]);
// A WebSocket that sends no end on its own; said: what came after the head.
const open = () => new Promise(done => {
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () => socket.write(
        'GET /live HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'));
    let head = '';
    socket.said = Buffer.alloc(0);
    socket.on('error', () => {}).on('close', () => done(socket)).on('data', data => {
        if (socket.status) return socket.said = Buffer.concat([socket.said, data]);
        head += data.toString('latin1');
        if (!head.includes('\r\n\r\n')) return;
        socket.status = statusOf(head);
        done(socket);
    });
});
const closeCode = socket => socket.said.length >= 4 && socket.said.at(-4) == 0x88 ? socket.said.readUInt16BE(socket.said.length - 2) : 0;
await attempt('WebSocket: messages in pieces of any size arrive', async () => {
    const socket = await open(), payload = Buffer.from(Array.from({ length: 3000 }, (_, i) => i * 7 & 255));
    const bytes = Buffer.concat([frame(2, payload.subarray(0, 1000), 0), frame(9, Buffer.from('ping')), frame(0, payload.subarray(1000, 1100), 0), frame(0, payload.subarray(1100))]);
    socket.setNoDelay(true);
    for (let at = 0; at < bytes.length;) {
        const size = at < 1300 ? 1 : 700;
        socket.write(bytes.subarray(at, at += size));
        if (at % 8 == 0) await sleep(0);
    }
    const got = () => { // the payloads of what came, without the pong
        const parts = [], { said } = socket;
        for (let at = 0; at + 2 <= said.length;) {
            const short = said[at + 1] & 127, head = short < 126 ? 2 : 4, size = short < 126 ? short : said.readUInt16BE(at + 2);
            if ((said[at] & 15) == 2) parts.push(said.subarray(at + head, at + head + size));
            at += head + size;
        }
        return Buffer.concat(parts);
    };
    await until(() => got().length >= payload.length, 3000, 'all of it');
    expect(got().equals(payload), 'other bytes');
    expect(socket.said.includes(Buffer.from('ping')), 'no pong');
    socket.destroy();
});
await attempt('WebSocket: pings of a client that reads nothing are not collected', async () => {
    const socket = await open(), pings = Buffer.concat(Array.from({ length: 500 }, () => frame(9, Buffer.alloc(125))));
    socket.pause();
    let sent = 0;
    for (const begin = performance.now(); performance.now() - begin < 3000 && !socket.destroyed && sent < 300 << 20;) {
        sent += pings.length;
        if (!socket.write(pings)) await Promise.race([new Promise(done => socket.once('drain', done)), sleep(500)]);
        else await sleep(0);
    }
    const taken = sent - socket.writableLength;
    socket.destroy();
    expect(taken < 40 << 20, `${taken >> 20} MiB of pings were taken`);
    return `${taken >> 20} MiB until it waited`;
});
await attempt('WebSocket: who goes on after an error is cut off, and what it sends is dropped', async () => {
    const socket = await open(), junk = Buffer.alloc(1 << 20, 1), before = process.memoryUsage().rss, begin = performance.now();
    socket.write(frame(3, Buffer.alloc(0))); // no such opcode
    let sent = 0, most = 0;
    while (!socket.destroyed && performance.now() - begin < 8000) {
        sent++;
        if (!socket.write(junk)) await Promise.race([new Promise(done => socket.once('drain', done)), sleep(200)]);
        most = Math.max(most, process.memoryUsage().rss - before);
        await sleep(2);
    }
    const took = performance.now() - begin;
    expect(socket.destroyed && took < 5000, `open after ${took.toFixed(0)} ms and ${sent} MiB`);
    expect(closeCode(socket) == 1002, `code ${closeCode(socket)}`);
    expect(most < 200 << 20, `${most >> 20} MiB more for ${sent} MiB`);
    return `${sent} MiB in ${took.toFixed(0)} ms`;
});
await attempt('WebSocket: who sends no data is closed, who did is not; at most 16 of an address', async () => {
    const sockets = [];
    for (let i = 0; i < 16; i++) sockets.push(await open());
    const more = await open();
    expect(more.status == 429 && sockets.every(({ status }) => status == 101), `${sockets.map(({ status }) => status)}, ${more.status}`);
    sockets[0].write(frame(2, Buffer.from('hello')));
    const pinging = setInterval(() => sockets[1].write(frame(9, Buffer.from('x'))), 500); // no data
    await until(() => sockets.slice(1).every(closeCode), 8000, `closed: ${sockets.map(closeCode)}`);
    clearInterval(pinging);
    expect(sockets.slice(1).every(socket => closeCode(socket) == 1008) && !closeCode(sockets[0]), `codes ${sockets.map(closeCode)}`);
    await until(() => new Promise(done => front.getConnections((error, count) => done(count == 1))), 4000, 'the connections end, though the client does not end them');
    const again = await open();
    expect(again.status == 101, `then ${again.status}`);
    again.destroy();
    sockets[0].end(); // half of it
    await until(() => closeCode(sockets[0]) || sockets[0].destroyed, 2000, 'a connection whose client has ended it');
});
front.closeAllConnections();
front.close();
echo.close();
finish('server');
