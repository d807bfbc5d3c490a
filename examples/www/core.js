// The runtime (core.c) for JavaScript: chunk streams, patches, BLAKE3. Bytes are Uint8Arrays.
const streamErrors = { 1: 'bad header', 2: 'unknown chunk', 3: 'bad header size', 4: 'no patch', 10: 'not begun', 11: 'incomplete', 12: 'no layout' };
const patchErrors = { '-2': 'no memory', '-5': 'damaged patch', '-11': 'patch ends too early', '-32': 'not a patch', '-37': 'patch of another base', '-39': 'wrong result' };

const htipErrors = [, 'not HTIP', 'another version', 'unknown operation', 'no such template', 'no such string', 'no such node', 'ends too early', 'flags',
    'reserved bytes', 'size', 'table', 'not UTF-8', 'markup', 'name', 'node is there', 'too many nodes', 'batch'];

// A module that only a browser with SIMD takes: (func (drop (i8x16.splat (i32.const 0))))
const probe = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 10, 9, 1, 7, 0, 65, 0, 253, 15, 26, 11);
export const simd = WebAssembly.validate(probe);

export async function load(folder = '.') {
    let host = {};
    const imports = {
        host: {
            cache_template: (id, at, size) => host.template?.(id, text(at, size)),
            notify_state_change: (at, size) => host.state?.(bytes(at, size).slice()),
            page_do: (op, node, other, a, aSize, b, bSize) => host.do(op, node, other, text(a, aSize), text(b, bSize)),
            page_build: (part, a, aSize, b, bSize) => host.build(part, text(a, aSize), text(b, bSize)),
        },
    };
    const file = await fetch(`${folder}/${simd ? 'core-simd' : 'core'}.wasm`);
    const { instance } = await WebAssembly.instantiate(await file.arrayBuffer(), imports);
    const core = instance.exports;
    const bytes = (at, size) => new Uint8Array(core.memory.buffer, at, size);
    const text = (at, size) => new TextDecoder('utf-8', { fatal: true }).decode(bytes(at, size));
    const put = data => {
        const at = core.allocate(data.length);
        if (!at) throw new Error('no memory');
        bytes(at, data.length).set(data);
        return at;
    };
    core.init();
    const room = 65536;

    return {
        simd,
        // BLAKE3-256 as 64 digits.
        hash(data) {
            core.reset();
            const at = core.allocate(room), out = core.allocate(32);
            core.hash_init();
            for (let i = 0; i < data.length; i += room) {
                const part = data.subarray(i, i + room);
                bytes(at, part.length).set(part);
                core.hash_update(at, part.length);
            }
            core.hash_final(out);
            return Array.from(bytes(out, 32), b => b.toString(16).padStart(2, '0')).join('');
        },
        // The new version; throws unless base and result are what the patch was made for.
        patch(old, patch) {
            core.reset();
            core.init_patcher();
            core.set_old_binary(put(old), old.length);
            core.set_patch_data(put(patch), patch.length);
            const size = core.apply_patch_and_get_length();
            if (size < 0) throw new Error('patch: ' + (patchErrors[size] ?? size));
            return bytes(core.get_patched_binary(), size).slice();
        },
        // Carry out an HTIP stream on a page of htip.js, whole or not at all. Elements that have a number then.
        render(data, page) {
            core.reset();
            host = page;
            const error = -core.render_stream(put(data), data.length);
            host = {};
            if (error) throw new Error('HTIP: ' + htipErrors[error]);
            return core.get_node_count();
        },
        // The next stream is for an empty page.
        forgetPage: () => core.clear_page(),
        // A consumer for one stream: feed(bytes) any number of times, then finish({template, state}),
        // which calls back with what the stream brought and returns its module.
        stream() {
            core.reset();
            const check = n => {
                if (n < 0) throw new Error('stream: ' + (streamErrors[-n] ?? n));
                return n;
            };
            check(core.init_streaming());
            const at = core.allocate(room);
            return {
                feed(data) {
                    let chunks = 0;
                    for (let i = 0; i < data.length; i += room) {
                        const part = data.subarray(i, i + room);
                        bytes(at, part.length).set(part);
                        chunks += check(core.feed_chunk_data(at, part.length));
                    }
                    return chunks;
                },
                finish(callbacks) {
                    host = callbacks;
                    while (core.poll_and_process_chunk());
                    check(core.finalize_stream());
                    host = {};
                    return bytes(core.chunk_data(4), core.chunk_size(4)).slice();
                },
            };
        },
    };
}
