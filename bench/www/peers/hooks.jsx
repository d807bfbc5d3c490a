// The table in React's way, which is Preact's, too. `h` and so on come from the one or the other.
import { makeRows, press, swapped } from './rows.js';

export function rowsOf({ h, memo, useEffect, useState }) {
    const Row = memo(({ row, isChosen, choose, remove }) =>
        <tr className={isChosen ? 'danger' : ''}>
            <td className="col-md-1">{row.id}</td>
            <td className="col-md-4"><a className="lbl" onClick={() => choose(row.id)}>{row.label}</a></td>
            <td className="col-md-1"><a className="remove" onClick={() => remove(row.id)}><span className="glyphicon glyphicon-remove" aria-hidden="true" /></a></td>
            <td className="col-md-6" />
        </tr>, (a, b) => a.row === b.row && a.isChosen === b.isChosen);
    return function Rows() {
        const [rows, setRows] = useState([]), [chosen, choose] = useState(null);
        const remove = id => setRows(old => old.filter(row => row.id != id));
        useEffect(() => press({
            run: () => setRows(makeRows(1000)),
            runlots: () => setRows(makeRows(10000)),
            add: () => setRows(old => [...old, ...makeRows(1000)]),
            update: () => setRows(old => old.map((row, i) => i % 10 ? row : { id: row.id, label: `${row.label} !!!` })),
            clear: () => setRows([]),
            swaprows: () => setRows(swapped),
        }), []);
        return rows.map(row => <Row key={row.id} row={row} isChosen={chosen === row.id} choose={choose} remove={remove} />);
    };
}
