// Reads the lines of samples.c with examples/www/teleport.js: compares the values with the dump in them, or its refusal with
// the error there.
import { readFileSync } from 'node:fs';
import assert from 'node:assert';
import { teleport } from '../../examples/www/teleport.js';

// A field's value in the dump, in the reader's types: exact integers need BigInt.
const parse = text => JSON.parse(text.replace(/([:[,])(-?\d{16,})(?=[,\]}])/g, '$1"$2n"'));
function same(field, dumped, read) {
    const scalar = code => {
        if (code == 4 || code == 8) return String(read) + 'n' === String(dumped).replace(/n?$/, 'n');
        if (code == 9 || code == 10) {
            const number = typeof dumped == 'number' ? dumped : Number(dumped.replace(/n$/, ''));
            // The digits are what this language would write.
            if (code == 10 && typeof dumped == 'number') assert.strictEqual(String(dumped), String(read));
            return Object.is(code == 9 ? Math.fround(number) : number, read);
        }
        return dumped === read;
    };
    const kind = field.code >> 4;
    if (dumped === undefined || dumped === null) return read === dumped;
    if (kind == 2) return dumped === read;
    if (kind == 3 || kind == 4)
        return dumped.length == read.length && dumped.every((x, i) => same({ code: field.code & 15 }, x, read[i]));
    if (kind == 5) return record(field.type, dumped, read);
    if (kind == 6) return dumped.length == read.length && dumped.every((x, i) => record(field.type, x, read[i]));
    return scalar(field.code & 15);
}
function record(type, dumped, read) {
    for (const f of type.fields)
        if (!same(f, dumped[f.name], read[f.name])) throw new Error(`${f.name}: ${dumped[f.name]}, read ${read[f.name]}`);
    return true;
}

// The reader's result: an error, or undefined if the values equal the dump's.
function judge(type, bytes, bare, value) {
    let read;
    try {
        read = teleport(type)(bytes, bare);
    } catch (error) {
        assert(error instanceof RangeError && error.message.startsWith('teleport: '), error.stack);
        return error.message.slice(10);
    }
    if (value) record(type, value, read);
}

const types = {}; // defined by a line, referred to by later ones
let passed = 0, failed = 0;
for (const line of readFileSync(0, 'utf8').split('\n')) {
    if (!line) continue;
    try {
        const { define, bare, type: given, hex, value, error, cut } = parse(line);
        const type = types[given] ?? given;
        if (define) {
            types[define] = type;
            continue;
        }
        const bytes = Uint8Array.from(hex.match(/../g) ?? [], x => parseInt(x, 16));
        assert.strictEqual(judge(type, bytes, bare, value), error);
        for (let n = 0; cut && !bare && n < bytes.length; n++) assert.strictEqual(judge(type, bytes.subarray(0, n)), 'ETRUNCATED');
        passed++;
    } catch (e) {
        failed++;
        console.log('FAIL', e.message, line.slice(0, 3000));
    }
}
console.log(`javascript: ${passed} passed, ${failed} failed, 0 skipped`);
process.exit(failed || !passed ? 1 : 0);
