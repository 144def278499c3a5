/**
 * `npm run bench [-- GROUP ...] [--rounds N] [--churn N] [--json FILE]`: the figures of docs/promises.md, against a baseline.
 * Groups are `calls`, `branch`, `list`, `adoption`, `http`; all of them when none is named. `soak` is measured only when it is named.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { pythonImage } from '../support/real-host';
import { adoptionScenario } from './adoption-scenario';
import { branchScenarios } from './branch-scenarios';
import { httpScenarios } from './http-scenarios';
import { listScenario } from './list-scenario';
import { runScenarios } from './scenarios';
import { soakScenarios } from './soak-scenario';
import type { Measurement } from './types';

function say(text: string): void {
  process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${text}\n`);
}

function table(measurements: readonly Measurement[]): string {
  const rows = measurements.map((each) => [
    each.name,
    `${each.value.toFixed(1)} ${each.unit}`,
    each.baseline === undefined ? '' : `${each.baseline.toFixed(1)} ${each.unit}`,
    each.baseline === undefined ? '' : `${(each.value / each.baseline).toFixed(2)}x`,
    each.limit,
    each.holds ? 'holds' : 'MISSED',
  ]);
  const all = [['what', 'median', 'baseline', 'ratio', 'promised', ''], ...rows];
  const widths = all[0]?.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0))) ?? [];
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string', default: '5' },
      churn: { type: 'string', default: '100' },
      simulated: { type: 'string', default: '20000' },
      real: { type: 'string', default: '500' },
      json: { type: 'string', default: 'bench-results/latest.json' },
    },
  });
  const rounds = Number(values.rounds);
  const groups: Readonly<Record<string, () => Promise<Measurement[]>>> = {
    calls: () => runScenarios({ rounds, churn: Number(values.churn), say }),
    branch: () => branchScenarios({ rounds, say }),
    list: async () => [await listScenario()],
    adoption: () => adoptionScenario(rounds, say),
    http: () => httpScenarios({ rounds }),
    soak: () => soakScenarios({ simulated: Number(values.simulated), real: Number(values.real), say }),
  };
  const names = positionals.length > 0 ? positionals : Object.keys(groups).filter((name) => name !== 'soak');
  const unknown = names.filter((name) => groups[name] === undefined);
  if (unknown.length > 0)
    throw new Error(`unknown group ${unknown.join(', ')}; there are ${Object.keys(groups).join(', ')}`);
  say('image python');
  await pythonImage();
  const measurements: Measurement[] = [];
  for (const name of names) {
    say(name);
    measurements.push(...((await groups[name]?.()) ?? []));
  }
  const report = {
    date: new Date().toISOString(),
    cpu: cpus()[0]?.model,
    cpus: cpus().length,
    node: process.version,
    measurements,
  };
  await mkdir(dirname(values.json), { recursive: true });
  await writeFile(values.json, `${JSON.stringify(report, null, 2)}\n`);
  process.stdout.write(`${table(measurements)}\n`);
  say(`written to ${values.json}`);
  process.exitCode = measurements.every(({ holds }) => holds) ? 0 : 1;
}

void main();
