// @ts-check
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { prepare } from './prepare.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const cli = join(root, 'dist', 'cli.js');

/**
 * Installs and builds what is missing, then hands over to `forkd quickstart`.
 *
 * @param {string[]} args
 * @returns {Promise<number>} the exit code
 */
export async function quickstart(args) {
  if (args.includes('--down')) {
    if (existsSync(cli)) return handOver(args, process.env);
    console.error('Nothing to stop: this checkout was never built.');
    return 0;
  }
  if ((args.includes('--help') || args.includes('-h')) && existsSync(cli)) return handOver(args, process.env);
  const started = performance.now();
  try {
    await prepare({ purpose: 'run', yes: args.includes('--yes'), print: (line) => console.error(line) });
  } catch (error) {
    console.error(`error: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  }
  const prepared = String(Math.round(performance.now() - started));
  return handOver(args, { ...process.env, FORKD_PREPARED_MS: prepared });
}

/**
 * Runs the compiled command line with this terminal and waits for its end, also when interrupted.
 *
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<number>}
 */
function handOver(args, env) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [cli, 'quickstart', ...args], { stdio: 'inherit', env });
    /** @type {NodeJS.Signals[]} */
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
    for (const signal of signals) process.on(signal, () => child.kill(signal));
    child.once('error', (error) => {
      console.error(`error: ${error.message}`);
      resolve(1);
    });
    child.once('close', (code) => {
      resolve(code ?? 1);
    });
  });
}
