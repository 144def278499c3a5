import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { DomainError, errnoOf } from '../../../common/errors/domain-error';
import { syncPath, writeFileAtomic } from '../../../common/os/atomic-file';
import {
  componentDigest,
  FORMAT_VERSION,
  parseImageRecord,
  parseManifest,
  type ComponentKind,
  type ComponentManifest,
  type ImageRecord,
  type StoredFile,
} from '../domain/manifest';
import { digestOf } from '../domain/recipes';
import { isAlive, parseIdentity, thisProcess } from '../../../common/os/process-identity';

const MANIFEST = 'manifest.json';
const OWNER = 'owner.json';
const TEMPORARY = '.new-';
const REMOVED = '.removed-';

export interface NewComponent {
  readonly kind: ComponentKind;
  readonly inputs: Readonly<Record<string, unknown>>;
  readonly arch: string;
}

/** What a builder adds to the manifest once it knows. */
export type ComponentDetails = Pick<ComponentManifest, 'kernelVersion' | 'modules'>;

/** Components by content under `store/`, and the names that point to them under `names/`. */
export class ImageStore {
  private readonly store: string;
  private readonly names: string;

  constructor(readonly root: string) {
    this.store = join(root, 'store');
    this.names = join(root, 'names');
  }

  /** Creates the directories and removes what builds and removals left whose process is gone. */
  async open(): Promise<void> {
    await mkdir(this.store, { recursive: true });
    await mkdir(this.names, { recursive: true });
    for (const name of await readdir(this.store)) {
      const path = join(this.store, name);
      if (name.startsWith(REMOVED)) await rm(path, { recursive: true, force: true });
      else if (name.startsWith(TEMPORARY) && !(await isOwned(path)))
        await rm(path, { recursive: true, force: true });
    }
  }

  /**
   * Adds a component. `fill` writes its files to `outDir`; they become visible all at once, or not at all when it
   * throws. Content that is there already is kept.
   */
  async add(
    component: NewComponent,
    fill: (outDir: string, workDir: string) => Promise<ComponentDetails>,
  ): Promise<ComponentManifest> {
    const temporary = join(this.store, `${TEMPORARY}${randomBytes(8).toString('hex')}`);
    const outDir = join(temporary, 'out');
    const workDir = join(temporary, 'work');
    try {
      await mkdir(temporary);
      await writeFile(join(temporary, OWNER), JSON.stringify(await thisProcess()));
      await mkdir(outDir);
      await mkdir(workDir);
      const details = await fill(outDir, workDir);
      const files = await describeFiles(outDir);
      const digest = componentDigest(files);
      const manifest: ComponentManifest = {
        formatVersion: FORMAT_VERSION,
        ...component,
        ...details,
        digest,
        inputsDigest: digestOf(component.inputs),
        files,
        createdAtUnix: Math.floor(Date.now() / 1000),
      };
      await writeFile(join(outDir, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
      await syncTree(outDir);
      await this.publish(manifest, outDir);
      await syncPath(this.store);
      return manifest;
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
  }

  private async publish(manifest: ComponentManifest, outDir: string): Promise<void> {
    const target = this.pathOf(manifest.kind, manifest.digest);
    if (await exists(target)) {
      if ((await this.deepDamage(manifest, undefined)) === undefined) {
        // The same content of other inputs: only what is said about it changes.
        await writeFileAtomic(join(target, MANIFEST), await readFile(join(outDir, MANIFEST)));
        return;
      }
      await this.removeComponent(`${manifest.kind}-${manifest.digest}`);
    }
    await rename(outDir, target);
  }

  /** A whole component made of the same inputs, or undefined. */
  async findByInputs(
    kind: ComponentKind,
    inputs: Readonly<Record<string, unknown>>,
  ): Promise<ComponentManifest | undefined> {
    const wanted = digestOf(inputs);
    for (const name of await readdir(this.store)) {
      if (!name.startsWith(`${kind}-`)) continue;
      const manifest = await this.readComponent(kind, name.slice(kind.length + 1)).catch(() => undefined);
      if (manifest?.inputsDigest === wanted && (await this.damage(manifest)) === undefined) return manifest;
    }
    return undefined;
  }

  /** @throws DomainError conflict when it is not there or cannot be read. */
  async readComponent(kind: ComponentKind, digest: string): Promise<ComponentManifest> {
    const path = join(this.pathOf(kind, digest), MANIFEST);
    try {
      return parseManifest(await readFile(path, 'utf8'), path);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
      throw new DomainError('conflict', `the ${kind} is missing (${path})`, { cause: error });
    }
  }

  /** What is wrong with a component's files, judged by presence and size. */
  async damage(manifest: ComponentManifest): Promise<string | undefined> {
    for (const file of manifest.files) {
      const path = join(this.pathOf(manifest.kind, manifest.digest), file.path);
      try {
        const { size } = await stat(path);
        if (size !== file.sizeBytes) return `${path} has ${size} bytes instead of ${file.sizeBytes}`;
      } catch (error) {
        if (errnoOf(error) !== 'ENOENT') throw error;
        return `${path} is missing`;
      }
    }
    return undefined;
  }

  /** What is wrong with a component's files, judged by their whole content. */
  async deepDamage(
    manifest: ComponentManifest,
    signal: AbortSignal | undefined,
  ): Promise<string | undefined> {
    const damage = await this.damage(manifest);
    if (damage !== undefined) return damage;
    for (const file of manifest.files) {
      const path = join(this.pathOf(manifest.kind, manifest.digest), file.path);
      if ((await sha256Of(path, signal)) !== file.sha256) return `${path} was changed since it was built`;
    }
    return undefined;
  }

  pathOf(kind: ComponentKind, digest: string): string {
    return join(this.store, `${kind}-${digest}`);
  }

  /** Names of all images, sorted. */
  async listNames(): Promise<string[]> {
    const entries = await readdir(this.names).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return [];
      throw error;
    });
    return entries
      .filter((entry) => entry.endsWith('.json') && !entry.startsWith('.'))
      .map((entry) => entry.slice(0, -'.json'.length))
      .sort();
  }

  /** @throws DomainError conflict when the record cannot be read. */
  async readRecord(name: string): Promise<ImageRecord | undefined> {
    const path = this.recordPath(name);
    try {
      return parseImageRecord(await readFile(path, 'utf8'), path);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  async writeRecord(record: ImageRecord): Promise<void> {
    await writeFileAtomic(this.recordPath(record.name), `${JSON.stringify(record, null, 2)}\n`);
  }

  async removeRecord(name: string): Promise<void> {
    await rm(this.recordPath(name), { force: true });
    await syncPath(this.names);
  }

  /** Removes a component's directory by its name; a reader sees all of it or nothing. */
  async removeComponent(directory: string): Promise<void> {
    const aside = join(this.store, `${REMOVED}${randomBytes(8).toString('hex')}`);
    try {
      await rename(join(this.store, directory), aside);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return;
      throw error;
    }
    await rm(aside, { recursive: true, force: true });
  }

  private recordPath(name: string): string {
    return join(this.names, `${name}.json`);
  }
}

async function isOwned(temporary: string): Promise<boolean> {
  try {
    return await isAlive(parseIdentity(await readFile(join(temporary, OWNER), 'utf8')));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
}

async function describeFiles(directory: string): Promise<StoredFile[]> {
  const files: StoredFile[] = [];
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const { size } = await stat(path);
    files.push({
      path: path.slice(directory.length + 1),
      sizeBytes: size,
      sha256: await sha256Of(path, undefined),
    });
  }
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}

async function sha256Of(path: string, signal: AbortSignal | undefined): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1024 * 1024 }), hash, { ...(signal && { signal }) });
  return hash.digest('hex');
}

async function syncTree(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    await syncPath(join(entry.parentPath, entry.name));
  }
  await syncPath(directory);
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
}
