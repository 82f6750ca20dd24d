// The axis of plots that have a place for each batch.
import type { Theme } from './chart';
import type { BatchColumns } from './model';

// Room for the names of batches under an axis, and the axis.
export function batchAxis(t: Theme, batches: BatchColumns[]) {
  return {
    type: 'category',
    data: batches.map((batch) => batch.name),
    axisLabel: { color: t.text, interval: 0, rotate: batches.length > 8 ? 60 : 0, fontSize: batches.length > 30 ? 9 : 11, width: 100, overflow: 'truncate' },
    axisTick: { alignWithLabel: true },
  };
}

export function roomBelow(batches: BatchColumns[]): object {
  const longest = Math.min(14, Math.max(...batches.map((batch) => batch.name.length), 1));
  return { left: 64, right: 24, top: 40, bottom: batches.length > 8 ? 24 + 6 * longest : 40 };
}
