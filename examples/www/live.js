// The live feed in a page: HTIP in HBTP frames, over WebSocket (docs/formats/htip.md, "Carried by HBTP"). After a lost connection it connects
// again and resumes at the version that the page has; everything comes again only where the server no longer knows the way from there.
//   const live = followLive(tbody, core, { onState: state => ... }); live.stop();         core: of core.js
import { connectWebSocket } from './dx_hbtp.js';
import { htip } from './htip.js';

const STATE = 1, HEAD = 8, FIRST = 0x20, LAST = 0x24, AGAIN_MS = 100, AGAIN_MAX_MS = 5000;

// The HTIP streams in the content of a state: HBTP frames 20h to 24h.
export function* streamsOf(data) {
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    for (let at = 0; at < data.length;) {
        if (data.length - at < HEAD) throw new Error('a frame ends too early');
        const opcode = data[at], size = view.getUint32(at + 4, true);
        if (opcode < FIRST || opcode > LAST || data[at + 1]) throw new Error(`frame ${opcode} is not HTIP`);
        if (size > data.length - at - HEAD) throw new Error('a frame ends too early');
        yield data.subarray(at + HEAD, at + HEAD + size);
        at += HEAD + size;
    }
}

export function followLive(root, core, { url = `${location.origin.replace(/^http/, 'ws')}/live`, onState = () => {} } = {}) {
    const counts = { connections: 0, wholes: 0, changes: 0, bytes: 0, failures: 0 };
    let page = null, since = null, session = null, stopped = false, wait = AGAIN_MS, timer = 0;
    const say = (what, error) => onState({ what, error, version: since?.version ?? 0n, epoch: since?.epoch ?? 0n, ...counts });

    // The page becomes what the content says. An exception: it is not known what it is, and everything has to come again.
    function apply(whole, data) {
        counts.bytes += data.length;
        counts[whole ? 'wholes' : 'changes']++;
        if (!whole) {
            for (const stream of streamsOf(data)) core.render(stream, page);
            return;
        }
        const holder = root.cloneNode(false); // shown when it is complete
        page = htip(holder);
        core.forgetPage();
        for (const stream of streamsOf(data)) core.render(stream, page);
        root.replaceChildren(...holder.childNodes);
        page.of[0] = root;
    }
    async function join() {
        try {
            const on = session = await connectWebSocket(url, {});
            if (stopped) return on.end();
            counts.connections++;
            await on.subscribe(STATE, (whole, data) => {
                since = null;
                try {
                    apply(whole, data);
                } catch (error) {
                    counts.failures++;
                    say('failed', error);
                    on.end(400);
                    return;
                }
                // versionOf() is set when this has returned.
                queueMicrotask(() => {
                    since = on.versionOf(STATE);
                    wait = AGAIN_MS;
                    say('current');
                });
            }, 10000, since);
            wait = AGAIN_MS;
            say('joined');
            await on.wait(() => on.closed, Infinity);
        } catch (error) {
            session?.end();
            say('away', error);
        }
        if (stopped) return;
        say('away');
        timer = setTimeout(join, wait * (0.5 + Math.random() / 2));
        wait = Math.min(2 * wait, AGAIN_MAX_MS);
    }
    join();
    return {
        counts,
        get since() { return since; },
        cut() { session?.end(); }, // as a network does: it connects again and resumes
        stop() {
            stopped = true;
            clearTimeout(timer);
            session?.end();
        },
    };
}
