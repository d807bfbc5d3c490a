// WebSocket (RFC 6455) before a TCP server: binary messages are the bytes of the connection. Both directions wait for the slower side,
// answers to pings included. A client that sends no data for 5 s after its upgrade is closed, and so is one that goes on after an error;
// at most 16 connections of an address.
//   server.on('upgrade', (ask, socket, head) => bridge(ask, socket, head, port));     a node:http server
import { createHash } from 'node:crypto';
import { connect } from 'node:net';

const FRAME_MAX = 65536, ADDRESS_MAX = 16, SILENT_MS = 5000, LINGER_MS = 2000, CONTINUATION = 0, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10;
const NORMAL = 1000, AWAY = 1001, PROTOCOL = 1002, NOT_BINARY = 1003, SILENT = 1008, TOO_BIG = 1009;
const open = new Map(); // address -> its connections

function frame(opcode, payload) {
    const size = payload.length, head = size < 126 ? [size] : size < 65536 ? [126, size >> 8, size & 255] : [127, 0, 0, 0, 0, size >>> 24, size >>> 16 & 255, size >>> 8 & 255, size & 255];
    return Buffer.concat([Buffer.from([128 | opcode, ...head]), payload]);
}
const codeOf = code => Buffer.from([code >> 8, code & 255]);

// Send the last bytes. Who does not close the connection then, or does not read, is cut off; what comes meanwhile is dropped.
function leave(near, last) {
    near.end(last);
    near.resume();
    const timer = setTimeout(() => near.destroy(), LINGER_MS);
    near.on('close', () => clearTimeout(timer));
}
function enter(near) {
    const address = near.remoteAddress ?? '', count = open.get(address) ?? 0;
    if (count >= ADDRESS_MAX) return false;
    open.set(address, count + 1);
    near.on('close', () => {
        const left = open.get(address) - 1;
        left ? open.set(address, left) : open.delete(address);
    });
    return true;
}

export function bridge(ask, near, head, port) {
    const { origin, host } = ask.headers, key = ask.headers['sec-websocket-key'] ?? '';
    const refuse = status => leave(near, `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    near.on('error', () => {});
    if (origin !== undefined && origin != `http://${host}`) return refuse('403 Forbidden'); // pages of other sites can connect, too
    if (ask.headers['sec-websocket-version'] != '13') return refuse('426 Upgrade Required\r\nSec-WebSocket-Version: 13');
    if (Buffer.from(key, 'base64').length != 16) return refuse('400 Bad Request');
    if (!port) return refuse('503 Service Unavailable\r\nRetry-After: 1');
    if (near.destroyed || !enter(near)) return refuse('429 Too Many Requests\r\nRetry-After: 5');
    const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    const far = connect({ host: '127.0.0.1', port, noDelay: true });
    let pieces = [], size = 0, need = 2, rest = null; // what has come: a frame is looked at when `need` bytes are there
    let within = false, over = false;
    const end = code => {
        if (over) return;
        over = true;
        pieces = [];
        clearTimeout(silent);
        leave(near, frame(CLOSE, codeOf(code)));
        far.destroy();
    };
    const silent = setTimeout(() => end(SILENT), SILENT_MS);
    const resume = () => over || far.writableNeedDrain || near.writableNeedDrain || near.resume();
    // One frame of the client; false: it is not complete yet.
    const take = () => {
        const more = count => (need = count, false);
        if (over || rest.length < 2) return more(2);
        const opcode = rest[0] & 15, isFinal = rest[0] >= 128, short = rest[1] & 127, at = (short < 126 ? 2 : short == 126 ? 4 : 10) + 4;
        if (rest[0] & 0x70 || rest[1] < 128 || opcode >= CLOSE && (!isFinal || short > 125)) return end(PROTOCOL); // clients mask
        if (rest.length < at) return more(at);
        const length = short < 126 ? short : short == 126 ? rest.readUInt16BE(2) : Number(rest.readBigUInt64BE(2));
        if (length > FRAME_MAX) return end(TOO_BIG);
        if (rest.length < at + length) return more(at + length);
        const mask = rest.subarray(at - 4, at), payload = Buffer.from(rest.subarray(at, at + length));
        for (let i = 0; i < length; i++) payload[i] ^= mask[i & 3];
        rest = rest.subarray(at + length);
        if (opcode == CLOSE) end(NORMAL);
        else if (opcode == PING) near.write(frame(PONG, payload)) || near.pause();
        else if (opcode == BINARY && !within || opcode == CONTINUATION && within) {
            within = !isFinal;
            if (length) clearTimeout(silent);
            if (!far.write(payload)) near.pause();
        } else if (opcode != PONG) end(opcode == 1 ? NOT_BINARY : PROTOCOL);
        return true;
    };
    near.setNoDelay(true);
    near.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
    const heard = data => {
        if (over) return;
        pieces.push(data);
        size += data.length;
        if (size < need) return;
        rest = pieces.length > 1 ? Buffer.concat(pieces) : pieces[0];
        while (take());
        pieces = over ? [] : [rest];
        size = rest.length;
    };
    near.on('data', heard).on('drain', () => (far.resume(), resume())).on('end', () => end(NORMAL));
    near.on('close', () => (over = true, clearTimeout(silent), far.destroy()));
    far.on('data', data => over || near.write(frame(BINARY, data)) || far.pause()).on('drain', resume);
    far.on('error', () => {}).on('close', () => end(AWAY)); // the server went: the client comes again
    if (head.length) heard(head);
}
