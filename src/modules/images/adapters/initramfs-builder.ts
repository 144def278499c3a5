import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { DomainError, errnoOf } from '../../../common/errors/domain-error';
import { writeCpio, type CpioEntry } from '../domain/cpio';
import { isStaticExecutable } from '../domain/elf';
import type { StoredKernel } from './build-context';

export const INITRAMFS_FILE = 'initramfs.cpio.gz';
const MODULES_DIR = 'lib/modules/forkd';

/** Packs the agent, busybox and the kernel's modules into the archive the guest starts from. */
export async function buildInitramfs(
  agent: Uint8Array,
  busybox: Uint8Array,
  kernel: StoredKernel,
  outDir: string,
): Promise<void> {
  const entries: CpioEntry[] = [
    ...['bin', 'dev', 'etc', 'lib', 'lib/modules', MODULES_DIR, 'mnt', 'proc', 'run', 'sys', 'tmp'].map(
      (path) => ({ type: 'directory', path, mode: 0o755 }) as const,
    ),
    // Messages before the agent has mounted devtmpfs go here.
    { type: 'character-device', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
    { type: 'file', path: 'init', mode: 0o755, data: agent },
    { type: 'file', path: 'bin/busybox', mode: 0o755, data: busybox },
    { type: 'symlink', path: 'bin/sh', target: 'busybox' },
    {
      type: 'file',
      path: `${MODULES_DIR}/modules.list`,
      mode: 0o644,
      data: Buffer.from(kernel.modules.map((name) => `${name}.ko\n`).join('')),
    },
  ];
  for (const name of kernel.modules) {
    const data = await readFile(join(kernel.path, 'modules', `${name}.ko`));
    entries.push({ type: 'file', path: `${MODULES_DIR}/${name}.ko`, mode: 0o644, data });
  }
  await writeFile(join(outDir, INITRAMFS_FILE), await promisify(gzip)(writeCpio(entries), { level: 6 }));
}

/** @throws DomainError unavailable when the agent was not built. */
export async function readAgent(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    throw new DomainError(
      'unavailable',
      `the guest agent is not built (${path}); run \`npm run build:agent\``,
      {
        cause: error,
      },
    );
  }
}

/** @throws DomainError unavailable when no statically linked busybox is installed. */
export async function readBusybox(): Promise<Buffer> {
  for (const path of ['/usr/bin/busybox', '/bin/busybox']) {
    try {
      const data = await readFile(path);
      if (isStaticExecutable(data)) return data;
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
  }
  throw new DomainError(
    'unavailable',
    'no static busybox was found; install it with `apt-get install busybox-static`',
  );
}
