import type { Stats } from 'node:fs';
import { lstat, mkdir, readdir, readlink, rename, rm, rmdir, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errnoOf } from '../../../common/errors/domain-error';
import type { LayoutEntry } from '../domain/ext4-layout';
import { SPECIAL_DIRECTORIES } from './guest-files';

const MERGED = ['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'];
const SET_USER_ID = 0o4000;

/** Moves /bin, /sbin and /lib* below /usr and links them, as the distribution's own installer does. */
export async function mergeUsr(root: string): Promise<void> {
  for (const name of MERGED) {
    const from = join(root, name);
    const stats = await lstatOrUndefined(from);
    if (stats?.isDirectory() === true) await moveInto(from, join(root, 'usr', name));
    if (await lstatOrUndefined(join(root, 'usr', name))) await symlink(`usr/${name}`, from);
  }
}

async function moveInto(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const name of await readdir(from)) {
    const source = join(from, name);
    const target = join(to, name);
    const [sourceStats, targetStats] = [await lstat(source), await lstatOrUndefined(target)];
    if (sourceStats.isDirectory() && targetStats?.isDirectory() === true) {
      await moveInto(source, target);
    } else {
      if (targetStats !== undefined) await rm(target, { recursive: true });
      await rename(source, target);
    }
  }
  await rmdir(from);
}

/** Makes the links that are not there yet. */
export async function addLinks(root: string, links: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, target] of Object.entries(links)) {
    if ((await lstatOrUndefined(join(root, path))) !== undefined) continue;
    await mkdir(dirname(join(root, path)), { recursive: true });
    await symlink(target, join(root, path));
  }
}

export async function dropPaths(root: string, paths: readonly string[]): Promise<void> {
  for (const path of paths) await rm(join(root, path), { recursive: true, force: true });
}

/** Describes a staging tree as it shall be in the image: in the order of paths, owned by root. */
export async function layoutOf(root: string): Promise<LayoutEntry[]> {
  const entries: LayoutEntry[] = [];
  const firstNames = new Map<string, string>();
  const visit = async (directory: string): Promise<void> => {
    const names = await readdir(join(root, directory));
    for (const name of names.sort()) {
      const path = `${directory}/${name}`;
      const source = join(root, path);
      const stats = await lstat(source);
      if (stats.isDirectory()) {
        entries.push(directoryEntry(path));
        await visit(path);
      } else if (stats.isSymbolicLink()) {
        entries.push({ type: 'symlink', path, target: await readlink(source) });
      } else if (stats.isFile()) {
        entries.push(fileEntry(path, source, stats, firstNames));
      }
    }
  };
  await visit('');
  return entries;
}

function directoryEntry(path: string): LayoutEntry {
  const { mode, owner } = SPECIAL_DIRECTORIES.get(path) ?? { mode: 0o755, owner: 0 };
  return { type: 'directory', path, mode, owner };
}

function fileEntry(path: string, source: string, stats: Stats, firstNames: Map<string, string>): LayoutEntry {
  if (stats.nlink > 1) {
    const key = `${stats.dev}:${stats.ino}`;
    const first = firstNames.get(key);
    if (first !== undefined) return { type: 'hardlink', path, of: first };
    firstNames.set(key, path);
  }
  const sourceMode = stats.mode & 0o7777;
  // The umask of the build does not matter. Groups become root's, so a set-group-id bit would give more than meant.
  const mode = (sourceMode & SET_USER_ID) | ((sourceMode & 0o100) === 0 ? 0o644 : 0o755);
  return { type: 'file', path, mode, sizeBytes: stats.size, source, sourceMode };
}

async function lstatOrUndefined(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
