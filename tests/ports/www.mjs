// The page of examples/www in a headless browser, served by dxup: first load, 304, patch, a damaged cache, a patch damaged in
// transit, and a start without network.
// usage: node www.mjs FOLDER [chromium|firefox] [SCREENSHOT]      FOLDER: output of build.sh
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync, readdirSync, rmSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { createServer, request } from 'node:http';
import { browserOrSkip, startBrowser } from './browsers.mjs';
import { attempt, expect, finish } from './cases.mjs';

const [folder, asked, screenshot] = process.argv.slice(2), name = browserOrSkip('www', asked), dxup = 'build/dxup', store = mkdtempSync(`${tmpdir()}/dx-www-`);

function publish(name, path) {
    const { status, stderr } = spawnSync(dxup, ['publish', `${store}/store`, name, path, '--quiet']);
    if (status) throw new Error(`publish ${name}: ${stderr}`);
}
async function serve() {
    const server = spawn(dxup, ['serve', `${store}/store`, '--listen', '127.0.0.1:0', '--http', '127.0.0.1:0', '--workers', '1']);
    let said = '';
    for await (const part of server.stdout) {
        said += part;
        const found = said.match(/127\.0\.0\.1:(\d+) for HTTP/);
        if (found) return { port: +found[1], stop: () => new Promise(done => server.on('exit', done) && server.kill()) };
    }
    throw new Error('dxup does not serve: ' + said);
}
// Between browser and server: counts the bytes of app.dxs, can damage a patch or be offline.
const line = { port: 0, travelled: 0, damage: false, away: false };
const between = createServer((q, a) => {
    if (line.away) return q.socket.destroy();
    const ask = request({ port: line.port, host: '127.0.0.1', path: q.url, method: q.method, headers: q.headers }, answer => {
        a.writeHead(answer.statusCode, answer.headers);
        let at = 0;
        answer.on('data', part => {
            if (q.url.endsWith('app.dxs')) line.travelled += part.length;
            if (line.damage && answer.statusCode == 226 && at == 0) part[part.length >> 1] ^= 4;
            at += part.length;
            a.write(part);
        });
        answer.on('end', () => a.end());
    });
    ask.on('error', () => q.socket.destroy());
    q.pipe(ask);
});

publish('app.dxs', `${folder}/app-1.dxs`);
for (const file of readdirSync(`${folder}/site`)) publish(file, `${folder}/site/${file}`);
let server = await serve();
line.port = server.port;
await new Promise(done => between.listen(0, '127.0.0.1', done));
const origin = `http://127.0.0.1:${between.address().port}/`;
const browser = await startBrowser(name), page = await browser.newPage({ viewport: { width: 1100, height: 760 } });
page.setDefaultTimeout(300000); // for a busy machine; nothing waits that long when all is well
const troubles = [];
page.on('pageerror', error => troubles.push(error.message));

// Load the page; returns its own report.
async function visit(go = () => page.goto(origin)) {
    line.travelled = 0;
    await go();
    await page.waitForFunction(() => document.body.dataset.how);
    const said = await page.evaluate(() => ({ ...document.body.dataset, title: document.querySelector('h2')?.textContent, error: document.getElementById('how').textContent }));
    expect(said.how != 'failed', said.error);
    expect(+said.travelled == line.travelled, `the page says ${said.travelled} bytes, the line saw ${line.travelled}`);
    expect(said.title == `Waves ${said.version}`, `the state says ${said.title}`);
    expect(troubles.length == 0, troubles.join('; '));
    await page.waitForFunction(() => new Set(document.querySelector('canvas').getContext('2d').getImageData(0, 0, 320, 200).data).size > 50);
    return said;
}
const size = n => readFileSync(`${folder}/app-${n}.dxs`).length;

await attempt(`${name}: first load`, async () => {
    const { how, version, travelled } = await visit();
    expect(how == 'full' && version == 1 && travelled > 50000 && travelled < size(1) / 2, `${how} ${version} ${travelled}`); // encoded
    return `${travelled} bytes, version 1 runs`;
});
await attempt(`${name}: nothing new is 304`, async () => {
    const { how, version, travelled } = await visit();
    expect(how == 'unchanged' && version == 1 && travelled == 0, `${how} ${version} ${travelled}`);
    return '0 bytes';
});
await attempt(`${name}: a damaged cache is noticed and fetched again`, async () => {
    const { how, version } = await visit(async () => {
        await page.evaluate(() => delete document.body.dataset.how); // until the page was loaded again
        await page.click('#damage');
    });
    expect(how == 'repaired' && version == 1, `${how} ${version}`);
    return `${line.travelled} bytes`;
});
publish('app.dxs', `${folder}/app-2.dxs`);
await attempt(`${name}: a patch that was damaged on the way is refused, and everything fetched`, async () => {
    line.damage = true;
    const { how, version } = await visit().finally(() => line.damage = false);
    expect(how == 'repaired' && version == 2, `${how} ${version}`);
    return `${line.travelled} bytes, version 2 runs`;
});
await attempt(`${name}: a new version is a patch`, async () => {
    publish('app.dxs', `${folder}/app-1.dxs`);
    const back = await visit();
    publish('app.dxs', `${folder}/app-2.dxs`);
    const { how, version, travelled } = await visit();
    expect(back.how == 'patch' && how == 'patch' && version == 2 && travelled < size(2) / 10, `${how} ${version} ${travelled}`);
    return `${travelled} bytes of ${size(2)}`;
});
await attempt(`st_2 ${name}: the card that HTIP made is the HTML that a server makes of the same stream`, async () => {
    const { stdout } = spawnSync(`${folder}/pack`, ['html', '2', 'examples/www/card.html']);
    const { card, nodes } = await page.evaluate(() => document.body.dataset);
    expect(card == String(stdout), `${card} is not ${stdout}`);
    expect(nodes == 3 && card.includes('class="card renewed"'), `${nodes} nodes: ${card}`);
    return `${stdout.length} bytes of HTML, ${nodes} nodes; the stream came in the patch`;
});
if (screenshot) await page.screenshot({ path: screenshot });
await attempt(`${name}: without network the last good version starts`, async () => {
    await page.evaluate(() => navigator.serviceWorker.ready);
    await page.reload(); // controlled by the worker
    await page.waitForFunction(() => document.body.dataset.how);
    line.away = true;
    const { how, version } = await visit(() => page.reload());
    line.away = false;
    expect(how == 'offline' && version == 2, `${how} ${version}`);
    return 'version 2 runs';
});

await browser.close();
await server.stop();
between.close();
rmSync(store, { recursive: true, force: true });
finish('www');
