// What the peers have alike: the data of their rows, and the buttons of the page.
const words = {
    adjective: 'pretty large big small tall short long handsome plain quaint clean elegant easy angry crazy helpful mushy odd unsightly adorable important inexpensive cheap expensive fancy'.split(' '),
    colour: 'red yellow blue green pink brown purple brown white black orange'.split(' '),
    noun: 'table chair house bbq desk car pony cookie sandwich burger pizza mouse keyboard'.split(' '),
};
const any = list => list[Math.random() * list.length | 0];
let next = 1;

export function makeRows(count, make = (id, label) => ({ id, label })) {
    return Array.from({ length: count }, () => make(next++, `${any(words.adjective)} ${any(words.colour)} ${any(words.noun)}`));
}
// A copy with its second row and its 999th in each other's place.
export function swapped(rows) {
    const copy = rows.slice();
    if (copy.length > 998) [copy[1], copy[998]] = [copy[998], copy[1]];
    return copy;
}
export const table = document.getElementById('tbody');
export function press(actions) {
    for (const [id, action] of Object.entries(actions)) document.getElementById(id).addEventListener('click', () => action());
    globalThis.ready = true;
}
