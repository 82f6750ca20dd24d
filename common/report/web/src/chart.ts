// ECharts with only what the page uses, in colours that colour-blind people tell apart (Okabe & Ito 2008).
import { BarChart, CustomChart, HeatmapChart, LineChart, ScatterChart } from 'echarts/charts';
import {
  AriaComponent,
  GridComponent,
  LegendComponent,
  MarkLineComponent,
  TooltipComponent,
  VisualMapComponent,
} from 'echarts/components';
import * as echarts from 'echarts/core';
import { CanvasRenderer, SVGRenderer } from 'echarts/renderers';

echarts.use([
  AriaComponent,
  BarChart,
  CanvasRenderer,
  CustomChart,
  GridComponent,
  HeatmapChart,
  LegendComponent,
  LineChart,
  MarkLineComponent,
  SVGRenderer,
  ScatterChart,
  TooltipComponent,
  VisualMapComponent,
]);

export { echarts };
export type Option = echarts.EChartsCoreOption;

export interface Theme {
  text: string;
  muted: string;
  line: string;
  background: string;
  before: string;
  after: string;
  mark: string;
  accent: string;
  palette: string[];
}

const light: Theme = {
  text: '#1b1f24',
  muted: '#5a636e',
  line: '#d4d9df',
  background: '#ffffff',
  before: '#d55e00',
  after: '#0072b2',
  mark: '#000000',
  accent: '#009e73',
  palette: ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00', '#f0e442', '#777777'],
};

const dark: Theme = {
  text: '#e8ebef',
  muted: '#a4adb8',
  line: '#3a424d',
  background: '#171b21',
  before: '#e69f00',
  after: '#56b4e9',
  mark: '#ffffff',
  accent: '#2fc99b',
  palette: ['#56b4e9', '#e69f00', '#2fc99b', '#cc79a7', '#8fd0f5', '#ff8a3d', '#f0e442', '#bbbbbb'],
};

const prefersDark = window.matchMedia('(prefers-color-scheme: dark)');
const prints = window.matchMedia('print');
let printing = prints.matches;
const listeners = new Set<() => void>();

export function theme(): Theme {
  return prefersDark.matches && !printing ? dark : light;
}

export function isPrinting(): boolean {
  return printing;
}

// Tells when colours or sizes change: by the system's scheme, or for a printer. Returns what ends it.
export function onLook(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function look(print: boolean): void {
  printing = print;
  document.documentElement.classList.toggle('printing', print);
  for (const listener of listeners) listener();
}

prefersDark.addEventListener('change', () => look(printing));
prints.addEventListener('change', (event) => look(event.matches));
window.addEventListener('beforeprint', () => look(true));
window.addEventListener('afterprint', () => look(false));

// A round number at or above `value`, and the step of its axis.
export function roundAxis(value: number): { max: number; interval: number } {
  const rough = value / 5;
  const power = Math.pow(10, Math.floor(Math.log10(rough)));
  const interval = [1, 2, 2.5, 5, 10].map((digit) => digit * power).find((step) => step >= rough) ?? rough;
  return { max: Math.ceil(value / interval - 1e-9) * interval, interval };
}

// What names hold is text, never markup.
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

// What all plots share. Axes are given by `x` and `y`.
export function frame(t: Theme, x: object, y: object, more: object = {}): Option {
  const axis = {
    axisLine: { onZero: false, lineStyle: { color: t.muted } },
    axisTick: { lineStyle: { color: t.muted } },
    axisLabel: { color: t.text, hideOverlap: true },
    nameTextStyle: { color: t.text, fontSize: 12 },
    splitLine: { lineStyle: { color: t.line } },
    nameLocation: 'middle',
  };
  return {
    animation: false,
    textStyle: { color: t.text, fontFamily: 'system-ui, sans-serif' },
    grid: { left: 64, right: 24, top: 40, bottom: 52 },
    tooltip: {
      trigger: 'item',
      confine: true,
      backgroundColor: t.background,
      borderColor: t.muted,
      textStyle: { color: t.text, fontSize: 12 },
    },
    legend: { top: 4, textStyle: { color: t.text }, inactiveColor: t.muted },
    xAxis: { ...axis, nameGap: 32, ...x },
    yAxis: { ...axis, nameGap: 44, ...y },
    ...more,
  };
}
