// For Node: a cache in a directory. One process at a time has it.
//   import { openCacheIn } from 'dx-update/node';      await update(url, { cache: await openCacheIn('cache') });
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { openCache, UpdateError } from './dx-update.js';
import { memoryStore } from './cache.js';

const isFile = name => /^\d+\.body$/.test(name);
const isRunning = pid => {
    try {
        process.kill(pid, 0);
        return true;
    } catch (error) {
        return error.code == 'EPERM';
    }
};

const textOf = path => readFile(path, 'latin1').catch(() => '');
// When a process began, on Linux: boot and ticks since then (field 22, counted behind the name, which may have spaces). '': not known.
async function beginOf(pid) {
    const fields = (await textOf(`/proc/${pid}/stat`)).split(') ').pop().split(' '), boot = await textOf('/proc/sys/kernel/random/boot_id');
    return fields.length > 19 ? `${boot.trim()}/${fields[19]}` : '';
}

// The lock names its process. One that was killed leaves a lock that does not count, also when another one, as pid 1 in a container, has
// its number now.
async function lock(path) {
    for (let tries = 0; tries < 5; tries++) {
        try {
            const file = await open(path, 'wx');
            await file.writeFile(`${process.pid} ${await beginOf(process.pid)}`);
            await file.close();
            return;
        } catch (error) {
            if (error.code != 'EEXIST') throw error;
        }
        const [owner, began] = (await textOf(path)).split(' '), begins = await beginOf(owner);
        const isSame = !begins || (began ? began == begins : owner != process.pid); // locks of earlier versions have the number only
        if (+owner && isRunning(+owner) && isSame) throw new UpdateError('busy', `${path}: process ${owner} has this cache`);
        if (!owner && tries < 3) await new Promise(done => setTimeout(done, 20)); // it is being written
        else await rm(path, { force: true, recursive: true });
    }
    throw new UpdateError('busy', `${path}: another process takes this cache just now`);
}

// Durable under its name, or not there.
async function write(path, bytes) {
    const file = await open(`${path}.new`, 'w');
    try {
        await file.writeFile(bytes);
        await file.sync();
    } finally {
        await file.close();
    }
    await rename(`${path}.new`, path);
}

const forFile = (name, value) => name == 'manifest' && value ? Buffer.from(Object.values(value)).toString('base64') : value;

async function readIndex(path) {
    let text;
    try {
        text = await readFile(path, 'utf8');
    } catch (error) {
        if (error.code == 'ENOENT') return { meta: {}, state: undefined };
        throw error;
    }
    try {
        const index = JSON.parse(text);
        for (const meta of Object.values(index.meta)) {
            if (meta.manifest) meta.manifest = Uint8Array.from(Buffer.from(meta.manifest, 'base64'));
            if (!isFile(meta.file)) throw new Error('no file');
        }
        return { meta: index.meta, state: index.state };
    } catch {
        return { meta: {}, state: null }; // damaged: counted as such, and everything is fetched again
    }
}

async function openLocked(directory, lockPath, options) {
    const at = name => join(directory, name), indexPath = at('index.json');
    const remove = name => rm(at(name), { force: true, recursive: true }); // whatever it is
    const index = await readIndex(indexPath);
    const used = new Set(Object.values(index.meta).map(meta => meta.file));
    let number = 0;
    for (const name of await readdir(directory)) {
        if (isFile(name)) number = Math.max(number, parseInt(name, 10));
        if ((isFile(name) && !used.has(name)) || name.endsWith('.new')) await remove(name); // a process was killed here
    }
    // New bodies, then the index that names them, then what it no longer names goes.
    const commit = async (draft, bodies, before) => {
        const made = [];
        try {
            for (const [key, bytes] of bodies) {
                if (!bytes) continue;
                const file = `${++number}.body`;
                made.push(file);
                await write(at(file), bytes);
                draft.meta[key] = { ...draft.meta[key], file };
            }
            await write(indexPath, JSON.stringify(draft, forFile));
        } catch (error) {
            for (const file of made) await remove(file);
            throw error;
        }
        const named = new Set(Object.values(draft.meta).map(meta => meta.file));
        for (const { file } of Object.values(before.meta)) if (!named.has(file)) await remove(file);
    };
    const read = async meta => {
        const bytes = meta && await readFile(at(meta.file)).catch(() => undefined);
        return bytes && new Uint8Array(bytes);
    };
    const store = memoryStore({ index, read, commit }), close = store.close;
    store.close = async () => {
        await close();
        await rm(lockPath, { force: true });
    };
    return openCache({ ...options, store });
}

export async function openCacheIn(directory, options = {}) {
    const lockPath = join(directory, 'lock');
    let locked = false;
    try {
        await mkdir(directory, { recursive: true });
        await lock(lockPath);
        locked = true;
        return await openLocked(directory, lockPath, options);
    } catch (error) {
        if (locked) await rm(lockPath, { force: true });
        throw error instanceof UpdateError ? error : new UpdateError('cache', `${directory}: ${error.message}`, error);
    }
}
