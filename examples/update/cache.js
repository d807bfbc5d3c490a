// What is kept: many entries under a quota, by the rules of layers/dx_cache.h, which tests/ports/update.mjs compares with it step by
// step. Every change is one transaction of a store, all or nothing; tabs and workers that share a store see the same entries and counts.
import { UpdateError } from './error.js';

const VERSION = 1; // of records; others are not read
const HEADERS_MAX = 8192, SEQUENCES_MAX = 1000, WEEK_MS = 7 * 86400000;
const counts = ['hits', 'stale', 'misses', 'puts', 'patches', 'renewals', 'savedBytes', 'evicted', 'removed', 'outdated', 'damaged', 'refused'];
const isFull = error => ['QuotaExceededError', 'ENOSPC', 'EDQUOT'].includes(error?.name == 'Error' ? error.code : error?.name ?? error?.code);
const endOf = (time, ttlMs) => Math.min(time + ttlMs, 864e13); // the last date: JSON has no Infinity
const bytesOf = text => new TextEncoder().encode(text).length;
const isCount = n => Number.isSafeInteger(n) && n >= 0 && n < 2 ** 52; // one more of it is a number, too
const isObject = value => typeof value == 'object' && value !== null && !Array.isArray(value);
const isFieldValue = text => typeof text == 'string' && /^[\t -~\x80-\xff]*$/.test(text);
const isHeader = ([name, value]) => /^[!#$%&'*+.^`|~\w-]+$/.test(name) && isFieldValue(value);
const extraOf = ({ headers, etag, manifest }) => bytesOf(JSON.stringify(headers)) - 2 + bytesOf(etag ?? '') + (manifest?.length ?? 0);
const costOf = meta => meta.size + bytesOf(meta.key) + extraOf(meta);
const isMeta = (meta, key) => meta?.version === VERSION && meta.key === key && ['size', 'used', 'hits', 'stored'].every(name => isCount(meta[name])) &&
    typeof meta.hash == 'string' && (meta.etag === null || isFieldValue(meta.etag)) && isObject(meta.headers) && Object.entries(meta.headers).every(isHeader) &&
    (meta.manifest === null || meta.manifest instanceof Uint8Array) && Number.isFinite(meta.time) && Number.isFinite(meta.expires) && meta.cost === costOf(meta);
const isSequence = item => Array.isArray(item) && typeof item[0] == 'string' && Number.isSafeInteger(item[1]) && item[1] > 0;
const isState = state => state?.version === VERSION && ['entries', 'bytes', 'used', ...counts].every(name => isCount(state[name])) &&
    Array.isArray(state.sequences) && state.sequences.every(isSequence);
// Of a damaged state, what is sound. `lost`: the sequences of some manifests are not known any more.
function salvage(was) {
    const list = was?.version === VERSION && Array.isArray(was.sequences) ? was.sequences : null, sequences = list?.filter(isSequence) ?? [];
    const state = { version: VERSION, used: 0, entries: 0, bytes: 0, sequences, lost: was !== undefined && (was?.lost || sequences.length != list?.length) };
    for (const name of counts) state[name] = isCount(was?.[name]) ? was[name] : 0;
    if (was !== undefined) state.damaged++;
    return state;
}

export class Cache {
    constructor(store, { bytesMax = 50 << 20, entriesMax = 100, ttlMs = WEEK_MS, dropExpired = false, now = Date.now } = {}) {
        for (const [name, value] of Object.entries({ bytesMax, entriesMax, ttlMs }))
            if (!(value > 0)) throw new UpdateError('options', `${name} must be a number above 0`);
        Object.assign(this, { store, bytesMax, entriesMax, ttlMs, dropExpired, now });
    }

    // { entry, damaged }: entry.fresh says whether its lifetime lasts. Damaged ones are removed, whatever is wrong with them.
    async get(key, hash) {
        const found = await this.change(async (t, state, malformed) => {
            const meta = await t.meta(key), now = this.now(), fresh = meta?.expires > now && meta.time <= now; // or a clock went wrong
            if (isMeta(meta, key) && !fresh && this.dropExpired) {
                await this.drop(t, state, key, meta, 'removed');
            } else if (meta !== undefined) {
                const body = isMeta(meta, key) ? await t.body(key) : undefined;
                if (body instanceof Uint8Array && body.length === meta.size) {
                    await t.putMeta({ ...meta, used: ++state.used, hits: meta.hits + 1 });
                    state[fresh ? 'hits' : 'stale']++;
                    return { meta, body, fresh };
                }
                await this.drop(t, state, key, meta, 'damaged');
                state.misses++;
                return { damaged: true };
            }
            state.misses++;
            return { damaged: malformed.includes(key) };
        });
        if (!found.meta) return { damaged: found.damaged };
        const { meta, body, fresh } = found;
        // Hashed outside the transaction, which would hold up others.
        if (hash && hash(body) != meta.hash) {
            await this.change(async (t, state) => {
                const now = await t.meta(key);
                if (now?.stored !== meta.stored || now.hash !== meta.hash) return; // another one came meanwhile
                await this.drop(t, state, key, now, 'damaged');
                state[fresh ? 'hits' : 'stale']--;
                state.misses++;
            });
            return { damaged: true };
        }
        const { etag, headers, manifest, expires, time } = meta;
        return { entry: { bytes: body, hash: meta.hash, etag, headers, manifest, expires, time, fresh } };
    }

    // Is it kept? No: it is above the quota, overtaken by a higher sequence, or the device is full although all else was evicted.
    async put(key, entry, { ttlMs = this.ttlMs, patchSize = 0 } = {}) {
        const { bytes, hash, etag = null, headers = {}, manifest = null, sequence = 0, series = key } = entry, time = this.now();
        const meta = { version: VERSION, key, hash, etag, headers, manifest, size: bytes.length, time, expires: endOf(time, ttlMs), hits: 0, used: 0, stored: 0 };
        const cost = meta.cost = costOf(meta);
        if (!isMeta(meta, key)) throw new UpdateError('options', 'this is no entry of a cache');
        const store = () => this.change(async (t, state) => {
            if (this.last(state, series) > sequence || (!manifest && (await t.meta(key))?.manifest)) return this.count(state, 'outdated');
            if (cost > this.bytesMax || extraOf(meta) > HEADERS_MAX) return this.count(state, 'refused');
            await this.makeRoom(t, state, key, cost);
            const old = await t.meta(key);
            if (old !== undefined) await this.drop(t, state, key, old, 'removed');
            meta.used = meta.stored = ++state.used;
            await t.putMeta(meta);
            await t.putBody(key, bytes);
            state.entries++;
            state.bytes += cost;
            state.puts++;
            if (patchSize) state.patches++;
            if (patchSize && patchSize < bytes.length) state.savedBytes += bytes.length - patchSize;
            this.note(state, series, sequence);
            return true;
        });
        for (;;) {
            try {
                return await store();
            } catch (error) {
                if (!isFull(error)) throw error;
            }
            // The browser, or the disk, has less room than the quota: evict the least recently used entries, a fifth at a time.
            if (!await this.shrink()) return this.change((t, state) => this.count(state, 'refused'));
        }
    }

    // After a 304: the cached entry is current; mark it fresh. false: it was removed or replaced meanwhile.
    renew(key, hash, { headers, manifest, sequence = 0, series = key, ttlMs = this.ttlMs }) {
        return this.change(async (t, state) => {
            const meta = await t.meta(key);
            if (!isMeta(meta, key) || meta.hash !== hash) return false;
            if (this.last(state, series) > sequence) return this.count(state, 'outdated');
            const time = this.now(), next = { ...meta, headers: headers ?? meta.headers, manifest: manifest ?? meta.manifest, time, expires: endOf(time, ttlMs) };
            if (extraOf(next) > HEADERS_MAX) next.headers = meta.headers;
            next.cost = costOf(next);
            state.bytes += next.cost - meta.cost;
            await t.putMeta(next);
            state.renewals++;
            state.savedBytes += meta.size;
            this.note(state, series, sequence);
            return true;
        });
    }
    // A manifest was accepted. Returns the highest sequence of its series before it, 0 for none; if that was lost, it is an error.
    see(series, sequence) {
        return this.change((t, state) => {
            const last = this.last(state, series);
            if (!last && state.lost) throw new UpdateError('cache', 'the sequences of the manifests seen are damaged; clear() forgets them');
            this.note(state, series, Math.max(last, sequence));
            return last;
        });
    }

    remove(key) {
        return this.change(async (t, state) => {
            const meta = await t.meta(key);
            if (meta === undefined) return false;
            await this.drop(t, state, key, meta, 'removed');
            return true;
        });
    }
    // Everything, counts and the sequences of manifests too.
    clear() { return this.store.change(t => t.clear()); }
    stats() {
        return this.change((t, { entries, bytes, ...state }) => ({ entries, bytes, ...Object.fromEntries(counts.map(name => [name, state[name]])) }));
    }
    // What is kept, least recently used first: { key, size, hash, time, expires, hits }.
    list() {
        return this.change(async t => {
            const all = [];
            await t.oldest(({ key, size, hash, time, expires, hits }) => all.push({ key, size, hash, time, expires, hits }) > 0);
            return all;
        });
    }
    close() { return this.store.close(); }

    // ---- inside a transaction
    async change(what) {
        const result = await this.store.change(async t => {
            const was = await t.state(), isSound = isState(was), state = isSound ? structuredClone(was) : salvage(was), malformed = [];
            // What another program left is counted once; afterwards when it is more than there can be.
            if (!this.counted || !isSound || state.bytes > this.bytesMax || state.entries > this.entriesMax) await this.recount(t, state, malformed);
            if (was === undefined && (state.entries || malformed.length)) state.lost = true;
            const result = await what(t, state, malformed);
            await t.putState(state);
            return result;
        });
        this.counted = true;
        return result;
    }
    // The counts of what there is. Malformed records are deleted, and their keys collected.
    async recount(t, state, malformed = []) {
        const first = malformed.length;
        state.entries = state.bytes = 0;
        await t.all((key, meta) => {
            if (!isMeta(meta, key)) return void malformed.push(key);
            state.entries++;
            state.bytes += meta.cost;
            state.used = Math.max(state.used, meta.used, meta.stored);
        });
        for (const key of malformed.slice(first)) {
            await t.remove(key);
            state.damaged++;
        }
    }
    count(state, name) {
        state[name]++;
        return false;
    }
    last(state, key) { return state.sequences.find(([name]) => name == key)?.[1] ?? 0; }
    note(state, key, sequence) {
        if (!sequence) return;
        state.sequences = [...state.sequences.filter(([name]) => name != key), [key, sequence]].slice(-SEQUENCES_MAX);
    }
    async drop(t, state, key, meta, why) {
        await t.remove(key);
        state[why]++;
        if (!isMeta(meta, key) || state.bytes < meta.cost || !state.entries) return this.recount(t, state);
        state.entries--;
        state.bytes -= meta.cost;
    }
    // A put that would exceed a bound evicts down to 80 % of it, so that not every put has to.
    async makeRoom(t, state, key, cost) {
        const old = await t.meta(key);
        let { bytesMax, entriesMax } = this, replaced = isMeta(old, key) ? old : null;
        const over = (bytes, entries) => state.bytes + cost - (replaced?.cost ?? 0) > bytes || state.entries + 1 - (replaced ? 1 : 0) > entries;
        if (!over(bytesMax, entriesMax)) return;
        if (over(bytesMax, Infinity)) bytesMax = Math.floor(bytesMax * 4 / 5);
        if (over(Infinity, entriesMax)) entriesMax = Math.floor(entriesMax * 4 / 5);
        await this.evict(t, state, () => over(bytesMax, entriesMax), meta => {
            if (meta.key === key) replaced = null;
        });
    }
    async evict(t, state, wanted, each) {
        const victims = [];
        await t.oldest(meta => {
            if (!wanted()) return false;
            victims.push(meta.key);
            if (!isMeta(meta, meta.key)) return true;
            each?.(meta);
            state.entries--;
            state.bytes -= meta.cost;
            state.evicted++;
            return true;
        });
        for (const key of victims) await t.remove(key);
        if (state.bytes < 0 || state.entries < 0) await this.recount(t, state);
    }
    shrink() {
        return this.change(async (t, state) => {
            const target = Math.floor(state.bytes * 4 / 5), before = state.entries;
            await this.evict(t, state, () => state.entries && (state.bytes > target || state.entries == before));
            return state.entries < before;
        });
    }
}

// ---- stores: change(fn) is one transaction with meta, body, state by key, oldest(each), in order of use until each says no, all(each)

const promise = request => new Promise((yes, no) => {
    request.onsuccess = () => yes(request.result);
    request.onerror = () => no(request.error);
});

const walk = (source, each) => new Promise((yes, no) => {
    const request = source.openCursor();
    request.onerror = () => no(request.error);
    request.onsuccess = () => request.result && each(request.result) ? request.result.continue() : yes();
});

const OPEN_MS = 10000;
export function idbStore(name, factory = indexedDB) {
    let opened = null;
    const open = () => new Promise((yes, no) => {
        const request = factory.open(name, 1);
        const late = setTimeout(() => no(new UpdateError('cache', `IndexedDB does not open within ${OPEN_MS} ms`)), OPEN_MS);
        request.onupgradeneeded = () => {
            request.result.createObjectStore('meta', { keyPath: 'key' }).createIndex('used', 'used');
            request.result.createObjectStore('body');
            request.result.createObjectStore('state');
        };
        request.onerror = () => no(request.error);
        request.onsuccess = () => {
            const db = request.result;
            clearTimeout(late);
            db.onclose = () => opened = null; // the browser cleared this site's data
            db.onversionchange = () => {
                opened = null;
                db.close();
            };
            yes(db);
        };
    });
    return {
        async change(what) {
            opened ??= open();
            let db;
            try {
                db = await opened;
            } catch (error) {
                opened = null;
                throw error;
            }
            const transaction = db.transaction(['meta', 'body', 'state'], 'readwrite');
            const [meta, body, state] = ['meta', 'body', 'state'].map(part => transaction.objectStore(part));
            const done = new Promise((yes, no) => {
                transaction.oncomplete = yes;
                transaction.onabort = () => no(transaction.error ?? new UpdateError('cache', 'the transaction was ended'));
            });
            done.catch(() => {}); // awaited below, or the reason is known already
            const t = {
                meta: key => promise(meta.get(key)),
                putMeta: value => promise(meta.put(value)),
                body: key => promise(body.get(key)),
                putBody: (key, bytes) => promise(body.put(bytes, key)),
                remove: key => Promise.all([promise(meta.delete(key)), promise(body.delete(key))]),
                state: () => promise(state.get('state')),
                putState: value => promise(state.put(value, 'state')),
                clear: () => Promise.all([meta, body, state].map(part => promise(part.clear()))),
                oldest: each => walk(meta.index('used'), cursor => each(cursor.value)),
                all: each => walk(meta, cursor => (each(cursor.primaryKey, cursor.value), true)),
            };
            let result;
            try {
                result = await what(t);
            } catch (error) {
                try {
                    transaction.abort();
                } catch {} // it has ended by itself
                throw transaction.error ?? error;
            }
            await done;
            return result;
        },
        async close() {
            const db = await opened?.catch(() => null);
            opened = null;
            db?.close();
        },
    };
}

// In memory; with commit(draft, bodies), which keeps it, also elsewhere (node.js). All or nothing, one transaction at a time.
export function memoryStore({ index = { meta: {}, state: undefined }, body = new Map(), read, commit } = {}) {
    let turn = Promise.resolve();
    const transact = async what => {
        const draft = { meta: { ...index.meta }, state: index.state }, bodies = new Map(); // of this transaction; null: removed
        const t = {
            meta: async key => draft.meta[key] && structuredClone(draft.meta[key]),
            putMeta: async value => draft.meta[value.key] = structuredClone({ ...value, file: draft.meta[value.key]?.file }),
            body: async key => bodies.get(key) ?? (read ? read(draft.meta[key]) : body.get(key)?.slice()),
            putBody: async (key, bytes) => bodies.set(key, bytes.slice()),
            remove: async key => {
                delete draft.meta[key];
                bodies.set(key, null);
            },
            state: async () => draft.state,
            putState: async value => draft.state = value,
            clear: async () => {
                for (const key of Object.keys(draft.meta)) await t.remove(key);
                draft.state = undefined;
            },
            oldest: async each => {
                for (const meta of Object.values(draft.meta).sort((a, b) => a.used - b.used)) if (!each(meta)) break;
            },
            all: async each => {
                for (const [key, meta] of Object.entries(draft.meta)) each(key, meta);
            },
        };
        const result = await what(t);
        await commit?.(draft, bodies, index);
        index = draft;
        if (!commit) for (const [key, bytes] of bodies) bytes ? body.set(key, bytes) : body.delete(key);
        return result;
    };
    return {
        change: what => {
            const mine = turn.then(() => transact(what));
            turn = mine.catch(() => {});
            return mine;
        },
        close: async () => turn,
    };
}
