#!/usr/bin/env node
// @ts-check
import { fileURLToPath } from 'node:url';
import { buildAgent } from './lib/agent.mjs';
import { SetupError } from './lib/run.mjs';

try {
  await buildAgent(fileURLToPath(new URL('..', import.meta.url)));
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
