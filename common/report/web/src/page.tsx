import { useMemo, useState } from 'preact/hooks';
import { CovariateOfBatches, MeanStrips, ScaleStrips, Sizes } from './batch_plots';
import { HeatMap, PriorFit, Shrinkage } from './correction_plots';
import { CovariateEffects, EffectSizes, RankedP, ScaleRatios } from './feature_plots';
import { InSample, Rows, type Table } from './figure';
import { adjustedAfter, numberText, pText, type Model, type Severity } from './model';
import { Search } from './search';

const words: Record<Severity, { sign: string; word: string }> = {
  error: { sign: '✖', word: 'Error' },
  warning: { sign: '▲', word: 'Warning' },
  info: { sign: 'ℹ', word: 'Note' },
  ok: { sign: '✔', word: 'Good' },
};

export function Page({ model }: { model: Model }) {
  const [selected, setSelected] = useState<number | null>(null);
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const { report } = model;
  const { study } = report;
  const batches = useMemo(() => model.batches.filter((batch) => !hidden.has(batch.site)), [model, hidden]);
  const perBatch = model.batches.length > 0;
  const shared = { model, batches, selected };
  return (
    <>
      <a class="skip" href="#findings">
        Skip to the findings
      </a>
      <header>
        <p class="eyebrow">Attune harmonization report · {report.edition} edition</p>
        <h1>{study.name}</h1>
        <p>
          {Number(study.subjects).toLocaleString('en')} subjects · {study.sites} sites · {study.batches} batches ·{' '}
          {Number(study.features).toLocaleString('en')} {study.voxels ? 'voxels' : 'features'} · {study.method} · release:{' '}
          {study.release}
        </p>
        <nav aria-label="Sections">
          <ul>
            {[
              ['findings', 'Findings'],
              ['outcome', 'Before and after'],
              ['people', 'Sites and people'],
              ['effect', 'Batch effect'],
              ['kept', 'Covariates'],
              ['done', 'What was done'],
              ['features', 'All features'],
              ['methods', 'Methods'],
              ['limits', 'Limits'],
            ].map(([id, text]) => (
              <li>
                <a href={`#${id}`}>{text}</a>
              </li>
            ))}
          </ul>
        </nav>
      </header>
      <div class="tools" role="search" aria-label="Find and filter">
        <Search model={model} selected={selected} select={setSelected} />
        {perBatch && model.sites.length > 1 && <SiteFilter sites={model.sites} hidden={hidden} set={setHidden} />}
      </div>
      <main>
        {selected !== null && <FeatureCard model={model} listed={selected} batches={batches} />}
        <section id="findings" tabIndex={-1} aria-labelledby="findings-title">
          <h2 id="findings-title">Findings</h2>
          <ul class="findings">
            {model.findings.map((finding) => (
              <li class={finding.severity} data-code={finding.code}>
                <p class="finding-title">
                  <span class="sign" aria-hidden="true">
                    {words[finding.severity].sign}
                  </span>{' '}
                  <span class="severity">{words[finding.severity].word}:</span> <strong>{finding.title}</strong>
                </p>
                <p>{finding.detail}</p>
                {finding.remedy !== '' && (
                  <p>
                    <em>What to do:</em> {finding.remedy}
                  </p>
                )}
              </li>
            ))}
          </ul>
        </section>
        <section id="outcome" tabIndex={-1} aria-labelledby="outcome-title">
          <h2 id="outcome-title">
            Before and after <InSample />
          </h2>
          <div class="scroll" tabIndex={0} role="region" aria-label="Before and after, as a table">
            <table>
              <thead>
                <tr>
                  <th scope="col">Figure</th>
                  <th scope="col">Before</th>
                  <th scope="col">After</th>
                  <th scope="col">n</th>
                  <th scope="col">Test and formula</th>
                </tr>
              </thead>
              <tbody>
                {model.outcomes.map((outcome) => (
                  <tr>
                    <th scope="row">{outcome.label}</th>
                    <td>{outcome.before}</td>
                    <td>{outcome.after}</td>
                    <td>{outcome.n}</td>
                    <td class="wide">
                      {outcome.test}
                      <details class="screen">
                        <summary>Formula</summary>
                        {outcome.formula}
                      </details>
                      <p class="paper">{outcome.formula}</p>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </section>
        <section id="people" tabIndex={-1} aria-labelledby="people-title">
          <h2 id="people-title">Sites and people</h2>
          {perBatch ? (
            <>
              <Sizes {...shared} />
              {study.covariates.map((covariate, index) => (
                <CovariateOfBatches {...shared} covariate={covariate} index={index} />
              ))}
            </>
          ) : (
            <NothingPerBatch />
          )}
        </section>
        <section id="effect" tabIndex={-1} aria-labelledby="effect-title">
          <h2 id="effect-title">Is the batch effect gone?</h2>
          <EffectSizes model={model} selected={selected} select={setSelected} />
          <RankedP model={model} />
          {perBatch && <MeanStrips {...shared} />}
          {perBatch && <ScaleStrips {...shared} />}
          {model.before.scale.length > 0 && <ScaleRatios model={model} selected={selected} select={setSelected} />}
          {!perBatch && <p class="quiet">Means and spreads of single batches, and ratios of scales, need what single batches sent.</p>}
        </section>
        <section id="kept" tabIndex={-1} aria-labelledby="kept-title">
          <h2 id="kept-title">Is what the covariates explain still there?</h2>
          {study.covariates.length > 0 ? (
            <CovariateEffects model={model} selected={selected} select={setSelected} />
          ) : (
            <p class="quiet">The study has no covariates, so that nothing was protected, and nothing of this kind can be tested.</p>
          )}
        </section>
        <section id="done" tabIndex={-1} aria-labelledby="done-title">
          <h2 id="done-title">What was done to each batch</h2>
          {perBatch ? (
            batches.length > 0 ? (
              <>
                <Shrinkage {...shared} />
                <PriorFit {...shared} />
                <HeatMap {...shared} />
              </>
            ) : (
              <p class="quiet">No site is chosen in the filter above.</p>
            )
          ) : (
            <NothingPerBatch />
          )}
        </section>
        <section id="features" tabIndex={-1} aria-labelledby="features-title">
          <h2 id="features-title">All features</h2>
          <FeatureTable model={model} />
        </section>
        <Methods text={report.methods} references={report.references} options={study.options} />
        <section id="limits" tabIndex={-1} aria-labelledby="limits-title">
          <h2 id="limits-title">Limits</h2>
          <ul>
            {report.limits.map((limit) => (
              <li>{limit}</li>
            ))}
          </ul>
        </section>
        {study.notes.length > 0 && (
          <section id="notes" tabIndex={-1} aria-labelledby="notes-title">
            <h2 id="notes-title">Notes of the method</h2>
            <ul>
              {study.notes.map((note) => (
                <li>{note}</li>
              ))}
            </ul>
          </section>
        )}
      </main>
      <footer>
        <h2>Provenance</h2>
        <dl>
          {(
            [
              ['Consortium', report.provenance.consortium],
              ['State of the study', report.provenance.state],
              ['Attune', report.provenance.software_version],
              ['Manifest, SHA-256', report.provenance.manifest_sha256],
              ['Correction, SHA-256', report.provenance.correction_sha256],
              ['Evidence, SHA-256', report.provenance.evidence_sha256],
            ] as const
          ).map(([name, value]) => (
            <>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </>
          ))}
        </dl>
        <p>
          Made from released summaries only: no row and no id of any person is in this file. Made again from the same record, it is the
          same bytes. Every number is in the files beside this page (.json, .tsv).
        </p>
      </footer>
    </>
  );
}

function NothingPerBatch() {
  return (
    <p class="quiet" data-pooled>
      Nothing of single batches is shown: under <code>release: pooled</code> their sums reached the coordinator only masked and added
      up, so that nobody but the site itself knows them.
    </p>
  );
}

function SiteFilter({ sites, hidden, set }: { sites: string[]; hidden: ReadonlySet<string>; set: (hidden: ReadonlySet<string>) => void }) {
  const toggle = (site: string) => {
    const next = new Set(hidden);
    if (!next.delete(site)) next.add(site);
    set(next);
  };
  return (
    <details class="sites">
      <summary>
        Sites shown: {sites.length - hidden.size} of {sites.length}
      </summary>
      <fieldset>
        <legend>Show in the plots of batches</legend>
        <div class="buttons">
          <button type="button" onClick={() => set(new Set())}>
            All
          </button>
          <button type="button" onClick={() => set(new Set(sites))}>
            None
          </button>
        </div>
        {sites.map((site) => (
          <label>
            <input type="checkbox" checked={!hidden.has(site)} onChange={() => toggle(site)} /> {site}
          </label>
        ))}
      </fieldset>
    </details>
  );
}

// Everything that the report has of one feature.
function FeatureCard({ model, listed, batches }: { model: Model; listed: number; batches: Model['batches'] }) {
  const detail = model.detailOf.get(listed);
  const { covariates } = model.report.study;
  const tested = Number.isFinite(model.before.f[listed] ?? NaN);
  const rows: [string, string, string][] = [
    ['p of the batch effect', pText(model.before.p[listed] ?? NaN), pText(model.after.p[listed] ?? NaN)],
    ["Cohen's f of batch", numberText(model.before.f[listed]), numberText(model.after.f[listed])],
  ];
  if (detail !== undefined) {
    rows.push(['F of batch', numberText(model.before.fStatistic[detail], 2), numberText(model.after.fStatistic[detail], 2)]);
    rows.push(['Partial η² of batch', numberText(model.before.eta[detail]), numberText(model.after.eta[detail])]);
    if (model.before.scale.length > 0) {
      rows.push(['Scale ratio of batches', numberText(model.before.scale[detail]), numberText(model.after.scale[detail])]);
    }
    covariates.forEach((covariate, c) => {
      rows.push([
        `p of ${covariate.name}`,
        pText(model.before.covariates[c]?.p[detail] ?? NaN),
        pText(model.after.covariates[c]?.p[detail] ?? NaN),
      ]);
    });
  }
  const table: Table = {
    columns: ['Batch', 'Mean before (SD)', 'Mean after (SD)', 'SD ratio before', 'SD ratio after'],
    rows: batches.length,
    row: (i) => {
      const batch = batches[i];
      if (batch === undefined || detail === undefined) return [];
      const before = batch.delta2Hat[detail] ?? NaN;
      return [
        batch.name,
        numberText(batch.gammaHat[detail]),
        numberText(adjustedAfter(batch, detail)),
        numberText(Math.sqrt(before)),
        numberText(Math.sqrt(before / (batch.delta2[detail] ?? NaN))),
      ];
    },
  };
  return (
    <section id="feature" class="card" aria-labelledby="feature-title">
      <h2 id="feature-title">{model.nameOf(listed)}</h2>
      {tested ? (
        <div class="columns">
          <table>
            <thead>
              <tr>
                <th scope="col">Figure</th>
                <th scope="col">Before</th>
                <th scope="col">
                  After <InSample />
                </th>
              </tr>
            </thead>
            <tbody>
              {rows.map(([name, before, after]) => (
                <tr>
                  <th scope="row">{name}</th>
                  <td>{before}</td>
                  <td>{after}</td>
                </tr>
              ))}
            </tbody>
          </table>
          {detail !== undefined && batches.length > 0 && <Rows name={`${model.nameOf(listed)} in each batch`} table={table} />}
        </div>
      ) : (
        <p>This feature was left as it is at every site, and not tested. The findings and notes say why.</p>
      )}
      {tested && detail === undefined && (
        <p class="quiet">Its further figures, and those of single batches, are in the .tsv files: here there is room for some features only.</p>
      )}
      <p class="quiet">It is marked in the plots below.</p>
    </section>
  );
}

type Key = 'order' | 'name' | 'pBefore' | 'pAfter' | 'fBefore' | 'fAfter';

function FeatureTable({ model }: { model: Model }) {
  const [key, setKey] = useState<Key>('fBefore');
  const order = useMemo(() => {
    const indices = Array.from({ length: model.listed }, (_, i) => i);
    const column = { pBefore: model.before.p, pAfter: model.after.p, fBefore: model.before.f, fAfter: model.after.f };
    if (key === 'name') indices.sort((a, b) => model.nameOf(a).localeCompare(model.nameOf(b), 'en', { numeric: true }));
    else if (key !== 'order') {
      const values = column[key];
      const of = (i: number) => (Number.isFinite(values[i] ?? NaN) ? (values[i] ?? 0) : -1);
      indices.sort((a, b) => of(b) - of(a));
    }
    return indices;
  }, [model, key]);
  const table: Table = {
    columns: ['Feature', 'p before', 'p after', "Cohen's f before", "Cohen's f after"],
    rows: order.length,
    row: (at) => {
      const i = order[at] ?? 0;
      return [
        model.nameOf(i),
        pText(model.before.p[i] ?? NaN),
        pText(model.after.p[i] ?? NaN),
        numberText(model.before.f[i]),
        numberText(model.after.f[i]),
      ];
    },
  };
  return (
    <>
      {model.listed < model.total && (
        <p>
          {model.listed.toLocaleString('en')} of {model.total.toLocaleString('en')} features are listed: the{' '}
          {model.mostAffected.toLocaleString('en')} most affected before, and an even sample of the others. Totals on this page are over
          all. The .tsv file beside it lists every feature.
        </p>
      )}
      <label class="choice">
        Order by{' '}
        <select value={key} onChange={(event) => setKey(event.currentTarget.value as Key)}>
          <option value="fBefore">effect before</option>
          <option value="fAfter">effect after</option>
          <option value="pBefore">p before</option>
          <option value="pAfter">p after</option>
          <option value="name">name</option>
          <option value="order">order of the study</option>
        </select>
      </label>
      <Rows name="All features" table={table} />
    </>
  );
}

function Methods({ text, references, options }: { text: string; references: string[]; options: string[] }) {
  const [said, setSaid] = useState('');
  const whole = `${text}\n\n${references.map((reference, i) => `[${i + 1}] ${reference}`).join('\n')}\n`;
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(whole);
      setSaid('Copied.');
    } catch {
      // A file opened from a disk may not use the clipboard: let the reader do it.
      const element = document.getElementById('methods-text');
      if (element !== null) window.getSelection()?.selectAllChildren(element);
      setSaid('Selected: press Ctrl+C to copy.');
    }
  };
  return (
    <section id="methods" tabIndex={-1} aria-labelledby="methods-title">
      <h2 id="methods-title">Methods, ready to paste</h2>
      <div id="methods-text" class="paste">
        <p>{text}</p>
        <ol>
          {references.map((reference) => (
            <li>{reference}</li>
          ))}
        </ol>
      </div>
      <div class="buttons">
        <button type="button" onClick={copy}>
          Copy
        </button>{' '}
        <span role="status">{said}</span>
      </div>
      <h3>Settings of this study</h3>
      <ul>
        {options.map((option) => (
          <li>{option}</li>
        ))}
      </ul>
    </section>
  );
}
