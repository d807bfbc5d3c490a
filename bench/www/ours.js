// rows.c in a page, as NAME.js: its buttons and clicks go to NAME.wasm, which answers with one flush each.
import { pageOps } from './page_ops.js';

let page;
const host = { flush: (...range) => page.flush(core.memory, ...range) };
const { instance } = await WebAssembly.instantiateStreaming(fetch(import.meta.url.replace(/\.js$/, '.wasm')), { host });
const core = instance.exports, error = core.init(Date.now() >>> 0);
if (error) throw new Error(`init: ${error}`);
const template = new TextDecoder().decode(new Uint8Array(core.memory.buffer, core.template_text(), core.template_size()));
const root = document.getElementById('tbody');
page = pageOps(root, { 1: template }, ['danger']);
root.addEventListener('click', event => {
    const to = page.target(event);
    if (to) core.event(to.handler, to.node);
});
['run', 'runlots', 'add', 'update', 'clear', 'swaprows'].forEach((id, i) => document.getElementById(id).addEventListener('click', () => core.press(i + 1)));
globalThis.calls = page.calls;
globalThis.ready = true;
