// The page of dxdb in headless Chromium. A forwarder between page and server cuts or refuses connections, and each change of the
// displayed counter is recorded. test_dxdb.py, which runs the database, sends one command a line to standard input and gets one answer a line:
//   open | state | rows | seen | cut | refuse nothing|websocket|all | type LABEL VALUE | token TEXT | count PATH | complaints | picture FILE | end
// usage: node dxdb_page.mjs PORT      of dxdb
import {spawnSync} from "node:child_process";
import {createRequire} from "node:module";
import net from "node:net";
import {createInterface} from "node:readline";
const {chromium} = createRequire(import.meta.url)("../../build/playwright/node_modules/playwright-core");

const port = Number(process.argv[2]), sockets = new Set(), asked = {};
const chrome = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((path) => spawnSync(path, ["--version"]).status === 0);
let refuses = "nothing"; // "websocket": those only; "all"
const forwarder = net.createServer((near) => {
  const far = net.connect(port, "127.0.0.1");
  sockets.add(near);
  near.on("error", () => {}).on("close", () => { sockets.delete(near); far.destroy(); });
  far.on("error", () => {}).on("close", () => near.destroy());
  if (refuses === "all") return near.destroy();
  near.on("data", (data) => {
    const path = /^GET (\S+) /.exec(data.toString("latin1"))?.[1].replace(/\?.*/, "");
    if (path) asked[path] = (asked[path] ?? 0) + 1;
    if (refuses === "websocket" && /\r\nupgrade: websocket/i.test(data.toString("latin1"))) return near.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    return far.write(data);
  });
  far.on("data", (data) => near.write(data));
}).listen(0, "127.0.0.1");
await new Promise((resolve) => forwarder.once("listening", resolve));

const browser = await chromium.launch({executablePath: chrome, args: ["--no-sandbox"], timeout: 300000});
const page = await browser.newPage(), complaints = [];
page.setDefaultTimeout(120000);
page.on("pageerror", (error) => complaints.push(error.message));
page.on("console", (message) => message.type() === "warning" && complaints.push(message.text()));
// Each change of the first table, as its cells; the page draws a table at once.
await page.addInitScript(() => {
  window.seen = [];
  const cells = () => [...document.querySelectorAll("section:first-of-type tr")].slice(1).map((tr) => [...tr.cells].map((td) => td.textContent));
  new MutationObserver(() => { const now = cells(); if (now.length) window.seen.push(now); }).observe(document, {childList: true, subtree: true});
});
const commands = {
  open: () => page.goto(`http://127.0.0.1:${forwarder.address().port}/`).then(() => "open"),
  state: () => page.textContent("#state"),
  rows: () => page.$$eval("section", (all) => all.map((one) => ({rows: [...one.querySelectorAll("tr")].slice(1).map((tr) => [...tr.cells].map((td) => td.textContent)), said: one.querySelector(":scope > p").textContent}))),
  seen: () => page.evaluate(() => window.seen),
  cut: () => { for (const socket of sockets) socket.destroy(); return "cut"; },
  refuse: (what) => { refuses = what; return what; },
  type: (name, value) => page.getByLabel(name).fill(value).then(() => value),
  token: (text) => page.getByLabel("Token").fill(text).then(() => page.getByRole("button").click()).then(() => "token"),
  count: (path) => asked[path] ?? 0,
  complaints: () => complaints,
  picture: (file) => page.setViewportSize({width: 700, height: 590}).then(() => page.screenshot({path: file})).then(() => file),
};
for await (const line of createInterface({input: process.stdin})) {
  const [word, ...rest] = line.split(" ");
  if (word === "end") break;
  console.log(JSON.stringify(await commands[word](...rest)));
}
await browser.close();
process.exit(0);
