// @ts-check
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { mustRun } from './run.mjs';

const STAMP = 'dist/.stamp';
const SOURCES = [
  'src',
  'host',
  'guest',
  'setup/build-agent.mjs',
  'setup/bundle-cli.mjs',
  'setup/lib/agent.mjs',
];
const CONFIGURATION = [
  '.swcrc',
  'nest-cli.json',
  'package-lock.json',
  'tsconfig.build.json',
  'tsconfig.json',
];
const RESULTS = ['dist/main.js', 'dist/cli.js', 'dist/guest/forkd-agent', 'dist/host/forkd-launch'];

/** @typedef {import('./prepare.mjs').Context} Context */

/**
 * Builds the daemon, the CLI and the guest agent when what they are made of has changed.
 *
 * @param {Context} context
 */
export async function build({ root, reporter, log }) {
  const hash = sourcesHash(root);
  if (isBuilt(root, hash)) {
    reporter.line('up to date');
    return;
  }
  await reporter.during('npm run build', () =>
    mustRun('npm run build', 'npm', ['run', 'build'], { cwd: root, log }),
  );
  writeFileSync(join(root, STAMP), hash);
  reporter.done('built');
}

/**
 * @param {string} root
 * @param {string} hash
 */
function isBuilt(root, hash) {
  const stamp = join(root, STAMP);
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== hash) return false;
  return RESULTS.every((path) => existsSync(join(root, path)));
}

/**
 * Hash over names and content of everything the build reads.
 *
 * @param {string} root
 */
export function sourcesHash(root) {
  const hash = createHash('sha256');
  for (const path of [...SOURCES, ...CONFIGURATION].flatMap((name) => filesOf(join(root, name))).sort()) {
    const content = readFileSync(path);
    hash.update(`${relative(root, path)}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}

/**
 * @param {string} path of a file or a directory
 * @returns {string[]}
 */
function filesOf(path) {
  if (!existsSync(path)) return [];
  try {
    return readdirSync(path, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !entry.parentPath.includes('__pycache__'))
      .map((entry) => join(entry.parentPath, entry.name));
  } catch {
    return [path];
  }
}
