// @ts-check
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { findCommand, missingRequirements, requirementsFor } from './packages.mjs';
import { confirm } from './reporter.mjs';
import { failure, run, SetupError } from './run.mjs';

const LISTS = '/var/lib/apt/lists';
const WEEK_MS = 7 * 24 * 60 * 60 * 1000;

/** @typedef {import('./packages.mjs').Requirement} Requirement */
/** @typedef {import('./prepare.mjs').Context} Context */

/**
 * Brings the distribution packages that are missing, as root or by sudo.
 *
 * @param {Context} context
 */
export async function installPackages({ purpose, reporter, log, yes }) {
  const requirements = requirementsFor(purpose);
  const missing = await missingRequirements(requirements);
  const lists = listsState();
  if (missing.length === 0 && lists !== 'missing') {
    reporter.line('all there');
    return;
  }
  if (findCommand('apt-get') === undefined) {
    throw new SetupError(`apt-get is not on this machine; install by its own means: ${describe(missing)}`);
  }
  const names = missing.map((requirement) => requirement.package);
  const commands = [
    ...(lists === 'fresh' ? [] : ['apt-get update']),
    ...(names.length === 0 ? [] : [`apt-get install -y --no-install-recommends ${names.join(' ')}`]),
  ];
  const what =
    names.length === 0 ? 'the package lists of the distribution' : `missing packages: ${describe(missing)}`;
  const prefix = await rootPrefix();
  if (prefix === undefined)
    throw new SetupError(manual(what, commands, 'neither root nor sudo without a password'));
  if (!yes) {
    if (!process.stdin.isTTY)
      throw new SetupError(manual(what, commands, 'no terminal to ask on, and no --yes'));
    reporter.line(what);
    if (!(await confirm(`Run \`${commands.join(' && ')}\`?`))) {
      throw new SetupError(manual(what, commands, 'it was not agreed to'));
    }
  }

  /** @param {string[]} args */
  const apt = (args) => {
    const [command = 'env', ...rest] = [
      ...[...prefix, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get'],
      ...['-o', 'DPkg::Lock::Timeout=300', ...args],
    ];
    return run(command, rest, { log });
  };
  const update = async () => {
    const { code, output } = await reporter.during('apt-get update', () => apt(['update']));
    if (code !== 0) throw failure('apt-get update', code, output, log);
    return output;
  };
  const install = () =>
    reporter.during(`installing ${names.join(', ')}`, () =>
      apt(['install', '-y', '--no-install-recommends', ...names]),
    );

  // An update that misses some source still succeeds; what it said matters when the packages cannot be had then.
  let said = lists === 'fresh' ? '' : await update();
  if (names.length > 0) {
    let result = await install();
    if (result.code !== 0 && lists === 'fresh' && areListsOutdated(result.output)) {
      said = await update();
      result = await install();
    }
    if (result.code !== 0) throw failure('apt-get install', result.code, said + result.output, log);
    const left = await missingRequirements(requirements);
    if (left.length > 0)
      throw new SetupError(`apt-get installed the packages, but still missing are ${describe(left)}`);
  }
  reporter.done(names.length === 0 ? 'package lists fetched' : 'installed');
}

/** @param {string} output of a failed `apt-get install` */
export function areListsOutdated(output) {
  return /\b404\b|Unable to locate package|has no installation candidate/.test(output);
}

/**
 * @param {string} [directory]
 * @param {number} [now]
 * @returns {'missing' | 'old' | 'fresh'}
 */
export function listsState(directory = LISTS, now = Date.now()) {
  try {
    if (!readdirSync(directory).some((name) => name.includes('_Packages'))) return 'missing';
    // The files in it carry the times of the mirror; what apt touches here is the directories.
    const times = [directory, join(directory, 'partial')].map(
      (path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0,
    );
    return now - Math.max(...times) > WEEK_MS ? 'old' : 'fresh';
  } catch {
    return 'missing';
  }
}

/** @returns {Promise<string[] | undefined>} what to put before a command to run it as root */
async function rootPrefix() {
  if (process.getuid?.() === 0) return [];
  return (await run('sudo', ['-n', 'true'])).code === 0 ? ['sudo', '-n'] : undefined;
}

/** @param {readonly Requirement[]} requirements */
function describe(requirements) {
  return requirements.map((requirement) => `${requirement.package} (${requirement.reason})`).join(', ');
}

/**
 * @param {string} what
 * @param {string[]} commands
 * @param {string} why
 */
function manual(what, commands, why) {
  const line = commands
    .map((command) => (process.getuid?.() === 0 ? command : `sudo ${command}`))
    .join(' && ');
  return `${what}\nNothing was installed (${why}). Run this, then try again:\n    ${line}`;
}
