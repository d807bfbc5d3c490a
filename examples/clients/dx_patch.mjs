// Deltas of docs/formats/patch.md for JavaScript, without WebAssembly and packages: sections 1 and 3, codings plain and range.
//
//   const target = applyPatch(base, patch);   // Uint8Arrays; a PatchError says what is wrong, and then there is no target
//
// It is for what programs like dxdb send of their records: both hashes are checked, and a target above `most` bytes is refused.
// Not here (refused with ENOTSUP): blocks, flash, deltas of streams (section 6), and mixing (3.5), which level 1 and 2 do not use.

const HEADER = 128, ID = 312, FLAG = 325, RAW = 429, BYTE = 431, MAX64 = (1n << 64n) - 1n, HASH = 0x9e3779b97f4a7c15n;
const RATES = [32768, 26214, 18725, 14563, 11915, 10082, 8738, 7710, 6898, 6241, 5698, 5242, 4854, 4519, 4228, 3971,
  3744, 3542, 3360, 3196, 3048, 2912, 2788, 2674, 2500, 2300, 2100, 1900, 1700, 1500, 1300, 1150];

/** code is an error of section 1: "EBASE" if the patch is for another base. */
export class PatchError extends Error {
  constructor(code, text) {
    super(text);
    this.code = code;
  }
}
const check = (holds, code, text) => { if (!holds) throw new PatchError(code, text); };

// >>checksums
const CRC_TABLE = Uint32Array.from({length: 256}, (_, crc) => {
  for (let i = 0; i < 8; i++) crc = crc >>> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
  return crc >>> 0;
});
function crc32c(bytes) {
  let crc = -1;
  for (const byte of bytes) crc = crc >>> 8 ^ CRC_TABLE[(crc ^ byte) & 255];
  return ~crc >>> 0;
}

const IV = Uint32Array.of(0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19);
const ORDER = [[...Array(16).keys()]]; // of the words, in each round
for (let round = 1; round < 7; round++) ORDER.push([2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8].map((at) => ORDER[round - 1][at]));
const QUARTERS = [[0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15], [0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14]];
const START = 1, END = 2, PARENT = 4, ROOT = 8, state = new Uint32Array(16);
const turn = (x, by) => x >>> by | x << 32 - by;
function compress(chain, words, counter, size, flags) {
  state.set(chain);
  state.set(IV.subarray(0, 4), 8);
  state.set([counter, counter / 2 ** 32, size, flags], 12);
  for (const order of ORDER) {
    QUARTERS.forEach(([a, b, c, d], k) => {
      state[a] += state[b] + words[order[2 * k]];
      state[d] = turn(state[d] ^ state[a], 16);
      state[c] += state[d];
      state[b] = turn(state[b] ^ state[c], 12);
      state[a] += state[b] + words[order[2 * k + 1]];
      state[d] = turn(state[d] ^ state[a], 8);
      state[c] += state[d];
      state[b] = turn(state[b] ^ state[c], 7);
    });
  }
  return Uint32Array.from({length: 8}, (_, k) => state[k] ^ state[k + 8]);
}
const join8 = (left, right) => { const both = new Uint32Array(16); both.set(left); both.set(right, 8); return both; };
function hashChunk(bytes, number, root) {
  let chain = IV, at = 0;
  do {
    const block = new Uint8Array(64), size = Math.min(64, bytes.length - at), last = at + size === bytes.length, view = new DataView(block.buffer);
    block.set(bytes.subarray(at, at + size));
    const words = Uint32Array.from({length: 16}, (_, k) => view.getUint32(4 * k, true));
    chain = compress(chain, words, number, size, (at ? 0 : START) | (last ? END | root : 0));
    at += 64;
  } while (at < bytes.length);
  return chain;
}
function hashTree(bytes, number, root) {
  if (bytes.length <= 1024) return hashChunk(bytes, number, root);
  const left = 1024 * 2 ** Math.floor(Math.log2(Math.ceil(bytes.length / 1024) - 1)); // the largest power of two that leaves a rest
  const words = join8(hashTree(bytes.subarray(0, left), number, 0), hashTree(bytes.subarray(left), number + left / 1024, 0));
  return compress(IV, words, 0, 64, PARENT | root);
}
/** BLAKE3-256. @param {Uint8Array} bytes @returns {Uint8Array} 32 bytes */
export function blake3(bytes) {
  const out = new Uint8Array(32), view = new DataView(out.buffer);
  hashTree(bytes, 0, ROOT).forEach((word, k) => view.setUint32(4 * k, word, true));
  return out;
}

// >>streams: numbers are of type Number below 2^53, else BigInt
const size = (n) => (check(typeof n === "number", "EBOUNDS", "a size"), n);
const unzigzag = (n) => typeof n === "number" ? (n % 2 ? -(n + 1) / 2 : n / 2) : n & 1n ? -(n + 1n) / 2n : n / 2n;
const narrow = (big) => big < 2n ** 53n ? Number(big) : big;

class Plain {
  constructor(data, at) {
    Object.assign(this, {data, at});
  }
  next() {
    check(this.at < this.data.length, "ETRUNCATED", "the stream ends early");
    return this.data[this.at++];
  }
  number() {
    let v = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.next();
      v |= BigInt(byte & 127) << shift;
      check(shift < 70n && v <= MAX64, "ECORRUPT", "a varint");
      if (byte < 128) return narrow(v);
    }
  }
  end() { check(this.at === this.data.length, "ECORRUPT", "bytes after the end of the stream"); }
}

/** Section 3.1. */
class Range extends Plain {
  constructor(data, at) {
    super(data, at);
    this.range = 2 ** 32 - 1;
    this.code = 0;
    for (let i = 0; i < 4; i++) this.code = (this.code << 8 | this.next()) >>> 0;
    this.rows = new Map();
  }
  step(below, width) {
    this.code -= below;
    this.range = width;
    for (; this.range < 2 ** 24; this.range *= 256) this.code = (this.code << 8 | this.next()) >>> 0;
  }
  row(number) {
    const known = this.rows.get(number), flags = number >= FLAG && number < BYTE;
    if (known) return known;
    const row = {below: Uint16Array.from({length: 15}, (_, k) => flags ? k ? 65535 : 32768 : 4096 * (k + 1)), count: 0};
    this.rows.set(number, row);
    return row;
  }
  symbol(number) {
    const row = this.row(number), {below} = row, part = this.range >>> 15, at = Math.floor(this.code / part);
    let v = 0, low = 0, high = 0;
    for (; v < 15; v++, low = high) {
      high = (below[v] * 32704 >>> 16) + 4 * v + 4;
      if (high > at) break;
    }
    this.step(low * part, ((v < 15 ? high : 32768) - low) * part);
    const rate = RATES[row.count];
    for (let k = 0; k < 15; k++) below[k] = k < v ? below[k] - (below[k] * rate >>> 16) : below[k] + ((65535 - below[k]) * rate >>> 16);
    row.count = Math.min(row.count + 1, 31);
    return v;
  }
  coded(base) {
    const high = this.symbol(base);
    return high << 4 | this.symbol(base + 1 + high);
  }
  even(bits) {
    let v = 0n;
    for (let n; bits; bits -= n) {
      n = Math.min(bits, 8);
      const part = this.range >>> n, x = Math.min(Math.floor(this.code / part), (1 << n) - 1);
      this.step(x * part, part);
      v = v << BigInt(n) | BigInt(x);
    }
    return v;
  }
  number(which) {
    const base = 24 * which, first = this.symbol(base);
    if (!first) return 0;
    let lead = 3 - (first & 1), left = (first + 1 >> 1) - 1, row = base + first;
    if (first === 15) {
      const n = this.symbol(base + 15);
      left = n < 15 ? 8 + n : 23 + Number(this.even(6));
      check(left <= 63, "ECORRUPT", "a number");
      lead = 1;
      row = base + 16 + Math.min(left - 8, 7);
    }
    const n = Math.min(left, 3);
    if (n) lead = lead << n | this.symbol(row);
    return narrow((BigInt(lead) << BigInt(left - n) | this.even(left - n)) - 1n);
  }
}

// >>predictors: section 3.4. Words and addresses are BigInt.
const LAYOUTS = { // the first bit and the length of each part from the lowest on; bits of the offset
  bl: [[[16, 11], [0, 10], [27, 1], [29, 1], [10, 1], [11, 5], [28, 1], [30, 2]], 24], jal: [[[21, 10], [20, 1], [12, 8], [31, 1], [0, 12]], 20],
  adrp: [[[29, 2], [5, 19], [0, 5], [24, 5], [31, 1]], 21], add: [[[10, 12], [0, 10], [22, 10]], 12], b: [[[0, 32]], 26]};
const mask = (bits) => (1n << BigInt(bits)) - 1n;
const signed = (v, bits) => BigInt.asIntN(bits, v);
const invert = (layout, v) => layout === "bl" && !(v >> 23n & 1n) ? v ^ 0x600000n : v;
function gather(layout, w) {
  let v = 0n, at = 0n;
  for (const [first, length] of LAYOUTS[layout][0]) {
    v |= (w >> BigInt(first) & mask(length)) << at;
    at += BigInt(length);
  }
  return invert(layout, v);
}
function scatter(layout, v) {
  let w = 0n;
  v = invert(layout, v);
  for (const [first, length] of LAYOUTS[layout][0]) {
    w |= (v & mask(length)) << BigInt(first);
    v >>= BigInt(length);
  }
  return w;
}
const field = (bytes, address, predict, scale = 0n, store = (v) => v) => ({size: bytes, address: address & MAX64, predict, scale, store});

class Delta {
  constructor(base, targetSize, coding, memory, body) {
    const [bits, layout, region, history, groups] = body;
    check(body.length >= 5, "ETRUNCATED", "the parameters");
    check((bits & 15) <= 8 && bits >> 6 <= 1 && (layout === 34 || layout === 35) && region <= 32, "EVERSION", "the parameters");
    check(history === 0 ? groups === 0 : history >= 8 && history <= 28 && groups >= 5 && groups <= 28, "EVERSION", "the parameters");
    check(coding || !bits && layout === 34 && !region && !history, "EVERSION", "the parameters");
    check(!history, "ENOTSUP", "mixing");
    this.wrongBits = bits >> 4 & 3;
    this.literalShift = 8 - (bits & 15);
    this.region = BigInt(region);
    this.hasMap = layout === 35;
    this.spare = memory - 2164 - 32 * (431 + (17 << (bits & 15)) + (17 << this.wrongBits)) - 4096 * this.hasMap;
    check(this.spare >= 0, "EHEADER", "the size of the memory");
    this.base = base;
    this.out = new Uint8Array(targetSize);
    this.stream = coding ? new Range(body, 5) : new Plain(body, 5);
    this.plain = !coding;
    this.made = this.oldEnd = this.newEnd = this.raw = this.id = this.flags = this.lastRun = this.lastWrong = 0;
    this.corrections = new BigUint64Array(1025);
    this.matches = [];
  }
  make() {
    const {stream, out} = this;
    if (this.hasMap) {
      const count = size(stream.number(0));
      check(20 * count <= this.spare, "EHEADER", "the size of the memory");
      this.readSegments();
      for (let k = 0; k < count; k++) this.matches.push(this.readMatch(size(stream.number(1))));
      this.indexMatches();
      for (const match of this.matches) this.copy(match);
    } else {
      while (this.made < out.length) {
        const gap = size(stream.number(1));
        if (gap === out.length - this.made) break;
        this.copy(this.readMatch(gap));
      }
    }
    this.putLiterals(out.length);
    stream.end();
    return out;
  }
  readSegments() {
    let last = new Array(34).fill(0n);
    this.segments = [];
    this.origins = [];
    for (let side = 0; side < 2; side++) {
      const all = new Array(34).fill(0n);
      for (let at = 0; at < 2 + 4 * Number(all[0]); at++) {
        all[at] = last[at] + BigInt(unzigzag(this.stream.number(0))) & MAX64;
        check(all[0] <= 8n, "EBOUNDS", "segments");
      }
      this.origins.push(all[1]);
      this.segments.push(Array.from({length: Number(all[0])}, (_, k) => all.slice(2 + 4 * k, 6 + 4 * k)));
      last = all;
    }
  }
  readMatch(gap) {
    const length = size(this.stream.number(2)) + 1, from = this.oldEnd + gap + size(unzigzag(this.stream.number(3))), to = this.newEnd + gap;
    check(from >= 0 && from <= this.base.length - length && to <= this.out.length - length, "EBOUNDS", "a match leaves its file");
    this.oldEnd = from + length;
    this.newEnd = to + length;
    return {to, from, length};
  }
  /** By where they start in the base; furthest: of those up to each one, the one that ends last. */
  indexMatches() {
    this.byBase = this.matches.map((match, k) => ({...match, k})).sort((a, b) => a.from - b.from || a.k - b.k);
    this.furthest = [];
    for (const match of this.byBase) {
      const last = this.furthest.at(-1);
      this.furthest.push(!last || match.from + match.length > last.from + last.length ? match : last);
    }
  }
  putLiterals(end) {
    const {stream, out} = this, begin = this.made;
    for (; this.made < end; this.made++) {
      if (this.plain) {
        out[this.made] = stream.next();
        continue;
      }
      if ((this.made - begin) % 1024 === 0) this.raw = stream.symbol(RAW + this.raw) & 1;
      const before = this.made ? out[this.made - 1] : 0;
      out[this.made] = this.raw ? Number(stream.even(8)) : stream.coded(BYTE + 17 * ((1 << this.wrongBits) + (before >> this.literalShift)));
    }
  }
  copy(match) {
    const {from, to, length} = match, {base, out, stream} = this;
    this.putLiterals(to);
    for (let done = 0, which = 4; !this.plain && done < length; which = 5) {
      const equal = size(stream.number(which));
      check(equal <= Math.ceil((length - done) / 1024), "EBOUNDS", "more equal blocks than there are");
      const end = Math.min(done + equal * 1024, length);
      out.set(base.subarray(from + done, from + end), to + done);
      done = end < length ? this.block(match, end, Math.min(end + 1024, length)) : end;
    }
    if (this.plain) out.set(base.subarray(from, from + length), to);
    this.made = to + length;
  }
  /** A block with changes, from start to end of its match. Where it ended. */
  block({from, to, length}, start, end) {
    const {stream, base, out} = this, id = this.id = stream.symbol(ID + this.id), limit = Math.min(end + 8, length);
    check(id <= 12 && (this.hasMap || !id), "EVERSION", "a predictor");
    out.set(base.subarray(from + start, from + limit), to + start);
    if (id) end = this.predict(id, {from, to}, start, end, limit);
    for (let at = start; at < end;) {
      const run = size(stream.number(this.lastRun === 0 ? 6 : this.lastRun < 8 ? 7 : 8));
      const context = (this.lastRun = run ? run - 1 : 8) === 0;
      if (!run) break;
      at += run - 1;
      check(at < end, "ECORRUPT", "a run leaves its block");
      const last = this.lastWrong, all = context | 2 * [0, 1, 255].includes(last) | 4 * (last >= 128);
      this.lastWrong = stream.coded(BYTE + 17 * (all & (1 << this.wrongBits) - 1));
      out[to + at] += this.lastWrong;
      at++;
    }
    return end;
  }
  predict(id, {from, to}, start, end, limit) {
    const {out, corrections} = this, move = [this.bias(0, from + start), this.bias(1, to + start)];
    let free = Math.max(from + start - 2, 0);
    this.window = [from + start, from + limit];
    for (let i = start; i < end;) {
      const found = this.field(id, from + i, BigInt(from + i) + move[0] & MAX64, BigInt(to + i) + move[1] & MAX64, free);
      const place = found && i + found.size <= limit ? id < 10 ? this.mapped(found.address) : {at: 0n, sure: 0} : null;
      if (!place) {
        i++;
        continue;
      }
      const slot = found.slot ?? Number(((found.address >> this.region) * HASH & MAX64) >> 54n), bits = mask(8 * found.size);
      let value = found.predict(place.at + signed(corrections[slot], 32) & MAX64) & bits;
      const wrong = this.stream.symbol(FLAG + (id * 2 + place.sure) * 4 + this.flags);
      check(wrong < 2, "ECORRUPT", "a flag");
      this.flags = (this.flags << 1 | wrong) & 3;
      if (wrong) {
        const n = BigInt(this.stream.number(id === 1 ? 9 : id === 2 ? 10 : id > 10 ? 12 : 11)) + 1n, error = BigInt(unzigzag(n));
        value = value + error & bits;
        if (id < 11) corrections[slot] = corrections[slot] + (error << found.scale) & mask(32);
      }
      value = found.store(value);
      for (let k = 0; k < found.size; k++) out[to + i + k] = Number(value >> BigInt(8 * k) & 255n);
      i += found.size;
      free = from + i;
      end = Math.max(end, i);
    }
    return end;
  }
  byte(at) { return this.base[at] ?? 0; }
  word(at, bytes = 4) {
    let v = 0n;
    for (let k = bytes; k--;) v = v << 8n | BigInt(this.byte(at + k));
    return v;
  }
  address(side, offset) {
    for (const [place, address, inFile] of this.segments[side]) if ((offset - place & MAX64) < inFile) return address + offset - place & MAX64;
    return offset & MAX64;
  }
  bias(side, offset) { return this.hasMap ? this.address(side, BigInt(offset)) - BigInt(offset) & MAX64 : 0n; }
  /** Where an address went. */
  mapped(a) {
    for (const [k, [place, address, inFile, inMemory]] of this.segments[0].entries()) {
      const e = a - address & MAX64, other = this.segments[1][k];
      if (e >= inMemory) continue;
      if (e >= inFile) return {at: other ? other[1] + other[2] + e - inFile : a, sure: 0};
      const offset = place + e & MAX64;
      if (!this.matches.length) return {at: this.address(1, offset), sure: 0};
      let low = 0, high = this.byBase.length; // how many start at or before it
      while (low < high) {
        const middle = low + high >> 1;
        if (BigInt(this.byBase[middle].from) <= offset) low = middle + 1;
        else high = middle;
      }
      const match = this.furthest[Math.max(low - 1, 0)], inside = offset - BigInt(match.from);
      return {at: this.address(1, offset + BigInt(match.to - match.from) & MAX64), sure: Number(inside >= 0n && inside < BigInt(match.length))};
    }
    return null;
  }
  /** The field at an offset of the base, whose address is here, and there in the target; or nothing. */
  field(id, o, here, there, free) {
    const behind = o - free, b = this.byte(o - 1);
    if (id > 10) return o % (id === 11 ? 4 : 8) ? null : {...field(id === 11 ? 4 : 8, 0n, () => this.word(o, id === 11 ? 4 : 8)), slot: 1024};
    if (id === 10) return this.leb(o, behind, b);
    if (id !== 1 && id !== 6 && o % 2) return null;
    if ([2, 3, 4, 5, 8].includes(id) && o % 4) return null;
    const v = this.word(o), d = signed(v, 32), isFar = d < -65536n || d > 65535n;
    const relative = (address, scale, layout, against) => {
      const number = gather(layout, v), width = BigInt(LAYOUTS[layout][1]);
      return field(4, address, (m) => number >> width << width | (m - against & MAX64) >> scale & mask(width), scale, (n) => scatter(layout, n));
    };
    if (id === 1 || id === 6) {
      const near = behind >= 1 && (b === 0xe8 || b === 0xe9) || behind >= 2 && (b & 0xf0) === 0x80 && this.byte(o - 2) === 0x0f;
      if (near || id === 1 && behind >= 2 && (b & 0xc7) === 5) return field(4, here + 4n + d, (m) => m - there - 4n);
      return id === 6 && isFar ? field(4, v, (m) => m) : null;
    }
    if (id === 2) return o % 8 === 0 && this.word(o, 8) >= 256n ? field(8, this.word(o, 8), (m) => m) : null;
    if (id === 3) return isFar ? field(4, here + d, (m) => m - there) : null;
    if (id === 4) return field(4, this.origins[0] + d, (m) => m - this.origins[1]);
    if (id === 7 && (v & 0xf800n) === 0xf000n && [9n, 13n].includes(v >> 28n & 13n))
      return relative(here + 4n + 2n * signed(gather("bl", v), 24), 1n, "bl", there + 4n);
    if (id === 5 || id === 7) return o % 4 === 0 && v >= 256n ? field(4, v, (m) => m) : null;
    return id === 8 ? this.aarch64(o, here, there, v, relative) : this.riscV(o, here, there, v, relative);
  }
  aarch64(o, here, there, v, relative) {
    const adds = (w) => (w & 0xffc00000n) === 0x91000000n || (w & 0x3b000000n) === 0x39000000n, scaleOf = (w) => w >> 27n & 1n ? w >> 30n : 0n;
    const page = (address, w) => (address & ~4095n) + (signed(gather("adrp", w), 21) << 12n), isAdrp = (w) => (w & 0x9f000000n) === 0x90000000n;
    if ((v & 0x7c000000n) === 0x14000000n) return relative(here + 4n * signed(v, 26), 2n, "b", there);
    for (let at = o + 4; isAdrp(v) && at <= Math.min(o + 16, this.window[1] - 4); at += 4) {
      const other = this.word(at);
      if (adds(other) && (other >> 5n & 31n) === (v & 31n)) return relative(page(here, v) + ((other >> 10n & 4095n) << scaleOf(other)), 12n, "adrp", there & ~4095n);
    }
    for (let at = o - 4; adds(v) && at >= Math.max(o - 16, this.window[0]); at -= 4) {
      const other = this.word(at), number = gather("add", v), scale = scaleOf(v);
      if (isAdrp(other) && (other & 31n) === (v >> 5n & 31n))
        return field(4, page(here - BigInt(o - at), other) + ((v >> 10n & 4095n) << scale),
          (m) => number >> 12n - scale << 12n - scale | (m & 4095n) >> scale, scale, (n) => scatter("add", n));
    }
    return null;
  }
  riscV(o, here, there, v, relative) {
    if ((v & 0xf7fn) === 0x6fn) return relative(here + 2n * signed(gather("jal", v), 20), 1n, "jal", there);
    const exchange = (w) => (w & 0x7bn) === 0x23n ? w & 0xfe0ff07fn | (w >> 20n & 31n) << 7n | (w >> 7n & 31n) << 20n : w;
    let second = this.word(o + 4);
    if ((v & 0x7fn) !== 0x17n || (second >> 15n & 31n) !== (v >> 7n & 31n) || o + 8 > this.window[1]) return null;
    if (![0x13n, 0x67n, 0x03n, 0x07n, 0x23n, 0x27n].includes(second & 0x7fn)) return null;
    second = exchange(second);
    const low = (v & 0xfffff000n) + signed(second >> 20n, 12) & mask(32), rest = v & 0xfffn | (second & 0xfffffn) << 12n;
    const store = (n) => {
      const w = n & mask(32), top = n >> 32n;
      return w + 0x800n & 0xfffff000n | top & 0xfffn | exchange(top >> 12n | (w & 0xfffn) << 20n) << 32n;
    };
    return field(8, here + signed(low, 32), (m) => rest << 32n | m - there & mask(32), 0n, store);
  }
  leb(o, behind, opcode) {
    let n = 0;
    if (behind < 1 || ![0x10, 0x23, 0x24, 0x41].includes(opcode)) return null;
    while (n < 5 && o + n < this.window[1] && this.byte(o + n) >= 128) n++;
    if (++n > 5 || o + n > this.window[1] || n === 1 && opcode !== 0x10) return null;
    let number = 0n, top = 0n;
    for (let k = 0; k < n; k++) {
      number |= BigInt(this.byte(o + k) & 127) << BigInt(7 * k);
      top |= BigInt(this.byte(o + k) >> 7) << BigInt(7 * n + k);
    }
    const store = (v) => {
      let out = 0n;
      for (let k = 0; k < n; k++) out |= (v >> BigInt(7 * k) & 127n | (v >> BigInt(7 * n + k) & 1n) << 7n) << BigInt(8 * k);
      return out;
    };
    const key = (number | top) & mask(35) | BigInt(opcode) << (opcode === 0x10 ? 33n : 40n);
    return {...field(n, 0n, (m) => number + m & mask(7 * n) | top, 0n, store), slot: Number(((key >> this.region) * HASH & MAX64) >> 54n)};
  }
}

/** The target of a patch. @param {Uint8Array} base @param {Uint8Array} patch @param {{most?: number}} [limits] @returns {Uint8Array} */
export function applyPatch(base, patch, {most = 1 << 26} = {}) {
  check(patch.length >= HEADER, "EHEADER", "it is shorter than a header");
  const view = new DataView(patch.buffer, patch.byteOffset, patch.length), sizeAt = (at) => narrow(view.getBigUint64(at, true));
  check(view.getUint32(0) === 0x44585031 && view.getUint32(124, true) === crc32c(patch.subarray(0, 124)), "EHEADER", "this is not a patch");
  const [version, kind, hashKind, coding] = patch.subarray(4, 8), [baseSize, targetSize, bodySize, memory] = [8, 16, 24, 40].map(sizeAt);
  const trailer = view.getUint32(116, true);
  check(kind === 2 && coding < 2, "ENOTSUP", "not a delta, or of streams");
  check(version === 3 && hashKind === 1 && !view.getUint32(36, true) && !view.getUint32(120, true), "EVERSION", "of another version");
  check([baseSize, targetSize, bodySize, memory].every((n) => typeof n === "number") && !view.getUint32(32, true) && memory >= 17044, "EHEADER", "a size");
  check(targetSize <= most, "ETOOBIG", `the target has ${targetSize} bytes`);
  check(patch.length >= HEADER + bodySize + trailer, "ETRUNCATED", "the patch ends early");
  check(patch.length === HEADER + bodySize + trailer, "ECORRUPT", "bytes follow the patch");
  const body = patch.subarray(HEADER, HEADER + bodySize), same = (bytes, at) => blake3(bytes).every((byte, k) => byte === patch[at + k]);
  check(view.getUint32(112, true) === crc32c(body), "ECORRUPT", "the body is damaged");
  check(base.length === baseSize && same(base, 48), "EBASE", "it is for another base");
  const target = new Delta(base, targetSize, coding, memory, body).make();
  check(same(target, 80), "ETARGET", "the result is another one than it was made for");
  return target;
}
