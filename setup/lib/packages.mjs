// @ts-check
import { accessSync, closeSync, constants, openSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './run.mjs';

/** Ordinary users often have no sbin in their PATH, and a Go from its own archive lies in /usr/local/go. */
const EXTRA_PATH = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/local/go/bin', '/usr/lib/go/bin'];
const OLDEST_GO = [1, 19];

/**
 * @typedef {'run' | 'test' | 'bench'} Purpose
 * @typedef {object} Requirement
 * @property {string} package Debian package
 * @property {readonly string[]} commands all of them must be there
 * @property {string} reason
 * @property {(path: string) => boolean | Promise<boolean>} [suits] whether the first command will do
 * @property {Purpose} [onlyFor] needed for this purpose alone
 */

/** Debian packages the daemon, its images and its tests need. @type {readonly Requirement[]} */
export const REQUIREMENTS = [
  { package: 'qemu-system-x86', commands: ['qemu-system-x86_64'], reason: 'runs the VMs' },
  { package: 'busybox-static', commands: ['busybox'], reason: 'is part of every image', suits: isStatic },
  { package: 'e2fsprogs', commands: ['mke2fs', 'debugfs'], reason: 'writes root file systems' },
  { package: 'lz4', commands: ['lz4'], reason: 'unpacks kernels' },
  { package: 'xz-utils', commands: ['xz'], reason: 'unpacks kernels' },
  { package: 'zstd', commands: ['zstd'], reason: 'unpacks kernels' },
  { package: 'golang-go', commands: ['go'], reason: 'builds the guest agent', suits: isRecentGo },
  { package: 'iproute2', commands: ['ip'], reason: 'connects VMs to the network' },
  { package: 'nftables', commands: ['nft'], reason: 'keeps the networks of VMs apart' },
  { package: 'openssl', commands: ['openssl'], reason: 'makes certificates and checks TLS', onlyFor: 'test' },
  { package: 'curl', commands: ['curl'], reason: 'asks as other clients do', onlyFor: 'test' },
  { package: 'logrotate', commands: ['logrotate'], reason: 'rotates the audit log', onlyFor: 'test' },
  { package: 'tmux', commands: ['tmux'], reason: 'is the terminal of the tests', onlyFor: 'test' },
  {
    package: 'python3-venv',
    commands: ['python3'],
    reason: 'runs other people’s clients in the tests',
    suits: hasVenv,
    onlyFor: 'test',
  },
  {
    package: 'mmdebstrap',
    commands: ['mmdebstrap'],
    reason: 'makes the host that tests run in',
    onlyFor: 'test',
  },
  { package: 'lintian', commands: ['lintian'], reason: 'checks the Debian package', onlyFor: 'test' },
  {
    package: 'systemd',
    commands: ['systemd-notify'],
    reason: 'tells systemd how the daemon is',
    onlyFor: 'test',
  },
];

/** @param {Purpose} purpose @returns {readonly Requirement[]} */
export function requirementsFor(purpose) {
  return REQUIREMENTS.filter(({ onlyFor }) => onlyFor === undefined || onlyFor === purpose);
}

/**
 * @param {string} command
 * @param {string} [path] like the variable PATH
 * @returns {string | undefined} where the command is
 */
export function findCommand(command, path = process.env['PATH'] ?? '') {
  for (const directory of [...path.split(':'), ...EXTRA_PATH]) {
    if (!directory.startsWith('/')) continue;
    const file = join(directory, command);
    try {
      accessSync(file, constants.X_OK);
      if (statSync(file).isFile()) return file;
    } catch {
      // Not in this directory.
    }
  }
  return undefined;
}

/**
 * @param {readonly Requirement[]} [requirements]
 * @param {(command: string) => string | undefined} [find]
 * @returns {Promise<Requirement[]>} what this machine lacks
 */
export async function missingRequirements(requirements = REQUIREMENTS, find = findCommand) {
  const missing = [];
  for (const requirement of requirements) {
    const paths = requirement.commands.map((command) => find(command));
    const [first] = paths;
    const there = first !== undefined && !paths.includes(undefined);
    if (!there || (requirement.suits !== undefined && !(await requirement.suits(first))))
      missing.push(requirement);
  }
  return missing;
}

/** @param {string} path */
async function isRecentGo(path) {
  const { code, output } = await run(path, ['version'], { env: { ...process.env, GOTOOLCHAIN: 'local' } });
  return code === 0 && isGoVersionRecent(output);
}

/** @param {string} path of a Python, which Debian gives out without what makes virtual environments */
async function hasVenv(path) {
  return (await run(path, ['-c', 'import ensurepip, venv'])).code === 0;
}

/** @param {string} text what `go version` prints */
export function isGoVersionRecent(text) {
  const match = /\bgo(\d+)\.(\d+)/.exec(text);
  if (match === null) return false;
  const [major, minor] = [Number(match[1]), Number(match[2])];
  const [oldestMajor = 0, oldestMinor = 0] = OLDEST_GO;
  return major > oldestMajor || (major === oldestMajor && minor >= oldestMinor);
}

/**
 * Whether an executable needs no libraries: an ELF file without a program interpreter.
 *
 * @param {string} path
 */
function isStatic(path) {
  const head = Buffer.alloc(4096);
  const file = openSync(path, 'r');
  try {
    readSync(file, head, 0, head.length, 0);
  } finally {
    closeSync(file);
  }
  if (head.readUInt32BE(0) !== 0x7f454c46) return false;
  const start = Number(head.readBigUInt64LE(32));
  for (let index = 0; index < head.readUInt16LE(56); index += 1) {
    const at = start + index * 56;
    if (at + 4 > head.length || head.readUInt32LE(at) === 3) return false;
  }
  return true;
}
