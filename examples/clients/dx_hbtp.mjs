// HBTP for JavaScript: calls, streams and states, versions 1 and 2 of docs/formats/hbtp.md. No packages.
//
//   const client = await connect("127.0.0.1", 7000);          // Node; in a browser: connectWebSocket(url)
//   await client.call(1, bytes, 5000);                        // Uint8Array; HbtpError: refused; or too late
//   const stream = client.open(2, bytes);
//   await stream.write(bytes); stream.finish();
//   for await (const piece of stream) ...                     // what the peer sends, until it ends
//   await client.subscribe(42, (whole, data) => ...);         // whole: all of the state, else a change
//   const since = client.versionOf(42);                       // on another connection: subscribe(..., USUAL_MS, since)
//   client.end();
//   await connect("db.example", 7000, {tls: true});           // TLS, checked by the certificates that Node trusts;
//                                                             // tls: {caFile: "ca.pem", serverName: "..."}: by these, another name
//
// The peer may ask, too: connect(host, port, {methods: {3: async (request) => bytes}, streamMethods: {...}}); an exception answers
// 500, an HbtpError its status. Session is the protocol alone: bytes come in by feed() and go out by transport.send(); a transport
// is {send(bytes), backlog(), close()}. Times are in milliseconds, and every wait has an end. A lost connection is not made again.
// Not here: COMPRESSED and ENCRYPTED payloads (refused with 415), bulk transfer.

const PING = 0, PONG = 1, CLOSE = 2, HELLO = 3, DRAIN = 4, STATE_SYNC = 0x10, STATE_DELTA = 0x11, SUBSCRIBE = 0x12, UNSUBSCRIBE = 0x13;
const CALL = 0x30, RESPONSE = 0x31, ERROR = 0x32, START = 0x33, CHUNK = 0x34, END = 0x35, CANCEL = 0x36, EXTENDED = 0xff;
const OPAQUE = 3, EXPECTS_RESPONSE = 4, FINAL = 8, HAS_CHECKSUM = 16, EXTRA = 32;
const KNOWS_DEADLINE = 1, KNOWS_CANCEL = 2, KNOWS_DRAIN = 4, KNOWS_ALL = 15, KNOWS_RESUME = 16; // the last is said by publishers
const CHUNK_MAX = 16384, PAYLOAD_MIN = 256, FRAME_MS = 60000, KEEPALIVE_MS = 30000, USUAL_MS = 30000;
const OUT_MAX = 1 << 18; // bytes that wait to be sent, from where on nothing but answers is added
const TEXTS = {400: "bad request", 401: "unauthorized", 404: "not found", 408: "timeout", 413: "too big", 415: "unsupported",
  426: "another version", 429: "too many requests", 500: "internal error", 501: "not known", 503: "unavailable"};
const EMPTY = new Uint8Array(0);
const now = () => performance.now();

/** A status of the other side or of the rules; 0: the connection has ended, or nobody waits any longer. */
export class HbtpError extends Error {
  constructor(status, text) {
    super(text || TEXTS[status] || "error");
    this.status = status;
  }
}

const asError = (error) => error instanceof HbtpError ? error : new HbtpError(500);
const u16 = (bytes, at = 0) => bytes[at] | bytes[at + 1] << 8;
const u32 = (bytes, at = 0) => (u16(bytes, at) | u16(bytes, at + 2) << 16) >>> 0;
const put16 = (...values) => Uint8Array.from(values.flatMap((v) => [v & 255, v >>> 8 & 255]));
const u64 = (bytes, at = 0) => BigInt(u32(bytes, at)) | BigInt(u32(bytes, at + 4)) << 32n;
const put64 = (...values) => put32(...values.flatMap((v) => [Number(v & 0xffffffffn), Number(v >> 32n)]));
const put32 = (...values) => put16(...values.flatMap((v) => [v & 65535, v >>> 16]));
function join(...parts) {
  const out = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  parts.reduce((at, part) => (out.set(part, at), at + part.length), 0);
  return out;
}

const CRC_TABLE = Uint32Array.from({length: 256}, (_, crc) => {
  for (let i = 0; i < 8; i++) crc = crc >>> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
  return crc >>> 0;
});
export const crc32c = (bytes) => ~bytes.reduce((crc, byte) => crc >>> 8 ^ CRC_TABLE[(crc ^ byte) & 255], -1) >>> 0;

const putField = (tag, value) => join([tag], put16(value.length), value);
/** The fields of a Hello or of EXTRA by their tags; least: the sizes of those that are known. */
function fields(data, least) {
  const found = {};
  for (let before = -1; data.length;) {
    const [tag] = data, size = data.length >= 3 ? u16(data, 1) : 0;
    if (data.length < 3 + size || tag <= before || size < (least[tag] ?? 0)) throw new HbtpError(400);
    if (tag >= 0x80) throw new HbtpError(501);
    found[tag] = data.subarray(3, 3 + size);
    data = data.subarray(3 + size);
    before = tag;
  }
  return found;
}

const putStatus = (status, text) => join(put16(status, 0), new TextEncoder().encode(text || TEXTS[status] || "error"));
/** What a peer says went wrong. Throws where that cannot be read. */
function getStatus(payload) {
  if (payload.length < 4 || u16(payload, 2)) throw new HbtpError(400);
  return new HbtpError(u16(payload), new TextDecoder().decode(payload.subarray(4)));
}

const isAnswer = (opcode) => opcode === PONG || opcode === RESPONSE || opcode === ERROR;
const isRequest = (opcode, flags) => [PING, CALL, START].includes(opcode) ||
  Boolean(flags & EXPECTS_RESPONSE) && !isAnswer(opcode) && ![CLOSE, CHUNK, END].includes(opcode);
const idOf = (number, ours) => ours ? number : -number;

/** Bytes in both directions. Received bytes are buffered until they are read, at most one window. */
class Stream {
  constructor(session, number, ours, credit, receiveLeft, args = EMPTY) {
    Object.assign(this, {session, number, ours, arguments: args});
    this.credit = credit;           // what we may send
    this.receiveLeft = receiveLeft; // what the peer may send, as far as it was told
    this.owed = 0;                  // what was read, and not granted again yet
    this.pieces = [];
    this.sentEnd = this.gotEnd = this.over = false;
    this.error = null;
  }
  frame(opcode, flags, payload) {
    this.session.frame(opcode, flags | (this.ours ? EXPECTS_RESPONSE : 0), this.number, payload);
  }
  /** Grant `size` more bytes of credit. Sent at once if half of the window is owed, or little credit is left. */
  grant(size) {
    this.owed += size;
    if (this.over || this.gotEnd || !this.owed || this.owed < this.session.window >> 1 && this.owed < this.receiveLeft) return;
    this.frame(CHUNK, 0, put32(this.owed));
    this.receiveLeft += this.owed;
    this.owed = 0;
  }
  checkOpen() {
    if (this.over || this.sentEnd) throw this.error ?? new HbtpError(0, "the stream was finished");
  }
  /** As much as can go now; how much that was. @param {Uint8Array} data @returns {number} */
  send(data) {
    this.checkOpen();
    if (this.session.isFull()) return 0;
    const size = Math.min(data.length, this.credit, CHUNK_MAX, (this.session.peer.payload || Infinity) - 4);
    if (!size) return 0;
    this.frame(CHUNK, 0, join(put32(0), data.subarray(0, size)));
    this.credit -= size;
    return size;
  }
  /** All of it, as the peer and the connection take it. @param {Uint8Array} data @returns {Promise<void>} */
  async write(data, timeout = USUAL_MS) {
    const until = now() + timeout;
    while (data.length) {
      data = data.subarray(this.send(data));
      if (data.length) await this.session.wait(() => this.over || this.sentEnd || this.credit && !this.session.isFull(), until);
    }
  }
  /** What has come; null: the peer has finished. Throws why there is no more. @returns {Promise<Uint8Array | null>} */
  async read(timeout = USUAL_MS) {
    await this.session.wait(() => this.pieces.length || this.gotEnd || this.over, now() + timeout);
    if (this.pieces.length) {
      const piece = this.pieces.shift();
      this.grant(piece.length);
      return piece;
    }
    if (this.error) throw this.error;
    return null;
  }
  async* [Symbol.asyncIterator]() {
    for (let piece; (piece = await this.read());) yield piece;
  }
  /** No more data from here: that was all, or status says why not. */
  finish(status = 0, text = "") {
    this.checkOpen();
    this.frame(END, FINAL, status ? putStatus(status, text) : EMPTY);
    this.sentEnd = true;
    if (this.gotEnd) this.end(this.error);
  }
  /** Cancel both directions. */
  reset(status = 500, text = "") {
    if (this.over) return;
    this.frame(END, 0, putStatus(status, text));
    this.pieces.length = 0;
    this.end(new HbtpError(status, text || "cancelled"));
  }
  end(error) {
    this.over = true;
    this.error = error;
    this.session.streams.delete(idOf(this.number, this.ours));
    this.session.changed();
  }
  onChunk(flags, payload) {
    const size = payload.length - 4, credit = size >= 0 ? u32(payload) : 0;
    if (size < 0 || flags & FINAL || !size && !credit || size && this.gotEnd || this.credit + credit > 0xffffffff) throw new HbtpError(400);
    if (size > this.receiveLeft || size > CHUNK_MAX) throw new HbtpError(413);
    this.credit += credit;
    this.receiveLeft -= size;
    if (size) this.pieces.push(payload.slice(4));
    this.grant(0);
  }
  onEnd(flags, payload) {
    const error = payload.length || !(flags & FINAL) ? getStatus(payload) : null;
    if (error && !(error.status >= 400 && error.status <= 599) || flags & FINAL && this.gotEnd) throw new HbtpError(400);
    if (!(flags & FINAL)) return this.pieces.length = 0, this.end(error);
    this.gotEnd = true;
    this.error = error;
    if (this.sentEnd) this.end(error);
  }
}

/**
 * @typedef {{send(bytes: Uint8Array): void, backlog(): number, close(): void}} Transport   backlog: bytes that wait in it
 * @typedef {{sequence: number, arguments: Uint8Array, until: number, cancelled: AbortSignal}} Request   until: performance.now()
 * @typedef {Object} Options
 * @property {Object<number, (request: Request) => Uint8Array | void | Promise<Uint8Array | void>>} [methods]
 * @property {Object<number, (stream: Stream) => void | Promise<void>>} [streamMethods]
 * @property {number} [payload] the longest that is taken in  @property {number} [requests] of the peer's that may wait
 * @property {number} [streamsMax] open at a time, of both sides  @property {number} [window] bytes that a stream holds unread
 * @property {number} [credit] what the peer may send on a stream that it opens, before it was granted any
 * @property {Object<number, Uint8Array>} [texts] of the Hello by their tags: 6 agent, 7 identity, 8 key, 9 token
 * @property {boolean} [accepts] Hellos are answered  @property {number} [needs] features that it requires; without them it ends
 * @property {(hello: Object<number, Uint8Array>) => number} [admit] the status that refuses a peer, or 0
 * @property {boolean} [hello] false: version 1  @property {number} [timeout] for the answer to our Hello
 */

/** One side of a connection: the protocol, without input or output of its own. */
export class Session {
  /** @param {Transport} transport @param {Options} options */
  constructor(transport, options = {}) {
    const usual = {methods: {}, streamMethods: {}, payload: 1 << 20, requests: 64, streamsMax: 64, credit: 1 << 16, window: 1 << 18,
      texts: {}, accepts: false, needs: 0, admit: () => 0};
    for (const name in usual) this[name] = options[name] ?? usual[name];
    this.credit = Math.min(this.credit, 2 ** 30);
    this.window = Math.min(this.window, 2 ** 30);
    this.transport = transport;
    this.input = new Uint8Array(4096); // [inputBegin, inputEnd) has come
    this.inputBegin = this.inputEnd = 0;
    this.asked = new Map();            // sequence -> a request of ours; until its answer has come
    this.pending = new Map();          // sequence -> one of the peer's, not answered yet
    this.streams = new Map();          // idOf -> Stream
    this.serving = 0;                  // handlers of streams that run
    this.states = new Map();           // state -> {changed, whole: a StateSync has come}
    this.waiters = new Set();
    this.version = 1;
    this.features = this.last = this.ignored = 0;
    this.peer = {payload: 0, requests: 0, streams: 0, credit: 0};
    this.saidHello = this.greeted = false; // ours is under way; one was, or is
    this.closed = this.held = this.peerDrains = this.drains = this.toldDrain = this.pinged = false;
    this.error = null;                 // why it was closed
    this.heard = this.begun = now();
  }
  isFull() { return this.transport.backlog() >= OUT_MAX; }
  /** Until ready() is true, or the time has come. */
  async wait(ready, until) {
    while (!ready()) await new Promise((resolve, reject) => {
      const waiter = {ready, resolve};
      waiter.timer = setTimeout(() => (this.waiters.delete(waiter), reject(new HbtpError(408, "not in time"))), Math.min(Math.max(0, until - now()), 2 ** 31 - 1));
      this.waiters.add(waiter);
    });
  }
  changed() {
    for (const waiter of [...this.waiters].filter((each) => each.ready())) {
      this.waiters.delete(waiter);
      clearTimeout(waiter.timer);
      waiter.resolve();
    }
  }
  frame(opcode, flags = 0, sequence = 0, payload = EMPTY) {
    if (!this.closed) this.transport.send(join([opcode, flags], put16(sequence), put32(payload.length), payload));
  }
  checkOpen() {
    if (this.closed) throw Object.assign(new HbtpError(0, `the connection has ended: ${this.error.message}`), {cause: this.error});
    if (this.peerDrains) throw new HbtpError(503, "the peer is about to close");
  }
  checkSize(payload) {
    if (this.peer.payload && payload.length > this.peer.payload) throw new HbtpError(413);
  }
  number() {
    for (let tries = 0; tries < 65535; tries++) {
      this.last = this.last % 65535 + 1;
      if (!this.asked.has(this.last) && !this.streams.has(idOf(this.last, true))) return this.last;
    }
    throw new HbtpError(429, "no number is free");
  }
  mayAsk() {
    return this.closed || this.peerDrains || !(this.peer.requests && this.asked.size >= this.peer.requests) && !this.isFull();
  }
  /** Begin a request; done(error, result) is called once. */
  request(opcode, payload, done, timeout = 0) {
    if (opcode !== DRAIN || this.closed) this.checkOpen();
    const travels = timeout && this.features & KNOWS_DEADLINE;
    const deadline = putField(1, put32(Math.min(Math.max(1, Math.floor(timeout)), 0xffffffff)));
    if (travels) payload = join(put16(deadline.length), deadline, payload);
    this.checkSize(payload);
    const sequence = this.number();
    this.asked.set(sequence, {opcode, done});
    this.frame(opcode, EXPECTS_RESPONSE | (travels ? EXTRA : 0), sequence, payload);
    return sequence;
  }
  /** A request and its answer. Nobody waits for it any more when the time is over. */
  async ask(opcode, payload, timeout = USUAL_MS, then = () => {}) {
    const until = now() + timeout;
    let error = null, result = null;
    await this.wait(() => this.mayAsk(), until);
    const sequence = this.request(opcode, payload, (why, what) => { error = why; result = what; then(why, what); this.changed(); }, until - now());
    await this.wait(() => error || result, until).catch((late) => { this.cancel(sequence); throw late; });
    if (error) throw error;
    return result;
  }
  /** @param {number} method @param {Uint8Array} [args] @param {number} [timeout] @returns {Promise<Uint8Array>} */
  call(method, args = EMPTY, timeout = USUAL_MS) { return this.ask(CALL, join([method], args), timeout); }
  /** Its number stays taken until the answer comes, and counts until then. */
  cancel(sequence) {
    const asked = this.asked.get(sequence);
    if (!asked) return;
    if (this.features & KNOWS_CANCEL) this.frame(CANCEL, 0, sequence);
    asked.done(new HbtpError(0, "nobody waits any longer"));
    asked.done = () => {};
  }
  /** @param {number} method @param {Uint8Array} [args] @returns {Stream} */
  open(method, args = EMPTY) {
    this.checkOpen();
    if (this.streams.size >= Math.min(this.streamsMax, this.peer.streams || Infinity)) throw new HbtpError(429, "too many streams");
    const payload = join([method, 0, 0, 0], put32(this.window), args);
    this.checkSize(payload);
    const stream = new Stream(this, this.number(), true, this.peer.credit, this.window);
    this.streams.set(idOf(stream.number, true), stream);
    stream.frame(START, 0, payload);
    return stream;
  }
  /** @param {number} state @param {(whole: boolean, data: Uint8Array) => void} changed
   *  @param {{epoch: bigint, version: bigint} | null} [since] versionOf() what `changed` has already, from a connection that was lost, say */
  async subscribe(state, changed, timeout = USUAL_MS, since = null) {
    const ofVersions = Boolean(this.features & KNOWS_RESUME), applied = ofVersions ? since : null, has = applied ?? {epoch: 0n, version: 0n};
    this.states.set(state, {changed, ofVersions, applied, ...has, whole: false, answered: false});
    await this.ask(SUBSCRIBE, ofVersions ? join(put32(state), put64(has.epoch, has.version)) : put32(state), timeout, (error, result) => this.onSubscribed(this.states.get(state), error, result))
      .catch((error) => { this.states.delete(state); throw error; });
  }
  /** What comes from here on is for this subscription. */
  onSubscribed(entry, error, result) {
    if (!entry) return;
    entry.answered = true;
    const [epoch, latest] = result?.length >= 16 ? [u64(result), u64(result, 8)] : [0n, 0n];
    if (!error && (epoch !== entry.epoch || latest < entry.version)) entry.version = 0n; // of what we have the publisher knows nothing
  }
  /** Of what `changed` was given last; null: the publisher counts none, or `changed` failed. It stays when the connection has ended.
   *  @param {number} state @returns {{epoch: bigint, version: bigint} | null} */
  versionOf(state) { return this.states.get(state)?.applied ?? null; }
  async unsubscribe(state, timeout = USUAL_MS) {
    this.states.delete(state);
    await this.ask(UNSUBSCRIBE, put32(state), timeout);
  }
  /** Begin nothing new for the peer, and tell it. */
  startDrain(status = 503, text = "") {
    this.drains = true;
    if (this.saidHello || !(this.features & KNOWS_DRAIN) || this.toldDrain) return;
    this.toldDrain = true;
    this.request(DRAIN, putStatus(status, text), () => this.changed());
  }
  isIdle() { return !this.asked.size && !this.pending.size && !this.streams.size && !this.saidHello; }
  /** Let everything that was begun end, begin nothing new, and close. */
  async drain(status = 503, text = "", timeout = USUAL_MS) {
    this.startDrain(status, text);
    await this.wait(() => this.closed || this.isIdle(), now() + timeout).finally(() => this.end());
  }
  /** Say Close; everything that waits ends. */
  end(status = 0, text = "", error = new HbtpError(status, text || "closed")) {
    this.frame(CLOSE, FINAL, 0, status ? putStatus(status, text) : EMPTY);
    this.abort(error);
  }
  abort(error) {
    if (this.closed) return;
    this.closed = true;
    this.error = error;
    for (const {done} of this.asked.values()) done(error);
    for (const stream of [...this.streams.values()]) stream.end(error);
    for (const request of this.pending.values()) request.controller.abort();
    this.asked.clear();
    this.inputBegin = this.inputEnd = 0;
    this.transport.close();
    this.changed();
  }
  putHello() {
    const known = {1: [this.needs ? 2 : 1, 2], 2: put32(this.payload, this.requests, this.streamsMax, this.credit), 3: put32(KNOWS_ALL),
      4: this.needs ? put32(this.needs) : EMPTY, ...this.texts};
    return join(...Object.entries(known).filter(([, value]) => value.length).map(([tag, value]) => putField(Number(tag), value)));
  }
  /** Of the side that has made the connection, before any stream; nobody needs to wait. */
  hello(timeout = USUAL_MS) {
    if (this.greeted || this.streams.size || this.accepts) throw new HbtpError(400, "a Hello comes once, and before any stream");
    this.request(HELLO, this.putHello(), (error, result) => this.onHelloAnswered(error, result));
    this.greeted = this.saidHello = true;
    this.helloUntil = now() + timeout;
  }
  onHelloAnswered(error, result) {
    this.saidHello = false;
    if (this.closed) return;
    try {
      if (error && (error.status !== 404 || this.needs)) throw error.status === 404 ? new HbtpError(426) : error;
      if (!error) this.agree(result);
      for (const stream of this.streams.values()) if (stream.ours) stream.credit += this.peer.credit; // the peer counts so, too
      if (this.drains) this.startDrain();
    } catch (refused) {
      this.end(refused.status >= 400 && refused.status <= 599 ? refused.status : 400);
    }
  }
  agree(payload) {
    const found = fields(payload, {1: 2, 2: 16, 3: 4, 4: 4}), [low, high] = found[1] ?? [0, 0];
    const limits = found[2] ?? new Uint8Array(16), features = found[3] ? u32(found[3]) : 0, needs = found[4] ? u32(found[4]) : 0;
    const peer = {payload: u32(limits), requests: u32(limits, 4), streams: u32(limits, 8), credit: u32(limits, 12)};
    if (!high || low > high || peer.payload && peer.payload < PAYLOAD_MIN || peer.credit >= 2 ** 31) throw new HbtpError(400);
    if (low > 2 || this.needs && high < 2) throw new HbtpError(426);
    if (needs & ~KNOWS_ALL || this.needs & ~features) throw new HbtpError(501);
    const status = this.admit(found);
    if (status) throw new HbtpError(status);
    if (high >= 2) Object.assign(this, {version: 2, features: features & (KNOWS_ALL | KNOWS_RESUME), peer});
  }
  onHello(sequence, payload) {
    try {
      if (this.greeted || !sequence) throw new HbtpError(400);
      this.agree(payload);
    } catch (error) {
      const {status} = asError(error);
      this.frame(ERROR, 0, sequence, putStatus(status));
      return this.end(status);
    }
    this.greeted = true;
    this.frame(RESPONSE, 0, sequence, this.putHello());
  }

  /** Bytes that have come. Throws nothing: closed and error say how it ended. @param {Uint8Array} data */
  feed(data) {
    if (this.closed) return;
    if (data.length) {
      if (this.inputBegin === this.inputEnd) this.begun = now();
      this.heard = now();
      this.pinged = false;
      this.append(data);
    }
    this.held = false;
    while (!this.closed && this.nextFrame()) this.begun = now();
    this.changed();
  }
  append(data) {
    const size = this.inputEnd - this.inputBegin;
    if (this.inputEnd + data.length > this.input.length) {
      const wanted = size + data.length; // twice as much: what comes byte by byte is not copied each time
      const room = wanted * 2 > this.input.length ? new Uint8Array(wanted * 2) : this.input;
      room.set(this.input.subarray(this.inputBegin, this.inputEnd));
      Object.assign(this, {input: room, inputBegin: 0, inputEnd: size});
    }
    this.input.set(data, this.inputEnd);
    this.inputEnd += data.length;
  }
  /** Parse one frame of the input. False: no frame is complete, or it has to wait. */
  nextFrame() {
    const bytes = this.input.subarray(this.inputBegin, this.inputEnd);
    if (bytes.length < 8) return false;
    const [opcode, flags] = bytes, sequence = u16(bytes, 2), end = 8 + u32(bytes, 4), checked = flags & HAS_CHECKSUM;
    const size = end + (checked ? 4 : 0);
    const most = opcode === CHUNK && this.streamsMax ? Math.max(this.payload, CHUNK_MAX + 4) : this.payload; // a peer of version 1 sends what it has credit for
    if (end - 8 > most) return this.fail(opcode, flags, sequence, 413);
    if (bytes.length < size) return false;
    this.held = isRequest(opcode, flags) && this.isFull(); // the peer does not read: it gets no more answers now
    if (this.held) return false;
    if (checked && crc32c(bytes.subarray(0, end)) !== u32(bytes, end)) return this.fail(opcode, flags, sequence, 400);
    this.inputBegin += size;
    this.dispatch(opcode, flags, sequence, bytes.subarray(8, end));
    return true;
  }
  fail(opcode, flags, sequence, status) {
    if (isRequest(opcode, flags)) this.frame(ERROR, 0, sequence, putStatus(status));
    this.end(status);
    return false;
  }
  dispatch(opcode, flags, sequence, payload) {
    try {
      let until = Infinity;
      if (this.version >= 2 && flags & EXTRA && !(flags & OPAQUE)) {
        const behind = payload.length >= 2 ? 2 + u16(payload) : Infinity;
        if (behind > payload.length) throw new HbtpError(400);
        const found = fields(payload.subarray(2, behind), {1: 4});
        if (found[1]) until = u32(found[1]) ? now() + u32(found[1]) : 0;
        payload = payload.subarray(behind);
      }
      if (this.accepts && this.needs && !this.greeted && ![HELLO, CLOSE].includes(opcode) && !isAnswer(opcode)) throw new HbtpError(426);
      if (isRequest(opcode, flags) && !until) throw new HbtpError(408);
      if (isRequest(opcode, flags) && this.drains && ![PING, DRAIN].includes(opcode)) throw new HbtpError(503);
      if (flags & OPAQUE && opcode !== CLOSE) throw new HbtpError(415);
      this.handle(opcode, flags, sequence, payload, until);
    } catch (error) {
      this.refuse(opcode, flags, sequence, asError(error));
    }
  }
  /** Only a request is answered; but a stream with a hole in it is cancelled. */
  refuse(opcode, flags, sequence, error) {
    const stream = this.streamOf(flags, sequence);
    if (isRequest(opcode, flags)) this.frame(ERROR, 0, sequence, putStatus(error.status, error.message));
    else if (isAnswer(opcode)) this.onAnswer(ERROR, sequence, new HbtpError(0, "an answer that cannot be read"));
    else if ((opcode === CHUNK || opcode === END) && stream) stream.reset(error.status);
    else this.ignored++;
  }
  streamOf(flags, sequence) { return this.streams.get(idOf(sequence, !(flags & EXPECTS_RESPONSE))); }
  onAnswer(opcode, sequence, error, payload) {
    const asked = this.asked.get(sequence), stream = this.streams.get(idOf(sequence, true));
    if (stream && opcode === ERROR) return stream.end(error);
    if (!asked || opcode !== ERROR && (opcode === PONG) !== (asked.opcode === PING)) return this.ignored++;
    this.asked.delete(sequence);
    return asked.done(error, payload?.slice());
  }
  handle(opcode, flags, sequence, payload, until) {
    const wanted = isRequest(opcode, flags), stream = this.streamOf(flags, sequence);
    if (opcode === PING) {
      this.checkSize(payload);
      this.frame(PONG, 0, sequence, payload);
    } else if (isAnswer(opcode)) {
      const error = opcode === ERROR ? getStatus(payload) : null;
      if (error && !(error.status >= 400 && error.status <= 599)) throw new HbtpError(400);
      this.onAnswer(opcode, sequence, error, payload);
    } else if (opcode === CLOSE) {
      const why = !(flags & OPAQUE) && payload.length >= 4 ? getStatus(join(payload.subarray(0, 2), [0, 0], payload.subarray(4))) : null;
      this.end(0, "", why ?? new HbtpError(0, "closed by the peer"));
    } else if (opcode === HELLO && (this.accepts || this.greeted)) {
      if (!wanted) throw new HbtpError(400);
      this.onHello(sequence, payload);
    } else if ((opcode === DRAIN || opcode === CANCEL) && this.version >= 2) {
      if (wanted !== (opcode === DRAIN)) throw new HbtpError(400);
      if (opcode === CANCEL) return this.pending.get(sequence)?.controller.abort();
      this.peerDrains = true;
      this.frame(RESPONSE, 0, sequence);
    } else if ((opcode === STATE_SYNC || opcode === STATE_DELTA) && !wanted && payload.length >= 4) {
      this.onState(opcode === STATE_SYNC, u32(payload), payload.slice(4));
    } else if (opcode === CALL) this.onCall(sequence, payload, until);
    else if (opcode === START) this.onStart(flags, sequence, payload);
    else if (opcode === CHUNK || opcode === END) {
      if (!stream) this.ignored++;
      else if (opcode === CHUNK) stream.onChunk(flags, payload);
      else stream.onEnd(flags, payload);
    } else throw new HbtpError(opcode === EXTENDED && !payload[1] ? 400 : 404);
  }
  onState(whole, state, data) {
    const entry = this.states.get(state);
    if (!entry || entry.ofVersions && !entry.answered || !entry.ofVersions && !(whole || entry.whole)) return this.ignored++;
    let applied = null;
    if (entry.ofVersions) {
      const [first, to] = data.length >= 16 ? [u64(data), u64(data, 8)] : [0n, 0n];
      const fits = whole ? first && to && (first !== entry.epoch || to >= entry.version) : entry.version && first === entry.version && to > first;
      if (!fits) return this.end(400); // a publisher that sends what cannot be applied
      applied = {epoch: whole ? first : entry.epoch, version: to};
      Object.assign(entry, applied);
      data = data.subarray(16);
    }
    entry.whole = true;
    const base = whole || entry.applied; // where a change failed, nobody knows what the program has
    entry.applied = null;
    return this.run(entry.changed, [whole, data], (_, error) => {
      if (error) console.error("a state's callback failed", error);
      else if (base) entry.applied = applied;
    });
  }
  /** Call what the program gave, at once; done(result, error) when it has ended, which may be later. */
  run(handler, args, done) {
    try {
      const result = handler(...args);
      if (typeof result?.then === "function") result.then((value) => done(value, null), (error) => done(null, error));
      else done(result, null);
    } catch (error) {
      done(null, error);
    }
  }
  onCall(sequence, payload, until) {
    if (this.pending.size >= this.requests) throw new HbtpError(429);
    const handler = this.methods[payload[0]];
    if (!payload.length || this.pending.has(sequence)) throw new HbtpError(400);
    if (!handler) throw new HbtpError(404);
    const controller = new AbortController(), request = {sequence, arguments: payload.slice(1), until, controller, cancelled: controller.signal};
    this.pending.set(sequence, request);
    this.run(handler, [request], (result, error) => this.reply(request, result, error));
  }
  reply({sequence}, result, error) {
    if (!this.pending.delete(sequence)) return;
    try {
      if (error) throw error;
      if (result && !(result instanceof Uint8Array)) throw new TypeError("an answer is a Uint8Array");
      this.checkSize(result ?? EMPTY);
      this.frame(RESPONSE, 0, sequence, result ?? EMPTY);
    } catch (wrong) {
      this.frame(ERROR, 0, sequence, putStatus(asError(wrong).status || 500, asError(wrong).message));
    }
    this.changed();
  }
  onStart(flags, sequence, payload) {
    if (payload.length < 8 || payload[1] || payload[2] || payload[3] || !sequence || (flags & (EXPECTS_RESPONSE | FINAL)) !== EXPECTS_RESPONSE) throw new HbtpError(400);
    if (!this.streamsMax) throw new HbtpError(404);
    const open = this.streams.get(idOf(sequence, false)), handler = this.streamMethods[payload[0]];
    if (open) return open.reset(400);
    if (Math.max(this.serving, this.streams.size) >= this.streamsMax) throw new HbtpError(429);
    const stream = new Stream(this, sequence, false, u32(payload, 4), this.version >= 2 ? this.credit : 0, payload.slice(8));
    this.streams.set(idOf(sequence, false), stream);
    if (!handler) return stream.reset(404);
    stream.frame(CHUNK, 0, put32(this.window));
    stream.receiveLeft += this.window;
    this.serving++;
    return this.run(handler, [stream], (_, error) => {
      this.serving--;
      if (error) stream.reset(asError(error).status || 500, asError(error).message);
    });
  }
  /** Time has passed: call it each second. */
  tick() {
    const slow = this.inputEnd > this.inputBegin && !this.held && now() - this.begun >= FRAME_MS;
    const silent = this.pinged && now() - this.heard >= 2 * KEEPALIVE_MS;
    if (this.closed) return;
    if (slow || silent || this.saidHello && now() >= this.helloUntil) return this.end(408);
    if (now() - this.heard >= KEEPALIVE_MS && !this.pinged) {
      this.pinged = true;
      this.frame(PING);
    }
    if (this.held) this.feed(EMPTY);
    this.changed(); // a WebSocket does not say when it has sent what it had
  }
}

/** Let time pass for it until it is closed. */
function withClock(session) {
  const timer = setInterval(() => session.closed ? clearInterval(timer) : session.tick(), 1000);
  return session;
}

/** A session whose Hello was answered, on a transport that is open. */
async function begin(session, {hello = true, timeout = USUAL_MS}) {
  if (hello && !session.accepts) session.hello(timeout);
  await session.wait(() => !session.saidHello, now() + timeout);
  if (hello) session.checkOpen();
  return session;
}

/** Over TCP, in Node, on a socket that is connected. @param {import("node:net").Socket} socket @param {Options} options */
export function serveSocket(socket, options = {}) {
  const session = withClock(new Session({
    send: (bytes) => socket.write(bytes), backlog: () => socket.writableLength,
    close: () => { socket.end(); setTimeout(() => socket.destroy(), 5000).unref(); },
  }, options));
  const lost = (why) => session.abort(new HbtpError(0, why));
  socket.setNoDelay(true);
  socket.on("data", (data) => { session.feed(data); if (session.held) socket.pause(); });
  socket.on("drain", () => { session.feed(EMPTY); if (!session.held) socket.resume(); });
  socket.on("error", (error) => lost(`the connection was lost: ${error.message}`)).on("close", () => lost("the connection was lost"));
  return session;
}

/** TLS in Node. A certificate that is not trusted, or of another name, is refused. */
async function secure(host, port, {caFile, serverName, ...more}, timeout) {
  const {connect: begin} = await import("node:tls"), {isIP} = await import("node:net");
  const ca = caFile ? (await import("node:fs")).readFileSync(caFile) : undefined, name = serverName ?? host;
  const socket = begin({host, port, ca, servername: isIP(name) ? undefined : name, rejectUnauthorized: true, ...more});
  const why = (error) => /CERT|ISSUER|SIGNATURE|SELF_SIGNED/.test(error.code) ? `the certificate of ${name} was refused: ${error.message}` : `no TLS with ${name}: ${error.message}`;
  await new Promise((done, failed) => {
    const late = setTimeout(() => socket.destroy(new Error("not in time")), timeout);
    socket.once("secureConnect", done).once("error", (error) => failed(new HbtpError(0, why(error)))).once("close", () => failed(new HbtpError(0, `no TLS with ${name}`)));
    socket.once("secureConnect", () => clearTimeout(late)).once("close", () => clearTimeout(late));
  });
  return socket;
}

/** tls: true, or {caFile, serverName, and what tls.connect() of Node takes}.
 *  @param {string} host @param {number} port @param {Options} options @returns {Promise<Session>} */
export async function connect(host, port, options = {}) {
  const {tls, timeout = USUAL_MS} = options;
  const socket = tls ? await secure(host, port, tls === true ? {} : tls, timeout) : (await import("node:net")).connect({host, port});
  const session = serveSocket(socket, options);
  return begin(session, options);
}

/** Over a WebSocket, in a browser: binary messages are the bytes of the connection.
 *  @param {string} url @param {Options} options @returns {Promise<Session>} */
export async function connectWebSocket(url, options = {}) {
  const socket = new WebSocket(url), early = [];
  const send = (bytes) => { if (socket.readyState === 1) socket.send(bytes); else early.push(bytes); };
  const backlog = () => early.reduce((size, bytes) => size + bytes.length, socket.bufferedAmount);
  const session = withClock(new Session({send, backlog, close: () => socket.close()}, options));
  socket.binaryType = "arraybuffer";
  socket.onopen = () => early.splice(0).forEach(send);
  socket.onmessage = ({data}) => data instanceof ArrayBuffer ? session.feed(new Uint8Array(data)) : session.end(400);
  socket.onclose = () => session.abort(new HbtpError(0, "the connection was lost"));
  return begin(session, options);
}
