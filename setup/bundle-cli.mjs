#!/usr/bin/env node
// @ts-check
// Makes one file of the compiled command line, with V8's code cache beside it: `forkd` starts three times as fast.
import { build } from 'esbuild';
import { spawnSync } from 'node:child_process';
import { rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const dist = process.argv[2] ?? join(dirname(fileURLToPath(import.meta.url)), '..', 'dist');

/** Loaded by nest-commander and Nest, but for prompts, plug-ins and transports this program does not have. */
const EMPTY = /^(inquirer|cosmiconfig|@fig\/complete-commander)$/;
const ABSENT =
  /^(@nestjs\/(microservices|websockets|platform-express)(\/.*)?|class-validator|class-transformer(\/.*)?|bufferutil|utf-8-validate)$/;

const LOADER = `#!/usr/bin/env node
'use strict';
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const { Script } = require('node:vm');
const filename = join(__dirname, 'cli.bundle.js');
const code = '(function (exports, require, module, __filename, __dirname) {' + readFileSync(filename, 'utf8') + '\\n})';
const cache = join(__dirname, 'cli.bundle.cache');
let cachedData;
try {
  cachedData = readFileSync(cache);
} catch {
  // Slower, but right.
}
const script = new Script(code, cachedData === undefined ? { filename } : { filename, cachedData });
script.runInThisContext()(module.exports, require, module, filename, __dirname);
if (process.env.FORKD_WRITE_CODE_CACHE === '1') {
  process.once('exit', () => require('node:fs').writeFileSync(cache, script.createCachedData()));
}
`;

/** @type {import('esbuild').Plugin} */
const leaveOut = {
  name: 'leave-out',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: EMPTY }, ({ path }) => ({ path, namespace: 'empty' }));
    onResolve({ filter: ABSENT }, ({ path }) => ({ path, namespace: 'absent' }));
    onLoad({ filter: /.*/, namespace: 'empty' }, () => ({ contents: 'module.exports = {};' }));
    // Nest tries these and goes on without them when they are not installed.
    onLoad({ filter: /.*/, namespace: 'absent' }, ({ path }) => ({
      contents: `throw Object.assign(new Error(${JSON.stringify(`${path} is left out`)}), { code: 'MODULE_NOT_FOUND' });`,
    }));
  },
};

await build({
  stdin: { contents: "require('./modules/cli/main').main();", resolveDir: dist },
  outfile: join(dist, 'cli.bundle.js'),
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  legalComments: 'linked',
  logLevel: 'warning',
  plugins: [leaveOut],
});
const entry = join(dist, 'cli.js');
await writeFile(`${entry}.tmp`, LOADER, { mode: 0o755 });
await rename(`${entry}.tmp`, entry);
// A first run compiles what commands use, so that the cache holds it; it asks a port nobody listens on.
const run = spawnSync(process.execPath, [entry, 'ls', '--url', 'http://127.0.0.1:1'], {
  stdio: 'ignore',
  env: { ...process.env, FORKD_WRITE_CODE_CACHE: '1' },
});
if (run.error !== undefined) throw run.error;
