// Carries out the operations of layers/dx_page.h on a document: flush() once a frame, and events back. An operation is 16 bytes,
// | opcode u8 | slot u8 | name u16 | node u32 | b u32 | c u32 |; texts are ranges of one string, which is decoded once a frame.
//   const page = pageOps(root, { 1: '<li>...' }, ['class name', ...]); page.flush(memory, ops, mask, read, write, text, size);
const CLONE = 1, TEXT = 2, ATTR = 3, REMOVE = 4, CLASS = 5, STYLE = 6, MOVE = 7, AT = 8, CLEAR = 9, FORGET = 10;

// The names of bindings and operations, which dx_page_add_name() wrote into a page's static region.
export function namesAt(memory, at) {
    const view = new DataView(memory.buffer, at), bytes = new Uint8Array(memory.buffer), decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    return Array.from({ length: view.getUint32(0x40, true) }, (_, i) => {
        const begin = at + view.getUint32(0x44 + 8 * i, true);
        return decoder.decode(bytes.slice(begin, begin + view.getUint32(0x48 + 8 * i, true)));
    });
}

export function pageOps(root, templates, names) {
    const document = root.ownerDocument, decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    let of = [root];     // elements by number
    const made = [];     // templates by id: element, paths to its slots, and blocks of rows to fill and clone
    for (const [id, html] of Object.entries(templates)) {
        const holder = document.createElement('template');
        holder.innerHTML = html; // dx_page_add_template() has checked it: one element of the subset of docs/formats/htip.md
        const element = holder.content.firstChild, paths = [[]], plain = [false], first = [''];
        for (const slot of element.querySelectorAll('[data-slot]')) {
            const path = [];
            for (let at = slot; at != element; at = at.parentNode) path.unshift([...at.parentNode.childNodes].indexOf(at));
            slot.removeAttribute('data-slot');
            if (!slot.firstChild) slot.appendChild(document.createTextNode(''));
            paths.push(path);
            plain.push(slot.childNodes.length == 1 && slot.firstChild.nodeType == 3);
            first.push(slot.firstChild.data ?? '');
        }
        made[id] = { element, paths, plain, first, blocks: new Map() };
    }
    const walk = (at, path) => {
        for (let i = 0; i < path.length; i++) {
            at = at.firstChild;
            for (let k = path[i]; k; k--) at = at.nextSibling;
        }
        return at;
    };
    const template = []; // of each node, for its slots
    const slotOf = (node, slot) => slot && node ? walk(of[node], made[template[node]].paths[slot]) : of[node];
    // A slot with one text and nothing else, where no clone ever went, keeps its text node.
    const setText = (node, slot, text) => {
        const element = slotOf(node, slot), first = slot && made[template[node]].plain[slot] ? element.firstChild : null;
        if (first) first.data = text;
        else element.textContent = text;
    };
    // `size` rows side by side and the text nodes of their slots: they are filled, and cloned together.
    const block = (t, size) => {
        let found = t.blocks.get(size);
        if (found) return found;
        const rows = document.createDocumentFragment(), texts = [];
        for (let i = 0; i < size; i++) {
            const row = t.element.cloneNode(true);
            rows.appendChild(row);
            texts.push(t.paths.map((path, slot) => slot && t.plain[slot] ? walk(row, path).firstChild : null));
        }
        t.blocks.set(size, found = { rows, texts });
        return found;
    };
    const calls = { flushes: 0, operations: 0 };

    function flush(memory, opsAt, mask, read, write, textAt, textSize) {
        const ops = new Uint32Array(memory.buffer, opsAt, (mask + 1) * 4);
        const bytes = new Uint8Array(memory.buffer, textAt, textSize); // a decoder does not take shared memory
        const text = textSize ? decoder.decode(memory.buffer instanceof ArrayBuffer ? bytes : bytes.slice()) : '';
        const slice = p => text.slice(ops[p + 2], ops[p + 2] + ops[p + 3]);
        let before = null;
        calls.flushes++;
        calls.operations += write - read >>> 0;

        // Clone rows, with the texts that follow directly. i: the operation after CLONE; returns the first one not carried out.
        const clone = (i, id, parent, first, count) => {
            const t = made[id], slots = t.paths.length;
            const empty = count > 50 && !parent.firstChild && parent.parentNode, next = empty && parent.nextSibling;
            if (empty) empty.removeChild(parent); // filled outside of the document: one insertion there
            for (let done = 0; done < count;) {
                // Few enough that they stay in the cache, enough that cloning is few calls: measured.
                const size = Math.min(count - done, count < 20 ? count : count <= 1000 ? 10 : 100), { rows, texts } = block(t, size);
                for (let k = 0; k < size; k++) {
                    const node = first + done + k, row = texts[k];
                    let filled = 0;
                    for (let p; i != write; i = i + 1 >>> 0, filled++) {
                        p = (i & mask) * 4;
                        if ((ops[p] & 255) != TEXT || ops[p + 1] != node || !(ops[p] >> 8 & 255)) break;
                        const slot = ops[p] >> 8 & 255;
                        if (!row[slot]) break;
                        row[slot].data = slice(p);
                    }
                    // A slot that gets no text here has that of its template, whatever was cloned before.
                    if (filled < slots - 1)
                        for (let slot = 1; slot < slots; slot++) if (row[slot] && row[slot].data != t.first[slot] && !wrote(i, filled, node, slot)) row[slot].data = t.first[slot];
                }
                const copy = rows.cloneNode(true);
                for (let row = copy.firstChild, node = first + done; row; row = row.nextSibling, node++) {
                    of[node] = row;
                    template[node] = id;
                }
                parent.insertBefore(copy, before);
                done += size;
            }
            if (empty) empty.insertBefore(parent, next);
            before = null;
            return i;
        };
        const wrote = (end, filled, node, slot) => {
            for (let k = 1; k <= filled; k++) {
                const p = ((end - k >>> 0) & mask) * 4;
                if (ops[p + 1] == node && (ops[p] >> 8 & 255) == slot) return true;
            }
            return false;
        };

        for (let i = read; i != write;) {
            const p = (i & mask) * 4, head = ops[p], node = ops[p + 1], slot = head >> 8 & 255, name = head >>> 16;
            i = i + 1 >>> 0;
            switch (head & 255) {
                case CLONE:
                    if (slot) made[template[node]].plain[slot] = false;
                    i = clone(i, name, slotOf(node, slot), ops[p + 2], ops[p + 3]);
                    break;
                case TEXT: setText(node, slot, slice(p)); break;
                case ATTR: slotOf(node, slot).setAttribute(names[name], slice(p)); break;
                case REMOVE: of[node].remove(); break;
                case CLASS: slotOf(node, slot).classList.toggle(names[name], ops[p + 2] == 1); break;
                case STYLE: slotOf(node, slot).style.setProperty(names[name], slice(p)); break;
                case MOVE: slotOf(node, slot).insertBefore(of[ops[p + 2]], ops[p + 3] ? of[ops[p + 3]] : null); break;
                case AT: before = of[node]; break;
                case CLEAR: slotOf(node, slot).textContent = ''; break;
                case FORGET: of.fill(undefined, node, node + ops[p + 2]); break;
                default: throw new Error(`operation ${head & 255}`);
            }
        }
    }
    // The first flush of a page whose HTML a server has made of the same operations: its elements are taken over, none is touched.
    // Where they are not what the operations make, they are replaced. Returns whether they were taken over.
    function hydrate(...range) {
        const made = root.cloneNode(false);
        of = [made];
        flush(...range);
        made.normalize(); // empty texts, which HTML does not have
        const same = made.isEqualNode(root), real = new Map([[made, root]]);
        if (same) {
            const theirs = document.createTreeWalker(made, 1), ours = document.createTreeWalker(root, 1);
            while (theirs.nextNode()) real.set(theirs.currentNode, ours.nextNode());
        } else root.replaceChildren(...made.childNodes);
        of = of.map(element => same || element == made ? real.get(element) : element);
        return same;
    }
    // The handler and the node of an event: the closest data-on="TYPE:NUMBER", and the closest element that is a node.
    function target(event) {
        let handler = -1;
        for (let at = event.target; at; at = at.parentNode) {
            const on = at.getAttribute?.('data-on');
            if (handler < 0 && on?.startsWith(event.type + ':')) handler = +on.slice(event.type.length + 1);
            if (handler < 0) { if (at == root) break; continue; }
            const node = at == root ? 0 : of.indexOf(at);
            if (node >= 0) return { handler, node };
            if (at == root || !root.contains(at)) return { handler, node: 0 };
        }
        return null;
    }
    return { flush, hydrate, target, calls, get of() { return of; } };
}
