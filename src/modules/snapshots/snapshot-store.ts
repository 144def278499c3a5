import { createHash, randomBytes } from 'node:crypto';
import { type BigIntStats, createReadStream } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { errnoOf, errorMessage } from '../../common/errors/domain-error';
import { syncPath } from '../../common/os/atomic-file';
import {
  MANIFEST_FILE,
  MEMORY_FILE,
  type ParsedManifest,
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

  /** Where a snapshot's files should be, whether they are or not; upstream's layout when there is no snapshot.json. */
  async describe(tag: string): Promise<{ names: Artifacts; manifest?: SnapshotManifest; problem?: string }> {
    const dir = this.dirOf(tag);
    const path = join(dir, MANIFEST_FILE);
    const plain = { dir, vmstatePath: join(dir, VMSTATE_FILE), memoryPath: join(dir, MEMORY_FILE) };
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      return errnoOf(error) === 'ENOENT'
        ? { names: plain }
        : { names: plain, problem: `read ${path}: ${errorMessage(error)}` };
    }
    const parsed = parseManifest(text);
    if ('problem' in parsed) return { names: plain, problem: `parse ${path}: ${parsed.problem}` };
    const { names, manifest } = parsed;
    const absolute = (name: string): string => (isAbsolute(name) ? name : join(dir, name));
    const artifacts: Artifacts = {
      dir,
      vmstatePath: absolute(names.vmstate),
      memoryPath: absolute(names.memory),
      ...(names.rootfs === undefined ? {} : { rootfsPath: absolute(names.rootfs) }),
      ...(names.parentTag === undefined ? {} : { parentTag: names.parentTag }),
      ...(manifest === undefined ? {} : { manifest }),
    };
    return { names: artifacts, ...(manifest === undefined ? {} : { manifest }) };
  }

  /** Looks whether a snapshot's files are all there; the texts of the problems are upstream's. */
  async inspect(tag: string): Promise<Inspection> {
    const { names, problem } = await this.describe(tag);
    if (problem !== undefined) return { problem };
    const needed: [string, string | undefined][] = [
      ['vmstate', names.vmstatePath],
      ['memory artifact', names.memoryPath],
      ['rootfs', names.rootfsPath],
    ];
    for (const [label, path] of needed) {
      const missing = path === undefined ? undefined : await fileProblem(label, path);
      if (missing !== undefined) return { problem: missing };
    }
    return { artifacts: names };
  }

  /** The tag a snapshot is stored on top of, if any. */
  async parentOf(tag: string): Promise<string | undefined> {
    const parsed = await this.parsedIn(tag);
    return parsed !== undefined && 'names' in parsed ? parsed.names.parentTag : undefined;
  }

  /** Digests of the memory of all snapshots that are stored on top of others, those being written included. */
  async chainedDigests(): Promise<Set<string>> {
    const digests = new Set<string>();
    const add = async (directories: readonly string[]): Promise<void> => {
      for (const name of directories) {
        const manifest = await this.manifestIn(name);
        if (manifest?.parent_tag !== undefined) digests.add(manifest.memory_digest);
      }
    };
    // The staged ones first: one that is published meanwhile is then found among the others.
    const names = await readdir(this.root).catch(() => [] as string[]);
    await add(names.filter((name) => name.startsWith(STAGING_PREFIX)));
    await add([...(await this.tags()).keys()]);
    return digests;
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
    await this.renameDurably(staging, this.dirOf(tag));
  }

  /** Makes a tag's directory a staged one again; undefined when there was none. */
  async unpublish(tag: string): Promise<string | undefined> {
    const staging = join(this.root, `${STAGING_PREFIX}${tag}-${randomBytes(4).toString('hex')}`);
    try {
      await rename(this.dirOf(tag), staging);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    }
    return staging;
  }

  private async manifestIn(name: string): Promise<SnapshotManifest | undefined> {
    const parsed = await this.parsedIn(name);
    return parsed !== undefined && 'names' in parsed ? parsed.manifest : undefined;
  }

  private async parsedIn(name: string): Promise<ParsedManifest | undefined> {
    const text = await readFile(join(this.root, name, MANIFEST_FILE), 'utf8').catch(() => undefined);
    return text === undefined ? undefined : parseManifest(text);
  }

  /** Takes a snapshot's directory out of sight in one step. Undefined when there was none. */
  async withdraw(tag: string): Promise<string | undefined> {
    const trash = join(this.root, `${TRASH_PREFIX}${tag}-${randomBytes(4).toString('hex')}`);
    try {
      await this.renameDurably(this.dirOf(tag), trash);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    }
    return trash;
  }

  /** Tags whose directory was withdrawn by a daemon that ended before it was removed. */
  async withdrawnTags(): Promise<string[]> {
    const names = await readdir(this.root).catch(() => [] as string[]);
    return names
      .filter((name) => name.startsWith(TRASH_PREFIX))
      .map((name) => name.slice(TRASH_PREFIX.length, name.lastIndexOf('-')));
  }

  /** Both, or neither: a rename that cannot be made durable is taken back. */
  private async renameDurably(from: string, to: string): Promise<void> {
    await rename(from, to);
    try {
      await syncPath(this.root);
    } catch (error) {
      await rename(to, from);
      throw error;
    }
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

/** For files of some megabytes; guest memory has a digest of its own. */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
