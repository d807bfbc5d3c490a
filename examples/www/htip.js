// What an HTIP stream (docs/formats/htip.md) does to a page, operation by operation. The core has looked at all of it before.
//   const page = htip(element); core.render(bytes, page);      any number of streams, one after the other
const CLONE = 1, TEXT = 2, ATTRIBUTE = 3, CLASS = 4, REMOVE = 5, STYLE = 6, MOVE = 9;
const OPEN = 0, NAMED = 1, CHARACTERS = 2;
const entities = { '&amp;': '&', '&lt;': '<', '&gt;': '>', '&quot;': '"' };
const plain = text => text.replace(/&\w+;/g, name => entities[name]);

export function htip(root, document = root.ownerDocument) {
    const of = [root];
    let at = null, top = null, slot = 0, first = 0; // top: where the clone goes
    return {
        of, // elements by number
        do(op, node, other, a, b) {
            const element = of[node];
            if (op == CLONE) [at, top, first, slot] = [of[other], of[other], node, node];
            else if (op == TEXT) element.textContent = a;
            else if (op == ATTRIBUTE) element.setAttribute(a, b);
            else if (op == CLASS) element.classList.toggle(a, other == 1);
            else if (op == REMOVE) element.remove();
            else if (op == STYLE) element.style.setProperty(a, b);
            else if (op == MOVE && other != node) element.parentNode.insertBefore(element, other ? of[other] : null);
        },
        // Elements are made, not parsed: a template cannot become anything else.
        build(part, a, b) {
            if (part == OPEN) {
                const element = document.createElement(a);
                at.appendChild(element);
                if (at == top) of[first] = element;
                at = element;
            } else if (part == NAMED) {
                if (a == 'data-slot') of[++slot] = at;
                if (!at.hasAttribute(a)) at.setAttribute(a, plain(b));
            } else if (part == CHARACTERS) at.appendChild(document.createTextNode(plain(a)));
            else at = at.parentNode;
        },
    };
}
