// @ts-check
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { must } from './tools.mjs';

/** What the root file system needs to be found. */
const MODULES = ['virtio_pci', 'virtio_blk', 'crc32c_generic', 'ext4'];

const INIT = `#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for module in $(/bin/busybox cat /modules/order); do /bin/busybox insmod /modules/$module; done
/bin/busybox mount -t ext4 /dev/vda /root || exec /bin/busybox sh
/bin/busybox umount /dev
exec /bin/busybox switch_root /root /lib/systemd/systemd
`;

/**
 * @param {string} root with the modules of the kernel and its `modules.dep`
 * @param {string} version of the kernel
 * @param {string} target
 */
export async function buildInitramfs(root, version, target) {
  const tree = join(dirname(root), 'initramfs');
  for (const name of ['bin', 'dev', 'modules', 'root']) mkdirSync(join(tree, name), { recursive: true });
  copyFileSync(join(root, 'bin/busybox'), join(tree, 'bin/busybox'));
  const modules = join(root, 'lib/modules', version);
  const order = loadOrder(readFileSync(join(modules, 'modules.dep'), 'utf8'));
  for (const path of order) copyFileSync(join(modules, path), join(tree, 'modules', basename(path)));
  writeFileSync(join(tree, 'modules/order'), order.map((path) => `${basename(path)}\n`).join(''));
  writeFileSync(join(tree, 'init'), INIT);
  chmodSync(join(tree, 'init'), 0o755);
  await must('sh', ['-c', 'find . | busybox cpio -o -H newc > "$1"', 'sh', target], { cwd: tree });
}

/**
 * @param {string} dependencies text of modules.dep
 * @returns {string[]} paths of all modules, each after those it needs
 */
function loadOrder(dependencies) {
  /** @type {Map<string, string[]>} */
  const needs = new Map();
  for (const line of dependencies.split('\n')) {
    const [path = '', rest = ''] = line.split(':');
    needs.set(path, rest.trim().split(' ').filter(Boolean));
  }
  /** @type {Set<string>} */
  const order = new Set();
  /** @param {string} path */
  const add = (path) => {
    for (const needed of needs.get(path) ?? []) add(needed);
    order.add(path);
  };
  for (const path of needs.keys()) {
    // What is built in has no file.
    if (MODULES.includes(basename(path).replace(/\.ko.*$/, ''))) add(path);
  }
  return [...order];
}
