#!/usr/bin/env node
// @ts-check
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';
import { buildPackage } from './lib/package/deb.mjs';
import { SetupError } from './lib/run.mjs';

const USAGE = `usage: node setup/package.mjs [--version VERSION] [--out DIR]

Makes the Debian package of what \`npm run build\` has built, and prints its path.
  --version VERSION  of the package (default: that of package.json)
  --out DIR          where to put it (default: build)`;

try {
  const { values } = parseArgs({
    options: {
      version: { type: 'string' },
      out: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) console.log(USAGE);
  else console.log(await buildPackage(fileURLToPath(new URL('..', import.meta.url)), values));
} catch (error) {
  const usage = error instanceof TypeError && 'code' in error;
  if (!usage && !(error instanceof SetupError)) throw error;
  console.error(usage ? `${error.message}\n\n${USAGE}` : error.message);
  process.exitCode = usage ? 2 : 1;
}
