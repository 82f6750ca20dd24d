// Plots in which single batches are seen. There are none under `release: pooled`.
import { useState } from 'preact/hooks';
import { escapeHtml, frame, roundAxis, type Theme } from './chart';
import { Figure, type Table } from './figure';
import { adjustedAfter, evenSample, numberText, type BatchColumns, type Model } from './model';
import type { Covariate } from './report';
import { histogram, inverseGammaDensity, mean, normalDensity, quantile } from './statistics';

interface Props {
  model: Model;
  batches: BatchColumns[]; // those shown
  selected: number | null;
}

// Room for the names of batches under an axis, and the axis.
function batchAxis(t: Theme, batches: BatchColumns[]) {
  return {
    type: 'category',
    data: batches.map((batch) => batch.name),
    axisLabel: { color: t.text, interval: 0, rotate: batches.length > 8 ? 60 : 0, fontSize: batches.length > 30 ? 9 : 11, width: 100, overflow: 'truncate' },
    axisTick: { alignWithLabel: true },
  };
}

function roomBelow(batches: BatchColumns[]): object {
  const longest = Math.min(14, Math.max(...batches.map((batch) => batch.name.length), 1));
  return { left: 64, right: 24, top: 40, bottom: batches.length > 8 ? 24 + 6 * longest : 40 };
}

export function Sizes({ model, batches }: Props) {
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
export function CovariateOfBatches({ model, batches, covariate, index }: Props & { covariate: Covariate; index: number }) {
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
  props: Props & {
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

export function MeanStrips(props: Props) {
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

export function ScaleStrips(props: Props) {
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

// Estimate against what was corrected, of one batch.
export function Shrinkage({ model, batches, selected }: Props) {
  const [which, setWhich] = useState(0);
  const [kind, setKind] = useState<'location' | 'scale'>('location');
  const corrected = batches.filter((batch) => !batch.report.reference);
  const batch = corrected.find((candidate) => candidate.index === which) ?? corrected[0];
  if (batch === undefined) return null;
  const location = kind === 'location' || batch.report.location_only || model.report.batches?.scales === false;
  const estimate = location ? batch.gammaHat : batch.delta2Hat;
  const used = location ? batch.gamma : batch.delta2;
  const details = Array.from(model.detailed, (_, d) => d).filter((d) => Number.isFinite(estimate[d]) && Number.isFinite(used[d]));
  const centre = location ? batch.report.prior?.gamma_bar : undefined;
  const symbol = location ? 'γ' : 'δ²';
  const table: Table = {
    columns: ['Feature', `Estimate ${symbol}̂`, `Corrected by ${symbol}`],
    rows: details.length,
    row: (i) => {
      const d = details[i] ?? 0;
      return [model.nameOf(model.detailed[d] ?? 0), numberText(estimate[d]), numberText(used[d])];
    },
  };
  const chosen = selected === null ? undefined : model.detailOf.get(selected);
  const option = (t: Theme) => {
    const values = details.map((d) => estimate[d] ?? 0);
    const low = values.reduce((a, b) => Math.min(a, b), Infinity);
    const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
    return frame(
      t,
      { type: 'value', name: `Estimate of the batch alone, ${symbol}̂`, scale: true },
      { type: 'value', name: `Corrected by, ${symbol}`, scale: true },
      {
        legend: { show: false },
        tooltip: {
          ...(frame(t, {}, {}).tooltip as object),
          formatter: (item: { value: number[] }) =>
            `<b>${escapeHtml(model.nameOf(model.detailed[item.value[2] ?? 0] ?? 0))}</b><br>${symbol}̂ ${numberText(item.value[0])}<br>${symbol} ${numberText(item.value[1])}`,
        },
        series: [
          {
            type: 'scatter',
            symbolSize: 6,
            itemStyle: { color: t.after, opacity: 0.7 },
            data: details.map((d) => [estimate[d], used[d], d]),
            markLine: {
              silent: true,
              symbol: 'none',
              lineStyle: { color: t.accent, type: 'dotted', width: 2 },
              label: { color: t.text, formatter: 'mean of the prior', position: 'insideEndTop' },
              data: centre === undefined ? [] : [{ yAxis: centre }],
            },
          },
          {
            type: 'line',
            silent: true,
            symbol: 'none',
            data: [
              [low, low],
              [high, high],
            ],
            lineStyle: { color: t.muted, type: 'dashed' },
            tooltip: { show: false },
          },
          ...(chosen === undefined
            ? []
            : [
                {
                  type: 'scatter',
                  symbol: 'diamond',
                  symbolSize: 15,
                  z: 9,
                  itemStyle: { color: t.before, borderColor: t.mark, borderWidth: 2 },
                  data: [[estimate[chosen], used[chosen], chosen]],
                },
              ]),
        ],
      },
    );
  };
  return (
    <Figure
      id="shrinkage"
      title={`Shrinkage in ${batch.name}`}
      lead={
        model.report.batches?.empirical_bayes
          ? 'On the dashed line the estimate is used as it is; empirical Bayes pulls uncertain estimates towards what the batch does to other features.'
          : 'This study uses each estimate as it is: all points lie on the dashed line.'
      }
      n={`${batch.subjects} subjects of the batch; ${details.length.toLocaleString('en')} of ${model.total.toLocaleString('en')} features`}
      test="None: the parameters of the correction."
      formula={
        location
          ? 'γ = (n τ² γ̂ + δ² γ̄) / (n τ² + δ²) where scales are corrected too and the prior is parametric.'
          : 'δ² = (½ (RSS/σ² + n (γ̂ − γ)²) + b) / (n/2 + a − 1) where the prior is parametric.'
      }
      height={360}
      marks={details.length}
      option={option}
      table={table}
    >
      <BatchChoice batches={corrected} value={batch.index} set={setWhich} />
      {model.report.batches?.scales && (
        <label class="choice">
          Parameter{' '}
          <select value={kind} onChange={(event) => setKind(event.currentTarget.value as 'location' | 'scale')}>
            <option value="location">location γ</option>
            <option value="scale">scale δ²</option>
          </select>
        </label>
      )}
    </Figure>
  );
}

function BatchChoice({ batches, value, set }: { batches: BatchColumns[]; value: number; set: (index: number) => void }) {
  return (
    <label class="choice">
      Batch{' '}
      <select value={value} onChange={(event) => set(Number(event.currentTarget.value))}>
        {batches.map((batch) => (
          <option value={batch.index}>{batch.name}</option>
        ))}
      </select>
    </label>
  );
}

// Do the estimates look like the distribution that they are shrunk to?
export function PriorFit({ model, batches }: Props) {
  const [which, setWhich] = useState(0);
  const [kind, setKind] = useState<'location' | 'scale'>('location');
  const fitted = batches.filter((batch) => batch.report.prior !== undefined);
  const batch = fitted.find((candidate) => candidate.index === which) ?? fitted[0];
  const prior = batch?.report.prior;
  if (batch === undefined || prior === undefined) return null;
  const location = kind === 'location' || !model.report.batches?.scales || batch.report.location_only;
  const details = evenSample(model);
  const column = location ? batch.gammaHat : batch.delta2Hat;
  const values = details.map((d) => column[d] ?? NaN).filter(Number.isFinite);
  const bars = histogram(values, Math.max(8, Math.min(40, Math.round(Math.sqrt(values.length) * 2))));
  // A prior without spread is a single value, which has no density.
  const density = (x: number) => {
    if (location) return prior.tau2 > 0 ? normalDensity(x, prior.gamma_bar, prior.tau2) : NaN;
    return prior.a > 0 ? inverseGammaDensity(x, prior.a, prior.b) : NaN;
  };
  const symbol = location ? 'γ̂' : 'δ̂²';
  const law = location
    ? `normal, mean ${numberText(prior.gamma_bar)}, variance ${numberText(prior.tau2)}`
    : `inverse gamma, a ${numberText(prior.a, 2)}, b ${numberText(prior.b, 2)}`;
  const table: Table = {
    columns: [`Middle of the bin of ${symbol}`, 'Density of the estimates', 'Density of the prior'],
    rows: bars.middles.length,
    row: (i) => [numberText(bars.middles[i]), numberText(bars.densities[i]), numberText(density(bars.middles[i] ?? NaN))],
  };
  const option = (t: Theme) => {
    const low = (bars.middles[0] ?? 0) - bars.width;
    const high = (bars.middles[bars.middles.length - 1] ?? 1) + bars.width;
    const curve = Array.from({ length: 121 }, (_, i) => low + ((high - low) * i) / 120).map((x) => [x, density(x)]);
    return frame(
      t,
      { type: 'value', name: `Estimate ${symbol}`, min: low, max: high, axisLabel: { color: t.text, showMinLabel: false, showMaxLabel: false, formatter: (v: number) => String(+v.toPrecision(3)) } },
      { type: 'value', name: 'Density', min: 0 },
      {
        tooltip: {
          ...(frame(t, {}, {}).tooltip as object),
          formatter: (item: { value: number[]; seriesName: string }) =>
            `${item.seriesName}<br>${symbol} ${numberText(item.value[0])}: density ${numberText(item.value[1])}`,
        },
        series: [
          {
            name: 'estimates',
            type: 'bar',
            barWidth: '96%',
            data: bars.middles.map((x, i) => [x, bars.densities[i]]),
            itemStyle: { color: t.after },
          },
          { name: 'prior', type: 'line', symbol: 'none', data: curve, lineStyle: { color: t.before, width: 3 }, itemStyle: { color: t.before } },
        ],
      },
    );
  };
  return (
    <Figure
      id="prior-fit"
      title={`Fit of the prior in ${batch.name}`}
      lead="Empirical Bayes takes a batch's estimates for draws from one distribution. Where bars and curve differ much, prior: nonparametric or prior: none are worth a try."
      n={`${values.length.toLocaleString('en')} of ${model.total.toLocaleString('en')} features${values.length < model.tested ? ', an even sample' : ''}`}
      test="None: a comparison by eye."
      formula={`Prior of ${symbol}: ${law}; by the method of moments, with divisor F − 1.`}
      height={360}
      marks={bars.middles.length}
      option={option}
      table={table}
    >
      <BatchChoice batches={fitted} value={batch.index} set={setWhich} />
      {model.report.batches?.scales && (
        <label class="choice">
          Parameter{' '}
          <select value={kind} onChange={(event) => setKind(event.currentTarget.value as 'location' | 'scale')}>
            <option value="location">location γ̂</option>
            <option value="scale">scale δ̂²</option>
          </select>
        </label>
      )}
    </Figure>
  );
}

const heatFeatures = 40;

export function HeatMap({ model, batches }: Props) {
  const [kind, setKind] = useState<'location' | 'scale'>('location');
  const location = kind === 'location' || !model.report.batches?.scales;
  // The features with the largest effect before, of those in detail.
  const order = Array.from(model.detailed, (listed, d) => ({ d, f: model.before.f[listed] ?? NaN }))
    .filter((feature) => Number.isFinite(feature.f))
    .sort((a, b) => b.f - a.f)
    .slice(0, heatFeatures);
  const names = order.map(({ d }) => model.nameOf(model.detailed[d] ?? 0));
  const value = (batch: BatchColumns, d: number) =>
    location ? (batch.gamma[d] ?? NaN) : Math.log2(Math.sqrt(batch.delta2[d] ?? NaN));
  const cells = order.flatMap(({ d }, y) => batches.map((batch, x) => [x, y, value(batch, d)])).filter((cell) => Number.isFinite(cell[2]));
  const largest = cells.reduce((max, cell) => Math.max(max, Math.abs(cell[2] ?? 0)), 0.01);
  const symbol = location ? 'γ' : 'log₂ √δ²';
  const table: Table = {
    columns: ['Feature', ...batches.map((batch) => batch.name)],
    rows: order.length,
    row: (i) => [names[i] ?? '', ...batches.map((batch) => numberText(value(batch, order[i]?.d ?? 0), 2))],
  };
  const height = 130 + 15 * order.length;
  const option = (t: Theme) =>
    frame(
      t,
      batchAxis(t, batches),
      { type: 'category', data: names, inverse: true, axisLabel: { color: t.text, fontSize: 10, width: 190, overflow: 'truncate', interval: 0 } },
      {
        legend: { show: false },
        grid: { ...roomBelow(batches), left: 200, right: 90, top: 10 },
        tooltip: {
          ...(frame(t, {}, {}).tooltip as object),
          formatter: (item: { value: number[] }) =>
            `<b>${escapeHtml(batches[item.value[0] ?? 0]?.name ?? '')}</b><br>${escapeHtml(names[item.value[1] ?? 0] ?? '')}<br>${symbol} = ${numberText(item.value[2])}`,
        },
        visualMap: {
          min: -largest,
          max: largest,
          calculable: false,
          orient: 'vertical',
          right: 0,
          top: 10,
          text: [`+${numberText(largest, 2)}`, `−${numberText(largest, 2)}`],
          textStyle: { color: t.text },
          inRange: { color: ['#0072b2', '#7fb8d8', t.background === '#ffffff' ? '#f5f5f5' : '#2a3038', '#eeb07f', '#d55e00'] },
        },
        series: [{ type: 'heatmap', data: cells, itemStyle: { borderColor: t.background, borderWidth: 1 } }],
      },
    );
  return (
    <Figure
      id="heat-map"
      title={location ? 'What was subtracted from each batch' : 'By what each batch was scaled'}
      lead={`The ${order.length} features with the largest batch effect before, the largest on top. Orange: the batch was ${location ? 'above' : 'wider than'} the others and was brought down; blue: the opposite.`}
      n={`${order.length} of ${model.total.toLocaleString('en')} features; ${batches.length} batches`}
      test="None: the parameters of the correction."
      formula={location ? 'γ, in pooled standard deviations.' : 'log₂ of √δ², the factor by which residuals were divided: 1 is twice the pooled spread.'}
      height={height}
      marks={cells.length}
      option={option}
      table={table}
    >
      {model.report.batches?.scales && (
        <label class="choice">
          Parameter{' '}
          <select value={kind} onChange={(event) => setKind(event.currentTarget.value as 'location' | 'scale')}>
            <option value="location">location γ</option>
            <option value="scale">scale δ²</option>
          </select>
        </label>
      )}
    </Figure>
  );
}
