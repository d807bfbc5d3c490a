/** How an update went. */
export type How =
    | 'full' // everything travelled
    | 'patch' // a patch travelled
    | 'unchanged' // the server, or the manifest, says that what is kept is current
    | 'repaired' // what was kept, or a patch, was damaged: everything travelled
    | 'fresh' // within its lifetime, nobody was asked (ask: 'stale')
    | 'offline'; // no answer, or half of one: the last good version; error says why

export type ErrorCode =
    | 'url' | 'options' | 'core' | 'memory' | 'cache' | 'busy' // on this side
    | 'network' | 'timeout' | 'unavailable' | 'status' | 'too-big' | 'aborted' // of the answer
    | 'damaged' | 'chunks' | 'patch' // of its content
    | 'bad-manifest' | 'bad-signature' | 'not-signed' | 'expired' | 'rollback' | 'no-ed25519'; // of its signature

export class UpdateError extends Error {
    code: ErrorCode;
    /** The last good version, if there is one that may be used. */
    have: Entry | null;
    /** With 'status' and 'unavailable': what the server said, its body unread. */
    response?: Response;
}

/** A chunk of docs/formats/chunks.md: 1 Header, 2 Layout, 3 State, 4 Wasm, 5 Patch. */
export interface Chunk {
    type: number;
    bytes: Uint8Array;
}

export interface Trust {
    /** Ed25519 public keys, 32 bytes each, or those in base64; a manifest signed by any of them counts. */
    keys: (string | Uint8Array)[];
    /** Where the manifest is; default: the URL with `.manifest` behind its path, before its query. */
    manifest?: string;
    /** The name that it must have; default: the last part of the URL's path, without @VERSION. */
    name?: string;
    /** Takes the place of WebCrypto, where that has no Ed25519. */
    verify?(key: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean | Promise<boolean>;
    /** Without network, use what is kept although its manifest has expired; default false: 'expired'. */
    offlineExpired?: boolean;
    /** Milliseconds since 1970, for `expires`; default: Date.now. */
    now?(): number;
}

export interface UpdateOptions {
    /** Called with each chunk as it is complete; a Header (type 1) begins anew. With trust: after the content was verified. */
    onChunk?(chunk: Chunk): void;
    /** Use only what a signed manifest names. */
    trust?: Trust;
    /** 'always' (default), or 'stale': only when the lifetime of what is kept has passed. */
    ask?: 'always' | 'stale';
    /** What a 5xx is when a version is kept: 'offline' (default), which gives that version, or 'error'. */
    on5xx?: 'offline' | 'error';
    /** Header of the requests for the file; default: any type. The cache keeps one version for each URL. */
    accept?: string | null;
    /** Lifetime of what this update keeps; default: that of the cache. */
    ttlMs?: number;
    cache?: Cache;
    signal?: AbortSignal;
    /** Bytes of a body; default 64 MiB. */
    sizeMax?: number;
    /** Time without a byte from the server; default 30,000. */
    idleMs?: number;
    /** Time for everything, the cache too; default 600,000. */
    totalMs?: number;
    /** Of fetch(), for requests without a base; default 'no-store'. */
    mode?: RequestCache;
    redirect?: RequestRedirect;
}

export interface Entry {
    bytes: Uint8Array;
    /** BLAKE3-256 as 64 digits. */
    hash: string;
    etag: string | null;
    headers: Record<string, string>;
}

export interface Result extends Entry {
    how: How;
    /** Bytes of bodies of the file and its patches. */
    travelled: number;
    kept: boolean;
    /** With 'offline': what went wrong. */
    error?: UpdateError;
    /** The cache could not be used. */
    cacheError?: Error;
}

export function update(url: string | URL, options?: UpdateOptions): Promise<Result>;
export function hashOf(bytes: Uint8Array): Promise<string>;

export interface CacheOptions {
    /** Of the database; default 'dx-update'. */
    name?: string;
    /** Default: the browser's; a storage bucket has its own. */
    indexedDB?: IDBFactory;
    /** Default 50 MiB: contents, addresses, headers and manifests. */
    bytesMax?: number;
    /** Default 100. */
    entriesMax?: number;
    /** Default 7 days. */
    ttlMs?: number;
    /** Default false: expired entries stay, as stale, while there is room. */
    dropExpired?: boolean;
    now?(): number;
    /** In place of IndexedDB: memoryStore(), or one of your own. */
    store?: Store;
}

export interface Stats {
    entries: number;
    bytes: number;
    hits: number;
    stale: number;
    misses: number;
    puts: number;
    patches: number;
    renewals: number;
    /** Bytes that patches and renewals did not transfer. */
    savedBytes: number;
    evicted: number;
    removed: number;
    outdated: number;
    /** Records, of an entry or of the counts. */
    damaged: number;
    /** Not kept: above the quota, or the device is full. */
    refused: number;
}

export interface Kept {
    key: string;
    size: number;
    hash: string;
    time: number;
    expires: number;
    hits: number;
}

export class Cache {
    get(key: string, hash?: (bytes: Uint8Array) => string): Promise<{ entry?: Entry & { fresh: boolean; expires: number; time: number }; damaged?: boolean }>;
    put(key: string, entry: { bytes: Uint8Array; hash: string; etag?: string | null; headers?: Record<string, string> }, options?: { ttlMs?: number; patchSize?: number }): Promise<boolean>;
    remove(key: string): Promise<boolean>;
    clear(): Promise<void>;
    stats(): Promise<Stats>;
    /** Least recently used first. */
    list(): Promise<Kept[]>;
    close(): Promise<void>;
}

export interface Store {
    change<T>(what: (transaction: unknown) => Promise<T>): Promise<T>;
    close(): Promise<void>;
}
export function openCache(options?: CacheOptions): Cache;
export function memoryStore(): Store;

/** For a service worker: is this a request that answer() is for? */
export function takes(request: Request): boolean;
export function answer(request: Request, options?: UpdateOptions): Promise<Response>;
