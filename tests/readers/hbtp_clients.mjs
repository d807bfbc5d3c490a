// The JavaScript client of examples/clients/, as hbtp_clients.py tests the one in Python, which starts this.
// usage: node hbtp_clients.mjs VECTORS PEER SEED OPERATIONS [FILTER]
import {spawn} from "node:child_process";
import {readFileSync} from "node:fs";
import net from "node:net";
import {connect, HbtpError, serveSocket, Session} from "../../examples/clients/dx_hbtp.mjs";

const [vectorsFile, peerProgram, seed, operations, filter = ""] = process.argv.slice(2);
const WAIT = 20000; // long enough for a slow machine; nothing waits that long when all is well
const [M_ECHO, M_FAIL, M_SLOW, M_PUBLISH, M_DRAIN, M_CUT, M_RAW, M_CANCELS, M_APPEND, M_RESTART] = [1, 2, 3, 5, 6, 7, 8, 9, 10, 11];
const [S_ECHO, S_SOURCE, S_SINK, S_FAIL, S_CANCEL] = [1, 2, 3, 4, 5];
const hexBytes = (words) => Buffer.concat(words.map((word) => {
  const [byte, times = "1"] = word.split("*");
  return Buffer.alloc(Number(times), parseInt(byte, 16));
}));
const u32 = (value) => { const out = Buffer.alloc(4); out.writeUInt32LE(value); return out; };
const frame = (opcode, flags, sequence, payload) => Buffer.concat([Buffer.from([opcode, flags, sequence & 255, sequence >> 8]),
  u32(payload.length), payload]);
const HELLO = Buffer.from("0102000102021000000400000200000002000000c80000000304000f000000", "hex");

// ---- vectors
function withoutTexts(data) {
  const frames = [];
  while (data.length) {
    const size = data.readUInt32LE(4), cut = [0x32, 2, 0x35, 4].includes(data[0]) ? Math.min(size, 4) : size;
    frames.push(frame(data[0], data[1], data.readUInt16LE(2), data.subarray(8, 8 + cut)));
    data = data.subarray(8 + size);
  }
  return Buffer.concat(frames).toString("hex");
}

class Program {
  constructor(words, piece) {
    this.piece = piece; // input comes in pieces of this size
    const value = (name, usual) => Number(words.find((word) => word.startsWith(`${name}=`))?.split("=")[1] ?? usual);
    this.out = [];
    this.ended = [];
    this.later = new Map();
    this.ours = new Map();
    const never = (request) => { this.later.set(request.sequence, request); return new Promise(() => {}); };
    const s = this.session = new Session({send: (bytes) => this.out.push(bytes), backlog: () => 0, close: () => {}}, {
      methods: {1: (request) => request.arguments, 2: () => { throw new TypeError("as the vectors say"); }, 3: never,
        4: () => { throw new HbtpError(503); }},
      streamMethods: {1: () => {}}, payload: value("payload", 1000), requests: value("requests", 2), streamsMax: value("streams", 2),
      credit: value("credit", 100), window: value("window", 500), needs: value("needs", 0), accepts: words.includes("accepts")});
    if (!words.includes("greeted")) return;
    if (!s.accepts) s.hello();
    s.feed(s.accepts ? frame(3, 4, 1, HELLO) : frame(0x31, 0, 1, HELLO));
    this.out = [];
  }
  note(number, error) { this.ended.push([number, error ? error.status || -1 : 0].join(" ")); }
  do(what, ...words) {
    const s = this.session, number = Number(words[0]), rest = words.slice(1);
    const stream = s.streams.get(number);
    if (what === "call") {
      const timeout = rest.at(-1).length === 4 ? Number(rest.pop()) : 0;
      if (!s.mayAsk() || s.peerDrains) return;
      const sequence = s.request(0x30, Buffer.concat([Buffer.from([number]), hexBytes(rest)]), (error) => this.note(sequence, error), timeout);
    } else if (what === "open") {
      const opened = s.open(number, hexBytes(rest));
      this.ours.set(opened.number, opened);
    } else if (what === "cancel") s.cancel(number);
    else if (what === "reply") s.reply(this.later.get(number), hexBytes(rest), null);
    else if (what === "send") stream.send(hexBytes(rest));
    else if (what === "read") (stream ?? this.ours.get(number)).read(0).catch(() => {});
    else if (what === "finish" || what === "reset") stream[what](...rest.map(Number));
    else ({hello: () => s.hello(), drain: () => s.startDrain(), close: () => s.end()})[what]();
  }
  async step(word, rest) {
    if (word === "in") {
      const data = hexBytes(rest);
      for (let at = 0; at < data.length; at += this.piece) this.session.feed(data.subarray(at, at + this.piece));
    }
    if (word === "do") {
      try {
        this.do(...rest);
      } catch (error) {
        if (error.status !== 429) throw error;
      }
    } else if (word === "ended" && this.ended.shift() !== rest.join(" ")) return `${rest} has not ended so`;
    await new Promise(setImmediate);
    for (const [number, stream] of this.ours) if (stream.over && !stream.pieces.length) {
      this.ours.delete(number);
      this.note(number, stream.error);
    }
    if (word !== "out") return null;
    const found = withoutTexts(Buffer.concat(this.out.splice(0))), wanted = hexBytes(rest).toString("hex");
    return found === wanted ? null : `wrote ${found}, not ${wanted}`;
  }
}

async function runVector(steps, piece) {
  const program = new Program(steps[0][0] === "set" ? steps[0].slice(1) : [], piece);
  for (const [word, ...rest] of steps) {
    const wrong = await program.step(word, rest);
    if (wrong) return wrong;
  }
  if (program.out.length || program.ended.length) return `more than is said: ${program.ended}`;
  return program.session.closed === (steps.at(-1)[0] === "closed") ? null : `closed: ${program.session.closed}`;
}

// ---- the C side over real sockets
function check(right, what) { if (!right) throw new Error(what); }
const statusOf = (promise) => Promise.resolve(promise).then(() => null, (error) => error.status ?? error);
const pattern = (first, size) => Buffer.from(Array.from({length: size}, (_, i) => (first + i) * 31 + (first + i >> 8) & 255));
async function all(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
}
async function withPeer(run, mode = "serve") {
  const peer = spawn(peerProgram, [mode], {stdio: ["ignore", "pipe", "inherit"]}), clients = [];
  const port = await new Promise((resolve) => peer.stdout.once("data", (data) => resolve(Number(String(data).trim().split(":").pop()))));
  try {
    return await run(async (options) => {
      clients.push(await connect("127.0.0.1", port, {timeout: WAIT, ...options}));
      return clients.at(-1);
    });
  } finally {
    clients.forEach((client) => client.end());
    peer.kill();
  }
}

async function calls(client) {
  const c = await client(), old = await client({hello: false});
  check(c.version === 2 && old.version === 1, "versions");
  for (const each of [c, old]) {
    check(String(await each.call(M_ECHO, Buffer.from("hello"))) === String(new Uint8Array(Buffer.from("hello"))), "an echo");
    check(await statusOf(each.call(M_FAIL)) === 500 && await statusOf(each.call(M_FAIL, [18])) === 418, "refusals");
    check(await statusOf(each.call(200)) === 404, "no such method");
    check(await statusOf(each.call(M_SLOW, [255], 50)) === 408, "a time that is over");
  }
  check((await c.call(M_CANCELS))[0] === 1, "a cancel that travels");
  check(await statusOf(c.call(M_ECHO, new Uint8Array(20000))) === 413, "the peer's limit");
}
async function streams(client) {
  const c = await client({window: 5000}), source = c.open(S_SOURCE, u32(400000));
  check((await all(source)).equals(pattern(0, 400000)), "the bytes of a source");
  source.finish();
  const sink = c.open(S_SINK);
  await sink.write(pattern(0, 100000), WAIT);
  sink.finish();
  check(Buffer.from(await sink.read()).readUInt32LE() === 100000 && await sink.read() === null, "a sink");
  const fails = c.open(S_FAIL);
  check(String(Buffer.from(await fails.read())) === "some" && await statusOf(fails.read()) === 503, "one that fails in the end");
  fails.finish();
  check(await statusOf(c.open(S_CANCEL).read()) === 503 && await statusOf(c.open(77).read()) === 404, "refused");
  check(await statusOf(c.open(S_ECHO).read(50)) === 408 && c.streams.size === 1, "a read ends");
}
async function states(client) {
  const c = await client(), other = await client({hello: false}), heard = [];
  await c.subscribe(42, (whole, data) => { heard.push(`${whole} ${Buffer.from(data)}`); });
  for (const text of ["+too early", "one", "+two", "end"]) await other.call(M_PUBLISH, Buffer.from(text));
  await c.wait(() => heard.length === 3, performance.now() + WAIT);
  check(heard.join() === "true one,false +two,true end", heard.join());
  await c.unsubscribe(42);
  check(await statusOf(c.unsubscribe(42)) === 404, "not subscribed any more");
}
/** A subscription resumes on another connection; states whose changes were dropped are sent whole. */
async function versions(client) {
  const heard = [], epoch = 0xfedcba9876543210n, other = await client({hello: false});
  let text = "";
  const changed = (whole, data) => {
    heard.push(whole);
    text = (whole ? "" : text) + Buffer.from(data);
  };
  const subscribed = async (since) => {
    const c = await client();
    await c.subscribe(42, changed, WAIT, since);
    return c;
  };
  const append = (word) => other.call(M_APPEND, Buffer.from(word));
  const ends = (c, word) => c.wait(() => text.endsWith(word) && heard.length, performance.now() + WAIT);
  let c = await subscribed();
  await c.wait(() => heard.length === 1, performance.now() + WAIT);
  for (const word of ["one ", "two ", "three "]) { await append(word); await ends(c, word); }
  check(heard.join() === "true,false,false,false" && c.versionOf(42).epoch === epoch && c.versionOf(42).version === 4n, heard.join());
  for (const words of [2, 0, 5]) { // as many as it keeps, and none
    heard.length = 0;
    c.end();
    for (let word = 0; word < words; word++) await append(`${word}, `);
    c = await subscribed(c.versionOf(42));
    await append("last ");
    await ends(c, "last ");
    check(!heard.includes(true), "whole states");
  }
  c.end();
  for (let word = 0; word < 6; word++) await append("x");
  heard.length = 0;
  c = await subscribed(c.versionOf(42)); // away for too long
  await ends(c, "x");
  check(heard.join() === "true", heard.join());
  c.end();
  await other.call(M_RESTART);
  c = await subscribed(c.versionOf(42)); // of another epoch
  await c.wait(() => heard.length === 2, performance.now() + WAIT);
  check(heard.join() === "true,true" && c.versionOf(42).epoch === epoch + 1n && c.versionOf(42).version === 1n, heard.join());
  check(text === "one two three 0, 1, last last 0, 1, 2, 3, 4, last xxxxxx", text);
}
async function drains(client) {
  const c = await client(), slow = c.call(M_SLOW, [200]), own = await client(), last = own.call(M_SLOW, [50]);
  while (!own.asked.size) await new Promise(setImmediate);
  await own.drain();
  check(Buffer.from(await last).equals(Buffer.from("slow")), "what was begun is answered");
  await c.call(M_DRAIN);
  await c.wait(() => c.peerDrains, performance.now() + WAIT);
  check(await statusOf(c.call(M_ECHO)) === 503, "nothing new");
  check(Buffer.from(await slow).equals(Buffer.from("slow")), "what was begun is answered");
  await c.wait(() => c.closed, performance.now() + WAIT);
}

let state = BigInt(seed) + 1n;
function chance(limit) { // splitmix64
  state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n);
  let z = state;
  z = BigInt.asUintN(64, (z ^ z >> 30n) * 0xbf58476d1ce4e5b9n);
  z = BigInt.asUintN(64, (z ^ z >> 27n) * 0x94d049bb133111ebn);
  return Number((z ^ z >> 31n) % BigInt(limit));
}
const randomBytes = (size) => Buffer.from(Array.from({length: size}, () => chance(256)));

async function atItsWorst(client) {
  const opcodes = [0, 1, 3, 4, 0x10, 0x11, 0x12, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x51, 0xff, 0x77];
  for (let i = 0; i < 100; i++) {
    const c = await client({hello: chance(5) > 0}), stream = c.open(S_ECHO), kind = chance(4);
    let nonsense = randomBytes(1 + chance(400));
    if (kind === 1) nonsense = Buffer.concat(Array.from({length: 100}, () =>
      frame(opcodes[chance(opcodes.length)], chance(256) & 0xef, chance(6), randomBytes(chance(12)))));
    if (kind === 2) nonsense = Buffer.concat(Array(500).fill(frame(0x31, 0, 7, u32(1))));
    const status = await statusOf(kind ? c.call(M_RAW, nonsense, 50) : c.call(M_CUT, undefined, WAIT));
    check(kind || status === 0, "cut off");
    check(c.input.length < 1 << 20 && !c.waiters.size, "memory, and what waits");
    c.end();
    check(stream.over && c.isIdle(), "an end");
  }
  check((await (await client()).call(M_ECHO, [1]))[0] === 1, "others go on");
}

async function server() {
  const ends = (request) => new Promise((resolve) => setTimeout(resolve, // half a second longer than the peer waits
    Math.min(WAIT, request.until - performance.now() + 500)));
  const fail = ({arguments: [status]}) => { throw status ? new HbtpError(400 + status) : new TypeError("as the test says"); };
  const echo = async (stream) => {
    for await (const piece of stream) await stream.write(piece, WAIT);
    stream.finish();
  };
  const listening = net.createServer((socket) => serveSocket(socket, {accepts: true, window: 7000, streamMethods: {1: echo},
    methods: {1: async (request) => request.arguments, 2: fail, 3: ends}}));
  await new Promise((resolve) => listening.listen(0, "127.0.0.1", resolve));
  const dialer = spawn(peerProgram, ["dial", String(listening.address().port)], {stdio: ["ignore", "pipe", "inherit"]});
  let said = "";
  dialer.stdout.on("data", (data) => { said += data; });
  const status = await new Promise((resolve) => dialer.on("close", resolve));
  listening.close();
  check(status === 0, said);
}

async function anything(client) {
  const clients = [await client({window: 3000}), await client()];
  const one = async () => {
    for (let i = 0; i < Number(operations) / 8; i++) {
      const c = clients[chance(2)], kind = chance(10), data = randomBytes(chance(600)), status = 1 + chance(99);
      if (kind < 5) check(data.equals(await c.call(M_ECHO, data, WAIT)), "an echo");
      else if (kind === 5) check(await statusOf(c.call(M_FAIL, [status], WAIT)) === 400 + status, "a status");
      else if (kind === 6) check([408, null].includes(await statusOf(c.call(M_SLOW, [30], 5))), "a time that is over, or nearly");
      else if (kind === 7) check((await c.call(M_SLOW, [1 + chance(4)], WAIT)).length === 4, "a slow one");
      else {
        await c.wait(() => c.streams.size < c.peer.streams, performance.now() + WAIT);
        const stream = c.open(S_ECHO), sent = randomBytes(chance(20000)), back = all(stream).catch((error) => error);
        if (kind === 8) {
          await stream.write(sent, WAIT);
          stream.finish();
          check(sent.equals(await back), "a stream");
        } else {
          stream.send(sent);
          stream.reset(500);
          check((await back).status === 500, "a stream that was cancelled");
        }
      }
      check(c.input.length < 1 << 18, "memory");
    }
  };
  await Promise.all(Array.from({length: 8}, one));
  for (const c of clients) await c.wait(() => c.isIdle(), performance.now() + WAIT);
}

// ---- main
async function run(name, test) {
  if (!name.includes(filter)) return;
  let wrong = null;
  try {
    wrong = await test();
  } catch (error) {
    wrong = error.stack;
  }
  console.log(wrong ? `FAIL javascript: ${name}: ${wrong}` : `ok   javascript: ${name}`);
}
const vectors = readFileSync(vectorsFile, "utf8").replace(/^#.*\n/gm, "").trim().split(/\n\n+/);
for (const vector of vectors) {
  const [name, ...lines] = vector.split("\n");
  const steps = lines.map((line) => line.trim().split(/\s+/));
  await run(name, async () => await runVector(steps, 1 << 20) ?? runVector(steps, 1));
}
for (const test of [calls, streams, states, drains, atItsWorst, anything]) await run(test.name, () => withPeer(test));
await run("versions", () => withPeer(versions, "publish"));
await run("server", server);
process.exit(0); // whatever a test left open
