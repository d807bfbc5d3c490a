import type { Cache, CacheOptions } from './dx-update.js';
/** A cache in a directory, which is made. One process at a time has it: others get 'busy'. */
export function openCacheIn(directory: string, options?: Omit<CacheOptions, 'name' | 'indexedDB' | 'store'>): Promise<Cache>;
