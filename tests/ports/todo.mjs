// examples/todo in a headless browser: adds, checks, filters, searches, removes; with the keyboard, too; one host call a frame.
// usage: node todo.mjs FOLDER [chromium|firefox] [SCREENSHOT]      FOLDER: output of examples/todo/build.sh
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { browserOrSkip, startBrowser } from './browsers.mjs';
import { attempt, expect, finish, skip } from './cases.mjs';

const [folder, asked, screenshot] = process.argv.slice(2), axe = 'build/axe/node_modules/axe-core/axe.min.js', name = browserOrSkip('todo', asked);
const types = { html: 'text/html; charset=utf-8', js: 'text/javascript', css: 'text/css', wasm: 'application/wasm' };
const server = createServer((ask, answer) => {
    const path = `${folder}${ask.url == '/' ? '/index.html' : ask.url}`;
    if (!/^\/[\w.]*$/.test(ask.url) || !existsSync(path)) return answer.writeHead(404).end();
    answer.writeHead(200, { 'Content-Type': types[path.split('.').pop()] }).end(readFileSync(path));
});
await new Promise(done => server.listen(0, '127.0.0.1', done));
const origin = `http://127.0.0.1:${server.address().port}/`, browser = await startBrowser(name), troubles = [];

async function open(options = {}, from = browser) {
    const page = await from.newPage({ viewport: { width: 1000, height: 800 }, ...options });
    page.setDefaultTimeout(60000);
    page.on('pageerror', error => troubles.push(error.message));
    await page.goto(origin);
    await page.waitForFunction(() => document.querySelector('main .left')?.textContent);
    return page;
}
// What is seen: tasks (a done one with *), the pressed filter, the text below.
const seen = page => page.evaluate(() => [[...document.querySelectorAll('main li')].map(li => li.querySelector('.text').textContent
    + (li.querySelector('.text').ariaChecked == 'true' && li.className == 'done' ? '*' : '')).join(), document.querySelector('[aria-pressed=true]').value,
document.querySelector('.left').textContent].join(' | '));
async function until(page, want) {
    const end = Date.now() + 20000;
    let is;
    while ((is = await seen(page)) != want && Date.now() < end) await new Promise(done => setTimeout(done, 20));
    expect(is == want, `'${is}' is not '${want}'`);
}
const add = (page, ...texts) => page.evaluate(texts => {
    const input = document.getElementById('new');
    for (input.value of texts) input.form.requestSubmit();
}, texts);
// As a visitor does: once it is there, which the next frame sees to.
async function press(page, selector, at = 0) {
    const end = Date.now() + 20000;
    while (!await page.evaluate(([selector, at]) => {
        const element = document.querySelectorAll(selector)[at];
        element?.click();
        return !!element;
    }, [selector, at])) {
        expect(Date.now() < end, `there is no ${selector}`);
        await new Promise(done => setTimeout(done, 20));
    }
}
const search = (page, text) => page.evaluate(text => {
    const input = document.getElementById('search');
    input.value = text;
    input.dispatchEvent(new InputEvent('input', { bubbles: true }));
}, text);

await attempt(`${name}: a list: add, check, filter, search, remove`, async () => {
    const page = await open();
    await until(page, ' | all | 0 tasks left');
    await add(page, '  buy milk ', 'Call Åsa & <b>Ümit</b>', 'Buy bread');
    await until(page, 'buy milk,Call Åsa & <b>Ümit</b>,Buy bread | all | 3 tasks left');
    await page.evaluate(() => void (globalThis.row = document.querySelectorAll('main li')[2]));
    await press(page, 'li .text', 0);
    await press(page, 'li .text', 1);
    await until(page, 'buy milk*,Call Åsa & <b>Ümit</b>*,Buy bread | all | 1 task left');
    await press(page, 'li .text', 1);
    await press(page, '.bar button', 1);
    await until(page, 'Call Åsa & <b>Ümit</b>,Buy bread | open | 2 tasks left');
    await press(page, '.bar button', 2);
    await until(page, 'buy milk* | done | 2 tasks left');
    await press(page, '.bar button', 0);
    await search(page, 'bUy');
    await until(page, 'buy milk*,Buy bread | all | 2 tasks left');
    await search(page, 'ümit');
    await until(page, ' | all | 2 tasks left'); // letters of ASCII only are compared without their case
    await search(page, '');
    await until(page, 'buy milk*,Call Åsa & <b>Ümit</b>,Buy bread | all | 2 tasks left');
    await press(page, 'li .remove', 1);
    await until(page, 'buy milk*,Buy bread | all | 1 task left');
    const name = await page.evaluate(() => document.querySelectorAll('li .remove')[1].ariaLabel);
    await page.close();
    expect(name == 'Remove Buy bread', name);
});
await attempt(`${name}: rows that stay are the same elements, and a frame is one call however many events there were`, async () => {
    const page = await open();
    await add(page, 'a', 'b', 'c');
    await until(page, 'a,b,c | all | 3 tasks left');
    const r = await page.evaluate(async () => {
        const { page } = document.querySelector('main'), frame = () => new Promise(requestAnimationFrame), rows = [...document.querySelectorAll('main li')];
        for (let i = 0; i < 10; i++) await frame();
        const before = page.calls.flushes;
        for (let i = 0; i < 10; i++) await frame();
        const idle = page.calls.flushes - before;
        for (const row of rows) row.querySelector('.text').click();
        rows[1].querySelector('.remove').click();
        for (let i = 0; i < 5; i++) await frame();
        const left = [...document.querySelectorAll('main li')];
        return { idle, calls: page.calls.flushes - before, same: left.length == 2 && left[0] == rows[0] && left[1] == rows[2], types: [...page.types].sort().join() };
    });
    await until(page, 'a*,c* | all | 0 tasks left');
    await page.close();
    expect(r.idle == 0 && r.calls == 1 && r.same && r.types == 'click,input,submit', JSON.stringify(r));
    return `${r.calls} call for four events`;
});
await attempt(`${name}: what is no task, and one too many, are refused, and the form keeps what was typed`, async () => {
    const page = await open(), typed = () => page.evaluate(() => document.getElementById('new').value);
    await add(page, '   ');
    expect(await typed() == '   ', 'nothing is a task');
    await add(page, ...Array.from({ length: 100 }, (_, i) => `t${i}`));
    const shown = () => page.evaluate(() => getComputedStyle(document.querySelector('.full')).display == 'block');
    await page.waitForFunction(() => document.querySelector('.left').textContent == '100 tasks left');
    expect(await typed() == '' && !await shown(), 'a message too early');
    await add(page, 'one more');
    await page.waitForFunction(() => document.querySelector('.full').className.includes('on'));
    expect(await typed() == 'one more' && await shown() && await page.evaluate(() => document.querySelectorAll('main li').length) == 100, 'more than there is room for');
    await press(page, 'li .remove', 0);
    await page.waitForFunction(() => document.querySelectorAll('main li').length == 99);
    expect(!await shown(), 'the message stays');
    const wrong = await page.evaluate(() => {
        const { page } = document.querySelector('main');
        return [page.event(1, 1, 'x'.repeat(200)), page.event(1, 1, 'x'.repeat(5000)), page.event(2, 1, ''), page.event(63, 1, ''), page.event(5, 12345, '')].join();
    });
    await page.close();
    expect(wrong == '1,1,0,-9,-64', `events from nowhere return ${wrong}`);
});
await attempt(`${name}: everything with the keyboard; the focus stays in the list`, async () => {
    const page = await open(), { keyboard } = page, active = () => page.evaluate(() => document.activeElement.ariaLabel ?? document.activeElement.textContent);
    const typeText = async text => { for (const key of text) await keyboard.press(key); };
    await keyboard.press('Tab');
    for (const text of ['one', 'two', 'three']) {
        await typeText(text);
        await keyboard.press('Enter');
    }
    await until(page, 'one,two,three | all | 3 tasks left');
    for (let i = 0; i < 6; i++) await keyboard.press('Tab'); // Add, three filters, the search, the first task
    expect(await active() == 'one', await active());
    await keyboard.press('Space');
    await until(page, 'one*,two,three | all | 2 tasks left');
    expect(await active() == 'one', await active());
    await keyboard.press('Tab');
    await keyboard.press('Enter'); // Remove
    await until(page, 'two,three | all | 2 tasks left');
    const after = await active(), outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    await page.close();
    expect(after == 'two' && outline == 'solid', `the focus is on '${after}', ${outline}`);
});
for (const [look, options] of [['light', {}], ['dark', {}], ['phone', { viewport: { width: 360, height: 740 } }]]) {
    if (!existsSync(axe)) {
        skip(`${name}: ${look}`, 'axe-core is not there (make deps-all)');
        continue;
    }
    await attempt(`${name}: ${look}: axe-core finds nothing, and nothing is wider than the page`, async () => {
        const own = look == 'dark' ? await startBrowser(name, { dark: true }) : browser, page = await open(options, own);
        await add(page, 'Water the plants', 'Answer the letter that came on Monday', 'x'.repeat(60));
        await press(page, 'li .text', 0);
        await page.waitForFunction(() => document.querySelector('.left').textContent == '2 tasks left');
        const isDark = await page.evaluate(() => matchMedia('(prefers-color-scheme: dark)').matches);
        await page.evaluate(readFileSync(axe, 'utf8'));
        const { faults, rules } = await page.evaluate(async () => {
            const { violations, passes } = await axe.run();
            return { faults: violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`), rules: passes.length };
        });
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        if (screenshot) await page.screenshot({ path: screenshot.replace(/(\.\w+)$/, `-${look}$1`) });
        await page.close();
        if (own != browser) await own.close();
        expect(isDark == (look == 'dark'), 'another scheme of colours');
        expect(faults.length == 0 && rules > 15 && wide <= 0, `${faults.join('; ')} ${rules} rules, ${wide} too wide`);
        return `${rules} rules`;
    });
}
await attempt(`${name}: no page had an error`, async () => expect(troubles.length == 0, troubles.join('; ')));
await browser.close();
server.close();
server.closeAllConnections();
finish('todo');
