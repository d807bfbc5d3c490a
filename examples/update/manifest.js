// Signed manifests: which content is the current one of a URL. Two lines, the second signs the bytes of the first:
//   {"format":"dx-update-1","name":"app.dxs","sequence":7,"size":260123,"blake3":"64 digits","expires":"2027-01-31T00:00:00Z"}
//   Ed25519 signature in base64
import { UpdateError } from './error.js';

const FORMAT = 'dx-update-1';
const bad = text => new UpdateError('bad-manifest', `manifest: ${text}`);

function fromBase64(text, size, what) {
    let bytes = null;
    try {
        bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
    } catch {} // not base64: refused below
    if (bytes?.length != size) throw what(`${size} bytes in base64 are wanted`);
    return bytes;
}

async function isSigned(key, message, signature, trust) {
    if (trust.verify) return await trust.verify(key, message, signature) === true;
    const { subtle } = globalThis.crypto ?? {};
    const none = text => new UpdateError('no-ed25519', `${text}: give trust.verify a function (README.md)`);
    if (!subtle) throw none('WebCrypto is for secure contexts only (https, localhost)');
    let imported;
    try {
        imported = await subtle.importKey('raw', key, 'Ed25519', false, ['verify']);
    } catch (error) {
        if (error.name == 'NotSupportedError') throw none('this WebCrypto has no Ed25519');
        throw new UpdateError('options', `trust.keys: not a public key: ${error.message}`);
    }
    return subtle.verify('Ed25519', imported, signature, message);
}

function decoded(text) {
    try {
        return decodeURIComponent(text);
    } catch {
        return text; // not of UTF-8: it is compared as it stands
    }
}

// Where the manifest of a URL is, the name in it, and the series that its sequence belongs to: app.dxs and app.dxs?x share one.
export function placeOf(url, trust = {}) {
    let at = new URL(url);
    at.pathname += '.manifest';
    try {
        if (trust.manifest) at = new URL(trust.manifest, url);
    } catch {
        throw new UpdateError('options', `trust.manifest: ${trust.manifest} is not an address`);
    }
    const name = trust.name ?? decoded(url.pathname.split('/').pop()).replace(/@\d+$/, '');
    return { at, name, series: `${trust.manifest ? at.href : at.origin + decoded(at.pathname)} ${name}` };
}

const isCount = n => Number.isSafeInteger(n) && n >= 0;

// A manifest of this name for this URL, checked, or an error. The caller looks at `expired`: the date, if it has passed.
export async function readManifest(bytes, url, name, trust) {
    const end = bytes.indexOf(10), text = new TextDecoder();
    if (end < 0) throw bad('it does not have two lines');
    const message = bytes.slice(0, end);
    const signature = fromBase64(text.decode(bytes.subarray(end + 1)).trim(), 64, why => bad(`its signature: ${why}`));
    let signed = false;
    for (const key of trust.keys) {
        const raw = typeof key == 'string' ? fromBase64(key, 32, why => new UpdateError('options', `trust.keys: ${why}`)) : key;
        signed ||= await isSigned(raw, message, signature, trust);
    }
    if (!signed) throw new UpdateError('bad-signature', 'the manifest is not signed by a key of trust.keys');
    let m = null;
    try {
        m = JSON.parse(text.decode(message));
    } catch {} // refused below
    if (m?.format !== FORMAT) throw bad(`its format is not ${FORMAT}`);
    if (m.name !== name) throw bad(`it is about '${m.name}', not '${name}'`);
    if (!isCount(m.sequence) || !isCount(m.size)) throw bad('sequence and size must be whole numbers');
    if (!/^[0-9a-f]{64}$/.test(m.blake3)) throw bad('blake3 must be 64 hexadecimal digits');
    if (m.expires !== undefined && !(typeof m.expires == 'string' && Date.parse(m.expires) > 0)) throw bad('expires must be a date');
    const expired = Date.parse(m.expires) <= (trust.now ?? Date.now)() ? m.expires : null;
    let path = url;
    try {
        if (m.path !== undefined) path = typeof m.path == 'string' && new URL(m.path, url);
    } catch {
        path = false;
    }
    if (!path) throw bad('path is not an address');
    if (path.origin != url.origin || path.username || path.password) throw bad('path leads to another origin');
    return { sequence: m.sequence, size: m.size, blake3: m.blake3, expired, path, bytes: bytes.slice() };
}
