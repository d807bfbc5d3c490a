// Keeps the page itself for a start without network; the application keeps itself (page.js).
const KEPT = ['.', 'style.css', 'page.js', 'core.js', 'htip.js', 'teleport.js', 'dx-update.js', 'cache.js', 'manifest.js', 'error.js', 'state.json', 'dx-update.wasm', 'core.wasm', 'core-simd.wasm'];
self.addEventListener('install', event => event.waitUntil(caches.open('dx').then(cache => cache.addAll(KEPT)).then(() => self.skipWaiting())));
self.addEventListener('activate', event => event.waitUntil(self.clients.claim()));
self.addEventListener('fetch', event => {
    if (event.request.method != 'GET' || event.request.url.endsWith('app.dxs')) return;
    event.respondWith(fetch(event.request).then(response => {
        const copy = response.clone();
        if (response.ok) event.waitUntil(caches.open('dx').then(cache => cache.put(event.request, copy)));
        return response;
    }).catch(() => caches.match(event.request, { ignoreSearch: true }).then(kept => kept ?? Response.error())));
});
