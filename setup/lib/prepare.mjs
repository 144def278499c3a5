// @ts-check
import { fileURLToPath } from 'node:url';
import { installPackages } from './apt.mjs';
import { build } from './build.mjs';
import { checkMachine } from './machine.mjs';
import { unpackPromtool } from './promtool.mjs';
import { installModules } from './npm.mjs';
import { Reporter } from './reporter.mjs';
import { Log } from './run.mjs';

/**
 * @typedef {import('./packages.mjs').Purpose} Purpose
 *
 * @typedef {object} Context
 * @property {string} root of the project
 * @property {Purpose} purpose
 * @property {Reporter} reporter
 * @property {Log} log
 * @property {boolean} yes install packages without asking
 */

/**
 * Makes a fresh checkout ready. What is there already is not done again; then it takes well under a second and no
 * network.
 *
 * @param {object} options
 * @param {Purpose} options.purpose `test` leaves the build to the tests, which build for themselves
 * @param {boolean} options.yes install distribution packages without asking
 * @param {(line: string) => void} [options.print]
 * @returns {Promise<void>}
 * @throws {import('./run.mjs').SetupError} when it cannot go on; the text says what to do
 */
export async function prepare({ purpose, yes, print }) {
  /** @type {[string, (context: Context) => void | Promise<void>][]} */
  const steps = [
    ['machine', ({ reporter }) => reporter.line(checkMachine(thisMachine()))],
    ['distribution packages', installPackages],
    ['npm packages', installModules],
  ];
  steps.push(purpose === 'test' ? ['promtool', unpackPromtool] : ['build', build]);
  const context = {
    root: fileURLToPath(new URL('../..', import.meta.url)),
    purpose,
    reporter: new Reporter(steps.length, print),
    log: new Log(),
    yes,
  };
  for (const [title, step] of steps) {
    context.reporter.begin(title);
    await step(context);
  }
}

function thisMachine() {
  return { platform: process.platform, arch: process.arch, nodeVersion: process.versions.node };
}
