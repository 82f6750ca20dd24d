// What the page computes by itself.
import { expect, test } from 'vitest';
import { floats, integers } from '../src/decode';
import { adjustedAfter, decode, evenSample, numberText, pText } from '../src/model';
import { find } from '../src/search';
import { fdrLine, histogram, inverseGammaDensity, logGamma, mean, normalDensity, quantile, rejectionLine } from '../src/statistics';
import { integerColumn, madeUp } from './made_up';

test('columns: little-endian float32 and uint32, whatever the machine', () => {
  // 1, -2.5, NaN, as bytes.
  const base64 = Buffer.from([0, 0, 128, 63, 0, 0, 32, 192, 0, 0, 192, 127]).toString('base64');
  expect(Array.from(floats(base64))).toEqual([1, -2.5, NaN]);
  expect(Array.from(integers(Buffer.from([1, 2, 0, 0, 255, 255, 255, 255]).toString('base64')))).toEqual([513, 4294967295]);
  expect(floats('')).toHaveLength(0);
  expect(() => floats(Buffer.from([1, 2, 3]).toString('base64'))).toThrow('3 bytes');
});

test('the line of Benjamini and Hochberg separates exactly those that are rejected', () => {
  const p = [0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205, 0.212, 0.216];
  // By hand: 0.001 <= 0.005, 0.008 <= 0.01, 0.039 > 0.015, ...: two.
  let rejected = 0;
  p.forEach((value, i) => {
    if (-Math.log10(value) >= fdrLine(i + 1, p.length)) rejected = i + 1;
  });
  expect(rejected).toBe(2);
  const line = rejectionLine(rejected, p.length);
  expect(p.filter((value) => -Math.log10(value) >= line)).toHaveLength(2);
  expect(rejectionLine(0, 10)).toBe(Infinity);
});

test('histogram: densities of the values within, and no value is lost but the extremes', () => {
  const values = Array.from({ length: 1000 }, (_, i) => i / 1000).concat([1e9, NaN]);
  const { densities, middles, width } = histogram(values, 10);
  expect(middles).toHaveLength(10);
  const inside = densities.reduce((sum, density) => sum + density * width, 0);
  expect(inside).toBeGreaterThan(0.98);
  expect(inside).toBeLessThanOrEqual(1);
  expect(histogram([2, 2, 2]).densities).toEqual([1]);
  expect(histogram([]).middles).toEqual([]);
});

test('densities', () => {
  expect(logGamma(5)).toBeCloseTo(Math.log(24), 12);
  expect(logGamma(0.5)).toBeCloseTo(Math.log(Math.sqrt(Math.PI)), 12);
  expect(normalDensity(1, 1, 4)).toBeCloseTo(1 / Math.sqrt(8 * Math.PI), 12);
  // Inverse gamma (a = 3, b = 2): integrates to 1, mean b / (a - 1).
  let total = 0;
  let moment = 0;
  for (let x = 0.0005; x < 200; x += 0.001) {
    total += 0.001 * inverseGammaDensity(x, 3, 2);
    moment += 0.001 * x * inverseGammaDensity(x, 3, 2);
  }
  expect(total).toBeCloseTo(1, 4);
  expect(moment).toBeCloseTo(1, 3);
  expect(inverseGammaDensity(-1, 3, 2)).toBe(0);
});

test('quantiles and means', () => {
  expect(quantile([1, 2, 3, 4], 0.5)).toBe(2.5);
  expect(quantile([1, 2, 3, 4], 1)).toBe(4);
  expect(mean([1, NaN, 3])).toBe(2);
  expect(mean([])).toBeNaN();
});

test('numbers as text', () => {
  expect(pText(-Math.log10(0.0321))).toBe('0.0321');
  expect(pText(320.5)).toBe('3.2e-321'); // smaller than a double can be
  expect(pText(NaN)).toBe('–');
  expect(numberText(0)).toBe('0.000');
  expect(numberText(0.00001)).toBe('1.0e-5');
});

test('search: names that begin with it first, never more than asked for', () => {
  const names = ['lh_cuneus', 'rh_cuneus', 'cuneus', 'insula'];
  const model = { listed: names.length, nameOf: (i: number) => names[i] ?? '' };
  expect(find(model, 'CUN')).toEqual([2, 0, 1]);
  expect(find(model, 'cun', 2)).toEqual([2, 0]);
  expect(find(model, ' ')).toEqual([]);
  expect(find(model, 'zzz')).toEqual([]);
});

test('a report of which only some features are listed and in detail', () => {
  const report = madeUp(10, 2, 4);
  report.features.numbers = integerColumn([9, 1, 2, 3, 4, 5, 6, 7, 8, 0]);
  report.features.detailed = integerColumn([7, 0, 3, 5]);
  report.features.detailed_most_affected = '1';
  report.features.names = [];
  const model = decode(report);
  expect(model.nameOf(0)).toBe('voxel 9');
  expect(model.detailOf.get(7)).toBe(0);
  expect(model.detailOf.get(1)).toBeUndefined();
  expect(evenSample(model)).toEqual([1, 2, 3]);
});

test('a batch after its correction', () => {
  const batch = decode(madeUp(3, 1)).batches[0];
  if (batch === undefined) throw new Error('no batch');
  batch.gammaHat.set([1.5]);
  batch.gamma.set([1]);
  batch.delta2.set([0.25]);
  expect(adjustedAfter(batch, 0)).toBe(1);
});

test('a batch has the name of its site where that has no other', () => {
  const report = madeUp(3, 3);
  report.batches?.batches.forEach((batch, i) => Object.assign(batch, { site: i < 2 ? 'a' : 'b', label: `s${i}` }));
  expect(decode(report).batches.map((batch) => batch.name)).toEqual(['a/s0', 'a/s1', 'b']);
});
