// The dashboard: a feed that a server changes, and an application whose next version arrives while one watches. Both are kept and
// renewed by examples/update. ?worker: the rows' program runs in a worker.
import { feedRows } from './feed.js';
import { frameLoop } from './frames.js';
import { openCache, update } from './dx-update.js';

const FEED = 'feed.bin', APP = 'app.dxs', EVERY_MS = 1000, MODULE = 4;
const $ = id => document.getElementById(id);
const bytesOf = n => n < 10000 ? `${n.toLocaleString('en')} bytes` : n < 1e6 ? `${(n / 1000).toFixed(1)} kB` : `${(n / 1e6).toFixed(1)} MB`;
const cache = openCache(), address = name => new URL(name, location).href;
let travelled = 0, size = 0, drawing = null, shown = null;

// One update, counted.
async function renew(name, o = {}) {
    const result = await update(name, { cache, ...o });
    travelled += result.travelled;
    size += result.bytes.length;
    return result;
}
async function showMeters() {
    const { hits, misses } = await cache.stats();
    $('saved').textContent = bytesOf(Math.max(0, size - travelled));
    $('travelled').textContent = `${bytesOf(travelled)} travelled`;
    $('hits').textContent = hits.toLocaleString('en');
    $('misses').textContent = `${misses.toLocaleString('en')} ${misses == 1 ? 'miss' : 'misses'}`;
}

// ---- the application
async function renewApp() {
    let module = null;
    const result = await renew(APP, { onChunk: ({ type, bytes }) => {
        if (type == MODULE) module = bytes;
    } });
    if (result.hash == shown) return result;
    const { exports } = (await WebAssembly.instantiate(module)).instance;
    drawing = exports;
    shown = result.hash;
    const version = exports.version(), all = bytesOf(result.bytes.length);
    $('version').textContent = `Version ${version} runs, ${all}.`;
    $('how').textContent = { full: `It came whole: ${bytesOf(result.travelled)} travelled, compressed.`, patch: `A patch of ${bytesOf(result.travelled)} made it, and was verified.`,
        repaired: `What was kept was damaged, so it came whole again: ${bytesOf(result.travelled)} travelled.`, unchanged: 'It was here already: nothing travelled.', offline: 'Without network, as it was kept.' }[result.how];
    $('publish').disabled = false;
    document.body.dataset.version = version;
    document.body.dataset.how = result.how;
    return result;
}
function draw(now) {
    if (!drawing) return;
    const at = drawing.draw(now), pixels = new Uint8ClampedArray(drawing.memory.buffer, at, 320 * 200 * 4);
    $('canvas').getContext('2d').putImageData(new ImageData(pixels, 320), 0, 0);
}
$('publish').onclick = async () => {
    $('publish').disabled = true;
    try {
        const response = await fetch('publish', { method: 'POST' });
        if (!response.ok) throw new Error(await response.text());
        await renewApp();
    } catch (error) {
        $('how').textContent = `It could not be published: ${error.message}`;
    }
    $('publish').disabled = false;
};

// ---- the rows
async function main() {
    const root = $('rows'), inWorker = new URLSearchParams(location.search).has('worker');
    const rows = await feedRows(root, { inWorker });
    // The feed from which the server made this page's HTML; later ones are patches to it.
    const { bytes, hash } = await renew(`${FEED}@${root.dataset.version}`);
    await cache.put(address(FEED), { bytes, hash });
    await rows.take(bytes);
    const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
    if (still) addEventListener('click', () => draw(0));
    const loop = frameLoop(now => {
        const count = rows.frame();
        if (!still) draw(now);
        return count;
    }, { onStats: ({ usedMs, usedMaxMs }) => {
        $('frame').textContent = `${usedMs.toFixed(2)} ms`;
        $('worst').textContent = `longest ${usedMaxMs.toFixed(1)}, budget 4 ms`;
    } });
    loop.start();
    await renewApp();
    draw(0);
    let paused = false, last = hash;
    const turn = async () => {
        if (!paused && !document.hidden) try {
            const feed = await renew(FEED);
            if (feed.hash != last) await rows.take(feed.bytes);
            last = feed.hash;
            await renewApp();
            $('state').textContent = feed.how == 'offline' ? 'No network: the last quotes that arrived.' : `Updated ${new Date().toLocaleTimeString()}: ${bytesOf(feed.travelled)} for ${bytesOf(feed.bytes.length)}.`;
            await showMeters();
        } catch (error) {
            $('state').textContent = `The last update failed: ${error.message}`;
        }
        setTimeout(turn, EVERY_MS);
    };
    $('sort').onclick = () => {
        rows.event(2, 0);
        $('sort').ariaPressed = String($('sort').ariaPressed != 'true');
    };
    $('pause').onclick = () => {
        paused = !paused;
        $('pause').ariaPressed = String(paused);
        $('state').textContent = paused ? 'Paused.' : 'Continued.';
    };
    document.body.dataset.hydrated = String(rows.hydrated);
    turn();
}
main().catch(error => {
    $('state').textContent = `It did not work: ${error.message}`;
    document.body.dataset.how = 'failed';
});
