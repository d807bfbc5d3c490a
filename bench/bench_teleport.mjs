// examples/www/teleport.js compared with JSON.parse, for one order: open and read all values, or open and read one.
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
// Turn by turn, so that a machine that is slow for a while is slow for all.
const cases = [
    ['teleport.js', 'order open+read in node', bytes.length, () => all(open(bytes))],
    ['JSON.parse', 'order open+read in node', text.length, () => all(JSON.parse(text))],
    ['teleport.js', 'order open+read one value in node', bytes.length, () => open(bytes).items[7].quantity],
    ['JSON.parse', 'order open+read one value in node', text.length, () => JSON.parse(text).items[7].quantity],
];
const rounds = cases.map(() => []);
for (let r = 0; r < 15; r++)
    cases.forEach(([, , , f], k) => {
        const began = process.hrtime.bigint();
        for (let i = 0; i < 3000; i++) sink += f();
        rounds[k].push(Number(process.hrtime.bigint() - began) / 3000);
    });
cases.forEach(([subject, what, size], k) => {
    rounds[k].sort((a, b) => a - b);
    console.log([subject, what, rounds[k][7].toPrecision(4), rounds[k][0].toPrecision(4), size, ''].join(','));
});
if (!sink) process.exit(1);
