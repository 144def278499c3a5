// @ts-check
import { cpSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { findCommand } from './packages.mjs';
import { mustRun, SetupError } from './run.mjs';

/** @typedef {import('./prepare.mjs').Context} Context */

/**
 * Takes promtool, which checks the alerts, out of the distribution's package. Installing that would start a Prometheus.
 *
 * @param {Pick<Context, 'root' | 'reporter' | 'log'>} context
 */
export async function unpackPromtool({ root, reporter, log }) {
  const tools = join(root, '.tools');
  if (findCommand('promtool', `${tools}:${process.env['PATH'] ?? ''}`) !== undefined) {
    reporter.line('there');
    return;
  }
  mkdirSync(tools, { recursive: true });
  const directory = mkdtempSync(join(tools, 'unpack-'));
  try {
    await reporter.during('fetching the package prometheus', async () => {
      await mustRun('apt-get download prometheus', 'apt-get', ['download', 'prometheus'], {
        cwd: directory,
        log,
      });
      const archive = readdirSync(directory).find((name) => name.endsWith('.deb'));
      if (archive === undefined) throw new SetupError('apt-get download prometheus brought no package');
      await mustRun('dpkg-deb --extract', 'dpkg-deb', ['--extract', archive, 'files'], {
        cwd: directory,
        log,
      });
    });
    const temporary = `${join(tools, 'promtool')}.${process.pid}`;
    cpSync(join(directory, 'files/usr/bin/promtool'), temporary);
    renameSync(temporary, join(tools, 'promtool'));
    reporter.done('unpacked');
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
