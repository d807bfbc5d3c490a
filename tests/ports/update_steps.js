// Carries out the steps of update_rules.c with the cache of examples/update; in Node and in a browser.
export async function runSteps(makeCache, steps) {
    let now = 0;
    const cache = await makeCache(() => now), lines = [];
    const hash = bytes => `${bytes.length}`; // the rules are tested here, not the hash
    const get = async key => {
        const { entry } = await cache.get(key, hash);
        return [entry, !entry ? -9 : entry.fresh ? 0 : -32];
    };
    const doStep = {
        p: async (key, size, at, ttl) => {
            now = +at;
            const kept = await cache.put(key, { bytes: new Uint8Array(+size), hash: size }, { ttlMs: +ttl || undefined });
            return kept ? 0 : -4;
        },
        g: async (key, at) => {
            now = +at;
            return (await get(key))[1];
        },
        r: async (key, at, ttl) => {
            now = +at;
            const [entry, result] = await get(key);
            if (result == -32 && !await cache.renew(key, entry.hash, { ttlMs: +ttl || undefined })) return -1;
            return result;
        },
        d: async key => await cache.remove(key) ? 0 : -9,
    };
    for (const step of steps) {
        const [what, ...rest] = step.split(' '), result = await doStep[what](...rest);
        const s = await cache.stats(), keys = (await cache.list()).map(({ key }) => key).sort();
        lines.push(`${[result, s.entries, s.bytes, s.hits, s.stale, s.misses, s.puts, s.renewals, s.evicted, s.removed].join(' ')}:${keys.map(key => ` ${key}`).join('')}`);
    }
    await cache.close();
    return lines;
}
