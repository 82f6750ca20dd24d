import { render } from 'preact';
import { decode } from './model';
import { Page } from './page';
import type { Report } from './report';
import './style.css';

const root = document.getElementById('page');
const data = document.getElementById('attune-report');
if (root === null || data === null) throw new Error('this page is incomplete');
try {
  const report = JSON.parse(data.textContent ?? '') as Report;
  if (report.format !== 1) throw new Error(`the report has the format ${report.format}; this page reads format 1`);
  document.title = `${report.study.name}: Attune report`;
  render(<Page model={decode(report)} />, root);
} catch (error) {
  // Better a sentence than an empty page.
  root.textContent = `This report cannot be shown: ${error instanceof Error ? error.message : String(error)}. Its figures are in the .tsv files beside it.`;
  throw error;
}
