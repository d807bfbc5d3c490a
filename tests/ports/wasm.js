// Runs vectors() of a WebAssembly module and prints what it says: node wasm.js FILE
const fs = require('fs');
let text = '';
const say = (letter) => { text += String.fromCharCode(letter); };
const module_ = new WebAssembly.Module(fs.readFileSync(process.argv[2]));
const instance = new WebAssembly.Instance(module_, { env: { say } });
const status = instance.exports.vectors();
process.stdout.write(text);
process.exit(status);
