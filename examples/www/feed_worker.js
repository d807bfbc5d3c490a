// feed.c in a worker (feed.js): its memory is shared with the page, which carries out the operations in the ring when it is its turn.
// Inputs wait while it is: the ring and its texts are not touched then.
import { callHandler, templatesOf } from './page_host.js';

const inputs = [];
let core, memory, words;

const took = bytes => {
    if (bytes.length > core.room_size()) return -68;
    new Uint8Array(memory.buffer, core.room(), bytes.length).set(bytes);
    return core.take_feed(bytes.length);
};
// The worker's turn: flushed, inputs, a frame; then the page's if there is something to do.
function turn() {
    if (!core || Atomics.load(words, 0) != 0) return;
    core.flushed();
    for (const { bytes, handler, node, data = '' } of inputs.splice(0))
        if (bytes) postMessage({ error: took(bytes) });
        else callHandler(core, memory, handler, node, data);
    if (core.frame() <= 0) return;
    Atomics.store(words, 0, 1);
    wait();
}
function wait() {
    if (!Atomics.waitAsync) return setTimeout(() => Atomics.load(words, 0) ? wait() : turn(), 4);
    const { async, value } = Atomics.waitAsync(words, 0, 1);
    async ? value.then(turn) : turn();
}
onmessage = ({ data }) => {
    inputs.push(data);
    turn();
};
try {
    memory = new WebAssembly.Memory({ initial: 256, maximum: 256, shared: true });
    const { instance } = await WebAssembly.instantiateStreaming(fetch('feed-shared.wasm'), { env: { memory } });
    core = instance.exports;
    const error = core.open(+new URL(location).searchParams.get('capabilities'));
    if (error) throw new Error(`feed-shared.wasm: error ${error}`);
    words = new Int32Array(memory.buffer, core.handoff(), 8);
    postMessage({ memory, handoff: core.handoff(), templates: templatesOf(core, memory), region: core.region() });
    turn();
} catch (error) {
    core = null;
    postMessage({ error: error.message });
}
