// Batches themselves: who is in them, and where and how far their features lie. There are none under `release: pooled`.
import { useState } from 'preact/hooks';
import { batchAxis, roomBelow } from './batch_axis';
import { escapeHtml, frame, roundAxis, type Theme } from './chart';
import { Figure, type Table } from './figure';
import { adjustedAfter, evenSample, numberText, type BatchColumns, type Model } from './model';
import type { Covariate } from './report';
import { mean, quantile } from './statistics';

export interface BatchProps {
  model: Model;
  batches: BatchColumns[]; // those shown
  selected: number | null;
}

export function Sizes({ model, batches }: BatchProps) {
  const table: Table = {
    columns: ['Batch', 'Subjects', 'Role'],
    rows: batches.length,
    row: (i) => [batches[i]?.name ?? '', batches[i]?.subjects ?? 0, roleOf(batches[i])],
  };
  const option = (t: Theme) =>
    frame(
      t,
      batchAxis(t, batches),
      { type: 'value', name: 'Subjects', min: 0 },
      {
        grid: { ...roomBelow(batches), right: 40 },
        legend: { show: false },
        series: [
          {
            name: 'subjects',
            type: 'bar',
            barMaxWidth: 36,
            itemStyle: { color: t.after },
            data: batches.map((batch) => batch.subjects),
            markLine: {
              silent: true,
              symbol: 'none',
              lineStyle: { color: t.mark, type: [3, 3], width: 1.5 },
              label: { color: t.text, position: 'end', formatter: '{c}', fontSize: 10 },
              data: [20, 30].map((value) => ({ yAxis: value })),
            },
          },
        ],
      },
    );
  return (
    <Figure
      id="sizes"
      title="Subjects of each batch"
      lead="Below 20 subjects (lower dotted line) a batch's location and scale are poorly known; 30 are comfortable."
      n={`${model.subjects.toLocaleString('en')} subjects that the model was estimated on, in ${model.batches.length} batches`}
      test="None."
      formula="Counts, as each batch sent them."
      height={320}
      marks={batches.length}
      option={option}
      table={table}
    />
  );
}

function roleOf(batch: BatchColumns | undefined): string {
  if (batch?.report.reference) return 'reference';
  return batch?.report.location_only ? 'location only' : '';
}

// One covariate over batches: mean and standard deviation, or the share of each level.
export function CovariateOfBatches({ model, batches, covariate, index }: BatchProps & { covariate: Covariate; index: number }) {
  const of = (batch: BatchColumns) => batch.report.covariates[index];
  const categorical = covariate.levels.length > 0;
  const unit = covariate.unit === '' ? '' : ` (${covariate.unit})`;
  const percent = (share: number | undefined) => (share === undefined ? 'too few to show' : `${(100 * share).toFixed(1)} %`);
  const table: Table = {
    columns: ['Batch', 'Subjects', ...(categorical ? covariate.levels : [`Mean${unit}`, `SD${unit}`])],
    rows: batches.length,
    row: (i) => {
      const batch = batches[i];
      const figures = batch === undefined ? undefined : of(batch);
      return [
        batch?.name ?? '',
        figures?.subjects ?? '',
        ...(categorical
          ? covariate.levels.map((_, level) => percent(figures?.shares[level]))
          : [numberText(figures?.mean, 2), numberText(figures?.sd, 2)]),
      ];
    },
  };
  const ends = batches.flatMap((batch) => {
    const { mean: mid, sd } = of(batch) ?? {};
    return mid === undefined ? [] : [mid - (sd ?? 0), mid + (sd ?? 0)];
  });
  const lowest = Math.min(...ends, Infinity);
  const { interval } = roundAxis(Math.max(...ends, -Infinity) - lowest > 0 ? Math.max(...ends) - lowest : 1);
  const range = Number.isFinite(lowest)
    ? { min: Math.floor(lowest / interval) * interval, max: Math.ceil(Math.max(...ends) / interval) * interval, interval }
    : {};
  const option = (t: Theme) => {
    const shares = covariate.levels.map((level, l) => ({
      name: level,
      type: 'bar',
      stack: 'levels',
      barMaxWidth: 36,
      itemStyle: { color: t.palette[l % t.palette.length] },
      data: batches.map((batch) => (of(batch)?.shares[l] ?? NaN) * 100),
    }));
    const means = [
      {
        name: '± SD',
        type: 'custom',
        clip: true,
        silent: true,
        data: batches.map((batch, i) => [i, of(batch)?.mean ?? NaN, of(batch)?.sd ?? NaN]),
        renderItem: (_: unknown, api: { value: (d: number) => number; coord: (p: number[]) => number[] }) => {
          const [x, mid, sd] = [api.value(0), api.value(1), api.value(2)];
          if (!Number.isFinite(mid) || !Number.isFinite(sd)) return { type: 'group', children: [] };
          const top = api.coord([x, mid + sd]) as [number, number];
          const bottom = api.coord([x, mid - sd]) as [number, number];
          return {
            type: 'line',
            shape: { x1: top[0], y1: top[1], x2: bottom[0], y2: bottom[1] },
            style: { stroke: t.muted, lineWidth: 2 },
          };
        },
        encode: { x: 0, y: 1 },
      },
      { name: 'mean', type: 'scatter', symbolSize: 9, itemStyle: { color: t.after }, data: batches.map((batch, i) => [i, of(batch)?.mean ?? NaN]) },
    ];
    return frame(
      t,
      batchAxis(t, batches),
      categorical
        ? { type: 'value', name: '% of subjects', min: 0, max: 100 }
        : { type: 'value', name: `${covariate.name}${unit}`, ...range },
      {
        grid: roomBelow(batches),
        legend: { ...(frame(t, {}, {}).legend as object), show: categorical },
        tooltip: {
          ...(frame(t, {}, {}).tooltip as object),
          formatter: (item: { dataIndex: number; seriesName: string; seriesIndex: number }) => {
            const batch = batches[item.dataIndex];
            if (batch === undefined) return '';
            const figures = of(batch);
            const text = categorical
              ? `${escapeHtml(item.seriesName)}: ${percent(figures?.shares[item.seriesIndex])}`
              : `mean ${numberText(figures?.mean, 2)}, SD ${numberText(figures?.sd, 2)}`;
            return `<b>${escapeHtml(batch.name)}</b><br>${text}<br>n = ${figures?.subjects ?? ''}`;
          },
        },
        series: categorical ? shares : means,
      },
    );
  };
  return (
    <Figure
      id={`covariate-${index}`}
      title={categorical ? `Shares of ${covariate.name} in each batch` : `Mean ± SD of ${covariate.name} in each batch`}
      decals={categorical}
      lead={
        categorical
          ? 'Batches whose shares differ much are told apart from the covariate only by the model. Shares are not shown where a level has 1 to 4 subjects.'
          : 'Batches whose ranges hardly overlap are compared by extrapolating a straight line.'
      }
      n={`${model.subjects.toLocaleString('en')} subjects in ${model.batches.length} batches`}
      test="None: a description."
      formula={categorical ? 'Share of the batch’s subjects with each level.' : 'Mean, and standard deviation with divisor n − 1, within the batch.'}
      height={320}
      marks={batches.length}
      option={option}
      table={table}
    />
  );
}

// A fixed, even scatter between -1 and 1, so that points of a strip do not hide each other.
function jitter(i: number): number {
  return 2 * ((i * 0.61803398875) % 1) - 1;
}

function Strips(
  props: BatchProps & {
    id: string;
    title: string;
    lead: string;
    axis: string;
    formula: string;
    middle: number;
    logarithmic?: boolean; // values are shown by their log2
    before: (batch: BatchColumns, detail: number) => number;
    after: (batch: BatchColumns, detail: number) => number;
    children?: preact.ComponentChildren;
  },
) {
  const { model, batches, selected } = props;
  const details = evenSample(model);
  const shownAs = (value: number) => (props.logarithmic ? Math.log2(value) : value);
  const perBatch = Math.max(1, Math.ceil((details.length * batches.length) / 40_000));
  const shown = details.filter((_, i) => i % perBatch === 0);
  const detail = selected === null ? undefined : model.detailOf.get(selected);
  const cloud = (of: (batch: BatchColumns, d: number) => number, shift: number) =>
    batches.flatMap((batch, b) =>
      shown
        .map((d, i) => [b + shift + 0.13 * jitter(i), shownAs(of(batch, d)), batch.index, d])
        .filter((point) => Number.isFinite(point[1])),
    );
  const middles = (of: (batch: BatchColumns, d: number) => number, shift: number) =>
    batches.map((batch, b) => {
      const values = details.map((d) => of(batch, d));
      const middle = props.logarithmic ? Math.exp(mean(values.map(Math.log))) : mean(values);
      return [b + shift, shownAs(middle), batch.index, -1];
    });
  const table: Table = {
    columns: ['Batch', 'Before: mean', 'Before: 5 % to 95 %', 'After: mean', 'After: 5 % to 95 %'],
    rows: batches.length,
    row: (i) => {
      const batch = batches[i];
      if (batch === undefined) return [];
      const cells = [props.before, props.after].flatMap((of) => {
        const values = details.map((d) => of(batch, d)).filter(Number.isFinite).sort((a, b) => a - b);
        return [numberText(mean(values)), `${numberText(quantile(values, 0.05))} to ${numberText(quantile(values, 0.95))}`];
      });
      return [batch.name, ...cells];
    },
  };
  const points = 2 * shown.length * batches.length;
  const option = (t: Theme) => {
    const strip = (name: string, of: (batch: BatchColumns, d: number) => number, shift: number, color: string, symbol: string) => [
      {
        name,
        type: 'scatter',
        symbol,
        symbolSize: points > 4000 ? 3 : 5,
        data: cloud(of, shift),
        itemStyle: { color, opacity: points > 4000 ? 0.25 : 0.4 },
      },
      {
        name: `${name}, mean of features`,
        type: 'scatter',
        symbol: 'diamond',
        symbolSize: 11,
        data: middles(of, shift),
        itemStyle: { color, borderColor: t.mark, borderWidth: 1.5 },
        z: 5,
      },
      ...(detail === undefined
        ? []
        : [
            {
              name: `${name}, ${model.nameOf(selected ?? 0)}`,
              type: 'scatter',
              symbol: 'rect',
              symbolSize: 10,
              z: 6,
              data: batches.map((batch, b) => [b + shift, shownAs(of(batch, detail)), batch.index, detail]),
              itemStyle: { color: t.background, borderColor: color, borderWidth: 3 },
            },
          ]),
    ];
    const names = batchAxis(t, batches);
    return frame(
      t,
      {
        type: 'value',
        min: -0.5,
        max: batches.length - 0.5,
        interval: 1,
        splitLine: { show: false },
        axisTick: { show: false },
        axisLabel: { show: false },
      },
      {
        type: 'value',
        name: props.axis,
        axisLabel: { color: t.text, formatter: (v: number) => String(+(props.logarithmic ? Math.pow(2, v) : v).toPrecision(3)) },
      },
      {
        grid: roomBelow(batches),
        xAxis: [
          { ...(frame(t, {}, {}).xAxis as object), type: 'value', min: -0.5, max: batches.length - 0.5, interval: 1, splitLine: { show: false }, axisTick: { show: false }, axisLabel: { show: false } },
          { ...(frame(t, {}, {}).xAxis as object), ...names, position: 'bottom', axisLine: { show: false } },
        ],
        tooltip: {
          ...(frame(t, {}, {}).tooltip as object),
          formatter: (item: { seriesName: string; value: number[] }) => {
            const batch = model.batches[item.value[2] ?? -1];
            const d = item.value[3] ?? -1;
            const feature = d < 0 ? 'mean of features' : model.nameOf(model.detailed[d] ?? 0);
            return `<b>${escapeHtml(batch?.name ?? '')}</b><br>${escapeHtml(feature)}<br>${escapeHtml(item.seriesName.split(',')[0] ?? '')}: ${numberText(props.logarithmic ? Math.pow(2, item.value[1] ?? NaN) : item.value[1])}`;
          },
        },
        legend: { ...(frame(t, {}, {}).legend as object), data: ['before', 'after'] },
        series: [
          ...strip('before', props.before, -0.2, t.before, 'circle'),
          ...strip('after', props.after, 0.2, t.after, 'triangle'),
          {
            type: 'line',
            silent: true,
            symbol: 'none',
            data: [
              [-0.5, shownAs(props.middle)],
              [batches.length - 0.5, shownAs(props.middle)],
            ],
            lineStyle: { color: t.muted, type: 'dashed', width: 1 },
            tooltip: { show: false },
          },
        ],
      },
    );
  };
  const sampled = details.length < model.total || perBatch > 1;
  return (
    <Figure
      id={props.id}
      title={props.title}
      lead={props.lead}
      n={`${model.subjects.toLocaleString('en')} subjects in ${batches.length} batches; ${shown.length.toLocaleString('en')} of ${model.total.toLocaleString('en')} features${sampled ? ', an even sample' : ''}`}
      test="None: a description. The tests are in the outcome table and in the plots of single features."
      formula={props.formula}
      inSample
      height={420}
      marks={points}
      option={option}
      table={table}
    >
      {props.children}
    </Figure>
  );
}

export function MeanStrips(props: BatchProps) {
  const [adjusted, setAdjusted] = useState(true);
  return (
    <Strips
      {...props}
      id="means"
      title="How far each batch's mean is from all others'"
      lead="Each point is a feature in a batch, in pooled standard deviations; the diamond is the batch's mean over features. After harmonization points should gather at 0."
      axis="Mean, in pooled SD"
      formula={
        adjusted
          ? 'Before: γ̂ = (ȳ_b − x̄_b′β − α) / σ. After: (γ̂ − γ) / √δ². Means adjusted for the covariates.'
          : '(ȳ_b − ȳ) / σ: means as they are, which may differ between batches because their people do (age, sex); ȳ is the mean of all subjects.'
      }
      middle={0}
      before={adjusted ? (batch, d) => batch.gammaHat[d] ?? NaN : (batch, d) => batch.meanBefore[d] ?? NaN}
      after={adjusted ? adjustedAfter : (batch, d) => batch.meanAfter[d] ?? NaN}
    >
      <label class="choice">
        <input type="checkbox" checked={adjusted} onChange={(event) => setAdjusted(event.currentTarget.checked)} /> Adjusted for the
        covariates
      </label>
    </Strips>
  );
}

export function ScaleStrips(props: BatchProps) {
  return (
    <Strips
      {...props}
      id="scales"
      title="How much each batch spreads, relative to the pooled spread"
      lead="Each point is a feature in a batch: the batch's residual standard deviation over the pooled one, on a logarithmic axis. After harmonization points should gather at 1."
      axis="SD ratio"
      formula="Before: √δ̂², δ̂² = RSS_b / (σ² (n_b − 1)). After: √(δ̂² / δ²)."
      middle={1}
      logarithmic
      before={(batch, d) => positive(Math.sqrt(batch.delta2Hat[d] ?? NaN))}
      after={(batch, d) => positive(Math.sqrt((batch.delta2Hat[d] ?? NaN) / (batch.delta2[d] ?? NaN)))}
    />
  );
}

function positive(value: number): number {
  return value > 0 ? value : NaN;
}
