// A service worker that gives any site delta updates. In a page: navigator.serviceWorker.register('worker.js', { type: 'module' })
// worker.js?under=/app/,/data/ takes those paths only. Put it where the site's paths begin.
import { answer, openCache, takes } from './dx-update.js';

const under = new URL(location).searchParams.get('under')?.split(',') ?? ['/'];
const cache = openCache();
self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', event => event.waitUntil(self.clients.claim()));
self.addEventListener('fetch', event => {
    if (takes(event.request) && under.some(path => new URL(event.request.url).pathname.startsWith(path)))
        event.respondWith(answer(event.request, { cache }));
});
