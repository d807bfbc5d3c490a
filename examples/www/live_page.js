// The page of the live feed over WebSocket.
import { load } from './core.js';
import { followLive } from './live.js';

const $ = id => document.getElementById(id), bytesOf = n => n < 10000 ? `${n.toLocaleString('en')} bytes` : n < 1e6 ? `${(n / 1000).toFixed(1)} kB` : `${(n / 1e6).toFixed(1)} MB`;
const times = (n, one) => n == 1 ? `1 ${one}` : `${n.toLocaleString('en')} ${one}s`;
let received = 0, seen = 0;
globalThis.live = followLive($('rows'), await load(), { onState: ({ what, error, version, wholes, changes, bytes, connections }) => {
    document.body.dataset.version = version;
    $('version').textContent = version.toLocaleString('en');
    $('connections').textContent = times(connections, 'connection');
    $('changes').textContent = changes.toLocaleString('en');
    $('wholes').textContent = `all rows came ${wholes == 1 ? 'once' : `${wholes} times`}`;
    $('received').textContent = bytesOf(bytes);
    if (changes > seen) $('last').textContent = `${bytesOf(bytes - received)} since the version before`;
    received = bytes;
    seen = changes;
    $('state').textContent = what == 'away' ? `Not connected${error ? `: ${error.message}` : ''}. Trying again.` : what == 'failed' ? `A change could not be carried out: ${error.message}` : 'Connected.';
} });
$('cut').onclick = () => live.cut();
