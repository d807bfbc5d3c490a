// What is kept: many entries under a quota, by the rules of layers/dx_cache.h, which tests/ports/update.mjs compares with it step by
// step. Every change is one transaction of a store, all or nothing; tabs and workers that share a store see the same entries and counts.
import { UpdateError } from './error.js';

const VERSION = 1; // of records; others are not read
const HEADERS_MAX = 8192, SEQUENCES_MAX = 1000, WEEK_MS = 7 * 86400000;
const counts = ['hits', 'stale', 'misses', 'puts', 'patches', 'renewals', 'savedBytes', 'evicted', 'removed', 'outdated', 'damaged', 'refused'];
const isFull = error => ['QuotaExceededError', 'ENOSPC', 'EDQUOT'].includes(error?.name == 'Error' ? error.code : error?.name ?? error?.code);
const bytesOf = text => new TextEncoder().encode(text).length;
const isCount = n => Number.isSafeInteger(n) && n >= 0;
const isMeta = (meta, key) => meta?.version === VERSION && meta.key === key && isCount(meta.size) && isCount(meta.cost) && isCount(meta.used) &&
    isCount(meta.hits) && isCount(meta.stored) && typeof meta.hash == 'string' && typeof meta.expires == 'number' && typeof meta.headers == 'object' && meta.headers !== null;
const isState = state => state?.version === VERSION && ['entries', 'bytes', 'used', ...counts].every(name => isCount(state[name])) && Array.isArray(state.sequences);

export class Cache {
    constructor(store, { bytesMax = 50 << 20, entriesMax = 100, ttlMs = WEEK_MS, dropExpired = false, now = Date.now } = {}) {
        for (const [name, value] of Object.entries({ bytesMax, entriesMax, ttlMs }))
            if (!(value > 0)) throw new UpdateError('options', `${name} must be a number above 0`);
        Object.assign(this, { store, bytesMax, entriesMax, ttlMs, dropExpired, now });
    }

    // { entry, damaged }: entry.fresh says whether its lifetime lasts. Damaged ones are removed, whatever is wrong with them.
    async get(key, hash) {
        const found = await this.change(async (t, state) => {
            const meta = await t.meta(key), fresh = meta?.expires > this.now();
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
            return { damaged: false };
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
        const { bytes, hash, etag = null, headers = {}, manifest = null, sequence = 0 } = entry;
        const extra = bytesOf(JSON.stringify(headers)) - 2 + bytesOf(etag ?? '') + (manifest?.length ?? 0);
        const cost = bytes.length + bytesOf(key) + extra, time = this.now();
        const store = () => this.change(async (t, state) => {
            if (this.last(state, key) > sequence) return this.count(state, 'outdated');
            if (cost > this.bytesMax || extra > HEADERS_MAX) return this.count(state, 'refused');
            await this.makeRoom(t, state, key, cost);
            const old = await t.meta(key);
            if (old !== undefined) await this.drop(t, state, key, old, 'removed');
            await t.putMeta({ version: VERSION, key, hash, etag, headers, manifest, size: bytes.length, cost, time, stored: ++state.used,
                expires: time + ttlMs, used: state.used, hits: 0 });
            await t.putBody(key, bytes);
            state.entries++;
            state.bytes += cost;
            state.puts++;
            if (patchSize) state.patches++;
            if (patchSize && patchSize < bytes.length) state.savedBytes += bytes.length - patchSize;
            this.note(state, key, sequence);
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
    renew(key, hash, { headers, manifest, sequence = 0, ttlMs = this.ttlMs }) {
        return this.change(async (t, state) => {
            const meta = await t.meta(key);
            if (!isMeta(meta, key) || meta.hash !== hash) return false;
            if (this.last(state, key) > sequence) return this.count(state, 'outdated');
            const next = { ...meta, headers: headers ?? meta.headers, manifest: manifest ?? meta.manifest, time: this.now(), expires: this.now() + ttlMs };
            const extra = next => bytesOf(JSON.stringify(next.headers)) + (next.manifest?.length ?? 0);
            if (extra(next) > HEADERS_MAX) next.headers = meta.headers;
            next.cost += extra(next) - extra(meta);
            state.bytes += next.cost - meta.cost;
            await t.putMeta(next);
            state.renewals++;
            state.savedBytes += meta.size;
            this.note(state, key, sequence);
            return true;
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
    lastSequence(key) { return this.change((t, state) => this.last(state, key)); }
    close() { return this.store.close(); }

    // ---- inside a transaction
    change(what) {
        return this.store.change(async t => {
            const was = await t.state(), state = isState(was) ? structuredClone(was) : await this.recount(t, was);
            const result = await what(t, state);
            await t.putState(state);
            return result;
        });
    }
    // Unreadable counts restart at zero. Malformed records are deleted.
    async recount(t, was) {
        const zeros = Object.fromEntries(counts.map(name => [name, 0])), senseless = [];
        const state = isState(was) ? was : { version: VERSION, used: 0, sequences: [], ...zeros, damaged: was === undefined ? 0 : 1 };
        state.entries = state.bytes = 0;
        await t.all((key, meta) => {
            if (!isMeta(meta, key)) return void senseless.push(key);
            state.entries++;
            state.bytes += meta.cost;
            state.used = Math.max(state.used, meta.used, meta.stored);
        });
        for (const key of senseless) await t.remove(key);
        return state;
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
        if (!isMeta(meta, key)) return void await this.recount(t, state);
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
