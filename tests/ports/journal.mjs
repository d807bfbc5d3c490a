// examples/www/live.c alone: its journal damaged at every byte and cut at every length, with subscribers that saw all versions, and
// connections that say nothing. usage: node journal.mjs FOLDER      FOLDER: output of examples/www/build.sh. DX_TEST_SEED: other bits
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { connect } from '../../examples/clients/dx_hbtp.mjs';
import { attempt, expect, finish } from './cases.mjs';

const [folder] = process.argv.slice(2), work = mkdtempSync(`${tmpdir()}/dx-journal-`), HEAD = 20, VERSIONS = 7, LANES = 4, STATE = 1, PUBLISH = 1;
let seed = Number(process.env.DX_TEST_SEED ?? 1);
const random = n => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0, Math.floor(seed / 65536) % n);
const sleep = ms => new Promise(done => setTimeout(done, ms));

async function start(journal) {
    const child = spawn(`${folder}/live`, [journal], { stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '', said = '';
    child.stderr.on('data', part => said += part);
    const status = await new Promise(done => {
        child.stdout.on('data', part => (out += part).endsWith('\n') && done(null));
        child.on('close', done);
    });
    const [subscribers, publishers] = out.trim().split(' ').map(Number);
    return { status, subscribers, publishers, child, get said() { return said; },
        async stop() {
            if (status !== null) return;
            child.kill('SIGKILL');
            await new Promise(done => child.on('close', done));
        } };
}
const quotes = rows => Buffer.from(Int32Array.from(rows.flatMap(([number, price]) => [number, price, 0, 0])).buffer);
async function publish(server, rows) {
    const session = await connect('127.0.0.1', server.publishers), answer = await session.call(PUBLISH, quotes(rows));
    session.end();
    const view = new DataView(answer.buffer, answer.byteOffset);
    return { epoch: view.getBigUint64(0, true), version: view.getBigUint64(8, true) };
}
// What a subscriber that has `since` gets first: whole or not, its content, and the version that it has then.
async function subscribe(server, since) {
    const session = await connect('127.0.0.1', server.subscribers);
    const [whole, data] = await new Promise((done, failed) => {
        session.subscribe(STATE, (...what) => done(what), 5000, since).catch(failed);
        setTimeout(failed, 5000, new Error('a subscriber got nothing'));
    });
    await sleep(0);
    const { epoch, version } = session.versionOf(STATE);
    session.end();
    return { whole, content: Buffer.from(data).toString('hex'), epoch, version };
}
// Each job with up to LANES others at a time.
async function all(jobs) {
    const left = jobs.entries();
    await Promise.all(Array.from({ length: LANES }, async (_, lane) => {
        for (const [, job] of left) await job(`${work}/lane${lane}`);
    }));
}

// Versions 2 to VERSIONS: row 1 never changes after its beginning, so a wrong delta would leave the old price of another version.
const journal = `${work}/journal`, ends = [];
let server = await start(journal), epoch, sawLast;
for (let version = 2; version <= VERSIONS; version++) {
    ends.push(readFileSync(journal).length); // of the version before it
    sawLast = await publish(server, [[1, 1000 + (version < 4)], [2, 2000 + version], [3 + version % 2, 5]]);
}
({ epoch } = sawLast);
await server.stop();
const good = readFileSync(journal), next = [[1, 7], [2, 8], [9, 9]];
ends.push(good.length);

// The journal's bytes; then another version, and what subscribers of all ages get.
async function restart(bytes, path, ages = VERSIONS) {
    rmSync(`${path}.damaged`, { force: true });
    writeFileSync(path, bytes);
    const live = await start(path);
    try {
        if (live.status !== null) return { status: live.status, said: live.said, kept: readFileSync(path) };
        const at = await publish(live, next), whole = await subscribe(live, null), since = [];
        for (let version = 1n; version <= ages; version++) since.push(await subscribe(live, { epoch, version }));
        return { at, whole, since, said: live.said };
    } finally {
        await live.stop();
    }
}
const text = value => JSON.stringify(value, (_, v) => typeof v == 'bigint' ? String(v) : v);
const model = await restart(good, `${work}/model`);
// All subscribers end with the server's state: they get what they get of the sound journal, or everything, of another epoch.
function check(what, found) {
    if (found.at.epoch == epoch) {
        expect(text(found.since) == text(model.since) && found.at.version == VERSIONS + 1, `${what}: the same epoch, but ${text(found)}`);
        return;
    }
    expect(/ is damaged at byte \d+, after version \d+: a new history begins/.test(found.said), `${what}: another epoch, but it says '${found.said}'`);
    for (const { whole, content } of found.since) expect(whole && content == found.whole.content, `${what}: a subscriber gets no whole: ${text(found)}`);
}

await attempt('hb_14 a sound journal resumes all subscribers', () => {
    expect(model.at.epoch == epoch && model.at.version == VERSIONS + 1 && model.said == '', text(model));
    expect(model.since.every(({ whole, version }) => !whole && version == VERSIONS + 1), text(model.since));
});
await attempt('hb_14 a bit of any byte of the journal: nobody gets a wrong change', async () => {
    let refused = 0, begun = 0;
    await all(Array.from(good, (_, at) => async path => {
        const bytes = Buffer.from(good), bit = 1 << random(8);
        bytes[at] ^= bit;
        const found = await restart(bytes, path), what = `byte ${at} ^ ${bit}`;
        if (at < 8) { // another file: not to be touched
            expect(found.status == 1 && /not a journal/.test(found.said) && found.kept.equals(bytes), `${what}: ${text(found)}`);
            return refused++;
        }
        check(what, found);
        expect(found.at.epoch != epoch, `${what}: the same epoch`);
        expect(readFileSync(`${path}.damaged`).equals(bytes), `${what}: the damaged file was not kept`);
        begun++;
    }));
    return `${refused} refused, ${begun} new epochs`;
});
await attempt('hb_14 a journal that ends anywhere: only its last record is cut off', async () => {
    await all(Array.from(good, (_, size) => async path => {
        const complete = ends.filter(end => end <= size).length, found = await restart(good.subarray(0, size), path, complete); // versions that there are
        if (size < HEAD) return expect(found.status == 1, `${size} bytes: ${text(found)}`);
        if (!complete) return check(`${size} bytes`, found); // there is always one
        expect(found.at.epoch == epoch && found.at.version == complete + 1 && found.said == '', `${size} bytes: ${text(found.at)}, not after ${complete}; ${found.said}`);
    }));
    return `${good.length} lengths`;
});
await attempt('hb_14 bytes after the last record are cut off, or begin a new epoch', async () => {
    for (const size of [1, HEAD - 1, HEAD, 4096]) {
        const found = await restart(Buffer.concat([good, Buffer.alloc(size, 0x5a)]), `${work}/more`);
        check(`${size} bytes more`, found);
        expect((found.at.epoch == epoch) == size < HEAD, `${size} bytes more: ${text(found.at)}`);
    }
    for (const at of [ends[2], ends[4]]) { // a record is left out, and one is there twice
        const found = await restart(Buffer.concat([good.subarray(0, at), good.subarray(at == ends[2] ? ends[3] : ends[3])]), `${work}/more`);
        check(`records from ${at}`, found);
        expect(found.at.epoch != epoch, 'the same epoch');
    }
});
await attempt('hb_14 the rows of the last good version stay', async () => {
    const bytes = Buffer.from(good);
    bytes[ends[3] + 30] ^= 1;
    writeFileSync(journal, bytes);
    server = await start(journal);
    const { content, version } = await subscribe(server, null);
    await server.stop();
    writeFileSync(`${work}/prefix`, good.subarray(0, ends[3]));
    server = await start(`${work}/prefix`);
    const before = await subscribe(server, null);
    await server.stop();
    const streamOf = hex => hex.slice(0, 4) + hex.slice(8); // without the sequence, which is the version
    expect(version == 1n && streamOf(content) == streamOf(before.content), `${content} is not ${before.content}`);
});

const silent = (port, count) => Promise.all(Array.from({ length: count }, () => new Promise(done => {
    const socket = net.connect(port, '127.0.0.1', () => done(socket)).on('error', () => {}).on('close', () => socket.isClosed = true);
})));
await attempt('silent connections lock nobody out, and are closed', async () => {
    server = await start(journal);
    const session = await connect('127.0.0.1', server.subscribers), helloOnly = [];
    await session.subscribe(STATE, () => {}, 5000);
    const idle = await silent(server.subscribers, 64);
    for (let i = 0; i < 64; i++) helloOnly.push(await connect('127.0.0.1', server.subscribers, { timeout: 2000 }));
    const begin = performance.now();
    await Promise.race([subscribe(server, null), sleep(1000).then(() => { throw new Error('no subscription within 1 s'); })]);
    const took = performance.now() - begin;
    const idlePublishers = await silent(server.publishers, 9), publisher = await connect('127.0.0.1', server.publishers, { timeout: 2000 });
    await sleep(4500);
    const open = [...idle, ...idlePublishers].filter(socket => !socket.isClosed).length, held = helloOnly.filter(each => !each.closed).length;
    expect(open == 0 && held == 0, `${open} silent ones are open, ${held} that only said Hello`);
    await publisher.call(PUBLISH, quotes([[1, 3]])); // it was silent, too, but had said Hello
    expect(!session.closed && session.versionOf(STATE), 'the subscriber was closed');
    publisher.end();
    session.end();
    return `${took.toFixed(0)} ms`;
});
await attempt('as many subscribers as there is room for are served; one more is closed', async () => {
    const sessions = [];
    for (let i = 0; i < 64; i++) {
        sessions.push(await connect('127.0.0.1', server.subscribers, { timeout: 2000 }));
        await sessions[i].subscribe(STATE, () => {}, 5000);
    }
    const more = await subscribe(server, null).then(() => 'served', error => error.message);
    expect(more != 'served' && sessions.every(each => !each.closed), `the 65th: ${more}; ${sessions.filter(each => each.closed).length} closed`);
    sessions.forEach(each => each.end());
    for (let tries = 0; ; tries++)
        try {
            await subscribe(server, null);
            break;
        } catch (error) {
            if (tries == 50) throw error;
            await sleep(20);
        }
    return more;
});
await server.stop();
rmSync(work, { recursive: true });
finish('journal');
