// @ts-check
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError } from '../run.mjs';
import { must } from './tools.mjs';

/** Debian's ordinary kernel: the one for clouds has no KVM. */
const META_PACKAGE = 'linux-image-amd64';

/**
 * @typedef {object} Kernel
 * @property {string} version as `uname -r` says it
 * @property {string} tree the unpacked package
 */

/**
 * Takes the distribution's kernel package apart; nothing is installed on this machine.
 *
 * @param {string} work
 * @param {string} target for the kernel proper: uncompressed it boots two seconds sooner under emulation
 * @returns {Promise<Kernel>}
 */
export async function unpackKernel(work, target) {
  const packages = join(work, 'packages');
  const tree = join(work, 'kernel');
  mkdirSync(packages);
  const depends = await must('apt-cache', ['depends', META_PACKAGE]);
  const name = /^\s+Depends: (linux-image-\S+)$/m.exec(depends)?.[1];
  if (name === undefined) throw new SetupError(`apt offers no ${META_PACKAGE}; run apt-get update`);
  await must('apt-get', ['download', '-o', 'APT::Sandbox::User=root', name], { cwd: packages });
  const [archive = ''] = readdirSync(packages);
  await must('dpkg-deb', ['-x', join(packages, archive), tree]);
  const version = name.slice('linux-image-'.length);
  const image = readFileSync(join(tree, 'boot', `vmlinuz-${version}`));
  // The header of the x86 boot protocol says where the compressed kernel is; its last 4 bytes are the size.
  const start = ((image[0x1f1] || 4) + 1) * 512 + image.readUInt32LE(0x248);
  const payload = image.subarray(start, start + image.readUInt32LE(0x24c) - 4);
  const compressed = join(work, 'vmlinux.xz');
  writeFileSync(compressed, payload);
  await must('sh', ['-c', 'xz -dc "$1" > "$2"', 'sh', compressed, target]);
  return { version, tree };
}
