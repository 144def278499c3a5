import { createHash, randomBytes } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { errnoOf, errorMessage } from '../../common/errors/domain-error';
import { syncPath } from '../../common/os/atomic-file';
import {
  MANIFEST_FILE,
  MEMORY_FILE,
  parseManifest,
  VMSTATE_FILE,
  type FileSeal,
  type SnapshotManifest,
} from './domain/manifest';
import { isTag } from './domain/tag';

/** The artifacts of a snapshot directory, as absolute paths. */
export interface Artifacts {
  readonly dir: string;
  readonly vmstatePath: string;
  readonly memoryPath: string;
  readonly rootfsPath?: string;
  readonly parentTag?: string;
  /** Absent in a snapshot that was not made by this daemon. */
  readonly manifest?: SnapshotManifest;
}

export type Inspection =
  { readonly artifacts: Artifacts; readonly problem?: undefined } | { readonly problem: string };

const STAGING_PREFIX = '.new-';
const TRASH_PREFIX = '.trash-';

/** The directory of snapshot directories: what is on disk, whole or not at all. */
export class SnapshotStore {
  constructor(readonly root: string) {}

  dirOf(tag: string): string {
    return join(this.root, tag);
  }

  /** Removes what an earlier daemon left half written or half deleted. */
  async clean(): Promise<void> {
    await mkdir(this.root, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.root)) {
      if (name.startsWith(STAGING_PREFIX) || name.startsWith(TRASH_PREFIX)) {
        await rm(join(this.root, name), { recursive: true, force: true });
      }
    }
  }

  /** Tags that have a directory, with its modification time in unix seconds. */
  async tags(): Promise<Map<string, number>> {
    const found = new Map<string, number>();
    const entries = await readdir(this.root, { withFileTypes: true }).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return [];
      throw error;
    });
    for (const entry of entries) {
      if (!entry.isDirectory() || !isTag(entry.name)) continue;
      const times = await stat(this.dirOf(entry.name)).catch(() => undefined);
      if (times) found.set(entry.name, Math.floor(times.mtimeMs / 1000));
    }
    return found;
  }

  async hasDirectory(tag: string): Promise<boolean> {
    const found = await stat(this.dirOf(tag)).catch(() => undefined);
    return found?.isDirectory() ?? false;
  }

  /** Looks whether a snapshot's files are all there; the texts of the problems are upstream's. */
  async inspect(tag: string): Promise<Inspection> {
    const dir = this.dirOf(tag);
    const manifestPath = join(dir, MANIFEST_FILE);
    let artifacts: Artifacts = {
      dir,
      vmstatePath: join(dir, VMSTATE_FILE),
      memoryPath: join(dir, MEMORY_FILE),
    };
    try {
      const parsed = parseManifest(await readFile(manifestPath, 'utf8'));
      if ('problem' in parsed) return { problem: `parse ${manifestPath}: ${parsed.problem}` };
      const { names, manifest } = parsed;
      const path = (name: string): string => (isAbsolute(name) ? name : join(dir, name));
      artifacts = {
        dir,
        vmstatePath: path(names.vmstate),
        memoryPath: path(names.memory),
        ...(names.rootfs === undefined ? {} : { rootfsPath: path(names.rootfs) }),
        ...(names.parentTag === undefined ? {} : { parentTag: names.parentTag }),
        ...(manifest === undefined ? {} : { manifest }),
      };
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') return { problem: `read ${manifestPath}: ${errorMessage(error)}` };
    }
    const needed: [string, string | undefined][] = [
      ['vmstate', artifacts.vmstatePath],
      ['memory artifact', artifacts.memoryPath],
      ['rootfs', artifacts.rootfsPath],
    ];
    for (const [label, path] of needed) {
      const problem = path === undefined ? undefined : await fileProblem(label, path);
      if (problem !== undefined) return { problem };
    }
    return { artifacts };
  }

  /** The tag a snapshot is stored on top of, if any. */
  async parentOf(tag: string): Promise<string | undefined> {
    const text = await readFile(join(this.dirOf(tag), MANIFEST_FILE), 'utf8').catch(() => undefined);
    const parsed = text === undefined ? undefined : parseManifest(text);
    return parsed !== undefined && 'names' in parsed ? parsed.names.parentTag : undefined;
  }

  /** A new private directory beside the snapshots, invisible as a tag until {@link publish}. */
  async stage(tag: string): Promise<string> {
    await mkdir(this.root, { recursive: true, mode: 0o700 });
    const dir = join(this.root, `${STAGING_PREFIX}${tag}-${randomBytes(4).toString('hex')}`);
    await mkdir(dir, { mode: 0o700 });
    return dir;
  }

  /** Makes a staged directory the snapshot of a tag; its files must be durable already. */
  async publish(staging: string, tag: string): Promise<void> {
    await syncPath(staging);
    await rename(staging, this.dirOf(tag));
    await syncPath(this.root);
  }

  /** Takes a snapshot's directory out of sight in one step. Undefined when there was none. */
  async withdraw(tag: string): Promise<string | undefined> {
    const trash = join(this.root, `${TRASH_PREFIX}${tag}-${randomBytes(4).toString('hex')}`);
    try {
      await rename(this.dirOf(tag), trash);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    }
    await syncPath(this.root);
    return trash;
  }
}

async function fileProblem(label: string, path: string): Promise<string | undefined> {
  try {
    return (await stat(path)).isFile() ? undefined : `${label} is not a file: ${path}`;
  } catch (error) {
    return errnoOf(error) === 'ENOENT'
      ? `missing ${label}: ${path}`
      : `stat ${label} ${path}: ${errorMessage(error)}`;
  }
}

/** What shows that a file is unchanged; see {@link FileSeal}. */
export async function sealOf(path: string): Promise<FileSeal> {
  const found: BigIntStats = await stat(path, { bigint: true });
  return { ino: found.ino.toString(), mtime_ns: found.mtimeNs.toString(), bytes: Number(found.size) };
}

export async function sha256OfSmallFile(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}
