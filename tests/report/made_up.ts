// A report of made-up numbers, of any size, with names that would like to be markup.
import { Buffer } from 'node:buffer';
import type { Report } from '../src/report';

export const hostile = '</script><img src=x onerror="document.title=1">';

// The same numbers for the same seed: a small linear congruential generator.
function dice(seed: number): () => number {
  let state = seed >>> 0;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
}

function column(values: number[]): string {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => bytes.writeFloatLE(value, 4 * i));
  return bytes.toString('base64');
}

export function integerColumn(values: number[]): string {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => bytes.writeUInt32LE(value, 4 * i));
  return bytes.toString('base64');
}

export function madeUp(features: number, batches: number, detailed = features): Report {
  const random = dice(7);
  const some = (count: number, low: number, high: number) => Array.from({ length: count }, () => low + (high - low) * random());
  const phase = (effect: number, withEffect: number) => {
    const p = some(features, 0, effect);
    const ranked = [...p].sort((a, b) => b - a).slice(0, 400);
    return {
      neg_log10_p: column(p),
      cohens_f: column(some(features, 0, effect / 100)),
      f: column(some(detailed, 0, effect)),
      partial_eta_squared: column(some(detailed, 0, 0.5)),
      log_scale_ratio: column(some(detailed, 0, 0.3)),
      covariates: [{ neg_log10_p: column(some(detailed, 0, 20)), associated: '3' }],
      with_batch_effect: String(withEffect),
      cohens_f_at_least: ['3', '2', '1'],
      rank: column(ranked.map((_, i) => i + 1)),
      ranked_neg_log10_p: column(ranked),
    };
  };
  return {
    format: 1,
    edition: 'consortium',
    provenance: {
      software_version: '0.1.0',
      consortium: 'net',
      state: 'complete',
      manifest_sha256: 'a'.repeat(64),
      correction_sha256: 'b'.repeat(64),
      evidence_sha256: 'c'.repeat(64),
    },
    study: {
      name: hostile,
      method: 'combat/1',
      release: 'per_batch',
      options: [hostile],
      covariates: [{ name: hostile, unit: hostile, levels: [] }],
      subjects: '1000',
      sites: String(batches),
      batches: String(batches),
      features: String(features),
      voxels: false,
      notes: [hostile],
    },
    findings: [{ severity: 'FINDING_SEVERITY_WARNING', code: 'x', title: hostile, detail: hostile, remedy: hostile }],
    outcomes: [],
    features: {
      total: String(features),
      tested: String(features),
      listed: String(features),
      most_affected: '0',
      names: Array.from({ length: features }, (_, i) => (i === 1 ? hostile : `vertex${i}`)),
      numbers: '',
      before: phase(60, features),
      after: phase(1, 0),
      detailed: detailed < features ? integerColumn(Array.from({ length: detailed }, (_, i) => i)) : '',
      detailed_most_affected: '0',
      detailed_count: String(detailed),
    },
    batches: {
      empirical_bayes: true,
      scales: true,
      batches: Array.from({ length: batches }, (_, b) => ({
        site: b === 0 ? hostile : `site${b}`,
        label: 'all',
        subjects: '50',
        covariates: [{ subjects: '50', mean: 30 + b, sd: 5, shares: [] }],
        reference: false,
        location_only: false,
        prior: { gamma_bar: 0, tau2: 0.1, a: 20, b: 19 },
        gamma_hat: column(some(detailed, -1, 1)),
        gamma: column(some(detailed, -1, 1)),
        delta2_hat: column(some(detailed, 0.5, 2)),
        delta2: column(some(detailed, 0.5, 2)),
        mean_before: column(some(detailed, -1, 1)),
        mean_after: column(some(detailed, -0.1, 0.1)),
      })),
    },
    methods: hostile,
    references: [hostile],
    limits: [hostile],
  };
}
