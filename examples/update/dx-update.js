// Files that keep themselves up to date with patches, in browsers, service workers and Node; README.md has examples.
//   const { bytes, how } = await update('app.dxs');
import { Cache, idbStore, memoryStore } from './cache.js';
import { placeOf, readManifest } from './manifest.js';
import { UpdateError } from './error.js';
export { UpdateError, Cache, memoryStore };

const INTERFACE = 1; // of core.c, built with CORE_UPDATE
const ROOM = 65536, MANIFEST_MAX = 4096;
const streamErrors = { 1: 'bad header or order of chunks', 2: 'unknown or repeated chunk', 3: 'bad chunk size', 4: 'a patch inside the stream', 11: 'it ends too early' };
const patchErrors = { '-2': 'no memory', '-5': 'damaged', '-8': 'a kind of patch that is not read here', '-11': 'ends too early', '-32': 'not a patch', '-37': 'of another base', '-39': 'wrong result' };

// ---- the core: hashes, patches and chunk streams in WebAssembly
let compiled = null;

async function moduleBytes() {
    const url = new URL('dx-update.wasm', import.meta.url);
    if (url.protocol == 'file:') return (await import('node:fs/promises')).readFile(url);
    // What was fetched is kept: without network a service worker has to start, too.
    const kept = globalThis.caches && await caches.open(`dx-update-core-${INTERFACE}`).catch(() => null);
    const response = await fetch(url).catch(() => null);
    if (response?.ok) {
        await kept?.put(url, response.clone()).catch(() => {});
        return response.arrayBuffer();
    }
    const copy = await kept?.match(url);
    if (!copy) throw new UpdateError('core', `${url} cannot be loaded${response ? `: status ${response.status}` : ''}`);
    return copy.arrayBuffer();
}

async function newCore() {
    const load = async () => WebAssembly.compile(await moduleBytes());
    compiled ??= load().catch(error => {
        compiled = null;
        throw error instanceof UpdateError ? error : new UpdateError('core', `dx-update.wasm is not a module: ${error.message}`);
    });
    const { exports } = await WebAssembly.instantiate(await compiled, {});
    if (exports.get_interface?.() != INTERFACE) throw new UpdateError('core', 'dx-update.wasm and dx-update.js are of different versions');
    exports.init();
    return new Core(exports);
}

class Core {
    constructor(wasm) { this.wasm = wasm; }
    view(at, size) { return new Uint8Array(this.wasm.memory.buffer, at, size); }
    allocate(size) {
        const at = this.wasm.allocate(size);
        if (!at) throw new UpdateError('memory', `${size} bytes of WebAssembly memory cannot be had`);
        return at;
    }
    put(data) {
        const at = this.allocate(data.length);
        this.view(at, data.length).set(data);
        return at;
    }
    hash(data) {
        const consumer = this.begin();
        consumer.feed(data);
        return consumer.end();
    }
    // The new version. The patch says which base it is for and what it makes: both are compared here.
    patch(old, patch, sizeMax) {
        const { wasm } = this;
        wasm.reset();
        wasm.set_target_max(Math.min(sizeMax, 0x7fffffff));
        wasm.init_patcher();
        wasm.set_old_binary(this.put(old), old.length);
        wasm.set_patch_data(this.put(patch), patch.length);
        const size = wasm.apply_patch_and_get_length();
        if (size == -4) throw new UpdateError('too-big', `the patch makes more than ${sizeMax} bytes, or needs too much memory for them`);
        if (size < 0) throw new UpdateError('patch', `the patch is refused: ${patchErrors[size] ?? size}`);
        return this.view(wasm.get_patched_binary(), size).slice();
    }
    // Consumes a body piece by piece: feed() hashes it, and hands complete chunks to onChunk. end() returns the hash.
    begin(onChunk) {
        const { wasm } = this;
        const check = n => {
            if (n < 0) throw new UpdateError('chunks', `the chunk stream is refused: ${streamErrors[-n] ?? n}`);
        };
        wasm.reset();
        wasm.hash_init();
        if (onChunk) check(wasm.init_streaming());
        const at = this.allocate(ROOM), out = this.allocate(32);
        return {
            feed: data => {
                for (let i = 0; i < data.length; i += ROOM) {
                    const part = data.subarray(i, i + ROOM);
                    this.view(at, part.length).set(part);
                    wasm.hash_update(at, part.length);
                    if (!onChunk) continue;
                    check(wasm.feed_chunk_data(at, part.length));
                    for (let type; (type = wasm.poll_and_process_chunk());)
                        onChunk({ type, bytes: this.view(wasm.chunk_data(type), wasm.chunk_size(type)).slice() });
                }
            },
            end: () => {
                if (onChunk && !wasm.is_stream_finished()) check(-11);
                wasm.hash_final(out);
                return Array.from(this.view(out, 32), b => b.toString(16).padStart(2, '0')).join('');
            },
        };
    }
}

// BLAKE3-256 as 64 digits.
export async function hashOf(bytes) { return (await newCore()).hash(bytes); }

// ---- requests that end, whatever the server does
class Line {
    constructor(o) {
        this.o = o;
        this.abort = new AbortController();
        this.ended = new Promise((_, no) => this.end = no);
        this.ended.catch(() => {}); // within() hands the reason on
        this.stop = () => this.fail('aborted', 'stopped by its signal');
        if (o.signal?.aborted) this.stop();
        o.signal?.addEventListener('abort', this.stop);
        this.total = setTimeout(() => this.fail('timeout', `not finished within ${o.totalMs} ms`), o.totalMs);
    }
    fail(code, text) {
        this.reason ??= new UpdateError(code, text);
        this.abort.abort();
        this.end(this.reason);
    }
    // What this side has to wait for, such as another tab's transaction, ends with totalMs and the signal, too.
    within(promise) {
        clearTimeout(this.idle);
        return Promise.race([promise, this.ended]);
    }
    restart() {
        clearTimeout(this.idle);
        this.idle = setTimeout(() => this.fail('timeout', `the server sent nothing for ${this.o.idleMs} ms`), this.o.idleMs);
    }
    close(handedOut) {
        clearTimeout(this.idle);
        clearTimeout(this.total);
        this.o.signal?.removeEventListener('abort', this.stop);
        if (!handedOut) this.abort.abort(); // cancel a body that was not read to its end
    }
    async ask(url, headers, mode) {
        this.restart();
        try {
            return await fetch(url, { headers, cache: mode, redirect: this.o.redirect, signal: this.abort.signal });
        } catch (error) {
            throw this.reason ?? new UpdateError('network', `${url}: ${error.message}`, error);
        }
    }
    // The bytes of a response, handed to `each` as they come.
    async read(response, max, each) {
        const parts = [];
        let size = 0;
        const tooBig = () => new UpdateError('too-big', `${response.url} has more than ${max} bytes`);
        // Of an encoded body it is another length; other origins need not show that it is one.
        const isEncoded = response.headers.has('Content-Encoding') || response.type == 'cors';
        if (!isEncoded && +response.headers.get('Content-Length') > max) throw tooBig();
        for (const reader = response.body?.getReader(); reader;) {
            let piece;
            try {
                piece = await reader.read();
            } catch (error) {
                throw this.reason ?? new UpdateError('network', `${response.url} ended after ${size} bytes: ${error.message}`, error);
            }
            if (piece.done) break;
            this.restart();
            size += piece.value.length;
            if (size > max) throw tooBig();
            each?.(piece.value);
            parts.push(piece.value);
        }
        const all = new Uint8Array(size);
        let at = 0;
        for (const part of parts) {
            all.set(part, at);
            at += part.length;
        }
        return all;
    }
}

// ---- what an answer says
const ofConnection = new Set(['age', 'connection', 'content-encoding', 'content-length', 'date', 'delta-base', 'im', 'keep-alive', 'set-cookie', 'transfer-encoding']);
const neutral = new Set(['accept-encoding', 'a-im', 'if-none-match']);
const words = (response, name) => (response.headers.get(name) ?? '').toLowerCase().split(',').map(word => word.trim()).filter(Boolean);
const headersOf = response => Object.fromEntries([...response.headers].filter(([name]) => !ofConnection.has(name)));
// May one copy answer every later request for this URL?
const mayKeep = response => !words(response, 'Cache-Control').includes('no-store') && words(response, 'Vary').every(name => neutral.has(name));
const hashIn = etag => etag?.match(/^"([0-9a-f]{64})(-[a-z]+)?"$/)?.[1] ?? null; // an encoded body has one of its own
// The hash that a server of patches announces: its ETag; those of other servers mean nothing here.
function announced(response) {
    return response.status == 226 || words(response, 'Vary').includes('a-im') ? hashIn(response.headers.get('ETag')) : null;
}
// Is a 304 about these bytes? A server of patches names their hash, another one the tag that it was asked with.
function isAbout(response, { hash, etag }) {
    const says = announced(response), tag = hashIn(response.headers.get('ETag'));
    return says ? says == hash : !tag || tag == (etag ? hashIn(etag.replace(/^W\//, '')) : hash);
}

// The bytes of a body on the way: it may have been encoded there.
function travelledFor(response, bytes) {
    const length = response.headers.get('Content-Length');
    return response.headers.has('Content-Encoding') && length !== null ? +length : bytes.length;
}

function refuse(response) {
    const code = response.status >= 500 ? 'unavailable' : 'status';
    const error = new UpdateError(code, `${response.url || 'the server'}: status ${response.status}`);
    error.response = response;
    throw error;
}

// ---- the update
class Update {
    constructor(cache, url, o, place) {
        Object.assign(this, { cache, url, o, place, have: null, expired: null, how: 'full', travelled: 0, manifest: null, line: new Line(o) });
    }
    async run() {
        const { o } = this;
        let usable = false, handedOut = null; // a response that the caller may read
        try {
            this.core = await this.line.within(newCore());
            const { entry, damaged } = await this.line.within(this.cache.get(this.url.href, bytes => this.core.hash(bytes))).catch(error => {
                if (error === this.line.reason) throw error;
                this.cacheError = error; // without a cache everything travels each time
                return {};
            });
            if (damaged) this.how = 'repaired';
            this.have = entry ?? null;
            usable = this.have && await this.isTrusted();
            if (usable && o.ask == 'stale' && this.have.fresh && !this.expired) return this.done('fresh');
            return await this.ask();
        } catch (error) {
            const have = usable ? this.have : null, isOffline = have && ['network', 'timeout', o.on5xx == 'offline' && 'unavailable'].includes(error.code);
            if (isOffline && !this.expired) return this.done('offline', { error });
            const thrown = isOffline ? new UpdateError('expired', `the kept version expired on ${this.expired}, and there is no newer manifest: ${error.message}`, error) : error;
            if (thrown instanceof UpdateError) thrown.have = have;
            handedOut = thrown.response;
            throw thrown;
        } finally {
            this.line.close(handedOut);
        }
    }
    // Is the cached entry signed? It is used without a request only if its manifest verifies with these keys.
    async isTrusted() {
        const { trust } = this.o;
        if (!trust) return true;
        if (!this.have.manifest) return false;
        const manifest = await readManifest(this.have.manifest, this.url, this.place.name, trust).catch(() => null);
        this.expired = trust.offlineExpired ? null : manifest?.expired;
        return manifest?.blake3 == this.have.hash;
    }
    async ask() {
        const { o, have } = this;
        if (o.trust) {
            await this.askManifest();
            if (have?.hash == this.manifest.blake3) return this.unchanged(have.headers);
        }
        const where = this.manifest?.path ?? this.url;
        if (!have) return this.how == 'repaired' ? this.again(where) : this.whole(where, await this.request(where, {}, o.mode));
        const headers = { 'If-None-Match': have.etag ?? `"${have.hash}"`, 'A-IM': 'dx-patch' };
        const response = await this.request(where, headers, 'no-store');
        if (response.status == 226) return this.patched(where, response);
        if (response.status != 304) return this.whole(where, response);
        if (!isAbout(response, have)) return this.again(where);
        this.expect(have.hash);
        return this.unchanged({ ...have.headers, ...headersOf(response), 'content-type': have.headers['content-type'] ?? '' });
    }
    request(where, headers, mode) { return this.line.ask(where, { Accept: this.o.accept ?? '*/*', ...headers }, mode); }
    // What is kept, or the answer, is damaged: the whole, past every cache.
    async again(where) {
        this.how = 'repaired';
        return this.whole(where, await this.request(where, {}, 'reload'));
    }
    async askManifest() {
        const { at, name, series } = this.place, response = await this.line.ask(at, {}, 'no-cache');
        if (response.status != 200) refuse(response);
        const bytes = await this.line.read(response, MANIFEST_MAX);
        this.manifest = await readManifest(bytes, this.url, name, this.o.trust);
        if (this.manifest.expired) throw new UpdateError('expired', `the manifest expired on ${this.manifest.expired}`);
        // Noted now, whatever becomes of the file; without this memory an old manifest would be as good as the last.
        const last = await this.line.within(this.cache.see(series, this.manifest.sequence)).catch(error => {
            throw error instanceof UpdateError ? error : new UpdateError('cache', `which manifests were seen cannot be read: ${error.message}`, error);
        });
        if (this.manifest.sequence < last)
            throw new UpdateError('rollback', `the manifest has sequence ${this.manifest.sequence}, ${last} was seen before`);
        if (this.manifest.size > this.o.sizeMax) throw new UpdateError('too-big', `the manifest announces ${this.manifest.size} bytes, sizeMax is ${this.o.sizeMax}`);
    }
    // The hash that the content must have. A manifest decides; without one the server's word does.
    expect(hash, response) {
        const says = response && announced(response);
        if (this.manifest && hash != this.manifest.blake3) throw new UpdateError('not-signed', `${this.url.href} is not what its manifest signs`);
        if (says && hash != says) throw new UpdateError('damaged', `${this.url.href} does not have the hash that its ETag announces`);
    }
    async patched(where, response) {
        const { have, o } = this, max = this.manifest?.size ?? o.sizeMax;
        let bytes;
        const patch = await this.line.read(response, o.sizeMax);
        this.travelled += travelledFor(response, patch);
        try {
            if (!announced(response)) throw new UpdateError('patch', 'the patch does not say what it makes');
            bytes = this.core.patch(have.bytes, patch, max);
            this.expect(this.core.hash(bytes), response);
        } catch (error) {
            if (!['patch', 'damaged'].includes(error.code)) throw error;
            return this.again(where);
        }
        const headers = { ...have.headers, ...headersOf(response), 'content-type': have.headers['content-type'] ?? '' };
        headers['cache-control'] = have.headers['cache-control'] ?? ''; // that of the answer is about the patch
        return this.keep('patch', bytes, response, headers, patch.length);
    }
    async whole(where, response) {
        if (response.status != 200) refuse(response);
        // Chunks of what must be signed are held back until it is known to be.
        const early = !this.o.trust;
        const consumer = this.core.begin(early ? this.o.onChunk : null);
        const bytes = await this.line.read(response, this.manifest?.size ?? this.o.sizeMax, piece => consumer.feed(piece));
        this.travelled += travelledFor(response, bytes);
        this.hash = consumer.end();
        this.expect(this.hash, response);
        this.chunksGiven = early;
        return this.keep(this.how, bytes, response, headersOf(response), 0);
    }
    async keep(how, bytes, response, headers, patchSize) {
        const entry = { bytes, hash: this.hash ?? announced(response), etag: response.headers.get('ETag'), headers, ...this.signed() };
        const allowed = how == 'patch' || mayKeep(response);
        const kept = allowed && !this.cacheError && await this.line.within(this.cache.put(this.url.href, entry, { patchSize, ttlMs: this.o.ttlMs })).catch(error => {
            this.cacheError = error;
            return false;
        });
        if (!allowed) await this.line.within(this.cache.remove(this.url.href)).catch(() => {});
        this.have = entry;
        return this.done(how, { kept });
    }
    async unchanged(headers) {
        const renewal = { headers, ttlMs: this.o.ttlMs, ...this.signed() };
        const kept = await this.line.within(this.cache.renew(this.url.href, this.have.hash, renewal)).catch(() => false);
        this.have.headers = headers;
        return this.done('unchanged', { kept });
    }
    signed() {
        const { series } = this.place;
        return this.manifest ? { manifest: this.manifest.bytes, sequence: this.manifest.sequence, series } : { series };
    }
    done(how, more = {}) {
        const { bytes, hash, etag, headers } = this.have;
        if (this.o.onChunk && !this.chunksGiven) {
            const consumer = this.core.begin(this.o.onChunk);
            consumer.feed(bytes);
            consumer.end();
        }
        return { how, bytes, hash, etag, headers, travelled: this.travelled, kept: true, cacheError: this.cacheError, ...more };
    }
}

const numbers = { sizeMax: 64 << 20, idleMs: 30000, totalMs: 600000, ttlMs: undefined };
function settle(options) {
    const o = { ask: 'always', mode: 'no-store', redirect: 'follow', on5xx: 'offline', ...options };
    for (const [name, usual] of Object.entries(numbers)) {
        o[name] ??= usual;
        if (o[name] !== undefined && !(o[name] > 0)) throw new UpdateError('options', `${name} must be a number above 0`);
    }
    if (!['always', 'stale'].includes(o.ask)) throw new UpdateError('options', `ask is 'always' or 'stale', not '${o.ask}'`);
    if (!['offline', 'error'].includes(o.on5xx)) throw new UpdateError('options', `on5xx is 'offline' or 'error', not '${o.on5xx}'`);
    if (o.onChunk && typeof o.onChunk != 'function') throw new UpdateError('options', 'onChunk must be a function');
    if (o.trust && !(Array.isArray(o.trust.keys) && o.trust.keys.length)) throw new UpdateError('options', 'trust.keys must have a public key');
    return o;
}

let ours = null;
// A cache of many entries: { name, indexedDB, bytesMax, entriesMax, ttlMs, dropExpired }; in Node, without a directory (node.js), in memory.
export function openCache(options = {}) {
    const factory = options.indexedDB ?? globalThis.indexedDB, name = options.name ?? 'dx-update';
    const store = options.store ?? (factory ? idbStore(name, factory) : memoryStore());
    return new Cache(store, options);
}

const flights = new WeakMap(); // of each cache: updates under way, by URL
export async function update(url, options = {}) {
    const o = settle(options);
    let at;
    try {
        at = new URL(url, globalThis.location?.href);
    } catch {
        throw new UpdateError('url', `${String(url)} is not an address`);
    }
    if (at.username || at.password) throw new UpdateError('url', 'an address with a password is not fetched');
    if (!['http:', 'https:'].includes(at.protocol)) throw new UpdateError('url', `${at.protocol} is not fetched, only http: and https:`);
    at.hash = '';
    const cache = o.cache ?? (ours ??= openCache()), place = placeOf(at, o.trust);
    const fly = () => new Update(cache, at, o, place).run();
    if (o.onChunk || o.signal) return fly();
    // Callers who ask for the same at the same time have one answer.
    if (!flights.has(cache)) flights.set(cache, new Map());
    const running = flights.get(cache), asked = JSON.stringify([at.href, o.ask, o.sizeMax, o.on5xx, o.accept]), same = running.get(asked);
    if (same && same.trust === o.trust) return same.answer;
    const flight = { trust: o.trust, answer: fly() };
    running.set(asked, flight);
    try {
        return await flight.answer;
    } finally {
        if (running.get(asked) === flight) running.delete(asked);
    }
}

// Headers that browsers themselves give to a page, a script, an image or a plain fetch().
const isBrowsers = ([name, value]) => /^(accept|origin|dnt|save-data|upgrade-insecure-requests|sec-.*)$/.test(name) ||
    (name == 'user-agent' && value == navigator.userAgent) || (name == 'accept-language' && value.startsWith(navigator.language));
// For a service worker: the answer to a request, with patches on the way. What is not a plain GET of this origin goes by: one with headers
// of its own (Authorization, Range), without credentials, or a fetch() that wants a certain type (events, JSON).
export function takes({ method, url, headers, cache, credentials, destination }) {
    return method == 'GET' && new URL(url).origin == location.origin && cache != 'only-if-cached' && credentials != 'omit' &&
        (destination || (headers.get('Accept') ?? '*/*') == '*/*') && [...headers].every(isBrowsers);
}
export async function answer(request, options = {}) {
    try {
        // A page starts with what is kept while the server is ill; a program that asks it is told so.
        const usual = { mode: 'no-cache', redirect: 'manual', accept: request.headers.get('Accept'), on5xx: request.destination ? 'offline' : 'error' };
        const { bytes, headers, how, travelled } = await update(request.url, { ...usual, ...options });
        const shown = new Headers(Object.entries(headers).filter(([, value]) => value));
        shown.set('X-Dx-Update', `${how}; travelled=${travelled}; size=${bytes.length}`);
        return new Response(bytes, { headers: shown });
    } catch (error) {
        if (options.trust) return Response.error(); // nothing unsigned gets by
        return error.response && error.response.type != 'opaqueredirect' ? error.response : fetch(request);
    }
}
