import { access, readFile, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * The disk that a file system lies on, as MAJOR:MINOR, in the way io.max wants it: the whole disk, no partition.
 *
 * @returns undefined for a file system without a disk of its own: overlay, tmpfs, network, and those of several disks.
 */
export async function diskOf(path: string): Promise<string | undefined> {
  const { dev } = await stat(path, { bigint: true });
  // The kernel's encoding of device numbers for user space (glibc's gnu_dev_major and gnu_dev_minor).
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn);
  if (major === 0n) return undefined;
  try {
    const device = await realpath(`/sys/dev/block/${major}:${minor}`);
    const isPartition = await access(join(device, 'partition')).then(
      () => true,
      () => false,
    );
    return (await readFile(join(device, isPartition ? '../dev' : 'dev'), 'utf8')).trim();
  } catch {
    return undefined;
  }
}
