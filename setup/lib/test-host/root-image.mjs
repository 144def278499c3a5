// @ts-check
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { cp } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { SetupError } from '../run.mjs';
import { writeHostFiles } from './host-files.mjs';
import { must } from './tools.mjs';

/** systemd and what it manages, then what the daemon's package depends on or the tests use. */
const PACKAGES = [
  ...['systemd', 'systemd-sysv', 'dbus', 'udev', 'kmod', 'procps', 'iproute2', 'nftables', 'iputils-ping'],
  ...['logrotate', 'curl', 'jq', 'ca-certificates', 'openssl', 'adduser'],
  ...['qemu-system-x86', 'busybox-static', 'e2fsprogs', 'lz4', 'xz-utils', 'zstd', 'libstdc++6'],
];

/** Kernel modules of a host of VMs; the whole tree is ten times as large. */
const MODULES = [
  ...[
    'arch/x86',
    'crypto',
    'lib',
    'virt',
    'drivers/virtio',
    'drivers/block',
    'drivers/char',
    'drivers/vhost',
  ],
  ...['drivers/crypto/ccp', 'drivers/net/veth.ko', 'drivers/net/tun.ko', 'drivers/net/tap.ko'],
  ...['drivers/net/dummy.ko', 'drivers/net/virtio_net.ko', 'drivers/net/net_failover.ko'],
  ...['net/core', 'net/netfilter', 'net/ipv4', 'net/ipv6', 'net/bridge', 'net/sched', 'net/802', 'net/llc'],
  ...['net/9p', 'net/packet', 'net/vmw_vsock', 'fs/9p', 'fs/ext4', 'fs/jbd2', 'fs/mbcache.ko', 'fs/fscache'],
  ...['fs/netfs', 'fs/overlayfs', 'fs/fuse'],
];
const LEFT_OUT = ['/usr/share/doc/*', '/usr/share/man/*', '/usr/share/locale/*', '/usr/share/info/*'];
const SIZE = 6 * 1024 ** 3;

/**
 * Makes the root file system: a minimal Debian from this machine's own apt sources, with this Node.
 *
 * @param {string} work
 * @param {import('./kernel.mjs').Kernel} kernel
 * @param {string} target
 */
export async function buildRootImage(work, kernel, target) {
  const root = join(work, 'root');
  const { suite, sources } = await aptSources();
  const sourcesList = join(work, 'sources.list');
  writeFileSync(sourcesList, `${sources.join('\n')}\n`);
  await must(
    'mmdebstrap',
    [
      ...['--mode=root', '--variant=minbase', `--include=${PACKAGES.join(',')}`],
      ...['--aptopt=Apt::Install-Recommends "false"', '--aptopt=Acquire::Languages "none"'],
      ...LEFT_OUT.map((path) => `--dpkgopt=path-exclude=${path}`),
      ...['--dpkgopt=force-unsafe-io', suite, root, sourcesList],
    ],
    { env: { ...process.env, TMPDIR: work } },
  );
  await installNode(work, root);
  const modules = join('lib/modules', kernel.version);
  for (const path of MODULES) {
    const from = join(kernel.tree, modules, 'kernel', path);
    if (existsSync(from)) await cp(from, join(root, modules, 'kernel', path), { recursive: true });
  }
  for (const name of ['modules.builtin', 'modules.builtin.modinfo', 'modules.order']) {
    copyFileSync(join(kernel.tree, modules, name), join(root, modules, name));
  }
  await must('chroot', [root, 'depmod', kernel.version]);
  writeHostFiles(root);
  writeFileSync(target, '');
  truncateSync(target, SIZE);
  await must('mke2fs', ['-q', '-F', '-t', 'ext4', '-O', '^has_journal', '-d', root, target]);
}

/**
 * This machine's own sources of Debian, one per line.
 *
 * @returns {Promise<{suite: string, sources: string[]}>}
 */
async function aptSources() {
  const suite = /^VERSION_CODENAME=(\w+)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
  const format = '$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)';
  const targets = await must('apt-get', ['indextargets', '--format', format, 'Created-By: Packages']);
  const sources = targets
    .split('\n')
    .filter((line) => line.startsWith('Debian ') && line.endsWith(' main'))
    .map((line) => line.replace(/^Debian/, 'deb'));
  if (suite === undefined || sources.length === 0) {
    throw new SetupError(
      'the test host is made of Debian packages, and apt on this machine has no source of them',
    );
  }
  return { suite, sources };
}

/**
 * Installs this very Node as a package, as an operator would who brings one that the distribution does not have.
 *
 * @param {string} work
 * @param {string} root
 */
async function installNode(work, root) {
  const tree = join(work, 'nodejs');
  mkdirSync(join(tree, 'DEBIAN'), { recursive: true });
  mkdirSync(join(tree, 'usr/bin'), { recursive: true });
  copyFileSync(process.execPath, join(tree, 'usr/bin/node'));
  const control = {
    Package: 'nodejs',
    Version: `${process.versions.node}-1test1`,
    Architecture: 'amd64',
    Maintainer: 'Test host <root@localhost>',
    Description: 'Node.js of the machine that made this host',
  };
  const lines = Object.entries(control).map(([name, value]) => `${name}: ${value}\n`);
  writeFileSync(join(tree, 'DEBIAN/control'), lines.join(''));
  const archive = join(dirname(tree), 'nodejs.deb');
  await must('dpkg-deb', ['--root-owner-group', '-Znone', '-b', tree, archive]);
  await must('dpkg', [`--root=${root}`, '-i', archive]);
  rmSync(tree, { recursive: true });
}
