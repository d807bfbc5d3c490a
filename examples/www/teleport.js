// Records of dx_teleport.h in JavaScript, driven by what dx_teleport_describe() says of their type.
//
//   const User = teleport(await (await fetch('user.json')).json());
//   const user = User(bytes);              // a Uint8Array; throws unless it holds a user
//   user.id, user.name, user.items[3].sku  // read when asked for
//   User(bytes, 1)                         // bare: no header, version 1
//
// u64 and i64 are BigInt, lists and arrays Array; what is missing is undefined, optional null.
// Layouts and bounds are checked, text and references when they are read.
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
// Where the reference at o points, and that n units of `size` bytes are there.
const target = (d, o, size) => {
    const at = u32(d, o);
    return u32(d, o + 4) * size > d.byteLength - at ? fail('reference') : at;
};
const many = (d, at, n, size, read) => {
    const all = new Array(n);
    for (let i = 0; i < n; i++, at += size) all[i] = read(d, at);
    return all;
};
// Short ASCII is quicker without the decoder.
const text = (d, o) => {
    const at = target(d, o, 1), n = u32(d, o + 4);
    if (n < 32) {
        const all = new Array(n);
        let bits = 0;
        for (let i = 0; i < n; i++) bits |= all[i] = d.getUint8(at + i);
        if (bits < 128) return String.fromCharCode(...all);
    }
    return utf8.decode(new Uint8Array(d.buffer, d.byteOffset + at, n));
};

// Properties $d, $o and $v are the bytes, the record's place in them and its version.
function record(type) {
    function View(d, o, v = type.layouts.length) {
        this.$d = d;
        this.$o = o;
        this.$v = v;
    }
    for (const { name, code, offset, count, since, type: inner } of type.fields) {
        const kind = code >> 4;
        const size = inner ? inner.size : sizes[code & 15];
        const read = inner ? record(inner) : scalars[code & 15];
        const field =
            kind == 2 ? text
            : kind == 3 ? (d, o) => many(d, o, count, size, read)
            : kind == 7 ? (d, o) => (d.getUint8(o) ? read(d, o + size) : null)
            : kind == 4 || kind == 6
              ? (d, o) => many(d, target(d, o, size), u32(d, o + 4), size, read)
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
    const view = record(type);
    const layouts = type.layouts.map(x => BigInt('0x' + x));
    return (bytes, bare) => {
        const d = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
        if (bare) return view(d, 0, bare);
        if (u32(d, 0) != 0x31545844 || u32(d, 4) != bytes.length) fail('header');
        const version = d.getUint16(20, true);
        for (let i = 0; i < version && i < layouts.length; ) {
            const layout = layouts[i++];
            if (d.getBigUint64(i == version ? 8 : 16 + 8 * i, true) != layout) fail('layout');
        }
        return version ? view(d, 16 + 8 * version, version) : fail('header');
    };
}
