// examples/www/teleport.js beside JSON.parse, for one order: open and read all values, or open and read one.
import { readFileSync } from 'node:fs';
import { teleport } from '../examples/www/teleport.js';

const { hex, type, value } = JSON.parse(readFileSync(0, 'utf8'));
const bytes = Uint8Array.from(hex.match(/../g), x => parseInt(x, 16));
const text = JSON.stringify(value);
const open = teleport(type);
const all = o => {
    let sum = Number(o.id) + Number(o.customer) + Number(o.time) + o.title.length + o.note.length;
    for (const i of o.items) {
        sum += Number(i.id) + i.sku.length + i.quantity + i.price;
        for (const d of i.size) sum += d;
    }
    for (const d of o.stats) sum += d;
    return sum;
};
let sink = 0;
function measure(subject, what, size, f) {
    const rounds = [];
    for (let r = 0; r < 9; r++) {
        const began = process.hrtime.bigint();
        for (let i = 0; i < 5000; i++) sink += f();
        rounds.push(Number(process.hrtime.bigint() - began) / 5000);
    }
    rounds.sort((a, b) => a - b);
    console.log([subject, what, rounds[4].toPrecision(4), rounds[0].toPrecision(4), size].join(','));
}
measure('teleport.js', 'order open+read in node', bytes.length, () => all(open(bytes)));
measure('JSON.parse', 'order open+read in node', text.length, () => all(JSON.parse(text)));
measure('teleport.js', 'order open+read one value in node', bytes.length, () => open(bytes).items[7].quantity);
measure('JSON.parse', 'order open+read one value in node', text.length, () => JSON.parse(text).items[7].quantity);
if (!sink) process.exit(1);
