// The live feed over WebSocket (examples/www/live.c, ws_bridge.mjs, live.js) in a headless browser: connections are cut at random bytes,
// its server is killed, and the page is compared with the rows that a server makes of the same quotes.
// usage: node live.mjs FOLDER [chromium|firefox]      FOLDER: output of examples/www/build.sh. DX_TEST_SEED: another course of events
import { spawnSync } from 'node:child_process';
import { appendFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import { makeFeed, startServer } from '../../examples/www/server.mjs';
import { browserOrSkip, startBrowser } from './browsers.mjs';
import { attempt, expect, finish } from './cases.mjs';

const [folder, asked] = process.argv.slice(2), name = browserOrSkip('live', asked), first = Number(process.env.DX_TEST_SEED ?? 1), ROUNDS = 20;
let seed = first;
const random = n => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0, Math.floor(seed / 65536) % n);
const server = await startServer({ folder, everyMs: 0 });
// Between browser and server: a connection of the feed ends after so many bytes from the server.
const line = { left: Infinity, away: false, cuts: 0, sockets: new Set() };
const forwarder = net.createServer(near => {
    const far = net.connect(server.port, '127.0.0.1'), both = { cut: () => (near.destroy(), far.destroy()) };
    let isFeed = false;
    near.on('error', () => {}).on('close', () => (line.sockets.delete(both), far.destroy()));
    far.on('error', () => {}).on('close', () => near.destroy());
    near.on('data', data => {
        if (!isFeed && data.subarray(0, 10).toString() == 'GET /live ') line.sockets.add(both), isFeed = true;
        far.write(data);
    });
    far.on('data', data => {
        if (isFeed && line.away) return both.cut();
        if (!isFeed || data.length < line.left) {
            line.left -= isFeed ? data.length : 0;
            return near.write(data);
        }
        near.write(data.subarray(0, line.left), both.cut);
        line.cuts++;
        line.left = random(3) ? random(3000) : random(120000); // and so does the next one
    });
}).listen(0, '127.0.0.1');
await new Promise(done => forwarder.once('listening', done));
const browser = await startBrowser(name), page = await browser.newPage(), troubles = [];
page.setDefaultTimeout(60000);
page.on('pageerror', error => troubles.push(error.message));

// Quotes of which some are there at a time.
const feed = makeFeed(first), there = new Set(Array.from({ length: 1000 }, (_, i) => i));
const quotes = () => Buffer.concat([...there].sort((a, b) => a - b).map(i => feed.bytes.subarray(16 * i, 16 * i + 16)));
let last = null;
async function publish() {
    const bytes = quotes();
    for (let tries = 0; ; tries++) // it may be starting again
        try {
            return last = { ...await server.live.publish(bytes), bytes };
        } catch (error) {
            if (tries == 100) throw error;
            await new Promise(done => setTimeout(done, 50));
        }
}
// Wait until the page has the last version; then it has to be the rows that a server makes.
async function compare() {
    line.left = Infinity;
    await page.waitForFunction(version => document.body.dataset.version == version, String(last.version));
    const { html, counts, epoch } = await page.evaluate(() => ({ html: document.getElementById('rows').innerHTML.replaceAll(' data-slot=""', ''),
        counts: live.counts, epoch: String(live.since.epoch) }));
    const want = spawnSync(`${folder}/feed`, { input: last.bytes, encoding: 'utf8' }).stdout;
    expect(html == want, `version ${last.version} is not what the server has: ${html.length} characters, ${want.length}`);
    expect(epoch == String(last.epoch), `epoch ${epoch}`);
    return counts;
}
const cut = () => line.sockets.forEach(both => both.cut());

await attempt(`ht_9 ${name}: the whole, then changes of one row`, async () => {
    await publish();
    await page.goto(`http://127.0.0.1:${forwarder.address().port}/live.html`);
    await compare();
    const before = await compare();
    await page.evaluate(() => void (globalThis.row = document.querySelectorAll('#rows tr')[500]));
    feed.step(1);
    await publish();
    const after = await compare();
    expect(after.wholes == 1 && after.changes == before.changes + 1 && after.bytes - before.bytes < 300, JSON.stringify({ before, after }));
    expect(await page.evaluate(() => row == document.querySelectorAll('#rows tr')[500]), 'the rows were made again');
    return `${before.bytes} bytes, then ${after.bytes - before.bytes}`;
});
await attempt(`${name}: the page says what has come; its button cuts the connection, and it resumes`, async () => {
    const said = () => page.evaluate(() => ['version', 'connections', 'changes', 'wholes', 'last', 'state'].map(id => document.getElementById(id).textContent).join(' | '));
    const before = await said(), { changes } = await compare();
    await page.click('#cut');
    await page.waitForFunction(() => live.counts.connections == 2 && document.getElementById('state').textContent == 'Connected.');
    feed.step(1);
    await publish();
    const after = await compare(), shown = await said();
    expect(after.wholes == 1 && after.changes == changes + 1, JSON.stringify(after));
    expect(/^[\d,]+ \| 1 connection \| \d+ \| all rows came once \| \d+ bytes since the version before \| Connected\.$/.test(before), before);
    expect(/\| 2 connections \| \d+ \| all rows came once \|/.test(shown), shown);
    const [table, all, wide] = await page.evaluate(() => [document.querySelector('table').offsetWidth, innerWidth, document.documentElement.scrollWidth - innerWidth]);
    expect(table > all / 3 && wide <= 0, `a table of ${table} pixels in ${all}, ${wide} too wide`);
    return shown;
});
await attempt(`hb_14 ht_9 ${name}: connections cut at random bytes, and the server killed: the page gets what it missed (seed ${first})`, async () => {
    const before = await compare();
    let restarts = 0, published = 0;
    // How often a connection is cut depends on the machine: until it was often enough.
    for (let round = 0; round < ROUNDS || (line.cuts < 6 || restarts < 3) && round < 20 * ROUNDS; round++) {
        line.left = [random(300), random(3000), random(3000), random(200000)][random(4)];
        for (let steps = 1 + random(4); steps; steps--, published++) {
            if (random(2)) feed.step(1 + random(200));
            for (let n = random(3) ? 0 : random(40); n; n--) {
                const i = random(1000);
                there.has(i) ? there.delete(i) : there.add(i);
            }
            await publish();
            if (random(3) == 0) cut();
            if (random(12) == 0) {
                await server.live.kill();
                restarts++;
            }
        }
        await compare();
    }
    const { connections, wholes, changes, bytes, failures } = await compare();
    expect(wholes == before.wholes && failures == 0, `${wholes} wholes, ${failures} failures`);
    expect(line.cuts > 5 && restarts > 2 && connections - before.connections > 5 && changes - before.changes > ROUNDS / 2, `${line.cuts} cuts, ${restarts} restarts, ${connections} connections`);
    return `${published} versions, ${connections - before.connections} connections, ${line.cuts} cut inside of frames, ${restarts} restarts: ${changes - before.changes} changes of ${bytes - before.bytes} bytes, never the whole`;
});
await attempt(`hb_14 ${name}: a record torn in the journal is cut off, and the page resumes`, async () => {
    const { wholes } = await compare();
    appendFileSync(`${folder}/live.journal`, Buffer.from('9c18000012345678', 'hex'));
    await server.live.kill();
    feed.step(20);
    await publish();
    await server.live.kill(); // what follows the torn record is read
    const after = await compare();
    expect(after.wholes == wholes, `${after.wholes - wholes} wholes`);
});
await attempt(`hb_14 ${name}: who was away for too many changes gets the whole`, async () => {
    const { wholes } = await compare();
    line.away = true;
    cut();
    for (let i = 0; i < 40; i++) {
        for (let k = 0; k < 900; k++) i % 2 ? there.add(k) : there.delete(k);
        await publish();
    }
    line.away = false;
    const after = await compare();
    expect(after.wholes == wholes + 1, `${after.wholes - wholes} wholes`);
});
await attempt(`hb_14 ${name}: without its journal the server has another history, and the page gets the whole of it`, async () => {
    const { wholes } = await compare(), { epoch } = last;
    rmSync(`${folder}/live.journal`);
    await server.live.kill();
    await publish();
    const after = await compare();
    expect(after.wholes > wholes && last.epoch != epoch, `${after.wholes} wholes, epoch ${last.epoch}`);
});
await attempt(`${name}: what is not a feed is refused, and nothing changes`, async () => {
    const quote = (...numbers) => Buffer.from(Uint32Array.from(numbers.flatMap(n => [n, 1, 1, 1])).buffer), said = [];
    for (const bytes of [Buffer.alloc(7), Buffer.alloc(16), quote(2, 2), quote(3, 1), Buffer.alloc(16 * 1601)])
        said.push(await server.live.publish(bytes).then(() => 'taken', error => error.status));
    expect(said.join() == '400,400,400,400,400', said.join());
    await publish();
    await compare();
    return said.join();
});
await attempt(`${name}: WebSocket: what is not one, or of another site, is refused`, async () => {
    const key = 'dGhlIHNhbXBsZSBub25jZQ==', host = `127.0.0.1:${server.port}`;
    const ask = (headers, more = Buffer.alloc(0)) => new Promise(done => {
        const socket = net.connect(server.port, '127.0.0.1', () => socket.write(Buffer.concat([Buffer.from(
            `GET /live HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${headers}\r\n\r\n`), more])));
        let said = Buffer.alloc(0);
        socket.on('data', data => said = Buffer.concat([said, data])).on('error', () => {}).on('close', () => done(said)).on('end', () => socket.end());
    });
    const version = 'Sec-WebSocket-Version: 13', good = `${version}\r\nSec-WebSocket-Key: ${key}`, said = [];
    for (const headers of [`${good}\r\nOrigin: http://elsewhere.example`, `Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: ${key}`, `${version}\r\nSec-WebSocket-Key: short`])
        said.push(String(await ask(headers)).slice(9, 12));
    expect(said.join() == '403,426,400', said.join());
    const codes = [];
    for (const bytes of [[0x82, 1, 0], [0x81, 0x80, 0, 0, 0, 0], [0xf2, 0x80, 0, 0, 0, 0], [0x80, 0x80, 0, 0, 0, 0], [0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0], [0x09, 0x80, 0, 0, 0, 0], [0x88, 0x80, 0, 0, 0, 0]]) {
        const answer = await ask(good, Buffer.from(bytes)), close = answer.subarray(answer.indexOf('\r\n\r\n') + 4);
        codes.push(close[0] == 0x88 ? close.readUInt16BE(2) : String(answer));
    }
    expect(codes.join() == '1002,1003,1002,1002,1009,1002,1000', codes.join());
    return `${said}; ${codes}`;
});
await attempt(`${name}: no page had an error`, async () => {
    expect(troubles.length == 0, troubles.join('; '));
    return 'none';
});
await browser.close();
forwarder.close();
await server.stop();
finish('live');
