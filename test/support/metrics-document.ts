/** `npm run metrics`: brings the tables in docs/metrics.md up to date with what the daemon exports. */
import { readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { register as processMetrics, type Registry } from 'prom-client';
import { MetricsService } from '../../src/modules/metrics/metrics.service';
import { TestApp } from './app';

export const DOCUMENT = join(resolve(__dirname, '..', '..', '..'), 'docs', 'metrics.md');

export interface ExportedMetric {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly labels: readonly string[];
}

const BEGIN = '<!-- generated: npm run metrics -->';
const END = '<!-- end -->';

async function metricsOf(registry: Registry): Promise<ExportedMetric[]> {
  const known = await registry.getMetricsAsJSON();
  return known
    .map(({ name, help, type }) => {
      const metric: unknown = registry.getSingleMetric(name);
      return { name, help, type: String(type), labels: labelsOf(metric) };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The library's types do not show the labels of its metrics. */
function labelsOf(metric: unknown): string[] {
  if (typeof metric !== 'object' || metric === null || !('labelNames' in metric)) return [];
  return Array.isArray(metric.labelNames) ? metric.labelNames.map(String) : [];
}

/** All metrics of a daemon: its own, and those of its process. */
export async function exportedMetrics(): Promise<{ own: ExportedMetric[]; process: ExportedMetric[] }> {
  const app = await TestApp.start();
  try {
    const own = await metricsOf(app.nest.get(MetricsService).registry);
    return { own, process: await metricsOf(processMetrics) };
  } finally {
    await app.close();
  }
}

function table(metrics: readonly ExportedMetric[]): string {
  const rows = metrics.map(({ name, type, labels, help }) => {
    const names = labels.map((label) => `\`${label}\``).join(', ');
    return `| \`${name}\` | ${type} | ${names} | ${help} |`;
  });
  return ['| name | type | labels | meaning |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

/** The text with its generated part made anew. @throws Error when it has no such part. */
export async function withTables(text: string): Promise<string> {
  const [before, after] = [text.split(BEGIN)[0], text.split(END)[1]];
  if (before === undefined || after === undefined) throw new Error(`${DOCUMENT} has no ${BEGIN} ... ${END}`);
  const { own, process } = await exportedMetrics();
  const parts = [BEGIN, '## Of the daemon', table(own), '## Of its process', table(process), END];
  return `${before}${parts.join('\n\n')}${after}`;
}

async function main(): Promise<void> {
  await writeFile(DOCUMENT, await withTables(await readFile(DOCUMENT, 'utf8')));
}

if (require.main === module) void main();
