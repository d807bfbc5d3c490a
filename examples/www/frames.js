// A loop of frames: work(now) once for each frame that the browser shows, and every 60 frames what they took.
//   const loop = frameLoop(work, { onStats: ({ usedMs, usedMaxMs, remainingMs, executed }) => ... }); loop.start();
// start() and stop() any number of times, in any order: there is one loop, or none. work returns how much it did (executed).
export function frameLoop(work, { budgetMs = 4, onStats, request = fn => requestAnimationFrame(fn), cancel = id => cancelAnimationFrame(id), clock = () => performance.now() } = {}) {
    const EVERY = 60;
    let id = 0, frames = 0, used = 0, most = 0, executed = 0;
    const step = now => {
        id = request(step); // before work, which may stop the loop
        const began = clock();
        executed += work(now) ?? 0;
        const took = clock() - began;
        used += took;
        most = Math.max(most, took);
        if (++frames < EVERY) return;
        onStats?.({ frames, usedMs: used / frames, usedMaxMs: most, remainingMs: budgetMs - used / frames, executed });
        frames = used = most = executed = 0;
    };
    return {
        start() { if (!id) id = request(step); },
        stop() {
            if (id) cancel(id);
            id = 0;
        },
        get running() { return id != 0; },
    };
}
