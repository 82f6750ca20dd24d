// Plots in which a mark is a feature.
import { useState } from 'preact/hooks';
import { escapeHtml, frame, roundAxis, type Theme } from './chart';
import { Figure, type Table } from './figure';
import { numberText, pText, type Model } from './model';
import { fdrLine, rejectionLine } from './statistics';

interface Props {
  model: Model;
  selected: number | null;
  select: (listed: number) => void;
}

const ancovaTest =
  'Analysis of covariance: F of batch given the covariates, S − 1 and N − S − p degrees of freedom (N subjects, S batches, p columns of covariates)';

// Values before against after, with the diagonal.
function BeforeAfter(
  props: Props & {
    id: string;
    title: string;
    lead: string;
    test: string;
    formula: string;
    axis: string;
    features: (at: number) => number; // number in the list
    before: Float32Array;
    after: Float32Array;
    low: number;
    marks: { value: number; name: string; side: 'both' | 'before' | 'after' }[];
    text: (value: number) => string;
    sampled: boolean;
    children?: preact.ComponentChildren;
  },
) {
  const { model } = props;
  const count = props.before.length;
  const { low } = props;
  let largest = low;
  for (const column of [props.before, props.after]) {
    for (const value of column) if (Number.isFinite(value) && value > largest) largest = value;
  }
  const { max, interval } = roundAxis(largest > low ? largest - low : 1);
  const high = low + max;
  const name = (at: number) => model.nameOf(props.features(at));
  const data = Array.from({ length: count }, (_, at) => [props.before[at], props.after[at]]);
  let chosen = -1;
  if (props.selected !== null) {
    for (let at = 0; at < count; ++at) if (props.features(at) === props.selected) chosen = at;
  }
  const table: Table = {
    columns: ['Feature', `${props.axis}, before`, `${props.axis}, after`],
    rows: count,
    row: (at) => [name(at), props.text(props.before[at] ?? NaN), props.text(props.after[at] ?? NaN)],
  };
  const option = (t: Theme) => {
    const axis = { type: 'value', min: low, max: high, interval, axisLabel: { color: t.text, formatter: (v: number) => String(+v.toPrecision(3)) } };
    const lines = props.marks
      .filter((mark) => mark.value < high)
      .flatMap((mark) => [
        ...(mark.side !== 'after' ? [{ xAxis: mark.value, label: { formatter: mark.name, position: 'end', color: t.muted, rotate: 0 } }] : []),
        ...(mark.side !== 'before' ? [{ yAxis: mark.value, label: { formatter: mark.name, position: 'insideEndTop', color: t.muted } }] : []),
      ]);
    return frame(
      t,
      { ...axis, name: `${props.axis}, before` },
      { ...axis, name: `${props.axis}, after` },
      {
        legend: { show: false },
        tooltip: {
          ...(frame(t, {}, {}).tooltip as object),
          formatter: (item: { dataIndex: number; seriesId: string }) => {
            const at = item.seriesId === 'chosen' ? chosen : item.dataIndex;
            return `<b>${escapeHtml(name(at))}</b><br>before ${props.text(props.before[at] ?? NaN)}<br>after ${props.text(props.after[at] ?? NaN)}`;
          },
        },
        series: [
          {
            id: 'features',
            type: 'scatter',
            data,
            large: count > 3000,
            largeThreshold: 3000,
            symbolSize: count > 3000 ? 3 : 7,
            itemStyle: { color: t.after, opacity: count > 3000 ? 0.5 : 0.75 },
            markLine: {
              silent: true,
              symbol: 'none',
              lineStyle: { color: t.muted, type: [3, 3], width: 1.5 },
              data: lines,
            },
          },
          {
            id: 'diagonal',
            type: 'line',
            silent: true,
            symbol: 'none',
            data: [
              [low, low],
              [high, high],
            ],
            lineStyle: { color: t.muted, type: 'dashed', width: 1.5 },
            tooltip: { show: false },
          },
          ...(chosen >= 0
            ? [
                {
                  id: 'chosen',
                  type: 'scatter',
                  symbol: 'diamond',
                  symbolSize: 16,
                  z: 10,
                  data: [data[chosen]],
                  itemStyle: { color: t.before, borderColor: t.mark, borderWidth: 2 },
                  label: { show: true, position: 'top', color: t.text, formatter: name(chosen) },
                },
              ]
            : []),
        ],
      },
    );
  };
  return (
    <Figure
      id={props.id}
      title={props.title}
      lead={props.lead}
      n={`${model.subjects.toLocaleString('en')} subjects; ${count.toLocaleString('en')} features shown of ${model.total.toLocaleString('en')}${
        props.sampled ? ' (the most affected, and an even sample of the others)' : ''
      }`}
      test={props.test}
      formula={props.formula}
      inSample
      height={420}
      marks={count}
      option={option}
      table={table}
      pick={(at, series) => {
        if (series === 'features') props.select(props.features(at));
      }}
    >
      {props.children}
    </Figure>
  );
}

export function EffectSizes(props: Props) {
  const { model } = props;
  return (
    <BeforeAfter
      {...props}
      id="effect-sizes"
      title="Batch effect of each feature, before against after"
      lead="Below the dashed diagonal the batch effect became smaller. Dotted lines: small (0.1), medium (0.25) and large (0.4) effects."
      test={ancovaTest}
      formula="Cohen's f = √(η² / (1 − η²)); partial η² = (RSS(x) − RSS(x, batch)) / RSS(x), where RSS is what covariates x, without and with batch, leave unexplained. f is never below 0, so chance alone gives about √((S − 1) / (N − S − p))."
      axis="Cohen's f"
      low={0}
      features={(at) => at}
      before={model.before.f}
      after={model.after.f}
      marks={[0.1, 0.25, 0.4].map((value) => ({ value, name: String(value), side: 'both' as const }))}
      text={numberText}
      sampled={model.listed < model.total}
    />
  );
}

export function ScaleRatios(props: Props) {
  const { model } = props;
  return (
    <BeforeAfter
      {...props}
      id="scale-ratios"
      title="Differences in spread between batches, before against after"
      lead="1 means that a typical batch spreads as the pooled residuals do; 1.25, dotted, that it is a quarter off."
      test="None: a descriptive ratio."
      formula="exp of the median over batches of |ln(s_b / s)|; s_b² = RSS_b / (n_b − 1), s² = Σ RSS_b / Σ (n_b − 1), residuals about the covariates and the batch's own mean."
      axis="Scale ratio"
      features={(at) => model.detailed[at] ?? 0}
      before={model.before.scale}
      after={model.after.scale}
      low={1}
      marks={[{ value: 1.25, name: '1.25', side: 'both' }]}
      text={numberText}
      sampled={model.detailed.length < model.total}
    />
  );
}

export function CovariateEffects(props: Props) {
  const { model } = props;
  const { covariates } = model.report.study;
  const [which, setWhich] = useState(0);
  const covariate = covariates[which];
  const before = model.before.covariates[which];
  const after = model.after.covariates[which];
  if (covariate === undefined || before === undefined || after === undefined) return null;
  const lines = (['before', 'after'] as const).map((side) => ({
    value: rejectionLine((side === 'before' ? before : after).associated, model.tested),
    name: 'FDR 0.05',
    side,
  }));
  return (
    <BeforeAfter
      {...props}
      id="covariate-effects"
      title={`Association with ${covariate.name}, before against after`}
      lead={`What the study wants to keep. ${before.associated.toLocaleString('en')} features were associated with ${covariate.name} before, ${after.associated.toLocaleString('en')} are after. On the diagonal nothing changed; far above it, the correction may have made an effect that was not there.`}
      test="Analysis of covariance: F of the covariate given batch and the other covariates, q and N − S − p degrees of freedom (q: its columns)"
      formula="F = ((RSS without the covariate − RSS) / q) / (RSS / (N − S − p)), all about the batches' own means."
      axis="−log10 p"
      low={0}
      features={(at) => model.detailed[at] ?? 0}
      before={before.p}
      after={after.p}
      marks={lines}
      text={(value) => `${numberText(value, 2)} (p = ${pText(value)})`}
      sampled={model.detailed.length < model.total}
    >
      {covariates.length > 1 && (
        <label class="choice">
          Covariate{' '}
          <select value={which} onChange={(event) => setWhich(Number(event.currentTarget.value))}>
            {covariates.map((c, i) => (
              <option value={i}>{c.name}</option>
            ))}
          </select>
        </label>
      )}
    </BeforeAfter>
  );
}

export function RankedP({ model }: { model: Model }) {
  const [near, setNear] = useState(false);
  const { before, after, tested } = model;
  const points = (phase: typeof before) => Array.from(phase.rank, (rank, i) => [rank, phase.rankedP[i] ?? NaN]);
  const table: Table = {
    columns: ['Rank', '−log10 p, before', '−log10 p, after', 'FDR line'],
    rows: before.rank.length,
    row: (i) => {
      const rank = before.rank[i] ?? NaN;
      return [rank, numberText(before.rankedP[i], 2), numberText(after.rankedP[i], 2), numberText(fdrLine(rank, tested), 2)];
    },
  };
  const option = (t: Theme) => {
    const series = (name: string, phase: typeof before, color: string, symbol: string) => ({
      name,
      type: 'line',
      data: points(phase),
      symbol,
      clip: true,
      symbolSize: phase.rank.length > 200 ? 0 : 6,
      lineStyle: { color, width: 2 },
      itemStyle: { color },
    });
    return frame(
      t,
      { type: tested > 200 ? 'log' : 'value', name: 'Rank of the feature (1: smallest p)', min: 1, max: Math.max(2, tested) },
      { type: 'value', name: '−log10 p', min: 0, ...(near ? roundAxis(2 * fdrLine(1, tested)) : {}) },
      {
        tooltip: {
          ...(frame(t, {}, {}).tooltip as object),
          trigger: 'axis',
          formatter: (items: { seriesName: string; value: [number, number]; marker: string }[]) =>
            `rank ${items[0]?.value[0] ?? ''}<br>` +
            items.map((item) => `${item.marker}${item.seriesName}: ${numberText(item.value[1], 2)} (p = ${pText(item.value[1])})`).join('<br>'),
        },
        series: [
          series('before', before, t.before, 'circle'),
          series('after', after, t.after, 'triangle'),
          {
            name: 'FDR 0.05',
            type: 'line',
            symbol: 'none',
            data: Array.from(before.rank, (rank) => [rank, fdrLine(rank, tested)]),
            lineStyle: { color: t.muted, type: 'dashed', width: 2 },
            itemStyle: { color: t.muted },
          },
        ],
      },
    );
  };
  return (
    <Figure
      id="ranked-p"
      title="Ordered p-values of the batch effect"
      lead={`${before.withEffect.toLocaleString('en')} of ${tested.toLocaleString('en')} features have a batch effect before and ${after.withEffect.toLocaleString('en')} after, at a false discovery rate of 0.05: up to the last point above the dashed line.`}
      n={`${model.subjects.toLocaleString('en')} subjects; all ${tested.toLocaleString('en')} tested features`}
      test={ancovaTest}
      formula="Benjamini & Hochberg: with p ordered, the largest k with p(k) ≤ 0.05 k / m; m is the number of tested features."
      inSample
      height={380}
      marks={2 * before.rank.length}
      option={option}
      table={table}
    >
      <label class="choice">
        <input type="checkbox" checked={near} onChange={(event) => setNear(event.currentTarget.checked)} /> Only what is near the
        line
      </label>
    </Figure>
  );
}
