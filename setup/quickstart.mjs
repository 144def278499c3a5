#!/usr/bin/env node
// @ts-check
import { quickstart } from './lib/quickstart.mjs';

process.exitCode = await quickstart(process.argv.slice(2));
