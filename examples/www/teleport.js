// Records of dx_teleport.h in JavaScript, driven by the schema that dx_dump_schema() (layers/dx_dump.h) writes.
//
//   const User = teleport(await (await fetch('user.json')).json());
//   const user = User(bytes);              // a Uint8Array; throws unless it holds a user
//   user.id, user.name, user.items[3].sku  // read when asked for
//   User(bytes, 1)                         // bare: no header, version 1
//
// u64 and i64 are BigInt, lists and arrays Array; a field that the record lacks is undefined, an unset optional one null.
// Opening checks all bytes once and throws the error that dx_teleport.h gives, so later reads need no
// checks. If others can write to the bytes, pass a copy.
const scalars = [
    ,
    (d, o) => d.getUint8(o),
    (d, o) => d.getUint16(o, true),
    (d, o) => d.getUint32(o, true),
    (d, o) => d.getBigUint64(o, true),
    (d, o) => d.getInt8(o),
    (d, o) => d.getInt16(o, true),
    (d, o) => d.getInt32(o, true),
    (d, o) => d.getBigInt64(o, true),
    (d, o) => d.getFloat32(o, true),
    (d, o) => d.getFloat64(o, true),
    (d, o) => !!d.getUint8(o),
];
const u32 = scalars[3];
const sizes = [, 1, 2, 4, 8, 1, 2, 4, 8, 4, 8, 1];
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const fail = why => {
    throw new RangeError('teleport: ' + why);
};
const zeros = (d, from, to) => {
    while (from < to) if (d.getUint8(from++)) fail('EPADDING');
};
const bools = (d, at, n) => {
    while (n--) if (d.getUint8(at++) > 1) fail('EBOOL');
};
const up = (n, unit) => Math.ceil(n / unit) * unit;
// CRC-32C of the first n bytes.
const crc = (d, n) => {
    let sum = -1;
    for (let i = 0; i < n; i++) {
        sum ^= d.getUint8(i);
        for (let k = 0; k < 8; k++) sum = (sum >>> 1) ^ (sum & 1 && 0x82f63b78);
    }
    return ~sum >>> 0;
};
const many = (d, at, n, size, read) => {
    const all = new Array(n);
    for (let i = 0; i < n; i++, at += size) all[i] = read(d, at);
    return all;
};
// Short ASCII is quicker without the decoder.
const text = (d, o) => {
    const at = u32(d, o), n = u32(d, o + 4);
    if (n < 32) {
        const all = new Array(n);
        let bits = 0;
        for (let i = 0; i < n; i++) bits |= all[i] = d.getUint8(at + i);
        if (bits < 128) return String.fromCharCode(...all);
    }
    return utf8.decode(new Uint8Array(d.buffer, d.byteOffset + at, n));
};

// What the fields of a type are made of; bytes of its record in version v; and a function that checks
// such a record at o. s holds the bytes d, where references end (size), where the last one that was
// checked ends (end), and whether the data is no newer than the type is (exact).
function plan(type) {
    const newest = type.layouts.length;
    const fields = type.fields.map(f => {
        const kind = f.code >> 4, code = f.code & 15, list = kind == 2 || kind == 4 || kind == 6;
        const inner = f.type && plan(f.type);
        const size = inner ? f.type.size : sizes[code] || 1;
        const align = inner ? f.type.align : size;
        const width = list ? 8 : kind == 3 ? f.count * size : kind == 7 ? 2 * size : size;
        return { ...f, kind, code, list, inner, size, align, width };
    });
    const extent = v => {
        let end = 0, most = 1;
        for (const f of fields) {
            if (f.since > v) break;
            end = f.offset + f.width;
            most = Math.max(most, f.list ? 4 : f.align);
        }
        return up(end, most);
    };
    const check = (s, o, v) => {
        const d = s.d;
        let gap = o;
        for (const { kind, code, list, inner, size, align, width, offset, since, count, range } of fields) {
            if (since > v) break;
            let at = o + offset, n = kind == 3 ? count : 1;
            zeros(d, gap, at);
            gap = at + width;
            if (list) {
                n = u32(d, at + 4);
                at = u32(d, at);
                const next = up(s.end, align);
                if (!n ? at : s.exact ? at != next : at < next || at % align) fail('EREF');
                if (at > s.size || n * size > s.size - at) fail('EREF');
                if (!n) continue;
                if (s.exact) zeros(d, s.end, at);
                s.end = at + n * size;
                if (kind == 2) {
                    let bits = 0;
                    for (let i = at; i < s.end; i++) bits |= d.getUint8(i);
                    try {
                        if (bits > 127) utf8.decode(new Uint8Array(d.buffer, d.byteOffset + at, n));
                    } catch {
                        fail('EUTF8');
                    }
                }
            }
            if (kind == 7) {
                bools(d, at, 1);
                zeros(d, at + 1, at + (d.getUint8(at) ? size : 2 * size));
                at += size;
            }
            if (inner) for (; n--; at += size) inner.check(s, at, inner.newest);
            else if (code == 11) bools(d, at, n);
            else if (kind == 1 && scalars[code](d, at) >= range) fail('EENUM');
        }
        if (v <= newest) zeros(d, gap, o + extent(v));
    };
    return { newest, fields, extent, check };
}

// Properties $d, $o and $v are the bytes, the record's place in them and its version.
function record({ fields, newest }) {
    function View(d, o, v = newest) {
        this.$d = d;
        this.$o = o;
        this.$v = v;
    }
    for (const { name, kind, code, offset, count, since, inner, size, list } of fields) {
        const read = inner ? record(inner) : scalars[code];
        const field =
            kind == 2 ? text
            : kind == 3 ? (d, o) => many(d, o, count, size, read)
            : kind == 7 ? (d, o) => (d.getUint8(o) ? read(d, o + size) : null)
            : list ? (d, o) => many(d, u32(d, o), u32(d, o + 4), size, read)
            : read;
        Object.defineProperty(View.prototype, name, {
            enumerable: true,
            get() {
                return this.$v < since ? undefined : field(this.$d, this.$o + offset);
            },
        });
    }
    return (d, o, v) => new View(d, o, v);
}

export function teleport(type) {
    const made = plan(type), view = record(made);
    const layouts = type.layouts.map(x => BigInt('0x' + x));
    const header = d => {
        const all = d.byteLength;
        if (all < 24) fail('ETRUNCATED');
        const magic = u32(d, 0), said = u32(d, 4), version = d.getUint16(20, true), flags = d.getUint16(22, true);
        if ((magic ^ 0x31545844) & 0xffffff) fail('ECORRUPT');
        if (magic != 0x31545844) fail('EVERSION');
        if (!version) fail('ECORRUPT');
        if (flags > 1) fail('ENOTSUP');
        const size = said - 4 * flags, root = 16 + 8 * version, fixed = u32(d, 16);
        if (size < root + fixed) fail('ECORRUPT');
        if (said > all) fail('ETRUNCATED');
        if (said < all) fail('ETRAILING');
        if (flags && crc(d, size) != u32(d, size)) fail('ECHECKSUM');
        for (let i = 0; i < version && i < layouts.length; ) {
            const layout = layouts[i++];
            if (d.getBigUint64(i == version ? 8 : 16 + 8 * i, true) != layout) fail('ELAYOUT');
        }
        const least = made.extent(version);
        if (version <= made.newest ? fixed != least : fixed < least) fail('ECORRUPT');
        return { d, size, version, root, end: root + fixed };
    };
    return (bytes, bare) => {
        const d = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
        const s = bare ? { d, size: bytes.length, version: bare, root: 0, end: made.extent(bare) } : header(d);
        if (s.end > s.size) fail('ETRUNCATED');
        s.exact = s.version <= made.newest;
        made.check(s, s.root, s.version);
        if (s.exact && s.end != s.size) fail('ETRAILING');
        return view(d, s.root, s.version);
    };
}
