// @ts-check
import { spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';

/** A step that cannot go on; the text says what to do. */
export class SetupError extends Error {}

/** Where the output of commands goes; created with the first of them. */
export class Log {
  /** @type {string | undefined} */
  #path;

  get path() {
    this.#path ??= join(mkdtempSync(join(tmpdir(), 'forkd-setup-')), 'setup.log');
    return this.#path;
  }

  /** @param {string | Uint8Array} text */
  write(text) {
    appendFileSync(this.path, text);
  }
}

/**
 * @typedef {object} RunOptions
 * @property {string} [cwd]
 * @property {NodeJS.ProcessEnv} [env]
 * @property {Log} [log] gets a copy of all output
 */

/**
 * Runs a program without a shell and waits for its end. A program that is not there has exit code 127.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {RunOptions} [options]
 * @returns {Promise<{code: number, output: string}>} standard output and error, interleaved
 */
export function run(command, args, options = {}) {
  options.log?.write(`\n$ ${[command, ...args].join(' ')}\n`);
  return new Promise((resolve) => {
    const child = spawn(command, [...args], {
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    /** @param {Buffer} chunk */
    const keep = (chunk) => {
      output = (output + chunk.toString('utf8')).slice(-1024 * 1024);
      options.log?.write(chunk);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.once('error', (error) => resolve({ code: 127, output: error.message }));
    child.once('close', (code, signal) => {
      resolve({ code: code ?? 128 + (signal === null ? 0 : constants.signals[signal]), output });
    });
  });
}

/**
 * Like {@link run}, for a command whose failure ends the set-up.
 *
 * @param {string} what the command in words, e.g. "npm ci"
 * @param {string} command
 * @param {readonly string[]} args
 * @param {RunOptions & {log: Log}} options
 * @returns {Promise<string>} its output
 */
export async function mustRun(what, command, args, options) {
  const { code, output } = await run(command, args, options);
  if (code !== 0) throw failure(what, code, output, options.log);
  return output;
}

/**
 * @param {string} what
 * @param {number} code
 * @param {string} output
 * @param {Log} log
 */
export function failure(what, code, output, log) {
  const lines = output.trimEnd().split('\n').slice(-20);
  return new SetupError(
    `${what} failed with exit code ${code}; its last lines:\n${lines.map((line) => `    ${line}`).join('\n')}\nThe whole output is in ${log.path}`,
  );
}
