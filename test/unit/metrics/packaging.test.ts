import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { DOCUMENT, type ExportedMetric, exportedMetrics, withTables } from '../../support/metrics-document';

const run = promisify(execFile);
const ROOT = resolve(__dirname, '..', '..', '..', '..');
const PROMETHEUS = join(ROOT, 'packaging/prometheus');
const GRAFANA = join(ROOT, 'packaging/grafana');
/** Added by Prometheus itself, or by its histograms. */
const EVERYWHERE = ['instance', 'job', 'le', 'alertname'];

interface Dashboard {
  readonly panels: readonly {
    readonly id: number;
    readonly title: string;
    readonly type: string;
    readonly targets?: readonly { readonly expr: string }[];
  }[];
  readonly annotations: { readonly list: readonly { readonly expr: string }[] };
}

/** The set-up unpacks promtool there, unless the machine has it. */
function promtool(...args: string[]): Promise<{ stdout: string }> {
  const path = `${join(ROOT, '.tools')}:/usr/bin:/usr/local/bin`;
  return run('promtool', args, { cwd: PROMETHEUS, env: { PATH: path } });
}

function dashboard(): Dashboard {
  return JSON.parse(readFileSync(join(GRAFANA, 'forkd.json'), 'utf8')) as Dashboard;
}

function alertExpressions(): string {
  const text = readFileSync(join(PROMETHEUS, 'forkd.rules.yml'), 'utf8');
  return [...text.matchAll(/^ {8}expr:([\s\S]*?)^ {8}\w/gm)].map(([, expr]) => expr ?? '').join('\n');
}

function dashboardExpressions(): string {
  const { panels, annotations } = dashboard();
  const queries = panels.flatMap(({ targets }) => targets ?? []);
  return [...queries, ...annotations.list].map(({ expr }) => expr).join('\n');
}

describe('alerts and dashboard', () => {
  const exported = new Map<string, ExportedMetric>();
  before(async () => {
    const { own, process } = await exportedMetrics();
    for (const metric of [...own, ...process]) exported.set(metric.name, metric);
  });
  const find = (name: string): ExportedMetric | undefined => {
    const family = exported.get(name.replace(/_(bucket|sum|count)$/, ''));
    return family?.type === 'histogram' ? family : exported.get(name);
  };

  for (const [what, text] of [
    ['alerts', alertExpressions()],
    ['dashboard', dashboardExpressions()],
  ] as const) {
    it(`ask for metrics and labels that the daemon has: ${what}`, () => {
      const names = [...text.matchAll(/\b((?:forkd|nodejs|process)_\w+)(?:\{([^}]*)\})?/g)];
      assert.ok(names.length >= 15);
      for (const [, name = '', matchers = ''] of names) {
        const metric = find(name);
        assert.ok(metric, `${name} is not exported`);
        for (const [, label = ''] of matchers.matchAll(/(\w+)\s*(?:=|!=|=~|!~)"/g)) {
          assert.ok([...EVERYWHERE, ...metric.labels].includes(label), `${name} has no label ${label}`);
        }
      }
      const labels = new Set([...exported.values()].flatMap((metric) => metric.labels).concat(EVERYWHERE));
      for (const [, list = ''] of text.matchAll(/\b(?:by|on) \(([^)]*)\)/g)) {
        for (const label of list.split(',').map((each) => each.trim())) assert.ok(labels.has(label), label);
      }
    });
  }

  it('show every metric of the daemon but those that are for other ends', () => {
    const asked = alertExpressions() + dashboardExpressions();
    const unused = [...exported.keys()].filter(
      (name) => name.startsWith('forkd_') && !new RegExp(`\\b${name}(_bucket)?\\b`).test(asked),
    );
    assert.deepEqual(unused.sort(), ['forkd_adoption_seconds', 'forkd_snapshots', 'forkd_workspaces']);
  });
});

describe('the alerts', () => {
  it('are rules that Prometheus understands, and so is the scrape configuration', async () => {
    const { stdout } = await promtool('check', 'rules', 'forkd.rules.yml');
    assert.match(stdout, /SUCCESS/);
    await promtool('check', 'config', '--syntax-only', 'scrape.yml');
  });

  it('fire when they should and are quiet when they should, each of them', async () => {
    const { stdout } = await promtool('test', 'rules', 'forkd.rules.test.yml');
    assert.match(stdout, /SUCCESS/);
    const rules = await readFile(join(PROMETHEUS, 'forkd.rules.yml'), 'utf8');
    const tests = await readFile(join(PROMETHEUS, 'forkd.rules.test.yml'), 'utf8');
    const alerts = [...rules.matchAll(/- alert: (\w+)/g)].map(([, name]) => name ?? '');
    assert.ok(alerts.length >= 15);
    for (const alert of alerts) {
      for (const how of ['fires', 'is quiet'])
        assert.ok(tests.includes(`'${alert} ${how}'`), `${alert} ${how}`);
    }
  });
});

describe('the dashboard', () => {
  it('has panels with a query each, and no two with one id', () => {
    const { panels } = dashboard();
    const ids = new Set(panels.map(({ id }) => id));
    assert.equal(ids.size, panels.length);
    const empty = panels.filter(({ type, targets }) => type !== 'row' && (targets ?? []).length === 0);
    assert.deepEqual(empty, []);
  });
});

describe('docs/metrics.md', () => {
  it('lists exactly what the daemon exports; `npm run metrics` brings it up to date', async () => {
    const text = await readFile(DOCUMENT, 'utf8');
    const rows = (document: string): string[] =>
      document
        .split('\n')
        .filter((line) => line.startsWith('| `'))
        .map((line) => line.replaceAll(/ +/g, ' '));
    assert.deepEqual(rows(text), rows(await withTables(text)));
    assert.ok(rows(text).length > 30);
  });
});
