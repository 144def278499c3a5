// @ts-check
import { build } from 'esbuild';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { SetupError } from '../run.mjs';

/** Load files of their own in threads, by path, so they stay packages. */
export const UNBUNDLED = ['pino', 'pino-pretty', 'thread-stream'];

/** Nest asks for these and goes on without them. */
const ABSENT =
  /^(@nestjs\/(microservices|websockets|platform-express)(\/.*)?|class-transformer\/storage|@fastify\/(static|view))$/;
const EMPTY = /^(inquirer|cosmiconfig|@fig\/complete-commander)$/;

const PROGRAMS = ['main.js', 'image-tool.js'];
/** How files are called that the programs start as threads or processes, by path. */
const WORKER = /-worker\.js$/;

/**
 * Makes one file of each program and worker, in the place it had, which takes a fraction of the files and of the time to start.
 *
 * @param {string} dist the build
 * @param {string} target like `dist`, holding what is not bundled already
 */
export async function bundlePrograms(dist, target) {
  const names = readdirSync(dist, { recursive: true, encoding: 'utf8' });
  for (const entry of [...PROGRAMS, ...names.filter((name) => WORKER.test(name))]) {
    const source = join(dist, entry);
    await build({
      entryPoints: [source],
      outfile: join(target, entry),
      bundle: true,
      platform: 'node',
      target: 'node20',
      format: 'cjs',
      // Nest and its log know classes by their names.
      keepNames: true,
      legalComments: 'linked',
      logLevel: 'error',
      external: UNBUNDLED,
      plugins: [leaveOut(dist, dirname(source))],
    });
  }
  await cacheCode(target);
}

/**
 * @param {string} dist
 * @param {string} home directory of the entry, which is that of the bundle
 * @returns {import('esbuild').Plugin}
 */
function leaveOut(dist, home) {
  return {
    name: 'leave-out',
    setup({ onResolve, onLoad }) {
      onResolve({ filter: EMPTY }, ({ path }) => ({ path, namespace: 'empty' }));
      onResolve({ filter: ABSENT }, ({ path }) => ({ path, namespace: 'absent' }));
      onLoad({ filter: /.*/, namespace: 'empty' }, () => ({ contents: 'module.exports = {};' }));
      onLoad({ filter: /.*/, namespace: 'absent' }, ({ path }) => ({
        contents: `throw Object.assign(new Error(${JSON.stringify(`${path} is left out`)}), { code: 'MODULE_NOT_FOUND' });`,
      }));
      onLoad({ filter: /\.js$/ }, ({ path }) => {
        if (!path.startsWith(`${dist}/`)) return undefined;
        // What a module finds beside itself, it finds from the place of the bundle.
        const own = `require('node:path').join(__dirname, ${JSON.stringify(relative(home, dirname(path)))})`;
        return { contents: readFileSync(path, 'utf8').replace(/\b__dirname\b/g, own) };
      });
    },
  };
}

/** Wraps the daemon in a loader that hands V8 its compiled code. Another Node than this one compiles for itself. */
async function cacheCode(/** @type {string} */ target) {
  const main = join(target, 'main.js');
  writeFileSync(join(target, 'main.bundle.js'), readFileSync(main, 'utf8').replace(/^#!.*\n/, ''));
  writeFileSync(main, LOADER, { mode: 0o755 });
  const scratch = mkdtempSync(join(tmpdir(), 'forkd-bundle-'));
  try {
    // A run compiles what a start needs, so that the cache has it. Whoever runs it, it touches nothing but its own.
    const daemon = spawn(process.execPath, [main, 'serve'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env['PATH'] ?? '',
        HOME: scratch,
        FORKD_BIND: '127.0.0.1:0',
        FORKD_STATE: join(scratch, 'state.json'),
        FORKD_AUDIT_LOG: join(scratch, 'audit.log'),
        FORKD_RUN_DIR: join(scratch, 'run'),
        FORKD_PREWARM_SCRATCH_DIR: join(scratch, 'prewarm'),
        FORKD_QUOTAS: 'off',
        FORKD_NETWORK: 'off',
        FORKD_WRITE_CODE_CACHE: '1',
      },
    });
    let said = '';
    for (const stream of [daemon.stdout, daemon.stderr]) {
      stream.on('data', (/** @type {Buffer} */ data) => {
        const before = said;
        said += data;
        // A second signal would end it at once.
        if (said.includes('listening on') && !before.includes('listening on')) daemon.kill('SIGTERM');
      });
    }
    const [code] = await once(daemon, 'close');
    if (code !== 0) throw new SetupError(`the bundled daemon does not run: ${said}`);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

const LOADER = `#!/usr/bin/env node
'use strict';
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const { Script } = require('node:vm');
const filename = join(__dirname, 'main.bundle.js');
const code = '(function (exports, require, module, __filename, __dirname) {' + readFileSync(filename, 'utf8') + '\\n})';
let cachedData;
try {
  cachedData = readFileSync(join(__dirname, 'main.bundle.cache'));
} catch {
  // Slower, but right.
}
const script = new Script(code, cachedData === undefined ? { filename } : { filename, cachedData });
script.runInThisContext()(module.exports, require, module, filename, __dirname);
if (process.env.FORKD_WRITE_CODE_CACHE === '1') {
  process.once('exit', () => {
    require('node:fs').writeFileSync(join(__dirname, 'main.bundle.cache'), script.createCachedData());
  });
}
`;
