// WebSocket (RFC 6455) before a TCP server: binary messages are the bytes of the connection. Both directions wait for the slower side.
//   server.on('upgrade', (ask, socket, head) => bridge(ask, socket, head, port));     a node:http server
import { createHash } from 'node:crypto';
import { connect } from 'node:net';

const FRAME_MAX = 65536, CONTINUATION = 0, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10;
const NORMAL = 1000, AWAY = 1001, PROTOCOL = 1002, NOT_BINARY = 1003, TOO_BIG = 1009;

function frame(opcode, payload) {
    const size = payload.length, head = size < 126 ? [size] : size < 65536 ? [126, size >> 8, size & 255] : [127, 0, 0, 0, 0, size >>> 24, size >>> 16 & 255, size >>> 8 & 255, size & 255];
    return Buffer.concat([Buffer.from([128 | opcode, ...head]), payload]);
}
const codeOf = code => Buffer.from([code >> 8, code & 255]);

export function bridge(ask, near, head, port) {
    const { origin, host } = ask.headers, key = ask.headers['sec-websocket-key'] ?? '';
    const refuse = status => near.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    near.on('error', () => {});
    if (origin !== undefined && origin != `http://${host}`) return refuse('403 Forbidden'); // pages of other sites can connect, too
    if (ask.headers['sec-websocket-version'] != '13') return refuse('426 Upgrade Required\r\nSec-WebSocket-Version: 13');
    if (Buffer.from(key, 'base64').length != 16) return refuse('400 Bad Request');
    const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    const far = connect({ host: '127.0.0.1', port, noDelay: true });
    let rest = Buffer.alloc(0), within = false, over = false;
    const end = code => {
        if (over) return;
        over = true;
        near.end(frame(CLOSE, codeOf(code)));
        far.destroy();
    };
    // One frame of the client; false: it is not complete yet.
    const take = () => {
        if (over || rest.length < 2) return false;
        const opcode = rest[0] & 15, isFinal = rest[0] >= 128, short = rest[1] & 127, at = short < 126 ? 2 : short == 126 ? 4 : 10;
        if (rest[0] & 0x70 || rest[1] < 128 || opcode >= CLOSE && (!isFinal || short > 125)) return end(PROTOCOL); // clients mask
        if (rest.length < at + 4) return false;
        const size = short < 126 ? short : short == 126 ? rest.readUInt16BE(2) : Number(rest.readBigUInt64BE(2));
        if (size > FRAME_MAX) return end(TOO_BIG);
        if (rest.length < at + 4 + size) return false;
        const mask = rest.subarray(at, at + 4), payload = Buffer.from(rest.subarray(at + 4, at + 4 + size));
        for (let i = 0; i < size; i++) payload[i] ^= mask[i & 3];
        rest = rest.subarray(at + 4 + size);
        if (opcode == CLOSE) end(NORMAL);
        else if (opcode == PING) near.write(frame(PONG, payload));
        else if (opcode == BINARY && !within || opcode == CONTINUATION && within) {
            within = !isFinal;
            if (!far.write(payload)) near.pause();
        } else if (opcode != PONG) end(opcode == 1 ? NOT_BINARY : PROTOCOL);
        return true;
    };
    near.setNoDelay(true);
    near.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
    const heard = data => {
        rest = rest.length ? Buffer.concat([rest, data]) : data;
        while (take());
    };
    near.on('data', heard).on('drain', () => far.resume()).on('close', () => far.destroy());
    far.on('data', data => over || near.write(frame(BINARY, data)) || far.pause()).on('drain', () => near.resume());
    far.on('error', () => {}).on('close', () => end(AWAY)); // the server went: the client comes again
    if (head.length) heard(head);
}
