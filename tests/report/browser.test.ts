// The page in Chromium: complete, silent, usable by keyboard, in the dark and on paper.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type Browser, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hostile, madeUp } from './made_up';

const reports = process.env.ATTUNE_REPORTS ?? '';
// A machine that is busy with other tests may take long.
const patience = 120_000;
const made = mkdtempSync(join(tmpdir(), 'attune-page-'));
let browser: Browser;

beforeAll(async () => {
  browser = await chromium.launch({
    executablePath: process.env.ATTUNE_CHROMIUM,
    timeout: patience,
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
});
afterAll(async () => {
  await browser?.close();
  rmSync(made, { recursive: true, force: true });
});

// As the program does it.
function pageOf(name: string, report: object): string {
  const path = join(made, `${name}.html`);
  const json = JSON.stringify(report).replace(/</g, '\\u003c');
  writeFileSync(path, readFileSync(process.env.ATTUNE_PAGE ?? '', 'utf8').replace('ATTUNE_REPORT_JSON', () => json));
  return path;
}

interface Opened {
  page: Page;
  complaints: string[];
  requests: string[];
}

async function open(path: string, options: { colorScheme?: 'light' | 'dark'; width?: number } = {}): Promise<Opened> {
  const context = await browser.newContext({
    viewport: { width: options.width ?? 1200, height: 900 },
    colorScheme: options.colorScheme ?? 'light',
  });
  context.setDefaultTimeout(patience);
  const page = await context.newPage();
  const complaints: string[] = [];
  const requests: string[] = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('request', (request) => requests.push(request.url()));
  await page.goto(`file://${path}`);
  await page.locator('footer').waitFor();
  return { page, complaints, requests };
}

// Every plot has something in it: shapes of SVG, or a canvas that is not of one colour.
async function expectAllDrawn(page: Page, least: number): Promise<void> {
  const plots = page.locator('.plot');
  expect(await plots.count()).toBeGreaterThanOrEqual(least);
  const empty = await plots.evaluateAll((all) =>
    all
      .filter((plot) => {
        if (plot.getAttribute('data-drawn') !== 'true' || !plot.getAttribute('aria-label')) return true;
        if (plot.querySelectorAll('svg path').length > 10) return false;
        return ![...plot.querySelectorAll('canvas')].some((canvas) => {
          const { data } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height);
          const colours = new Set<number>();
          for (let i = 0; i < data.length; i += 4) colours.add((data[i]! << 16) | (data[i + 1]! << 8) | data[i + 2]!);
          return colours.size > 5;
        });
      })
      .map((plot) => plot.closest('figure')?.id),
  );
  expect(empty).toEqual([]);
}

function expectSilent({ complaints, requests }: Opened): void {
  expect(complaints).toEqual([]);
  expect(requests.filter((url) => !url.startsWith('file:') && !url.startsWith('data:'))).toEqual([]);
  expect(requests.filter((url) => url.startsWith('file:'))).toHaveLength(1);
}

for (const [name, least] of [
  ['demo', 12],
  ['abide', 13],
] as const) {
  const path = join(reports, `${name}.html`);
  describe.skipIf(!existsSync(path))(`the report of ${name}`, () => {
    test('is complete and silent', async () => {
      const opened = await open(path);
      await expectAllDrawn(opened.page, least);
      expect(await opened.page.locator('.findings li').count()).toBeGreaterThan(2);
      expect(await opened.page.locator('[data-code=in_sample]').count()).toBe(1);
      expect(await opened.page.locator('.badge').count()).toBeGreaterThan(5);
      expectSilent(opened);
      await opened.page.context().close();
    });
  });
}

test('pooled: says that nothing of single batches is there, and has no empty plot for it', async () => {
  const opened = await open(join(reports, 'pooled.html'));
  await expectAllDrawn(opened.page, 3);
  expect(await opened.page.locator('[data-pooled]').count()).toBe(2);
  expect(await opened.page.locator('#means, #sizes, #shrinkage, #heat-map, #scale-ratios').count()).toBe(0);
  expect(await opened.page.locator('.sites').count()).toBe(0);
  expectSilent(opened);
  await opened.page.context().close();
});

test('search marks a feature by keyboard alone, and lets go of it', async () => {
  const { page } = await open(join(reports, 'demo.html'));
  const name = await page.evaluate(() => JSON.parse(document.getElementById('attune-report')!.textContent!).features.names[2] as string);
  await page.keyboard.press('Tab');
  expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('Skip to the findings');
  // On to the search, past the links of the sections.
  for (let i = 0; i < 30 && (await page.evaluate(() => document.activeElement?.id)) !== 'search'; ++i) await page.keyboard.press('Tab');
  expect(await page.evaluate(() => document.activeElement?.id)).toBe('search');
  await page.keyboard.type(name.slice(0, -1));
  const search = page.locator('#search');
  expect(await search.getAttribute('aria-expanded')).toBe('true');
  for (let i = 0; i < 20; ++i) {
    const active = await search.getAttribute('aria-activedescendant');
    if ((await page.locator(`#${active}`).textContent()) === name) break;
    await page.keyboard.press('ArrowDown');
  }
  await page.keyboard.press('Enter');
  expect(await page.locator('#feature h2').textContent()).toBe(name);
  expect(await page.locator('#effect-sizes svg').textContent()).toContain(name);
  expect(await page.locator('#feature table').count()).toBe(2);
  await page.keyboard.press('Escape');
  expect(await page.locator('#feature').count()).toBe(0);
  await page.keyboard.type('no such feature');
  expect(await page.locator('.search [role=status]').textContent()).toContain('no feature');
  await page.context().close();
});

test('the skip link goes to the findings', async () => {
  const { page } = await open(join(reports, 'demo.html'));
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  expect(await page.evaluate(() => document.activeElement?.id)).toBe('findings');
  await page.context().close();
});

test('the filter takes a site out of the plots of batches', async () => {
  const { page, complaints } = await open(join(reports, 'demo.html'));
  const site = await page.evaluate(() => JSON.parse(document.getElementById('attune-report')!.textContent!).batches.batches[0].site as string);
  expect(await page.locator('#sizes svg').textContent()).toContain(site);
  await page.locator('.sites summary').focus();
  await page.keyboard.press('Enter');
  await page.getByLabel(site, { exact: true }).focus();
  await page.keyboard.press('Space');
  expect(await page.locator('.sites summary').textContent()).toContain('3 of 4');
  for (const plot of ['sizes', 'heat-map']) expect(await page.locator(`#${plot} svg`).textContent()).not.toContain(site);
  await page.getByRole('button', { name: 'None' }).click();
  await page.getByRole('button', { name: 'All' }).click();
  expect(await page.locator('#sizes svg').textContent()).toContain(site);
  expect(complaints).toEqual([]);
  await page.context().close();
});

test('each plot has its numbers as a table, and n, test and formula', async () => {
  const { page } = await open(join(reports, 'demo.html'));
  const figures = page.locator('figure');
  for (let i = 0; i < (await figures.count()); ++i) {
    const figure = figures.nth(i);
    for (const summary of await figure.locator('summary').all()) {
      await summary.focus();
      await page.keyboard.press('Enter');
    }
    await expect.poll(() => figure.locator('tbody tr').count(), { timeout: patience }).toBeGreaterThan(0);
    const facts = await figure.locator('dd').allTextContents();
    expect(facts).toHaveLength(3);
    for (const fact of facts) expect(fact.length).toBeGreaterThan(3);
  }
  await page.context().close();
});

test('choices draw again without complaint', async () => {
  const { page, complaints } = await open(join(reports, 'demo.html'));
  for (const box of await page.locator('figure input[type=checkbox]').all()) await box.click();
  for (const select of await page.locator('main select').all()) {
    const values = await select.locator('option').evaluateAll((options) => options.map((option) => (option as HTMLOptionElement).value));
    for (const value of values) await select.selectOption(value);
  }
  await expectAllDrawn(page, 12);
  await page.getByRole('button', { name: 'Copy' }).click();
  await expect.poll(() => page.locator('#methods [role=status]').textContent(), { timeout: patience }).toMatch(/Copied|Selected/);
  expect(complaints).toEqual([]);
  await page.context().close();
});

test('dark: page and plots', async () => {
  const path = join(reports, 'demo.html');
  const { page } = await open(path, { colorScheme: 'dark' });
  const lightness = (colour: string) => (colour.match(/\d+/g) ?? []).slice(0, 3).reduce((sum, part) => sum + Number(part), 0);
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const label = () => page.locator('#sizes svg text').first().evaluate((text) => getComputedStyle(text).fill);
  expect(lightness(await background())).toBeLessThan(150);
  expect(lightness(await label())).toBeGreaterThan(600);
  // While it is open.
  await page.emulateMedia({ colorScheme: 'light' });
  expect(lightness(await background())).toBeGreaterThan(700);
  expect(lightness(await label())).toBeLessThan(200);
  await page.context().close();
});

test('print: light, as wide as the paper, without what is for the screen', async () => {
  const { page, complaints } = await open(join(reports, 'demo.html'), { colorScheme: 'dark' });
  await page.emulateMedia({ media: 'print' });
  expect(await page.locator('.tools').isVisible()).toBe(false);
  expect(await page.evaluate(() => getComputedStyle(document.body).backgroundColor)).toBe('rgb(255, 255, 255)');
  const widths = await page.locator('.plot svg, .plot canvas').evaluateAll((all) => all.map((plot) => plot.getBoundingClientRect().width));
  for (const width of widths) expect(width).toBeLessThanOrEqual(680);
  await expectAllDrawn(page, 12);
  // What cannot be opened on paper is printed.
  expect(await page.locator('#effect-sizes .paper').isVisible()).toBe(true);
  await page.emulateMedia({ media: 'screen' });
  expect(await page.locator('#effect-sizes .paper').isVisible()).toBe(false);
  const pdf = await page.pdf({ format: 'A4' });
  expect(pdf.subarray(0, 5).toString()).toBe('%PDF-');
  expect(pdf.length).toBeGreaterThan(50_000);
  expect(complaints).toEqual([]);
  await page.context().close();
});

test('a narrow screen scrolls down only', async () => {
  const { page } = await open(join(reports, 'demo.html'), { width: 360 });
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
  await page.context().close();
});

test('text of the study is never markup', async () => {
  const opened = await open(pageOf('hostile', madeUp(60, 3)));
  const { page } = opened;
  await page.locator('#search').fill('</scr');
  await page.keyboard.press('Enter');
  expect(await page.locator('#feature h2').textContent()).toBe(hostile);
  expect(await page.locator('h1').textContent()).toBe(hostile);
  // Tooltips are made of HTML: over the middle of each plot there may be one.
  for (const plot of await page.locator('.plot').all()) {
    const box = await plot.boundingBox();
    if (box === null) continue;
    await plot.scrollIntoViewIfNeeded();
    await plot.hover();
  }
  expect(await page.locator('img').count()).toBe(0);
  expect(await page.title()).toContain('</script>');
  await expectAllDrawn(page, 11);
  expectSilent(opened);
  await page.context().close();
});

test('100,000 features: all drawn, found and marked', async () => {
  const opened = await open(pageOf('many', madeUp(100_000, 20, 800)));
  const { page } = opened;
  await expectAllDrawn(page, 11);
  await page.locator('#search').fill('vertex99999');
  await page.keyboard.press('Enter');
  expect(await page.locator('#feature h2').textContent()).toBe('vertex99999');
  expect(await page.locator('#feature').textContent()).toContain('.tsv');
  await page.locator('#features select').selectOption('name');
  expect(await page.locator('#features .pager span').textContent()).toContain('100,000');
  expectSilent(opened);
  await page.context().close();
});

test('a report that the page cannot read: a sentence, not an empty page', async () => {
  const context = await browser.newContext();
  context.setDefaultTimeout(patience);
  const page = await context.newPage();
  await page.goto(`file://${pageOf('future', { ...madeUp(3, 1), format: 2 })}`);
  await expect.poll(() => page.locator('#page').textContent(), { timeout: patience }).toContain('format 2');
  await context.close();
});
