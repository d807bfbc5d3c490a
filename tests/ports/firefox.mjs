// Firefox without a window, over WebDriver BiDi (Firefox speaks it itself): as much of playwright's interface as the tests here use.
//   const browser = await startFirefox(profileFolder), page = await browser.newPage();
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { once } from 'node:events';
const { ws: WebSocket } = createRequire(import.meta.url)('../../build/playwright/node_modules/playwright-core/lib/utilsBundle.js');

export const firefoxPath = ['/usr/bin/firefox-esr', '/usr/bin/firefox'].find(path => spawnSync(path, ['--version']).status == 0);

class Page {
    constructor(browser, context) {
        Object.assign(this, { browser, context, timeoutMs: 30000, heard: [] });
        this.keyboard = { press: key => this.press(key) };
    }
    setDefaultTimeout(ms) { this.timeoutMs = ms; }
    // pageerror: exceptions; console: what the page writes to it
    on(name, fn) { this.heard.push({ name, fn }); }
    goto(url) { return this.browser.ask('browsingContext.navigate', { context: this.context, url, wait: 'complete' }); }
    reload() { return this.browser.ask('browsingContext.reload', { context: this.context, wait: 'complete' }); }
    close() { return this.browser.ask('browsingContext.close', { context: this.context }); }
    addInitScript(fn) { return this.browser.ask('script.addPreloadScript', { functionDeclaration: `() => { (${fn})(); }`, contexts: [this.context] }); }
    // Text is a script. Otherwise a function; argument and result travel as JSON.
    async evaluate(fn, argument = null) {
        const target = { context: this.context };
        if (typeof fn == 'string') {
            const { type, exceptionDetails } = await this.browser.ask('script.evaluate', { expression: fn, awaitPromise: false, target });
            if (type != 'success') throw new Error(exceptionDetails.text);
            return;
        }
        return this.call(fn, argument);
    }
    async call(fn, argument) {
        const functionDeclaration = `async json => JSON.stringify(await (${fn})(JSON.parse(json)) ?? null)`;
        const { type, result, exceptionDetails } = await this.browser.ask('script.callFunction', { functionDeclaration, awaitPromise: true,
            target: { context: this.context }, arguments: [{ type: 'string', value: JSON.stringify(argument) }] });
        if (type != 'success') throw new Error(exceptionDetails.text);
        return JSON.parse(result.value);
    }
    // Across navigations: a document that goes away meanwhile is not an error.
    async waitForFunction(fn, argument = null) {
        let why = '';
        for (const end = Date.now() + this.timeoutMs; ; await new Promise(done => setTimeout(done, 50))) {
            try {
                if (await this.call(typeof fn == 'string' ? `() => !!(${fn})` : `async given => !!await (${fn})(given)`, argument)) return;
            } catch (error) {
                why = `, ${error.message}`;
            }
            if (Date.now() > end) throw new Error(`not within ${this.timeoutMs} ms: ${fn}${why}`);
        }
    }
    act(actions) { return this.browser.ask('input.performActions', { context: this.context, actions: [{ id: 'test', ...actions }] }); }
    async click(css) {
        const { nodes: [node] } = await this.browser.ask('browsingContext.locateNodes', { context: this.context, locator: { type: 'css', value: css } });
        if (!node) throw new Error(`no ${css}`);
        const origin = { type: 'element', element: { sharedId: node.sharedId } };
        await this.act({ type: 'pointer', actions: [{ type: 'pointerMove', x: 0, y: 0, origin }, { type: 'pointerDown', button: 0 }, { type: 'pointerUp', button: 0 }] });
    }
    async press(key) {
        const value = { Tab: '\ue004', Enter: '\ue007', Space: ' ' }[key] ?? (key.length == 1 ? key : null);
        if (!value) throw new Error(`no key ${key}`);
        await this.act({ type: 'key', actions: [{ type: 'keyDown', value }, { type: 'keyUp', value }] });
    }
}

class Browser {
    constructor(process, socket) {
        Object.assign(this, { process, socket, next: 1, waiting: new Map(), all: [] });
        socket.on('message', text => this.heard(JSON.parse(text)));
        socket.on('close', () => this.gone(new Error('Firefox is gone')));
    }
    heard({ id, type, result, error, message, method, params }) {
        if (id) {
            const { yes, no } = this.waiting.get(id);
            this.waiting.delete(id);
            return type == 'success' ? yes(result) : no(new Error(`${error}: ${message}`));
        }
        if (method != 'log.entryAdded') return;
        const said = params.type == 'console' ? ['console', { type: () => params.level, text: () => params.text }] : ['pageerror', new Error(params.text)];
        if (params.type != 'console' && (params.type != 'javascript' || params.level != 'error')) return;
        if (/^Firefox can.t establish a connection/.test(params.text)) return; // of a WebSocket, which the page hears of by an event
        for (const page of this.all)
            if (page.context == params.source.context) page.heard.forEach(({ name, fn }) => name == said[0] && fn(said[1]));
    }
    gone(error) {
        for (const { no } of this.waiting.values()) no(error);
        this.waiting.clear();
    }
    ask(method, params) {
        const id = this.next++;
        return new Promise((yes, no) => {
            this.waiting.set(id, { yes, no });
            this.socket.send(JSON.stringify({ id, method, params }));
        });
    }
    pages() { return this.all; }
    // alone: with cookies, IndexedDB and caches of its own
    async newPage({ viewport, alone = false } = {}) {
        const user = alone ? await this.ask('browser.createUserContext', {}) : {};
        const { context } = await this.ask('browsingContext.create', { type: 'tab', ...user }), page = new Page(this, context);
        if (viewport) await this.ask('browsingContext.setViewport', { context, viewport });
        this.all.push(page);
        return page;
    }
    async close() {
        const ended = this.process.exitCode === null ? once(this.process, 'exit') : null;
        await this.ask('browser.close', {}).catch(() => this.process.kill());
        await ended;
    }
}

// more: settings besides these
export async function startFirefox(profile, more = {}) {
    mkdirSync(profile, { recursive: true });
    // Nothing is fetched but what the tests ask for.
    const settings = { 'app.normandy.enabled': false, 'app.update.disabledForTesting': true, 'browser.safebrowsing.blockedURIs.enabled': false, 'browser.safebrowsing.downloads.enabled': false,
        'browser.safebrowsing.malware.enabled': false, 'browser.safebrowsing.phishing.enabled': false, 'browser.search.update': false, 'browser.shell.checkDefaultBrowser': false,
        'datareporting.policy.dataSubmissionEnabled': false, 'extensions.update.enabled': false, 'network.captive-portal-service.enabled': false, 'network.connectivity-service.enabled': false,
        'remote.prefs.recommended': true, 'services.settings.server': 'data:,', 'toolkit.telemetry.enabled': false, 'browser.aboutwelcome.enabled': false, ...more };
    writeFileSync(`${profile}/user.js`, Object.entries(settings).map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`).join(''));
    const child = spawn(firefoxPath, ['--headless', '--no-remote', '--profile', profile, '--remote-debugging-port', '0', 'about:blank'],
        { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, HOME: profile, MOZ_CRASHREPORTER_DISABLE: '1' } });
    // It does not outlive the test, whose output somebody may wait for.
    process.once('exit', () => child.kill('SIGKILL'));
    for (const name of ['SIGTERM', 'SIGINT']) process.once(name, () => process.exit(1));
    let said = '';
    const address = await new Promise((yes, no) => {
        child.on('exit', status => no(new Error(`Firefox ends with ${status}: ${said}`)));
        child.stderr.on('data', part => {
            const found = (said += part).match(/WebDriver BiDi listening on (ws:\/\/\S+)/);
            if (found) yes(found[1]);
        });
    });
    const socket = new WebSocket(`${address}/session`);
    await once(socket, 'open');
    const browser = new Browser(child, socket);
    await browser.ask('session.new', { capabilities: {} });
    await browser.ask('session.subscribe', { events: ['log.entryAdded'] });
    return browser;
}
