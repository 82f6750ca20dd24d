// report.json as proto/attune/v1/report.proto has it. Numbers of 64 bits are text in JSON; columns are base64.

export interface Report {
  format: number;
  edition: string;
  provenance: {
    software_version: string;
    consortium: string;
    state: string;
    manifest_sha256: string;
    correction_sha256: string;
    evidence_sha256: string;
  };
  study: Study;
  findings: Finding[];
  outcomes: Outcome[];
  features: FeatureFigures;
  batches?: BatchFigures;
  methods: string;
  references: string[];
  limits: string[];
}

export interface Study {
  name: string;
  method: string;
  release: string;
  options: string[];
  covariates: Covariate[];
  subjects: string;
  sites: string;
  batches: string;
  features: string;
  voxels: boolean;
  notes: string[];
}

export interface Covariate {
  name: string;
  unit: string;
  levels: string[];
}

export interface Finding {
  severity: string; // "FINDING_SEVERITY_ERROR", ...
  code: string;
  title: string;
  detail: string;
  remedy: string;
}

export interface Outcome {
  label: string;
  before: string;
  after: string;
  before_value: number;
  after_value: number;
  n: string;
  test: string;
  formula: string;
}

export interface FeatureFigures {
  total: string;
  tested: string;
  listed: string;
  most_affected: string;
  names: string[];
  numbers: string;
  before: Phase;
  after: Phase;
  detailed: string;
  detailed_most_affected: string;
  detailed_count: string;
}

export interface Phase {
  neg_log10_p: string;
  cohens_f: string;
  f: string;
  partial_eta_squared: string;
  log_scale_ratio: string;
  covariates: { neg_log10_p: string; associated: string }[];
  with_batch_effect: string;
  cohens_f_at_least: string[];
  rank: string;
  ranked_neg_log10_p: string;
}

export interface BatchFigures {
  batches: Batch[];
  empirical_bayes: boolean;
  scales: boolean;
}

export interface Batch {
  site: string;
  label: string;
  subjects: string;
  covariates: { subjects: string; mean?: number; sd?: number; shares: number[] }[];
  reference: boolean;
  location_only: boolean;
  prior?: { gamma_bar: number; tau2: number; a: number; b: number };
  gamma_hat: string;
  gamma: string;
  delta2_hat: string;
  delta2: string;
  mean_before: string;
  mean_after: string;
}
