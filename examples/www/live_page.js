// The page of the live feed over WebSocket.
import { load } from './core.js';
import { followLive } from './live.js';

const state = document.getElementById('state');
globalThis.live = followLive(document.getElementById('rows'), await load(), { onState: ({ what, error, version, wholes, changes, bytes }) => {
    document.body.dataset.version = version;
    state.textContent = what == 'away' ? `Not connected${error ? `: ${error.message}` : ''}. Trying again.` : what == 'failed' ? `A change could not be carried out: ${error.message}`
        : `Version ${version}: ${wholes} times everything, ${changes} times changes, ${bytes.toLocaleString('en')} bytes.`;
} });
