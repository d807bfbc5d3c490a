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
    (d, o) => d.getUint8(o) > 0,
];
const sizes = [, 1, 2, 4, 8, 1, 2, 4, 8, 4, 8, 1];
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const fail = why => {
    throw new RangeError('teleport: ' + why);
};
const many = (d, at, n, size, read) => {
    if (n * size > d.byteLength - at) fail('reference');
    return Array.from({ length: n }, (_, i) => read(d, at + i * size));
};

function reader({ code, count, type }) {
    const kind = code >> 4;
    const size = type ? type.size : sizes[code & 15];
    const read = type ? record(type) : scalars[code & 15];
    if (kind == 2)
        return (d, o) => {
            const at = d.getUint32(o, true), n = d.getUint32(o + 4, true);
            if (n > d.byteLength - at) fail('reference');
            return utf8.decode(new Uint8Array(d.buffer, d.byteOffset + at, n));
        };
    if (kind == 3) return (d, o) => many(d, o, count, size, read);
    if (kind == 4 || kind == 6)
        return (d, o) => many(d, d.getUint32(o, true), d.getUint32(o + 4, true), size, read);
    if (kind == 7) return (d, o) => (d.getUint8(o) ? read(d, o + size) : null);
    return read;
}

// Properties 0 to 2 are the bytes, the record's place in them and its version: no field has such a name.
function record(type) {
    class View {
        constructor(d, o, version) {
            this[0] = d;
            this[1] = o;
            this[2] = version;
        }
    }
    for (const f of type.fields) {
        const read = reader(f);
        Object.defineProperty(View.prototype, f.name, {
            enumerable: true,
            get() {
                return this[2] < f.since ? undefined : read(this[0], this[1] + f.offset);
            },
        });
    }
    return (d, o, version = type.layouts.length) => new View(d, o, version);
}

export function teleport(type) {
    const view = record(type);
    return (bytes, bare) => {
        const d = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
        if (bare) return view(d, 0, bare);
        if (d.getUint32(0, true) != 0x31545844 || d.getUint32(4, true) != bytes.length) fail('header');
        const version = d.getUint16(20, true);
        type.layouts.forEach((layout, i) => {
            const at = ++i == version ? 8 : 16 + 8 * i;
            if (i <= version && d.getBigUint64(at, true) != '0x' + layout) fail('layout');
        });
        return version ? view(d, 16 + 8 * version, version) : fail('header');
    };
}
