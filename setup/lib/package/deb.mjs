// @ts-check
import { createHash } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { run, SetupError } from '../run.mjs';
import { installFiles } from './files.mjs';

const NAME = 'forkd-controller';

/** Changed by the administrator, so kept at upgrades and asked about. */
const CONFFILES = ['/etc/forkd/controller.env', '/etc/logrotate.d/forkd-controller'];

/** Debian 12 has Node 18, so nodejs comes from elsewhere; util-linux, dpkg and apt are on every Debian. */
const DEPENDS = [
  ...['nodejs (>= 20.19)', 'systemd (>= 247)', 'init-system-helpers (>= 1.54)', 'qemu-system-x86 (>= 1:7.0)'],
  ...['busybox-static', 'e2fsprogs', 'iproute2', 'nftables', 'lz4', 'xz-utils', 'zstd'],
];

const DESCRIPTION = `Daemon that forks microVM sandboxes copy-on-write
 It boots a parent VM once, lets it warm up, freezes it as a snapshot, and forks
 children from it: VMs that have everything of the parent in memory at once, and
 share with it what they do not change. They speak with the world over REST, and
 go on running while the daemon is restarted or upgraded.
 .
 Node.js 20.19 or newer is needed, which Debian 12 does not have: bring it from
 its makers' repository first.`;

/**
 * Makes forkd-controller_VERSION_amd64.deb out of `dist`, the production packages of `node_modules`, `packaging` and `docs`.
 *
 * @param {string} root of the project, built
 * @param {{version?: string | undefined, out?: string | undefined}} options
 * @returns {Promise<string>} path of the package
 * @throws {SetupError} when something is not built, or dpkg-deb fails
 */
export async function buildPackage(root, options) {
  const version =
    options.version ?? String(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version);
  if (!/^[0-9][A-Za-z0-9.+~]*$/.test(version)) {
    throw new SetupError(
      `--version is '${version}', but must be digits first, then letters, digits, '.', '+' or '~'`,
    );
  }
  const out = resolve(options.out ?? join(root, 'build'));
  const tree = mkdtempSync(join(tmpdir(), 'forkd-package-'));
  try {
    chmodSync(tree, 0o755);
    const epoch = await sourceDate(root);
    await installFiles(root, tree, { name: NAME, version, epoch });
    writeControl(root, tree, version);
    mkdirSync(out, { recursive: true });
    const target = join(out, `${NAME}_${version}_amd64.deb`);
    const env = { ...process.env, SOURCE_DATE_EPOCH: String(epoch) };
    const args = ['--root-owner-group', '-Zxz', '-z3', '--build', tree, target];
    const { code, output } = await run('dpkg-deb', args, { env });
    if (code !== 0) throw new SetupError(`dpkg-deb failed: ${output.trimEnd()}`);
    return target;
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

/**
 * @param {string} root
 * @param {string} tree
 * @param {string} version
 */
function writeControl(root, tree, version) {
  const files = readdirSync(tree, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = files.map((entry) => join(entry.parentPath, entry.name)).sort();
  const sums = paths.map((path) => {
    const sum = createHash('md5').update(readFileSync(path)).digest('hex');
    return `${sum}  ${relative(tree, path)}\n`;
  });
  const kib = paths.reduce((total, path) => total + Math.ceil(statSync(path).size / 1024), 0);
  const control = [
    `Package: ${NAME}`,
    `Version: ${version}`,
    'Architecture: amd64',
    'Maintainer: forkd maintainers <maintainers@forkd.invalid>',
    `Installed-Size: ${kib}`,
    `Depends: ${DEPENDS.join(', ')}`,
    'Recommends: logrotate',
    'Section: admin',
    'Priority: optional',
    `Description: ${DESCRIPTION}`,
  ];
  const target = join(tree, 'DEBIAN');
  mkdirSync(target, { mode: 0o755 });
  writeFileSync(join(target, 'control'), `${control.join('\n')}\n`);
  writeFileSync(join(target, 'conffiles'), CONFFILES.map((path) => `${path}\n`).join(''));
  writeFileSync(join(target, 'md5sums'), sums.join(''));
  for (const name of ['postinst', 'prerm', 'postrm']) {
    writeFileSync(join(target, name), readFileSync(join(root, 'packaging/deb', name)), { mode: 0o755 });
  }
}

/** Seconds since the epoch that all files of the package carry, so that the same sources make the same package. */
async function sourceDate(/** @type {string} */ root) {
  const given = process.env['SOURCE_DATE_EPOCH'];
  if (given !== undefined && /^\d+$/.test(given)) return Number(given);
  const { code, output } = await run('git', ['-C', root, 'log', '-1', '--format=%ct']);
  return code === 0 && /^\d+$/.test(output.trim()) ? Number(output.trim()) : Math.floor(Date.now() / 1000);
}
