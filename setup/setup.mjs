#!/usr/bin/env node
// @ts-check
import { parseArgs } from 'node:util';
import { prepare } from './lib/prepare.mjs';
import { SetupError } from './lib/run.mjs';

const USAGE = `usage: node setup/setup.mjs [--for run|test|bench] [--yes]

Makes a fresh checkout ready: distribution packages, npm packages, build.
  --for PURPOSE  run (default), test (leaves the build to the tests) or bench
  --yes          install distribution packages without asking`;

/** @typedef {import('./lib/prepare.mjs').Purpose} Purpose */
/** @type {readonly Purpose[]} */
const PURPOSES = ['run', 'test', 'bench'];

/** @returns {Promise<number>} exit code */
async function main() {
  /** @type {{for: string, yes: boolean, help: boolean}} */
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        for: { type: 'string', default: 'run' },
        yes: { type: 'boolean', short: 'y', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }));
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    return 2;
  }
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const purpose = PURPOSES.find((candidate) => candidate === values.for);
  if (purpose === undefined) {
    console.error(`--for takes ${PURPOSES.join(', ')}, not ${values.for}\n\n${USAGE}`);
    return 2;
  }
  try {
    await prepare({ purpose, yes: values.yes });
    return 0;
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(error.message);
    return 1;
  }
}

process.exitCode = await main();
