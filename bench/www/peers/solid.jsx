import { batch, createSelector, createSignal, For } from 'solid-js';
import { render } from 'solid-js/web';
import { makeRows, press, swapped, table } from './rows.js';

const [rows, setRows] = createSignal([]), [chosen, choose] = createSignal(null);
const make = (id, text) => {
    const [label, setLabel] = createSignal(text);
    return { id, label, setLabel };
};
const remove = id => setRows(old => old.filter(row => row.id != id));

function Rows() {
    const isChosen = createSelector(chosen);
    return <For each={rows()}>{({ id, label }) =>
        <tr class={isChosen(id) ? 'danger' : ''}>
            <td class="col-md-1" textContent={id} />
            <td class="col-md-4"><a class="lbl" onClick={[choose, id]} textContent={label()} /></td>
            <td class="col-md-1"><a class="remove" onClick={[remove, id]}><span class="glyphicon glyphicon-remove" aria-hidden="true" /></a></td>
            <td class="col-md-6" />
        </tr>
    }</For>;
}
render(() => <Rows />, table);
press({
    run: () => setRows(makeRows(1000, make)),
    runlots: () => setRows(makeRows(10000, make)),
    add: () => setRows(old => [...old, ...makeRows(1000, make)]),
    update: () => batch(() => {
        for (let i = 0; i < rows().length; i += 10) rows()[i].setLabel(label => `${label} !!!`);
    }),
    clear: () => setRows([]),
    swaprows: () => setRows(swapped),
});
