import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Injectable } from '@nestjs/common';
import { DomainError, errnoOf } from '../../common/errors/domain-error';
import { KeyedMutex } from '../../common/lifecycle/keyed-mutex';
import { syncPath } from '../../common/os/atomic-file';
import { MemoryImageService } from '../memory/memory-image.service';
import { MAX_LINKS } from './domain/lineage';
import { type FileSeal, MEMORY_FILE, SUMS_FILE } from './domain/manifest';
import { FileVerifierService } from './file-verifier.service';
import { SnapshotIntegrityService, type SoundSnapshot } from './snapshot-integrity.service';
import { sealOf, type SnapshotStore } from './snapshot-store';

const SEAL_FILE = 'seal.json';
const STAGING_PREFIX = '.new-';

/**
 * Snapshots that are stored as the pages in which they differ from their parent. A VM maps one whole file, so the image that
 * a chain describes is kept as well, by its digest: a cache that may be deleted and is made again.
 */
@Injectable()
export class SnapshotChainService {
  private readonly assembling = new KeyedMutex();

  constructor(
    private readonly memory: MemoryImageService,
    private readonly integrity: SnapshotIntegrityService,
    private readonly files: FileVerifierService,
  ) {}

  /**
   * The tag's ancestors, root first, without itself.
   *
   * @throws DomainError internal when one is missing or they form a cycle.
   */
  async ancestors(store: SnapshotStore, tag: string): Promise<string[]> {
    const found: string[] = [];
    let current = await store.parentOf(tag);
    while (current !== undefined) {
      if (current === tag || found.includes(current)) {
        throw new DomainError(
          'internal',
          `the chain of snapshot ${tag} is a cycle: ${[tag, ...found, current].join(' -> ')}`,
        );
      }
      if (!(await store.hasDirectory(current))) {
        throw new DomainError(
          'internal',
          `the chain of snapshot ${tag} is broken: its ancestor ${current} is missing`,
        );
      }
      found.push(current);
      if (found.length >= MAX_LINKS) {
        throw new DomainError(
          'internal',
          `the chain of snapshot ${tag} has more than ${MAX_LINKS} links; compact an ancestor`,
        );
      }
      current = await store.parentOf(current);
    }
    return found.reverse();
  }

  /**
   * The whole memory of a snapshot as one file, with all links of its chain checked.
   *
   * @throws DomainError internal for a broken chain; conflict for a link whose files are not what was written.
   */
  async memoryOf(store: SnapshotStore, tag: string, head: SoundSnapshot): Promise<string> {
    const { manifest, artifacts } = head;
    if (manifest.parent_tag === undefined) return artifacts.memoryPath;
    const links: SoundSnapshot[] = [];
    for (const ancestor of await this.ancestors(store, tag))
      links.push(await this.soundLink(store, tag, ancestor));
    links.push(head);
    links.forEach((link, index) => {
      const parent = links[index - 1];
      if (parent && link.manifest.parent_content_hash !== parent.manifest.memory_digest) {
        throw new DomainError(
          'internal',
          `the chain of snapshot ${tag} is broken: ${link.artifacts.dir} was stored on top of other memory than ${parent.artifacts.dir} has now (hash mismatch)`,
        );
      }
    });
    return this.assembled(store, manifest.memory_digest, links);
  }

  /** Keeps the whole image of a snapshot that was just written as a diff; `imagePath` is moved. */
  async keep(store: SnapshotStore, digest: string, imagePath: string): Promise<void> {
    await this.assembling.runExclusive(digest, async () => {
      if ((await this.cached(store, digest)) !== undefined) {
        await rm(imagePath, { force: true });
        return;
      }
      await this.fill(store, digest, async (staging) => {
        await rename(imagePath, join(staging, MEMORY_FILE));
      });
    });
  }

  /** Removes the images of chains that no snapshot describes any more, and what was left half made. */
  async collect(store: SnapshotStore): Promise<void> {
    const names = await readdir(this.root(store)).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return [];
      throw error;
    });
    if (names.length === 0) return;
    // In this order: a snapshot is staged before its image is kept, and published after it.
    const needed = await store.chainedDigests();
    for (const name of names) {
      const digest = name.replace(STAGING_PREFIX, '');
      if (needed.has(name) || this.assembling.isBusy(digest)) continue;
      const dir = join(this.root(store), name);
      await this.assembling.runExclusive(digest, () => rm(dir, { recursive: true, force: true }));
      this.files.forget(dir);
    }
  }

  private async soundLink(store: SnapshotStore, tag: string, ancestor: string): Promise<SoundSnapshot> {
    const inspection = await store.inspect(ancestor);
    if (inspection.problem !== undefined) {
      throw new DomainError(
        'internal',
        `the chain of snapshot ${tag} is broken at ${ancestor}: ${inspection.problem}`,
      );
    }
    return this.integrity.requireSound(ancestor, inspection.artifacts);
  }

  private assembled(store: SnapshotStore, digest: string, links: readonly SoundSnapshot[]): Promise<string> {
    return this.assembling.runExclusive(digest, async () => {
      const cached = await this.cached(store, digest);
      if (cached !== undefined) return cached;
      return this.fill(store, digest, async (staging) => {
        const [root, ...diffs] = links.map(({ artifacts }) => artifacts.memoryPath);
        const made = await this.memory.assemble(root ?? '', {
          imagePath: join(staging, MEMORY_FILE),
          diffPaths: diffs,
          sumsPath: join(staging, SUMS_FILE),
        });
        if (made !== digest) {
          throw new DomainError(
            'internal',
            `the chain at ${links.at(-1)?.artifacts.dir ?? ''} does not give the memory that was written (hash mismatch)`,
          );
        }
      });
    });
  }

  /** Makes a place in the cache: `put` writes the image into a staged directory, durably. */
  private async fill(
    store: SnapshotStore,
    digest: string,
    put: (staging: string) => Promise<void>,
  ): Promise<string> {
    const staging = join(this.root(store), `${STAGING_PREFIX}${digest}`);
    await rm(staging, { recursive: true, force: true });
    await mkdir(staging, { recursive: true, mode: 0o700 });
    try {
      await put(staging);
      return await this.publish(store, staging, digest);
    } catch (error) {
      await rm(staging, { recursive: true, force: true });
      throw error;
    }
  }

  private async publish(store: SnapshotStore, staging: string, digest: string): Promise<string> {
    const dir = join(this.root(store), digest);
    await writeFile(join(staging, SEAL_FILE), JSON.stringify(await sealOf(join(staging, MEMORY_FILE))), {
      flush: true,
    });
    await syncPath(staging);
    // A cache that is damaged makes room for the new one.
    await rm(dir, { recursive: true, force: true });
    await rename(staging, dir);
    return join(dir, MEMORY_FILE);
  }

  /** The image in the cache, if it is there and what was put there. */
  private async cached(store: SnapshotStore, digest: string): Promise<string | undefined> {
    const dir = join(this.root(store), digest);
    const path = join(dir, MEMORY_FILE);
    try {
      const seal = JSON.parse(await readFile(join(dir, SEAL_FILE), 'utf8')) as FileSeal;
      const holds = await this.files.holds(
        path,
        seal,
        async () => (await this.memory.digest(path)) === digest,
      );
      return holds ? path : undefined;
    } catch {
      return undefined;
    }
  }

  private root(store: SnapshotStore): string {
    return join(store.root, '.assembled');
  }
}
