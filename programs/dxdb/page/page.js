// The page of a server: it follows each query over one WebSocket, by patches. Where a WebSocket is refused, by server-sent events.
import {connectWebSocket} from "/dx_hbtp.mjs";
import {applyPatch} from "/dx_patch.mjs";
import {teleport} from "/teleport.js";

const FOLLOW = 255, DESCRIBE = 0, OK = 200, AWAY = 503, FIRST_MS = 250, MOST_MS = 8000, STEADY_MS = 5000, AGAIN_MS = 3000;
const TOKEN = 9, PAYLOAD_MAX = 1 << 26;
const state = document.querySelector("#state"), follows = [];
const make = (tag, text, parent) => Object.assign(parent.appendChild(document.createElement(tag)), {textContent: text});
const encode = (text) => new TextEncoder().encode(text);
const after = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
let session = null, token = "";

// >>values, as PostgreSQL and the JSON of dxdb write them
const hex = (bytes) => bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
const isEnd = (value, bits) => value === BigInt.asIntN(bits, 1n << BigInt(bits - 1)) ? "-infinity" : value === (1n << BigInt(bits - 1)) - 1n ? "infinity" : "";
function moment(us) {
  const ms = us / 1000n - (us % 1000n < 0n ? 1n : 0n), date = new Date(Number(ms)), rest = (us % 1000000n + 1000000n) % 1000000n;
  return Number.isNaN(date.valueOf()) ? `${us} us` : date.toISOString().slice(0, -5) + (rest ? "." + String(rest).padStart(6, "0") : "");
}
const KINDS = {
  real: (v) => String([6, 7, 8, 9].map((digits) => Number(v.toPrecision(digits))).find((short) => Math.fround(short) === v) ?? v), // its shortest digits
  bytea: (v) => "\\x" + hex(v),
  uuid: (v) => hex(v).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-"),
  date: (v) => isEnd(BigInt(v), 32) || moment(BigInt(v) * 86400000000n).replace(/T.*/, ""),
  "time without time zone": (v) => moment(v).replace(/.*T/, ""),
  "timestamp without time zone": (v) => isEnd(v, 64) || moment(v),
  "timestamp with time zone": (v) => isEnd(v, 64) || moment(v) + "Z",
  json: (v) => JSON.stringify(JSON.parse(v)),
  jsonb: (v) => JSON.stringify(JSON.parse(v)),
};
function textOf(type, value) {
  if (Array.isArray(value) && !KINDS[type]) { // an array of the database: its elements are records
    const inner = type.replace("[]", "");
    return `[${value.map((e) => e.value_null || e.value === null ? "null" : typeof e.value === "string" || KINDS[inner] ? JSON.stringify(textOf(inner, e.value)) : String(e.value)).join(",")}]`;
  }
  return KINDS[type] ? KINDS[type](value) : String(value);
}
const rowsOf = (columns, record) => record.rows.map((row) =>
  columns.map(({name, type}) => row[name] === null || row[`${name}_null`] ? null : textOf(type, row[name])));

// >>one query
class Follow {
  constructor(query) {
    const main = make("section", "", document.querySelector("main"));
    make("h2", query.name, main);
    this.name = query.name;
    this.inputs = query.parameters.map((name) => [name, make("label", name + " ", main).appendChild(document.createElement("input"))]);
    this.table = make("table", "", main);
    this.status = make("p", "", main);
    for (const [, input] of this.inputs) input.oninput = () => this.open();
    this.turn = 0; // counts what it has followed: what belongs to another one is dropped
  }
  values() { return this.inputs.map(([, input]) => input.value); }
  say(text) { this.status.textContent = text; }
  /** Other parameters, or the first ones. */
  open() {
    this.turn++;
    this.events?.close();
    if (session && this.number) session.unsubscribe(this.number).catch(() => {});
    this.events = this.record = this.before = this.columns = null;
    this.epoch = this.version = 0n;
    this.number = 0;
    this.table.textContent = "";
    this.say("");
    if (this.values().includes("")) return;
    if (usesEvents) this.listen();
    else if (session) this.join();
  }
  show(columns, rows) {
    const before = this.before, head = document.createElement("tr");
    this.before = new Set(rows.map((row) => JSON.stringify(row)));
    this.table.replaceChildren(head);
    for (const name of columns) make("th", name, head).scope = "col";
    for (const row of rows) {
      const line = make("tr", "", this.table);
      if (before && !before.has(JSON.stringify(row))) line.className = "new";
      for (const text of row) make("td", text ?? "\u2400", line);
    }
  }
  /** Follow it on the session that there is, from the record that we have. */
  async join() {
    const turn = ++this.turn, on = session, isOver = () => this.turn !== turn || session !== on;
    try {
      const about = JSON.parse(new TextDecoder().decode(await on.call(DESCRIBE, encode(this.name))));
      if (isOver()) return;
      const layout = JSON.stringify(about.type);
      if (layout !== this.layout) this.record = null;
      this.layout = layout;
      this.columns = about.columns;
      this.type = teleport(about.type);
      const answer = await on.call(FOLLOW, await this.request(about.method)), view = new DataView(answer.buffer, answer.byteOffset);
      if (isOver()) return;
      const [same, epoch, version] = [view.getUint32(4, true), view.getBigUint64(8, true), view.getBigUint64(16, true)];
      const since = this.record && same ? {epoch, version} : this.record && epoch === this.epoch ? {epoch, version: this.version} : null;
      this.number = view.getUint32(0, true);
      await on.subscribe(this.number, (whole, data) => { if (!isOver()) this.changed(on, whole, data); }, undefined, since);
      if (!isOver() && since) this.say(`position ${this.position}`);
    } catch (error) {
      if (isOver() || on.closed) return; // followed again on the next session
      this.say(error.message);
      if (!error.status || error.status >= 500) this.joinLater();
    }
  }
  /** Arguments of method 255. Where pages have no SHA-256 (plain http from elsewhere) the checksum fits nothing, and the record is sent. */
  async request(method) {
    const values = this.values().map(encode), have = new Uint8Array(this.record ? 24 : 0);
    if (this.record) {
      new DataView(have.buffer).setBigUint64(0, this.epoch, true);
      if (globalThis.crypto?.subtle) have.set(new Uint8Array(await crypto.subtle.digest("SHA-256", this.record), 0, 16), 8);
    }
    const sizes = values.map((value) => { const four = new Uint8Array(4); new DataView(four.buffer).setUint32(0, value.length, true); return four; });
    const parts = [Uint8Array.of(method, this.record ? 1 : 0), have, ...values.flatMap((value, k) => [sizes[k], value])];
    return new Uint8Array(await new Blob(parts).arrayBuffer());
  }
  joinLater() {
    const {turn} = this;
    setTimeout(() => { if (this.turn === turn && session) this.join(); }, AGAIN_MS);
  }
  /** The content of its state: follow.h. After a change that cannot be applied the whole record is asked for. */
  changed(on, whole, data) {
    const view = new DataView(data.buffer, data.byteOffset, data.length), position = view.getBigUint64(0, true), status = view.getUint16(8, true);
    const body = data.slice(16);
    if (status !== OK && status !== AWAY) {
      this.say(new TextDecoder().decode(body));
      return this.joinLater();
    }
    try {
      const record = whole ? body : body.length ? applyPatch(this.record, body, {most: PAYLOAD_MAX}) : this.record;
      const opened = this.type(record);
      if (record.length !== view.getUint32(12, true)) throw new RangeError("a record of another size");
      if (record !== this.record) this.show(this.columns.map(({name}) => name), rowsOf(this.columns, opened));
      this.record = record;
    } catch (error) {
      console.warn("the change cannot be applied", error);
      this.record = null;
      return this.join();
    }
    ({epoch: this.epoch, version: this.version} = on.states.get(this.number));
    this.position = `${(position >> 32n).toString(16)}/${(position & 0xffffffffn).toString(16)}`.toUpperCase();
    this.say(status === AWAY ? "the database is away" : `position ${this.position}`);
  }
  /** The path without a WebSocket. */
  listen() {
    const values = new URLSearchParams(this.inputs.map(([name, input]) => [name, input.value]));
    const events = this.events = new EventSource(`/q/${this.name}/live?${values}`);
    events.onmessage = ({data, lastEventId}) => {
      const rows = JSON.parse(data), columns = Object.keys(rows[0] ?? {});
      this.show(columns, rows.map((row) => columns.map((name) => row[name] === null ? null : typeof row[name] === "object" ? JSON.stringify(row[name]) : String(row[name]))));
      this.say(`position ${lastEventId}`);
    };
    events.addEventListener("away", ({data}) => this.say(JSON.parse(data)));
    events.addEventListener("end", ({data}) => this.say(JSON.parse(data).error));
    events.onerror = () => { if (events.readyState === 2) this.say("refused"); };
  }
}

// >>the connection
let usesEvents = false;
/** Why there was no WebSocket: "events": it is refused; "token"; "again": the server is away, or has no room. */
async function whyNot(error, failures) {
  if (error.cause?.status === 401) return "token";
  const status = await fetch("/ws", {cache: "no-store"}).then((answer) => answer.status, () => 0);
  if (status === 0 || status >= 500 || status === 429) return "again";
  return status !== 426 || failures > 1 ? "events" : "again"; // 426: the server would have one, so something between refuses it
}
async function askToken() {
  const form = document.querySelector("#token");
  form.hidden = false;
  state.textContent = "a token is required";
  await new Promise((resolve) => { form.onsubmit = (event) => { event.preventDefault(); resolve(); }; });
  form.hidden = true;
  token = form.querySelector("input").value;
}
/** With exponential back-off and jitter; at once when the browser says that it is online again. */
async function backOff(failures) {
  const ms = Math.min(MOST_MS, FIRST_MS * 2 ** Math.min(failures, 10)) * (0.5 + Math.random() / 2);
  state.textContent = "reconnecting";
  await Promise.race([after(ms), new Promise((resolve) => window.addEventListener("online", resolve, {once: true}))]);
}
async function run() {
  const url = new URL("/ws", location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  for (let failures = 0; ; failures++) {
    try {
      session = await connectWebSocket(url.href, {payload: PAYLOAD_MAX, texts: token ? {[TOKEN]: encode(token)} : {}});
      const begun = performance.now(), on = session;
      state.textContent = "connected";
      follows.forEach((follow) => { if (!follow.values().includes("")) follow.join(); });
      await on.wait(() => on.closed, Infinity).catch(() => on.end());
      session = null;
      if (performance.now() - begun >= STEADY_MS) failures = 0;
    } catch (error) {
      session = null;
      const why = await whyNot(error, failures);
      if (why === "events") break;
      if (why === "token") await askToken();
    }
    await backOff(failures);
  }
  usesEvents = true;
  state.textContent = "connected without WebSocket: each change sends the whole result";
  follows.forEach((follow) => follow.open());
}
follows.push(...(await (await fetch("/queries")).json()).map((query) => new Follow(query)));
run();
