#!/usr/bin/env node
// Writes the manifest of a file. usage: sign.js KEY.pem FILE SEQUENCE [name=NAME] [path=PATH] [expires=DATE] >NAME.manifest
// A key: openssl genpkey -algorithm ed25519 -out KEY.pem. Its public part for trust.keys: sign.js KEY.pem
import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { hashOf } from './dx-update.js';

const [keyPath, file, sequence, ...rest] = process.argv.slice(2);
const fail = text => {
    console.error(text);
    process.exit(1);
};
if (!keyPath || (file && !/^\d+$/.test(sequence ?? ''))) fail('usage: sign.js KEY.pem [FILE SEQUENCE [name=NAME] [path=PATH] [expires=DATE]]');
const more = Object.fromEntries(rest.map(text => {
    const [, name, value] = text.match(/^(name|path|expires)=(.+)$/) ?? fail(`unknown: ${text}`);
    return [name, value];
}));
if (more.expires && !(Date.parse(more.expires) > 0)) fail(`not a date: ${more.expires}`);
let key;
try {
    key = createPrivateKey(readFileSync(keyPath));
} catch (error) {
    fail(`${keyPath}: ${error.message}`);
}
if (key.asymmetricKeyType != 'ed25519') fail(`${keyPath}: not an Ed25519 key`);
if (!file) {
    console.log(createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32).toString('base64'));
    process.exit();
}
const bytes = readFileSync(file);
const line = JSON.stringify({ format: 'dx-update-1', name: basename(file), ...more, sequence: +sequence, size: bytes.length, blake3: await hashOf(bytes) });
console.log(`${line}\n${sign(null, Buffer.from(line), key).toString('base64')}`);
