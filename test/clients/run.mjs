// @ts-check
// Drives the daemon with clients that others made, unchanged: `node test/clients/run.mjs` after `npm run build:test`.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '..', '..');
const tests = join(root, 'build', 'test', 'clients');
const requirements = join(here, 'requirements.txt');
/** Outlives a build, which replaces the files of the tests only. */
const environment = join(root, 'build', 'python-clients');
const PYTHON = process.env['FORKD_TEST_PYTHON'] ?? 'python3';

/** What the packages of requirements.txt ask for. */
const CHECK = `
import sys
if sys.version_info < (3, 9):
    sys.exit("the clients need Python 3.9 or later, and this is " + sys.version.split()[0])
try:
    import ensurepip, venv
except ImportError as error:
    sys.exit("Python's module " + error.name + " is missing; on Debian and Ubuntu: apt-get install python3-venv")
`;

/** @param {string} message @returns {never} */
function stop(message) {
  console.error(`test:clients: ${message}`);
  process.exit(1);
}

/** @param {string} program @param {string[]} args @param {string} purpose */
function run(program, args, purpose) {
  const { status, error, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (error !== undefined && 'code' in error && error.code === 'ENOENT') {
    stop(`${program} is missing; install it (on Debian and Ubuntu: apt-get install python3 python3-venv)`);
  }
  if (status !== 0) stop(`${purpose} failed: ${error?.message ?? `${stdout}${stderr}`.trim()}`);
}

/** A virtual environment with exactly what requirements.txt names; made once and again when that changes. */
function preparePython() {
  const wanted = createHash('sha256').update(readFileSync(requirements)).update(PYTHON).digest('hex');
  const python = join(environment, 'bin', 'python');
  const mark = join(environment, 'made-for');
  if (existsSync(mark) && readFileSync(mark, 'utf8') === wanted && existsSync(python)) return python;
  run(PYTHON, ['-c', CHECK], 'the check of Python');
  rmSync(environment, { recursive: true, force: true });
  run(PYTHON, ['-m', 'venv', environment], 'making the virtual environment');
  const pip = ['-m', 'pip', '--disable-pip-version-check', 'install', '--quiet', '-r', requirements];
  run(python, pip, `installing ${readFileSync(requirements, 'utf8').trim()} with pip`);
  writeFileSync(`${mark}.tmp`, wanted);
  renameSync(`${mark}.tmp`, mark);
  return python;
}

const files = existsSync(tests) ? readdirSync(tests).filter((name) => name.endsWith('.test.js')) : [];
if (files.length === 0) stop('no compiled tests found; build them: npm run build:test');
const python = preparePython();
const { status } = spawnSync(
  process.execPath,
  [
    '--enable-source-maps',
    '--test',
    '--test-concurrency=1',
    '--test-reporter=spec',
    ...files.map((file) => join(tests, file)),
  ],
  { stdio: 'inherit', cwd: root, env: { ...process.env, FORKD_CLIENTS_PYTHON: python } },
);
process.exit(status ?? 1);
