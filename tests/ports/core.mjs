// The runtime of examples/www in node: the exports of core.c, with and without SIMD. usage: node core.mjs FOLDER
import { readFileSync, statSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { gzipSync } from 'node:zlib';
import { htip } from '../../examples/www/htip.js';

const folder = process.argv[2], app = n => readFileSync(`${folder}/app-${n}.dxs`);
let passed = 0, failed = 0;
const expect = (condition, what) => {
    if (!condition) throw new Error(what);
};
function attempt(name, test) {
    try {
        console.log(`ok   ${name}${test() ?? ''}`);
        passed++;
    } catch (error) {
        console.log(`FAIL ${name}: ${error.message}`);
        failed++;
    }
}
// As much of a document as HTIP uses.
const escape = (text, quotes) => text.replace(/[&<>"\u00a0]/g, c => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': quotes ? '&quot;' : '"', '\u00a0': '&nbsp;' })[c]);
class Element {
    constructor(tag) {
        Object.assign(this, { tag, children: [], attributes: new Map(), styles: new Map(), parentNode: null });
        this.classList = { toggle: (name, on) => {
            const names = new Set((this.attributes.get('class') ?? '').split(/\s+/).filter(Boolean));
            if (!on && !this.attributes.has('class')) return;
            on ? names.add(name) : names.delete(name);
            this.setAttribute('class', [...names].join(' '));
        } };
        this.style = { setProperty: (name, value) => {
            this.styles.set(name, value);
            this.setAttribute('style', [...this.styles].map(([n, v]) => `${n}: ${v};`).join(' '));
        } };
    }
    appendChild(child) {
        child.parentNode = this;
        this.children.push(child);
    }
    hasAttribute(name) { return this.attributes.has(name); }
    setAttribute(name, value) { this.attributes.set(name, value); }
    insertBefore(child, before) {
        if (child.parentNode) child.remove();
        child.parentNode = this;
        this.children.splice(before ? this.children.indexOf(before) : this.children.length, 0, child);
    }
    remove() { this.parentNode.children = this.parentNode.children.filter(c => c != this); }
    set textContent(text) { this.children = text ? [{ text }] : []; }
    get innerHTML() { return this.children.map(c => c.text !== undefined ? escape(c.text) : c.outerHTML).join(''); }
    get outerHTML() {
        const head = `<${this.tag}${[...this.attributes].map(([n, v]) => ` ${n}="${escape(v, true)}"`).join('')}>`;
        return ['br', 'img', 'input', 'hr'].includes(this.tag) ? head : `${head}${this.innerHTML}</${this.tag}>`;
    }
}
const mock = { createElement: tag => new Element(tag), createTextNode: text => ({ text }) };

async function load(file) {
    const got = { templates: [], states: [], page: null, calls: 0 };
    const string = (at, size) => Buffer.from(core.memory.buffer, at, size).toString();
    const host = {
        cache_template: (id, at, size) => got.templates.push([id, Buffer.from(core.memory.buffer, at, size).toString()]),
        notify_state_change: (at, size) => got.states.push(Buffer.from(core.memory.buffer, at, size).toString('hex')),
        page_do: (op, node, other, a, aSize, b, bSize) => (got.calls++, got.page?.do(op, node, other, string(a, aSize), string(b, bSize))),
        page_build: (part, a, aSize, b, bSize) => got.page?.build(part, string(a, aSize), string(b, bSize)),
    };
    const { instance } = await WebAssembly.instantiate(readFileSync(file), { host });
    const core = instance.exports;
    core.init();
    const put = data => {
        const at = core.allocate(data.length);
        expect(at, 'no memory');
        new Uint8Array(core.memory.buffer, at, data.length).set(data);
        return at;
    };
    return { core, got, put, bytes: (at, size) => Buffer.from(core.memory.buffer, at, size).subarray(0) };
}
// Format 3 is what `dxup serve --http` answers with and what the core reads.
function patch(kind, from, to, format = 3) {
    const out = `${folder}/${kind}-${from}-${to}.patch`;
    const options = kind == 'delta' ? ['--format', format] : [];
    const { status, stderr } = spawnSync('build/dxpatch', ['diff', `${folder}/app-${from}.dxs`, `${folder}/app-${to}.dxs`, out, '--kind', kind, ...options]);
    expect(status == 0, String(stderr));
    return readFileSync(out);
}

// An HTIP stream (docs/formats/htip.md) of operations [op, node, u16, u16] whose texts are numbers of strings.
function htipStream(strings, templates, operations) {
    const texts = strings.map(text => Buffer.from(text)), body = [], u16 = n => body.push(n & 255, n >> 8), u32 = n => (u16(n & 65535), u16(n >>> 16));
    let at = 0;
    for (const text of texts) {
        u32(at);
        u16(text.length);
        u16(0);
        at += text.length;
    }
    texts.forEach(text => body.push(...text));
    for (const [id, string, slots] of templates) {
        u16(id);
        u16(string);
        body.push(slots, 0, 0, 0);
    }
    for (const [op, node, ...more] of operations) {
        body.push(op, 0);
        u16(node);
        more.forEach(u16);
    }
    const head = Buffer.alloc(16);
    head.set([0x58, 0x44, 2, !!strings.length | !!templates.length << 1]);
    head.writeUInt16LE(templates.length, 4);
    head.writeUInt16LE(strings.length, 6);
    head.writeUInt32LE(operations.length, 8);
    head.writeUInt32LE(body.length, 12);
    return Buffer.concat([head, Buffer.from(body)]);
}
for (const [file, deltas] of [['core-blocks.wasm', false], ['site/core.wasm', true], ['site/core-simd.wasm', true]]) {
    const w = await load(`${folder}/${file}`), { core } = w, spare = await load(`${folder}/${file}`);
    const feed = (data, piece) => {
        let chunks = 0;
        for (let i = 0; i < data.length; i += piece) {
            const part = data.subarray(i, i + piece), n = core.feed_chunk_data(w.put(part), part.length);
            if (n < 0) return n;
            chunks += n;
        }
        return chunks;
    };
    attempt(`${file}: the official BLAKE3 vectors`, () => {
        const vectors = JSON.parse(readFileSync('tests/vectors/blake3.json'));
        for (const { input_len, hash } of vectors.cases) {
            core.reset();
            const data = Uint8Array.from({ length: input_len }, (_, i) => i % 251), out = core.allocate(32);
            core.hash_init();
            core.hash_update(w.put(data), data.length);
            core.hash_final(out);
            expect(w.bytes(out, 32).toString('hex') == hash.slice(0, 64), `${input_len} bytes`);
        }
        return `, ${vectors.cases.length} of them`;
    });
    attempt(`${file}: w_14 wx_1 every function that is promised is exported`, () => {
        const streams = ['init_streaming', 'feed_chunk_data', 'poll_and_process_chunk', 'is_stream_finished', 'finalize_stream'];
        const patches = ['init_patcher', 'set_old_binary', 'set_patch_data', 'apply_patch_and_get_length', 'get_patched_binary', 'apply_patch_inplace'];
        const wanted = [...streams, ...patches, 'init', 'reset', ...deltas ? ['render_stream', 'get_node_count'] : []];
        const missing = wanted.filter(name => typeof core[name] != 'function');
        expect(missing.length == 0, `not there: ${missing}`);
        return `, ${wanted.length} of them`;
    });
    attempt(`${file}: wx_1 wx_5 a stream in pieces of any size gives its chunks, templates and state`, () => {
        const data = app(1), wasm = readFileSync(`${folder}/app-1.wasm`);
        for (const piece of [1, 2, 3, 5, 64, 1000, 65536, data.length]) {
            core.reset();
            expect(core.init_streaming() == 0, 'init');
            const some = piece < 64 ? data.subarray(0, 5000) : data;
            w.got.templates.length = w.got.states.length = 0;
            const n = feed(some, piece);
            if (some != data) {
                expect(n == 3 && !core.is_stream_finished() && core.finalize_stream() == -11, `piece ${piece}: ${n}`);
                continue;
            }
            expect(n == 4 && core.is_stream_finished(), `piece ${piece}: ${n}`);
            for (const type of [1, 2, 3, 4, 0]) expect(core.poll_and_process_chunk() == type, `not type ${type}`);
            expect(core.finalize_stream() == 0 && w.got.templates.length == 1 && w.got.states.length == 1, 'finalize');
            expect(w.got.templates[0][1] == readFileSync('examples/www/card.html', 'utf8'), 'template');
            expect(w.bytes(core.chunk_data(4), core.chunk_size(4)).equals(wasm), 'module');
        }
    });
    attempt(`${file}: wx_6 memory is taken from one arena, and reset() gives all of it back`, () => {
        core.reset();
        const first = core.allocate(1), taken = [[first, 1]];
        for (let i = 0, seed = 7; i < 500; i++) {
            seed = seed * 1103515245 + 12345 & 0x7fffffff;
            const size = seed % 5 ? seed % 3000 : seed % 300000, at = core.allocate(size);
            expect(at % 16 == 0 && at >= taken.at(-1)[0] + taken.at(-1)[1] && at + size <= core.memory.buffer.byteLength, `${size} bytes at ${at}`);
            taken.push([at, size]);
        }
        taken.forEach(([at, size], i) => new Uint8Array(core.memory.buffer, at, size).fill(i));
        taken.forEach(([at, size], i) => expect(w.bytes(at, size).every(b => b == (i & 255)), `${i} was overwritten`));
        const whole = core.memory.buffer.byteLength;
        expect(core.allocate(0xfffffff0) == 0 && core.allocate(0xffffffff) == 0, 'more than there can be');
        const behind = core.allocate(16);
        expect(behind - taken.at(-1)[0] - taken.at(-1)[1] < 16, 'a refused request used something');
        for (let i = 0; i < 50; i++) {
            core.reset();
            expect(core.allocate(1) == first && core.allocate(1000000), 'not from the beginning');
        }
        expect(core.memory.buffer.byteLength == whole, `it grew to ${core.memory.buffer.byteLength}`);
        return `, ${whole >> 10} KiB used again`;
    });
    attempt(`${file}: wx_2 instances share nothing, and init() leaves nothing of before`, () => {
        const other = spare.core, streams = [app(1), app(2)], sides = [w, spare];
        const begin = s => {
            s.core.init();
            expect(s.core.init_streaming() == 0, 'init');
            s.got.states.length = s.got.templates.length = s.at = 0;
            s.core.hash_init();
        };
        sides.forEach(begin);
        for (let turn = 0; w.at < streams[0].length || spare.at < streams[1].length; turn++) {
            const side = turn % 3 == 2 ? 1 : turn % 2, s = sides[side], part = streams[side].subarray(s.at, s.at += 997 + 31 * side), at = s.put(part);
            expect(s.core.feed_chunk_data(at, part.length) >= 0, 'refused');
            s.core.hash_update(at, part.length);
        }
        const results = sides.map(s => {
            const out = s.core.allocate(32);
            s.core.hash_final(out);
            expect(s.core.is_stream_finished() && s.core.finalize_stream() == 0, 'not whole');
            return s.bytes(out, 32).toString('hex') + s.got.states + s.bytes(s.core.chunk_data(4), s.core.chunk_size(4)).toString('hex');
        });
        expect(results[0] != results[1] && results[0].includes(readFileSync(`${folder}/app-1.wasm`).toString('hex')) &&
            results[1].includes(readFileSync(`${folder}/app-2.wasm`).toString('hex')), 'mixed');
        other.init();
        expect(other.poll_and_process_chunk() == 0 && other.chunk_size(4) == 0 && other.is_stream_finished() == 0 && other.finalize_stream() == -10 &&
            other.apply_patch_and_get_length() == -36, 'something is left');
        expect(core.is_stream_finished() == 1, 'the other one was reset, too');
    });
    attempt(`${file}: wx_4 what is asked of the host: templates, states, and a call for every change of the page`, () => {
        const asked = WebAssembly.Module.imports(new WebAssembly.Module(readFileSync(`${folder}/${file}`))).map(({ module, name }) => `${module}.${name}`).sort();
        const page = ['host.page_build', 'host.page_do'], first = ['host.cache_template', 'host.notify_state_change'];
        expect(asked.join() == [...first, ...deltas ? page : []].join(), asked.join());
        if (!deltas) return ', two imports';
        const stream = htipStream(['<li><b data-slot=""></b></li>', 'text', 'title', 'on', 'color', 'red'], [[7, 0, 1]], [
            [1, 1, 7, 0], [1, 3, 7, 0], [1, 5, 7, 0], // clone, and append
            [2, 2, 1, 0], [3, 1, 2, 1], [4, 1, 3, 1], [4, 3, 3, 0], [5, 3], [6, 2, 4, 5], [9, 5, 1, 0]]);
        const calls = [], root = new Element('ul'), made = htip(root, mock);
        w.got.page = { build: made.build, do: (op, ...more) => (calls.push(op), made.do(op, ...more)) };
        core.reset();
        core.clear_page();
        expect(core.render_stream(w.put(stream), stream.length) == 0, 'refused');
        expect(calls.join() == '1,1,1,2,3,4,4,5,6,9', calls.join());
        const want = '<li><b data-slot=""></b></li><li title="text" class="on"><b data-slot="" style="color: red;">text</b></li>';
        expect(root.innerHTML == want, root.innerHTML);
        core.clear_page();
        return `, ${asked.length} imports, ${calls.length} changes`;
    });
    attempt(`${file}: wx_1 errors keep their numbers`, () => {
        core.init();
        expect(core.feed_chunk_data(0, 0) == -10 && core.finalize_stream() == -10, 'not begun');
        const wrong = (data, error) => {
            core.reset();
            core.init_streaming();
            const n = feed(Uint8Array.from(data), 1 << 16);
            expect(n == error, `${data.slice(0, 5)}: ${n}, not ${error}`);
        };
        wrong([9, 0, 0, 0, 0], -2);
        wrong([1, 63, 0, 0, 0, ...Array(64).fill(0)], -3);
        core.reset();
        core.init_streaming();
        expect(core.finalize_stream() == -11, 'incomplete');
        const layout = [2, 4, 0, 0, 0, 9, 0, 0, 0], header = [...app(1).subarray(0, 69)];
        core.reset();
        core.init_streaming();
        feed(Uint8Array.from([...header, ...layout, 4, 1, 0, 0, 0, 7, 255, 0, 0, 0, 0]), 7);
        expect(core.finalize_stream() == -12, 'a layout that promises nine templates and has none');
    });
    attempt(`${file}: wx_1 templates are handed out all or none`, () => {
        const header = app(1).subarray(0, 69), u32 = n => [n & 255, n >> 8, 0, 0];
        const finish = texts => {
            const layout = [...u32(texts.length), ...texts.flatMap((t, i) => [...u32(i), ...u32(t.length), ...t])];
            core.reset();
            core.init_streaming();
            feed(Uint8Array.from([...header, 2, ...u32(layout.length), ...layout, 4, ...u32(1), 7, 255, ...u32(0)]), 1 << 16);
            w.got.templates.length = 0;
            return core.finalize_stream();
        };
        const good = [...Buffer.from('<p>\u00e9\u20ac\u{10ffff}\ud7ff\ue000</p>')];
        expect(finish([good, good, []]) == 0 && w.got.templates.length == 3, 'three good ones');
        const fatal = new TextDecoder('utf-8', { fatal: true });
        const refused = [[0xff], [0x80], [0xc3], [0xc0, 0xaf], [0xe0, 0x9f, 0xbf], [0xed, 0xa0, 0x80], [0xe2, 0x82], [0xe2, 0x82, 0x41],
            [0xf0, 0x8f, 0xbf, 0xbf], [0xf4, 0x90, 0x80, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xf0, 0x9f, 0x98]];
        for (const bad of refused) {
            let decodes = true;
            try { fatal.decode(Uint8Array.from(bad)); } catch { decodes = false; }
            expect(!decodes, `${bad} is UTF-8`);
            for (const texts of [[bad], [good, bad], [good, good, [...good, ...bad]], [bad, good]])
                expect(finish(texts) == -12 && w.got.templates.length == 0, `${bad}: ${w.got.templates.length} of ${texts.length} handed out`);
        }
        return `, ${refused.length} texts that are not UTF-8`;
    });
    const apply = (old, delta) => {
        core.reset();
        core.init_patcher();
        core.set_old_binary(w.put(old), old.length);
        core.set_patch_data(w.put(delta), delta.length);
        return core.apply_patch_and_get_length();
    };
    for (const kind of deltas ? ['blocks', 'delta'] : ['blocks'])
        attempt(`${file}: ${kind} patch`, () => {
            const old = app(1), wanted = app(2), delta = patch(kind, 1, 2);
            expect(apply(old, delta) == wanted.length, 'size');
            expect(w.bytes(core.get_patched_binary(), wanted.length).equals(wanted), 'bytes');
            expect(apply(wanted, delta) == -38 && apply(wanted.subarray(1), delta) == -37, 'another base');
            for (let i = 0; i < delta.length; i += 1 + (i >> 3)) {
                expect(apply(old, delta.subarray(0, i)) < 0, `cut at ${i}`);
                const flipped = Uint8Array.from(delta);
                flipped[i] ^= 1 << (i % 8);
                expect(apply(old, flipped) < 0, `flipped at ${i}`);
            }
            core.init();
            core.init_patcher();
            expect(core.apply_patch_and_get_length() == -36, 'no patch');
            return `, ${delta.length} bytes`;
        });
    if (deltas) attempt(`${file}: a patch of format 4, whose decoder was left out, is refused`, () => {
        expect(apply(app(1), patch('delta', 1, 2, 4)) == -8, 'not ENOTSUP');
        expect(apply(app(1), patch('delta', 1, 2)) == app(2).length, 'and then one of format 3 is not applied');
    });
    for (const version of deltas ? [1, 2] : [])
        attempt(`${file}: st_2 the card of version ${version} in a document is the HTML of a server`, () => {
            const pack = what => spawnSync(`${folder}/pack`, [what, version, 'examples/www/card.html']).stdout;
            const stream = pack('card'), root = new Element('main');
            const render = data => {
                core.reset();
                return core.render_stream(w.put(data), data.length);
            };
            w.got.page = htip(new Element('main'), mock);
            core.clear_page();
            w.got.calls = 0;
            for (let i = 0; i < stream.length; i++) expect(render(stream.subarray(0, i)) == -7, `cut at ${i}`);
            for (let i = 0; i < stream.length * 8; i++) {
                const flipped = Uint8Array.from(stream), calls = w.got.calls;
                flipped[i >> 3] ^= 1 << (i & 7);
                if (render(flipped) == 0) { // another text is as valid as this one
                    core.clear_page();
                    w.got.page = htip(new Element('main'), mock);
                } else expect(w.got.calls == calls, `flipped bit ${i} was half carried out`);
            }
            w.got.page = htip(root, mock);
            expect(render(stream) == 0 && core.get_node_count() == 3, `${core.get_node_count()} nodes`);
            expect(root.innerHTML == String(pack('html')), root.innerHTML);
            expect(render(stream) == -15 && core.get_node_count() == 3, 'again');
            return `, ${stream.length} bytes`;
        });
    attempt(`${file}: blocks in place`, () => {
        const old = app(1), wanted = app(2), delta = patch('blocks', 1, 2);
        core.reset();
        core.init_patcher();
        const at = w.put(Buffer.concat([old, Buffer.alloc(Math.max(0, wanted.length - old.length))]));
        core.set_old_binary(at, old.length);
        core.set_patch_data(w.put(delta), delta.length);
        expect(core.apply_patch_inplace() == wanted.length && w.bytes(at, wanted.length).equals(wanted), 'bytes');
    });
}
attempt('wx_3 the core with streams, block patches and BLAKE3 is at most 24 KB', () => {
    const size = statSync(`${folder}/core-blocks.wasm`).size;
    expect(size <= 24 * 1024, `${size} bytes`);
    return `: ${size} bytes, with deltas ${statSync(`${folder}/site/core.wasm`).size}`;
});
// Another compiler produces other bytes, so the table is valid for one version only.
const compiler = spawnSync('clang', ['-dumpversion']).stdout.toString().split('.')[0];
const readme = readFileSync('examples/www/README.md', 'utf8'), of = readme.match(/^## Size \(clang (\d+)\)$/m)[1];
let skipped = 0;
if (compiler != of) {
    console.log(`    skip the sizes in the README are those of clang ${of}, this is clang ${compiler}`);
    skipped++;
} else attempt('wx_3 the sizes in the README are those of the modules', () => {
    const number = text => +text.replaceAll(',', ''), rows = [...readme.matchAll(/`(core[\w-]*\.wasm)` \| ([\d,]+) \| ([\d,]+) \|$/gm)], wrong = [];
    expect(rows.length == 4, `${rows.length} rows in the table`);
    for (const [, name, bytes, gzipped] of rows) {
        const module = readFileSync(`${folder}/${name == 'core.wasm' || name == 'core-simd.wasm' ? 'site/' : ''}${name}`), packed = gzipSync(module, { level: 9 }).length;
        // Versions of zlib differ by a few bytes.
        if (number(bytes) != module.length || Math.abs(number(gzipped) - packed) > 64) wrong.push(`${name} is ${module.length}, ${packed} gzipped`);
    }
    expect(wrong.length == 0, wrong.join('; '));
    return `, ${rows.length} of them`;
});
console.log(`core: ${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exit(failed ? 1 : 0);
