// A plot with what a reader needs beside it: what it shows, of how many, by which test, and its numbers as a table.
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { echarts, isPrinting, onLook, theme, type Option, type Theme } from './chart';

export interface Table {
  columns: string[];
  rows: number;
  row: (index: number) => (string | number)[];
}

export interface FigureProps {
  id: string;
  title: string;
  // What to look for, in a sentence; also what a screen reader reads for the plot.
  lead: string;
  n: string;
  test: string;
  formula: string;
  inSample?: boolean;
  height: number;
  // Above this many marks a canvas is drawn instead of SVG, which stays sharp in print.
  marks: number;
  decals?: boolean; // patterns, where colours alone tell what is what
  option: (theme: Theme) => Option;
  table: Table;
  pick?: (dataIndex: number, seriesId: string) => void;
  children?: ComponentChildren;
}

const manyMarks = 3000;
const printWidth = 680; // A4 less its margins, in CSS pixels

export function Figure(props: FigureProps) {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<echarts.ECharts | null>(null);
  const latest = useRef(props);
  latest.current = props;

  const draw = () => {
    if (chart.current === null || box.current === null) return;
    chart.current.resize({ width: isPrinting() ? printWidth : 'auto', height: latest.current.height });
    const aria = {
      enabled: true,
      label: { description: `${latest.current.title}. ${latest.current.lead} The numbers are in the table below the plot.` },
      decal: { show: latest.current.decals === true },
    };
    chart.current.setOption({ ...latest.current.option(theme()), aria }, { notMerge: true });
    box.current.dataset.drawn = 'true';
  };

  useEffect(() => {
    const element = box.current;
    if (element === null) return;
    const renderer = latest.current.marks > manyMarks ? 'canvas' : 'svg';
    chart.current = echarts.init(element, null, { renderer, devicePixelRatio: Math.max(2, window.devicePixelRatio) });
    chart.current.on('click', (event: { dataIndex?: number; seriesId?: string }) => {
      if (event.dataIndex !== undefined) latest.current.pick?.(event.dataIndex, event.seriesId ?? '');
    });
    draw();
    const stop = onLook(draw);
    const resized = new ResizeObserver(() => {
      if (!isPrinting()) chart.current?.resize();
    });
    resized.observe(element);
    return () => {
      stop();
      resized.disconnect();
      chart.current?.dispose();
      chart.current = null;
    };
  }, []);
  useEffect(draw);

  return (
    <figure id={props.id} aria-labelledby={`${props.id}-title`}>
      <figcaption>
        <h3 id={`${props.id}-title`}>
          {props.title} {props.inSample && <InSample />}
        </h3>
        <p>{props.lead}</p>
      </figcaption>
      {props.children}
      <div class="plot" ref={box} role="img" style={{ height: `${props.height}px` }} />
      {/* On paper nothing can be opened. */}
      <p class="paper">
        n: {props.n}. Test: {props.test} Formula: {props.formula}
      </p>
      <div class="beside">
        <details>
          <summary>n, test and formula</summary>
          <dl>
            <dt>n</dt>
            <dd>{props.n}</dd>
            <dt>Test</dt>
            <dd>{props.test}</dd>
            <dt>Formula</dt>
            <dd>{props.formula}</dd>
          </dl>
        </details>
        <TableOf name={props.title} table={props.table} />
      </div>
    </figure>
  );
}

export function InSample() {
  return (
    <a class="badge" href="#limits" title="Tested on the people on whom it was estimated: optimistic. See Limits.">
      in-sample: optimistic
    </a>
  );
}

const pageRows = 50;

// Rows are made only once the table is opened, a page at a time.
export function TableOf({ name, table }: { name: string; table: Table }) {
  const [open, setOpen] = useState(false);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>As a table</summary>
      {open && <Rows name={name} table={table} />}
    </details>
  );
}

export function Rows({ name, table }: { name: string; table: Table }) {
  const [page, setPage] = useState(0);
  const pages = Math.max(1, Math.ceil(table.rows / pageRows));
  const shown = Math.min(page, pages - 1);
  const first = shown * pageRows;
  const count = Math.min(pageRows, table.rows - first);
  return (
    <div>
      {/* A region that scrolls must be reached by keyboard. */}
      <div class="scroll" tabIndex={0} role="region" aria-label={`Table: ${name}`}>
        <table>
          <thead>
            <tr>
              {table.columns.map((column) => (
                <th scope="col">{column}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {Array.from({ length: Math.max(0, count) }, (_, i) => table.row(first + i)).map((cells) => (
              <tr>
                {cells.map((cell, i) => (i === 0 ? <th scope="row">{cell}</th> : <td>{cell}</td>))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {pages > 1 && (
        <div class="pager">
          <button type="button" disabled={shown === 0} onClick={() => setPage(shown - 1)}>
            Previous
          </button>
          <span aria-live="polite">
            Rows {first + 1} to {first + count} of {table.rows.toLocaleString('en')}
          </span>
          <button type="button" disabled={shown === pages - 1} onClick={() => setPage(shown + 1)}>
            Next
          </button>
        </div>
      )}
    </div>
  );
}
