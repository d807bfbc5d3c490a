// The rows of the dashboard: feed.c on the page's thread, or in a worker with shared memory. Either way the document is changed here,
// once a frame, by the operations in the ring.
//   const rows = await feedRows(tbody, { inWorker: true }); await rows.take(bytes); rows.frame();
import { DOM_READ, DOM_WRITE, hostPage, loadProgram } from './page_host.js';

const reasons = { '-62': 'the page grants no DOM_WRITE', '-1': 'a quote without a number', '-3': 'more rows than there is memory for', '-67': 'quotes whose numbers do not ascend', '-68': 'not a feed' };
export const reasonOf = error => reasons[error] ?? `error ${error}`;

// Without a worker: received rows are shown at the next frame.
async function here(folder, granted) {
    const program = await loadProgram(`${folder}/feed.wasm`, granted), { core, memory } = program;
    return {
        ...program,
        take: async bytes => {
            if (bytes.length > core.room_size()) throw new Error(reasonOf(-68));
            new Uint8Array(memory.buffer, core.room(), bytes.length).set(bytes);
            const error = core.take_feed(bytes.length);
            if (error) throw new Error(reasonOf(error));
        },
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
        take: bytes => new Promise((yes, no) => {
            waiting.push({ yes, no });
            worker.postMessage({ bytes });
        }),
        event: (handler, node, data) => worker.postMessage({ handler, node, data }),
        isReady: () => Atomics.load(words, 0) == 1,
        flushed: () => {
            Atomics.store(words, 0, 0);
            Atomics.notify(words, 0);
        },
        close: () => worker.terminate(),
    };
}

export async function feedRows(root, { inWorker = false, folder = '.', capabilities = DOM_WRITE | DOM_READ } = {}) {
    if (inWorker && !globalThis.crossOriginIsolated) throw new Error('no shared memory: the server does not send COOP and COEP');
    const program = await (inWorker ? elsewhere : here)(folder, capabilities), host = hostPage(root, program);
    return Object.assign(host, { take: program.take });
}
