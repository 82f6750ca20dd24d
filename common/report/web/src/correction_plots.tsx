// What was done to batches: estimates, priors, and the parameters of the correction. There are none under `release: pooled`.
import { useState } from 'preact/hooks';
import { batchAxis, roomBelow } from './batch_axis';
import type { BatchProps } from './batch_plots';
import { escapeHtml, frame, type Theme } from './chart';
import { Figure, type Table } from './figure';
import { evenSample, numberText, type BatchColumns, type Model } from './model';
import { histogram, inverseGammaDensity, normalDensity } from './statistics';

// Estimate against what was corrected, of one batch.
export function Shrinkage({ model, batches, selected }: BatchProps) {
  const [which, setWhich] = useState(0);
  const [kind, setKind] = useState<Parameter>('location');
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
      <ParameterChoice model={model} kind={kind} set={setKind} location="γ" scale="δ²" />
    </Figure>
  );
}

type Parameter = 'location' | 'scale';

// Nothing where scales were not corrected.
function ParameterChoice(props: { model: Model; kind: Parameter; set: (kind: Parameter) => void; location: string; scale: string }) {
  if (!props.model.report.batches?.scales) return null;
  return (
    <label class="choice">
      Parameter{' '}
      <select value={props.kind} onChange={(event) => props.set(event.currentTarget.value as Parameter)}>
        <option value="location">location {props.location}</option>
        <option value="scale">scale {props.scale}</option>
      </select>
    </label>
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
export function PriorFit({ model, batches }: BatchProps) {
  const [which, setWhich] = useState(0);
  const [kind, setKind] = useState<Parameter>('location');
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
      <ParameterChoice model={model} kind={kind} set={setKind} location="γ̂" scale="δ̂²" />
    </Figure>
  );
}

const heatFeatures = 40;

export function HeatMap({ model, batches }: BatchProps) {
  const [kind, setKind] = useState<Parameter>('location');
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
      <ParameterChoice model={model} kind={kind} set={setKind} location="γ" scale="δ²" />
    </Figure>
  );
}
