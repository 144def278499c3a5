// @ts-check
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mustRun } from './run.mjs';

const STAMP = 'node_modules/.forkd-lock';

/** @typedef {import('./prepare.mjs').Context} Context */

/**
 * Brings node_modules in line with package-lock.json.
 *
 * @param {Context} context
 */
export async function installModules({ root, reporter, log }) {
  const lock = readFileSync(join(root, 'package-lock.json'), 'utf8');
  const hash = createHash('sha256').update(lock).digest('hex');
  const stamp = join(root, STAMP);
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) {
    reporter.line('up to date');
    return;
  }
  if (isInstalled(root, lock)) {
    reporter.line('all there');
  } else {
    await reporter.during('npm ci', () =>
      mustRun('npm ci', 'npm', ['ci', '--no-audit', '--no-fund'], { cwd: root, log }),
    );
    reporter.done('installed');
  }
  writeFileSync(stamp, hash);
}

/**
 * Whether npm itself has installed exactly this lock file before, by the record it keeps in node_modules.
 *
 * @param {string} root
 * @param {string} lock
 */
export function isInstalled(root, lock) {
  const record = join(root, 'node_modules/.package-lock.json');
  if (!existsSync(record)) return false;
  /** @typedef {Record<string, {version?: string, optional?: boolean}>} Packages */
  /** @type {Packages} */
  const wanted = JSON.parse(lock).packages ?? {};
  /** @type {Packages} */
  const present = JSON.parse(readFileSync(record, 'utf8')).packages ?? {};
  for (const [path, { version, optional }] of Object.entries(wanted)) {
    if (path === '') continue;
    const there = present[path];
    // Optional packages are for other platforms where they are missing.
    if (there === undefined ? optional !== true : there.version !== version) return false;
  }
  return true;
}
