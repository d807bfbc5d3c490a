// dxdb for JavaScript: queries, writes and subscriptions over HBTP (programs/dxdb/hbtp.h). No packages: dx_hbtp.mjs and
// dx_patch.mjs beside this file, and teleport.js of examples/www.
//
//   const db = await open("127.0.0.1", 7010);              // {tls: {caFile: "ca.pem"}}: TLS; {token}: where tokens are needed
//   await db.get("user", 7);                               // [{id: 7, name: "Ann"}]
//   const {position} = await db.write("rename", 7, "Bea");
//   await db.at(position).get("user", 7);                  // what contains the write
//   for await (const rows of db.follow("user", 7)) ...     // now, and each time they change
//   db.close();
//
// A value is sent as text; null is NULL. Of what comes, bigint is a BigInt, numeric a string, times are Dates (to the millisecond;
// "infinity" and "-infinity" stay). HbtpError: dxdb has refused it, with a status of HTTP and a reason.
import {connect, HbtpError} from "./dx_hbtp.mjs";
import {applyPatch} from "./dx_patch.mjs";
import {teleport} from "../www/teleport.js";

const DESCRIBE = 0, FOLLOW = 255, OK = 200, AWAY = 503, TOKEN = 9;
const encode = (text) => new TextEncoder().encode(text), decode = (bytes) => new TextDecoder().decode(bytes);
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const viewOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

function join(...parts) {
  const out = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  parts.reduce((at, part) => (out.set(part, at), at + part.length), 0);
  return out;
}
const number = (size, value) => {
  const bytes = new Uint8Array(size);
  if (size === 8) viewOf(bytes).setBigUint64(0, value, true);
  else viewOf(bytes).setUint32(0, value, true);
  return bytes;
};
const textOf = (value) => value instanceof Uint8Array ? "\\x" + hex(value) : value instanceof Date ? value.toISOString() : String(value);
function argumentsOf(values) {
  return join(...values.flatMap((value) => {
    const text = value === null || value === undefined ? null : encode(textOf(value));
    return text ? [number(4, text.length), text] : [number(4, 0xffffffff)];
  }));
}

const isEnd = (value, bits) => value === BigInt.asIntN(bits, 1n << BigInt(bits - 1)) ? "-infinity" : value === (1n << BigInt(bits - 1)) - 1n ? "infinity" : "";
const dateOf = (us) => new Date(Number(us / 1000n - (us % 1000n < 0n ? 1n : 0n)));
const CONVERTED = {
  date: (v) => isEnd(BigInt(v), 32) || dateOf(BigInt(v) * 86400000000n),
  "time without time zone": (v) => dateOf(v).toISOString().slice(11, -1),
  "timestamp without time zone": (v) => isEnd(v, 64) || dateOf(v),
  "timestamp with time zone": (v) => isEnd(v, 64) || dateOf(v),
  uuid: (v) => hex(v).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-"),
  bytea: (v) => Uint8Array.from(v),
  json: (v) => JSON.parse(v),
  jsonb: (v) => JSON.parse(v),
};
/** The value of a column, or of an element of an array. */
function valueOf(record, name, type) {
  const value = record[name];
  if (value === null || record[`${name}_null`]) return null;
  if (type.endsWith("[]")) return value.map((element) => valueOf(element, "value", type.slice(0, -2)));
  return CONVERTED[type] ? CONVERTED[type](value) : value;
}

/** A connection to dxdb, on a session of HBTP: open(), or new Database(await connectWebSocket(url)). */
export class Database {
  constructor(session, position = null, known = new Map()) { Object.assign(this, {session, position, known}); }
  close() { this.session.end(); }
  /** The same connection, whose queries are answered from what contains a write. */
  at(position) { return new Database(this.session, position, this.known); }
  /** What dxdb says of a query or write: its method, parameters, columns and the type of its records. */
  async describe(name) {
    if (!this.known.has(name)) this.known.set(name, JSON.parse(decode(await this.session.call(DESCRIBE, encode(name)))));
    return this.known.get(name);
  }
  rowsOf({type, columns}, record) {
    return teleport(type)(record).rows.map((row) => Object.fromEntries(columns.map(({name, type: kind}) => [name, valueOf(row, name, kind)])));
  }
  async get(query, ...values) {
    const at = this.position === null ? [] : [number(8, this.position)];
    const record = await this.session.call((await this.describe(query)).method, join(argumentsOf(values), ...at));
    try {
      return this.rowsOf(await this.describe(query), record);
    } catch (error) { // the columns have changed meanwhile
      if (!(error instanceof RangeError)) throw error;
      this.known.delete(query);
      return this.rowsOf(await this.describe(query), record);
    }
  }
  async write(name, ...values) {
    const view = viewOf(await this.session.call((await this.describe(name)).method, argumentsOf(values)));
    const numbers = Array.from({length: view.byteLength / 8}, (_, k) => view.getBigUint64(8 * k, true));
    return {position: numbers[0], counts: numbers.slice(1).map(Number)};
  }
  /** The rows now, and each time they change, until dxdb says why there are no more: an HbtpError. Who is slow gets the newest ones.
   *  On a connection, follow the same result once at a time. */
  async *follow(query, ...values) {
    const {session} = this;
    let told = () => {}, record = null, given = null, error = null;
    this.known.delete(query);
    const about = await this.describe(query);
    const answer = await session.call(FOLLOW, join(Uint8Array.of(about.method, 0), argumentsOf(values)));
    const state = viewOf(answer).getUint32(0, true);
    const take = (whole, data) => {
      const view = viewOf(data), status = view.getUint16(8, true), body = data.slice(16);
      try {
        if (status !== OK && status !== AWAY) throw new HbtpError(status, decode(body));
        record = whole ? body : body.length ? applyPatch(record, body) : record;
        if (record.length !== view.getUint32(12, true)) throw new HbtpError(400, "a record of another size");
      } catch (why) {
        error = why;
      }
      told();
    };
    await session.subscribe(state, take);
    try {
      for (;;) {
        while (record === given && !error) {
          if (session.closed) throw session.error;
          await new Promise((resolve) => { told = resolve; setTimeout(resolve, 500); });
        }
        if (error) throw error;
        given = record;
        yield this.rowsOf(about, given); // what changed meanwhile is in it
      }
    } finally {
      await session.unsubscribe(state).catch(() => {}); // it may have ended already
    }
  }
}

/** In Node. The options are those of connect() of dx_hbtp.mjs, and token. */
export async function open(host, port, {token, ...options} = {}) {
  const texts = token ? {texts: {[TOKEN]: encode(token)}} : {};
  return new Database(await connect(host, port, {payload: 1 << 24, ...texts, ...options}));
}
