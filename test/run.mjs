// @ts-check
// Runs the compiled tests with Node's own runner: `node test/run.mjs [folder ...]`, all folders when none is named.
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const root = new URL('../build/test/', import.meta.url).pathname;
/** Folders in the order they run; those with real VMs come last and run one file at a time. */
const ALL = ['unit', 'contract', 'e2e', 'faults', 'host'];
const WITH_VMS = new Set(['e2e', 'faults', 'host']);
const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !ALL.includes(name));
if (unknown.length > 0) {
  console.error(`unknown test folder ${unknown.join(', ')}; there are ${ALL.join(', ')}`);
  process.exit(2);
}

/** @param {string} folder @returns {string[]} */
function testFiles(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.test.js'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** @param {string[]} files @param {number} concurrency @returns {Promise<number>} */
function run(files, concurrency) {
  const args = [
    '--enable-source-maps',
    '--test',
    `--test-concurrency=${concurrency}`,
    '--test-reporter=spec',
    ...files,
  ];
  return new Promise((resolve) => {
    spawn(process.execPath, args, { stdio: 'inherit' }).once('exit', (code) => resolve(code ?? 1));
  });
}

let failed = 0;
const folders = ALL.filter((name) => wanted.length === 0 || wanted.includes(name));
const quick = folders.filter((name) => !WITH_VMS.has(name)).flatMap((name) => testFiles(join(root, name)));
const real = folders.filter((name) => WITH_VMS.has(name)).flatMap((name) => testFiles(join(root, name)));
if (quick.length > 0) failed += await run(quick, 2);
if (real.length > 0) failed += await run(real, 1);
if (quick.length + real.length === 0) {
  console.error('no compiled tests found; build them: npm run build:test');
  failed = 1;
}
process.exit(failed === 0 ? 0 : 1);
