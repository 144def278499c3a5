#!/usr/bin/env node
// @ts-check
// Makes the disposable host of the tests when it is not there yet, and prints the directory it is in.
import { SetupError } from './lib/run.mjs';
import { prepareTestHost } from './lib/test-host/prepare.mjs';

try {
  console.log(await prepareTestHost((line) => console.error(line)));
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
