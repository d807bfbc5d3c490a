// The rows of the dashboard: feed.c on the page's thread, or in a worker with shared memory. Either way the document is changed here,
// once a frame, by the operations in the ring.
//   const rows = await feedRows(tbody, { inWorker: true }); await rows.take(bytes); rows.frame();
import { namesAt, pageOps } from './page_ops.js';

const DOM_WRITE = 1, DOM_READ = 2;
const reasons = { '-62': 'the page grants no DOM_WRITE', '-1': 'a quote without a number', '-3': 'more rows than there is memory for', '-67': 'quotes whose numbers do not ascend', '-68': 'not a feed' };
export const reasonOf = error => reasons[error] ?? `error ${error}`;

function textAt(memory, at, size) { return new TextDecoder().decode(new Uint8Array(memory.buffer, at, size).slice()); }

// Without a worker: received rows are shown at the next frame.
async function here(folder, capabilities) {
    const { instance } = await WebAssembly.instantiateStreaming(fetch(`${folder}/feed.wasm`), {}), core = instance.exports, { memory } = core;
    const error = core.open(capabilities);
    if (error) throw new Error(`feed.wasm: ${reasonOf(error)}`);
    return {
        memory,
        handoff: core.handoff(),
        template: textAt(memory, core.template_text(), core.template_size()),
        region: core.static_region(),
        take: async bytes => {
            if (bytes.length > core.room_size()) throw new Error(reasonOf(-68));
            new Uint8Array(memory.buffer, core.room(), bytes.length).set(bytes);
            const error = core.take_feed(bytes.length);
            if (error) throw new Error(reasonOf(error));
        },
        event: (handler, node) => core.event(handler, node),
        isReady: () => core.frame() > 0,
        flushed: () => core.flushed(),
    };
}
// In a worker: word 0 of the handoff says whose turn it is, 0 the worker's, 1 the page's.
async function elsewhere(folder, capabilities) {
    const worker = new Worker(`${folder}/feed_worker.js?capabilities=${capabilities}`, { type: 'module' }), waiting = [];
    const first = await new Promise((yes, no) => {
        worker.onerror = event => no(new Error(`feed_worker.js: ${event.message ?? 'cannot be loaded'}`));
        worker.onmessage = ({ data }) => data.error ? no(new Error(data.error)) : yes(data);
    });
    const words = new Int32Array(first.memory.buffer, first.handoff, 8);
    worker.onmessage = ({ data: { error } }) => {
        const { yes, no } = waiting.shift();
        error ? no(new Error(reasonOf(error))) : yes();
    };
    worker.onerror = event => waiting.splice(0).forEach(({ no }) => no(new Error(event.message)));
    return {
        ...first,
        worker,
        take: bytes => new Promise((yes, no) => {
            waiting.push({ yes, no });
            worker.postMessage({ bytes });
        }),
        event: (handler, node) => worker.postMessage({ handler, node }),
        isReady: () => Atomics.load(words, 0) == 1,
        flushed: () => {
            Atomics.store(words, 0, 0);
            Atomics.notify(words, 0);
        },
    };
}

export async function feedRows(root, { inWorker = false, folder = '.', capabilities = DOM_WRITE | DOM_READ } = {}) {
    if (inWorker && !globalThis.crossOriginIsolated) throw new Error('no shared memory: the server does not send COOP and COEP');
    const core = await (inWorker ? elsewhere : here)(folder, capabilities), page = pageOps(root, { 1: core.template }, namesAt(core.memory, core.region));
    let flushed = 0, hydrated = null;
    // What is in the ring goes into the document; returns the number of operations.
    const frame = () => {
        if (!core.isReady()) return 0;
        const [, ops, mask, read, write, text, size] = new Uint32Array(core.memory.buffer, core.handoff, 8).slice();
        if (flushed++ || !root.firstChild) page.flush(core.memory, ops, mask, read, write, text, size);
        else hydrated = page.hydrate(core.memory, ops, mask, read, write, text, size);
        core.flushed();
        return write - read >>> 0;
    };
    root.addEventListener('click', event => {
        const to = page.target(event);
        if (to) core.event(to.handler, to.node);
    });
    return { frame, take: core.take, memory: core.memory, event: core.event, calls: page.calls, page, close: () => core.worker?.terminate(), get hydrated() { return hydrated; } };
}
