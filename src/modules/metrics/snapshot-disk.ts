import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Limiter } from '../../common/lifecycle/limiter';

/** Files that have more than one name: a root file system that snapshots share with their image. */
export const SHARED = '(shared)';
/** Directories of the daemon's own: assembled images, what is kept for sandboxes, what is being written. */
export const INTERNAL = '(internal)';

/** Leaves most of Node's threads for the work of the daemon. */
const AT_ONCE = 2;
const BLOCK_BYTES = 512;

/**
 * Bytes on disk by snapshot, below a snapshot root; each file once, however many names it has. Holes cost nothing; blocks that
 * a file system shares between files (reflinks) are counted for each of them, as the kernel does.
 */
export async function snapshotDisk(root: string): Promise<Map<string, number>> {
  const limiter = new Limiter(AT_ONCE);
  const sizes = new Map<string, number>();
  const seen = new Set<string>();
  const add = async (owner: string, path: string): Promise<void> => {
    const found = await limiter.run(() => lstat(path, { bigint: true })).catch(() => undefined);
    if (found?.isFile() !== true) return;
    const inode = `${found.dev}:${found.ino}`;
    if (seen.has(inode)) return;
    seen.add(inode);
    const key = found.nlink > 1n ? SHARED : owner;
    sizes.set(key, (sizes.get(key) ?? 0) + Number(found.blocks) * BLOCK_BYTES);
  };
  const walk = async (owner: string, dir: string): Promise<void> => {
    const entries = await limiter.run(() => readdir(dir, { withFileTypes: true })).catch(() => []);
    await Promise.all(
      entries.map((entry) => {
        const path = join(dir, entry.name);
        return entry.isDirectory() ? walk(owner, path) : add(owner, path);
      }),
    );
  };
  const entries = await readdir(root, { withFileTypes: true }).catch(() => []);
  await Promise.all(
    entries
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => walk(name.startsWith('.') ? INTERNAL : name, join(root, name))),
  );
  return sizes;
}
