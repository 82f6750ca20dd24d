// The report with its columns decoded, in the page's own terms.
import { floats, integers } from './decode';
import type { Batch, Finding, Outcome, Report } from './report';

export type Severity = 'error' | 'warning' | 'info' | 'ok';

export interface PhaseColumns {
  p: Float32Array; // -log10, per listed feature
  f: Float32Array; // Cohen's f, per listed feature
  fStatistic: Float32Array; // per detailed feature, as all below
  eta: Float32Array;
  scale: Float32Array; // SD ratio of batches: exp of the report's logarithm; empty under pooled
  covariates: { p: Float32Array; associated: number }[];
  withEffect: number;
  atLeast: number[];
  rank: Float32Array;
  rankedP: Float32Array;
}

export interface BatchColumns {
  index: number;
  site: string;
  name: string;
  subjects: number;
  report: Batch;
  gammaHat: Float32Array;
  gamma: Float32Array;
  delta2Hat: Float32Array;
  delta2: Float32Array;
  meanBefore: Float32Array;
  meanAfter: Float32Array;
}

export interface Model {
  report: Report;
  subjects: number;
  tested: number;
  total: number;
  listed: number;
  mostAffected: number; // of those listed
  nameOf: (listed: number) => string;
  before: PhaseColumns;
  after: PhaseColumns;
  // Detailed features, as numbers in the list, and where a listed feature is among them.
  detailed: Uint32Array;
  detailedMostAffected: number;
  detailOf: Map<number, number>;
  batches: BatchColumns[];
  sites: string[];
  findings: (Omit<Finding, 'severity'> & { severity: Severity })[];
  outcomes: Outcome[];
}

function phaseOf(report: Report, which: 'before' | 'after'): PhaseColumns {
  const phase = report.features[which];
  return {
    p: floats(phase.neg_log10_p),
    f: floats(phase.cohens_f),
    fStatistic: floats(phase.f),
    eta: floats(phase.partial_eta_squared),
    scale: floats(phase.log_scale_ratio).map(Math.exp),
    covariates: phase.covariates.map((c) => ({ p: floats(c.neg_log10_p), associated: Number(c.associated) })),
    withEffect: Number(phase.with_batch_effect),
    atLeast: phase.cohens_f_at_least.map(Number),
    rank: floats(phase.rank),
    rankedP: floats(phase.ranked_neg_log10_p),
  };
}

export function decode(report: Report): Model {
  const { features } = report;
  const listed = Number(features.listed);
  const numbers = integers(features.numbers);
  const detailed =
    features.detailed === '' ? Uint32Array.from({ length: listed }, (_, i) => i) : integers(features.detailed);
  const batches = (report.batches?.batches ?? []).map((batch, index, all) => ({
    index,
    site: batch.site,
    // The site's name where it has no other batch.
    name: all.filter((other) => other.site === batch.site).length === 1 ? batch.site : `${batch.site}/${batch.label}`,
    subjects: Number(batch.subjects),
    report: batch,
    gammaHat: floats(batch.gamma_hat),
    gamma: floats(batch.gamma),
    delta2Hat: floats(batch.delta2_hat),
    delta2: floats(batch.delta2),
    meanBefore: floats(batch.mean_before),
    meanAfter: floats(batch.mean_after),
  }));
  return {
    report,
    subjects: Number(report.study.subjects),
    tested: Number(features.tested),
    total: Number(features.total),
    listed,
    mostAffected: Number(features.most_affected),
    nameOf: (i) => features.names[i] ?? `voxel ${numbers[i] ?? i}`,
    before: phaseOf(report, 'before'),
    after: phaseOf(report, 'after'),
    detailed,
    detailedMostAffected: Number(features.detailed_most_affected),
    detailOf: new Map(Array.from(detailed, (feature, i) => [feature, i])),
    batches,
    sites: [...new Set(batches.map((batch) => batch.site))],
    findings: report.findings.map((finding) => ({
      ...finding,
      severity: finding.severity.replace('FINDING_SEVERITY_', '').toLowerCase() as Severity,
    })),
    outcomes: report.outcomes,
  };
}

// The features that a distribution over features is drawn from: all, or the even sample.
export function evenSample(model: Model): number[] {
  return Array.from({ length: model.detailed.length - model.detailedMostAffected }, (_, i) => i + model.detailedMostAffected);
}

// A batch's mean about the others, adjusted for covariates, after its correction: (gamma_hat - gamma) / sqrt(delta2).
export function adjustedAfter(batch: BatchColumns, detail: number): number {
  return ((batch.gammaHat[detail] ?? NaN) - (batch.gamma[detail] ?? NaN)) / Math.sqrt(batch.delta2[detail] ?? NaN);
}

// What F and its p-value look like to people.
export function pText(negLog10: number): string {
  if (!Number.isFinite(negLog10)) return '–';
  if (negLog10 < 4) return Math.pow(10, -negLog10).toPrecision(3);
  const exponent = Math.ceil(negLog10);
  return `${Math.pow(10, exponent - negLog10).toFixed(1)}e-${exponent}`;
}

export function numberText(value: number | undefined, digits = 3): string {
  if (value === undefined || !Number.isFinite(value)) return '–';
  return value !== 0 && Math.abs(value) < 0.0005 ? value.toExponential(1) : value.toFixed(digits);
}
