// The page: gets the application, with what it has already, and shows what travelled for it.
import { load } from './core.js';
import { htip } from './htip.js';
import { teleport } from './teleport.js';

const APP = 'app.dxs';
const $ = id => document.getElementById(id);
const number = n => n.toLocaleString('en');

// ---- the cache: one entry in IndexedDB, checked by its hash whenever it is read
const open = () => new Promise((yes, no) => {
    const request = indexedDB.open('dx', 1);
    request.onupgradeneeded = () => request.result.createObjectStore('kept');
    request.onsuccess = () => yes(request.result);
    request.onerror = () => no(request.error);
});
const kept = async (mode, what) => {
    const db = await open();
    try {
        const transaction = db.transaction('kept', mode, { durability: 'strict' });
        const request = what(transaction.objectStore('kept'));
        await new Promise((yes, no) => {
            transaction.oncomplete = yes;
            transaction.onerror = transaction.onabort = () => no(transaction.error);
        });
        return request.result;
    } finally {
        db.close();
    }
};
const get = key => kept('readonly', store => store.get(key));
const put = (key, value) => kept('readwrite', store => store.put(value, key));
const remove = key => kept('readwrite', store => store.delete(key));

// ---- the update
const tag = response => (response.headers.get('ETag') ?? '').replaceAll('"', '');

// The bytes of a response, handed to `each` as they come.
async function read(response, each) {
    const parts = [];
    let size = 0;
    for (const reader = response.body.getReader(); ;) {
        const { done, value } = await reader.read();
        if (done) break;
        each?.(value);
        parts.push(value);
        size += value.length;
    }
    const all = new Uint8Array(size);
    let at = 0;
    for (const part of parts) {
        all.set(part, at);
        at += part.length;
    }
    return all;
}

async function whole(core, how, before = 0) {
    const response = await fetch(APP, { cache: 'no-store' });
    if (response.status != 200) throw new Error(`the server answers ${response.status}`);
    const consumer = core.stream();
    let chunks = 0;
    const bytes = await read(response, part => chunks += consumer.feed(part));
    const hash = core.hash(bytes);
    if (hash != tag(response)) throw new Error('what came is not what its hash says');
    await put('app', { hash, bytes });
    return { how, bytes, hash, travelled: before + bytes.length, chunks };
}

// The application: { how, bytes, hash, travelled }. how: full, unchanged, patch, repaired, offline.
async function update(core) {
    let have = await get('app').catch(() => undefined), damaged = false;
    if (have && core.hash(have.bytes) != have.hash) {
        await remove('app');
        have = undefined;
        damaged = true;
    }
    if (!have) return whole(core, damaged ? 'repaired' : 'full');
    let response;
    try {
        response = await fetch(APP, { cache: 'no-store', headers: { 'If-None-Match': `"${have.hash}"`, 'A-IM': 'dx-patch' } });
    } catch {
        return { how: 'offline', ...have, travelled: 0 };
    }
    if (response.status == 304) return { how: 'unchanged', ...have, travelled: 0 };
    if (response.status != 226) return whole(core, 'full');
    const patch = await read(response);
    try {
        const bytes = core.patch(have.bytes, patch), hash = core.hash(bytes);
        if (hash != tag(response)) throw new Error('another version than was announced');
        await put('app', { hash, bytes });
        return { how: 'patch', bytes, hash, travelled: patch.length };
    } catch (error) {
        console.warn(`patch refused (${error.message}): fetching the whole`);
        return whole(core, 'repaired', patch.length);
    }
}

// ---- the visible page
async function start(core, app) {
    const consumer = core.stream();
    let state;
    consumer.feed(app.bytes);
    const module = consumer.finish({ state: bytes => state = bytes });
    const read = teleport(await (await fetch('state.json')).json());
    const { version, card } = read(state);
    document.body.dataset.nodes = core.render(Uint8Array.from(card), htip($('app')));
    document.body.dataset.card = $('app').innerHTML;
    const { exports } = (await WebAssembly.instantiate(module)).instance;
    const context = $('app').querySelector('canvas').getContext('2d');
    const draw = t => {
        const at = exports.draw(t);
        context.putImageData(new ImageData(new Uint8ClampedArray(exports.memory.buffer, at, 320 * 200 * 4), 320), 0, 0);
        requestAnimationFrame(draw);
    };
    requestAnimationFrame(draw);
    return version;
}

const words = {
    full: 'Everything travelled, chunk by chunk.',
    unchanged: 'Nothing travelled: 304, the version here is the latest.',
    patch: 'A patch travelled; WebAssembly made the new version out of the old one.',
    repaired: 'What was kept was damaged; it was noticed, and everything travelled again.',
    offline: 'No network: the last good version was started.',
};

function show(visits) {
    const last = visits.at(-1), most = Math.max(...visits.map(v => v.size));
    $('travelled').textContent = number(last.travelled);
    $('of').textContent = `bytes travelled, of ${number(last.size)} that version ${last.version} has`;
    $('how').textContent = words[last.how];
    $('hash').textContent = last.hash;
    $('visits').replaceChildren(...visits.slice(-8).map(v => {
        const row = document.createElement('li'), bar = document.createElement('span');
        row.className = v.how;
        row.append(`${v.how} `);
        bar.className = 'bar';
        bar.style.setProperty('--share', Math.max(v.travelled / most, 0));
        row.append(bar, ` ${number(v.travelled)}`);
        return row;
    }));
}

async function main() {
    const began = performance.now(), core = await load();
    const app = await update(core), took = performance.now() - began;
    const version = await start(core, app);
    const visits = await get('visits').catch(() => undefined) ?? [];
    visits.push({ how: app.how, travelled: app.travelled, size: app.bytes.length, version, hash: app.hash });
    await put('visits', visits.slice(-50)).catch(() => {});
    show(visits);
    $('took').textContent = `${took.toFixed(0)} ms from the first line to a verified application, WebAssembly ${core.simd ? 'with' : 'without'} SIMD`;
    document.body.dataset.how = app.how;
    document.body.dataset.version = version;
    document.body.dataset.travelled = app.travelled;
}

$('again').onclick = () => location.reload();
$('damage').onclick = async () => {
    const app = await get('app');
    app.bytes[app.bytes.length >> 1] ^= 1;
    await put('app', app);
    location.reload();
};
$('forget').onclick = async () => {
    await remove('app');
    location.reload();
};
navigator.serviceWorker?.register('worker.js').catch(() => {});
main().catch(error => {
    $('how').textContent = `It did not work: ${error.message}`;
    document.body.dataset.how = 'failed';
});
