// The page: gets the application, with what it has already, and shows what travelled for it.
import { load } from './core.js';
import { openCache, update } from './dx-update.js';
import { htip } from './htip.js';
import { teleport } from './teleport.js';

const APP = 'app.dxs';
const $ = id => document.getElementById(id);
const number = n => n.toLocaleString('en');

// ---- the application, kept and renewed by examples/update
const cache = openCache(), key = new URL(APP, location).href;
const visitsKept = () => {
    try {
        const visits = JSON.parse(localStorage.visits);
        if (Array.isArray(visits)) return visits;
    } catch {} // none yet, or no storage
    return [];
};

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
    const app = await update(APP, { cache }), took = performance.now() - began;
    const version = await start(core, app);
    const visits = visitsKept();
    visits.push({ how: app.how, travelled: app.travelled, size: app.bytes.length, version, hash: app.hash });
    try {
        localStorage.visits = JSON.stringify(visits.slice(-50));
    } catch {} // no storage: this visit is shown, and forgotten
    show(visits);
    $('took').textContent = `${took.toFixed(0)} ms from the first line to a verified application, WebAssembly ${core.simd ? 'with' : 'without'} SIMD`;
    document.body.dataset.how = app.how;
    document.body.dataset.version = version;
    document.body.dataset.travelled = app.travelled;
}

$('again').onclick = () => location.reload();
$('damage').onclick = async () => {
    const { entry } = await cache.get(key);
    if (entry) {
        entry.bytes[entry.bytes.length >> 1] ^= 1;
        await cache.put(key, entry);
    }
    location.reload();
};
$('forget').onclick = async () => {
    await cache.remove(key);
    location.reload();
};
navigator.serviceWorker?.register('worker.js').catch(() => {});
main().catch(error => {
    $('how').textContent = `It did not work: ${error.message}`;
    document.body.dataset.how = 'failed';
});
