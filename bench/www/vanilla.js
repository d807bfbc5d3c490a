// The same table by hand, with what the fastest hand-written program of js-framework-benchmark does (vanillajs-3): ten or a hundred
// rows are filled in a template and cloned together, nothing is kept for each row, clicks are found from the table.
const words = {
    adjective: 'pretty large big small tall short long handsome plain quaint clean elegant easy angry crazy helpful mushy odd unsightly adorable important inexpensive cheap expensive fancy'.split(' '),
    colour: 'red yellow blue green pink brown purple brown white black orange'.split(' '),
    noun: 'table chair house bbq desk car pony cookie sandwich burger pizza mouse keyboard'.split(' '),
};
const table = document.getElementById('tbody'), source = document.getElementById('itemTemplate').content;
const any = list => list[Math.random() * list.length | 0];
let labels = [], next = 1, chosen = null;

function append(count) {
    const size = count / 100, block = document.createDocumentFragment();
    for (let i = 0; i < size; i++) block.appendChild(source.firstElementChild.cloneNode(true));
    const ids = [...block.querySelectorAll('td:first-child')].map(e => e.firstChild), names = [...block.querySelectorAll('a.lbl')].map(e => e.firstChild);
    for (let done = 0; done < count; done += size) {
        for (let i = 0; i < size; i++) {
            ids[i].nodeValue = next++;
            labels.push(names[i].nodeValue = `${any(words.adjective)} ${any(words.colour)} ${any(words.noun)}`);
        }
        table.appendChild(block.cloneNode(true));
    }
}
function clear() {
    labels = [];
    table.textContent = '';
}
function create(count) {
    if (table.firstChild) clear();
    append(count);
}
const actions = {
    run: () => create(1000),
    runlots: () => create(10000),
    add: () => append(1000),
    update() {
        const all = table.querySelectorAll('a.lbl');
        for (let i = 0; i < all.length; i += 10) all[i].firstChild.nodeValue = labels[i] += ' !!!';
    },
    clear,
    swaprows() {
        const rows = table.children;
        if (rows.length < 999) return;
        const a = rows[1], b = rows[998], behind = b.nextSibling;
        table.insertBefore(b, a);
        table.insertBefore(a, behind);
        [labels[1], labels[998]] = [labels[998], labels[1]];
    },
};
for (const [id, action] of Object.entries(actions)) document.getElementById(id).addEventListener('click', action);
table.addEventListener('click', event => {
    const row = event.target.closest('tr');
    if (event.target.matches('.lbl')) {
        if (chosen) chosen.className = '';
        row.className = 'danger';
        chosen = row;
    } else if (event.target.closest('.remove')) {
        labels.splice([].indexOf.call(table.children, row), 1);
        row.remove();
    }
});
globalThis.ready = true;
