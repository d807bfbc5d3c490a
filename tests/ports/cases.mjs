// The cases of a suite: each prints a line, and finish() the counts.
const counts = { passed: 0, failed: 0, skipped: 0 };

export const expect = (condition, what) => {
    if (!condition) throw new Error(what);
};
// test: returns the text after the name, if there is one, or a promise of it.
export async function attempt(name, test) {
    try {
        const text = await test();
        console.log(`ok   ${name}${text === undefined ? '' : `: ${text}`}`);
        counts.passed++;
    } catch (error) {
        console.log(`FAIL ${name}: ${error.message}`);
        counts.failed++;
    }
}
export function skip(what, reason) {
    console.log(`skip ${what}: ${reason}`);
    counts.skipped++;
}
export function finish(suite) {
    console.log(`${suite}: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
    process.exit(counts.failed ? 1 : 0);
}
