// The little arithmetic that plots need beyond the report's own figures.

// -log10 of the largest p-value that is rejected when `rejected` of `tested` hypotheses are (Benjamini-Hochberg); nothing is
// rejected: infinity.
export function rejectionLine(rejected: number, tested: number, rate = 0.05): number {
  return rejected > 0 && tested > 0 ? -Math.log10((rate * rejected) / tested) : Infinity;
}

// The line that the ordered p-values are held against: -log10(rate * rank / tested).
export function fdrLine(rank: number, tested: number, rate = 0.05): number {
  return -Math.log10((rate * rank) / tested);
}

export interface Histogram {
  // Middles of the bins, and densities that integrate to the share of values within.
  middles: number[];
  densities: number[];
  width: number;
}

// Over the middle 99 % of the values, so that one extreme value does not flatten all others.
export function histogram(values: number[], bins = 40): Histogram {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  if (sorted.length === 0) return { middles: [], densities: [], width: 0 };
  const low = quantile(sorted, 0.005);
  const high = quantile(sorted, 0.995);
  const width = high > low ? (high - low) / bins : 1;
  const counts = new Array<number>(high > low ? bins : 1).fill(0);
  for (const value of sorted) {
    if (value < low || value > high) continue;
    const bin = Math.min(counts.length - 1, Math.floor((value - low) / width));
    counts[bin] = (counts[bin] ?? 0) + 1;
  }
  return {
    middles: counts.map((_, i) => low + (i + 0.5) * width),
    densities: counts.map((count) => count / (sorted.length * width)),
    width,
  };
}

// Of sorted values, by linear interpolation.
export function quantile(sorted: number[], q: number): number {
  const at = q * (sorted.length - 1);
  const below = sorted[Math.floor(at)] ?? NaN;
  const above = sorted[Math.ceil(at)] ?? NaN;
  return below + (at - Math.floor(at)) * (above - below);
}

export function mean(values: number[]): number {
  let sum = 0;
  let n = 0;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    sum += value;
    ++n;
  }
  return n > 0 ? sum / n : NaN;
}

export function normalDensity(x: number, location: number, variance: number): number {
  return Math.exp((-(x - location) * (x - location)) / (2 * variance)) / Math.sqrt(2 * Math.PI * variance);
}

export function inverseGammaDensity(x: number, a: number, b: number): number {
  return x > 0 ? Math.exp(a * Math.log(b) - logGamma(a) - (a + 1) * Math.log(x) - b / x) : 0;
}

// Stirling's series after moving up to z >= 10: 1e-14.
export function logGamma(z: number): number {
  let shift = 0;
  while (z < 10) shift += Math.log(z++);
  const w = 1 / (z * z);
  const series = (1 / 12 - w * (1 / 360 - w * (1 / 1260 - w * (1 / 1680 - w * (1 / 1188))))) / z;
  return (z - 0.5) * Math.log(z) - z + 0.5 * Math.log(2 * Math.PI) + series - shift;
}
