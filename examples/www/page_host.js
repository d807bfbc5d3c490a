// Runs a program on layers/dx_page.h in a page: loads its WebAssembly (page_exports.h), passes on the events that its templates name, and
// shows what has changed, one flush a frame. A page needs no script of its own:
//   <main data-program="todo.wasm"></main> <script type="module" src="page_host.js"></script>
// or, from a script: const page = await openPage(element, 'todo.wasm');
import { namesAt, pageOps } from './page_ops.js';

export const DOM_WRITE = 1, DOM_READ = 2;
const FOCUSABLE = 'a[href], button, input, select, textarea, [tabindex]';

// What an event says besides its name, as the handler's data: the value of an input or of the button; '1' or '' for a checkbox; the key of
// a keyboard event; the values of a form's named inputs, in their order, with a zero byte between two of them.
export function dataOf(event) {
    const valueOf = e => e.type == 'checkbox' || e.type == 'radio' ? e.checked ? '1' : '' : e.value;
    if (event.type == 'submit') return [...event.target.elements].filter(e => e.name).map(valueOf).join('\0');
    if (event.type.startsWith('key')) return event.key;
    const from = event.target.closest?.('input, select, textarea, button');
    return from ? valueOf(from) : '';
}

// The program on the page's thread, its page open.
export async function loadProgram(url, granted = DOM_WRITE | DOM_READ) {
    const { instance } = await WebAssembly.instantiateStreaming(fetch(url), {}), core = instance.exports, { memory } = core;
    const error = core.open(granted);
    if (error) throw new Error(`${url}: open() returns ${error}, an error of dx_page.h`);
    return {
        core,
        memory,
        handoff: core.handoff(),
        templates: templatesOf(core, memory),
        region: core.region(),
        event: (handler, node, data = '') => callHandler(core, memory, handler, node, data),
        isReady() {
            const count = core.frame();
            if (count < 0) throw new Error(`program_update() returns ${count}, an error of dx_page.h`);
            return count > 0;
        },
        flushed: () => core.flushed(),
    };
}

// An event with its data, a string: 0; 1: refused, as too long data are; or an error of dx_page_event().
export function callHandler(core, memory, handler, node, data) {
    const bytes = new TextEncoder().encode(data);
    if (bytes.length > core.event_size_max()) return 1;
    new Uint8Array(memory.buffer, core.event_data(), bytes.length).set(bytes);
    return core.event(handler, node, bytes.length);
}

// The markup of its templates, by id.
export function templatesOf(core, memory) {
    const templates = {}, bytes = new Uint8Array(memory.buffer);
    for (let id = 1, at; (at = core.markup(id)); id++) templates[id] = new TextDecoder().decode(bytes.slice(at, bytes.indexOf(0, at)));
    return templates;
}

// Connects a program, here or in a worker, with the element that it fills. Where a server has filled it already, the first frame takes
// that over. onEvent: after each event; error: what the program returned, if it is negative.
export function hostPage(root, program, { onEvent = () => {} } = {}) {
    const document = root.ownerDocument, page = pageOps(root, program.templates, namesAt(program.memory, program.region));
    let flushed = 0, hydrated = null;
    // What is in the ring goes into the document; returns the number of operations.
    const frame = () => {
        if (!program.isReady()) return 0;
        const [, ops, mask, read, write, text, size] = new Uint32Array(program.memory.buffer, program.handoff, 8).slice();
        const restore = keepFocus(root);
        if (flushed++ || !root.firstChild) page.flush(program.memory, ops, mask, read, write, text, size);
        else hydrated = page.hydrate(program.memory, ops, mask, read, write, text, size);
        program.flushed();
        restore();
        return write - read >>> 0;
    };
    const listen = event => {
        const to = page.target(event);
        if (!to) return;
        if (event.type == 'submit') event.preventDefault(); // the page stays
        const result = program.event(to.handler, to.node, dataOf(event));
        if (event.type == 'submit' && result === 0) event.target.reset();
        onEvent(event, result < 0 ? new Error(`event ${event.type}: ${result}, an error of dx_page.h`) : null);
    };
    // One listener for each type of event that a template names, whatever rows come and go.
    const types = new Set(Object.values(program.templates).flatMap(html => [...html.matchAll(/ data-on="([a-z]+):/g)].map(m => m[1])));
    for (const type of types) root.addEventListener(type, listen);
    return {
        frame, page, types, memory: program.memory, calls: page.calls, event: program.event,
        get hydrated() { return hydrated; },
        close() {
            for (const type of types) root.removeEventListener(type, listen);
            program.close?.();
        },
    };
}

// A row that moves, or is removed, takes the keyboard's focus with it: give it back, or to what comes after.
function keepFocus(root) {
    const document = root.ownerDocument, had = document.activeElement;
    if (!had || had == root || !root.contains(had)) return () => {};
    const around = []; // siblings of it and of everything around it, the closest first
    for (let at = had; at != root; at = at.parentNode) around.push(at.nextElementSibling, at.previousElementSibling);
    return () => {
        if (document.activeElement == had) return;
        if (root.contains(had)) return had.focus();
        for (const e of around) {
            const next = e && root.contains(e) && (e.matches(FOCUSABLE) ? e : e.querySelector(FOCUSABLE));
            if (next) return next.focus();
        }
    };
}

// A program and its frames: one is requested after an event, and after a frame that had operations. No change, no work.
export async function openPage(root, url, { granted, onError = reportError } = {}) {
    const program = await loadProgram(url, granted);
    let waiting = 0;
    const wake = () => waiting ||= requestAnimationFrame(() => {
        waiting = 0;
        try {
            if (host.frame()) wake();
        } catch (error) {
            onError(error);
        }
    });
    const host = hostPage(root, program, { onEvent: (event, error) => {
        if (error) onError(error);
        wake();
    } });
    wake();
    return Object.assign(host, { core: program.core, wake });
}

if (globalThis.document)
    for (const root of document.querySelectorAll('[data-program]'))
        openPage(root, root.dataset.program).then(page => root.page = page, error => root.textContent = `The program does not start: ${error.message}`);
